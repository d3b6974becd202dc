"""Does it last? From a Tally's counts: relapse after response, boosters, time off treatment.

Pure functions of a Tally counted with `tables=("durability",)`: they never see a patient. Hidden counts make
NaN, with the reason.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.durability_counts import BETWEEN, STATES, SUSTAINED, TREND
from ketaoutcomes.definitions.lasting import Lasting, lasting
from ketaoutcomes.estimates import curves, rate_with_limits
from ketaoutcomes.results import wording
from ketaoutcomes.results.response_curves import (
    HIDDEN,
    LEAST_AT_RISK,
    NOT_REACHED,
    Counter,
    Moves,
    integers,
    whole,
)
from ketaoutcomes.shown import Prose

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

Array = Any
FOLLOWS = ("last_score", "as_of")
CAUTION = (
    "A relapse is seen only at a score. Those scored rarely look well for longer, and those who stay away "
    "are not known to be well. Informs; does not advise on doses or boosters."
)


@dataclass(frozen=True, eq=False)
class Durability:
    """Whether responses lasted, as tables; all are computed from counts.

    - `curve`: one row per group, criterion, relapse rule and day since the response; columns as
      `relapse_curve` has them.
    - `marks`: the same on the days of `[marks]` (4, 8, 12 and 26 weeks): day, n, at_risk, no_relapse, low,
      high, reason.
    - `summary`: one row per group, criterion and rule: n (who responded), relapsed, of them relapses (before
      recovery_days) and recurrences (after), retreated, unscored (no relapse, no later score), never_scored
      (no score at all after the response), median days to relapse with limits and reason, restricted_mean.
    - `sustained`: of responses old enough, whether the criterion was met at every score up to the first at
      least 28 days later: state (sustained, lost, unconfirmed), n, of, share, low, high.
    - `boosters`: one row per group, instrument and booster (1: the first dose after induction): n, given,
      open, ended, median_days (of those given), median_wait (of all, open ones censored), wait_reason.
    - `trend`: each person's last interval beside the first: trend (longer, equal, shorter, too_few), n, of.
    - `time_off`: after the course's last dose stopped speaking: n, returned, still_off, median_days (of those
      who returned), median_off (of all) and off_reason.
    - `rules`: relapse, title, scores, cite.

    >>> found = study.durability("phq9_response50", relapse="lost")
    >>> print(found.marks[["day", "at_risk", "no_relapse", "low", "high"]].round(2).to_string(index=False))
     day  at_risk  no_relapse  low  high
      28      346        0.97 0.94  0.98
      56      247        0.84 0.80  0.88
      84      155        0.75 0.69  0.79
     182       44        0.43 0.35  0.51
    """

    curve: pd.DataFrame
    marks: pd.DataFrame
    summary: pd.DataFrame
    sustained: pd.DataFrame
    boosters: pd.DataFrame
    trend: pd.DataFrame
    time_off: pd.DataFrame
    rules: pd.DataFrame
    follow: str
    caution: str = CAUTION

    def __repr__(self) -> str:
        return f"Durability after response\n{self.marks.to_string(index=False)}\n{self.caution}"

    def _repr_html_(self) -> str:
        table = self.marks.to_html(index=False, escape=True, float_format="{:.3f}".format)
        return f"<p>Durability after response</p>{table}<p>{html.escape(self.caution)}</p>"

    def sentence(self, **group: str) -> Prose:
        """Durability of one criterion by one relapse rule, at the second mark, in one sentence.

        `group` picks the row of `marks` where there are several: criterion, relapse, and the grouping. Raises
        `ValueError` where it does not pick one.

        >>> print(study.durability("phq9_response50").sentence(relapse="lost").split(" (")[0])
        Of 467 who met phq9_response50, 84 % had no relapse 8 weeks later
        """
        rows = _only(self.marks, group)
        days = sorted(set(rows["day"]))
        rows = rows[rows["day"] == days[min(1, len(days) - 1)]] if days else rows
        if len(rows) != 1:
            keys = list(self.marks.columns)[: list(self.marks.columns).index("clock")]
            raise ValueError(f"give one value each of {', '.join(keys)}; {len(rows)} rows fit")
        own = {name: rows[name].iloc[0] for name in (*group, "criterion", "relapse")}
        summary = _only(self.summary, own)
        title = dict(zip(self.rules["relapse"], self.rules["title"], strict=True))
        told = _sentence(rows.iloc[0].to_dict(), summary.iloc[0].to_dict(), title, self.follow)
        return Prose(told)


def durability(
    tally: Tally,
    *,
    relapse: str | Sequence[str] | None = None,
    follow: str = "last_score",
    days: Sequence[int] | None = None,
    level: float | None = None,
    least: int = LEAST_AT_RISK,
    folders: Sequence[str] = (),
) -> Durability:
    """Every table about durability of one Tally.

    Args:
        tally: counts with `tables=("durability",)`.
        relapse: rules by name; all that were counted by default.
        follow: as `relapse_curve`.
        days: days of `curve`; every 7th by default.
        level: confidence level; the plan's by default.
        least: the curve is cut where fewer are at risk.
        folders: the plan's folders, where they hold rules of their own.

    Raises:
        ValueError: an unknown rule or way to follow, or a day beyond the plan's curve.

    Example:
        >>> tally = study.tally(at="end", criteria="phq9_response50", tables=("durability",))
        >>> found = durability(tally, relapse=["lost", "lost_confirmed"])
        >>> found.marks.loc[found.marks["day"] == 56, ["relapse", "no_relapse"]].round(2).to_numpy().tolist()
        [['lost', 0.84], ['lost_confirmed', 0.97]]
    """
    rules = lasting(tuple(folders))
    plan = tally.header.settings
    longest = int(plan["points"]["curve_days"])
    chosen = list(range(0, longest + 1, 7)) if days is None else days
    wanted = list(rules.relapses)
    if relapse is not None:
        wanted = [relapse] if isinstance(relapse, str) else list(relapse)
        about = plan["definitions"]["criteria"]
        rules.check_fits(wanted, [about[name]["instrument"] for name in tally.header.criteria])
    found = _responses(tally, follow, wanted)
    estimated = found.estimate(level, least)
    marks = _curve(found, estimated, [day for day in rules.marks if day <= longest])
    counted = sorted(set(found.groups["relapse"]))
    return Durability(
        curve=_curve(found, estimated, chosen),
        marks=marks.drop(columns=["events", "retreated", "censored", "estimate", "se", "straddling"]),
        summary=_summary(found, estimated, rules),
        sustained=_states(tally, "sustained", SUSTAINED[1:4], ["sustained", "lost"], level),
        boosters=_boosters(tally),
        trend=_states(tally, "booster_trend", TREND[1:], [], level).rename(columns={"state": "trend"}),
        time_off=_time_off(tally),
        rules=pd.DataFrame(
            [(one, rules.relapse(one).title, rules.relapse(one).scores, rules.relapse(one).cite)
             for one in counted],
            columns=["relapse", "title", "scores", "cite"],
        ),
        follow=follow,
    )  # fmt: skip


def relapse_curve(
    tally: Tally,
    relapse: str | Sequence[str],
    *,
    follow: str = "last_score",
    days: Sequence[int] | None = None,
    level: float | None = None,
    least: int = LEAST_AT_RISK,
) -> pd.DataFrame:
    """The share of responses lost by each day since the response, by named rules for relapse.

    One row per group, criterion, rule and day. Columns: the grouping, instrument, criterion, relapse, clock
    (response), competing (retreated: the next course began first), method, why, day, n (who responded),
    at_risk, events (relapses), retreated and censored on that day, estimate (relapsed by then), se,
    retreated_share, straddling, no_relapse (1 less the estimate), low, high (its limits), reason.

    Args:
        tally: counts with `tables=("durability",)`.
        relapse: rules by name.
        follow: last_score (followed to the last score of the course: those not scored any more are supposed
            to fare like those who are) or as_of (followed to the last day on record: no relapse recorded
            counts as none, so that people who stay away look well). The truth may lie beyond either.
        days, level, least: as `response_curves.curve`.

    Raises:
        ValueError: an unknown way to follow, or a day beyond the plan's curve.
    """
    names = (relapse,) if isinstance(relapse, str) else tuple(relapse)
    found = _responses(tally, follow, names)
    return _curve(found, found.estimate(level, least), days)


def _responses(tally: Tally, follow: str, rules: Sequence[str]) -> Moves:
    """The moves since the response, by rule; a rule that does not fit an instrument was not counted."""
    if follow not in FOLLOWS:
        raise ValueError(f"follow must be one of {', '.join(FOLLOWS)}; got {follow!r}")
    rows = tally.transitions[tally.transitions["clock"].str.startswith("response:")]
    within = rows["clock"].str.endswith(":interval")
    rows = rows.assign(relapse=rows["clock"].str.removeprefix("response:").str.removesuffix(":interval"))
    within &= rows["relapse"].isin(rules)
    between, rows = rows[within], rows[rows["relapse"].isin(rules) & ~rows["clock"].str.endswith(":interval")]
    if {*rows["from"], *rows["to"]} - {*STATES} or {*between["from"], *between["to"]} - {*BETWEEN}:
        raise ValueError("this Tally counts moves since the response that this version does not know")
    keys = [*tally.header.by, "instrument", "criterion", "relapse"]
    groups = rows[keys].drop_duplicates().sort_values(keys, kind="stable", ignore_index=True)
    many = int(tally.header.settings["points"]["curve_days"]) + 1
    count = Counter(groups, keys, many)
    away = ["unscored", "never_scored"]
    if follow == "last_score":
        rows = rows[~rows["from"].isin(away)]
        censored = rows["to"].isin([*away, "censored"])
    else:
        rows = rows[~rows["to"].isin(away)]
        censored = rows["to"] == "censored"
    return Moves(
        tally, "response", "retreated", groups, count.total(rows[rows["from"] == ""]), np.zeros(len(groups)),
        {}, count.daily(rows[rows["to"] == "relapsed"]), count.daily(rows[rows["to"] == "retreated"]),
        count.daily(rows[censored]), count.daily(between[between["from"] == ""]),
        np.full(len(groups), many),
    )  # fmt: skip


def _curve(found: Moves, estimated: Any, days: Sequence[int] | None) -> pd.DataFrame:
    names = {"stopped": "retreated", "stopped_share": "retreated_share"}
    table = found.table(estimated, days).rename(columns=names)
    table["no_relapse"] = 1 - table["estimate"]
    table["low"], table["high"] = 1 - table["high"], 1 - table["low"]
    last = ["no_relapse", "low", "high", "reason"]
    return table[[*(name for name in table.columns if name not in last), *last]]


def _summary(found: Moves, estimated: Any, rules: Lasting) -> pd.DataFrame:
    table = found.summary(estimated, None).drop(columns=["not_counted", "last_estimate", "censored"])
    table = table.rename(columns={"events": "relapsed", "stopped": "retreated"})
    at = np.arange(found.events.shape[1])
    numbers = {
        "relapses": found.events[:, at < rules.recovery_days].sum(axis=1),
        "recurrences": found.events[:, at >= rules.recovery_days].sum(axis=1),
    }
    rows = found.tally.transitions
    rows = rows.assign(relapse=rows["clock"].str.removeprefix("response:"))
    rows = rows[rows["clock"].str.startswith("response:") & (rows["from"] == "responding")]
    count = Counter(found.groups, list(found.groups.columns), found.events.shape[1])
    keyed = rows[rows["relapse"].isin(set(found.groups["relapse"]))]
    for state in ("unscored", "never_scored"):
        n = count.total(keyed[keyed["to"] == state])
        numbers[state] = np.where(np.isnan(found.started), np.nan, n)
    table = table.assign(**{name: whole(values) for name, values in numbers.items()})
    first = [*found.groups.columns, "clock", "competing", "method", "why", "n", "relapsed", "relapses",
             "recurrences", "retreated", "unscored", "never_scored"]  # fmt: skip
    table = table[[*first, *(name for name in table.columns if name not in first)]]
    return table.assign(recovery_days=rules.recovery_days)


def _states(
    tally: Tally, clock: str, states: Sequence[str], rated: Sequence[str], level: float | None
) -> pd.DataFrame:
    """Persons by the one state each is in, of all in any of them; others (not due) stand aside."""
    rows = tally.transitions[tally.transitions["clock"] == clock]
    keys = [*tally.header.by, "instrument", *(["criterion"] if clock == "sustained" else [])]
    groups = rows[keys].drop_duplicates().sort_values(keys, kind="stable", ignore_index=True)
    count = Counter(groups, keys, 1)
    numbers = {state: count.total(rows[rows["to"] == state]) for state in states}
    of = sum(numbers.values(), np.zeros(len(groups)))
    numbers = {state: np.where(np.isnan(of), np.nan, n) for state, n in numbers.items()}
    rules = tally.header.limits(level=level)
    parts = []
    for state, n in numbers.items():
        part = groups.assign(state=state, n=whole(n), of=whole(of))
        if rated:
            share, low, high = rate_with_limits(n, of, *rules)
            part = part.assign(share=share, low=low, high=high)
        parts.append(part)
    return pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)


def _boosters(tally: Tally) -> pd.DataFrame:
    table = _waits(tally, "booster:").rename(columns={"median": "median_days"})
    table["booster"] = table["clock"].str.removeprefix("booster:").astype("int64")
    keys = [*tally.header.by, "instrument", "booster"]
    columns = [*keys, "n", "given", "open", "ended", "median_days", "median_wait", "wait_reason"]
    return table[columns].sort_values(keys, kind="stable", ignore_index=True)


def _time_off(tally: Tally) -> pd.DataFrame:
    table = _waits(tally, "off").rename(
        columns={"given": "returned", "open": "still_off", "median": "median_days",
                 "median_wait": "median_off", "wait_reason": "off_reason"}
    )  # fmt: skip
    columns = ["n", "returned", "still_off", "median_days", "median_off", "off_reason"]
    return table[[*tally.header.by, "instrument", *columns]]


def _waits(tally: Tally, clock: str) -> pd.DataFrame:
    """Waits in days: how many ended in each way, the median of those that ended in what was waited for, and
    the median wait of everyone, what is still open being censored."""
    rows = tally.transitions[tally.transitions["clock"].str.startswith(clock)]
    keys = [*tally.header.by, "instrument", "clock"]
    groups = rows[keys].drop_duplicates().sort_values(keys, kind="stable", ignore_index=True)
    count = Counter(groups, keys, int(rows["day"].max()) + 1 if len(rows) else 1)
    given, ended, still = (count.daily(rows[rows["to"] == way]) for way in ("given", "ended", "open"))
    n = count.total(rows[rows["from"] == ""])
    given, ended, still = (np.where(np.isnan(n)[:, None], np.nan, part) for part in (given, ended, still))
    before = np.zeros_like(given)
    np.cumsum((given + ended + still)[:, :-1], axis=1, out=before[:, 1:])
    found = curves.cumulative_incidence(n[:, None] - before, np.stack([given, ended], axis=-1))
    wait = curves.first_day(found.share[..., 0])
    totals = {"given": given, "ended": ended, "open": still}
    reason = np.where(np.isnan(n), HIDDEN, np.where(np.isnan(wait), NOT_REACHED, ""))
    return groups.assign(
        n=whole(n), **{name: whole(part.sum(axis=1)) for name, part in totals.items()},
        median=_middle(given), median_wait=integers(wait), wait_reason=reason.astype(object),
    )  # fmt: skip


def _middle(daily: Array) -> Array:
    """The median of each row's days, the mean of the middle two where their number is even."""
    many = np.nansum(daily, axis=1)
    running = np.cumsum(daily, axis=1)
    with np.errstate(invalid="ignore"):
        low, high = (
            (running >= (np.floor((many + 1 + more) / 2))[:, None]).argmax(axis=1) for more in (0, 1)
        )
    return np.where(many > 0, (low + high) / 2, np.nan)


def _only(table: pd.DataFrame, group: Mapping[str, str]) -> pd.DataFrame:
    unknown = sorted(set(group) - set(table.columns))
    if unknown:
        raise ValueError(f"there is no {', '.join(unknown)} to choose by")
    for name, value in group.items():
        table = table[table[name] == value]
    return table


def _sentence(
    mark: Mapping[Any, Any], summary: Mapping[Any, Any], titles: Mapping[str, str], follow: str
) -> str:
    """One sentence about durability, from one row of `marks` and one of `summary`."""
    rule = f"(relapse: {titles[mark['relapse']]})"
    began = f"Of {wording.count(mark['n'])} who met {mark['criterion']}"
    weeks = f"{mark['day'] // 7} weeks"
    if mark["reason"]:
        told = f"how many had no relapse {weeks} later is not known: {mark['reason'].replace('_', ' ')}"
    else:
        limits = wording.interval(mark["low"], mark["high"])
        told = f"{wording.share(mark['no_relapse'])} had no relapse {weeks} later {rule}"
        if limits != wording.NONE:
            told += f", interval {limits} %"
    way = {
        "last_score": "each followed to the last score",
        "as_of": "no relapse on record counting as none",
    }[follow]
    never = f"{wording.count(summary['never_scored'])} had no score after it"
    return f"{began}, {told}; {way}, and {never}."
