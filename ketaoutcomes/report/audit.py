"""Is a report still what was written? Its files re-hashed against its manifest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ketaoutcomes.report.folder import MANIFEST
from ketaoutcomes.report.record import MANIFEST_SCHEMA


class NotAReport(ValueError):
    """A folder that cannot be checked, and why."""


def manifest_of(folder: str | Path) -> dict[str, Any]:
    """What a report's manifest says. Raises `NotAReport` where there is none of a kind this version reads."""
    path = Path(folder) / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        ours = manifest["package"] == "ketaoutcomes"
    except OSError:
        raise NotAReport(f"{path} cannot be read: give the folder of a report") from None
    except (ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise NotAReport(f"{path} is not the manifest of a report, or was damaged")
    if manifest.get("schema") != MANIFEST_SCHEMA:
        raise NotAReport(
            f"{path} is of schema {_number(manifest.get('schema'))}; this version reads schema "
            f"{MANIFEST_SCHEMA}: check the report with the version of ketaoutcomes that wrote it"
        )
    return dict(manifest)


def is_as_written(folder: str | Path, name: str) -> bool:
    """Whether the manifest vouches for one of a report's files as it stands. Raises `NotAReport`."""
    found = hashlib.sha256((Path(folder) / name).read_bytes()).hexdigest()
    return _vouched(manifest_of(folder), folder).get(name) == found


def follows_another(folder: str | Path) -> bool:
    """Whether a report, whole as `changed_files` finds it, was protected beside an earlier one."""
    content = json.loads((Path(folder) / "results.json").read_bytes())
    return bool(content.get("series", {}).get("steps"))


def followed(folder: str | Path, previous: str | Path | None = None) -> tuple[str, list[str]]:
    """Where the report stands that this one followed, and what is wrong with it, one sentence each.

    It is looked for at `previous` or, where none is named, beside this report. Nothing is wrong where this
    report follows no other or the other is not found; the place is then empty.
    """
    said = manifest_of(folder).get("follows")
    if not isinstance(said, dict):
        return "", []
    day, wanted = str(said.get("as_of")), said.get("manifest_sha256")
    home = Path(folder)
    places = [Path(previous)] if previous is not None else _beside(home)
    for place in places:
        try:
            found = hashlib.sha256((place / MANIFEST).read_bytes()).hexdigest()
        except OSError:
            continue
        if found == wanted:
            changed = [f"the report it follows, {place}: {one}" for one in changed_files(place)]
            return str(place), changed
    if previous is None:
        return "", []
    return "", [
        f"{previous} is not the report that this one followed (as of {day}), or was written anew since"
    ]


def _beside(folder: Path) -> list[Path]:
    """The neighbours of a folder; none where they may not be listed."""
    try:
        return sorted(folder.resolve().parent.iterdir())
    except OSError:
        return []


def changed_files(folder: str | Path) -> list[str]:
    """What of a report is no longer as its manifest has it, one sentence each; nothing where all is.

    The manifest vouches for the other files; nothing vouches for the manifest but its own hash, which a
    reader may have noted elsewhere. Raises `NotAReport`.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> vouched = {"a.txt": {"bytes": 1, "sha256": hashlib.sha256(b"1").hexdigest()}}
    >>> text = json.dumps({"package": "ketaoutcomes", "schema": 1, "outputs": vouched})
    >>> _ = (folder / "manifest.json").write_text(text)
    >>> _ = (folder / "a.txt").write_bytes(b"2")
    >>> changed_files(folder)
    ['a.txt has changed since it was written']
    """
    manifest, home = manifest_of(folder), Path(folder)
    found = []
    vouched = _vouched(manifest, home)
    for name, sha256 in sorted(vouched.items()):
        if Path(name).name != name:
            raise NotAReport(f"{home / MANIFEST} names a file outside its folder")
        try:
            content = (home / name).read_bytes()
        except OSError:
            found.append(f"{name} is missing or cannot be read")
            continue
        if hashlib.sha256(content).hexdigest() != sha256:
            found.append(f"{name} has changed since it was written")
    others = {entry.name for entry in home.iterdir()} - set(vouched) - {MANIFEST}
    return found + [f"{len(others)} file(s) or folder(s) here are not of the report"] * bool(others)


def _vouched(manifest: dict[str, Any], folder: str | Path) -> dict[str, str]:
    """The hash of each of a report's files by its name."""
    try:
        return {str(name): str(one["sha256"]) for name, one in manifest["outputs"].items()}
    except (KeyError, TypeError, AttributeError):
        where = Path(folder) / MANIFEST
        raise NotAReport(f"{where} does not list the report's files, or was damaged") from None


def _number(value: object) -> str:
    return str(value) if isinstance(value, int) else "no number"
