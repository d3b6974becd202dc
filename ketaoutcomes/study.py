"""Study: a cohort under a plan as of a day. Every verb is one expression over the rooms below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes import results
from ketaoutcomes.cohort import Cohort, labelled
from ketaoutcomes.counting import Request, count, judge_all, point_labels, row_flow
from ketaoutcomes.courses import NEVER, REASONS
from ketaoutcomes.definitions import MISSING, DefinitionError
from ketaoutcomes.outcomes import KINDS, STATES
from ketaoutcomes.patients import Patients, Setting, ordinal, settle
from ketaoutcomes.plan import Plan, PlanError
from ketaoutcomes.results import as_tuple
from ketaoutcomes.tables import empty
from ketaoutcomes.tallies import KEYS, Header, Tally, summed
from ketaoutcomes.windows import windows

if TYPE_CHECKING:
    from pathlib import Path

AXES = ("session", "week", "end", "month")
Names = str | Sequence[str] | None


class Study:
    """A cohort judged by a plan as of a day.

    `as_of` is a date ("2026-10-31"), a month ("2026-10": its last day) or None: the last date on record.
    Records after it do not exist. Data in day offsets take `people.cut_day`, or `complete = true` in the
    plan; without either nobody can be called due, and only `observed` rates are given.

    Raises `PlanError` with the line to write where the plan does not fit the data.

    >>> import ketaoutcomes as ko
    >>> study = ko.Study(ko.load_sample())
    >>> study.rates(at="end", criteria="phq9_response50", analysis="nri")[["met", "n"]].shape
    (1, 2)
    """

    def __init__(self, cohort: Cohort, as_of: str | None = None, *, plan: Plan | None = None) -> None:
        self.cohort = cohort
        self.plan = plan or cohort.plan
        self._setting: Setting = settle(cohort, self.plan, None if as_of is None else str(as_of))

    @property
    def as_of(self) -> str:
        """The last day whose records count: an ISO date, or complete, cut_day or none for undated data."""
        return self._setting.as_of

    def __repr__(self) -> str:
        return f"Study of {self.cohort!r}, as of {self.as_of}, plan {self.plan.hash[:12]}"

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(repr(self))}</pre>"

    # The tables, patient by patient.

    @cached_property
    def _blocks(self) -> tuple[Patients, ...]:
        """The whole cohort's blocks, kept: only the row-level tables need them all at once."""
        return tuple(self._setting.blocks())

    @cached_property
    def courses(self) -> pd.DataFrame:
        """One row per patient and course; columns as declared for `courses`."""
        return pd.concat([_courses_table(p) for p in self._blocks], ignore_index=True)

    @cached_property
    def baselines(self) -> pd.DataFrame:
        """One row per patient, course and instrument; columns as declared for `baselines`."""
        parts = [_baselines_table(p, name) for p in self._blocks for name in self.plan.instruments]
        table = pd.concat(parts, ignore_index=True) if parts else empty("baselines")
        return table.sort_values(["patient", "course", "instrument"], kind="stable", ignore_index=True)

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """One row per score after the first dose of a course; columns as declared for `outcomes`."""
        parts = [_outcomes_table(p, name) for p in self._blocks for name in self.plan.instruments]
        table = pd.concat(parts, ignore_index=True) if parts else empty("outcomes")
        return table.sort_values(["patient", "course", "instrument", "day", "timing"], kind="stable", ignore_index=True)

    def points(self, *, at: Names = AXES, criteria: Names = None, kind: Names = "current") -> pd.DataFrame:
        """The state of every eligible headline course at every point: who is missing, and why.

        One row per course, criterion, kind, axis and point; columns as declared for `points`. The states
        are listed there; `rates` are counts of exactly these rows.
        """
        axes, names, kinds = self._axes(at), self._criteria(criteria), self._kinds(kind)
        parts = [_points_table(p, axis, names, kinds) for p in self._blocks for axis in axes]
        return pd.concat(parts, ignore_index=True) if parts else empty("points")

    # The counts, and what is computed from them.

    def tally(
        self, *, by: Names = None, at: Names = AXES, criteria: Names = None, kind: Names = KINDS, tables: Sequence[str] = tuple(KEYS)
    ) -> Tally:
        """Counts of this study by one grouping, from which every published number is computed.

        `by` names people columns, or the course's own route, unit, protocol, site and start_quarter. Where
        the axes include sessions, protocol leads the grouping, because a session is a session of a protocol.
        Tallies of other patients under the same plan, as-of day and grouping add to this one.
        """
        axes = self._axes(at)
        names = self._criteria(criteria)
        grouping = as_tuple(by or ())
        if "session" in axes and "protocol" not in grouping:
            grouping = ("protocol", *grouping)
        request = Request(grouping, axes, names, self._kinds(kind), tuple(tables))
        parts: dict[str, list[pd.DataFrame]] = {name: [] for name in KEYS}
        for p in self._setting.blocks() if "_blocks" not in self.__dict__ else self._blocks:
            for name, found in count(p, request).items():
                parts[name] += found
        if "flow" in tables:
            parts["flow"].append(row_flow(self.cohort.ledger, grouping))
        plan = self._plan_with(names)
        header = Header(
            plan=plan.canonical(), plan_hash=plan.hash, as_of=self.as_of, by=grouping, axes=axes, criteria=names,
            kinds=request.kinds, courses=self.plan.population.courses, dates=self.cohort.dates,
            sources=tuple(sorted(source.sha256 for source in self.cohort.sources)),
        )  # fmt: skip
        return Tally(header, **{name: summed(name, parts[name], grouping) for name in KEYS})

    def rates(
        self,
        *,
        at: str = "session",
        by: Names = None,
        criteria: Names = None,
        kind: Names = "current",
        analysis: Names = ("nri", "observed"),
        interval: str | None = None,
        level: float | None = None,
    ) -> pd.DataFrame:
        """Response, remission and other rates at each session, week, end of induction or month.

        One row per group, criterion, kind, analysis and point; columns as declared for `rates`. `at="session"`
        is always by protocol. `analysis`: nri (missing = not met; the headline), observed (of those scored),
        locf (legacy). `kind`: current, ever or sustained. Intervals are Wilson 95 % unless the plan or
        `interval` (exact, jeffreys) and `level` say otherwise.
        """
        counted = self.tally(by=by, at=at, criteria=criteria, kind=kind or "current", tables=("points",))
        return results.rates(
            counted, at=at, kind=as_tuple(kind or "current"), analysis=as_tuple(analysis or results.ANALYSES),
            interval_method=interval, level=level,
        )  # fmt: skip

    def flow(self, *, by: Names = None) -> pd.DataFrame:
        """Every input row, patient and course accounted for, with reasons; within a step they add up to all."""
        return results.flow(self.tally(by=by, at="end", tables=("flow",)))

    def retention(self, *, by: Names = None) -> pd.DataFrame:
        """Who reached each session of the protocol, from doses alone, and on which day against the plan."""
        return results.retention(self.tally(by=by, at="session", tables=("flow", "values")))

    def measured(self, *, by: Names = None) -> pd.DataFrame:
        """Who was scored, and how far: a baseline, any later score, an end score."""
        return results.measured(self.tally(by=by, at="end", tables=("flow",)))

    def timing(self, *, by: Names = None) -> pd.DataFrame:
        """Median days from each session's dose to the score judged there."""
        return results.timing(self.tally(by=by, at="session", tables=("values",)))

    def trajectory(self, *, at: Names = "session", by: Names = None, variable: str = "score") -> pd.DataFrame:
        """Mean score or change at each point, of those scored there, with its standard deviation."""
        return results.trajectory(self.tally(by=by, at=at, tables=("values",)), variable)

    # What was asked for, checked.

    def _axes(self, at: Names) -> tuple[str, ...]:
        return _known(as_tuple(at or AXES), AXES, "at")

    def _kinds(self, kind: Names) -> tuple[str, ...]:
        return _known(as_tuple(kind or KINDS), KINDS, "kind")

    def _criteria(self, names: Names) -> tuple[str, ...]:
        """Full criterion names in the plan's order; a bare name means every instrument that has it and was recorded."""
        if names is None:
            wanted: Iterable[str] = self.plan.criteria.primary
        else:
            wanted = [c.name for name in as_tuple(names) for c in self._named(name)]
        return tuple(dict.fromkeys(wanted))

    def _named(self, name: str) -> list[Any]:
        found = self.plan.definitions.criteria_named(name)
        recorded = [c for c in found if c.instrument in self.cohort.score_records]
        if len(found) > 1 and not recorded:
            raise DefinitionError(f"no instrument with a criterion {name!r} was recorded")
        return recorded if len(found) > 1 else list(found)

    def _plan_with(self, names: Sequence[str]) -> Plan:
        """The plan, naming also the criteria asked for beyond it, so that a Tally's header defines them all."""
        known = (*self.plan.criteria.primary, *self.plan.criteria.also)
        extra = tuple(sorted(set(names) - set(known)))
        if not extra:
            return self.plan
        from dataclasses import replace

        return self.plan.replace(criteria=replace(self.plan.criteria, also=(*self.plan.criteria.also, *extra)))


def tally(cohort: Cohort, plan: Plan | None = None, *, as_of: str | None = None, by: Names = None, at: Names = AXES) -> Tally:
    """The Tally of one cohort, or of one part of it: `sum(ko.tally(part, plan, as_of=A) for part in parts)`.

    Give `as_of` when parts are counted apart: each would otherwise end on its own last day.
    """
    return Study(cohort, as_of, plan=plan).tally(by=by, at=at)


def _known(given: tuple[str, ...], allowed: tuple[str, ...], name: str) -> tuple[str, ...]:
    wrong = [value for value in given if value not in allowed]
    if wrong:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {', '.join(map(repr, wrong))}")
    return given


def _courses_table(p: Patients) -> pd.DataFrame:
    c = p.courses
    mature = c.maturity < NEVER
    by_patient = p.setting.cohort.people["site"].to_numpy(dtype=object) if "site" in p.setting.cohort.people else None
    site = labelled(c.site, p.doses.sites)
    if by_patient is not None:
        site = np.where(c.site < 0, by_patient[p.low : p.high][c.patient], site)
    visits = np.array([protocol.visits or 0 for protocol in p.block.rule.protocols] + [0])[c.protocol]
    cut = p.block.cut[c.patient]
    return pd.DataFrame(
        {
            "patient": p.names[c.patient],
            "course": c.number.astype(np.int64),
            "protocol": labelled(c.protocol, [protocol.id for protocol in p.block.rule.protocols]),
            "route": labelled(c.route, p.doses.routes),
            "unit": labelled(c.unit, p.doses.units),
            "site": site,
            "first_day": c.first.astype(np.int64),
            "induction_end": pd.array(c.last_induction.astype(np.int64), dtype="Int64"),
            "last_day": c.last_end.astype(np.int64),
            "sessions": c.stop - c.start,
            "induction_sessions": c.inducted.astype(np.int64),
            "ended": (c.last_end.astype(np.int64) + c.gap < cut) & (c.gap < NEVER),
            "due_day": pd.array(c.first.astype(np.int64) + c.maturity, dtype="Int64"),
        }
    ).assign(
        induction_end=lambda t: t["induction_end"].mask(visits == 0),
        due_day=lambda t: t["due_day"].mask(~mature),
    )


def _points_of(ticks: Any, per_point: int) -> Any:
    return np.where(ticks == MISSING, np.nan, ticks / per_point)


def _baselines_table(p: Patients, instrument: str) -> pd.DataFrame:
    base, c = p.baselines(instrument), p.courses
    reasons = (*REASONS, *(f"entry:{rule.column}" for rule in p.plan.population.entry))
    ticks = p.plan.definitions.instrument(instrument).ticks
    return pd.DataFrame(
        {
            "patient": p.names[c.patient],
            "course": c.number.astype(np.int64),
            "instrument": instrument,
            "baseline": _points_of(base.ticks, ticks),
            "baseline_day": pd.array(base.day.astype(np.int64), dtype="Int64"),
            "eligible": base.reason == 0,
            "reason": np.array(reasons, dtype=object)[base.reason],
            "index": base.index.astype(np.int64),
        }
    ).assign(baseline_day=lambda t: t["baseline_day"].mask(~base.found))


def _outcomes_table(p: Patients, instrument: str) -> pd.DataFrame:
    """Each score, with the course it belongs to: after its first dose, until the next course's first dose."""
    s, c = p.scores(instrument), p.courses
    scored = (s.ticks != MISSING) & ((s.time >> 1) <= p.block.cut[s.patient])
    patient, time, ticks = s.patient[scored], s.time[scored].astype(np.int64), s.ticks[scored]
    from ketaoutcomes.courses import Moments

    # A pre-dose score on the first day of a course belongs to the course before it, if there is one.
    at = Moments(c.patient, 2 * c.first + 1).last_by(patient, time)
    safe = np.maximum(at, 0)
    own = (at >= 0) & (c.patient[safe] == patient) if len(c) else np.zeros(len(patient), dtype=bool)
    patient, time, ticks, course = patient[own], time[own], ticks[own], safe[own]
    before = Moments(p.block.days.patient, 2 * p.block.days.day + 1).last_by(patient, time)
    base = p.baselines(instrument).ticks[course]
    per_point = p.plan.definitions.instrument(instrument).ticks
    baseline, score = _points_of(base, per_point), ticks / per_point
    return pd.DataFrame(
        {
            "patient": p.names[patient],
            "course": c.number[course].astype(np.int64),
            "instrument": instrument,
            "day": time >> 1,
            "timing": np.where(time & 1, "post", "pre"),
            "session": before - c.start[course] + 1,
            "baseline": baseline,
            "score": score,
            "change": np.where(base == MISSING, np.nan, (ticks - base.astype(np.int64)) / per_point),
        }
    )


def _points_table(p: Patients, axis: str, names: Sequence[str], kinds: Sequence[str]) -> pd.DataFrame:
    if axis == "month" and p.setting.cohort.dates == "offsets":
        return empty("points")
    parts = [empty("points")]
    by_instrument: dict[str, list[Any]] = {}
    for name in names:
        criterion = p.plan.definitions.criterion(name)
        by_instrument.setdefault(criterion.instrument, []).append(criterion)
    for instrument, criteria in by_instrument.items():
        rows = np.flatnonzero(p.baselines(instrument).index == ordinal(p.plan.population.courses))
        for w in windows(p.block, rows, axis):
            point, labels = point_labels(p, w)
            for criterion, found, by_kind in judge_all(p, criteria, tuple(kinds), w):
                j = p.judged(instrument, criterion.variable)
                scores = p.judged(instrument, "score")
                for kind, state in by_kind.items():
                    names_of_states = np.array(STATES, dtype=object)[state]
                    carried = np.isin(names_of_states, ["carried_met", "carried_not_met"])
                    seen = np.isin(names_of_states, ["met", "not_met"])
                    at = np.where(carried, found.carried, np.where(seen, found.judged, -1))
                    has = at >= 0
                    safe = np.where(has, at, 0)
                    day = (j.time[safe] >> 1 if len(j.time) else safe).astype(np.int64)
                    value = j.value[safe] if len(j.value) else safe
                    per_point = p.plan.definitions.instrument(instrument).ticks if j is scores else 1
                    parts.append(
                        pd.DataFrame(
                            {
                                "patient": p.names[p.courses.patient[w.course]],
                                "course": p.courses.number[w.course].astype(np.int64),
                                "instrument": instrument, "criterion": criterion.name, "kind": kind, "axis": axis,
                                "point": np.array(labels, dtype=object)[point],
                                "given": np.where(w.given, "yes", "no"), "state": names_of_states,
                                "day": pd.array(day, dtype="Int64"), "score": np.where(has, value / per_point, np.nan),
                            }
                        ).assign(day=lambda t, has=has: t["day"].mask(~has))
                    )  # fmt: skip
    parts = [part for part in parts if len(part)] or parts[:1]
    return pd.concat(parts, ignore_index=True)


__all__ = ["AXES", "PlanError", "Study", "tally"]
