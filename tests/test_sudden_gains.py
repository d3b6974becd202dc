"""Sudden gains: by eye, as R's suddengains prints them, by a slow loop, and counted from rows."""

from __future__ import annotations

import csv
import json
import os
import random
import statistics
from pathlib import Path

import numpy as np
import pytest
import random_cohorts
from reference import Settings
from scipy import stats
from small_cohorts import Rows, plan_for, study_of
from test_response_curves import part

from ketaoutcomes.definitions.lasting import lasting
from ketaoutcomes.estimates.gains import sudden_gains
from ketaoutcomes.plan import PlanError

HERE = Path(__file__).resolve()
DATA = Path(os.environ.get("KETAOUTCOMES_REFERENCE_DATA") or HERE.parents[2] / "shared" / "data")
NAN = float("nan")
CRITERION = "phq9_response50"
SIX = "0 3 6 9 12 15"


@pytest.mark.parametrize(
    ("scores", "gain"),
    [
        # R's suddengains 0.4.4, tutorial, check_interval: all three criteria, 5 % and 1 %.
        ([32, 31, 33, 5, 6, 7], True),
        ([NAN, 31, 33, 5, NAN, 7], True),
        ([20, 20, 20, 13, 13, 13], True),  # 7 points, 35 %, no spread
        ([20, 20, 20, 14, 14, 14], False),  # 6 points
        ([40, 40, 40, 33, 33, 33], False),  # 7 points, 17.5 %
        ([28, 28, 28, 21, 21, 21], True),  # exactly a quarter
        ([20, 20, 20, 10, 20, 20], False),  # it did not last
        ([NAN, NAN, 20, 10, 10, 10], None),  # one score before
        ([20, 20, NAN, 10, 10, 10], None),  # none at the session before
    ],
)
def test_one_step(scores, gain):
    found = int(sudden_gains([scores], 7, 25)[0, 2])
    assert found == {True: 1, False: 0, None: -1}[gain]


def test_where_less_is_worse_a_rise_is_a_gain():
    scores = np.array([[32, 31, 33, 5, 6, 7]])
    assert sudden_gains(-scores, 7, 25, worse="lower").tolist() == sudden_gains(scores, 7, 25).tolist()


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(ValueError, match="people by sessions"):
        sudden_gains([1, 2, 3], 7, 25)
    with pytest.raises(ValueError, match="alpha"):
        sudden_gains([[1, 2, 3]], 7, 25, alpha=1)
    assert sudden_gains(np.zeros((0, 6)), 7, 25).shape == (0, 5)
    assert sudden_gains([[20]], 7, 25).shape == (1, 0)


def bdi(name: str) -> tuple[list[int], np.ndarray]:
    path = DATA / "suddengains-bdi" / name
    if not path.exists():
        pytest.skip("reference data absent: set KETAOUTCOMES_REFERENCE_DATA")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    scores = [[float(cell) if cell else NAN for cell in row[2:14]] for row in rows]  # sessions 1 to 12
    return [int(float(row[0])) for row in rows], np.array(scores)


# Printed by suddengains 0.4.4 (tutorial, create_bysg with a cut of 7): person and session before each gain.
PRINTED = [
    (1, 3), (1, 7), (3, 8), (4, 3), (5, 3), (5, 8), (9, 3), (10, 2), (10, 4), (12, 3), (13, 3), (13, 8),
    (14, 2), (18, 3), (39, 3), (40, 2), (40, 5), (40, 8), (41, 6), (41, 9), (42, 5), (42, 8), (43, 5),
    (43, 7),
]  # fmt: skip


@pytest.mark.parametrize("name", ["sgdata.csv", "sgdata_bad.csv"])
def test_the_gains_that_r_prints(name):
    people, scores = bdi(name)
    gains = sudden_gains(scores, 7, 25) == 1
    assert [(people[row], int(step) + 1) for row, step in zip(*np.nonzero(gains), strict=True)] == PRINTED
    size = (scores[:, :-1] - scores[:, 1:])[gains]
    # describe_sg prints 24 gains, mean magnitude 11, SD 3.43.
    assert (len(size), round(size.mean(), 2), round(size.std(ddof=1), 2)) == (24, 11, 3.43)


def slowly(row: list[float], at: int, points: float, percent: float) -> int:
    """One step, by the words of the rule."""
    before = [x for x in row[max(at - 2, 0) : at + 1] if x == x]
    after = [x for x in row[at + 1 : at + 4] if x == x]
    if row[at] != row[at] or row[at + 1] != row[at + 1] or min(len(before), len(after)) < 2:
        return -1
    fell = row[at] - row[at + 1]
    freedom = len(before) + len(after) - 2
    squares = sum((x - statistics.fmean(side)) ** 2 for side in (before, after) for x in side)
    apart = statistics.fmean(before) - statistics.fmean(after)
    limit = float(stats.t.ppf(0.975, freedom)) * (squares / freedom) ** 0.5
    return int(fell >= points and 100 * fell >= percent * row[at] and apart > limit)


@pytest.mark.parametrize("seed", range(3))
def test_a_slow_loop_finds_the_same(seed):
    rng = random.Random(seed)
    rows = [
        [
            NAN if rng.random() < 0.15 else max(27 - 2 * at + rng.choice((-6, 0, 0, 1, 6)), 0)
            for at in range(9)
        ]
        for _ in range(200)
    ]
    expected = [[slowly(row, at, 5, 25) for at in range(8)] for row in rows]
    assert sudden_gains(rows, 5, 25).tolist() == expected
    assert {0, 1, -1} <= {one for row in expected for one in row}


# --- from rows --------------------------------------------------------------------------------------------


def study(*scores: str, cut: int = 100, doses: str = SIX):
    rows = Rows()
    for number, text in enumerate(scores):
        rows.add(f"P{number}", doses, {"cut_day": cut}, phq9=text)
    return study_of(rows, plan_for(Settings(), [CRITERION]))


def test_courses_are_counted_by_their_first_gain():
    gained = "0:20 2:20 5:20 8:10 11:10 14:10 16:10"  # from session 2 to session 3
    steady = "0:20 2:20 5:19 8:18 11:17 14:16 16:15"
    seldom = "0:20 14:10"
    row = study(gained, steady, seldom).sudden_gains(CRITERION).iloc[0]
    names = ["rule", "due", "judged", "gained", "share", "median_session", "reason"]
    assert row[names].tolist() == ["phq9_sg5", 3, 2, 1, 0.5, 2, ""]
    assert study(gained, cut=60).sudden_gains(CRITERION)["reason"].tolist() == ["not_due"]
    assert study(seldom).sudden_gains(CRITERION)["reason"].tolist() == ["too_few_scores"]
    home = study(gained, doses="0/oral 3/oral").sudden_gains(CRITERION)
    assert home["reason"].tolist() == ["not_visit_based"]


def test_a_gain_from_the_baseline_needs_two_scores_before_it():
    # The step from the baseline to session 1 has one score before it; the next has two.
    early = "0:20 2:20 5:10 8:10 11:10 14:10 16:10"
    assert study(early).sudden_gains(CRITERION)["median_session"].tolist() == [1]
    earlier = "0:20 2:10 5:10 8:10 11:10 14:10 16:10"
    assert study(earlier).sudden_gains(CRITERION)[["judged", "gained"]].iloc[0].tolist() == [1, 0]


def test_counts_of_parts_add_up_to_the_whole():
    rows = random_cohorts.rows(3, 60, cut=True)
    names = sorted({row["patient"] for row in rows.doses})
    plan = plan_for(random_cohorts.settings(3), [CRITERION])

    def counted(own):
        of = study_of(part(rows, set(own)), plan)
        return of.tally(at="session", by="site", tables=("sudden_gains",))

    whole = counted(names)
    assert len(whole.transitions)
    assert whole.header.lasting == tuple(rule.as_text() for rule in lasting().gains.values())
    parts = sum(map(counted, (names[:1], names[1:20], names[20:])))
    assert json.loads(parts.to_json())["tables"] == json.loads(whole.to_json())["tables"]


def test_without_an_end_of_records_it_says_what_to_write():
    with pytest.raises(PlanError, match="cut_day"):
        study_of(Rows().add("a", SIX, phq9="0:20"), plan_for(Settings(), [CRITERION])).sudden_gains()
