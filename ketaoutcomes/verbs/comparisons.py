"""A study's verbs that set rates side by side: groups, published series, months, sites. `Study` has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from ketaoutcomes.per_patient.derived import ENTRY
from ketaoutcomes.results import benchmarks, comparisons, control_results
from ketaoutcomes.results.course_results import as_tuple
from ketaoutcomes.shown import WrongChoice

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally
    from ketaoutcomes.definitions import Series
    from ketaoutcomes.plan import Plan
    from ketaoutcomes.records.cohort import Cohort
    from ketaoutcomes.results.benchmarks import Benchmark
    from ketaoutcomes.results.comparisons import Comparison
    from ketaoutcomes.results.control_results import Funnel

Names = str | Sequence[str] | None


class ComparisonVerbs:
    """What these verbs need of a study, and the verbs."""

    plan: Plan
    cohort: Cohort
    tally: Callable[..., Tally]
    _criteria: Callable[[Names], tuple[str, ...]]
    _by_plan: Callable[..., ComparisonVerbs]

    def compare(
        self,
        *,
        by: str,
        criterion: Names = None,
        at: str = "end",
        kind: Names = "current",
        analysis: Names = "nri",
        within: Names = None,
        reference: str | None = None,
        level: float | None = None,
    ) -> Comparison:
        """Each group's rate and its difference from a reference group, with a warning of what that means.

        `by` is any column that `tally` groups by, `baseline_band`, or a concomitant treatment such as
        benzodiazepine, as taken at the first dose; `within` keeps comparisons inside strata.

        Raises `ValueError` where sessions of different protocols would be compared, or no group is
        the reference named. Source of the intervals: Newcombe 1998, Statistics in Medicine 17:873,
        method 10.

        >>> found = study.compare(by="benzodiazepine", criterion="phq9_response50")
        >>> columns = ["benzodiazepine", "met", "n", "rate", "difference"]
        >>> print(found.table[columns].round(2).to_string(index=False))
        benzodiazepine  met   n  rate  difference
                    no  291 755  0.39         NaN
                   yes   63 175  0.36       -0.03
        >>> print(found.warning.split(". ")[0])
        One difference, its interval at 95 %
        """
        names = self._criteria(criterion)
        instruments = [self.plan.definitions.criterion(name).instrument for name in names]
        wanted = (*as_tuple(within or ()), comparisons.compared_column(by, instruments))
        counted = self.tally(
            by=wanted, at=at, criteria=names, kind=kind or "current",
            tables=("points",),
        )  # fmt: skip
        return comparisons.compare(
            counted, by=counted.header.by[-1], at=at, kind=as_tuple(kind or "current"),
            analysis=as_tuple(analysis or "nri"), reference=reference, level=level,
            concomitant=self.plan.definitions.concomitant_of(by),
        )  # fmt: skip

    def benchmark(self, series: str) -> Benchmark:
        """One's own rates by the rule of a published series, beside what that series found.

        >>> found = study.benchmark("mcinnes2022").table
        >>> list(found.loc[found["source"] == "published", "rate"].round(3))
        [0.536, 0.289]
        """
        return self.benchmarks(series)

    def benchmarks(self, series: Names = None) -> Benchmark:
        """The same for several published series (default: all that are known), in one table.

        >>> found = study.benchmarks(["mcinnes2022"])
        >>> found.kept.loc[found.kept["step"] == "kept", ["n", "share"]].round(2).to_numpy().tolist()
        [[396.0, 0.65]]
        """
        chosen = benchmarks.known(series, self.plan.definitions)
        return benchmarks.joined([benchmarks.benchmark(self._judged_as(one), one) for one in chosen])

    def _judged_as(self, series: Series) -> Tally:
        """Counts of this cohort by the rule of a published series."""
        cohort, plan = benchmarks.cohort_for(self.cohort, series), benchmarks.plan_for(self.plan, series)
        return self._by_plan(plan, cohort).tally(
            by=f"{series.id}{ENTRY}", at=series.at, kind=series.kind, tables=("flow", "points")
        )

    def control_chart(
        self,
        criterion: Names = None,
        *,
        by: Names = None,
        kind: str = "current",
        analysis: str = "nri",
        per: str = "month",
        baseline: tuple[str, str] | None = None,
        rules: Sequence[str] = control_results.RULES,
    ) -> pd.DataFrame:
        """A rate by calendar month or quarter with its control limits and signals.

        Columns as `control_results.charts` has them; `baseline` freezes the limits on a span of periods.

        >>> table = study.control_chart("phq9_response50").round(2)
        >>> print(table[["period", "met", "n", "rate", "low", "high"]].head(2).to_string(index=False))
         period  met    n  rate  low  high
        2025-07 20.0 52.0  0.38 0.18  0.58
        2025-08 22.0 55.0  0.40 0.18  0.58
        """
        counted = self.tally(by=by, at="month", criteria=criterion, kind=kind, tables=("points",))
        return control_results.charts(
            counted, kind=kind, analysis=analysis, per=per, baseline=baseline, rules=rules
        )

    def mean_chart(
        self, *, by: Names = None, per: str = "quarter", baseline: tuple[str, str] | None = None
    ) -> pd.DataFrame:
        """Mean change at the end of induction by the quarter treatment began, with XmR limits.

        In points of the instrument; columns as `control_results.mean_charts` has them. With `per="month"`, by
        the month in which courses came due, as in `control_chart`.

        >>> table = study.mean_chart().query("instrument == 'phq9'")
        >>> print(table[["period", "n", "mean", "status"]].head(2).round(1).to_string(index=False))
         period   n  mean          status
        2025-Q2  93  -7.1 too_few_periods
        2025-Q3 147  -8.5 too_few_periods
        """
        if per not in control_results.PER:
            raise WrongChoice(f"per must be one of {', '.join(control_results.PER)}; got {per!r}")
        if per == "month":
            counted = self.tally(by=by, at="month", tables=("values",))
        else:
            counted = self.tally(by=("start_quarter", *as_tuple(by or ())), at="end", tables=("values",))
        return control_results.mean_charts(counted, baseline=baseline)

    def funnel(
        self,
        criterion: Names = None,
        *,
        by: str = "site",
        at: str = "end",
        kind: str = "current",
        analysis: str = "nri",
        target: float | None = None,
    ) -> Funnel:
        """Sites of different size about their common rate (or a target), with exact limits; no ranking.

        Source of the limits: Spiegelhalter 2005, Statistics in Medicine 24:1185.

        >>> table = study.funnel("phq9_response50").table.round(2)
        >>> print(table[["site", "met", "n", "rate", "low95", "high95"]].to_string(index=False))
             site  met   n  rate  low95  high95
          Harbour  136 356  0.38   0.33    0.43
         Lakeside  135 336  0.40   0.33    0.43
        Northgate   83 238  0.35   0.32    0.44
        """
        counted = self.tally(by=by, at=at, criteria=criterion, kind=kind, tables=("points",))
        return control_results.funnel(counted, by=by, at=at, kind=kind, analysis=analysis, target=target)
