"""Courses, baselines, outcomes and points patient by patient, as `tables` declares them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.counting import instruments_of, judge_all, point_labels
from ketaoutcomes.definitions import MISSING
from ketaoutcomes.per_patient.courses import NEVER, REASONS, Moments
from ketaoutcomes.per_patient.outcomes import STATES
from ketaoutcomes.per_patient.standing import ended
from ketaoutcomes.per_patient.windows import windows
from ketaoutcomes.records.coding import labelled
from ketaoutcomes.tables import empty

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ketaoutcomes.definitions import Criterion
    from ketaoutcomes.per_patient.patients import Patients
    from ketaoutcomes.per_patient.windows import Picks, Windows


def stacked(name: str, parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Parts of one declared table as one; the declared empty table where there are no rows."""
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else empty(name)


def courses(p: Patients) -> pd.DataFrame:
    """One row per course of these patients: columns as declared for `courses`; row-level, do not share."""
    c = p.courses
    by_patient = (
        p.setting.cohort.people["site"].to_numpy(dtype=object) if "site" in p.setting.cohort.people else None
    )
    site = labelled(c.site, p.doses.sites)
    if by_patient is not None:
        site = np.where(c.site < 0, by_patient[p.low : p.high][c.patient], site)
    visits = np.array([protocol.visits or 0 for protocol in p.block.rule.protocols] + [0])[c.protocol]
    return pd.DataFrame(
        {
            "patient": p.names[c.patient],
            "course": c.number.astype(np.int64),
            "protocol": labelled(c.protocol, [protocol.id for protocol in p.block.rule.protocols]),
            "route": labelled(c.route, p.doses.routes),
            "unit": labelled(c.unit, p.doses.units),
            "site": site,
            "first_day": c.first.astype(np.int64),
            "induction_end": _whole(c.last_induction, visits > 0),
            "last_day": c.last_end.astype(np.int64),
            "sessions": c.stop - c.start,
            "induction_sessions": c.inducted.astype(np.int64),
            "ended": ended(p, np.arange(len(c))),
            "due_day": _whole(c.first.astype(np.int64) + c.maturity, c.maturity < NEVER),
        }
    )


def _whole(values: Any, known: Any) -> Any:
    """Whole numbers, blank where not known."""
    return pd.array(np.where(known, np.asarray(values, dtype=np.float64), np.nan), dtype="Int64")


def _points_of(ticks: Any, per_point: int) -> Any:
    return np.where(ticks == MISSING, np.nan, ticks / per_point)


def baselines(p: Patients, instrument: str) -> pd.DataFrame:
    """One row per course, judged on one instrument: columns as declared for `baselines`; row-level."""
    base, c = p.baselines(instrument), p.courses
    reasons = (*REASONS, *(f"entry:{rule.column}" for rule in p.plan.population.entry))
    ticks = p.plan.definitions.instrument(instrument).ticks
    return pd.DataFrame(
        {
            "patient": p.names[c.patient],
            "course": c.number.astype(np.int64),
            "instrument": instrument,
            "baseline": _points_of(base.ticks, ticks),
            "baseline_day": _whole(base.day, base.found),
            "eligible": base.reason == 0,
            "reason": np.array(reasons, dtype=object)[base.reason],
            "index": base.index.astype(np.int64),
        }
    )


def outcomes(p: Patients, instrument: str) -> pd.DataFrame:
    """Each score, with the course it belongs to: after its first dose, until the next course's first dose."""
    s, c = p.scores(instrument), p.courses
    scored = (s.ticks != MISSING) & ((s.time >> 1) <= p.block.cut[s.patient])
    patient, time, ticks = s.patient[scored], s.time[scored].astype(np.int64), s.ticks[scored]
    # A pre-dose score on the first day of a course belongs to the course before it, if there is one.
    at = Moments(c.patient, 2 * c.first + 1).last_by(patient, time)
    safe = np.maximum(at, 0)
    own = (at >= 0) & (c.patient[safe] == patient) if len(c) else np.zeros(len(patient), dtype=bool)
    patient, time, ticks, course = patient[own], time[own], ticks[own], safe[own]
    before = Moments(p.block.days.patient, 2 * p.block.days.day + 1).last_by(patient, time)
    base = p.baselines(instrument).ticks[course]
    per_point = p.plan.definitions.instrument(instrument).ticks
    baseline, score = _points_of(base, per_point), ticks / per_point
    return pd.DataFrame(
        {
            "patient": p.names[patient],
            "course": c.number[course].astype(np.int64),
            "instrument": instrument,
            "day": time >> 1,
            "timing": np.where(time & 1, "post", "pre"),
            "session": before - c.start[course] + 1,
            "baseline": baseline,
            "score": score,
            "change": np.where(base == MISSING, np.nan, (ticks - base.astype(np.int64)) / per_point),
        }
    )


def points(p: Patients, axis: str, names: Sequence[str], kinds: tuple[str, ...]) -> pd.DataFrame:
    """One row per headline course, criterion, kind and point: as declared for `points`; row-level."""
    parts: list[pd.DataFrame] = []
    if axis == "month" and p.setting.cohort.dates == "offsets":
        return empty("points")
    for instrument, criteria in instruments_of(p, names).items():
        rows = p.headline(instrument)
        for w in windows(p.block, rows, axis):
            for criterion, found, by_kind in judge_all(p, criteria, kinds, w):
                parts += [
                    _states_table(p, w, criterion, kind, found, state) for kind, state in by_kind.items()
                ]
    return stacked("points", parts)


def _states_table(
    p: Patients, w: Windows, criterion: Criterion, kind: str, found: Picks, state: NDArray[np.int8]
) -> pd.DataFrame:
    j, c = p.judged(criterion.instrument, criterion.variable), p.courses
    names = np.array(STATES, dtype=object)[state]
    at = np.where(np.isin(names, ["met", "not_met"]), found.judged, -1)
    at = np.where(np.isin(names, ["carried_met", "carried_not_met"]), found.carried, at)
    point, labels = point_labels(p, w)
    day, score = np.full(len(w), np.nan), np.full(len(w), np.nan)
    day[at >= 0] = j.time[at[at >= 0]] >> 1
    unit = p.plan.definitions.instrument(criterion.instrument).ticks if criterion.variable == "score" else 1
    score[at >= 0] = j.value[at[at >= 0]] / unit
    return pd.DataFrame(
        {
            "patient": p.names[c.patient[w.course]],
            "course": c.number[w.course].astype(np.int64),
            "instrument": criterion.instrument,
            "criterion": criterion.name,
            "kind": kind,
            "axis": w.axis,
            "point": np.array(labels, dtype=object)[point],
            "given": np.where(w.given, "yes", "no"),
            "state": names,
            "day": pd.array(day, dtype="Int64"),
            "score": score,
        }
    )
