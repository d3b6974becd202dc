"""One TOML table being read: values of the kind asked for, and every mistake noted."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from ketaoutcomes.definitions.model import suggestion

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def is_name(text: str) -> bool:
    """Whether a text can name a definition: lower-case letters, digits, underscores, a letter first."""
    return _NAME.fullmatch(text) is not None


class Section:
    """One TOML table being read: hands out values of the kind asked for, and notes every mistake.

    After a mistake it hands out a harmless stand-in, so that reading goes on and finds the next one.
    """

    def __init__(self, raw: Mapping[str, Any], where: str, findings: list[str]) -> None:
        self._raw = raw
        self._where = where
        self._findings = findings
        self._asked: set[str] = set()
        self._before = len(findings)

    def is_sound(self) -> bool:
        """Whether nothing has been noted since this section was opened."""
        return len(self._findings) == self._before

    @property
    def raw(self) -> Mapping[str, Any]:
        """The table as it was written; what is in it, the caller checks."""
        return self._raw

    @property
    def findings(self) -> tuple[str, ...]:
        """Every mistake noted so far, one line each."""
        return tuple(self._findings)

    def note(self, key: str, text: str) -> None:
        """Note a mistake at a key of this section."""
        separator = "" if not key or self._where.endswith(": ") else "."
        self._findings.append(f"{self._where}{separator}{key}: {text}")

    def has(self, key: str) -> bool:
        """Whether the key is given; asking makes it a known one."""
        self._asked.add(key)
        return key in self._raw

    def text(self, key: str, stand_in: str | None = None) -> str:
        """A text that is not empty; `stand_in` where the key is not given."""
        if not self.has(key) and stand_in is not None:
            return stand_in
        value = self._raw.get(key)
        if isinstance(value, str) and value.strip():
            return value
        self.note(key, "a text is needed")
        return ""

    def name(self, key: str) -> str:
        """A name: lower-case letters, digits and underscores."""
        value = self.text(key)
        if value and not is_name(value):
            self.note(key, "lower-case letters, digits and underscores only, a letter first")
        return value

    def choice(self, key: str, allowed: Iterable[str], stand_in: str | None = None) -> str:
        """One of the allowed words; the first of them stands in for a mistake."""
        options = list(allowed)
        value = self.text(key, stand_in)
        if value in options:
            return value
        if value:
            self.note(key, f"unknown word '{value}'{suggestion(value, options)}")
        return options[0]

    def whole(self, key: str, low: int, high: int, stand_in: int | None = None) -> int:
        """A whole number between two limits, both included."""
        if not self.has(key) and stand_in is not None:
            return stand_in
        value = self._raw.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.note(key, f"a whole number from {low} to {high} is needed")
        return low

    def optional(self, key: str, low: int, high: int) -> int | None:
        """A whole number, or None where the key is not given."""
        return self.whole(key, low, high) if self.has(key) else None

    def number(self, key: str) -> Fraction:
        """An exact number: `1.1` in the file is eleven tenths."""
        self.has(key)
        value = self._raw.get(key)
        if isinstance(value, (int, Decimal)) and not isinstance(value, bool) and Decimal(value).is_finite():
            return Fraction(value)
        self.note(key, "a number is needed")
        return Fraction(0)

    def yes(self, key: str) -> bool:
        """true or false; false where the key is not given."""
        value = self._raw.get(key, False)
        self.has(key)
        if not isinstance(value, bool):
            self.note(key, "true or false is needed")
        return value is True

    def wholes(self, key: str, low: int, high: int, length: int | None = None) -> tuple[int, ...]:
        """A list of whole numbers, empty where the key is not given."""
        if not self.has(key):
            return ()
        value = self._raw[key]
        fits = isinstance(value, list) and (length is None or len(value) == length)
        if fits and all(isinstance(v, int) and not isinstance(v, bool) and low <= v <= high for v in value):
            return tuple(value)
        many = "a list of" if length is None else f"a list of {length}"
        self.note(key, f"{many} whole numbers from {low} to {high} is needed")
        return ()

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, empty where the key is not given."""
        value = self._raw.get(key, [])
        self.has(key)
        if isinstance(value, list) and all(isinstance(one, str) and one.strip() for one in value):
            return tuple(value)
        self.note(key, "a list of texts is needed")
        return ()

    def pair(self, key: str, low: int, high: int) -> tuple[int, int] | None:
        """Two whole numbers, or None where the key is not given or is wrong."""
        values = self.wholes(key, low, high, length=2)
        return (values[0], values[1]) if values else None

    def entries(self, key: str) -> list[Any] | None:
        """A list of anything, or None where the key is not given; what is in it, the caller checks."""
        if not self.has(key):
            return None
        value = self._raw[key]
        return value if isinstance(value, list) else [None]

    def section(self, key: str) -> Section | None:
        """The table under a key, or None where there is none."""
        if not self.has(key):
            return None
        if not isinstance(self._raw[key], dict):
            self.note(key, f"a table [{key}] is needed")
            return None
        return self._open(self._raw[key], key)

    def sections(self, key: str) -> list[Section]:
        """The tables [[key]], in order; none where the key is not given."""
        if not self.has(key):
            return []
        value = self._raw[key]
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.note(key, f"tables [[{key}]] are needed")
            return []
        return [self._open(item, f"{key}[{number}]") for number, item in enumerate(value, start=1)]

    def given(self) -> list[str]:
        """The keys that were given, in the file's order."""
        return list(self._raw)

    def close(self) -> None:
        """Note every key that nobody asked for."""
        for key in self._raw:
            if key not in self._asked:
                self.note(key, f"unknown key{suggestion(key, sorted(self._asked))}")

    def _open(self, raw: Mapping[str, Any], key: str) -> Section:
        separator = "" if self._where.endswith(": ") else "."
        return Section(raw, f"{self._where}{separator}{key}", self._findings)


def parse(text: str, file: str, findings: list[str]) -> Section:
    """One TOML file as a section; a file that is not TOML is a finding, and reads as empty."""
    try:
        raw = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        findings.append(f"{file}: not valid TOML: {error}")
        raw = {}
    return Section(raw, f"{file}: ", findings)
