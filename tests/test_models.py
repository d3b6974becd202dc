"""Models of repeated scores: against other programs and by hand, in words, and what is refused."""

from __future__ import annotations

import os
import random
import sys
from importlib.util import find_spec
from math import log, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reference import Settings
from small_cohorts import Rows, plan_for, study_of

import ketaoutcomes as ko
from ketaoutcomes import models
from ketaoutcomes.models import ModelError, ModelFit, fit_change, fit_response

DATA = Path(os.environ.get("KETAOUTCOMES_REFERENCE_DATA", Path(__file__).parents[2] / "shared" / "data"))
fitted = pytest.mark.skipif(
    find_spec("statsmodels") is None, reason="statsmodels (extra models) is not installed"
)


def terms(fit: ModelFit, *columns: str) -> list[list[float]]:
    """The chosen columns of a fit's table, row by row."""
    return [list(map(float, row)) for row in fit.table[list(columns)].to_numpy()]


# --- against other programs --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def riesby() -> pd.DataFrame:
    """Weekly change of HAM-D, Reisby 1977: `depr_score` is change; here a response is 8 points or more."""
    path = DATA / "riesby-imipramine" / "riesby.csv"
    if not path.exists():
        pytest.skip(f"no reference data at {path}: set KETAOUTCOMES_REFERENCE_DATA")
    rows = pd.read_csv(path).rename(columns={"subject": "patient", "week": "point", "depr_score": "change"})
    assert (len(rows), rows["patient"].nunique()) == (250, 66)
    return rows.assign(met=(rows["change"] <= -8).astype(float))


@fitted
def test_mixed_models_of_the_riesby_data_are_lme4s(riesby: pd.DataFrame) -> None:
    # R 4.2.2, lme4 1.1-31, REML: depr_score ~ 0 + factor(week) + (1 | subject); ~ week + (1 | subject);
    # ~ week + (week | subject). Estimate and standard error.
    by_visit = fit_change(riesby)
    assert terms(by_visit, "estimate", "se") == [
        pytest.approx(row, abs=1e-4)
        for row in (
            [-5.059690, 0.851711], [-6.753718, 0.848963], [-9.532716, 0.854537], [-11.183504, 0.869970],
        )
    ]  # fmt: skip
    assert list(by_visit.details.values()) == pytest.approx([32.19170, 15.07806], abs=2e-3)
    trend = fit_change(riesby, time="trend")
    assert terms(trend, "estimate", "se") == [
        pytest.approx(row, abs=2e-5) for row in ([-4.953439, 0.808496], [-2.119678, 0.223755])
    ]
    sloped = fit_change(riesby, time="trend", slope=True)
    assert terms(sloped, "estimate", "se") == [
        pytest.approx(row, abs=2e-4) for row in ([-4.953441, 0.696065], [-2.115080, 0.277532])
    ]
    assert list(sloped.details.values()) == pytest.approx([23.97153, 10.83775, 2.60756, 1.60961], abs=2e-3)


@fitted
def test_estimating_equations_of_the_riesby_data_are_geepacks(riesby: pd.DataFrame) -> None:
    # R 4.2.2, geepack 1.3.9, geeglm(corstr = "exchangeable"), robust errors. Its moment estimate of the
    # correlation divides otherwise (.4456 for .4435), which moves the rest in the fourth digit.
    fit = fit_response(riesby)
    assert terms(fit, "estimate", "se") == [
        pytest.approx(row, abs=1e-4)
        for row in ([-0.763961, 0.265364], [-0.352380, 0.251092], [0.818916, 0.269377], [0.710743, 0.278556])
    ]
    assert fit.details["correlation within patient"] == pytest.approx(0.4456331, abs=0.003)
    trend = fit_response(riesby, time="trend")
    assert terms(trend, "estimate", "se") == [
        pytest.approx(row, abs=1e-4) for row in ([-0.741227, 0.253120], [0.575361, 0.107998])
    ]


def balanced(people: int = 80) -> pd.DataFrame:
    """Everyone scored at all three visits: the answers can be had by hand."""
    rng = random.Random(7)
    rows = []
    for number in range(people):
        level = rng.gauss(0, 3)
        for point in (1, 2, 3):
            change = round(level - 2 * point + rng.gauss(0, 2), 1)
            rows.append(
                {"patient": f"P{number}", "point": point, "change": change, "met": float(change < -4)}
            )
    return pd.DataFrame(rows)


@fitted
def test_where_nothing_is_missing_the_mean_is_the_mean() -> None:
    """Analysis of variance by hand: with everyone there, REML is what the mean squares say."""
    rows = balanced()
    wide = rows.pivot(index="patient", columns="point", values="change").to_numpy()
    n, k = wide.shape
    residual = wide - wide.mean(axis=0) - wide.mean(axis=1, keepdims=True) + wide.mean()
    within = float((residual**2).sum() / ((n - 1) * (k - 1)))
    between = (k * float(wide.mean(axis=1).var(ddof=1)) - within) / k
    fit = fit_change(rows)
    assert terms(fit, "estimate", "se") == [
        pytest.approx([mean, sqrt((between + within) / n)], rel=1e-3) for mean in wide.mean(axis=0)
    ]
    assert list(fit.details.values()) == pytest.approx([between, within], rel=1e-3)


@fitted
def test_where_nothing_is_missing_the_share_is_the_share() -> None:
    rows = balanced()
    shares = rows.groupby("point")["met"].mean()
    fit = fit_response(rows)
    for (share, low, high), p in zip(terms(fit, "share", "share_low", "share_high"), shares, strict=True):
        half = 1.959964 / sqrt(80 * p * (1 - p))  # the robust error of a log odds, by hand
        assert share == pytest.approx(p, abs=1e-6)
        assert [low, high] == pytest.approx(
            [1 / (1 + np.exp(-(log(p / (1 - p)) + s * half))) for s in (-1, 1)]
        )
    assert fit.table["p"].isna().all()  # nothing to test: zero would be one half


# --- what must hold ----------------------------------------------------------------------------------------


@fitted
def test_the_order_of_rows_and_the_names_of_patients_carry_no_meaning() -> None:
    rows = balanced(30).assign(site=lambda d: np.where(d["patient"].str.len() > 2, "a", "b"))
    again = rows.sample(frac=1, random_state=3).assign(patient=lambda d: "x" + d["patient"])
    for fit in (fit_change, fit_response):
        one, other = (fit(part, adjust=["site"]).table for part in (rows, again))
        pd.testing.assert_frame_equal(one, other, rtol=1e-4)


@fitted
def test_few_patients_have_wider_errors() -> None:
    fit = fit_response(balanced(30))
    assert "corrected for fewer than 50 patients" in fit.method
    by_hand = [1 / sqrt(30 * p * (1 - p)) for p in balanced(30).groupby("point")["met"].mean()]
    assert all(se > plain for (se,), plain in zip(terms(fit, "se"), by_hand, strict=True))


@fitted
def test_a_covariate_that_is_blank_leaves_its_rows_out_and_says_so() -> None:
    rows = balanced(20).assign(age=40.0)
    rows["age"] = rows["patient"].str[1:].astype(float)
    rows.loc[rows["patient"] == "P3", "age"] = np.nan
    fit = fit_change(rows, adjust=["age"])
    assert (fit.patients, fit.rows, fit.left_out) == (19, 57, 3)
    assert "3 rows without a covariate left out" in str(fit)
    # Centred on the patients' mean, so that the visits are those of the mean patient.
    kept = rows.dropna(subset="age")
    assert terms(fit, "estimate")[0] == pytest.approx([kept.loc[kept["point"] == 1, "change"].mean()])


# --- a study -----------------------------------------------------------------------------------------------


def study(seed: int = 1, people: int = 60) -> ko.Study:
    """Six doses each, scores after some of them, two sites."""
    rng = random.Random(seed)
    rows = Rows()
    for number in range(people):
        level = rng.randint(-3, 3)
        scores = [f"{day + 1}:{max(0, 18 + level - 2 * k - rng.randint(0, 6))}"
                  for k, day in enumerate((0, 3, 7, 10, 14, 17)) if rng.random() < 0.8]  # fmt: skip
        person = {"site": rng.choice(["<North & Co>", "South"])}
        rows.add(f"P{number}", "0 3 7 10 14 17", person, phq9=" ".join([f"-1:{20 + level}", *scores]))
    return study_of(rows, plan_for(Settings(), ["phq9_response50"], complete=True))


@fitted
def test_a_study_is_fitted_on_the_rows_it_shows() -> None:
    found = study()
    points = found.points(at="session", criteria="phq9_response50")
    points = points[points["state"].isin(["met", "not_met"])]
    baselines = found.baselines[["patient", "baseline"]]
    own = points.merge(baselines, on="patient").assign(
        met=lambda d: (d["state"] == "met").astype(float), change=lambda d: d["score"] - d["baseline"]
    )
    fit = models.response_model(found, "phq9_response50", time="trend")
    pd.testing.assert_frame_equal(fit.table, fit_response(own, time="trend").table)
    fit = models.change_model(found, "phq9")
    pd.testing.assert_frame_equal(fit.table, fit_change(own, adjust=["baseline"]).table)
    assert fit.rows == len(own)
    everyone = models.response_model(found, "phq9_response50", time="trend", analysis="nri")
    assert everyone.rows == 6 * 60


@fitted
def test_a_fit_says_in_words_what_it_is() -> None:
    fit = models.change_model(study(), "phq9", adjust=["baseline", "site"], time="trend")
    for text in (str(fit), fit._repr_html_()):
        assert "missing at random" in text
        assert "do not share" in text
        assert "mean change from baseline per visit" in text
        assert "change = 1 + visit number + baseline + site + patient level" in text
    assert "<North" not in fit._repr_html_()
    assert "&lt;North &amp; Co&gt;" in fit._repr_html_()
    observed = models.response_model(study(), "phq9_response50", time="trend")
    assert "missing completely at random" in str(observed)
    assert "a definition and not an estimate" in str(
        models.response_model(study(), "phq9_response50", time="trend", analysis="nri")
    )


# --- what is refused ---------------------------------------------------------------------------------------


@fitted
@pytest.mark.parametrize(
    "rows",
    [
        balanced(6).assign(change=0.0),                                       # nothing varies
        balanced(6).assign(change=lambda d: d["point"] * 1.0),                # nothing is left to explain
        balanced(6).assign(change=lambda d: d["point"] * d["patient"].str[1:].astype(float)),
    ],
)  # fmt: skip
def test_a_fit_that_did_not_converge_prints_nothing_and_says_what_was_tried(rows: pd.DataFrame) -> None:
    with pytest.raises(ModelError, match=r"nothing to print; tried lbfgs \(.*bfgs \(.*cg \(") as raised:
        fit_change(rows, slope=True, time="trend")
    assert not any(patient in str(raised.value) for patient in rows["patient"])


@fitted
def test_estimating_equations_that_break_off_print_nothing() -> None:
    rows = balanced(6).assign(met=lambda d: (d["point"] != 2).astype(float))
    with pytest.raises(ModelError, match="did not converge, so there is nothing to print; tried 200 rounds"):
        fit_response(rows, time="trend")


@fitted
@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"met": 1.0}, {}, "at visit 1, 2, 3 all or none met"),
        ({"met": 0.0}, {"time": "trend"}, "all or none met at every visit"),
        ({"met": 0.5}, {}, "met is 0 or 1"),
        ({}, {"adjust": ["age"]}, "no column 'age'"),
        ({"age": 40.0}, {"adjust": ["age"]}, "cannot be told apart"),
        ({"patient": "P1"}, {}, "fewer than two patients"),
        ({}, {"time": "week"}, "time is visit or trend"),
        ({}, {"level": 95}, "level must lie between 0 and 1"),
    ],
)
def test_a_response_that_cannot_be_modelled(
    change: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        fit_response(balanced(60).assign(**change), **options)


@fitted
def test_separation_is_refused() -> None:
    rows = balanced(60).assign(who=lambda d: np.where(d["met"] == 1, "yes", "no"))
    with pytest.raises(ModelError, match="no finite estimate: a covariate separates"):
        fit_response(rows, time="trend", adjust=["who"])


@fitted
def test_change_needs_repeated_scores() -> None:
    with pytest.raises(ModelError, match="one score only"):
        fit_change(balanced(30).query("point == 1"))


@fitted
def test_a_study_says_what_to_ask_for() -> None:
    found = study()
    with pytest.raises(ModelError, match="at is session or week"):
        models.change_model(found, "phq9", at="end")
    with pytest.raises(ModelError, match="columns that people do not have: 'age'"):
        models.change_model(found, "phq9", adjust=["age"])
    with pytest.raises(ModelError, match="analysis is observed or nri"):
        models.response_model(found, "phq9_response50", analysis="locf")  # type: ignore[arg-type]
    mixed = Rows()
    for number in range(4):
        mixed.add(f"P{number}", "0 3 7/im" if number % 2 else "0/im 7/im", phq9="-1:20 1:12 8:10")
    several = study_of(mixed, plan_for(Settings(), ["phq9_response50"], complete=True))
    with pytest.raises(ModelError, match="protocol='im'"):
        models.change_model(several, "phq9")


def test_without_statsmodels_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statsmodels.api", None)
    found = study(people=2)
    for fit in (
        lambda: fit_change(balanced(5)),
        lambda: fit_response(balanced(5)),
        lambda: models.change_model(found, "phq9"),
        lambda: models.response_model(found, "phq9_response50"),
    ):
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'ketaoutcomes\[models\]'"):
            fit()
