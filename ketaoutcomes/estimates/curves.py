"""Curves from daily counts: who was followed, who moved where on each day. Counts in, arrays out.

Everything here is one product over days of what was seen on each day (Aalen and Johansen 1978); Kaplan-Meier
and cumulative incidence are its two smallest cases. Days run along an axis, any axes before it are groups.
Daily counts add between cohorts, so curves of a pooled cohort need no rows.

Conventions are R's (`survival`, `etm`): who enters on day e is at risk from the day after, except that those
who enter on day 0 are at risk on day 0; who leaves on day d, by an event or censored, is still at risk on d.
Several events on one day are taken together, so ties have no order. A hidden count (NaN) makes its day and
all later days NaN.

Intervals are Greenwood-type, from the counts alone: each day's moves out of a state are multinomial given
how many stood in it (Andersen, Borgan, Gill and Keiding 1993, Statistical Models Based on Counting
Processes, IV.4.1.3, eq. 4.4.19; the `cov` of etm).
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]

LIMITS = ("log-log", "plain")
MOST_LOST = 0.005
"""State occupation is given while at most this share stands in states where nobody is followed any more: half
a percentage point, which a whole percentage rounds away."""

_NOTHING = 1e-12


class Curve(NamedTuple):
    """Shares by day with their standard errors and limits; NaN where they cannot be known.

    `empty` is True from the day on which nobody was left to follow, which tells those days from hidden ones.
    """

    share: Floats
    se: Floats
    low: Floats
    high: Floats
    empty: NDArray[np.bool_]


def at_risk(entered: ArrayLike, left: ArrayLike) -> Floats:
    """How many are followed on each day, from how many entered and how many left on each day.

    Args:
        entered: (..., days) people whose follow-up begins; on day 0 those who start there.
        left: (..., days) people whose follow-up ends on that day, by whatever cause.

    Returns:
        (..., days): who entered before the day, or on day 0, and has not left before it.

    Raises:
        ValueError: a count is negative, or more leave than are there.

    Example:
        >>> at_risk([3, 0, 2, 0], [0, 1, 0, 4]).tolist()
        [3.0, 3.0, 2.0, 4.0]
    """
    came, went = np.broadcast_arrays(np.asarray(entered, dtype=float), np.asarray(left, dtype=float))
    risk = _before(came - went, axis=-1)
    if came.shape[-1]:
        risk[..., 0] = came[..., 0]
    # Whoever enters may leave on the same day: never at risk, but counted on both sides.
    short = _before(came - went, axis=-1) + came < went
    _check({"negative": (came < 0) | (went < 0), "with more leaving than are followed": short})
    return risk


def in_states(entered: ArrayLike, moves: ArrayLike, censored: ArrayLike) -> Floats:
    """How many are followed in each state at the beginning of each day.

    Args:
        entered: (..., states) how many stood in each state at the beginning of day 0.
        moves: (..., days, states, states) how many moved from one state (rows) to another (columns).
        censored: (..., days, states) how many were last followed on that day, in the state they then
            were in, after the day's moves.

    Returns:
        (..., days, states). Over states it is constant less those censored.

    Raises:
        ValueError: a count is negative, a move leads to its own state, or more leave a state than are in it.

    Example:
        >>> moves = np.zeros((3, 2, 2))
        >>> moves[0, 0, 1], moves[1, 1, 0] = 4, 1
        >>> in_states([10, 0], moves, [[0, 0], [2, 0], [0, 0]]).tolist()
        [[10.0, 0.0], [6.0, 4.0], [5.0, 3.0]]
    """
    beginning, moved = np.asarray(entered, dtype=float), np.asarray(moves, dtype=float)
    last = np.asarray(censored, dtype=float)
    stays = np.diagonal(moved, axis1=-2, axis2=-1)
    came, out = moved.sum(axis=-2), moved.sum(axis=-1)
    risk: Floats = _before(came - out - last, axis=-2) + beginning[..., None, :]
    _check(
        {
            "negative": (moved < 0).any(axis=-1) | (last < 0) | (beginning < 0)[..., None, :],
            "of moves to the same state": stays > 0,
            # A day's moves come before follow-up ends, so a person may be censored where they have just come.
            "with more leaving a state than are in it": (out > risk) | (out + last > risk + came),
        }
    )
    return risk


def kaplan_meier(
    risk: ArrayLike, events: ArrayLike, *, level: float = 0.95, limits: str = "log-log"
) -> Curve:
    """The share still without the event after each day: Kaplan-Meier, with Greenwood's variance.

    Args:
        risk: (..., days) how many were followed on each day, as `at_risk` gives it.
        events: (..., days) how many of them had the event on it.
        level: confidence level, between 0 and 1.
        limits: "log-log" (of the survival function, R's `conf.type = "log-log"`) or "plain" (cut at 0 and 1).
            Neither exists where the share is 0 or 1.

    Returns:
        A `Curve` of shape (..., days). From the first day on which nobody is followed while some are still
        without the event the share is NaN: it is not known, rather than constant.

    Raises:
        ValueError: a count is negative, or there are more events than people.

    Example:
        >>> kaplan_meier([4, 3, 3, 0], [1, 0, 1, 0]).share.tolist()
        [0.75, 0.75, 0.5, nan]

    Sources: Kaplan and Meier 1958, JASA 53:457; Greenwood 1926; Kalbfleisch and Prentice 1980 (log-log).
    """
    deaths = np.asarray(events, dtype=float)[..., None]
    first, share, variance, empty = _one_state(np.asarray(risk, dtype=float), deaths, None)
    low, high = _limits(1 - share[..., 0], np.sqrt(variance[..., 0]), level, limits)
    return Curve(share[..., 0], np.sqrt(variance[..., 0]), 1 - high, 1 - low, empty & first)


def cumulative_incidence(
    risk: ArrayLike,
    events: ArrayLike,
    *,
    start: ArrayLike | None = None,
    level: float = 0.95,
    limits: str = "log-log",
) -> Curve:
    """The share that has had each of several competing events by each day: Aalen-Johansen.

    Args:
        risk: (..., days) how many were followed, without any event, on each day.
        events: (..., days, causes) how many had each event on it.
        start: for delayed entry, the day (a position, one per group) from which to count, everyone then
            followed being without an event; days before it are NaN, and NaN for a group that never starts.
        level: confidence level, between 0 and 1.
        limits: "log-log" (of 1 - share, so that one cause alone agrees with Kaplan-Meier) or "plain".

    Returns:
        A `Curve` of shape (..., days, causes); `empty` has shape (..., days).

    Raises:
        ValueError: as `kaplan_meier`.

    Example:
        >>> curve = cumulative_incidence([4, 3, 2], [[1, 0], [0, 1], [1, 0]])
        >>> curve.share.tolist()
        [[0.25, 0.0], [0.25, 0.25], [0.5, 0.25]]

    Sources: Aalen and Johansen 1978, Scandinavian Journal of Statistics 5:141; interval as R's etm (cloglog).
    """
    begun, share, variance, empty = _one_state(
        np.asarray(risk, dtype=float),
        np.asarray(events, dtype=float),
        None if start is None else np.asarray(start, dtype=float),
    )
    share = np.where(begun[..., None], share[..., 1:], np.nan)
    se = np.where(begun[..., None], np.sqrt(variance[..., 1:]), np.nan)
    low, high = _limits(share, se, level, limits)
    return Curve(share, se, low, high, empty & begun)


def state_occupation(
    entered: ArrayLike,
    moves: ArrayLike,
    censored: ArrayLike,
    *,
    bands: ArrayLike | None = None,
    level: float = 0.95,
    limits: str = "log-log",
    most_lost: float = MOST_LOST,
) -> Curve:
    """The share of all who started that stands in each state at the end of each day: Aalen-Johansen.

    States may be left and entered again. The estimate needs no assumption about what brings people from
    state to state, only that follow-up ends independently of it (Datta and Satten 2001, Statistics and
    Probability Letters 55:403). With nobody censored it is the plain proportion.

    Args:
        entered, moves, censored: daily counts as `in_states` takes them.
        bands: (states, bands) of 0 and 1, to estimate sums of states with intervals of their own; by default
            each state is its own band.
        level: confidence level, between 0 and 1.
        limits: "log-log" (of 1 - share) or "plain" (cut at 0 and 1). Neither exists at a share of 0 or 1.
        most_lost: largest share that may stand in states where nobody is followed. Beyond it everything is
            NaN; up to it that share waits there, as in every Aalen-Johansen estimate. 1: never NaN.

    Returns:
        A `Curve` of shape (..., days, bands); `empty` has shape (..., days). The variance is the recursion
        of Andersen et al. eq. 4.4.19 with the multinomial variance of where people started, so that without
        censoring it is that of a proportion, share * (1 - share) / n. It supposes that the next move depends
        on the present state; for other processes it is approximate (Glidden 2002, Biometrics 58:361).

    Raises:
        ValueError: as `in_states`.

    Example:
        Ten people take a break and come back:
        >>> moves = np.zeros((3, 2, 2))
        >>> moves[0, 0, 1], moves[2, 1, 0] = 4, 3
        >>> state_occupation([10, 0], moves, np.zeros((3, 2))).share[:, 1].round(3).tolist()
        [0.4, 0.4, 0.1]
    """
    beginning, moved = np.asarray(entered, dtype=float), np.asarray(moves, dtype=float)
    risk = in_states(beginning, moved, censored)
    total = beginning.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        begins = beginning / total
        spread = (_diagonal(begins) - begins[..., :, None] * begins[..., None, :]) / total[..., None]
    weights = np.eye(beginning.shape[-1]) if bands is None else np.asarray(bands, dtype=float)
    share, variance, empty = _product(begins, spread, risk, moved, weights, most_lost)
    se = np.sqrt(variance)
    low, high = _limits(share, se, level, limits)
    return Curve(share, se, low, high, empty)


def restricted_mean(risk: ArrayLike, events: ArrayLike, until: int) -> tuple[Floats, Floats]:
    """The mean number of days before the event, none counted beyond a given day, and its standard error.

    The area under Kaplan-Meier's curve from day 0 to `until`: an event on day 5 comes after five days.

    Args:
        risk: (..., days) how many were followed on each day.
        events: (..., days) how many had the event on it.
        until: days to count; at most as many as there are.

    Returns:
        Two arrays of shape (...): days, and standard error. NaN where the curve is not known that far.

    Raises:
        ValueError: as `kaplan_meier`, or the curve has fewer days than `until`.

    Example:
        >>> days, se = restricted_mean([4, 3, 3, 3], [1, 0, 1, 0], 3)
        >>> float(days), round(float(se), 4)
        (2.0, 0.6124)

    Source: Klein and Moeschberger 2003, Survival Analysis, section 4.5 (R's `rmean`).
    """
    followed, deaths = np.asarray(risk, dtype=float), np.asarray(events, dtype=float)
    if not 0 <= until <= followed.shape[-1]:
        raise ValueError(f"until must lie between 0 and the {followed.shape[-1]} days of the curve")
    share = kaplan_meier(followed, deaths).share[..., :until]
    followed, deaths = followed[..., :until], deaths[..., :until]
    area = np.flip(np.cumsum(np.flip(share, -1), -1), -1)
    stay = followed - deaths
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = np.where((deaths > 0) & (stay > 0), area**2 * deaths / (followed * stay), 0 * area)
    return share.sum(axis=-1), np.sqrt(parts.sum(axis=-1))


def mean_without(risk: ArrayLike, events: ArrayLike, until: int) -> tuple[Floats, Floats]:
    """The mean number of days without the first of several competing events, none counted beyond a day.

    The area over that event's cumulative incidence from day 0 to `until`: whoever has another event is
    without this one for good. With one cause it is `restricted_mean`; `until` less it is the mean number of
    days lost to that cause.

    Args:
        risk: (..., days) how many were followed, without any event, on each day.
        events: (..., days, causes) how many had each event on it.
        until: days to count; at most as many as there are.

    Returns:
        Two arrays of shape (...): days, and standard error. NaN where the curve is not known that far.

    Raises:
        ValueError: as `kaplan_meier`, or the curve has fewer days than `until`.

    Example:
        >>> days, se = mean_without([4, 3, 2], [[1, 0], [0, 1], [1, 0]], 3)
        >>> float(days), round(float(se), 4)
        (2.0, 0.6124)

    Sources: Andersen 2013, Statistics in Medicine 32:5278 (days lost to a cause); the variance by the delta
    method from each day's multinomial events, which for one cause is Greenwood's.
    """
    followed, happened = np.asarray(risk, dtype=float), np.asarray(events, dtype=float)
    if not 0 <= until <= followed.shape[-1]:
        raise ValueError(f"until must lie between 0 and the {followed.shape[-1]} days of the curve")
    shares = cumulative_incidence(followed, happened).share[..., :until, :]
    unknown = np.isnan(shares).any(axis=(-1, -2))
    safe = np.where(followed > 0, followed, 1)
    chance, other = happened[..., 0] / safe, happened[..., 1:].sum(axis=-1) / safe
    variance, lost = np.zeros(followed.shape[:-1]), np.zeros(followed.shape[:-1])
    for day in reversed(range(until)):
        one, two = chance[..., day], other[..., day]
        gain, loss = until - day - lost, -lost
        left = 1 - (shares[..., day - 1, :].sum(axis=-1) if day else 0)
        spread = gain**2 * one + loss**2 * two - (gain * one + loss * two) ** 2
        variance = variance + np.maximum(spread, 0) * left**2 / safe[..., day]
        lost = one * (until - day) + (1 - one - two) * lost
    return np.where(unknown, np.nan, until - lost), np.where(unknown, np.nan, np.sqrt(variance))


def first_day(share: ArrayLike, at_least: float = 0.5) -> Floats:
    """The first day on which a rising curve has reached a share: the median, at one half.

    Applied to a curve's limits it gives the limits of that day (Brookmeyer and Crowley 1982).

    Args:
        share: (..., days) the share that has had the event; pass `1 - share` of a Kaplan-Meier curve.
        at_least: the share asked for.

    Returns:
        (...): the day, counted from the curve's first; NaN where it was not reached in the time known.

    Example:
        >>> first_day([[0.2, 0.5, 0.7], [0.1, 0.2, float("nan")]]).tolist()
        [1.0, nan]
    """
    there = np.asarray(share, dtype=float) >= at_least - 1e-9  # shares are products of fractions
    return np.where(there.any(axis=-1), there.argmax(axis=-1), np.nan)


def enough_from(risk: ArrayLike, least: int) -> Floats:
    """The first day with at least so many at risk: where a delayed-entry curve may start.

    Args:
        risk: (..., days) how many were followed on each day.
        least: how many it takes.

    Returns:
        (...): the day; NaN where there never are so many.

    Example:
        >>> float(enough_from([0, 4, 21, 30, 12], 20))
        2.0
    """
    return first_day(np.asarray(risk, dtype=float), float(least))


def _before(change: Floats, axis: int) -> Floats:
    """The sum of the changes of earlier days."""
    days = np.moveaxis(change, axis, 0)
    total: Floats = np.zeros_like(days)
    np.cumsum(days[:-1], axis=0, out=total[1:])
    found: Floats = np.moveaxis(total, 0, axis)
    return found


def _check(findings: dict[str, NDArray[np.bool_]]) -> None:
    found = [f"{int(bad.sum())} {what}" for what, bad in findings.items() if bad.any()]
    if found:
        raise ValueError(f"of the daily counts: {'; '.join(found)}")


def _diagonal(values: Floats) -> Floats:
    return values[..., :, None] * np.eye(values.shape[-1])


def _one_state(
    risk: Floats, events: Floats, start: Floats | None
) -> tuple[NDArray[np.bool_], Floats, Floats, NDArray[np.bool_]]:
    """One state to leave and one for each cause: which days count, then what `_product` returns."""
    total = events.sum(axis=-1)
    _check(
        {
            "negative": (risk < 0) | (events < 0).any(axis=-1),
            "with more events than are followed": total > risk,
        }
    )
    days, causes = events.shape[-2:]
    begun = np.ones(risk.shape, dtype=bool)
    if start is not None:
        begun = np.arange(days) >= start[..., None]  # False throughout for NaN
    followed = np.ones((*risk.shape, 1 + causes))
    followed[..., 0] = np.where(begun, risk, 1)
    moved = np.zeros((*risk.shape, 1 + causes, 1 + causes))
    moved[..., 0, 1:] = np.where(begun[..., None], events, 0)
    begins = np.zeros((*risk.shape[:-1], 1 + causes))
    begins[..., 0] = 1
    spread = np.zeros((*begins.shape, 1 + causes))
    return begun, *_product(begins, spread, followed, moved, np.eye(1 + causes), 0.0)


def _product(
    share: Floats, spread: Floats, risk: Floats, moved: Floats, weights: Floats, most_lost: float
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """The product over days, with its covariance: shares and variances of bands, and days beyond knowledge.

    Each day: shares p and covariance C become p T and T' C T + (diag(w T) - T' diag(w) T), where T holds the
    day's observed proportions and w = p ** 2 / at risk: the multinomial covariance of each row of T.
    """
    days, bands = risk.shape[-2], weights.shape[-1]
    shares = np.empty((*share.shape[:-1], days, bands))
    variances = np.empty_like(shares)
    empty = np.zeros(shares.shape[:-1], dtype=bool)
    ended = np.zeros(share.shape[:-1], dtype=bool)
    for day in range(days):
        n, out = risk[..., day, :], moved[..., day, :, :]
        nobody = n == 0
        ended = ended | (np.where(nobody, share, 0).sum(axis=-1) > most_lost)
        safe = np.where(nobody, 1.0, n)
        # From whole numbers, so that the share is exactly 0 where everyone has left.
        step = out / safe[..., None] + _diagonal((safe - out.sum(axis=-1)) / safe)
        weight = np.where(nobody, 0, share**2 / safe)
        turned = np.swapaxes(step, -1, -2)
        spread = turned @ (spread - _diagonal(weight)) @ step + _diagonal(
            (weight[..., None, :] @ step)[..., 0, :]
        )
        share = (share[..., None, :] @ step)[..., 0, :]
        share, spread = (
            np.where(ended[..., None], np.nan, share),
            np.where(ended[..., None, None], np.nan, spread),
        )
        shares[..., day, :] = share @ weights
        variances[..., day, :] = np.maximum(((spread @ weights) * weights).sum(axis=-2), 0)
        empty[..., day] = ended
    return shares, variances, empty


def _limits(share: Floats, se: Floats, level: float, method: str) -> tuple[Floats, Floats]:
    """Limits of a share that grows from 0; none where it is 0 or 1."""
    if method not in LIMITS:
        raise ValueError(f"unknown limits {method!r}; use one of {', '.join(map(repr, LIMITS))}")
    if not 0 < level < 1:
        raise ValueError("level must lie between 0 and 1, for example 0.95")
    z = NormalDist().inv_cdf((1 + level) / 2)
    inside = (share > _NOTHING) & (share < 1 - _NOTHING)  # False for NaN
    rest = np.where(inside, 1 - share, 0.5)
    if method == "plain":
        low, high = np.maximum(share - z * se, 0), np.minimum(share + z * se, 1)
    else:
        width = z * se / (-rest * np.log(rest))
        low, high = 1 - rest ** np.exp(-width), 1 - rest ** np.exp(width)
    return np.where(inside, low, np.nan), np.where(inside, high, np.nan)
