"""What a report is made of: one fixed list of Tallies, and what the input said of itself.

The list is one constant, so that everything one report publishes is protected together and no month asks
for a different cut of the same people.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ketaoutcomes.disclosure import DisclosureError, Protection, protection, restatements
from ketaoutcomes.report.audit import NotAReport, is_as_written
from ketaoutcomes.report.meta import Meta
from ketaoutcomes.report.record import RESULTS_SCHEMA

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
    internal reports only: it is counted under other plans, beside which nothing can be protected.
    """

    tallies: dict[str, Tally]
    history: pd.DataFrame | None = None
    steps: pd.DataFrame | None = None
    restated: pd.DataFrame | None = None
    benchmarks: Benchmark | None = None


def published(study: Study, *, audience: str, previous: str | Path | None = None) -> Published:
    """The Tallies of a report, protected beside the last one where `previous` names its folder.

    Raises `DisclosureError` where that folder holds no shared report that this one can follow.
    """
    counted = _counted(study, audience=audience)
    if audience == INTERNAL:
        if previous is not None:
            raise DisclosureError("only shared reports follow one another; leave out --previous")
        return Published(counted, benchmarks=study.benchmarks() if study.as_of != "none" else None)
    last = None if previous is None else last_protection(previous, list(counted))
    done = protection(list(counted.values()), study.plan.report.profile, last)
    tallies = dict(zip(counted, done.tallies, strict=True))
    if last is None:
        return Published(tallies, done.history)
    return Published(tallies, done.history, done.steps, restatements(last.tallies, done.tallies))


def last_protection(folder: str | Path, names: Sequence[str]) -> Protection:
    """What a shared report in a folder told, to protect the next one beside it."""
    path, schema = Path(folder) / "results.json", RESULTS_SCHEMA
    try:
        content = json.loads(path.read_bytes())
        schema = content["schema"]
        own = {
            "tallies": [content["tallies"][name] for name in names],
            "steps": content["series"]["steps"], "history": content["series"]["history"],
        }  # fmt: skip
        if schema == RESULTS_SCHEMA and set(content["tallies"]) == set(names):
            last = Protection.from_json(json.dumps(own))
            if is_as_written(folder, path.name):
                return last
            raise DisclosureError(
                f"{path} is not as the report's manifest has it: give the report as it was written, or "
                "begin a new series without --previous"
            )
    except OSError:
        raise DisclosureError(f"{path} cannot be read: give the folder of the last report") from None
    except DisclosureError:
        raise
    except NotAReport as error:
        raise DisclosureError(f"{error}; begin a new series without --previous") from None
    except (KeyError, TypeError, ValueError):
        pass
    if isinstance(schema, int) and schema != RESULTS_SCHEMA:
        raise DisclosureError(
            f"{path} is of schema {schema}; this version reads and writes schema {RESULTS_SCHEMA}: begin a "
            "new series without --previous"
        )
    raise DisclosureError(
        f"{path} is not of a shared report of the same tables, written by this version: a report can follow "
        "only such a one. Begin a new series without --previous"
    )


def report_tallies(study: Study, *, audience: str) -> dict[str, Tally]:
    """The Tallies of a report by name: protected for `shared`, as counted for `internal`."""
    return published(study, audience=audience).tallies


def _counted(study: Study, *, audience: str) -> dict[str, Tally]:
    """The Tallies of a report, as counted; durability, not protected yet, is in internal ones only."""
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
            tallies["durability"] = study.tally(at="end", tables=("curves", "durability"))
    return {name: _unsigned(tally) for name, tally in tallies.items()}


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
    )


def _problems(study: Study, *, hide: bool) -> pd.DataFrame:
    """Findings by rule and action; a shared report does not count them: many may be one person's."""
    counted = study.cohort.problems.groupby(["rule", "action"], sort=True).size()
    table = counted.rename("n").reset_index()
    return table.assign(n=np.nan) if hide else table
