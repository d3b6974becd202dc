"""Signed sums of published counts that are again a count of persons, beyond differences of two nested sets.

Such a sum is 0 or 1 for every kind of person there can be. The kinds are written out: for criteria, every
combination that one score can have; for the flow, every way a course can be counted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from ketaoutcomes.disclosure.facts import Fact, Margin
from ketaoutcomes.disclosure.links import NOW, Logic, countable

Array = Any

LONGEST = 4  # facts in one sum of the flow


@dataclass(frozen=True, eq=False)
class Sums:
    """The sums of one grouping: `rows` and `signs` of each, and which sums a fact is in."""

    rows: list[Array] = field(default_factory=list)
    signs: list[Array] = field(default_factory=list)
    of: dict[int, list[int]] = field(default_factory=dict)

    def add(self, rows: Sequence[int], signs: Sequence[int]) -> None:
        """Add a sum; where two of its facts are one, what remains is shorter and stands elsewhere."""
        if len(set(rows)) < len(rows):
            return
        for row in rows:
            self.of.setdefault(row, []).append(len(self.rows))
        self.rows.append(np.array(rows, dtype=np.int64))
        self.signs.append(np.array(signs, dtype=np.int64)[:, None])


def all_sums(margin: Margin, rules: Logic, needs: Array) -> Sums:
    """Every sum among the facts of a grouping; `needs` holds the row of the people due of each fact."""
    sums = Sums()
    for rows, signs in _judged(margin, rules, needs):
        sums.add(rows, signs)
    for instrument in sorted({fact.instrument for fact in margin.row if fact.role == "eligible"}):
        for rows, signs in _of_flow(margin, instrument):
            sums.add(rows, signs)
        for (more, less), (fewer, rest) in itertools.combinations(_not_eligible(margin, instrument), 2):
            sums.add([more, less, fewer, rest], [1, -1, -1, 1])
    return sums


def _judged(margin: Margin, rules: Logic, needs: Array) -> Iterator[tuple[list[int], list[int]]]:
    """At every point, the sums that definitions make countable, of those due and of those scored."""
    places: dict[tuple[str, str, str, str], dict[str, int]] = {}
    for fact, at in margin.row.items():
        if fact.role == "met" and fact.kind in NOW:
            place = (fact.instrument, fact.kind, fact.axis, fact.point)
            places.setdefault(place, {})[fact.criterion] = at
    for (instrument, kind, axis, point), row in places.items():
        for terms in rules.sums.get(instrument, ()):
            names = [name for _, name in terms if name]
            if not all(name in row for name in names):
                continue
            rows, signs = [row[name] for name in names], [sign for sign, name in terms if name]
            if len(names) == len(terms):
                yield rows, signs
                continue
            scored = {margin.row[Fact("assessed", instrument, name, kind, axis, point)] for name in names}
            due = {int(needs[r]) for r in rows}
            for whole in (scored, due):
                if len(whole) == 1:
                    yield [*whole, *rows], [1, *signs]


def _of_flow(margin: Margin, instrument: str) -> Iterator[tuple[list[int], list[int]]]:
    reasons = [f.criterion for f in margin.row if f.role == "reason" and f.instrument == instrument]
    reasons = sorted(set(reasons) - {"no_baseline", "later_course"})
    for terms in _flow_sums(tuple(reasons)):
        rows = [_flow_row(margin, instrument, name) for _, name in terms]
        if None not in rows:
            yield [row for row in rows if row is not None], [sign for sign, _ in terms]


def _flow_row(margin: Margin, instrument: str, name: str) -> int | None:
    if name.startswith("reason:"):
        return margin.row.get(Fact("reason", instrument, name.removeprefix("reason:")))
    if name == "with_course":
        return margin.row.get(Fact("with_course"))
    if name.startswith("scored:"):
        kind = name.removeprefix("scored:")
        wanted = ("assessed", instrument, kind, "end")
        found = (at for f, at in margin.row.items() if (f.role, f.instrument, f.kind, f.axis) == wanted)
        return next(found, None)
    return margin.row.get(Fact(name, instrument))


@lru_cache(maxsize=32)
def _flow_sums(reasons: tuple[str, ...]) -> tuple[tuple[tuple[int, str], ...], ...]:
    """Sums over the ways a course can be counted: its reason, due or not, how far it was measured."""
    ways: list[set[str]] = []
    first = {"courses", "with_course"}
    ways += [first | {"reason:no_baseline"}, first | {"reason:no_baseline", "started"}]
    reach: list[set[str]] = [set(), {"any_score"}, {"any_score", "end_score"}]
    for reason in reasons:
        own = first | {f"reason:{reason}"}
        ways += [own, *(own | {"started", "baseline"} | far for far in reach)]
    ways.append(first | {"eligible"})
    scored: list[set[str]] = [set(), {"scored:ever"}, {"scored:ever", "scored:current"}]
    for far, kinds in zip(reach, scored, strict=True):
        ways.append(first | {"eligible", "due", "started", "baseline"} | far | kinds)
    ways += [{"courses", f"reason:{reason}"} for reason in ("no_baseline", "later_course", *reasons)]
    names = sorted(set().union(*ways))
    patterns = np.array([[name in way for name in names] for way in ways])
    return tuple(
        tuple((sign, names[i]) for i, sign in terms)
        for terms in countable(patterns, LONGEST)
        if len(terms) > 2
    )


def _not_eligible(margin: Margin, instrument: str) -> list[tuple[int, int]]:
    """Those not eligible, as everyone minus the eligible: all, then the due, then who reached each session."""
    due, row = Fact("due", instrument), margin.row
    reached = {f.point: f for f in row if f.role == "reached" and not f.criterion}
    given = {
        f.point: f
        for f in row
        if (f.role, f.instrument, f.kind) == ("given", instrument, "current") and f.point in reached
    }
    points = sorted(given, key=int)
    chain = [
        (Fact("with_course"), Fact("eligible", instrument)),
        (Fact("started", instrument), due),
        *((Fact("reach_due", point=k), due) for k in points[:1]),
        *((reached[k], given[k]) for k in points),
    ]
    return [(row[everyone], row[own]) for everyone, own in chain if everyone in row and own in row]
