"""From TOML to definitions, with every mistake found at once: file, key, what is needed."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from ketaoutcomes.definitions.criteria import RULES
from ketaoutcomes.definitions.model import (
    FAMILIES,
    Band,
    Cluster,
    Criterion,
    Diagnosis,
    Instrument,
    Level,
    Loinc,
    Norm,
    Protocol,
    Reliability,
    suggestion,
)
from ketaoutcomes.definitions.section import Section, is_name
from ketaoutcomes.frozen import FrozenMap


def read_instrument(file: Section) -> Instrument | None:
    """The instrument a file describes, or None where there is a mistake (noted) or no instrument."""
    own = file.section("instrument")
    if own is None:
        return None
    name, title = own.name("id"), own.text("title")
    if re.search(r"_\d+$", name):
        own.note("id", "must not end in an underscore and a number: that is how item columns are named")
    items = own.whole("items", 0, 125)
    item_low, item_high = own.pair("item_range", 0, 125) or (0, 0) if items else (0, 0)
    low, high = own.pair("range", 0, 30_000) or (0, 1)
    if not own.has("range"):
        own.note("range", "the lowest and the highest total are needed")
    combine = own.choice("combine", ("sum", "mean", "max_of_groups"), "sum")
    max_missing = own.whole("max_missing", 0, max(items - 1, 0), 0)
    instrument = Instrument(
        id=name,
        title=title,
        items=items,
        item_low=item_low,
        item_high=item_high,
        low=low,
        high=high,
        ticks=own.whole("ticks", 1, 1_000_000, _ticks(items, combine, max_missing)),
        worse=own.choice("worse", ("higher", "lower")),  # type: ignore[arg-type]
        combine=combine,  # type: ignore[arg-type]
        groups=_groups(own, items),
        max_missing=max_missing,
        gate=own.optional("gate", low, high),
        recall_days=own.whole("recall_days", 1, 366),
        bands=_bands(file),
        clusters=_clusters(file, items),
        diagnosis=_diagnosis(file),
        flag_item=own.optional("flag_item", 1, items) if items else None,
        labels=_labels(file),
        reliability=_reliability(file),
        norms=_norms(file),
        families=_families(file),
        loinc=_loinc(file, items),
        cites=_cites(file, own),
        criteria=(),
    )
    own.close()
    if file.is_sound():
        _check_instrument(file, instrument)
    return instrument if file.is_sound() else None


def _ticks(items: int, combine: str, max_missing: int) -> int:
    """The fewest ticks per point that make every permitted total a whole number of ticks."""
    if combine == "mean":
        return math.lcm(*(items - gone for gone in range(max_missing + 1))) if items else 1
    return math.lcm(*(Fraction(items, items - gone).denominator for gone in range(1, max_missing + 1)))


def _groups(own: Section, items: int) -> tuple[tuple[int, ...], ...]:
    groups = own.entries("groups")
    if groups is None:
        return ()
    numbers = [number for group in groups if isinstance(group, list) and len(group) > 1 for number in group]
    whole = all(type(number) is int and 1 <= number <= items for number in numbers)
    if whole and len(set(numbers)) == len(numbers) > len(groups):
        return tuple(tuple(group) for group in groups if isinstance(group, list) and len(group) > 1)
    own.note("groups", f"lists of two or more item numbers from 1 to {items}, each item once, are needed")
    return ()


def _bands(file: Section) -> tuple[Band, ...]:
    bands = []
    for section in file.sections("bands"):
        low, high = section.pair("range", 0, 30_000) or (0, 0)
        bands.append(Band(section.text("name"), low, high))
        section.close()
    return tuple(bands)


def _clusters(file: Section, items: int) -> tuple[Cluster, ...]:
    section = file.section("clusters")
    if section is None:
        return ()
    return tuple(Cluster(name, section.wholes(name, 1, items)) for name in section.given())


def _diagnosis(file: Section) -> Diagnosis | None:
    section = file.section("diagnosis")
    if section is None:
        return None
    needed = section.section("clusters")
    counts = {name: needed.whole(name, 1, 125) for name in needed.given()} if needed is not None else {}
    if not counts:
        section.note("clusters", "how many items of each cluster is needed")
    diagnosis = Diagnosis(section.text("title"), section.whole("item_at_least", 0, 125), FrozenMap(counts))
    section.close()
    return diagnosis


def _labels(file: Section) -> FrozenMap[int]:
    section = file.section("labels")
    return FrozenMap({label: section.whole(label, 0, 125) for label in section.given()} if section else {})


def _reliability(file: Section) -> tuple[Reliability, ...]:
    found = []
    for section in file.sections("reliability"):
        entry = Reliability(
            section.number("sd"), section.number("r"), section.text("kind"), section.text("cite")
        )
        section.close()
        if not 0 < entry.r < 1 or entry.sd <= 0:
            section.note("r", "needs to lie between 0 and 1, and sd above 0")
        found.append(entry)
    return tuple(found)


def _norms(file: Section) -> tuple[Norm, ...]:
    found: list[Norm] = []
    for section in file.sections("norms"):
        norm = Norm(
            population=section.choice("population", ("functional", "dysfunctional")),  # type: ignore[arg-type]
            mean=section.number("mean"),
            sd=section.number("sd"),
            n=section.whole("n", 1, 1_000_000_000),
            cite=section.text("cite"),
        )
        section.close()
        if section.is_sound() and norm.sd <= 0:
            section.note("sd", "needs to lie above 0")
        if norm.population in [known.population for known in found]:
            section.note("population", f"there is a {norm.population} norm already")
        found.append(norm)
    return tuple(found)


def _families(file: Section) -> FrozenMap[str]:
    """Which criterion stands for each family; whether it is there is looked up once all are read."""
    section = file.section("families")
    if section is None:
        return FrozenMap()
    families = FrozenMap({family: section.name(family) for family in FAMILIES if section.has(family)})
    section.close()
    return families


def _loinc(file: Section, items: int) -> Loinc | None:
    section = file.section("loinc")
    if section is None:
        return None
    codes = section.entries("items") or []
    if not all(isinstance(code, str) for code in codes) or len(codes) not in (0, items):
        section.note("items", f"a list of {items} codes is needed")
        codes = []
    loinc = Loinc(section.text("panel"), section.text("total"), tuple(codes))
    section.close()
    return loinc


_CITED = ("gate", "flag_item", "bands", "clusters", "diagnosis", "labels", "loinc")


def _cites(file: Section, own: Section) -> FrozenMap[str]:
    """The citations: one for every number there is, none for what there is not."""
    given = [key for key in _CITED if own.has(key) or file.has(key)]
    needed = ["scoring", "missing_items", "recall_days", *given]
    section = file.section("cites")
    if section is None:
        if not file.has("cites"):
            file.note("cites", 'a table [cites] is needed: a source for every number, or "house"')
        return FrozenMap()
    cites = FrozenMap({key: section.text(key) for key in needed})
    section.close()
    return cites


def _check_instrument(file: Section, it: Instrument) -> None:
    """What must hold between the numbers of an instrument."""
    if it.low >= it.high:
        file.note("instrument.range", "the lowest total must come before the highest")
    if it.items:
        _check_items(file, it)
    elif it.clusters or it.diagnosis or it.groups:
        file.note("instrument.items", "clusters, groups and a diagnosis need items")
    edges = [it.low, *(band.high + 1 for band in it.bands)]
    starts = [*(band.low for band in it.bands), it.high + 1]
    if it.bands and edges != starts:
        file.note("bands", f"must follow each other without a gap from {it.low} to {it.high}")
    sizes = {cluster.name: len(cluster.items) for cluster in it.clusters}
    for name, count in it.diagnosis.clusters.items() if it.diagnosis else ():
        if name not in sizes:
            file.note(f"diagnosis.clusters.{name}", f"no such cluster{suggestion(name, sizes)}")
        elif count > sizes[name]:
            file.note(f"diagnosis.clusters.{name}", f"the cluster has only {sizes[name]} items")
    if any(not it.item_low <= value <= it.item_high for value in it.labels.values()):
        file.note("labels", f"a label stands for an answer from {it.item_low} to {it.item_high}")


def _check_items(file: Section, it: Instrument) -> None:
    if it.item_low >= it.item_high:
        file.note("instrument.item_range", "two numbers, the lowest answer first, are needed")
    if (it.combine == "max_of_groups") != bool(it.groups):
        file.note("instrument.groups", 'go with combine = "max_of_groups", and with no other')
    if it.combine == "max_of_groups" and it.max_missing:
        file.note("instrument.max_missing", "must be 0 where groups count by their highest item")
    if it.items * it.high * it.ticks >= 2**31:
        file.note("instrument.max_missing", "so many blank items cannot be prorated exactly")
    counted = 1 if it.combine == "mean" else it.items - sum(len(group) - 1 for group in it.groups)
    if (it.low, it.high) != (counted * it.item_low, counted * it.item_high):
        needed = f"[{counted * it.item_low}, {counted * it.item_high}]"
        file.note("instrument.range", f"{it.items} items scored this way give {needed}")
    if it.ticks % _ticks(it.items, it.combine, it.max_missing):
        least = _ticks(it.items, it.combine, it.max_missing)
        file.note("instrument.ticks", f"a multiple of {least} is needed, or proration would not be exact")


def read_criterion(section: Section, instrument: Instrument | None) -> Criterion | None:
    """One criterion of an instrument, or None where there is a mistake (noted).

    Without an instrument (its own file was wrong) only the mistakes that need none are found.
    """
    short, title, cite = section.name("short"), section.text("title"), section.text("cite")
    rule_name = section.choice("rule", RULES)
    rule = RULES[rule_name]
    value = section.number("value") if rule.value != "none" else Fraction(0)
    limit = section.number("limit") if rule.limit != "none" else None
    section.close()
    if not section.is_sound() or instrument is None:
        return None
    _check_number(section, "value", value, rule.value, instrument)
    if limit is not None:
        _check_number(section, "limit", limit, rule.limit, instrument)
    if rule_name == "fall_between_percent" and limit is not None and limit <= value:
        section.note("limit", "must lie above value")
    if rule.variable == "diagnosis" and instrument.diagnosis is None:
        section.note("rule", f"{instrument.id} has no [diagnosis]")
    if not section.is_sound():
        return None
    return Criterion(
        name=f"{instrument.id}_{short}",
        instrument=instrument.id,
        short=short,
        title=title,
        rule=rule_name,
        value=value,
        limit=limit,
        variable=rule.variable,
        worse=instrument.worse,
        uses_baseline=rule.uses_baseline,
        cite=cite,
    )


def _check_number(section: Section, key: str, number: Fraction, unit: str, instrument: Instrument) -> None:
    if unit == "percent" and not 0 < number <= 100:
        section.note(key, "a percentage above 0 and up to 100 is needed")
    if unit == "change" and not 0 < number <= instrument.high - instrument.low:
        section.note(
            key, f"a number of points above 0 and up to {instrument.high - instrument.low} is needed"
        )
    if unit == "score" and not instrument.low <= number <= instrument.high:
        section.note(key, f"a score from {instrument.low} to {instrument.high} is needed")
    if number.denominator > 1000:
        section.note(key, "at most three decimals are needed")


def read_protocol(name: str, section: Section) -> Protocol | None:
    """One protocol, or None where there is a mistake (noted)."""
    if not is_name(name):
        section.note("", "a protocol is named in lower-case letters, digits and underscores")
    visits = section.optional("visits", 1, 1000)
    units = ("doses", "days")
    protocol = Protocol(
        id=name,
        title=section.text("title"),
        visits=visits,
        session_window=section.optional("session_window", 1, 366),
        induction_limit=section.optional("induction_limit", 1, 3660),
        carry=section.pair("carry", 1, 3660),
        course_gap=section.optional("course_gap", 1, 3660),
        maturity=section.optional("maturity", 1, 3660),
        end_week=section.optional("end_week", 1, 520),
        planned_days=section.wholes("planned_days", 0, 3660, visits),
        trial=section.pair("trial", 1, 3660),
        trial_unit=section.choice("trial_unit", units) if section.has("trial_unit") else None,  # type: ignore[arg-type]
        levels=tuple(_level(entry) for entry in section.sections("levels")),
        cites=FrozenMap({"schedule": section.text("cite")}),
    )
    section.close()
    if section.is_sound():
        _check_protocol(section, protocol)
    return protocol if section.is_sound() else None


def _level(section: Section) -> Level:
    level = Level(section.text("route"), section.text("unit"), section.number("dose"), section.text("cite"))
    section.close()
    if section.is_sound() and level.dose <= 0:
        section.note("dose", "a dose above 0 is needed")
    return level


def _check_protocol(section: Section, it: Protocol) -> None:
    """What must hold between the numbers of a protocol."""
    for key in ("session_window", "induction_limit", "maturity"):
        if it.visits is not None and getattr(it, key) is None:
            section.note(key, "is needed where visits are counted")
    for key in ("session_window", "induction_limit"):
        if it.visits is None and getattr(it, key) is not None:
            section.note(key, "has no meaning where no visits are counted")
    if it.visits is not None and it.end_week is not None:
        section.note("end_week", "has no meaning where visits are counted: the end is that of induction")
    if it.end_week is not None and (it.maturity is None or it.maturity < 7 * it.end_week):
        section.note("maturity", f"must reach week {it.end_week}: at least {7 * it.end_week} days")
    if it.induction_limit and it.maturity and it.maturity <= it.induction_limit:
        section.note("maturity", "must come after the induction limit")
    if list(it.planned_days) != sorted(set(it.planned_days)):
        section.note("planned_days", "must rise")
    if (it.trial is None) != (it.trial_unit is None):
        section.note("trial", 'goes with trial_unit ("doses" or "days")')
    if it.trial is not None and it.trial[0] >= it.trial[1]:
        section.note("trial", "the shorter window comes first")
