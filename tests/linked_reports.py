"""Patients over three reports: who had come, was due and had met by each, and what an attacker reads."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import attacked_tables as attacked
import numpy as np
from attacked_tables import HALVED, REMISSION, RESPONSE, SAME, UNSCORED, WELL, Cell, Scenario, Shape
from scipy.sparse import csr_matrix, vstack

from ketaoutcomes.counts.tallies import Tally
from ketaoutcomes.disclosure import Protection, protection
from ketaoutcomes.disclosure.printed import units

REPORTS = 3
MONTHS = ("2026-07", "2026-08", "2026-09")
WITHIN = {"cms11": 0.0, "opensafely": 2.0}  # a count rounded to the nearest 5 is at most two persons off
TABLES = ("flow", "points", "values")
Scores = tuple[int, ...]  # the score of the end, as each report has it: it may come in one report late


@dataclass(frozen=True)
class World:
    """Every type of patient in three reports, and for each of them when what happened.

    `steps` are the reports in which a patient came and came due, a row per type; `late` are those of whom a
    report has a score that the one before had not.
    """

    reports: tuple[Scenario, ...]
    steps: np.ndarray
    late: np.ndarray

    @classmethod
    def of(
        cls,
        shapes: tuple[Shape, ...],
        criteria: tuple[str, ...],
        types: Sequence[tuple[tuple[int, ...], Scores]],
        cells: Callable[[attacked._Person, int, int], None],
        groups: Sequence[dict[str, str]],
    ) -> World:
        """From what `cells` counts of a type (its place) in a report, in every one of some groups."""
        every = list(itertools.product(groups, range(len(types))))
        scenarios = []
        for report in range(REPORTS):
            found: list[tuple[Cell, ...]] = []
            for group, at in every:
                one = attacked._Person(shapes, criteria, ("current",), **group)
                cells(one, at, report)
                found.append(one.done())
            scenarios.append(Scenario(f"report {report}", shapes, criteria, ("current",), tuple(found)))
        steps = np.array([types[at][0] for _, at in every])
        late = np.array([len(set(types[at][1])) > 1 for _, at in every])
        return cls(tuple(scenarios), steps, late)

    @cached_property
    def asked(self) -> np.ndarray:
        """The cells of all reports, as types of patients."""
        return np.unique(np.vstack([one.asked for one in self.reports]), axis=0)

    def cohort(self, rng: np.random.Generator, *, may_be_late: bool = True) -> np.ndarray:
        """A random number of patients of each type: many or hardly any come between two reports."""
        weights = rng.gamma(rng.choice([0.1, 0.5]), size=len(self.late)) + 1e-12
        codes = [*self.steps.T, self.steps[:, 0] * (REPORTS + 1) + self.steps[:, -1]]
        for code in codes:
            weights *= rng.gamma(rng.choice([0.3, 1.0, 4.0]), size=code.max() + 1)[code]
        weights *= np.where(self.late, rng.choice([0.0, 0.05, 1.0]) * may_be_late, 1.0)
        people = int(rng.choice([100, 300, 1000, 3000]))
        return rng.multinomial(people, weights / weights.sum()).astype(np.float64)

    def published(self, persons: np.ndarray, profile: str = "cms11") -> list[Protection]:
        """The reports of a cohort, each protected beside the one before."""
        found: list[Protection] = []
        for one in self.reports:
            found.append(protection(one.tallies(persons), profile, found[-1] if found else None))
        return found

    def equations(self, found: Sequence[Protection]) -> tuple[csr_matrix, np.ndarray]:
        """Everything that all reports told, as equations over the types of patients."""
        rows, numbers = [], []
        for scenario, one in zip(self.reports, found, strict=True):
            table, told = scenario.equations(told_now(one))
            if len(told):
                rows.append(table)
                numbers.append(told)
        if not rows:
            return csr_matrix((0, len(self.late))), np.zeros(0)
        return csr_matrix(vstack(rows)), np.concatenate(numbers)


def scored(end: int, scores: Sequence[int]) -> Iterator[Scores]:
    """The score of an end that fell due in a report: any, at once or one report late."""
    for score in scores if end < REPORTS else (UNSCORED,):
        yield (score,) * REPORTS
        if score and end < REPORTS - 1:
            yield tuple(UNSCORED if at == end else score for at in range(REPORTS))


@cache
def weeks() -> World:
    """Three sites, week 4, the end and its months: weeks and months divide the same patients."""
    shapes = (Shape((), ("week", "end", "month")), Shape(("site",), ("end",)))
    types = [
        ((come, week, end), scores, early)
        for come in range(REPORTS)
        for end in range(come, REPORTS + 1)
        for week in range(come, min(end, REPORTS) + 1)
        for early in ((UNSCORED, SAME, HALVED) if week < REPORTS else (UNSCORED,))
        for scores in scored(end, (UNSCORED, SAME, HALVED, WELL))
    ]

    def cells(one: attacked._Person, at: int, report: int) -> None:
        (come, week, end), scores, early = types[at]
        if come > report:
            return
        one.flow("patient", "", "patients", "with_course")
        attacked._eligible(one, due=end <= report)
        one.judged("week", "4", {"current": early}, due=week <= report)
        one.judged("end", "end", {"current": scores[report]}, due=end <= report)
        if end <= report:
            one.judged("month", MONTHS[end], {"current": scores[report]})

    groups = [{"site": site} for site in "ABC"]
    return World.of(shapes, (RESPONSE, REMISSION), [one[:2] for one in types], cells, groups)


NOT_ELIGIBLE = ("no_baseline", "baseline_only", "some", "end")  # below the gate by how far they were measured


@cache
def sessions() -> World:
    """Two protocols of two sessions: who stopped when, who was scored how far, who does not count and why."""
    shapes = (Shape(("protocol",), ("session", "end")), Shape((), ("end",)))
    types: list[tuple[tuple[int, int], Scores, int, str, tuple[int, ...]]] = []
    for come in range(REPORTS):
        for end, stop in itertools.product(range(come, REPORTS + 1), (1, 2)):
            types += [((come, end), (UNSCORED,) * REPORTS, stop, reason, ()) for reason in NOT_ELIGIBLE]
            for at in itertools.product((UNSCORED, SAME, HALVED, WELL), repeat=stop):
                types += [((come, end), last, stop, "", at) for last in scored(end, (UNSCORED, SAME, HALVED))]

    def cells(one: attacked._Person, at: int, report: int) -> None:
        (come, end), last, stop, reason, scores = types[at]
        due = end <= report
        if come > report:
            return
        one.flow("patient", "", "patients", "with_course")
        for k in (1, 2):
            given = "given" if k <= stop else "not_given"
            one.flow("course", "", f"session:{k}", given if due else "not_due")
        far = reason or ("end" if last[report] else "some" if any(scores) else "baseline_only")
        one.flow("course", "phq9", "measured", far if due else "not_due")
        if reason:
            outside = reason if reason == "no_baseline" else "below_gate"
            one.flow("course", "phq9", "courses", outside)
            return
        attacked._eligible(one, due=due)
        for k in (1, 2):
            now = scores[k - 1] if k <= stop else UNSCORED
            one.judged("session", str(k), {"current": now}, "yes" if k <= stop else "no", due=due)
        one.judged("end", "end", {"current": last[report]}, due=due)

    groups = [{"protocol": protocol} for protocol in ("im", "iv6")]
    return World.of(shapes, (RESPONSE, REMISSION), [one[:2] for one in types], cells, groups)


def told_now(one: Protection) -> list[Tally]:
    """Without the rows that are repeated: they say nothing new."""
    if one.steps.empty:
        return one.tallies
    now = one.steps[one.steps["step"].isin(["restated", "new"])]
    keys = {
        (tuple(by.split(", ")) if by else (), *unit)
        for by, *unit in now.iloc[:, :7].itertuples(index=False, name=None)
    }
    result = []
    for tally in one.tallies:
        tables = {
            name: getattr(tally, name)[np.array([tuple(u) in keys for u in units(tally, name)], dtype=bool)]
            for name in TABLES
        }
        result.append(replace(tally, **tables))
    return result
