"""Reading a plan: every mistake is told at once, with its line, never with what patients' records hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ketaoutcomes.plan import Criteria, Plan, PlanError, Rates, default_plan_text, parse_plan, read_plan
from ketaoutcomes.plan.model import SECTIONS

OWN_INSTRUMENT = (Path(__file__).parent / "plan_examples" / "mood.toml").read_text(encoding="utf-8")


def complaints(text: str) -> list[str]:
    """What `parse_plan` says about a plan, a line each; nothing where it accepts it."""
    try:
        parse_plan(text)
    except PlanError as error:
        return str(error).split("\n")
    return []


# --- mistakes ---------------------------------------------------------------------------------------------

# A plan, and what must be said about it.
MISTAKES = {
    # L01: names that are not ours
    "misspelt key": (
        "[rates]\nrespone_pct = 50",
        "line 2: [rates] respone_pct is not a key of this table",
    ),
    "near key": (
        "[rates]\n\nlevle = 0.9",
        "line 3: [rates] levle is not a key of this table; did you mean level?",
    ),
    "near table": (
        "[rate]\nlevel = 0.9",
        "line 1: rate is not a key of the plan; did you mean rates?",
    ),
    "key of another table": (
        "[rates]\nwithin_days = 7",
        "line 2: [rates] within_days is not a key of this table; it belongs in [baseline]",
    ),
    "key above the tables": (
        "curve_days = 90",
        "line 1: curve_days is not a key of the plan; it belongs in [points]",
    ),
    "near route": (
        '[protocol]\nsubligual = "home"',
        "line 2: [protocol] subligual is not a route; did you mean sublingual?",
    ),
    "near protocol": (
        '[protocol]\niv = "iv7"',
        'line 2: [protocol] iv names no protocol: "iv7"; did you mean "iv6"?',
    ),
    "near criterion": (
        '[criteria]\nprimary = [\n  "phq9_respons50",\n]',
        (
            'line 3: [criteria] primary #1 names no criterion: "phq9_respons50"; did you mean '
            '"phq9_response50"?'
        ),
    ),
    "bare criterion": (
        '[criteria]\nalso = ["reliable15"]',
        'line 2: [criteria] also #1 names no criterion: "reliable15"; write "pcl5_reliable15"',
    ),
    "near instrument": (
        "[baseline]\ngate = { phq_9 = 10 }",
        "line 2: [baseline] gate phq_9 is no instrument; did you mean phq9?",
    ),
    "good time's criterion": (
        '[good_time]\ncriterion = "phq9_response5"',
        'line 2: [good_time] criterion names no criterion: "phq9_response5"',
    ),
    "near choice": (
        '[rates]\ninterval = "wilsn"',
        (
            'line 2: [rates] interval must be one of "wilson", "exact", "jeffreys"; got "wilsn"; '
            'did you mean "wilson"?'
        ),
    ),
    "entry without is": (
        '[population]\nentry = [{ column = "x" }]',
        "line 2: [population] entry #1 lacks is",
    ),
    "entry with a third key": (
        '[population]\nentry = [{ column = "x", is = "y", wehn = 1 }]',
        "line 2: [population] entry #1 wehn is not a key of this table",
    ),
    "near column": (
        '[columns]\npatint = "ID"',
        "line 2: [columns] patint is not a column of ours; did you mean patient?",
    ),
    "columns the wrong way round": (
        '[columns]\nPatID = "patient"',
        (
            "line 2: [columns] PatID is not a column of ours: ours stand on the left, so write "
            'patient = "PatID"'
        ),
    ),
    "no such item": (
        '[columns]\nphq9_12 = "x"',
        "line 2: [columns] phq9_12 is no item of phq9, which has 9",
    ),
    "column of another table": (
        '[[columns.people]]\ndose = "x"',
        "line 2: [columns] people #1 dose is not a column of ours",
    ),
    # L02: wrong type, out of range
    "text for a number": (
        '[rates]\nlevel = "text"',
        "line 2: [rates] level must be between 0.5 and 0.999; got text",
    ),
    "level in percent": (
        "[rates]\nlevel = 95",
        "line 2: [rates] level must be between 0.5 and 0.999; got 95",
    ),
    "not a number": (
        "[rates]\nlevel = nan",
        "line 2: [rates] level must be between 0.5 and 0.999; got NaN",
    ),
    "true for a number": (
        "[baseline]\nwithin_days = true",
        ("line 2: [baseline] within_days must be a whole number between 0 and 365; got true or false"),
    ),
    "half a day": (
        "[baseline]\nwithin_days = 3.5",
        "line 2: [baseline] within_days must be a whole number between 0 and 365; got 3.5",
    ),
    "a negative window": (
        "[baseline]\nwithin_days = -1",
        "got -1",
    ),
    "a word for a switch": (
        '[population]\ncomplete = "yes"',
        'line 2: [population] complete must be true or false; got "yes"',
    ),
    "a day that is none": (
        '[population]\nobserved_from = "2025-02-30"',
        "line 2: [population] observed_from is not a day of the calendar",
    ),
    "a gate off the scale": (
        "[baseline.gate]\nphq9 = 28",
        "line 2: [baseline] gate phq9 must be between 0 and 27; got 28",
    ),
    "a schedule of no days": (
        '[assessments]\nschedule = "every 0 days"',
        "line 2: [assessments] schedule must be one of",
    ),
    "no criteria": (
        "[criteria]\nprimary = []",
        "line 2: [criteria] primary must be a list of criteria; got an empty list",
    ),
    "a criterion twice": (
        '[criteria]\nprimary = ["phq9_response50", "phq9_response50"]',
        'line 2: [criteria] primary #2 is listed twice: "phq9_response50"',
    ),
    "a table for a list": (
        "[points.weeks]\na = 1",
        "line 1: [points] weeks must be a list of whole numbers",
    ),
    "a number for a table": (
        "rates = 3",
        "line 1: [rates] must be a table, [rates]; got a number",
    ),
    "another schema": (
        "schema = 2",
        "line 1: schema must be 1, the only one this version reads; got 2",
    ),
    "a switch for the schema": (
        "schema = true",
        "line 1: schema must be 1",
    ),
    "text for folders": (
        'folders = "x"',
        "line 1: folders must be a list of folders; got text",
    ),
    "no such folder": (
        'folders = ["nowhere"]',
        "line 1: folders cannot be read: nowhere: no such folder",
    ),
    "a level without a dose": (
        '[good_time.level]\nroute = "iv"\nunit = "mg"',
        "line 1: [good_time] level lacks dose",
    ),
    "a date format without days": (
        '[columns]\ndate_format = "MM/YYYY"',
        "line 2: [columns] date_format must be built from",
    ),
    "an encoding that is none": (
        '[columns]\nencoding = "latn-1"',
        'line 2: [columns] encoding is not an encoding; got "latn-1"; did you mean "latin-1"?',
    ),
    "a long delimiter": (
        '[columns]\ndelimiter = ";;"',
        "line 2: [columns] delimiter must be one of",
    ),
    # L02: each allowed, together not
    "weeks out of order": (
        "[points]\nweeks = [2, 1]",
        ("line 2: [points] weeks must be a list of whole numbers between 1 and 520, each larger"),
    ),
    "weeks that overlap": (
        "[points]\nweek_margin_days = 4",
        (
            "line 2: [points] week_margin_days must be at most 3 with weeks [1, 2, 4, 6, 8, 12], "
            "or windows overlap; got 4"
        ),
    ),
    "a week before the first dose": (
        "[points]\nweeks = [1]\nweek_margin_days = 7",
        "line 3: [points] week_margin_days must be at most 6",
    ),
    "an end before its start": (
        "[points]\nend_days = [14, 7, 31]",
        "line 2: [points] end_days must be 3 whole numbers between 1 and 365, none smaller",
    ),
    "an end after it is due": (
        "[points]\nend_days = [1, 14, 45]",
        ("line 2: [points] end_days must end by day 31, when a course of esketamine is due; got 45"),
    ),
    "mature before the verdict": (
        "[good_time]\nmature_days = 45",
        "line 2: [good_time] mature_days must reach the last of calendar_days, 60; got 45",
    ),
    "a level that is not used": (
        '[good_time]\nbasis = "target"\nlevel = { route = "iv", unit = "mg", dose = 1 }',
        'line 3: [good_time] level has no use with basis = "target"',
    ),
    "two levels for one route": (
        (
            '[good_time]\nlevel = [{ route = "iv", unit = "mg", dose = 1 }, { route = "iv", unit '
            '= "mg", dose = 2 }]'
        ),
        "line 2: [good_time] level gives two levels",
    ),
    "primary and also": (
        '[criteria]\nalso = ["phq9_response50"]',
        'line 2: [criteria] also #1 is already primary: "phq9_response50"',
    ),
    "all and a route": (
        '[protocol]\nall = "none"\niv = "iv6"',
        "line 3: [protocol] iv has no use beside all",
    ),
    "two rules for one column": (
        '[population]\nentry = [{ column = "x", is = "a" }, { column = "x", is = "b" }]',
        'line 2: [population] entry #2 has a second rule for "x"',
    ),
    "read and dropped": (
        '[columns]\npatient = "ID"\ndrop = ["ID"]',
        'line 2: [columns] patient reads "ID", which drop lists too',
    ),
    "asked for and dropped": (
        '[population]\nentry = [{ column = "x", is = "a" }]\n[columns]\ndrop = ["x"]',
        'line 2: [population] entry #1 needs "x", which [columns] drop lists',
    ),
    "kept and dropped": (
        '[columns]\ndrop = ["age"]\ncovariates = ["age"]',
        'line 3: [columns] covariates #1 is dropped too: "age"',
    ),
    "day and date": (
        '[[columns.doses]]\nday = "a"\ndate = "b"',
        "line 3: [columns] doses #1 date and day cannot both be given",
    ),
    "delimiter and decimal": (
        '[columns]\ndelimiter = ","\ndecimal = ","',
        "line 3: [columns] decimal must differ from delimiter",
    ),
    "constant and header": (
        '[columns]\ndose = { value = 1, from = "D" }',
        "line 2: [columns] dose has a constant value",
    ),
    "a column from nowhere": (
        "[columns]\ndose = {}",
        'line 2: [columns] dose lacks from: write { from = "a header" }',
    ),
}


@pytest.mark.parametrize(("text", "said"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_with_its_line(text, said):
    (only,) = complaints(text)
    assert only.startswith("plan.toml line ")
    assert said in only


def test_every_mistake_is_told_at_once_in_the_order_of_the_file():
    told = complaints(
        """schema = 9
[protocol]
iv = "iv66"
[baseline]
take = "frist"
within_days = "x"
gate = { phq9 = 99 }
[criteria]
primary = ["nonsense"]
[points]
weeks = []
end_days = [1, 14, 99]
[colums]
[[columns.doses]]
dose = { value = true }
"""
    )
    lines = [int(line.split("line ")[1].split(":")[0]) for line in told]
    assert lines == [1, 3, 5, 6, 7, 9, 11, 12, 13, 15]


def test_a_plan_made_in_python_is_checked_the_same_way():
    with pytest.raises(PlanError, match=r"^\[rates\] level must be between 0\.5 and 0\.999; got 2$"):
        Rates(level=2)
    with pytest.raises(PlanError, match="did you mean level"):
        Plan(rates={"levle": 0.9})
    with pytest.raises(PlanError, match=r"did you mean .phq9_response50"):
        Plan(criteria=Criteria(primary=("phq9_respons50",)))
    with pytest.raises(PlanError, match="must be a table"):
        Plan(points=None)  # type: ignore[arg-type]


def test_what_stands_in_maps_and_filters_is_never_shown():
    told = complaints(
        """
        [columns]
        route = { from = "Drug", map = { "canary 1" = true, "canary 2" = ["canary 3"] } }
        day = { map = "canary 4" }
        keep = { Status = [{ canary5 = 1 }], "canary 6" = [] }
        missing = [true, "canary 7"]
        [[columns.scores]]
        timing = { from = "T", map = { "canary 8" = 2025-01-01 } }
        instrument = { from = "I", "canary 10" = "phq9" }
        keep = ["canary 9"]
        """
    )
    assert len(told) == 9
    assert "canary" not in "".join(told)


TOML_MISTAKES = {
    "no quotes": ("[rates]\ninterval = wilson", "line 2: is not TOML: this is no value (text needs quotes)"),
    "twice": ("[rates]\nlevel = 0.9\nlevel = 0.8", "line 3: is not TOML: this key is already given above"),
    "table twice": ("[rates]\n[points]\n[rates]", "line 3: is not TOML: this table is already given above"),
    "no end": ('[criteria]\nalso = [\n"x"', "line 3: is not TOML"),
    "no equals": ("[rates]\nlevel 0.9", "line 2: is not TOML: expected '=' after a key in a key/value pair"),
    "a value twice": (
        '[columns]\nday = { map = { "canary" = 1, "canary" = 2 } }',
        "line 2: is not TOML: a key is given twice in this table",
    ),
    "a control character": ('[columns]\nmissing = ["canary \x01"]', "line 2: is not TOML: illegal character"),
    "depth": ("x = " + "[" * 5000, "is nested too deeply"),
    "digits": ("x = " + "9" * 5000, "a number that cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), TOML_MISTAKES.values(), ids=TOML_MISTAKES.keys())
def test_text_that_is_no_toml_is_told_in_one_line(text, said):
    (only,) = complaints(text)
    assert said in only
    assert "canary" not in only


OPEN_NAMES = {"is", "fields"}  # too short to guess, or never written


def test_every_misspelt_key_gets_the_right_suggestion():
    letters = "abcdefghijklmnopqrstuvwxyz_"
    for name, section in SECTIONS.items():
        declared = list(section.keys())
        for key in declared:
            if name == "columns" or key in OPEN_NAMES:
                continue
            for at in range(len(key)):
                for wrong in (key[:at] + key[at + 1 :], key[:at] + letters[at] + key[at:]):
                    if wrong in declared or not wrong:
                        continue
                    (told,) = complaints(f"[{name}]\n{wrong} = 1")
                    assert f"did you mean {key}?" in told or "it belongs in" in told, wrong


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="[]{}=\"'\\#.,\n abx01_-", max_size=60))
def test_any_text_is_a_plan_or_a_plan_error(text):
    assert isinstance(complaints(text), list)


JSON = st.recursive(
    st.one_of(st.booleans(), st.integers(-5, 500), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=4,
)
KEYS = sorted((name, key.name) for name, section in SECTIONS.items() for key in section.keys().values())


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KEYS), JSON)
def test_any_value_of_any_key_is_a_plan_or_a_plan_error(key, value):
    try:
        plan = Plan(**{key[0]: {key[1]: value}})
    except PlanError:
        return
    hash(plan)
    assert json.loads(plan.canonical())["schema"] == 1


# --- files ------------------------------------------------------------------------------------------------


def test_folders_are_relative_to_the_plan(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mood.toml").write_text(OWN_INSTRUMENT, encoding="utf-8")
    (tmp_path / "plan.toml").write_text(
        'folders = ["own"]\n[criteria]\nprimary = ["mood_response50"]', encoding="utf-8"
    )
    plan = read_plan(tmp_path / "plan.toml")
    assert plan.instruments == ("mood",)
    assert plan.gate("mood") == 4


def test_a_mistake_in_a_users_definition_is_told_at_the_folders(tmp_path):
    (tmp_path / "mood.toml").write_text(OWN_INSTRUMENT.replace("fall_percent", "fall"), encoding="utf-8")
    with pytest.raises(PlanError, match=r"line 1: folders cannot be read: mood\.toml"):
        parse_plan('folders = ["."]', folder=tmp_path)


def test_tilde_and_variables_are_names_like_any_other(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("~", "$HOME", "${HOME}", "$(id)"):
        with pytest.raises(PlanError, match="no such folder"):
            parse_plan(f"folders = ['{name}']", folder=tmp_path / "elsewhere")
    (tmp_path / "~").mkdir()
    assert parse_plan('folders = ["~"]', folder=tmp_path).folders == (str(tmp_path / "~"),)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_editors_line_ends_and_byte_order_marks_are_accepted(tmp_path, ending, mark):
    file = tmp_path / "plan.toml"
    file.write_bytes(mark + default_plan_text().replace("\n", ending).encode())
    assert read_plan(file) == Plan()
    file.write_bytes(mark + f"[rates]{ending}{ending}level = 7".encode())
    with pytest.raises(PlanError, match="line 3"):
        read_plan(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[rates]\n# \xe9t\xe9", "p.toml line 2: is not UTF-8 text; save the plan as UTF-8"),
        ("[rates]".encode("utf-16"), "p.toml line 1: is UTF-16 text"),
        (b"#" * 1_000_001, "p.toml: is too large for a plan"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(tmp_path, content, said):
    (tmp_path / "p.toml").write_bytes(content)
    with pytest.raises(PlanError) as caught:
        read_plan(tmp_path / "p.toml")
    assert str(caught.value).startswith(said)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(PlanError, match=r"^gone\.toml: no such file$"):
        read_plan(tmp_path / "gone.toml")
    with pytest.raises(PlanError, match="is not a file"):
        read_plan(tmp_path)
