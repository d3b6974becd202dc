"""From the answers of a form to its score, in exact ticks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ketaoutcomes.definitions.model import MISSING, Diagnosis, Instrument

_ROWS = 32_768
"""Rows scored at a time: few enough that a chunk of answers and its sums stay in the processor's cache."""


@dataclass(frozen=True)
class Scored:
    """What a block of forms comes to, one element per form.

    ticks: the total in ticks (int32; MISSING where there is none). answered: items answered (int8).
    prorated: whether missing items were replaced. diagnosis: 1 met, 0 not met, -1 unknown or no rule (int8).
    flag: the answer to the safety item as given, never prorated; -1 where blank or not asked (int8).
    """

    ticks: NDArray[np.int32]
    answered: NDArray[np.int8]
    prorated: NDArray[np.bool_]
    diagnosis: NDArray[np.int8]
    flag: NDArray[np.int8]


def score_items(instrument: Instrument, answers: NDArray[np.int8], *, prorate: bool = True) -> Scored:
    """Score a block of forms: one row per form, one column per item, -1 where an item is blank.

    A total with blank items exists only where the instrument's missing-item rule allows it (and `prorate`);
    it is then exact, not rounded: on a PHQ-9 with one blank item, a sum of 4 is 4.5 points, still below 5.
    Raises ValueError for a wrong shape, or an answer that the items cannot have.

    >>> import numpy as np
    >>> from ketaoutcomes.definitions import load
    >>> phq9 = load().instrument("phq9")
    >>> scored = score_items(phq9, np.array([[1] * 9, [-1] + [1, 0] * 4, [-1] * 9], np.int8))
    >>> [None if t == MISSING else t / phq9.ticks for t in scored.ticks.tolist()]
    [9.0, 4.5, None]
    """
    _check_shape(instrument, answers)
    n = len(answers)
    out = Scored(
        ticks=np.empty(n, np.int32),
        answered=np.empty(n, np.int8),
        prorated=np.empty(n, np.bool_),
        diagnosis=np.full(n, -1, np.int8),
        flag=np.full(n, -1, np.int8),
    )
    totals = _totals(instrument, prorate=prorate)
    impossible: list[int] = []
    for start in range(0, n, _ROWS):
        rows = slice(start, min(start + _ROWS, n))
        # One item per row: every step below then runs along contiguous memory, whatever order came in.
        items = np.ascontiguousarray(answers[rows].T)
        bad = _impossible(instrument, items)
        if bad is not None:
            impossible.extend((start + np.flatnonzero(bad)).tolist())
            continue
        _score_chunk(instrument, items, totals, prorate, out, rows)
    if impossible:
        raise ValueError(
            f"{instrument.id}: {len(impossible)} form(s) hold an answer outside {instrument.item_low} to "
            f"{instrument.item_high} (-1: blank); the first is at position {impossible[0]}"
        )
    return out


def band_of(instrument: Instrument, ticks: NDArray[np.int32]) -> NDArray[np.int8]:
    """Which severity band each total falls in: 0 for the lowest range, -1 where there is no total.

    A total between two bands (a prorated 4.5) belongs to the lower range: it has not reached the next.
    Raises ValueError where the instrument has no bands (PCL-5: none has been derived empirically).

    >>> import numpy as np
    >>> from ketaoutcomes.definitions import load
    >>> phq9 = load().instrument("phq9")
    >>> band_of(phq9, np.array([0, 4.5 * 56, 5 * 56, 27 * 56, MISSING]).astype(np.int32)).tolist()
    [0, 0, 1, 4, -1]
    """
    if not instrument.bands:
        raise ValueError(f"{instrument.id} has no severity bands")
    starts = np.array([band.low * instrument.ticks for band in instrument.bands], np.int64)
    index = np.searchsorted(starts, ticks, side="right") - 1
    return np.where(ticks == MISSING, -1, index).astype(np.int8)


def _check_shape(instrument: Instrument, answers: NDArray[np.int8]) -> None:
    if instrument.items == 0:
        raise ValueError(f"{instrument.id} is recorded as totals only: it has no items to score")
    if answers.ndim != 2 or answers.shape[1] != instrument.items:
        raise ValueError(
            f"{instrument.id} needs {instrument.items} columns, one per item; got shape {answers.shape}"
        )
    if answers.dtype != np.int8:
        raise ValueError(f"{instrument.id} needs answers as int8, -1 where blank; got {answers.dtype}")


def _impossible(instrument: Instrument, items: NDArray[np.int8]) -> NDArray[np.bool_] | None:
    """Which forms hold an answer no item can have, or None where all is well."""
    if items.max() <= instrument.item_high and items.min() >= -1 and instrument.item_low == 0:
        return None
    bad = (items > instrument.item_high) | ((items < instrument.item_low) & (items != -1))
    found: NDArray[np.bool_] = bad.any(axis=0)
    return found if found.any() else None


def _score_chunk(
    instrument: Instrument,
    items: NDArray[np.int8],
    totals: NDArray[np.int32],
    prorate: bool,
    out: Scored,
    rows: slice,
) -> None:
    total, answered = _sums(instrument, items)
    out.answered[rows] = answered
    out.ticks[rows] = totals.take(answered.astype(np.int32) * np.int32(totals.shape[1]) + total)
    out.prorated[rows] = _prorated(instrument, answered, prorate)
    if instrument.diagnosis is not None:
        out.diagnosis[rows] = _diagnose(instrument, instrument.diagnosis, items, answered)
    if instrument.flag_item is not None:
        out.flag[rows] = items[instrument.flag_item - 1]


def _sums(instrument: Instrument, items: NDArray[np.int8]) -> tuple[NDArray[np.int16], NDArray[np.int8]]:
    """The sum of the answers given (of each group the highest), and how many were given."""
    n = items.shape[1]
    # One byte per sum where the highest total fits: int8 would wrap at 128.
    narrow = instrument.items * instrument.item_high < 128
    total: NDArray[Any] = np.zeros(n, np.int8 if narrow else np.int16)
    answered = np.full(n, instrument.items, np.int8)
    grouped = {item for group in instrument.groups for item in group}
    some_blank = bool((items < 0).any())
    for number, item in enumerate(items, start=1):
        if some_blank:
            answered -= item < 0
        if number not in grouped:
            total += np.maximum(item, 0) if some_blank else item
    for group in instrument.groups:
        total += np.maximum(items[[number - 1 for number in group]].max(axis=0), 0)
    return total.astype(np.int16), answered


def _totals(instrument: Instrument, *, prorate: bool) -> NDArray[np.int32]:
    """Every total there can be, in ticks: one row per number of answers given, one column per their sum.

    With blanks the mean of the answers given stands in for them, where the instrument's rule allows so many;
    else there is no total.
    """
    given = np.arange(instrument.items + 1)[:, None]
    total = np.arange(instrument.items * instrument.item_high + 1)
    mean = instrument.combine == "mean"
    whole = total * (instrument.ticks // instrument.items if mean else instrument.ticks)
    weight = instrument.ticks if mean else instrument.ticks * instrument.items
    # Exact: the loader chose ticks so that every permitted number of answers divides this product.
    filled = np.where(_prorated(instrument, given, prorate), total * weight // np.maximum(given, 1), MISSING)
    return np.where(given == instrument.items, whole, filled).astype(np.int32)


def _prorated(instrument: Instrument, answered: NDArray[Any], prorate: bool) -> NDArray[np.bool_]:
    """Whether so many answers leave blanks that may be replaced."""
    some: NDArray[np.bool_] = answered < instrument.items
    return some & (answered >= instrument.items - instrument.max_missing) & np.bool_(prorate)


def _diagnose(
    instrument: Instrument, rule: Diagnosis, items: NDArray[np.int8], answered: NDArray[np.int8]
) -> NDArray[np.int8]:
    """Whether enough items of every cluster are endorsed; unknown where any item of the form is blank."""
    met = np.ones(items.shape[1], np.bool_)
    for cluster in instrument.clusters:
        if cluster.name in rule.clusters:
            endorsed = np.zeros(items.shape[1], np.int8)
            for number in cluster.items:
                endorsed += items[number - 1] >= rule.item_at_least
            met &= endorsed >= rule.clusters[cluster.name]
    return np.where(answered == instrument.items, met, -1).astype(np.int8)
