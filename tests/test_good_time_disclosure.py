"""What good time publishes, attacked: every history a course can have, linear programming over all numbers.

The histories are walked here once more, without the package's table of what can turn into what.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import attacked_tables as attacked
import numpy as np
import pandas as pd
import pytest
from attacked_tables import Cell, Scenario, Shape
from scipy.sparse import csr_matrix, vstack

import ketaoutcomes as ko
from ketaoutcomes.disclosure import LARGEST_SMALL, DisclosureError, protect
from ketaoutcomes.good_time_cells import APART, JOIN, TOGETHER, cells, counted, mature, younger
from ketaoutcomes.plan import Plan
from ketaoutcomes.tallies import KEYS, Tally, typed

CRITERION = "phq9_response50"
NAME = f"good_time:{CRITERION}"
DAYS = ("30", "60", "180")
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


def person(
    site: str, group: str, worse: str | None, out: Exit, *, met: bool,
    whole: tuple[str, tuple[str, ...]] | None,
) -> tuple[Cell, ...]:  # fmt: skip
    """The cells of one type of person; `whole` is the situation and the states of a mature course."""
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
    found.append((0, "points", ("phq9", CRITERION, "current", "end", "end", "no", state)))
    found.append((3, "points", ("phq9", CRITERION, "current", "end", "end", "no", state, site)))
    moves = [("0", "", "titrating"), *([(out[1], "titrating", out[0])] if out[0] else [])]
    for day, source, target in moves:
        key = ("phq9", CRITERION, "first_dose", day, source, target)
        found += [(1, "transitions", key), (2, "transitions", (*key, site))]
    point("status", "good_time", "mature" if whole else "younger", STATUS[group])
    if whole:
        point("day60", "day60", "mature", f"{whole[0]}|{STATUS[group]}")
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
                    rows.append(csr_matrix(table[members].any(axis=0).astype(float)))
                    told.append(np.array([row.n]))
        return csr_matrix(vstack(rows)), np.concatenate(told)


GROUP = {status: group for group, status in STATUS.items()}


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
    return (kind, point) == (row.kind, row.point) and state in shown.split(JOIN)  # type: ignore[attr-defined]


@cache
def scenario() -> GoodTime:
    shapes = (
        Shape((), ("end",)),
        Shape((), ("end",)),
        Shape(("site",), ("end",)),
        Shape(("site",), ("end",)),
    )
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
    return GoodTime("good time", shapes, (CRITERION,), ("current",), tuple(types))


def persons_of(one: GoodTime, rng: np.random.Generator) -> np.ndarray:
    """A random cohort in which states, groups and situations are rare or common as wholes."""
    people = int(rng.choice([60, 200, 600, 1500]))
    weights = rng.gamma(0.3, size=len(one.types)) + 1e-12
    table = one.counted
    for _ in range(2):
        by_cell = rng.gamma(0.6, size=table.shape[0]) + 1e-6
        weights *= np.exp((table.T @ np.log(by_cell)) / 3)
    return rng.multinomial(people, weights / weights.sum()).astype(np.float64)


def attack(seeds: range, most: int, profile: str = "cms11") -> list[tuple[int, float, float]]:
    one, small, found = scenario(), LARGEST_SMALL[profile], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        persons = persons_of(one, rng)
        equations, numbers = one.equations(protect(one.tallies(persons), profile))
        assert np.allclose(equations @ persons, numbers)
        sets = attacked.questions(one, persons, small, rng, most)
        ends = attacked.narrowest(equations, numbers, sets)
        found += [(seed, low, high) for low, high in ends if high - low < small - 1e-6]
    return found


def test_an_attacker_learns_no_small_number_from_good_time() -> None:
    assert attack(range(5), most=4) == []


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 500, 50))
def test_an_attacker_learns_nothing_from_many_cohorts(start: int) -> None:
    assert attack(range(1000 + start, 1050 + start), most=8) == []


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
