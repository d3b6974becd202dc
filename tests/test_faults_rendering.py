"""What comes out, row by row of the catalogue: I (disclosure) and J (rendering and export)."""

from __future__ import annotations

import email
import email.policy
import html
import json
import re
import zipfile
from pathlib import Path

import pytest

import ketaoutcomes as ko
from ketaoutcomes.cli import main
from ketaoutcomes.report.folder import FILES
from ketaoutcomes.results.wording import label
from ketaoutcomes.simulate import clinic

CANARY = "CANARY7319"
SITE = "a\u200bb\u202ec\u2066d\ufeffe Z" + "\u0301" * 60
DAYS = ("2026-01-01", "2026-01-04", "2026-01-08", "2026-01-11", "2026-01-15", "2026-01-18", "2026-01-31")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An internal report of 30 patients with telling codes, at a site with an awkward name."""
    place = tmp_path_factory.mktemp("out")
    lines = [
        f"{CANARY}{n},{day},{'' if i > 5 else 0.5},mg/kg,iv,{SITE if n % 2 else '../CON'},{18 - n % 3 * i}\n"
        for n in range(30)
        for i, day in enumerate(DAYS)
    ]
    (place / "in.csv").write_text(
        "patient,date,dose,unit,route,site,phq9\n" + "".join(lines), encoding="utf-8"
    )
    asked = ["report", str(place / "in.csv"), "--out", str(place / "report"), "--audience", "internal", "-q"]
    assert main(asked) == 0
    return place / "report"


def texts(folder: Path) -> dict[str, str]:
    """The text of every file and of every file within it: sheets of the workbook, parts of the mail."""
    found = {
        path.name: path.read_text(encoding="utf-8") for path in folder.iterdir() if path.suffix != ".xlsx"
    }
    with zipfile.ZipFile(folder / "tables.xlsx") as book:
        found |= {name: book.read(name).decode() for name in book.namelist()}
    mail = email.message_from_string(found["email.eml"], policy=email.policy.default)
    for i, part in enumerate(mail.walk()):
        if not part.is_multipart():
            found[f"mail part {i}"] = part.get_payload(decode=True).decode("latin-1")
    return found


def test_i09_no_file_holds_a_patients_code_or_a_hidden_row(folder: Path) -> None:
    """Also inside the workbook and the mail, whose bytes are packed."""
    found = texts(folder)
    assert len(found) > len(FILES)
    assert [name for name, text in found.items() if CANARY in text] == []
    assert not [name for name in found if re.search("pivot|comment|externalLink|vbaProject|customXml", name)]


def test_j04_labels_name_no_file(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["in.csv", "report"]


def test_j05_nothing_that_bends_or_floods_a_line_comes_out(folder: Path) -> None:
    bending = re.compile(
        "[\x00-\x08\x0b\x0c\x0e-\x1f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]|\u0301{3}"
    )
    found = texts(folder)
    for name in ("report.html", "email.eml", "manifest.json", "xl/sharedStrings.xml"):
        assert not bending.search(found[name]), name
    # The Tallies beside the tables keep a label as it is: it is the key by which counts are added.
    tables = json.loads(found["results.json"])["tables"]
    assert not bending.search(json.dumps(tables, ensure_ascii=False))
    assert label("abcde Z" + "\u0301" * 2) in html.unescape(texts(folder)["report.html"])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u200bb\u2060c\ufeff", "abc"),
        ("\u202egpj.exe\u202c", "gpj.exe"),
        ("Zo" + "\u0308" * 400, "Zö\u0308\u0308"),
        ("\0\x1b[31mred", "[31mred"),
        ("\u200b\u202e", "(blank)"),
        ("one\r\ntwo\u2028three", "one two three"),
    ],
)
def test_j05_labels_are_visible_characters_on_one_line(text: str, shown: str) -> None:
    assert label(text) == shown


def test_j05_two_long_names_stay_two() -> None:
    one, other = label("x" * 299 + "a"), label("x" * 299 + "b")
    assert len(one) == len(other) == 60
    assert one != other


@pytest.mark.slow
@pytest.mark.parametrize("audience", ["shared", "internal"])
def test_j08_two_hundred_sites_with_long_names_stay_readable(audience: str, tmp_path: Path) -> None:
    doses, scores, people = clinic().frames()
    names = [f"Clinic {i:03d} of the North-Western Behavioural Health Partnership"[:60] for i in range(200)]
    patients = sorted(set(people["patient"]))
    site = {patient: names[i % 200] for i, patient in enumerate(patients)}
    people = people.assign(site=people["patient"].map(site))
    frames = [frame.drop(columns="site", errors="ignore") for frame in (doses, scores)]
    ko.Study(ko.Cohort.from_frames(*frames, people)).report(tmp_path / "out", audience=audience)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert len(page) < 1_000_000
    assert (tmp_path / "out" / "email.eml").stat().st_size < 100_000
    boxes = [tuple(map(float, box.split())) for box in re.findall(r'viewBox="([^"]*)"', page)]
    assert boxes
    assert max(box[3] for box in boxes) < 1200, "a drawing of many sites fits a page"
    drawn = re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)
    if audience == "internal":
        assert [name for name in names if name not in html.unescape(drawn)] == []
