"""The record kept while a patient is watched after a dose: its cells as numbers, yes and no as 1 and 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.intake import texts
from ketaoutcomes.intake.cells import typed_numbers
from ketaoutcomes.records.monitoring import READINGS, YES_NO

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.intake.rows import Rows


def read_readings(rows: Rows) -> pd.DataFrame:
    """Rows of which any reading is filled. A faulty cell is noted and blank; the rest of its row stays."""
    columns: dict[str, Any] = {}
    filled = np.zeros(len(rows.grid), dtype=bool)
    for name in READINGS:
        if name not in rows.fields:
            continue
        parsed = (
            typed_numbers(rows.cells(name), texts.yes_no)
            if name in YES_NO
            else rows.number(name, texts.whole)
        )
        rows.note(parsed, rows.alive)
        columns[name] = parsed.rows
        filled |= ~np.isnan(parsed.rows)
    at = np.flatnonzero(filled & rows.alive)
    return rows.frame(at, {name: values[at] for name, values in columns.items()})
