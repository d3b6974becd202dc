"""What was recorded while a patient was watched after a dose: typed frames to sorted readings, and events.

A record is optional, and every cell of it may be blank: blank is "not recorded", never "no". Ranges, and what
counts as an event, stand in `monitoring.toml` with their sources.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.records.assembly import Findings, whole_numbers
from ketaoutcomes.records.coding import text_codes
from ketaoutcomes.tables import TABLES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ketaoutcomes.records.assembly import Doses

Array = Any
READINGS = tuple(name for name in TABLES["monitoring"].names if name not in ("patient", "day"))
"""The columns of a monitoring record, in their order."""

YES_NO = tuple(column.name for column in TABLES["monitoring"].columns if column.kind == "yes_no")
SYSTOLIC = ("bp_systolic_before", "bp_systolic_40min", "bp_systolic_discharge")
DIASTOLIC = ("bp_diastolic_before", "bp_diastolic_40min", "bp_diastolic_discharge")
BLANK = -1
WORDS = {"yes": 1, "y": 1, "true": 1, "1": 1, "no": 0, "n": 0, "false": 0, "0": 0}


@dataclass(frozen=True)
class Event:
    """Something counted of each session: a column answered yes, or blood pressure at or above a limit."""

    name: str
    title: str
    cite: str
    column: str = ""
    systolic: int = 0
    diastolic: int = 0
    rise: bool = False


@dataclass(frozen=True, eq=False)
class Monitoring:
    """Monitoring records, one per patient and dose day, sorted; `value` is records x READINGS, -1: blank."""

    patient: NDArray[np.int32]
    day: NDArray[np.int32]
    value: NDArray[np.int16]

    def of(self, name: str) -> NDArray[np.int16]:
        """One reading of every record, -1 where it was not recorded."""
        column: NDArray[np.int16] = self.value[:, READINGS.index(name)]
        return column


def no_records() -> Monitoring:
    """Where nothing was recorded."""
    none = np.array([], dtype=np.int32)
    return Monitoring(none, none, np.empty((0, len(READINGS)), dtype=np.int16))


@lru_cache(maxsize=1)
def _rules() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("monitoring.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@lru_cache(maxsize=1)
def events() -> tuple[Event, ...]:
    """What is counted of each session, in the order of tables.

    >>> [event.name for event in events()][:3]
    ['dissociation', 'sedation', 'nausea']
    """
    return tuple(Event(**entry) for entry in _rules()["events"])


@lru_cache(maxsize=1)
def ranges() -> dict[str, tuple[int, int]]:
    """The lowest and the highest reading a cell can hold, by column.

    >>> ranges()["cadss"]
    (0, 92)
    """
    found = dict.fromkeys(YES_NO, (0, 1))
    for entry in _rules()["measurements"]:
        found |= dict.fromkeys(entry["columns"], (entry["low"], entry["high"]))
    return found


def monitoring_document() -> str:
    """The ranges of readings and the events counted, each with its source, as a part of a Markdown document.

    >>> print(monitoring_document().splitlines()[0])
    ## Monitoring after a dose
    """
    found = _rules()
    lines = [
        "## Monitoring after a dose",
        "",
        "| reading | from | to | unit | source |",
        "|---|---|---|---|---|",
    ]
    for one in found["measurements"]:
        names = ", ".join(f"`{name}`" for name in one["columns"])
        lines.append(f"| {names} | {one['low']} | {one['high']} | {one['unit']} | {one['cite']} |")
    lines += ["", "| event | counted where | source |", "|---|---|---|"]
    for one in found["events"]:
        where = f"`{one['column']}` is yes" if "column" in one else one["title"]
        lines.append(f"| `{one['name']}` | {where} | {one['cite']} |")
    return "\n".join(lines) + "\n"


def has_readings(frame: pd.DataFrame) -> bool:
    """Whether a frame has any column of a monitoring record."""
    return any(name in frame for name in READINGS)


def read_monitoring(
    frame: pd.DataFrame, position: Array, patient: Array, day: Array, doses: Doses, found: Findings
) -> Monitoring:
    """Monitoring records of rows sorted by patient and day: readings checked, one record a day.

    A cell that can be no reading is left out and the rest of the record stays. Two records of one day become
    one where they agree (a blank agrees with anything); where they do not, both are set aside (C08). So is a
    record of a day without a dose (E16).
    """
    value = _readings(frame, found)[position]
    filled = (value != BLANK).any(axis=1)
    position, patient, day, value = position[filled], patient[filled], day[filled], value[filled]
    given = np.isin(_moment(patient, day), _moment(doses.patient, doses.day))
    _leave_out(frame, position[~given], "E16", found)
    position, patient, day, value = position[given], patient[given], day[given], value[given]
    if not len(patient):
        return no_records()
    fresh = np.ones(len(patient), dtype=bool)
    fresh[1:] = (patient[1:] != patient[:-1]) | (day[1:] != day[:-1])
    start = np.flatnonzero(fresh)
    high = np.maximum.reduceat(value, start)
    low = np.minimum.reduceat(np.where(value == BLANK, np.iinfo(np.int16).max, value), start)
    torn = ((high != BLANK) & (low != high)).any(axis=1)
    of = np.cumsum(fresh) - 1
    _leave_out(frame, position[torn[of]], "C08", found)
    merged = ~fresh & ~torn[of]
    found.rows(frame, "monitoring", np.sort(position[merged]), "", "C07", "normalised")
    found.count("monitoring", "monitoring", "merged", "C07", int(merged.sum()))
    found.count("monitoring", "monitoring", "kept", "", int((~torn).sum()))
    kept = start[~torn]
    return Monitoring(patient[kept].astype(np.int32), day[kept].astype(np.int32), high[~torn])


def _leave_out(frame: pd.DataFrame, position: Array, rule: str, found: Findings) -> None:
    found.rows(frame, "monitoring", np.sort(position), "", rule, "quarantined")
    found.count("monitoring", "monitoring", "quarantined", rule, len(position))


def _moment(patient: Array, day: Array) -> NDArray[np.int64]:
    """Patient and day as one whole number; days are within a century or two of day 0."""
    packed: NDArray[np.int64] = (patient.astype(np.int64) << 32) + day.astype(np.int64)
    return packed


def _readings(frame: pd.DataFrame, found: Findings) -> NDArray[np.int16]:
    """Every row's readings; cells that can be none are noted and blank."""
    value = np.full((len(frame), len(READINGS)), BLANK, dtype=np.int16)
    for at, name in enumerate(READINGS):
        if name in frame:
            value[:, at] = _cells(frame, name, found)
    for systolic, diastolic in zip(SYSTOLIC, DIASTOLIC, strict=True):
        above, below = READINGS.index(systolic), READINGS.index(diastolic)
        crossed = (value[:, above] != BLANK) & (value[:, above] <= value[:, below])
        found.rows(frame, "monitoring", crossed, systolic, "D22", "quarantined")
        value[crossed, above] = value[crossed, below] = BLANK
    return value


def _cells(frame: pd.DataFrame, name: str, found: Findings) -> NDArray[np.int16]:
    if name in YES_NO and not pd.api.types.is_numeric_dtype(frame[name].dtype):
        codes, labels = text_codes(frame[name], lower=True)
        lookup = np.array([WORDS.get(label, -2) for label in labels] + [BLANK], dtype=np.int16)
        said = lookup[codes]
        found.rows(frame, "monitoring", said == -2, name, "D21", "quarantined")
        return np.where(said == -2, np.int16(BLANK), said)
    numbers, wrong = _numbers(frame[name])
    low, high = ranges()[name]
    part = numbers != np.floor(numbers)
    part &= ~np.isnan(numbers)
    with np.errstate(invalid="ignore"):
        outside = ~part & ((numbers < low) | (numbers > high))
    beyond = "D21" if name in YES_NO else "D20"
    for rows, rule in ((wrong, "D10"), (part, "D11"), (outside & (numbers < 0), "D06")):
        found.rows(frame, "monitoring", rows, name, rule, "quarantined")
    found.rows(frame, "monitoring", outside & ~(numbers < 0), name, beyond, "quarantined")
    blank = np.isnan(numbers) | wrong | part | outside
    return np.where(blank, BLANK, np.nan_to_num(numbers)).astype(np.int16)


def _numbers(column: pd.Series[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    if str(column.dtype) not in ("bool", "boolean"):
        return whole_numbers(column)
    numbers = column.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(numbers, dtype=np.float64), np.zeros(len(column), dtype=np.bool_)


def happened(records: Monitoring, event: Event) -> NDArray[np.int8]:
    """Whether an event happened at each record: 1, 0, or -1 where that was not recorded.

    Blood pressure is judged by the readings after the dose: at or above the limit in any of them; "no" needs
    a whole reading (systolic and diastolic), and for a rise one before the dose as well.
    """
    if event.column:
        return records.of(event.column).astype(np.int8)
    top, bottom = (np.stack([records.of(name) for name in names]) for names in (SYSTOLIC, DIASTOLIC))
    whole = (top[1:] != BLANK) & (bottom[1:] != BLANK)
    if event.rise:
        whole &= (top[0] != BLANK) & (bottom[0] != BLANK)
        top, bottom = (np.where((own[1:] != BLANK) & (own[0] != BLANK), own[1:] - own[0], BLANK)
                       for own in (top, bottom))  # fmt: skip
    else:
        top, bottom = top[1:], bottom[1:]
    yes = ((top >= event.systolic) | (bottom >= event.diastolic)).any(axis=0)
    return np.where(yes, 1, np.where(whole.any(axis=0), 0, BLANK)).astype(np.int8)


def table(records: Monitoring, names: NDArray[np.object_]) -> pd.DataFrame:
    """Records as the declared table `monitoring`. Row-level: do not share."""
    columns: dict[str, Any] = {"patient": names[records.patient], "day": records.day.astype(np.int64)}
    for name in READINGS:
        value = records.of(name)
        blank = value == BLANK
        columns[name] = (
            pd.arrays.BooleanArray(value == 1, blank)
            if name in YES_NO
            else pd.arrays.IntegerArray(value.astype(np.int64), blank)
        )
    return pd.DataFrame(columns)
