"""The measures as a document: what each takes as entry, follow-up and success, and from where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ketaoutcomes.definitions.model import Definitions, Measure, Occurrence


def measure_tables(definitions: Definitions) -> str:
    """Every measure and occurrence with its sources, as Markdown tables.

    >>> from ketaoutcomes.definitions import load
    >>> print(measure_tables(load()).splitlines()[0])
    ## The measures
    """
    lines = ["## The measures", "", "Printed from `ketaoutcomes/definitions/measures.toml`.", ""]
    header = ("measure", "entry", "follow-up", "met", "left out, in this order")
    lines += _table(header, (_row(it) for it in definitions.measures.values()))
    lines += ["## What an event is taken for", ""]
    columns = ("occurrence", "kinds of event", "or a diagnosis with the code", "source")
    lines += _table(columns, (_occurrence(one) for one in definitions.occurrences.values()))
    lines += ["## Sources", ""]
    lines += ["A number whose source is *house* is this package's own choice. One *as recalled* was not"]
    lines += ["checked against the licensed text: check it against your copy.", ""]
    for it in definitions.measures.values():
        lines += [f"**`{it.id}`** {it.title} ({', '.join(it.known_as)})", ""]
        lines += [f"- {key.replace('_', ' ')}: {cite}" for key, cite in it.cites.items()]
        lines += [f"- `{rate.name}`: {rate.title}: {rate.cite}" for rate in it.rates]
        lines += [f"- left out for {one.reason}: {one.cite}" for one in it.exclusions]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return ["| " + " | ".join(header) + " |", "|" + "---|" * len(header), *body, ""]


def _row(it: Measure) -> tuple[str, ...]:
    met = "; ".join(f"`{rate.name}`: {rate.title}" for rate in it.rates)
    reasons = ", ".join(one.reason for one in it.exclusions)
    own = (
        "age unknown, "
        if it.entry == "score"
        else "fewer sessions, no first score, below caseness at the start"
    )
    return f"`{it.id}`", _entry(it), _follow_up(it), met, f"{own}{reasons}"


def _entry(it: Measure) -> str:
    if it.entry == "course":
        cases = " or ".join(f"{name} {least} or more" for name, least in it.caseness.items())
        changes = ", ".join(f"{name} {points}" for name, points in it.reliable.items())
        sessions = f"a course of {it.sessions_at_least} or more sessions that has ended"
        return f"{sessions}; caseness: {cases}; reliable change in points: {changes}"
    ((name, least),) = it.at_least.items()
    said = [f"first {name} of {least} or more"]
    if it.encounter:
        said.append(f"on the day of an {it.encounter} or up to {it.encounter_days} days before")
    if it.diagnosis and it.diagnosis_days:
        said.append(
            f"with {it.diagnosis} from day {it.diagnosis_days[0]} to day {it.diagnosis_days[1]} of it"
        )
    elif it.diagnosis:
        said.append(f"with {it.diagnosis}")
    if it.identification_months:
        first, end = it.identification_months
        said.append(f"from {first} to {end} months (not included) of the period's first day")
    if it.age_at_least:
        said.append(f"aged {it.age_at_least} or more")
    return ", ".join(said)


def _follow_up(it: Measure) -> str:
    if it.entry == "course":
        return f"last score up to {it.after_last_dose_days} days after the last dose"
    if it.follow_up_days:
        return f"day {it.follow_up_days[0]} to {it.follow_up_days[1]}, the last score"
    return f"{it.follow_up_months} months, {it.margin_days} days either side, the last score"


def _occurrence(one: Occurrence) -> tuple[str, ...]:
    codes = [f"`{code}`" for code in (*one.words, *(f"{code}..." for code in one.icd10))]
    return (
        f"`{one.id}`: {one.title}",
        ", ".join(f"`{kind}`" for kind in one.kinds),
        ", ".join(codes),
        one.cite,
    )
