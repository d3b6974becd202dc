"""The workbook holds typed cells, says `hidden` where it hides, and nothing in it can run."""

from __future__ import annotations

import datetime
import io
import zipfile

import openpyxl
import pandas as pd
import pytest
import report_tables

from ketaoutcomes.report.finished import Described
from ketaoutcomes.report.workbook import workbook

HOSTILE = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "http://example.org", "{=1}"]


def book(tables: dict[str, pd.DataFrame]) -> openpyxl.Workbook:
    described = {name: Described(name, name, "what it says", table) for name, table in tables.items()}
    return openpyxl.load_workbook(io.BytesIO(workbook(described, [("As of", "2026-10-31")])))


def test_every_table_has_a_sheet_and_the_first_explains_them() -> None:
    opened = book(report_tables.everything())
    assert opened.sheetnames == ["README", *report_tables.everything()]
    readme = {row[0].value: row[1].value for row in opened["README"].iter_rows() if row[0].value}
    assert readme["As of"] == "2026-10-31"
    assert readme["flow"] == "flow. what it says"


def test_cells_are_numbers_in_their_own_formats() -> None:
    sheet = book({"rates_end": report_tables.everything()["rates_end"]})["rates_end"]
    names = [cell.value for cell in sheet[4]]
    first = dict(zip(names, sheet[5], strict=True))
    assert (first["due"].value, first["met"].value) == (812, 315)
    assert first["rate"].value == pytest.approx(315 / 812)
    assert (first["due"].number_format, first["rate"].number_format) == ("#,##0", "0.0%")
    assert first["point"].value == "end"
    assert sheet.freeze_panes == "A5"


def test_hidden_cells_say_hidden_and_absent_ones_are_empty() -> None:
    nan = float("nan")
    counts = {"met": [3.0, nan, nan], "rate": [0.3, nan, nan], "analysis": ["nri"] * 3}
    sheet = book({"rates_end": pd.DataFrame(counts | {"reason": ["", "hidden", "nobody_due"]})})["rates_end"]
    assert [sheet.cell(row, 1).value for row in (5, 6, 7)] == [3, "hidden", None]
    assert [sheet.cell(row, 2).value for row in (5, 6, 7)] == [0.3, "hidden", None]


def test_a_hidden_detail_of_a_rate_that_is_shown_says_so() -> None:
    table = pd.DataFrame({"given": [float("nan")], "rate": [0.3], "analysis": ["nri"], "reason": [""]})
    assert book({"rates_end": table})["rates_end"]["A5"].value == "hidden"


def test_a_missing_count_without_a_reason_is_a_hidden_one() -> None:
    sheet = book({"flow": report_tables.flow()})["flow"]
    n = [cell.value for cell in sheet[4]].index("n") + 1
    assert [sheet.cell(row, n).value for row in range(5, 9)] == [9120, 31, 1196, "hidden"]


@pytest.mark.parametrize("label", HOSTILE)
def test_labels_are_text_and_never_formulas_or_links(label: str) -> None:
    table = pd.DataFrame({"site": [label], label.strip(): [label], "n": [12]})
    data = workbook({"rates": Described("rates", label, label, table)}, [(label, label)])
    sheet = openpyxl.load_workbook(io.BytesIO(data))["rates"]
    assert sheet["A5"].data_type == "s"
    assert sheet["A5"].value == label.strip()
    xml = b"".join(
        zipfile.ZipFile(io.BytesIO(data)).read(n) for n in zipfile.ZipFile(io.BytesIO(data)).namelist()
    )
    assert b"<f>" not in xml
    assert b"<f " not in xml
    assert b"hyperlink" not in xml


def test_the_same_tables_give_the_same_bytes_and_a_fixed_date() -> None:
    described = {"flow": Described("flow", "flow", "says", report_tables.flow())}
    data = workbook(described, [])
    assert workbook(described, []) == data
    opened = openpyxl.load_workbook(io.BytesIO(data))
    assert opened.properties.created == datetime.datetime(2000, 1, 1)  # noqa: DTZ001 - a workbook knows no zone


def test_long_names_of_tables_still_make_a_sheet() -> None:
    name = "rates_session_by_protocol_by_start_quarter"
    assert name[:31] in book({name: report_tables.flow()}).sheetnames
