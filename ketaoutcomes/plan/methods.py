"""The plan in words, for a paper's Methods section: built from its values and the definitions' citations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ketaoutcomes import __version__

if TYPE_CHECKING:
    from ketaoutcomes.definitions import Instrument, Protocol
    from ketaoutcomes.plan.model import Plan

HOUSE = "house"
HOUSE_RULE = " (house rule)"
ESTIMAND = "ICH E9(R1) addendum on estimands and sensitivity analysis in clinical trials, 2019"
INTERVALS = {
    "wilson": ("Wilson score", "Wilson 1927 J Am Stat Assoc 22:209-212"),
    "exact": ("exact (Clopper-Pearson)", "Clopper and Pearson 1934 Biometrika 26:404-413"),
    "jeffreys": ("Jeffreys", "Brown, Cai and DasGupta 2001 Stat Sci 16:101-133"),
}
ROUTE_WORDS = {"iv": "intravenous", "im": "intramuscular", "sc": "subcutaneous"}
CLOCKS = {
    "protocol": "in days covered by an adequate dose for protocols judged in days, else in adequate doses",
    "cumulative": "in days covered by an adequate dose",
    "doses": "in adequate doses",
    "first_reach": "in days covered by a dose of any size since the first adequate one",
    "contiguous": "in days covered by adequate doses without a break",
}
BASES = {
    "auto": "the person's target dose where the data give one, otherwise a fixed level for the route",
    "target": "the person's target dose, if set before treatment",
    "fixed": "a fixed level for the route",
    "maximum": "the highest dose so far",
}


def methods(plan: Plan, *, good_time: bool = False) -> str:
    """The plan as a paragraph of plain prose, then the references it cites, numbered as they come up."""
    writer = _Writer(plan)
    sentences = [
        *writer.courses(),
        *writer.population(),
        *writer.baseline(),
        *writer.scores(),
        *writer.criteria(),
        *writer.points(),
        *writer.rates(),
        *(writer.good_time() if good_time else ()),
        *writer.closing(),
    ]
    references = [f"{number}. {source}" for number, source in enumerate(writer.references, 1)]
    return " ".join(sentences) + "\n\nReferences\n" + "\n".join(references) + "\n"


def listed(words: Iterable[str], joined: str = "and") -> str:
    """Words as a sentence lists them: the last two joined by a word.

    >>> listed(["1", "2", "4"])
    '1, 2 and 4'
    """
    several = list(words)
    return f" {joined} ".join([", ".join(several[:-1]), several[-1]]) if several[1:] else "".join(several)


def published(source: str) -> str:
    """What of a source can be looked up: without the words for what this software chose itself.

    A references list holds publications; that something is a house rule is said in the text.

    >>> published("cut: Blevins 2015 J Trauma Stress 28:489; its use as an outcome: house")
    'cut: Blevins 2015 J Trauma Stress 28:489'
    >>> published("house (twice a week: Anand 2023, 10.1056/NEJMoa2302399)"), published("house: as PHQ-9")
    ('twice a week: Anand 2023, 10.1056/NEJMoa2302399', '')
    """
    if source.startswith(HOUSE) and not re.search(r"\b(18|19|20)\d\d\b", source):
        return ""
    rest = re.sub(r"[^;()]*\bhouse\b[^;()]*", "", source).replace("()", "")
    rest = re.sub(r";(?=\))", "", rest).strip("; ")
    return rest[1:-1] if rest.startswith("(") and rest.endswith(")") else rest


class _Writer:
    """Writes the sentences in order, numbering each source where it is first cited."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.definitions = plan, plan.definitions
        self.references: list[str] = []
        self.has_house_rules = False
        self.instruments: list[Instrument] = [self.definitions.instrument(name) for name in plan.instruments]
        names = dict.fromkeys(plan.protocol.values())
        self.protocols: list[Protocol] = [self.definitions.protocol(name) for name in names]
        self.by_visit = [protocol for protocol in self.protocols if protocol.visits is not None]

    def cite(self, source: str) -> str:
        """The mark of a source; a number that someone merely chose is called a house rule."""
        is_house, printed = re.search(r"\bhouse\b", source) is not None, published(source)
        self.has_house_rules = self.has_house_rules or is_house
        if not printed:
            return HOUSE_RULE
        if printed not in self.references:
            self.references.append(printed)
        number = f"[{self.references.index(printed) + 1}]"
        if not is_house:
            return f" {number}"
        return (
            f" (house rule, after {number})"
            if source.startswith(HOUSE)
            else f" {number} (in part a house rule)"
        )

    def courses(self) -> Iterable[str]:
        plan = self.plan
        if self.is_single_course():
            yield "All doses of a person were one course of treatment."
        else:
            yield "A course was a run of dosing days with no gap longer than its protocol's course gap."
        if "all" in plan.protocol:
            everyone = self.protocol(plan.protocol["all"])
            yield f"Courses were judged by the protocol recorded for the person, otherwise by {everyone}."
            return
        described = [
            f"{listed(ROUTE_WORDS.get(route, route) for route in routes)}, {self.protocol(name)}"
            for name, routes in self.routes().items()
        ]
        yield (
            "Courses were judged by the protocol recorded for the person, otherwise by that of the route of "
            f"the first dose: {'; '.join(described)}."
        )

    def is_single_course(self) -> bool:
        return all(protocol.course_gap is None for protocol in self.protocols)

    def routes(self) -> dict[str, list[str]]:
        """The routes of each protocol, so that a protocol is described once."""
        found: dict[str, list[str]] = {}
        for route, name in self.plan.protocol.items():
            found.setdefault(name, []).append(route)
        return found

    def protocol(self, name: str) -> str:
        protocol = self.definitions.protocol(name)
        facts = []
        if protocol.course_gap is not None:
            facts.append(f"course gap {protocol.course_gap} days")
        if protocol.induction_limit is not None:
            facts.append(f"induction at most {protocol.induction_limit} days")
        source = protocol.cites.get("schedule", HOUSE)
        mark = self.cite(source)
        if mark == HOUSE_RULE:
            mark, facts = "", [*facts, "house rule"]
        return f"{name} ({'; '.join([protocol.title + mark, *facts])})"

    def population(self) -> Iterable[str]:
        population = self.plan.population
        yield (
            f"Each person's {population.courses} eligible course on each instrument was analysed, "
            "so that each person counts once."
        )
        if population.observed_from is not None:
            begun = population.observed_from
            day = f"day {begun}" if isinstance(begun, int) else begun
            yield f"Courses starting within their course gap after {day}, when records begin, were left out."
        if population.entry:
            rules = [
                f"{rule.column} was recorded as {listed(rule.values, 'or')}" for rule in population.entry
            ]
            yield f"Only people were included for whom {listed(rules)}."
        if population.complete:
            yield "The records were taken to be complete: no course was still open."

    def baseline(self) -> Iterable[str]:
        days = self.plan.baseline.within_days
        window = (
            "on the day of the first dose"
            if days == 0
            else f"from {days} days before the first dose up to that day"
        )
        order = "before" if self.plan.scores.dosing_day == "before" else "after"
        yield f"Baseline was the last score {window}."
        yield f"A score on a dosing day was taken to be from {order} the dose unless recorded otherwise."
        gated = [self.gate(instrument) for instrument in self.instruments if self.plan.gate(instrument.id)]
        free = [instrument.title for instrument in self.instruments if not self.plan.gate(instrument.id)]
        if gated:
            yield f"A course was eligible if its baseline was {listed(gated)}."
        if free:
            yield f"Any baseline score was eligible on the {listed(free)}."

    def gate(self, instrument: Instrument) -> str:
        points = self.plan.gate(instrument.id)
        side = "higher" if instrument.worse == "higher" else "lower"
        is_cited = points == instrument.gate
        source = self.cite(instrument.cites.get("gate", HOUSE)) if is_cited else " (set for this analysis)"
        return f"{points} or {side} on the {instrument.title}{source}"

    def scores(self) -> Iterable[str]:
        for instrument in self.instruments:
            if instrument.items == 0:
                yield f"{instrument.title} totals were taken as recorded."
            elif self.plan.scores.prorate == "never" or instrument.max_missing == 0:
                yield f"{instrument.title} forms with a blank item had no total."
            else:
                items = (
                    "1 blank item"
                    if instrument.max_missing == 1
                    else f"up to {instrument.max_missing} blank items"
                )
                source = self.cite(instrument.cites.get("missing_items", HOUSE))
                yield f"{instrument.title} forms with {items} took the mean of the others{source}."

    def criteria(self) -> Iterable[str]:
        criteria = self.plan.criteria
        yield f"The primary criteria were {self.criterion_list(criteria.primary)}."
        if criteria.also:
            yield f"Further criteria were {self.criterion_list(criteria.also)}."
        yield "Scores were compared with their cut-offs exactly, without rounding."

    def criterion_list(self, names: Iterable[str]) -> str:
        found = [self.definitions.criterion(name) for name in names]
        return "; ".join(f"{criterion.title}{self.cite(criterion.cite)}" for criterion in found)

    def points(self) -> Iterable[str]:
        points, schedule = self.plan.points, self.plan.assessments.schedule
        if self.by_visit and schedule == "every session":
            windows = listed(f"{protocol.session_window} days ({protocol.id})" for protocol in self.by_visit)
            yield (
                "After each session the last score was judged up to and including the day of the next dose, "
                f"at most {windows} later."
            )
        if schedule != "end":
            weeks = listed(str(week) for week in points.weeks)
            yield (
                f"At week{'s' if points.weeks[1:] else ''} {weeks} after the first dose the score nearest to "
                f"that day was judged, within {points.week_margin_days} days, ties to the later."
            )
        if self.by_visit:
            early, ideal, late = points.end_days
            yield (
                f"At the end of induction the score nearest to {ideal} days after its last dose was judged, "
                f"from {early} to {late} days and before maintenance began."
            )
        yield from self.end_weeks()
        if schedule == "end":
            yield "Scores were expected at the end only."
        elif schedule != "every session":
            yield f"Scores were expected {schedule}; a point at which none was expected has no rate."

    def end_weeks(self) -> Iterable[str]:
        for protocol in self.protocols:
            if protocol.end_week is not None:
                yield f"The end point of {protocol.id} was week {protocol.end_week}."

    def rates(self) -> Iterable[str]:
        rates = self.plan.rates
        due = [f"{p.maturity} days ({p.id})" for p in self.protocols if p.maturity is not None]
        if due:
            yield (
                "A course was due once enough days had passed since its first dose, whatever had happened in "
                f"it: {listed(due)}, and by week once the week's window had closed."
            )
        else:
            yield "A course was due at a week once the week's window had closed, whatever had happened in it."
        yield "Courses not yet due were counted but entered no rate."
        yield (
            "The headline rate divides courses that met a criterion by all that were due: unscored courses "
            f"count as not met (non-responder imputation){self.cite(ESTIMAND)}. "
            "Rates among those scored are shown beside it."
        )
        name, source = INTERVALS[rates.interval]
        yield f"Intervals are {rates.level * 100:.6g} % {name} intervals{self.cite(source)}."

    def good_time(self) -> Iterable[str]:
        chosen = self.plan.good_time
        criterion = self.definitions.criterion(chosen.criterion)
        level = BASES[chosen.basis]
        if chosen.level is not None:
            level = listed(f"{item.dose:g} {item.unit} {item.route}" for item in chosen.level)
        yield (
            f"Time at an adequate dose was described until {criterion.title}{self.cite(criterion.cite)}; "
            f"a dose was adequate at {chosen.fraction * 100:.6g} % of its level or more, "
            f"the level being {level}."
        )
        yield f"It was counted {CLOCKS[chosen.clock]}, against windows of {self.windows()}."
        days = listed(str(day) for day in chosen.calendar_days)
        yield (
            f"Beside it stands the calendar: response by day {days}. "
            f"A response more than {chosen.grace_days} days after cover ended is shown apart, "
            f"and courses were judged whole once {chosen.mature_days} days old. "
            "No study has validated such windows; they describe exposure, not cause."
        )

    def windows(self) -> str:
        if self.plan.good_time.windows is not None:
            return listed(str(window) for window in self.plan.good_time.windows)
        trials = [p for p in self.protocols if p.trial is not None and p.trial_unit is not None]
        return listed(
            f"{listed(str(window) for window in p.trial or ())} {p.trial_unit} ({p.id})" for p in trials
        )

    def closing(self) -> Iterable[str]:
        if self.has_house_rules:
            yield "What is marked house is a convention of this software without a published source."
        yield (
            f"Analyses were made with ketaoutcomes {__version__}; "
            f"the analysis plan's SHA-256 begins {self.plan.hash[:12]}."
        )
