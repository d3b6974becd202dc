"""Quality measures without small cells: everyone who entered, in as many cells as may be shown.

The people who entered a measure in a period are partitioned by state. The states are joined until every
cell holds nobody or more than the threshold; any sum of such cells does too, and so does the difference of
two such sums of which one holds the other. What else could tell a small number is tested by subtraction:

- between the rates of a measure and period, which are of the same people: those who met one and not another;
- between periods and measures, whose people overlap: like counts (who entered, the denominator, who met, and
  so on) that differ by a small number;
- between those who entered and everyone the other Tallies of the release count (patients, courses, who is
  due), whether or not those are printed;
- between groups and everybody: where a group is hidden, the hidden ones are known together, so they must pass
  the same tests together; the smallest shown group joins them until they do. One set of groups is hidden
  throughout a measure and period.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.tallies import KEYS, typed
from ketaoutcomes.disclosure.facts import DisclosureError
from ketaoutcomes.disclosure.transport import small

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

Array = Any
JOIN = "+"
COUNTS: Mapping[str, tuple[str, ...]] = {
    "population": ("excluded", "not_due", "missing", "not_met", "met"),
    "outside": ("excluded", "not_due"),
    "excluded": ("excluded",),
    "not_due": ("not_due",),
    "n": ("missing", "not_met", "met"),
    "unmet": ("missing", "not_met"),
    "scored": ("not_met", "met"),
    "missing": ("missing",),
    "not_met": ("not_met",),
    "met": ("met",),
}
"""What can be read from a measure's table, by the states it adds up; `excluded` stands for every reason."""

# How states are joined, from fine to coarse: those outside the denominator (`*`: each reason by itself), and
# those in it. The rates of a measure share the first: who is not due is the same in all of them, and one rate
# must not tell what another joins.
OUTSIDE = ((("*",), ("not_due",)), (("excluded",), ("not_due",)), (("excluded", "not_due"),))
JUDGED = ((("missing",), ("not_met",), ("met",)), (("missing", "not_met"), ("met",)),
          (("missing", "not_met", "met"),))  # fmt: skip
EVERYBODY = (len(OUTSIDE), len(JUDGED))
Level = tuple[int, int]  # positions in the two; EVERYBODY joins all

# Counts that may lie inside one another where two measures are of the same people.
NESTED = ({"met", "scored", "n"}, {"missing", "not_met", "unmet", "n"})


LIKE = (
    ("met", "not_met", "missing"), ("met",), ("not_met",), ("missing",), ("met", "not_met"),
    ("missing", "not_met"),
)  # fmt: skip
"""What is subtracted between rates of the same people: the denominator first."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One measure, period and grouping: how many stand in each state, by rate, group and state."""

    of: str
    rates: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    states: tuple[str, ...]
    n: Array

    def cells(self, level: Level) -> list[tuple[str, ...]]:
        """The states that each cell of a level joins."""
        joined: tuple[tuple[str, ...], ...] = (COUNTS["population"],)
        if level != EVERYBODY:
            joined = (*OUTSIDE[level[0]], *JUDGED[level[1]])
        reasons = tuple(state for state in self.states if state.startswith("excluded:"))
        found: list[tuple[str, ...]] = []
        for cell in joined:
            if cell == ("*",):
                found += [(reason,) for reason in reasons]
            else:
                found.append(tuple(s for name in cell for s in (reasons if name == "excluded" else (name,))))
        return [cell for cell in found if cell]

    def together(self) -> Entry:
        """Everybody, in one group."""
        return Entry(self.of, self.rates, ((),), self.states, self.n.sum(axis=1, keepdims=True))

    def count(self, names: Sequence[str], n: Array) -> Array:
        """How many stand in any of some states, by rate and group."""
        return n[..., [self.states.index(name) for name in names]].sum(axis=-1)

    def facts(self, level: Level, n: Array) -> Iterator[tuple[str, Array]]:
        """What can be printed at a level, by name: the counts whose states are whole cells."""
        cells = self.cells(level)
        for name, parts in COUNTS.items():
            wanted = {s for s in self.states if s in parts or ("excluded" in parts and s not in COUNTS)}
            if all(set(cell) <= wanted or not set(cell) & wanted for cell in cells):
                yield name, self.count([s for s in self.states if s in wanted], n)
        for cell in cells:
            if len(cell) == 1 and cell[0] not in COUNTS:
                yield cell[0], self.count(cell, n)


Told = dict[tuple[str, ...], list[tuple[str, dict[str, int]]]]
"""By group: the counts of each rate that are shown already, with the measure and period they are of."""


def protect_measures(
    tallies: Sequence[Tally], others: Sequence[Tally], profile: str, limit: int
) -> list[Tally]:
    """The measures of a release as they may be published, beside its other Tallies.

    Counts of 1 to `limit` are small. States are joined by `+`; n is NaN where hidden. Raises
    `DisclosureError` where a measure is grouped in two ways: their cells would cross.
    """
    grouped: dict[str, set[tuple[str, ...]]] = {}
    for tally in tallies:
        if tally.header.by:
            grouped.setdefault(json.loads(tally.header.measure)["measure"]["id"], set()).add(tally.header.by)
    for name, ways in grouped.items():
        if len(ways) > 1:
            raise DisclosureError(f"measure {name} is grouped in {len(ways)} ways; publish one of them")
    everyone = _everyone(others)
    told: Told = {}
    return [
        replace(tally, points=_points(tally, told, everyone, limit), protected=profile) for tally in tallies
    ]


def _everyone(others: Sequence[Tally]) -> frozenset[int]:
    """The numbers of people other Tallies count: patients, courses, who is due, how far they were scored."""
    found: set[int] = set()
    for tally in others:
        flow = tally.flow[tally.flow["unit"] != "row"]
        for _, step in flow.groupby(["unit", "instrument", "step"], sort=False):
            found.add(int(step["people"].sum()))
            found.update(step.groupby("reason")["people"].sum().astype(int))
    return frozenset(found - {0})


def _points(tally: Tally, told: Told, everyone: frozenset[int], limit: int) -> pd.DataFrame:
    asked = json.loads(tally.header.measure)
    parts: list[pd.DataFrame] = []
    for period in asked["periods"]:
        entry = _entry(tally, asked, period)
        if not len(entry.groups):
            continue
        levels, shown = _choose(entry, told, everyone, limit, bool(tally.header.by))
        for one in (entry, entry.together()) if shown.all() else (entry,):
            _tell(one, levels, shown, told)
        for r, rate in enumerate(entry.rates):
            parts += _rows(tally, entry, r, rate, period, levels[r], shown)
    if not parts:
        return tally.points.iloc[:0]
    return typed("points", pd.concat(parts, ignore_index=True), tally.header.by)


def _tell(entry: Entry, levels: Sequence[Level], shown: Array, told: Told) -> None:
    """Note what is shown, so that what comes later is set beside it."""
    for r, level in enumerate(levels):
        facts = dict(entry.facts(level, entry.n))
        for g, group in enumerate(entry.groups):
            if shown[g]:
                counts = {name: int(count[r, g]) for name, count in facts.items()}
                told.setdefault(group, []).append((entry.of, counts))


def _entry(tally: Tally, asked: dict[str, Any], period: str) -> Entry:
    """One period's counts, with every state the measure has."""
    by = list(tally.header.by)
    cells, of = tally.points[tally.points["point"] == period], f"{period} {tally.header.measure}"
    rates = tuple(rate["name"] for rate in asked["measure"]["rates"])
    states = (*(f"excluded:{reason}" for reason in asked["reasons"]), "not_due", "missing", "not_met", "met")
    keys = cells[by].astype(str)
    groups = tuple(sorted(set(keys.itertuples(index=False, name=None)))) if by else ((),)
    if by and not groups:
        return Entry(of, rates, (), states, np.zeros((len(rates), 0, len(states)), dtype=np.int64))
    n = np.zeros((len(rates), len(groups), len(states)), dtype=np.int64)
    place = {group: i for i, group in enumerate(groups)}
    own = [place[group] for group in keys.itertuples(index=False, name=None)] if by else [0] * len(cells)
    rate = cells["criterion"].map(rates.index).to_numpy(dtype=np.int64)
    state = cells["state"].map(states.index).to_numpy(dtype=np.int64)
    np.add.at(n, (rate, np.array(own, dtype=np.int64), state), cells["n"].to_numpy(dtype=np.int64))
    return Entry(of, rates, groups, states, n)


def _choose(
    entry: Entry, told: Told, everyone: frozenset[int], limit: int, grouped: bool
) -> tuple[list[Level], Array]:
    """The level of every rate, and which groups are shown: most rates, then most groups, then finest."""
    best: tuple[tuple[int, int], list[Level], Array] = ((-1, -1), [EVERYBODY for _ in entry.rates], None)
    whole = entry.together()
    for levels in _finest_first(len(entry.rates)):
        fine = _fine(entry, entry.n, levels, limit) & _beside(entry, levels, told, frozenset(), limit)
        # Groups that are all shown add up to everybody, whether or not that is printed.
        fine &= _fine(whole, whole.n, levels, limit)[0] & _beside(whole, levels, told, everyone, limit)[0]
        shown = _with_company(entry, levels, fine, limit) if grouped else fine
        told_rates = sum(("met",) in entry.cells(level) for level in levels)
        worth = (int(shown.sum()) * told_rates, int(shown.sum()))
        if worth > best[0]:
            best = (worth, levels, shown)
    return best[1], best[2]


def _finest_first(rates: int) -> Iterator[list[Level]]:
    """Levels for all rates: the same for all, or for some, the others telling how many are due or entered."""
    for judged in range(len(JUDGED)):
        for outside in range(len(OUTSIDE)):
            level, due = (outside, judged), (outside, len(JUDGED) - 1)
            yield [level] * rates
            for rest in (due, EVERYBODY) if level != due else (EVERYBODY,):
                for many in range(rates - 1, 0, -1):
                    for kept in combinations(range(rates), many):
                        yield [level if r in kept else rest for r in range(rates)]
    yield [EVERYBODY] * rates


def _fine(entry: Entry, n: Array, levels: Sequence[Level], limit: int) -> Array:
    """Per group: no cell is small, and no difference between rates of the same people is."""
    fine = np.ones(n.shape[1], dtype=bool)
    for r, level in enumerate(levels):
        for cell in entry.cells(level):
            fine &= ~small(entry.count(cell, n)[r], limit)
    for a, b in combinations(range(len(levels)), 2):
        # A rate may leave out people another does not: like counts differ by them, or by who met only one.
        same = set(dict(entry.facts(levels[a], n))) & set(dict(entry.facts(levels[b], n)))
        for part in LIKE if "met" in same else LIKE[:1] if "n" in same else ():
            whole = entry.count(part, n)
            fine &= ~small(whole[a] - whole[b], limit)
    told = [r for r, level in enumerate(levels) if ("met",) in entry.cells(level)]
    yes, scored = entry.count(["met"], n), entry.count(["met", "not_met"], n)
    for a, b, c in permutations(told, 3):
        if a < b:
            # Where the third holds who met both others, whoever met neither can be told.
            either = yes[a] + yes[b] - yes[c]
            fine &= ~small(scored[c] - either, limit) & ~small(scored[a] - either, limit)
    return fine


def _beside(entry: Entry, levels: Sequence[Level], told: Told, everyone: frozenset[int], limit: int) -> Array:
    """Per group: no count differs by a small number from one that is shown already and may be nested with it.

    Those are like counts; and, of measures of the same people, any within the denominator or outside it.
    """
    fine = np.ones(len(entry.groups), dtype=bool)
    for r, level in enumerate(levels):
        facts = dict(entry.facts(level, entry.n))
        for g, group in enumerate(entry.groups):
            own = {name: int(count[r, g]) for name, count in facts.items()}
            before = [(name, count) for name in ("population", "n") if name in own for count in everyone]
            close = any(0 < abs(own[name] - count) <= limit for name, count in before)
            fine[g] &= not close and not any(
                of != entry.of and _close(own, other, limit) for of, other in told.get(group, ())
            )
    return fine


def _close(own: Mapping[str, int], other: Mapping[str, int], limit: int) -> bool:
    """Whether two rates have counts that may be nested and differ by a small number."""
    same_people = own["population"] == other["population"]
    return any(
        0 < abs(own[a] - other[b]) <= limit
        for a in own
        for b in other
        if a == b or (same_people and _may_nest(a, b))
    )


def _may_nest(a: str, b: str) -> bool:
    outside = [name not in COUNTS or name in ("excluded", "not_due", "outside") for name in (a, b)]
    return all(outside) or any({a, b} <= names for names in NESTED)


def _with_company(entry: Entry, levels: Sequence[Level], fine: Array, limit: int) -> Array:
    """Which groups are shown: the hidden ones pass the same tests together; else the smallest joins them."""
    shown = fine.copy()
    order = np.argsort(entry.n[0].sum(axis=-1), kind="stable")
    while not shown.all() and shown.any():
        hidden = entry.n[:, ~shown].sum(axis=1, keepdims=True)
        if bool(_fine(entry, hidden, levels, limit)[0]) and (~shown).sum() > 1:
            break
        shown[next(g for g in order if shown[g])] = False
    return shown


def _rows(
    tally: Tally, entry: Entry, r: int, rate: str, period: str, level: Level, shown: Array
) -> list[pd.DataFrame]:
    """The cells of one rate and period; one hidden cell of everybody where a group is not shown."""
    by, keys = list(tally.header.by), dict.fromkeys(KEYS["points"], "")
    instrument = str(tally.points["instrument"].iloc[0]) if len(tally.points) else ""
    keys |= {"instrument": instrument, "criterion": rate, "axis": "measure", "point": period}
    parts = []
    for g, group in enumerate(entry.groups):
        cells = entry.cells(level) if shown[g] else entry.cells(EVERYBODY)
        n = [float(entry.count(cell, entry.n)[r, g]) if shown[g] else np.nan for cell in cells]
        table = pd.DataFrame({"state": [JOIN.join(cell) for cell in cells], "n": n})
        parts.append(table.assign(**(keys | dict(zip(by, group, strict=True)) | {"state": table["state"]})))
    return parts
