"""Sessions by the million, for benchmarks: plausible enough to exercise every path, and fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ketaoutcomes.simulate.draws import Draws

if TYPE_CHECKING:
    from numpy.typing import NDArray

BOOSTER_AFTER = 6
CALENDAR_DAYS = 549
_LANE = 1 << 16


def large(sessions: int = 1_000_000, seed: int = 1, *, interleaved: bool = True) -> pd.DataFrame:
    """Many IV sessions as one typed wide frame, about ten per patient.

    Columns: `patient` (int64), `day` (int64, from the first dose), `dose`, `unit`, `route`, and `phq9_1` to
    `phq9_9` as `Int8`, asked before each dose; 15 % of forms wholly blank, 3 % of single items. Patients have
    4 to 16 sessions: six within three weeks, then boosters. Rows come in the order of the calendar, patients
    mixed, as an export has them; `interleaved=False` gives them patient by patient. No truth is planted.

    >>> from ketaoutcomes import simulate
    >>> simulate.large(1_000).shape
    (1000, 14)
    """
    draws = Draws(seed, "large")
    per_patient = draws.between(4, 16, sessions // 4 + 1)
    ends = np.cumsum(per_patient)
    patients = int(np.searchsorted(ends, sessions)) + 1
    starts = (ends - per_patient)[:patients]
    patient = np.repeat(np.arange(patients), per_patient[:patients])[:sessions]
    visit = np.arange(sessions) - starts[patient]
    gap = np.where(visit < BOOSTER_AFTER, 3 + visit % 2, 28) + draws.below(
        np.where(visit < BOOSTER_AFTER, 2, 14), sessions
    )
    gap[visit == 0] = 0
    days = np.cumsum(gap)
    day = days - days[starts[patient]]
    order = np.arange(sessions)
    if interleaved:
        calendar = draws.below(CALENDAR_DAYS, patients)[patient] + day
        order = np.argsort(calendar, kind="stable")
    answers, blank = _answers(draws, patient, visit)
    table = pd.DataFrame(
        {"patient": patient[order], "day": day[order], "dose": 0.5, "unit": "mg/kg", "route": "iv"}
    )
    for item in range(9):
        table[f"phq9_{item + 1}"] = pd.arrays.IntegerArray(answers[item][order], blank[item][order])
    return table


def _answers(
    draws: Draws, patient: NDArray[np.int64], visit: NDArray[np.int64]
) -> tuple[list[NDArray[np.int8]], list[NDArray[np.bool_]]]:
    """Nine items each: answers that ease over the first six visits in some, and which are blank.

    One 64-bit word serves four draws of 16 bits.
    """
    size = len(patient)
    unwell = 45_000 + draws.below(20_000, int(patient[-1]) + 1)[patient]
    eases = draws.below(11_000, int(patient[-1]) + 1)[patient]
    severity = np.maximum(unwell - eases * np.minimum(visit, 6), 2_000)
    whole_form = draws.below(100, size) < 15
    answers, blank = [], []
    for _ in range(9):
        word = draws.words(size)
        lanes = [
            ((word >> np.uint64(16 * lane)) & np.uint64(_LANE - 1)).astype(np.int64) for lane in range(4)
        ]
        answers.append(sum((lane < severity).astype(np.int8) for lane in lanes[:3]).astype(np.int8))
        blank.append(whole_form | (lanes[3] < _LANE * 3 // 100))
    return answers, blank
