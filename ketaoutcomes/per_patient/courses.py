"""Doses to courses: series, induction and maintenance, due; and each course's baseline.

A course is a run of dose days with no gap longer than its protocol's course gap. Its protocol is known on
its first day, so no outcome can choose its own yardstick. Everything here is decided patient by patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.definitions import MISSING
from ketaoutcomes.plan import ROUTES, PlanError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ketaoutcomes.definitions import Instrument, Protocol
    from ketaoutcomes.plan import Plan
    from ketaoutcomes.records.assembly import Doses, Scores

Array = Any
NEVER = 2**30  # a day beyond every record: no next dose, nothing cut off, no limit


@dataclass(frozen=True, eq=False)
class DoseDays:
    """One row per patient and dose day, sorted: `row` its first dose record, `end` its last covered day."""

    patient: NDArray[np.int32]
    day: NDArray[np.int32]
    end: NDArray[np.int32]
    row: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Courses:
    """One row per course, sorted by patient and first day; days are the patient's own.

    `protocol` indexes the protocols in use; `start` and `stop` delimit the course's dose days; `next_first`
    is the first day of the patient's next course (NEVER if none); `limit` is the last day of induction;
    `maturity` is NEVER where the protocol has none.
    """

    patient: NDArray[np.int32]
    number: NDArray[np.int32]
    protocol: NDArray[np.int16]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    first: NDArray[np.int32]
    next_first: NDArray[np.int32]
    last_end: NDArray[np.int32]
    inducted: NDArray[np.int32]
    last_induction: NDArray[np.int32]
    maturity: NDArray[np.int32]
    gap: NDArray[np.int32]
    observed: NDArray[np.bool_]
    route: NDArray[np.int16]
    unit: NDArray[np.int16]
    site: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.patient)


@dataclass(frozen=True, eq=False)
class Yardstick:
    """The protocols in use as arrays, and how each patient or route finds its own."""

    protocols: tuple[Protocol, ...]
    by_route: NDArray[np.int16]  # route code -> protocol; the last entry is for a blank route
    route_rank: NDArray[np.int16]  # which of two routes on one first day decides
    by_patient: NDArray[np.int16]  # -1: by route

    def numbers(self, name: str, none: int = NEVER) -> NDArray[np.int32]:
        """One protocol number for every protocol in use, `none` where it has none."""
        values = [getattr(protocol, name) for protocol in self.protocols]
        return np.array([none if value is None else value for value in values], dtype=np.int32)


def yardstick(doses: Doses, stated: Array, names: Sequence[str], plan: Plan) -> Yardstick:
    """How each patient's courses find their protocol: as stated for the patient, else by route.

    `stated` is `people.protocol`, a code into `names` for every patient, -1 where blank. Raises `PlanError`
    where a stated protocol is not defined. A route without a protocol is no fault until a course begins
    with it (`find_courses`).
    """
    wanted: list[str] = []

    def number(name: str) -> int:
        if name not in wanted:
            wanted.append(name)
        return wanted.index(name)

    everyone = plan.protocol.get("all")
    uniques = sorted({name for name in names if name})
    named = {name: number(name) for name in uniques}
    lookup = np.array([named.get(name, -1) for name in names] + [-1], dtype=np.int16)
    by_patient = lookup[stated]
    unstated = doses.route[by_patient[doses.patient] < 0] if uniques else doses.route
    used = np.flatnonzero(np.bincount(unstated + np.int16(1))) - 1
    by_route = np.full(len(doses.routes) + 1, -1, dtype=np.int16)
    mistakes = []
    if any(name not in plan.definitions.protocols for name in uniques):
        known = ", ".join(plan.definitions.protocols)
        mistakes.append(f"people.protocol names a protocol that is not defined; write one of: {known}")
    for code in used:
        route = doses.routes[code] if code >= 0 else ""
        name = everyone or plan.protocol.get(route, "")
        if name:
            by_route[code] = number(name)
    if mistakes:
        raise PlanError(lines=mistakes)
    listed = list(plan.protocol)
    rank = [listed.index(route) if route in listed else len(listed) for route in doses.routes] + [len(listed)]
    protocols = tuple(plan.definitions.protocol(name) for name in wanted)
    return Yardstick(protocols, by_route, np.array(rank, dtype=np.int16), by_patient)


def _no_protocol(route: str) -> str:
    if not route:
        return (
            "some first doses have no route, so no protocol; write in the plan: "
            '[columns] route = { value = "iv" }, where all had the same, or [protocol] all = "iv6"'
        )
    if route not in ROUTES:
        return (
            f"a route is not one of {', '.join(ROUTES)}; write in the plan: "
            '[columns] route = { from = "YOUR COLUMN", map = { "your text" = "iv" } }'
        )
    return (
        f'route {route} has no protocol; write in the plan: [protocol] {route} = "iv6" (or "none": by week)'
    )


def dose_days(doses: Doses, cut: Array) -> DoseDays:
    """One row per patient and dose day up to each patient's last day on record (`cut`)."""
    patient, day, end = doses.patient, doses.day, doses.day + doses.days - np.int32(1)
    late = day > cut.take(patient)
    rows = np.flatnonzero(~late) if late.any() else np.arange(len(day))
    if len(rows) < len(day):
        patient, day, end = patient.take(rows), day.take(rows), end.take(rows)
    fresh = _begins(patient)
    fresh[1:] |= day[1:] != day[:-1]
    starts = np.flatnonzero(fresh)
    if len(starts) == len(rows):
        return DoseDays(patient, day, end, rows)
    return DoseDays(patient[starts], day[starts], np.maximum.reduceat(end, starts), rows[starts])


def _begins(patient: Array) -> NDArray[np.bool_]:
    """Which sorted rows are the first of their patient."""
    first = np.ones(len(patient), dtype=bool)
    np.not_equal(patient[1:], patient[:-1], out=first[1:])
    return first


def find_courses(days: DoseDays, doses: Doses, rule: Yardstick, observed_from: Array) -> Courses:
    """Split dose days into courses and number them.

    A gap runs from the last day any earlier dose of the course covers. Which gap is too long depends on
    the course's protocol, which may change with the route of its first dose: the gaps that depend on it
    are settled in order, course by course. Raises `PlanError` with the line to write where the route of a
    course's first dose has no protocol.
    """
    n = len(days.patient)
    new_patient = _begins(days.patient)
    covered = _running_end(days, new_patient)
    gap = np.full(n, 0, dtype=np.int64)
    gap[1:] = days.day[1:].astype(np.int64) - covered[:-1]
    limits = rule.numbers("course_gap")
    opens = new_patient | (gap > (limits.max() if len(limits) else 0))
    while True:
        starts = np.flatnonzero(opens)
        protocol = _protocol_of(starts, days, doses, rule)
        _refuse_unknown(protocol, doses.route[days.row[starts]], doses.routes)
        course = np.cumsum(opens) - 1
        too_long = ~opens & (gap > limits[protocol[course]]) if n else opens
        if not too_long.any():
            break
        hits = np.flatnonzero(too_long)
        first_hit = np.ones(len(hits), dtype=bool)
        first_hit[1:] = course[hits[1:]] != course[hits[:-1]]
        opens = opens.copy()
        opens[hits[first_hit]] = True
    return _describe(starts, protocol, days, doses, rule, covered, observed_from)


def _refuse_unknown(protocol: Array, route: Array, routes: Sequence[str]) -> None:
    without = np.unique(route[protocol < 0])
    if len(without):
        raise PlanError(lines=[_no_protocol(routes[code] if code >= 0 else "") for code in without])


def _running_end(days: DoseDays, new_patient: Array) -> NDArray[np.int64]:
    """The last day covered by this or any earlier dose of the patient."""
    if bool((days.end == days.day).all()):
        return days.end.astype(np.int64)
    segment = np.cumsum(new_patient).astype(np.int64) << 32
    running: NDArray[np.int64] = np.maximum.accumulate(segment + days.end.astype(np.int64)) - segment
    return running


def _protocol_of(starts: Array, days: DoseDays, doses: Doses, rule: Yardstick) -> NDArray[np.int16]:
    rows = days.row[starts]
    protocol = rule.by_route[doses.route[rows]]
    # Two routes on a first day: the one named first in the plan's [protocol] table decides.
    tied = np.flatnonzero(_more_routes(rows, doses))
    for i in tied:
        row = best = rows[i]
        while (
            row < len(doses.patient)
            and doses.patient[row] == doses.patient[best]
            and doses.day[row] == doses.day[best]
        ):
            if rule.route_rank[doses.route[row]] < rule.route_rank[doses.route[best]]:
                best = row
            row += 1
        protocol[i] = rule.by_route[doses.route[best]]
    stated = rule.by_patient[days.patient[starts]]
    return np.where(stated >= 0, stated, protocol).astype(np.int16)


def _more_routes(rows: Array, doses: Doses) -> NDArray[np.bool_]:
    after = np.minimum(rows + 1, max(len(doses.patient) - 1, 0))
    same_patient = doses.patient[after] == doses.patient[rows]
    more: NDArray[np.bool_] = (after > rows) & same_patient & (doses.day[after] == doses.day[rows])
    return more


def _describe(
    starts: Array,
    protocol: Array,
    days: DoseDays,
    doses: Doses,
    rule: Yardstick,
    covered: Array,
    observed_from: Array,
) -> Courses:
    stops = np.append(starts[1:], len(days.patient)).astype(np.int64)[: len(starts)]
    patient, first = days.patient[starts], days.day[starts]
    fresh = _begins(patient)
    index = np.arange(len(starts))
    number = index - np.maximum.accumulate(np.where(fresh, index, 0)) + 1
    next_first = np.full(len(starts), NEVER, dtype=np.int32)
    next_first[:-1] = np.where(fresh[1:], NEVER, first[1:])
    visits, limit = rule.numbers("visits", 0)[protocol], rule.numbers("induction_limit")[protocol]
    maturity, gap = rule.numbers("maturity")[protocol], rule.numbers("course_gap")[protocol]
    inducted = np.minimum(_doses_by(starts, stops, days, first + np.minimum(limit, NEVER - 1)), visits)
    rows = days.row[starts]
    return Courses(
        patient=patient, number=number.astype(np.int32), protocol=protocol.astype(np.int16),
        start=starts.astype(np.int64), stop=stops, first=first, next_first=next_first,
        last_end=covered[stops - 1].astype(np.int32), inducted=inducted.astype(np.int32),
        last_induction=days.day[starts + np.maximum(inducted, 1) - 1],
        maturity=maturity, gap=gap,
        observed=(gap == NEVER) | (first.astype(np.int64) - observed_from[patient] > gap),
        route=doses.route[rows], unit=doses.unit[rows], site=doses.site[rows],
    )  # fmt: skip


def _doses_by(starts: Array, stops: Array, days: DoseDays, until: Array) -> NDArray[np.int64]:
    """Dose days of each course up to and including a day."""
    counted = np.zeros(len(days.day) + 1, dtype=np.int64)
    inside = days.day <= np.repeat(until, stops - starts)
    np.cumsum(inside, out=counted[1:])
    found: NDArray[np.int64] = counted[stops] - counted[starts]
    return found


@dataclass(frozen=True, eq=False)
class Baselines:
    """One row per course for one instrument, in the courses' order; `index` counts eligible ones, from 1."""

    ticks: NDArray[np.int32]
    diagnosis: NDArray[np.int8]
    day: NDArray[np.int32]
    reason: NDArray[np.int16]
    index: NDArray[np.int32]

    @property
    def found(self) -> NDArray[np.bool_]:
        """Whether the course has a baseline, whatever the gate says."""
        known: NDArray[np.bool_] = self.ticks != MISSING
        return known


REASONS = (
    "eligible",
    "start_not_observed",
    "no_baseline",
    "below_gate",
)  # then entry:<column>, in the plan's order


def baselines(
    courses: Courses,
    scores: Scores,
    totals: Recorded,
    plan: Plan,
    instrument: Instrument,
    admitted: Sequence[Array],
) -> Baselines:
    """Each course's baseline: the last score from `within_days` before the first dose up to it.

    A score on the day of the first dose counts unless its timing says post. `admitted` holds one yes/no
    array per entry rule of the plan, one entry per patient, applied in order.
    """
    patient, time, ticks = totals.patient, totals.time, totals.ticks
    position = totals.moments.last_by(courses.patient, 2 * courses.first)
    found = position >= 0
    safe = np.where(found, position, 0)
    if len(patient):
        found &= (patient[safe] == courses.patient) & (
            time[safe] >= 2 * (courses.first - plan.baseline.within_days)
        )
    value = np.full(len(courses), MISSING, dtype=np.int32)
    value[found] = ticks[safe[found]]
    diagnosis = np.full(len(courses), -1, dtype=np.int8)
    diagnosis[found] = scores.diagnosis[totals.at[safe[found]]]
    day = np.full(len(courses), 0, dtype=np.int32)
    day[found] = time[safe[found]] >> 1
    reason = np.zeros(len(courses), dtype=np.int16)
    for i, yes in reversed(list(enumerate(admitted))):
        reason[~yes[courses.patient]] = len(REASONS) + i
    gate = plan.gate(instrument.id)
    if gate is not None:
        level = gate * instrument.ticks
        milder = value < level if instrument.worse == "higher" else value > level
        reason[milder] = REASONS.index("below_gate")
    reason[~found] = REASONS.index("no_baseline")
    reason[~courses.observed] = REASONS.index("start_not_observed")
    eligible = reason == 0
    return Baselines(value, diagnosis, day, reason, _count_within(courses.patient, eligible))


def _count_within(patient: Array, yes: Array) -> NDArray[np.int32]:
    """Running count of yes within each patient; 0 where no."""
    total = np.cumsum(yes)
    fresh = _begins(patient)
    before = np.maximum.accumulate(np.where(fresh, total - yes, 0)) if len(patient) else total
    return np.where(yes, total - before, 0).astype(np.int32)


def laid_out(low: Array, high: Array) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Ranges of positions one after another: where each begins (and the last ends), whose, which position.

    >>> [part.tolist() for part in laid_out(np.array([3, 9, 5]), np.array([5, 9, 6]))]
    [[0, 2, 2, 3], [0, 0, 2], [3, 4, 5]]
    """
    start = np.zeros(len(low) + 1, dtype=np.int64)
    np.cumsum(high - low, out=start[1:])
    of = np.repeat(np.arange(len(low)), high - low)
    return start, of, np.arange(start[-1]) + (low - start[:-1])[of]


class Moments:
    """Sorted (patient, time) pairs that can be searched; one packed integer each."""

    def __init__(self, patient: Array, time: Array) -> None:
        self.low = int(time.min(initial=0)) - 1
        span = int(time.max(initial=0)) + 1 - self.low
        self.bits = max(span, 1).bit_length()
        self.span = span
        self.keys = (patient.astype(np.int64) << self.bits) | (time.astype(np.int64) - self.low)

    def _pack(self, patient: Array, time: Array) -> NDArray[np.int64]:
        moment = np.asarray(time, dtype=np.int64) - self.low
        np.clip(moment, 0, self.span, out=moment)
        moment |= np.asarray(patient, dtype=np.int64) << self.bits
        return moment

    def first_from(self, patient: Array, time: Array) -> NDArray[np.int64]:
        """Position of the first pair at or after each (patient, time), of whichever patient it is."""
        return np.searchsorted(self.keys, self._pack(patient, time), side="left")

    def last_by(self, patient: Array, time: Array) -> NDArray[np.int64]:
        """Position of the last pair at or before each (patient, time), whoever's it is; -1 if none."""
        return np.searchsorted(self.keys, self._pack(patient, time), side="right") - 1


@dataclass(frozen=True, eq=False)
class Recorded:
    """Those scores of one instrument that can be judged, sorted, and searchable; `at`: where among all."""

    at: NDArray[np.int64]
    patient: NDArray[np.int32]
    time: NDArray[np.int32]
    ticks: NDArray[np.int32]
    moments: Moments


def recorded(scores: Scores, yes: Array) -> Recorded:
    """Some of the scores: those with a total, or those with a diagnosis."""
    at = np.flatnonzero(yes)
    patient, time, ticks = (column.take(at) for column in (scores.patient, scores.time, scores.ticks))
    return Recorded(at, patient, time, ticks, Moments(patient, time))
