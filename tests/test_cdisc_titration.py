"""Real titration: the CDISC pilot trial, read from its SAS transport files, against a table made apart.

Patches of 54 mg, raised to 81 mg after about two weeks in the high-dose arm. The data are CDISC's (sdtm-adam
pilot project) and not part of this package; `derived_adequate_dose.csv` was worked out from `ex.xpt` alone.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pandas as pd
import pytest

import ketaoutcomes as ko

pytest.importorskip("pyreadstat", reason="pyreadstat is not installed: pip install 'ketaoutcomes[sas]'")

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("KETAOUTCOMES_REFERENCE_DATA") or ROOT.parent / "shared" / "data")
TRIAL = DATA / "cdisc-pilot-titration"
PLAN = Path(__file__).parent / "plans" / "cdisc_titration.toml"


@pytest.fixture(scope="module")
def study() -> ko.Study:
    """The trial as the package reads it."""
    if not TRIAL.is_dir():
        pytest.skip("reference data absent: set KETAOUTCOMES_REFERENCE_DATA")
    files = [TRIAL / name for name in ("ex.xpt", "dm.xpt", "adqscibc.xpt")]
    return ko.Study(ko.read(files, ko.read_plan(PLAN)))


@pytest.fixture(scope="module")
def derived(study: ko.Study) -> dict[str, dict[str, str]]:
    """Per person: first dose, first day at 81 mg and days at it, as worked out apart."""
    del study  # absent data skip there
    with (TRIAL / "derived_adequate_dose.csv").open(encoding="utf-8", newline="") as lines:
        return {row["USUBJID"]: row for row in csv.DictReader(lines)}


@pytest.fixture(scope="module")
def table(study: ko.Study) -> pd.DataFrame:
    """Good time with the arm of each person."""
    return study.good_time().merge(study.cohort.people[["patient", "ARM"]], on="patient", validate="1:1")


def test_every_row_of_every_file_is_accounted_for(study: ko.Study) -> None:
    ledger = study.cohort.ledger
    rows = ledger[ledger["table"] == "input"].pivot_table(index="file", columns="outcome", values="n")
    # SOURCE.md: ex 591 rows, dm 306 people, adqscibc 730. 52 were never treated, 168 ratings carried forward.
    assert rows["read"].to_dict() == {"adqscibc.xpt": 730, "dm.xpt": 306, "ex.xpt": 591}
    assert rows["filtered"].dropna().to_dict() == {"adqscibc.xpt": 168, "dm.xpt": 52}
    assert study.cohort.problems.empty


def test_seventy_two_of_eighty_four_reach_81_mg(table: pd.DataFrame) -> None:
    high = table[table["ARM"] == "Xanomeline High Dose"]
    days = high["reached_day"].dropna()
    assert (len(high), len(days)) == (84, 72)
    assert (days.median(), days.min(), days.max()) == (15, 12, 22)
    low = table[table["ARM"] == "Xanomeline Low Dose"]
    assert len(low) == 84
    assert low["reached_day"].isna().all()


def test_each_person_reaches_the_level_on_the_day_worked_out(
    table: pd.DataFrame, derived: dict[str, dict[str, str]]
) -> None:
    found = {row.patient: row.reached_day for row in table.itertuples()}
    expected = {who: row["days_to_81"] for who, row in derived.items() if float(row["max_dose"]) > 0}
    assert {who: "" if pd.isna(day) else str(day) for who, day in found.items()} == expected


def test_each_person_spends_the_days_worked_out_at_the_level(
    table: pd.DataFrame, derived: dict[str, dict[str, str]]
) -> None:
    found = {row.patient: row.adequate_days for row in table.itertuples()}
    known = {who: row for who, row in derived.items() if row["days_at_81_inclusive"]}
    assert {who: found[who] for who in known} == {
        who: int(row["days_at_81_inclusive"]) for who, row in known.items()
    }
    # Two of the 72 have no recorded end of the 81 mg interval: one day is all that is known of it.
    reached = {row.patient for row in table.itertuples() if not pd.isna(row.reached_day)}
    assert len(known) == 70
    assert {found[who] for who in reached - set(known)} == {1}


def test_the_first_and_last_doses_are_the_trials(study: ko.Study, derived: dict[str, dict[str, str]]) -> None:
    people = study.cohort.people.set_index("patient")["start_date"]
    courses = study.courses.set_index("patient")
    assert (courses["course"] == 1).all()
    for who, row in derived.items():
        if who in courses.index and row["last_dose"]:
            start = people[who]
            assert start == pd.Timestamp(row["first_dose"])
            last = start + pd.Timedelta(days=int(courses.loc[who, "last_day"]))
            assert last >= pd.Timestamp(row["last_dose"])


def test_every_treated_person_is_in_exactly_one_status(table: pd.DataFrame) -> None:
    assert table["patient"].is_unique
    never = table[table["reached_day"].isna()]
    assert set(never["status"]) <= {"responded_before", "stopped_before", "titrating"}
    reached = table[table["reached_day"].notna()]
    assert not set(reached["status"]) & {"stopped_before", "titrating", "no_level", "not_comparable"}
