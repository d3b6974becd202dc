"""Rubin's rules against mice and rbmi; imputation from counts by hand, by exact means, by simulation."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ketaoutcomes.estimates import interval
from ketaoutcomes.estimates.imputation import _binomial, _score_limits, _uniform, impute, pool, pooled_rate

REFERENCE = Path(os.environ.get("KETAOUTCOMES_REFERENCE_DATA", "../shared/data")) / "rubins-rules"
known_answers = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="reference data not here: set KETAOUTCOMES_REFERENCE_DATA"
)

# --- Rubin and Barnard-Rubin -----------------------------------------------------------------------------


def test_three_imputations_by_hand() -> None:
    # Mean .42; within .01; between ((.02)^2 + (.02)^2 + 0) / 2 = .0004; total .01 + 4/3 x .0004.
    found = pool([0.40, 0.44, 0.42], [0.01, 0.01, 0.01])
    assert found.estimate == pytest.approx(0.42)
    assert found.between == pytest.approx(0.0004)
    assert found.total == pytest.approx(0.01 + 4 / 3 * 0.0004)
    # Rubin's own degrees of freedom, 3.1.6: (m - 1)(1 + 1/r)^2 with r = 4/3 x .0004 / .01.
    assert found.df == pytest.approx(2 * (1 + 1 / (4 / 3 * 0.0004 / 0.01)) ** 2)


@known_answers
def test_pooling_agrees_with_mice() -> None:
    # mice 3.15.0, pool.scalar on the 100 estimates of rbmi's own test (set.seed(101)).
    made = pd.read_csv(REFERENCE / "rbmi_input_est_se.csv")
    answers = pd.read_csv(REFERENCE / "mice_pool_scalar_recomputed.csv")
    assert len(answers) == 10
    for row in answers.to_dict("records"):
        found = pool(made["est"], made["se"] ** 2, row["dfcom"])
        assert found.estimate == pytest.approx(row["qbar"], rel=1e-12)
        assert found.within == pytest.approx(row["ubar"], rel=1e-12)
        assert found.between == pytest.approx(row["b"], rel=1e-12)
        assert found.total == pytest.approx(row["t"], rel=1e-12)
        assert found.df == pytest.approx(row["df"], rel=1e-12)
        assert found.increase == pytest.approx(row["r"], rel=1e-12)
        assert found.missing == pytest.approx(row["fmi"], rel=1e-12)


@known_answers
def test_pooling_agrees_with_rbmi_for_infinite_degrees_of_freedom() -> None:
    made = pd.read_csv(REFERENCE / "rbmi_input_est_se.csv")
    found = pool(made["est"], made["se"] ** 2)
    assert found.estimate == pytest.approx(-0.0371910999889995, rel=1e-12)
    assert found.total == pytest.approx(101.041208835068, rel=1e-12)
    assert found.df == pytest.approx(1301577.44774754, rel=1e-9)


def test_pooling_works_along_the_first_axis_only() -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    q, u = rng.random((20, 3, 2)), rng.random((20, 3, 2))
    found = pool(q, u, np.array([50.0, np.inf]))
    alone = pool(q[:, 2, 1], u[:, 2, 1])
    assert found.df.shape == (3, 2)
    assert found.df[2, 1] == pytest.approx(alone.df)


def test_nothing_to_see_between_imputations() -> None:
    same = pool([0.3, 0.3], [0.01, 0.01], 40)
    assert (same.increase, same.total) == (0, 0.01)
    assert same.df == pytest.approx(41 / 43 * 40)  # Barnard and Rubin's for complete data
    torn = pool([0.0, 1.0], [0.0, 0.0], 40)
    assert (torn.increase, torn.missing) == (np.inf, 1.0)
    with pytest.raises(ValueError, match="at least two"):
        pool([0.3], [0.01])
    with pytest.raises(ValueError, match="one variance for every estimate"):
        pool([0.3, 0.4], [0.01])


# --- the interval of a rate ------------------------------------------------------------------------------


def test_without_differences_the_interval_is_wilsons_with_t() -> None:
    n, met = 5000, 2000
    low, high = interval(met, n)
    assert pooled_rate([met] * 5, n) == pytest.approx((0.4, float(low), float(high)), abs=1e-5)


def test_the_interval_is_that_of_lott_and_reiter() -> None:
    # MIWilson (R), README: mi_wilson(phats = c(0.2, 0.23, 0.22), n = 10); phats of 0; mice's nhanes at 0.99.
    # It takes Rubin's own degrees of freedom, and at "0.95" the 95th percentile of t: a 90 % interval.
    rate = np.array([0.2, 0.23, 0.22])
    found = pool(rate, rate * (1 - rate) / 10)
    assert found.increase == pytest.approx(0.0183474215320097, rel=1e-12)
    assert found.df == pytest.approx(6161.29288265307, rel=1e-12)
    for estimate, increase, n, spread, printed in (
        (0.65 / 3, 0.0183474215320097, 10, stats.t.ppf(0.95, 6161.29288265307), (0.07684304, 0.47892199)),
        (0.0, 0.0, 10, stats.norm.ppf(0.95), (0.0, 0.2129420)),
        (0.232, 0.602189781021898, 25, stats.t.ppf(0.99, 28.3152984389348), (0.07134426, 0.54292320)),
    ):
        assert _score_limits(estimate, increase, n, spread) == pytest.approx(printed, abs=5e-8)


def test_the_interval_solves_the_score_equation() -> None:
    # Its limits are where the rate lies t standard errors away, the errors made larger by imputation.
    met, n = np.array([40, 44, 42, 43, 41]), 100
    estimate, low, high = pooled_rate(met, n)
    found = pool(met / n, met / n * (1 - met / n) / n, n - 1)
    t = stats.t.ppf(0.975, float(found.df))
    for limit in (low, high):
        error = np.sqrt((1 + float(found.increase)) * limit * (1 - limit) / n)
        assert abs(estimate - limit) == pytest.approx(t * error, rel=1e-9)


@pytest.mark.parametrize(
    ("met", "n", "expected"),
    [
        ([0, 0, 0], 20, (0.0, 0.0)),  # nobody: the lower limit is 0
        ([20, 20, 20], 20, (1.0, 1.0)),
        ([0, 1, 0, 1], 1, (0.0, 1.0)),  # one person, imputed: nothing is known
        ([0, 0], 1, (0.0, 1.0)),
    ],
)
def test_edges_of_the_interval(met: list[int], n: int, expected: tuple[float, float]) -> None:
    estimate, low, high = pooled_rate(met, n)
    assert 0 <= low <= estimate <= high <= 1
    assert low == expected[0] or high == expected[1]
    assert high > low


def test_impossible_counts_are_refused() -> None:
    for met, n in (([3, 4], 3), ([-1, 0], 3), ([0, 0], 0)):
        with pytest.raises(ValueError, match="between 0 and n"):
            pooled_rate(met, n)


# --- imputing --------------------------------------------------------------------------------------------

PATHS = [("met", "yes", "1"), ("met", "no", "1"), ("not_met", "yes", "1"), ("not_met", "yes", "2")]
MET, NOT_MET, MISSING = [30, 4, 6, 0], [5, 4, 30, 0], [10, 6, 20, 3]


def expected_met(
    paths: list[tuple[str, ...]], met: list[int], not_met: list[int], missing: list[int]
) -> Fraction:
    """The mean of what is imputed, exactly: a Beta's mean is linear in its prior's, so means chain."""

    def mean(path: tuple[str, ...]) -> Fraction:
        share = Fraction(1, 2)
        for depth in range(len(path) + 1):
            in_group = {i for i, other in enumerate(paths) if other[:depth] == path[:depth]}
            narrower = {i for i, other in enumerate(paths) if other[: depth + 1] == path[: depth + 1]}
            own = in_group - narrower if depth < len(path) else in_group
            yes, no = sum(met[i] for i in own), sum(not_met[i] for i in own)
            share = (2 * share + yes) / (2 + yes + no)
        return share

    return sum((count * mean(path) for path, count in zip(paths, missing, strict=True)), Fraction(0))


def test_the_mean_is_that_of_the_chained_posteriors() -> None:
    drawn = impute(PATHS, MET, NOT_MET, MISSING, seed=["mean"], imputations=20_000)
    error = drawn.std() / np.sqrt(len(drawn))
    assert drawn.mean() == pytest.approx(float(expected_met(PATHS, MET, NOT_MET, MISSING)), abs=4 * error)


def test_two_cells_are_chained_beta_binomials() -> None:
    # a: the others are b's 30 of 40, so p ~ Beta(1 + 30, 1 + 10), then p_a ~ Beta(2p + 4, 2(1 - p) + 8).
    drawn = impute([("a",), ("b",)], [4, 30], [8, 10], [15, 0], seed=["one"], imputations=40_000)
    rng = np.random.Generator(np.random.PCG64(7))
    others = rng.beta(31, 11, 40_000)
    slow = rng.binomial(15, rng.beta(2 * others + 4, 2 * (1 - others) + 8))
    assert drawn.mean() == pytest.approx(slow.mean(), abs=0.1)
    assert drawn.std() == pytest.approx(slow.std(), rel=0.03)


def test_draws_do_not_depend_on_the_order_of_cells() -> None:
    turned = [2, 0, 3, 1]
    one = impute(PATHS, MET, NOT_MET, MISSING, seed=["order"])
    other = impute(
        [PATHS[i] for i in turned], *([values[i] for i in turned] for values in (MET, NOT_MET, MISSING)),
        seed=["order"],
    )  # fmt: skip
    assert one.tolist() == other.tolist()


def test_a_cell_is_drawn_alike_whatever_else_is_drawn() -> None:
    # The first ten draws stay the first ten of a hundred; another cell's missing adds, and disturbs nothing.
    few = impute(PATHS, MET, NOT_MET, [10, 0, 0, 0], seed=["s"], imputations=10)
    many = impute(PATHS, MET, NOT_MET, [10, 0, 0, 0], seed=["s"], imputations=100)
    others = impute(PATHS, MET, NOT_MET, [0, 6, 20, 3], seed=["s"], imputations=10)
    both = impute(PATHS, MET, NOT_MET, MISSING, seed=["s"], imputations=10)
    assert many[:10].tolist() == few.tolist()
    assert both.tolist() == (few + others).tolist()
    assert impute(PATHS, MET, NOT_MET, MISSING, seed=["t"], imputations=10).tolist() != both.tolist()


def test_the_draws_are_these_on_every_machine() -> None:
    drawn = impute(PATHS, MET, NOT_MET, MISSING, seed=["phq9_response50", "end"], imputations=8)
    assert drawn.tolist() == [20, 21, 24, 18, 17, 15, 14, 21]


def test_nobody_missing_and_nobody_scored() -> None:
    assert impute(PATHS, MET, NOT_MET, [0, 0, 0, 0], imputations=3).tolist() == [0, 0, 0]
    assert impute([], [], [], [], imputations=3).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="nobody was scored"):
        impute(PATHS, [0] * 4, [0] * 4, MISSING)
    with pytest.raises(ValueError, match="own labels"):
        impute([("a",), ("a",)], [1, 1], [1, 1], [1, 1])
    with pytest.raises(ValueError, match="none below 0"):
        impute([("a",)], [-1], [1], [1])


def test_a_cell_without_anyone_scored_leans_on_its_group() -> None:
    # 90 % of those off treatment met; in band 2 nobody off treatment was scored. Not one half, not 0.
    paths = [("met", "no", "1"), ("met", "no", "2"), ("met", "yes", "1")]
    drawn = impute(paths, [90, 0, 10], [10, 0, 90], [0, 1, 0], seed=["lean"], imputations=20_000)
    assert drawn.mean() == pytest.approx(0.9, abs=0.02)


def test_counts_are_quantiles_of_the_binomial() -> None:
    # scipy.stats.binom.ppf is the outside answer.
    chance = _uniform(["quantiles"], 3000)
    for n in (1, 2, 7, 100, 10_000):
        for share in (1e-9, 0.01, 0.3, 0.5, 0.99):
            found = _binomial(chance, n, np.full(len(chance), share))
            assert (found == stats.binom.ppf(chance, n, share)).all()


def test_missing_at_random_is_recovered_where_complete_cases_are_biased() -> None:
    # Truth: 60 % of those last seen well are well, 20 % of the others; half and half, so 40 %. The well are
    # scored nine times in ten, the others three in ten: complete cases read 50 %.
    rng = np.random.Generator(np.random.PCG64(11))
    estimates, complete, covered = [], [], 0
    for run in range(200):
        well = rng.random(400) < 0.5
        met = rng.random(400) < np.where(well, 0.6, 0.2)
        scored = rng.random(400) < np.where(well, 0.9, 0.3)
        cells = [well, ~well]
        counts = [
            [int((cell & mask).sum()) for cell in cells] for mask in (met & scored, ~met & scored, ~scored)
        ]
        drawn = impute([("met",), ("not_met",)], *counts, seed=["mar", str(run)], imputations=50)
        rate, low, high = pooled_rate(sum(counts[0]) + drawn, 400)
        estimates.append(rate)
        complete.append((met & scored).sum() / scored.sum())
        covered += low <= 0.4 <= high
    error = np.std(estimates) / np.sqrt(200)
    assert np.mean(estimates) == pytest.approx(0.4, abs=4 * error)
    assert np.mean(complete) > 0.48
    assert 180 <= covered <= 199  # 95 % of 200 is 190


@pytest.mark.slow
def test_many_small_strata_neither_bias_nor_pretend() -> None:
    # 120 people in eighteen strata, several of them without anyone scored: last score and treatment decide
    # both the outcome and who is scored. The claimed error is the true one within a sixth.
    rng = np.random.Generator(np.random.PCG64(3))
    chance, on_share = np.array([0.7, 0.15, 0.35]), np.array([0.8, 0.6, 0.7])
    truth = float(np.array([0.35, 0.4, 0.25]) @ (chance + 0.1 * (on_share - 0.5)))
    rates, errors, covered = [], [], 0
    for run in range(400):
        last, band = rng.choice(3, 120, p=[0.35, 0.4, 0.25]), rng.choice(3, 120, p=[0.3, 0.4, 0.3])
        on = rng.random(120) < on_share[last]
        met = rng.random(120) < chance[last] + 0.1 * (on - 0.5) - 0.05 * (band - 1)
        scored = rng.random(120) < np.array([0.85, 0.55, 0.6])[last] * np.where(on, 1, 0.6)
        cell = (last * 2 + on) * 3 + band
        counts = [np.bincount(cell[mask], minlength=18) for mask in (met & scored, ~met & scored, ~scored)]
        paths = [(str(i // 6), str(i // 3 % 2), str(i % 3)) for i in range(18)]
        drawn = impute(paths, *counts, seed=["small", str(run)], imputations=100)
        rate, low, high = pooled_rate(counts[0].sum() + drawn, 120)
        rates.append(rate)
        errors.append((high - low) / 3.92)
        covered += low <= truth <= high
    assert np.mean(rates) == pytest.approx(truth, abs=0.012)
    assert np.mean(errors) == pytest.approx(np.std(rates), rel=1 / 6)
    assert covered >= 0.91 * 400


def test_more_imputations_settle() -> None:
    rates = [
        pooled_rate(40 + impute(PATHS, MET, NOT_MET, MISSING, seed=["m", str(run)], imputations=m), 118)
        for m in (20, 2000)
        for run in range(10)
    ]
    few, many = np.array(rates[:10]), np.array(rates[10:])
    assert (many.std(axis=0) < 0.003).all()
    assert (many.std(axis=0) < few.std(axis=0) / 3).all()
