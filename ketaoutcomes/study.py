"""Study: a cohort under a plan as of a day. Every verb is one expression over the rooms below."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from ketaoutcomes.counts import (
    curve_counts,
    durability_counts,
    gain_counts,
    good_time_counts,
    safety_counts,
    strata,
)
from ketaoutcomes.counts.change_counts import count_change, count_joint
from ketaoutcomes.counts.counting import Request, count, row_flow
from ketaoutcomes.counts.tallies import KEYS, Header, Part, Tally, make
from ketaoutcomes.definitions import DefinitionError
from ketaoutcomes.definitions.change_rules import Choice, as_text, settle_rules
from ketaoutcomes.per_patient import good_time
from ketaoutcomes.per_patient.adequacy import basis_of
from ketaoutcomes.per_patient.derived import entry_rules
from ketaoutcomes.per_patient.outcomes import KINDS
from ketaoutcomes.per_patient.patients import Patients, Setting, groupable, settle
from ketaoutcomes.plan import Plan, PlanError
from ketaoutcomes.plan.sections import ORDINALS
from ketaoutcomes.records.cohort import Cohort
from ketaoutcomes.results import course_results, curve_results, response_curves
from ketaoutcomes.results.change_results import OWN_COLUMNS
from ketaoutcomes.results.course_results import as_tuple
from ketaoutcomes.results.partition import GoodTimeSummary, good_time_summary
from ketaoutcomes.rows import histories, row_tables, worklist
from ketaoutcomes.shown import WrongChoice, facts
from ketaoutcomes.tables import TABLES
from ketaoutcomes.verbs.change import ChangeVerbs, instruments_of
from ketaoutcomes.verbs.comparisons import ComparisonVerbs
from ketaoutcomes.verbs.curves import CurveVerbs
from ketaoutcomes.verbs.measures import MeasureVerbs
from ketaoutcomes.verbs.safety import SafetyVerbs
from ketaoutcomes.verbs.sensitivity import SensitivityVerbs
from ketaoutcomes.verbs.tables import TableVerbs

AXES = ("session", "week", "end", "month")
Names = str | Sequence[str] | None
Days = Sequence[int] | None

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from ketaoutcomes.verbs.plots import Plots


class Study(
    ChangeVerbs, CurveVerbs, MeasureVerbs, ComparisonVerbs, SensitivityVerbs, TableVerbs, SafetyVerbs
):
    """A cohort judged by a plan as of a day.

    `as_of` is a date ("2026-10-31"), a month ("2026-10": its last day) or None: the last date on record.
    Records after it do not exist. Data in day offsets take `people.cut_day`, or `complete = true` in the
    plan; without either nobody can be called due, and only `observed` rates are given.

    Raises `PlanError` with the line to write where the plan does not fit the data.

    >>> import ketaoutcomes as ko
    >>> study = ko.Study(ko.load_sample())
    >>> study.rates(at="end", criteria="phq9_response50", analysis="nri")[["met", "n"]].shape
    (1, 2)
    """

    def __init__(self, cohort: Cohort, as_of: str | date | None = None, *, plan: Plan | None = None) -> None:
        self.cohort = cohort
        self.plan = plan or cohort.plan
        self._setting: Setting = settle(
            cohort, self.plan, None if as_of is None else str(as_of).partition(" ")[0]
        )

    @property
    def as_of(self) -> str:
        """The last day whose records count: an ISO date, or complete, cut_day or none for undated data."""
        return self._setting.as_of

    def __repr__(self) -> str:
        return f"Study(as of {self.as_of}; {self.cohort!r}; {self.plan!r})"

    def _repr_html_(self) -> str:
        own = [("cohort", repr(self.cohort)), ("as of", self.as_of), ("plan", repr(self.plan))]
        return facts(own, "Study")

    @cached_property
    def plot(self) -> Plots:
        """The study's figures: `study.plot.rates(at="session")` draws the table `study.rates` gives."""
        from ketaoutcomes.verbs.plots import Plots

        return Plots(self)

    # The tables, patient by patient.

    @cached_property
    def courses(self) -> pd.DataFrame:
        """One row per patient and course; columns as declared for `courses`."""
        return row_tables.stacked("courses", [row_tables.courses(p) for p in self._blocks])

    @cached_property
    def baselines(self) -> pd.DataFrame:
        """One row per patient, course and instrument; columns as declared for `baselines`."""
        parts = [row_tables.baselines(p, name) for p in self._blocks for name in self.plan.instruments]
        return row_tables.stacked("baselines", parts).sort_values(
            ["patient", "course", "instrument"], kind="stable", ignore_index=True
        )

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """One row per score after the first dose of a course; columns as declared for `outcomes`."""
        parts = [row_tables.outcomes(p, name) for p in self._blocks for name in self.plan.instruments]
        return row_tables.stacked("outcomes", parts).sort_values(
            ["patient", "course", "instrument", "day", "timing"], kind="stable", ignore_index=True
        )

    def points(self, *, at: Names = AXES, criteria: Names = None, kind: Names = "current") -> pd.DataFrame:
        """The state of every eligible headline course at every point: who is missing, and why.

        One row per course, criterion, kind, axis and point; columns as declared for `points`. The states
        are listed there; `rates` are counts of exactly these rows.
        """
        axes, names, kinds = self._axes(at), self._criteria(criteria), self._kinds(kind)
        parts = [row_tables.points(p, axis, names, kinds) for p in self._blocks for axis in axes]
        return row_tables.stacked("points", parts)

    def good_time(
        self, criteria: Names = None, *, basis: str | None = None, clock: str | None = None
    ) -> pd.DataFrame:
        """Whether each eligible course has had long enough at a dose that could have worked.

        One row per course and criterion (default: the plan's response); columns as declared for `good_time`.
        `basis` (target, fixed, or maximum: circular, for notebooks only) and `clock` (cumulative, doses,
        first_reach, contiguous) replace the plan's. Describes exposure, not cause: not a reason to raise,
        prolong or stop a dose. Raises `PlanError` where the last day on record is not known.
        """
        chosen = good_time.check_asked(self._setting, basis, clock)
        names = (self.plan.good_time.criterion,) if criteria is None else self._criteria(criteria)
        wanted = [self.plan.definitions.criterion(name) for name in names]
        parts = [good_time.table(p, criterion, chosen, clock) for p in self._blocks for criterion in wanted]
        table = pd.concat(parts, ignore_index=True)
        keys = ["patient", "course", "instrument", "criterion"]
        return table.sort_values(keys, kind="stable", ignore_index=True)

    def stretches(self, *, basis: str | None = None) -> pd.DataFrame:
        """When each judged course was titrating, adequate, dipped or lapsed: row-level, for drawing only.

        One row per stretch: patient, course, state, from_day and to_day (exclusive) from the first dose.
        """
        chosen = good_time.check_asked(self._setting, basis, None)
        criterion = self.plan.definitions.criterion(self.plan.good_time.criterion)
        parts = [good_time.stretches(p, criterion, chosen) for p in self._blocks]
        return pd.concat(parts, ignore_index=True)

    def history(self, criterion: str | None = None, *, patients: Names = None) -> pd.DataFrame:
        """Doses and scores of each eligible course by day since its first dose: row-level, for drawing only.

        Columns as `histories.history` has them; `patients` names those wanted.
        """
        table = self.good_time(criterion)
        if patients is not None:
            table = table[table["patient"].isin(as_tuple(patients))]
        return histories.history(self.cohort, self.courses, self.baselines, self.outcomes, table)

    def worklist(self) -> pd.DataFrame:
        """Whose course to look at, and why: internal, row by row, and not an alert.

        One row per patient's latest course and reason (`worklist.REASONS`); columns as `worklist.worklist`
        has them. Shows what is on record by the as-of day, gravest reason first. Raises `PlanError` where the
        last day on record is not known.
        """
        if self.as_of in ("none", "complete"):
            raise PlanError(lines=["a worklist needs the last day on record: give dates, or people.cut_day"])
        return worklist.in_order([worklist.worklist(p) for p in self._blocks])

    # The counts, and what is computed from them.

    def tally(
        self,
        *,
        by: Names = None,
        at: Names = AXES,
        criteria: Names = None,
        kind: Names = KINDS,
        tables: Sequence[str] = tuple(KEYS),
        change: Mapping[str, Choice] | None = None,
    ) -> Tally:
        """Counts of this study by one grouping, from which every published number is computed.

        `by` names people columns, the course's own route, unit, protocol, site and start_quarter, or its
        severity at baseline (`phq9_baseline_band`). Where the axes include sessions, protocol leads the
        grouping, because a session is a session of a protocol. Tallies of other patients under the same
        plan, as-of day and grouping add to this one. With "good_time" among the tables, good time is counted
        as well, by the plan's response and clock; with "delayed_entry" too, what delayed-entry curves need
        (notebooks only). "curves" adds time to response, "durability" what came after it.
        With "change", change beyond error on every instrument of the criteria, by
        published numbers unless `change` names others (options of `change_rules.settle_rules`); with
        "joint", every two criteria of different instruments; with "strata", what imputation needs, under
        kind `imputation`. With "safety", side effects and who got worse.
        """
        axes = self._axes(at)
        names = self._criteria(criteria)
        grouping = groupable(as_tuple(by or ()), TAKEN.__contains__)
        if "session" in axes and "protocol" not in grouping:
            grouping = ("protocol", *grouping)
        wanted = instruments_of(self.plan, names) if "change" in tables else ()
        rules = settle_rules(self.plan.definitions, wanted, **(change or {}))
        request = Request(grouping, axes, names, self._kinds(kind), tuple(tables), rules)
        basis = basis_of(self.cohort, self.plan) if "good_time" in tables else ""
        parts: dict[str, list[Part]] = {name: [] for name in KEYS}
        for p in self._setting.blocks() if "_blocks" not in self.__dict__ else self._blocks:
            for counts in _counts(p, request, basis):
                for name, found in counts.items():
                    parts[name] += found
        if "flow" in tables:
            parts["flow"].append(row_flow(self.cohort.ledger, grouping))
        plan = self._plan_with(names)
        lasting = durability_counts.rules_counted(plan, names) if "durability" in tables else ()
        lasting += gain_counts.rules_counted(plan, names) if "sudden_gains" in tables else ()
        kinds = (*request.kinds, strata.KIND) if "strata" in tables else request.kinds
        header = Header(
            plan=plan.canonical(), plan_hash=plan.hash, as_of=self.as_of, by=grouping, axes=axes,
            criteria=names, kinds=kinds, courses=self.plan.population.courses,
            basis=basis, change=as_text(rules), entry=entry_rules(grouping, plan.definitions),
            lasting=lasting, dates=self.cohort.dates,
            sources=tuple(sorted(source.sha256 for source in self.cohort.sources)),
        )  # fmt: skip
        return make(header, parts)

    def rates(
        self,
        *,
        at: str = "session",
        by: Names = None,
        criteria: Names = None,
        kind: Names = "current",
        analysis: Names = ("nri", "observed"),
        interval: str | None = None,
        level: float | None = None,
    ) -> pd.DataFrame:
        """Response, remission and other rates at each session, week, end of induction or month.

        One row per group, criterion, kind, analysis and point; columns as declared for `rates`.
        `at="session"` is always by protocol. `analysis`: nri (missing = not met; the headline), observed (of
        those scored), locf (legacy). `kind`: current, ever or sustained. Intervals are Wilson 95 % unless the
        plan or `interval` (exact, jeffreys) and `level` say otherwise.
        """
        course_results.one_axis(at)
        counted = self.tally(by=by, at=at, criteria=criteria, kind=kind or "current", tables=("points",))
        return course_results.rates(
            counted, at=at, kind=as_tuple(kind or "current"),
            analysis=as_tuple(analysis or course_results.ANALYSES), interval_method=interval, level=level,
        )  # fmt: skip

    def repeats(
        self, criteria: Names = None, *, at: str = "end", by: Names = None, most: int = 3
    ) -> pd.DataFrame:
        """Rates of repeat courses beside the first, each course against its own baseline.

        As `rates`, with course before it: first, second, ..., of the eligible ones of each person. Who has
        a second course is not like who has one: the rows are no trend.
        """
        day, parts = None if self.cohort.dates == "offsets" else self.as_of, []
        for ordinal in ORDINALS[:most]:
            own = Study(self.cohort, day, plan=self.plan.replace(population={"courses": ordinal}))
            parts.append(own.rates(at=at, by=by, criteria=criteria).assign(course=ordinal))
        table = pd.concat(parts, ignore_index=True)
        return table[["course", *(name for name in table.columns if name != "course")]]

    def flow(self, *, by: Names = None) -> pd.DataFrame:
        """Every input row, patient and course accounted for, with reasons that add up within each step."""
        return course_results.flow(self.tally(by=by, at="end", tables=("flow",)))

    def retention(self, *, by: Names = None) -> pd.DataFrame:
        """Who reached each session of the protocol, from doses alone, and on which day against the plan."""
        return course_results.retention(self.tally(by=by, at="session", tables=("flow", "values")))

    def measured(self, *, by: Names = None) -> pd.DataFrame:
        """Who was scored, and how far: a baseline, any later score, an end score."""
        return course_results.measured(self.tally(by=by, at="end", tables=("flow",)))

    def timing(self, *, by: Names = None) -> pd.DataFrame:
        """Median days from each session's dose to the score judged there."""
        return course_results.timing(self.tally(by=by, at="session", tables=("values",)))

    def trajectory(self, *, at: Names = "session", by: Names = None, variable: str = "score") -> pd.DataFrame:
        """Mean score or change at each point, of those scored there, with its standard deviation."""
        return course_results.trajectory(self.tally(by=by, at=at, tables=("values",)), variable)

    @property
    def has_sites(self) -> bool:
        """Whether the records name more than one site."""
        people = self.cohort.people
        named = set(people["site"].dropna()) if "site" in people else set()
        return len(named | set(self.cohort.dose_records.sites)) > 1

    def report(
        self,
        out: str | Path,
        *,
        audience: str | None = None,
        previous: str | Path | None = None,
        pdf: bool = False,
        force: bool = False,
    ) -> list[Path]:
        """Write report.html, email.eml, tables.xlsx, results.json and manifest.json to `out`, all or none.

        A `shared` report (the default) is made of counts protected by the plan's disclosure profile; an
        `internal` one holds exact counts and says on every page that it must not be passed on. The same input
        gives the same bytes. `previous` is the folder of the last shared report: this one is then protected
        beside it, so that their difference tells of nobody. `pdf` adds report.pdf, with the extra `[pdf]`.
        Returns the paths; raises `report.CannotWrite` where the folder cannot be replaced, and the old report
        then stands as it was.
        """
        from ketaoutcomes.published import published, report_meta
        from ketaoutcomes.report import write

        reader = audience or self.plan.report.audience
        told = published(self, audience=reader, previous=previous)
        profile = None if reader == "internal" else self.plan.report.profile
        return write(
            out, tallies=told.tallies, plan=self.plan, meta=report_meta(self, told.tallies), profile=profile,
            audience=reader, history=told.history, steps=told.steps, restated=told.restated,
            benchmarks=told.benchmarks, follows=told.follows, as_pdf=pdf, force=force,
        )  # fmt: skip

    def state_occupation(self, *, by: Names = None, days: Days = None) -> pd.DataFrame:
        """Where everyone who started stands on each day since the first dose: the share in each state.

        Titrating, adequate, dipped, lapsed, responded before the level or after it: a partition of all who
        started, whose responded bands sum to `all_started`. Columns as `curve_results.state_occupation` has
        them. Raises `PlanError` where the last day on record is not known.
        """
        return curve_results.state_occupation(self._moves(by), days=days)

    def all_started(self, *, by: Names = None, days: Days = None) -> pd.DataFrame:
        """The share of everyone who started that has responded by each day, whatever their dose."""
        return curve_results.all_started(self._moves(by), days=days)

    def from_reached(self, *, by: Names = None, days: Days = None) -> pd.DataFrame:
        """Response since the level was reached, among those who reached it unresponded; lapse competes.

        Never set it against `all_started`: those who responded low or dropped out are not in it.
        """
        return curve_results.from_reached(self._moves(by), days=days)

    def delayed_entry(self, *, by: Names = None, days: Days = None) -> pd.DataFrame:
        """`from_reached` by day since the first dose, followed once they reach it: notebooks only."""
        return curve_results.delayed_entry(self._moves(by, "delayed_entry"), days=days)

    def _moves(self, by: Names, *more: str) -> Tally:
        good_time.check_asked(self._setting, None, None)
        return self.tally(by=by, at="end", tables=("good_time", *more))

    def good_time_summary(self, *, by: Names = None) -> GoodTimeSummary:
        """Good time of headline courses, mature and younger apart: the partition, time accounts, a sentence.

        The tables are attributes, described in `GoodTimeSummary`; all are computed from counts. Describes
        exposure, not cause. Raises `PlanError` where the last day on record is not known.
        """
        good_time.check_asked(self._setting, None, None)
        return good_time_summary(self.tally(by=by, at="end", tables=("good_time",)))

    # What was asked for, checked.

    def _axes(self, at: Names) -> tuple[str, ...]:
        return _known(as_tuple(at or AXES), AXES, "at")

    def _kinds(self, kind: Names) -> tuple[str, ...]:
        return _known(as_tuple(kind or KINDS), KINDS, "kind")

    def _criteria(self, names: Names) -> tuple[str, ...]:
        """Full criterion names; a bare name means every instrument that has it and was recorded."""
        if names is None:
            wanted: Iterable[str] = self.plan.criteria.primary
        else:
            wanted = [c.name for name in as_tuple(names) for c in self._named(name)]
        return tuple(dict.fromkeys(wanted))

    def _named(self, name: str) -> list[Any]:
        found = self.plan.definitions.criteria_named(name)
        recorded = [c for c in found if c.instrument in self.cohort.score_records]
        if len(found) > 1 and not recorded:
            raise DefinitionError(f"no instrument with a criterion {name!r} was recorded")
        return recorded if len(found) > 1 else list(found)

    def _by_plan(self, plan: Plan, cohort: Cohort | None = None) -> Study:
        """These records (or some of them), to the same day, judged by another plan."""
        day = None if self.cohort.dates == "offsets" else self.as_of
        return Study(self.cohort if cohort is None else cohort, day, plan=plan)

    def _plan_with(self, names: Sequence[str]) -> Plan:
        """The plan, also naming criteria asked for beyond it, so that a Tally's header defines them all."""
        known = (*self.plan.criteria.primary, *self.plan.criteria.also)
        extra = tuple(sorted(set(names) - set(known)))
        if not extra:
            return self.plan
        from dataclasses import replace

        return self.plan.replace(
            criteria=replace(self.plan.criteria, also=(*self.plan.criteria.also, *extra))
        )


def tally(
    cohort: Cohort, plan: Plan | None = None, *, as_of: str | None = None, by: Names = None, at: Names = AXES
) -> Tally:
    """The Tally of one cohort, or of one part of it: `sum(ko.tally(part, plan, as_of=A) for part in parts)`.

    Give `as_of` when parts are counted apart: each would otherwise end on its own last day.
    """
    return Study(cohort, as_of, plan=plan).tally(by=by, at=at)


def _counts(p: Patients, request: Request, basis: str) -> Iterator[Mapping[str, Sequence[Part]]]:
    """What one block of patients adds to a Tally, from each of the counters asked for."""
    yield count(p, request)
    if "good_time" in request.tables:
        delayed = "delayed_entry" in request.tables
        yield good_time_counts.count(p, request.by, basis, delayed=delayed)
    if "curves" in request.tables:
        yield curve_counts.count(p, request.by, request.criteria)
    if "change" in request.tables:
        yield count_change(p, request)
    if "joint" in request.tables:
        yield count_joint(p, request)
    if "strata" in request.tables:
        yield strata.count(p, request.by, request.axes, request.criteria)
    if "durability" in request.tables:
        yield durability_counts.count(p, request.by, request.criteria)
    if "sudden_gains" in request.tables:
        yield gain_counts.count(p, request.by, request.criteria)
    if "safety" in request.tables:
        yield safety_counts.count(p, request.by, request.axes)


OF_RESULTS = {
    "people",
    "reference",
    "difference",
    "session",
    "of",
    "step",
    "median",
    "median_day",
    "planned_day",
    "median_days",
    "mean",
    "sd",
    *response_curves.COLUMNS,
    *TABLES["sensitivity"].names,
}
TAKEN = (
    {key for keys in KEYS.values() for key in keys} | set(TABLES["rates"].names) | OF_RESULTS | OWN_COLUMNS
)
"""Names that a grouping may not have: columns of the results."""


def _known(given: tuple[str, ...], allowed: tuple[str, ...], name: str) -> tuple[str, ...]:
    wrong = [value for value in given if value not in allowed]
    if wrong:
        raise WrongChoice(f"{name} must be one of {', '.join(allowed)}; got {', '.join(map(repr, wrong))}")
    return given


__all__ = ["AXES", "PlanError", "Study", "tally"]
