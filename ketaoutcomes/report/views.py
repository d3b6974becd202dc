"""Finished tables arranged for reading: answers, charts with tables, flow. No rate is computed here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ketaoutcomes import figures
from ketaoutcomes.counts.good_time_cells import UNSCORED
from ketaoutcomes.report import sentences
from ketaoutcomes.report.additions import Plain, each_row
from ketaoutcomes.report.charts import chart
from ketaoutcomes.report.finished import Described, grouping
from ketaoutcomes.report.periods import current_grains
from ketaoutcomes.results.wording import (
    HIDDEN,
    NONE,
    capital,
    count,
    during,
    is_number,
    label,
    listed,
    percent,
    period,
    plural,
)

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from ketaoutcomes.plan import Plan

_LATER = re.compile("[,;:]")
Size = tuple[float, float]
COLUMN: Size = (5.6, 3.1)
"""A chart that stands in one of two columns."""


class Pair(NamedTuple):
    """A criterion at one point: of everyone due, and of those scored. Rows of `course_results.rates`."""

    everyone: Any
    scored: Any


@dataclass(frozen=True)
class Line:
    """One row of a table of rates."""

    head: str
    due: float
    assessed: float
    pairs: tuple[Pair, ...]

    @property
    def exists(self) -> bool:
        """Whether there are such numbers at all, shown or hidden."""
        reason = str(self.pairs[0].everyone.reason)
        return reason in ("", "hidden", "no_cut_day") or is_number(self.due)

    @property
    def scored_only(self) -> bool:
        """Whether nobody can be called due, so that only those scored are told of."""
        return str(self.pairs[0].everyone.reason) == "no_cut_day"


@dataclass(frozen=True)
class Block:
    """One table of rates, and the conclusion and the chart that go with it."""

    title: str
    head: str
    criteria: tuple[str, ...]
    lines: tuple[Line, ...]
    says: str = ""
    drawn: Markup | None = None

    @property
    def due_only(self) -> bool:
        """Whether rates of those scored are hidden in most rows of a table by period: they are left out."""
        scored = [pair.scored.reason == "hidden" for line in self.lines for pair in line.pairs]
        return self.head in ("Month", "Period") and 2 * sum(scored) > len(scored)

    @property
    def is_shown(self) -> bool:
        """Whether there is anything to read: a rate, or a hidden one."""
        rows = [row for line in self.lines for pair in line.pairs for row in pair]
        return any(is_number(row.rate) or row.reason == "hidden" for row in rows)


@dataclass(frozen=True)
class Answer:
    """The headline of one instrument for one period; `reason` says why there is none.

    `during` is the period in words, empty for everything since the records begin. `scored_only` where nobody
    can be called due, so that only those scored are told of.
    """

    instrument: str
    when: str
    due: float
    assessed: float
    known: tuple[tuple[str, Pair], ...]
    reason: str
    during: str = ""
    scored_only: bool = False

    @property
    def shown(self) -> tuple[tuple[str, Pair], ...]:
        """Criteria whose rate of everyone due is shown."""
        return tuple((said, pair) for said, pair in self.known if is_number(pair.everyone.rate))

    @property
    def hidden(self) -> tuple[str, ...]:
        """What the criteria say whose rate is not shown."""
        return tuple(said for said, pair in self.known if not is_number(pair.everyone.rate))


@dataclass(frozen=True)
class Step:
    """One row of the flow, a number per instrument: who stayed, who left, who is counted in the end."""

    kind: str
    words: str
    numbers: tuple[float, ...]


@dataclass(frozen=True)
class Stay:
    """Who stayed, for one protocol: rows of `course_results.retention`, and what they say."""

    protocol: str
    rows: tuple[Any, ...]
    says: str


class Words:
    """Readers' words for the ids of a plan: instruments, criteria, protocols."""

    def __init__(self, plan: Plan) -> None:
        self.known = known = plan.definitions
        self.criteria = [known.criterion(name) for name in plan.criteria.primary]
        self.instruments = list(dict.fromkeys(c.instrument for c in self.criteria))
        self.first = {c.instrument: c.name for c in reversed(self.criteria)}
        self.titles = {name: label(known.instrument(name).title) for name in self.instruments}
        self.recalls = {self.titles[name]: known.instrument(name).recall_days for name in self.instruments}
        self.short = {c.name: sentences.short_name(c) for c in self.criteria}
        self.known_to = {c.name: sentences.known_to(c, known.instrument(c.instrument)) for c in self.criteria}
        self.protocols = {name: label(protocol.title, 160) for name, protocol in known.protocols.items()}
        self._schedules = {name: capital(_LATER.split(title)[0]) for name, title in self.protocols.items()}
        self._places = {name: place for place, name in enumerate(dict.fromkeys(plan.protocol.values()))}

    def schedule(self, name: str, *, mark: bool = False) -> str:
        """A protocol in a few words: its title up to the first comma; its id, too, where others begin alike.

        With `mark`, the id by which charts call it stands beside it.

        >>> from ketaoutcomes.plan import Plan
        >>> Words(Plan()).schedule("iv6"), Words(Plan()).schedule("esketamine")
        ('6 intravenous sessions in 2 to 3 weeks', 'Intranasal esketamine twice a week for 4 weeks')
        >>> Words(Plan()).schedule("im", mark=True)
        '4 to 6 intramuscular sessions (im)'
        """
        said = self._schedules.get(name, label(name))
        alike = list(self._schedules.values()).count(said) > 1
        return f"{said} ({label(name)})" if (mark or alike) and said != label(name) else said

    def by_plan(self, names: Iterable[str]) -> list[str]:
        """Protocols in the plan's order; other names after them, as they come."""
        return sorted(names, key=lambda name: self._places.get(name, len(self._places)))


def answers(tables: Mapping[str, Described], words: Words) -> list[Answer]:
    """The headline per instrument: at the end of the series, or in the last week where nothing has an end."""
    found: list[Answer] = []
    for name, when in (("rates_end", "at the end of the series"), ("rates_week", "in week {}")):
        if name in tables:
            each = [_answer(tables[name].table, instrument, when, words) for instrument in words.instruments]
            found = [answer for answer in each if answer is not None]
            if any(not answer.reason for answer in found):
                return found
    return found


def latest(described: Described | None, words: Words) -> dict[str, Answer]:
    """By instrument title, the last closed period of the shortest grain that shows its first criterion."""
    found: dict[str, Answer] = {}
    table = described.table if described is not None else None
    for instrument in words.instruments if table is not None else ():
        mine = table[table["instrument"] == instrument]  # type: ignore[index]
        for grain in current_grains(mine):
            own = mine[mine["grain"] == grain]
            names = sorted(own["period"].unique())
            rows = own[own["period"] == names[-1]] if names else own
            if len(rows) and is_number(rows[rows["analysis"] == "nri"]["rate"].iloc[0]):
                answer = _answer(rows.assign(point="end"), instrument, "at the end of the series", words)
                if answer is not None:
                    found[answer.instrument] = replace(answer, during=during(names[-1]))
                    break
    return found


def _answer(table: pd.DataFrame, instrument: str, when: str, words: Words) -> Answer | None:
    rows = table[table["instrument"] == instrument]
    if rows.empty:
        return None
    point = str(rows["point"].iloc[-1])
    line = _line(point, rows[rows["point"].astype(str) == point])
    known = tuple(
        (words.known_to[p.everyone.criterion], p)
        for p in line.pairs
        if p.everyone.criterion in words.known_to
    )
    reasons = sorted({str(pair.everyone.reason) for _, pair in known})
    given = any(is_number(pair.everyone.rate) for _, pair in known)
    scored = any(is_number(pair.scored.rate) for _, pair in known)
    reason = "" if given or scored else sentences.reason(reasons[0])
    only = scored and not given and reasons[0] == "no_cut_day"
    at = when.format(label(point))
    return Answer(words.titles[instrument], at, line.due, line.assessed, known, reason, scored_only=only)


def last_known(described: Described | None, words: Words) -> str:
    """What the last scores of those without an end score say, beside the headline."""
    if described is None:
        return ""
    n = {str(row.state): float(row.n) for row in each_row(described.table)}
    said = words.known_to.get(str(described.table["criterion"].iloc[0]), "to meet the criterion")
    if not is_number(n.get("unscored", math.nan)) or not n["unscored"]:
        return ""
    told = [count(n[state]) if is_number(n[state]) else "a hidden number" for state in UNSCORED]
    met, not_met, never = told
    return (
        f"Of the {count(n['unscored'])} without a score there in all periods, {met} had been known {said} at "
        f"their last score, {not_met} had not, and {never} had no score between the first dose and then."
    )


def point_blocks(
    described: Described | None, words: Words, size: Size = COLUMN, *, draw: bool = True
) -> list[tuple[str, Block]]:
    """One block per group and instrument, its rows the points; each with the name of its group."""
    found: list[tuple[str, Block]] = []
    if described is None:
        return found
    by = grouping(described.table)
    for key, rows in described.table.groupby([*by, "instrument"], sort=False, dropna=False):
        *group, instrument = map(str, key)
        if instrument not in words.titles:
            continue
        axis = str(rows["axis"].iloc[0])
        points = rows.groupby("point", sort=False)
        lines = tuple(_line(period(str(point)), part) for point, part in points)
        says = _conclusion(axis, lines, words)
        svg = _drawn(rows, f"{described.name}-{len(found)}", words, says, size) if draw else None
        head = {"session": "Session", "week": "Week", "month": "Month"}.get(axis, "Point")
        head = "Period" if axis == "month" and rows["point"].str.contains("/").any() else head
        block = Block(words.titles[instrument], head, _heads(lines, words), lines, says, svg)
        found.append((", ".join(group), block))
    return found


def group_blocks(tables: Sequence[Described | None], head: str, words: Words) -> list[Block]:
    """One block per instrument, its rows the groups of one or more tables that have a single point."""
    found = []
    for instrument in words.instruments:
        lines: list[Line] = []
        for table in (each.table for each in tables if each is not None):
            rows = table[table["instrument"] == instrument]
            by = grouping(rows)
            if by:
                parts = {
                    ", ".join(map(str, key)): part for key, part in rows.groupby(by, sort=False, dropna=False)
                }
                called = words.schedule if by == ["protocol"] else str
                lines += [_line(called(name), parts[name]) for name in words.by_plan(parts)]
            elif len(rows):
                lines.append(_line("Everyone", rows))
        if lines:
            found.append(Block(words.titles[instrument], head, _heads(lines, words), tuple(lines)))
    return found


def _line(head: str, rows: pd.DataFrame) -> Line:
    found: dict[str, dict[str, Any]] = {}
    for row in each_row(rows):
        found.setdefault(row.criterion, {})[row.analysis] = row
    pairs = tuple(Pair(each["nri"], each["observed"]) for each in found.values())
    # One criterion's row may hide what another's shows.
    due, assessed = (_first_known(pairs, name) for name in ("due", "assessed"))
    return Line(label(head), due, assessed, pairs)


def _first_known(pairs: Sequence[Pair], name: str) -> float:
    numbers = (float(getattr(pair.everyone, name)) for pair in pairs)
    return next((number for number in numbers if is_number(number)), math.nan)


def _heads(lines: Sequence[Line], words: Words) -> tuple[str, ...]:
    named = [pair.everyone.criterion for pair in lines[0].pairs]
    return tuple(words.short.get(name, label(name)) for name in named)


def _drawn(rows: pd.DataFrame, name: str, words: Words, says: str, size: Size) -> Markup | None:
    if not rows["rate"].notna().any():
        return None
    columns = ["axis", "criterion", "analysis", "point", "due", "assessed", "rate", "low", "high", "reason"]
    draw = partial(draw_on, figure=figures.rates, table=rows[columns], names=words.short)
    return chart(draw, name=name, says=f"Chart. {says} The table below holds every number.", size=size)


def draw_on(ax: Any, *, figure: Any, table: pd.DataFrame, names: Mapping[str, str]) -> None:
    """Draw a table with one of the functions of `figures`; a form that `chart` can call."""
    figure(table, ax=ax, names=names)


def _conclusion(axis: str, lines: Sequence[Line], words: Words) -> str:
    """What a chart of rates says: the last point that can be shown, against the first."""
    place = {"session": "After session {}", "week": "In week {}", "month": "In {}"}.get(axis, "At the end")
    seen = [line for line in lines if any(is_number(pair.everyone.rate) for pair in line.pairs)]
    if not seen:
        return _without(axis, lines, place)
    last, first = seen[-1], seen[0]
    parts: list[str] = []
    for row in (pair.everyone for pair in last.pairs if is_number(pair.everyone.rate)):
        who = plural(row.n, "patient", "patients")
        of = "" if parts else f" of the {count(row.n)} {who} due are known"
        parts.append(
            f"{percent(row.met, row.n)}{of} {words.known_to.get(row.criterion, 'to meet the criterion')}"
        )
    scored = f"{count(last.assessed)} {plural(last.assessed, 'was', 'were')} scored"
    if not is_number(last.assessed):
        scored = "how many were scored is hidden"
    said = f"{place.format(last.head)}, {listed(parts)}; {scored}."
    if first is not last:
        before = [pair.everyone for pair in first.pairs if is_number(pair.everyone.rate)]
        told = [
            percent(row.met, row.n) + (f" ({words.short[row.criterion]})" if len(before) < len(parts) else "")
            for row in before
        ]
        said += f" {place.format(first.head)} it was {listed(told)}."
    return said


def _without(axis: str, lines: Sequence[Line], place: str) -> str:
    """Why a chart shows no rate of everyone due, and what it shows of those scored."""
    reasons = {str(pair.everyone.reason) for line in lines for pair in line.pairs}
    scored = [line for line in lines if any(is_number(pair.scored.rate) for pair in line.pairs)]
    if "no_cut_day" in reasons and scored:
        last = scored[-1]
        told = [percent(p.scored.met, p.scored.n) for p in last.pairs if is_number(p.scored.rate)]
        return (
            f"Of those scored only, since {sentences.reason('no_cut_day')}: "
            f"{place.format(last.head).lower()} {listed(told)} of {count(last.assessed)}."
        )
    if "hidden" in reasons:
        return "Too few patients to show."
    return sentences.reason(min(reasons)).capitalize() + "."


def flow_steps(described: Described | None, words: Words) -> list[Step]:
    """The flow down the page, a column of numbers per instrument; a sum with a hidden part is hidden."""
    if described is None:
        return []
    table, instruments = described.table, words.instruments
    patients = [_reasons(table, "patient", "patients", "")] * len(instruments)
    courses = [_reasons(table, "course", "courses", instrument) for instrument in instruments]
    due = [_reasons(table, "course", "due", instrument) for instrument in instruments]
    return [
        Step("stays", "patients in the records", tuple(math.fsum(found.values()) for found in patients)),
        *_losses(patients, "with_course"),
        Step("stays", "patients with a treatment series", _kept(patients, "with_course")),
        Step("stays", "series found", tuple(math.fsum(found.values()) for found in courses)),
        *_losses(courses, "eligible"),
        Step("stays", "one series of each, with a baseline to judge by", _kept(courses, "eligible")),
        *_losses(due, "due"),
        Step("counted", "due: counted in every rate", _kept(due, "due")),
    ]


def _reasons(table: pd.DataFrame, unit: str, step: str, instrument: str) -> dict[str, float]:
    rows = table[
        (table["unit"] == unit) & (table["step"] == step) & table["instrument"].isin([instrument, ""])
    ]
    return {str(row.reason): float(row.n) for row in each_row(rows)}


def _losses(found: Sequence[Mapping[str, float]], but: str) -> list[Step]:
    codes = dict.fromkeys(code for each in found for code in each if code != but)
    return [Step("left", sentences.reason(code), _kept(found, code)) for code in codes]


def _kept(found: Sequence[Mapping[str, float]], code: str) -> tuple[float, ...]:
    return tuple(each.get(code, 0.0) for each in found)


def stays(described: Described | None, words: Words) -> list[Stay]:
    """Retention by protocol, in the plan's order."""
    found = []
    for name, rows in _by_protocol(described, words).items():
        nobody = all(row.due == 0 for row in rows)
        says = "Nobody is due yet." if nobody else "Too few patients to show."
        seen = [row for row in rows if is_number(row.rate)]
        if seen:
            last = seen[-1]
            says = f"{percent(last.reached, last.due)} of {count(last.due)} received session {last.session}"
            if is_number(last.median_day):
                says += (
                    f", planned for day {last.planned_day:g} and given on day {last.median_day:g} (median)"
                )
            says += "."
        found.append(Stay(name, tuple(rows), says))
    return found


def waits(described: Described | None, words: Words) -> list[Plain]:
    """The median days from each dose to the score after it: for each instrument, schedules by session."""
    rows = {name: {(row.instrument, int(row.session)): row for row in own}
            for name, own in _by_protocol(described, words).items()}  # fmt: skip
    found = []
    for instrument in words.instruments:
        last = max((k for own in rows.values() for of, k in own if of == instrument), default=0)
        lines = tuple(
            (words.schedule(name), *(_days(own.get((instrument, k))) for k in range(1, last + 1)))
            for name, own in rows.items()
        )
        if last:
            heads = (("after session", True), *((str(k), False) for k in range(1, last + 1)))
            found.append(Plain(f"Median days from dose to {words.titles[instrument]} score", heads, lines))
    return found


def _days(row: Any) -> str:
    if row is None or (is_number(row.n) and row.n == 0):
        return NONE
    return f"{row.median_days:g}" if is_number(row.median_days) else HIDDEN


def scored_of_due(table: pd.DataFrame, criterion: str) -> Any:
    """A row of rates at the end with how many are due and scored; None where that is hidden or nobody is."""
    own = table[(table["criterion"] == criterion) & (table["analysis"] == "nri")]
    rows = [row for row in each_row(own) if is_number(row.due) and is_number(row.assessed) and row.due]
    return rows[0] if rows else None


def _by_protocol(described: Described | None, words: Words) -> dict[str, list[Any]]:
    if described is None:
        return {}
    parts = {str(name): rows for name, rows in described.table.groupby("protocol", sort=False)}
    return {name: each_row(parts[name]) for name in words.by_plan(parts)}
