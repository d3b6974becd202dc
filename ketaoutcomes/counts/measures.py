"""Quality measures: who enters, and in which one state each person then is.

One engine for every measure; what differs stands in `definitions/measures.toml`. It follows the published
logic for self-checking and is not a certified eCQM engine.

Everyone who enters is in exactly one state: `excluded:<reason>`, `not_due` (the follow-up window is not yet
over), `missing` (it is, and holds no score), `not_met` or `met`. No follow-up score is never a success.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.counting import tabulate
from ketaoutcomes.counts.tallies import Header, make
from ketaoutcomes.definitions import MISSING, Measure, MeasureRate, met
from ketaoutcomes.per_patient.courses import NEVER
from ketaoutcomes.per_patient.occurrences import (
    AGE,
    FAR,
    NO_DAY,
    Events,
    Spans,
    born,
    events_of,
    months_later,
    starts,
)
from ketaoutcomes.per_patient.patients import Patients, Setting, grouping
from ketaoutcomes.plan import Plan, PlanError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ketaoutcomes.counts.tallies import Counted, Tally

Array = Any
STATES = ("met", "not_met", "missing", "not_due")
MET, NOT_MET, UNSCORED, NOT_DUE = range(4)
OF_SCORES = ("age_unknown",)
OF_COURSES = ("few_sessions", "no_first_score", "below_caseness")
_YEAR, _MONTH = re.compile(r"[12]\d{3}"), re.compile(r"[12]\d{3}-(0[1-9]|1[0-2])")


@dataclass(frozen=True)
class Period:
    """A measurement period: its name, and its first and last day since 1970; None: everything on record."""

    label: str = "all"
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, eq=False)
class Asked:
    """A measure as it is judged on one cohort: its definition, its periods, and which parts are judged.

    `parts` are what it asks of the records beside scores: occurrences, an age, or questionnaires. Those not
    among `judged` are on no record of the cohort: nobody is kept out, or left out, for their sake.
    """

    measure: Measure
    periods: tuple[Period, ...]
    parts: tuple[str, ...]
    judged: frozenset[str]
    events: Events
    born: NDArray[np.int64]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why someone can be left out, in the order in which that is asked."""
        own = OF_SCORES if self.measure.entry == "score" else OF_COURSES
        return (*own, *(one.reason for one in self.measure.exclusions))

    @property
    def labels(self) -> tuple[str, ...]:
        """Every state by its code."""
        return (*STATES, *(f"excluded:{reason}" for reason in self.reasons))

    def text(self, plan: Plan) -> str:
        """What was counted, for a Tally's header: equal texts count the same thing."""
        content = plan.definitions.measure_text(self.measure.id) | {
            "periods": [period.label for period in self.periods],
            "reasons": self.reasons,
            "parts": self.parts,
            "judged": sorted(self.judged),
        }
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    def excluded(self, reason: str) -> int:
        """The code of the state of those left out for a reason."""
        return len(STATES) + self.reasons.index(reason)


@dataclass(frozen=True, eq=False)
class Entered:
    """Those of a block who enter a measure, once each, in days of their own calendar.

    `first` and `last` hold each questionnaire's ticks at entry and at the end of follow-up, MISSING where
    there is none. `state` is the state as far as it does not depend on what counts as met (-1: it does).
    """

    patient: NDArray[np.int64]
    day: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    scored: NDArray[np.int64]
    first: Mapping[str, NDArray[np.int32]]
    last: Mapping[str, NDArray[np.int32]]
    state: NDArray[np.int64]


def ask(
    setting: Setting, name: str, periods: Sequence[str | int | None], judge: Sequence[str] | None
) -> Asked:
    """Settle for a whole cohort what a measure can judge. Raises `PlanError` with the line to write."""
    definitions = setting.plan.definitions
    measure = definitions.measure(name)
    events = events_of(setting)
    asked = [definitions.occurrences[one] for one in measure.occurrences]
    recorded = {one.id for one in asked if events.on_record(one)}
    recorded |= {AGE} if {"birth_day", AGE} & set(setting.cohort.people.columns) else set()
    recorded |= set(setting.cohort.score_records)
    parts = (*((AGE,) if measure.age_at_least else ()), *measure.occurrences)
    parts = (*parts, *measure.instruments) if measure.entry == "course" else parts
    lines = [] if judge is None else [
        f"judge={one!r}: {name} asks for {', '.join(parts) or 'nothing'}" for one in judge if one not in parts
    ]  # fmt: skip
    wanted = tuple(_period(one, measure, lines) for one in periods)
    if setting.as_of == "none":
        lines.append(
            f"{name} needs the last day on record: give people.cut_day, or write in the plan: "
            "[population] complete = true"
        )
    dated = setting.cohort.dates != "offsets"
    if not dated and (measure.follow_up_months or any(period.first is not None for period in wanted)):
        lines.append(f"{name} counts calendar months: give dates, or people.start_date beside day offsets")
    if not set(measure.instruments) & set(setting.cohort.score_records):
        lines.append(f"{name} judges {' and '.join(measure.instruments)}, and no such score was recorded")
    judged = frozenset(recorded if judge is None else judge) & frozenset(parts)
    if measure.entry == "course" and not judged:
        lines.append(f"judge must name one of {', '.join(parts)}")
    if lines:
        raise PlanError(lines=lines)
    return Asked(measure, wanted, parts, judged, events, born(setting))


def _period(given: str | int | None, measure: Measure, lines: list[str]) -> Period:
    """A measurement period from what was written: a year, a month for courses, or None for all records."""
    if given is None:
        return Period()
    text = str(given)
    if _YEAR.fullmatch(text):
        first = np.datetime64(text, "Y").astype("datetime64[D]")
        last = (np.datetime64(text, "Y") + 1).astype("datetime64[D]") - 1
    elif _MONTH.fullmatch(text) and measure.entry == "course":
        first = np.datetime64(text, "M").astype("datetime64[D]")
        last = (np.datetime64(text, "M") + 1).astype("datetime64[D]") - 1
    else:
        month = ", or a month such as 2025-04" if measure.entry == "course" else ""
        lines.append(f"a measurement period is a year such as 2025{month}; leave it out for all records")
        return Period()
    return Period(text, int(first.astype(np.int64)), int(last.astype(np.int64)))


def entered(p: Patients, asked: Asked, period: Period) -> Entered:
    """Who of a block enters a measure in a period, and how far their state is settled."""
    if asked.measure.entry == "course":
        return _by_course(p, asked, period)
    return _by_score(p, asked, period)


def states(p: Patients, asked: Asked, who: Entered, rate: MeasureRate) -> NDArray[np.int64]:
    """The state of everyone who entered under one of the measure's rates, as codes into `asked.labels`."""
    verdict = _verdict(p, asked, who, rate)
    judged = np.where(verdict < 0, UNSCORED, np.where(verdict == 1, MET, NOT_MET))
    state = np.where(who.state >= 0, who.state, judged)
    if asked.measure.entry == "course" and rate.rule != "reliable_improvement":
        below = (who.state < 0) | (who.state == UNSCORED)
        below &= ~_any_at_caseness(p, asked, who.first)
        state = np.where(below, asked.excluded("below_caseness"), state)
    return state


def count(p: Patients, by: Sequence[str], asked: Asked) -> Iterator[Counted]:
    """The rows of a Tally's points that one block of patients adds."""
    groups = grouping(p, by)
    for period in asked.periods:
        who = entered(p, asked, period)
        for rate in asked.measure.rates:
            keys = {
                "instrument": "+".join(asked.measure.instruments), "criterion": rate.name, "axis": "measure",
                "point": period.label, "state": (states(p, asked, who, rate), asked.labels),
            }  # fmt: skip
            yield tabulate("points", groups, groups.of_patient[who.patient], keys)


def tally(setting: Setting, plan: Plan, asked: Asked, by: tuple[str, ...]) -> Tally:
    """The counts of a measure. `plan` also names the criteria the measure judges by."""
    header = Header(
        plan=plan.canonical(), plan_hash=plan.hash, as_of=setting.as_of, by=by, axes=("measure",),
        criteria=tuple(rate.name for rate in asked.measure.rates), kinds=("",), measure=asked.text(plan),
        dates=setting.cohort.dates,
        sources=tuple(sorted(source.sha256 for source in setting.cohort.sources)),
    )  # fmt: skip
    return make(header, {"points": [one for p in setting.blocks() for one in count(p, by, asked)]})


def table(p: Patients, asked: Asked) -> Iterator[pd.DataFrame]:
    """The state of everyone who entered, one row per person, rate and period: row-level, do not share."""
    for period in asked.periods:
        who = entered(p, asked, period)
        for rate in asked.measure.rates:
            yield pd.DataFrame(
                {
                    "patient": p.names[who.patient],
                    "measure": asked.measure.id,
                    "criterion": rate.name,
                    "period": period.label,
                    "index_day": who.day,
                    "index_score": _alone(p, asked, who.first, len(who.day)),
                    "from_day": who.low,
                    "until_day": who.high,
                    "day": pd.array(np.where(who.scored == NO_DAY, np.nan, who.scored), dtype="Int64"),
                    "score": _alone(p, asked, who.last, len(who.day)),
                    "state": np.array(asked.labels, dtype=object)[states(p, asked, who, rate)],
                }
            )


def _alone(p: Patients, asked: Asked, scores: Mapping[str, Array], n: int) -> Array:
    """Scores in points, of a measure of one questionnaire; blank where several are judged together."""
    if asked.measure.entry != "score":
        return np.full(n, np.nan)
    (name,) = asked.measure.instruments
    per_point = p.plan.definitions.instrument(name).ticks
    return np.where(scores[name] == MISSING, np.nan, scores[name] / per_point)


# Entry by a score.


def _by_score(p: Patients, asked: Asked, period: Period) -> Entered:
    measure, definitions = asked.measure, p.plan.definitions
    ((name, least),) = measure.at_least.items()
    totals, cut, start = p.totals(name), _cut(p), starts(p.setting)[p.low : p.high]
    first, last = _identification(measure, period, start)
    day = (totals.time >> 1).astype(np.int64)
    high_enough = totals.ticks >= least * definitions.instrument(name).ticks
    at = np.flatnonzero(high_enough & (day <= cut[totals.patient]))
    at = at[_with_visit(p, asked, totals.patient[at].astype(np.int64), day[at], first, last)]
    at = at[np.unique(totals.patient[at], return_index=True)[1]]
    who = totals.patient[at].astype(np.int64)
    old, unknown = _old_enough(p, asked, who, day[at], start)
    at, who, unknown = at[old | unknown], who[old | unknown], unknown[old | unknown]
    low, high = _follow_up(measure, day[at], start[who])
    found = totals.moments.last_by(who, 2 * np.minimum(high, cut[who]) + 1)
    safe = np.maximum(found, 0)
    fine = (found >= 0) & (day[safe] >= low) & (totals.patient[safe] == who)
    last_ticks = np.where(fine, totals.ticks[safe], MISSING).astype(np.int32)
    scored = np.where(fine, day[safe], NO_DAY)
    state = np.where(high > cut[who], NOT_DUE, -1)
    left_out = _left_out(p, asked, who, first[who], high, _bounds(period, start[who]))
    state = np.where(left_out >= 0, left_out, state)
    state = np.where(unknown, asked.excluded("age_unknown"), state)
    return Entered(who, day[at], low, high, scored, {name: totals.ticks[at]}, {name: last_ticks}, state)


def _cut(p: Patients) -> NDArray[np.int64]:
    return p.setting.cut[p.low : p.high]


def _identification(measure: Measure, period: Period, start: Array) -> tuple[Array, Array]:
    """Each patient's first and last day of the identification period; all days where there is no period."""
    unknown = start == NO_DAY
    if period.first is None:
        return np.where(unknown, FAR, -FAR), np.full(len(start), FAR)
    months = measure.identification_months or (0, 12)
    first, end = (months_later(period.first, month) for month in months)
    zero = np.where(unknown, 0, start)
    return np.where(unknown, FAR, first - zero), np.where(unknown, -FAR, end - 1 - zero)


def _bounds(period: Period, start: Array) -> tuple[Array, Array]:
    """The measurement period's first and last day in days of the patients' own."""
    if period.first is None or period.last is None:
        return np.full(len(start), -FAR), np.full(len(start), FAR)
    return period.first - start, period.last - start


def _with_visit(p: Patients, asked: Asked, who: Array, day: Array, first: Array, last: Array) -> Array:
    """Which scores count as entry: with a visit and the diagnosis, as far as those are on record."""
    measure = asked.measure
    diagnosis = _spans(p, asked, measure.diagnosis)
    visits = _spans(p, asked, measure.encounter)
    if visits is None:
        fine = (first[who] <= day) & (day <= last[who])
        if diagnosis is not None:
            before, after = measure.diagnosis_days or (0, 0)
            fine &= diagnosis.touch(who, day + before, day + after)
        return fine
    within = (first[visits.patient] <= visits.last) & (visits.last <= last[visits.patient])
    if diagnosis is not None:
        within &= diagnosis.touch(visits.patient, visits.first, visits.last)
    return visits.only(within).touch(who, day, day + measure.encounter_days)


def _spans(p: Patients, asked: Asked, name: str | None) -> Spans | None:
    """The stretches of an occurrence; None where the measure does not ask for it, or nothing can tell."""
    if name is None or name not in asked.judged:
        return None
    return asked.events.spans(p.plan.definitions.occurrences[name], p.setting, p.low, p.high)


def _old_enough(p: Patients, asked: Asked, who: Array, day: Array, start: Array) -> tuple[Array, Array]:
    """Who has reached the age a measure asks for by a day, and of whom it is not known."""
    years = asked.measure.age_at_least
    if years is None or AGE not in asked.judged:
        return np.ones(len(who), dtype=bool), np.zeros(len(who), dtype=bool)
    birth = asked.born[p.low : p.high][who]
    unknown = birth == NO_DAY
    birthday = months_later(np.where(unknown, 0, birth), 12 * years)
    return ~unknown & (birthday <= start[who] + day), unknown


def _follow_up(measure: Measure, day: Array, start: Array) -> tuple[Array, Array]:
    """The first and last day of each follow-up window."""
    if measure.follow_up_days is not None:
        return day + measure.follow_up_days[0], day + measure.follow_up_days[1]
    target = months_later(start + day, measure.follow_up_months or 0) - start
    return target - measure.margin_days, target + measure.margin_days


def _left_out(
    p: Patients, asked: Asked, who: Array, identified: Array, high: Array, bounds: tuple[Array, Array]
) -> Array:
    """The first reason for which each is left out, as a state; -1: none."""
    since = {"ever": np.full(len(who), -FAR), "identification": identified, "period": bounds[0]}
    until = {"follow_up": high, "period": bounds[1]}
    state = np.full(len(who), -1, dtype=np.int64)
    for one in reversed(asked.measure.exclusions):
        for name in one.occurrences:
            spans = _spans(p, asked, name)
            if spans is not None:
                touched = spans.touch(who, since[one.since], until[one.until])
                state = np.where(touched, asked.excluded(one.reason), state)
    return state


# Entry by a course of treatment.


def _by_course(p: Patients, asked: Asked, period: Period) -> Entered:
    measure, c, cut = asked.measure, p.courses, _cut(p)
    start = starts(p.setting)[p.low : p.high]
    end = c.last_end.astype(np.int64)
    within = np.ones(len(c), dtype=bool)
    if period.first is not None:
        first, last = _bounds(period, start[c.patient])
        within = (first <= end) & (end <= last) & (start[c.patient] != NO_DAY)
    rows = np.flatnonzero(within)
    rows = rows[np.unique(c.patient[rows], return_index=True)[1]]
    who, begun = c.patient[rows].astype(np.int64), c.first[rows].astype(np.int64)
    over = end[rows] + measure.after_last_dose_days
    until = np.minimum(2 * np.minimum(over, cut[who]) + 1, 2 * c.next_first[rows].astype(np.int64))
    names = [name for name in measure.instruments if name in asked.judged]
    first_ticks = {name: p.baselines(name).ticks[rows] for name in names}
    last_ticks, scored = {}, np.full(len(rows), NO_DAY)
    for name in names:
        last_ticks[name], day = _last_score(p, name, who, 2 * begun + 1, until)
        scored = np.maximum(scored, day)
    ended = (end[rows] + c.gap[rows] < cut[who]) & (c.gap[rows] < NEVER) & (over <= cut[who])
    none = ~np.any([ticks != MISSING for ticks in first_ticks.values()], axis=0)
    state = np.where(_lacking(first_ticks, last_ticks), UNSCORED, -1)
    state = np.where(none, asked.excluded("no_first_score"), state)
    few = (c.stop - c.start)[rows] < measure.sessions_at_least
    state = np.where(few, asked.excluded("few_sessions"), state)
    state = np.where(ended, state, NOT_DUE)
    return Entered(who, begun, begun, over, scored, first_ticks, last_ticks, state)


def _last_score(p: Patients, name: str, who: Array, since: Array, until: Array) -> tuple[Array, Array]:
    """The last score of one questionnaire between two times, in ticks, and its day."""
    totals = p.totals(name)
    if not len(totals.time):
        return np.full(len(who), MISSING, dtype=np.int32), np.full(len(who), NO_DAY)
    at = totals.moments.last_by(who, until)
    safe = np.maximum(at, 0)
    fine = (at >= 0) & (totals.patient[safe] == who) & (totals.time[safe] >= since)
    ticks = np.where(fine, totals.ticks[safe], MISSING).astype(np.int32)
    return ticks, np.where(fine, totals.time[safe] >> 1, NO_DAY)


def _lacking(first: Mapping[str, Array], last: Mapping[str, Array]) -> Array:
    """Whether a questionnaire with a first score lacks a last one."""
    return np.any([(first[name] != MISSING) & (last[name] == MISSING) for name in first], axis=0)


def _any_at_caseness(p: Patients, asked: Asked, scores: Mapping[str, Array]) -> Array:
    """Whether any questionnaire is at caseness; all are scored so that high is worse."""
    limits = {
        name: asked.measure.caseness[name] * p.plan.definitions.instrument(name).ticks for name in scores
    }
    return np.any([(scores[name] != MISSING) & (scores[name] >= limits[name]) for name in scores], axis=0)


def _verdict(p: Patients, asked: Asked, who: Entered, rate: MeasureRate) -> NDArray[np.int8]:
    """1 met, 0 not met, -1 where there is no score to judge."""
    if rate.rule == "criterion":
        criterion = p.plan.definitions.criterion(rate.criterion)
        name = criterion.instrument
        ticks = p.plan.definitions.instrument(name).ticks
        verdict: NDArray[np.int8] = met(criterion, who.first[name], who.last[name], ticks)
        return verdict
    if rate.rule == "scored":
        (last,) = who.last.values()
        return np.where(last != MISSING, 1, -1).astype(np.int8)
    recovered = ~_any_at_caseness(p, asked, who.last)
    improved = _improved(p, asked, who)
    yes = {"recovery": recovered, "reliable_improvement": improved}.get(rate.rule, recovered & improved)
    result: NDArray[np.int8] = yes.astype(np.int8)
    return result


def _improved(p: Patients, asked: Asked, who: Entered) -> Array:
    """One questionnaire fell by its reliable change, and none rose by it."""
    better, worse = np.zeros(len(who.day), dtype=bool), np.zeros(len(who.day), dtype=bool)
    for name, first in who.first.items():
        change = asked.measure.reliable[name] * p.plan.definitions.instrument(name).ticks
        both = (first != MISSING) & (who.last[name] != MISSING)
        fall = np.where(both, first.astype(np.int64) - who.last[name].astype(np.int64), 0)
        better |= fall >= change
        worse |= fall <= -change
    return better & ~worse
