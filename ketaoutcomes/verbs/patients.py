"""A study's tables patient by patient: row-level, do not share. `Study` has them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ketaoutcomes.per_patient.patients import BLOCK
from ketaoutcomes.plan import PlanError
from ketaoutcomes.progress import told
from ketaoutcomes.rows import row_tables, worklist

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.per_patient.patients import Patients, Setting
    from ketaoutcomes.plan import Plan

AXES = ("session", "week", "end", "month")
Names = str | Sequence[str] | None


class PatientVerbs:
    """What these verbs need of a study, and the verbs."""

    plan: Plan
    _setting: Setting
    _axes: Callable[[Names], tuple[str, ...]]
    _kinds: Callable[[Names], tuple[str, ...]]
    _criteria: Callable[[Names], tuple[str, ...]]

    @cached_property
    def _blocks(self) -> tuple[Patients, ...]:
        """The whole cohort's blocks, kept: only the row-level tables need them all at once."""
        return tuple(self._setting.blocks())

    def _each(self, *, keep: bool = True) -> Iterator[Patients]:
        """Block after block; where they take long, a line says how many patients are done."""
        people = len(self._setting.cohort.patients)
        blocks = self._blocks if keep or "_blocks" in self.__dict__ else self._setting.blocks()
        return told(blocks, lambda done: f"counting: {min(done * BLOCK, people):,} of {people:,} patients")

    @cached_property
    def courses(self) -> pd.DataFrame:
        """One row per patient and course; columns as declared for `courses`.

        >>> columns = ["patient", "course", "protocol", "sessions", "last_day"]
        >>> study.courses[columns].head(2).to_numpy().tolist()
        [['P0001', 1, 'esketamine', 1, 0], ['P0002', 1, 'iv6', 3, 7]]
        """
        return row_tables.stacked("courses", [row_tables.courses(p) for p in self._each()])

    @cached_property
    def baselines(self) -> pd.DataFrame:
        """One row per patient, course and instrument; columns as declared for `baselines`.

        >>> study.baselines.groupby("reason").size().to_dict()
        {'below_gate': 666, 'eligible': 1682, 'no_baseline': 166}
        """
        parts = [row_tables.baselines(p, name) for p in self._each() for name in self.plan.instruments]
        return row_tables.stacked("baselines", parts).sort_values(
            ["patient", "course", "instrument"], kind="stable", ignore_index=True
        )

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """One row per score after the first dose of a course; columns as declared for `outcomes`.

        >>> one = study.outcomes.query("patient == 'P0002' and instrument == 'phq9'")
        >>> print(one[["day", "session", "baseline", "score", "change"]].to_string(index=False))
         day  session  baseline  score  change
           7        2      17.0    2.0   -15.0
        """
        parts = [row_tables.outcomes(p, name) for p in self._each() for name in self.plan.instruments]
        return row_tables.stacked("outcomes", parts).sort_values(
            ["patient", "course", "instrument", "day", "timing"], kind="stable", ignore_index=True
        )

    def points(self, *, at: Names = AXES, criteria: Names = None, kind: Names = "current") -> pd.DataFrame:
        """The state of every eligible headline course at every point: who is missing, and why.

        One row per course, criterion, kind, axis and point; columns as declared for `points`. The states
        are listed there; `rates` are counts of exactly these rows.

        >>> table = study.points(at="end", criteria="phq9_response50")
        >>> for state, courses in table.groupby("state").size().items():
        ...     print(f"{courses:4} {state}")
          40 carried_met
         136 carried_not_met
         354 met
          38 missing
         122 not_due
         362 not_met
        """
        axes, names, kinds = self._axes(at), self._criteria(criteria), self._kinds(kind)
        parts = [row_tables.points(p, axis, names, kinds) for p in self._each() for axis in axes]
        return row_tables.stacked("points", parts)

    def worklist(self) -> pd.DataFrame:
        """Whose course to look at, and why: internal, row by row, and not an alert.

        One row per patient's latest course and reason (`worklist.REASONS`); columns as `worklist.worklist`
        has them. Shows what is on record by the as-of day, gravest reason first. Raises `PlanError` where the
        last day on record is not known.

        >>> study.worklist().groupby("reason").size().to_dict()
        {'lapsed': 39, 'not_improved': 198, 'safety_item': 431, 'unscored': 308, 'worse': 7}
        """
        if self._setting.as_of in ("none", "complete"):
            raise PlanError(lines=["a worklist needs the last day on record: give dates, or people.cut_day"])
        return worklist.in_order([worklist.worklist(p) for p in self._each()])
