"""What the rest of a report shows of the people a partition divides: numbers that may be taken from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.disclosure.safety import judges, shown_answers

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

Array = Any


@dataclass(frozen=True, eq=False)
class Elsewhere:
    """What the rest of the report shows of the same people: those eligible, due, scored and met.

    `met_by` gives numbers that had met with the first day on which they may all have done so; `asked` and
    `some` those asked again about the safety item, and who then answered with more than none. `visits` and
    `no_visits` are numbers eligible or due of protocols with and without planned visits, added up.
    """

    eligible: float
    due: float
    dues: Array
    scored: Array
    met: Array
    met_by: tuple[tuple[int, Array], ...]
    asked: Array
    some: Array
    visits: Array
    no_visits: Array


_NONE = np.zeros(0)
NOWHERE = Elsewhere(np.nan, np.nan, _NONE, _NONE, _NONE, (), _NONE, _NONE, _NONE, _NONE)
Rest = Callable[[str], Elsewhere | None]


def beside(others: Sequence[Tally]) -> Rest:
    """What protected Tallies show, by instrument; None where they do not count its people."""
    counted = {name for tally in others for part in (tally.flow, tally.points) for name in part["instrument"]}

    @cache
    def rest(instrument: str) -> Elsewhere | None:
        return shown_elsewhere(others, instrument) if instrument in counted else None

    return rest


def shown_elsewhere(others: Sequence[Tally], instrument: str) -> Elsewhere:
    """Numbers of this instrument that protected Tallies show, alone or added over groups."""
    from ketaoutcomes.results.course_results import rates

    flow = {"eligible": np.nan, "due": np.nan}
    found: dict[str, list[Array]] = {"due": [], "assessed": [], "met": []}
    met_by: list[tuple[int, Array]] = []
    by_protocol = [tally for tally in others if list(tally.header.by) == ["protocol"]]
    for tally in others:
        by = [str(column) for column in tally.header.by]
        if not by:
            own = tally.flow[(tally.flow["instrument"] == instrument) & (tally.flow["unit"] == "course")]
            for reason in flow:
                n = own.loc[own["reason"] == reason, "n"]
                flow[reason] = float(n.iloc[0]) if len(n) else flow[reason]
        for axis in tally.header.axes if judges(tally) else ():
            table = rates(tally, at=axis, kind=tally.header.kinds, analysis=("nri",))
            table = table[table["instrument"] == instrument]
            for name, parts in found.items():
                if by and name == "due":
                    continue  # the schedules of a session are not everyone's, so no mature course need be due
                parts.append(_sums(table, name, by))
            if axis == "end":
                met_by.append((0, found["met"][-1]))
            elif axis == "week" and not by:
                met_by += _by_week(table, tally)
    due, scored, met = (np.unique(np.concatenate([*parts, np.array([])])) for parts in found.values())
    answers = shown_answers(others, instrument)
    visits = _by_visits(by_protocol, instrument)
    return Elsewhere(flow["eligible"], flow["due"], due, scored, met, tuple(met_by), *answers, *visits)


def _by_visits(tallies: Sequence[Tally], instrument: str) -> tuple[Array, Array]:
    """Sums over some protocols with planned visits, and over some without, of those eligible or due."""
    told: list[pd.DataFrame] = []
    planned: dict[str, Any] = {}
    for tally in tallies:
        planned |= tally.header.settings["definitions"]["protocols"]
        flow = tally.flow[(tally.flow["instrument"] == instrument) & (tally.flow["unit"] == "course")]
        told.append(flow[flow["reason"].isin(["eligible", "due"])][["protocol", "n"]])
        own = tally.points[(tally.points["instrument"] == instrument) & (tally.points["axis"] == "end")]
        keys = ["protocol", "criterion", "kind", "point"]
        due = own[own["state"] != "not_scheduled"].groupby(keys)[["n"]].sum(min_count=1).reset_index()
        told.append(due[["protocol", "n"]])
    sums = [np.zeros(1), np.zeros(1)]
    for protocol, n in pd.concat(told).dropna().groupby("protocol")["n"] if told else ():
        none = int(not (planned.get(str(protocol), {}).get("visits") or 0))
        sums[none] = np.unique(sums[none][:, None] + np.append(0, n.unique()))
    return sums[0], sums[1]


def _by_week(table: pd.DataFrame, tally: Tally) -> list[tuple[int, Array]]:
    """Of each week, the numbers that had met, and the first day of its window."""
    margin = int(tally.header.settings["points"]["week_margin_days"])
    known = table[table["met"].notna()]
    weeks = known["point"].astype(str)
    return [
        (7 * int(week) - margin, known.loc[weeks == week, "met"].to_numpy(np.float64))
        for week in sorted(set(weeks))
        if week.isdigit()
    ]


def _sums(table: pd.DataFrame, name: str, by: Sequence[str]) -> Array:
    """Numbers shown; of a grouped table, every sum of one shown number of each group, a point from each."""
    known = table[table[name].notna()]
    if not by:
        return known[name].to_numpy(np.float64)
    sums: Array = np.array([])
    for criterion in known["criterion"].unique():
        reached = np.array([0.0])
        rows = known[known["criterion"] == criterion]
        for _, own in rows.groupby(list(by), sort=False):
            reached = np.unique(reached[:, None] + own[name].unique())
        sums = np.append(sums, reached)
    return sums
