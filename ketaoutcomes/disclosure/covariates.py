"""Table 1 without small cells: each covariate is one partition of the same people, told whole in a group.

**What one partition is.** Everyone of a group is in exactly one level of a covariate (no record is a level).
A covariate is told in a group where each of its levels, rare ones joined into `other levels`, is nobody or
more than the threshold; joined alike in all groups, so that the rows of the table are the same.

**What links them.** How many there are in a group is the count of those eligible, a fact like those of rates,
and decided with them. Everyone's column is the total of the groups: those in which a covariate is hidden are
known together, so together they pass the same test; the smallest group told joins them until they do.

**Why that holds.** Two partitions of the same people that nothing else ties leave a level of one and a level
of the other between bounds that lie as far apart as the smallest of the two levels and of what each leaves,
and each of these is nobody or over the threshold. Covariates of which one is a coarser form of another are
tied: route and protocol, age and age band. Whether one may be is read from the counts (its levels add up, in
every group, from those of the other); then every count that the two tell together is worked out, and the
later one is hidden where one is small. What stands in another table of the release (its grouping, whatever a
course begins with) would tie covariates to its numbers, and is hidden here.

Numbers (baseline, sessions) are told where the people behind them are: n, sum, sum of squares and quartiles.
Quartiles count people below a score, so they are left out where severity bands of the scale are told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from ketaoutcomes.counts.tallies import KEYS, typed
from ketaoutcomes.disclosure.facts import DisclosureError, Fact, Margin, group_codes
from ketaoutcomes.disclosure.rewrite import rounded
from ketaoutcomes.disclosure.transport import slack, small
from ketaoutcomes.per_patient.derived import BAND, ENTRY
from ketaoutcomes.per_patient.patients import BLANK_LABEL, DOSE_UNIT, NO_COURSE

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

Array = Any

TABLE1: Final = "table1"
"""The kind and the axis of a Table 1 in a Tally."""
BASELINE, SESSIONS = "baseline", "sessions"
RECORDED, MISSING_LEVEL = "recorded", "missing"
EVERYONE: Final = "everyone"
OTHER_LEVELS: Final = "other levels"
OTHER_OR_MISSING: Final = "other levels or missing"
NUMBERS = ("n", "sum", "squares", "median", "q1", "q3")
QUARTILES = NUMBERS[3:]
UNRECORDED = frozenset({BLANK_LABEL, NO_COURSE, MISSING_LEVEL})
OF_ROUTE = frozenset({"route", "protocol", DOSE_UNIT})
MOST_CELLS = 12  # of one partition, when two are searched for what they tell together
MOST_STEPS = 20_000  # in looking for a way one covariate adds up from another; then it is taken to


def is_table_one(tally: Tally) -> bool:
    """Whether a Tally holds the counts of a Table 1."""
    return tally.header.kinds == (TABLE1,)


def eligible_only(tally: Tally) -> list[Tally]:
    """Tallies of who is eligible, by the grouping of a Table 1 and of everyone: what its columns count."""
    by = tally.header.by
    first = _first(tally)
    points = tally.points
    own = points[(points["criterion"] == BASELINE) & (points["instrument"] == first)]
    flow = own.assign(unit="course", step="eligible", reason="eligible", people=own["n"])
    return [
        replace(
            tally,
            header=replace(tally.header, by=kept, criteria=(), kinds=()),
            flow=typed("flow", _added(flow, [*KEYS["flow"], *kept]), kept),
            points=typed("points", points.iloc[:0], kept),
            values=typed("values", tally.values.iloc[:0], kept),
        )
        for kept in dict.fromkeys((by, ()))
    ]


def _added(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    return table.groupby(keys, sort=True)[["n", "people"]].sum().reset_index()


def _first(tally: Tally) -> str:
    """The instrument on which the people of a Table 1 are judged: all of them have a baseline on it."""
    settings = tally.header.settings
    first = (*settings["criteria"]["primary"], *settings["criteria"]["also"])[0]
    return str(settings["definitions"]["criteria"][first]["instrument"])


def check_one(tallies: Sequence[Tally]) -> None:
    """Raises `DisclosureError` where a release holds more than one Table 1."""
    if sum(is_table_one(tally) for tally in tallies) > 1:
        raise DisclosureError(
            "one Table 1 to a release: a grouped one has everyone in its first column; publish that one alone"
        )
    for tally in tallies:
        if is_table_one(tally):
            taken = {EVERYONE, OTHER_LEVELS, OTHER_OR_MISSING}
            named = {str(label) for by in tally.header.by for label in tally.points[by].unique()}
            if taken & (named | set(tally.points["state"].astype(str))):
                raise DisclosureError(
                    "a group or level has a name that a protected Table 1 gives to what it joins (everyone, "
                    "other levels, other levels or missing): give it another name in [columns]"
                )


@dataclass(frozen=True, eq=False)
class Variable:
    """One partition of the people of each group: how many are in each level (row) and group (column)."""

    instrument: str
    name: str
    levels: tuple[str, ...]
    n: Array


@dataclass(frozen=True, eq=False)
class Cut:
    """How a variable is told: the name each level is told by, where it is hidden, and of everyone or not."""

    names: tuple[str, ...]
    hidden: Array
    whole: bool

    @property
    def anything(self) -> bool:
        """Whether anything is told."""
        return self.whole or not bool(self.hidden.all())

    def cells(self, n: Array) -> tuple[list[str], Array]:
        """The names told and their counts."""
        told = list(dict.fromkeys(self.names))
        return told, np.array([n[[name == own for own in self.names]].sum(axis=0) for name in told])


def protect_table_one(
    tally: Tally, others: Sequence[Tally], margins: Sequence[Margin], profile: str, limit: int
) -> Tally:
    """A Table 1 as it may be published; `margins` say in which groups the number of people is told.

    `others` are the other Tallies of the release.
    """
    by = tally.header.by
    margin = next(one for one in margins if one.by == tuple(sorted(by)))
    fact = Fact("eligible", _first(tally))
    whole = next(one for one in margins if not one.by)
    everyone = bool(fact in whole.row and whole.shown[whole.row[fact], 0])
    if fact not in margin.row:
        return replace(tally, protected=profile)  # nobody
    unknown = ~margin.shown[margin.row[fact]]
    people = People(unknown | (not everyone), everyone, bool(by), limit)
    chosen = _choose(_variables(tally, margin), people, tally, others)
    tables = {
        "points": _points(tally, margin, chosen),
        "values": _values(tally, margin, chosen),
    }
    done: dict[str, Any] = {name: typed(name, table, by) for name, table in tables.items()}
    return rounded(replace(tally, **done, protected=profile), profile)


@dataclass(frozen=True, eq=False)
class People:
    """Of whom a table may tell: groups whose number is hidden, whether everyone's is told, and the limit."""

    unknown: Array
    everyone: bool
    grouped: bool
    limit: int

    def with_company(self, cells: Array, hidden: Array) -> Array:
        """The hidden groups, and the smallest others, until those hidden are safe taken together."""
        hidden, size = hidden.copy(), cells.sum(axis=0)
        while self.grouped and hidden.any() and not hidden.all():
            if hidden.sum() > 1 and not small(cells[:, hidden].sum(axis=1), self.limit).any():
                break
            shown = np.flatnonzero(~hidden)
            hidden[shown[np.argmin(size[shown])]] = True
        return hidden


def _variables(tally: Tally, margin: Margin) -> list[Variable]:
    """Every partition of the table, in its order: covariates, who has a baseline, whose sessions count."""
    points = tally.points
    group = group_codes(points, margin.by, margin.groups)
    result = []
    for instrument, name in points[["instrument", "criterion"]].drop_duplicates().itertuples(index=False):
        own = ((points["instrument"] == instrument) & (points["criterion"] == name)).to_numpy()
        levels = tuple(sorted(points.loc[own, "state"].astype(str).unique()))
        place = {level: i for i, level in enumerate(levels)}
        n = np.zeros((len(levels), len(margin.groups)), dtype=np.int64)
        rows = points.loc[own, "state"].map(place).to_numpy(np.int64)
        np.add.at(n, (rows, group[own]), points.loc[own, "n"].to_numpy(np.int64))
        result.append(Variable(str(instrument), str(name), levels, n))
    first = next(v for v in result if v.name == BASELINE and v.instrument == _first(tally))
    size = first.n.sum(axis=0)
    values = tally.values[tally.values["variable"] == SESSIONS]
    counted = np.zeros_like(size)
    np.add.at(counted, group_codes(values, margin.by, margin.groups), values["n"].to_numpy(np.int64))
    result.append(Variable("", SESSIONS, (RECORDED, MISSING_LEVEL), np.array([counted, size - counted])))
    named = list(tally.header.criteria)
    order = {name: i for i, name in enumerate(named)}
    return sorted(result, key=lambda v: (order.get(v.name, len(order)), v.name, v.instrument))


def _choose(
    variables: Sequence[Variable], people: People, tally: Tally, others: Sequence[Tally]
) -> dict[tuple[str, str], Cut]:
    """How each variable is told, beside those before it."""
    first = _first(tally)
    told: list[tuple[Variable, Cut]] = []
    for v in variables:
        cut = _nothing(v) if _tied(v, first, others) else _cut(v, people)
        for other, earlier in told:
            if cut.anything and earlier.anything:
                cut = _beside(v, cut, other, earlier, people) or _nothing(v)
        told.append((v, cut))
    return {(v.instrument, v.name): cut for v, cut in told}


def _nothing(v: Variable) -> Cut:
    """A variable of which nothing is told, not even the names of its levels."""
    return Cut((OTHER_LEVELS,) * len(v.levels), np.ones(v.n.shape[1], dtype=bool), False)


def _tied(v: Variable, first: str, others: Sequence[Tally]) -> bool:
    """Whether another table of the release is about what a variable says."""
    if not others:
        return False
    taken = {column for tally in others for column in tally.header.by}
    if taken & OF_ROUTE:
        taken |= OF_ROUTE | {SESSIONS}
    of_course = v.name == "start_quarter" or v.name.endswith((BAND, ENTRY))
    return v.name in taken or of_course or v.instrument not in ("", first)


def _joins(v: Variable) -> Iterator[tuple[str, ...]]:
    """Names for the levels, finest first: the rarest joined, with those not on record or without."""
    yield v.levels
    real = [i for i, level in enumerate(v.levels) if level not in UNRECORDED]
    blank = [i for i in range(len(v.levels)) if i not in real]
    order = sorted(real, key=lambda i: (int(v.n[i].sum()), v.levels[i]))
    for many in range(2, len(real)):
        for more in ([], blank) if blank else ([],):
            joined, name = {*order[:many], *more}, OTHER_OR_MISSING if more else OTHER_LEVELS
            yield tuple(name if i in joined else level for i, level in enumerate(v.levels))


def _cut(v: Variable, people: People) -> Cut:
    """The way of telling a variable that fills most cells of the table; the finest of these."""
    best, most = _nothing(v), 0
    for names in _joins(v):
        told, cells = Cut(names, people.unknown, True).cells(v.n)
        hidden = people.with_company(cells, people.unknown | small(cells, people.limit).any(axis=0))
        whole = people.everyone and not small(cells.sum(axis=1), people.limit).any()
        worth = len(told) * (int((~hidden).sum()) + (whole and people.grouped))
        if worth > most:
            best, most = Cut(names, hidden, whole), worth
    return best


# --- covariates that are forms of one another --------------------------------------------------------------


def _beside(v: Variable, cut: Cut, other: Variable, earlier: Cut, people: People) -> Cut | None:
    """The cut, or None where it and an earlier one tell a small number together.

    Where neither is told wherever the other is, the cut is hidden also where the earlier one is.
    """
    for fine, coarse in ((v, other), (other, v)):
        form = _form(fine.n, coarse.n)
        if form is None or len(coarse.levels) == 1:
            continue
        alone = [{i} for i in range(len(fine.levels))]
        joined = [{i for i, to in enumerate(form) if to == k} for k in range(len(coarse.levels))]
        own, others = (alone, joined) if fine is v else (joined, alone)
        both = cut.hidden & earlier.hidden
        if not (both == cut.hidden).all() and not (both == earlier.hidden).all():
            hidden = people.with_company(cut.cells(v.n)[1], cut.hidden | earlier.hidden)
            cut = replace(cut, hidden=hidden)
        if not form or not _safe((v, cut, own), (other, earlier, others), people.limit):
            return None
    return cut


Told = tuple[Variable, Cut, list[set[int]]]


def _safe(one: Told, other: Told, limit: int) -> bool:
    """Whether nothing two tied partitions tell is small: of each group, of the hidden ones, of everyone.

    Where one is told in more groups than the other, what it tells of each
    of them adds cells that are safe by themselves, so the groups together are looked at.
    """
    sides = []
    hidden = one[1].hidden | other[1].hidden
    for v, cut, parts in (one, other):
        names, cells = cut.cells(v.n)
        inside = [
            set().union(*(part for part, own in zip(parts, cut.names, strict=True) if own == name))
            for name in names
        ]
        units = [cells[:, ~hidden], cells[:, hidden].sum(axis=1, keepdims=True)]
        sides.append((inside, np.hstack([*units, cells.sum(axis=1, keepdims=True)])))
    (few, n), (many, m) = sorted(sides, key=lambda side: len(side[0]))
    if len(few) > MOST_CELLS:
        return False
    touch = np.array([[bool(a & b) for b in few] for a in many])
    return not small(slack(touch, m, n), limit).any()


def _form(fine: Array, coarse: Array) -> list[int] | None:
    """The level of a coarser covariate that each level of a finer one would be part of; None: it is no form.

    Empty where too many ways would have to be tried.
    """
    if not (fine.sum(axis=0) == coarse.sum(axis=0)).all():
        return None
    order = np.argsort(-fine.sum(axis=1), kind="stable")
    steps = 0

    def place(at: int, left: Array) -> list[int] | None:
        nonlocal steps
        steps += 1
        if at == len(order):
            return []
        for k in np.flatnonzero((left >= fine[order[at]]).all(axis=1)):
            if steps > MOST_STEPS:
                break
            rest = left.copy()
            rest[k] -= fine[order[at]]
            found = place(at + 1, rest)
            if found is not None:
                return [int(k), *found]
        return None

    found = place(0, coarse.copy())
    if steps > MOST_STEPS:
        return []
    if found is None:
        return None
    result = [0] * len(order)
    for at, k in zip(order, found, strict=True):
        result[at] = k
    return result


# --- the protected tables ----------------------------------------------------------------------------------


def _columns(margin: Margin, by: Sequence[str], at: int | None) -> dict[str, str]:
    """The grouping's columns of a group; of everyone where there is none."""
    if at is None:
        return dict.fromkeys(by, EVERYONE)
    return dict(zip(margin.by, margin.groups[at], strict=True))


def _places(margin: Margin, cut: Cut) -> list[tuple[int | None, bool]]:
    """Every group, and everyone where there are groups, with whether the variable is told of them."""
    found: list[tuple[int | None, bool]] = [(i, not hide) for i, hide in enumerate(cut.hidden)]
    return [*found, (None, cut.whole)] if margin.by else found


def _points(tally: Tally, margin: Margin, chosen: dict[tuple[str, str], Cut]) -> pd.DataFrame:
    by, rows = tally.header.by, []
    for v in _variables(tally, margin):
        if (v.instrument, v.name) == ("", SESSIONS):
            continue
        cut = chosen[v.instrument, v.name]
        names, cells = cut.cells(v.n)
        for at, told in _places(margin, cut):
            count = cells.sum(axis=1) if at is None else cells[:, at]
            for name, n in zip(names, count, strict=True):
                if n or not told:
                    rows.append(
                        {"instrument": v.instrument, "criterion": v.name, "kind": TABLE1, "axis": TABLE1,
                         "point": "", "given": "", "state": name, "n": float(n) if told else np.nan,
                         **_columns(margin, by, at)}
                    )  # fmt: skip
    return pd.DataFrame(rows, columns=[*KEYS["points"], *by, "n"])


def _values(tally: Tally, margin: Margin, chosen: dict[tuple[str, str], Cut]) -> pd.DataFrame:
    by, rows = tally.header.by, []
    values = tally.values
    group = group_codes(values, margin.by, margin.groups)
    banded = {*by, *(name for (_, name), cut in chosen.items() if cut.whole or not cut.hidden.all())}
    for instrument, name in values[["instrument", "variable"]].drop_duplicates().itertuples(index=False):
        own = ((values["instrument"] == instrument) & (values["variable"] == name)).to_numpy()
        cut = chosen[str(instrument), str(name)]
        value, n = values.loc[own, "value"].to_numpy(np.int64), values.loc[own, "n"].to_numpy(np.int64)
        for at, told in _places(margin, cut):
            here = np.ones(len(n), dtype=bool) if at is None else group[own] == at
            found = numbers(value[here], n[here])
            for statistic in NUMBERS:
                known = told and not (statistic in QUARTILES and f"{instrument}{BAND}" in banded)
                rows.append(
                    {"instrument": instrument, "variable": f"{name}:{statistic}", "axis": TABLE1,
                     "point": "", "value": 0, "n": found[statistic] if known else np.nan,
                     **_columns(margin, by, at)}
                )  # fmt: skip
    return pd.DataFrame(rows, columns=[*KEYS["values"], *by, "n"])


def numbers(value: Array, n: Array) -> dict[str, float]:
    """Number, sum, sum of squares, median and quartiles (by linear interpolation) of a histogram.

    >>> numbers(np.array([1, 2]), np.array([3, 1]))["q3"]
    1.25
    """
    found = {"n": n.sum(), "sum": (n * value).sum(), "squares": (n * value * value).sum()}
    q1, median, q3 = np.quantile(np.repeat(value, n), [0.25, 0.5, 0.75]) if n.sum() else (np.nan,) * 3
    return {name: float(x) for name, x in (found | {"median": median, "q1": q1, "q3": q3}).items()}
