"""Finished tables arranged for reading: answers, blocks of chart and table, the flow. No rate is computed here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from ketaoutcomes import figures
from ketaoutcomes.report import sentences
from ketaoutcomes.report.charts import chart
from ketaoutcomes.report.finished import Described, grouping
from ketaoutcomes.wording import count, is_number, label, listed, percent

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.plan import Plan


class Pair(NamedTuple):
    """A criterion at one point: of everyone due, and of those scored. Rows of `results.rates`."""

    everyone: Any
    scored: Any


@dataclass(frozen=True)
class Line:
    """One row of a table of rates."""

    head: str
    due: float
    assessed: float
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Block:
    """One table of rates, and the chart and the conclusion that go with it."""

    title: str
    head: str
    criteria: tuple[str, ...]
    lines: tuple[Line, ...]
    says: str
    drawn: Markup | None = None


@dataclass(frozen=True)
class Answer:
    """The headline of one instrument."""

    instrument: str
    when: str
    due: float
    assessed: float
    known: tuple[tuple[str, Pair], ...]
    reason: str | None


@dataclass(frozen=True)
class Step:
    """One row of the flow: people who went on (`kind` stays) or left, one number per instrument."""

    kind: str
    words: str
    numbers: tuple[float, ...]


class Words:
    """Readers' words for the ids of a plan: instruments, criteria, protocols."""

    def __init__(self, plan: Plan) -> None:
        known = plan.definitions
        self.criteria = [known.criterion(name) for name in plan.criteria.primary]
        self.instruments = list(dict.fromkeys(c.instrument for c in self.criteria))
        self.titles = {name: label(known.instrument(name).title) for name in self.instruments}
        self.short = {c.name: sentences.short_name(c) for c in self.criteria}
        self.known_to = {c.name: sentences.known_to(c, known.instrument(c.instrument)) for c in self.criteria}
        self.protocols = {name: label(protocol.title, 160) for name, protocol in known.protocols.items()}

    @property
    def all(self) -> dict[str, str]:
        """Every id with its words, for charts."""
        return self.short | self.titles


def answers(tables: dict[str, Described], words: Words) -> list[Answer]:
    """The headline of each instrument: at the end of the series, or in the last week where there is no end."""
    for name, when in (("rates_end", "at the end of the series"), ("rates_week", "in week {}")):
        if name not in tables:
            continue
        table = tables[name].table
        found = [_answer(table, instrument, when, words) for instrument in words.instruments]
        there = [answer for answer in found if answer is not None]
        if any(answer.reason is None for answer in there) or (there and name == "rates_week"):
            return there
    return []


def _answer(table: pd.DataFrame, instrument: str, when: str, words: Words) -> Answer | None:
    rows = table[table["instrument"] == instrument]
    if rows.empty:
        return None
    point = str(rows["point"].iloc[-1])
    line = _line(point, rows[rows["point"].astype(str) == point])
    known = tuple(
        (words.known_to[pair.everyone.criterion], pair)
        for pair in line.pairs
        if pair.everyone.criterion in words.known_to
    )
    reasons = {pair.everyone.reason for _, pair in known if not is_number(pair.everyone.rate)}
    reason = sentences.reason(str(min(reasons, key=str))) if len(reasons) and not any(
        is_number(pair.everyone.rate) for _, pair in known
    ) else None  # fmt: skip
    return Answer(words.titles[instrument], when.format(point), line.due, line.assessed, known, reason)


def point_blocks(described: Described | None, words: Words, *, drawn: bool = True) -> list[tuple[str, Block]]:
    """One block per group and instrument, its rows the points of the axis, each with the group it belongs to."""
    if described is None:
        return []
    found = []
    by = grouping(described.table)
    for key, rows in described.table.groupby([*by, "instrument"], sort=False, dropna=False):
        *group, instrument = [str(part) for part in key]
        if instrument not in words.titles:
            continue
        axis = str(rows["axis"].iloc[0])
        lines = tuple(_line(str(point), part) for point, part in rows.groupby("point", sort=False))
        says = _conclusion(axis, lines, words)
        svg = _drawn(rows, f"{described.name}-{len(found)}", words, says) if drawn else None
        head = {"session": "Session", "week": "Week", "month": "Month"}.get(axis, "Point")
        found.append((", ".join(group), Block(words.titles[instrument], head, _heads(lines, words), lines, says, svg)))
    return found


def group_blocks(described: Sequence[Described | None], head: str, words: Words) -> list[Block]:
    """One block per instrument, its rows the groups of one or more tables that have a single point."""
    found = []
    for instrument in words.instruments:
        lines: list[Line] = []
        for table in (each.table for each in described if each is not None):
            rows = table[table["instrument"] == instrument]
            by = grouping(rows)
            if not by and len(rows):
                lines.append(_line("Everyone", rows))
            elif by:
                lines += [_line(", ".join(map(str, key)), part) for key, part in rows.groupby(by, sort=False, dropna=False)]
        if lines:
            found.append(Block(words.titles[instrument], head, _heads(lines, words), tuple(lines), ""))
    return found


def _heads(lines: Sequence[Line], words: Words) -> tuple[str, ...]:
    named = [pair.everyone.criterion for pair in lines[0].pairs]
    return tuple(words.short.get(name, label(name)) for name in named)


def _drawn(rows: pd.DataFrame, name: str, words: Words, says: str) -> Markup | None:
    shown = rows[rows["analysis"] == "nri"]
    if not shown["rate"].notna().any():
        return None
    columns = ["axis", "criterion", "analysis", "point", "due", "assessed", "rate", "low", "high", "reason"]
    draw = partial(_draw_rates, table=rows[columns], names=words.short)
    return chart(draw, name=name, says=f"Chart. {says} The table below holds every number.")


def _draw_rates(ax: Any, *, table: pd.DataFrame, names: dict[str, str]) -> None:
    figures.rates(table, ax=ax, names=names)


def _line(head: str, rows: pd.DataFrame) -> Line:
    found: dict[str, dict[str, Any]] = {}
    for row in rows.itertuples(index=False):
        found.setdefault(row.criterion, {})[row.analysis] = row
    pairs = tuple(Pair(each["nri"], each["observed"]) for each in found.values())
    first = pairs[0].everyone
    return Line(label(head), first.due, first.assessed, pairs)


def _conclusion(axis: str, lines: Sequence[Line], words: Words) -> str:
    """What a chart of rates says: the last point that can be shown, against the first."""
    seen = [line for line in lines if any(is_number(pair.everyone.rate) for pair in line.pairs)]
    if not seen:
        return "Too few patients to show."
    last, first = seen[-1], seen[0]
    place = {"session": "After session {}", "week": "In week {}", "month": "In {}"}.get(axis, "At the end")
    shown = [pair.everyone for pair in last.pairs if is_number(pair.everyone.rate)]
    parts = [
        f"{percent(row.met, row.n)}{'' if index else f' of the {count(row.n)} patients due are known'} "
        + words.known_to.get(row.criterion, f"to meet {label(row.criterion)}")
        for index, row in enumerate(shown)
    ]
    said = f"{place.format(last.head)}, {listed(parts)}; {count(last.assessed)} were scored."
    if first is not last:
        before = [percent(p.everyone.met, p.everyone.n) for p in first.pairs if is_number(p.everyone.rate)]
        said += f" {place.format(first.head)} it was {listed(before)}."
    return said


def flow_steps(described: Described | None, words: Words) -> list[Step]:
    """The flow as rows down the page, one column of numbers per instrument; sums of hidden numbers stay hidden."""
    if described is None:
        return []
    table = described.table
    patients = _reasons(table, "patient", "patients", "")
    steps = [Step("stays", "patients in the records", _same(_sum(patients.values()), words))]
    steps += _losses([patients] * len(words.instruments), "with_course", words)
    steps.append(Step("stays", "with a treatment series", _same(patients.get("with_course", math.nan), words)))
    courses = [_reasons(table, "course", "courses", instrument) for instrument in words.instruments]
    steps.append(Step("stays", "series found", tuple(_sum(found.values()) for found in courses)))
    steps += _losses(courses, "eligible", words)
    steps.append(Step("stays", "first series with a baseline to judge by", tuple(f.get("eligible", 0.0) for f in courses)))
    due = [_reasons(table, "course", "due", instrument) for instrument in words.instruments]
    steps += _losses(due, "due", words)
    steps.append(Step("counted", "due: counted in every rate", tuple(found.get("due", 0.0) for found in due)))
    return steps


def _reasons(table: pd.DataFrame, unit: str, step: str, instrument: str) -> dict[str, float]:
    rows = table[(table["unit"] == unit) & (table["step"] == step)]
    rows = rows[rows["instrument"].isin({instrument, ""})]
    return {str(row.reason): float(row.n) for row in rows.itertuples(index=False)}


def _losses(found: Sequence[dict[str, float]], but: str, words: Words) -> list[Step]:
    codes = dict.fromkeys(code for each in found for code in each if code != but)
    return [Step("left", sentences.reason(code), tuple(each.get(code, 0.0) for each in found)) for code in codes]


def _sum(numbers: Any) -> float:
    return math.fsum(numbers)


def _same(number: float, words: Words) -> tuple[float, ...]:
    return (number,) * len(words.instruments)
