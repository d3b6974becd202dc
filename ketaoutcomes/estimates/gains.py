"""Sudden gains: large, lasting steps between neighbouring sessions. Arrays of scores in, verdicts out."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]

GAIN, NONE, UNKNOWN = 1, 0, -1
_AROUND = 3  # scores before and after a step (Tang and DeRubeis 1999)
_LEAST = 2  # of them that must be there on either side


def sudden_gains(
    scores: ArrayLike, points: float, percent: float, alpha: float = 0.05, worse: str = "higher"
) -> NDArray[np.int8]:
    """Whether each step from one session to the next is a sudden gain, by three criteria.

    The score gets better by at least `points`; by at least `percent` of the score before; and the mean of the
    (up to) three scores before the step is better than that of the three after by more than t times their
    pooled standard deviation, t being the two-sided critical value of Student's distribution at `alpha` with
    as many degrees of freedom as there are scores less two.

    Args:
        scores: (people, sessions); NaN where there is none.
        points, percent: the least step, in the units of `scores` and of the score before.
        alpha: of the third criterion, between 0 and 1.
        worse: "higher" or "lower" scores.

    Returns:
        (people, sessions - 1): 1 a sudden gain, 0 none, -1 not to be judged: one of the two scores is missing
        or fewer than two of the three on either side are there, as at the first step and the last.

    Raises:
        ValueError: `scores` does not have two dimensions, or `alpha` is not between 0 and 1.

    Example:
        >>> sudden_gains([[32, 31, 33, 5, 6, 7]], 7, 25).tolist()
        [[-1, 0, 1, 0, -1]]

    Source: Tang and DeRubeis 1999, J Consult Clin Psychol 67:894; missing scores and the third criterion as
    R's suddengains 0.4.4 has them: it compares with the pooled standard deviation itself, not with the
    standard error of the difference, which would be smaller.
    """
    values = np.asarray(scores, dtype=float)
    if values.ndim != 2:
        raise ValueError("scores are needed as people by sessions")
    if not 0 < alpha < 1:
        raise ValueError("alpha must lie between 0 and 1, for example 0.05")
    severity = values if worse == "higher" else -values
    people, sessions = severity.shape
    padded = np.pad(severity, ((0, 0), (_AROUND, _AROUND)), constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND, axis=1)
    # The window of the step from session k to k + 1 holds the three scores up to k and the three from there.
    around = around[:, 1 : max(sessions, 1)].reshape(people, max(sessions - 1, 0), 2, _AROUND)
    there = ~np.isnan(around)
    many = there.sum(axis=-1)
    safe = np.where(there, around, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = safe.sum(axis=-1) / many
        squares = (np.where(there, around - mean[..., None], 0) ** 2).sum(axis=(-1, -2))
        freedom = many.sum(axis=-1) - 2
        pooled = np.sqrt(squares / freedom)
    fell = around[..., 0, -1] - around[..., 1, 0]
    known = ~np.isnan(fell) & (many >= _LEAST).all(axis=-1)
    apart = mean[..., 0] - mean[..., 1]
    yes = (fell >= points) & (100 * fell >= percent * np.abs(around[..., 0, -1]))
    yes &= known & (apart > _critical(freedom, alpha) * np.where(known, pooled, 0))
    return np.where(known, yes, UNKNOWN).astype(np.int8)


def _critical(freedom: NDArray[np.int64], alpha: float) -> Floats:
    """Student's two-sided critical value for each number of degrees of freedom, 1 where there are fewer."""
    from scipy import stats

    table = np.array([stats.t.ppf(1 - alpha / 2, max(df, 1)) for df in range(2 * _AROUND)])
    found: Floats = table[np.maximum(freedom, 0)]
    return found
