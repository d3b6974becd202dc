"""How many the rest of a report shows as scored: by week, at the end, and at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.disclosure.safety import judges

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

Array = Any


@dataclass(frozen=True, eq=False)
class Scored:
    """Numbers of one instrument that protected Tallies of everyone show; NaN where hidden or not told.

    `weeks` are pairs of a week's last day and how many were scored there; `at_end` and `met_at_end` are those
    scored, and those who met the criterion, at the end; `ever` those scored at all after the first dose.
    """

    weeks: Sequence[tuple[int, float]]
    at_end: float
    met_at_end: float
    ever: float

    def by(self, day: float = np.inf) -> Array:
        """Numbers scored in weeks that are over by a day."""
        return np.array([n for last, n in self.weeks if last <= day and not np.isnan(n)])


def scored_elsewhere(others: Sequence[Tally], instrument: str, criterion: str) -> Scored:
    """What protected Tallies show of who was scored, and who met a criterion at the end."""
    from ketaoutcomes.results.course_results import measured, rates

    weeks: list[tuple[int, float]] = []
    end, ever = (np.nan, np.nan), np.nan
    for tally in (tally for tally in others if not tally.header.by):
        steps = measured(tally)
        steps = steps[(steps["instrument"] == instrument) & (steps["step"] == "any_score")]
        ever = float(steps["n"].iloc[0]) if len(steps) else ever
        for axis in {"week", "end"} & set(tally.header.axes if judges(tally) else ()):
            table = rates(tally, at=axis, analysis="nri")
            table = table[table["criterion"] == criterion]
            if axis == "week":
                last = 7 * table["point"].astype("int64") + 3
                weeks += list(zip(last.tolist(), table["assessed"].astype("float64").tolist(), strict=True))
            elif len(table):
                end = (float(table["assessed"].iloc[0]), float(table["met"].iloc[0]))
    return Scored(sorted(weeks), *end, ever)
