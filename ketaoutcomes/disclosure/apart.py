"""Who is apart whatever the day: once scored and not met on one day, never met on another.

A score that was given does not change, as a reader may assume. So those who had not met in one report and
those who have met in the next are different people, and whoever is due and in neither is a number of people
too: those still without a score, and those whose late score did not meet it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ketaoutcomes.disclosure.facts import Fact, Margin
from ketaoutcomes.disclosure.links import NOW, Logic
from ketaoutcomes.disclosure.moves import small

Array = Any
Part = tuple[int, int]  # the people of one row without those of another

WHOLES = ("assessed", "due", "eligible", "courses", "with_course", "patients")


@dataclass(frozen=True, eq=False)
class Apart:
    """Two parts of a whole that share nobody on any two days.

    `rows` has one line each: the whole, then for either part a row and one to take away from it; the number
    of facts stands for nobody. `of` finds the lines a row is in.
    """

    rows: Array
    of: dict[int, Array]

    def with_(self, row: int) -> Array:
        """The lines a row is in."""
        return self.rows[self.of.get(row, np.zeros(0, dtype=np.int64))]


def apart(margin: Margin, rules: Logic, pair: Array) -> Apart:
    """Every whole of a grouping with two parts; `pair` says which rows may lie inside which."""
    wholes = np.array([fact.role in WHOLES for fact in margin.facts], dtype=bool)
    none, found = len(margin.facts), dict.fromkeys(_parts(margin, rules))
    lines: dict[tuple[int, int, int, int, int], None] = {}
    for one, two in found:
        inside = [pair[at] | (np.arange(none) == at) for at in (one[0], two[0])]
        around = np.flatnonzero(inside[0] & inside[1] & wholes).tolist()
        lines.update(dict.fromkeys((whole, *one, *two) for whole in around))
    table = np.array(list(lines), dtype=np.int64).reshape(len(lines), 5)
    of: dict[int, list[int]] = {}
    for i, line in enumerate(lines):
        for row in set(line) - {none}:
            of.setdefault(row, []).append(i)
    return Apart(table, {row: np.array(at) for row, at in of.items()})


def _parts(margin: Margin, rules: Logic) -> Iterator[tuple[Part, Part]]:
    """Not met and met; of two criteria, not met the wider and met the narrower, or both met if never both."""
    none = len(margin.facts)
    places: dict[tuple[str, str, str], list[Fact]] = {}
    for fact in margin.row:
        if fact.role == "met" and fact.kind in NOW:
            places.setdefault((fact.instrument, fact.axis, fact.point), []).append(fact)
    for (instrument, _, _), facts in places.items():
        never = {
            frozenset(name for sign, name in terms if sign < 0)
            for terms in rules.sums.get(instrument, ())
            if len(terms) == 3 and (1, "") in terms and sum(sign for sign, _ in terms) == -1
        }
        for one, two in itertools.product(sorted(facts), repeat=2):
            at, met = margin.row[one], margin.row[two]
            scored = margin.row.get(one._replace(role="assessed"), -1)
            if scored >= 0 and (two.criterion, one.criterion) in rules.implies and _within(two, one):
                yield (scored, at), (met, none)
            if one < two and frozenset((one.criterion, two.criterion)) in never:
                yield (at, none), (met, none)


def _within(inner: Fact, outer: Fact) -> bool:
    return inner.kind == outer.kind or outer.kind == "current"


@dataclass(frozen=True, eq=False)
class View:
    """Numbers of one grouping now (row, group) and in reports (report, row, group); NaN where not known.

    Each report has two tables, as in `Book`; `told` says which numbers are told now.
    """

    apart: Apart
    now: Array
    before: Array
    told: Array


def few_apart(view: View, row: int, groups: Array, limit: int) -> bool:
    """Whether few are in a whole but in neither of two parts of it that were told on different days.

    Looked at are the lines that `row` is in, in some groups. The whole is taken as it stands now, whether it
    is told or not: often it is that of a closed month.
    """
    lines = view.apart.with_(row)
    if not len(lines) or not len(view.before):
        return False
    whole, *parts = lines.T
    now, told = _with_nobody(view.now, 0.0), _with_nobody(view.told, True)
    first, second = (now[a] - now[b] for a, b in (parts[:2], parts[2:]))
    told_first, told_second = (told[a] & told[b] & groups for a, b in (parts[:2], parts[2:]))
    earlier = [_earlier(view.before, a, b) for a, b in (parts[:2], parts[2:])]
    for before, other, where in ((earlier[0], second, told_second), (earlier[1], first, told_first)):
        if (small(now[whole] - before - other, limit) & where).any():
            return True
    both = now[whole] - earlier[0][:, None] - earlier[1][None]
    return bool((small(both, limit) & told[whole] & groups).any())


def known_sum(table: Array, axis: int) -> Array:
    """The sum over an axis of what is known; NaN where nothing is."""
    result: Array = np.where(np.isnan(table).all(axis=axis), np.nan, np.nansum(table, axis=axis))
    return result


def _with_nobody(table: Array, blank: Any) -> Array:
    return np.vstack([table, np.full((1, table.shape[1]), blank)])


def _earlier(before: Array, plus: Array, minus: Array) -> Array:
    """What is known of a part in each report, its rows having been told on one day or on two."""
    filled = np.concatenate([before, np.zeros((len(before), 1, before.shape[2]))], axis=1)
    most, least = filled[0::2], filled[1::2]
    found = [a[:, plus] - b[:, minus] for a in (most, least) for b in (most, least)]
    result: Array = np.unique(np.concatenate(found), axis=0)
    return result
