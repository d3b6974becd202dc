"""Running and calling by script, row by row of the catalogue: K (running), L (configuration and calls), I."""

from __future__ import annotations

import ast
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes.cli import main
from ketaoutcomes.disclosure import DisclosureError
from ketaoutcomes.plan import PlanError
from ketaoutcomes.report import meta
from ketaoutcomes.report.folder import FILES, replace_folder
from ketaoutcomes.report.previous import last_report

PACKAGE = Path(ko.__file__).parent
DAYS = ("01-01", "01-04", "01-08", "01-11", "01-15", "01-18", "01-31")


def site_file(folder: Path, site: str, patients: int = 14) -> Path:
    """A site's sessions: each patient from 1 January 2026, six IV doses, scored at each and once later."""
    lines = [
        f"{site}{n},2026-{day},{'' if day == '01-31' else 0.5},mg/kg,iv,{site},{18 - n % 3 * i}\n"
        for n in range(patients)
        for i, day in enumerate(DAYS)
    ]
    path = folder / f"{site}.csv"
    path.write_text("patient,date,dose,unit,route,site,phq9\n" + "".join(lines))
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    site_file(tmp_path, "north")
    site_file(tmp_path, "south")
    return tmp_path


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


ENVIRONMENTS: dict[str, tuple[list[str], dict[str, str], int]] = {
    "hash seed, far time zone, no home, one thread": (
        ["-O", "-W", "error"],
        {"PYTHONHASHSEED": "5", "TZ": "Pacific/Kiritimati", "LC_ALL": "C", "OMP_NUM_THREADS": "1"},
        0o000,
    ),
    "another seed, folder, home and many threads": (
        ["-X", "utf8=0"],
        {"PYTHONHASHSEED": "77", "TZ": "America/New_York", "LANG": "C.UTF-8", "HOME": "/nowhere"}
        | {"OMP_NUM_THREADS": "8", "OPENBLAS_NUM_THREADS": "8", "MPLBACKEND": "svg", "COLUMNS": "40"},
        0o077,
    ),
    "isolated, no environment": (["-I"], {}, 0o027),
}


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """Two sites' files and the report made of them here."""
    place = tmp_path_factory.mktemp("usual")
    inputs = [str(site_file(place, site)) for site in ("north", "south")]
    assert main(["report", *inputs, "--out", str(place / "out"), "-q"]) == 0
    return place, files_of(place / "out")


@pytest.mark.parametrize(
    "name",
    [name if not i else pytest.param(name, marks=pytest.mark.slow) for i, name in enumerate(ENVIRONMENTS)],
)
def test_k01_k02_k09_k11_k12_every_environment_gives_the_same_bytes(
    usual: tuple[Path, dict[str, bytes]], name: str, tmp_path: Path
) -> None:
    flags, environment, umask = ENVIRONMENTS[name]
    place, expected = usual
    code = (
        f"import os, sys; os.umask({umask}); sys.path.insert(0, {str(PACKAGE.parent)!r})\n"
        "from ketaoutcomes.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    inputs = [os.path.relpath(place / site, tmp_path) for site in ("north.csv", "south.csv")]
    ended = subprocess.run(
        [sys.executable, *flags, "-c", code, "report", *inputs, "--out", "out", "-q"],
        cwd=tmp_path, env=environment, capture_output=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    assert sorted(expected) == sorted(FILES)
    found = files_of(tmp_path / "out")
    assert [file for file in expected if found[file] != expected[file]] == []


@cache
def trees() -> list[tuple[str, ast.AST]]:
    return [
        (f"{path.relative_to(PACKAGE)}:{getattr(node, 'lineno', 0)}", node)
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    ]


def nodes(kind: type[ast.AST]) -> Iterator[tuple[str, Any]]:
    return ((place, node) for place, node in trees() if isinstance(node, kind))


def test_k11_no_check_is_an_assert() -> None:
    assert [place for place, _ in nodes(ast.Assert)] == []


def test_k13_nothing_asks_what_time_it_is() -> None:
    clocks = {"now", "today", "utcnow", "localtime", "gmtime", "ctime", "time", "monotonic", "perf_counter"}
    asked = [
        place
        for place, node in nodes(ast.Call)
        if isinstance(node.func, ast.Attribute)
        and node.func.attr in clocks
        and ast.unparse(node.func) != "datetime.time"  # a time of day that was written down
    ]
    # How long work has taken decides only whether a line says so on a terminal.
    assert [place for place in asked if not place.startswith("progress.py:")] == []


def test_k14_a_newer_library_is_one_line(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    newer = meta.versions() | {"pandas": "99.1.0"}
    monkeypatch.setattr(meta, "versions", lambda: newer)
    assert main(["report", "nothing.csv", "--out", "out", "-q"]) == 3
    said = capfd.readouterr().err.splitlines()
    assert said[:2] == [
        "newer than this package was tested with: pandas 99.1.0 (tested up to 3)", "refused:"
    ]  # fmt: skip
    assert meta.untested({"pandas": "3.9.9", "numpy": "2.5"}) == []


@pytest.mark.skipif(os.name == "nt", reason="limits of a process are not Windows'")
def test_k05_a_quota_leaves_the_report_that_was_there(tmp_path: Path) -> None:
    """The system itself refuses bytes beyond 20 kB, as a full disk or a quota does."""
    out = tmp_path / "out"
    vouched = json.dumps({"package": "ketaoutcomes", "outputs": {"a": {}}}).encode()
    replace_folder(out, {"a": b"old", "manifest.json": vouched})
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20480, 20480))\n"
        f"sys.path.insert(0, {str(PACKAGE.parent)!r})\n"
        "from pathlib import Path; from ketaoutcomes.report.folder import CannotWrite, replace_folder\n"
        "try: replace_folder(Path('out'), {'a': b'1' * 30000, 'manifest.json': b''})\n"
        "except CannotWrite as error: print(error)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True)
    assert ended.stdout == b"cannot write the report to out: File too large\n"
    assert files_of(out) == {"a": b"old", "manifest.json": vouched}
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("out", ["/", "x" * 300, "/dev/null/x", "north.csv", "."])
def test_k05_l04_places_that_cannot_hold_a_report(
    here: Path, out: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = files_of(here)
    for more in ([], ["--dry-run"]):
        assert main(["report", "north.csv", "--out", out, *more]) == 6, more
        assert "internal error" not in capfd.readouterr().err
    assert files_of(here) == before


def test_l05_names_are_literal(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here / "home"))
    out = "~ ${HOME} $(id)"
    assert main(["report", "north.csv", "--out", out, "-q"]) == 0
    assert sorted(files_of(here / out)) == sorted(FILES)
    assert not (here / "home").exists()


def test_l07_a_dry_run_writes_nothing_and_refuses_what_the_run_would(
    usual: tuple[Path, dict[str, bytes]], here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = ["report", "north.csv", "south.csv", "--dry-run", "--out"]
    assert main([*asked, "out"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "out would be written: report.html, email.eml, tables.xlsx, results.json, manifest.json" in out
    assert "for readers: shared, protected by cms11" in out
    assert "from south.csv: 98 rows" in out
    assert sorted(path.name for path in here.iterdir()) == ["north.csv", "south.csv"]
    assert main([*asked, str(usual[0] / "out"), "--audience", "internal"]) == 0
    said = capfd.readouterr().out
    assert "out would be replaced" in said
    assert "internal: exact counts, not to be passed on" in said
    assert files_of(usual[0] / "out") == usual[1]
    (here / "bad.csv").write_text("patient,ssn\n1,2\n")
    assert main(["report", "bad.csv", "--out", "out", "--dry-run"]) == 3
    assert main([*asked, "out", "--previous", "nothing"]) == 2
    assert main([*asked, "."]) == 6


def test_l08_json_is_one_document_however_it_ends(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "bad.csv").write_text("patient,ssn\n1,2\n")
    (here / "bad.toml").write_text("[rates]\nlevle = 0.9\n")
    (here / "mine").mkdir()
    (here / "mine" / "results.json").write_text("mine")
    asked = {
        2: ["report", "north.csv", "--out", "out", "--plan", "bad.toml"],
        3: ["report", "bad.csv", "--out", "out"],
        4: ["report", "north.csv", "bad.csv", "--out", "out", "--keep-going"],
        5: ["report", "north.csv", "--out", "out", "--previous", "mine"],
        6: ["report", "north.csv", "--out", "mine"],
    }
    for code, arguments in asked.items():
        assert main([*arguments, "--json"]) == code
        said = json.loads(capfd.readouterr().out)
        assert (said["schema"], said["exit_code"]) == (1, code)
    assert main(["report", "north.csv", "--no-such-thing", "--json"]) == 2
    assert json.loads(capfd.readouterr().out)["exit_code"] == 2
    for arguments, code in ((["out"], 0), (["mine"], 3)):
        assert main(["verify", *arguments, "--json"]) == code
        said = json.loads(capfd.readouterr().out)
        assert said.get("as_written", False) is (code == 0)


def test_k17_k18_a_report_follows_only_what_is_whole_and_of_its_schema(
    usual: tuple[Path, dict[str, bytes]], here: Path
) -> None:
    first = here / "first"
    shutil.copytree(usual[0] / "out", first)
    results, manifest = first / "results.json", first / "manifest.json"
    whole, vouched = results.read_bytes(), manifest.read_bytes()
    content = json.loads(whole)
    assert last_report(first).tallies.keys() == content["tallies"].keys()
    results.write_text(json.dumps(content | {"schema": 99}))
    with pytest.raises(DisclosureError, match="is of schema 99; this version reads and writes schema 1"):
        last_report(first)
    results.write_text(json.dumps(content | {"title": "another"}))
    with pytest.raises(DisclosureError, match="is not as the report's manifest has it"):
        last_report(first)
    results.write_bytes(whole)
    manifest.write_text(json.dumps(json.loads(vouched) | {"schema": 0}))
    with pytest.raises(DisclosureError, match="is of schema 0; this version reads schema 1"):
        last_report(first)


def test_k18_a_report_is_checked_beside_the_one_it_follows(
    usual: tuple[Path, dict[str, bytes]], here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first, inputs = str(usual[0] / "out"), ["north.csv", "south.csv"]
    assert main(["report", *inputs, "--out", "second", "-q", "--previous", first]) == 0
    assert main(["verify", "second", *inputs]) == 3
    assert "the report follows an earlier one: name its folder, --previous" in capfd.readouterr().err
    assert main(["verify", first, *inputs, "--previous", "second"]) == 3
    assert "the report follows no other: leave it out, --previous" in capfd.readouterr().err


def test_i11_dates_are_said_to_make_a_limited_data_set(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """45 CFR 164.514(b)(2)(i)(C): with full dates records are not de-identified by Safe Harbor."""
    assert main(["check", "north.csv"]) == 0
    assert "limited data set" in capfd.readouterr().out
    text = (here / "north.csv").read_text()
    for old, new in {day: str(i) for i, day in enumerate(DAYS)}.items():
        text = text.replace(f"2026-{old}", new)
    (here / "days.csv").write_text(text.replace("date", "day"))
    assert main(["check", "days.csv"]) == 0
    assert "limited data set" not in capfd.readouterr().out


def test_i15_nothing_knows_the_network() -> None:
    known = {"urllib", "http", "socket", "ssl", "ftplib", "smtplib", "requests", "httpx", "aiohttp"}
    found = {alias.name.partition(".")[0] for _, node in nodes(ast.Import) for alias in node.names}
    found |= {(node.module or "").partition(".")[0] for _, node in nodes(ast.ImportFrom) if not node.level}
    assert "numpy" in found
    assert not found & known


@pytest.mark.skipif(os.name == "nt", reason="rights of files are not Windows'")
def test_i15_i16_no_network_nobody_else_may_read_and_nothing_is_left_behind(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("the network was reached for")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    (here / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(here / "tmp"))
    before = os.umask(0)
    try:
        assert main(["report", "north.csv", "--out", "out", "-q"]) == 0
        assert main(["verify", "out", "north.csv", "-q"]) == 0
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o077 for path in [here / "out", *(here / "out").iterdir()]} == {0}
    assert list((here / "tmp").iterdir()) == []


def test_l10_what_cannot_be_meant_is_an_error_of_its_own_type() -> None:
    with pytest.raises(PlanError, match="level"):
        ko.Plan(rates={"level": float("nan")})
    study = ko.Study(ko.load_sample(), as_of="2026-10")
    pd.testing.assert_frame_equal(
        study.rates(at="end", by=["site"], analysis=["nri", "observed"]),
        study.rates(at="end", by=("site",), analysis=(one for one in ("nri", "observed"))),
    )
