"""Values of typed files as the text a person would write, so that one rule set types every file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any


def as_csv(rows: Iterable[Sequence[str]]) -> bytes:
    """Rows of texts as lines of a CSV, in UTF-8.

    >>> as_csv([["a", "b"], ["", "1,5"]]).decode().splitlines()
    ['a,b', ',"1,5"']
    """
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


def as_text(value: Any, decimal: str = ".") -> str:
    """One value as a person would write it: 54.0 is 54, a date at midnight is a date, nothing is blank.

    >>> [as_text(value, ",") for value in ("7", 54.0, 0.5, 1e-07, date(2014, 1, 2), None, True)]
    ['7', '54', '0,5', '0,0000001', '2014-01-02', '', 'TRUE']
    """
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime) and value.tzinfo is None and value.isoformat().endswith("T00:00:00"):
        return value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, float) and value != value:
        return ""
    if isinstance(value, float | Decimal):
        exact = Decimal(repr(value)) if isinstance(value, float) else value
        plain = format(exact.normalize(), "f") if exact.is_finite() else str(value)
        return plain.replace(".", decimal)
    return str(value)
