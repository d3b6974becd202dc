"""Workbooks and Parquet files: the same cells under the same rules as a CSV; nothing is lost silently."""

from __future__ import annotations

import sys
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes.plan import parse_plan
from ketaoutcomes.records.cohort import InputRefused

openpyxl = pytest.importorskip("openpyxl", reason="needs pip install 'ketaoutcomes[xlsx]'")

HEADER = ["patient", "date", "dose", "unit", "route", "phq9", "site"]
ROWS: list[list[Any]] = [
    ["001", date(2026, 3, 1), 0.5, "mg/kg", "iv", 18, "North, old"],
    ["001", pd.Timestamp("2026-03-04"), 0.75, "MG/KG", "IV", None, "North, old"],
    ["2", date(2026, 3, 1), 0.5, "mg/kg", "iv", 21.0, 'the "South"'],
]


def workbook(path: Path, rows: list[list[Any]], *, above: int = 0) -> Any:
    """A workbook of one sheet, a header and rows below some blank ones; saved, and given to be changed."""
    book = openpyxl.Workbook()
    for row in [*[[] for _ in range(above)], HEADER, *rows]:
        book.active.append(row)
    book.save(path)
    return book


def as_csv(path: Path) -> Path:
    """The same table, written as a CSV by pandas."""
    pd.DataFrame(ROWS, columns=HEADER).assign(date=["2026-03-01", "2026-03-04", "2026-03-01"]).to_csv(
        path, index=False
    )
    return path


def refusal(path: Path) -> str:
    """The message with which a file is refused."""
    with pytest.raises(InputRefused) as refused:
        ko.read(path)
    return str(refused.value)


def assert_same(found: ko.Cohort, wanted: ko.Cohort) -> None:
    for table in ("doses", "scores", "people"):
        pd.testing.assert_frame_equal(getattr(found, table), getattr(wanted, table))


def test_a_workbook_reads_as_the_same_csv(tmp_path: Path) -> None:
    workbook(tmp_path / "a.xlsx", ROWS)
    found = ko.read(tmp_path / "a.xlsx")
    assert_same(found, ko.read(as_csv(tmp_path / "a.csv")))
    assert found.doses["patient"].tolist() == ["001", "001", "2"]
    assert found.problems.empty


@pytest.mark.parametrize("typed", [True, False], ids=["as pandas types it", "as text"])
def test_a_parquet_file_reads_as_the_same_csv(tmp_path: Path, typed: bool) -> None:
    pytest.importorskip("pyarrow", reason="needs pip install 'ketaoutcomes[parquet]'")
    table = pd.DataFrame(ROWS, columns=HEADER)
    table["date"] = pd.to_datetime(table["date"])
    table["site"] = table["site"].astype("category")
    if not typed:
        table = pd.read_csv(as_csv(tmp_path / "text.csv"), dtype=str)
    table.to_parquet(tmp_path / "a.parquet")
    assert_same(ko.read(tmp_path / "a.parquet"), ko.read(as_csv(tmp_path / "a.csv")))


def test_settings_for_typed_text_do_not_touch_a_workbook(tmp_path: Path) -> None:
    workbook(tmp_path / "a.xlsx", ROWS)
    plan = parse_plan('[columns]\ndelimiter = ";"\ndecimal = ","')
    assert_same(ko.read(tmp_path / "a.xlsx", plan), ko.read(as_csv(tmp_path / "a.csv")))


def test_a_row_keeps_its_number_in_the_sheet(tmp_path: Path) -> None:
    wrong = ["3", date(2026, 3, 2), 0.5, "mg/kg", "iv", 72, None]
    workbook(tmp_path / "a.xlsx", [ROWS[0], [], wrong], above=2)
    assert "write under [columns]: skip_rows = 2" in refusal(tmp_path / "a.xlsx")
    found = ko.read(tmp_path / "a.xlsx", parse_plan("[columns]\nskip_rows = 2"))
    # Two blank rows, the header in row 3, data in 4, a blank row, and 72 (no PHQ-9 total) in row 6.
    assert found.problems[["row", "column", "rule"]].values.tolist() == [[6, "phq9", "D03"]]


def test_truth_values_and_times_meet_the_rules_of_text(tmp_path: Path) -> None:
    workbook(tmp_path / "a.xlsx", [ROWS[0], ["3", date(2026, 3, 2), 0.5, "mg/kg", "iv", True, None]])
    assert ko.read(tmp_path / "a.xlsx").problems[["row", "rule"]].values.tolist() == [[3, "D07"]]


def test_formulas_are_read_as_last_calculated_and_refused_where_they_never_were(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    book = workbook(path, ROWS)
    book.active["F2"] = "=9+9"
    book.save(path)
    assert "row 2: a formula has no calculated value" in refusal(path)
    # A spreadsheet program writes the value beside the formula.
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    assert b"<f>9+9</f><v" in parts[sheet]
    parts[sheet] = (
        parts[sheet]
        .replace(b"<f>9+9</f><v />", b"<f>9+9</f><v>18</v>")
        .replace(b"<f>9+9</f><v></v>", b"<f>9+9</f><v>18</v>")
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    found = ko.read(path)
    assert_same(found, ko.read(as_csv(tmp_path / "a.csv")))
    assert found.problems[["row", "rule", "action"]].values.tolist() == [[0, "A22", "normalised"]]


def test_hidden_rows_are_read_and_told(tmp_path: Path) -> None:
    book = workbook(tmp_path / "a.xlsx", ROWS)
    book.active.row_dimensions[3].hidden = True
    book.save(tmp_path / "a.xlsx")
    found = ko.read(tmp_path / "a.xlsx")
    assert len(found.doses) == 3
    assert found.problems["rule"].tolist() == ["A23"]


def test_what_would_lose_cells_is_refused(tmp_path: Path) -> None:
    book = workbook(tmp_path / "merged.xlsx", ROWS)
    book.active.merge_cells("A2:A3")
    book.save(tmp_path / "merged.xlsx")
    assert "row 2: cells are merged" in refusal(tmp_path / "merged.xlsx")
    book = workbook(tmp_path / "two.xlsx", ROWS)
    book.create_sheet("more").append(["x"])
    book.save(tmp_path / "two.xlsx")
    assert "holds 2 sheets with data" in refusal(tmp_path / "two.xlsx")
    book = workbook(tmp_path / "one.xlsx", ROWS)
    book.create_sheet("empty")
    book.save(tmp_path / "one.xlsx")
    assert len(ko.read(tmp_path / "one.xlsx").doses) == 3
    (tmp_path / "cut.xlsx").write_bytes((tmp_path / "one.xlsx").read_bytes()[:2000])
    assert "A14" in refusal(tmp_path / "cut.xlsx")
    (tmp_path / "renamed.csv").write_bytes((tmp_path / "one.xlsx").read_bytes())
    assert "call it .xlsx" in refusal(tmp_path / "renamed.csv")
    (tmp_path / "a.xlsx").write_text("patient,day\n1,2\n")
    assert "no workbook" in refusal(tmp_path / "a.xlsx")


def test_a_damaged_or_nested_parquet_file_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs pip install 'ketaoutcomes[parquet]'")
    table = pd.DataFrame(ROWS, columns=HEADER)
    table.to_parquet(tmp_path / "a.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:900])
    assert "cut off or damaged" in refusal(tmp_path / "cut.parquet")
    table.assign(site=[["x"], ["y"], []]).to_parquet(tmp_path / "lists.parquet")
    assert "column site: holds lists" in refusal(tmp_path / "lists.parquet")


@pytest.mark.parametrize(("module", "name"), [("openpyxl", "a.xlsx"), ("pyarrow.parquet", "a.parquet")])
def test_without_the_extra_the_message_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    content = b"PAR1" if name.endswith("parquet") else b"PK\x03\x04"
    if name.endswith("xlsx"):
        workbook(tmp_path / name, ROWS)
    else:
        (tmp_path / name).write_bytes(content * 9)
    monkeypatch.setitem(sys.modules, module, None)
    assert f"pip install 'ketaoutcomes[{name.split('.')[1]}]'" in refusal(tmp_path / name)


def test_identifiers_in_a_workbook_are_refused_by_name_and_a_draft_can_be_made(tmp_path: Path) -> None:
    theirs = ["Study ID", "Visit date", "Dose", "Unit", "Therapy", "PHQ-9", "Last name"]
    pd.DataFrame(ROWS, columns=theirs).to_excel(tmp_path / "b.xlsx", index=False)
    assert "Last name" in refusal(tmp_path / "b.xlsx")
    (tmp_path / "plan.toml").write_text(ko.suggest_plan(tmp_path / "b.xlsx"), encoding="utf-8")
    cohort = ko.read(tmp_path / "b.xlsx", ko.read_plan(tmp_path / "plan.toml"))
    assert len(cohort.doses) == 3
