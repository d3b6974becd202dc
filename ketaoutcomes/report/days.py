"""In a series of reports: as of which day the numbers of each section stand, where not all are of today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ketaoutcomes.disclosure.linked import NEW, REPEATED, RESTATED
from ketaoutcomes.results.wording import calendar_day, count, label, listed

if TYPE_CHECKING:
    from ketaoutcomes.report.finished import Described
    from ketaoutcomes.report.views import Words


class Part(NamedTuple):
    """Parts of tables that a section shows: grouping, table and axis, and which (empty: all) of them."""

    by: str
    table: str
    axis: str
    only: tuple[str, ...] = ()


SECTIONS = {
    "answer": (Part("", "points", "end"),),
    "stayed": (
        Part("protocol", "flow", "course", ("session",)),
        Part("protocol", "values", "session", ("days_to_session",)),
    ),
    "scored": (
        Part("", "flow", "course", ("measured",)),
        Part("protocol", "values", "session", ("days_since_dose",)),
        Part("site", "flow", "course", ("measured",)),
    ),
    "sessions": (Part("protocol", "points", "session"),),
    "weeks": (Part("", "points", "week"), Part("", "values", "week", ("score",))),
    "end": (Part("", "points", "end"), Part("protocol", "points", "end")),
    "over-time": (Part("", "points", "month"), Part("", "values", "month", ("change",))),
    "sites": (Part("site", "points", "end"), Part("site", "values", "baseline", ("baseline",))),
    "safety": (
        Part("", "points", "course"),
        Part("protocol", "points", "session"),
        Part("protocol", "values", "session", ("cadss", "minutes_observed")),
    ),
    "flow": (Part("", "flow", "patient"), Part("", "flow", "course", ("courses", "due"))),
}
"""What of a series' steps each section of the page shows."""

NAMES = {
    "patients": "patients in the records",
    "courses": "series found",
    "due": "who is due",
    "measured": "who was scored",
    "session": "sessions received",
    "score": "mean scores",
    "change": "mean changes",
    "baseline": "mean baselines",
    "days_since_dose": "days from dose to score",
    "days_to_session": "days of sessions",
}
SAFETY = "safety"  # what stands for an instrument where side effects are counted
BY = {"protocol": "by schedule", "site": "by site"}


class Stands(NamedTuple):
    """As of which day a section stands: in a sentence and, where all of it is repeated, the day alone."""

    says: str
    whole: str = ""


def days(tables: Mapping[str, Described], words: Words) -> dict[str, Stands]:
    """Per section what in it is repeated, and since when; none for sections of today.

    A report that follows no other has none.
    """
    if "steps" not in tables:
        return {}
    rows = list(tables["steps"].table.astype(str).itertuples(index=False))
    found = {}
    for section, parts in SECTIONS.items():
        own = [row for row in rows if any(_shows(section, part, row) for part in parts)]
        groups = section != SAFETY and len({part.by for part in parts}) > 1
        stands = _stands(own, words, months=section == "over-time", groups=groups)
        if stands is not None:
            found[section] = stands
    return found


def _shows(section: str, part: Part, row: Any) -> bool:
    if (row.by, row.table, row.axis) != (part.by, part.table, part.axis):
        return False
    if part.table == "points" and (row.instrument == SAFETY or row.axis == "course") != (section == "safety"):
        return False
    return not part.only or row.criterion in part.only or (part.table == "flow" and row.point in part.only)


def _stands(rows: list[Any], words: Words, *, months: bool, groups: bool) -> Stands | None:
    old = [row for row in rows if row.step == REPEATED]
    if not old:
        return None
    now = sorted({row.as_of for row in rows if row.step in (RESTATED, NEW)})
    since = listed([calendar_day(day) for day in sorted({row.as_of for row in old})])
    if not now:
        return Stands(f"Repeated as it stood on {since}.", since)
    today = calendar_day(now[-1])
    if months:
        told = f"{count(len(old))} of {count(len(rows))} rates are repeated as they stood on {since}"
        return Stands(f"{told}; the rest is as of {today}.")
    then, fresh = _named(rows, words, groups, old=True), _named(rows, words, groups, old=False)
    if len(fresh) < len(then):
        return Stands(f"As of {today}: {'; '.join(fresh)}. The rest is repeated as it stood on {since}.")
    return Stands(f"Repeated as it stood on {since}: {'; '.join(then)}. The rest is as of {today}.")


def _named(rows: list[Any], words: Words, groups: bool, *, old: bool) -> list[str]:
    """The parts that are repeated, or the others, in the plan's order; all of a grouping in one word."""
    found: list[str] = []
    for by in dict.fromkeys(row.by for row in rows):
        own = [row for row in rows if row.by == by]
        hit = [row for row in own if (row.step == REPEATED) == old]
        if groups and by in BY and len(hit) == len(own):
            found.append(f"all {BY[by]}")
            continue
        order = {name: at for at, name in enumerate([*words.instruments, "", SAFETY])}
        hit.sort(key=lambda row: order.get(row.instrument, len(order)))
        others = {_name(row, words, groups) for row in own if (row.step == REPEATED) != old}
        names = [_name(row, words, groups) for row in hit]
        found += [f"{name}, in part" if name in others else name for name in names]
    return list(dict.fromkeys(found))


def _name(row: Any, words: Words, groups: bool) -> str:
    title = words.titles.get(row.instrument, "")
    if row.instrument == SAFETY:
        text = "side effects" + (" by session" if row.axis == "session" else " per person")
    elif row.table == "points":
        text = f"{title} {words.short[row.criterion]}" if row.criterion in words.short else _asked(row)
    else:
        code = row.point if row.table == "flow" else row.criterion
        text = f"{NAMES.get(code, label(code))}{f' ({title})' if title else ''}"
    by = BY.get(row.by, "")
    return f"{text}, {by}" if groups and by and row.instrument != SAFETY else text


def _asked(row: Any) -> str:
    """What a count of safety asks of scores."""
    if not row.criterion.startswith("safety_item"):
        return "who got worse"
    return f"thoughts of self-harm {'at baseline' if row.point == 'baseline' else 'since'}"
