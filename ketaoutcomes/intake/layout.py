"""Which column of a file is which of ours: the plan's [columns] and our own names, resolved on a header.

A *view* is one reading of a file's rows: the whole row as doses, scores and people at once, or one table of
`[[columns.doses]]`, of scores, people or events, each with its own columns.
"""

from __future__ import annotations

import difflib
import fnmatch
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ketaoutcomes.intake.findings import Findings, Stop, listed
from ketaoutcomes.intake.header import Header, normal
from ketaoutcomes.plan import Field, TableMap
from ketaoutcomes.plan.columns import NAMES
from ketaoutcomes.records.monitoring import READINGS

if TYPE_CHECKING:
    from ketaoutcomes.definitions import Instrument
    from ketaoutcomes.plan import Plan

KEYS = ("patient", "day", "date")
PEOPLE_ONLY = tuple(name for name in NAMES["people"] if name not in (*KEYS, "site", "weight_kg"))
DOSE_MARKS = ("dose", "route")
_ITEM = re.compile(r"(.+)_([1-9][0-9]?)")
_NUMBER_AT_END = re.compile("[0-9]+$")
INHERITED = {
    "doses": (
        "day",
        "date",
        "session",
        "unit",
        "route",
        "days",
        "until_day",
        "until_date",
        "site",
        "weight_kg",
    ),
    "scores": ("day", "date", "session", "timing"),
    "people": (),
    "events": ("day", "date"),
    "monitoring": ("day", "date"),
}


@dataclass(frozen=True)
class Given:
    """Where a column of ours comes from: a position in the file, or one value for all rows; its value map."""

    position: int | None
    value: str | None = None
    map: Mapping[str, str] | None = None
    name: str = ""


@dataclass(frozen=True)
class View:
    """One reading of a file's rows: our columns, which tables they make, and which rows are kept."""

    tables: tuple[str, ...]
    fields: Mapping[str, Given]
    keep: Mapping[int, frozenset[str]]

    @property
    def constant_day(self) -> bool:
        """Whether every row falls on one stated day, so that a patient's rows are one and the same record."""
        when = self.fields.get("day") or self.fields.get("date")
        return when is not None and when.position is None


@dataclass(frozen=True)
class Layout:
    """How one file is read: its views, the rows kept, and the columns left out."""

    views: tuple[View, ...]
    keep: Mapping[int, frozenset[str]]
    left_out: tuple[int, ...]

    def positions(self) -> set[int]:
        """Every column of the file that is read."""
        used = set(self.keep)
        for view in self.views:
            used |= set(view.keep)
            used |= {given.position for given in view.fields.values() if given.position is not None}
        return used

    def headers(self, instruments: Iterable[str]) -> dict[str, str]:
        """What the file calls our columns, where it has one of each; a long file's totals are in one."""
        found: dict[str, set[str]] = {}
        for view in self.views:
            named = {ours: given.name for ours, given in view.fields.items() if given.position is not None}
            if "score" in named:
                named = dict.fromkeys(instruments, named["score"]) | named
            for ours, theirs in named.items():
                found.setdefault(ours, set()).add(theirs)
        return {ours: theirs.pop() for ours, theirs in found.items() if len(theirs) == 1}


def lay_out(header: Header, file: str, plan: Plan, found: Findings) -> Layout:
    """Resolve the plan's [columns] and our own names on one file's header."""
    columns = plan.columns
    resolver = _Resolver(header, file, plan)
    base = resolver.base()
    _check_totals(base, resolver, file, found)
    keep = resolver.keep(columns.keep)
    views = list(resolver.entries(base, found))
    rest = tuple(table for table in NAMES if not getattr(columns, table, ()))
    tables = tuple(table for table in rest if _makes(table, base, plan))
    if tables and ("patient" in base or not views):
        views.append(View(tables, base, {}))
    _check_view(views, header, file, found)
    layout = Layout(tuple(views), keep, ())
    dropped = {normal(name) for name in columns.drop}
    used = layout.positions()
    left = tuple(i for i, n in enumerate(header.names) if n and i not in used and n not in dropped)
    return Layout(layout.views, keep, left)


class _Resolver:
    def __init__(self, header: Header, file: str, plan: Plan) -> None:
        self.header, self.file, self.columns = header, file, plan.columns
        self.instruments: Mapping[str, Instrument] = plan.definitions.instruments
        self.dropped = {normal(name) for name in self.columns.drop}

    def base(self) -> dict[str, Given]:
        """Our columns at the top of [columns], and those the file calls by our own names."""
        fields = {
            name: given for name, f in self.columns.fields.items() if (given := self.given(f)) is not None
        }
        taken = {given.position for given in fields.values()}
        for position, name in enumerate(self.header.names):
            ours = self._ours(name)
            if ours and ours not in fields and position not in taken and name not in self.dropped:
                fields[ours] = Given(position, name=self.header.show(position))
        for name in self.columns.covariates:
            at = self.header.find(name)
            if at is not None and name not in fields:
                fields[name] = Given(at, name=self.header.show(at))
        if "day" in self.columns.fields and "date" not in self.columns.fields:
            fields.pop("date", None)
        if "date" in self.columns.fields and "day" not in self.columns.fields:
            fields.pop("day", None)
        return fields

    def _ours(self, name: str) -> str | None:
        if any(name in names for names in NAMES.values()) or name in self.instruments:
            return name
        match = _ITEM.fullmatch(name)
        if match and (match[1] == "item" or match[1] in self.instruments):
            return f"{match[1]}_{int(match[2])}"
        return None

    def given(self, field: Field) -> Given | None:
        """A field of the plan on this header; None where the file has no such column."""
        if field.source is None:
            return Given(None, field.value or "", name="a constant")
        at = self.header.find(field.source)
        return None if at is None else Given(at, None, field.map, self.header.show(at))

    def keep(self, wanted: Mapping[str, tuple[str, ...]]) -> dict[int, frozenset[str]]:
        """The row filter on this header, as far as the file has its columns."""
        found = {self.header.find(name): frozenset(values) for name, values in wanted.items()}
        return {at: values for at, values in found.items() if at is not None}

    def entries(self, base: Mapping[str, Given], found: Findings) -> Iterator[View]:
        """One view per table the plan lists for this file."""
        for table in NAMES:
            listed_maps: tuple[TableMap, ...] = getattr(self.columns, table)
            for entry in listed_maps:
                if entry.file and not fnmatch.fnmatch(self.file, entry.file):
                    continue
                fields = {name: self.given(field) for name, field in entry.fields.items()}
                absent = [entry.fields[name].source for name, given in fields.items() if given is None]
                absent += [name for name in entry.keep if self.header.find(name) is None]
                if absent:
                    self._absent(absent, table, bool(entry.file), found)
                    continue
                here = {name: given for name, given in fields.items() if given is not None}
                yield View((table,), self._inherit(table, here, base), self.keep(entry.keep))

    def _absent(self, absent: list[str | None], table: str, stated: bool, found: Findings) -> None:
        """A table of the plan that this file cannot give: a fault where the plan names the file."""
        if stated:
            near = near_names([name or "" for name in absent], self.header)
            found.refuse(
                self.file, Stop("B06", f"[[columns.{table}]] names columns the file does not have{near}")
            )

    def _inherit(self, table: str, fields: dict[str, Given], base: Mapping[str, Given]) -> dict[str, Given]:
        if "patient" not in fields and "patient" in base:
            fields["patient"] = base["patient"]
        dated = "day" in fields or "date" in fields
        covariates = self.columns.covariates if table == "people" else ()
        for name in (*INHERITED[table], *covariates):
            if name in base and name not in fields and not (name in ("day", "date") and dated):
                fields[name] = base[name]
        return fields


def numbered_items(
    names: Collection[str], instruments: Mapping[str, Instrument]
) -> dict[str, tuple[str, int]]:
    """Columns numbered in a row of which one bears an instrument's name: items, not totals.

    For each such name the instrument whose items they are ("" where no instrument has so many) and the
    item's number.

    >>> from ketaoutcomes.definitions import load
    >>> found = numbered_items(["id", *(f"phq_{i}" for i in range(1, 10))], load().instruments)
    >>> found["phq_9"], found["phq_8"], "id" in found
    (('phq9', 9), ('phq9', 8), False)
    """
    bare = {re.sub("[^a-z0-9]", "", name): name for name in names}
    found: dict[str, tuple[str, int]] = {}
    stems = {_NUMBER_AT_END.sub("", one.replace("_", "")) for one in instruments if one[-1].isdigit()}
    for stem in sorted(stems):
        last = next(k for k in itertools.count(1) if f"{stem}{k}" not in bare) - 1
        own = [one for one in instruments.values() if _NUMBER_AT_END.sub("", one.id.replace("_", "")) == stem]
        if last < 2 or not any(one.id.replace("_", "") in bare for one in own):
            continue
        whose = next((one.id for one in own if one.items == last), "")
        found |= {bare[f"{stem}{k}"]: (whose, k) for k in range(1, last + 1)}
    return found


def _check_totals(base: Mapping[str, Given], resolver: _Resolver, file: str, found: Findings) -> None:
    """Refuse to take the last of some numbered items (PHQ1 to PHQ9) for a total because of its name."""
    header = resolver.header
    names = {name: at for at, name in enumerate(header.names) if name and name not in resolver.dropped}
    items = numbered_items(names, resolver.instruments)
    stated = set(resolver.columns.fields)
    wrong = [
        name for name in resolver.instruments
        if name in base and name not in stated and header.names[base[name].position or 0] in items
    ]  # fmt: skip
    if not wrong:
        return
    whose = [(f"{one}_{k}", header.show(names[name])) for name, (one, k) in items.items() if one]
    lines = ", ".join(f'{ours} = "{theirs}"' for ours, theirs in whose)
    meant = f"if they are items, write under [columns]: {lines}; if not" if lines else "if they are not items"
    totals = ", ".join(f'{name} = "{base[name].name}"' for name in wrong)
    message = f"has numbered columns of which one is called like a total; {meant}, write {totals}"
    found.refuse(file, Stop("G13", message, column=base[wrong[0]].name))


def near_names(absent: Collection[str], header: Header) -> str:
    """The names the plan asks for, and what the file has that is near them, as the end of a message.

    >>> near_names(["patient"], Header(("Patient ID", "phq9"), 1))
    ': patient (near: Patient ID)'
    """
    parts = []
    known = {name: position for position, name in enumerate(header.names) if name}
    for name in absent:
        near = [n for n in known if normal(name) in n] or difflib.get_close_matches(
            normal(name), known, n=3, cutoff=0.6
        )
        near_text = listed([header.show(known[n]) for n in near], 3)
        parts.append(f"{name} (near: {near_text})" if near else name)
    return ": " + listed(parts)


def _makes(table: str, fields: Mapping[str, Given], plan: Plan) -> bool:
    """Whether some columns make a table at all."""
    if table == "doses":
        return any(mark in fields for mark in (*DOSE_MARKS, "session")) and not is_long(fields, plan)
    if table == "scores":
        return bool(instruments_in(fields, plan)) or is_long(fields, plan)
    if table == "events":
        return "kind" in fields
    if table == "monitoring":
        return bool({"day", "date"} & set(fields)) and any(name in fields for name in READINGS)
    covariates = set(plan.columns.covariates)
    return any(name in fields for name in (*PEOPLE_ONLY, "site", "weight_kg")) or bool(
        covariates & set(fields)
    )


def is_long(fields: Mapping[str, Given], plan: Plan) -> bool:
    """Whether each row is one questionnaire, named in a column `instrument`."""
    return "instrument" in fields and ("score" in fields or "item_1" in fields)


def instruments_in(fields: Mapping[str, Given], plan: Plan) -> dict[str, tuple[list[str], bool]]:
    """The instruments a wide row holds: their item columns in order, and whether a total is given."""
    found: dict[str, tuple[list[str], bool]] = {}
    for name, instrument in plan.definitions.instruments.items():
        items = [f"{name}_{i}" for i in range(1, 100) if f"{name}_{i}" in fields]
        if items or name in fields:
            found[name] = (items, name in fields)
            _ = instrument
    return found


def _check_view(views: list[View], header: Header, file: str, found: Findings) -> None:
    """What every view needs: a patient, and a day or a date unless it is of people only."""
    for view in views:
        absent = [] if "patient" in view.fields else ["patient"]
        dated = {"day", "date"} & set(view.fields)
        if view.tables != ("people",) and not dated and set(view.tables) != {"people"}:
            absent.append("day")
        if absent:
            line = ", ".join(f'{name} = "..."' for name in absent)
            message = f"lacks a column{near_names(absent, header)}; write its header under [columns]: {line}"
            found.refuse(file, Stop("B06", message))
        if len(dated) == 2:
            found.refuse(
                file,
                Stop(
                    "B06",
                    'has both `day` and `date`; write under [columns]: drop = ["day"], or drop = ["date"]',
                ),
            )
