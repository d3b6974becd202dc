"""Parts of the page that stand there only once their finished table is among the report's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.report.overview import Shown


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
