"""What two or three partitions of the same people tell of each other, and which counts are small."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

Array = Any
MOST_AT_ONCE = 2**23  # places of sets that are looked at together


def small(count: Array, limit: int) -> Array:
    """Where a count is neither 0 nor beyond the limit, whatever its sign; a hidden one (NaN) is not small.

    >>> small([0, 3, -10, 11, np.nan], 10).tolist()
    [False, True, True, False, False]
    """
    count = np.abs(np.asarray(count))
    return (count > 0) & (count <= limit)


def tells(count: Array, twice: Array, limit: int) -> Array:
    """Where a count tells a small number; where somebody would count twice, also one of up to two times that.

    >>> tells([0, 3, 14, 14, 21], [True, False, True, False, True], 10).tolist()
    [False, True, True, False, False]
    """
    return small(count, limit) | (small(count, 2 * limit) & np.asarray(twice))


def slack(touch: Array, around: Array, inside: Array) -> Array:
    """For every set of cells of one partition, how many may lie in it beyond those that do.

    These are all the exact counts that two partitions give: by the duality of transport, the largest number
    of persons that may be in one cell of each is the smallest of such differences.

    Args:
        touch: which cells have people in common: a row per cell of the other partition, a column per cell of
            this one.
        around: how many are in each cell of the other partition; a column per group where there are several.
        inside: how many are in each cell of this one.

    >>> slack(np.array([[True, False], [True, True]]), np.array([12, 30]), np.array([20, 22])).tolist()
    [0, 8, 22, 0]
    """
    sets = _subsets(touch.shape[1], inside.dtype.str)
    result: Array = ((sets @ touch.T.astype(inside.dtype)) > 0) @ around - sets @ inside
    return result


def possible(touch: Array, around: Array, inside: Array) -> Array:
    """Which of these cells can have people in common, given how many are in each: see `slack`.

    Where the cells that a set touches hold no more than the set, nobody else is in them.

    >>> possible(np.array([[True, False], [True, True]]), np.array([12, 30]), np.array([12, 30])).tolist()
    [[True, False], [False, True]]
    """
    sets = _subsets(touch.shape[1], "<i8")[slack(touch, around, inside) == 0] > 0
    nobody = (sets @ touch.T.astype(np.int64) > 0).T @ ~sets
    result: Array = touch & ~nobody
    return result


def least_known(touch: Array, a: Array, b: Array, around: Array, most: float) -> tuple[Array, Array, Array]:
    """Sets of people of whom two partitions tell together how many there are at least.

    Of some cells of one and some of the other, those in both are no fewer than both together exceed everyone;
    those in either are as many as both together, where nobody can be in both. Beside a third partition each
    such set tells: all of it lies in the cells that it touches there, so these hold no fewer. How many more
    they hold is how many there are outside the set but in one of its three parts too many, those in neither
    of the first two counted twice.

    Args:
        touch: whether somebody can be in a cell of each partition and at a place of whatever stands beside
            them: an axis for each.
        a: how many are in each cell of the first.
        b: how many are in each cell of the second.
        around: how many are at each place.
        most: sets are left out that touch places with more people than this beyond the least.

    Returns:
        Which places each set touches, a row per set; the least number of people in it; and which places those
        touch who would count twice.

    >>> touch = np.ones((2, 2, 3), dtype=bool)
    >>> touch[0, 0, 2] = False  # whoever is in the first cell of both is not at the third place
    >>> numbers = np.array([70, 30]), np.array([60, 40]), np.array([20, 14, 66])
    >>> places, least, _ = least_known(touch, *numbers, most=4)
    >>> least[(places == [True, True, False]).all(axis=1)].tolist()
    [30.0]
    """
    touch, a = _joined(touch[a > 0], a[a > 0])
    other, b = _joined(touch.swapaxes(0, 1)[b > 0], b[b > 0])
    touch = other.swapaxes(0, 1).astype(np.float32)
    found: list[tuple[Array, Array, Array]] = []
    first, second = (_subsets(len(n), "<f4") for n in (a, b))
    two, of_second = second @ b, np.asarray(second @ touch.max(axis=0) > 0)
    for some in np.array_split(first, 1 + len(first) * of_second.size // MOST_AT_ONCE):
        one = (some @ a)[:, None]
        of_first: Array = np.tensordot(some, touch, 1) > 0
        both: Array = second @ of_first.astype(np.float32) > 0
        apart = ~both.any(axis=2)
        either = of_first.any(axis=1)[:, None] | of_second
        for places, least, own in (
            (both, one + two - a.sum(), one + two > a.sum()), (either, one + two, apart),
        ):  # fmt: skip
            at = np.nonzero(own & (places @ around - least <= most))
            neither = np.einsum("kp,kq,pqr->kr", 1 - some[at[0]], 1 - second[at[1]], touch, optimize=True) > 0
            found.append((places[at], least[at], neither & (own is not apart)))
    places, least, twice = (np.concatenate(each) for each in zip(*found, strict=True))
    return places, least, twice


def _joined(touch: Array, n: Array) -> tuple[Array, Array]:
    """Cells along the first axis that touch the same, as one."""
    first, back = alike(touch.reshape(len(touch), -1))
    return touch[first], np.bincount(back, weights=n, minlength=len(first))


def alike(rows: Array) -> tuple[Array, Array]:
    """The first of each kind of rows of yes and no, and for every row which kind it is.

    >>> alike(np.array([[True, False], [False, True], [True, False]]))[0].tolist()
    [1, 0]
    """
    bits = np.packbits(rows, axis=1)
    _, first, back = np.unique(
        np.ascontiguousarray(bits).view(f"V{bits.shape[1]}").ravel(), return_index=True, return_inverse=True
    )
    return first, back


@lru_cache(maxsize=32)
def _subsets(size: int, kind: str) -> Array:
    """Every subset of so many cells, one row each."""
    return np.array(list(product((0, 1), repeat=size)), dtype=kind).reshape(2**size, size)
