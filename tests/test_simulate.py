"""The sample: what was planted is what is found, person by person and in every rate."""

import hashlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ketaoutcomes import simulate
from ketaoutcomes.plan import Plan
from ketaoutcomes.records.cohort import Cohort
from ketaoutcomes.simulate.answers import BLANK, leave_blank, same_verdict, spread, with_last
from ketaoutcomes.simulate.clinics import PCL5, PHQ9
from ketaoutcomes.simulate.draws import Draws
from ketaoutcomes.study import Study

ONSET = {
    "phq9_response50": "onset_day",
    "phq9_remission_lt5": "remission_day",
    "pcl5_reliable15": "pcl5_onset_day",
    "phq9_deterioration": "worse_day",
}
OVER = dict.fromkeys(ONSET, "lost_day") | {"phq9_deterioration": "recovered_day"}
CRITERIA = list(ONSET)
VISITS = ["iv6", "im", "esketamine"]


@cache
def sample() -> simulate.Simulated:
    return simulate.clinic()


@cache
def study() -> Study:
    return Study(Cohort.from_frames(*sample().frames()))


@cache
def crowd() -> tuple[simulate.Simulated, Study]:
    """The same clinics with ten times the patients, to see small differences."""
    many = simulate.clinic(patients=12_000, seed=7)
    return many, Study(Cohort.from_frames(*many.frames()))


# The bytes


def test_the_shipped_file_is_what_the_seed_makes():
    assert simulate.sample_path().read_bytes() == sample().to_csv().encode("ascii")


def test_the_command_writes_the_shipped_file_again(tmp_path):
    out = tmp_path / "again.csv"
    subprocess.run([sys.executable, "-m", "ketaoutcomes.simulate", str(out)], check=True)
    assert out.read_bytes() == simulate.sample_path().read_bytes()


def test_draws_are_made_from_the_raw_words_of_pcg64():
    # numpy keeps a bit generator's raw stream for ever; these are its first words for this seed.
    words = Draws(2026, "people").words(3).tolist()
    assert words == [11916362036000740389, 2675807254152706168, 4512400324419515721]


def test_another_seed_is_another_clinic_of_the_same_shape():
    one, other = simulate.clinic(patients=60, seed=1), simulate.clinic(patients=60, seed=2)
    assert list(one.sessions.columns) == list(other.sessions.columns)
    assert one.to_csv() != other.to_csv()
    assert one.to_csv() == simulate.clinic(patients=60, seed=1).to_csv()


def test_a_later_baseline_on_a_day_already_asked_about_is_one_form():
    # With this seed a second course begins on a day on which the first one is still followed up.
    table = simulate.clinic(patients=1200, seed=6).sessions
    assert not table.duplicated(["patient", "date"]).any()


# The forms


def test_items_sum_to_their_total_and_stay_in_range():
    totals = np.repeat(np.arange(28), 5)
    answers = spread(totals, 3, np.zeros((len(totals), 9)), Draws(1, "items"))
    assert (answers.sum(axis=1) == totals).all()
    assert answers.min() == 0
    assert answers.max() == 3


def test_as_many_items_are_left_blank_as_asked():
    answers = np.ones((4, 9), dtype=np.int8)
    gaps = leave_blank(answers, np.array([0, 1, 2, 9]), Draws(1, "gaps"))
    assert (gaps == BLANK).sum(axis=1).tolist() == [0, 1, 2, 9]


@pytest.mark.parametrize(
    ("answers", "baseline", "same"),
    [
        ([1, 1, 1, 1, 0, 0, 0, 0, BLANK], 20, True),  # 4, prorated 4.5: still below five
        ([1, 1, 1, 1, 1, 0, 0, 0, BLANK], 20, True),  # 5, prorated 5.6: neither is
        ([1, 1, 1, 1, 0, 0, 0, BLANK, BLANK], 20, False),  # 4, prorated 5.1: no longer below five
        ([2, 2, 2, 2, 1, 0, 0, 0, BLANK], 18, False),  # 9, prorated 10.1: no longer half of 18
        ([2, 2, 2, 2, 2, 2, 2, 1, BLANK], 10, False),  # 15, prorated 16.9: now 6 above 10
        ([2, 2, 2, 2, 2, 2, 2, 2, BLANK], 10, True),  # 16, prorated 18: at least 6 above, both
    ],
)
def test_blanks_never_turn_what_was_planted(answers, baseline, same):
    total = sum(max(answer, 0) for answer in answers)
    verdict = same_verdict(np.array([answers], dtype=np.int8), np.array([total]), np.array([baseline]), 6)
    assert verdict.tolist() == [same]


def test_the_last_item_is_answered_as_told_and_the_total_kept():
    totals, told = np.array([12, 12, 27, 1]), np.array([2, BLANK, 1, 3])
    before = spread(totals, 3, np.zeros((4, 9)), Draws(1, "items"))
    after = with_last(before, totals, told, np.zeros((4, 9)), Draws(1, "ninth"))
    assert (after.sum(axis=1) == totals).all()
    assert (after.min(), after.max()) == (0, 3)
    assert after[[0, 2, 3], 8].tolist() == [2, 3, 1]  # 27 leaves no room below 3, 1 none above 1
    assert (after[1] == before[1]).all()


# What is found is what was planted


def seen(points: pd.DataFrame, truth: pd.DataFrame, courses: pd.DataFrame) -> pd.DataFrame:
    """Every score that was judged, beside the planted days, all counted from the first dose."""
    judged = points[points["state"].isin(["met", "not_met"])]
    starts = courses[["patient", "course", "first_day"]]
    table = judged.merge(truth, on=["patient", "course"]).merge(starts, on=["patient", "course"])
    return table.assign(since=table["day"] - table["first_day"])


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize(
    ("axis", "protocols"), [("session", VISITS), ("end", [*VISITS, "home"]), ("week", ["home"])]
)
def test_every_scored_point_shows_the_planted_state(criterion, axis, protocols):
    table = seen(study().points(at=axis, criteria=criterion), sample().truth, study().courses)
    table = table[table["protocol"].isin(protocols)]
    begun = (table["since"] >= table[ONSET[criterion]]).fillna(False)
    over = (table["since"] >= table[OVER[criterion]]).fillna(False)
    assert len(table) > 300
    assert ((begun & ~over) == (table["state"] == "met")).all()


@pytest.mark.parametrize("instrument", ["phq9", "pcl5"])
def test_everybody_is_eligible_or_not_for_the_planted_reason(instrument):
    baselines = study().baselines.query("instrument == @instrument")
    table = baselines.merge(sample().truth, on=["patient", "course"], how="outer", indicator=True)
    assert (table["_merge"] == "both").all()
    planted = table[instrument].replace({"no_score": "no_baseline"})
    assert (table["reason"] == planted).all()
    assert (table["baseline"].dropna() == table[f"{instrument}_baseline"].dropna()).all()


def test_who_gets_worse_is_planted_and_enough_of_them():
    truth = sample().truth
    worse = truth[truth["worse_day"].notna()]
    assert 0.03 < len(worse) / len(truth) < 0.08
    assert worse["onset_day"].isna().all()
    assert (worse["phq9_baseline"].dropna() <= 21).all()
    assert 5 < worse["recovered_day"].notna().sum() < 0.5 * len(worse)
    ends = study().points(at="end", criteria="phq9_deterioration")
    ever = study().points(at="end", criteria="phq9_deterioration", kind="ever")
    assert 20 < (ends["state"] == "met").sum() < (ever["state"] == "met").sum()


def test_answers_to_item_9_rise_where_that_was_planted():
    truth = sample().truth
    risen = truth[truth["item9_worse"].notna()]
    assert set(risen["item9_baseline"]) == {0, 1}
    assert (risen["item9_worse"] > risen["item9_baseline"]).all()
    assert (risen.groupby("item9_baseline").size() > 5).all()
    rows = sample().sessions[["patient", "date", "phq9_9"]].dropna().merge(risen, on="patient")
    since = (rows["date"] - rows["first_date"]).dt.days
    before = since.between(-10, 0)
    while_worse = (since >= rows["worse_day"]) & ~(since >= rows["recovered_day"]).fillna(False)
    assert (rows["phq9_9"] == rows["item9_baseline"])[before].all()
    assert (rows["phq9_9"] >= rows["item9_worse"])[while_worse].all()
    assert while_worse.sum() > 30


def deviations(planted: pd.DataFrame, found: pd.DataFrame, *keys: str) -> pd.Series:
    """Found minus expected rates, in standard errors of the expected."""
    planted = planted.assign(point=planted["point"].astype(str)).rename(columns={"n": "eligible"})
    expected = planted.melt(
        [*keys, "criterion", "axis", "point"], ["nri", "observed"], "analysis", "expected"
    )
    table = found.merge(expected, on=[*keys, "criterion", "axis", "point", "analysis"], validate="1:1")
    assert len(table) >= 0.8 * len(expected)
    error = np.sqrt(table["expected"] * (1 - table["expected"]) / table["n"])
    return (table["rate"] - table["expected"]) / error


@pytest.mark.parametrize(("axis", "protocols"), [("session", VISITS), ("week", ["home"])])
@pytest.mark.parametrize("clinic", [lambda: (sample(), study()), crowd], ids=["the sample", "ten times it"])
def test_rates_are_those_planted_within_sampling_error(clinic, axis, protocols):
    simulated, judged = clinic()
    found = judged.rates(at=axis, by="protocol", criteria=CRITERIA, analysis=["nri", "observed"])
    planted = simulated.planted.query("site == 'all' and protocol in @protocols")
    assert deviations(planted, found, "protocol").abs().max() < 3.5


def test_sites_differ_in_what_they_ask_not_in_what_they_do():
    simulated, judged = crowd()
    planted = simulated.planted.query("site != 'all' and protocol == 'iv6'")
    found = judged.rates(
        at="session", by=["protocol", "site"], criteria=CRITERIA, analysis=["nri", "observed"]
    )
    assert deviations(planted, found, "protocol", "site").abs().max() < 4
    last = planted.query("point == 6 and criterion == 'phq9_response50'").set_index("site")
    assert np.ptp(last["latent"]) < 0.01
    assert last.loc["Harbour", "nri"] - last.loc["Northgate", "nri"] > 0.05


@pytest.mark.parametrize(
    ("criterion", "step"), [("phq9_response50", "onset_step"), ("phq9_remission_lt5", "remission_step")]
)
def test_planted_rates_agree_with_counting_the_latent_courses(criterion, step):
    simulated, _ = crowd()
    first = simulated.truth.query("course == 1 and protocol == 'iv6' and phq9 == 'eligible'")
    planted = simulated.planted.query("protocol == 'iv6' and site == 'all' and criterion == @criterion")
    counted = [(first[step] <= point).fillna(False).mean() for point in planted["point"]]
    assert counted == pytest.approx(planted["latent"].tolist(), abs=3.5 * 0.5 / len(first) ** 0.5)


# It looks like the published series, and holds what it promises


def rate(criterion: str, analysis: str, *, at: str, point: str, protocol: str = "iv6") -> float:
    table = study().rates(at=at, by="protocol", criteria=criterion, analysis=analysis)
    return float(table.query("protocol == @protocol and point == @point")["rate"].iloc[0])


def test_the_iv_series_reads_like_mcinnes_2022():
    # McInnes 2022 J Affect Disord, 10.1016/j.jad.2021.12.097: 53.6 % and 28.9 % of those with data.
    assert rate("phq9_response50", "observed", at="end", point="end") == pytest.approx(0.536, abs=0.06)
    assert rate("phq9_remission_lt5", "observed", at="end", point="end") == pytest.approx(0.289, abs=0.06)
    assert rate("phq9_response50", "nri", at="end", point="end") < 0.45


def test_response_climbs_from_the_first_session_to_the_last():
    sessions = [rate("phq9_response50", "observed", at="session", point=str(k)) for k in range(1, 7)]
    # TRANSFORM day 2, Turkoz 2021: 17.3 %; day 28: 58.7 %.
    assert sessions[0] == pytest.approx(0.173, abs=0.05)
    assert sessions[-1] == pytest.approx(0.587, abs=0.06)
    assert sessions == sorted(sessions)


def test_the_sample_holds_what_it_promises():
    sessions, truth = sample().sessions, sample().truth
    first = truth[truth["course"] == 1]
    assert len(first) == 1200
    assert set(sessions["site"]) == {"Harbour", "Lakeside", "Northgate"}
    assert first["protocol"].value_counts().idxmax() == "iv6"
    assert set(first["protocol"]) == {"iv6", "im", "esketamine", "home"}
    assert first["first_date"].dt.to_period("M").nunique() == 18
    assert (truth["course"] == 2).sum() > 30
    assert sessions["dose"].isna().mean() > 0.1  # questionnaires between sessions
    blanks = sessions[list(PHQ9)].isna().sum(axis=1)
    assert blanks.isin([1, 2]).sum() > 200
    assert blanks.between(3, 8).sum() > 50
    forms = sessions[[*PHQ9, *PCL5, "gad7"]].notna().any(axis=1)
    never = first[~first["patient"].isin(sessions.loc[forms, "patient"])]
    assert (first["phq9"] == "no_score").sum() > 20
    assert set(never["phq9"]) == {"no_score", "no_baseline"}
    assert simulate.sample_path().stat().st_size < 3_000_000


def test_frames_and_file_hold_the_same():
    doses, scores, people = sample().frames()
    assert len(people) == 1200
    assert len(doses) == sample().sessions["dose"].notna().sum()
    assert set(scores["patient"]) <= set(people["patient"])
    table = pd.read_csv(simulate.sample_path(), dtype={"patient": "str"}, parse_dates=["date", "target_date"])
    assert list(table.columns) == list(sample().sessions.columns)
    pd.testing.assert_frame_equal(table, sample().sessions.astype(table.dtypes), check_dtype=False)


def test_reading_the_shipped_file_finds_nothing_wrong():
    cohort = simulate.load_sample()
    assert len(cohort.problems) == 0
    frames = Cohort.from_frames(*sample().frames())
    pd.testing.assert_frame_equal(cohort.doses.drop(columns="weight_kg"), frames.doses)
    pd.testing.assert_frame_equal(cohort.scores, frames.scores)


def test_every_planted_fault_is_found_where_it_is():
    cohort = simulate.load_sample(dirty=True)
    _, faults = simulate.with_faults(simulate.sample_path().read_text("ascii"))
    found = set(zip(cohort.problems["row"], cohort.problems["rule"], strict=True))
    out = faults[faults["action"] == "quarantined"]
    assert set(zip(out["row"], out["rule"], strict=True)) <= found
    # What a written rule puts right is counted by rule.
    counted = cohort.ledger.query("file == 'sessions-dirty.csv'").groupby("reason")["n"].sum()
    changed = faults[faults["action"] == "normalised"]["rule"].value_counts()
    assert (counted[changed.index] == changed).all()


def test_faults_touch_few_rows_each_once():
    text = simulate.sample_path().read_text("ascii")
    dirty, faults = simulate.with_faults(text)
    before, after = text.splitlines(), dirty.splitlines()
    changed = [
        row for row, (one, other) in enumerate(zip(before, after, strict=False), start=1) if one != other
    ]
    changed += range(len(before) + 1, len(after) + 1)
    twins = faults.loc[(faults["rule"] == "C08") & (faults["row"] <= len(before)), "row"]
    assert sorted([*changed, *twins]) == faults["row"].tolist()
    assert len(faults) < 0.01 * len(before)


# A trial in which dose does nothing


@cache
def trial() -> simulate.Trial:
    return simulate.null(patients=40_000, weeks=13)


def judged(one: simulate.Trial, as_of: str | None = None) -> Study:
    return Study(Cohort.from_frames(one.doses, one.scores, one.people), as_of)


def test_the_null_by_hand():
    planted = simulate.planted_rates(12).set_index("week")
    # Each half responds with p, and stays without response with (1 - p) x .96, week after week.
    by_hand = sum(0.5 * p * ((1 - p) * 0.96) ** k for p in (0.25, 0.02) for k in range(12))
    assert planted.loc[12, "all_started"] == pytest.approx(by_hand)
    still_open = [sum(0.5 * ((1 - p) * 0.96) ** week for p in (0.25, 0.02)) for week in range(13)]
    assert (1 - planted["all_started"] - planted["left"]).tolist() == pytest.approx(still_open)


def test_the_biased_figures_of_the_null_and_the_honest_one():
    truth = trial().truth
    reached = truth["reached_day"].notna()
    by = {week: (truth["response_week"] <= week).fillna(False) for week in (4, 12)}
    short = len(truth) ** 0.5
    # The four figures: 52.5 %, 30.8 %, 59.0 %, 99.7 %.
    assert by[12].mean() == pytest.approx(0.525, abs=1.5 / short)
    after_8 = by[12] & reached
    assert after_8.sum() / reached.sum() == pytest.approx(0.308, abs=2 / short)
    inadequate = ~reached & ~by[12]
    assert by[12].sum() / (~inadequate).sum() == pytest.approx(0.590, abs=2 / short)
    assert by[12].sum() / reached.sum() == pytest.approx(0.997, abs=3 / short)
    planted = simulate.planted_rates(12).set_index("week")
    assert planted.loc[8, ["from_arrival", "adequate_only"]].tolist() == pytest.approx(
        [0.308, 0.590], abs=2e-3
    )
    assert planted.loc[12, "over_reached"] == pytest.approx(0.997, abs=3e-3)


@pytest.mark.parametrize("staggered_days", [0, 365])
def test_all_started_is_unbiased_under_the_null(staggered_days):
    one = simulate.null(patients=20_000, weeks=13, staggered_days=staggered_days)
    study_ = judged(one, "2025-09-30" if staggered_days else None)
    table = study_.rates(at="week", criteria="phq9_response50", analysis="nri").set_index("point")
    planted = one.planted.set_index("week")["all_started"]
    for week in (1, 2, 4, 8, 12):
        row = table.loc[str(week)]
        expected = float(planted[week])
        error = (expected * (1 - expected) / row["n"]) ** 0.5
        assert abs(row["rate"] - expected) < 3.5 * error
    assert (table["n"] < 20_000).all() if staggered_days else (table["n"] == 20_000).all()


def test_doses_climb_only_while_there_is_no_response():
    one = simulate.null(patients=300, weeks=13)
    top = one.doses.groupby("patient")["dose"].max()
    truth = one.truth.set_index("patient")
    reached = truth["reached_day"].notna()
    assert ((top >= 90) == reached).all()
    early = truth[(truth["response_week"] <= 4).fillna(False)]
    ladder = {1: 20.0, 2: 40.0, 3: 60.0, 4: 80.0}
    assert (top[early.index] == early["response_week"].map(ladder)).all()


def test_where_dose_matters_nobody_responds_below_the_level():
    one = simulate.dose_matters(patients=5_000, weeks=13)
    assert one.truth["response_week"].min() == 5
    assert one.planted.set_index("week").loc[4, "all_started"] == 0
    answered = (one.truth["response_week"] <= 12).fillna(False).mean()
    assert answered == pytest.approx(one.planted.set_index("week").loc[12, "all_started"], abs=0.025)


# Many sessions


def test_large_is_typed_and_seeded():
    frame = simulate.large(20_000, seed=3)
    assert len(frame) == 20_000
    assert frame["patient"].dtype == np.int64
    assert str(frame["phq9_1"].dtype) == "Int8"
    assert frame["patient"].nunique() == pytest.approx(2_000, rel=0.05)
    assert not frame.duplicated(["patient", "day"]).any()
    assert (frame.groupby("patient")["day"].min() == 0).all()
    assert frame.equals(simulate.large(20_000, seed=3))
    assert not frame.equals(simulate.large(20_000, seed=4))


def test_large_holds_the_same_rows_patient_by_patient():
    mixed = simulate.large(5_000, seed=3)
    apart = simulate.large(5_000, seed=3, interleaved=False)
    assert apart["patient"].is_monotonic_increasing
    assert len(mixed) == len(apart)


def test_large_frames_are_read_without_a_finding():
    frame = simulate.large(20_000)
    cohort = Cohort.from_frames(frame, plan=Plan())
    assert len(cohort.problems) == 0
    assert len(cohort.patients) == frame["patient"].nunique()


def test_the_bytes_of_the_large_frame_are_pinned():
    frame = simulate.large(1_000, seed=1)
    whole = frame.select_dtypes("integer").fillna(-1).to_numpy(dtype=np.int64)
    assert hashlib.sha256(np.ascontiguousarray(whole).tobytes()).hexdigest()[:16] == "779ada23aca4f54a"


# The page about it


def test_the_page_prints_the_planted_rates():
    page = Path(__file__).parents[1].joinpath("docs", "sample-data.md").read_text("utf-8")
    table = sample().planted.query("site == 'all'")
    known = {
        f"| {row.protocol} | {row.axis} {row.point} | `{row.criterion}` | {row.n} "
        f"| {100 * row.latent:.1f} | {100 * row.observed:.1f} | {100 * row.nri:.1f} |"
        for row in table.itertuples()
    }
    printed = [
        line
        for line in page.splitlines()
        if line.startswith(("| iv6 | s", "| im | s", "| esketamine | s", "| home | w"))
    ]
    assert len(printed) == 11
    assert set(printed) <= known
