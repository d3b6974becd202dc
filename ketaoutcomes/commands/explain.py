"""What a rule, a criterion, an instrument or a protocol is, in words, with its source."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ketaoutcomes.definitions.lasting import lasting
from ketaoutcomes.intake.rules import Rule, rules
from ketaoutcomes.notices import pages
from ketaoutcomes.tables import TABLES, Table

if TYPE_CHECKING:
    from ketaoutcomes.definitions import Criterion, Definitions, Instrument, Protocol, Series

WIDTH = 88


def explanation(code: str, definitions: Definitions) -> str | None:
    """What is known by a name: a rule of intake, a criterion (full or bare), an instrument, a protocol, a
    published series, a treatment beside ketamine, a rule for relapse or sudden gains.

    None where nothing is. Case does not matter. Tables of results are known by name, too, with their columns.

    >>> from ketaoutcomes.definitions import load
    >>> print(explanation("c02", load()).splitlines()[0])
    C02: The patient's code is blank
    """
    known = {**rules(), **{code: Rule(code, **page) for code, page in pages().items()}}
    if code.upper() in known:
        return _rule(known[code.upper()])
    name = code.casefold()
    parts = [_criterion(c) for c in definitions.criteria.values() if name in (c.name, c.short)]
    if name in definitions.instruments:
        parts.append(_instrument(definitions.instruments[name]))
    if name in definitions.protocols:
        parts.append(_protocol(definitions.protocols[name]))
    if name in definitions.series:
        parts.append(_series(definitions.series[name]))
    if name in definitions.concomitants:
        parts.append(_wrapped(definitions.concomitants[name].words))
    if name in definitions.measures:
        measure = definitions.measures[name]
        parts.append("\n".join([f"{name}: {measure.title}", *_sources(measure.cites)]))
    if name in TABLES:
        parts.append(_table(TABLES[name]))
    kept = lasting()
    for known_rules in (kept.relapses, kept.gains):
        if name in known_rules:
            rule = known_rules[name]
            parts.append(f"{name}: {rule.title}\n" + _wrapped(f"Source: {rule.cite}", "  "))
    return "\n\n".join(parts) or None


def near(code: str, definitions: Definitions) -> str:
    """The end of a message about a name that is not known: the names it is near to, or where to look.

    >>> from ketaoutcomes.definitions import load
    >>> near("phq9_respons50", load())
    '; did you mean phq9_response50?'
    """
    known = [*rules(), *pages(), *definitions.criteria, *(c.short for c in definitions.criteria.values())]
    known += [*definitions.instruments, *definitions.protocols, *definitions.series, *definitions.measures]
    folded = {name.casefold(): name for name in (*known, *TABLES)}
    found = difflib.get_close_matches(code.casefold(), folded, n=1, cutoff=0.75)
    if found:
        return f"; did you mean {folded[found[0]]}?"
    return "; try a rule (C07), a criterion (phq9_response50), an instrument (phq9) or a table (rates)"


def _table(table: Table) -> str:
    lines = [f"table {table.name}: one row per {table.one_row_per}"]
    return "\n".join([*lines, *(_wrapped(f"{c.name}: {c.meaning}", "  ") for c in table.columns)])


def _rule(rule: Rule) -> str:
    return "\n".join(
        [f"{rule.code}: {rule.title}", "", _wrapped(rule.why), "", _wrapped(f"What to do: {rule.do}")]
    )


def _criterion(criterion: Criterion) -> str:
    against = "compared with baseline" if criterion.uses_baseline else "judged on the score alone"
    numbers = " and ".join(str(number) for number in (criterion.value, criterion.limit) if number is not None)
    return "\n".join(
        [
            f"{criterion.name}: {criterion.title}",
            f"  {against}; rule {criterion.rule}, {numbers}",
            _wrapped(f"Source: {criterion.cite}", "  "),
        ]
    )


def _instrument(instrument: Instrument) -> str:
    lines = [f"{instrument.id}: {instrument.title}"]
    if instrument.items:
        lines.append(f"  {instrument.items} items, each {instrument.item_low} to {instrument.item_high}")
    lines.append(f"  total {instrument.low} to {instrument.high}; {instrument.worse} is worse")
    if instrument.max_missing:
        blank = f"up to {instrument.max_missing} blank items are replaced by the mean of those answered"
    else:
        blank = "a form with a blank item has no total" if instrument.items else "read as totals"
    lines.append(f"  {blank}")
    if instrument.gate is not None:
        lines.append(f"  judged from a baseline of {instrument.gate}")
    lines += [f"  {band.name}: {band.low} to {band.high}" for band in instrument.bands]
    lines.append(f"  criteria: {', '.join(c.name for c in instrument.criteria)}")
    return "\n".join([*lines, *_sources(instrument.cites)])


def _protocol(protocol: Protocol) -> str:
    lines = [f"{protocol.id}: {protocol.title}"]
    for name, words in (
        ("visits", "induction sessions"),
        ("session_window", "days a session is judged for, at most"),
        ("induction_limit", "days within which induction ends"),
        ("course_gap", "days without a dose that end a course"),
        ("maturity", "days after the first dose at which a course is due"),
    ):
        value = getattr(protocol, name)
        lines += [f"  {words}: {value}"] if value is not None else []
    return "\n".join([*lines, *_sources(protocol.cites)])


def _series(series: Series) -> str:
    lines = [f"{series.id}: {series.title}", f"  routes: {', '.join(series.routes)}"]
    if series.doses:
        fewest, *most = series.doses
        many = f"{fewest} to {most[0]}" if most else f"at least {fewest}"
        lines.append(f"  {many} dose days within {series.doses_within_days} days of the first")
    for one in series.reported:
        n = f"of {one.n:,}" if one.n is not None else "n not stated"
        lines.append(f"  {one.criterion}, {series.at} {one.point}: {100 * float(one.rate):g} %, {n}")
    lines += [_wrapped(f"not applied: {rule} ({why})", "  ") for rule, why in series.not_applied]
    return "\n".join([*lines, _wrapped(f"Source: {series.cite} (read: {series.sure})", "  ")])


def _sources(cites: Mapping[str, str]) -> list[str]:
    return [_wrapped(f"{name}: {cite}", "  ") for name, cite in cites.items()]


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent)
