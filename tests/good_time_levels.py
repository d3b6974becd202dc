"""Good time once more, dose by dose: which level each dose is held against, and how much of it it was.

Plain fractions, nothing of the package. `good_time_reference` walks through the days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from reference import Course, Row

Level = tuple[Fraction, str]  # how much, in which unit

TRIALS: dict[str, tuple[int, int, str]] = {
    "iv6": (4, 6, "doses"),
    "iv6_weekly": (4, 6, "doses"),
    "im": (4, 6, "doses"),
    "esketamine": (4, 8, "doses"),
    "home": (30, 60, "days"),
}
LEVELS: dict[str, dict[tuple[str, str], Fraction]] = {
    "iv6": {("iv", "mg/kg"): Fraction(1, 2)},
    "iv6_weekly": {("iv", "mg/kg"): Fraction(1, 2)},
    "esketamine": {("intranasal", "mg"): Fraction(56)},
}
TOLERANCE = Fraction(1, 10**9)


@dataclass(frozen=True)
class GoodTime:
    """What the plan fixes about good time."""

    criterion: str = "phq9_response50"
    basis: str = "auto"
    fraction: Fraction = Fraction(9, 10)
    clock: str = "protocol"
    grace: int = 14
    calendar: tuple[int, ...] = (30, 60)
    mature: int = 180
    overdue: int = 120
    windows: tuple[int, int] | None = None
    levels: Mapping[tuple[str, str], Fraction] = field(default_factory=dict)
    target_preset: bool = False
    convert: str | None = None
    trials: Mapping[str, tuple[int, int, str]] = field(default_factory=lambda: TRIALS)
    protocol_levels: Mapping[str, Mapping[tuple[str, str], Fraction]] = field(default_factory=lambda: LEVELS)


@dataclass(frozen=True)
class Record:
    """What was given on one day by one route in one unit; amount None: not recorded."""

    day: int
    route: str | None
    unit: str | None
    amount: Fraction | None
    weight: Fraction | None


def records_of(rows: Iterable[Row], patient: str, days: Sequence[int]) -> list[Record]:
    """A course's doses, those of one day, route and unit added up; a blank amount makes the sum unknown."""
    together: dict[tuple[int, str | None, str | None], list[Row]] = {}
    for row in rows:
        if row["patient"] == patient and row["day"] in days and row.get("dose") != 0:
            key = (row["day"], row.get("route"), row.get("unit"))
            together.setdefault(key, []).append(row)
    records = []
    for (day, route, unit), parts in together.items():
        amounts = [exact(part.get("dose")) for part in parts]
        known = [amount for amount in amounts if amount is not None]
        weights = [
            weight for weight in (exact(part.get("weight_kg")) for part in parts) if weight is not None
        ]
        total = sum(known, Fraction(0)) if len(known) == len(amounts) else None
        records.append(Record(day, route, unit, total, max(weights) if weights else None))
    return sorted(records, key=lambda record: record.day)


def exact(value: float | None) -> Fraction | None:
    """A recorded number as the exact one that was written."""
    return None if value is None else Fraction(str(value))


def usable_target(person: Row, course: Course, rules: GoodTime) -> Level | None:
    """The person's target, if it was set before the course began."""
    target, unit, day = exact(person.get("target_dose")), person.get("target_unit"), person.get("target_day")
    if target is None or not unit:
        return None
    if day is None:
        return (target, unit) if rules.target_preset else None
    return (target, unit) if day <= course.first else None


def in_unit(record: Record, unit: str, person: Row, rules: GoodTime) -> Fraction | None:
    """The amount in this unit, by weight where the plan declares that conversion."""
    if record.amount is None:
        return None
    if record.unit == unit:
        return record.amount
    weight = record.weight if record.weight is not None else exact(person.get("weight_kg"))
    if not weight or rules.convert != f"{record.unit} to {unit}":
        return None
    return record.amount * weight if unit == "mg" else record.amount / weight


def levels_for(record: Record, course: Course, rules: GoodTime) -> list[Level]:
    """The fixed levels of this record's route: the plan's before the protocol's, its own unit first."""
    found = [
        (level, unit)
        for levels in (rules.levels, rules.protocol_levels.get(course.protocol, {}))
        for (route, unit), level in levels.items()
        if route == record.route
    ]
    return sorted(found, key=lambda pair: pair[1] != record.unit)


def has_level(record: Record, course: Course, rules: GoodTime) -> bool:
    """Whether a fixed level exists for this record, in its unit or in one the plan converts to."""
    units = (record.unit, (rules.convert or "").partition(" to ")[2])
    converts = (rules.convert or "").partition(" to ")[0] == record.unit
    return any(
        unit == units[0] or (converts and unit == units[1]) for _, unit in levels_for(record, course, rules)
    )


def share_of_level(
    record: Record, course: Course, records: Sequence[Record], person: Row, basis: str, rules: GoodTime
) -> Fraction | None:
    """How much of its level this dose was; None where it has no level, or no amount."""
    if record.amount is None:
        return None
    if basis == "maximum":
        same = [r.amount for r in records if (r.route, r.unit) == (record.route, record.unit)]
        highest = max(amount for amount in same if amount is not None)
        return record.amount / highest
    if basis == "target":
        target = usable_target(person, course, rules)
        candidates = [target] if target is not None else []
    else:
        candidates = levels_for(record, course, rules)
    for level, unit in candidates:
        amount = in_unit(record, unit, person, rules)
        if amount is not None:
            return amount / level
    return None


def basis_of(people: Iterable[Row], rules: GoodTime) -> str:
    """`auto`: by target where the people have such a column, filled or not, else by fixed level."""
    if rules.basis != "auto":
        return rules.basis
    return "target" if any("target_dose" in person for person in people) else "fixed"
