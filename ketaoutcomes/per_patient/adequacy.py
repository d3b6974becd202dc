"""Which doses are adequate: each judged in its own route and unit against a level fixed beforehand.

The level is the patient's target, set before the first dose, or the plan's or protocol's level for the route
and unit. There is deliberately no "dose at which the patient responded". A dose that has no level makes its
course not comparable, and the reason is kept, so that the plan line that would mend it can be told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.per_patient.courses import laid_out
from ketaoutcomes.records.coding import text_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ketaoutcomes.per_patient.patients import Patients
    from ketaoutcomes.plan import Plan
    from ketaoutcomes.records.cohort import Cohort

Array = Any
Find = Callable[[Array, Array, Array], Any]  # routes, units, courses -> levels
BASES = ("target", "fixed", "maximum")
TOLERANCE = 1e-9  # relative: 0.45 mg/kg meets 0.9 x 0.5 mg/kg, which floating point puts just above it

JUDGED, NO_TARGET, TARGET_NOT_PRESET, NO_LEVEL, NO_AMOUNT, DOSE_WITHOUT_LEVEL, NO_WEIGHT = range(7)
LEVEL_REASONS = (
    "judged",
    "no_target",
    "target_not_preset",
    "no_level",
    "no_amount",
    "dose_without_level",
    "no_weight",
)

NO_LEVEL_REASONS = (NO_TARGET, TARGET_NOT_PRESET, NO_LEVEL)  # the others make a course not comparable


def basis_of(cohort: Cohort, plan: Plan, asked: str | None = None) -> str:
    """What counts as the level for this whole cohort: target, fixed or maximum.

    `auto` is the target where people have a column `target_dose`, whatever stands in it, so that a split by
    patient cannot change it.
    """
    basis = asked or plan.good_time.basis
    if basis == "auto":
        return "target" if "target_dose" in cohort.people else "fixed"
    return basis


@dataclass(frozen=True, eq=False)
class Adequacy:
    """Each dose day of some courses judged, each course's level, and the reason where it has none.

    `at` are positions among the block's dose days and `of` the course of each, as a position in `rows`;
    `start`, one longer than `rows`, delimits each course's dose days. `reason` indexes LEVEL_REASONS.
    """

    rows: NDArray[np.int64]
    at: NDArray[np.int64]
    of: NDArray[np.int64]
    start: NDArray[np.int64]
    adequate: NDArray[np.bool_]
    level: NDArray[np.float64]
    reason: NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class _Records:
    """Dose records: the dose day and course of each, its amount, and the level it is held against."""

    row: NDArray[np.int64]
    day: NDArray[np.int64]
    whose: NDArray[np.int64]
    amount: NDArray[np.float64]
    level: NDArray[np.float64]
    lacks_weight: NDArray[np.bool_]


def judge_doses(p: Patients, rows: Array, basis: str) -> Adequacy:
    """Judge every dose day of these courses, up to the last day on record."""
    c = p.courses
    start, of, at = laid_out(c.start[rows], c.stop[rows])
    row, day = _records(p, at)
    judged = _Records(row, day, of[day], *_levels(p, rows, basis, row, of[day]))
    fraction = p.plan.good_time.fraction * (1 - TOLERANCE)
    with np.errstate(invalid="ignore"):
        enough = judged.amount >= fraction * judged.level
    adequate = enough if len(row) == len(at) else _any(enough, day, len(at))
    level, reason = _course_levels(p, rows, start, basis, judged)
    return Adequacy(rows, at, of, start, adequate, level, reason)


def _any(yes: Array, group: Array, groups: int) -> NDArray[np.bool_]:
    return np.bincount(group[yes], minlength=groups) > 0


def _records(p: Patients, at: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The dose records of some dose days, in order, and the position in `at` each belongs to."""
    days, doses = p.block.days, p.doses
    first = days.row[at]
    n = len(doses.patient)
    fresh = np.ones(n + 1, dtype=bool)
    fresh[1:-1] = (doses.patient[1:] != doses.patient[:-1]) | (doses.day[1:] != doses.day[:-1])
    if fresh.all():
        return first, np.arange(len(at))
    bounds = np.flatnonzero(fresh)
    after = bounds[np.searchsorted(bounds, first) + 1] if len(first) else first
    _, position, row = laid_out(first, after)
    return row, position


def _levels(p: Patients, rows: Array, basis: str, record: Array, whose: Array) -> tuple[Array, Array, Array]:
    """Each record's amount and the level it is held against, both in one unit; and which lack a weight.

    A level is NaN where there is none. A declared conversion is used only where a dose has no level in its
    own unit.
    """
    doses = p.doses
    amount = doses.amount[record]
    if basis == "maximum":
        return amount, _maximum(p, record, whose), np.zeros(len(record), dtype=bool)
    units, into = _units(p)
    find = _targets(p, rows, units) if basis == "target" else _fixed(p, rows, units)
    route, unit = doses.route[record], doses.unit[record]
    level = find(route, unit, whose)
    if into is None:
        return amount, level, np.zeros(len(record), dtype=bool)
    source, wanted_unit = into
    other = find(route, np.full(len(record), wanted_unit), whose)
    convert = np.isnan(level) & (unit == source) & ~np.isnan(other)
    weight = _weights(p, record)
    lacks = convert & np.isnan(weight)
    convert &= ~lacks
    with np.errstate(invalid="ignore"):
        converted = amount * weight if units[wanted_unit] == "mg" else amount / weight
    return np.where(convert, converted, amount), np.where(convert, other, level), lacks


def _units(p: Patients) -> tuple[tuple[str, ...], tuple[int, int] | None]:
    """The units levels may stand in, and the codes a declared conversion leads from and to."""
    units, convert = p.doses.units, p.plan.good_time.convert
    if convert is None:
        return units, None
    source, wanted = convert.split(" to ")
    if source not in units:
        return units, None
    if wanted not in units:
        units = (*units, wanted)
    return units, (units.index(source), units.index(wanted))


def _weights(p: Patients, record: Array) -> NDArray[np.float64]:
    """Body weight at each dose record, else the person's; NaN where neither was recorded."""
    weight = p.doses.weight[record]
    people = p.setting.cohort.people
    if "weight_kg" in people:
        own = people["weight_kg"].to_numpy(dtype=np.float64)[p.low : p.high][p.doses.patient[record]]
        weight = np.where(np.isnan(weight), own, weight)
    return np.where(weight > 0, weight, np.nan)


def _fixed(p: Patients, rows: Array, units: tuple[str, ...]) -> Find:
    """The level of a route and unit: the plan's, else that of the course's protocol."""
    routes, protocols = p.doses.routes, p.block.rule.protocols
    # Code -1, a blank route or unit, finds the last place, which stays empty.
    table = np.full((len(protocols), len(routes) + 1, len(units) + 1), np.nan)
    for code, protocol in enumerate(protocols):
        levels = {(item.route, item.unit): float(item.dose) for item in protocol.levels}
        levels |= {(item.route, item.unit): item.dose for item in p.plan.good_time.level or ()}
        for (route, unit), dose in levels.items():
            if route in routes and unit in units:
                table[code, routes.index(route), units.index(unit)] = dose
    protocol_of = p.courses.protocol[rows]

    def find(route: Array, unit: Array, whose: Array) -> NDArray[np.float64]:
        found: NDArray[np.float64] = table[protocol_of[whose], route, unit]
        return found

    return find


def _targets(p: Patients, rows: Array, units: tuple[str, ...]) -> Find:
    """The patient's target, where the dose is in its unit."""
    target, unit_code = _stated_targets(p, units)
    patient = p.courses.patient[rows]
    own_target, own_unit = target[patient], unit_code[patient]

    def find(route: Array, unit: Array, whose: Array) -> NDArray[np.float64]:
        return np.where((unit >= 0) & (unit == own_unit[whose]), own_target[whose], np.nan)

    return find


def _stated_targets(p: Patients, units: tuple[str, ...]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Each patient's target and its unit's code; -1 where the unit is one that no dose has."""
    people = p.setting.cohort.people
    if "target_dose" not in people or "target_unit" not in people:
        return np.full(len(p), np.nan), np.full(len(p), -1)
    target = people["target_dose"].to_numpy(dtype=np.float64)[p.low : p.high]
    codes, labels = text_codes(people["target_unit"].iloc[p.low : p.high], lower=True)
    lookup = np.array([units.index(name) if name in units else -1 for name in labels] + [-1], dtype=np.int64)
    return np.where((target > 0) & (codes >= 0), target, np.nan), lookup[codes]


def _maximum(p: Patients, record: Array, whose: Array) -> NDArray[np.float64]:
    """The highest amount of the course in the same route and unit, whenever it was given."""
    doses = p.doses
    kind = (doses.route[record].astype(np.int64) + 1) * (len(doses.units) + 1) + doses.unit[record] + 1
    key = whose * ((len(doses.routes) + 1) * (len(doses.units) + 1)) + kind
    _, group = np.unique(key, return_inverse=True)
    highest = np.full(len(record), np.nan)
    np.fmax.at(highest, group, doses.amount[record])
    found: NDArray[np.float64] = highest[group]
    return found


def _course_levels(
    p: Patients, rows: Array, start: Array, basis: str, judged: _Records
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Each course's level, that of its first dose, and the first reason why it cannot be judged."""
    n = len(rows)
    reason = np.zeros(n, dtype=np.int8)
    if not n:
        return np.full(n, np.nan), reason
    whose, missing = judged.whose, np.isnan(judged.level)
    reason[_any(missing & ~judged.lacks_weight, whose, n)] = DOSE_WITHOUT_LEVEL
    reason[_any(judged.lacks_weight, whose, n)] = NO_WEIGHT
    reason[_any(~missing & np.isnan(judged.amount), whose, n)] = NO_AMOUNT
    first = np.searchsorted(judged.day, start[:-1])
    level = judged.level[first]
    if basis == "fixed":
        on_first_day = judged.day == start[:-1][whose]
        known = ~missing | judged.lacks_weight
        reason[~_any(on_first_day & known, whose, n)] = NO_LEVEL
    elif basis == "target":
        level = _usable_targets(p, rows, reason)
    return level, reason


def _usable_targets(p: Patients, rows: Array, reason: Array) -> NDArray[np.float64]:
    """Each course's target; `reason` says where it is blank, or may have been set with hindsight."""
    people, c = p.setting.cohort.people, p.courses
    patient = c.patient[rows]
    target = _stated_targets(p, p.doses.units)[0][patient]
    day = np.full(len(p), np.nan)
    if "target_day" in people:
        day = people["target_day"].to_numpy(dtype=np.float64)[p.low : p.high]
    own = day[patient]
    preset = np.where(np.isnan(own), p.plan.good_time.target_preset, own <= c.first[rows])
    reason[~preset.astype(bool)] = TARGET_NOT_PRESET
    reason[np.isnan(target)] = NO_TARGET
    return target
