"""What an instrument, a criterion and a protocol are: frozen values, every number of them cited.

The numbers themselves stand in the TOML files beside this module; nothing here knows one.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from ketaoutcomes.frozen import FrozenMap
from ketaoutcomes.shown import PlainError

if TYPE_CHECKING:
    from ketaoutcomes.definitions.series import Concomitant, Series

MISSING: Final = -(2**31)
"""Marks, in an array of ticks, a score that does not exist. Never zero: a blank form is not a remission."""

Worse = Literal["higher", "lower"]
Combine = Literal["sum", "mean", "max_of_groups"]
Variable = Literal["score", "diagnosis"]
TrialUnit = Literal["doses", "days"]
Population = Literal["functional", "dysfunctional"]

FAMILIES: Final = ("percent", "reliable", "mcid", "clinically_significant")
"""Families of criteria: a share of the baseline, change beyond error, the smallest change that matters, and
reliable change into the functional range."""
Entry = Literal["score", "course"]


class DefinitionError(PlainError):
    """A definition is wrong, or is not there. `findings` lists every mistake, one line each."""

    def __init__(self, *findings: str) -> None:
        self.findings = findings
        super().__init__("\n".join(findings))

    def __reduce__(self) -> tuple[type[DefinitionError], tuple[str, ...]]:
        return type(self), self.findings


@dataclass(frozen=True)
class Band:
    """A named range of whole points. A prorated score between two bands belongs to the milder one."""

    name: str
    low: int
    high: int


@dataclass(frozen=True)
class Cluster:
    """A named set of items, numbered from 1."""

    name: str
    items: tuple[int, ...]


@dataclass(frozen=True)
class Diagnosis:
    """A provisional diagnosis: enough items of each cluster answered `item_at_least` or more."""

    title: str
    item_at_least: int
    clusters: FrozenMap[int]


@dataclass(frozen=True)
class Reliability:
    """A standard deviation and a reliability from which a reliable change can be derived."""

    sd: Fraction
    r: Fraction
    kind: str
    cite: str


@dataclass(frozen=True)
class Norm:
    """The mean and standard deviation published for a population, well (functional) or not."""

    population: Population
    mean: Fraction
    sd: Fraction
    n: int
    cite: str


@dataclass(frozen=True)
class Loinc:
    """LOINC codes: the panel, the total, and the items in the questionnaire's order."""

    panel: str
    total: str
    items: tuple[str, ...]


@dataclass(frozen=True)
class Criterion:
    """A named rule that a score, or a change from baseline, meets or does not meet.

    `name` is the full name (`phq9_response50`), `short` the part after the instrument. `value` and `limit`
    are what the rule named in `rule` compares with, in percent or points.
    """

    name: str
    instrument: str
    short: str
    title: str
    rule: str
    value: Fraction
    limit: Fraction | None
    variable: Variable
    worse: Worse
    uses_baseline: bool
    cite: str


@dataclass(frozen=True)
class Instrument:
    """A questionnaire: its items, how they become a total, and what is published about that total.

    Totals are held in whole *ticks*; a point has `ticks` of them, the fewest that make proration exact.
    `items` is 0 where only totals can be recorded. `max_missing` blank items are replaced by the mean of
    those answered; with more, there is no total. `gate` is the lowest baseline that is judged. `families`
    names, by short name, the criterion that stands for each family (see FAMILIES) that has a published one.
    """

    id: str
    title: str
    items: int
    item_low: int
    item_high: int
    low: int
    high: int
    ticks: int
    worse: Worse
    combine: Combine
    groups: tuple[tuple[int, ...], ...]
    max_missing: int
    gate: int | None
    recall_days: int
    bands: tuple[Band, ...]
    clusters: tuple[Cluster, ...]
    diagnosis: Diagnosis | None
    flag_item: int | None
    labels: FrozenMap[int]
    reliability: tuple[Reliability, ...]
    norms: tuple[Norm, ...]
    families: FrozenMap[str]
    loinc: Loinc | None
    cites: FrozenMap[str]
    criteria: tuple[Criterion, ...]


@dataclass(frozen=True)
class Level:
    """The dose held to be adequate, for one route and unit."""

    route: str
    unit: str
    dose: Fraction
    cite: str


@dataclass(frozen=True)
class Protocol:
    """A planned schedule that a course is judged by; all counts and days are whole numbers.

    `visits` is the number of induction sessions (None: judged by week only). `carry` is how many days a dose
    speaks for, in induction and in maintenance. `trial` is what counts as the first and the second window of
    good time, in `trial_unit`. A field that is None does not apply.
    """

    id: str
    title: str
    visits: int | None
    session_window: int | None
    induction_limit: int | None
    carry: tuple[int, int] | None
    course_gap: int | None
    maturity: int | None
    end_week: int | None
    planned_days: tuple[int, ...]
    trial: tuple[int, int] | None
    trial_unit: TrialUnit | None
    levels: tuple[Level, ...]
    cites: FrozenMap[str]


@dataclass(frozen=True)
class Occurrence:
    """What an event must be for a measure to take it.

    An event of one of `kinds`, whatever its code; or a diagnosis whose code is one of `words`, or begins with
    one of the ICD-10-CM codes.
    """

    id: str
    title: str
    kinds: tuple[str, ...]
    words: tuple[str, ...]
    icd10: tuple[str, ...]
    cite: str


@dataclass(frozen=True)
class Omission:
    """Why someone who entered a measure is left out: an occurrence within a span of days.

    From `since` (ever; the identification period's first day; the measurement period's first day) to `until`
    (the follow-up window's last day, or the measurement period's).
    """

    reason: str
    occurrences: tuple[str, ...]
    since: Literal["ever", "identification", "period"]
    until: Literal["follow_up", "period"]
    cite: str


@dataclass(frozen=True)
class MeasureRate:
    """What counts as met: a rule, and the criterion it judges the last score by, if any."""

    name: str
    title: str
    rule: str
    criterion: str
    cite: str


@dataclass(frozen=True)
class Measure:
    """A quality measure: who enters, when the follow-up is due, what counts, who is left out.

    Entry by `score`: the first score of at least `at_least`, on the day of an encounter or up to
    `encounter_days` before it, with the diagnosis, the encounter ending in the identification period (months
    from the measurement period's first day, the end not included). Entry by `course`: a course of treatment
    of at least `sessions_at_least` dose days that ends in the measurement period. The follow-up window is
    `follow_up_months` later, `margin_days` either side, or `follow_up_days` after the entry score.
    """

    id: str
    title: str
    known_as: tuple[str, ...]
    entry: Entry
    at_least: FrozenMap[int]
    age_at_least: int | None
    identification_months: tuple[int, int] | None
    encounter: str | None
    encounter_days: int
    diagnosis: str | None
    diagnosis_days: tuple[int, int] | None
    follow_up_months: int | None
    margin_days: int
    follow_up_days: tuple[int, int] | None
    sessions_at_least: int
    after_last_dose_days: int
    caseness: FrozenMap[int]
    reliable: FrozenMap[int]
    rates: tuple[MeasureRate, ...]
    exclusions: tuple[Omission, ...]
    cites: FrozenMap[str]

    @property
    def instruments(self) -> tuple[str, ...]:
        """The questionnaires it judges."""
        return tuple(self.at_least) if self.entry == "score" else tuple(self.caseness)

    @property
    def occurrences(self) -> tuple[str, ...]:
        """The occurrences it asks for, each once: to enter, then to be left out."""
        entering = [name for name in (self.encounter, self.diagnosis) if name]
        leaving = [name for one in self.exclusions for name in one.occurrences]
        return tuple(dict.fromkeys([*entering, *leaving]))


@dataclass(frozen=True)
class Definitions:
    """Every instrument, criterion, protocol and measure that is known, by name."""

    instruments: FrozenMap[Instrument]
    criteria: FrozenMap[Criterion]
    protocols: FrozenMap[Protocol]
    occurrences: FrozenMap[Occurrence] = field(default_factory=FrozenMap)
    measures: FrozenMap[Measure] = field(default_factory=FrozenMap)
    series: FrozenMap[Series] = field(default_factory=FrozenMap)
    concomitants: FrozenMap[Concomitant] = field(default_factory=FrozenMap)

    def instrument(self, name: str) -> Instrument:
        """The instrument of that id; DefinitionError, with the nearest id, where there is none."""
        return _find(self.instruments, name, "instrument")

    def criterion(self, name: str) -> Criterion:
        """The criterion of that full name; DefinitionError, with the nearest name, where there is none."""
        return _find(self.criteria, name, "criterion")

    def protocol(self, name: str) -> Protocol:
        """The protocol of that id; DefinitionError, with the nearest id, where there is none."""
        return _find(self.protocols, name, "protocol")

    def measure(self, name: str) -> Measure:
        """The measure of that id; DefinitionError, with the nearest id, where there is none."""
        return _find(self.measures, name, "measure")

    def series_named(self, name: str) -> Series:
        """The published series of that id; DefinitionError, with the nearest id, where there is none."""
        return _find(self.series, name, "series")

    def concomitant_of(self, column: str) -> Concomitant | None:
        """The treatment beside ketamine that a column of people stands for, if it is one known to matter.

        >>> from ketaoutcomes.definitions import load
        >>> load().concomitant_of("benzodiazepine_band").bands
        ('none', 'up to 8 mg', 'over 8 mg')
        >>> load().concomitant_of("site") is None
        True
        """
        return next((one for one in self.concomitants.values() if column in one.columns), None)

    def measure_text(self, name: str) -> dict[str, Any]:
        """Everything that can change a number of a measure, as JSON's own kinds of value."""
        measure = self.measure(name)
        asked = {one: _plain(self.occurrences[one]) for one in measure.occurrences}
        return {"measure": _plain(measure), "occurrences": asked}

    def criteria_named(self, name: str) -> tuple[Criterion, ...]:
        """The criteria a name stands for: one for a full name, every instrument's for a bare one.

        >>> from ketaoutcomes.definitions import load
        >>> [c.name for c in load().criteria_named("remission_lt5")]
        ['gad7_remission_lt5', 'phq8_remission_lt5', 'phq9_remission_lt5']
        """
        if name in self.criteria:
            return (self.criteria[name],)
        bare = tuple(c for c in self.criteria.values() if c.short == name)
        if bare:
            return bare
        raise DefinitionError(f"unknown criterion '{name}'{self.meant(name)}")

    def meant(self, name: str, *, full: bool = False) -> str:
        """The end of a message about a criterion that is none: what was probably meant.

        With `full`, only full names are offered, for places where a bare one is not enough.

        >>> from ketaoutcomes.definitions import load
        >>> load().meant("phq9_respons50"), load().meant("respons50")
        ("; did you mean 'phq9_response50'?", "; did you mean 'response50'?")
        >>> load().meant("pcl5")
        "; that is an instrument: write one of its criteria, such as 'pcl5_reliable15' or 'pcl5_reliable18'"
        >>> load().meant("response")
        "; did you mean 'response50' or 'response30' or 'response_orig' or 'response35'?"
        """
        of = [c.name for c in self.criteria.values() if c.instrument == name]
        if of:
            few = " or ".join(f"'{one}'" for one in of[:2])
            return f"; that is an instrument: write one of its criteria, such as {few}"
        word, bare = name.casefold(), [c.short for c in self.criteria.values()]
        known = [*self.criteria] if full else [*self.criteria, *dict.fromkeys(bare)]
        begun = [c.name for c in self.criteria.values() if c.short.startswith(word)] if full else []
        begun += [one for one in known if one.startswith(word)]
        near = begun[:4] if word and begun else difflib.get_close_matches(word, known, n=1, cutoff=0.6)
        if near:
            more = f" or {len(begun) - 4} more" if len(begun) > 4 else ""
            return f"; did you mean {' or '.join(repr(one) for one in near)}{more}?"
        return "; plan.explain('phq9') lists the criteria of an instrument"

    def of_family(self, instrument: str, family: str) -> Criterion | None:
        """The criterion that stands for a family (see FAMILIES) on an instrument; None: none is published.

        >>> from ketaoutcomes.definitions import load
        >>> [c.name if (c := load().of_family("phq9", family)) else None for family in FAMILIES]
        ['phq9_response50', 'phq9_reliable6', 'phq9_mcid5', 'phq9_csc_lt10']
        >>> load().of_family("ybocs", "reliable") is None
        True
        """
        if family not in FAMILIES:
            raise DefinitionError(f"unknown family '{family}'{suggestion(family, FAMILIES)}")
        short = self.instrument(instrument).families.get(family)
        return self.criteria[f"{instrument}_{short}"] if short else None

    def worsening(self, instrument: str) -> tuple[Criterion, ...]:
        """The instrument's criteria of getting reliably worse; none where no rule is published.

        >>> from ketaoutcomes.definitions import load
        >>> [criterion.name for criterion in load().worsening("pcl5")]
        ['pcl5_deterioration15']
        """
        every = self.criteria.values()
        return tuple(c for c in every if c.instrument == instrument and c.rule == "rise_points")

    def as_text(self, criteria: Iterable[str], protocols: Iterable[str]) -> str:
        """Everything that can change a number in the named definitions, as canonical JSON.

        Titles and citations are left out: mending a citation must not make two tallies differ.

        >>> from ketaoutcomes.definitions import load
        >>> load().as_text([], ["none"])[:50]
        '{"criteria":{},"instruments":{},"protocols":{"none'
        """
        found = {name: self.criterion(name) for name in criteria}
        instruments = {c.instrument: self.instrument(c.instrument) for c in found.values()}
        content = {
            "instruments": {name: _plain(value) for name, value in instruments.items()},
            "criteria": {name: _plain(value) for name, value in found.items()},
            "protocols": {name: _plain(self.protocol(name)) for name in protocols},
        }
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of an error message: the nearest known name, or all of them where none is near.

    >>> suggestion("phq-9", ["phq9", "pcl5"])
    "; did you mean 'phq9'?"
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; known: {', '.join(names)}" if len(names) <= 40 else ""


Named = TypeVar("Named")


def _find(known: Mapping[str, Named], name: str, kind: str) -> Named:
    if name in known:
        return known[name]
    raise DefinitionError(f"unknown {kind} '{name}'{suggestion(name, known)}")


# Not only words, but without a part in any state: what is computed from them is written out where it is used.
_OF_CHANGE = {"reliability", "norms", "families"}
_WORDS_ONLY = {"title", "cite", "cites", "criteria", "loinc", "known_as", *_OF_CHANGE}


def _plain(value: Any) -> Any:
    """A definition as JSON's own kinds of value, without what is only words."""
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {
            key: _plain(getattr(value, key)) for key in value.__dataclass_fields__ if key not in _WORDS_ONLY
        }
    return value
