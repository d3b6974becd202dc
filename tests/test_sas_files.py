"""SAS transport files: the same cells under the same rules as a CSV; what would lose rows is refused."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes.plan import parse_plan
from ketaoutcomes.records.cohort import InputRefused

pyreadstat = pytest.importorskip("pyreadstat", reason="needs pip install 'ketaoutcomes[sas]'")

SESSIONS = pd.DataFrame(
    {
        "PATIENT": ["001", "001", "2"],
        "DATE": [date(2025, 3, 1), date(2025, 3, 4), date(2025, 3, 1)],
        "DOSE": [0.45, 0.5, 0.5],
        "UNIT": ["mg/kg", "mg/kg", "MG/KG"],
        "ROUTE": ["IV", "iv", "iv"],
        "PHQ9": [18.0, float("nan"), 21.0],
    }
)


def transport(frame: pd.DataFrame, path: Path) -> Path:
    """A frame as a transport file of version 5."""
    pyreadstat.write_xport(frame, str(path), file_format_version=5)
    return path


def refusal(path: Path, columns: str = "") -> str:
    """The message with which a file is refused."""
    with pytest.raises(InputRefused) as caught:
        ko.read(path, parse_plan(f"[columns]\n{columns}"))
    return str(caught.value)


def test_a_transport_file_reads_as_the_same_csv(tmp_path: Path) -> None:
    SESSIONS.to_csv(tmp_path / "a.csv", index=False)
    both = [ko.read(transport(SESSIONS, tmp_path / "a.xpt")), ko.read(tmp_path / "a.csv")]
    for table in ("doses", "scores", "people"):
        pd.testing.assert_frame_equal(getattr(both[0], table), getattr(both[1], table))
    assert list(both[0].doses["patient"].unique()) == ["001", "2"]
    assert both[0].doses["dose"].tolist() == [0.45, 0.5, 0.5]


def test_settings_for_typed_text_do_not_touch_it(tmp_path: Path) -> None:
    plan = parse_plan('[columns]\ndelimiter = ";"\ndecimal = ","\nskip_rows = 3')
    cohort = ko.read(transport(SESSIONS, tmp_path / "a.xpt"), plan)
    assert cohort.doses["dose"].tolist() == [0.45, 0.5, 0.5]


def test_names_values_and_findings_are_as_in_any_file(tmp_path: Path) -> None:
    frame = SESSIONS.rename(columns={"PATIENT": "USUBJID"}).assign(
        ARM=["x", "x", "y"], PHQ9=[18.0, 28.0, 21.0]
    )
    plan = parse_plan('[columns]\npatient = "USUBJID"\nkeep = { ARM = ["x"] }')
    cohort = ko.read(transport(frame, tmp_path / "a.xpt"), plan)
    assert cohort.doses["patient"].tolist() == ["001", "001"]
    filtered = cohort.ledger[cohort.ledger["outcome"] == "filtered"]
    assert filtered[["reason", "n"]].values.tolist() == [["ARM", 1]]
    # 28 is no PHQ-9 total: row 3, the header being row 1.
    assert cohort.problems[["file", "row"]].values.tolist() == [["a.xpt", 3]]


def test_identifiers_are_refused_by_name(tmp_path: Path) -> None:
    message = refusal(transport(SESSIONS.assign(SURNAME="x"), tmp_path / "a.xpt"))
    assert "SURNAME" in message
    assert "B07" in message


def test_text_in_another_encoding_is_declared(tmp_path: Path) -> None:
    frame = SESSIONS.assign(SITE=["M\xfcnchen"] * 3)
    path = transport(frame, tmp_path / "a.xpt")
    latin = path.read_bytes().replace("M\xfcnchen".encode(), "M\xfcnchen ".encode("latin-1"))
    path.write_bytes(latin)
    assert "encoding" in refusal(path)
    cohort = ko.read(path, parse_plan('[columns]\nencoding = "latin-1"'))
    assert cohort.doses["site"].unique().tolist() == ["M\xfcnchen"]


def test_several_tables_in_one_file_are_refused(tmp_path: Path) -> None:
    whole = transport(SESSIONS, tmp_path / "a.xpt").read_bytes()
    header = 240  # three records of 80 bytes stand before the first table
    (tmp_path / "two.xpt").write_bytes(whole + whole[header:])
    assert "holds 2 tables" in refusal(tmp_path / "two.xpt")


@pytest.mark.parametrize("lost", [1, 40, 80, 160, 2000])
def test_a_file_cut_off_is_refused(lost: int, tmp_path: Path) -> None:
    frame = pd.concat([SESSIONS] * 20, ignore_index=True).assign(LONG="x" * 100)
    whole = transport(frame, tmp_path / "a.xpt").read_bytes()
    (tmp_path / "cut.xpt").write_bytes(whole[:-lost])
    assert "cut off" in refusal(tmp_path / "cut.xpt")


def test_another_file_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xpt").write_text("patient,day,phq9\n", encoding="utf-8")
    assert "no SAS transport file" in refusal(tmp_path / "a.xpt")


def test_without_the_extra_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = transport(SESSIONS, tmp_path / "a.xpt")
    monkeypatch.setitem(sys.modules, "pyreadstat", None)
    message = refusal(path)
    assert "pip install 'ketaoutcomes[sas]'" in message
    assert "\n" not in message


# --- records that last: from a first to a last day -------------------------------------------------------


def lasting(tmp_path: Path, rows: str, columns: str) -> ko.Cohort:
    """A cohort from a CSV of interval records."""
    (tmp_path / "a.csv").write_text(rows, encoding="utf-8")
    return ko.read(tmp_path / "a.csv", parse_plan(f'[columns]\ndose = {{ value = "1" }}\n{columns}'))


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (
            "patient,start,stop,route,phq9\na,2025-03-01,2025-03-14,iv,18\na,2025-03-15,,iv,9\n",
            'date = "start"\nuntil_date = "stop"',
        ),
        ("patient,start,stop,route,phq9\na,0,13,iv,18\na,14,,iv,9\n", 'day = "start"\nuntil_day = "stop"'),
    ],
)
def test_a_last_day_gives_the_days_a_record_covers(rows: str, columns: str, tmp_path: Path) -> None:
    assert lasting(tmp_path, rows, columns).doses["days"].tolist() == [14, 1]


def test_a_record_that_ends_before_it_begins_is_set_aside(tmp_path: Path) -> None:
    rows = "patient,start,stop,route,phq9\na,5,4,iv,18\na,8,8,iv,9\n"
    cohort = lasting(tmp_path, rows, 'day = "start"\nuntil_day = "stop"')
    assert cohort.problems[["row", "column", "rule"]].values.tolist() == [[2, "stop", "E15"]]
    assert cohort.doses["day"].tolist() == [8]


def test_a_length_is_given_in_one_way(tmp_path: Path) -> None:
    rows = "patient,start,stop,days,route,phq9\na,0,13,14,iv,18\n"
    with pytest.raises(InputRefused, match="in two ways"):
        lasting(tmp_path, rows, 'day = "start"\nuntil_day = "stop"')
    with pytest.raises(InputRefused, match="until_day with day"):
        lasting(tmp_path, rows.replace("days", "other"), 'day = "start"\nuntil_date = "stop"')
