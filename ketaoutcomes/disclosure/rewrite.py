"""Write a protected Tally: what may be shown as coarse cells that add up, the rest as NaN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.tallies import KEYS, typed
from ketaoutcomes.disclosure.facts import (
    CASCADE,
    MEASURED,
    MONTH,
    NO_POINT,
    OUTSIDE,
    SCHEDULED,
    Fact,
    Margin,
    factorized,
    group_codes,
    published,
    reason_fact,
    value_fact,
)

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

Array = Any
HIDDEN = np.nan
STATISTICS = ("n", "sum", "squares", "median")
"""What a protected Tally holds of a variable, each as a row named `variable:statistic`."""

PERMITS: dict[str, frozenset[str]] = {
    "met": frozenset({"due", "assessed", "met"}),
    "not_met": frozenset({"due", "assessed", "met"}),
    "unassessed": frozenset({"due", "assessed", "met"}),
    "unmet_or_missing": frozenset({"due", "met"}),
    "due": frozenset({"due"}),
}
"""States of a protected Tally's points, and which counts may be summed where one of them occurs."""

ROUND_TO = 5


def rewrite(tally: Tally, margins: Sequence[Margin], profile: str) -> Tally:
    """The protected Tally: the same header, coarse cells, and no transitions."""
    by = tuple(tally.header.by)
    plain, values = _margin_of(margins, by), published(tally.values, by)
    points, means = [], []
    for months in (False, True):
        own, valued = (table[(table["axis"] == "month") == months] for table in (tally.points, values))
        if len(own) or len(valued) or not months:
            margin = _margin_of(margins, [*by, MONTH]) if months else plain
            points.append(_points(own, by, margin))
            means.append(_values(valued, own, by, margin))
    tables = {
        "flow": _flow(published(tally.flow, by), by, plain),
        "points": pd.concat(points, ignore_index=True),
        "values": pd.concat(means, ignore_index=True),
        "transitions": tally.transitions.iloc[:0],
    }
    done: dict[str, Any] = {name: typed(name, table, by) for name, table in tables.items()}
    return replace(tally, **done, protected=profile)


def _margin_of(margins: Sequence[Margin], by: Sequence[str]) -> Margin:
    return next(margin for margin in margins if margin.by == tuple(sorted(by)))


class _Shown:
    """Looks up what may be shown of a fact, row by row of a table: its number, or NaN."""

    def __init__(self, margin: Margin, facts: Sequence[Fact], group: Array) -> None:
        self.margin, self.group = margin, group
        at = np.array([margin.row.get(fact, -1) for fact in facts], dtype=np.int64)
        self.there = at >= 0
        self.at = np.where(self.there, at, 0)

    def numbers(self) -> Array:
        if not len(self.margin.facts):
            return np.full(len(self.at), HIDDEN)
        shown = self.margin.shown[self.at, self.group] & self.there
        return np.where(shown, self.margin.number[self.at, self.group].astype(np.float64), HIDDEN)


def _points(points: pd.DataFrame, by: tuple[str, ...], margin: Margin) -> pd.DataFrame:
    keys = [name for name in KEYS["points"] if name not in ("given", "state")]
    state = points["state"].astype(str)
    nowhere = points[state.isin(NO_POINT)]
    judged = ~(state.isin(OUTSIDE) | state.str.startswith("excluded:"))
    # A group that is not due is nobody: where that is not to be told it has a row, too.
    rows = points[judged | ((state == "not_due") & (points["point"] != ""))].assign(judged=judged)
    rows = rows.groupby([*keys, *by], sort=False, observed=True)["judged"].any().reset_index()
    there = rows["judged"].to_numpy()
    group, axis, point = _placed(rows, margin)

    def shown(role: str, suffix: str = "") -> _Shown:
        parts = zip(rows["instrument"], rows["criterion"], rows["kind"], axis, point, strict=True)
        return _Shown(margin, [Fact(role, i, c + suffix, k, a, p) for i, c, k, a, p in parts], group)

    counts = {role: shown(role).numbers() for role in ("due", "given", "assessed", "met")}
    # `ever` is also about people who were not given the session: its cells would cross.
    counts["given"][rows["kind"] == "ever"] = HIDDEN
    fewer = shown("due", SCHEDULED)
    counts["scheduled"] = np.where(fewer.there, fewer.numbers(), counts["due"])
    chosen = there | np.isnan(counts["due"])
    counts = {role: count[chosen] for role, count in counts.items()}
    cells = _cells(rows.loc[chosen, [*keys, *by]].reset_index(drop=True), counts)
    return pd.concat([cells, _nowhere(nowhere, keys, by)], ignore_index=True)


def _placed(rows: pd.DataFrame, margin: Margin) -> tuple[Array, Array, Array]:
    """The group, axis and point of each row's facts: a month is a group of those at the end."""
    group = group_codes(rows.assign(**{MONTH: rows["point"]}), margin.by, margin.groups)
    month = rows["axis"] == "month"
    return group, np.where(month, "end", rows["axis"]), np.where(month, "end", rows["point"])


def _nowhere(nowhere: pd.DataFrame, keys: list[str], by: tuple[str, ...]) -> pd.DataFrame:
    """Courses whose protocol has no such point: kept as a reason, without their number."""
    table = nowhere[[*keys, *by, "state"]].drop_duplicates(ignore_index=True)
    return table.assign(given="", n=HIDDEN)


def _cells(rows: pd.DataFrame, count: dict[str, Array]) -> pd.DataFrame:
    """The finest cells that the facts shown allow; they partition everyone due."""
    due, given, scored, yes = (count[name] for name in ("scheduled", "given", "assessed", "met"))
    known = ~np.isnan(due)
    met_known = known & ~np.isnan(yes)
    scored_known = met_known & ~np.isnan(scored)
    given_known = scored_known & ~np.isnan(given)
    off = count["due"] - due
    coarse = scored_known & ~given_known
    cells = [
        (given_known, "yes", "met", yes),
        (given_known, "yes", "not_met", scored - yes),
        (given_known, "yes", "unassessed", given - scored),
        (given_known, "no", "unassessed", due - given),
        (coarse, "", "met", yes),
        (coarse, "", "not_met", scored - yes),
        (coarse, "", "unassessed", due - scored),
        (met_known & ~scored_known, "", "met", yes),
        (met_known & ~scored_known, "", "unmet_or_missing", due - yes),
        (known & ~met_known, "", "due", due),
        (~known, "", "due", due),
        (np.isnan(off) | (off > 0), "", "not_scheduled", off),
    ]
    parts: list[pd.DataFrame] = [
        rows.loc[where, :].assign(given=given, state=state, n=n[where]) for where, given, state, n in cells
    ]
    return pd.concat(parts, ignore_index=True)


def _flow(flow: pd.DataFrame, by: tuple[str, ...], margin: Margin) -> pd.DataFrame:
    columns: dict[str, list[Array]] = {name: [] for name in (*KEYS["flow"], *by, "n", "people")}
    code, steps = factorized(flow, ["unit", "instrument", "step"])
    for i, (unit, instrument, step) in enumerate(steps):
        table = flow[code == i]
        rows = table[list(by)].drop_duplicates() if by else table.iloc[:1]
        if by and not step.startswith("session:"):  # a protocol may have no such session
            rows = pd.DataFrame(margin.groups, columns=list(margin.by), dtype=object)
        group = group_codes(rows, margin.by, margin.groups)
        reasons = sorted(table["reason"].unique())
        for reason, n, people in _flow_cells(unit, instrument, step, reasons, margin, group):
            for name, value in zip(KEYS["flow"], (unit, instrument, step, reason), strict=True):
                columns[name].append(np.full(len(n), value, dtype=object))
            for name in by:
                columns[name].append(rows[name].to_numpy(dtype=object))
            columns["n"].append(n)
            columns["people"].append(people)
    if not steps:
        return flow
    result = pd.DataFrame({name: np.concatenate(parts) for name, parts in columns.items()})
    return result.loc[(result["n"] != 0).to_numpy(), :]


def _flow_cells(
    unit: str, instrument: str, step: str, reasons: Sequence[str], margin: Margin, group: Array
) -> list[tuple[str, Array, Array]]:
    def shown(fact: Fact) -> Array:
        return _Shown(margin, [fact] * len(group), group).numbers()

    if unit == "row" or step == "courses":
        facts = [
            Fact("rows", "", r, "", step) if unit == "row" else reason_fact(instrument, r) for r in reasons
        ]
        found = [(reason, shown(fact)) for reason, fact in zip(reasons, facts, strict=True)]
        # A person may have several courses: beside their number, that of persons would count the repeats.
        same = {"eligible"} if step == "courses" else set(reasons)
        return [(reason, n, n if reason in same else np.full(len(n), HIDDEN)) for reason, n in found]
    if step == "patients":
        part, rest = shown(Fact("with_course")), shown(Fact("patients")) - shown(Fact("with_course"))
        return [("with_course", part, part), ("no_dose", rest, rest)]
    if step == "due":
        part = shown(Fact("due", instrument))
        rest = shown(Fact("eligible", instrument)) - part
        return [("due", part, part), ("not_due", rest, rest)]
    if step == "measured":
        return _measured({role: shown(Fact(role, instrument)) for role in CASCADE})
    point = step.removeprefix("session:")
    part = shown(Fact("reached", point=point))
    rest = shown(Fact("reach_due", point=point)) - part
    part = np.where(np.isnan(rest), HIDDEN, part)
    return [("given", part, part), ("not_given", rest, rest)]


def _measured(count: dict[str, Array]) -> list[tuple[str, Array, Array]]:
    """The cascade's cells, joined by `+` across steps that are hidden."""
    steps = list(CASCADE)
    known = np.stack([~np.isnan(count[step]) for step in steps])
    result = []
    for i in range(len(steps)):
        for j in range(i + 1, len(steps) + 1):
            # From step i down to before step j, with every step between them hidden.
            inside = known[i] & ~known[i + 1 : j].any(axis=0)
            if j < len(steps):
                inside &= known[j]
            below = count[steps[j]] if j < len(steps) else 0.0
            n = np.where(inside, count[steps[i]] - below, 0.0)
            result.append(("+".join(MEASURED[i:j]), n, n))
    hidden = np.where(known[0], 0.0, HIDDEN)
    result.append(("+".join(MEASURED), hidden, hidden))
    return result


def _values(values: pd.DataFrame, points: pd.DataFrame, by: tuple[str, ...], margin: Margin) -> pd.DataFrame:
    """Number, sum, sum of squares and median of each variable; NaN where the people behind it are hidden."""
    keys = ["instrument", "variable", "axis", "point", *by]
    if values.empty:
        return values
    names = ["instrument", "variable", "axis", "point"]
    found = _statistics(values, keys)
    # A group of whom nobody was scored has a row where that is not to be told.
    places = points[["instrument", "axis", "point", *by]].drop_duplicates()
    asked = found[names].drop_duplicates().merge(places, on=["instrument", "axis", "point"])
    found = found.assign(there=True).merge(asked, on=keys, how="outer")
    there = found["there"].notna().to_numpy()
    group, axis, point = _placed(found, margin)
    of = zip(found["instrument"], found["variable"], axis, point, strict=True)
    shown = _Shown(margin, [value_fact(*map(str, key)) for key in of], group).numbers()
    found, shown = found[there | np.isnan(shown)], shown[there | np.isnan(shown)]
    parts = []
    for name in STATISTICS:
        number = np.where(np.isnan(shown), HIDDEN, found[name].to_numpy(np.float64))
        parts.append(found[keys].assign(variable=found["variable"] + ":" + name, value=0, n=number))
    result: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return result


def _statistics(values: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The statistics of every histogram of whole numbers, one row per key."""
    n, value = values["n"].to_numpy(np.int64), values["value"].to_numpy(np.int64)
    sums = values[keys].assign(n=n, sum=n * value, squares=n * value * value, value=value)
    sums = sums.sort_values([*keys, "value"], kind="stable")
    found = sums.groupby(keys, sort=True)[["n", "sum", "squares"]].sum().reset_index()
    result: pd.DataFrame = found.assign(median=_medians(sums, keys))
    return result


def _medians(sums: pd.DataFrame, keys: list[str]) -> Array:
    """The median of every histogram; its rows are sorted by value."""
    code = sums.groupby(keys, sort=True).ngroup().to_numpy()
    n, value = sums["n"].to_numpy(), sums["value"].to_numpy(np.float64)
    total = np.bincount(code, weights=n).astype(np.int64)
    until = np.cumsum(n)
    begin = np.concatenate([[0], np.cumsum(total)[:-1]])
    low = value[np.searchsorted(until, begin + (total + 1) // 2, side="left")]
    high = value[np.searchsorted(until, begin + total // 2 + 1, side="left")]
    result: Array = (low + high) / 2
    return result


def moments(tally: Tally, variable: str) -> pd.DataFrame:
    """Number, sum, sum of squares and median of a counted variable, of a raw or a protected Tally.

    Returns:
        One row per group, instrument, axis and point: the grouping, instrument, axis, point, n, sum, squares,
        median, in ticks or days; NaN where hidden.

    Example:
        >>> tally = study.tally(at="end", criteria="phq9_response50", tables=("values",))
        >>> list(moments(tally, "score").columns)
        ['instrument', 'axis', 'point', 'n', 'sum', 'squares', 'median']
    """
    by = list(tally.header.by)
    keys = [*by, "instrument", "axis", "point"]
    if not tally.protected:
        table = tally.values[tally.values["variable"] == variable]
        return _statistics(table, keys)
    if tally.values.empty:
        return pd.DataFrame(columns=[*keys, *STATISTICS])
    name, _, statistic = (tally.values["variable"].str.rpartition(":")[i] for i in range(3))
    own = tally.values[name == variable].assign(statistic=statistic[name == variable])
    wide = own.set_index([*keys, "statistic"])["n"].unstack("statistic")
    result: pd.DataFrame = wide.reindex(columns=STATISTICS).rename_axis(columns=None).reset_index()
    return result


def blur(profile: str) -> int:
    """How far apart two people's counts must be to be told apart under a profile: 0 where none is rounded."""
    return ROUND_TO if profile == "opensafely" else 0


def rounded(tally: Tally, profile: str) -> Tally:
    """Where the profile rounds, every cell to the nearest 5, halves up, so that sums are of rounded parts.

    Means and spreads keep their value: their sums are scaled to the rounded number of people.
    """
    if not blur(profile):
        return tally
    tables = {}
    for name in ("flow", "points"):
        table = getattr(tally, name)
        counts = [column for column in ("n", "people") if column in table]
        tables[name] = table.assign(**{column: nearest(table[column], profile) for column in counts})
    values = tally.values
    if len(values):
        keys = [name for name in values.columns if name not in ("variable", "value", "n")]
        variable, statistic = (values["variable"].str.rpartition(":")[i] for i in (0, 2))
        people = values["n"].where(statistic == "n")
        people = people.groupby([values[key] for key in keys] + [variable]).transform("max")
        scale = (nearest(people, profile) / people).where(people != 0, 1.0)
        scale = scale.where(statistic.isin(["n", "sum", "squares"]), 1.0)
        tables["values"] = values.assign(n=values["n"] * scale)
    done: dict[str, Any] = dict(tables)
    return replace(tally, **done)


def nearest(count: Any, profile: str) -> Any:
    """Counts as a profile prints them: to the nearest 5, halves up, or as they are."""
    step = blur(profile)
    return np.floor(count / step + 0.5) * step if step else count
