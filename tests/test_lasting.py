"""Whether early responses lasted, and boosters: single courses, a slow walk, what a shared report tells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reference import Settings
from small_cohorts import Rows, plan_for, study_of
from titration_cases import awkward

import ketaoutcomes as ko
from ketaoutcomes.counts.good_time_cells import cells
from ketaoutcomes.counts.lasting_counts import AFTER_STATES, NUMBERS
from ketaoutcomes.counts.tallies import Tally, typed
from ketaoutcomes.disclosure import protect
from ketaoutcomes.plan import Plan
from ketaoutcomes.results.lasting_results import boosters, kept, life_table

SIX = "0 3 6 9 12 15"


def tally(*people: tuple[str, str, int]) -> Tally:
    """Patients by doses, PHQ-9 scores and cut day."""
    rows = Rows()
    for number, (doses, scores, cut) in enumerate(people):
        rows.add(f"P{number}", doses, {"cut_day": cut}, phq9=scores)
    return study_of(rows, plan_for(Settings(), ["phq9_response50"])).tally(at="end", tables=("good_time",))


def states(counted: Tally, kind: str) -> dict[str, int]:
    own = counted.points[counted.points["kind"] == kind]
    return dict(zip(own["state"], own["n"], strict=True))


# --- single courses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "state"),
    [
        ("0:20 5:10", "away_1"),
        ("0:20 5:10 32:10", "away_1"),  # 27 days after the response
        ("0:20 5:10 33:10", "away_2"),
        ("0:20 5:10 61:9", "away_3"),
        ("0:20 5:10 89:9", "kept"),  # 84 days after it
        ("0:20 5:10 5+:11", "lost_1"),  # on the same day, after the dose
        ("0:20 5:10 33:11", "lost_1"),
        ("0:20 5:10 34:11", "lost_2"),
        ("0:20 5:10 89:11", "lost_3"),
        ("0:20 5:10 90:11", "kept"),  # lost, but later than the last mark
        ("0:20 5:10 20:11 89:9", "lost_1"),  # once is enough
        ("0:20 60:10", "away_1"),
        ("0:20 61:10", "unresponded"),  # after the last calendar day
        ("0:20 5:11", "unresponded"),
    ],
)
def test_what_became_of_a_response(scores: str, state: str) -> None:
    assert states(tally((SIX, scores, 200)), "after_response") == {state: 1}


@pytest.mark.parametrize(
    ("doses", "state"),
    [
        (SIX, "none"),
        (SIX + " 45", "one"),
        (SIX + " 45 110 181", "two"),  # courses are mature on day 180
        (SIX + " 45 110 180", "three_or_more"),
        ("0 3 6 35", "none"),  # the fourth dose of an induction of six
        ("0 3 6 36", "one"),  # induction is over after 35 days
        ("0/oral 3/oral 6/oral", "no_visits"),
    ],
)
def test_how_many_boosters_a_course_had(doses: str, state: str) -> None:
    assert states(tally((doses, "0:20", 400)), "boosters") == {state: 1}


def test_younger_courses_are_in_neither() -> None:
    counted = tally((SIX, "0:20 5:10", 179))
    assert states(counted, "after_response") == states(counted, "boosters") == {}
    assert kept(counted).empty
    assert boosters(counted).empty


# --- the slow walk ----------------------------------------------------------------------------------------


def walked(doses: pd.DataFrame, scores: pd.DataFrame, study: ko.Study) -> dict[str, int]:
    """The states of a cohort's first courses, score by score."""
    found: dict[str, int] = {}
    people = study.cohort.people.set_index("patient")
    days, marks = study.plan.good_time, (28, 56, 84)
    for row in study.good_time().sort_values("course").drop_duplicates("patient").itertuples():
        own = study.courses[study.courses["patient"] == row.patient].set_index("course")["first_day"]
        first, cut = int(own[row.course]), int(people.loc[row.patient, "cut_day"])
        if first + days.mature_days > cut:
            continue
        until = int(own.get(row.course + 1, cut + 1))
        mine = scores[scores["patient"] == row.patient]
        base = float(mine.loc[(mine["day"] == first) & (mine["timing"] == "pre"), "phq9"].iloc[0])
        course = sorted(
            (score.day, score.timing == "post", score.phq9) for score in mine.itertuples()
            if score.day <= cut and (score.day, score.timing == "post") > (first, False)
            and (score.day, score.timing == "post") <= (until, False)
        )  # fmt: skip
        met = [(day, 2 * value <= base) for day, _, value in course]
        at = next((i for i, (_, good) in enumerate(met) if good), None)
        state = "unresponded"
        if at is not None and met[at][0] - first <= days.calendar_days[-1]:
            since = [(day - met[at][0], good) for day, good in met[at:]]
            loss = next((day for day, good in since if not good), 10**6)
            by = [i for i, mark in enumerate(marks) if loss <= mark]
            short = [i for i, mark in enumerate(marks) if since[-1][0] < mark]
            state = f"lost_{by[0] + 1}" if by else f"away_{short[0] + 1}" if short else "kept"
        found[state] = found.get(state, 0) + 1
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_slow_walk_finds_the_same_states(seed: int) -> None:
    doses, scores, people = awkward(seed)
    plan = Plan(good_time={"mature_days": 160, "calendar_days": (30, 60)})
    study = ko.Study(ko.Cohort.from_frames(doses, scores, people.assign(cut_day=400), plan=plan))
    counted = study.tally(at="end", tables=("good_time",))
    expected = walked(doses, scores, study)
    assert len(expected) > 3
    assert states(counted, "after_response") == expected
    shuffled = [frame.sample(frac=1, random_state=seed) for frame in (doses, scores)]
    again = ko.Study(ko.Cohort.from_frames(*shuffled, people.assign(cut_day=400), plan=plan))
    assert states(again.tally(at="end", tables=("good_time",)), "after_response") == expected


def test_parts_add_up() -> None:
    people = [(SIX + " 45", "0:20 5:10 40:9", 300), (SIX, "0:20 5:10 40:11", 300), (SIX, "0:20", 250)]
    whole = tally(*people)
    assert sum(states(whole, "after_response").values()) == 3
    apart = [states(tally(one), "boosters") for one in people]
    assert states(whole, "boosters") == {"none": 2, "one": 1}
    assert apart == [{"one": 1}, {"none": 1}, {"none": 1}]


# --- results ----------------------------------------------------------------------------------------------


# SAS/STAT 9.2 User's Guide, LIFETEST, example 49.3 (Lee 1992, p. 91): males with angina pectoris.
FAILED = [456, 226, 152, 171, 135, 125, 83, 74, 51, 42, 43, 34, 18, 9, 6]
WITHDREW = [0, 39, 22, 23, 24, 107, 133, 102, 68, 64, 45, 53, 33, 27, 23]
SURVIVED = [
    0.8114, 0.7170, 0.6524, 0.5786, 0.5193, 0.4611, 0.4172, 0.3712, 0.3342, 0.2987, 0.2557, 0.2136, 0.1839,
    0.1636, 0.1429,
]  # fmt: skip


def test_the_life_table_is_that_of_sas() -> None:
    lost, gone = (np.concatenate([[0], np.cumsum(each)]) for each in (FAILED, WITHDREW))
    found = life_table(2418.0, lost.astype(float), gone.astype(float), 0.95)
    assert found["no_relapse"][1:] == pytest.approx(SURVIVED, abs=5e-5)
    assert found["at_risk"][1] == 1962


def test_a_mark_that_is_told_together_with_the_next_is_passed_over() -> None:
    lost, gone = np.array([0, np.nan, 20, 30]), np.array([0, np.nan, 10, 20])
    found = life_table(100.0, lost, gone, 0.95)
    assert found["reason"].tolist() == ["", "hidden", "", ""]
    assert found["no_relapse"][2] == pytest.approx(1 - 20 / 95)
    assert found["no_relapse"][3] == pytest.approx((1 - 20 / 95) * (1 - 10 / 65))
    assert found["kept_at_least"][3] == 0.5
    assert found["kept_at_most"][3] == 0.7


def test_a_mark_that_few_or_nobody_reach_has_bounds_and_no_estimate() -> None:
    lost, gone = np.array([0.0, 2, 4, 4]), np.array([0.0, 12, 16, 16])
    found = life_table(20.0, lost, gone, 0.95)  # 6 are followed after the first mark, nobody after the second
    assert found["reason"].tolist() == ["", "", "too_few_at_risk", "not_followed"]
    assert np.isnan(found["no_relapse"]).tolist() == [False, False, True, True]
    assert found["kept_at_most"].tolist() == [1.0, 0.9, 0.8, 0.8]
    none = life_table(0.0, np.zeros(4), np.zeros(4), 0.95)
    assert set(none["reason"]) == {"not_followed"}


def made(after: dict[str, int], given: dict[str, int] | None = None) -> Tally:
    """A raw Tally of mature courses with so many in each state."""
    n = sum(after.values())
    study = ko.Study(ko.load_sample())
    empty = study.tally(at="end", tables=("good_time",))
    responded = n - after.get("unresponded", 0)
    rows: list[tuple[Any, ...]] = [
        ("day60", "day60", "responded|responded_1", responded),
        ("day60", "day60", "some_good|full_trial", n - responded),
        ("at_full_trial", "good_time", "no_score", responded),
        *(("after_response", "good_time", state, many) for state, many in after.items()),
        *(("boosters", "good_time", state, many) for state, many in (given or {"none": n}).items()),
    ]
    points = pd.DataFrame(rows, columns=["kind", "axis", "state", "n"])
    points = points.assign(instrument="phq9", criterion="good_time:phq9_response50", point="mature", given="")
    rest = {name: getattr(empty, name).iloc[:0] for name in ("flow", "values", "transitions")}
    return replace(empty, points=typed("points", points, ()), **rest)


def test_small_cells_are_joined_and_then_hidden() -> None:
    many = {"lost_1": 12, "lost_2": 15, "lost_3": 20, "away_1": 30, "away_2": 11, "away_3": 40, "kept": 60}
    (shown,) = protect([made(many | {"unresponded": 90})])
    assert kept(shown)["lost"].tolist() == [0, 12, 27, 47]
    (shown,) = protect([made(many | {"unresponded": 90, "lost_1": 4})])
    table = kept(shown)
    assert table["lost"].isna().tolist() == [False, True, False, False]
    assert table["reason"].tolist() == ["", "hidden", "", ""]
    assert table["lost"].iloc[2:].tolist() == [19, 39]
    (shown,) = protect([made(many | {"unresponded": 90, "kept": 4, "lost_3": 3})])
    assert kept(shown)["lost"].iloc[1:].isna().tolist() == [True, False, True]
    (shown,) = protect([made({"lost_1": 4, "kept": 5, "away_1": 3, "unresponded": 90})])
    assert kept(shown)["no_relapse"].isna().all()
    assert set(kept(shown)["reason"]) == {"hidden"}
    assert not cells(shown)["n"].between(1, 10).any()


def test_few_boosters_are_told_together() -> None:
    after = {"kept": 60, "away_1": 40, "unresponded": 100}
    (shown,) = protect([made(after, {"none": 150, "one": 30, "two": 4, "three_or_more": 16})])
    assert boosters(shown)[["boosters", "n"]].to_numpy().tolist() == [
        ["none", 150], ["one", 30], ["two+three_or_more", 20],
    ]  # fmt: skip
    (shown,) = protect([made(after, {"none": 195, "one": 5})])
    table = boosters(shown)
    assert table["n"].isna().all()
    assert set(table["reason"]) == {"hidden"}


def test_every_state_is_in_one_column() -> None:
    study = ko.Study(ko.load_sample())
    counted = study.tally(at="end", by="site", tables=("good_time",))
    table = kept(counted)
    assert table.groupby("day")[["n", "lost"]].sum().loc[84].tolist() == [323, 65]
    assert (table["lost"] + table["not_scored"] + table["at_risk"] == table["n"]).all()
    last = table[table["day"] == 84]
    inside = last["no_relapse"].between(last["kept_at_least"], last["kept_at_most"])
    assert inside.all()
    assert boosters(counted).groupby("boosters")["n"].sum().to_dict() == {
        "none": 369, "one": 20, "two": 20, "three_or_more": 133,
    }  # fmt: skip
    assert set(NUMBERS) == set(boosters(counted)["boosters"])
    assert set(states(counted, "after_response")) <= set(AFTER_STATES)
