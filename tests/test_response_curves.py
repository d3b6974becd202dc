"""Time to response: cases to check by eye, R's answers, a slow walk, and what must hold of any cohort."""

from __future__ import annotations

import csv
import json
import os
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import curve_reference
import numpy as np
import pandas as pd
import pytest
import random_cohorts
from reference import Settings
from small_cohorts import Rows, plan_for, study_of

import ketaoutcomes as ko
from ketaoutcomes.estimates import curves
from ketaoutcomes.plan import PlanError
from ketaoutcomes.results import response_curves

HERE = Path(__file__).resolve()
DATA = Path(os.environ.get("KETAOUTCOMES_REFERENCE_DATA") or HERE.parents[2] / "shared" / "data")
R = json.loads((HERE.parent / "oracles" / "curves.json").read_text("utf-8"))
MEANS = json.loads((HERE.parent / "oracles" / "response_curves.json").read_text("utf-8"))
CRITERION = "phq9_response50"

DAILY = """
[protocols.daily]
title = "a dose speaks for its own day"
cite = "house"
carry = [1, 1]
course_gap = 300
maturity = 59
end_week = 8
"""


def one(doses: str, scores: str, cut: int = 400, **more: Any) -> ko.Study:
    rows = Rows().add("a", doses, {"cut_day": cut}, phq9=scores)
    return study_of(rows, plan_for(Settings(**more), [CRITERION]))


def moves(study: ko.Study, clock: str = "onset") -> list[tuple[Any, ...]]:
    table = study.tally(at="session", tables=("curves",), criteria=CRITERION).transitions
    rows = table[table["clock"] == clock]
    return sorted((row["day"], row["from"], row["to"]) for row in rows.to_dict("records"))


def cohort(*people: tuple[str, str, int], everyone: str | None = None) -> ko.Study:
    """Several patients: doses, PHQ-9 scores, cut day."""
    rows = Rows()
    for number, (doses, scores, cut) in enumerate(people):
        rows.add(f"P{number}", doses, {"cut_day": cut}, phq9=scores)
    return study_of(rows, plan_for(Settings(everyone=everyone), [CRITERION]))


# --- single courses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("doses", "scores", "expected"),
    [
        ("0 3 6 9", "0:20 6:10", [(0, "", "treated"), (6, "treated", "responded")]),
        ("0 3 6", "0:20 7:11 13:10", [(0, "", "treated"), (13, "treated", "responded")]),  # on the day of it
        ("0 3 6", "0:20 13+:10", [(0, "", "treated"), (13, "lapsed", "responded_lapsed"),
                                  (13, "treated", "lapsed")]),
        ("0 3 6", "0:20 40:10", [(0, "", "treated"), (13, "treated", "lapsed"),
                                 (40, "lapsed", "responded_lapsed")]),
        ("0 3 6", "0:20 98:10", [(0, "", "treated"), (13, "treated", "lapsed"),  # 6 + 91 + 1: the last chance
                                 (98, "lapsed", "responded_lapsed")]),
        ("0 3 6", "0:20 99:10", [(0, "", "treated"), (13, "treated", "lapsed"), (98, "lapsed", "ended")]),
        ("0 7 14", "0:20", [(0, "", "treated"), (21, "treated", "lapsed"), (106, "lapsed", "ended")]),
    ],
)  # fmt: skip
def test_how_a_course_leaves_treatment(doses, scores, expected):
    assert moves(one(doses, scores)) == expected


def test_everyone_else_is_followed_to_the_last_day_on_record():
    assert moves(one("0 3 6", "0:20 2:18", cut=8)) == [(0, "", "treated"), (8, "treated", "censored")]
    assert moves(one("0 3 6", "0:20", cut=50)) == [
        (0, "", "treated"), (13, "treated", "lapsed"), (50, "lapsed", "censored"),
    ]  # fmt: skip
    # Cover that ends on the last day on record has ended: no dose came on it.
    assert moves(one("0 3 6", "0:20", cut=13))[1] == (13, "lapsed", "censored")


def test_without_a_carry_nobody_lapses():
    assert moves(one("0 50 300", "0:20 301:10", everyone="none")) == [
        (0, "", "unlimited"), (301, "unlimited", "responded"),
    ]  # fmt: skip


def test_a_course_that_cannot_be_judged_does_not_start():
    study = one("0 3 6", "0:0 3:0", gate={"phq9": 0})
    assert moves(study) == [(0, "", "zero_baseline")]
    summary = study.curve_summary(CRITERION)
    assert summary[["n", "not_counted"]].iloc[0].tolist() == [0, 1]
    assert summary["median_reason"].tolist() == ["zero_baseline"]


def test_the_interval_is_from_the_last_score_without_to_the_first_with():
    assert moves(one("0 3 6", "0:20 2:18 6:10"), "onset_interval") == [
        (2, "", "between"), (6, "between", "dated"),
    ]  # fmt: skip
    row = one("0 3 6", "0:20 2:18 6:10").onsets(CRITERION).iloc[0]
    assert row[["outcome", "outcome_day", "last_without", "first_with", "interval", "session"]].tolist() == [
        "responded", 6, 2, 6, 4, 2,
    ]  # fmt: skip
    # Without a score since the first dose it may have come at any time since.
    assert moves(one("0 3 6", "0:20 6:10"), "onset_interval")[0] == (0, "", "between")


def test_responses_that_may_have_come_earlier_are_counted_by_day():
    study = cohort(("0 3 6", "0:20 2:18 6:10", 50), ("0 3 6", "0:20 6:10", 50), ("0 3 6", "0:20 6:18", 50))
    table = study.curve(CRITERION, days=[0, 1, 2, 5, 6])
    assert table["straddling"].tolist() == [1, 1, 2, 2, 0]


def test_sessions_are_those_of_courses_that_are_due():
    assert moves(one("0 3 6 9 12 15", "0:20 5:10"), "session") == [
        (0, "", "at_risk"), (2, "at_risk", "responded"),
    ]  # fmt: skip
    assert moves(one("0 3 6", "0:20"), "session") == [(0, "", "at_risk"), (3, "at_risk", "stopped")]
    assert moves(one("0 3 6 9 12 15", "0:20"), "session") == [(0, "", "at_risk")]  # all six, no response
    assert moves(one("0 3 6", "0:20 5:10", cut=65), "session") == [(0, "", "not_due")]
    assert moves(one("0/oral 3/oral", "0:20"), "session") == [(0, "", "not_visit_based")]
    assert moves(one("0 3", "0:20", schedule="end"), "session") == [(0, "", "not_scheduled")]


def test_a_clock_that_cannot_run_says_why():
    table = one("0/oral 3/oral", "0:20").curve(CRITERION, clock="session")
    assert table["reason"].tolist() == ["not_visit_based"]
    assert table["session"].isna().all()
    with pytest.raises(PlanError, match="cut_day"):
        study_of(Rows().add("a", "0 3", phq9="0:20"), plan_for(Settings(), [CRITERION])).curve(CRITERION)
    with pytest.raises(ValueError, match="clock"):
        one("0 3", "0:20").curve(CRITERION, clock="response")
    with pytest.raises(ValueError, match="days"):
        one("0 3", "0:20").curve(CRITERION, days=[366])


# --- curves -----------------------------------------------------------------------------------------------


def test_a_curve_by_eye():
    # Day 3: one of four responds. Day 7: one lapses. Day 9: one of the two left responds.
    study = cohort(
        ("0 3 6", "0:20 3:10", 50), ("0", "0:20", 50), ("0 6 9", "0:20 9:10", 50), ("0 6 9", "0:20 10:15", 12)
    )
    table = study.curve(CRITERION, days=[0, 3, 7, 9, 12, 13]).set_index("day")
    assert table["at_risk"].tolist() == [4, 4, 3, 2, 1, 0]
    assert table["estimate"].tolist()[:5] == pytest.approx([0, 0.25, 0.25, 0.5, 0.5])
    assert table["stopped_share"].tolist()[:5] == pytest.approx([0, 0, 0.25, 0.25, 0.25])
    assert table["reason"].tolist() == ["", "", "", "", "", "not_followed"]
    assert set(table["method"]) == {"aalen_johansen"}
    row = study.curve_summary(CRITERION).iloc[0]
    assert row[["n", "events", "stopped", "censored", "known_to", "median"]].tolist() == [4, 2, 1, 1, 12, 9]
    # Days without a response among the first 13: 3, 13 (lapsed), 9 and (unknown, as the others) 13.
    assert row["restricted_mean"] == pytest.approx(13 - 0.25 * 10 - 0.25 * 4)


def test_the_median_in_one_sentence():
    def said(*people: tuple[str, str, int], **group: str) -> str:
        tally = cohort(*people).tally(at="end", criteria=CRITERION, tables=("curves",))
        return response_curves.sentence(tally, **group)

    assert said(("0 3", "0:20 3:10", 50), ("0", "0:20", 50)) == (
        "Of 2 who started, half had met phq9_response50 by day 3; 1 stopped before they did."
    )
    assert said(("0 3", "0:20", 9), ("0", "0:20", 50)) == (
        "Of 2 who started, half had not met phq9_response50 by day 9, when 0 % had; 1 stopped before they "
        "did."
    )
    with pytest.raises(ValueError, match="criterion; 0 rows"):
        said(("0 3", "0:20", 9), criterion="pcl5_below33")
    with pytest.raises(ValueError, match="no site"):
        said(("0 3", "0:20", 9), site="North")


def test_where_nobody_stops_the_method_is_kaplan_meier():
    study = cohort(("0", "0:20 3:10", 50), ("0", "0:20", 50), everyone="none")
    row = study.curve_summary(CRITERION).iloc[0]
    assert row["method"] == "kaplan_meier"
    assert row["why"] == response_curves.WHY["unlimited"]
    treated = cohort(("0 3", "0:20 3:10", 50), ("0 3", "0:20", 8)).curve_summary(CRITERION).iloc[0]
    assert (treated["method"], treated["why"]) == ("kaplan_meier", "nobody stopped before a response")


def test_ending_competes_later_than_lapsing():
    study = cohort(("0 3 6", "0:20 40:10", 200), ("0 3 6", "0:20", 200))
    by_lapse = study.curve(CRITERION, days=[13, 40, 98])
    by_end = study.curve(CRITERION, days=[13, 40, 98], competing="end")
    assert by_lapse[["at_risk", "events", "stopped"]].to_numpy().tolist() == [[2, 0, 2], [0, 0, 0], [0, 0, 0]]
    assert by_end[["at_risk", "events", "stopped"]].to_numpy().tolist() == [[2, 0, 0], [2, 1, 0], [1, 0, 1]]
    assert by_lapse["estimate"].tolist() == [0, 0, 0]
    assert by_end["estimate"].tolist() == [0, 0.5, 0.5]


def test_everyone_responds_on_day_1():
    study = cohort(*[("0 3", "0:20 1:5", 50)] * 12)
    table = study.curve(CRITERION, days=[0, 1, 2, 365])
    assert table["estimate"].tolist() == [0, 1, 1, 1]
    assert table["low"].isna().all()  # no log-log limit at 0 or 1
    assert table["reason"].eq("").all()  # nobody was censored: nothing is cut
    row = study.curve_summary(CRITERION).iloc[0]
    assert row[["median", "restricted_mean", "restricted_se"]].tolist() == [1, 1, 0]


def test_nobody_responds():
    row = cohort(*[("0 3 6 9", "0:20 5:15", 12)] * 12).curve_summary(CRITERION, until=10).iloc[0]
    assert (row["last_estimate"], row["median_reason"]) == (0, "not_reached")
    assert pd.isna(row["median"])
    assert row[["restricted_mean", "restricted_se"]].tolist() == [10, 0]


@pytest.mark.parametrize(("clock", "days"), [("first_dose", [0, 28, 365]), ("session", [1, 6])])
def test_where_nobody_starts_days_may_be_asked_for_and_the_curve_is_empty(clock, days):
    study = cohort(("0 3 6 9", "0:4 5:2", 50))  # below the gate
    assert study.curve(CRITERION, clock=clock, days=days).empty
    assert study.curve_summary(CRITERION, clock=clock).empty
    with pytest.raises(ValueError, match="must lie between"):
        study.curve(CRITERION, clock=clock, days=[400])


def test_a_mean_beyond_what_is_known_is_not_given():
    row = cohort(("0 3 6 9", "0:20 5:15", 12)).curve_summary(CRITERION, until=30).iloc[0]
    assert np.isnan(row["restricted_mean"])
    assert row["restricted_reason"] == "not_followed_so_far"


def test_the_curve_is_cut_where_few_are_followed():
    people = [("0 3 6 9 12", "0:20", 5)] * 3 + [("0 3 6 9 12", "0:20 10:10", 50)] * 9
    table = cohort(*people).curve(CRITERION, days=[5, 6, 10])
    assert table["at_risk"].tolist() == [12, 9, 9]
    assert table["reason"].tolist() == ["", "too_few_at_risk", "too_few_at_risk"]
    assert table["estimate"].isna().tolist() == [False, True, True]
    whole = response_curves.curve(
        cohort(*people).tally(at="end", criteria=CRITERION, tables=("curves",)), days=[10], least=1
    )
    assert whole["estimate"].tolist() == [1]


def test_hidden_counts_stay_hidden():
    tally = cohort(("0 3 6", "0:20 3:10", 50), ("0 3", "0:20 4:18", 50)).tally(
        at="end", criteria=CRITERION, tables=("curves",)
    )
    moved = tally.transitions
    hidden = moved["n"].where(~((moved["day"] == 3) & (moved["to"] == "responded")))
    table = response_curves.curve(replace(tally, transitions=moved.assign(n=hidden)), days=[0, 2, 3, 9])
    assert table["reason"].tolist() == ["", "", "hidden", "hidden"]
    assert table["estimate"].isna().tolist() == [False, False, True, True]
    assert set(table["method"]) == {"aalen_johansen"}


def test_classes_of_onset():
    study = cohort(
        ("0 3 6 9 12 15", "0:20 2:10", 100), ("0 3 6 9 12 15", "0:20 5:10", 100),
        ("0 3 6 9 12 15", "0:20 16:10", 100), ("0 3 6 9 12 15", "0:20 16:15", 100), ("0 3", "0:20", 100),
        ("0 3", "0:20 2:10", 50),
    )  # fmt: skip
    table = study.onset(CRITERION).set_index("class")
    assert table["n"].to_dict() == {"early": 2, "later": 1, "none_completed": 1, "none_stopped": 1}
    assert table["of"].eq(5).all()  # the sixth is not due yet
    assert table["share"].sum() == pytest.approx(1)


# --- the same from elsewhere ------------------------------------------------------------------------------


def printed(name: str) -> list[dict[str, str]]:
    path = DATA / "survival-left-truncation" / name
    if not path.exists():
        pytest.skip("reference data absent: set KETAOUTCOMES_REFERENCE_DATA")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_from_rows_to_the_printed_kaplan_meier_curve():
    # Gehan's 6-MP arm, remission times in weeks, as printed in Cox and Oakes; limits by R's log-log rule.
    arm = [row for row in printed("gehan_6mp.csv") if row["treat"] == "6-MP"]
    people = [("0", f"0:20 {r['time']}:5" if r["cens"] == "1" else "0:20", int(r["time"])) for r in arm]
    tally = cohort(*people, everyone="none").tally(at="end", criteria=CRITERION, tables=("curves",))
    table = response_curves.curve(tally, least=1).set_index("day")
    for row in printed("printed_gehan_6mp_textbook.csv"):
        assert 1 - table.loc[int(row["weeks"]), "estimate"] == pytest.approx(
            float(row["printed_S"]), abs=6e-4
        )
    for row in printed("expected_R_gehan6MP_conf_log-log.csv"):
        found = table.loc[int(row["time"])]
        assert (found["at_risk"], found["events"]) == (int(row["n.risk"]), int(row["n.event"]))
        assert 1 - found["estimate"] == pytest.approx(float(row["surv"]))
        assert (1 - found["high"], 1 - found["low"]) == pytest.approx(
            (float(row["lower"]), float(row["upper"]))
        )


def of_oracle(tmp_path: Path, data: dict[str, Any]) -> ko.tallies.Tally:
    """R's people as rows: cause 1 is a response, cause 2 a lapse, the rest end with their records."""
    (tmp_path / "daily.toml").write_text(DAILY, encoding="utf-8")
    rows = Rows()
    for number, (exit_day, cause) in enumerate(zip(data["exit"], data["cause"], strict=True)):
        day = int(exit_day)
        covered = day if cause == "2" else day + 5
        rows.add(
            f"P{number}", f"0x{covered}", {"cut_day": day if cause == "cens" else 200},
            phq9=f"0:20 {day}:5" if cause == "1" else "0:20",
        )  # fmt: skip
    plan = plan_for(Settings(everyone="daily"), [CRITERION], folder=tmp_path)
    return study_of(rows, plan).tally(at="end", tables=("curves",))


def test_from_rows_to_what_r_says_of_competing_events(tmp_path):
    oracle = R["competing"]
    table = response_curves.curve(of_oracle(tmp_path, oracle["data"]), least=1).set_index("day")
    for at, day in enumerate(oracle["time"]):
        row = table.loc[int(day)]
        assert row["estimate"] == pytest.approx(oracle["share_1"][at], abs=1e-9)
        assert row["stopped_share"] == pytest.approx(oracle["share_2"][at], abs=1e-9)
        assert row["se"] ** 2 == pytest.approx(oracle["var_1"][at], abs=1e-9)
        if oracle["low_1"][at] is not None and 0 < row["estimate"] < 1:
            assert (row["low"], row["high"]) == pytest.approx(
                (oracle["low_1"][at], oracle["high_1"][at]), abs=1e-8
            )


@pytest.mark.parametrize("name", ["competing", "uncensored", "one_cause"])
def test_mean_time_without_a_response_agrees_with_r(name):
    oracle = MEANS[name]
    days, cause = (np.array(oracle[key], dtype=int) for key in ("exit", "cause"))
    many = int(days.max()) + 2
    events = np.stack([np.bincount(days[cause == one], minlength=many) for one in (1, 2)], axis=-1)
    entered = np.zeros(many)
    entered[0] = len(days)
    risk = curves.at_risk(entered, np.bincount(days, minlength=many))
    until = oracle["until"]
    mean, se = curves.mean_without(risk, events, until)
    assert until - mean == pytest.approx(oracle["lost"][1], abs=1e-9)
    assert se == pytest.approx(oracle["se"][1], abs=1e-9)
    if name == "one_cause":
        assert (mean, se) == pytest.approx(curves.restricted_mean(risk, events[..., 0], until))


# --- a slow walk through every day ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_a_slow_walk_makes_the_same_moves(seed):
    rows = random_cohorts.rows(seed, 40, cut=seed % 2 == 0)
    settings = random_cohorts.settings(seed)
    criterion = (CRITERION, "phq9_remission_lt5", "pcl5_reliable15")[seed % 3]
    study = study_of(rows, plan_for(settings, [criterion], complete=seed % 2 == 1))
    slow = curve_reference.walks(rows.doses, rows.scores, rows.people, settings, criterion)
    table = study.tally(at="end", tables=("curves",)).transitions
    onset = table[table["clock"] == "onset"]
    fast = Counter({(r["day"], r["from"], r["to"]): r["n"] for r in onset.to_dict("records")})
    assert fast == curve_reference.counted(slow)
    between = table[table["clock"] == "onset_interval"]
    begun, dated = (
        Counter(dict(between[between[column] == name].groupby("day")["n"].sum()))
        for column, name in (("from", ""), ("to", "dated"))
    )
    known = [one["between"] for one in slow if one["between"] is not None]
    assert begun == Counter(low for low, _ in known)
    assert dated == Counter(high for _, high in known)
    if len(onset):
        curve = response_curves.curve(study.tally(at="end", tables=("curves",)), least=1).set_index("day")
        for day in (0, 3, 14, 30, 90):
            if curve.loc[day, "reason"] == "":
                exact = float(curve_reference.share_by_day(slow, day))
                assert curve.loc[day, "estimate"] == pytest.approx(exact)


@pytest.mark.parametrize("seed", range(4))
def test_sessions_agree_with_the_states_of_the_points_table(seed):
    rows = random_cohorts.rows(seed, 60, cut=True)
    settings = replace(random_cohorts.settings(seed), schedule="every session", every_days=None)
    study = study_of(rows, plan_for(settings, [CRITERION]))
    points = study.points(at="session", criteria=CRITERION, kind="ever")
    met = points[(points["state"] == "met") & (points["given"] == "yes")]
    first = met.assign(point=met["point"].astype(int)).groupby("patient")["point"].min()
    table = study.tally(at="session", criteria=CRITERION, tables=("curves",)).transitions
    responded = table[(table["clock"] == "session") & (table["to"] == "responded")]
    assert responded.groupby("day")["n"].sum().to_dict() == first.value_counts().to_dict()


# --- what must hold of any cohort -------------------------------------------------------------------------


def counted(rows: Rows, seed: int = 0, **options: Any) -> str:
    study = study_of(rows, plan_for(random_cohorts.settings(seed), [CRITERION, "pcl5_reliable15"]))
    tally = study.tally(at="session", tables=("curves",), **options)
    return tally.to_json()


def part(rows: Rows, names: set[str]) -> Rows:
    parts = [[row for row in of if row["patient"] in names] for of in (rows.doses, rows.scores, rows.people)]
    return Rows(*parts, dated=rows.dated)


@pytest.mark.parametrize("by", [None, "site"])
def test_counts_of_parts_add_up_to_the_whole(by):
    rows = random_cohorts.rows(3, 60, cut=True)
    names = sorted({row["patient"] for row in rows.doses})
    random.Random(1).shuffle(names)
    plan = plan_for(random_cohorts.settings(3), [CRITERION])
    parts = [
        study_of(part(rows, set(own)), plan).tally(at="session", by=by, tables=("curves",))
        for own in (names[:1], names[1:20], names[20:])
    ]
    whole = study_of(rows, plan).tally(at="session", by=by, tables=("curves",))
    assert json.loads(sum(parts).to_json())["tables"] == json.loads(whole.to_json())["tables"]


def test_the_order_of_rows_and_blocks_of_patients_mean_nothing(monkeypatch):
    rows = random_cohorts.rows(4, 50, cut=True)
    shuffled = Rows(*(random.Random(2).sample(of, len(of)) for of in (rows.doses, rows.scores, rows.people)))
    whole = counted(rows)
    assert counted(shuffled) == whole
    monkeypatch.setattr("ketaoutcomes.per_patient.patients.BLOCK", 7)
    assert counted(rows) == whole


def test_a_shifted_calendar_changes_nothing():
    rows = random_cohorts.rows(5, 50, cut=True)

    def shifted(row: dict[str, Any]) -> dict[str, Any]:
        moved = {
            key: row[key] + 1000 for key in ("day", "cut_day", "observed_from") if row.get(key) is not None
        }
        return {**row, **moved}

    later = Rows(*([shifted(row) for row in of] for of in (rows.doses, rows.scores, rows.people)))
    assert counted(later) == counted(rows)


@pytest.mark.parametrize("seed", range(3))
def test_records_after_the_last_day_change_nothing(seed):
    rows = random_cohorts.rows(seed, 50, cut=True)
    assert counted(random_cohorts.known(rows)) == counted(rows)


def test_groups_sum_to_the_whole():
    study = ko.Study(ko.load_sample())
    whole = study.curve(CRITERION, days=[0, 14, 60])
    sites = study.curve(CRITERION, by="site", days=[0, 14, 60])
    columns = ["n", "at_risk", "events", "stopped", "censored", "straddling"]
    assert sites.groupby("day")[columns].sum().to_numpy().tolist() == whole[columns].to_numpy().tolist()
