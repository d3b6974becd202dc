"""Treatment series, latent: when each person is dosed and asked, and when the effect begins and fades.

Everything a questionnaire will later say follows from a few days fixed here: the day from which scores meet
response, the day from which they meet remission, and the day both are lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ketaoutcomes.simulate.planting import NEVER, Habits, HomeArm, VisitArm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ketaoutcomes.simulate.draws import Draws

    Whole = NDArray[np.int64]
    Flags = NDArray[np.bool_]

SUNDAY = 3
"""Days whose number leaves this rest after division by 7 are Sundays: day 0, 1 May 2025, is a Thursday."""


@dataclass(frozen=True)
class Series:
    """Courses of one arm. `courses`: one row each, latent; `doses` and `asks` point to it by `course`.

    Days are whole numbers from the first day of the calendar. `asks` are questionnaires that are due:
    `answered` is the chance of getting one back, `whole` marks forms always filled in to the last item.
    """

    courses: pd.DataFrame
    doses: pd.DataFrame
    asks: pd.DataFrame

    @staticmethod
    def joined(parts: list[Series]) -> Series:
        """Several series as one, the course numbers shifted to stay apart."""
        starts = np.cumsum([0] + [len(part.courses) for part in parts[:-1]])
        moved = [
            (
                part.doses.assign(course=part.doses["course"] + at),
                part.asks.assign(course=part.asks["course"] + at),
            )
            for part, at in zip(parts, starts.tolist(), strict=True)
        ]
        return Series(
            pd.concat([part.courses for part in parts], ignore_index=True),
            pd.concat([doses for doses, _ in moved], ignore_index=True),
            pd.concat([asks for _, asks in moved], ignore_index=True),
        )


def not_sunday(days: Whole) -> Whole:
    """The same days, Sundays moved to Monday."""
    return np.where(days % 7 == SUNDAY, days + 1, days)


def onsets(
    chances: tuple[float, ...], responder: Flags, lag: tuple[float, ...], remitters: float, draws: Draws
) -> tuple[Whole, Whole]:
    """The step after which response, and remission, begin; `NEVER` for those in whom they do not."""
    size = len(responder)
    step = np.where(responder, 1 + draws.pick(chances, size), NEVER)
    remits = responder & draws.yes(remitters, size)
    return step, np.where(remits, step + draws.pick(lag, size), NEVER)


def pcl5_onsets(step: Whole, last: int, habits: Habits, draws: Draws) -> Whole:
    """The step after which the PCL-5 has fallen by 15 or more."""
    size = len(step)
    falls = draws.yes(np.where(step < NEVER, habits.pcl5_with, habits.pcl5_without), size)
    follows = np.minimum(step + draws.pick(habits.pcl5_lag, size), np.maximum(step, last))
    alone = draws.between(2, last, size)
    return np.where(falls, np.where(step < NEVER, follows, alone), NEVER)


def worsening(people: pd.DataFrame, step: Whole, habits: Habits) -> tuple[Whole, Whole]:
    """The step after which scores are reliably worse, and the one after which they no longer are."""
    bounds = np.cumsum(habits.worse_onset)
    begins = 1 + np.searchsorted(bounds, people["worse_luck"].to_numpy() * bounds[-1], side="right")
    worse = people["deteriorates"].to_numpy(dtype=bool) & (step >= NEVER)
    recovers = worse & people["worse_recovers"].to_numpy(dtype=bool)
    return np.where(worse, begins, NEVER), np.where(recovers, begins + habits.worse_lasts, NEVER)


def staying(step: Whole, steps: int, stop: tuple[float, float], draws: Draws) -> Flags:
    """Persons x steps: whether each is still there at step 1, 2, …; leaving depends on having responded."""
    at = np.arange(1, steps)
    chance = np.where(step[:, None] <= at, stop[1], stop[0])
    stays = ~draws.yes(chance, len(step), steps - 1)
    there = np.logical_and.accumulate(stays, axis=1)
    return np.hstack([np.ones((len(step), 1), dtype=bool), there])


def day_after(days: Whole, there: Flags, step: Whole) -> Whole:
    """The day after the given step was taken, `NEVER` where it was not."""
    column = np.clip(step, 1, days.shape[1]) - 1
    rows = np.arange(len(step))
    taken = (step <= days.shape[1]) & there[rows, column]
    return np.where(taken, days[rows, column] + 1, NEVER)


def visit_series(arm: VisitArm, people: pd.DataFrame, cut: int, habits: Habits, draws: Draws) -> Series:
    """Courses by visits, for `people` (person, start, target, answered, responder, …), one row each."""
    size = len(people)
    start = people["start"].to_numpy()
    responder = draws.yes(
        arm.responders * np.where(people["benzodiazepine"], habits.benzodiazepine_factor, 1.0), size
    )
    step, remission_step = onsets(arm.onset, responder, arm.lag, arm.remitters, draws)
    pcl5_step = pcl5_onsets(step, arm.visits, habits, draws)
    worse_step, recovered_step = worsening(people, step, habits)
    days = _session_days(arm, start, habits, draws)
    there = staying(step, arm.visits, arm.stop, draws)
    given = there.sum(axis=1)
    last = days[np.arange(size), given - 1]
    onset = day_after(days, there, step)
    completed = given == arm.visits
    kept_on = completed & draws.yes(
        np.where(onset < NEVER, habits.maintenance[1], habits.maintenance[0]), size
    )
    boosters = _booster_days(arm, last, kept_on, habits, draws)
    courses = pd.DataFrame(
        {
            "person": people["person"].to_numpy(),
            "protocol": arm.protocol,
            "steps": arm.visits,
            "first": start,
            "last": last,
            "given": given,
            "boosted": kept_on,
            "step": step,
            "remission_step": remission_step,
            "pcl5_step": pcl5_step,
            "onset": onset,
            "remission": day_after(days, there, remission_step),
            "pcl5_onset": day_after(days, there, pcl5_step),
            "worse_step": worse_step,
            "worse": day_after(days, there, worse_step),
            "recovered": day_after(days, there, recovered_step),
            "lost": _lost(last, boosters[:, 0], kept_on, habits, draws),
            "reached": NEVER,
        }
    )
    doses = _visit_doses(arm, people, days, there, boosters)
    asks = _visit_asks(people, courses, days, there, boosters, habits, draws)
    return Series(courses, doses[doses["day"] <= cut], asks[asks["day"] <= cut])


def _session_days(arm: VisitArm, start: Whole, habits: Habits, draws: Draws) -> Whole:
    size, gaps = len(start), len(arm.gaps)
    late = draws.pick(habits.late, size * gaps).reshape(size, gaps)
    long_gap = np.where(draws.yes(habits.long_gap, size), draws.below(gaps, size), -1)
    gap = np.array(arm.gaps) + late + 7 * (np.arange(gaps) == long_gap[:, None])
    return not_sunday(start[:, None] + np.hstack([np.zeros((size, 1), np.int64), np.cumsum(gap, axis=1)]))


def _booster_days(arm: VisitArm, last: Whole, kept_on: Flags, habits: Habits, draws: Draws) -> Whole:
    size = len(last)
    gaps = draws.between(*arm.booster, size, arm.boosters)
    gaps[:, 0] = draws.between(*arm.first_booster, size)
    gaps[:, 1 : 1 + arm.weekly_boosters] = 7
    days = not_sunday(last[:, None] + np.cumsum(gaps, axis=1))
    going = np.logical_and.accumulate(~draws.yes(habits.booster_stop, size, arm.boosters - 1), axis=1)
    coming = kept_on[:, None] & np.hstack([np.ones((size, 1), dtype=bool), going])
    return np.where(coming, days, NEVER)


def _lost(last: Whole, first_booster: Whole, kept_on: Flags, habits: Habits, draws: Draws) -> Whole:
    """The day the effect is lost: faster without boosters than once they have begun."""
    size = len(last)
    alone = last + habits.steady_days + draws.wait(habits.fade, size)
    boosted = first_booster + draws.wait(habits.fade_on_boosters, size)
    return np.where(kept_on & (alone > first_booster), boosted, alone)


def _visit_doses(
    arm: VisitArm, people: pd.DataFrame, days: Whole, there: Flags, boosters: Whole
) -> pd.DataFrame:
    size = len(people)
    target = people["target"].to_numpy()
    ladder = np.minimum(arm.first_dose + arm.step * np.arange(arm.visits), target[:, None])
    when = np.hstack([np.where(there, days, NEVER), boosters])
    amount = np.hstack([ladder, np.repeat(ladder[:, -1:], boosters.shape[1], axis=1)])
    taken = when < NEVER
    course = np.repeat(np.arange(size), when.shape[1]).reshape(when.shape)
    return pd.DataFrame(
        {
            "course": course[taken],
            "day": when[taken],
            "amount": amount[taken],
            "route": arm.route,
            "unit": arm.unit,
        }
    )


def _ask(course: Whole, day: Whole, answered: NDArray[np.float64], *, gad7: bool = False) -> pd.DataFrame:
    table = pd.DataFrame({"course": course, "day": day, "answered": answered, "gad7": gad7})
    return table.assign(whole=False, shift=0)[day < NEVER]


def baseline_asks(people: pd.DataFrame, first: Whole, draws: Draws) -> pd.DataFrame:
    """Forms before the first dose: at an intake visit, that day, or both; the last one is the baseline."""
    size = len(people)
    course = np.arange(size)
    always = np.ones(size)
    form = draws.pick((0.5, 0.3, 0.2), size)  # both, intake only, the day of the first dose only
    intake = _ask(course, np.where(form <= 1, first - draws.between(2, 10, size), NEVER), always, gad7=True)
    shift = np.where(form == 0, draws.between(-2, 2, size), 0)
    intake = intake.assign(shift=shift[intake["course"].to_numpy()])
    same_day = _ask(course, np.where(form != 1, first, NEVER), always)
    same_day = same_day.assign(gad7=form[same_day["course"].to_numpy()] == 2)
    asks = pd.concat([intake, same_day], ignore_index=True).assign(whole=True)
    asked = people["asked_before"].to_numpy(dtype=bool)
    kept: pd.DataFrame = asks.loc[asked[asks["course"].to_numpy()]]
    return kept


def _visit_asks(
    people: pd.DataFrame,
    courses: pd.DataFrame,
    days: Whole,
    there: Flags,
    boosters: Whole,
    habits: Habits,
    draws: Draws,
) -> pd.DataFrame:
    size = len(people)
    course = np.arange(size)
    answered = people["answered"].to_numpy()
    last = courses["last"].to_numpy()
    completed = courses["given"].to_numpy() == courses["steps"].to_numpy()
    boosted = boosters[:, 0] < NEVER
    weekly = boosted & (boosters[:, 0] <= last + 8)
    parts = [baseline_asks(people, days[:, 0], draws)]
    parts += [
        _ask(course, np.where(there[:, k], days[:, k], NEVER), answered) for k in range(1, days.shape[1])
    ]
    # The last session is judged by a call two to five days later, or by the next weekly visit.
    call = np.where(completed & ~weekly, last + draws.between(2, 5, size), NEVER)
    reached = np.where(completed, habits.end_asked, habits.phoned)
    fortnight = np.where(~weekly & draws.yes(reached, size), last + draws.between(12, 16, size), NEVER)
    alone = completed & ~boosted
    month = np.where(alone & draws.yes(0.45, size), last + draws.between(26, 30, size), NEVER)
    later = np.where(alone & draws.yes(0.30, size), last + draws.between(52, 60, size), NEVER)
    parts += [_ask(course, call, answered), _ask(course, fortnight, answered, gad7=True)]
    parts += [_ask(course, month, answered), _ask(course, later, answered)]
    parts += [
        _ask(course, boosters[:, k], answered * (1.0 if k == 0 else 0.85)) for k in range(boosters.shape[1])
    ]
    return pd.concat(parts, ignore_index=True)


def home_series(arm: HomeArm, people: pd.DataFrame, cut: int, habits: Habits, draws: Draws) -> Series:
    """Courses at home, titrated slowly and judged by week, for `people`, one row each."""
    size = len(people)
    start = people["start"].to_numpy()
    pace = draws.below(len(arm.paces), size)
    responder = draws.yes(
        arm.responders * np.where(people["benzodiazepine"], habits.benzodiazepine_factor, 1.0), size
    )
    low, remission_after_low = onsets(arm.low_onset, responder, arm.lag, arm.remitters, draws)
    full, remission_after_full = onsets(arm.onset, responder, arm.lag, arm.remitters, draws)
    first_week = np.array(arm.first_week)[pace]
    early = draws.yes(arm.low_dose, size)
    step = np.where(early | ~responder, low, full + first_week - 1)
    remission_step = np.where(early, remission_after_low, remission_after_full + first_week - 1)
    pcl5_step = pcl5_onsets(step, arm.weeks // 2, habits, draws)
    worse_step, recovered_step = worsening(people, step, habits)
    lost_step = np.where(step < NEVER, step + draws.wait(arm.relapse, size), NEVER)
    there = staying(np.where(step < NEVER, step, NEVER), arm.weeks, arm.stop, draws)
    weeks = there.sum(axis=1)
    opened = (step < NEVER) & (step <= weeks)
    level_day = 8 * np.array(arm.paces)[pace]
    last = np.minimum(7 * weeks + 2, 7 * arm.weeks)
    courses = pd.DataFrame(
        {
            "person": people["person"].to_numpy(),
            "protocol": arm.protocol,
            "steps": arm.weeks,
            "first": start,
            "last": start + last,
            "given": weeks,
            "boosted": False,
            "step": step,
            "remission_step": np.where(remission_step < NEVER, remission_step, NEVER),
            "pcl5_step": pcl5_step,
            "lost_step": lost_step,
            "pace": np.array(arm.paces)[pace],
            "onset": _week_opens(start, step, opened),
            "remission": _week_opens(start, remission_step, remission_step <= weeks),
            "pcl5_onset": _week_opens(start, pcl5_step, pcl5_step <= weeks),
            "worse_step": worse_step,
            "worse": _week_opens(start, worse_step, worse_step <= weeks),
            "recovered": _week_opens(start, recovered_step, recovered_step <= weeks),
            "lost": _week_opens(start, lost_step, lost_step < NEVER),
            "reached": np.where((early & opened) | (level_day > last), NEVER, start + level_day),
        }
    )
    doses = _home_doses(arm, people, courses)
    asks = _home_asks(arm, people, courses, draws)
    return Series(courses, doses[doses["day"] <= cut], asks[asks["day"] <= cut])


def _week_opens(start: Whole, week: Whole, begins: Flags) -> Whole:
    """The first day whose score is counted for that week: three days before day 7 x week."""
    return np.where(begins, start + 7 * np.minimum(week, 10_000) - 3, NEVER)


def _home_doses(arm: HomeArm, people: pd.DataFrame, courses: pd.DataFrame) -> pd.DataFrame:
    size = len(people)
    pace = courses["pace"].to_numpy()
    count = arm.steps + arm.weeks
    number = np.arange(count)
    climbing = pace[:, None] * np.minimum(number, arm.steps)
    since = climbing + 7 * np.maximum(number - arm.steps, 0)
    day = courses["first"].to_numpy()[:, None] + since
    rung = np.minimum(number + 1, arm.steps)
    # Who responds below the level stops climbing.
    stays_low = (courses["onset"] < NEVER) & (courses["reached"] == NEVER)
    frozen = np.where(stays_low, (courses["onset"] - courses["first"]) // pace + 1, arm.steps)
    amount = people["target"].to_numpy()[:, None] * 100 // arm.steps * np.minimum(rung, frozen[:, None])
    taken = day <= courses["last"].to_numpy()[:, None]
    course = np.repeat(np.arange(size), count).reshape(day.shape)
    return pd.DataFrame(
        {
            "course": course[taken],
            "day": day[taken],
            "amount": amount[taken],
            "route": arm.route,
            "unit": arm.unit,
        }
    )


def _home_asks(arm: HomeArm, people: pd.DataFrame, courses: pd.DataFrame, draws: Draws) -> pd.DataFrame:
    size = len(people)
    course = np.arange(size)
    first = courses["first"].to_numpy()
    weeks = courses["given"].to_numpy()
    answered = people["answered"].to_numpy()
    parts = [baseline_asks(people, first, draws)]
    for week in arm.asked:
        day = first + 7 * week + draws.between(-1, 1, size)
        parts.append(_ask(course, np.where(weeks >= week, day, NEVER), answered, gad7=week == 8))
    return pd.concat(parts, ignore_index=True)
