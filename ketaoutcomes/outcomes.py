"""Scores to states: at each point every eligible course is in exactly one, and "met" is decided here only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.courses import Baselines, Courses, Moments
from ketaoutcomes.definitions import MISSING, Criterion, met
from ketaoutcomes.windows import CONFIRM_AFTER, Block, Picks, Windows, pick

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ketaoutcomes.assembly import Scores

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
    scores: Scores, courses: Courses, base: Baselines, *, variable: str, ordinal: int, patients: int
) -> Judged:
    """The scores that exist for a variable, with the baseline of each patient's headline course."""
    values = scores.ticks if variable == "score" else scores.diagnosis.astype(np.int32)
    exists = scores.ticks != MISSING if variable == "score" else scores.diagnosis >= 0
    if exists.all():
        patient, time, value = scores.patient, scores.time, values
    else:
        patient, time, value = scores.patient[exists], scores.time[exists], values[exists]
    rows = np.flatnonzero(base.index == ordinal)
    baseline = np.full(patients, MISSING, dtype=np.int32)
    baseline[courses.patient[rows]] = (
        base.ticks if variable == "score" else base.diagnosis.astype(np.int32)
    )[rows]
    return Judged(patient, time, value, baseline, rows, Moments(patient, time))


def excluded(
    criterion: Criterion, j: Judged, courses: Courses, w: Windows, ticks: int
) -> NDArray[np.int8] | None:
    """The state of courses the criterion can never judge: a zero baseline, no diagnosis at baseline."""
    baseline = j.baseline[courses.patient[w.course]]
    if criterion.variable == "diagnosis":
        return np.where(baseline != 1, NO_DIAGNOSIS, -1).astype(np.int8)
    if not criterion.uses_baseline:
        return None
    never = met(criterion, baseline, baseline, ticks) < 0
    return np.where(never, ZERO_BASELINE, -1).astype(np.int8) if never.any() else None


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
    yes = met(criterion, j.baseline[j.patient], j.value, ticks) == 1
    barred = excluded(criterion, j, block.courses, w, ticks)
    off = ~w.scheduled[w.point]
    result = {}
    for kind in kinds:
        state = _of_kind(kind, w, j, picks, yes)
        state[off] = NOT_SCHEDULED
        state[~(w.due_sustained if kind == "sustained" else w.due)] = NOT_DUE
        if barred is not None:
            state = np.where(barred >= 0, barred, state)
        result[kind] = state
    return result


def _of_kind(kind: str, w: Windows, j: Judged, picks: Picks, yes: Array) -> NDArray[np.int8]:
    state = np.full(len(w), UNSCORED, dtype=np.int8)
    if not len(yes):
        return state
    if kind == "current":
        carried = picks.carried >= 0
        state[carried] = np.where(yes[picks.carried[carried]], CARRIED_MET, CARRIED_NOT_MET)
        scored = picks.judged >= 0
        state[scored] = np.where(yes[picks.judged[scored]], MET, NOT_MET)
        return state
    running = np.zeros(len(yes) + 1, dtype=np.int64)
    np.cumsum(yes, out=running[1:])
    if kind == "ever":
        any_score = picks.ever_last >= 0
        count = running[picks.ever_last[any_score] + 1] - running[picks.first[any_score]]
        state[any_score] = np.where(count > 0, MET, NOT_MET)
        return state
    confirm = _confirming(w, j, picks)
    seen = confirm >= 0
    first, last = picks.judged[seen], confirm[seen]
    throughout = running[last + 1] - running[first] == last + 1 - first
    state[seen] = np.where(throughout, MET, NOT_MET)
    return state


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
