"""Groups that are derived from a course: its severity band at baseline, and whom a published rule keeps.

Each is one code per course with its labels, so that a Tally can be grouped by it like any other column.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.definitions import DefinitionError, band_of
from ketaoutcomes.plan import PlanError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ketaoutcomes.definitions import Definitions, Instrument, Series
    from ketaoutcomes.per_patient.courses import Baselines, Courses, DoseDays

Array = Any
BAND = "_baseline_band"
ENTRY = "_entry"
KEPT = "kept"
ENTRY_REASONS = (KEPT, "other_route", "too_few_doses", "too_many_doses", "too_quick")


def band_instrument(column: str, definitions: Definitions) -> Instrument | None:
    """The instrument whose band at baseline a column names (`phq9_baseline_band`), if it names one.

    Raises `PlanError` where that instrument is unknown or has no bands.

    >>> from ketaoutcomes.definitions import load
    >>> band_instrument("phq9_baseline_band", load()).id
    'phq9'
    """
    if not column.endswith(BAND):
        return None
    try:
        instrument = definitions.instrument(column.removesuffix(BAND))
    except DefinitionError as error:
        raise PlanError(lines=[f"by={column!r}: {finding}" for finding in error.findings]) from None
    if not instrument.bands:
        raise PlanError(lines=[f"by={column!r}: {instrument.id} has no published severity bands"])
    return instrument


def entry_series(column: str, definitions: Definitions) -> Series | None:
    """The published series whose entry rule a column names (`mcinnes2022_entry`), if it names one."""
    return definitions.series.get(column.removesuffix(ENTRY)) if column.endswith(ENTRY) else None


def entry_rules(by: Sequence[str], definitions: Definitions) -> str:
    """The entry rules that a grouping names, as canonical JSON; empty where it names none.

    >>> from ketaoutcomes.definitions import load
    >>> entry_rules(["site"], load()), entry_rules(["oliver2022_entry"], load())
    ('', '{"oliver2022":{"doses":[],"routes":["iv"],"span":null,"within":null}}')
    """
    found = [series for column in by if (series := entry_series(column, definitions)) is not None]
    rules = {series.id: series.entry for series in found}
    return json.dumps(rules, sort_keys=True, separators=(",", ":")) if rules else ""


def band_codes(base: Baselines, instrument: Instrument) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Each course's severity band at baseline, mildest first; -1 where it has no baseline."""
    return band_of(instrument, base.ticks).astype(np.int64), tuple(band.name for band in instrument.bands)


def entry_codes(
    courses: Courses, days: DoseDays, routes: Sequence[str], series: Series
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Whether a published series would have kept each course, or why not; -1 where its route is blank.

    Doses are counted as dose days from the course's first day to `doses_within_days` after it.
    """
    reason = np.zeros(len(courses), dtype=np.int64)
    if series.doses:
        counted, last = _early_doses(courses, days, series.doses_within_days or 0)
        if series.span_days is not None:
            reason[last - courses.first < series.span_days] = ENTRY_REASONS.index("too_quick")
        if len(series.doses) > 1:
            reason[counted > series.doses[1]] = ENTRY_REASONS.index("too_many_doses")
        reason[counted < series.doses[0]] = ENTRY_REASONS.index("too_few_doses")
    theirs = np.array([route in series.routes for route in routes] + [False])
    reason[~theirs[courses.route]] = ENTRY_REASONS.index("other_route")
    return np.where(courses.route < 0, -1, reason), ENTRY_REASONS


def _early_doses(courses: Courses, days: DoseDays, within: int) -> tuple[Array, Array]:
    """Dose days of each course up to `within` days after its first, and the last of those days."""
    early = days.day <= np.repeat(courses.first + within, courses.stop - courses.start)
    running = np.zeros(len(early) + 1, dtype=np.int64)
    np.cumsum(early, out=running[1:])
    counted = running[courses.stop] - running[courses.start]
    return counted, days.day[courses.start + counted - 1] if len(courses) else counted
