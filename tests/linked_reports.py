"""Patients over three reports: who had come, was due and had met by each, and what an attacker reads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

import attacked_tables as attacked
import numpy as np
from attacked_tables import HALVED, REMISSION, RESPONSE, SAME, UNSCORED, WELL, Cell, Scenario, Shape
from scipy.sparse import csr_matrix, vstack

from ketaoutcomes.counts.tallies import Tally
from ketaoutcomes.disclosure import Protection, protection
from ketaoutcomes.disclosure.printed import units

REPORTS = 3
SHAPES = (Shape((), ("week", "end", "month")), Shape(("site",), ("end",)))
MONTHS = ("2026-07", "2026-08", "2026-09")
WITHIN = {"cms11": 0.0, "opensafely": 2.0}  # a count rounded to the nearest 5 is at most two persons off
TABLES = ("flow", "points", "values")


def histories() -> Iterator[tuple[int, int, int, int, tuple[int, ...]]]:
    """Report of the first dose, of week 4 and of the end; the score of week 4; that of the end by report.

    A score of the end may come in one report late.
    """
    for come in range(REPORTS):
        for end in range(come, REPORTS + 1):
            for week in range(come, min(end, REPORTS) + 1):
                for early in (UNSCORED, SAME, HALVED) if week < REPORTS else (UNSCORED,):
                    for score in (UNSCORED, SAME, HALVED, WELL) if end < REPORTS else (UNSCORED,):
                        yield come, week, end, early, (score,) * REPORTS
                        if score and end < REPORTS - 1:
                            late = tuple(UNSCORED if at == end else score for at in range(REPORTS))
                            yield come, week, end, early, late


@cache
def reports() -> tuple[Scenario, ...]:
    """One scenario per report; all have the same types of patients."""
    found: list[list[tuple[Cell, ...]]] = [[] for _ in range(REPORTS)]
    for site, (come, week, end, early, scores) in itertools.product("ABC", histories()):
        for at in range(REPORTS):
            one = attacked._Person(SHAPES, (RESPONSE, REMISSION), ("current",), site=site)
            if come <= at:
                one.flow("patient", "", "patients", "with_course")
                attacked._eligible(one, due=end <= at)
                one.judged("week", "4", {"current": early}, due=week <= at)
                one.judged("end", "end", {"current": scores[at]}, due=end <= at)
                if end <= at:
                    one.judged("month", MONTHS[end], {"current": scores[at]})
            found[at].append(one.done())
    return tuple(
        Scenario(f"report {at}", SHAPES, (RESPONSE, REMISSION), ("current",), tuple(types))
        for at, types in enumerate(found)
    )


def cohort(rng: np.random.Generator, *, may_be_late: bool = True) -> np.ndarray:
    """A random number of patients of each type: many or hardly any come between two reports."""
    types = [history for _, history in itertools.product("ABC", histories())]
    come, week, end = (np.array([history[i] for history in types]) for i in range(3))
    late = np.array([len(set(history[4])) > 1 for history in types])
    weights = rng.gamma(rng.choice([0.1, 0.5]), size=len(types)) + 1e-12
    for code in (come, week, end, come * 4 + end):
        weights *= rng.gamma(rng.choice([0.3, 1.0, 4.0]), size=code.max() + 1)[code]
    weights *= np.where(late, rng.choice([0.0, 0.05, 1.0]) * may_be_late, 1.0)
    people = int(rng.choice([100, 300, 1000, 3000]))
    return rng.multinomial(people, weights / weights.sum()).astype(np.float64)


def published(persons: np.ndarray, profile: str = "cms11") -> list[Protection]:
    """The reports of a cohort, each protected beside the one before."""
    found: list[Protection] = []
    for one in reports():
        found.append(protection(one.tallies(persons), profile, found[-1] if found else None))
    return found


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


def equations(found: Sequence[Protection]) -> tuple[csr_matrix, np.ndarray]:
    """Everything that all reports told, as equations over the types of patients."""
    rows, numbers = [], []
    for scenario, one in zip(reports(), found, strict=True):
        table, told = scenario.equations(told_now(one))
        if len(told):
            rows.append(table)
            numbers.append(told)
    if not rows:
        return csr_matrix((0, len(reports()[0].types))), np.zeros(0)
    return csr_matrix(vstack(rows)), np.concatenate(numbers)


@cache
def asked() -> np.ndarray:
    """The cells of all reports, as types of patients."""
    return np.unique(np.vstack([one.asked for one in reports()]), axis=0)
