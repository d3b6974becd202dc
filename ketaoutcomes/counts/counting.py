"""A block of patients to counts: the rows of a Tally.

Each function counts one thing, for every group at once, with one `bincount` over packed codes; nothing
here knows a rate or an interval.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.tallies import COUNTS, KEYS, Counted
from ketaoutcomes.per_patient.courses import NEVER, REASONS
from ketaoutcomes.per_patient.outcomes import KINDS, STATES, states
from ketaoutcomes.per_patient.patients import (
    NO_COURSE,
    Grouping,
    Patients,
    calendar_month,
    grouping,
    month_label,
)
from ketaoutcomes.per_patient.windows import Picks, Windows, pick, windows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ketaoutcomes.definitions import Criterion
    from ketaoutcomes.definitions.change_rules import ChangeRule

Array = Any
GIVEN = ("no", "yes")


@dataclass(frozen=True)
class Request:
    """What to count: grouping, axes, criteria, kinds, which of the Tally's tables; rules of change."""

    by: tuple[str, ...] = ()
    axes: tuple[str, ...] = ("session", "week", "end", "month")
    criteria: tuple[str, ...] = ()
    kinds: tuple[str, ...] = KINDS
    tables: tuple[str, ...] = ("flow", "points", "values")
    rules: tuple[ChangeRule, ...] = ()


def count(p: Patients, request: Request) -> dict[str, list[Counted]]:
    """The parts of each table of a Tally that one block of patients adds."""
    groups = grouping(p, request.by)
    tables: dict[str, list[Counted]] = {name: [] for name in KEYS}
    instruments = instruments_of(p, request.criteria)
    if "flow" in request.tables:
        tables["flow"] += _flow(p, groups, instruments)
    judging = "points" in request.tables or "values" in request.tables
    for instrument, criteria in instruments.items():
        for axis in request.axes if judging else ():
            if "points" in request.tables:
                tables["points"] += unjudged(p, groups, criteria, request.kinds, axis)
            for w in windows_of(p, instrument, axis):
                if "points" in request.tables:
                    tables["points"] += _points(p, groups, criteria, request.kinds, w)
                if "values" in request.tables:
                    tables["values"] += _values(p, groups, instrument, w)
        if "values" in request.tables:
            tables["values"].append(_baseline_values(p, groups, instrument))
    if "values" in request.tables:
        tables["values"] += _session_days(p, groups)
    return tables


def instruments_of(p: Patients, criteria: Sequence[str]) -> dict[str, list[Criterion]]:
    """The criteria asked for, by instrument."""
    result: dict[str, list[Criterion]] = {}
    for name in criteria:
        criterion = p.plan.definitions.criterion(name)
        result.setdefault(criterion.instrument, []).append(criterion)
    return result


def windows_of(p: Patients, instrument: str, axis: str) -> Iterator[Windows]:
    """The windows of an instrument's headline courses on one axis; none by month without calendar dates."""
    if axis == "month" and p.setting.cohort.dates == "offsets":
        return
    rows = p.headline(instrument)
    yield from windows(p.block, rows, axis)


def tabulate(name: str, groups: Grouping, codes: Array, keys: dict[str, Any]) -> Counted:
    """Count rows by group and packed key columns; `keys` maps a column to (codes, labels) or a constant."""
    packed, labels = np.asarray(codes, dtype=np.int64), list(zip(groups.by, groups.labels, strict=True))
    constants = dict.fromkeys(KEYS[name], "")
    for column, value in keys.items():
        if isinstance(value, tuple):
            own, names = value
            packed = packed * len(names) + own
            labels.append((column, names))
        else:
            constants[column] = value
    total = int(np.prod([len(names) for _, names in labels], dtype=np.int64))
    if total <= 4 * len(packed) + 100_000:
        counted = np.bincount(packed, minlength=0)
        cells = np.flatnonzero(counted)
        n = counted[cells]
    else:
        cells, n = np.unique(packed, return_counts=True)
    return Counted(name, tuple(labels), tuple(constants.items()), cells, dict.fromkeys(COUNTS[name], n))


def point_labels(p: Patients, w: Windows) -> tuple[Array, tuple[str, ...]]:
    """Each window's point as a code, and the labels: sessions, weeks, `end`, or calendar months."""
    if w.axis != "month":
        return w.point, w.labels
    c = p.courses
    month = calendar_month(p, c.patient[w.course], c.first[w.course] + c.maturity[w.course].astype(np.int64))
    low, high = (int(month.min()), int(month.max())) if len(month) else (0, -1)
    return month - low, tuple(month_label(m) for m in range(low, high + 1)) or ("",)


def judge_all(
    p: Patients, criteria: Sequence[Criterion], kinds: tuple[str, ...], w: Windows
) -> Iterator[tuple[Criterion, Picks, dict[str, Array]]]:
    """Each criterion's states over one set of windows; scores are looked up once per kind of value judged."""
    picks: dict[str, Picks] = {}
    for criterion in criteria:
        j = p.judged(criterion.instrument, criterion.variable)
        if criterion.variable not in picks:
            picks[criterion.variable] = pick(p.block, w, j.moments, j.patient, j.time)
        ticks = p.plan.definitions.instrument(criterion.instrument).ticks
        found = picks[criterion.variable]
        yield criterion, found, states(p.block, w, j, criterion, ticks, kinds, found)


def _points(
    p: Patients, groups: Grouping, criteria: Sequence[Criterion], kinds: tuple[str, ...], w: Windows
) -> list[Counted]:
    parts = []
    point, labels = point_labels(p, w)
    group = groups.of_course[w.course]
    given = w.given.astype(np.int64)
    for criterion, _, found in judge_all(p, criteria, kinds, w):
        for kind, state in found.items():
            keys = {
                "instrument": criterion.instrument, "criterion": criterion.name, "kind": kind, "axis": w.axis,
                "point": (point, labels), "given": (given, GIVEN), "state": (state, STATES),
            }  # fmt: skip
            parts.append(tabulate("points", groups, group, keys))
    return parts


NO_POINTS = {"session": "not_visit_based", "end": "judged_by_week_only", "month": "judged_by_week_only"}


def unjudged(
    p: Patients, groups: Grouping, criteria: Sequence[Criterion], kinds: tuple[str, ...], axis: str
) -> list[Counted]:
    """Courses whose protocol has no points on this axis: counted under the reason, at no point."""
    if axis not in NO_POINTS:
        return []
    number = "visits" if axis == "session" else "maturity"
    without = p.block.rule.numbers(number, 0) == 0
    rows = p.headline(criteria[0].instrument)
    group = groups.of_course[rows[without[p.courses.protocol[rows]]]]
    return [
        tabulate("points", groups, group, {
            "instrument": criterion.instrument, "criterion": criterion.name, "kind": kind, "axis": axis,
            "state": NO_POINTS[axis],
        })
        for criterion in criteria for kind in kinds
    ] if len(group) else []  # fmt: skip


def valued(groups: Grouping, group: Array, value: Array, keys: dict[str, Any]) -> Counted:
    """Count rows by an integer value beside the other keys."""
    low, high = (int(value.min()), int(value.max())) if len(value) else (0, 0)
    return tabulate("values", groups, group, keys | {"value": (value - low, range(low, high + 1))})


def _values(p: Patients, groups: Grouping, instrument: str, w: Windows) -> list[Counted]:
    """Scores, changes and days from dose to score, of courses due at each point and scored there.

    Of months changes only: their scores are those of the end.
    """
    j = p.judged(instrument, "score")
    found = pick(p.block, w, j.moments, j.patient, j.time)
    seen = w.due & (found.judged >= 0)
    point, labels = point_labels(p, w)
    at, group = found.judged[seen], groups.of_course[w.course[seen]]
    value = j.value[at].astype(np.int64)
    keys = {"instrument": instrument, "axis": w.axis, "point": (point[seen], labels)}
    change = value - j.baseline[j.patient[at]]
    parts = [valued(groups, group, change, {"variable": "change", **keys})]
    if w.axis != "month":
        parts.append(valued(groups, group, value, {"variable": "score", **keys}))
    if w.axis == "session":
        days = (j.time[at] >> 1) - (w.lo[seen] >> 1)
        parts.append(valued(groups, group, days, {"variable": "days_since_dose", **keys}))
    return parts


def _baseline_values(p: Patients, groups: Grouping, instrument: str) -> Counted:
    j = p.judged(instrument, "score")
    rows = j.rows[_due(p, j.rows)]
    value = j.baseline[p.courses.patient[rows]].astype(np.int64)
    keys = {"instrument": instrument, "variable": "baseline", "axis": "baseline", "point": "0"}
    return valued(groups, groups.of_course[rows], value, keys)


def _due(p: Patients, rows: Array) -> Array:
    """Whether courses are due; where a protocol has no maturity (judged by week only), all are."""
    maturity = p.courses.maturity[rows].astype(np.int64)
    return (maturity >= NEVER) | p.block.due(rows, maturity)


def _first_courses(p: Patients) -> Array:
    return np.flatnonzero((p.courses.number == 1) & p.courses.observed)


def _session_days(p: Patients, groups: Grouping) -> list[Counted]:
    """Days from the first dose to the n-th session, of first courses that are due and reached it."""
    parts = []
    for w in windows(p.block, _first_courses(p), "session"):
        seen = w.due & w.given
        days = (w.lo[seen] >> 1) - p.courses.first[w.course[seen]]
        keys = {"variable": "days_to_session", "axis": "session", "point": (w.point[seen], w.labels)}
        parts.append(valued(groups, groups.of_course[w.course[seen]], days, keys))
    return parts


def _flow(p: Patients, groups: Grouping, instruments: Iterable[str]) -> list[Counted]:
    with_course = np.zeros(len(p), dtype=np.int64)
    with_course[p.courses.patient] = 1
    keys = {"unit": "patient", "step": "patients", "reason": (with_course, ("no_dose", "with_course"))}
    parts = [tabulate("flow", groups, groups.of_patient, keys)]
    parts += _retention(p, groups)
    for instrument in instruments:
        parts += _course_flow(p, groups, instrument)
        parts.append(_measured(p, groups, instrument))
    return parts


def _course_flow(p: Patients, groups: Grouping, instrument: str) -> list[Counted]:
    """What became of every course on one instrument, and whether the headline courses are due."""
    base, c = p.baselines(instrument), p.courses
    wanted = p.plan.population.ordinal
    entry = tuple(f"entry:{rule.column}" for rule in p.plan.population.entry)
    names = (*REASONS, *entry, "later_course" if wanted == 1 else "other_course")
    reason = np.where((base.reason == 0) & (base.index != wanted), len(names) - 1, base.reason)
    keys = {"unit": "course", "instrument": instrument, "step": "courses", "reason": (reason, names)}
    table = tabulate("flow", groups, groups.of_course, keys)
    persons = np.unique(np.stack([groups.of_course, reason, c.patient]), axis=1)
    people = tabulate("flow", groups, persons[0], keys | {"reason": (persons[1], names)})
    table = replace(table, counts={"n": table.counts["n"], "people": people.counts["n"]})
    rows = np.flatnonzero(base.index == wanted)
    due = _due(p, rows).astype(np.int64)
    keys = {"unit": "course", "instrument": instrument, "step": "due", "reason": (due, ("not_due", "due"))}
    return [table, tabulate("flow", groups, groups.of_course[rows], keys)]


def _retention(p: Patients, groups: Grouping) -> list[Counted]:
    """Who reached each session, from doses alone: first courses of visit protocols."""
    parts = []
    for w in windows(p.block, _first_courses(p), "session"):
        reason = np.where(w.due, w.given.astype(np.int64), 2)
        for point, label in enumerate(w.labels):
            own = w.point == point
            keys = {
                "unit": "course",
                "step": f"session:{label}",
                "reason": (reason[own], ("not_given", "given", "not_due")),
            }
            parts.append(tabulate("flow", groups, groups.of_course[w.course[own]], keys))
    return parts


MEASURED = ("not_due", "no_baseline", "baseline_only", "some", "end")


def _measured(p: Patients, groups: Grouping, instrument: str) -> Counted:
    """How far each person's first course got: a baseline, any later score, an end score. A partition."""
    rows = _first_courses(p)
    j, base = p.judged(instrument, "score"), p.baselines(instrument)
    reached = np.zeros(len(p.courses), dtype=np.int64)
    has_baseline = base.found
    reached[rows] = np.where(has_baseline[rows], 2, 1)
    by_week = p.courses.maturity[rows] >= NEVER
    for axis, own in (("end", rows[~by_week]), ("week", rows[by_week])):
        for w in windows(p.block, own, axis):
            found = pick(p.block, w, j.moments, j.patient, j.time)
            some = w.course[found.carried >= 0]
            reached[some[reached[some] == 2]] = 3
            if axis == "end":
                ended = w.course[found.judged >= 0]
                reached[ended[reached[ended] >= 2]] = 4
    reached[rows[~_due(p, rows)]] = 0
    keys = {
        "unit": "course",
        "instrument": instrument,
        "step": "measured",
        "reason": (reached[rows], MEASURED),
    }
    return tabulate("flow", groups, groups.of_course[rows], keys)


def row_flow(ledger: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The input rows' part of the flow: what became of each, table by table. Rows belong to no group."""
    reason = ledger["outcome"].where(ledger["reason"] == "", ledger["outcome"] + ":" + ledger["reason"])
    table = pd.DataFrame({"unit": "row", "instrument": "", "step": ledger["table"], "reason": reason})
    table = table.assign(**dict.fromkeys(by, NO_COURSE), n=ledger["n"], people=ledger["n"])
    return table[ledger["outcome"] != "read"]
