"""Which score is judged at each point: a session, a week, the end of induction.

A window is (course, point, from, until, take). Times count half-days: 2 * day, plus 1 for a score taken
after that day's dose, so that "up to the day of the next dose" and "after the dose" are plain comparisons.
`RATES.md`'s rules stand here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.per_patient.courses import NEVER, Courses, DoseDays, Moments, Yardstick

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ketaoutcomes.plan import Plan

Array = Any
CONFIRM_AFTER = 28  # days from a score to the one that shows it was sustained (RATES.md)
CONFIRM_BY = 59  # days by which that later score must have come: 28 more and a month's grace (RATES.md)
FOREVER = 2 * NEVER + 1


@dataclass(frozen=True, eq=False)
class Windows:
    """One row per course and point. `course` indexes Courses, `point` the labels.

    A score is judged in [`lo`, `hi`]: the last one, or the one nearest to day `target` where that is given.
    An unscored point carries the course's last score up to `carry_hi`; `ever` looks up to `ever_hi`;
    the score that confirms a sustained one comes by `sustain_hi`.
    """

    axis: str
    labels: tuple[str, ...]
    course: NDArray[np.int64]
    point: NDArray[np.int64]
    lo: NDArray[np.int64]
    hi: NDArray[np.int64]
    target: NDArray[np.int64] | None
    carry_hi: NDArray[np.int64]
    ever_hi: NDArray[np.int64]
    sustain_hi: NDArray[np.int64]
    due: NDArray[np.bool_]
    due_sustained: NDArray[np.bool_]
    given: NDArray[np.bool_]
    scheduled: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.course)


@dataclass(frozen=True, eq=False)
class Block:
    """What every axis needs of a group of patients: dose days, courses, how they are judged, records' end."""

    days: DoseDays
    courses: Courses
    rule: Yardstick
    cut: NDArray[np.int64]
    plan: Plan

    def due(self, rows: Array, offset: Array) -> NDArray[np.bool_]:
        """Whether `offset` days after the first dose had passed by the last day on record."""
        result: NDArray[np.bool_] = self.courses.first[rows] + offset <= self.cut[self.courses.patient[rows]]
        return result


def windows(block: Block, rows: Array, axis: str) -> Iterator[Windows]:
    """The windows of some courses on one axis; several sets where protocols differ in their points."""
    if axis == "session":
        yield from _sessions(block, rows)
    elif axis == "week":
        yield _weeks(block, rows)
    else:
        yield from _ends(block, rows, axis)


def _sessions(block: Block, rows: Array) -> Iterator[Windows]:
    for code, protocol in enumerate(block.rule.protocols):
        if protocol.visits:
            own = rows[block.courses.protocol[rows] == code]
            yield _session_windows(block, own, protocol.visits, protocol.session_window or 0)


def _session_windows(block: Block, rows: Array, visits: int, window: int) -> Windows:
    c, days = block.courses, block.days
    k = np.arange(visits)
    given = k < c.inducted[rows][:, None]
    at = np.minimum(c.start[rows][:, None] + k, max(len(days.day) - 1, 0))
    last = (c.first[rows].astype(np.int64) + c.maturity[rows])[:, None]
    # A score is judged with the dose before it: up to the day of the patient's next dose, within the window.
    day = days.day.astype(np.int64)
    until = 2 * (day + window) + 1
    same = days.patient[1:] == days.patient[:-1]
    until[:-1] = np.where(same, np.minimum(until[:-1], 2 * day[1:]), until[:-1])
    hi = np.minimum(until.take(at), 2 * last + 1)
    not_given_hi = np.minimum(2 * last + 1, 2 * c.next_first[rows].astype(np.int64)[:, None])
    carry_hi = np.where(given, hi, not_given_hi).ravel()
    due = block.due(rows, c.maturity[rows].astype(np.int64))
    due_sustained = block.due(rows, c.maturity[rows].astype(np.int64) + CONFIRM_BY)
    sustain_hi = np.minimum(2 * (last + CONFIRM_BY) + 1, 2 * c.next_first[rows].astype(np.int64)[:, None])
    shape = given.shape
    return Windows(
        axis="session", labels=tuple(str(i + 1) for i in range(visits)),
        course=np.repeat(rows, visits), point=np.tile(k, len(rows)),
        lo=(2 * day + 1).take(at).ravel(), hi=np.where(given, hi, -FOREVER).ravel(), target=None,
        carry_hi=carry_hi, ever_hi=carry_hi, sustain_hi=np.broadcast_to(sustain_hi, shape).ravel(),
        due=np.repeat(due, visits), due_sustained=np.repeat(due_sustained, visits), given=given.ravel(),
        scheduled=np.full(visits, block.plan.assessments.schedule == "every session"),
    )  # fmt: skip


def _weeks(block: Block, rows: Array) -> Windows:
    c, plan = block.courses, block.plan
    weeks = np.array(plan.points.weeks, dtype=np.int64)
    margin = plan.points.week_margin_days
    first = c.first[rows].astype(np.int64)[:, None]
    target = first + 7 * weeks
    lo, hi = np.maximum(2 * (target - margin), 2 * first + 1), 2 * (target + margin) + 1
    ends = (7 * weeks + margin)[None, :]
    due = first + ends <= block.cut[c.patient[rows]][:, None]
    due_sustained = first + ends + CONFIRM_BY <= block.cut[c.patient[rows]][:, None]
    next_first = 2 * c.next_first[rows].astype(np.int64)[:, None]
    return Windows(
        axis="week", labels=tuple(str(w) for w in plan.points.weeks),
        course=np.repeat(rows, len(weeks)), point=np.tile(np.arange(len(weeks)), len(rows)),
        lo=lo.ravel(), hi=hi.ravel(), target=target.ravel(),
        carry_hi=np.minimum(hi, next_first).ravel(), ever_hi=hi.ravel(),
        sustain_hi=(hi + 2 * CONFIRM_BY).ravel(), due=due.ravel(), due_sustained=due_sustained.ravel(),
        given=covered(block, np.repeat(rows, len(weeks)), target.ravel()),
        scheduled=_weeks_scheduled(plan, weeks),
    )  # fmt: skip


def _weeks_scheduled(plan: Plan, weeks: Array) -> NDArray[np.bool_]:
    every = plan.assessments.every_days
    if every is None:
        return np.full(len(weeks), plan.assessments.schedule != "end")
    off = (7 * weeks) % every
    result: NDArray[np.bool_] = np.minimum(off, every - off) <= plan.points.week_margin_days
    return result


def _ends(block: Block, rows: Array, axis: str) -> Iterator[Windows]:
    judged = rows[block.courses.maturity[rows] < NEVER]
    if len(judged) or not len(rows):
        yield _end_windows(block, judged, axis)


def _end_windows(block: Block, rows: Array, axis: str) -> Windows:
    c, plan = block.courses, block.plan
    earliest, ideal, latest = plan.points.end_days
    end_week = block.rule.numbers("end_week", 0)[c.protocol[rows]].astype(np.int64)
    by_week = end_week > 0
    first, margin = c.first[rows].astype(np.int64), plan.points.week_margin_days
    last = c.last_induction[rows].astype(np.int64)
    target = np.where(by_week, first + 7 * end_week, last + ideal)
    lo_day = np.where(by_week, target - margin, last + earliest)
    hi_day = np.minimum(np.where(by_week, target + margin, last + latest), first + c.maturity[rows])
    until_next = 2 * c.next_first[rows].astype(np.int64)
    carry_hi = np.minimum(2 * hi_day + 1, until_next)
    # Where the end is a week (home), any score of the patient is judged there, as at every week.
    ever_hi = np.where(by_week, 2 * hi_day + 1, carry_hi)
    hi = np.where(by_week, ever_hi, np.minimum(carry_hi, 2 * _first_maintenance(block, rows)))
    maturity = c.maturity[rows].astype(np.int64)
    confirm_by = 2 * (first + maturity + CONFIRM_BY) + 1
    visits = block.rule.numbers("visits", 0)[c.protocol[rows]]
    return Windows(
        axis=axis, labels=("end",), course=rows, point=np.zeros(len(rows), dtype=np.int64),
        lo=np.maximum(2 * lo_day, 2 * first + 1), hi=hi, target=target, carry_hi=carry_hi, ever_hi=ever_hi,
        sustain_hi=np.where(by_week, confirm_by, np.minimum(confirm_by, until_next)),
        due=block.due(rows, maturity), due_sustained=block.due(rows, maturity + CONFIRM_BY),
        given=np.where(by_week, covered(block, rows, target), c.inducted[rows] == visits),
        scheduled=np.ones(1, dtype=bool),
    )  # fmt: skip


def _first_maintenance(block: Block, rows: Array) -> NDArray[np.int64]:
    c, days = block.courses, block.days
    at = c.start[rows] + c.inducted[rows]
    exists = at < c.stop[rows]
    safe = np.where(exists, at, 0)
    return np.where(exists, days.day[safe] if len(days.day) else 0, NEVER).astype(np.int64)


def covered(block: Block, rows: Array, day: Array) -> NDArray[np.bool_]:
    """Whether a dose of the course speaks for a day: given by then, and no longer ago than its carry."""
    c, days = block.courses, block.days
    if not len(rows):
        return np.zeros(0, dtype=bool)
    carries = np.array([p.carry if p.carry else (NEVER, NEVER) for p in block.rule.protocols], dtype=np.int64)
    at = Moments(days.patient, days.day).last_by(c.patient[rows], day)
    at = np.minimum(at, c.stop[rows] - 1)
    protocol = c.protocol[rows]
    visits = block.rule.numbers("visits", 0)[protocol]
    ordinal = at - c.start[rows] + 1
    induction = (ordinal <= c.inducted[rows]) & (ordinal < visits)
    carry = np.where(induction, carries[protocol, 0], carries[protocol, 1])
    result: NDArray[np.bool_] = day < days.end[at] + carry
    return result


@dataclass(frozen=True, eq=False)
class Picks:
    """Positions among sorted scores of one instrument, for each window: the one judged, the one carried.

    -1 where there is none. What only `ever` asks for is found when first asked.
    """

    judged: NDArray[np.int64]
    carried: NDArray[np.int64]
    scores: Searched

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """The course's first score after its first dose: where `ever` begins."""
        c = self.scores.block.courses
        starts = self.scores.moments.first_from(c.patient, 2 * c.first.astype(np.int64) + 1)
        return starts[self.scores.w.course]

    @cached_property
    def ever_last(self) -> NDArray[np.int64]:
        """The last score `ever` looks at; -1: none."""
        w = self.scores.w
        return self.carried if w.ever_hi is w.carry_hi else self.scores.last(w.ever_hi)


@dataclass(frozen=True, eq=False)
class Searched:
    """Sorted scores of one instrument, searched for the scores of some windows."""

    block: Block
    w: Windows
    moments: Moments
    patient: NDArray[np.int32]
    time: NDArray[np.int32]

    @cached_property
    def who(self) -> NDArray[np.int32]:
        """The patient of each window."""
        return self.block.courses.patient[self.w.course]

    def last(self, until: Array) -> NDArray[np.int64]:
        """The last score after the course's first dose and up to a time; -1: none."""
        if not len(self.patient):
            return np.full(len(self.w), -1, dtype=np.int64)
        begin = (2 * self.block.courses.first.astype(np.int64) + 1)[self.w.course]
        at = self.moments.last_by(self.who, until)
        fine = (at >= 0) & (self.patient[at] == self.who) & (self.time[at] >= begin)
        return np.where(fine, at, -1)


def pick(block: Block, w: Windows, moments: Moments, patient: Array, time: Array) -> Picks:
    """Find each window's score among sorted scores of one instrument."""
    scores = Searched(block, w, moments, patient, time)
    carried = scores.last(w.carry_hi)
    if not len(patient):
        return Picks(carried, carried, scores)
    if w.target is None:
        # For a session received, the last score up to the window's end is the carried one too.
        inside = (carried >= 0) & (time[carried] >= w.lo) & w.given
        return Picks(np.where(inside, carried, -1), carried, scores)
    return Picks(_nearest(w, moments, scores.who, patient, time), carried, scores)


def _nearest(w: Windows, moments: Moments, who: Array, patient: Array, time: Array) -> NDArray[np.int64]:
    """The score in the window nearest to its target day; of two as near, the later."""
    target = w.target if w.target is not None else w.lo
    n = len(patient)
    before = moments.last_by(who, np.maximum(np.minimum(2 * target + 1, w.hi), w.lo - 1))
    after = before + 1
    safe = np.minimum(after, n - 1)
    twin = np.minimum(safe + 1, n - 1)
    later = (
        (twin > safe) & (patient[twin] == who) & (time[twin] >> 1 == time[safe] >> 1) & (time[twin] <= w.hi)
    )
    after = np.where(later, twin, safe)
    has_after = (before + 1 < n) & (patient[after] == who) & (time[after] <= w.hi) & (time[after] >= w.lo)
    has_before = (before >= 0) & (patient[before] == who) & (time[before] >= w.lo) & (time[before] <= w.hi)
    further = (time[after] >> 1) - target > target - (time[before] >> 1)
    use_before = has_before & (~has_after | further)
    return np.where(use_before, before, np.where(has_after, after, -1))
