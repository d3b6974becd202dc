"""What the README tells a newcomer to type is typed here, and does what it says."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

import ketaoutcomes as ko
from ketaoutcomes import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOT_RUN = {"pip install .", "pip install '.[test]'", "pytest"}


def typed() -> list[str]:
    """Every command of the README, one by one and without the comment behind it."""
    blocks = re.findall(r"^```console\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    lines = [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [command.strip() for line in lines for command in line.split("&&")]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the README speaks of: the sample (its first 40 people), and a file of one's own."""
    whole = (ROOT / "data" / "sample" / "sessions.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    few = "".join([whole[0], *(line for line in whole[1:] if line < "P0041")])
    (tmp_path / "data" / "sample").mkdir(parents=True)
    for name in ("data/sample/sessions.csv", "visits.csv"):
        (tmp_path / name).write_text(few, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_of_the_readme_runs(checkout: Path, capfd: pytest.CaptureFixture[str]) -> None:
    commands = typed()
    ours = [command for command in commands if command not in NOT_RUN]
    assert set(commands) - set(ours) == NOT_RUN
    assert len(ours) == 5
    for command in ours:
        name, *arguments = shlex.split(command)
        assert name == "ketaoutcomes"
        # One report is drawn; of the second everything but the drawing is done.
        rehearsed = ["--dry-run"] if "--month" in arguments else []
        assert cli.main([*arguments, *rehearsed]) == 0, (command, capfd.readouterr().err)
    written = {path.name for path in (checkout / "report").iterdir()}
    said = re.findall(r"`(?:report/)?([\w.]+)`", README.partition("writes ")[2].partition("To run")[0])
    assert set(said) == written
    out = capfd.readouterr().out
    assert "reports/2026-10 would be written" in out
    assert "as of 2026-10-31" in out
    assert "D04: " in out


def test_the_readmes_extras_and_notebooks_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(re.findall(r"'\.\[(\w+)\]'", README)) <= set(project["optional-dependencies"])
    named = set(re.findall(r"\(notebooks/([\w-]+\.ipynb)\)", README))
    assert named == {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert f"version {ko.__version__}" in README
    assert project["requires-python"].removeprefix(">=") in README


def test_the_readmes_example_is_twelve_lines() -> None:
    example = README.partition("## In a notebook\n\n```python\n")[2].partition("```")[0]
    assert len(re.findall(r"^>>> ", example, re.MULTILINE)) <= 12
    assert f"`{ko.load_sample().plan.hash[:12]}`" in README
