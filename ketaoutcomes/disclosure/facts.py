"""The published facts of a Tally: counts of persons, one row per fact and one column per group.

Everything printed from a Tally is a count in this list, or computed from counts in it. A fact is a set of
persons; `ketaoutcomes.disclosure.links` says which sets lie inside which.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd

from ketaoutcomes.shown import PlainError

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

Array = Any
Group = tuple[str, ...]

OF_EVERYONE = ("patients", "courses", "due")  # steps of the flow that are told without groups only
NO_POINT = ("not_visit_based", "judged_by_week_only")
OUTSIDE = ("not_due", *NO_POINT)
KNOWN_STATES = frozenset(
    {"met", "not_met", "carried_met", "carried_not_met", "missing", "not_scheduled", *OUTSIDE}
)
MEASURED = ("no_baseline", "baseline_only", "some", "end")
# Which cells of the measurement cascade each of its steps holds: nested, from everyone due to an end score.
CASCADE = {
    "started": MEASURED,
    "baseline": MEASURED[1:],
    "any_score": MEASURED[2:],
    "end_score": MEASURED[3:],
}


SCHEDULED: Final = " scheduled"  # after a criterion: only those due for whom a score was expected


class DisclosureError(PlainError):
    """Tallies that cannot be protected, and why."""


class Fact(NamedTuple):
    """One published set of persons. Empty text where a part does not apply.

    `role` says what it counts: rows, patients, with_course, courses, reason, eligible, started, baseline,
    any_score, end_score, reach_due, reached, due, given, assessed, met. `criterion` also holds a flow reason,
    or, for the people behind a mean, `variable:` and its name.
    """

    role: str
    instrument: str = ""
    criterion: str = ""
    kind: str = ""
    axis: str = ""
    point: str = ""


@dataclass(eq=False)
class Margin:
    """One grouping: the facts of the Tallies that share it, their counts, and which may be shown.

    `value` and `shown` have a row per fact and a column per group. `row` finds a fact; facts that are the
    same people by definition share a row. `number` is what is printed where that is not persons.
    """

    by: tuple[str, ...]
    groups: list[Group]
    facts: list[Fact]
    row: dict[Fact, int]
    value: Array
    number: Array
    shown: Array
    parents: list[tuple[Margin, Array]] = field(default_factory=list)


Part = tuple[Fact, Array, Array]  # a fact with its persons and its printed number, by group


class _Builder:
    """Collects facts of one grouping; facts of one family that count the same people become one row."""

    def __init__(self, by: tuple[str, ...], groups: Sequence[Group]) -> None:
        self.by = by
        self.groups = sorted(groups)
        self.place = {group: i for i, group in enumerate(self.groups)}
        self.counts: dict[Fact, tuple[Array, Array]] = {}

    def add(self, fact: Fact, people: Array, number: Array | None = None) -> None:
        """Add a fact with its persons by group, and the number printed where that is another."""
        known = self.counts.setdefault(fact, (people, people if number is None else number))
        if not np.array_equal(known[0], people):
            raise DisclosureError("two Tallies of one grouping count the same thing differently")

    def finish(self) -> Margin:
        """All facts in one order, whatever order they came in."""
        facts: list[Fact] = []
        row: dict[Fact, int] = {}
        same: dict[tuple[Any, ...], int] = {}
        for fact in sorted(self.counts):
            people, number = self.counts[fact]
            row[fact] = same.setdefault((_family(fact), people.tobytes(), number.tobytes()), len(facts))
            if row[fact] == len(facts):
                facts.append(fact)
        shape = (len(facts), len(self.groups))
        value, number = (
            np.array([self.counts[fact][i] for fact in facts], dtype=np.int64).reshape(shape) for i in (0, 1)
        )
        return Margin(self.by, self.groups, facts, row, value, number, np.zeros(shape, dtype=bool))


def _family(fact: Fact) -> tuple[str, ...]:
    """Facts within a family are the same people whenever their counts agree, so they share one decision."""
    if fact.role == "due":
        return ("due", fact.instrument)
    if fact.role == "assessed":
        return ("assessed", fact.instrument, fact.kind, fact.axis, fact.point)
    if fact.role == "started":
        return ("started",)
    if fact.role == "given":
        return ("given", fact.instrument, fact.axis, fact.point)
    if fact.role == "reached":
        return ("reached", fact.point)
    return tuple(fact)


def margins(tallies: Sequence[Tally]) -> list[Margin]:
    """Every grouping that is published, coarsest first, with the facts published in it.

    Calendar months divide the `end` point among them, so they are a grouping like sites.
    """
    found: dict[tuple[str, ...], list[tuple[Tally, bool]]] = {}
    for tally in tallies:
        by = tuple(tally.header.by)
        found.setdefault(tuple(sorted(by)), []).append((tally, False))
        if any((table["axis"] == "month").any() for table in (tally.points, tally.values)):
            found.setdefault(tuple(sorted((*by, MONTH))), []).append((tally, True))
    result = [_margin(by, found[by]) for by in sorted(found)]
    result += _shared_totals(result)
    result.sort(key=lambda margin: (len(margin.by), margin.by))
    for margin in result:
        margin.parents = _parents(margin, result)
    return result


MONTH: Final = "\N{SECTION SIGN}month"  # no column of a cohort is called this


def _shared_totals(margins: Sequence[Margin]) -> list[Margin]:
    """Totals that no table prints but two groupings share: each is treated as published."""
    found: dict[tuple[str, ...], list[Margin]] = {}
    for one, two in itertools.combinations(margins, 2):
        common = tuple(column for column in one.by if column in two.by)
        if all(common != margin.by for margin in margins):
            found.setdefault(common, [])
    for by, finer in found.items():
        finer += [margin for margin in margins if set(by) < set(margin.by)]
    return [_total(by, finer) for by, finer in found.items()]


def _total(by: tuple[str, ...], finer: Sequence[Margin]) -> Margin:
    coarse = [[_within(by, margin, group) for group in margin.groups] for margin in finer]
    build = _Builder(by, sorted({group for groups in coarse for group in groups}))
    for fact in dict.fromkeys(fact for margin in finer for fact in margin.row):
        holders = [i for i, margin in enumerate(finer) if fact in margin.row]
        if len(holders) > 1:
            margin, groups = finer[holders[0]], coarse[holders[0]]
            of, at = [build.place[group] for group in groups], margin.row[fact]
            value, number = (np.zeros(len(build.groups), dtype=np.int64) for _ in range(2))
            np.add.at(value, of, margin.value[at])
            np.add.at(number, of, margin.number[at])
            build.add(fact, value, number)
    return build.finish()


def _within(by: Sequence[str], margin: Margin, group: Group) -> Group:
    """The group of a coarser grouping that a group belongs to."""
    return tuple(group[margin.by.index(column)] for column in by)


def _margin(by: tuple[str, ...], sources: Sequence[tuple[Tally, bool]]) -> Margin:
    groups: set[Group] = set()
    tables = []
    for tally, months in sources:
        flow = None if months else tally.flow
        points, values = (
            _months(table) if months else table[table["axis"] != "month"]
            for table in (tally.points, tally.values)
        )
        tables.append((flow, points, values))
        for table in (points if months else tally.points, values, *([] if months else [tally.flow])):
            groups.update(_groups(table, by))
    build = _Builder(by, sorted(groups))
    for flow, points, values in tables:
        if flow is not None:
            # Of first courses due by protocol there are as many as stand at each of its sessions.
            started = flow[(flow["step"] == "measured") & ("protocol" in by)]
            _flow_facts(build, pd.concat([published(flow, by), started]))
        _point_facts(build, points)
        _value_facts(build, published(values, by))
    if MONTH not in by:
        _known_as_due(build)
    return build.finish()


def _known_as_due(build: _Builder) -> None:
    """Those due at the end, or at a first session, are those due in the flow, which no group prints."""
    for fact in sorted(build.counts, key=lambda fact: (fact.axis != "end", fact)):
        flow = Fact("due", fact.instrument)
        if fact.role == "due" and fact.kind == "current" and fact.axis in ("end", "session"):
            build.counts.setdefault(flow, build.counts[fact])


def _months(counted: pd.DataFrame) -> pd.DataFrame:
    table = counted[counted["axis"] == "month"].assign(axis="end")
    table[MONTH] = table["point"]
    return table.assign(point="end")


def _groups(table: pd.DataFrame, by: tuple[str, ...]) -> set[Group]:
    if not by:
        return {()}
    return set(factorized(table, by)[1])


def group_codes(table: pd.DataFrame, by: Sequence[str], groups: Sequence[Group]) -> Array:
    """The column of each row's group."""
    if not by:
        return np.zeros(len(table), dtype=np.int64)
    code, found = factorized(table, by)
    place = {group: i for i, group in enumerate(groups)}
    return np.array([place[group] for group in found], dtype=np.int64)[code]


def published(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Without what a grouping does not publish.

    Who reached a session is told by protocol only, because a session is a session of a protocol; how far
    people were measured is told of all protocols together, beside which sessions would count the same people.
    Who has a course, and which courses count, is told of everyone only: by group it would be one more number
    beside each of these.
    """
    if "variable" in table:
        return table if "protocol" in by else table[table["variable"] != "days_to_session"]
    table = table[table["step"] != "measured"] if "protocol" in by else table[~_of_session(table)]
    return table[~table["step"].isin(OF_EVERYONE)] if by else table


def _of_session(flow: pd.DataFrame) -> pd.Series[bool]:
    return flow["step"].str.startswith("session:")


def _wide(
    build: _Builder, table: pd.DataFrame, keys: list[str], counts: dict[str, Array]
) -> dict[str, dict[tuple[str, ...], Array]]:
    """Counts summed into one row per key and one column per group, for every kind of count."""
    if table.empty:
        return {name: {} for name in counts}
    code, labels = factorized(table, keys)
    group = group_codes(table, build.by, build.groups)
    result = {}
    for name, count in counts.items():
        out = np.zeros((len(labels), len(build.groups)), dtype=np.int64)
        np.add.at(out, (code, group), count)
        result[name] = dict(zip(labels, out, strict=True))
    return result


def factorized(table: pd.DataFrame, keys: Sequence[str]) -> tuple[Array, list[tuple[str, ...]]]:
    """Every row's combination of key columns as a code, and the combinations as text, sorted."""
    code = np.zeros(len(table), dtype=np.int64)
    names = []
    for key in keys:
        own, labels = pd.factorize(table[key].astype(str), sort=True, use_na_sentinel=False)
        code = code * len(labels) + own
        names.append(np.asarray(labels, dtype=object))
    rest, back = np.unique(code, return_inverse=True)
    parts = []
    for labels in reversed(names):
        parts.append(labels[rest % len(labels)])
        rest = rest // len(labels)
    return back, list(zip(*reversed(parts), strict=True))


def _flow_facts(build: _Builder, flow: pd.DataFrame) -> None:
    people, n = flow["people"].to_numpy(np.int64), flow["n"].to_numpy(np.int64)
    keys = ["unit", "instrument", "step", "reason"]
    wide = _wide(build, flow, keys, {"people": people, "n": n})
    persons, numbers = wide["people"], wide["n"]
    steps: dict[tuple[str, str, str], dict[str, Array]] = {}
    printed: dict[tuple[str, str, str], dict[str, Array]] = {}
    for (unit, instrument, step, reason), count in persons.items():
        steps.setdefault((unit, instrument, step), {})[reason] = count
        printed.setdefault((unit, instrument, step), {})[reason] = numbers[unit, instrument, step, reason]
    for (unit, instrument, step), cells in steps.items():
        # A person may have several courses or rows: small is judged by persons, printed is the unit's number.
        for fact, count in _step_facts(unit, instrument, step, cells).items():
            if step == "measured" and "protocol" in build.by and fact.role != "started":
                continue
            number = (
                printed[unit, instrument, step].get(fact.criterion)
                if fact.role in ("reason", "rows")
                else None
            )
            build.add(fact, count, number)


def _step_facts(unit: str, instrument: str, step: str, cells: dict[str, Array]) -> dict[Fact, Array]:
    def total(reasons: Sequence[str]) -> Array:
        return sum((cells[r] for r in reasons if r in cells), start=np.zeros_like(next(iter(cells.values()))))

    everyone = total(list(cells))
    if unit == "row":
        return {Fact("all_rows", axis=step): everyone} | {
            Fact("rows", criterion=reason, axis=step): count for reason, count in cells.items()
        }
    if step == "patients":
        return {Fact("patients"): everyone, Fact("with_course"): total(["with_course"])}
    if step == "courses":
        return {Fact("courses", instrument): everyone} | {
            reason_fact(instrument, reason): count for reason, count in cells.items()
        }
    if step == "eligible":  # of a Table 1: whom its columns count
        return {Fact("eligible", instrument): everyone}
    if step == "due":
        return {Fact("due", instrument): total(["due"]), Fact("eligible", instrument): everyone}
    if step == "measured":
        return {Fact(role, instrument): total(reasons) for role, reasons in CASCADE.items()}
    if step.startswith("session:"):
        point = step.removeprefix("session:")
        return {
            Fact("reach_due", point=point): total(["given", "not_given"]),
            Fact("reached", point=point): total(["given"]),
        }
    raise DisclosureError("the flow holds a step that cannot be protected yet")


def reason_fact(instrument: str, reason: str) -> Fact:
    """The courses with one outcome on an instrument; those eligible are one to a person."""
    return Fact("eligible", instrument) if reason == "eligible" else Fact("reason", instrument, reason)


def _point_facts(build: _Builder, points: pd.DataFrame) -> None:
    state = points["state"].astype(str)
    excluded = state.str.startswith("excluded:")
    if not (state.isin(KNOWN_STATES) | excluded).all():
        raise DisclosureError("the points hold a state that cannot be protected yet")
    n = points["n"].to_numpy(np.int64)
    due = ~(state.isin(OUTSIDE) | excluded).to_numpy()
    scheduled = due & (state != "not_scheduled").to_numpy()
    masks = {
        "due": due,
        "scheduled": scheduled,
        "given": scheduled & (points["given"] == "yes").to_numpy(),
        "assessed": state.isin(["met", "not_met"]).to_numpy(),
        "met": (state == "met").to_numpy(),
    }
    keys = ["instrument", "criterion", "kind", "axis", "point"]
    counted = _wide(build, points, keys, {role: np.where(mask, n, 0) for role, mask in masks.items()})
    for key in counted["due"]:
        for fact, count in _facts_at(key, {role: wide[key] for role, wide in counted.items()}):
            build.add(fact, count)


def _facts_at(key: tuple[str, ...], count: dict[str, Array]) -> list[tuple[Fact, Array]]:
    instrument, criterion, kind, axis, point = key
    facts = [(Fact("due", instrument, criterion, kind, axis, point), count["due"])]
    if (count["scheduled"] != count["due"]).any():
        facts.append((Fact("due", instrument, criterion + SCHEDULED, kind, axis, point), count["scheduled"]))
    if axis == "session":
        # At other axes `given` says what covered a day, which no table of a shared report prints.
        facts.append((Fact("given", instrument, criterion, kind, axis, point), count["given"]))
    facts.append((Fact("assessed", instrument, criterion, kind, axis, point), count["assessed"]))
    facts.append((Fact("met", instrument, criterion, kind, axis, point), count["met"]))
    return facts


def _value_facts(build: _Builder, values: pd.DataFrame) -> None:
    keys = ["instrument", "variable", "axis", "point"]
    wide = _wide(build, values, keys, {"n": values["n"].to_numpy(np.int64)})
    for (instrument, variable, axis, point), count in wide["n"].items():
        build.add(value_fact(instrument, variable, axis, point), count)


def value_fact(instrument: str, variable: str, axis: str, point: str) -> Fact:
    """The people behind the mean and the median of a variable."""
    if variable == "days_to_session":
        return Fact("reached", criterion="variable:" + variable, point=point)
    if variable == "baseline":
        return Fact("due", instrument, "variable:" + variable)
    return Fact("assessed", instrument, "variable:" + variable, "current", axis, point)


def _parents(margin: Margin, others: Sequence[Margin]) -> list[tuple[Margin, Array]]:
    """The next coarser groupings, each with the column of the coarser group that every group belongs to."""
    above = [other for other in others if set(other.by) < set(margin.by)]
    above = [o for o in above if not any(set(o.by) < set(b.by) for b in above)]
    result = []
    for other in above:
        place = {group: i for i, group in enumerate(other.groups)}
        of = [place.get(_within(other.by, margin, group), -1) for group in margin.groups]
        result.append((other, np.array(of, dtype=np.int64)))
    return result
