"""Where in the text of a TOML file each key stands: tomllib reads values, but forgets their lines.

The scanner walks text that tomllib has accepted, so it only has to find its way, not to judge.
"""

from __future__ import annotations

import tomllib

from ketaoutcomes.plan.keys import Path

_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def key_lines(text: str) -> dict[Path, int]:
    """The line, from 1, of every key, table and list entry of valid TOML, by its path.

    >>> key_lines('[rates]\\nlevel = 0.9')
    {('rates',): 1, ('rates', 'level'): 2}
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


def line_of(lines: dict[Path, int], path: Path) -> int:
    """The line of a path, or of the nearest table around it; 1 where nothing around it is written."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text, self.at, self.line, self.counted = text, 0, 1, 0
        self.lines: dict[Path, int] = {}
        self.counts: dict[Path, int] = {}

    def document(self) -> None:
        table: Path = ()
        self.skip(blank_lines=True)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)
            self.skip(blank_lines=True)

    def header(self) -> Path:
        """A [table] or [[entry of a list of tables]]; later headers inside it belong to its last entry."""
        line, several = self.here(), self.text.startswith("[[", self.at)
        self.at += 2 if several else 1
        names = self.key()
        self.at = self.text.index("]", self.at) + (2 if several else 1)
        path: Path = ()
        for name in names[:-1]:
            path = self.last_entry((*path, name))
        path = (*path, names[-1])
        self.note(path, line)
        if several:
            self.counts[path] = self.counts.get(path, -1) + 1
            path = self.last_entry(path)
            self.note(path, line)
        return self.last_entry(path)

    def last_entry(self, path: Path) -> Path:
        return (*path, self.counts[path]) if path in self.counts else path

    def pair(self, table: Path) -> None:
        line, names = self.here(), self.key()
        for depth in range(1, len(names) + 1):
            self.note((*table, *names[:depth]), line)
        self.at = self.text.index("=", self.at) + 1
        self.skip()
        self.value((*table, *names))

    def value(self, path: Path) -> None:
        first = self.text[self.at]
        if first in "\"'":
            self.string()
        elif first == "[":
            self.inside(path, "]")
        elif first == "{":
            self.inside(path, "}")
        else:
            while self.at < len(self.text) and self.text[self.at] not in ",]}#\n":
                self.at += 1

    def inside(self, path: Path, closing: str) -> None:
        """The entries of a list, or of a table written in braces."""
        self.at += 1
        index = 0
        self.skip(blank_lines=True)
        while self.text[self.at] != closing:
            if closing == "]":
                self.note((*path, index), self.here())
                self.value((*path, index))
            else:
                self.pair(path)
            index += 1
            self.skip(blank_lines=True)
            if self.text[self.at] == ",":
                self.at += 1
                self.skip(blank_lines=True)
        self.at += 1

    def key(self) -> tuple[str, ...]:
        """A key as written: bare or quoted parts, joined by dots."""
        names: list[str] = []
        while True:
            self.skip()
            start = self.at
            if self.text[start] in "\"'":
                self.string()
                names.append(str(tomllib.loads(f"k = {self.text[start : self.at]}")["k"]))
            else:
                while self.text[self.at] in _BARE:
                    self.at += 1
                names.append(self.text[start : self.at])
            self.skip()
            if self.text[self.at] != ".":
                return tuple(names)
            self.at += 1

    def string(self) -> None:
        mark = self.text[self.at]
        long = self.text.startswith(mark * 3, self.at)
        end = mark * 3 if long else mark
        self.at += len(end)
        while not self.text.startswith(end, self.at):
            self.at += 2 if mark == '"' and self.text[self.at] == "\\" else 1
        self.at += len(end)
        # A long string may end in up to two quotation marks of its own.
        while long and self.text.startswith(mark, self.at):
            self.at += 1

    def skip(self, *, blank_lines: bool = False) -> None:
        """Pass spaces and, where a line may end, line ends and comments."""
        while self.at < len(self.text):
            if blank_lines and self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif self.text[self.at] in (" \t\r\n" if blank_lines else " \t"):
                self.at += 1
            else:
                return

    def here(self) -> int:
        """The line of the present position, counted on from the last one asked for."""
        self.line += self.text.count("\n", self.counted, self.at)
        self.counted = self.at
        return self.line

    def note(self, path: Path, line: int) -> None:
        self.lines.setdefault(path, line)
