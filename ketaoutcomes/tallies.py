"""The Tally: integer counts from which every published number is computed, and which add.

`tally(A) + tally(B)` equals `tally(A and B)` for any split by patient, so a cohort too large for memory,
or split between sites that may not share rows, gives the same numbers as one file.

A raw Tally is nearly the rows themselves: most of its cells hold a few people. Share it under agreement
only. A protected one (`ko.protect`) may be published; it no longer adds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import pandas as pd

import ketaoutcomes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

SCHEMA = 1
NUMBERS = 1  # raised only together with the CHANGELOG's "Numbers that change"

KEYS: dict[str, tuple[str, ...]] = {
    "flow": ("unit", "instrument", "step", "reason"),
    "points": ("instrument", "criterion", "kind", "axis", "point", "given", "state"),
    "values": ("instrument", "variable", "axis", "point", "value"),
    "transitions": ("instrument", "criterion", "clock", "day", "from", "to"),
}
COUNTS: dict[str, tuple[str, ...]] = {name: ("n", "people") if name == "flow" else ("n",) for name in KEYS}
INTEGER_KEYS = {"value", "day"}
NOTED = ("version", "sources", "dates")  # recorded, not compared when tallies are added


class TallyError(ValueError):
    """Tallies that cannot be added or read, and why."""


@dataclass(frozen=True)
class Header:
    """What was counted. All but the last three fields must be equal for two tallies to add."""

    plan: str
    plan_hash: str
    as_of: str
    by: tuple[str, ...]
    axes: tuple[str, ...]
    criteria: tuple[str, ...]
    kinds: tuple[str, ...]
    courses: str = "first"
    basis: str = ""  # of good time's level, where that was counted: target or fixed
    schema: int = SCHEMA
    numbers: int = NUMBERS
    version: str = ketaoutcomes.__version__
    sources: tuple[str, ...] = ()
    dates: str = "offsets"


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts of one cohort under one plan and one grouping; four long tables and a header.

    Tables end in the grouping's columns and `n`, the number of persons (each once); `flow` also has
    `people` beside the number of its unit. No row holds a zero. `protected` names the disclosure profile
    a protected Tally has been through.
    """

    header: Header
    flow: pd.DataFrame
    points: pd.DataFrame
    values: pd.DataFrame
    transitions: pd.DataFrame
    protected: str | None = field(default=None)

    def __add__(self, other: object) -> Tally:
        if not isinstance(other, Tally):
            return NotImplemented
        return combine([self, other])

    def __radd__(self, other: object) -> Tally:
        if other == 0:
            return self
        return NotImplemented

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tally) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        h = self.header
        by = ", ".join(h.by) or "everyone"
        kind = f"protected ({self.protected})" if self.protected else "raw: share under agreement only"
        return f"Tally(as of {h.as_of}; by {by}; {', '.join(h.axes)}; {len(h.criteria)} criteria; {kind})"

    def tables(self) -> dict[str, pd.DataFrame]:
        """The four tables by name."""
        return {name: getattr(self, name) for name in KEYS}

    def to_json(self) -> str:
        """Canonical JSON: equal tallies give equal text, whatever order they were counted in."""
        header = {f.name: getattr(self.header, f.name) for f in fields(Header)}
        tables = {}
        for name, table in self.tables().items():
            rows = table.astype(object).where(table.notna(), None)
            tables[name] = {"columns": list(table.columns), "rows": rows.to_numpy().tolist()}
        content = {"header": header, "protected": self.protected, "tables": tables}
        return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=int)

    def save(self, path: str | Path) -> None:
        """Write canonical JSON. A raw Tally is nearly row-level data: keep it as you keep the rows."""
        from pathlib import Path

        Path(path).write_text(self.to_json() + "\n", encoding="utf-8")


def load_tally(path: str | Path) -> Tally:
    """Read a Tally that `Tally.save` wrote. Raises `TallyError` for another schema."""
    from pathlib import Path

    return parse_tally(Path(path).read_text(encoding="utf-8"))


def parse_tally(text: str) -> Tally:
    """A Tally from its canonical JSON."""
    try:
        content = json.loads(text)
        header = content["header"]
        if header["schema"] != SCHEMA:
            raise TallyError(
                f"this Tally has schema {int(header['schema'])}; this version reads schema {SCHEMA}"
            )
        names = {f.name for f in fields(Header)}
        clean: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in header.items() if k in names
        }
        by = tuple(header["by"])
        tables = {
            name: typed(name, pd.DataFrame(t["rows"], columns=t["columns"]), by)
            for name, t in content["tables"].items()
        }
        return Tally(Header(**clean), **tables, protected=content["protected"])
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError):
        raise TallyError("not a Tally: the file is not what `Tally.save` writes") from None


def typed(name: str, table: pd.DataFrame, by: tuple[str, ...]) -> pd.DataFrame:
    """A table of a Tally with its declared columns, types and order; counts that are hidden stay NaN.

    A column of the grouping that is also a key of the table keeps its place in the key.
    """
    keys = [*KEYS[name], *by]
    columns = [*keys, *COUNTS[name]]
    table = table.reindex(columns=columns)
    types: dict[str, Any] = {key: "int64" if key in INTEGER_KEYS else object for key in keys}
    for count in COUNTS[name]:
        numbers = pd.to_numeric(table[count])
        types[count] = "int64" if numbers.notna().all() else "float64"
    table = table.astype(types)
    return table.sort_values(keys, kind="stable", ignore_index=True)


def summed(name: str, parts: Iterable[pd.DataFrame], by: tuple[str, ...]) -> pd.DataFrame:
    """Tables of one kind added: rows with equal keys become one, their counts summed."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return typed(name, pd.DataFrame(columns=[*KEYS[name], *by, *COUNTS[name]]), by)
    table = pd.concat(parts, ignore_index=True)
    keys = [*KEYS[name], *by]
    counts = list(COUNTS[name])
    table = table.groupby(keys, sort=False, dropna=False, observed=True)[counts].sum().reset_index()
    return typed(name, table[table["n"] != 0], by)


def combine(tallies: Iterable[Tally]) -> Tally:
    """The sum of tallies: as if their patients had been counted together.

    Headers must be equal but for what is only noted. Raises `TallyError` naming every difference, or when
    one of them is protected: hidden counts cannot be added.
    """
    tallies = list(tallies)
    if not tallies:
        raise TallyError("nothing to add")
    if any(t.protected for t in tallies):
        raise TallyError("a protected Tally no longer adds; add the raw ones, then protect the sum")
    first = tallies[0].header
    compared = [f.name for f in fields(Header) if f.name not in NOTED]
    differ = sorted(
        {name for t in tallies[1:] for name in compared if getattr(t.header, name) != getattr(first, name)}
    )
    if differ:
        raise TallyError("these tallies were counted differently and do not add: " + ", ".join(differ))
    noted: dict[str, Any] = {f.name: getattr(first, f.name) for f in fields(Header)}
    noted["sources"] = tuple(sorted({source for t in tallies for source in t.header.sources}))
    noted["dates"] = "dates" if any(t.header.dates == "dates" for t in tallies) else first.dates
    return make(Header(**noted), {name: [getattr(t, name) for t in tallies] for name in KEYS})


def make(header: Header, parts: Mapping[str, Sequence[pd.DataFrame]]) -> Tally:
    """A Tally from the parts of its tables, equal keys summed."""
    flow, points, values, transitions = (summed(name, parts.get(name, ()), header.by) for name in KEYS)
    return Tally(header, flow, points, values, transitions)
