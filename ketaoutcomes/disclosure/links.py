"""Which published sets of persons lie inside which, and which sums of them are again a count of persons.

Where one set may lie inside another, their difference is the count of the persons between them. Where it is
not certain (courses due at two points under different protocols), they are treated as if they were nested:
that can only hide more.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.definitions import met
from ketaoutcomes.definitions.change_rules import parse_rules
from ketaoutcomes.disclosure.change import PART, meets_part
from ketaoutcomes.disclosure.safety import nested

if TYPE_CHECKING:
    from ketaoutcomes.definitions.change_rules import ChangeRule
    from ketaoutcomes.disclosure.facts import Fact

Array = Any
Sum = tuple[tuple[int, str], ...]  # signed criteria; "" is everyone due or everyone assessed

PLACES = 400  # steps between the scores tried on an instrument's scale; a coarser grid can only hide more
LONGEST = 5  # sets in one sum, everyone included; longer sums need as many criteria that exclude each other


@dataclass(frozen=True)
class Logic:
    """What follows from the criteria's definitions, per pair and for whole sums.

    `implies` holds (a, b) when whoever meets a at some score meets b at it. `sums` lists, per instrument,
    signed sums of criteria that count persons whatever their scores.
    """

    implies: frozenset[tuple[str, str]]
    sums: Mapping[str, tuple[Sum, ...]]


def logic(plan: str, criteria: Sequence[str], change: str = "") -> Logic:
    """Work out which criteria nest or exclude each other, trying every eligible baseline with every score.

    `change` holds the rules that stand-in criteria for parts of change are about, as a Tally's header has it.
    """
    return _logic(plan, tuple(sorted(set(criteria))), change)


@lru_cache(maxsize=8)
def _logic(plan: str, criteria: tuple[str, ...], change: str) -> Logic:
    content = json.loads(plan)
    definitions, rules = content["definitions"], parse_rules(change)
    implies = {(name, name) for name in criteria}
    sums: dict[str, tuple[Sum, ...]] = {}
    of: dict[str, list[str]] = {}
    for name in criteria:
        part = name.partition(PART)
        of.setdefault(part[0] if part[1] else definitions["criteria"][name]["instrument"], []).append(name)
    for instrument, names in of.items():
        gate = content["baseline"]["gate"].get(instrument, 0)
        patterns = _patterns(definitions, instrument, names, gate, rules.get(instrument))
        for a, b in itertools.permutations(range(len(names)), 2):
            if not (patterns[:, a] & ~patterns[:, b]).any():
                implies.add((names[a], names[b]))
        everyone = np.ones((len(patterns), 1), dtype=bool)
        found = countable(np.hstack([everyone, patterns]), LONGEST)
        sums[instrument] = tuple(tuple((sign, ["", *names][i]) for i, sign in terms) for terms in found)
    return Logic(frozenset(implies), sums)


def _patterns(
    definitions: dict[str, Any], instrument: str, names: Sequence[str], gate: int, rule: ChangeRule | None
) -> Array:
    """Every combination of met and not met that one score can have, the unscored (nothing met) included."""
    scale = definitions["instruments"][instrument]
    ticks = int(scale["ticks"])
    low, high = int(scale["low"]) * ticks, int(scale["high"]) * ticks
    step = max(1, (high - low) // PLACES)
    score = np.unique(np.append(np.arange(low, high + 1, step), np.arange(low, high + 1, ticks)))
    passes = score >= gate * ticks if scale["worse"] == "higher" else score <= gate * ticks
    before, after = (x.ravel().astype(np.int32) for x in np.meshgrid(score[passes], score, indexing="ij"))
    by_score = [
        name for name in names if PART in name or definitions["criteria"][name]["variable"] == "score"
    ]
    found = np.ones((1, 0), dtype=bool)
    if by_score:
        judged = [
            meets_part(rule, name, before, after)
            if rule is not None and PART in name
            else met(_criterion(definitions["criteria"][name]), before, after, ticks) == 1
            for name in by_score
        ]
        found = np.unique(np.stack(judged, axis=1), axis=0)
    found = np.unique(np.vstack([found, np.zeros((1, found.shape[1]), dtype=bool)]), axis=0)
    # A diagnosis is judged from single items: it may go with any total.
    rest = [name for name in names if name not in by_score]
    free = np.array(list(itertools.product([False, True], repeat=len(rest))), dtype=bool).reshape(
        2 ** len(rest), len(rest)
    )
    both = np.hstack([np.repeat(found, len(free), axis=0), np.tile(free, (len(found), 1))])
    order = [[*by_score, *rest].index(name) for name in names]
    result: Array = both[:, order]
    return result


def _criterion(definition: Mapping[str, Any]) -> Any:
    limit = definition["limit"]
    numbers = {"value": Fraction(definition["value"]), "limit": None if limit is None else Fraction(limit)}
    return SimpleNamespace(**{**definition, **numbers})


def countable(patterns: Array, longest: int, shortest: int = 3) -> list[tuple[tuple[int, int], ...]]:
    """Signed sums of columns that are 0 or 1 in every row, and not always 0: pairs of column and sign.

    A row is a kind of person, a column a set of persons; sums have `shortest` to `longest` columns.

    >>> countable(np.array([[1, 1, 0], [1, 0, 1], [1, 0, 0]], dtype=bool), 3)
    [((0, 1), (1, -1), (2, -1))]
    """
    result = []
    cells = patterns.astype(np.int64)
    for width in range(shortest, min(cells.shape[1], longest) + 1):
        signs = np.array(list(itertools.product((1, -1), repeat=width)))
        for chosen in itertools.combinations(range(cells.shape[1]), width):
            counts = cells[:, chosen] @ signs.T
            for one in np.flatnonzero((counts.min(axis=0) == 0) & (counts.max(axis=0) == 1)):
                result += [tuple(zip(chosen, signs[one].tolist(), strict=True))]
    return result


@dataclass(frozen=True, eq=False)
class Links:
    """`pair[f, g]`: the sets may be nested. `rest[f, g]`: what they leave of the people due may be.

    Whoever has never met by week 8 had not by week 4, but those who had by week 4 need not be due at week 8.
    """

    pair: Array
    rest: Array


CASCADE_ROLES = ("started", "baseline", "any_score", "end_score")
NOW = ("current", "sustained")


@dataclass(frozen=True, eq=False)
class _Columns:
    """The facts' parts as arrays: comparisons of all facts with all facts are one expression each."""

    role: Array
    instrument: Array
    kind: Array
    axis: Array
    rank: Array
    flow: Array

    def is_(self, *roles: str) -> Array:
        return np.isin(self.role, roles)


def links(facts: Sequence[Fact], rules: Logic) -> Links:
    """Which facts may lie inside which."""
    c = _columns(facts)
    same = c.instrument[:, None] == c.instrument
    loose = same | (c.instrument == "") | (c.instrument == "")[:, None]
    pair = loose & _population(c)
    pair |= same & _at_a_session(c)
    now, ever = _judged(c, _implied(facts, rules))
    pair |= same & now
    pair |= nested(facts)
    rest = same & ever & ~pair
    pair, rest = pair | pair.T, rest | rest.T
    np.fill_diagonal(pair, False)
    np.fill_diagonal(rest, False)
    return Links(pair, rest)


def _columns(facts: Sequence[Fact]) -> _Columns:
    def column(name: str) -> Array:
        return np.array([getattr(fact, name) for fact in facts], dtype=object)

    rank = np.array([int(f.point) if f.point.isdigit() else 0 for f in facts], dtype=np.int64)
    role, instrument, kind, axis = (column(name) for name in ("role", "instrument", "kind", "axis"))
    return _Columns(role, instrument, kind, axis, rank, axis == "")


def _both(a: Array, b: Array) -> Array:
    return a[:, None] & b


def _population(c: _Columns) -> Array:
    """Patients, courses, those due, the measurement cascade, those who reached each session."""
    due_by_flow = c.is_("due") & c.flow
    cascade = c.is_(*CASCADE_ROLES)
    reach = c.is_("reach_due", "reached")
    top = c.is_("patients", "with_course", "courses", "eligible")
    at_end = c.is_("assessed", "met") & (c.axis == "end")
    pair = _both(top, top | cascade | c.is_("due"))
    pair |= _both(c.is_("patients", "with_course", "courses"), reach)
    pair |= _both(c.is_("due"), c.is_("due"))
    pair |= _both(due_by_flow, c.is_("started", "baseline", "reach_due"))
    pair |= _both(cascade, cascade)
    pair |= _both(reach, reach) | _both(c.is_("started"), reach)
    not_later = c.rank[:, None] <= c.rank
    at_session = (c.axis == "session") & (c.is_("given") | (c.is_("assessed", "met") & np.isin(c.kind, NOW)))
    pair |= _both(c.is_("reached", "reach_due"), at_session) & not_later
    pair |= _both(at_end & np.isin(c.kind, NOW), c.is_("end_score", "any_score"))
    pair |= _both(at_end & (c.kind == "ever"), c.is_("any_score"))
    return pair


def _at_a_session(c: _Columns) -> Array:
    """Who received a session, and who was scored at it: later sessions lie inside earlier ones."""
    given = c.is_("given")
    judged = c.is_("assessed", "met") & np.isin(c.kind, NOW) & (c.axis == "session")
    not_later = c.rank[:, None] <= c.rank
    pair = _both(given, given) | _both(c.is_("due") & (c.flow | (c.axis == "session")), given)
    pair |= _both(given, judged) & not_later
    return pair


def _judged(c: _Columns, implied: Array) -> tuple[Array, Array]:
    """Scored and met: at one point always, with `ever` also across points of the same people."""
    scored, met_ = c.is_("assessed"), c.is_("met")
    here = (c.axis[:, None] == c.axis) & (c.rank[:, None] == c.rank)
    either = implied | implied.T
    inside = _both(met_, met_) & either | _both(scored, scored | met_)
    one_kind = c.kind[:, None] == c.kind
    wider = (c.kind[:, None] == "ever") | _both(c.kind == "current", c.kind == "sustained")
    now = inside & here & (one_kind | wider)
    # `ever` grows along an axis; between axes (a week, a session) the order differs from person to person.
    grows = (c.kind[:, None] == "ever") & ((c.axis[:, None] != c.axis) | (c.rank[:, None] >= c.rank))
    return now, inside & grows


def _implied(facts: Sequence[Fact], rules: Logic) -> Array:
    names = [fact.criterion if fact.role == "met" else "" for fact in facts]
    labels, code = np.unique(np.array(names), return_inverse=True)
    table = np.array([[(a, b) in rules.implies for b in labels] for a in labels], dtype=bool)
    table = table.reshape(len(labels), len(labels))  # also where there is no fact at all
    result: Array = table[np.ix_(code, code)]
    return result
