"""Reading a plan from TOML: every mistake at once, each with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path as FilePath
from typing import Any

from ketaoutcomes.plan.keys import Fault, Place, PlanError, echo, elsewhere, is_list, nearest
from ketaoutcomes.plan.lines import key_lines, line_of
from ketaoutcomes.plan.model import SECTIONS, Plan

SCHEMA = 1
LARGEST = 1_000_000


def read_plan(path: str | FilePath) -> Plan:
    """The plan written in a TOML file. `folders` in it are relative to the file.

    Raises PlanError listing every mistake with its line, also where the file cannot be read.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder) / "plan.toml"
    ...     _ = file.write_text("[baseline]\\nwithin_days = 28\\n", encoding="utf-8")
    ...     ko.read_plan(file).baseline.within_days
    28
    """
    file = FilePath(path)
    try:
        if not file.is_file():
            raise PlanError(lines=[f"{file.name}: {'is not a file' if file.exists() else 'no such file'}"])
        if file.stat().st_size > LARGEST:
            raise PlanError(lines=[f"{file.name}: is too large for a plan (more than {LARGEST:,} bytes)"])
        content = file.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, PlanError):
            raise
        raise PlanError(
            lines=[f"{file.name}: cannot be read ({getattr(error, 'strerror', None) or 'bad path'})"]
        ) from None
    return parse_plan(_decoded(content, file.name), file.name, file.absolute().parent)


def parse_plan(text: str, name: str = "plan.toml", folder: str | FilePath | None = None) -> Plan:
    """The plan written in TOML text; `name` stands in messages, relative `folders` are taken from `folder`.

    >>> parse_plan('[rates]\\nlevel = "high"')
    Traceback (most recent call last):
    ketaoutcomes.plan.keys.PlanError: plan.toml line 2: [rates] level must be between 0.5 and 0.999; got text
    """
    table = _toml(text, name)
    faults: list[Fault] = []
    _check_schema(table, faults)
    known = ["schema", "folders", "protocol", *SECTIONS]
    for key in table:
        if key not in known:
            hint = elsewhere(key) or nearest(key, known, listing=True)
            Place((key,), faults).refuse(f"is not a key of the plan{hint}")
    values: dict[str, Any] = {key: value for key, value in table.items() if key in known and key != "schema"}
    if folder is not None and is_list(values.get("folders")):
        # Joined as written: "~" and "$HOME" are names like any other, so a plan means the same everywhere.
        root = FilePath(folder).absolute()
        values["folders"] = [
            str(root / part) if isinstance(part, str) and part else part for part in values["folders"]
        ]
    try:
        plan = Plan(**values)
    except PlanError as error:
        faults.extend(error.faults)
    if faults:
        lines = key_lines(text)
        placed = sorted(((line_of(lines, fault.path), fault) for fault in faults), key=lambda pair: pair[0])
        raise PlanError(
            [fault for _, fault in placed],
            lines=[f"{name} line {line}: {fault.text()}" for line, fault in placed],
        )
    return plan


def _check_schema(table: Mapping[str, Any], faults: list[Fault]) -> None:
    found = table.get("schema", SCHEMA)
    if isinstance(found, bool) or found != SCHEMA:
        Place(("schema",), faults).refuse(
            f"must be {SCHEMA}, the only one this version reads; got {echo(found)}"
        )


def _decoded(content: bytes, name: str) -> str:
    """The text of a plan file, UTF-8 as TOML wants it, without the byte-order mark some editors write."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise PlanError(lines=[f"{name} line 1: is UTF-16 text; save the plan as UTF-8"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PlanError(lines=[f"{name} line {line}: is not UTF-8 text; save the plan as UTF-8"]) from None


_PLAINLY = {
    "Cannot overwrite": "this key is already given above",
    "Cannot declare": "this table is already given above",
    "Cannot mutate": "this table is already given above",
    "Cannot redefine": "this table is already given above",
    "Duplicate": "a key is given twice in this table",
    "Invalid value": "this is no value (text needs quotes)",
    "Expected newline": "one line holds one key; something follows its value",
    "Unescaped": "a backslash in quotes must be doubled, or use 'single quotes'",
}
_WHERE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def _plainly(said: str) -> str:
    """The parser's complaint without what it quotes: in a value map that may be a patient's."""
    for start, words in _PLAINLY.items():
        if said.startswith(start):
            return words
    plain = re.sub(r"\s*('(?!(=|\]|\]\])').*'|\(.*\))", "", said)
    return plain[:1].lower() + plain[1:]


def _toml(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        found = _WHERE.search(said)
        line = int(found[1]) if found and found[1] else text.rstrip().count("\n") + 1
        raise PlanError(
            lines=[f"{name} line {line}: is not TOML: {_plainly(_WHERE.sub('', said))}"]
        ) from None
    except RecursionError:
        raise PlanError(lines=[f"{name}: is nested too deeply for a plan"]) from None
    except (ValueError, ArithmeticError):
        raise PlanError(lines=[f"{name}: holds a number that cannot be read"]) from None
