"""Good time in a report: finished tables from the cells of a Tally, protected or raw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.good_time_cells import (
    JOIN,
    KNOWN,
    LAST_KNOWN,
    SITUATION,
    TOGETHER,
    UNSETTLED,
    WHOLE_TRIAL,
    cells,
    counted,
    last_known,
    mature,
)
from ketaoutcomes.counts.good_time_counts import OVERDUE, PERIODS, SITUATIONS
from ketaoutcomes.estimates import rate_with_limits
from ketaoutcomes.per_patient.exposure import EXPOSURES
from ketaoutcomes.per_patient.good_time import AT_TRIAL, GROUPS, VERDICTS
from ketaoutcomes.per_patient.standing import ANSWERED, WORSE
from ketaoutcomes.report.finished import Described
from ketaoutcomes.results import course_results, curve_results
from ketaoutcomes.results.partition import STOOD, rules_of

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

BEFORE, AFTER, COMPLETE, SHORT, UNKNOWN = GROUPS
# What became of those without response on the last calendar day.
BECAME = {
    "responded": (BEFORE, AFTER), "full_trial": (COMPLETE,), "stopped": (SHORT,), "not_evaluable": (UNKNOWN,),
}  # fmt: skip


def good_time_tables(tallies: Mapping[str, Tally]) -> list[Described]:
    """The finished tables of good time; none where no Tally counts it."""
    everyone = next((t for t in tallies.values() if t.header.basis and not t.header.by), None)
    if everyone is None or not len(cells(everyone)):
        return []
    sites = next((t for t in tallies.values() if t.header.basis and t.header.by == ("site",)), None)
    plan = everyone.header.settings
    table = cells(everyone)
    found = [
        Described("good_time_harm", "Harm first", _HARM, _harm(table)),
        Described("good_time_groups", "Good time: five groups", _GROUPS, _groups(table)),
        Described("good_time_day60", "Good time: without response on the last calendar day", _DAY60,
                  _day60(table, plan)),
        Described("good_time_calendar", "Good time: the calendar's answer", _CALENDAR,
                  _calendar(table, plan)),
        Described("good_time_standing", "Good time: where mature courses stand", _STANDING,
                  _standing(table, everyone.header.limits())),
        Described("good_time_kept", "Good time: responses later", _KEPT, _kept(table)),
        Described("good_time_overdue", "Good time: overdue", _OVERDUE, _overdue(table)),
        Described("good_time_unjudged", "Good time: why courses cannot be judged", _UNJUDGED,
                  _unjudged(table)),
        Described("good_time_accounts", "Good time: days by what covered them", _ACCOUNTS,
                  _accounts(everyone)),
        Described("last_known", "Without an end score", _LAST, _last_known(tallies, everyone)),
        Described("good_time_rules", "Good time: rules", _RULES, _rules(everyone, plan)),
    ]  # fmt: skip
    if sites is not None:
        found.append(Described("good_time_sites", "Good time by site", _SITES, _by_site(sites)))
    if len(everyone.transitions):
        says = "Everyone who started, by state and day; the responded states add up to the all-started curve."
        occupation = curve_results.state_occupation(everyone)
        if occupation["share"].notna().any():
            told = f"{says} Days on which nothing changed are left out, but for every thirtieth."
            found.append(
                Described("good_time_by_day", "Good time: state occupation", told, days_of_change(occupation))
            )
    return found


def days_of_change(occupation: pd.DataFrame) -> pd.DataFrame:
    """The rows of days on which any number changed, of every thirtieth day and of the last.

    >>> day = [0, 1, 2, 3]
    >>> table = pd.DataFrame({"criterion": "a", "day": day, "state": "b", "share": [1, 1, 0.5, 0.5]})
    >>> days_of_change(table)["day"].tolist()
    [0, 2, 3]
    """
    same = [name for name in ("instrument", "criterion", "state") if name in occupation]
    told = occupation.drop(columns=[*same, "day"])
    before = told.groupby([occupation[name] for name in same], sort=False).shift()
    changed = ((told != before) & ~(told.isna() & before.isna())).any(axis=1)
    day = occupation["day"]
    kept = day.isin(set(day[changed])) | (day % 30 == 0) | (day == day.max())
    found: pd.DataFrame = occupation[kept].reset_index(drop=True)
    return found


_HARM = (
    "Of the patients due: whose last score is reliably worse than at baseline, and who answered the safety "
    "item with more than “not at all”."
)
_GROUPS = "Every course with a baseline once; younger courses are not divided, since some are not finished."
_DAY60 = "Mature courses without response: where they stood then, and what became of them."
_STANDING = "Of mature courses, all of them followed: how many are in each state on each day."
_RULES = "The level, clock, windows and carry that every number of good time stands on."
_CALENDAR = "Mature courses by the plain calendar: responded by the day, not, or without a score near it."
_KEPT = "Of mature courses that responded: what the first score after a whole trial says."
_OVERDUE = "Mature courses that had not reached the level though the plan's days had passed."
_UNJUDGED = "Mature courses that cannot be judged, by reason."
_ACCOUNTS = "All days of mature courses that can be judged, by what covered them."
_LAST = "Of the patients due: who has an end score, and what the last score of the others says."
_SITES = "Mature courses: the share that cannot be evaluated, and the median days to the level."


def _harm(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for kind, point, states in (
        ("worse", "last", WORSE), ("safety_item", "baseline", ANSWERED), ("safety_item", "last", ANSWERED),
    ):  # fmt: skip
        if ((table["kind"] == kind) & (table["point"] == point)).any():
            of = counted(table, kind, point, states)
            rows += [(kind, point, state, counted(table, kind, point, {state}), of) for state in states]
    return pd.DataFrame(rows, columns=["question", "point", "answer", "n", "of"])


def _groups(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for period in PERIODS:
        of = counted(table, TOGETHER, period, SITUATIONS)
        for group in GROUPS:
            n = counted(table, TOGETHER, period, SITUATIONS, {group})
            rows.append((period, group, n, of, n / of if period == PERIODS[0] and of else np.nan))
    return pd.DataFrame(rows, columns=["period", "group", "n", "of", "share"])


def _day60(table: pd.DataFrame, plan: Mapping[str, Any]) -> pd.DataFrame:
    row: dict[str, float] = {"day": int(plan["good_time"]["calendar_days"][-1])}
    row["n"] = counted(table, TOGETHER, PERIODS[0], STOOD)
    row |= {stood: counted(table, SITUATION, "last", {stood}) for stood in STOOD}
    row |= {name: counted(table, TOGETHER, PERIODS[0], STOOD, groups) for name, groups in BECAME.items()}
    row["unjudged"] = counted(table, TOGETHER, PERIODS[0], {"unjudged"})
    row |= {name: counted(table, UNSETTLED, PERIODS[0], {name}) for name in ("open", "unassessed")}
    return pd.DataFrame([row])


def _kept(table: pd.DataFrame) -> pd.DataFrame:
    """Whose response was present or absent at the first score after a whole trial."""
    n = [counted(table, WHOLE_TRIAL, PERIODS[0], {state}) for state in AT_TRIAL]
    of = counted(table, WHOLE_TRIAL, PERIODS[0], AT_TRIAL)
    told = (table["kind"] == WHOLE_TRIAL).any()
    return pd.DataFrame({"state": AT_TRIAL, "n": n, "of": of}) if told else _nothing("state")


def _calendar(table: pd.DataFrame, plan: Mapping[str, Any]) -> pd.DataFrame:
    rows = []
    for day in plan["good_time"]["calendar_days"]:
        if ((table["kind"] == "mature_calendar") & (table["point"] == str(day))).any():
            of = counted(table, "mature_calendar", str(day), VERDICTS[1:])
            rows += [
                (int(day), verdict, counted(table, "mature_calendar", str(day), {verdict}), of)
                for verdict in VERDICTS[1:]
            ]
    return pd.DataFrame(rows, columns=["day", "verdict", "n", "of"])


def _overdue(table: pd.DataFrame) -> pd.DataFrame:
    of = counted(table, "overdue", PERIODS[0], OVERDUE[:3])
    rows = [(state, counted(table, "overdue", PERIODS[0], {state}), of) for state in OVERDUE[1:3]]
    told = (table["kind"] == "overdue").any()
    return pd.DataFrame(rows, columns=["state", "n", "of"]) if told else _nothing("state")


def _unjudged(table: pd.DataFrame) -> pd.DataFrame:
    """Reasons as they are shown, joined or alone; a row without a number where even that is hidden."""
    own = table[table["kind"] == "judged"]
    of = own["n"].sum(skipna=False)
    own = own[own["state"] != "judged"].sort_values("state")
    return pd.DataFrame({"reason": own["state"], "n": own["n"], "of": of}).reset_index(drop=True)


def _accounts(tally: Tally) -> pd.DataFrame:
    """Days per account of mature courses that can be judged; no rows where that is hidden."""
    parts = [course_results.sums(tally, f"{name}_days").assign(account=name) for name in EXPOSURES]
    frame = pd.concat(parts, ignore_index=True)
    frame = frame[frame["point"] == PERIODS[0]].rename(columns={"sum": "days"})
    total = frame["days"].sum(skipna=False)
    frame["share"] = frame["days"] / total if total else np.nan
    return frame[["account", "days", "share"]].reset_index(drop=True)


def _last_known(tallies: Mapping[str, Tally], good_time: Tally) -> pd.DataFrame:
    """Everyone due by what is known at the end; protected counts stand in the Tally of good time."""
    name = good_time.header.settings["good_time"]["criterion"]
    if good_time.protected is None:
        plain = [t for t in tallies.values() if not t.header.basis and not t.header.by]
        found: Mapping[str, float] = next((last_known(t.points, name) for t in plain), {})
    else:
        table = cells(good_time)
        own = table[table["kind"] == LAST_KNOWN]
        found = {state: counted(table, LAST_KNOWN, "end", {state}) for state in KNOWN} if len(own) else {}
        if found:
            found["unscored"] = counted(table, LAST_KNOWN, "end", KNOWN[1:])
    if not found:
        return pd.DataFrame(columns=["criterion", "state", "n"])
    found = {**found, "unscored": found.get("unscored", sum(found[state] for state in KNOWN[1:]))}
    return pd.DataFrame({"criterion": name, "state": list(found), "n": list(found.values())})


def _nothing(*columns: str) -> pd.DataFrame:
    return pd.DataFrame(columns=[*columns, "n", "of"])


def _standing(table: pd.DataFrame, limits: tuple[str, float]) -> pd.DataFrame:
    """One row per day and state that anyone is in; joined states as they are."""
    of = mature(table)
    own = table[(table["kind"] == "occupation") & table["n"].notna() & (table["n"] > 0)]
    columns = ["day", "state", "n", "of", "rate", "low", "high"]
    if own.empty or np.isnan(of):
        return pd.DataFrame(columns=columns)
    own = own.assign(day=own["point"].astype("int64"), of=of)
    responded = own[own["state"].str.startswith("responded")].groupby("day")["n"].sum()
    every = pd.DataFrame(
        {"day": responded.index, "state": "all_started", "n": responded.to_numpy(), "of": of}
    )
    frame = pd.concat([every, own[["day", "state", "n", "of"]]], ignore_index=True)
    order = {state: at for at, state in enumerate(("all_started", *curve_results.STATES))}
    frame["_order"] = frame["state"].str.split(JOIN, regex=False).str[0].map(order)
    frame = frame.sort_values(["day", "_order"], ignore_index=True)
    rate, low, high = rate_with_limits(frame["n"], frame["of"], *limits)
    return frame.assign(rate=rate, low=low, high=high)[columns]


def _rules(tally: Tally, plan: Mapping[str, Any]) -> pd.DataFrame:
    rules = rules_of(plan, tally.header.basis)
    used = set(plan["protocol"].values())
    return rules[rules["protocol"].isin(used)].reset_index(drop=True)


def _by_site(tally: Tally) -> pd.DataFrame:
    columns = ["site", "mature", "not_evaluable", "share_not_evaluable", "median_days_to_level"]
    table = cells(tally)
    days = course_results.median(tally, "days_to_level")
    days = days[days["point"] == PERIODS[0]]
    median = dict(zip(days["site"], days["median"], strict=True))
    rows = []
    for site, own in table.groupby("site", sort=True):
        of = counted(own, TOGETHER, PERIODS[0], SITUATIONS)
        n = counted(own, TOGETHER, PERIODS[0], SITUATIONS, {UNKNOWN})
        rows.append((site, of, n, n / of if of else np.nan, float(median.get(site, np.nan))))
    return pd.DataFrame(rows, columns=columns)
