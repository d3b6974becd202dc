"""The section on safety: what was recorded after doses, whether it fades, and who got worse."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ketaoutcomes.counts.safety_counts import COURSE, SAFETY
from ketaoutcomes.records.monitoring import Event, events
from ketaoutcomes.report.additions import Addition, Plain, each_row
from ketaoutcomes.report.charts import chart
from ketaoutcomes.report.finished import Described
from ketaoutcomes.report.overview import Shown
from ketaoutcomes.results.safety_results import NOT_A_SYSTEM, TITLES, safety
from ketaoutcomes.results.wording import (
    HIDDEN,
    NONE,
    capital,
    count,
    decimal,
    interval,
    is_number,
    label,
    percent,
    share,
)

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from ketaoutcomes.counts.tallies import Tally
    from ketaoutcomes.report.views import Words

ONCE, BY_SESSION = "safety", "safety_by_session"
"""Names of a report's Tallies of safety, and of their finished tables."""

TITLE = "Safety"
ABOUT = (
    NOT_A_SYSTEM,
    "Blank is not recorded, never no: such a person or session is in no share. Informs; does not advise on "
    "dose.",
)
COMES_BACK = (
    "Later sessions are those of people who came back: where those who felt unwell stopped coming, a side "
    "effect fades in these numbers without fading in anybody."
)
NOTHING = "No side effect was recorded in any form this report reads; that is not to say that none occurred."


def safety_tables(tallies: Mapping[str, Tally]) -> list[Described]:
    """The finished tables of safety; none where no Tally of that name is there."""
    titles = {
        ONCE: (
            "Safety, once per person",
            "One row per event of anybody dosed, and per question on worsening.",
        ),
        BY_SESSION: ("Safety by session", "One row per session and event, of sessions given."),
    }
    return [
        Described(name, *words, safety(tallies[name])) for name, words in titles.items() if name in tallies
    ]


def side_effects(tables: Mapping[str, Described], words: Words) -> Addition | None:
    """The section; None where there is nothing to say."""
    if ONCE not in tables:
        return None
    table = tables[ONCE].table
    seen = table[(table["axis"] == COURSE) & (table["instrument"] == SAFETY)]
    worse = table[(table["axis"] == COURSE) & (table["instrument"] != SAFETY)]
    recorded = bool((seen["n"].isna() | (seen["n"] > 0)).any())
    found = []
    if recorded:
        rows = [(_title(str(row.measure)), row) for row in each_row(seen)]
        found.append(_once("Recorded after any dose, each person once", "event", rows))
    if len(worse):
        order = {name: at for at, name in enumerate(words.instruments)}
        asked = sorted(each_row(worse), key=lambda row: order.get(str(row.instrument), len(order)))
        rows = [(_question(row, words), row) for row in asked]
        found.append(_once("Got worse, and the item on thoughts of self-harm", "of patients due", rows))
    drawn: tuple[Shown, ...] = ()
    if recorded and BY_SESSION in tables:
        sessions = tables[BY_SESSION].table
        groups = {str(name): rows for name, rows in sessions.groupby("protocol", sort=False)}
        drawn = _fading(groups, words)
        shown = [_by_session(name, groups[name], words) for name in words.by_plan(groups)]
        found += [one for one in shown if one is not None]
    if not found:
        return None
    says = (_coverage(seen) if recorded else NOTHING,)
    notes = (COMES_BACK,) if drawn else ()
    return Addition(ONCE, TITLE, ABOUT, tuple(found), says, drawn, notes)


def _coverage(seen: pd.DataFrame) -> str:
    """Of how many people it is known whether they had the event that is recorded of most."""
    of = float(seen["of"].max())
    known = seen["n"].dropna()
    if not len(known) or not is_number(of):
        return "How many of those dosed have a record after a dose is hidden."
    most = float(known.max())
    return (
        f"Of {count(of)} people dosed, what happened after a dose is on record for {count(most)}; the other "
        f"{count(of - most)} count neither as yes nor as no."
    )


def _title(measure: str) -> str:
    known = {event.name: event.title for event in events()}
    text = known.get(measure) or label(measure, 160)
    return capital(text)


def _short(event: Event) -> str:
    """An event as the head of a column."""
    if not event.systolic:
        return event.title.removeprefix("a ").replace("adverse ", "")
    limits = f"{event.systolic}/{event.diastolic}"
    return f"BP up {limits}" if event.rise else f"BP {limits}"


def _question(row: Any, words: Words) -> str:
    """A question on worsening in words."""
    name, instrument = str(row.measure), str(row.instrument)
    when = {"last": " at the last score", "any": " at any score"}.get(str(row.point), "")
    test = label(words.known.instruments[instrument].title) if instrument in words.known.instruments else ""
    if name in TITLES:
        when = "at any later score" if row.point == "any" else "at the last score"
        item = words.known.instruments[instrument].flag_item if test else ""
        return f"{test} {TITLES[name].format(item=item, when=when)}"
    known = words.known.criteria.get(name)
    return f"{label(known.title if known else name, 160)}{when}"


def _once(title: str, head: str, rows: list[tuple[str, Any]]) -> Plain:
    heads = ((head, True), ("had it", False), ("share", False), ("interval", False), ("not recorded", False))
    return Plain(title, heads, tuple((name, *_cells(row)) for name, row in rows))


def _cells(row: Any) -> tuple[str, ...]:
    if is_number(row.n) and row.n == 0:
        return (NONE, NONE, NONE, count(row.not_recorded))
    if not is_number(row.value):
        return (HIDDEN, HIDDEN, HIDDEN, count(row.not_recorded))
    had = f"{count(row.count)} of {count(row.n)}"
    return (had, percent(row.count, row.n), interval(row.low, row.high), count(row.not_recorded))


def _by_session(protocol: str, rows: pd.DataFrame, words: Words) -> Plain | None:
    """One protocol: a row per session, a column per event that is shown anywhere; None where nothing is."""
    told = rows[rows["value"].notna()]
    columns = [event for event in events() if event.name in set(told["measure"])]
    measured = [name for name in MEASURED if name in set(told["measure"])]
    if not columns and not measured:
        return None
    cell = {(str(row.point), str(row.measure)): row for row in each_row(rows)}
    names = [event.name for event in columns]
    points = list(dict.fromkeys(str(point) for point in rows["point"]))
    lines = []
    for point in points:
        given = next((cell[point, name] for name in (*names, *measured) if (point, name) in cell), None)
        of = count(given.of) if given is not None else NONE
        own = tuple(_value(cell.get((point, name))) for name in (*names, *measured))
        lines.append((point, of, *own))
    heads = [("session", True), ("given", False), *((_short(event), False) for event in columns)]
    heads += [(MEASURED[name], False) for name in measured]
    title = f"{words.schedule(protocol)}: share of sessions on record"
    return Plain(title, tuple(heads), tuple(lines))


MEASURED = {"cadss": "CADSS, mean", "minutes_observed": "minutes, median"}


def _value(row: Any) -> str:
    if row is None or (is_number(row.n) and row.n == 0):
        return NONE
    if not is_number(row.value):
        return HIDDEN
    if row.statistic == "share":
        return f"{percent(row.count, row.n)} of {count(row.n)}"
    return decimal(row.value, 1 if row.statistic == "mean" else 0)


def _fading(groups: Mapping[str, pd.DataFrame], words: Words) -> tuple[Shown, ...]:
    """The first event, session by session, for every protocol of which two sessions are shown."""
    event = events()[0]
    own = {
        name: rows[rows["measure"] == event.name]
        for name, rows in groups.items()
        if (rows[rows["measure"] == event.name]["value"].notna()).sum() > 1
    }
    if not own:
        return ()
    said = []
    for name in words.by_plan(own):
        known = own[name][own[name]["value"].notna()]
        first, last = (known.iloc[at] for at in (0, -1))
        said.append(
            f"{words.schedule(name, mark=True)} from {share(first['value'])} in session "
            f"{first['point']} to {share(last['value'])} in session {last['point']}"
        )
    says = f"Of sessions on record: {'; '.join(said)}."
    title = f"{capital(event.title)} by session"
    return (Shown(title, says, _drawn([own[name] for name in words.by_plan(own)], event.name, says)),)


def _drawn(parts: list[pd.DataFrame], measure: str, says: str) -> Markup:
    import pandas as pd

    from ketaoutcomes.figures import side_effects as figure

    table = pd.concat(parts[:6], ignore_index=True)
    told = f"Chart. {says} The tables below hold every number."
    draw = partial(_lines, figure=figure, table=table, measure=measure)
    return chart(draw, name="safety-sessions", says=told, size=(9.2, 3.1), left=1.2, top=0.35, bottom=0.5)


def _lines(ax: Any, *, figure: Any, table: pd.DataFrame, measure: str) -> None:
    figure(table, measure, ax=ax)
