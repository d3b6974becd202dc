"""The workbook: each finished table on its sheet, in typed cells that no spreadsheet mistakes for code."""

from __future__ import annotations

import datetime
import io
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ketaoutcomes.results.wording import HIDDEN, label

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.report.finished import Described

# Workbooks carry a creation time; a fixed one keeps same input, same bytes.
_CREATED = datetime.datetime(2000, 1, 1)  # noqa: DTZ001 - XlsxWriter takes a naive time
_SHARES = frozenset({"rate", "low", "high", "share", "share_not_evaluable"})
_COUNTS = frozenset(
    {"due", "given", "assessed", "met", "n", "of", "reached", "people", "mature", "population", "excluded",
     "not_due", "missing", "not_met"}
)  # fmt: skip
_LONG = frozenset({"not_judged", "title", "cite", "sentence", "rule"})  # our own words, not names from data
_WIDEST = 40


def workbook(tables: Mapping[str, Described], about: Sequence[tuple[str, str]]) -> bytes:
    """The bytes of tables.xlsx: a README sheet from `about`, then one sheet per table.

    Numbers are numbers (shares as percentages, counts whole); a hidden cell holds the word `hidden`, a cell
    for which there is no number stays empty. No cell is a formula or a link, whatever a label looks like.
    """
    from xlsxwriter import Workbook  # type: ignore[import-untyped]

    out = io.BytesIO()
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with Workbook(out, options) as book:
        book.set_properties({"title": "ketaoutcomes report", "author": "ketaoutcomes", "created": _CREATED})
        formats = _formats(book)
        _readme(book.add_worksheet("README"), about, tables, formats)
        for name, described in tables.items():
            _sheet(book.add_worksheet(name[:31]), described, formats)
    return out.getvalue()


def _formats(book: Any) -> dict[str, Any]:
    quiet = {"font_color": "#56626E"}
    return {
        "title": book.add_format({"bold": True, "font_size": 14}),
        "head": book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"}),
        "text": book.add_format({"valign": "top"}),
        "wrap": book.add_format({"text_wrap": True, "valign": "top"}),
        "says": book.add_format(quiet),
        "share": book.add_format({"num_format": "0.0%"}),
        "count": book.add_format({"num_format": "#,##0"}),
        "number": book.add_format({"num_format": "0.##"}),
        "hidden": book.add_format({**quiet, "italic": True, "align": "right"}),
    }


def _readme(
    sheet: Any,
    about: Sequence[tuple[str, str]],
    tables: Mapping[str, Described],
    formats: Mapping[str, Any],
) -> None:
    sheet.set_column(0, 0, 30)
    sheet.set_column(1, 1, 100)
    sheet.write_string(0, 0, "ketaoutcomes report", formats["title"])
    row = 2
    for key, value in about:
        sheet.write_string(row, 0, key, formats["text"])
        sheet.write_string(row, 1, value, formats["wrap"])
        row += 1
    row += 1
    sheet.write_string(row, 0, "Sheet", formats["head"])
    sheet.write_string(row, 1, "What it holds", formats["head"])
    for name, described in tables.items():
        row += 1
        sheet.write_string(row, 0, name[:31], formats["text"])
        sheet.write_string(row, 1, f"{described.title}. {described.says}", formats["wrap"])


def _sheet(sheet: Any, described: Described, formats: Mapping[str, Any]) -> None:
    table = described.table
    sheet.write_string(0, 0, described.title, formats["title"])
    sheet.write_string(1, 0, described.says, formats["says"])
    names = [str(column) for column in table.columns]
    for place, name in enumerate(names):
        sheet.write_string(3, place, label(name), formats["head"])
        sheet.set_column(place, place, _width(name, table[name]))
    hidden = _hidden(table)
    for place, name in enumerate(names):
        for row, (value, is_hidden) in enumerate(zip(table[name], hidden[name], strict=True), start=4):
            _cell(sheet, row, place, name, value, is_hidden, formats)
    sheet.freeze_panes(4, 0)
    if len(table):
        sheet.autofilter(3, 0, 3 + len(table), len(names) - 1)


def _hidden(table: pd.DataFrame) -> pd.DataFrame:
    """Which missing numbers are hidden ones; the others do not exist, and `reason` says why."""
    missing = table.isna()
    counts = missing[[name for name in table.columns if name in _COUNTS]]
    if "analysis" not in table:
        return missing.where(counts.any(axis=1), other=False)
    hidden = missing.where(table["reason"] == HIDDEN, other=False)
    hidden[counts.columns] = counts.where(table["reason"].isin(["", HIDDEN]), other=False)
    return hidden


def _cell(
    sheet: Any, row: int, place: int, name: str, value: Any, is_hidden: bool, formats: Mapping[str, Any]
) -> None:
    if is_hidden:
        sheet.write_string(row, place, HIDDEN, formats["hidden"])
    elif isinstance(value, numbers.Real):
        if math.isfinite(value):
            kind = "share" if name in _SHARES else "count" if name in _COUNTS else "number"
            sheet.write_number(row, place, float(value), formats[kind])
    elif value is not None:
        longest = 300 if name in _LONG else 60
        sheet.write_string(row, place, label(value, longest) if str(value) else "", formats["text"])


def _width(name: str, column: pd.Series[Any]) -> int:
    shown = [len(label(value)) for value in column if isinstance(value, str)]
    return min(max([len(name) + 2, *shown]) + 1, _WIDEST)
