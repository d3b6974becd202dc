"""The attacker finds what is there to find: tables that leak, made by hand, and a slow search beside it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from attacker import Narrow, Published, learned, narrowed
from scipy.optimize import linprog
from scipy.sparse import csr_matrix

CELLS = np.eye(4, dtype=bool)  # four types of persons: at site A or B, responded or not


def found(
    rows: list[list[int]], numbers: list[float], within: float = 0.0, least: float = 11
) -> list[Narrow]:
    known = Published.of(csr_matrix(np.array(rows, dtype=float)), np.array(numbers, dtype=float), within)
    return narrowed(known, CELLS, least)


TOTAL, SITE_A, MET = [1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 1, 0]


def test_a_total_without_one_site_tells_the_other():
    known = found([TOTAL, SITE_A, [0, 0, 1, 0]], [100, 70, 25])
    assert known == [Narrow(2, 25, 25), Narrow(3, 5, 5)]


def test_margins_that_leave_enough_open_tell_nothing():
    assert found([TOTAL, SITE_A, MET], [100, 60, 50]) == []


def test_margins_bound_a_cell_from_both_sides():
    """Of 100, 95 are at A and 94 met: at A at least 89 met and at B at most five did not."""
    assert found([TOTAL, SITE_A, MET], [100, 95, 94]) == [
        Narrow(0, 89, 94), Narrow(1, 1, 6), Narrow(2, 0, 5), Narrow(3, 0, 5),
    ]  # fmt: skip


def test_none_of_a_group_rules_its_types_out():
    assert found([TOTAL, [0, 0, 1, 1]], [100, 0]) == [Narrow(2, 0, 0), Narrow(3, 0, 0)]


def test_two_reports_tell_who_came_between_them():
    """Types: there a month ago and now; new. 41 and 45 people: four are new."""
    rule = csr_matrix(np.array([[1.0, 0], [1, 1]]))
    both = learned(rule, np.array([41.0, 45]), np.array([41.0, 4]), np.eye(2, dtype=bool), 10)
    assert both == [Narrow(0, 41, 41), Narrow(1, 4, 4)]


def test_three_reports_tell_what_no_two_of_them_do():
    """Who met by each of three days, 20 at first; 33 in a or b, 31 in b or c, 28 in c or a."""
    rule = csr_matrix(np.array([[1.0, 1, 0], [0, 1, 1], [1, 0, 1]]))
    alone = Published.of(rule[:2], np.array([33.0, 31]))
    assert narrowed(alone, np.eye(3, dtype=bool), 11) == []
    known = learned(rule, np.array([33.0, 31, 28]), np.array([15.0, 18, 13]), np.eye(3, dtype=bool), 10)
    assert [(one.low, one.high) for one in known] == [(15, 15), (18, 18), (13, 13)]


def test_rounded_numbers_leave_more_open():
    rows = [TOTAL, SITE_A, [0, 0, 1, 0]]
    assert found(rows, [100, 70, 25], within=2.0, least=8) == [Narrow(2, 23, 27)]  # the other: -1 to 11
    assert found([[1, 1, 0, 0], [1, 0, 0, 0]], [60, 60], within=2.0, least=8) == [
        Narrow(0, 58, 62), Narrow(1, 0, 4),
    ]  # fmt: skip


def test_whole_persons_tell_more_than_parts_of_them():
    """Only 1, 1 and 1 make 6 + 10 + 15; with parts of persons there are many ways."""
    known = Published.of(csr_matrix(np.array([[6.0, 10, 15]])), np.array([31.0]))
    sets = np.eye(3, dtype=bool)
    assert narrowed(known, sets, 2) == []
    assert narrowed(known, sets, 2, whole=True) == [Narrow(0, 1, 1), Narrow(1, 1, 1), Narrow(2, 1, 1)]


def test_what_contradicts_itself_or_the_truth_is_refused():
    with pytest.raises(RuntimeError, match="contradict"):
        found([TOTAL, SITE_A], [10, 20])
    with pytest.raises(RuntimeError, match="not true"):
        learned(csr_matrix(np.ones((1, 2))), np.array([5.0]), np.array([2.0, 2]), np.eye(2, dtype=bool), 10)


def test_no_number_at_all_tells_nothing():
    assert learned(csr_matrix((0, 2)), np.zeros(0), np.ones(2), np.eye(2, dtype=bool), 10) == []


def every_table(rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """All whole numbers of persons, each at most the largest number, that agree with everything."""
    most = int(numbers.max())
    tables = np.array(list(itertools.product(range(most + 1), repeat=rows.shape[1])))
    return tables[(tables @ rows.T == numbers).all(axis=1)]


@pytest.mark.parametrize("seed", range(12))
def test_it_finds_what_a_search_of_all_tables_and_a_program_for_each_set_find(seed: int):
    rng = np.random.default_rng(seed)
    rows = np.vstack([np.ones(5), rng.random((3, 5)) < 0.5]).astype(float)
    persons = rng.integers(0, 3, size=5).astype(float)
    sets = np.unique(rng.random((12, 5)) < 0.5, axis=0)
    numbers = rows @ persons
    tables = every_table(rows, numbers) @ sets.T
    known = Published.of(csr_matrix(rows), numbers)
    for least in (1, 3):
        whole = {one.at: (one.low, one.high) for one in narrowed(known, sets, least, whole=True)}
        assert whole == {
            i: (float(n.min()), float(n.max())) for i, n in enumerate(tables.T) if np.ptp(n) < least
        }  # fmt: skip
        ends = np.array([
            [sign * linprog(sign * one, A_eq=rows, b_eq=numbers, bounds=(0, None)).fun for sign in (1, -1)]
            for one in sets.astype(float)
        ])  # fmt: skip
        narrow = {one.at for one in narrowed(known, sets, least)}
        assert narrow == set(np.flatnonzero(ends[:, 1] - ends[:, 0] < least - 1e-6).tolist())
