"""What intake finds on the way: where, under which rule, and what became of the row. Never a cell's value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ketaoutcomes.records.cohort import InputRefused
from ketaoutcomes.tables import empty

Array = Any
LEDGER = ["file", "table", "outcome", "reason", "n"]


class Stop(Exception):
    """A fault that forbids reading a file any further. Carries words about position and rule, no value.

    `setting` is what to declare under [columns], where that would mend it.
    """

    def __init__(
        self,
        rule: str,
        message: str,
        *,
        row: int = 0,
        column: str = "",
        setting: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.rule, self.message, self.row, self.column = rule, message, row, column
        self.setting = setting or {}


@dataclass
class Findings:
    """Every finding of one reading, over all its files, collected before anything is decided."""

    parts: list[pd.DataFrame] = field(default_factory=list)
    counts: dict[tuple[str, str, str, str], int] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def rows(self, file: str, rows: Array, column: str, rule: str, action: str = "quarantined") -> None:
        """Note one finding for each of the given rows of a file (its header is row 1)."""
        if len(rows):
            self.parts.append(
                pd.DataFrame(
                    {
                        "file": file,
                        "row": np.asarray(rows, dtype=np.int64),
                        "column": column,
                        "rule": rule,
                        "action": action,
                    }
                )
            )

    def refuse(self, file: str, stop: Stop) -> None:
        """Note a fault that refuses the whole input, with what to do about it."""
        where = "".join(
            [f"row {stop.row}: " if stop.row else "", f"column {stop.column}: " if stop.column else ""]
        )
        self.refusals.append(f"{file}: {where}{stop.message} [{stop.rule}]")
        self.rows(file, [stop.row], stop.column, stop.rule, "refused")

    def normalised(self, file: str, column: str, rule: str, n: int = 0) -> None:
        """Note something changed by a written rule; `n` cells or rows of it."""
        self.rows(file, [0], column, rule, "normalised")
        if n:
            self.count(file, "cells", "normalised", rule, n)

    def note(self, text: str) -> None:
        """Say something about the reading that is no fault: a column left out, say."""
        self.notes.append(text)

    def count(self, file: str, table: str, outcome: str, reason: str, n: int) -> None:
        """Add `n` rows to what became of a file's rows."""
        if n:
            key = (file, table, outcome, reason)
            self.counts[key] = self.counts.get(key, 0) + int(n)

    def problems(self) -> pd.DataFrame:
        """The findings as a table, in a canonical order."""
        if not self.parts:
            return empty("problems")
        table = pd.concat(self.parts, ignore_index=True)
        return table.sort_values(["file", "row", "column", "rule"], kind="stable", ignore_index=True)

    def ledger(self) -> pd.DataFrame:
        """What became of every input row, as a table."""
        return pd.DataFrame([(*key, n) for key, n in sorted(self.counts.items())], columns=LEDGER)

    def stop_if_refused(self) -> None:
        """Raise `InputRefused` with everything found, if any of it refuses the input."""
        if self.refusals:
            raise InputRefused(self.refusals, self.problems())


def listed(names: Iterable[str], limit: int = 12) -> str:
    """Names of columns as a sentence would list them, the rest counted.

    >>> listed(["a", "b"]), listed("abcd", limit=2)
    ('a, b', 'a, b and 2 more')
    """
    shown = list(names)
    more = f" and {len(shown) - limit} more" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more
