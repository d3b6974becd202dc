"""Courses by the calendar: the quarter in which each began, and the month in which it came due."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.per_patient.courses import NEVER
from ketaoutcomes.plan import PlanError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ketaoutcomes.per_patient.patients import Patients

Array = Any
START_QUARTER, DUE_MONTH = "start_quarter", "due_month"


def calendar_month(p: Patients, patient: Array, day: Array) -> NDArray[np.int64]:
    """Months since year 0 of a day of each patient's calendar."""
    start = p.setting.start_days[p.low : p.high]
    days = (start[patient] + np.asarray(day, dtype=np.int64)).astype("datetime64[D]")
    result: NDArray[np.int64] = days.astype("datetime64[M]").astype(np.int64) + 1970 * 12
    return result


def month_label(month: int) -> str:
    """A month counted from year 0 as text.

    >>> month_label(2026 * 12 + 9)
    '2026-10'
    """
    return f"{month // 12}-{month % 12 + 1:02d}"


def _start_quarters(p: Patients) -> tuple[Array, tuple[str, ...]]:
    quarter = calendar_month(p, p.courses.patient, p.courses.first) // 3
    return _coded(quarter, lambda q: f"{q // 4}-Q{q % 4 + 1}")


def _due_months(p: Patients) -> tuple[Array, tuple[str, ...]]:
    """The month in which each course came or comes due; blank where its protocol is judged by week only."""
    c = p.courses
    maturity = c.maturity.astype(np.int64)
    own = np.flatnonzero(maturity < NEVER)
    found, names = _coded(calendar_month(p, c.patient[own], c.first[own] + maturity[own]), month_label)
    codes = np.full(len(c), -1, dtype=np.int64)
    codes[own] = found
    return codes, names


def _coded(number: Array, name: Callable[[int], str]) -> tuple[Array, tuple[str, ...]]:
    low, high = (int(number.min()), int(number.max())) if len(number) else (0, -1)
    return number - low, tuple(name(n) for n in range(low, high + 1))


CALENDAR = MappingProxyType({START_QUARTER: _start_quarters, DUE_MONTH: _due_months})
"""Groupings of courses by the calendar, by name."""


def calendar_codes(p: Patients, column: str) -> tuple[Array, tuple[str, ...]]:
    """Each course's period as a code (-1: none), and the periods' names. Raises `PlanError` without dates."""
    if p.setting.cohort.dates == "offsets":
        raise PlanError(
            lines=[f"by={column!r} needs calendar dates, and these records hold day offsets only"]
        )
    return CALENDAR[column](p)
