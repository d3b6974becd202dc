"""Good time to counts: the partition, calendar verdicts, time accounts and daily moves of headline courses.

Everything published about good time is computed from these rows of a Tally, so it adds over any split by
patient. A course makes one move for each dose or lapse that changes its state, never one for each day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.counts.counting import tabulate, valued
from ketaoutcomes.counts.lasting_counts import lasting_states
from ketaoutcomes.counts.tallies import KEYS, Counted
from ketaoutcomes.per_patient.courses import NEVER
from ketaoutcomes.per_patient.exposure import EXPOSURES, LAPSED
from ketaoutcomes.per_patient.good_time import (
    AT_TRIAL,
    NO_DIAGNOSIS,
    REASONS,
    STATUSES,
    VERDICTS,
    ZERO_BASELINE,
    GoodTimes,
    by_clock,
    judge_courses,
    overdue,
)
from ketaoutcomes.per_patient.patients import Grouping, Patients, grouping
from ketaoutcomes.per_patient.standing import (
    ANSWERED,
    WORSE,
    in_order,
    is_due,
    last_states,
    safety_item,
    worsened,
)
from ketaoutcomes.plan import PlanError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Array = Any
PERIODS = ("mature", "younger")
SITUATIONS = ("responded", "unjudged", "not_reached", "some_good", "trial_complete")
OVERDUE = ("not_overdue", "overdue", "overdue_responded", "unjudged")
# States of the clock from the first dose; the last two are ways to leave it. "" is before the start.
STATES = (
    "",
    *EXPOSURES,
    "unjudged",
    "responded_before",
    "responded_after",
    "responded_unjudged",
    "censored",
    "next_course",
)
START, TITRATING, UNJUDGED, BEFORE, AFTER, RESPONDED_UNJUDGED, CENSORED, NEXT = 0, 1, 5, 6, 7, 8, 9, 10
# And of the clock from the reached day, whose competing event is lapse.
REACHED_STATES = ("", "at_risk", "responded", "lapsed", "censored", "next_course")


def count(p: Patients, by: Sequence[str], basis: str, *, delayed: bool = False) -> dict[str, list[Counted]]:
    """The parts of a Tally's tables that one block's good time adds, by the plan's response and clock.

    With `delayed`, also what delayed-entry curves need, which are for notebooks only.
    Raises `PlanError` for the basis `maximum`, which is circular and stays in notebooks.
    """
    if basis == "maximum":
        raise PlanError(
            lines=[
                '[good_time] basis = "maximum" is circular and never counted or reported; '
                'write basis = "target" or "fixed", or ask for study.good_time(basis="maximum")'
            ]
        )
    tables: dict[str, list[Counted]] = {name: [] for name in KEYS}
    if p.setting.as_of == "none":
        return tables
    criterion = p.plan.definitions.criterion(p.plan.good_time.criterion)
    rows = p.headline(criterion.instrument)
    if not len(rows):
        return tables
    g = judge_courses(p, criterion, rows, basis)
    groups = grouping(p, by)
    c = _Counter(p, g, groups, groups.of_course[rows], criterion.instrument, criterion.name)
    tables["flow"] += c.flow()
    moves = c.first_dose_moves()
    tables["points"] += [*c.points(), *c.occupation(*moves), *c.harm(rows)]
    tables["values"] += c.values()
    tables["transitions"] += [c.tabulate_moves("first_dose", STATES, *moves), c.moves_from_reached()]
    if delayed:
        tables["transitions"].append(c.moves_from_reached(delayed=True))
    return tables


@dataclass(frozen=True, eq=False)
class _Counter:
    """Headline courses of one block with their good time, and the group each is counted in."""

    p: Patients
    g: GoodTimes
    groups: Grouping
    group: NDArray[np.int64]
    instrument: str
    criterion: str

    @property
    def _mature(self) -> NDArray[np.bool_]:
        e = self.g.exposure
        yes: NDArray[np.bool_] = e.first + self.p.plan.good_time.mature_days <= e.last_day
        return yes

    def flow(self) -> list[Counted]:
        """Who could be judged, and why not; who is overdue."""
        keys = {"unit": "course", "instrument": self.instrument}
        step = {"step": f"good_time:{self.criterion}", "reason": (self.g.reason.astype(np.int64), REASONS)}
        judged = self.g.judged
        delay = {"step": "good_time_overdue", "reason": (self._overdue()[judged], OVERDUE)}
        return [
            tabulate("flow", self.groups, self.group, keys | step),
            tabulate("flow", self.groups, self.group[judged], keys | delay),
        ]

    def points(self) -> list[Counted]:
        """The partition by maturity, the calendar verdicts, and where mature courses stood on the last."""
        g, mature = self.g, self._mature
        keys: dict[str, Any] = {"instrument": self.instrument, "criterion": f"good_time:{self.criterion}"}
        status = keys | {
            "kind": "status", "axis": "good_time", "point": ((~mature).astype(np.int64), PERIODS),
            "state": (g.status.astype(np.int64), STATUSES),
        }  # fmt: skip
        parts = [tabulate("points", self.groups, self.group, status)]
        own = np.flatnonzero(g.judged & g.responded)
        again = keys | {
            "kind": "at_full_trial", "axis": "good_time", "point": ((~mature[own]).astype(np.int64), PERIODS),
            "state": (g.at_trial[own].astype(np.int64), AT_TRIAL),
        }  # fmt: skip
        parts.append(tabulate("points", self.groups, self.group[own], again))
        for day in self.p.plan.good_time.calendar_days:
            verdict = g.verdicts(day).astype(np.int64)
            answer = keys | {"axis": "day", "point": str(day)}
            everyone = answer | {"kind": "calendar", "state": (verdict, VERDICTS)}
            of_mature = answer | {"kind": "mature_calendar", "state": (verdict[mature], VERDICTS)}
            parts.append(tabulate("points", self.groups, self.group, everyone))
            parts.append(tabulate("points", self.groups, self.group[mature], of_mature))
        parts += [
            tabulate("points", self.groups, self.group[mature], keys | {
                "kind": kind, "axis": "good_time", "point": PERIODS[0], "state": (state[mature], names),
            })
            for kind, state, names in (
                ("judged", g.reason, REASONS),
                ("overdue", self._overdue(), OVERDUE),
                *lasting_states(self.p, g),
            )
        ]  # fmt: skip
        both = self._situation()[mature] * len(STATUSES) + g.status[mature]
        names = tuple(f"{situation}|{status}" for situation in SITUATIONS for status in STATUSES)
        stood = keys | {"kind": "day60", "axis": "day60", "point": "mature", "state": (both, names)}
        return [*parts, tabulate("points", self.groups, self.group[mature], stood)]

    def _overdue(self) -> NDArray[np.int64]:
        """Whether each course is late in reaching its level: codes into OVERDUE.

        Whoever responds below the level has no need to climb further: overdue, but told apart.
        """
        late = overdue(self.g, self.p.plan.good_time.overdue_days)
        return np.where(self.g.judged, np.where(late, 1 + self.g.responded, 0), 3)

    def _situation(self) -> NDArray[np.int64]:
        """Where each course stood on the last calendar day: codes into SITUATIONS."""
        g, e = self.g, self.g.exposure
        day = e.first + self.p.plan.good_time.calendar_days[-1]
        had = by_clock(g.clock, np.arange(len(e)), e.peak, day)
        stood = np.where(had >= g.windows[:, 1], 4, 3)
        stood = np.where(e.reached_day < day, stood, 2)
        stood = np.where(g.judged, stood, 1)
        return np.where(g.scores.response <= 2 * day + 1, 0, stood)

    def values(self) -> list[Counted]:
        """Days to the level of those who reached it, and everyone's time account."""
        e, judged = self.g.exposure, self.g.judged
        period = (~self._mature).astype(np.int64)

        def part(variable: str, value: Array, own: Array) -> Counted:
            keys = {
                "instrument": self.instrument, "variable": variable, "axis": "good_time",
                "point": (period[own], PERIODS),
            }  # fmt: skip
            return valued(self.groups, self.group[own], value[own], keys)

        parts = [part(f"{name}_days", value, judged) for name, value in e.account().items()]
        return [part("days_to_level", e.reached_day - e.first, judged & e.reached), *parts]

    # Daily moves.

    def occupation(self, course: Array, day: Array, source: Array, target: Array) -> list[Counted]:
        """Where mature courses stand on each calendar day and on the day they mature, by the same moves."""
        days = self.p.plan.good_time
        mature = np.flatnonzero(self._mature)
        kept = np.flatnonzero(target != CENSORED)
        kept = kept[in_order(course[kept], day[kept])]
        course, day, target = course[kept], day[kept], target[kept]
        parts = []
        for until in sorted({*days.calendar_days, days.mature_days}):
            if until > days.mature_days:
                continue
            state = last_states(course, day, target, until, len(self.g.exposure), UNJUDGED)
            keys = {
                "instrument": self.instrument, "criterion": f"good_time:{self.criterion}",
                "kind": "occupation", "axis": "day", "point": str(until), "state": (state[mature], STATES),
            }  # fmt: skip
            parts.append(tabulate("points", self.groups, self.group[mature], keys))
        return parts

    def harm(self, rows: Array) -> list[Counted]:
        """Of everyone due: who got worse by their last score, and what the safety item was answered with."""
        due = np.flatnonzero(is_due(self.p, rows))
        scored = self.p.plan.definitions.criterion(self.criterion).variable == "score"
        last = self.g.scores.last if scored else None
        worse = worsened(self.p, rows, self.instrument, last)
        found = [("worse", "last", worse, WORSE)] if worse is not None else []
        answers = safety_item(self.p, rows, self.instrument)
        found += [("safety_item", point, state, ANSWERED) for point, state in answers.items()]
        return [
            tabulate("points", self.groups, self.group[due], {
                "instrument": self.instrument, "criterion": f"good_time:{self.criterion}", "kind": kind,
                "axis": "due", "point": point, "state": (state[due], labels),
            })
            for kind, point, state, labels in found
        ]  # fmt: skip

    def first_dose_moves(self) -> tuple[Array, Array, Array, Array]:
        """Each course's moves between states, one a day at most, until it responds or its record ends.

        Arrays of one length: course, days since its first dose, from and to (codes into STATES).

        A score stands before the moves of its day, so a response leaves from the state of the day before.
        Courses without a level stay `unjudged`: leaving them out would select on later records.
        """
        g, e = self.g, self.g.exposure
        able = (g.reason != ZERO_BASELINE) & (g.reason != NO_DIAGNOSIS)
        stop = np.minimum(e.last_day, e.next_first)
        responded = g.scores.response >> 1
        last = np.where(able, np.minimum(stop, responded - 1), -NEVER)
        day, state, of = self._state_changes(last)
        begins = np.ones(len(of), dtype=bool)
        begins[1:] = of[1:] != of[:-1]
        before = np.where(begins, START, np.append(0, state[:-1])) if len(of) else state
        moved = before != state
        final = np.full(len(e), START, dtype=np.int64)
        final[of] = state  # the last of each course's states is written last
        way = np.where(g.status == STATUSES.index("responded_before"), BEFORE, AFTER)
        way = np.where(g.judged, way, RESPONDED_UNJUDGED)
        left = np.where(e.next_first <= e.last_day, NEXT, CENSORED)
        leaves = np.flatnonzero(able)
        exit_day = np.where(g.responded, responded, stop)
        return (
            np.concatenate([of[moved], leaves]),
            np.concatenate([day[moved] - e.first[of[moved]], (exit_day - e.first)[leaves]]),
            np.concatenate([before[moved], final[leaves]]),
            np.concatenate([state[moved], np.where(g.responded, way, left)[leaves]]),
        )

    def _state_changes(self, last: Array) -> tuple[Array, Array, Array]:
        """Days on which a dose or a lapse settles a course's state, up to its last day: day, state, whose."""
        day, exposed, of = self.g.exposure.changes()
        judged = self.g.judged[of]
        kept = (day <= last[of]) & (judged | (exposed != LAPSED))
        state = np.where(judged, TITRATING + exposed, UNJUDGED)
        return day[kept], state[kept], of[kept]

    def moves_from_reached(self, *, delayed: bool = False) -> Counted:
        """Of those who reached the level unresponded: response, with lapse competing.

        Days count from the reached day; with `delayed`, from the first dose, so that each enters when they
        reach the level, unless they leave on that very day.
        """
        g, e = self.g, self.g.exposure
        own = np.flatnonzero(g.judged & e.reached & (g.scores.response > 2 * e.reached_day))
        lapses = np.append(np.flatnonzero(e.lapses), len(e.day))
        at = lapses[np.searchsorted(lapses, e.reached_at[own])]
        lapse = np.where(at < e.start[own + 1], np.append(e.cover_end, NEVER)[at], NEVER)
        response, stop = g.scores.response[own], np.minimum(e.last_day, e.next_first)[own]
        left = np.where(e.next_first[own] <= e.last_day[own], 5, 4)
        # A score of the day cover ends comes first unless it was taken after that day's doses.
        lapsed = (2 * lapse < response) & (lapse <= stop)
        way = np.where(lapsed, 3, np.where(g.responded[own], 2, left))
        day = np.where(lapsed, lapse, np.where(g.responded[own], response >> 1, stop))
        origin = (e.first if delayed else e.reached_day)[own]
        if delayed:  # whoever leaves on the day they enter is never at risk
            stays = day > e.reached_day[own]
            own, day, way, origin = own[stays], day[stays], way[stays], origin[stays]
        zero, one = np.zeros(len(own), dtype=np.int64), np.ones(len(own), dtype=np.int64)
        return self.tabulate_moves(
            "delayed" if delayed else "reached", REACHED_STATES, np.concatenate([own, own]),
            np.concatenate([e.reached_day[own] - origin, day - origin]),
            np.concatenate([zero, one]), np.concatenate([one, way]),
        )  # fmt: skip

    def tabulate_moves(
        self, clock: str, states: tuple[str, ...], course: Array, day: Array, source: Array, target: Array
    ) -> Counted:
        """Count moves by day, as far as the plan's curves go."""
        longest = self.p.plan.points.curve_days
        kept = day <= longest
        keys = {
            "instrument": self.instrument, "criterion": self.criterion, "clock": clock,
            "day": (day[kept], range(longest + 1)),
            "from": (source[kept], states), "to": (target[kept], states),
        }  # fmt: skip
        return tabulate("transitions", self.groups, self.group[course[kept]], keys)
