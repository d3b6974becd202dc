"""A file's rows to typed frames of doses, scores, monitoring, people and events, one view at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ketaoutcomes.intake.doses import read_doses
from ketaoutcomes.intake.layout import is_long
from ketaoutcomes.intake.people import read_events, read_people
from ketaoutcomes.intake.readings import read_readings
from ketaoutcomes.intake.scores import read_long, read_wide

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.intake.rows import Rows


def read_view(rows: Rows) -> dict[str, pd.DataFrame]:
    """Every table of a view as a typed frame. Rows found wanting are noted and no longer `rows.alive`.

    Doses are read first, since a fault in one keeps the whole row out, scores and all.
    """
    made: dict[str, pd.DataFrame] = {}
    tables = rows.view.tables
    if "doses" in tables:
        made["doses"] = read_doses(rows)
    if "scores" in tables:
        made["scores"] = read_long(rows) if is_long(rows.fields, rows.plan) else read_wide(rows)
    if "people" in tables and (people := read_people(rows, beside_doses="doses" in made)) is not None:
        made["people"] = people
    if "monitoring" in tables:
        made["monitoring"] = read_readings(rows)
    if "events" in tables:
        made["events"] = read_events(rows)
    if rows.view.constant_day:
        made = {table: one_per_patient(frame) for table, frame in made.items()}
    return made


def one_per_patient(frame: pd.DataFrame) -> pd.DataFrame:
    """Where all rows fall on one stated day, a patient's equal rows are one record told several times."""
    alone = frame[~frame.drop(columns="source_row").duplicated()].reset_index(drop=True)
    alone.attrs.update(frame.attrs)
    return alone
