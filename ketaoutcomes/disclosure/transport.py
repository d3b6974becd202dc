"""What two partitions of the same people tell of each other, and which counts are small."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

Array = Any


def small(count: Array, limit: int) -> Array:
    """Where a count is neither 0 nor beyond the limit, whatever its sign; a hidden one (NaN) is not small.

    >>> small([0, 3, -10, 11, np.nan], 10).tolist()
    [False, True, True, False, False]
    """
    count = np.abs(np.asarray(count))
    return (count > 0) & (count <= limit)


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


@lru_cache(maxsize=32)
def _subsets(size: int, kind: str) -> Array:
    """Every subset of so many cells, one row each."""
    return np.array(list(product((0, 1), repeat=size)), dtype=kind).reshape(2**size, size)
