"""Reports that follow one another: what is told again, what is repeated as it stood, and why."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.tallies import KEYS, NOTED, Header, Tally, parse_tally, typed
from ketaoutcomes.disclosure.again import Book, Books, book, unit_rows
from ketaoutcomes.disclosure.choose import ranked, web_of
from ketaoutcomes.disclosure.facts import DisclosureError, Fact, Group, Margin
from ketaoutcomes.disclosure.parts import splits
from ketaoutcomes.disclosure.printed import Number, Unit, numbers, units
from ketaoutcomes.disclosure.rewrite import blur, nearest, rewrite, rounded

if TYPE_CHECKING:
    from ketaoutcomes.disclosure.links import Logic

Array = Any
TABLES = ("flow", "points", "values")
STEPS = ("by", "table", "instrument", "criterion", "kind", "axis", "point", "step", "as_of", "reason")
RESTATED, REPEATED, NEW, WAITING = "restated", "repeated", "new", "waiting"
REASONS = {
    RESTATED: "every count changed by none or by more than the threshold",
    REPEATED: "a count, or a difference with another, changed by too few people",
    NEW: "told for the first time",
    WAITING: "not told before, and beside what was told it would give away too few people",
}


WHOLE = ("good_time", "measure")
_WHOLE_KEYS = ("by", "table", "criterion", "as_of")
PASSING = "people pass from one cell to another, so the difference of two reports would tell of a few"
HISTORY = ("report", "by", *Fact._fields, "group", "n")


@dataclass(frozen=True, eq=False)
class Protection:
    """Protected Tallies as they may be published, and what was done to them.

    `steps` has one row per part of a table that is linked to the last report (columns: by, table, instrument,
    criterion, kind, axis, point, step, as_of, reason): `restated`, `repeated` as it stood on the day `as_of`,
    `new`, or `waiting` and not shown. It is empty for a first report. `history` holds every number that the
    reports of the series told (columns: report, counted from 0; by; the fact; group; n), but for what they
    repeated: the next report is protected beside all of them.
    """

    tallies: list[Tally]
    steps: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(STEPS)))
    history: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(HISTORY)))

    def to_json(self) -> str:
        """Canonical JSON, to be kept with the report: the next one is protected beside it."""
        history = self.history.astype(object).where(self.history.notna(), None)
        content = {
            "tallies": [json.loads(tally.to_json()) for tally in self.tallies],
            "steps": self.steps.astype(object).to_numpy().tolist(), "history": history.to_numpy().tolist(),
        }  # fmt: skip
        return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Protection:
        """What `to_json` wrote. Raises `DisclosureError` for anything else."""
        try:
            content = json.loads(text)
            tallies = [parse_tally(json.dumps(one)) for one in content["tallies"]]
            steps = pd.DataFrame(content["steps"], columns=list(STEPS), dtype=object)
            history = pd.DataFrame(content["history"], columns=list(HISTORY))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DisclosureError("not what Protection.to_json writes") from None
        return cls(tallies, steps, history.astype({"n": "float64"}))


Key = tuple[tuple[str, ...], Fact]
SEPARATOR = "\x1f"  # between the columns of a grouping and the parts of a group


def counts_courses(tally: Tally) -> bool:
    """Whether a Tally counts courses by what they had met: neither good time nor a quality measure."""
    return not tally.header.basis and not tally.header.measure


def without_rows(tally: Tally) -> Tally:
    """Hide how many input rows were set aside: many rows may be one person's."""
    few = (tally.flow["unit"] == "row") & (tally.flow["reason"] != "kept")
    if not few.any():
        return tally
    hidden = {name: tally.flow[name].astype("float64").mask(few) for name in ("n", "people")}
    return replace(tally, flow=tally.flow.assign(**hidden))


def whole_steps(tallies: Sequence[Tally], previous: Protection) -> pd.DataFrame:
    """One row for each Tally that is repeated whole, with the day on which it was counted."""
    own = previous.steps[previous.steps["table"].isin(list(WHOLE))]
    known = {(by, table, name): day for by, table, name, day in own[list(_WHOLE_KEYS)].to_numpy()}
    rows = []
    for tally in tallies:
        if not counts_courses(tally):
            header = tally.header
            key = (", ".join(header.by), WHOLE[0] if header.basis else WHOLE[1], header.measure)
            day = known.get(key, previous.tallies[0].header.as_of)
            rows.append((*key[:2], "", key[2], "", "", "", REPEATED, day, PASSING))
    return pd.DataFrame(rows, columns=list(STEPS), dtype=object)


def told_numbers(tallies: Sequence[Tally], report: int, told: Container[Unit] | None) -> pd.DataFrame:
    """The numbers of a report's plain Tallies as rows of a history, those of some units or (None) all."""
    rows = [
        (report, SEPARATOR.join(one.by), *one.fact, SEPARATOR.join(one.group), one.n)
        for tally in tallies
        if counts_courses(tally)
        for one in numbers(tally)
        if told is None or one.unit in told
    ]
    return pd.DataFrame(rows, columns=list(HISTORY))


def told_before(history: pd.DataFrame) -> list[dict[Key, dict[Group, tuple[float, int]]]]:
    """Every number that stood in each report of a history, and in which it was told last."""
    standing: dict[Key, dict[Group, tuple[float, int]]] = {}
    found = []
    reports = 1 + int(history["report"].max()) if len(history) else 1
    for report in range(reports):
        rows = history[history["report"] == report]
        for _, by, *fact, group, n in rows.itertuples(index=False, name=None):
            place = tuple(group.split(SEPARATOR)) if by else ()
            key = (tuple(by.split(SEPARATOR)) if by else (), Fact(*fact))
            standing.setdefault(key, {})[place] = (n, report)
        found.append({key: dict(groups) for key, groups in standing.items()})
    return found


def check_series(tallies: Sequence[Tally], previous: Protection, profile: str) -> None:
    """Raises `DisclosureError` where a report cannot follow the last one."""
    last = previous.tallies
    if any(tally.protected for tally in tallies):
        raise DisclosureError("a report of a series is protected from its raw Tallies")
    if any(tally.protected != profile for tally in last):
        raise DisclosureError(f"the last report was not protected by the profile {profile}")
    differ = _what_differs([tally.header for tally in tallies], [tally.header for tally in last])
    if differ:
        raise DisclosureError(
            f"the last report was made differently: not the same {', '.join(differ)}. Beside it these tables "
            "could give away a few people. Keep plan and tables as they were, or begin a new series of "
            "reports on other patients"
        )
    counted = any(len(t.points) or len(t.flow) for t in last if counts_courses(t))
    if previous.history.empty and counted:
        raise DisclosureError("the last report has no history: use what `protection` gave, or to_json wrote")
    if tallies and tallies[0].header.as_of < last[0].header.as_of:
        raise DisclosureError("the last report is of a later day than this one")


def _what_differs(here: Sequence[Header], there: Sequence[Header]) -> list[str]:
    """What two reports' headers do not share, in words: settings of the plan by name, the rest by field."""
    if len(here) != len(there):
        return ["number of tables"]
    compared = [f.name for f in fields(Header) if f.name not in (*NOTED, "as_of", "plan", "plan_hash")]
    found: dict[str, None] = {}
    for now, before in zip(here, there, strict=True):
        found |= dict.fromkeys(
            FIELDS.get(name, name) for name in compared if getattr(now, name) != getattr(before, name)
        )
        if now.plan_hash != before.plan_hash:
            found |= dict.fromkeys(_settings(now.settings, before.settings) or ["plan"])
    return list(found)


FIELDS = {
    "by": "grouping", "axes": "points", "kinds": "kinds of response", "basis": "basis of good time",
    "measure": "quality measure", "schema": "schema of Tallies", "numbers": "way of counting (numbers)",
}  # fmt: skip
"""Fields of a header in words, where the field's name is none."""


def _settings(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """The plan's settings that differ, as they are written in a plan."""
    found = []
    for section in sorted({*now, *before}):
        one, other = now.get(section), before.get(section)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            keys = sorted(key for key in {*one, *other} if one.get(key) != other.get(key))
            found += [f"[{section}] {key}" for key in keys]
        elif one != other:
            found.append(f"[{section}]")
    return found


def follow(
    tallies: Sequence[Tally], found: Sequence[Margin], rules: Logic, order: Sequence[str],
    previous: Protection, profile: str, largest_small: int,
) -> Protection:  # fmt: skip
    """The report's plain Tallies (without good time) as they may follow the last report.

    Args:
        tallies: as counted.
        found: their groupings, with what may be shown in a report on its own.
        rules: which criteria nest.
        order: the criteria, the most important first.
        previous: the last report's Protection, of these Tallies only.
        profile: the disclosure profile.
        largest_small: counts from 1 to this are small.
    """
    change = _Change(tallies, found, previous, profile, largest_small, rules)
    told = change.tell(order)
    alone = _alone(tallies, found, profile) if change.keep_steps(told) else change.alone
    result = [
        _mixed(fresh, last, told, tally.header)
        for fresh, last, tally in zip(alone, previous.tallies, tallies, strict=True)
    ]
    new = told_numbers(result, len(change.reports), told)
    history = pd.concat([previous.history, new], ignore_index=True) if len(new) else previous.history
    return Protection(result, change.steps(told), history)


class _Change:
    """This report beside the last one, unit by unit."""

    def __init__(
        self, tallies: Sequence[Tally], found: Sequence[Margin], previous: Protection, profile: str,
        largest_small: int, rules: Logic,
    ) -> None:  # fmt: skip
        self.rough = blur(profile) > 0
        self.limit = largest_small + blur(profile)
        last_day = previous.tallies[0].header.as_of
        self.as_of, self.last_day = tallies[0].header.as_of, last_day
        self.reports = told_before(previous.history)
        self.since = _since(previous.steps)
        self.alone = _alone(tallies, found, profile)
        self.fresh, self.last = _by_unit(self.alone), _by_unit(previous.tallies)
        self.books: dict[tuple[str, ...], Book] = {}
        for margin in found:
            web = web_of(margin, rules)
            now = nearest(margin.number.astype(np.float64), profile)
            self.books[margin.by] = book(margin, web, splits(margin, web), now, self.reports)
        self.found = found

    def tell(self, order: Sequence[str]) -> set[Unit]:
        """The units that are told as they are now."""
        books = Books(self.books, self.limit, self.rough)
        told: set[Unit] = set()
        for unit in self._ordered(order):
            if unit in self.last and _by_session(unit):
                continue  # who is due, reached and scored at each session: too many tables of too few
            rows = unit_rows(self.books, self.fresh[unit], self.last.get(unit, []))
            if rows is not None and books.tell(rows):
                told.add(unit)
        return told

    def _ordered(self, order: Sequence[str]) -> list[Unit]:
        """The end of the series of everyone and by month first, then coarser groupings, then by use."""
        place: dict[tuple[tuple[str, ...], Fact], tuple[int, int]] = {}
        for i, margin in enumerate(self.found):
            rank = {row: at for at, row in enumerate(ranked(margin, self.books[margin.by].web, order))}
            for fact, row in margin.row.items():
                place[margin.by, fact] = (i, rank[row])
        none = (len(self.found), 0)
        return sorted(
            self.fresh,
            key=lambda unit: (
                bool(unit.by) or unit.axis not in ("end", "month") or unit.table != "points",
                unit.axis == "month",
                sorted({place.get((one.by, one.fact), none) for one in self.fresh[unit]}),
                unit,
            ),
        )

    def keep_steps(self, told: set[Unit]) -> bool:
        """What was hidden in a unit the last time stays hidden in it; whether that hides anything more."""
        shown = [margin.shown.copy() for margin in self.found]
        for unit in told:
            for one in _hidden(self.last.get(unit, [])):
                margin = self.books[one.by].margin
                if one.fact in margin.row and one.group in margin.groups:
                    margin.shown[margin.row[one.fact], margin.groups.index(one.group)] = False
        return not all(np.array_equal(a, margin.shown) for a, margin in zip(shown, self.found, strict=True))

    def steps(self, told: set[Unit]) -> pd.DataFrame:
        """One row per unit of this report or the last."""
        rows = []
        for unit in sorted({*self.fresh, *self.last}):
            old = unit in self.last
            step = (RESTATED if old else NEW) if unit in told else REPEATED if old else WAITING
            day = self.since.get(unit, self.last_day) if step == REPEATED else self.as_of
            rows.append((", ".join(unit.by), *unit[1:], step, day, REASONS[step]))
        return pd.DataFrame(rows, columns=list(STEPS), dtype=object)


def _hidden(told: Sequence[Number]) -> list[Number]:
    """The numbers of a unit that were hidden themselves.

    Who was scored is printed beside who had met it only, and who was given a session beside both: without
    these nobody can tell whether it was hidden, and hiding it would hide it of other criteria, too.
    """
    n = {(one.by, one.group, one.fact): one.n for one in told}
    beside = {"assessed": "met", "given": "assessed"}

    def printed(one: Number) -> bool:
        need = one.fact._replace(role=beside.get(one.fact.role, ""))
        return not np.isnan(n.get((one.by, one.group, need), 0.0))

    return [one for one in told if np.isnan(one.n) and printed(one)]


def _by_session(unit: Unit) -> bool:
    """Whether a unit tells of sessions: such are repeated as they first stood."""
    return "session" in (unit.axis, unit.point)


def _alone(tallies: Sequence[Tally], found: Sequence[Margin], profile: str) -> list[Tally]:
    """This report's Tallies as its margins show them."""
    result = [without_rows(rewrite(tally, found, profile)) for tally in tallies]
    return [rounded(tally, profile) for tally in result]


def _all(tallies: Sequence[Tally]) -> list[Number]:
    return [one for tally in tallies for one in numbers(tally)]


def _by_unit(tallies: Sequence[Tally]) -> dict[Unit, list[Number]]:
    found: dict[Unit, list[Number]] = {}
    for one in _all(tallies):
        found.setdefault(one.unit, []).append(one)
    return found


def _since(steps: pd.DataFrame) -> dict[Unit, str]:
    """Since when the units stand that the last report repeated."""
    own = steps[steps["step"] == REPEATED]
    found: dict[Unit, str] = {}
    for by, *unit, _, day, _ in own.itertuples(index=False, name=None):
        found[Unit(tuple(by.split(", ")) if by else (), *unit)] = day
    return found


def _mixed(fresh: Tally, last: Tally, told: set[Unit], header: Header) -> Tally:
    """This report's rows where a unit is told now, the last report's where it is repeated."""
    tables = {}
    for name in TABLES:
        now, before = getattr(fresh, name), getattr(last, name)
        kept = now[np.array([unit in told for unit in units(fresh, name)], dtype=bool)]
        repeated = before[np.array([unit not in told for unit in units(last, name)], dtype=bool)]
        parts = [part for part in (kept, repeated) if len(part)] or [now.iloc[:0]]
        tables[name] = typed(name, pd.concat(parts, ignore_index=True), header.by)
    done: dict[str, Any] = dict(tables)
    return replace(fresh, **done, transitions=last.transitions)


def restatements(
    before: Sequence[Tally], after: Sequence[Tally], axes: Sequence[str] = ("month",)
) -> pd.DataFrame:
    """Published counts of earlier periods that another report tells differently, as late data change them.

    Args:
        before: the protected Tallies of the last report.
        after: those of this one, the same list.
        axes: the axes looked at; months by default, which are closed periods.

    Returns:
        One row per cell that changed in a period both reports have. Columns: by (the grouping), group,
        instrument, criterion, kind, axis, point, given, state, before, after (NaN where hidden or not there).
    """
    columns = list(KEYS["points"])
    parts = []
    for old, new in zip(before, after, strict=True):
        by = list(new.header.by)
        keys = [*columns, *by]
        own = [table[table["axis"].isin(list(axes))][[*keys, "n"]] for table in (old.points, new.points)]
        both = own[0].merge(own[1], on=keys, how="outer", suffixes=("_before", "_after"))
        place = [name for name in keys if name not in ("given", "state")]
        periods = own[0][place].drop_duplicates().merge(own[1][place].drop_duplicates(), on=place)
        both = both.merge(periods, on=place)
        same = (both["n_before"] == both["n_after"]) | (both["n_before"].isna() & both["n_after"].isna())
        changed = both[~same].sort_values(keys, ignore_index=True)
        group = [", ".join(row) for row in zip(*(changed[name].astype(str) for name in by), strict=True)]
        changed = changed.assign(by=", ".join(by), group=group if by else "")
        parts.append(changed.rename(columns={"n_before": "before", "n_after": "after"}))
    order = ["by", "group", *columns, "before", "after"]
    if not parts:
        return pd.DataFrame(columns=order)
    result: pd.DataFrame = pd.concat([part[order] for part in parts], ignore_index=True)
    return result
