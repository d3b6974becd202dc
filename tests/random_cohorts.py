"""Random cohorts chosen to be awkward: everything near an edge of a rule, and several things on one day.

Seeded, so that a failure can be asked for again by its number.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date
from typing import Any

from reference import Settings
from small_cohorts import ITEMS, Rows

EPOCH = date(2025, 1, 1).toordinal()
ROUTES = ("iv", "im", "intranasal", "sublingual", "oral")
STEPS = (1, 2, 3, 3, 4, 7, 7, 8, 10, 11, 14)
GAPS = (21, 28, 31, 32, 35, 36, 44, 45, 46, 47, 48, 60, 63, 64, 68, 69, 70, 71, 90, 91, 92, 93, 130)
ITEM_TOP = {"phq9": 3, "pcl5": 4, "gad7": 3, "peg": 10}
AROUND_DOSE = (-1, 0, 0, 0, 1, 2, 6, 7, 8, 10, 11)
AROUND_START = (
    -15,
    -14,
    -13,
    -7,
    -1,
    0,
    0,
    4,
    10,
    25,
    28,
    31,
    53,
    56,
    59,
    60,
    66,
    67,
    73,
    76,
    77,
    91,
    125,
    150,
)
AROUND_END = (1, 10, 13, 14, 15, 18, 28, 30, 31, 32, 42, 59)


def rows(
    seed: int, patients: int = 40, dated: bool = False, protocols: Sequence[str] = (), cut: bool = False
) -> Rows:
    """A cohort of so many patients; with `cut`, everyone has a cut day."""
    rng = random.Random(seed)
    made = Rows(dated=dated)
    for number in range(patients):
        patient = f"P{number:03d}"
        start = EPOCH + rng.randrange(200) if dated else rng.choice((0, 0, 3, 40))
        days = _dose_days(rng, start)
        made.doses += _doses(rng, patient, days)
        for instrument in ITEMS:
            if rng.random() < 0.7:
                made.scores += _scores(rng, patient, instrument, days)
        if cut or rng.random() < 0.85:
            made.people.append(_person(rng, patient, start, protocols, cut))
    rng.shuffle(made.doses)
    rng.shuffle(made.scores)
    rng.shuffle(made.people)
    return made


def _dose_days(rng: random.Random, start: int) -> list[int]:
    days = [start]
    usual = rng.choice((3, 4, 7, None))
    for _ in range(rng.choice((0, 1, 2, 3, 5, 5, 6, 7, 8, 12, 16))):
        choices = (usual,) if usual and rng.random() < 0.6 else STEPS if rng.random() < 0.8 else GAPS
        days.append(days[-1] + rng.choice(choices))
    return days


def _doses(rng: random.Random, patient: str, days: Sequence[int]) -> list[dict[str, Any]]:
    route = rng.choice(ROUTES)
    intervals = rng.random() < 0.15
    return [
        _dose(rng, patient, day, route, intervals)
        for day in days
        for _ in range(rng.choice((1, 1, 1, 1, 1, 2, 3)))
    ]


def _dose(rng: random.Random, patient: str, day: int, route: str, intervals: bool) -> dict[str, Any]:
    return {
        "patient": patient,
        "day": day,
        "dose": rng.choice((35.0, 35.0, 35.0, 17.5, 50.0, 50.0, None, 0.0)),
        "route": route if rng.random() < 0.95 else rng.choice(ROUTES),
        "days": rng.choice((2, 5, 14, 30, 60)) if intervals and rng.random() < 0.5 else 1,
    }


def _scores(rng: random.Random, patient: str, instrument: str, days: Sequence[int]) -> list[dict[str, Any]]:
    spots = {(days[0] + shift, rng.choice(("pre", "post"))) for shift in AROUND_START}
    spots |= {(day + shift, rng.choice(("pre", "post"))) for day in days for shift in AROUND_DOSE}
    spots |= {(day + shift, "pre") for day in (days[-1], *days[3:8]) for shift in AROUND_END}
    spots |= {
        (days[0] + 7 * week + shift, "pre") for week in (1, 2, 4, 6, 8, 12) for shift in (-4, -3, -1, 0, 1, 3)
    }
    spots |= {(days[0], timing) for timing in ("pre", "post") if rng.random() < 0.8}
    share = rng.choice((0.05, 0.15, 0.3, 0.9))
    kept = [spot for spot in sorted(spots) if rng.random() < share]
    if rng.random() < 0.7:
        kept = sorted({*kept, (days[0] - rng.choice((0, 0, 1, 13, 14, 15)), "pre")})
    top = ITEMS[instrument] * ITEM_TOP[instrument]
    high = rng.randrange(1, top + 1) if rng.random() < 0.3 else rng.randrange(top // 2, top + 1)
    return [_score(rng, patient, instrument, spot, high, spot[0] <= days[0]) for spot in kept]


def _score(
    rng: random.Random, patient: str, instrument: str, spot: tuple[int, str], high: int, before: bool
) -> dict[str, Any]:
    row = {"patient": patient, "day": spot[0], "timing": spot[1], "instrument": instrument}
    top = ITEMS[instrument] * ITEM_TOP[instrument]
    likely = (
        high // 2,
        high // 2,
        (high + 1) // 2,
        high // 2 + 1,
        4,
        5,
        9,
        10,
        32,
        33,
        high - 6,
        high - 5,
        0,
    )
    aim = min(max(high if before else rng.choice(likely), 0), top)
    if rng.random() < 0.35:
        return {**row, "score": None if rng.random() < 0.1 else aim // (3 if instrument == "peg" else 1)}
    items: list[int | None] = [0] * ITEMS[instrument]
    for _ in range(aim):
        free = [i for i, item in enumerate(items) if item is not None and item < ITEM_TOP[instrument]]
        place = rng.choice(free)
        items[place] = (items[place] or 0) + 1
    for place in rng.sample(range(len(items)), rng.choice((0, 0, 0, 1, 2, 3, len(items)))):
        items[place] = None
    return {**row, "items": items}


def _person(
    rng: random.Random, patient: str, start: int, protocols: Sequence[str], cut: bool
) -> dict[str, Any]:
    person: dict[str, Any] = {"patient": patient, "site": rng.choice(("North", "South"))}
    person["protocol"] = rng.choice(protocols) if protocols and rng.random() < 0.3 else None
    person["prior"] = rng.choice(("yes", "no", "no", None))
    person["observed_from"] = (
        start - rng.choice((0, 45, 46, 69, 90, 91, 92, 200)) if rng.random() < 0.2 else None
    )
    if cut:
        person["cut_day"] = start + rng.choice(
            (0, 10, 31, 58, 59, 65, 66, 75, 76, 91, 124, 125, 150, 200, 400)
        )
    return person


def settings(seed: int, own: dict[str, Any] | None = None) -> Settings:
    """A plan, mostly the default one."""
    rng = random.Random(seed)

    def seldom(default: Any, *others: Any) -> Any:
        return rng.choice(others) if rng.random() < 0.25 else default

    schedule = seldom(("every session", None), ("every days", 14), ("every days", 10), ("end", None))
    return Settings(
        everyone=seldom(None, "none", "iv6_weekly", "home", "iv6", *(own or ())),
        own_protocols=own or {},
        index=seldom(1, 2),
        observed_from=None,
        entry=seldom((), (("prior", ("no",)),), (("prior", ("no", "yes")), ("site", ("North",)))),
        within_days=seldom(14, 0, 7, 13),
        gate=seldom({"phq9": 10, "pcl5": 33, "gad7": 10}, {"phq9": 0, "pcl5": 0, "gad7": 0, "peg": 4}),
        prorate=seldom(True, False),
        schedule=schedule[0],
        every_days=schedule[1],
        weeks=seldom((1, 2, 4, 6, 8, 12), (1, 3, 8), (2, 20)),
        margin=seldom(3, 0, 1, 2),
        end_days=seldom((1, 14, 31), (7, 10, 20), (2, 28, 31)),
    )


def known(rows: Rows) -> Rows:
    """The records up to each person's last day."""
    cut = {person["patient"]: person["cut_day"] for person in rows.people}
    kept = ([row for row in of if row["day"] <= cut[row["patient"]]] for of in (rows.doses, rows.scores))
    return Rows(*kept, rows.people)
