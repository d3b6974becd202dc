"""What good time publishes, attacked: every history of a course, linear programming over all numbers."""

from __future__ import annotations

import itertools
from dataclasses import replace

import attacked_tables as attacked
import attacker
import numpy as np
import pandas as pd
import pytest
from good_time_worlds import (
    CRITERION,
    NAME,
    GoodTime,
    fuller,
    lasting,
    left,
    partitioned,
    persons_of,
    scenario,
)

import ketaoutcomes as ko
from ketaoutcomes.counts.good_time_cells import LAST_KNOWN, TOGETHER, cells, counted, mature, younger
from ketaoutcomes.counts.tallies import KEYS, Tally, typed
from ketaoutcomes.disclosure import LARGEST_SMALL, DisclosureError, protect
from ketaoutcomes.disclosure.ladders import WAYS, leaves, meets
from ketaoutcomes.plan import Plan

SINCE = (0, 30, 31, 60, 61, 180, 181)  # on these days it changes in which cells someone can be who leaves


def attack(
    seeds: range, most: int, profile: str = "cms11", one: GoodTime | None = None
) -> list[tuple[int, float, float]]:
    """Small numbers that can be told."""
    one, small, found = one or scenario(), LARGEST_SMALL[profile], []
    within = attacked.ROUNDING if profile == "opensafely" else 0.0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        persons = persons_of(one, rng)
        shown = protect(one.tallies(persons), profile)
        sets = attacked.questions(one.asked, persons, small, rng, most)
        known = attacker.learned(*one.equations(shown), persons, sets, small, within)
        found += [(seed, each.low, each.high) for each in known]
    return found


def test_the_worlds_and_the_package_agree_on_which_cells_have_people_in_common() -> None:
    found = set()
    for cells_of in {tuple(partitioned(one)) for one in fuller().types}:
        found |= {frozenset(pair) for pair in itertools.combinations(cells_of, 2)}
    every = sorted(set().union(*found))
    pairs = [pair for pair in itertools.combinations(every, 2) if pair[0][:2] != pair[1][:2]]
    can = {frozenset(pair) for pair in pairs if meets(*pair, 60)}
    assert found - can == set()
    # Whoever has met at the end has responded by then; this world has no series longer than half a year.
    assert can - found == {frozenset([(LAST_KNOWN, "end", "carried_met"), ("occupation", "180", "unjudged")])}


@pytest.mark.slow
def test_the_worlds_and_the_package_agree_on_how_people_leave() -> None:
    found = set()
    for cells_of, out in {(tuple(partitioned(one)), left(one)) for one in fuller(moves=True).types}:
        way, day = out or ("", "")
        first = max(since for since in SINCE if since <= int(day or SINCE[-1]))
        found |= {(way, first, cell) for cell in cells_of}
    cells_of = {cell for _, _, cell in found}
    places = [*itertools.product(WAYS, SINCE), ("", SINCE[-1])]
    can = {(*place, cell) for place in places for cell in cells_of if leaves(*place, cell, 60, 180)}
    assert found == can


def test_the_sample_does_not_tell_the_two_who_responded_late_without_a_level() -> None:
    study = ko.Study(ko.load_sample())
    everyone = study.tally(at=("week", "end", "month"), kind="current", tables=("flow", "points", "values"))
    shown = protect([everyone, study.tally(at="end", tables=("good_time",))])[1]
    table, moves = cells(shown), shown.transitions
    told = moves[(moves["to"] == "responded_after") & (moves["day"] <= 180)]["n"].sum()
    ever = table[(table["kind"] == TOGETHER) & table["state"].str.endswith("|responded_after")]["n"].sum()
    joined = table[(table["kind"] == "occupation") & (table["point"] == "180")].set_index("state")["n"]
    # Of 255 responded after the level or unjudged, 237 after and 16 unjudged by day 60: two more later.
    assert joined["responded_after+responded_unjudged"] == 255
    assert told < ever == 317


def test_an_attacker_learns_no_small_number_from_good_time() -> None:
    assert attack(range(2), most=100, one=scenario(1)) == []


def test_an_attacker_learns_no_small_number_from_what_else_is_told() -> None:
    assert attack(range(1), most=100, one=fuller()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seed"), [
    # Each of these told of a few by three partitions at once before three were looked at together.
    ("after", 5012), ("after", 5018), ("fuller", 100), ("fuller", 103), ("fuller", 106),
])  # fmt: skip
def test_an_attacker_learns_nothing_from_three_partitions_at_once(name: str, seed: int) -> None:
    one = lasting("after_response", moves=True) if name == "after" else fuller(moves=True)
    assert attack(range(seed, seed + 1), most=4 if name == "after" else 100, one=one) == []


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 60, 20))
def test_an_attacker_learns_nothing_from_what_became_of_responses_beside_daily_moves(start: int) -> None:
    one = lasting("after_response", moves=True)
    assert attack(range(5000 + start, 5020 + start), most=4, one=one) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["after_response", "boosters"])
@pytest.mark.parametrize("start", range(0, 200, 50))
def test_an_attacker_learns_nothing_from_what_became_of_many_responses(start: int, kind: str) -> None:
    assert attack(range(4000 + start, 4050 + start), most=6, one=lasting(kind)) == []


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
