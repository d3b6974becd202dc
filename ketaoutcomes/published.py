"""What a report is made of: one fixed list of Tallies, and what the input said of itself.

The list is one constant, so that everything one report publishes is protected together and no month asks
for a different cut of the same people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    if audience == INTERNAL:
        return tallies
    return dict(zip(tallies, protect(list(tallies.values()), study.plan.report.profile), strict=True))


def report_meta(study: Study, tallies: dict[str, Tally]) -> Meta:
    """Where the numbers come from and what became of the input's rows, as protected as the Tallies."""
    from ketaoutcomes.intake.rules import rules

    rows = tallies["everyone"].flow
    rows = rows[rows["unit"] == "row"]
    outcome = rows["reason"].str.partition(":")
    ledger = pd.DataFrame(
        {"file": "", "table": rows["step"], "outcome": outcome[0], "reason": outcome[2], "n": rows["n"]}
    )
    protected = tallies["everyone"].protected is not None
    return Meta(
        as_of=study.as_of,
        dates=study.cohort.dates,
        sources=study.cohort.sources,
        ledger=ledger.reset_index(drop=True),
        problems=_problems(study, hide=protected),
        rules={code: rule.title for code, rule in rules().items()},
    )


def _problems(study: Study, *, hide: bool) -> pd.DataFrame:
    """Findings by rule and action; a shared report does not count a few out: they may be one person's."""
    counted = study.cohort.problems.groupby(["rule", "action"], sort=True).size()
    table = counted.rename("n").reset_index()
    if hide:
        table["n"] = table["n"].where(table["n"] > 10)
    return table
