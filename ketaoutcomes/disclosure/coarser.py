"""Coarser tables before hidden ones: months to quarters to half-years, and small sites to one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from ketaoutcomes.counts.tallies import summed
from ketaoutcomes.disclosure.facts import OUTSIDE, DisclosureError

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

Array = Any
OTHER_SITES: Final = "other sites"
ENOUGH: Final = 0.9
"""The share of those due that must be in periods whose rate can be told; house choice."""


def _month(month: str) -> str:
    return month


def _quarter(month: str) -> str:
    return f"{month[:4]}-Q{(int(month[5:]) + 2) // 3}"


def _half_year(month: str) -> str:
    return f"{month[:4]}-H{(int(month[5:]) + 5) // 6}"


PERIODS: Mapping[str, Callable[[str], str]] = {
    "months": _month, "quarters": _quarter, "half-years": _half_year,
}  # fmt: skip


def coarsen(
    tallies: Sequence[Tally], largest_small: int, previous: Sequence[Tally] = ()
) -> tuple[list[Tally], pd.DataFrame]:
    """The raw Tallies of a report with periods and sites large enough to be told, where that is possible.

    Months become quarters, or half-years, of all tables at once, at the finest length at which nine tenths
    of those due are in periods whose rate can be told (that of the first criterion of each instrument,
    missing as not met). Sites of which that rate cannot be told become `other sites`, with the next smallest
    until it can be told of them. In a series both stay as the last report has them; a new site joins the
    others.

    Args:
        tallies: every Tally of the report, as counted; they still add to others coarsened alike.
        largest_small: counts from 1 to this are small (`LARGEST_SMALL` of the profile).
        previous: the protected Tallies of the last report of the series; none for the first.

    Returns:
        The Tallies in the same order, to be protected, and what was done: columns table (month, site), step
        (months, quarters, half-years; how many sites were joined).

    Raises:
        DisclosureError: some of the Tallies are protected already, or a site is called `other sites`.

    Example:
        >>> tallies = [study.tally(at=("end", "month"), kind="current", tables=("points",))]
        >>> coarsen(tallies, 10)[1].to_numpy().tolist()
        [['month', 'quarters']]
    """
    if any(tally.protected for tally in tallies):
        raise DisclosureError("coarsen raw Tallies, before they are protected")
    result, steps = list(tallies), []
    if any((tally.points["axis"] == "month").any() for tally in result):
        step = _standing_period(previous) or _period(result, largest_small)
        result = [_by_period(tally, PERIODS[step]) for tally in result]
        steps.append(("month", step))
    joined = _small_sites(result, largest_small, previous)
    if joined:
        result = [_joined(tally, joined) for tally in result]
        steps.append(("site", f"{len(joined)} joined"))
    return result, pd.DataFrame(steps, columns=["table", "step"], dtype=object)


def _standing_period(previous: Sequence[Tally]) -> str:
    """The length of the periods of the last report; empty where it had none."""
    for tally in previous:
        for point in tally.points.loc[tally.points["axis"] == "month", "point"].astype(str):
            return "quarters" if "Q" in point else "half-years" if "H" in point else "months"
    return ""


def _period(tallies: Sequence[Tally], largest_small: int) -> str:
    """The finest length of which enough can be told; where none has enough, that of which most can be."""
    share = {}
    for name, label in PERIODS.items():
        told = total = 0.0
        for tally in tallies:
            table = _rates(tally, "month")
            place = [*tally.header.by, "instrument", "period"]
            table = table.assign(period=[label(str(month)) for month in table["point"]])
            counts = table.groupby(place)[["due", "met"]].sum()
            told += float(counts.loc[_tellable(counts, largest_small), "due"].sum())
            total += float(counts["due"].sum())
        share[name] = told / total if total else 1.0
        if share[name] >= ENOUGH:
            return name
    return max(share, key=lambda name: share[name])


def _rates(tally: Tally, axis: str) -> pd.DataFrame:
    """Who was due and who had met the first criterion of each instrument, by group and point."""
    points = tally.points[(tally.points["axis"] == axis) & (tally.points["kind"] == "current")]
    own = points["criterion"].isin(tally.header.criteria) & ~points["state"].isin(OUTSIDE)
    points = points[own & ~points["state"].astype(str).str.startswith("excluded:")]
    rank = points["criterion"].map({name: at for at, name in enumerate(tally.header.criteria)})
    first = rank == rank.groupby(points["instrument"]).transform("min")
    points = points[first]
    keys = [*tally.header.by, "instrument", "point"]
    found = points.assign(due=points["n"], met=points["n"].where(points["state"] == "met", 0))
    result: pd.DataFrame = found.groupby(keys)[["due", "met"]].sum().reset_index()
    return result


def _tellable(counts: pd.DataFrame, largest_small: int) -> Array:
    """Where who is due, who had met and who had not are nobody or more than the threshold."""
    numbers = [counts["due"], counts["met"], counts["due"] - counts["met"]]
    return ~np.any([(n > 0) & (n <= largest_small) for n in numbers], axis=0)


def _by_period(tally: Tally, label: Callable[[str], str]) -> Tally:
    points = tally.points
    month = (points["axis"] == "month") & (points["point"] != "")
    if label is _month or not month.any():
        return tally
    named = [label(str(p)) if own else p for p, own in zip(points["point"], month, strict=True)]
    return replace(tally, points=summed("points", [points.assign(point=named)], tally.header.by))


def _small_sites(tallies: Sequence[Tally], largest_small: int, previous: Sequence[Tally]) -> set[str]:
    """The sites to be told as one: none, or at least two, unless a series has them so."""
    names = {str(site) for t in tallies if "site" in t.header.by for site in t.points["site"].unique()}
    if OTHER_SITES in names:
        raise DisclosureError(f"a site is called {OTHER_SITES!r}: give it another name in [columns]")
    told = {str(site) for t in previous if "site" in t.header.by for site in t.points["site"].unique()}
    if told:
        return names - told if OTHER_SITES in told else set()
    by_site = next((t for t in tallies if t.header.by == ("site",) and len(_rates(t, "end"))), None)
    if by_site is None:
        return set()
    counts = _rates(by_site, "end").groupby(["site", "instrument"])[["due", "met"]].sum()
    small = set(counts.index[~_tellable(counts, largest_small)].get_level_values("site").astype(str))
    order = counts["due"].groupby("site").sum().sort_values(kind="stable").index.astype(str).tolist()
    joined = sorted(small, key=order.index)
    while joined:
        own = counts[counts.index.get_level_values("site").astype(str).isin(joined)]
        together = own.groupby("instrument")[["due", "met"]].sum()
        if len(joined) > 1 and _tellable(together, largest_small).all():
            break
        rest = [site for site in order if site not in joined]
        if len(rest) < 2:
            return set()  # joining nearly all of them tells less than hiding a few
        joined.append(rest[0])
    return set(joined)


def _joined(tally: Tally, sites: set[str]) -> Tally:
    if "site" not in tally.header.by:
        return tally
    tables: dict[str, Any] = {}
    for name, table in tally.tables().items():
        own = table["site"].astype(str).isin(sites)
        tables[name] = summed(
            name, [table.assign(site=table["site"].mask(own, OTHER_SITES))], tally.header.by
        )
    return replace(tally, **tables)
