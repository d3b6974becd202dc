"""The page on paper: written where it is asked for, fetching nothing, the same every time."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes.cli import main
from ketaoutcomes.report.pdf import NoPdf, pdf


def study() -> ko.Study:
    doses = pd.DataFrame({"patient": ["a"], "day": [0], "dose": 0.5, "unit": "mg/kg", "route": "iv"})
    scores = pd.DataFrame({"patient": ["a", "a"], "day": [0, 14], "phq9": [18.0, 8.0]})
    plan = ko.Plan().replace(population={"complete": True})
    return ko.Study(ko.Cohort.from_frames(doses, scores, plan=plan))


def test_without_weasyprint_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def without(name: str, *more: Any, **named: Any) -> Any:
        if name == "weasyprint":
            raise ImportError(name)
        return real(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(NoPdf, match=r"pip install 'ketaoutcomes\[pdf\]'"):
        study().report(tmp_path / "out", pdf=True)
    assert not (tmp_path / "out").exists()
    file = tmp_path / "a.csv"
    file.write_text("patient,date,dose,unit,route,phq9\na,2026-01-01,1,mg,iv,18\n")
    assert main(["report", str(file), "--out", str(tmp_path / "out"), "--pdf"]) == 2
    assert "ketaoutcomes[pdf]" in capfd.readouterr().err


def test_it_is_one_of_the_reports_files(tmp_path: Path) -> None:
    pytest.importorskip("weasyprint", reason="a PDF needs: pip install '.[pdf]'")
    first = study().report(tmp_path / "a", pdf=True)
    assert "report.pdf" in [path.name for path in first]
    content = (tmp_path / "a" / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert "report.pdf" in json.loads((tmp_path / "a" / "manifest.json").read_text())["outputs"]
    study().report(tmp_path / "b", pdf=True)
    assert (tmp_path / "b" / "report.pdf").read_bytes() == content
    study().report(tmp_path / "a")
    assert not (tmp_path / "a" / "report.pdf").exists()


def test_a_page_that_asks_for_something_is_not_drawn_from_elsewhere() -> None:
    pytest.importorskip("weasyprint", reason="a PDF needs: pip install '.[pdf]'")
    drawn = pdf("<!doctype html><title>x</title><img src='https://example.org/x.png' alt='gone'><p>text")
    assert b"example.org" not in drawn
