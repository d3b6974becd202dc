"""Where records end, held against the day they are judged as of."""

from __future__ import annotations

import numpy as np

from ketaoutcomes.notices import notice
from ketaoutcomes.per_patient.patients import Setting, record_dates

LATE_AFTER = 31  # days from the last record to the as-of day that are not remarkable (house)


def warn_of_ends(setting: Setting) -> None:
    """Warn of an as-of day that the records do not reach, or that lies before them all (W01, W02, W05)."""
    cohort = setting.cohort
    if setting.as_of == "complete" and "cut_day" in cohort.people:
        notice("W05", "people.cut_day is not used: the plan says complete = true")
    dates = record_dates(cohort)
    if dates is None:
        return
    first, last, day = (np.datetime64(text, "D") for text in (*dates, setting.as_of))
    if day < first:
        notice("W02", f"as of {day}, and the first dose or score on record is of {first}")
    late = int((day - last).astype(np.int64))
    if late > LATE_AFTER:
        notice("W01", f"as of {day}, and the last dose or score on record is of {last}, {late} days before")
