"""A study's verbs for a paper: Table 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ketaoutcomes import table_one
from ketaoutcomes.results import as_tuple
from ketaoutcomes.tallies import KEYS, Header, Part, Tally, make

if TYPE_CHECKING:
    from ketaoutcomes.cohort import Cohort
    from ketaoutcomes.patients import Setting
    from ketaoutcomes.plan import Plan

Names = str | Sequence[str] | None


class Studied(Protocol):
    """What these verbs need of a study."""

    cohort: Cohort
    plan: Plan
    _setting: Setting

    @property
    def as_of(self) -> str: ...

    def table1_tally(self, *, by: Names = ..., variables: Names = ...) -> Tally:
        """The counts of a Table 1."""


class TableVerbs:
    """Verbs of `Study` for the tables of a paper."""

    def table1(self: Studied, *, by: Names = None, variables: Names = None) -> table_one.Table1:
        """Table 1: who was treated, by group, with standardised differences.

        Everyone whose course the plan judges on its first instrument, due or not; one person counts once.
        `variables` names people columns or the course's own route, protocol and start_quarter; by default
        every covariate on record. Baselines of every instrument of the plan and the sessions of the first
        series follow. The result prints as Markdown, HTML or LaTeX, and its `table` is tidy; all is computed
        from counts (`table1_tally`), so that it can be protected. Raises `PlanError` for a column that is
        not there.

        >>> import ketaoutcomes as ko
        >>> ko.Study(ko.load_sample()).table1(variables="sex").table["level"].tolist()[:2]
        ['female', 'male']
        """
        return table_one.table1(self.table1_tally(by=by, variables=variables), self.plan)

    def table1_tally(self: Studied, *, by: Names = None, variables: Names = None) -> Tally:
        """The counts of a Table 1; those of other patients under the same plan add to them."""
        grouping = as_tuple(by or ())
        named = as_tuple(variables) if variables else table_one.covariates(self.cohort.people, grouping)
        parts: dict[str, list[Part]] = {name: [] for name in KEYS}
        for p in self._setting.blocks():
            for name, found in table_one.count(p, grouping, named).items():
                parts[name] += found
        header = Header(
            plan=self.plan.canonical(), plan_hash=self.plan.hash, as_of=self.as_of, by=grouping,
            axes=(table_one.AXIS,), criteria=named, kinds=(table_one.AXIS,),
            courses=self.plan.population.courses, dates=self.cohort.dates,
            sources=tuple(sorted(source.sha256 for source in self.cohort.sources)),
        )  # fmt: skip
        return make(header, parts)
