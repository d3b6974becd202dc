"""A study's tables of change: small cohorts by eye, a slow reference, and what must hold for any cohort."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from fractions import Fraction
from typing import Any

import pandas as pd
import pytest
import random_cohorts
from reference import Settings
from small_cohorts import Rows, plan_for, study_of

import ketaoutcomes as ko
from ketaoutcomes.counts.tallies import parse_tally
from ketaoutcomes.definitions.change_rules import ChangeError
from ketaoutcomes.disclosure import DisclosureError, protect
from ketaoutcomes.plan import PlanError
from ketaoutcomes.tables import TABLES

CRITERIA = ("phq9_response50", "pcl5_reliable15", "gad7_response50")
SIX = "0 3 7 10 14 17"
COUNTED = ("change", "joint", "values")


def study(rows: Rows, criteria: tuple[str, ...] = CRITERIA, **settings: Any) -> ko.Study:
    """A study of undated rows: complete unless they carry cut days."""
    complete = not any("cut_day" in person for person in rows.people)
    return study_of(rows, plan_for(Settings(**settings), criteria, complete=complete))


def end(baseline: int, score: int | None) -> str:
    """A baseline, and a score two weeks after the sixth dose."""
    return f"-1:{baseline}" + ("" if score is None else f" 31:{score}")


def six() -> Rows:
    """One of each: recovered, improved, crossed within error, unchanged, deteriorated, unscored."""
    rows = Rows()
    for patient, baseline, score in [
        ("a", 20, 9), ("b", 20, 14), ("c", 12, 9), ("d", 12, 12), ("e", 12, 18), ("f", 20, None),
    ]:  # fmt: skip
        rows.add(patient, SIX, phq9=end(baseline, score))
    return rows


def people(table: pd.DataFrame, key: str = "category") -> dict[str, int]:
    """The counts of a table, by one column."""
    return dict(zip(table[key], table["people"].astype(int), strict=True))


def test_one_of_each() -> None:
    of_all = study(six()).change(instruments="phq9", analysis="nri")
    assert people(of_all) == {"recovered": 1, "improved": 1, "unchanged": 2, "deteriorated": 1, "unscored": 1}
    assert set(of_all["n"]) == {6}
    scored = study(six()).change(instruments="phq9", analysis="observed", detail=True)
    assert people(scored) == {
        "recovered": 1, "improved": 1, "improved_from_functional": 0, "unchanged_crossed": 1, "unchanged": 1,
        "deteriorated": 1,
    }  # fmt: skip
    assert set(scored["n"]) == {5}
    # Newcombe 1998, Statistics in Medicine 17:857: Wilson's interval; 1 of 5 by hand .0362 to .6245.
    row = scored[scored["category"] == "recovered"].iloc[0]
    assert (row["rate"], round(row["low"], 4), round(row["high"], 4)) == (0.2, 0.0362, 0.6245)
    assert set(scored["reliable_points"]) == {6.0}
    assert set(scored["cutoff"]) == {10.0}


def test_a_threshold_of_ones_own() -> None:
    found = study(six()).change(instruments="phq9", analysis="observed", reliable=7, cutoff="c")
    assert people(found) == {"recovered": 0, "improved": 1, "unchanged": 4, "deteriorated": 0}


def test_bands_by_eye() -> None:
    found = study(six()).bands(instruments="phq9")
    moved = found[found["people"] > 0].set_index(["band_from", "band_to"])["people"].to_dict()
    assert moved == {
        ("moderate", "mild"): 1, ("moderate", "moderate"): 1, ("moderate", "moderately severe"): 1,
        ("severe", "mild"): 1, ("severe", "moderate"): 1, ("severe", "unscored"): 1,
    }  # fmt: skip
    assert found["people"].sum() == 6
    assert (
        found.groupby("band_from")["people"].sum().to_dict()
        == found.groupby("band_from")["n"].max().to_dict()
    )


def test_what_nobody_has_published_is_a_reason() -> None:
    rows = Rows().add("a", SIX, madrs="-1:30 31:10").add("b", SIX, madrs="-1:0 31:5")
    found = study(rows, ("madrs_response50",))
    table = found.change(analysis="observed")
    assert set(table["reason"]) == {"no_published_reliable_change"}
    assert table["people"].isna().all()
    own = found.change(analysis="observed", reliable=10)
    assert own.set_index("category")["reason"].to_dict() == {
        "recovered": "no_published_cutoff", "improved": "", "unchanged": "", "deteriorated": "",
    }  # fmt: skip
    assert own.set_index("category")["people"].drop("recovered").to_dict() == {
        "improved": 1, "unchanged": 1, "deteriorated": 0,
    }  # fmt: skip
    assert set(own["n"]) == {2}
    assert set(own["best_at_baseline"]) == {1}  # a baseline of zero cannot get better
    assert set(found.effect_sizes().query("standardizer == 'published'")["reason"]) == {"no_published_norm"}
    assert set(found.regression_to_mean()["reason"]) == {"no_published_norm"}
    assert len(found.change(instruments="ybocs")) == 9
    assert found.bands(instruments="pcl5").empty


def test_nobody_at_all() -> None:
    rows = Rows().add("a", SIX, phq9="-1:5")  # below the gate
    table = study(rows).change(instruments="phq9")
    assert set(table["n"]) == {0}
    assert set(table["reason"]) == {"nobody"}
    assert study(rows).effect_sizes(instruments="phq9").empty
    assert study(rows).regression_to_mean(instruments="phq9").empty
    joint = study(rows).joint("phq9_response50", "pcl5_reliable15")
    assert set(joint["reason"]) == {"nobody"}


def test_without_a_last_day_on_record_only_those_scored_are_given() -> None:
    found = study_of(six(), plan_for(Settings(), CRITERIA))
    table = found.change(instruments="phq9")
    assert set(table.loc[table["analysis"] == "nri", "reason"]) == {"no_cut_day"}
    assert people(table[table["analysis"] == "observed"])["recovered"] == 1
    assert "unscored" not in set(found.bands(instruments="phq9")["band_to"])
    assert set(found.joint("phq9_response50", "pcl5_resp50", analysis="nri")["reason"]) == {"no_cut_day"}


# --- the joint table ---------------------------------------------------------------------------------------


def test_joint_response_by_eye() -> None:
    rows = (
        Rows()
        .add("both", SIX, phq9=end(20, 10), pcl5=end(50, 35))
        .add("depression", SIX, phq9=end(20, 10), pcl5=end(50, 36))
        .add("trauma", SIX, phq9=end(20, 11), pcl5=end(50, 35))
        .add("neither", SIX, phq9=end(20, 11), pcl5=end(50, 36))
        .add("half", SIX, phq9=end(20, 10), pcl5=end(50, None))
        .add("lost", SIX, phq9=end(20, None), pcl5=end(50, None))
        .add("one", SIX, phq9=end(20, 10))  # no PCL-5 baseline: not eligible for both
    )
    found = study(rows)
    of_all = found.joint("phq9_response50", "pcl5_reliable15", analysis="nri")
    assert people(of_all, "met") == {"both": 1, "first_only": 2, "second_only": 1, "neither": 2}
    assert set(of_all["n"]) == {6}
    scored = found.joint("phq9_response50", "pcl5_reliable15", analysis="observed")
    assert people(scored, "met") == {"both": 1, "first_only": 1, "second_only": 1, "neither": 1}


def test_joint_response_is_of_the_first_course_eligible_for_both() -> None:
    later = " ".join(str(200 + int(day)) for day in SIX.split())
    rows = Rows().add(
        "a", f"{SIX} {later}", phq9="-1:20 31:20 199:20 231:5", pcl5="199:50 231:20"
    )  # fmt: skip
    found = study(rows)
    # On the PHQ-9 alone the first course counts, a failure; with the PCL-5 it is the second, a success.
    assert found.rates(at="end", criteria="phq9_response50", analysis="nri")["met"].tolist() == [0]
    joint = found.joint("phq9_response50", "pcl5_reliable15", analysis="nri")
    assert people(joint, "met") == {"both": 1, "first_only": 0, "second_only": 0, "neither": 0}


def test_a_pair_is_of_two_instruments() -> None:
    for first, second in [("phq9_response50", "phq9_remission_lt5"), ("phq9_mcid5", "phq9_mcid5")]:
        with pytest.raises(ChangeError, match="two instruments"):
            study(six()).joint(first, second)
    with pytest.raises(ValueError, match="at must be one or more of session, week, end"):
        study(six()).change(at="month")
    with pytest.raises(ValueError, match="analysis must be one or both of nri, observed"):
        study(six()).change(analysis="locf")
    with pytest.raises(ValueError, match="analysis must be one or both of nri, observed"):
        study(six()).joint(*CRITERIA[:2], analysis=["nri", "locf"])


# --- a slow reference --------------------------------------------------------------------------------------


def slow_category(baseline: float, score: float) -> str:
    """The PHQ-9's published rule, in fractions, written for reading."""
    before, after = (Fraction(x).limit_denominator(56) for x in (baseline, score))
    if after - before >= 6:
        return "deteriorated"
    if before - after >= 6:
        return (
            "recovered"
            if before >= 10 > after
            else "improved"
            if before >= 10
            else "improved_from_functional"
        )
    return "unchanged_crossed" if before >= 10 > after else "unchanged"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("axis", ["session", "week", "end"])
def test_counts_are_those_of_the_rows(seed: int, axis: str) -> None:
    """Every category, band mean and effect size once more, from the row-level tables."""
    found = study(random_cohorts.rows(seed, 60, cut=True), gate={"phq9": 5})
    points = found.points(at=axis, criteria="phq9_response50")
    rows = points.merge(found.baselines.query("instrument == 'phq9'"), on=["patient", "course", "instrument"])
    rows = rows.merge(found.courses[["patient", "course", "protocol"]], on=["patient", "course"])
    by = ["protocol"] if axis == "session" else []
    scored = rows[rows["state"].isin(["met", "not_met"])]
    want = Counter(
        (*(row[column] for column in by), row["point"], slow_category(row["baseline"], row["score"]))
        for row in scored.to_dict("records")
    )
    table = found.change(at=axis, instruments="phq9", analysis="observed", detail=True)
    keys = [*by, "point", "category"]
    assert dict(want) == table[table["people"] > 0].set_index(keys)["people"].astype(int).to_dict()
    due = rows[~rows["state"].isin(["not_due"])].groupby([*by, "point"]).size()
    of_all = found.change(at=axis, instruments="phq9", analysis="nri").dropna(subset="n")
    added = of_all.groupby([*by, "point"]).agg(people=("people", "sum"), n=("n", "max"))
    assert added["people"].tolist() == added["n"].tolist()
    assert {key: n for key, n in added["n"].items() if n} == due.astype(float).to_dict()
    _check_effect_sizes(found, scored, axis, by)


def _check_effect_sizes(found: ko.Study, scored: pd.DataFrame, axis: str, by: list[str]) -> None:
    sizes = found.effect_sizes(at=axis, instruments="phq9").set_index([*by, "point", "standardizer"])
    regression = found.regression_to_mean(at=axis, instruments="phq9").set_index([*by, "point", "stratum"])
    for key, own in scored.groupby([*by, "point"]):
        before, after = own["baseline"].tolist(), own["score"].tolist()
        apart = [b - a for a, b in zip(before, after, strict=True)]
        key = key if isinstance(key, tuple) else (key,)
        row, beside = sizes.loc[(*key, "published")], regression.loc[(*key, "all")]
        assert row["n"] == beside["n"] == len(own)
        assert row["mean_change"] == pytest.approx(statistics.fmean(apart))
        assert row["d"] == pytest.approx(-statistics.fmean(apart) / 6.1)
        assert beside["mean_change"] == pytest.approx(statistics.fmean(apart))
        assert beside["expected"] == pytest.approx(-0.16 * (statistics.fmean(before) - 17.1))
        if len(own) > 2 and len(set(before)) > 1 and len(set(after)) > 1:
            assert row["sd_change"] == pytest.approx(statistics.stdev(apart))
            row = sizes.loc[(*key, "baseline")]
            assert row["sd"] == pytest.approx(statistics.stdev(before))
            assert row["correlation"] == pytest.approx(statistics.correlation(before, after))
        strata = regression.loc[key] if by else regression.loc[key[0]]
        severe = [b for b in before if b >= 20]
        assert strata["n"].get("severe", 0) == len(severe)
        if severe:
            assert strata["mean_baseline"]["severe"] == pytest.approx(statistics.fmean(severe))


def test_where_nothing_works_the_change_is_regression_to_the_mean() -> None:
    """Planted truth: true scores that never move, error that does, and a gate at the population's mean."""
    rng = random.Random(4)
    rows = Rows()
    for number in range(1500):
        true = rng.gauss(45, 12 * 0.8**0.5)
        first, last = (min(80, max(0, round(true + rng.gauss(0, 12 * 0.2**0.5)))) for _ in range(2))
        rows.add(f"P{number}", SIX, pcl5=end(first, last))
    found = study(rows, ("pcl5_reliable15",), gate={"pcl5": 45})
    table = found.regression_to_mean(population=(45, 12), retest=0.8)
    (row,) = table.to_dict("records")
    error = 12 * (2 * 0.2) ** 0.5 / row["n"] ** 0.5
    assert 600 < row["n"] < 900
    assert row["mean_change"] == pytest.approx(row["expected"], abs=3 * error)
    # A gate on whole points lets in from 44.5: half a point that the continuous formula does not know.
    assert row["expected_at_gate"] == pytest.approx(-12 * 0.2 * (2 / 3.14159265) ** 0.5, abs=1e-3)
    assert row["expected"] == pytest.approx(row["expected_at_gate"], abs=0.15)
    d = found.effect_sizes(population=(45, 12)).set_index("standardizer")["d"]
    assert d["published"] == pytest.approx(-row["mean_change"] / 12)
    assert d["published"] > 0.1  # an "effect" of nothing at all


# --- what must hold for any cohort -------------------------------------------------------------------------


def counted(rows: Rows, **options: Any) -> ko.Tally:
    """Everything this file is about, counted."""
    return study(rows).tally(tables=COUNTED, at=("week", "end", "session"), **options)


@pytest.mark.parametrize("seed", [3, 8])
@pytest.mark.parametrize("by", [None, "site"])
def test_a_cohort_split_by_patient_adds_back_exactly(seed: int, by: str | None) -> None:
    rows = random_cohorts.rows(seed, 40, cut=True)
    part_of = {f"P{number:03d}": random.Random(seed + number).randrange(3) for number in range(40)}
    parts = [
        Rows(
            *([row for row in part if part_of[row["patient"]] == k]
              for part in (rows.doses, rows.scores, rows.people))
        )
        for k in range(3)
    ]  # fmt: skip
    whole = counted(rows, by=by)
    assert sum(counted(part, by=by) for part in parts).to_json() == whole.to_json()  # type: ignore[union-attr]
    assert parse_tally(whole.to_json()) == whole


def test_the_order_of_rows_and_the_calendar_carry_no_meaning() -> None:
    rows = random_cohorts.rows(5, 40)
    shuffled = Rows(
        *(random.Random(1).sample(part, len(part)) for part in (rows.doses, rows.scores, rows.people))
    )
    later = Rows(
        *([{**row, "day": row["day"] + 400} if "day" in row else row for row in part]
          for part in (rows.doses, rows.scores, rows.people))
    )  # fmt: skip
    tables = [
        (found.change(at=("week", "end")), found.joint(*CRITERIA[:2]), found.effect_sizes(),
         found.regression_to_mean(), found.bands())
        for found in map(study, (rows, shuffled, later))
    ]  # fmt: skip
    for others in tables[1:]:
        for one, other in zip(tables[0], others, strict=True):
            pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize("axis", ["session", "week", "end"])
def test_categories_are_what_the_criteria_of_their_families_say(axis: str) -> None:
    """The same people by another road: rates of the named criteria."""
    found = study(random_cohorts.rows(9, 80, cut=True))
    for instrument, better, both, worse in [
        ("phq9", "reliable6", "csc_lt10", "deterioration"),
        ("gad7", "reliable4", "csc_lt8", "deterioration4"),
        ("pcl5", "reliable15", "csc28", "deterioration15"),
    ]:
        by = ["protocol", "point"] if axis == "session" else ["point"]
        names = [f"{instrument}_{short}" for short in (better, both, worse)]
        rates = found.rates(at=axis, criteria=names, analysis="observed").dropna(subset="n")
        met = rates.pivot(index=by, columns="criterion", values="met")[names].astype(float)
        table = found.change(at=axis, instruments=instrument, analysis="observed").dropna(subset="n")
        counts = table.pivot(index=by, columns="category", values="people")
        assert met[names[0]].sum() > 0
        assert (counts["recovered"] + counts["improved"]).to_dict() == met[names[0]].to_dict()
        assert counts["recovered"].to_dict() == met[names[1]].to_dict()
        assert counts["deteriorated"].to_dict() == met[names[2]].to_dict()


def test_groups_add_up_to_the_whole() -> None:
    found = study(random_cohorts.rows(7, 60, cut=True))
    for one, other, keys in [
        (found.change(), found.change(by="site"), ["instrument", "analysis", "category"]),
        (found.bands(), found.bands(by="site"), ["instrument", "band_from", "band_to"]),
        (
            found.joint(*CRITERIA[:2]),
            found.joint(*CRITERIA[:2], by="site"),
            ["analysis", "met"],
        ),
    ]:
        assert one.groupby(keys)["people"].sum().to_dict() == other.groupby(keys)["people"].sum().to_dict()


def test_tables_have_the_columns_they_are_declared_with() -> None:
    rows = six().add("g", SIX, phq9=end(20, 10), pcl5=end(50, 35))
    found = study(rows, ("phq9_response50", "pcl5_reliable15"))
    for name, table in {
        "change": found.change(by="protocol"), "bands": found.bands(by="protocol"),
        "joint": found.joint(*CRITERIA[:2], by="protocol"), "effect_sizes": found.effect_sizes(by="protocol"),
        "regression_to_mean": found.regression_to_mean(by="protocol"),
    }.items():  # fmt: skip
        assert tuple(table.columns) == ("protocol", *TABLES[name].names)
        assert len(table)
        for column in TABLES[name].columns:
            blank = (table[column.name] == "") | table[column.name].isna()
            assert column.nullable or not blank.any(), column.name


def test_a_grouping_may_not_be_called_what_a_result_is() -> None:
    rows = Rows().add("a", SIX, {"stratum": "x"}, phq9=end(20, 9))
    with pytest.raises(PlanError, match="names a column of the results"):
        study(rows).regression_to_mean(by="stratum")


def test_tallies_of_other_thresholds_do_not_add() -> None:
    found = study(six())
    options: dict[str, Any] = {"at": "end", "criteria": "phq9_response50", "tables": ("change",)}
    with pytest.raises(ValueError, match="counted differently and do not add: change"):
        found.tally(**options) + found.tally(**options, change={"reliable": 5})


def test_joint_counts_are_not_protected_yet_and_say_so() -> None:
    found = study(six().add("g", SIX, phq9=end(20, 10), pcl5=end(50, 35)))
    with pytest.raises(DisclosureError, match="cannot be protected yet"):
        protect([found.tally(at="end", criteria=list(CRITERIA), tables=("joint",))])
