"""Whose score is missing: those without a score at a point beside those with one, by what was known before.

Computed from the counts of `points`, one Tally per variable, so that it adds across sites like a rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.estimates import rate_with_limits
from ketaoutcomes.estimates.balance import standardised_distance
from ketaoutcomes.per_patient.derived import BAND
from ketaoutcomes.per_patient.patients import BLANK_LABEL, NO_COURSE
from ketaoutcomes.results.course_results import ASSESSED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ketaoutcomes.counts.tallies import Tally
    from ketaoutcomes.plan import Plan

PARTS = {
    "scored": ASSESSED,
    "last_met": ("carried_met",),
    "last_not_met": ("carried_not_met",),
    "never_scored": ("missing",),
}
MISSING = ("last_met", "last_not_met", "never_scored")
COUNTS = ("due", "scored", "missing", *MISSING)
COLUMNS = (
    "instrument", "criterion", "axis", "point", "variable", "level", *COUNTS, "share", "low", "high", "smd",
)  # fmt: skip


def missingness(tallies: Sequence[Tally], plan: Plan, *, at: str = "end") -> pd.DataFrame:
    """Who has no score at each point, by variable: one Tally of `points` for each, grouped by it last.

    One row per (protocol, where sessions are asked for,) instrument, criterion, point, variable and level:
    instrument, criterion, axis, point, variable, level, due, scored, missing, last_met, last_not_met,
    never_scored, share, low, high, smd. `missing` is of `due`: those whose last earlier score met the
    criterion, those whose did not, those never scored after the first dose. `smd`, once per variable (in the
    row of its first level), is the standardised distance between the missing and the scored over the levels
    on record.
    Hidden counts make what is computed from them NaN.

    Method: intervals as the plan has them; the distance is Yang and Dalton's, SAS Global Forum 2012, 335.
    """
    parts = [_of(tally, plan, at) for tally in tallies]
    names = list(dict.fromkeys(column for part in parts for column in part))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))
    return table[[*(name for name in names if name not in COLUMNS), *COLUMNS]]


def _of(tally: Tally, plan: Plan, at: str) -> pd.DataFrame:
    *leading, variable = tally.header.by
    cells = tally.points
    of_axis = (cells["axis"] == at) & (cells["kind"] == "current")
    cells = cells[of_axis & cells["state"].isin([state for states in PARTS.values() for state in states])]
    columns = [*leading, "instrument", "criterion", "axis", "point", variable]
    grouped = cells.groupby(columns, sort=True, observed=True)
    code, table = grouped.ngroup().to_numpy(), grouped.size().reset_index()[columns]
    n, state = cells["n"].to_numpy(dtype=np.float64), cells["state"]
    for name, states in PARTS.items():
        table[name] = _summed(code, n, state.isin(states).to_numpy(), len(table))
    table["missing"] = table[list(MISSING)].to_numpy().sum(axis=1)  # numpy keeps a hidden NaN
    table["due"] = table["scored"] + table["missing"]
    table = table.rename(columns={variable: "level"}).assign(variable=variable)
    table = table.iloc[_order(table, tally, plan)].reset_index(drop=True)
    share, low, high = rate_with_limits(table["missing"], table["due"], plan.rates.interval, plan.rates.level)
    table = table.assign(share=share, low=low, high=high, smd=_distances(table, leading))
    for name in COUNTS:
        if table[name].notna().all():
            table[name] = table[name].astype("int64")
    return table[[*leading, *COLUMNS]]


def _summed(
    code: NDArray[Any], n: NDArray[np.float64], mask: NDArray[np.bool_], size: int
) -> NDArray[np.float64]:
    total = np.zeros(size)
    np.add.at(total, code[mask], n[mask])
    return total


def _order(table: pd.DataFrame, tally: Tally, plan: Plan) -> NDArray[np.intp]:
    """Criteria as asked for, points, then levels: bands mildest first, others by name, the blank last."""
    *leading, variable = tally.header.by
    levels = sorted(set(table["level"]))
    if variable.endswith(BAND):
        levels = [band.name for band in plan.definitions.instrument(variable.removesuffix(BAND)).bands]
    rank = {level: place for place, level in enumerate(levels)}
    rank |= {BLANK_LABEL: len(rank), NO_COURSE: len(rank) + 1}
    points = sorted(set(table["point"]), key=lambda point: (len(point), point))
    asked = tally.header.criteria.index
    keys = [table["level"].map(rank), table["point"].map(points.index), table["criterion"].map(asked)]
    return np.lexsort([*keys, *(table[name] for name in reversed(leading))])


def _distances(table: pd.DataFrame, leading: list[str]) -> NDArray[np.float64]:
    """In the first row of each point's levels, how far the missing are from the scored."""
    found = np.full(len(table), np.nan)
    known = table[~table["level"].isin([BLANK_LABEL, NO_COURSE])]
    for _, own in known.groupby([*leading, "criterion", "point"], sort=False):
        found[own.index[0]] = standardised_distance(own["missing"].to_numpy(), own["scored"].to_numpy())
    return found
