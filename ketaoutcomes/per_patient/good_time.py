"""Good time: has each course had long enough at a dose that could have worked?

Each eligible course has exactly one status, from its doses (`ketaoutcomes.per_patient.exposure`) and its
scores. Days inside count on the patient's own calendar; the table counts them from the course's first dose.
It describes exposure, not cause.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.definitions import met
from ketaoutcomes.per_patient.adequacy import (
    BASES,
    JUDGED,
    LEVEL_REASONS,
    NO_LEVEL_REASONS,
    basis_of,
    judge_doses,
)
from ketaoutcomes.per_patient.courses import NEVER, laid_out
from ketaoutcomes.per_patient.exposure import (
    CLOCKS,
    CONTIGUOUS,
    CUMULATIVE,
    DOSES,
    EXPOSURES,
    Exposure,
    expose,
)
from ketaoutcomes.per_patient.standing import own_records
from ketaoutcomes.plan import PlanError
from ketaoutcomes.records.coding import labelled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ketaoutcomes.definitions import Criterion
    from ketaoutcomes.per_patient.patients import Patients, Setting

Array = Any
Measure = Callable[..., Any]  # a clock, courses, and times where it needs them
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
AT_TRIAL = ("no_score", "present", "absent")  # a response, at the first score after a whole trial
# Why a course cannot be judged: first the schedule and the criterion, then its doses.
SCHEDULE_REASONS = ("zero_baseline", "no_baseline_diagnosis", "no_carry", "no_windows", "windows_unit")
ZERO_BASELINE, NO_DIAGNOSIS, NO_CARRY, NO_WINDOWS, WINDOWS_UNIT = range(
    len(LEVEL_REASONS), len(LEVEL_REASONS) + len(SCHEDULE_REASONS)
)
REASONS = (*LEVEL_REASONS, *SCHEDULE_REASONS)


@dataclass(frozen=True, eq=False)
class CourseScores:
    """The scores of each course that a criterion judges: after its first dose, up to the next course's.

    One row per score: `of` says whose, `start` delimits, `met` is 1, 0 or -1 (cannot be judged). `response`
    is the time in half-days of each course's first score that meets the criterion; 2 * NEVER where none does.
    `last` is the position of each course's last score among all that are judged; -1 where it has none.
    `barred` is the reason why no score of a course can be judged, 0 where scores can.
    """

    of: NDArray[np.int64]
    start: NDArray[np.int64]
    time: NDArray[np.int64]
    met: NDArray[np.int8]
    response: NDArray[np.int64]
    barred: NDArray[np.int8]
    last: NDArray[np.int64]

    def by(self, course_day: Array, days_before: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether each course has responded by a day, and has a judged score in the days up to it."""
        recent = self.time <= (2 * course_day + 1)[self.of]
        recent &= self.time >= (2 * (course_day - days_before))[self.of]
        scored = np.zeros(len(self.response), dtype=bool)
        scored[self.of[recent]] = True
        return self.response <= 2 * course_day + 1, scored & (self.barred == 0)


def course_scores(p: Patients, criterion: Criterion, rows: Array) -> CourseScores:
    """Judge every score of some courses, each against its own course's baseline."""
    base = p.baselines(criterion.instrument)
    j = p.judged(criterion.instrument, criterion.variable)
    low, last = own_records(p, rows, j.moments)
    start, of, at = laid_out(low, np.maximum(last + 1, low))
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
    response = np.full(len(rows), 2 * NEVER, dtype=np.int64)
    hits = np.flatnonzero(judged == 1)[::-1]
    response[of[hits]] = time[hits]  # backwards: the first of each course's is written last
    return CourseScores(of, start, time, judged, response, barred, np.where(last >= low, last, -1))


@dataclass(frozen=True, eq=False)
class GoodTimes:
    """Good time of some courses by one criterion: one entry per course, in the order of `exposure.rows`.

    `clock` indexes CLOCKS, `status` STATUSES, `reason` REASONS (0: judged), `at_trial` AT_TRIAL.
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
    cover_ended: NDArray[np.int64]  # days from the end of any cover to the response; below 0 under cover
    at_trial: NDArray[np.int8]

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


def by_clock(clock: Array, course: Array, measure: Measure, *when: Array) -> NDArray[np.int64]:
    """A measure of these courses (at one time each, where it needs one), each by its own clock."""
    if len(clock) and (clock == clock[0]).all():
        only: NDArray[np.int64] = measure(int(clock[0]), course, *when)
        return only
    result = np.zeros(len(course), dtype=np.int64)
    for one in np.unique(clock):
        own = np.flatnonzero(clock[course] == one)
        result[own] = measure(int(one), course[own], *(time[own] for time in when))
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
    n, hit = len(rows), np.flatnonzero(scores.response < 2 * NEVER)
    time = scores.response[hit]
    dose = e.last_dose(hit, time)
    at_response, cover_ended = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    at_response[hit] = by_clock(clocks, hit, e.good, time, dose)
    cover_ended[hit] = (time >> 1) - e.cover_end[dose]
    good = by_clock(clocks, np.arange(n), e.at_end)
    found = GoodTimes(
        e, scores, a.level, reason, clocks, windows, np.zeros(n, np.int8), good, at_response, cover_ended,
        np.zeros(n, np.int8),
    )  # fmt: skip
    found.at_trial[:] = _at_trial(found, p.plan.good_time.grace_days)
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
    peak = g.good
    if (g.clock == CONTIGUOUS).any():  # a run of cover may have been long enough and be over
        peak = np.where(g.clock == CONTIGUOUS, by_clock(g.clock, np.arange(len(e)), e.whole), g.good)
    status = np.where(
        peak < second, np.where(e.open, code["accruing"], code["stopped_early"]), code["unassessed"]
    )
    status = np.where(e.reached, status, np.where(e.open, code["titrating"], code["stopped_before"]))
    status[g.at_trial == AT_TRIAL.index("absent")] = code["full_trial"]
    good = g.good_at_response
    band = np.where(good <= first, code["responded_1"], code["responded_2"])
    band = np.where(good <= second, band, code["responded_later"])
    status = np.where(g.responded, band, status)
    status[g.responded & (g.cover_ended > grace)] = code["responded_lapsed"]
    early = g.responded & (~e.reached | (response <= 2 * e.reached_day))
    status[early] = code["responded_before"]
    status[~g.judged] = code["not_comparable"]
    status[np.isin(g.reason, NO_LEVEL_REASONS)] = code["no_level"]
    return status.astype(np.int8)


def _at_trial(g: GoodTimes, grace: int) -> NDArray[np.int8]:
    """What each course's first score after a whole trial says, from its response on where it has one.

    Such a score has good time of the second window or more, under adequate cover or at most `grace` days
    after that ended. Codes into AT_TRIAL.
    """
    e, s = g.exposure, g.scores
    able = g.judged & e.reached & (by_clock(g.clock, np.arange(len(e)), e.whole) >= g.windows[:, 1])
    since = np.where(able, np.where(g.responded, s.response, 0), 2 * NEVER)
    at = np.flatnonzero((s.time >= since[s.of]) & (s.met >= 0))
    course, time = s.of[at], s.time[at]
    dose = e.last_dose(course, time)
    last_adequate = np.maximum.accumulate(np.where(e.adequate, np.arange(len(e.day)), -1))[dose]
    under = (last_adequate >= e.start[course]) & ((time >> 1) - e.cover_end[last_adequate] <= grace)
    under &= by_clock(g.clock, course, e.good, time, dose) >= g.windows[course, 1]
    found = np.full(len(e), AT_TRIAL.index("no_score"), dtype=np.int8)
    # Written backwards, so that the first score of each course is the one that stays.
    first = np.flatnonzero(under)[::-1]
    found[course[first]] = np.where(
        s.met[at[first]] == 1, AT_TRIAL.index("present"), AT_TRIAL.index("absent")
    )
    return found


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


def stretches(p: Patients, criterion: Criterion, basis: str) -> pd.DataFrame:
    """One row per judged course of a block and unbroken stretch of one exposure; for drawing only.

    Columns: patient, course, state (titrating, adequate, dipped, lapsed), from_day, to_day (exclusive), in
    days from the first dose; together they cover the course's time account.
    """
    rows = np.flatnonzero(p.baselines(criterion.instrument).index > 0)
    g = judge_courses(p, criterion, rows, basis)
    e, c = g.exposure, p.courses
    day, state, of = e.changes()
    new = np.ones(len(of), dtype=bool)
    new[1:] = (of[1:] != of[:-1]) | (state[1:] != state[:-1])
    new &= g.judged[of] & (day < e.end[of])
    day, state, of = day[new], state[new], of[new]
    until = np.append(day[1:], 0)[: len(day)]
    until = np.where(np.append(of[1:], -1)[: len(of)] == of, until, e.end[of])
    return pd.DataFrame(
        {
            "patient": p.names[c.patient[rows[of]]],
            "course": c.number[rows[of]].astype(np.int64),
            "state": np.array(EXPOSURES, dtype=object)[state],
            "from_day": day - e.first[of],
            "to_day": until - e.first[of],
        }
    )


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
