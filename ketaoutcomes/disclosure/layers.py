"""Layers of good time: partitions of the same people, and what two or three of them tell of each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations
from typing import Any

import numpy as np

from ketaoutcomes.counts.good_time_cells import JOIN
from ketaoutcomes.disclosure.ladders import WAYS, Key, leaves, meets
from ketaoutcomes.disclosure.moves import Family, Known
from ketaoutcomes.disclosure.transport import alike, least_known, possible, slack, small, tells

Array = Any


@dataclass(frozen=True, eq=False)
class Layer:
    """One partition of everyone eligible at one level: its cells, the fine cells in each, their numbers."""

    kind: str
    point: str
    names: tuple[str, ...]
    parts: tuple[tuple[Key, ...], ...]
    n: Array

    def held(self, wanted: Callable[[Key], bool]) -> float:
        """How many are in cells of which any part is wanted."""
        some = [any(wanted(key) for key in parts) for parts in self.parts]
        return float(self.n[np.array(some, dtype=bool)].sum())

    def within(self, wanted: Callable[[Key], bool]) -> float:
        """How many are in cells of which every part is wanted."""
        every = [all(wanted(key) for key in parts) for parts in self.parts]
        return float(self.n[np.array(every, dtype=bool)].sum())

    @cached_property
    def keys(self) -> tuple[Key, ...]:
        """The fine cells that somebody may be in, those of one cell side by side."""
        return tuple(key for parts, n in zip(self.parts, self.n, strict=True) if n for key in parts)

    @cached_property
    def starts(self) -> Array:
        """Where the fine cells of each cell begin in `keys`."""
        sizes = [len(parts) for parts, n in zip(self.parts, self.n, strict=True) if n]
        return np.cumsum([0, *sizes[:-1]])

    @cached_property
    def people(self) -> Array:
        """How many are in each cell that is not empty."""
        return self.n[self.n > 0]


def tells_few(layer: Layer, chosen: Sequence[Layer], limit: int, last: int) -> bool:
    """Whether a layer tells a small number beside one or two of those chosen before it.

    `last` is the last calendar day; counts from 1 to `limit` are small.
    """
    if any(small(_between(layer, other, last), limit).any() for other in chosen):
        return True
    return any(
        tells(*_among((layer, one, other), last, 2 * limit), limit).any()
        for one, other in combinations(chosen, 2)
    )


def _between(a: Layer, b: Layer, last: int) -> Array:
    """What two layers tell of each other: the smaller one's sets of cells are looked at."""
    if len(a.people) < len(b.people):
        a, b = b, a
    return slack(_cellwise(_meeting(a.keys, b.keys, last), (a, b)), a.people, b.people)


@lru_cache(maxsize=1024)
def _sharing(a: Layer, b: Layer, last: int) -> Array:
    """Which cells of two layers can have people in common, given how many are in each."""
    if len(a.people) < len(b.people):
        return _sharing(b, a, last).T
    return possible(_cellwise(_meeting(a.keys, b.keys, last), (a, b)), a.people, b.people)


def _among(layers: Sequence[Layer], last: int, most: int) -> tuple[Array, Array]:
    """What two layers tell of a third, up to the most of interest, and where somebody counts twice."""
    a, b, c = sorted(layers, key=lambda layer: len(layer.people))
    touch = (
        _meeting(a.keys, b.keys, last)[:, :, None]
        & _meeting(a.keys, c.keys, last)[:, None]
        & _meeting(b.keys, c.keys, last)
    )
    touch = _cellwise(touch, (a, b, c)) & _sharing(a, b, last)[:, :, None]
    touch &= _sharing(a, c, last)[:, None] & _sharing(b, c, last)
    places, least, twice = least_known(touch, a.people, b.people, c.people, most)
    return places @ c.people - least, (places & twice).any(axis=1)


def beside_moves(
    family: Family, chosen: Sequence[Layer], since: Sequence[int], last: int, mature: int, limit: int
) -> Known:
    """What each two of these layers tell of how and when people left, as a family of daily moves does.

    Who left in a way is alike from each day of `since` to the next. `last` is the last calendar day; courses
    followed for `mature` days are mature. Counts from 1 to `limit` are small.
    """
    # In a way of which nothing is told a few may have left for all that is known.
    named = {part for way in family.ways for part in way.split(JOIN)}
    ways = (*family.ways, *(way for way in WAYS if way not in named))
    around = np.zeros(len(ways) * len(since) + 1)
    left = np.add.reduceat(family.left, since, axis=1)
    around[: left.size], around[-1] = left.ravel(), family.started - left.sum()
    # What is told is told late, so no place holds fewer than it does; but those who wait may be held to stay.
    most = 10 * limit
    places = [_leaving(ways, layer.keys, tuple(since), last, mature) for layer in chosen]
    everyone = np.array([family.started])
    found = [
        least_known(_cellwise(of, (layer,))[:, None], layer.people, everyone, around, most)
        for layer, of in zip(chosen, places, strict=True)
    ]
    for (a, of_a), (b, of_b) in combinations(list(zip(chosen, places, strict=True)), 2):
        touch = _meeting(a.keys, b.keys, last)[:, :, None] & of_a[:, None] & of_b
        touch = _cellwise(touch, (a, b)) & _sharing(a, b, last)[:, :, None]
        found.append(least_known(touch, a.people, b.people, around, most))
    touched, least = (np.concatenate(each) for each in list(zip(*found, strict=True))[:2])
    bits = np.unpackbits(least.astype("<u4")[:, None].view("u1"), axis=1)
    one, _ = alike(np.column_stack([touched, bits]))
    return Known(int(chosen[0].n.sum()), ways, np.array(since), touched[one], least[one])


@lru_cache(maxsize=64)
def _leaving(
    ways: tuple[str, ...], keys: tuple[Key, ...], since: tuple[int, ...], last: int, mature: int
) -> Array:
    """For each fine cell whether somebody in it can have left in a way in a class of days, or not at all."""
    places = [(way, day) for way in ways for day in since] + [("", since[-1])]
    return np.array(
        [
            [any(leaves(part, day, key, last, mature) for part in way.split(JOIN)) for way, day in places]
            for key in keys
        ],
        dtype=bool,
    )


def _cellwise(touch: Array, layers: Sequence[Layer]) -> Array:
    """A table of fine cells, an axis for each layer first, as one of cells: true where any part is."""
    for axis, layer in enumerate(layers):
        touch = np.logical_or.reduceat(touch, layer.starts, axis=axis)
    return touch


@lru_cache(maxsize=1024)
def _meeting(a: tuple[Key, ...], b: tuple[Key, ...], last: int) -> Array:
    """Which fine cells of one layer have people in common with which of another."""
    return np.array([[meets(x, y, last) for y in b] for x in a], dtype=bool).reshape(len(a), len(b))
