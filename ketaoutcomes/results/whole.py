"""Counts of people are whole numbers wherever a table is finished, also beside one that is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable

Array = Any

COUNTS: Final = (
    "n", "of", "people", "due", "given", "assessed", "met", "reached", "count", "not_recorded", "charts",
)  # fmt: skip
"""Columns of finished tables that count people."""


def whole(values: Array) -> Array:
    """Counts as whole numbers: int64 where all are known, else Int64 with `<NA>` for those that are not.

    >>> whole(np.array([57.0, 3.0])).dtype.name, whole(np.array([57.0, np.nan])).dtype.name
    ('int64', 'Int64')
    """
    values = np.asarray(values, dtype=np.float64)
    unknown = np.isnan(values)
    if not unknown.any():
        return values.astype(np.int64)
    return pd.arrays.IntegerArray(np.where(unknown, 0, values).astype(np.int64), unknown)


def whole_counts(table: pd.DataFrame, columns: Iterable[str] = COUNTS) -> pd.DataFrame:
    """A finished table with its counts as whole numbers, as `whole` has them; columns not there are passed.

    >>> table = pd.DataFrame({"n": [57.0, np.nan], "met": [3.0, 4.0], "rate": [0.5, 0.25]})
    >>> whole_counts(table).dtypes.astype(str).tolist()
    ['Int64', 'int64', 'float64']
    """
    named = [name for name in columns if name in table.columns and table[name].dtype == np.float64]
    return table.assign(**{name: whole(table[name].to_numpy(dtype=np.float64)) for name in named})


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """The table with whole numbers of which some are not known as floats: to reckon and draw with.

    >>> plain(pd.DataFrame({"n": whole(np.array([57.0, np.nan]))}))["n"].tolist()
    [57.0, nan]
    """
    nullable = [name for name in table.columns if isinstance(table[name].dtype, pd.Int64Dtype)]
    return table.astype(dict.fromkeys(nullable, "float64"))


def first_row(table: pd.DataFrame) -> dict[str, Any]:
    """The first row's cells by column, NaN where a whole number is not known: to write a sentence from.

    >>> first_row(pd.DataFrame({"n": whole(np.array([np.nan, 3.0])), "day": [7, 8]}))
    {'n': nan, 'day': 7}
    """
    cells = table.iloc[0].to_dict()
    return {str(name): np.nan if cell is None or cell is pd.NA else cell for name, cell in cells.items()}
