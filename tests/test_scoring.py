"""How the answers of a form become a score: cases to check by eye, then every case there is."""

from __future__ import annotations

import csv
import os
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ketaoutcomes.definitions import MISSING, Instrument, Scored, band_of, load, score_items

DEFINITIONS = load()
PHQ9, PCL5 = DEFINITIONS.instrument("phq9"), DEFINITIONS.instrument("pcl5")
DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
DATA = Path(os.environ.get("KETAOUTCOMES_REFERENCE_DATA") or DEFAULT_DATA)
_ = -1  # a blank item


def scored(name: str, *forms: list[int], prorate: bool = True) -> Scored:
    """Score a few forms written out answer by answer."""
    return score_items(DEFINITIONS.instrument(name), np.array(forms, np.int8), prorate=prorate)


def points(name: str, form: list[int], prorate: bool = True) -> Fraction | None:
    """The total of one form in points, exactly; None where there is none."""
    ticks = int(scored(name, form, prorate=prorate).ticks[0])
    return None if ticks == MISSING else Fraction(ticks, DEFINITIONS.instrument(name).ticks)


def columns(folder: str, file: str, names: list[str]) -> NDArray[np.int64]:
    """Columns of a public data file as whole numbers."""
    path = DATA / folder / file
    if not path.exists():
        pytest.skip("reference data absent: set KETAOUTCOMES_REFERENCE_DATA")
    with path.open(encoding="utf-8", newline="") as stream:
        return np.array([[int(row[name]) for name in names] for row in csv.DictReader(stream)])


@pytest.mark.parametrize(
    ("form", "total", "answered", "prorated"),
    [
        ([3] * 9, 27, 9, False),
        ([0] * 9, 0, 9, False),
        ([_] * 9, None, 0, False),                       # all blank: no score, not zero
        ([1, 1, 1, 1, 0, 0, 0, 0, _], Fraction(9, 2), 8, True),   # 4 of 8 answered: 4.5, not 4 and not 5
        ([2] * 7 + [_, _], 18, 7, True),
        ([2] * 6 + [_, _, _], None, 6, False),           # three blank: the rule gives no total
        ([3] * 7 + [_, _], 27, 7, True),
        ([1] + [0] * 6 + [_, _], Fraction(9, 7), 7, True),
    ],
)  # fmt: skip
def test_phq9_totals(form: list[int], total: Fraction | None, answered: int, prorated: bool) -> None:
    block = scored("phq9", form)
    assert points("phq9", form) == total
    assert (block.answered[0], block.prorated[0]) == (answered, prorated)


@pytest.mark.parametrize(
    ("name", "form", "total"),
    [
        ("gad7", [1] * 7, 7),
        ("gad7", [1] * 6 + [_], None),
        ("phq8", [1, 0, 0, 0, 0, 0, 0, _], None),        # the PHQ-9 rule is only borrowed for these two
        ("pcl5", [4] * 20, 80),
        ("pcl5", [4] * 19 + [_], None),                  # no published rule, so no total
        ("madrs", [6] * 10, 60),
        ("madrs", [6] * 9 + [_], None),
        ("ybocs", [4] * 10, 40),
        ("peg", [4, 4, 5], Fraction(13, 3)),             # a mean, kept exactly
        ("peg", [4, 4, _], None),
        ("qids_sr16", [3] * 16, 27),
        ("qids_sr16", [0, 3, 1, 2, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 1, 3], 8),  # sleep 3, weight 2, movement 3
        ("qids_sr16", [0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0], 6),  # the six that count each
        ("qids_sr16", [3] * 15 + [_], None),
    ],
)  # fmt: skip
def test_other_totals(name: str, form: list[int], total: Fraction | None) -> None:
    assert points(name, form) == total


def test_without_proration_a_blank_item_means_no_total() -> None:
    assert points("phq9", [1] * 8 + [_], prorate=False) is None
    assert points("phq9", [1] * 9, prorate=False) == 9
    assert not scored("phq9", [1] * 8 + [_], prorate=False).prorated[0]


def test_the_safety_item_is_as_answered_and_never_prorated() -> None:
    block = scored("phq9", [3] * 8 + [_], [0] * 8 + [2], [0] * 9)
    assert block.flag.tolist() == [-1, 2, 0]
    assert scored("gad7", [3] * 7).flag.tolist() == [-1]


@pytest.mark.parametrize(
    ("endorsed", "diagnosis"),
    [
        ({1: 2, 6: 2, 8: 2, 9: 2, 15: 2, 16: 2}, 1),     # one B, one C, two D, two E
        ({1: 1, 6: 2, 8: 2, 9: 2, 15: 2, 16: 2}, 0),     # "a little bit" is not endorsed
        ({6: 4, 8: 4, 9: 4, 15: 4, 16: 4}, 0),           # no B
        ({1: 4, 2: 4, 8: 4, 9: 4, 15: 4, 16: 4}, 0),     # no C
        ({1: 4, 7: 4, 14: 4, 15: 4, 16: 4}, 0),          # one D
        ({5: 2, 7: 2, 13: 2, 14: 2, 20: 2}, 0),          # one E
        ({5: 2, 7: 2, 13: 2, 14: 2, 19: 2, 20: 2}, 1),
        ({1: 2, 6: 2, 8: 2, 9: 2, 15: 2, 16: 2, 3: _}, -1),  # an item is missing: unknown
    ],
)  # fmt: skip
def test_provisional_ptsd(endorsed: dict[int, int], diagnosis: int) -> None:
    form = [endorsed.get(item, 0) for item in range(1, 21)]
    assert scored("pcl5", form).diagnosis.tolist() == [diagnosis]


def test_instruments_without_a_rule_have_no_diagnosis() -> None:
    assert scored("phq9", [3] * 9).diagnosis.tolist() == [-1]


@pytest.mark.parametrize("name", ["phq9", "phq8", "gad7", "peg"])
def test_every_possible_sum_is_prorated_exactly(name: str) -> None:
    """Each total equals the fraction written out, for every number of answers and every sum they can have."""
    it = DEFINITIONS.instrument(name)
    for given in range(it.items + 1):
        for total in range(given * it.item_high + 1):
            form = [min(it.item_high, max(0, total - it.item_high * k)) for k in range(given)]
            want = None
            if given and it.items - given <= it.max_missing:
                want = Fraction(total, given) * (1 if it.combine == "mean" else it.items)
            assert points(name, form + [_] * (it.items - given)) == want


def test_every_phq9_like_form_of_gad7_equals_its_definition() -> None:
    """Every one of the 4**7 complete forms; with a blank item, wherever it may be, there is no total."""
    forms = np.array(list(product(range(4), repeat=7)), np.int8)
    gad7 = DEFINITIONS.instrument("gad7")
    assert (score_items(gad7, forms).ticks == forms.sum(axis=1, dtype=np.int32) * gad7.ticks).all()
    for blank in range(7):
        gaps = forms[::17].copy()
        gaps[:, blank] = -1
        assert (score_items(gad7, gaps).ticks == MISSING).all()


def slow_score(it: Instrument, form: list[int]) -> Fraction | None:
    """The score of one form, written for reading."""
    answers = [answer for answer in form if answer >= 0]
    if not answers or len(form) - len(answers) > it.max_missing:
        return None
    if it.combine == "mean":
        return Fraction(sum(answers), len(answers))
    if it.combine == "max_of_groups":
        alone = set(range(1, it.items + 1)).difference(*it.groups)
        return Fraction(sum(max(form[i - 1] for i in g) for g in it.groups) + sum(form[i - 1] for i in alone))
    return Fraction(sum(answers) * it.items, len(answers))


@pytest.mark.parametrize("name", [it.id for it in DEFINITIONS.instruments.values() if it.items])
@pytest.mark.parametrize("order", ["C", "F"])
def test_random_forms_equal_the_slow_definition(name: str, order: str) -> None:
    it, rng = DEFINITIONS.instrument(name), np.random.default_rng(20)
    forms = rng.integers(it.item_low, it.item_high + 1, (400, it.items)).astype(np.int8)
    forms[rng.random(forms.shape) < 0.06] = -1
    block = score_items(it, np.array(forms, order=order))
    want = [slow_score(it, form) for form in forms.tolist()]
    assert block.ticks.tolist() == [MISSING if w is None else w * it.ticks for w in want]
    assert block.answered.tolist() == (forms >= 0).sum(axis=1).tolist()
    assert block.prorated.tolist() == [
        w is not None and a < it.items for w, a in zip(want, block.answered.tolist(), strict=True)
    ]


def test_a_form_scores_the_same_wherever_it_stands() -> None:
    """Long tables are scored in pieces; neither the piece nor the neighbours matter."""
    rng = np.random.default_rng(4)
    forms = rng.integers(-1, 5, (40_000, 20)).astype(np.int8)
    whole, turned = score_items(PCL5, forms), score_items(PCL5, forms[::-1])
    assert (whole.ticks == turned.ticks[::-1]).all()
    assert (whole.diagnosis == turned.diagnosis[::-1]).all()
    few = score_items(PCL5, forms[32_760:32_780])
    assert (few.ticks == whole.ticks[32_760:32_780]).all()


def test_no_forms_no_scores() -> None:
    assert len(score_items(PHQ9, np.empty((0, 9), np.int8)).ticks) == 0


def test_an_impossible_answer_is_refused_without_repeating_it() -> None:
    with pytest.raises(ValueError, match=r"phq9: 2 form\(s\) .* outside 0 to 3 .* at position 1$"):
        scored("phq9", [0] * 9, [99] + [0] * 8, [0] * 8 + [-2])
    with pytest.raises(ValueError, match="at position 32769"):
        score_items(PHQ9, np.where(np.arange(32_780)[:, None] == 32_769, 4, np.zeros(9)).astype(np.int8))


@pytest.mark.parametrize(
    ("name", "answers", "message"),
    [
        ("phq9", np.zeros((2, 8), np.int8), "needs 9 columns"),
        ("phq9", np.zeros(9, np.int8), "needs 9 columns"),
        ("phq9", np.zeros((2, 9)), "int8"),
        ("hamd17", np.zeros((2, 17), np.int8), "totals only"),
    ],
)
def test_the_wrong_table_is_refused(name: str, answers: NDArray[np.int8], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score_items(DEFINITIONS.instrument(name), answers)


@pytest.mark.parametrize(
    ("name", "total", "band"),
    [
        ("phq9", 0, "minimal"),
        ("phq9", 4, "minimal"),
        ("phq9", Fraction(9, 2), "minimal"),             # has not reached 5
        ("phq9", 5, "mild"),
        ("phq9", 14, "moderate"),
        ("phq9", 15, "moderately severe"),
        ("phq9", 27, "severe"),
        ("gad7", Fraction(74, 5), "moderate"),           # 14.8
        ("gad7", 15, "severe"),
        ("madrs", 35, "severe"),
        ("qids_sr16", 21, "very severe"),
    ],
)  # fmt: skip
def test_bands(name: str, total: Fraction | int, band: str) -> None:
    it = DEFINITIONS.instrument(name)
    index = band_of(it, np.array([total * it.ticks, MISSING], np.int64).astype(np.int32))
    assert it.bands[index[0]].name == band
    assert index[1] == -1


def test_pcl5_has_no_bands() -> None:
    with pytest.raises(ValueError, match="no severity bands"):
        band_of(PCL5, np.array([40], np.int32))


# NHANES 2017 to March 2020, PHQ-9 items with a printed total, 7,882 complete forms.
def test_nhanes_totals_are_the_printed_ones() -> None:
    names = [f"DPQ0{item}0" for item in range(1, 10)]
    table = columns("nhanes-phq9", "PHQ9_Results.csv", [*names, "Total"])
    assert len(table) == 7_882
    block = score_items(PHQ9, table[:, :9].astype(np.int8))
    assert (block.ticks == table[:, 9] * PHQ9.ticks).all()
    assert (block.flag == table[:, 8]).all()


# R package PTSDdiag, simulated_ptsd: 5,000 forms; totals described there as mean 57.772, sd 12.362, 9 to 80.
def test_simulated_pcl5_forms() -> None:
    forms = columns("pcl5-simulated", "simulated_ptsd.csv", [f"S{item}" for item in range(1, 21)]).astype(
        np.int8
    )
    block = score_items(PCL5, forms)
    assert len(forms) == 5_000
    assert block.ticks.mean() == pytest.approx(57.772, abs=5e-4)
    assert block.ticks.std(ddof=1) == pytest.approx(12.362, abs=5e-4)
    assert (block.ticks.min(), block.ticks.max()) == (9, 80)
    clusters = {c.name: forms[:, [i - 1 for i in c.items]].sum(axis=1, dtype=int) for c in PCL5.clusters}
    assert (sum(clusters.values()) == block.ticks).all()
    assert {c.name: 4 * len(c.items) for c in PCL5.clusters} == {"B": 20, "C": 8, "D": 28, "E": 24}
    yes = forms >= 2
    want = yes[:, 0:5].any(1) & yes[:, 5:7].any(1) & (yes[:, 7:14].sum(1) >= 2) & (yes[:, 14:20].sum(1) >= 2)
    assert (block.diagnosis == want).all()
