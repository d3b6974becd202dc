"""Good time once more, day by day: where a course stood on a calendar day, and every move it made.

The walk through each course is `good_time_reference`'s; this file reads states off it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from good_time_reference import Judged
from reference import DOSE, POST, PRE

OPEN = ("titrating", "adequate", "dipped", "lapsed", "unjudged")

# --- where a course stands on a calendar day -------------------------------------------------------------


def situation(one: Judged, day: int) -> str:
    """How far a course had come by the morning of a day after its first dose."""
    date = one.course.first + day
    if one.response is not None and one.response[0] <= date:
        return "responded"
    if one.walk is None:
        return "unjudged"
    if one.walk.reached is None or one.walk.reached >= date:
        return "not_reached"
    mornings = [(morning, PRE) for morning in one.walk.days if morning <= date]
    complete = max(one.walk.good(morning) for morning in mornings) >= one.walk.windows[1]
    return "trial_complete" if complete else "some_good"


# --- daily moves -----------------------------------------------------------------------------------------


def state_after(one: Judged, day: int) -> str:
    """The state of a course once everything of a day has happened."""
    response = one.response
    responded = response is not None and response <= (day, POST)
    if one.walk is None:
        return "responded_unjudged" if responded else "unjudged"
    if response is None or not responded:
        return one.walk.state_on(day)
    before = one.walk.reached is None or response < (one.walk.reached, DOSE)
    return "responded_before" if before else "responded_after"


def first_dose_moves(one: Judged, until: int) -> list[tuple[int, str, str]]:
    """Day, from and to of every move since the first dose, one at most a day; then the end of its records.

    A course whose criterion cannot be judged has none. On the day of the next course's first dose only a
    score before that dose still counts.
    """
    moves: list[tuple[int, str, str]] = []
    state, first = "", one.course.first
    if not one.question:
        return moves
    for day in range(first, first + until + 1):
        last_morning = day == one.course.next_first
        now = state if last_morning and one.response != (day, PRE) else state_after(one, day)
        if now != state:
            moves.append((day - first, state, now))
            state = now
        if state.startswith("responded"):
            break
        if last_morning or day == one.last_day:
            moves.append((day - first, state, "next_course" if last_morning else "censored"))
            break
    return moves


def stood(one: Judged, day: int) -> str:
    """The state a mature course was last in by the end of a day; without a question nothing can be judged."""
    moves = [now for on, _, now in first_dose_moves(one, day) if now != "censored"]
    return moves[-1] if moves else "unjudged"


def delayed_moves(one: Judged, until: int) -> list[tuple[int, str, str]]:
    """As `reached_moves`, with days counted from the first dose, of those followed beyond the reached day."""
    moves = reached_moves(one, until)
    if one.walk is None or one.walk.reached is None or [day for day, _, _ in moves] == [0, 0]:
        return []
    waited = one.walk.reached - one.course.first
    return [(waited + day, was, now) for day, was, now in moves if waited + day <= until]


def reached_moves(one: Judged, until: int) -> list[tuple[int, str, str]]:
    """Day, from and to since the reached day, of those unresponded then: the first of response and lapse.

    On one day a score before the dose comes first, then the end of cover, then a score after the dose.
    """
    walk, response = one.walk, one.response
    if walk is None or walk.reached is None or (response is not None and response < (walk.reached, DOSE)):
        return []
    moves = [(0, "", "at_risk")]
    for day in range(walk.reached, walk.reached + until + 1):
        since = day - walk.reached
        if response == (day, PRE):
            return [*moves, (since, "at_risk", "responded")]
        if day == walk.course.next_first:
            return [*moves, (since, "at_risk", "next_course")]
        if walk.cover_on(day) == "none":
            return [*moves, (since, "at_risk", "lapsed")]
        if response == (day, POST):
            return [*moves, (since, "at_risk", "responded")]
        if day == walk.last_day:
            return [*moves, (since, "at_risk", "censored")]
    return moves


# --- everyone's state on each day -------------------------------------------------------------------------


def occupation(courses: Sequence[Judged], until: int) -> list[dict[str, Fraction] | None]:
    """The share of all who started in each state, day by day, by Aalen and Johansen's product; exact.

    None from the day on which some state that holds people has nobody followed in it who could leave.
    """
    by_day: dict[int, list[tuple[str, str]]] = {}
    for one in courses:
        for day, was, now in first_dose_moves(one, until):
            by_day.setdefault(day, []).append((was, now))
    starts = [now for was, now in by_day.get(0, []) if was == ""]
    share = {state: Fraction(n, len(starts)) for state, n in Counter(starts).items()}
    followed = Counter(starts)
    days: list[dict[str, Fraction] | None] = []
    for day in range(until + 1):
        moves = Counter(move for move in by_day.get(day, []) if move[0] and move[1] != "censored")
        if any(share.get(state) and not followed[state] for state in OPEN):
            return days + [None] * (until + 1 - day)
        leaving = {move: share[move[0]] * Fraction(n, followed[move[0]]) for move, n in moves.items()}
        for (was, now), amount in leaving.items():
            share[was] -= amount
            share[now] = share.get(now, Fraction(0)) + amount
        for was, now in by_day.get(day, []):
            if was:
                followed[was] -= 1
                followed[now] += 1
        days.append({state: amount for state, amount in share.items() if amount})
    return days
