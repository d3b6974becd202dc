"""Two titration trials in which the effect of the dose is known: none at all, and everything.

A clock that starts at an adequate dose selects on the future: those who respond at a low dose stop climbing,
those who leave never arrive. `null` plants no effect of dose whatever, so any difference an analysis finds
there is the analysis's own. `dose_matters` plants the opposite.

The week is the unit. In week w a person who has not responded may respond (chance `hazard`, where dose
allows), and if not, may leave (chance .04). Responders stay, stay at the dose at which they responded, and
respond at every later score. Doses are weekly, 20, 40, 60, 80 and then 100 of a target of 100: the level of
90 is reached on day 28 by those still there and unresponded. Scores are weekly, before that day's dose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ketaoutcomes.simulate.draws import Draws
from ketaoutcomes.simulate.planting import NEVER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Whole = NDArray[np.int64]

HAZARDS = (0.25, 0.02)
"""Weekly chance of response of the two halves."""

LEAVING = 0.04
"""Weekly chance of leaving without response."""

LADDER = (20, 40, 60, 80, 100)
"""The weekly doses; the last is repeated."""

TARGET, LEVEL, LEVEL_WEEK = 100, 90, 4
BASELINE = 20
ENTRY = np.datetime64("2025-01-01", "D")
"""First calendar day of a staggered trial."""


@dataclass(frozen=True)
class Trial:
    """A simulated titration trial: `ko.Cohort.from_frames(trial.doses, trial.scores, trial.people)`.

    Attributes
    ----------
    doses, scores, people
        Typed frames. Days count from the first dose and `people.cut_day` says how long each was followed; a
        staggered trial has `date` in their place, to be cut at an as-of date.
    truth
        One row per patient: `hazard`, `response_week`, `left_week` and `reached_day`, blank where never.
    planted
        The chances of the whole trial, by week, worked out on paper: see `planted_rates`.

    >>> from ketaoutcomes import simulate
    >>> trial = simulate.null(patients=100)
    >>> ko.Cohort.from_frames(trial.doses, trial.scores, trial.people)
    Cohort(100 patients, 2,126 doses, 2,157 scores of phq9; day offsets; 0 problems)
    """

    doses: pd.DataFrame
    scores: pd.DataFrame
    people: pd.DataFrame
    truth: pd.DataFrame
    planted: pd.DataFrame


def null(patients: int = 2000, seed: int = 2026, *, weeks: int = 26, staggered_days: int = 0) -> Trial:
    """A titration trial in which dose does nothing.

    Half the people have a weekly response hazard of .25, half of .02, whatever they take. With
    `staggered_days` they enter on calendar days spread over that many days. The analyses this is meant to
    catch: "among those who reached the level, from arrival" finds 31 % where 53 % of all respond by week 12.

    >>> from ketaoutcomes import simulate
    >>> trial = simulate.null(patients=100)
    >>> round(float(trial.planted.set_index("week").loc[12, "all_started"]), 3)
    0.525
    """
    return _trial(patients, seed, weeks, staggered_days, starts_working=1)


def dose_matters(
    patients: int = 2000, seed: int = 2026, *, weeks: int = 26, staggered_days: int = 0
) -> Trial:
    """A titration trial in which only doses at the level work: the same hazards, from day 28 on.

    >>> from ketaoutcomes import simulate
    >>> planted = simulate.dose_matters(patients=100).planted.set_index("week")
    >>> float(planted.loc[4, "all_started"]), round(float(planted.loc[12, "all_started"]), 3)
    (0.0, 0.407)
    """
    return _trial(patients, seed, weeks, staggered_days, starts_working=LEVEL_WEEK + 1)


def planted_rates(weeks: int, *, starts_working: int = 1) -> pd.DataFrame:
    """The chances planted, by week, from the hazards alone.

    Columns, each a share of all who started unless said otherwise: `all_started` responded by that week;
    `before_level` and `after_level`, its two parts; `left` without response; `reached` the level by then;
    and three biased figures for a trial read at that week, each an answer to another question than the one
    asked. `from_arrival`: of those who reached the level, responded within so many weeks of it.
    `adequate_only`: of all who responded by week 12 or stayed without response for so many weeks from the
    level, those who responded. `over_reached`: all who responded by that week over those who reached it.

    With no effect of dose, week 12 and 8 weeks from arrival, these are 31 %, 59 % and near 100 %, where
    52.5 % respond.

    >>> table = planted_rates(26).set_index("week")
    >>> round(float(table.loc[12, "all_started"]), 3), round(float(table.loc[8, "from_arrival"]), 2)
    (0.525, 0.31)
    """
    week = np.arange(weeks + 1)
    hazards = np.array(HAZARDS)[:, None] * (week[1:] >= starts_working)
    stays = (1 - hazards) * (1 - LEAVING)
    unresponded = np.hstack([np.ones((2, 1)), np.cumprod(stays, axis=1)])
    responds = np.hstack([np.zeros((2, 1)), np.cumsum(unresponded[:, :-1] * hazards, axis=1)])
    leaves = np.hstack([np.zeros((2, 1)), np.cumsum(unresponded[:, :-1] * (1 - hazards) * LEAVING, axis=1)])
    level = min(LEVEL_WEEK, weeks)
    all_started = responds.mean(axis=0)
    before = np.minimum(all_started, all_started[level])
    reached = unresponded[:, level].mean()
    later = np.minimum(level + week, weeks)
    from_arrival = (all_started[later] - all_started[level]) / reached
    by_12 = all_started[min(12, weeks)]
    return pd.DataFrame(
        {
            "week": week,
            "all_started": all_started,
            "before_level": before,
            "after_level": all_started - before,
            "left": leaves.mean(axis=0),
            "reached": np.where(week >= LEVEL_WEEK, reached, 0.0),
            "from_arrival": np.where(level + week <= weeks, from_arrival, np.nan),
            "adequate_only": np.where(
                level + week <= weeks, by_12 / (by_12 + reached * (1 - from_arrival)), np.nan
            ),
            "over_reached": all_started / reached,
        }
    )


def _trial(patients: int, seed: int, weeks: int, staggered_days: int, *, starts_working: int) -> Trial:
    draws = Draws(seed, "titration")
    hazard = np.array(HAZARDS)[np.arange(patients) % 2]
    luck = draws.unit(2, patients, weeks)
    working = np.arange(1, weeks + 1) >= starts_working
    responds = _first(luck[0] < hazard[:, None] * working)
    leaves = _first(luck[1] < LEAVING)
    response = np.where(responds <= leaves, responds, NEVER)
    left = np.where(response == NEVER, leaves, NEVER)
    entry = draws.below(max(staggered_days, 1), patients)
    # The last week with a dose: the one before leaving; the doses after a response go on.
    last = np.minimum(left - 1, weeks)
    width = len(str(patients))
    patient = np.array([f"T{number:0{width}d}" for number in range(1, patients + 1)])
    truth = pd.DataFrame(
        {
            "patient": patient,
            "hazard": hazard,
            "response_week": _or_blank(response),
            "left_week": _or_blank(left),
            "reached_day": _or_blank(
                np.where((response > LEVEL_WEEK) & (left > LEVEL_WEEK), 7 * LEVEL_WEEK, NEVER)
            ),
        }
    )
    days = (patient, entry if staggered_days else None)
    doses = _doses(days, response, last)
    people = pd.DataFrame({"patient": patient, "target_dose": float(TARGET), "target_unit": "mg"})
    if staggered_days:
        people["target_date"] = _dates(entry, np.zeros(patients, np.int64))
    else:
        people = people.assign(target_day=0, cut_day=7 * weeks + 3)
    planted = planted_rates(weeks, starts_working=starts_working)
    return Trial(doses, _scores(days, response, np.minimum(left, weeks), draws), people, truth, planted)


def _first(happens: NDArray[np.bool_]) -> Whole:
    """The first week, from 1, in which it happens; `NEVER` where it does not."""
    return np.where(happens.any(axis=1), happens.argmax(axis=1) + 1, NEVER)


def _or_blank(whole: Whole) -> pd.Series[int]:
    column = pd.Series(whole)
    return column.where(column < NEVER).astype("Int64")


def _dates(entry: Whole, day: Whole) -> NDArray[np.datetime64]:
    return (ENTRY + (entry + day).astype("timedelta64[D]")).astype("datetime64[s]")


def _rows(who: tuple[NDArray[np.str_], Whole | None], last: Whole) -> tuple[pd.DataFrame, Whole, Whole]:
    """One row per person and week from 0 to `last`: patient with day or date; who; the week."""
    patient, entry = who
    person = np.repeat(np.arange(len(last)), last + 1)
    week = np.arange(len(person)) - np.repeat(np.cumsum(last + 1) - (last + 1), last + 1)
    when = {"day": 7 * week} if entry is None else {"date": _dates(entry[person], 7 * week)}
    return pd.DataFrame({"patient": patient[person], **when}), person, week


def _doses(who: tuple[NDArray[np.str_], Whole | None], response: Whole, last: Whole) -> pd.DataFrame:
    table, person, week = _rows(who, last)
    # Whoever responds in week w has had the dose of week w - 1, and keeps it.
    rung = np.minimum(np.minimum(week, response[person] - 1), len(LADDER) - 1)
    return table.assign(dose=np.array(LADDER, dtype=np.float64)[rung], unit="mg", route="sublingual")


def _scores(
    who: tuple[NDArray[np.str_], Whole | None], response: Whole, last: Whole, draws: Draws
) -> pd.DataFrame:
    table, person, week = _rows(who, last)
    met = week >= response[person]
    wobble = draws.below(np.where(met, BASELINE // 2 + 1, BASELINE // 2), len(person))
    score = np.where(met, wobble, BASELINE - wobble)
    return table.assign(phq9=np.where(week == 0, BASELINE, score))
