"""What each criterion means, by cases small enough to check by eye; and how definitions are read."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ketaoutcomes import definitions
from ketaoutcomes.definitions import MISSING, Criterion, DefinitionError, Definitions, load, met

DEFINITIONS = load()
DOCS = Path(__file__).resolve().parents[1] / "docs"
Points = int | float | Fraction | None


def judge(name: str, baseline: Points, value: Points, known: Definitions = DEFINITIONS) -> bool | None:
    """Whether a criterion is met by one pair of scores in points; None where it cannot be judged."""
    criterion = known.criterion(name)
    ticks = known.instrument(criterion.instrument).ticks
    pair = [MISSING if points is None else int(Fraction(points) * ticks) for points in (baseline, value)]
    result = met(criterion, np.array(pair[:1], np.int32), np.array(pair[1:], np.int32), ticks)
    return {1: True, 0: False, -1: None}[int(result[0])]


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
    return {
        "fall_points": better >= criterion.value,
        "rise_points": -better >= criterion.value,
        "below": passed(value, criterion.value),
        "at_most": reached(value, criterion.value),
        "crosses_below": not passed(baseline, criterion.value) and passed(value, criterion.value),
    }[criterion.rule]


WELLBEING = """
[instrument]
id = "who5"
title = "WHO-5 (raw)"
items = 5
item_range = [0, 5]
range = [0, 25]
worse = "lower"
max_missing = 1
recall_days = 14
[cites]
scoring = "house"
missing_items = "house"
recall_days = "house"
"""
EVERY_RULE = {
    "fall_percent": "value = 12.5",
    "fall_between_percent": "value = 10\nlimit = 50",
    "fall_percent_and_at_most": "value = 20\nlimit = 13",
    "fall_points": "value = 2.5",
    "fall_points_and_at_most": "value = 3\nlimit = 15.5",
    "rise_points": "value = 3",
    "below": "value = 13",
    "at_most": "value = 13",
    "crosses_below": "value = 13",
}


def with_wellbeing(folder: Path) -> Definitions:
    """The package's definitions, and a scale where high is well, with a criterion of every rule."""
    entries = [
        f'[[criteria]]\nshort = "{rule}"\ntitle = "t"\nrule = "{rule}"\n{numbers}\ncite = "house"\n'
        for rule, numbers in EVERY_RULE.items()
    ]
    (folder / "who5.toml").write_text(WELLBEING + "\n".join(entries), encoding="utf-8")
    return load((str(folder),))


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


def numbers_without_source(known: Definitions) -> list[str]:
    """Where a number stands with no citation beside it."""
    bare = [c.name for c in known.criteria.values() if not c.cite.strip()]
    for it in known.instruments.values():
        needed = {"scoring", "missing_items", "recall_days"}
        optional = ("gate", "flag_item", "bands", "clusters", "diagnosis", "labels", "loinc")
        needed |= {name for name in optional if getattr(it, name)}
        bare += [f"{it.id}.{name}" for name in needed if not it.cites.get(name, "").strip()]
        bare += [f"{it.id}.reliability" for r in it.reliability if not r.cite.strip()]
    for protocol in known.protocols.values():
        bare += [protocol.id for cite in protocol.cites.values() if not cite.strip()]
        bare += [protocol.id for level in protocol.levels if not level.cite.strip()]
    return bare


def test_every_number_has_a_source() -> None:
    assert numbers_without_source(DEFINITIONS) == []
    assert all(protocol.cites["schedule"] for protocol in DEFINITIONS.protocols.values())


def test_the_criteria_of_the_first_release_are_all_there() -> None:
    phq9 = "response50 response_orig partial25 remission_lt5 remission_le5 reliable6 mcid5 deterioration"
    pcl5 = "reliable15 reliable18 change10 resp30 resp50 below33 csc28 remission20 loss_dx"
    assert [c.short for c in DEFINITIONS.instrument("phq9").criteria] == phq9.split()
    assert [c.short for c in DEFINITIONS.instrument("pcl5").criteria] == pcl5.split()


def test_gates_and_ticks() -> None:
    gates = {name: it.gate for name, it in DEFINITIONS.instruments.items() if it.gate is not None}
    assert gates == {"phq9": 10, "phq8": 10, "pcl5": 33, "gad7": 10}
    ticks = {name: it.ticks for name, it in DEFINITIONS.instruments.items() if it.ticks != 1}
    assert ticks == {"phq9": 56, "phq8": 21, "gad7": 30, "peg": 3}


@pytest.mark.parametrize(
    ("name", "visits", "window", "limit", "carry", "gap", "maturity", "trial", "unit"),
    [
        ("iv6", 6, 7, 35, (7, 63), 91, 66, (4, 6), "doses"),
        ("iv6_weekly", 6, 10, 60, (11, 63), 91, 91, (4, 6), "doses"),
        ("im", 4, 10, 42, (11, 47), 69, 73, (4, 6), "doses"),
        ("esketamine", 8, 7, 45, (7, 21), 45, 76, (4, 8), "doses"),
        ("home", None, None, None, (7, 7), 45, 59, (30, 60), "days"),
        ("none", None, None, None, None, None, None, None, None),
    ],
)
def test_protocols(
    name: str, visits: int, window: int, limit: int, carry: tuple[int, int], gap: int, maturity: int,
    trial: tuple[int, int], unit: str,
) -> None:  # fmt: skip
    it = DEFINITIONS.protocol(name)
    assert (it.visits, it.session_window, it.induction_limit, it.carry) == (visits, window, limit, carry)
    assert (it.course_gap, it.maturity, it.trial, it.trial_unit) == (gap, maturity, trial, unit)
    assert len(it.planned_days) == (visits or 0)
    if limit is not None:
        assert maturity == limit + 31


def test_names_that_are_not_there_get_a_suggestion() -> None:
    with pytest.raises(
        DefinitionError, match="unknown criterion 'phq9_respons50'; did you mean 'phq9_response50'"
    ):
        DEFINITIONS.criterion("phq9_respons50")
    with pytest.raises(DefinitionError, match="did you mean 'esketamine'"):
        DEFINITIONS.protocol("eskatamine")
    with pytest.raises(DefinitionError, match="known: esketamine, home, im"):
        DEFINITIONS.protocol("zzz")
    with pytest.raises(DefinitionError, match="did you mean 'remission_lt5'"):
        DEFINITIONS.criteria_named("remision_lt5")


def test_a_bare_name_means_every_instrument_that_has_it() -> None:
    found = [c.instrument for c in DEFINITIONS.criteria_named("response50")]
    assert found == ["gad7", "hamd17", "madrs", "phq8", "phq9", "qids_sr16"]
    assert [c.name for c in DEFINITIONS.criteria_named("pcl5_resp50")] == ["pcl5_resp50"]


def test_canonical_text_holds_what_changes_numbers_and_nothing_else() -> None:
    text = DEFINITIONS.as_text(["phq9_response50", "pcl5_below33"], ["iv6"])
    assert text == DEFINITIONS.as_text(["pcl5_below33", "phq9_response50"], ["iv6"])
    assert "Kroenke" not in text
    assert '"value":"50"' in text
    assert "reliable15" not in text
    with pytest.raises(DefinitionError):
        DEFINITIONS.as_text(["phq9_nothing"], [])


def test_definitions_cannot_be_changed_but_can_be_copied() -> None:
    phq9 = DEFINITIONS.instrument("phq9")
    with pytest.raises(AttributeError):
        phq9.gate = 5  # type: ignore[misc]
    with pytest.raises(TypeError):
        phq9.labels["Not at all"] = 3  # type: ignore[index]
    assert pickle.loads(pickle.dumps(DEFINITIONS)) == DEFINITIONS == copy.deepcopy(DEFINITIONS)
    assert hash(phq9) == hash(replace(phq9))
    assert pickle.loads(pickle.dumps(DefinitionError("a", "b"))).findings == ("a", "b")
    assert load() is DEFINITIONS


def folder_with(folder: Path, **files: str) -> str:
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return str(folder)


CRITERION = """
[[criteria]]
instrument = "phq9"
short = "{short}"
title = "t"
rule = "at_most"
value = {value}
cite = "house"
"""


def test_a_folder_adds_and_replaces_only_when_told(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, own=CRITERION.format(short="remission_le4", value=4))
    assert load((folder,)).criterion("phq9_remission_le4").value == 4
    assert "phq9_remission_le4" not in DEFINITIONS.criteria
    folder_with(tmp_path, own=CRITERION.format(short="remission_le5", value=6))
    with pytest.raises(DefinitionError, match=r"own\.toml: criteria\[1\]\.short: .* say replaces = true"):
        load((folder,))
    folder_with(tmp_path, own=CRITERION.format(short="remission_le5", value=6) + "replaces = true\n")
    assert load((folder,)).criterion("phq9_remission_le5").value == 6
    folder_with(tmp_path, own=CRITERION.format(short="remission_le9", value=6) + "replaces = true\n")
    with pytest.raises(DefinitionError, match="no 'phq9_remission_le9' to replace"):
        load((folder,))


def test_a_replaced_instrument_brings_its_own_criteria(tmp_path: Path) -> None:
    own = "replaces = true\n" + WELLBEING.replace("who5", "peg")
    known = load((folder_with(tmp_path, own=own),))
    assert known.instrument("peg").worse == "lower"
    assert known.instrument("peg").criteria == ()
    with pytest.raises(DefinitionError, match="'peg' exists already"):
        load((folder_with(tmp_path, own=own.replace("replaces = true", "")),))


def test_a_criterion_may_be_about_an_instrument_of_a_later_file(tmp_path: Path) -> None:
    first = CRITERION.format(short="le9", value=9).replace("phq9", "who5")
    assert "who5_le9" in load((folder_with(tmp_path, a=first, b=WELLBEING),)).criteria


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    broken = WELLBEING.replace('worse = "lower"', 'worse = "lowr"').replace(
        "range = [0, 25]", "range = [0, 24]"
    )
    broken = broken.replace('missing_items = "house"', "") + "[bandz]\n"
    extra = CRITERION.format(short="A b", value='"x"').replace("at_most", "at_mots")
    home = '[protocols.mine]\ntitle = "t"\ncite = "house"\nvisits = 3\nplanned_days = [0, 7]\n'
    folder = folder_with(tmp_path, a=broken, b=extra, c=home, d="= 1")
    with pytest.raises(DefinitionError) as caught:
        load((folder, str(tmp_path / "absent")))
    text = "\n".join(caught.value.findings)
    for part in (
        "a.toml: instrument.worse: unknown word 'lowr'; did you mean 'lower'?",
        "a.toml: cites.missing_items: a text is needed",
        "a.toml: bandz: unknown key; did you mean 'bands'?",
        "b.toml: criteria[1].short: lower-case",
        "b.toml: criteria[1].rule: unknown word 'at_mots'; did you mean 'at_most'?",
        "b.toml: criteria[1].value: a number is needed",
        "c.toml: protocols.mine.planned_days: a list of 3 whole numbers",
        "d.toml: not valid TOML",
        "absent: no such folder",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("range = [0, 25]", "range = [0, 24]", r"instrument\.range: 5 items scored this way give \[0, 25\]"),
        ("range = [0, 25]\n", "", r"instrument\.range: the lowest and the highest total"),
        ("item_range = [0, 5]", "item_range = [5, 0]", r"instrument\.item_range"),
        ('id = "who5"', 'id = "who_5"', r"instrument\.id: must not end"),
        ('id = "who5"', 'id = "WHO"', r"instrument\.id: lower-case"),
        ('title = "WHO-5 (raw)"\n', "", r"instrument\.title: a text is needed"),
        ("max_missing = 1", "max_missing = 5", r"instrument\.max_missing: .* from 0 to 4"),
        ("max_missing = 1", "max_missing = 1\nticks = 3", r"instrument\.ticks: a multiple of 4"),
        ("max_missing = 1", "max_missing = true", r"instrument\.max_missing: a whole number"),
        ("recall_days = 14", "recall_days = 14\ngate = 26", r"instrument\.gate: .* from 0 to 25"),
        ("recall_days = 14", "recall_days = 14\ngate = 10", r"cites\.gate: a text is needed"),
        ("recall_days = 14", "recall_days = 14\ngroups = [[1, 2]]", r"instrument\.groups: go with"),
        ("recall_days = 14", "recall_days = 14\ngroups = [[1]]", r"instrument\.groups: lists of two"),
        ("recall_days = 14", "recall_days = 14\ngroups = 1", r"instrument\.groups: lists of two"),
        ("[cites]", '[cites]\nextra = "x"', r"cites\.extra: unknown key"),
        (
            "[cites]",
            '[[bands]]\nname = "low"\nrange = [0, 9]\n[cites]\nbands = "house"',
            r"bands: must follow",
        ),
        ("[cites]", '[labels]\nAlways = 6\n[cites]\nlabels = "house"', r"labels: .* from 0 to 5"),
        (
            "[cites]",
            '[diagnosis]\ntitle = "t"\nitem_at_least = 2\nclusters = { B = 1 }\n[cites]\ndiagnosis = "house"',
            r"diagnosis\.clusters\.B: no such cluster",
        ),
    ],
)
def test_a_mistake_in_an_instrument_is_found(tmp_path: Path, old: str, new: str, finding: str) -> None:
    with pytest.raises(DefinitionError, match=finding):
        load((folder_with(tmp_path, own=WELLBEING.replace(old, new)),))


@pytest.mark.parametrize(
    ("rule", "numbers", "finding"),
    [
        ("fall_percent", "value = 0", "above 0 and up to 100"),
        ("fall_percent", "value = 101", "above 0 and up to 100"),
        ("fall_percent", "", "value: a number is needed"),
        ("fall_percent", "value = nan", "value: a number is needed"),
        ("fall_percent", "value = 50\nlimit = 9", "limit: unknown key"),
        ("fall_between_percent", "value = 50\nlimit = 25", "limit: must lie above value"),
        ("fall_points", "value = 28", "up to 27"),
        ("below", "value = 28", "a score from 0 to 27"),
        ("below", "value = 4.12345", "three decimals"),
        ("lost_diagnosis", "", r"phq9 has no \[diagnosis\]"),
    ],
)
def test_a_mistake_in_a_criterion_is_found(tmp_path: Path, rule: str, numbers: str, finding: str) -> None:
    text = CRITERION.format(short="own", value=1).replace("value = 1", numbers).replace("at_most", rule)
    with pytest.raises(DefinitionError, match=finding):
        load((folder_with(tmp_path, own=text),))


IV = """
[protocols.own]
title = "t"
cite = "house"
visits = 2
session_window = 7
induction_limit = 20
maturity = 51
course_gap = 60
"""


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("maturity = 51", "maturity = 20", "maturity: must come after the induction limit"),
        ("maturity = 51\n", "", "maturity: is needed where visits are counted"),
        ("visits = 2\n", "", "session_window: has no meaning"),
        ("course_gap = 60", "end_week = 8", "end_week: has no meaning"),
        ("course_gap = 60", "planned_days = [7, 0]", "planned_days: must rise"),
        ("course_gap = 60", "trial = [4, 6]", "trial: goes with trial_unit"),
        ("course_gap = 60", 'trial = [6, 4]\ntrial_unit = "days"', "trial: the shorter window"),
        ("course_gap = 60", "carry = [7]", "carry: a list of 2"),
        ("protocols.own", "protocols.iv6", "'iv6' exists already"),
        ('cite = "house"\n', "", r"own\.toml: protocols\.own\.cite: a text is needed"),
    ],
)
def test_a_mistake_in_a_protocol_is_found(tmp_path: Path, old: str, new: str, finding: str) -> None:
    assert load((folder_with(tmp_path, own=IV),)).protocol("own").visits == 2
    with pytest.raises(DefinitionError, match=finding):
        load((folder_with(tmp_path, own=IV.replace(old, new)),))


def test_the_how_to_is_true(tmp_path: Path) -> None:
    """The files shown in the how-to load and do what it says."""
    text = (DOCS / "add-an-instrument.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) == 3
    known = load((folder_with(tmp_path, **{f"file{n}": block for n, block in enumerate(blocks)}),))
    assert judge("hamd7_response50", 13, 6, known) is True
    assert judge("hamd7_remission_le3", 13, 4, known) is False
    assert judge("phq9_remission_le4", 13, 4, known) is True
    assert known.protocol("im_fortnightly").levels[0].dose == Fraction(3, 4)
    assert re.findall(
        r"^\| `(\w+)` \| (?:better|worse|strictly|at or|baseline|the inst)", text, flags=re.M
    ) == list(definitions.RULES)


def test_the_list_of_definitions_is_up_to_date() -> None:
    """Print it again with `as_markdown()` of `ketaoutcomes.definitions` after changing a definition."""
    listing = (DOCS / "definitions.md").read_text(encoding="utf-8")
    assert listing == definitions.as_markdown()


def test_the_list_of_definitions_names_everything() -> None:
    text = definitions.as_markdown()
    for criterion in DEFINITIONS.criteria.values():
        assert f"| `{criterion.name}` | {criterion.title} |" in text
        assert criterion.cite in text
    for protocol in DEFINITIONS.protocols.values():
        assert f"| `{protocol.id}` |" in text


def test_criteria_carry_their_instruments_direction() -> None:
    assert {field.name for field in fields(Criterion)} >= {"name", "rule", "value", "cite", "worse"}
    for it in DEFINITIONS.instruments.values():
        assert all(c.worse == it.worse and c.name == f"{it.id}_{c.short}" for c in it.criteria)
