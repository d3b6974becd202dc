"""The rules of good time once more: every day of every course walked through, one after the other.

It builds on `reference`, which spells out courses, baselines and scores, and like it imports nothing of the
package. Where the package adds up whole arrays, this file asks on each day: which dose was the last, was it
enough, does it still speak, and what did the patient's score say.

Rows are those of `reference`, with more in them: doses may carry unit and weight_kg, people target_dose,
target_unit, target_day and weight_kg.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import reference
from good_time_levels import (
    TOLERANCE,
    GoodTime,
    Record,
    basis_of,
    has_level,
    records_of,
    share_of_level,
    usable_target,
)
from reference import DOSE, PRE, Course, Moment, Row, Score, Settings

MEASURED = (
    "reached_day", "good", "good_at_response",
    "titrating_days", "adequate_days", "dipped_days", "lapsed_days", "overdue",
)  # fmt: skip
"""What is not known of a course without a level."""

GROUPS = {
    "responded_before": "responded before the level",
    "responded_lapsed": "responded after it",
    "responded_1": "responded after it",
    "responded_2": "responded after it",
    "responded_later": "responded after it",
    "full_trial": "trial complete without response",
    "stopped_before": "stopped short",
    "stopped_early": "stopped short",
    "titrating": "not evaluable",
    "accruing": "not evaluable",
    "unassessed": "not evaluable",
    "not_comparable": "not evaluable",
    "no_level": "not evaluable",
}


@dataclass(frozen=True)
class Day:
    """One day of a course: the cover in force from that day's dose on, and every clock as the day begins."""

    cover: str  # adequate, inadequate or none
    cumulative: int
    first_reach: int
    contiguous: int


# --- one course, day by day ------------------------------------------------------------------------------


@dataclass
class Walk:
    """One course with its clock: what was adequate, and every day walked through."""

    course: Course
    protocol: reference.Protocol
    clock: str
    windows: tuple[int, int]
    adequate: dict[int, bool]  # dose day -> enough
    last_day: int | None  # as-of
    days: dict[int, Day] = field(default_factory=dict)

    @property
    def last_end(self) -> int:
        """The last day any dose record of the course covers."""
        return max(self.course.ends[day] for day in self.course.days)

    @property
    def end(self) -> int:
        """The day on which the course's account closes."""
        ends = [self.last_end + (self.protocol.course_gap or 0)]
        ends += [day for day in (self.last_day, self.course.next_first) if day is not None]
        return min(ends)

    @property
    def open(self) -> bool:
        """Whether a further dose could still belong to the course."""
        return self.last_day is not None and self.last_end + (self.protocol.course_gap or 0) >= self.last_day

    @property
    def reached(self) -> int | None:
        """The first day with an adequate dose."""
        return min((day for day, enough in self.adequate.items() if enough), default=None)

    def speaks_until(self, dosed: int) -> int:
        """The first day a dose no longer speaks for, were there no later one."""
        protocol, course = self.protocol, self.course
        position = course.days.index(dosed) + 1
        in_induction = protocol.visits is None or (
            position < protocol.visits and dosed <= course.first + (protocol.induction_limit or 0)
        )
        carry = protocol.carry or (0, 0)
        return course.ends[dosed] + (carry[0] if in_induction else carry[1])

    def cover_on(self, day: int) -> str:
        """The cover on one day: of the last dose given by then, if it still speaks."""
        dosed = max((d for d in self.course.all_days if d <= day), default=None)
        if dosed is None or dosed not in self.adequate or day >= self.speaks_until(dosed):
            return "none"
        return "adequate" if self.adequate[dosed] else "inadequate"

    def walk(self, until: int) -> None:
        """Go through every day from the first dose on, and read the clocks as each begins."""
        cumulative = first_reach = contiguous = 0
        for day in range(self.course.first, until + 1):
            cover = self.cover_on(day)
            self.days[day] = Day(cover, cumulative, first_reach, contiguous)
            reached = self.reached is not None and day >= self.reached
            if cover == "adequate":
                cumulative += 1
                contiguous += 1
            else:
                contiguous = 0
            if cover != "none" and reached:
                first_reach += 1

    def good(self, moment: Moment) -> int:
        """Good time before a moment."""
        if self.clock == "doses":
            return sum(enough and (day, DOSE) < moment for day, enough in self.adequate.items())
        found: int = getattr(self.days[moment[0]], self.clock)
        return found

    def days_since_cover(self, moment: Moment, adequate_only: bool) -> int | None:
        """Days since cover by the doses before a moment ended; zero or less while it lasts; None: no dose."""
        given = [
            day
            for day, enough in self.adequate.items()
            if (day, DOSE) < moment and (enough or not adequate_only)
        ]
        if not given:
            return None
        later = [day for day in self.course.all_days if day > given[-1] and (day, DOSE) < moment]
        until = self.speaks_until(given[-1])
        return moment[0] - (min(until, later[0]) if later else until)

    def account(self) -> Counter[str]:
        """How many days were spent titrating, adequate, dipped and lapsed."""
        days: Counter[str] = Counter()
        for day in range(self.course.first, self.end):
            days[self.state_on(day)] += 1
        return days

    def state_on(self, day: int) -> str:
        """What one day was, whatever the scores say."""
        cover = self.cover_on(day)
        if cover == "none":
            return "lapsed"
        if self.reached is None or day < self.reached:
            return "titrating"
        return "adequate" if cover == "adequate" else "dipped"


# --- statuses --------------------------------------------------------------------------------------------


def can_be_judged(baseline: Score, criterion: str) -> bool:
    """A percent fall of zero and the loss of a diagnosis that was not there are no questions."""
    if criterion in reference.PERCENT_RULES and baseline.total == 0:
        return False
    return criterion not in reference.DIAGNOSIS_RULES or baseline.diagnosis is True


def judged_scores(
    course: Course, scores: Sequence[Score], baseline: Score, criterion: str
) -> list[tuple[Score, bool]]:
    """The course's scores with whether each meets the criterion; none where it cannot be judged."""
    if not can_be_judged(baseline, criterion):
        return []
    rule = reference.CRITERIA[criterion]
    pairs = []
    for score in reference.of_course(course, scores):
        if criterion in reference.DIAGNOSIS_RULES:
            if score.diagnosis is not None:
                pairs.append((score, rule(Fraction(1), Fraction(score.diagnosis))))
        else:
            pairs.append((score, rule(baseline.total, score.total)))
    return pairs


def status_of(walk: Walk, judged: Sequence[tuple[Score, bool]], rules: GoodTime) -> str:
    """The one status of a course that has a level: the first that fits."""
    reached, (w1, w2) = walk.reached, walk.windows
    response = next((score.moment for score, met in judged if met), None)
    if response is not None:
        if reached is None or response < (reached, DOSE):
            return "responded_before"
        away = walk.days_since_cover(response, adequate_only=False)
        if away is not None and away > rules.grace:
            return "responded_lapsed"
        good = walk.good(response)
        return "responded_1" if good <= w1 else "responded_2" if good <= w2 else "responded_later"
    if any(after_a_whole_trial(walk, score, rules) for score, _ in judged):
        return "full_trial"
    if reached is None:
        return "titrating" if walk.open else "stopped_before"
    moments = [(day, PRE) for day in range(walk.course.first, walk.end + 1)]
    moments += [score.moment for score, _ in judged]
    if max(walk.good(moment) for moment in moments) < w2:
        return "accruing" if walk.open else "stopped_early"
    return "unassessed"


def after_a_whole_trial(walk: Walk, score: Score, rules: GoodTime) -> bool:
    """Whether a score was taken after a whole trial, under adequate cover or not long after it."""
    if walk.reached is None or walk.good(score.moment) < walk.windows[1]:
        return False
    away = walk.days_since_cover(score.moment, adequate_only=True)
    return away is not None and away <= rules.grace


def at_full_trial(one: Judged, rules: GoodTime) -> str | None:
    """Of a course that responded: whether the response was there at the first score after a whole trial."""
    if one.walk is None or one.response is None:
        return None
    for score, met in one.scores:
        if score.moment >= one.response and after_a_whole_trial(one.walk, score, rules):
            return "present" if met else "absent"
    return "no_score"


def calendar_verdict(course: Course, judged: Sequence[tuple[Score, bool]], day: int, last: int | None) -> str:
    """The plain answer on a calendar day after the first dose."""
    if last is not None and course.first + day > last:
        return "not_due"
    by_then = [(score, met) for score, met in judged if score.day <= course.first + day]
    if any(met for _, met in by_then):
        return "responded"
    if any(score.day >= course.first + day - 31 for score, _ in by_then):
        return "not_responded"
    return "not_assessed"


@dataclass
class Judged:
    """One eligible course judged by one criterion: its row, and its walk where it has a level."""

    row: dict[str, Any]
    course: Course
    last_day: int | None
    walk: Walk | None
    scores: list[tuple[Score, bool]]
    index: int
    question: bool  # whether the criterion can be judged at all

    @property
    def response(self) -> Moment | None:
        """When a score of the course first met the criterion."""
        return next((score.moment for score, met in self.scores if met), None)


def judge(
    doses: Sequence[Row],
    scores: Sequence[Row],
    people: Sequence[Row],
    plan: Settings,
    rules: GoodTime,
    *,
    as_of: int | None = None,
    by_cut_day: bool = False,
) -> list[Judged]:
    """Every eligible course of the criterion's instrument, judged; as-of as in `reference.points`."""
    persons = {person["patient"]: person for person in people}
    instrument = rules.criterion.partition("_")[0]
    basis = basis_of(people, rules)
    found = []
    for patient in sorted({row["patient"] for row in doses}):
        person = persons.get(patient, {"patient": patient})
        last = person["cut_day"] if by_cut_day else as_of
        every = reference.scores_of(scores, patient, instrument, last, plan)
        index = 0
        for course in reference.courses_of(doses, person, last, plan):
            baseline = reference.baseline_of(course, every, plan)
            if (
                reference.why_not(course, person, baseline, instrument, plan) != "eligible"
                or baseline is None
            ):
                continue
            index += 1
            judged = judged_scores(course, every, baseline, rules.criterion)
            records = records_of(doses, patient, course.days)
            question = can_be_judged(baseline, rules.criterion)
            one = one_course(course, records, person, judged, basis, plan, rules, last, index, question)
            found.append(one)
    return found


def one_course(
    course: Course,
    records: Sequence[Record],
    person: Row,
    judged: list[tuple[Score, bool]],
    basis: str,
    plan: Settings,
    rules: GoodTime,
    last: int | None,
    index: int,
    question: bool,
) -> Judged:
    """One row of the good_time table."""
    protocol = plan.protocol(course.protocol)
    trial = rules.trials.get(course.protocol)
    clock = clock_of(rules, trial)
    response = next((score for score, met in judged if met), None)
    row: dict[str, Any] = {
        "patient": course.patient, "course": course.number, "instrument": rules.criterion.partition("_")[0],
        "criterion": rules.criterion, "protocol": course.protocol, "basis": basis,
        "response_day": None if response is None else response.day - course.first,
        **{f"calendar_{day}": calendar_verdict(course, judged, day, last) for day in rules.calendar},
        "mature": last is None or course.first + rules.mature <= last,
    }  # fmt: skip
    windows = windows_of(rules, trial, clock)
    reason = no_verdict(course, records, person, basis, rules)
    if not question or protocol.carry is None or windows is None:
        reason = "not_comparable"
    if reason is not None or windows is None:
        row |= {"status": reason, "group": GROUPS[reason or ""], **dict.fromkeys(MEASURED)}
        return Judged(row, course, last, None, judged, index, question)
    adequate = {
        day: any(
            (share_of_level(r, course, records, person, basis, rules) or 0)
            >= rules.fraction * (1 - TOLERANCE)
            for r in records
            if r.day == day
        )
        for day in course.days
    }
    walk = Walk(course, protocol, clock, windows, adequate, last)
    walk.walk(max([walk.end, *(score.day for score, _ in judged)]))
    status, account = status_of(walk, judged, rules), walk.account()
    never = walk.reached is None
    row |= {
        "reached_day": None if walk.reached is None else walk.reached - course.first,
        "good": walk.good((walk.end, PRE)),
        "good_at_response": None if response is None else walk.good(response.moment),
        "window_1": windows[0], "window_2": windows[1], "unit": "doses" if clock == "doses" else "days",
        "status": status, "group": GROUPS[status],
        **{f"{kind}_days": account[kind] for kind in ("titrating", "adequate", "dipped", "lapsed")},
        "overdue": never and (last is None or last - course.first > rules.overdue),
    }  # fmt: skip
    return Judged(row, course, last, walk, judged, index, question)


def clock_of(rules: GoodTime, trial: tuple[int, int, str] | None) -> str:
    """The plan's clock; unless it names one, doses for visit trials and cumulative days for day trials."""
    if rules.clock != "protocol":
        return rules.clock
    return "doses" if trial is not None and trial[2] == "doses" else "cumulative"


def windows_of(rules: GoodTime, trial: tuple[int, int, str] | None, clock: str) -> tuple[int, int] | None:
    """The plan's windows, else the protocol's where they are counted in the clock's unit."""
    if rules.windows is not None:
        return rules.windows
    if trial is None or trial[2] != ("doses" if clock == "doses" else "days"):
        return None
    return trial[0], trial[1]


def no_verdict(
    course: Course, records: Sequence[Record], person: Row, basis: str, rules: GoodTime
) -> str | None:
    """Why a course has no level to be judged by; None where every dose has one."""
    if basis == "target" and usable_target(person, course, rules) is None:
        return "no_level"
    first = [record for record in records if record.day == course.first]
    if basis == "fixed" and not any(has_level(record, course, rules) for record in first):
        return "no_level"
    shares = [share_of_level(record, course, records, person, basis, rules) for record in records]
    return "not_comparable" if any(share is None for share in shares) else None
