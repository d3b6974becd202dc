"""A study's verbs for a paper: Table 1, whose scores are missing, a checklist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ketaoutcomes.counts.tallies import KEYS, Header, Part, Tally, make
from ketaoutcomes.per_patient.derived import BAND, entry_rules
from ketaoutcomes.per_patient.patients import groupable
from ketaoutcomes.results import table_one
from ketaoutcomes.results.checklist import checklist, facts_of
from ketaoutcomes.results.course_results import as_tuple
from ketaoutcomes.results.missingness import missingness

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.per_patient.patients import Setting
    from ketaoutcomes.plan import Plan
    from ketaoutcomes.records.cohort import Cohort

Names = str | Sequence[str] | None


class Studied(Protocol):
    """What these verbs need of a study."""

    cohort: Cohort
    plan: Plan
    _setting: Setting

    @property
    def as_of(self) -> str:
        """The last day whose records count."""

    @property
    def has_sites(self) -> bool:
        """Whether the records name more than one site."""

    def flow(self) -> pd.DataFrame:
        """Everyone accounted for."""

    def rates(self, *, at: str = ..., criteria: Names = ...) -> pd.DataFrame:
        """Rates at each point of an axis."""

    def table1_tally(self, *, by: Names = ..., variables: Names = ...) -> Tally:
        """The counts of a Table 1."""

    def tally(
        self,
        *,
        by: Names = ...,
        at: Names = ...,
        criteria: Names = ...,
        kind: Names = ...,
        tables: Sequence[str] = ...,
    ) -> Tally:
        """The counts of this study."""


class TableVerbs:
    """Verbs of `Study` for the tables of a paper."""

    def table1(self: Studied, *, by: Names = None, variables: Names = None) -> table_one.Table1:
        """Table 1: who was treated, by group, with standardised differences.

        Everyone whose course the plan judges on its first instrument, due or not; one person counts once.
        `variables` names people columns or the course's own route, protocol and start_quarter; by default
        every covariate on record. Baselines of every instrument of the plan and the sessions of the first
        series follow. The result prints as Markdown, HTML or LaTeX, and its `table` is tidy; all is computed
        from counts (`table1_tally`), which add. Exact counts: to publish them, protect those counts first
        and make the table of what that gives (`table_one.table1`). Raises `PlanError` for a column that is
        not there, or that cannot be a grouping.

        >>> study.table1(variables="sex").table["level"].tolist()[1:3]
        ['female', 'male']
        """
        return table_one.table1(self.table1_tally(by=by, variables=variables), self.plan)

    def missingness(
        self: Studied, *, by: Names = None, at: str = "end", criteria: Names = None
    ) -> pd.DataFrame:
        """Whose score is missing at a point, by what was known before: baseline severity, covariates, site.

        One block per variable of `by` (default: severity at baseline and every covariate on record), for the
        first criterion of each instrument unless `criteria` names others: how many were due, scored and
        missing, how the missing stood at their last score, and `smd`, how unlike the scored they are. Scores
        missing evenly are no proof that they are missing at random. Columns as `missingness.missingness`.

        >>> table = study.missingness(by="phq9_baseline_band", criteria="phq9_response50")
        >>> table["level"].tolist()
        ['moderate', 'moderately severe', 'severe']
        """
        definitions = self.plan.definitions
        bands = [f"{name}{BAND}" for name in self.plan.instruments if definitions.instrument(name).bands]
        own = dict.fromkeys(table_one.covariates(self.cohort.people, ()))
        own |= {"site": None} if self.has_sites else {}
        variables = as_tuple(by) if by else (*bands, *own)
        named = criteria or self.plan.firsts
        return missingness(
            [
                self.tally(by=variable, at=at, criteria=named, kind="current", tables=("points",))
                for variable in variables
            ],
            self.plan,
            at=at,
        )

    def checklist(self: Studied) -> pd.DataFrame:
        """What RECORD-PE asks a paper to report: what this study can say, and what is left to its authors.

        One row per item of RECORD and RECORD-PE: item, about (in our words), filled, author, and compared: no
        where an item's number and content were not compared with the publication. The checklist to hand in
        with a paper is the published one (Langan 2018 BMJ 363:k3532).

        >>> study.checklist().set_index("item").loc["RECORD-PE 7.1.b", "filled"]
        'sessions.csv (14,549 rows).'
        """
        from ketaoutcomes.results.figure_tables import consort

        instrument = self.plan.instruments[0]
        rates = self.rates(at="end", criteria=self.plan.criteria.primary[0])
        steps = consort(self.flow(), rates, instrument=instrument)
        return checklist(facts_of(self.cohort, self.plan, self.as_of, steps))

    def table1_tally(self: Studied, *, by: Names = None, variables: Names = None) -> Tally:
        """The counts of a Table 1; those of other patients under the same plan add to them.

        `ko.protect` makes of them what may be published, alone or beside other counts of the study:

        >>> counted = study.table1_tally(by="site", variables="sex")
        >>> print(counted.points[["point", "site", "n"]].head(3).to_string(index=False))
        point      site   n
                Harbour 253
               Lakeside 207
              Northgate 159
        >>> (shown,) = ko.protect([counted])
        >>> int(table_one.table1(shown, study.plan).table["n"].iloc[0])
        1052
        """
        grouping = groupable(as_tuple(by or ()), _taken)
        asked = groupable(as_tuple(variables or ()), lambda _: False)
        named = asked or table_one.covariates(self.cohort.people, grouping)
        parts: dict[str, list[Part]] = {name: [] for name in KEYS}
        for p in self._setting.blocks():
            for name, found in table_one.count(p, grouping, named).items():
                parts[name] += found
        header = Header(
            plan=self.plan.canonical(), plan_hash=self.plan.hash, as_of=self.as_of, by=grouping,
            axes=(table_one.AXIS,), criteria=named, kinds=(table_one.AXIS,),
            courses=self.plan.population.courses, dates=self.cohort.dates,
            entry=entry_rules(grouping, self.plan.definitions),
            sources=tuple(sorted(source.sha256 for source in self.cohort.sources)),
        )  # fmt: skip
        return make(header, parts)


def _taken(column: str) -> bool:
    """Whether the counts of a Table 1 have a column of that name."""
    return column in {*KEYS["points"], *KEYS["values"], "n"}
