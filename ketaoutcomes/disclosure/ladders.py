"""How the partitions of good time are coarsened, and which of their cells can hold the same person.

A ladder is a list of levels, finest first; a level names the joined cell that each fine cell falls into.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from ketaoutcomes.counts.good_time_cells import (
    APART,
    JOIN,
    KNOWN,
    LAST_KNOWN,
    NO_RESPONSE,
    OPEN,
    SITUATION,
    TOGETHER,
    UNSETTLED,
    WHOLE_TRIAL,
)
from ketaoutcomes.counts.good_time_counts import OVERDUE, SITUATIONS
from ketaoutcomes.counts.lasting_counts import (
    AFTER_RESPONSE,
    AFTER_STATES,
    AWAY,
    BOOSTER_STATES,
    BOOSTERS,
    KEPT,
    LOST,
    NO_VISITS,
    NUMBERS,
    UNRESPONDED,
)
from ketaoutcomes.per_patient.adequacy import LEVEL_REASONS
from ketaoutcomes.per_patient.good_time import AT_TRIAL, GROUPS, REASONS, SCHEDULE_REASONS, VERDICTS
from ketaoutcomes.per_patient.standing import ANSWERED, WORSE

Level = Callable[[str], str]
Key = tuple[str, str, str]  # kind, point, state

OTHERS: Final = " others"
"""The younger courses, beside a partition of mature ones."""

NOT_DUE: Final = " not due"
"""Those not due, beside a partition of everyone due."""

BEFORE, AFTER, COMPLETE, SHORT, UNKNOWN = GROUPS
RESPONDED, UNJUDGED, *WAITING = SITUATIONS
OCCUPATION = (
    "responded_before", "responded_after", "responded_unjudged", "adequate", "dipped", "titrating", "lapsed",
    "unjudged", "next_course",
)  # fmt: skip

# Which groups each situation of the last calendar day can end in.
ENDS_IN: Mapping[str, Sequence[str]] = MappingProxyType({
    "responded": (BEFORE, AFTER, UNKNOWN),
    "unjudged": (UNKNOWN,),
    "not_reached": GROUPS,
    "some_good": (AFTER, COMPLETE, SHORT, UNKNOWN),
    "trial_complete": (AFTER, COMPLETE, UNKNOWN),
})  # fmt: skip
# Which groups a state on a day can end in, and which later states it can turn into.
STATE_ENDS_IN: Mapping[str, Sequence[str]] = MappingProxyType({
    "responded_before": (BEFORE,),
    "responded_after": (AFTER,),
    "responded_unjudged": (UNKNOWN,),
    "adequate": (AFTER, COMPLETE, SHORT, UNKNOWN),
    "dipped": (AFTER, COMPLETE, SHORT, UNKNOWN),
    "titrating": GROUPS,
    "lapsed": GROUPS,
    "unjudged": (UNKNOWN,),
    "next_course": (COMPLETE, SHORT, UNKNOWN),
})  # fmt: skip
_ONWARD = ("adequate", "dipped", "lapsed", "responded_after", "next_course")
TURNS_INTO: Mapping[str, Sequence[str]] = MappingProxyType({
    "responded_before": ("responded_before",),
    "responded_after": ("responded_after",),
    "responded_unjudged": ("responded_unjudged",),
    "adequate": _ONWARD,
    "dipped": _ONWARD,
    "titrating": (*_ONWARD, "titrating", "responded_before"),
    "lapsed": (*_ONWARD, "titrating", "responded_before"),
    "unjudged": ("unjudged", "responded_unjudged", "next_course"),
    "next_course": ("next_course",),
})  # fmt: skip


def _joined(*classes: Sequence[str]) -> Level:
    """A level that joins the states of each class; others stand alone."""
    names = {state: JOIN.join(each) for each in classes for state in each}
    return lambda state: names.get(state, state)


def _both(situation: Level, group: Level, younger: Level) -> Level:
    def level(state: str) -> str:
        first, _, second = state.partition(APART)
        if not first:
            return APART + younger(second)
        return situation(first) + APART + group(second)

    return level


_SAME, _ALL_GROUPS, _ALL_SITUATIONS = _joined(), _joined(GROUPS), _joined(SITUATIONS)
_NONE_OR_RESPONDED = _joined((UNJUDGED, *WAITING))
_EVER = _joined((BEFORE, AFTER))
_NO_DOSE = (NUMBERS[0], NO_VISITS)
LEVELS: Mapping[str, Sequence[Level]] = MappingProxyType({
    TOGETHER: (
        _both(_SAME, _SAME, _SAME),
        _both(_joined(WAITING), _SAME, _SAME),
        _both(_joined(WAITING), _SAME, _ALL_GROUPS),
        _both(_ALL_SITUATIONS, _SAME, _ALL_GROUPS),
        _both(_ALL_SITUATIONS, _EVER, _ALL_GROUPS),
        _both(_ALL_SITUATIONS, _joined((BEFORE, AFTER), (SHORT, UNKNOWN)), _ALL_GROUPS),
        _both(_ALL_SITUATIONS, _joined((BEFORE, AFTER), (COMPLETE, SHORT, UNKNOWN)), _ALL_GROUPS),
        _both(_ALL_SITUATIONS, _ALL_GROUPS, _ALL_GROUPS),
    ),
    SITUATION: (_SAME, _joined(WAITING[1:]), _joined(WAITING), _NONE_OR_RESPONDED),
    "occupation": (
        _SAME,
        _joined(OCCUPATION[1:3], ("adequate", "dipped"), ("unjudged", "next_course")),
        _joined(OCCUPATION[:3], ("adequate", "dipped"), ("titrating", "lapsed"), ("unjudged", "next_course")),
        _joined(OCCUPATION[:3], OCCUPATION[3:]),
    ),
    "worse": (_SAME, _joined(WORSE[:2])),
    "safety_item": (_SAME, _joined(ANSWERED[:2])),
    "mature_calendar": (_SAME, _joined(VERDICTS[2:])),
    WHOLE_TRIAL: (_SAME, _joined(AT_TRIAL[:2]), _joined(AT_TRIAL)),
    "judged": (_SAME, _joined(LEVEL_REASONS[1:], SCHEDULE_REASONS), _joined(REASONS[1:])),
    "overdue": (_SAME, _joined(OVERDUE[1:3]), _joined(OVERDUE[1:])),
    UNSETTLED: (_SAME, _joined(OPEN[:2])),
    LAST_KNOWN: (_SAME, _joined(KNOWN[2:]), _joined(KNOWN[1:])),
    AFTER_RESPONSE: (
        _SAME,
        _joined(LOST[:2], AWAY[:2]),
        _joined(LOST, AWAY),
        _joined(LOST[:2], AWAY[:2], (LOST[2], AWAY[2], KEPT)),
        _joined((*AWAY, KEPT), LOST),
    ),
    BOOSTERS: (
        _SAME,
        _joined(NUMBERS[2:]),
        _joined(NUMBERS[1:]),
        _joined(_NO_DOSE),
        _joined(_NO_DOSE, NUMBERS[2:]),
        _joined(_NO_DOSE, NUMBERS[1:]),
    ),
})  # fmt: skip

FINE: Mapping[str, Mapping[str, Sequence[str]]] = MappingProxyType({
    TOGETHER: {
        "mature": [s + APART + g for s in SITUATIONS for g in ENDS_IN[s]],
        "younger": [APART + g for g in GROUPS],
    },
    SITUATION: {"": SITUATIONS}, "occupation": {"": OCCUPATION}, "worse": {"": WORSE},
    "safety_item": {"": ANSWERED}, "mature_calendar": {"": VERDICTS[1:]},
    WHOLE_TRIAL: {"": (*AT_TRIAL, NO_RESPONSE)}, "judged": {"": REASONS}, "overdue": {"": OVERDUE},
    UNSETTLED: {"": OPEN}, LAST_KNOWN: {"": KNOWN}, AFTER_RESPONSE: {"": AFTER_STATES},
    BOOSTERS: {"": BOOSTER_STATES},
})  # fmt: skip
"""The fine cells of each kind by point; no point: the same ones at each."""

WHO_MAY_RESPOND = frozenset(
    [APART + group for group in (BEFORE, AFTER, UNKNOWN)]
    + [s + APART + g for s in SITUATIONS for g in (BEFORE, AFTER)]
    + [s + APART + UNKNOWN for s in (RESPONDED, UNJUDGED)]
)
"""Cells of those who may have responded at some time, judged by a level or not."""

NOT_EVALUABLE = frozenset(situation + APART + UNKNOWN for situation in SITUATIONS)
"""Cells of mature courses that are not evaluable."""

_NOT_JUDGED = frozenset(situation + APART + UNKNOWN for situation in (RESPONDED, UNJUDGED))
DIVIDES: Mapping[str, frozenset[str]] = MappingProxyType({
    "judged": _NOT_JUDGED,
    "overdue": _NOT_JUDGED,
    UNSETTLED: frozenset(situation + APART + UNKNOWN for situation in WAITING),
    WHOLE_TRIAL: frozenset(situation + APART + end for situation in SITUATIONS for end in (BEFORE, AFTER)),
    AFTER_RESPONSE: frozenset(RESPONDED + APART + end for end in ENDS_IN[RESPONDED]),
})  # fmt: skip
"""The cells of the whole that a partition divides further: it is shown where they are told apart there."""

_REST = JOIN.join(GROUPS[:-1])
SITES: Mapping[str, str] = MappingProxyType(
    {s + APART + g: JOIN.join(SITUATIONS) + APART + (UNKNOWN if g == UNKNOWN else _REST)
     for s in SITUATIONS for g in GROUPS}
    | {APART + g: APART + JOIN.join(GROUPS) for g in GROUPS}
)  # fmt: skip
"""A site's three cells: mature and not evaluable, mature otherwise, younger."""


SCORED: Final = ("met", "not_met")
"""What the rates tell of those scored at the end, beside the partition of those who are not."""

_HAD_MET = (SCORED[0], KNOWN[1])
OF_DUE: Final = frozenset({"worse", "safety_item", LAST_KNOWN})
"""Partitions of everyone due; the others but the whole are of mature courses."""

# What cannot go with never having lost a response, and with no dose after induction: by kind, its states.
_NEVER_LOST: Mapping[str, Sequence[str]] = MappingProxyType({
    "worse": WORSE[2:], WHOLE_TRIAL: AT_TRIAL[2:],
})  # fmt: skip
_NO_BOOSTER: Mapping[str, Sequence[str]] = MappingProxyType({
    UNSETTLED: OPEN[:1], "occupation": ("adequate", "dipped", "titrating"),
})  # fmt: skip


def meets(a: Key, b: Key, last: int) -> bool:
    """Whether one person can be in both of two fine cells; `last` is the last calendar day."""
    if BOOSTERS in (a[0], b[0]):
        return _with_boosters(*((a, b) if a[0] == BOOSTERS else (b, a)), last)
    if AFTER_RESPONSE in (a[0], b[0]):
        return _after_response(*((a, b) if a[0] == AFTER_RESPONSE else (b, a)), last)
    if b[0] == TOGETHER and a[0] != TOGETHER:
        a, b = b, a
    if a[0] == TOGETHER:
        return _beside_whole(a[2], b, last)
    if a[0] in OF_DUE or b[0] in OF_DUE:
        return _due_beside(*((a, b) if a[0] in OF_DUE else (b, a)))
    if OTHERS in (a[2], b[2]):
        return a[2] == b[2]
    if a[0] == b[0] == UNSETTLED:
        return a[2] == b[2]
    if a[0] == b[0] == "occupation":
        early, late = sorted((a, b), key=lambda key: int(key[1]))
        return late[2] in TURNS_INTO[early[2]]
    if _is_told(a) and _is_told(b):
        return _told_beside(a, b, last)
    if _is_told(a) or _is_told(b):
        told, other = (a, b) if _is_told(a) else (b, a)
        return _told_of(told, other, last)
    occupation, situation = (a, b) if a[0] == "occupation" else (b, a)
    return situation[2] in stands(occupation[2], int(occupation[1]), last)


def _after_response(after: Key, other: Key, last: int) -> bool:
    """Whoever responded by the last calendar day is in a cell that says what came of it."""
    if after[2] in AWAY and other[2] in _NEVER_LOST.get(other[0], ()):
        return False
    stood = (UNJUDGED, *WAITING) if after[2] == UNRESPONDED else (RESPONDED,)
    stood = (OTHERS,) if after[2] == OTHERS else stood
    if other[0] == SITUATION:
        return other[2] in stood
    return any(meets((SITUATION, "last", state), other, last) for state in stood)


def _with_boosters(given: Key, other: Key, last: int) -> bool:
    """Whatever becomes of a course, it may have had boosters; without any, cover ends before it matures."""
    if other[0] in OF_DUE:
        return other[2] != NOT_DUE or given[2] == OTHERS
    younger = not other[2].partition(APART)[0] if other[0] == TOGETHER else other[2] == OTHERS
    uncovered = given[2] == NUMBERS[0] and other[2] in _NO_BOOSTER.get(other[0], ())
    uncovered &= other[0] != "occupation" or int(other[1]) > last  # the day on which courses are mature
    return younger == (given[2] == OTHERS) and not uncovered


# Of those who left the states without response in some way: their group, and their state before.
_LEFT_FROM: Mapping[str, tuple[Sequence[str], Sequence[str]]] = MappingProxyType({
    "responded_before": ((BEFORE,), ("titrating", "lapsed")),
    "responded_after": ((AFTER,), ("adequate", "dipped", "titrating", "lapsed")),
    "responded_unjudged": ((UNKNOWN,), ("unjudged",)),
    "next_course": ((COMPLETE, SHORT, UNKNOWN), OCCUPATION[3:-1]),
    "censored": ((COMPLETE, SHORT, UNKNOWN), OCCUPATION[3:-1]),
    "": (GROUPS, OCCUPATION[3:-1]),
})  # fmt: skip
WAYS: Final = tuple(way for way in _LEFT_FROM if way)
"""The ways to leave the states without response."""

# And what else is told of them: by kind, the states they can be in.
_LEFT_WITH: Mapping[str, Mapping[str, Sequence[str]]] = MappingProxyType({
    "responded_before": {"judged": ("judged",), "overdue": (OVERDUE[0], OVERDUE[2]), WHOLE_TRIAL: AT_TRIAL},
    "responded_after": {"judged": ("judged",), "overdue": OVERDUE[:1], WHOLE_TRIAL: AT_TRIAL},
    "responded_unjudged": {"judged": REASONS[1:], "overdue": OVERDUE[3:], WHOLE_TRIAL: (NO_RESPONSE,)},
    "next_course": {"overdue": (*OVERDUE[:2], OVERDUE[3]), WHOLE_TRIAL: (NO_RESPONSE,), UNSETTLED: OPEN[1:]},
    "censored": {"overdue": (*OVERDUE[:2], OVERDUE[3]), WHOLE_TRIAL: (NO_RESPONSE,)},
})  # fmt: skip


def leaves(way: str, day: int, other: Key, last: int, mature_days: int) -> bool:
    """Whether someone who left on a day in a way (no way: who had not by then) can be in a fine cell.

    `last` is the last calendar day; courses followed for `mature_days` are mature.
    """
    kind, point, state = other
    groups, before = _LEFT_FROM[way]
    younger = day < mature_days
    if state in (OTHERS, NOT_DUE):
        return younger
    if kind in OF_DUE:
        answered = way.startswith("responded")
        return not (answered and state == "no_score") and not (
            way in ("censored", "next_course") and state in _HAD_MET
        )
    situation, _, group = state.partition(APART)
    if kind == TOGETHER and group not in groups:
        return False
    if kind == TOGETHER and not situation:
        return younger
    if way == "censored" and younger:
        return False
    if _is_told(other):
        return _left_with(way, day, other)
    if kind == BOOSTERS:
        return True
    if kind == AFTER_RESPONSE:
        stood = _stood(way, day, last)
        return any(one != RESPONDED for one in stood) if state == UNRESPONDED else RESPONDED in stood
    if kind == "occupation":
        if day <= int(point) and way != "censored":
            return state == way or not way
        return state in before
    return situation in _stood(way, day, last)


def _left_with(way: str, day: int, told: Key) -> bool:
    kind, point, state = told
    if kind == "mature_calendar":
        answered = way.startswith("responded") and day <= int(point)
        return answered == (state == "responded") or (not way and day < int(point))
    if kind == UNSETTLED and way.startswith("responded"):
        return state == OPEN[2]
    return state in _LEFT_WITH.get(way, {}).get(kind, (state,))


def _stood(way: str, day: int, last: int) -> Sequence[str]:
    """Where a course that left on a day stood on the last calendar day."""
    if way.startswith("responded") and day <= last:
        return (RESPONDED,)
    if not way and day < last:
        return SITUATIONS
    waiting = {"responded_before": WAITING[:1], "responded_after": WAITING, "responded_unjudged": [UNJUDGED]}
    return waiting.get(way, (UNJUDGED, *WAITING))


def _due_beside(of_due: Key, other: Key) -> bool:
    """Whoever is not due is in a younger course; whoever was never scored has not responded."""
    never = of_due[0] == "worse" and of_due[2] == "no_score"
    if other[0] in OF_DUE:
        if NOT_DUE in (of_due[2], other[2]):
            return of_due[2] == other[2]
        if other[0] == "worse":
            of_due, other, never = other, of_due, other[2] == "no_score"
        if other[0] == of_due[0] == LAST_KNOWN:
            return other[2] == of_due[2] or {other[2], of_due[2]} in [{KNOWN[0], state} for state in SCORED]
        return not (never and other[0] == LAST_KNOWN and other[2] != "missing")
    if of_due[2] == NOT_DUE:
        return other[2] == OTHERS
    if other[2] == OTHERS:
        return True
    if never:
        return not _has_score(other)
    return not (of_due[2] in _HAD_MET and other[2] in ("overdue", "next_course", *OPEN[:2]))


def _has_score(key: Key) -> bool:
    """Whether a cell of mature courses says that there was a score after the first dose."""
    kind, _, state = key
    if kind == WHOLE_TRIAL:
        return state != NO_RESPONSE
    return state.startswith("responded") or state in ("not_responded", "overdue_responded")


def _beside_whole(cell: str, other: Key, last: int) -> bool:
    """Whether a cell of the partition of all courses can hold someone in a cell of another partition."""
    situation, _, group = cell.partition(APART)
    kind, point, state = other
    ended_without = group in (SHORT, UNKNOWN)
    if kind == LAST_KNOWN:
        if state == NOT_DUE:
            return not situation
        return state not in _HAD_MET or cell in WHO_MAY_RESPOND
    if not situation:
        return state == OTHERS or (kind in OF_DUE and (state != "no_score" or ended_without))
    if state in (OTHERS, NOT_DUE):
        return False
    if kind == SITUATION:
        return state == situation
    if kind == "occupation":
        judged = state not in ("unjudged", "responded_unjudged")
        if judged and situation == RESPONDED and group == UNKNOWN:
            return False  # whoever responded and is not evaluable could not be judged
        return situation in stands(state, int(point), last) and group in STATE_ENDS_IN[state]
    if kind in OF_DUE:
        return state != "no_score" or (situation != RESPONDED and ended_without)
    return _told_of(other, (SITUATION, "last", situation), last) and group in _ends(kind, state, situation)


def _ends(kind: str, state: str, situation: str) -> Sequence[str]:
    """The groups that courses told of by a cell can end in, given where they stood on the last day."""
    if kind == WHOLE_TRIAL:
        return (COMPLETE, SHORT, UNKNOWN) if state == NO_RESPONSE else (BEFORE, AFTER)
    if kind == UNSETTLED:
        waits = situation in WAITING
        if state != OPEN[2]:
            return (UNKNOWN,) if waits and (state, situation) != (OPEN[0], WAITING[2]) else ()
        return GROUPS[:-1] if waits else GROUPS
    if kind in ("judged", "overdue"):
        if state in ("judged", "not_overdue"):
            return (BEFORE, AFTER) if situation == RESPONDED else GROUPS
        return {"overdue": (SHORT, UNKNOWN), "overdue_responded": (BEFORE,)}.get(state, (UNKNOWN,))
    return GROUPS


def _is_told(key: Key) -> bool:
    return key[0] in ("mature_calendar", WHOLE_TRIAL, "judged", "overdue", UNSETTLED)


def _told_of(told: Key, other: Key, last: int) -> bool:
    """Whether a verdict, a reason or a delay can go with where a course stood, by situation or by state."""
    kind, point, state = told
    if other[0] == SITUATION:
        stood, day = other[2], last
        responded, unjudged = stood == RESPONDED, stood == UNJUDGED
        reached = stood in WAITING[1:]
    else:
        stood, day = other[2], int(other[1])
        responded, unjudged = stood.startswith("responded"), stood in ("unjudged", "responded_unjudged")
        reached = stood in ("adequate", "dipped", "responded_after")
    left = stood == "next_course"  # without a response, and no later score belongs to the course
    if kind == "mature_calendar":
        then = state == "responded"
        if int(point) <= day and then and not responded:
            return False
        return not (then and left) and not (int(point) >= day and responded and not then)
    if kind == UNSETTLED:
        ends = state == OPEN[0] and (left or stood == WAITING[2])
        return state == OPEN[2] or not (responded or unjudged or ends)
    unsure = left or stood == RESPONDED
    if kind == WHOLE_TRIAL:
        if state == NO_RESPONSE:
            return unjudged or unsure or not responded
        return not unjudged and not left
    if state in ("judged", "not_overdue"):
        return not unjudged
    if state in ("overdue", "overdue_responded"):
        ended = left if state == "overdue_responded" else responded
        return not (ended or reached or unjudged)
    return unjudged or unsure


def _told_beside(a: Key, b: Key, last: int) -> bool:
    """Whether two verdicts, reasons or delays can be told of one course."""
    if a[0] == b[0] == "mature_calendar":
        early, late = sorted((a, b), key=lambda key: int(key[1]))
        return late[2] == "responded" or early[2] != "responded"
    if "mature_calendar" in (a[0], b[0]):
        calendar, other = (a, b) if a[0] == "mature_calendar" else (b, a)
        return not (calendar[2] == "responded" and other[2] in ("overdue", *OPEN[:2]))
    if UNSETTLED in (a[0], b[0]):
        unsettled, other = (a, b) if a[0] == UNSETTLED else (b, a)
        delays: Sequence[str] = OVERDUE[:2] if unsettled[2] == OPEN[0] else OVERDUE[:1]
        goes_with: Mapping[str, Sequence[str]]
        goes_with = {"judged": ("judged",), WHOLE_TRIAL: (NO_RESPONSE,), "overdue": delays}
        return unsettled[2] == OPEN[2] or other[2] in goes_with[other[0]]
    able: Mapping[str, Sequence[str]]
    able = {"judged": ("judged",), "overdue": OVERDUE[:3], WHOLE_TRIAL: AT_TRIAL}
    sides = {one[0]: one[2] for one in (a, b)}
    if WHOLE_TRIAL not in sides:
        return (sides["judged"] in able["judged"]) == (sides["overdue"] in able["overdue"])
    trial = sides.pop(WHOLE_TRIAL)
    ((kind, state),) = sides.items()
    if kind == "overdue" and state in OVERDUE[1:3]:
        return trial == (NO_RESPONSE if state == "overdue" else AT_TRIAL[0])
    return trial == NO_RESPONSE or state in able[kind]


def stands(state: str, day: int, last: int) -> tuple[str, ...]:
    """Where a course in a state on a day can stand on the last calendar day."""
    if state in ("responded_before", "responded_after", "responded_unjudged"):
        if day <= last:
            return (RESPONDED,)
        before = {"responded_before": WAITING[:1], "responded_after": WAITING}.get(state, [UNJUDGED])
        return (RESPONDED, *before)
    if state == "unjudged":
        return (UNJUDGED,) if day >= last else (UNJUDGED, RESPONDED)
    if state == "next_course":
        return (UNJUDGED, *WAITING)
    if day < last:
        reached = WAITING[1:] if state in ("adequate", "dipped") else WAITING
        return (RESPONDED, *reached)
    return tuple(WAITING[:1]) if state == "titrating" else tuple(WAITING)
