"""One's own records by the rule of a published series, beside what that series found.

`plan_for` and `cohort_for` turn the rule into a plan variant, a Tally counts under it, and `benchmark` makes
the table: a pure function of counts, so hidden ones stay NaN. What of a rule cannot be applied is a row too.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.definitions.series import protocol_folder
from ketaoutcomes.estimates import interval
from ketaoutcomes.per_patient.derived import ENTRY, ENTRY_REASONS, KEPT
from ketaoutcomes.per_patient.patients import BLANK_LABEL
from ketaoutcomes.results.course_results import NO_END, as_tuple, rates

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally
    from ketaoutcomes.definitions import Definitions, Series
    from ketaoutcomes.definitions.series import Reported
    from ketaoutcomes.plan import Plan
    from ketaoutcomes.records.cohort import Cohort

CAUTION = (
    "A published rule keeps part of the charts, and some of it is decided after treatment began: enough "
    "doses, a score at the right time. A rate among those kept is not the rate of all who started, which "
    "stands beside it. Populations, doses and schedules differ: a rate here is no target."
)
OWN, ALL_STARTED, PUBLISHED = "own", "own_all_started", "published"
COLUMNS = (
    "series", "source", "instrument", "criterion", "axis", "point", "kind", "analysis", "charts", "n", "met",
    "rate", "low", "high", "share_kept", "reason",
)  # fmt: skip
_OTHER = "other_route"


@dataclass(frozen=True, eq=False)
class Benchmark:
    """One's own rates by the rules of published series, and theirs.

    `table` has three rows per series, criterion and point. source `published`: what they print, with an
    interval computed here from their n. `own`: one's own courses that their rule keeps, judged as they
    judged. `own_all_started`: everyone of their route who started and is due, unscored counted as not met.
    charts is how many the analysis began with (persons with a course of their route), share_kept is n of
    charts. `kept` says where charts were left: series, instrument, step, n, share. `not_applied` lists what
    of each rule could not be applied or is not stated: series, rule, why.

    >>> table = study.benchmark("mcinnes2022").table.query("criterion == 'phq9_response50'")
    >>> print(table[["source", "n", "rate", "share_kept"]].round(2).to_string(index=False))
             source     n  rate  share_kept
          published 537.0  0.54        0.06
                own 247.0  0.51        0.41
    own_all_started 473.0  0.27        0.78
    """

    table: pd.DataFrame
    kept: pd.DataFrame
    not_applied: pd.DataFrame
    sources: pd.DataFrame
    as_of: str
    caution: str = CAUTION

    def __repr__(self) -> str:
        parts = [f"Beside published series, as of {self.as_of}", self.table.to_string(index=False)]
        for title, part in self._beside().items():
            parts += [f"\n{title}", part.to_string(index=False)]
        return "\n".join([*parts, "", self.caution])

    def _repr_html_(self) -> str:
        parts = [f"<p>Beside published series, as of {html.escape(self.as_of)}</p>", _as_html(self.table)]
        for title, part in self._beside().items():
            parts += [f"<p>{html.escape(title)}</p>", _as_html(part)]
        return "".join([*parts, f"<p>{html.escape(self.caution)}</p>"])

    def _beside(self) -> dict[str, pd.DataFrame]:
        return {
            "Whom each rule keeps": self.kept,
            "Not applied, or not stated": self.not_applied,
            "Sources": self.sources,
        }


def _as_html(table: pd.DataFrame) -> str:
    return table.to_html(index=False, escape=True)


def known(names: str | Sequence[str] | None, definitions: Definitions) -> tuple[Series, ...]:
    """The published series of these ids; all of them for None.

    >>> from ketaoutcomes.definitions import load
    >>> [series.id for series in known(None, load())][:2]
    ['mcinnes2022', 'oliver2022']
    """
    if names is None:
        return tuple(definitions.series.values())
    return tuple(map(definitions.series_named, as_tuple(names)))


def plan_for(plan: Plan, series: Series) -> Plan:
    """The plan with what a published series did otherwise: its criteria, points, gate and protocol.

    >>> from ketaoutcomes.plan import Plan
    >>> plan_for(Plan(), Plan().definitions.series["mcinnes2022"]).points.end_days
    (14, 14, 31)
    """
    changes: dict[str, Any] = {name: dict(section) for name, section in series.plan.items()}
    changes["criteria"] = {"primary": series.criteria, "also": ()}
    if series.protocol is not None:
        changes["protocol"] = {"all": series.protocol}
        if series.protocol not in plan.definitions.protocols:
            changes["folders"] = (*plan.folders, protocol_folder())
    return plan.replace(**changes)


def cohort_for(cohort: Cohort, series: Series) -> Cohort:
    """The cohort without protocols of its own, where the series judges everyone by one."""
    if series.protocol is None or "protocol" not in cohort.people:
        return cohort
    return replace(cohort, people=cohort.people.drop(columns="protocol"))


def benchmark(tally: Tally, series: Series) -> Benchmark:
    """A Tally under a published series' plan, grouped by its entry rule, as rates beside the published ones.

    Raises ValueError where the Tally is not grouped by that rule.
    """
    column = f"{series.id}{ENTRY}"
    if column not in tally.header.by:
        raise ValueError(f"this Tally is not grouped by {column!r}")
    own = rates(tally, at=series.at, criteria=series.criteria, kind=series.kind, analysis=_analyses(series))
    own = own[~own[column].isin([_OTHER, BLANK_LABEL])]
    charts = _charts(tally, column)
    rows = []
    for one in series.reported:
        cell = own[(own["criterion"] == one.criterion) & (own["point"] == one.point)]
        key = {
            "series": series.id, "instrument": _instrument(tally, one), "criterion": one.criterion,
            "axis": series.at, "point": one.point, "kind": series.kind,
        }  # fmt: skip
        kept = cell[(cell[column] == KEPT) & (cell["analysis"] == series.analysis)]
        everyone = cell[cell["analysis"] == "nri"]
        rows += [
            key | published_rate(series, one),
            key | _counted(kept, tally, charts, OWN, series.analysis, "nobody_kept"),
            key | _counted(everyone, tally, charts, ALL_STARTED, "nri", "nobody_due"),
        ]
    return Benchmark(
        table=pd.DataFrame(rows, columns=list(COLUMNS)),
        kept=_kept(tally, series, own, column, charts),
        not_applied=pd.DataFrame(
            [(series.id, rule, why) for rule, why in series.not_applied], columns=["series", "rule", "why"]
        ),
        sources=pd.DataFrame(
            [(series.id, series.title, series.cite, series.sure)], columns=["series", "title", "cite", "sure"]
        ),
        as_of=tally.header.as_of,
    )


def joined(parts: Sequence[Benchmark]) -> Benchmark:
    """Several series in one."""
    tables = {
        name: pd.concat([getattr(part, name) for part in parts], ignore_index=True)
        for name in ("table", "kept", "not_applied", "sources")
    }
    return Benchmark(**tables, as_of=parts[0].as_of)


def _analyses(series: Series) -> tuple[str, ...]:
    return tuple(dict.fromkeys((series.analysis, "nri")))


def _instrument(tally: Tally, one: Reported) -> str:
    return str(tally.header.settings["definitions"]["criteria"][one.criterion]["instrument"])


def _charts(tally: Tally, column: str) -> dict[str, float]:
    """Persons with a course by whether the rule keeps their first one; NaN where hidden."""
    flow = tally.flow
    own = flow[(flow["unit"] == "patient") & (flow["reason"] == "with_course")]
    counted: dict[str, float] = dict.fromkeys((*ENTRY_REASONS, BLANK_LABEL), 0.0)
    for group, n in zip(own[column], own["n"].to_numpy(np.float64), strict=True):
        counted[str(group)] += float(n)
    return counted


def _started(charts: Mapping[str, float]) -> float:
    """Persons whose first course is of the series' route."""
    return float(sum(charts[reason] for reason in ENTRY_REASONS if reason != _OTHER))


def published_rate(series: Series, one: Reported) -> dict[str, Any]:
    """Their row: the rate as printed, and an interval from their n where that is stated."""
    rate, n = float(one.rate), float("nan") if one.n is None else float(one.n)
    low, high = interval(np.round(rate * n), n) if one.n is not None else (np.nan, np.nan)
    charts = float("nan") if series.charts is None else float(series.charts)
    return {
        "source": PUBLISHED, "analysis": series.analysis, "charts": charts, "n": n, "met": np.nan,
        "rate": rate, "low": float(low), "high": float(high), "share_kept": series.n / charts,
        "reason": "" if one.n is not None else "n_not_stated",
    }  # fmt: skip


def _counted(
    cell: pd.DataFrame, tally: Tally, charts: Mapping[str, float], source: str, analysis: str, nobody: str
) -> dict[str, Any]:
    """A row of one's own: counts added over groups; NaN, with the reason, where a part is hidden."""
    n, met, scored = (float(cell[name].to_numpy(np.float64).sum()) for name in ("n", "met", "assessed"))
    started = _started(charts)
    # Where not one score exists, "not met" for everyone would speak of measurement, not of treatment.
    given = n > 0 and met == met and scored != 0
    low, high = interval(met, n) if given else (np.nan, np.nan)
    reasons = [str(reason) for reason in cell["reason"] if reason]
    reason = "" if given else reasons[0] if reasons else "nobody_scored" if n > 0 else nobody
    if tally.header.as_of == NO_END and analysis == "nri":
        reason = "no_cut_day"
    return {
        "source": source, "analysis": analysis, "charts": started, "n": n, "met": met,
        "rate": met / n if given else np.nan, "low": float(low), "high": float(high),
        "share_kept": n / started if started > 0 else np.nan, "reason": reason,
    }  # fmt: skip


def _kept(
    tally: Tally, series: Series, own: pd.DataFrame, column: str, charts: Mapping[str, float]
) -> pd.DataFrame:
    """Where charts were left: by route, by eligibility and age, by each part of the rule, by a score."""
    started = _started(charts)
    rows: list[tuple[str, str, str, float]] = []
    for instrument in dict.fromkeys(_instrument(tally, one) for one in series.reported):
        one = next(one for one in series.reported if _instrument(tally, one) == instrument)
        cell = own[
            (own["criterion"] == one.criterion)
            & (own["point"] == one.point)
            & (own["analysis"] == series.analysis)
        ]
        due = dict(zip(cell[column], cell["due"].to_numpy(np.float64), strict=True))
        steps = {
            "not_counted:other_route": charts[_OTHER],
            "not_counted:route_not_recorded": charts[BLANK_LABEL],
            "charts": started,
            "eligible_and_due": float(sum(due.values())),
        }
        steps |= {
            f"left:{reason}": float(due[reason])
            for reason in ENTRY_REASONS
            if reason != KEPT and reason in due
        }
        scored = cell.loc[cell[column] == KEPT, "assessed"].to_numpy(np.float64)
        steps |= {KEPT: float(due.get(KEPT, 0.0)), "scored": float(scored.sum())}
        rows += [(series.id, instrument, step, n) for step, n in steps.items()]
    table = pd.DataFrame(rows, columns=["series", "instrument", "step", "n"])
    share = table["n"].to_numpy(np.float64) / (started if started > 0 else np.nan)
    return table.assign(share=np.where(table["step"].str.startswith("not_counted"), np.nan, share))
