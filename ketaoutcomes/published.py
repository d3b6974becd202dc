"""What a report is made of: one fixed list of Tallies, and what the input said of itself.

The list is one constant, so that everything one report publishes is protected together and no month asks
for a different cut of the same people.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ketaoutcomes.disclosure import protect
from ketaoutcomes.report.meta import Meta

if TYPE_CHECKING:
    from ketaoutcomes.study import Study
    from ketaoutcomes.tallies import Tally

SHARED, INTERNAL = "shared", "internal"


def report_tallies(study: Study, *, audience: str) -> dict[str, Tally]:
    """The Tallies of a report by name: protected for `shared`, as counted for `internal`."""
    tables = ("flow", "points", "values")
    tallies = {
        "everyone": study.tally(at=("week", "end", "month"), kind="current", tables=tables),
        "by_protocol": study.tally(by="protocol", at=("session", "end"), kind="current", tables=tables),
    }
    if study.has_sites:
        tallies["by_site"] = study.tally(by="site", at="end", kind="current", tables=tables)
    if study.as_of != "none":
        tallies["good_time"] = study.tally(at="end", tables=("good_time",))
        if study.has_sites:
            tallies["good_time_by_site"] = study.tally(by="site", at="end", tables=("good_time",))
    counted = [_unsigned(tally) for tally in tallies.values()]
    if audience != INTERNAL:
        counted = [_without_rows_of_few(tally) for tally in protect(counted, study.plan.report.profile)]
    return dict(zip(tallies, counted, strict=True))


def _unsigned(tally: Tally) -> Tally:
    """A Tally without its inputs' hashes: they change with the order of rows, and stand in the manifest."""
    return replace(tally, header=replace(tally.header, sources=()))


def _without_rows_of_few(tally: Tally) -> Tally:
    """Hide how many input rows were set aside: many rows may be one person's."""
    few = (tally.flow["unit"] == "row") & (tally.flow["reason"] != "kept")
    if not few.any():
        return tally
    flow = tally.flow.copy()
    for name in ("n", "people"):
        flow[name] = flow[name].astype("float64").mask(few)
    return replace(tally, flow=flow)


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
    )


def _problems(study: Study, *, hide: bool) -> pd.DataFrame:
    """Findings by rule and action; a shared report does not count them: many may be one person's."""
    counted = study.cohort.problems.groupby(["rule", "action"], sort=True).size()
    table = counted.rename("n").reset_index()
    return table.assign(n=np.nan) if hide else table
