"""Where records end, held against the day they are judged as of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ketaoutcomes.notices import notice
from ketaoutcomes.per_patient.patients import Setting, record_dates

if TYPE_CHECKING:
    from ketaoutcomes.records.cohort import Cohort

LATE_AFTER = 31  # days from the last record to the as-of day that are not remarkable (house)


def warn_of_ends(setting: Setting) -> None:
    """Warn of an as-of day that the records do not reach, or that lies before them all (W01, W02, W05)."""
    for code, text in noticed(setting.cohort, setting.as_of):
        notice(code, text)


def noticed(cohort: Cohort, as_of: str) -> list[tuple[str, str]]:
    """What is remarkable of an as-of day beside the records' own days: codes of warnings, and their texts.

    >>> noticed(cohort, "2026-10-31"), [code for code, _ in noticed(cohort, "2027-03-31")]
    ([], ['W01'])
    """
    found = []
    if as_of == "complete" and "cut_day" in cohort.people:
        found.append(("W05", "people.cut_day is not used: the plan says complete = true"))
    dates = record_dates(cohort)
    if dates is None:
        return found
    first, last, day = (np.datetime64(text, "D") for text in (*dates, as_of))
    if day < first:
        found.append(("W02", f"as of {day}, and the first dose or score on record is of {first}"))
    late = int((day - last).astype(np.int64))
    if late > LATE_AFTER:
        said = f"as of {day}, and the last dose or score on record is of {last}, {late} days before"
        found.append(("W01", said))
    return found
