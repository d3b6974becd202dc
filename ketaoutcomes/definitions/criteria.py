"""The rules a criterion may name, and the one place where a criterion is judged.

Everything is compared in whole ticks (a fifth rule earns a line in RULES, never an expression in a file).
The functions read as if high scores were worse; where low is worse, `met` turns the signs first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ketaoutcomes.definitions.model import MISSING, Criterion, Variable

Ticks = NDArray[np.int64]
Yes = NDArray[np.bool_]
Unit = Literal["none", "percent", "change", "score"]


@dataclass(frozen=True)
class Case:
    """Scores to judge, high being worse: baseline, value, and the rule's numbers as whole fractions.

    `point` is the size of one point in the units of `baseline` and `value`.
    """

    baseline: Ticks
    value: Ticks
    point: int
    first: tuple[int, int]
    second: tuple[int, int]

    def fell_percent(self, percent: tuple[int, int]) -> Yes:
        """The score fell by at least so many percent of the baseline: exactly half counts as half."""
        above, below = percent
        yes: Yes = (self.baseline - self.value) * (100 * below) >= np.abs(self.baseline) * above
        return yes

    def fell_points(self, points: tuple[int, int]) -> Yes:
        """The score fell by at least so many points."""
        above, below = points
        yes: Yes = (self.baseline - self.value) * below >= above * self.point
        return yes

    def is_below(self, scores: Ticks, points: tuple[int, int]) -> Yes:
        """Strictly below so many points."""
        above, below = points
        yes: Yes = scores * below < above * self.point
        return yes

    def is_at_most(self, points: tuple[int, int]) -> Yes:
        """So many points or fewer."""
        above, below = points
        yes: Yes = self.value * below <= above * self.point
        return yes


@dataclass(frozen=True)
class Rule:
    """A way to judge: what it means, and what its numbers are (of baseline, a distance, a place)."""

    meaning: str
    judge: Callable[[Case], Yes]
    value: Unit = "none"
    limit: Unit = "none"
    uses_baseline: bool = True
    variable: Variable = "score"

    @property
    def of_baseline(self) -> bool:
        """Whether the rule measures in percent of the baseline, and so cannot judge a baseline of zero."""
        return self.value == "percent"


def _fall_between_percent(case: Case) -> Yes:
    return case.fell_percent(case.first) & ~case.fell_percent(case.second)


def _rise_points(case: Case) -> Yes:
    above, below = case.first
    yes: Yes = (case.value - case.baseline) * below >= above * case.point
    return yes


def _crosses_below(case: Case) -> Yes:
    return ~case.is_below(case.baseline, case.first) & case.is_below(case.value, case.first)


def _fall_points_and_crosses_below(case: Case) -> Yes:
    crossed = ~case.is_below(case.baseline, case.second) & case.is_below(case.value, case.second)
    return crossed & case.fell_points(case.first)


def _lost_diagnosis(case: Case) -> Yes:
    yes: Yes = (case.baseline == 1) & (case.value == 0)
    return yes


RULES: dict[str, Rule] = {
    "fall_percent": Rule(
        "better by at least `value` percent of baseline", lambda c: c.fell_percent(c.first), "percent"
    ),
    "fall_between_percent": Rule(
        "better by `value` to less than `limit` percent", _fall_between_percent, "percent", "percent"
    ),
    "fall_percent_and_at_most": Rule(
        "better by at least `value` percent, and at or better than `limit` points",
        lambda c: c.fell_percent(c.first) & c.is_at_most(c.second), "percent", "score",
    ),
    "fall_points": Rule("better by at least `value` points", lambda c: c.fell_points(c.first), "change"),
    "fall_points_and_at_most": Rule(
        "better by at least `value` points, and at or better than `limit` points",
        lambda c: c.fell_points(c.first) & c.is_at_most(c.second), "change", "score",
    ),
    "rise_points": Rule("worse by at least `value` points", _rise_points, "change"),
    "below": Rule(
        "strictly better than `value` points", lambda c: c.is_below(c.value, c.first), "score",
        uses_baseline=False,
    ),
    "at_most": Rule(
        "at or better than `value` points", lambda c: c.is_at_most(c.first), "score", uses_baseline=False
    ),
    "crosses_below": Rule(
        "baseline at or worse than `value` points, score strictly better", _crosses_below, "score"
    ),
    "fall_points_and_crosses_below": Rule(
        "better by at least `value` points, from at or worse than `limit` points to strictly better",
        _fall_points_and_crosses_below, "change", "score",
    ),
    "lost_diagnosis": Rule(
        "the provisional diagnosis was met at baseline and no longer is", _lost_diagnosis,
        variable="diagnosis",
    ),
}  # fmt: skip


def met(
    criterion: Criterion, baseline: NDArray[np.int32], value: NDArray[np.int32], ticks_per_point: int
) -> NDArray[np.int8]:
    """Judge scores against a criterion: 1 met, 0 not met, -1 cannot be judged.

    `baseline` and `value` are in ticks (MISSING: no score), or 0 and 1 where the criterion is about a
    diagnosis (below zero: unknown). A criterion that does not use the baseline ignores it. A percentage of a
    baseline of zero cannot be judged. Compared in whole numbers, so nothing is rounded.

    >>> import numpy as np
    >>> from ketaoutcomes.definitions import load
    >>> half = load().criterion("phq9_response50")
    >>> met(half, np.array([20, 27, 27, 0]) * 56, np.array([10, 13, 14, 0]) * 56, 56).tolist()
    [1, 1, 0, -1]
    """
    rule = RULES[criterion.rule]
    before, after = np.asarray(baseline, np.int64), np.asarray(value, np.int64)
    known = _known(after, rule)
    if rule.uses_baseline:
        known = known & _known(before, rule)
    if rule.of_baseline:
        known = known & (before != 0)
    first = (criterion.value.numerator, criterion.value.denominator)
    second = (
        (criterion.limit.numerator, criterion.limit.denominator) if criterion.limit is not None else (0, 1)
    )
    if criterion.worse == "lower":
        before, after = -before, -after
        first, second = _turned(first, rule.value), _turned(second, rule.limit)
    yes = rule.judge(Case(before, after, ticks_per_point, first, second))
    return np.where(known, yes, -1).astype(np.int8)


def _known(scores: Ticks, rule: Rule) -> Yes:
    yes: Yes = scores >= 0 if rule.variable == "diagnosis" else scores != MISSING
    return yes


def _turned(number: tuple[int, int], unit: Unit) -> tuple[int, int]:
    """A rule's number after the signs were turned: a place on the scale turns, a distance does not."""
    return (-number[0], number[1]) if unit == "score" else number
