"""Events from files and frames: kinds and codes as data, nothing dropped silently."""

from __future__ import annotations

import measure_deck as deck
import pandas as pd
import pytest
from click.testing import CliRunner

import ketaoutcomes as ko
from ketaoutcomes.commands import group as commands
from ketaoutcomes.plan import parse_plan
from ketaoutcomes.records.cohort import InputRefused

SESSIONS = "patient,date,dose,unit,route,phq9\n007,2025-01-06,0.5,mg/kg,iv,18\nb,2025-01-07,0.5,mg/kg,iv,12\n"


def read(tmp_path, events, plan="", sessions=SESSIONS, name="events.csv"):
    paths = []
    for file, text in (("sessions.csv", sessions), (name, events)):
        if text is not None:
            (tmp_path / file).write_text(text)
            paths.append(tmp_path / file)
    return ko.read(paths, parse_plan(plan))


def rows(cohort, *columns):
    table = cohort.events[list(columns or ("patient", "day", "kind", "code"))].astype(object)
    return table.where(table.notna(), None).to_numpy().tolist()


def found(cohort):
    return cohort.problems[["file", "row", "column", "rule", "action"]].to_numpy().tolist()


def test_an_events_file_is_read_beside_the_others(tmp_path):
    text = (
        "patient,date,kind,code\n007,2025-01-06,Encounter,99213\nb,2024-12-01, DIAGNOSIS ,F32.9\n"
        "b,2025-03-01,death,\n"
    )
    cohort = read(tmp_path, text)
    assert rows(cohort) == [
        ["007", 0, "encounter", "99213"],
        ["b", -37, "diagnosis", "F32.9"],  # before day 0, the first dose
        ["b", 53, "death", None],
    ]
    assert cohort.problems.empty


def test_events_of_other_words_are_mapped_and_filtered(tmp_path):
    text = (
        "PatID,When,Type,Code,Status\n007,2025-01-06,OV,1,done\n007,2025-01-07,OV,1,cancelled\n"
        "b,2025-02-01,???,,done\n"
    )
    plan = """
    [[columns.events]]
    patient = "PatID"
    date = "When"
    kind = { from = "Type", map = { "OV" = "encounter" } }
    code = "Code"
    keep = { Status = ["done"] }
    """
    cohort = read(tmp_path, text, plan)
    assert rows(cohort) == [["007", 0, "encounter", "1"]]
    assert found(cohort) == [["events.csv", 4, "Type", "D18", "quarantined"]]  # not in the map


def test_a_constant_kind_happened_where_its_day_is_given(tmp_path):
    text = (
        "patient,date,dose,unit,route,phq9,died\n007,2025-01-06,0.5,mg/kg,iv,18,\n"
        "b,2025-01-07,0.5,mg/kg,iv,12,2025-05-07\n"
    )
    plan = '[[columns.events]]\nkind = { value = "death" }\ndate = "died"\n'
    cohort = read(tmp_path, None, plan, sessions=text)
    assert rows(cohort) == [["b", 120, "death", None]]
    assert (len(cohort.doses), len(cohort.problems)) == (2, 0)


def test_a_constant_kind_happened_where_its_code_is_given(tmp_path):
    text = "patient,day,dose,unit,route,phq9,why\n007,0,0.5,mg/kg,iv,18,\n007,3,0.5,mg/kg,iv,12,moved\n"
    plan = '[[columns.events]]\nkind = { value = "stop" }\ncode = "why"\n'
    assert rows(read(tmp_path, None, plan, sessions=text)) == [["007", 3, "stop", "moved"]]


def test_a_dose_row_without_a_kind_holds_no_event_and_is_a_dose(tmp_path):
    text = "patient,day,dose,unit,route,phq9,kind\n007,0,0.5,mg/kg,iv,18,\n007,3,0.5,mg/kg,iv,12,stop\n"
    cohort = read(tmp_path, None, sessions=text)
    assert rows(cohort) == [["007", 3, "stop", None]]
    assert (len(cohort.doses), len(cohort.problems)) == (2, 0)


def test_an_event_without_a_kind_is_set_aside(tmp_path):
    cohort = read(
        tmp_path, "patient,date,kind\n007,2025-01-06,\nb,2025-01-07,stop\n,2025-01-07,stop\nb,,stop\n"
    )
    assert rows(cohort) == [["b", 0, "stop", None]]
    assert [row[1:4] for row in found(cohort)] == [
        [2, "kind", "D18"], [4, "patient", "C02"], [5, "date", "E03"],
    ]  # fmt: skip


def test_how_long_an_event_lasted(tmp_path):
    text = (
        "patient,date,until_date,kind\n007,2025-01-06,2025-01-08,hospice\n007,2025-02-01,,hospice\n"
        "b,2025-01-09,2025-01-08,hospice\n"
    )
    cohort = read(tmp_path, text)
    assert rows(cohort, "day", "days") == [[0, 3], [26, None]]
    assert found(cohort) == [["events.csv", 4, "until_date", "E15", "quarantined"]]


def test_codes_are_guarded_like_every_text(tmp_path):
    with pytest.raises(InputRefused) as caught:
        read(tmp_path, "patient,date,kind,code\n007,2025-01-06,stop,jo.public@example.org\n")
    assert caught.value.problems["rule"].tolist() == ["I10"]
    assert "jo.public" not in str(caught.value)


def test_frames_hold_events_too():
    doses = pd.DataFrame(
        {"patient": ["a"], "day": [0], "dose": 0.5, "unit": "mg/kg", "route": "iv", "phq9": 15}
    )
    events = pd.DataFrame(
        {"patient": ["a", "a", "z", "a", None], "day": [5, 2, 1, 3, 4],
         "kind": ["Stop", "hospice", "death", None, "stop"], "code": [7.0, None, None, None, None],
         "days": [1.0, 0.5, None, None, None]}
    )  # fmt: skip
    cohort = ko.Cohort.from_frames(doses, events=events)
    assert rows(cohort, "patient", "day", "kind", "code", "days") == [
        ["a", 5, "stop", "7", 1], ["z", 1, "death", None, None],
    ]  # fmt: skip
    assert [row[1:4] for row in found(cohort)] == [
        [3, "days", "E05"],
        [5, "kind", "D18"],
        [6, "patient", "C02"],
    ]
    ledger = cohort.ledger[cohort.ledger["table"] == "events"]
    assert dict(zip(ledger["outcome"], ledger["n"], strict=True)) == {"kept": 2, "quarantined": 3}


def test_events_without_a_kind_column_are_refused():
    doses = pd.DataFrame(
        {"patient": ["a"], "day": [0], "dose": 0.5, "unit": "mg/kg", "route": "iv", "phq9": 15}
    )
    with pytest.raises(InputRefused, match="events: needs a column `kind`"):
        ko.Cohort.from_frames(doses, events=doses[["patient", "day"]])


def test_init_drafts_a_table_of_events_that_can_be_read(tmp_path):
    sessions = SESSIONS.replace("patient,date", "PatID,Visit Date")
    events = (
        "Patient Code,Event Date,Kind,Code\n007,2025-01-06,Encounter,99213\nb,2024-12-01,diagnosis,F32.9\n"
    )
    for name, text in (("s.csv", sessions), ("e.csv", events)):
        (tmp_path / name).write_text(text)
    files = [str(tmp_path / name) for name in ("s.csv", "e.csv")]
    plan = tmp_path / "plan.toml"
    done = CliRunner().invoke(commands.group, ["init", "--from", *files, "--out", str(plan)])
    assert done.exit_code == 0, done.output
    cohort = ko.read(files, ko.read_plan(plan))
    assert rows(cohort) == [["007", 0, "encounter", "99213"], ["b", -37, "diagnosis", "F32.9"]]


def test_a_birth_date_needs_a_day_0_to_be_counted_from():
    doses = pd.DataFrame(
        {"patient": ["a"], "day": [0], "dose": 0.5, "unit": "mg/kg", "route": "iv", "phq9": 15}
    )
    born = pd.DataFrame({"patient": ["a"], "birth_date": pd.to_datetime(["1980-02-03"])})
    with pytest.raises(InputRefused, match=r"`birth_date` is a date .* give `start_date`"):
        ko.Cohort.from_frames(doses, people=born)
    placed = ko.Cohort.from_frames(doses, people=born.assign(start_date=pd.Timestamp("2020-02-03")))
    assert placed.people["birth_day"].tolist() == [-14610]  # forty years, ten of them leap years


DECK_PLAN = """
[columns]
drop = ["phq9"]
covariates = ["age"]
date_format = "YYYY-MM-DD"
[[columns.doses]]
file = "scores.csv"
date = "date"
dose = { value = 0 }
unit = { value = "mg" }
[[columns.scores]]
file = "scores.csv"
date = "date"
phq9 = "total"
[[columns.events]]
file = "events.csv"
date = "date"
until_date = "until"
kind = "kind"
code = "code"
"""


def test_the_cms159_deck_comes_out_from_files_as_from_frames(tmp_path):
    # As in test_measures.py, but through intake; an age in years on day 0 takes the birth date's place.
    deck.available()
    score, event, people = deck.scores(), deck.events(), deck.people()
    day_0 = pd.concat([score, event]).groupby("patient")["date"].min()
    first, born = people["patient"].map(day_0), people["birth_date"]
    early = (first.dt.month * 100 + first.dt.day) < (born.dt.month * 100 + born.dt.day)
    event["until"] = event["date"] + pd.to_timedelta(event["days"].astype("float") - 1, unit="D")
    score.rename(columns={"phq9": "total"}).to_csv(tmp_path / "scores.csv", index=False)
    event.drop(columns="days").to_csv(tmp_path / "events.csv", index=False)
    people.assign(age=first.dt.year - born.dt.year - early)[["patient", "age"]].to_csv(
        tmp_path / "people.csv", index=False
    )
    files = [tmp_path / name for name in ("scores.csv", "events.csv", "people.csv")]
    study = ko.Study(ko.read(files, parse_plan(DECK_PLAN)), as_of="2025-12-31")
    states = study.measure_states("cms159", period="2025").set_index("patient")["state"]
    expected = deck.expected()
    own = states.reindex(expected.index)
    wrong = own.notna().astype(int) != expected["initial-population"]
    # Who turns 12 between day 0 and the index score is 11 by an age in years on day 0: nothing tells more.
    assert wrong[wrong].index.tolist() == ["8467758b-18c6-4576-87cf-c2aeec2e11f9"]
    assert (own.str.startswith("excluded:", na=False).astype(int) == expected["denominator-exclusion"]).all()
    assert ((own == "met").astype(int) == expected["numerator"]).all()
