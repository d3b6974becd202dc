"""Quality measures as data: who enters, when the follow-up is due, what counts, who is left out, and why.

The numbers stand in `measures.toml`, each with its source; `ketaoutcomes.counts.measures` is the one engine
that judges them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ketaoutcomes.definitions.model import (
    Criterion,
    Instrument,
    Measure,
    MeasureRate,
    Occurrence,
    Omission,
    suggestion,
)
from ketaoutcomes.definitions.section import Section, is_name
from ketaoutcomes.frozen import FrozenMap

MEASURE_RULES = {
    "criterion": "the last score in the window meets the criterion, the entry score being its baseline",
    "scored": "there is a score in the follow-up window",
    "recovery": "at caseness on at least one questionnaire at the start, below it on all of them at the end",
    "reliable_improvement": "one questionnaire better by its reliable change, none worse by its own",
    "reliable_recovery": "recovery and reliable improvement",
}
"""How a measure's rate is judged, by the word in its file."""

DIAGNOSIS = "diagnosis"
"""The kind of event whose code tells what it is of."""

_START = Measure(
    id="", title="", known_as=(), entry="score", at_least=FrozenMap(), age_at_least=None,
    identification_months=None, encounter=None, encounter_days=0, diagnosis=None, diagnosis_days=None,
    follow_up_months=None, margin_days=0, follow_up_days=None, sessions_at_least=1, after_last_dose_days=0,
    caseness=FrozenMap(), reliable=FrozenMap(), rates=(), exclusions=(), cites=FrozenMap(),
)  # fmt: skip


@dataclass(frozen=True)
class Known:
    """What a measure may refer to: occurrences, criteria, instruments and measures read so far."""

    occurrences: Mapping[str, Occurrence]
    criteria: Mapping[str, Criterion]
    instruments: Mapping[str, Instrument]
    measures: Mapping[str, Measure]


def read_occurrence(name: str, section: Section) -> Occurrence | None:
    """What an event must be for a measure to take it, or None where there is a mistake (noted)."""
    if not is_name(name):
        section.note("", "an occurrence is named in lower-case letters, digits and underscores")
    found = Occurrence(
        id=name,
        title=section.text("title"),
        kinds=section.texts("kinds"),
        words=section.texts("words"),
        icd10=section.texts("icd10"),
        cite=section.text("cite"),
    )
    section.close()
    if section.is_sound() and not (found.kinds or found.words or found.icd10):
        section.note("kinds", "kinds of event, or words or ICD-10-CM codes of diagnoses, are needed")
    if DIAGNOSIS in found.kinds:
        section.note("kinds", "a diagnosis is told by its code: give words or icd10")
    return found if section.is_sound() else None


def read_measure(name: str, section: Section, known: Known) -> Measure | None:
    """One measure, or None where there is a mistake (noted). With `like`, what it lacks is another's."""
    if not is_name(name):
        section.note("", "a measure is named in lower-case letters, digits and underscores")
    start = _START
    if section.has("like"):
        like = section.text("like")
        if like in known.measures:
            start = replace(known.measures[like], rates=(), cites=FrozenMap())
        elif like:
            section.note("like", f"unknown measure{suggestion(like, known.measures)}")
    found = replace(start, id=name, title=section.text("title"), known_as=section.texts("known_as"))
    found = replace(found, **_numbers(section, known))
    rates = tuple(_rate(name, one, known) for one in section.sections("rates"))
    found = replace(found, rates=rates, cites=_cites(section, found))
    if section.has("exclusions"):
        entries = tuple(_omission(one, known) for one in section.sections("exclusions"))
        found = replace(found, exclusions=entries)
    section.close()
    if section.is_sound():
        _check(section, found)
    return found if section.is_sound() else None


def _numbers(section: Section, known: Known) -> dict[str, Any]:
    """The settings the section gives itself."""

    def of(names: Mapping[str, object], what: str) -> Callable[[str], str]:
        def read(key: str) -> str:
            value = section.text(key)
            if value and value not in names:
                section.note(key, f"unknown {what}{suggestion(value, names)}")
            return value

        return read

    def scores(key: str) -> FrozenMap[int]:
        return _by_instrument(section, key, known.instruments)

    readers: dict[str, Callable[[str], Any]] = {
        "entry": lambda key: section.choice(key, ("score", "course")),
        "at_least": scores,
        "age_at_least": lambda key: section.whole(key, 1, 120),
        "identification_months": lambda key: section.pair(key, -120, 120),
        "encounter": of(known.occurrences, "occurrence"),
        "encounter_days": lambda key: section.whole(key, 0, 366),
        "diagnosis": of(known.occurrences, "occurrence"),
        "diagnosis_days": lambda key: section.pair(key, -366, 366),
        "follow_up_months": lambda key: section.whole(key, 1, 120),
        "margin_days": lambda key: section.whole(key, 0, 366),
        "follow_up_days": lambda key: section.pair(key, 0, 3660),
        "sessions_at_least": lambda key: section.whole(key, 1, 100),
        "after_last_dose_days": lambda key: section.whole(key, 0, 366),
        "caseness": scores,
        "reliable": scores,
    }
    return {key: read(key) for key, read in readers.items() if section.has(key)}


def _by_instrument(section: Section, key: str, instruments: Mapping[str, Instrument]) -> FrozenMap[int]:
    """A whole number of points for each instrument named."""
    own = section.section(key)
    found = {}
    for name in own.given() if own is not None else ():
        if own is not None and name not in instruments:
            own.note(name, f"unknown instrument{suggestion(name, instruments)}")
        elif own is not None:
            found[name] = own.whole(name, 1, instruments[name].high)
            if instruments[name].worse == "lower":
                own.note(name, "needs an instrument on which high is worse")
    return FrozenMap(found)


def _rate(measure: str, section: Section, known: Known) -> MeasureRate:
    criterion = section.text("criterion") if section.has("criterion") else ""
    if criterion and criterion not in known.criteria:
        section.note("criterion", f"unknown criterion{suggestion(criterion, known.criteria)}")
    rule = section.choice("rule", MEASURE_RULES, "criterion")
    if (rule == "criterion") != bool(criterion):
        section.note("criterion", 'goes with rule = "criterion", which is meant where no rule is given')
    short = section.name("short") if section.has("short") else ""
    name = f"{measure}_{short}" if short else measure
    found = MeasureRate(name, section.text("title"), rule, criterion, section.text("cite"))
    section.close()
    return found


def _omission(section: Section, known: Known) -> Omission:
    names = section.texts("occurrences")
    for name in names:
        if name not in known.occurrences:
            section.note("occurrences", f"unknown occurrence{suggestion(name, known.occurrences)}")
    if not names:
        section.note("occurrences", "at least one occurrence is needed")
    since: Literal["ever", "identification", "period"]
    since = section.choice("since", ("ever", "identification", "period"))  # type: ignore[assignment]
    until: Literal["follow_up", "period"]
    until = section.choice("until", ("follow_up", "period"), "follow_up")  # type: ignore[assignment]
    found = Omission(section.name("reason"), names, since, until, section.text("cite"))
    section.close()
    return found


_CITED = {
    "entry": ("entry",),
    "age": ("age_at_least",),
    "identification": ("identification_months",),
    "follow_up": ("follow_up_months", "follow_up_days", "after_last_dose_days"),
    "caseness": ("caseness",),
    "reliable": ("reliable",),
}


def _cites(section: Section, found: Measure) -> FrozenMap[str]:
    """The sources: one for every number the measure has."""
    own = section.section("cites")
    if own is None:
        section.note("cites", 'a table of sources is needed: one for every number, or "house"')
        return FrozenMap()
    needed = [key for key, numbers in _CITED.items() if any(getattr(found, name) for name in numbers)]
    cites = FrozenMap({key: own.text(key) for key in needed})
    own.close()
    return cites


def _check(section: Section, it: Measure) -> None:
    """What must hold between the parts of a measure."""
    paired = {"recovery", "reliable_improvement", "reliable_recovery"}
    if not it.rates:
        section.note("rates", "tables [[rates]] are needed: what counts")
    if it.entry == "score" and len(it.at_least) != 1:
        section.note("at_least", "the one instrument and the lowest score that enters are needed")
    if it.entry == "score" and (it.follow_up_months is None) == (it.follow_up_days is None):
        section.note("follow_up_days", "give either follow_up_days or follow_up_months")
    if it.entry == "course" and not (it.caseness and it.caseness.keys() == it.reliable.keys()):
        section.note("caseness", "and reliable are needed, of the same instruments")
    for rate in it.rates:
        if (it.entry == "course") != (rate.rule in paired):
            section.note("rates", f"{rate.rule} does not go with an entry by {it.entry}")
    reasons = [one.reason for one in it.exclusions]
    if len(set(reasons)) < len(reasons):
        section.note("exclusions", "each reason may stand once")
    for key in ("identification_months", "diagnosis_days", "follow_up_days"):
        pair = getattr(it, key)
        if pair is not None and pair[0] >= pair[1]:
            section.note(key, "the earlier comes first")
