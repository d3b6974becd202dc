"""Scores to states: at each point every eligible course is in exactly one, and "met" is decided here only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.definitions import MISSING, Criterion, met
from ketaoutcomes.per_patient.courses import Baselines, Courses, Moments, Recorded, recorded
from ketaoutcomes.per_patient.windows import CONFIRM_AFTER, Block, Picks, Windows, pick

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ketaoutcomes.records.assembly import Scores

Array = Any
STATES = (
    "met",
    "not_met",
    "carried_met",
    "carried_not_met",
    "missing",
    "not_due",
    "not_scheduled",
    "excluded:zero_baseline",
    "excluded:no_baseline_diagnosis",
)
MET, NOT_MET, CARRIED_MET, CARRIED_NOT_MET, UNSCORED, NOT_DUE, NOT_SCHEDULED, ZERO_BASELINE, NO_DIAGNOSIS = (
    range(9)
)
KINDS = ("current", "ever", "sustained")


@dataclass(frozen=True, eq=False)
class Judged:
    """The scores one kind of criterion can judge, sorted, and the headline baseline of each patient.

    `value` is in ticks for a score, 0 or 1 for a provisional diagnosis; `rows` are the headline courses.
    """

    patient: NDArray[np.int32]
    time: NDArray[np.int32]
    value: NDArray[np.int32]
    baseline: NDArray[np.int32]
    rows: NDArray[np.int64]
    moments: Moments


def judged(
    scores: Scores,
    totals: Recorded,
    courses: Courses,
    base: Baselines,
    *,
    variable: str,
    ordinal: int,
    patients: int,
) -> Judged:
    """The scores that exist for a variable, with the baseline of each patient's headline course."""
    found = totals
    value, of_course = found.ticks, base.ticks
    if variable == "diagnosis":
        found = recorded(scores, scores.diagnosis >= 0)
        value = scores.diagnosis.take(found.at).astype(np.int32)
        of_course = base.diagnosis.astype(np.int32)
    rows = np.flatnonzero(base.index == ordinal)
    baseline = np.full(patients, MISSING, dtype=np.int32)
    baseline[courses.patient[rows]] = of_course[rows]
    return Judged(found.patient, found.time, value, baseline, rows, found.moments)


def excluded(
    criterion: Criterion, j: Judged, courses: Courses, w: Windows, ticks: int
) -> NDArray[np.int8] | None:
    """The state of courses the criterion can never judge: a zero baseline, no diagnosis at baseline."""
    if criterion.variable == "diagnosis":
        return np.where(j.baseline != 1, np.int8(NO_DIAGNOSIS), np.int8(-1))[courses.patient[w.course]]
    if not criterion.uses_baseline:
        return None
    never = (met(criterion, j.baseline, j.baseline, ticks) < 0)[courses.patient[w.course]]
    return np.where(never, np.int8(ZERO_BASELINE), np.int8(-1)) if never.any() else None


def states(
    block: Block,
    w: Windows,
    j: Judged,
    criterion: Criterion,
    ticks: int,
    kinds: tuple[str, ...],
    picks: Picks | None = None,
) -> dict[str, NDArray[np.int8]]:
    """The state of every window, one array of codes into STATES per kind.

    `ticks` is the instrument's ticks per point. Exclusions come first, then not due, then not scheduled.
    """
    picks = picks or pick(block, w, j.moments, j.patient, j.time)
    yes = met(criterion, j.baseline.take(j.patient), j.value, ticks) == 1
    barred = excluded(criterion, j, block.courses, w, ticks)
    result = {}
    for kind in kinds:
        state = _of_kind(kind, w, j, picks, yes)
        if not w.scheduled.all():
            state = np.where(w.scheduled[w.point], state, np.int8(NOT_SCHEDULED))
        state = np.where(w.due_sustained if kind == "sustained" else w.due, state, np.int8(NOT_DUE))
        if barred is not None:
            state = np.where(barred >= 0, barred, state)
        result[kind] = state
    return result


def _of_kind(kind: str, w: Windows, j: Judged, picks: Picks, yes: Array) -> NDArray[np.int8]:
    if not len(yes):
        return np.full(len(w), UNSCORED, dtype=np.int8)
    if kind == "current":
        verdict = np.where(yes, np.int8(MET), np.int8(NOT_MET))
        carried = np.where(yes, np.int8(CARRIED_MET), np.int8(CARRIED_NOT_MET))
        return _or_else(picks.judged, verdict, _or_else(picks.carried, carried, np.int8(UNSCORED)))
    running = np.zeros(len(yes) + 1, dtype=np.int32)
    np.cumsum(yes, out=running[1:])
    # Position -1, no score, reads the last entry of `running`: whatever comes of it is left out again.
    if kind == "ever":
        any_score = picks.ever_last >= 0
        count = running[picks.ever_last + 1] - running[np.where(any_score, picks.first, 0)]
        return _verdict(any_score, count > 0)
    confirm = _confirming(w, j, picks)
    throughout = running[confirm + 1] - running[picks.judged] == confirm + 1 - picks.judged
    return _verdict(confirm >= 0, throughout)


def _or_else(position: Array, states: Array, other: Array) -> NDArray[np.int8]:
    """The state of the score at each position, and another where there is none (-1)."""
    state: NDArray[np.int8] = np.where(position >= 0, states[position], other)
    return state


def _verdict(known: Array, yes: Array) -> NDArray[np.int8]:
    return np.where(known, np.where(yes, np.int8(MET), np.int8(NOT_MET)), np.int8(UNSCORED))


def _confirming(w: Windows, j: Judged, picks: Picks) -> NDArray[np.int64]:
    """The first score at least 28 days after the one judged, if it came in time; else -1."""
    scored = picks.judged >= 0
    at = np.where(scored, picks.judged, 0)
    later = j.moments.first_from(j.patient[at], 2 * ((j.time[at] >> 1).astype(np.int64) + CONFIRM_AFTER))
    safe = np.minimum(later, len(j.patient) - 1)
    fine = (
        scored
        & (later < len(j.patient))
        & (j.patient[safe] == j.patient[at])
        & (j.time[safe] <= w.sustain_hi)
    )
    return np.where(fine, safe, -1)
