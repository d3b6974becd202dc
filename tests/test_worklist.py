"""Whose course to look at: every reason by eye, and nothing after the as-of day."""

from __future__ import annotations

import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes.plan import PlanError
from ketaoutcomes.rows.worklist import REASONS

ITEMS = [f"phq9_{i}" for i in range(1, 10)]
LATER = [2, 2, 2, 2, 2, 2, 2, 2]


def study(scores: list[tuple[int, list[int]]], doses: list[int], as_of: str, patient: str = "a") -> ko.Study:
    """One patient from 1 January 2026: PHQ-9 items by day, IV doses by day."""
    start = pd.Timestamp("2026-01-01")
    given = pd.DataFrame({"patient": patient, "date": [start + pd.Timedelta(days=d) for d in doses]})
    given = given.assign(dose=0.5, unit="mg/kg", route="iv")
    rows = [{"patient": patient, "date": start + pd.Timedelta(days=d), **dict(zip(ITEMS, items, strict=True))}
            for d, items in scores]  # fmt: skip
    return ko.Study(ko.Cohort.from_frames(given, pd.DataFrame(rows)), as_of=as_of)


def reasons(one: ko.Study) -> dict[str, int]:
    table = one.worklist()
    table = table[table["instrument"].isin(["phq9", ""])]
    assert set(table["reason"]) <= set(REASONS)
    return dict(zip(table["reason"], table["days"], strict=True))


WELL = [0, 0, 0, 0, 0, 0, 0, 0, 0]
ILL = [*LATER, 0]
SUICIDAL = [*LATER, 1]
SERIES = [0, 3, 7, 10, 14, 17]


def test_nothing_to_see_where_all_went_well() -> None:
    assert reasons(study([(0, ILL), (20, WELL)], SERIES, "2026-01-22")) == {}


def test_no_score_since_the_last_session_counts_once_its_window_has_passed() -> None:
    assert reasons(study([(0, ILL), (3, WELL)], [0, 3], "2026-01-11")) == {}
    assert reasons(study([(0, ILL), (3, WELL)], [0, 3], "2026-01-12")) == {"unscored": 8, "lapsed": 8}


def test_a_score_on_the_day_of_the_last_dose_was_taken_before_it() -> None:
    assert "unscored" in reasons(study([(0, ILL), (17, WELL)], SERIES, "2026-02-01"))


def test_not_better_after_four_sessions() -> None:
    assert reasons(study([(0, ILL), (8, ILL)], [0, 3, 7], "2026-01-10")) == {}
    assert reasons(study([(0, ILL), (11, ILL)], [0, 3, 7, 10], "2026-01-14")) == {"not_improved": 2}


def test_worse_is_the_published_rule() -> None:
    moderate = [2, 2, 2, 2, 2, 0, 0, 0, 0]
    assert reasons(study([(0, moderate), (4, ILL)], [0, 3], "2026-01-06")) == {"worse": 1}
    slightly = [2, 2, 2, 2, 2, 2, 2, 1, 0]
    assert reasons(study([(0, moderate), (4, slightly)], [0, 3], "2026-01-06")) == {}


def test_the_safety_item_stands_until_a_score_follows() -> None:
    assert reasons(study([(0, SUICIDAL)], [0], "2026-01-02")) == {"safety_item": 1}
    assert reasons(study([(0, SUICIDAL), (1, ILL)], [0], "2026-01-03")) == {}


def test_an_ended_course_is_listed_for_the_safety_item_alone() -> None:
    ended = study([(0, ILL), (18, SUICIDAL)], SERIES, "2026-12-31")
    assert reasons(ended) == {"safety_item": 346}


def test_records_after_the_as_of_day_do_not_exist() -> None:
    early = study([(0, SUICIDAL), (9, WELL)], [0, 3, 7], "2026-01-05")
    assert reasons(early) == {"safety_item": 4}


def test_the_gravest_and_most_recent_stand_first() -> None:
    table = ko.Study(ko.load_sample()).worklist()
    rank = table["reason"].map({name: place for place, name in enumerate(REASONS)})
    assert rank.is_monotonic_increasing
    assert all(days.is_monotonic_increasing for _, days in table.groupby("reason")["days"])


def test_without_a_last_day_nobody_can_be_late() -> None:
    doses = pd.DataFrame({"patient": ["a"], "day": [0], "dose": 0.5, "route": "iv", "phq9": [18.0]})
    with pytest.raises(PlanError, match="last day on record"):
        ko.Study(ko.Cohort.from_frames(doses)).worklist()
