"""The counts of good time that a report is made of: few partitions of the same people, in named cells.

A Tally counts good time finely; a report reads these cells alone, from a raw Tally (as counted) or from a
protected one (joined and hidden, see `ketaoutcomes.disclosure.good_time`). The name of a joined cell holds
the names of its parts with `+` between them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ketaoutcomes.counts.good_time_counts import PERIODS, SITUATIONS
from ketaoutcomes.counts.lasting_counts import AFTER_RESPONSE, BOOSTERS
from ketaoutcomes.per_patient.good_time import GROUP_OF, GROUPS

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

TOGETHER = "together"
"""Kind of the partition of all courses: `situation|group` of mature ones, `|group` of younger ones."""

SITUATION = "situation"
"""Kind of the partition of mature courses by where they stood on the last calendar day."""

WHOLE_TRIAL = "at_trial"
"""Kind of the partition of mature courses by what the first score after a whole trial says of a response."""

UNSETTLED = "unsettled"
"""Kind of the partition of mature courses into those open, those without a score to judge by, the rest."""

LAST_KNOWN = "last_known"
"""Kind of the partition of everyone due by what is known of them without an end score."""

KINDS = (
    TOGETHER, SITUATION, "occupation", "worse", "safety_item", "mature_calendar", WHOLE_TRIAL,
    "judged", "overdue", UNSETTLED, LAST_KNOWN, AFTER_RESPONSE, BOOSTERS,
)  # fmt: skip
NO_RESPONSE = "no_response"
OPEN = ("open", "unassessed", "settled")
UNSCORED = ("carried_met", "carried_not_met", "missing")
KNOWN = ("scored", *UNSCORED)
KEYS = ("instrument", "criterion", "kind", "axis", "point", "given", "state")
JOIN, APART = "+", "|"
_BOTH = [(situation, status) for situation in SITUATIONS for status in GROUP_OF]
_GROUPED = {f"{situation}|{status}": f"{situation}|{GROUP_OF[status]}" for situation, status in _BOTH}
_STOOD = {f"{situation}|{status}": situation for situation, status in _BOTH}
_OPEN = {"titrating": OPEN[0], "accruing": OPEN[0], "unassessed": OPEN[1]}
_UNSETTLED = {
    f"{situation}|{status}": _OPEN.get(status, OPEN[2]) if situation in SITUATIONS[2:] else OPEN[2]
    for situation, status in _BOTH
}
_RESPONDED = {key for key, both in _GROUPED.items() if both.partition(APART)[2].startswith("responded")}
_YOUNGER = {status: f"|{group}" for status, group in GROUP_OF.items()}


def cells(tally: Tally) -> pd.DataFrame:
    """The cells of a Tally of good time, as rows of its points; `n` is NaN where hidden.

    Kinds: `together` (point mature or younger); of mature courses `situation`, `at_trial`, `judged`,
    `overdue`, `unsettled`, `after_response`, `boosters` and, by day, `occupation` and `mature_calendar`; of
    everyone due `worse`, `safety_item` and, in a protected Tally, `last_known`. Empty where the Tally holds
    no good time.
    """
    own = tally.points[tally.points["criterion"].str.startswith("good_time:")]
    if tally.protected is not None:
        return own[own["kind"].isin(KINDS)]
    keys = [*KEYS, *(name for name in tally.header.by if name not in KEYS)]
    younger = own[(own["kind"] == "status") & (own["point"] == PERIODS[1])]
    mature = own[own["kind"] == "day60"]
    unresponded = mature[~mature["state"].isin(_RESPONDED)]
    grouped = [
        mature.assign(kind=TOGETHER, axis="good_time", state=mature["state"].map(_GROUPED)),
        younger.assign(kind=TOGETHER, state=younger["state"].map(_YOUNGER)),
        mature.assign(kind=SITUATION, axis="day", point="last", state=mature["state"].map(_STOOD)),
        own[(own["kind"] == "at_full_trial") & (own["point"] == PERIODS[0])].assign(kind=WHOLE_TRIAL),
        unresponded.assign(kind=WHOLE_TRIAL, axis="good_time", state=NO_RESPONSE),
        mature.assign(kind=UNSETTLED, axis="good_time", state=mature["state"].map(_UNSETTLED)),
        own[own["kind"].isin(KINDS)],
    ]
    table = pd.concat([part for part in grouped if len(part)] or [own.iloc[:0]], ignore_index=True)
    found: pd.DataFrame = table.groupby(keys, sort=True)["n"].sum().reset_index()
    return found


def last_known(points: pd.DataFrame, criterion: str) -> dict[str, int]:
    """Everyone due by their state at the end of the series, from the points of a raw Tally: `KNOWN` cells.

    Empty where no course has an end. `carried_met` is an unscored course whose last score met the criterion.
    """
    own = points[
        (points["criterion"] == criterion) & (points["kind"] == "current") & (points["axis"] == "end")
    ]
    n = own.groupby("state")["n"].sum()
    found = {state: int(n.get(state, 0)) for state in UNSCORED}
    scored = int(n.get("met", 0)) + int(n.get("not_met", 0))
    return {"scored": scored, **found} if scored or any(found.values()) else {}


def counted(
    table: pd.DataFrame,
    kind: str,
    point: str,
    states: Collection[str],
    groups: Collection[str] = GROUPS,
) -> float:
    """How many are in these states, and for `together` in these groups; NaN where joined cells do not say.

    >>> table = pd.DataFrame({"kind": "worse", "point": "last", "state": ["worse", "no_score+not_worse"],
    ...     "n": [12, 40]})
    >>> counted(table, "worse", "last", {"worse"}), counted(table, "worse", "last", {"no_score"})
    (12.0, nan)
    >>> counted(table, "worse", "last", {"worse", "no_score", "not_worse"})
    52.0
    """
    total = 0.0
    rows = table[(table["kind"] == kind) & (table["point"] == point)]
    for state, n in zip(rows["state"], rows["n"], strict=True):
        first, _, second = state.partition(APART)
        parts = [(first, states), (second, groups)] if kind == TOGETHER else [(first, states)]
        inside = [_inside(name, wanted) for name, wanted in parts]
        if None in inside and False not in inside:
            return float("nan")
        if all(inside):
            total += float(n)
    return total


def _inside(name: str, wanted: Collection[str]) -> bool | None:
    """Whether a cell's parts are all wanted, none of them (False), or only some (None)."""
    if not name:
        return True
    parts = [part in wanted for part in name.split(JOIN)]
    return None if any(parts) and not all(parts) else all(parts)


def mature(table: pd.DataFrame) -> float:
    """How many courses are mature; NaN where that is hidden or nothing is told."""
    return _told(table, PERIODS[0])


def younger(table: pd.DataFrame) -> float:
    """How many courses are younger; NaN where that is hidden or nothing is told."""
    return _told(table, PERIODS[1])


def _told(table: pd.DataFrame, period: str) -> float:
    if not (table["kind"] == TOGETHER).any():
        return float(np.nan)
    return counted(table, TOGETHER, period, SITUATIONS)
