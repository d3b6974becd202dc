"""The report in an e-mail: its answer, what changed, the series by protocol, one picture."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ketaoutcomes import figures
from ketaoutcomes.notices import pages
from ketaoutcomes.report import sentences, views
from ketaoutcomes.report.charts import picture
from ketaoutcomes.report.mail import Letter, eml
from ketaoutcomes.report.page import AUDIENCES, environment
from ketaoutcomes.results.wording import HIDDEN, count, interval, is_number, label, percent

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Header
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
    content: Mapping[str, Any], tables: Mapping[str, Described], header: Header, *, meta: Meta, audience: str
) -> bytes:
    """The bytes of email.eml, of the very content that the page shows; the picture is drawn from `tables`."""
    drawn, caption = _picture(content, tables)
    inside = audience == "internal"
    days = [content["days"]["answer"]] if "answer" in content["days"] else []
    return eml(
        Letter(
            subject=f"{label(meta.title)}, {sentences.counted(meta.as_of, header.as_of)}",
            paragraphs=[*_answers(content), *_first(meta), *days],
            lines=[(line.question, line.says) for line in content["glance"]],
            table=_table(content["ends"]),
            picture=drawn,
            caption=caption,
            closing=CLOSING if inside else (AUDIENCES[audience] + ".", *CLOSING),
            notice=AUDIENCES[audience] + "." if inside else "",
        )
    )


def _first(meta: Meta) -> list[str]:
    """Warnings that apply to the report, for the page to explain."""
    return [f"{pages()[code]['title']}: see data quality on the page first." for code, _ in meta.notices]


def _answers(content: Mapping[str, Any]) -> list[str]:
    """The page's own sentences, from its own template, as plain text."""
    templates, _ = environment()
    page = templates.get_template("letter.html").render(
        {name: content[name] for name in ("answers", "latest", "ordinal", "words")}
    )
    found = [" ".join(html.unescape(_TAG.sub("", text)).split()) for text in _PARAGRAPH.findall(page)]
    return [text for text in found if text] or ["No rate can be given from these records."]


def _table(ends: Sequence[views.Block]) -> list[list[str]]:
    """How each protocol stands at the end, by the first instrument that has such rows."""
    for block in ends:
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


def _picture(content: Mapping[str, Any], tables: Mapping[str, Described]) -> tuple[bytes | None, str]:
    """Rates by session of the protocol with most patients due, and what they say."""
    words = content["words"]
    blocks = [(name, block) for name, own in content["sessions"].items() for block in own if block.is_shown]
    if not blocks:
        return None, ""
    group, block = max(blocks, key=lambda found: max(_or_none(line.due) for line in found[1].lines))
    table = tables["rates_session"].table
    own = (table["protocol"] == group) & (table["instrument"].map(words.titles) == block.title)
    drawn = picture(partial(views.draw_on, figure=figures.rates, table=table[own], names=words.short))
    return drawn, f"{block.title} after each session, {words.schedule(group)}. {block.says} {MARKS}"


def _or_none(n: float) -> float:
    return n if is_number(n) else 0
