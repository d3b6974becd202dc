"""The rows of one view of a file: who and when, which rows still take part, and how a row is kept out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.intake import dates, texts
from ketaoutcomes.intake.cells import (
    Cells,
    Typed,
    categories,
    read_cells,
    typed_days,
    typed_numbers,
    typed_texts,
)
from ketaoutcomes.intake.findings import Findings, Stop
from ketaoutcomes.intake.guard import check_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ketaoutcomes.intake.grid import Grid
    from ketaoutcomes.intake.layout import View
    from ketaoutcomes.plan import Plan

Array = Any


class Rows:
    """One view's rows. `alive` marks those still taking part; `patient` and `when` are read first.

    A fault in a row's patient, day or date keeps the whole row out.
    """

    def __init__(self, grid: Grid, view: View, alive: NDArray[np.bool_], plan: Plan, found: Findings) -> None:
        self.grid, self.view, self.plan, self.found = grid, view, plan, found
        self.fields = view.fields
        self.decimal = plan.columns.decimal or "."
        self.alive: Array = alive.copy()
        self.reason = np.zeros(len(grid), dtype=np.int8)
        self.reasons: list[str] = [""]
        for position, wanted in view.keep.items():
            self.alive &= kept_rows(grid, position, wanted)
        if view.tables == ("events",):
            self.alive &= self._happened()
        self.patient = self._patients()
        self.when = self._days() if {"day", "date"} & set(self.fields) else None

    def cells(self, name: str, *, missing: bool = True) -> Cells:
        """The cells of one column of ours, as cleaned and translated texts."""
        return read_cells(self.grid, self.fields[name], self.plan.columns, missing=missing)

    def number(self, name: str, parse: Callable[[str, str], tuple[float, str]] = texts.number) -> Typed:
        """One column of ours as numbers."""
        return typed_numbers(self.cells(name), lambda text: parse(text, self.decimal))

    def dates(self, name: str) -> Typed:
        """One column of ours as calendar dates; refused where reading it would be a guess."""
        cells, date_format = self.cells(name), self.plan.columns.date_format
        declared = dates.compiled(date_format) if date_format else None
        zone = dates.local_zone(cells.texts, self.plan.columns.time_zone, declared)
        dates.check_dates(cells.texts, date_format, cells.name, zoned=zone is not None)
        return typed_days(cells, lambda text: dates.date(text, declared, zone))

    def label(self, name: str, among: Array) -> Typed:
        """A label kept as text: a site, a protocol, a covariate. Guarded against identifiers."""
        typed = typed_texts(self.cells(name), lambda text: (text, ""))
        check_values(self.grid.file, typed.cells.name, typed.cells.texts, self.found)
        self.note(typed, among)
        return typed

    def words(
        self, name: str, known: dict[str, str], what: str, line: str, among: Array, *, free: bool
    ) -> Typed:
        """A column of known words; others are never guessed at: the column is refused with the line to write.

        With `free`, other words stand as they are.
        """
        parsed = typed_texts(
            self.cells(name),
            lambda text: (
                known.get(text.casefold(), text.casefold()),
                "" if free or text.casefold() in known else "D19",
            ),
        )
        strange = parsed.breaking().get("D19")
        if strange is not None and (strange & among & self.alive).any():
            row = int(self.grid.rows[strange & among & self.alive][0])
            header = parsed.cells.name
            listed = ", ".join(dict.fromkeys(known.values()))
            full = f'{name} = {{ from = "{header}", map = {{ "their word" = "{line}" }} }}'
            message = f"holds words that are no {what} of ours ({listed}); write under [columns]: {full}"
            raise Stop("D19", message, row=row, column=header)
        return parsed

    def out(self, rows: Array, column: str, rule: str) -> None:
        """Keep whole rows out, with a finding for each."""
        rows = rows & self.alive
        if rows.any():
            self.found.rows(self.grid.file, self.grid.rows[rows], column, rule)
            self.alive &= ~rows
            if rule not in self.reasons:
                self.reasons.append(rule)
            self.reason[rows] = self.reasons.index(rule)

    def out_where_broken(self, typed: Typed, among: Array | None = None) -> None:
        """Keep out the rows whose cell of a column breaks a rule."""
        for rule, rows in typed.breaking().items():
            self.out(rows if among is None else rows & among, typed.cells.name, rule)

    def note(self, typed: Typed, among: Array) -> Array:
        """Note the faulty cells of a column in living rows, which stay; returns those rows."""
        faulty = np.zeros(len(self.grid), dtype=bool)
        for rule, rows in typed.breaking().items():
            rows = rows & among & self.alive
            self.found.rows(self.grid.file, self.grid.rows[rows], typed.cells.name, rule)
            faulty |= rows
        return faulty

    def living(self) -> Array | None:
        """Positions of the living rows; None where all live, so that nothing need be copied."""
        return None if self.alive.all() else np.flatnonzero(self.alive)

    def frame(self, rows: Array | None, columns: dict[str, Any]) -> pd.DataFrame:
        """A frame of the given rows (None: all) with patient, day, and where each row stands in the file."""
        head: dict[str, Any] = {"patient": categories(self.patient, rows)}
        if self.when is not None:
            when = self.when.rows if rows is None else self.when.rows[rows]
            if when.dtype.kind == "M":
                head["date"] = when.astype("datetime64[s]")
            else:
                head["day"] = np.nan_to_num(when).astype(np.int64)
        numbers = self.grid.rows if rows is None else self.grid.rows[rows]
        only = pd.Index([self.grid.file], dtype=object)
        file = pd.Categorical.from_codes(np.zeros(len(numbers), dtype=np.int64), categories=only)
        return pd.DataFrame({**head, **columns, "source_file": file, "source_row": numbers})

    def _happened(self) -> Array:
        """Which rows of a table of events hold one: where all have the same kind, its day or code tells."""
        told = [name for name in ("day", "date", "code") if name in self.fields]
        told = [name for name in told if self.fields[name].position is not None]
        happened = np.ones(len(self.grid), dtype=bool)
        if self.fields["kind"].position is None:
            for name in told:
                happened &= self.cells(name).filled
        return happened

    def _patients(self) -> Typed:
        cells = self.cells("patient", missing=False)
        typed = typed_texts(cells, texts.identifier)
        rounded = typed.breaking().get("C04")
        if rounded is not None and (rounded & self.alive).any():
            row = int(self.grid.rows[rounded & self.alive][0])
            message = "codes have been rounded to numbers by a spreadsheet; export them again as text"
            raise Stop("C04", message, row=row, column=cells.name)
        self.out(~cells.filled, cells.name, "C02")
        self.out_where_broken(typed)
        return typed

    def _days(self) -> Typed:
        typed = self.number("day", texts.whole) if "day" in self.fields else self.dates("date")
        self.out(~typed.cells.filled, typed.cells.name, "E03")
        self.out_where_broken(typed)
        return typed


def kept_rows(grid: Grid, position: int, wanted: frozenset[str]) -> Array:
    """Which rows pass one row filter of the plan."""
    coded = grid.columns[position]
    allowed = {texts.cleaned(text) for text in wanted}
    return np.array([texts.cleaned(text) in allowed for text in coded.texts] or [False], dtype=bool)[
        coded.codes
    ]
