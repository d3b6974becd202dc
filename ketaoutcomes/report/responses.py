"""How soon people responded, whether early responses lasted, and boosters: what every report may tell.

From the cells and daily moves of good time, and from who had ever met a criterion by session: protected in a
shared report, as counted in an internal one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.report.additions import Plain, each_row
from ketaoutcomes.report.charts import chart
from ketaoutcomes.report.finished import Described
from ketaoutcomes.report.overview import Shown
from ketaoutcomes.report.sentences import short_name
from ketaoutcomes.results import lasting_results
from ketaoutcomes.results.wording import (
    HIDDEN,
    NONE,
    count,
    interval,
    is_number,
    label,
    listed,
    share,
)

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.counts.tallies import Tally
    from ketaoutcomes.report.views import Words

ONSET = "onset"
"""Name of a report's Tally of who had ever met the first criteria, by session."""

OTHER_RESPONSES = "responses_"
"""What the names of Tallies of good time by the first criterion of another instrument begin with."""

STARTED, BY_SESSION, KEPT, BOOSTERS = (
    f"durability_{name}" for name in ("started", "by_session", "kept", "doses")
)
"""Names of the finished tables."""

EVERY = 7  # days between the points of the curve
NUMBERS = {
    "none": "none", "one": "one", "two": "two", "three_or_more": "three or more",
    "no_visits": "no visits planned",
}  # fmt: skip
NONE_OR_NO_VISITS = "none+no_visits"
_STARTED = "Of everyone who started, whatever their dose: who has met the criterion, by the day of the score."
_BY_SESSION = "Of the patients due: who has ever met the criterion by the score after each session."
_KEPT = "Mature courses that responded early: who lost it again, at one score, by named days."
_BOOSTERS = "Doses after the planned series, of mature courses whose protocol plans visits, or of all."


def response_tables(tallies: Mapping[str, Tally]) -> list[Described]:
    """The finished tables of responses that every report may hold; none where nothing of it was counted."""
    import pandas as pd

    from ketaoutcomes.results.course_results import rates

    found = []
    good_time = next((t for t in tallies.values() if t.header.basis and not t.header.by), None)
    others = [tally for name, tally in tallies.items() if name.startswith(OTHER_RESPONSES)]
    if good_time is not None and len(good_time.transitions):
        started = [_started(one) for one in (good_time, *others) if len(one.transitions)]
        started_table = pd.concat(started, ignore_index=True)
        found.append(Described(STARTED, "Responses by day", _STARTED, started_table))
    if ONSET in tallies:
        table = rates(tallies[ONSET], at="session", kind="ever", analysis="nri")
        table = table[table["point"].astype(str) != ""].reset_index(drop=True)
        found.append(Described(BY_SESSION, "Responses by session", _BY_SESSION, table))
    if good_time is not None:
        each = [lasting_results.kept(one) for one in (good_time, *others)]
        kept, doses = pd.concat(each, ignore_index=True), lasting_results.boosters(good_time)
        found.append(Described(KEPT, "Early responses, later", _KEPT, kept))
        found.append(Described(BOOSTERS, "Boosters of mature courses", _BOOSTERS, doses))
    return [one for one in found if len(one.table)]


def _started(tally: Tally) -> pd.DataFrame:
    """The all-started curve every few days, on the calendar days, and on the day by which half had met it."""
    from ketaoutcomes.results import curve_results

    longest = int(tally.header.settings["points"]["curve_days"])
    named = [int(day) for day in tally.header.settings["good_time"]["calendar_days"]]
    table = curve_results.all_started(tally)
    half = table.loc[table["share"] >= 0.5, "day"].min()
    days = {*range(0, longest + 1, EVERY), *named, half}
    table = table[table["day"].isin(days)].reset_index(drop=True)
    table = table.assign(clock="first_dose", named=table["day"].isin(named))
    first = ["instrument", "criterion", "clock", "day", "named"]
    return table[[*first, *(name for name in table if name not in first)]]


@dataclass(frozen=True)
class Told:
    """What is said of responses: sentences, charts and tables, in reading order."""

    says: tuple[str, ...] = ()
    figures: tuple[Shown, ...] = ()
    tables: tuple[Plain, ...] = ()


def told_of(tables: Mapping[str, Described], words: Words, *, shared: bool, soon: bool) -> Told:
    """Sentences, charts and tables of what is there; what is hidden is said to be. `soon`: with its chart."""
    says: list[str] = []
    figures: list[Shown] = []
    shown: list[Plain] = []
    get = {name: tables[name].table for name in (STARTED, BY_SESSION, KEPT, BOOSTERS) if name in tables}
    for own in _by_criterion(get.get(STARTED)):
        says.append(_how_soon(own, words))
        figures += _soon_chart(own, words, shared) if soon else []
    if BY_SESSION in get:
        shown += _sessions_table(get[BY_SESSION], words)
    for own in _by_criterion(get.get(KEPT)):
        says.append(_how_long(own, words))
        if own["n"].iloc[0] != 0:
            figures += _kept_chart(own, words)
            shown.append(_kept_table(own, words))
    if BOOSTERS in get and get[BOOSTERS]["of"].iloc[0] != 0:
        says.append(_boosters_said(get[BOOSTERS]))
        shown.append(_boosters_table(get[BOOSTERS]))
    return Told(tuple(says), tuple(figures), tuple(shown))


def _by_criterion(table: pd.DataFrame | None) -> list[pd.DataFrame]:
    """The rows of each criterion, in their order; none without a table."""
    if table is None:
        return []
    return [rows.reset_index(drop=True) for _, rows in table.groupby("criterion", sort=False)]


def _name(criterion: str, words: Words) -> str:
    """A criterion in readers' words."""
    known = words.known.criterion(criterion)
    title = label(words.known.instrument(known.instrument).title)
    return f"{title} {short_name(known)}"


def _instrument(criterion: str, words: Words) -> str:
    return words.known.criterion(criterion).instrument


def _with_limits(rate: float, low: float, high: float) -> str:
    limits = interval(low, high)
    return share(rate) if limits == NONE else f"{share(rate)} ({limits})"


# --- how soon --------------------------------------------------------------------------------------------


def _how_soon(table: pd.DataFrame, words: Words) -> str:
    """The share who had met the criterion on the calendar days, and when half had."""
    name = _name(str(table["criterion"].iloc[0]), words)
    known = table[table["share"].notna()]
    named = [row for row in each_row(known) if row.named]
    if not named:
        return f"How soon people met “{name}” is {HIDDEN}."
    told = [f"{_with_limits(row.share, row.low, row.high)} by day {row.day}" for row in named]
    last = known.iloc[-1]
    half = known.loc[known["share"] >= 0.5, "day"]
    ends = (
        f"half had by day {int(half.iloc[0])}" if len(half)
        else f"fewer than half had by day {int(last['day'])}, the last shown ({share(float(last['share']))})"
    )  # fmt: skip
    return f"Of {count(named[0].n)} who started, {listed(told)} had met “{name}”; {ends}."


def _soon_chart(table: pd.DataFrame, words: Words, shared: bool) -> list[Shown]:
    from ketaoutcomes import figures

    if table["share"].notna().sum() < 2:
        return []
    criterion = str(table["criterion"].iloc[0])
    says = "Of all who started, whatever their dose, by the day of the score that first showed it."
    says += " Shown once more than ten had gathered, so a few days late." if shared else ""
    drawn = table[table["day"] % EVERY == 0].assign(competing="", stopped_share=np.nan)
    drawn = drawn.rename(columns={"share": "estimate"}).drop(columns="named").reset_index(drop=True)
    draw = partial(_draw, figure=figures.curve, table=drawn, names={criterion: "met it"})
    name = _name(criterion, words)
    of = f"started-{_instrument(criterion, words)}"
    svg = chart(draw, name=of, says=f"Chart of {name}. {says}", right=1.7)
    return [Shown(f"{name}: how soon", says, svg)]


def _draw(ax: Any, *, figure: Any, table: pd.DataFrame, names: Mapping[str, str]) -> None:
    figure(table, ax=ax, names=names)


def _sessions_table(table: pd.DataFrame, words: Words) -> list[Plain]:
    """One table per first criterion: protocols by session."""
    found = []
    for criterion in (words.first[name] for name in words.instruments):
        own = table[table["criterion"] == criterion]
        points = sorted({int(point) for point in own["point"] if str(point).isdigit()})
        cell = {(str(row.protocol), int(row.point)): row for row in each_row(own) if str(row.point).isdigit()}
        lines = []
        for protocol in words.by_plan(dict.fromkeys(name for name, _ in cell)):
            rows = [cell.get((protocol, point)) for point in points]
            due = next((row.n for row in rows if row is not None and is_number(row.n)), None)
            if due == 0:
                continue
            cells = [
                share(row.rate) if row is not None and is_number(row.rate)
                else HIDDEN if row is not None and row.reason == HIDDEN else NONE
                for row in rows
            ]  # fmt: skip
            lines.append((words.schedule(protocol), count(due), *cells))
        if lines:
            heads = (("schedule", True), ("due", False), *((f"session {point}", False) for point in points))
            title = f"{_name(criterion, words)}: met at a score by session, of all due"
            found.append(Plain(title, heads, tuple(lines)))
    return found


# --- how long --------------------------------------------------------------------------------------------


def _after(day: int) -> str:
    return f"{day // 7} weeks" if day % 7 == 0 else f"{day} days"


def _how_long(table: pd.DataFrame, words: Words) -> str:
    """Who had lost an early response again, what is estimated, and between which bounds it lies."""
    name = _name(str(table["criterion"].iloc[0]), words)
    of = f"met “{name}” by day {int(table['by_day'].iloc[0])}"
    if table["n"].iloc[0] == 0:
        return f"No mature course {of}."
    rows = [row for row in each_row(table) if row.day and is_number(row.no_relapse)]
    if not rows:
        return f"How long it lasted for mature courses that {of} is {HIDDEN}."
    lost = [f"{count(row.lost)} by {_after(row.day)}" for row in rows]
    last = rows[-1]
    begun = (
        f"Of {count(last.n)} mature courses that {of}, these had lost it again at one score: {listed(lost)}."
    )
    return (
        f"{begun} {count(last.not_scored)} were not scored any more by then. If those fared alike, "
        f"{_with_limits(last.no_relapse, last.low, last.high)} still had it {_after(last.day)} later; "
        f"whatever became of them, between {share(last.kept_at_least)} and {share(last.kept_at_most)}."
    )


def _kept_chart(table: pd.DataFrame, words: Words) -> list[Shown]:
    from ketaoutcomes import figures

    if table["no_relapse"].notna().sum() < 2:
        return []
    criterion = str(table["criterion"].iloc[0])
    name = _name(criterion, words)
    says = (
        "Of mature courses that met it early: the estimated share that had not lost it, on named days. The "
        "band reaches as far as those not scored any more could move it."
    )
    names = {criterion: "not lost", "others": "all unscored\nhad lost it"}
    draw = partial(_draw, figure=figures.kept, table=table, names=names)
    of = f"kept-{_instrument(criterion, words)}"
    svg = chart(draw, name=of, says=f"Chart of {name}. {says}", right=1.7)
    return [Shown(f"{name}: how long", says, svg)]


def _kept_table(table: pd.DataFrame, words: Words) -> Plain:
    heads = (
        ("after the response", True), ("lost it at one score", False), ("not scored any more", False),
        ("followed without a loss", False), ("still had it (estimate)", False), ("at least", False),
        ("at most", False),
    )  # fmt: skip
    lines = []
    for row in (row for row in each_row(table) if row.day):
        rest = [
            _with_limits(row.no_relapse, row.low, row.high),
            share(row.kept_at_least),
            share(row.kept_at_most),
        ]
        rest = [HIDDEN] * 3 if row.reason == HIDDEN else rest
        lines.append((_after(row.day), count(row.lost), count(row.not_scored), count(row.at_risk), *rest))
    n = table["n"].iloc[0]
    title = (
        f"{_name(str(table['criterion'].iloc[0]), words)}: what became of it, of {count(n)} mature courses"
    )
    return Plain(title, heads, tuple(lines))


# --- boosters --------------------------------------------------------------------------------------------


def _boosters_said(table: pd.DataFrame) -> str:
    of, by_day = float(table["of"].iloc[0]), int(table["by_day"].iloc[0])
    none = table[table["boosters"].str.split("+").str[0] == "none"]
    planned = "" if (none["boosters"] == NONE_OR_NO_VISITS).any() else " with planned visits"
    began = f"{count(of) if is_number(of) else f'A {HIDDEN} number of'} mature courses{planned}"
    if not is_number(of) or none.empty or not is_number(float(none["n"].iloc[0])):
        return f"How many of {began[0].lower() + began[1:]} had boosters is {HIDDEN}."
    row = each_row(none)[0]
    some = f"{share(1 - row.share)}, {interval(1 - row.high, 1 - row.low)}"
    return (
        f"Of {began}, {count(of - row.n)} ({some}) had a dose after the planned series within {by_day} days "
        "of the first."
    )


def _boosters_table(table: pd.DataFrame) -> Plain:
    lines = []
    for row in each_row(table):
        name = listed([NUMBERS[one] for one in str(row.boosters).split("+")]).replace(" and ", " or ")
        rate = _with_limits(row.share, row.low, row.high) if is_number(row.share) else HIDDEN
        lines.append((name, count(row.n), rate))
    heads = (("doses after the planned series", True), ("courses", False), ("share", False))
    title = f"Boosters within {int(table['by_day'].iloc[0])} days of the first dose"
    return Plain(title, heads, tuple(lines))
