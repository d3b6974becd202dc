"""The page in a real browser: axe-core finds nothing to mend (WCAG 2.2 AA), and no text runs out of it.

Needs chromium, and axe-core as the package axe-playwright-python ships it (`pip install --no-deps`).
"""

from __future__ import annotations

import html
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import ketaoutcomes as ko

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN = f"""
axe.run(document, {{runOnly: {{type: 'tag', values: {TAGS}}}}}).then(found => {{
  const said = document.createElement('pre');
  said.id = 'axe-said';
  said.textContent = JSON.stringify({{
    passes: found.passes.length,
    violations: found.violations.map(v => [v.id, v.impact, v.nodes.slice(0, 3).map(n => n.target.join(' '))]),
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  }});
  document.body.append(said);
}});
"""


def axe() -> str | None:
    """axe-core's own text, where it is installed; nothing of the package that ships it is run."""
    found = importlib.util.find_spec("axe_playwright_python")
    places = list(found.submodule_search_locations or ()) if found else []
    return (Path(places[0]) / "axe.min.js").read_text(encoding="utf-8") if places else None


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="needs a browser: apt-get install chromium"),
    pytest.mark.skipif(axe() is None, reason="needs axe-core: pip install --no-deps axe-playwright-python"),
]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report for others, one for the house, and one of hardly anybody."""
    folder = tmp_path_factory.mktemp("reports")
    sample = ko.Study(ko.load_sample())
    few = ko.Cohort.from_frames(sample.cohort.doses.head(12), sample.cohort.scores.head(9))
    made = {
        "shared": (sample, "shared"),
        "internal": (sample, "internal"),
        "few": (ko.Study(few, plan=few.plan.replace(population={"complete": True})), "shared"),
    }
    for name, (study, audience) in made.items():
        study.report(folder / name, audience=audience)
    return {name: folder / name / "report.html" for name in made}


def seen(page: Path, width: int, folder: Path) -> dict[str, Any]:
    """What axe says of a page at a width. The page forbids scripts: a copy is made that does not."""
    text = page.read_text(encoding="utf-8")
    assert 'http-equiv="Content-Security-Policy"' in text
    open_copy = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    script = f"<script>{axe()}</script><script>{RUN}</script>"
    copy = folder / "page.html"
    copy.write_text(open_copy.replace("</body>", f"{script}</body>"), encoding="utf-8")
    assert BROWSER is not None
    ran = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900",
         "--virtual-time-budget=60000", "--dump-dom", copy.as_uri()],
        capture_output=True, text=True, timeout=180, check=True,
    )  # fmt: skip
    said = re.search(r'<pre id="axe-said">(.*?)</pre>', ran.stdout, re.DOTALL)
    assert said is not None, "axe did not come to an end"
    found: dict[str, Any] = json.loads(html.unescape(said[1]))
    return found


@pytest.mark.parametrize("width", [1280, 500])
@pytest.mark.parametrize("which", ["shared", "internal", "few"])
def test_axe_finds_nothing(reports: dict[str, Path], which: str, width: int, tmp_path: Path) -> None:
    found = seen(reports[which], width, tmp_path)
    assert found["passes"] > 20
    assert found["violations"] == []
    assert found["wide"] <= 0


def test_axe_would_find_something(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        '<!doctype html><html><head><meta http-equiv="Content-Security-Policy" content="x"></head>'
        "<body><img src='x'><p style='color:#bbb'>grey</p></body></html>"
    )
    rules = {rule for rule, *_ in seen(page, 1280, tmp_path)["violations"]}
    assert {"image-alt", "html-has-lang", "color-contrast"} <= rules
