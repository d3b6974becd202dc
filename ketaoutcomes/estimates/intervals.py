"""Confidence intervals for one proportion and for the difference of two, from counts.

Every function takes whole arrays, returns float64 arrays of the broadcast shape, and carries a missing
(hidden) count through as NaN: 0 of 0 has no interval, and a hidden count gives none either.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]


def interval(
    met: ArrayLike, n: ArrayLike, method: str = "wilson", level: float = 0.95
) -> tuple[Floats, Floats]:
    """Return the lower and upper limit of a confidence interval for the proportion ``met / n``.

    Args:
        met: how many met the criterion; whole numbers, NaN where hidden.
        n: of how many; broadcast against ``met``.
        method: ``"wilson"`` (score interval), ``"exact"`` (Clopper-Pearson, never below its level) or
            ``"jeffreys"`` (equal tails of Beta(met + 1/2, n - met + 1/2), with the limit 0 at none met and
            1 at all met, so that the interval always holds the observed rate).
        level: confidence level, between 0 and 1.

    Returns:
        Two float64 arrays, proportions from 0 to 1; NaN where ``n`` is 0 or either count is NaN.

    Raises:
        ValueError: a count is negative, ``met`` exceeds ``n``, the method is unknown or the level is not
            between 0 and 1. The message gives the number of offending positions, never a count.

    Example:
        >>> low, high = interval([81, 0, 0], [263, 20, 0])
        >>> low.round(4).tolist(), high.round(4).tolist()
        ([0.2553, 0.0, nan], [0.3662, 0.1611, nan])

    Sources: Wilson 1927, JASA 22:209; Clopper and Pearson 1934, Biometrika 26:404; Brown, Cai and DasGupta
    2001, Statistical Science 16:101 (Jeffreys and its limits at 0 and n); Newcombe 1998, Statistics in
    Medicine 17:857 (comparison).
    """
    if method not in _METHODS:
        raise ValueError(f"unknown interval method {method!r}; use one of {', '.join(map(repr, _METHODS))}")
    _check_level(level)
    counts, totals = _checked(met, n)
    usable = ~np.isnan(counts) & (totals > 0)  # NaN > 0 is False
    low = np.full(counts.shape, np.nan)
    high = np.full(counts.shape, np.nan)
    if usable.any():
        low[usable], high[usable] = _METHODS[method](counts[usable], totals[usable], level)
    return low, high


def rate_with_limits(
    met: ArrayLike, n: ArrayLike, method: str = "wilson", level: float = 0.95
) -> tuple[Floats, Floats, Floats]:
    """Return the proportion ``met / n`` and the limits of its interval, as :func:`interval` has them.

    NaN, all three, where ``n`` is 0 or either count is NaN.

    Example:
        >>> rate, low, high = rate_with_limits([3, 0, float("nan")], [4, 0, 9])
        >>> rate.tolist()
        [0.75, nan, nan]
    """
    low, high = interval(met, n, method, level)
    counts, totals = np.broadcast_arrays(np.asarray(met, dtype=float), np.asarray(n, dtype=float))
    rate = np.divide(counts, totals, out=np.full(low.shape, np.nan), where=~np.isnan(low))
    return rate, low, high


def difference(
    met1: ArrayLike, n1: ArrayLike, met2: ArrayLike, n2: ArrayLike, level: float = 0.95
) -> tuple[Floats, Floats, Floats]:
    """Return ``met1 / n1 - met2 / n2`` of two independent groups with the limits of its interval.

    Newcombe's hybrid score interval (his method 10): the Wilson limits of each proportion, combined by
    squaring and adding. It stays inside -1 to 1 and needs no continuity correction.

    Args:
        met1: how many met the criterion in the first group; NaN where hidden.
        n1: of how many in the first group.
        met2: how many met the criterion in the second group.
        n2: of how many in the second group.
        level: confidence level, between 0 and 1.

    Returns:
        Three float64 arrays (difference, low, high), NaN where either group is empty or hidden.

    Raises:
        ValueError: as for :func:`interval`.

    Example:
        >>> [round(float(x), 4) for x in difference(56, 70, 48, 80)]
        [0.2, 0.0524, 0.3339]

    Source: Newcombe 1998, Statistics in Medicine 17:873, method 10.
    """
    met1, n1, met2, n2 = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (met1, n1, met2, n2)))
    low1, high1 = interval(met1, n1, "wilson", level)
    low2, high2 = interval(met2, n2, "wilson", level)
    usable = ~np.isnan(low1) & ~np.isnan(low2)
    rate1 = np.divide(met1, n1, out=np.full(n1.shape, np.nan), where=usable)
    rate2 = np.divide(met2, n2, out=np.full(n2.shape, np.nan), where=usable)
    gap = rate1 - rate2
    low = gap - np.hypot(rate1 - low1, high2 - rate2)
    high = gap + np.hypot(high1 - rate1, rate2 - low2)
    return gap, np.maximum(low, -1), np.minimum(high, 1)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError("level must lie between 0 and 1, for example 0.95")


def _checked(met: ArrayLike, n: ArrayLike) -> tuple[Floats, Floats]:
    counts, totals = np.broadcast_arrays(np.asarray(met, dtype=float), np.asarray(n, dtype=float))
    findings = {
        "negative or infinite": (counts < 0) | (totals < 0) | np.isinf(counts) | np.isinf(totals),
        "with more met than there are people": counts > totals,
    }
    found = [f"{int(bad.sum())} {what}" for what, bad in findings.items() if bad.any()]
    if found:
        raise ValueError(f"of {counts.size} counts: {'; '.join(found)}")
    return counts, totals


def _wilson(met: Floats, n: Floats, level: float) -> tuple[Floats, Floats]:
    z = NormalDist().inv_cdf((1 + level) / 2)
    spread = z * np.sqrt(z * z + 4 * met * (n - met) / n)
    low = (2 * met + z * z - spread) / (2 * (n + z * z))
    high = (2 * met + z * z + spread) / (2 * (n + z * z))
    # Exactly 0 and 1 at the ends: rounding must not print a limit beyond the observed rate.
    return np.where(met == 0, 0.0, low), np.where(met == n, 1.0, high)


def _exact(met: Floats, n: Floats, level: float) -> tuple[Floats, Floats]:
    return _beta_limits(met, n, level, below=0.0, above=1.0)


def _jeffreys(met: Floats, n: Floats, level: float) -> tuple[Floats, Floats]:
    return _beta_limits(met, n, level, below=0.5, above=0.5)


def _beta_limits(
    met: Floats, n: Floats, level: float, *, below: float, above: float
) -> tuple[Floats, Floats]:
    """Return tails of Beta(met + below, n - met + above) and Beta(met + above, n - met + below)."""
    from scipy.special import betaincinv  # here, so that importing the package stays quick

    tail = (1 - level) / 2
    some, rest = met > 0, met < n
    low, high = np.zeros(met.shape), np.ones(met.shape)
    low[some] = betaincinv((met + below)[some], (n - met + above)[some], tail)
    high[rest] = betaincinv((met + above)[rest], (n - met + below)[rest], 1 - tail)
    return low, high


_METHODS: dict[str, Callable[[Floats, Floats, float], tuple[Floats, Floats]]] = {
    "wilson": _wilson,
    "exact": _exact,
    "jeffreys": _jeffreys,
}
