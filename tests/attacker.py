"""An attacker: which numbers of persons agree with everything published, and how closely they tell a few.

What is published is linear in the number of persons of each type (`attacked_tables`). Types that no
published number tells apart are one unknown; a set that holds some types of such a class and not others
holds between nobody and everybody of it. So for every set there is a smallest and a largest number of
persons that agrees with everything published, and the attacker has learned something where these are close
together.

Nearly every set is cleared without a linear program of its own: two tables that agree with everything
published and differ in it by enough prove that it is open, wherever they were found. Tables are found by
asking for many sets at once; only the sets on which all tables so far nearly agree are asked for one by
one. A set is reported only where linear programming proved both ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_matrix

TOLERANCE = 1e-6
ROUNDS = 12  # of questions asked together, before what is left is asked one by one


class Narrow(NamedTuple):
    """A set of which too much is known: its place among the sets asked, and its bounds."""

    at: int
    low: float
    high: float


@dataclass
class Published:
    """All that is known, over classes of types that nothing published tells apart.

    `table` has a row per published number and a column per class, `low` and `high` what the number may be;
    `class_of` says for every type its class, -1 where nobody can be of it. `tables` are numbers of persons by
    class that agree with it all.
    """

    table: csr_matrix
    low: np.ndarray
    high: np.ndarray
    class_of: np.ndarray
    tables: list[np.ndarray] = field(default_factory=list)

    @classmethod
    def of(cls, equations: csr_matrix, numbers: np.ndarray, within: float = 0.0) -> Published:
        """From one row over the types, and one number, for each number published.

        `within` is how far a number other than 0 may be from the truth, as rounding makes it.
        """
        dense = equations.toarray()
        possible = ~(dense[numbers == 0] > 0).any(axis=0)
        known = np.unique(np.column_stack([dense, numbers])[numbers != 0], axis=0)
        rows = np.ascontiguousarray(known[:, :-1][:, possible].T.astype(np.int16))
        classes, back = np.unique(rows, axis=0, return_inverse=True)
        class_of = np.full(len(possible), -1)
        class_of[possible] = back.ravel()
        told = known[:, -1]
        return cls(csr_matrix(classes.T.astype(np.float64)), told - within, told + within, class_of)

    @property
    def classes(self) -> int:
        return int(self.table.shape[1])

    def add(self, persons: np.ndarray) -> None:
        """A table that agrees with everything published; anything else is refused."""
        told = self.table @ persons
        allowed = TOLERANCE * (1 + np.abs(told).max(initial=0))
        if (
            persons.min(initial=0) < -allowed
            or (told < self.low - allowed).any()
            or (told > self.high + allowed).any()
        ):
            raise RuntimeError("a table does not agree with what is published")
        self.tables.append(persons)

    def by_class(self, persons: np.ndarray) -> np.ndarray:
        """The number of persons of each class, from that of each type."""
        if persons[self.class_of < 0].any():
            raise RuntimeError("somebody is of a type that what is published rules out")
        own = self.class_of >= 0
        return np.bincount(self.class_of[own], weights=persons[own], minlength=self.classes)

    def ends(self, sets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Per set, the classes that lie wholly in it, and those of which some may."""
        own = self.class_of >= 0
        shape = (int(own.sum()), self.classes)
        member = csr_matrix((np.ones(shape[0]), (np.arange(shape[0]), self.class_of[own])), shape=shape)
        held = sets[:, own].astype(np.float64) @ member
        size = np.bincount(self.class_of[own], minlength=self.classes)
        return held == size, held > 0

    def most(self, wanted: np.ndarray, *, whole: bool = False) -> float:
        """The largest value of a weighted number of persons; the table that has it is kept."""
        if whole:
            rule = LinearConstraint(self.table, self.low, self.high)
            found = milp(
                -wanted, constraints=rule, bounds=Bounds(0, np.inf), integrality=np.ones(len(wanted))
            )
        elif (self.low == self.high).all():
            found = linprog(-wanted, A_eq=self.table, b_eq=self.low, bounds=(0, None), method="highs-ds")
        else:
            rule = csr_matrix(np.vstack([self.table.toarray(), -self.table.toarray()]))
            limits = np.concatenate([self.high, -self.low])
            found = linprog(-wanted, A_ub=rule, b_ub=limits, bounds=(0, None), method="highs-ds")
        if found.status != 0:
            raise RuntimeError(f"the published numbers contradict each other: {found.message}")
        self.add(np.round(found.x) if whole else found.x)
        return -float(found.fun)


def narrowed(known: Published, sets: np.ndarray, least: float, *, whole: bool = False) -> list[Narrow]:
    """Sets whose smallest and largest number of persons differ by less than `least`.

    With `whole` only tables of whole persons count; that asks more of them, as fewer tables are possible.
    """
    if not known.classes:
        return [Narrow(at, 0.0, 0.0) for at in range(len(sets))]
    inside, touched = known.ends(sets)
    # Sets that nothing published tells apart have one answer.
    first, answer = np.unique(np.hstack([inside, touched]), axis=0, return_index=True, return_inverse=True)[
        1:
    ]
    inside, touched = inside[first].astype(np.float64), touched[first].astype(np.float64)
    low, high = np.full(len(first), np.inf), np.full(len(first), -np.inf)
    if not known.tables:
        known.most(np.zeros(known.classes), whole=whole)
    # Of a class that no published number counts there may be any number.
    high[touched @ (np.diff(known.table.tocsc().indptr) == 0) > 0] = np.inf
    seen = 0

    def look() -> np.ndarray:
        nonlocal seen  # of the tables; the sets on which all of them nearly agree are left
        for one in known.tables[seen:]:
            if whole and (np.abs(one - np.round(one)) > TOLERANCE).any():
                continue
            np.minimum(low, inside @ one, out=low)
            np.maximum(high, touched @ one, out=high)
        seen = len(known.tables)
        return np.flatnonzero(~(high - low >= least - TOLERANCE))

    rng, left = np.random.default_rng(0), look()
    for _ in range(ROUNDS):
        if len(left) < 4:
            break
        for part in (touched, -inside):
            some = left[rng.random(len(left)) < 0.5]
            known.most(np.sign(part[some].sum(axis=0)) if len(some) else part[left[0]])
        left = look()
    proven = np.zeros((2, len(first)), dtype=bool)
    while len(left):
        at = left[0]
        for end, wanted in enumerate((touched[at], -inside[at])):
            if at in left and not proven[end, at]:
                known.most(wanted, whole=whole)
                proven[end, at] = True
                left = look()
        left = left[~proven[:, left].all(axis=0)]
    closed = proven.all(axis=0) & ~(high - low >= least - TOLERANCE)
    return [
        Narrow(at, float(low[one]), float(high[one])) for at, one in enumerate(answer.ravel()) if closed[one]
    ]


def narrowest(equations: csr_matrix, numbers: np.ndarray, sets: np.ndarray) -> list[tuple[float, float]]:
    """For each set, the smallest and the largest number of persons that agrees with everything published."""
    known = Published.of(equations, numbers)
    counted = np.diff(known.table.tocsc().indptr) > 0
    return [
        (-known.most(-least.astype(float)), known.most(most.astype(float)) if counted[most].all() else np.inf)
        for least, most in zip(*known.ends(sets), strict=True)
    ]


def learned(
    equations: csr_matrix,
    numbers: np.ndarray,
    persons: np.ndarray,
    sets: np.ndarray,
    largest_small: int,
    within: float = 0.0,
) -> list[Narrow]:
    """Sets of which the published numbers tell more than the rule allows; `persons` is how it really was.

    As 1 to `largest_small` persons are never to be told apart from one another, nor from nobody, the bounds
    of a set must be further apart than that.
    """
    if not len(numbers):
        return []
    if np.abs(equations @ persons - numbers).max() > within + TOLERANCE:
        raise RuntimeError("what is shown is not true")
    known = Published.of(equations, numbers, within)
    known.add(known.by_class(persons))
    return narrowed(known, sets, largest_small + 1)
