"""Funnel plots: how far sites of different size may lie from a common rate by chance alone.

Exact binomial limits at 95 and 99.8 %, wider ones where sites differ by more than chance allows, and the
smallest difference a site of a given size could show. Counts in, arrays out; nothing is ranked.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]

LEVELS = (0.95, 0.998)
FEWEST_SITES = 10  # fewer, and a tenth of them at each end is nobody: dispersion is not estimated (house)
WINSOR = 0.1  # share of sites at each end whose deviation is drawn in, so that one outlier is not the rule
POWER = 0.8  # chance with which a smallest detectable difference is found


@dataclass(frozen=True)
class Dispersion:
    """How much sites differ beyond chance: `phi` (1: as chance has it), `tau` (standard deviation between
    sites, as a proportion), and whether that is more than chance. NaN where there are too few sites."""

    phi: float
    tau: float
    over: bool
    sites: int


def exact_limits(target: float, n: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Exact binomial limits about a rate for sites of n people, interpolated so that they fall smoothly.

    With p a tail's probability and r the smallest count with P(R <= r) > p, the lower limit is (r - a) / n,
    where a = (P(R <= r) - p) / (P(R <= r) - P(R <= r - 1)). The upper limit is the lower one of those who did
    not meet the criterion, so that a count lies outside exactly where its own tail is smaller than p.
    Clipped to 0 and 1; NaN where n is 0.

    >>> low, high = exact_limits(0.5, [10, 100])
    >>> low.round(4).tolist(), high.round(4).tolist()
    ([0.1324, 0.3968], [0.8676, 0.6032])

    Source: Spiegelhalter 2005, Statistics in Medicine 24:1185, appendix A.1.1 (lower limit; his formula for
    the upper one would also call the count below, whose tail is larger than p).
    """
    _check(target)
    tail = (1 - level) / 2
    return _lower(target, n, tail), 1 - _lower(1 - target, n, tail)


def _lower(target: float, n: ArrayLike, tail: float) -> Floats:
    from scipy.special import bdtr, bdtrik  # here, so that importing the package stays quick

    sizes = np.asarray(n, dtype=np.float64)
    found = np.full(sizes.shape, np.nan)
    some = sizes > 0
    if not some.any():
        return found
    if target in (0, 1):
        found[some] = target
        return found
    people = sizes[some].astype(np.int64)
    # The smallest count whose distribution exceeds the tail, from just below where it would equal it upwards.
    r = np.maximum(np.ceil(np.nan_to_num(bdtrik(tail, people, target))) - 1, 0)
    while (short := bdtr(r, people, target) <= tail).any():
        r = r + short
    upto = bdtr(r, people, target)
    below = np.where(r > 0, bdtr(np.maximum(r - 1, 0), people, target), 0.0)
    share = (upto - tail) / (upto - below)
    found[some] = np.clip((r - share) / people, 0, 1)
    return found


def dispersion(met: ArrayLike, n: ArrayLike, target: float) -> Dispersion:
    """Whether sites differ by more than chance, after drawing in the most extreme tenth at each end.

    phi is the mean of the squared standardised deviations, winsorised; it is more than chance above the 95 %
    point of a chi-square with as many degrees of freedom as sites, divided by their number. tau is the
    standard deviation between sites of the additive random-effects model.

    Source: Spiegelhalter 2005, Statistics in Medicine 24:1185, section 6 and appendix A.3.
    """
    _check(target)
    counts, totals = np.asarray(met, dtype=np.float64), np.asarray(n, dtype=np.float64)
    there = ~np.isnan(counts) & (totals > 0)
    sites = int(there.sum())
    if sites < FEWEST_SITES or target in (0, 1):
        return Dispersion(np.nan, np.nan, False, sites)
    from scipy.special import chdtri

    variance = target * (1 - target) / totals[there]
    z = winsorised((counts[there] / totals[there] - target) / np.sqrt(variance))
    phi = float(np.mean(z**2))
    weight = 1 / variance
    room = weight.sum() - (weight**2).sum() / weight.sum()
    tau = float(np.sqrt(max(sites * phi - (sites - 1), 0.0) / room))
    return Dispersion(phi, tau, phi > float(chdtri(sites, 0.05)) / sites, sites)


def winsorised(z: ArrayLike, share: float = WINSOR) -> Floats:
    """Values with the most extreme `share` at each end drawn in to the last one kept.

    >>> winsorised([-9, -1, 0, 0, 0, 0, 0, 0, 2, 9]).tolist()
    [-1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 2.0]
    """
    values = np.asarray(z, dtype=np.float64)
    cut = int(share * len(values))
    if not cut:
        return values.copy()
    ordered = np.sort(values)
    return np.clip(values, ordered[cut], ordered[-cut - 1])


def wide_limits(target: float, n: ArrayLike, tau: float, level: float = 0.95) -> tuple[Floats, Floats]:
    """Limits that allow for differences between sites beyond chance: normal, variance plus tau squared.

    >>> low, high = wide_limits(0.5, [100], 0.05)
    >>> float(low[0].round(4)), float(high[0].round(4))
    (0.3614, 0.6386)

    Source: Spiegelhalter 2005, Statistics in Medicine 24:1185, section 6.
    """
    _check(target)
    sizes = np.asarray(n, dtype=np.float64)
    z = NormalDist().inv_cdf((1 + level) / 2)
    with np.errstate(divide="ignore"):
        reach = z * np.sqrt(target * (1 - target) / np.where(sizes > 0, sizes, np.nan) + tau**2)
    return np.clip(target - reach, 0, 1), np.clip(target + reach, 0, 1)


def detectable(low: ArrayLike, high: ArrayLike, n: ArrayLike, power: float = POWER) -> tuple[Floats, Floats]:
    """The true rates, below and above, that would show as beyond the limits with the given chance.

    Binomial: the largest rate below (smallest above) for which a site of n people falls outside `low`
    (`high`) with probability `power`. NaN where no count lies outside: such a site can never show it.

    >>> low, high = exact_limits(0.5, [10, 100])
    >>> [x.round(3).tolist() for x in detectable(low, high, [10, 100])]
    [[0.083, 0.355], [0.917, 0.645]]
    """
    from scipy.special import betaincinv

    sizes = np.asarray(n, dtype=np.float64)
    below = np.ceil(np.asarray(low, dtype=np.float64) * sizes - 1e-9) - 1  # the largest count under the limit
    above = np.floor(np.asarray(high, dtype=np.float64) * sizes + 1e-9) + 1  # the smallest over it
    down, up = np.full(sizes.shape, np.nan), np.full(sizes.shape, np.nan)
    can = below >= 0
    down[can] = betaincinv(below[can] + 1, sizes[can] - below[can], 1 - power)
    can = above <= sizes
    up[can] = betaincinv(above[can], sizes[can] - above[can] + 1, power)
    return down, up


def _check(target: float) -> None:
    if not 0 <= target <= 1:
        raise ValueError("target must be a proportion from 0 to 1")
