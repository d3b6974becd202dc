"""A scale where high is well, with a criterion of every rule; and one pair of scores judged in points."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from ketaoutcomes.definitions import MISSING, Definitions, load, met

Points = int | float | Fraction | None


def judge(name: str, baseline: Points, value: Points, known: Definitions | None = None) -> bool | None:
    """Whether a criterion is met by one pair of scores in points; None where it cannot be judged."""
    known = known or load()
    criterion = known.criterion(name)
    ticks = known.instrument(criterion.instrument).ticks
    pair = [MISSING if points is None else int(Fraction(points) * ticks) for points in (baseline, value)]
    result = met(criterion, np.array(pair[:1], np.int32), np.array(pair[1:], np.int32), ticks)
    return {1: True, 0: False, -1: None}[int(result[0])]


WELLBEING = """
[instrument]
id = "who5"
title = "WHO-5 (raw)"
items = 5
item_range = [0, 5]
range = [0, 25]
worse = "lower"
max_missing = 1
recall_days = 14
[cites]
scoring = "house"
missing_items = "house"
recall_days = "house"
"""
EVERY_RULE = {
    "fall_percent": "value = 12.5",
    "fall_between_percent": "value = 10\nlimit = 50",
    "fall_percent_and_at_most": "value = 20\nlimit = 13",
    "fall_points": "value = 2.5",
    "fall_points_and_at_most": "value = 3\nlimit = 15.5",
    "rise_points": "value = 3",
    "below": "value = 13",
    "at_most": "value = 13",
    "crosses_below": "value = 13",
    "fall_points_and_crosses_below": "value = 3\nlimit = 13",
}


def with_wellbeing(folder: Path) -> Definitions:
    """The package's definitions, and a scale where high is well, with a criterion of every rule."""
    entries = [
        f'[[criteria]]\nshort = "{rule}"\ntitle = "t"\nrule = "{rule}"\n{numbers}\ncite = "house"\n'
        for rule, numbers in EVERY_RULE.items()
    ]
    (folder / "who5.toml").write_text(WELLBEING + "\n".join(entries), encoding="utf-8")
    return load((str(folder),))
