"""The rates that follow from what was planted: every combination of onset and staying, weighed and added.

Nothing here looks at a simulated person, save to count how many of each kind there are. What is added up are
chances: that the effect begins at a step, that the person is still there, that the form comes back.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ketaoutcomes.simulate.planting import ARMS, NEVER, Habits, HomeArm, Site, VisitArm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

CRITERIA = {
    "phq9_response50": "phq9",
    "phq9_remission_lt5": "phq9",
    "pcl5_reliable15": "pcl5",
    "phq9_deterioration": "phq9",
}
ALL_SITES = "all"


def expected_rates(truth: pd.DataFrame, habits: Habits) -> pd.DataFrame:
    """Planted and expected rates by protocol, site, criterion and point, for first courses.

    `latent` is the chance that the state is there at that session or week, had everybody stayed and answered;
    `nri` the share of all who started in whom it is seen; `observed` the share of those scored.
    """
    people = truth[truth["course"] == 1]
    rows = []
    for arm in ARMS:
        mine = people[people["protocol"] == arm.protocol]
        for criterion, instrument in CRITERIA.items():
            eligible = mine[mine[instrument] == "eligible"]
            groups = [(site.name, eligible[eligible["site"] == site.name]) for site in habits.sites]
            for name, group in [(ALL_SITES, eligible), *groups]:
                rows += _rows(arm, criterion, name, group, habits)
    return pd.DataFrame(
        rows,
        columns=[
            "protocol",
            "site",
            "instrument",
            "criterion",
            "axis",
            "point",
            "n",
            "latent",
            "nri",
            "observed",
        ],
    )


def _rows(
    arm: VisitArm | HomeArm, criterion: str, name: str, group: pd.DataFrame, habits: Habits
) -> list[tuple[str, str, str, str, str, int, int, float, float, float]]:
    points = arm.asked if isinstance(arm, HomeArm) else range(1, arm.visits + 1)
    axis = "week" if isinstance(arm, HomeArm) else "session"
    can_rise = group["phq9_baseline"] + habits.rise <= 27
    counts = Counter(zip(group["site"], group["benzodiazepine"], can_rise, strict=True)).items()
    sites = {site.name: site for site in habits.sites}
    rows = []
    for point in points:
        sums = np.zeros(4)
        for (site, taking, rising), count in counts:
            paths = _paths(arm, taking == "yes", bool(rising), habits)
            sums += count * _shares(arm, criterion, point, sites[site], paths, habits)
        met, assessed, seen, n = sums.tolist()
        latent, nri = (met / n, seen / n) if n else (np.nan, np.nan)
        observed = seen / assessed if assessed else np.nan
        rows.append(
            (arm.protocol, name, CRITERIA[criterion], criterion, axis, point, int(n), latent, nri, observed)
        )
    return rows


def _shares(
    arm: VisitArm | HomeArm,
    criterion: str,
    point: int,
    site: Site,
    paths: NDArray[np.float64],
    habits: Habits,
) -> NDArray[np.float64]:
    """Chances of: the state there, a score there, both; and 1."""
    chance, response, remission, pcl5, lost, worse, recovered = paths
    begins, ends = {
        "phq9_response50": (response, lost),
        "phq9_remission_lt5": (remission, lost),
        "pcl5_reliable15": (pcl5, lost),
        "phq9_deterioration": (worse, recovered),
    }[criterion]
    met = (begins <= point) & (point < ends)
    scored = _scored(arm, point, response, site, habits, pcl5=CRITERIA[criterion] == "pcl5")
    return np.array([chance[met].sum(), (chance * scored).sum(), (chance * scored)[met].sum(), 1.0])


def _scored(
    arm: VisitArm | HomeArm,
    point: int,
    response: NDArray[np.float64],
    site: Site,
    habits: Habits,
    *,
    pcl5: bool,
) -> NDArray[np.float64]:
    """Chance that a usable score exists at a session or week, given when response begins."""
    steps = point
    usable = habits.pcl5_asked * (1 - habits.pcl5_blank) if pcl5 else 1 - habits.many_blank
    if isinstance(arm, VisitArm) and point < arm.visits:
        # A session is judged by the form filled in before the next one, if that comes in time.
        steps = point + 1
        usable *= 1 - habits.long_gap / (arm.visits - 1)
    calm, better = (1 - chance for chance in arm.stop)
    before = np.clip(response - 1, 0, steps - 1)
    return np.asarray(calm**before * better ** (steps - 1 - before) * site.answered * usable)


@cache
def _paths(
    arm: VisitArm | HomeArm, benzodiazepine: bool, can_rise: bool, habits: Habits
) -> NDArray[np.float64]:
    """Every way a course can go, one column each: its chance; when response, remission, PCL-5 fall and
    loss begin; when getting reliably worse begins and ends."""
    responders = arm.responders * (habits.benzodiazepine_factor if benzodiazepine else 1.0)
    paths = [
        (chance * worsens, *begins, worse, recovered)
        for chance, *begins in _without_response(arm, 1 - responders, habits)
        for worsens, worse, recovered in _worsening(can_rise, habits)
    ]
    paths += [(*path, NEVER, NEVER) for path in _with_response(arm, responders, habits)]
    return np.array(paths, dtype=np.float64).T


def _worsening(can_rise: bool, habits: Habits) -> Iterator[tuple[float, int, int]]:
    worse = habits.deteriorates if can_rise else 0.0
    yield 1 - worse, NEVER, NEVER
    for step, chance in enumerate(habits.worse_onset, start=1):
        yield worse * chance * (1 - habits.worse_recovers), step, NEVER
        yield worse * chance * habits.worse_recovers, step, step + habits.worse_lasts


def _last(arm: VisitArm | HomeArm) -> int:
    return arm.visits if isinstance(arm, VisitArm) else arm.weeks // 2


def _without_response(arm: VisitArm | HomeArm, weight: float, habits: Habits) -> Iterator[tuple[float, ...]]:
    alone = habits.pcl5_without / (_last(arm) - 1)
    for pcl5 in range(2, _last(arm) + 1):
        yield weight * alone, NEVER, NEVER, pcl5, NEVER
    yield weight * (1 - habits.pcl5_without), NEVER, NEVER, NEVER, NEVER


def _with_response(arm: VisitArm | HomeArm, weight: float, habits: Habits) -> Iterator[tuple[float, ...]]:
    onsets, lags = list(_onsets(arm)), list(_remissions(arm))
    for (chance, step), (remits, lag) in product(onsets, lags):
        for lasting, lost in _losses(arm, step):
            share = weight * chance * remits * lasting
            yield share * (1 - habits.pcl5_with), step, step + lag, NEVER, lost
            for later, follows in enumerate(habits.pcl5_lag):
                pcl5 = min(step + later, max(step, _last(arm)))
                yield share * habits.pcl5_with * follows, step, step + lag, pcl5, lost


def _onsets(arm: VisitArm | HomeArm) -> Iterator[tuple[float, int]]:
    if isinstance(arm, VisitArm):
        yield from ((chance, step) for step, chance in enumerate(arm.onset, start=1))
        return
    yield from ((arm.low_dose * chance, week) for week, chance in enumerate(arm.low_onset, start=1))
    for first, (lag, chance) in product(arm.first_week, enumerate(arm.onset)):
        yield (1 - arm.low_dose) * chance / len(arm.first_week), first + lag


def _remissions(arm: VisitArm | HomeArm) -> Iterator[tuple[float, int]]:
    yield 1 - arm.remitters, NEVER
    yield from ((arm.remitters * chance, lag) for lag, chance in enumerate(arm.lag))


def _losses(arm: VisitArm | HomeArm, step: int) -> Iterator[tuple[float, int]]:
    if isinstance(arm, VisitArm):
        yield 1.0, NEVER
        return
    for week in range(step + 1, arm.weeks + 1):
        yield arm.relapse * (1 - arm.relapse) ** (week - step - 1), week
    yield (1 - arm.relapse) ** max(arm.weeks - step, 0), NEVER
