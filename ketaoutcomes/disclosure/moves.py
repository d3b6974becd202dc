"""Small numbers in daily moves: exits gathered until more than ten have left in the same way.

A family of daily moves (one instrument, criterion and clock) is published as one partition of everyone who
started: those who left in one way between two published days, and those who have not left. Moves among the
states of those who have not left are not told, so each person is in exactly one cell. The exits of each way
are moved to the first day on which more than the threshold have gathered *and* on which nothing small can be
computed beside everything else that is shown; the count ends where the threshold or fewer remain at risk.
Whoever is still waiting to be told then stands with those who have not left.

Families on another clock than days since the first dose, those whose states cannot be joined in this way
(entry on later days, states that are left and entered again) and families by group are not told; of the
others one for each instrument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from ketaoutcomes.counts.good_time_cells import JOIN
from ketaoutcomes.counts.tallies import KEYS as TABLE_KEYS
from ketaoutcomes.disclosure.rewrite import nearest
from ketaoutcomes.disclosure.transport import small

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally
    from ketaoutcomes.disclosure.rest import Elsewhere

Array = Any
Row = tuple[str, str, str, int, str, str, float]

KEYS: Final = ("instrument", "criterion", "clock")
START: Final = ""
CENSORED: Final = "censored"
OF_GOOD_TIME: Final = ("adequate", "dipped", "titrating", "lapsed", "unjudged")
OPEN: Final = (OF_GOOD_TIME, ("at_risk",))
"""States of those who have not left, family by family."""

TOLD_CLOCKS: Final = ("first_dose",)
"""Clocks whose numbers were worked out beside the rest of a report; families on others are hidden."""

# Ways to respond, from fine to coarse: the first level at which no way holds only a few is taken.
RESPONSES: Final = ("responded_before", "responded_after", "responded_unjudged")
WAYS: Final = (
    tuple((name,) for name in RESPONSES),
    ((RESPONSES[0],), RESPONSES[1:]),
    (RESPONSES,),
)


@dataclass(frozen=True, eq=False)
class Family:
    """Everyone who started on one clock: how many left in which way (rows) on which day (columns)."""

    instrument: str
    criterion: str
    clock: str
    open_states: tuple[str, ...]
    ways: tuple[str, ...]
    left: Array
    started: int

    def joined(self, classes: Sequence[Sequence[str]]) -> Family:
        """The same with some ways told together; a joined way has the names of its parts with `+` between."""
        of = {name: JOIN.join(each) for each in classes for name in each}
        names = [of.get(way, way) for way in self.ways]
        ways = tuple(dict.fromkeys(names))
        left = np.array(
            [self.left[[name == way for name in names]].sum(axis=0) for way in ways], dtype=np.int64
        ).reshape(len(ways), self.left.shape[1])
        return Family(self.instrument, self.criterion, self.clock, self.open_states, ways, left, self.started)

    def stop(self, limit: int) -> int:
        """The last day on which more than `limit` are at risk; -1: none."""
        gone = np.concatenate([[0], np.cumsum(self.left.sum(axis=0))[:-1]])
        return int(np.count_nonzero(self.started - gone > limit)) - 1


@dataclass(eq=False)
class Told:
    """A family as it is published: for each way the days and numbers, so far."""

    family: Family
    stop: int
    days: dict[str, list[int]] = field(default_factory=dict)
    counts: dict[str, list[int]] = field(default_factory=dict)

    def last(self, way: str) -> int:
        """The last day on which a way is told; -1: none."""
        return self.days[way][-1] if self.days.get(way) else -1

    def rest(self) -> int:
        """How many are not told to have left."""
        return self.family.started - sum(map(sum, self.counts.values()))

    def by_day(self, ways: Callable[[str], bool]) -> tuple[Array, Array]:
        """The days on which some ways are told, and how many have left by each of them."""
        found: dict[int, int] = {}
        for way, days in self.days.items():
            for day, n in zip(days, self.counts[way], strict=True):
                if ways(way):
                    found[day] = found.get(day, 0) + n
        days = sorted(found)
        return np.array(days, dtype=np.int64), np.cumsum([found[day] for day in days], dtype=np.int64)

    def rows(self, rounded: Callable[[float], float]) -> list[Row]:
        """Rows of a protected Tally's transitions; a NaN on the first day that is not told."""
        f, standing = self.family, JOIN.join(self.family.open_states)
        key = (f.instrument, f.criterion, f.clock)
        if self.stop < 0:
            return [(*key, 0, START, standing, np.nan)]
        found: list[Row] = []
        for way, days in self.days.items():
            for day, n in zip(days, self.counts[way], strict=True):
                found.append((*key, day, standing, way, rounded(n)))
        started = rounded(self.rest()) + sum(row[-1] for row in found)
        if self.stop < f.left.shape[1] - 1:
            found.append((*key, self.stop + 1, standing, CENSORED, np.nan))
        return [(*key, 0, START, standing, started), *found]


def hidden_rows(transitions: pd.DataFrame) -> list[Row]:
    """A row without number for every family: nothing of it is told."""
    begins = transitions[transitions["from"] == START]
    first = begins.groupby(list(KEYS), sort=True)["to"].min()
    keys = first.index.to_frame(index=False).astype(str).itertuples(index=False, name=None)
    return [
        (instrument, criterion, clock, 0, START, str(state), float(np.nan))
        for (instrument, criterion, clock), state in zip(keys, first, strict=True)
    ]


def move_rows(tally: Tally, told: tuple[Sequence[Told], Sequence[Row]], profile: str) -> pd.DataFrame:
    """The transitions of a protected Tally: what is told, and what is not as NaN."""
    rows = [row for one in told[0] for row in one.rows(lambda n: float(nearest(n, profile)))]
    columns = [*TABLE_KEYS["transitions"], "n"]
    return pd.DataFrame([*rows, *told[1]], columns=columns) if rows or told[1] else tally.transitions.iloc[:0]


def responded(way: str) -> bool:
    """Whether a way to leave, joined or not, is to have met the criterion."""
    return way.startswith("responded") or way == "met"


def _family(key: tuple[str, str, str], rows: pd.DataFrame, days: int) -> Family | None:
    source, target = rows["from"].astype(str), rows["to"].astype(str)
    begins = source == START
    for names in OPEN:
        inside = {*names, START}
        if key[2] in TOLD_CLOCKS and source.isin(inside).all() and (rows.loc[begins, "day"] == 0).all():
            break
    else:
        return None
    exits = ~target.isin(inside)
    ways = tuple(sorted(set(target[exits])))
    left = np.zeros((len(ways), days), dtype=np.int64)
    at = np.array([ways.index(name) for name in target[exits]], dtype=np.int64)
    np.add.at(left, (at, rows.loc[exits, "day"].to_numpy()), rows.loc[exits, "n"].to_numpy(np.int64))
    return Family(*key, names, ways, left, int(rows.loc[begins, "n"].sum()))


@dataclass(frozen=True, eq=False)
class Known:
    """Sets of the same people of which it is known elsewhere how many are in them at least.

    `places` has a row per set; a column per way to leave and class of days, all classes of one way side by
    side, and a last one for who has not left: whether somebody of the set can be there. `since` are the
    first days of the classes. `people` is how many there are in all; None where nothing is known.
    """

    people: int | None
    ways: tuple[str, ...]
    since: Array
    places: Array
    least: Array
    _touched: dict[tuple[str, int, int], Array] = field(default_factory=dict)

    def touched(self, way: str, first: int, last: int) -> Array:
        """Which sets someone may be of who left in a way between two days."""
        low, high = np.searchsorted(self.since, [first, last], side="right") - 1
        if (way, low, high) not in self._touched:
            start = self.ways.index(way) * len(self.since)
            self._touched[way, low, high] = self.places[:, start + low : start + high + 1].any(axis=1)
        return self._touched[way, low, high]


NOTHING: Final = Known(None, (), np.zeros(1), np.zeros((0, 1), dtype=bool), np.zeros(0))


def tell_all(
    transitions: pd.DataFrame,
    days: int,
    known: Callable[[Family], Known],
    rest: Callable[[str], Elsewhere | None],
    beside: Sequence[Told],
    limit: int,
) -> tuple[list[Told], list[Row]]:
    """Every family of an ungrouped Tally, each at the finest ways in which all of its responses are told.

    Args:
        transitions: daily moves, as counted.
        days: on how many days there may be moves, 0 to the end of the plan's curve.
        known: what partitions of the same people tell, for a family.
        rest: what the rest of the report shows, for an instrument; None: nothing of it.
        beside: families that are told already.
        limit: counts from 1 to this are small.

    Returns:
        What is told, and a row without number for each family that cannot be.
    """
    done, hidden = list(beside), []
    for key, rows in transitions.groupby(list(KEYS), sort=True):
        family = _family((str(key[0]), str(key[1]), str(key[2])), rows, days)
        if family is None:
            hidden += hidden_rows(rows)
        else:
            done.append(_finest(family, known, rest(family.instrument), done, limit))
    return done[len(beside) :], hidden


def _finest(
    family: Family,
    known: Callable[[Family], Known],
    rest: Elsewhere | None,
    done: Sequence[Told],
    limit: int,
) -> Told:
    if any(told.family.instrument == family.instrument and told.stop >= 0 for told in done):
        return Told(family, -1)  # two nested criteria over time tell more than their pairs of days do
    levels = WAYS if set(family.ways) & set(RESPONSES) else ((),)
    for classes in levels:
        joined = family.joined(classes)
        told = tell(joined, known(joined), rest, limit)
        if all(told.days.get(way) for way in joined.ways if responded(way)):
            return told
    return told


def tell(family: Family, known: Known, rest: Elsewhere | None, limit: int) -> Told:
    """The family with its exits on the first days on which they may be told; none of it where it may not.

    Args:
        family: with its ways joined as they are to be told.
        known: what partitions of the same people tell; made for the ways of this family.
        rest: other published numbers of the same people; None: there are none.
        limit: counts from 1 to this are small.
    """
    told = Told(family, family.stop(limit))
    told.days, told.counts = {way: [] for way in family.ways}, {way: [] for way in family.ways}
    check = _Check(known, rest, limit)
    if not check.safe(told):
        return Told(family, -1)
    pending = dict.fromkeys(family.ways, 0)
    order = sorted(family.ways, key=lambda way: (not responded(way), way == CENSORED, way))
    for day in range(told.stop + 1):
        for way in order:
            pending[way] += int(family.left[family.ways.index(way), day])
            if pending[way] <= limit:
                continue
            told.days[way].append(day)
            told.counts[way].append(pending[way])
            if check.safe(told):
                pending[way] = 0
            else:
                told.days[way].pop()
                told.counts[way].pop()
    return told


@dataclass(frozen=True, eq=False)
class _Check:
    known: Known
    rest: Elsewhere | None
    limit: int

    def safe(self, told: Told) -> bool:
        """Whether what is told of a family, alone and beside all else, leaves nothing small to compute."""
        if small(told.rest(), self.limit) or small(told.family.started, self.limit):
            return False
        if self.rest is not None and self._small_outside(told, self.rest):
            return False
        return not self._small_beside(told)

    def _small_beside(self, told: Told) -> bool:
        """Whether a set known elsewhere tells a few: all of it left, or stays, where it touches."""
        known = self.known
        if known.people is None:
            return False
        if known.people != told.family.started:
            return True
        beyond = -known.least.astype(np.float64)
        for way, days in told.days.items():
            for first, last, count in zip([0, *(d + 1 for d in days)], days, told.counts[way], strict=False):
                beyond += count * known.touched(way, first, last)
        # Whoever waits to be told may be anybody who left late, but whether anybody waits may be known.
        stay, end = known.places[:, -1], told.family.left.shape[1] - 1
        late = [known.touched(way, told.last(way) + 1, end) for way in known.ways if told.last(way) < end]
        for waits in ([*late, stay], [stay]):
            found = beyond + told.rest() * np.any(waits, axis=0)
            # Where fewer could be there than are known nobody can stand as supposed.
            if found.min(initial=0) >= 0 and small(found, self.limit).any():
                return True
        return False

    def _small_outside(self, told: Told, rest: Elsewhere) -> bool:
        """Differences with who is due, scored and has met in the rest of the report."""
        started = told.family.started
        if np.isnan(rest.eligible) or small(rest.eligible - started, self.limit):
            return True
        days, met = told.by_day(responded)
        censored = told.by_day(lambda way: way == CENSORED)[1]
        others = told.by_day(lambda way: not responded(way))[1]
        may = started - np.append(0, others)  # who has not left in another way may still have met
        young = rest.eligible - rest.dues[:, None]  # part of those whose record ends early
        found = [may[:, None] - rest.met, young - censored, young - others]
        for last, count in rest.met_by:
            found.append(met[days >= last][:, None] - count)
        return any(small(each, self.limit).any() for each in found)
