"""Good time: the worked example to the day, and what must hold of any cohort."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import random_titrations
from good_time_reference import GROUPS
from hypothesis import given, settings
from hypothesis import strategies as st
from random_titrations import EPOCH, Situation
from small_cohorts import Rows, plan_for
from small_cohorts import study_of as small_study
from test_good_time_reference import study_of

any_seed = st.integers(0, 10**6)
few = settings(max_examples=12, deadline=None, derandomize=True, database=None)
STATUSES = set(GROUPS)
ACCOUNT = ["titrating_days", "adequate_days", "dipped_days", "lapsed_days"]
TARGET = {"target_dose": 100.0, "target_unit": "mg", "target_day": 0}
CLIMB = " ".join(f"{3 * k}/sublingual={10 * (k + 1)}" for k in range(10))
STAY = " ".join(f"{day}/sublingual=100" for day in range(30, 87, 7))


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the protocols that only the random cohorts use."""
    return random_titrations.write_own_protocols(tmp_path_factory.mktemp("own"))


def judge(doses: str, phq9: str, as_of: int, clock: str = "protocol") -> dict[str, Any]:
    """The good-time row of one patient whose target of 100 mg was set on day 0."""
    rows = Rows().add("a", doses, {**TARGET, "cut_day": as_of}, phq9=phq9)
    plan = plan_for(random_titrations.Settings(), ["phq9_response50"]).replace(good_time={"clock": clock})
    table = small_study(rows, plan).good_time()
    assert len(table) == 1
    return dict(table.iloc[0])


# --- the worked example: 10, 20, ... 100 on days 0, 3, ... 27, then 100 weekly ---------------------------


@pytest.mark.parametrize(("day", "good"), [(24, 0), (25, 1), (30, 6), (54, 30), (60, 36), (84, 60)])
def test_good_days_by_calendar_day(day: int, good: int) -> None:
    row = judge(f"{CLIMB} {STAY}", "0:20", as_of=day)
    assert (row["level"], row["reached_day"], row["good"], row["unit"]) == (100, 24, good, "days")


def test_the_ninth_dose_is_the_first_adequate_one() -> None:
    row = judge(f"{CLIMB} {STAY}", "0:20", as_of=23)
    assert pd.isna(row["reached_day"])
    assert row["status"] == "titrating"


def test_a_response_on_day_50_is_in_the_first_window_though_in_month_two() -> None:
    row = judge(f"{CLIMB} {STAY}", "0:20 28:18 50:10", as_of=90)
    assert (row["status"], row["response_day"], row["good_at_response"]) == ("responded_1", 50, 26)
    assert (row["calendar_30"], row["calendar_60"]) == ("not_responded", "responded")


def test_no_response_on_day_60_is_a_trial_still_running() -> None:
    row = judge(f"{CLIMB} {STAY}", "0:20 60:18", as_of=60)
    assert (row["calendar_60"], row["status"], row["good"]) == ("not_responded", "accruing", 36)


def test_no_response_on_day_84_is_a_completed_trial() -> None:
    assert judge(f"{CLIMB} {STAY}", "0:20 84:18", as_of=84)["status"] == "full_trial"
    assert judge(f"{CLIMB} {STAY}", "0:20 83:18", as_of=84)["status"] == "unassessed"


@pytest.mark.parametrize(("day", "good"), [(39, 7), (40, 7), (60, 14)])
def test_a_gap_is_never_credited_later(day: int, good: int) -> None:
    for clock in ("cumulative", "first_reach"):
        row = judge("0/sublingual=100 40/sublingual=100", "0:20", as_of=day, clock=clock)
        assert row["good"] == good


@pytest.mark.parametrize(
    ("clock", "good"),
    [("cumulative", 7 + 3), ("first_reach", 14 + 3), ("contiguous", 3), ("doses", 2)],
)
def test_four_clocks_on_a_dip_and_a_gap(clock: str, good: int) -> None:
    doses = "0/sublingual=100 7/sublingual=50 20/sublingual=100"
    row = judge(doses, "0:20", as_of=23, clock=clock)
    expected = {
        "reached_day": 0,
        "adequate_days": 10,
        "dipped_days": 7,
        "lapsed_days": 6,
        "titrating_days": 0,
    }
    if clock == "doses":  # the windows of home are days: another clock's unit is no answer
        assert row["status"] == "not_comparable"
        return
    assert {name: row[name] for name in expected} == expected
    assert row["good"] == good


def test_on_one_day_the_score_comes_before_the_dose() -> None:
    doses = "0/sublingual=50 3/sublingual=100"
    assert judge(doses, "0:20 3:10", as_of=30)["status"] == "responded_before"
    after = judge(doses, "0:20 3+:10", as_of=30)
    assert (after["status"], after["good_at_response"]) == ("responded_1", 0)


def test_a_response_long_after_the_last_dose_is_not_credited_to_it() -> None:
    doses = "0/sublingual=100 7/sublingual=100"  # cover ends on day 14
    assert judge(doses, "0:20 28:10", as_of=90)["status"] == "responded_1"
    assert judge(doses, "0:20 29:10", as_of=90)["status"] == "responded_lapsed"


# --- any cohort ------------------------------------------------------------------------------------------


def changed(s: Situation, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Situation:
    """The same cohort with every row changed, or left out."""
    parts = [
        [new for row in part if (new := change(dict(row))) is not None]
        for part in (s.rows.doses, s.rows.scores, s.rows.people)
    ]
    return replace(s, rows=Rows(*parts, dated=s.rows.dated))


def reported(seed: int, own: Path) -> Situation:
    """A situation whose basis may be counted and reported."""
    s = random_titrations.situation(seed)
    return s if s.rules.basis != "maximum" else replace(s, rules=replace(s.rules, basis="auto"))


@few
@given(seed=any_seed)
def test_every_eligible_course_is_in_exactly_one_status(seed: int, own: Path) -> None:
    study = study_of(random_titrations.situation(seed), own)
    table = study.good_time()
    instrument = study.plan.good_time.criterion.partition("_")[0]
    baselines = study.baselines
    eligible = baselines[(baselines["instrument"] == instrument) & baselines["eligible"]]
    key = ["patient", "course"]
    assert not table.duplicated(key).any()
    assert set(table[key].itertuples(index=False)) == set(eligible[key].itertuples(index=False))
    assert set(table["status"]) <= STATUSES
    assert (table.groupby("status")["group"].nunique() == 1).all()


@few
@given(seed=any_seed)
def test_the_account_is_the_whole_time(seed: int, own: Path) -> None:
    s = random_titrations.situation(seed)
    study = study_of(s, own)
    table = study.good_time().merge(study.courses[["patient", "course", "first_day", "last_day"]])
    following = study.courses.assign(course=study.courses["course"] - 1)
    following = following.rename(columns={"first_day": "next_first"})[["patient", "course", "next_first"]]
    table = table.merge(following, how="left")
    judged = table[table["adequate_days"].notna()]
    protocols = study.plan.definitions.protocols
    gap = [protocols[name].course_gap or 0 for name in judged["protocol"]]
    last = judged["last_day"].astype(float) + gap
    ends = pd.DataFrame({"last": last, "next": judged["next_first"].astype(float)})
    if s.cut:
        cut = {person["patient"]: person["cut_day"] for person in s.rows.people}
        ends["cut"] = judged["patient"].map(cut)
    elif s.rows.dated:
        start = study.cohort.people.set_index("patient")["start_date"]
        ends["cut"] = [s.as_of - start[patient].toordinal() for patient in judged["patient"]]
    whole = ends.min(axis=1) - judged["first_day"]
    assert (judged[ACCOUNT].sum(axis=1).astype(float) == whole).all()
    if s.rules.clock == "cumulative":
        assert (judged["good"] == judged["adequate_days"]).all()


@few
@given(seed=any_seed)
def test_records_after_the_as_of_day_change_nothing(seed: int, own: Path) -> None:
    s = random_titrations.situation(seed)
    if not s.rows.dated and not s.cut:
        return
    cut = {person["patient"]: person.get("cut_day", s.as_of) for person in s.rows.people}
    # Day 0 is the first dose on record, so of patients with a later first dose nothing is left either way.
    known = changed(s, lambda row: row if row.get("day", -(10**9)) <= cut[row["patient"]] else None)
    if known.rows.doses and known.rows.scores:
        key = ["patient", "course"]
        one, other = (study_of(x, own).good_time().set_index(key) for x in (s, known))
        pd.testing.assert_frame_equal(one, other)


@few
@given(seed=any_seed, clock=st.sampled_from(("cumulative", "doses")))
def test_lowering_a_dose_never_adds_good_time(seed: int, clock: str, own: Path) -> None:
    s = reported(seed, own)
    s = replace(s, rules=replace(s.rules, clock=clock, windows=(5, 10)))
    rng = random.Random(seed)
    lower = {id(row) for row in s.rows.doses if rng.random() < 0.2}
    halves = [
        {**row, "dose": row["dose"] / 2} if id(row) in lower and row["dose"] else row for row in s.rows.doses
    ]
    key = ["patient", "course"]
    before = study_of(s, own).good_time().set_index(key)
    after = study_of(replace(s, rows=replace(s.rows, doses=halves)), own).good_time().set_index(key)
    assert before.index.equals(after.index)
    judged = before["good"].notna() & after["good"].notna()
    assert (after["good"][judged] <= before["good"][judged]).all()
    both = judged & after["reached_day"].notna()
    assert (after["reached_day"][both] >= before["reached_day"][both]).all()


@few
@given(seed=any_seed, by=st.sampled_from((None, "site")))
def test_splitting_and_adding_changes_nothing(seed: int, by: str | None, own: Path) -> None:
    s = reported(seed, own)
    rng = random.Random(seed)
    side = {person["patient"]: rng.random() < 0.5 for person in s.rows.people}
    parts = [
        changed(s, lambda row, half=half: row if side[row["patient"]] is half else None)
        for half in (True, False)
    ]
    if not all(part.rows.doses and part.rows.scores for part in parts):
        return
    whole, *halves = (
        study_of(part, own).tally(by=by, at="end", tables=("good_time",)) for part in (s, *parts)
    )
    assert (halves[0] + halves[1]).to_json() == whole.to_json()


@few
@given(seed=any_seed)
def test_neither_order_nor_names_of_rows_matter(seed: int, own: Path) -> None:
    s = reported(seed, own)
    rng = random.Random(seed)
    codes = rng.sample(range(10**6), len(s.rows.people))
    renamed = changed(s, lambda row: {**row, "patient": f"{codes[int(row['patient'][1:])]:x}"})
    for part in (renamed.rows.doses, renamed.rows.scores, renamed.rows.people):
        rng.shuffle(part)
    one, other = (study_of(x, own).tally(at="end", tables=("good_time",)) for x in (s, renamed))
    assert one.to_json() == other.to_json()


@few
@given(seed=any_seed)
def test_stretches_are_the_account_laid_out(seed: int, own: Path) -> None:
    s = reported(seed, own)
    study = study_of(s, own)
    stretches = study.stretches()
    days = stretches.assign(days=stretches["to_day"] - stretches["from_day"])
    sums = days.pivot_table(index=["patient", "course"], columns="state", values="days", aggfunc="sum")
    table = study.good_time().set_index(["patient", "course"])
    table = table[table["adequate_days"].notna() & (table[ACCOUNT].sum(axis=1) > 0)]
    for state in ("titrating", "adequate", "dipped", "lapsed"):
        found = sums[state] if state in sums else pd.Series(0, index=sums.index)
        found = found.fillna(0).astype(int).reindex(table.index)
        assert (found == table[f"{state}_days"].astype(int)).all(), state


def test_before_anyone_has_started_there_is_nothing_to_judge() -> None:
    rows = Rows(dated=True).add("a", f"{EPOCH}/sublingual=100", phq9=f"{EPOCH}:20")
    study = small_study(rows, plan_for(random_titrations.Settings(), ["phq9_response50"]), EPOCH - 1)
    assert study.good_time().empty
    assert study.tally(at="end", tables=("good_time",)).transitions.empty
