"""A file's rows to typed frames of doses, scores, people and events, one view at a time.

What is quarantined, decided once: a fault in a row's patient, day, date or dose keeps the whole row out; a
fault in an answer or total keeps that row's score of that instrument out, since a session must not vanish
because a questionnaire is wrong; a fault in what describes a person blanks that attribute.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.intake import dates, texts
from ketaoutcomes.intake.cells import (
    Cells,
    Typed,
    categories,
    read_cells,
    small_integers,
    typed_days,
    typed_numbers,
    typed_texts,
)
from ketaoutcomes.intake.findings import Findings, Stop
from ketaoutcomes.intake.guard import check_values
from ketaoutcomes.intake.layout import PEOPLE_ONLY, View, instruments_in, is_long

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ketaoutcomes.definitions import Instrument
    from ketaoutcomes.intake.grid import Grid
    from ketaoutcomes.intake.layout import Given
    from ketaoutcomes.plan import Plan

Array = Any
LIGHTEST_KG, HEAVIEST_KG = 25, 350
OLDEST_YEARS = 89
PERSON_NUMBERS = ("target_dose", "target_day", "cut_day", "observed_from")
PERSON_DATES = ("target_date", "cut_date", "start_date")


class ViewReader:
    """Reads one view of one file. `alive` marks the rows still taking part."""

    def __init__(self, grid: Grid, view: View, alive: NDArray[np.bool_], plan: Plan, found: Findings) -> None:
        self.grid, self.view, self.plan, self.found = grid, view, plan, found
        self.columns, self.fields = plan.columns, view.fields
        self.alive = alive.copy()
        self.reason = np.zeros(len(grid), dtype=np.int8)
        self.reasons: list[str] = [""]
        self.patient: Typed
        self.when: Typed | None = None

    def frames(self) -> dict[str, pd.DataFrame]:
        """Every table of this view as a typed frame."""
        self._keep()
        self._patients()
        if {"day", "date"} & set(self.fields):
            self._days()
        made: dict[str, pd.DataFrame] = {}
        if "doses" in self.view.tables:
            made["doses"] = self._doses()
        if "scores" in self.view.tables:
            made["scores"] = self._long_scores() if is_long(self.fields, self.plan) else self._wide_scores()
        if "people" in self.view.tables:
            people = self._people("doses" in made)
            made |= {} if people is None else {"people": people}
        if "events" in self.view.tables:
            made["events"] = self._events()
        if self.view.constant_day:
            made = {name: _one_per_patient(frame) for name, frame in made.items()}
        return made

    # Rows and cells

    def _cells(self, name: str, **options: bool) -> Cells:
        return read_cells(self.grid, self.fields[name], self.columns, **options)

    def _out(self, rows: Array, column: str, rule: str) -> None:
        """Keep whole rows out, with a finding each."""
        rows = rows & self.alive
        if rows.any():
            self.found.rows(self.grid.file, self.grid.rows[rows], column, rule)
            self.alive &= ~rows
            if rule not in self.reasons:
                self.reasons.append(rule)
            self.reason[rows] = self.reasons.index(rule)

    def _note(self, typed: Typed, among: Array) -> NDArray[np.bool_]:
        """Note the faulty cells of a column in some rows, and return those rows."""
        faulty = np.zeros(len(self.grid), dtype=bool)
        for rule, rows in typed.breaking().items():
            rows = rows & among
            self.found.rows(self.grid.file, self.grid.rows[rows], typed.cells.name, rule)
            faulty |= rows
        return faulty

    def _number(self, name: str, parse: Callable[[str, str], tuple[float, str]] = texts.number) -> Typed:
        decimal = self.columns.decimal or "."
        return typed_numbers(self._cells(name), lambda text: parse(text, decimal))

    def _keep(self) -> None:
        for position, wanted in self.view.keep.items():
            self.alive &= kept_rows(self.grid, position, wanted)

    def _patients(self) -> None:
        cells = self._cells("patient", missing=False)
        self.patient = typed_texts(cells, texts.identifier)
        rounded = self.patient.breaking().get("C04")
        if rounded is not None and (rounded & self.alive).any():
            row = int(self.grid.rows[rounded & self.alive][0])
            message = "codes have been rounded to numbers by a spreadsheet; export them again as text"
            raise Stop("C04", message, row=row, column=cells.name)
        self._out(~cells.filled, cells.name, "C02")
        for rule, rows in self.patient.breaking().items():
            self._out(rows, cells.name, rule)

    def _days(self) -> None:
        name = "day" if "day" in self.fields else "date"
        if name == "date":
            cells = self._cells(name)
            self.when = self._dates(cells)
        else:
            self.when = self._number(name, texts.whole)
            cells = self.when.cells
        self._out(
            cells.pick(
                [not text and not rule for text, rule in zip(cells.texts, cells.rules, strict=True)], bool
            ),
            cells.name,
            "E03",
        )
        for rule, rows in self.when.breaking().items():
            self._out(rows, cells.name, rule)

    def _dates(self, cells: Cells) -> Typed:
        dates.check_dates(cells.texts, self.columns.date_format, cells.name)
        declared = dates.compiled(self.columns.date_format) if self.columns.date_format else None
        return typed_days(cells, lambda text: dates.date(text, declared))

    def _frame(self, rows: Array | None, columns: dict[str, Any]) -> pd.DataFrame:
        """A frame of the given rows (None: all) with patient, day and where each row stands in the file."""
        head: dict[str, Any] = {"patient": categories(self.patient, rows)}
        if self.when is not None:
            when = self.when.rows if rows is None else self.when.rows[rows]
            if np.issubdtype(when.dtype, np.datetime64):
                head["date"] = when.astype("datetime64[s]")
            else:
                head["day"] = np.nan_to_num(when).astype(np.int64)
        numbers = self.grid.rows if rows is None else self.grid.rows[rows]
        file = pd.Categorical.from_codes(np.zeros(len(numbers), dtype=np.int8), categories=[self.grid.file])
        return pd.DataFrame({**head, **columns, "source_file": file, "source_row": numbers})

    def _living(self) -> Array | None:
        return None if self.alive.all() else np.flatnonzero(self.alive)

    # Doses

    def _doses(self) -> pd.DataFrame:
        amount: Array | None = None
        inline: Typed | None = None
        if "dose" in self.fields:
            amount, inline, given = self._amounts()
        elif "route" in self.fields:
            given = self.alive & self._cells("route").filled
        else:
            session = self._number("session", texts.whole)
            self._out(self._note(session, self.alive), session.cells.name, "D09")
            given = self.alive & (np.nan_to_num(session.rows) >= 1)
        route = self._route(given) if "route" in self.fields else None
        unit = self._units(given, amount, inline)
        given &= self.alive
        rows = np.flatnonzero(given)
        columns: dict[str, Any] = {}
        if amount is not None:
            columns["dose"] = amount[rows]
        if route is not None:
            columns["route"] = categories(route, rows)
        if unit is not None:
            columns["unit"] = unit[rows]
        if "days" in self.fields:
            days = self._number("days", texts.whole)
            self._out(self._note(days, given), days.cells.name, "D09")
            rows = np.flatnonzero(given & self.alive)
            columns = {name: _again(values, given, self.alive) for name, values in columns.items()}
            columns["days"] = days.rows[rows]
        if "site" in self.fields:
            columns["site"] = categories(self._label("site", given), rows)
        if "weight_kg" in self.fields:
            columns["weight_kg"] = self._weight(given)[rows]
        frame = self._frame(rows, columns)
        frame.attrs["marks"] = "dose" if {"dose", "route"} & set(self.fields) else "session"
        return frame

    def _amounts(self) -> tuple[Array, Typed, NDArray[np.bool_]]:
        """The amount of every row, units written with it, and which rows give a dose."""
        cells, decimal = self._cells("dose"), self.columns.decimal or "."
        parsed = [
            texts.amount(text, decimal) if text else (float("nan"), "", rule)
            for text, rule in zip(cells.texts, cells.rules, strict=True)
        ]
        values = np.array([value for value, _, _ in parsed], dtype=np.float64)
        rules = ["D06" if value < 0 else rule for value, _, rule in parsed]
        typed = Typed(cells, values, rules)
        inline = Typed(cells, np.array([unit for _, unit, _ in parsed], dtype=object), rules)
        unusable = np.zeros(len(self.grid), dtype=bool)
        for rule, rows in typed.breaking().items():
            if rule == "D15":
                self.found.rows(self.grid.file, self.grid.rows[rows & self.alive], cells.name, rule)
                unusable |= rows
            else:
                self._out(rows, cells.name, rule)
        amount = typed.rows
        return amount, inline, self.alive & ((np.nan_to_num(amount) > 0) | unusable)

    def _route(self, given: Array) -> Typed:
        """Routes of the rows that give a dose; a text that is no route of ours is never guessed at."""
        own = {**texts.ROUTES, **{name.casefold(): name for name in self.plan.protocol if name != "all"}}
        free = "all" in self.plan.protocol
        parsed = typed_texts(
            self._cells("route"),
            lambda text: (
                (own[text.casefold()], "")
                if text.casefold() in own
                else (text.casefold(), "" if free else "D19")
            ),
        )
        strange = parsed.breaking().get("D19")
        if strange is not None and (strange & given & self.alive).any():
            row = int(self.grid.rows[strange & given & self.alive][0])
            name = parsed.cells.name
            line = f'route = {{ from = "{name}", map = {{ "their word" = "iv" }} }}'
            routes = ", ".join(dict.fromkeys(own.values()))
            raise Stop(
                "D19",
                f"holds words that are not routes of ours ({routes}); write under [columns]: {line}",
                row=row,
                column=name,
            )
        for rule, rows in parsed.breaking().items():
            if rule != "D19":
                self._out(rows & given, parsed.cells.name, rule)
        return parsed

    def _units(self, given: Array, amount: Array | None, inline: Typed | None) -> Array | None:
        """The unit of every row. An amount whose unit is unknown, or stated twice differently, is blanked."""
        stated = typed_texts(self._cells("unit"), texts.unit) if "unit" in self.fields else None
        if amount is None or inline is None:
            return stated.rows if stated is not None else None
        beside = inline.rows
        column = stated.rows if stated is not None else np.full(len(self.grid), "", dtype=object)
        unit = np.where(beside != "", beside, column)
        measured = given & self.alive & ~np.isnan(amount)
        lacking = measured & (unit == "")
        clash = measured & (beside != "") & (column != "") & (beside != column)
        constant = self.fields["dose"].position is None
        if lacking.any() and not constant and not (measured & ~lacking).any():
            message = (
                'doses have no unit; write under [columns]: unit = { value = "mg" }, or unit = "their header"'
            )
            raise Stop("D15", message, column=inline.cells.name)
        if not constant and (lacking | clash).any():
            self.found.rows(self.grid.file, self.grid.rows[lacking | clash], inline.cells.name, "D15")
            amount[lacking | clash] = np.nan
            unit = np.where(clash, "", unit)
        return np.where(unit == "", None, unit)

    def _weight(self, among: Array) -> Array:
        """Body weights; a weight outside 25 to 350 kg is blanked, never converted."""
        weight = self._number("weight_kg")
        faulty = self._note(weight, among & self.alive)
        with np.errstate(invalid="ignore"):
            odd = among & self.alive & ((weight.rows < LIGHTEST_KG) | (weight.rows > HEAVIEST_KG))
        self.found.rows(self.grid.file, self.grid.rows[odd], weight.cells.name, "D16")
        return np.where(faulty | odd, np.nan, weight.rows)

    def _label(self, name: str, among: Array) -> Typed:
        """A label kept as text: site, protocol, a covariate."""
        typed = typed_texts(self._cells(name), lambda text: (text, ""))
        check_values(self.grid.file, typed.cells.name, typed.cells.texts, self.found)
        self._note(typed, among & self.alive)
        return typed

    # Scores

    def _timing(self) -> tuple[dict[str, Typed], NDArray[np.bool_]]:
        """When on the day each score was taken, and the rows whose scores cannot be placed."""
        if "timing" not in self.fields:
            return {}, np.zeros(len(self.grid), dtype=bool)
        parsed = typed_texts(
            self._cells("timing"),
            lambda text: (
                (texts.TIMINGS[text.casefold()], "") if text.casefold() in texts.TIMINGS else ("", "D18")
            ),
        )
        return {"timing": parsed}, self._note(parsed, self.alive)

    def _wide_scores(self) -> pd.DataFrame:
        timing, unplaced = self._timing()
        rows = self._living()
        columns: dict[str, Any] = {name: categories(typed, rows) for name, typed in timing.items()}
        for name, (items, total) in instruments_in(self.fields, self.plan).items():
            instrument = self.plan.definitions.instruments[name]
            self._check_items(instrument, items)
            answers = {item: self._answers(item, instrument.labels) for item in items}
            stated = self._number(name) if total else None
            out = unplaced.copy()
            for typed in [*answers.values(), *([stated] if stated is not None else [])]:
                if any(typed.rules):
                    out |= self._note(typed, self.alive & ~unplaced)
            lost = out if out.any() else None
            columns |= {item: small_integers(typed, rows, lost) for item, typed in answers.items()}
            if stated is not None:
                values = stated.rows if lost is None else np.where(lost, np.nan, stated.rows)
                columns[name] = values if rows is None else values[rows]
        return self._frame(rows, columns)

    def _check_items(self, instrument: Instrument, items: Iterable[str]) -> None:
        """Refuse a set of item columns that is not the instrument's: another form, or sessions side by side."""
        items = list(items)
        wanted = [f"{instrument.id}_{i}" for i in range(1, instrument.items + 1)]
        if not items or items == wanted:
            return
        beyond = [self.fields[item].name for item in items if item not in wanted]
        listed = ", ".join(f'"{name}"' for name in beyond)
        more = f"; write under [columns]: drop = [{listed}], if they are not items" if beyond else ""
        message = (
            f"{instrument.title} has {instrument.items} items, the file has columns for {len(items)}{more}"
        )
        raise Stop("G13", message, column=self.fields[items[0]].name)

    def _answers(self, name: str, labels: Any) -> Typed:
        """Answers of one item, as numbers or as the instrument's labels."""
        known = {label.casefold(): value for label, value in labels.items()}
        cells, decimal = self._cells(name), self.columns.decimal or "."
        parsed = [
            texts.answer(text, known, decimal) if text else (float("nan"), rule, False)
            for text, rule in zip(cells.texts, cells.rules, strict=True)
        ]
        labelled = cells.pick([by_label for _, _, by_label in parsed], bool)
        self.found.count(self.grid.file, "cells", "normalised", "D13", int((labelled & self.alive).sum()))
        return Typed(
            cells,
            np.array([value for value, _, _ in parsed], dtype=np.float64),
            [rule for _, rule, _ in parsed],
        )

    def _long_scores(self) -> pd.DataFrame:
        timing, unplaced = self._timing()
        self._out(unplaced, "timing", "D18")
        instrument = self._instruments()
        columns: dict[str, Typed] = {}
        labels = self._shared_labels(instrument)
        items = [f"item_{i}" for i in range(1, 100) if f"item_{i}" in self.fields]
        for name in items:
            columns[name] = self._answers(name, labels)
        if "score" in self.fields:
            columns["score"] = self._number("score")
        for typed in columns.values():
            for rule, rows in typed.breaking().items():
                self._out(rows, typed.cells.name, rule)
        rows = self._living()
        made: dict[str, Any] = {
            name: categories(typed, rows) for name, typed in {**timing, "instrument": instrument}.items()
        }
        made |= {name: small_integers(columns[name], rows, None) for name in items}
        if "score" in columns:
            made["score"] = columns["score"].rows if rows is None else columns["score"].rows[rows]
        return self._frame(rows, made)

    def _instruments(self) -> Typed:
        known = self.plan.definitions.instruments

        def named(text: str) -> tuple[str, str]:
            lower = text.casefold()
            bare = re.sub("[^a-z0-9_]", "", lower)
            return (lower, "") if lower in known else (bare, "") if bare in known else ("", "D18")

        typed = typed_texts(self._cells("instrument"), named)
        self._out(~typed.cells.filled, typed.cells.name, "D18")
        for rule, rows in typed.breaking().items():
            self._out(rows, typed.cells.name, rule)
        return typed

    def _shared_labels(self, instrument: Typed) -> dict[str, int]:
        """Answer labels of the instruments of a long file, where they mean the same in all of them."""
        known = self.plan.definitions.instruments
        meanings: dict[str, set[int]] = {}
        for name in set(instrument.values.tolist()) - {""}:
            for label, value in known[name].labels.items():
                meanings.setdefault(label, set()).add(value)
        return {label: values.pop() for label, values in meanings.items() if len(values) == 1}

    # People and events

    def _people(self, beside_doses: bool) -> pd.DataFrame | None:
        """What describes a person, one row per patient, and one more for each value that contradicts it."""
        names = [name for name in PEOPLE_ONLY if name in self.fields]
        own = [name for name in self.fields if name in self.columns.covariates or self._is_own(name)]
        names += [*own, *(name for name in ("site", "weight_kg") if name in self.fields and not beside_doses)]
        if not names:
            return None
        patient = categories(self.patient)
        codes = np.where(self.alive, np.asarray(patient.codes, dtype=np.int64), -1)
        several = PeopleColumns(codes, len(patient.categories))
        for name in names:
            several.add(name, self._person(name))
        rows, columns = several.columns()
        frame = self._frame(rows, columns)
        return frame.drop(columns=[c for c in ("day", "date") if c in frame])

    def _is_own(self, name: str) -> bool:
        """Whether a column of a `[[columns.people]]` table is a covariate under a name of the user's."""
        return self.view.tables == ("people",) and name not in (
            *PEOPLE_ONLY,
            "patient",
            "day",
            "date",
            "site",
            "weight_kg",
        )

    def _person(self, name: str) -> Array:
        """One attribute in every row: numbers and dates typed, labels as text; blank where faulty."""
        if name in PERSON_DATES:
            typed = self._dates(self._cells(name))
            self._note(typed, self.alive)
            return typed.rows
        if name == "weight_kg":
            return self._weight(self.alive)
        if name in PERSON_NUMBERS:
            typed = self._number(name, texts.number if name == "target_dose" else texts.whole)
            self._note(typed, self.alive)
            return typed.rows
        if name == "target_unit":
            typed = typed_texts(self._cells(name), texts.unit)
            self._note(typed, self.alive)
        elif name == "protocol":
            typed = self._protocol()
        else:
            typed = self._banded(name, self._label(name, self.alive))
        values = typed.values.copy()
        values[values == ""] = None
        return values[typed.cells.codes] if len(values) else values

    def _protocol(self) -> Typed:
        known = self.plan.definitions.protocols
        typed = typed_texts(
            self._cells("protocol"),
            lambda text: (text.casefold(), "") if text.casefold() in known else ("", "D19"),
        )
        strange = typed.breaking().get("D19")
        if strange is not None and (strange & self.alive).any():
            row, name = int(self.grid.rows[strange & self.alive][0]), typed.cells.name
            line = f'protocol = {{ from = "{name}", map = {{ "their word" = "iv6" }} }}'
            raise Stop(
                "D19",
                f"holds words that are not protocols ({', '.join(known)}); write under [columns]: {line}",
                row=row,
                column=name,
            )
        self._note(typed, self.alive)
        return typed

    def _banded(self, name: str, typed: Typed) -> Typed:
        """Ages of 90 and over as `90+`: single years above 89 identify people."""
        if not re.search(r"(^|[\W_])age($|[\W_])", name.casefold()):
            return typed
        old = [texts.number(text)[0] > OLDEST_YEARS if text else False for text in typed.values.tolist()]
        if not any(old):
            return typed
        n = int((typed.cells.pick(old, bool) & self.alive).sum())
        self.found.normalised(self.grid.file, typed.cells.name, "I11", n)
        return Typed(typed.cells, np.where(old, "90+", typed.values), typed.rules)

    def _events(self) -> pd.DataFrame:
        columns: dict[str, Any] = {}
        for name in ("kind", "code"):
            if name in self.fields:
                typed = self._label(name, self.alive)
                if name == "kind":
                    self._out(~typed.cells.filled, typed.cells.name, "D18")
                columns[name] = typed
        rows = self._living()
        return self._frame(rows, {name: categories(typed, rows) for name, typed in columns.items()})


def kept_rows(grid: Grid, position: int, wanted: frozenset[str]) -> Array:
    """Which rows pass one row filter of the plan."""
    coded = grid.columns[position]
    allowed = {texts.cleaned(text) for text in wanted}
    return np.array([texts.cleaned(text) in allowed for text in coded.texts] or [False], dtype=bool)[
        coded.codes
    ]


def _again(values: Any, given: Array, alive: Array) -> Any:
    """Columns taken for `given` rows, cut to those still alive."""
    return values[alive[np.flatnonzero(given)]]


def _one_per_patient(frame: pd.DataFrame) -> pd.DataFrame:
    """Where all rows fall on one stated day, a patient's equal rows are one record told several times."""
    return frame[~frame.drop(columns="source_row").duplicated()].reset_index(drop=True)


class PeopleColumns:
    """Attributes of people gathered from rows: each patient's value, and the rows that contradict it."""

    def __init__(self, codes: Array, patients: int) -> None:
        self.codes, self.patients = codes, patients
        known = np.flatnonzero(codes >= 0)
        self.first = np.full(patients, -1, dtype=np.int64)
        self.first[codes[known][::-1]] = known[::-1]
        self.values: dict[str, Array] = {}
        self.others: dict[str, Array] = {}

    def add(self, name: str, values: Array) -> None:
        """Take one attribute, given for every row."""
        found, distinct = pd.factorize(values)
        rows = np.flatnonzero((found >= 0) & (self.codes >= 0))
        pair = self.codes[rows] * max(len(distinct), 1) + found[rows]
        _, at = np.unique(pair, return_index=True)
        rows = np.sort(rows[at])
        owner = self.codes[rows]
        holder = np.full(self.patients, -1, dtype=np.int64)
        holder[owner[::-1]] = rows[::-1]
        self.values[name] = (values, holder)
        self.others[name] = rows[holder[owner] != rows]

    def columns(self) -> tuple[Array, dict[str, Any]]:
        """Rows of the file that stand for the frame's rows, and every attribute's values in them."""
        people = np.flatnonzero(self.first >= 0)
        rows = [self.first[people], *self.others.values()]
        starts = np.cumsum([0, *(len(part) for part in rows)])
        made: dict[str, Any] = {}
        for k, (name, (values, holder)) in enumerate(self.values.items()):
            blank = np.array(
                [None if values.dtype == object else np.nan if values.dtype.kind == "f" else "NaT"],
                dtype=values.dtype,
            )
            padded = np.concatenate([values, blank])
            at = np.full(starts[-1], len(values), dtype=np.int64)
            at[: len(people)] = np.where(holder[people] >= 0, holder[people], len(values))
            at[starts[k + 1] : starts[k + 2]] = self.others[name]
            made[name] = padded[at].astype("datetime64[s]") if values.dtype.kind == "M" else padded[at]
        return np.concatenate(rows), made
