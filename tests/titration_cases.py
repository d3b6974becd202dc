"""Courses of titrated doses written as text, and awkward random ones, for the tests of good time.

Doses: `day=amount`, with `xdays` for a record that covers several days, a unit after `@` and a route after
`/`; amount `?` is not recorded: `0=100 3x5=90 10=0.5@mg/kg/iv`. Scores: `day:PHQ-9`, with `+` for one taken
after that day's dose: `0:20 50+:10`.
"""

from __future__ import annotations

import random
import re
from typing import Any

import pandas as pd

import ketaoutcomes as ko
from ketaoutcomes.plan import Plan

DOSE = re.compile(r"(\d+)(?:x(\d+))?=([\d.]+|\?)(?:@([a-z]+(?:/kg)?))?(?:/([a-z]+))?")

# The FAQ's own illustration: ten steps to 100 over a month, then weekly at 100.
TITRATION = " ".join(f"{3 * step}={10 * (step + 1)}" for step in range(10))
FAQ = f"{TITRATION} " + " ".join(f"{day}=100" for day in range(30, 87, 7))

# Adequate every week from day 0: good(t) = t up to the last dose's cover.
WEEKLY = " ".join(f"{day}=100" for day in range(0, 99, 7))
TARGET = {"target_dose": 100.0, "target_unit": "mg", "target_day": 0}


def doses_of(text: str, patient: str = "a") -> list[dict[str, Any]]:
    """Dose rows from their text."""
    rows = []
    for token in text.split():
        day, days, amount, unit, route = DOSE.fullmatch(token).groups()
        dose = None if amount == "?" else float(amount)
        row = {"patient": patient, "day": int(day), "dose": dose, "days": int(days or 1)}
        rows.append({**row, "unit": unit or "mg", "route": route or "sublingual"})
    return rows


def scores_of(text: str, patient: str = "a") -> list[dict[str, Any]]:
    """Score rows from their text."""
    rows = []
    for token in text.split():
        when, phq9 = token.split(":")
        timing = "post" if when.endswith("+") else "pre"
        rows.append({"patient": patient, "day": int(when.rstrip("+")), "timing": timing, "phq9": int(phq9)})
    return rows


def study(
    doses: str, scores: str = "0:20", *, cut: int = 400, target: float | None = 100.0,
    plan: dict[str, Any] | None = None, weight: float | None = None, **good_time: Any,
) -> ko.Study:  # fmt: skip
    """One patient's study; `target=None` leaves the column out, NaN leaves it blank."""
    person: dict[str, Any] = {"patient": "a", "cut_day": cut}
    if target is not None:
        person |= {**TARGET, "target_dose": target}
    if weight is not None:
        person["weight_kg"] = weight
    frames = (pd.DataFrame(doses_of(doses)), pd.DataFrame(scores_of(scores)), pd.DataFrame([person]))
    chosen = Plan(good_time=good_time, **(plan or {}))
    return ko.Study(ko.Cohort.from_frames(*frames, plan=chosen))


def one(doses: str, scores: str = "0:20", *, number: int = 0, clock: str | None = None, **more: Any) -> Any:
    """The row of one course, blanks as None."""
    table = study(doses, scores, **more).good_time(clock=clock)
    return {name: None if pd.isna(cell) else cell for name, cell in table.iloc[number].items()}


def awkward(seed: int, patients: int = 60) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Titrations with dips, lapses, long records, second courses, blanks and scores at all hours."""
    rng = random.Random(seed)
    doses, scores, people = [], [], []
    for number in range(patients):
        patient, day = f"P{number:02d}", 0
        amount = rng.choice((10, 50, 90))
        for _ in range(rng.randrange(1, 30)):
            blank = rng.random() < 0.01
            row = {"patient": patient, "day": day, "dose": None if blank else float(amount), "unit": "mg"}
            doses.append({**row, "route": "sublingual", "days": rng.choice((1, 1, 1, 4))})
            day += rng.choice((1, 3, 7, 7, 8, 14, 21)) if rng.random() < 0.97 else 60
            amount = min(amount + rng.choice((0, 10, 20)), 100) if rng.random() < 0.9 else 50
        spots = {(0, "pre")} | {(rng.randrange(day + 60), rng.choice(("pre", "post"))) for _ in range(12)}
        for when, timing in sorted(spots):
            points = 20 if when == 0 else rng.choice((5, 10, 11, 15, 20))
            scores.append({"patient": patient, "day": when, "timing": timing, "phq9": points})
        person = {"patient": patient, "cut_day": rng.choice((20, 60, 100, 200, 400)), "target_day": 0}
        target = None if rng.random() < 0.05 else 100.0
        people.append({**person, "target_dose": target, "target_unit": "mg", "site": rng.choice("NS")})
    return pd.DataFrame(doses), pd.DataFrame(scores), pd.DataFrame(people)
