"""A Tally to finished tables: rates, flow, retention, cascade, trajectories.

Pure functions of counts: they never see a patient. Hidden counts are NaN and stay NaN in whatever is
computed from them; tables hold numbers, never formatted text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.periods import Period, period
from ketaoutcomes.disclosure import moments
from ketaoutcomes.estimates import rate_with_limits
from ketaoutcomes.shown import WrongChoice

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Header, Tally

Array = Any
ANALYSES = ("nri", "observed", "locf")
NO_POINT = ("not_visit_based", "judged_by_week_only")
NOT_DUE = "not_due"
NOT_SCHEDULED = "not_scheduled"
NO_END = "none"  # the as-of day of records that do not say when they end: nobody can be called due
# What each state tells. A protected Tally may hold coarser states: `unassessed` joins the carried and the
# missing, `unmet_or_missing` everyone due who is not known to have met, `due` everyone due.
MET = {"met"}
ASSESSED = {"met", "not_met"}
CARRIED = {"carried_met"}


def as_tuple(value: str | Iterable[str]) -> tuple[str, ...]:
    """One name or several, as a tuple.

    >>> as_tuple("nri")
    ('nri',)
    """
    return (value,) if isinstance(value, str) else tuple(value)


def one_axis(at: object) -> None:
    """Refuse more than one axis where a table of rates has exactly one.

    >>> one_axis(["week", "end"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ketaoutcomes.shown.WrongChoice: rates are given along one axis at a time: ...
    """
    if not isinstance(at, str):
        raise WrongChoice(
            'rates are given along one axis at a time: write at="session", "week", "end" or "month"'
        )


def points_of(plan: dict[str, Any], axis: str, protocol: str | None) -> tuple[str, ...]:
    """The points an axis has by the plan, never by the data."""
    if axis == "session":
        visits = plan["definitions"]["protocols"].get(protocol or "", {}).get("visits") or 0
        return tuple(str(k) for k in range(1, visits + 1))
    if axis == "week":
        return tuple(str(w) for w in plan["points"]["weeks"])
    return ("end",)


def rates(
    tally: Tally,
    *,
    at: str,
    criteria: str | Sequence[str] | None = None,
    kind: str | Sequence[str] = "current",
    analysis: str | Sequence[str] = ("nri", "observed"),
    interval_method: str | None = None,
    level: float | None = None,
) -> pd.DataFrame:
    """Rates at every point of an axis, with their denominators and intervals.

    One row per group, criterion, kind, analysis and point; columns as declared for `rates`, led by the
    grouping. `nri` counts the unscored as not met, `observed` leaves them out, `locf` carries the last
    score. A rate that cannot be given is NaN and `reason` says why.
    """
    one_axis(at)
    plan = tally.header.settings
    method, confidence = tally.header.limits(interval_method, level)
    wanted = as_tuple(tally.header.criteria if criteria is None else criteria)
    cells = tally.points
    cells = cells[
        (cells["axis"] == at) & cells["criterion"].isin(wanted) & cells["kind"].isin(as_tuple(kind))
    ]
    frame = _layout(tally, plan, at, cells, wanted, as_tuple(kind))
    counts = _counts(frame, cells, [*tally.header.by, "criterion", "kind", "point"])
    parts = [_analysed(frame, counts, name, tally, method, confidence) for name in as_tuple(analysis)]
    table = pd.concat(parts, ignore_index=True) if parts else frame
    order = ["_group", "_criterion", "_kind", "_analysis", "_point"]
    table = table.iloc[np.lexsort([table[column] for column in reversed(order)])].reset_index(drop=True)
    for name in ("due", "given", "assessed", "met", "n"):
        if table[name].notna().all():
            table[name] = table[name].astype("int64")
    first = [*tally.header.by, "axis", "instrument", "criterion", "kind", "analysis", "point"]
    return table[[*first, "due", "given", "assessed", "met", "n", "rate", "low", "high", "reason"]]


def _layout(
    tally: Tally,
    plan: dict[str, Any],
    axis: str,
    cells: pd.DataFrame,
    criteria: Sequence[str],
    kinds: Sequence[str],
) -> pd.DataFrame:
    """One row per group, criterion, kind and point of the plan, whether or not anyone stands there."""
    by = list(tally.header.by)
    groups = cells[by].drop_duplicates().sort_values(by).to_dict("records") if by else [{}]
    rows = []
    of = {name: plan["definitions"]["criteria"][name]["instrument"] for name in criteria}
    months = _months(tally, cells) if axis == "month" else {}
    every = max(months.values(), key=len, default=())
    for g, group in enumerate(groups):
        points, reason = points_of_group(tally, plan, axis, group, every, cells)
        for c, name in enumerate(criteria):
            own = points if points != every else months.get(of[name], points)
            for k, one in enumerate(kinds):
                for i, point in enumerate(own):
                    rows.append(
                        {**group, "axis": axis, "instrument": of[name], "criterion": name, "kind": one,
                         "point": point, "_reason": reason,
                         "_group": g, "_criterion": c, "_kind": k, "_point": i}
                    )  # fmt: skip
    names = [
        *by,
        "axis",
        "instrument",
        "criterion",
        "kind",
        "point",
        "_group",
        "_criterion",
        "_kind",
        "_point",
        "_reason",
    ]
    return pd.DataFrame(rows, columns=names)


def points_of_group(
    tally: Tally,
    plan: dict[str, Any],
    axis: str,
    group: dict[Any, Any],
    months: tuple[str, ...],
    cells: pd.DataFrame,
) -> tuple[tuple[str, ...], str]:
    """A group's points on an axis; where it has none, one blank point and the reason."""
    points = months if axis == "month" else points_of(plan, axis, group.get("protocol"))
    by_week_only = axis != "week" and group.get("protocol") == "none"
    for column, label in group.items():
        cells = cells[cells[column] == label]
    without = cells[cells["state"].isin(NO_POINT)]
    # Everyone together may be judged at a point at which some protocol has none: only a group without any
    # judged course has no point.
    if points and not by_week_only and (len(without) < len(cells) or not len(cells)):
        return points, ""
    if len(without):
        return ("",), str(without["state"].iloc[0])
    if axis == "month":
        return ("",), "no_dates" if tally.header.dates == "offsets" else ""
    return ("",), "judged_by_week_only" if by_week_only else "not_visit_based"


def _months(tally: Tally, cells: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """By instrument, every month from the first with a course to the as-of month, empty ones included.

    Where an instrument is told by longer periods, each has its own, empty ones between them included.
    """
    instruments = [str(name) for name in cells["instrument"].unique()]
    if not cells["point"].str.contains("/").any():
        return dict.fromkeys(instruments, _to_as_of(tally, cells))
    return {name: _told(cells.loc[cells["instrument"] == name, "point"]) for name in instruments}


def _told(names: pd.Series[str]) -> tuple[str, ...]:
    """The periods that are told, and months or as long a period where nobody came due between two of them."""
    laid: list[Period] = []
    for one in sorted(found for found in map(period, names.unique()) if found is not None):
        at = laid[-1].last + 1 if laid else one.first
        while at + one.months <= one.first:
            laid.append(Period(at, one.months))
            at += one.months
        laid += [*(Period(month) for month in range(at, one.first)), one]
    return tuple(one.name for one in laid)


def _to_as_of(tally: Tally, cells: pd.DataFrame) -> tuple[str, ...]:
    months = sorted({point for point in cells["point"] if point})
    last = tally.header.as_of[:7]
    if not months or not last[:4].isdigit():
        return ()
    kinds = {month[5:6] if month[5:6] in "QH" else "" for month in months}
    if len(kinds) > 1:
        raise ValueError("this Tally holds months and quarters; add up all of its months, or none")
    (kind,) = kinds
    if kind:
        many = 4 if kind == "Q" else 2
        first = int(months[0][:4]) * many + int(months[0][-1]) - 1
        final = int(last[:4]) * many + (int(last[5:]) - 1) * many // 12
        return tuple(f"{number // many}-{kind}{number % many + 1}" for number in range(first, final + 1))
    low = np.datetime64(months[0], "M")
    return tuple(str(month) for month in np.arange(low, np.datetime64(last, "M") + 1))


def _counts(frame: pd.DataFrame, cells: pd.DataFrame, keys: list[str]) -> dict[str, Array]:
    """For every row of the layout, the counts that rates are made of. A hidden part makes its sums NaN."""
    index = pd.MultiIndex.from_frame(frame[keys])
    at = (
        index.get_indexer(pd.MultiIndex.from_frame(cells[keys]))
        if len(frame) and len(cells)
        else np.array([], int)
    )
    inside = at >= 0
    cells, at = cells[inside], at[inside]
    n = cells["n"].to_numpy(dtype=np.float64)
    state, given = cells["state"].to_numpy(dtype=object), cells["given"].to_numpy(dtype=object)
    due = np.array(
        [s not in (NOT_DUE, *NO_POINT) and not str(s).startswith("excluded:") for s in state], dtype=bool
    )
    scheduled = due & (state != NOT_SCHEDULED)

    def total(mask: Array, doubt: Array | None = None) -> Array:
        counted = np.zeros(len(frame))
        np.add.at(counted, at[mask], n[mask])
        if doubt is not None:
            counted[at[doubt]] = np.nan
        return counted

    coarse = np.isin(state, ["due", "unmet_or_missing"])
    return {
        "due": total(due),
        "scheduled": total(scheduled),
        "given": total(due & (given == "yes"), due & (given == "")),
        "assessed": total(np.isin(state, list(ASSESSED)), scheduled & coarse),
        "met": total(np.isin(state, list(MET)), state == "due"),
        "carried": total(np.isin(state, list(CARRIED)), scheduled & (coarse | (state == "unassessed"))),
    }


def _analysed(
    frame: pd.DataFrame, counts: dict[str, Array], analysis: str, tally: Tally, method: str, level: float
) -> pd.DataFrame:
    if analysis not in ANALYSES:
        raise WrongChoice(f"analysis must be one of {', '.join(ANALYSES)}; got {analysis!r}")
    table = frame.copy()
    table["analysis"], table["_analysis"] = analysis, ANALYSES.index(analysis)
    met = counts["met"] + (counts["carried"] if analysis == "locf" else 0)
    n = counts["assessed"] if analysis == "observed" else counts["scheduled"]
    due, given = counts["due"], counts["given"]
    reason = table["_reason"].to_numpy(dtype=object).copy()
    unknown_end = tally.header.as_of == NO_END
    if unknown_end:
        due, given = due * np.nan, given * np.nan
        if analysis != "observed":
            n, met = n * np.nan, met * np.nan
            reason[reason == ""] = "no_cut_day"
    if analysis == "locf":
        undefined = (frame["kind"] != "current").to_numpy()
        met = np.where(undefined, np.nan, met)
        reason[undefined & (reason == "")] = "locf_not_defined"
    n = np.where(reason == "", n, np.nan)
    met = np.where(reason == "", met, np.nan)
    hidden = (np.isnan(n) | np.isnan(met)) & (reason == "")
    reason[hidden] = "hidden"
    empty = (n == 0) & (reason == "")
    nobody = np.where(
        counts["scheduled"] == 0, np.where(counts["due"] > 0, "not_scheduled", "nobody_due"), "nobody_scored"
    )
    reason[empty] = nobody[empty]
    rate, low, high = rate_with_limits(np.where(hidden, np.nan, met), n, method, level)
    return table.assign(
        due=due,
        given=given,
        assessed=counts["assessed"],
        met=met,
        n=n,
        rate=rate,
        low=low,
        high=high,
        reason=reason,
    )


def _grouped(table: pd.DataFrame, by: Sequence[str], keys: Sequence[str], count: str = "n") -> pd.DataFrame:
    """Counts summed over the given columns; a hidden part makes its sum NaN."""
    return _summed(table, [*by, *keys], [count])


def _summed(table: pd.DataFrame, columns: Sequence[str], counts: Sequence[str]) -> pd.DataFrame:
    grouped = table.groupby(list(columns), sort=True, dropna=False, observed=True)
    group = grouped.ngroup().to_numpy()
    result = grouped.size().reset_index()[list(columns)]
    for count in counts:
        total = np.zeros(len(result))
        np.add.at(total, group, table[count].to_numpy(dtype=np.float64))  # numpy keeps NaN, pandas skips it
        result[count] = total
    return result


def flow(tally: Tally) -> pd.DataFrame:
    """Everyone accounted for: rows read, patients, courses and why each is or is not judged.

    Columns: the grouping, unit (row, patient, course), instrument, step, reason, n, people. Within a unit,
    instrument and step the reasons are a partition: their n add up to all. Where the records do not say
    when they end, the reason at step `due` is `no_cut_day`: nobody can be called due.
    """
    table = tally.flow
    if tally.header.as_of == NO_END:
        table = table.assign(reason=table["reason"].where(table["step"] != "due", "no_cut_day"))
    steps = ~table["step"].str.startswith("session:") & (table["step"] != "measured")
    return table.loc[
        steps, [*tally.header.by, "unit", "instrument", "step", "reason", "n", "people"]
    ].reset_index(drop=True)


def retention(
    tally: Tally, *, interval_method: str | None = None, level: float | None = None
) -> pd.DataFrame:
    """Who reached each session, from doses alone: first courses that are due, by protocol.

    Columns: the grouping (with protocol), session, planned_day (the protocol's), median_day (of those who
    reached it), due, reached, rate, low, high. No rows where the records do not say when they end: a course
    still open would read as one that stopped.
    """
    plan = tally.header.settings
    by = list(tally.header.by)
    table = tally.flow[tally.flow["step"].str.startswith("session:") & (tally.flow["reason"] != NOT_DUE)]
    if "protocol" not in by or table.empty or tally.header.as_of == NO_END:
        names = [*by, "session", "planned_day", "median_day", "due", "reached", "rate", "low", "high"]
        return pd.DataFrame(columns=names)
    table = table.assign(session=table["step"].str.removeprefix("session:").astype("int64"))
    due = _grouped(table, by, ["session"]).rename(columns={"n": "due"})
    given = _grouped(table[table["reason"] == "given"], by, ["session"]).rename(columns={"n": "reached"})
    frame = due.merge(given, on=[*by, "session"], how="left", indicator=True)
    frame["reached"] = frame["reached"].where(frame["_merge"] == "both", 0.0)
    days = median(tally, "days_to_session").rename(columns={"point": "session", "median": "median_day"})
    days["session"] = days["session"].astype("int64")
    frame = frame.merge(days[[*by, "session", "median_day"]], on=[*by, "session"], how="left")
    planned = plan["definitions"]["protocols"]
    frame["planned_day"] = [
        planned[p]["planned_days"][k - 1] for p, k in zip(frame["protocol"], frame["session"], strict=True)
    ]
    return _with_rate(frame, "reached", "due", tally.header, interval_method, level)[
        [*by, "session", "planned_day", "median_day", "due", "reached", "rate", "low", "high"]
    ]


def _with_rate(
    frame: pd.DataFrame, count: str, of: str, header: Header, method: str | None, level: float | None
) -> pd.DataFrame:
    rate, low, high = rate_with_limits(frame[count], frame[of], *header.limits(method, level))
    return frame.assign(rate=rate, low=low, high=high)


STEPS = ("started", "baseline", "any_score", "end_score")
_AT_LEAST = {
    "started": ("no_baseline", "baseline_only", "some", "end"),
    "baseline": ("baseline_only", "some", "end"),
    "any_score": ("some", "end"),
    "end_score": ("end",),
}


def measured(tally: Tally, *, interval_method: str | None = None, level: float | None = None) -> pd.DataFrame:
    """The measurement cascade: of first courses due, who has a baseline, any later score, an end score.

    Columns: the grouping, instrument, step, n, of (all that are due), rate, low, high. No rows where the
    records do not say when they end: nobody can be called due.
    """
    keys = [*tally.header.by, "instrument"]
    by = list(tally.header.by)
    table = tally.flow[(tally.flow["step"] == "measured") & (tally.header.as_of != NO_END)]
    groups = table[keys].drop_duplicates()
    # Protection leaves one row without a number where even the number of those who started is hidden.
    cells = table[table["n"].notna()]
    open_above = _in(groups, table.loc[table["n"].isna(), keys])
    parts = []
    for i, step in enumerate(STEPS):
        counted = _grouped(_among(cells, _AT_LEAST[step]), by, ["instrument"])
        frame = groups.merge(counted, on=keys, how="left", indicator=True)
        frame["n"] = frame["n"].where(frame["_merge"] == "both", 0.0)
        begins = cells.loc[cells["reason"].str.split("+").str[0] == _AT_LEAST[step][0], keys]
        frame["n"] = frame["n"].where(~open_above | _in(groups, begins))
        parts.append(frame.drop(columns="_merge").assign(step=step, _order=i))
    frame = pd.concat(parts, ignore_index=True)
    whole = frame.loc[frame["step"] == "started", [*by, "instrument", "n"]].rename(columns={"n": "of"})
    frame = frame.merge(whole, on=[*by, "instrument"], how="left")
    frame = frame.sort_values([*by, "instrument", "_order"], kind="stable", ignore_index=True)
    frame = _with_rate(frame, "n", "of", tally.header, interval_method, level)
    return frame[[*by, "instrument", "step", "n", "of", "rate", "low", "high"]]


def _in(groups: pd.DataFrame, found: pd.DataFrame) -> Array:
    """Which groups are among those found."""
    return pd.MultiIndex.from_frame(groups).isin(pd.MultiIndex.from_frame(found))


def _among(table: pd.DataFrame, reasons: Iterable[str]) -> pd.DataFrame:
    """The rows of these reasons; a row that joins one of them with others tells nothing, so its n is NaN.

    Protection joins neighbouring reasons by `+` where the line between them is hidden.
    """
    wanted = set(reasons)
    parts = [set(str(reason).split("+")) for reason in table["reason"]]
    inside = np.array([part <= wanted for part in parts], dtype=bool)
    across = np.array([bool(part & wanted) for part in parts], dtype=bool) & ~inside
    kept: pd.DataFrame = table.assign(n=table["n"].where(~across))[inside | across]
    return kept


def median(tally: Tally, variable: str) -> pd.DataFrame:
    """The median of a counted variable by group, instrument, axis and point: NaN where a part is hidden.

    Columns: the grouping, instrument, axis, point, n, median (in the variable's own unit: days, or ticks).
    """
    table: pd.DataFrame = moments(tally, variable)
    return table[[*tally.header.by, "instrument", "axis", "point", "n", "median"]]


def sums(tally: Tally, variable: str) -> pd.DataFrame:
    """The sum of a counted variable by group, instrument, axis and point, in its own unit; NaN where hidden.

    Columns: the grouping, instrument, axis, point, sum.
    """
    table: pd.DataFrame = moments(tally, variable)
    return table[[*tally.header.by, "instrument", "axis", "point", "sum"]]


def timing(tally: Tally) -> pd.DataFrame:
    """Days from dose to the score judged, by session: how long after the dose patients were asked.

    Columns: the grouping (with protocol), instrument, session, n, median_days.
    """
    table = median(tally, "days_since_dose").rename(columns={"point": "session", "median": "median_days"})
    table["session"] = table["session"].astype("int64")
    by = list(tally.header.by)
    return table[[*by, "instrument", "session", "n", "median_days"]].sort_values(
        [*by, "instrument", "session"], ignore_index=True
    )


def trajectory(tally: Tally, variable: str = "score") -> pd.DataFrame:
    """Mean score (or change from baseline) at each point, of those scored there, in points.

    Changes also by the month in which courses came due, where the Tally has the axis month.

    Columns: the grouping, instrument, axis, point, n, mean, sd. Sums are of whole ticks, so they are exact
    and have no order. `sd` is the sample standard deviation; NaN below two people. Raises `WrongChoice`, a
    `ValueError`, for a variable that is not counted.
    """
    if variable not in ("score", "change"):
        raise WrongChoice(f"variable must be one of score, change; got {variable!r}")
    plan = tally.header.settings
    by = [*tally.header.by, "instrument", "axis", "point"]
    variables = [variable, "baseline"] if variable == "score" else [variable]
    sums = pd.concat([moments(tally, name) for name in variables], ignore_index=True)
    ticks = (
        sums["instrument"]
        .map(lambda name: plan["definitions"]["instruments"][name]["ticks"])
        .to_numpy(dtype=np.float64)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums["sum"] / sums["n"]
        spread = np.sqrt(np.maximum(sums["squares"] - sums["n"] * mean * mean, 0) / (sums["n"] - 1))
    sums["mean"], sums["sd"] = mean / ticks, spread / ticks
    place = sums["point"].map(lambda point: int(point) if str(point).isdigit() else 0)
    axis = sums["axis"].map({"baseline": 0, "session": 1, "week": 2, "end": 3, "month": 4})
    sums = sums.assign(_axis=axis, _place=place).sort_values(
        [*tally.header.by, "instrument", "_axis", "_place", "point"], kind="stable"
    )
    return sums[[*by, "n", "mean", "sd"]].reset_index(drop=True)
