"""The package against the slow reference on random cohorts: every state of every course, and every rate."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import random_cohorts
import reference
from reference import Settings
from small_cohorts import Rows, plan_for, study_of

import ketaoutcomes as ko

CRITERIA = tuple(reference.CRITERIA)
KINDS = ("current", "ever", "sustained")
AXES = ("session", "week", "end", "month")
BRIEF = reference.Protocol(3, 4, 9, (3, 20), 25, 40)  # as plans/brief/brief.toml
FOLDER = Path(__file__).parent / "plans" / "brief"
PROTOCOLS = ("brief", "iv6", "iv6_weekly", "im", "esketamine", "home", "none")
KEY = ["patient", "course", "criterion", "kind", "point"]


def slow_points(
    rows: Rows, settings: Settings, axis: str, as_of: int | None, by_cut_day: bool
) -> pd.DataFrame:
    """The reference's points."""
    found = reference.points(
        rows.doses, rows.scores, rows.people, settings,
        axis=axis, criteria=CRITERIA, kinds=KINDS, as_of=as_of, by_cut_day=by_cut_day,
    )  # fmt: skip
    return pd.DataFrame(found, columns=[*KEY, "protocol", "given", "state", "day", "score"])


def of_patient(rows: Rows, patient: str) -> str:
    """One patient's rows, for the message of a failing test."""
    lines = [f"people {row}" for row in rows.people if row["patient"] == patient]
    lines += [
        f"dose   {row}" for row in sorted(rows.doses, key=lambda r: r["day"]) if row["patient"] == patient
    ]
    ordered = sorted(rows.scores, key=lambda r: (r["instrument"], r["day"], r["timing"] == "post"))
    return "\n".join([*lines, *(f"score  {row}" for row in ordered if row["patient"] == patient)])


def assert_same_points(fast: pd.DataFrame, slow: pd.DataFrame, rows: Rows, start: pd.Series | None) -> None:
    """Given and state of every course at every point, and the score judged where one is."""
    both = pd.merge(
        fast.assign(point=fast["point"].astype(str)),
        slow,
        on=KEY,
        how="outer",
        suffixes=("", "_slow"),
        indicator=True,
    )
    differs = (
        (both["_merge"] != "both")
        | (both["state"] != both["state_slow"])
        | (both["given"] != both["given_slow"])
    )
    judged = both["state"].isin(["met", "not_met", "carried_met", "carried_not_met"]) & (
        both["kind"] == "current"
    )
    expected = pd.array([float(s) if isinstance(s, Fraction) else np.nan for s in both["score_slow"]])
    is_score = ~both["criterion"].isin(reference.DIAGNOSIS_RULES)
    differs |= judged & is_score & ~np.isclose(both["score"].astype(float), expected.to_numpy(float))
    day = both["day"].astype(float) + (0 if start is None else both["patient"].map(start))
    differs |= judged & (day != both["day_slow"].astype(float))
    if differs.any():
        first = both[differs].iloc[0]
        raise AssertionError(
            f"{int(differs.sum())} differ; first:\n{first}\n{of_patient(rows, first['patient'])}"
        )


def assert_same_rates(
    fast: pd.DataFrame, slow: dict[tuple[Any, ...], dict[str, Any]], by: tuple[str, ...]
) -> None:
    """Every numerator, denominator and rate; where nobody is due there may or may not be a row."""
    seen = set()
    for row in fast.to_dict("records"):
        key = (
            row["criterion"],
            row["kind"],
            *(row[column] for column in by),
            str(row["point"]),
            row["analysis"],
        )
        expected = slow.get(key)
        if expected is None:
            assert pd.isna(row["rate"]), key
            if row["reason"] in {"not_visit_based", "judged_by_week_only", "no_dates"}:
                assert row["point"] == "", key
            elif row["analysis"] == "locf" and row["kind"] != "current":
                assert row["reason"] == "locf_not_defined", key
            else:
                assert (row["n"], row["met"]) == (0, 0), key
            continue
        seen.add(key)
        for column in ("due", "given", "assessed", "met", "n"):
            assert row[column] == expected[column], (key, column, row, expected)
        if expected["rate"] is None:
            assert pd.isna(row["rate"]), key
            assert row["reason"], key
        else:
            assert abs(row["rate"] - float(expected["rate"])) < 1e-15, key
    assert not {key for key in set(slow) - seen if slow[key]["due"]}


def start_days(cohort: ko.Cohort) -> pd.Series:
    """Each patient's day 0 as an ordinal."""
    people = cohort.people.set_index("patient")
    return people["start_date"].map(lambda when: pd.Timestamp(when).toordinal())


def situation(seed: int) -> tuple[Rows, Settings, int | None, bool, bool]:
    """Rows, plan, as-of ordinal, whether cut days stand for it, and whether the data are complete."""
    rng = random.Random(seed)
    mode = rng.choice(("dated", "dated", "cut", "complete"))
    rows = random_cohorts.rows(seed, dated=mode == "dated", protocols=PROTOCOLS, cut=mode == "cut")
    settings = random_cohorts.settings(seed, {"brief": BRIEF})
    as_of = None
    if mode == "dated":
        as_of = random_cohorts.EPOCH + rng.choice((150, 200, 250, 300, 400, 900))
    if rng.random() < 0.2 and mode != "dated":
        settings = replace(settings, observed_from=rng.choice((-91, -69, -45, -20, 0)))
    return rows, settings, as_of, mode == "cut", mode == "complete"


@pytest.mark.parametrize("seed", range(8))
def test_every_state_and_rate_agrees(seed: int) -> None:
    rows, settings, as_of, cut, complete = situation(seed)
    plan = plan_for(settings, CRITERIA, FOLDER, complete)
    study = study_of(rows, plan, as_of, long=seed % 2 == 0)
    start = start_days(study.cohort) if rows.dated else None
    for axis in AXES if rows.dated else AXES[:3]:
        slow = slow_points(rows, settings, axis, as_of, cut)
        fast = study.points(at=axis, criteria=list(CRITERIA), kind=list(KINDS))
        assert_same_points(fast, slow, rows, start)
        table = study.rates(
            at=axis, criteria=list(CRITERIA), kind=list(KINDS), analysis=["nri", "observed", "locf"]
        )
        by = ("protocol",) if axis == "session" else ()
        assert_same_rates(table, reference.rates(slow.to_dict("records"), by), by)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [*range(8, 16), *range(1000, 1400)])
def test_every_state_and_rate_agrees_at_length(seed: int) -> None:
    test_every_state_and_rate_agrees(seed)


@pytest.mark.parametrize("seed", range(3))
def test_rates_by_site_agree(seed: int) -> None:
    rows = random_cohorts.rows(seed, dated=False, cut=True)
    settings = Settings()
    study = study_of(rows, plan_for(settings, CRITERIA))
    slow = slow_points(rows, settings, "week", None, by_cut_day=True)
    site = {person["patient"]: person["site"] for person in rows.people}
    slow["site"] = slow["patient"].map(site)
    table = study.rates(at="week", by="site", criteria=list(CRITERIA), analysis=["nri", "observed"])
    expected = reference.rates(slow[slow["kind"] == "current"].to_dict("records"), ("site",))
    assert_same_rates(table, {k: v for k, v in expected.items() if k[-1] != "locf"}, ("site",))


@pytest.mark.parametrize("seed", range(3))
def test_without_a_cut_day_only_observed_is_given(seed: int) -> None:
    rows = random_cohorts.rows(seed, dated=False)
    study = study_of(rows, plan_for(Settings(), CRITERIA))
    for axis in ("session", "week", "end"):
        slow = slow_points(rows, Settings(), axis, None, by_cut_day=False)
        by = ("protocol",) if axis == "session" else ()
        expected = reference.rates(slow.to_dict("records"), by)
        table = study.rates(
            at=axis, criteria=list(CRITERIA), kind=list(KINDS), analysis=["nri", "observed", "locf"]
        )
        assert table.loc[table["analysis"] != "observed", "rate"].isna().all()
        others = table[(table["analysis"] == "nri") & table["criterion"].isin(CRITERIA)]
        assert set(others["reason"]) <= {"no_cut_day", "not_visit_based", "judged_by_week_only"}
        for row in table[table["analysis"] == "observed"].to_dict("records"):
            key = (row["criterion"], row["kind"], *(row[c] for c in by), str(row["point"]), "observed")
            if key in expected:
                assert (row["met"], row["n"]) == (expected[key]["met"], expected[key]["n"]), key


@pytest.mark.parametrize("seed", range(6))
def test_courses_and_baselines_agree(seed: int) -> None:
    rows, settings, as_of, cut, complete = situation(seed)
    study = study_of(rows, plan_for(settings, CRITERIA, FOLDER, complete), as_of)
    start = start_days(study.cohort) if rows.dated else None
    expected_courses, expected_baselines = [], []
    persons = {person["patient"]: person for person in rows.people}
    for patient in sorted({row["patient"] for row in rows.doses}):
        person = persons.get(patient, {"patient": patient})
        last = person["cut_day"] if cut else as_of
        shift = int(start[patient]) if start is not None and patient in start else 0
        courses = reference.courses_of(rows.doses, person, last, settings)
        for course in courses:
            until = max(course.ends[day] for day in course.days)
            expected_courses.append(
                (
                    patient,
                    course.number,
                    course.protocol,
                    course.first - shift,
                    until - shift,
                    len(course.days),
                )
            )
        for instrument in ("phq9", "pcl5", "gad7", "peg"):
            scores = reference.scores_of(rows.scores, patient, instrument, last, settings)
            index = 0
            for course in courses:
                baseline = reference.baseline_of(course, scores, settings)
                reason = reference.why_not(course, person, baseline, instrument, settings)
                index += reason == "eligible"
                points = float(baseline.total) if baseline else None
                expected_baselines.append(
                    (patient, course.number, instrument, points, reason, index if reason == "eligible" else 0)
                )
    columns = ["patient", "course", "protocol", "first_day", "last_day", "sessions"]
    found = sorted(study.courses[columns].itertuples(index=False, name=None))
    assert found == expected_courses
    columns = ["patient", "course", "instrument", "baseline", "reason", "index"]
    table = (
        study.baselines[columns].astype({"baseline": object}).where(study.baselines[columns].notna(), None)
    )
    found_baselines = sorted(table.itertuples(index=False, name=None), key=lambda r: r[:3])
    assert [b[:3] + b[4:] for b in found_baselines] == [b[:3] + b[4:] for b in sorted(expected_baselines)]
    pairs = zip(found_baselines, sorted(expected_baselines, key=lambda r: r[:3]), strict=True)
    assert all(
        (a[3] is None) == (b[3] is None) and (a[3] is None or abs(a[3] - b[3]) < 1e-12) for a, b in pairs
    )
