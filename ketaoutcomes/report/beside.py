"""The section on published series: what others found, beside one's own rates."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ketaoutcomes.report import sentences
from ketaoutcomes.report.additions import Addition, Plain, each_row
from ketaoutcomes.report.charts import chart
from ketaoutcomes.report.finished import Described
from ketaoutcomes.report.overview import Shown
from ketaoutcomes.results.benchmarks import ALL_STARTED, CAUTION, OWN, PUBLISHED, published_rate
from ketaoutcomes.results.wording import HIDDEN, NONE, count, interval, is_number, label, share

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.plan import Plan
    from ketaoutcomes.report.views import Words
    from ketaoutcomes.results.benchmarks import Benchmark

NAME = "benchmarks"
TITLE = "Beside published series"
NO_GRADE = (
    "Published rates beside one’s own. Different patients were treated, at other doses, and others had no "
    "score: a difference is no effect and no grade, and a published rate is no target."
)
NOT_THEIR_RULE = (
    "Their entry rules were not applied here: one’s own rates are those of this page, of every route, with "
    "this plan’s own days, so that no further count is published. Published rates are mostly of those "
    "scored; one’s own are of all who started, and count the unscored as not met."
)
ROWS = ("series", "source", "instrument", "criterion", "axis", "point", "kind", "analysis", "charts", "n",
        "met", "rate", "low", "high", "share_kept", "reason")  # fmt: skip


def by_their_rules(found: Benchmark | None) -> list[Described]:
    """The finished tables of one's own rates by the rules of published series; none without them."""
    if found is None or not len(found.table):
        return []
    return [
        Described(NAME, "Beside published series", CAUTION, found.table),
        Described(f"{NAME}_kept", "Whom each published rule keeps", "Charts left at each step.", found.kept),
        _not_applied(found.not_applied),
        _sources(found.sources),
    ]


def _not_applied(table: pd.DataFrame) -> Described:
    says = "What of each rule cannot be applied here, or is not stated."
    return Described(f"{NAME}_not_applied", "Not applied, or not stated", says, table)


def _sources(table: pd.DataFrame) -> Described:
    return Described(f"{NAME}_sources", "Published series", "Where the rates are printed.", table)


def from_the_page(tables: Mapping[str, Described], plan: Plan) -> list[Described]:
    """Published rates beside rates that stand on the page already, where criterion and endpoint are the same.

    Nothing is counted for it: own rows repeat `rates_end` and `rates_week` of everyone, all due.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    kept = []
    for series in plan.definitions.series.values():
        own = tables.get(f"rates_{series.at}")
        if own is None or series.kind != "current" or series.at not in ("end", "week"):
            continue
        table = own.table[own.table["analysis"] == "nri"]
        for one in series.reported:
            match = table[(table["criterion"] == one.criterion) & (table["point"] == one.point)]
            if len(match) != 1 or not is_number(match["rate"].iloc[0]):
                continue
            mine = match.iloc[0].to_dict()
            key = {"series": series.id} | {name: mine[name] for name in _KEYS}
            rows += [
                key | published_rate(series, one) | {"source": PUBLISHED},
                key | {name: mine[name] for name in _OWN} | {"source": ALL_STARTED, "analysis": "nri"},
            ]  # fmt: skip
            kept.append(series)
    if not rows:
        return []
    sources = dict.fromkeys((one.id, one.title, one.cite, one.sure) for one in kept)
    table = pd.DataFrame(rows, columns=list(ROWS))
    listed = pd.DataFrame(list(sources), columns=["series", "title", "cite", "sure"])
    return [Described(NAME, "Beside published series", NOT_THEIR_RULE, table), _sources(listed)]


_OWN = ("n", "met", "rate", "low", "high", "reason")
_KEYS = ("instrument", "criterion", "axis", "point", "kind")


def beside(tables: Mapping[str, Described], words: Words) -> Addition | None:
    """The section; None where no published rate stands beside one of one's own."""
    if NAME not in tables:
        return None
    table = tables[NAME].table
    ruled = OWN in set(table["source"])
    titles = {str(row.series): str(row.title) for row in each_row(tables[f"{NAME}_sources"].table)}
    cites = {str(row.series): str(row.cite) for row in each_row(tables[f"{NAME}_sources"].table)}
    blocks = [rows for _, rows in table.groupby(["series", "criterion", "point"], sort=False)]
    told = [rows for rows in blocks if rows.loc[rows["source"] != PUBLISHED, "rate"].notna().any()]
    if not told:
        return None
    names = list(dict.fromkeys(str(rows["series"].iloc[0]) for rows in told))
    heads = [("series", True), ("what, when", True), ("published", False)]
    heads += [("yours, by their rule", False), ("of charts kept", False)] if ruled else []
    heads += [("yours, all who started", False)]
    lines = tuple(_line(rows, titles, words, ruled) for rows in told)
    shown = Plain("Published rates, and one’s own", tuple(heads), lines)
    notes = [f"{label(titles[name], 160)}. {label(cites[name], 200)}." for name in names]
    left = list(dict.fromkeys(str(name) for name in table["series"] if str(name) not in names))
    if left:
        notes.append(
            "Nothing of one’s own to set beside: "
            + "; ".join(label(titles[name], 160) for name in left)
            + "."
        )
    says = (CAUTION,) if ruled else (NOT_THEIR_RULE,)
    return Addition(NAME, TITLE, (NO_GRADE,), (shown,), says, (_figure(told, titles, words),), tuple(notes))


def _what(row: Any, words: Words) -> str:
    """A criterion at a point, in readers' words."""
    criterion = words.known.criteria.get(str(row.criterion))
    name = label(row.criterion) if criterion is None else sentences.short_name(criterion)
    test = label(words.known.instruments[str(row.instrument)].title) if criterion else label(row.instrument)
    when = {"end": "end of series", "week": f"week {row.point}", "session": f"session {row.point}"}
    by = "by " if row.kind == "ever" else ""
    return f"{test} {name}, {by}{when.get(str(row.axis), label(row.point))}"


def _line(rows: pd.DataFrame, titles: Mapping[str, str], words: Words, ruled: bool) -> tuple[str, ...]:
    of = {str(row.source): row for row in each_row(rows)}
    first = next(iter(of.values()))
    cells = [_short(titles[str(first.series)]), _what(first, words), _rate(of.get(PUBLISHED))]
    if ruled:
        own = of.get(OWN)
        kept = share(own.share_kept) if own is not None and is_number(own.share_kept) else NONE
        cells += [_rate(own), kept]
    return (*cells, _rate(of.get(ALL_STARTED)))


def _short(title: str) -> str:
    """The name and year before a series' title."""
    return label(title.partition(":")[0])


def _rate(row: Any) -> str:
    if row is None or not is_number(row.rate):
        return HIDDEN if row is not None and row.reason == HIDDEN else NONE
    limits = interval(row.low, row.high)
    text = share(row.rate) if limits == NONE else f"{share(row.rate)} ({limits})"
    return f"{text} of {count(row.n)}" if is_number(row.n) else f"{text}, n not stated"


def _figure(told: list[pd.DataFrame], titles: Mapping[str, str], words: Words) -> Shown:
    import pandas as pd

    from ketaoutcomes.figures import benchmark

    table = pd.concat(told, ignore_index=True)
    names = {str(row.criterion): _what(row, words).partition(",")[0] for row in each_row(table)}
    names |= {name: _short(title) for name, title in titles.items()}
    says = (
        "Dots are rates, lines what chance alone gives; that other patients were treated is in no interval."
    )
    draw = partial(_draw, figure=benchmark, table=table, names=names)
    high = 0.9 + 0.24 * (len(table) + 1.3 * len(told))
    svg = chart(
        draw, name="published", says=f"Chart. {says} The table below holds every number.",
        size=(9.2, high), left=1.9, right=2.7, top=0.1,
    )  # fmt: skip
    return Shown("Published, and yours", says, svg)


def _draw(ax: Any, *, figure: Any, table: pd.DataFrame, names: Mapping[str, str]) -> None:
    figure(table, ax=ax, names=names)
