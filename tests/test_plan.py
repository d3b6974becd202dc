"""The analysis plan: what it defaults to, how its mistakes are told, and what its hash stands for."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from ketaoutcomes.plan import (
    Assessments,
    Baseline,
    Columns,
    DoseLevel,
    EntryRule,
    Field,
    GoodTime,
    Plan,
    PlanError,
    Points,
    Population,
    Rates,
    Scores,
    default_plan_text,
    parse_plan,
)
from ketaoutcomes.plan.columns import NAMES
from ketaoutcomes.plan.model import ANALYSIS, SECTIONS
from ketaoutcomes.plan.text import column_table, reference_table

MANUAL = Path(__file__).parents[1] / "docs" / "plan.md"

OWN_INSTRUMENT = (Path(__file__).parent / "plan_examples" / "mood.toml").read_text(encoding="utf-8")


# --- defaults ---------------------------------------------------------------------------------------------


def test_the_default_text_is_the_default_plan():
    plan = parse_plan(default_plan_text())
    assert plan == Plan()
    assert plan.hash == Plan().hash


def test_an_empty_plan_is_the_default_plan():
    assert parse_plan("") == Plan()


def test_the_default_text_shows_every_key_with_its_default():
    lines = default_plan_text().splitlines()
    for name, section in SECTIONS.items():
        for key in section.keys().values():
            shown = [line for line in lines if key.name in line.split("=")[0].strip("# ").split(".")]
            assert shown or (name == "columns" and key.name in {"fields", *NAMES}), key.name


def test_defaults_are_those_of_the_rules():
    plan = Plan()
    assert dict(plan.protocol) == {
        "iv": "iv6", "im": "im", "intranasal": "esketamine", "sublingual": "home", "oral": "home",
    }  # fmt: skip
    assert plan.points == Points(
        weeks=(1, 2, 4, 6, 8, 12), week_margin_days=3, end_days=(1, 14, 31), curve_days=365
    )
    assert (plan.baseline.take, plan.baseline.within_days) == ("last", 14)
    assert [plan.gate(name) for name in ("phq9", "pcl5", "gad7", "hamd17")] == [10, 33, 10, None]
    assert plan.rates == Rates(interval="wilson", level=0.95)
    assert plan.good_time.calendar_days == (30, 60)
    assert (plan.good_time.mature_days, plan.good_time.overdue_days, plan.good_time.min_at_risk) == (
        180,
        120,
        20,
    )
    assert plan.instruments == ("phq9", "pcl5")
    assert {"iv6", "iv6_weekly", "im", "esketamine", "home", "none"} <= set(plan.protocol_ids)


def test_what_the_plan_leaves_out_keeps_its_default():
    plan = parse_plan('[protocol]\nsc = "im"\n[baseline]\ngate = { phq9 = 15 }')
    assert (plan.protocol["sc"], plan.protocol["iv"]) == ("im", "iv6")
    assert (plan.gate("phq9"), plan.gate("pcl5")) == (15, 33)
    assert plan.points == Points()


def test_one_protocol_for_everyone_stands_alone():
    assert dict(parse_plan('[protocol]\nall = "none"').protocol) == {"all": "none"}


def test_every_key_is_read():
    plan = parse_plan(
        """
        [population]
        courses = "second"
        observed_from = 2025-04-01
        entry = [{ column = "prior", is = "no" }, { column = "arm", is = ["a", 2] }]
        complete = true
        [scores]
        prorate = "never"
        dosing_day = "after"
        [assessments]
        schedule = "every 14 days"
        [rates]
        level = 0.90
        [good_time]
        windows = [28, 56]
        level = { route = "sublingual", unit = "mg", dose = 300 }
        """
    )
    assert plan.population == Population(
        courses="second",
        observed_from="2025-04-01",
        entry=(EntryRule("prior", ("no",)), EntryRule("arm", ("a", "2"))),
        complete=True,
    )
    assert plan.population.ordinal == 2
    assert plan.people_columns == ("prior", "arm")
    assert plan.scores == Scores(prorate="never", dosing_day="after")
    assert (plan.assessments.every_days, Assessments(schedule="end").every_days) == (14, None)
    assert plan.rates.level == 0.9
    assert plan.good_time.windows == (28, 56)
    assert plan.good_time.level == (DoseLevel("sublingual", "mg", 300),)


@pytest.mark.parametrize(
    ("written", "meant"),
    [('""', None), ("-30", -30), ('"2025-04-01"', "2025-04-01"), ("2025-04-01", "2025-04-01")],
)
def test_records_begin_on_a_day_or_a_date(written, meant):
    assert parse_plan(f"[population]\nobserved_from = {written}").population.observed_from == meant


# --- columns ----------------------------------------------------------------------------------------------


def test_columns_are_read_into_fields():
    columns = parse_plan(
        """
        [columns]
        patient = "PatID"
        route = { from = "Drug", map = { "Ketamine IV" = "iv", "Spravato" = "intranasal" } }
        day = { from = "VISIT", map = { 4 = 7, 5 = 14, "6.5" = 15.50 } }
        timing = { map = { before = "pre" } }
        dose = { value = 1 }
        phq9_1 = "P1"
        item_20 = "I20"
        drop = ["Name", "DOB"]
        covariates = ["age_band"]
        keep = { Status = ["Completed"], Arm = 2 }
        missing = [-9, "NA"]
        date_format = "DD/MM/YYYY hh:mm"
        skip_rows = 2
        """
    ).columns
    assert columns.fields == {
        "patient": Field("PatID"),
        "route": Field("Drug", None, {"Ketamine IV": "iv", "Spravato": "intranasal"}),
        "day": Field("VISIT", None, {"4": "7", "5": "14", "6.5": "15.50"}),
        "timing": Field("timing", None, {"before": "pre"}),
        "dose": Field(None, "1"),
        "phq9_1": Field("P1"),
        "item_20": Field("I20"),
    }
    assert columns.keep == {"Status": ("Completed",), "Arm": ("2",)}
    assert (columns.drop, columns.covariates, columns.missing) == (
        ("Name", "DOB"),
        ("age_band",),
        ("-9", "NA"),
    )
    assert (columns.date_format, columns.skip_rows, columns.delimiter) == ("DD/MM/YYYY hh:mm", 2, None)


def test_one_file_is_read_as_several_tables_with_the_patient_inherited():
    columns = parse_plan(
        """
        [columns]
        patient = "ID"
        [[columns.doses]]
        day = { value = 0 }
        dose = { value = 1 }
        [[columns.scores]]
        hamd17 = "BASVAL"
        day = { value = 0 }
        [[columns.scores]]
        file = "scores*.csv"
        patient = "Subject"
        hamd17 = "HAMDTL17"
        keep = { VISIT = [4, 5] }
        """
    ).columns
    assert columns.doses[0].fields == {
        "patient": Field("ID"),
        "day": Field(None, "0"),
        "dose": Field(None, "1"),
    }
    assert [table.fields["patient"].source for table in columns.scores] == ["ID", "Subject"]
    assert [table.file for table in columns.scores] == [None, "scores*.csv"]
    assert [dict(table.keep) for table in columns.scores] == [{}, {"VISIT": ("4", "5")}]


def test_a_column_that_an_entry_rule_asks_for_may_be_mapped():
    plan = parse_plan(
        '[population]\nentry = [{ column = "prior", is = "no" }]\n[columns]\nprior = "PriorKet"'
    )
    assert plan.columns.fields["prior"] == Field("PriorKet")


# --- hash -------------------------------------------------------------------------------------------------

# One other value for every key that can change a number.
OTHER = {
    "population": {
        "courses": "second", "observed_from": 0, "entry": [{"column": "x", "is": "y"}], "complete": True,
    },
    "baseline": {"take": None, "within_days": 7, "gate": {"phq9": 15}},
    "scores": {"prorate": "never", "dosing_day": "after"},
    "assessments": {"schedule": "end"},
    "criteria": {"primary": ["phq9_response50"], "also": ["phq9_mcid5"]},
    "points": {"weeks": [1], "week_margin_days": 2, "end_days": [1, 14, 28], "curve_days": 90},
    "rates": {"interval": "exact", "level": 0.9},
    "good_time": {
        "basis": "fixed", "fraction": 0.8, "clock": "doses", "grace_days": 7, "calendar_days": [30],
        "mature_days": 200, "overdue_days": 90, "windows": [28, 56],
        "level": {"route": "oral", "unit": "mg", "dose": 5}, "criterion": "phq9_mcid5", "min_at_risk": 10,
        "target_preset": True, "convert": "mg/kg to mg",
    },
}  # fmt: skip
CHANGES = [
    (name, key, value) for name, keys in OTHER.items() for key, value in keys.items() if value is not None
]


def test_every_analysis_key_has_another_value_here():
    assert {name: set(keys) for name, keys in OTHER.items()} == {
        name: set(SECTIONS[name].keys()) for name in ANALYSIS
    }
    assert {f.name for f in fields(Plan)} == {"folders", "protocol", *SECTIONS}


@pytest.mark.parametrize(("name", "key", "value"), CHANGES, ids=[f"{name}.{key}" for name, key, _ in CHANGES])
def test_whatever_can_change_a_number_changes_the_hash(name, key, value):
    changed = Plan(**{name: {key: value}})
    assert changed.hash != Plan().hash
    assert changed.replace(**{name: {key: SECTIONS[name].keys()[key].default}}).hash == Plan().hash


def test_no_two_changes_share_a_hash():
    hashes = [Plan(**{name: {key: value}}).hash for name, key, value in CHANGES]
    assert len({*hashes, Plan().hash, Plan(protocol={"iv": "iv6_weekly"}).hash}) == len(CHANGES) + 2


@pytest.mark.parametrize(
    "same",
    [
        {"columns": {"patient": "PatID", "drop": ["Name"], "skip_rows": 3}},
        {"report": {"audience": "internal", "profile": "opensafely"}},
        {"baseline": {"gate": {"phq9": 10}}},  # the instrument's own gate, written out
        {"baseline": {"gate": {"hamd17": 20}}},  # an instrument that is not judged
        {"protocol": {"oral": "home", "iv": "iv6"}},
        {"folders": ["."]},
    ],
)
def test_whatever_cannot_change_a_number_leaves_the_hash(same, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Plan(**same).hash == Plan().hash


def test_the_hash_is_of_the_definitions_not_of_where_they_lie(tmp_path):
    text = 'folders = ["own"]\n[criteria]\nprimary = ["mood_response50"]'
    plans = []
    for place, content in (
        ("a", OWN_INSTRUMENT),
        ("b", OWN_INSTRUMENT),
        ("c", OWN_INSTRUMENT.replace("gate = 4", "gate = 5")),
    ):
        (tmp_path / place / "own").mkdir(parents=True)
        (tmp_path / place / "own" / "mood.toml").write_text(content, encoding="utf-8")
        plans.append(parse_plan(text, folder=tmp_path / place))
    assert plans[0].hash == plans[1].hash
    assert plans[0].hash != plans[2].hash


def test_order_of_writing_and_kind_of_number_do_not_matter():
    one = Plan(
        protocol={"sc": "im", "buccal": "home"},
        good_time={"fraction": 1},
        population={"entry": [{"column": "x", "is": ["b", "a"]}]},
    )
    two = Plan(
        protocol={"buccal": "home", "sc": "im"},
        good_time={"fraction": 1.0},
        population={"entry": [{"is": ["a", "b"], "column": "x"}]},
    )
    assert one.canonical() == two.canonical()
    assert (
        list(one.protocol)
        == list(two.protocol)
        == ["iv", "im", "sc", "intranasal", "sublingual", "oral", "buccal"]
    )


def test_the_hash_is_the_same_in_another_process():
    code = "from ketaoutcomes.plan import Plan; print(Plan().hash)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", **PYTHON},
    )
    assert run.stdout.strip() == Plan().hash


PYTHON = {"PYTHONPATH": str(Path(__file__).parents[1])}


def test_importing_a_plan_loads_no_numpy():
    code = "import sys, ketaoutcomes.plan as p; p.Plan(); print({'numpy', 'pandas'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=PYTHON)
    assert run.stdout.strip() == "set()"


# --- the value itself -------------------------------------------------------------------------------------


def test_a_plan_is_frozen_hashable_and_survives_pickling():
    plan = Plan(protocol={"sc": "im"}, baseline=Baseline(gate={"phq9": 15}), columns={"patient": "PatID"})
    plan.hash  # noqa: B018
    again = pickle.loads(pickle.dumps(plan))
    assert again == plan
    assert hash(again) == hash(plan)
    assert {plan: 1}[again] == 1
    with pytest.raises(FrozenInstanceError):
        plan.rates = Rates()
    with pytest.raises(TypeError):
        plan.protocol["iv"] = "home"


def test_replacing_keeps_the_rest():
    plan = Plan(
        protocol={"sc": "im"}, columns={"patient": "PatID", "skip_rows": 1}, good_time=GoodTime(fraction=0.8)
    )
    changed = plan.replace(
        baseline={"within_days": 28},
        columns={"drop": ["x"]},
        protocol={"oral": "none"},
        good_time={"grace_days": 0},
    )
    assert (changed.baseline.within_days, changed.baseline.take) == (28, "last")
    assert changed.columns == Columns(fields={"patient": "PatID"}, skip_rows=1, drop=("x",))
    assert (changed.protocol["sc"], changed.protocol["oral"]) == ("im", "none")
    assert (changed.good_time.fraction, changed.good_time.grace_days) == (0.8, 0)
    assert plan.columns.drop == ()


def test_the_error_survives_pickling():
    error = pickle.loads(pickle.dumps(PlanError(lines=["a", "b"])))
    assert (str(error), error.lines) == ("a\nb", ("a", "b"))


# --- methods ----------------------------------------------------------------------------------------------


def test_the_methods_paragraph_says_the_plans_numbers():
    said = Plan().methods()
    for words in (
        "from 14 days before the first dose up to that day",
        "10 or higher on the PHQ-9 [",
        "33 or higher on the PCL-5 [",
        "PHQ-9 at least halved from baseline [",
        "PHQ-9 forms with up to 2 blank items",
        "PCL-5 forms with a blank item had no total",
        "weeks 1, 2, 4, 6, 8 and 12",
        "nearest to 14 days after its last dose was judged, from 1 to 31 days",
        "66 days (iv6), 73 days (im), 76 days (esketamine) and 59 days (home)",
        "95 % Wilson score intervals",
        "count as not met (non-responder imputation)",
        Plan().hash[:12],
    ):
        assert words in said, words


def test_the_methods_paragraph_follows_the_plan():
    plan = Plan(
        protocol={"all": "none"},
        population={
            "courses": "second",
            "observed_from": "2025-04-01",
            "entry": [{"column": "prior", "is": ["no", "unknown"]}],
        },
        baseline={"within_days": 0, "gate": {"hamd17": 0, "gad7": 8}},
        scores={"prorate": "never", "dosing_day": "after"},
        assessments={"schedule": "every 14 days"},
        criteria={"primary": ["hamd17_response50"], "also": ["gad7_response50"]},
        points={"weeks": [6], "week_margin_days": 5},
        rates={"interval": "exact", "level": 0.9},
    )
    said = plan.methods()
    for words in (
        "All doses of a person were one course",
        "second eligible course",
        "after 2025-04-01",
        "prior was recorded as no or unknown",
        "on the day of the first dose",
        "from after the dose",
        "8 or higher on the GAD-7 (set for this analysis)",
        "Any baseline score was eligible on the HAM-D17",
        "GAD-7 forms with a blank item had no total",
        "expected every 14 days",
        "At week 6",
        "within 5 days",
        "90 % exact (Clopper-Pearson) intervals",
        "Further criteria were GAD-7",
    ):
        assert words in said, words
    assert "session" not in said.split("References")[0].split("no schedule")[1]
    assert "PHQ-9" not in said


@pytest.mark.parametrize(
    ("schedule", "session", "week", "expected"),
    [
        ("every session", True, True, ""),
        ("every 14 days", False, True, "Scores were expected every 14 days"),
        ("end", False, False, "Scores were expected at the end only"),
    ],
)
def test_only_points_at_which_scores_are_expected_are_described(schedule, session, week, expected):
    said = Plan(assessments={"schedule": schedule}).methods()
    assert ("After each session" in said, "At weeks" in said) == (session, week)
    assert expected in said
    assert "At the end of induction" in said


def test_good_time_is_described_on_request():
    assert "adequate" not in Plan().methods()
    said = Plan(good_time={"fraction": 0.8, "windows": [28, 56], "clock": "contiguous"}).methods(
        good_time=True
    )
    assert "80 % of its level" in said
    assert "windows of 28 and 56" in said
    assert "without a break" in said
    assert "No study has validated" in said


@pytest.mark.parametrize(
    "plan", [Plan(), Plan(rates={"interval": "jeffreys"}), Plan(criteria={"primary": ["pcl5_loss_dx"]})]
)
def test_every_reference_is_cited_once_numbered_and_in_order(plan):
    paragraph, listed = plan.methods().split("\n\nReferences\n")
    numbers = [int(line.split(".")[0]) for line in listed.strip().split("\n")]
    assert numbers == list(range(1, len(numbers) + 1))
    first_mentions = [paragraph.index(f"[{number}]") for number in numbers]
    assert first_mentions == sorted(first_mentions)
    assert len(set(listed.split("\n"))) == len(listed.split("\n"))
    assert "house" not in listed  # what nobody has published is said in the text, and is no reference


def test_a_house_rule_is_told_where_it_is_used():
    paragraph = Plan().methods().split("\n\nReferences\n")[0]
    assert "every 4 to 6 weeks (house rule, after [1])" in paragraph
    assert "induction at most 45 days; house rule)" in paragraph
    assert "below 33 [8] (in part a house rule)" in paragraph
    assert "convention of this software without a published source" in paragraph


# --- the manual -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SECTIONS)
def test_the_manual_holds_the_table_of_every_section(name):
    assert reference_table(name) in MANUAL.read_text(encoding="utf-8")


def test_the_manual_holds_the_columns_and_only_plans_that_can_be_read():
    manual = MANUAL.read_text(encoding="utf-8")
    assert column_table() in manual
    examples = [block.split("```")[0] for block in manual.split("```toml\n")[1:]]
    assert len(examples) >= 4
    for example in examples:
        parse_plan(example)
