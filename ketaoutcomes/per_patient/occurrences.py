"""What happened to people beside doses and scores, as stretches of days that can be searched.

What an event must be for a measure to take it (an *occurrence*) stands in `definitions/measures.toml`; codes
are data, and nothing here knows one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.definitions import DIAGNOSIS, Occurrence
from ketaoutcomes.per_patient.courses import NEVER, Moments
from ketaoutcomes.records.coding import text_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ketaoutcomes.per_patient.patients import Setting

Array = Any
AGE = "age"
FAR = 2 * NEVER  # beyond every day, in either direction
NO_DAY = np.iinfo(np.int64).min  # what pandas holds for a date that is not there


class Spans:
    """Stretches of days of patients, sorted, that can be asked whether any touches another stretch."""

    def __init__(self, patient: Array, first: Array, last: Array) -> None:
        at = np.lexsort((last, first, patient))
        self.patient = patient[at].astype(np.int64)
        self.first, self.last = first[at].astype(np.int64), last[at].astype(np.int64)
        self.starts = Moments(self.patient, self.first)
        shift = np.int64(2**34)
        reach = np.maximum.accumulate(self.patient * shift + self.last + FAR) if len(at) else self.last
        self.reach = reach - self.patient * shift - FAR

    def only(self, keep: Array) -> Spans:
        """Some of them."""
        return Spans(self.patient[keep], self.first[keep], self.last[keep])

    def touch(self, patient: Array, since: Array, until: Array) -> NDArray[np.bool_]:
        """For each patient and stretch of days, both ends included: whether one of theirs shares a day."""
        if not len(self.patient):
            return np.zeros(len(patient), dtype=bool)
        at = self.starts.last_by(patient, until)
        safe = np.maximum(at, 0)
        found: NDArray[np.bool_] = (at >= 0) & (self.patient[safe] == patient) & (self.reach[safe] >= since)
        return found


@dataclass(frozen=True, eq=False)
class Events:
    """A cohort's events as arrays; `last` is the last day of each, NEVER for a diagnosis that goes on."""

    patient: NDArray[np.int64]
    day: NDArray[np.int64]
    last: NDArray[np.int64]
    kind: NDArray[np.int32]
    code: NDArray[np.int32]
    kinds: tuple[str, ...]
    codes: tuple[str, ...]
    _masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def on_record(self, one: Occurrence) -> bool:
        """Whether the events hold any of the kinds an occurrence is told from."""
        told = {*one.kinds, *((DIAGNOSIS,) if one.words or one.icd10 else ())}
        return bool(told & set(self.kinds))

    def spans(self, one: Occurrence, setting: Setting, low: int, high: int) -> Spans:
        """The stretches of days of an occurrence, of a block of patients, that have begun by the last day."""
        if one.id not in self._masks:
            self._masks[one.id] = self._are(one)
        a, b = np.searchsorted(self.patient, [low, high])
        own = np.flatnonzero(self._masks[one.id][a:b]) + a
        own = own[self.day[own] <= setting.cut[self.patient[own]]]
        return Spans(self.patient[own] - low, self.day[own], self.last[own])

    def _are(self, one: Occurrence) -> NDArray[np.bool_]:
        by_kind = np.array([kind in one.kinds for kind in self.kinds] + [False], dtype=bool)
        diagnosis = np.array([kind == DIAGNOSIS for kind in self.kinds] + [False], dtype=bool)
        by_code = np.array([_names(code, one) for code in self.codes] + [False], dtype=bool)
        found: NDArray[np.bool_] = by_kind[self.kind] | (diagnosis[self.kind] & by_code[self.code])
        return found


def _names(code: str, one: Occurrence) -> bool:
    """Whether a diagnosis's code is one of an occurrence's words or begins with one of its ICD-10-CM codes.

    >>> words = Occurrence("x", "", (), ("personality_disorder",), ("F60.3",), "")
    >>> [_names(code, words) for code in ("Personality disorder", "F60.31", "f6031", "F60.4", "F6")]
    [True, True, True, False, False]
    """
    bare = code.upper().replace(".", "")
    return re.sub(r"[\s-]+", "_", code.casefold()) in one.words or any(
        bare.startswith(start.replace(".", "")) for start in one.icd10
    )


def events_of(setting: Setting) -> Events:
    """A cohort's events, sorted by patient."""
    table, names = setting.cohort.events, pd.Index(setting.cohort.patients)
    patient = names.get_indexer(pd.Index(table["patient"])).astype(np.int64)
    day = table["day"].to_numpy(dtype=np.int64)
    kind, kinds = text_codes(table["kind"])
    code, codes = text_codes(table["code"])
    days = table["days"].to_numpy(dtype=np.float64, na_value=np.nan)
    going_on = np.array([one == DIAGNOSIS for one in kinds] + [False], dtype=bool)[kind]
    unstated = np.where(going_on, NEVER, day)
    last = np.where(np.isnan(days), unstated, day + np.nan_to_num(days).astype(np.int64) - 1)
    return Events(patient, day, last, kind, code, kinds, codes)


def born(setting: Setting) -> NDArray[np.int64]:
    """Each patient's day of birth since 1970, NO_DAY where not known.

    Where only an age on day 0 is known, the birthday is taken to be day 0.
    """
    people, start = setting.cohort.people, starts(setting)
    day = np.full(len(people), NO_DAY, dtype=np.int64)
    if AGE in people:
        codes, labels = text_codes(people[AGE])
        years = [re.match(r"\d+", label) for label in labels]
        age = np.array([int(found[0]) if found else -1 for found in years] + [-1], dtype=np.int64)[codes]
        day = np.where(age >= 0, months_later(start, -12 * np.maximum(age, 0)), day)
    if "birth_day" in people:
        own = people["birth_day"].to_numpy(dtype=np.float64)
        day = np.where(np.isnan(own), day, start + np.nan_to_num(own).astype(np.int64))
    result: NDArray[np.int64] = np.where(start == NO_DAY, NO_DAY, day)
    return result


def starts(setting: Setting) -> NDArray[np.int64]:
    """Each patient's day 0 since 1970; 0 where the records hold day offsets only."""
    if setting.cohort.dates == "offsets":
        return np.zeros(len(setting.cohort.patients), dtype=np.int64)
    return setting.start_days


def months_later(day: Array, months: Array | int) -> NDArray[np.int64]:
    """Days since 1970 so many calendar months later; a day the month lacks becomes its last one.

    >>> later = months_later(np.datetime64("2024-02-29").astype(int), [12, 6])
    >>> later.astype("datetime64[D]").astype(str).tolist()
    ['2025-02-28', '2024-08-29']
    """
    days = np.asarray(day, dtype=np.int64).astype("datetime64[D]")
    month = days.astype("datetime64[M]")
    since = (days - month.astype("datetime64[D]")).astype(np.int64)
    then = month + np.asarray(months, dtype="timedelta64[M]")
    longest: Array = ((then + 1).astype("datetime64[D]") - then.astype("datetime64[D]")).astype(np.int64) - 1
    first: NDArray[np.int64] = then.astype("datetime64[D]").astype(np.int64)
    result: NDArray[np.int64] = first + np.minimum(since, longest)
    return result
