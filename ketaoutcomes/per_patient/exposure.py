"""What doses cover, and the clocks that count it: good time up to any moment, from running sums.

Per course there is a short run of dose days; everything follows from running sums over them, so a course
costs its doses, never its days. Times count half-days, as everywhere: 2 * day, plus 1 after the day's dose.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.per_patient.courses import NEVER, Moments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ketaoutcomes.per_patient.adequacy import Adequacy
    from ketaoutcomes.per_patient.patients import Patients

Array = Any
CLOCKS = ("cumulative", "doses", "first_reach", "contiguous")
CUMULATIVE, DOSES, FIRST_REACH, CONTIGUOUS = range(4)
EXPOSURES = ("titrating", "adequate", "dipped", "lapsed")
TITRATING, ADEQUATE, DIPPED, LAPSED = range(4)


@dataclass(frozen=True, eq=False)
class Exposure:
    """The dose days of some courses, with what each covers and whether it was adequate.

    Arrays of dose days (`of` says whose, `start` delimits) and of courses. `cover_end` is the first day a
    dose no longer speaks for; `length` the days it covers while the course is observed, up to `end`.
    """

    rows: NDArray[np.int64]
    of: NDArray[np.int64]
    start: NDArray[np.int64]
    day: NDArray[np.int64]
    cover_end: NDArray[np.int64]
    length: NDArray[np.int64]
    adequate: NDArray[np.bool_]
    first: NDArray[np.int64]
    last_day: NDArray[np.int64]  # the last day on record, A
    next_first: NDArray[np.int64]
    end: NDArray[np.int64]  # min(A, next course, last dose + course gap): the time account ends here
    open: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def moments(self) -> Moments:
        """When each dose was given, searchable: after a score of its day unless the score says post."""
        return Moments(self.of, 2 * self.day + 1)

    @cached_property
    def reached_at(self) -> NDArray[np.int64]:
        """The position of each course's first adequate dose day; one past all where there is none."""
        found = np.full(len(self), len(self.day), dtype=np.int64)
        hits = np.flatnonzero(self.adequate)[::-1]
        found[self.of[hits]] = hits  # backwards: the first of each course's is written last
        return found

    @property
    def reached(self) -> NDArray[np.bool_]:
        """Whether each course has an adequate dose."""
        yes: NDArray[np.bool_] = self.reached_at < len(self.day)
        return yes

    @cached_property
    def reached_day(self) -> NDArray[np.int64]:
        """The day of each course's first adequate dose; NEVER where there is none."""
        found: NDArray[np.int64] = np.append(self.day, NEVER)[self.reached_at]
        return found

    def last_dose(self, course: Array, time: Array) -> NDArray[np.int64]:
        """The position of each course's last dose before a time in half-days; below `start` where none."""
        at = self.moments.last_by(course, time)
        return np.where(at >= self.start[course], at, -1)

    @cached_property
    def sums(self) -> dict[str, NDArray[np.int64]]:
        """Running sums over all dose days, from 0: adequate doses, adequate days, covered days."""
        return {
            "doses": _running(self.adequate),
            "adequate": _running(np.where(self.adequate, self.length, 0)),
            "covered": _running(self.length),
        }

    @cached_property
    def run_start(self) -> NDArray[np.int64]:
        """The day on which each adequate dose's unbroken run of adequate cover began."""
        joins = np.zeros(len(self.day), dtype=bool)
        joins[1:] = (
            self.adequate[1:]
            & self.adequate[:-1]
            & (self.cover_end[:-1] == self.day[1:])
            & (self.of[1:] == self.of[:-1])
        )
        begins = np.maximum.accumulate(np.where(joins, 0, np.arange(len(self.day))))
        found: NDArray[np.int64] = self.day[begins]
        return found

    def good(self, clock: int, course: Array, time: Array, dose: Array | None = None) -> NDArray[np.int64]:
        """Good time of these courses (by position) up to a time in half-days, by one clock.

        `dose` is what `last_dose` says of those times, where it is known already.
        """
        day = time >> 1
        if clock == CONTIGUOUS:
            at = self.last_dose(course, 2 * day - 1)
            none, at = at < 0, np.maximum(at, 0)
            unbroken = ~none & self.adequate[at] & (day <= self.day[at] + self.length[at])
            return np.where(unbroken, day - self.run_start[at], 0)
        at = self.last_dose(course, time) if dose is None else dose
        none, at = at < 0, np.maximum(at, 0)
        if clock == DOSES:
            total = self.sums["doses"][at + 1] - self.sums["doses"][self.start[course]]
        elif clock == CUMULATIVE:
            total = self.sums["adequate"][at] - self.sums["adequate"][self.start[course]]
            total += np.where(self.adequate[at], np.minimum(day - self.day[at], self.length[at]), 0)
        else:
            since = self.reached_at[course]
            none |= at < since
            total = self.sums["covered"][at] - self.sums["covered"][since]
            total += np.minimum(day - self.day[at], self.length[at])
        total[none] = 0
        return total

    def peak(self, clock: int, course: Array, day: Array) -> NDArray[np.int64]:
        """The most good time these courses had on any day up to this one. Only `contiguous` ever falls."""
        if clock != CONTIGUOUS:
            return self.good(clock, course, 2 * day)
        until = np.zeros(len(self), dtype=np.int64)
        until[course] = day
        reach = np.minimum(self.day + self.length, until[self.of]) - self.run_start
        best = np.maximum.reduceat(np.where(self.adequate, reach, 0), self.start[:-1])
        found: NDArray[np.int64] = np.maximum(best, 0)[course]
        return found

    def whole(self, clock: int, course: Array) -> NDArray[np.int64]:
        """The most good time in these courses' whole record; by `doses`, those of the last day included."""
        if clock == CONTIGUOUS:
            return self.peak(clock, course, self.end[course])
        total = self.sums[{DOSES: "doses", CUMULATIVE: "adequate", FIRST_REACH: "covered"}[clock]]
        begin, stop = self.start[course], self.start[course + 1]
        if clock == FIRST_REACH:
            begin = np.minimum(self.reached_at[course], stop)
        found: NDArray[np.int64] = total[stop] - total[begin]
        return found

    def at_end(self, clock: int, course: Array) -> NDArray[np.int64]:
        """Good time of these courses at `end`, without searching for it."""
        if clock == CONTIGUOUS:
            return self.good(clock, course, 2 * self.end[course])
        last = self.start[course + 1] - 1
        today = self.adequate[last] & (self.day[last] == self.end[course])
        return self.whole(clock, course) - (today if clock == DOSES else 0)

    @cached_property
    def lapses(self) -> NDArray[np.bool_]:
        """Whether the cover of each dose ended before the patient's next dose, of whichever course."""
        next_day = np.append(self.day[1:], 0)[: len(self.day)]
        next_day[self.start[1:] - 1] = self.next_first
        yes: NDArray[np.bool_] = self.cover_end < next_day
        return yes

    def changes(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The days on which a dose or a lapse changes each course's exposure: day, EXPOSURES code, whose."""
        position = np.arange(len(self.day))
        dosed = np.where(position < self.reached_at[self.of], TITRATING, DIPPED)
        dosed = np.where(self.adequate, ADEQUATE, dosed)
        happens = np.empty(2 * len(position), dtype=bool)
        # A dose like the one before it changes nothing, unless cover had ended or the course is new.
        happens[0:1], happens[1::2] = True, self.lapses
        happens[2::2] = (dosed[1:] != dosed[:-1]) | self.lapses[:-1] | (self.of[1:] != self.of[:-1])
        at = np.flatnonzero(happens)
        dose, lapsed = at >> 1, (at & 1) == 1
        day = np.where(lapsed, self.cover_end[dose], self.day[dose])
        return day, np.where(lapsed, LAPSED, dosed[dose]), self.of[dose]

    def account(self) -> dict[str, NDArray[np.int64]]:
        """Each course's days from first dose to `end`: titrating, adequate, dipped, lapsed."""
        sums, start = self.sums, self.start
        covered = sums["covered"][start[1:]] - sums["covered"][start[:-1]]
        adequate = sums["adequate"][start[1:]] - sums["adequate"][start[:-1]]
        # A course that never reached its level was titrating all the time it was covered.
        level_at = np.where(self.reached, self.reached_at, start[1:])
        titrating = sums["covered"][level_at] - sums["covered"][start[:-1]]
        dipped, lapsed = covered - titrating - adequate, self.end - self.first - covered
        return dict(zip(EXPOSURES, (titrating, adequate, dipped, lapsed), strict=True))


def _running(values: Array) -> NDArray[np.int64]:
    total = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=total[1:])
    return total


def expose(p: Patients, a: Adequacy) -> Exposure:
    """What each dose covered: from its day to the next dose, at most its carry after the record ends."""
    block, c, days = p.block, p.courses, p.block.days
    rows, at, of = a.rows, a.at, a.of
    last_day = block.cut[c.patient[rows]].astype(np.int64)
    next_first = c.next_first[rows].astype(np.int64)
    last = c.last_end[rows].astype(np.int64) + c.gap[rows]
    end = np.minimum(np.minimum(last_day, next_first), last)
    day = days.day[at].astype(np.int64)
    next_day = np.full(len(at), NEVER, dtype=np.int64)
    next_day[:-1] = np.where(of[1:] == of[:-1], day[1:], NEVER)
    final = a.start[1:] - 1
    next_day[final] = next_first
    protocol = c.protocol[rows]
    visits = block.rule.numbers("visits", 0)[protocol]
    carries = np.array([one.carry or (NEVER, NEVER) for one in block.rule.protocols], dtype=np.int64)
    # The dose that ends induction speaks for the maintenance interval.
    many = np.minimum(c.inducted[rows], visits - 1)
    induction = np.arange(len(at)) - a.start[:-1][of] < many[of]
    carry = np.where(induction, carries[protocol, 0][of], carries[protocol, 1][of])
    cover_end = np.minimum(next_day, days.end[at] + carry)
    # With neither a course gap nor an end of records, a course ends with the cover of its last dose.
    end = np.where(end > NEVER // 2, cover_end[final], end)
    length = np.minimum(cover_end, end[of]) - day
    return Exposure(
        rows, of, a.start, day, cover_end, length, a.adequate, c.first[rows].astype(np.int64),
        last_day, next_first, end, last >= last_day,
    )  # fmt: skip
