"""A block of patients: the per-patient half of the line, computed once and shared by every count.

Whatever depends on the whole cohort (the last day on record, protocols in use, grouping labels) is settled
in `Setting` before any split; a block then needs nothing from another.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from ketaoutcomes.definitions import MISSING
from ketaoutcomes.per_patient.courses import (
    NEVER,
    Baselines,
    Courses,
    Recorded,
    Yardstick,
    baselines,
    dose_days,
    find_courses,
    recorded,
    yardstick,
)
from ketaoutcomes.per_patient.derived import band_codes, band_instrument, entry_codes, entry_series
from ketaoutcomes.per_patient.outcomes import Judged, judged
from ketaoutcomes.per_patient.windows import Block
from ketaoutcomes.plan import Plan, PlanError
from ketaoutcomes.records.assembly import Doses, Scores
from ketaoutcomes.records.coding import text_codes
from ketaoutcomes.records.frames import LONE_DATE
from ketaoutcomes.records.monitoring import Monitoring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from ketaoutcomes.records.cohort import Cohort

Array = Any
Records = TypeVar("Records", Doses, Scores, Monitoring)
BLOCK = 20_000  # patients counted at a time: few enough that their windows stay in the processor's cache
COURSE_COLUMNS = ("protocol", "route", "unit", "site", "start_quarter")
BLANK_LABEL = "(missing)"
NO_COURSE = "(no course)"
DOSE_UNIT = "dose_unit"  # a course's unit as a grouping: `unit` is what a row of the flow counts
UNOBSERVED = -(2**40)  # records are taken to reach back for ever unless the plan or the person says otherwise


@dataclass(frozen=True, eq=False)
class Setting:
    """What is settled for the whole cohort before it is split: records' end, protocols, entry rules.

    `as_of` is an ISO date, "complete", "cut_day" or "none" (undated data whose end is not known: nothing
    can be called due, so only `observed` rates exist).
    """

    cohort: Cohort
    plan: Plan
    as_of: str
    cut: NDArray[np.int64]
    observed_from: NDArray[np.int64]
    rule: Yardstick
    admitted: tuple[NDArray[np.bool_], ...]

    @cached_property
    def start_days(self) -> NDArray[np.int64]:
        """Each patient's day 0, in days since 1970."""
        return _start_days(self.cohort)

    @cached_property
    def _people(self) -> dict[str, tuple[NDArray[np.int32], tuple[str, ...]]]:
        return {}

    def people_codes(self, column: str) -> tuple[NDArray[np.int32], tuple[str, ...]]:
        """A column of people as codes into its labels, -1 where blank."""
        if column not in self._people:
            self._people[column] = text_codes(self.cohort.people[column])
        return self._people[column]

    def blocks(self) -> Iterator[Patients]:
        """The cohort in blocks of whole patients."""
        n = len(self.cohort.patients)
        for low in range(0, max(n, 1), BLOCK):
            yield Patients(self, low, min(low + BLOCK, n))


def settle(cohort: Cohort, plan: Plan, as_of: str | None) -> Setting:
    """Resolve everything that depends on the whole cohort. Raises `PlanError` with the line to write."""
    people = cohort.people
    if plan.scores != cohort.plan.scores:
        raise PlanError(
            lines=[
                "[scores] differs from the plan the cohort was read with; read the input again with this plan"
            ]
        )
    text, cut = _records_end(cohort, plan, as_of)
    codes, names = np.full(len(people), -1), [""]
    if "protocol" in people:
        codes, uniques = pd.factorize(people["protocol"])
        names = [name if isinstance(name, str) else "" for name in uniques]
    rule = yardstick(cohort.dose_records, codes, names, plan)
    return Setting(cohort, plan, text, cut, _observed_from(cohort, plan), rule, _admitted(cohort, plan))


def _start_days(cohort: Cohort) -> NDArray[np.int64]:
    """Each patient's day 0 since 1970; any day for those of whom nothing is on record."""
    start = cohort.people["start_date"].to_numpy(dtype="datetime64[D]")
    return np.where(np.isnat(start), 0, start.astype(np.int64))


def _records_end(cohort: Cohort, plan: Plan, as_of: str | None) -> tuple[str, NDArray[np.int64]]:
    people = cohort.people
    far = np.full(len(people), NEVER - 1, dtype=np.int64)
    stated = (
        people["cut_day"].to_numpy(dtype=np.float64) if "cut_day" in people else np.full(len(people), np.nan)
    )
    if cohort.dates != "offsets":
        day = _last_date(cohort) if as_of is None else parse_as_of(as_of)
        cut = int(np.datetime64(day, "D").astype(np.int64)) - _start_days(cohort)
        return day, np.minimum(cut, np.where(np.isnan(stated), far, np.nan_to_num(stated)).astype(np.int64))
    if as_of is not None:
        raise PlanError(
            lines=[
                "as_of is a calendar date, and these records hold day offsets; give people.cut_day instead"
            ]
        )
    if plan.population.complete:
        return "complete", far
    return _stated_end(cohort, stated, far)


def _stated_end(cohort: Cohort, stated: Array, far: Array) -> tuple[str, NDArray[np.int64]]:
    """Undated records' end by `people.cut_day`: for everyone with a dose or a score, or for no one.

    Raises `PlanError` where only some have one: nobody could say when the others' records end, and leaving
    those out, or taking theirs to be complete, would each be a choice made in silence.
    """
    known = ~np.isnan(stated)
    if not known.any():
        return "none", far
    records = [cohort.dose_records.patient, *(scores.patient for scores in cohort.score_records.values())]
    recorded = np.unique(np.concatenate(records))
    without = int((~known[recorded]).sum())
    if without:
        raise PlanError(
            lines=[
                f"people.cut_day is given for some and blank for {without} of {len(recorded)} with records; "
                "give it for each (the last day on which their records are known to be complete), leave the "
                "column out (only observed rates), or, where nothing more will come, write under "
                "[population]: complete = true"
            ]
        )
    return "cut_day", np.where(known, np.nan_to_num(stated), far).astype(np.int64)


def parse_as_of(text: str) -> str:
    """An as-of day as ISO date; a month stands for its last day.

    >>> parse_as_of("2026-02")
    '2026-02-28'
    """
    import re

    try:
        if re.fullmatch(r"\d{4}-\d{2}", text):
            return str(np.datetime64(text, "M").astype("datetime64[M]") + 1 - np.timedelta64(1, "D"))[:10]
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            return str(np.datetime64(text, "D"))
    except ValueError:
        pass
    raise PlanError(lines=["as_of must be a date such as 2026-10-31 or a month such as 2026-10"])


def record_dates(cohort: Cohort) -> tuple[str, str] | None:
    """The first and the last calendar day on which a dose or a score is on record; None where undated."""
    if cohort.dates == "offsets":
        return None
    start = _start_days(cohort)
    found = [start[d.patient] + d.day for d in (cohort.dose_records,) if len(d.patient)]
    found += [start[s.patient] + (s.time >> 1) for s in cohort.score_records.values() if len(s.patient)]
    if not found:
        return None
    ends = int(min(days.min() for days in found)), int(max(days.max() for days in found))
    return str(np.datetime64(ends[0], "D")), str(np.datetime64(ends[1], "D"))


def _last_date(cohort: Cohort) -> str:
    """The last calendar day on record, which is the as-of day where none is given.

    Raises `PlanError` where there is none, or where it stands alone: a mistyped year would make everyone due.
    """
    dates = record_dates(cohort)
    if dates is None:
        raise PlanError(lines=["no dated record: give as_of"])
    alone = int((cohort.problems["rule"] == LONE_DATE).sum())
    if alone:
        raise PlanError(
            lines=[
                f"the last dates on record ({alone} rows, rule {LONE_DATE} of the problems) lie more than a "
                "year after all others, and one of them would be the as-of day; correct them, or give the "
                "as-of day (as_of=, --as-of or --month)"
            ]
        )
    return dates[1]


def _observed_from(cohort: Cohort, plan: Plan) -> NDArray[np.int64]:
    people, stated = cohort.people, plan.population.observed_from
    result = np.full(len(people), UNOBSERVED, dtype=np.int64)
    if isinstance(stated, str) and stated:
        if cohort.dates == "offsets":
            raise PlanError(
                lines=["[population] observed_from is a date, and these records hold day offsets only"]
            )
        result = int(np.datetime64(stated, "D").astype(np.int64)) - _start_days(cohort)
    elif isinstance(stated, int):
        result[:] = stated
    if "observed_from" in people:
        own = people["observed_from"].to_numpy(dtype=np.float64)
        result = np.where(np.isnan(own), result, np.nan_to_num(own)).astype(np.int64)
    return result


def _admitted(cohort: Cohort, plan: Plan) -> tuple[NDArray[np.bool_], ...]:
    missing = [rule.column for rule in plan.population.entry if rule.column not in cohort.people]
    if missing:
        raise PlanError(
            lines=[
                f"[population] entry names column {column!r}, which people does not have"
                for column in missing
            ]
        )
    return tuple(
        cohort.people[rule.column].astype(object).isin(rule.values).to_numpy()
        for rule in plan.population.entry
    )


class Patients:
    """One block of patients, numbered from 0; everything is computed when first asked for."""

    def __init__(self, setting: Setting, low: int, high: int) -> None:
        self.setting, self.low, self.high = setting, low, high
        self.plan = setting.plan

    def __len__(self) -> int:
        return self.high - self.low

    @cached_property
    def names(self) -> NDArray[np.object_]:
        """The patients' codes."""
        return self.setting.cohort.patients[self.low : self.high]

    @cached_property
    def doses(self) -> Doses:
        """The block's doses."""
        return self._own(self.setting.cohort.dose_records)

    @cached_property
    def monitoring(self) -> Monitoring:
        """The block's monitoring records."""
        return self._own(self.setting.cohort.monitoring_records)

    def _own(self, whole: Records) -> Records:
        """The block's part of sorted records, its patients numbered from 0."""
        if len(self) == len(self.setting.cohort.patients):
            return whole
        a, b = np.searchsorted(whole.patient, np.array([self.low, self.high], dtype=whole.patient.dtype))
        columns: dict[str, Any] = {field.name: getattr(whole, field.name) for field in fields(whole)}
        own: dict[str, Any] = {
            k: column[a:b] for k, column in columns.items() if isinstance(column, np.ndarray)
        }
        own["patient"] = own["patient"] - np.int32(self.low)
        return replace(whole, **own)

    def scores(self, instrument: str) -> Scores:
        """The block's scores of one instrument."""
        whole = self.setting.cohort.score_records.get(instrument)
        if whole is None:
            none = np.array([], dtype=np.int32)
            return Scores(
                none,
                none,
                none,
                none.astype(np.int8),
                none.astype(bool),
                none.astype(np.int8),
                none.astype(np.int8),
            )
        return self._own(whole)

    @cached_property
    def block(self) -> Block:
        """Dose days and courses, with the last day on record."""
        cut = self.setting.cut[self.low : self.high]
        days = dose_days(self.doses, cut)
        rule = self.setting.rule
        rule = replace(rule, by_patient=rule.by_patient[self.low : self.high])
        courses = find_courses(days, self.doses, rule, self.setting.observed_from[self.low : self.high])
        return Block(days, courses, rule, cut, self.plan)

    @property
    def courses(self) -> Courses:
        """The block's courses."""
        return self.block.courses

    @cached_property
    def _totals(self) -> dict[str, Recorded]:
        return {}

    def totals(self, instrument: str) -> Recorded:
        """The block's scores of one instrument that have a total."""
        if instrument not in self._totals:
            scores = self.scores(instrument)
            self._totals[instrument] = recorded(scores, scores.ticks != MISSING)
        return self._totals[instrument]

    @cached_property
    def _baselines(self) -> dict[str, Baselines]:
        return {}

    def baselines(self, instrument: str) -> Baselines:
        """Each course's baseline on one instrument."""
        if instrument not in self._baselines:
            definition = self.plan.definitions.instrument(instrument)
            admitted = [yes[self.low : self.high] for yes in self.setting.admitted]
            self._baselines[instrument] = baselines(
                self.courses,
                self.scores(instrument),
                self.totals(instrument),
                self.plan,
                definition,
                admitted,
            )
        return self._baselines[instrument]

    def headline(self, instrument: str) -> NDArray[np.int64]:
        """The courses headline numbers are made of: one eligible course of each person."""
        return np.flatnonzero(self.baselines(instrument).index == self.plan.population.ordinal)

    @cached_property
    def _judged(self) -> dict[tuple[str, str], Judged]:
        return {}

    def judged(self, instrument: str, variable: str) -> Judged:
        """The scores a criterion on this variable can judge, with each patient's headline baseline."""
        key = (instrument, variable)
        if key not in self._judged:
            self._judged[key] = judged(
                self.scores(instrument), self.totals(instrument), self.courses, self.baselines(instrument),
                variable=variable, ordinal=self.plan.population.ordinal, patients=len(self),
            )  # fmt: skip
        return self._judged[key]


@dataclass(frozen=True, eq=False)
class Grouping:
    """One code per course and per patient for a list of columns, with the labels to turn codes back."""

    by: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    of_course: NDArray[np.int64]
    of_patient: NDArray[np.int64]

    @property
    def size(self) -> int:
        """How many groups the labels can make."""
        return int(np.prod([len(labels) for labels in self.labels], dtype=np.int64))

    def columns(self, codes: Array) -> dict[str, Any]:
        """Group codes back to one column of labels per grouping column."""
        result = {}
        for column, labels in zip(reversed(self.by), reversed(self.labels), strict=True):
            result[column] = np.array(labels, dtype=object)[codes % len(labels)]
            codes = codes // len(labels)
        return dict(reversed(result.items()))


def groupable(by: Iterable[str], taken: Callable[[str], bool]) -> tuple[str, ...]:
    """Grouping columns, refused where a result has a column of that name; `unit` becomes `dose_unit`.

    >>> groupable(["site", "unit", "site"], {"n"}.__contains__)
    ('site', 'dose_unit')
    """
    names = tuple(dict.fromkeys(DOSE_UNIT if column == "unit" else column for column in by))
    clashes = [column for column in names if taken(column)]
    if clashes:
        rename = "names a column of the results; rename it in [columns]"
        raise PlanError(lines=[f"by={column!r} {rename}" for column in clashes])
    return names


def grouping(p: Patients, by: Sequence[str]) -> Grouping:
    """Group courses and patients by people columns or the course's route, unit, protocol, site, quarter.

    A column derived from the course is named `<instrument>_baseline_band` or `<series>_entry`, unless people
    have a column of that name.
    """
    labels: list[tuple[str, ...]] = []
    of_course = np.zeros(len(p.courses), dtype=np.int64)
    of_patient = np.zeros(len(p), dtype=np.int64)
    first_course = np.full(len(p), -1, dtype=np.int64)
    first_course[p.courses.patient[p.courses.number == 1]] = np.flatnonzero(p.courses.number == 1)
    for column in by:
        course, patient, names = _codes_of(p, column, first_course)
        labels.append((*names, BLANK_LABEL, NO_COURSE))
        course = np.where(course < 0, len(names), course)
        of_course = of_course * len(labels[-1]) + course
        of_patient = of_patient * len(labels[-1]) + np.where(
            patient == -2, len(names) + 1, np.where(patient < 0, len(names), patient)
        )
    return Grouping(tuple(by), tuple(labels), of_course, of_patient)


def _codes_of(p: Patients, column: str, first_course: Array) -> tuple[Array, Array, tuple[str, ...]]:
    """One column's code per course and per patient (-1 blank, -2 no course), and its labels."""
    c, doses = p.courses, p.doses
    if column == "protocol":
        codes, names = c.protocol.astype(np.int64), tuple(protocol.id for protocol in p.block.rule.protocols)
    elif column == "route":
        codes, names = c.route.astype(np.int64), doses.routes
    elif column == DOSE_UNIT:
        codes, names = c.unit.astype(np.int64), doses.units
    elif column == "start_quarter":
        codes, names = _quarters(p)
    elif (found := _derived(p, column)) is not None:
        codes, names = found
    else:
        person, names = _person_codes(p, column)
        codes = person[c.patient]
        if column != "site":
            return codes, person, names
        codes, names = _sites(p, codes, names)
    known = first_course >= 0
    patient = np.where(known, codes[np.where(known, first_course, 0)] if len(codes) else -2, -2)
    return codes, patient, names


def _derived(p: Patients, column: str) -> tuple[Array, tuple[str, ...]] | None:
    if column in p.setting.cohort.people:
        return None
    if (instrument := band_instrument(column, p.plan.definitions)) is not None:
        return band_codes(p.baselines(instrument.id), instrument)
    if (series := entry_series(column, p.plan.definitions)) is not None:
        return entry_codes(p.courses, p.block.days, p.doses.routes, series)
    return None


def _person_codes(p: Patients, column: str) -> tuple[Array, tuple[str, ...]]:
    people = p.setting.cohort.people
    if column not in people:
        if column == "site":
            return np.full(len(p), -1, dtype=np.int64), ()
        known = sorted({*(c for c in people.columns if c not in ("patient", "start_date")), *COURSE_COLUMNS})
        raise PlanError(lines=[f"by={column!r}: no such column; write one of: {', '.join(known)}"])
    codes, names = p.setting.people_codes(column)
    return codes[p.low : p.high].astype(np.int64), names


def _sites(p: Patients, person: Array, names: tuple[str, ...]) -> tuple[Array, tuple[str, ...]]:
    """A course's site: where its first dose was given, else the person's."""
    every = tuple(sorted({*names, *p.doses.sites}))
    lookup = np.array([every.index(n) for n in names] + [-1], dtype=np.int64)
    from_dose = np.array([every.index(n) for n in p.doses.sites] + [-1], dtype=np.int64)[p.courses.site]
    return np.where(from_dose >= 0, from_dose, lookup[person]), every


def _quarters(p: Patients) -> tuple[Array, tuple[str, ...]]:
    if p.setting.cohort.dates == "offsets":
        raise PlanError(
            lines=["by='start_quarter' needs calendar dates, and these records hold day offsets only"]
        )
    month = calendar_month(p, p.courses.patient, p.courses.first)
    quarter = month // 3
    low = int(quarter.min()) if len(quarter) else 0
    high = int(quarter.max()) if len(quarter) else -1
    return quarter - low, tuple(f"{q // 4}-Q{q % 4 + 1}" for q in range(low, high + 1))


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
