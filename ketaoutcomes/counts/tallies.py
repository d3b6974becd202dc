"""The Tally: integer counts from which every published number is computed, and which add.

`tally(A) + tally(B)` equals `tally(A and B)` for any split by patient, so a cohort too large for memory,
or split between sites that may not share rows, gives the same numbers as one file.

A raw Tally is nearly the rows themselves: most of its cells hold a few people. Share it under agreement
only. A protected one (`ko.protect`) may be published; it no longer adds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import ketaoutcomes
from ketaoutcomes.shown import PlainError, WrongChoice

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

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
METHODS = ("wilson", "exact", "jeffreys")
NOTED = ("version", "sources", "dates")  # recorded, not compared when tallies are added


class TallyError(PlainError):
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
    change: str = ""  # what counts as change beyond error, where that was counted: canonical JSON
    measure: str = ""  # the quality measure counted, as JSON: its definition, periods, what was judged
    entry: str = ""  # entry rules of published series that it is grouped by: canonical JSON
    lasting: tuple[str, ...] = ()  # rules for relapse and sudden gains, where counted: canonical JSON
    schema: int = SCHEMA
    numbers: int = NUMBERS
    version: str = ketaoutcomes.__version__
    sources: tuple[str, ...] = ()
    dates: str = "offsets"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The plan, with every definition it names, as data: what `plan` says as text. To be read only."""
        content: dict[str, Any] = json.loads(self.plan)
        return content

    def limits(self, method: str | None = None, level: float | None = None) -> tuple[str, float]:
        """The method and level of intervals: as asked, otherwise as the plan says."""
        if method not in (None, *METHODS):
            raise WrongChoice(f"interval must be one of {', '.join(METHODS)}; got {method!r}")
        if level is not None and not 0 < level < 1:
            raise WrongChoice(f"level must lie between 0 and 1, for example 0.95; got {level}")
        rates = self.settings["rates"]
        return method or rates["interval"], float(rates["level"]) if level is None else level


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts of one cohort under one plan and one grouping; four long tables and a header.

    Tables end in the grouping's columns and `n`, the number of persons (each once); `flow` also has
    `people` beside the number of its unit. No row holds a zero. `protected` names the disclosure profile
    a protected Tally has been through.

    >>> counted = study.tally(at="end", criteria="phq9_response50", kind="current")
    >>> counted
    Tally(as of 2026-10-31; by everyone; end; 1 criteria; raw: share under agreement only)
    >>> counted.points[["state", "n"]].head(2).to_numpy().tolist()
    [['carried_met', 23], ['carried_not_met', 107]]
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
        """The four tables by name.

        >>> tables = study.tally(at="end", criteria="phq9_response50", kind="current").tables()
        >>> {name: int(table["n"].sum()) for name, table in tables.items() if name in ("points", "values")}
        {'points': 1052, 'values': 6661}
        """
        return {name: getattr(self, name) for name in KEYS}

    def to_json(self) -> str:
        """Canonical JSON: equal tallies give equal text, whatever order they were counted in.

        >>> study.tally(at="end", tables=("flow",)).to_json()[:24]
        '{"header":{"as_of":"2026'
        """
        header = {f.name: getattr(self.header, f.name) for f in fields(Header)}
        tables = {}
        for name, table in self.tables().items():
            rows = table.astype(object).where(table.notna(), None)
            tables[name] = {"columns": list(table.columns), "rows": rows.to_numpy().tolist()}
        content = {"header": header, "protected": self.protected, "tables": tables}
        return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=int)

    def save(self, path: str | Path) -> None:
        """Write canonical JSON. A raw Tally is nearly row-level data: keep it as you keep the rows.

        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> counted = study.tally(at="end", tables=("flow",))
        >>> with TemporaryDirectory() as folder:
        ...     counted.save(Path(folder) / "tally.json")
        ...     ko.load_tally(Path(folder) / "tally.json") == counted
        True
        """
        from pathlib import Path

        Path(path).write_text(self.to_json() + "\n", encoding="utf-8")


def load_tally(path: str | Path) -> Tally:
    """Read a Tally that `Tally.save` wrote. Raises `TallyError` for another schema.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     study.tally(at="end", tables=("flow",)).save(Path(folder) / "tally.json")
    ...     load_tally(Path(folder) / "tally.json")
    Tally(as of 2026-10-31; by everyone; end; 4 criteria; raw: share under agreement only)
    """
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
        # A median may end in a half.
        types[count] = "int64" if (numbers % 1 == 0).all() else "float64"
    table = table.astype(types)
    return table.sort_values(keys, kind="stable", ignore_index=True)


@dataclass(frozen=True, eq=False)
class Counted:
    """Counts of one block of patients on their way into a table of a Tally: packed codes, labelled later.

    `packed` holds one integer per cell, `labels` what its digits stand for (the columns in order, most
    significant first) and `constants` the columns that are the same in every cell.
    """

    name: str
    labels: tuple[tuple[str, Sequence[Any]], ...]
    constants: tuple[tuple[str, Any], ...]
    packed: NDArray[np.int64]
    counts: Mapping[str, NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.packed)

    def table(self) -> pd.DataFrame:
        """The counts with a column of labels for every key."""
        found, packed = dict(self.constants), self.packed
        for column, labels in reversed(self.labels):
            found[column] = np.array(labels, dtype=object)[packed % len(labels)]
            packed = packed // len(labels)
        # One block of objects: columns handed over one by one are each searched for a better type.
        block = np.empty((len(found), len(packed)), dtype=object)
        for row, values in zip(block, found.values(), strict=True):
            row[:] = values
        frame = pd.DataFrame(block.T, columns=list(found), dtype=object)
        for count in COUNTS[self.name]:
            frame[count] = self.counts[count]
        return frame


Part = Counted | pd.DataFrame


def _together(parts: Iterable[Part]) -> list[pd.DataFrame]:
    """The parts as tables; counts whose columns stand for the same are joined before they are labelled."""
    tables: list[pd.DataFrame] = []
    alike: dict[Any, list[Counted]] = {}
    for part in parts:
        if isinstance(part, pd.DataFrame):
            tables.append(part)
        elif len(part):
            alike.setdefault((part.labels, part.constants), []).append(part)
    for (labels, constants), same in alike.items():
        name = same[0].name
        counts = {count: np.concatenate([part.counts[count] for part in same]) for count in COUNTS[name]}
        packed = np.concatenate([part.packed for part in same])
        tables.append(Counted(name, labels, constants, packed, counts).table())
    return [table for table in tables if len(table)]


def summed(name: str, parts: Iterable[Part], by: tuple[str, ...]) -> pd.DataFrame:
    """Tables of one kind added: rows with equal keys become one, their counts summed; as `typed` has them."""
    tables = _together(parts)
    keys = [*KEYS[name], *by]
    types = {key: "int64" if key in INTEGER_KEYS else object for key in keys}
    if not tables:
        return pd.DataFrame(
            {key: np.array([], dtype=types[key]) for key in keys}
            | {count: np.array([], dtype=np.int64) for count in COUNTS[name]}
        )
    table = pd.concat(tables, ignore_index=True)
    values = {key: table[key].to_numpy(dtype=types[key]) for key in keys}
    first, cell = _cells(list(values.values()))
    added = {key: column[first] for key, column in values.items()}
    for count in COUNTS[name]:
        added[count] = np.zeros(len(first), dtype=np.int64)
        np.add.at(added[count], cell, table[count].to_numpy(dtype=np.int64))
    kept = added["n"] != 0
    return pd.DataFrame({key: pd.Series(column[kept], dtype=column.dtype) for key, column in added.items()})


def _cells(columns: Sequence[NDArray[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct rows of key columns in order: where each is first found, and which of them every row is.

    The columns are packed into one integer as they come, which is renumbered before it could overflow.
    """
    packed, size = np.zeros(len(columns[0]), dtype=np.int64), 1
    for column in columns:
        codes, labels = pd.factorize(column, sort=True, use_na_sentinel=False)
        if size > 2**62 // max(len(labels), 1):
            distinct, packed = np.unique(packed, return_inverse=True)
            size = len(distinct)
        packed = packed * len(labels) + codes
        size *= len(labels)
    _, first, cell = np.unique(packed, return_index=True, return_inverse=True)
    return first, cell


def combine(tallies: Iterable[Tally]) -> Tally:
    """The sum of tallies: as if their patients had been counted together.

    Headers must be equal but for what is only noted. Raises `TallyError` naming every difference, or when
    one of them is protected: hidden counts cannot be added.

    >>> def counts(patients):
    ...     frame = pd.DataFrame({"patient": patients, "day": 0, "dose": 0.5, "route": "iv", "phq9": 18})
    ...     return ko.tally(ko.Cohort.from_frames(frame), at="end")
    >>> combine([counts(["a", "b"]), counts(["c"])]) == counts(["a", "b", "c"])
    True
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


def make(header: Header, parts: Mapping[str, Sequence[Part]]) -> Tally:
    """A Tally from the parts of its tables, equal keys summed."""
    flow, points, values, transitions = (summed(name, parts.get(name, ()), header.by) for name in KEYS)
    return Tally(header, flow, points, values, transitions)
