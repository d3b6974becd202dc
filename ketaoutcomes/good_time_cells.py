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

from ketaoutcomes.good_time import GROUP_OF, GROUPS
from ketaoutcomes.good_time_counts import PERIODS, SITUATIONS

if TYPE_CHECKING:
    from ketaoutcomes.tallies import Tally

TOGETHER = "together"
"""Kind of the partition of all courses: `situation|group` of mature ones, `|group` of younger ones."""

SITUATION = "situation"
"""Kind of the partition of mature courses by where they stood on the last calendar day."""

KINDS = (TOGETHER, SITUATION, "occupation", "worse", "safety_item")
KEYS = ("instrument", "criterion", "kind", "axis", "point", "given", "state")
JOIN, APART = "+", "|"
_BOTH = [(situation, status) for situation in SITUATIONS for status in GROUP_OF]
_GROUPED = {f"{situation}|{status}": f"{situation}|{GROUP_OF[status]}" for situation, status in _BOTH}
_STOOD = {f"{situation}|{status}": situation for situation, status in _BOTH}
_YOUNGER = {status: f"|{group}" for status, group in GROUP_OF.items()}


def cells(tally: Tally) -> pd.DataFrame:
    """The cells of a Tally of good time, as rows of its points; `n` is NaN where hidden.

    Kinds: `together` (point mature or younger), `situation`, `occupation` (mature courses by day), `worse`
    and `safety_item` (everyone due). Empty where the Tally holds no good time.
    """
    own = tally.points[tally.points["criterion"].str.startswith("good_time:")]
    if tally.protected is not None:
        return own[own["kind"].isin(KINDS)]
    keys = [*KEYS, *(name for name in tally.header.by if name not in KEYS)]
    younger = own[(own["kind"] == "status") & (own["point"] == PERIODS[1])]
    mature = own[own["kind"] == "day60"]
    grouped = [
        mature.assign(kind=TOGETHER, axis="good_time", state=mature["state"].map(_GROUPED)),
        younger.assign(kind=TOGETHER, state=younger["state"].map(_YOUNGER)),
        mature.assign(kind=SITUATION, axis="day", point="last", state=mature["state"].map(_STOOD)),
        own[own["kind"].isin(KINDS)],
    ]
    table = pd.concat([part for part in grouped if len(part)] or [own.iloc[:0]], ignore_index=True)
    found: pd.DataFrame = table.groupby(keys, sort=True)["n"].sum().reset_index()
    return found


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
