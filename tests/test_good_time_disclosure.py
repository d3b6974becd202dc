"""What good time publishes, attacked: every history a course can have, linear programming over all numbers.

The histories are walked here once more, without the package's table of what can turn into what.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import attacked_tables as attacked
import attacker
import numpy as np
import pandas as pd
import pytest
from attacked_tables import Cell, Scenario, Shape
from scipy.sparse import csr_matrix, vstack

import ketaoutcomes as ko
from ketaoutcomes.counts.good_time_cells import (
    APART,
    JOIN,
    LAST_KNOWN,
    TOGETHER,
    cells,
    counted,
    mature,
    younger,
)
from ketaoutcomes.counts.tallies import KEYS, Tally, typed
from ketaoutcomes.disclosure import LARGEST_SMALL, DisclosureError, protect
from ketaoutcomes.plan import Plan

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
# Two days between each of the days that tables name, one of them the last: what is told on a day between
# them leaves someone to wait.
EXIT_DAYS = (("10", "30"), ("45", "60"), ("100", "179"), ("200", "365"))


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
    if response < 4:
        return [(way, day) for day in EXIT_DAYS[response]]
    if left < 3:
        return [("next_course", day) for day in EXIT_DAYS[left]]
    return [("", ""), *((way, day) for way in ("censored", "next_course") for day in EXIT_DAYS[3])]


def younger_exits(group: str) -> list[Exit]:
    ways = [group] if group.startswith("responded") else ["censored", "next_course"]
    ways += ["responded_unjudged"] if group == "not_evaluable" else []
    return [(way, day) for way in ways for days in EXIT_DAYS[:3] for day in days]


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
    met: bool,
    whole: tuple[str, tuple[str, ...]] | None,
    extra: Extra = (),
    unscored: str = "",
    status: str = "",
) -> tuple[Cell, ...]:
    """The cells of one type of person; `whole` is the situation and the states of a mature course.

    `unscored` is the state at the end of a course without an end score, `status` a finer one of its group.
    Without `out` no daily moves are counted.
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
    state = "not_due" if worse is None else "met" if met else "missing" if worse == "no_score" else "not_met"
    state = unscored or state
    found.append((0, "points", ("phq9", CRITERION, "current", "end", "end", "no", state)))
    found.append((3, "points", ("phq9", CRITERION, "current", "end", "end", "no", state, site)))
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
def scenario() -> GoodTime:
    types = []
    for site in SITES:
        for situation, group, states, out in sorted(set(histories())):
            responded = group.startswith("responded") or any(s.startswith("responded") for s in states)
            scored = responded or group == "trial_complete"
            for worse in ("worse", "not_worse") if scored else ("worse", "not_worse", "no_score"):
                types += [
                    person(site, group, worse, out, met=met, whole=(situation, states))
                    for met in sorted({False, responded and worse == "not_worse"})
                ]
        for group in STATUS:
            for out in younger_exits(group):
                responded = out[0].startswith("responded")
                scored = responded or group == "trial_complete"
                for worse in (None, "worse", "not_worse", *(() if scored else ("no_score",))):
                    types += [
                        person(site, group, worse, out, met=met, whole=None)
                        for met in sorted({False, responded and worse == "not_worse"})
                    ]
    return GoodTime("good time", SHAPES, (CRITERION,), ("current",), tuple(types))


@cache
def fuller(*, moves: bool = False) -> GoodTime:
    """One site, and everything that is told of a course; with `moves` also on which day it left."""
    types = []
    for situation, group, states, left in sorted(
        {(*one[:3], one[3] if moves else None) for one in histories()}
    ):
        may = group.startswith("responded") or any(s.startswith("responded") for s in states)
        may |= situation == "responded"
        for worse in ("not_worse",) if may or group == "trial_complete" else ("not_worse", "no_score"):
            waits = situation not in ("responded", "unjudged") and group == "not_evaluable"
            finer = ["unassessed"] + ["accruing"] * (
                situation != "trial_complete" and states[2] != "next_course"
            )
            for extra in told(situation, group, states, scored=worse != "no_score"):
                for status in finer if waits else ["no_level" if group == "not_evaluable" else ""]:
                    # Who responded may be scored at the end without meeting the criterion any more.
                    again = ["carried_met", "not_met"] if may else []
                    for unscored in ("", "missing", "carried_not_met", *again):
                        if worse == "no_score" and unscored != "missing":
                            continue
                        types.append(person(
                            "A", group, worse, left, met=may, whole=(situation, states), extra=extra,
                            unscored=unscored, status=status,
                        ))  # fmt: skip
    outs = [(group, left) for group in STATUS for left in (younger_exits(group) if moves else [None])]
    for (group, left), worse in itertools.product(outs, (None, "not_worse", "no_score")):
        may = (
            left[0].startswith("responded")
            if left
            else group.startswith("responded") or group == "not_evaluable"
        )
        if worse != "no_score" or group in ("stopped_short", "not_evaluable"):
            ends = [""] if worse is None else ["missing"] if worse == "no_score" else ["", "carried_not_met"]
            types += [person("A", group, worse, left, met=may, whole=None, unscored=end) for end in ends]
    return GoodTime("fuller", SHAPES, (CRITERION,), ("current",), tuple(sorted(set(types))))


AFTER = ("lost_1", "lost_2", "lost_3", "away_1", "away_3", "kept")


def came_of(situation: str, worse: str | None, extra: Extra, unscored: str) -> tuple[str, ...]:
    """What may have become of a response by the last calendar day."""
    if situation != "responded":
        return ("unresponded",)
    lost = worse == "worse" or unscored == "carried_not_met" or ("at_full_trial", "mature", "absent") in extra
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
        for (group, left), worse in itertools.product(outs, (None, "not_worse", "no_score")):
            may = (left[0] if left else group).startswith("responded")
            may |= left is None and group == "not_evaluable"
            if worse != "no_score" or group in ("stopped_short", "not_evaluable"):
                scored = ["", "carried_not_met"] if worse == "not_worse" else [""]
                ends = ["missing"] if worse == "no_score" else scored
                types += [
                    person(protocol, group, worse, left, met=may, whole=None, unscored=end) for end in ends
                ]
    return GoodTime(kind, shapes, (CRITERION,), ("current",), tuple(sorted(set(types))))


def followed(
    kind: str, protocol: str, situation: str, group: str, states: tuple[str, ...], left: Exit | None
) -> Iterator[tuple[Cell, ...]]:
    """Mature courses of one history, with whatever else may be told of them; nobody is late."""
    may = any(state.startswith("responded") for state in (situation, group, *states))
    waits = situation not in ("responded", "unjudged") and group == "not_evaluable"
    opens = situation != "trial_complete" and states[2] != "next_course"
    status = ("accruing" if opens else "unassessed") if waits else ""
    status = "no_level" if group == "not_evaluable" and not waits else status
    for worse in ("worse", "not_worse", *(() if may or group == "trial_complete" else ("no_score",))):
        ends = ["missing"] if worse == "no_score" else ["missing", "carried_not_met"]
        ends += ["", "carried_met"] if may and worse != "worse" else []
        ends = ends[:1] if kind == "boosters" or left else ends
        found = told(situation, group, states, scored=worse != "no_score")
        for extra, end in itertools.product([one for one in found if one[-1][2] != "overdue"], ends):
            if extra[-1][2] == "overdue_responded":
                continue
            more = boosters_of(protocol, status, states[2])
            if kind != "boosters":
                more = came_of(situation, worse, extra, end)
            for one in more:
                yield person(
                    protocol, group, worse, left, met=may, whole=(situation, states),
                    extra=(*extra, (kind, "mature", one)), unscored=end, status=status,
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


def attack(
    seeds: range, most: int, profile: str = "cms11", one: GoodTime | None = None, blame: str = ""
) -> list[tuple[int, float, float]]:
    """Small numbers that can be told; with `blame` those only that cannot without this kind of cells."""
    one, small, found = one or scenario(), LARGEST_SMALL[profile], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        persons = persons_of(one, rng)
        shown = protect(one.tallies(persons), profile)
        sets = attacked.questions(one.asked, persons, small, rng, most)
        known = attacker.learned(*one.equations(shown), persons, sets, small)
        if blame and known:
            rest = [replace(tally, points=tally.points[tally.points["kind"] != blame]) for tally in shown]
            without = {each.at for each in attacker.learned(*one.equations(rest), persons, sets, small)}
            known = [each for each in known if each.at not in without]
        found += [(seed, each.low, each.high) for each in known]
    return found


def test_an_attacker_learns_no_small_number_from_good_time() -> None:
    assert attack(range(3), most=100) == []


def test_an_attacker_learns_no_small_number_from_what_else_is_told() -> None:
    assert attack(range(2), most=100, one=fuller()) == []


def test_an_attacker_learns_no_small_number_from_what_became_of_responses() -> None:
    assert attack(range(1), most=3, one=lasting("after_response")) == []


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 60, 20))
def test_an_attacker_learns_nothing_from_what_became_of_responses_beside_daily_moves(start: int) -> None:
    seeds, one = range(5000 + start, 5020 + start), lasting("after_response", moves=True)
    assert attack(seeds, most=4, one=one, blame="after_response") == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["after_response", "boosters"])
@pytest.mark.parametrize("start", range(0, 200, 50))
def test_an_attacker_learns_nothing_from_what_became_of_many_responses(start: int, kind: str) -> None:
    assert attack(range(4000 + start, 4050 + start), most=6, one=lasting(kind), blame=kind) == []


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 200, 50))
def test_an_attacker_learns_nothing_more_from_many_cohorts(start: int) -> None:
    assert attack(range(2000 + start, 2050 + start), most=6, one=fuller()) == []


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 60, 20))
def test_an_attacker_learns_nothing_from_it_beside_daily_moves(start: int) -> None:
    assert attack(range(3000 + start, 3020 + start), most=100, one=fuller(moves=True)) == []


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 500, 50))
def test_an_attacker_learns_nothing_from_many_cohorts(start: int) -> None:
    assert attack(range(1000 + start, 1050 + start), most=100) == []


def points(rows: dict[tuple[str, str], int]) -> pd.DataFrame:
    table = pd.DataFrame(
        [(kind, state, n) for (kind, state), n in rows.items()], columns=["kind", "state", "n"]
    )
    mature = table["state"].str.contains("|", regex=False)
    point = np.where(mature, "mature", "younger")
    axis = np.where(table["kind"] == "day60", "day60", "good_time")
    return table.assign(instrument="phq9", criterion=NAME, given="", point=point, axis=axis)


def tally(rows: dict[tuple[str, str], int]) -> Tally:
    study = ko.Study(ko.load_sample())
    empty = study.tally(at="end", tables=("good_time",))
    return replace(empty, points=typed("points", points(rows), ()), **{
        name: getattr(empty, name).iloc[:0] for name in KEYS if name != "points"
    })  # fmt: skip


def test_cells_are_joined_before_anything_is_hidden() -> None:
    rows = {
        ("day60", "responded|responded_1"): 40, ("day60", "some_good|stopped_early"): 30,
        ("day60", "some_good|full_trial"): 20, ("day60", "not_reached|stopped_before"): 4,
        ("status", "accruing"): 15,
    }  # fmt: skip
    (shown,) = protect([tally(rows)])
    table = cells(shown)
    assert shown.protected == "cms11"
    assert (mature(table), younger(table)) == (94, 15)
    assert counted(table, TOGETHER, "mature", {"responded"}) == 40
    waiting = {"not_reached", "some_good", "trial_complete"}
    assert counted(table, TOGETHER, "mature", waiting, {"stopped_short"}) == 34
    assert np.isnan(counted(table, "situation", "last", {"not_reached"}))


def test_four_people_are_not_the_difference_of_two_tables() -> None:
    rows = {("day60", "responded|responded_1"): 40, ("day60", "not_reached|stopped_before"): 4}
    (shown,) = protect([tally(rows)])
    table = cells(shown)
    assert mature(table) == 44
    assert np.isnan(counted(table, TOGETHER, "mature", {"responded"}))


def test_good_time_is_protected_alone_in_its_tally() -> None:
    study = ko.Study(ko.load_sample())
    mixed = study.tally(at="end", criteria=CRITERION, kind="current", tables=("points", "good_time"))
    with pytest.raises(DisclosureError, match="a Tally of its own"):
        protect([mixed])


def test_numbers_are_rounded_where_the_profile_rounds() -> None:
    study = ko.Study(ko.load_sample(), plan=Plan())
    everyone = study.tally(at="end", kind="current")
    _, shown = protect([everyone, study.tally(at="end", tables=("good_time",))], "opensafely")
    n = cells(shown)["n"].dropna()
    assert len(n)
    assert (n % 5 == 0).all()
    assert (shown.transitions["n"].dropna() % 5 == 0).all()
