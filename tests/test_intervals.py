"""Intervals for a proportion, against printed numbers and by relations that must hold."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from ketaoutcomes.estimates import difference, interval

METHODS = ("wilson", "exact", "jeffreys")
CHECKOUT = Path(__file__).resolve().parents[1]
DEFAULT_DATA = CHECKOUT.parent / "shared" / "data"
DATA = Path(os.environ.get("KETAOUTCOMES_REFERENCE_DATA") or DEFAULT_DATA) / "proportion-ci-reference"
NAMES = {"wilson": "wilson", "clopper_pearson": "exact"}


def published(name: str) -> list[dict[str, str]]:
    path = DATA / name
    if not path.exists():
        pytest.skip("reference data absent: set KETAOUTCOMES_REFERENCE_DATA")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# Newcombe 1998, Statistics in Medicine 17:857-872, Table I (methods 3 and 5), printed to four decimals.
# 36/154: CAMIS project (PSI/AIMS), SAS PROC FREQ output.
@pytest.mark.parametrize(
    ("method", "met", "n", "low", "high"),
    [
        ("wilson", 81, 263, 0.2553, 0.3662),
        ("wilson", 15, 148, 0.0624, 0.1605),
        ("wilson", 0, 20, 0.0, 0.1611),
        ("wilson", 1, 29, 0.0061, 0.1718),
        ("wilson", 10, 10, 0.7225, 1.0),
        ("wilson", 36, 154, 0.1739, 0.3066),
        ("exact", 81, 263, 0.2527, 0.3676),
        ("exact", 15, 148, 0.0578, 0.1617),
        ("exact", 0, 20, 0.0, 0.1684),
        ("exact", 1, 29, 0.0009, 0.1776),
    ],
)
def test_intervals_are_those_printed_in_the_literature(method, met, n, low, high):
    assert np.allclose(interval(met, n, method), (low, high), atol=5.1e-5)


def test_every_row_of_the_published_file_is_reproduced():
    rows = published("single_proportion_published.csv")
    for row in rows:
        found = interval(int(row["x"]), int(row["n"]), NAMES[row["method"]])
        assert np.allclose(found, (float(row["lower_recomputed"]), float(row["upper_recomputed"])), atol=6e-7)
    assert len(rows) == 11


# Newcombe 1998, Statistics in Medicine 17:873-890, Table II, method 10.
@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((0, 10, 0, 10), -0.2775, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1.0),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ],
)
def test_difference_is_newcombes_method_10(counts, low, high):
    met1, n1, met2, n2 = counts
    gap, found_low, found_high = difference(*counts)
    assert (gap, found_low, found_high) == pytest.approx((met1 / n1 - met2 / n2, low, high), abs=5.1e-5)


def test_difference_reproduces_the_published_file():
    for row in published("newcombe1998_tableII_method10.csv"):
        _, low, high = difference(*(int(row[key]) for key in ("x1", "n1", "x2", "n2")))
        assert (low, high) == pytest.approx(
            (float(row["lower_recomputed"]), float(row["upper_recomputed"])), abs=1e-9
        )


# Brown, Cai and DasGupta 2001, Statistical Science 16:101-133, on the Jeffreys interval.
@pytest.mark.parametrize("n", [1, 7, 30])
def test_jeffreys_reaches_the_ends_when_none_or_all_met(n):
    low, high = interval([0, n], [n, n], "jeffreys")
    assert low[0] == 0
    assert high[1] == 1
    assert 0 < high[0] < 1
    assert 0 < low[1] < 1


def test_exact_has_its_closed_form_at_none_met():
    """None met of n: the upper limit solves (1 - p)^n = 0.025."""
    n = np.array([1, 5, 20, 100])
    _, high = interval(np.zeros(4), n, "exact")
    assert np.allclose(high, 1 - 0.025 ** (1 / n), rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_no_one_and_hidden_counts_have_no_interval(method):
    low, high = interval([0, np.nan, 3, np.nan, 2], [0, 10, np.nan, np.nan, 10], method)
    assert np.isnan(low).tolist() == [True, True, True, True, False]
    assert np.isnan(high).tolist() == [True, True, True, True, False]


def test_a_difference_with_an_empty_or_hidden_group_is_missing():
    gap, low, high = difference([3, 3, 3], [10, 10, 10], [0, np.nan, 2], [0, 12, 12])
    for column in (gap, low, high):
        assert np.isnan(column).tolist() == [True, True, False]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
def test_limits_surround_the_rate_and_mirror(method, level):
    n = np.repeat([1, 2, 3, 11, 40, 1000], 5)
    met = np.round(n * np.tile([0, 0.2, 0.5, 0.9, 1], 6))
    low, high = interval(met, n, method, level)
    assert ((low >= 0) & (low <= met / n) & (met / n <= high) & (high <= 1)).all()
    mirrored_low, mirrored_high = interval(n - met, n, method, level)
    assert np.allclose(low, 1 - mirrored_high, atol=1e-12)
    assert np.allclose(high, 1 - mirrored_low, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_more_people_narrow_and_more_confidence_widens(method):
    n = 10 * 2 ** np.arange(8)
    low, high = interval(0.3 * n, n, method)
    assert (np.diff(high - low) < 0).all()
    wide_low, wide_high = interval(0.3 * n, n, method, level=0.99)
    assert ((wide_low < low) & (wide_high > high)).all()


@pytest.mark.parametrize("method", METHODS)
def test_one_more_met_moves_both_limits_up(method):
    met = np.arange(31)
    low, high = interval(met, 30, method)
    assert (np.diff(low) > 0).all()
    assert (np.diff(high) > 0).all()


def test_wilson_limits_solve_the_score_equation():
    """At each limit p, the observed rate lies exactly z standard errors (at p) away."""
    met, n = np.array([1.0, 15, 81, 29]), np.array([29.0, 148, 263, 30])
    for limit in interval(met, n, "wilson"):
        assert np.allclose(abs(met / n - limit) / np.sqrt(limit * (1 - limit) / n), 1.959963984540054)


def test_shapes_broadcast_and_scalars_work():
    low, high = interval(np.array([[1], [2]]), np.array([10, 20, 30]))
    assert low.shape == high.shape == (2, 3)
    assert interval(3, 10)[0].shape == ()
    assert interval([], [])[0].shape == (0,)


def test_impossible_counts_are_refused_all_at_once_and_without_values():
    with pytest.raises(ValueError, match="of 4 counts: 1 negative or infinite; 2 with more met") as caught:
        interval([7777, -1, 8888, 1], [3, 5, 3, 5])
    assert "7777" not in str(caught.value)


@pytest.mark.parametrize("level", [0, 1, 95, float("nan")])
def test_a_level_outside_nought_to_one_is_refused(level):
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        interval(1, 2, level=level)


def test_an_unknown_method_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="use one of 'wilson', 'exact', 'jeffreys'"):
        interval(1, 2, "wald")


@pytest.mark.parametrize(
    ("ours", "theirs"), [("wilson", "wilson"), ("exact", "beta"), ("jeffreys", "jeffreys")]
)
def test_statsmodels_agrees(ours, theirs):
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    met, n = np.array([1, 4, 12, 36, 81]), np.array([29, 5, 31, 154, 263])
    assert np.allclose(
        interval(met, n, ours), proportion.proportion_confint(met, n, method=theirs), atol=1e-10
    )
