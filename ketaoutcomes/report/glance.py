"""What a reader with three minutes asks after the answer: one line per question, with its section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ketaoutcomes.counts.safety_counts import NEW
from ketaoutcomes.report.additions import each_row
from ketaoutcomes.report.views import scored_of_due
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
    of_rates = _of_rates(tables.get("rates_end"), words)
    scored = of_rates or _scored(tables.get("measured"), words)
    found = (
        Line("changed", "Has it changed?", _changed(changes)),
        Line("stayed", "Who stayed?", _stayed(stays, words)),
        Line("scored", "Who was scored?", scored),
        Line("safety", "Was anybody harmed?", _harmed(tables.get("safety"), words)),
        Line("sites", "Do sites differ?", _differ(None if funnel is None else funnel.table, words)),
    )
    counted = {"scored": "answer"} if of_rates else {}  # of which section's numbers a line is made
    stands = {line.id: (days or {}).get(counted.get(line.id, line.id)) for line in found}
    return [_dated(line, stands[line.id]) for line in found if line.says]


def _dated(line: Line, stands: Stands | None) -> Line:
    """A line with the day of its section, where that is not the report's."""
    if stands is None:
        return line
    said = f"As of {stands.whole}." if stands.whole else "In part of an earlier day: see there."
    return line._replace(says=f"{line.says} ({said})")


def _changed(changes: Sequence[Change]) -> str:
    """What was found for each instrument; the two periods once where they are the same."""
    spans: dict[str, list[str]] = {}
    for one in changes:
        spans.setdefault(one.span, []).append(f"{one.title}: {one.found}")
    return " ".join(f"{span}. {' '.join(told)}" if span else " ".join(told) for span, told in spans.items())


def _stayed(stays: Sequence[Stay], words: Words) -> str:
    """The last session of each schedule that is shown."""
    told = []
    for one in stays:
        seen = [row for row in one.rows if is_number(row.rate)]
        if seen:
            last = seen[-1]
            told.append(
                f"{words.schedule(one.protocol)}: {percent(last.reached, last.due)} of {count(last.due)} "
                f"received session {last.session}"
            )
    return f"{'. '.join(told)}." if told else ""


def _scored(described: Described | None, words: Words) -> str:
    """Of all due the share with an end score or, where nothing has an end, with any later score."""
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


def _of_rates(described: Described | None, words: Words) -> str:
    """Of those counted in the rates of each instrument's first criterion the share with an end score."""
    if described is None:
        return ""
    rows = {name: scored_of_due(described.table, words.first[name]) for name in words.instruments}
    told = [
        f"{percent(row.assessed, row.due)} of the {count(row.due)} due for {words.titles[name]}"
        for name, row in rows.items()
        if row is not None
    ]
    return f"At the end of the series {listed(told)} have a score." if told else ""


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
    told += [_new_thoughts(row, words) for row in rows if row.measure == NEW and row.point == "last"]
    text = "; ".join(one for one in told if one)
    return f"{capital(text)}." if text else ""


def _new_thoughts(row: Any, words: Words) -> str:
    """Who answered the safety item above 0 at the last score, having answered 0 at baseline."""
    known = words.known.instruments.get(str(row.instrument))
    if known is None or not is_number(row.count) or not is_number(row.n) or not row.n:
        return ""
    return (
        f"thoughts of self-harm ({label(known.title)} item {known.flag_item}) at the last score in "
        f"{_of(row)} who had none at baseline"
    )


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
