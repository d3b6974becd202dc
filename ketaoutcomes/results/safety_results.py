"""A Tally's safety counts to finished tables: side effects by session and per person, and who got worse.

Pure functions of counts, raw or protected; hidden counts are NaN and stay NaN. Not a pharmacovigilance
system: report adverse events through your usual channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.safety_counts import (
    BASELINE_ITEM,
    COURSE,
    HIGHER,
    LOWER,
    MEASURED,
    NEW,
    SAFETY,
)
from ketaoutcomes.disclosure import moments
from ketaoutcomes.estimates import interval
from ketaoutcomes.records.monitoring import events
from ketaoutcomes.results.course_results import points_of
from ketaoutcomes.results.wording import HIDDEN, count, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ketaoutcomes.counts.tallies import Tally

Array = Any
COLUMNS = (
    "axis", "point", "instrument", "measure", "statistic", "of", "n", "not_recorded", "count", "value", "sd",
    "low", "high", "reason",
)  # fmt: skip
NOT_A_SYSTEM = (
    "Counts of what was recorded; not a pharmacovigilance system. Report adverse events through your usual "
    "channels."
)
ITEMS = (BASELINE_ITEM, NEW, HIGHER, LOWER)


def safety(tally: Tally, *, interval_method: str | None = None, level: float | None = None) -> pd.DataFrame:
    """Side effects, worsening and the safety item, from a Tally counted with `tables=("safety",)`.

    One row per group, axis (`session`, or `course`: once per person), point and measure. `statistic` is
    share, mean or median and `value` that number (points, minutes). `of` is everyone asked about (sessions
    given; people dosed, or due; of the safety item, those who answered so at baseline), `n` of whom it is on
    record, `not_recorded` the rest: they are in no denominator and never count as "no". `count` had it;
    `low` and `high` is its interval (Wilson 95 % unless the plan says otherwise), `sd` the spread of a mean.
    Where there is no value, `reason` says why: hidden, or not_recorded.
    """
    plan = tally.header.settings
    by = [str(column) for column in tally.header.by]
    table = pd.concat([_shares(tally, plan, by), _measured(tally, plan, by)], ignore_index=True)
    table = _with_interval(table, *tally.header.limits(interval_method, level))
    order = [*by, "_axis", "_measure", "_place"]
    table = table.sort_values(order, kind="stable", ignore_index=True)
    for name in ("of", "n", "not_recorded", "count"):
        if len(table) and table[name].notna().all():
            table[name] = table[name].astype("int64")
    return table[[*by, *COLUMNS]]


def _shares(tally: Tally, plan: dict[str, Any], by: list[str]) -> pd.DataFrame:
    """Every event, and every question on worsening, with its counts."""
    own = (tally.points["instrument"] == SAFETY) | (tally.points["axis"] == COURSE)
    cells = tally.points[own]
    keys = [*by, "axis", "point", "instrument", "criterion", "kind"]
    frame = _laid_out(cells, plan, by, keys)
    state = cells["state"].to_numpy(dtype=object)
    index = pd.MultiIndex.from_frame(frame[keys].astype(object))
    at = index.get_indexer(pd.MultiIndex.from_frame(cells[keys].astype(object)))
    n = cells["n"].to_numpy(dtype=np.float64)

    def total(wanted: Sequence[str], *unknown: str) -> Array:
        counted = np.zeros(len(frame))
        mine = np.isin(state, wanted)
        np.add.at(counted, at[mine], n[mine])
        counted[at[np.isin(state, unknown)]] = np.nan
        return counted

    everyone = ("met", "not_met", "missing", "unassessed", "unmet_or_missing", "due")
    frame["of"] = total(everyone)
    frame["n"] = total(("met", "not_met"), "unmet_or_missing", "due")
    frame["count"] = total(("met",), "due")
    frame["not_recorded"] = frame["of"] - frame["n"]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(frame["n"] > 0, frame["count"] / frame["n"], np.nan)
    return frame.assign(statistic="share", measure=frame["criterion"], value=value, sd=np.nan)


def _laid_out(cells: pd.DataFrame, plan: dict[str, Any], by: list[str], keys: list[str]) -> pd.DataFrame:
    """The rows of a table of shares: sessions as the plan has them, the rest as counted."""
    found = cells[keys].drop_duplicates()
    by_session = found["axis"] == "session"
    rows = found[~by_session].to_dict("records")
    groups = found.loc[by_session, by].drop_duplicates().to_dict("records")
    for group in groups:
        for point in points_of(plan, "session", group.get("protocol")):
            for event in events():
                rows.append(
                    {**group, "axis": "session", "point": point, "instrument": SAFETY,
                     "criterion": event.name, "kind": "current"}
                )  # fmt: skip
    frame = pd.DataFrame(rows, columns=keys).astype(object)
    measures = [*(event.name for event in events()), *MEASURED]
    place = {name: i for i, name in enumerate(measures)}
    worst = {name: len(place) + 1 + i for i, name in enumerate(ITEMS)}
    ranks = place | worst
    return frame.assign(
        _axis=[0 if axis == "session" else 1 for axis in frame["axis"]],
        _measure=[ranks.get(str(name), len(place)) for name in frame["criterion"]],
        _place=[int(point) if str(point).isdigit() else int(point == "any") for point in frame["point"]],
    )


def _measured(tally: Tally, plan: dict[str, Any], by: list[str]) -> pd.DataFrame:
    """The mean CADSS total and the median minutes observed, by session."""
    parts = []
    for rank, name in enumerate(MEASURED):
        sums = moments(tally, name)
        if sums.empty:
            continue
        n, mean = sums["n"].to_numpy(dtype=np.float64), _ratio(sums["sum"], sums["n"])
        spread = np.maximum(sums["squares"].to_numpy(dtype=np.float64) - n * mean * mean, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            sd = np.where(n > 1, np.sqrt(spread / (n - 1)), np.nan)
        statistic = "mean" if name == "cadss" else "median"
        given = _given(tally, by, sums)
        parts.append(
            sums[[*by, "axis", "point", "instrument"]].assign(
                measure=name, statistic=statistic, of=given, n=n, not_recorded=given - n, count=np.nan,
                value=mean if name == "cadss" else sums["median"].to_numpy(dtype=np.float64),
                sd=sd if name == "cadss" else np.nan, _axis=0, _measure=len(events()) + rank,
                _place=sums["point"].astype("int64"),
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _ratio(part: pd.Series[Any], whole: pd.Series[Any]) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return part.to_numpy(dtype=np.float64) / whole.to_numpy(dtype=np.float64)


def _given(tally: Tally, by: list[str], sums: pd.DataFrame) -> Array:
    """Of the sessions of each row, how many were given: the same for every event."""
    first = events()[0].name
    cells = tally.points[(tally.points["axis"] == "session") & (tally.points["criterion"] == first)]
    cells = cells[cells["instrument"] == SAFETY]
    keys = [*by, "point"]
    index = pd.MultiIndex.from_frame(sums[keys].astype(object))
    at = index.get_indexer(pd.MultiIndex.from_frame(cells[keys].astype(object)))
    counted = np.zeros(len(sums))
    np.add.at(counted, at[at >= 0], cells["n"].to_numpy(dtype=np.float64)[at >= 0])
    return counted


def _with_interval(table: pd.DataFrame, method: str, level: float) -> pd.DataFrame:
    n, count = (table[name].to_numpy(dtype=np.float64) for name in ("n", "count"))
    share = (table["statistic"] == "share").to_numpy()
    low, high = interval(np.where(share, count, np.nan), n, method, level)
    value = table["value"].to_numpy(dtype=np.float64)
    reason = np.where(np.isnan(value), np.where(n == 0, "not_recorded", "hidden"), "")
    return table.assign(low=low, high=high, reason=reason)


TITLES = {  # of the instrument's safety item
    BASELINE_ITEM: "item {item} above 0 at baseline",
    NEW: "item {item} above 0 {when}, of those with 0 at baseline",
    HIGHER: "item {item} higher at the last score than at baseline",
    LOWER: "item {item} lower at the last score than at baseline",
}


def sentence(tally: Tally) -> str:
    """What was recorded after doses, of everyone dosed, in a sentence; a hidden number is called hidden.

    From a Tally grouped by nothing, counted with `tables=("safety",)`. Raises `ValueError` for another.
    """
    if tally.header.by:
        raise ValueError("the sentence is about everyone together; count with by=None and at='end'")
    table = safety(tally)
    rows = table[(table["axis"] == COURSE) & (table["instrument"] == SAFETY)]
    said = [
        f"{event.title} in {_counted(float(met), float(n))}"
        for event in events()
        for name, met, n in zip(rows["measure"], rows["count"], rows["n"], strict=True)
        if name == event.name and n != 0
    ]
    if not said:
        return f"No side effect was recorded in any form this report reads. {NOT_A_SYSTEM}"
    return f"Of people with a record after any dose: {'; '.join(said)}. {NOT_A_SYSTEM}"


def _counted(met: float, n: float) -> str:
    of = f"a {HIDDEN} number" if np.isnan(n) else count(n)
    if np.isnan(met):
        return f"a {HIDDEN} number of {of}"
    return f"{count(met)} of {of}" + ("" if np.isnan(n) else f" ({percent(met, n)})")
