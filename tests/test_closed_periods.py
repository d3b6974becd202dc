"""Series told by closed periods: what an attacker reads from seven reports in a row.

A patient comes due in one month, at one site, with one end score; a report holds the patients of the closed
periods told so far. The attacker has every number of every report, and linear programming.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import linked_reports as linked
import numpy as np
import pandas as pd
import pytest
from attacked_tables import HALVED, MEETS, REMISSION, RESPONSE, SAME, UNSCORED, WELL
from attacker import narrowest
from scipy.sparse import csr_matrix

from ketaoutcomes.counts.periods import Period, last_day, period
from ketaoutcomes.counts.tallies import KEYS, Header, Tally, typed
from ketaoutcomes.disclosure import Protection, Telling, coarsen, protect, protection, tellings
from ketaoutcomes.plan import Criteria, Plan

SMALL = 10
START, MONTHS, FIRST = 24312, 12, 6  # January 2026; months on record in the end; in the first report
SITES, SCORES, CRITERIA = ("A", "B"), (UNSCORED, SAME, HALVED, WELL), (RESPONSE, REMISSION)
TYPES = list(itertools.product(range(START, START + MONTHS), SITES, SCORES))
PLAN = Plan(criteria=Criteria(primary=CRITERIA))


def cohort(rng: np.random.Generator) -> np.ndarray:
    """How many patients of each type; few or many come in each quarter."""
    size = rng.choice([15.0, 60.0, 200.0], size=4).repeat(3)
    share = rng.dirichlet(rng.choice([0.5, 2.0], size=len(SCORES)))
    at = rng.dirichlet([3.0, 3.0])
    mean = [size[m - START] * at[SITES.index(s)] * share[SCORES.index(k)] for m, s, k in TYPES]
    return rng.poisson(mean).astype(np.float64)


def counted(persons: np.ndarray, last: int) -> list[Tally]:
    """Everyone by month and at the end, and by site, of those due up to the `last` month."""
    rows = []
    for (month, site, score), n in zip(TYPES, persons, strict=True):
        for name in CRITERIA:
            state = "missing" if score == UNSCORED else "met" if score in MEETS[name] else "not_met"
            if month <= last and n:
                rows.append((name, "month", Period(month).name, state, site, int(n)))
                rows.append((name, "end", "end", state, site, int(n)))
    table = pd.DataFrame(rows, columns=["criterion", "axis", "point", "state", "site", "n"])
    table = table.assign(instrument="phq9", kind="current", given="no")
    return [_tally(table, (), last), _tally(table[table["axis"] == "end"], ("site",), last)]


def _tally(table: pd.DataFrame, by: tuple[str, ...], last: int) -> Tally:
    keys = [*KEYS["points"], *by]
    points = table.groupby(keys, as_index=False)["n"].sum()
    header = Header(
        plan=PLAN.canonical(), plan_hash=PLAN.hash, as_of=last_day(last), by=by,
        axes=("end",) if by else ("end", "month"), criteria=CRITERIA, kinds=("current",),
    )  # fmt: skip
    empty = {name: typed(name, pd.DataFrame(columns=[*KEYS[name], *by]), by) for name in KEYS}
    return Tally(header, **(empty | {"points": typed("points", points, by)}))


def series(persons: np.ndarray) -> tuple[list[Protection], list[Telling]]:
    """The reports of six months in a row, each as a command would make it."""
    found: list[Protection] = []
    said: list[Telling] = []
    steps: pd.DataFrame | None = None
    for month in range(START + FIRST - 1, START + MONTHS):
        last = found[-1].tallies if found else []
        told = tellings(counted(persons, month)[0], SMALL, last, steps)
        until = told[0].until if told else month
        coarse, steps = coarsen(counted(persons, until), SMALL, last, told)
        found.append(protection(coarse, previous=found[-1] if found else None))
        said += told
    return found, said


def equations(reports: Sequence[list[Tally]], untils: Sequence[int]) -> tuple[csr_matrix, np.ndarray]:
    """Every number told, as a row over the types of patients."""
    rows, numbers = [], []
    for tallies, until in zip(reports, untils, strict=True):
        for tally in tallies:
            points = tally.points[tally.points["n"].notna()]
            for one in points.to_dict("records"):
                span = period(one["point"]) or Period(START, until - START + 1)
                rows.append([_holds(kind, one, span) for kind in TYPES])
                numbers.append(one["n"])
    return csr_matrix(np.array(rows, dtype=np.float64).reshape(-1, len(TYPES))), np.array(numbers)


def _holds(kind: tuple[int, str, int], one: dict[str, str], span: Period) -> bool:
    month, site, score = kind
    met = score in MEETS[one["criterion"]]
    states = {
        "met": met, "not_met": not met and score != UNSCORED, "unassessed": score == UNSCORED,
        "unmet_or_missing": not met, "due": True,
    }  # fmt: skip
    return span.first <= month <= span.last and one.get("site", site) == site and states[one["state"]]


def questions(persons: np.ndarray, rng: np.random.Generator, most: int) -> np.ndarray:
    """Sets of one to ten patients: of a month or of a run of months, a site or both, some of the scores."""
    sets = []
    for first, last in itertools.combinations_with_replacement(range(START, START + MONTHS), 2):
        for sites, scores in itertools.product(
            (SITES, SITES[:1], SITES[1:]), ((WELL,), (HALVED,), (HALVED, WELL), (SAME,), (UNSCORED,), SCORES)
        ):
            sets.append([first <= m <= last and s in sites and k in scores for m, s, k in TYPES])
    table = np.array(sets)
    size = table @ persons
    table = np.unique(table[(size > 0) & (size <= SMALL)], axis=0)
    return table[rng.permutation(len(table))[:most]].astype(np.float64)


def attack(seed: int, most: int) -> tuple[list[Telling], list[tuple[float, float]]]:
    """How a series was told, and every question about few that it answers more closely than to ten."""
    rng = np.random.default_rng(seed)
    persons = cohort(rng)
    reports, said = series(persons)
    untils = [_until(one.tallies[0]) for one in reports]
    rows, numbers = equations([linked.told_now(one) for one in reports], untils)
    assert np.allclose(rows @ persons, numbers)  # what is shown is true
    ends = narrowest(rows, numbers, questions(persons, rng, most))
    return said, [(low, high) for low, high in ends if high - low < SMALL - 1e-6]


def _until(tally: Tally) -> int:
    """The last month a report counts."""
    year, month, _ = tally.header.as_of.split("-")
    return 12 * int(year) + int(month) - 1


@pytest.mark.parametrize(
    ("seed", "how"),
    [
        (1, {("finest", "quarters"), ("held", "quarters")}),
        (4, {("finest", "months"), ("held", "months")}),
        (6, {("most", "months"), ("held", "months"), ("coarser", "quarters"), ("held", "quarters")}),
    ],
)
def test_an_attacker_with_seven_reports_learns_no_small_number(seed: int, how: set[tuple[str, str]]) -> None:
    said, found = attack(seed, 12)
    assert found == []
    assert {(one.reason, one.step) for one in said} == how


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(7, 200))
def test_an_attacker_learns_nothing_from_many_series(seed: int) -> None:
    assert attack(seed, 12)[1] == []


def test_a_quarter_less_its_first_two_months_would_tell_the_third() -> None:
    """July and August by month, then the quarter: the attack finds the three who remitted in September."""
    july, persons = START + 6, np.zeros(len(TYPES))
    for at, (month, site, score) in enumerate(TYPES):
        if july <= month <= july + 2 and site == "A":
            persons[at] = {UNSCORED: 20, SAME: 40, HALVED: 30, WELL: 3 if month == july + 2 else 20}[score]
    first = protection([counted(persons, july + 1)[0]])
    quarter = counted(persons, july + 2)
    whole = Telling("phq9", "quarters", "finest", (Period(july, 3),))
    coarse, _ = coarsen(quarter[:1], SMALL, (), [whole])
    remitted = np.array([[m == july + 2 and k == WELL for m, _, k in TYPES]], dtype=np.float64)
    rows, numbers = equations([first.tallies, protect(coarse)], [july + 1, july + 2])
    assert narrowest(rows, numbers, remitted)[0] == pytest.approx((3, 3))
    follows = protection(coarse, previous=first)  # a series would not tell it, whoever asked for the quarter
    rows, numbers = equations([first.tallies, linked.told_now(follows)], [july + 1, july + 2])
    low, high = narrowest(rows, numbers, remitted)[0]
    assert high - low > SMALL
