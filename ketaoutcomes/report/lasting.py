"""The section on durability: how soon people responded, and whether it lasted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ketaoutcomes.report.additions import Addition, Plain, each_row
from ketaoutcomes.report.charts import chart
from ketaoutcomes.report.finished import Described
from ketaoutcomes.report.overview import Shown
from ketaoutcomes.report.responses import KEPT, STARTED, response_tables, told_of
from ketaoutcomes.results import response_curves
from ketaoutcomes.results.durability import CAUTION, durability
from ketaoutcomes.results.wording import NONE, count, interval, is_number, label, listed, percent, share

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.counts.tallies import Tally
    from ketaoutcomes.report.views import Words

NAME = "durability"
"""Name of a report's Tally of durability, and what the names of its finished tables begin with."""

TITLE = "How soon, and for how long"
NOT_TOLD = (
    "Who had met it by which session, relapse since every response, sustained response, intervals between "
    "boosters and time off treatment are not in shared reports: counts that follow people from day to "
    "day cannot be protected beside the others. An internal report holds them."
)
RULES = ("lost", "lost_confirmed")
"""Relapse as the page tells it, for every criterion: it is no longer met. The workbook has the others."""

EVERY = 7  # days between the points of a curve


def durability_tables(tallies: Mapping[str, Tally], folders: Sequence[str] = ()) -> list[Described]:
    """The finished tables of durability; by day where a Tally of that name is there."""
    every = response_tables(tallies)
    if NAME not in tallies:
        return every
    import pandas as pd

    tally = tallies[NAME]
    found = durability(tally, folders=folders)
    if not len(found.summary):
        return every
    days = list(range(0, int(found.curve["day"].max()) + 1, EVERY))
    onset = response_curves.curve(tally, days=days)
    told = [
        (name, response_curves.sentence(tally, criterion=name)) for name in dict.fromkeys(onset["criterion"])
    ]
    tables = {
        "said": ("Time to response in a sentence", pd.DataFrame(told, columns=["criterion", "sentence"])),
        "onset": ("Time to response", onset),
        "curve": ("Without a relapse, by day", found.curve),
        "marks": ("Without a relapse, on named days", found.marks),
        "summary": ("Responses and relapses", found.summary),
        "sustained": ("Met at every score for four weeks", found.sustained),
        "boosters": ("Boosters", found.boosters),
        "trend": ("Intervals between boosters", found.trend),
        "time_off": ("Time off treatment", found.time_off),
        "rules": ("Rules of relapse", found.rules),
    }
    return every + [
        Described(f"{NAME}_{name}", f"Durability: {title.lower()}", CAUTION, table)
        for name, (title, table) in tables.items()
        if len(table)
    ]


def lasting(
    tables: Mapping[str, Described], words: Words, *, shared: bool = False, day: str = ""
) -> Addition | None:
    """The section: what every report tells of responses, then what only an internal one does.

    `day` is the one since which a shared report repeats it.
    """
    inside = f"{NAME}_summary" in tables
    told = told_of(tables, words, shared=shared, soon=not inside)
    if not inside and not told.says:
        return None
    says = [*([REPEATED.format(day=day)] if day else []), *told.says]
    shown, figures = list(told.tables), list(told.figures)
    if inside:
        more, charts, found = _inside(tables, words)
        says, figures, shown = [*says, *more], [*figures, *charts], [*shown, *found]
    notes = (*_one_only(tables, words), NOT_TOLD) if shared else ()
    return Addition(NAME, TITLE, (CAUTION,), tuple(shown), tuple(says), tuple(figures), notes)


def _one_only(tables: Mapping[str, Described], words: Words) -> tuple[str, ...]:
    """That a shared report follows one criterion, and why, where the plan has first criteria of others."""
    told = [str(tables[name].table["criterion"].iloc[0]) for name in (STARTED, KEPT) if name in tables]
    others = [_name(name, words) for name in words.first.values() if name not in told]
    if not told or not others:
        return ()
    return (
        f"Responses are those of “{_name(told[0], words)}”, the criterion of good time. The same courses "
        f"followed by another, as “{others[0]}”, would have to be protected beside it: that is not done yet.",
    )


REPEATED = "These numbers stand as they did on {day}: the difference of two reports would tell of a few."


def _inside(tables: Mapping[str, Described], words: Words) -> tuple[list[str], list[Shown], list[Plain]]:
    """What follows everyone from day to day: sentences, charts and tables of an internal report."""
    get = {name: tables[f"{NAME}_{name}"].table for name in _USED if f"{NAME}_{name}" in tables}
    rules = {str(row.relapse): row for row in each_row(get["rules"]) if row.relapse in RULES}
    first = [words.first[name] for name in words.instruments]
    first = [name for name in first if name in set(get["summary"]["criterion"])]
    says = [_lasted(name, get["marks"], rules, words) for name in first]
    figures = [one for name in first for one in _figures(name, get, rules, words)]
    shown = [_marks(name, get["marks"], rules, words) for name in first]
    shown += [_summary(get["summary"], words)]
    if "sustained" in get:
        shown.append(_sustained(get["sustained"], words))
    return says, figures, shown


_USED = ("onset", "curve", "marks", "summary", "sustained", "rules")


def _name(criterion: str, words: Words) -> str:
    """A criterion in readers' words."""
    known = words.known.criterion(criterion)
    return f"{words.titles.get(known.instrument, label(known.instrument))} {words.short[criterion]}"


def _lasted(criterion: str, marks: pd.DataFrame, rules: Mapping[str, Any], words: Words) -> str:
    """Whether a response lasted to the second of the named days, by each rule."""
    own = marks[marks["criterion"] == criterion]
    days = sorted(set(own["day"]))
    at = own[own["day"] == days[min(1, len(days) - 1)]] if days else own
    rows = {str(row.relapse): row for row in each_row(at) if is_number(row.no_relapse)}
    known = [(rule, rows[name]) for name, rule in rules.items() if name in rows]
    began = f"Of those who met “{_name(criterion, words)}”"
    if not known:
        return f"{began}, too few were followed to say how long it lasted."
    told = [f"{share(row.no_relapse)} had not {_scores(rule)}" for rule, row in known]
    weeks = int(known[0][1].day) // 7
    return f"{began}, {listed(told)} {weeks} weeks later, each followed to the last score."


def _figures(
    criterion: str, tables: Mapping[str, pd.DataFrame], rules: Mapping[str, Any], words: Words
) -> list[Shown]:
    """How soon, and how long, for one criterion."""
    from ketaoutcomes import figures

    title, instrument = _name(criterion, words), words.known.criterion(criterion).instrument
    soon = tables["onset"][tables["onset"]["criterion"] == criterion]
    curve = tables["curve"]
    long = curve[(curve["criterion"] == criterion) & curve["relapse"].isin(list(rules))]
    long = long[long["day"] % (2 * EVERY) == 0]
    scores = {name: _scores(rule) for name, rule in rules.items()}
    found = []
    if soon["estimate"].notna().sum() > 1:
        says = "Of all who started, by the day of the score that first showed it; dotted: who lapsed first."
        names = {criterion: words.short[criterion], "lapse": "lapsed first"}
        draw = partial(_draw, figure=figures.curve, table=soon.reset_index(drop=True), names=names)
        svg = chart(draw, name=f"onset-{instrument}", says=f"Chart of {title}. {says}", right=1.7)
        found.append(Shown(f"{title}: how soon", says, svg))
    if long["no_relapse"].notna().sum() > 1:
        says = "Of those who met it, who had not lost it, drawn every 14 days; cut where few are followed."
        draw = partial(_draw, figure=figures.durability, table=long.reset_index(drop=True), names=scores)
        svg = chart(draw, name=f"relapse-{instrument}", says=f"Chart of {title}. {says}", right=1.7)
        found.append(Shown(f"{title}: how long", says, svg))
    return found


def _draw(ax: Any, *, figure: Any, table: pd.DataFrame, names: Mapping[str, str]) -> None:
    figure(table, ax=ax, names=names)


def _scores(rule: Any) -> str:
    return "lost it at one score" if rule.scores == 1 else f"lost it at {rule.scores} in a row"


def _marks(criterion: str, marks: pd.DataFrame, rules: Mapping[str, Any], words: Words) -> Plain:
    own = marks[marks["criterion"] == criterion]
    cell = {(int(row.day), str(row.relapse)): row for row in each_row(own)}
    heads: list[tuple[str, bool]] = [("after the response", True)]
    for rule in rules.values():
        heads += [(f"not {_scores(rule)}", False), ("followed", False)]
    rows = []
    for day in dict.fromkeys(int(day) for day in own["day"]):
        parts: list[str] = [f"{day // 7} weeks"]
        for name in rules:
            row = cell.get((day, name))
            if row is None or not is_number(row.no_relapse):
                parts += [NONE, NONE]
            else:
                limits = interval(row.low, row.high)
                rate = share(row.no_relapse)
                parts += [rate if limits == NONE else f"{rate} ({limits})", count(row.at_risk)]
        rows.append(tuple(parts))
    title = f"{_name(criterion, words)}: without a relapse, of those who met it"
    return Plain(title, tuple(heads), tuple(rows))


def _summary(summary: pd.DataFrame, words: Words) -> Plain:
    heads = (
        ("criterion", True), ("met it", False), ("lost it at one score", False),
        ("another course first", False), ("no relapse seen", False),
        ("of them never scored again", False), ("median days to relapse", False),
    )  # fmt: skip
    rows = []
    own = {str(row.criterion): row for row in each_row(summary[summary["relapse"] == RULES[0]])}
    for row in (own[name] for name in words.short if name in own):
        median = count(row.median) if is_number(_number(row.median)) else "not reached"
        others = row.n - row.relapsed - row.retreated
        numbers = (row.n, row.relapsed, row.retreated, others, row.never_scored)
        rows.append((_name(str(row.criterion), words), *(count(n) for n in numbers), median))
    return Plain("What became of responses", heads, tuple(rows))


def _number(value: Any) -> float | None:
    """A number that pandas may hold as its own missing value."""
    return None if str(value) in ("<NA>", "nan", "None") else float(value)


def _sustained(table: pd.DataFrame, words: Words) -> Plain:
    states = {
        "sustained": "met at every score", "lost": "lost at one", "unconfirmed": "no score so late",
    }  # fmt: skip
    rows = []
    for criterion in words.short:
        n = {str(row.state): row for row in each_row(table[table["criterion"] == criterion])}
        if not n:
            continue
        of = n["lost"].of
        cells = (
            f"{count(n[state].n)} ({percent(n[state].n, of)})" if state in n else NONE for state in states
        )
        rows.append((_name(criterion, words), count(of), *cells))
    heads = (("criterion", True), ("old enough", False), *((text, False) for text in states.values()))
    return Plain("For four weeks after the response", heads, tuple(rows))
