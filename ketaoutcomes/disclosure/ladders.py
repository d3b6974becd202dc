"""How the partitions of good time are coarsened, and which of their cells can hold the same person.

A ladder is a list of levels, finest first; a level names the joined cell that each fine cell falls into.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from ketaoutcomes.good_time import GROUPS
from ketaoutcomes.good_time_cells import APART, JOIN, SITUATION, TOGETHER
from ketaoutcomes.good_time_counts import SITUATIONS
from ketaoutcomes.standing import ANSWERED, WORSE

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
})  # fmt: skip

FINE: Mapping[str, Mapping[str, Sequence[str]]] = MappingProxyType({
    TOGETHER: {
        "mature": [s + APART + g for s in SITUATIONS for g in ENDS_IN[s]],
        "younger": [APART + g for g in GROUPS],
    },
    SITUATION: {"": SITUATIONS}, "occupation": {"": OCCUPATION}, "worse": {"": WORSE},
    "safety_item": {"": ANSWERED},
})  # fmt: skip
"""The fine cells of each kind by point; no point: the same ones at each."""

WHO_MAY_RESPOND = frozenset(
    [APART + group for group in (BEFORE, AFTER, UNKNOWN)]
    + [s + APART + g for s in SITUATIONS for g in (BEFORE, AFTER)]
    + [s + APART + UNKNOWN for s in (RESPONDED, UNJUDGED)]
)
"""Cells of those who may have responded at some time, judged by a level or not."""

_REST = JOIN.join(GROUPS[:-1])
SITES: Mapping[str, str] = MappingProxyType(
    {s + APART + g: JOIN.join(SITUATIONS) + APART + (UNKNOWN if g == UNKNOWN else _REST)
     for s in SITUATIONS for g in GROUPS}
    | {APART + g: APART + JOIN.join(GROUPS) for g in GROUPS}
)  # fmt: skip
"""A site's three cells: mature and not evaluable, mature otherwise, younger."""


def meets(a: Key, b: Key, last: int) -> bool:
    """Whether one person can be in both of two fine cells; `last` is the last calendar day."""
    if b[0] == TOGETHER and a[0] != TOGETHER:
        a, b = b, a
    if a[0] == TOGETHER:
        return _beside_whole(a[2], b, last)
    if _harm(a) or _harm(b):
        return _harm_beside(*((a, b) if _harm(a) else (b, a)))
    if OTHERS in (a[2], b[2]):
        return a[2] == b[2]
    if a[0] == b[0] == "occupation":
        early, late = sorted((a, b), key=lambda key: int(key[1]))
        return late[2] in TURNS_INTO[early[2]]
    occupation, situation = (a, b) if a[0] == "occupation" else (b, a)
    return situation[2] in stands(occupation[2], int(occupation[1]), last)


# Of those who left the states without response in some way: their group, and their state before.
_LEFT_FROM: Mapping[str, tuple[Sequence[str], Sequence[str]]] = MappingProxyType({
    "responded_before": ((BEFORE,), ("titrating", "lapsed")),
    "responded_after": ((AFTER,), ("adequate", "dipped", "titrating", "lapsed")),
    "responded_unjudged": ((UNKNOWN,), ("unjudged",)),
    "next_course": ((COMPLETE, SHORT, UNKNOWN), OCCUPATION[3:-1]),
    "censored": ((COMPLETE, SHORT, UNKNOWN), OCCUPATION[3:-1]),
    "": (GROUPS, OCCUPATION[3:-1]),
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
    if _harm(other):
        return state != "no_score" or not way.startswith("responded")
    situation, _, group = state.partition(APART)
    if kind == TOGETHER and group not in groups:
        return False
    if kind == TOGETHER and not situation:
        return younger
    if way == "censored" and younger:
        return False
    if kind == "occupation":
        if day <= int(point) and way != "censored":
            return state == way or not way
        return state in before
    return situation in _stood(way, day, last)


def _stood(way: str, day: int, last: int) -> Sequence[str]:
    """Where a course that left on a day stood on the last calendar day."""
    if way.startswith("responded") and day <= last:
        return (RESPONDED,)
    if not way and day < last:
        return SITUATIONS
    waiting = {"responded_before": WAITING[:1], "responded_after": WAITING, "responded_unjudged": [UNJUDGED]}
    return waiting.get(way, (UNJUDGED, *WAITING))


def _harm(key: Key) -> bool:
    return key[0] in ("worse", "safety_item")


def _harm_beside(harm: Key, other: Key) -> bool:
    """Whoever is not due is in a younger course; whoever was never scored has not responded."""
    if _harm(other):
        return (harm[2] == NOT_DUE) == (other[2] == NOT_DUE)
    if harm[2] == NOT_DUE:
        return other[2] == OTHERS
    return harm[2] != "no_score" or not other[2].startswith("responded")


def _beside_whole(cell: str, other: Key, last: int) -> bool:
    """Whether a cell of the partition of all courses can hold someone in a cell of another partition."""
    situation, _, group = cell.partition(APART)
    kind, point, state = other
    if not situation:
        return state == OTHERS or (_harm(other) and (state != "no_score" or group in (SHORT, UNKNOWN)))
    if state in (OTHERS, NOT_DUE):
        return False
    if kind == SITUATION:
        return state == situation
    if kind == "occupation":
        return situation in stands(state, int(point), last) and group in STATE_ENDS_IN[state]
    return state != "no_score" or (situation != RESPONDED and group in (SHORT, UNKNOWN))


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
