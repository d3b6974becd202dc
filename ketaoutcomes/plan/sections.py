"""The tables of the analysis plan that can change a number. Each key: default, what it may hold, meaning.

Clinical numbers (gates, cut-offs, schedules) are not here: they stand, cited, in the definitions, and the
plan names them. What stands here is how they are applied.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ketaoutcomes.frozen import FrozenMap
from ketaoutcomes.plan.keys import (
    Place,
    Reader,
    Section,
    cells,
    choice,
    echo,
    folded_table,
    is_list,
    is_whole,
    key,
    kind,
    nearest,
    number,
    switch,
    text,
    texts,
    whole,
    wholes,
)

ORDINALS = ("first", "second", "third", "fourth", "fifth")


@dataclass(frozen=True)
class EntryRule:
    """Only people whose `column` (of the people table) holds one of `values` are analysed."""

    column: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class DoseLevel:
    """A dose held to be adequate, for one route and unit."""

    route: str
    unit: str
    dose: float


def _record(names: tuple[str, ...], value: Any, place: Place) -> bool:
    """Whether `value` is a table of exactly these keys; mistakes are noted."""
    if not isinstance(value, Mapping):
        place.refuse(f"must be a table of {' and '.join(names)}; got {kind(value)}")
        return False
    for name in value:
        if name not in names:
            place.at(name).refuse(f"is not a key of this table{nearest(name, names, listing=True)}")
    for name in names:
        if name not in value:
            place.refuse(f"lacks {name}")
    return set(value) == set(names)


def _entry() -> Reader:
    wanted = 'a list of { column = "...", is = "..." }'

    def rule(value: Any, place: Place) -> EntryRule | None:
        if isinstance(value, EntryRule):
            value = {"column": value.column, "is": value.values}
        if not _record(("column", "is"), value, place):
            return None
        column = text().read(value["column"], place.at("column"))
        return EntryRule(column, cells().read(value["is"], place.at("is")))

    def read(value: Any, place: Place) -> tuple[EntryRule | None, ...] | None:
        if not is_list(value):
            return place.refuse(f"must be {wanted}; got {kind(value)}")
        return tuple(rule(item, place.at(index)) for index, item in enumerate(value))

    return Reader(wanted, read)


def _levels() -> Reader:
    wanted = 'a table { route = "...", unit = "...", dose = ... }, or a list of them'

    def level(value: Any, place: Place) -> DoseLevel | None:
        if isinstance(value, DoseLevel):
            value = {"route": value.route, "unit": value.unit, "dose": value.dose}
        if not _record(("route", "unit", "dose"), value, place):
            return None
        route = text().read(value["route"], place.at("route"))
        unit = text().read(value["unit"], place.at("unit"))
        return DoseLevel(route, unit, number(0.001, 100_000).read(value["dose"], place.at("dose")))

    def read(value: Any, place: Place) -> tuple[DoseLevel | None, ...] | None:
        if isinstance(value, Mapping | DoseLevel):
            return (level(value, place),)
        if not is_list(value) or not value:
            return place.refuse(f"must be {wanted}; got {kind(value)}")
        found = tuple(level(item, place.at(index)) for index, item in enumerate(value))
        known = [(item.route, item.unit) for item in found if item is not None]
        if len(set(known)) < len(known):
            place.refuse("gives two levels for one route and unit")
        return found

    return Reader(wanted, read)


def _first_record() -> Reader:
    wanted = 'a date such as "2025-04-01", a whole number (a day), or ""'

    def read(value: Any, place: Place) -> str | int | None:
        if value == "":
            return None
        if is_whole(value):
            return int(value)
        if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
            return value.isoformat()
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
            try:
                return datetime.date.fromisoformat(value).isoformat()
            except ValueError:
                return place.refuse(f"is not a day of the calendar; got {echo(value)}")
        return place.refuse(f"must be {wanted}; got {kind(value)}")

    return Reader(wanted, read)


_EVERY = re.compile(r"every ([1-9]\d{0,2}) days")


def _schedule() -> Reader:
    wanted = 'one of "every session", "every 14 days" (any number of days), "end"'

    def read(value: Any, place: Place) -> str | None:
        if isinstance(value, str) and (value in {"every session", "end"} or _EVERY.fullmatch(value)):
            return value
        hint = (
            nearest(value, ["every session", "every 14 days", "end"], quote='"')
            if isinstance(value, str)
            else ""
        )
        return place.refuse(f"must be {wanted}; got {echo(value)}{hint}")

    return Reader(wanted, read)


@dataclass(frozen=True, kw_only=True)
class Population(Section, section="population", about="who is analysed"):
    """Who is analysed."""

    courses: str = key(
        "first",
        choice(*ORDINALS),
        "which eligible course of each person counts: each person once, repeats apart",
    )
    observed_from: str | int | None = key(
        None,
        _first_record(),
        "day records begin; courses starting within their course gap after it are left out",
        '""',
    )
    entry: tuple[EntryRule, ...] = key(
        (), _entry(), 'applied in order: { column = "prior_ketamine", is = "no" }, or is = ["no", "unknown"]'
    )
    complete: bool = key(False, switch(), "undated data only: true = nothing more will come")

    @property
    def ordinal(self) -> int:
        """Which eligible course of a person counts, as a number from 1."""
        return ORDINALS.index(self.courses) + 1

    def contradictions(self, place: Place) -> None:
        """An entry rule for one column twice leaves only those who pass both: almost always a slip."""
        columns = [rule.column for rule in self.entry]
        for index, column in enumerate(columns):
            if column in columns[:index]:
                place.at("entry").at(index).refuse(
                    f"has a second rule for {echo(column)}; list the values in one"
                )


@dataclass(frozen=True, kw_only=True)
class Baseline(Section, section="baseline", about="the score before the first dose, and how high it must be"):
    """Which score counts as baseline, and from where on it is judged."""

    take: str = key("last", choice("last"), "which score of the window")
    within_days: int = key(14, whole(0, 365), "days before the first dose, that day included (house)")
    gate: Mapping[str, int] = key(
        FrozenMap(),
        folded_table(whole(0, 1000), "a table from instruments to whole numbers of points"),
        "mildest baseline judged, where it is not the gate cited in the instrument's definition; 0 = any",
    )


@dataclass(frozen=True, kw_only=True)
class Scores(Section, section="scores", about="how answers become scores"):
    """How answers become scores."""

    prorate: str = key(
        "published",
        choice("published", "never"),
        'blank items: by the instrument\'s published rule; "never" = no total with a blank item',
    )
    dosing_day: str = key(
        "before",
        choice("before", "after"),
        "a score on a dosing day precedes the dose, unless timing says otherwise",
    )


@dataclass(frozen=True, kw_only=True)
class Assessments(Section, section="assessments", about="when scores are expected"):
    """When scores are expected: a point that is not scheduled is no failure."""

    schedule: str = key("every session", _schedule(), '"every session", "every 14 days" (any number), "end"')

    @property
    def every_days(self) -> int | None:
        """The interval of the schedule in days, or None where it is not by days.

        >>> Assessments(schedule="every 14 days").every_days
        14
        """
        found = _EVERY.fullmatch(self.schedule)
        return int(found[1]) if found else None


@dataclass(frozen=True, kw_only=True)
class Criteria(
    Section, section="criteria", about="what is judged, by full names; each is cited in its definition"
):
    """The criteria judged, by full names."""

    primary: tuple[str, ...] = key(
        ("phq9_response50", "phq9_remission_lt5", "pcl5_reliable15", "pcl5_below33"),
        texts(wanted="a list of criteria", empty=False),
        "the headline",
    )
    also: tuple[str, ...] = key((), texts(wanted="a list of criteria"), "on request")

    def contradictions(self, place: Place) -> None:
        """A criterion is either a headline or on request."""
        for index, name in enumerate(self.also):
            if name in self.primary:
                place.at("also").at(index).refuse(f"is already primary: {echo(name)}")


@dataclass(frozen=True, kw_only=True)
class Points(Section, section="points", about="when it is judged; listed here, never taken from the data"):
    """The points in time at which courses are judged."""

    weeks: tuple[int, ...] = key((1, 2, 4, 6, 8, 12), wholes(1, 520), "weeks after the first dose")
    week_margin_days: int = key(
        3, whole(0, 90), "days around a week's day; the nearest score, ties to the later"
    )
    end_days: tuple[int, int, int] = key(
        (1, 14, 31),
        wholes(1, 365, count=3, ties=True),
        "earliest, ideal, latest day after the last induction dose",
    )
    curve_days: int = key(365, whole(1, 3650), "length of the curves")

    def contradictions(self, place: Place) -> None:
        """Windows must not touch: one score would be judged at two points, or before the first dose."""
        gaps = [b - a for a, b in zip(self.weeks, self.weeks[1:], strict=False)]
        widest = min([7 * self.weeks[0] - 1, *((7 * gap - 1) // 2 for gap in gaps)])
        if self.week_margin_days > widest:
            place.at("week_margin_days").refuse(
                f"must be at most {widest} with weeks {list(self.weeks)[:12]}, or windows overlap;"
                f" got {self.week_margin_days}"
            )


@dataclass(frozen=True, kw_only=True)
class Rates(Section, section="rates", about="how rates are estimated"):
    """How rates are estimated."""

    interval: str = key("wilson", choice("wilson", "exact", "jeffreys"), '"wilson", "exact", "jeffreys"')
    level: float = key(0.95, number(0.5, 0.999), "confidence level")


@dataclass(frozen=True, kw_only=True)
class GoodTime(
    Section, section="good_time", about="time at a dose that could have worked; no study has validated it"
):
    """Time at a dose that could have worked."""

    basis: str = key(
        "auto",
        choice("auto", "target", "fixed", "maximum"),
        "auto: people.target_dose where given, else fixed: the protocol's level; maximum: notebooks only",
    )
    fraction: float = key(0.9, number(0.01, 1), "of the level that counts as adequate (the FAQ: 90 of 100)")
    clock: str = key(
        "protocol",
        choice("protocol", "cumulative", "doses", "first_reach", "contiguous"),
        "cumulative for day trials, doses for visit trials, unless named",
    )
    grace_days: int = key(14, whole(0, 365), "days after cover ended (house)")
    calendar_days: tuple[int, ...] = key(
        (30, 60), wholes(1, 3650), "calendar verdicts (the FAQ: one month, two)"
    )
    mature_days: int = key(180, whole(1, 3650), "courses this old are judged whole (house)")
    overdue_days: int = key(120, whole(1, 3650), "level not reached by then (house)")
    windows: tuple[int, int] | None = key(
        None, wholes(1, 3650, count=2), "days or doses, instead of the protocol's", "[30, 60]"
    )
    level: tuple[DoseLevel, ...] | None = key(
        None,
        _levels(),
        "instead of the protocol's level",
        '{ route = "sublingual", unit = "mg", dose = 300 }',
    )
    criterion: str = key("phq9_response50", text(), "the response that ends the wait")
    target_preset: bool = key(
        False, switch(), "attests that targets without a target_day were set before the first dose"
    )
    convert: str | None = key(
        None,
        choice("mg/kg to mg", "mg to mg/kg"),
        "by weight_kg, for a dose that has no level in its own unit",
        '"mg/kg to mg"',
    )
    min_at_risk: int = key(20, whole(1, 10_000), "delayed-entry curves start where so many are at risk")

    def contradictions(self, place: Place) -> None:
        """A course must outlive its last calendar verdict, and a level must be of use."""
        if self.mature_days < self.calendar_days[-1]:
            place.at("mature_days").refuse(
                f"must reach the last of calendar_days, {self.calendar_days[-1]}; got {self.mature_days}"
            )
        if self.level is not None and self.basis in {"target", "maximum"}:
            place.at("level").refuse(
                f'has no use with basis = "{self.basis}"; write basis = "fixed", or leave it out'
            )


@dataclass(frozen=True, kw_only=True)
class Report(
    Section, section="report", about="who may read the report; not analysis, outside the plan's hash"
):
    """Who may read the report."""

    audience: str = key("shared", choice("shared", "internal"), '"internal": exact counts, watermarked')
    profile: str = key(
        "cms11", choice("cms11", "opensafely"), 'how small counts are hidden: "cms11", "opensafely"'
    )
