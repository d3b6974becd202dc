"""Reports that follow one another, from records to pages: what is repeated, dated, restated and refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes.commands import audit as audit_commands
from ketaoutcomes.commands import report as report_command
from ketaoutcomes.commands.group import DISCLOSURE, DONE, REFUSED, USAGE, run
from ketaoutcomes.disclosure import DisclosureError, protection
from ketaoutcomes.report.days import days
from ketaoutcomes.report.finished import Described
from ketaoutcomes.report.previous import NoPreviousReport, last_report
from ketaoutcomes.report.series import good_time_day, in_series, repeated, restated, told_again
from ketaoutcomes.report.views import Words
from ketaoutcomes.simulate import sample_path


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two months of the sample, each protected beside the one before."""
    home = tmp_path_factory.mktemp("series")
    found: list[Path] = []
    for month in ("2026-09", "2026-10"):
        more = ["--previous", str(found[-1])] if found else []
        assert (
            run(["report", str(sample_path()), "--month", month, "--out", str(home / month), "-q", *more])
            == DONE
        )
        found.append(home / month)
    return found


def content(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "results.json").read_text(encoding="utf-8")))


def test_the_second_report_says_what_it_repeats_and_since_when(series: list[Path]) -> None:
    first, second = ((folder / "report.html").read_text(encoding="utf-8") for folder in series)
    assert "Restated since the last report" not in first
    assert "Restated since the last report" in second
    assert "Repeated parts stand as of 30 September 2026." in second
    assert "Repeated as it stood on 30 September 2026" in second[second.index('id="good-time"') :]


def test_a_repeated_number_is_the_one_that_was_published(series: list[Path]) -> None:
    before, after = (content(folder) for folder in series)
    steps = after["tables"]["steps"]
    rows = [dict(zip(steps["columns"], row, strict=True)) for row in steps["rows"]]
    assert {"restated", "repeated"} <= {row["step"] for row in rows}
    assert {row["as_of"] for row in rows if row["step"] == "repeated"} == {"2026-09-30"}
    groups = [report["tables"]["good_time_groups"]["rows"] for report in (before, after)]
    assert groups[0] == groups[1]


def test_no_difference_of_two_reports_is_small(series: list[Path]) -> None:
    def told(folder: Path) -> dict[tuple[Any, ...], int]:
        table = content(folder)["tables"]["rates_end"]
        at = {name: i for i, name in enumerate(table["columns"])}
        keys = ("criterion", "analysis")
        return {
            (*(row[at[key]] for key in keys), count): row[at[count]]
            for row in table["rows"] for count in ("due", "assessed", "met") if row[at[count]] is not None
        }  # fmt: skip

    before, after = (told(folder) for folder in series)
    changed = [abs(after[key] - before[key]) for key in before.keys() & after.keys()]
    assert changed
    assert not [n for n in changed if 1 <= n <= 10]


def test_the_same_reports_come_out_byte_for_byte(series: list[Path]) -> None:
    assert (audit_commands.verify.name, report_command.report.name) == ("verify", "report")
    arguments = ["verify", str(series[1]), str(sample_path()), "--previous", str(series[0]), "-q"]
    assert run(arguments) == DONE
    assert run([name for name in arguments if name not in ("--previous", str(series[0]))]) != DONE


def test_a_report_follows_a_shared_one_of_the_same_tables_alone(series: list[Path], tmp_path: Path) -> None:
    study = ko.Study(ko.load_sample())
    with pytest.raises(
        NoPreviousReport, match="The first report of a series follows none: leave --previous out"
    ):
        study.report(tmp_path / "a", previous=tmp_path / "nothing")
    with pytest.raises(DisclosureError, match="only shared reports follow one another"):
        study.report(tmp_path / "a", audience="internal", previous=series[0])
    odd = tmp_path / "odd"
    shutil.copytree(series[0], odd)
    (odd / "results.json").write_text('{"tallies": {}}')
    with pytest.raises(DisclosureError, match="To begin a new series, leave out --previous"):
        study.report(tmp_path / "a", previous=odd)
    late = ["report", str(sample_path()), "--month", "2026-08", "--out", str(tmp_path / "b"), "-q"]
    assert run([*late, "--previous", str(series[0])]) == DISCLOSURE
    assert not (tmp_path / "a").exists()


def test_what_late_data_changed_is_listed_old_and_new() -> None:
    steps = pd.DataFrame([
        {"by": "", "table": "points", "instrument": "phq9", "criterion": "a", "axis": "end", "point": "end",
         "step": "repeated", "as_of": "2026-09-30"},
        {"by": "", "table": "good_time", "instrument": "", "criterion": "", "axis": "", "point": "",
         "step": "repeated", "as_of": "2026-08-31"},
    ])  # fmt: skip
    restated = pd.DataFrame({"point": ["2026-07"], "before": [30.0], "after": [42.0]})
    tables = in_series(steps, restated)
    assert [one.name for one in tables.values()] == ["steps", "restatements"]
    assert good_time_day(tables) == "31 August 2026"
    shown = repeated(tables)
    assert shown is not None
    assert shown.rows == (
        ("good time", "everyone", "1", "31 August 2026"),
        ("rates at the end of the series", "everyone", "1", "30 September 2026"),
    )
    assert "Repeated parts stand as of 31 August 2026 and 30 September 2026." in told_again(tables)[1]
    assert in_series(None, None) == {}
    assert (good_time_day({}), repeated({}), told_again({})) == ("", None, [])
    assert isinstance(tables["steps"], Described)


def test_a_restated_count_is_told_in_words() -> None:
    row = {"by": "site", "group": "<b>North", "instrument": "phq9", "criterion": "phq9_response50",
           "kind": "current", "axis": "month", "point": "2026-07/2026-09", "given": "", "state": "not_met",
           "before": 30.0, "after": float("nan")}  # fmt: skip
    columns = ["by", "table", "instrument", "criterion", "axis", "point", "step", "as_of"]
    tables = in_series(pd.DataFrame(columns=columns), pd.DataFrame([row]))
    shown = restated(tables, Words(ko.Plan()))
    assert shown is not None
    assert shown.rows == (
        ("July to September 2026", "<b>North", "PHQ-9 halved", "scored, not met", "30", "hidden"),
    )
    assert restated({}, Words(ko.Plan())) is None


def test_the_manifest_names_the_report_before_and_verify_looks_at_it(
    series: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = (tmp_path / folder.name for folder in series)
    for there, here in zip(series, (first, second), strict=True):
        shutil.copytree(there, here)
    manifest = json.loads((second / "manifest.json").read_text(encoding="utf-8"))
    vouched = hashlib.sha256((first / "manifest.json").read_bytes()).hexdigest()
    assert manifest["follows"] == {"as_of": "2026-09-30", "manifest_sha256": vouched}
    assert "follows" not in json.loads((first / "manifest.json").read_text(encoding="utf-8"))
    assert run(["verify", str(second)]) == DONE  # found beside it
    assert f"so is {first}, which it followed" in capfd.readouterr().err
    assert run(["verify", str(second), "--previous", str(second)]) == REFUSED
    assert "is not the report that this one followed (as of 2026-09-30)" in capfd.readouterr().err
    (first / "tables.xlsx").write_bytes(b"x")
    assert run(["verify", str(second)]) == REFUSED
    assert "tables.xlsx has changed since it was written" in capfd.readouterr().err
    shutil.rmtree(first)
    assert run(["verify", str(second), "-q"]) == DONE  # not at hand: this one is as it was written


def test_the_first_month_with_previous_is_told_how_a_series_begins(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["report", str(sample_path()), "--out", str(tmp_path / "out"), "-q"]
    assert run([*arguments, "--previous", str(tmp_path / "nothing")]) == USAGE
    assert "The first report of a series follows none: leave --previous out" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_series_that_gains_sites_says_so_and_what_to_do(tmp_path: Path) -> None:
    cohort = ko.load_sample()
    doses = cohort.doses[["patient", "day", "dose", "unit", "route", "site"]]
    scores, people = (
        cohort.scores[["patient", "instrument", "day", "score"]],
        cohort.people[["patient", "start_date"]],
    )
    alone = ko.Cohort.from_frames(doses.assign(site="Harbour"), scores, people)
    ko.Study(alone, as_of="2026-09").report(tmp_path / "a")
    more = ko.Study(ko.Cohort.from_frames(doses, scores, people), as_of="2026-10")
    with pytest.raises(DisclosureError) as refused:
        more.report(tmp_path / "b", previous=tmp_path / "a")
    said = str(refused.value)
    assert "this one has rates by site, good time by site and it had not" in said
    assert "Sites are told apart once the records name more than one." in said
    assert "To begin a new series, leave out --previous" in said


def test_another_plan_is_named_by_its_settings(series: list[Path], tmp_path: Path) -> None:
    plan = ko.Plan().replace(baseline={"within_days": 10})
    study = ko.Study(ko.load_sample(), plan=plan, as_of="2026-10")
    with pytest.raises(DisclosureError, match=r"not the same .*\[baseline\] within_days"):
        study.report(tmp_path / "b", previous=series[0])


def test_a_history_is_read_back_as_it_was_written(series: list[Path]) -> None:
    last = last_report(series[1])
    counted = [name for name in last.tallies if name == "everyone"]
    assert counted == ["everyone"]
    report = content(series[1])["series"]["history"]
    assert len(last.history) == len(report["rows"]) > 0
    assert set(last.history["report"]) == {0, 1}
    assert last.history["n"].notna().any()


def test_each_section_says_as_of_which_day_its_numbers_stand() -> None:
    def step(
        by: str, table: str, axis: str, instrument: str, criterion: str, point: str, now: bool
    ) -> dict[str, str]:
        said = (
            {"step": "restated", "as_of": "2026-10-31"}
            if now
            else {"step": "repeated", "as_of": "2026-09-30"}
        )
        return {"by": by, "table": table, "axis": axis, "instrument": instrument, "criterion": criterion,
                "point": point, **said}  # fmt: skip

    steps = pd.DataFrame([
        step("", "points", "end", "phq9", "phq9_response50", "end", now=True),
        step("", "points", "end", "phq9", "phq9_remission_lt5", "end", now=False),
        step("protocol", "points", "end", "phq9", "phq9_response50", "end", now=False),
        step("protocol", "points", "session", "phq9", "phq9_response50", "", now=True),
        step("protocol", "points", "session", "safety", "dissociation", "", now=False),
        step("", "points", "course", "safety", "dissociation", "any", now=True),
        step("", "points", "month", "phq9", "phq9_response50", "2026-08", now=False),
        step("", "points", "month", "phq9", "phq9_response50", "2026-09", now=True),
        step("", "flow", "course", "phq9", "", "measured", now=False),
    ])  # fmt: skip
    found = days(in_series(steps, pd.DataFrame()), Words(ko.Plan()))
    said = {section: stands.says for section, stands in found.items()}
    then, rest = "epeated as it stood on 30 September 2026", "The rest is as of 31 October 2026."
    months = "rates are repeated as they stood on 30 September 2026; the rest is as of 31 October 2026."
    assert said == {
        "answer": f"R{then}: PHQ-9 remission, below 5. {rest}",
        "end": f"As of 31 October 2026: PHQ-9 halved. The rest is r{then}.",
        "scored": f"R{then}.",
        "over-time": f"1 of 2 {months}",
        "safety": f"R{then}: side effects by session. {rest}",
    }
    assert {name: one.whole for name, one in found.items() if one.whole} == {"scored": "30 September 2026"}
    assert days({}, Words(ko.Plan())) == {}


def test_a_second_report_on_the_same_counts_tells_what_the_first_told() -> None:
    # Its serious events are hidden: who was asked about them is, too, but of other events it was told.
    tally = ko.Study(ko.load_sample(), as_of="2026-05").tally(at="end", tables=("safety",))
    first = protection([tally], "cms11")
    second = protection([tally], "cms11", first)
    told = first.tallies[0].points
    assert (told["state"] == "unassessed").any()
    assert (told["criterion"] == "serious_event").any()
    pd.testing.assert_frame_equal(second.tallies[0].points, told)
