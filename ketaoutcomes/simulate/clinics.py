"""A year and a half of three ketamine clinics, with the truth planted in it known.

The rates to be found are fixed before a single questionnaire is answered: who responds, after which session,
and when it fades. Answers are then drawn to agree with that. So a test can ask whether the package finds what
was planted, person by person and in every rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.records.monitoring import READINGS, YES_NO
from ketaoutcomes.simulate.answers import BLANK, leave_blank, same_verdict, spread, with_last
from ketaoutcomes.simulate.draws import Draws
from ketaoutcomes.simulate.expected import expected_rates
from ketaoutcomes.simulate.planting import ARMS, HABITS, NEVER, VISIT_ARMS, Habits, HomeArm
from ketaoutcomes.simulate.series import Series, home_series, not_sunday, visit_series
from ketaoutcomes.simulate.watching import watched

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

START = np.datetime64("2025-05-01", "D")
"""Day 0 of the calendar: the first day on which a course may begin."""

DAYS = 549
"""Days on which courses begin, and on which anything is recorded: to 31 October 2026."""

PHQ9 = tuple(f"phq9_{item}" for item in range(1, 10))
PCL5 = tuple(f"pcl5_{item}" for item in range(1, 21))
PERSON = (
    "target_dose", "target_unit", "target_date", "weight_kg", "sex", "age_band",
    "prior_ketamine", "benzodiazepine", "lamotrigine",
)  # fmt: skip
COVARIATES = ("sex", "age_band", "prior_ketamine", "benzodiazepine", "lamotrigine")
COLUMNS = ("patient", "date", "site", "route", "dose", "unit", *PERSON, *PHQ9, *PCL5, "gad7", *READINGS)

NO_SCORE, NO_BASELINE, BELOW_GATE, ELIGIBLE = range(4)


@dataclass(frozen=True)
class Simulated:
    """A simulated clinic and what is true of it.

    Attributes
    ----------
    sessions
        One row per session or score-only visit, as in the CSV: a row without a dose is a questionnaire
        filled in between sessions; scores on a dosing day are from before the dose.
    truth
        One row per course, latent: `onset_day`, `remission_day`, `pcl5_onset_day` (first day whose scores
        meet PHQ-9 response, PHQ-9 remission, a PCL-5 fall of 15), `lost_day` (first day none does any
        more), `worse_day` and `recovered_day` (first day reliably worse, first day no longer) and, at home,
        `reached_day` (first dose of nine tenths of the target), counted from the first dose, blank where
        never; `onset_step` and the like (session, or week at home) also where the person left before it.
        `item9_baseline` and `item9_worse` are the answers planted to the self-harm item before treatment
        and, at least, while worse; blank where that item was left to chance.
    planted
        One row per protocol, site (`all`: every site), criterion and point: the rate planted (`latent`, had
        everybody stayed and answered) and the rates to expect from the file (`nri`, `observed`), with the
        eligible courses `n` they are expected in.

    >>> from ketaoutcomes import simulate
    >>> planted = simulate.clinic(patients=20, seed=1).planted
    >>> print(planted[["protocol", "criterion", "point", "n", "nri"]].head(2).round(2).to_string(index=False))
    protocol       criterion  point  n  nri
         iv6 phq9_response50      1 14 0.13
         iv6 phq9_response50      2 14 0.22
    """

    sessions: pd.DataFrame
    truth: pd.DataFrame
    planted: pd.DataFrame

    def frames(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Doses with what was recorded after them, scores (wide), people: as `Cohort.from_frames` takes.

        >>> from ketaoutcomes import simulate
        >>> doses, scores, people = simulate.clinic(patients=20, seed=1).frames()
        >>> len(ko.Cohort.from_frames(doses, scores, people).patients)
        20
        """
        dosed = self.sessions["dose"].notna()
        doses = self.sessions.loc[dosed, ["patient", "date", "dose", "unit", "route", "site", *READINGS]]
        filled = self.sessions[[*PHQ9, *PCL5, "gad7"]].notna().any(axis=1)
        scores = self.sessions.loc[filled, ["patient", "date", *PHQ9, *PCL5, "gad7"]]
        people = self.sessions.drop_duplicates("patient")[["patient", "site", *PERSON]]
        return tuple(table.reset_index(drop=True) for table in (doses, scores, people))  # type: ignore[return-value]

    def to_csv(self) -> str:
        """The sessions as CSV text: ISO dates, blank where nothing was recorded, lines ending in newline.

        >>> from ketaoutcomes import simulate
        >>> simulate.clinic(patients=20, seed=1).to_csv().splitlines()[1][:44]
        'P0011,2025-05-03,Harbour,sublingual,30,mg,30'
        """
        text = {name: _as_text(self.sessions[name]) for name in self.sessions.columns}
        lines = [",".join(text), *map(",".join, zip(*text.values(), strict=True))]
        return "\n".join(lines) + "\n"

    def write(self, path: Path) -> None:
        """Write `to_csv()` to a file, the same bytes on every machine.

        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from ketaoutcomes import simulate
        >>> with TemporaryDirectory() as folder:
        ...     simulate.clinic(patients=20, seed=1).write(Path(folder) / "sessions.csv")
        ...     len(ko.read(Path(folder) / "sessions.csv").patients)
        20
        """
        path.write_bytes(self.to_csv().encode("ascii"))


def _as_text(column: pd.Series[Any]) -> list[str]:
    blank = column.isna().to_numpy(dtype=bool)
    if column.dtype.kind == "M":
        words = np.datetime_as_string(column.to_numpy().astype("datetime64[D]"), unit="D")
    elif pd.api.types.is_numeric_dtype(column.dtype):
        values, where = np.unique(column.fillna(0).to_numpy(dtype=np.float64), return_inverse=True)
        words = np.array([f"{value:g}" for value in values.tolist()])[where]
    else:
        words = column.fillna("").to_numpy(dtype=str)
    return np.where(blank, "", words).tolist()  # type: ignore[no-any-return]


def clinic(patients: int = 1200, seed: int = 2026, *, habits: Habits = HABITS) -> Simulated:
    """Simulate three clinics over 18 months, with planted truth.

    IV six-in-three-weeks (about half), IM, esketamine and slowly titrated sublingual courses; drop-out,
    boosters, repeat courses, unanswered questionnaires and blank items. The same `patients` and `seed` give
    the same bytes on every machine and numpy version.

    >>> from ketaoutcomes import simulate
    >>> small = simulate.clinic(patients=20, seed=1)
    >>> small.sessions["patient"].nunique()
    20
    >>> small.truth.loc[0, ["patient", "protocol", "phq9"]].tolist()
    ['P0001', 'iv6', 'eligible']
    """
    people = _people(patients, habits, Draws(seed, "people"))
    people = _who_gets_worse(people, habits, Draws(seed, "getting worse"))
    first = _first_courses(people, habits, seed)
    again = _repeat_courses(people, first, habits, seed)
    series = Series.joined([*first, *again])
    courses = _with_people(series.courses, people)
    doses = series.doses.assign(person=courses["person"].to_numpy()[series.doses["course"]])
    answers = _answers(series.asks, courses, people, habits, Draws(seed, "answers"), Draws(seed, "item 9"))
    readings = watched(doses, habits, Draws(seed, "watching"))
    sessions = _sessions(doses, answers, readings, people)
    truth = _truth(courses, people)
    return Simulated(sessions, truth, expected_rates(truth, habits))


def _people(size: int, habits: Habits, draws: Draws) -> pd.DataFrame:
    arm = draws.pick([arm.share for arm in ARMS], size)
    places = np.array([arm.sites for arm in ARMS])
    site = (draws.unit(size)[:, None] >= np.cumsum(places, axis=1)[arm, :-1]).sum(axis=1)
    target = np.zeros(size, np.int64)
    for number, each in enumerate(ARMS):
        amounts, weights = zip(*each.targets, strict=True)
        target = np.where(arm == number, np.array(amounts)[draws.pick(weights, size)], target)
    kind = draws.pick(habits.baselines, size)
    phq9 = 10 + np.floor((draws.unit(size) + draws.unit(size)) * 9).astype(np.int64)
    has_ptsd = draws.yes(habits.pcl5_at_33, size)
    severe = 33 + np.floor((draws.unit(size) + draws.unit(size)) * 20).astype(np.int64)
    return pd.DataFrame(
        {
            "person": np.arange(size),
            "code": [f"P{number:04d}" for number in range(1, size + 1)],
            "arm": arm,
            "site": np.array([place.name for place in habits.sites])[site],
            "answered": np.array([place.answered for place in habits.sites])[site],
            "start": not_sunday(draws.below(DAYS - 1, size)),
            "target": target,
            "target_known": ~draws.yes(habits.no_target, size),
            "target_lead": draws.between(1, 10, size),
            "kind": kind,
            "phq9": np.where(kind == BELOW_GATE, draws.between(3, 9, size), phq9),
            "pcl5": np.where(has_ptsd, severe, draws.between(5, 32, size)),
            "gad7": draws.between(6, 20, size),
            "weight_kg": 50 + np.floor((draws.unit(size) + draws.unit(size)) * 30).astype(np.int64),
            "sex": np.where(draws.yes(0.6, size), "female", "male"),
            "age_band": np.array(["18-29", "30-44", "45-59", "60-74"])[draws.pick((2, 4, 3, 1), size)],
            "prior_ketamine": np.where(draws.yes(habits.prior_ketamine, size), "yes", "no"),
            "benzodiazepine": draws.yes(habits.benzodiazepine, size),
            "lamotrigine": np.where(draws.yes(habits.lamotrigine, size), "yes", "no"),
            "quantile": draws.unit(size),
        }
    )


def _who_gets_worse(people: pd.DataFrame, habits: Habits, draws: Draws) -> pd.DataFrame:
    """Who gets worse should there be no response, when, for how long, and what becomes of item 9."""
    size = len(people)
    can_rise = (people["phq9"] + habits.rise <= 27).to_numpy()
    deteriorates = draws.yes(habits.deteriorates, size) & can_rise
    item9 = draws.yes(habits.item9_rises, size) & deteriorates
    before = draws.yes(habits.item9_from, size).astype(np.int64)
    return people.assign(
        deteriorates=deteriorates,
        worse_luck=draws.unit(size),
        worse_recovers=draws.yes(habits.worse_recovers, size),
        item9_baseline=np.where(item9, before, BLANK),
        item9_worse=np.where(item9, before + draws.between(1, 2, size), BLANK),
    )


def _first_courses(people: pd.DataFrame, habits: Habits, seed: int) -> list[Series]:
    parts = []
    asked_before = people["kind"] >= BELOW_GATE
    for number, arm in enumerate(ARMS):
        mine = people.assign(asked_before=asked_before)[people["arm"] == number].reset_index(drop=True)
        draws = Draws(seed, f"course 1 {arm.protocol}")
        treat = home_series if isinstance(arm, HomeArm) else visit_series
        parts.append(_numbered(treat(arm, mine, DAYS - 1, habits, draws), 1))  # type: ignore[arg-type]
    return parts


def _repeat_courses(people: pd.DataFrame, first: list[Series], habits: Habits, seed: int) -> list[Series]:
    """Second courses of those who responded, stopped, lost it and came back after the course gap."""
    parts = []
    for arm, series in zip(VISIT_ARMS, first, strict=False):
        courses = series.courses
        draws = Draws(seed, f"course 2 {arm.protocol}")
        mine = people.loc[courses["person"]].reset_index(drop=True)
        gone = np.maximum(courses["lost"].to_numpy(), courses["last"].to_numpy() + arm.course_gap + 1)
        returns = gone + draws.between(3, 40, len(mine))
        able = (mine["kind"] == ELIGIBLE) & (courses["onset"] < NEVER) & ~courses["boosted"]
        able &= (returns < DAYS - 1) & (courses["given"] == arm.visits)
        back = np.flatnonzero(able.to_numpy() & draws.yes(habits.repeat, len(mine)))
        start = not_sunday(returns[back])
        again = mine.iloc[back].assign(start=start, asked_before=True).reset_index(drop=True)
        parts.append(_numbered(visit_series(arm, again, DAYS - 1, habits, draws), 2))
    return parts


def _numbered(series: Series, ordinal: int) -> Series:
    return Series(series.courses.assign(ordinal=ordinal), series.doses, series.asks)


def _with_people(courses: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    own = ["phq9", "pcl5", "gad7", "kind", "quantile", "item9_baseline", "item9_worse"]
    mine = people.loc[courses["person"], own].reset_index(drop=True)
    return pd.concat([courses, mine], axis=1)


def _answers(
    asks: pd.DataFrame,
    courses: pd.DataFrame,
    people: pd.DataFrame,
    habits: Habits,
    draws: Draws,
    item9_draws: Draws,
) -> pd.DataFrame:
    """The questionnaires that came back: person, day, items (-1: blank), GAD-7 total (-1: not asked)."""
    of = courses.loc[asks["course"]].reset_index(drop=True)
    luck = draws.unit(len(asks))
    back = (luck < asks["answered"].to_numpy()) & (of["kind"] != NO_SCORE).to_numpy()
    back &= _first_of_day(asks, of["person"], back)
    asks, of, luck = asks[back].reset_index(drop=True), of[back].reset_index(drop=True), luck[back]
    size = len(asks)
    day, whole = asks["day"].to_numpy(), asks["whole"].to_numpy()
    baseline = of["phq9"].to_numpy()
    lasting = day < of["lost"].to_numpy()
    responded = lasting & (of["onset"].to_numpy() <= day)
    remitted = lasting & (of["remission"].to_numpy() <= day)
    place = 0.6 * of["quantile"].to_numpy() + 0.4 * draws.unit(size)
    worse = draws.yes(habits.worse, len(courses))[asks["course"]] & (of["onset"] >= NEVER).to_numpy()
    elapsed = day - of["first"].to_numpy()
    low, high = _phq9_range(baseline, responded, remitted, worse, elapsed)
    deteriorated = (of["worse"].to_numpy() <= day) & (day < of["recovered"].to_numpy())
    low = np.where(deteriorated, baseline + habits.rise, low)
    high = np.where(deteriorated, np.minimum(baseline + habits.rise + 5, 27), high)
    phq9 = low + np.floor(place * (high - low + 1)).astype(np.int64)
    phq9 = np.where(whole, np.clip(baseline + asks["shift"].to_numpy(), 0, 27), phq9)
    pcl5 = _pcl5(of, lasting & (of["pcl5_onset"].to_numpy() <= day), whole, draws)
    gad7 = np.where(whole, of["gad7"], np.floor(of["gad7"] * np.where(responded, 0.45, 0.9)).astype(np.int64))
    leaning = _profiles(people, habits, draws)[of["person"]]
    answers = spread(phq9, 3, leaning[:, :9], draws)
    told = np.where(deteriorated, of["item9_worse"], of["item9_baseline"])
    told = np.where(of["worse"] < NEVER, told, BLANK)
    answers = with_last(answers, phq9, told, leaning[:, :9], item9_draws)
    forms = _with_gaps(answers, phq9, baseline, whole, habits, draws)
    asked_pcl5 = (of["pcl5"] >= 33).to_numpy() & (luck < habits.pcl5_asked * asks["answered"].to_numpy())
    asked_pcl5 |= whole & (asks["gad7"].to_numpy() | (of["pcl5"] >= 33).to_numpy())
    pcl5_forms = _pcl5_forms(pcl5, leaning[:, 9:], asked_pcl5, whole, habits, draws)
    table = pd.DataFrame(np.hstack([forms, pcl5_forms]), columns=[*PHQ9, *PCL5])
    return table.assign(person=of["person"], day=day, gad7=np.where(asks["gad7"], gad7, BLANK))


def _first_of_day(asks: pd.DataFrame, person: pd.Series[int], back: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """One form a day: where a later course's baseline falls on a day already asked about, that baseline."""
    table = pd.DataFrame({"person": person, "day": asks["day"], "lost": ~back, "later": ~asks["whole"]})
    order = table.sort_values(["lost", "later"], kind="stable")
    first = ~order.duplicated(["person", "day"])
    return np.asarray(first.sort_index(), dtype=np.bool_)


def _phq9_range(
    baseline: NDArray[np.int64],
    responded: NDArray[np.bool_],
    remitted: NDArray[np.bool_],
    worse: NDArray[np.bool_],
    elapsed: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lowest and highest total that agrees with the planted state; partial improvement takes its time."""
    half = baseline // 2
    low = np.maximum(half + 1, baseline - 2 - elapsed // 2)
    high = np.where(worse & (elapsed > 6), np.minimum(baseline + 5, 27), baseline)
    low = np.where(worse & (elapsed > 6), np.minimum(baseline + 1, 27), low)
    low, high = np.where(responded, np.minimum(5, half), low), np.where(responded, half, high)
    return np.where(remitted, 0, low), np.where(remitted, np.minimum(4, half), high)


def _pcl5(
    of: pd.DataFrame, fallen: NDArray[np.bool_], whole: NDArray[np.bool_], draws: Draws
) -> NDArray[np.int64]:
    baseline = of["pcl5"].to_numpy()
    place = 0.6 * of["quantile"].to_numpy() + 0.4 * draws.unit(len(of))
    low = np.where(fallen, 0, np.maximum(baseline - 14, np.minimum(33, baseline)))
    high = np.where(fallen, np.maximum(baseline - 15, 0), np.minimum(baseline + 6, 80))
    score = low + np.floor(place * (high - low + 1)).astype(np.int64)
    return np.where(whole, baseline, score)


def _profiles(people: pd.DataFrame, habits: Habits, draws: Draws) -> NDArray[np.float64]:
    """How each person's items lean, 9 and then 20; the self-harm item of the PHQ-9 leans low."""
    profiles = draws.unit(len(people), 29) * 0.5
    profiles[:, 8] += habits.item9
    return profiles


def _with_gaps(
    answers: NDArray[np.int8],
    totals: NDArray[np.int64],
    baseline: NDArray[np.int64],
    whole: NDArray[np.bool_],
    habits: Habits,
    draws: Draws,
) -> NDArray[np.int8]:
    size = len(totals)
    luck = draws.unit(size)
    few = ~whole & (luck < habits.few_blank)
    many = ~whole & (luck >= habits.few_blank) & (luck < habits.few_blank + habits.many_blank)
    gaps = leave_blank(answers, np.where(few, draws.between(1, 2, size), 0), draws)
    keep = same_verdict(gaps, totals, baseline, habits.rise)
    answers = np.where(keep[:, None], gaps, answers)
    return leave_blank(answers, np.where(many, draws.between(3, 5, size), 0), draws)


def _pcl5_forms(
    totals: NDArray[np.int64],
    leaning: NDArray[np.float64],
    asked: NDArray[np.bool_],
    whole: NDArray[np.bool_],
    habits: Habits,
    draws: Draws,
) -> NDArray[np.int8]:
    answers = spread(totals, 4, leaning, draws)
    size = len(totals)
    gappy = ~whole & draws.yes(habits.pcl5_blank, size)
    answers = leave_blank(answers, np.where(gappy, draws.between(1, 3, size), 0), draws)
    return np.where(asked[:, None], answers, np.int8(BLANK))


def _sessions(
    doses: pd.DataFrame, answers: pd.DataFrame, readings: pd.DataFrame, people: pd.DataFrame
) -> pd.DataFrame:
    """One row per person and day on which there was a dose, a form or both, in the order of the calendar."""
    rows = doses.drop(columns="course").merge(answers, on=["person", "day"], how="outer", validate="1:1")
    rows = rows.merge(readings, on=["person", "day"], how="left", validate="1:1")
    rows = rows.sort_values(["day", "person"], ignore_index=True)
    mine = people.loc[rows["person"]].reset_index(drop=True)
    unit = np.array([arm.unit for arm in ARMS])[mine["arm"]]
    scale = np.array([1 if isinstance(arm, HomeArm) else 100 for arm in ARMS])[mine["arm"]]
    target_day = (mine["start"] - mine["target_lead"]).to_numpy()
    known = mine["target_known"]
    table = {
        "patient": mine["code"],
        "date": START + rows["day"].to_numpy().astype("timedelta64[D]"),
        "site": mine["site"],
        "route": rows["route"],
        "dose": rows["amount"] / 100,
        "unit": rows["unit"],
        "target_dose": (mine["target"] / scale).where(known),
        "target_unit": pd.Series(unit).where(known),
        "target_date": pd.Series(START + target_day.astype("timedelta64[D]")).where(known),
        "weight_kg": mine["weight_kg"],
        "sex": mine["sex"],
        "age_band": mine["age_band"],
        "prior_ketamine": mine["prior_ketamine"],
        "benzodiazepine": np.where(mine["benzodiazepine"], "yes", "no"),
        "lamotrigine": mine["lamotrigine"],
    }
    scores = rows[[*PHQ9, *PCL5, "gad7"]]
    filled = scores.where(scores != BLANK).astype("Int8")
    seen = rows[list(READINGS)]
    kept = seen.where(seen != BLANK).astype("Int16")
    told = {name: kept[name].map({0: "no", 1: "yes"}) for name in YES_NO}
    return pd.concat([pd.DataFrame(table), filled, kept.assign(**told)], axis=1)[list(COLUMNS)]


def _truth(courses: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    mine = people.loc[courses["person"]].reset_index(drop=True)
    kinds = np.array(["no_score", "no_baseline", "below_gate", "eligible"])
    first = courses["first"]
    days = {
        f"{name}_day": (courses[column] - first).where(courses[column] < NEVER).astype("Int64")
        for name, column in (
            ("onset", "onset"), ("remission", "remission"), ("pcl5_onset", "pcl5_onset"), ("lost", "lost"),
            ("reached", "reached"), ("worse", "worse"), ("recovered", "recovered"),
        )
    }  # fmt: skip
    steps = {
        f"{name}_step": courses[column].where(courses[column] < NEVER).astype("Int64")
        for name, column in (
            ("onset", "step"), ("remission", "remission_step"), ("pcl5_onset", "pcl5_step"),
            ("worse", "worse_step"),
        )
    }  # fmt: skip
    begins = (courses["onset"] < NEVER) | (courses["pcl5_onset"] < NEVER)
    days["lost_day"] = days["lost_day"].where(begins)
    scored = mine["kind"] >= BELOW_GATE
    table = pd.DataFrame(
        {
            "patient": mine["code"],
            "course": courses["ordinal"],
            "protocol": courses["protocol"],
            "site": mine["site"],
            "benzodiazepine": np.where(mine["benzodiazepine"], "yes", "no"),
            "first_date": START + first.to_numpy().astype("timedelta64[D]"),
            "last_induction_day": courses["last"] - first,
            "steps_given": courses["given"],
            "phq9": kinds[mine["kind"]],
            "pcl5": np.where(
                scored, np.where(mine["pcl5"] >= 33, "eligible", "below_gate"), kinds[mine["kind"]]
            ),
            "phq9_baseline": mine["phq9"].where(scored).astype("Int64"),
            "pcl5_baseline": mine["pcl5"].where(scored).astype("Int64"),
            **steps,
            **days,
            **_item9(courses),
        }
    )
    return table.sort_values(["patient", "course"], ignore_index=True)


def _item9(courses: pd.DataFrame) -> dict[str, pd.Series[int]]:
    """The answers planted to the self-harm item, of courses in which it was planted to rise."""
    planted = (courses["worse"] < NEVER) & (courses["item9_worse"] != BLANK)
    return {name: courses[name].where(planted).astype("Int64") for name in ("item9_baseline", "item9_worse")}
