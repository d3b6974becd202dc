"""A Tally's daily moves to finished tables: state occupation, and what happened after the level was reached.

Pure functions of a Tally counted with `tables=("good_time",)`: they never see a patient. Every course begins
in one state and makes at most one move a day; follow-up ends at the as-of day only, never at a last record.
A hidden count makes its day and all later ones NaN, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.good_time_cells import JOIN
from ketaoutcomes.estimates import curves

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally
    from ketaoutcomes.estimates.curves import Curve

Array = Any
Days = Sequence[int] | None

RESPONDED = ("responded_before", "responded_after", "responded_unjudged")
STATES = (*RESPONDED, "adequate", "dipped", "titrating", "lapsed", "unjudged", "next_course")
"""States from the first dose, responses first, so that stacked bands begin with the all-started curve.

Nobody leaves a response or a new course. The last band is those whose next course began without response in
this one: its scores are not this course's, and censoring them would suppose them like those who stayed.
"""

SOMETIMES = frozenset({"responded_unjudged", "unjudged", "next_course"})
"""States that only some cohorts have; a table lists them where anybody was in one."""

STILL_OPEN = ("adequate", "dipped", "titrating", "lapsed", "unjudged")
REACHED = ("at_risk", "responded", "lapsed", "next_course")
AMONG = "those who reached it unresponded"

HIDDEN, NOT_FOLLOWED, TOO_FEW = "hidden", "not_followed", "too_few_at_risk"


def state_occupation(tally: Tally, *, days: Days = None, level: float | None = None) -> pd.DataFrame:
    """Where everyone who started stands on each day since the first dose: the share in each state.

    One row per group, day and state. Columns: the grouping, instrument, criterion, day, state, n (all who
    started), at_risk (followed on that day and without response), share, se, low, high, reason. The states
    are a partition: the shares of a day add up to 1. Titrating, adequate, dipped and lapsed may be left and
    entered again; the responded ones are final, and their sum is the all-started curve (`all_started`).

    A protected Tally tells some states together: their name has `+` between the parts. It tells moves on the
    day by which enough of one kind have gathered, so its shares lie a little behind the exact ones.

    Aalen-Johansen from daily counts, with Greenwood-type intervals (`curves.state_occupation`). `reason` says
    why a share is missing: hidden, or not_followed, once too many of those who started were last seen in
    a state in which nobody is followed.

    Args:
        tally: counts with `tables=("good_time",)`.
        days: days to give; all of the plan's curve by default.
        level: confidence level; the plan's by default.

    Raises:
        ValueError: a day beyond the plan's curve, or a state this version does not know.
    """
    moves = _moves(tally, "first_dose", STATES)
    seen, names = moves.seen(), moves.names
    shown = [
        at for at, name in enumerate(STATES) if not moves.joined[at] and (name not in SOMETIMES or seen[at])
    ]
    curve = moves.occupation(np.eye(len(STATES))[:, shown], level)
    return _table(moves, curve, days, moves.still_open(), state=[names[at] for at in shown])


def all_started(tally: Tally, *, days: Days = None, level: float | None = None) -> pd.DataFrame:
    """The share of everyone who started that has responded by each day, whatever their dose.

    The sum of the responded states of `state_occupation`, with an interval of its own: a response at any
    score counts from then on, and whoever never came back is still without one. One row per group and day;
    columns, arguments and errors as there, without state.
    """
    moves = _moves(tally, "first_dose", STATES)
    curve = moves.occupation(np.isin(STATES, RESPONDED).astype(float)[:, None], level)
    return _table(moves, curve, days, moves.still_open())


def from_reached(tally: Tally, *, days: Days = None, level: float | None = None) -> pd.DataFrame:
    """Response since the day the level was reached, among those who reached it unresponded.

    One row per group, day and event. Columns: the grouping, instrument, criterion, among, day (since the
    level was reached), event (responded, or first lapsed), n (who reached it unresponded), at_risk, events
    (on that day), share, se, low, high, reason. Cumulative incidence with lapse as competing event; everyone
    else is followed to the as-of day. Only those who reached the level are in it, and low-dose responders and
    drop-outs never do: **never set it against the all-started curve**.

    Arguments and errors as `state_occupation`.
    """
    moves = _moves(tally, "reached", REACHED)
    risk = curves.in_states(moves.entries[:, 0], moves.moves, moves.censored)[..., 0]
    return _incidence(moves, risk, None, days, level)


def delayed_entry(
    tally: Tally, *, days: Days = None, level: float | None = None, least: int | None = None
) -> pd.DataFrame:
    """Response by day since the first dose, among those who had reached the level by then. Notebooks only.

    As `from_reached`, on the calendar of the first dose: each is followed from the day after they reach the
    level, and the curve starts on the first day with `least` (the plan's `min_at_risk`) followed; earlier
    days are missing, with the reason too_few_at_risk, and what happened on them is left out. It answers a
    question about those survivors, not about the dose. Needs `tables=("good_time", "delayed_entry")`.

    Arguments and errors as `state_occupation`.
    """
    moves = _moves(tally, "delayed", REACHED)
    left = moves.moves[:, :, 0].sum(axis=-1) + moves.censored[..., 0]
    risk = curves.at_risk(moves.entries[..., 0], left)
    enough = moves.tally.header.settings["good_time"]["min_at_risk"] if least is None else least
    start = curves.enough_from(risk, int(enough))
    return _incidence(moves, risk, start, days, level)


@dataclass(frozen=True, eq=False)
class _Moves:
    """Daily moves of one clock as arrays, groups first, then days, then states."""

    tally: Tally
    groups: pd.DataFrame
    entries: Array
    moves: Array
    censored: Array
    names: tuple[str, ...]  # a state told together with others has the name of all of them
    joined: tuple[bool, ...]  # whether a state is told as part of one before it

    def level(self, asked: float | None) -> float:
        """The confidence level asked for, or the plan's."""
        return self.tally.header.limits(level=asked)[1]

    def seen(self) -> Array:
        """Which states anybody was ever in, as far as is shown."""
        return (np.nan_to_num(self.entries, nan=1).sum(axis=(0, 1)) > 0) | (
            np.nan_to_num(self.moves, nan=1).sum(axis=(0, 1, 2)) > 0
        )

    def occupation(self, bands: Array, level: float | None) -> Curve:
        """The share in each band of states by day, of those who started on day 0."""
        return curves.state_occupation(
            self.entries[:, 0], self.moves, self.censored, bands=bands, level=self.level(level)
        )

    def still_open(self) -> Array:
        """How many are followed on each day and without response."""
        standing = curves.in_states(self.entries[:, 0], self.moves, self.censored)
        return standing[..., np.isin(STATES, STILL_OPEN)].sum(axis=-1)


def _moves(tally: Tally, clock: str, states: tuple[str, ...]) -> _Moves:
    """The rows of one clock as arrays; a hidden part makes its cell NaN."""
    keys = [*tally.header.by, "instrument", "criterion"]
    rows = tally.transitions[tally.transitions["clock"] == clock]
    groups = rows[keys].drop_duplicates().sort_values(keys, kind="stable", ignore_index=True)
    known = {name: at for at, name in enumerate(states)}
    names, joined = list(states), [False] * len(states)
    told = {*rows["from"], *rows["to"]} - {"", "censored"}
    unknown = {part for name in told for part in name.split(JOIN)} - {*states}
    for name in told - unknown:
        first, *others = sorted(name.split(JOIN), key=states.index)
        names[states.index(first)], known[name] = name, states.index(first)
        for part in others:
            joined[states.index(part)] = True
    if unknown:
        raise ValueError(f"this Tally counts moves of {clock} that this version does not know")
    days = int(tally.header.settings["points"]["curve_days"]) + 1
    shape = (len(groups), days, len(states))
    entries, censored, moves = np.zeros(shape), np.zeros(shape), np.zeros((*shape, len(states)))
    if len(rows):
        at = pd.MultiIndex.from_frame(groups).get_indexer(pd.MultiIndex.from_frame(rows[keys]))
        day, n = rows["day"].to_numpy(), rows["n"].to_numpy(dtype=np.float64)
        source, target = (
            rows[name].map(known).fillna(-1).to_numpy(dtype=np.int64) for name in ("from", "to")
        )
        begins, ends = source < 0, target < 0
        np.add.at(entries, (at[begins], day[begins], target[begins]), n[begins])
        np.add.at(censored, (at[ends], day[ends], source[ends]), n[ends])
        within = ~begins & ~ends
        np.add.at(moves, (at[within], day[within], source[within], target[within]), n[within])
    return _Moves(tally, groups, entries, moves, censored, tuple(names), tuple(joined))


def _incidence(
    moves: _Moves, risk: Array, start: Array | None, days: Days, level: float | None
) -> pd.DataFrame:
    """Competing events of those at risk; a new course is one where a protocol lets it come before a lapse."""
    names = REACHED[1:] if moves.seen()[-1] else REACHED[1:-1]
    events = moves.moves[:, :, 0, 1 : 1 + len(names)]
    curve = curves.cumulative_incidence(risk, events, start=start, level=moves.level(level))
    return _table(moves, curve, days, risk, event=list(names), events=events, start=start)


def _table(
    moves: _Moves,
    curve: Curve,
    days: Days,
    risk: Array,
    *,
    state: list[str] | None = None,
    event: list[str] | None = None,
    events: Array = None,
    start: Array | None = None,
) -> pd.DataFrame:
    """One row per group, day and state or event."""
    every = moves.entries.shape[1]
    wanted = np.arange(every) if days is None else np.asarray(list(days), dtype=np.int64)
    if ((wanted < 0) | (wanted >= every)).any():
        raise ValueError(f"days must lie between 0 and the plan's curve_days, {every - 1}")
    labels = state or event or [""]
    shape = (len(moves.groups), len(wanted), len(labels))
    table = moves.groups.loc[np.repeat(moves.groups.index, shape[1] * shape[2])].reset_index(drop=True)
    if event is not None:
        table["among"] = AMONG
    table["day"] = _spread(wanted[None, :, None], shape)
    if state is not None or event is not None:
        table["state" if state else "event"] = np.tile(np.array(labels, dtype=object), shape[0] * shape[1])
    started = moves.entries.sum(axis=(1, 2)) if start is not None else moves.entries[:, 0].sum(axis=-1)
    table["n"] = _whole(_spread(started[:, None, None], shape))
    table["at_risk"] = _whole(_spread(risk[:, wanted, None], shape))
    if event is not None:
        table["events"] = _whole(events[:, wanted].ravel())
    for name in ("share", "se", "low", "high"):
        table[name] = getattr(curve, name)[:, wanted].ravel()
    reason = np.where(np.isnan(curve.share), HIDDEN, "").astype(object)
    reason[curve.empty] = NOT_FOLLOWED
    if start is not None:
        reason[~(np.arange(every) >= start[:, None])] = TOO_FEW
    table["reason"] = reason[:, wanted].ravel()
    return table


def _spread(values: Array, shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(values, shape).ravel()


def _whole(values: Array) -> Array:
    """Counts as integers where none is hidden."""
    return values if np.isnan(values).any() else values.astype(np.int64)
