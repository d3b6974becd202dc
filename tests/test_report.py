"""The whole report, from records to files: what vouches for what, and what the same input must give."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pytest

import ketaoutcomes as ko
from ketaoutcomes import report
from ketaoutcomes.counts.tallies import Tally, load_tally, parse_tally
from ketaoutcomes.disclosure import protect
from ketaoutcomes.simulate import clinic

FILES = ["report.html", "results.json", "tables.xlsx", "email.eml", "manifest.json"]
COUNTS = {"due", "given", "assessed", "met", "n", "of", "reached", "people"}


def tallies(study: ko.Study) -> dict[str, Tally]:
    raw = {
        "by_protocol": study.tally(by="protocol", at=("session", "end"), kind="current"),
        "overall": study.tally(at=("week", "end", "month"), kind="current"),
        "by_site": study.tally(by="site", at="end", kind="current"),
        "good_time": study.tally(at="end", tables=("good_time",)),
        "good_time_by_site": study.tally(by="site", at="end", tables=("good_time",)),
    }
    return dict(zip(raw, protect(list(raw.values())), strict=True))


@pytest.fixture(scope="module")
def frames() -> Any:
    return clinic().frames()


@pytest.fixture(scope="module")
def study(frames: Any) -> ko.Study:
    return ko.Study(ko.Cohort.from_frames(*frames))


@pytest.fixture(scope="module")
def counted(study: ko.Study) -> dict[str, Tally]:
    return tallies(study)


@pytest.fixture(scope="module")
def at_the_end(study: ko.Study) -> dict[str, Tally]:
    """The smallest report: everyone together, at the end of the series."""
    return {"overall": protect([study.tally(at="end", kind="current")])[0]}


@pytest.fixture(scope="module")
def folder(study: ko.Study, counted: dict[str, Tally], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reports") / "2026-10"
    written = report.write(out, tallies=counted, plan=study.plan, meta=meta(study))
    assert [path.name for path in written] == FILES
    return out


def meta(study: ko.Study) -> report.Meta:
    return report.Meta(as_of=study.as_of, dates=study.cohort.dates, sources=study.cohort.sources)


def held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_manifest_vouches_for_every_file(folder: Path, study: ko.Study) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert sorted(manifest["outputs"]) == sorted(set(FILES) - {"manifest.json"})
    for name, said in manifest["outputs"].items():
        data = (folder / name).read_bytes()
        assert said == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert manifest["plan"] == {"sha256": study.plan.hash, "text": study.plan.canonical()}
    assert manifest["versions"]["ketaoutcomes"] == ko.__version__
    assert "created" not in manifest


def test_results_hold_the_protected_counts_and_every_table(folder: Path, counted: dict[str, Tally]) -> None:
    results = json.loads((folder / "results.json").read_text())
    assert results["schema"] == 1
    for name, tally in counted.items():
        assert parse_tally(json.dumps(results["tallies"][name])) == tally
    sheets = openpyxl.load_workbook(folder / "tables.xlsx").sheetnames
    assert sorted(sheets) == sorted(["README", *(name[:31] for name in results["tables"])])
    assert {"rates_session", "rates_week", "rates_end", "flow", "retention", "measured"} <= set(
        results["tables"]
    )


def test_no_file_holds_a_count_of_few_people(folder: Path) -> None:
    tables = json.loads((folder / "results.json").read_text())["tables"]
    counts = [
        value
        for table in tables.values()
        for row in table["rows"]
        for name, value in zip(table["columns"], row, strict=True)
        if name in COUNTS and value is not None and (name, row[0]) != ("n", "row")
    ]
    assert len(counts) > 500
    assert not [value for value in counts if 1 <= value <= 10]


def test_the_page_answers_from_the_same_counts(folder: Path, study: ko.Study) -> None:
    end = study.rates(at="end", criteria="phq9_response50", analysis="nri").iloc[0]
    page = (folder / "report.html").read_text()
    assert f"{end['met']:,} of {end['due']:,} due</dd>" in page
    month = study.rates(at="month", criteria="phq9_response50", analysis="nri").iloc[-1]
    assert f"Of {month['due']} patients whose first series came due in October 2026" in page
    assert len(page.encode()) < 400_000


def test_the_order_of_rows_changes_no_byte(folder: Path, frames: Any, tmp_path: Path) -> None:
    shuffled = [frame.sample(frac=1, random_state=seed) for seed, frame in enumerate(frames)]
    again = ko.Study(ko.Cohort.from_frames(*shuffled))
    report.write(tmp_path / "report", tallies=tallies(again), plan=again.plan, meta=meta(again))
    assert held(tmp_path / "report") == held(folder)


def test_good_time_opens_with_failures_and_harm_and_carries_its_caution(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    section = page[page.index('id="good-time"') : page.index('id="over-time"')]
    opening = [
        section.index(words) for words in ("are not known", "got worse", "Item 9", "Describes exposure")
    ]
    assert opening == sorted(opening)
    assert opening[-1] < section.index("<h3>")  # before anything about exposure
    assert (
        "Not a reason to raise, prolong or stop a dose; worsening, side effects and safety come first"
        in section
    )
    assert "No study has validated these windows." in section
    assert "Some later responses are expected even if dose makes no difference." in section
    assert "median days to level" in section
    assert "Basis: " in section


def test_good_time_tells_the_same_numbers_as_the_study(folder: Path, study: ko.Study) -> None:
    tables = json.loads((folder / "results.json").read_text())["tables"]
    groups = {(row[0], row[1]): row[2] for row in tables["good_time_groups"]["rows"]}
    summary = study.good_time_summary()
    for row in summary.groups.itertuples(index=False):
        assert groups[row.period, row.group] in (row.n, None)
    shown = [n for n in groups.values() if n is not None]
    assert shown
    assert not [n for n in shown if 1 <= n <= 10]
    names = tables["good_time_standing"]["columns"]
    standing = [dict(zip(names, row, strict=True)) for row in tables["good_time_standing"]["rows"]]
    occupied = study.all_started(days=[60]).iloc[0]
    (by_60,) = (row for row in standing if (row["day"], row["state"]) == (60, "all_started"))
    assert by_60["rate"] == pytest.approx(occupied["share"], abs=0.03)  # mature courses, of all who started


def test_a_few_patients_leave_nothing_of_good_time_but_words(frames: Any, tmp_path: Path) -> None:
    few = sorted(set(frames[0]["patient"]))[:25]
    small = ko.Study(ko.Cohort.from_frames(*(frame[frame["patient"].isin(few)] for frame in frames)))
    small.report(tmp_path / "shared")
    tables = json.loads((tmp_path / "shared" / "results.json").read_text())["tables"]
    rows = [
        row
        for name, table in tables.items()
        if name.startswith("good_time") and name != "good_time_rules"
        for row in table["rows"]
    ]
    told = [value for row in rows for value in row if isinstance(value, int) and 1 <= value <= 10]
    assert told == []
    page = (tmp_path / "shared" / "report.html").read_text()
    assert "Describes exposure, not cause" in page
    small.report(tmp_path / "internal", audience="internal")
    internal = (tmp_path / "internal" / "report.html").read_text()
    assert "Describes exposure, not cause" in internal
    assert "again at the first score after the whole trial" in internal
    assert "absent again at the first score after a whole trial is hidden" in page


OTHER = """
import sys
from ketaoutcomes import report
from ketaoutcomes.plan import Plan
from ketaoutcomes.counts.tallies import load_tally
out, as_of, dates, *names = sys.argv[1:]
tallies = {name: load_tally(f"{out}-{name}.json") for name in names}
report.write(out, tallies=tallies, plan=Plan(), meta=report.Meta(as_of=as_of, dates=dates))
"""


def test_another_machine_gives_the_same_bytes_from_the_counts_alone(
    study: ko.Study, at_the_end: dict[str, Tally], tmp_path: Path
) -> None:
    out = tmp_path / "elsewhere"
    for name, tally in at_the_end.items():
        tally.save(f"{out}-{name}.json")
        assert load_tally(f"{out}-{name}.json") == tally
    environment = {
        "PYTHONHASHSEED": "12345", "TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(ko.__file__).parent.parent), "OMP_NUM_THREADS": "2",
    }  # fmt: skip
    command = [sys.executable, "-O", "-c", OTHER, str(out), study.as_of, study.cohort.dates, *at_the_end]
    ended = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    plain = report.Meta(as_of=study.as_of, dates=study.cohort.dates)
    report.write(tmp_path / "here", tallies=at_the_end, plan=study.plan, meta=plain)
    assert held(out) == held(tmp_path / "here")


def test_a_time_is_written_only_when_given(
    study: ko.Study, at_the_end: dict[str, Tally], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1793491200")
    report.write(tmp_path / "report", tallies=at_the_end, plan=study.plan, meta=meta(study))
    manifest = json.loads((tmp_path / "report" / "manifest.json").read_text())
    assert manifest["created"] == "2026-11-01T00:00:00+00:00"


def test_a_shared_report_is_never_made_from_raw_counts(study: ko.Study, tmp_path: Path) -> None:
    raw = {"overall": study.tally(at="end", kind="current")}
    with pytest.raises(ValueError, match="not protected: overall"):
        report.write(tmp_path / "report", tallies=raw, plan=study.plan, meta=meta(study))
    assert not (tmp_path / "report").exists()


def test_an_internal_report_is_marked_on_every_page_and_file(study: ko.Study, tmp_path: Path) -> None:
    raw = {"overall": study.tally(at="end", kind="current")}
    out = tmp_path / "internal"
    report.write(out, tallies=raw, plan=study.plan, meta=meta(study), profile=None, audience="internal")
    assert "Do not forward" in (out / "report.html").read_text()
    assert json.loads((out / "results.json").read_text())["audience"] == "internal"
    readme = openpyxl.load_workbook(out / "tables.xlsx")["README"]
    assert any("Do not forward" in str(cell.value) for cell in readme["B"])


def test_a_report_needs_a_tally_of_everyone(
    counted: dict[str, Tally], study: ko.Study, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="a Tally of everyone"):
        report.write(
            tmp_path / "report", tallies={"by_site": counted["by_site"]}, plan=study.plan, meta=meta(study)
        )
