"""What the documentation shows is run: every example, and the site with every warning an error."""

from __future__ import annotations

import doctest
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

import ketaoutcomes as ko

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def sample() -> ko.Cohort:
    return ko.load_sample()


def examples(page: Path) -> list[str]:
    """A page's Python, block by block."""
    return FENCED.findall(page.read_text(encoding="utf-8"))


WITH_PYTHON = [page for page in PAGES if examples(page)]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.stem)
def test_examples_run_and_answer_as_shown(
    page: Path, sample: ko.Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks with prompts answer what they say; those without are run as they stand, each after the other."""
    mpl.use("agg")
    shutil.copytree(ROOT / "data" / "sample", tmp_path, dirs_exist_ok=True)  # what readers have at hand
    monkeypatch.chdir(tmp_path)
    study = ko.Study(sample)
    names: dict[str, Any] = {"ko": ko, "plan": sample.plan, "cohort": sample, "study": study}
    names |= {"as_of": study.as_of, "north": sample, "south": sample}  # two sites that pool their counts
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    for number, code in enumerate(examples(page), 1):
        if ">>> " not in code:
            exec(compile(code, f"{page.name}, block {number}", "exec"), names)
            continue
        test = doctest.DocTest(
            doctest.DocTestParser().get_examples(code),
            names,
            f"{page.name}, block {number}",
            str(page),
            0,
            code,
        )
        result = runner.run(test, out=said.append, clear_globs=False)
        names = test.globs
        assert result.failed == 0, "".join(said)
        assert result.attempted > 0


def test_every_page_has_its_place_on_the_site() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    missing = [page.stem for page in PAGES[1:] if page.stem != "index" and f"\n{page.stem}\n" not in index]
    assert missing == []


STATISTICS = (
    "rates", "means", "good-time", "curves", "change", "sensitivity", "comparisons", "charts", "measures",
    "safety", "table1", "models",
)  # fmt: skip
RESTS_ON = {
    "a formula": r"(?i)\bformula|\$.+\$|√|\bnumerator\b",
    "an assumption": r"(?i)\bassum",
    "a citation": r"\b(18|19|20)\d\d\b",
    "an outside answer": r"(?i)outside answer|checked against",
}


@pytest.mark.parametrize("name", STATISTICS)
def test_the_page_of_a_statistic_says_what_it_rests_on(name: str) -> None:
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    assert [what for what, words in RESTS_ON.items() if not re.search(words, page)] == []


def test_links_between_pages_lead_somewhere() -> None:
    broken = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="the site needs: pip install '.[docs]'")
    pytest.importorskip("myst_parser", reason="the site needs: pip install '.[docs]'")
    pytest.importorskip("furo", reason="the site needs: pip install '.[docs]'")
    made = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "docs", str(tmp_path / "site")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    elsewhere = re.compile(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="https?:')
    site = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "site").glob("*.html")}
    assert [name for name, page in site.items() if elsewhere.search(page)] == []  # read without a network
    assert "<math" in site["rates.html"]
    pages = [site["api.html"], site["api-tables.html"]]
    told = set(re.findall(r'id="ketaoutcomes\.([\w.]+)"', " ".join(pages)))
    ends = {
        name
        for one in told
        for name in (one, one.partition(".")[2], ".".join(one.split(".")[-2:]), one.split(".")[-1])
    }
    face = (ROOT / "tests" / "public_face.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in face if line.partition("(")[0] not in ends] == []
    results = {path.stem for path in (ROOT / "ketaoutcomes" / "results").glob("*.py")}
    named = set(re.findall(r'class="pre">([a-z_]+\.\w+)<', " ".join(pages)))
    assert [name for name in sorted(named) if name.split(".")[0] in results and name not in ends] == []
