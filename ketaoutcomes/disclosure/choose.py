"""Which facts may be shown: one pass over all of them, the most useful first.

A fact is shown in a group only if it, and every count of persons that it would let a reader compute from what
is already shown, is 0 or more than the threshold. Where a coarser table shows the total of a fact, the groups
in which it is hidden must together hold 0 or more than the threshold too, and so must everything that can be
computed about them; a fact that depends on one hidden in some groups is hidden there as well, so that the
hidden groups of linked facts are nested. Hiding never has to be taken back: each check looks only at what is
shown already, and every later fact is checked against this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ketaoutcomes.disclosure.facts import SCHEDULED, Fact, Margin
from ketaoutcomes.disclosure.links import Links, Logic, links
from ketaoutcomes.disclosure.safety import is_safety
from ketaoutcomes.disclosure.sums import Sums, all_sums
from ketaoutcomes.disclosure.transport import small

Array = Any


@dataclass(frozen=True, eq=False)
class Web:
    """One grouping's links: what may be nested, what adds up, what a fact needs to be shown beside it."""

    pair: Array
    rest_pair: Array
    left: Array  # of the people due among whom a fact is judged, those it does not hold
    needs: Array  # the row of the people due among whom a fact is judged; -1: none
    held: Array  # for a sustained fact, the row of its current one; -1: none
    sums: Sums
    cells: dict[int, Array]  # a whole and its cells, by the row of each of them
    totals: Array  # per coarser grouping, the row there of every fact; -1: it has no such fact

    def beside(self, at: int) -> Array:
        """Rows that say something about a fact: linked to it, or part of a sum with it."""
        rows = [np.flatnonzero(self.pair[at] | self.rest_pair[at])]
        rows.append(self.sums.with_(at)[0].ravel())
        rows.append(self.cells.get(at, np.zeros(0, dtype=np.int64)))
        result = np.unique(np.concatenate(rows))
        return result[(result != at) & (result < len(self.pair))]


def choose(margins: Sequence[Margin], rules: Logic, order: Sequence[str], largest_small: int) -> None:
    """Decide `shown` of every fact of every grouping, coarsest grouping first.

    `order` ranks the criteria: the first are kept longest. Counts from 1 to `largest_small` are small.
    """
    for margin in margins:
        web = web_of(margin, rules)
        for at in ranked(margin, web, order):
            _Placing(margin, web, at, largest_small).place()
    _last_sessions(margins, rules, largest_small)


def web_of(margin: Margin, rules: Logic) -> Web:
    """The links of one margin's facts: nested, adding up, or judged among the people due."""
    linked: Links = links(margin.facts, rules)
    due: dict[tuple[str, str, str], dict[tuple[str, str], int]] = {}
    for fact, at in margin.row.items():
        if fact.role == "due":
            due.setdefault((fact.instrument, fact.axis, fact.point), {})[fact.kind, fact.criterion] = at
    needs = np.full(len(margin.facts), -1, dtype=np.int64)
    for fact, at in margin.row.items():
        if fact.role not in ("given", "assessed", "met"):
            continue
        rows = _own_due(fact, due)
        needs[at] = rows[0] if rows else margin.row.get(Fact("due", fact.instrument), -1)
        for row in rows:
            linked.pair[at, row] = linked.pair[row, at] = at != row
    for fact, at in margin.row.items():
        if fact.role in ("reach_due", "reached"):
            # The first courses due of a protocol with sessions are all its first courses due.
            needs[at] = next((row for f, row in margin.row.items() if f.role == "started"), -1)
    totals = np.full((len(margin.parents), len(margin.facts)), -1, dtype=np.int64)
    for fact, at in margin.row.items():
        for i, (other, _) in enumerate(margin.parents):
            totals[i, at] = other.row.get(fact, totals[i, at])
    left = np.where(needs[:, None] >= 0, margin.value[needs], 0) - margin.value
    sums = all_sums(margin, rules, needs)
    return Web(linked.pair, linked.rest, left, needs, _held(margin), sums, _cells(margin), totals)


def _held(margin: Margin) -> Array:
    """For what was sustained, the row of what was met or scored at the point itself."""
    result = np.full(len(margin.facts), -1, dtype=np.int64)
    for fact, at in margin.row.items():
        if fact.role in ("assessed", "met") and fact.kind == "sustained":
            result[at] = margin.row.get(fact._replace(kind="current"), -1)
    return result


def _own_due(fact: Fact, due: dict[tuple[str, str, str], dict[tuple[str, str], int]]) -> list[int]:
    """The rows of the people due among whom a fact is judged, its own criterion's first."""
    here = due.get((fact.instrument, fact.axis, fact.point), {})
    names = (fact.criterion + SCHEDULED, fact.criterion)
    own = [here[fact.kind, name] for name in names if (fact.kind, name) in here]
    rest = [row for (kind, _), row in here.items() if kind == fact.kind]
    return list(dict.fromkeys(own + rest))


def _cells(margin: Margin) -> dict[int, Array]:
    result: dict[int, Array] = {}
    for whole, roles in (("all_rows", ("rows",)), ("courses", ("eligible", "reason"))):
        for fact, at in margin.row.items():
            if fact.role != whole:
                continue
            own = (fact.instrument, fact.axis)
            parts = [r for f, r in margin.row.items() if f.role in roles and (f.instrument, f.axis) == own]
            rows = np.array([at, *parts], dtype=np.int64)
            result.update(dict.fromkeys(rows.tolist(), rows))
    return result


_BEFORE = (
    "due", "eligible", "met", "assessed", "started", "end_score", "any_score", "baseline", "reach_due",
    "reached", "all_rows", "rows", "courses", "reason", "with_course", "patients", "given",
)  # fmt: skip
_KINDS = ("", "current", "ever", "sustained")
_AXES = ("", "end", "session", "week", "month")


def ranked(margin: Margin, web: Web, criteria: Sequence[str]) -> list[int]:
    """Rows in the order in which they are kept: what has a total elsewhere, then by use to a reader.

    Of the points of an axis the last comes first, then the first, then the others; of the cells of a
    partition the largest.
    """
    role = {name: i for i, name in enumerate(_BEFORE)}
    place = {name: i for i, name in enumerate(criteria)}
    points: dict[tuple[str, str, str], list[int]] = {}
    for fact in margin.facts:
        points.setdefault(_series(fact), []).append(_number(fact.point))
    ends = {key: (max(of), min(of)) for key, of in points.items()}

    def key(at: int) -> tuple[Any, ...]:
        fact = margin.facts[at]
        last, first = ends[_series(fact)]
        point = _number(fact.point)
        turn = 0 if point == last else 1 if point == first else 2
        size = -int(margin.value[at].sum()) if fact.role in ("rows", "reason") else 0
        kind = _KINDS.index(fact.kind) if fact.kind in _KINDS else len(_KINDS)
        axis = _AXES.index(fact.axis) if fact.axis in _AXES else len(_AXES)
        known = (web.totals[:, at] >= 0).any()
        return (
            is_safety(fact),  # what the report shows without them stays as it was
            not known,
            kind > 1,
            role[fact.role],
            kind,
            place.get(fact.criterion, -1),
            axis,
            turn,
            point,
            size,
            fact,
        )

    return sorted(range(len(margin.facts)), key=key)


def _series(fact: Fact) -> tuple[str, str, str]:
    return fact.role, fact.instrument, fact.axis


def _number(point: str) -> int:
    return int(point) if point.isdigit() else 0


class _Placing:
    """One fact looking for its place: the groups in which it may be shown."""

    def __init__(self, margin: Margin, web: Web, at: int, largest_small: int) -> None:
        self.margin, self.web, self.at, self.largest_small = margin, web, at, largest_small
        self.value = margin.value[at]
        self.beside = web.beside(at)
        self.totals = np.flatnonzero(web.totals[:, at] >= 0)

    def place(self) -> None:
        """Decide where the fact is shown, given everything decided before it."""
        hide = self._alone()
        if len(self.totals) > 1:
            # Two totals of one table could be played against each other: all of it or nothing.
            known = [self._total_shown(i, self.at) for i in self.totals]
            hide = np.full(hide.shape, hide.any() or not np.all(known))
        elif len(self.totals) == 1:
            hide = self._among_groups(hide, int(self.totals[0]))
        else:
            hide = self._beside_hidden_groups(hide)
        self.margin.shown[self.at] = ~hide

    def _small(self, count: Array) -> Array:
        return small(count, self.largest_small)

    def _total_shown(self, i: Any, at: Any) -> Array:
        """By group, whether the coarser table shows the total this group is part of."""
        other, of = self.margin.parents[i]
        row = self.web.totals[i, at]
        return other.shown[row][of] & (of >= 0) if row >= 0 else np.zeros(len(of), dtype=bool)

    def _alone(self) -> Array:
        """Groups where the fact, or a difference or sum with what is shown there, is small."""
        value, shown, web = self.margin.value, self.margin.shown, self.web
        hide = self._small(self.value)
        # What was sustained counts among what was met: shown alone it would stand in for it in sums.
        for need in (web.needs[self.at], web.held[self.at]):
            if need >= 0:
                hide = hide | ~shown[need]
        always, sometimes = np.flatnonzero(web.pair[self.at]), np.flatnonzero(web.rest_pair[self.at])
        hide = hide | (shown[always] & self._small(value[always] - self.value)).any(axis=0)
        hide = hide | (shown[sometimes] & self._small(web.left[sometimes] - web.left[self.at])).any(axis=0)
        rows, signs = web.sums.with_(self.at)
        beside = self._filled(shown, np.True_)[rows] | (rows == self.at)[:, :, None]
        count = (signs[:, :, None] * self._filled(value, 0)[rows]).sum(axis=1)
        hide = hide | (beside.all(axis=1) & self._small(count)).any(axis=0)
        if self.at in web.cells:
            hide = hide | self._small(self._rest(shown))
        return hide

    def _filled(self, table: Array, blank: Any) -> Array:
        """With the row that fills up short sums."""
        return np.vstack([table, np.full((1, table.shape[1]), blank)])

    def _rest(self, known: Array) -> Array:
        """What a whole leaves when this cell and all cells known are taken away, by group."""
        whole, cells = self.web.cells[self.at][0], self.web.cells[self.at][1:]
        value = self.margin.value
        taken = np.where(known[cells] | (cells == self.at)[:, None], value[cells], 0).sum(axis=0)
        for eligible, due in self._due_within():
            taken = taken + np.where(known[due] & ~known[eligible], value[due], 0)
        return np.where(taken > 0, value[whole] - taken, 0)

    def _due_within(self) -> Iterator[tuple[int, int]]:
        """The cell of those eligible and, within it, those due: they stand in for it where it is hidden."""
        row = self.margin.row
        for fact in (Fact("eligible", self.margin.facts[self.at].instrument),):
            due = fact._replace(role="due")
            if (
                fact in row
                and due in row
                and row[fact] in self.web.cells.get(self.at, ())
                and row[fact] != self.at
            ):
                yield row[fact], row[due]

    def _among_groups(self, hide: Array, i: int) -> Array:
        """Groups to hide so that the total minus the groups shown tells nothing small about the others."""
        total_shown = self._total_shown(i, self.at)
        hide = hide | ~total_shown
        of = self.margin.parents[i][1]
        beside = self.beside[self.web.totals[i, self.beside] >= 0]
        for block in (np.flatnonzero(of == p) for p in np.unique(of)):
            # A fact hidden in every group of the block says nothing about any of them.
            known = beside[self.margin.shown[np.ix_(beside, block)].any(axis=1)]
            hide[block] |= ~self.margin.shown[np.ix_(known, block)].all(axis=0)
            if total_shown[block].all():
                self._widen(hide, block, known)
        return hide

    def _widen(self, hide: Array, block: Array, known: Array) -> None:
        """Hide the smallest shown group until the hidden ones together are safe; at worst all of them."""
        told = self._told()
        while hide[block].any():
            every = hide[block].all()
            unknown = block[hide[block] & ~told[block]]
            safe = every or self._safe_together(block[hide[block]], known)
            if safe and (not len(unknown) or (every and len(unknown) == len(block))):
                return
            if safe and self._safe_together(unknown, known):
                return
            if every:
                self._withdraw_tellers(block)
                return
            candidates = block[~hide[block] & (self.value[block] > 0)]
            if not len(candidates):
                hide[block] = True
                return
            hide[candidates[np.argmin(self.value[candidates])]] = True

    def _told(self) -> Array:
        """Groups where this fact is none and a linked one is shown as none: it is known all the same."""
        linked = np.flatnonzero(self.web.pair[self.at])
        told = self.margin.shown[linked] & (self.margin.value[linked] == 0) & (self.value == 0)
        result: Array = told.any(axis=0)
        return result

    def _withdraw_tellers(self, block: Array) -> None:
        """Hide, in all groups of one total, linked facts that tell where there is none, and their needers."""
        linked = np.flatnonzero(self.web.pair[self.at])
        none = (self.margin.value[np.ix_(linked, block)] == 0) & (self.value[block] == 0)
        telling = none & self.margin.shown[np.ix_(linked, block)]
        rows = set(linked[telling.any(axis=1)].tolist())
        while rows:
            self.margin.shown[np.ix_(sorted(rows), block)] = False
            needing = np.isin(self.web.needs, list(rows)) | np.isin(self.web.held, list(rows))
            rows = set(np.flatnonzero(needing & self.margin.shown[:, block].any(axis=1)).tolist())

    def _safe_together(self, hidden: Array, known: Array) -> bool:
        """Whether nothing small can be computed about some hidden groups taken together."""
        value, web = self.margin.value, self.web
        if self._small(self.value[hidden].sum()):
            return False
        for pair, count in ((web.pair, value), (web.rest_pair, web.left)):
            nested = known[pair[self.at, known]]
            if self._small(count[np.ix_(nested, hidden)].sum(axis=1) - count[self.at, hidden].sum()).any():
                return False
        available = np.zeros(len(value), dtype=bool)
        available[[*known, self.at]] = True
        rows, signs = web.sums.with_(self.at)
        together = np.append(value[:, hidden].sum(axis=1), 0)
        whole_sums = np.append(available, True)[rows].all(axis=1)
        if (whole_sums & self._small((signs * together[rows]).sum(axis=1))).any():
            return False
        if self.at not in self.web.cells:
            return True
        whole, cells = self.web.cells[self.at][0], self.web.cells[self.at][1:]
        taken = value[cells[available[cells]]][:, hidden].sum()
        for eligible, due in self._due_within():
            taken += value[due, hidden].sum() if available[due] and not available[eligible] else 0
        return not self._small(value[whole, hidden].sum() - taken)

    def _beside_hidden_groups(self, hide: Array) -> Array:
        """A fact without a total still bounds linked facts, whose hidden groups' sum is known from theirs."""
        web = self.web
        for pair, count in ((web.pair, self.margin.value), (web.rest_pair, web.left)):
            for i, (_, of) in enumerate(self.margin.parents):
                for row in np.flatnonzero(pair[self.at] & (web.totals[i] >= 0)):
                    known = self._total_shown(i, row) & ~self.margin.shown[row]
                    for p in np.unique(of[known]):
                        hidden = np.flatnonzero(known & (of == p))
                        own = count[self.at, hidden[~hide[hidden]]].sum()
                        if own > 0 and self._small(count[row, hidden].sum() - own):
                            hide[hidden] = True
        return hide


def _last_sessions(margins: Sequence[Margin], rules: Logic, largest_small: int) -> None:
    """Hide what a coarser table's `ever` at the end would give away about scores after the last session.

    Whoever was scored, or had met, by a session had done so by the end, and the end's total is that of all
    groups together.
    """
    for margin in margins:
        for other, of in margin.parents:
            for above, row in other.row.items():
                ever = above.role in ("assessed", "met") and above.kind == "ever"
                ever &= above.axis == "end" or is_safety(above)
                if ever or above.role == "any_score":
                    within = _by_session(margin, above, rules)
                    for p in np.unique(of) if len(within) else ():
                        if other.shown[row, p]:
                            _thin(margin, within, np.flatnonzero(of == p), other.value[row, p], largest_small)


def _by_session(margin: Margin, above: Fact, rules: Logic) -> Array:
    def inside(fact: Fact) -> bool:
        if fact.axis != "session" or fact.instrument != above.instrument:
            return False
        if is_safety(above) and fact.criterion != above.criterion:
            return False
        if above.role in ("assessed", "any_score"):
            return fact.role in ("assessed", "met")
        implied = (fact.criterion, above.criterion) in rules.implies or is_safety(above)
        return fact.role == "met" and implied

    rows = {at for fact, at in margin.row.items() if inside(fact)}
    return np.array(sorted(rows), dtype=np.int64)


def _thin(margin: Margin, rows: Array, groups: Array, total: int, largest_small: int) -> None:
    while True:
        seen = np.where(margin.shown[np.ix_(rows, groups)], margin.value[np.ix_(rows, groups)], 0)
        most = seen.max(axis=0)
        if not 0 < total - most.sum() <= largest_small or not most.any():
            return
        at = np.argmin(np.where(most > 0, most, np.iinfo(np.int64).max))
        margin.shown[rows[seen[:, at] == most[at]], groups[at]] = False
