"""Two real trials, from the file as published to the known answers, through Python and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import ketaoutcomes as ko

HERE = Path(__file__).parent
DATA = Path(os.environ.get("KETAOUTCOMES_REFERENCE_DATA", HERE.parent.parent / "shared" / "data"))
PLANS = HERE / "plans"

TRIAL = DATA / "antidepressant-hamd17" / "antidepressant_data_rbmi.csv"
ESKETAMINE = DATA / "esketamine-adolescents" / "Dataset.csv"
CRITERIA = {"response50": "hamd17_trial_response50", "remission_le7": "hamd17_trial_remission_le7"}
VISITS = {"visit4": "1", "visit5": "2", "visit6": "4", "visit7": "6"}  # which week each visit is

pytestmark = pytest.mark.skipif(
    not TRIAL.exists() or not ESKETAMINE.exists(),
    reason="the public trial data are not here; KETAOUTCOMES_REFERENCE_DATA names their folder",
)


def trial() -> ko.Study:
    """The antidepressant trial."""
    return ko.Study(ko.read(TRIAL, ko.read_plan(PLANS / "antidepressant.toml")))


def cell(table: pd.DataFrame, arm: str, criterion: str, analysis: str, week: str) -> dict[str, Any]:
    """One row of a table of rates."""
    chosen = table[
        (table["THERAPY"] == arm)
        & (table["criterion"] == criterion)
        & (table["analysis"] == analysis)
        & (table["point"] == week)
    ]
    assert len(chosen) == 1
    found: dict[str, Any] = chosen.iloc[0].to_dict()
    return found


def expected_cells() -> list[tuple[str, str, str, str, dict[str, Any]]]:
    """Every printed answer: arm, criterion, analysis, week, and what was printed."""
    printed = json.loads((TRIAL.parent / "reference.json").read_text(encoding="utf-8"))
    cells = []
    for name, block in printed.items():
        arm, _, what = name.partition(":")
        if what == "locf":
            cells += [(arm, CRITERIA[short], "locf", "6", block[short]) for short in CRITERIA]
        elif what:
            week = VISITS[what]
            cells += [
                (arm, CRITERIA[short], "observed", week, block["observed"][short]) for short in CRITERIA
            ]
            cells.append((arm, CRITERIA["response50"], "nri", week, block["nri_response50"]))
    return cells


def test_every_patient_and_row_of_the_trial_is_read() -> None:
    study = trial()
    assert len(study.cohort.people) == 172
    assert study.cohort.problems.empty
    ledger = study.cohort.ledger
    assert ledger.loc[(ledger["table"] == "input") & (ledger["outcome"] == "read"), "n"].tolist() == [608]
    assert (study.baselines["reason"] == "eligible").all()


# The trial's reference values: of those scored, of those randomised, and with the last score carried forward.
@pytest.mark.parametrize(("analysis", "met", "n"), [("observed", 29, 64), ("nri", 29, 84), ("locf", 33, 84)])
def test_the_drug_arms_last_visit(analysis: str, met: int, n: int) -> None:
    table = trial().rates(at="week", by="THERAPY", analysis=analysis)
    found = cell(table, "DRUG", CRITERIA["response50"], analysis, "6")
    assert (found["met"], found["n"]) == (met, n)


@pytest.mark.parametrize(("interval", "name"), [("wilson", "wilson"), ("exact", "clopper_pearson")])
def test_every_printed_answer_is_reproduced(interval: str, name: str) -> None:
    cells = expected_cells()
    assert len(cells) == 28  # 2 arms: 4 visits with 3 cells each, and 2 carried forward
    analyses = ["nri", "observed", "locf"]
    table = trial().rates(at="week", by="THERAPY", analysis=analyses, interval=interval)
    for arm, criterion, analysis, week, printed in cells:
        found = cell(table, arm, criterion, analysis, week)
        assert (found["met"], found["n"]) == (printed["x"], printed["n"])
        assert found["rate"] == pytest.approx(printed["p"], abs=1e-12)
        assert (found["low"], found["high"]) == pytest.approx(printed[name], abs=1e-9)


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    code = "import sys; from ketaoutcomes.cli import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    call = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(call, capture_output=True, text=True, check=False, env=environment)


def test_the_trial_through_the_command_line(tmp_path: Path) -> None:
    out = tmp_path / "report"
    done = command("report", TRIAL, "--plan", PLANS / "antidepressant.toml", "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    table = json.loads((out / "results.json").read_text(encoding="utf-8"))["tables"]["rates_week"]
    rates = pd.DataFrame(table["rows"], columns=table["columns"])
    last = rates[(rates["point"].astype(str) == "6") & (rates["criterion"] == CRITERIA["response50"])]
    counts = last.set_index("analysis")[["met", "n"]].astype(int)
    assert counts.loc["nri"].tolist() == [29 + 20, 84 + 88]  # both arms together
    assert counts.loc["observed"].tolist() == [29 + 20, 64 + 65]
    assert "HAM-D17" in (out / "report.html").read_text(encoding="utf-8")


def test_a_latin_1_header_is_refused_with_the_line_to_write(tmp_path: Path) -> None:
    out = tmp_path / "report"
    done = command("report", ESKETAMINE, "--out", out)
    assert done.returncode == 3
    assert 'encoding = "latin-1"' in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("criterion", "name"), [("madrs_response50", "response50"), ("madrs_remission_le10", "remission_le10")]
)
def test_the_esketamine_file_gives_its_printed_answers(criterion: str, name: str) -> None:
    printed = json.loads((ESKETAMINE.parent / "reference.json").read_text(encoding="utf-8"))[name]
    study = ko.Study(ko.read(ESKETAMINE, ko.read_plan(PLANS / "esketamine_adolescents.toml")))
    found = study.rates(at="session", criteria=criterion, analysis="nri").iloc[0]
    assert (found["point"], found["met"], found["n"]) == ("1", printed["x"], printed["n"])
    assert (found["low"], found["high"]) == pytest.approx(printed["wilson"], abs=1e-9)


def test_the_esketamine_file_gives_its_printed_means() -> None:
    printed = json.loads((ESKETAMINE.parent / "reference.json").read_text(encoding="utf-8"))
    study = ko.Study(ko.read(ESKETAMINE, ko.read_plan(PLANS / "esketamine_adolescents.toml")))
    assert study.baselines["baseline"].mean() == pytest.approx(printed["mean_baseline"])
    assert study.outcomes["score"].mean() == pytest.approx(printed["mean_post"])
    assert -study.outcomes["change"].mean() == pytest.approx(printed["mean_change"])


def test_ten_people_stay_hidden_in_a_shared_report(tmp_path: Path) -> None:
    out = tmp_path / "report"
    done = command("report", ESKETAMINE, "--plan", PLANS / "esketamine_adolescents.toml", "--out", out)
    assert done.returncode == 0, done.stderr
    table = json.loads((out / "results.json").read_text(encoding="utf-8"))["tables"]["rates_session"]
    rates = pd.DataFrame(table["rows"], columns=table["columns"])
    assert rates[["met", "n", "rate", "low", "high"]].isna().all(axis=None)
    for analysis in ("nri", "observed"):
        assert set(rates.loc[rates["analysis"] == analysis, "reason"]) == {"hidden"}
