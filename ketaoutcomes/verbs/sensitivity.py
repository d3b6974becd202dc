"""A study's verb about its own definitions: what a headline rate becomes by others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ketaoutcomes.results.sensitivity import BASELINE_DAYS, IMPUTATIONS, Design, sensitivity_table

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.counts.tallies import Tally
    from ketaoutcomes.plan import Plan
    from ketaoutcomes.records.cohort import Cohort

Names = str | Sequence[str] | None


class SensitivityVerbs:
    """What this verb needs of a study, and the verb."""

    plan: Plan
    cohort: Cohort
    tally: Callable[..., Tally]
    _criteria: Callable[[Names], tuple[str, ...]]
    _by_plan: Callable[..., SensitivityVerbs]

    def sensitivity(
        self,
        criteria: Names = None,
        *,
        at: str = "end",
        by: Names = None,
        baseline_days: Sequence[int] = BASELINE_DAYS,
        combined: bool = False,
        imputations: int = IMPUTATIONS,
    ) -> pd.DataFrame:
        """A headline rate under other definitions: of missing scores, kind, baseline, criterion and gate.

        One row per group, headline criterion, point and variant; columns as declared for `sensitivity`. The
        headline is `nri`, `current`, by the plan; each variant changes one thing, with `combined` also
        several. `criteria` default to the first primary one of each instrument. `sensitivity.sentences` says
        the spread in words, `figures.forest` draws it. Exact counts: share them as such.

        >>> table = study.sensitivity("phq9_response50")
        >>> table.loc[table["analysis"].isin(["nri", "observed"]), ["variant", "n"]].head(2).values.tolist()
        [['headline', 930], ['analysis = observed', 716]]
        """
        names = self.plan.firsts if criteria is None else self._criteria(criteria)
        design = Design(self.plan, names, tuple(baseline_days), combined)
        tallies = [self._counted_by(plan, design, at, by) for plan in design.plans()]
        return sensitivity_table(design, tallies, imputations=imputations)

    def _counted_by(self, plan: Plan, design: Design, at: str, by: Names) -> Tally:
        """Counts of the same records, to the same day, by another plan."""
        return self._by_plan(plan).tally(by=by, at=at, criteria=design.counted, tables=("points", "strata"))
