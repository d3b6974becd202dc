"""Input files as blocks of UTF-8 bytes: what may be opened, how much of it, in which encoding.

Nothing is ever extracted to disk. A compressed file is refused by its declared size, and again while it is
being inflated, since a declared size may lie.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from ketaoutcomes.intake import parquet, sas, sheets
from ketaoutcomes.intake.findings import Stop
from ketaoutcomes.shown import WrongChoice

CHUNK = 4 * 2**20
LARGEST = 8 * 2**30
LARGEST_INFLATED = 512 * 2**20
LARGEST_RATIO = 50
RATIO_FROM = 2**20
TABS = (".tsv", ".tab")
_REFUSED_SUFFIXES = {
    ".pkl": "a pickle can run code and is never read; export the table as CSV",
    ".pickle": "a pickle can run code and is never read; export the table as CSV",
    ".xlsm": "a workbook with macros is not read; save the sheet as .xlsx or as CSV UTF-8",
    ".xls": "this old kind of workbook is not read; save the sheet as .xlsx or as CSV UTF-8",
    ".rds": "R data files are not read; write the table with write.csv",
    ".rda": "R data files are not read; write the table with write.csv",
    ".rdata": "R data files are not read; write the table with write.csv",
    ".sas7bdat": "SAS files are not read; export the table as CSV",
    ".json": "JSON is not read; export the table as CSV",
}
_MAGIC = {
    b"\xd0\xcf\x11\xe0": ".xls",
    b"\x80\x03": ".pkl",
    b"\x80\x04": ".pkl",
    b"\x80\x05": ".pkl",
}
_BROKEN = (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


def open_files(paths: str | os.PathLike[str] | list[str | os.PathLike[str]]) -> list[Path]:
    """The given path or paths as a list, in order; a single path may stand alone."""
    several: list[Any] = list(paths) if isinstance(paths, list | tuple) else [paths]
    for one in several:
        if not isinstance(one, str | os.PathLike):
            kind = type(one).__name__
            raise WrongChoice(f"files are named by their paths, not a {kind}; of frames: Cohort.from_frames")
    return [Path(path) for path in several]


def names_of(paths: list[Path]) -> list[str]:
    """A short name for each file: its own, with as much of its folder as tells equal names apart."""
    names = [path.name for path in paths]
    depth = 1
    while len(set(names)) < len(names) and depth < 20:
        depth += 1
        names = [
            "/".join(path.parts[-depth:]) if names.count(n) > 1 else n
            for n, path in zip(names, paths, strict=True)
        ]
    return names


class SourceFile:
    """One input file; `blocks()` gives its text as UTF-8, and after that `sha256` is known.

    `typed`: the file is no text but a SAS transport file, a workbook or a Parquet file, and its text a CSV
    that was made of it on the way. `told` has the rules of what should be known about it.
    """

    def __init__(self, path: Path, name: str, encoding: str | None, decimal: str | None = None) -> None:
        self.path, self.name, self.encoding, self.decimal = path, name, encoding, decimal or "."
        self.typed = ""
        self.told: list[str] = []
        self.sha256 = ""
        self.tabs = False
        self.found_encoding = "utf-8"

    def blocks(self) -> Iterator[bytes]:
        """The file's text in blocks of UTF-8. Raises `Stop` where it cannot be read safely."""
        before = self._look()
        try:
            with self.path.open("rb") as handle:
                begins = handle.read(len(sas.BEGINS))
                handle.seek(0)
                self.typed = _kind_of(begins, self.path.suffix.lower())
                if self.typed:
                    self.sha256 = _digest(handle)
                    yield from self._written()
                elif self.path.suffix.lower() == ".xpt":
                    raise Stop("A18", "is called .xpt and is no SAS transport file; export the table as CSV")
                elif self.path.suffix.lower() in (".xlsx", ".parquet"):
                    kind = "workbook" if self.path.suffix.lower() == ".xlsx" else "Parquet file"
                    raise Stop("A18", f"is no {kind}, though it is called one; export the table again")
                else:
                    yield from self._text(self._raw(handle, before.st_size))
            if _mark(self.path.stat()) != _mark(before):
                raise Stop(
                    "A21", "the file changed while it was being read; read it again when nothing writes to it"
                )
        except _BROKEN as error:
            raise Stop("A14", f"the file cannot be read ({type(error).__name__})") from None

    def _written(self) -> Iterator[bytes]:
        """The text of a file that is none, as a CSV."""
        if self.typed == "sas":
            return sas.transport_as_csv(self.path, self.encoding, self.decimal)
        if self.typed == "parquet":
            return parquet.parquet_as_csv(self.path, self.decimal)
        with zipfile.ZipFile(self.path) as archive:
            for member in archive.infolist():
                if member.file_size > LARGEST_INFLATED or _bomb(member.file_size, member.compress_size):
                    raise Stop("A15", _too_much())
        return sheets.sheet_as_csv(self.path, self.decimal, self.told)

    def _look(self) -> os.stat_result:
        try:
            self.path = self.path.resolve(strict=True)
            found = self.path.stat()
        except (OSError, RuntimeError):
            raise Stop("A20", "there is no such file, or it may not be read") from None
        if stat.S_ISDIR(found.st_mode):
            raise Stop("A20", "is a folder; name the files in it, such as folder/*.csv")
        if not stat.S_ISREG(found.st_mode):
            raise Stop("A20", "is a pipe or a device, not a file; save it to a file first")
        if found.st_size == 0:
            raise Stop("A06", "the file is empty")
        if found.st_size > LARGEST:
            raise Stop(
                "A19",
                f"is larger than {LARGEST >> 30} GB; split it by patient and add the parts' tallies",
            )
        _refuse_kind(self.path.suffix.lower())
        return found

    def _raw(self, handle: BufferedReader, size: int) -> Iterator[bytes]:
        head = handle.read(4)
        handle.seek(0)
        for magic, suffix in _MAGIC.items():
            if head.startswith(magic):
                _refuse_kind(suffix)
        name = self.path.name.lower()
        if head.startswith(b"\x1f\x8b"):
            self.tabs = Path(name.removesuffix(".gz")).suffix in TABS
            self.sha256 = _digest(handle)
            with gzip.GzipFile(fileobj=handle) as inflated:
                yield from _inflate(inflated, size)
        elif head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            self.sha256 = _digest(handle)
            with zipfile.ZipFile(handle) as archive:
                member = _only_member(archive)
                self.tabs = Path(member.filename.lower()).suffix in TABS
                with archive.open(member) as inflated:
                    yield from _inflate(inflated, member.compress_size)
        else:
            self.tabs = Path(name).suffix in TABS
            digest = hashlib.sha256()
            while chunk := handle.read(CHUNK):
                digest.update(chunk)
                yield chunk
            self.sha256 = digest.hexdigest()

    def _text(self, raw: Iterator[bytes]) -> Iterator[bytes]:
        first = next(raw, b"")
        if not first:
            raise Stop("A06", "the file is empty")
        encoding, first = self._encoding(first)
        decoder = codecs.getincrementaldecoder(encoding)()
        plain = codecs.lookup(encoding).name in ("utf-8", "ascii")
        offset = lines = 0
        waiting = b""
        for chunk in _chain(first, raw):
            if plain and not waiting and chunk.isascii():
                text = chunk
            else:
                try:
                    text = decoder.decode(chunk).encode("utf-8")
                except UnicodeError as error:
                    raise _undecodable(
                        error, waiting + chunk, offset - len(waiting), lines, encoding
                    ) from None
                waiting = decoder.getstate()[0]
            offset += len(chunk)
            lines += chunk.count(b"\n")
            yield text
        try:
            yield decoder.decode(b"", final=True).encode("utf-8")
        except UnicodeError as error:
            raise _undecodable(error, waiting, offset - len(waiting), lines, encoding) from None

    def _encoding(self, first: bytes) -> tuple[str, bytes]:
        """The encoding to read by, and the first bytes without their mark."""
        if first.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
            raise Stop("A02", "is UTF-32 text; save it as CSV UTF-8")
        for mark, name in (
            (codecs.BOM_UTF8, "utf-8"),
            (codecs.BOM_UTF16_LE, "utf-16-le"),
            (codecs.BOM_UTF16_BE, "utf-16-be"),
        ):
            if first.startswith(mark):
                self.found_encoding = name
                return name, first[len(mark) :]
        return self.encoding or "utf-8", first


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _mark(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ino


def _kind_of(begins: bytes, suffix: str) -> str:
    """Which kind of typed file this is by its first bytes: sas, parquet, workbook, or "" for text."""
    if begins == sas.BEGINS:
        return "sas"
    if begins.startswith(parquet.BEGINS):
        return "parquet"
    return "workbook" if suffix == ".xlsx" and begins.startswith(b"PK") else ""


def _refuse_kind(suffix: str) -> None:
    if suffix in _REFUSED_SUFFIXES:
        raise Stop("A18", _REFUSED_SUFFIXES[suffix])


def _digest(handle: BufferedReader) -> str:
    digest = hashlib.file_digest(handle, "sha256").hexdigest()
    handle.seek(0)
    return digest


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
    names = {m.filename for m in members}
    if "[Content_Types].xml" in names:
        raise Stop("A18", "is an Excel workbook; call it .xlsx, or save the sheet as CSV UTF-8")
    if len(members) != 1:
        raise Stop("A16", f"the archive holds {len(members)} files; it must hold exactly one CSV")
    member = members[0]
    if (
        ".." in Path(member.filename.replace("\\", "/")).parts
        or member.filename.startswith(("/", "\\"))
        or ":" in member.filename
    ):
        raise Stop("A16", "the archive names a file outside itself")
    if member.flag_bits & 1:
        raise Stop("A16", "the archive is encrypted; unpack it first")
    if Path(member.filename).suffix.lower() == ".xpt":
        raise Stop("A18", "holds a SAS transport file; unpack it first")
    _refuse_kind(Path(member.filename).suffix.lower())
    if member.file_size > LARGEST_INFLATED or _bomb(member.file_size, member.compress_size):
        raise Stop("A15", _too_much())
    return member


def _bomb(inflated: int, packed: int) -> bool:
    return inflated > RATIO_FROM and inflated > LARGEST_RATIO * max(packed, 1)


def _too_much() -> str:
    caps = f"{LARGEST_RATIO} times its size or {LARGEST_INFLATED >> 20} MB"
    return f"inflates to more than {caps}; unpack it, look at it, and read the CSV"


def _inflate(inflated: IO[bytes] | gzip.GzipFile, packed: int) -> Iterator[bytes]:
    total = 0
    while chunk := inflated.read(CHUNK):
        total += len(chunk)
        if total > LARGEST_INFLATED or _bomb(total, packed):
            raise Stop("A15", _too_much())
        yield chunk


def _undecodable(error: UnicodeError, chunk: bytes, offset: int, lines: int, encoding: str) -> Stop:
    start = error.start if isinstance(error, UnicodeDecodeError) else 0
    row = lines + chunk[:start].count(b"\n") + 1
    at = f"is not valid {encoding.upper()} at byte {offset + start}"
    if encoding != "utf-8":
        return Stop("A04", f"{at}; declare the encoding it was saved in", row=row)
    message = f'{at}; save it as UTF-8, or write under [columns]: encoding = "latin-1"'
    return Stop("A04", message, row=row, setting={"encoding": "latin-1"})
