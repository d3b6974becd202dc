"""A protected Tally read back: which facts its rows tell, by the unit in which they are published together.

A *unit* is what is restated or repeated as one: all groups of a criterion at every point of an axis (of
months, at one month), a variable at every point of an axis, a step of the flow or all its sessions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from ketaoutcomes.disclosure.facts import (
    CASCADE,
    MEASURED,
    MONTH,
    NO_POINT,
    SCHEDULED,
    Fact,
    Group,
    reason_fact,
    value_fact,
)
from ketaoutcomes.disclosure.rewrite import PERMITS

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

Array = Any


class Unit(NamedTuple):
    """What is published together, as of one day: in a table of one Tally, an instrument's rows of an axis.

    `point` is empty but for a month, the end, and a step of the flow. Of the flow `axis` is the unit counted
    and `point` the step (`session` for all sessions); of values `criterion` is the variable.
    """

    by: tuple[str, ...]
    table: str
    instrument: str
    criterion: str
    kind: str
    axis: str
    point: str


class Number(NamedTuple):
    """One published number: its unit, the grouping it belongs to, the fact, the group; NaN where hidden."""

    unit: Unit
    by: tuple[str, ...]
    fact: Fact
    group: Group
    n: float


def units(tally: Tally, table: str) -> list[Unit]:
    """The unit of every row of a protected Tally's table."""
    return [_whole(place) for place in _places(tally, table)]


def _whole(place: Unit) -> Unit:
    """The unit of a row: points of time that follow one another are one table, told as of one day."""
    if place.table == "flow":
        return place._replace(point="session") if place.point.startswith("session:") else place
    return place._replace(point="") if place.axis in ("session", "week") else place


def _places(tally: Tally, table: str) -> list[Unit]:
    """The unit of every row with the row's own point."""
    by, rows = tuple(tally.header.by), getattr(tally, table)
    columns = {
        "points": ("instrument", "criterion", "kind", "axis", "point"),
        "values": ("instrument", "variable", "axis", "axis", "point"),
        "flow": ("instrument", "unit", "unit", "unit", "step"),
    }[table]
    found = zip(*(rows[name].astype(str) for name in columns), strict=True)
    if table == "points":
        return [Unit(by, table, *(str(part) for part in row)) for row in found]
    return [
        Unit(by, table, instrument, name.rpartition(":")[0] if table == "values" else "", "", axis, point)
        for instrument, name, _, axis, point in found
    ]


def numbers(tally: Tally) -> Iterator[Number]:
    """Every number that a protected Tally tells or hides, as facts."""
    yield from _points(tally)
    yield from _flow(tally)
    yield from _values(tally)


def _groups(table: pd.DataFrame, by: Sequence[str]) -> list[Group]:
    if not by:
        return [()] * len(table)
    return list(zip(*(table[name].astype(str) for name in by), strict=True))


def _points(tally: Tally) -> Iterator[Number]:
    by, table = tuple(tally.header.by), tally.points
    cells: dict[tuple[Unit, str, Group], dict[tuple[str, str], float]] = {}
    own = zip(
        _places(tally, "points"), table["criterion"], _groups(table, by), table["given"], table["state"],
        table["n"].astype("float64"), strict=True,
    )  # fmt: skip
    for unit, criterion, group, given, state, n in own:
        if state not in NO_POINT:
            cells.setdefault((unit, str(criterion), group), {})[str(given), str(state)] = float(n)
    for (unit, criterion, group), found in cells.items():
        margin, place, axis, point = _margin(unit, by, group)
        at = (unit.kind, axis, point)
        for (role, suffix), n in _told(found).items():
            fact = Fact(role, unit.instrument, criterion + suffix, *at)
            yield Number(_whole(unit), margin, fact, place, n)


def _sorted(by: Sequence[str], group: Group) -> tuple[tuple[str, ...], Group]:
    """A grouping and a group in the order in which margins have them."""
    order = sorted(range(len(by)), key=lambda i: by[i])
    return tuple(by[i] for i in order), tuple(group[i] for i in order)


def _margin(unit: Unit, by: tuple[str, ...], group: Group) -> tuple[tuple[str, ...], Group, str, str]:
    """The grouping and group of a row's facts, and their axis and point: a month is a group of the end."""
    if unit.axis != "month":
        return *_sorted(by, group), unit.axis, unit.point
    return *_sorted((*by, MONTH), (*group, unit.point)), "end", "end"


def _told(cells: dict[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """The facts at one point, from its cells: role and suffix of the criterion."""
    off = cells.pop(("", "not_scheduled"), 0.0)
    states = {state for _, state in cells}
    permits = frozenset.intersection(*(PERMITS[state] for state in states)) if states else frozenset({"due"})
    scheduled = sum(cells.values())

    def count(*wanted: str) -> float:
        return sum(n for (_, state), n in cells.items() if state in wanted)

    given = any(given == "yes" for given, _ in cells)
    return {
        ("due", ""): scheduled + off,
        ("due", SCHEDULED): scheduled,
        ("given", ""): sum(n for (at, _), n in cells.items() if at == "yes") if given else np.nan,
        ("assessed", ""): count("met", "not_met") if "assessed" in permits else np.nan,
        ("met", ""): count("met") if "met" in permits else np.nan,
    }


def _flow(tally: Tally) -> Iterator[Number]:
    by, table = tuple(tally.header.by), tally.flow
    steps: dict[tuple[Unit, Group], dict[str, float]] = {}
    own = zip(
        _places(tally, "flow"), _groups(table, by), table["reason"], table["n"].astype("float64"), strict=True
    )
    for unit, group, reason, n in own:
        steps.setdefault((unit, group), {})[str(reason)] = float(n)
    for (unit, group), cells in steps.items():
        margin, place = _sorted(by, group)
        for fact, n in _step(unit, cells):
            yield Number(_whole(unit), margin, fact, place, n)


def _step(unit: Unit, cells: dict[str, float]) -> Iterator[tuple[Fact, float]]:
    instrument, step, everyone = unit.instrument, unit.point, sum(cells.values())
    if unit.axis == "row":
        yield from ((Fact("rows", criterion=reason, axis=step), n) for reason, n in cells.items())
    elif step == "patients":
        yield from ((Fact("patients"), everyone), (Fact("with_course"), cells.get("with_course", 0.0)))
    elif step == "courses":
        yield from ((reason_fact(instrument, reason), n) for reason, n in cells.items())
    elif step == "due":
        yield from (
            (Fact("due", instrument), cells.get("due", 0.0)),
            (Fact("eligible", instrument), everyone),
        )
    elif step == "measured":
        yield from _cascade(instrument, cells)
    elif step.startswith("session:"):
        point = step.removeprefix("session:")
        yield from (
            (Fact("reach_due", point=point), everyone),
            (Fact("reached", point=point), cells.get("given", 0.0)),
        )


def _cascade(instrument: str, cells: dict[str, float]) -> Iterator[tuple[Fact, float]]:
    """Each step is known where a cell begins with it, or where everything from it on is empty."""
    begins = {reason.split("+")[0]: n for reason, n in cells.items()}
    joined = {part for reason in cells for part in reason.split("+")[1:]}
    for at, role in enumerate(CASCADE):
        n = sum(begins.get(name, 0.0) for name in MEASURED[at:])
        yield Fact(role, instrument), np.nan if MEASURED[at] in joined else n


def _values(tally: Tally) -> Iterator[Number]:
    by, table = tuple(tally.header.by), tally.values
    own = zip(
        _places(tally, "values"), _groups(table, by), table["variable"], table["n"].astype("float64"),
        strict=True,
    )  # fmt: skip
    for unit, group, variable, n in own:
        if str(variable).endswith(":n"):
            margin, place, axis, point = _margin(unit, by, group)
            fact = value_fact(unit.instrument, unit.criterion, axis, point)
            yield Number(_whole(unit), margin, fact, place, float(n))
