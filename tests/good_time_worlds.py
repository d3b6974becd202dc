"""Worlds to attack good time in: every history a course can have, with the cells it is counted in.

The histories are walked here once more, without the package's table of what can turn into what. A kind of
person that there can be and that a world lacks makes bounds that do not exist; one that there cannot be makes
the attacker weaker. So every two cells that have people in common here must be able to have some in the
package's table, and the other way round (`tests/test_good_time_disclosure.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
from attacked_tables import Cell, Scenario, Shape
from scipy.sparse import csr_matrix, vstack

from ketaoutcomes.counts.good_time_cells import (
    APART,
    JOIN,
    LAST_KNOWN,
    TOGETHER,
    cells,
)
from ketaoutcomes.counts.tallies import Tally
from ketaoutcomes.disclosure.ladders import NOT_DUE, OTHERS

CRITERION = "phq9_response50"
NAME = f"good_time:{CRITERION}"
DAYS = ("30", "60", "180")
Extra = tuple[tuple[str, str, str], ...]  # kind, point and state of one more thing told of a course
STATUS = {
    "responded_before": "responded_before", "responded_after": "responded_1", "trial_complete": "full_trial",
    "stopped_short": "stopped_early", "not_evaluable": "unassessed",
}  # fmt: skip
SITES = ("A", "B", "C")


Exit = tuple[str, str]  # how and on which day a course leaves the states without response; "" and "": never
# Days up to each of the days that tables name: the first and the last, and the last of younger courses. What
# is told on a day between them leaves someone to wait.
EXIT_DAYS = (("10", "30"), ("31", "60"), ("61", "179", "180"), ("181", "365"))


def histories() -> Iterator[tuple[str, str, tuple[str, ...], Exit]]:
    """Situation on day 60, final group, state on each day, and exit, of every mature course there can be."""
    by = range(3)  # responded, reached or left by day 30, 60 or 180; later is 3, never 4
    for response, reached, left in itertools.product(range(5), range(5), range(4)):
        if left < 3 and response < 4:
            continue  # a new course ends this one's scores
        for before, on_the_day in itertools.product((True, False), repeat=2):
            early = response < 4 and before
            if (early and response > reached) or (response < 4 and not before and reached > response):
                continue
            if on_the_day and reached != 1:
                continue
            choices = []
            for day in by:
                if response <= day:
                    choices.append(["responded_before" if before else "responded_after"])
                elif left <= day:
                    choices.append(["next_course"])
                elif reached <= day:
                    choices.append(["adequate", "dipped", "lapsed"])
                else:
                    choices.append(["titrating", "lapsed"])
            stood = ["responded"] if response <= 1 else ["not_reached"]
            if response > 1 and reached <= 1 and not on_the_day:
                stood = ["some_good", "trial_complete"]
            for situation, states in itertools.product(stood, itertools.product(*choices)):
                if response < 4:
                    groups = ["responded_before" if before else "responded_after"]
                else:
                    groups = ["not_evaluable"] + (["trial_complete"] if reached < 4 else [])
                    groups += ["stopped_short"] if situation != "trial_complete" else []
                for group, out in itertools.product(groups, exits(response, left, groups[0])):
                    yield situation, group, states, out
    for response, left in itertools.product(range(5), range(4)):  # no level to judge by
        if left < 3 and response < 4:
            continue
        states = tuple(
            "responded_unjudged" if response <= day else "next_course" if left <= day else "unjudged"
            for day in by
        )
        for out in exits(response, left, "responded_unjudged"):
            yield "responded" if response <= 1 else "unjudged", "not_evaluable", states, out


def exits(response: int, left: int, way: str) -> list[Exit]:
    late = [("", "")] if response == 3 else []  # after the last day of the curve
    if response < 4:
        return [(way, day) for day in EXIT_DAYS[response]] + late
    if left < 3:
        return [("next_course", day) for day in EXIT_DAYS[left]]
    ends = [(way, day) for way in ("censored", "next_course") for day in EXIT_DAYS[3]]
    return [("", ""), ("censored", "180"), *ends]  # on the day on which it matures


def younger_exits(group: str) -> list[Exit]:
    ways = [group] if group.startswith("responded") else ["censored", "next_course"]
    ways += ["responded_unjudged"] if group == "not_evaluable" else []
    return [(way, day) for way in ways for days in EXIT_DAYS[:3] for day in days[:2]]


def answered(*states: str) -> bool:
    """Whether any of these says that somebody responded."""
    return any(state.startswith("responded") for state in states)


def may_be_unscored(group: str, left: Exit | None) -> bool:
    """Whether someone in a younger course may have no score at all."""
    return group in ("stopped_short", "not_evaluable") and not answered(left[0] if left else "")


def statuses(
    situation: str, group: str, states: tuple[str, ...], extra: Extra, left: Exit | None
) -> list[str]:
    """The finer statuses that a mature course can have: of those who wait, whether it is open still."""
    if group != "not_evaluable":
        return [""]
    if situation in ("responded", "unjudged"):
        return ["no_level"]
    late = ("overdue", "mature", "overdue") in extra  # who never reached the level is not waited for
    over = situation == "trial_complete" or "next_course" in (states[2], left[0] if left else "")
    return ["unassessed"] * (not late) + ["accruing"] * (not over)


def ends_of(worse: str | None, *, may: bool, carried: bool = False) -> list[str]:
    """The states at the end of those who may have met the criterion at some time, or not.

    Whatever the last score is: the one at the end may be another, and may be missing.
    """
    if worse in (None, "no_score"):
        return ["missing" if worse else "not_due"]
    before = ["carried_not_met", *(["carried_met"] if may else [])] if carried else []
    return ["missing", "not_met", *(["met"] if may else []), *before]


def told(situation: str, group: str, states: tuple[str, ...], *, scored: bool) -> Iterator[Extra]:
    """What else may be told of a mature course: verdicts, whether it is judged, delay, a later score."""
    judged = situation != "unjudged" and "responded_unjudged" not in states and group != "not_evaluable"
    judged |= situation not in ("unjudged", "responded")
    responded, reached = group.startswith("responded"), {"adequate", "dipped", "responded_after"} & {*states}
    reached |= {situation} & {"some_good", "trial_complete"} | {group} & {"responded_after", "trial_complete"}
    verdicts = [
        ["responded"] if state.startswith("responded") else ["not_responded", "not_assessed"][not scored :]
        for state in states[:2]
    ]
    trial = ["present", "absent", "no_score"] if judged and responded else [""]
    for verdict, later, late in itertools.product(itertools.product(*verdicts), trial, (False, True)):
        if late and (not judged or reached or later in ("present", "absent") or group == "trial_complete"):
            continue
        delay = "overdue_responded" if responded else "overdue"
        yield (
            *(("mature_calendar", day, one) for day, one in zip(DAYS, verdict, strict=False)),
            *((("at_full_trial", "mature", later),) if later else ()),
            ("judged", "mature", "judged" if judged else "no_amount"),
            ("overdue", "mature", "unjudged" if not judged else delay if late else "not_overdue"),
        )


def person(
    site: str,
    group: str,
    worse: str | None,
    out: Exit | None,
    *,
    end: str,
    whole: tuple[str, tuple[str, ...]] | None,
    extra: Extra = (),
    status: str = "",
) -> tuple[Cell, ...]:
    """The cells of one type of person; `whole` is the situation and the states of a mature course.

    `end` is the state at the end, `status` a finer one of its group. Without `out` no moves are counted.
    """
    found: list[Cell] = []

    def point(kind: str, axis: str, at: str, state: str) -> None:
        for tally in (1, 2):
            key = ("phq9", NAME, kind, axis, at, "", state)
            found.append((tally, "points", (*key, site) if tally == 2 else key))

    due = "not_due" if worse is None else "due"
    found += [
        (0, "flow", ("course", "phq9", "courses", "eligible")), (0, "flow", ("course", "phq9", "due", due)),
        (3, "flow", ("course", "phq9", "courses", "eligible", site)),
        (3, "flow", ("course", "phq9", "due", due, site)),
    ]  # fmt: skip
    found.append((0, "points", ("phq9", CRITERION, "current", "end", "end", "no", end)))
    found.append((3, "points", ("phq9", CRITERION, "current", "end", "end", "no", end, site)))
    moves = [("0", "", "titrating"), *([(out[1], "titrating", out[0])] if out[0] else [])] if out else []
    for day, source, target in moves:
        key = ("phq9", CRITERION, "first_dose", day, source, target)
        found += [(1, "transitions", key), (2, "transitions", (*key, site))]
    status = status or STATUS[group]
    point("status", "good_time", "mature" if whole else "younger", status)
    for kind, at, one in extra:
        point(kind, "day" if at.isdigit() else "good_time", at, one)
    if whole:
        point("day60", "day60", "mature", f"{whole[0]}|{status}")
        for day, at in zip(DAYS, whole[1], strict=True):
            point("occupation", "day", day, at)
    if worse:
        point("worse", "due", "last", worse)
    return tuple(found)


class GoodTime(Scenario):
    """A scenario whose second and third Tally count good time; the others what stands beside it."""

    def tallies(self, persons: np.ndarray) -> list[Tally]:
        found = super().tallies(persons)
        for which in (1, 2):
            found[which] = replace(found[which], header=replace(found[which].header, basis="fixed"))
        return found

    def equations(self, protected: list[Tally]) -> tuple[csr_matrix, np.ndarray]:
        plain = [protected[0], *(replace(t, points=t.points.iloc[:0]) for t in protected[1:3]), protected[3]]
        known, numbers = super().equations(plain)
        rows, told = [known], [numbers]
        table = self.counted.toarray() > 0
        for which in (1, 2):
            own = [i for i, cell in enumerate(self.cells) if cell[:2] == (which, "points")]
            for row in cells(protected[which]).itertuples(index=False):
                if not np.isnan(row.n):
                    members = [i for i in own if _within(self.cells[i][2], row, which == 2)]
                    if row.kind == LAST_KNOWN:
                        members = [i for i, cell in enumerate(self.cells) if _at_the_end(cell, row.state)]
                    rows.append(csr_matrix(table[members].any(axis=0).astype(float)))
                    told.append(np.array([row.n]))
        return csr_matrix(vstack(rows)), np.concatenate(told)


def _at_the_end(cell: Cell, shown: str) -> bool:
    """Whether a cell of the first Tally is of those of whom this is known at the end."""
    scored = {"met", "not_met"} if "scored" in shown.split(JOIN) else set()
    return cell[:2] == (0, "points") and cell[2][6] in {*shown.split(JOIN), *scored}


GROUP = {status: group for group, status in STATUS.items()} | dict.fromkeys(
    ("accruing", "no_level"), "not_evaluable"
)
OPEN = {"accruing": "open", "unassessed": "unassessed"}


def _within(key: tuple[str, ...], row: object, by_site: bool) -> bool:
    """Whether a raw cell is part of a published one."""
    kind, point, state = key[2], key[4], key[6]
    if by_site and key[7] != row.site:  # type: ignore[attr-defined]
        return False
    shown = row.state  # type: ignore[attr-defined]
    if row.kind == TOGETHER:  # type: ignore[attr-defined]
        situations, _, groups = shown.partition(APART)
        if not situations:
            return kind == "status" and point == "younger" and GROUP[state] in groups.split(JOIN)
        if kind != "day60":
            return False
        stood, _, status = state.partition("|")
        return stood in situations.split(JOIN) and GROUP[status] in groups.split(JOIN)
    if row.kind == "situation":  # type: ignore[attr-defined]
        return kind == "day60" and state.partition("|")[0] in shown.split(JOIN)
    if row.kind in ("at_trial", "unsettled"):  # type: ignore[attr-defined]
        return _of_trial(kind, state, row.kind, shown.split(JOIN))  # type: ignore[attr-defined]
    return (kind, point) == (row.kind, row.point) and state in shown.split(JOIN)  # type: ignore[attr-defined]


def _of_trial(kind: str, state: str, wanted: str, shown: list[str]) -> bool:
    """Whether a raw cell is among those with a later score, or among those still open, as shown."""
    if wanted == "at_trial" and kind == "at_full_trial":
        return state in shown
    if kind != "day60":
        return False
    stood, _, status = state.partition("|")
    if wanted == "at_trial":
        return "no_response" in shown and not GROUP[status].startswith("responded")
    waits = stood not in ("responded", "unjudged")
    return (OPEN.get(status, "settled") if waits else "settled") in shown


SHAPES = (Shape((), ("end",)),) * 2 + (Shape(("site",), ("end",)),) * 2


@cache
def scenario(sites: int = len(SITES)) -> GoodTime:
    """Everyone at some sites, with their daily moves."""
    types = []
    for site in SITES[:sites]:
        for situation, group, states, out in sorted(set(histories())):
            responded = answered(group, *states, out[0])
            scored = responded or group == "trial_complete"
            for worse in ("worse", "not_worse") if scored else ("worse", "not_worse", "no_score"):
                types += [
                    person(site, group, worse, out, end=end, whole=(situation, states))
                    for end in ends_of(worse, may=responded)
                ]
        for group in STATUS:
            for out in younger_exits(group):
                responded = out[0].startswith("responded")
                scored = responded or group == "trial_complete"
                for worse in (None, "worse", "not_worse", *(() if scored else ("no_score",))):
                    types += [
                        person(site, group, worse, out, end=end, whole=None)
                        for end in ends_of(worse, may=responded)
                    ]
    return GoodTime("good time", SHAPES, (CRITERION,), ("current",), tuple(types))


@cache
def fuller(*, moves: bool = False) -> GoodTime:
    """One site, and everything that is told of a course; with `moves` also on which day it left."""
    types = []
    for situation, group, states, left in sorted(
        {(*one[:3], one[3] if moves else None) for one in histories()}
    ):
        may = answered(group, situation, *states, left[0] if left else "")
        for worse in ("not_worse",) if may or group == "trial_complete" else ("not_worse", "no_score"):
            for extra in told(situation, group, states, scored=worse != "no_score"):
                finer = itertools.product(
                    statuses(situation, group, states, extra, left), ends_of(worse, may=may, carried=True)
                )
                whole = (situation, states)
                types += [
                    person("A", group, worse, left, end=end, whole=whole, extra=extra, status=status)
                    for status, end in finer
                ]
    outs = [(group, left) for group in STATUS for left in (younger_exits(group) if moves else [None])]
    for (group, left), worse in itertools.product(outs, (None, "not_worse", "no_score")):
        may = answered(left[0]) if left else answered(group) or group == "not_evaluable"
        if may_be_unscored(group, left) or worse != "no_score":
            ends = ends_of(worse, may=may, carried=True)
            types += [person("A", group, worse, left, end=end, whole=None) for end in ends]
    return GoodTime("fuller", SHAPES, (CRITERION,), ("current",), tuple(sorted(set(types))))


AFTER = ("lost_1", "lost_2", "lost_3", "away_1", "away_3", "kept")


def came_of(situation: str, worse: str | None, extra: Extra) -> tuple[str, ...]:
    """What may have become of a response by the last calendar day."""
    if situation != "responded":
        return ("unresponded",)
    lost = worse == "worse" or ("at_full_trial", "mature", "absent") in extra
    return tuple(state for state in AFTER if not lost or not state.startswith("away"))


def boosters_of(protocol: str, status: str, last: str) -> tuple[str, ...]:
    """How many boosters a mature course may have had: without any it is not covered or open any more."""
    if protocol == "home":
        return ("no_visits",)
    some = ("one", "three_or_more")
    return some if status == "accruing" or last in ("adequate", "dipped", "titrating") else ("none", *some)


@cache
def lasting(kind: str, *, moves: bool = False) -> GoodTime:
    """What became of responses, or boosters of two protocols, one without visits, beside everything else.

    With `moves` also on which day each left, and less of what else is told.
    """
    shapes = tuple(Shape(by, ("end",)) for by in ((), (), ("site",), ("protocol",)))
    types: list[tuple[Cell, ...]] = []
    for protocol in ("home", "iv6") if kind == "boosters" else ("iv6",):
        for history in sorted({(*one[:3], one[3] if moves else None) for one in histories()}):
            types += followed(kind, protocol, *history)
        outs = [(group, left) for group in STATUS for left in (younger_exits(group) if moves else [None])]
        for (group, left), worse in itertools.product(outs, (None, "worse", "not_worse", "no_score")):
            may = answered(left[0]) if left else answered(group) or group == "not_evaluable"
            if may_be_unscored(group, left) or worse != "no_score":
                ends = ends_of(worse, may=may, carried=kind != "boosters" and not moves)
                types += [person(protocol, group, worse, left, end=end, whole=None) for end in ends]
    return GoodTime(kind, shapes, (CRITERION,), ("current",), tuple(sorted(set(types))))


def followed(
    kind: str, protocol: str, situation: str, group: str, states: tuple[str, ...], left: Exit | None
) -> Iterator[tuple[Cell, ...]]:
    """Mature courses of one history, with whatever else may be told of them; nobody is late."""
    may = answered(situation, group, *states, left[0] if left else "")
    for worse in ("worse", "not_worse", *(() if may or group == "trial_complete" else ("no_score",))):
        ends = ends_of(worse, may=may, carried=kind != "boosters" and not left)
        found = told(situation, group, states, scored=worse != "no_score")
        on_time = [extra for extra in found if not extra[-1][2].startswith("overdue")]
        finer = [
            (extra, status) for extra in on_time for status in statuses(situation, group, states, extra, left)
        ]
        for (extra, status), end in itertools.product(finer, ends):
            more = boosters_of(protocol, status, states[2])
            if kind != "boosters":
                more = came_of(situation, worse, extra)
            for one in more:
                yield person(
                    protocol, group, worse, left, end=end, whole=(situation, states),
                    extra=(*extra, (kind, "mature", one)), status=status,
                )  # fmt: skip


def persons_of(one: GoodTime, rng: np.random.Generator) -> np.ndarray:
    """A random cohort in which states, groups and situations are rare or common as wholes."""
    if one.name != "good time":
        return many_of(one, rng)
    people = int(rng.choice([60, 200, 600, 1500]))
    weights = rng.gamma(0.3, size=len(one.types)) + 1e-12
    table = one.counted
    for _ in range(2):
        by_cell = rng.gamma(0.6, size=table.shape[0]) + 1e-6
        weights *= np.exp((table.T @ np.log(by_cell)) / 3)
    return rng.multinomial(people, weights / weights.sum()).astype(np.float64)


def many_of(one: GoodTime, rng: np.random.Generator) -> np.ndarray:
    """As `persons_of`, but enough people for most partitions to be shown: each type is told of in many."""
    table = one.counted
    cells_of = np.asarray(table.sum(axis=0)).ravel()
    few = rng.random(table.shape[0]) < (0.25 if one.name == "fuller" else 0.08)
    by_cell = np.where(few, rng.choice([0.003, 0.03], size=table.shape[0]), 1.0)
    weights = rng.gamma(0.3, size=len(one.types)) * np.exp(table.T @ np.log(by_cell))
    mature = cells_of > np.median(cells_of) / 2
    for period, part in ((mature, 0.8), (~mature, 0.2)):
        weights[period] *= part / weights[period].sum()
    if one.name == "after_response":  # enough responses for what became of them to be told
        told_of = [cell[2][2] == "after_response" and cell[2][6] in AFTER for cell in one.cells]
        answered = np.asarray(table[np.flatnonzero(told_of)].sum(axis=0)).ravel() > 0
        weights[answered] *= rng.choice([0.5, 1, 2]) * weights[~answered].sum() / weights[answered].sum()
        weights /= weights.sum()
    people = int(rng.choice([300, 1500, 8000]))
    return rng.multinomial(people, weights / weights.sum()).astype(np.float64)


Told = tuple[str, str, str]  # kind, point and state of a fine cell of the package's partitions
_NOT_MATURE = (
    ("situation", "last"), ("at_trial", "mature"), ("judged", "mature"), ("overdue", "mature"),
    ("unsettled", "mature"), ("after_response", "mature"), ("boosters", "mature"),
    *(("occupation", day) for day in DAYS), *(("mature_calendar", day) for day in DAYS[:2]),
)  # fmt: skip


def partitioned(person: tuple[Cell, ...]) -> list[Told]:
    """The cell of each partition that one type of person is in, younger ones and those not due beside."""
    found: list[Told] = []
    for which, table, key in person:
        kind, point, state = key[2], key[4] if len(key) > 4 else "", key[-1]
        if which == 0 and table == "points":
            end = {"met": "scored", "not_met": "scored", "not_due": NOT_DUE}
            found.append(("last_known", "end", end.get(state, state)))
        elif which == 1 and kind == "status" and point == "younger":
            found.append((TOGETHER, "", APART + GROUP[state]))
            found += [(*one, OTHERS) for one in _NOT_MATURE]
        elif which == 1 and kind == "day60":
            stood, _, status = state.partition("|")
            waits = stood not in ("responded", "unjudged")
            found.append((TOGETHER, "", stood + APART + GROUP[status]))
            found.append(("situation", "last", stood))
            found.append(("unsettled", "mature", OPEN.get(status, "settled") if waits else "settled"))
            if not GROUP[status].startswith("responded"):
                found.append(("at_trial", "mature", "no_response"))
        elif which == 1 and table == "points" and kind != "status":
            found.append(("at_trial" if kind == "at_full_trial" else kind, point, state))
    if not any(kind == "worse" for kind, _, _ in found):
        found.append(("worse", "last", NOT_DUE))
    return found


def left(person: tuple[Cell, ...]) -> Exit | None:
    """How and when one type of person left the states without response; None where that is not counted."""
    moves = [key for which, table, key in person if which == 1 and table == "transitions"]
    return next(((key[5], key[3]) for key in moves if key[4]), ("", "")) if moves else None
