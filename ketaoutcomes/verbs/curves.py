"""A study's verbs about time: how soon people respond, and whether it lasts. `Study` has them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from ketaoutcomes.counts import curve_counts, durability_counts
from ketaoutcomes.definitions.lasting import lasting
from ketaoutcomes.results import durability, lasting_results, response_curves
from ketaoutcomes.verbs.patients import PatientVerbs

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

Names = str | Sequence[str] | None
Days = Sequence[int] | None


class CurveVerbs(PatientVerbs):
    """What these verbs need of a study beside its tables, and the verbs."""

    tally: Callable[..., Tally]

    def curve(
        self,
        criteria: Names = None,
        *,
        clock: str = "first_dose",
        by: Names = None,
        days: Days = None,
        competing: str = "lapse",
    ) -> pd.DataFrame:
        """How soon people first met a criterion, by day since the first dose or by session: all who started.

        One row per group, criterion and day or session; columns and methods as `response_curves.curve` has
        them. `clock="session"` counts courses that are due, by protocol. `competing` says what ends
        treatment: the first lapse, or the end of the course. Raises `PlanError` where the last day on record
        is not known.

        >>> table = study.curve("phq9_remission_lt5", days=[14, 28])
        >>> table[["day", "n", "method"]].to_numpy().tolist()
        [[14, 1052, 'aalen_johansen'], [28, 1052, 'aalen_johansen']]
        """
        counted = self._onset_moves(criteria, by, clock)
        return response_curves.curve(counted, clock=clock, competing=competing, days=days)

    def curve_summary(
        self,
        criteria: Names = None,
        *,
        clock: str = "first_dose",
        by: Names = None,
        until: int | None = None,
        competing: str = "lapse",
    ) -> pd.DataFrame:
        """The median and the restricted mean of each curve, or that they were not reached.

        One row per group and criterion, in days (or sessions); columns as
        `response_curves.curve_summary` has them. `until` is the last day of the restricted mean, by
        default the last that every group was followed to.

        >>> one = study.curve_summary("phq9_response50").iloc[0]
        >>> one["median_reason"], int(one["until"]), round(float(one["restricted_mean"]), 1)
        ('not_reached', 199, 121.7)
        """
        counted = self._onset_moves(criteria, by, clock)
        return response_curves.curve_summary(counted, clock=clock, competing=competing, until=until)

    def onset(self, criteria: Names = None, *, by: Names = None) -> pd.DataFrame:
        """After which session people first responded: after the first or second, later, or not at all.

        Of courses that are due, by protocol; columns as `response_curves.onset` has them.

        >>> table = study.onset("phq9_response50").query("protocol == 'iv6'")
        >>> print(table[["class", "after", "n", "of", "share"]].round(2).to_string(index=False))
                 class      after   n  of  share
                 early        1-2 114 461   0.25
                 later 3 or later 102 461   0.22
        none_completed            155 461   0.34
          none_stopped             90 461   0.20
        """
        early = lasting(tuple(self.plan.folders)).early_sessions
        return response_curves.onset(self._onset_moves(criteria, by, "session"), early=early)

    def sudden_gains(self, criteria: Names = None, *, by: Names = None) -> pd.DataFrame:
        """How many courses had a sudden gain (Tang and DeRubeis 1999) between two sessions, by protocol.

        On every instrument of the criteria that has a rule; columns and a caution as
        `response_curves.sudden_gains` has them.

        >>> table = study.sudden_gains("phq9_response50")
        >>> print(table[["protocol", "judged", "gained", "share"]].round(2).to_string(index=False))
          protocol  judged  gained  share
        esketamine     120      24   0.20
              home       0       0    NaN
                im      78      19   0.24
               iv6     346      81   0.23
        """
        curve_counts.check_end_known(self._setting)
        counted = self.tally(by=by, at="session", criteria=criteria, tables=("sudden_gains",))
        return response_curves.sudden_gains(counted)

    def onsets(self, criteria: Names = None) -> pd.DataFrame:
        """When each headline course left treatment, and between which scores a response came.

        Row-level: do not share. One row per patient and criterion; days count from the course's first dose.
        Columns: patient, course, instrument, criterion, outcome (responded, lapsed, ended or censored; or why
        no score can be judged), outcome_day, and, whenever the response came: last_without, first_with (it
        came after the one and by the other, where it is dated), interval (their distance), session (doses
        given before it).

        >>> table = study.onsets("phq9_response50")
        >>> table.groupby("outcome").size().to_dict()
        {'censored': 87, 'lapsed': 525, 'responded': 440}
        """
        curve_counts.check_end_known(self._setting)
        wanted = [self.plan.definitions.criterion(name) for name in self._criteria(criteria)]
        parts = [curve_counts.onsets(p, criterion) for p in self._each() for criterion in wanted]
        keys = ["patient", "course", "criterion"]
        return pd.concat(parts, ignore_index=True).sort_values(keys, kind="stable", ignore_index=True)

    def _onset_moves(self, criteria: Names, by: Names, clock: str) -> Tally:
        curve_counts.check_end_known(self._setting)
        axis = "session" if clock == "session" else "end"
        return self.tally(by=by, at=axis, criteria=criteria, tables=("curves",))

    def durability(
        self,
        criteria: Names = None,
        *,
        relapse: Names = None,
        by: Names = None,
        days: Days = None,
        follow: str = "last_score",
    ) -> durability.Durability:
        """Whether responses lasted: relapse, sustained response, boosters, time off treatment.

        The tables are attributes, described in `durability.Durability`; all are computed from counts.
        `relapse` names rules (default: all that fit the instrument; `rules` lists them with their sources).
        `follow` is last_score or as_of. Raises `PlanError` where the last day on record is not known.

        >>> found = study.durability("phq9_response50")
        >>> list(found.rules["relapse"])
        ['lost', 'lost_confirmed', 'phq9_10', 'phq9_10_confirmed']
        """
        curve_counts.check_end_known(self._setting)
        counted = self.tally(by=by, at="end", criteria=criteria, tables=("durability",))
        return durability.durability(
            counted, relapse=relapse, follow=follow, days=days, folders=self.plan.folders
        )

    def kept(self, *, by: Names = None) -> pd.DataFrame:
        """Whether early responses lasted: what became of them by named days, in counts that may be shared.

        Of mature courses that met the plan's good-time criterion by the last calendar day; columns and method
        as `lasting_results.kept` has them. Raises `PlanError` where the last day on record is not known.

        >>> import ketaoutcomes as ko
        >>> table = ko.Study(ko.load_sample()).kept()
        >>> table[["day", "at_risk"]].to_numpy().tolist()
        [[0, 323], [28, 266], [56, 208], [84, 135]]
        """
        curve_counts.check_end_known(self._setting)
        return lasting_results.kept(self.tally(by=by, at="end", tables=("good_time",)))

    def boosters(self, *, by: Names = None) -> pd.DataFrame:
        """How many mature courses had doses after the planned series, and how many of them.

        Columns as `lasting_results.boosters` has them; `durability` describes the intervals between them.
        Raises `PlanError` where the last day on record is not known.

        >>> import ketaoutcomes as ko
        >>> ko.Study(ko.load_sample()).boosters()["n"].tolist()
        [369, 20, 20, 133]
        """
        curve_counts.check_end_known(self._setting)
        return lasting_results.boosters(self.tally(by=by, at="end", tables=("good_time",)))

    def responses(self, criteria: Names = None, *, relapse: str = "lost") -> pd.DataFrame:
        """When each response came, whether and when it was lost, and how long it was followed.

        Row-level: do not share. One row per patient and criterion; days count from the course's first dose.
        Columns: patient, course, instrument, criterion, relapse (the rule), response_day, outcome (relapsed,
        unscored, never_scored, retreated or censored), outcome_day, last_without (the last score before the
        relapse showed), first_shown (the first that showed it), last_score, sustained (see `durability`).

        >>> table = study.responses("phq9_response50")
        >>> table.groupby("outcome").size().to_dict()
        {'censored': 5, 'never_scored': 32, 'relapsed': 144, 'unscored': 286}
        """
        curve_counts.check_end_known(self._setting)
        rules = lasting(tuple(self.plan.folders))
        rule = rules.relapse(relapse)
        wanted = [self.plan.definitions.criterion(name) for name in self._criteria(criteria)]
        rules.check_fits([relapse], [one.instrument for one in wanted])
        fits = [one for one in wanted if rule.instrument in ("", one.instrument)]
        parts = [durability_counts.responses(p, one, rule) for p in self._each() for one in fits]
        keys = ["patient", "course", "criterion"]
        return pd.concat(parts, ignore_index=True).sort_values(keys, kind="stable", ignore_index=True)
