"""The report in an e-mail: its answer, what changed, the series by protocol, one picture."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from ketaoutcomes import figures
from ketaoutcomes.report import overview, sentences, views
from ketaoutcomes.report.charts import picture
from ketaoutcomes.report.mail import Letter, eml
from ketaoutcomes.report.page import AUDIENCES, environment
from ketaoutcomes.results.wording import HIDDEN, count, interval, is_number, label, percent

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Header
    from ketaoutcomes.plan import Plan
    from ketaoutcomes.report.finished import Described
    from ketaoutcomes.report.meta import Meta

_PARAGRAPH = re.compile(r"<p[^>]*>(.*?)</p>", re.DOTALL)
MARKS = "Filled marks: of all due. Open marks: of those scored only."
_TAG = re.compile(r"<[^>]+>")
CLOSING = (
    "Of all due: everyone whose series had enough time, so a patient without a score counts as not improved. "
    "Beside a percentage stands its interval, the range of true rates that fits these patients.",
    "report.html in the same folder holds every number, how it was counted, and who is not in it.",
    "For clinicians and researchers. It does not diagnose and does not advise on dose.",
)


def letter(
    tables: Mapping[str, Described], header: Header, *, plan: Plan, meta: Meta, audience: str
) -> bytes:
    """The bytes of email.eml, from the same finished tables as the page."""
    words = views.Words(plan)
    drawn, caption = _picture(tables.get("rates_session"), words)
    inside = audience == "internal"
    return eml(
        Letter(
            subject=f"{label(meta.title)}, {sentences.as_of(header.as_of)}",
            paragraphs=[*_answers(tables, plan, words), *_changes(tables, words)],
            table=_table(tables, words),
            picture=drawn,
            caption=caption,
            closing=CLOSING if inside else (AUDIENCES[audience] + ".", *CLOSING),
            notice=AUDIENCES[audience] + "." if inside else "",
        )
    )


def _answers(tables: Mapping[str, Described], plan: Plan, words: views.Words) -> list[str]:
    """The page's own sentences, from its own template, as plain text."""
    templates, _ = environment()
    page = templates.get_template("letter.html").render(
        answers=views.answers(tables, words), latest=views.latest(tables.get("rates_period"), words),
        ordinal=plan.population.courses, words=words,
    )  # fmt: skip
    found = [" ".join(html.unescape(_TAG.sub("", text)).split()) for text in _PARAGRAPH.findall(page)]
    return [text for text in found if text] or ["No rate can be given from these records."]


def _changes(tables: Mapping[str, Described], words: views.Words) -> list[str]:
    return [f"{change.title}: {change.says}" for change in overview.changed(tables.get("changes"), words)]


def _table(tables: Mapping[str, Described], words: views.Words) -> list[list[str]]:
    """How each protocol stands at the end, by the first instrument that has such rows."""
    ends = [tables.get("rates_end"), tables.get("rates_end_by_protocol")]
    for block in views.group_blocks(ends, "Protocol", words):
        if block.is_shown:
            rows = [[line.head, _known(line.due), *map(_share, line.pairs)] for line in block.lines]
            return [[f"{block.title}, end of series", "due", *block.criteria], *rows]
    return []


def _known(n: float) -> str:
    return count(n) if is_number(n) else HIDDEN


def _share(pair: views.Pair) -> str:
    row = pair.everyone
    if not is_number(row.rate):
        return HIDDEN if row.reason == "hidden" else ""
    return f"{percent(row.met, row.n)} ({interval(row.low, row.high)})"


def _picture(described: Described | None, words: views.Words) -> tuple[bytes | None, str]:
    """Rates by session of the protocol with most patients due, and what they say."""
    blocks = [found for found in views.point_blocks(described, words, draw=False) if found[1].is_shown]
    if described is None or not blocks:
        return None, ""
    group, block = max(blocks, key=lambda found: max(_or_none(line.due) for line in found[1].lines))
    table = described.table
    own = (table["protocol"] == group) & (table["instrument"].map(words.titles) == block.title)
    drawn = picture(partial(views.draw_on, figure=figures.rates, table=table[own], names=words.short))
    return drawn, f"{block.title} after each session, {label(group)}. {block.says} {MARKS}"


def _or_none(n: float) -> float:
    return n if is_number(n) else 0
