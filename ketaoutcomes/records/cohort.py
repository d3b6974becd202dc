"""One cohort: doses, scores, people, events, and everything found on the way in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.definitions import MISSING
from ketaoutcomes.plan import Plan
from ketaoutcomes.records.assembly import Doses, Findings, Scores
from ketaoutcomes.records.coding import labelled
from ketaoutcomes.records.frames import Reader
from ketaoutcomes.records.layouts import one_layout
from ketaoutcomes.records.monitoring import Monitoring, has_readings
from ketaoutcomes.records.monitoring import table as monitoring_table
from ketaoutcomes.shown import PlainError, expect, facts
from ketaoutcomes.tables import TABLES, empty

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Array = Any


class InputRefused(PlainError):
    """The input cannot be read safely. The message lists everything found; `problems` is the table of it."""

    def __init__(self, messages: Sequence[str], problems: pd.DataFrame | None = None) -> None:
        super().__init__("\n".join(messages))
        self.messages = tuple(messages)
        self.problems = empty("problems") if problems is None else problems


@dataclass(frozen=True)
class Source:
    """One input: its name, the SHA-256 of its bytes, and how many rows it held."""

    name: str
    sha256: str
    rows: int


@dataclass(frozen=True, eq=False)
class Cohort:
    """De-identified doses, scores and people, checked and sorted; made by `ko.read` or `from_frames`.

    `doses`, `scores`, `people`, `events`, `monitoring` and `problems` are tidy tables; their columns are
    declared in `ketaoutcomes.tables`. Nothing in them is computed from an outcome. `left_out` names files
    that were refused and left out because the reading was told to keep going.

    >>> cohort.patients[:2].tolist(), cohort.dates, len(cohort.dose_records.patient)
    (['P0001', 'P0002'], 'dates', 11256)
    >>> cohort.people[["patient", "sex", "age_band"]].head(2).to_numpy().tolist()
    [['P0001', 'female', '18-29'], ['P0002', 'male', '30-44']]
    >>> cohort.problems.empty  # the sample reads without a finding
    True
    """

    patients: NDArray[np.object_]
    dose_records: Doses
    score_records: Mapping[str, Scores]
    monitoring_records: Monitoring
    people: pd.DataFrame
    events: pd.DataFrame
    problems: pd.DataFrame
    ledger: pd.DataFrame
    plan: Plan
    dates: str
    sources: tuple[Source, ...] = field(default=())
    left_out: tuple[str, ...] = field(default=())

    @classmethod
    def from_frames(
        cls,
        doses: pd.DataFrame,
        scores: pd.DataFrame | None = None,
        people: pd.DataFrame | None = None,
        events: pd.DataFrame | None = None,
        monitoring: pd.DataFrame | None = None,
        *,
        plan: Plan | None = None,
    ) -> Cohort:
        """A cohort from frames whose columns are typed already; the frames are not changed.

        `doses` has one row per administration: `patient`, `day` (whole days) or `date`, and where known
        `dose`, `unit`, `route`, `days`, `site`, `weight_kg`. `scores` is wide (`phq9`, or `phq9_1` to
        `phq9_9`; several instruments at once) or long (`instrument`, `score`), with `patient`, `day` or
        `date`, and `timing` (pre, the default, or post). `people` has one row per patient. With `scores`
        left out, `doses` is read as both. `events` has one row per event: `patient`, `day` or `date`, `kind`
        (encounter, diagnosis, death, ...), and where known `code` and `days`, how long it lasted.
        `monitoring` has what was recorded while patients were watched after a dose, by `patient` and `day`
        or `date`; its columns may stand beside the doses.

        Raises `InputRefused` naming every fault that forbids reading on.

        >>> import pandas as pd
        >>> doses = pd.DataFrame({"patient": ["a", "a"], "day": [0, 3], "dose": 0.5, "route": "iv"})
        >>> scores = pd.DataFrame({"patient": ["a", "a"], "day": [0, 4], "phq9": [18, 9]})
        >>> Cohort.from_frames(doses, scores)
        Cohort(1 patient, 2 doses, 2 scores of phq9; day offsets; 0 problems)
        """
        given = {
            "doses": doses,
            "scores": scores,
            "people": people,
            "events": events,
            "monitoring": monitoring,
        }
        for name, frame in given.items():
            expect(frame, pd.DataFrame, name, f'pd.read_csv("{name}.csv"), or ko.read for files')
        expect(plan, Plan, "plan", 'ko.read_plan("plan.toml")')
        beside = doses if monitoring is None and has_readings(doses) else monitoring
        scores = doses if scores is None else scores
        return assemble(doses, scores, people, events, beside, plan=plan or Plan())

    def __repr__(self) -> str:
        counts = [f"{len(s.patient):,} scores of {name}" for name, s in self.score_records.items()]
        kind = "day offsets" if self.dates == "offsets" else "calendar dates (limited data set)"
        people = f"{len(self.patients):,} patient{'' if len(self.patients) == 1 else 's'}"
        what = ", ".join([people, f"{len(self.dose_records.patient):,} doses", *counts])
        return f"Cohort({what}; {kind}; {len(self.problems):,} problems)"

    def _repr_html_(self) -> str:
        return facts(self._facts(), "Cohort")

    def _facts(self) -> list[tuple[str, str]]:
        """What is in it, and what was found on the way in: codes that `ketaoutcomes explain` knows."""
        from ketaoutcomes.intake.rules import rules

        known, found = rules(), Counter(zip(self.problems["rule"], self.problems["action"], strict=True))
        told = [
            f"{code} {known[code].title}: {count:,} {action}" if code in known else f"{code}: {count:,}"
            for (code, action), count in sorted(found.items())
        ]
        dated = self.dates != "offsets"
        return [
            ("patients", f"{len(self.patients):,}"),
            ("doses", f"{len(self.dose_records.patient):,}"),
            *((f"{name} scores", f"{len(s.patient):,}") for name, s in self.score_records.items()),
            ("days", "calendar dates: a limited data set" if dated else "day offsets"),
            ("problems", "\n".join(told) or "none"),
            *([("what a code means", "plan.explain(code), or: ketaoutcomes explain CODE")] if told else []),
        ]

    @cached_property
    def doses(self) -> pd.DataFrame:
        """One row per patient, day, route and unit.

        Amounts are in the row's own `unit`; `day` counts from the person's first day on record.

        >>> print(cohort.doses[["patient", "day", "dose", "unit", "route"]].head(2).to_string(index=False))
        patient  day  dose  unit      route
          P0001    0  56.0    mg intranasal
          P0002    0   0.5 mg/kg         iv
        """
        d = self.dose_records
        table = pd.DataFrame(
            {
                "patient": self.patients[d.patient],
                "day": d.day.astype(np.int64),
                "dose": d.amount,
                "unit": labelled(d.unit, d.units),
                "route": labelled(d.route, d.routes),
                "days": d.days.astype(np.int64),
                "given": d.given.astype(np.int64),
            }
        )
        if d.sites:
            table["site"] = labelled(d.site, d.sites)
        if not np.isnan(d.weight).all():
            table["weight_kg"] = d.weight
        return table

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row per patient, instrument, day and timing; `score` is blank where there is no total.

        >>> cohort.scores.groupby("instrument").size().to_dict()
        {'gad7': 1845, 'pcl5': 4461, 'phq9': 8953}
        """
        parts = [self._scores_of(name, s) for name, s in self.score_records.items()]
        return pd.concat(parts, ignore_index=True) if parts else empty("scores")

    @cached_property
    def monitoring(self) -> pd.DataFrame:
        """One row per monitored session: readings of the record kept beside the dose, blank: not recorded.

        >>> watched = cohort.monitoring
        >>> f"{watched['dissociation'].mean():.0%} of {watched['dissociation'].count():,} watched sessions"
        '46% of 6,185 watched sessions'
        """
        return monitoring_table(self.monitoring_records, self.patients)

    def _scores_of(self, instrument: str, s: Scores) -> pd.DataFrame:
        ticks = self.plan.definitions.instrument(instrument).ticks
        return pd.DataFrame(
            {
                "patient": self.patients[s.patient],
                "instrument": instrument,
                "day": (s.time >> 1).astype(np.int64),
                "timing": np.where(s.time & 1, "post", "pre"),
                "score": np.where(s.ticks == MISSING, np.nan, s.ticks / ticks),
                "answered": pd.array(np.where(s.answered < 0, np.nan, s.answered), dtype="Int64"),
                "prorated": s.prorated,
                "diagnosis": pd.array(
                    np.array([False, True, None], dtype=object)[s.diagnosis], dtype="boolean"
                ),
                "flag": pd.array(np.where(s.flag < 0, np.nan, s.flag), dtype="Int64"),
            }
        )


def assemble(
    doses: pd.DataFrame,
    scores: pd.DataFrame,
    people: pd.DataFrame | None = None,
    events: pd.DataFrame | None = None,
    monitoring: pd.DataFrame | None = None,
    *,
    plan: Plan,
    problems: pd.DataFrame | None = None,
    ledger: pd.DataFrame | None = None,
    sources: tuple[Source, ...] = (),
    headers: Mapping[str, Mapping[str, str]] | None = None,
) -> Cohort:
    """Check typed frames and sort them into one cohort; the one door every source comes through.

    `problems` and `ledger` are what a reader found while typing text; this adds its own findings, under
    the names that `headers` says a file has for our columns. Raises `InputRefused` with every refusing fault
    at once.
    """
    found = Findings(headers or {}, [problems] if problems is not None else [])
    frames = {"doses": doses, "scores": scores}
    more = {"people": people, "events": events, "monitoring": monitoring}
    frames |= {name: frame for name, frame in more.items() if frame is not None}
    _check_columns(frames, found)
    _stop_if_refused(found)
    frames["scores"] = one_layout(frames["scores"], plan.definitions.instruments, found)
    _stop_if_refused(found)
    reader = Reader(frames, plan, found)
    cohort_parts = reader.read()
    _stop_if_refused(found)
    return Cohort(
        patients=reader.patients,
        **cohort_parts,
        problems=_problems(found),
        ledger=_ledger(found, ledger),
        plan=plan,
        sources=sources,
    )


def _check_columns(frames: Mapping[str, pd.DataFrame], found: Findings) -> None:
    dated = set()
    for name, frame in frames.items():
        if "patient" not in frame:
            found.refuse(name, "patient", "B06", f"{name}: needs a column `patient`")
        elif pd.api.types.is_float_dtype(frame["patient"].dtype):
            found.refuse(
                name, "patient", "C04", f"{name}: column `patient` holds rounded numbers; give codes as text"
            )
        if name == "people":
            continue
        if name == "events" and "kind" not in frame:
            found.refuse(
                name, "kind", "B06", "events: needs a column `kind`: encounter, diagnosis, death, ..."
            )
        has = [column for column in ("day", "date") if column in frame]
        if len(has) != 1:
            need = "needs a column `day` or `date`" if not has else "has both `day` and `date`; give one"
            found.refuse(name, "day", "B06", f"{name}: {need}")
        dated.update(has)
    if len(dated) > 1:
        found.refuse(
            "doses", "day", "B06", "some tables give `day` and others `date`; give one of the two throughout"
        )


def _stop_if_refused(found: Findings) -> None:
    if found.messages:
        raise InputRefused(found.messages, _problems(found))


def _problems(found: Findings) -> pd.DataFrame:
    parts = [part for part in found.parts if len(part)]
    if not parts:
        return empty("problems")
    table = pd.concat(parts, ignore_index=True)[list(TABLES["problems"].names)]
    return table.sort_values(["file", "row", "column", "rule"], kind="stable", ignore_index=True)


def _ledger(found: Findings, before: pd.DataFrame | None) -> pd.DataFrame:
    rows = [(*key, n) for key, n in sorted(found.ledger.items())]
    table = pd.DataFrame(rows, columns=["file", "table", "outcome", "reason", "n"])
    if before is None or before.empty:
        return table
    return pd.concat([before, table], ignore_index=True) if len(table) else before.reset_index(drop=True)
