"""Small cohorts written on one line, and the two ways to judge them: the package and the slow reference.

A patient's doses are tokens `day[/route][xdays][=amount]` ("0 3 7/im 10x5 14=0"), its scores tokens
`day:total` with `day+` for a score after that day's dose ("-1:20 7+:12"). Both sides are given the same rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import reference

import ketaoutcomes as ko
from ketaoutcomes.plan import Plan, parse_plan

Row = Mapping[str, Any]
ITEMS = {"phq9": 9, "pcl5": 20, "gad7": 7, "peg": 3}
DOSE = re.compile(r"(-?\d+)(?:/(\w+))?(?:x(\d+))?(?:=(\S+))?")
SCORE = re.compile(r"(-?\d+)(\+?):(\S+)")


@dataclass
class Rows:
    """The rows of a cohort, as the reference reads them; `dated`: days are date ordinals, else offsets."""

    doses: list[dict[str, Any]] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    people: list[dict[str, Any]] = field(default_factory=list)
    dated: bool = False

    def add(self, patient: str, doses: str, person: Row | None = None, **scores: str) -> Rows:
        """Add one patient, written as described at the head of this file."""
        for token in doses.split():
            day, route, days, amount = _parts(DOSE, token)
            dose = 35.0 if amount is None else None if amount == "?" else float(amount)
            row = {"patient": patient, "day": int(day or 0), "dose": dose, "route": route or "iv"}
            self.doses.append({**row, "days": int(days or 1)})
        for instrument, text in scores.items():
            for token in text.split():
                day, plus, value = _parts(SCORE, token)
                row = {"patient": patient, "day": int(day or 0), "timing": "post" if plus else "pre"}
                items = [None if letter == "." else int(letter) for letter in value or ""]
                whole = len(items) == ITEMS.get(instrument)
                total = {"items": items} if whole else {"score": int(value or 0)}
                self.scores.append({**row, "instrument": instrument, **total})
        self.people.append({"patient": patient, **(person or {})})
        return self


def _parts(pattern: re.Pattern[str], token: str) -> tuple[str | None, ...]:
    found = pattern.fullmatch(token)
    if found is None:
        raise ValueError(f"cannot read {token!r}")
    return found.groups()


# --- the package's side ----------------------------------------------------------------------------------


def _when(rows: Sequence[Row], dated: bool) -> pd.DataFrame:
    frame = pd.DataFrame([{key: value for key, value in row.items() if key != "items"} for row in rows])
    if dated and "day" in frame:
        frame["date"] = pd.to_datetime([date.fromordinal(day) for day in frame.pop("day")])
    return frame


def dose_frame(rows: Rows) -> pd.DataFrame:
    """The doses as a caller would hand them over."""
    frame = _when(rows.doses, rows.dated)
    frame["unit"] = "mg"
    return frame


def long_scores(rows: Rows) -> pd.DataFrame:
    """One row per patient, moment and instrument: `instrument`, `score`, `item_1` ..."""
    flat = []
    for row in rows.scores:
        items = {f"item_{i}": answer for i, answer in enumerate(row.get("items") or (), start=1)}
        flat.append({"score": None, **row, **items})
    return _when(flat, rows.dated)


def wide_scores(rows: Rows) -> pd.DataFrame:
    """One row per patient and moment: `phq9`, `phq9_1` ... side by side."""
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows.scores:
        name = row["instrument"]
        key = (row["patient"], row["day"], row["timing"])
        line = merged.setdefault(key, dict(zip(("patient", "day", "timing"), key, strict=True)))
        if row.get("items") is None:
            line[name] = row["score"]
        else:
            line |= {f"{name}_{i}": answer for i, answer in enumerate(row["items"], start=1)}
    return _when(list(merged.values()), rows.dated)


def people_frame(rows: Rows) -> pd.DataFrame | None:
    """The people as a caller would hand them over; None where nothing is known of anyone."""
    frame = pd.DataFrame(rows.people)
    if rows.dated and "observed_from" in frame:
        days = frame["observed_from"]
        frame["observed_from"] = pd.to_datetime(
            [None if pd.isna(d) else date.fromordinal(int(d)) for d in days]
        )
    return frame if len(frame.columns) > 1 else None


def plan_for(
    settings: reference.Settings, criteria: Sequence[str], folder: Path | None = None, complete: bool = False
) -> Plan:
    """The package's plan that says what these settings say."""
    quoted = json.dumps
    routes = {"all": settings.everyone} if settings.everyone else dict(settings.by_route)
    observed_from = settings.observed_from
    schedule = f"every {settings.every_days} days" if settings.every_days else settings.schedule
    entry = [
        f"{{ column = {quoted(column)}, is = {quoted(list(values))} }}" for column, values in settings.entry
    ]
    lines = [
        "schema = 1",
        f"folders = [{quoted(str(folder))}]" if folder else "",
        "[protocol]",
        *(f"{route} = {quoted(name)}" for route, name in routes.items()),
        "[population]",
        f"courses = {quoted(['first', 'second'][settings.index - 1])}",
        f"observed_from = {observed_from}" if observed_from is not None else "",
        f"entry = [{', '.join(entry)}]",
        f"complete = {quoted(complete)}",
        "[baseline]",
        f"within_days = {settings.within_days}",
        "gate = { " + ", ".join(f"{name} = {gate}" for name, gate in settings.gate.items()) + " }",
        "[scores]",
        f"prorate = {quoted('published' if settings.prorate else 'never')}",
        "[assessments]",
        f"schedule = {quoted(schedule)}",
        "[criteria]",
        f"primary = {quoted(list(criteria))}",
        "[points]",
        f"weeks = {quoted(list(settings.weeks))}",
        f"week_margin_days = {settings.margin}",
        f"end_days = {quoted(list(settings.end_days))}",
    ]
    return parse_plan("\n".join(line for line in lines if line))


def study_of(rows: Rows, plan: Plan, as_of: int | None = None, long: bool = False) -> ko.Study:
    """The package's study of these rows."""
    scores = (long_scores if long else wide_scores)(rows) if rows.scores else None
    cohort = ko.Cohort.from_frames(dose_frame(rows), scores, people_frame(rows), plan=plan)
    return ko.Study(cohort, as_of=date.fromordinal(as_of) if rows.dated and as_of is not None else None)


# --- the same question to both ---------------------------------------------------------------------------

Answer = dict[str, tuple[str, str]]  # point -> given, state
Judge = Callable[..., Answer]


def by_package(
    rows: Rows, axis: str, criterion: str, kind: str = "current", as_of: int | None = None, **settings: Any
) -> Answer:
    """Given and state at each point, by the package."""
    rows, last, complete = _until(rows, as_of)
    plan = plan_for(reference.Settings(**settings), [criterion], complete=complete)
    table = study_of(rows, plan, last).points(at=axis, criteria=[criterion], kind=kind)
    return {str(row.point): (str(row.given), str(row.state)) for row in table.itertuples()}


def by_reference(
    rows: Rows, axis: str, criterion: str, kind: str = "current", as_of: int | None = None, **settings: Any
) -> Answer:
    """Given and state at each point, by the reference."""
    table = reference.points(
        rows.doses, rows.scores, rows.people, reference.Settings(**settings),
        axis=axis, criteria=[criterion], kinds=[kind], as_of=as_of,
    )  # fmt: skip
    return {row["point"]: (row["given"], row["state"]) for row in table}


def _until(rows: Rows, as_of: int | None) -> tuple[Rows, int | None, bool]:
    """Undated rows carry the as-of day as everyone's cut day; without one the data are complete."""
    if rows.dated or as_of is None:
        return rows, as_of, not rows.dated
    people = [{**person, "cut_day": as_of} for person in rows.people]
    return Rows(rows.doses, rows.scores, people), None, False
