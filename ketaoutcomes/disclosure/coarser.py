"""Coarser tables before hidden ones: months to quarters, half-years or years, and small sites to one.

Periods are closed and disjoint. A first report counts them back from the last month that is over; in a series
the periods that a report has told stay as they are, and the next one begins with the month after the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from ketaoutcomes.counts.periods import Period, closed_until, last_day, period
from ketaoutcomes.counts.tallies import summed, typed
from ketaoutcomes.disclosure.choose import choose
from ketaoutcomes.disclosure.facts import MONTH, OUTSIDE, DisclosureError, margins
from ketaoutcomes.disclosure.links import logic
from ketaoutcomes.disclosure.transport import small

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

Array = Any
OTHER_SITES: Final = "other sites"
ENOUGH: Final = 0.75
"""The share of rates by period, weighted by those due, that must be shown in a first report; house choice."""
TOO_FEW: Final = 0.5
"""In a series longer periods follow only once less than this share can be shown; house choice."""
LOOKED_AT: Final = 12
"""Only periods that ended in the last so many months say how long periods should be; house choice."""
LENGTHS: Final[Mapping[str, int]] = {"months": 1, "quarters": 3, "half-years": 6, "years": 12}
STEPS = ("table", "instrument", "step", "reason", "until", "next", "told", "shorter", "joined")
"""Columns of the steps that `coarsen` took: see there."""


@dataclass(frozen=True)
class Telling:
    """By which periods one instrument is told.

    `periods` are closed and disjoint, oldest first, and hold every month up to the last of them. `shares`
    says of each length of a period which share of the rates could be shown; `reason` why this length was
    taken: `finest` at which enough can be shown, `most` where none is enough, `held` from the last report of
    the series, or `coarser` since the last report's length told too little.
    """

    instrument: str
    step: str
    reason: str
    periods: tuple[Period, ...]
    shares: Mapping[str, float] = field(default_factory=dict)

    @property
    def until(self) -> int:
        """The last month told, counted from year 0."""
        return self.periods[-1].last


def tellings(
    tally: Tally,
    largest_small: int,
    previous: Sequence[Tally] = (),
    steps: pd.DataFrame | None = None,
) -> list[Telling]:
    """By which periods each instrument of a report is told: the finest of which enough can be shown.

    Looked at are the rates of all criteria by period, missing as not met, in periods that ended in the last
    twelve months, weighted by those due. A first report takes the shortest length (a month, three, six or
    twelve) at which three quarters of them can be shown, or that at which most can. In a series the length of
    the last report holds; a longer one follows where less than half can be shown by it, from the first month
    not yet told; a shorter one never.

    Args:
        tally: everyone, by month, as counted; months that are not over are left aside.
        largest_small: counts from 1 to this are small.
        previous: the protected Tallies of the last report of the series; none for the first.
        steps: what `coarsen` said of that report. Without it a length that was taken and by which no period
            has been told yet, and trailing months in which nobody came due, are not known.

    Returns:
        One for each instrument of which somebody came due in a month that is over.

    Example:
        >>> import ketaoutcomes as ko
        >>> months = ko.Study(ko.load_sample()).tally(at="month", kind="current", tables=("points",))
        >>> [(one.instrument, one.step, one.periods[-1].name) for one in tellings(months, 10)]
        [('phq9', 'quarters', '2026-08/2026-10'), ('pcl5', 'quarters', '2026-08/2026-10')]
    """
    if tally.protected:
        raise DisclosureError("coarsen raw Tallies, before they are protected")
    last = closed_until(tally.header.as_of)
    points = tally.points[(tally.points["axis"] == "month") & (tally.points["point"] != "")]
    number = np.array([_first(str(point)) for point in points["point"]], dtype=np.int64)
    points, number = points[number <= last], number[number <= last]
    found = []
    names = dict.fromkeys(_instruments(tally))
    for instrument in names:
        own = (points["instrument"] == instrument).to_numpy(dtype=bool)
        if own.any():
            one = _Choice(replace(tally, points=points[own]), number[own], last, largest_small)
            found.append(
                one.telling(instrument, _told_before(previous, instrument), _held(steps, instrument))
            )
    return found


def _held(steps: pd.DataFrame | None, instrument: str) -> tuple[str, int]:
    """The length that the last report took, and the last month it told; empty and -1 where not known."""
    if steps is not None:
        own = steps[(steps["table"] == "period") & (steps["instrument"] == instrument)]
        for step, until in own[["step", "until"]].itertuples(index=False, name=None):
            return str(step), closed_until(str(until))
    return "", -1


def _instruments(tally: Tally) -> list[str]:
    known = tally.header.settings["definitions"]["criteria"]
    return [str(known[name]["instrument"]) for name in tally.header.criteria]


def _first(name: str) -> int:
    found = period(name)
    return -1 if found is None else found.first


def _told_before(previous: Sequence[Tally], instrument: str) -> tuple[Period, ...]:
    """The periods of the last report, oldest first."""
    names = {
        str(point)
        for tally in previous
        for point in tally.points.loc[
            (tally.points["axis"] == "month") & (tally.points["instrument"] == instrument), "point"
        ]
    }
    return tuple(sorted(one for one in map(period, names) if one is not None))


class _Choice:
    """The months of one instrument, and what could be shown of them by periods of each length."""

    def __init__(self, tally: Tally, number: Array, last: int, largest_small: int) -> None:
        self.tally, self.number, self.last, self.largest_small = tally, number, last, largest_small
        self.start = int(number.min())
        most = last - self.start + 1
        self.lengths = {name: months for name, months in LENGTHS.items() if months == 1 or months <= most}

    def telling(self, instrument: str, before: tuple[Period, ...], last: tuple[str, int]) -> Telling:
        shares = {name: self.share(months) for name, months in self.lengths.items()}
        if not before:
            enough = [name for name in shares if shares[name] >= ENOUGH]
            step = enough[0] if enough else max(shares, key=lambda name: shares[name])
            periods = counted_back(self.start, self.last, LENGTHS[step])
            return Telling(instrument, step, "finest" if enough else "most", periods, shares)
        held = last[0] or [name for name, months in LENGTHS.items() if months <= before[-1].months][-1]
        longer = [n for n in shares if LENGTHS[n] > LENGTHS[held] and shares[n] > shares.get(held, 1.0)]
        step = held
        if longer and shares.get(held, 1.0) < TOO_FEW:
            step = next((name for name in longer if shares[name] >= ENOUGH), "") or max(
                longer, key=lambda name: shares[name]
            )
        periods = followed(before, (self.start, last[1]), self.last, LENGTHS[step])
        return Telling(instrument, step, "held" if step == held else "coarser", periods, shares)

    def share(self, months: int) -> float:
        """The share of rates that can be shown by periods of so many months, weighted by those due."""
        periods = counted_back(self.start, self.last, months)
        points = by_period(self.tally.points, periods)
        points = typed("points", pd.concat([points, points.assign(axis="end", point="end")]), ())
        empty = {name: table.iloc[:0] for name, table in self.tally.tables().items()}
        tally = replace(self.tally, **(empty | {"points": points}))  # type: ignore[arg-type]
        found = margins([tally])
        order = list(tally.header.criteria)
        choose(found, logic(tally.header.plan, order), order, self.largest_small)
        margin = next(one for one in found if one.by == (MONTH,))
        recent = {one.name for one in periods if one.last > self.last - LOOKED_AT}
        inside = np.array([group[0] in recent for group in margin.groups], dtype=bool)
        told = total = 0.0
        for fact, row in margin.row.items():
            if fact.role == "met":
                due = margin.row[fact._replace(role="due")]
                people = margin.value[due] * inside
                total += float(people.sum())
                told += float((people * (margin.shown[row] & margin.shown[due])).sum())
        return told / total if total else 1.0


def counted_back(start: int, last: int, months: int) -> tuple[Period, ...]:
    """Periods of so many months from the last one back; the oldest also holds what does not fill another.

    >>> [one.name for one in counted_back(24306, 24321, 6)]
    ['2025-07/2026-04', '2026-05/2026-10']
    """
    many = max((last - start + 1) // months, 1)
    firsts = [last + 1 - months * back for back in range(many, 0, -1)]
    rest = firsts[0] - start
    return tuple(
        Period(first - rest, months + rest) if i == 0 and rest > 0 else Period(first, months)
        for i, first in enumerate(firsts)
    )


def followed(before: Sequence[Period], known: tuple[int, int], last: int, months: int) -> tuple[Period, ...]:
    """The periods told before as they are, then closed ones of so many months.

    `known` is the first month on record and the last one told, if nobody came due in the months before it. A
    run of months in which nobody had come due when the others were told is a period of its own.

    >>> told = (Period(24310), Period(24311))
    >>> [one.name for one in followed(told, (24308, 24311), 24318, 3)]
    ['2025-09/2025-10', '2025-11', '2025-12', '2026-01/2026-03', '2026-04/2026-06']
    """
    found: list[Period] = []
    at = min(known[0], before[0].first)
    for one in before:
        if at < one.first:
            found.append(Period(at, one.first - at))
        found.append(one)
        at = one.last + 1
    if at <= known[1]:
        found.append(Period(at, known[1] + 1 - at))
        at = known[1] + 1
    while at + months - 1 <= last:
        found.append(Period(at, months))
        at += months
    return tuple(found)


def by_period(counted: pd.DataFrame, periods: Sequence[Period]) -> pd.DataFrame:
    """Points or values with the period in place of each month; months in none of them stay as they are."""
    month = ((counted["axis"] == "month") & (counted["point"] != "")).to_numpy(dtype=bool)
    names = {n: one.name for one in periods for n in range(one.first, one.last + 1)}
    own = [str(point) for point in counted.loc[month, "point"]]
    label = counted["point"].astype(object).to_numpy(copy=True)
    label[month] = [names.get(_first(point), point) for point in own]
    return counted.assign(point=label)


def coarsen(
    tallies: Sequence[Tally],
    largest_small: int,
    previous: Sequence[Tally] = (),
    periods: Sequence[Telling] | None = None,
) -> tuple[list[Tally], pd.DataFrame]:
    """The raw Tallies of a report with periods and sites large enough to be told, where that is possible.

    Months of each instrument become the periods that `tellings` found. Sites of which the rate of the first
    criterion cannot be told become `other sites`, with the next smallest until it can be told of them. In a
    series both stay as the last report has them; a new site joins the others.

    Args:
        tallies: every Tally of the report, as counted; they still add to others coarsened alike.
        largest_small: counts from 1 to this are small (`LARGEST_SMALL` of the profile).
        previous: the protected Tallies of the last report of the series; none for the first.
        periods: what `tellings` found where it was asked before; found here otherwise.

    Returns:
        The Tallies in the same order, to be protected, and what was done, one row per instrument told by
        period and one where sites were joined. Columns: table (period, site), instrument, step (months,
        quarters, half-years, years; joined), reason (see `Telling`), until (the last day told), next (the day
        on which the next period is over), told (the share of rates that can be shown by this step), shorter
        (by the next shorter one) and joined (names of sites, one a line).

    Raises:
        DisclosureError: some of the Tallies are protected already, or a site is called `other sites`.

    Example:
        >>> tallies = [study.tally(at=("end", "month"), kind="current", tables=("points",))]
        >>> coarsen(tallies, 10)[1][["instrument", "step", "until"]].to_numpy().tolist()
        [['phq9', 'quarters', '2026-10-31'], ['pcl5', 'quarters', '2026-10-31']]
    """
    if any(tally.protected for tally in tallies):
        raise DisclosureError("coarsen raw Tallies, before they are protected")
    result = list(tallies)
    by_month = next((t for t in result if not t.header.by and (t.points["axis"] == "month").any()), None)
    if periods is None:
        periods = tellings(by_month, largest_small, previous) if by_month is not None else []
    steps = [_period_step(one) for one in periods]
    result = [_by_period(tally, periods) for tally in result]
    joined = _small_sites(result, largest_small, previous)
    if joined:
        result = [_joined(tally, joined) for tally in result]
        steps.append(("site", "", "joined", "", "", "", np.nan, np.nan, "\n".join(sorted(joined))))
    return result, pd.DataFrame(steps, columns=list(STEPS), dtype=object)


def _period_step(one: Telling) -> tuple[Any, ...]:
    lengths = list(one.shares)
    at = lengths.index(one.step) if one.step in lengths else 0
    shorter = one.shares[lengths[at - 1]] if at else np.nan
    ends = [last_day(month) for month in (one.until, one.until + LENGTHS[one.step])]
    return ("period", one.instrument, one.step, one.reason, *ends, one.shares.get(one.step), shorter, "")


def _by_period(tally: Tally, periods: Sequence[Telling]) -> Tally:
    named = {one.instrument: one.periods for one in periods}
    done: dict[str, Any] = {}
    for name in ("points", "values"):
        table = getattr(tally, name)
        if (table["axis"] == "month").any():
            own = table.groupby("instrument", sort=True)
            parts = [by_period(part, named.get(str(instrument), ())) for instrument, part in own]
            done[name] = summed(name, parts, tally.header.by)
    return replace(tally, **done)


def _first_rates(tally: Tally) -> pd.DataFrame:
    """Who was due and who had met the first criterion at the end, by site."""
    points = tally.points[(tally.points["axis"] == "end") & (tally.points["kind"] == "current")]
    state = points["state"].astype(str)
    points = points[
        (points["criterion"] == next(iter(tally.header.criteria), ""))
        & ~state.isin(OUTSIDE)
        & ~state.str.startswith("excluded:")
    ]
    found = points.assign(due=points["n"], met=points["n"].where(points["state"] == "met", 0))
    result: pd.DataFrame = found.groupby("site")[["due", "met"]].sum()
    return result.set_axis(result.index.astype(str))


def _tellable(due: Array, met: Array, largest_small: int) -> Array:
    """Where who is due, who had met and who had not are nobody or more than the threshold."""
    return ~small([due, met, due - met], largest_small).any(axis=0)


def _small_sites(tallies: Sequence[Tally], largest_small: int, previous: Sequence[Tally]) -> set[str]:
    """The sites to be told as one: none, or at least two, unless a series has them so."""
    names = {str(site) for t in tallies if "site" in t.header.by for site in t.points["site"].unique()}
    if OTHER_SITES in names:
        raise DisclosureError(f"a site is called {OTHER_SITES!r}: give it another name in [columns]")
    told = {str(site) for t in previous if "site" in t.header.by for site in t.points["site"].unique()}
    if told:
        return names - told if OTHER_SITES in told else set()
    by_site = next((t for t in tallies if t.header.by == ("site",) and len(_first_rates(t))), None)
    if by_site is None:
        return set()
    counts = _first_rates(by_site).sort_values("due", kind="stable")
    order, due, met = counts.index.tolist(), counts["due"].to_numpy(), counts["met"].to_numpy()
    joined = ~_tellable(due, met, largest_small)
    while joined.any():
        together = _tellable(due[joined].sum(), met[joined].sum(), largest_small)
        if joined.sum() > 1 and together:
            break
        if (~joined).sum() < 2:
            return set()  # joining nearly all of them tells less than hiding a few
        joined[np.flatnonzero(~joined)[0]] = True
    if joined.all():
        return set()  # one group of all sites would say what the total says
    return {name for name, own in zip(order, joined, strict=True) if own}


def _joined(tally: Tally, sites: set[str]) -> Tally:
    if "site" not in tally.header.by:
        return tally
    tables: dict[str, Any] = {}
    for name, table in tally.tables().items():
        own = table["site"].astype(str).isin(sites)
        named = table.assign(site=table["site"].mask(own, OTHER_SITES))
        tables[name] = summed(name, [named], tally.header.by)
    return replace(tally, **tables)
