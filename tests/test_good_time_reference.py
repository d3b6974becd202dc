"""Good time by the package against the walk through every day, on random cohorts: rows, partition, moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import good_time_reference as slow
import pandas as pd
import pytest
import random_titrations
from good_time_reference import Judged
from random_titrations import Situation
from small_cohorts import long_scores, plan_for, wide_scores

import ketaoutcomes as ko
from ketaoutcomes.plan import Plan, PlanError

SEEDS = 150
KEY = ["patient", "course", "criterion"]
SAME = (
    "protocol", "basis", "reached_day", "response_day", "good", "good_at_response", "window_1", "window_2",
    "unit", "status", "titrating_days", "adequate_days", "dipped_days", "lapsed_days", "overdue",
)  # fmt: skip


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the protocols that only the random cohorts use."""
    return random_titrations.write_own_protocols(tmp_path_factory.mktemp("own"))


# --- both sides ------------------------------------------------------------------------------------------


def plan_of(s: Situation, folder: Path | None) -> Plan:
    """The package's plan that says what the situation says."""
    rules, plan = s.rules, plan_for(s.settings, [s.rules.criterion], folder, complete=s.complete)
    level = [
        {"route": route, "unit": unit, "dose": float(dose)} for (route, unit), dose in rules.levels.items()
    ]
    changes: dict[str, Any] = {
        "criterion": rules.criterion, "basis": rules.basis, "fraction": float(rules.fraction),
        "clock": rules.clock, "grace_days": rules.grace, "calendar_days": rules.calendar,
        "mature_days": rules.mature, "overdue_days": rules.overdue, "target_preset": rules.target_preset,
        **({"windows": rules.windows} if rules.windows else {}), **({"level": level} if level else {}),
        **({"convert": rules.convert} if rules.convert else {}),
    }  # fmt: skip
    return plan.replace(good_time=changes)


def study_of(s: Situation, folder: Path | None = None, *, long: bool = False) -> ko.Study:
    """The package's study of a situation."""
    doses, scores, people = (pd.DataFrame(table) for table in (s.rows.doses, s.rows.scores, s.rows.people))
    scores = (long_scores if long else wide_scores)(s.rows)
    if s.rows.dated:
        doses["date"] = pd.to_datetime([date.fromordinal(day) for day in doses.pop("day")])
        if "target_day" in people:
            days = people.pop("target_day")
            people["target_date"] = pd.to_datetime(
                [None if pd.isna(day) else date.fromordinal(int(day)) for day in days]
            )
    cohort = ko.Cohort.from_frames(doses, scores, people, plan=plan_of(s, folder))
    as_of = date.fromordinal(s.as_of).isoformat() if s.as_of is not None else None
    return ko.Study(cohort, as_of=as_of)


def judged(s: Situation) -> list[Judged]:
    """The reference's answer to a situation."""
    return slow.judge(
        s.rows.doses, s.rows.scores, s.rows.people, s.settings, s.rules, as_of=s.as_of, by_cut_day=s.cut
    )


def headline(s: Situation) -> list[Judged]:
    """The courses that summaries and Tallies count."""
    return [one for one in judged(s) if one.index == s.settings.index]


# --- every course ----------------------------------------------------------------------------------------


def as_known(value: Any) -> Any:
    """A cell as a plain value, None where blank."""
    return None if pd.isna(value) else value


def assert_same_rows(fast: pd.DataFrame, expected: Sequence[Judged], s: Situation) -> None:
    """Every column of every course."""
    found = {(row["patient"], row["course"]): row for row in fast.to_dict("records")}
    assert found.keys() == {(one.row["patient"], one.row["course"]) for one in expected}
    columns = (*SAME, *(f"calendar_{day}" for day in s.rules.calendar))
    for one in expected:
        row = found[one.row["patient"], one.row["course"]]
        for column in columns:
            if column.startswith("window") and one.walk is None:
                continue  # which windows would have been used is of no account
            if column == "unit" and one.walk is None:
                continue
            got, wanted = as_known(row[column]), one.row.get(column)
            assert got == wanted, f"{column}: {got} != {wanted}\n{s.rules}\n{told(s, one)}"


def told(s: Situation, one: Judged) -> str:
    """One patient's rows and the reference's row, for the message of a failing test."""
    patient = one.row["patient"]
    lines = [f"slow   {one.row}", f"as of  {one.last_day}"]
    lines += [f"people {row}" for row in s.rows.people if row["patient"] == patient]
    doses = sorted((row for row in s.rows.doses if row["patient"] == patient), key=lambda row: row["day"])
    lines += [f"dose   {row}" for row in doses]
    scores = sorted((row for row in s.rows.scores if row["patient"] == patient), key=lambda row: row["day"])
    return "\n".join([*lines, *(f"score  {row}" for row in scores)])


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_course_agrees(seed: int, own: Path) -> None:
    s = random_titrations.situation(seed)
    fast = study_of(s, own, long=seed % 2 == 0).good_time()
    assert_same_rows(fast, judged(s), s)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10_000, 13_000))
def test_every_course_agrees_at_length(seed: int, own: Path) -> None:
    test_every_course_agrees(seed, own)


# --- every count -----------------------------------------------------------------------------------------


def counted(table: pd.DataFrame, keys: Sequence[str]) -> Counter[tuple[Any, ...]]:
    """A Tally's table as counts by some of its columns."""
    found: Counter[tuple[Any, ...]] = Counter()
    for *key, n in table[[*keys, "n"]].itertuples(index=False, name=None):
        found[tuple(key)] += n
    return found


def expected_points(s: Situation, courses: Sequence[Judged]) -> Counter[tuple[Any, ...]]:
    """The partition, the calendar verdicts, and where mature courses stood on the last calendar day."""
    last = s.rules.calendar[-1]
    found: Counter[tuple[Any, ...]] = Counter()
    for one in courses:
        period = "mature" if one.row["mature"] else "younger"
        found["status", "good_time", period, one.row["status"]] += 1
        for day in s.rules.calendar:
            found["calendar", "day", str(day), one.row[f"calendar_{day}"]] += 1
        if one.row["mature"]:
            both = f"{slow.situation(one, last)}|{one.row['status']}"
            found["day60", "day60", "mature", both] += 1
    return found


def expected_values(courses: Sequence[Judged]) -> Counter[tuple[Any, ...]]:
    """Days to the level, and the time accounts."""
    found: Counter[tuple[Any, ...]] = Counter()
    for one in courses:
        row, period = one.row, "mature" if one.row["mature"] else "younger"
        if one.walk is not None:
            for kind in ("titrating", "adequate", "dipped", "lapsed"):
                found[f"{kind}_days", period, row[f"{kind}_days"]] += 1
        if row["reached_day"] is not None:
            found["days_to_level", period, row["reached_day"]] += 1
    return found


def expected_moves(courses: Sequence[Judged], until: int) -> Counter[tuple[Any, ...]]:
    """Every move of both clocks."""
    found: Counter[tuple[Any, ...]] = Counter()
    for one in courses:
        found.update(("first_dose", *move) for move in slow.first_dose_moves(one, until))
        found.update(("reached", *move) for move in slow.reached_moves(one, until))
    return found


def differences(fast: Mapping[Any, int], wanted: Mapping[Any, int]) -> dict[Any, tuple[int, int]]:
    """Where two counts differ: package, reference."""
    return {
        key: (fast.get(key, 0), wanted.get(key, 0))
        for key in {*fast, *wanted}
        if fast.get(key, 0) != wanted.get(key, 0)
    }


@pytest.mark.parametrize("seed", range(20_000, 20_000 + SEEDS // 2))
def test_every_count_and_move_agrees(seed: int, own: Path) -> None:
    s = random_titrations.situation(seed)
    study, courses = study_of(s, own), headline(s)
    if s.rules.basis == "maximum":
        with pytest.raises(PlanError, match="circular"):
            study.tally(tables=("good_time",))
        return
    tally = study.tally(tables=("good_time",))
    points = tally.points[tally.points["criterion"] == f"good_time:{s.rules.criterion}"]
    assert not differences(counted(points, ["kind", "axis", "point", "state"]), expected_points(s, courses))
    values = counted(tally.values, ["variable", "point", "value"])
    assert not differences(values, expected_values(courses))
    moves = tally.transitions[tally.transitions["clock"].isin(["first_dose", "reached"])]
    until = study.plan.points.curve_days
    found = counted(moves, ["clock", "day", "from", "to"])
    assert not differences(found, expected_moves(courses, until)), s.rules


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30_000, 32_000))
def test_every_count_and_move_agrees_at_length(seed: int, own: Path) -> None:
    test_every_count_and_move_agrees(seed, own)
