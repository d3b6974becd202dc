"""What a reader with three minutes asks after the answer: one line per question, with its section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ketaoutcomes.report.additions import each_row
from ketaoutcomes.results.wording import HIDDEN, capital, count, interval, is_number, label, listed, percent

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.report.days import Stands
    from ketaoutcomes.report.finished import Described
    from ketaoutcomes.report.overview import Change
    from ketaoutcomes.report.views import Stay, Words

SERIOUS = "serious_event"


class Line(NamedTuple):
    """One question and its answer, and the section that holds the rest."""

    id: str
    question: str
    says: str


def glance(
    tables: Mapping[str, Described], words: Words, changes: Sequence[Change], stays: Sequence[Stay],
    days: Mapping[str, Stands] | None = None,
) -> list[Line]:  # fmt: skip
    """The lines that these tables can answer, in reading order.

    `days` says of sections of a report in a series as of which day they stand (`report.days`).
    """
    funnel = tables.get("funnel")
    found = (
        Line("changed", "Has it changed?", " ".join(f"{one.title}: {one.says}" for one in changes)),
        Line("stayed", "Who stayed?", _stayed(stays)),
        Line("scored", "Who was scored?", _scored(tables.get("measured"), words)),
        Line("safety", "Was anybody harmed?", _harmed(tables.get("safety"), words)),
        Line("sites", "Do sites differ?", _differ(None if funnel is None else funnel.table, words)),
    )
    return [_dated(line, (days or {}).get(line.id)) for line in found if line.says]


def _dated(line: Line, stands: Stands | None) -> Line:
    """A line with the day of its section, where that is not the report's."""
    if stands is None:
        return line
    said = f"As of {stands.whole}." if stands.whole else "In part of an earlier day: see there."
    return line._replace(says=f"{line.says} ({said})")


def _stayed(stays: Sequence[Stay]) -> str:
    """The last session of each schedule that is shown."""
    told = []
    for one in stays:
        seen = [row for row in one.rows if is_number(row.rate)]
        if seen:
            last = seen[-1]
            told.append(
                f"{percent(last.reached, last.due)} of {count(last.due)} received session {last.session} "
                f"({label(one.protocol)})"
            )
    return f"{listed(told)}." if told else ""


def _scored(described: Described | None, words: Words) -> str:
    """The share with an end score or, where nothing has an end, with any later score."""
    if described is None:
        return ""
    table = described.table
    told, due = [], ""
    step = "end_score" if (table["step"] == "end_score").any() else "any_score"
    rows = {str(row.instrument): row for row in each_row(table[table["step"] == step])}
    for name in words.instruments:
        row = rows.get(name)
        if row is not None and is_number(row.n) and is_number(row.of) and row.of:
            told.append(f"{percent(row.n, row.of)} have a {words.titles[name]} score")
            due = count(row.of)
    when = "at the end of the series" if step == "end_score" else "after the first dose"
    return f"Of {due} first series due, {listed(told)} {when}." if told else ""


def _harmed(described: Described | None, words: Words) -> str:
    """Serious events, and who was reliably worse at the last score."""
    if described is None:
        return ""
    rows = [row for row in each_row(described.table) if str(row.axis) == "course"]
    told = []
    for row in rows:
        if row.measure == SERIOUS and (not is_number(row.n) or row.n):
            if is_number(row.count):
                told.append(f"a serious event after a dose in {_of(row)} with a record")
            else:
                told.append(f"how many had a serious event after a dose is {HIDDEN}")
    for name in words.instruments:
        for row in rows:
            criterion = words.known.criteria.get(str(row.measure))
            if (
                row.instrument == name
                and row.point == "last"
                and criterion is not None
                and is_number(row.count)
            ):
                told.append(f"{label(criterion.title, 160)} at the last score in {_of(row)} scored")
    text = "; ".join(told)
    return f"{capital(text)}." if text else ""


def _of(row: Any) -> str:
    return (
        f"{count(row.count)} of {count(row.n)} ({percent(row.count, row.n)}, {interval(row.low, row.high)})"
    )


def _differ(table: pd.DataFrame | None, words: Words) -> str:
    """Whether sites stand beyond the limits of chance, by the first criterion of each instrument."""
    if table is None:
        return ""
    beyond, told = [], []
    for name in words.instruments:
        rows = table[(table["criterion"] == words.first[name]) & table["rate"].notna()]
        if len(rows) > 1:
            out = int((rows["beyond"] != "").sum())
            said = f"{words.titles[name]} {words.short[words.first[name]]}"
            told.append(f"{said} ({len(rows)} sites)")
            if out:
                beyond.append(f"{out} of {len(rows)} for {said}")
    if not told:
        return ""
    if beyond:
        return f"Beyond the 95 % limits of chance: {listed(beyond)}. That asks for a look, and is no verdict."
    return f"No evidence of more than chance: {listed(told)}."
