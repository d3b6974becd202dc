"""Faults of identity, numbers and dates: rows C, D and E of the catalogue, each by one small file.

Not here: C04's and E04's workbook halves, since workbooks are not read; C09, whose join intake does not make;
E17 and E18, which are about reports by month.
"""

from __future__ import annotations

import locale
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from intake_files import GOOD, HEADER, ROWS, plan_of, read_bytes, read_file, table

DATED = "patient,date,dose,unit,route,phq9"
ITEMS = ",".join(f"phq9_{i}" for i in range(1, 10))
WIDE = f"patient,day,dose,unit,route,{ITEMS}"


def dated(*dates: str, header: str = DATED) -> bytes:
    """One dose and one score of one patient on each of the given dates."""
    return table(*(f'a,"{date}",0.5,mg/kg,iv,18' for date in dates), header=header)


def answered(*answers: str) -> bytes:
    """One dose on day 0 with the nine answers given, and one on day 3 without any."""
    return table(f"a,0,0.5,mg/kg,iv,{','.join(answers)}", "a,3,0.5,mg/kg,iv,,,,,,,,,", header=WIDE)


@dataclass(frozen=True)
class Case:
    """One fault: the bytes, the plan's [columns], what becomes of them, and what the cohort then holds."""

    content: bytes
    action: str = "accepted"
    rule: str = ""
    rows: list[int] = field(default_factory=list)
    columns: str = ""
    says: str = ""
    scores: list[Any] | None = None
    doses: list[Any] | None = None
    people: dict[str, list[Any]] | None = None


def one_dose(cell: str, unit: str = "mg/kg") -> bytes:
    """A good dose on day 0, and one written as `cell` on day 3."""
    return table("a,0,0.5,mg/kg,iv,18", f'a,3,"{cell}",{unit},iv,12')


NAN = None
CASES = {
    # Identity and keys
    "C01": Case(table("007,0,0.5,mg/kg,iv,18", "7,0,0.5,mg/kg,iv,9"), people={"patient": ["007", "7"]}),
    "C01-not-a-number": Case(
        table("1E5,0,0.5,mg/kg,iv,18", "100000,0,0.5,mg/kg,iv,9"), people={"patient": ["100000", "1E5"]}
    ),
    "C02": Case(table(*ROWS, ",0,0.5,mg/kg,iv,18"), "quarantined", "C02", [6]),
    "C03": Case(
        table("NA,0,0.5,mg/kg,iv,18", "null,0,0.5,mg/kg,iv,9", "None,0,0.5,mg/kg,iv,9"),
        people={"patient": ["NA", "None", "null"]},
    ),
    "C03-declared-missing": Case(
        table("NA,0,0.5,mg/kg,iv,18"), columns='missing = ["NA"]', people={"patient": ["NA"]}
    ),
    "C04": Case(
        table("1234567890123456789,0,0.5,mg/kg,iv,18", "1234567890123456788,0,0.5,mg/kg,iv,18"),
        people={"patient": ["1234567890123456788", "1234567890123456789"]},
    ),
    "C04-rounded": Case(table("1.23457E+15,0,0.5,mg/kg,iv,18"), "refused", "C04", [2]),
    "C05": Case(
        table(
            " a\u00a0,0,0.5,mg/kg,iv,18", "a,3,0.5,mg/kg,iv,9", "０7,0,0.5,mg/kg,iv,9", "A,0,0.5,mg/kg,iv,9"
        ),
        "normalised",
        "C05",
        [0, 2, 3],
        people={"patient": ["07", "A", "a"]},
    ),
    "C07": Case(table(*ROWS, ROWS[0]), "normalised", "C07", [6], doses=[0.5, 0.5, 0.5]),
    "C08": Case(table(*ROWS, "b,4,,,,11"), "quarantined", "C08", [5, 6], scores=[18, 12, 20]),
    "C11": Case(
        table(
            *(row + site for row, site in zip(ROWS, (",north", ",north", ",", ","), strict=True)),
            header=HEADER + ",site",
        )
    ),
    "C12": Case(
        table(
            *(row + sex for row, sex in zip(ROWS, (",f", ",m", ",f", ","), strict=True)),
            header=HEADER + ",sex",
        ),
        "quarantined",
        "C12",
        [2, 3],
        columns='covariates = ["sex"]',
        people={"sex": [None, "f"]},
        scores=[18, 12, 20, 9],
    ),
    # Numbers, items and totals
    "D01": Case(answered(*[""] * 9), scores=[]),
    "D02": Case(answered("3", "3", "3", "3", "3", "3", "3", "", ""), scores=[27]),
    "D02-three-blank": Case(answered("3", "3", "3", "3", "3", "3", "", "", ""), scores=[NAN]),
    "D03-item": Case(answered("4", *["1"] * 8), "quarantined", "D03", [2], scores=[], doses=[0.5, 0.5]),
    "D03-total": Case(table(*ROWS, "b,6,,,,28"), "quarantined", "D03", [6]),
    "D04": Case(
        table(f"a,0,0.5,mg/kg,iv,{',2' * 7},0,0,12".replace("iv,,", "iv,"), header=f"{WIDE},phq9"),
        "quarantined",
        "D04",
        [2],
        scores=[],
    ),
    **{
        f"D06{code}": Case(table(*ROWS, f"b,6,,,,{code}"), "quarantined", "D06", [6])
        for code in ("-9", "-99", "-999", "99", "999", "8888")
    },
    "D06-declared": Case(table(*ROWS, "b,6,,,,-9"), columns='missing = ["-9"]', scores=[18, 12, 20, 9]),
    "D06-dose": Case(one_dose("-9"), "quarantined", "D06", [3], doses=[0.5], scores=[18]),
    **{
        f"D07-{word}": Case(answered(word, *["1"] * 8), "quarantined", "D07", [2], scores=[])
        for word in ("TRUE", "false", "Yes")
    },
    **{
        f"D08-{n}": Case(table(*ROWS, f'b,6,,,,"{n}"'), "quarantined", "D08", [6])
        for n in ("12,5", "1,005", "1 234")
    },
    "D08-declared": Case(
        one_dose("0,5"), columns='decimal = ","', action="quarantined", rule="D08", rows=[2], doses=[0.5]
    ),
    "D09": Case(table(*ROWS, "b,6,,,,refused"), "quarantined", "D09", [6]),
    **{
        f"D10-{n}": Case(table(*ROWS, f"b,6,,,,{n}"), "quarantined", "D10", [6])
        for n in ("inf", "1e400", "nan", "-Infinity")
    },
    "D11": Case(answered("3.0", *["1"] * 8), scores=[11]),
    "D11-fraction": Case(answered("3.5", *["1"] * 8), "quarantined", "D11", [2], scores=[]),
    "D13": Case(answered(*["Several days"] * 9), "normalised", "D13", [0] * 9, scores=[9]),
    "D13-unknown": Case(answered("Often", *["1"] * 8), "quarantined", "D13", [2], scores=[]),
    "D14": Case(answered("several days", *["2"] * 8), "normalised", "D13", [0], scores=[17]),
    "D15-beside": Case(one_dose("0.5 mg/kg", ""), doses=[0.5, 0.5]),
    "D15-joined": Case(one_dose("35mg", "").replace(b"0.5,mg/kg", b"35,mg"), doses=[35, 35]),
    "D15-point": Case(one_dose(".5"), doses=[0.5, 0.5]),
    "D15-other-unit": Case(one_dose("35 mcg", ""), doses=[0.5, 35]),
    "D15-clash": Case(one_dose("35 mcg"), "quarantined", "D15", [3], doses=[0.5, NAN], scores=[18, 12]),
    "D15-unknown-unit": Case(
        one_dose("5 drops", ""), "quarantined", "D15", [3], doses=[0.5, NAN], scores=[18, 12]
    ),
    "D15-no-unit": Case(one_dose("5", ""), "quarantined", "D15", [3], doses=[0.5, NAN]),
    "D15-no-unit-anywhere": Case(
        one_dose("5", "").replace(b",mg/kg", b","), "refused", "D15", [0], says='unit = { value = "mg" }'
    ),
    "D15-too-much": Case(one_dose("2.5"), "quarantined", "D15", [3], doses=[0.5, NAN]),
    "D16": Case(
        table(
            *(row + kg for row, kg in zip(ROWS, (",80", ",400", ",", ","), strict=True)),
            header=HEADER + ",weight_kg",
        ),
        "quarantined",
        "D16",
        [3],
    ),
    "D17": Case(answered(*["1"] * 8, "3"), scores=[11]),
    "D18-map": Case(
        GOOD.replace(b"iv,18", b"drip,18"),
        "quarantined",
        "D18",
        [2],
        columns='route = { from = "route", map = { iv = "iv" } }',
    ),
    "D18-timing": Case(
        table(
            *(row + t for row, t in zip(ROWS, (",pre", ",POST", ",later", ","), strict=True)),
            header=HEADER + ",timing",
        ),
        "quarantined",
        "D18",
        [4],
        scores=[18, 12, 9],
        doses=[0.5, 0.5, 0.5],
    ),
    "D19": Case(
        GOOD.replace(b"iv", b"drip"), "refused", "D19", [2], says='route = { from = "route", map = {'
    ),
    # Dates
    "E01": Case(
        dated("03/04/2025"),
        "refused",
        "E01",
        [0],
        says='date_format = "DD/MM/YYYY" or date_format = "MM/DD/YYYY"',
    ),
    "E01-declared": Case(
        dated("03/04/2025"),
        columns='date_format = "DD/MM/YYYY"',
        people={"start_date": [pd.Timestamp("2025-04-03")]},
    ),
    "E02": Case(dated("13/04/2025", "03/04/2025"), "refused", "E01", [0], says='date_format = "DD/MM/YYYY"'),
    "E03": Case(table(*ROWS, "b,,,,,9"), "quarantined", "E03", [6]),
    "E04": Case(dated("2025-03-04", "45678"), "quarantined", "E04", [3]),
    **{
        f"E05-{d}": Case(dated("2025-03-04", d), "quarantined", "E05", [3])
        for d in ("2025-02-30", "0000-00-00", "2025-03-04 24:00", "soon")
    },
    **{
        f"E07-{d}": Case(dated("2025-03-04", d), "quarantined", "E07", [3])
        for d in ("9999-12-31", "1900-01-01", "2052-03-04")
    },
    "E09": Case(
        dated("2025-03-04T23:30:00-05:00", "2025-03-05 08:00+01:00"),
        people={"start_date": [pd.Timestamp("2025-03-04")]},
    ),
    "E10": Case(dated("2025-03-04T23:30:00Z"), "refused", "E10", [0]),
    "E10-midnight": Case(dated("2025-03-04T00:00:00Z"), people={"start_date": [pd.Timestamp("2025-03-04")]}),
    "E12": Case(
        dated("04-MAR-25"),
        columns='date_format = "DD-MON-YY"',
        people={"start_date": [pd.Timestamp("2025-03-04")]},
    ),
    "E12-undeclared": Case(dated("04-Mar-2025"), "refused", "E01", [0], says='date_format = "DD-MON-YYYY"'),
    "E13": Case(table(*ROWS, "b,-3,,,,21"), scores=[18, 12, 21, 20, 9]),
    "E13-dose": Case(table(*ROWS, "b,-3,0.5,mg/kg,iv,"), "quarantined", "E13", [6]),
    "E14": Case(table(*ROWS, "a,0,0.25,mg/kg,iv,"), doses=[0.75, 0.5, 0.5]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_faulty_value(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    outcome = read_bytes(tmp_path, case.content, case.columns)
    assert case.says in outcome.message
    if case.action == "accepted":
        assert (outcome.message, outcome.found) == ("", frozenset())
    else:
        assert case.rule in outcome.rules(case.action)
        assert set(outcome.rows(case.rule)) == set(case.rows)
    assert (outcome.cohort is None) == (case.action == "refused")
    if outcome.cohort is None:
        return
    cohort = outcome.cohort
    for held, wanted in ((cohort.scores["score"], case.scores), (cohort.doses["dose"], case.doses)):
        if wanted is not None:
            assert [None if pd.isna(value) else value for value in held] == wanted
    for column, values in (case.people or {}).items():
        assert [None if pd.isna(value) else value for value in cohort.people[column]] == values


@pytest.mark.parametrize("dtype", ["Int8", "int8", "float64", "object"])
def test_d00_every_dtype_of_items_gives_one_total(dtype: str) -> None:
    import ketaoutcomes as ko

    items = pd.DataFrame({f"phq9_{i}": [2] for i in range(1, 10)}).astype(dtype)
    frame = items.assign(patient="a", day=0, dose=0.5, unit="mg/kg", route="iv")
    assert ko.Cohort.from_frames(frame).scores["score"].tolist() == [18]


def test_c07_an_overlapping_export_counts_once(tmp_path: Path) -> None:
    (tmp_path / "september.csv").write_bytes(table(*ROWS[:3]))
    (tmp_path / "october.csv").write_bytes(table(*ROWS[1:]))
    outcome = read_file([tmp_path / "september.csv", tmp_path / "october.csv"])
    assert outcome.rules("normalised") == {"C07"}
    assert outcome.cohort is not None
    assert outcome.cohort.doses["given"].sum() == 3


def test_e12_months_are_read_under_any_locale(tmp_path: Path) -> None:
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, "C.UTF-8")
        outcome = read_bytes(tmp_path, dated("04-May-25"), 'date_format = "DD-MON-YY"')
    finally:
        locale.setlocale(locale.LC_ALL, before)
    assert outcome.cohort is not None


@pytest.mark.parametrize("count", [1, 8, 10], ids=["phq1", "phq8", "ten-items"])
def test_g13_the_number_of_items_must_be_the_instruments(count: int, tmp_path: Path) -> None:
    items = ",".join(f"phq9_{i}" for i in range(1, count + 1))
    content = table("a,0,0.5,mg/kg,iv" + ",1" * count, header=f"patient,day,dose,unit,route,{items}")
    assert read_bytes(tmp_path, content).rules("refused") == {"G13"}


def test_a_wrong_answer_never_takes_the_session_away(tmp_path: Path) -> None:
    header = f"{WIDE},gad7"
    content = table("a,0,0.5,mg/kg,iv,7,1,1,1,1,1,1,1,1,12", header=header)
    outcome = read_bytes(tmp_path, content)
    assert outcome.cohort is not None
    assert outcome.cohort.doses["day"].tolist() == [0]
    assert outcome.cohort.scores[["instrument", "score"]].to_numpy().tolist() == [["gad7", 12.0]]


def test_every_row_of_the_file_is_accounted_for_once(tmp_path: Path) -> None:
    rows = (*ROWS, ROWS[0], ",0,0.5,mg/kg,iv,18", "c,0,0.5", "c,x,0.5,mg/kg,iv,18", "d,0,0.5,mg/kg,iv,99")
    path = tmp_path / "in.csv"
    path.write_bytes(
        table(*(row + ",done" for row in rows), "d,3,0.5,mg/kg,iv,7,no-show", header=HEADER + ",status")
    )
    cohort = read_file(path, plan_of('keep = { status = ["done"] }')).cohort
    assert cohort is not None
    ledger = cohort.ledger[cohort.ledger["table"] == "input"].set_index(["outcome", "reason"])["n"].to_dict()
    assert ledger.pop(("read", "")) == 10
    assert ledger == {
        ("kept", ""): 5,
        ("duplicate", "C07"): 1,
        ("filtered", "status"): 1,
        ("quarantined", "C02"): 1,
        ("quarantined", "B03"): 1,
        ("quarantined", "D09"): 1,
    }
