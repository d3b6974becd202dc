"""What a course is, where the slow reference has nothing to add: routes that have no protocol."""

from __future__ import annotations

import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes.plan import PlanError

DAYS = [0, 3, 7, 10, 14, 17]


def study(routes: list[str | None]) -> ko.Study:
    doses = pd.DataFrame({"patient": "a", "day": DAYS[: len(routes)], "dose": 35.0, "route": routes})
    scores = pd.DataFrame({"patient": ["a", "a"], "day": [0, 20], "phq9": [20, 8]})
    people = pd.DataFrame({"patient": ["a"], "cut_day": [300]})
    return ko.Study(ko.Cohort.from_frames(doses, scores, people))


@pytest.mark.parametrize("later", [None, "sc"])  # blank, or a route without a protocol
def test_only_the_first_dose_needs_a_protocol(later: str | None) -> None:
    courses = study(["iv", later, "iv"]).courses
    assert courses[["protocol", "sessions"]].to_numpy().tolist() == [["iv6", 3]]


@pytest.mark.parametrize(
    ("first", "line"),
    [
        (None, r'\[protocol\] all = "iv6"'),
        ("sc", r'\[protocol\] sc = "iv6"'),
        ("by drip", r"\[columns\] route"),  # not one of ours: the label itself is not repeated
    ],
)
def test_a_first_dose_without_a_protocol_is_refused_with_the_line_to_write(
    first: str | None, line: str
) -> None:
    with pytest.raises(PlanError, match=line) as refused:
        _ = study([first, "iv"]).courses
    assert "drip" not in str(refused.value)


@pytest.mark.parametrize("zone", ["America/New_York", "UTC", None])
def test_the_date_as_written_is_the_day(zone: str | None) -> None:
    late = pd.to_datetime(["2025-01-01 23:30", "2025-01-04 23:30"]).tz_localize(zone)
    doses = pd.DataFrame({"patient": "a", "date": late, "dose": 35.0, "route": "iv"})
    cohort = ko.Cohort.from_frames(doses, pd.DataFrame({"patient": ["a"], "date": late[:1], "phq9": [20]}))
    assert str(cohort.people["start_date"][0])[:10] == "2025-01-01"
    assert cohort.doses["day"].tolist() == [0, 3]


def test_a_category_nobody_has_is_nobody() -> None:
    codes = pd.Categorical(["a", "a"], categories=["a", "b"])
    doses = pd.DataFrame({"patient": codes, "day": [0, 3], "dose": 35.0, "route": "iv"})
    assert ko.Cohort.from_frames(
        doses, pd.DataFrame({"patient": ["a"], "day": [0], "phq9": [20]})
    ).patients == ["a"]
