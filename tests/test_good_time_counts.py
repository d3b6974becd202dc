"""Good time counted: what must hold of any cohort, the daily moves of single courses, and the summary."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from titration_cases import FAQ, TARGET, WEEKLY, awkward, doses_of, scores_of, study

import ketaoutcomes as ko
from ketaoutcomes import simulate
from ketaoutcomes.counts.tallies import TallyError
from ketaoutcomes.per_patient.good_time import STATUSES
from ketaoutcomes.plan import Plan
from ketaoutcomes.results.partition import CAUTION, SINCE, good_time_summary

CLOCKS = ("cumulative", "doses", "first_reach", "contiguous")


# --- what must hold of any cohort -------------------------------------------------------------------------


def good_time(frames: Any, clock: str | None = None, **chosen: Any) -> pd.DataFrame:
    return ko.Study(ko.Cohort.from_frames(*frames, plan=Plan(good_time=chosen))).good_time(clock=clock)


@pytest.mark.parametrize("seed", range(5))
def test_every_eligible_course_has_exactly_one_status(seed):
    frames = awkward(seed)
    of_all = ko.Study(ko.Cohort.from_frames(*frames))
    table, base = of_all.good_time(), of_all.baselines
    eligible = base[base["eligible"] & (base["instrument"] == "phq9")]
    assert (
        table[["patient", "course"]].to_numpy().tolist()
        == eligible[["patient", "course"]].to_numpy().tolist()
    )
    assert table["status"].isin(STATUSES).all()
    account = table[[f"{name}_days" for name in ("titrating", "adequate", "dipped", "lapsed")]]
    judged = ~table["status"].isin(["no_level", "not_comparable"])
    assert (account[judged] >= 0).all(axis=None)
    assert account[~judged].isna().all(axis=None)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("clock", CLOCKS)
def test_records_after_the_last_day_change_nothing(seed, clock):
    doses, scores, people = awkward(seed)
    cut = people.set_index("patient")["cut_day"]
    known = (
        doses[doses["day"] <= doses["patient"].map(cut)],
        scores[scores["day"] <= scores["patient"].map(cut)],
    )
    both = [
        good_time(frames, clock, windows=(5, 20)) for frames in ((doses, scores, people), (*known, people))
    ]
    pd.testing.assert_frame_equal(*both)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("clock", ["cumulative", "doses"])
def test_lowering_a_dose_never_adds_good_time(seed, clock):
    doses, scores, people = awkward(seed)
    before = good_time((doses, scores, people), clock, windows=(5, 20)).set_index(["patient", "course"])
    rng = np.random.default_rng(seed)
    for _ in range(5):
        doses = doses.assign(dose=np.where(rng.random(len(doses)) < 0.1, doses["dose"] * 0.8, doses["dose"]))
        after = good_time((doses, scores, people), clock, windows=(5, 20)).set_index(["patient", "course"])
        known = before["good"].notna()
        assert (after["good"][known] <= before["good"][known]).all()
        before = after


def test_the_order_of_rows_means_nothing():
    frames = awkward(1)
    shuffled = [frame.sample(frac=1, random_state=3) for frame in frames]
    pd.testing.assert_frame_equal(good_time(frames), good_time(shuffled))


def counted(frames: Any, by: Any = None, **chosen: Any) -> Any:
    of_all = ko.Study(ko.Cohort.from_frames(*frames, plan=Plan(good_time=chosen)))
    return of_all.tally(by=by, at="end", tables=("good_time",))


@pytest.mark.parametrize("by", [None, "site"])
def test_counts_of_parts_add_up_to_the_whole(by):
    frames = awkward(2, 80)
    names = frames[2]["patient"].tolist()
    random.Random(4).shuffle(names)
    parts = [
        counted([frame[frame["patient"].isin(own)] for frame in frames], by)
        for own in (names[:1], names[1:30], names[30:])
    ]
    assert sum(parts).to_json() == counted(frames, by).to_json()


def test_blocks_of_patients_make_no_difference(monkeypatch):
    frames = awkward(3, 40)
    whole = counted(frames, "site"), good_time(frames)
    monkeypatch.setattr("ketaoutcomes.per_patient.patients.BLOCK", 7)
    assert counted(frames, "site").to_json() == whole[0].to_json()
    pd.testing.assert_frame_equal(good_time(frames), whole[1])


def test_counts_by_different_bases_do_not_add():
    doses, scores, people = awkward(2, 5)
    with pytest.raises(TallyError, match="basis"):
        counted((doses, scores, people)) + counted((doses, scores, people.drop(columns="target_dose")))


# --- counts -----------------------------------------------------------------------------------------------


def moves(doses: str, scores: str = "0:20", clock: str = "first_dose", **more: Any) -> list[tuple[Any, ...]]:
    """One course's moves in order: day, from, to."""
    tally = study(doses, scores, **more).tally(at="end", tables=("good_time", "delayed_entry"))
    table = tally.transitions[tally.transitions["clock"] == clock]
    left = [(row["day"], row["from"], row["to"]) for row in table.to_dict("records")]
    path = [next(move for move in left if move[1] == "")]
    left.remove(path[0])
    while left:
        path.append(min(move for move in left if move[1] == path[-1][2] and move[0] >= path[-1][0]))
        left.remove(path[-1])
    return path


def test_moves_from_the_first_dose():
    doses = "0=50 5=60 8=100 15=40 40=100"
    assert moves(doses, cut=50) == [
        (0, "", "titrating"),
        (8, "titrating", "adequate"),
        (15, "adequate", "dipped"),
        (22, "dipped", "lapsed"),
        (40, "lapsed", "adequate"),
        (47, "adequate", "lapsed"),
        (50, "lapsed", "censored"),
    ]


@pytest.mark.parametrize(
    ("scores", "last"),
    [
        ("0:20 8:10", (8, "titrating", "responded_before")),  # before the adequate dose of its day
        ("0:20 8+:10", (8, "titrating", "responded_after")),  # after it: one net move
        ("0:20 15:10", (15, "adequate", "responded_after")),
        ("0:20 23:10", (23, "lapsed", "responded_after")),
    ],
)
def test_a_response_leaves_from_the_state_before_its_day(scores, last):
    assert moves("0=50 5=60 8=100", scores, cut=50)[-1] == last


def test_a_response_after_the_first_dose_on_its_day():
    assert moves("0=50", "0:20 0+:10", cut=50) == [(0, "", "responded_before")]


def test_nobody_is_censored_before_the_last_day_on_record():
    assert moves("0=100", cut=50) == [
        (0, "", "adequate"), (7, "adequate", "lapsed"), (50, "lapsed", "censored"),
    ]  # fmt: skip
    assert moves("0=100", cut=400)[-1] == (7, "adequate", "lapsed")  # day 400 lies beyond the curves
    assert moves("0=100 100=100", cut=200)[-1] == (100, "lapsed", "next_course")


def test_a_course_without_a_level_is_not_left_out():
    assert moves("0=100 3=?", "0:20 9:10", cut=50) == [
        (0, "", "unjudged"), (9, "unjudged", "responded_unjudged"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("doses", "scores", "day", "event"),
    [
        ("0=50 5=100", "0:20 9:10", 4, "responded"),
        ("0=50 5=100", "0:20 12:10", 7, "responded"),  # on the day cover ends
        ("0=50 5=100", "0:20 12+:10", 7, "lapsed"),
        ("0=50 5=100", "0:20 13:10", 7, "lapsed"),
        ("0=50 5=100 12=50 19=100", "0:20 26:10", 21, "responded"),  # a dip is no lapse
        ("0=50 5=100", "0:20 5+:10", 0, "responded"),
    ],
)
def test_moves_from_the_reached_day(doses, scores, day, event):
    assert moves(doses, scores, "reached", cut=50) == [(0, "", "at_risk"), (day, "at_risk", event)]
    # By days since the first dose, nobody is at risk who leaves on the day of entering.
    if day > 0:
        assert moves(doses, scores, "delayed", cut=50) == [(5, "", "at_risk"), (5 + day, "at_risk", event)]


def test_who_responded_before_the_level_is_not_at_risk_from_it():
    tally = study("0=50 5=100", "0:20 5:10", cut=50).tally(at="end", tables=("good_time",))
    assert set(tally.transitions["clock"]) == {"first_dose"}


def test_everyone_who_enters_leaves_or_stays_to_the_end():
    table = counted(awkward(6, 200)).transitions
    first = table[table["clock"] == "first_dose"]
    for state in set(first["to"]) - {"censored", "next_course"}:
        net = first.loc[first["to"] == state, "n"].sum() - first.loc[first["from"] == state, "n"].sum()
        assert net >= 0
    assert first.loc[first["from"] == "", "n"].sum() == 200


# --- the summary ------------------------------------------------------------------------------------------


def null_study(patients: int = 400, site: bool = False) -> ko.Study:
    trial = simulate.null(patients=patients, staggered_days=300)
    people = trial.people.assign(site=["North", "South"] * (patients // 2)) if site else trial.people
    plan = Plan(good_time={"target_preset": True})
    return ko.Study(ko.Cohort.from_frames(trial.doses, trial.scores, people, plan=plan), as_of="2025-10-31")


def test_the_partition_is_whole_and_mature_courses_stand_apart():
    of_all = null_study()
    summary, table = of_all.good_time_summary(), of_all.good_time()
    counts = summary.partition.groupby("status")["n"].sum()
    assert counts[counts > 0].to_dict() == table["status"].value_counts().to_dict()
    assert summary.partition["n"].sum() == summary.groups["n"].sum() == 400
    young = summary.groups["period"] == "younger"
    assert summary.groups.loc[young, "share"].isna().all()
    assert summary.groups.loc[~young, "share"].sum() == pytest.approx(1)
    assert summary.caution == CAUTION


def test_the_sentence_adds_up():
    row = null_study().good_time_summary().day60.iloc[0]
    assert row["n"] == row[["not_reached", "some_good", "trial_complete"]].sum() == row[list(SINCE)].sum()


def test_the_sentence_says_what_its_counts_say():
    # Day 60 without response: the level never reached, or 36 good days; later response, or none.
    people = {
        "a": ("0=50 7=50", "0:20"),
        "b": (FAQ, "0:20 70:10"),
        "c": (FAQ, "0:20 84:15"),
        "d": (WEEKLY, "0:20 60:15"),
        "e": (WEEKLY, "0:20 20:10"),
        "f": ("0=?", "0:20"),
    }
    frames = (
        pd.DataFrame([row for who, (doses, _) in people.items() for row in doses_of(doses, who)]),
        pd.DataFrame([row for who, (_, scores) in people.items() for row in scores_of(scores, who)]),
        pd.DataFrame({"patient": list(people), **TARGET, "cut_day": 200}),
    )
    summary = ko.Study(ko.Cohort.from_frames(*frames)).good_time_summary()
    assert summary.sentence() == (
        "Of 4 mature courses with no response recorded by day 60, 1 had not reached the level, 2 had some "
        "good time and 1 had the good time of a whole trial. By each person's last day on record, 1 of them "
        "responded, 2 completed a trial without response, 1 stopped, 0 remain open and 0 had the good time "
        "but no score to judge by. Some later responses are expected even if dose makes no difference. "
        "1 more without response cannot be judged."
    )


def test_sites_show_who_cannot_be_judged_and_how_long_the_level_took():
    summary = null_study(site=True).good_time_summary(by="site")
    mature = summary.levels[summary.levels["period"] == "mature"].set_index("site")
    assert mature["median_days_to_level"].tolist() == [28, 28]
    assert (mature["share_not_evaluable"] == mature["not_evaluable"] / mature["n"]).all()
    assert "no response recorded" in summary.sentence(site="North")
    with pytest.raises(ValueError, match="site"):
        summary.sentence()


def test_a_response_absent_again_at_the_full_trial():
    def state(scores: str) -> str:
        table = study(WEEKLY, scores).good_time_summary().at_full_trial
        return str(table.loc[table["n"] > 0, "state"].item())

    assert state("0:20 20:10") == "no_score"
    assert state("0:20 20:10 50:15") == "no_score"
    assert state("0:20 20:10 50:15 60:15 70:5") == "absent"
    assert state("0:20 20:10 50:15 60:9") == "present"


def test_every_number_stands_beside_the_rules_it_was_made_by():
    rules = study(FAQ).good_time_summary().rules.set_index("protocol")
    assert rules.loc["home", ["clock", "unit", "window_1", "window_2", "fraction"]].tolist() == [
        "cumulative", "days", 30, 60, 0.9,
    ]  # fmt: skip
    assert rules.loc["iv6", ["clock", "window_1", "window_2"]].tolist() == ["doses", 4, 6]


def test_hidden_counts_stay_hidden():
    tally = study(FAQ, "0:20 60:15").tally(at="end", tables=("good_time",))
    tables = {name: table.assign(n=np.nan) for name, table in tally.tables().items()}
    summary = good_time_summary(replace(tally, **tables, protected="cms11"))
    assert summary.groups.loc[summary.groups["period"] == "mature", "of"].isna().all()
    assert "a number that is hidden" in summary.sentence()


def test_a_tally_without_good_time_says_how_to_count_it():
    with pytest.raises(ValueError, match="good_time"):
        good_time_summary(study(FAQ).tally(at="end"))
