"""Shewhart charts from counts or values by period: centre line, limits, and what breaks the pattern.

A p chart for proportions, its p' version where periods differ by more than chance allows (Laney), and an XmR
chart for single values. Limits may be frozen on a span of periods (`baseline`). A period without anyone, or a
hidden one, is NaN: it keeps its place, adds nothing, and interrupts any run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketaoutcomes.estimates.funnel import WINSOR, winsorised

Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]

FEWEST = 8  # periods below which there are no limits (house; a run of 8 could not be seen either)
ENOUGH = 20  # periods below which limits are provisional: Montgomery asks for 20 to 25 (see `p_chart`)
D2 = 1.128  # mean of the range of two standard normal values
MEAN_RANGE, MEDIAN_RANGE = (2.66, 3.268), (3.145, 3.865)  # Wheeler's scaling factors for XmR
RUN, TREND = 8, 6  # points of `run_of_8` and `trend_of_6`
OVERDISPERSED = 0.05  # p of the dispersion test below which p' takes the place of p


@dataclass(frozen=True, eq=False)
class Limits:
    """Centre line and limits of every period, and how they were found.

    `sigma` is a third of the distance from centre to limit before clipping; `chart` is p, p_prime or xmr;
    `dispersion` Laney's sigma z (1: as chance has it) and `p_value` of the test for more than chance, both
    NaN for XmR; `periods` is how many the limits rest on; `status` says enough, provisional or
    too_few_periods (then all limits are NaN).
    """

    centre: Floats
    low: Floats
    high: Floats
    sigma: Floats
    chart: str
    dispersion: float
    p_value: float
    periods: int
    status: str


def p_chart(met: ArrayLike, n: ArrayLike, baseline: ArrayLike | None = None) -> Limits:
    """Limits for a proportion by period: p, or p' where the baseline's periods are over-dispersed.

    Centre is all met of all n in the baseline; limits are 3 standard errors of each period's own n either
    side, clipped to 0 and 1. With z the standardised deviation of each period, Laney's sigma z is the mean
    absolute step of z between neighbours / 1.128. It widens the limits where it is above 1 and the sum of
    squares of z about their mean exceeds the 95 % point of a chi-square with one degree of freedom fewer than
    periods. There the most extreme tenth at each end, at least one period, is drawn in, so that a single odd
    month cannot widen the limits that should show it.

    Args:
        met: how many met the criterion in each period; NaN where hidden.
        n: of how many; 0 where nobody was due.
        baseline: which periods the limits rest on; all of them by default.

    Raises:
        ValueError: shapes differ, a count is negative, or more met than there are people.

    Example:
        >>> chart = p_chart([12, 15, 8, 10, 4, 7, 16, 9, 14, 10], [50] * 10)
        >>> chart.chart, chart.status, round(float(chart.centre[0]), 3), round(float(chart.high[0]), 3)
        ('p', 'provisional', 0.21, 0.383)

    Sources: Shewhart 1931; Montgomery, Introduction to Statistical Quality Control, 7.2 (p chart); Laney
    2002, Quality Engineering 14:531 (p').
    """
    counts, totals = np.asarray(met, dtype=np.float64), np.asarray(n, dtype=np.float64)
    if counts.shape != totals.shape or counts.ndim != 1:
        raise ValueError("met and n need one number per period each")
    wrong = int(((counts < 0) | (totals < 0) | (counts > totals)).sum())
    if wrong:
        raise ValueError(f"{wrong} of {len(counts)} periods have a negative count, or more met than people")
    known = ~np.isnan(counts) & (totals > 0)
    used = known & _span(baseline, len(counts))
    periods = int(used.sum())
    if periods < FEWEST:
        return _none(len(counts), "p", periods)
    centre = counts[used].sum() / totals[used].sum()
    error = np.full(len(counts), np.nan)
    error[known] = np.sqrt(centre * (1 - centre) / totals[known])
    z = np.full(len(counts), np.nan)
    certain = used & (error > 0)
    z[certain] = (counts[certain] / totals[certain] - centre) / error[certain]
    sigma_z, p_value = _dispersion(z)
    prime = p_value < OVERDISPERSED and sigma_z > 1
    sigma = error * (sigma_z if prime else 1.0)
    chart = "p_prime" if prime else "p"
    middle = np.full(len(counts), centre)
    low, high = np.clip(middle - 3 * sigma, 0, 1), np.clip(middle + 3 * sigma, 0, 1)
    return Limits(middle, low, high, sigma, chart, sigma_z, p_value, periods, _status(periods))


def xmr_chart(values: ArrayLike, baseline: ArrayLike | None = None, *, middle: str = "mean") -> Limits:
    """Natural process limits for one value per period: the centre and 2.66 mean moving ranges either side.

    `middle="median"` takes the median moving range (times 3.145) about the mean, less moved by one large
    step. A moving range is the step between neighbours that are both there.

    Example:
        >>> chart = xmr_chart([5045, 4350, 4350, 3975, 4290, 4430, 4485, 4285, 3980, 3925, 3645, 3760, 3300,
        ...                    3685, 3463, 5200])
        >>> round(float(chart.low[0]), 2), round(float(chart.high[0]), 2)
        (3188.72, 5082.28)

    Source: Wheeler, Making Sense of Data (the example is his check for software, page 382).
    """
    if middle not in {"mean", "median"}:
        raise ValueError('middle must be "mean" or "median"')
    x = np.asarray(values, dtype=np.float64)
    inside = _span(baseline, len(x))
    used = ~np.isnan(x) & inside
    periods = int(used.sum())
    steps = moving_ranges(np.where(inside, x, np.nan))
    if periods < FEWEST or not len(steps):
        return _none(len(x), "xmr", periods)
    factor = (MEAN_RANGE if middle == "mean" else MEDIAN_RANGE)[0]
    step = float(np.mean(steps) if middle == "mean" else np.median(steps))
    centre = np.full(len(x), x[used].mean())
    reach = factor * step
    sigma = np.full(len(x), reach / 3)
    return Limits(
        centre, centre - reach, centre + reach, sigma, "xmr", np.nan, np.nan, periods, _status(periods)
    )


def moving_ranges(values: ArrayLike) -> Floats:
    """The absolute steps between neighbouring periods that are both there.

    >>> moving_ranges([3, 4, float("nan"), 9, 7]).tolist()
    [1.0, 2.0]
    """
    steps: Floats = np.abs(np.diff(np.asarray(values, dtype=np.float64)))
    there: Floats = steps[~np.isnan(steps)]
    return there


def signals(
    values: ArrayLike, limits: Limits, rules: Sequence[str] = ("beyond_limits", "run_of_8")
) -> dict[str, Flags]:
    """Where each rule fires: the first period at which the pattern is complete, and each that continues it.

    - `beyond_limits`: a point outside the 3-sigma limits (Shewhart 1931; Western Electric 1956, test 1;
      Nelson 1984, test 1).
    - `run_of_8`: eight points in a row on one side of the centre line (Western Electric 1956, test 4).
    - `trend_of_6`: six points in a row, each above (or each below) the one before (Nelson 1984, test 3).
    - `two_of_three`: two of three points in a row beyond 2 sigma on one side, the last of the three being
      one of the two (Western Electric 1956, test 2; Nelson 1984, test 5).

    A point on the centre line belongs to neither side and ends a run; so does a period without a point. More
    rules find more that is not there: of 100 periods at random, `beyond_limits` alone calls about 0.3.

    >>> flat = Limits(*(np.full(3, v) for v in (0.5, 0.2, 0.8, 0.1)), "p", 1.0, 1.0, 20, "enough")
    >>> signals([0.4, 0.9, 0.5], flat)["beyond_limits"].tolist()
    [False, True, False]
    """
    unknown = [rule for rule in rules if rule not in RULES]
    if unknown:
        raise ValueError(f"unknown rule {unknown[0]!r}; write one of {', '.join(RULES)}")
    x = np.asarray(values, dtype=np.float64)
    return {rule: RULES[rule](x, limits) for rule in rules}


def one_side(side: ArrayLike, length: int = RUN) -> Flags:
    """Where at least `length` points in a row, this one the last, stand on one side; `side` is -1, 0 or 1.

    >>> one_side([1, 1, 1, -1], 3).tolist()
    [False, False, True, False]
    """
    signs = np.asarray(side, dtype=np.float64)
    found: Flags = _streak(signs, length) & (signs != 0)
    return found


def trend(values: ArrayLike, length: int = TREND) -> Flags:
    """Where at least `length` points in a row, this one the last, rise or fall without a pause.

    >>> trend([1, 2, 3, 3], 3).tolist()
    [False, False, True, False]
    """
    x = np.asarray(values, dtype=np.float64)
    steps = np.sign(np.diff(x))
    found = np.zeros(len(x), dtype=bool)
    found[1:] = _streak(steps, length - 1) & (steps != 0)
    return found


def two_of_three(beyond: ArrayLike) -> Flags:
    """Where this point and one of the two before it are beyond 2 sigma on one side; `beyond` is -1, 0 or 1.

    >>> two_of_three([1, 0, 1, 0, 0, -1, 1]).tolist()
    [False, False, True, False, False, False, False]
    """
    b = np.asarray(beyond, dtype=np.float64)
    before, earlier = np.zeros(len(b)), np.zeros(len(b))
    before[1:], earlier[2:] = b[:-1], b[:-2]
    found: Flags = (b != 0) & ~np.isnan(b) & ((before == b) | (earlier == b))
    return found


def whole_pattern(fires: ArrayLike, length: int) -> Flags:
    """Every period that belongs to a pattern: those where it is complete and the `length` - 1 before each.

    >>> whole_pattern([False, False, False, True, False], 3).tolist()
    [False, True, True, True, False]
    """
    flags = np.asarray(fires, dtype=bool)
    found = flags.copy()
    for back in range(1, min(length, len(flags))):
        found[:-back] |= flags[back:]
    return found


def _streak(signs: Floats, length: int) -> Flags:
    """Where a value has been the same, and there, for at least `length` places up to this one."""
    if not len(signs):
        return np.zeros(0, dtype=bool)
    fresh = np.ones(len(signs), dtype=bool)
    fresh[1:] = signs[1:] != signs[:-1]  # NaN differs from NaN, so a gap never makes a streak
    place = np.arange(len(signs))
    begun = np.maximum.accumulate(np.where(fresh, place, 0))
    found: Flags = (place - begun + 1 >= length) & ~np.isnan(signs)
    return found


def _beyond(x: Floats, limits: Limits) -> Flags:
    with np.errstate(invalid="ignore"):
        found: Flags = (x > limits.high) | (x < limits.low)
    return found


def _run(x: Floats, limits: Limits) -> Flags:
    return one_side(np.sign(x - limits.centre))


def _trend(x: Floats, limits: Limits) -> Flags:
    return trend(np.where(np.isnan(limits.centre), np.nan, x))


def _two_of_three(x: Floats, limits: Limits) -> Flags:
    away = x - limits.centre
    with np.errstate(invalid="ignore"):
        far = np.abs(away) > 2 * limits.sigma
    return two_of_three(np.where(np.isnan(away), np.nan, np.sign(away) * far))


RULES: dict[str, Callable[[Floats, Limits], Flags]] = {
    "beyond_limits": _beyond,
    "run_of_8": _run,
    "trend_of_6": _trend,
    "two_of_three": _two_of_three,
}
LENGTHS = {"beyond_limits": 1, "run_of_8": RUN, "trend_of_6": TREND, "two_of_three": 1}


def _dispersion(z: Floats) -> tuple[float, float]:
    """Laney's sigma z, and the chance of as much spread among periods that differ by chance alone."""
    from scipy.special import gammaincc  # here, so that importing the package stays quick

    there, steps = z[~np.isnan(z)], moving_ranges(z)
    if len(there) < 2 or not len(steps):
        return np.nan, np.nan
    inner = winsorised(there, max(WINSOR, 1 / len(there)))
    spread = float(np.sum((inner - inner.mean()) ** 2))
    return float(np.mean(steps) / D2), float(gammaincc((len(there) - 1) / 2, spread / 2))


def _span(baseline: ArrayLike | None, size: int) -> Flags:
    if baseline is None:
        return np.ones(size, dtype=bool)
    flags = np.asarray(baseline, dtype=bool)
    if flags.shape != (size,):
        raise ValueError("baseline needs one yes or no per period")
    return flags


def _status(periods: int) -> str:
    return "enough" if periods >= ENOUGH else "provisional"


def _none(size: int, chart: str, periods: int) -> Limits:
    blank = np.full(size, np.nan)
    return Limits(blank, blank, blank, blank, chart, np.nan, np.nan, periods, "too_few_periods")
