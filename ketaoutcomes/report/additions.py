"""Parts of the page that stand there only once their finished table is among the report's."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ketaoutcomes.results.wording import HIDDEN, NONE, count, decimal, is_number, label, share

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.report.finished import Described
    from ketaoutcomes.report.overview import Shown

_COUNTS = frozenset(
    {"n", "of", "met", "due", "assessed", "people", "count", "not_recorded", "charts", "at_risk"}
)
_SHARES = frozenset({"rate", "low", "high", "share", "value"})
_FIRST = ("measure", "series")  # what a row is about leads it
_CODES = frozenset({"measure", "statistic", "state", "account"})


@dataclass(frozen=True)
class Plain:
    """A finished table as text: heads with whether they stand over text, and rows of cells."""

    title: str
    heads: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Addition:
    """One part: its id on the page, its title, what it is about, its tables, and what stands around them."""

    id: str
    title: str
    about: tuple[str, ...]
    tables: tuple[Plain, ...] = ()
    says: tuple[str, ...] = ()
    figures: tuple[Shown, ...] = ()
    notes: tuple[str, ...] = ()


def each_row(table: pd.DataFrame) -> list[Any]:
    """The rows of a finished table, their columns as attributes."""
    return list(table.itertuples(index=False))


def plain(described: Described) -> Plain:
    """A finished table as a reader sees it; columns without anything in them are left out.

    Where the table has a column `reason`, only what that calls hidden reads so; otherwise a missing count or
    share is a hidden one.
    """
    table = described.table
    kept = [str(name) for name in table.columns if str(name) != "reason" and _says(table[name])]
    kept = sorted(kept, key=lambda name: name not in _FIRST)
    heads = tuple((name.replace("_", " "), _is_text(table[name])) for name in kept)
    reasons = table["reason"].astype(str) if "reason" in table else None
    rows = []
    for place, row in enumerate(table[kept].itertuples(index=False, name=None)):
        hidden = reasons is None or reasons.iloc[place] == HIDDEN
        rows.append(tuple(_cell(name, value, hidden) for name, value in zip(kept, row, strict=True)))
    return Plain(described.title, heads, tuple(rows))


def _says(column: pd.Series[Any]) -> bool:
    if not column.notna().any():
        return False
    said = column.astype(str).str.strip() if _is_text(column) else column
    return not _is_text(column) or (bool(said.any()) and (said.nunique() > 1 or len(said) == 1))


def _is_text(column: pd.Series[Any]) -> bool:
    return not all(isinstance(value, numbers.Real) or value is None for value in column)


def _cell(name: str, value: Any, hidden: bool) -> str:
    if isinstance(value, numbers.Real):
        if not is_number(value):
            return HIDDEN if hidden and name in _COUNTS | _SHARES else NONE
        number = float(value)
        if name in _SHARES and 0 <= number <= 1:
            return share(number)
        return count(number) if number.is_integer() else decimal(number)
    if value is None or value != value:
        return NONE
    text = str(value).replace("_", " ") if name in _CODES else str(value)
    return label(text, 160) if text else ""
