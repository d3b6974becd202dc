"""Daily moves in a shared report: cases to check by eye, the sample, and an attacker."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from functools import cache

import attacked_tables as attacked
import attacker
import numpy as np
import pandas as pd
import pytest
from attacked_tables import REMISSION, RESPONSE, Cell, Scenario, Shape

import ketaoutcomes as ko
from ketaoutcomes.counts.tallies import Header, Tally, make
from ketaoutcomes.disclosure import LARGEST_SMALL, protect
from ketaoutcomes.results import curve_results

PLAN = ko.Plan(points={"curve_days": 30})
OPEN = "adequate+dipped+titrating+lapsed+unjudged"


def tally(*moves: tuple[object, ...], clock: str = "first_dose", by: tuple[str, ...] = ()) -> Tally:
    """A Tally of daily moves alone: (day, from, to, n) and the group."""
    columns = ["day", "from", "to", "n", *by]
    table = pd.DataFrame(moves, columns=columns).assign(instrument="phq9", criterion=RESPONSE, clock=clock)
    header = Header(
        plan=PLAN.canonical(), plan_hash=PLAN.hash, as_of="2026-10-31", by=by, axes=("end",),
        criteria=(RESPONSE,), kinds=("current",),
    )  # fmt: skip
    return make(header, {"transitions": [table]})


def told(raw: Tally, profile: str = "cms11") -> dict[tuple[int, str], float]:
    """By day and the state moved to: how many; None where hidden."""
    table = protect([raw], profile)[0].transitions
    return {
        (int(day), str(to)): n if n == n else None
        for day, to, n in zip(table["day"], table["to"], table["n"], strict=True)
    }


def test_exits_wait_until_more_than_ten_have_gathered():
    moves = [(0, "", "at_risk", 100), (1, "at_risk", "met", 6), (3, "at_risk", "met", 4)]
    moves += [(4, "at_risk", "met", 1), (9, "at_risk", "met", 20), (12, "at_risk", "censored", 10)]
    assert told(tally(*moves)) == {(0, "at_risk"): 100, (4, "met"): 11, (9, "met"): 20}


def test_telling_ends_where_ten_or_fewer_remain():
    moves = [(0, "", "at_risk", 60), (5, "at_risk", "met", 20), (8, "at_risk", "censored", 30)]
    moves += [(20, "at_risk", "met", 10)]
    # Ten are left after day 8, and none of them can be told apart from those who left on it.
    assert told(tally(*moves)) == {(0, "at_risk"): 60, (5, "met"): 20, (9, "censored"): None}


def test_those_left_over_are_never_few():
    moves = [(0, "", "at_risk", 40), (5, "at_risk", "met", 20), (8, "at_risk", "censored", 15)]
    assert told(tally(*moves)) == {(0, "at_risk"): 40, (5, "met"): 20, (9, "censored"): None}


def test_states_without_response_are_told_together_and_rare_responses_with_others():
    moves = [(0, "", "titrating", 90), (2, "titrating", "adequate", 60), (3, "adequate", "dipped", 4)]
    moves += [(5, "titrating", "responded_before", 12), (6, "adequate", "responded_after", 30)]
    assert told(tally(*moves)) == {(0, OPEN): 90, (5, "responded_before"): 12, (6, "responded_after"): 30}
    rare = (9, "unjudged", "responded_unjudged", 4)
    assert told(tally(*moves, (0, "", "unjudged", 20), rare)) == {
        (0, OPEN): 110, (5, "responded_before"): 12, (6, "responded_after+responded_unjudged"): 30,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("clock", "moves"),
    [
        ("reached", [(0, "", "at_risk", 50), (3, "at_risk", "lapsed", 30)]),
        ("session", [(0, "", "at_risk", 50), (3, "at_risk", "responded", 30)]),
        ("delayed", [(4, "", "at_risk", 50), (9, "at_risk", "met", 30)]),
        ("first_dose", [(4, "", "at_risk", 50), (9, "at_risk", "met", 30)]),  # not everyone enters on day 0
        ("first_dose", [(0, "", "at_risk", 50), (3, "at_risk", "met", 30), (5, "met", "at_risk", 12)]),
        ("first_dose", [(0, "", "at_risk", 10), (3, "at_risk", "met", 10)]),  # ten people in all
    ],
)
def test_what_cannot_be_told_is_one_hidden_number(clock, moves):
    assert told(tally(*moves, clock=clock)) == {(0, "at_risk"): None}


def test_groups_have_no_daily_moves():
    moves = [(0, "", "at_risk", 50, "A"), (3, "at_risk", "met", 30, "A")]
    assert protect([tally(*moves, by=("site",))])[0].transitions.empty


def test_rounded_exits_add_up_to_the_rounded_start():
    moves = [(0, "", "at_risk", 101), (4, "at_risk", "met", 17), (9, "at_risk", "censored", 23)]
    assert told(tally(*moves), "opensafely") == {(0, "at_risk"): 100, (4, "met"): 15, (9, "censored"): 25}


def test_curves_of_the_sample_stay_close_and_say_what_is_told_together():
    study = ko.Study(ko.load_sample())
    raw = study.tally(at="end", tables=("good_time",))
    everyone = study.tally(at=("week", "end", "month"), kind="current", tables=("flow", "points", "values"))
    shown = protect([everyone, raw])[1]
    exact, curve = (curve_results.all_started(one).set_index("day") for one in (raw, shown))
    assert curve["share"].notna().all()
    behind = exact["share"] - curve["share"]
    assert behind.min() > -0.005  # nothing is told before it happened; censoring that waits adds a little
    assert behind.max() < 0.06
    assert behind.loc[30:].max() < 0.04
    occupied = curve_results.state_occupation(shown)
    assert OPEN in set(occupied["state"])
    assert occupied.groupby("day")["share"].sum().round(9).eq(1).all()
    responded = occupied[occupied["state"].str.startswith("responded")].groupby("day")["share"].sum()
    assert np.allclose(responded, curve["share"])
    assert curve_results.from_reached(shown)["reason"].eq("hidden").all()


# --- the attack ------------------------------------------------------------------------------------------

TIMES = (2, 5, 9, 20)
NEVER = 99


@cache
def scenario() -> Scenario:
    """Two nested criteria from the first dose, who is due, and who had met at the end."""
    shapes = (Shape((), ("end",)),)
    types = []
    exits = [("", NEVER), *itertools.product(("censored", "ended"), (3, 12, 25))]
    for response, remission in itertools.product((*TIMES, NEVER), repeat=2):
        for way, out in exits:
            known = [t for t in (response, remission) if t != NEVER]
            if remission < response or max(known, default=0) > out:
                continue
            # Whoever was in remission may respond at the end without being in remission any more.
            nows = [(), (RESPONSE,), (RESPONSE, REMISSION)]
            for due, now in itertools.product((False, True), nows):
                ever = {RESPONSE: response != NEVER, REMISSION: remission != NEVER}
                if any(not ever[name] for name in now) or (due and out < 20 and response == NEVER):
                    continue
                types.append(_person(response, remission, way, out, due=due, now=now))
    return Scenario("daily moves", shapes, (RESPONSE, REMISSION), ("current",), tuple(types))


def _person(
    response: int, remission: int, way: str, out: int, *, due: bool, now: Collection[str]
) -> tuple[Cell, ...]:
    found: list[Cell] = [
        (0, "flow", ("course", "phq9", "courses", "eligible")),
        (0, "flow", ("course", "phq9", "due", "due" if due else "not_due")),
    ]
    for criterion, met in ((RESPONSE, response), (REMISSION, remission)):
        key = ("phq9", criterion, "first_dose")
        found.append((0, "transitions", (*key, "0", "", "at_risk")))
        if met != NEVER or way:
            leaves = (str(met), "at_risk", "met") if met != NEVER else (str(out), "at_risk", way)
            found.append((0, "transitions", (*key, *leaves)))
        state = "not_due" if not due else "met" if criterion in now else "not_met"
        found.append((0, "points", ("phq9", criterion, "current", "end", "end", "no", state)))
    return tuple(found)


def attack(seeds: range, most: int, profile: str = "cms11") -> tuple[int, list[tuple[int, float, float]]]:
    """How many numbers of daily moves were told, and every question about few that they answer."""
    one, small = scenario(), LARGEST_SMALL[profile]
    numbers_told, found = 0, []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        persons = attacked.cohort(one, rng)
        protected = protect(one.tallies(persons), profile)
        equations, numbers = one.equations(protected)
        numbers_told += int((protected[0].transitions["n"] > 0).sum())
        sets = attacked.questions(one.asked, persons, small, rng, most)
        known = attacker.learned(equations, numbers, persons, sets, small)
        found += [(seed, each.low, each.high) for each in known]
    return numbers_told, found


def test_an_attacker_learns_no_small_number_from_daily_moves():
    numbers_told, found = attack(range(20), most=200)
    assert found == []
    assert numbers_told > 40


def test_who_left_remission_and_still_responds_is_not_told_from_those_who_never_met():
    """80 were in remission by day 9, and 16 respond at the end without remission: some may be in both."""
    assert attack(range(3435, 3436), most=500)[1] == []


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 4000, 500))
def test_an_attacker_learns_nothing_from_thousands_of_curves(start):
    assert attack(range(1000 + start, 1500 + start), most=200)[1] == []
