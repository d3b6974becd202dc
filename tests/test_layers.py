"""Three partitions of the same people: what they tell together, by hand and beside linear programming."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from ketaoutcomes.disclosure.layers import Layer, beside_moves, tells_few
from ketaoutcomes.disclosure.moves import Family, tell
from ketaoutcomes.disclosure.transport import least_known, possible, slack, small, tells

LIMIT = 10


def layer(kind: str, point: str, numbers: dict[str, int]) -> Layer:
    """A layer of cells named by their parts."""
    parts = tuple(tuple((kind, point, state) for state in name.split("+")) for name in numbers)
    return Layer(kind, point, tuple(numbers), parts, np.array(list(numbers.values())))


def test_three_partitions_tell_what_no_two_of_them_do() -> None:
    # Nobody is unjudged or in a next course on day 60, so nobody was in a next course on day 30: 15 of the 23
    # that cannot be judged had not responded by then, and 8 had.
    layers = [
        layer("occupation", "30", {
            "responded_before+responded_after+responded_unjudged": 60, "adequate+dipped": 40,
            "unjudged+next_course": 15,
        }),
        layer("occupation", "60", {
            "responded_before+responded_after+responded_unjudged": 90, "adequate+dipped": 25,
        }),
        layer("overdue", "mature", {"not_overdue": 92, "unjudged": 23}),
    ]  # fmt: skip
    for one in layers:
        others = [other for other in layers if other is not one]
        assert not any(tells_few(one, [other], LIMIT, 60) for other in others)
        assert tells_few(one, others, LIMIT, 60)


def test_moves_of_other_people_than_the_layers_divide_are_not_told() -> None:
    left = np.zeros((1, 366), dtype=np.int64)
    left[0, 20] = 40
    cells = {"responded_after+responded_unjudged": 40, "titrating+lapsed": 60}
    for started, days in ((100, [20]), (97, None)):
        family = Family("phq9", "any", "first_dose", ("titrating",), ("responded_after",), left, started)
        known = beside_moves(family, [layer("occupation", "60", cells)], [0, 60, 61, 180], 60, 180, LIMIT)
        assert tell(family, known, None, LIMIT).days.get("responded_after") == days


def test_nobody_is_told_of_where_all_of_some_cells_are_told_to_be_elsewhere() -> None:
    touch = np.array([[True, True], [True, True], [False, True]])
    assert possible(touch, np.array([20, 12, 30]), np.array([32, 30])).tolist() == [
        [True, False], [True, False], [False, True],
    ]  # fmt: skip


def tables(seed: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Which cells of three partitions have people in common, a random table of people, and its margins."""
    rng = np.random.default_rng(seed)
    touch = rng.random(rng.integers(2, 5, size=3)) < 0.6
    people = np.where(touch, rng.choice([0, 4, 15, 30], size=touch.shape), 0)
    return touch, people, [people.sum(axis=axes) for axes in ((1, 2), (0, 2), (0, 1))]


def most(touch: np.ndarray, margins: list[np.ndarray]) -> np.ndarray:
    """The largest number of people in each place that agrees with the margins."""
    at = np.argwhere(touch)
    rows = [at[:, axis] == cell for axis, n in enumerate(margins) for cell in range(len(n))]
    rule, told = np.array(rows, dtype=float), np.concatenate(margins)
    found = np.zeros(touch.shape)
    for place, wanted in zip(at, np.eye(len(at)), strict=True):
        found[tuple(place)] = -linprog(-wanted, A_eq=rule, b_eq=told, bounds=(0, None)).fun
    return found


@pytest.mark.parametrize("seed", range(60))
def test_what_three_partitions_tell_is_so(seed: int) -> None:
    touch, people, margins = tables(seed)
    for axis, other in ((0, 1), (0, 2), (1, 2)):
        pair = touch.any(axis=3 - axis - other)
        own = margins[axis][:, None] * margins[other] > 0
        shared = people.sum(axis=3 - axis - other)
        assert not (shared > 0)[~possible(pair & own, margins[axis], margins[other])].any()
        assert (slack(pair, margins[axis], margins[other]) >= 0).all()
        touch = touch & np.expand_dims(possible(pair, margins[axis], margins[other]), 3 - axis - other)
    places, least, twice = least_known(touch, *margins, np.inf)
    more = places @ margins[2] - least
    assert (more >= 0).all()
    few = tells(more, (places & twice).any(axis=1), LIMIT)
    if few.any():
        bounds = most(touch, margins)
        assert ((bounds > 1e-6) & (bounds < LIMIT + 1e-6)).any()


def test_random_tables_tell_few_and_do_not() -> None:
    told = []
    for seed in range(60):
        touch, _, margins = tables(seed)
        places, least, _ = least_known(touch, *margins, np.inf)
        told.append(bool(small(places @ margins[2] - least, LIMIT).any()))
    assert 5 < sum(told) < 55
