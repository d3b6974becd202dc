"""Control limits, run rules and funnels: printed answers, other programs, and the slow obvious way."""

from __future__ import annotations

import json
import math
import os
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from ketaoutcomes.estimates.control import (
    MEAN_RANGE,
    MEDIAN_RANGE,
    Limits,
    moving_ranges,
    one_side,
    p_chart,
    signals,
    trend,
    two_of_three,
    whole_pattern,
    xmr_chart,
)
from ketaoutcomes.estimates.funnel import (
    detectable,
    dispersion,
    exact_limits,
    wide_limits,
    winsorised,
)

PUBLIC = Path(os.environ.get("KETAOUTCOMES_REFERENCE_DATA", "../shared/data")) / "spc-reference"
NAN = float("nan")


def public(name: str):
    path = PUBLIC / name
    if not path.exists():
        pytest.skip("the public control charts are not here; set KETAOUTCOMES_REFERENCE_DATA")
    return json.loads(path.read_text(encoding="utf-8"))


def flat(size: int, centre: float = 0.5, sigma: float = 0.1) -> Limits:
    return Limits(
        *(np.full(size, v) for v in (centre, centre - 3 * sigma, centre + 3 * sigma, sigma)),
        "p", 1.0, 1.0, 20, "enough",
    )  # fmt: skip


# --- p and p' --------------------------------------------------------------------------------------------

# Montgomery, Introduction to Statistical Quality Control, example 7.1: 30 samples of 50 orange juice cans;
# the book prints centre 0.2313 and limits 0.0524 and 0.4102, and finds samples 15 and 23 beyond them.
CANS = [
    12,
    15,
    8,
    10,
    4,
    7,
    16,
    9,
    14,
    10,
    5,
    6,
    17,
    12,
    22,
    8,
    10,
    5,
    13,
    11,
    20,
    18,
    24,
    15,
    9,
    12,
    7,
    13,
    9,
    6,
]


def test_montgomerys_orange_juice():
    # The book's is a plain p chart; these samples are over-dispersed, so here it would be p'.
    chart = p_chart(CANS, [50] * 30)
    assert chart.centre[0] == pytest.approx(0.2313, abs=5e-5)
    assert chart.chart == "p_prime"
    plain = chart.sigma / chart.dispersion
    assert chart.centre[0] - 3 * plain[0] == pytest.approx(0.0524, abs=5e-5)
    assert chart.centre[0] + 3 * plain[0] == pytest.approx(0.4102, abs=5e-5)
    beyond = signals(np.array(CANS) / 50, Limits(
        chart.centre, chart.centre - 3 * plain, chart.centre + 3 * plain, plain, "p", 1.0, 1.0, 30, "enough",
    ))["beyond_limits"]  # fmt: skip
    assert [place + 1 for place in np.flatnonzero(beyond)] == [15, 23]


def test_laneys_chart_as_another_program_has_it():
    # clinical-qikit 0.5.0 (PyPI), qic(y=met, n=n, chart="pp"): centre 0.421454; limits at 1, 4 and 18.
    n = [
        820,
        910,
        1005,
        760,
        880,
        990,
        1020,
        870,
        930,
        905,
        845,
        990,
        1010,
        875,
        915,
        950,
        800,
        1030,
        970,
        890,
    ]
    met = [344, 427, 409, 284, 391, 455, 393, 339, 431, 398, 314, 408, 475, 363, 340, 416, 371, 402, 372, 408]
    chart = p_chart(met, n)
    assert chart.chart == "p_prime"
    assert chart.centre[0] == pytest.approx(0.421454, abs=5e-7)
    assert chart.low[[0, 3, 17]] == pytest.approx([0.285941, 0.280694, 0.300542], abs=5e-7)
    assert chart.high[[0, 3, 17]] == pytest.approx([0.556966, 0.562214, 0.542365], abs=5e-7)


def test_sigma_z_by_hand():
    met, n = [4, 6, 4, 6, 4, 6, 4, 6], [10] * 8
    z = 0.1 / math.sqrt(0.25 / 10)
    assert p_chart(met, n).dispersion == pytest.approx(2 * z / 1.128)


def test_one_odd_month_does_not_widen_the_limits_that_should_show_it():
    met, n = [12, 13, 11, 12, 12, 11, 13, 12, 12, 28], [30] * 10
    chart = p_chart(met, n)
    assert chart.chart == "p"
    assert np.flatnonzero(signals(np.array(met) / 30, chart)["beyond_limits"]).tolist() == [9]


def test_limits_frozen_on_a_span_do_not_move_with_what_comes_after():
    met, n = [20] * 12, [50] * 12
    span = [True] * 12
    before = p_chart(met, n, span)
    after = p_chart([*met, 50, 0], [*n, 50, 50], [*span, False, False])
    assert after.centre[:12].tolist() == before.centre.tolist()
    assert after.high[0] == before.high[0]
    rates = np.array([*met, 50, 0]) / 50
    assert np.flatnonzero(signals(rates, after)["beyond_limits"]).tolist() == [12, 13]


def test_limits_stay_between_none_and_all():
    chart = p_chart([1, 0, 2, 1, 0, 1, 1, 2, 0], [8] * 9)
    assert (chart.low == 0).all()
    assert (p_chart([8, 7, 8, 6, 8, 8, 7, 8], [8] * 8).high == 1).all()


@pytest.mark.parametrize("met", [0, 30])
def test_none_and_all_have_limits_of_no_width(met):
    chart = p_chart([met] * 9, [30] * 9)
    assert (chart.low == chart.centre).all()
    assert (chart.high == chart.centre).all()
    assert chart.chart == "p"
    assert not signals(np.full(9, met / 30), chart)["beyond_limits"].any()


def test_too_few_periods_have_no_limits_and_few_are_provisional():
    assert p_chart([5] * 7, [10] * 7).status == "too_few_periods"
    assert np.isnan(p_chart([5] * 7, [10] * 7).centre).all()
    assert p_chart([5] * 8, [10] * 8).status == "provisional"
    assert p_chart([5] * 20, [10] * 20).status == "enough"
    # A period without anyone, or hidden, is none to rest limits on.
    assert p_chart([5] * 7 + [0, NAN], [10] * 7 + [0, NAN]).periods == 7


def test_empty_and_hidden_periods_have_no_limits_of_their_own():
    chart = p_chart([5, 6, NAN, 0, 4, 5, 6, 4, 5, 6], [10, 10, NAN, 0, 10, 10, 10, 10, 10, 10])
    assert np.isnan(chart.low[[2, 3]]).all()
    assert not np.isnan(chart.centre).any()


def test_impossible_counts_are_refused_without_being_told():
    with pytest.raises(ValueError, match="1 of 2 periods") as refused:
        p_chart([5, 77], [10, 10])
    assert "77" not in str(refused.value)
    with pytest.raises(ValueError, match="one yes or no per period"):
        p_chart([5] * 8, [10] * 8, [True])


# --- XmR: Wheeler, as carried by mattmccormick/statprocon (MIT) -------------------------------------------


@pytest.mark.parametrize("name", ["verifying_software_p382", "peak_flow_p130"])
def test_wheelers_natural_process_limits(name):
    (case,) = [case for case in public("xmr_wheeler_cases.json")["cases"] if case["name"] == name]
    chart = xmr_chart(case["x"])
    places = 0.06 if name == "peak_flow_p130" else 0.006  # as printed
    assert chart.centre[0] == pytest.approx(case["x_bar"], abs=places)
    assert chart.low[0] == pytest.approx(case["lnpl"], abs=places)
    assert chart.high[0] == pytest.approx(case["unpl"], abs=places)
    steps = moving_ranges(case["x"])
    assert MEAN_RANGE[1] * steps.mean() == pytest.approx(case["url"], abs=2 * places)


def test_wheelers_median_moving_range():
    (case,) = [
        c for c in public("xmr_wheeler_cases.json")["cases"] if c["name"] == "median_moving_range_p145"
    ]
    chart = xmr_chart(case["x"], middle="median")
    assert chart.centre[0] == pytest.approx(case["x_bar"], abs=5e-4)
    assert (chart.low[0], chart.high[0]) == pytest.approx((case["lnpl"], case["unpl"]), abs=1.5e-3)
    assert MEDIAN_RANGE[1] * np.median(moving_ranges(case["x"])) == pytest.approx(case["url"], abs=1e-3)


def test_a_gap_makes_no_moving_range():
    values = [1.0, 2, 1, 2, NAN, 9, 10, 9, 10, 9]
    assert moving_ranges(values).tolist() == [1] * 7
    chart = xmr_chart(values)
    assert chart.high[0] - chart.centre[0] == pytest.approx(2.66)
    with pytest.raises(ValueError, match="middle must be"):
        xmr_chart(values, middle="mode")


# --- rules -----------------------------------------------------------------------------------------------


def test_wheelers_run_of_eight_marks_the_whole_run():
    cases = public("xmr_wheeler_cases.json")["cases"]
    (case,) = [c for c in cases if c["name"] == "table8.1_smoking_run_of_8"]
    x = np.array(case["x"])
    fires = one_side(np.sign(x - x.mean()))
    assert np.flatnonzero(fires).tolist() == [13]
    assert np.flatnonzero(whole_pattern(fires, 8)).tolist() == case["run_of_8_flags_index0"]


def test_wheelers_points_beyond_limits():
    (case,) = [c for c in public("xmr_wheeler_cases.json")["cases"] if c["name"].startswith("table9.1")]
    x = np.array(case["x"], dtype=float)
    sigma = (case["upper"] - case["lower"]) / 6
    limits = flat(len(x), (case["upper"] + case["lower"]) / 2, sigma)
    assert np.flatnonzero(signals(x, limits)["beyond_limits"]).tolist() == case["beyond_index0"]


def test_the_nhs_vectors_for_runs_and_trends():
    # nhs-r-community/NHSRplotthedots (MIT): flags mark the end of a pattern of seven.
    vectors = public("nhs_rule_vectors.json")
    for one in vectors["seven_point_one_side"]:
        assert one_side(one["relative_to_mean"], 7).astype(int).tolist() == one["flag"]
    for one in vectors["seven_point_trend"]:
        assert trend(one["y"], 7).astype(int).tolist() == np.abs(one["flag"]).tolist()


def test_two_of_three_fires_where_the_nhs_vectors_do_on_one_side():
    # Where all three points are on one side the rules agree on which three; NHS marks all of them.
    for one in public("nhs_rule_vectors.json")["two_in_three"]:
        if len(set(one["side"])) == 1:
            ours = two_of_three(np.array(one["close"]) * np.array(one["side"]))
            assert ours.any() == bool(sum(one["flag"]))
            assert set(np.flatnonzero(ours)) <= set(np.flatnonzero(one["flag"]))


def slow_one_side(side, length):
    found = []
    for i in range(len(side)):
        last = side[max(0, i - length + 1) : i + 1]
        found.append(len(last) == length and last[0] in (-1, 1) and all(s == last[0] for s in last))
    return found


def slow_trend(x, length):
    found = []
    for i in range(len(x)):
        last = x[max(0, i - length + 1) : i + 1]
        steps = [b - a for a, b in pairwise(last)]
        found.append(len(last) == length and (all(s > 0 for s in steps) or all(s < 0 for s in steps)))
    return found


@pytest.mark.parametrize("seed", range(30))
def test_runs_and_trends_the_slow_way(seed):
    rng = np.random.default_rng(seed)
    side = rng.choice([-1, 1, 1, 1, 0, NAN], 40, p=[0.15, 0.3, 0.25, 0.2, 0.05, 0.05])
    assert one_side(side, 4).tolist() == slow_one_side(side.tolist(), 4)
    x = np.cumsum(rng.choice([1, 1, 1, -1, 0], 40)).astype(float)
    x[rng.integers(40)] = NAN
    assert trend(x, 4).tolist() == slow_trend(x.tolist(), 4)


def test_a_point_on_the_line_or_a_gap_ends_a_run():
    up = [0.6] * 7
    assert signals([*up, 0.6], flat(8))["run_of_8"].tolist() == [False] * 7 + [True]
    assert not signals([*up, 0.5, 0.6], flat(9))["run_of_8"].any()
    assert not signals([*up, NAN, 0.6], flat(9))["run_of_8"].any()


def test_without_limits_no_rule_fires():
    none = p_chart([5] * 7, [10] * 7)
    rules = ("beyond_limits", "run_of_8", "trend_of_6", "two_of_three")
    assert not any(
        flags.any() for flags in signals([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], none, rules).values()
    )
    with pytest.raises(ValueError, match="write one of beyond_limits"):
        signals([0.5], none, ("nine",))


def test_how_often_the_rules_fire_by_chance():
    rng = np.random.default_rng(11)
    n = np.full(30_000, 60)
    met = rng.binomial(n, 0.4)
    chart = p_chart(met, n)
    found = signals(met / n, chart)
    assert chart.chart == "p"
    assert chart.dispersion == pytest.approx(1, abs=0.02)
    assert found["beyond_limits"].mean() == pytest.approx(0.0027, abs=0.0012)


# --- funnels ---------------------------------------------------------------------------------------------


def tails(target: float, n: int) -> tuple[list[float], list[float]]:
    p = [math.comb(n, k) * target**k * (1 - target) ** (n - k) for k in range(n + 1)]
    return [math.fsum(p[: k + 1]) for k in range(n + 1)], [math.fsum(p[k:]) for k in range(n + 1)]


def test_ten_people_by_hand():
    # P(R <= 1) = 11/1024, P(R <= 2) = 56/1024: r = 2, a = (56/1024 - 0.025) / (45/1024).
    low, high = exact_limits(0.5, [10])
    a = (56 / 1024 - 0.025) / (45 / 1024)
    assert low[0] == pytest.approx((2 - a) / 10)
    assert high[0] == pytest.approx(1 - low[0])  # a coin has two sides


@pytest.mark.parametrize("target", [0.05, 0.38, 0.5, 0.9])
@pytest.mark.parametrize("level", [0.95, 0.998])
def test_a_count_lies_outside_exactly_where_its_tail_is_small(target, level):
    tail = (1 - level) / 2
    for n in (1, 2, 7, 30, 61, 200):
        low, high = (float(x[0]) for x in exact_limits(target, [n], level))
        below, above = tails(target, n)
        for k in range(n + 1):
            assert (k / n < low - 1e-12) == (below[k] <= tail), (n, k)
            assert (k / n > high + 1e-12) == (above[k] <= tail), (n, k)


def test_funnel_limits_by_r():
    # R's qbinom, pbinom and dbinom for 120 people and 0.3, put together as the docstring says; the upper
    # limit is 1 minus the same with 0.7.
    low, high = exact_limits(0.3, [120])
    assert low[0] == pytest.approx(0.215436279836, abs=1e-9)
    assert high[0] == pytest.approx(0.387932867915, abs=1e-9)


def test_limits_for_nobody_and_for_certainty():
    low, high = exact_limits(0.4, [0, NAN])
    assert np.isnan([*low, *high]).all()
    assert [float(x[0]) for x in exact_limits(0.0, [20])] == [0, 0]
    assert [float(x[0]) for x in exact_limits(1.0, [20])] == [1, 1]
    with pytest.raises(ValueError, match="from 0 to 1"):
        exact_limits(1.2, [20])


def test_over_dispersion_by_hand():
    n = np.full(12, 100)
    met = np.array([30, 50, 30, 50, 30, 50, 30, 50, 30, 50, 30, 50])
    found = dispersion(met, n, 0.4)
    z2 = 0.1**2 / (0.24 / 100)  # every site the same distance away, so nothing is drawn in
    assert found.phi == pytest.approx(z2)
    # tau squared = (I phi - (I - 1)) / (sum w - sum w^2 / sum w); with equal w = 1 / s^2 that is
    # s^2 (12 phi - 11) / 11.
    assert found.tau == pytest.approx(math.sqrt(0.0024 * (12 * z2 - 11) / 11))
    assert found.over
    low, high = wide_limits(0.4, [100], found.tau)
    z = NormalDist().inv_cdf(0.975)
    assert high[0] - 0.4 == pytest.approx(z * math.sqrt(0.0024 + found.tau**2))
    assert low[0] == pytest.approx(0.8 - high[0])


def test_few_sites_or_mere_chance_are_not_over_dispersed():
    assert not dispersion([3, 9, 1], [10, 10, 10], 0.4).over
    assert math.isnan(dispersion([3, 9, 1], [10, 10, 10], 0.4).phi)
    rng = np.random.default_rng(5)
    called = 0
    for _ in range(200):
        n = rng.integers(20, 300, 30)
        called += dispersion(rng.binomial(n, 0.35), n, 0.35).over
    assert called <= 0.05 * 200  # winsorised, so rarer than one in twenty


def test_one_outlier_is_drawn_in():
    assert winsorised([*range(1, 10), 100]).tolist() == [2, 2, 3, 4, 5, 6, 7, 8, 9, 9]
    assert winsorised([5, 100]).tolist() == [5, 100]


def test_the_smallest_difference_a_site_can_show():
    target = 0.4
    low, high = exact_limits(target, [30, 300])
    down, up = detectable(low, high, [30, 300])
    for i, n in enumerate((30, 300)):
        k = next(k for k in range(n + 1) if k / n > high[i])
        assert tails(float(up[i]), n)[1][k] == pytest.approx(0.8)
        k = max(k for k in range(n + 1) if k / n < low[i])
        assert tails(float(down[i]), n)[0][k] == pytest.approx(0.8)
    assert up[0] - target > up[1] - target  # the small site shows less
    down, up = detectable(*exact_limits(0.4, [2]), [2])
    assert np.isnan([down[0], up[0]]).all()  # two people never lie outside
