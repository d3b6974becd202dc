"""The published CMS159 deck as cohort frames: 61 synthetic patients, read from its CSV files."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

DECK = (
    Path(os.environ.get("KETAOUTCOMES_REFERENCE_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
    / "ecqm-cms159-mp2025"
)

# What the deck's value sets are to us. A row of none of them is no event here.
KINDS = {
    "Contact or Office Visit": ("encounter", ""),
    "Major Depression Including Remission": ("diagnosis", "depression"),
    "Dysthymia": ("diagnosis", "dysthymia"),
    "Bipolar Disorder": ("diagnosis", "bipolar"),
    "Personality Disorder Emotionally Labile": ("diagnosis", "personality_disorder"),
    "Pervasive Developmental Disorder": ("diagnosis", "pervasive_developmental"),
    "Schizophrenia or Psychotic Disorder": ("diagnosis", "psychosis"),
    "Palliative Care Diagnosis": ("diagnosis", "palliative"),
    "Hospice Encounter": ("hospice", ""),
    "Palliative Care Encounter; Palliative or Hospice Care": ("palliative", ""),
    "Palliative Care Intervention": ("palliative", ""),
    "Hospice Care Ambulatory": ("hospice", ""),
    "Hospice Care Ambulatory; Palliative or Hospice Care": ("hospice", ""),
}
HOSPICE_DIAGNOSIS = "Hospice Care Ambulatory; Hospice Diagnosis"  # a condition, or a procedure
TO_HOSPICE = ("428361000124107", "428371000124100")  # discharged to hospice care, at home or in a facility
FACIT_PAL, MINIMUM_DATA_SET = "71007-9", "45755-6"  # a palliative care questionnaire; hospice care, yes or no
YES = "373066001"
DONE = {"finished", "final", "amended", "corrected", "completed", "active"}


def available() -> None:
    """Skip where the deck is not there: it is public data, not part of the package."""
    if not DECK.is_dir():
        pytest.skip("the CMS159 deck is not here: set KETAOUTCOMES_REFERENCE_DATA to the folder that has it")


def rows() -> pd.DataFrame:
    """Its events, without what the published logic disregards: unconfirmed, unknown, not to be performed."""
    table = pd.read_csv(DECK / "events.csv", dtype=str, keep_default_na=False)
    condition = table["resource"] == "Condition"
    valid = condition & (table["verification"] == "confirmed") & (table["clinical"] == "active")
    valid |= ~condition & table["status"].isin(DONE) & (table["do_not_perform"] != "True")
    table = table[valid].assign(date=table["start"].str[:10], until=table["end"].str[:10])
    return table.reset_index(drop=True)


def events() -> pd.DataFrame:
    """The deck's encounters, diagnoses, deaths and so on as our events."""
    table = rows()
    kind = table["value_sets"].map(lambda text: KINDS.get(text, ("", ""))[0])
    code = table["value_sets"].map(lambda text: KINDS.get(text, ("", ""))[1])
    diagnosed = (table["value_sets"] == HOSPICE_DIAGNOSIS) & (table["resource"] == "Condition")
    kind = kind.mask(table["value_sets"] == HOSPICE_DIAGNOSIS, "hospice").mask(diagnosed, "diagnosis")
    code = code.mask(diagnosed, "hospice")
    discharged = table["discharge"].str.contains("|".join(TO_HOSPICE))
    told = (table["code"] == MINIMUM_DATA_SET) & table["value_code"].str.endswith(YES)
    kind = kind.mask(discharged | told, "hospice").mask(table["code"] == FACIT_PAL, "palliative")
    date, until = (pd.to_datetime(table[name].mask(table[name] == "")) for name in ("date", "until"))
    date = date.mask(discharged, until)
    days = ((until - date).dt.days + 1).astype("Int64")
    found = pd.DataFrame(
        {"patient": table["patient"], "date": date, "kind": kind, "code": code, "days": days}
    )
    people = pd.read_csv(DECK / "patients.csv", dtype=str, keep_default_na=False)
    died = people[people["deceased"] != ""]
    deaths = pd.DataFrame({"patient": died["patient"], "date": pd.to_datetime(died["deceased"].str[:10])})
    return pd.concat([found[found["kind"] != ""], deaths.assign(kind="death", code="")], ignore_index=True)


def scores() -> pd.DataFrame:
    """Its PHQ-9 totals."""
    table = rows()
    table = table[table["value_sets"] == "PHQ 9 and PHQ 9M Tools"]
    value, date = pd.to_numeric(table["value"]), pd.to_datetime(table["date"])
    return pd.DataFrame({"patient": table["patient"], "date": date, "phq9": value})


def people() -> pd.DataFrame:
    """Its patients with their day of birth."""
    table = pd.read_csv(DECK / "patients.csv", dtype=str, keep_default_na=False)
    return pd.DataFrame({"patient": table["patient"], "birth_date": pd.to_datetime(table["birth_date"])})


def expected() -> pd.DataFrame:
    """The populations its authors expect, by patient."""
    table = pd.read_csv(DECK / "expected.csv").set_index("patient")
    return table[["initial-population", "denominator-exclusion", "numerator"]].sort_index()
