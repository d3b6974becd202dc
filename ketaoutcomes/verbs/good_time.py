"""A study's verbs about good time: exposure described, never a cause. `Study` has them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from ketaoutcomes.per_patient import good_time
from ketaoutcomes.results import curve_results
from ketaoutcomes.results.course_results import as_tuple
from ketaoutcomes.results.partition import GoodTimeSummary, good_time_summary
from ketaoutcomes.rows import histories
from ketaoutcomes.verbs.patients import PatientVerbs

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally
    from ketaoutcomes.records.cohort import Cohort

Names = str | Sequence[str] | None
Days = Sequence[int] | None


class GoodTimeVerbs(PatientVerbs):
    """What these verbs need of a study beside its tables, and the verbs."""

    cohort: Cohort
    tally: Callable[..., Tally]

    def good_time(
        self, criteria: Names = None, *, basis: str | None = None, clock: str | None = None
    ) -> pd.DataFrame:
        """Whether each eligible course has had long enough at a dose that could have worked.

        One row per course and criterion (default: the plan's response); columns as declared for `good_time`.
        `basis` (target, fixed, or maximum: circular, for notebooks only) and `clock` (cumulative, doses,
        first_reach, contiguous) replace the plan's. Describes exposure, not cause: not a reason to raise,
        prolong or stop a dose. Raises `PlanError` where the last day on record is not known.

        >>> for group, courses in study.good_time().groupby("group").size().items():
        ...     print(f"{courses:4} {group}")
         175 not_evaluable
         337 responded_after
         141 responded_before
         289 stopped_short
         167 trial_complete
        """
        chosen = good_time.check_asked(self._setting, basis, clock)
        names = (self.plan.good_time.criterion,) if criteria is None else self._criteria(criteria)
        wanted = [self.plan.definitions.criterion(name) for name in names]
        parts = [good_time.table(p, criterion, chosen, clock) for p in self._each() for criterion in wanted]
        table = pd.concat(parts, ignore_index=True)
        keys = ["patient", "course", "instrument", "criterion"]
        return table.sort_values(keys, kind="stable", ignore_index=True)

    def stretches(self, *, basis: str | None = None) -> pd.DataFrame:
        """When each judged course was titrating, adequate, dipped or lapsed: row-level, for drawing only.

        One row per stretch: patient, course, state, from_day and to_day (exclusive) from the first dose.

        >>> table = study.stretches()
        >>> print(table[table["patient"] == "P0002"].to_string(index=False))
        patient  course     state  from_day  to_day
          P0002       1 titrating         0      14
          P0002       1    lapsed        14      81
        """
        chosen = good_time.check_asked(self._setting, basis, None)
        criterion = self.plan.definitions.criterion(self.plan.good_time.criterion)
        parts = [good_time.stretches(p, criterion, chosen) for p in self._each()]
        return pd.concat(parts, ignore_index=True)

    def history(self, criterion: str | None = None, *, patients: Names = None) -> pd.DataFrame:
        """Doses and scores of each eligible course by day since its first dose: row-level, for drawing only.

        Columns as `histories.history` has them; `patients` names those wanted.

        >>> table = study.history(patients="P0002")
        >>> print(table[["day", "kind", "value", "unit", "of_level"]].head(4).to_string(index=False))
         day  kind  value  unit  of_level
           0 score   17.0  phq9       NaN
           0  dose    0.5 mg/kg       0.5
           3  dose    0.6 mg/kg       0.6
           7 score    2.0  phq9       NaN
        """
        table = self.good_time(criterion)
        if patients is not None:
            table = table[table["patient"].isin(as_tuple(patients))]
        return histories.history(self.cohort, self.courses, self.baselines, self.outcomes, table)

    def good_time_summary(self, *, by: Names = None) -> GoodTimeSummary:
        """Good time of headline courses, mature and younger apart: the partition, time accounts, a sentence.

        The tables are attributes, described in `GoodTimeSummary`; all are computed from counts. Describes
        exposure, not cause. Raises `PlanError` where the last day on record is not known.

        >>> found = study.good_time_summary()
        >>> mature = found.groups[found.groups["period"] == "mature"]
        >>> print(mature[["group", "n", "of", "share"]].round(2).to_string(index=False))
                   group   n  of  share
        responded_before  83 716   0.12
         responded_after 237 716   0.33
          trial_complete 119 716   0.17
           stopped_short 220 716   0.31
           not_evaluable  57 716   0.08
        """
        good_time.check_asked(self._setting, None, None)
        return good_time_summary(self.tally(by=by, at="end", tables=("good_time",)))

    def state_occupation(self, *, by: Names = None, days: Days = None) -> pd.DataFrame:
        """Where everyone who started stands on each day since the first dose: the share in each state.

        Titrating, adequate, dipped, lapsed, responded before the level or after it: a partition of all who
        started, whose responded bands sum to `all_started`. Columns as `curve_results.state_occupation` has
        them. Raises `PlanError` where the last day on record is not known.

        >>> table = study.state_occupation(days=[28])
        >>> print(table[["state", "share", "low", "high"]].round(2).to_string(index=False))
                     state  share  low  high
          responded_before   0.12 0.10  0.14
           responded_after   0.23 0.20  0.25
        responded_unjudged   0.02 0.01  0.03
                  adequate   0.35 0.32  0.38
                    dipped   0.00  NaN   NaN
                 titrating   0.09 0.08  0.11
                    lapsed   0.16 0.14  0.18
                  unjudged   0.03 0.03  0.05
        """
        return curve_results.state_occupation(self._moves(by), days=days)

    def all_started(self, *, by: Names = None, days: Days = None) -> pd.DataFrame:
        """The share of everyone who started that has responded by each day, whatever their dose.

        Columns as `curve_results.all_started` has them. Raises `PlanError` where the last day on
        record is not known.

        >>> table = study.all_started(days=[14, 28, 56])
        >>> print(table[["day", "n", "share", "low", "high"]].round(2).to_string(index=False))
         day    n  share  low  high
          14 1052   0.23 0.21  0.26
          28 1052   0.36 0.34  0.39
          56 1052   0.44 0.41  0.47
        """
        return curve_results.all_started(self._moves(by), days=days)

    def from_reached(self, *, by: Names = None, days: Days = None) -> pd.DataFrame:
        """Response since the level was reached, among those who reached it unresponded; lapse competes.

        Never set it against `all_started`: those who responded low or dropped out are not in it.

        Columns as `curve_results.from_reached` has them. Raises `PlanError` where the last day on
        record is not known.

        >>> table = study.from_reached(days=[28])
        >>> print(table[["event", "n", "at_risk", "share", "low", "high"]].round(2).to_string(index=False))
            event   n  at_risk  share  low  high
        responded 800      334   0.35 0.32  0.39
           lapsed 800      334   0.21 0.18  0.24
        """
        return curve_results.from_reached(self._moves(by), days=days)

    def delayed_entry(self, *, by: Names = None, days: Days = None) -> pd.DataFrame:
        """`from_reached` by day since the first dose, followed once they reach it: notebooks only.

        Columns as `curve_results.delayed_entry` has them. Raises `PlanError` where the last day on
        record is not known.

        >>> table = study.delayed_entry(days=[28])
        >>> print(table[["event", "n", "at_risk", "share"]].round(2).to_string(index=False))
            event   n  at_risk  share
        responded 800      328   0.39
           lapsed 800      328   0.25
        """
        return curve_results.delayed_entry(self._moves(by, "delayed_entry"), days=days)

    def _moves(self, by: Names, *more: str) -> Tally:
        good_time.check_asked(self._setting, None, None)
        return self.tally(by=by, at="end", tables=("good_time", *more))
