"""Closed periods: quarters and half-years as sums of months, and what changed from one to the next.

A period is closed once its last day is over. A sum with a hidden month is hidden, so nothing is shown here
that the months do not show.
"""

from __future__ import annotations

import datetime
from typing import NamedTuple

import numpy as np
import pandas as pd

from ketaoutcomes.estimates import difference, rate_with_limits

GRAINS = ("month", "quarter", "half_year")
"""How long a period is, shortest first."""

MONTHS = {"month": 1, "quarter": 3, "half_year": 6}
_COUNTS = ["due", "assessed", "met", "n"]
_KEYS = ["instrument", "criterion", "analysis"]
_RATE = [*_COUNTS, "rate", "low", "high", "reason"]


class Period(NamedTuple):
    """A calendar period: its grain and its first month, counted from year 0."""

    grain: str
    first: int

    @property
    def last(self) -> int:
        """Its last month."""
        return self.first + MONTHS[self.grain] - 1

    @property
    def name(self) -> str:
        """As in tables: 2026-10, 2026-Q4 or 2026-H2."""
        year, month = divmod(self.first, 12)
        if self.grain == "month":
            return f"{year}-{month + 1:02d}"
        return f"{year}-{'Q' if self.grain == 'quarter' else 'H'}{month // MONTHS[self.grain] + 1}"


def period(name: str) -> Period | None:
    """A period from its name; None for anything else.

    >>> period("2026-10"), period("2026-Q4"), period("end")
    (Period(grain='month', first=24321), Period(grain='quarter', first=24321), None)
    >>> [period(name).name for name in ("2026-01", "2026-Q2", "2026-H1")]
    ['2026-01', '2026-Q2', '2026-H1']
    """
    year, _, part = name.partition("-")
    grain = {"Q": "quarter", "H": "half_year"}.get(part[:1], "month")
    number = part if grain == "month" else part[1:]
    if not (year.isdigit() and number.isdigit()):
        return None
    return Period(grain, 12 * int(year) + (int(number) - 1) * MONTHS[grain])


def closed_until(as_of: str) -> int:
    """The last month that is over on a day; -1 where the day is no date.

    >>> closed_until("2026-10-31") - closed_until("2026-10-30"), closed_until("complete")
    (1, -1)
    """
    try:
        day = datetime.date.fromisoformat(as_of)
    except ValueError:
        return -1
    whole = (day + datetime.timedelta(days=1)).day == 1
    return 12 * day.year + day.month - (1 if whole else 2)


def period_rates(monthly: pd.DataFrame, as_of: str, *, method: str, level: float) -> pd.DataFrame:
    """Rates of every closed month, quarter and half-year, from rates by month.

    Columns: grain, period, instrument, criterion, analysis, due, assessed, met, n, rate, low, high, reason.
    Quarters and half-years of which a month is missing from the table (before the first course) are left out.
    """
    found = [period(str(point)) for point in monthly["point"]]
    last = closed_until(as_of)
    over = np.array([one is not None and one.last <= last for one in found], dtype=bool)
    table = monthly.loc[over, [*_KEYS, *_COUNTS]].reset_index(drop=True)
    known = [one for one, kept in zip(found, over, strict=True) if one is not None and kept]
    first = np.array([one.first for one in known], dtype=np.int64)
    given = np.array([one.grain for one in known], dtype=object)
    parts = []
    for grain in GRAINS:
        shorter = [g for g in GRAINS if MONTHS[g] <= MONTHS[grain] and (given == g).any()]
        if shorter:
            of = given == shorter[-1]
            parts.append(_summed(table[of], first[of], shorter[-1], grain))
    columns = ["grain", "period", *_KEYS, *_RATE]
    if not parts:
        return pd.DataFrame(columns=columns)
    summed = pd.concat(parts, ignore_index=True)
    found_rates: pd.DataFrame = _with_rates(summed, method, level)[columns]
    return found_rates


def _summed(table: pd.DataFrame, first: np.ndarray, of: str, grain: str) -> pd.DataFrame:
    """Counts of one grain added up to another, whole periods only; a hidden part hides its sum."""
    months = MONTHS[grain]
    start = first // months * months
    keys = [*_KEYS, "_start"]
    grouped = table.assign(_start=start).groupby(keys, sort=False)
    counts = grouped.size().rename("_parts").reset_index()
    group = grouped.ngroup().to_numpy()
    for name in _COUNTS:
        total = np.zeros(len(counts))
        np.add.at(total, group, table[name].to_numpy(dtype=np.float64))  # numpy keeps NaN, pandas skips it
        counts[name] = total
    counts = counts[counts["_parts"] == months // MONTHS[of]]
    names = [Period(grain, int(month)).name for month in counts["_start"]]
    return counts.assign(grain=grain, period=names)


def _with_rates(table: pd.DataFrame, method: str, level: float) -> pd.DataFrame:
    met, n = (table[name].to_numpy(dtype=np.float64) for name in ("met", "n"))
    hidden = np.isnan(met) | np.isnan(n)
    rate, low, high = rate_with_limits(met, n, method, level)
    nobody = np.where(table["analysis"] == "observed", "nobody_scored", "nobody_due")
    reason = np.where(hidden, "hidden", np.where(n == 0, nobody, ""))
    return table.assign(rate=rate, low=low, high=high, reason=reason)


def changes(rates: pd.DataFrame, *, level: float) -> pd.DataFrame:
    """The last closed period against the one before it, of everyone due, by instrument and criterion.

    `rates` is a table of `period_rates`. Each instrument is compared by the shortest grain at which its first
    criterion is shown in both periods; instruments without such a grain have no row. Columns: instrument,
    criterion, grain, period, before, met, n, rate, met_before, n_before, rate_before, difference, low, high
    (Newcombe's interval of the difference), evidence (none, higher, lower; blank where hidden).
    """
    table = rates[rates["analysis"] == "nri"]
    parts = []
    for _, own in table.groupby("instrument", sort=False):
        for grain in GRAINS:
            pair = _last_two(own[own["grain"] == grain])
            if pair is not None:
                parts.append(pair)
                break
    columns = [
        "instrument", "criterion", "grain", "period", "before", "met", "n", "rate", "met_before", "n_before",
        "rate_before", "difference", "low", "high", "evidence",
    ]  # fmt: skip
    if not parts:
        return pd.DataFrame(columns=columns)
    found = pd.concat(parts, ignore_index=True)
    gap, low, high = difference(found["met"], found["n"], found["met_before"], found["n_before"], level)
    evidence = np.where(np.isnan(gap), "", np.where(low > 0, "higher", np.where(high < 0, "lower", "none")))
    result: pd.DataFrame = found.assign(difference=gap, low=low, high=high, evidence=evidence)[columns]
    return result


def _last_two(own: pd.DataFrame) -> pd.DataFrame | None:
    """The last period of one grain beside the one just before; None where the first criterion is hidden."""
    names = {name: found for name in own["period"].unique() if (found := period(str(name))) is not None}
    if not names:
        return None
    last = max(names, key=lambda name: names[name].first)
    grain = names[last].grain
    before = Period(grain, names[last].first - MONTHS[grain]).name
    now, then = own[own["period"] == last], own[own["period"] == before]
    pair: pd.DataFrame = now.merge(
        then[["criterion", "met", "n", "rate"]], on="criterion", how="inner", suffixes=("", "_before")
    )
    if pair.empty or np.isnan(pair[["rate", "rate_before"]].iloc[0].to_numpy(dtype=np.float64)).any():
        return None
    return pair.assign(before=before)
