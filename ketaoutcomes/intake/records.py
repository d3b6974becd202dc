"""Bytes of a delimited text file to records and cells: where every cell begins and ends.

The whole file is never turned into Python text. A block of bytes is scanned with numpy for delimiters and
line ends outside quotation marks; a column is then taken as codes into its few distinct texts, so that
every later rule (is this a number? a date?) runs once per distinct text and not once per cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array = Any
QUOTE, NEWLINE, RETURN = 34, 10, 13
PADDING = 8
PACKED_BYTES = 64
RECORD_CAP = 16 * 2**20
_MASKS = np.array([(1 << (8 * k)) - 1 for k in range(9)], dtype=np.uint64)
_MIX = np.uint64(0x9E3779B97F4A7C15)


class OpenQuote(Exception):
    """A quotation mark that is never closed, or only by one of a later row; `row` is where it opens."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row


class TooLong(Exception):
    """A record longer than the cap; `row` is its row."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row


@dataclass(frozen=True)
class Block:
    """Complete records of a file: where their cells are, and which row of the file each record is.

    `data` holds the bytes (and eight zero bytes beyond them), `starts` and `ends` every cell in order,
    `first` the position among them of each record's first cell, `width` each record's number of cells.
    `broken` marks records with text after a closing quotation mark; `even`: all records are equally wide.
    """

    data: NDArray[np.uint8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    first: NDArray[np.int64]
    width: NDArray[np.int64]
    rows: NDArray[np.int64]
    quoted: bool
    returns: bool
    broken: NDArray[np.bool_]
    even: bool

    def cells(self, records: Array, column: int) -> tuple[Array, Array]:
        """Where the cells of one column begin and end, in the given records; quotation marks left out."""
        if self.even and len(records) == len(self.first):
            wide = int(self.width[0])
            starts, ends = self.starts[column::wide], self.ends[column::wide]
        else:
            at = self.first[records] + column
            starts, ends = self.starts[at], self.ends[at]
        if self.returns:
            ends = ends - ((self.data[ends - 1] == RETURN) & (ends > starts))
        if self.quoted:
            wrapped = (self.data[starts] == QUOTE) & (ends - starts >= 2)
            wrapped &= self.data[ends - 1] == QUOTE
            starts, ends = starts + wrapped, ends - wrapped
        return starts, ends

    def text(self, record: int) -> list[str]:
        """The cells of one record as text."""
        starts, ends = (
            np.concatenate(bounds)
            for bounds in zip(
                *[self.cells(np.array([record]), c) for c in range(int(self.width[record]))], strict=True
            )
        )
        raw = self.data.tobytes()
        return [_plain(raw[s:e]) for s, e in zip(starts.tolist(), ends.tolist(), strict=True)]

    def bounds(self) -> tuple[Array, Array]:
        """Where each record begins and ends, its line end left out."""
        starts = self.starts[self.first]
        ends = self.ends[self.first + self.width - 1]
        if self.returns:
            ends = ends - ((self.data[ends - 1] == RETURN) & (ends > starts))
        return starts, ends


def _plain(raw: bytes) -> str:
    return raw.decode("utf-8").replace('""', '"')


def blocks(chunks: Iterator[bytes], delimiter: int, first_row: int = 1) -> Iterator[Block]:
    """Cut chunks of UTF-8 bytes into blocks of complete records; rows are counted from `first_row`.

    Raises `OpenQuote` where a quotation mark swallows the rest, `TooLong` at a record beyond the cap.
    """
    row, carried = first_row, b""
    for chunk in chunks:
        carried += chunk
        block, used = _scan(carried, delimiter, row)
        if block is not None:
            yield block
            row += len(block.first)
        carried = carried[used:]
        if len(carried) > RECORD_CAP:
            raise OpenQuote(row) if carried.count(b'"') % 2 else TooLong(row)
    if carried:
        block, used = _scan(carried + b"\n", delimiter, row)
        if block is not None:
            yield block
            row += len(block.first)
        if used < len(carried):
            raise OpenQuote(row)


def _scan(raw: bytes, delimiter: int, row: int) -> tuple[Block | None, int]:
    """The complete records at the beginning of some bytes, and how many bytes they take."""
    data = np.frombuffer(raw + bytes(PADDING), dtype=np.uint8)
    inner = data[: len(raw)]
    marks = (inner == delimiter) | (inner == NEWLINE)
    quoted = b'"' in raw
    broken_at: list[int] = []
    if quoted:
        quotes = np.flatnonzero(inner == QUOTE)
        if _regular(data, quotes, delimiter, len(raw)):
            inside = np.cumsum(inner == QUOTE, dtype=np.uint8) & 1
        else:
            inside, broken_at = _walk(inner, quotes, delimiter, row)
        marks &= inside == 0
    ends = np.flatnonzero(marks)
    last = np.flatnonzero(inner[ends] == NEWLINE)
    if len(last) == 0:
        return None, 0
    ends = ends[: last[-1] + 1]
    starts = np.empty_like(ends)
    starts[0] = 0
    np.add(ends[:-1], 1, out=starts[1:])
    first = np.empty_like(last)
    first[0] = 0
    np.add(last[:-1], 1, out=first[1:])
    width = last - first + 1
    broken = np.zeros(len(last), dtype=bool)
    if broken_at:
        spots = np.array(broken_at)
        spots = spots[spots < ends[-1]]
        broken[np.searchsorted(ends[last], spots)] = True
    rows = np.arange(row, row + len(last), dtype=np.int64)
    used = int(ends[-1]) + 1
    even = bool((width == width[0]).all())
    return Block(data, starts, ends, first, width, rows, quoted, b"\r" in raw, broken, even), used


def _regular(data: Array, quotes: Array, delimiter: int, size: int) -> bool:
    """Whether every quotation mark opens a cell, closes one or is doubled inside one.

    The last one may be open: its other end comes with the next block.
    """
    openers, closers = quotes[0::2], quotes[1::2]
    before = data[openers - 1]
    fine = (openers == 0) | (before == delimiter) | (before == NEWLINE) | (before == QUOTE)
    if not fine.all():
        return False
    after = data[closers + 1]
    fine = (
        (after == delimiter)
        | (after == NEWLINE)
        | (after == RETURN)
        | (after == QUOTE)
        | (closers == size - 1)
    )
    return bool(fine.all())


def _walk(inner: Array, quotes: Array, delimiter: int, row: int) -> tuple[Array, list[int]]:
    """Follow quotation marks one by one, where some stand in the middle of a cell.

    A mark opens a quoted cell only at the cell's beginning; elsewhere it is text. Returns which bytes are
    inside quotation marks and where text follows a closing one. Raises `OpenQuote` when such a cell runs
    over a line end: one mark is missing, and rows have been swallowed.
    """
    change = np.zeros(len(inner) + 1, dtype=np.int8)
    broken: list[int] = []
    positions = quotes.tolist()
    opened = -1
    skip = False
    starters = {delimiter, NEWLINE}
    closers = {delimiter, NEWLINE, RETURN}
    for i, at in enumerate(positions):
        if skip:
            skip = False
            continue
        if opened < 0:
            if at == 0 or int(inner[at - 1]) in starters:
                opened = at
                change[at] = 1
            continue
        follows = int(inner[at + 1]) if at + 1 < len(inner) else NEWLINE
        if follows == QUOTE and i + 1 < len(positions):
            skip = True
            continue
        change[at] = -1
        if follows not in closers:
            if bool((inner[opened:at] == NEWLINE).any()):
                raise OpenQuote(row + int((inner[:opened] == NEWLINE).sum()))
            broken.append(at)
        opened = -1
    return np.cumsum(change[:-1], dtype=np.int8), broken


def row_hashes(block: Block) -> Array:
    """A 64-bit fingerprint of each record's bytes, to find rows that occur twice."""
    starts, ends = block.bounds()
    length = ends - starts
    words = _words(block.data)
    prints = length.astype(np.uint64) * _MIX
    for offset in range(0, int(length.max(initial=0)), 8):
        going = np.flatnonzero(length > offset)
        left = np.minimum(length[going] - offset, 8)
        mixed = (prints[going] ^ (words[starts[going] + offset] & _MASKS[left])) * _MIX
        prints[going] = mixed ^ (mixed >> np.uint64(29))
    return prints


def _words(data: Array) -> Array:
    """Every eight consecutive bytes as one integer, the first byte lowest; a view, not a copy."""
    return np.ndarray((len(data) - PADDING + 1,), dtype="<u8", buffer=data, strides=(1,))


@dataclass
class Coded:
    """A column as codes into its distinct texts, in order of first appearance in each block."""

    texts: list[str] = field(default_factory=list)
    parts: list[NDArray[np.int32]] = field(default_factory=list)
    longest: int = 0
    _known: dict[bytes, int] = field(default_factory=dict)

    def add(self, block: Block, records: Array, column: int) -> None:
        """Take one column's cells of a block's records."""
        starts, ends = block.cells(records, column)
        if len(starts) == 0:
            return
        codes, raw = _factorise(block.data, starts, ends)
        lookup = np.empty(len(raw), dtype=np.int32)
        known = self._known
        for i, key in enumerate(raw):
            code = known.get(key)
            if code is None:
                code = known[key] = len(self.texts)
                self.texts.append(_plain(key))
            lookup[i] = code
        self.parts.append(lookup[codes])

    @property
    def codes(self) -> NDArray[np.int32]:
        """The code of every cell, in the order of the records taken."""
        if len(self.parts) != 1:
            self.parts = [np.concatenate(self.parts) if self.parts else np.empty(0, dtype=np.int32)]
        return self.parts[0]


def _factorise(data: NDArray[np.uint8], starts: Array, ends: Array) -> tuple[Array, list[bytes]]:
    """Codes of cells into their distinct bytes."""
    length = ends - starts
    longest = int(length.max())
    if longest <= 1:
        keys = np.where(length == 1, data[starts], 0)
        return _from_table(keys, 256, "u1")
    words = _words(data)
    keys = words[starts] & _MASKS[np.minimum(length, 8)]
    if longest <= 2:
        return _from_table(keys.astype(np.uint16), 65536, "<u2")
    codes, found = pd.factorize(keys)
    raw = found.view("S8").tolist()
    for offset in range(8, min(longest, PACKED_BYTES), 8):
        more = np.flatnonzero(length > offset)
        left = np.minimum(length[more] - offset, 8)
        keys = words[starts[more] + offset] & _MASKS[left]
        codes, raw = _extend(codes, raw, more, keys, offset)
    if longest > PACKED_BYTES:
        codes, raw = _long_cells(data, starts, ends, np.flatnonzero(length > PACKED_BYTES), codes, raw)
    return _only_used(codes, raw) if longest > 8 else (codes, raw)


def _only_used(codes: Array, raw: list[bytes]) -> tuple[Array, list[bytes]]:
    """Leave out the beginnings of longer cells, which are no cell's text."""
    used = np.flatnonzero(np.bincount(codes, minlength=len(raw)))
    lookup = np.zeros(len(raw), dtype=np.int32)
    lookup[used] = np.arange(len(used), dtype=np.int32)
    return lookup[codes], [raw[i] for i in used.tolist()]


def _from_table(keys: Array, size: int, kind: str) -> tuple[Array, list[bytes]]:
    present = np.zeros(size, dtype=bool)
    present[keys] = True
    found = np.flatnonzero(present)
    lookup = np.zeros(size, dtype=np.int32)
    lookup[found] = np.arange(len(found), dtype=np.int32)
    return lookup[keys], found.astype(kind).view(f"S{np.dtype(kind).itemsize}").tolist()


def _extend(codes: Array, raw: list[bytes], more: Array, keys: Array, done: int) -> tuple[Array, list[bytes]]:
    """Codes of cells that go on for up to eight bytes beyond the `done` bytes coded so far."""
    tail, found = pd.factorize(keys)
    tails = found.view("S8").tolist()
    pair, pairs = pd.factorize(codes[more] * len(tails) + tail)
    codes = codes.copy()
    codes[more] = pair + len(raw)
    heads, ends = pairs // len(tails), pairs % len(tails)
    longer = [
        raw[h].ljust(done, b"\0") + tails[t] for h, t in zip(heads.tolist(), ends.tolist(), strict=True)
    ]
    return codes, raw + longer


def _long_cells(
    data: NDArray[np.uint8], starts: Array, ends: Array, rows: Array, codes: Array, raw: list[bytes]
) -> tuple[Array, list[bytes]]:
    """The few cells too long to be packed into integers, one by one."""
    whole = data.tobytes()
    codes, raw = codes.copy(), list(raw)
    seen: dict[bytes, int] = {}
    for row in rows.tolist():
        key = whole[starts[row] : ends[row]]
        if key not in seen:
            seen[key] = len(raw)
            raw.append(key)
        codes[row] = seen[key]
    return codes, raw
