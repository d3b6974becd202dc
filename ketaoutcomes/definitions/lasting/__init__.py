"""Whether an improvement lasts, as data: rules for relapse, recovery and sudden gains, each with its source.

The package's rules stand in `rules.toml` beside this module. A plan's own folders may hold more, in
`lasting/*.toml`: tables [relapse.NAME] and [sudden_gain.NAME] as there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from importlib import resources
from pathlib import Path

from ketaoutcomes.definitions.model import DefinitionError, suggestion
from ketaoutcomes.definitions.section import Section, is_name, parse
from ketaoutcomes.frozen import FrozenMap

RULES = ("lost", "at_or_worse")


@dataclass(frozen=True)
class Relapse:
    """When an improvement is lost: at so many scores in a row, `apart` days from the first to the last.

    `instrument` is empty where the rule is about the criterion itself (`lost`).
    """

    name: str
    title: str
    rule: str
    instrument: str
    value: Fraction
    scores: int
    apart: tuple[int, int] | None
    cite: str

    def as_text(self) -> str:
        """What of the rule can change a number, as canonical JSON."""
        content = [self.name, self.rule, self.instrument, str(self.value), self.scores, self.apart]
        return json.dumps(content, separators=(",", ":"))


@dataclass(frozen=True)
class SuddenGain:
    """When a step between sessions is a sudden gain: points, percent of the score before, and a t test."""

    name: str
    title: str
    instrument: str
    points: Fraction
    percent: Fraction
    alpha: Fraction
    cite: str

    def as_text(self) -> str:
        """What of the rule can change a number, as canonical JSON."""
        content = [self.name, self.instrument, str(self.points), str(self.percent), str(self.alpha)]
        return json.dumps(content, separators=(",", ":"))


@dataclass(frozen=True)
class Lasting:
    """Every rule about whether an improvement lasts.

    `early_sessions` is the last session after which a response is early, `recovery_days` how long it must
    have lasted for its end to be a recurrence, `marks` the days on which durability is told, `boosters` how
    many maintenance doses are described; `cites` says where each number is from.
    """

    relapses: FrozenMap[Relapse]
    gains: FrozenMap[SuddenGain]
    early_sessions: int
    recovery_days: int
    marks: tuple[int, ...]
    boosters: int
    cites: FrozenMap[str]

    def relapses_of(self, instrument: str) -> tuple[Relapse, ...]:
        """The relapse rules for one instrument: those about any criterion, and its own."""
        return tuple(one for one in self.relapses.values() if one.instrument in ("", instrument))

    def gains_of(self, instrument: str) -> tuple[SuddenGain, ...]:
        """The rules for sudden gains on one instrument."""
        return tuple(one for one in self.gains.values() if one.instrument == instrument)

    def relapse(self, name: str) -> Relapse:
        """The rule of that name; DefinitionError, with the nearest name, where there is none."""
        if name not in self.relapses:
            raise DefinitionError(f"unknown relapse rule '{name}'{suggestion(name, self.relapses)}")
        return self.relapses[name]

    def check_fits(self, names: Iterable[str], instruments: Iterable[str]) -> None:
        """Raises ValueError for a relapse rule that is about none of these instruments."""
        known = sorted(set(instruments))
        own = [self.relapse(name) for name in names]
        wrong = [f"{one.name} is about {one.instrument}" for one in own if one.instrument not in ("", *known)]
        if wrong:
            fit = dict.fromkeys(rule.name for name in known for rule in self.relapses_of(name))
            raise ValueError(f"relapse: {'; '.join(wrong)}; of {', '.join(known)} write {', '.join(fit)}")


@lru_cache(maxsize=8)
def lasting(folders: tuple[str, ...] = ()) -> Lasting:
    """The package's rules, and those of the folders' `lasting/*.toml`.

    A name that is taken is refused. Raises DefinitionError, which lists every mistake with file and key.

    >>> lasting().relapse("lost").scores
    1
    >>> [rule.name for rule in lasting().relapses_of("madrs")]
    ['lost', 'lost_confirmed', 'madrs_sustain1']
    """
    findings: list[str] = []
    text = (resources.files(__name__) / "rules.toml").read_text(encoding="utf-8")
    own = parse(text, "rules.toml", findings)
    relapses: dict[str, Relapse] = {}
    gains: dict[str, SuddenGain] = {}
    _add(own, relapses, gains)
    numbers, cites = {}, {}
    for table, key in (("early", "sessions"), ("recovery", "after_days"), ("boosters", "most")):
        section = own.section(table)
        if section is not None:
            numbers[table], cites[table] = section.whole(key, 1, 3650), section.text("cite")
    marks = own.section("marks")
    if marks is not None:
        cites["marks"] = marks.text("cite")
    days = marks.wholes("days", 1, 3650) if marks is not None else ()
    own.close()
    for folder in folders:
        for path in sorted((Path(folder) / "lasting").glob("*.toml")):
            file = parse(path.read_text(encoding="utf-8"), path.name, findings)
            _add(file, relapses, gains)
            file.close()
    if findings:
        raise DefinitionError(*findings)
    return Lasting(
        FrozenMap(relapses), FrozenMap(gains), numbers["early"], numbers["recovery"], days,
        numbers["boosters"], FrozenMap(cites),
    )  # fmt: skip


def _add(file: Section, relapses: dict[str, Relapse], gains: dict[str, SuddenGain]) -> None:
    """Add the rules of one file."""
    for kind, known in (("relapse", relapses), ("sudden_gain", gains)):
        table = file.section(kind)
        for name in table.given() if table is not None else ():
            entry = table.section(name) if table is not None else None
            if entry is None:
                continue
            if not is_name(name):
                entry.note("", "a rule is named in lower-case letters, digits and underscores")
            if name in known:
                entry.note("", f"'{name}' exists already; choose another name")
            elif kind == "relapse":
                relapses[name] = _relapse(name, entry)
            else:
                gains[name] = _gain(name, entry)


def _relapse(name: str, entry: Section) -> Relapse:
    rule = entry.choice("rule", RULES)
    absolute = rule == "at_or_worse"
    scores = entry.whole("scores", 1, 2)
    found = Relapse(
        name, entry.text("title"), rule, entry.text("instrument") if absolute else "",
        entry.number("value") if absolute else Fraction(0), scores,
        entry.pair("apart", 1, 366) if scores == 2 else None, entry.text("cite"),
    )  # fmt: skip
    if found.apart is not None and found.apart[0] > found.apart[1]:
        entry.note("apart", "the fewest days come first")
    entry.close()
    return found


def _gain(name: str, entry: Section) -> SuddenGain:
    found = SuddenGain(
        name, entry.text("title"), entry.text("instrument"), entry.number("points"),
        entry.number("percent"), entry.number("alpha"), entry.text("cite"),
    )  # fmt: skip
    if found.points <= 0:
        entry.note("points", "a number of points above 0 is needed")
    if not 0 < found.percent <= 100:
        entry.note("percent", "a percentage above 0 and up to 100 is needed")
    if not 0 < found.alpha < 1:
        entry.note("alpha", "needs to lie between 0 and 1")
    entry.close()
    return found
