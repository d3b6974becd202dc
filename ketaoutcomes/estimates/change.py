"""Change beyond error: reliable change, cutoffs between populations, effect sizes, regression to the mean.

Every function takes numbers or arrays and returns float64 arrays of the broadcast shape; NaN where an answer
is not defined. Which standard deviation and which reliability go in is the caller's, who must name their
source: taken from the sample at hand they would make any change reliable in a sample of like people.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]


def reliable_change_index(before: ArrayLike, after: ArrayLike, sd: ArrayLike, r: ArrayLike) -> Floats:
    """Return the change from `before` to `after` in standard errors of a difference.

    `(after - before) / (sd * sqrt(2 * (1 - r)))`: beyond 1.96 either way, error alone would seldom do it.
    The sign is that of the change, so on a scale where high is worse a negative index is better.

    Args:
        before: first score.
        after: second score.
        sd: standard deviation of the scores in a reference population.
        r: reliability of the scores, from 0 to below 1.

    Raises:
        ValueError: a standard deviation is not above 0, or a reliability not from 0 to below 1.

    Example:
        >>> round(float(reliable_change_index(32.5, 47.5, sd=7.5, r=0.8)), 3)
        3.162

    Source: Jacobson and Truax 1991, J Consult Clin Psychol 59:12.
    """
    sd, r = _checked(sd, r)
    change: Floats = np.asarray(after, dtype=float) - np.asarray(before, dtype=float)
    return change / (sd * np.sqrt(2 * (1 - r)))


def reliable_change(sd: ArrayLike, r: ArrayLike, z: float = 1.96) -> Floats:
    """Return how many points a change must exceed to be reliable: ``z * sd * sqrt(2 * (1 - r))``.

    Raises:
        ValueError: as for :func:`reliable_change_index`.

    Example:
        >>> reliable_change([5.5, 5.5], [0.89, 0.84]).round(1).tolist()
        [5.1, 6.1]

    Source: Jacobson and Truax 1991, J Consult Clin Psychol 59:12.
    """
    sd, r = _checked(sd, r)
    result: Floats = z * sd * np.sqrt(2 * (1 - r))
    return result


def cutoffs(
    functional_mean: ArrayLike, functional_sd: ArrayLike, mean: ArrayLike, sd: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """Return the three scores at which a person may be said to leave the dysfunctional population.

    a: two standard deviations from the dysfunctional mean, towards the functional one; b: two from the
    functional mean, towards the dysfunctional one; c: the score equally many standard deviations from both.
    The direction of the scale follows from the two means.

    Args:
        functional_mean: mean of the functional population.
        functional_sd: its standard deviation.
        mean: mean of the dysfunctional population.
        sd: its standard deviation.

    Returns:
        Three float64 arrays (a, b, c).

    Example:
        >>> [float(cut) for cut in cutoffs(60, 7.5, 40, 7.5)]
        [55.0, 45.0, 50.0]

    Source: Jacobson and Truax 1991, J Consult Clin Psychol 59:12.
    """
    m0, s0, m1, s1 = (np.asarray(x, dtype=float) for x in (functional_mean, functional_sd, mean, sd))
    towards = np.sign(m0 - m1)
    return m1 + towards * 2 * s1, m0 - towards * 2 * s0, (s0 * m1 + s1 * m0) / (s0 + s1)


def mean_interval(n: ArrayLike, mean: ArrayLike, sd: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the limits of Student's interval for a mean of `n` values with standard deviation `sd`.

    NaN below two values. Divided by a published standard deviation, which is taken as known, the limits are
    those of an effect size in that unit.

    Example:
        >>> [round(float(x), 4) for x in mean_interval(10, -1.58, 1.229995)]
        [-2.4599, -0.7001]

    Source: Student 1908, Biometrika 6:1.
    """
    from scipy.special import stdtrit  # here, so that importing the package stays quick

    _check_level(level)
    n, mean, sd = (np.asarray(x, dtype=float) for x in (n, mean, sd))
    enough = n > 1
    some = np.where(enough, n, 2.0)
    half = np.where(enough, stdtrit(some - 1, (1 + level) / 2) * sd / np.sqrt(some), np.nan)
    return mean - half, mean + half


def standardized_change(
    n: ArrayLike, change: ArrayLike, sd: ArrayLike, r: ArrayLike, level: float = 0.95
) -> tuple[Floats, Floats, Floats]:
    """Return the mean change in baseline standard deviations, corrected for small samples, with its limits.

    `g = J(n - 1) * change / sd`, with `J` Hedges' exact correction, and a normal interval with the variance
    `2 * (1 - r) / n + g * g / (2 * n)` of large samples.

    Args:
        n: how many people were measured twice.
        change: their mean change.
        sd: the standard deviation of their first scores.
        r: the correlation of their first and second scores.
        level: confidence level, between 0 and 1.

    Returns:
        Three float64 arrays (g, low, high); NaN below three people, or where the baselines do not differ.

    Example:
        >>> [round(float(x), 4) for x in standardized_change(20, 38.5 - 30.6, 15.0, 0.47)]
        [0.5056, 0.0279, 0.9832]

    Sources: Becker 1988, Br J Math Stat Psychol 41:257; Hedges 1981, J Educ Stat 6:107; Morris 2008, Organ
    Res Methods 11:364 (example); as `escalc(measure = "SMCR")` of the R package metafor.
    """
    from statistics import NormalDist

    from scipy.special import gammaln

    _check_level(level)
    n, change, sd, r = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (n, change, sd, r)))
    usable = (n > 2) & (sd > 0)
    m, some, spread = np.where(usable, n - 1, 2.0), np.where(usable, n, 3.0), np.where(usable, sd, 1.0)
    correction = np.exp(gammaln(m / 2) - gammaln((m - 1) / 2)) * np.sqrt(2 / m)
    g = np.where(usable, correction * change / spread, np.nan)
    half = NormalDist().inv_cdf((1 + level) / 2) * np.sqrt(2 * (1 - r) / some + g * g / (2 * some))
    return g, g - half, g + half


def regression_at_gate(
    mean: ArrayLike, sd: ArrayLike, r: ArrayLike, gate: ArrayLike, *, above: bool = True
) -> Floats:
    """Return the mean change to expect, with no treatment at all, of people selected by a score at a gate.

    People are drawn from a normal population and enter if their first score is at the gate or beyond it; the
    second score has the same mean and spread and the test-retest correlation `r`. The change is second minus
    first: negative where people enter with high scores.

    Args:
        mean: population mean.
        sd: population standard deviation.
        r: test-retest correlation over the time between the scores.
        gate: the score at which people enter.
        above: whether people enter at or above the gate (else at or below it).

    Example:
        >>> round(float(regression_at_gate(60, 15, 0.5, 40, above=False)), 3)
        13.486

    Sources: Davis 1976, Am J Epidemiol 104:493; Barnett, van der Pols and Dobson 2005, Int J Epidemiol
    34:215, equation 1 (example).
    """
    from scipy.special import log_ndtr

    mean, sd, r, gate = (np.asarray(x, dtype=float) for x in (mean, sd, r, gate))
    side = 1 if above else -1
    z = side * (gate - mean) / sd
    # The density over the upper tail, in logarithms so that a far gate does not divide by nothing.
    ratio = np.exp(-z * z / 2 - 0.5 * np.log(2 * np.pi) - log_ndtr(-z))
    result: Floats = -side * sd * (1 - r) * ratio
    return result


def regression_of_baseline(baseline: ArrayLike, mean: ArrayLike, r: ArrayLike) -> Floats:
    """Return the mean change to expect, with no treatment at all, of people with a known mean baseline.

    ``(r - 1) * (baseline - mean)``: each person's second score is expected nearer to the population mean, by
    the share of the distance that is error. It holds for any group formed by the first score.

    Example:
        >>> round(float(regression_of_baseline(20, 17.1, 0.84)), 3)
        -0.464

    Source: as :func:`regression_at_gate`.
    """
    baseline, mean, r = (np.asarray(x, dtype=float) for x in (baseline, mean, r))
    result: Floats = (r - 1) * (baseline - mean)
    return result


def _checked(sd: ArrayLike, r: ArrayLike) -> tuple[Floats, Floats]:
    spread, reliability = np.asarray(sd, dtype=float), np.asarray(r, dtype=float)
    found = []
    if not (spread > 0).all():
        found.append("sd must be above 0")
    if not ((reliability >= 0) & (reliability < 1)).all():
        found.append("r must lie from 0 to below 1")
    if found:
        raise ValueError("; ".join(found))
    return spread, reliability


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError("level must lie between 0 and 1, for example 0.95")
