"""What RECORD-PE asks a paper to report, with what a study here can say by itself and what is left to write.

RECORD: Benchimol 2015 PLoS Med 12:e1001885; its extension for drugs, RECORD-PE: Langan 2018 BMJ 363:k3532.
The items are paraphrased: the checklist to hand in is the published one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING

import pandas as pd

from ketaoutcomes import __version__

if TYPE_CHECKING:
    from ketaoutcomes.plan import Plan
    from ketaoutcomes.records.cohort import Cohort

COLUMNS = ("item", "about", "filled", "author", "compared")


def checklist(facts: Mapping[str, str]) -> pd.DataFrame:
    """One row per item: item, about (in our words), filled (by the study), author (what is left to write).

    `facts` are the words of `facts_of`, which the items' texts name in braces. `compared` is no where an
    item's number and content were not compared with the published checklist: look them up first.
    """
    text = resources.files(__package__).joinpath("checklist.toml").read_text(encoding="utf-8")
    items = tomllib.loads(text)["items"]
    rows = [{"compared": True, **item, "filled": item.get("filled", "").format_map(facts)} for item in items]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def facts_of(cohort: Cohort, plan: Plan, as_of: str, steps: pd.DataFrame) -> dict[str, str]:
    """What the items name: counts from the `steps` of the flow diagram, the rest from plan and cohort."""
    boxes = steps[steps["reason"] == ""].set_index("step")["n"]
    unscored = steps.loc[steps["reason"] == "unscored", "n"].iloc[0]
    population, definitions = plan.population, plan.definitions
    instrument = definitions.instrument(plan.instruments[0]).title
    files = ", ".join(f"{one.name} ({one.rows:,} rows)" for one in cohort.sources) or "tables in memory"
    gates = [
        f"{plan.gate(name)} or {'higher' if definitions.instrument(name).worse == 'higher' else 'lower'} on "
        f"the {definitions.instrument(name).title}"
        for name in plan.instruments
        if plan.gate(name)
    ]
    rules = [f"{rule.column} is {' or '.join(rule.values)}" for rule in population.entry]
    sites = sorted(set(cohort.dose_records.sites))
    protocols = dict.fromkeys(plan.protocol.values())
    found = len(cohort.problems)
    return {
        "as_of": {"complete": "their end", "cut_day": "each person's last day"}.get(as_of, as_of),
        "basis": plan.good_time.basis,
        "baseline_days": str(plan.baseline.within_days),
        "clock": plan.good_time.clock,
        "courses": f"{population.courses} eligible course",
        "covariates": ", ".join(plan.columns.covariates) or "none",
        "criteria": "; ".join(definitions.criterion(name).title for name in plan.criteria.primary),
        "dates": (
            "Days counted from the first dose, without dates"
            if cohort.dates == "offsets"
            else "De-identified records with calendar dates: a limited data set"
        ),
        "due": _count(boxes["due"] if as_of != "none" else float("nan")),
        "eligible": _count(boxes["eligible"]),
        "entry": f": {'; '.join(rules)}" if rules else ": none",
        "files": files,
        "fraction": f"{plan.good_time.fraction:g}",
        "gates": f", {'; '.join(gates)}" if gates else "",
        "hash": plan.hash[:12],
        "instrument": instrument,
        "observed_from": (
            f" ({population.observed_from}) are left out"
            if population.observed_from is not None
            else ": the plan gives no such day, and none is left out"
        ),
        "patients": f"{len(cohort.patients):,}",
        "problems": f"{found:,} findings on reading" if found else "No finding on reading",
        "protocols": "; ".join(definitions.protocol(name).title for name in protocols),
        "sites": f" at {len(sites)} sites" if len(sites) > 1 else "",
        "starts": _starts(cohort),
        "unscored": _count(unscored),
        "version": __version__,
    }


def _count(n: float) -> str:
    return f"{n:,.0f}" if n == n else "a number not known"


def _starts(cohort: Cohort) -> str:
    """The months in which the first and the last person began, where dates are on record."""
    people = cohort.people
    if cohort.dates == "offsets" or "start_date" not in people or people["start_date"].isna().all():
        return ""
    first, last = (str(day)[:7] for day in (people["start_date"].min(), people["start_date"].max()))
    return f", of people who began from {first} to {last}"
