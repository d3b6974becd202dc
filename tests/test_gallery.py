"""The gallery shows every figure, drawn by the line beneath it; so does the one picture that is committed."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from ketaoutcomes import figures

DOCS = Path(__file__).parent.parent / "docs"
PICTURE = DOCS / "_static" / "rates-by-week.png"


@pytest.fixture(scope="module")
def gallery() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gallery", DOCS / "gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_public_figure_is_in_the_gallery(gallery: ModuleType) -> None:
    shown = [name for name, _ in gallery.entries(DOCS / "gallery.md")]
    assert sorted(shown) == sorted(figures.__all__)
    pictures = re.findall(r"_gallery/(\w+)\.png", (DOCS / "gallery.md").read_text(encoding="utf-8"))
    assert pictures == shown


def test_the_gallery_is_drawn_from_its_own_code(gallery: ModuleType, tmp_path: Path) -> None:
    page = "## retention\n\nWho stayed.\n\n```py\nstudy.plot.retention()\n```\n\n"
    page += "## rates\n\n```py\nstudy.plot.rates()\n```\n"
    (tmp_path / "gallery.md").write_text(page, encoding="utf-8")
    made = gallery.draw(tmp_path)
    assert [path.name for path in made] == ["retention.png", "rates.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in made)


def test_the_readmes_picture_says_which_line_drew_it() -> None:
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    raw = PICTURE.read_bytes()
    code = raw.split(b"Description\x00", 1)[1].split(b")", 1)[0].decode() + ")"
    # `tests/test_docs.py` runs the line itself.
    assert f"```python\n{code}\n```\n\n![" in readme
    assert f"docs/_static/{PICTURE.name}" in readme
    assert len(raw) < 60_000
