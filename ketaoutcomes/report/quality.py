"""The section on quality measures: whom each counts, who is left out and why, and how many met it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ketaoutcomes.disclosure.linked import REPEATED
from ketaoutcomes.report.additions import Addition, Plain
from ketaoutcomes.report.finished import Described
from ketaoutcomes.results.measure_results import measure
from ketaoutcomes.results.wording import (
    HIDDEN,
    NONE,
    calendar_day,
    count,
    interval,
    is_number,
    label,
    listed,
    percent,
)

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.counts.tallies import Tally
    from ketaoutcomes.definitions import Measure
    from ketaoutcomes.report.views import Words

NAME = "measures"
LEFT_OUT = "measures_left_out"
TITLE = "Quality measures"
ABOUT = (
    "Each follows an elevated score for months, whatever the treatment: not a series of doses, and not the "
    "patients of the sections above. Everyone who entered and whose time is over is in the rate; without a "
    "score in the window they count as not met.",
    "For self-checking. This is no certified measure engine; do not submit these numbers.",
)
SAYS = "One row per measure and rate: who entered, who was left out, who is due, and who met it."
_REASON = "excluded_"  # before each reason in a measure's table
REASONS = {"age_unknown": "age not known, or below the measure’s", "death": "died"}
"""Why somebody who entered is left out, where the reason's own words do not say it."""


def measure_tables(tallies: Mapping[str, Tally]) -> list[Described]:
    """The finished tables of the quality measures; none where no Tally counts one."""
    own = [tally for tally in tallies.values() if tally.header.measure and not tally.header.by]
    if not own:
        return []
    import pandas as pd

    finished = [measure(tally) for tally in own]
    outside = [_left_out(table) for table in finished]
    plain = [
        table.drop(columns=[name for name in table if str(name).startswith(_REASON)]) for table in finished
    ]
    left = pd.concat(outside, ignore_index=True)
    found = [Described(NAME, TITLE, SAYS, pd.concat(plain, ignore_index=True))]
    if len(left):
        found.append(Described(LEFT_OUT, f"{TITLE}: left out", "Who entered and is left out, and why.", left))
    return found


def _left_out(table: pd.DataFrame) -> pd.DataFrame:
    """Those left out of a measure by reason, of its first rate; reasons of nobody have no row."""
    import pandas as pd

    first = table.iloc[0]
    names = [str(name) for name in table if str(name).startswith(_REASON)]
    rows = [(first["measure"], name.removeprefix(_REASON), first[name]) for name in names if first[name] != 0]
    return pd.DataFrame(rows, columns=["measure", "excluded_for", "n"])


def quality(tables: Mapping[str, Described], words: Words) -> Addition | None:
    """The section; None where no measure was counted."""
    if NAME not in tables:
        return None
    table = tables[NAME].table
    known = {
        name: words.known.measures[name]
        for name in dict.fromkeys(table["measure"])
        if name in words.known.measures
    }
    rows = [row for row in table.itertuples(index=False) if row.measure in known]
    day = measured_day(tables)
    notes = [f"Repeated as it stood on {day}: people pass from one of its numbers to another."] if day else []
    notes += _whom(known.values(), words)
    notes += [_outside(tables.get(LEFT_OUT), known), *_not_judged(rows, words)]
    says = tuple(text for text in (_sentence(rows, known),) if text)
    return Addition(NAME, TITLE, ABOUT, (_table(rows, known),), says, (), tuple(notes))


def measured_day(tables: Mapping[str, Described]) -> str:
    """The day on which the measures were counted where they are repeated; empty where it is as of today."""
    if "steps" not in tables:
        return ""
    steps = tables["steps"].table
    days = steps.loc[(steps["table"] == "measure") & (steps["step"] == REPEATED), "as_of"]
    return calendar_day(str(days.min())) if len(days) else ""


def _table(rows: Sequence[Any], known: Mapping[str, Measure]) -> Plain:
    heads = (
        "measure",
        "met means",
        "entered",
        "left out",
        "not yet due",
        "due",
        "no score",
        "met",
        "of those due",
    )
    text = {"measure", "met means"}
    lines = []
    for row in rows:
        titles = {rate.name: rate.title for rate in known[row.measure].rates}
        whole = (row.population, row.excluded, row.not_due)
        lines.append((
            _name(known[row.measure]),
            label(titles.get(row.criterion, row.criterion), 160),
            *(_n(n) for n in whole), _n(row.n), _n(row.missing), _n(row.met), _rate(row),
        ))  # fmt: skip
    return Plain(
        "Quality measures, of all records", tuple((name, name in text) for name in heads), tuple(lines)
    )


def _name(one: Measure) -> str:
    names = f" ({label(', '.join(one.known_as), 160)})" if one.known_as else ""
    return f"{label(one.title, 160)}{names}"


def _n(n: float) -> str:
    return count(n) if is_number(n) else HIDDEN


def _rate(row: Any) -> str:
    if is_number(row.rate):
        return f"{percent(row.met, row.n)} ({interval(row.low, row.high)})"
    return HIDDEN if row.reason == "hidden" else NONE


def _sentence(rows: Sequence[Any], known: Mapping[str, Measure]) -> str:
    """The first rate that is shown, and how many of its people have no score."""
    shown = [row for row in rows if is_number(row.rate)]
    if not shown:
        return "Of no measure are so many people due that its rate can be shown."
    row = shown[0]
    text = (
        f"{label(known[row.measure].title, 160)}: {count(row.met)} of {count(row.n)} due "
        f"({percent(row.met, row.n)}, {interval(row.low, row.high)})"
    )
    if is_number(row.missing):
        text += (
            f"; {count(row.missing)} of them ({percent(row.missing, row.n)}) have no score in the window"
            + ", which says more about follow-up than about patients" * (2 * row.missing > row.n)
        )
    return text + "."


def _whom(measures: Iterable[Measure], words: Words) -> list[str]:
    """Who enters the measures and which score decides, once for those that share it."""
    entries: dict[str, dict[str, list[str]]] = {}
    for one in measures:
        windows = entries.setdefault(_entry(one, words), {})
        windows.setdefault(_window(one), []).append(label(one.title, 160))
    said = {
        entry: ", or ".join(f"{window} ({'; '.join(titles)})" for window, titles in windows.items())
        for entry, windows in entries.items()
    }
    return [
        f"Entry: {entry}. The last score decides that stands {windows}." for entry, windows in said.items()
    ]


def _entry(one: Measure, words: Words) -> str:
    ((instrument, least),) = one.at_least.items()
    title = label(words.known.instrument(instrument).title)
    entry = [f"the first {title} of {least} or more"]
    if one.encounter:
        entry.append(f"at {words.known.occurrences[one.encounter].title}")
    if one.diagnosis:
        entry.append(f"with {words.known.occurrences[one.diagnosis].title}")
    if one.age_at_least:
        entry.append(f"aged {one.age_at_least} or more")
    return ", ".join(entry)


def _window(one: Measure) -> str:
    if one.follow_up_days:
        return "{} to {} days after it".format(*one.follow_up_days)
    return f"{one.follow_up_months} months after it, {one.margin_days} days either side"


def _outside(described: Described | None, known: Mapping[str, Measure]) -> str:
    if described is None:
        return "Nobody who entered was left out."
    parts = []
    for name, one in known.items():
        rows: list[Any] = [r for r in described.table.itertuples(index=False) if r.measure == name]
        if rows:
            told = [f"{_n(row.n)} {_why(str(row.excluded_for))}" for row in rows]
            shown = all(is_number(row.n) for row in rows)
            parts.append(f"{label(one.title, 160)}: {listed(told) if shown else HIDDEN}")
    return f"Left out after entering: {'; '.join(parts)}."


def _why(reason: str) -> str:
    return REASONS.get(reason, label(reason.replace("_", " ")))


def _not_judged(rows: Sequence[Any], words: Words) -> list[str]:
    """What the records hold nothing of."""
    missing = dict.fromkeys(part for row in rows for part in str(row.not_judged).split(", ") if part)
    if not missing:
        return []
    told = []
    for part in missing:
        occurrence = words.known.occurrences.get(part)
        told.append(label(occurrence.title, 160).partition(":")[0] if occurrence else label(part))
    return [
        f"Nothing is on record of {listed(told)}. Nobody is kept out or left out for it, so these rates "
        "cannot be set against published ones."
    ]


def by_id(criterion: str) -> str:
    """The id of the measure that a step of a series is about; any other text as it is."""
    if not criterion.startswith("{"):
        return criterion
    try:
        return str(json.loads(criterion)["measure"]["id"])
    except (KeyError, TypeError, ValueError):
        return criterion
