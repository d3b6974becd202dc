"""What each criterion means, by cases small enough to check by eye, then everywhere."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from wellbeing import Points, judge, with_wellbeing

from ketaoutcomes.definitions import Criterion, load, met

DEFINITIONS = load()


@pytest.mark.parametrize(
    ("baseline", "value", "response50", "partial25", "remission_lt5", "remission_le5"),
    [
        (20, 10, True, False, False, False),             # exactly half counts
        (20, 11, False, True, False, False),
        (20, 15, False, True, False, False),             # exactly a quarter
        (20, 16, False, False, False, False),
        (27, 13, True, False, False, False),
        (27, 14, False, True, False, False),             # half of 27 is 13.5
        (10, 5, True, False, False, True),               # five is not below five
        (10, 4, True, False, True, True),
        (12, 4.5, True, False, True, True),              # prorated: 4.5 is below 5, and not rounded to it
        (12, Fraction(36, 7), True, False, False, False),  # 5 and one seventh is not 5
        (9, 4.5, True, False, True, True),
        (10, 12, False, False, False, False),
        (0, 0, None, None, True, True),                  # a percentage of nothing cannot be judged
        (16, None, None, None, None, None),              # no score: unknown, never "no"
        (None, 4, None, None, True, True),               # remission needs no baseline
    ],
)  # fmt: skip
def test_phq9_response_and_remission(
    baseline: Points,
    value: Points,
    response50: bool | None,
    partial25: bool | None,
    remission_lt5: bool | None,
    remission_le5: bool | None,
) -> None:
    names = ("response50", "partial25", "remission_lt5", "remission_le5")
    found = [judge(f"phq9_{name}", baseline, value) for name in names]
    assert found == [response50, partial25, remission_lt5, remission_le5]


@pytest.mark.parametrize(
    ("name", "baseline", "value", "expected"),
    [
        ("phq9_response_orig", 18, 9, True),
        ("phq9_response_orig", 20, 10, False),           # halved, but not 9 or lower
        ("phq9_response_orig", 17, 9, False),            # 9, but not halved
        ("phq9_reliable6", 15, 9, True),
        ("phq9_reliable6", 15, 10, False),
        ("phq9_mcid5", 15, 10, True),
        ("phq9_deterioration", 10, 16, True),
        ("phq9_deterioration", 10, 15, False),
        ("phq9_deterioration", 16, 10, False),
        ("phq9_deterioration", 10, Fraction(112, 7), True),
        ("phq9_csc_lt10", 15, 9, True),
        ("phq9_csc_lt10", 14, 9, False),                 # below 10, but only 5 points lower
        ("phq9_csc_lt10", 20, 10, False),                # 10 points lower, but 10 is not below 10
        ("phq9_csc_lt10", 9, 3, False),                  # was below 10 to begin with
        ("phq9_csc_lt10", 16, Fraction(69, 7), True),    # prorated: 9 and six sevenths is below 10
        ("gad7_csc_lt8", 11, 7, True),
        ("gad7_csc_lt8", 12, 8, False),
        ("gad7_csc_lt8", 10, 7, False),
        ("gad7_reliable6", 11, 6, False),
        ("gad7_reliable6", 11, 5, True),
        ("hamd17_mcid3", 20, 17, True),
        ("hamd17_mcid3", 20, 18, False),
        ("madrs_mcid2", 30, 28, True),
        ("madrs_mcid2", 30, 29, False),
        ("peg_mcid1", 7, 6, True),
        ("peg_mcid1", 7, Fraction(19, 3), False),
        ("pcl5_deterioration15", 40, 55, True),
        ("pcl5_deterioration15", 40, 54, False),
        ("gad7_response50", 11, 5, True),
        ("gad7_response50", 11, 6, False),
        ("gad7_remission_lt5", 11, 5, False),
        ("gad7_remission_lt5", 11, Fraction(24, 5), True),
        ("gad7_mcid4", 11, 7, True),
        ("gad7_reliable4", 11, 8, False),
        ("gad7_deterioration4", 11, 15, True),
        ("pcl5_reliable15", 50, 35, True),
        ("pcl5_reliable15", 50, 36, False),
        ("pcl5_reliable18", 50, 33, False),
        ("pcl5_reliable18", 50, 32, True),
        ("pcl5_change10", 50, 40, True),
        ("pcl5_resp30", 50, 35, True),                   # 30 % of 50 is 15
        ("pcl5_resp30", 51, 36, False),                  # 30 % of 51 is 15.3
        ("pcl5_resp50", 41, 20, True),
        ("pcl5_resp50", 41, 21, False),
        ("pcl5_below33", 33, 32, True),
        ("pcl5_below33", 33, 33, False),
        ("pcl5_below33", 32, 20, False),                 # was not at 33 to begin with
        ("pcl5_csc28", 43, 28, True),
        ("pcl5_csc28", 42, 28, False),                   # 28, but only 14 points lower
        ("pcl5_csc28", 60, 29, False),                   # 31 points lower, but above 28
        ("pcl5_remission20", 50, 20, False),
        ("pcl5_remission20", 50, 19, True),
        ("madrs_response50", 36, 18, True),
        ("madrs_remission_le10", 36, 10, True),
        ("madrs_remission_le10", 36, 11, False),
        ("madrs_remission_le12", 36, 12, True),
        ("hamd17_response50", 21, 10, True),
        ("hamd17_remission_le7", 21, 7, True),
        ("hamd17_remission_le7", 21, 8, False),
        ("qids_sr16_response50", 17, 8, True),
        ("qids_sr16_remission_le5", 17, 5, True),
        ("ybocs_response35", 20, 13, True),              # 35 % of 20 is 7
        ("ybocs_response35", 20, 14, False),
        ("ybocs_remission_le14", 20, 14, True),
        ("peg_response30", Fraction(20, 3), Fraction(14, 3), True),  # 30 % of 6 2/3 is exactly 2
        ("peg_response30", Fraction(20, 3), 5, False),
    ],
)  # fmt: skip
def test_criteria(name: str, baseline: Points, value: Points, expected: bool) -> None:
    assert judge(name, baseline, value) is expected


def test_losing_the_diagnosis() -> None:
    criterion = DEFINITIONS.criterion("pcl5_loss_dx")
    before, after = np.array([1, 1, 0, 0, -1, 1]), np.array([0, 1, 0, 1, 0, -1])
    found = met(criterion, before.astype(np.int32), after.astype(np.int32), 1)
    assert found.tolist() == [1, 0, 0, 0, -1, -1]
    assert criterion.variable == "diagnosis"


def test_phq9_below_5_from_10_or_more_is_always_a_response() -> None:
    ticks = np.arange(27 * 56 + 1, dtype=np.int32)
    for baseline in range(10, 28):
        before = np.full_like(ticks, baseline * 56)
        for remission in ("phq9_remission_lt5", "phq9_remission_le5"):
            remitted = met(DEFINITIONS.criterion(remission), before, ticks, 56) == 1
            assert (met(DEFINITIONS.criterion("phq9_response50"), before, ticks, 56)[remitted] == 1).all()


def test_pcl5_cuts_do_not_imply_change() -> None:
    """From 33 to 37, below 20 need not be halved; from 33 to 42, 28 or lower need not be 15 points."""
    assert [judge("pcl5_resp50", baseline, 19) for baseline in range(33, 39)] == [False] * 5 + [True]
    assert not any(judge("pcl5_reliable15", baseline, 28) for baseline in range(33, 43))
    assert judge("pcl5_reliable15", 43, 28)


def slow_judge(criterion: Criterion, baseline: Fraction, value: Fraction) -> bool | None:
    """Every rule once more, in fractions of points, written for reading; direction by hand."""
    better = baseline - value if criterion.worse == "higher" else value - baseline

    def reached(score: Fraction, mark: Fraction) -> bool:
        return score <= mark if criterion.worse == "higher" else score >= mark

    def passed(score: Fraction, mark: Fraction) -> bool:
        return reached(score, mark) and score != mark

    if criterion.rule in ("fall_percent", "fall_between_percent", "fall_percent_and_at_most"):
        if baseline == 0:
            return None
        share = 100 * better / baseline
        enough = share >= criterion.value
        if criterion.rule == "fall_percent":
            return enough
        limit = criterion.limit
        if limit is None:
            raise AssertionError(criterion.name)
        return enough and (
            share < limit if criterion.rule == "fall_between_percent" else reached(value, limit)
        )
    if criterion.rule == "fall_points_and_at_most":
        return better >= criterion.value and reached(value, criterion.limit or Fraction(0))
    if criterion.rule == "fall_points_and_crosses_below":
        cut = criterion.limit or Fraction(0)
        return better >= criterion.value and not passed(baseline, cut) and passed(value, cut)
    return {
        "fall_points": better >= criterion.value,
        "rise_points": -better >= criterion.value,
        "below": passed(value, criterion.value),
        "at_most": reached(value, criterion.value),
        "crosses_below": not passed(baseline, criterion.value) and passed(value, criterion.value),
    }[criterion.rule]


def test_every_rule_agrees_with_its_slow_definition_everywhere(tmp_path: Path) -> None:
    """All pairs of whole points (and of half points up to 27), for every criterion there is."""
    known = with_wellbeing(tmp_path)
    for criterion in known.criteria.values():
        if criterion.variable == "diagnosis":
            continue
        it = known.instrument(criterion.instrument)
        step = it.ticks // 2 if it.high <= 27 and it.ticks % 2 == 0 else it.ticks
        scale = np.arange(it.low * it.ticks, it.high * it.ticks + 1, step, dtype=np.int32)
        before, after = (grid.ravel() for grid in np.meshgrid(scale, scale))
        found = met(criterion, before, after, it.ticks)
        exact = {int(tick): Fraction(int(tick), it.ticks) for tick in scale}
        pairs = zip(before.tolist(), after.tolist(), strict=True)
        want = [slow_judge(criterion, exact[b], exact[a]) for b, a in pairs]
        assert found.tolist() == [-1 if w is None else int(w) for w in want], criterion.name


def test_a_better_score_never_undoes_a_criterion() -> None:
    """All but the two that mean a middling or a bad result."""
    for criterion in DEFINITIONS.criteria.values():
        if criterion.rule in ("fall_between_percent", "rise_points", "lost_diagnosis"):
            continue
        it = DEFINITIONS.instrument(criterion.instrument)
        scale = np.arange(it.high * it.ticks + 1, dtype=np.int32)
        for baseline in range(1, it.high + 1):
            found = met(criterion, np.full_like(scale, baseline * it.ticks), scale, it.ticks)
            assert (np.diff(found) <= 0).all(), criterion.name


def test_where_low_is_worse_better_is_higher(tmp_path: Path) -> None:
    known = with_wellbeing(tmp_path)
    assert judge("who5_fall_points", 10, 12.5, known) is True
    assert judge("who5_fall_points", 12, 10, known) is False
    assert judge("who5_rise_points", 12, 9, known) is True
    assert judge("who5_below", 5, 13, known) is False
    assert judge("who5_below", 5, 14, known) is True
    assert judge("who5_at_most", 5, 13, known) is True
