"""What two reports on the same people tell together: numbers published on two days, and their differences.

A number that was told on one day and is told again tells how many came in between. So do two numbers of which
one holds the other's people, told on different days. A unit is told again only where each such count is 0 or
more than the threshold, for every day of which anything still stands; otherwise it is repeated as it stood.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.disclosure.choose import Web
from ketaoutcomes.disclosure.facts import MONTH, SCHEDULED, Fact, Group, Margin
from ketaoutcomes.disclosure.parts import Known, Splits, left, of_cells, over_groups
from ketaoutcomes.disclosure.transport import small

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

    `now` has a row per fact and a column per group; `before` one such table per report and number that
    stood in it; NaN where not known. `stamp` says in which report it was told last. `told` is what is known
    now: told, or bound to be as it was.
    """

    margin: Margin
    web: Web
    splits: Splits
    now: Array
    before: Array
    stamp: Array
    told: Array

    def since(self, rows: Array) -> Array:
        """What came since each report, by report, row and group; NaN where not known."""
        return self.now[rows] - self.before[:, rows]

    def left(self, rows: Array) -> Array:
        """The same of those due among whom a row is judged, and whom it does not hold."""
        needs = self.web.needs[rows]
        return np.where((needs >= 0)[:, None], self.since(needs), 0) - self.since(rows)


def book(margin: Margin, web: Web, divided: Splits, now: Array, reports: Sequence[Told]) -> Book:
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
    return Book(margin, web, divided, now, before, stamp, np.zeros(now.shape, dtype=bool))


@dataclass(eq=False)
class Books:
    """Every grouping; decides unit by unit what may be told again."""

    of: Mapping[tuple[str, ...], Book]
    limit: int
    rough: bool

    def __post_init__(self) -> None:
        self._infer()
        self.few = self._few_left()

    def tell(self, rows: Mapping[tuple[str, ...], Mapping[int, Array]]) -> bool:
        """Tell a unit's rows (by grouping and row, in which groups) if that gives nothing small away."""
        kept = {by: b.told.copy() for by, b in self.of.items()}
        for by, own in rows.items():
            for row, groups in own.items():
                self.of[by].told[row] |= groups
        self._infer()
        known = [
            (b, row, b.told[row] & ~kept[by][row])
            for by, b in self.of.items()
            for row in np.flatnonzero((b.told & ~kept[by]).any(axis=1)).tolist()
        ]
        known += [(self.of[by], row, groups) for by, own in rows.items() for row, groups in own.items()]
        if all(self._safe(b, row, groups) for b, row, groups in known):
            few = self._few_left()
            if not any((found & ~self.few[by]).any() for by, found in few.items()):
                self.few = few
                return True
        for by, told in kept.items():
            self.of[by].told[:] = told
        return False

    def _infer(self) -> None:
        """What must be as it was is known, too: where all that came to a total came to the groups told of it.

        So are those due in a month: whether they are does not change any more. And where nobody came, so are
        those eligible and those who are not.
        """
        for b in self.of.values():
            self._nobody_came(b)
            if MONTH in b.margin.by:
                closed = np.array([fact.role == "due" for fact in b.margin.facts])[:, None]
                told = b.stamp == np.arange(len(b.stamp))[:, None, None] // 2
                b.told |= closed & ((b.before == b.now) & (b.now > 0) & told).any(axis=0)
            for i, (other, of) in enumerate(b.margin.parents):
                above, total = self.of.get(other.by), b.web.totals[i]
                if above is None:
                    continue
                rows = np.flatnonzero(total >= 0)
                for p in np.unique(of[of >= 0]):
                    block = np.flatnonzero(of == p)
                    told, before = b.told[np.ix_(rows, block)], b.before[:, rows][:, :, block]
                    came = np.where(told, b.now[np.ix_(rows, block)] - before, 0.0).sum(axis=2)
                    all_came = above.now[total[rows], p] - above.before[:, total[rows], p] == came
                    for report, row in np.argwhere(all_came & above.told[total[rows], p]):
                        # A number that was told in an earlier report only says how it was then.
                        own = b.stamp[report, rows[row], block] == report // 2
                        b.told[rows[row], block] |= own & ~np.isnan(before[report, row])

    def _nobody_came(self, b: Book) -> None:
        everyone = [at for at, fact in enumerate(b.margin.facts) if fact.role in ("with_course", "courses")]
        counted = [at for at, fact in enumerate(b.margin.facts) if fact.role in ("eligible", "reason")]
        as_it_was = (b.before == b.now) & (b.stamp == np.arange(len(b.stamp))[:, None, None] // 2)
        nobody = (as_it_was[:, everyone] & b.told[everyone]).any(axis=1, keepdims=True)
        nobody = np.logical_or.accumulate(nobody, axis=0)  # nor since any later report
        b.told[counted] |= (as_it_was[:, counted] & nobody).any(axis=0)

    def _small(self, count: Array, where: Any = True) -> bool:
        return bool((small(count, self.limit) & where).any())

    def _safe(self, b: Book, row: int, groups: Array) -> bool:
        if self._small(b.since(np.array([row]))[:, 0], groups) or self._linked(b, row, groups):
            return False
        return self._within_total(b, row, groups)

    def _few_left(self) -> dict[tuple[str, ...], Array]:
        """By grouping, row and group, whether what is known of parts of a number leaves a few of it."""
        below = {by: np.zeros(b.now.shape, dtype=np.int64) for by, b in self.of.items()}
        result = {}
        for by in sorted(self.of, key=len, reverse=True):
            b = self.of[by]
            sets = list(self._hidden_groups(b))
            known = self._known(b, sets)
            start = np.hstack([below[by], np.zeros((len(b.now), len(sets)), dtype=np.int64)])
            bits = left(known, b.splits, start, self.limit, rough=self.rough)
            result[by] = b.told & (bits[:, : b.now.shape[1]] > 1)
            self._few_in_cells(b, known, result[by])
            for at, (_, some) in enumerate(sets, start=b.now.shape[1]):
                few = b.told[:, some].all(axis=1) & (bits[:, at] > 1)
                result[by][:, some] |= few[:, None]
            for i, (other, of) in enumerate(b.margin.parents):
                if other.by not in self.of:
                    continue
                rows = np.flatnonzero(b.web.totals[i] >= 0)
                own = [(some, b.now.shape[1] + at) for at, (parent, some) in enumerate(sets) if parent == i]
                for p in np.unique(of[of >= 0]):
                    found = over_groups(bits[rows], own, np.flatnonzero(of == p), self.limit)
                    np.bitwise_or.at(below[other.by][:, p], b.web.totals[i][rows], found)
        return result

    def _few_in_cells(self, b: Book, known: Known, few: Array) -> None:
        """Mark numbers of whose cells, those in one of them and not in another, a few may be left."""
        whole, part = (
            np.concatenate(rows)
            for rows in ((b.splits.whole, b.splits.held[:, 1]), (b.splits.part, b.splits.held[:, 2]))
        )
        groups = b.now.shape[1]
        bits = of_cells(known, whole, part, self.limit, rough=self.rough)[:, :groups]
        np.logical_or.at(few, whole, b.told[whole] & b.told[part] & (bits > 1))

    def _hidden_groups(self, b: Book) -> Iterator[tuple[int, Array]]:
        """Groups of a total that some report told together, by what the others leave of it.

        A month without a row had nobody yet, or it waited: every month until which it may have is tried.
        """
        reports = np.arange(len(b.before))[:, None, None] // 2
        own = np.concatenate([~np.isnan(b.before) & (b.stamp == reports), b.told[None]])
        none = np.concatenate([b.before == 0, np.zeros((1, *b.now.shape), dtype=bool)])
        for i, (other, of) in enumerate(b.margin.parents):
            rows = np.flatnonzero(b.web.totals[i] >= 0)
            for block in (
                [np.flatnonzero(of == p) for p in np.unique(of[of >= 0])] if other.by in self.of else []
            ):
                told, nobody = (table[:, rows][:, :, block].reshape(-1, len(block)) for table in (own, none))
                tried = [told]
                months = range(1, len(block) + 1) if MONTH in b.margin.by else ()
                tried += [told & ~(nobody & (np.arange(len(block)) < until)) for until in months]
                for shown in np.unique(np.concatenate(tried), axis=0):
                    if shown.any() and not shown.all():
                        yield i, block[~shown]

    def _known(self, b: Book, sets: Sequence[tuple[int, Array]]) -> Known:
        """What is known of every group, and of every set of hidden groups, on any day."""
        today = len(b.before) // 2
        sources = [
            (b.before, b.stamp),
            (np.where(b.told, b.now, np.nan)[None], np.full((1, *b.now.shape), today)),
        ]
        numbers, stamp = (np.concatenate(tables) for tables in zip(*sources, strict=True))
        now = [b.now]
        added_numbers, added_stamp = [numbers], [stamp]
        for i, hidden in sets:
            other, of = b.margin.parents[i]
            above, total, p = self.of[other.by], b.web.totals[i], of[hidden[0]]
            shown = np.setdiff1d(np.flatnonzero(of == p), hidden)
            told = above.told[total, p] & (total >= 0)
            of_all = np.concatenate(
                [above.before[:, total, p], np.where(told, above.now[total, p], np.nan)[None]]
            )
            day = np.concatenate([above.stamp[:, total, p], np.full((1, len(total)), today)])
            one_day = (stamp[:, :, shown] == day[:, :, None]).all(axis=2) & (total >= 0)
            found = np.where(one_day, of_all - numbers[:, :, shown].sum(axis=2), np.nan)
            now.append(b.now[:, hidden].sum(axis=1, keepdims=True))
            added_numbers.append(found[:, :, None])
            added_stamp.append(day[:, :, None])
        return Known(
            np.hstack(now), np.concatenate(added_numbers, axis=2), np.concatenate(added_stamp, axis=2), today
        )

    def _linked(self, b: Book, row: int, groups: Array) -> bool:
        """Whether a small number stands between this number and one linked to it, now or in a report before.

        What came into a larger set since a later report does not hold what came into a smaller one since an
        earlier: that difference counts nobody.
        """
        web, now, before = b.web, b.now, b.before
        pair = np.flatnonzero(web.pair[row])
        # Also what is only repeated: whoever is in this number and was not in that one then.
        if self._small(now[row] - before[:, pair], groups & (now[row] >= now[pair])):
            return True
        pair = pair[(b.told[pair] & groups).any(axis=1)]
        both = b.told[pair] & groups
        larger, stamp = now[pair] >= now[row], b.stamp
        late = np.where(larger, stamp[:, pair] - stamp[:, [row]], stamp[:, [row]] - stamp[:, pair]) > 0
        if self._small(b.since(pair) - b.since(np.array([row])), both & ~late):
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
        if self._small(b.left(rest) - b.left(np.array([row])), b.told[rest] & groups):
            return True
        rows, signs = web.sums.with_(row)
        filled = np.vstack([b.told, np.ones((1, b.told.shape[1]), dtype=bool)])
        known = filled[rows].all(axis=1) & groups
        used = known.any(axis=1)
        some, at = np.unique(rows[used], return_inverse=True)
        count = np.where((some < len(now))[:, None], b.since(np.minimum(some, len(now) - 1)), 0.0)
        found = (signs[used][None, :, :, None] * count[:, at.reshape(rows[used].shape)]).sum(axis=2)
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
                if self._few_hidden(b, above, i, row, block):
                    return False
        return True

    def _few_hidden(self, b: Book, above: Book, i: int, row: int, block: Array) -> bool:
        """Whether few came, or are, in the groups of a total that are not told; also of linked facts."""
        if b.told[row, block].all():
            return False
        p, at = b.margin.parents[i][1][block[0]], b.web.totals[i]

        def left(q: Any) -> Array:
            shown = block[b.told[q, block]]
            came = above.since(at[[q]])[:, 0, p] - b.since(np.array([q]))[:, 0, shown].sum(axis=1)
            # The total of another day beside its groups as they are now: late scores are in these only.
            then = np.where(b.before[:, q, shown] != 0, b.now[q, shown], 0).sum(axis=1)
            hidden = np.isnan(b.before[:, q, block[~b.told[q, block]]]).any(axis=1)
            past = np.where(hidden, above.before[:, at[q], p] - then, np.nan)
            return np.concatenate([came, past, [above.now[at[q], p] - b.now[q, shown].sum()]])

        own = left(row)
        linked = [q for q in np.flatnonzero(b.web.pair[row]) if b.told[q, block].any()]
        beside = [left(q) - own for q in linked if at[q] >= 0 and above.told[at[q], p]]
        return any(self._small(each) for each in (own, *beside))


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
