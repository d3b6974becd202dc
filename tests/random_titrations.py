"""Random cohorts made to be awkward for good time: doses at the edge of a level, gaps at the edge of a carry.

Seeded, so that a failure can be asked for again by its number. Rows are those of `good_time_reference`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import random_cohorts
from good_time_levels import LEVELS, TRIALS, GoodTime
from reference import Protocol, Settings
from small_cohorts import Rows

EPOCH = random_cohorts.EPOCH
HOME = ("sublingual", "oral")
TARGETS = (100, 100, 100, 56, 80)
SHARES = (0.1, 0.2, 0.5, 0.8, 0.89, 0.9, 0.9, 1, 1, 1, 1.2)
STEPS = (1, 2, 3, 3, 5, 6, 7, 7, 8, 10, 11, 14, 21)
CARRIES = (4, 7, 7, 7, 10, 11, 20, 21, 25, 47, 63)
GAPS = (20, 21, 22, 28, 35, 36, 44, 45, 46, 47, 60, 63, 69, 70, 90, 91, 92)
CRITERIA = ("phq9_response50", "phq9_response50", "phq9_remission_lt5", "pcl5_reliable15", "pcl5_loss_dx")

OWN = """
[protocols.short]
title = "three visits, then quarterly"
cite = "house"
visits = 3
session_window = 7
induction_limit = 12
carry = [4, 20]
course_gap = 30
maturity = 43
planned_days = [0, 3, 6]
trial = [1, 2]
trial_unit = "doses"

[[protocols.short.levels]]
route = "iv"
unit = "mg/kg"
dose = 0.5
cite = "house"

[[protocols.short.levels]]
route = "iv"
unit = "mg"
dose = 40
cite = "house"

[protocols.slow]
title = "visits whose trial is counted in days"
cite = "house"
visits = 4
session_window = 10
induction_limit = 28
carry = [10, 25]
course_gap = 40
maturity = 59
planned_days = [0, 7, 14, 21]
trial = [7, 20]
trial_unit = "days"

[[protocols.slow.levels]]
route = "sublingual"
unit = "mg"
dose = 90
cite = "house"
"""
OWN_PROTOCOLS = {
    "short": Protocol(3, 7, 12, (4, 20), 30, 43),
    "slow": Protocol(4, 10, 28, (10, 25), 40, 59),
}
OWN_TRIALS = {**TRIALS, "short": (1, 2, "doses"), "slow": (7, 20, "days")}
OWN_LEVELS = {
    **LEVELS,
    "short": {("iv", "mg/kg"): Fraction(1, 2), ("iv", "mg"): Fraction(40)},
    "slow": {("sublingual", "mg"): Fraction(90)},
}
PROTOCOLS = ("iv6", "iv6_weekly", "im", "esketamine", "home", "home", "home", "none", "short", "slow")


@dataclass(frozen=True)
class Situation:
    """One random cohort with everything that is decided about it."""

    rows: Rows
    settings: Settings
    rules: GoodTime
    as_of: int | None
    cut: bool

    @property
    def complete(self) -> bool:
        """Whether the records are declared to lie whole before the as-of day."""
        return not self.rows.dated and not self.cut


def write_own_protocols(folder: Path) -> Path:
    """A definitions folder with the protocols `short` and `slow`."""
    (folder / "own.toml").write_text(OWN, encoding="utf-8")
    return folder


def situation(seed: int, patients: int = 25) -> Situation:
    """A cohort, a plan and a way to end the records."""
    rng = random.Random(seed)
    mode = rng.choice(("dated", "dated", "cut", "cut", "complete"))
    rules = good_time(rng)
    rows = Rows(dated=mode == "dated")
    with_targets = rng.random() < (0.95 if rules.basis == "target" else 0.5)
    for number in range(patients):
        _patient(rng, rows, f"P{number:03d}", rules, with_targets=with_targets, cut=mode == "cut")
    for table in (rows.doses, rows.scores, rows.people):
        rng.shuffle(table)
    as_of = EPOCH + rng.choice((40, 90, 150, 250, 400, 900)) if mode == "dated" else None
    settings = Settings(
        own_protocols=OWN_PROTOCOLS,
        index=rng.choice((1, 1, 1, 2)),
        everyone=rng.choice((None, None, None, "home", "slow", "short")),
        gate=rng.choice(({"phq9": 10, "pcl5": 33, "gad7": 10}, {"phq9": 0, "pcl5": 0, "gad7": 0})),
    )
    return Situation(rows, settings, rules, as_of, mode == "cut")


def good_time(rng: random.Random) -> GoodTime:
    """The plan's [good_time], mostly as it comes."""

    def seldom(default: Any, *others: Any) -> Any:
        return rng.choice(others) if rng.random() < 0.3 else default

    levels: dict[tuple[str, str], Fraction] = seldom(
        {(route, "mg"): Fraction(100) for route in ("sublingual", "oral", "im")},
        {},
        {("sublingual", "mg"): Fraction(80)},
        {("iv", "mg"): Fraction(40), ("oral", "mg"): Fraction(80)},
    )
    rules = GoodTime(
        criterion=rng.choice(CRITERIA),
        basis=rng.choice(("auto", "auto", "target", "fixed", "fixed", "maximum")),
        fraction=seldom(Fraction(9, 10), Fraction(1), Fraction(1, 2)),
        clock=rng.choice(("protocol", "protocol", "cumulative", "doses", "first_reach", "contiguous")),
        grace=seldom(14, 0, 3, 40),
        calendar=seldom((30, 60), (14,), (7, 45, 100)),
        mature=seldom(180, 100, 120),
        overdue=seldom(120, 20, 60),
        windows=seldom(None, (1, 2), (2, 4), (5, 12), (10, 30)),
        target_preset=rng.random() < 0.5,
        convert=seldom(None, "mg/kg to mg", "mg to mg/kg"),
        trials=OWN_TRIALS,
        protocol_levels=OWN_LEVELS,
    )
    if rules.clock != "protocol" and rules.windows is None and rng.random() < 0.85:
        rules = replace(rules, windows=rng.choice(((1, 2), (2, 6), (7, 20))))
    return replace(rules, levels=levels) if rules.basis in {"auto", "fixed"} else rules


def _patient(
    rng: random.Random, rows: Rows, patient: str, rules: GoodTime, *, with_targets: bool, cut: bool
) -> None:
    start = EPOCH + rng.randrange(200) if rows.dated else rng.choice((0, 0, 2, 30))
    days = _dose_days(rng, start)
    route = rng.choice(("sublingual", "sublingual", "oral", "iv", "iv", "im", "intranasal"))
    usual = {"iv": rng.choice(("mg/kg", "mg/kg", "mg"))}.get(route, "mg")
    level = float(rng.choice(TARGETS)) if usual == "mg" else 0.5
    if route == "intranasal":
        level = 56.0
    rows.doses += _doses(rng, patient, days, route, usual, level)
    instrument = rules.criterion.partition("_")[0]
    chance = rng.random()
    if chance < 0.15:
        rows.scores += random_cohorts._scores(rng, patient, instrument, days)
    elif chance < 0.5:
        lengths = {row["day"]: row["days"] for row in rows.doses if row["patient"] == patient}
        ends = [day + length - 1 for day, length in lengths.items()]
        rows.scores += _edge_scores(rng, patient, instrument, days, ends, rules)
    else:
        rows.scores += _scores(rng, patient, instrument, days)
    rows.people.append(_person(rng, patient, start, usual, level, with_targets=with_targets, cut=cut))


def _dose_days(rng: random.Random, start: int) -> list[int]:
    days = [start]
    usual = rng.choice((1, 3, 7, None))
    often = rng.choice((0.5, 0.9, 0.97))
    for _ in range(rng.choice((0, 1, 3, 5, 6, 8, 12, 20, 30))):
        step = usual if usual and rng.random() < often else rng.choice(STEPS if rng.random() < 0.75 else GAPS)
        days.append(days[-1] + step)
    return days


def _doses(
    rng: random.Random, patient: str, days: Sequence[int], route: str, unit: str, level: float
) -> list[dict[str, Any]]:
    """Doses climbing towards the level, staying there, or wandering about it."""
    shape = rng.choice(("climb", "climb", "wander", "at level", "below"))
    rungs = rng.choice((2, 4, 10))
    intervals, spoilt = rng.random() < 0.2, rng.random() < 0.08
    made = []
    for position, day in enumerate(days):
        share = {
            "climb": min((position + 1) / rungs, 1.0),
            "wander": rng.choice(SHARES),
            "at level": rng.choice((0.9, 1, 1, 1, 0.5)),
            "below": rng.choice((0.1, 0.5, 0.8)),
        }[shape]
        for part in _split(rng, share * level):
            odd = rng.random() < 0.15 and spoilt
            made.append(
                {
                    "patient": patient,
                    "day": day,
                    "dose": None if odd and rng.random() < 0.5 else round(part, 6),
                    "route": rng.choice(("im", "oral")) if odd and rng.random() < 0.3 else route,
                    "unit": rng.choice(("mg", "g", None)) if odd and unit == "mg" else unit,
                    "weight_kg": rng.choice((60.0, 80.0, None, None)),
                    "days": rng.choice((2, 5, 14, 30)) if intervals and rng.random() < 0.5 else 1,
                }
            )
    return made


def _split(rng: random.Random, amount: float) -> list[float]:
    """Mostly one administration; at times two, or one beside one that was not given."""
    chance = rng.random()
    if chance < 0.08:
        return [round(amount / 2, 6), round(amount, 6) - round(amount / 2, 6)]
    return [amount, 0.0] if chance < 0.12 else [amount]


def _scores(rng: random.Random, patient: str, instrument: str, days: Sequence[int]) -> list[dict[str, Any]]:
    """Scores on, beside and long after doses; most patients take a while to respond, if they ever do."""
    spots = {(day + shift, rng.choice(("pre", "pre", "post"))) for day in days for shift in (0, 0, 1, 6, 7)}
    ends = (8, 13, 14, 15, 20, 21, 22, 35, 46, 60, 77, 80)
    spots |= {(day + shift, "pre") for day in (days[-1], rng.choice(days)) for shift in ends}
    spots |= {(days[0] + shift, "pre") for shift in (28, 29, 30, 31, 59, 60, 61, 90, 100)}
    share, chance = rng.choice((0.1, 0.4, 0.9)), rng.choice((0, 0, 0.01, 0.05, 0.2))
    kept = {spot for spot in sorted(spots) if rng.random() < share}
    if rng.random() < 0.9:
        kept.add((days[0] - rng.choice((0, 0, 0, 3)), "pre"))
    high = {"phq9": 20, "pcl5": 60}[instrument]
    made = []
    for day, timing in sorted(kept, key=lambda spot: (spot[0], spot[1] == "post")):
        started = day > days[0] or (day == days[0] and timing == "post")
        better = started and rng.random() < chance
        low = {"phq9": rng.choice((4, 10)), "pcl5": 40}[instrument]
        row = {"patient": patient, "day": day, "timing": timing, "instrument": instrument}
        made.append({**row, "score": low if better else high})
    return made


def _edge_scores(
    rng: random.Random,
    patient: str,
    instrument: str,
    days: Sequence[int],
    ends: Sequence[int],
    rules: GoodTime,
) -> list[dict[str, Any]]:
    """Very few scores, each on the last day on which something still holds, or on the day after."""
    reach = [carry + rules.grace for carry in CARRIES]
    spots = [end + rng.choice(reach) for end in (*ends[-2:], rng.choice(ends))]
    spots += [rng.choice(ends) + rng.choice(CARRIES), rng.choice(days)]
    spots += [days[0] + day - back for day in rules.calendar for back in (0, 31)]
    kept = {(days[0], "pre")}
    for _ in range(rng.choice((1, 1, 2, 4))):
        kept.add((rng.choice(spots) + rng.choice((-1, 0, 0, 1)), rng.choice(("pre", "post"))))
    better = rng.choice((0, 0.5))
    high, low = {"phq9": (20, 10), "pcl5": (60, 40)}[instrument]
    return [
        {
            "patient": patient,
            "day": day,
            "timing": timing,
            "instrument": instrument,
            "score": low if day > days[0] and rng.random() < better else high,
        }
        for day, timing in sorted(kept, key=lambda spot: (spot[0], spot[1] == "post"))
    ]


def _person(
    rng: random.Random, patient: str, start: int, unit: str, level: float, *, with_targets: bool, cut: bool
) -> dict[str, Any]:
    person: dict[str, Any] = {"patient": patient, "site": rng.choice(("North", "South"))}
    person["protocol"] = rng.choice(PROTOCOLS) if rng.random() < 0.3 else None
    person["weight_kg"] = rng.choice((70.0, None, None))
    if with_targets:
        person["target_dose"] = rng.choice((*[level] * 9, 100.0, None))
        person["target_unit"] = rng.choice((*[unit] * 12, "mg", None))
        person["target_day"] = start + rng.choice((-5, 0, 0, 0, 1)) if rng.random() < 0.8 else None
    if cut:
        person["cut_day"] = start + rng.choice((0, 10, 29, 30, 45, 60, 61, 91, 120, 150, 180, 200, 400))
    return person
