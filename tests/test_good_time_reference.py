"""Good time by the package against the walk through every day, on random cohorts: rows, partition, moves."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import good_time_moves
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
        if (kept := slow.at_full_trial(one, s.rules)) is not None:
            found["at_full_trial", "good_time", period, kept] += 1
        if one.row["mature"]:
            both = f"{good_time_moves.situation(one, last)}|{one.row['status']}"
            found["day60", "day60", "mature", both] += 1
            for day in s.rules.calendar:
                found["mature_calendar", "day", str(day), one.row[f"calendar_{day}"]] += 1
            judged_, responded = one.walk is not None, one.response is not None
            found["judged", "good_time", "mature", "judged" if judged_ else "not_judged"] += 1
            late = (
                "not_overdue" if not one.row["overdue"] else "overdue_responded" if responded else "overdue"
            )
            found["overdue", "good_time", "mature", late if judged_ else "unjudged"] += 1
            for day in sorted({*s.rules.calendar, s.rules.mature}):
                if day <= s.rules.mature:
                    found["occupation", "day", str(day), good_time_moves.stood(one, day)] += 1
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
    """Every move of every clock."""
    found: Counter[tuple[Any, ...]] = Counter()
    for one in courses:
        found.update(("first_dose", *move) for move in good_time_moves.first_dose_moves(one, until))
        found.update(("reached", *move) for move in good_time_moves.reached_moves(one, until))
        found.update(("delayed", *move) for move in good_time_moves.delayed_moves(one, until))
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
    tally = study.tally(tables=("good_time", "delayed_entry"))
    points = tally.points[tally.points["criterion"] == f"good_time:{s.rules.criterion}"]
    # Which reason a course has is told by row above; here, whether it has one.
    points = points.assign(
        state=points["state"].mask((points["kind"] == "judged") & (points["state"] != "judged"), "not_judged")
    )
    # Harm is counted by day of score alone: tests/test_standing.py. What lasts: tests/test_lasting.py.
    points = points[(points["axis"] != "due") & ~points["kind"].isin(["after_response", "boosters"])]
    assert not differences(counted(points, ["kind", "axis", "point", "state"]), expected_points(s, courses))
    values = counted(tally.values, ["variable", "point", "value"])
    assert not differences(values, expected_values(courses))
    until = study.plan.points.curve_days
    found = counted(tally.transitions, ["clock", "day", "from", "to"])
    assert not differences(found, expected_moves(courses, until)), s.rules


SINCE = {
    "responded": {"responded_before", "responded_lapsed", "responded_1", "responded_2", "responded_later"},
    "full_trial": {"full_trial"},
    "stopped": {"stopped_before", "stopped_early"},
    "open": {"titrating", "accruing"},
    "unassessed": {"unassessed"},
}


def expected_sentence(s: Situation, courses: Sequence[Judged]) -> dict[str, int]:
    """Mature courses without response on the last calendar day: where they stood, and what became of them."""
    mature = [one for one in courses if one.row["mature"]]
    stood = [(good_time_moves.situation(one, s.rules.calendar[-1]), one.row["status"]) for one in mature]
    waiting = [(where, status) for where, status in stood if where not in {"responded", "unjudged"}]
    places = ("not_reached", "some_good", "trial_complete")
    return {
        "n": len(waiting),
        **{place: sum(where == place for where, _ in waiting) for place in places},
        **{name: sum(status in statuses for _, status in waiting) for name, statuses in SINCE.items()},
        "unjudged": sum(where == "unjudged" for where, _ in stood),
    }


@pytest.mark.parametrize("seed", range(40_000, 40_000 + SEEDS // 5))
def test_every_summary_agrees(seed: int, own: Path) -> None:
    s = random_titrations.situation(seed)
    if s.rules.basis == "maximum" or not (courses := headline(s)):
        return
    summary = study_of(s, own).good_time_summary()
    mature = [one for one in courses if one.row["mature"]]
    if mature:
        row = summary.day60.iloc[0]
        wanted = expected_sentence(s, courses)
        assert {name: row[name] for name in wanted} == wanted
    parts = (("mature", mature), ("younger", [one for one in courses if not one.row["mature"]]))
    for period, members in parts:
        table = summary.partition[summary.partition["period"] == period].set_index("status")
        statuses = Counter(one.row["status"] for one in members)
        assert {status: n for status, n in table["n"].items() if n} == dict(statuses)
        assert (table["n"].sum(), set(table["of"])) == (len(members), {len(members)} if members else {0})
        shares = table["share"].dropna()
        assert shares.sum() == pytest.approx(1 if members and period == "mature" else 0)
        groups = summary.groups[summary.groups["period"] == period]
        by_group = Counter(one.row["group"] for one in members)
        assert sorted(groups["n"][groups["n"] > 0]) == sorted(by_group.values())
        assert_same_levels(summary.levels, period, members)
    for day in s.rules.calendar:
        table = summary.calendar[summary.calendar["day"] == day].set_index("verdict")
        verdicts = Counter(one.row[f"calendar_{day}"] for one in courses)
        assert {verdict: n for verdict, n in table["n"].items() if n} == dict(verdicts)


def assert_same_levels(levels: pd.DataFrame, period: str, members: Sequence[Judged]) -> None:
    """How many tell nothing, how many reached the level, and after how many days at the median."""
    row = levels[levels["period"] == period].iloc[0]
    days = [one.row["reached_day"] for one in members if one.row["reached_day"] is not None]
    assert (row["n"], row["reached"]) == (len(members), len(days))
    assert row["judged"] == sum(one.walk is not None for one in members)
    assert row["not_evaluable"] == sum(one.row["group"] == "not evaluable" for one in members)
    expected = statistics.median(days) if days else None
    assert as_known(row["median_days_to_level"]) == expected


@pytest.mark.parametrize("seed", range(60_000, 60_000 + SEEDS // 5))
def test_everyones_state_on_each_day_agrees(seed: int, own: Path) -> None:
    s = random_titrations.situation(seed)
    courses = [one for one in headline(s) if one.question]
    if s.rules.basis == "maximum" or not courses:
        return
    study = study_of(s, own)
    until = study.plan.points.curve_days
    table = study.state_occupation().pivot(index="day", columns="state", values="share")
    started = study.all_started().set_index("day")["share"]
    for day, share in enumerate(good_time_moves.occupation(courses, until)):
        if share is None:
            assert table.loc[day].isna().any()
            continue
        found = {state: value for state, value in table.loc[day].items() if value > 1e-12}
        assert found == pytest.approx({state: float(value) for state, value in share.items()}, abs=1e-12)
        responded = sum(value for state, value in share.items() if state.startswith("responded"))
        assert started[day] == pytest.approx(float(responded), abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30_000, 32_000))
def test_every_count_and_move_agrees_at_length(seed: int, own: Path) -> None:
    test_every_count_and_move_agrees(seed, own)
