"""Labels are data at every exit: page, drawings, workbook and JSON show them as text, unharmed."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import openpyxl
import pytest

import ketaoutcomes as ko
from ketaoutcomes.results.wording import label
from ketaoutcomes.simulate import clinic

LABELS = (
    "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "../../x", "$x^2$ \\alpha", "{{7*7}} {% raw %}",
    "\u202egpj.exe\u202c North", '" onmouseover="x', "</style></svg>",
)  # fmt: skip
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module", params=["shared", "internal"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a clinic whose sites are called these things."""
    doses, scores, people = clinic().frames()
    patients = sorted(set(people["patient"]))
    site = {patient: LABELS[i % len(LABELS)] for i, patient in enumerate(patients)}
    people = people.assign(site=people["patient"].map(site))
    out = tmp_path_factory.mktemp("labels") / "report"
    frames = [frame.drop(columns="site", errors="ignore") for frame in (doses, scores)]
    ko.Study(ko.Cohort.from_frames(*frames, people)).report(out, audience=request.param)
    return out


def shown() -> set[str]:
    """The labels as they are to be read: their text without direction marks."""
    return {label(name.replace("\u202e", "").replace("\u202c", "")) for name in LABELS}


def test_the_page_shows_them_as_text(folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    heads = re.findall(r'<th scope="row"[^>]*>(.*?)</th>', text)
    read = {html.unescape(head) for head in heads}
    assert shown() <= read
    assert "<script" not in text
    assert "49" not in {head.strip() for head in read}
    assert not re.search(r"<[^>]*\sonmouseover", text)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b-\u200f]", text)
    assert text.count("<style>") == text.count("</style>") == 1


def test_the_drawings_show_them_as_text(folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    drawn = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]
    tags = {element.tag.removeprefix(SVG) for tree in drawn for element in tree.iter()}
    assert tags <= {
        "svg",
        "g",
        "path",
        "text",
        "tspan",
        "use",
        "defs",
        "clipPath",
        "rect",
        "pattern",
        "style",
    }
    texts = {"".join(one.itertext()) for tree in drawn for one in tree.iter(f"{SVG}text")}
    told = [name for name in shown() if any(found.startswith(name[:12]) for found in texts)]
    assert sorted(told) == sorted(shown())


def test_the_workbook_holds_them_as_text(folder: Path) -> None:
    book = openpyxl.load_workbook(folder / "tables.xlsx")
    cells = [cell for row in book["rates_end_by_site"].iter_rows() for cell in row]
    assert shown() <= {str(cell.value) for cell in cells}
    everywhere = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert not [cell for cell in everywhere if cell.data_type == "f" or cell.hyperlink]


def test_json_holds_them_as_text_and_no_file_is_written_elsewhere(folder: Path) -> None:
    content = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    table = content["tables"]["rates_end_by_site"]
    at = table["columns"].index("site")
    assert {row[at] for row in table["rows"]} == shown()
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]
