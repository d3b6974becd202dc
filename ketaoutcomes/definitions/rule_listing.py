"""Rules beside the criteria, as a document: what lasts, what others published, treatments beside: cited."""

from __future__ import annotations

from ketaoutcomes.definitions.lasting import Lasting
from ketaoutcomes.definitions.listing import markdown_table, number
from ketaoutcomes.definitions.model import Definitions
from ketaoutcomes.definitions.series import Series


def rules_document(definitions: Definitions, lasting: Lasting) -> str:
    """Every rule that is no instrument, criterion, protocol or measure with its source, as Markdown.

    >>> from ketaoutcomes.definitions import load
    >>> from ketaoutcomes.definitions.lasting import lasting
    >>> print(rules_document(load(), lasting()).splitlines()[0])
    # Rules, published series and treatments beside
    """
    lines = ["# Rules, published series and treatments beside", ""]
    lines += ["Printed from the files in `ketaoutcomes/definitions`; do not edit by hand.", ""]
    lines += ["A number whose source is *house* is this package's own choice.", ""]
    lines += ["## Does it last", ""]
    numbers = {
        "early": f"a response after session {lasting.early_sessions} or sooner is early",
        "recovery": f"the end of a response that lasted {lasting.recovery_days} days is a recurrence",
        "marks": f"durability is told on days {', '.join(map(str, lasting.marks))}",
        "boosters": f"the first {lasting.boosters} maintenance doses are described",
    }
    cited = ((told, lasting.cites[key]) for key, told in numbers.items())
    lines += markdown_table(("number", "source"), cited)
    relapses = ((f"`{one.name}`", one.title, one.cite) for one in lasting.relapses.values())
    lines += markdown_table(("relapse", "when", "source"), relapses)
    gains = (
        (
            f"`{one.name}`", one.title,
            f"{number(one.points)} points, {number(one.percent)} %, α {number(one.alpha)}", one.cite,
        )
        for one in lasting.gains.values()
    )  # fmt: skip
    lines += markdown_table(("sudden gain", "what", "numbers", "source"), gains)
    lines += ["## Published series", ""]
    for series in definitions.series.values():
        lines += _series(series, definitions)
    lines += ["## Treatments beside", ""]
    beside = (
        (f"`{'`, `'.join(one.columns)}`", one.effect, one.evidence, one.sure, one.cite)
        for one in definitions.concomitants.values()
    )
    lines += markdown_table(("column", "what is held", "evidence", "how sure", "source"), beside)
    return "\n".join(lines).rstrip() + "\n"


def _series(series: Series, definitions: Definitions) -> list[str]:
    """One published series: whom it kept and what it found, and what of its rule cannot be applied."""
    lines = [f"**`{series.id}`** {series.title}", "", f"- source: {series.cite} (read: {series.sure})"]
    kept = [f"routes {', '.join(series.routes)}"]
    if series.doses:
        most = f" to {series.doses[1]}" if len(series.doses) > 1 else " or more"
        kept.append(f"{series.doses[0]}{most} doses within {series.doses_within_days} days")
    if series.span_days is not None:
        kept.append(f"at least {series.span_days} days from the first to the last")
    began = "not stated" if series.charts is None else f"{series.charts:,}"
    lines.append(f"- kept: {'; '.join(kept)}; {series.n:,} analysed, charts they began from: {began}")
    for one in series.reported:
        title = definitions.criterion(one.criterion).title
        many = "n not stated" if one.n is None else f"n {one.n:,}"
        point = one.point if one.point == series.at else f"{series.at} {one.point}"
        lines.append(f"- {title} ({point}, {series.analysis}): {number(one.rate * 100)} %, {many}")
    return [*lines, *(f"- not applied: {rule}: {why}" for rule, why in series.not_applied), ""]
