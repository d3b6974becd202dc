"""A study's verbs about quality measures: each asks for counts, and hands them to a finished table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import pandas as pd

from ketaoutcomes.counts import measures
from ketaoutcomes.counts.tallies import KEYS
from ketaoutcomes.per_patient.patients import groupable
from ketaoutcomes.results import measure_results
from ketaoutcomes.results.course_results import as_tuple
from ketaoutcomes.tables import TABLES

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally
    from ketaoutcomes.per_patient.patients import Setting
    from ketaoutcomes.plan import Plan

Names = str | Sequence[str] | None
Periods = str | int | Sequence[str | int] | None


class Studied(Protocol):
    """What these verbs need of a study."""

    _setting: Setting

    def _plan_with(self, names: Sequence[str]) -> Plan: ...

    def measure_tally(
        self, name: str, *, period: Periods = ..., by: Names = ..., judge: Names = ...
    ) -> Tally:
        """The counts of a measure."""


class MeasureVerbs:
    """Verbs of `Study` that follow published quality measures for self-checking: no certified eCQM engine.

    `name` is a measure of `definitions/measures.toml` or your own: cms159, response_12m, remission_6m,
    response_6m, drr_e, talking_therapies. `period` is a year such as "2025" (for talking_therapies also a
    month), or several; None takes all records. `judge` fixes which parts are judged, where parts of a cohort
    are counted apart; otherwise those on which anything is recorded. All raise `PlanError` with the line to
    write where the measure cannot be judged at all.
    """

    def measure(
        self: Studied,
        name: str,
        *,
        period: Periods = None,
        by: Names = None,
        judge: Names = None,
        interval: str | None = None,
        level: float | None = None,
    ) -> pd.DataFrame:
        """A quality measure: who entered, who was left out and why, who met it, and the rate.

        One row per group, rate and period; columns as declared for `measures`, with one `excluded_<reason>`
        for each of the measure's exclusions. `not_judged` names what the records cannot tell.

        >>> study.measure("drr_e")["criterion"].tolist()
        ['drr_e_follow_up', 'drr_e_remission', 'drr_e_response']
        """
        counted = self.measure_tally(name, period=period, by=by, judge=judge)
        return measure_results.measure(counted, interval_method=interval, level=level)

    def measure_states(
        self: Studied, name: str, *, period: Periods = None, judge: Names = None
    ) -> pd.DataFrame:
        """The state of everyone who entered a measure, for checking: row-level, do not share.

        One row per person, rate and period; columns as declared for `measure_states`.

        >>> table = study.measure_states("drr_e")
        >>> table[table["criterion"] == "drr_e_response"].groupby("state").size().to_dict()
        {'met': 86, 'missing': 480, 'not_due': 453, 'not_met': 74}
        """
        asked = _asked(self, name, period, judge)
        found = [one for p in self._setting.blocks() for one in measures.table(p, asked)]
        order = ["criterion", "period", "patient"]
        return pd.concat(found, ignore_index=True).sort_values(order, kind="stable", ignore_index=True)

    def measure_tally(
        self: Studied, name: str, *, period: Periods = None, by: Names = None, judge: Names = None
    ) -> Tally:
        """Counts of a measure, from which its table is computed; those of other patients add to them.

        `ko.protect` makes of them what may be published, and `measure_results.measure` the table of either.

        >>> counted = study.measure_tally("drr_e")
        >>> counted.header.criteria
        ('drr_e_follow_up', 'drr_e_remission', 'drr_e_response')
        """
        asked, grouping = _asked(self, name, period, judge), groupable(as_tuple(by or ()), _taken)
        names = [rate.criterion for rate in asked.measure.rates if rate.criterion]
        return measures.tally(self._setting, self._plan_with(names), asked, grouping)


def _asked(study: Studied, name: str, period: Periods, judge: Names) -> measures.Asked:
    periods = (period,) if period is None or isinstance(period, str | int) else tuple(period)
    return measures.ask(study._setting, name, periods, None if judge is None else as_tuple(judge))


def _taken(column: str) -> bool:
    """Whether the table has a column of that name."""
    return column in {*KEYS["points"], *TABLES["measures"].names} or column.startswith("excluded_")
