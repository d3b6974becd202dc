"""Reports that follow one another: what is told again, what is repeated, and what two of them give away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import attacked_tables as attacked
import attacker
import linked_reports as linked
import numpy as np
import pandas as pd
import pytest
from attacked_tables import REMISSION, RESPONSE

import ketaoutcomes as ko
from ketaoutcomes.counts.tallies import KEYS, Header, Tally, typed
from ketaoutcomes.disclosure import (
    LARGEST_SMALL,
    DisclosureError,
    Protection,
    protect,
    protection,
    restatements,
)
from ketaoutcomes.plan import Criteria, Plan

Counts = dict[str, tuple[int, int, int]]  # by month: met, not met, unassessed
OCTOBER, NOVEMBER, DECEMBER = "2026-10-31", "2026-11-30", "2026-12-31"
STATES = ("met", "not_met", "missing")


def counted(as_of: str, months: Counts, remission: int | None = None) -> list[Tally]:
    """Everyone at the end of the series and by month; `remission` of all who met are in remission, too."""
    criteria = (RESPONSE,) if remission is None else (RESPONSE, REMISSION)
    plan = Plan(criteria=Criteria(primary=criteria))
    header = Header(
        plan=plan.canonical(), plan_hash=plan.hash, as_of=as_of, by=(), axes=("end", "month"),
        criteria=criteria, kinds=("current",),
    )  # fmt: skip
    total = np.sum(list(months.values()), axis=0)
    rows = [
        (RESPONSE, "month", month, *pair)
        for month, n in months.items()
        for pair in zip(STATES, n, strict=True)
    ]
    rows += [(RESPONSE, "end", "end", state, n) for state, n in zip(STATES, total, strict=True)]
    if remission is not None:
        rest = (remission, total[0] + total[1] - remission, total[2])
        rows += [(REMISSION, "end", "end", state, n) for state, n in zip(STATES, rest, strict=True)]
    table = pd.DataFrame(rows, columns=["criterion", "axis", "point", "state", "n"])
    table = table[table["n"] > 0].assign(instrument="phq9", kind="current", given="no")
    empty = {name: typed(name, pd.DataFrame(columns=KEYS[name]), ()) for name in KEYS}
    return [Tally(header, **(empty | {"points": typed("points", table, ())}))]


def shown(one: Protection, point: str, criterion: str = RESPONSE) -> dict[str, float]:
    table = one.tallies[0].points
    table = table[(table["point"] == point) & (table["criterion"] == criterion)]
    return dict(zip(table["state"], table["n"], strict=True))


def steps(one: Protection) -> dict[tuple[str, str], tuple[str, str]]:
    table = one.steps
    return {
        (criterion, point): (step, day)
        for criterion, point, step, day in table[["criterion", "point", "step", "as_of"]].to_numpy()
    }


def series(*reports: list[Tally], profile: str = "cms11") -> Protection:
    one: Protection | None = None
    for tallies in reports:
        one = protection(tallies, profile, one)
    assert one is not None
    return one


OLD: Counts = {"2026-09": (40, 30, 20), "2026-10": (25, 20, 15)}


def test_a_first_report_is_protected_as_ever():
    first = counted(OCTOBER, OLD)
    assert protection(first).tallies == protect(first)
    assert protection(first).steps.empty
    assert protection([]).tallies == []


def test_rows_that_were_set_aside_are_not_counted_either_in_the_tallies_or_in_their_history():
    (one,) = counted(OCTOBER, OLD)
    rows = [("row", "", "phq9", "kept", 900, 900), ("row", "", "phq9", "refused", 40, 40)]
    flow = typed("flow", pd.DataFrame(rows, columns=[*KEYS["flow"], "n", "people"]), ())
    first = protection([replace(one, flow=flow)])
    told = dict(zip(first.tallies[0].flow["reason"], first.tallies[0].flow["n"], strict=True))
    assert told["kept"] == 900
    assert np.isnan(told["refused"])
    assert first.history.loc[first.history["criterion"] == "refused", "n"].isna().all()


def test_a_month_that_closes_is_told_with_the_total():
    one = series(counted(OCTOBER, OLD), counted(NOVEMBER, OLD | {"2026-11": (12, 11, 15)}))
    assert shown(one, "2026-11") == {"met": 12, "not_met": 11, "unassessed": 15}
    assert shown(one, "end") == {"met": 77, "not_met": 61, "unassessed": 50}
    assert steps(one)[RESPONSE, "2026-11"] == ("new", NOVEMBER)
    assert steps(one)[RESPONSE, "end"] == ("restated", NOVEMBER)
    assert one.tallies[0].header.as_of == NOVEMBER


def test_a_total_that_would_tell_a_few_is_repeated_with_its_day():
    one = series(counted(OCTOBER, OLD), counted(NOVEMBER, OLD | {"2026-11": (12, 4, 15)}))
    assert shown(one, "end") == {"met": 65, "not_met": 50, "unassessed": 35}
    assert steps(one)[RESPONSE, "end"] == ("repeated", OCTOBER)
    assert steps(one)[RESPONSE, "2026-11"][0] == "waiting"  # with the total it would tell the same four
    assert shown(one, "2026-11") == {}


def test_it_is_told_again_once_enough_have_changed():
    later = OLD | {"2026-11": (12, 4, 15), "2026-12": (20, 14, 12)}
    two = series(counted(OCTOBER, OLD), counted(NOVEMBER, OLD | {"2026-11": (12, 4, 15)}))
    three = protection(counted(DECEMBER, later), previous=two)
    assert shown(three, "end") == {"met": 97, "not_met": 68, "unassessed": 62}
    assert steps(three)[RESPONSE, "end"] == ("restated", DECEMBER)


def test_late_scores_of_a_few_leave_everything_as_it_stood():
    """Two of October were scored late: their month would tell it, and so would the total less November."""
    late = {"2026-09": (40, 30, 20), "2026-10": (27, 20, 13), "2026-11": (12, 11, 15)}
    one = series(counted(OCTOBER, OLD), counted(NOVEMBER, late))
    assert shown(one, "2026-10") == {"met": 25, "not_met": 20, "unassessed": 15}
    assert shown(one, "2026-11") == {} or shown(one, "end") == {"met": 65, "not_met": 50, "unassessed": 35}
    assert restatements(protection(counted(OCTOBER, OLD)).tallies, one.tallies).empty


def test_late_scores_of_many_restate_their_month():
    late = {"2026-09": (60, 41, 0), "2026-10": (25, 20, 15)}
    first = protection(counted(OCTOBER, {"2026-09": (40, 30, 31), "2026-10": (25, 20, 15)}))
    then = protection(counted(NOVEMBER, late), previous=first)
    changed = restatements(first.tallies, then.tallies)
    assert changed[["point", "state", "before", "after"]].to_numpy().tolist() == [
        ["2026-09", "met", 40, 60], ["2026-09", "not_met", 30, 41], ["2026-09", "unassessed", 31, 0],
    ]  # fmt: skip


def test_who_of_a_closed_month_is_still_without_a_score_is_not_told():
    """Of the 39 of September without a score 31 responded late, and eight are still without one.

    Everyone less November would say that 80 of September responded; 17 had not when they were scored, and
    of 105 that leaves the eight.
    """
    late = {"2026-09": (80, 17, 8), "2026-11": (30, 66, 4)}
    one = series(counted(OCTOBER, {"2026-09": (49, 17, 39)}), counted(NOVEMBER, late))
    assert shown(one, "end")["met"] == 110
    assert shown(one, "2026-09") == {"met": 49, "not_met": 17, "unassessed": 39}
    assert steps(one)[RESPONSE, "2026-11"][0] == "waiting"
    more = {"2026-09": (60, 37, 8), "2026-11": (30, 66, 4)}  # 28 had not responded late or have no score
    one = series(counted(OCTOBER, {"2026-09": (49, 17, 39)}), counted(NOVEMBER, more))
    assert shown(one, "2026-11") == {"met": 30, "unmet_or_missing": 70}


def by_week(as_of: str, weeks: Counts) -> list[Tally]:
    """Everyone at some weeks."""
    (one,) = counted(as_of, weeks)
    table = one.points[one.points["axis"] == "month"].assign(axis="week")
    header = replace(one.header, axes=("week",))
    return [replace(one, header=header, points=typed("points", table, ()))]


def test_the_weeks_of_a_table_are_all_of_one_day():
    """Two more responded by week 8, so week 4 is repeated, too: no table mixes two days."""
    first = by_week(OCTOBER, {"4": (40, 30, 20), "8": (25, 20, 15)})
    then = by_week(NOVEMBER, {"4": (60, 45, 35), "8": (27, 35, 30)})
    last = by_week(DECEMBER, {"4": (80, 60, 50), "8": (45, 50, 45)})
    two = series(first, then)
    assert steps(two) == {(RESPONSE, ""): ("repeated", OCTOBER)}
    assert shown(two, "4") == {"met": 40, "not_met": 30, "unassessed": 20}
    three = protection(last, previous=two)
    assert steps(three) == {(RESPONSE, ""): ("restated", DECEMBER)}
    assert shown(three, "4") == {"met": 80, "not_met": 60, "unassessed": 50}


def test_a_week_that_is_reached_is_told_with_the_weeks_before_or_waits():
    first = by_week(OCTOBER, {"4": (40, 30, 20)})
    told = series(first, by_week(NOVEMBER, {"4": (60, 45, 35), "8": (27, 35, 40)}))
    assert shown(told, "8") == {"met": 27, "not_met": 35, "unassessed": 40}
    not_told = series(first, by_week(NOVEMBER, {"4": (43, 45, 35), "8": (27, 35, 40)}))
    assert steps(not_told) == {(RESPONSE, ""): ("repeated", OCTOBER)}
    assert shown(not_told, "8") == {}


def test_what_was_hidden_once_stays_hidden():
    first = counted(OCTOBER, {"2026-10": (40, 30, 5)})
    then = counted(NOVEMBER, {"2026-10": (40, 30, 5), "2026-11": (20, 15, 30)})
    one = series(first, then)
    assert protect(then)[0].points["state"].isin(["unassessed"]).any()  # alone it would be told
    assert shown(one, "end") == {"met": 60, "unmet_or_missing": 80}


def test_two_criteria_do_not_tell_the_few_between_their_changes():
    """25 more responded and 20 of them remitted: five responded only."""
    first = counted(OCTOBER, {"2026-10": (60, 40, 20)}, remission=30)
    then = counted(NOVEMBER, {"2026-10": (60, 40, 20), "2026-11": (25, 30, 20)}, remission=50)
    one = series(first, then)
    assert shown(one, "end")["met"] == 85
    assert shown(one, "end", REMISSION)["met"] == 30
    assert steps(one)[REMISSION, "end"] == ("repeated", OCTOBER)


def test_rounded_reports_compare_rounded_numbers():
    first, then = counted(OCTOBER, OLD), counted(NOVEMBER, OLD | {"2026-11": (12, 8, 15)})
    one = series(first, then, profile="opensafely")
    numbers = one.tallies[0].points["n"].dropna()
    assert (numbers % 5 == 0).all()
    assert steps(one)[RESPONSE, "end"] == ("repeated", OCTOBER)  # 50 to 60 may be six to fourteen people


def test_a_series_survives_being_written_down():
    first = protection(counted(OCTOBER, OLD))
    then = counted(NOVEMBER, OLD | {"2026-11": (12, 11, 15)})
    read = Protection.from_json(first.to_json())
    assert read.to_json() == first.to_json()
    assert protection(then, previous=read).to_json() == protection(then, previous=first).to_json()
    with pytest.raises(DisclosureError, match="not what"):
        Protection.from_json('{"tallies": 3}')


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"plan_hash": "other"}, "not the same plan"),
        ({"by": ("site",)}, "not the same grouping"),
        ({"as_of": "2026-09-30"}, "later day"),
    ],
)
def test_what_cannot_follow_the_last_report_is_refused(change: dict[str, object], says: str):
    first = protection(counted(OCTOBER, OLD))
    tallies = [replace(t, header=replace(t.header, **change)) for t in counted(OCTOBER, OLD)]
    with pytest.raises(DisclosureError, match=says):
        protection(tallies, previous=first)
    with pytest.raises(DisclosureError, match="no history"):
        protection(counted(NOVEMBER, OLD), previous=Protection(first.tallies))
    with pytest.raises(DisclosureError, match="profile"):
        protection(counted(NOVEMBER, OLD), "opensafely", first)


def sample(month: str) -> list[Tally]:
    study = ko.Study(ko.load_sample(), as_of=month)
    tables = ("flow", "points", "values")
    return [
        study.tally(at=("end", "month"), kind="current", tables=tables),
        study.tally(by="site", at="end", kind="current", tables=tables),
        study.tally(at="end", tables=("good_time",)),
    ]


def test_on_the_sample_the_month_is_told_and_good_time_stands():
    first = protection(sample("2026-08"))
    then = protection(sample("2026-09"), previous=first)
    told = then.steps[then.steps["step"] == "new"]
    assert "2026-09" in set(told.loc[told["criterion"] == RESPONSE, "point"])
    assert then.tallies[2].points.equals(first.tallies[2].points)
    assert then.tallies[2].transitions.equals(first.tallies[2].transitions)
    (stands,) = then.steps.loc[then.steps["table"] == "good_time", "as_of"]
    assert stands == "2026-08-31"
    again = protection(sample("2026-09"), previous=then)
    assert not again.steps["step"].isin(["new"]).any()


# --- the attack ------------------------------------------------------------------------------------------


WORLDS = {"weeks": linked.weeks, "sessions": linked.sessions}


def attack(
    seeds: Sequence[int],
    most: int,
    profile: str = "cms11",
    *,
    world: str = "weeks",
    follows: bool = True,
    late: bool = True,
) -> tuple[int, list[tuple[int, float, float]]]:
    """How many parts were told again or anew, and every question about few that three reports answer."""
    small, parts, found = LARGEST_SMALL[profile], 0, []
    patients = WORLDS[world]()
    for seed in seeds:
        rng = np.random.default_rng(seed)
        persons = patients.cohort(rng, may_be_late=late)
        if follows:
            reports = patients.published(persons, profile)
        else:
            reports = [Protection(protect(one.tallies(persons), profile)) for one in patients.reports]
        equations, numbers = patients.equations(reports)
        parts += sum(int(one.steps["step"].isin(["new", "restated"]).sum()) for one in reports[1:])
        sets = attacked.questions(patients.asked, persons, small, rng, most)
        known = attacker.learned(equations, numbers, persons, sets, small, linked.WITHIN[profile])
        found += [(seed, one.low, one.high) for one in known]
    return parts, found


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("profile", "late"), [("cms11", True), ("cms11", False), ("opensafely", True)])
def test_an_attacker_with_three_reports_learns_no_small_number(profile: str, late: bool, world: str):
    parts, found = attack(range(2), 200, profile, world=world, late=late)
    assert found == []
    assert parts > 5


@pytest.mark.parametrize(
    ("seed", "profile", "world"),
    [
        (1003, "cms11", "weeks"),  # how many of a site were not due: its eligible had to be as they were
        (
            1194,
            "cms11",
            "weeks",
        ),  # how many of a month not told were not in remission, from another day's total
        (2058, "cms11", "weeks"),  # neither without a score in one report nor scored in another
        (
            2139,
            "cms11",
            "weeks",
        ),  # everyone without the eligible of two sites in one report and the due of a third
        (
            10269,
            "cms11",
            "weeks",
        ),  # scored late in two months, one of which had waited when their total was told
        (34, "opensafely", "weeks"),  # a rounded number that is as it was: nobody came, or up to four
        (95, "cms11", "sessions"),  # those unscored, from who was due in one protocol and eligible in another
        (157, "cms11", "sessions"),  # the same, where nobody was below the gate
        (500375, "opensafely", "sessions"),  # a cell that is as it was, within a table that is not
    ],
)
def test_an_attacker_learns_nothing_from_series_that_told_of_a_few_once(seed: int, profile: str, world: str):
    assert attack([seed], 300, profile, world=world)[1] == []


def test_without_the_link_the_attacker_would_learn():
    assert attack([2], most=200, follows=False)[1] != []


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("profile", ["cms11", "opensafely"])
@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("start", range(10_000, 10_500, 25))
def test_an_attacker_learns_nothing_from_thousands_of_series(
    start: int, late: bool, profile: str, world: str
):
    assert attack(range(start, start + 25), 300, profile, world=world, late=late)[1] == []
