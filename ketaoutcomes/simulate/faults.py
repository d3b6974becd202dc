"""The sample with faults planted in it: what clinics' files really look like, with every fault on a list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ketaoutcomes.simulate.draws import Draws

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABEL = "Several days"
"""How the PHQ-9 words an answer of 1."""


@dataclass(frozen=True)
class Fault:
    """One kind of fault: where it may be planted, how often, and what it makes of a cell.

    `rule` is the code intake reports it under, `action` what intake does about it; `needs` says which rows
    qualify: with a `form`, with an answer of 1 (`ones`), with a `dose`, or `any`.
    """

    rule: str
    what: str
    count: int
    needs: str
    column: str
    change: Callable[[str], str]
    action: str = "quarantined"


CELLS = (
    Fault("D03", "PHQ-9 answer above 3", 12, "form", "phq9_4", lambda _: "4"),
    Fault("D06", "sentinel for missing, not declared", 12, "form", "phq9_7", lambda _: "-9"),
    Fault("D11", "half an answer", 6, "form", "phq9_2", lambda _: "1.5"),
    Fault("D07", "yes or no in place of an answer", 4, "form", "phq9_5", lambda _: "TRUE"),
    Fault("D13", "answer in words", 10, "ones", "phq9_1", lambda _: LABEL, "normalised"),
    Fault("D15", "another unit written into the dose", 6, "dose", "dose", lambda cell: f"{cell} mcg"),
    Fault("E05", "a day that does not exist", 5, "form", "date", lambda _: "2026-02-30"),
    Fault(
        "C05", "blank after the patient's code", 8, "any", "patient", lambda cell: f"{cell} ", "normalised"
    ),
)
REPEATED, CONFLICTING = 20, 5


def with_faults(csv: str, seed: int = 2026) -> tuple[str, pd.DataFrame]:
    """The same CSV with faults planted, and the list of them.

    About one row in a hundred and fifty is touched, each by one fault; rows repeated or contradicted stand at
    the end. The list has `row` (the header is row 1), `column` (blank: the row), `rule`, `what` and `action`:
    quarantined, or put right by a written rule (`normalised`).

    >>> csv = "patient,date,dose,phq9_1,phq9_2,phq9_4,phq9_5,phq9_7\\n" + "P1,2026-01-01,,1,1,1,1,1\\n" * 400
    >>> dirty, faults = with_faults(csv)
    >>> faults["rule"].value_counts().to_dict()["D03"]
    12
    """
    header, *lines = csv.splitlines()
    table = pd.DataFrame([line.split(",") for line in lines], columns=header.split(","), dtype="str")
    draws = Draws(seed, "faults")
    kinds = {
        "any": np.ones(len(table), dtype=bool),
        "form": (table["phq9_4"] != "").to_numpy(),
        "ones": (table["phq9_1"] == "1").to_numpy(),
        "dose": (table["dose"] != "").to_numpy(),
        "apart": ((table["dose"] == "") & (table["phq9_1"] != "")).to_numpy(),
    }
    free = np.ones(len(table), dtype=bool)
    listed = []
    for fault in CELLS:
        rows = _choose(kinds[fault.needs] & free, fault.count, draws)
        free[rows] = False
        table.loc[rows, fault.column] = table.loc[rows, fault.column].map(fault.change)
        listed.append(_listed(rows, fault.column, fault.rule, fault.what, fault.action))
    again = _choose(kinds["form"] & free, REPEATED, draws)
    free[again] = False
    against = _choose(kinds["apart"] & free, CONFLICTING, draws)
    other = table.loc[against].assign(phq9_1=table.loc[against, "phq9_1"].map({"0": "1"}).fillna("0"))
    end = len(table) + np.arange(len(again) + len(against))
    listed.append(_listed(end[: len(again)], "", "C07", "the same row again", "normalised"))
    pair = np.concatenate([against, end[len(again) :]])
    listed.append(_listed(pair, "", "C08", "same day, other answers", "quarantined"))
    whole = pd.concat([table, table.loc[again], other], ignore_index=True)
    text = "\n".join([header, *map(",".join, zip(*(whole[name].tolist() for name in whole), strict=True))])
    return text + "\n", pd.concat(listed, ignore_index=True).sort_values("row", ignore_index=True)


def _choose(able: NDArray[np.bool_], count: int, draws: Draws) -> NDArray[np.int64]:
    rows = np.flatnonzero(able)
    luck = draws.unit(len(rows))
    return np.sort(rows[np.argsort(luck, kind="stable")[:count]])


def _listed(rows: NDArray[np.int64], column: str, rule: str, what: str, action: str) -> pd.DataFrame:
    return pd.DataFrame({"row": rows + 2, "column": column, "rule": rule, "what": what, "action": action})
