"""What a session, a week, an end point and their rates mean, by cases small enough to check by eye.

Every case is asked of the package and of the slow reference, so that the reference is checked by eye too.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from reference import Settings
from small_cohorts import Answer, Judge, Rows, by_package, by_reference, plan_for, study_of

IV6 = "0 3 7 10 14 17"
RESPONSE, REMISSION = "phq9_response50", "phq9_remission_lt5"
LATE = 400  # an as-of day by which everything here is due


@pytest.fixture(params=[by_package, by_reference], ids=["package", "reference"])
def judge(request: pytest.FixtureRequest) -> Judge:
    """One of the two sides."""
    side: Judge = request.param
    return side


def states(answer: Answer) -> dict[str, str]:
    """The states alone."""
    return {point: state for point, (_, state) in answer.items()}


def one(doses: str, phq9: str, person: dict[str, Any] | None = None) -> Rows:
    """A cohort of one."""
    return Rows().add("A", doses, person, phq9=phq9)


@pytest.mark.parametrize(
    ("scores", "k", "state"),
    [
        ("0:20 3:10", 1, "met"),  # the day of dose 2, before it: session 1; exactly half counts
        ("0:20 3:11", 1, "not_met"),
        ("0:20 3+:10", 1, "missing"),  # after dose 2 on that day: session 2
        ("0:20 3+:10", 2, "met"),
        ("0:20 0+:10", 1, "met"),  # the first day, after the dose
        ("0:20 1:10 2:15", 1, "not_met"),  # the last score counts, not the best
        ("0:20 24:8", 6, "met"),  # dose 6 on day 17: seven days are inside
        ("0:20 25:8", 6, "missing"),  # eight are not
        ("0:20 1:8 25:9", 6, "carried_met"),  # the score of day 1 is carried, that of day 25 is too late
        ("0:20 1:18 25:9", 6, "carried_not_met"),
        ("0:20", 6, "missing"),
        ("-14:20 3:10", 1, "met"),  # a baseline fourteen days before
        ("-1:27 0:20 3:10", 1, "met"),  # the last before the first dose is the baseline
        ("0:19 3:10", 1, "not_met"),  # half of 19 is 9.5
        ("0:19 3:9", 1, "met"),
    ],
)
def test_session_takes_the_last_score_before_the_next_dose(
    judge: Judge, scores: str, k: int, state: str
) -> None:
    assert states(judge(one(IV6, scores), "session", RESPONSE, as_of=LATE))[str(k)] == state


@pytest.mark.parametrize("scores", ["-15:20 3:10", "0+:20 3:10", "3:10", "0:9 3:4"])
def test_no_baseline_or_one_below_the_gate_is_nobody(judge: Judge, scores: str) -> None:
    assert judge(one(IV6, scores), "session", RESPONSE, as_of=LATE) == {}


def test_a_gate_is_met_at_its_very_number(judge: Judge) -> None:
    assert states(judge(one(IV6, "0:10 3:5"), "session", RESPONSE, as_of=LATE))["1"] == "met"


def test_session_states_of_someone_who_stopped(judge: Judge) -> None:
    answer = judge(one("0 3 7", "0:20 3:16 7:12 9:9"), "session", RESPONSE, as_of=LATE)
    assert answer == {
        "1": ("yes", "not_met"),
        "2": ("yes", "not_met"),
        "3": ("yes", "met"),
        "4": ("no", "carried_met"),
        "5": ("no", "carried_met"),
        "6": ("no", "carried_met"),
    }


@pytest.mark.parametrize(
    ("doses", "scores", "given"),
    [
        ("0 3 7 10 14 35", "0:20", "yes"),  # the limit is day 35
        ("0 3 7 10 14 36", "0:20", "no"),  # a dose on day 36 is maintenance, not dose 6
        ("0 3 7 10 14=0 35", "0:20", "no"),  # amount 0 was not given
        ("0 3 7 10 14=? 35", "0:20", "yes"),  # a dose whose amount is not recorded was
        ("0 0 3 7 10 14", "0:20", "no"),  # two on one day are one session
    ],
)
def test_session_six_exists_only_if_given_by_the_limit(
    judge: Judge, doses: str, scores: str, given: str
) -> None:
    assert judge(one(doses, scores), "session", RESPONSE, as_of=LATE)["6"][0] == given


@pytest.mark.parametrize(("as_of", "state"), [(65, "not_due"), (66, "met")])
def test_iv6_is_due_66_days_after_the_first_dose_at_every_session(
    judge: Judge, as_of: int, state: str
) -> None:
    scores = "0:20 3:9 7:9 10:9 14:9 17:9 20:9"
    answer = states(judge(one(IV6, scores), "session", RESPONSE, as_of=as_of))
    assert set(answer.values()) == {state}
    assert len(answer) == 6


@pytest.mark.parametrize(("route", "sessions", "due"), [("iv", 6, 66), ("im", 4, 73), ("intranasal", 8, 76)])
def test_the_route_of_the_first_dose_chooses_the_protocol(
    judge: Judge, route: str, sessions: int, due: int
) -> None:
    rows = one(f"0/{route} 3/iv 6/im", "0:20")
    assert set(states(judge(rows, "session", RESPONSE, as_of=due)).values()) == {"missing"}
    early = states(judge(rows, "session", RESPONSE, as_of=due - 1))
    assert list(early.values()) == ["not_due"] * sessions


def test_the_persons_protocol_goes_before_the_route(judge: Judge) -> None:
    rows = one("0/im 7/im 14/im", "0:20", {"protocol": "esketamine"})
    assert len(judge(rows, "session", RESPONSE, as_of=LATE)) == 8


@pytest.mark.parametrize(
    ("scores", "week", "state"),
    [
        ("0:20 4:9", "1", "met"),  # day 7 and three days either side
        ("0:20 3:9", "1", "carried_met"),
        ("0:20 10:9", "1", "met"),
        ("0:20 11:9", "1", "missing"),
        ("0:20 6:15 8:9", "1", "met"),  # a tie goes to the later day
        ("0:20 7:15 7+:9", "1", "met"),  # and on one day to the later score
        ("0:20 7:15 8:9", "1", "not_met"),
        ("0:20 100:9", "2", "missing"),
    ],
)
def test_week_takes_the_nearest_score(judge: Judge, scores: str, week: str, state: str) -> None:
    assert states(judge(one("0 3", scores), "week", RESPONSE, as_of=LATE))[week] == state


def test_weeks_fall_due_one_by_one(judge: Judge) -> None:
    answer = states(judge(one(IV6, "0:20 7:9 14:9"), "week", RESPONSE, as_of=17))
    assert answer == {"1": "met", "2": "met", "4": "not_due", "6": "not_due", "8": "not_due", "12": "not_due"}


def test_a_week_reads_on_into_the_next_course_but_carries_only_its_own(judge: Judge) -> None:
    rows = one("0/im 70/im", "0:20 71:9")
    assert judge(rows, "week", RESPONSE, as_of=LATE, weeks=(10, 12)) == {
        "10": ("no", "met"),  # 70 days are more than 69: day 71 is in the second course
        "12": ("no", "missing"),
    }


@pytest.mark.parametrize(
    ("doses", "week", "given"),
    [
        ("0 3", "1", "yes"),  # day 7 is covered by the dose of day 3 until day 10
        ("0", "1", "no"),  # seven days from day 0 end before day 7
        ("0 3 7 10 14 17", "8", "yes"),  # dose 6 is followed by 63 days
        ("0 3 7 10 14 17", "12", "no"),  # which end before day 80
        ("0 3 7 10 14 17 80", "12", "yes"),
        ("0 3x30", "4", "yes"),  # an interval record covers its own days too
        ("0 40", "12", "yes"),  # a dose after the limit is maintenance
    ],
)
def test_given_at_a_week_is_being_covered(judge: Judge, doses: str, week: str, given: str) -> None:
    assert judge(one(doses, "0:20"), "week", RESPONSE, as_of=LATE)[week][0] == given


@pytest.mark.parametrize(
    ("doses", "scores", "state"),
    [
        (IV6, "0:20 31:9", "met"),  # fourteen days after dose 6
        (IV6, "0:20 17+:9", "carried_met"),  # the day itself is too early
        (IV6, "0:20 18:9", "met"),  # one day after is not
        (IV6, "0:20 48:9", "met"),  # the 31st day after
        (IV6, "0:20 49:9", "missing"),
        (IV6, "0:20 30:15 32:9", "met"),  # a tie goes to the later
        (IV6, "0:20 31:9 45:18", "met"),  # nearest, not last
        (IV6 + " 25", "0:20 24:15 31:9", "not_met"),  # nothing after the booster of day 25 counts
        (IV6 + " 25", "0:20 25:9", "met"),  # but that day's score, before it, does
        (IV6 + " 25", "0:20 25+:9", "carried_met"),  # after it: only as a carried score
        ("0 3 7", "0:20 21:9", "met"),  # stopped after three: counted from the third
        ("0 3 7 10 14 36", "0:20 28:9 40:20", "met"),  # dose 6 came too late to be induction
    ],
)
def test_end_is_nearest_to_fourteen_days_after_induction(
    judge: Judge, doses: str, scores: str, state: str
) -> None:
    assert states(judge(one(doses, scores), "end", RESPONSE, as_of=LATE)) == {"end": state}


@pytest.mark.parametrize(("doses", "given"), [(IV6, "yes"), ("0 3 7 10 14", "no")])
def test_given_at_the_end_is_having_completed_induction(judge: Judge, doses: str, given: str) -> None:
    assert judge(one(doses, "0:20"), "end", RESPONSE, as_of=LATE)["end"][0] == given


def test_home_has_no_sessions_and_ends_at_week_eight(judge: Judge) -> None:
    rows = one("0/sublingual 5/sublingual 50/oral", "0:20 50:9 57:9")
    assert judge(rows, "session", RESPONSE, as_of=LATE) == {}
    assert judge(rows, "end", RESPONSE, as_of=59) == {"end": ("yes", "met")}
    assert states(judge(rows, "end", RESPONSE, as_of=58)) == {"end": "not_due"}


def test_a_month_is_that_of_the_day_a_course_matures(judge: Judge) -> None:
    first = date(2026, 1, 20).toordinal()
    rows = Rows(dated=True).add("A", IV6, phq9="0:20 31:9")
    for row in [*rows.doses, *rows.scores]:
        row["day"] += first
    as_of = date(2026, 6, 30).toordinal()
    assert judge(rows, "month", RESPONSE, as_of=as_of) == {"2026-03": ("yes", "met")}  # 20 January + 66 days


@pytest.mark.parametrize(
    ("scores", "kind", "state"),
    [
        ("0:20 3:9 7:15", "ever", "met"),  # met once, at session 1
        ("0:20 7:9", "ever", "met"),
        ("0:20 10+:9", "ever", "not_met_yet"),
        ("0:20 7:15", "ever", "not_met"),
        ("0:20", "ever", "missing"),
    ],
)
def test_ever_looks_back_over_the_course_to_the_windows_end(
    judge: Judge, scores: str, kind: str, state: str
) -> None:
    answer = states(judge(one("0 3 7 10 14 17", scores), "session", RESPONSE, kind=kind, as_of=LATE))
    if state == "not_met_yet":
        assert (answer["3"], answer["4"]) == ("missing", "met")
    else:
        assert answer["3"] == state


def test_ever_of_a_dose_not_received_reads_up_to_maturity(judge: Judge) -> None:
    answer = states(judge(one("0", "0:20 66:9 67:4"), "session", RESPONSE, kind="ever", as_of=LATE))
    assert answer["1"] == "missing"
    assert answer["2"] == "met"
    remission = states(judge(one("0", "0:20 66:9 67:4"), "session", REMISSION, kind="ever", as_of=LATE))
    assert remission["2"] == "not_met"


@pytest.mark.parametrize(
    ("scores", "as_of", "state"),
    [
        ("0:20 31:9 59:9", LATE, "met"),  # held to the first score at least 28 days later
        ("0:20 31:9 58:9", LATE, "missing"),  # 27 days are not enough
        ("0:20 31:9 40:15 59:9", LATE, "not_met"),  # lost in between
        ("0:20 31:9 59:9 70:20", LATE, "met"),  # lost afterwards
        ("0:20 31:15 59:9", LATE, "not_met"),  # never had it
        ("0:20 31:9 125:9", LATE, "met"),  # records are read 59 days longer: to day 125
        ("0:20 31:9 126:9", LATE, "missing"),
        ("0:20 31:9 59:9", 124, "not_due"),  # and due 59 days later: on day 125
        ("0:20 31:9 59:9", 125, "met"),
    ],
)
def test_sustained_at_the_end(judge: Judge, scores: str, as_of: int, state: str) -> None:
    assert states(judge(one(IV6, scores), "end", RESPONSE, kind="sustained", as_of=as_of)) == {"end": state}


@pytest.mark.parametrize(
    ("items", "state"),
    [
        ("22222222.", "met"),  # 16 over eight items is 18 over nine: 9 is half of it
        ("2222222..", "met"),
        ("222222...", None),  # three missing: no score, so no baseline
        (".........", None),  # an empty questionnaire is not a zero
    ],
)
def test_missing_items_of_a_baseline(judge: Judge, items: str, state: str | None) -> None:
    answer = states(judge(one(IV6, f"0:{items} 3:9"), "session", RESPONSE, as_of=LATE))
    assert answer.get("1") == state


def test_proration_is_exact_at_a_threshold(judge: Judge) -> None:
    # 4 over eight answered items is 4.5 over nine: below five. 5 over eight is 5.625: not below it.
    rows = one(IV6, "0:20 3:11110000. 7:11111000.")
    answer = states(judge(rows, "session", REMISSION, as_of=LATE))
    assert (answer["1"], answer["2"]) == ("met", "not_met")


def test_a_plan_may_refuse_proration(judge: Judge) -> None:
    rows = one(IV6, "0:20 3:11110000.")
    assert states(judge(rows, "session", REMISSION, as_of=LATE, prorate=False))["1"] == "missing"


def test_half_of_nothing_is_nobodys_response(judge: Judge) -> None:
    gate = {"phq9": 0}
    rows = one(IV6, "0:0 3:0")
    assert states(judge(rows, "session", RESPONSE, as_of=LATE, gate=gate))["1"] == "excluded:zero_baseline"
    assert states(judge(rows, "session", REMISSION, as_of=LATE, gate=gate))["1"] == "met"


YES = "22222222222222222222"
NO = "11111111111111111111"


@pytest.mark.parametrize(
    ("scores", "state"),
    [
        (f"0:{YES} 3:{NO}", "met"),
        (f"0:{YES} 3:{YES}", "not_met"),
        (f"0:{YES} 3:20", "missing"),  # a bare total says nothing of the diagnosis
        (f"0:{YES} 2:{NO} 3:60", "met"),  # so the last score that does is judged
        (f"0:44 3:{NO}", "excluded:no_baseline_diagnosis"),
        ("0:44444400000000444444 3:" + NO, "excluded:no_baseline_diagnosis"),  # no D item: never had it
    ],
)
def test_loss_of_the_provisional_diagnosis(judge: Judge, scores: str, state: str) -> None:
    rows = Rows().add("A", IV6, pcl5=scores)
    assert states(judge(rows, "session", "pcl5_loss_dx", as_of=LATE))["1"] == state


@pytest.mark.parametrize(
    ("axis", "schedule", "scheduled"),
    [
        ("session", {"schedule": "end"}, set()),
        ("week", {"schedule": "end"}, set()),
        ("end", {"schedule": "end"}, {"end"}),
        ("session", {"schedule": "every days", "every_days": 14}, set()),
        ("week", {"schedule": "every days", "every_days": 14}, {"2", "4", "6", "8", "12"}),
        (
            "week",
            {"schedule": "every days", "every_days": 30},
            {"4"},
        ),  # day 30; day 60 is four days from week 8
        ("end", {"schedule": "every days", "every_days": 14}, {"end"}),
    ],
)
def test_what_was_not_scheduled_is_not_a_failure(
    judge: Judge, axis: str, schedule: dict[str, Any], scheduled: set[str]
) -> None:
    answer = states(judge(one(IV6, "0:20"), axis, RESPONSE, as_of=LATE, **schedule))
    assert {point for point, state in answer.items() if state != "not_scheduled"} == scheduled


@pytest.mark.parametrize(
    ("gap_day", "second"),
    [("108", False), ("109", True)],  # 91 days after day 17 is the same course; 92 is another
)
def test_a_course_ends_after_the_gap_of_its_protocol(judge: Judge, gap_day: str, second: bool) -> None:
    rows = one(f"{IV6} {gap_day}", f"0:20 31:9 {gap_day}:18")
    answer = judge(rows, "end", RESPONSE, as_of=LATE, index=2)
    assert bool(answer) == second


def test_an_interval_record_speaks_from_its_last_day(judge: Judge) -> None:
    rows = one("0x11 102", "0:20 102:18")  # days 0 to 10; 92 days later
    assert judge(rows, "end", RESPONSE, as_of=LATE, index=2) != {}
    assert judge(one("0x12 102", "0:20 102:18"), "end", RESPONSE, as_of=LATE, index=2) == {}


def test_the_first_eligible_course_is_counted_whichever_it_is(judge: Judge) -> None:
    rows = one("0/im 100/im", "100:20 103:9")  # no baseline before the first course
    assert states(judge(rows, "session", RESPONSE, as_of=LATE))["1"] == "met"
    assert judge(rows, "session", RESPONSE, as_of=LATE, index=2) == {}


@pytest.mark.parametrize(("observed_from", "counted"), [(5, False), (-91, False), (-92, True)])
def test_a_course_near_the_start_of_the_records_may_be_half_seen(
    judge: Judge, observed_from: int, counted: bool
) -> None:
    person = {"observed_from": observed_from}
    assert bool(judge(one(IV6, "0:20", person), "session", RESPONSE, as_of=LATE)) == counted


@pytest.mark.parametrize(("answer", "counted"), [("no", True), ("yes", False), (None, False)])
def test_an_entry_rule_admits_only_what_it_names(judge: Judge, answer: str | None, counted: bool) -> None:
    rows = one(IV6, "0:20", {"prior_ketamine": answer})
    entry = (("prior_ketamine", ("no",)),)
    assert bool(judge(rows, "session", RESPONSE, as_of=LATE, entry=entry)) == counted


def test_what_happens_after_the_as_of_day_does_not_exist(judge: Judge) -> None:
    answer = judge(one("0 3 7 10 14 17 60", "0:20 64:9"), "week", RESPONSE, as_of=60, weeks=(8,))
    assert answer == {"8": ("yes", "missing")}


def test_protocol_none_is_judged_by_week_only(judge: Judge) -> None:
    rows = one("0 200", "0:20 28:9")
    assert judge(rows, "session", RESPONSE, as_of=LATE, everyone="none") == {}
    assert judge(rows, "end", RESPONSE, as_of=LATE, everyone="none") == {}
    assert judge(rows, "week", RESPONSE, as_of=LATE, everyone="none", weeks=(4,)) == {"4": ("yes", "met")}


@pytest.mark.parametrize("by", [None, "route", "protocol"])
def test_protocol_none_has_no_end_whatever_the_grouping(by: str | None) -> None:
    study = study_of(
        one("0 200", "0:20 28:9"), plan_for(Settings(everyone="none"), [RESPONSE], complete=True)
    )
    end = study.rates(at="end", by=by, analysis="nri")
    assert end[["point", "reason"]].to_numpy().tolist() == [["", "judged_by_week_only"]]


@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_of_no_confidence_is_refused(level: float) -> None:
    study = study_of(one(IV6, "0:20"), plan_for(Settings(), [RESPONSE], complete=True))
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        study.rates(at="end", level=level)
