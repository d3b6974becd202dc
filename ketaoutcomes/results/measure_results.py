"""A Tally of a quality measure to its finished table: who entered, who was left out and why, who met it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.estimates import rate_with_limits

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

Array = Any


def measure(tally: Tally, *, interval_method: str | None = None, level: float | None = None) -> pd.DataFrame:
    """The rates of a measure by period and group, with everyone who entered accounted for.

    One row per group, rate and period; columns as declared for `measures`, led by the grouping, with one
    column `excluded_<reason>` for each of the measure's exclusions. `population` is everyone who entered;
    population = excluded + not_due + n, and n = met + not_met + missing: no follow-up score counts as not
    met. Raises ValueError where the Tally is not one of a measure.
    """
    if not tally.header.measure:
        raise ValueError("this Tally holds no measure; count one with study.measure_tally")
    asked = json.loads(tally.header.measure)
    cells = tally.points[tally.points["axis"] == "measure"]
    frame = _layout(tally, asked, cells)
    counts = _counts(frame, cells, list(tally.header.by))
    return _finished(tally, frame, asked, counts, interval_method, level)


Counts = Callable[[Iterable[str]], Array]


def _counts(frame: pd.DataFrame, cells: pd.DataFrame, by: list[str]) -> Counts:
    """Gives, for every row of the table, how many are in any of some states; NaN where that is hidden.

    A protected Tally joins states by `+`: a sum is known where it is made of whole cells.
    """
    states = cells["state"].astype(str).unique()
    key = pd.MultiIndex.from_frame(frame[[*by, "criterion", "period"]].astype(object))
    row = key.get_indexer(pd.MultiIndex.from_frame(cells[[*by, "criterion", "point"]].astype(object)))
    column = pd.Index(states).get_indexer(pd.Index(cells["state"].astype(str)))
    n = np.zeros((len(frame), len(states)), dtype=np.float64)
    there = np.zeros((len(frame), len(states)), dtype=bool)
    np.add.at(n, (row, column), cells["n"].to_numpy(dtype=np.float64))
    there[row, column] = True

    def count(wanted: Iterable[str]) -> Array:
        own = set(wanted)
        parts = [set(state.split("+")) for state in states]
        inside = np.array([part <= own for part in parts], dtype=bool)
        across = np.array([bool(part & own) and not part <= own for part in parts], dtype=bool)
        total = n[:, inside].sum(axis=1)
        total[there[:, across].any(axis=1)] = np.nan
        return total if np.isnan(total).any() else total.astype(np.int64)

    return count


def _layout(tally: Tally, asked: dict[str, Any], cells: pd.DataFrame) -> pd.DataFrame:
    """One row per group, rate and period asked for, whether or not anyone entered."""
    by = list(tally.header.by)
    groups = cells[by].drop_duplicates().sort_values(by).to_dict("records") if by else [{}]
    rows = [
        {**group, "measure": asked["measure"]["id"], "criterion": rate["name"], "period": period}
        for group in groups
        for rate in asked["measure"]["rates"]
        for period in asked["periods"]
    ]
    return pd.DataFrame(rows, columns=[*by, "measure", "criterion", "period"])


def _finished(
    tally: Tally,
    frame: pd.DataFrame,
    asked: dict[str, Any],
    count: Counts,
    method: str | None,
    level: float | None,
) -> pd.DataFrame:
    """The table: counts, the rate with its interval, and what was not judged."""
    reasons = [f"excluded:{reason}" for reason in asked["reasons"]]
    judged = ("missing", "not_met", "met")
    n, met = count(judged), count(["met"])
    rate, low, high = rate_with_limits(met, n, *tally.header.limits(method, level))
    return frame.assign(
        population=count([*reasons, "not_due", *judged]),
        excluded=count(reasons),
        **{f"excluded_{name}": count([f"excluded:{name}"]) for name in asked["reasons"]},
        not_due=count(["not_due"]),
        n=n,
        missing=count(["missing"]),
        not_met=count(["not_met"]),
        met=met,
        rate=rate,
        low=low,
        high=high,
        reason=_reasons(n, met, count(["not_due"]), count(reasons)),
        not_judged=", ".join(part for part in asked["parts"] if part not in asked["judged"]),
    )


def _reasons(n: Array, met: Array, not_due: Array, excluded: Array) -> Array:
    """Why there is no rate; blank where there is one."""
    reason = np.full(len(n), "", dtype=object)
    reason[np.isnan(n) | np.isnan(met)] = "hidden"
    reason[n == 0] = "nobody_entered"
    reason[(n == 0) & (excluded > 0)] = "all_excluded"
    reason[(n == 0) & (not_due > 0)] = "nobody_due"
    return reason
