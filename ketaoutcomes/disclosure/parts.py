"""What is left of a number when what is known of parts of it is taken away, whatever the day they were told.

A part is told on one day, another part on the next, the whole on a third. Who belongs to a part stays in
it, as a reader may assume: whoever is due stays due, a score that was given does not change. So parts that
share nobody may be taken from a whole that holds them, and what is left is a number of people: the sum,
over the parts, of those who came to each since it was told. Few are left only where few are left of every
part, and so it is enough to know, of each set of people, the small numbers that may be left of it: none to
the threshold, as bits of one integer. They are worked out from below, from a set to the sets that hold it
and from the groups to their total.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.disclosure.links import NOW
from ketaoutcomes.disclosure.sums import instruments, not_eligible

if TYPE_CHECKING:
    from ketaoutcomes.disclosure.choose import Web
    from ketaoutcomes.disclosure.facts import Margin

Array = Any
MOST_STEPS = 8  # from the smallest set to the largest that holds it; more would only find sums of sums again


@dataclass(frozen=True, eq=False)
class Splits:
    """How the facts of a grouping divide into others.

    `whole[i]` is the people of `part[i]` and those of neither: a cell such as those scored who had not met.
    `outer` may hold `inner`. `sums` have a whole and two or more parts of it that share nobody, by their
    number. Each row of `held` is a set, and two others of which the larger without the smaller lies in it:
    those without a baseline, and of those due the ones who have none.
    """

    whole: Array
    part: Array
    outer: Array
    inner: Array
    sums: Sequence[Array]
    held: Array


def splits(margin: Margin, web: Web) -> Splits:
    """Those due into scored and not, the scored into who had met and not; whatever may lie inside another."""
    cells: dict[tuple[int, int], None] = {}
    for fact, at in margin.row.items():
        if fact.role == "met":
            cells[margin.row.get(fact._replace(role="assessed"), -1), at] = None
        if fact.role in ("met", "assessed", "given"):
            cells[int(web.needs[at]), at] = None
    for instrument in instruments(margin):
        cells |= dict.fromkeys(not_eligible(margin, instrument))
    outer, inner = np.nonzero(web.pair)
    for a, b in zip(outer.tolist(), inner.tolist(), strict=True):
        one, two = margin.facts[a], margin.facts[b]
        if one.role == two.role == "met" and one[3:] == two[3:] and one.kind in NOW:
            cells[a, b] = None
    table = np.array([pair for pair in cells if min(pair) >= 0 and pair[0] != pair[1]], np.int64)
    table = table.reshape(-1, 2)
    found: dict[int, list[tuple[int, ...]]] = {}
    for rows, signs in zip(web.sums.rows, web.sums.signs, strict=True):
        if (signs > 0).sum() == 1:
            found.setdefault(int((signs < 0).sum()), []).append((*rows[signs > 0], *rows[signs < 0]))
    sums = [np.array(lines) for lines in found.values()]
    return Splits(table[:, 0], table[:, 1], outer, inner, sums, _held(web))


def _held(web: Web) -> Array:
    """From every sum of two sets less a third that holds one of them: the other holds what is left of it."""
    lines = []
    for rows, signs in zip(web.sums.rows, web.sums.signs, strict=True):
        more, less = rows[signs > 0], rows[signs < 0]
        if len(more) == 2 and len(less) == 1:
            lines += [(more[0], less[0], more[1]), (more[1], less[0], more[0])]
    found = np.array(lines, dtype=np.int64).reshape(-1, 3)
    result: Array = found[web.pair[found[:, 1], found[:, 2]]]
    return result


@dataclass(frozen=True, eq=False)
class Known:
    """Numbers of sets of people (rows) in groups (columns): as they are, and as known of some day.

    `numbers` has one such table per source, NaN where nothing is known; `stamp` is the report that told it
    last, `today` that of this one. Numbers of one source and report belong together.
    """

    now: Array
    numbers: Array
    stamp: Array
    today: int


def left(known: Known, of: Splits, below: Array, limit: int, *, rough: bool) -> Array:
    """By row and column, the small numbers that may be left: bit d is set where it may be d.

    `below` holds what is known to be left from a finer grouping. With `rough` numbers are rounded: where
    one is as it was, a few may still have come.
    """
    full = (1 << (limit + 1)) - 1
    now = known.now
    of_cell = of_cells(known, of.whole, of.part, limit, rough=rough)
    result = below | _bits(now, known.numbers, limit, rough & (known.stamp < known.today))
    between = now[of.outer] - now[of.inner]
    close = ((between >= 0) & (between <= limit)).any(axis=1)
    outer, inner, between = of.outer[close], of.inner[close], between[close]
    shift = _places(between, limit)
    holder, larger, smaller = of.held.T
    beyond = _places(now[holder] - (now[larger] - now[smaller]), limit)
    held = (of_cells(known, larger, smaller, limit, rough=rough) << beyond) & full
    np.bitwise_or.at(result, holder, held)
    nobody = np.zeros((0, len(now), now.shape[1]))
    rests = [
        _bits(now[lines[:, 0]] - now[lines[:, 1:]].sum(axis=1), nobody, limit, nobody) for lines in of.sums
    ]
    for _ in range(MOST_STEPS):
        last = result.copy()
        np.bitwise_or.at(result, of.whole, added(result[of.part], of_cell, limit))
        for lines, both in zip(of.sums, rests, strict=True):
            for part in lines[:, 1:].T:
                both = added(both, result[part], limit)
            np.bitwise_or.at(result, lines[:, 0], both)
        np.bitwise_or.at(result, outer, (result[inner] << shift) & full)
        if np.array_equal(last, result):
            break
    return result


def _places(beyond: Array, limit: int) -> Array:
    """How far bits move where a set holds so many more; all of them out where that is not a small number."""
    return np.where((beyond >= 0) & (beyond <= limit), beyond, limit + 1).astype(np.int64)


def of_cells(known: Known, whole: Array, part: Array, limit: int, *, rough: bool) -> Array:
    """What may be left of the people of some sets who are not in parts of them, told on one day."""
    numbers, stamp = known.numbers[:, whole] - known.numbers[:, part], known.stamp[:, whole]
    numbers[stamp != known.stamp[:, part]] = np.nan
    return _bits(known.now[whole] - known.now[part], numbers, limit, rough & (stamp < known.today))


def added(one: Array, two: Array, limit: int) -> Array:
    """The small numbers that are a sum of one of each."""
    full, result = (1 << (limit + 1)) - 1, np.zeros_like(one)
    for d in range(limit + 1):
        result |= ((one >> d) & 1) * two << d
    result &= full
    return result


def _bits(now: Array, numbers: Array, limit: int, rough: Array) -> Array:
    """The differences with every number known, and with nobody; `rough` ones may be one where none."""
    result = np.where((now >= 0) & (now <= limit), 1 << np.clip(now, 0, limit).astype(np.int64), 0)
    for known, few in zip(numbers, rough, strict=True):
        gone = now - known
        small = (gone >= 0) & (gone <= limit)
        result |= np.where(small, 1 << np.where(small, gone, 0).astype(np.int64), 0)
        result |= np.where(small & few & (gone == 0) & (now > 0), 2, 0)
    return result


def over_groups(bits: Array, sets: Sequence[tuple[Array, int]], block: Array, limit: int) -> Array:
    """What may be left of a total when it may be left of its groups: each alone, or some of them as one.

    `bits` has a column for every group and for every set of groups; `sets` holds those of this total and
    their columns.
    """
    result = np.zeros(len(bits), dtype=np.int64)
    for some, column in [(np.zeros(0, dtype=np.int64), -1), *((some, at) for some, at in sets)]:
        if np.isin(some, block).all():
            found = np.ones(len(bits), dtype=np.int64) if column < 0 else bits[:, column]
            for group in np.setdiff1d(block, some):
                found = added(found, bits[:, group], limit)
            result |= found
    return result
