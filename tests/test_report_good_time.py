"""The section on good time: every number beside the partition, against the row-level table it counts."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes import simulate
from ketaoutcomes.counts.good_time_cells import cells
from ketaoutcomes.plan import Plan
from ketaoutcomes.published import report_tallies
from ketaoutcomes.report.exposed import _sentence, exposed
from ketaoutcomes.report.finished import finish
from ketaoutcomes.report.views import Words

CRITERION = "phq9_response50"


@cache
def study() -> ko.Study:
    return ko.Study(ko.load_sample())


@cache
def tables(audience: str) -> dict[str, Any]:
    return finish(report_tallies(study(), audience=audience))


def mature() -> pd.DataFrame:
    """Rows of the good-time table that a report calls mature."""
    table, courses = study().good_time(), study().courses
    rows = table.merge(courses[["patient", "course", "first_day"]], on=["patient", "course"])
    last = rows[["titrating_days", "adequate_days", "dipped_days", "lapsed_days"]].sum(axis=1)
    points = study().points(at="end", criteria=CRITERION)
    rows = rows.merge(points[["patient", "course"]].drop_duplicates(), on=["patient", "course"])
    return rows.assign(length=last)


def test_the_calendar_and_the_states_agree_on_who_has_responded() -> None:
    found = tables("internal")
    calendar = found["good_time_calendar"].table
    standing = found["good_time_standing"].table
    by_calendar = calendar[calendar["verdict"] == "responded"].set_index("day")["n"]
    by_state = standing[standing["state"] == "all_started"].set_index("day")["n"]
    assert by_calendar.to_dict() == by_state[list(Plan().good_time.calendar_days)].to_dict()
    assert calendar.groupby("day")["n"].sum().tolist() == [standing["of"].iloc[0]] * 2


def test_exact_counts_beside_the_partition_are_those_of_the_rows() -> None:
    found, summary = tables("internal"), study().good_time_summary()
    kept = found["good_time_kept"].table.set_index("state")["n"]
    own = summary.at_full_trial.query("period == 'mature'").set_index("state")["n"]
    assert kept.to_dict() == own[kept.index].to_dict()
    accounts = found["good_time_accounts"].table.set_index("account")["days"]
    whole = summary.accounts.query("period == 'mature'").set_index("account")["days"]
    assert accounts.to_dict() == whole[accounts.index].to_dict()
    day60, row = summary.day60.iloc[0], found["good_time_day60"].table.iloc[0]
    shown = ["n", "not_reached", "some_good", "trial_complete", "responded", "full_trial", "stopped", "open"]
    assert row[[*shown, "unassessed"]].tolist() == day60[[*shown, "unassessed"]].tolist()
    rows = mature()
    late = rows[rows["overdue"].fillna(False).astype(bool)]
    table = found["good_time_overdue"].table.set_index("state")["n"]
    # Whoever is overdue has at least 120 days on record, yet need not be mature.
    assert table["overdue"] <= late["response_day"].isna().sum()
    assert table["overdue_responded"] <= late["response_day"].notna().sum()


def test_what_is_known_without_an_end_score_adds_up_to_everyone_due() -> None:
    states = study().points(at="end", criteria=CRITERION)["state"].value_counts()
    known = tables("internal")["last_known"].table.set_index("state")["n"]
    assert known["scored"] == states["met"] + states["not_met"]
    for state in ("carried_met", "carried_not_met", "missing"):
        assert known[state] == states[state]
    assert known["unscored"] == states[["carried_met", "carried_not_met", "missing"]].sum()


def test_a_shared_report_shows_the_same_numbers_or_none_and_none_of_them_small() -> None:
    names = ("calendar", "kept", "overdue", "unjudged", "day60")
    for name in [*(f"good_time_{name}" for name in names), "last_known"]:
        shared, exact = (tables(audience)[name].table for audience in ("shared", "internal"))
        assert list(shared.columns) == list(exact.columns)
        numbers = shared.select_dtypes("number").drop(columns="day", errors="ignore")
        cells_ = numbers.to_numpy().ravel()
        assert not ((cells_ > 0) & (cells_ <= 10)).any()
    counted = cells(report_tallies(study(), audience="shared")["good_time"])["n"]
    assert not ((counted > 0) & (counted <= 10)).any()


ROW = {
    "day": 60, "n": 30.0, "not_reached": 5.0, "some_good": 15.0, "trial_complete": 10.0, "responded": 4.0,
    "full_trial": 8.0, "stopped": 11.0, "not_evaluable": 7.0, "open": 4.0, "unassessed": 3.0, "unjudged": 0.0,
}  # fmt: skip


def test_the_sentence_tells_those_open_from_those_without_a_score() -> None:
    said = _sentence(ROW)
    assert "11 stopped, 4 remain open and 3 have no score to judge by." in said
    assert "Some later responses are expected even if dose makes no difference." in said
    hidden = _sentence(ROW | {"open": float("nan"), "unassessed": float("nan")})
    assert "11 stopped, and 7 either remain open or have no score to judge by (which of the two is" in hidden
    assert "none remain open and 7 have no score" in _sentence(ROW | {"open": 0.0, "unassessed": 7.0})


def test_a_section_without_a_mature_course_says_so() -> None:
    trial = simulate.null(patients=200)
    young = ko.Cohort.from_frames(trial.doses, trial.scores, trial.people.assign(cut_day=100))
    shown = finish(report_tallies(ko.Study(young), audience="internal"))
    section = exposed(shown, Plan(), Words(Plan()))
    assert section is not None
    assert (section.mature, section.standing) == (0, ())
    assert json.dumps(section.sentence) == '"No mature course is without a response recorded by day 60."'


@pytest.mark.parametrize("audience", ["shared", "internal"])
def test_the_section_opens_with_failures_and_harm(audience: str) -> None:
    section = exposed(tables(audience), Plan(), Words(Plan()))
    assert section is not None
    assert "not known to have at least halved their PHQ-9 at the end of the series" in section.first[0]
    assert "got worse" in section.first[1]
    assert "Item 9 of the PHQ-9" in section.first[2]
    assert section.accounts.startswith("Of all ")
    assert "mature courses that can be judged" in section.delay
