"""Mean scores by visit, against a real trial's own file."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

import ketaoutcomes as ko

HERE = Path(__file__).parent
DATA = Path(os.environ.get("KETAOUTCOMES_REFERENCE_DATA", HERE.parent.parent / "shared" / "data"))
TRIAL = DATA / "antidepressant-hamd17" / "antidepressant_data_rbmi.csv"
WEEKS = {4: "1", 5: "2", 6: "4", 7: "6"}  # of each visit


@pytest.fixture(scope="module")
def trial() -> ko.Study:
    if not TRIAL.exists():
        pytest.skip("the public trial data are not here; KETAOUTCOMES_REFERENCE_DATA names their folder")
    return ko.Study(ko.read(TRIAL, ko.read_plan(HERE / "plans" / "antidepressant.toml")))


@pytest.mark.parametrize(("variable", "column"), [("score", "HAMDTL17"), ("change", "CHANGE")])
def test_means_are_those_of_the_trials_own_file(trial: ko.Study, variable: str, column: str) -> None:
    """The file's change is its own arithmetic; means and deviations of it are pandas'."""
    rows = pd.read_csv(TRIAL)
    rows["point"] = rows["VISIT"].map(WEEKS)
    meant = rows.groupby(["THERAPY", "point"])[column].agg(["count", "mean", "std"])
    table = trial.trajectory(at="week", by="THERAPY", variable=variable)
    found = table[table["axis"] == "week"].set_index(["THERAPY", "point"])
    assert len(found) == len(meant) == 8
    assert found["n"].to_dict() == meant["count"].to_dict()
    assert found["mean"].to_dict() == pytest.approx(meant["mean"].to_dict(), abs=1e-9)
    assert found["sd"].to_dict() == pytest.approx(meant["std"].to_dict(), abs=1e-9)


def test_the_means_of_two_people_by_eye() -> None:
    doses = pd.DataFrame({"patient": ["a", "b"], "day": 0, "dose": 0.5, "route": "iv"})
    scores = pd.DataFrame({"patient": [*"aabb"], "day": [0, 7, 0, 7], "phq9": [20, 10, 14, 12]})
    people = pd.DataFrame({"patient": ["a", "b"], "cut_day": 200})
    study = ko.Study(ko.Cohort.from_frames(doses, scores, people))
    week = study.trajectory(at="week").query("point == '1'").iloc[0]
    assert (week["n"], week["mean"], week["sd"]) == (2, 11.0, pytest.approx(2**0.5))
    assert study.trajectory(at="week", variable="change").query("point == '1'")["mean"].tolist() == [-6.0]


def test_a_variable_that_is_not_counted_is_refused(trial: ko.Study) -> None:
    with pytest.raises(ValueError, match="variable must be one of score, change; got 'total'"):
        trial.trajectory(variable="total")
