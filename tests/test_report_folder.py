"""A report's folder is the whole old set or the whole new one, whatever happens while it is written."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ketaoutcomes.report import CannotWrite
from ketaoutcomes.report.folder import replace_folder


def report(text: str, *names: str) -> dict[str, bytes]:
    files = {name: f"{name}: {text}".encode() for name in (names or ("report.html", "tables.xlsx"))}
    manifest = json.dumps({"package": "ketaoutcomes", "outputs": {name: {} for name in files}}).encode()
    return files | {"manifest.json": manifest}


def held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def beside(folder: Path) -> list[str]:
    return [path.name for path in folder.parent.iterdir() if path != folder]


def test_a_new_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    out = tmp_path / "reports" / "2026-10"
    assert replace_folder(out, report("a")) == [out / name for name in report("a")]
    assert held(out) == report("a")
    assert beside(out) == []


def test_a_later_report_replaces_the_whole_set(tmp_path: Path) -> None:
    out = tmp_path / "report"
    replace_folder(out, report("a", "report.html", "old.csv"))
    replace_folder(out, report("b"))
    assert held(out) == report("b")
    assert beside(out) == []


def test_unchanged_files_are_not_written_again(tmp_path: Path) -> None:
    out = tmp_path / "report"
    replace_folder(out, report("a"))
    before = {path.name: path.stat().st_ino for path in out.iterdir()}
    replace_folder(out, report("a"))
    assert {path.name: path.stat().st_ino for path in out.iterdir()} == before


@pytest.mark.parametrize("foreign", ["notes.txt", "folder"])
def test_a_folder_with_files_of_others_is_refused(tmp_path: Path, foreign: str) -> None:
    out = tmp_path / "report"
    out.mkdir()
    (out / foreign).mkdir() if foreign == "folder" else (out / foreign).write_text("mine")
    with pytest.raises(
        CannotWrite, match=r"report holds 1 file\(s\) or folder\(s\) that no report wrote.*--force"
    ):
        replace_folder(out, report("a"))
    assert [path.name for path in out.iterdir()] == [foreign]


def test_force_keeps_the_files_of_others_beside_the_report(tmp_path: Path) -> None:
    out = tmp_path / "report"
    (out / "folder").mkdir(parents=True)
    (out / "folder" / "deep.txt").write_text("mine")
    (out / "notes.txt").write_text("mine")
    replace_folder(out, report("a"), force=True)
    assert (out / "folder" / "deep.txt").read_text() == "mine"
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / "report.html").read_bytes() == report("a")["report.html"]
    assert beside(out) == []


def test_another_programs_manifest_does_not_make_its_files_ours(tmp_path: Path) -> None:
    out = tmp_path / "report"
    out.mkdir()
    (out / "manifest.json").write_text('{"outputs": {"app.js": {}}}')
    (out / "app.js").write_text("theirs")
    for force in (False, True):
        with pytest.raises(CannotWrite, match=r"holds manifest.json that no report wrote: move it away"):
            replace_folder(out, report("a"), force=force)
    assert (out / "app.js").read_text() == "theirs"


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "report"
    out.write_text("a file")
    with pytest.raises(CannotWrite, match="is a file, not a folder"):
        replace_folder(out, report("a"))
    assert out.read_text() == "a file"


def failing_at(turn: int, real: Callable[..., object]) -> Callable[..., object]:
    calls = iter(range(1000))

    def call(*args: object, **kwargs: object) -> object:
        if next(calls) == turn:
            raise OSError(28, "No space left on device")
        return real(*args, **kwargs)

    return call


@pytest.mark.parametrize(("what", "turns"), [("fsync", 4), ("rename", 2)])
def test_a_full_disk_leaves_the_old_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, turns: int
) -> None:
    out = tmp_path / "report"
    replace_folder(out, report("a"))
    owner: object = os if what == "fsync" else Path
    real = getattr(owner, what)
    for turn in range(turns):
        with monkeypatch.context() as patch:
            patch.setattr(owner, what, failing_at(turn, real))
            with pytest.raises(CannotWrite, match="No space left on device"):
                replace_folder(out, report("b"))
        assert held(out) == report("a")
        assert beside(out) == []


STEPS = ((os, "fsync"), (Path, "rename"), (Path, "unlink"), (Path, "rmdir"))


def killed_at(turn: int, out: Path) -> bool:
    """Replace the report in a child process that dies, without any cleaning up, before its n-th step."""
    child = os.fork()
    if not child:
        calls = iter(range(1000))

        def dying(real: Callable[..., object]) -> Callable[..., object]:
            def call(*args: object, **kwargs: object) -> object:
                if next(calls) == turn:
                    os._exit(9)
                return real(*args, **kwargs)

            return call

        for owner, what in STEPS:
            setattr(owner, what, dying(getattr(owner, what)))
        replace_folder(out, report("b"))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a child process made by fork")
def test_a_run_killed_at_any_step_leaves_a_whole_report(tmp_path: Path) -> None:
    for turn in range(20):
        out = tmp_path / str(turn) / "report"
        replace_folder(out, report("a"))
        killed = killed_at(turn, out)
        left = out if out.exists() else out.with_name(".report.previous")
        assert held(left) in (report("a"), report("b"))
        replace_folder(out, report("c"))
        assert held(out) == report("c")
        assert not out.with_name(".report.previous").exists()
        if not killed:
            assert turn > 8  # every step has had its turn
            return
    pytest.fail("the run was killed at every step tried")


def test_a_run_stopped_between_the_two_renames_is_put_right_by_the_next(tmp_path: Path) -> None:
    out = tmp_path / "report"
    replace_folder(out, report("a"))
    out.rename(tmp_path / ".report.previous")
    replace_folder(out, report("b"))
    assert held(out) == report("b")
    assert beside(out) == []


def test_a_run_stopped_before_it_cleared_away_is_put_right_by_the_next(tmp_path: Path) -> None:
    out, previous = tmp_path / "report", tmp_path / ".report.previous"
    replace_folder(previous, report("a"))
    (previous / "notes.txt").write_text("mine")
    replace_folder(out, report("b"), force=True)
    assert held(out) == report("b") | {"notes.txt": b"mine"}
    assert beside(out) == []


def test_a_key_press_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "report"
    replace_folder(out, report("a"))

    def stop(handle: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", stop)
        with pytest.raises(KeyboardInterrupt):
            replace_folder(out, report("b"))
    assert held(out) == report("a")
    assert beside(out) == []


def test_the_folder_keeps_the_rights_it_had(tmp_path: Path) -> None:
    out = tmp_path / "report"
    replace_folder(out, report("a"))
    out.chmod(0o750)
    replace_folder(out, report("b"))
    assert stat.S_IMODE(out.stat().st_mode) == 0o750


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "latest"
    link.symlink_to(tmp_path / "real")
    replace_folder(link, report("a"))
    assert link.is_symlink()
    assert held(tmp_path / "real") == report("a")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="a superuser may write anywhere")
def test_a_read_only_place_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(CannotWrite, match="Permission denied"):
            replace_folder(tmp_path / "report", report("a"))
    finally:
        tmp_path.chmod(0o700)
