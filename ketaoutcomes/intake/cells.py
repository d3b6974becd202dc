"""One column of ours, read from a file by the written rules: values and broken rules per distinct text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.intake.texts import cleaned

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ketaoutcomes.intake.grid import Grid
    from ketaoutcomes.intake.layout import Given
    from ketaoutcomes.plan import Columns

Array = Any
UNMAPPED = "D18"


@dataclass(frozen=True)
class Cells:
    """A column as texts: cleaned, declared missing codes blanked, and translated by the plan's map.

    `codes` picks each row's text; `rules` holds D18 where the plan's map lacks the cell.
    """

    name: str
    codes: NDArray[np.int32]
    texts: list[str]
    rules: list[str]

    @property
    def filled(self) -> Array:
        """Which rows are not blank."""
        return self.pick(
            [bool(text) or bool(rule) for text, rule in zip(self.texts, self.rules, strict=True)], bool
        )

    def pick(self, values: Sequence[Any], dtype: Any = None) -> Array:
        """One value per distinct text, laid out row by row."""
        return np.asarray(values, dtype=dtype)[self.codes] if len(values) else np.empty(0, dtype=dtype)


def read_cells(grid: Grid, given: Given, columns: Columns, *, missing: bool = True) -> Cells:
    """The cells of one column of ours; with `missing` left off only a blank cell is blank (identifiers)."""
    if given.position is None:
        return Cells(given.name, np.zeros(len(grid), dtype=np.int32), [cleaned(given.value or "")], [""])
    coded = grid.columns[given.position]
    texts = [cleaned(text) for text in coded.texts]
    rules = [""] * len(texts)
    absent = {cleaned(code) for code in columns.missing} if missing else set()
    if given.map is None:
        texts = ["" if text in absent else text for text in texts]
        return Cells(given.name, coded.codes, texts, rules)
    known = {cleaned(theirs): cleaned(ours) for theirs, ours in given.map.items()}
    for i, text in enumerate(texts):
        key = text if text in known else _without_zeros(text)
        if key in known:
            texts[i] = known[key]
        elif text in absent:
            texts[i] = ""
        elif text:
            texts[i], rules[i] = "", UNMAPPED
    return Cells(given.name, coded.codes, texts, rules)


def _without_zeros(text: str) -> str:
    """`4.0` as `4`, so that a map's whole numbers match a column some program has made decimal."""
    head, dot, tail = text.partition(".")
    return head if dot and tail.strip("0") == "" and head.lstrip("+-").isdecimal() else text


@dataclass(frozen=True)
class Typed:
    """A column of ours as values: one per distinct text, with the rule each text breaks."""

    cells: Cells
    values: Array
    rules: list[str]

    @property
    def rows(self) -> Array:
        """The value of every row."""
        return self.values[self.cells.codes] if len(self.values) else self.values

    def breaking(self) -> dict[str, NDArray[np.bool_]]:
        """For every rule broken, which rows break it."""
        broken = {rule for rule in self.rules if rule}
        return {rule: self.cells.pick([r == rule for r in self.rules], bool) for rule in sorted(broken)}


def typed_numbers(cells: Cells, parse: Callable[[str], tuple[float, str]]) -> Typed:
    """Numbers, NaN where blank."""
    pairs = [
        parse(text) if text else (float("nan"), rule)
        for text, rule in zip(cells.texts, cells.rules, strict=True)
    ]
    return Typed(
        cells, np.array([value for value, _ in pairs], dtype=np.float64), [rule for _, rule in pairs]
    )


def typed_texts(cells: Cells, parse: Callable[[str], tuple[str, str]]) -> Typed:
    """Texts, blank where blank."""
    pairs = [parse(text) if text else ("", rule) for text, rule in zip(cells.texts, cells.rules, strict=True)]
    return Typed(cells, np.array([value for value, _ in pairs], dtype=object), [rule for _, rule in pairs])


def typed_days(cells: Cells, parse: Callable[[str], tuple[Any, str]]) -> Typed:
    """Calendar dates as datetime64[D], NaT where blank."""
    pairs = [
        parse(text) if text else (None, rule) for text, rule in zip(cells.texts, cells.rules, strict=True)
    ]
    return Typed(
        cells, np.array([value for value, _ in pairs], dtype="datetime64[D]"), [rule for _, rule in pairs]
    )


def categories(typed: Typed, rows: Array | None = None) -> pd.Categorical:
    """Texts as a categorical: codes into distinct values, -1 where blank."""
    values = typed.values.tolist()
    known = {text: i for i, text in enumerate(dict.fromkeys(text for text in values if text))}
    lookup = np.array([known.get(text, -1) for text in values], dtype=np.int32)
    codes = typed.cells.codes if rows is None else typed.cells.codes[rows]
    return pd.Categorical.from_codes(
        lookup[codes] if len(lookup) else codes, categories=pd.Index(list(known), dtype=object)
    )


def small_integers(typed: Typed, rows: Array | None, out: Array | None) -> Any:
    """Whole numbers in as few bytes as they need; blank where missing or in a row of `out`."""
    blank = np.isnan(typed.values)
    whole = np.where(blank, 0, typed.values)
    kind: Any = np.int8 if not len(whole) or (whole.min() >= -128 and whole.max() <= 127) else np.int16
    codes = typed.cells.codes if rows is None else typed.cells.codes[rows]
    numbers, missing = whole.astype(kind)[codes], blank[codes]
    if out is not None:
        missing = missing | (out if rows is None else out[rows])
    return pd.arrays.IntegerArray(numbers, np.asarray(missing)) if missing.any() else numbers
