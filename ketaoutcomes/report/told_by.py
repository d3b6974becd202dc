"""By which periods and sites a shared report is told, and why: said beside the tables it concerns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ketaoutcomes.disclosure.linked import NEW, WAITING
from ketaoutcomes.report.finished import Described
from ketaoutcomes.results.wording import calendar_day, is_number, label, listed, period, share

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.report.views import Words

NAME = "told_by"
_SAYS = (
    "How long the periods are that each instrument is told by, until which day, when the next one is over, "
    "and which share of its rates can be shown by them; which sites are told as one."
)
LENGTHS = {
    "months": "month by month", "quarters": "three months at a time",
    "half-years": "six months at a time", "years": "twelve months at a time",
}  # fmt: skip


def told_by(coarsened: pd.DataFrame | None) -> dict[str, Described]:
    """The finished table of the steps that `disclosure.coarsen` took; none for exact counts."""
    if coarsened is None or coarsened.empty:
        return {}
    return {NAME: Described(NAME, "Periods and sites told", _SAYS, coarsened.reset_index(drop=True))}


def periods_said(tables: Mapping[str, Described], words: Words) -> list[str]:
    """How long the periods are, why, and when the next one is over: once where instruments are told alike."""
    if NAME not in tables:
        return []
    table = tables[NAME].table
    rows = {str(row.instrument): row for row in table[table["table"] == "period"].itertuples(index=False)}
    alike: dict[tuple[str, str, bool], dict[str, object]] = {}
    for name in (name for name in words.instruments if name in rows):
        row = rows[name]
        why = (str(row.step), str(row.reason), is_number(row.shorter))
        alike.setdefault(why, {})[words.titles[name]] = row
    said = [_said(step, reason, of) for (step, reason, _), of in alike.items()]
    nexts = {(rows[name].until, rows[name].next) for name in words.instruments if name in rows}
    if len(nexts) == 1:
        ((until, following),) = nexts
        said.append(_until(str(until), str(following)))
    else:
        said += [
            f"{words.titles[name]}: {_until(str(rows[name].until), str(rows[name].next))}"
            for name in words.instruments
            if name in rows
        ]
    return [*said, *_since_last(tables, words)]


def _since_last(tables: Mapping[str, Described], words: Words) -> list[str]:
    """In a series, that no period has closed, or which closed ones wait."""
    if "steps" not in tables:
        return []
    table = tables["steps"].table
    table = table[table["axis"] == "month"]
    waiting = table[table["step"] == WAITING]
    if waiting.empty:
        new = bool((table["step"] == NEW).any())
        return [] if new else ["No period has closed since the last report."]
    named = dict.fromkeys(
        f"{words.titles.get(str(row.instrument), str(row.instrument))} {period(str(row.point))}"
        for row in waiting.itertuples(index=False)
    )
    return [
        f"Not shown yet: {listed(list(named))}. Beside what was shown before, some of it would tell of too "
        "few people."
    ]


def _until(until: str, following: str) -> str:
    return (
        f"Counted are those who came due up to {calendar_day(until)}; the next period is over on "
        f"{calendar_day(following)}."
    )


def _said(step: str, reason: str, rows: Mapping[str, object]) -> str:
    """How long the periods of some instruments are, and why; `rows` are those of one step and reason."""
    one = len(rows) == 1
    begin = f"{listed(list(rows))} {'is' if one else 'are'} shown {LENGTHS.get(step, step)}"
    its = "its" if one else "their"
    if reason == "held":
        return f"{begin}, as in the last report."
    if reason == "coarser":
        return (
            f"{begin} from now on, since too little could be shown by shorter periods. What was shown before "
            "stands."
        )
    shares = "; ".join(_shares("" if one else title, row) for title, row in rows.items())
    if reason == "most":
        return (
            f"{begin}: that shows the most of {its} rates ({shares}), though not the three quarters that are "
            "wanted."
        )
    if all(is_number(getattr(row, "shorter", None)) for row in rows.values()):
        return (
            f"{begin}, the shortest periods by which at least three quarters of {its} rates can be shown "
            f"({shares})."
        )
    return f"{begin}: at least three quarters of {its} rates can be shown ({shares})."


def _shares(title: str, row: object) -> str:
    """The share of rates shown and, beside it, that by shorter periods; `title` says whose, if not empty."""
    told, shorter = (getattr(row, name, None) for name in ("told", "shorter"))
    if getattr(row, "reason", "") == "most" or not is_number(shorter):
        return f"{title} {_share(told)}".strip()
    return f"{title} {_share(told)}, by shorter periods {_share(shorter)}".strip()


def _share(value: object) -> str:
    return share(float(value)) if isinstance(value, int | float) else ""


def sites_said(tables: Mapping[str, Described]) -> str:
    """Which sites are told as one; empty where none are."""
    if NAME not in tables:
        return ""
    table = tables[NAME].table
    joined = [str(names) for names in table.loc[table["table"] == "site", "joined"]]
    if not joined:
        return ""
    names = listed([label(name) for name in joined[0].split("\n")])
    return f"Shown together as other sites, since too few of one alone were treated to show: {names}."
