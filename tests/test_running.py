"""Running by script: one run at a time, nothing done twice, one bad file among many, checking afterwards."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ketaoutcomes
from ketaoutcomes.cli import main
from ketaoutcomes.report.folder import hold

HEADER = "patient,date,dose,unit,route,site,phq9,phq9_9\n"
CANARY = "CANARY-7319"
HOME = str(Path(ketaoutcomes.__file__).parent.parent)  # for processes that start where it is not installed


def site_file(folder: Path, site: str, patients: int = 14, canary: str = "") -> Path:
    """A site's sessions: each patient from 1 January 2026, six IV doses, scored at each and later."""
    days = ("01-01", "01-04", "01-08", "01-11", "01-15", "01-18", "01-31")
    lines = [
        f"{canary}{site}{n},2026-{day},{'' if day == '01-31' else 0.5},mg/kg,iv,{site},{18 - n % 3 * i},0\n"
        for n in range(patients)
        for i, day in enumerate(days)
    ]
    path = folder / f"{site}.csv"
    path.write_text(HEADER.replace(",phq9_9", ",item") + "".join(lines))
    (folder / "plan.toml").write_text('[columns]\ndrop = ["item"]\n')
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def report(*inputs: Path, out: str = "out", more: tuple[str, ...] = ()) -> list[str]:
    return ["report", *map(str, inputs), "--plan", "plan.toml", "--out", out, *more]


def test_a_second_run_finds_everything_up_to_date(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = site_file(here, "north")
    assert main(report(file)) == 0
    assert "wrote out/report.html" in capfd.readouterr().err
    before = {path.name: path.stat().st_mtime_ns for path in (here / "out").iterdir()}
    assert main(report(file)) == 0
    assert "out is up to date" in capfd.readouterr().err
    assert {path.name: path.stat().st_mtime_ns for path in (here / "out").iterdir()} == before
    site_file(here, "north", patients=15)
    assert main(report(file)) == 0
    assert "wrote out/report.html" in capfd.readouterr().err


def test_two_runs_at_once(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = site_file(here, "north")
    other = subprocess.Popen(
        [sys.executable, "-c", "import sys, ketaoutcomes.report.folder as f\n"
         "with f.hold('out'):\n    print('held', flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=here, env={**os.environ, "PYTHONPATH": HOME},
    )  # fmt: skip
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    assert main(report(file)) == 6
    assert f"being written by process {other.pid}" in capfd.readouterr().err
    other.kill()
    other.communicate()
    assert (here / ".out.lock").exists(), "a killed run leaves its lock behind, held by nobody"
    assert main(report(file)) == 0
    assert not (here / ".out.lock").exists()


def test_a_folder_is_held_once_and_let_go(here: Path) -> None:
    with hold("out"), hold(here / "out"):
        assert (here / ".out.lock").read_text() == str(os.getpid())
    assert not (here / ".out.lock").exists()


def test_one_bad_file_among_many(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    good = [site_file(here, "north"), site_file(here, "south")]
    bad = here / "west.csv"
    bad.write_text("patient,ssn\n1,2\n")
    assert main(report(*good, bad)) == 3
    assert not (here / "out").exists()
    capfd.readouterr()
    assert main(report(*good, bad, more=("--keep-going",))) == 4
    assert "refused and left out: west.csv" in capfd.readouterr().err
    manifest = json.loads((here / "out" / "manifest.json").read_text())
    assert manifest["left_out"] == ["west.csv"]
    assert [one["name"] for one in manifest["inputs"]] == ["north.csv", "south.csv"]
    assert main(report(bad, more=("--keep-going",), out="none")) == 3
    assert not (here / "none").exists()


def test_nothing_is_left_out_where_scores_come_in_a_file_apart(here: Path) -> None:
    doses, scores, bad = here / "doses.csv", here / "scores.csv", here / "bad.csv"
    doses.write_text("patient,day,dose,route\na,0,1,iv\n")
    scores.write_text("patient,day,phq9\na,0,18\n")
    bad.write_text("patient,ssn\n1,2\n")
    site_file(here, "north")
    assert main(report(doses, scores, bad, more=("--keep-going",))) == 3


def test_a_changed_byte_is_found(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(report(site_file(here, "north")))
    assert main(["verify", "out"]) == 0
    page = here / "out" / "report.html"
    text = page.read_bytes()
    page.write_bytes(text.replace(b"north", b"North", 1) + b" ")
    capfd.readouterr()
    assert main(["verify", "out"]) == 3
    assert "report.html has changed" in capfd.readouterr().err
    page.unlink()
    assert main(["verify", "out"]) == 3
    assert "report.html is missing" in capfd.readouterr().err
    page.write_bytes(text)
    (here / "out" / "notes.txt").write_text("mine")
    assert main(["verify", "out"]) == 3
    assert "1 file(s) or folder(s) here are not of the report" in capfd.readouterr().err


@pytest.mark.parametrize(
    "manifest",
    [None, "", "{}", '{"package": "other"}', '{"package": "ketaoutcomes", "schema": 99}',
     '{"package": "ketaoutcomes", "schema": 1}',
     '{"package": "ketaoutcomes", "schema": 1, "outputs": {"../x": {"sha256": ""}}}'],
)  # fmt: skip
def test_what_is_no_report_cannot_be_verified(
    here: Path, manifest: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "out").mkdir()
    if manifest is not None:
        (here / "out" / "manifest.json").write_text(manifest)
    assert main(["verify", "out"]) == 3
    assert "Traceback" not in capfd.readouterr().err


def test_computed_again_from_the_inputs(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = site_file(here, "north")
    main(report(file))
    assert main(["verify", "out", str(file), "--plan", "plan.toml"]) == 0
    assert "the inputs give the same report again" in capfd.readouterr().err
    other = site_file(here, "south")
    assert main(["verify", "out", str(other), "--plan", "plan.toml"]) == 3
    assert "not the input files" in capfd.readouterr().err
    (here / "plan.toml").write_text('[columns]\ndrop = ["item"]\n[rates]\nlevel = 0.9\n')
    assert main(["verify", "out", str(file), "--plan", "plan.toml"]) == 3
    assert "not the plan" in capfd.readouterr().err


def test_the_worklist_is_csv_on_stdout_and_its_warning_beside_it(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = site_file(here, "north")
    assert main(["worklist", str(file), "--plan", "plan.toml", "--as-of", "2026-02-02"]) == 0
    out, err = capfd.readouterr()
    assert out.splitlines()[0].startswith("patient,course,site,protocol,instrument,reason")
    assert "not_improved" in out
    assert "not_improved" not in err
    assert "Not an alert" in err
    assert main(["worklist", str(file), "--plan", "plan.toml", "--json", "-q"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["schema"] == 1
    assert err == ""


def test_a_patients_code_is_never_a_formula(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = site_file(here, "north", canary="=")
    assert main(["worklist", str(file), "--plan", "plan.toml", "--as-of", "2026-02-02"]) == 0
    assert all(line.startswith("'=") for line in capfd.readouterr().out.splitlines()[1:])


def test_only_the_worklist_names_patients(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = site_file(here, "north", canary=CANARY)
    main(report(file))
    main(["verify", "out", str(file), "--plan", "plan.toml"])
    assert CANARY not in "".join(capfd.readouterr())
    assert not any(CANARY.encode() in path.read_bytes() for path in (here / "out").iterdir())


def test_cron_has_no_home_and_no_terminal(here: Path) -> None:
    file = site_file(here, "north")
    ended = subprocess.run(
        [sys.executable, "-m", "ketaoutcomes.cli", *report(file)],
        cwd=here, env={"PYTHONPATH": HOME, "LC_ALL": "C"}, capture_output=True, stdin=subprocess.DEVNULL,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == b""
    assert ended.stderr == b"wrote out/report.html, as of 2026-01-31\n"
    assert b"\x1b" not in ended.stderr


@pytest.mark.slow
def test_killed_at_any_moment_the_folder_is_whole(here: Path) -> None:
    """Fifty runs, each killed at a random moment of its life: every file agrees with its manifest, always."""
    file = site_file(here, "north")
    command = [sys.executable, "-m", "ketaoutcomes.cli", *report(file)]
    started = time.monotonic()
    subprocess.run(command, cwd=here, check=True, capture_output=True)
    whole, rng = time.monotonic() - started, random.Random(1)
    for n in range(50):
        site_file(here, "north", patients=15 + n)
        run = subprocess.Popen(command, cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(whole * rng.uniform(0.5, 1.05))
        run.send_signal(signal.SIGKILL)
        run.wait()
        if not (here / "out").exists():  # killed between the two renames: the old set stands beside
            assert (here / ".out.previous").exists()
            (here / ".out.previous").rename(here / "out")
        assert main(["verify", "out", "-q"]) == 0
