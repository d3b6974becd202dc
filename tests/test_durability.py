"""Does it last: single responses to check by eye, a slow walk, waits against R, and what must always hold."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import curve_reference
import numpy as np
import pandas as pd
import pytest
import random_cohorts
from reference import Settings
from small_cohorts import Rows, plan_for, study_of
from test_response_curves import DATA, HERE, R, part

import ketaoutcomes as ko
from ketaoutcomes.commands.explain import explanation
from ketaoutcomes.counts.tallies import TallyError
from ketaoutcomes.definitions import DefinitionError
from ketaoutcomes.definitions.lasting import lasting
from ketaoutcomes.plan import PlanError
from ketaoutcomes.results import durability, response_curves
from ketaoutcomes.tables import TABLES

CRITERION = "phq9_response50"
SIX = "0 3 6 9 12 15"


def cohort(*people: tuple[str, str, int], complete: bool = False, **more: Any) -> ko.Study:
    """Several patients: doses, PHQ-9 scores, cut day."""
    rows = Rows()
    for number, (doses, scores, cut) in enumerate(people):
        rows.add(f"P{number}", doses, {} if complete else {"cut_day": cut}, phq9=scores)
    return study_of(rows, plan_for(Settings(**more), [CRITERION], complete=complete))


def moves(scores: str, rule: str = "lost", doses: str = SIX, cut: int = 200) -> list[tuple[Any, ...]]:
    table = cohort((doses, scores, cut)).tally(at="end", tables=("durability",)).transitions
    rows = table[table["clock"] == f"response:{rule}"]
    return sorted((row["day"], row["from"], row["to"]) for row in rows.to_dict("records"))[1:]


# --- single responses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "rule", "expected"),
    [
        ("0:20 5:10 20:11", "lost", [(15, "responding", "relapsed")]),
        ("0:20 5:10 20:11", "phq9_10", [(15, "responding", "relapsed")]),
        ("0:20 5:10 20:10", "phq9_10", [(15, "responding", "relapsed")]),  # halved, and yet at the cut
        ("0:20 5:10 20:11 30:12", "lost_confirmed", [(25, "responding", "relapsed")]),
        ("0:20 5:10 20:11 20+:12", "lost_confirmed", [(15, "responding", "unscored"),
                                                      (195, "unscored", "censored")]),  # one day is not two
        ("0:20 5:10 20:11 30:9 40:12", "lost_confirmed", [(35, "responding", "unscored"),
                                                          (195, "unscored", "censored")]),  # not in a row
        ("0:20 5:9 20:11 24:11", "phq9_10_confirmed", [(19, "responding", "unscored"),
                                                       (195, "unscored", "censored")]),  # 4 days apart
        ("0:20 5:9 20:11 24:11 25:11", "phq9_10_confirmed", [(20, "responding", "relapsed")]),
        ("0:20 5:9 20:11 36:11", "phq9_10_confirmed", [(31, "responding", "unscored"),
                                                       (195, "unscored", "censored")]),  # 16 days apart
        ("0:20 5:10", "lost", [(0, "responding", "never_scored"), (195, "never_scored", "censored")]),
        ("0:20 5:10 200:9", "lost", [(195, "responding", "censored")]),  # scored on the last day on record
    ],
)  # fmt: skip
def test_how_a_response_ends(scores, rule, expected):
    assert moves(scores, rule) == expected


def test_the_next_course_competes():
    again = SIX + " 150 153"
    assert moves("0:20 5:10 60:9", doses=again) == [
        (55, "responding", "unscored"), (145, "unscored", "retreated"),
    ]  # fmt: skip
    # The next course's baseline is this course's last score.
    assert moves("0:20 5:10 150:9", doses=again) == [(145, "responding", "retreated")]
    assert moves("0:20 5:10 150:18", doses=again) == [(145, "responding", "relapsed")]


def test_what_is_known_of_single_responses():
    study = cohort((SIX, "0:20 5:10 12:9 20:11 30:12 40:5", 200))
    row = study.responses(CRITERION, relapse="lost_confirmed").iloc[0]
    names = [
        "response_day",
        "outcome",
        "outcome_day",
        "last_without",
        "first_shown",
        "last_score",
        "sustained",
    ]
    assert row[names].tolist() == [5, "relapsed", 30, 12, 20, 40, "lost"]
    with pytest.raises(DefinitionError, match="did you mean 'lost'"):
        study.responses(CRITERION, relapse="losst")


@pytest.mark.parametrize(
    ("scores", "cut", "state"),
    [
        ("0:20 5:10 33:10", 200, "sustained"),
        ("0:20 5:10 20:9 33:10 34:20", 200, "sustained"),  # lost only after it was confirmed
        ("0:20 5:10 20:11 33:10", 200, "lost"),
        ("0:20 5:10 33:11", 200, "lost"),
        ("0:20 5:10 20:11", 200, "lost"),  # without a confirming score, but lost it was
        ("0:20 5:10 32:10", 200, "unconfirmed"),
        ("0:20 5:10 65:10", 200, "unconfirmed"),  # day 64 was the last
        ("0:20 5:10 33:10", 63, "not_due"),
    ],
)
def test_sustained_is_every_score_up_to_one_four_weeks_later(scores, cut, state):
    table = cohort((SIX, scores, cut)).tally(at="end", tables=("durability",)).transitions
    assert table.loc[table["clock"] == "sustained", "to"].tolist() == [state]


def test_curves_of_two_ways_to_follow():
    people = [
        (SIX, "0:20 5:10 33:11", 200), (SIX, "0:20 5:10 40:9", 200), (SIX, "0:20 5:10 60:9", 200),
        (SIX, "0:20 5:10", 200),
    ]  # fmt: skip
    tally = cohort(*people).tally(at="end", tables=("durability",))
    seen = durability.relapse_curve(tally, "lost", days=[0, 28, 35], least=1).set_index("day")
    assert seen["at_risk"].tolist() == [4, 3, 2]  # the fourth was never scored again
    assert seen["no_relapse"].tolist() == pytest.approx([1, 2 / 3, 2 / 3])
    hopeful = durability.relapse_curve(tally, "lost", days=[28], follow="as_of").iloc[0]
    assert (hopeful["at_risk"], hopeful["no_relapse"]) == (4, 0.75)
    table = cohort(*people).durability(CRITERION, relapse="lost").summary.iloc[0]
    names = ["n", "relapsed", "relapses", "recurrences", "retreated", "unscored", "never_scored"]
    assert table[names].tolist() == [4, 1, 1, 0, 0, 2, 1]
    with pytest.raises(ValueError, match="follow"):
        durability.relapse_curve(tally, "lost", follow="forever")


def test_after_four_months_it_is_a_recurrence():
    late = cohort((SIX, "0:20 5:10 124:11", 300), (SIX, "0:20 5:10 125:11", 300)).durability(relapse="lost")
    row = late.summary.iloc[0]
    assert row[["relapses", "recurrences", "recovery_days"]].tolist() == [1, 1, 120]


# --- boosters and time off --------------------------------------------------------------------------------


def test_intervals_between_boosters():
    study = cohort(
        (SIX + " 45 80 120", "0:20", 150),  # 30, 35, 40 days; the next is open
        (SIX + " 40 60", "0:20", 400),  # 25, 20 days; then the course ended
        ("0 3 6", "0:20", 400),  # induction was over after 35 days: the first interval ended without a dose
        ("0 3 6", "0:20", 30),  # in induction still
    )
    found = study.durability(CRITERION)
    table = found.boosters.set_index("booster")
    assert table["n"].to_dict() == {1: 3, 2: 2, 3: 2, 4: 1}
    assert table["given"].to_dict() == {1: 2, 2: 2, 3: 1, 4: 0}
    assert table["open"].to_dict() == {1: 0, 2: 0, 3: 0, 4: 1}
    assert table["ended"].to_dict() == {1: 1, 2: 0, 3: 1, 4: 0}
    assert table["median_days"].iloc[:3].tolist() == [27.5, 27.5, 40]
    assert table["median_wait"].iloc[:2].tolist() == [30, 20]  # the first day by which half had it
    assert table["wait_reason"].tolist() == ["", "", "", "not_reached"]
    trend = found.trend.set_index("trend")["n"].to_dict()
    assert trend == {"longer": 1, "equal": 0, "shorter": 1, "too_few": 1}


def test_time_off_treatment():
    study = cohort(
        ("0 3 6 9 12 15 150", "0:20", 400),  # cover of the dose on day 15 ends on day 78; 72 days off
        (SIX, "0:20", 100),  # 22 days off so far
        (SIX, "0:20", 60),  # still covered
    )
    row = study.durability(CRITERION).time_off.iloc[0]
    assert row[["n", "returned", "still_off", "median_days"]].tolist() == [2, 1, 1, 72]
    assert row["median_off"] == 72


def test_repeat_courses_have_their_own_baseline():
    rows = Rows().add("a", SIX + " 150 153 156 159 162 165", {"cut_day": 500},
                      phq9="0:20 20:16 150:16 180:8")  # fmt: skip
    table = study_of(rows, plan_for(Settings(), [CRITERION])).repeats(CRITERION)
    nri = table[table["analysis"] == "nri"].set_index("course")
    assert nri["met"].to_dict() == {"first": 0, "second": 1, "third": 0}  # 8 is half of 16, not of 20
    assert nri["due"].to_dict() == {"first": 1, "second": 1, "third": 0}


# --- rules ------------------------------------------------------------------------------------------------


def test_rules_are_named_cited_and_fit_their_instrument():
    rules = lasting()
    assert all(rule.cite and rule.title for rule in (*rules.relapses.values(), *rules.gains.values()))
    assert set(rules.cites) == {"early", "recovery", "boosters", "marks"}
    assert (rules.early_sessions, rules.recovery_days) == (2, 120)
    assert [rule.name for rule in rules.relapses_of("pcl5")] == ["lost", "lost_confirmed", "pcl5_33"]
    assert rules.relapse("madrs_sustain1").apart == (5, 15)


def test_rules_explain_themselves():
    said = explanation("madrs_sustain1", ko.Plan().definitions)
    assert said is not None
    assert said.startswith("madrs_sustain1: MADRS of 22 or more at two scores in a row")
    assert "Daly 2019" in said
    assert "Tang and DeRubeis" in (explanation("phq9_sg5", ko.Plan().definitions) or "")


def test_a_folder_may_hold_rules_of_its_own(tmp_path):
    (tmp_path / "lasting").mkdir()
    own = tmp_path / "lasting" / "own.toml"
    own.write_text(
        '[relapse.phq9_15]\ntitle = "x"\ninstrument = "phq9"\nrule = "at_or_worse"\nvalue = 15\nscores = 1\n'
        'cite = "house"\n',
        encoding="utf-8",
    )
    rows = Rows().add("a", SIX, {"cut_day": 100}, phq9="0:20 5:10 20:14 30:15")
    study = study_of(rows, plan_for(Settings(), [CRITERION], folder=tmp_path))
    assert study.responses(CRITERION, relapse="phq9_15")["outcome_day"].tolist() == [30]
    found = study.durability(CRITERION, relapse="phq9_15")
    assert found.rules["relapse"].tolist() == ["phq9_15"]
    own.write_text('[relapse.lost]\ntitle = "x"\nrule = "lots"\nscores = 3\n', encoding="utf-8")
    lasting.cache_clear()
    with pytest.raises(DefinitionError, match="exists already"):
        lasting((str(tmp_path),))


def test_tallies_by_other_rules_do_not_add(tmp_path):
    tally = cohort((SIX, "0:20 5:10", 100)).tally(at="end", tables=("durability",))
    other = replace(tally, header=replace(tally.header, lasting=("x",)))
    with pytest.raises(TallyError, match="lasting"):
        tally + other


# --- a slow walk through every score ----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("rule", "bad_from", "in_a_row", "apart"),
    [("lost", None, 1, None), ("lost_confirmed", None, 2, None), ("phq9_10_confirmed", 10, 2, (5, 15))],
)
def test_a_slow_walk_makes_the_same_moves(seed, rule, bad_from, in_a_row, apart):
    rows = random_cohorts.rows(seed, 50, cut=seed % 2 == 0)
    settings = random_cohorts.settings(seed)
    criterion = (CRITERION, "phq9_remission_lt5")[seed % 2]
    study = study_of(rows, plan_for(settings, [criterion], complete=seed % 2 == 1))
    table = study.tally(at="end", tables=("durability",)).transitions
    own = table[table["clock"] == f"response:{rule}"]
    fast = Counter({(r["day"], r["from"], r["to"]): r["n"] for r in own.to_dict("records")})
    slow = curve_reference.relapses(
        rows.doses, rows.scores, rows.people, settings, criterion, bad_from, in_a_row, apart
    )
    assert fast == curve_reference.counted(slow)
    between = table[table["clock"] == f"response:{rule}:interval"]
    dated = between[between["to"] == "dated"].groupby("day")["n"].sum().to_dict()
    assert dated == Counter(one["between"][1] for one in slow if one["between"] is not None)
    begun = between[between["from"] == ""].groupby("day")["n"].sum().to_dict()
    assert begun == Counter(one["between"][0] for one in slow if one["between"] is not None)
    sustained = table[table["clock"] == "sustained"].groupby("to")["n"].sum().to_dict()
    assert sustained == Counter(one["sustained"] for one in slow)


# --- what must hold of any cohort -------------------------------------------------------------------------


def counted(rows: Rows) -> str:
    study = study_of(rows, plan_for(random_cohorts.settings(0), [CRITERION, "pcl5_reliable15"]))
    return study.tally(at="end", by="site", tables=("durability",)).to_json()


def test_counts_of_parts_add_up_to_the_whole():
    rows = random_cohorts.rows(3, 60, cut=True)
    names = sorted({row["patient"] for row in rows.doses})
    random.Random(1).shuffle(names)
    plan = plan_for(random_cohorts.settings(3), [CRITERION])
    parts = [
        study_of(part(rows, set(own)), plan).tally(at="end", by="site", tables=("durability",))
        for own in (names[:1], names[1:20], names[20:])
    ]
    whole = study_of(rows, plan).tally(at="end", by="site", tables=("durability",))
    assert json.loads(sum(parts).to_json())["tables"] == json.loads(whole.to_json())["tables"]


def test_order_blocks_and_calendars_mean_nothing(monkeypatch):
    rows = random_cohorts.rows(4, 50, cut=True)
    whole = counted(rows)
    assert (
        counted(
            Rows(*(random.Random(2).sample(of, len(of)) for of in (rows.doses, rows.scores, rows.people)))
        )
        == whole
    )

    def shifted(row: dict[str, Any]) -> dict[str, Any]:
        days = {
            key: row[key] + 777 for key in ("day", "cut_day", "observed_from") if row.get(key) is not None
        }
        return {**row, **days}

    assert (
        counted(Rows(*([shifted(row) for row in of] for of in (rows.doses, rows.scores, rows.people))))
        == whole
    )
    monkeypatch.setattr("ketaoutcomes.per_patient.patients.BLOCK", 7)
    assert counted(rows) == whole


@pytest.mark.parametrize("seed", range(3))
def test_records_after_the_last_day_change_nothing(seed):
    rows = random_cohorts.rows(seed, 50, cut=True)
    assert counted(random_cohorts.known(rows)) == counted(rows)


def test_groups_sum_to_the_whole_and_a_lower_threshold_is_reached_sooner():
    study = ko.Study(ko.load_sample())
    whole, sites = study.durability(CRITERION), study.durability(CRITERION, by="site")
    columns = ["n", "relapsed", "retreated", "unscored", "never_scored"]
    assert sites.summary.groupby("relapse")[columns].sum().to_numpy().tolist() == (
        whole.summary[columns].to_numpy().tolist()
    )
    by_rule = whole.curve.pivot(index="day", columns="relapse", values="estimate").dropna()
    assert (by_rule["lost_confirmed"] <= by_rule["lost"]).all()
    assert whole.sustained["n"].sum() == whole.sustained["of"].iloc[0]


def test_hidden_counts_stay_hidden():
    study = ko.Study(ko.load_sample())
    tally = study.tally(at="end", criteria=CRITERION, tables=("durability",))
    hidden = {name: table.assign(n=np.nan) for name, table in tally.tables().items() if name != "flow"}
    found = durability.durability(replace(tally, **hidden, protected="cms11"), relapse="lost")
    assert found.curve["no_relapse"].isna().all()
    assert found.curve["reason"].eq("hidden").all()
    assert found.sustained["share"].isna().all()
    assert found.boosters["wait_reason"].eq("hidden").all()
    assert "not known: hidden" in found.sentence()


def test_a_protected_tally_tells_nothing_that_was_not_weighed():
    study = ko.Study(ko.load_sample())
    tally = study.tally(at="end", criteria=CRITERION, tables=("curves", "durability"))
    (shown,) = ko.protect([tally])
    assert shown.transitions["n"].isna().all()
    found = durability.durability(shown)
    for table in (found.marks, found.summary, found.sustained, found.boosters, found.trend, found.time_off):
        assert table["n"].isna().all()
    curve = response_curves.curve(shown, days=[0, 30])
    assert curve[["n", "at_risk", "events", "stopped", "censored", "estimate"]].isna().all(axis=None)
    assert set(curve["why"]) == {"hidden"}


def test_one_sentence():
    scores = [f"0:20 5:10 33:9 {60 + n}:9" for n in range(15)] + ["0:20 5:10 40:11"] * 4 + ["0:20 5:10"]
    found = cohort(*[(SIX, text, 200) for text in scores]).durability(CRITERION, relapse="lost")
    assert found.sentence() == (
        "Of 20 who met phq9_response50, 79\u202f% had no relapse 8 weeks later (relapse: the criterion is no "
        "longer met at one score), interval 53–92 %; each followed to the last score, and 1 had no score "
        "after it."
    )
    with pytest.raises(ValueError, match="relapse"):
        cohort((SIX, "0:20 5:10 40:11", 200)).durability(CRITERION).sentence()


def test_tables_have_the_columns_they_are_declared_with():
    study = ko.Study(ko.load_sample())
    found = study.durability(CRITERION)
    for name, table in {
        "curve": study.curve(CRITERION), "curve_summary": study.curve_summary(CRITERION),
        "onset": study.onset(CRITERION).drop(columns="protocol"), "onsets": study.onsets(CRITERION),
        "responses": study.responses(CRITERION), "relapse_curve": found.curve,
    }.items():  # fmt: skip
        assert tuple(table.columns) == TABLES[name].names
        for column in TABLES[name].columns:
            blank = (table[column.name] == "") | table[column.name].isna()
            assert column.nullable or not blank.any(), column.name


def test_a_rule_for_another_instrument_is_refused():
    study = cohort((SIX, "0:20 5:10 40:11", 200))
    with pytest.raises(ValueError, match="madrs_sustain1 is about madrs"):
        study.durability(CRITERION, relapse="madrs_sustain1")
    with pytest.raises(ValueError, match="pcl5_33 is about pcl5"):
        study.responses(CRITERION, relapse="pcl5_33")


def test_nobody_responded():
    found = cohort((SIX, "0:20 20:19", 200)).durability(CRITERION)
    assert found.curve.empty
    assert found.summary.empty
    assert found.sustained.empty
    assert len(found.boosters) == 1
    with pytest.raises(PlanError, match="cut_day"):
        study_of(Rows().add("a", "0", phq9="0:20"), plan_for(Settings(), [CRITERION])).durability()
    assert pd.api.types.is_integer_dtype(found.boosters["booster"])


RETREATED = """
[protocols.brief]
title = "a gap of two days ends a course"
cite = "house"
carry = [1, 1]
course_gap = 1
maturity = 59
end_week = 8
"""


def test_from_rows_to_what_r_says_of_relapse_and_retreatment(tmp_path):
    # R's people (etm): 3 days after the first dose all respond. Cause 1 is a relapse, cause 2 another course,
    # which begins on a day that is scored; the rest are last scored, and still well, on the day they leave.
    (tmp_path / "brief.toml").write_text(RETREATED, encoding="utf-8")
    oracle, rows = R["competing"], Rows()
    for number, (day, cause) in enumerate(zip(oracle["data"]["exit"], oracle["data"]["cause"], strict=True)):
        last = 3 + int(day)
        score = f"0:20 3:10 {last}:{11 if cause == '1' else 10}"
        rows.add(f"P{number}", f"0 {last}" if cause == "2" else "0", {"cut_day": 300}, phq9=score)
    plan = plan_for(Settings(everyone="brief"), [CRITERION], folder=tmp_path)
    tally = study_of(rows, plan).tally(at="end", tables=("durability",))
    table = durability.relapse_curve(tally, "lost", least=1).set_index("day")
    for at, day in enumerate(oracle["time"]):
        row = table.loc[int(day)]
        assert row["estimate"] == pytest.approx(oracle["share_1"][at], abs=1e-9)
        assert row["retreated_share"] == pytest.approx(oracle["share_2"][at], abs=1e-9)
        assert row["se"] ** 2 == pytest.approx(oracle["var_1"][at], abs=1e-9)


TRIAL = DATA / "antidepressant-hamd17" / "antidepressant_data_rbmi.csv"


@pytest.mark.skipif(not TRIAL.exists(), reason="reference data absent: set KETAOUTCOMES_REFERENCE_DATA")
def test_loss_of_response_in_a_real_trial_agrees_with_r():
    plan = ko.read_plan(HERE.parent / "plans" / "antidepressant.toml")
    study = ko.Study(ko.read(TRIAL, plan))
    tally = study.tally(at="end", by="THERAPY", criteria="hamd17_trial_response50", tables=("durability",))
    table = durability.relapse_curve(tally, "lost", least=1)
    oracle = json.loads((HERE.parent / "oracles" / "hamd17_relapse.json").read_text("utf-8"))
    for arm in ("DRUG", "PLACEBO"):
        own, printed = table[table["THERAPY"] == arm].set_index("day"), oracle[arm]
        assert own["n"].iloc[0] == printed["n"]
        for at, day in enumerate(printed["time"]):
            row = own.loc[int(day)]
            assert (row["at_risk"], row["events"]) == (printed["risk"][at], printed["events"][at])
            assert row["no_relapse"] == pytest.approx(printed["share"][at], abs=1e-12)
            if 0 < row["no_relapse"] < 1:
                assert (row["low"], row["high"]) == pytest.approx((printed["low"][at], printed["high"][at]))
