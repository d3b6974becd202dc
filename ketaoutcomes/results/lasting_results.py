"""Whether early responses lasted, and who had boosters: finished tables from the cells of good time.

Pure functions of a Tally counted with `tables=("good_time",)`, raw or protected; they never see a patient.
Every course in them is mature, so all are followed for as long as a table says; whoever was not scored any
more is counted as that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.good_time_cells import cells, counted
from ketaoutcomes.counts.good_time_counts import PERIODS
from ketaoutcomes.counts.lasting_counts import (
    AFTER_RESPONSE,
    AWAY,
    BOOSTER_STATES,
    BOOSTERS,
    KEPT,
    LOST,
    NUMBERS,
)
from ketaoutcomes.estimates import curves, rate_with_limits
from ketaoutcomes.results.partition import whole
from ketaoutcomes.results.response_curves import HIDDEN, LEAST_AT_RISK, NOT_FOLLOWED, TOO_FEW

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

RULE = "lost"
"""The relapse rule of these tables: the criterion is no longer met at one score."""


def kept(tally: Tally, *, level: float | None = None) -> pd.DataFrame:
    """Of mature courses that responded by the last calendar day, who had lost it again by each named day.

    One row per group and day since the response, the first of them day 0. Columns: the grouping, instrument,
    criterion, relapse (the rule: lost), clock (response), by_day (the calendar day by which they had to
    respond), day, n (who responded), lost (by then, at one score), not_scored (not lost so far, and never
    scored again on or after that day), at_risk (scored on or after it without a loss by then: the three add
    up to n), no_relapse, low, high, kept_at_least and kept_at_most (if all who were not scored any more had
    lost it, and if none had), reason (why there is no estimate: hidden, not_followed, too_few_at_risk).

    `no_relapse` is the life-table estimate: of those followed into an interval, less half of those not scored
    to its end, who had no loss in it, multiplied over the intervals that are told. It supposes that those not
    scored any more fare like those who are; the two bounds suppose nothing.

    Args:
        tally: counts with `tables=("good_time",)`.
        level: confidence level of the log-log limits; the plan's by default.

    Example:
        >>> import ketaoutcomes as ko
        >>> tally = ko.Study(ko.load_sample()).tally(at="end", tables=("good_time",))
        >>> kept(tally)[["day", "n", "lost", "not_scored", "at_risk"]].to_numpy().tolist()
        [[0, 323, 0, 0, 323], [28, 323, 11, 46, 266], [56, 323, 43, 72, 208], [84, 323, 65, 123, 135]]
        >>> kept(tally)["no_relapse"].round(3).tolist()
        [1.0, 0.963, 0.841, 0.74]

    Sources: Berkson and Gage 1950, Proc Mayo Clin 25:270; Cutler and Ederer 1958, J Chronic Dis 8:699 (the
    life table); Greenwood 1926; Kalbfleisch and Prentice 1980 (log-log limits).
    """
    chosen = tally.header.limits(level=level)[1]
    marks = _marks(tally)
    by_day = int(tally.header.settings["good_time"]["calendar_days"][-1])
    parts = []
    for group, table in _groups(tally, AFTER_RESPONSE):
        n = counted(table, AFTER_RESPONSE, PERIODS[0], {*LOST, *AWAY, KEPT})
        lost, gone = (
            np.array([0.0] + [counted(table, AFTER_RESPONSE, PERIODS[0], set(names[: i + 1]))
                              for i in range(len(marks))])
            for names in (LOST, AWAY)
        )  # fmt: skip
        told = life_table(n, lost, gone, chosen)
        part = pd.DataFrame({"day": [0, *marks], "n": n, "lost": lost, "not_scored": gone, **told})
        parts.append(_headed(part, group | {"relapse": RULE, "clock": "response", "by_day": by_day}))
    if not parts:
        return pd.DataFrame(columns=[*_keys(tally), *KEPT_COLUMNS])
    return whole(pd.concat(parts, ignore_index=True), "n", "lost", "not_scored", "at_risk")


KEPT_COLUMNS = (
    "relapse", "clock", "by_day", "day", "n", "lost", "not_scored", "at_risk", "no_relapse", "low", "high",
    "kept_at_least", "kept_at_most", "reason",
)  # fmt: skip


def boosters(tally: Tally, *, level: float | None = None) -> pd.DataFrame:
    """How many doses after induction mature courses had, by the day they are mature.

    One row per group and number. Columns: the grouping, instrument, criterion, by_day (the day since the
    first dose up to which doses are counted), boosters (none, one, two, three_or_more; as many joined as must
    be told together), n, of (courses whose protocol plans visits), share, low, high, reason (hidden). Where
    those without visits must be told with those without boosters, a row is `none+no_visits` and `of` is all
    mature courses.

    Arguments as `kept`.

    >>> import ketaoutcomes as ko
    >>> tally = ko.Study(ko.load_sample()).tally(at="end", tables=("good_time",))
    >>> boosters(tally)[["boosters", "n", "of"]].to_numpy().tolist()
    [['none', 369, 542], ['one', 20, 542], ['two', 20, 542], ['three_or_more', 133, 542]]
    """
    by_day = int(tally.header.settings["good_time"]["mature_days"])
    parts = []
    for group, table in _groups(tally, BOOSTERS):
        told = [set(name.split("+")) for name in table.loc[table["kind"] == BOOSTERS, "state"]]
        names = _together(told)
        of = counted(table, BOOSTERS, PERIODS[0], {state for each in names for state in each})
        n = np.array([counted(table, BOOSTERS, PERIODS[0], set(each)) for each in names])
        share, low, high = rate_with_limits(n, np.full(len(n), of), *tally.header.limits(level=level))
        reason = np.where(np.isnan(n), HIDDEN, "").astype(object)
        part = pd.DataFrame({
            "boosters": ["+".join(each) for each in names], "n": n, "of": of, "share": share, "low": low,
            "high": high, "reason": reason,
        })  # fmt: skip
        parts.append(_headed(part, group | {"by_day": by_day}))
    if not parts:
        columns = ["by_day", "boosters", "n", "of", "share", "low", "high", "reason"]
        return pd.DataFrame(columns=[*_keys(tally), *columns])
    return whole(pd.concat(parts, ignore_index=True), "n", "of")


def _together(told: list[set[str]]) -> list[tuple[str, ...]]:
    """The numbers of boosters, those that are told together as one."""
    found: dict[tuple[str, ...], None] = {}
    for name in NUMBERS:
        own = next((each for each in told if name in each), {name})
        found[tuple(one for one in BOOSTER_STATES if one in own)] = None
    return list(found)


def life_table(n: float, lost: Any, gone: Any, level: float) -> dict[str, Any]:
    """Followed, estimate, limits and bounds on the days on which both counts are told; others NaN.

    `lost` and `gone` are running totals, the first of them 0, of `n` people.
    """
    at_risk = n - lost - gone
    known = np.flatnonzero(~np.isnan(at_risk))
    share, low, high = (np.full(len(lost), np.nan) for _ in range(3))
    thin = np.zeros(len(lost), dtype=bool)
    if len(known) and n:
        share[0] = 1.0
    if len(known) > 1:
        before, events = at_risk[known[:-1]], np.diff(lost[known])
        exposed = before - np.diff(gone[known]) / 2
        curve = curves.kaplan_meier(exposed, events, level=level)
        few = np.maximum.accumulate((before < LEAST_AT_RISK) & (gone[known[:-1]] > 0))
        for name, values in ((share, curve.share), (low, curve.low), (high, curve.high)):
            name[known[1:]] = np.where(few, np.nan, values)
        thin[known[1:]] = few & (before > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        bounds = {"kept_at_least": at_risk / n, "kept_at_most": 1 - lost / n}
    reason = np.where(np.isnan(share), np.where(thin, TOO_FEW, NOT_FOLLOWED), "").astype(object)
    reason[np.isnan(at_risk)] = HIDDEN
    return {"at_risk": at_risk, "no_relapse": share, "low": low, "high": high, **bounds, "reason": reason}


def _marks(tally: Tally) -> list[int]:
    """The days that were counted, from the header."""
    rules = (json.loads(text) for text in tally.header.lasting)
    return next(([int(day) for day in rule[2:]] for rule in rules if rule[0] == AFTER_RESPONSE), [])


def _keys(tally: Tally) -> list[str]:
    return [*tally.header.by, "instrument", "criterion"]


def _groups(tally: Tally, kind: str) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Each group of which this partition is there, with its cells."""
    table = cells(tally)
    table = table[table["kind"] == kind]
    keys = _keys(tally)
    for values, own in table.groupby(keys, sort=True):
        group = dict(zip(keys, values, strict=True))
        group["criterion"] = str(group["criterion"]).partition(":")[2]
        yield group, own


def _headed(part: pd.DataFrame, first: dict[str, Any]) -> pd.DataFrame:
    table = part.assign(**first)
    return table[[*first, *(name for name in table if name not in first)]]
