"""Change beyond error: the arithmetic, against printed answers; and what each threshold means."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from math import nan
from pathlib import Path

import numpy as np
import pytest
from wellbeing import with_wellbeing

from ketaoutcomes.definitions import load
from ketaoutcomes.definitions.change_rules import (
    CATEGORIES,
    ChangeError,
    ChangeRule,
    as_text,
    parse_rules,
    settle_rules,
)
from ketaoutcomes.estimates import change

DATA = Path(os.environ.get("KETAOUTCOMES_REFERENCE_DATA", Path(__file__).parents[2] / "shared" / "data"))
KNOWN = load()


def rule(instrument: str = "phq9", **choices: object) -> ChangeRule:
    """The rule of one instrument."""
    (found,) = settle_rules(KNOWN, [instrument], **choices)  # type: ignore[arg-type]
    return found


def category(found: ChangeRule, baseline: object, value: object) -> str:
    """The category of one pair of scores in points."""
    pair = [np.array([int(Fraction(str(x)) * found.ticks)], dtype=np.int32) for x in (baseline, value)]
    return CATEGORIES[int(found.categories(*pair)[0])]


# --- the index ---------------------------------------------------------------------------------------------


def test_the_example_of_jacobson_and_truax() -> None:
    # 1991, J Consult Clin Psychol 59:12: 32.5 to 47.5, SD 7.5, reliability .80: RC = 15 / 4.74 = 3.16; and
    # from a dysfunctional mean of 40 to a functional one of 60: a = 55, b = 45, c = 50.
    assert float(change.reliable_change_index(32.5, 47.5, 7.5, 0.80)) == pytest.approx(3.16, abs=0.005)
    assert float(change.reliable_change_index(47.5, 32.5, 7.5, 0.80)) == pytest.approx(-3.16, abs=0.005)
    assert [float(cut) for cut in change.cutoffs(60, 7.5, 40, 7.5)] == [55, 45, 50]
    assert float(change.reliable_change(7.5, 0.80)) == pytest.approx(1.96 * 4.743, abs=0.001)


def test_the_printed_examples_of_the_reference_folder() -> None:
    path = DATA / "rci-worked-examples" / "worked_examples.json"
    if not path.exists():
        pytest.skip(f"no reference data at {path}: set KETAOUTCOMES_REFERENCE_DATA")
    known = json.loads(path.read_text(encoding="utf-8"))
    one, height = known["jt1991"], known["mcaleavey2022"]
    index = change.reliable_change_index(one["first"], one["second"], one["sd_pre"], one["reliability"])
    # 15 over the unrounded 4.743 is 3.162; the paper divides by 4.74.
    assert abs(float(index)) == pytest.approx(one["abs_rci"], abs=0.005)
    # A standard error of a difference of .7071 is sd .7071 at a reliability of a half.
    first, last = height["obs"][0], height["obs"][-1]
    assert float(change.reliable_change_index(first, last, height["s_diff"], 0.5)) == pytest.approx(
        height["rci"], abs=1e-5
    )


@pytest.mark.parametrize(
    ("sd", "r", "points"),
    # Worked by hand, 1.96 * sqrt(2) * SD * sqrt(1 - r): the choice of r decides between 5 and 6, 10 and 15.
    [
        (5.5, 0.89, 5.1),
        (5.5, 0.84, 6.1),
        (4.7, 0.92, 3.7),
        (4.7, 0.83, 5.4),
        (12, 0.94, 8.1),
        (12, 0.82, 14.1),
    ],
)
def test_reliable_change_in_points(sd: float, r: float, points: float) -> None:  # fmt: skip
    assert float(change.reliable_change(sd, r)) == pytest.approx(points, abs=0.05)


@pytest.mark.parametrize(("sd", "r"), [(0, 0.8), (-1, 0.8), (5, 1), (5, -0.1), (nan, 0.8), (5, nan)])
def test_a_spread_or_a_reliability_that_cannot_be(sd: float, r: float) -> None:
    with pytest.raises(ValueError, match="must"):
        change.reliable_change(sd, r)


def test_cutoffs_turn_with_the_scale() -> None:
    # Kroenke 2001 J Gen Intern Med 16:606: 17.1 (6.1) with, 3.3 (3.8) without depression; by hand,
    # a = 17.1 - 12.2, b = 3.3 + 7.6, c = (3.8 * 17.1 + 6.1 * 3.3) / 9.9.
    assert [round(float(cut), 3) for cut in change.cutoffs(3.3, 3.8, 17.1, 6.1)] == [4.9, 10.9, 8.597]
    assert [round(float(cut), 3) for cut in change.cutoffs(-3.3, 3.8, -17.1, 6.1)] == [-4.9, -10.9, -8.597]


# --- effect sizes ------------------------------------------------------------------------------------------


# R 4.2.2, metafor 3.8.1, escalc(measure = "SMCR") on the five trained groups of Morris 2008, Organ Res
# Methods 11:364: yi, ci.lb, ci.ub of summary().
@pytest.mark.parametrize(
    ("n", "before", "after", "sd", "r", "g", "low", "high"),
    [
        (20, 30.6, 38.5, 15.0, 0.47, 0.505553, 0.027910, 0.983196),
        (50, 23.5, 26.8, 3.1, 0.64, 1.048125, 0.735846, 1.360404),
        (9, 0.5, 0.7, 0.1, 0.77, 1.805407, 0.860968, 2.749845),
        (10, 53.4, 75.9, 14.5, 0.89, 1.418082, 0.731961, 2.104203),
        (14, 35.6, 36.0, 4.7, 0.44, 0.080084, -0.475071, 0.635238),
    ],
)
def test_standardized_change_is_metafors(
    n: int, before: float, after: float, sd: float, r: float, g: float, low: float, high: float
) -> None:
    found = change.standardized_change(n, after - before, sd, r)
    assert [float(x) for x in found] == pytest.approx([g, low, high], abs=1e-6)


def test_the_mean_interval_is_students() -> None:
    # R, t.test(sleep$extra[1:10], sleep$extra[11:20], paired = TRUE): -2.459885763 to -0.700114237.
    first = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
    second = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
    apart = first - second
    found = change.mean_interval(10, apart.mean(), apart.std(ddof=1))
    assert [float(x) for x in found] == pytest.approx([-2.459885763, -0.700114237], abs=1e-8)


def test_too_few_people_have_no_effect_size() -> None:
    assert np.isnan(change.mean_interval([0, 1], [1.0, 1.0], [1.0, 1.0])).all()
    assert np.isnan(change.standardized_change([0, 1, 2], 5, 3, 0.5)).all()
    assert np.isnan(change.standardized_change(9, 5, 0, nan)).all()  # all baselines alike
    with pytest.raises(ValueError, match="level"):
        change.mean_interval(9, 1, 1, level=95)


# --- regression to the mean --------------------------------------------------------------------------------


# R 4.2.2, equation 1 of Barnett 2005, Int J Epidemiol 34:215, on its example (mean 60, SD 15, entry at 40 or
# below): (1 - r) * 15 * dnorm(z) / (1 - pnorm(z)).
@pytest.mark.parametrize(
    ("r", "expected"),
    [(0, 26.97202304), (0.25, 20.22901728), (0.5, 13.48601152), (0.75, 6.743005761), (1, 0)],
)
def test_regression_at_a_gate_is_barnetts(r: float, expected: float) -> None:
    assert float(change.regression_at_gate(60, 15, r, 40, above=False)) == pytest.approx(expected, abs=1e-7)
    assert float(change.regression_at_gate(-60, 15, r, -40)) == pytest.approx(-expected, abs=1e-7)


def test_the_two_regressions_agree() -> None:
    """Another library's mean of a truncated normal is the baseline to expect behind a gate."""
    from scipy.stats import truncnorm

    for mean, sd, r, gate in [(17.1, 6.1, 0.84, 10.0), (10.0, 5.0, 0.5, 25.0), (0.0, 1.0, 0.2, -4.0)]:
        baseline = truncnorm.mean((gate - mean) / sd, np.inf, loc=mean, scale=sd)
        of_baseline = float(change.regression_of_baseline(baseline, mean, r))
        assert float(change.regression_at_gate(mean, sd, r, gate)) == pytest.approx(of_baseline, rel=1e-6)
    assert float(change.regression_at_gate(0, 1, 0.5, 60)) == pytest.approx(-30, abs=0.01)  # far in the tail


# --- rules -------------------------------------------------------------------------------------------------


def test_published_rules() -> None:
    found = {r.instrument: r for r in settle_rules(KNOWN, list(KNOWN.instruments))}
    points = {name: (r.reliable, r.cutoff, r.side) for name, r in found.items() if r.reliable is not None}
    assert points == {"phq9": (6, 10, "below"), "gad7": (4, 8, "below"), "pcl5": (15, 28, "at_most")}
    assert all(r.cutoff is None for name, r in found.items() if name not in points)
    norms = {name: (r.mean, r.sd) for name, r in found.items() if r.sd is not None}
    assert norms == {
        "phq9": (Fraction("17.1"), Fraction("6.1")),
        "gad7": (Fraction("14.4"), Fraction("4.7")),
    }


@pytest.mark.parametrize(
    ("baseline", "value", "expected"),
    [
        (15, 9, "recovered"),
        (16, 10, "improved"),                            # 10 is not below 10
        (16, Fraction(69, 7), "recovered"),              # 9 and six sevenths is
        (9, 3, "improved_from_functional"),
        (10, 9, "unchanged_crossed"),                    # below 10, but one point is within error
        (15, 10, "unchanged"),
        (15, Fraction(561, 56), "unchanged"),
        (12, 18, "deteriorated"),
        (9, 15, "deteriorated"),
        (12, 17, "unchanged"),
        (0, 0, "unchanged"),                             # the best there is: cannot improve
        (0, 6, "deteriorated"),
    ],
)  # fmt: skip
def test_categories_of_the_phq9(baseline: object, value: object, expected: str) -> None:
    assert category(rule(), baseline, value) == expected


def test_the_pcl5_cut_is_28_or_lower() -> None:
    assert category(rule("pcl5"), 43, 28) == "recovered"
    assert category(rule("pcl5"), 44, 29) == "improved"
    assert category(rule("pcl5"), 42, 28) == "unchanged_crossed"


def test_the_threshold_is_the_smallest_tick_beyond_error_exactly() -> None:
    for sd in (Fraction("6.1"), Fraction("5.5"), Fraction(3), Fraction(50, 49)):
        for r in (Fraction("0.84"), Fraction("0.5"), Fraction("0.89"), Fraction(0)):
            for name in ("phq9", "gad7", "peg"):
                found = rule(name, reliable=(sd, r))
                error = Fraction("1.96") ** 2 * 2 * sd**2 * (1 - r)
                least = found.reliable
                assert least is not None
                assert least**2 > error >= (least - Fraction(1, found.ticks)) ** 2
    # A standard error of a difference of 50 / 49 makes 1.96 of them exactly 2, and 2 does not exceed 2.
    assert rule("gad7", reliable=(Fraction(50, 49), Fraction(1, 2))).reliable == 3


def test_computed_from_the_files_reliability_and_norms() -> None:
    retest, alpha = rule(reliable="retest").reliable, rule(reliable="internal consistency").reliable
    assert float(retest or 0) == pytest.approx(1.96 * 2**0.5 * 6.1 * 0.16**0.5, abs=1 / 56)
    assert float(alpha or 0) == pytest.approx(1.96 * 2**0.5 * 6.1 * 0.11**0.5, abs=1 / 56)
    cuts = [rule(cutoff=name).cutoff for name in "abc"]
    assert cuts == [Fraction("4.9"), Fraction("10.9"), Fraction(8511, 990)]
    assert rule(reliable=5).reliable == 5
    assert rule(cutoff=12.5).cutoff == Fraction(25, 2)
    mapped = settle_rules(KNOWN, ["phq9", "pcl5"], reliable={"pcl5": 10})
    assert [r.reliable for r in mapped] == [6, 10]


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(ChangeError) as raised:
        settle_rules(
            KNOWN, ["phq9", "pcl5", "madrs"], reliable={"phq9": "re-test", "madrs": -2},
            cutoff={"phq9": "d", "pcl5": "c", "madrs": (1, 2)}, population={"pcl5": "functional"},
            retest={"phq9": 2},
        )  # fmt: skip
    lines = str(raised.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "phq9",
        "phq9",
        "phq9",
        "pcl5",
        "pcl5",
        "madrs",
        "madrs",
    ]
    assert "did you mean 'retest'" in str(raised.value)
    assert "pcl5: cutoff 'c' needs norms of both populations, and none is published" in str(raised.value)


@pytest.mark.parametrize(
    "choices",
    [
        {"reliable": (0, 0.5)}, {"reliable": (5, 1)}, {"population": (10, 0)}, {"retest": "retest"},
        {"retest": -0.1}, {"reliable": 0}, {"reliable": 28}, {"cutoff": 28},
    ],
)  # fmt: skip
def test_a_number_that_cannot_be_is_refused(choices: dict[str, object]) -> None:
    with pytest.raises(ChangeError, match="phq9: "):
        rule(**choices)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"reliable": {"phq-9": 5}}, "reliable: no instrument 'phq-9' is asked about; did you mean 'phq9'"),
        ({"cutoff": nan}, "cutoff: a word, a finite number or a pair"),
        ({"reliable": [6.1, 0.84]}, "reliable: a word, a finite number or a pair"),
        ({"population": (1, 2, 3)}, "population: a word"),
        ({"retest": True}, "retest: a word"),
    ],
)
def test_a_choice_that_is_none_is_refused(choices: dict[str, object], message: str) -> None:
    with pytest.raises(ChangeError, match=message):
        rule(**choices)


def test_no_category_without_a_reliable_change() -> None:
    assert rule("ybocs").reliable is None
    with pytest.raises(ChangeError, match="ybocs: no reliable change is known"):
        category(rule("ybocs"), 20, 10)


def test_where_low_is_worse(tmp_path: Path) -> None:
    known = with_wellbeing(tmp_path)
    (found,) = settle_rules(known, ["who5"], reliable=4, cutoff=13)
    assert category(found, 8, 14) == "recovered"
    assert category(found, 8, 13) == "improved"
    assert category(found, 14, 9) == "deteriorated"
    assert category(found, 11, 14) == "unchanged_crossed"


def test_rules_survive_a_header() -> None:
    rules = settle_rules(KNOWN, ["phq9", "ybocs"], reliable={"phq9": "retest"}, cutoff={"phq9": "c"})
    assert tuple(parse_rules(as_text(rules)).values()) == rules
    assert as_text(()) == ""
    assert parse_rules("") == {}
