"""Good time by cases small enough to check by eye: levels, cover, clocks, statuses and verdicts.

How a course is written as text: see `titration_cases`.
"""

from __future__ import annotations

import pandas as pd
import pytest
from titration_cases import FAQ, WEEKLY, doses_of, one, scores_of, study

import ketaoutcomes as ko
from ketaoutcomes.per_patient.good_time import GROUP_OF, GROUPS, STATUSES
from ketaoutcomes.plan import Plan, PlanError
from ketaoutcomes.tables import TABLES

CLOCKS = ("cumulative", "doses", "first_reach", "contiguous")


# --- the worked example, to the day -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "cumulative", "doses"),
    [(24, 0, 0), (25, 1, 1), (30, 6, 2), (54, 30, 6), (60, 36, 7), (84, 60, 10)],
)
def test_the_faqs_good_days(day, cumulative, doses):
    found = {clock: one(FAQ, cut=day, clock=clock, windows=(30, 60))["good"] for clock in CLOCKS}
    # The dose never dips and never lapses by day 84, so three clocks agree.
    assert found == {
        "cumulative": cumulative,
        "first_reach": cumulative,
        "contiguous": cumulative,
        "doses": doses,
    }


def test_the_ninth_dose_is_the_first_adequate_one():
    row = one(FAQ, cut=84)
    assert (row["reached_day"], row["titrating_days"], row["adequate_days"]) == (24, 24, 60)
    assert (row["basis"], row["level"], row["window_1"], row["window_2"], row["unit"]) == (
        "target",
        100,
        30,
        60,
        "days",
    )


@pytest.mark.parametrize(
    ("scores", "cut", "status", "calendar"),
    [
        ("0:20 50:10", 200, "responded_1", ("not_assessed", "responded")),  # the calendar: month two
        ("0:20 60:15", 60, "accruing", ("not_assessed", "not_responded")),
        ("0:20 84:15", 84, "full_trial", ("not_assessed", "not_assessed")),
    ],
)
def test_the_faqs_three_endings(scores, cut, status, calendar):
    row = one(FAQ, scores, cut=cut)
    assert (row["status"], row["calendar_30"], row["calendar_60"]) == (status, *calendar)
    if status == "responded_1":
        assert row["good_at_response"] == 26


@pytest.mark.parametrize(("day", "good"), [(39, 7), (40, 7), (41, 8), (60, 14)])
def test_a_gap_is_never_credited_later(day, good):
    assert one("0=100 40=100", cut=day)["good"] == good


# --- clocks -----------------------------------------------------------------------------------------------

# Adequate 0-6, dipped 7-9, adequate 10-16, lapsed 17-19, adequate 20-26, lapsed from 27. Carry is 7 days.
UP_AND_DOWN = "0=100 7=50 10=100 20=95"


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (5, (5, 1, 5, 5)),
        (7, (7, 1, 7, 7)),  # the dip of day 7 counts from day 8
        (8, (7, 1, 8, 0)),
        (10, (7, 1, 10, 0)),
        (12, (9, 2, 12, 2)),
        (17, (14, 2, 17, 7)),
        (19, (14, 2, 17, 0)),
        (22, (16, 3, 19, 2)),
        (30, (21, 3, 24, 0)),
    ],
)
def test_what_each_clock_counts(day, expected):
    found = tuple(one(UP_AND_DOWN, cut=day, clock=clock, windows=(30, 60))["good"] for clock in CLOCKS)
    assert found == expected


def test_the_time_account_adds_up():
    row = one("0=50 3=60 20=90 25=30 60=100", cut=90)
    # Titrating to 9, lapsed to 19, adequate to 24, dipped to 31, lapsed to 59, adequate to 66, lapsed to 89.
    account = [row[f"{name}_days"] for name in ("titrating", "adequate", "dipped", "lapsed")]
    assert account == [10, 12, 7, 10 + 28 + 23]
    assert sum(account) == 90
    assert row["adequate_days"] == row["good"]


def test_an_ended_course_is_accounted_for_up_to_its_gap():
    row = one("0=100 7=100", cut=400)
    assert (row["adequate_days"], row["lapsed_days"]) == (14, 7 + 45 - 14)


def test_first_reach_credits_a_dip_and_no_lapse():
    row = one("0=50 20=90 25=30 60=100", cut=90, clock="first_reach")
    assert row["good"] == row["adequate_days"] + row["dipped_days"]


def test_contiguous_good_time_may_be_over_but_was_long_enough():
    weekly = " ".join(f"{day}=100" for day in range(0, 64, 7))
    row = one(weekly, cut=100, clock="contiguous")
    assert (row["good"], row["status"]) == (0, "unassessed")


# --- cover ------------------------------------------------------------------------------------------------


def test_a_record_of_several_days_speaks_from_its_last_day():
    # Days 0-9 in one record; carried on from day 9 as a single dose from its day: covered before day 16.
    row = one("0x10=100", cut=40)
    assert (row["good"], row["lapsed_days"]) == (16, 24)


def test_a_new_dose_ends_the_cover_of_a_long_record():
    row = one("0x30=100 10=50", cut=12)
    assert (row["adequate_days"], row["dipped_days"]) == (10, 2)


def test_carry_is_that_of_the_interval_expected_after_the_dose():
    # iv6: 7 days between induction doses, 63 after dose 6; only 5 doses, so the fifth carries 7 days.
    five = " ".join(f"{day}=0.5@mg/kg/iv" for day in (0, 3, 7, 10, 14))
    assert one(five, target=None, cut=60)["adequate_days"] == 14 + 7
    six = f"{five} 17=0.5@mg/kg/iv"
    assert one(six, target=None, cut=100)["adequate_days"] == 17 + 63


def test_a_dose_after_the_induction_limit_carries_the_maintenance_interval():
    late = "0=0.5@mg/kg/iv 36=0.5@mg/kg/iv"
    assert one(late, target=None, cut=120)["adequate_days"] == 7 + 63


def test_maintenance_is_no_new_course():
    six = " ".join(f"{day}=0.5@mg/kg/iv" for day in (0, 3, 7, 10, 14, 17))
    table = study(f"{six} 60=0.5@mg/kg/iv", "0:20 70:5", target=None, cut=200).good_time()
    assert len(table) == 1
    assert table.loc[0, "good_at_response"] == 7


# --- levels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dose", "reached"), [(90, True), (89.999, False), (90 * (1 - 1e-10), True)])
def test_nine_tenths_are_enough(dose, reached):
    assert one(f"0={dose:.12f}", cut=5)["reached_day"] == (0 if reached else None)


def test_045_mg_per_kg_meet_nine_tenths_of_05():
    assert one("0=0.45@mg/kg/iv", target=None, cut=5)["reached_day"] == 0


def test_fraction_one():
    assert one("0=99 3=100", cut=9, fraction=1)["reached_day"] == 3


@pytest.mark.parametrize(
    ("person", "status", "reason"),
    [
        ({"target_dose": 100.0, "target_unit": "mg", "target_day": 0}, "accruing", None),
        ({"target_dose": 100.0, "target_unit": "mg", "target_day": 1}, "no_level", "target_not_preset"),
        ({"target_dose": 100.0, "target_unit": "mg"}, "no_level", "target_not_preset"),
        ({"target_dose": None, "target_unit": "mg", "target_day": 0}, "no_level", "no_target"),
        ({"target_dose": 100.0, "target_unit": None, "target_day": 0}, "no_level", "no_target"),
        (
            {"target_dose": 100.0, "target_unit": "mg/kg", "target_day": 0},
            "not_comparable", "dose_without_level",
        ),
    ],
)  # fmt: skip
def test_a_target_counts_only_where_it_was_set_beforehand(person, status, reason):
    people = pd.DataFrame([{"patient": "a", "cut_day": 9, **person}])
    frames = (pd.DataFrame(doses_of("0=100")), pd.DataFrame(scores_of("0:20")), people)
    of_one = ko.Study(ko.Cohort.from_frames(*frames))
    assert of_one.good_time()["status"].tolist() == [status]
    assert of_one.good_time_summary().unjudged["reason"].tolist() == ([] if reason is None else [reason])


def test_the_plan_may_attest_that_targets_were_set_beforehand():
    people = pd.DataFrame([{"patient": "a", "cut_day": 9, "target_dose": 100, "target_unit": "mg"}])
    frames = (pd.DataFrame(doses_of("0=100")), pd.DataFrame(scores_of("0:20")), people)
    plan = Plan(good_time={"target_preset": True})
    assert ko.Study(ko.Cohort.from_frames(*frames, plan=plan)).good_time()["status"].tolist() == ["accruing"]


def test_a_blank_target_is_never_filled_from_another_basis():
    row = one("0=100", target=float("nan"), level={"route": "sublingual", "unit": "mg", "dose": 100})
    assert (row["basis"], row["status"], row["good"]) == ("target", "no_level", None)


@pytest.mark.parametrize(
    ("doses", "status", "reason"),
    [
        ("0=0.5@mg/kg/iv 3=40@mg/iv", "not_comparable", "dose_without_level"),  # mixed units
        ("0=0.5@mg/kg/iv 3=?@mg/kg/iv", "not_comparable", "no_amount"),
        ("0=40@mg/iv 3=0.5@mg/kg/iv", "no_level", "no_level"),  # no level for the first dose
        ("0=100", "no_level", "no_level"),  # home has none of its own
    ],
)
def test_a_dose_without_a_level_is_not_guessed(doses, status, reason):
    of_one = study(doses, target=None, cut=20)
    row = of_one.good_time().iloc[0]
    assert row["status"] == status
    assert row[["reached_day", "good", "titrating_days", "lapsed_days", "overdue"]].isna().all()
    assert of_one.good_time_summary().unjudged["reason"].tolist() == [reason]


def test_records_of_one_day_are_judged_each_in_its_own_route_and_unit():
    level = [{"route": "sublingual", "unit": "mg", "dose": 300}, {"route": "im", "unit": "mg", "dose": 40}]
    row = one("0=100 3=100 3=40@mg/im 6=100", target=None, cut=9, level=level)
    assert (row["reached_day"], row["adequate_days"], row["dipped_days"]) == (3, 3, 3)


@pytest.mark.parametrize(
    ("weight", "status", "reached"), [(80.0, "accruing", 3), (None, "not_comparable", None)]
)
def test_units_are_converted_only_where_declared_and_weighed(weight, status, reached):
    doses = "0=0.4@mg/kg/iv 3=36@mg/iv"  # 36 mg at 80 kg: 0.45 mg/kg
    assert one(doses, target=None, cut=9, weight=80.0)["status"] == "not_comparable"
    row = one(doses, target=None, cut=9, weight=weight, convert="mg to mg/kg")
    assert (row["status"], row["reached_day"]) == (status, reached)


def test_maximum_is_circular_and_stays_in_notebooks():
    of_one = study("0=10 3=20 6=30 9=30", cut=12)
    row = of_one.good_time(basis="maximum").iloc[0]
    assert (row["basis"], row["level"], row["reached_day"]) == ("maximum", 30, 6)
    with pytest.raises(PlanError, match="circular"):
        study("0=10", cut=12, basis="maximum").good_time_summary()


def test_what_cannot_be_asked_is_said_with_the_line_to_write():
    frames = (pd.DataFrame(doses_of("0=100")), pd.DataFrame(scores_of("0:20")))
    undated = ko.Study(ko.Cohort.from_frames(*frames))
    with pytest.raises(PlanError, match="cut_day"):
        undated.good_time()
    with pytest.raises(PlanError, match="clock must be one of"):
        study("0=100").good_time(clock="sundial")
    assert undated.tally(tables=("points", "good_time")).transitions.empty


# --- statuses and their boundaries ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "status"),
    [
        (1, "responded_1"),
        (30, "responded_1"),
        (31, "responded_2"),
        (60, "responded_2"),
        (61, "responded_later"),
    ],
)
def test_a_response_within_exactly_the_window(day, status):
    row = one(WEEKLY, f"0:20 {day}:10")
    assert (row["status"], row["good_at_response"]) == (status, day)


@pytest.mark.parametrize(("day", "status"), [(59, "stopped_early"), (60, "full_trial"), (61, "full_trial")])
def test_a_whole_trial_needs_a_score_with_its_good_time(day, status):
    to_60 = " ".join(f"{dose}=100" for dose in range(0, 57, 7))  # covered to day 62
    short = " ".join(f"{dose}=100" for dose in range(0, 50, 7))  # covered to day 55
    assert one(short, f"0:20 {day}:15")["status"] == "stopped_early"
    assert one(to_60, f"0:20 {day}:15")["status"] == {"stopped_early": "unassessed"}.get(status, status)


@pytest.mark.parametrize(("day", "status"), [(63, "full_trial"), (77, "full_trial"), (78, "unassessed")])
def test_a_trials_score_may_come_up_to_14_days_after_cover(day, status):
    to_63 = " ".join(f"{dose}=100" for dose in range(0, 57, 7))
    assert one(to_63, f"0:20 {day}:15")["status"] == status


@pytest.mark.parametrize(
    ("day", "status"), [(7, "responded_1"), (21, "responded_1"), (22, "responded_lapsed")]
)
def test_a_response_more_than_14_days_after_cover_is_told_apart(day, status):
    assert one("0=100", f"0:20 {day}:10")["status"] == status


def test_a_score_precedes_the_booster_of_its_day():
    assert one("0=100 40=100", "0:20 40:10")["status"] == "responded_lapsed"
    assert one("0=100 40=100", "0:20 40+:10")["status"] == "responded_1"


@pytest.mark.parametrize(
    ("scores", "status", "good"),
    [
        ("0:20 9:10", "responded_before", 0),
        ("0:20 10:10", "responded_before", 0),  # on the reached day, before its dose
        ("0:20 10+:10", "responded_1", 0),
        ("0:20 11:10", "responded_1", 1),
        ("0:20 0+:10", "responded_before", 0),
    ],
)
def test_a_response_up_to_the_reached_day_came_before_the_level(scores, status, good):
    row = one("0=50 5=60 10=100", scores)
    assert (row["status"], row["good_at_response"]) == (status, good)


def test_a_response_without_ever_reaching_the_level_came_before_it():
    assert one("0=50 5=60", "0:20 300:5")["status"] == "responded_before"


@pytest.mark.parametrize(
    ("doses", "cut", "status"),
    [
        ("0=50", 45, "titrating"),  # last dose + course gap of 45 = the last day on record: still open
        ("0=50", 46, "stopped_before"),
        ("0=100", 45, "accruing"),
        ("0=100", 46, "stopped_early"),
        ("0x10=50", 54, "titrating"),  # the gap runs from the record's last day
        ("0x10=50", 55, "stopped_before"),
    ],
)
def test_open_and_ended(doses, cut, status):
    assert one(doses, cut=cut)["status"] == status


def test_good_time_without_a_score_to_judge_by():
    assert one(WEEKLY, "0:20 30:15")["status"] == "unassessed"


def test_a_visit_trial_counts_doses():
    six = [f"{day}=0.5@mg/kg/iv" for day in (0, 3, 7, 10, 14, 17)]
    row = one(" ".join(six), "0:20 18:15", target=None, cut=100)
    assert (row["status"], row["good"], row["unit"], row["window_1"], row["window_2"]) == (
        "full_trial",
        6,
        "doses",
        4,
        6,
    )
    # On the day of the sixth dose: five before it, six after it.
    assert one(" ".join(six), "0:20 17:15", target=None, cut=100)["status"] == "unassessed"
    assert one(" ".join(six), "0:20 17+:15", target=None, cut=100)["status"] == "full_trial"
    assert one(" ".join(six), "0:20 10+:10", target=None, cut=100)["status"] == "responded_1"
    assert one(" ".join(six), "0:20 14+:10", target=None, cut=100)["status"] == "responded_2"
    assert one(" ".join(six[:5]), "0:20 18:15", target=None, cut=60)["status"] == "accruing"


def test_windows_in_doses_are_not_compared_with_days():
    six = " ".join(f"{day}=0.5@mg/kg/iv" for day in (0, 3, 7, 10, 14, 17))
    assert one(six, target=None, clock="cumulative")["status"] == "not_comparable"
    assert one(six, target=None, clock="cumulative", windows=(30, 60))["status"] == "unassessed"


def test_a_protocol_without_carry_or_trial_is_not_comparable():
    of_one = study("0=100", plan={"protocol": {"all": "none"}})
    assert of_one.good_time()["status"].tolist() == ["not_comparable"]
    assert of_one.good_time_summary().unjudged["reason"].tolist() == ["no_carry"]


def test_a_zero_baseline_cannot_be_halved():
    of_one = study("0=100", "0:0 9:0", plan={"baseline": {"gate": {"phq9": 0}}})
    assert of_one.good_time()[["status", "calendar_30"]].to_numpy().tolist() == [
        ["not_comparable", "not_assessed"]
    ]
    assert of_one.good_time_summary().unjudged["reason"].tolist() == ["zero_baseline"]
    assert of_one.tally(at="end", tables=("good_time",)).transitions.empty


@pytest.mark.parametrize(("cut", "overdue"), [(120, False), (121, True)])
def test_overdue(cut, overdue):
    assert one("0=50", cut=cut)["overdue"] == overdue


def test_each_course_has_its_own_baseline_response_and_level():
    doses = "0=100 7=100 100=50 107=100"
    table = study(doses, "0:20 14:15 100:26 120:13", cut=300).good_time()
    assert table["course"].tolist() == [1, 2]
    assert table["status"].tolist() == ["stopped_early", "responded_1"]
    assert table["reached_day"].tolist() == [0, 7]
    assert table["response_day"].dropna().tolist() == [20]
    # The score of day 100, before that day's dose, is the last of course 1; 10 of 20 would have responded.
    assert one(doses, "0:20 100:10 101:9", cut=300)["status"] == "responded_lapsed"


def test_days_count_from_the_first_dose_whatever_the_calendar_says():
    early, late = one("0=50 5=100", "0:20 9:10", cut=60), one("30=50 35=100", "30:20 39:10", cut=90)
    assert early["reached_day"] == late["reached_day"] == 5
    assert early == late


# --- the plain calendar -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "cut", "verdict"),
    [
        ("0:20 60:10", 59, "not_due"),
        ("0:20 60:10", 60, "responded"),
        ("0:20 61:10", 90, "not_assessed"),
        ("0:20 29:15", 90, "not_responded"),  # 31 days before day 60
        ("0:20 28:15", 90, "not_assessed"),
        ("0:20 5:10 55:20", 90, "responded"),  # any score up to that day
    ],
)
def test_calendar_verdicts(scores, cut, verdict):
    assert one(WEEKLY, scores, cut=cut)["calendar_60"] == verdict


def test_calendar_days_are_the_plans():
    table = study(WEEKLY, calendar_days=(28, 56)).good_time()
    assert [name for name in table if name.startswith("calendar")] == ["calendar_28", "calendar_56"]


# --- the table --------------------------------------------------------------------------------------------


def test_the_table_has_its_declared_columns():
    assert tuple(study(FAQ).good_time().columns) == TABLES["good_time"].names


def test_every_status_belongs_to_one_of_five_groups():
    assert set(GROUP_OF) == set(STATUSES)
    assert set(GROUP_OF.values()) == set(GROUPS)
