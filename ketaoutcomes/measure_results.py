"""A Tally of a quality measure to its finished table: who entered, who was left out and why, who met it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.estimates import interval

if TYPE_CHECKING:
    from ketaoutcomes.tallies import Tally

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
    by = list(tally.header.by)
    found = cells.assign(state=cells["state"].astype(str))
    keys = [*by, "criterion", "point"]
    wide = found.set_index([*keys, "state"])["n"].unstack("state") if len(found) else pd.DataFrame()
    labels = ["met", "not_met", "missing", "not_due", *(f"excluded:{reason}" for reason in asked["reasons"])]
    if len(found):
        at = pd.MultiIndex.from_frame(frame[[*by, "criterion", "period"]].astype(object))
        counts = wide.reindex(columns=labels).reindex(at).fillna(0).to_numpy(dtype=np.int64)
    else:
        counts = np.zeros((len(frame), len(labels)), dtype=np.int64)
    count = dict(zip(labels, counts.T, strict=True))
    return _finished(tally, frame, asked, count, interval_method, level)


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
    count: dict[str, Any],
    method: str | None,
    level: float | None,
) -> pd.DataFrame:
    """The table: counts, the rate with its interval, and what was not judged."""
    rates = json.loads(tally.header.plan)["rates"]
    excluded = {f"excluded_{reason}": count[f"excluded:{reason}"] for reason in asked["reasons"]}
    n = count["met"] + count["not_met"] + count["missing"]
    left_out = np.sum(list(excluded.values()), axis=0)
    low, high = interval(
        count["met"], n, method or rates["interval"], float(rates["level"]) if level is None else level
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = np.where(n > 0, count["met"] / n, np.nan)
    return frame.assign(
        population=left_out + count["not_due"] + n,
        excluded=left_out,
        **excluded,
        not_due=count["not_due"],
        n=n,
        missing=count["missing"],
        not_met=count["not_met"],
        met=count["met"],
        rate=rate,
        low=low,
        high=high,
        reason=_reasons(n, count["not_due"]),
        not_judged=", ".join(part for part in asked["parts"] if part not in asked["judged"]),
    )


def _reasons(n: Array, not_due: Array) -> Array:
    """Why there is no rate; None where there is one."""
    reason = np.full(len(n), "nobody_entered", dtype=object)
    reason[not_due > 0] = "nobody_due"
    reason[n > 0] = None
    return reason
