"""What is recorded while a patient is watched after a dose, drawn session by session from planted chances.

Its own stream of draws, so that nothing else of the sample depends on it. Dissociation fades from session to
session, more often in higher doses; blood pressure peaks at 40 minutes; some records are incomplete.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ketaoutcomes.records.monitoring import READINGS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ketaoutcomes.simulate.draws import Draws
    from ketaoutcomes.simulate.planting import Habits

BLANK = -1


def watched(doses: pd.DataFrame, habits: Habits, draws: Draws) -> pd.DataFrame:
    """Readings of every dose given in a clinic: person, day and READINGS, -1 where not recorded.

    `doses` has person, course, day and route. Doses taken at home are not watched.
    """
    sessions = doses.sort_values(["course", "day"], ignore_index=True)
    number = np.asarray(sessions.groupby("course").cumcount(), dtype=np.int64) + 1
    here = (sessions["route"] != "sublingual").to_numpy()
    sessions, number = sessions[here].reset_index(drop=True), number[here]
    size = len(sessions)
    dissociates = draws.yes(dissociation(number, habits), size)
    sedated, sick = draws.yes(habits.sedated, size), draws.yes(habits.sick, size)
    before = np.stack([110 + draws.below(40, size), 65 + draws.below(25, size)])
    rise = np.stack([draws.below(24, size), draws.below(14, size)])
    surge = np.stack([draws.between(30, 50, size), draws.between(15, 30, size)])
    surge = surge * draws.yes(habits.surges, size)
    later = before + draws.below(9, size) - 2
    values = {
        "bp_systolic_before": before[0], "bp_diastolic_before": before[1],
        "bp_systolic_40min": before[0] + rise[0] + surge[0],
        "bp_diastolic_40min": before[1] + rise[1] + surge[1],
        "bp_systolic_discharge": later[0], "bp_diastolic_discharge": later[1],
        "sedation": sedated, "dissociation": dissociates,
        "cadss": np.where(dissociates, draws.between(5, 40, size) * 4 // (3 + np.minimum(number, 8)),
                          draws.below(5, size)),
        "nausea": sick, "serious_event": draws.yes(habits.serious, size),
        "minutes_observed": 120 + 5 * draws.below(7, size) * (1 + sedated),
    }  # fmt: skip
    return pd.DataFrame({"person": sessions["person"], "day": sessions["day"]}).assign(
        **_with_gaps(values, habits, draws)
    )


def dissociation(number: NDArray[np.int64], habits: Habits) -> NDArray[np.float64]:
    """The chance of dissociation at the n-th session: it fades towards a floor, by the same share each time.

    >>> from ketaoutcomes.simulate import HABITS
    >>> dissociation(np.array([1, 2, 3]), HABITS).round(3).tolist()
    [0.7, 0.6, 0.52]
    """
    first, floor = habits.dissociates
    fading = np.cumprod(np.full(400, habits.dissociation_stays))
    lasting = np.append(1.0, fading)[np.minimum(number, 400) - 1]
    chance: NDArray[np.float64] = floor + (first - floor) * lasting
    return chance


def _with_gaps(
    values: dict[str, NDArray[np.int64]], habits: Habits, draws: Draws
) -> dict[str, NDArray[np.int64]]:
    """Records as they are kept: some wholly missing, some without CADSS or the reading at discharge."""
    size = len(values["cadss"])
    kept = draws.yes(habits.watched, size)
    asked = kept & draws.yes(habits.cadss_asked, size)
    ended = kept & ~draws.yes(habits.no_last_reading, size)
    known = dict.fromkeys(READINGS, kept) | {
        "cadss": asked, "bp_systolic_discharge": ended, "bp_diastolic_discharge": ended,
    }  # fmt: skip
    return {name: np.where(known[name], values[name].astype(np.int64), BLANK) for name in READINGS}
