"""A plan at a glance: what it judges, by which rules, and where it differs from the default."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ketaoutcomes.plan.model import Plan


def changed(plan: Plan, default: Plan) -> list[str]:
    """The keys of the analysis whose value is not the default, as `section.key`, in the order of the file.

    What a file's columns are called and who may read the report are no part of it: they change no number.

    >>> from ketaoutcomes.plan import Plan
    >>> changed(Plan(rates={"level": 0.9}, columns={"patient": "id"}), Plan())
    ['rates.level']
    """
    from ketaoutcomes.plan.model import ANALYSIS

    found = [name for name in ("folders", "protocol") if getattr(plan, name) != getattr(default, name)]
    for section in ANALYSIS:
        own, usual = getattr(plan, section).as_table(), getattr(default, section).as_table()
        found += [f"{section}.{key}" for key in own if own[key] != usual.get(key)]
    return found


def _beside(plan: Plan, default: Plan) -> list[str]:
    """The tables beside the analysis that are not the default's: a map of columns, a reader."""
    from ketaoutcomes.plan.model import ANALYSIS, SECTIONS

    others = [name for name in SECTIONS if name not in ANALYSIS]
    return [f"[{name}]" for name in others if getattr(plan, name) != getattr(default, name)]


def in_a_line(plan: Plan, default: Plan) -> str:
    """The plan in one line of text."""
    keys = changed(plan, default)
    told = f"default but for {', '.join(keys)}" if keys else "the default"
    return f"Plan({told}; {', '.join(plan.criteria.primary)}; hash {plan.hash[:12]})"


def in_facts(plan: Plan, default: Plan) -> list[tuple[str, str]]:
    """The plan as facts, a name and what it is, for a small table."""
    criteria = [plan.definitions.criterion(name) for name in plan.criteria.primary]
    routes = [f"{route}: {plan.definitions.protocol(name).title}" for route, name in plan.protocol.items()]
    return [
        ("headline criteria", "\n".join(f"{one.name}: {one.title}" for one in criteria)),
        ("protocol, by first route", "\n".join(routes)),
        ("who counts", f"each person's {plan.population.courses} eligible course"),
        (
            "baseline",
            f"{plan.baseline.take} score within {plan.baseline.within_days} days before the first dose",
        ),
        ("intervals", f"{plan.rates.interval}, {100 * plan.rates.level:g} %"),
        ("differs from the default in", ", ".join(changed(plan, default)) or "nothing"),
        ("given beside the analysis", ", ".join(_beside(plan, default)) or "nothing"),
        ("hash", plan.hash[:12]),
    ]
