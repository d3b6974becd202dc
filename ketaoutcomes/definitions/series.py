"""What others published, as data: series to set one's own rates beside, and treatments that may interfere.

Every number stands, cited, in `series.toml` and `concomitant.toml` (and the user's own files). What of a
published rule cannot be applied to one's own records is part of the entry, so that it is printed with the
rates.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from typing import Any

from ketaoutcomes.definitions.section import Section, is_name
from ketaoutcomes.frozen import FrozenMap

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
    def entry(self) -> dict[str, Any]:
        """Their entry rule as JSON's own kinds of value: everything that decides whom it keeps."""
        return {
            "routes": list(self.routes), "doses": list(self.doses), "within": self.doses_within_days,
            "span": self.span_days,
        }  # fmt: skip

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


def protocol_folder() -> str:
    """The folder of protocols that only a published series is judged by, as a plan's `folders` takes it."""
    return str(resources.files(__package__) / "published")


def read_series(name: str, entry: Section) -> Series | None:
    """One published series, or None where there is a mistake (noted)."""
    if not is_name(name):
        entry.note("", "a series is named in lower-case letters, digits and underscores")
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
    return series if entry.is_sound() else None


def _reported(entry: Section, n: int, point: str) -> Reported:
    rate = entry.number("rate") / 100
    unknown = entry.yes("n_unknown")
    own = entry.optional("n", 1, 10_000_000) or n
    found = Reported(entry.text("criterion"), entry.text("point", point), rate, None if unknown else own)
    if not 0 <= rate <= 1:
        entry.note("rate", "a percentage from 0 to 100 is needed")
    entry.close()
    return found


def read_concomitant(name: str, entry: Section) -> Concomitant | None:
    """One treatment beside ketamine, or None where there is a mistake (noted)."""
    found = Concomitant(
        id=name, title=entry.text("title"), columns=_texts(entry, "columns"),
        reference=_texts(entry, "reference"),
        bands=_texts(entry, "bands") if entry.has("bands") else (),
        bands_unit=entry.text("bands_unit", ""), effect=entry.text("effect"),
        evidence=entry.text("evidence"), sure=entry.text("sure"), cite=entry.text("cite"),
    )  # fmt: skip
    entry.close()
    return found if entry.is_sound() else None


def _texts(entry: Section, key: str) -> tuple[str, ...]:
    """A list of texts, at least one."""
    found = entry.entries(key) or []
    if not found or not all(isinstance(text, str) and text for text in found):
        entry.note(key, "a list of texts is needed")
    return tuple(str(text) for text in found)
