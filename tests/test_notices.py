"""Warnings carry a code and a page, and the sample gives none; progress is only for those who look on."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path

import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes import cli, notices, progress
from ketaoutcomes.notices import Notice

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.filterwarnings("error")


def cohort(plan: ko.Plan | None = None, **people: object) -> ko.Cohort:
    """Two people with one dose and two PHQ-9 each, in January 2026."""
    at = pd.to_datetime(["2026-01-05", "2026-01-06"])
    doses = pd.DataFrame({"patient": ["a", "b"], "date": at, "dose": 0.5, "unit": "mg/kg", "route": "iv"})
    later = pd.DataFrame({"patient": ["a", "b"], "date": at + pd.Timedelta("14D"), "phq9": [8, 15]})
    scores = pd.concat([doses[["patient", "date"]].assign(phq9=18), later])
    persons = pd.DataFrame({"patient": ["a", "b"], **people}) if people else None
    return ko.Cohort.from_frames(doses, scores, persons, plan=plan)


# The last record is of 20 January 2026: 31 days later is 20 February.
@pytest.mark.parametrize(
    ("as_of", "code"),
    [(None, None), ("2026-01", None), ("2026-02-20", None), ("2026-02-21", "W01"), ("2026-01-05", None),
     ("2026-01-04", "W02"), ("2025-12", "W02")],
)  # fmt: skip
def test_an_as_of_day_beyond_the_records_is_remarked(as_of: str | None, code: str | None) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        ko.Study(cohort(), as_of=as_of)
    assert [one.message.code for one in said] == ([code] if code else [])  # type: ignore[union-attr]
    assert all(one.filename == __file__ for one in said)  # the line that asked, not one of ours


def test_a_criterion_nobody_was_scored_on_is_remarked_where_it_was_asked_for() -> None:
    study = ko.Study(cohort())
    study.rates(at="end")  # the plan's own criteria are no news, PCL-5 among them
    with pytest.warns(Notice, match=r"no score of gad7 was read.*W03"):
        study.rates(at="end", criteria=["phq9_response50", "gad7_response50"])


def test_many_rows_set_aside_are_remarked(tmp_path: Path) -> None:
    head = "patient,day,dose,unit,route,phq9\n"
    rows = [f"p{k},0,0.5,mg/kg,iv,18" for k in range(19)]
    file = tmp_path / "visits.csv"
    file.write_text(head + "\n".join([*rows, "q,soon,0.5,mg/kg,iv,18"]) + "\n")
    assert len(ko.read(file).problems) == 1  # one in twenty is not yet more than one in twenty
    file.write_text(head + "\n".join([*rows[1:], "q,soon,0.5,mg/kg,iv,18"]) + "\n")
    with pytest.warns(Notice, match=r"5\.3% of the rows.*W04"):
        ko.read(file)


def test_a_cut_day_that_is_not_used_is_remarked_and_stands_in_problems() -> None:
    plan = ko.Plan(population={"complete": True})
    days = pd.DataFrame(
        {"patient": ["a"], "day": [0], "dose": 0.5, "unit": "mg/kg", "route": "iv", "phq9": 18}
    )
    people = pd.DataFrame({"patient": ["a"], "cut_day": [30]})
    told = ko.Cohort.from_frames(days, people=people, plan=plan)
    assert told.problems[["file", "row", "column", "rule", "action"]].values.tolist() == [
        ["people", 0, "cut_day", "E19", "asked"]
    ]
    with pytest.warns(Notice, match="W05"):
        ko.Study(told)
    assert ko.Cohort.from_frames(days, people=people).problems.empty


def test_parts_and_judging_again_say_nothing_twice() -> None:
    ko.tally(cohort(), as_of="2027-01")  # a part of a cohort may end early
    with pytest.warns(Notice) as said:
        study = ko.Study(cohort(), as_of="2027-01")
    study.repeats("phq9_response50")
    study.sensitivity("phq9_response50")
    assert len(said) == 1


def test_the_sample_gives_no_warning() -> None:
    study = ko.Study(ko.load_sample(), as_of="2026-10")
    study.rates(at="end", criteria=["phq9_response50", "pcl5_reliable15"])
    ko.Study(study.cohort)


def test_every_code_given_has_a_page_and_every_page_is_given() -> None:
    package = Path(ko.__file__).parent
    given = {
        code
        for path in package.rglob("*.py")
        for code in re.findall(r'\(\s*"(W[0-9]+)",', path.read_text(encoding="utf-8"))
    }
    assert given == set(notices.pages())
    for code, page in notices.pages().items():
        assert set(page) == {"title", "why", "do"}
        told = str(ko.Plan().explain(code))
        assert told.startswith(f"{code}: {page['title']}")
        assert page["do"].split()[-1] in told
        listed = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
        assert f"| {code} | {page['title']} |" in listed


def test_a_command_says_its_warnings_once_and_on_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "patient,date,dose,unit,route,phq9\na,2026-01-05,0.5,mg/kg,iv,18\na,2026-01-19,,,,8\n"
    (tmp_path / "visits.csv").write_text(rows)
    assert cli.main(["report", "visits.csv", "--out", "r", "--month", "2026-06", "--dry-run"]) == 0
    out, err = capfd.readouterr()
    assert "W01" not in out
    assert err == (
        "warning: as of 2026-06-30, and the last dose or score on record is of 2026-01-19, 162 days before "
        "[W01; see: ketaoutcomes explain W01]\n"
    )
    assert cli.main(["explain", "w01"]) == 0
    assert capfd.readouterr().out.startswith("W01: The as-of day lies long after the last record\n")


# Progress


class Terminal(io.StringIO):
    """A terminal that somebody looks at."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that moves one second with each look at it."""
    looks: list[float] = []

    def moved() -> float:
        looks.append(float(len(looks)))
        return looks[-1]

    monkeypatch.setattr(progress.time, "monotonic", moved)
    return looks


def test_long_work_says_how_far_it_is_and_takes_the_line_back(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", screen)
    assert list(progress.told("abcd", lambda done: f"{done} of 4")) == list("abcd")
    # Looked at on 0; after one part it is second 1, after two second 2: then two seconds have passed.
    assert screen.getvalue() == "\r2 of 4\r3 of 4\r      \r"


def test_short_work_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", screen)
    assert list(progress.told("abcd", str)) == list("abcd")
    assert screen.getvalue() == ""


def test_nothing_is_said_where_nobody_looks_on(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(progress.sys, "stderr", log)
    assert len(list(progress.told(range(9), str))) == 9
    screen = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", screen)
    with progress.quiet():
        assert len(list(progress.told(range(9), str))) == 9
    assert log.getvalue() == screen.getvalue() == ""


def test_a_study_counts_in_sight(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    from ketaoutcomes.per_patient import patients

    study = ko.Study(ko.load_sample(), as_of="2026-10")
    whole = study.rates(at="end")
    monkeypatch.setattr(patients, "BLOCK", 200)
    monkeypatch.setattr("ketaoutcomes.verbs.patients.BLOCK", 200)
    screen = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", screen)
    pd.testing.assert_frame_equal(ko.Study(study.cohort, as_of="2026-10").rates(at="end"), whole)
    assert "\rcounting: 1,000 of 1,200 patients" in screen.getvalue()
    assert screen.getvalue().endswith(" \r")


@pytest.mark.parametrize("audience", ["internal", "shared"])
def test_a_report_shows_the_warnings_that_apply_to_it(audience: str, tmp_path: Path) -> None:
    plan = ko.Plan(population={"observed_from": "2025-01-01"})
    with pytest.warns(Notice, match="W01"):
        study = ko.Study(cohort(plan), as_of="2026-06")
    study.report(tmp_path / audience, audience=audience)
    page = (tmp_path / audience / "report.html").read_text(encoding="utf-8")
    letter = (tmp_path / audience / "email.eml").read_text(encoding="utf-8")
    head, _, about = page.partition("<main")
    assert "The as-of day lies long after the last record: look at this first" in head
    assert "(W01).</strong>" in about
    assert "The as-of day lies long after the last record" in letter
    told = "the last dose or score on record is of 2026-01-20" in about  # a day that is one person's
    assert told == (audience == "internal")
