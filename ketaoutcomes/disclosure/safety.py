"""Which counts of side effects and of the safety item lie inside which, or add up to a count of persons.

Side effects are counted of everyone dosed, by session and once per person; worsening and the safety item of
everyone due. So they stand beside the flow and the rates as further sets of the same people.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.counts.safety_counts import BASELINE_ITEM, COURSE, HIGHER, LOWER, NEW, SAFETY
from ketaoutcomes.disclosure.facts import SCHEDULED, Fact

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally
    from ketaoutcomes.disclosure.facts import Margin

Array = Any
JUDGED = ("due", "assessed", "met")
WIDER = ("patients", "with_course", "courses", "started", "reach_due")
REACHED = ("reached", "given")
WITHIN = ("eligible", "due", *REACHED)
LONGEST = 5  # answers in one sum, everyone due included


def is_safety(fact: Fact) -> bool:
    """Whether a fact is a count of side effects, of worsening once per person, or of the safety item."""
    return fact.instrument == SAFETY or fact.axis == COURSE


def judges(tally: Tally) -> bool:
    """Whether a Tally holds points of its criteria: without any, its rates are those of nobody."""
    return bool(tally.points["criterion"].isin(tally.header.criteria).any())


def nested(facts: Sequence[Fact]) -> Array:
    """Pairs of facts, one of them of safety, of which one may lie inside the other.

    Whoever had an event at a session had it ever; whoever reached a session was given it, due or not.
    """

    def column(name: str) -> Array:
        return np.array([getattr(fact, name) for fact in facts], dtype=object)

    role, name, instrument = column("role"), column("criterion"), column("instrument")
    own = np.array([is_safety(fact) for fact in facts], dtype=bool) & np.isin(role, JUDGED)
    once = own & (column("axis") == COURSE)
    same = (name[:, None] == name) & (instrument[:, None] == instrument)
    pair = (own[:, None] & once) & same
    rank = np.array([int(fact.point) if fact.point.isdigit() else 0 for fact in facts], dtype=np.int64)
    dosed = (role == "due") & (instrument == SAFETY)
    anybody = np.isin(role, WIDER)
    pair |= (dosed & once)[:, None] & (anybody | np.isin(role, WITHIN))
    # Whoever reached a session had been given those before it.
    pair |= (dosed & ~once)[:, None] & (anybody | (np.isin(role, REACHED) & (rank[:, None] <= rank)))
    result: Array = pair | pair.T
    np.fill_diagonal(result, False)
    return result


def answer_sums(margin: Margin, countable: Any) -> Iterator[tuple[list[int], list[int]]]:
    """Signed sums of the safety item's counts that are again a count of persons."""
    for instrument in sorted({fact.instrument for fact in margin.row if fact.criterion == BASELINE_ITEM}):
        row = {name: margin.row.get(fact, -1) for name, fact in _answers(instrument).items()}
        for terms in _sums(countable):
            rows = [row[name] for name, _ in terms]
            if min(rows) >= 0:
                yield rows, [sign for _, sign in terms]


def _answers(instrument: str) -> dict[str, Fact]:
    def fact(role: str, name: str, point: str, kind: str = "current") -> Fact:
        return Fact(role, instrument, name, kind, COURSE, point)

    return {
        "due": fact("due", BASELINE_ITEM, "baseline"),
        "asked": fact("assessed", BASELINE_ITEM, "baseline"),
        "some": fact("met", BASELINE_ITEM, "baseline"),
        "from_none": fact("due", NEW + SCHEDULED, "last"),
        "from_some": fact("due", HIGHER + SCHEDULED, "last"),
        "none_again": fact("assessed", NEW, "last"),
        "some_again": fact("assessed", HIGHER, "last"),
        "new": fact("met", NEW, "last"),
        "ever": fact("met", NEW, "any", "ever"),
        "higher": fact("met", HIGHER, "last"),
        "lower": fact("met", LOWER, "last"),
    }


@lru_cache(maxsize=1)
def _sums(countable: Any) -> tuple[tuple[tuple[str, int], ...], ...]:
    """Sums over the ways the item can be answered, before and since."""
    none, some = {"due", "asked", "from_none"}, {"due", "asked", "some", "from_some"}
    again, later = none | {"none_again"}, some | {"some_again"}
    ways = [
        {"due"}, none, again, again | {"ever"}, again | {"ever", "new"},
        some, later, later | {"higher"}, later | {"lower"},
    ]  # fmt: skip
    names = sorted(set().union(*ways))
    patterns = np.array([[name in way for name in names] for way in ways])
    found = countable(patterns, LONGEST)
    return tuple(tuple((names[i], sign) for i, sign in terms) for terms in found)


def shown_answers(others: Sequence[Tally], instrument: str) -> tuple[Array, Array]:
    """Numbers shown of those asked again about the safety item, and of those who then gave more than none.

    Alone and, of those with none and with some at baseline, together.
    """
    asked: list[float] = []
    some: list[float] = []
    for tally in others:
        if tally.header.by:
            continue
        cells = tally.points[(tally.points["instrument"] == instrument) & (tally.points["axis"] == COURSE)]
        last = cells[cells["point"] == "last"]
        counts = {
            name: [_count(last[last["criterion"] == name], states) for states in _SEEN]
            for name in (NEW, HIGHER)
        }
        asked += _alone_and_together(counts[NEW][0], counts[HIGHER][0])
        some += _alone_and_together(counts[NEW][1], counts[HIGHER][1])
    return np.array(asked), np.array(some)


_SEEN = (("met", "not_met"), ("met",))


def _count(cells: Any, states: Sequence[str]) -> float:
    """How many are in these states; NaN where a coarser cell may hold some of them."""
    coarse = "due" if states == ("met",) else ("due", "unmet_or_missing")
    if not len(cells) or cells["state"].isin([coarse] if isinstance(coarse, str) else coarse).any():
        return float("nan")
    return float(cells.loc[cells["state"].isin(states), "n"].sum())


def _alone_and_together(one: float, other: float) -> list[float]:
    return [n for n in (one, other, one + other) if not np.isnan(n)]
