"""What a plan says and a file shows: each case was once read in silence, or refused without need."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from intake_files import HEADER, plan_of, read_bytes, table
from reference import Settings
from small_cohorts import Rows, plan_for, study_of

import ketaoutcomes as ko
from ketaoutcomes.cli import main
from ketaoutcomes.plan import Plan, PlanError, parse_plan

WIDE = table("a,0,35,mg,iv,18,f", "a,3,35,mg,iv,12,f", "b,0,35,mg,iv,20,m", header=f"{HEADER},sex")

# [[columns.people]] once read nothing but what it listed, and the covariates were gone without a word.


def people(folder: Path, columns: str) -> list[list[object]]:
    """Each person with their sex, as read."""
    cohort = read_bytes(folder, WIDE, columns).cohort
    assert cohort is not None
    return cohort.people[["patient", "sex"]].to_numpy().tolist()


def test_covariates_reach_a_table_of_people_of_its_own(tmp_path: Path) -> None:
    listed = '[[columns.people]]\npatient = "patient"'
    assert people(tmp_path, f'covariates = ["sex"]\n{listed}') == [["a", "f"], ["b", "m"]]
    assert people(tmp_path, 'covariates = ["sex"]') == [["a", "f"], ["b", "m"]]
    own = f'{listed}\nsex = {{ from = "sex", map = {{ f = "woman", m = "man" }} }}'
    assert people(tmp_path, f'covariates = ["sex"]\n{own}') == [["a", "woman"], ["b", "man"]]


# One blank cut_day once turned all of them off.

SESSIONS = "0 3 7 10 14 17"


def cut(*days: int | None) -> Rows:
    """One course for each cut day."""
    rows = Rows()
    for number, day in enumerate(days):
        rows.add(f"P{number}", SESSIONS, {} if day is None else {"cut_day": day}, phq9="0:20 31:8")
    return rows


def test_some_blank_cut_days_are_refused_and_counted() -> None:
    plan = plan_for(Settings(), ["phq9_response50"])
    with pytest.raises(PlanError, match=r"blank for 2 of 5 with records.*complete = true"):
        study_of(cut(100, None, 100, None, 30), plan)
    rate = study_of(cut(100, 100, 30), plan).rates(at="end", analysis="nri").iloc[0]
    assert (rate["met"], rate["due"]) == (2, 2)
    none = study_of(cut(None, None), plan).rates(at="end", analysis="nri").iloc[0]
    assert none["reason"] == "no_cut_day"
    complete = plan_for(Settings(), ["phq9_response50"], complete=True)
    assert study_of(cut(100, None), complete).rates(at="end", analysis="nri").iloc[0]["due"] == 2


def test_people_without_records_need_no_cut_day() -> None:
    rows = cut(100, 100)
    rows.people.append({"patient": "never", "cut_day": None})
    study = study_of(rows, plan_for(Settings(), ["phq9_response50"]))
    assert study.as_of == "cut_day"
    assert study.rates(at="end", analysis="nri").iloc[0]["due"] == 2


# A route of one's own was taken for a misspelt intranasal.


def test_a_plan_maps_a_route_of_its_own(tmp_path: Path) -> None:
    plan = Plan(protocol={"transdermal": "home"})
    assert (plan.protocol["transdermal"], plan.protocol["iv"]) == ("home", "iv6")
    content = table("a,0,10,mg,Transdermal,18", "b,0,0.5,mg/kg,iv,20")
    cohort = read_bytes(tmp_path, content, rest='[protocol]\ntransdermal = "home"').cohort
    assert cohort is not None
    assert ko.Study(cohort).courses["protocol"].tolist() == ["home", "iv6"]
    doses = pd.DataFrame({"patient": ["a"], "day": [0], "dose": [10], "unit": "mg", "route": "Transdermal"})
    scores = pd.DataFrame({"patient": ["a"], "day": [0], "phq9": [20]})
    frames = ko.Cohort.from_frames(doses, scores, plan=plan)
    assert ko.Study(frames).courses["protocol"].tolist() == ["home"]


@pytest.mark.parametrize("slip", ["subligual", "intra-nasal", "ims", "orall"])
def test_a_misspelt_route_is_still_refused(slip: str) -> None:
    with pytest.raises(PlanError, match="is not a route; did you mean"):
        parse_plan(f'[protocol]\n"{slip}" = "home"')


def test_a_route_is_written_in_lower_case() -> None:
    # Routes of records are read in lower case: another would never be found.
    with pytest.raises(PlanError, match="lower-case"):
        Plan(protocol={"Patch": "home"})


# Times in UTC were refused even where the clinic's time zone is known.

BERLIN = 'time_zone = "Europe/Berlin"'


def days(folder: Path, columns: str, *moments: str) -> list[str]:
    """The calendar days on which doses at these moments fall."""
    rows = [f"a,{moment},0.5,mg/kg,iv,{18 if i == 0 else ''}" for i, moment in enumerate(moments)]
    content = table(*rows, header="patient,date,dose,unit,route,phq9")
    outcome = read_bytes(folder, content, columns)
    assert outcome.cohort is not None, outcome.message
    start = outcome.cohort.people["start_date"].iloc[0]
    return [str((start + pd.Timedelta(days=int(day))).date()) for day in outcome.cohort.doses["day"]]


def test_times_fall_on_the_clinics_day(tmp_path: Path) -> None:
    # Berlin is an hour ahead of UTC in winter, two in summer (from 30 March 2025, 01:00 UTC).
    moments = ("2025-01-05T22:59:00Z", "2025-01-08T23:00:00Z", "2025-06-10T21:59Z", "2025-06-12T22:00+00:00")
    assert days(tmp_path, BERLIN, *moments) == ["2025-01-05", "2025-01-09", "2025-06-10", "2025-06-13"]
    here = 'time_zone = "America/New_York"'
    assert days(tmp_path, here, "2025-01-06T03:30:00Z", "2025-01-09T12:00Z") == ["2025-01-05", "2025-01-09"]


def test_other_offsets_and_none_are_read_beside_it(tmp_path: Path) -> None:
    # Eight in the evening in Chicago is three at night in Berlin; a time without an offset is Berlin's own.
    moments = ("2025-07-01T20:00:00-05:00", "2025-07-04T01:30:00+02:00", "2025-07-08 23:30", "2025-07-11")
    assert days(tmp_path, BERLIN, *moments) == ["2025-07-02", "2025-07-04", "2025-07-08", "2025-07-11"]
    named = f'{BERLIN}\ndate_format = "DD/MM/YYYY"'
    assert days(tmp_path, named, "05/01/2025 23:30Z", "09/01/2025") == ["2025-01-06", "2025-01-09"]


def test_midnight_in_utc_throughout_is_a_date(tmp_path: Path) -> None:
    here = 'time_zone = "America/New_York"'
    midnights = ("2025-01-06T00:00:00Z", "2025-01-09T00:00:00Z")
    assert days(tmp_path, here, *midnights) == ["2025-01-06", "2025-01-09"]


def test_without_a_time_zone_utc_is_refused_with_the_line_to_write(tmp_path: Path) -> None:
    content = table("a,2025-01-05T22:59:00Z,0.5,mg/kg,iv,18", header="patient,date,dose,unit,route,phq9")
    outcome = read_bytes(tmp_path, content)
    assert outcome.rules("refused") == {"E10"}
    assert BERLIN in outcome.message


def test_a_time_zone_that_is_none_is_refused() -> None:
    with pytest.raises(PlanError, match='did you mean "Europe/Berlin"'):
        plan_of('time_zone = "Europe/Berln"')
    assert plan_of(BERLIN).hash == Plan().hash  # where days come from is not analysis


# A mistyped year became the as-of day, and everyone was due by it.

DATED = "patient,date,dose,unit,route,phq9"
VISITS = [f"{p},2025-0{m}-1{d},35,mg,iv,{s}" for p in "ab" for m, d, s in ((1, 0, 18), (1, 3, 12), (2, 0, 9))]


def test_a_date_alone_at_the_end_is_asked_about(tmp_path: Path) -> None:
    outcome = read_bytes(tmp_path, table(*VISITS, "b,2042-02-19,,,,8", header=DATED))
    assert outcome.cohort is not None
    assert outcome.found == {("asked", "E17", (8,))}
    assert len(outcome.cohort.scores) == 7  # the row is kept
    with pytest.raises(PlanError, match=r"1 rows, rule E17.*--as-of") as refused:
        ko.Study(outcome.cohort)
    assert "2042" not in str(refused.value)
    assert ko.Study(outcome.cohort, as_of="2025-03").as_of == "2025-03-31"


def test_a_row_with_dose_and_score_is_asked_about_once(tmp_path: Path) -> None:
    content = table(*VISITS, "b,2027-02-19,35,mg,iv,8", "a,2027-03-19,35,mg,iv,8", header=DATED)
    outcome = read_bytes(tmp_path, content)
    assert outcome.found == {("asked", "E17", (8, 9))}
    assert outcome.cohort is not None
    assert len(outcome.cohort.problems) == 2


@pytest.mark.parametrize(
    "more",
    [
        ["a,2026-02-10,,,,8"],  # 365 days after the last: a year's follow-up
        [f"{p},2027-02-1{d},,,,8" for p in "ab" for d in range(3)],  # six records: another year's patients
    ],
)
def test_other_gaps_are_taken_as_they_are(tmp_path: Path, more: list[str]) -> None:
    cohort = read_bytes(tmp_path, table(*VISITS, *more, header=DATED)).cohort
    assert cohort is not None
    assert cohort.problems.empty
    assert ko.Study(cohort).as_of == more[-1].split(",")[1]


def test_frames_are_asked_about_too() -> None:
    dates = pd.to_datetime(["2025-01-10", "2025-01-13", "2035-01-16"])
    doses = pd.DataFrame({"patient": "a", "date": dates, "dose": 35.0, "unit": "mg", "route": "iv"})
    scores = pd.DataFrame({"patient": "a", "date": dates[:2], "phq9": [18, 12]})
    cohort = ko.Cohort.from_frames(doses, scores)
    assert cohort.problems[["file", "row", "rule", "action"]].to_numpy().tolist() == [
        ["doses", 4, "E17", "asked"]
    ]


def test_check_says_from_when_to_when_records_go(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_bytes(table(*VISITS, "b,2042-02-19,,,,8", header=DATED))
    assert main(["check", "in.csv"]) == 0
    said = capfd.readouterr().out
    assert "Records from 2025-01-10 to 2042-02-19." in said
    assert "E17 asked: The last date lies more than a year after all others" in said
    assert main(["check", "in.csv", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["record_dates"] == ["2025-01-10", "2042-02-19"]
    assert main(["report", "in.csv", "--out", "out"]) == 2
    assert "--as-of" in capfd.readouterr().err
