"""SAS transport files (.xpt), written out as the text of a CSV, so that one rule set types every file.

Numbers, dates and texts of a transport file become cells as a person would write them, and then meet the
same rules, value maps and row numbers (the header is row 1) as those of a CSV. Needs pyreadstat, the `[sas]`
extra.
"""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.intake.findings import Stop
from ketaoutcomes.intake.written import as_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BEGINS = b"HEADER RECORD*******LIB"
_CARD = 80  # bytes: a transport file is made of records of this length, the last filled up with blanks
_TABLES = (b"HEADER RECORD*******MEMBER  HEADER", b"HEADER RECORD*******MEMBV8  HEADER")
_ROWS = (b"HEADER RECORD*******OBS     HEADER", b"HEADER RECORD*******OBSV8   HEADER")
_ROWS_AT_ONCE = 100_000
_HOW = "reading a SAS transport file needs an extra: pip install 'ketaoutcomes[sas]'"
_DAMAGED = "the SAS transport file is cut off or damaged; export it again"


def transport_as_csv(path: Path, encoding: str | None, decimal: str = ".") -> Iterator[bytes]:
    """The one table of a transport file as comma-separated UTF-8 text, header first, some rows at a time.

    Raises `Stop` where pyreadstat is not installed, where the file holds several tables (only one of which
    would be read), and where it is cut off: such files would lose rows without a word.
    """
    data = path.read_bytes()
    tables = sum(data.count(mark) for mark in _TABLES)
    if tables > 1:
        raise Stop("A16", f"the SAS transport file holds {tables} tables; write each to a file of its own")
    table, width = _table(path, encoding)
    _check_whole(data, len(table), width)
    written = pd.DataFrame({name: _as_texts(table[name], decimal) for name in table.columns})
    yield written.iloc[:0].to_csv(index=False, lineterminator="\n").encode()
    for start in range(0, len(written), _ROWS_AT_ONCE):
        part = written.iloc[start : start + _ROWS_AT_ONCE]
        yield part.to_csv(index=False, header=False, lineterminator="\n").encode()


def _table(path: Path, encoding: str | None) -> tuple[pd.DataFrame, int]:
    """The table, and how many bytes each of its rows takes."""
    try:
        import pyreadstat
    except ImportError:
        raise Stop("A18", _HOW) from None
    declared = codecs.lookup(encoding).name.upper() if encoding else None
    try:
        table, meta = pyreadstat.read_xport(path, encoding=declared)
    except UnicodeError:
        message = "holds text that is not UTF-8; write under [columns] the encoding it was saved in"
        raise Stop("A04", f'{message}: encoding = "cp1252"') from None
    except OverflowError:  # a date millions of years away
        raise Stop("A14", _DAMAGED) from None
    except pyreadstat.ReadstatError as error:
        if "encoding" in str(error) or "character set" in str(error):
            raise Stop(
                "A04", "holds text in another encoding than the one declared under [columns]"
            ) from None
        raise Stop("A14", _DAMAGED) from None
    return table, sum(meta.variable_storage_width.values())


def _check_whole(data: bytes, rows: int, width: int) -> None:
    """Refuse a file whose last row is followed by more than filling blanks."""
    begins = max(data.find(mark) for mark in _ROWS) + _CARD
    if len(data) % _CARD or data[begins + rows * width :].strip(b" "):
        raise Stop("A14", _DAMAGED)


def _as_texts(column: pd.Series[Any], decimal: str) -> NDArray[np.object_]:
    """Every cell as text, blank where missing."""
    codes, values = pd.factorize(column)
    texts = np.array([*(as_text(value, decimal) for value in values), ""], dtype=object)
    return texts[codes]
