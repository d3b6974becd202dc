"""Time to response to counts: when each headline course first met a criterion, and what came before that.

Each course makes at most two moves on the clock of its first dose: out of treatment (by a response, or by the
first lapse), and out of a lapse. Everything a curve needs is counted by the day of those moves, so it adds
over any split by patient. A lapse is known on the day cover ended without a dose, the end of a course on
the day its gap grew too long; neither is ever dated backwards. Everyone else is followed to the last day on
record.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.counting import instruments_of, judge_all, tabulate
from ketaoutcomes.counts.tallies import KEYS, Counted
from ketaoutcomes.per_patient.courses import NEVER, Moments, laid_out
from ketaoutcomes.per_patient.good_time import REASONS, CourseScores, course_scores
from ketaoutcomes.per_patient.outcomes import MET, NOT_SCHEDULED
from ketaoutcomes.per_patient.patients import Grouping, Patients, Setting, grouping
from ketaoutcomes.per_patient.windows import windows
from ketaoutcomes.plan import PlanError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ketaoutcomes.definitions import Criterion

Array = Any

# Clock "onset", from the first dose. `unlimited`: the protocol does not say how long a dose speaks for, so
# such a course cannot lapse. The rest of the states are ways to leave, and reasons not to have entered.
ENTERED = ("treated", "unlimited")
STATES = ("", *ENTERED, "lapsed", "responded", "responded_lapsed", "ended", "censored", *REASONS[1:])
TREATED, UNLIMITED, LAPSED, RESPONDED, RESPONDED_LAPSED, ENDED, CENSORED = range(1, 8)
# Clock "onset_interval": when a response may have come, from the last score without it to the first with it.
BETWEEN = ("", "between", "between_lapsed", "dated")
# Clock "session": of courses that are due, by the number of doses given.
SESSION_STATES = (
    "", "at_risk", "responded", "stopped", "not_due", "not_visit_based", "not_scheduled", *REASONS[1:],
)  # fmt: skip
AT_RISK, ANSWERED, STOPPED, NOT_DUE, NOT_VISIT_BASED, UNSCHEDULED = range(1, 7)


def check_end_known(setting: Setting) -> None:
    """Raises `PlanError` with the line to write where the last day on record is not known."""
    if setting.as_of == "none":
        raise PlanError(
            lines=[
                "a curve needs the last day on record: give people.cut_day, or write in the plan: "
                "[population] complete = true"
            ]
        )


def count(p: Patients, by: Sequence[str], criteria: Sequence[str]) -> dict[str, list[Counted]]:
    """The moves that one block of patients adds to a Tally, for each criterion.

    Sessions are counted only where protocol is one of the groupings: a session is a session of a protocol.
    """
    tables: dict[str, list[Counted]] = {name: [] for name in KEYS}
    if p.setting.as_of == "none":
        return tables
    groups = grouping(p, by)
    for instrument, own in instruments_of(p, criteria).items():
        rows = p.headline(instrument)
        if not len(rows):
            continue
        stops = find_stops(p, rows)
        for criterion in own:
            onsets = Onsets(stops, course_scores(p, criterion, rows))
            tables["transitions"] += onsets.counted(p, groups, criterion)
        if "protocol" in by:
            tables["transitions"] += _sessions(p, groups, own, rows)
    return tables


def headed(criterion: Criterion, clock: str) -> dict[str, Any]:
    """The keys that the moves of one criterion and clock share."""
    return {"instrument": criterion.instrument, "criterion": criterion.name, "clock": clock}


def moved(
    p: Patients, groups: Grouping, course: Array, keys: dict[str, Any], day: Array, source: Array,
    target: Array, states: tuple[str, ...], longest: int | None = None,
) -> Counted:  # fmt: skip
    """Moves of courses (positions in the block) counted by day, as far as the plan's curves go."""
    longest = p.plan.points.curve_days if longest is None else longest
    kept = np.flatnonzero(day <= longest)
    moves = {
        "day": (day[kept], range(longest + 1)),
        "from": (source[kept], states), "to": (target[kept], states),
    }  # fmt: skip
    return tabulate("transitions", groups, groups.of_course[course[kept]], keys | moves)


@dataclass(frozen=True, eq=False)
class Stops:
    """When treatment of some courses first lapsed and when they ended, on the patients' own days.

    NEVER where that has not been seen to happen. `limited`: whether the protocol lets a course lapse.
    """

    rows: NDArray[np.int64]
    first: NDArray[np.int64]
    last_day: NDArray[np.int64]  # the last day on record
    lapse: NDArray[np.int64]
    end: NDArray[np.int64]
    limited: NDArray[np.bool_]
    uncovered: NDArray[np.int64]  # the first day on which the course's last dose no longer speaks


def find_stops(p: Patients, rows: Array) -> Stops:
    """The first lapse and the end of some courses, as the records stood on the last day."""
    c, days, rule = p.courses, p.block.days, p.block.rule
    start, of, at = laid_out(c.start[rows], c.stop[rows])
    next_day = np.full(len(days.day), NEVER, dtype=np.int64)
    next_day[:-1] = np.where(days.patient[1:] == days.patient[:-1], days.day[1:], NEVER)
    carries = np.array([one.carry or (NEVER, NEVER) for one in rule.protocols], dtype=np.int64)
    protocol = c.protocol[rows]
    # The dose that ends induction speaks for the maintenance interval.
    many = np.minimum(c.inducted[rows], rule.numbers("visits", 0)[protocol] - 1)
    induction = np.arange(len(of)) - start[of] < many[of]
    covered = days.end[at] + np.where(induction, carries[protocol, 0][of], carries[protocol, 1][of])
    lapses = np.where(covered < next_day[at], covered, NEVER)
    last_day = p.block.cut[c.patient[rows]].astype(np.int64)
    limited = carries[protocol, 1] < NEVER
    lapse = np.minimum.reduceat(lapses, start[:-1]) if len(rows) else start[:-1]
    end = c.last_end[rows].astype(np.int64) + c.gap[rows] + 1
    return Stops(
        rows, c.first[rows].astype(np.int64), last_day,
        np.where(limited & (lapse <= last_day), lapse, NEVER),
        np.where((end <= last_day) & (c.gap[rows] < NEVER), end, NEVER), limited, covered[start[1:] - 1],
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Onsets:
    """How and when each course left treatment by one criterion, and between which scores a response came."""

    stops: Stops
    scores: CourseScores

    @property
    def able(self) -> NDArray[np.bool_]:
        """Whether any score of each course can be judged."""
        yes: NDArray[np.bool_] = self.scores.barred == 0
        return yes

    @property
    def responded(self) -> NDArray[np.bool_]:
        """Whether each course has a score that meets the criterion, whenever that was."""
        yes: NDArray[np.bool_] = self.scores.response < 2 * NEVER
        return yes

    @cached_property
    def first_exit(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How each course left treatment and on which day: a score on a day comes before that day's lapse."""
        s, response = self.stops, self.scores.response
        stop = np.minimum(s.lapse, s.end)
        way = np.where(s.lapse <= s.end, LAPSED, ENDED)
        way = np.where(stop < NEVER, way, CENSORED)
        day = np.where(stop < NEVER, stop, s.last_day)
        in_time = self.responded & (response <= 2 * stop)
        return np.where(in_time, RESPONDED, way), np.where(in_time, response >> 1, day)

    @cached_property
    def second_exit(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How each course left its first lapse, and on which day."""
        s, response = self.stops, self.scores.response
        ended = s.end < NEVER
        in_time = self.responded & (response <= 2 * s.end)
        way = np.where(in_time, RESPONDED_LAPSED, np.where(ended, ENDED, CENSORED))
        return way, np.where(in_time, response >> 1, np.where(ended, s.end, s.last_day))

    @cached_property
    def last_without(self) -> NDArray[np.int64]:
        """The day of the last score before the response: the first dose's where none was taken since."""
        s = self.scores
        hits = np.append(np.flatnonzero(s.met == 1), len(s.time))
        before = hits[np.searchsorted(hits, s.start[:-1])] - 1
        day = np.append(s.time, 0)[before] >> 1
        found: NDArray[np.int64] = np.where(before >= s.start[:-1], day, self.stops.first)
        return found

    def counted(self, p: Patients, groups: Grouping, criterion: Criterion) -> list[Counted]:
        """Moves by day since the first dose, and the intervals in which responses came."""
        s = self.stops
        zero = np.zeros(len(s.rows), dtype=np.int64)
        entry = np.where(s.limited, TREATED, UNLIMITED)
        barred = len(STATES) - len(REASONS) + self.scores.barred
        able = np.flatnonzero(self.able)
        first, first_day = self.first_exit
        second, second_day = self.second_exit
        lapsed = able[first[able] == LAPSED]
        course = np.concatenate([np.arange(len(zero)), able, lapsed])
        moves = moved(
            p, groups, s.rows[course], headed(criterion, "onset"),
            np.concatenate([zero, (first_day - s.first)[able], (second_day - s.first)[lapsed]]),
            np.concatenate([zero, entry[able], np.full(len(lapsed), LAPSED)]),
            np.concatenate([np.where(self.able, entry, barred), first[able], second[lapsed]]), STATES,
        )  # fmt: skip
        late = lapsed[second[lapsed] == RESPONDED_LAPSED]
        dated = np.concatenate([able[first[able] == RESPONDED], late])
        kind = np.where(np.isin(dated, late), 2, 1)
        day = (self.scores.response[dated] >> 1) - s.first[dated]
        none = np.zeros(len(dated), dtype=np.int64)
        between = moved(
            p, groups, s.rows[np.concatenate([dated, dated])], headed(criterion, "onset_interval"),
            np.concatenate([(self.last_without - s.first)[dated], day]),
            np.concatenate([none, kind]), np.concatenate([kind, none + 3]), BETWEEN,
        )  # fmt: skip
        return [moves, between]

    def table(self, p: Patients, criterion: Criterion) -> pd.DataFrame:
        """One row per course: how it left treatment, and between which scores a response came."""
        s, c, first = self.stops, p.courses, self.stops.first
        (way, day), able = self.first_exit, self.able
        response = self.scores.response >> 1
        doses = Moments(p.block.days.patient, 2 * p.block.days.day + 1)
        before = doses.last_by(c.patient[s.rows], np.minimum(self.scores.response, 2 * NEVER - 1))
        return pd.DataFrame(
            {
                "patient": p.names[c.patient[s.rows]],
                "course": c.number[s.rows].astype(np.int64),
                "instrument": criterion.instrument,
                "criterion": criterion.name,
                "outcome": np.array(STATES, dtype=object)[
                    np.where(able, way, len(STATES) - len(REASONS) + self.scores.barred)
                ],
                "outcome_day": blank_where(day - first, able & (day < NEVER - 1)),
                "last_without": blank_where(self.last_without - first, self.responded),
                "first_with": blank_where(response - first, self.responded),
                "interval": blank_where(response - self.last_without, self.responded),
                "session": blank_where(before - c.start[s.rows] + 1, self.responded),
            }
        )


def blank_where(values: Array, known: Array) -> Any:
    """Whole numbers, blank where not known."""
    return pd.array(np.where(known, np.asarray(values, dtype=np.float64), np.nan), dtype="Int64")


def onsets(p: Patients, criterion: Criterion) -> pd.DataFrame:
    """One row per headline course of a block, as `Study.onsets` has them: row-level, do not share."""
    rows = p.headline(criterion.instrument)
    return Onsets(find_stops(p, rows), course_scores(p, criterion, rows)).table(p, criterion)


def _sessions(p: Patients, groups: Grouping, criteria: Sequence[Criterion], rows: Array) -> Iterator[Counted]:
    """Courses that are due, by the session after which they first met each criterion, or stopped.

    A session's scores are those `windows` gives it, so these are the `ever` states of the sessions received.
    Only courses that are due are in it: nobody is censored, and recent persisters are not let in early.
    """
    c = p.courses
    for w in windows(p.block, rows, "session"):
        visits = len(w.labels)
        course = w.course[::visits]
        given = w.given.reshape(-1, visits)
        for criterion, _, found in judge_all(p, criteria, ("ever",), w):
            state = found["ever"].reshape(-1, visits).astype(np.int64)
            barred = course_scores(p, criterion, course).barred if len(course) else state[:, 0]
            entry = np.where(w.due[::visits], AT_RISK, NOT_DUE)
            entry = np.where(state[:, 0] == NOT_SCHEDULED, UNSCHEDULED, entry)
            entry = np.where(barred > 0, len(SESSION_STATES) - len(REASONS) + barred, entry)
            hit = (state == MET) & given
            answered, last = hit.any(axis=1), given.sum(axis=1)
            leaves = np.flatnonzero((entry == AT_RISK) & (answered | (last < visits)))
            point = np.where(answered, hit.argmax(axis=1) + 1, last)[leaves]
            zero = np.zeros(len(course), dtype=np.int64)
            yield moved(
                p, groups, np.concatenate([course, course[leaves]]), headed(criterion, "session"),
                np.concatenate([zero, point]), np.concatenate([zero, zero[leaves] + AT_RISK]),
                np.concatenate([entry, np.where(answered, ANSWERED, STOPPED)[leaves]]), SESSION_STATES,
                longest=visits,
            )  # fmt: skip
    without = rows[p.block.rule.numbers("visits", 0)[c.protocol[rows]] == 0]
    zero = np.zeros(len(without), dtype=np.int64)
    for criterion in criteria if len(without) else ():
        keys = headed(criterion, "session")
        yield moved(p, groups, without, keys, zero, zero, zero + NOT_VISIT_BASED, SESSION_STATES)
