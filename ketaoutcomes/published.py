"""What a report is made of: one fixed list of Tallies, and what the input said of itself.

The list is one constant, so that everything one report publishes is protected together and no month asks
for a different cut of the same people.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes import intake
from ketaoutcomes.counts.periods import closed_until, last_day
from ketaoutcomes.counts.tallies import typed
from ketaoutcomes.disclosure import (
    LARGEST_SMALL,
    DisclosureError,
    Telling,
    coarsen,
    protection,
    restatements,
    tellings,
)
from ketaoutcomes.notices import silent
from ketaoutcomes.per_patient import ends
from ketaoutcomes.plan import PlanError
from ketaoutcomes.report.meta import Meta
from ketaoutcomes.report.previous import Last, last_report
from ketaoutcomes.report.responses import OTHER_RESPONSES

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally
    from ketaoutcomes.results.benchmarks import Benchmark
    from ketaoutcomes.study import Study

SHARED, INTERNAL = "shared", "internal"


@dataclass(frozen=True, eq=False)
class Published:
    """What a report is made of: its Tallies by name and, in a series, what was done to them.

    `history` and `steps` are those of `disclosure.Protection`; `restated` lists published counts of earlier
    periods that are told differently now. Both are None where the report follows no other. `benchmarks` is in
    internal reports only: it is counted under other plans, beside which nothing can be protected. `follows`
    says which report this one follows, for the manifest. `coarsened` says by which periods and sites a shared
    report is told, and why (`disclosure.coarsen`).
    """

    tallies: dict[str, Tally]
    history: pd.DataFrame | None = None
    steps: pd.DataFrame | None = None
    restated: pd.DataFrame | None = None
    coarsened: pd.DataFrame | None = None
    benchmarks: Benchmark | None = None
    follows: Mapping[str, str] | None = None


@silent()  # criteria nobody asked for, and earlier days, are no news to who reads a report
def published(study: Study, *, audience: str, previous: str | Path | None = None) -> Published:
    """The Tallies of a report, protected beside the last one where `previous` names its folder.

    A shared report covers closed periods only: each instrument is counted as of the last day of its last
    period (`disclosure.tellings`), and periods and small sites are made coarser before anything is hidden.

    Raises `NoPreviousReport` where that folder holds no report, and `DisclosureError` where it holds none
    that this one can follow.
    """
    if audience == INTERNAL:
        if previous is not None:
            raise DisclosureError("only shared reports follow one another; leave out --previous")
        counted = _counted(study, audience=audience)
        return Published(counted, benchmarks=study.benchmarks() if study.as_of != "none" else None)
    last = None if previous is None else last_report(previous)
    profile, told = study.plan.report.profile, () if last is None else tuple(last.tallies.values())
    by_month = study.tally(at="month", kind="current", tables=("points",))
    periods = tellings(by_month, LARGEST_SMALL[profile], told, None if last is None else last.coarsened)
    counted = _closed(study, periods, last)
    coarse, coarsened = coarsen(list(counted.values()), LARGEST_SMALL[profile], told, periods)
    before = None if last is None else last.protection(list(counted))
    done = protection(coarse, profile, before)
    tallies = dict(zip(counted, done.tallies, strict=True))
    if last is None or before is None:
        return Published(tallies, done.history, coarsened=coarsened)
    restated = restatements(before.tallies, done.tallies)
    return Published(tallies, done.history, done.steps, restated, coarsened, follows=last.follows)


def _closed(study: Study, periods: Sequence[Telling], last: Last | None) -> dict[str, Tally]:
    """The Tallies of a shared report, each instrument as of the last day of the periods it is told by.

    What belongs to no instrument is counted as of the latest of these days.
    """
    days = {one.instrument: last_day(one.until) for one in periods}
    latest = max(days.values(), default=study.as_of)
    if closed_until(study.as_of) < 0 or not days or latest > study.as_of:
        # A day before that of the last report is refused when the Tallies are protected.
        return _counted(study, audience=SHARED, last=last)
    counted: dict[str, dict[str, Tally]] = {}
    for day in sorted({latest, *days.values()}):
        own = study if day == study.as_of else type(study)(study.cohort, day, plan=study.plan)
        counted[day] = _counted(own, audience=SHARED, last=last)
    result = counted.pop(latest)
    for day, then in counted.items():
        instruments = [name for name, until in days.items() if until == day]
        result = {name: _as_of(now, then.get(name, now), instruments) for name, now in result.items()}
    return result


def _as_of(now: Tally, then: Tally, instruments: Sequence[str]) -> Tally:
    """One Tally with the rows of some instruments taken from another; whole where they are one partition."""
    if now.header.basis or now.header.measure:
        whole = now.points["instrument"].isin(instruments).all()
        return replace(then, header=now.header) if whole else now
    tables: dict[str, Any] = {}
    for name, table in now.tables().items():
        other = then.tables()[name]
        parts = [table[~table["instrument"].isin(instruments)], other[other["instrument"].isin(instruments)]]
        tables[name] = typed(name, pd.concat(parts, ignore_index=True), now.header.by)
    return replace(now, **tables)


def report_tallies(study: Study, *, audience: str) -> dict[str, Tally]:
    """The Tallies of a report by name: protected for `shared`, as counted for `internal`."""
    return published(study, audience=audience).tallies


def _counted(study: Study, *, audience: str, last: Last | None = None) -> dict[str, Tally]:
    """The Tallies of a report, as counted; onset and durability by day are in internal ones only."""
    tables = ("flow", "points", "values")
    tallies = {
        "everyone": study.tally(at=("week", "end", "month"), kind="current", tables=tables),
        "by_protocol": study.tally(by="protocol", at=("session", "end"), kind="current", tables=tables),
    }
    if study.has_sites:
        tallies["by_site"] = study.tally(by="site", at="end", kind="current", tables=tables)
    tallies["safety"] = study.tally(at="end", tables=("safety",))
    if len(study.cohort.monitoring):
        tallies["safety_by_session"] = study.tally(at="session", tables=("safety",))
    if study.as_of != "none":
        tallies["good_time"] = study.tally(at="end", tables=("good_time",))
        if study.has_sites:
            tallies["good_time_by_site"] = study.tally(by="site", at="end", tables=("good_time",))
        if audience == INTERNAL:
            tallies["onset"] = study.tally(
                by="protocol", at="session", kind="ever", criteria=list(study.plan.firsts), tables=("points",)
            )
            tallies["durability"] = study.tally(at="end", tables=("curves", "durability"))
            tallies |= _other_responses(study)
    tallies |= _measured(study, last)
    return {name: _unsigned(tally) for name, tally in tallies.items()}


def _other_responses(study: Study) -> dict[str, Tally]:
    """Good time by the first criterion of each other instrument: whether its early responses lasted.

    Counted under plans of their own, beside which nothing can be protected.
    """
    found = {}
    for name in study.plan.firsts:
        instrument = study.plan.definitions.criterion(name).instrument
        if name != study.plan.good_time.criterion and instrument in study.cohort.score_records:
            plan = study.plan.replace(good_time={"criterion": name})
            other = type(study)(study.cohort, study.as_of, plan=plan)
            found[f"{OTHER_RESPONSES}{instrument}"] = other.tally(at="end", tables=("good_time",))
    return found


MEASURES = ("cms159", "response_12m", "remission_6m", "response_6m", "drr_e")
"""The published quality measures of a report, of all records; those that cannot be judged are left out."""


def _measured(study: Study, last: Last | None) -> dict[str, Tally]:
    """Tallies of the quality measures; in a series those of the last report, with the same parts judged.

    What can be judged depends on the records: a first death on record would make the measure another one.
    """
    found = {}
    for name in MEASURES:
        key, judge = f"measure_{name}", None
        if last is not None:
            if key not in last.tallies:
                continue
            judge = json.loads(last.tallies[key].header.measure)["judged"]
        try:
            found[key] = study.measure_tally(name, judge=judge)
        except PlanError:
            continue
    return found


def _unsigned(tally: Tally) -> Tally:
    """A Tally without its inputs' hashes: they change with the order of rows, and stand in the manifest."""
    return replace(tally, header=replace(tally.header, sources=()))


def report_meta(study: Study, tallies: dict[str, Tally]) -> Meta:
    """Where the numbers come from and what became of the input's rows, as protected as the Tallies."""
    from ketaoutcomes.intake.rules import rules

    rows = tallies["everyone"].flow
    rows = rows[rows["unit"] == "row"]
    said = [reason.partition(":") for reason in rows["reason"]]
    ledger = pd.DataFrame(
        {
            "file": "",
            "table": rows["step"],
            "outcome": [outcome for outcome, _, _ in said],
            "reason": [reason for _, _, reason in said],
            "n": rows["n"],
        }
    )
    protected = tallies["everyone"].protected is not None
    return Meta(
        as_of=study.as_of,
        dates=study.cohort.dates,
        sources=study.cohort.sources,
        ledger=ledger.reset_index(drop=True),
        problems=_problems(study, hide=protected),
        rules={code: rule.title for code, rule in rules().items()},
        left_out=study.cohort.left_out,
        notices=_notices(study, hide=protected),
    )


def _notices(study: Study, *, hide: bool) -> list[tuple[str, str]]:
    """Warnings that apply to the report; a shared one does not print their texts: a day may be one person's.

    That a criterion's instrument has no score (W03) is seen at its rates.
    """
    found = [*ends.noticed(study.cohort, study.as_of), *intake.noticed(study.cohort)]
    return [(code, "" if hide else text) for code, text in found]


def _problems(study: Study, *, hide: bool) -> pd.DataFrame:
    """Findings by rule and action; a shared report does not count them: many may be one person's."""
    counted = study.cohort.problems.groupby(["rule", "action"], sort=True).size()
    table = counted.rename("n").reset_index()
    return table.assign(n=np.nan) if hide else table
