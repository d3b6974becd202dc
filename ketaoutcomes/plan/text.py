"""The plan's declarations as text: the commented default plan, and the tables of the manual."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ketaoutcomes.plan.columns import NAMES
from ketaoutcomes.plan.keys import Key, Section
from ketaoutcomes.plan.model import BY_ROUTE, SECTIONS, Plan

_COMMENT_AT = 30

_HEAD = """\
# The analysis plan of ketaoutcomes. Every line shows its default; delete what you don't change.
schema = 1
folders = []                  # your own instruments, criteria and protocols (TOML files); part of the hash

[protocol]                    # by people.protocol; else by the route of the first dose
"""

_ALL = (
    '# all = "none"                # one for everyone, in place of the routes; "none": judged by week only\n'
)

_COLUMNS = """\
# patient = "PatID"
# route = { from = "Drug", map = { "Ketamine IV" = "iv", "Spravato" = "intranasal" } }
# day = { from = "VISIT", map = { 4 = 7, 5 = 14 } }
# dose = { value = 1 }        # the same for every row
"""

_TABLES = """\
# [[columns.doses]]           # one file read as several tables: columns as above, patient inherited
# file = "scores*.csv"        # only these files; also [[columns.scores]], .people, .events, .monitoring
"""


def default_plan_text() -> str:
    """A plan in TOML with every default written out and explained; `parse_plan` of it gives `Plan()`.

    >>> from ketaoutcomes.plan.reader import parse_plan
    >>> parse_plan(default_plan_text()) == Plan()
    True
    """
    routes = "".join(f'{route} = "{protocol}"\n' for route, protocol in BY_ROUTE.items())
    sections = [_section_text(section) for section in SECTIONS.values()]
    return "\n".join([_HEAD + routes + _ALL, *sections])


def _section_text(section: type[Section]) -> str:
    lines = [_commented(f"[{section.section}]", section.about)]
    if section.section == "columns":
        lines.append(_COLUMNS.rstrip("\n"))
    lines += [_key_line(key) for key in _written(section)]
    if section.section == "columns":
        lines.append(_TABLES.rstrip("\n"))
    return "\n".join(lines) + "\n"


def _written(section: type[Section]) -> list[Key]:
    """The keys with a line of their own: the columns and tables of [columns] are shown by example."""
    shown_by_example = {"fields", *NAMES} if section.section == "columns" else set()
    return [key for key in section.keys().values() if key.name not in shown_by_example]


def _key_line(key: Key) -> str:
    if key.name == "gate":
        return _commented("gate = {}", f"{key.meaning} (cited: {_gates()})")
    if key.default is None and key.example != '""':
        return _commented(f"# {key.name} = {key.example}", key.meaning)
    if key.name == "keep":
        return _commented(f"# keep = {key.example}", key.meaning)
    return _commented(
        f"{key.name} = {key.example if key.default is None else toml(key.default)}", key.meaning
    )


def _gates() -> str:
    """The cited gates of the instruments the default plan judges, and of their companion, as examples."""
    plan = Plan()
    return ", ".join(f"{name} {plan.gate(name)}" for name in (*plan.instruments, "gad7"))


def _commented(line: str, comment: str) -> str:
    return f"{line:<{_COMMENT_AT - 1}} # {comment}"


def toml(value: Any) -> str:
    """A default as TOML writes it.

    >>> toml((1, 2)), toml("iv"), toml(False)
    ('[1, 2]', '"iv"', 'false')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Mapping):
        inside = ", ".join(f"{name} = {toml(item)}" for name, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, tuple):
        return f"[{', '.join(toml(item) for item in value)}]"
    return str(value)


def reference_table(name: str) -> str:
    """The keys of one table of the plan as a Markdown table: key, default, what it may hold, meaning."""
    rows = ["| key | default | may hold | meaning |", "|---|---|---|---|"]
    for key in SECTIONS[name].keys().values():
        if key.name == "fields":
            continue
        default = "none" if key.default is None else f"`{toml(key.default)}`"
        cells = [f"`{key.name}`", default, key.reader.wanted, key.meaning]
        rows.append("| " + " | ".join(cell.replace("|", "\\|").replace("\t", "\\t") for cell in cells) + " |")
    return "\n".join(rows)


def column_table() -> str:
    """The columns of ours, by input table, as a Markdown table."""
    rows = ["| table | columns |", "|---|---|"]
    rows += [f"| {table} | {', '.join(f'`{name}`' for name in names)} |" for table, names in NAMES.items()]
    return "\n".join(rows)
