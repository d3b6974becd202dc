"""Good time: has each course had long enough at a dose that could have worked?

`GOOD_TIME.md` defines every word here. Per course there is a short run of dose days; everything follows from
running sums over them, so a course costs its doses, never its days. Days inside count on the patient's own
calendar; the table counts them from the course's first dose. It describes exposure, not cause.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.adequacy import (
    BASES,
    JUDGED,
    LEVEL_REASONS,
    NO_LEVEL_REASONS,
    Adequacy,
    basis_of,
    judge_doses,
)
from ketaoutcomes.assembly import labelled
from ketaoutcomes.courses import NEVER, Moments
from ketaoutcomes.definitions import met
from ketaoutcomes.plan import PlanError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ketaoutcomes.definitions import Criterion
    from ketaoutcomes.patients import Patients, Setting

Array = Any
CLOCKS = ("cumulative", "doses", "first_reach", "contiguous")
CUMULATIVE, DOSES, FIRST_REACH, CONTIGUOUS = range(4)
RECENT = 31  # days before a calendar verdict within which a score must lie (GOOD_TIME.md)

STATUSES = (
    "not_comparable",
    "no_level",
    "responded_before",
    "responded_lapsed",
    "responded_1",
    "responded_2",
    "responded_later",
    "full_trial",
    "titrating",
    "stopped_before",
    "accruing",
    "stopped_early",
    "unassessed",
)
GROUPS = ("responded_before", "responded_after", "trial_complete", "stopped_short", "not_evaluable")
GROUP_OF = {
    "not_comparable": "not_evaluable",
    "no_level": "not_evaluable",
    "responded_before": "responded_before",
    "responded_lapsed": "responded_after",
    "responded_1": "responded_after",
    "responded_2": "responded_after",
    "responded_later": "responded_after",
    "full_trial": "trial_complete",
    "titrating": "not_evaluable",
    "stopped_before": "stopped_short",
    "accruing": "not_evaluable",
    "stopped_early": "stopped_short",
    "unassessed": "not_evaluable",
}
VERDICTS = ("not_due", "responded", "not_responded", "not_assessed")
# Why a course cannot be judged: first the schedule and the criterion, then its doses.
SCHEDULE_REASONS = ("zero_baseline", "no_baseline_diagnosis", "no_carry", "no_windows", "windows_unit")
ZERO_BASELINE, NO_DIAGNOSIS, NO_CARRY, NO_WINDOWS, WINDOWS_UNIT = range(
    len(LEVEL_REASONS), len(LEVEL_REASONS) + len(SCHEDULE_REASONS)
)
REASONS = (*LEVEL_REASONS, *SCHEDULE_REASONS)


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
        hits = np.flatnonzero(self.adequate)
        hits = np.append(hits, len(self.day))
        found = hits[np.searchsorted(hits, self.start[:-1])]
        return np.where(found < self.start[1:], found, len(self.day))

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

    def good(self, clock: int, course: Array, time: Array) -> NDArray[np.int64]:
        """Good time of these courses (by position) up to a time in half-days, by one clock."""
        day = time >> 1
        if clock == CONTIGUOUS:
            at = self.last_dose(course, 2 * day - 1)
            none, at = at < 0, np.maximum(at, 0)
            unbroken = ~none & self.adequate[at] & (day <= self.day[at] + self.length[at])
            return np.where(unbroken, day - self.run_start[at], 0)
        at = self.last_dose(course, time)
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
        return np.where(none, 0, total)

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

    def account(self) -> dict[str, NDArray[np.int64]]:
        """Each course's days from first dose to `end`: titrating, adequate, dipped, lapsed."""
        sums, start = self.sums, self.start
        covered = sums["covered"][start[1:]] - sums["covered"][start[:-1]]
        adequate = sums["adequate"][start[1:]] - sums["adequate"][start[:-1]]
        # A course that never reached its level was titrating all the time it was covered.
        level_at = np.where(self.reached, self.reached_at, start[1:])
        titrating = sums["covered"][level_at] - sums["covered"][start[:-1]]
        return {
            "titrating": titrating,
            "adequate": adequate,
            "dipped": covered - titrating - adequate,
            "lapsed": self.end - self.first - covered,
        }


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


@dataclass(frozen=True, eq=False)
class CourseScores:
    """The scores of each course that a criterion judges: after its first dose, up to the next course's.

    One row per score: `of` says whose, `start` delimits, `met` is 1, 0 or -1 (cannot be judged). `response`
    is the time in half-days of each course's first score that meets the criterion; NEVER where none does.
    """

    of: NDArray[np.int64]
    start: NDArray[np.int64]
    time: NDArray[np.int64]
    met: NDArray[np.int8]
    response: NDArray[np.int64]
    barred: NDArray[np.int8]

    def by(self, course_day: Array, days_before: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether each course has responded by a day, and has a score in the days up to it."""
        # Half-day times stay below 2**31, so course and time pack into one sorted integer.
        key = (self.of << 32) + self.time
        own = np.arange(len(self.response)) << 32
        last = np.searchsorted(key, own + 2 * course_day + 1, side="right")
        first = np.searchsorted(key, own + 2 * (course_day - days_before), side="left")
        return self.response <= 2 * course_day + 1, last > np.maximum(first, self.start[:-1])


def course_scores(p: Patients, criterion: Criterion, rows: Array) -> CourseScores:
    """Judge every score of some courses, each against its own course's baseline."""
    c, base = p.courses, p.baselines(criterion.instrument)
    j = p.judged(criterion.instrument, criterion.variable)
    patient, first = c.patient[rows], c.first[rows].astype(np.int64)
    until = np.minimum(2 * c.next_first[rows].astype(np.int64), 2 * p.block.cut[patient] + 1)
    low = j.moments.first_from(patient, 2 * first + 1)
    high = np.maximum(j.moments.last_by(patient, until) + 1, low)
    start = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(high - low, out=start[1:])
    of = np.repeat(np.arange(len(rows)), high - low)
    at = np.arange(start[-1]) + (low - start[:-1])[of]
    diagnosis = criterion.variable == "diagnosis"
    baseline = (base.diagnosis.astype(np.int32) if diagnosis else base.ticks)[rows]
    ticks = p.plan.definitions.instrument(criterion.instrument).ticks
    judged = met(criterion, baseline[of], j.value[at], ticks)
    barred = np.zeros(len(rows), dtype=np.int8)
    if diagnosis:
        barred[baseline != 1] = NO_DIAGNOSIS
    elif criterion.uses_baseline:
        barred[met(criterion, baseline, baseline, ticks) < 0] = ZERO_BASELINE
    judged[barred[of] > 0] = -1
    time = j.time[at].astype(np.int64)
    hits = np.append(np.flatnonzero(judged == 1), len(time))
    found = hits[np.searchsorted(hits, start[:-1])]
    response = np.append(time, 2 * NEVER)[np.where(found < start[1:], found, len(time))]
    return CourseScores(of, start, time, judged, response, barred)


@dataclass(frozen=True, eq=False)
class GoodTimes:
    """Good time of some courses by one criterion: one entry per course, in the order of `exposure.rows`.

    `clock` indexes CLOCKS, `status` STATUSES, `reason` REASONS (0: judged).
    """

    exposure: Exposure
    scores: CourseScores
    level: NDArray[np.float64]
    reason: NDArray[np.int8]
    clock: NDArray[np.int8]
    windows: NDArray[np.int64]  # two columns; 0 where there are none
    status: NDArray[np.int8]
    good: NDArray[np.int64]
    good_at_response: NDArray[np.int64]

    @property
    def judged(self) -> NDArray[np.bool_]:
        """Whether each course could be judged at all."""
        yes: NDArray[np.bool_] = self.reason == JUDGED
        return yes

    @property
    def responded(self) -> NDArray[np.bool_]:
        """Whether each course has a score that meets the criterion."""
        yes: NDArray[np.bool_] = self.scores.response < 2 * NEVER
        return yes

    def verdicts(self, day: int) -> NDArray[np.int8]:
        """The plain calendar's answer on a day after the first dose: codes into VERDICTS."""
        e = self.exposure
        responded, scored = self.scores.by(e.first + day, RECENT)
        verdict = np.where(responded, 1, np.where(scored, 2, 3))
        return np.where(e.first + day > e.last_day, 0, verdict).astype(np.int8)


def each_clock(clock: Array) -> list[tuple[int, Array]]:
    """The clocks in use, each with the positions of its courses."""
    return [(int(one), np.flatnonzero(clock == one)) for one in np.unique(clock)]


def good_at(e: Exposure, clock: Array, course: Array, time: Array) -> NDArray[np.int64]:
    """Good time of these courses at a time in half-days, each by its own clock."""
    result = np.zeros(len(course), dtype=np.int64)
    for one, own in each_clock(clock[course]):
        result[own] = e.good(one, course[own], time[own])
    return result


def peak_by(e: Exposure, clock: Array, course: Array, day: Array) -> NDArray[np.int64]:
    """The most good time of these courses up to a day, each by its own clock."""
    result = np.zeros(len(course), dtype=np.int64)
    for one, own in each_clock(clock[course]):
        result[own] = e.peak(one, course[own], day[own])
    return result


def judge_courses(
    p: Patients, criterion: Criterion, rows: Array, basis: str, clock: str | None = None
) -> GoodTimes:
    """Good time of these courses (positions in the block's courses) by one criterion."""
    a = judge_doses(p, rows, basis)
    e, scores = expose(p, a), course_scores(p, criterion, rows)
    clocks, windows, schedule = _schedule(p, rows, clock or p.plan.good_time.clock)
    reason = a.reason.copy()
    reason[schedule > 0] = schedule[schedule > 0]
    reason[scores.barred > 0] = scores.barred[scores.barred > 0]
    every = np.arange(len(rows))
    good = good_at(e, clocks, every, 2 * e.end)
    at_response = np.zeros(len(rows), dtype=np.int64)
    hit = np.flatnonzero((scores.response < 2 * NEVER) & e.reached)
    at_response[hit] = good_at(e, clocks, hit, scores.response[hit])
    found = GoodTimes(
        e, scores, a.level, reason, clocks, windows, np.zeros(len(rows), np.int8), good, at_response
    )
    found.status[:] = _statuses(found, p.plan.good_time.grace_days)
    return found


def _schedule(p: Patients, rows: Array, asked: str) -> tuple[Array, Array, Array]:
    """Each course's clock, its two windows, and why its protocol cannot be judged by them (0: it can)."""
    own = p.plan.good_time.windows
    by_protocol = []
    for protocol in p.block.rule.protocols:
        doses = asked == "doses" or (asked == "protocol" and protocol.trial_unit == "doses")
        clock = DOSES if doses else CUMULATIVE if asked == "protocol" else CLOCKS.index(asked)
        first, second = own or protocol.trial or (0, 0)
        wrong_unit = own is None and protocol.trial_unit != ("doses" if doses else "days")
        reason = JUDGED
        if protocol.carry is None:
            reason = NO_CARRY
        elif not first:
            reason = NO_WINDOWS
        elif wrong_unit:
            reason = WINDOWS_UNIT
        by_protocol.append((clock, first, second, reason))
    table = np.array(by_protocol, dtype=np.int64).reshape(-1, 4)[p.courses.protocol[rows]]
    return table[:, 0].astype(np.int8), table[:, 1:3], table[:, 3].astype(np.int8)


def _statuses(g: GoodTimes, grace: int) -> NDArray[np.int8]:
    """Each course's one status: later lines give way to earlier ones, as GOOD_TIME.md orders them."""
    e, response = g.exposure, g.scores.response
    first, second = g.windows[:, 0], g.windows[:, 1]
    code = {name: number for number, name in enumerate(STATUSES)}
    peak = peak_by(e, g.clock, np.arange(len(e)), e.end)
    status = np.where(
        peak < second, np.where(e.open, code["accruing"], code["stopped_early"]), code["unassessed"]
    )
    status = np.where(e.reached, status, np.where(e.open, code["titrating"], code["stopped_before"]))
    status[_full_trials(g, grace)] = code["full_trial"]
    good = g.good_at_response
    band = np.where(good <= first, code["responded_1"], code["responded_2"])
    band = np.where(good <= second, band, code["responded_later"])
    status = np.where(g.responded, band, status)
    status[_responded_lapsed(g, grace)] = code["responded_lapsed"]
    early = g.responded & (~e.reached | (response <= 2 * e.reached_day))
    status[early] = code["responded_before"]
    status[~g.judged] = code["not_comparable"]
    status[np.isin(g.reason, NO_LEVEL_REASONS)] = code["no_level"]
    return status.astype(np.int8)


def _responded_lapsed(g: GoodTimes, grace: int) -> NDArray[np.int64]:
    """Courses whose response came more than `grace` days after cover by a dose of any level ended."""
    e = g.exposure
    hit = np.flatnonzero(g.responded)
    time = g.scores.response[hit]
    dose = e.last_dose(hit, time)
    late: NDArray[np.int64] = hit[(time >> 1) - e.cover_end[dose] > grace]
    return late


def _full_trials(g: GoodTimes, grace: int) -> NDArray[np.int64]:
    """Courses with a score that does not meet the criterion after a whole trial, not long after its cover."""
    e, s = g.exposure, g.scores
    # A post score on the last day on record may follow a dose of that day: hence one day beyond the end.
    most = peak_by(e, g.clock, np.arange(len(e)), e.end + 1)
    able = g.judged & ~g.responded & e.reached & (most >= g.windows[:, 1])
    at = np.flatnonzero(able[s.of] & (s.met == 0))
    course, time = s.of[at], s.time[at]
    dose = e.last_dose(course, time)
    last_adequate = np.maximum.accumulate(np.where(e.adequate, np.arange(len(e.day)), -1))[dose]
    under = (last_adequate >= e.start[course]) & ((time >> 1) - e.cover_end[last_adequate] <= grace)
    enough = good_at(e, g.clock, course, time) >= g.windows[course, 1]
    return np.unique(course[under & enough])


def table(p: Patients, criterion: Criterion, basis: str, clock: str | None = None) -> pd.DataFrame:
    """One row per eligible course of a block; columns as declared for `good_time`."""
    rows = np.flatnonzero(p.baselines(criterion.instrument).index > 0)
    g = judge_courses(p, criterion, rows, basis, clock)
    e, c, judged = g.exposure, p.courses, g.judged
    names = np.array(STATUSES, dtype=object)[g.status]
    columns: dict[str, Any] = {
        "patient": p.names[c.patient[rows]],
        "course": c.number[rows].astype(np.int64),
        "instrument": criterion.instrument,
        "criterion": criterion.name,
        "protocol": labelled(c.protocol[rows], [one.id for one in p.block.rule.protocols]),
        "basis": basis,
        "level": g.level,
        "reached_day": _blank(e.reached_day - e.first, judged & e.reached),
        "response_day": _blank((g.scores.response >> 1) - e.first, g.responded),
        "good": _blank(g.good, judged),
        "good_at_response": _blank(g.good_at_response, judged & g.responded),
        "window_1": _blank(g.windows[:, 0], g.windows[:, 0] > 0),
        "window_2": _blank(g.windows[:, 1], g.windows[:, 1] > 0),
        "unit": np.where(g.clock == DOSES, "doses", "days").astype(object),
        "status": names,
        "group": np.array([GROUP_OF[name] for name in STATUSES], dtype=object)[g.status],
    }
    for day in p.plan.good_time.calendar_days:
        columns[f"calendar_{day}"] = np.array(VERDICTS, dtype=object)[g.verdicts(day)]
    for name, value in e.account().items():
        columns[f"{name}_days"] = _blank(value, judged)
    columns["overdue"] = pd.arrays.BooleanArray(overdue(g, p.plan.good_time.overdue_days), ~judged)
    return pd.DataFrame(columns, index=range(len(rows)))


def overdue(g: GoodTimes, days: int) -> NDArray[np.bool_]:
    """Whether the level had not been reached when so many days had passed since the first dose."""
    late: NDArray[np.bool_] = ~g.exposure.reached & (g.exposure.last_day - g.exposure.first > days)
    return late


def _blank(value: Array, known: Array) -> pd.arrays.IntegerArray:
    """Whole numbers, blank where not known."""
    return pd.arrays.IntegerArray(np.where(known, value, 0).astype(np.int64), ~known)


def check_asked(setting: Setting, basis: str | None, clock: str | None) -> str:
    """The basis good time is judged by. Raises `PlanError` with the line to write where it cannot be."""
    lines = []
    if basis is not None and basis not in (*BASES, "auto"):
        lines.append(f"basis must be one of auto, {', '.join(BASES)}")
    if clock is not None and clock not in (*CLOCKS, "protocol"):
        lines.append(f"clock must be one of protocol, {', '.join(CLOCKS)}")
    if setting.as_of == "none":
        lines.append(
            "good time needs the last day on record: give people.cut_day, or write in the plan: "
            "[population] complete = true"
        )
    if lines:
        raise PlanError(lines=lines)
    return basis_of(setting.cohort, setting.plan, basis)
