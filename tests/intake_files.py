"""Writes small input files and tells what became of them; shared by the tests of intake."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ketaoutcomes as ko
from ketaoutcomes.plan import Plan, parse_plan
from ketaoutcomes.records.cohort import Cohort, InputRefused

HEADER = "patient,day,dose,unit,route,phq9"
ROWS = ("a,0,0.5,mg/kg,iv,18", "a,3,0.5,mg/kg,iv,12", "b,0,0.5,mg/kg,iv,20", "b,4,,,,9")


def table(*rows: str, header: str = HEADER) -> bytes:
    """A CSV of the given rows below a header."""
    return "\n".join([header, *rows, ""]).encode()


GOOD = table(*ROWS)


def plan_of(columns: str = "", rest: str = "") -> Plan:
    """A plan with the given lines under [columns]."""
    return parse_plan(f"{rest}\n[columns]\n{columns}\n")


@dataclass(frozen=True)
class Outcome:
    """What became of an input: the cohort or none, and every finding as (action, rule, rows)."""

    cohort: Cohort | None
    found: frozenset[tuple[str, str, tuple[int, ...]]]
    message: str

    def rules(self, action: str) -> set[str]:
        """Which rules led to an action."""
        return {rule for done, rule, _ in self.found if done == action}

    def rows(self, rule: str) -> list[int]:
        """Which rows a rule found, over all its columns."""
        return sorted({row for _, found, rows in self.found if found == rule for row in rows})


def read_file(path: Path | list[Path], plan: Plan | None = None, **options: bool) -> Outcome:
    """Read one or several files and tell what became of them."""
    try:
        cohort = ko.read(path, plan, **options)
        problems, message = cohort.problems, ""
    except InputRefused as refused:
        cohort, problems, message = None, refused.problems, str(refused)
    grouped: dict[tuple[str, str], list[int]] = {}
    for row in problems.itertuples(index=False):
        grouped.setdefault((str(row.action), str(row.rule)), []).append(int(row.row))
    found = frozenset((action, rule, tuple(sorted(set(rows)))) for (action, rule), rows in grouped.items())
    return Outcome(cohort, found, message)


def read_bytes(
    folder: Path, content: bytes, columns: str = "", *, name: str = "in.csv", rest: str = ""
) -> Outcome:
    """Write some bytes to a file and read it."""
    path = folder / name
    path.write_bytes(content)
    return read_file(path, plan_of(columns, rest))
