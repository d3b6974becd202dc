"""What a report is made of: the same people in another order make the same pages; rows are not persons."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import ketaoutcomes as ko
from ketaoutcomes import simulate
from ketaoutcomes.plan import parse_plan

NUMBERS = ("report.html", "results.json", "tables.xlsx", "email.eml")


def written(csv: str, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    (folder / "sessions.csv").write_text(csv, encoding="utf-8")
    ko.Study(ko.read(folder / "sessions.csv")).report(folder / "report")
    return {name: (folder / "report" / name).read_bytes() for name in NUMBERS}


def test_shuffled_rows_of_a_file_make_the_same_bytes(tmp_path: Path) -> None:
    text = simulate.sample_path().read_text(encoding="utf-8")
    head, *rows = text.splitlines(keepends=True)
    shuffled = head + "".join(sorted(rows, key=lambda row: row[::-1]))
    assert shuffled != text
    assert written(text, tmp_path / "a") == written(shuffled, tmp_path / "b")


def test_many_rows_of_one_person_are_not_counted_out(tmp_path: Path) -> None:
    days = [0, 3, 7, 10, 14, 17]
    rows = [(f"P{i}", day, 0.5, "mg/kg", "iv", 20 if day == 0 else 8) for i in range(40) for day in days]
    rows += [("Q", day, 0.5, "mg/kg", "iv", 99) for day in range(0, 36, 3)]  # twelve impossible scores
    table = pd.DataFrame(rows, columns=["patient", "day", "dose", "unit", "route", "phq9"])
    people = pd.DataFrame({"patient": sorted(set(table["patient"])), "cut_day": 300})
    study = ko.Study(ko.Cohort.from_frames(table, people=people))
    study.report(tmp_path / "shared")
    shared = (tmp_path / "shared" / "results.json").read_text(encoding="utf-8")
    study.report(tmp_path / "internal", audience="internal")
    internal = (tmp_path / "internal" / "results.json").read_text(encoding="utf-8")
    set_aside = '"phq9","quarantined",'
    assert internal.replace(" ", "").replace("\n", "").count(set_aside) > 0
    assert f"{set_aside}12" in internal.replace(" ", "").replace("\n", "")
    assert f"{set_aside}12" not in shared.replace(" ", "").replace("\n", "")


def test_a_cohort_of_nobody_has_a_report(tmp_path: Path) -> None:
    doses = pd.DataFrame({"patient": pd.Series([], dtype=str), "day": pd.Series([], dtype="int64")})
    scores = doses.assign(phq9=pd.Series([], dtype="float64"))
    plan = parse_plan("[population]\ncomplete = true\n")
    study = ko.Study(ko.Cohort.from_frames(doses.assign(route=""), scores, plan=plan))
    assert study.rates(at="end")["reason"].unique().tolist() == ["nobody_due"]
    assert len(study.report(tmp_path / "report")) == 5
