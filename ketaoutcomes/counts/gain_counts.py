"""Sudden gains to counts: of headline courses that are due, the session before their first sudden gain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.counts.counting import instruments_of
from ketaoutcomes.counts.curve_counts import moved
from ketaoutcomes.counts.tallies import KEYS, Counted
from ketaoutcomes.definitions import MISSING
from ketaoutcomes.definitions.lasting import SuddenGain, lasting
from ketaoutcomes.estimates.gains import GAIN, NONE, sudden_gains
from ketaoutcomes.per_patient.patients import Grouping, Patients, grouping
from ketaoutcomes.per_patient.windows import pick, windows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ketaoutcomes.per_patient.windows import Windows

Array = Any
# Clock "sudden_gain:RULE". `too_few`: no step with enough scores around it.
STATES = ("", "gain", "none", "too_few", "not_due", "not_scheduled", "not_visit_based")


def rules_counted(plan: Any, criteria: Sequence[str]) -> tuple[str, ...]:
    """The canonical text of every rule that a Tally of these criteria counts, for its header."""
    rules = lasting(tuple(plan.folders))
    names = dict.fromkeys(plan.definitions.criterion(name).instrument for name in criteria)
    return tuple(sorted(rule.as_text() for name in names for rule in rules.gains_of(name)))


def count(p: Patients, by: Sequence[str], criteria: Sequence[str]) -> dict[str, list[Counted]]:
    """The rows that one block adds to a Tally, on each instrument of the criteria that has a rule.

    By protocol only: a session is a session of a protocol.
    """
    tables: dict[str, list[Counted]] = {name: [] for name in KEYS}
    if p.setting.as_of == "none" or "protocol" not in by:
        return tables
    groups, rules = grouping(p, by), lasting(tuple(p.plan.folders))
    for instrument in instruments_of(p, criteria):
        for rule in rules.gains_of(instrument):
            tables["transitions"] += _counted(p, groups, rule)
    return tables


def _counted(p: Patients, groups: Grouping, rule: SuddenGain) -> Iterator[Counted]:
    rows = p.headline(rule.instrument)
    keys = {"instrument": rule.instrument, "clock": f"sudden_gain:{rule.name}"}
    for w in windows(p.block, rows, "session"):
        visits = len(w.labels)
        course, due = w.course[::visits], w.due[::visits]
        steps = gain_steps(p, rule, w)
        state = np.where((steps == NONE).any(axis=1), 2, 3)
        gained = (steps == GAIN).any(axis=1)
        state = np.where(gained, 1, state)
        state = np.where(w.scheduled[0] if len(w.scheduled) else True, state, 5)
        state = np.where(due, state, 4)
        # Step k leads from session k to the next; the baseline stands as session 0.
        day = np.where(state == 1, (steps == GAIN).argmax(axis=1), 0)
        zero = np.zeros(len(course), dtype=np.int64)
        yield moved(p, groups, course, keys, day, zero, state, STATES, longest=visits)
    without = rows[p.block.rule.numbers("visits", 0)[p.courses.protocol[rows]] == 0]
    zero = np.zeros(len(without), dtype=np.int64)
    if len(without):
        yield moved(p, groups, without, keys, zero, zero, zero + 6, STATES)


def gain_steps(p: Patients, rule: SuddenGain, w: Windows) -> NDArray[np.int8]:
    """Whether each step between the sessions of each course, from its baseline on, is a sudden gain."""
    visits, definition = len(w.labels), p.plan.definitions.instrument(rule.instrument)
    j = p.judged(rule.instrument, "score")
    judged = pick(p.block, w, j.moments, j.patient, j.time).judged.reshape(-1, visits)
    value = np.append(j.value, MISSING)[judged].astype(np.float64)  # position -1, no score, is the last
    base = p.baselines(rule.instrument).ticks[w.course[::visits]].astype(np.float64)
    scores = np.concatenate([base[:, None], value], axis=1)
    return sudden_gains(
        np.where(scores == MISSING, np.nan, scores), float(rule.points * definition.ticks),
        float(rule.percent), float(rule.alpha), definition.worse,
    )  # fmt: skip
