"""The definitions as a document: every instrument, criterion and protocol with its source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from ketaoutcomes.definitions.model import Criterion, Definitions, Instrument, Protocol

_COMBINED = {"sum": "sum", "mean": "mean", "max_of_groups": "sum, of each group the highest"}


def document(definitions: Definitions) -> str:
    """Every instrument, criterion and protocol with its citations, as a Markdown document.

    >>> from ketaoutcomes.definitions import load
    >>> print(document(load()).splitlines()[0])
    # Instruments, criteria and protocols
    """
    lines = ["# Instruments, criteria and protocols", ""]
    lines += ["Printed from the files in `ketaoutcomes/definitions`; do not edit by hand.", ""]
    lines += ["A number whose source is *house* is this package's own choice.", ""]
    lines += ["## Instruments", ""]
    header = (
        "instrument",
        "items",
        "total",
        "worse",
        "blank items",
        "baseline gate",
        "recall",
        "ticks per point",
    )
    lines += markdown_table(header, (_instrument_row(it) for it in definitions.instruments.values()))
    for it in definitions.instruments.values():
        lines += _instrument_section(it)
    lines += ["## Protocols", ""]
    columns = (
        "protocol",
        "visits",
        "session window",
        "induction limit",
        "carry",
        "course gap",
        "due after",
        "trial",
    )
    lines += markdown_table(columns, (_protocol_row(it) for it in definitions.protocols.values()))
    for protocol in definitions.protocols.values():
        lines += _protocol_section(protocol)
    return "\n".join(lines).rstrip() + "\n"


def number(value: Fraction) -> str:
    """A number of a definition as it is written in its file: 50, 0.5.

    >>> number(Fraction(1, 2)), number(Fraction(50))
    ('0.5', '50')
    """
    return str(value.numerator) if value.denominator == 1 else str(float(value))


def markdown_table(header: Sequence[str], cells: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown, as lines, with a blank one after it.

    >>> markdown_table(["a", "b"], [["1", "x|y"]])
    ['| a | b |', '|---|---|', '| 1 | x\\\\|y |', '']
    """
    body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
    return ["| " + " | ".join(header) + " |", "|" + "---|" * len(header), *body, ""]


def _days(value: int | None) -> str:
    return "–" if value is None else f"{value} d"


def _instrument_row(it: Instrument) -> tuple[str, ...]:
    items = (
        f"{it.items} × {it.item_low}–{it.item_high}, {_COMBINED[it.combine]}" if it.items else "totals only"
    )
    blank = f"up to {it.max_missing}: mean of those answered" if it.max_missing else "no total"
    return (
        f"{it.title} (`{it.id}`)",
        items,
        f"{it.low}–{it.high}",
        it.worse,
        blank if it.items else "–",
        "–" if it.gate is None else str(it.gate),
        _days(it.recall_days),
        str(it.ticks),
    )


def _instrument_section(it: Instrument) -> list[str]:
    lines = [f"### {it.title}", ""]
    if it.bands:
        lines += ["Bands: " + ", ".join(f"{b.low}–{b.high} {b.name}" for b in it.bands) + ".", ""]
    if it.clusters:
        lines += ["Clusters: " + "; ".join(f"{c.name}: items {_run(c.items)}" for c in it.clusters) + ".", ""]
    if it.diagnosis is not None:
        needed = ", ".join(f"{count} of {name}" for name, count in it.diagnosis.clusters.items())
        rule = f"at least {needed} answered {it.diagnosis.item_at_least} or more"
        lines += [f"Diagnosis: {it.diagnosis.title}: {rule}; unknown where an item is blank.", ""]
    rows = ((f"`{c.name}`", c.title, _rule(c), c.cite) for c in it.criteria)
    lines += markdown_table(("criterion", "met when", "rule", "source"), rows)
    if it.families:
        named = (f"{family.replace('_', ' ')} `{it.id}_{short}`" for family, short in it.families.items())
        lines += ["Families: " + ", ".join(named) + ".", ""]
    lines += ["Sources:", ""]
    lines += [f"- {key.replace('_', ' ')}: {cite}" for key, cite in it.cites.items()]
    lines += [f"- reliability ({r.kind} {number(r.r)}, SD {number(r.sd)}): {r.cite}" for r in it.reliability]
    lines += [
        f"- norm ({one.population}, n = {one.n}: mean {number(one.mean)}, SD {number(one.sd)}): {one.cite}"
        for one in it.norms
    ]
    return [*lines, ""]


def _rule(criterion: Criterion) -> str:
    numbers = [criterion.value] if criterion.value else []
    numbers += [criterion.limit] if criterion.limit is not None else []
    return " ".join([f"`{criterion.rule}`", ", ".join(map(number, numbers))]).strip()


def _run(items: tuple[int, ...]) -> str:
    together = items == tuple(range(items[0], items[-1] + 1)) and len(items) > 1
    return f"{items[0]}–{items[-1]}" if together else ", ".join(map(str, items))


def _protocol_row(it: Protocol) -> tuple[str, ...]:
    carry = "–" if it.carry is None else f"{it.carry[0]} / {it.carry[1]} d"
    trial = "–" if it.trial is None else f"{it.trial[0]}, {it.trial[1]} {it.trial_unit}"
    return (
        f"`{it.id}`",
        "–" if it.visits is None else str(it.visits),
        _days(it.session_window),
        _days(it.induction_limit),
        carry,
        _days(it.course_gap),
        _days(it.maturity),
        trial,
    )


def _protocol_section(it: Protocol) -> list[str]:
    lines = [f"- `{it.id}`: {it.title}. Source: {it.cites['schedule']}."]
    if it.planned_days:
        lines.append(f"  Planned days {', '.join(map(str, it.planned_days))}.")
    return lines + [
        f"  Adequate level, {level.route}: {number(level.dose)} {level.unit} ({level.cite})."
        for level in it.levels
    ]
