"""Whose score is missing: by eye, and by what must hold of counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes.estimates.balance import standardised_distance
from ketaoutcomes.estimates.intervals import interval
from ketaoutcomes.results.missingness import COUNTS, missingness

CRITERION = "phq9_response50"

# Baseline; then scores on days 4 and 30 (the end window), "." for none; six doses on days 0 to 17.
PEOPLE = {
    "a1": ("f", 12, "6", "6"),  # scored at the end
    "a2": ("f", 12, "6", "."),  # last score met the criterion
    "a3": ("f", 22, "20", "."),  # last score did not
    "b1": ("m", 22, ".", "."),  # never scored after the first dose
    "b2": ("m", 22, ".", "20"),  # scored at the end
    "b3": ("", 16, ".", "7"),  # sex not recorded
}
DOSES = (0, 3, 7, 10, 14, 17)


def study(order: list[str] | None = None, shift: int = 0) -> ko.Study:
    doses, scores, people = [], [], []
    for patient in order or list(PEOPLE):
        sex, baseline, early, late = PEOPLE[patient]
        doses += [{"patient": patient, "day": shift + day, "dose": 0.5, "route": "iv"} for day in DOSES]
        told = [(0, str(baseline)), (4, early), (30, late)]
        scores += [
            {"patient": patient, "day": shift + day, "phq9": int(score)}
            for day, score in told
            if score != "."
        ]
        people.append({"patient": patient, "sex": sex or None, "cut_day": shift + 200})
    frames = (pd.DataFrame(doses), pd.DataFrame(scores), pd.DataFrame(people))
    plan = ko.Plan().replace(columns={"covariates": ("sex",)})
    return ko.Study(ko.Cohort.from_frames(*frames, plan=plan))


def told(table: pd.DataFrame) -> dict[str, list[int]]:
    return {row.level: [getattr(row, name) for name in COUNTS] for row in table.itertuples()}


def test_who_is_missing_by_eye() -> None:
    table = study().missingness(by="sex", criteria=CRITERION)
    # due, scored, missing; of the missing: last score met, did not, never scored
    assert told(table) == {
        "f": [3, 1, 2, 1, 1, 0],
        "m": [2, 1, 1, 0, 0, 1],
        "(missing)": [1, 1, 0, 0, 0, 0],
    }


def test_bands_stand_mildest_first() -> None:
    table = study().missingness(by="phq9_baseline_band", criteria=CRITERION)
    assert table["level"].tolist() == ["moderate", "moderately severe", "severe"]
    assert table["missing"].tolist() == [1, 0, 2]


def test_intervals_and_distances_are_those_of_the_estimates() -> None:
    table = study().missingness(by="sex", criteria=CRITERION)
    low, high = interval(table["missing"], table["due"])
    assert table["share"].tolist() == pytest.approx([2 / 3, 1 / 2, 0])
    assert (table["low"].tolist(), table["high"].tolist()) == (pytest.approx(low), pytest.approx(high))
    # Of those whose sex is on record: missing 2 and 1, scored 1 and 1.
    assert table["smd"].iloc[0] == pytest.approx(standardised_distance([2, 1], [1, 1]))
    assert table["smd"].iloc[1:].isna().all()


def test_levels_add_up_to_the_rates() -> None:
    own = ko.Study(ko.load_sample(), as_of="2026-10")
    for at in ("end", "week"):
        table = own.missingness(at=at, criteria=CRITERION)
        rates = own.rates(at=at, criteria=CRITERION, analysis="nri").set_index("point")
        for (_, point), part in table.groupby(["variable", "point"]):
            assert part["due"].sum() == rates.loc[point, "n"]
            assert part["scored"].sum() == rates.loc[point, "assessed"]
            assert (part[["last_met", "last_not_met", "never_scored"]].sum(axis=1) == part["missing"]).all()
    assert {"phq9_baseline_band", "sex", "site", "route"} <= set(table["variable"])


def test_sessions_are_by_protocol() -> None:
    table = study().missingness(by="sex", criteria=CRITERION, at="session")
    assert set(table["protocol"]) == {"iv6"}
    first = table[table["point"] == "1"].set_index("level")
    assert first.loc["f", ["due", "scored"]].tolist() == [3, 3 - 3]
    assert table["point"].drop_duplicates().tolist() == ["1", "2", "3", "4", "5", "6"]


def test_neither_order_nor_the_calendar_matters() -> None:
    table = study().missingness()
    shuffled = study(["b3", "a2", "b1", "a1", "b2", "a3"], shift=11).missingness()
    pd.testing.assert_frame_equal(table, shuffled)


def test_sites_add() -> None:
    one, two = (study(part).tally(by="sex", at="end", criteria=CRITERION, tables=("points",))
                for part in (["a1", "a2", "b1"], ["a3", "b2", "b3"]))  # fmt: skip
    plan = study().plan
    pd.testing.assert_frame_equal(
        missingness([one + two], plan), study().missingness(by="sex", criteria=CRITERION)
    )


def test_a_hidden_count_is_not_zero() -> None:
    tally = study().tally(by="sex", at="end", criteria=CRITERION, kind="current", tables=("points",))
    tally.points.loc[tally.points["state"] == "carried_met", "n"] = np.nan
    row = missingness([tally], study().plan).set_index("level").loc["f"]
    assert row[["last_met", "missing", "due", "share", "low"]].isna().all()
    assert row["scored"] == 1
