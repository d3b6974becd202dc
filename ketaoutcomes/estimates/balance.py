"""How far two groups differ at the start, in units of their own spread: standardised differences."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def standardised_difference(mean: float, sd: float, other_mean: float, other_sd: float) -> float:
    """The difference of two means over the root of the mean of the two variances.

    NaN where a mean or a spread is not known, 0 where neither group varies and the means are equal. Does not
    depend on how many people there are, so that balance is not mistaken for significance (Austin, Stat Med
    2009;28:3083).

    >>> standardised_difference(18.0, 4.0, 16.0, 4.0)
    0.5
    """
    pooled = float(np.sqrt((sd * sd + other_sd * other_sd) / 2))
    difference = mean - other_mean
    if pooled == 0:
        return 0.0 if difference == 0 else float("inf") * np.sign(difference)
    return float(difference / pooled)


def standardised_distance(counts: Array, others: Array) -> float:
    """How far apart two groups' shares of the same categories are: Mahalanobis' distance of multinomials.

    For two categories, the difference of the shares over the root of the mean of the two variances. NaN where
    a count is not known or a group is empty; infinite where two groups share no category they vary in. Yang
    and Dalton, SAS Global Forum 2012, paper 335.

    >>> round(standardised_distance([60, 40], [50, 50]), 4)
    0.202
    """
    first, second = np.asarray(counts, dtype=np.float64), np.asarray(others, dtype=np.float64)
    if np.isnan(first).any() or np.isnan(second).any() or not first.sum() or not second.sum():
        return float("nan")
    seen = (first + second) > 0  # a category nobody is in says nothing
    p, q = first[seen] / first.sum(), second[seen] / second.sum()
    if len(p) < 2:
        return 0.0
    p, q = p[1:], q[1:]
    spread = (np.diag(p) - np.outer(p, p) + np.diag(q) - np.outer(q, q)) / 2
    difference = p - q
    if not difference.any():
        return 0.0
    # Where shares are 0 or 1 the spread has no inverse; outside what it spans, groups are wholly apart.
    solved = np.linalg.pinv(spread) @ difference
    if not np.allclose(spread @ solved, difference):
        return float("inf")
    return float(np.sqrt(difference @ solved))
