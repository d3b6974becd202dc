"""The header of a file: which delimiter it is written with, which line it is, and what its names mean."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from ketaoutcomes.intake.findings import Findings, Stop, listed

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
MOST_COLUMNS = 2000
SAMPLED_LINES = 50
_NUMBER_OR_DATE = re.compile(r"[+-]?[0-9][0-9.,:/ T-]*|.*@.*")
_JOINTS = re.compile(r"[\s\-.]+|_+")


def normal(name: str) -> str:
    """A header as it is compared: compatibility form, no invisible characters, small letters, joints as `_`.

    >>> normal(" Target\\u00a0Dose\\u200b"), normal("PHQ9-1")
    ('target_dose', 'phq9_1')
    """
    plain = unicodedata.normalize("NFKC", name)
    plain = "".join(c for c in plain if unicodedata.category(c) not in ("Cf", "Cc") or c in "\t\n\r")
    return _JOINTS.sub("_", plain.strip().casefold()).strip("_")


def shown(name: str, position: int) -> str:
    """A header as messages name it; by its position (from 1) where the text might be a cell's value.

    >>> shown("Dose", 2), shown("2024-05-01", 2)
    ('Dose', 'number 3')
    """
    plain = "".join(c for c in name.strip() if unicodedata.category(c)[0] != "C")
    return (
        f"number {position + 1}"
        if not plain or len(plain) > 60 or _NUMBER_OR_DATE.fullmatch(plain)
        else plain
    )


@dataclass(frozen=True)
class Header:
    """The names of a file's columns as they stand in it, and as they are compared."""

    raw: tuple[str, ...]
    row: int

    @property
    def names(self) -> tuple[str, ...]:
        """Every name as it is compared; blank where a column has none."""
        return tuple(normal(name) for name in self.raw)

    def find(self, name: str) -> int | None:
        """The position of a column by its name: exactly as written, else as compared."""
        exact = [i for i, raw in enumerate(self.raw) if raw == name or raw.strip() == name.strip()]
        if exact:
            return exact[0]
        alike = [i for i, other in enumerate(self.names) if other and other == normal(name)]
        return alike[0] if alike else None

    def show(self, position: int) -> str:
        """A column as messages name it."""
        return shown(self.raw[position], position)


def lines_outside_quotes(text: str, limit: int = SAMPLED_LINES) -> Iterator[str]:
    """The first lines of a text, a line end inside quotation marks not ending one."""
    start, inside, given = 0, False, 0
    for at, character in enumerate(text):
        if character == '"':
            inside = not inside
        elif character == "\n" and not inside:
            yield text[start:at]
            start, given = at + 1, given + 1
            if given == limit:
                return
    if start < len(text):
        yield text[start:]


def delimiter_of(sample: bytes, complete: bool, declared: str | None, tabs: bool) -> str:
    """The delimiter to read by: the declared one, else the comma.

    Raises `Stop`, naming the delimiter found, where the file looks otherwise.
    """
    if declared:
        return declared
    if tabs:
        return "\t"
    lines = [line for line in lines_outside_quotes(sample.decode("utf-8", "ignore")) if line.strip()]
    if not complete and len(lines) > 1:
        lines = lines[:-1]
    regular = {mark: _regularity([_outside(line, mark) for line in lines]) for mark in DELIMITERS}
    found = max(regular, key=lambda mark: regular[mark])  # of equals the first, the comma
    if found == "," or not regular[found]:
        return ","
    comma = found == ";" and regular[","] > 0
    setting: dict[str, Any] = {"delimiter": found} | ({"decimal": ","} if comma else {})
    lines_to_write = f'delimiter = "{found}"'.replace("\t", "\\t") + (' and decimal = ","' if comma else "")
    message = f"cells are separated by a {DELIMITERS[found]}; write under [columns]: {lines_to_write}"
    raise Stop("A10" if found == "\t" else "A09", message, row=1, setting=setting)


def _regularity(counts: list[int]) -> int:
    """In how many lines a mark stands as often as it usually does, where it stands at all."""
    usual = Counter(n for n in counts if n).most_common(1)
    return usual[0][1] if usual else 0


def _outside(line: str, mark: str) -> int:
    return sum(part.count(mark) for part in line.split('"')[0::2])


def check_header(
    header: Header, records: list[list[str]], drop: Collection[str], name: str, found: Findings
) -> None:
    """Refuse a header that cannot be one. `records` are the first records below it."""
    _check_title(header, records)
    filled = [raw for raw in header.raw if raw.strip()]
    if len(header.raw) > MOST_COLUMNS:
        raise Stop("B14", f"has {len(header.raw):,} columns; the cap is {MOST_COLUMNS:,}", row=header.row)
    data_like = len([raw for raw in filled if _NUMBER_OR_DATE.fullmatch(raw.strip())])
    if 3 * data_like >= max(len(filled), 1):
        raise Stop(
            "B15", "the first row is not a header of column names; add one above the data", row=header.row
        )
    dropped = {normal(one) for one in drop}
    twice = [n for n, times in Counter(header.names).items() if n and times > 1 and n not in dropped]
    if twice:
        names = listed(shown(n, header.names.index(n)) for n in twice)
        raise Stop(
            "B05",
            f"has columns of the same name, but for case and spaces: {names}; rename one of each",
            row=header.row,
        )
    for position, raw in enumerate(header.raw):
        if (raw and normal(raw) and raw != raw.strip()) or any(unicodedata.category(c) == "Cf" for c in raw):
            found.normalised(name, header.show(position), "B05")
    nameless = sum(not n for n in header.names)
    if nameless:
        found.normalised(name, "", "B10")
        found.note(f"{name}: {nameless} column{'s' * (nameless > 1)} without a name left out")


def _check_title(header: Header, records: list[list[str]]) -> None:
    widths = Counter(len(r) for r in records if any(c.strip() for c in r))
    usual = widths.most_common(1)[0][0] if widths else len(header.raw)
    filled = [raw for raw in header.raw if raw.strip()]
    titled = filled and filled[0].lstrip().startswith("#")
    if not titled and not (len(filled) <= 1 < usual):
        return
    hint, setting = "give their number as skip_rows under [columns]", {}
    for k, record in enumerate(records):
        words = [c for c in record if c.strip()]
        if (
            len(record) == usual
            and len(words) > 1
            and not any(_NUMBER_OR_DATE.fullmatch(c.strip()) for c in words)
        ):
            setting = {"skip_rows": header.row + k}
            hint = (
                f"row {header.row + k + 1} looks like it; write under [columns]: skip_rows = {header.row + k}"
            )
            break
    raise Stop("A12", f"a line stands above the header; {hint}", row=header.row, setting=setting)
