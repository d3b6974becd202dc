"""Excel workbooks (.xlsx), written out as the text of a CSV, so that one rule set types every file.

A row keeps its number in the sheet. What would lose cells without a word is refused: several sheets, merged
cells, formulas that were never calculated. Needs openpyxl, the `[xlsx]` extra.
"""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ketaoutcomes.intake.findings import Stop
from ketaoutcomes.intake.written import as_csv, as_text

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 50 * 2**20
_ROWS_AT_ONCE = 10_000
_HOW = "reading an Excel workbook needs an extra: pip install 'ketaoutcomes[xlsx]'; or save the sheet as CSV"
_DAMAGED = "the workbook is cut off, damaged or locked with a password; save the sheet as CSV UTF-8"


def sheet_as_csv(path: Path, decimal: str, told: list[str]) -> Iterator[bytes]:
    """The one filled sheet of a workbook as comma-separated UTF-8 text, some rows at a time.

    `told` takes the rules of what is read and should be known: formulas (A22), hidden rows or columns (A23).
    Raises `Stop` where openpyxl is not installed, and where reading on would lose cells.
    """
    if path.stat().st_size > LARGEST:
        raise Stop("A19", f"is a workbook larger than {LARGEST >> 20} MB; save the sheet as CSV UTF-8")
    values, formulas = _only_sheet(path, data_only=True), _only_sheet(path, data_only=False)
    merged = sorted(formulas.merged_cells.ranges, key=lambda one: (one.min_row, one.min_col))
    if merged:
        message = "cells are merged, and only the first of them holds the value; unmerge and fill them"
        raise Stop("A24", message, row=int(merged[0].min_row))
    if _calculated(values, formulas):
        told.append("A22")
    hidden = [*formulas.row_dimensions.values(), *formulas.column_dimensions.values()]
    if any(one.hidden for one in hidden):
        told.append("A23")
    lines: list[list[str]] = []
    for row in values.iter_rows(min_row=1, min_col=values.min_column, values_only=True):
        lines.append([as_text(value, decimal) for value in row])
        if len(lines) == _ROWS_AT_ONCE:
            yield as_csv(lines)
            lines = []
    yield as_csv(lines)


def _only_sheet(path: Path, *, data_only: bool) -> Any:
    """The one sheet of a workbook that holds anything."""
    try:
        import openpyxl
    except ImportError:
        raise Stop("A18", _HOW) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and drop-down lists that are not kept
            book = openpyxl.load_workbook(path, data_only=data_only)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile):
        raise Stop("A14", _DAMAGED) from None
    filled = [sheet for sheet in book.worksheets if any(_cells(sheet))]
    if not filled:
        raise Stop("A06", "the workbook is empty")
    if len(filled) > 1:
        message = (
            f"the workbook holds {len(filled)} sheets with data; save the one to read as a file of its own"
        )
        raise Stop("A16", message)
    return filled[0]


def _cells(sheet: Any) -> Iterator[Any]:
    return (cell for row in sheet.iter_rows() for cell in row if cell.value is not None)


def _calculated(values: Any, formulas: Any) -> bool:
    """Whether cells hold formulas; refuses those whose value was never calculated: they would be blank."""
    found = False
    for cell in _cells(formulas):
        if cell.data_type == "f":
            found = True
            if values.cell(cell.row, cell.column).value is None:
                message = (
                    "a formula has no calculated value; open the workbook in Excel, save it and try again"
                )
                raise Stop("A22", message, row=int(cell.row))
    return found
