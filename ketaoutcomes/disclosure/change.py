"""Change beyond error without small cells: its categories as criteria that nest and exclude each other.

At a point everyone due is recovered, improved, unchanged, deteriorated or unscored. To the protector these
are facts like those of rates: who was scored; who got reliably better, who of them recovered, who got worse.
What follows from the definitions (recovered lies within better, nobody is better and worse, a response may
lie within better) is worked out as for other criteria. A protected Tally holds the finest categories that the
facts shown tell apart, joined by `+`. People on the functional side of the cutoff, and those who crossed it
unreliably, are counted with the improved and the unchanged. Moves between severity bands, and means within a
band, are not told: their cells cross the categories.

Change is a release of its own, of everyone or by one grouping, and without other criteria: a category hidden
in two groups could be squeezed between criteria told in one of them, or between several at one point.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from ketaoutcomes.counts.tallies import KEYS, summed, typed
from ketaoutcomes.definitions.change_rules import CATEGORIES, parse_rules
from ketaoutcomes.disclosure.facts import OUTSIDE, DisclosureError

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally
    from ketaoutcomes.definitions.change_rules import ChangeRule

Array = Any

PART: Final = "_change:"
"""Between an instrument and the part of its change that a stand-in criterion is about."""

OF_PART: dict[str, frozenset[str]] = {
    "better": frozenset({"recovered", "improved", "improved_from_functional"}),
    "recovered": frozenset({"recovered"}),
    "worse": frozenset({"deteriorated"}),
}
SHOWN = ("recovered", "improved", "unchanged", "deteriorated", "missing")
"""The categories of a protected Tally at one point, those unscored last."""


def parts_of(rule: ChangeRule) -> tuple[str, ...]:
    """The stand-in criteria of one rule; without a cutoff nobody can recover."""
    if rule.reliable is None:
        return ()
    names = ["better", "worse"] if rule.cutoff is None else list(OF_PART)
    return tuple(f"{rule.instrument}{PART}{name}" for name in names)


def meets_part(rule: ChangeRule, name: str, before: Array, after: Array) -> Array:
    """Whether pairs of scores in ticks belong to the part of change that a stand-in criterion is about."""
    found = rule.categories(before, after)
    return np.isin(found, [CATEGORIES.index(state) for state in OF_PART[name.partition(PART)[2]]])


def stand_in(tally: Tally) -> Tally:
    """The Tally with criteria in place of the categories of change, and without bands."""
    rules, points = parse_rules(tally.header.change), tally.points
    names = [name for rule in rules.values() for name in parts_of(rule)]
    parts = [points[~_own(points, rules)]]
    for name in names:
        instrument, _, part = name.partition(PART)
        own = points[points["criterion"] == f"{instrument}_change"]
        scored = ~own["state"].isin(["missing", "not_scheduled", *OUTSIDE])
        state = own["state"].where(~scored, "not_met").where(~own["state"].isin(OF_PART[part]), "met")
        parts.append(own.assign(criterion=name, state=state))
    values = tally.values[~tally.values["variable"].str.contains(":")]
    header = replace(tally.header, criteria=(*tally.header.criteria, *names), change="")
    return replace(tally, header=header, points=summed("points", parts, tally.header.by), values=values)


def _own(points: pd.DataFrame, rules: dict[str, ChangeRule]) -> Array:
    named = [f"{instrument}_{table}" for instrument in rules for table in ("change", "bands")]
    return points["criterion"].isin(named).to_numpy(dtype=bool)


def categories(done: Tally, tally: Tally) -> Tally:
    """The protected stand-in with categories in place of its criteria."""
    by = tally.header.by
    own = done.points["criterion"].str.contains(PART, regex=False).to_numpy(dtype=bool)
    parts = [done.points[~own]]
    for rule in parse_rules(tally.header.change).values():
        names = parts_of(rule)
        cells = done.points[done.points["criterion"].isin(names)]
        rows = [row for key, at in _places(cells, by) for row in _cells(key, at, rule, by)]
        parts.append(pd.DataFrame(rows, columns=[*KEYS["points"], *by, "n"]))
    points = pd.concat([part for part in parts if len(part)] or [done.points], ignore_index=True)
    return replace(done, header=tally.header, points=typed("points", points, by))


def _places(cells: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    keys = ["instrument", "kind", "axis", "point", *by]
    for key, at in cells.groupby(keys, sort=True, observed=True):
        yield tuple(map(str, key)), at


def _cells(
    key: tuple[str, ...], at: pd.DataFrame, rule: ChangeRule, by: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """The rows of one group at one point: the finest partition that what is told allows."""
    fixed = dict(zip(["instrument", "kind", "axis", "point", *by], key, strict=True))
    fixed |= {"criterion": f"{rule.instrument}_change", "given": ""}
    outside = at["state"].isin(["not_scheduled", *OUTSIDE])
    for state, n in at[outside].groupby("state")["n"].max().items():
        yield fixed | {"state": str(state), "n": float(n)}
    if outside.all():
        return
    told = {str(name).partition(PART)[2]: _told(cells) for name, cells in at.groupby("criterion")}
    due = max((one["due"] for one in told.values()), key=lambda n: not np.isnan(n))
    scored = max((one["scored"] for one in told.values()), key=lambda n: not np.isnan(n))
    met = {part: told[part]["met"] if part in told else np.nan for part in OF_PART}
    for state, n in _partition(due, scored, met, rule.cutoff is not None):
        yield fixed | {"state": state, "n": n}


def _told(cells: pd.DataFrame) -> dict[str, float]:
    """How many are due, scored and in a part; NaN where that is not told."""
    n = cells.groupby("state")["n"].agg(lambda n: n.sum(skipna=False))
    inside = [state for state in n.index if state not in ("not_scheduled", *OUTSIDE)]
    fine = {"met", "not_met", "unassessed"}
    return {
        "due": float(n[inside].sum(skipna=False)) if inside else np.nan,
        "scored": float(n.get("met", 0) + n.get("not_met", 0)) if inside and set(inside) <= fine else np.nan,
        "met": np.nan if "due" in inside or not inside else float(n.get("met", 0)),
    }


def _partition(due: float, scored: float, met: dict[str, float], cutoff: bool) -> Iterator[tuple[str, float]]:
    """The categories told apart and how many are in each; a NaN for all of them where nothing is told."""
    left = list(SHOWN if cutoff else SHOWN[1:])
    if np.isnan(due):
        yield "+".join(left), np.nan
        return
    found: dict[str, float] = {}
    better, recovered, worse = (met[part] for part in OF_PART)
    if not np.isnan(recovered) and cutoff:
        found["recovered"] = recovered
    if not np.isnan(better):
        joined = cutoff and "recovered" not in found
        found["recovered+improved" if joined else "improved"] = better - found.get("recovered", 0.0)
    if not np.isnan(worse):
        found["deteriorated"] = worse
    for state in found:
        left = [name for name in left if name not in state.split("+")]
    rest = due - sum(found.values())
    if not np.isnan(scored):
        left.remove("missing")
        found["missing"] = due - scored
        rest -= due - scored
    found["+".join(left)] = rest
    yield from found.items()


def check_change(tallies: Sequence[Tally]) -> None:
    """Raises `DisclosureError` where change stands beside what it was not worked out with."""
    changed = [tally for tally in tallies if tally.header.change]
    if not changed:
        return
    (first, *_), rules = changed, parse_rules(changed[0].header.change)
    if len(tallies) > 1 or first.header.basis or not _own(first.points, rules).all():
        raise DisclosureError(
            "change beyond error is protected alone, in one Tally of everyone or by one grouping: "
            'protect([study.tally(at="end", kind="current", tables=("values", "change"))]); beside other '
            "tables count reliable change and deterioration as criteria of the plan"
        )
