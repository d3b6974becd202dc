"""What imputation needs of a block of patients: who was scored and who was not, stratum by stratum.

A course due at a point belongs to one stratum: its baseline band, whether the last score before the point's
window met the criterion, and whether treatment was on (`given`). The counts stand in a Tally's `points`
under kind `imputation`, with states such as `band2:met:missing`, and add like all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.counts.counting import GIVEN, instruments_of, judge_all, point_labels, tabulate, windows_of
from ketaoutcomes.definitions import MISSING, Instrument, band_of, met
from ketaoutcomes.per_patient.outcomes import MET, NOT_MET, UNSCORED
from ketaoutcomes.per_patient.patients import Grouping, Patients, grouping

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Counted
    from ketaoutcomes.definitions import Criterion
    from ketaoutcomes.per_patient.windows import Picks, Windows

Array = Any
KIND = "imputation"
LAST = ("met", "not_met", "unscored")
OUTCOMES = ("met", "not_met", "missing")
PARTS = 4  # of the scale, where an instrument has no severity bands: only to set alike beside alike (house)


def count(
    p: Patients, by: Sequence[str], axes: Sequence[str], criteria: Sequence[str]
) -> dict[str, list[Counted]]:
    """The strata of one block: every headline course due and scheduled at each point, kind current."""
    groups, parts = grouping(p, by), []
    for instrument, own in instruments_of(p, criteria).items():
        band, bands = _bands(p, instrument)
        for axis in axes:
            for w in windows_of(p, instrument, axis):
                for criterion, found, states in judge_all(p, own, ("current",), w):
                    last = _last(p, criterion, w, found)
                    parts.append(_stratified(p, groups, criterion, w, states["current"], band, bands, last))
    return {"points": parts}


def _bands(p: Patients, name: str) -> tuple[Array, tuple[str, ...]]:
    """Each course's baseline band as a code, and the codes' labels, from `band1`; `band0`: no baseline."""
    instrument = p.plan.definitions.instrument(name)
    ticks = p.baselines(name).ticks
    many = len(instrument.bands) or PARTS
    band = band_of(instrument, ticks) if instrument.bands else _part_of_scale(instrument, ticks)
    return band.astype(np.int64) + 1, tuple(f"band{i}" for i in range(many + 1))


def _part_of_scale(instrument: Instrument, ticks: Array) -> Array:
    """Which quarter of the instrument's range a total lies in, from 0; -1: no total."""
    above = ticks.astype(np.int64) - instrument.low * instrument.ticks
    width = (instrument.high - instrument.low) * instrument.ticks
    return np.where(ticks == MISSING, -1, np.minimum(above * PARTS // width, PARTS - 1))


def _last(p: Patients, criterion: Criterion, w: Windows, found: Picks) -> Array:
    """Whether the course's last score before each window met the criterion: a code into LAST.

    Where there is no window (a session not given), the last score that could have been carried to it.
    """
    j = p.judged(criterion.instrument, criterion.variable)
    ticks = p.plan.definitions.instrument(criterion.instrument).ticks
    yes = met(criterion, j.baseline.take(j.patient), j.value, ticks) == 1
    at = np.where(w.hi < w.lo, found.carried, found.scores.last(w.lo - 1))
    if not len(yes):
        return np.full(len(w), LAST.index("unscored"))
    return np.where(at < 0, LAST.index("unscored"), np.where(yes[at], 0, 1))


def _stratified(
    p: Patients, groups: Grouping, criterion: Criterion, w: Windows, state: Array,
    band: Array, bands: tuple[str, ...], last: Array,
) -> Counted:  # fmt: skip
    """Courses counted by stratum and outcome; the unscored, carried or not, are missing."""
    seen = state <= UNSCORED
    outcome = np.where(state == MET, 0, np.where(state == NOT_MET, 1, 2))
    point, labels = point_labels(p, w)
    code = (band[w.course] * len(LAST) + last) * len(OUTCOMES) + outcome
    names = tuple(f"{b}:{known}:{result}" for b in bands for known in LAST for result in OUTCOMES)
    keys = {
        "instrument": criterion.instrument, "criterion": criterion.name, "kind": KIND, "axis": w.axis,
        "point": (point[seen], labels), "given": (w.given[seen].astype(np.int64), GIVEN),
        "state": (code[seen], names),
    }  # fmt: skip
    return tabulate("points", groups, groups.of_course[w.course[seen]], keys)
