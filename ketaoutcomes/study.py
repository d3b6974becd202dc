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
    lasting_counts,
    safety_counts,
    strata,
)
from ketaoutcomes.counts.change_counts import count_change, count_joint
from ketaoutcomes.counts.counting import Request, count, row_flow
from ketaoutcomes.counts.tallies import KEYS, Header, Part, Tally, make
from ketaoutcomes.definitions import DefinitionError
from ketaoutcomes.definitions.change_rules import Choice, as_text, settle_rules
from ketaoutcomes.notices import notice, silent
from ketaoutcomes.per_patient.adequacy import basis_of
from ketaoutcomes.per_patient.derived import entry_rules
from ketaoutcomes.per_patient.ends import warn_of_ends
from ketaoutcomes.per_patient.outcomes import KINDS
from ketaoutcomes.per_patient.patients import Patients, Setting, groupable, settle
from ketaoutcomes.plan import Plan, PlanError
from ketaoutcomes.plan.sections import ORDINALS
from ketaoutcomes.records.cohort import Cohort
from ketaoutcomes.results import course_results, response_curves
from ketaoutcomes.results.change_results import OWN_COLUMNS
from ketaoutcomes.results.course_results import as_tuple
from ketaoutcomes.shown import WrongChoice, expect, facts
from ketaoutcomes.tables import TABLES
from ketaoutcomes.verbs.change import ChangeVerbs, instruments_of
from ketaoutcomes.verbs.comparisons import ComparisonVerbs
from ketaoutcomes.verbs.curves import CurveVerbs
from ketaoutcomes.verbs.good_time import GoodTimeVerbs
from ketaoutcomes.verbs.measures import MeasureVerbs
from ketaoutcomes.verbs.patients import AXES
from ketaoutcomes.verbs.safety import SafetyVerbs
from ketaoutcomes.verbs.sensitivity import SensitivityVerbs
from ketaoutcomes.verbs.tables import TableVerbs

Names = str | Sequence[str] | None
Days = Sequence[int] | None

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from ketaoutcomes.verbs.plots import Plots


class Study(
    ChangeVerbs, CurveVerbs, GoodTimeVerbs, MeasureVerbs, ComparisonVerbs, SensitivityVerbs, TableVerbs,
    SafetyVerbs,
):  # fmt: skip
    """A cohort judged by a plan as of a day.

    `as_of` is a date ("2026-10-31"), a month ("2026-10": its last day) or None: the last date on record.
    Records after it do not exist. Data in day offsets take `people.cut_day`, or `complete = true` in the
    plan; without either nobody can be called due, and only `observed` rates are given.

    Raises `PlanError` with the line to write where the plan does not fit the data.

    Every verb refuses what it cannot do, with an error that is a `ValueError` and says what to write:
    `PlanError` for a grouping that is not on record or for data that do not say when they end,
    `DefinitionError` for a name that no criterion, instrument or measure has, `WrongChoice` for an
    option. Rates and shares run from 0 to 1, days are whole and count from a course's first dose, scores
    are in points of their instrument; `level` is a confidence level, as 0.95.

    >>> study = ko.Study(ko.load_sample())
    >>> study.rates(at="end", criteria="phq9_response50", analysis="nri")[["met", "n"]].to_numpy().tolist()
    [[354, 930]]
    """

    def __init__(self, cohort: Cohort, as_of: str | date | None = None, *, plan: Plan | None = None) -> None:
        expect(cohort, Cohort, "cohort", 'ko.read("visits.csv", ko.read_plan("plan.toml"))')
        expect(plan, Plan, "plan", 'ko.read_plan("plan.toml")')
        self.cohort = cohort
        self.plan = plan or cohort.plan
        self._setting: Setting = settle(
            cohort, self.plan, None if as_of is None else str(as_of).partition(" ")[0]
        )
        warn_of_ends(self._setting)

    @property
    def as_of(self) -> str:
        """The last day whose records count: an ISO date, or complete, cut_day or none for undated data.

        >>> study.as_of, ko.Study(cohort, "2026-06").as_of
        ('2026-10-31', '2026-06-30')
        """
        return self._setting.as_of

    def __repr__(self) -> str:
        people, doses = len(self.cohort.patients), len(self.cohort.dose_records.patient)
        return f"Study(as of {self.as_of}; {people:,} patients, {doses:,} doses; plan {self.plan.hash[:12]})"

    def _repr_html_(self) -> str:
        own = [("cohort", repr(self.cohort)), ("as of", self.as_of), ("plan", repr(self.plan))]
        return facts(own, "Study")

    @cached_property
    def plot(self) -> Plots:
        """The study's figures: `study.plot.rates(at="session")` draws the table `study.rates` gives.

        >>> [text.get_text() for text in study.plot.retention().texts[-3:]]
        ['esketamine', 'im', 'iv6']
        """
        from ketaoutcomes.verbs.plots import Plots

        return Plots(self)

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

        >>> study.tally(by="site", at="end", criteria="phq9_response50")
        Tally(as of 2026-10-31; by site; end; 1 criteria; raw: share under agreement only)
        >>> counts = study.tally(at="end", criteria="phq9_response50", kind="current").points
        >>> print(counts[["given", "state", "n"]].to_string(index=False))
        given           state   n
           no     carried_met  23
           no carried_not_met 107
           no             met   5
           no         missing  38
           no         not_due  57
           no         not_met  31
          yes     carried_met  17
          yes carried_not_met  29
          yes             met 349
          yes         not_due  65
          yes         not_met 331
        """
        axes = self._axes(at)
        names = self._criteria(criteria)
        grouping = groupable(as_tuple(by or ()), TAKEN.__contains__)
        if "session" in axes and "protocol" not in grouping:
            grouping = ("protocol", *grouping)
        tables = _known(as_tuple(tables), (*KEYS, *COUNTERS), "tables")
        wanted = instruments_of(self.plan, names) if "change" in tables else ()
        rules = settle_rules(self.plan.definitions, wanted, **(change or {}))
        request = Request(grouping, axes, names, self._kinds(kind), tuple(tables), rules)
        basis = basis_of(self.cohort, self.plan) if "good_time" in tables else ""
        parts: dict[str, list[Part]] = {name: [] for name in KEYS}
        for p in self._each(keep=False):
            for counts in _counts(p, request, basis):
                for name, found in counts.items():
                    parts[name] += found
        if "flow" in tables:
            parts["flow"].append(row_flow(self.cohort.ledger, grouping))
        plan = self._plan_with(names)
        lasting = durability_counts.rules_counted(plan, names) if "durability" in tables else ()
        lasting += gain_counts.rules_counted(plan, names) if "sudden_gains" in tables else ()
        lasting += lasting_counts.rules_counted(plan) if "good_time" in tables else ()
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
        `at="session"` is always by protocol, other axes with `by="protocol"`. `analysis`: nri (missing = not
        met; the headline), observed (of those scored), locf (legacy). `kind`: current, ever or sustained.
        Intervals are Wilson 95 % unless the plan or `interval` and `level` say otherwise.

        Sources: Wilson 1927 J Am Stat Assoc 22:209; ICH E9(R1) for the composite strategy that `nri`
        is.

        >>> table = study.rates(at="week", criteria="phq9_response50", analysis="nri")
        >>> print(table[["point", "met", "n", "rate", "low", "high"]].round(2).to_string(index=False))
        point  met    n  rate  low  high
            1  166 1035  0.16 0.14  0.18
            2  238 1023  0.23 0.21  0.26
            4  187  996  0.19 0.16  0.21
            6  140  973  0.14 0.12  0.17
            8  135  949  0.14 0.12  0.17
           12  112  892  0.13 0.11  0.15
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

        >>> table = study.repeats("phq9_response50", most=2)
        >>> print(table[["course", "analysis", "met", "n", "rate"]].round(2).to_string(index=False))
        course analysis  met   n  rate
         first      nri  354 930  0.38
         first observed  354 716  0.49
        second      nri   21  46  0.46
        second observed   21  34  0.62
        """
        parts = []
        for ordinal in ORDINALS[:most]:
            own = self._by_plan(self.plan.replace(population={"courses": ordinal}))
            parts.append(own.rates(at=at, by=by, criteria=criteria).assign(course=ordinal))
        table = pd.concat(parts, ignore_index=True)
        return table[["course", *(name for name in table.columns if name != "course")]]

    def flow(self, *, by: Names = None) -> pd.DataFrame:
        """Every input row, patient and course accounted for, with reasons that add up within each step.

        One row per group, unit (row, patient, course), instrument, step and reason; columns as
        `course_results.flow` has them.

        >>> table = study.flow().query("instrument == 'phq9' and step == 'courses'")
        >>> print(table[["reason", "n", "people"]].to_string(index=False))
              reason    n  people
          below_gate   65      65
            eligible 1052    1052
        later_course   57      57
         no_baseline   83      83
        """
        return course_results.flow(self.tally(by=by, at="end", tables=("flow",)))

    def retention(self, *, by: Names = None) -> pd.DataFrame:
        """Who reached each session of the protocol, from doses alone, and on which day against the plan.

        One row per protocol, group and session; columns as `course_results.retention` has them. Days
        count from the first dose.

        >>> table = study.retention().query("protocol == 'iv6'")
        >>> columns = ["session", "planned_day", "median_day", "reached", "due", "rate"]
        >>> print(table[columns].round(2).to_string(index=False))
         session  planned_day  median_day  reached   due  rate
               1            0         0.0    530.0 530.0  1.00
               2            3         3.0    493.0 530.0  0.93
               3            7         7.0    465.0 530.0  0.88
               4           10        11.0    442.0 530.0  0.83
               5           14        15.0    418.0 530.0  0.79
               6           17        19.0    396.0 530.0  0.75
        """
        return course_results.retention(self.tally(by=by, at="session", tables=("flow", "values")))

    def measured(self, *, by: Names = None) -> pd.DataFrame:
        """Who was scored, and how far: a baseline, any later score, an end score.

        One row per group, instrument and step; columns as `course_results.measured` has them.

        >>> table = study.measured().query("instrument == 'phq9'")
        >>> print(table[["step", "n", "of", "rate"]].round(2).to_string(index=False))
             step      n     of  rate
          started 1062.0 1062.0  1.00
         baseline  988.0 1062.0  0.93
        any_score  948.0 1062.0  0.89
        end_score  756.0 1062.0  0.71
        """
        return course_results.measured(self.tally(by=by, at="end", tables=("flow",)))

    def timing(self, *, by: Names = None) -> pd.DataFrame:
        """Median days from each session's dose to the score judged there.

        One row per protocol, group, instrument and session; columns as `course_results.timing` has
        them.

        >>> table = study.timing().query("protocol == 'iv6' and instrument == 'phq9'")
        >>> table["median_days"].tolist()
        [3.0, 4.0, 3.0, 4.0, 3.0, 3.0]
        """
        return course_results.timing(self.tally(by=by, at="session", tables=("values",)))

    def trajectory(self, *, at: Names = "session", by: Names = None, variable: str = "score") -> pd.DataFrame:
        """Mean score or change at each point, of those scored there, with its standard deviation.

        One row per group, instrument, axis and point, in points of the instrument; columns as
        `course_results.trajectory` has them. `variable` is score, or change: score minus baseline.

        >>> table = study.trajectory(at="week").query("instrument == 'phq9'")
        >>> print(table[["point", "n", "mean", "sd"]].head(4).round(1).to_string(index=False))
        point   n  mean  sd
            0 930  18.5 3.7
            1 847  14.5 6.2
            2 806  12.8 6.7
            4 494  11.5 6.9
        """
        return course_results.trajectory(self.tally(by=by, at=at, tables=("values",)), variable)

    @property
    def has_sites(self) -> bool:
        """Whether the records name more than one site.

        >>> study.has_sites, sorted(study.courses["site"].unique())
        (True, ['Harbour', 'Lakeside', 'Northgate'])
        """
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

        >>> from ketaoutcomes import simulate
        >>> from tempfile import TemporaryDirectory
        >>> small = ko.Study(ko.Cohort.from_frames(*simulate.clinic(patients=40, seed=1).frames()))
        >>> with TemporaryDirectory() as folder:
        ...     [path.name for path in small.report(f"{folder}/2026-10", audience="internal")]
        ['report.html', 'results.json', 'tables.xlsx', 'email.eml', 'manifest.json']
        """
        from ketaoutcomes.published import published, report_meta
        from ketaoutcomes.report import write

        reader = audience or self.plan.report.audience
        told = published(self, audience=reader, previous=previous)
        profile = None if reader == "internal" else self.plan.report.profile
        return write(
            out, tallies=told.tallies, plan=self.plan, meta=report_meta(self, told.tallies), profile=profile,
            audience=reader, history=told.history, steps=told.steps, restated=told.restated,
            coarsened=told.coarsened, benchmarks=told.benchmarks, follows=told.follows, as_pdf=pdf,
            force=force,
        )  # fmt: skip

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
            asked = [c for name in as_tuple(names) for c in self._named(name)]
            for name in sorted({c.instrument for c in asked} - set(self.cohort.score_records)):
                notice("W03", f"no score of {name} was read, so its criteria have no rates")
            wanted = [c.name for c in asked]
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
        with silent():
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

    >>> counted = ko.tally(cohort, as_of="2026-10", at="end")
    >>> counted.header.as_of, counted.header.axes, counted.header.by
    ('2026-10-31', ('end',), ())
    """
    with silent():  # a part may end early
        return Study(cohort, as_of, plan=plan).tally(by=by, at=at)


COUNTERS = (
    *("good_time", "delayed_entry", "curves", "change", "joint", "strata"),
    *("durability", "sudden_gains", "safety"),
)
"""What a Tally may count beside its four tables, on request."""


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
