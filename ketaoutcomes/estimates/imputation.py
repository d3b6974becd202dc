"""Multiple imputation of yes-or-no outcomes from counts, and Rubin's rules for pooling what comes of it.

`impute` draws how many of the unscored would have met a criterion, cell by cell; `pool` combines estimates
by Rubin's rules with the degrees of freedom of Barnard and Rubin; `pooled_rate` does that for a proportion.

Draws depend on the labels of their own cell and on its counts, never on the order of cells or on what else
is drawn: adding the counts of two groups of patients and imputing gives what imputing them together gives.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Path: TypeAlias = tuple[str, ...]

PRIOR_WEIGHT = 2.0
"""How many persons a prior weighs (house): at the top, where nothing is known, it is then uniform."""

_EDGE = 1e-12  # shares and random numbers stay this far from 0 and 1, where inverse functions have no value


@dataclass(frozen=True, eq=False)
class Pooled:
    """Estimates pooled over imputations.

    `estimate` is their mean, `within` the mean of their variances, `between` their own variance, `total`
    `within` + (1 + 1/m) `between`, `df` the degrees of freedom of Barnard and Rubin. `increase` is the
    relative increase in variance due to what is missing (r), `missing` the fraction of missing information.
    """

    estimate: Floats
    within: Floats
    between: Floats
    total: Floats
    df: Floats
    increase: Floats
    missing: Floats


def pool(estimates: ArrayLike, variances: ArrayLike, complete_df: ArrayLike = np.inf) -> Pooled:
    """Combine estimates from m imputed data sets by Rubin's rules.

    Args:
        estimates: one estimate per imputation along the first axis; at least two.
        variances: the squared standard error of each, of the same shape.
        complete_df: degrees of freedom the analysis would have with nothing missing; infinite where it
            rests on a normal distribution.

    Returns:
        A `Pooled` of float64 arrays, without the first axis. Where all variances are 0 and the estimates
        differ, `increase` is infinite; where nothing differs it is 0.

    Raises:
        ValueError: fewer than two imputations, or shapes that do not match.

    Example:
        >>> found = pool([0.40, 0.44, 0.42], [0.010, 0.010, 0.010], complete_df=99)
        >>> round(float(found.estimate), 2), round(float(found.total), 5), round(float(found.df), 1)
        (0.42, 0.01053, 82.4)

    Sources: Rubin 1987, Multiple Imputation for Nonresponse in Surveys, chapter 3; Barnard and Rubin 1999,
    Biometrika 86:948.
    """
    q, u = np.asarray(estimates, dtype=float), np.asarray(variances, dtype=float)
    if q.shape != u.shape or q.ndim < 1:
        raise ValueError("give one variance for every estimate, imputations along the first axis")
    m = q.shape[0]
    if m < 2:
        raise ValueError(f"at least two imputations are needed to see how they differ; got {m}")
    within, between = u.mean(axis=0), q.var(axis=0, ddof=1)
    extra = (1 + 1 / m) * between
    total = within + extra
    with np.errstate(divide="ignore", invalid="ignore"):
        increase = np.where(extra == 0, 0.0, extra / within)
        lost = np.where(extra == 0, 0.0, extra / total)
    df = _barnard_rubin(m, lost, np.broadcast_to(np.asarray(complete_df, dtype=float), lost.shape))
    with np.errstate(invalid="ignore"):
        missing = np.where(np.isinf(increase), 1.0, (increase + 2 / (df + 3)) / (increase + 1))
    return Pooled(q.mean(axis=0), within, between, total, df, increase, missing)


def _barnard_rubin(m: int, lost: Floats, complete: Floats) -> Floats:
    """Degrees of freedom from the share of variance due to what is missing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        old = np.where(lost > 0, (m - 1) / lost**2, np.inf)
        observed = np.where(
            np.isinf(complete), np.inf, (complete + 1) / (complete + 3) * complete * (1 - lost)
        )
        # The reciprocal of a sum of reciprocals: an infinite one adds nothing.
        return np.where(observed == 0, 0.0, 1 / (1 / old + 1 / np.where(observed == 0, 1.0, observed)))


def pooled_rate(met: ArrayLike, n: int, level: float = 0.95) -> tuple[float, float, float]:
    """The rate of an imputed yes-or-no outcome, with its confidence interval.

    Args:
        met: how many of `n` met the criterion in each imputed data set.
        n: of how many, the imputed included; at least 1.
        level: confidence level, between 0 and 1.

    Returns:
        Rate, low and high. The interval is Wilson's with the variance that imputation adds: it never leaves
        0 to 1, and with hardly anything imputed it is Wilson's, but for t in place of the normal quantile.

    Raises:
        ValueError: `n` is below 1, a count lies outside 0 to `n`, or fewer than two imputations.

    Example:
        >>> [round(limit, 3) for limit in pooled_rate([40, 44, 42, 43, 41], 100)]
        [0.42, 0.321, 0.526]

    Sources: Lott and Reiter 2020, American Statistician 74:109 (Wilson's interval under multiple
    imputation), with Barnard and Rubin's degrees of freedom, n - 1 where nothing is missing.
    """
    counts = np.asarray(met, dtype=float)
    if n < 1 or counts.min(initial=0) < 0 or counts.max(initial=0) > n:
        raise ValueError("counts must lie between 0 and n, and n must be at least 1")
    from scipy.special import stdtrit  # here, so that importing the package stays quick

    rate = counts / n
    found = pool(rate, rate * (1 - rate) / n, complete_df=n - 1)
    df = float(found.df)
    spread = float(stdtrit(df, (1 + level) / 2)) if df > 0 else np.inf
    return float(found.estimate), *_score_limits(float(found.estimate), float(found.increase), n, spread)


def _score_limits(estimate: float, increase: float, n: int, spread: float) -> tuple[float, float]:
    """Where a rate lies `spread` standard errors from `estimate`, their square `increase` larger."""
    weight = spread**2 * (1 + increase) / n
    if not np.isfinite(weight):
        return 0.0, 1.0  # nothing is known: one person, or all imputed
    middle = (estimate + weight / 2) / (1 + weight)
    half = float(np.sqrt(middle**2 - estimate**2 / (1 + weight)))
    # Exactly 0 and 1 at the ends: rounding must not print a limit beyond the rate.
    return 0.0 if estimate == 0 else middle - half, 1.0 if estimate == 1 else middle + half


def impute(
    paths: Sequence[Path],
    met: ArrayLike,
    not_met: ArrayLike,
    missing: ArrayLike,
    *,
    seed: Sequence[str] = (),
    imputations: int = 100,
) -> NDArray[np.int64]:
    """How many of the unscored met the criterion, once per imputation.

    Every cell has a share of its own, drawn from a Beta distribution given those scored in it; its unscored
    are then drawn from a binomial distribution with that share. The prior of a cell has the weight of two
    persons and the mean of the others in the group that holds it: `paths` run from the broadest label to the
    finest, so a cell in which nobody was scored leans on its group. The group of all starts from a uniform
    prior.

    Args:
        paths: the labels of each cell, all of one length, the broadest first; no two alike.
        met: how many of each cell's scored met the criterion.
        not_met: how many did not.
        missing: how many are not scored.
        seed: texts that name what is imputed. The same texts, labels and counts give the same draws, on
            every machine and in every order.
        imputations: how many times.

    Returns:
        One integer per imputation, from 0 to the sum of `missing`.

    Raises:
        ValueError: labels of different lengths, a cell twice, a negative count, nobody scored though
            somebody is missing, or fewer than one imputation.

    Example:
        >>> impute([("a",), ("b",)], [9, 1], [1, 9], [10, 0], seed=["example"], imputations=5).tolist()
        [10, 5, 10, 10, 9]

    Source: Rubin 1987, chapter 4 (drawing the parameter, then the missing values), with nested Beta priors.
    """
    counts = [np.asarray(values, dtype=np.int64) for values in (met, not_met, missing)]
    _check(paths, counts, imputations)
    wanted = [cell for cell in range(len(paths)) if counts[2][cell]]
    drawn = np.zeros(imputations, dtype=np.int64)
    if not wanted:
        return drawn
    yes, no = _totals(paths, counts[0]), _totals(paths, counts[1])
    for cell in wanted:
        chance = _uniform([*seed, "met", *paths[cell]], imputations)
        share = _share(paths[cell], yes, no, seed, imputations)
        drawn += _binomial(chance, int(counts[2][cell]), share)
    return drawn


def _check(paths: Sequence[Path], counts: Sequence[NDArray[np.int64]], imputations: int) -> None:
    if len({len(path) for path in paths}) > 1 or len(set(paths)) < len(paths):
        raise ValueError("every cell needs its own labels, and all the same number of them")
    if any(len(values) != len(paths) or values.min(initial=0) < 0 for values in counts):
        raise ValueError("met, not_met and missing need one count per cell, none below 0")
    if counts[2].sum() and not counts[0].sum() + counts[1].sum():
        raise ValueError("nobody was scored, so there is nothing to impute from")
    if imputations < 1:
        raise ValueError(f"imputations must be at least 1; got {imputations}")


def _totals(paths: Sequence[Path], counts: NDArray[np.int64]) -> dict[Path, int]:
    """The counts of every cell and of every group that holds some."""
    totals: dict[Path, int] = {}
    for path, n in zip(paths, counts.tolist(), strict=True):
        for depth in range(len(path) + 1):
            totals[path[:depth]] = totals.get(path[:depth], 0) + n
    return totals


def _share(
    path: Path, yes: Mapping[Path, int], no: Mapping[Path, int], seed: Sequence[str], imputations: int
) -> Floats:
    """Draws of the share that met in one cell, from the group of all down to the cell itself.

    At each step only those of the group who are outside the next narrower one are counted: the cell's own
    scores, counted again as part of its groups, would make it look better known than it is.
    """
    from scipy.special import betaincinv

    mean = np.full(imputations, 0.5)
    for depth in range(len(path) + 1):
        group, inside = path[:depth], path[: depth + 1]
        met, not_met = (n[group] - (n[inside] if depth < len(path) else 0) for n in (yes, no))
        chance = _uniform([*seed, "share", *group], imputations)
        drawn = betaincinv(PRIOR_WEIGHT * mean + met, PRIOR_WEIGHT * (1 - mean) + not_met, chance)
        mean = np.clip(drawn, _EDGE, 1 - _EDGE)
    return mean


def _uniform(labels: Sequence[str], size: int) -> Floats:
    """Random numbers between 0 and 1 that belong to these labels."""
    text = json.dumps(list(labels), ensure_ascii=True, separators=(",", ":"))
    seed = int.from_bytes(hashlib.sha256(text.encode("ascii")).digest(), "big")
    # numpy promises the raw words for ever, not what its distributions make of them; those are inverted here.
    words = np.random.PCG64(seed).random_raw(size) >> np.uint64(11)
    return np.clip(words.astype(np.float64) * 2.0**-53, _EDGE, 1 - _EDGE)


def _binomial(chance: Floats, n: int, share: Floats) -> NDArray[np.int64]:
    """The smallest count whose cumulative probability reaches `chance`."""
    from scipy.special import bdtr, bdtrik

    count = np.clip(np.ceil(bdtrik(chance, n, share)), 0, n)
    below = np.maximum(count - 1, 0)
    return np.where(bdtr(below, n, share) >= chance, below, count).astype(np.int64)
