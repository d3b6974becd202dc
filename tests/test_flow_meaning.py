"""Everyone accounted for: flow, retention and who was scored, by eye and against the slow reference."""

from __future__ import annotations

import random
import statistics

import pytest
import random_cohorts
import reference
from reference import Settings
from small_cohorts import Rows, plan_for, study_of

CRITERIA = ("phq9_response50", "pcl5_reliable15")
IV6 = "0 3 7 10 14 17"


def five_people() -> Rows:
    """A came to the end; B stopped; C was never scored again; D had no baseline; E began late."""
    rows = Rows()
    rows.add("A", IV6, {"cut_day": 100}, phq9="0:20 3:15 31:8")
    rows.add("B", "0 4 8", {"cut_day": 100}, phq9="0:18 4:12")
    rows.add("C", IV6, {"cut_day": 100}, phq9="0:16")
    rows.add("D", "0 3", {"cut_day": 100}, phq9="3:9")
    rows.add("E", "0 3", {"cut_day": 30}, phq9="0:20 3:9")
    return rows


def test_everyone_is_accounted_for() -> None:
    flow = study_of(five_people(), plan_for(Settings(), ["phq9_response50"])).flow()
    counts = {(row.unit, row.step, row.reason): row.n for row in flow.itertuples()}
    assert counts["patient", "patients", "with_course"] == 5
    assert counts["course", "courses", "eligible"] == 4
    assert counts["course", "courses", "no_baseline"] == 1
    assert counts["course", "due", "due"] == 3
    assert counts["course", "due", "not_due"] == 1


def test_who_reached_each_session() -> None:
    table = study_of(five_people(), plan_for(Settings(), ["phq9_response50"])).retention()
    # E is not due; of the other four, A and C went through, B had three sessions, D two.
    assert table["session"].tolist() == [1, 2, 3, 4, 5, 6]
    assert table["due"].tolist() == [4] * 6
    assert table["reached"].tolist() == [4, 4, 3, 2, 2, 2]
    assert table["planned_day"].tolist() == [0, 3, 7, 10, 14, 17]
    assert table["median_day"].tolist() == [0, 3, 7, 10, 14, 17]


def test_who_was_scored() -> None:
    table = study_of(five_people(), plan_for(Settings(), ["phq9_response50"])).measured()
    assert dict(zip(table["step"], table["n"], strict=True)) == {
        "started": 4,
        "baseline": 3,  # not D
        "any_score": 2,  # nor C
        "end_score": 1,  # nor B, whose last score is of day 4
    }
    assert (table["of"] == 4).all()


@pytest.mark.parametrize("seed", range(4))
def test_counts_of_the_flow_add_up(seed: int) -> None:
    rows = random_cohorts.rows(seed, 30, cut=True, protocols=("home", "esketamine", "none"))
    study = study_of(rows, plan_for(Settings(), CRITERIA))
    flow = study.flow()
    doses = flow[(flow["unit"] == "row") & (flow["step"] == "doses")]
    assert doses["n"].sum() == len(rows.doses)
    assert flow.loc[flow["unit"] == "patient", "n"].sum() == 30
    for instrument in ("phq9", "pcl5"):
        own = flow[(flow["unit"] == "course") & (flow["instrument"] == instrument)].set_index(
            ["step", "reason"]
        )["n"]
        assert own["courses"].sum() == len(study.courses)
        assert own.get("due", own[:0]).sum() == own["courses"].get("eligible", 0)


@pytest.mark.parametrize("seed", range(6))
def test_retention_agrees_with_the_reference(seed: int) -> None:
    rows = random_cohorts.rows(seed, 30, cut=True, protocols=("iv6", "im", "esketamine"))
    settings = Settings()
    reached: dict[tuple[str, int], list[int]] = {}
    due: dict[str, int] = {}
    for person in rows.people:
        courses = reference.courses_of(rows.doses, person, person["cut_day"], settings)
        if not courses or not courses[0].induction:
            continue
        course, protocol = courses[0], settings.protocol(courses[0].protocol)
        if course.first + (protocol.maturity or 0) > person["cut_day"]:
            continue
        if reference.why_not(course, person, None, "phq9", settings) == "start_not_observed":
            continue  # its first session on record may be anyone's third
        due[course.protocol] = due.get(course.protocol, 0) + 1
        for session, day in enumerate(course.induction, start=1):
            reached.setdefault((course.protocol, session), []).append(day - course.first)
    table = study_of(rows, plan_for(settings, CRITERIA)).retention()
    for row in table.to_dict("records"):
        days = reached.pop((row["protocol"], row["session"]), [])
        assert (row["due"], row["reached"]) == (due.get(row["protocol"], 0), len(days))
        if days:
            assert row["median_day"] == statistics.median(days)
    assert reached == {}


def test_the_order_of_patients_changes_no_count() -> None:
    rows = five_people()
    again = Rows(
        *(random.Random(1).sample(part, len(part)) for part in (rows.doses, rows.scores, rows.people))
    )
    plan = plan_for(Settings(), CRITERIA)
    assert study_of(rows, plan).flow().equals(study_of(again, plan).flow())


def test_nobody_is_due_where_the_records_do_not_say_when_they_end() -> None:
    rows = Rows().add("A", IV6, phq9="0:20 3:15 31:8").add("B", "0 4", phq9="0:18 4:12")
    study = study_of(rows, plan_for(Settings(), ["phq9_response50"]))
    flow = study.flow()
    due = flow[flow["step"] == "due"]
    assert due[["reason", "n"]].to_numpy().tolist() == [["no_cut_day", 2]]
    # B may still be in treatment: counting B among those who did not reach session 3 would be wrong.
    assert study.retention().empty
    assert study.measured().empty
