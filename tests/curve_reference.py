"""Time to response once more: every course walked through day by day, one after the other.

It builds on `reference`, which spells out courses, baselines and scores, and like it imports nothing of the
package. Where the package looks moves up in whole arrays, this file asks on each day: what did a score say,
does a dose still speak, has the gap grown too long?
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import reference
from reference import PRE, Course, Row, Score, Settings

LONGEST = 365


class Headline(NamedTuple):
    """The course that counts for a patient, how its scores are judged, and the last day on record."""

    patient: Any
    course: Course
    scores: Sequence[Score]
    judge: Callable[[Score], bool] | None
    last: int | None


def headlines(
    doses: Sequence[Row], scores: Sequence[Row], people: Sequence[Row], plan: Settings, criterion: str
) -> Iterator[Headline]:
    """Patient by patient, the headline course of the criterion's instrument; people may carry cut days."""
    persons = {person["patient"]: person for person in people}
    instrument = criterion.split("_")[0]
    for patient in sorted({row["patient"] for row in doses}):
        person = persons.get(patient, {"patient": patient})
        last = person.get("cut_day")
        theirs = [row for row in scores if row["patient"] == patient]
        known = reference.scores_of(theirs, patient, instrument, last, plan)
        courses = reference.courses_of(doses, person, last, plan)
        counted = reference.counted_course(courses, person, known, instrument, plan)
        if counted is not None:
            course, baseline = counted
            yield Headline(patient, course, known, judged_by(criterion, baseline.total), last)


def walks(
    doses: Sequence[Row], scores: Sequence[Row], people: Sequence[Row], plan: Settings, criterion: str
) -> list[dict[str, Any]]:
    """How and when each headline course left treatment or a lapse."""
    return [
        {"patient": one.patient, **walk(one.course, one.scores, one.judge, plan, one.last)}
        for one in headlines(doses, scores, people, plan, criterion)
    ]


def judged_by(criterion: str, baseline: Fraction) -> Callable[[Score], bool] | None:
    """How a score is judged; None where none of the course can be."""
    if criterion in reference.PERCENT_RULES and baseline == 0:
        return None
    return lambda score: bool(reference.CRITERIA[criterion](baseline, score.total))


def walk(
    course: Course, scores: Sequence[Score], judge: Callable[[Score], bool] | None, plan: Settings,
    last: int | None,
) -> dict[str, Any]:  # fmt: skip
    """One course, day by day: its moves, and the score before the response."""
    protocol = plan.protocol(course.protocol)
    entry = "treated" if protocol.carry is not None else "unlimited"
    if judge is None:
        return {"moves": [(0, "", "zero_baseline")], "between": None}
    moves, state, before = [(0, "", entry)], entry, 0
    last_end = max(course.ends[day] for day in course.days)
    theirs = reference.of_course(course, scores)
    for day in range(course.first, course.first + LONGEST + 1):
        since = day - course.first
        if last is not None and day > last:
            break
        for early in (True, False):
            for score in theirs:
                if score.day == day and (score.moment[1] == PRE) == early:
                    if judge(score):
                        to = "responded" if state != "lapsed" else "responded_lapsed"
                        return {"moves": [*moves, (since, state, to)], "between": (before, since)}
                    before = since
            over = protocol.course_gap is not None and day > last_end + protocol.course_gap
            covered = day in course.all_days or reference.covered(course, day, plan)
            if early and state == "treated" and not covered:
                moves.append((since, state, "lapsed"))
                state = "lapsed"
            if early and over:
                return {"moves": [*moves, (since, state, "ended")], "between": None}
    if last is not None and last - course.first <= LONGEST:
        moves.append((last - course.first, state, "censored"))
    return {"moves": moves, "between": None}


def counted(found: Sequence[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    """How many made each move on each day."""
    return Counter(move for one in found for move in one["moves"])


def share_by_day(found: Sequence[dict[str, Any]], day: int) -> Fraction:
    """Aalen-Johansen by the textbook: one day after the other, in fractions. Lapse and end compete."""
    exits = [one["moves"][1] if len(one["moves"]) > 1 else (10**9, "", "censored") for one in found]
    entered = [one["moves"][0][2] in ("treated", "unlimited") for one in found]
    exits = [one for one, inside in zip(exits, entered, strict=True) if inside]
    free, share = Fraction(1), Fraction(0)
    for today in range(day + 1):
        risk = sum(1 for when, _, _ in exits if when >= today)
        here = [to for when, _, to in exits if when == today and to != "censored"]
        if risk:
            share += free * Fraction(here.count("responded"), risk)
            free *= 1 - Fraction(len(here), risk)
    return share


# --- what came after the response -------------------------------------------------------------------------


def relapses(
    doses: Sequence[Row], scores: Sequence[Row], people: Sequence[Row], plan: Settings, criterion: str,
    bad_from: int | None, in_a_row: int, apart: tuple[int, int] | None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Each response, score by score: lost below the criterion, or at so many points (`bad_from`) or more."""
    found = []
    for one in headlines(doses, scores, people, plan, criterion):
        judge = one.judge
        if judge is None:
            continue
        own = reference.of_course(one.course, one.scores)
        answers = [score for score in own if judge(score)]
        if answers:
            found.append(_after(answers[0], own, one.course, judge, one.last, bad_from, in_a_row, apart))
    return found


def _after(
    answer: Score, own: Sequence[Score], course: Course, judge: Callable[[Score], bool], last: int | None,
    bad_from: int | None, in_a_row: int, apart: tuple[int, int] | None,
) -> dict[str, Any]:  # fmt: skip
    """The moves since one response, the interval of a relapse, and whether it was sustained."""
    later = [score for score in own if score.moment > answer.moment]
    origin, run, moves = answer.day, list[Score](), [(0, "", "responding")]
    before, interval, relapse = answer, None, None
    for score in later:
        bad = not judge(score) if bad_from is None else score.total >= bad_from
        if not bad:
            run, before = [], score
            continue
        run.append(score)
        least, most = apart or (1, 10**9)
        if in_a_row == 1 or any(least <= score.day - one.day <= most for one in run):
            relapse = score
            interval = (before.day - origin, score.day - origin)
            break
    stop = course.next_first if course.next_first is not None else last
    beyond = "censored" if course.next_first is None else "retreated"
    final = own[-1].day
    if relapse is not None:
        moves.append((relapse.day - origin, "responding", "relapsed"))
    elif stop is not None and final >= stop:
        moves.append((stop - origin, "responding", beyond))
    else:
        away = "unscored" if later else "never_scored"
        moves.append((final - origin, "responding", away))
        if stop is not None:
            moves.append((stop - origin, away, beyond))
    confirming = next((score for score in own if score.day >= origin + 28), None)
    if confirming is not None and confirming.day > origin + 59:
        confirming = None
    until = confirming.moment if confirming else (origin + 59, 10**9)
    if last is not None and origin + 59 > last:
        state = "not_due"
    elif any(not judge(score) for score in later if score.moment <= until):
        state = "lost"
    else:
        state = "sustained" if confirming else "unconfirmed"
    kept = [move for move in moves if move[0] <= LONGEST]
    return {"moves": kept, "between": interval, "sustained": state}
