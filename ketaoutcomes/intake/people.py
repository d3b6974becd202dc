"""What describes a person, and dated events other than doses and scores."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from ketaoutcomes.intake import texts
from ketaoutcomes.intake.cells import Typed, categories, typed_texts
from ketaoutcomes.intake.doses import lengths, weights
from ketaoutcomes.intake.guard import check_values
from ketaoutcomes.intake.layout import PEOPLE_ONLY
from ketaoutcomes.intake.rows import Rows

Array = Any
OLDEST_YEARS = 89
NUMBERS = ("target_dose", "target_day", "cut_day", "observed_from")
DATES = ("target_date", "cut_date", "start_date")
WITH_DOSES = ("site", "weight_kg")
_AGE = re.compile(r"(^|[\W_])age($|[\W_])")


def read_people(rows: Rows, *, beside_doses: bool) -> pd.DataFrame | None:
    """One row per patient, and one more for each value that contradicts it; None without any attribute.

    A faulty cell blanks that attribute of that row. Site and weight go with the doses where a row has both.
    """
    own = [name for name in rows.fields if name in rows.plan.columns.covariates or _is_own(rows, name)]
    names = [*(name for name in PEOPLE_ONLY if name in rows.fields), *own]
    names += [name for name in WITH_DOSES if name in rows.fields and not beside_doses]
    if not names:
        return None
    patient = categories(rows.patient)
    codes = np.where(rows.alive, np.asarray(patient.codes, dtype=np.int64), -1)
    gathered = _Gathered(codes, len(patient.categories))
    for name in names:
        gathered.add(name, _attribute(rows, name))
    at, columns = gathered.columns()
    frame = rows.frame(at, columns)
    return frame.drop(columns=[column for column in ("day", "date") if column in frame])


def read_events(rows: Rows) -> pd.DataFrame:
    """Events: their kind and, where given, their code and how many days they lasted.

    A row of other tables too holds no event where it names no kind. In a table of events alone that is a
    fault, unless every row has the same kind: then the day, or the code, tells whether it happened.
    """
    kind = typed_texts(rows.cells("kind"), lambda text: (text, ""))
    check_values(rows.grid.file, kind.cells.name, kind.cells.texts, rows.found)
    if rows.view.tables == ("events",):
        rows.out_where_broken(kind)
        rows.out(~kind.cells.filled, kind.cells.name, "D18")
    else:
        rows.note(kind, rows.alive)
    happened = rows.alive & kind.cells.pick([bool(text) for text in kind.values.tolist()], bool)
    lasting = lengths(rows, happened)
    columns = {"kind": kind}
    if "code" in rows.fields:
        columns["code"] = rows.label("code", happened)
    at = np.flatnonzero(happened & rows.alive)
    made: dict[str, Any] = {name: categories(typed, at) for name, typed in columns.items()}
    return rows.frame(at, made if lasting is None else made | {"days": lasting[at]})


def _is_own(rows: Rows, name: str) -> bool:
    """Whether a column of a `[[columns.people]]` table is a covariate under a name of the user's."""
    return rows.view.tables == ("people",) and name not in (
        *PEOPLE_ONLY,
        *WITH_DOSES,
        "patient",
        "day",
        "date",
    )


def _attribute(rows: Rows, name: str) -> Array:
    """One attribute in every row: numbers and dates typed, labels as text; blank where faulty."""
    if name == "weight_kg":
        return weights(rows, rows.alive)
    if name in DATES or name in NUMBERS:
        parse = texts.number if name == "target_dose" else texts.whole
        typed = rows.dates(name) if name in DATES else rows.number(name, parse)
        rows.note(typed, rows.alive)
        return typed.rows
    if name == "target_unit":
        typed = typed_texts(rows.cells(name), texts.unit)
        rows.note(typed, rows.alive)
    elif name == "protocol":
        known = {protocol.casefold(): protocol for protocol in rows.plan.definitions.protocols}
        typed = rows.words("protocol", known, "protocol", "iv6", rows.alive, free=False)
        rows.note(typed, rows.alive)
    else:
        typed = _banded(rows, name, rows.label(name, rows.alive))
    values = typed.values.copy()
    values[values == ""] = None
    return values[typed.cells.codes] if len(values) else values


def _banded(rows: Rows, name: str, typed: Typed) -> Typed:
    """Ages of 90 and over as `90+`: single years above 89 identify people (45 CFR 164.514(b)(2)(i)(C))."""
    if not _AGE.search(name.casefold()):
        return typed
    old = [bool(text) and texts.number(text)[0] > OLDEST_YEARS for text in typed.values.tolist()]
    if not any(old):
        return typed
    n = int((typed.cells.pick(old, bool) & rows.alive).sum())
    rows.found.normalised(rows.grid.file, typed.cells.name, "I11", n)
    return Typed(typed.cells, np.where(old, "90+", typed.values), typed.rules)


class _Gathered:
    """Attributes of people gathered from rows: each patient's value, and the rows that contradict it."""

    def __init__(self, codes: Array, patients: int) -> None:
        self.codes, self.patients = codes, patients
        known = np.flatnonzero(codes >= 0)
        self.first = np.full(patients, -1, dtype=np.int64)
        self.first[codes[known][::-1]] = known[::-1]
        self.values: dict[str, tuple[Array, Array]] = {}
        self.others: dict[str, Array] = {}

    def add(self, name: str, values: Array) -> None:
        """Take one attribute, given for every row."""
        found, distinct = pd.factorize(values)
        rows = np.flatnonzero((found >= 0) & (self.codes >= 0))
        pair = self.codes[rows] * max(len(distinct), 1) + found[rows]
        rows = rows[np.sort(np.unique(pair, return_index=True)[1])]
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
            padded = np.concatenate([values, _blank(values)])
            at = np.full(starts[-1], len(values), dtype=np.int64)
            at[: len(people)] = np.where(holder[people] >= 0, holder[people], len(values))
            at[starts[k + 1] : starts[k + 2]] = self.others[name]
            made[name] = padded[at].astype("datetime64[s]") if values.dtype.kind == "M" else padded[at]
        return np.concatenate(rows), made


def _blank(values: Array) -> Array:
    blank: Any = {"O": None, "f": np.nan, "M": np.datetime64("NaT")}[values.dtype.kind]
    return np.array([blank], dtype=values.dtype)
