"""Harm first, and where mature courses stood on named days: counts beside the partition of good time.

A mature course is followed on every named day, so the share of them in each state is a plain share: nobody is
censored and nothing is estimated. Whether courses got worse, and what was answered to the safety item, is
counted of everyone due, whatever the dose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.definitions import met
from ketaoutcomes.per_patient.courses import NEVER, Moments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ketaoutcomes.per_patient.patients import Patients

Array = Any
WORSE = ("no_score", "not_worse", "worse")
ANSWERED = ("not_asked", "none", "some")


def in_order(course: Array, day: Array) -> NDArray[np.int64]:
    """Moves in the order of their courses and days; those of one day stay in the order they are given.

    >>> in_order(np.array([0, 1, 0]), np.array([9, 0, 0])).tolist()
    [2, 0, 1]
    """
    order: NDArray[np.int64] = np.argsort((course << 32) + day, kind="stable")
    return order


def last_states(course: Array, day: Array, state: Array, until: int, courses: int, blank: int) -> Array:
    """Each course's state on a day after its first dose, from its moves in order; `blank` if it made none.

    >>> last_states(np.array([0, 0, 1]), np.array([0, 9, 0]), np.array([1, 2, 1]), 8, 3, 5).tolist()
    [1, 1, 5]
    """
    found = np.full(courses, blank, dtype=np.int64)
    kept = day <= until
    found[course[kept]] = state[kept]  # the last of each course's moves is written last
    return found


def worsened(
    p: Patients, rows: Array, instrument: str, last: Array | None = None
) -> NDArray[np.int64] | None:
    """Whether each course's last score is reliably worse than its baseline: codes into WORSE.

    `last` is where each course's last score is found, where that is known already. None where the instrument
    has no published rule for getting worse.
    """
    criterion = next(iter(p.plan.definitions.worsening(instrument)), None)
    if criterion is None:
        return None
    j, c = p.judged(instrument, "score"), p.courses
    if last is None:
        low, at = own_records(p, rows, j.moments)
        found = at >= low
    else:
        at, found = last, last >= 0
    ticks = p.plan.definitions.instrument(instrument).ticks
    state = np.zeros(len(rows), dtype=np.int64)
    baseline = j.baseline[c.patient[rows[found]]]
    state[found] = 1 + (met(criterion, baseline, j.value[at[found]], ticks) == 1)
    return state


def safety_item(p: Patients, rows: Array, instrument: str) -> dict[str, NDArray[np.int64]]:
    """The last answer to the safety item by the baseline and in each course: codes into ANSWERED.

    `rows` are courses of different patients. Empty where the instrument has no such item.
    """
    if p.plan.definitions.instrument(instrument).flag_item is None:
        return {}
    s, c = p.scores(instrument), p.courses
    patient, first = c.patient[rows], c.first[rows].astype(np.int64)
    course = np.full(len(p), -1, dtype=np.int64)
    course[patient] = np.arange(len(rows))
    asked = np.flatnonzero((s.flag >= 0) & (course[s.patient] >= 0))
    of, time, answer = course[s.patient[asked]], s.time[asked], 1 + (s.flag[asked] > 0)
    since = (2 * (first - p.plan.baseline.within_days))[of]
    begun = time > (2 * first)[of]
    return {
        "baseline": _last_answer(of, answer, ~begun & (time >= since), len(rows)),
        "last": _last_answer(of, answer, begun & (time <= _until(p, rows)[of]), len(rows)),
    }


def _last_answer(of: Array, answer: Array, kept: Array, courses: int) -> NDArray[np.int64]:
    """Each course's last answer of those kept, which stand in order of time: the last is written last."""
    state = np.zeros(courses, dtype=np.int64)
    state[of[kept]] = answer[kept]
    return state


def _until(p: Patients, rows: Array) -> NDArray[np.int64]:
    """The last half-day whose scores belong to each course: the next one's first dose, or the end."""
    c = p.courses
    end: NDArray[np.int64] = np.minimum(
        2 * c.next_first[rows].astype(np.int64), 2 * p.block.cut[c.patient[rows]] + 1
    )
    return end


def own_records(p: Patients, rows: Array, moments: Moments) -> tuple[Array, Array]:
    """Positions of each course's first and last record after its first dose; none where last < first."""
    c = p.courses
    patient, first = c.patient[rows], c.first[rows].astype(np.int64)
    return moments.first_from(patient, 2 * first + 1), moments.last_by(patient, _until(p, rows))


def ended(p: Patients, rows: Array) -> NDArray[np.bool_]:
    """Whether the protocol's gap has passed since each course's last dose, as the records stand."""
    c = p.courses
    yes: NDArray[np.bool_] = c.last_end[rows].astype(np.int64) + c.gap[rows] < p.block.cut[c.patient[rows]]
    return yes & (c.gap[rows] < NEVER)


def is_due(p: Patients, rows: Array) -> NDArray[np.bool_]:
    """Whether courses are due; where a protocol has no maturity (judged by week only), all are."""
    maturity = p.courses.maturity[rows].astype(np.int64)
    due: NDArray[np.bool_] = (maturity >= NEVER) | p.block.due(rows, maturity)
    return due
