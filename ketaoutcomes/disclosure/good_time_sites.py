"""Good time by site: who is not evaluable and how long the level took, of sites of which nothing is small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.good_time_cells import APART, TOGETHER, cells
from ketaoutcomes.disclosure.ladders import SITES
from ketaoutcomes.disclosure.rewrite import STATISTICS, moments
from ketaoutcomes.disclosure.transport import small

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

Array = Any


def of_sites(tally: Tally, others: Sequence[Tally], limit: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sites of which both cells may be shown; those that may not must be safe taken together."""
    fine = cells(tally)
    fine = fine[fine["kind"] == TOGETHER]
    fine = fine.assign(state=fine["state"].map(SITES))
    table = fine.pivot_table(index="site", columns="state", values="n", aggfunc="sum", fill_value=0)
    table = table.reindex(columns=sorted(set(SITES.values())), fill_value=0)
    count = table.to_numpy(dtype=np.int64)
    mature = table[[name for name in table if not str(name).startswith(APART)]].sum(axis=1).to_numpy()
    instrument = str(tally.points["instrument"].iloc[0]) if len(tally.points) else ""
    due = _due(others, instrument, [str(site) for site in table.index])
    hide = small(count, limit).any(axis=1) | np.isnan(due).any(axis=1) | (not due.size)
    for known in (mature, count.sum(axis=1)):
        hide |= small(due - known[:, None], limit).any(axis=1)
    while hide.any() and not hide.all():
        if not small(count[hide].sum(axis=0), limit).any() and hide.sum() > 1:
            break
        shown = np.flatnonzero(~hide)
        hide[shown[np.argmin(count[shown].sum(axis=1))]] = True
    shown = table[~hide].stack()
    points = shown.rename("n").reset_index()
    points = points[points["n"] > 0].assign(
        kind=TOGETHER, axis="good_time", given="", instrument=instrument,
        criterion=str(tally.points["criterion"].iloc[0]) if len(tally.points) else "",
    )  # fmt: skip
    points["point"] = np.where(points["state"].str.startswith(APART), "younger", "mature")
    names = set(table.index[~hide])
    return points, medians(tally, True, limit, names)


def _due(others: Sequence[Tally], instrument: str, sites: Sequence[str]) -> Array:
    """Per site (rows), those due at the end as the tables of every criterion show them; NaN where hidden."""
    found = [np.zeros((len(sites), 0))]
    for tally in others:
        own = tally.points[(tally.points["instrument"] == instrument) & (tally.points["axis"] == "end")]
        if tally.header.by == ("site",) and len(own):
            keys = ["criterion", "kind"]
            due = own.groupby(["site", *keys])["n"].sum(min_count=1).unstack(keys)
            found.append(due.reindex(list(sites)).to_numpy(dtype=np.float64))
    return np.hstack(found)


def medians(tally: Tally, shown: bool, limit: int, sites: set[str] | None = None) -> pd.DataFrame:
    """The median days to the level of mature courses, where enough of them reached it; nothing else."""
    values = tally.values[(tally.values["variable"] == "days_to_level") & (tally.values["point"] == "mature")]
    if sites is not None:
        values = values[values["site"].isin(sites)]
    if not shown or values.empty:
        return tally.values.iloc[:0]
    found = moments(replace(tally, values=values), "days_to_level")
    found = found[found["n"] > limit]
    by = list(tally.header.by)
    keys = [*by, "instrument", "axis", "point"]
    parts = [
        found[keys].assign(
            variable=f"days_to_level:{name}", value=0,
            n=found["median"].to_numpy(np.float64) if name == "median" else np.nan,
        )
        for name in STATISTICS
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True) if len(found) else tally.values.iloc[:0]
