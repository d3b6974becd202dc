"""How definitions are read, what they must hold, and what a mistake in one is told."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path

import pytest
from wellbeing import WELLBEING, judge

from ketaoutcomes import definitions
from ketaoutcomes.definitions import FAMILIES, Criterion, DefinitionError, Definitions, load
from ketaoutcomes.definitions.lasting import lasting
from ketaoutcomes.definitions.rule_listing import rules_document
from ketaoutcomes.records.monitoring import events, monitoring_document

DEFINITIONS = load()
DOCS = Path(__file__).resolve().parents[1] / "docs"


def numbers_without_source(known: Definitions) -> list[str]:
    """Where a number stands with no citation beside it."""
    bare = [c.name for c in known.criteria.values() if not c.cite.strip()]
    for it in known.instruments.values():
        needed = {"scoring", "missing_items", "recall_days"}
        optional = ("gate", "flag_item", "bands", "clusters", "diagnosis", "labels", "loinc")
        needed |= {name for name in optional if getattr(it, name)}
        bare += [f"{it.id}.{name}" for name in needed if not it.cites.get(name, "").strip()]
        bare += [f"{it.id}.reliability" for r in it.reliability if not r.cite.strip()]
        bare += [f"{it.id}.norms" for norm in it.norms if not norm.cite.strip()]
    for protocol in known.protocols.values():
        bare += [protocol.id for cite in protocol.cites.values() if not cite.strip()]
        bare += [protocol.id for level in protocol.levels if not level.cite.strip()]
    return bare


def test_every_number_has_a_source() -> None:
    assert numbers_without_source(DEFINITIONS) == []
    assert all(protocol.cites["schedule"] for protocol in DEFINITIONS.protocols.values())


def test_the_criteria_of_the_first_release_are_all_there() -> None:
    phq9 = (
        "response50 response_orig partial25 remission_lt5 remission_le5 reliable6 mcid5 deterioration"
        " csc_lt10"
    )
    pcl5 = "reliable15 reliable18 change10 resp30 resp50 below33 csc28 remission20 loss_dx deterioration15"
    assert [c.short for c in DEFINITIONS.instrument("phq9").criteria] == phq9.split()
    assert [c.short for c in DEFINITIONS.instrument("pcl5").criteria] == pcl5.split()


def test_each_family_has_its_criterion_or_none_is_published() -> None:
    found = {
        name: tuple(c.short if (c := DEFINITIONS.of_family(name, family)) else None for family in FAMILIES)
        for name in DEFINITIONS.instruments
    }
    assert FAMILIES == ("percent", "reliable", "mcid", "clinically_significant")
    assert found == {
        "gad7": ("response50", "reliable4", "mcid4", "csc_lt8"),
        "hamd17": ("response50", None, "mcid3", None),
        "madrs": ("response50", None, "mcid2", None),
        "pcl5": ("resp50", "reliable15", "change10", "csc28"),
        "peg": ("response30", None, "mcid1", None),
        "phq8": ("response50", None, None, None),
        "phq9": ("response50", "reliable6", "mcid5", "csc_lt10"),
        "qids_sr16": ("response50", None, None, None),
        "ybocs": ("response35", None, None, None),
    }
    with pytest.raises(DefinitionError, match="unknown family 'reliabl'; did you mean 'reliable'"):
        DEFINITIONS.of_family("phq9", "reliabl")


def test_norms_are_published_ones_or_absent() -> None:
    # Kroenke 2001 J Gen Intern Med 16:606: mean 17.1 (SD 6.1) of 41, and 3.3 (3.8) of 474.
    norms = {n.population: (n.mean, n.sd, n.n) for n in DEFINITIONS.instrument("phq9").norms}
    assert norms == {
        "functional": (Fraction("3.3"), Fraction("3.8"), 474),
        "dysfunctional": (Fraction("17.1"), Fraction("6.1"), 41),
    }
    assert {name for name, it in DEFINITIONS.instruments.items() if it.norms} == {"phq9", "gad7"}


def test_gates_and_ticks() -> None:
    gates = {name: it.gate for name, it in DEFINITIONS.instruments.items() if it.gate is not None}
    assert gates == {"phq9": 10, "phq8": 10, "pcl5": 33, "gad7": 10}
    ticks = {name: it.ticks for name, it in DEFINITIONS.instruments.items() if it.ticks != 1}
    assert ticks == {"phq9": 56, "peg": 3}


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
        ("[cites]", '[families]\nreliable = "reliable9"\n[cites]', r"families\.reliable: no such criterion"),
        ("[cites]", '[families]\nreliabel = "x"\n[cites]', r"families\.reliabel: unknown key"),
        (
            "[cites]",
            '[[norms]]\npopulation = "functional"\nmean = 3\nsd = 0\nn = 9\ncite = "house"\n[cites]',
            r"norms\[1\]\.sd: needs to lie above 0",
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


def test_the_list_of_rules_is_printed_from_the_files() -> None:
    """Print it again: `rules_document`, an empty line, `monitoring_document`."""
    listing = (DOCS / "rules.md").read_text(encoding="utf-8")
    assert listing == rules_document(DEFINITIONS, lasting()) + "\n" + monitoring_document()
    kinds = (lasting().relapses, lasting().gains, DEFINITIONS.series, DEFINITIONS.concomitants)
    cited = [one.cite for kind in kinds for one in kind.values()]
    assert all(
        cite in listing for cite in [*cited, *lasting().cites.values(), *(one.cite for one in events())]
    )


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
