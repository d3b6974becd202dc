"""Typed frames to a cohort's parts: who, when, which dose, which score; what is wrong is set aside."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.records.assembly import (
    FARTHEST_DAY,
    TIMINGS,
    Doses,
    Findings,
    Scores,
    add_up,
    item_columns,
    one_per_moment,
    order,
    score_rows,
    whole_numbers,
)
from ketaoutcomes.records.coding import PIECE, labelled, look_up, recode, sift, text_codes
from ketaoutcomes.records.monitoring import Monitoring, no_records, read_monitoring
from ketaoutcomes.tables import empty

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ketaoutcomes.definitions import Instrument
    from ketaoutcomes.plan import Plan

Array = Any
BLANK_DAY = np.iinfo(np.int32).min
FAR_AWAY = 2**30
NO_DAY_0 = "E18"
NEVER_USED = "E19"
LONE_DATE = "E17"  # the rule by which a date that stands alone at the end is asked about
LONE_AFTER = 366  # days without any record before it (house)
A_FEW = 4  # records: two visits, each with a dose and a score (house)
DATE_COLUMNS = {
    "target_day": "target_date",
    "cut_day": "cut_date",
    "observed_from": "observed_from",
    "birth_day": "birth_date",
}
PROVENANCE = ("source_file", "source_row")


@dataclass(frozen=True, eq=False)
class Rows:
    """The usable rows of one frame by patient and day: where each stands in the frame, whose it is, its day.

    Days are those of the frame (since 1970 for dates) until `Reader` counts them from the patient's day 0.
    """

    position: NDArray[np.int32]
    patient: NDArray[np.int32]
    day: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.position)

    def only(self, keep: Array) -> Rows:
        """Some of the rows, in the same order."""
        return self if keep.all() else Rows(*sift(keep, self.position, self.patient, self.day))

    def firsts(self, patients: int) -> NDArray[np.int32]:
        """Each patient's first day here, BLANK_DAY where there is none."""
        first = np.full(patients, BLANK_DAY, dtype=np.int32)
        fresh = np.ones(len(self), dtype=bool)
        fresh[1:] = self.patient[1:] != self.patient[:-1]
        first[self.patient[fresh]] = self.day[fresh]
        return first


class Reader:
    """Reads typed frames into sorted arrays; holds what the steps share."""

    def __init__(self, frames: Mapping[str, pd.DataFrame], plan: Plan, found: Findings) -> None:
        self.frames, self.plan, self.found = frames, plan, found
        self.fine: dict[str, NDArray[np.bool_]] = {}
        self.patient: dict[str, NDArray[np.int32]] = {}
        self.rows: dict[str, Rows] = {}
        self.dated = "date" in frames["doses"]
        self._number_patients()

    def read(self) -> dict[str, Any]:
        """Every part of the cohort but its patients."""
        for name in self.frames:
            if name != "people":
                self.rows[name] = self._by_patient_and_day(name)
        self._ask_about_lone_dates()
        given, amount = self._given()
        origin = self._origin(given)
        doses = self._doses(self._relative(given, origin), amount)
        scores = self._scores(origin)
        people = self._people(origin)
        if self.plan.population.complete and not self.dated and "cut_day" in people:
            self.found.file_wide(self.frames["people"], "people", "cut_day", NEVER_USED, "asked")
        return {
            "dose_records": doses,
            "score_records": scores,
            "monitoring_records": self._monitoring(origin, doses),
            "people": people,
            "events": self._events(origin),
            "dates": "dates" if "start_date" in people else "offsets",
        }

    def _number_patients(self) -> None:
        coded: dict[str, tuple[NDArray[np.int32], tuple[str, ...]]] = {}
        by_identity: dict[int, str] = {}
        for name, frame in self.frames.items():
            twin = by_identity.setdefault(id(frame), name)
            coded[name] = coded[twin] if twin in coded else text_codes(_present(frame["patient"]))
        every = coded["doses"][1]
        if any(labels != every for _, labels in coded.values()):
            every = tuple(sorted(set().union(*(labels for _, labels in coded.values()))))
        self.patients: NDArray[np.object_] = np.array(every, dtype=object)
        for name, (codes, labels) in coded.items():
            whole = len(labels) == len(every)
            self.patient[name] = codes if whole else recode(codes, labels, every)
            self.fine[name] = self.patient[name] >= 0
            self._set_aside(name, ~self.fine[name], "patient", "C02")

    def _set_aside(self, name: str, rows: Array, column: str, rule: str) -> None:
        """Quarantine whole rows: they take no further part."""
        if rows.any():
            self.found.rows(self.frames[name], name, rows, column, rule, "quarantined")
            self.fine[name] = self.fine[name] & ~rows

    def _leave_out(self, name: str, rows: Rows, wrong: Array, column: str, rule: str) -> Rows:
        """Quarantine some of the sorted rows; returns those that remain."""
        if not wrong.any():
            return rows
        place = np.sort(rows.position[wrong])
        self.found.rows(self.frames[name], name, place, column, rule, "quarantined")
        return rows.only(~wrong)

    def _by_patient_and_day(self, name: str) -> Rows:
        """One sort serves all that follows; a frame that is read twice is sorted once."""
        patient = self.patient.pop(name)
        if name != "doses" and self.frames[name] is self.frames["doses"]:
            return self.rows["doses"]
        day = self._days(name)
        rows = Rows(np.arange(len(day), dtype=np.int32), patient, day).only(self.fine[name])
        sorting = order(rows.patient, rows.day)
        if sorting is None:
            return rows
        return Rows(*(look_up(column, sorting) for column in (rows.position, rows.patient, rows.day)))

    def _days(self, name: str) -> NDArray[np.int32]:
        """Each row's day as in the frame; rows without one are set aside."""
        column = "date" if self.dated else "day"
        days, wrong = _whole_days(self.frames[name][column], column)
        self._set_aside(name, self.fine[name] & wrong, column, "E05")
        limit = 2 * FARTHEST_DAY if self.dated else FARTHEST_DAY
        if len(days) and (days.max() > limit or days.min() < -limit):
            far = ~wrong & (np.abs(days) > limit)
            self._set_aside(name, self.fine[name] & far, column, "E07")
            days = np.where(far, np.int32(BLANK_DAY), days)
        return days

    def _ask_about_lone_dates(self) -> None:
        """Name the rows whose dates stand alone at the end: 2052 for 2025 would become the as-of day."""
        tables = {id(self.frames[name]): name for name in ("scores", "doses")} if self.dated else {}
        days = [self.rows[name].day for name in tables.values()]
        alone = lone_from(np.concatenate(days)) if days else None
        if alone is None:
            return
        before = len(self.found.parts)
        for name in tables.values():
            rows = self.rows[name]
            place = np.sort(rows.position[rows.day >= alone])
            self.found.rows(self.frames[name], name, place, "date", LONE_DATE, "asked")
        # A row of a file may be in both tables, and is asked about once.
        self.found.parts[before:] = [pd.concat(self.found.parts[before:]).drop_duplicates(["file", "row"])]

    def _given(self) -> tuple[Rows, NDArray[np.float64]]:
        """The rows that are a dose that was given, and their amounts, blank as NaN."""
        frame, rows = self.frames["doses"], self.rows["doses"]
        if "dose" not in frame:
            return rows, np.full(len(rows), np.nan)
        amount, wrong = whole_numbers(frame["dose"])
        with np.errstate(invalid="ignore"):
            wrong = wrong | (amount < 0)
        if wrong.any():
            self.found.rows(frame, "doses", wrong & self.fine["doses"], "dose", "D15", "quarantined")
            amount = np.where(wrong, np.nan, amount)
        given = rows.only(look_up(amount != 0, rows.position))  # blank is not zero
        self.found.count("doses", "doses", "not given", "amount 0", len(rows) - len(given))
        return given, look_up(amount, given.position)

    def _origin(self, given: Rows) -> NDArray[np.int32] | None:
        """Each patient's day 0 on the calendar: the first dose, else the first record. None when undated."""
        if not self.dated:
            return self._stated_origin()
        origin = given.firsts(len(self.patients))
        without = origin == BLANK_DAY
        if without.any():
            firsts = [rows.firsts(len(self.patients)) for rows in self.rows.values()]
            far = np.iinfo(np.int32).max
            first = np.min([np.where(days == BLANK_DAY, far, days) for days in firsts], axis=0)
            origin = np.where(without, np.where(first == far, BLANK_DAY, first), origin).astype(np.int32)
        return origin

    def _stated_origin(self) -> NDArray[np.int32] | None:
        people = self.frames.get("people")
        if people is None or "start_date" not in people:
            return None
        start, blank = _whole_days(people["start_date"], "date")
        origin = np.full(len(self.patients), BLANK_DAY, dtype=np.int32)
        fine = self.fine["people"] & ~blank
        origin[self.patient["people"][fine]] = start[fine]
        return origin

    def _relative(self, rows: Rows, origin: Array) -> Rows:
        """The rows with days of the patients' own calendars."""
        return replace(rows, day=rows.day - look_up(origin, rows.patient)) if self.dated else rows

    def _doses(self, given: Rows, amount: Array) -> Doses:
        frame, nothing = self.frames["doses"], len(self.rows["doses"]) - len(given)
        wrong = given.day < 0
        rows = self._leave_out("doses", given, wrong, "day", "E13")
        amount = amount[~wrong] if wrong.any() else amount
        days: Array = np.broadcast_to(np.int32(1), len(rows))
        if "days" in frame:
            stated, odd = whole_numbers(frame["days"])
            stated = np.where(np.isnan(stated), 1, stated)
            odd |= (stated < 1) | (stated != np.floor(stated)) | (stated > FARTHEST_DAY)
            odd, days = odd[rows.position], stated[rows.position]
            rows = self._leave_out("doses", rows, odd, "days", "E05")
            amount, days = amount[~odd], days[~odd].astype(np.int32)
        self.found.count("doses", "doses", "kept", "", len(rows))
        self.found.count("doses", "doses", "quarantined", "", len(frame) - len(rows) - nothing)
        codes, labels = self._labels_of_doses(rows)
        weight: Array = np.broadcast_to(np.nan, len(rows))
        if "weight_kg" in frame:
            weight = whole_numbers(frame["weight_kg"])[0][rows.position]
        added = add_up(
            {
                "patient": rows.patient, "day": rows.day, "days": days, "weight": weight,
                "amount": self._plausible(amount, rows, codes, labels),
                "route": codes["route"].astype(np.int16), "unit": codes["unit"].astype(np.int16),
                "site": codes["site"],
            }
        )  # fmt: skip
        return Doses(**added, routes=labels["route"], units=labels["unit"], sites=labels["site"])

    def _labels_of_doses(self, rows: Rows) -> tuple[dict[str, Array], dict[str, tuple[str, ...]]]:
        frame = self.frames["doses"]
        codes: dict[str, Array] = {}
        labels: dict[str, tuple[str, ...]] = {}
        for column in ("route", "unit", "site"):
            codes[column], labels[column] = np.broadcast_to(np.int32(-1), len(rows)), ()
            if column in frame:
                every, labels[column] = text_codes(frame[column], lower=column != "site")
                self.found.like_labels(frame, "doses", column, labels[column])
                codes[column] = look_up(every, rows.position)
        return codes, labels

    def _plausible(
        self, amount: Array, rows: Rows, codes: Mapping[str, Array], labels: Mapping[str, tuple[str, ...]]
    ) -> Array:
        """Blank amounts that cannot be (above 2 mg/kg by vein); the session stays, or later ones move up."""
        if "iv" in labels["route"] and "mg/kg" in labels["unit"]:
            iv, per_kg = labels["route"].index("iv"), labels["unit"].index("mg/kg")
            with np.errstate(invalid="ignore"):
                much = (codes["route"] == iv) & (codes["unit"] == per_kg) & (amount > 2)
            place = np.sort(rows.position[much])
            self.found.rows(self.frames["doses"], "doses", place, "dose", "D15", "quarantined")
            amount = np.where(much, np.nan, amount)
        return amount

    def _scores(self, origin: Array) -> dict[str, Scores]:
        frame = self.frames["scores"]
        rows = self._relative(self.rows["scores"], origin)
        timing: Array = np.int32(self.plan.scores.dosing_day == "after")
        if "timing" in frame:
            codes, labels = text_codes(frame["timing"], lower=True)
            lookup = np.array([TIMINGS.get(label, -1) for label in labels] + [timing], dtype=np.int32)
            timing = lookup[codes[rows.position]]
            rows = self._leave_out("scores", rows, timing < 0, "timing", "D13")
            timing = timing[timing >= 0]
        timed = replace(rows, day=(rows.day << 1) | timing)
        return self._long_scores(timed) if "instrument" in frame else self._wide_scores(timed)

    def _wide_scores(self, timed: Rows) -> dict[str, Scores]:
        frame, scores = self.frames["scores"], {}
        for instrument in self.plan.definitions.instruments.values():
            items, complete = item_columns(frame.columns, instrument)
            if not complete:
                self.found.refuse("scores", f"{instrument.id}_1", "G13", _wrong_items(instrument, len(items)))
                continue
            total = instrument.id if instrument.id in frame else None
            if items or total:
                scores[instrument.id] = self._score(frame, instrument, items, total, timed)
        return scores

    def _long_scores(self, timed: Rows) -> dict[str, Scores]:
        frame, scores = self.frames["scores"], {}
        every, labels = text_codes(frame["instrument"], lower=True)
        known = self.plan.definitions.instruments
        unknown = np.array([label not in known for label in labels] + [True])
        timed = self._leave_out("scores", timed, unknown[every[timed.position]], "instrument", "D13")
        codes = every[timed.position]
        for code, label in enumerate(labels):
            if label not in known:
                continue
            wanted = [f"item_{i}" for i in range(1, known[label].items + 1)]
            items = [column for column in wanted if column in frame]
            if items and len(items) < len(wanted):
                self.found.refuse("scores", "item_1", "G13", _wrong_items(known[label], len(items)))
                continue
            total = "score" if "score" in frame else None
            scores[label] = self._score(frame, known[label], items, total, timed.only(codes == code))
        return scores

    def _score(
        self, frame: pd.DataFrame, instrument: Instrument, items: list[str], total: str | None, timed: Rows
    ) -> Scores:
        """Score an instrument's rows, in the order of the frame, and sort the results."""
        part, position = frame, timed.position
        if len(timed) < len(frame):
            where = np.sort(position)
            part, position = frame.iloc[where], np.searchsorted(where, position).astype(np.int32)
        prorate = self.plan.scores.prorate == "published"
        record, scored = score_rows(
            part, instrument, items, total, name="scores", prorate=prorate, found=self.found
        )
        kept = replace(timed, position=position).only(look_up(record, position))
        return one_per_moment(part, instrument.id, kept.position, kept.patient, kept.day, scored, self.found)

    def _monitoring(self, origin: Array, doses: Doses) -> Monitoring:
        if "monitoring" not in self.frames:
            return no_records()
        rows = self._relative(self.rows["monitoring"], origin)
        frame = self.frames["monitoring"]
        return read_monitoring(frame, rows.position, rows.patient, rows.day, doses, self.found)

    def _people(self, origin: Array) -> pd.DataFrame:
        table: dict[str, Any] = {"patient": self.patients}
        if origin is not None:
            start = origin.astype("datetime64[D]").astype("datetime64[s]")
            table["start_date"] = np.where(origin == BLANK_DAY, np.datetime64("NaT"), start)
        frame = self.frames.get("people")
        if frame is None:
            return pd.DataFrame(table)
        rows = np.flatnonzero(self.fine["people"])
        patient = self.patient["people"][rows]
        for column in frame.columns:
            if column in ("patient", "start_date", *PROVENANCE):
                continue
            name, values = self._person_column(frame, str(column), origin)
            table[name] = self._one_each(str(column), rows, patient, values[rows])
        return pd.DataFrame(table)

    def _person_column(self, frame: pd.DataFrame, column: str, origin: Array) -> tuple[str, Array]:
        """One column of people: dates become days of the patient's calendar, labels become clean text."""
        stamped = pd.api.types.is_datetime64_any_dtype(frame[column].dtype)
        for day, date in DATE_COLUMNS.items():
            if column == date and (stamped or day != date):
                return day, self._counted_from_day_0(frame, column, day, origin)
        if column in ("target_dose", "target_day", "cut_day", "observed_from", "birth_day", "weight_kg"):
            values, wrong = whole_numbers(frame[column])
            self.found.rows(frame, "people", wrong, column, "D10", "quarantined")
            return column, values
        codes, labels = text_codes(frame[column])
        self.found.like_labels(frame, "people", column, labels)
        return column, labelled(codes, labels)

    def _counted_from_day_0(self, frame: pd.DataFrame, column: str, day: str, origin: Array) -> Array:
        """Dates of people as days of their own calendars; blank where a person has no first day."""
        days, blank = _whole_days(frame[column], "date")
        if origin is None:
            self.found.refuse(
                "people", column, NO_DAY_0,
                f"people: `{column}` is a date and the other tables hold days; give `start_date`, the date "
                f"of each person's day 0, beside it, or `{day}` in its place",
            )  # fmt: skip
            return np.full(len(frame), np.nan)
        own = origin[self.patient["people"]]
        # Of whom nothing is on record, nothing is lost; of others a day 0 was to be given and is blank.
        lost = self.fine["people"] & ~blank & (own == BLANK_DAY) & ("start_date" in frame)
        self.found.rows(frame, "people", lost, column, NO_DAY_0, "quarantined")
        unknown = blank | (self.patient["people"] < 0) | (own == BLANK_DAY)
        return np.where(unknown, np.nan, days.astype(np.int64) - own)

    def _one_each(self, column: str, rows: Array, patient: Array, values: Array) -> Any:
        """One value per patient; blank where the patient's rows disagree (rule C12)."""
        codes, uniques = pd.factorize(values)
        known = codes >= 0
        low = np.full(len(self.patients), len(uniques), dtype=np.int64)
        high = np.full(len(self.patients), -1, dtype=np.int64)
        np.minimum.at(low, patient[known], codes[known])
        np.maximum.at(high, patient[known], codes[known])
        torn = (high >= 0) & (low != high)
        self.found.rows(
            self.frames["people"], "people", rows[known & torn[patient]], column, "C12", "quarantined"
        )
        code = np.where(torn, -1, high)
        if values.dtype == object:
            return np.array([*uniques, None], dtype=object)[code]
        return np.append(np.asarray(uniques, dtype=np.float64), np.nan)[code]

    def _events(self, origin: Array) -> pd.DataFrame:
        if "events" not in self.frames:
            return empty("events")
        frame, rows = self.frames["events"], self._relative(self.rows["events"], origin)
        blank = (np.full(len(frame), -1), ())
        kind, kinds = text_codes(frame["kind"], lower=True) if "kind" in frame else blank
        rows = self._leave_out("events", rows, kind[rows.position] < 0, "kind", "D18")
        lasted = np.full(len(frame), np.nan)
        if "days" in frame:
            lasted, odd = whole_numbers(frame["days"])
            with np.errstate(invalid="ignore"):
                odd |= (
                    (lasted < 1) | (lasted != np.floor(lasted)) & ~np.isnan(lasted) | (lasted > FARTHEST_DAY)
                )
            rows = self._leave_out("events", rows, odd[rows.position], "days", "E05")
        self.found.count("events", "events", "kept", "", len(rows))
        self.found.count("events", "events", "quarantined", "", len(frame) - len(rows))
        code, codes = text_codes(frame["code"]) if "code" in frame else blank
        at = rows.position
        table = pd.DataFrame({"patient": self.patients[rows.patient], "day": rows.day.astype(np.int64)})
        table["kind"], table["code"] = labelled(kind, kinds)[at], labelled(code, codes)[at]
        table["days"] = pd.array(lasted[at], dtype="Int64")
        return table.sort_values(["patient", "day", "kind", "code", "days"], ignore_index=True)


def lone_from(days: Array) -> int | None:
    """The first of a few days that lie more than a year after all the others; None where there are none.

    A few are at most four records, or one in a hundred.

    >>> lone_from(np.array([100, 130, 160, 900])), lone_from(np.array([100, 400, 765]))
    (900, None)
    """
    if not len(days):
        return None
    first = int(days.min())
    times = np.bincount(days.astype(np.int64) - first)
    known = np.flatnonzero(times)
    wide = np.flatnonzero(np.diff(known) > LONE_AFTER)
    if not len(wide):
        return None
    alone = int(known[wide[-1] + 1])
    return first + alone if times[alone:].sum() <= max(A_FEW, len(days) // 100) else None


def _wrong_items(instrument: Instrument, got: int) -> str:
    return (
        f"scores: {instrument.title} has {instrument.items} items and {got or 'more'} columns were found; "
        f"give all of `{instrument.id}_1` to `{instrument.id}_{instrument.items}`, or its total"
    )


def _present(column: pd.Series[Any]) -> pd.Series[Any]:
    """A column without categories that no row has: people whose every row was filtered out are not there."""
    return column.cat.remove_unused_categories() if isinstance(column.dtype, pd.CategoricalDtype) else column


def _whole_days(column: pd.Series[Any], kind: str) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Days as whole numbers (dates: since 1970), 0 and marked in the mask where a cell is none.

    Days beyond some million years are brought within them: they stay what they are, too far to be true.
    """
    exact: Array
    if kind == "date":
        stamps = pd.to_datetime(column, errors="coerce")
        if isinstance(stamps.dtype, pd.DatetimeTZDtype):
            stamps = stamps.dt.tz_localize(None)  # the date as written is the day, wherever it was written
        exact, blank = stamps.to_numpy(), stamps.isna().to_numpy()
    elif pd.api.types.is_integer_dtype(column.dtype) and isinstance(column.dtype, np.dtype):
        exact, blank = column.to_numpy(), np.zeros(len(column), dtype=bool)
    else:
        exact, wrong = whole_numbers(column)
        blank = wrong | np.isnan(exact) | (exact != np.floor(exact))
        exact = np.where(blank, 0, exact)
    days = np.empty(len(exact), dtype=np.int32)
    for start in range(0, len(exact), PIECE):
        piece = exact[start : start + PIECE]
        piece = piece.astype("datetime64[D]").view(np.int64) if kind == "date" else piece
        days[start : start + PIECE] = np.clip(piece, -FAR_AWAY, FAR_AWAY)
    if blank.any():
        days[blank] = 0
    return days, blank
