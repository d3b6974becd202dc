"""Durability to counts: from response to relapse, boosters, time off treatment.

Everyone whose headline course met the criterion at some score is followed from that score on. A relapse can
only be seen at a score, so a course whose last score came without one is *unscored* from then on; a person
whose next course begins is *retreated*. What each of these means for a curve is decided where it is made
(`durability`); here they are counted by day, and add over any split by patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.counting import instruments_of, tabulate
from ketaoutcomes.counts.curve_counts import Stops, blank_where, find_stops, headed, moved
from ketaoutcomes.counts.tallies import KEYS, Counted
from ketaoutcomes.definitions.lasting import Lasting, Relapse, lasting
from ketaoutcomes.per_patient.courses import NEVER, laid_out
from ketaoutcomes.per_patient.good_time import CourseScores, course_scores
from ketaoutcomes.per_patient.patients import Grouping, Patients, grouping
from ketaoutcomes.per_patient.windows import CONFIRM_AFTER, CONFIRM_BY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ketaoutcomes.definitions import Criterion

Array = Any
# Clock "response:RULE", from the first score that met the criterion.
STATES = ("", "responding", "relapsed", "unscored", "never_scored", "retreated", "censored")
RESPONDING, RELAPSED, UNSCORED, NEVER_SCORED, RETREATED, CENSORED = range(1, 7)
BETWEEN = ("", "between", "dated")
# Clock "sustained": whether the response was there at every score up to the first at least 28 days later.
SUSTAINED = ("", "sustained", "lost", "unconfirmed", "not_due")
# Clocks "booster:K" and "off": days waited for the next maintenance dose, and for the next course.
WAITS = ("", "waiting", "given", "ended", "open")
# Clock "booster_trend": a person's last interval between maintenance doses beside the first.
TREND = ("", "longer", "equal", "shorter", "too_few")


def rules_counted(p: Any, criteria: Sequence[str]) -> tuple[str, ...]:
    """The canonical text of every rule that a Tally of these criteria counts, for its header."""
    rules = lasting(tuple(p.folders))
    names = dict.fromkeys(p.definitions.criterion(name).instrument for name in criteria)
    every = {rule.as_text() for name in names for rule in rules.relapses_of(name)}
    return (*sorted(every), f'["boosters",{rules.boosters}]')


def count(p: Patients, by: Sequence[str], criteria: Sequence[str]) -> dict[str, list[Counted]]:
    """The parts of a Tally's tables that one block's responses and boosters add, for each criterion."""
    tables: dict[str, list[Counted]] = {name: [] for name in KEYS}
    if p.setting.as_of == "none":
        return tables
    groups, rules = grouping(p, by), lasting(tuple(p.plan.folders))
    for instrument, own in instruments_of(p, criteria).items():
        rows = p.headline(instrument)
        if not len(rows):
            continue
        for criterion in own:
            responses = Responses(p, criterion, find_stops(p, rows), course_scores(p, criterion, rows))
            tables["transitions"] += responses.counted(groups, rules)
        doses = MaintenanceDoses(p, rows, instrument, rules.boosters)
        waits = [*doses.counted(groups), *time_off(p, groups, rows, instrument)]
        tables["transitions"] += [*waits, doses.trend(groups)]
    return tables


@dataclass(frozen=True, eq=False)
class Responses:
    """The headline courses that met a criterion at some score, and what came after that score.

    Arrays of courses follow `own`, positions among `stops.rows`; times are half-days of the patients' own.
    """

    p: Patients
    criterion: Criterion
    stops: Stops
    scores: CourseScores

    @cached_property
    def own(self) -> NDArray[np.int64]:
        """Which courses responded."""
        return np.flatnonzero((self.scores.response < 2 * NEVER) & (self.scores.barred == 0))

    @property
    def response(self) -> NDArray[np.int64]:
        """When each of them first met the criterion."""
        found: NDArray[np.int64] = self.scores.response[self.own]
        return found

    @cached_property
    def last_score(self) -> NDArray[np.int64]:
        """When the last score of each of their courses was taken: the response's own, or a later one."""
        found: NDArray[np.int64] = self.scores.time[self.scores.start[1:][self.own] - 1]
        return found

    @cached_property
    def _after(self) -> NDArray[np.int64]:
        """Positions of all scores after a response."""
        s = self.scores
        return np.flatnonzero((s.time > s.response[s.of]) & (s.met >= 0))

    def _bad(self, rule: Relapse) -> NDArray[np.bool_]:
        """Which of those scores say that the improvement is lost."""
        s, at = self.scores, self._after
        if rule.rule == "lost":
            yes: NDArray[np.bool_] = s.met[at] == 0
            return yes
        definition = self.p.plan.definitions.instrument(rule.instrument)
        judged = self.p.judged(rule.instrument, "score")
        # The scores of a course are the last ones up to `last` among all that are judged.
        value = judged.value[s.last[s.of[at]] - (s.start[1:][s.of[at]] - 1 - at)].astype(np.int64)
        distance = value * rule.value.denominator - rule.value.numerator * definition.ticks
        worse: NDArray[np.bool_] = distance >= 0 if definition.worse == "higher" else distance <= 0
        return worse

    def relapse(self, rule: Relapse) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """When each of `own` relapsed (2 * NEVER: not), when that began to show, and the last score before.

        A relapse that takes two scores is dated to the one that confirms it.
        """
        s, at, bad = self.scores, self._after, self._bad(rule)
        of, time = s.of[at], s.time[at]
        joins = np.zeros(len(at), dtype=bool)
        joins[1:] = bad[1:] & bad[:-1] & (of[1:] == of[:-1])
        begins = np.maximum.accumulate(np.where(joins, 0, np.arange(len(at))))
        sure = bad.copy()
        if rule.scores > 1:
            least, most = rule.apart or (1, NEVER)
            day = time >> 1
            key = (of << 32) + day
            first = np.searchsorted(key, key - least, side="right") - 1
            sure &= (first >= begins) & (day[np.maximum(first, 0)] >= day - most)
        relapsed = np.full(len(self.stops.rows), 2 * NEVER, dtype=np.int64)
        shown, before = relapsed.copy(), relapsed.copy()
        hits = np.flatnonzero(sure)[::-1]  # backwards: the first of each course is written last
        relapsed[of[hits]] = time[hits]
        shown[of[hits]] = time[begins[hits]]
        before[of[hits]] = s.time[at[begins[hits]] - 1]
        return relapsed[self.own], shown[self.own], before[self.own]

    def exits(self, relapsed: Array) -> tuple[Array, Array, Array, Array]:
        """How each of `own` left its response and on which day, and, once unscored, what came then."""
        rows = self.stops.rows[self.own]
        next_first = self.p.courses.next_first[rows].astype(np.int64)
        stop = np.minimum(self.stops.last_day[self.own], next_first)
        beyond = np.where(next_first <= self.stops.last_day[self.own], RETREATED, CENSORED)
        last = self.last_score >> 1
        way = np.where(self.last_score > self.response, UNSCORED, NEVER_SCORED)
        way = np.where(last >= stop, beyond, way)
        day = np.minimum(last, stop)
        gone = relapsed < 2 * NEVER
        return np.where(gone, RELAPSED, way), np.where(gone, relapsed >> 1, day), beyond, stop

    def counted(self, groups: Grouping, rules: Lasting) -> list[Counted]:
        """Moves since the response by each rule, the intervals in which relapses came, and who sustained."""
        return [
            *(part for rule in rules.relapses_of(self.criterion.instrument)
              for part in self._by_rule(groups, rule)),
            self._sustained(groups, rules.relapse("lost")),
        ]  # fmt: skip

    def _by_rule(self, groups: Grouping, rule: Relapse) -> list[Counted]:
        if rule.instrument and self.criterion.variable == "diagnosis":
            return []
        relapsed, _, before = self.relapse(rule)
        way, day, beyond, stop = self.exits(relapsed)
        origin, rows = self.response >> 1, self.stops.rows[self.own]
        zero = np.zeros(len(rows), dtype=np.int64)
        late = np.flatnonzero((way == UNSCORED) | (way == NEVER_SCORED))
        gone = np.flatnonzero(way == RELAPSED)
        clock = f"response:{rule.name}"
        moves = moved(
            self.p, groups, np.concatenate([rows, rows, rows[late]]), headed(self.criterion, clock),
            np.concatenate([zero, day - origin, (stop - origin)[late]]),
            np.concatenate([zero, zero + RESPONDING, way[late]]),
            np.concatenate([zero + RESPONDING, way, beyond[late]]), STATES,
        )  # fmt: skip
        none = zero[gone]
        between = moved(
            self.p, groups, np.concatenate([rows[gone], rows[gone]]),
            headed(self.criterion, f"{clock}:interval"),
            np.concatenate([((before >> 1) - origin)[gone], ((relapsed >> 1) - origin)[gone]]),
            np.concatenate([none, none + 1]), np.concatenate([none + 1, none + 2]), BETWEEN,
        )  # fmt: skip
        return [moves, between]

    def sustained(self, rule: Relapse) -> NDArray[np.int64]:
        """Whether the criterion was met at every score up to the first at least 28 days later: SUSTAINED."""
        s, origin = self.scores, self.response >> 1
        lost, _, _ = self.relapse(rule)
        key = (s.of << 32) + s.time
        first = np.searchsorted(key, (self.own << 32) + 2 * (origin + CONFIRM_AFTER))
        there = first < s.start[1:][self.own]
        confirmed = np.append(s.time, 0)[np.where(there, first, len(s.time))]
        there &= confirmed >> 1 <= origin + CONFIRM_BY
        until = np.where(there, confirmed, 2 * (origin + CONFIRM_BY) + 1)
        state = np.where(lost <= until, 2, np.where(there, 1, 3))
        due = origin + CONFIRM_BY <= self.stops.last_day[self.own]
        found: NDArray[np.int64] = np.where(due, state, 4)
        return found

    def _sustained(self, groups: Grouping, rule: Relapse) -> Counted:
        state = self.sustained(rule)
        zero, rows = np.zeros(len(state), dtype=np.int64), self.stops.rows[self.own]
        return moved(self.p, groups, rows, headed(self.criterion, "sustained"), zero, zero, state, SUSTAINED)

    def table(self, rule: Relapse) -> pd.DataFrame:
        """One row per response: when it came, whether and when it was lost, how long it was followed."""
        c, rows = self.p.courses, self.stops.rows[self.own]
        relapsed, shown, before = self.relapse(rule)
        way, day, _, _ = self.exits(relapsed)
        first, gone = self.stops.first[self.own], relapsed < 2 * NEVER
        return pd.DataFrame(
            {
                "patient": self.p.names[c.patient[rows]],
                "course": c.number[rows].astype(np.int64),
                "instrument": self.criterion.instrument,
                "criterion": self.criterion.name,
                "relapse": rule.name,
                "response_day": (self.response >> 1) - first,
                "outcome": np.array(STATES, dtype=object)[way],
                "outcome_day": blank_where(day - first, day < NEVER - 1),
                "last_without": blank_where((before >> 1) - first, gone),
                "first_shown": blank_where((shown >> 1) - first, gone),
                "last_score": (self.last_score >> 1) - first,
                "sustained": np.array(SUSTAINED, dtype=object)[self.sustained(lasting().relapse("lost"))],
            }
        )


def responses(p: Patients, criterion: Criterion, rule: Relapse) -> pd.DataFrame:
    """One row per response of a block, as `Study.responses` has them: row-level, do not share."""
    rows = p.headline(criterion.instrument)
    return Responses(p, criterion, find_stops(p, rows), course_scores(p, criterion, rows)).table(rule)


@dataclass(frozen=True, eq=False)
class MaintenanceDoses:
    """The intervals before each maintenance dose of headline courses whose induction is over.

    Interval k ends with the k-th dose after induction; the last one of a course ends with none: the next
    dose has not come by the last day on record (open), or too late for the course (ended).
    """

    p: Patients
    rows: NDArray[np.int64]
    instrument: str
    most: int

    @cached_property
    def _many(self) -> NDArray[np.int64]:
        """How many maintenance doses each course has; -1 where there are none to speak of."""
        c, rule = self.p.courses, self.p.block.rule
        protocol = c.protocol[self.rows]
        visits, limit = rule.numbers("visits", 0)[protocol], rule.numbers("induction_limit")[protocol]
        last_day = self.p.block.cut[c.patient[self.rows]].astype(np.int64)
        over = (c.inducted[self.rows] == visits) | (c.first[self.rows].astype(np.int64) + limit < last_day)
        many = c.stop[self.rows] - c.start[self.rows] - c.inducted[self.rows]
        found: NDArray[np.int64] = np.where((visits > 0) & over, many, -1)
        return found

    @cached_property
    def _given(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Every interval that a dose ended: whose, which one (from 1), days."""
        c = self.p.courses
        many = np.maximum(self._many, 0)
        _, of, k = laid_out(np.zeros_like(many), many)
        at = c.start[self.rows][of] + c.inducted[self.rows][of] + k
        day = self.p.block.days.day.astype(np.int64)
        return of, k + 1, day[at] - day[at - 1]

    def counted(self, groups: Grouping) -> list[Counted]:
        """Intervals by their number: ended by a dose, still open, or by the end of the course."""
        c, of_all = self.p.courses, np.flatnonzero(self._many >= 0)
        own = self.rows[of_all]
        last_day = self.p.block.cut[c.patient[own]].astype(np.int64)
        over = c.last_end[own].astype(np.int64) + c.gap[own] + 1
        ended = over <= last_day
        until = np.where(ended, over, last_day) - self.p.block.days.day[c.stop[own] - 1]
        k = self._many[of_all] + 1
        known = until < NEVER // 2  # without an end of records and without a gap nothing ever ends
        of, number, days = self._given
        return self._part(
            groups, np.append(self.rows[of], own[known]), np.append(number, k[known]),
            np.append(days, until[known]),
            np.append(np.full(len(of), 2), np.where(ended, 3, 4)[known]),
        )  # fmt: skip

    def _part(self, groups: Grouping, course: Array, number: Array, days: Array, way: Array) -> list[Counted]:
        """One clock for each interval, so that each can be told or hidden on its own."""
        parts = []
        for k in range(1, self.most + 1):
            own = np.flatnonzero(number == k)
            keys = {"instrument": self.instrument, "clock": f"booster:{k}"}
            parts.append(waited(self.p, groups, course[own], keys, days[own], way[own]))
        return parts

    def trend(self, groups: Grouping) -> Counted:
        """Each person's last interval beside the first."""
        of, number, days = self._given
        own = np.flatnonzero(self._many >= 0)
        first, last = np.zeros(len(self.rows), dtype=np.int64), np.zeros(len(self.rows), dtype=np.int64)
        first[of[number == 1]] = days[number == 1]
        last[of] = days  # written in order: the last one stays
        state = np.where(last > first, 1, np.where(last < first, 3, 2))
        state = np.where(self._many > 1, state, 4)[own]
        keys = {"instrument": self.instrument, "clock": "booster_trend", "day": 0, "from": ""}
        return tabulate(
            "transitions", groups, groups.of_course[self.rows[own]], keys | {"to": (state, TREND)}
        )


def time_off(p: Patients, groups: Grouping, rows: Array, instrument: str) -> list[Counted]:
    """Days from the end of cover of a headline course's last dose to the next course, or to the last day."""
    stops = find_stops(p, rows)
    next_first = p.courses.next_first[rows].astype(np.int64)
    back = next_first <= stops.last_day
    until = np.minimum(next_first, stops.last_day)
    off = stops.limited & (stops.uncovered < next_first) & (stops.uncovered <= stops.last_day)
    own = np.flatnonzero(off & (until < NEVER // 2))
    days, way = (until - stops.uncovered)[own], np.where(back, 2, 4)[own]
    return [waited(p, groups, rows[own], {"instrument": instrument, "clock": "off"}, days, way)]


def waited(
    p: Patients, groups: Grouping, course: Array, keys: dict[str, Any], days: Array, way: Array
) -> Counted:
    """Waits of courses, from their first day to how they ended: codes into WAITS."""
    zero = np.zeros(len(days), dtype=np.int64)
    return moved(
        p, groups, np.append(course, course), keys, np.append(zero, days), np.append(zero, zero + 1),
        np.append(zero + 1, way), WAITS, longest=int(days.max(initial=0)),
    )  # fmt: skip
