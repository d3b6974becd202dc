"""Reports that follow one another, from records to pages: what is repeated, dated, restated and refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes.commands import audit as audit_commands
from ketaoutcomes.commands import report as report_command
from ketaoutcomes.commands.group import DISCLOSURE, DONE, run
from ketaoutcomes.disclosure import DisclosureError
from ketaoutcomes.report.finished import Described
from ketaoutcomes.report.series import good_time_day, in_series, repeated, told_again
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
    with pytest.raises(DisclosureError, match="cannot be read: give the folder of the last report"):
        study.report(tmp_path / "a", previous=tmp_path / "nothing")
    with pytest.raises(DisclosureError, match="only shared reports follow one another"):
        study.report(tmp_path / "a", audience="internal", previous=series[0])
    odd = tmp_path / "odd"
    shutil.copytree(series[0], odd)
    (odd / "results.json").write_text('{"tallies": {}}')
    with pytest.raises(DisclosureError, match="Begin a new series without --previous"):
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
        ("rates, end", "everyone", "1", "30 September 2026"),
    )
    assert "Repeated parts stand as of 31 August 2026 and 30 September 2026." in told_again(tables)[1]
    assert in_series(None, None) == {}
    assert (good_time_day({}), repeated({}), told_again({})) == ("", None, [])
    assert isinstance(tables["steps"], Described)
