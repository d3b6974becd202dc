"""Random small cohorts, what a report publishes of them, and an attacker who knows how its tables are linked.

A scenario lists every *type* of person its tables can tell apart, and the cells each type is counted in. The
attacker sees a protected list of Tallies, writes one equation per published number, and asks linear
programming for the smallest and largest possible number of persons in a set.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import attacker
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, vstack

from ketaoutcomes.counts.tallies import INTEGER_KEYS, KEYS, Header, Tally, typed
from ketaoutcomes.disclosure import LARGEST_SMALL, protect
from ketaoutcomes.disclosure.facts import MEASURED
from ketaoutcomes.plan import Criteria, Plan

UNSCORED, WORSE, SAME, BETTER, HALVED, WELL = range(6)
RESPONSE, REMISSION, PARTIAL, DETERIORATION, BY_FIVE = (
    "phq9_response50", "phq9_remission_lt5", "phq9_partial25", "phq9_deterioration", "phq9_mcid5"
)  # fmt: skip
MEETS = {
    RESPONSE: {HALVED, WELL}, REMISSION: {WELL}, PARTIAL: {BETTER}, DETERIORATION: {WORSE},
    BY_FIVE: {BETTER, HALVED, WELL},
}  # fmt: skip
Cell = tuple[int, str, tuple[str, ...]]  # which Tally, which table, its key with the group
_OWN = {"flow": 3, "points": 5, "values": 4}  # how much of a key the cells of one list share


@dataclass(frozen=True)
class Shape:
    """One Tally of a scenario: its grouping and axes."""

    by: tuple[str, ...]
    axes: tuple[str, ...]


@dataclass(frozen=True)
class Scenario:
    """Every type of person with its cells; `columns` says what a group is made of."""

    name: str
    shapes: tuple[Shape, ...]
    criteria: tuple[str, ...]
    kinds: tuple[str, ...]
    types: tuple[tuple[Cell, ...], ...]

    @cached_property
    def cells(self) -> list[Cell]:
        """Every cell that anybody can be counted in."""
        return sorted({cell for cells in self.types for cell in cells})

    @cached_property
    def counted(self) -> csr_matrix:
        """One row per cell, one column per type: 1 where the type is counted there."""
        place = {cell: i for i, cell in enumerate(self.cells)}
        rows = [place[cell] for cells in self.types for cell in cells]
        columns = [i for i, cells in enumerate(self.types) for _ in cells]
        shape = (len(self.cells), len(self.types))
        return csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)

    @cached_property
    def plan(self) -> Plan:
        """A plan that judges the scenario's criteria."""
        return Plan(criteria=Criteria(primary=self.criteria))

    def tallies(self, persons: np.ndarray) -> list[Tally]:
        """The raw Tallies of a cohort with so many persons of each type."""
        count = self.counted @ persons
        return [self._tally(i, shape, count) for i, shape in enumerate(self.shapes)]

    def _tally(self, which: int, shape: Shape, count: np.ndarray) -> Tally:
        header = Header(
            plan=self.plan.canonical(), plan_hash=self.plan.hash, as_of="2026-10-31", by=shape.by,
            axes=shape.axes, criteria=self.criteria, kinds=self.kinds,
        )  # fmt: skip
        tables = {}
        for name in KEYS:
            own = [i for i, cell in enumerate(self.cells) if cell[:2] == (which, name) and count[i]]
            table = pd.DataFrame([self.cells[i][2] for i in own], columns=[*KEYS[name], *shape.by])
            n = count[own].astype(np.int64)
            table["n"], table["people"] = n, n
            for column in INTEGER_KEYS & set(table):
                table[column] = table[column].astype("int64")
            tables[name] = typed(name, table, shape.by)
        return Tally(header, **tables)

    @cached_property
    def coarse(self) -> tuple[dict[Cell, int], csr_matrix]:
        """Every cell that a protected Tally may have: its row in a table of how often each type is in it."""
        place: dict[Cell, int] = {}
        pairs = [
            (place.setdefault((which, name, coarse), len(place)), i)
            for i, (which, name, key) in enumerate(self.cells)
            for coarse in _coarser(name, key)
        ]
        rows, columns = np.array(pairs).T
        shape = (len(place), len(self.cells))
        return place, csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape) @ self.counted

    @cached_property
    def asked(self) -> np.ndarray:
        """Which types are counted in each cell, fine or joined: what someone may ask about."""
        cells = np.vstack([self.counted.toarray(), self.coarse[1].toarray()]) > 0
        return np.unique(cells, axis=0)

    @cached_property
    def _families(self) -> dict[Cell, list[Cell]]:
        """The cells that stand in one list, by all of their key that they share but reasons and groups."""
        found: dict[Cell, list[Cell]] = {}
        for cell in self.coarse[0]:
            found.setdefault((*cell[:2], cell[2][: _OWN[cell[1]]]), []).append(cell)
        return found

    def told(self, protected: list[Tally]) -> list[tuple[Cell, float]]:
        """Every number published, with its cell; a cell or group missing from a published list is nobody."""
        place, _ = self.coarse
        result = []
        for (which, tally), name in itertools.product(enumerate(protected), ("flow", "points", "values")):
            table = getattr(tally, name)
            keys = table[[*KEYS[name], *tally.header.by]].astype(str).itertuples(index=False, name=None)
            found = {(which, name, key): float(n) for key, n in zip(keys, table["n"], strict=True)}
            if name == "values":
                found = {cell: n for cell, n in found.items() if cell[2][1].endswith(":n")}
            if any(n > 0 for cell, n in found.items() if cell not in place):
                raise RuntimeError("somebody is counted where none of the scenario's types can be")
            known = [(cell, n) for cell, n in found.items() if cell in place and not np.isnan(n)]
            result += [*known, *((cell, 0.0) for cell in self._missing(found))]
        return result

    def equations(self, protected: list[Tally]) -> tuple[csr_matrix, np.ndarray]:
        """What a reader knows: one row over the types, and one number, for each number published."""
        place, members = self.coarse
        told = self.told(protected)
        moves = [one for which, tally in enumerate(protected)
                 for one in told_moves(tally.transitions, self._moved(which))]  # fmt: skip
        known = [members[[place[cell] for cell, _ in told]], *(csr_matrix(who) for who, _ in moves)]
        return csr_matrix(vstack(known)), np.array([n for _, n in (*told, *moves)])

    def _missing(self, found: Collection[Cell]) -> list[Cell]:
        """The cells of published lists that no cell there holds, told or hidden."""
        place, members = self.coarse
        result = []
        for family in {(*cell[:2], cell[2][: _OWN[cell[1]]]) for cell in found}:
            cells = self._families.get(family, [])
            shown = [place[cell] for cell in cells if cell in found]
            covered = np.asarray(members[shown].sum(axis=0)).ravel() > 0
            for cell in cells:
                own = members[place[cell]]
                if own.nnz and not covered[own.indices].any():
                    result.append(cell)
        return result

    def _moved(self, which: int) -> list[tuple[tuple[str, ...], np.ndarray]]:
        own = [i for i, cell in enumerate(self.cells) if cell[:2] == (which, "transitions")]
        counted = self.counted[own].toarray()
        return [(self.cells[i][2], row) for i, row in zip(own, counted, strict=True)]


def told_moves(
    transitions: pd.DataFrame, moved: list[tuple[tuple[str, ...], np.ndarray]]
) -> Iterator[tuple[np.ndarray, float]]:
    """Whom each published number of daily moves is about: all since their way was told before."""
    since: dict[tuple[str, ...], int] = {}
    for row in transitions[transitions["n"].notna()].sort_values("day").to_dict("records"):
        family = (row["instrument"], row["criterion"], row["clock"])
        first, ways = since.get((*family, row["to"]), -1), row["to"].split("+")
        since[*family, row["to"]] = row["day"]
        own = [
            who for key, who in moved
            if key[:3] == family and first < int(key[3]) <= row["day"]
            and (key[5] in ways if row["from"] else not key[4])
        ]  # fmt: skip
        yield np.sum(own, axis=0), row["n"]


def _coarser(name: str, key: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The cells of a protected Tally that a raw cell is part of, whatever its level turns out to be."""
    if name == "points":
        *start, given, state = key[:7]
        if state != "not_due":
            states = {"met": ["met"], "not_met": ["not_met", "unmet_or_missing"]}
            for coarse in (*states.get(state, ["unassessed", "unmet_or_missing"]), "due"):
                for shown in (given, ""):
                    yield (*start, shown, coarse, *key[7:])
    elif name == "values":
        instrument, variable, axis, point, _, *group = key
        yield (instrument, variable + ":n", axis, point, "0", *group)
    elif name == "transitions" or (key[2].startswith("session:") and key[3] == "not_due"):
        return
    elif key[2] != "measured":
        yield key
    else:
        for i, j in itertools.combinations(range(len(MEASURED) + 1), 2):
            if key[3] in MEASURED[i:j]:
                yield (*key[:3], "+".join(MEASURED[i:j]), *key[4:])


class _Person:
    """Collects the cells of one type of person, in every Tally of a scenario."""

    def __init__(
        self, shapes: tuple[Shape, ...], criteria: tuple[str, ...], kinds: tuple[str, ...], **columns: str
    ):
        self.shapes, self.criteria, self.kinds, self.columns = shapes, criteria, kinds, columns
        self.cells: list[Cell] = []

    def flow(self, unit: str, instrument: str, step: str, reason: str) -> None:
        for i, shape in enumerate(self.shapes):
            self.cells.append((i, "flow", (unit, instrument, step, reason, *self._group(shape))))

    def judged(
        self, axis: str, point: str, state: dict[str, int | None], given: str = "no", *, due: bool = True
    ) -> None:
        """The states at one point: by kind, the state of the score judged (None: not due at this kind)."""
        for i, shape in enumerate(self.shapes):
            if axis in shape.axes:
                for kind, criterion in itertools.product(self.kinds, self.criteria):
                    at = state.get(kind) if due else None
                    name = "not_due" if at is None else "missing" if at == UNSCORED else "not_met"
                    if at in MEETS[criterion]:
                        name = "met"
                    key = ("phq9", criterion, kind, axis, point, given, name, *self._group(shape))
                    self.cells.append((i, "points", key))
                if due and state.get("current"):
                    name = "change" if axis == "month" else "score"
                    self.cells.append((i, "values", ("phq9", name, axis, point, "3", *self._group(shape))))

    def _group(self, shape: Shape) -> tuple[str, ...]:
        return tuple(self.columns[name] for name in shape.by)

    def done(self) -> tuple[Cell, ...]:
        return tuple(self.cells)


def _most(states: list[int]) -> int:
    """The best of several scores: whether any of them has met is what `ever` asks."""
    return max(states, default=UNSCORED)


def sessions() -> Scenario:
    """Two protocols of three sessions: who stopped when, who was scored, who had met now or ever."""
    shapes = (Shape(("protocol",), ("session", "end")), Shape((), ("end",)))
    criteria, kinds = (RESPONSE, REMISSION), ("current", "ever")
    types = []
    for protocol in ("im", "iv6"):

        def person(protocol: str = protocol) -> _Person:
            one = _Person(shapes, criteria, kinds, protocol=protocol)
            one.flow("patient", "", "patients", "with_course")
            return one

        found = (
            ("no_baseline", "no_baseline"),
            *(("below_gate", m) for m in ("baseline_only", "some", "end")),
        )
        for (reason, cascade), due, stop in itertools.product(found, (False, True), (1, 2, 3)):
            one = person()
            one.flow("course", "phq9", "courses", reason)
            _stay(one, stop, due)
            one.flow("course", "phq9", "measured", cascade if due else "not_due")
            types.append(one.done())
        for stop in (1, 2, 3):
            for scores in itertools.product((UNSCORED, SAME, HALVED, WELL), repeat=stop + 1):
                *at, end = scores
                one = person()
                _eligible(one, due=True)
                _stay(one, stop, due=True)
                one.flow(
                    "course", "phq9", "measured", "end" if end else "some" if any(at) else "baseline_only"
                )
                for k in range(3):
                    now = at[k] if k < stop else UNSCORED
                    state = {"current": now, "ever": _most(at[: k + 1])}
                    one.judged("session", str(k + 1), state, "yes" if k < stop else "no")
                one.judged("end", "end", {"current": end, "ever": _most([*at, end])})
                types.append(one.done())
            one = person()
            _eligible(one, due=False)
            _stay(one, stop, due=False)
            one.flow("course", "phq9", "measured", "not_due")
            for k in range(3):
                one.judged("session", str(k + 1), {}, due=False)
            one.judged("end", "end", {}, due=False)
            types.append(one.done())
    return Scenario("sessions", shapes, criteria, kinds, tuple(types))


def _stay(one: _Person, stop: int, due: bool) -> None:
    for k in (1, 2, 3):
        one.flow(
            "course", "", f"session:{k}", "not_due" if not due else "given" if k <= stop else "not_given"
        )


def _eligible(one: _Person, *, due: bool) -> None:
    one.flow("course", "phq9", "courses", "eligible")
    one.flow("course", "phq9", "due", "due" if due else "not_due")


def margins() -> Scenario:
    """The end of a series by site, by protocol, by month and overall: tables that share their totals."""
    shapes = (Shape(("protocol",), ("end",)), Shape((), ("end", "month")), Shape(("site",), ("end",)))
    criteria, kinds = (RESPONSE, REMISSION), ("current",)
    types = []
    places = itertools.product(("im", "iv6"), ("A", "B", "C", "D"), ("2026-07", "2026-08", "2026-09"))
    for protocol, site, month in places:
        for what in ("no_baseline", "not_due", UNSCORED, SAME, HALVED, WELL):
            one = _Person(shapes, criteria, kinds, protocol=protocol, site=site)
            one.flow("patient", "", "patients", "with_course")
            if what == "no_baseline":
                one.flow("course", "phq9", "courses", "no_baseline")
            else:
                _eligible(one, due=what != "not_due")
                due = what != "not_due"
                state = {"current": int(what)} if due else {}
                one.judged("end", "end", state, due=due)
                if due:
                    one.judged("month", month, state)
            types.append(one.done())
    return Scenario("margins", shapes, criteria, kinds, tuple(types))


def weeks() -> Scenario:
    """Three weeks, each with fewer who are due, with what has ever been met, also between the weeks."""
    shapes = (Shape((), ("week",)), Shape(("site",), ("week",)))
    criteria, kinds = (RESPONSE, REMISSION), ("current", "ever")
    types = []
    between = [(UNSCORED, 0), *itertools.product((SAME, HALVED, WELL), range(3))]
    people = [p for p in itertools.product(("A", "B"), range(4), between) if p[2][1] < max(p[1], 1)]
    for site, due, (best, since) in people:
        for scores in itertools.product((UNSCORED, SAME, HALVED, WELL), repeat=due):
            one = _Person(shapes, criteria, kinds, site=site)
            one.flow("patient", "", "patients", "with_course")
            one.flow("course", "phq9", "courses", "eligible")
            one.flow("course", "phq9", "due", "due" if due > 1 else "not_due")
            for k, week in enumerate(("1", "2", "4")):
                seen = [*scores[: k + 1], best if k >= since else UNSCORED]
                state = {"current": scores[k], "ever": _most(seen)} if k < due else {}
                one.judged("week", week, state, due=k < due)
            types.append(one.done())
    return Scenario("weeks", shapes, criteria, kinds, tuple(types))


def criteria() -> Scenario:
    """One point, four criteria that nest or exclude each other, now and sustained, at three sites."""
    shapes = (Shape((), ("end",)), Shape(("site",), ("end",)))
    names, kinds = (RESPONSE, REMISSION, PARTIAL, DETERIORATION), ("current", "sustained")
    types = []
    for site in ("A", "B", "C"):
        for now in range(6):
            held = {UNSCORED} | ({SAME, now} if now else set()) | ({HALVED} if now == WELL else set())
            for later in (None, *sorted(held)):
                one = _Person(shapes, names, kinds, site=site)
                one.flow("course", "phq9", "courses", "eligible")
                one.flow("course", "phq9", "due", "due")
                one.judged("end", "end", {"current": now, "sustained": later})
                types.append(one.done())
    return Scenario("criteria", shapes, names, kinds, tuple(types))


def nested() -> Scenario:
    """One point at four sites, three criteria of which each implies the next: the middle one comes last."""
    shapes = (Shape((), ("end",)), Shape(("site",), ("end",)))
    names = (REMISSION, BY_FIVE, RESPONSE)
    types = []
    for site, now in itertools.product(("A", "B", "C", "D"), range(6)):
        one = _Person(shapes, names, ("current",), site=site)
        one.flow("course", "phq9", "courses", "eligible")
        one.flow("course", "phq9", "due", "due")
        one.judged("end", "end", {"current": now})
        types.append(one.done())
    return Scenario("nested", shapes, names, ("current",), tuple(types))


def cohort(scenario: Scenario, rng: np.random.Generator) -> np.ndarray:
    """A random number of persons of each type: sizes and unevenness vary, so that small cells are common."""
    people = int(rng.choice([40, 100, 250, 600, 1500]))
    weights = rng.gamma(rng.choice([0.05, 0.3, 1.0]), size=len(scenario.types)) + 1e-12
    for column in range(3):
        # Some groups, states and points are rare altogether.
        code = rng.integers(0, 5, size=len(scenario.types)) if column else _leading(scenario)
        weights *= rng.gamma(0.7, size=code.max() + 1)[code]
    return rng.multinomial(people, weights / weights.sum()).astype(np.float64)


def _leading(scenario: Scenario) -> np.ndarray:
    groups = [cells[0][2][-1] for cells in scenario.types]
    return np.unique(groups, return_inverse=True)[1]


def questions(
    cells: np.ndarray, persons: np.ndarray, largest_small: int, rng: np.random.Generator, most: int
) -> np.ndarray:
    """Sets of 1 to `largest_small` persons that someone might ask about, at most so many.

    Every small cell of any table first; then those in one cell and another, in one but not another, and in
    two but not a third. `cells` says which types are counted in each cell.
    """
    cells = np.unique(cells, axis=0)
    people = cells * persons
    size = people.sum(axis=1)
    small = [cells[(size > 0) & (size <= largest_small)]]
    both = people @ cells.T.astype(np.float64)
    for count, turned in ((np.triu(both, 1), False), (size[:, None] - both, True)):
        first, second = np.nonzero((count > 0) & (count <= largest_small))
        some = rng.permutation(len(first))[:most]
        small.append(cells[first[some]] & (cells[second[some]] ^ turned))
    one, two, three = rng.integers(0, len(cells), size=(3, most))
    sets = cells[one] & cells[two] & ~cells[three]
    size = sets @ persons
    small.append(sets[(size > 0) & (size <= largest_small)])
    return np.unique(np.vstack(small), axis=0)


ROUNDING = 2.0  # a count rounded to the nearest 5 is at most two persons off


def attack(
    scenario: Scenario, seeds: range, most: int, profile: str = "cms11"
) -> list[tuple[int, float, float]]:
    """Every question about few people whose answer is known more closely than the rule allows."""
    small, within = LARGEST_SMALL[profile], ROUNDING if profile == "opensafely" else 0.0
    found = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        persons = cohort(scenario, rng)
        equations, numbers = scenario.equations(protect(scenario.tallies(persons), profile))
        assert np.abs(equations @ persons - numbers).max(initial=0) <= within + 1e-6  # what is shown is true
        sets = questions(scenario.asked, persons, small, rng, most)
        known = attacker.learned(equations, numbers, persons, sets, small, within)
        found += [(seed, one.low, one.high) for one in known]
    return found
