"""What became of early responses, and who had boosters: mature courses by one state each, on named days.

Only courses that met the criterion by the last calendar day are asked whether it lasted: so all of them can
be followed for as long as the marks say, nobody is censored by the last day on record, and whoever is not
scored any more is told apart. A loss is one score at which the criterion is no longer met.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.definitions.lasting import lasting
from ketaoutcomes.per_patient.courses import NEVER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ketaoutcomes.per_patient.good_time import GoodTimes
    from ketaoutcomes.per_patient.patients import Patients
    from ketaoutcomes.plan import Plan

AFTER_RESPONSE, BOOSTERS = "after_response", "boosters"
"""Kinds of these partitions of mature courses."""

LOST = ("lost_1", "lost_2", "lost_3")
AWAY = ("away_1", "away_2", "away_3")
KEPT, UNRESPONDED = "kept", "unresponded"
AFTER_STATES = (*LOST, *AWAY, KEPT, UNRESPONDED)
"""Of those who responded by the last calendar day: lost by the first, second or third mark; not lost so far
but never scored again by then (away); scored at or after the last mark without a loss by then (kept)."""

NUMBERS = ("none", "one", "two", "three_or_more")
NO_VISITS = "no_visits"
BOOSTER_STATES = (*NUMBERS, NO_VISITS)
"""Doses after induction by the day a course is mature; `no_visits`: its protocol plans no visits."""


def marks_of(plan: Plan) -> tuple[int, ...]:
    """The days since the response on which it is asked whether it lasted: at most three.

    Of the marks of `definitions.lasting` those that every mature course is followed for which responded on
    the last calendar day.

    >>> from ketaoutcomes.plan import Plan
    >>> marks_of(Plan())
    (28, 56, 84)
    """
    longest = plan.good_time.mature_days - plan.good_time.calendar_days[-1]
    return tuple(day for day in lasting(tuple(plan.folders)).marks if day <= longest)[: len(LOST)]


def rules_counted(plan: Plan) -> tuple[str, ...]:
    """The canonical text of what is counted here and does not stand in the plan, for a Tally's header."""
    return (json.dumps([AFTER_RESPONSE, "lost", *marks_of(plan)], separators=(",", ":")),)


def after_response(g: GoodTimes, plan: Plan) -> NDArray[np.int64]:
    """What became of each course's response: codes into AFTER_STATES."""
    s, marks = g.scores, np.array(marks_of(plan), dtype=np.int64)
    later = np.flatnonzero((s.time > s.response[s.of]) & (s.met >= 0))
    lost, last = np.full(len(s.response), 2 * NEVER, dtype=np.int64), s.response.copy()
    last[s.of[later]] = s.time[later]  # in order of time: the last one stays
    losses = later[s.met[later] == 0][::-1]  # backwards: the first of each course is written last
    lost[s.of[losses]] = s.time[losses]
    origin = s.response >> 1
    by = np.searchsorted(marks, (lost >> 1) - origin, side="left")
    scored = np.searchsorted(marks, (last >> 1) - origin, side="right")
    state = np.where(scored < len(marks), len(LOST) + scored, AFTER_STATES.index(KEPT))
    state = np.where(by < len(marks), by, state)
    in_time = s.response <= 2 * (g.exposure.first + plan.good_time.calendar_days[-1]) + 1
    found: NDArray[np.int64] = np.where(in_time, state, AFTER_STATES.index(UNRESPONDED))
    return found


def boosters(p: Patients, g: GoodTimes) -> NDArray[np.int64]:
    """How many doses each course had after induction, by the day it is mature: codes into BOOSTER_STATES."""
    e, c = g.exposure, p.courses
    inside = e.day <= (e.first + p.plan.good_time.mature_days)[e.of]
    given = np.bincount(e.of[inside], minlength=len(e)) - c.inducted[e.rows]
    visits = p.block.rule.numbers("visits", 0)[c.protocol[e.rows]]
    number = np.clip(given, 0, len(NUMBERS) - 1)
    found: NDArray[np.int64] = np.where(visits > 0, number, BOOSTER_STATES.index(NO_VISITS))
    return found


def lasting_states(p: Patients, g: GoodTimes) -> list[tuple[str, Any, tuple[str, ...]]]:
    """Kind, codes and names of each partition; that of responses only where a mark can be told."""
    found: list[tuple[str, Any, tuple[str, ...]]] = [(BOOSTERS, boosters(p, g), BOOSTER_STATES)]
    if marks_of(p.plan):
        found.append((AFTER_RESPONSE, after_response(g, p.plan), AFTER_STATES))
    return found
