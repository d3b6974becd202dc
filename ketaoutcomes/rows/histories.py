"""Doses and scores of each course on one clock, days since its first dose: row-level, for drawing only.

A swimmer plot and a patient's timeline are drawn from this table and from `study.stretches()`. It holds
people's own records under their codes: it stays in the notebook, and no report is made of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from ketaoutcomes.records.cohort import Cohort

KEYS = ["patient", "course"]


def history(
    cohort: Cohort,
    courses: pd.DataFrame,
    baselines: pd.DataFrame,
    outcomes: pd.DataFrame,
    good_time: pd.DataFrame,
) -> pd.DataFrame:
    """Every dose and score of the courses in a `good_time` table of one criterion.

    Args:
        cohort: whose doses and targets.
        courses, baselines, outcomes: the study's tables of these names.
        good_time: the study's good time by one criterion; its courses and its instrument's scores are shown.

    Returns:
        One row per dose and score, in order: patient, course, day (since the first dose; the baseline's is 0
        or negative), kind (dose or score), value (amount, or points), unit (the dose's, or the instrument)
        and of_level, a dose as a share of the course's level: blank where they are not in one unit.

    Raises:
        ValueError: the table holds several criteria, or courses that the study does not.
    """
    criteria = good_time["criterion"].drop_duplicates()
    if len(criteria) > 1:
        raise ValueError(f"one history follows one criterion; this table holds {', '.join(criteria)}")
    own = good_time[[*KEYS, "level", "basis"]].merge(
        courses[[*KEYS, "first_day", "unit"]], on=KEYS, how="left", validate="one_to_one"
    )
    if own["first_day"].isna().any():
        raise ValueError("this good-time table holds courses that are not among the study's")
    if "target_unit" in cohort.people and own["basis"].eq("target").any():
        stated = own["patient"].map(cohort.people.set_index("patient")["target_unit"])
        own["unit"] = stated.astype(object).where(own["basis"] == "target", own["unit"])
    own = own.rename(columns={"unit": "level_unit"})
    instruments = good_time["instrument"].drop_duplicates()
    parts = [
        _doses(cohort.doses, courses, own),
        _scores(outcomes[outcomes["instrument"].isin(instruments)], own, "score"),
        _scores(
            baselines[baselines["instrument"].isin(instruments)].rename(columns={"baseline_day": "day"}),
            own,
            "baseline",
        ),
    ]
    table = pd.concat(parts, ignore_index=True)
    # On one day a score stands before the dose.
    order = ["patient", "course", "day", "_dose"]
    table["_dose"] = table["kind"].eq("dose")
    return table.sort_values(order, kind="stable", ignore_index=True).drop(columns="_dose")


def _doses(doses: pd.DataFrame, courses: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """Each dose in the course it was given in: the last that had begun by its day."""
    begun = courses[[*KEYS, "first_day", "last_day"]].sort_values("first_day", kind="stable")
    given = doses[["patient", "day", "dose", "unit"]].sort_values("day", kind="stable")
    begun["first_day"] = begun["first_day"].astype(given["day"].dtype)
    rows = pd.merge_asof(given, begun, left_on="day", right_on="first_day", by="patient")
    rows = rows[rows["day"] <= rows["last_day"]].drop(columns=["first_day", "last_day"])
    rows["course"] = rows["course"].astype("int64")
    rows = rows.merge(own, on=KEYS)
    same = (rows["unit"].astype(object) == rows["level_unit"].astype(object)).to_numpy()
    share = np.where(same, rows["dose"].to_numpy(dtype=float) / rows["level"].to_numpy(dtype=float), np.nan)
    return _columns(rows, "dose", rows["dose"], rows["unit"], share)


def _scores(scores: pd.DataFrame, own: pd.DataFrame, value: str) -> pd.DataFrame:
    rows = scores[scores[value].notna() & scores["day"].notna()].merge(own, on=KEYS)
    return _columns(rows, "score", rows[value], rows["instrument"], np.full(len(rows), np.nan))


def _columns(
    rows: pd.DataFrame, kind: str, value: pd.Series[float], unit: pd.Series[str], share: np.ndarray
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient": rows["patient"],
            "course": rows["course"],
            "day": (rows["day"] - rows["first_day"]).astype("int64"),
            "kind": kind,
            "value": value.astype("float64"),
            "unit": unit.astype(object),
            "of_level": share,
        }
    )
