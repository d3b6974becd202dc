"""The page: finished tables and words put into one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ketaoutcomes import figures, wording
from ketaoutcomes.report import sentences, views
from ketaoutcomes.report.charts import chart

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from ketaoutcomes.plan import Plan
    from ketaoutcomes.report.finished import Described
    from ketaoutcomes.report.meta import Meta
    from ketaoutcomes.tallies import Header

AUDIENCES = {
    "shared": "Shared report: small numbers are hidden",
    "internal": "Internal: exact counts of few people. Do not forward",
}

PROFILES = {
    "cms11": "No number that describes 1 to 10 people is shown, nor any number from which one could be worked out.",
    "opensafely": "Numbers of 7 people or fewer are not shown; all others are rounded to the nearest 5.",
}


def render(
    tables: Mapping[str, Described], header: Header, *, plan: Plan, meta: Meta, profile: str | None, audience: str
) -> str:
    """The whole page as HTML text, from finished tables only."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ketaoutcomes.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters.update(
        count=wording.count, label=wording.label, decimal=wording.decimal, reason=sentences.reason,
        source=sentences.source, plain=_plain, sentence=_sentence,
    )  # fmt: skip
    environment.globals.update(
        percent=wording.percent, interval=wording.interval, is_number=wording.is_number, HIDDEN=wording.HIDDEN,
        NONE=wording.NONE, listed=wording.listed,
    )  # fmt: skip
    style = (environment.loader.get_source(environment, "page.css")[0]).strip()  # type: ignore[union-attr]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    words = views.Words(plan)
    context = {
        "style": style, "style_hash": f"sha256-{digest}", "meta": meta, "plan": plan, "header": header,
        "audience": audience, "stands_for": AUDIENCES[audience], "profile": profile,
        "profile_says": PROFILES.get(profile or "", ""), "as_of": sentences.as_of(header.as_of),
        "dates_say": sentences.DATES.get(meta.dates, meta.dates), "level": f"{100 * plan.rates.level:g}",
    }  # fmt: skip
    return environment.get_template("page.html").render(context | _content(tables, plan, words))


def _content(tables: Mapping[str, Described], plan: Plan, words: views.Words) -> dict[str, Any]:
    get = tables.get
    paragraphs, references = _methods(plan.methods())
    sessions: dict[str, list[views.Block]] = {}
    for group, block in views.point_blocks(get("rates_session"), words):
        sessions.setdefault(group, []).append(block)
    visits = {name for name, blocks in sessions.items() if any(b.drawn or _hidden(b) for b in blocks)}
    used = list(dict.fromkeys([*sessions, *_values(get("retention"), "protocol")]))
    return {
        "words": words,
        "methods": paragraphs, "references": references,
        "answers": views.answers(tables, words),
        "protocols": [plan.definitions.protocol(name) for name in used if name in words.protocols],
        "sessions": {name: blocks for name, blocks in sessions.items() if name in visits},
        "by_week_only": [name for name in sessions if name not in visits],
        "weeks": [block for _, block in views.point_blocks(get("rates_week"), words)],
        "ends": views.group_blocks([get("rates_end"), get("rates_end_by_protocol")], "Protocol", words),
        "sites": views.group_blocks([get("rates_end_by_site")], "Site", words),
        "months": [block for _, block in views.point_blocks(get("rates_month"), words, drawn=False)],
        "flow": views.flow_steps(get("flow"), words),
        "retention": _groups(get("retention"), "protocol"),
        "retention_chart": _retention_chart(get("retention")),
        "timing": _groups(get("timing"), "protocol"),
        "measured": _measured(get("measured"), words),
        "means": _mean_charts(get("trajectory"), words),
        "hidden_cells": sum(int((d.table["reason"] == "hidden").sum()) for d in tables.values() if "reason" in d.table),
    }  # fmt: skip


def _plain(number: Any) -> str:
    return f"{float(number):g}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _methods(text: str) -> tuple[list[str], list[str]]:
    """The plan's methods text as paragraphs, and its numbered references as a list without their numbers."""
    prose, _, references = text.partition("\nReferences\n")
    lines = [line.partition(". ")[2] for line in references.splitlines() if line.strip()]
    return [paragraph for paragraph in prose.split("\n\n") if paragraph.strip()], lines


def _hidden(block: views.Block) -> bool:
    return any(pair.everyone.reason == "hidden" for line in block.lines for pair in line.pairs)


def _values(described: Described | None, column: str) -> list[str]:
    return [] if described is None else list(dict.fromkeys(described.table[column].astype(str)))


def _groups(described: Described | None, by: str) -> dict[str, list[Any]]:
    if described is None:
        return {}
    parts = described.table.groupby(by, sort=False)
    return {str(name): list(rows.itertuples(index=False)) for name, rows in parts}


def _retention_chart(described: Described | None) -> Markup | None:
    if described is None or not described.table["rate"].notna().any():
        return None
    says = "Chart of the share of patients who received each session, by protocol. The tables below hold every number."
    return chart(partial(_draw, figures.retention, described.table, {}), name="retention", says=says, size=(6.4, 3.4))


def _measured(described: Described | None, words: views.Words) -> list[tuple[str, list[Any], Markup | None]]:
    if described is None:
        return []
    found = []
    for instrument in words.instruments:
        rows = described.table[described.table["instrument"] == instrument]
        if rows.empty:
            continue
        says = f"Chart of how many patients had {words.titles[instrument]} scores. The table holds every number."
        draw = partial(_draw, figures.measured, rows, MEASURED)
        drawn = chart(draw, name=f"measured-{len(found)}", says=says, size=(5.2, 2.0)) if rows["n"].notna().any() else None
        found.append((words.titles[instrument], list(rows.itertuples(index=False)), drawn))
    return found


MEASURED = {
    "started": "first series due",
    "baseline": "baseline score",
    "any_score": "any later score",
    "end_score": "end score",
}


def _mean_charts(described: Described | None, words: views.Words) -> list[tuple[str, str, Markup]]:
    if described is None:
        return []
    table, found = described.table, []
    for instrument in words.instruments:
        rows = table[(table["instrument"] == instrument) & (table["axis"].isin(["baseline", "week"]))]
        seen = rows[rows["mean"].notna()]
        if len(seen) < 2:
            continue
        first, last = seen.iloc[0], seen.iloc[-1]
        title = words.titles[instrument]
        said = (
            f"Mean {title} went from {wording.decimal(first['mean'])} in week {first['point']} "
            f"({wording.count(first['n'])} scored) to {wording.decimal(last['mean'])} in week {last['point']} "
            f"({wording.count(last['n'])} scored)."
        )
        draw = partial(_draw, figures.trajectory, rows, {})
        drawn = chart(draw, name=f"mean-{len(found)}", says=f"Chart. {said}")
        found.append((title, said, drawn))
    return found


def _draw(figure: Any, table: pd.DataFrame, names: Mapping[str, str], ax: Any) -> None:
    figure(table, ax=ax, names=names)
