"""Table 1: by eye, against the package tableone, and by what must hold of counts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes.estimates.balance import standardised_difference, standardised_distance
from ketaoutcomes.plan import PlanError
from ketaoutcomes.results.table_one import EVERYONE, MISSING_LEVEL, Table1, table1

ORACLE = json.loads((Path(__file__).parent / "oracles" / "table1.json").read_text())

NARROW = "\u202f"


def study(people: pd.DataFrame, baseline: list[float | None], **more: object) -> ko.Study:
    """One course each: a dose on day 0 and a baseline on that day."""
    doses = pd.DataFrame(
        {"patient": people["patient"], "day": 0, "dose": 0.5, "unit": "mg/kg", "route": "iv"}
    )
    scores = pd.DataFrame({"patient": people["patient"], "day": 0, "phq9": baseline})
    plan = ko.Plan().replace(**more) if more else ko.Plan()
    return ko.Study(ko.Cohort.from_frames(doses, scores, people, plan=plan))


def oracle() -> Table1:
    given = pd.DataFrame(ORACLE["people"])
    people = pd.DataFrame({"patient": [f"P{i:02}" for i in range(len(given))], **given.drop(columns="phq9")})
    return study(people, given["phq9"].tolist()).table1(by="group", variables=["sex", "band"])


def test_means_spreads_and_quartiles_are_tableones() -> None:
    table = oracle().table
    own = table[table["variable"] == "PHQ-9 at baseline"].set_index("group")
    for name in ("mean", "sd", "q1", "q3"):
        for group, value in ORACLE[name].items():
            assert own.loc[group, name] == pytest.approx(value, rel=1e-12), (name, group)


def test_standardised_differences_are_tableones() -> None:
    found = oracle().differences
    for pair, values in ORACLE["smd"].items():
        one, other = pair.removeprefix("SMD (").removesuffix(")").split(",")
        own = found[(found["group"] == one) & (found["other"] == other)].set_index("variable")["smd"]
        ours = [own["sex"], own["band"], own["PHQ-9 at baseline"]]
        assert [round(abs(value), 3) for value in ours] == [abs(value) for value in values], pair


def test_shares_of_two_groups_by_hand() -> None:
    # 0.6 and 0.5: a difference of 0.1 over the root of (0.24 + 0.25) / 2.
    assert standardised_distance([60, 40], [50, 50]) == pytest.approx(0.1 / np.sqrt(0.245))
    assert standardised_distance([5, 0], [0, 7]) == np.inf
    assert standardised_distance([5, 0, 0], [5, 0, 0]) == 0
    assert np.isnan(standardised_distance([5, np.nan], [1, 2]))
    assert np.isnan(standardised_distance([0, 0], [1, 2]))
    assert standardised_difference(3, 0, 3, 0) == 0
    assert standardised_difference(2, 0, 3, 0) == -np.inf


PEOPLE = pd.DataFrame(
    {
        "patient": ["a", "b", "c", "d", "e"],
        "site": ["N", "N", "S", "S", "S"],
        "sex": ["female", None, "male", "female", "female"],
    }
)


def rows(found: Table1, variable: str) -> dict[tuple[str, str], tuple[float, float]]:
    own = found.table[found.table["variable"] == variable]
    return {(r.level, r.group): (r.n, r.of) for r in own.itertuples(index=False)}


def test_what_is_not_on_record_has_rows_of_its_own_and_no_share_in_others() -> None:
    found = study(PEOPLE, [18, 19, 12, 20, 22]).table1(by="site", variables="sex")
    assert rows(found, "sex") == {
        ("female", EVERYONE): (3, 4), ("female", "N"): (1, 1), ("female", "S"): (2, 3),
        ("male", EVERYONE): (1, 4), ("male", "N"): (0, 1), ("male", "S"): (1, 3),
        (MISSING_LEVEL, EVERYONE): (1, 5), (MISSING_LEVEL, "N"): (1, 2), (MISSING_LEVEL, "S"): (0, 3),
    }  # fmt: skip
    wide = found.wide().set_index("")
    assert wide.loc["Patients"].tolist() == [f"{n} (100{NARROW}%)" for n in (5, 2, 3)] + [""]
    assert wide.loc["sex: male", "N"] == f"0 (0{NARROW}%)"
    assert wide.loc["PHQ-9 at baseline", "N"] == "18.5 (0.7); 18.5 [18.25–18.75]"


def test_only_those_the_plan_judges_and_each_once() -> None:
    found = study(PEOPLE, [18, 19, 9, None, 22]).table1(variables="site")
    assert rows(found, "site") == {("N", EVERYONE): (2, 3), ("S", EVERYONE): (1, 3)}


def test_by_default_every_covariate_but_the_grouping_and_the_records_own_columns() -> None:
    people = PEOPLE.assign(cut_day=100, target_dose=40.0, target_unit="mg", age_band="30-44")
    found = study(people, [18] * 5).table1(by="site")
    variables = list(dict.fromkeys(found.table["variable"]))
    assert variables == [
        "Patients",
        "age_band",
        "route",
        "sex",
        "PHQ-9 at baseline",
        "Sessions of the first series",
    ]


def test_counts_add_and_hidden_counts_stay_hidden() -> None:
    whole = study(PEOPLE, [18, 19, 12, 20, 22])
    parts = [
        study(PEOPLE[at].reset_index(drop=True), score)
        for at, score in ((PEOPLE.index < 2, [18, 19]), (PEOPLE.index >= 2, [12, 20, 22]))
    ]
    added = sum(part.table1_tally(by="site", variables="sex") for part in parts)
    assert added == whole.table1_tally(by="site", variables="sex")
    hidden = added.points.assign(n=added.points["n"].astype(float).where(added.points["state"] != "male"))
    object.__setattr__(added, "points", hidden)
    found = table1(added, whole.plan)
    wide = found.wide().set_index("")
    assert wide.loc["sex: male", "S"] == "hidden"
    assert wide.loc["sex: female", "S"] == "hidden", "its denominator would tell"
    assert np.isnan(found.differences.set_index("variable").loc["sex", "smd"])


def test_a_shuffled_file_gives_the_same_table() -> None:
    order = [3, 1, 4, 0, 2]
    baseline = [18, 19, 12, 20, 22]
    one = study(PEOPLE, baseline).table1(by="site")
    other = study(PEOPLE.iloc[order].reset_index(drop=True), [baseline[i] for i in order]).table1(by="site")
    pd.testing.assert_frame_equal(one.table, other.table)


def test_labels_are_text_in_every_format() -> None:
    people = PEOPLE.assign(sex=["<script>", "a|b", "50%_x", "{{7*7}}", "\\input"])
    found = study(people, [18] * 5).table1(variables="sex")
    assert "<script>" not in found.to_html()
    assert "&lt;script&gt;" in found.to_html()
    assert r"a\|b" in found.to_markdown()
    latex = found.to_latex()
    assert r"50\%\_x" in latex
    assert r"\textbackslash{}input" in latex
    assert r"\{\{7*7\}\}" in latex


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(PlanError, match="shoe_size"):
        study(PEOPLE, [18] * 5).table1(variables="shoe_size")
