"""What others published, as data: series to set one's own rates beside, and treatments that may interfere.

Every number stands, cited, in the TOML files beside this module. What of a published rule cannot be applied
to one's own records is part of the entry, so that it is printed with the rates.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from importlib import resources
from typing import Any

from ketaoutcomes.definitions.model import DefinitionError, FrozenMap, suggestion
from ketaoutcomes.definitions.section import Section, parse

AXES = ("session", "week", "end")
KINDS = ("current", "ever")
ANALYSES = ("observed", "nri")
SURE = ("abstract", "poster")


@dataclass(frozen=True)
class Reported:
    """One published rate: `rate` of 1, judged by `criterion` at `point`; `n` is None where not stated."""

    criterion: str
    point: str
    rate: Fraction
    n: int | None


@dataclass(frozen=True)
class Series:
    """One published series: who they kept, when and how they judged, and what they found.

    `doses` holds the fewest and, where there is one, the most doses within `doses_within_days` of the first;
    `span_days` the fewest days from the first to the last of those. `plan` holds what changes in the
    analysis plan; `protocol`, where given, judges everyone. `charts` is how many the authors started from
    (None: not stated), `n` how many they analysed. `not_applied` pairs a rule with why it cannot be applied.
    """

    id: str
    title: str
    cite: str
    sure: str
    charts: int | None
    n: int
    routes: tuple[str, ...]
    doses: tuple[int, ...]
    doses_within_days: int | None
    span_days: int | None
    protocol: str | None
    at: str
    kind: str
    analysis: str
    plan: FrozenMap[Any]
    reported: tuple[Reported, ...]
    not_applied: tuple[tuple[str, str], ...]

    @property
    def criteria(self) -> tuple[str, ...]:
        """The criteria their rates are about, in their order."""
        return tuple(dict.fromkeys(one.criterion for one in self.reported))


@dataclass(frozen=True)
class Concomitant:
    """A treatment beside ketamine that may change its effect: how it is named in people, what is known.

    `reference` lists the groups it is set against, the first that is found. `bands` are the dose bands
    proposed for it, in `bands_unit`.
    """

    id: str
    title: str
    columns: tuple[str, ...]
    reference: tuple[str, ...]
    bands: tuple[str, ...]
    bands_unit: str
    effect: str
    evidence: str
    sure: str
    cite: str

    @property
    def words(self) -> str:
        """What is known of it, in one paragraph with its sources."""
        return f"{self.title}: {self.effect}. {self.evidence} How sure: {self.sure}. {self.cite}."


@lru_cache(maxsize=1)
def published_series() -> FrozenMap[Series]:
    """Every published series by its id, in the order of the file.

    >>> published_series()["mcinnes2022"].n
    537
    """
    return FrozenMap({name: _series(name, entry) for name, entry in _entries("series").items()})


def series_named(name: str) -> Series:
    """The series of that id; DefinitionError, with the nearest id, where there is none.

    >>> series_named("mcinnes")
    Traceback (most recent call last):
    ketaoutcomes.definitions.model.DefinitionError: unknown series 'mcinnes'; did you mean 'mcinnes2022'?
    """
    known = published_series()
    if name not in known:
        raise DefinitionError(f"unknown series '{name}'{suggestion(name, known)}")
    return known[name]


@lru_cache(maxsize=1)
def concomitants() -> FrozenMap[Concomitant]:
    """Treatments beside ketamine that may change its effect, by id.

    >>> [one.title for one in concomitants().values()]
    ['benzodiazepine', 'lamotrigine', 'risperidone', 'olanzapine', 'psychotherapy']
    """
    return FrozenMap({name: _concomitant(name, entry) for name, entry in _entries("concomitant").items()})


def concomitant_of(column: str) -> Concomitant | None:
    """The treatment a column of people stands for, if it is one that is known to matter.

    >>> concomitant_of("benzodiazepine_band").bands
    ('none', 'up to 8 mg', 'over 8 mg')
    >>> concomitant_of("site") is None
    True
    """
    return next((one for one in concomitants().values() if column in one.columns), None)


def protocol_folder() -> str:
    """The folder of the protocols that published series are judged by, as a plan's `folders` takes it."""
    return str(resources.files(__name__) / "protocols")


def _entries(kind: str) -> dict[str, Section]:
    """The tables of one file by name; DefinitionError with every mistake, so that none is read half."""
    findings: list[str] = []
    name = f"{kind}.toml"
    section = parse((resources.files(__name__) / name).read_text(encoding="utf-8"), name, findings)
    table = section.section(kind)
    found = {key: table.section(key) for key in table.given()} if table is not None else {}
    section.close()
    if findings:
        raise DefinitionError(*findings)
    return {key: entry for key, entry in found.items() if entry is not None}


def _series(name: str, entry: Section) -> Series:
    at = entry.choice("at", AXES)
    n = entry.whole("n", 1, 10_000_000)
    reported = tuple(_reported(one, n, entry.text("point", "end")) for one in entry.sections("reported"))
    rules = []
    for one in entry.sections("not_applied"):
        rules.append((one.text("rule"), one.text("why")))
        one.close()
    plan = entry.section("plan")
    series = Series(
        id=name, title=entry.text("title"), cite=entry.text("cite"), sure=entry.choice("sure", SURE),
        charts=entry.optional("charts", n, 10_000_000), n=n, routes=_texts(entry, "routes"),
        doses=entry.wholes("doses", 1, 1000), doses_within_days=entry.optional("doses_within_days", 0, 3650),
        span_days=entry.optional("span_days", 0, 3650),
        protocol=entry.text("protocol") if entry.has("protocol") else None,
        at=at, kind=entry.choice("kind", KINDS), analysis=entry.choice("analysis", ANALYSES),
        plan=FrozenMap(plan.raw if plan is not None else {}), reported=reported, not_applied=tuple(rules),
    )  # fmt: skip
    if not series.reported:
        entry.note("reported", "at least one published rate is needed")
    if bool(series.doses) != (series.doses_within_days is not None) or len(series.doses) > 2:
        entry.note("doses", "the fewest and the most doses go with doses_within_days")
    entry.close()
    _refuse(entry)
    return series


def _reported(entry: Section, n: int, point: str) -> Reported:
    rate = entry.number("rate") / 100
    unknown = entry.yes("n_unknown")
    own = entry.optional("n", 1, 10_000_000) or n
    found = Reported(entry.text("criterion"), entry.text("point", point), rate, None if unknown else own)
    if not 0 <= rate <= 1:
        entry.note("rate", "a percentage from 0 to 100 is needed")
    entry.close()
    return found


def _concomitant(name: str, entry: Section) -> Concomitant:
    found = Concomitant(
        id=name, title=entry.text("title"), columns=_texts(entry, "columns"),
        reference=_texts(entry, "reference"),
        bands=_texts(entry, "bands") if entry.has("bands") else (),
        bands_unit=entry.text("bands_unit", ""), effect=entry.text("effect"),
        evidence=entry.text("evidence"), sure=entry.text("sure"), cite=entry.text("cite"),
    )  # fmt: skip
    entry.close()
    _refuse(entry)
    return found


def _texts(entry: Section, key: str) -> tuple[str, ...]:
    """A list of texts, at least one."""
    found = entry.entries(key) or []
    if not found or not all(isinstance(text, str) and text for text in found):
        entry.note(key, "a list of texts is needed")
    return tuple(str(text) for text in found)


def _refuse(entry: Section) -> None:
    if not entry.is_sound():
        raise DefinitionError(*entry.findings)
