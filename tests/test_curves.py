"""Curves from daily counts: cases to check by eye, printed tables, R's answers, and a slow reference."""

from __future__ import annotations

import csv
import json
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ketaoutcomes.estimates import curves

HERE = Path(__file__).resolve()
DATA = Path(os.environ.get("KETAOUTCOMES_REFERENCE_DATA") or HERE.parents[2] / "shared" / "data")
PRINTED = DATA / "survival-left-truncation"
R = json.loads((HERE.parent / "oracles" / "curves.json").read_text("utf-8"))
CLOSE = 1e-8


def published(name):
    path = PRINTED / name
    if not path.exists():
        pytest.skip("reference data absent: set KETAOUTCOMES_REFERENCE_DATA")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def per_day(days, day, weight=None):
    return np.bincount(np.asarray(day, dtype=int), weight, minlength=days + 1).astype(float)


def counts(entry, exits, event):
    """Daily numbers at risk and with the event, from follow-up intervals (entry, exit]."""
    entry, exits, event = (np.asarray(x, dtype=int) for x in (entry, exits, event))
    days = int(exits.max()) + 1
    return curves.at_risk(per_day(days, entry), per_day(days, exits)), per_day(days, exits, event)


def numbers(values):
    return np.array([np.nan if value is None else value for value in values], dtype=float)


# By eye


def test_kaplan_meier_of_four_people():
    # Day 1: one of four responds. Day 3: one of the two left does; the other has been censored on day 2.
    risk = curves.at_risk([4, 0, 0, 0, 0], [0, 1, 1, 1, 0])
    assert risk.tolist() == [4, 4, 3, 2, 1]
    curve = curves.kaplan_meier(risk, [0, 1, 0, 1, 0])
    assert curve.share.tolist() == [1, 0.75, 0.75, 0.375, 0.375]
    assert curve.se[1] == pytest.approx((0.75 * 0.25 / 4) ** 0.5)


def test_who_is_censored_on_a_day_is_still_at_risk_on_it():
    risk = curves.at_risk([5, 0, 0], [0, 3, 0])  # one event and two censored, all on day 1
    assert curves.kaplan_meier(risk, [0, 1, 0]).share.tolist() == [1, 0.8, 0.8]


def test_who_enters_on_a_day_is_at_risk_from_the_next():
    # One of two has the event on day 1, on which a third enters.
    risk = curves.at_risk([2, 1, 0], [0, 1, 1])
    assert risk.tolist() == [2, 2, 2]
    assert curves.kaplan_meier(risk, [0, 1, 1]).share.tolist() == [1, 0.5, 0.25]


def test_an_event_on_the_day_of_entry_counts_on_day_0():
    risk = curves.at_risk([4, 0], [1, 0])
    assert curves.kaplan_meier(risk, [1, 0]).share.tolist() == [0.75, 0.75]


def test_where_nobody_is_followed_any_more_nothing_is_known():
    risk = curves.at_risk([2, 0, 0, 0], [1, 1, 0, 0])  # an event on day 0, the other person censored on day 1
    curve = curves.kaplan_meier(risk, [1, 0, 0, 0])
    assert curve.share[:2].tolist() == [0.5, 0.5]
    assert np.isnan(curve.share[2:]).all()
    assert curve.empty.tolist() == [False, False, True, True]


def test_where_everyone_had_the_event_the_curve_stays_at_nobody():
    risk = curves.at_risk([3, 0, 0], [1, 2, 0])
    curve = curves.kaplan_meier(risk, [1, 2, 0])
    assert curve.share[1:].tolist() == [0, 0]
    assert not curve.empty.any()


def test_where_nobody_responds_the_curve_stays_at_everyone():
    curve = curves.kaplan_meier([10, 10], [0, 0])
    assert curve.share.tolist() == [1, 1]
    assert curve.se.tolist() == [0, 0]
    assert np.isnan(curve.low).all()  # no log-log limit at 1


def test_nobody_at_all_is_not_a_rate():
    curve = curves.kaplan_meier([0, 0], [0, 0])
    assert np.isnan(curve.share).all()
    assert curve.empty.all()
    occupied = curves.state_occupation([0, 0], np.zeros((2, 2, 2)), np.zeros((2, 2)))
    assert np.isnan(occupied.share).all()


def test_all_ties_on_one_day():
    curve = curves.cumulative_incidence([12], [[3, 4]])
    assert curve.share[0].tolist() == [0.25, pytest.approx(1 / 3)]
    assert curve.se[0] == pytest.approx([(0.25 * 0.75 / 12) ** 0.5, (2 / 9 / 12) ** 0.5])


def test_people_who_come_back_leave_their_state_again():
    # Of ten, four go to the second state on day 0; one censored there on day 1; two of three return on day 2.
    moves = np.zeros((3, 2, 2))
    moves[0, 0, 1], moves[2, 1, 0] = 4, 2
    censored = np.zeros((3, 2))
    censored[1, 1] = 1
    curve = curves.state_occupation([10, 0], moves, censored)
    assert curve.share[:, 1] == pytest.approx([0.4, 0.4, 0.4 / 3])
    assert curve.share.sum(axis=1) == pytest.approx([1, 1, 1])


def test_a_state_in_which_nobody_is_followed_ends_the_curve_unless_almost_nobody_is_in_it():
    moves = np.zeros((4, 3, 3))
    moves[0, 0, 1] = 2  # two of 1000 go to a state and are both censored there on day 1
    moves[3, 0, 2] = 499
    censored = np.zeros((4, 3))
    censored[1, 1] = 2
    curve = curves.state_occupation([1000, 0, 0], moves, censored)
    assert curve.share[3].tolist() == pytest.approx([0.499, 0.002, 0.499])
    moves[0, 0, 1], censored[1, 1], moves[3, 0, 2] = 20, 20, 490
    curve = curves.state_occupation([1000, 0, 0], moves, censored)
    assert curve.share[1].tolist() == pytest.approx([0.98, 0.02, 0])
    assert np.isnan(curve.share[2:]).all()
    assert curve.empty.tolist() == [False, False, True, True]
    waiting = curves.state_occupation([1000, 0, 0], moves, censored, most_lost=1)
    assert waiting.share[3].tolist() == pytest.approx([0.49, 0.02, 0.49])


def test_delayed_entry_starts_where_enough_are_at_risk():
    entered = [1, 10, 10, 0, 0, 0]
    responded = np.array([1, 0, 0, 0, 6, 3], dtype=float)
    risk = curves.at_risk(entered, responded)
    start = curves.enough_from(risk, 20)
    assert float(start) == 3
    curve = curves.cumulative_incidence(risk, responded[:, None], start=start)
    assert np.isnan(curve.share[:3]).all()
    assert curve.share[3:, 0] == pytest.approx([0, 0.3, 0.3 + 0.7 * 3 / 14])
    assert not curve.empty.any()
    never = curves.cumulative_incidence(risk, responded[:, None], start=curves.enough_from(risk, 100))
    assert np.isnan(never.share).all()


def test_a_hidden_count_hides_its_day_and_all_later_ones():
    curve = curves.kaplan_meier([8, 6, np.nan, 3], [2, 1, 1, 1])
    assert curve.share[:2] == pytest.approx([0.75, 0.625])
    assert np.isnan(curve.share[2:]).all()
    assert not curve.empty.any()
    moves = np.zeros((3, 2, 2))
    moves[:, 0, 1] = [2, np.nan, 1]
    occupied = curves.state_occupation([10, 0], moves, np.zeros((3, 2)))
    assert occupied.share[0].tolist() == pytest.approx([0.8, 0.2])
    assert np.isnan(occupied.share[1:]).all()
    assert np.isnan(occupied.se[1:]).all()
    assert not occupied.empty.any()
    assert np.isnan(curves.at_risk([5, 0, 0], [np.nan, 1, 0])[1:]).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: curves.at_risk([2, 0], [3, 0]), "2 with more leaving than are followed"),
        (lambda: curves.at_risk([2, -1], [0, 0]), "1 negative"),
        (lambda: curves.kaplan_meier([2, 2], [1, 3]), "1 with more events than are followed"),
        (lambda: curves.kaplan_meier([2], [1], limits="wald"), "'log-log', 'plain'"),
        (lambda: curves.kaplan_meier([2], [1], level=95), "between 0 and 1"),
        (lambda: curves.restricted_mean([2], [1], 9), "between 0 and the 1 days"),
        (
            lambda: curves.state_occupation([3, 0], np.full((1, 2, 2), 1.0), np.zeros((1, 2))),
            "2 of moves to the same state; 1 with more leaving a state than are in it",
        ),
    ],
)
def test_counts_that_cannot_be_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# Printed by others


def test_gehans_6mp_arm_as_printed():
    # Freireich et al. 1963, printed in Cox and Oakes 1984 and in Kleinbaum; log-log limits of R survival.
    rows = [row for row in published("gehan_6mp.csv") if row["treat"] == "6-MP"]
    risk, events = counts([0] * len(rows), [row["time"] for row in rows], [row["cens"] for row in rows])
    curve = curves.kaplan_meier(risk, events)
    for row in published("printed_gehan_6mp_textbook.csv"):
        week = int(row["weeks"])
        assert (risk[week], events[week]) == (int(row["n_at_risk"]), int(row["events"]))
        assert curve.share[week] == pytest.approx(float(row["printed_S"]), abs=5.1e-4)
    expected = published("expected_R_gehan6MP_conf_log-log.csv")
    for row in expected:
        week = int(row["time"])
        found = (curve.share[week], curve.se[week], curve.low[week], curve.high[week])
        named = ("surv", "se", "lower", "upper")
        assert found == pytest.approx([float(row[name]) for name in named], abs=CLOSE)
    assert len(expected) == 7
    assert float(curves.first_day(1 - curve.share)) == 23  # the textbook median


def test_a_printed_life_table_with_late_entry():
    # Weekly risk of miscarriage with entry at any week (PMC8366802, table 2). By which formula its limits are
    # made is not said; plain Greenwood limits come within 0.06 of a percentage point.
    rows = published("printed_lifetable_PMC8366802_table2.csv")
    risk = [float(row["n_at_risk"]) for row in rows]
    events = [[float(row["events"])] for row in rows]
    curve = curves.cumulative_incidence(risk, events, limits="plain")
    compared = 0
    for at, row in enumerate(rows):
        if row["printed_cumulative_risk_pct"]:
            found = 100 * np.array([curve.share[at, 0], curve.low[at, 0], curve.high[at, 0]])
            names = ("printed_cumulative_risk_pct", "printed_lower_pct", "printed_upper_pct")
            printed = [float(row[name]) for name in names]
            assert found[0] == pytest.approx(printed[0], abs=0.0051)
            assert found[1:] == pytest.approx(printed[1:], abs=0.06)
            compared += 1
    assert compared >= 13


# R's survival and etm (oracles/curves.R made oracles/curves.json)


def test_kaplan_meier_is_that_of_survival():
    r = R["kaplan_meier"]
    risk, events = counts(r["data"]["entry"], r["data"]["exit"], r["data"]["event"])
    curve, days = curves.kaplan_meier(risk, events), r["time"]
    assert risk[days] == pytest.approx(numbers(r["risk"]))
    for name in ("share", "se", "low", "high"):
        assert getattr(curve, name)[days] == pytest.approx(numbers(r[name]), abs=CLOSE), name
    plain = curves.kaplan_meier(risk, events, limits="plain")
    assert plain.low[days] == pytest.approx(numbers(r["plain_low"]), abs=CLOSE)
    assert plain.high[days] == pytest.approx(numbers(r["plain_high"]), abs=CLOSE)
    assert [float(x) for x in curves.restricted_mean(risk, events, 20)] == pytest.approx(
        [r["rmean_20"], r["rmean_20_se"]], abs=CLOSE
    )
    median = [float(curves.first_day(1 - x)) for x in (curve.share, curve.low, curve.high)]
    assert median == [r["median"], r["median_low"], r["median_high"]]
    assert np.isnan(curves.first_day(1 - curve.share, 0.9))  # not reached


def test_delayed_entry_is_that_of_survival():
    r = R["delayed_entry"]
    risk, events = counts(r["data"]["entry"], r["data"]["exit"], r["data"]["event"])
    curve, days = curves.kaplan_meier(risk, events), r["time"]
    assert risk[days] == pytest.approx(numbers(r["risk"]))
    for name in ("share", "se", "low", "high"):
        assert getattr(curve, name)[days] == pytest.approx(numbers(r[name]), abs=CLOSE, nan_ok=True), name


@pytest.mark.parametrize("case", ["competing", "competing_delayed"])
def test_cumulative_incidence_is_that_of_etm_and_survival(case):
    r = R[case]
    cause = np.array(r["data"]["cause"])
    risk, first = counts(r["data"]["entry"], r["data"]["exit"], cause == "1")
    _, second = counts(r["data"]["entry"], r["data"]["exit"], cause == "2")
    curve = curves.cumulative_incidence(risk, np.stack([first, second], axis=-1))
    # The package gives no log-log limit at a share of 0, etm gives 0.
    for at, name in enumerate(("1", "2")):
        days = [int(day) for day in r["time"]]
        share, seen = curve.share[days, at], curve.share[days, at] > 0
        assert share == pytest.approx(numbers(r[f"share_{name}"]), abs=CLOSE)
        assert share == pytest.approx(numbers(r[f"survfit_{name}"]), abs=CLOSE)
        assert curve.se[days, at] ** 2 == pytest.approx(numbers(r[f"var_{name}"]), abs=CLOSE)
        assert curve.low[days, at][seen] == pytest.approx(numbers(r[f"low_{name}"])[seen], abs=CLOSE)
        assert curve.high[days, at][seen] == pytest.approx(numbers(r[f"high_{name}"])[seen], abs=CLOSE)


def path_counts(data, states):
    """Daily counts of stays (entry, exit] in states, each ended by a move or by censoring."""
    days = max(int(day) for day in data["exit"]) + 1
    entered, moves, censored = np.zeros(states), np.zeros((days, states, states)), np.zeros((days, states))
    for begin, end, one, other in zip(data["entry"], data["exit"], data["from"], data["to"], strict=True):
        entered[int(one) - 1] += begin == 0
        if other == "cens":
            censored[int(end), int(one) - 1] += 1
        else:
            moves[int(end), int(one) - 1, int(other) - 1] += 1
    return entered, moves, censored


def test_state_occupation_and_its_variance_are_those_of_etm():
    r = R["states"]
    days = [int(day) for day in r["time"]]
    entered, moves, censored = path_counts(r["data"], 4)
    curve = curves.state_occupation(entered, moves, censored, most_lost=1)
    for state in range(4):
        assert curve.share[days, state] == pytest.approx(numbers(r[f"share_{state + 1}"]), abs=CLOSE)
        assert curve.se[days, state] ** 2 == pytest.approx(numbers(r[f"var_{state + 1}"]), abs=CLOSE)


def test_state_occupation_begun_in_several_states_is_that_of_survival():
    r = R["several_starts"]
    days = [int(day) for day in r["time"]]
    curve = curves.state_occupation(*path_counts(r["data"], 4), most_lost=1)
    for state in range(4):
        assert curve.share[days, state] == pytest.approx(numbers(r[f"share_{state + 1}"]), abs=CLOSE)


# A slow, obvious reference: people with paths, counted one by one, in exact fractions

DAYS, STATES = 6, 3


@st.composite
def people(draw, censoring=True):
    """Paths: where a person begins, the days of their moves, and the day they are last followed, if any."""
    found = []
    for _ in range(draw(st.integers(1, 9))):
        state = begin = draw(st.integers(0, STATES - 1))
        moves = []
        for day in range(DAYS):
            other = draw(st.sampled_from([state, state, 0, 1, 2]))
            if state != STATES - 1 and other != state:  # the last state keeps its people
                moves.append((day, state, other))
                state = other
        last = draw(st.none() | st.integers(0, DAYS - 1)) if censoring else None
        found.append((begin, moves, last))
    return found


def where(person, day):
    """The state at the beginning of a day, and whether the person is followed on it."""
    begin, moves, last = person
    state = begin
    for when, _, other in moves:
        if when < day:
            state = other
    return state, last is None or day <= last or state == STATES - 1


def slow_occupation(group):
    """Shares and covariances by day, in fractions; stops where somebody stands where nobody is followed."""
    n = len(group)
    states = range(STATES)
    share = [Fraction(sum(begin == s for begin, _, _ in group), n) for s in states]
    cov = [[(share[s] * (s == t) - share[s] * share[t]) / n for t in states] for s in states]
    found = []
    for day in range(DAYS):
        here = {s: [p for p in group if where(p, day) == (s, True)] for s in states}
        if any(share[s] > 0 and not here[s] for s in states):
            return found
        step = [[Fraction(int(s == t)) for t in states] for s in states]
        for s in states:
            for t in states:
                if here[s]:
                    after = [where(p, day + 1)[0] for p in here[s]]
                    step[s][t] = Fraction(sum(one == t for one in after), len(here[s]))
        new = [
            [sum(step[a][s] * cov[a][b] * step[b][t] for a in states for b in states) for t in states]
            for s in states
        ]
        for s in states:
            for t in states:
                for a in states:
                    if here[a]:
                        one = step[a][s] * (s == t) - step[a][s] * step[a][t]
                        new[s][t] += share[a] ** 2 * one / len(here[a])
        share, cov = [sum(share[s] * step[s][t] for s in states) for t in states], new
        found.append((share, cov))
    return found


def counted(group):
    entered, moves, censored = np.zeros(STATES), np.zeros((DAYS, STATES, STATES)), np.zeros((DAYS, STATES))
    for person in group:
        begin, path, last = person
        entered[begin] += 1
        for day, one, other in path:
            if last is None or day <= last:
                moves[day, one, other] += 1
        if last is not None:
            state = where(person, last + 1)[0]
            if state != STATES - 1:
                censored[last, state] += 1
    return entered, moves, censored


@settings(max_examples=150, deadline=None)
@given(people())
def test_the_fast_arrays_agree_with_the_slow_reference(group):
    both = [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 0]]  # each state, and the sum of the first two
    curve = curves.state_occupation(*counted(group), bands=both, most_lost=0)
    slow = slow_occupation(group)
    for day, (share, cov) in enumerate(slow):
        assert curve.share[day] == pytest.approx([*map(float, share), float(share[0] + share[1])], abs=1e-12)
        variance = [float(cov[s][s]) for s in range(STATES)]
        variance.append(float(cov[0][0] + 2 * cov[0][1] + cov[1][1]))
        assert curve.se[day] ** 2 == pytest.approx(variance, abs=1e-12)
    assert np.isnan(curve.share[len(slow) :]).all()
    assert curve.empty[len(slow) :].all()
    assert not curve.empty[: len(slow)].any()


@settings(max_examples=80, deadline=None)
@given(people(censoring=False))
def test_without_censoring_it_is_the_plain_proportion(group):
    curve = curves.state_occupation(*counted(group))
    n = len(group)
    for day in range(DAYS):
        plain = np.array([sum(where(p, day + 1)[0] == s for p in group) / n for s in range(STATES)])
        assert curve.share[day] == pytest.approx(plain, abs=1e-12)
        assert curve.se[day] ** 2 == pytest.approx(plain * (1 - plain) / n, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(people(), people())
def test_counts_of_two_groups_add_and_groups_do_not_touch_each_other(one, other):
    first, second = counted(one), counted(other)
    pooled = curves.state_occupation(*(a + b for a, b in zip(first, second, strict=True)))
    together = curves.state_occupation(*counted(one + other))
    assert np.array_equal(pooled.share, together.share, equal_nan=True)
    stacked = curves.state_occupation(*(np.stack(pair) for pair in zip(first, second, strict=True)))
    alone = curves.state_occupation(*first)
    for name in ("share", "se", "low", "high"):
        assert np.allclose(getattr(stacked, name)[0], getattr(alone, name), atol=1e-14, equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(people())
def test_bands_are_sums_of_states(group):
    entered, moves, censored = counted(group)
    alone = curves.state_occupation(entered, moves, censored)
    bands = curves.state_occupation(entered, moves, censored, bands=[[1, 1], [0, 1], [0, 1]])
    assert bands.share[:, 0] == pytest.approx(alone.share[:, 0], nan_ok=True)
    assert np.allclose(bands.share[~bands.empty, 1], 1)
    assert np.allclose(bands.se[~bands.empty, 1], 0, atol=1e-7)
    inside = alone.low[~np.isnan(alone.low)], alone.share[~np.isnan(alone.low)]
    assert (inside[0] <= inside[1] + 1e-12).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.sampled_from([0, 1, 2])), min_size=1, max_size=20))
def test_one_cause_alone_is_kaplan_meier_turned_over(rows):
    exits, cause = np.array(rows).T
    risk = curves.at_risk(per_day(9, np.zeros(len(rows))), per_day(9, exits))
    events = np.stack([per_day(9, exits, cause == 1), per_day(9, exits, cause == 2)], axis=-1)
    both = curves.cumulative_incidence(risk, events)
    whole = curves.kaplan_meier(risk, events.sum(axis=-1))
    assert both.share.sum(axis=-1) == pytest.approx(1 - whole.share, nan_ok=True)
    single = curves.cumulative_incidence(risk, events[:, :1])
    turned = curves.kaplan_meier(risk, events[:, 0])
    assert single.low[:, 0] == pytest.approx(1 - turned.high, nan_ok=True)
    assert single.high[:, 0] == pytest.approx(1 - turned.low, nan_ok=True)
