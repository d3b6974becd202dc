"""Side effects and worsening to counts: what happened after doses, of everyone dosed, and who got worse.

Everything stands in a Tally's `points` and `values`, so it adds over any split by patient. Side effects are
counted of everybody whose treatment was seen from its start, eligible or not, under instrument `safety`: by
session given, of first courses that are due, and (kind `ever`, axis `course`) once per person, at any session
of any course. A session or person without a record of an event is `missing`: never "no". Worsening and the
safety item are counted of headline courses that are due, on axis `course`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.counts.counting import tabulate, valued
from ketaoutcomes.counts.tallies import KEYS, Counted
from ketaoutcomes.definitions import met
from ketaoutcomes.per_patient.courses import Moments, laid_out
from ketaoutcomes.per_patient.patients import Grouping, Patients, grouping
from ketaoutcomes.per_patient.standing import is_due, own_records
from ketaoutcomes.per_patient.windows import windows
from ketaoutcomes.records.monitoring import BLANK, events, happened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Array = Any
SAFETY = "safety"
"""What stands for an instrument where side effects are counted."""

COURSE = "course"
"""The axis of what is counted once per person."""

MEASURED = ("cadss", "minutes_observed")
"""Readings whose values are counted by session."""

STATES = ("missing", "not_met", "met", "not_scheduled")
NOT_ASKED_OF = 3
BASELINE_ITEM, NEW, HIGHER, LOWER = (
    "safety_item_at_baseline", "safety_item_new", "safety_item_higher", "safety_item_lower",
)  # fmt: skip
"""The safety item: any at baseline; of those with none then, any later; of those with some, the change."""


def count(p: Patients, by: Sequence[str], axes: Sequence[str]) -> dict[str, list[Counted]]:
    """What one block's safety adds to a Tally's tables: sessions, and for any axis but that persons."""
    tables: dict[str, list[Counted]] = {name: [] for name in KEYS}
    groups = grouping(p, by)
    rows = np.flatnonzero((p.courses.number == 1) & p.courses.observed)
    seen = np.stack([happened(p.monitoring, event) for event in events()])
    if "session" in axes:
        points, values = _by_session(p, groups, rows, seen)
        tables["points"] += points
        tables["values"] += values
    if set(axes) != {"session"}:
        tables["points"] += _per_person(p, groups, rows, seen)
        for instrument in p.plan.instruments if p.setting.as_of != "none" else ():
            tables["points"] += _worsening(p, groups, instrument)
    return tables


def _record_of(p: Patients, patient: Array, day: Array) -> NDArray[np.int64]:
    """The position of the monitoring record of each patient and day, -1 where there is none."""
    records = p.monitoring
    if not len(records.patient):
        return np.full(len(patient), -1, dtype=np.int64)
    kept = (records.patient.astype(np.int64) << 32) + records.day
    asked = (patient.astype(np.int64) << 32) + day.astype(np.int64)
    at = np.minimum(np.searchsorted(kept, asked), len(kept) - 1)
    return np.where(kept[at] == asked, at, -1)


def _by_session(
    p: Patients, groups: Grouping, rows: Array, seen: Array
) -> tuple[list[Counted], list[Counted]]:
    points, values = [], []
    for w in windows(p.block, rows, "session"):
        kept = w.due & w.given
        course, point = w.course[kept], w.point[kept]
        at = _record_of(p, p.courses.patient[course], w.lo[kept] >> 1)
        group = groups.of_course[course]
        keys: dict[str, Any] = {"instrument": SAFETY, "axis": "session"}
        for event, happening in zip(events(), seen, strict=True):
            state = np.append(happening, BLANK)[at].astype(np.int64) + 1
            own: dict[str, Any] = {"criterion": event.name, "kind": "current", "given": "yes"}
            own["state"] = (state, STATES)
            points.append(tabulate("points", groups, group, keys | own | {"point": (point, w.labels)}))
        for name in MEASURED:
            reading = np.append(p.monitoring.of(name), BLANK)[at].astype(np.int64)
            known = reading != BLANK
            own = {"variable": name, "point": (point[known], w.labels)}
            values.append(valued(groups, group[known], reading[known], keys | own))
    return points, values


def _per_person(p: Patients, groups: Grouping, rows: Array, seen: Array) -> list[Counted]:
    """Whether each event was recorded at any session of each person: boosters and later courses included.

    An event is not left out because treatment had paused before it. A person stands in the group of the
    first course.
    """
    c, days = p.courses, p.block.days
    last = np.searchsorted(c.patient, c.patient[rows], side="right") - 1
    _, of, dosed = laid_out(c.start[rows], c.stop[last])
    at = _record_of(p, days.patient[dosed], days.day[dosed])
    parts = []
    for event, happening in zip(events(), seen, strict=True):
        ever = np.full(len(rows), BLANK, dtype=np.int64)
        np.maximum.at(ever, of, np.append(happening, BLANK)[at].astype(np.int64))
        keys = {
            "instrument": SAFETY, "criterion": event.name, "kind": "ever", "axis": COURSE, "point": "any",
            "state": (ever + 1, STATES),
        }  # fmt: skip
        parts.append(tabulate("points", groups, groups.of_course[rows], keys))
    return parts


def _worsening(p: Patients, groups: Grouping, instrument: str) -> list[Counted]:
    """Who is reliably worse at the last score of the course, and at any; and the safety item's answers."""
    rows = p.headline(instrument)
    rows = rows[is_due(p, rows)]
    group = groups.of_course[rows]
    found = [*_worse(p, rows, instrument), *_answers(p, rows, instrument)]
    return [
        tabulate("points", groups, group, {
            "instrument": instrument, "criterion": name, "kind": kind, "axis": COURSE, "point": point,
            "state": (state, STATES),
        })
        for name, kind, point, state in found
    ]  # fmt: skip


def _worse(p: Patients, rows: Array, instrument: str) -> list[tuple[str, str, str, Array]]:
    found = []
    j = p.judged(instrument, "score")
    ticks = p.plan.definitions.instrument(instrument).ticks
    low, last = own_records(p, rows, j.moments)
    for criterion in p.plan.definitions.worsening(instrument):
        yes = met(criterion, j.baseline.take(j.patient), j.value, ticks) == 1
        found.append((criterion.name, "current", "last", _verdict(low, last, yes)))
        running = np.append(0, np.cumsum(yes))
        times = running[np.maximum(last + 1, low)] - running[low]
        found.append((criterion.name, "ever", "any", np.where(last >= low, 1 + (times > 0), 0)))
    return found


def _verdict(low: Array, last: Array, yes: Array) -> NDArray[np.int64]:
    verdict: NDArray[np.int64] = np.where(last >= low, 1 + np.append(yes, False)[last], 0).astype(np.int64)
    return verdict


def _answers(p: Patients, rows: Array, instrument: str) -> list[tuple[str, str, str, Array]]:
    """The safety item before and since: none where the instrument has no such item."""
    if p.plan.definitions.instrument(instrument).flag_item is None:
        return []
    s, c = p.scores(instrument), p.courses
    asked = np.flatnonzero(s.flag >= 0)
    flag = s.flag[asked].astype(np.int64)
    moments = Moments(s.patient[asked], s.time[asked])
    patient, first = c.patient[rows], c.first[rows].astype(np.int64)
    at = moments.last_by(patient, 2 * first)
    known = at >= moments.first_from(patient, 2 * (first - p.plan.baseline.within_days))
    before = np.where(known, np.append(flag, BLANK)[np.where(known, at, -1)], BLANK)
    low, last = own_records(p, rows, moments)
    since = np.where(last >= low, np.append(flag, BLANK)[last], BLANK)
    running = np.append(0, np.cumsum(flag > 0))
    times = running[np.maximum(last + 1, low)] - running[low]

    def of(asked_of: Array, yes: Array) -> NDArray[np.int64]:
        state: NDArray[np.int64] = np.where(since == BLANK, 0, 1 + yes.astype(np.int64))
        return np.where(asked_of, state, NOT_ASKED_OF)

    none, some = before == 0, before > 0
    return [
        (BASELINE_ITEM, "current", "baseline", np.where(before == BLANK, 0, 1 + (before > 0))),
        (NEW, "current", "last", of(none, since > 0)),
        (NEW, "ever", "any", of(none, times > 0)),
        (HIGHER, "current", "last", of(some, since > before)),
        (LOWER, "current", "last", of(some, since < before)),
    ]
