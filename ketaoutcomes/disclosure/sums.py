"""Signed sums of published counts that are again a count of persons, beyond differences of two nested sets.

Such a sum is 0 or 1 for every kind of person there can be. The kinds are written out: for criteria, every
combination that one score can have; for the flow, every way a course can be counted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ketaoutcomes.disclosure.facts import Fact, Margin
from ketaoutcomes.disclosure.links import NOW, Logic, countable
from ketaoutcomes.disclosure.safety import answer_sums

Array = Any

LONGEST = 5  # facts in one sum of the flow


@dataclass(frozen=True, eq=False)
class Sums:
    """The sums of one grouping: facts and signs, one sum per row, filled up with the fact `none` and 0.

    `of` finds the sums a fact is in.
    """

    rows: Array
    signs: Array
    of: dict[int, Array]

    def with_(self, fact: int) -> tuple[Array, Array]:
        """Facts and signs of every sum a fact is in."""
        chosen = self.of.get(fact, np.zeros(0, dtype=np.int64))
        return self.rows[chosen], self.signs[chosen]


class _Collected:
    """Sums on their way into arrays, each once."""

    def __init__(self) -> None:
        self.found: dict[tuple[tuple[int, int], ...], None] = {}

    def add(self, rows: Sequence[int], signs: Sequence[int]) -> None:
        """Add a sum; where two of its facts are one, what remains is shorter and stands elsewhere."""
        if len(set(rows)) == len(rows):
            self.found[tuple(sorted(zip(rows, signs, strict=True)))] = None

    def done(self, none: int) -> Sums:
        width = max((len(terms) for terms in self.found), default=1)
        filled = [(*terms, *[(none, 0)] * (width - len(terms))) for terms in self.found]
        table = np.array(filled, dtype=np.int64).reshape(len(filled), width, 2)
        of: dict[int, list[int]] = {}
        for i, terms in enumerate(self.found):
            for row, _ in terms:
                of.setdefault(row, []).append(i)
        return Sums(table[:, :, 0], table[:, :, 1], {row: np.array(i) for row, i in of.items()})


def all_sums(margin: Margin, rules: Logic, needs: Array) -> Sums:
    """Every sum among the facts of a grouping; `needs` holds the row of the people due of each fact."""
    sums = _Collected()
    for rows, signs in _judged(margin, rules, needs):
        sums.add(rows, signs)
    for rows, signs in answer_sums(margin, countable):
        sums.add(rows, signs)
    for rows in _again(margin, rules):
        sums.add(rows, [1, 1, -1])
    for instrument in instruments(margin):
        why = _reasons(margin, instrument)
        if why is not None:
            for rows, signs in (
                *_of_flow(margin, instrument, why),
                *_reasons_beside(margin, instrument, why),
            ):
                sums.add(rows, signs)
        for (more, less), (fewer, rest) in itertools.combinations(not_eligible(margin, instrument), 2):
            sums.add([more, less, fewer, rest], [1, -1, -1, 1])
    return sums.done(len(margin.facts))


def instruments(margin: Margin) -> list[str]:
    """The instruments of which a grouping tells who is due or eligible."""
    return sorted({fact.instrument for fact in margin.row if fact.role in ("due", "eligible")})


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


def _again(margin: Margin, rules: Logic) -> Iterator[list[int]]:
    """Who had met, or was scored, by a session and is so at the next: ever before, plus now, less since.

    By the first session that is who is so at it, where nobody is scored before. Whoever is so since the one
    before is so now, and so is whoever counts now in any set that holds these.
    """
    ever: dict[tuple[str, str, str], dict[tuple[bool, int], Fact]] = {}
    for fact in margin.row:
        if fact.role in ("assessed", "met") and fact.kind == "ever" and fact.axis in ("session", "end"):
            place = (fact.axis == "end", int(fact.point) if fact.point.isdigit() else 0)
            ever.setdefault((fact.role, fact.instrument, fact.criterion), {})[place] = fact
    for facts in ever.values():
        places = sorted(facts)
        for before, since in itertools.pairwise(places):
            now, first = (facts[place]._replace(kind="current") for place in (since, places[0]))
            holding = {at for fact, at in margin.row.items() if _holds(fact, now, rules)}
            for earlier in (facts[before], *([first] if before == places[0] else [])):
                for at in sorted(holding) if earlier in margin.row else ():
                    yield [margin.row[earlier], at, margin.row[facts[since]]]


def _holds(fact: Fact, now: Fact, rules: Logic) -> bool:
    """Whether all of one fact, at its point, are in another at the same."""
    if (fact.instrument, *fact[3:]) != (now.instrument, *now[3:]):
        return False
    if fact.role == now.role == "met":
        return (now.criterion, fact.criterion) in rules.implies
    return fact.role in ("assessed", "given", "due") and not fact.criterion.startswith("variable:")


def _of_flow(margin: Margin, instrument: str, why: set[str]) -> Iterator[tuple[list[int], list[int]]]:
    row = {"with_course": margin.row.get(Fact("with_course"), -1)}
    for fact, at in margin.row.items():
        if fact.instrument != instrument:
            continue
        if fact.role == "reason":
            row[f"reason:{fact.criterion}"] = at
        elif fact.role == "assessed" and fact.axis == "end":
            row.setdefault(f"scored:{fact.kind}", at)
        elif not fact.axis:
            row.setdefault(fact.role, at)
    for terms in _flow_sums(tuple(sorted(why))):
        rows = [row.get(name, -1) for _, name in terms]
        if min(rows) >= 0:
            yield rows, [sign for sign, _ in terms]


@lru_cache(maxsize=32)
def _flow_sums(reasons: tuple[str, ...]) -> tuple[tuple[tuple[int, str], ...], ...]:
    """Sums over the ways a course can be counted: its reason, due or not, how far it was measured."""
    ways: list[set[str]] = []
    first = {"courses", "with_course"}
    reach: list[set[str]] = [set(), {"any_score"}, {"any_score", "end_score"}]
    for reason in reasons:
        own = first | {f"reason:{reason}"}
        scored = [set[str]()] if reason == "no_baseline" else [{"baseline"} | far for far in reach]
        ways += [own, *(own | {"started"} | far for far in scored)]
    ways.append(first | {"eligible"})
    judged: list[set[str]] = [set(), {"scored:ever"}, {"scored:ever", "scored:current"}]
    for far, kinds in zip(reach, judged, strict=True):
        ways.append(first | {"eligible", "due", "started", "baseline"} | far | kinds)
    ways += [{"courses", f"reason:{reason}"} for reason in ("later_course", *reasons)]
    names = sorted(set().union(*ways))
    patterns = np.array([[name in way for name in names] for way in ways])
    return tuple(
        tuple((sign, names[i]) for i, sign in terms) for terms in countable(patterns, LONGEST, shortest=2)
    )


def _reasons(margin: Margin, instrument: str) -> set[str] | None:
    """Why first courses do not count, as told of everyone: a reason that is not there holds for nobody.

    None where nothing says why.
    """
    if Fact("courses", instrument) in margin.row:
        found = {f.criterion for f in margin.row if (f.role, f.instrument) == ("reason", instrument)}
        return found - {"later_course"}
    above = (_reasons(other, instrument) for other, _ in margin.parents)
    return next((reasons for reasons in above if reasons is not None), None)


def not_eligible(margin: Margin, instrument: str) -> list[tuple[int, int]]:
    """Those not eligible, as everyone minus the eligible: all, the due, then who reached each session."""
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


def _reasons_beside(margin: Margin, instrument: str, why: set[str]) -> Iterator[tuple[list[int], list[int]]]:
    """Those not eligible, by their reasons, without those of them who were due, or reached a session.

    Of a session the eligible who were due stand in for those who were given it; whoever was not is left.
    """
    row, due = margin.row, margin.row.get(Fact("due", instrument), -1)
    own = [row.get(Fact("reason", instrument, reason), -1) for reason in sorted(why)]
    everyone = [at for fact, at in row.items() if fact.role in ("started", "reach_due", "reached")]
    if min(own, default=0) >= 0 and due >= 0:
        for known, counted in (*((at, due) for at in everyone), *not_eligible(margin, instrument)):
            yield [*own, counted, known], [*[1] * (len(own) + 1), -1]
