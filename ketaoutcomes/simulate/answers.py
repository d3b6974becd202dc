"""Totals to item answers that sum to them, and the gaps people leave in a form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ketaoutcomes.simulate.draws import Draws

BLANK = -1
"""Stands for an item left blank, inside this package only."""


def spread(
    totals: NDArray[np.int64], top: int, leaning: NDArray[np.float64], draws: Draws
) -> NDArray[np.int8]:
    """Item answers from 0 to `top` whose sum is the given total, one row per total.

    Every item has `top` places; the total is the number of places filled, those with the smallest keys first.
    `leaning` (rows x items) shifts an item's keys: a person's own profile, the same at every visit.
    """
    rows, items = leaning.shape
    keys = draws.unit(rows, items * top) + np.repeat(leaning, top, axis=1)
    order = np.argsort(keys, axis=1, kind="stable")
    filled = np.zeros((rows, items * top), dtype=np.int8)
    np.put_along_axis(filled, order, (np.arange(items * top) < totals[:, None]).astype(np.int8), axis=1)
    return np.asarray(filled.reshape(rows, items, top).sum(axis=2), dtype=np.int8)


def leave_blank(answers: NDArray[np.int8], how_many: NDArray[np.int64], draws: Draws) -> NDArray[np.int8]:
    """The same answers with `how_many` items of each row blank, chosen at random."""
    order = np.argsort(draws.unit(*answers.shape), axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")
    return np.where(rank < how_many[:, None], np.int8(BLANK), answers)


def same_verdict(
    answers: NDArray[np.int8], totals: NDArray[np.int64], baseline: NDArray[np.int64], rise: int
) -> NDArray[np.bool_]:
    """Whether PHQ-9 forms with gaps, prorated, still say what the whole form says.

    Compared in integers: halved from baseline, below five, and higher by `rise`. A blank that would turn the
    planted answer is not left, so the truth stays the truth.
    """
    given = answers != BLANK
    answered = given.sum(axis=1)
    sums = np.where(given, answers, 0).sum(axis=1, dtype=np.int64)
    halved = 18 * sums <= baseline * answered
    low = 9 * sums < 5 * answered
    worse = 9 * sums >= (baseline + rise) * answered
    same = (halved == (2 * totals <= baseline)) & (low == (totals < 5))
    return np.asarray(same & (worse == (totals - baseline >= rise)))


def with_last(
    answers: NDArray[np.int8],
    totals: NDArray[np.int64],
    last: NDArray[np.int64],
    leaning: NDArray[np.float64],
    draws: Draws,
) -> NDArray[np.int8]:
    """The same PHQ-9 forms, the last item answered as told (`BLANK`: left alone), the total kept.

    Where the other eight cannot hold the rest of the total, the last answer is as much higher as it must be.
    """
    told = np.flatnonzero(last != BLANK)
    ninth = np.clip(last[told], totals[told] - 24, totals[told])
    others = spread(totals[told] - ninth, 3, leaning[told, :8], draws)
    answers = answers.copy()
    answers[told] = np.column_stack([others, ninth]).astype(np.int8)
    return answers
