"""What must hold for any cohort: order, names and calendars carry no meaning, and counts add."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import random_cohorts
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Settings
from small_cohorts import Rows, dose_frame, plan_for, study_of, wide_scores

import ketaoutcomes as ko
from ketaoutcomes.counts.tallies import parse_tally
from ketaoutcomes.plan import PlanError

CRITERIA = ("phq9_response50", "phq9_remission_lt5", "pcl5_reliable15", "pcl5_loss_dx", "peg_response30")
MONOTONE = ("phq9_response50", "phq9_remission_lt5", "pcl5_reliable15", "gad7_mcid4")  # lower is never worse
KINDS = ("current", "ever", "sustained")
AXES = ("session", "week", "end")
MIDDLE = random_cohorts.EPOCH + 260  # an as-of day in the middle of the random cohorts' dates

any_seed = st.integers(0, 10**6)
few = settings(max_examples=5, deadline=None, derandomize=True, database=None)


def study(rows: Rows, as_of: int | None = None, plan: Settings | None = None, long: bool = False) -> ko.Study:
    """A study of these rows; undated ones are complete unless they carry cut days."""
    complete = not rows.dated and not any("cut_day" in person for person in rows.people)
    return study_of(rows, plan_for(plan or Settings(), CRITERIA, complete=complete), as_of, long)


def table(
    found: ko.Study, axis: str, criteria: Iterable[str] = CRITERIA, columns: str = "state"
) -> pd.DataFrame:
    """Every course's state at an axis, sorted."""
    key = ["patient", "course", "criterion", "kind", "point"]
    points = found.points(at=axis, criteria=list(criteria), kind=list(KINDS))
    return points[[*key, *columns.split()]].sort_values(key, ignore_index=True)


def assert_same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Equal tables, whatever their dtypes' history."""
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True))


def changed(rows: Rows, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Rows:
    """The same cohort with every row changed, or left out."""
    parts = [
        [new for row in part if (new := change(row)) is not None]
        for part in (rows.doses, rows.scores, rows.people)
    ]
    return Rows(*parts, dated=rows.dated)


def counted(found: ko.Study, **options: Any) -> str:
    """The canonical text of a Tally."""
    return found.tally(**options).to_json()


@few
@given(seed=any_seed)
def test_the_order_of_rows_carries_no_meaning(seed: int) -> None:
    rows = random_cohorts.rows(seed, 25, cut=True)
    shuffled = Rows(
        *(random.Random(seed + 1).sample(part, len(part)) for part in (rows.doses, rows.scores, rows.people))
    )
    assert counted(study(rows)) == counted(study(shuffled))
    for axis in AXES:
        assert_same(table(study(rows), axis), table(study(shuffled), axis))


@few
@given(seed=any_seed)
def test_long_and_wide_files_say_the_same(seed: int) -> None:
    rows = random_cohorts.rows(seed, 25, cut=True)
    assert counted(study(rows)) == counted(study(rows, long=True))


def items_frame() -> pd.DataFrame:
    """Whole-number items with blanks, and an id, as a CSV reader leaves them."""
    rows = random_cohorts.rows(4, 20)
    kept = Rows(rows.doses, [row for row in rows.scores if row["instrument"] == "phq9" and row.get("items")])
    return wide_scores(kept)


@pytest.mark.parametrize("dtype", ["Int8", "Int64", "Float32", "object", "int8[pyarrow]", "double[pyarrow]"])
def test_how_numbers_are_stored_changes_nothing(dtype: str) -> None:
    # Sums of Int8 columns wrap around in pandas: 18 * 9 would prorate to a negative score, a remission.
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    scores = items_frame()
    stored = scores.astype({f"phq9_{i}": dtype for i in range(1, 10)})
    plan = plan_for(Settings(), ["phq9_response50", "phq9_remission_lt5"], complete=True)
    doses = dose_frame(random_cohorts.rows(4, 20))
    one, other = (
        ko.Study(ko.Cohort.from_frames(doses, s, plan=plan)).tally().to_json() for s in (scores, stored)
    )
    assert one == other


@pytest.mark.parametrize("dtype", ["object", "category", "string"])
def test_how_names_are_stored_changes_nothing(dtype: str) -> None:
    scores, doses = items_frame(), dose_frame(random_cohorts.rows(4, 20))
    plan = plan_for(Settings(), ["phq9_response50"], complete=True)
    text = {"patient": dtype, "timing": dtype}
    stored = (doses.astype({"patient": dtype, "route": dtype, "unit": dtype}), scores.astype(text))
    one, other = (
        ko.Study(ko.Cohort.from_frames(*s, plan=plan)).tally().to_json() for s in ((doses, scores), stored)
    )
    assert one == other


def test_the_callers_frames_are_left_as_they_were() -> None:
    scores, doses = items_frame(), dose_frame(random_cohorts.rows(4, 20))
    before = scores.copy(deep=True), doses.copy(deep=True)
    plan = plan_for(Settings(), ["phq9_response50"], complete=True)
    ko.Study(ko.Cohort.from_frames(doses, scores, plan=plan)).rates(at="session")
    assert_same(scores, before[0])
    assert_same(doses, before[1])


@few
@given(seed=any_seed)
def test_names_of_patients_carry_no_meaning(seed: int) -> None:
    rows = random_cohorts.rows(seed, 25, cut=True)
    codes = random.Random(seed).sample(range(10**6), 25)
    renamed = changed(rows, lambda row: {**row, "patient": f"{codes[int(row['patient'][1:])]:x}"})
    assert counted(study(rows)) == counted(study(renamed))


@few
@given(seed=any_seed, by=st.integers(1, 500))
def test_day_zero_may_lie_anywhere(seed: int, by: int) -> None:
    rows = random_cohorts.rows(seed, 25, cut=True)
    days = ("day", "cut_day", "observed_from")
    later = changed(rows, lambda row: row | {d: row[d] + by for d in days if row.get(d) is not None})
    assert counted(study(rows)) == counted(study(later))


@few
@given(seed=any_seed, by=st.integers(-400, 400))
def test_a_calendar_may_be_moved_as_a_whole(seed: int, by: int) -> None:
    rows = random_cohorts.rows(seed, 25, dated=True)
    days = ("day", "observed_from")
    later = changed(rows, lambda row: row | {d: row[d] + by for d in days if row.get(d) is not None})
    for axis in AXES:
        assert_same(table(study(rows, MIDDLE), axis), table(study(later, MIDDLE + by), axis))


@few
@given(seed=any_seed)
def test_records_after_the_as_of_day_change_nothing(seed: int) -> None:
    rows = random_cohorts.rows(seed, 25, dated=True)
    known = changed(rows, lambda row: row if row.get("day", 0) <= MIDDLE else None)
    for axis in (*AXES, "month"):
        assert_same(table(study(rows, MIDDLE), axis), table(study(known, MIDDLE), axis))


def test_as_of_is_the_last_day_on_record_unless_given() -> None:
    rows = random_cohorts.rows(5, 25, dated=True)
    rows = changed(rows, lambda row: None if row.get("dose", 1) == 0 else row)
    last = max(row["day"] for row in [*rows.doses, *rows.scores])
    for axis in AXES:
        assert_same(table(study(rows), axis), table(study(rows, last), axis))


@few
@given(seed=any_seed, after=st.integers(1, 200))
def test_a_later_booster_never_moves_a_published_endpoint(seed: int, after: int) -> None:
    rows = random_cohorts.rows(seed, 25)
    mature = {patient: first + 100 for patient, first in first_days(rows).items()}
    early = changed(rows, lambda row: row if row.get("day", 0) <= mature.get(row["patient"], 0) else None)
    boosters = [
        {"patient": patient, "day": day + after, "dose": 35.0, "route": "iv", "days": 1}
        for patient, day in mature.items()
    ]
    boosted = Rows([*early.doses, *boosters], early.scores, early.people)
    for axis in ("session", "end"):
        before, now = table(study(early), axis), table(study(boosted), axis)
        before, now = (t[(t["kind"] != "sustained") & (t["course"] == 1)] for t in (before, now))
        assert_same(before, now)


def first_days(rows: Rows) -> dict[str, int]:
    """Each patient's first dose day."""
    days: dict[str, int] = {}
    for row in rows.doses:
        if row["dose"] != 0:
            days[row["patient"]] = min(days.get(row["patient"], row["day"]), row["day"])
    return days


@few
@given(seed=any_seed)
def test_lower_scores_at_follow_up_never_undo_a_response(seed: int) -> None:
    rng = random.Random(seed)
    rows = random_cohorts.rows(seed, 25)
    first = first_days(rows)

    def lower(row: dict[str, Any]) -> dict[str, Any]:
        start = first.get(row["patient"])
        if start is None or "timing" not in row or (row["day"], row["timing"] == "post") <= (start, False):
            return row
        if row.get("items") is None:
            return row | {"score": row["score"] and rng.randrange(row["score"] + 1)}
        return row | {"items": [item and rng.randrange(item + 1) for item in row["items"]]}

    lowered = changed(rows, lower)
    for axis in AXES:
        before, now = (table(study(r), axis, MONOTONE) for r in (rows, lowered))
        both = pd.merge(
            before, now, on=["patient", "course", "criterion", "kind", "point"], suffixes=("", "_now")
        )
        first_course = both[both["course"] == 1]
        met = first_course["state"].isin(["met", "carried_met"])
        assert (first_course.loc[met, "state"] == first_course.loc[met, "state_now"]).all()


@few
@given(seed=any_seed, parts=st.integers(2, 5), grouped=st.booleans())
def test_a_cohort_split_by_patient_adds_back_exactly(seed: int, parts: int, grouped: bool) -> None:
    rng = random.Random(seed)
    rows = random_cohorts.rows(seed, 30, cut=True)
    part_of = {f"P{number:03d}": rng.randrange(parts) for number in range(30)}
    options: dict[str, Any] = {"by": ["site", "protocol"]} if grouped else {}
    tallies = []
    for number in sorted(set(part_of.values())):
        part = changed(rows, lambda row, n=number: row if part_of[row["patient"]] == n else None)  # type: ignore[misc]
        tallies.append(study(part).tally(**options))
    whole = study(rows).tally(**options)
    assert sum(tallies).to_json() == whole.to_json()
    assert sum(reversed(tallies)).to_json() == whole.to_json()


def test_dated_parts_add_back_exactly_at_a_stated_as_of_day() -> None:
    rows = random_cohorts.rows(11, 30, dated=True)
    odd = changed(rows, lambda row: row if int(row["patient"][1:]) % 2 else None)
    even = changed(rows, lambda row: None if int(row["patient"][1:]) % 2 else row)
    whole = study(rows, MIDDLE).tally()
    assert (study(odd, MIDDLE).tally() + study(even, MIDDLE).tally()).to_json() == whole.to_json()


@few
@given(seed=any_seed)
def test_a_tally_survives_being_written_and_read(seed: int) -> None:
    found = study(random_cohorts.rows(seed, 15, cut=True)).tally(by="site")
    again = parse_tally(found.to_json())
    assert again == found
    assert again.to_json() == found.to_json()


def test_a_tally_survives_a_file(tmp_path: Path) -> None:
    found = study(random_cohorts.rows(1, 15, cut=True)).tally()
    found.save(tmp_path / "tally.json")
    assert ko.load_tally(tmp_path / "tally.json") == found


@few
@given(seed=any_seed)
def test_groups_add_up_to_the_whole(seed: int) -> None:
    rows = random_cohorts.rows(seed, 30, cut=True)
    counts = ["due", "given", "assessed", "met", "n"]
    for axis in ("week", "end"):
        whole = study(rows).rates(at=axis, criteria=list(CRITERIA), analysis="nri")
        by_site = study(rows).rates(at=axis, by="site", criteria=list(CRITERIA), analysis="nri")
        added = by_site.groupby(["criterion", "point"])[counts].sum()
        assert_same(added, whole.groupby(["criterion", "point"])[counts].sum())


@few
@given(seed=any_seed, axis=st.sampled_from(AXES))
def test_every_course_is_in_exactly_one_state_at_each_point(seed: int, axis: str) -> None:
    found = study(random_cohorts.rows(seed, 25, cut=True))
    points = found.points(at=axis, criteria=["phq9_response50"], kind=list(KINDS))
    assert not points.duplicated(["patient", "course", "kind", "point"]).any()
    counted_courses = found.baselines.query("instrument == 'phq9' and index == 1").merge(
        found.courses[["patient", "course", "protocol"]]
    )
    if axis != "week":
        judged_elsewhere = ["none"] if axis == "end" else ["none", "home"]
        counted_courses = counted_courses[~counted_courses["protocol"].isin(judged_elsewhere)]
    assert set(points["patient"]) == set(counted_courses["patient"])


@pytest.mark.parametrize("axis", AXES)
def test_someone_due_and_never_scored_lowers_the_rate(axis: str) -> None:
    rows = Rows()
    for patient in "ABCD":
        rows.add(patient, "0 3 7 10 14 17", phq9="0:20 3:8 7:8 10:8 14:8 17:8 18:8 28:8 42:8 57:8 85:8")
    before = study(rows).rates(at=axis, criteria=["phq9_response50"], analysis="nri")
    more = rows.add("E", "0", phq9="0:20")
    now = study(more).rates(at=axis, criteria=["phq9_response50"], analysis="nri")
    assert (now["n"] == before["n"] + 1).all()
    assert (now["met"] == before["met"]).all()
    assert (now["rate"] < before["rate"]).all()
    observed = study(more).rates(at=axis, criteria=["phq9_response50"], analysis="observed")
    assert (observed["n"] == 4).all()


def test_patients_never_meet() -> None:
    rows = random_cohorts.rows(3, 20, cut=True)
    together = table(study(rows), "week")
    for patient in ("P003", "P011", "P017"):
        alone = changed(rows, lambda row, p=patient: row if row["patient"] == p else None)  # type: ignore[misc]
        assert_same(table(study(alone), "week"), together[together["patient"] == patient])


def test_the_plan_decides_which_points_there_are() -> None:
    rows = Rows().add("A", "0", phq9="0:20")
    weeks = replace(Settings(), weeks=(1, 5))
    assert list(
        study(rows, plan=weeks).rates(at="week", criteria=["phq9_response50"], analysis="nri")["point"]
    ) == [
        "1",
        "5",
    ]


def test_the_reference_does_not_lean_on_what_it_checks() -> None:
    source = Path(reference.__file__).read_text(encoding="utf-8")
    assert not any(f"import {name}" in source for name in ("numpy", "pandas", "ketaoutcomes"))


@pytest.mark.parametrize("column", ["state", "value", "n", "rate", "session"])
def test_a_grouping_named_like_a_result_is_refused(column: str) -> None:
    doses = pd.DataFrame({"patient": ["a"], "day": [0], "dose": 0.5, "unit": "mg/kg", "route": "iv"})
    people = pd.DataFrame({"patient": ["a"], "cut_day": [300], column: ["North"]})
    scores = pd.DataFrame({"patient": ["a"], "day": [0], "phq9": [20]})
    found = ko.Study(ko.Cohort.from_frames(doses, scores, people))
    with pytest.raises(PlanError, match=r"rename it in \[columns\]") as refused:
        found.rates(at="end", by=column)
    assert "North" not in str(refused.value)


def test_a_courses_unit_groups_as_dose_unit() -> None:
    doses = pd.DataFrame({"patient": ["a"], "day": [0], "dose": 0.5, "unit": "mg/kg", "route": "iv"})
    people = pd.DataFrame({"patient": ["a"], "cut_day": [300]})
    scores = pd.DataFrame({"patient": ["a"], "day": [0], "phq9": [20]})
    found = ko.Study(ko.Cohort.from_frames(doses, scores, people))
    assert set(found.rates(at="end", by="unit")["dose_unit"]) == {"mg/kg"}
    assert "mg/kg" in set(found.flow(by="unit")["dose_unit"])
