"""Reports that follow one another: what was repeated as it stood, and which published numbers changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ketaoutcomes.disclosure.linked import NEW, REPEATED, RESTATED, WAITING
from ketaoutcomes.report.additions import Plain, each_row
from ketaoutcomes.report.days import BY
from ketaoutcomes.report.finished import Described
from ketaoutcomes.report.quality import by_id
from ketaoutcomes.report.sentences import short_name
from ketaoutcomes.results.wording import calendar_day, count, label, listed, period

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.report.views import Words

_STEPS = "One row per part of a table: told again, repeated as it stood on a day, new, or not shown yet."
_RESTATED = "Published counts of earlier periods that late data changed; old and new."
SAID = {
    RESTATED: "as they stand now",
    REPEATED: "as they stood before",
    NEW: "for the first time",
    WAITING: "not yet",
}


def in_series(steps: pd.DataFrame | None, restated: pd.DataFrame | None) -> dict[str, Described]:
    """The tables of a report that follows another; none for a first report."""
    if steps is None or restated is None:
        return {}
    steps = steps.assign(criterion=[by_id(str(name)) for name in steps["criterion"]])
    keep = ["by", "table", "instrument", "criterion", "axis", "point", "step", "as_of"]
    return {
        "steps": Described("steps", "Told again or repeated", _STEPS, steps[keep].reset_index(drop=True)),
        "restatements": Described("restatements", "Restated since the last report", _RESTATED, restated),
    }


def told_again(tables: Mapping[str, Described]) -> list[str]:
    """What stands as it is now and what is repeated as it stood, with the days, in words."""
    if "steps" not in tables:
        return []
    table = tables["steps"].table
    n = table["step"].value_counts()
    parts = [f"{count(float(n[step]))} {said}" for step, said in SAID.items() if n.get(step, 0)]
    told = f"Beside the last report, the parts of the tables behind this page are shown: {listed(parts)}."
    old = table[table["step"] == REPEATED]
    days = sorted({str(day) for day in old["as_of"]})
    if not days:
        return [told]
    names = listed([calendar_day(day) for day in days])
    why = (
        "A part is repeated where a count in it changed by too few people to be told: the difference of two "
        "reports would be about them."
    )
    return [told, f"{why} Repeated parts stand as of {names}."]


def good_time_day(tables: Mapping[str, Described]) -> str:
    """The day on which good time was counted where it is repeated; empty where it is as it stands now."""
    if "steps" not in tables:
        return ""
    table = tables["steps"].table
    days = table.loc[(table["table"] == "good_time") & (table["step"] == REPEATED), "as_of"]
    return calendar_day(str(days.min())) if len(days) else ""


def repeated(tables: Mapping[str, Described]) -> Plain | None:
    """Which tables hold parts that are repeated as they stood, and since which day."""
    if "steps" not in tables:
        return None
    table = tables["steps"].table
    table = table[table["step"] == REPEATED].astype(str)
    if table.empty:
        return None
    rows = []
    for (kind, by, axis, day), parts in table.groupby(["table", "by", "axis", "as_of"], sort=True):
        where = AXES.get(str(axis), label(axis)) if axis else ""
        named = f"{TABLES.get(str(kind), str(kind))} {where}".strip()
        groups = BY.get(str(by), f"by {label(by)}") if by else "everyone"
        rows.append((named, groups, count(float(len(parts))), calendar_day(str(day))))
    heads = (("Numbers", True), ("of", True), ("parts", False), ("as of", True))
    return Plain("Repeated as they stood", heads, tuple(rows))


def restated(tables: Mapping[str, Described], words: Words) -> Plain | None:
    """Published counts of closed periods that are told differently now; None in a first report."""
    if "restatements" not in tables:
        return None
    rows = tuple(
        (
            period(str(row.point)),
            label(row.group) if row.group else "everyone",
            _criterion(str(row.criterion), words),
            STATES.get(str(row.state), label(str(row.state).replace("_", " "))),
            count(row.before),
            count(row.after),
        )
        for row in each_row(tables["restatements"].table)
    )
    heads = ("period", "of", "criterion", "who", "before", "now")
    return Plain("Restated", tuple((head, head not in ("before", "now")) for head in heads), rows)


def _criterion(name: str, words: Words) -> str:
    known = words.known.criteria.get(name)
    if known is None:
        return label(name)
    return f"{label(words.known.instrument(known.instrument).title)} {short_name(known)}"


STATES = {
    "met": "met it",
    "not_met": "scored, not met",
    "unassessed": "no score",
    "unmet_or_missing": "not met, or no score",
    "due": "due",
}
AXES = {
    "patient": "(patients)", "course": "(series)", "row": "(input rows)", "baseline": "at baseline",
    "session": "by session", "week": "by week", "end": "at the end of the series", "month": "by period",
}  # fmt: skip
TABLES = {
    "points": "rates",
    "flow": "everyone accounted for",
    "values": "means and medians",
    "good_time": "good time",
    "measure": "quality measures",
}
