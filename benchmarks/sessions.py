"""A large synthetic session file for the benchmarks: one row per visit, in date order, patients interleaved.

About nine rows per patient: up to six IV sessions in three weeks with drop-out, follow-up visits without a
dose (dose 0), boosters, one patient in eight with a second course. A fifth of questionnaires wholly missing,
three per cent of single items missing. Seeded; no truth is planted here.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ITEMS = [f"phq9_{i}" for i in range(1, 10)]
START = np.datetime64("2024-01-01", "D")
STUDY_DAYS = 500
AS_OF = "2025-10-31"
PLANNED = np.array([0, 3, 7, 10, 14, 17])
BOOSTERS = 4

Whole = NDArray[np.int64]
Yes = NDArray[np.bool_]


def sessions(rows: int, seed: int = 1) -> pd.DataFrame:
    """A frame of about `rows` visits: patient, date, dose, unit, route, phq9_1 ... phq9_9 (int8, nullable).

    >>> sessions(1000).columns.tolist()[:5]
    ['patient', 'date', 'dose', 'unit', 'route']
    """
    rng = np.random.default_rng(seed)
    patients = max(int(rows / 9.2), 1)
    again = np.flatnonzero(rng.random(patients) < 1 / 8)
    start = rng.integers(0, STUDY_DAYS, patients)
    person = np.concatenate([np.arange(patients), again])
    first = np.concatenate([start, start[again] + rng.integers(150, 300, again.size)])
    day, dosed, there = _visits(rng, first)
    owner = np.broadcast_to(person[:, None], day.shape)[there]
    day, dosed = day[there], dosed[there]
    key = np.unique(owner * 10_000 + day, return_index=True)[1]
    owner, day, dosed = owner[key], day[key], dosed[key]
    order = np.argsort(day, kind="stable")
    owner, day, dosed = owner[order], day[order], dosed[order]
    frame = pd.DataFrame(
        {
            "patient": [f"P{code:07d}" for code in owner],
            "date": START + day,
            "dose": np.where(dosed, 40.0, 0.0),
            "unit": "mg",
            "route": "iv",
        }
    )
    for name, answers in zip(ITEMS, _answers(rng, day - start[owner]), strict=True):
        frame[name] = answers
    return frame


def _visits(rng: np.random.Generator, first: Whole) -> tuple[Whole, Yes, Yes]:
    """Days of sessions, follow-ups and boosters, whether each is a dose, and whether it took place."""
    courses = first.size
    planned = first[:, None] + PLANNED + np.cumsum(rng.integers(0, 2, (courses, 6)), axis=1) - 1
    planned[:, 0] = first
    stays = np.cumsum(rng.random((courses, 6)) < 0.05, axis=1) == 0
    stays[:, 0] = True
    after = planned[:, 5:6] + rng.integers(2, 8, (courses, 1))
    later = after + np.array([10, 24]) + rng.integers(0, 5, (courses, 2))
    boosters = planned[:, 5:6] + np.cumsum(rng.integers(28, 43, (courses, BOOSTERS)), axis=1)
    keeps = np.cumsum(rng.random((courses, BOOSTERS)) < 0.45, axis=1) == 0
    day = np.concatenate([first[:, None] - 5, planned, after, later, boosters], axis=1)
    dosed = np.zeros(day.shape, dtype=bool)
    dosed[:, 1:7] = True
    dosed[:, 10:] = True
    there = np.concatenate(
        [
            rng.random((courses, 1)) < 0.5,
            stays,
            rng.random((courses, 3)) < 0.6,
            keeps & stays[:, 5:6],
        ],
        axis=1,
    )
    return day, dosed, there


def _answers(rng: np.random.Generator, since: Whole) -> list[pd.arrays.IntegerArray]:
    """Nine items, lower the longer treatment lasts, with whole questionnaires and single items missing."""
    level = np.clip(2.2 - 0.05 * np.clip(since, 0, 25) + rng.normal(0, 0.4, since.size), 0, 3)
    unasked = rng.random(since.size) < 0.2
    items = []
    for _ in ITEMS:
        item = np.clip(np.rint(level + rng.normal(0, 0.6, since.size)), 0, 3).astype(np.int8)
        items.append(pd.arrays.IntegerArray(item, unasked | (rng.random(since.size) < 0.03)))
    return items
