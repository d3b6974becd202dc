"""Change beyond error to counts: categories, moves between severity bands, joint response of two criteria.

Rows of a Tally's `points` and `values`: one person stands in one category at each point, so they add over
any split by patient.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.counts.counting import GIVEN, Request, tabulate, unjudged, valued
from ketaoutcomes.counts.tallies import KEYS, Counted
from ketaoutcomes.definitions import band_of
from ketaoutcomes.definitions.change_rules import CATEGORIES, ChangeRule
from ketaoutcomes.per_patient.outcomes import MET, NOT_MET, STATES, UNSCORED, Judged, states
from ketaoutcomes.per_patient.patients import Grouping, Patients, grouping
from ketaoutcomes.per_patient.windows import Windows, pick, windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ketaoutcomes.definitions import Criterion, Instrument

Array = Any
OTHER = ("missing", "not_due", "not_scheduled")
MISSING_CODE, NOT_DUE_CODE, NOT_SCHEDULED_CODE = range(3)
AXES = ("session", "week", "end")


def count_change(p: Patients, request: Request) -> dict[str, list[Counted]]:
    """Categories of change, moves between bands, and the scores effect sizes are made of, at each point."""
    groups = grouping(p, request.by)
    tables: dict[str, list[Counted]] = {name: [] for name in KEYS}
    for rule in request.rules:
        it = p.plan.definitions.instrument(rule.instrument)
        for axis in (axis for axis in request.axes if axis in AXES):
            tables["points"] += unjudged(p, groups, _named(it, rule), ("current",), axis)
            for w in windows(p.block, p.judged(it.id, "score").rows, axis):
                scored = _Scored(p, groups, w, it)
                tables["points"] += scored.categories(rule) if rule.reliable is not None else []
                tables["points"] += scored.moves() if it.bands else []
                tables["values"] += scored.values()
    return tables


def _named(it: Instrument, rule: ChangeRule) -> list[Criterion]:
    """Stand-ins for the partitions, where only the name and the instrument matter."""
    names = ["change"] * (rule.reliable is not None) + ["bands"] * bool(it.bands)
    return [replace(it.criteria[0], name=f"{it.id}_{name}") for name in names]


class _Scored:
    """Headline courses of one block at the points of one axis, with the score judged at each."""

    def __init__(self, p: Patients, groups: Grouping, w: Windows, it: Instrument) -> None:
        j = p.judged(it.id, "score")
        self.groups, self.w, self.it = groups, w, it
        self.group = groups.of_course[w.course]
        at = pick(p.block, w, j.moments, j.patient, j.time).judged
        self.scored = at >= 0
        self.baseline = j.baseline[p.courses.patient[w.course]]
        self.value = np.where(self.scored, j.value[at], 0) if len(j.value) else np.zeros(len(w), np.int32)
        self.keys = {"instrument": it.id, "axis": w.axis, "point": (w.point, w.labels)}

    def _points(self, name: str, code: NDArray[np.int64], labels: tuple[str, ...]) -> Counted:
        given = (self.w.given.astype(np.int64), GIVEN)
        keys = {"criterion": f"{self.it.id}_{name}", "kind": "current", "given": given}
        return tabulate("points", self.groups, self.group, self.keys | keys | {"state": (code, labels)})

    def _or_other(self, code: NDArray[np.int64], first: int) -> NDArray[np.int64]:
        """The code where there is a score, else why there is none, counted on from `first`."""
        code = np.where(self.scored, code, first + MISSING_CODE)
        code = np.where(self.w.scheduled[self.w.point], code, first + NOT_SCHEDULED_CODE)
        return np.where(self.w.due, code, first + NOT_DUE_CODE)

    def categories(self, rule: ChangeRule) -> list[Counted]:
        """Where each person stands against the reliable change and the cutoff."""
        code = rule.categories(self.baseline, self.value)
        return [self._points("change", self._or_other(code, len(CATEGORIES)), (*CATEGORIES, *OTHER))]

    def moves(self) -> list[Counted]:
        """From which severity band at baseline to which band."""
        bands = [band.name for band in self.it.bands]
        before, after = (band_of(self.it, ticks).astype(np.int64) for ticks in (self.baseline, self.value))
        to = self._or_other(after, len(bands))
        labels = tuple(f"{one}>{other}" for one in bands for other in (*bands, *OTHER))
        return [self._points("bands", before * (len(bands) + len(OTHER)) + to, labels)]

    def values(self) -> list[Counted]:
        """Baselines of those scored, and baselines and changes within each baseline band.

        Their scores and changes are counted with everyone's, in the Tally's `values`.
        """
        seen = self.scored & self.w.due
        group, before = self.group[seen], self.baseline[seen].astype(np.int64)
        change = self.value[seen].astype(np.int64) - before
        keys = self.keys | {"point": (self.w.point[seen], self.w.labels)}
        parts = [valued(self.groups, group, before, keys | {"variable": "baseline_scored"})]
        band = band_of(self.it, self.baseline[seen]) if self.it.bands else np.array([])
        for code, one in enumerate(self.it.bands):
            own = band == code
            keys = self.keys | {"point": (self.w.point[seen][own], self.w.labels)}
            for name, values in (("change_from", change), ("baseline_in", before)):
                keys = keys | {"variable": f"{name}:{one.name}"}
                parts.append(valued(self.groups, group[own], values[own], keys))
        return parts


def count_joint(p: Patients, request: Request) -> dict[str, list[Counted]]:
    """Two criteria of different instruments together, for every pair asked for."""
    groups = grouping(p, request.by)
    tables: dict[str, list[Counted]] = {name: [] for name in KEYS}
    wanted = [p.plan.definitions.criterion(name) for name in request.criteria]
    for first, second in combinations(wanted, 2):
        if first.instrument != second.instrument:
            rows = joint_rows(p, first.instrument, second.instrument)
            for axis in (axis for axis in request.axes if axis in AXES):
                for w in windows(p.block, rows, axis):
                    tables["points"].append(_joint(p, groups, w, rows, first, second))
    return tables


def joint_rows(p: Patients, first: str, second: str) -> NDArray[np.int64]:
    """Each patient's first course (second, third … as the plan's population says) eligible for both."""
    both = (p.baselines(first).reason == 0) & (p.baselines(second).reason == 0)
    patient = p.courses.patient[both]
    if not len(patient):
        return np.zeros(0, dtype=np.int64)
    order = np.arange(len(patient))
    starts = np.flatnonzero(np.r_[True, patient[1:] != patient[:-1]])
    ordinal = order - np.repeat(starts, np.diff(np.r_[starts, len(patient)])) + 1
    wanted: NDArray[np.int64] = np.flatnonzero(both)[ordinal == p.plan.population.ordinal]
    return wanted


def _joint(
    p: Patients, groups: Grouping, w: Windows, rows: Array, first: Criterion, second: Criterion
) -> Counted:
    labels = tuple(f"{one}+{other}" for one in STATES for other in STATES)
    codes = [_state(p, w, rows, criterion).astype(np.int64) for criterion in (first, second)]
    keys = {
        "instrument": f"{first.instrument}+{second.instrument}", "criterion": f"{first.name}+{second.name}",
        "kind": "current", "axis": w.axis, "point": (w.point, w.labels),
        "given": (w.given.astype(np.int64), GIVEN),
        "state": (codes[0] * len(STATES) + codes[1], labels),
    }  # fmt: skip
    return tabulate("points", groups, groups.of_course[w.course], keys)


def _state(p: Patients, w: Windows, rows: Array, criterion: Criterion) -> NDArray[np.int8]:
    """The state of some courses at their windows, judged by these courses' own baselines; nothing carried."""
    base = p.baselines(criterion.instrument)
    own = base.diagnosis.astype(np.int32) if criterion.variable == "diagnosis" else base.ticks
    j: Judged = p.judged(criterion.instrument, criterion.variable)
    baseline = j.baseline.copy()
    baseline[p.courses.patient[rows]] = own[rows]
    ticks = p.plan.definitions.instrument(criterion.instrument).ticks
    found = states(p.block, w, replace(j, baseline=baseline, rows=rows), criterion, ticks, ("current",))
    state = found["current"]
    carried = (state != MET) & (state != NOT_MET) & (state < UNSCORED)
    return np.where(carried, np.int8(UNSCORED), state)
