"""Typed frames to a cohort's parts: who, when, which dose, which score; what is wrong is set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.assembly import (
    FARTHEST_DAY,
    TIMINGS,
    Doses,
    Findings,
    Scores,
    add_up,
    item_columns,
    labelled,
    one_per_moment,
    recode,
    score_rows,
    text_codes,
    whole_numbers,
)
from ketaoutcomes.tables import empty

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ketaoutcomes.definitions import Instrument
    from ketaoutcomes.plan import Plan

Array = Any
BLANK_DAY = np.iinfo(np.int32).min
DATE_COLUMNS = {"target_day": "target_date", "cut_day": "cut_date", "observed_from": "observed_from"}
PROVENANCE = ("source_file", "source_row")


class Reader:
    """Reads typed frames into sorted arrays; holds what the steps share."""

    def __init__(self, frames: Mapping[str, pd.DataFrame], plan: Plan, found: Findings) -> None:
        self.frames, self.plan, self.found = frames, plan, found
        self.fine: dict[str, NDArray[np.bool_]] = {}
        self.patient: dict[str, NDArray[np.int32]] = {}
        self.day: dict[str, NDArray[np.int64]] = {}
        self.dated = "date" in frames["doses"]
        self._number_patients()

    def read(self) -> dict[str, Any]:
        """Every part of the cohort but its patients."""
        for name in self.frames:
            if name != "people":
                self._days(name)
        amount, given = self._amounts()
        origin = self._origin(given)
        doses = self._doses(amount, given, origin)
        scores = self._scores(origin)
        people = self._people(origin)
        return {
            "dose_records": doses,
            "score_records": scores,
            "people": people,
            "events": self._events(origin),
            "dates": "dates" if "start_date" in people else "offsets",
        }

    def _number_patients(self) -> None:
        coded: dict[str, tuple[NDArray[np.int32], tuple[str, ...]]] = {}
        by_identity: dict[int, str] = {}
        for name, frame in self.frames.items():
            twin = by_identity.setdefault(id(frame), name)
            coded[name] = coded[twin] if twin in coded else text_codes(frame["patient"])
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

    def _days(self, name: str) -> None:
        twin = "doses" if self.frames[name] is self.frames["doses"] else name
        if twin != name:
            self.day[name] = self.day[twin]
            self.fine[name] = self.fine[name] & (self.day[twin] != BLANK_DAY)
            return
        column = "date" if self.dated else "day"
        days, wrong = _whole_days(self.frames[name][column], column)
        self._set_aside(name, self.fine[name] & wrong, column, "E05")
        limit = 2 * FARTHEST_DAY if self.dated else FARTHEST_DAY
        far = ~wrong & (np.abs(days) > limit)
        self._set_aside(name, self.fine[name] & far, column, "E07")
        self.day[name] = np.where(wrong | far, BLANK_DAY, days)

    def _amounts(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Amounts, blank as NaN, and which rows are a dose that was given."""
        frame, n = self.frames["doses"], len(self.frames["doses"])
        if "dose" not in frame:
            return np.full(n, np.nan), self.fine["doses"].copy()
        amount, wrong = whole_numbers(frame["dose"])
        with np.errstate(invalid="ignore"):
            wrong = wrong | (amount < 0)
        self.found.rows(frame, "doses", wrong & self.fine["doses"], "dose", "D15", "quarantined")
        amount = np.where(wrong, np.nan, amount)
        given = self.fine["doses"] & (amount != 0)
        return amount, given

    def _origin(self, given: Array) -> NDArray[np.int64] | None:
        """Each patient's day 0 on the calendar: the first dose, else the first record. None when undated."""
        if not self.dated:
            return self._stated_origin()
        far = np.iinfo(np.int64).max
        origin = np.full(len(self.patients), far, dtype=np.int64)
        np.minimum.at(origin, self.patient["doses"][given], self.day["doses"][given])
        first = np.full(len(self.patients), far, dtype=np.int64)
        for name in self.day:
            fine = self.fine[name]
            np.minimum.at(first, self.patient[name][fine], self.day[name][fine])
        return np.where(origin == far, np.where(first == far, 0, first), origin)

    def _stated_origin(self) -> NDArray[np.int64] | None:
        people = self.frames.get("people")
        if people is None or "start_date" not in people:
            return None
        start, blank = _whole_days(people["start_date"], "date")
        origin = np.full(len(self.patients), BLANK_DAY, dtype=np.int64)
        fine = self.fine["people"] & ~blank
        origin[self.patient["people"][fine]] = start[fine]
        return origin

    def _relative(self, name: str, origin: Array) -> NDArray[np.int64]:
        if not self.dated:
            return self.day[name]
        known = self.fine[name]
        return np.where(known, self.day[name] - origin[np.where(known, self.patient[name], 0)], BLANK_DAY)

    def _doses(self, amount: Array, given: Array, origin: Array) -> Doses:
        frame, day = self.frames["doses"], self._relative("doses", origin)
        early = given & (day < 0)
        self._set_aside("doses", early, "day", "E13")
        given = given & ~early
        days, wrong = (
            whole_numbers(frame["days"])
            if "days" in frame
            else (np.ones(len(frame)), np.zeros(len(frame), bool))
        )
        days = np.where(np.isnan(days), 1, days)
        self._set_aside(
            "doses",
            given & (wrong | (days < 1) | (days != np.floor(days)) | (days > FARTHEST_DAY)),
            "days",
            "E05",
        )
        rows = np.flatnonzero(given & self.fine["doses"])
        nothing = int((self.fine["doses"] & (amount == 0)).sum())
        self.found.count("doses", "doses", "kept", "", len(rows))
        self.found.count("doses", "doses", "not given", "amount 0", nothing)
        self.found.count("doses", "doses", "quarantined", "", len(frame) - len(rows) - nothing)
        codes: dict[str, Array] = {}
        labels: dict[str, tuple[str, ...]] = {}
        for column in ("route", "unit", "site"):
            if column in frame:
                codes[column], labels[column] = text_codes(frame[column], lower=column != "site")
                codes[column] = codes[column][rows]
            else:
                codes[column], labels[column] = np.full(len(rows), -1, dtype=np.int32), ()
        amount = self._plausible(amount, rows, codes, labels)
        weight = (
            whole_numbers(frame["weight_kg"])[0][rows] if "weight_kg" in frame else np.full(len(rows), np.nan)
        )
        added = add_up(
            {
                "patient": self.patient["doses"][rows], "day": day[rows].astype(np.int32), "amount": amount,
                "days": days[rows].astype(np.int32), "weight": weight,
                "route": codes["route"].astype(np.int16), "unit": codes["unit"].astype(np.int16),
                "site": codes["site"],
            }
        )  # fmt: skip
        return Doses(**added, routes=labels["route"], units=labels["unit"], sites=labels["site"])

    def _plausible(
        self, amount: Array, rows: Array, codes: Mapping[str, Array], labels: Mapping[str, tuple[str, ...]]
    ) -> Array:
        """Blank amounts that cannot be (above 2 mg/kg by vein); the session stays, or later ones move up."""
        amount = amount[rows]
        if "iv" in labels["route"] and "mg/kg" in labels["unit"]:
            iv, per_kg = labels["route"].index("iv"), labels["unit"].index("mg/kg")
            with np.errstate(invalid="ignore"):
                much = (codes["route"] == iv) & (codes["unit"] == per_kg) & (amount > 2)
            self.found.rows(self.frames["doses"], "doses", rows[much], "dose", "D15", "quarantined")
            amount = np.where(much, np.nan, amount)
        return amount

    def _scores(self, origin: Array) -> dict[str, Scores]:
        frame = self.frames["scores"]
        day = self._relative("scores", origin)
        usual = int(self.plan.scores.dosing_day == "after")
        timing = np.full(len(frame), usual, dtype=np.int64)
        if "timing" in frame:
            codes, labels = text_codes(frame["timing"], lower=True)
            lookup = np.array([TIMINGS.get(label, -1) for label in labels] + [usual], dtype=np.int64)
            timing = lookup[codes]
            self._set_aside("scores", self.fine["scores"] & (timing < 0), "timing", "D13")
        time = day * 2 + np.maximum(timing, 0)
        return self._long_scores(time) if "instrument" in frame else self._wide_scores(time)

    def _wide_scores(self, time: Array) -> dict[str, Scores]:
        frame, scores = self.frames["scores"], {}
        for instrument in self.plan.definitions.instruments.values():
            items, complete = item_columns(frame.columns, instrument)
            if not complete:
                self.found.refuse("scores", f"{instrument.id}_1", "G13", _wrong_items(instrument, len(items)))
                continue
            total = instrument.id if instrument.id in frame else None
            if items or total:
                scores[instrument.id] = self._score(
                    frame, instrument, items, total, time, self.fine["scores"]
                )
        return scores

    def _long_scores(self, time: Array) -> dict[str, Scores]:
        frame, scores = self.frames["scores"], {}
        codes, labels = text_codes(frame["instrument"], lower=True)
        known = self.plan.definitions.instruments
        unknown = np.array([label not in known for label in labels] + [True])[codes]
        self._set_aside("scores", self.fine["scores"] & unknown, "instrument", "D13")
        for code, label in enumerate(labels):
            if label not in known:
                continue
            wanted = [f"item_{i}" for i in range(1, known[label].items + 1)]
            items = [column for column in wanted if column in frame]
            rows = self.fine["scores"] & (codes == code)
            if items and len(items) < len(wanted):
                self.found.refuse("scores", "item_1", "G13", _wrong_items(known[label], len(items)))
                continue
            total = "score" if "score" in frame else None
            scores[label] = self._score(frame, known[label], items, total, time, rows)
        return scores

    def _score(
        self,
        frame: pd.DataFrame,
        instrument: Instrument,
        items: list[str],
        total: str | None,
        time: Array,
        rows: Array,
    ) -> Scores:
        where = np.flatnonzero(rows) if not rows.all() else None
        part = frame if where is None else frame.iloc[where]
        prorate = self.plan.scores.prorate == "published"
        record, scored = score_rows(
            part, instrument, items, total, name="scores", prorate=prorate, found=self.found
        )
        positions = np.flatnonzero(record)
        whole = positions if where is None else where[positions]
        patient, moment = self.patient["scores"][whole], time[whole].astype(np.int32)
        return one_per_moment(part, instrument.id, positions, patient, moment, scored, self.found)

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
                days, blank = _whole_days(frame[column], "date")
                own = origin[self.patient["people"]] if origin is not None else 0
                return day, np.where(blank | (self.patient["people"] < 0), np.nan, days - own)
        if column in ("target_dose", "target_day", "cut_day", "observed_from", "weight_kg"):
            values, wrong = whole_numbers(frame[column])
            self.found.rows(frame, "people", wrong, column, "D10", "quarantined")
            return column, values
        codes, labels = text_codes(frame[column])
        return column, labelled(codes, labels)

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
        frame, fine = self.frames["events"], self.fine["events"]
        day = self._relative("events", origin)
        patient = self.patient["events"]
        table = pd.DataFrame({"patient": self.patients[patient[fine]], "day": day[fine]})
        for column in ("kind", "code"):
            codes, labels = text_codes(frame[column]) if column in frame else (np.full(len(frame), -1), ())
            table[column] = labelled(codes, labels)[fine]
        return table.sort_values(["patient", "day", "kind", "code"], ignore_index=True)


def _wrong_items(instrument: Instrument, got: int) -> str:
    return (
        f"scores: {instrument.title} has {instrument.items} items and {got or 'more'} columns were found; "
        f"give all of `{instrument.id}_1` to `{instrument.id}_{instrument.items}`, or its total"
    )


def _whole_days(column: pd.Series[Any], kind: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Days as whole numbers (dates: since 1970), and a mask of the cells that are none."""
    if kind == "date":
        stamps = pd.to_datetime(column, errors="coerce")
        blank = stamps.isna().to_numpy()
        days = stamps.to_numpy(dtype="datetime64[D]").astype(np.int64)
        return np.where(blank, 0, days), blank
    if pd.api.types.is_integer_dtype(column.dtype) and isinstance(column.dtype, np.dtype):
        return column.to_numpy(dtype=np.int64), np.zeros(len(column), dtype=bool)
    values, wrong = whole_numbers(column)
    blank = wrong | np.isnan(values) | (values != np.floor(values))
    return np.where(blank, 0, values).astype(np.int64), blank
