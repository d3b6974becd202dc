"""What two reports on the same people tell together: numbers published on two days, and their differences.

A number that was told on one day and is told again tells how many came in between. So do two numbers of which
one holds the other's people, told on different days. A unit is told again only where each such count is 0 or
more than the threshold, for every day of which anything still stands; otherwise it is repeated as it stood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.disclosure.apart import Apart, View, few_apart, known_sum
from ketaoutcomes.disclosure.choose import Web
from ketaoutcomes.disclosure.facts import SCHEDULED, Fact, Group, Margin
from ketaoutcomes.disclosure.moves import small

if TYPE_CHECKING:
    from ketaoutcomes.disclosure.printed import Number

Array = Any
# What stood in a report, by grouping, fact and group: the number, and the report in which it was told last.
Told = Mapping[tuple[tuple[str, ...], Fact], Mapping[Group, tuple[float, int]]]

# Not printed as such: what was told of them on another day is not known.
UNPRINTED = ("courses", "all_rows", "started", "baseline", "any_score", "end_score", "given")
# Whoever is in one of these on one day may be in another of them later, whatever the order of the points.
ARRIVING = ("patients", "with_course", "courses", "eligible", "started", "reach_due", "due")


@dataclass(eq=False)
class Book:
    """One grouping: its numbers now and in earlier reports, and which of them are told now.

    `now` has a row per fact and a column per group; `before` and `since` (what came since) one such table per
    report and number that stood in it; NaN where not known. `stamp` says in which report it was told last.
    """

    margin: Margin
    web: Web
    apart: Apart
    now: Array
    before: Array
    stamp: Array
    told: Array = field(init=False)
    since: Array = field(init=False)
    left: Array = field(init=False)

    def __post_init__(self) -> None:
        self.told = np.zeros(self.now.shape, dtype=bool)
        self.since = self.now - self.before
        needs = self.web.needs
        self.left = np.where((needs >= 0)[:, None], self.since[:, needs], 0) - self.since


def book(margin: Margin, web: Web, never: Apart, now: Array, reports: Sequence[Told]) -> Book:
    """A grouping beside what earlier reports told; a group that had no row had nobody.

    Facts that are the same people now may have been told on different days: the largest and the smallest
    number that stood in a report are both looked at.
    """
    before = np.full((2 * len(reports), *now.shape), np.nan)
    stamp = np.zeros(before.shape, dtype=np.int64)
    for i, told in enumerate(reports):
        (most, least), (latest, first) = before[2 * i : 2 * i + 2], stamp[2 * i : 2 * i + 2]
        first[:] = i
        printed = {row for fact, row in margin.row.items() if (margin.by, fact) in told}
        for fact, row in margin.row.items():
            found = told.get((margin.by, fact))
            if found is None and (fact.role in UNPRINTED or row in printed):
                continue
            known = [(found or {}).get(group, (0.0, i)) for group in margin.groups]
            values, when = np.array([n for n, _ in known]), np.array([at for _, at in known])
            most[row], least[row] = np.fmax(most[row], values), np.fmin(least[row], values)
            latest[row], first[row] = np.maximum(latest[row], when), np.minimum(first[row], when)
    return Book(margin, web, never, now, before, stamp)


@dataclass(frozen=True, eq=False)
class Books:
    """Every grouping; decides unit by unit what may be told again."""

    of: Mapping[tuple[str, ...], Book]
    limit: int

    def tell(self, rows: Mapping[tuple[str, ...], Mapping[int, Array]]) -> bool:
        """Tell a unit's rows (by grouping and row, in which groups) if that gives nothing small away."""
        kept = {by: self.of[by].told.copy() for by in rows}
        for by, own in rows.items():
            for row, groups in own.items():
                self.of[by].told[row] |= groups
        if all(
            self._safe(self.of[by], row, groups) for by, own in rows.items() for row, groups in own.items()
        ):
            return True
        for by, told in kept.items():
            self.of[by].told[:] = told
        return False

    def _small(self, count: Array, where: Any = True) -> bool:
        return bool((small(count, self.limit) & where).any())

    def _safe(self, b: Book, row: int, groups: Array) -> bool:
        if self._small(b.since[:, row], groups) or self._linked(b, row, groups):
            return False
        if few_apart(View(b.apart, b.now, b.before, b.told), row, groups, self.limit):
            return False
        return self._within_total(b, row, groups) and self._over_groups(b, row)

    def _linked(self, b: Book, row: int, groups: Array) -> bool:
        """Whether a small number stands between this number and one linked to it, now or in a report before.

        What came into a larger set since a later report does not hold what came into a smaller one since an
        earlier: that difference counts nobody.
        """
        web, now, since, before = b.web, b.now, b.since, b.before
        pair = np.flatnonzero(web.pair[row])
        # Also what is only repeated: whoever is in this number and was not in that one then.
        if self._small(now[row] - before[:, pair], groups & (now[row] >= now[pair])):
            return True
        pair = pair[(b.told[pair] & groups).any(axis=1)]
        both = b.told[pair] & groups
        larger, stamp = now[pair] >= now[row], b.stamp
        late = np.where(larger, stamp[:, pair] - stamp[:, [row]], stamp[:, [row]] - stamp[:, pair]) > 0
        if self._small(since[:, pair] - since[:, [row]], both & ~late):
            return True
        later = np.where(larger, now[pair] - before[:, [row]], now[row] - before[:, pair])
        if self._small(later, both):
            return True
        if b.margin.facts[row].role in ARRIVING:
            arriving = (
                both & np.array([b.margin.facts[at].role in ARRIVING for at in pair], dtype=bool)[:, None]
            )
            if self._small(now[pair] - before[:, [row]], arriving):
                return True
            if self._small(now[row] - before[:, pair], arriving):
                return True
        rest = np.flatnonzero(web.rest_pair[row])
        if self._small(b.left[:, rest] - b.left[:, [row]], b.told[rest] & groups):
            return True
        rows, signs = web.sums.with_(row)
        filled = np.vstack([b.told, np.ones((1, b.told.shape[1]), dtype=bool)])
        known = filled[rows].all(axis=1) & groups
        used = known.any(axis=1)
        count = np.concatenate([since, np.zeros((len(since), 1, since.shape[2]))], axis=1)
        found = (signs[used][None, :, :, None] * count[:, rows[used]]).sum(axis=2)
        return self._small(found, known[used])

    def _within_total(self, b: Book, row: int, groups: Array) -> bool:
        """Groups are told again only with their total, and so that those not told are not few together."""
        for i, (other, of) in enumerate(b.margin.parents):
            at = b.web.totals[i, row]
            above = self.of.get(other.by)
            if at < 0 or above is None:
                continue
            if not (above.told[at][of] & (of >= 0))[groups].all():
                return False
            for block in (np.flatnonzero(of == p) for p in np.unique(of[groups])):
                if self._few_left(b, above, i, row, block):
                    return False
        return True

    def _few_left(self, b: Book, above: Book, i: int, row: int, block: Array) -> bool:
        """Whether few came, or are, in the groups of a total that are not told; also of linked facts."""
        if b.told[row, block].all():
            return False
        p, at = b.margin.parents[i][1][block[0]], b.web.totals[i]

        if few_apart(self._left_over(b, above, i, row, block), row, np.ones(1, dtype=bool), self.limit):
            return True

        def left(q: Any) -> Array:
            shown = block[b.told[q, block]]
            came = above.since[:, at[q], p] - b.since[:, q, shown].sum(axis=1)
            # The total of another day beside its groups as they are now: late scores are in these only.
            then = np.where(b.before[:, q, shown] != 0, b.now[q, shown], 0).sum(axis=1)
            hidden = np.isnan(b.before[:, q, block[~b.told[q, block]]]).any(axis=1)
            past = np.where(hidden, above.before[:, at[q], p] - then, np.nan)
            return np.concatenate([came, past, [above.now[at[q], p] - b.now[q, shown].sum()]])

        own = left(row)
        linked = [q for q in np.flatnonzero(b.web.pair[row]) if b.told[q, block].any()]
        beside = [left(q) - own for q in linked if at[q] >= 0 and above.told[at[q], p]]
        return any(self._small(each) for each in (own, *beside))

    def _left_over(self, b: Book, above: Book, i: int, row: int, block: Array) -> View:
        """The groups of a total in which a row is not told, as one: what is known of them by difference."""
        over, shown = block[~b.told[row, block]], block[b.told[row, block]]
        p, at = b.margin.parents[i][1][block[0]], b.web.totals[i]
        whole = np.where(at >= 0, above.before[:, at, p], np.nan) - b.before[:, :, shown].sum(axis=2)
        before = np.concatenate([known_sum(b.before[:, :, over], 2), whole])[:, :, None]
        told = ((at >= 0) & above.told[at, p] & b.told[:, shown].all(axis=1))[:, None]
        return View(b.apart, b.now[:, over].sum(axis=1, keepdims=True), before, told)

    def _over_groups(self, b: Book, row: int) -> bool:
        """A total beside the sum of its groups as they were told on another day."""
        for child in self.of.values():
            for i, (other, of) in enumerate(child.margin.parents):
                if other is not b.margin:
                    continue
                total = child.web.totals[i]
                summed = np.full(b.before.shape, np.nan)
                for p in np.unique(of[of >= 0]):
                    own = known_sum(child.before[:, :, of == p], 2)
                    summed[:, total[total >= 0], p] = own[:, total >= 0]
                if few_apart(View(b.apart, b.now, summed, b.told), row, b.told[row], self.limit):
                    return False
                for at in np.flatnonzero(total == row):
                    parts = np.zeros((len(child.before), b.now.shape[1]))
                    for group in np.flatnonzero(of >= 0):
                        parts[:, of[group]] += child.before[:, at, group]
                    if self._small(b.now[row] - parts, b.told[row]):
                        return False
        return True


def unit_rows(
    books: Mapping[tuple[str, ...], Book], now: Sequence[Number], last: Sequence[Number]
) -> dict[tuple[str, ...], dict[int, Array]] | None:
    """The rows and groups in which a unit is told, as it was the last time; None where it cannot be now."""
    rows: dict[tuple[str, ...], dict[int, Array]] = {}
    fresh = {(one.by, one.fact, one.group): one.n for one in now}
    seen = {(one.by, one.fact, one.group) for one in last}
    chosen = [one for one in last if not np.isnan(one.n)]
    chosen += [one for one in now if not np.isnan(one.n) and (one.by, one.fact, one.group) not in seen]
    for one in chosen:
        b = books.get(one.by)
        if (
            b is None
            or one.group not in b.margin.groups
            or np.isnan(fresh.get((one.by, one.fact, one.group), np.nan))
        ):
            return None
        row = b.margin.row.get(one.fact)
        if row is None and one.fact.criterion.endswith(SCHEDULED):
            continue  # the same people as those due
        if row is None:
            return None
        groups = rows.setdefault(one.by, {}).setdefault(row, np.zeros(len(b.margin.groups), dtype=bool))
        groups[b.margin.groups.index(one.group)] = True
    return rows
