"""One file as a grid: its sound rows, and the columns asked for, as codes into their distinct texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.intake.findings import Findings, Stop
from ketaoutcomes.intake.header import Header, check_header, delimiter_of
from ketaoutcomes.intake.records import Block, Coded, OpenQuote, TooLong, blocks, row_hashes
from ketaoutcomes.progress import told

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ketaoutcomes.intake.sources import SourceFile
    from ketaoutcomes.plan import Columns

Array = Any
SAMPLE = 2**16
LONGEST_CELL = 100_000
_RETURNS = bytes.maketrans(b"\r", b"\n")


@dataclass
class Grid:
    """The sound rows of one file.

    `rows` are their row numbers (as a spreadsheet counts them), `prints` their fingerprints, `columns` the
    asked-for columns by position. `read` counts every row below the header that is not empty.
    """

    file: str
    header: Header
    rows: NDArray[np.int64]
    prints: NDArray[np.uint64]
    columns: dict[int, Coded]
    read: int = 0
    empty: int = 0

    def __len__(self) -> int:
        return len(self.rows)


@dataclass
class _Gathering:
    """What is collected block by block."""

    wanted: list[int]
    coded: dict[int, Coded]
    rows: list[Array] = field(default_factory=list)
    prints: list[Array] = field(default_factory=list)
    read: int = 0
    empty: int = 0
    wider: int = 0
    narrower: int = 0
    by_one: int = 0


def read_grid(
    source: SourceFile, columns: Columns, choose: Callable[[Header], Iterable[int]], found: Findings
) -> Grid:
    """Read a file's header, let `choose` name the columns needed, and read those.

    Raises `Stop` where the file cannot be read on; rows that cannot be read are noted and left out.
    """
    text = source.blocks()
    sample, complete = _sample(text)
    if b"\n" not in sample and b"\r" in sample:
        sample, text = sample.translate(_RETURNS), (chunk.translate(_RETURNS) for chunk in text)
    # A program wrote a typed file's text: commas separate it, and only in a sheet may lines stand above.
    sample, skipped = _skip(sample, 0 if source.typed in ("sas", "parquet") else columns.skip_rows)
    if not sample.strip():
        raise Stop("A06", "the file is empty")
    if b"\0" in sample[:200] and sample[:200].count(b"\0") > 20:
        raise Stop("A02", 'looks like UTF-16 without a mark; write under [columns]: encoding = "utf-16-le"')
    declared = "," if source.typed else columns.delimiter
    delimiter = delimiter_of(sample[:SAMPLE], complete, declared, source.tabs)
    for rule in ("A02",) if source.found_encoding != "utf-8" else tuple(source.told):
        found.normalised(source.name, "", rule)
    scanned = blocks(chain([sample], text), ord(delimiter), skipped + 1)
    try:
        return _gather(source, columns, scanned, choose, found)
    except OpenQuote as error:
        raise Stop("A11", "a quotation mark is opened and not closed", row=error.row) from None
    except TooLong as error:
        raise Stop("B14", "a row is longer than 16 MB", row=error.row) from None


def _sample(text: Iterator[bytes]) -> tuple[bytes, bool]:
    sample = b""
    for chunk in text:
        sample += chunk
        if len(sample) >= SAMPLE:
            return sample, False
    return sample, True


def _skip(sample: bytes, lines: int) -> tuple[bytes, int]:
    for _ in range(lines):
        sample = sample.partition(b"\n")[2]
    return sample, lines


def _gather(
    source: SourceFile,
    columns: Columns,
    scanned: Iterator[Block],
    choose: Callable[[Header], Iterable[int]],
    found: Findings,
) -> Grid:
    first = next(scanned, None)
    if first is None:
        raise Stop("A06", "the file is empty")
    top = _first_filled(first)
    header = Header(tuple(first.text(top)), int(first.rows[top]))
    if any("\0" in name for name in header.raw):
        raise Stop("A05", "NUL bytes stand in the header", row=header.row)
    below = [first.text(i) for i in range(top + 1, min(top + 30, len(first.first)))]
    check_header(header, below, columns.drop, source.name, found)
    wanted = sorted(set(choose(header)))
    gathering = _Gathering(wanted, {position: Coded() for position in wanted})
    header_print = row_hashes(first)[top]
    for block in told(chain([first], scanned), lambda _: f"reading {source.name}: {gathering.read:,} rows"):
        _take(block, header, header_print, gathering, source.name, found)
    _check_widths(gathering, len(header.raw))
    found.count(source.name, "input", "read", "", gathering.read)
    return Grid(
        source.name,
        header,
        np.concatenate(gathering.rows) if gathering.rows else np.empty(0, dtype=np.int64),
        np.concatenate(gathering.prints) if gathering.prints else np.empty(0, dtype=np.uint64),
        gathering.coded,
        gathering.read,
        gathering.empty,
    )


def _first_filled(block: Block) -> int:
    starts, ends = block.bounds()
    filled = np.flatnonzero(ends > starts)
    if len(filled) == 0:
        raise Stop("A06", "the file is empty")
    return int(filled[0])


def _take(
    block: Block, header: Header, header_print: Any, gathering: _Gathering, file: str, found: Findings
) -> None:
    """Take one block's sound rows; note the others."""
    if int((block.ends - block.starts).max()) > LONGEST_CELL:
        record = (
            int(np.searchsorted(block.first, int((block.ends - block.starts).argmax()), side="right")) - 1
        )
        raise Stop("B14", f"a cell is longer than {LONGEST_CELL:,} bytes", row=int(block.rows[record]))
    starts, ends = block.bounds()
    filled = (ends - starts >= block.width) | (block.width == 1) & (ends > starts)
    filled &= block.rows > header.row
    gathering.empty += int((~filled & (block.rows > header.row) & (block.width > 1)).sum())
    prints = row_hashes(block)
    sound = filled.copy()
    wide = len(header.raw)
    for rule, faulty in (
        ("A05", _with_nul(block)),
        ("B04", block.broken),
        ("B02", block.width > wide),
        ("B03", block.width < wide),
        ("B08", prints == header_print),
    ):
        hit = sound & faulty
        if hit.any():
            found.rows(file, block.rows[hit], "", rule)
            found.count(file, "input", "quarantined", rule, int(hit.sum()))
            sound &= ~hit
    gathering.wider += int((filled & (block.width > wide)).sum())
    gathering.narrower += int((filled & (block.width < wide)).sum())
    gathering.by_one += int((filled & (block.width == wide + 1)).sum())
    gathering.read += int(filled.sum())
    records = np.flatnonzero(sound)
    gathering.rows.append(block.rows[records])
    gathering.prints.append(prints[records])
    for position, coded in gathering.coded.items():
        coded.add(block, records, position)


def _with_nul(block: Block) -> NDArray[np.bool_]:
    hit = np.zeros(len(block.first), dtype=bool)
    end = int(block.ends[-1])
    if b"\0" in block.data[:end].tobytes():
        at = np.flatnonzero(block.data[:end] == 0)
        hit[np.searchsorted(block.ends[block.first + block.width - 1], at)] = True
    return hit


def _check_widths(gathering: _Gathering, wide: int) -> None:
    """Refuse a file in which no row, or not even half of the rows, is as wide as the header."""
    wrong = gathering.wider + gathering.narrower
    if gathering.read and gathering.by_one == gathering.read:
        raise Stop(
            "B01", f"every row has one field more than the header's {wide}; name every column in the header"
        )
    if 2 * wrong > gathering.read:
        rows = f"{wrong:,} of {gathering.read:,} rows do not have the header's {wide} fields"
        raise Stop("B01", f"{rows}; check delimiter and quotation marks")
