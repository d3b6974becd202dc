"""Reading files: layouts that mean the same, the plan's [columns], the scanner against Python's own csv."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from intake_files import GOOD, HEADER, ROWS, plan_of, read_bytes, read_file, table

import ketaoutcomes as ko
from ketaoutcomes.intake import quarantined_share, records
from ketaoutcomes.intake.guard import identifier_in
from ketaoutcomes.intake.rules import rules
from ketaoutcomes.plan import Plan
from ketaoutcomes.records.cohort import InputRefused

PACKAGE = Path(ko.__file__).parent


def write(folder: Path, **files: str) -> list[Path]:
    """Write texts to files and return their paths."""
    paths = [folder / f"{name}.csv" for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def tables(cohort: ko.Cohort) -> dict[str, list[list[str]]]:
    """The tables of a cohort as texts, to compare."""
    return {n: getattr(cohort, n).astype(str).to_numpy().tolist() for n in ("doses", "scores", "people")}


# One row per session; the same split into three files; the same with one row per questionnaire.
WIDE = """patient,day,site,dose,unit,route,phq9,gad7,sex
a,-2,,,,,19,,f
a,0,north,0.5,mg/kg,iv,18,11,f
a,3,north,0.5,mg/kg,iv,12,,f
b,0,south,56,mg,intranasal,20,9,m
"""
DOSES = """patient,day,site,dose,unit,route
b,0,south,56,mg,intranasal
a,0,north,0.5,mg/kg,iv
a,3,north,0.5,mg/kg,iv
"""
SCORES = "patient,day,phq9,gad7\na,-2,19,\na,0,18,11\na,3,12,\nb,0,20,9\n"
LONG = """patient,day,instrument,score
a,-2,PHQ-9,19
a,0,phq9,18
a,0,gad7,11
a,3,phq9,12
b,0,phq9,20
b,0,gad7,9
"""
PEOPLE = "patient,sex\na,f\nb,m\n"


def test_b12_wide_split_and_long_files_give_the_same_cohort(tmp_path: Path) -> None:
    plan = plan_of('covariates = ["sex"]')
    wide = ko.read(write(tmp_path, wide=WIDE), plan)
    split = ko.read(write(tmp_path, doses=DOSES, scores=SCORES, people=PEOPLE), plan)
    long = ko.read(write(tmp_path, people=PEOPLE, long=LONG, doses=DOSES), plan)
    assert tables(wide) == tables(split) == tables(long)
    assert len(wide.problems) == len(split.problems) == len(long.problems) == 0


def test_a_frame_and_its_csv_give_the_same_cohort(tmp_path: Path) -> None:
    [path] = write(tmp_path, wide=WIDE.replace(",sex", "").replace(",f\n", "\n").replace(",m\n", "\n"))
    frame = pd.read_csv(path, dtype={"patient": str})
    doses = frame[frame["dose"] > 0]
    assert tables(ko.read(path)) == tables(ko.Cohort.from_frames(doses, frame))


def test_the_plan_translates_headers_values_and_rows(tmp_path: Path) -> None:
    text = "PatID;Drug;Visit;Status;PHQ total\n007;Ketamine IV;first;Completed;18,0\n"
    text += "007;Ketamine IV;second;No show;\n"
    columns = """
    patient = "PatID"
    route = { from = "Drug", map = { "Ketamine IV" = "iv" } }
    day = { from = "Visit", map = { first = 0, second = 3 } }
    phq9 = "PHQ total"
    keep = { Status = ["Completed"] }
    delimiter = ";"
    decimal = ","
    """
    outcome = read_bytes(tmp_path, text.encode(), columns)
    assert outcome.cohort is not None
    assert outcome.cohort.doses[["patient", "day", "route"]].to_numpy().tolist() == [["007", 0, "iv"]]
    assert outcome.cohort.scores["score"].tolist() == [18]


def test_one_file_is_read_as_several_tables(tmp_path: Path) -> None:
    text = "Id,MADRS_Baseline,MADRS_Post\n1,38,33\n2,27,22\n"
    columns = """
    patient = "Id"
    [[columns.doses]]
    day = { value = 0 }
    dose = { value = 0.5 }
    unit = { value = "mg/kg" }
    route = { value = "iv" }
    [[columns.scores]]
    madrs = "MADRS_Baseline"
    day = { value = 0 }
    [[columns.scores]]
    madrs = "MADRS_Post"
    day = { value = 1 }
    """
    cohort = read_bytes(tmp_path, text.encode(), columns).cohort
    assert cohort is not None
    assert cohort.doses[["patient", "dose"]].to_numpy().tolist() == [["1", 0.5], ["2", 0.5]]
    assert cohort.scores[["day", "score"]].to_numpy().tolist() == [[0, 38], [1, 33], [0, 27], [1, 22]]


def test_a_baseline_repeated_on_every_row_is_one_score(tmp_path: Path) -> None:
    text = "patient,day,dose,unit,route,before\na,0,0.5,mg/kg,iv,18\na,3,0.5,mg/kg,iv,18\n"
    columns = '[[columns.scores]]\nphq9 = "before"\nday = { value = -1 }'
    cohort = read_bytes(tmp_path, text.encode(), columns).cohort
    assert cohort is not None
    assert cohort.scores["day"].tolist() == [-1]
    assert len(cohort.problems) == 0


def test_each_file_may_have_its_own_names(tmp_path: Path) -> None:
    files = write(tmp_path, doses=DOSES.replace("patient", "who"), scores=SCORES.replace("patient", "code"))
    columns = """
    [[columns.doses]]
    file = "doses*"
    patient = "who"
    day = "day"
    dose = "dose"
    unit = "unit"
    route = "route"
    [[columns.scores]]
    file = "scores*"
    patient = "code"
    day = "day"
    phq9 = "phq9"
    """
    outcome = read_file(files, plan_of(columns))
    assert outcome.message == ""
    assert outcome.cohort is not None
    assert len(outcome.cohort.scores) == 4


@pytest.mark.parametrize(
    ("header", "rows", "days"),
    [
        ("patient,day,dose,unit,route,phq9", ["a,0,0.5,mg/kg,iv,9", "a,3,0,mg/kg,iv,9", "a,6,,,iv,9"], [0]),
        ("patient,day,route,phq9", ["a,0,iv,9", "a,3,,9"], [0]),
        ("patient,day,session,phq9", ["a,-7,0,9", "a,0,1,9", "a,3,2,9", "a,9,,9"], [0, 3]),
    ],
    ids=["an amount above 0", "a route", "a session number"],
)
def test_what_makes_a_row_a_dose(header: str, rows: list[str], days: list[int], tmp_path: Path) -> None:
    cohort = read_bytes(tmp_path, table(*rows, header=header)).cohort
    assert cohort is not None
    assert cohort.doses["day"].tolist() == days
    assert len(cohort.scores) == len(rows)


def test_session_numbers_beside_scores_are_no_doses_where_a_file_of_doses_is_given(tmp_path: Path) -> None:
    scores = "patient,day,session,phq9\na,0,1,18\na,4,2,12\nb,0,1,20\n"
    cohort = ko.read(write(tmp_path, doses=DOSES, scores=scores))
    assert cohort.doses["given"].sum() == 3
    assert cohort.doses["day"].tolist() == [0, 3, 0]


def test_a_file_in_which_nothing_says_when_a_dose_was_given_is_asked_about(tmp_path: Path) -> None:
    outcome = read_bytes(tmp_path, b"patient,day,phq9\na,0,18\n")
    assert outcome.rules("refused") == {"B06"}
    assert "[[columns.doses]] with day = { value = 0 }" in outcome.message


def test_ages_of_ninety_and_over_are_banded(tmp_path: Path) -> None:
    rows = [row + age for row, age in zip(ROWS, (",94", ",94", ",61", ",61"), strict=True)]
    outcome = read_bytes(tmp_path, table(*rows, header=HEADER + ",age"), 'covariates = ["age"]')
    assert outcome.cohort is not None
    assert outcome.cohort.people["age"].tolist() == ["90+", "61"]
    assert outcome.rules("normalised") == {"I11"}


@pytest.mark.parametrize(
    "cell",
    [
        "a.b@example.org",
        "123-45-6789",
        "(555) 123-4567",
        "+44 20 7946 0000",
        "https://example.org/a",
        "10.0.0.12",
        "x" * 90,
    ],
    ids=["e-mail", "ssn", "phone", "phone-abroad", "web", "ip", "sentence"],
)
def test_i10_identifiers_in_a_column_kept_as_text_refuse_it(cell: str, tmp_path: Path) -> None:
    content = table(*(f'{row},"{cell}"' for row in ROWS), header=HEADER + ",group")
    outcome = read_bytes(tmp_path, content, 'covariates = ["group"]')
    assert outcome.rules("refused") == {"I10"}
    assert cell not in outcome.message
    assert read_bytes(tmp_path, content, 'drop = ["group"]').message == ""


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("Patient Name", "name"), ("FirstName", "name"), ("name", "name"), ("last_name", "name"),
        ("site_name", None), ("DrugName", None), ("DOB", "birth date"), ("Date of Birth", "birth date"),
        ("birth_year", None), ("MRN", "record number"), ("Record Number", "record number"),
        ("E-mail", "e-mail"), ("PhoneNo", "phone"), ("address_line1", "address"), ("Zip", "postcode"),
        ("progress_notes", "free text"), ("Comments", "free text"), ("phq9_1", None), ("route", None),
        ("Sex at birth", None), ("insurance_type", None), ("Insurance ID", "record number"),
        ("record_id", None), ("Visit Name", None), ("note", "free text"), ("denoted", None),
    ],
)  # fmt: skip
def test_which_headers_look_like_identifiers(header: str, kind: str | None) -> None:
    assert identifier_in(header) == kind


def test_every_rule_that_can_be_found_is_explained() -> None:
    import re

    used: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        used |= set(re.findall(r'"([A-I][0-9]{2})"', path.read_text(encoding="utf-8")))
    assert used <= set(rules())
    assert all(rule.title and rule.why and rule.do for rule in rules().values())


def test_the_share_of_rows_set_aside_counts_a_row_once(tmp_path: Path) -> None:
    items = ",".join(f"phq9_{i}" for i in range(1, 10))
    content = table(
        "a,0,0.5,mg/kg,iv" + ",x" * 9,
        "a,3,0.5,mg/kg,iv" + ",1" * 9,
        header=f"patient,day,dose,unit,route,{items}",
    )
    cohort = read_bytes(tmp_path, content).cohort
    assert cohort is not None
    assert quarantined_share(cohort) == 0.5


# The scanner against Python's csv module

CELL = st.text(st.sampled_from('ab1,;"\n\r é€'), max_size=12)


def cells_of(raw: bytes, chunk: int) -> list[list[str]]:
    """Every record of some CSV bytes by the scanner, fed in chunks."""
    chunks = (raw[i : i + chunk] for i in range(0, len(raw), chunk))
    return [block.text(i) for block in records.blocks(chunks, ord(",")) for i in range(len(block.first))]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(CELL, min_size=2, max_size=4), min_size=1, max_size=8),
    st.integers(1, 40),
    st.booleans(),
)
def test_the_scanner_reads_what_csv_writes(rows: list[list[str]], chunk: int, everything: bool) -> None:
    # Outside quotation marks a carriage return before a line end belongs to the line end.
    assume(everything or not any("\r" in cell for row in rows for cell in row))
    out = io.StringIO()
    csv.writer(
        out, lineterminator="\n", quoting=csv.QUOTE_ALL if everything else csv.QUOTE_MINIMAL
    ).writerows(rows)
    read = cells_of(out.getvalue().encode(), chunk)
    assert read == rows


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.sampled_from("ab12é"), max_size=80), min_size=1, max_size=60), st.integers(1, 200))
def test_codes_and_texts_give_the_cells_back(column: list[str], chunk: int) -> None:
    raw = "".join(f"{cell},x\n" for cell in column).encode()
    coded = records.Coded()
    for block in records.blocks((raw[i : i + chunk] for i in range(0, len(raw), chunk)), ord(",")):
        coded.add(block, np.arange(len(block.first)), 0)
    assert [coded.texts[code] for code in coded.codes] == column
    assert sorted(coded.texts) == sorted(set(column))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(st.sampled_from("ab,1"), min_size=1, max_size=30), min_size=2, max_size=20))
def test_equal_rows_and_only_they_have_equal_prints(lines: list[str]) -> None:
    blocks = list(records.blocks(iter(["\n".join(lines).encode()]), ord(",")))
    prints = np.concatenate([records.row_hashes(block) for block in blocks])
    for i, one in enumerate(lines):
        for j, other in enumerate(lines):
            assert (prints[i] == prints[j]) == (one == other)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_whatever_the_bytes_the_answer_is_a_cohort_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_bytes(raw)
    with pytest.raises(InputRefused):
        ko.read(path)


MUTATIONS = st.lists(
    st.tuples(st.integers(0, len(GOOD) - 1), st.sampled_from(b'",\n\r\0\xe9;9-.')), max_size=6
)


@settings(max_examples=300, deadline=None)
@given(MUTATIONS)
def test_a_damaged_file_is_read_or_refused_and_its_rows_add_up(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    raw = bytearray(GOOD)
    for at, byte in changes:
        raw[at] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.csv"
    path.write_bytes(bytes(raw))
    try:
        cohort = ko.read(path, Plan())
    except InputRefused:
        return
    flow = cohort.ledger[cohort.ledger["table"] == "input"].set_index("outcome")["n"]
    assert flow["read"] == flow.drop("read").sum()


@pytest.mark.parametrize(
    ("text", "columns", "column"),
    [
        ("case,when,amount,how,sum\na,0,0.5,iv,18\na,0,,,12\n", 'dose = "amount"\nphq9 = "sum"', "sum"),
        (
            "case,when,amount,how,form,points\na,0,0.5,iv,,\na,3,,,phq9,14\na,3,,,phq9,15\n",
            '[[columns.doses]]\ndose = "amount"\nkeep = { how = ["iv"] }\n'
            '[[columns.scores]]\ninstrument = "form"\nscore = "points"\nkeep = { form = ["phq9"] }',
            "points",
        ),
    ],
    ids=["wide", "long"],
)
def test_a_finding_names_the_column_as_its_file_does(
    text: str, columns: str, column: str, tmp_path: Path
) -> None:
    """Whether text could not be read or records do not agree, the reader has to look it up in the file."""
    ours = 'patient = "case"\nday = "when"\nroute = "how"\nunit = { value = "mg/kg" }\n'
    found = ko.read(write(tmp_path, one=text), plan_of(ours + columns)).problems
    assert found.loc[found["rule"] == "C08", "column"].tolist() == [column, column]


def test_items_in_several_columns_are_named_by_their_instrument(tmp_path: Path) -> None:
    items = ",".join(f"phq9_{item}" for item in range(1, 10))
    low, high = ",".join("0" * 9), ",".join("3" * 9)
    text = f"patient,day,dose,unit,route,{items}\na,0,0.5,mg/kg,iv,{low}\na,0,,,,{high}\n"
    found = ko.read(write(tmp_path, one=text)).problems
    assert found.loc[found["rule"] == "C08", "column"].tolist() == ["phq9", "phq9"]


def test_a_wide_file_and_a_long_one_make_one_cohort(tmp_path: Path) -> None:
    """The sites of one clinic may export differently; a row of doses alone is no faulty questionnaire."""
    wide = "patient,day,dose,unit,route,phq9,gad7\n"
    wide += "a,0,0.5,mg/kg,iv,18,11\na,3,0.5,mg/kg,iv,,\nb,0,0.5,mg/kg,iv,20,9\n"
    long = "patient,day,instrument,score\na,5,PHQ-9,9\nb,4,GAD-7,7\nb,4,phq9,15\n"
    mixed = ko.read(write(tmp_path, wide=wide, long=long))
    added = "a,5,,,,9,\nb,4,,,,15,7\n"
    alike = ko.read(write(tmp_path, both=wide + added))
    assert tables(mixed) == tables(alike)
    assert mixed.problems.empty
    turned = ko.read(list(reversed(write(tmp_path, wide=wide, long=long))))
    assert tables(turned) == tables(mixed)


def test_mixed_layouts_find_what_each_would_find_alone(tmp_path: Path) -> None:
    wide = "patient,day,dose,unit,route,phq9\na,0,0.5,mg/kg,iv,18\na,3,0.5,mg/kg,iv,12\n"
    long = "patient,day,instrument,score\na,3,phq9,14\na,4,mood,3\na,5,,7\n"
    found = ko.read(write(tmp_path, wide=wide, long=long)).problems
    assert found[["file", "row", "column", "rule"]].to_numpy().tolist() == [
        ["long.csv", 2, "score", "C08"],
        ["long.csv", 3, "instrument", "D18"],
        ["long.csv", 4, "instrument", "D18"],
        ["wide.csv", 3, "phq9", "C08"],
    ]
    doses = pd.DataFrame({"patient": ["a"], "day": [0], "dose": 0.5, "route": "iv"})
    scores = pd.DataFrame({"patient": ["a"] * 4, "day": [0, 3, 4, 5], "phq9": [18, None, None, None]})
    scores["instrument"], scores["score"] = [None, "phq9", "mood", None], [None, 9, 3, 7]
    cohort = ko.Cohort.from_frames(doses, scores)
    assert cohort.scores[["day", "score"]].to_numpy().tolist() == [[0, 18.0], [3, 9.0]]
    assert cohort.problems[["row", "rule"]].to_numpy().tolist() == [[4, "D13"], [5, "D13"]]


def test_long_rows_without_all_items_are_refused_beside_wide_ones_too() -> None:
    doses = pd.DataFrame({"patient": ["a"], "day": [0], "dose": 0.5, "route": "iv"})
    scores = pd.DataFrame({"patient": ["a", "a"], "day": [0, 3], "phq9": [18, None]})
    scores["instrument"] = [None, "phq9"]
    scores[[f"item_{item}" for item in range(1, 9)]] = [[None] * 8, [1.0] * 8]
    with pytest.raises(InputRefused, match="PHQ-9 has 9 items"):
        ko.Cohort.from_frames(doses, scores)


def test_items_of_a_long_row_stand_beside_totals_of_a_wide_one(tmp_path: Path) -> None:
    items = ",".join(f"item_{item}" for item in range(1, 10))
    wide = "patient,day,dose,unit,route,phq9\na,0,0.5,mg/kg,iv,18\n"
    long = f"patient,day,instrument,{items}\na,4,phq9,{','.join('1' * 9)}\n"
    scores = ko.read(write(tmp_path, wide=wide, long=long)).scores
    assert scores[["day", "score"]].to_numpy().tolist() == [[0, 18.0], [4, 9.0]]
