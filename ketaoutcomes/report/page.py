"""The page: finished tables and words put into one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import escape

from ketaoutcomes import figures
from ketaoutcomes.notices import pages
from ketaoutcomes.report import overview, sentences, views
from ketaoutcomes.report.additions import Addition, Plain
from ketaoutcomes.report.beside import beside
from ketaoutcomes.report.charts import chart
from ketaoutcomes.report.days import days
from ketaoutcomes.report.exposed import CLOCKS, exposed
from ketaoutcomes.report.finished import MEAN_CHANGE
from ketaoutcomes.report.glance import glance
from ketaoutcomes.report.lasting import lasting
from ketaoutcomes.report.quality import quality
from ketaoutcomes.report.series import good_time_day, repeated, restated, told_again
from ketaoutcomes.report.side_effects import side_effects
from ketaoutcomes.report.told_by import periods_said, sites_said
from ketaoutcomes.results import wording

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    from ketaoutcomes.counts.tallies import Header
    from ketaoutcomes.plan import Plan
    from ketaoutcomes.report.finished import Described
    from ketaoutcomes.report.meta import Meta

AUDIENCES = {
    "shared": "Shared report: small numbers are hidden",
    "internal": "Internal: exact counts of few people. Do not forward",
}

PROFILES = {
    "cms11": "No number that describes 1 to 10 people is shown, nor any from which one could be worked out.",
    "opensafely": "Numbers of 7 people or fewer are not shown; all others are rounded to the nearest 5.",
}

ROUNDED = {"opensafely": " Numbers of people are rounded to the nearest 5."}

MEASURED = {
    "started": "first series due",
    "baseline": "baseline score",
    "any_score": "any later score",
    "end_score": "end score",
}


class Drawn(NamedTuple):
    """A chart, what it says, and the rows behind it where they stand beside it."""

    title: str
    says: str
    svg: Markup | None
    rows: tuple[Any, ...] = ()
    table: Plain | None = None


def render(
    content: Mapping[str, Any],
    header: Header,
    *,
    plan: Plan,
    meta: Meta,
    profile: str | None,
    audience: str,
) -> str:
    """The whole page as HTML text, of what `arranged` made of finished tables."""
    templates, style = environment()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    context = {
        "style": style, "style_hash": f"sha256-{digest}", "meta": meta, "plan": plan, "header": header,
        "notices": [(code, text, pages()[code]) for code, text in meta.notices],
        "files": meta.ledger is not None and bool((meta.ledger["file"] != "").any()),
        "why": meta.ledger is not None and bool((meta.ledger["reason"] != "").any()),
        "audience": audience, "stands_for": AUDIENCES[audience], "profile": profile,
        "profile_says": PROFILES.get(profile or "", ""), "rounding": ROUNDED.get(profile or "", ""),
        "as_of": sentences.counted(meta.as_of, header.as_of),
        "dates_say": sentences.DATES.get(meta.dates, ""), "level": f"{100 * plan.rates.level:g}",
    }  # fmt: skip
    page = templates.get_template("page.html").render({**context, **content})
    return _unbroken(page, content["words"].titles.values())


def _unbroken(page: str, names: Iterable[str]) -> str:
    """The page with what a narrow screen must not part marked so: PHQ-9, and limits such as −1 (−4 to +2).

    A browser may part a name after its hyphen. A mark keeps it together and leaves the text as it is for who
    searches or copies it; a hyphen of another kind would not.
    """
    long_first = sorted((name for name in names if "-" in name), key=len, reverse=True)
    limits = r"(?:[+\N{MINUS SIGN}]?\d+ )?\([+\N{MINUS SIGN}]?\d+ to [+\N{MINUS SIGN}]?\d+\)"
    text = "|".join([*(re.escape(str(escape(name))) for name in long_first), limits])
    found = re.compile(rf"<(style|svg|title)\b.*?</\1>|<[^>]*>|({text})", re.DOTALL)
    return found.sub(lambda m: f'<span class="nb">{m[2]}</span>' if m[2] else m[0], page)


@cache
def environment() -> tuple[Environment, str]:
    """The page's templates, with the words they use, and its style sheet."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("ketaoutcomes.report")
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    templates.filters.update(
        count=wording.count, label=wording.label, reason=sentences.reason, source=sentences.source,
        plain="{:g}".format, sentence=wording.capital,
    )  # fmt: skip
    templates.globals.update(
        percent=wording.percent, interval=wording.interval, is_number=wording.is_number,
        listed=wording.listed, plural=wording.plural, gap=wording.gap,
        HIDDEN=wording.HIDDEN, NONE=wording.NONE,
    )  # fmt: skip
    return templates, loader.get_source(templates, "page.css")[0].strip()


def arranged(tables: Mapping[str, Described], plan: Plan, audience: str) -> dict[str, Any]:
    """What the page and the e-mail show, by name: answers, tables, charts and their words."""
    words, get = views.Words(plan), tables.get
    paragraphs, references = _methods(plan.methods())
    sessions: dict[str, list[views.Block]] = {}
    for group, block in views.point_blocks(get("rates_session"), words):
        sessions.setdefault(group, []).append(block)
    ends = views.group_blocks([get("rates_end"), get("rates_end_by_protocol")], "Schedule", words)
    ends = [block for block in ends if block.is_shown]
    visits = [name for name, blocks in sessions.items() if any(block.is_shown for block in blocks)]
    good_time = exposed(tables, plan, words)
    changes, stays = overview.changed(get("changes"), words), views.stays(get("retention"), words)
    dated = days(tables, words)
    content = {
        "words": words, "days": {section: stands.says for section, stands in dated.items()},
        "glance": glance(tables, words, changes, stays, dated),
        "methods": paragraphs, "references": references, "gates": _gates(plan, words),
        "ordinal": plan.population.courses, "latest": views.latest(get("rates_period"), words),
        "answers": views.answers(tables, words), "last_known": views.last_known(get("last_known"), words),
        "changes": changes,
        "protocols": _judged_by(plan, words, sessions), "by_route": not (set(sessions) - {""}),
        "flow": views.flow_steps(get("flow"), words),
        "sessions": {name: sessions[name] for name in words.by_plan(visits)},
        "by_week_only": [words.schedule(name) for name in words.by_plan({*sessions} - {*visits})],
        "weeks": _shown(views.point_blocks(get("rates_week"), words)),
        "means": _means(get("trajectory"), words),
        "ends": ends,
        "by_site": views.group_blocks([get("rates_end_by_site")], "Site", words) if ends else [],
        "sites": overview.sites(tables, words), "funnels": overview.funnels(tables, words),
        "told_by": periods_said(tables, words), "sites_joined": sites_said(tables),
        "months": _shown(views.point_blocks(get("rates_month"), words, draw=False)),
        "control": overview.control_charts(get("control"), words),
        "mean_change": overview.mean_charts(get(MEAN_CHANGE), words),
        "retention": stays, "retention_chart": _retention(get("retention")),
        # In a series the rates may stand as of another day than who was scored.
        "measured": _measured(get("measured"), words, has_end=bool(ends),
                              rates=None if dated else get("rates_end")),
        "timing": views.waits(get("timing"), words),
        "good_time": good_time, "clocks": CLOCKS,
        "additions": _additions(tables, words, shared=audience == "shared"),
        "hidden_rates": sum(_hidden(described) for described in tables.values()),
        "restated": restated(tables, words),
        "measures": "measures" in tables,
        "steps": told_again(tables), "repeated": repeated(tables), "good_time_day": good_time_day(tables),
    }  # fmt: skip
    return content | {"contents": _contents(content)}


def _additions(tables: Mapping[str, Described], words: views.Words, *, shared: bool) -> list[Addition]:
    """Parts that stand there only where the report holds their tables, in reading order."""
    parts = (
        lasting(tables, words, shared=shared, day=good_time_day(tables)),
        side_effects(tables, words),
        quality(tables, words),
        beside(tables, words),
    )
    return [one for one in parts if one is not None]


CONTENTS = (
    ("changed", "What changed", "changes"), ("stayed", "Who stayed", "retention"),
    ("scored", "Who was scored", "measured"), ("sessions", "After each session", "sessions"),
    ("weeks", "Week by week", "weeks"), ("end", "At the end", "ends"),
    ("good-time", "Good time", "good_time"),
    ("over-time", "Over time", "months"), ("sites", "Sites", "by_site"),
)  # fmt: skip
"""Sections in reading order: id, name in the list of contents, what must be there."""


def _contents(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    there = [(id_, name) for id_, name, needs in CONTENTS if content[needs]]
    return [*there, *((one.id, one.title) for one in content["additions"]), ("about", "About these numbers")]


def _judged_by(plan: Plan, words: views.Words, sessions: Mapping[str, Any]) -> list[Any]:
    """The schedules courses were judged by; all of the plan's where the table by protocol is hidden."""
    named = [name for name in words.by_plan(sessions) if name in words.protocols]
    if not named and not (set(sessions) - {""}):
        named = [name for name in dict.fromkeys(plan.protocol.values()) if name in words.protocols]
    return [plan.definitions.protocol(name) for name in named]


def _shown(found: list[tuple[str, views.Block]]) -> list[views.Block]:
    return [block for _, block in found if block.is_shown]


def _methods(text: str) -> tuple[list[str], list[str]]:
    """The plan's methods text as paragraphs, and its numbered references as a list without their numbers."""
    prose, _, references = text.partition("\nReferences\n")
    lines = [line.partition(". ")[2] for line in references.splitlines() if line.strip()]
    return [paragraph for paragraph in prose.split("\n\n") if paragraph.strip()], lines


def _gates(plan: Plan, words: views.Words) -> list[str]:
    gates = {words.titles[name]: plan.gate(name) for name in words.instruments}
    return [f"{title} {gate}" for title, gate in gates.items() if gate]


def _hidden(described: Described) -> int:
    table = described.table
    return int((table["reason"] == wording.HIDDEN).sum()) if "analysis" in table else 0


def _retention(described: Described | None) -> Markup | None:
    if described is None or not described.table["rate"].notna().any():
        return None
    says = (
        "Chart of the share of patients who received each session, by protocol. The tables hold every number."
    )
    draw = partial(views.draw_on, figure=figures.retention, table=described.table, names={})
    return chart(draw, name="retention", says=says, size=(5.6, 2.8), bottom=0.4)


def _measured(
    described: Described | None, words: views.Words, *, has_end: bool, rates: Described | None
) -> list[Drawn]:
    """The measurement cascade of each instrument and, from `rates` at the end, who is scored of those due."""
    found: list[Drawn] = []
    for instrument in words.instruments if described is not None else ():
        rows = described.table[described.table["instrument"] == instrument]  # type: ignore[union-attr]
        # Where nothing has an end, nobody can have an end score: not a gap in anybody's measuring.
        rows = rows if has_end else rows[rows["step"] != "end_score"]
        if rows.empty:
            continue
        title = words.titles[instrument]
        steps = tuple(
            (MEASURED.get(str(row.step), str(row.step)), row) for row in rows.itertuples(index=False)
        )
        svg = None
        if rows["n"].notna().any():
            draw = partial(views.draw_on, figure=figures.measured, table=rows, names=MEASURED)
            says = f"Chart of how many patients had {title} scores. The table below holds every number."
            svg = chart(
                draw, name=f"measured-{len(found)}", says=says, size=(5.6, 1.7), left=1.5, bottom=0.12
            )
        says = _scored(title, steps)
        own = None if rates is None else views.scored_of_due(rates.table, words.first[instrument])
        if own is not None:
            share = wording.percent(own.assessed, own.due)
            says += f" Of the {wording.count(own.due)} counted in its rates, {share} have."
        found.append(Drawn(title, says, svg, steps))
    return found


def _scored(title: str, steps: tuple[Any, ...]) -> str:
    last = steps[-1][1]
    if wording.is_number(last.of) and last.of == 0:
        return "Nobody is due yet."
    if not wording.is_number(last.n):
        return "Too few patients to show."
    when = "at the end of the series" if last.step == "end_score" else "after the first dose"
    who, have = wording.plural(last.n, "patient has", "patients have").split()
    said = f"{wording.count(last.n)} {who}"
    if wording.is_number(last.of):
        due = wording.plural(last.of, "patient", "patients")
        said, have = f"{wording.percent(last.n, last.of)} of the {wording.count(last.of)} {due} due", "have"
    return f"{said} {have} a {title} score {when}."


def _means(described: Described | None, words: views.Words) -> list[Drawn]:
    found: list[Drawn] = []
    for instrument in words.instruments if described is not None else ():
        table = described.table  # type: ignore[union-attr]
        rows = table[(table["instrument"] == instrument) & table["axis"].isin(["baseline", "week"])]
        seen = list(rows[rows["mean"].notna()].itertuples(index=False))
        if len(seen) < 2:
            continue
        first, last = seen[0], seen[-1]
        start = "at baseline" if first.axis == "baseline" else f"in week {first.point}"
        says = (
            f"From {wording.decimal(first.mean)} {start} ({wording.count(first.n)} scored) to "
            f"{wording.decimal(last.mean)} in week {last.point} ({wording.count(last.n)} scored)."
        )
        title = words.titles[instrument]
        draw = partial(views.draw_on, figure=figures.trajectory, table=rows, names=words.titles)
        told = f"Chart of the mean {title}. {says} The table below holds every number."
        svg = chart(draw, name=f"mean-{len(found)}", says=told)
        found.append(Drawn(title, says, svg, table=_mean_table(title, rows)))
    return found


def _mean_table(title: str, rows: Any) -> Plain:
    """The means with their numbers of people; a hidden week is hidden whole."""
    heads = (("Week", True), ("scored", False), ("mean", False), ("SD", False))
    lines = []
    for row in rows.itertuples(index=False):
        when = "baseline" if row.axis == "baseline" else str(row.point)
        known = wording.is_number(row.mean)
        cells = (wording.decimal(row.mean), wording.decimal(row.sd)) if known else (wording.HIDDEN,) * 2
        lines.append((when, wording.count(row.n), *cells))
    return Plain(f"Mean {title} of those scored", heads, tuple(lines))
