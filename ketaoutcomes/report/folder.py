"""A folder of files, written whole or not at all.

The new set is built beside the old one, made durable, and swapped in by renaming, so nobody ever sees half of
one. A run killed between the two renames leaves the old set whole under a neighbouring name, and the next run
puts it back. Files that are not ours are never deleted.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MANIFEST = "manifest.json"
FILES = ("report.html", "email.eml", "tables.xlsx", "results.json", MANIFEST)
"""What a report consists of."""
PDF = "report.pdf"  # where it is asked for

_HELD: set[Path] = set()  # by this very process, which may write within what it holds


class CannotWrite(OSError):
    """The report could not be written; the folder is as it was before."""


@contextmanager
def hold(out: str | Path) -> Iterator[None]:
    """Keep a folder for this run: a second run meanwhile raises `CannotWrite` with the first one's number.

    The system lets go of it when a run ends, however it ends. Where the system has no such locks (Windows),
    and where the folder's parent is not there yet, nothing is held.
    """
    home = _home(out)
    if fcntl is None or home in _HELD or not home.parent.is_dir():
        yield
        return
    path = home.with_name(f".{home.name}.lock")
    try:
        handle = _lock(path, home.name)
    except OSError as error:
        if isinstance(error, CannotWrite):
            raise
        raise CannotWrite(f"cannot write the report to {out}: {error.strerror or 'refused'}") from None
    _HELD.add(home)
    try:
        yield
    finally:
        _HELD.discard(home)
        path.unlink(missing_ok=True)
        os.close(handle)


def _home(out: str | Path) -> Path:
    try:
        home = Path(os.path.realpath(out))
    except ValueError:  # a NUL character
        raise CannotWrite("no folder can have this name: choose another --out") from None
    if not home.name:
        raise CannotWrite("the root of a file system cannot hold a report: choose a folder with --out")
    return home


def refuse(out: str | Path, names: Iterable[str], *, force: bool = False) -> None:
    """Raise `CannotWrite` where a report of these files could not go to a folder; write nothing."""
    home = _home(out)
    try:
        _refuse_foreign(home, set(names), force)
        there = next(parent for parent in home.parents if parent.exists())
    except CannotWrite:
        raise
    except OSError as error:
        raise CannotWrite(f"cannot write the report to {out}: {error.strerror or 'refused'}") from None
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise CannotWrite(f"cannot write the report to {out}: nothing may be written in {there}")


def _lock(path: Path, name: str) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            by = os.read(handle, 20).decode("ascii", "ignore") or "another process"
            os.close(handle)
            raise CannotWrite(
                f"the folder {name} is being written by process {by}: try again later"
            ) from None
        except OSError:
            return handle  # a file system without locks: better a report than none
        # The file that was locked may have been removed by the run that held it before.
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(handle).st_ino:
                os.ftruncate(handle, 0)
                os.write(handle, str(os.getpid()).encode())
                return handle
        os.close(handle)


def written(out: str | Path) -> tuple[int, int] | None:
    """What tells one writing of a folder's set from the next; None where there is none."""
    try:
        found = (Path(out) / MANIFEST).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def replace_folder(out: Path, files: Mapping[str, bytes], *, force: bool = False) -> list[Path]:
    """Make `out` hold exactly `files` (name to bytes), atomically, and return their paths.

    A folder that holds anything not listed in its own manifest is refused; with `force` such files are kept
    beside the new ones. A folder that already holds these very bytes is left untouched.

    Raises `CannotWrite` when the folder is refused or the file system does not let us.

    >>> folder = Path(tempfile.mkdtemp()) / "report"
    >>> [path.name for path in replace_folder(folder, {"a.txt": b"1", "manifest.json": b"{}"})]
    ['a.txt', 'manifest.json']
    >>> (folder / "a.txt").read_bytes()
    b'1'
    """
    home = _home(out)
    aside = home.with_name(f".{home.name}.previous")
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with hold(home):
            _recover(home, aside)
            _refuse_foreign(home, set(files), force)
            if not _holds(home, files):
                _swap(home, aside, files)
    except CannotWrite:
        raise
    except OSError as error:
        raise CannotWrite(f"cannot write the report to {out}: {error.strerror or 'refused'}") from None
    return [Path(out) / name for name in files]


def _swap(home: Path, aside: Path, files: Mapping[str, bytes]) -> None:
    fresh = Path(tempfile.mkdtemp(prefix=f".{home.name}.writing-", dir=home.parent))
    try:
        for name, content in files.items():
            _write(fresh / name, content)
        if home.exists():
            fresh.chmod(stat.S_IMODE(home.stat().st_mode))
        _flush(fresh)
        if home.exists():
            home.rename(aside)
        fresh.rename(home)
        _flush(home.parent)
        _clear(aside, home)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        _recover(home, aside)


def _recover(home: Path, aside: Path) -> None:
    """Finish what an interrupted run left: put the old set back, or clear it away once the new one stands."""
    if not aside.exists():
        return
    if home.exists():
        _clear(aside, home)
    else:
        aside.rename(home)


def _clear(aside: Path, home: Path) -> None:
    """Remove the old set; what in it is not ours moves into the new folder instead."""
    if not aside.exists():
        return
    ours = _ours(aside)
    # The manifest goes last: a run killed here must still tell its own files from those of others.
    for entry in sorted(aside.iterdir(), key=lambda entry: (entry.name == MANIFEST, entry.name)):
        if entry.name in ours and not entry.is_dir():
            entry.unlink()
        elif not (home / entry.name).exists():
            entry.rename(home / entry.name)
    # Something of the same name in both folders is kept where it is rather than lost.
    with suppress(OSError):
        aside.rmdir()


def _refuse_foreign(home: Path, names: set[str], force: bool) -> None:
    if not home.exists():
        return
    if not home.is_dir():
        raise CannotWrite(f"{home.name} is a file, not a folder: choose another --out")
    ours = _ours(home)
    foreign = {entry.name for entry in home.iterdir() if entry.name not in ours}
    if foreign & names:
        raise CannotWrite(
            f"the folder {home.name} holds {', '.join(sorted(foreign & names))} that no report wrote: "
            "move it away, or choose another --out"
        )
    if foreign and not force:
        raise CannotWrite(
            f"the folder {home.name} holds {len(foreign)} file(s) or folder(s) that no report wrote: "
            "choose an empty or new folder with --out, or keep them beside the report with --force"
        )


def _ours(folder: Path) -> set[str]:
    """The names a report wrote into this folder, by its own manifest."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        return {MANIFEST, *map(str, manifest["outputs"])} if manifest["package"] == "ketaoutcomes" else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _holds(home: Path, files: Mapping[str, bytes]) -> bool:
    return all(
        (home / name).is_file() and (home / name).read_bytes() == content for name, content in files.items()
    )


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    # Windows cannot open a folder; there the rename itself is all that can be asked for.
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
