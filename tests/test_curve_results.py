"""State occupation and rates from the reached day, from a Tally's daily moves: cases to check by eye."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ketaoutcomes as ko
from ketaoutcomes import simulate
from ketaoutcomes.counts.tallies import Header, make
from ketaoutcomes.results import curve_results

PLAN = ko.Plan(points={"curve_days": 30})
COLUMNS = ["instrument", "criterion", "clock", "day", "from", "to", "n"]


def tally(*moves, clock="first_dose", by=()):
    """A Tally holding only moves: (day, from, to, n) and the group's values."""
    rows = [("phq9", "phq9_response50", clock, *move[:4]) for move in moves]
    table = pd.DataFrame(rows, columns=COLUMNS)
    for at, name in enumerate(by):
        table[name] = [move[4 + at] for move in moves]
    header = Header(
        plan=PLAN.canonical(), plan_hash=PLAN.hash, as_of="complete", by=tuple(by), axes=("end",),
        criteria=("phq9_response50",), kinds=("current",),
    )  # fmt: skip
    return make(header, {"transitions": [table]})


TEN = (
    (0, "", "titrating", 8),
    (0, "", "adequate", 1),
    (0, "", "responded_before", 1),  # a score after the first dose
    (3, "titrating", "responded_before", 2),
    (5, "titrating", "adequate", 4),
    (9, "adequate", "responded_after", 2),
    (12, "adequate", "dipped", 1),
    (14, "dipped", "adequate", 1),
    (20, "titrating", "lapsed", 1),
)


def share(table, day, **what):
    rows = table[table["day"] == day]
    for name, value in what.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1
    return float(rows["share"].iloc[0])


def test_ten_people_by_eye():
    table = curve_results.state_occupation(tally(*TEN), days=[0, 9, 12, 14, 30])
    wide = table.pivot_table(index="day", columns="state", values="share", sort=False)
    assert wide.loc[0].to_dict() == pytest.approx(
        {"responded_before": 0.1, "responded_after": 0, "adequate": 0.1, "dipped": 0, "titrating": 0.8,
         "lapsed": 0}
    )  # fmt: skip
    assert wide.loc[9, ["responded_before", "responded_after", "adequate", "titrating"]].tolist() == (
        pytest.approx([0.3, 0.2, 0.3, 0.2])
    )
    assert wide.loc[12, ["adequate", "dipped"]].tolist() == pytest.approx([0.2, 0.1])
    assert wide.loc[30, ["adequate", "dipped", "titrating", "lapsed"]].tolist() == pytest.approx(
        [0.3, 0, 0.1, 0.1]
    )
    assert table["n"].eq(10).all()
    followed = table.groupby("day")["at_risk"].first()
    assert followed.to_dict() == {0: 9, 9: 7, 12: 5, 14: 5, 30: 5}
    assert table["reason"].eq("").all()


def test_the_all_started_curve_is_the_sum_of_the_responded_bands():
    table = curve_results.all_started(tally(*TEN), days=[0, 3, 9])
    assert table["share"].tolist() == pytest.approx([0.1, 0.3, 0.5])
    assert table["se"].tolist() == pytest.approx([(p * (1 - p) / 10) ** 0.5 for p in (0.1, 0.3, 0.5)])
    assert list(table.columns) == [
        "instrument", "criterion", "day", "n", "at_risk", "share", "se", "low", "high", "reason",
    ]  # fmt: skip


def test_states_that_nobody_was_in_are_listed_only_where_everyone_may_be_in_them():
    listed = set(curve_results.state_occupation(tally(*TEN))["state"])
    assert listed == {*curve_results.STATES} - curve_results.SOMETIMES
    more = tally(*TEN, (0, "", "unjudged", 1), (25, "lapsed", "next_course", 1))
    listed = set(curve_results.state_occupation(more)["state"])
    assert {"unjudged", "next_course"} <= listed
    assert "responded_unjudged" not in listed


def test_a_new_course_is_a_state_of_its_own_and_not_the_end_of_follow_up():
    table = curve_results.state_occupation(tally(*TEN, (25, "lapsed", "next_course", 1)), days=[24, 25, 30])
    assert share(table, 24, state="lapsed") == pytest.approx(0.1)
    assert share(table, 30, state="next_course") == pytest.approx(0.1)
    assert share(table, 30, state="responded_before") == pytest.approx(0.3)


def test_follow_up_that_ends_takes_nobody_for_a_failure():
    # Four of eight are followed to day 4 only; of the other four one responds on day 6.
    moves = (
        (0, "", "titrating", 8),
        (4, "titrating", "censored", 4),
        (6, "titrating", "responded_before", 1),
    )
    table = curve_results.all_started(tally(*moves), days=[5, 6])
    assert table["share"].tolist() == pytest.approx([0, 0.25])
    assert table["at_risk"].tolist() == [4, 4]


def test_where_nobody_is_followed_the_table_says_so():
    moves = (
        (0, "", "titrating", 8),
        (3, "titrating", "responded_before", 2),
        (9, "titrating", "censored", 6),
    )
    table = curve_results.all_started(tally(*moves))
    assert table.loc[table["day"] <= 9, "share"].notna().all()
    assert table.loc[table["day"] > 9, "share"].isna().all()
    assert table.loc[table["day"] > 9, "reason"].eq("not_followed").all()
    assert table.loc[table["day"] > 9, "low"].isna().all()


def test_hidden_counts_stay_hidden_from_their_day_on():
    counted = tally(*TEN)
    counted.transitions["n"] = counted.transitions["n"].astype(float)
    counted.transitions.loc[counted.transitions["day"] == 9, "n"] = np.nan
    table = curve_results.state_occupation(counted)
    early = table["day"] < 9
    assert table.loc[early, "share"].notna().all()
    assert table.loc[~early, ["share", "se", "low", "high"]].isna().all(axis=None)
    assert table.loc[~early, "reason"].eq("hidden").all()
    assert table.loc[table["day"] > 9, "at_risk"].isna().all()
    start = tally(*TEN)
    start.transitions["n"] = start.transitions["n"].where(start.transitions["from"] != "")
    assert curve_results.all_started(start)["reason"].eq("hidden").all()


def test_groups_stand_apart_and_in_order():
    moves = [(*move, site) for site in ("South", "North") for move in TEN]
    moves.append((2, "titrating", "responded_before", 1, "South"))
    table = curve_results.all_started(tally(*moves, by=("site",)), days=[2, 9])
    assert table["site"].tolist() == ["North", "North", "South", "South"]
    assert table["share"].tolist() == pytest.approx([0.1, 0.5, 0.2, 0.6])
    alone = curve_results.all_started(tally(*TEN), days=[2, 9])
    assert np.allclose(table.loc[:1, "low"], alone["low"])


def test_from_the_reached_day_lapse_competes():
    moves = (
        (0, "", "at_risk", 10),
        (0, "at_risk", "responded", 1),
        (7, "at_risk", "lapsed", 3),
        (7, "at_risk", "censored", 2),
        (10, "at_risk", "responded", 2),
    )
    table = curve_results.from_reached(tally(*moves, clock="reached"), days=[0, 7, 10])
    assert table["event"].drop_duplicates().tolist() == ["responded", "lapsed"]
    assert table["among"].eq("those who reached it unresponded").all()
    responded = table[table["event"] == "responded"]
    # Six stay free of both on day 7 (0.9 - 0.3 of all); of the four of them followed on day 10 half respond.
    assert responded["share"].tolist() == pytest.approx([0.1, 0.1, 0.1 + 0.6 * 2 / 4])
    assert responded["at_risk"].tolist() == [10, 9, 4]
    assert responded["events"].tolist() == [1, 0, 2]
    assert share(table, 10, event="lapsed") == pytest.approx(0.3)


def test_delayed_entry_starts_where_enough_have_arrived():
    moves = (
        (4, "", "at_risk", 5),
        (5, "at_risk", "responded", 4),
        (6, "", "at_risk", 20),
        (9, "at_risk", "responded", 7),
    )
    table = curve_results.delayed_entry(tally(*moves, clock="delayed"), days=[5, 6, 7, 9])
    responded = table[table["event"] == "responded"]
    assert responded["reason"].tolist() == ["too_few_at_risk", "too_few_at_risk", "", ""]
    assert responded["share"].tolist()[2:] == pytest.approx([0, 7 / 21])
    assert responded["share"].isna().tolist() == [True, True, False, False]
    assert responded["n"].tolist() == [25] * 4
    sooner = curve_results.delayed_entry(tally(*moves, clock="delayed"), days=[5], least=5)
    assert share(sooner, 5, event="responded") == pytest.approx(0.8)


def test_a_tally_without_good_time_gives_an_empty_table_with_its_columns():
    for make_table in (
        curve_results.state_occupation,
        curve_results.from_reached,
        curve_results.delayed_entry,
    ):
        table = make_table(tally())
        assert len(table) == 0
        assert {"day", "n", "at_risk", "share", "low", "high", "reason"} <= set(table.columns)


def test_days_beyond_the_curve_are_refused():
    with pytest.raises(ValueError, match="curve_days, 30"):
        curve_results.all_started(tally(*TEN), days=[31])


def test_a_state_of_another_version_is_refused():
    with pytest.raises(ValueError, match="does not know"):
        curve_results.all_started(tally((0, "", "hovering", 3)))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0, 120]))
def test_shares_add_up_and_tallies_add(seed, staggered_days):
    trial = simulate.null(patients=80, seed=seed, weeks=13, staggered_days=staggered_days)
    cohort = ko.Cohort.from_frames(trial.doses, trial.scores, trial.people, plan=PLAN)
    counted = ko.Study(cohort, "2025-03-01" if staggered_days else None).tally(
        at="end", tables=("good_time",)
    )
    table = curve_results.state_occupation(counted)
    known = table[table["reason"] == ""]
    assert np.allclose(known.groupby("day")["share"].sum(), 1)
    responded = known[known["state"].isin(curve_results.RESPONDED)].groupby("day")["share"].sum()
    whole = curve_results.all_started(counted).set_index("day")["share"]
    assert np.allclose(responded, whole[responded.index])
    assert (whole.dropna().diff().dropna() >= -1e-12).all()
    doubled = curve_results.state_occupation(counted + counted)
    assert np.allclose(doubled["share"], table["share"], equal_nan=True)
    assert np.allclose(doubled["se"], table["se"] / 2**0.5, equal_nan=True)


def test_a_study_gives_the_same_tables():
    trial = simulate.null(patients=400, weeks=13)
    study = ko.Study(ko.Cohort.from_frames(trial.doses, trial.scores, trial.people))
    counted = study.tally(at="end", tables=("good_time", "delayed_entry"))
    for name in ("state_occupation", "all_started", "from_reached", "delayed_entry"):
        expected = getattr(curve_results, name)(counted, days=[7, 28, 60])
        pd.testing.assert_frame_equal(getattr(study, name)(days=[7, 28, 60]), expected)
