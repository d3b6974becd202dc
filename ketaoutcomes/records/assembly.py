"""Typed frames to the cohort's sorted arrays, with every finding on the way.

The same checks serve every source: a CSV once its text is typed, a Parquet file, a frame in a notebook.
A finding names file, row, column and rule, and never holds a cell's value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.definitions import MISSING, Instrument, Scored, score_items
from ketaoutcomes.records.coding import PIECE, look_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

Array = Any
TIMINGS = {"pre": 0, "post": 1}
FIELDS = ("ticks", "answered", "prorated", "diagnosis", "flag")
FARTHEST_DAY = 40_000  # a century either side of day 0; beyond lie placeholders such as 9999-12-31


@dataclass(frozen=True, eq=False)
class Doses:
    """Doses sorted by patient, day, route and unit; `route`, `unit` and `site` are codes, -1 where blank."""

    patient: NDArray[np.int32]
    day: NDArray[np.int32]
    amount: NDArray[np.float64]
    route: NDArray[np.int16]
    unit: NDArray[np.int16]
    site: NDArray[np.int32]
    days: NDArray[np.int32]
    given: NDArray[np.int32]
    weight: NDArray[np.float64]
    routes: tuple[str, ...]
    units: tuple[str, ...]
    sites: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Scores:
    """One instrument's scores sorted by patient and time; `time` is 2 * day, plus 1 when after the dose."""

    patient: NDArray[np.int32]
    time: NDArray[np.int32]
    ticks: NDArray[np.int32]
    answered: NDArray[np.int8]
    prorated: NDArray[np.bool_]
    diagnosis: NDArray[np.int8]
    flag: NDArray[np.int8]


@dataclass
class Findings:
    """Everything found wrong or changed, and what became of each input row.

    `headers` says for each file what it calls our columns: a finding names the column its reader can look up.
    """

    headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    parts: list[pd.DataFrame] = field(default_factory=list)
    ledger: dict[tuple[str, str, str, str], int] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def rows(
        self, frame: pd.DataFrame, name: str, positions: Array, column: str, rule: str, action: str
    ) -> None:
        """Record one finding per row position of an input frame."""
        positions = np.asarray(positions)
        positions = np.flatnonzero(positions) if positions.dtype.kind == "b" else positions
        if len(positions) == 0:
            return
        source = frame["source_file"].to_numpy()[positions] if "source_file" in frame else name
        row = frame["source_row"].to_numpy()[positions] if "source_row" in frame else positions + 2
        table = pd.DataFrame({"file": source, "row": row, "column": column, "rule": rule, "action": action})
        if column and self.headers:
            theirs = {file: names.get(column, column) for file, names in self.headers.items()}
            table["column"] = table["file"].map(theirs).fillna(column)
        self.parts.append(table)

    def file_wide(self, frame: pd.DataFrame, name: str, column: str, rule: str, action: str) -> None:
        """Record one finding about a column as a whole, in each of the files it comes from."""
        files = pd.unique(frame["source_file"].astype(object)) if "source_file" in frame else [name]
        self.parts.append(
            pd.DataFrame({"file": files, "row": 0, "column": column, "rule": rule, "action": action})
        )

    def like_labels(self, frame: pd.DataFrame, name: str, column: str, labels: Sequence[str]) -> None:
        """Name a column whose labels differ only by capitals or spaces: each is a group of its own."""
        if len({" ".join(label.casefold().split()) for label in labels}) < len(labels):
            self.file_wide(frame, name, column, "I12", "asked")

    def refuse(self, name: str, column: str, rule: str, message: str) -> None:
        """Record a finding that refuses the whole input."""
        self.messages.append(message)
        self.parts.append(
            pd.DataFrame(
                {"file": [name], "row": [0], "column": [column], "rule": [rule], "action": ["refused"]}
            )
        )

    def count(self, file: str, table: str, outcome: str, reason: str, n: int) -> None:
        """Add n input rows of a table to an outcome of the ledger."""
        if n:
            key = (file, table, outcome, reason)
            self.ledger[key] = self.ledger.get(key, 0) + int(n)


def order(patient: Array, time: Array) -> NDArray[np.int64] | None:
    """The permutation that sorts by patient, then time; None when the rows are sorted already.

    Patient, time and row number are packed into one integer, because sorting plain integers is an order
    of magnitude faster than sorting a permutation.
    """
    n = len(patient)
    same = patient[1:] == patient[:-1]
    if bool(((patient[1:] > patient[:-1]) | (same & (time[1:] >= time[:-1]))).all()):
        return None
    first = int(time.min())
    time_bits = (int(time.max()) - first).bit_length()
    patient_bits, row_bits = int(patient.max()).bit_length(), (n - 1).bit_length()
    if patient_bits + time_bits + row_bits > 63:
        permutation: NDArray[np.int64] = np.lexsort((time, patient))
        return permutation
    key = np.empty(n, dtype=np.int64)
    for start in range(0, n, PIECE):
        piece = slice(start, start + PIECE)
        moment = (patient[piece].astype(np.int64) << time_bits) + (time[piece].astype(np.int64) - first)
        key[piece] = (moment << row_bits) + np.arange(start, start + len(moment))
    key.sort()
    key &= (1 << row_bits) - 1
    return key


def whole_numbers(column: pd.Series[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A column as floats, blank as NaN, with a mask of the cells that hold no finite number."""
    if column.dtype == bool or str(column.dtype) == "boolean":
        blank = column.isna().to_numpy()
        return np.full(len(column), np.nan), ~blank
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = np.isinf(values)
    if column.dtype == object or isinstance(column.dtype, pd.StringDtype):
        wrong |= np.isnan(values) & column.notna().to_numpy()
        wrong |= column.map(lambda cell: isinstance(cell, bool)).to_numpy(dtype=bool)
    if wrong.any():
        values = np.where(wrong, np.nan, values)
    return values, wrong


def plain_forms(
    frame: pd.DataFrame, columns: Sequence[str], instrument: Instrument, *, prorate: bool
) -> Scored | None:
    """Score forms whose every answer is blank or one that can be given; None where any is not.

    In pieces that fit the processor's cache: the answers are never held together.
    """
    cells = [_held(frame[column]) for column in columns]
    if not all(one.dtype.kind in "iuf" for one in cells):
        return None
    n = len(frame)
    whole = Scored(
        ticks=np.empty(n, np.int32), answered=np.empty(n, np.int8), prorated=np.empty(n, np.bool_),
        diagnosis=np.empty(n, np.int8), flag=np.empty(n, np.int8),
    )  # fmt: skip
    for start in range(0, n, PIECE):
        given = np.empty((len(columns), min(PIECE, n - start)), dtype=np.int8)
        for one, into in zip(cells, given, strict=True):
            if not _whole_answers(*_numbers(one[start : start + PIECE]), instrument, into):
                return None
        part = score_items(instrument, given.T, prorate=prorate)
        for name in FIELDS:
            getattr(whole, name)[start : start + PIECE] = getattr(part, name)
    return whole


def _held(column: pd.Series[Any]) -> Any:
    """What holds a column: numpy's array without copying, else pandas' own."""
    return column.to_numpy() if isinstance(column.dtype, np.dtype) else column.array


def _numbers(cells: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Cells of a numeric column as numpy holds them, and which are blank."""
    if isinstance(cells, np.ndarray):
        return cells, cells != cells
    numbers: NDArray[Any] = cells.to_numpy(dtype=cells.dtype.numpy_dtype, na_value=0)
    return numbers, np.asarray(cells.isna()) | (numbers != numbers)


def answers(
    frame: pd.DataFrame, columns: Sequence[str], instrument: Instrument, name: str, found: Findings
) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Item answers as int8, -1 where blank, and a mask of rows holding an answer that cannot be one."""
    matrix = np.full((len(frame), len(columns)), -1, dtype=np.int8, order="F")
    bad = np.zeros(len(frame), dtype=bool)
    for i, column in enumerate(columns):
        cells = frame[column]
        values, wrong = whole_numbers(cells)
        found.rows(frame, name, wrong, column, "D07" if cells.dtype == bool else "D10", "quarantined")
        part = ~np.isnan(values) & (values != np.floor(values))
        found.rows(frame, name, part, column, "D11", "quarantined")
        ok = (values >= instrument.item_low) & (values <= instrument.item_high) & ~part
        matrix[ok, i] = values[ok].astype(np.int8)
        bad |= wrong | part
        _note_answers(frame, name, column, ~ok & ~part & ~np.isnan(values), values, bad, found)
    return matrix, bad


def _whole_answers(
    numbers: Array, blank: NDArray[np.bool_], instrument: Instrument, into: NDArray[np.int8]
) -> bool:
    """Write one item's answers, -1 where blank; False where a cell holds anything else."""
    with np.errstate(invalid="ignore"):
        answer = numbers.astype(np.int8)
    if not bool(((answer == numbers) | blank).all()):
        return False
    # All bits set is -1: the same as answer[blank] = -1, many times faster.
    np.bitwise_or(answer, np.negative(blank.view(np.int8)), out=into)
    below = int(np.count_nonzero(into < instrument.item_low))
    return below <= int(np.count_nonzero(blank)) and (
        not len(into) or int(into.max()) <= instrument.item_high
    )


def _note_answers(
    frame: pd.DataFrame, name: str, column: str, outside: Array, values: Array, bad: Array, found: Findings
) -> None:
    if not outside.any():
        return
    sentinel = outside & ((values < 0) | (values >= 90))
    found.rows(frame, name, sentinel, column, "D06", "quarantined")
    found.rows(frame, name, outside & ~sentinel, column, "D03", "quarantined")
    bad |= outside


def totals(
    frame: pd.DataFrame, column: str, instrument: Instrument, name: str, found: Findings
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Recorded totals in ticks, MISSING where blank, and a mask of rows whose total cannot be one."""
    values, wrong = whole_numbers(frame[column])
    found.rows(frame, name, wrong, column, "D10", "quarantined")
    exact = values * instrument.ticks
    whole = np.rint(exact)
    blank = np.isnan(values)
    with np.errstate(invalid="ignore"):
        part = ~blank & (np.abs(exact - whole) > 1e-6)
        outside = ~blank & ~part & ((values < instrument.low) | (values > instrument.high))
        sentinel = outside & ((values < 0) | (values >= 90))
    found.rows(frame, name, part, column, "D11", "quarantined")
    found.rows(frame, name, sentinel, column, "D06", "quarantined")
    found.rows(frame, name, outside & ~sentinel, column, "D03", "quarantined")
    bad = wrong | part | outside
    ticks = np.full(len(frame), MISSING, dtype=np.int32)
    fine = ~blank & ~bad
    ticks[fine] = whole[fine].astype(np.int32)
    return ticks, bad


def score_rows(
    frame: pd.DataFrame,
    instrument: Instrument,
    item_columns: Sequence[str],
    total_column: str | None,
    *,
    name: str,
    prorate: bool,
    found: Findings,
) -> tuple[NDArray[np.bool_], dict[str, Array]]:
    """Score every row of one instrument; returns a mask of rows that are a record of it, and its columns.

    A row is a record when any item is answered or a total is given. Where items were answered, they and
    not the stated total are scored; a complete set that disagrees with it is quarantined (rule D04).
    """
    n = len(frame)
    bad = np.zeros(n, dtype=bool)
    if item_columns:
        forms = plain_forms(frame, item_columns, instrument, prorate=prorate)
        if forms is None:
            matrix, bad = answers(frame, item_columns, instrument, name, found)
            forms = score_items(instrument, matrix, prorate=prorate)
        scored: dict[str, Array] = {field: getattr(forms, field) for field in FIELDS}
        record = forms.answered > 0
    else:
        record = np.zeros(n, dtype=bool)
        scored = {
            "ticks": np.full(n, MISSING, dtype=np.int32),
            "answered": np.full(n, -1, dtype=np.int8),
            "prorated": np.zeros(n, dtype=bool),
            "diagnosis": np.full(n, -1, dtype=np.int8),
            "flag": np.full(n, -1, dtype=np.int8),
        }
    if total_column is not None:
        stated, wrong = totals(frame, total_column, instrument, name, found)
        has_total = stated != MISSING
        if item_columns:
            complete = scored["answered"] == len(item_columns)
            clash = complete & has_total & (stated != scored["ticks"])
            found.rows(frame, name, clash, total_column, "D04", "quarantined")
            bad |= clash
            # A total beside too few answers says more than the form does: it is not taken, and that is said.
            beside = has_total & record & ~bad & (scored["ticks"] == MISSING)
            found.rows(frame, name, beside, total_column, "D23", "quarantined")
        only_total = has_total & ~record
        scored["ticks"] = np.where(only_total, stated, scored["ticks"]).astype(np.int32)
        scored["answered"] = np.where(only_total, -1, scored["answered"]).astype(np.int8)
        record = record | only_total
        bad |= wrong
    found.count(name, instrument.id, "quarantined", "", int(bad.sum()))
    return record & ~bad, scored


def one_per_moment(
    frame: pd.DataFrame,
    instrument: str,
    positions: Array,
    patient: Array,
    time: Array,
    scored: Mapping[str, Array],
    found: Findings,
) -> Scores:
    """Sort one instrument's scores and leave one per patient, day and timing.

    Repeats that agree become one (rule C07); records that disagree are all quarantined (rule C08),
    since nothing says which is right. A record that cannot be scored yields to one that can.
    """
    permutation = order(patient, time)
    if permutation is not None:
        positions, patient, time = positions[permutation], patient[permutation], time[permutation]
    columns = {key: look_up(values, positions) for key, values in scored.items()}
    same = np.zeros(len(patient), dtype=bool)
    same[1:] = (patient[1:] == patient[:-1]) & (time[1:] == time[:-1])
    if same.any():
        keep = _settle(frame, instrument, positions, same, columns, found)
        patient, time = patient[keep], time[keep]
        columns = {key: values[keep] for key, values in columns.items()}
    found.count("scores", instrument, "kept", "", len(patient))
    return Scores(patient=patient.astype(np.int32), time=time.astype(np.int32), **columns)


def _settle(
    frame: pd.DataFrame,
    instrument: str,
    positions: Array,
    same: Array,
    columns: Mapping[str, Array],
    found: Findings,
) -> Array:
    """Which sorted rows stay: the one best record of each moment, or none where they disagree."""
    moment = np.cumsum(~same) - 1
    ticks, answered = columns["ticks"], columns["answered"]
    scorable = ticks != MISSING
    lowest = np.full(moment[-1] + 1, np.iinfo(np.int32).max, dtype=np.int64)
    highest = np.full(moment[-1] + 1, np.iinfo(np.int32).min, dtype=np.int64)
    np.minimum.at(lowest, moment[scorable], ticks[scorable])
    np.maximum.at(highest, moment[scorable], ticks[scorable])
    disagree = (lowest < highest)[moment]
    # Among records that agree, the fullest stays; the order is by content, never by row.
    rank = np.lexsort((columns["flag"], columns["diagnosis"], answered, scorable, moment))
    last = np.ones(len(rank), dtype=bool)
    last[:-1] = moment[rank][1:] != moment[rank][:-1]
    best = np.zeros(len(moment), dtype=bool)
    best[rank[last]] = True
    merged = ~best & ~disagree
    found.rows(frame, "scores", np.sort(positions[disagree]), instrument, "C08", "quarantined")
    found.rows(frame, "scores", np.sort(positions[merged]), instrument, "C07", "normalised")
    found.count("scores", instrument, "quarantined", "C08", int(disagree.sum()))
    found.count("scores", instrument, "merged", "C07", int(merged.sum()))
    return best & ~disagree


def item_columns(frame_columns: Iterable[str], instrument: Instrument) -> tuple[list[str], bool]:
    """The item columns of an instrument present in a wide frame, and whether the set is complete."""
    present = set(frame_columns)
    wanted = [f"{instrument.id}_{i}" for i in range(1, instrument.items + 1)]
    found = [column for column in wanted if column in present]
    beyond = f"{instrument.id}_{instrument.items + 1}" in present
    return found, len(found) in (0, len(wanted)) and not beyond


def add_up(doses: dict[str, Array]) -> dict[str, Array]:
    """Doses of one patient, day, route and unit added up, their number kept; sorted.

    Given sorted by patient and day, so that where no day has two records nothing is left to do.

    An amount that was not recorded makes the day's sum unknown. Amounts are added in order of size, so
    that the sum does not depend on the order of the input rows.
    """
    if not _share_day(doses["patient"], doses["day"]):
        return doses | {"given": np.broadcast_to(np.int32(1), len(doses["day"]))}
    routes = doses["route"].astype(np.int64) + 1
    units = doses["unit"].astype(np.int64) + 1
    n_routes, n_units = (int(codes.max(initial=0)) + 1 for codes in (routes, units))
    fine = (doses["day"].astype(np.int64) * n_routes + routes) * n_units + units
    permutation = order(doses["patient"], fine)
    if permutation is not None:
        doses = {key: values[permutation] for key, values in doses.items()}
        fine = fine[permutation]
    patient = doses["patient"]
    same = np.zeros(len(patient), dtype=bool)
    same[1:] = (patient[1:] == patient[:-1]) & (fine[1:] == fine[:-1])
    doses["given"] = np.ones(len(patient), dtype=np.int32)
    if not same.any():
        return doses
    group = np.cumsum(~same) - 1
    by_size = np.lexsort((doses["site"], doses["amount"], group))
    doses = {key: values[by_size] for key, values in doses.items()}
    starts = np.flatnonzero(~same)
    added = {key: values[starts] for key, values in doses.items()}
    added["amount"] = np.add.reduceat(doses["amount"], starts)
    added["days"] = np.maximum.reduceat(doses["days"], starts)
    added["given"] = np.add.reduceat(doses["given"], starts).astype(np.int32)
    added["site"] = np.maximum.reduceat(doses["site"], starts)
    added["weight"] = np.fmax.reduceat(doses["weight"], starts)
    return added


def _share_day(patient: Array, day: Array) -> bool:
    """Whether two sorted records are of the same patient and day."""
    return bool(((patient[1:] == patient[:-1]) & (day[1:] == day[:-1])).any())
