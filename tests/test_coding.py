"""However a text column is held, its codes and labels are the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ketaoutcomes.records.coding import text_codes

Cells = list[str | None]

same_length = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.text("aBz059-/ \u00e9", min_size=width, max_size=width), max_size=30)
)
any_length = st.lists(st.none() | st.text("ab0 \u00a0\u00e9", max_size=4), max_size=30)


def by_hand(cells: Cells, *, lower: bool) -> tuple[list[int], list[str]]:
    """Make blanks plain, trim, number the distinct texts in order, -1 where nothing is left."""
    texts = ["" if cell is None else cell.replace("\u00a0", " ").strip() for cell in cells]
    texts = [text.lower() for text in texts] if lower else texts
    labels = sorted(set(texts) - {""})
    return [labels.index(text) if text else -1 for text in texts], labels


def holdings(cells: Cells) -> list[pd.Series]:
    """The cells as Python objects, as a category, and as Arrow text: whole, in pieces, as part of more."""
    held: list[pd.Series] = [
        pd.Series(cells, dtype=object),
        pd.Series(cells, dtype=object).astype("category"),
    ]
    if _has_arrow():
        arrow = pd.StringDtype("pyarrow")
        held += [
            pd.Series(cells, dtype=arrow),
            pd.Series(cells, dtype="string").convert_dtypes(dtype_backend="pyarrow"),
            pd.concat([pd.Series(cells[:3], dtype=arrow), pd.Series(cells[3:], dtype=arrow)]),
            pd.Series(["before", *cells, "after"], dtype=arrow).iloc[1:-1],
        ]
    return held


def _has_arrow() -> bool:
    try:
        pd.array(["a"], dtype="string[pyarrow]")
    except ImportError:
        return False
    return True


@given(cells=same_length | any_length, lower=st.booleans())
def test_codes_do_not_depend_on_how_text_is_held(cells: Cells, lower: bool) -> None:
    for column in holdings(cells):
        codes, labels = text_codes(column, lower=lower)
        assert (codes.tolist(), list(labels)) == by_hand(cells, lower=lower), column.dtype


@pytest.mark.skipif(not _has_arrow(), reason="pyarrow is not installed")
def test_many_identifiers_of_one_length() -> None:
    """As many as fill several pieces, each hundred times, in any order; and too sparse for a table."""
    numbers = np.random.default_rng(1).permutation(np.repeat(np.arange(2000), 100))
    for name in ("P{:06d}", "{:04d}-A", "X{:04d}{:04d}"):
        cells = [name.format(n, (n * 7919) % 10_000) for n in numbers]
        codes, labels = text_codes(pd.Series(cells, dtype=pd.StringDtype("pyarrow")))
        assert list(labels) == sorted(set(cells))
        assert [labels[code] for code in codes] == cells
