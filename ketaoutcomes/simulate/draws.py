"""Random numbers whose bytes do not depend on the numpy version.

numpy promises the raw output of a bit generator for ever, but not what `Generator.integers` and its like make
of it. So the few kinds of draw needed here are made from the raw 64-bit words of PCG64.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_UNIT = 2.0**-53


class Draws:
    """A seeded stream of draws; one name, one stream, so that a new stream never disturbs an old one.

    >>> Draws(2026, "example").below(6, 5).tolist()
    [4, 4, 1, 4, 1]
    """

    def __init__(self, seed: int, name: str) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(name.encode())]))

    def words(self, size: int) -> NDArray[np.uint64]:
        """`size` raw 64-bit words."""
        return np.asarray(self._bits.random_raw(size), dtype=np.uint64)

    def unit(self, *shape: int) -> NDArray[np.float64]:
        """Uniform numbers from 0 up to, but not including, 1."""
        size = int(np.prod(shape, dtype=np.int64))
        halves = (self.words(size) >> np.uint64(11)).astype(np.float64)
        return (halves * _UNIT).reshape(shape)

    def below(self, limit: Any, *shape: int) -> NDArray[np.int64]:
        """Whole numbers from 0 up to, but not including, `limit` (a number, or an array of that shape)."""
        return np.asarray(np.floor(self.unit(*shape) * limit), dtype=np.int64)

    def between(self, low: int, high: int, *shape: int) -> NDArray[np.int64]:
        """Whole numbers from `low` to `high`, both included."""
        return low + self.below(high - low + 1, *shape)

    def yes(self, chance: Any, *shape: int) -> NDArray[np.bool_]:
        """True with the given chance (a number, or an array of that shape)."""
        return self.unit(*shape) < np.asarray(chance)

    def pick(self, weights: Sequence[float], size: int) -> NDArray[np.int64]:
        """Positions in `weights`, each drawn in proportion to its weight; the weights need not sum to 1."""
        steps = np.cumsum(np.asarray(weights, dtype=np.float64))
        return np.asarray(np.searchsorted(steps, self.unit(size) * steps[-1], side="right"), dtype=np.int64)

    def wait(self, chance: Any, size: int, longest: int = 4000) -> NDArray[np.int64]:
        """How many tries until the first success, from 1, when each try succeeds with `chance`.

        Compared with a table made by multiplication: a logarithm may differ in its last digit between
        machines, and with it the day drawn.
        """
        chances, which = np.unique(
            np.broadcast_to(np.asarray(chance, np.float64), (size,)), return_inverse=True
        )
        drawn = self.unit(size)
        tries = np.full(size, longest, np.int64)
        for row, each in enumerate(chances.tolist()):
            lasting = np.cumprod(np.full(longest, 1.0 - each))
            mine = which == row
            tries[mine] = 1 + np.searchsorted(-lasting, -drawn[mine], side="left")
        return tries
