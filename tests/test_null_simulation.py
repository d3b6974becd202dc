"""Where dose does nothing, good time must find nothing: what is unbiased, and what misleads, by simulation.

The trial is `simulate.null`: half the people respond with a chance of .25 a week, half with .02, whatever
they take; doses climb only while there is no response; those without response leave. True chances are worked
out on paper in `simulate.planted_rates`.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

import ketaoutcomes as ko
from ketaoutcomes import simulate

PEOPLE = 20_000
WEEKS = (1, 2, 4, 6, 8, 12)
DAYS = [7 * week for week in WEEKS]
# Entry over a year from 1 January 2025, cut in September: a third have not entered, many are not at week 12.
STAGGERED, CUT = 365, "2025-09-01"


def judged(trial, as_of=None):
    return ko.Study(ko.Cohort.from_frames(trial.doses, trial.scores, trial.people), as_of)


def planted(trial):
    """True shares of everyone who started, by day; who stays without response is covered, who left is not."""
    chances = trial.planted.set_index("week").loc[list(WEEKS)]
    truth = {
        "all_started": chances["all_started"],
        "responded_before": chances["before_level"],
        "responded_after": chances["after_level"],
        "lapsed": chances["left"],  # the last dose was a week before they left, and speaks for a week
    }
    staying = 1 - chances["all_started"] - chances["left"]
    reached = np.array(WEEKS) >= simulate.titration.LEVEL_WEEK
    truth |= {"titrating": staying * ~reached, "adequate": staying * reached, "dipped": 0 * staying}
    return {name: values.to_numpy() for name, values in truth.items()}


def found(study):
    """The package's own figures for the same days, and their standard errors."""
    table = study.state_occupation(days=DAYS)
    shares = {name: rows["share"].to_numpy() for name, rows in table.groupby("state")}
    errors = {name: rows["se"].to_numpy() for name, rows in table.groupby("state")}
    curve = study.all_started(days=DAYS)
    return shares | {"all_started": curve["share"].to_numpy()}, errors | {
        "all_started": curve["se"].to_numpy()
    }


@pytest.mark.parametrize("staggered", [False, True])
def test_state_occupation_is_unbiased_under_the_null(staggered):
    trial = simulate.null(patients=PEOPLE, weeks=26, staggered_days=STAGGERED if staggered else 0)
    study = judged(trial, CUT if staggered else None)
    shares, errors = found(study)
    truth = planted(trial)
    assert set(shares) == set(truth)
    for name, expected in truth.items():
        off = np.abs(shares[name] - expected)
        assert (off <= 4 * errors[name] + 1e-12).all(), name
    followed = study.all_started(days=[0, 84])["at_risk"]
    assert (followed.iloc[1] < 0.4 * followed.iloc[0]) if staggered else followed.iloc[0] == PEOPLE


@pytest.mark.parametrize("staggered", [False, True])
def test_the_all_started_rate_is_unbiased_under_the_null(staggered):
    trial = simulate.null(patients=PEOPLE, weeks=26, staggered_days=STAGGERED if staggered else 0)
    study = judged(trial, CUT if staggered else None)
    table = study.rates(at="week", criteria="phq9_response50", analysis="nri").set_index("point")
    table = table.loc[[str(week) for week in WEEKS]]
    truth = planted(trial)["all_started"]
    error = np.sqrt(truth * (1 - truth) / table["n"].to_numpy())
    assert (np.abs(table["rate"].to_numpy() - truth) < 4 * error).all()
    assert (np.diff(table["n"]) < 0).all() if staggered else (table["n"] == PEOPLE).all()


def test_two_thirds_cut_short_loses_precision_and_nothing_else():
    whole = simulate.null(patients=PEOPLE, weeks=26)
    cut = simulate.null(patients=PEOPLE, weeks=26, staggered_days=STAGGERED)
    everyone, early = found(judged(whole)), found(judged(cut, "2025-05-01"))
    n = PEOPLE * 120 / STAGGERED
    assert early[1]["all_started"][-1] > 1.5 * everyone[1]["all_started"][-1]
    assert early[1]["all_started"][-1] > sqrt(0.525 * 0.475 / n)
    assert abs(early[0]["all_started"][-1] - 0.525) < 4 * early[1]["all_started"][-1]


def test_biased_figures_are_those_the_page_prints():
    # GOOD_TIME.md, Honesty: 31 %, 59 % and 99.7 % where 52.5 % respond by week 12.
    trial = simulate.null(patients=PEOPLE, weeks=13)
    study = judged(trial)
    table = study.good_time()
    by_12 = table["response_day"].le(84).fillna(False).to_numpy(dtype=bool)
    reached = table["reached_day"].notna().to_numpy()
    margin = 4 * sqrt(0.25 / PEOPLE)
    assert by_12.mean() == pytest.approx(0.525, abs=margin)

    arrived = reached & ~table["status"].eq("responded_before").to_numpy()
    within = arrived & (table["response_day"] - table["reached_day"]).le(56).fillna(False).to_numpy(
        dtype=bool
    )
    assert within.sum() / arrived.sum() == pytest.approx(0.308, abs=2 * margin)

    stopped_short = table["group"].isin(["stopped_short", "not_evaluable"]).to_numpy() & ~reached
    assert by_12.sum() / reached.sum() == pytest.approx(0.997, abs=4 * margin)
    assert by_12.sum() / (by_12 | ~stopped_short).sum() == pytest.approx(0.590, abs=2 * margin)


def test_a_clock_from_the_level_answers_another_question():
    trial = simulate.null(patients=PEOPLE, weeks=26)
    study = judged(trial)
    truth = trial.planted.set_index("week")
    table = study.from_reached(days=[56, 84])
    responded = table[table["event"] == "responded"]
    # A proper curve, with lapse competing: still 31 % by 8 weeks and 35 % by 12, where 52.5 % of all respond.
    expected = truth.loc[[8, 12], "from_arrival"].to_numpy()
    assert (np.abs(responded["share"].to_numpy() - expected) < 4 * responded["se"].to_numpy()).all()
    assert (responded["high"] < 0.40).all()
    assert responded["among"].eq("those who reached it unresponded").all()
    late = study.delayed_entry(days=[84])
    late = late[late["event"] == "responded"]
    assert float(late["high"].iloc[0]) < 0.35  # of 52.5 %


def test_where_only_adequate_doses_work_the_bands_show_it():
    trial = simulate.dose_matters(patients=PEOPLE, weeks=26)
    shares, errors = found(judged(trial))
    truth = planted(trial)
    assert (shares["responded_before"] == 0).all()
    for name in ("all_started", "responded_after", "lapsed", "adequate"):
        assert (np.abs(shares[name] - truth[name]) <= 4 * errors[name] + 1e-12).all(), name


@pytest.mark.slow
@pytest.mark.parametrize("staggered", [False, True])
def test_over_many_trials_there_is_no_bias_and_intervals_cover(staggered):
    trials, people = 150, 300
    errors, covered = {}, []
    for seed in range(trials):
        trial = simulate.null(
            patients=people, seed=seed, weeks=26, staggered_days=STAGGERED if staggered else 0
        )
        study, truth = judged(trial, CUT if staggered else None), planted(trial)
        shares, _ = found(study)
        curve = study.all_started(days=DAYS)
        for name, expected in truth.items():
            errors.setdefault(name, []).append(shares[name] - expected)
        inside = (curve["low"] <= truth["all_started"]) & (truth["all_started"] <= curve["high"])
        covered.append(inside.to_numpy())
    for name, off in errors.items():
        spread = np.std(off, axis=0, ddof=1) / sqrt(trials)
        assert (np.abs(np.mean(off, axis=0)) <= 4 * spread + 1e-12).all(), name
    # Rather more than .95: the trial has exactly half its people of each kind, so less is left to chance.
    assert (np.mean(covered, axis=0) > 0.92).all()
