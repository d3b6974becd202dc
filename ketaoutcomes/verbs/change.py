"""A study's verbs about change beyond error: each asks for counts, and hands them to a finished table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from ketaoutcomes.results import change_results
from ketaoutcomes.results.course_results import as_tuple

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.counts.tallies import Tally
    from ketaoutcomes.definitions.change_rules import Choice
    from ketaoutcomes.plan import Plan

Names = str | Sequence[str] | None


class Counted(Protocol):
    """What these verbs need of a study: its plan, and its counts."""

    plan: Plan

    def tally(
        self,
        *,
        by: Names = ...,
        at: Names = ...,
        criteria: Names = ...,
        kind: Names = ...,
        tables: Sequence[str] = ...,
        change: Mapping[str, Choice] | None = ...,
    ) -> Tally:
        """The counts of this study."""


class ChangeVerbs:
    """Verbs of `Study`. `by` groups as everywhere; `at` is session, week or end, or several of them."""

    def change(
        self: Counted,
        *,
        at: Names = "end",
        by: Names = None,
        instruments: Names = None,
        reliable: Choice = None,
        cutoff: Choice = None,
        analysis: Names = change_results.ANALYSES,
        detail: bool = False,
        interval: str | None = None,
        level: float | None = None,
    ) -> pd.DataFrame:
        """Who recovered, improved, did not change or got worse, beyond measurement error.

        By published thresholds unless `reliable` and `cutoff` name others (see `change_rules.settle_rules`);
        `instruments` are those of the plan's primary criteria unless named. Columns as
        `change_results.change_table` has them; a threshold nobody has published is a reason, not a number.

        >>> table = study.change(instruments="phq9", analysis="observed")
        >>> list(table["category"]), bool(table["people"].sum() == table["n"].iloc[0])
        (['recovered', 'improved', 'unchanged', 'deteriorated'], True)
        """
        options: dict[str, Choice] = {"reliable": reliable, "cutoff": cutoff}
        counted = _counted(self, at, by, instruments, ("change",), options)
        wanted = as_tuple(analysis or change_results.ANALYSES)
        return change_results.change_table(
            counted, analysis=wanted, detail=detail, method=interval, level=level
        )

    def bands(
        self: Counted, *, at: Names = "end", by: Names = None, instruments: Names = None
    ) -> pd.DataFrame:
        """From which severity band at baseline to which band at each point; the unscored are a band too.

        Columns as `change_results.bands_table` has them.

        >>> table = study.bands(instruments="phq9")
        >>> severe = table[table["band_from"] == "severe"]
        >>> print(severe[["band_to", "people", "n", "rate"]].round(2).to_string(index=False))
                  band_to  people   n  rate
                  minimal      82 390  0.21
                     mild      40 390  0.10
                 moderate      41 390  0.11
        moderately severe      85 390  0.22
                   severe      51 390  0.13
                 unscored      91 390  0.23
        """
        return change_results.bands_table(_counted(self, at, by, instruments, ("change",), {}))

    def joint(
        self: Counted,
        first: str,
        second: str,
        *,
        at: Names = "end",
        by: Names = None,
        analysis: Names = change_results.ANALYSES,
        interval: str | None = None,
        level: float | None = None,
    ) -> pd.DataFrame:
        """Two criteria of different instruments together, as `phq9_response50` and `pcl5_reliable15`.

        Of people's first course eligible for both instruments. Columns as `change_results.joint_table`.

        >>> table = study.joint("phq9_response50", "pcl5_reliable15", analysis="nri")
        >>> list(table["met"])
        ['both', 'first_only', 'second_only', 'neither']
        """
        change_results.check_pair(self.plan.definitions, (first, second))
        counted = self.tally(by=by, at=_axes(at), criteria=(first, second), kind="current", tables=("joint",))
        wanted = as_tuple(analysis or change_results.ANALYSES)
        return change_results.joint_table(counted, analysis=wanted, method=interval, level=level)

    def effect_sizes(
        self: Counted,
        *,
        at: Names = "end",
        by: Names = None,
        instruments: Names = None,
        population: Choice = None,
        level: float | None = None,
    ) -> pd.DataFrame:
        """Mean change in published and in baseline standard deviations, with its interval, of those scored.

        `population` names the published standard deviation: dysfunctional (default), functional, or a pair
        (mean, standard deviation) with a source of your own. Columns as `change_results.effect_sizes`.

        >>> table = study.effect_sizes(instruments="phq9").round(2)
        >>> print(table[["standardizer", "n", "mean_change", "d", "low", "high"]].to_string(index=False))
        standardizer   n  mean_change    d  low  high
           published 716        -8.29 1.36 1.27  1.44
            baseline 716        -8.29 2.27 2.12  2.41
        """
        options: dict[str, Choice] = {"population": population}
        counted = _counted(self, at, by, instruments, ("values", "change"), options)
        return change_results.effect_sizes(counted, level=level)

    def regression_to_mean(
        self: Counted,
        *,
        at: Names = "end",
        by: Names = None,
        instruments: Names = None,
        population: Choice = None,
        retest: Choice = None,
    ) -> pd.DataFrame:
        """The mean change by baseline severity, beside what regression to the mean alone would bring.

        Expected under no treatment effect. `population` and `retest` as `change_rules.settle_rules` has them,
        columns as `change_results.regression_table`.

        >>> table = study.regression_to_mean(instruments="phq9")
        >>> print(table[["stratum", "n", "mean_change", "expected"]].round(1).to_string(index=False))
                  stratum   n  mean_change  expected
                      all 716         -8.3      -0.2
                 moderate 105         -5.5       0.7
        moderately severe 312         -7.5       0.0
                   severe 299        -10.1      -0.8
        """
        options: dict[str, Choice] = {"population": population, "retest": retest}
        counted = _counted(self, at, by, instruments, ("values", "change"), options)
        return change_results.regression_table(counted)


def instruments_of(plan: Plan, criteria: Iterable[str]) -> tuple[str, ...]:
    """The instruments of some criteria, in their order."""
    return tuple(dict.fromkeys(plan.definitions.criterion(name).instrument for name in criteria))


def _counted(
    study: Counted,
    at: Names,
    by: Names,
    instruments: Names,
    tables: tuple[str, ...],
    options: dict[str, Choice],
) -> Tally:
    """Counts of change on some instruments, by the plan's criteria or the first of an instrument."""
    primary, definitions = study.plan.criteria.primary, study.plan.definitions
    wanted = instruments_of(study.plan, primary) if instruments is None else as_tuple(instruments)
    names = [name for name in primary if definitions.criterion(name).instrument in wanted]
    known = instruments_of(study.plan, names)
    names += [definitions.instrument(it).criteria[0].name for it in wanted if it not in known]
    return study.tally(by=by, at=_axes(at), criteria=names, kind="current", tables=tables, change=options)


def _axes(at: Names) -> tuple[str, ...]:
    axes = as_tuple(at or ())
    if not axes or set(axes) - set(change_results.AXES):
        raise ValueError(f"at must be one or more of {', '.join(change_results.AXES)}")
    return axes
