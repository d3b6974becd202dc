"""Closed periods: months, longer periods as sums of months, and what changed from one to the next.

A period is closed once its last day is over. A sum with a hidden month is hidden, so nothing is shown here
that the months do not show. What was made coarser before it was protected is told by its own periods alone.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ketaoutcomes.counts.periods import Period, closed_until, period
from ketaoutcomes.estimates import difference, rate_with_limits

GRAINS = ("month", "quarter", "half_year", "year")
"""How long a period is, shortest first. One that holds a few months more has the grain of the others."""

MONTHS = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}
_COUNTS = ["due", "assessed", "met", "n"]
_KEYS = ["instrument", "criterion", "analysis"]
_RATE = [*_COUNTS, "rate", "low", "high", "reason"]


def grain_of(one: Period) -> str:
    """The longest grain that a period fills.

    >>> grain_of(Period(24319, 3)), grain_of(Period(24319, 4)), grain_of(Period(24319))
    ('quarter', 'quarter', 'month')
    """
    return next(grain for grain in reversed(GRAINS) if MONTHS[grain] <= one.months)


def _calendar_name(grain: str, first: int) -> str:
    """As in tables: 2026-10, 2026-Q4 or 2026-H2."""
    year, month = divmod(first, 12)
    if grain == "month":
        return f"{year}-{month + 1:02d}"
    return f"{year}-{'Q' if grain == 'quarter' else 'H'}{month // MONTHS[grain] + 1}"


def period_rates(monthly: pd.DataFrame, as_of: str, *, method: str, level: float) -> pd.DataFrame:
    """Rates of every closed month, quarter and half-year, from rates by month.

    Columns: grain, period, instrument, criterion, analysis, due, assessed, met, n, rate, low, high, reason.
    Quarters and half-years of which a month is missing from the table (before the first course) are left out.
    An instrument that is told by longer periods has those and no sums of them.
    """
    found = [period(str(point)) for point in monthly["point"]]
    last = closed_until(as_of)
    over = np.array([one is not None and one.last <= last for one in found], dtype=bool)
    table = monthly.loc[over, [*_KEYS, *_COUNTS]].reset_index(drop=True)
    known = [one for one, kept in zip(found, over, strict=True) if one is not None and kept]
    first = np.array([one.first for one in known], dtype=np.int64)
    given = np.array([grain_of(one) for one in known], dtype=object)
    longer = table["instrument"].isin(_told_longer(monthly)).to_numpy(dtype=bool)
    names = [str(point) for point in monthly.loc[over, "point"]]
    parts = [table.assign(grain=given, period=names)[longer]] if longer.any() else []
    for grain in GRAINS[:3]:
        shorter = [g for g in GRAINS if MONTHS[g] <= MONTHS[grain] and (given[~longer] == g).any()]
        if shorter:
            of = (given == shorter[-1]) & ~longer
            parts.append(_summed(table[of], first[of], shorter[-1], grain))
    columns = ["grain", "period", *_KEYS, *_RATE]
    if not parts:
        return pd.DataFrame(columns=columns)
    summed = pd.concat(parts, ignore_index=True)
    found_rates: pd.DataFrame = _with_rates(summed, method, level)[columns]
    return found_rates


def _told_longer(monthly: pd.DataFrame) -> list[str]:
    """The instruments that are told by periods of more than a month."""
    joined = monthly["point"].astype(str).str.contains("/")
    return [str(name) for name in monthly.loc[joined, "instrument"].unique()]


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
    names = [_calendar_name(grain, int(month)) for month in counts["_start"]]
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
    criterion is shown in both periods; instruments without such a grain have no row. Where periods have
    become longer, as many of the shorter ones before stand against the first of them. Columns: instrument,
    criterion, grain, period, before, met, n, rate, met_before, n_before, rate_before, difference, low, high
    (Newcombe's interval of the difference), evidence (none, higher, lower; blank where hidden).
    """
    table = rates[rates["analysis"] == "nri"]
    parts = []
    for _, own in table.groupby("instrument", sort=False):
        for grain in current_grains(own):
            pair = _last_two(own, grain)
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


def current_grains(own: pd.DataFrame) -> list[str]:
    """The grains of one instrument's periods, shortest first, but those that longer ones followed."""
    ends = {g: _periods(own[own["grain"] == g]) for g in GRAINS}
    there = [grain for grain in GRAINS if ends[grain]]
    return [
        grain
        for i, grain in enumerate(there)
        if all(ends[longer][-1].first <= ends[grain][-1].last for longer in there[i + 1 :])
    ]


def _periods(own: pd.DataFrame) -> list[Period]:
    return sorted(one for name in own["period"].unique() if (one := period(str(name))) is not None)


def _last_two(own: pd.DataFrame, grain: str) -> pd.DataFrame | None:
    """The last period of one grain beside the one just before; None where the first criterion is hidden."""
    names = {period(str(name)): str(name) for name in own["period"].unique()}
    last = _periods(own[own["grain"] == grain])[-1]
    before: list[Period] = []
    at = last.first
    while at > last.first - last.months:
        ends = [one for one in names if one is not None and one.last == at - 1]
        if not ends:
            return None
        # Calendar quarters stand beside the months they are sums of: the one as long as the last comes first.
        before.append(max(ends, key=lambda one: (one.months == last.months, -one.months)))
        at = before[-1].first
    now = own[own["period"] == names[last]]
    then = own[own["period"].isin([names[one] for one in before])]
    parts = then.groupby("criterion", sort=False)
    summed = pd.DataFrame({name: parts[name].sum(min_count=len(before)) for name in ("met", "n")})
    summed["rate"] = summed["met"] / summed["n"].where(summed["n"] > 0)
    pair: pd.DataFrame = now.merge(
        summed.reset_index(), on="criterion", how="inner", suffixes=("", "_before")
    )
    if pair.empty or np.isnan(pair[["rate", "rate_before"]].iloc[0].to_numpy(dtype=np.float64)).any():
        return None
    named = names[before[0]] if len(before) == 1 else Period(at, last.first - at).name
    return pair.assign(before=named)
