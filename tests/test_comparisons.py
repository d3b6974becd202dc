"""Groups set beside each other: differences by hand, Newcombe's printed intervals, what is said of them."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_cohorts import Rows, dose_frame, people_frame, wide_scores

import ketaoutcomes as ko
from ketaoutcomes.counts.tallies import Header, Tally, make
from ketaoutcomes.definitions import load
from ketaoutcomes.disclosure import protect
from ketaoutcomes.plan import PlanError
from ketaoutcomes.results.comparisons import compare

PUBLIC = Path(os.environ.get("KETAOUTCOMES_REFERENCE_DATA", "../shared/data")) / "proportion-ci-reference"
PLAN = ko.Plan(
    columns={"covariates": ("benzodiazepine", "lamotrigine")},
    population={"complete": True},
    criteria={"primary": ("phq9_response50",), "also": ()},
)
RESPONDED, NOT = "0:20 20:8", "0:20 20:16"  # one dose on day 0; the score of day 20 is the end score


def counted(*groups: tuple[str, int, int], by: str = "site") -> Tally:
    """A Tally of end states: (group, met, n)."""
    rows = []
    for group, met, n in groups:
        key = ("phq9", "phq9_response50", "current", "end", "end", "yes")
        rows += [(*key, "met", group, met), (*key, "not_met", group, n - met)]
    columns = ["instrument", "criterion", "kind", "axis", "point", "given", "state", by, "n"]
    table = pd.DataFrame([row for row in rows if row[-1]], columns=columns)
    header = Header(
        plan=PLAN.canonical(), plan_hash=PLAN.hash, as_of="complete", by=(by,), axes=("end",),
        criteria=("phq9_response50",), kinds=("current",),
    )  # fmt: skip
    return make(header, {"points": [table]})


def study(*people: tuple[str, dict[str, object]]) -> ko.Study:
    rows = Rows()
    for number, (scores, person) in enumerate(people):
        rows.add(f"p{number}", "0", person, phq9=scores)
    return ko.Study(ko.Cohort.from_frames(dose_frame(rows), wide_scores(rows), people_frame(rows), plan=PLAN))


def row(table: pd.DataFrame, column: str, group: str) -> pd.Series:
    found = table[table[column] == group]
    assert len(found) == 1
    return found.iloc[0]


def test_a_difference_by_eye():
    found = compare(counted(("North", 56, 70), ("South", 48, 80)), by="site", reference="South")
    north = row(found.table, "site", "North")
    # Newcombe 1998, Statistics in Medicine 17:873, table II, first row, method 10.
    assert (north["difference"], north["diff_low"], north["diff_high"]) == pytest.approx(
        (0.2, 0.0524, 0.3339), abs=5e-5
    )
    assert np.isnan(row(found.table, "site", "South")["difference"])
    assert found.comparisons == 1


def test_every_row_that_newcombe_printed():
    path = PUBLIC / "newcombe1998_tableII_method10.csv"
    if not path.exists():
        pytest.skip("the public tables are not here; set KETAOUTCOMES_REFERENCE_DATA")
    with path.open(encoding="utf-8") as file:
        printed = list(csv.DictReader(file))
    assert len(printed) == 8
    for one in printed:
        met1, n1, met2, n2 = (int(one[name]) for name in ("x1", "n1", "x2", "n2"))
        table = compare(counted(("a", met1, n1), ("b", met2, n2)), by="site", reference="b").table
        found = row(table, "site", "a")
        assert found["diff_low"] == pytest.approx(float(one["lower_printed"]), abs=5e-5)
        assert found["diff_high"] == pytest.approx(float(one["upper_printed"]), abs=5e-5)


def test_the_largest_group_is_the_reference_unless_one_is_named():
    tally = counted(("A", 1, 10), ("B", 9, 30), ("C", 9, 30))
    assert compare(tally, by="site").reference == "B"  # of two as large, the first by name
    assert compare(tally, by="site", reference="A").reference == "A"
    with pytest.raises(ValueError, match="one of the 3 groups") as refused:
        compare(tally, by="site", reference="D")
    assert "'B'" not in str(refused.value)  # no label of the data in an error


def test_a_blank_is_an_unknown_group_and_never_a_no():
    found = study(
        (RESPONDED, {"benzodiazepine": "no"}), (NOT, {"benzodiazepine": "no"}),
        (NOT, {"benzodiazepine": "yes"}), (RESPONDED, {"benzodiazepine": None}),
        (RESPONDED, {"benzodiazepine": None}), (RESPONDED, {"benzodiazepine": None}),
    ).compare(by="benzodiazepine", criterion="phq9_response50")  # fmt: skip
    assert found.reference == "no"  # not the largest group: nobody knows what that took
    assert list(found.table["benzodiazepine"]) == ["no", "yes", "(missing)"]
    assert row(found.table, "benzodiazepine", "no")["n"] == 2
    unknown = row(found.table, "benzodiazepine", "(missing)")
    assert (unknown["n"], unknown["rate"], unknown["reason"]) == (3, 1.0, "unknown_group")
    assert np.isnan(unknown["difference"])
    assert found.comparisons == 1


@pytest.mark.parametrize(("none", "some"), [("No", "Yes"), (False, True)])
def test_taking_none_is_the_reference_however_it_is_written(none, some):
    takers = [(NOT, {"benzodiazepine": some})] * 2
    found = study((RESPONDED, {"benzodiazepine": none}), *takers).compare(
        by="benzodiazepine", criterion="phq9_response50"
    )
    assert found.reference == str(none)  # not the larger group
    assert row(found.table, "benzodiazepine", str(some))["difference"] == -1


def test_how_many_were_scored_stands_beside_each_group():
    unscored = "0:20"
    found = study((RESPONDED, {"site": "A"}), (NOT, {"site": "A"}), (unscored, {"site": "B"})).compare(
        by="site", criterion="phq9_response50", analysis=["nri", "observed"]
    )
    counts = found.table[["analysis", "site", "n", "assessed", "met"]].to_numpy().tolist()
    assert counts == [
        ["nri", "A", 2, 2, 1], ["nri", "B", 1, 0, 0],  # B scored nobody: its 0 % is of measurement
        ["observed", "A", 2, 2, 1], ["observed", "B", 0, 0, 0],
    ]  # fmt: skip


def test_one_column_is_compared():
    with pytest.raises(ValueError, match="within="):
        study((RESPONDED, {"site": "A"})).compare(by=["site", "route"])


def test_the_warning_counts_the_differences_and_says_what_is_known():
    three = compare(counted(*((site, 5, 20) for site in "ABCDE")), by="site")
    assert three.comparisons == 4
    assert "4 differences, each interval at 95 %" in three.warning
    assert "about 0.2 of them" in three.warning  # 4 x 0.05
    assert "level=0.9875" in three.warning  # 1 - 0.05 / 4
    assert "by lot" in three.warning
    known = compare(counted(("no", 5, 20), ("yes", 5, 20), by="lamotrigine"), by="lamotrigine").warning
    assert "may blunt" in known
    assert "not a no" in known
    assert "No difference" in compare(counted(("A", 5, 20)), by="site").warning


def test_severity_bands_stand_from_mild_to_severe_and_prorated_scores_in_the_milder():
    people = [("0:12 20:5", {}), ("0:16 20:15", {}), ("0:24 20:10", {}), ("0:20 20:19", {})]
    found = study(*people).compare(by="baseline_band", criterion="phq9_response50")
    assert found.by == "phq9_baseline_band"
    assert list(found.table["phq9_baseline_band"]) == ["moderate", "moderately severe", "severe"]
    assert list(found.table["n"]) == [1, 1, 2]
    assert list(found.table["met"]) == [1, 0, 1]
    assert found.reference == "severe"


def test_dose_bands_stand_from_low_to_high_about_those_who_take_none():
    groups = [
        ("up to 8 mg", 9, 30),
        ("over 8 mg", 5, 30),
        ("none", 8, 20),
        ("some", 3, 10),
        ("(missing)", 9, 40),
    ]
    found = compare(counted(*groups, by="benzodiazepine_band"), by="benzodiazepine_band")
    assert found.reference == "none"
    assert list(found.table["benzodiazepine_band"]) == [
        "none", "up to 8 mg", "over 8 mg", "some", "(missing)",
    ]  # fmt: skip
    assert found.comparisons == 3


def test_an_instrument_without_bands_has_none():
    with pytest.raises(PlanError, match="pcl5 has no published severity bands"):
        study((RESPONDED, {})).compare(by="pcl5_baseline_band")
    with pytest.raises(PlanError, match="did you mean 'phq9'"):
        study((RESPONDED, {})).tally(by="phq_baseline_band")
    with pytest.raises(ValueError, match="one instrument's"):
        ko.Study(ko.load_sample()).compare(by="baseline_band")


def test_sessions_of_different_protocols_are_not_compared():
    with pytest.raises(ValueError, match="session of its protocol"):
        study((RESPONDED, {})).compare(by="protocol", at="session")
    with pytest.raises(ValueError, match="not grouped by 'route'"):
        compare(counted(("A", 5, 20)), by="route")


def test_within_strata_only_like_is_set_beside_like():
    people = [
        (RESPONDED, {"benzodiazepine": "no", "lamotrigine": "no"}),
        (NOT, {"benzodiazepine": "yes", "lamotrigine": "no"}),
        (NOT, {"benzodiazepine": "yes", "lamotrigine": "yes"}),
    ]
    found = study(*people).compare(by="benzodiazepine", within="lamotrigine")
    reasons = dict(
        zip(zip(found.table["lamotrigine"], found.table["benzodiazepine"], strict=True),
            found.table["reason"], strict=True)
    )  # fmt: skip
    assert reasons == {("no", "no"): "", ("no", "yes"): "", ("yes", "yes"): "no_reference"}
    assert found.comparisons == 1


def test_html_is_escaped_and_text_holds_the_warning():
    found = compare(counted(("<b>", 3, 20), ("x", 3, 20)), by="site")
    assert "<b>" not in found._repr_html_()
    assert "&lt;b&gt;" in found._repr_html_()
    assert found.warning in repr(found)


def test_what_is_hidden_stays_hidden():
    (shown,) = protect([counted(("A", 40, 80), ("B", 2, 60), ("C", 30, 70))])
    table = compare(shown, by="site", reference="A").table
    assert row(table, "site", "B")["reason"] == "hidden"
    assert np.isnan(row(table, "site", "B")["difference"])
    assert row(table, "site", "A")["rate"] == 0.5


def test_rows_in_any_order_and_parts_added_give_the_same_table():
    sample = ko.load_sample()
    whole = ko.Study(sample, "2026-10-31").tally(by="phq9_baseline_band", at="end", tables=("points",))
    parts = []
    for even in (0, 1):
        people = sample.people.iloc[even::2][::-1]
        own = [
            frame[frame["patient"].isin(people["patient"])].copy() for frame in (sample.doses, sample.scores)
        ]
        start = people.set_index("patient")["start_date"]
        for frame in own:
            frame["date"] = frame["patient"].map(start) + pd.to_timedelta(frame.pop("day"), unit="D")
        keep = ["patient", "sex", "age_band", "prior_ketamine", "benzodiazepine", "lamotrigine"]
        scores = own[1][["patient", "date", "instrument", "timing", "score"]]
        cohort = ko.Cohort.from_frames(own[0], scores, people[keep], plan=sample.plan)
        parts.append(
            ko.Study(cohort, "2026-10-31").tally(by="phq9_baseline_band", at="end", tables=("points",))
        )
    pd.testing.assert_frame_equal(sum(parts).points, whole.points)


@pytest.mark.parametrize("name", list(load().concomitants))
def test_every_treatment_says_how_sure_and_by_whom(name):
    one = load().concomitants[name]
    assert one.evidence
    assert one.sure
    assert any(letter.isdigit() for letter in one.cite) or "preprint" in one.cite
    assert not {"should", "recommend"} & set(one.words.lower().split())
