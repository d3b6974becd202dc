"""Side effects and worsening: small records counted by eye, a slow count of everyone, and what must hold."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes import figures, simulate
from ketaoutcomes.counts.tallies import Tally
from ketaoutcomes.disclosure import protect
from ketaoutcomes.records.cohort import Cohort
from ketaoutcomes.records.monitoring import DIASTOLIC, READINGS, SYSTOLIC, events, ranges
from ketaoutcomes.results import safety_results
from ketaoutcomes.simulate.watching import dissociation
from ketaoutcomes.study import Study

DAYS = (0, 3, 7, 10, 14, 17)
BASE: dict[str, Any] = {"dose": 0.5, "unit": "mg/kg", "route": "iv"}


def sessions(patient: str, *records: dict[str, Any]) -> list[dict[str, Any]]:
    """An IV induction with what was recorded at each session; `{}` where nothing was."""
    return [
        {"patient": patient, "day": day, **BASE, **record} for day, record in zip(DAYS, records, strict=False)
    ]


def study_of(rows: list[dict[str, Any]], scores: list[dict[str, Any]] | None = None) -> Study:
    doses = pd.DataFrame(rows)
    filled = pd.DataFrame(scores or [{"patient": rows[0]["patient"], "day": 0, "phq9": 15}])
    people = pd.DataFrame({"patient": sorted(set(doses["patient"])), "cut_day": 400})
    return Study(Cohort.from_frames(doses, filled, people))


def told(table: pd.DataFrame, measure: str, **where: Any) -> dict[str, float]:
    for name, value in where.items():
        table = table[table[name] == value]
    (row,) = table[table["measure"] == measure].to_dict("records")
    return row


# What an event is


def reading(*pairs: tuple[int, int]) -> dict[str, Any]:
    """Blood pressure before the dose, at 40 minutes and at discharge, as far as given; -1: not recorded."""
    found = {}
    for above, below, pair in zip(SYSTOLIC, DIASTOLIC, pairs, strict=False):
        found |= {above: pair[0], below: pair[1]}
    return {name: value for name, value in found.items() if value >= 0}


@pytest.mark.parametrize(
    ("record", "high", "rise"),
    [
        (reading((120, 80), (179, 109)), 0, 1),  # a rise of 59, and one below both limits
        (reading((150, 100), (180, 105)), 1, 0),  # exactly 180 counts
        (reading((150, 100), (170, 110)), 1, 0),  # exactly 110 counts
        (reading((120, 80), (160, 90)), 0, 1),  # exactly 40
        (reading((120, 80), (159, 104)), 0, 0),
        (reading((120, 80), (130, 105)), 0, 1),  # exactly 25
        (reading((120, 80), (130, 85), (185, 90)), 1, 1),  # at discharge
        (reading((-1, -1), (130, 85)), 0, None),  # without one before, no rise can be told
        (reading((120, 80), (-1, -1)), None, None),  # nothing after the dose
        (reading((120, 80), (185, -1)), 1, 1),  # half a reading is enough for yes
        (reading((120, 80), (130, -1)), None, None),  # and too little for no
    ],
)
def test_blood_pressure_is_an_event_from_the_limit_on(
    record: dict[str, Any], high: int | None, rise: int | None
) -> None:
    table = study_of(sessions("a", {"nausea": "no"} | record)).safety()
    for name, said in (("hypertension_180_110", high), ("bp_rise_40_25", rise)):
        row = told(table, name, axis="course")
        assert (row["of"], row["n"]) == (1, 0 if said is None else 1)
        assert row["count"] == (said or 0)


def test_what_is_not_recorded_is_not_no() -> None:
    rows = [
        *sessions("a", {"dissociation": "yes"}, {"dissociation": "no"}, {}),
        *sessions("b", {"dissociation": "no"}, {"nausea": "yes"}, {"dissociation": "no"}),
        *sessions("c", {}, {}),
    ]
    table = study_of(rows).safety()
    first = told(table, "dissociation", axis="session", point="1")
    assert [first[k] for k in ("of", "n", "not_recorded", "count", "value")] == [3, 2, 1, 1, 0.5]
    second = told(table, "dissociation", axis="session", point="2")
    assert [second[k] for k in ("of", "n", "not_recorded", "count", "value")] == [3, 1, 2, 0, 0.0]
    fourth = told(table, "dissociation", axis="session", point="4")
    assert (fourth["of"], fourth["reason"]) == (0, "not_recorded")
    person = told(table, "dissociation", axis="course")
    assert [person[k] for k in ("of", "n", "not_recorded", "count")] == [3, 2, 1, 1]
    assert told(table, "sedation", axis="course")["reason"] == "not_recorded"


def test_boosters_count_for_the_person_and_are_no_session_of_the_induction() -> None:
    rows = [*sessions("a", *[{"nausea": "no"}] * 6), {"patient": "a", "day": 45, **BASE, "nausea": "yes"}]
    table = study_of(rows).safety()
    assert set(table.loc[table["axis"] == "session", "point"]) == {"1", "2", "3", "4", "5", "6"}
    assert told(table, "nausea", axis="session", point="6")["count"] == 0
    assert told(table, "nausea", axis="course")["count"] == 1


def test_an_event_in_a_later_course_is_not_left_out() -> None:
    later = [
        {"patient": "a", "day": day, **BASE, "serious_event": said}
        for day, said in ((200, "no"), (203, "yes"))
    ]
    beyond = {"patient": "a", "day": 401, **BASE, "nausea": "yes"}  # after the last day on record
    rows = [*sessions("a", {"serious_event": "no", "nausea": "no"}), *later, beyond]
    rows += [*sessions("b", {"serious_event": "no"}), *sessions("c", {})]
    study = study_of(rows)
    assert list(study.courses["patient"]) == ["a", "a", "b", "c"]
    row = told(study.safety(), "serious_event", axis="course")
    assert [row[k] for k in ("of", "n", "not_recorded", "count")] == [3, 2, 1, 1]
    assert told(study.safety(), "nausea", axis="course")["count"] == 0
    first = told(study.safety(), "serious_event", axis="session", point="1")
    assert [first[k] for k in ("of", "n", "count")] == [3, 2, 0]  # sessions are those of first courses


def test_cadss_is_a_mean_and_minutes_a_median() -> None:
    seen = (("a", 10, 120), ("b", 20, 130), ("c", 60, 300), ("d", None, 120))
    rows = [
        row
        for patient, total, minutes in seen
        for row in sessions(patient, {"cadss": total, "minutes_observed": minutes})
    ]
    table = study_of(rows).safety()
    cadss = told(table, "cadss", axis="session", point="1")
    assert [cadss[k] for k in ("statistic", "of", "n", "not_recorded", "value")] == ["mean", 4, 3, 1, 30]
    assert cadss["sd"] == pytest.approx(26.4575, abs=1e-4)  # of 10, 20, 60
    minutes = told(table, "minutes_observed", axis="session", point="1")
    assert [minutes[k] for k in ("statistic", "n", "value")] == ["median", 4, 125]


def test_intervals_are_wilsons() -> None:
    # Newcombe 1998, Statistics in Medicine 17:857-872, method 3: 15 of 148.
    rows = [row for i in range(148) for row in sessions(f"p{i:03d}", {"sedation": "yes" if i < 15 else "no"})]
    row = told(study_of(rows).safety(), "sedation", axis="course")
    assert (row["low"], row["high"]) == pytest.approx((0.0624, 0.1605), abs=5e-5)


ITEMS = [f"phq9_{i}" for i in range(1, 10)]


def form(patient: str, day: int, total: int, ninth: int | None) -> dict[str, Any]:
    rest = total - (ninth or 0)
    return {"patient": patient, "day": day} | dict(
        zip(ITEMS, [*(min(3, max(0, rest - 3 * i)) for i in range(8)), ninth], strict=True)
    )


def test_the_safety_item_is_followed_from_where_it_began() -> None:
    forms = [
        form("a", 0, 14, 0), form("a", 5, 14, 2), form("a", 20, 12, 0),  # once, and gone again
        form("b", 0, 14, 0), form("b", 20, 20, 1),  # new, and six points worse
        form("c", 0, 14, 1), form("c", 20, 14, 2),  # higher
        form("d", 0, 14, 2), form("d", 20, 10, 1),  # lower
        form("e", 0, 14, 3),  # never asked again
        form("f", 0, 14, None), form("f", 20, 14, 3),  # not asked at baseline
        form("g", 0, 14, 0), form("g", 4, 21, 0), form("g", 20, 14, 0),  # worse once
    ]  # fmt: skip
    rows = [row for patient in "abcdefg" for row in sessions(patient, *[{}] * 6)]
    table = study_of(rows, forms).safety()

    def counts(measure: str, point: str) -> list[float]:
        row = told(table, measure, axis="course", point=point, instrument="phq9")
        return [row[name] for name in ("of", "n", "count")]

    assert counts("safety_item_at_baseline", "baseline") == [7, 6, 3]
    assert counts("safety_item_new", "last") == [3, 3, 1]
    assert counts("safety_item_new", "any") == [3, 3, 2]
    assert counts("safety_item_higher", "last") == [3, 2, 1]
    assert counts("safety_item_lower", "last") == [3, 2, 1]
    assert counts("phq9_deterioration", "last") == [7, 6, 1]
    assert counts("phq9_deterioration", "any") == [7, 6, 2]


# Reading


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / name
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_readings_are_typed_and_every_fault_has_a_rule(tmp_path: Path) -> None:
    record = {
        "bp_systolic_before": "120", "bp_diastolic_before": "80", "sedation": "Yes", "dissociation": "N",
        "nausea": "1", "serious_event": "false", "cadss": "12.0", "minutes_observed": "125",
    }  # fmt: skip
    faults = [
        ({"bp_systolic_before": "80", "bp_diastolic_before": "120"}, "D22"), ({"cadss": "93"}, "D20"),
        ({"sedation": "mild"}, "D21"), ({"minutes_observed": "-9"}, "D06"), ({"cadss": "3.5"}, "D11"),
        ({"bp_systolic_before": "1,200"}, "D08"), ({"minutes_observed": "two hours"}, "D09"),
    ]  # fmt: skip
    rows = sessions("a", record, *({"nausea": "no"} | fault for fault, _ in faults[:5]))
    rows += sessions("b", *({"nausea": "no"} | fault for fault, _ in faults[5:]))
    rows = [row | {"phq9": 15} for row in rows]
    cohort = ko.read(write(tmp_path, "one.csv", rows))
    assert cohort.problems["rule"].tolist() == [rule for _, rule in faults]
    assert cohort.problems["row"].tolist() == [3, 4, 5, 6, 7, 8, 9]
    first = cohort.monitoring.iloc[0][list(record)].tolist()
    assert first == [120, 80, True, False, True, False, 12, 125]
    assert cohort.monitoring["nausea"].tolist() == [True] + [False] * 7
    assert cohort.monitoring.iloc[1:].drop(columns=["patient", "day", "nausea"]).isna().all(axis=None)


def test_a_file_of_its_own_can_be_read_beside_the_sessions(tmp_path: Path) -> None:
    plain = [row | {"phq9": 15} for row in sessions("a", {}, {})]
    beside = [row | {"phq9": 15} for row in sessions("a", {"cadss": 4}, {"cadss": 2})]
    own = [{"patient": "a", "day": day, "cadss": value} for day, value in ((0, 4), (3, 2))]
    apart = ko.read([write(tmp_path, "doses.csv", plain), write(tmp_path, "monitoring.csv", own)])
    together = ko.read(write(tmp_path, "both.csv", beside))
    assert len(apart.problems) == 0
    pd.testing.assert_frame_equal(apart.monitoring, together.monitoring)


def test_records_of_one_day_agree_or_are_set_aside_and_need_a_dose() -> None:
    doses = pd.DataFrame(sessions("a", {}, {}, {}))
    own = pd.DataFrame(
        [
            {"patient": "a", "day": 0, "cadss": 4}, {"patient": "a", "day": 0, "nausea": True},
            {"patient": "a", "day": 3, "cadss": 4}, {"patient": "a", "day": 3, "cadss": 5},
            {"patient": "a", "day": 5, "cadss": 4}, {"patient": "a", "day": 7},
        ]
    )  # fmt: skip
    scores = pd.DataFrame({"patient": ["a"], "day": [0], "phq9": [15]})
    cohort = Cohort.from_frames(doses, scores, monitoring=own)
    assert cohort.monitoring[["day", "cadss", "nausea"]].to_numpy().tolist() == [[0, 4, True]]
    found = cohort.problems[["row", "rule", "action"]].to_numpy().tolist()
    assert found == [
        [3, "C07", "normalised"], [4, "C08", "quarantined"], [5, "C08", "quarantined"],
        [6, "E16", "quarantined"],
    ]  # fmt: skip


def test_every_range_has_a_source_and_every_reading_a_range() -> None:
    assert set(ranges()) == set(READINGS)
    assert all(event.cite and event.title for event in events())


def test_a_column_of_grades_is_told_and_not_guessed(tmp_path: Path) -> None:
    rows = [row | {"phq9": 15} for row in sessions("a", {"sedation": "3"}, {"sedation": "2"})]
    cohort = ko.read(write(tmp_path, "grades.csv", rows))
    assert cohort.problems["rule"].tolist() == ["D21", "D21"]
    assert len(cohort.monitoring) == 0


# Everyone, slowly


@cache
def clinic() -> simulate.Simulated:
    return simulate.clinic(patients=240, seed=11)


@cache
def judged() -> Study:
    return Study(Cohort.from_frames(*clinic().frames()))


def happened(record: dict[str, Any], name: str) -> int | None:
    """The rule again, one record at a time."""
    known = {key: value for key, value in record.items() if not pd.isna(value)}
    if name in known or name not in ("hypertension_180_110", "bp_rise_40_25"):
        return {"yes": 1, "no": 0}.get(known.get(name, ""))
    limits = (180, 110) if name == "hypertension_180_110" else (40, 25)
    said: int | None = None
    for when in ("40min", "discharge"):
        whole = True
        for which, limit in zip(("systolic", "diastolic"), limits, strict=True):
            after, before = known.get(f"bp_{which}_{when}"), known.get(f"bp_{which}_before")
            whole &= after is not None and (limits[0] > 100 or before is not None)
            if after is not None and (limits[0] > 100 or before is not None):
                value = after if limits[0] > 100 else after - before
                said = 1 if value >= limit else said
        said = 0 if said is None and whole else said
    return said


def slow_counts() -> Counter[tuple[str, ...]]:
    """Person by person, from the doses as they stand in the file."""
    doses, _, _ = clinic().frames()
    courses = judged().courses.query("course == 1").set_index("patient")
    courses_start = judged().cohort.people.set_index("patient")["start_date"]
    as_of = pd.Timestamp(judged().as_of)
    start = judged().cohort.people.set_index("patient")["start_date"]
    as_of = pd.Timestamp(judged().as_of)
    found: Counter[tuple[str, ...]] = Counter()
    for patient, own in doses.sort_values("date").groupby("patient"):
        course = courses.loc[patient]
        records = own.to_dict("records")
        by_visits = course["protocol"] != "home"
        due = by_visits and start[patient] + pd.Timedelta(int(course["due_day"]), "D") <= as_of
        for event in events():
            ever = []
            for k, record in enumerate(records, start=1):
                said = happened(record, event.name)
                ever.append(said)
                due = (
                    courses_start[patient] + pd.Timedelta(days=int(course["due_day"])) <= as_of
                    if (course["protocol"] != "home")
                    else False
                )
                if k <= course["induction_sessions"] and due:
                    state = {None: "missing", 0: "not_met", 1: "met"}[said]
                    found["session", course["protocol"], str(k), event.name, state] += 1
            known = [said for said in ever if said is not None]
            state = "missing" if not known else "met" if max(known) else "not_met"
            found["course", course["protocol"], "any", event.name, state] += 1
    return found


def test_counts_are_those_of_a_slow_count_of_everyone() -> None:
    points = judged().tally(by="protocol", at=("session", "end"), tables=("safety",)).points
    points = points[points["instrument"] == "safety"]
    keys = ["axis", "protocol", "point", "criterion", "state"]
    fast = {tuple(key): int(n) for *key, n in points[[*keys, "n"]].itertuples(index=False)}
    slow = slow_counts()
    assert len(slow) > 200
    assert fast == dict(slow)


def test_shuffling_rows_and_shifting_dates_changes_nothing() -> None:
    doses, scores, people = clinic().frames()
    before = judged().safety()
    shuffled = [table.sample(frac=1, random_state=4) for table in (doses, scores, people)]
    pd.testing.assert_frame_equal(Study(Cohort.from_frames(*shuffled)).safety(), before)
    later = pd.Timedelta(days=70)
    moved = [doses.assign(date=doses["date"] + later), scores.assign(date=scores["date"] + later), people]
    moved[2] = people.assign(target_date=people["target_date"] + later)
    pd.testing.assert_frame_equal(Study(Cohort.from_frames(*moved)).safety(), before)


def part(keep: Any) -> Cohort:
    return Cohort.from_frames(*(t[t["patient"].isin(keep)].reset_index(drop=True) for t in clinic().frames()))


@pytest.mark.parametrize(("by", "at"), [((), "end"), ("site", "end"), ("protocol", "session")])
def test_counts_add_over_a_split_by_patient(by: Any, at: str) -> None:
    everyone = sorted(set(clinic().sessions["patient"]))
    halves = [everyone[::3], [code for i, code in enumerate(everyone) if i % 3]]
    as_of = judged().as_of
    parts = [Study(part(keep), as_of).tally(by=by, at=at, tables=("safety",)) for keep in halves]
    assert sum(parts) == Study(part(everyone), as_of).tally(by=by, at=at, tables=("safety",))


# What was planted


@cache
def sample() -> Study:
    return Study(ko.load_sample())


def test_dissociation_fades_as_planted() -> None:
    table = sample().safety()
    found = table[(table["measure"] == "dissociation") & (table["axis"] == "session")]
    assert len(found) == 6 + 4 + 8
    for protocol, rows in found.groupby("protocol"):
        planted = dissociation(rows["point"].astype("int64").to_numpy(), simulate.HABITS)
        error = np.sqrt(planted * (1 - planted) / rows["n"].to_numpy(dtype=float))
        assert (abs(rows["value"] - planted) < 3.5 * error).all(), protocol
    iv = found[found["protocol"] == "iv6"]["value"].tolist()
    assert iv == sorted(iv, reverse=True)


def test_who_is_treated_at_home_is_not_recorded() -> None:
    row = told(sample().safety(by="protocol"), "nausea", axis="course", protocol="home")
    assert (row["n"], row["reason"]) == (0, "not_recorded")
    assert row["of"] == row["not_recorded"] > 200


def test_the_sentence_states_numbers_and_where_to_report() -> None:
    tally = sample().tally(at="end", tables=("safety",))
    said = safety_results.sentence(tally)
    row = told(sample().safety(), "dissociation", axis="course")
    share = f"{100 * row['value']:.0f}\u202f%"
    assert f"dissociation in {row['count']:,.0f} of {row['n']:,} ({share})" in said
    assert "usual channels" in said
    with pytest.raises(ValueError, match="everyone together"):
        safety_results.sentence(sample().tally(by="site", at="end", tables=("safety",)))


def test_without_any_record_nothing_is_said_to_have_happened() -> None:
    study = study_of(sessions("a", {}, {}))
    assert "No side effect was recorded" in safety_results.sentence(study.tally(at="end", tables=("safety",)))
    assert (study.safety().query("instrument == 'safety'")["n"] == 0).all()


# What may leave


def small(n: float) -> bool:
    return 0 < abs(n) <= 10


def shown(tally: Tally) -> dict[tuple[str, ...], dict[str, float]]:
    """What a reader can see of each count: everyone asked about, on record, had it; NaN left out."""
    table = safety_results.safety(tally)
    by = list(tally.header.by)
    seen = {}
    for row in table.to_dict("records"):
        key = tuple(str(row[name]) for name in [*by, "axis", "point", "instrument", "measure"])
        seen[key] = {name: row[name] for name in ("of", "n", "count") if not np.isnan(row[name])}
    return seen


def told_apart(tallies: list[Tally]) -> list[float]:
    """Every number of persons that a reader can work out from what is shown, by sets known to be nested."""
    found: list[float] = []
    persons, by_session = (shown(tally) for tally in tallies)
    for key, row in [*persons.items(), *by_session.items()]:
        found += row.values()
        found += [row[a] - row[b] for a, b in (("of", "n"), ("n", "count")) if {a, b} <= set(row)]
        if key[-4] == "session" or key[1:2] == ("session",):
            protocol, axis, point, instrument, name = key
            later = by_session.get((protocol, axis, str(int(point) + 1), instrument, name), {})
            found += [row["of"] - later["of"]] if {"of"} <= set(row) & set(later) else []
    for (*_, name), row in ((k, v) for k, v in persons.items() if k[2] == "safety"):
        for what in ("n", "count"):
            groups: dict[str, float] = {}
            for (protocol, _, _, _, other), own in by_session.items():
                if other == name:
                    groups[protocol] = max(groups.get(protocol, 0), own.get(what, 0))
            if what in row and any(groups.values()):
                found.append(row[what] - sum(groups.values()))
    return [n for n in found if not np.isnan(n)] + answers_apart(persons)


def answers_apart(persons: dict[tuple[str, ...], dict[str, float]]) -> list[float]:
    def get(name: str, point: str, what: str) -> float:
        return persons.get(("course", point, "phq9", name), {}).get(what, np.nan)

    due = get("safety_item_at_baseline", "baseline", "of")
    none, some = (get(f"safety_item_{name}", "last", "of") for name in ("new", "higher"))
    again, later = (get(f"safety_item_{name}", "last", "n") for name in ("new", "higher"))
    up, down = (get(f"safety_item_{name}", "last", "count") for name in ("higher", "lower"))
    new, ever = get("safety_item_new", "last", "count"), get("safety_item_new", "any", "count")
    worse = [get("phq9_deterioration", point, "count") for point in ("any", "last")]
    found = [
        worse[0] - worse[1],
        due - none - some,
        due - again - later,
        some - up - down,
        later - up - down,
        ever - new,
    ]
    found += [due - again - some, due - none - later, again - ever, none - again, some - later]
    return [n for n in found if not np.isnan(n)]


def of_a_report(study: Study) -> list[Tally]:
    return [
        study.tally(at=("week", "end"), kind="current"),
        study.tally(by="protocol", at=("session", "end"), kind="current"),
        study.tally(at="end", tables=("good_time",)),
        study.tally(at="end", tables=("safety",)),
        study.tally(by="protocol", at="session", tables=("safety",)),
    ]


@pytest.mark.parametrize("profile", ["cms11", "opensafely"])
def test_the_sample_tells_of_safety_and_nothing_small(profile: str) -> None:
    *_, persons, by_session = protect(of_a_report(sample()), profile)
    assert persons.protected == by_session.protected == profile
    if profile == "cms11":
        assert not [n for n in told_apart([persons, by_session]) if small(n)]
    table = safety_results.safety(by_session)
    fading = table[(table["measure"] == "dissociation") & (table["protocol"] == "iv6")]
    assert fading["value"].notna().all()
    assert told(safety_results.safety(persons), "phq9_deterioration", point="last")["count"] > 10
    rare = told(safety_results.safety(persons), "serious_event")
    assert (rare["reason"], np.isnan(rare["count"])) == ("hidden", True)
    assert "a serious adverse event in a hidden number" in safety_results.sentence(persons)


@pytest.mark.parametrize("seed", range(3))
def test_small_clinics_tell_nothing_small(seed: int) -> None:
    small_one = simulate.clinic(patients=60 + 140 * seed, seed=seed)
    raw = of_a_report(Study(Cohort.from_frames(*small_one.frames())))
    *_, persons, by_session = protect(raw)
    assert any(small(n) for n in told_apart(raw[-2:]))  # there is something to hide
    assert not [n for n in told_apart([persons, by_session]) if small(n)]


def crowd(*kinds: tuple[int, list[dict[str, Any]], list[tuple[int, int, int | None]]]) -> Study:
    """So many people of each kind: their records by session, and forms as (day, total, item 9)."""
    rows, forms = [], []
    for number, records, answers in kinds:
        for _ in range(number):
            code = f"p{len(forms):05d}{len(rows):05d}"
            rows += sessions(code, *(records + [{}] * (6 - len(records))))
            forms += [form(code, *answer) for answer in answers]
    return study_of(rows, forms)


CALM, SOME = [(0, 15, 0), (20, 15, 0)], [(0, 15, 2), (20, 15, 2)]
YES, NO = {"dissociation": "yes"}, {"dissociation": "no"}


@pytest.mark.parametrize(
    ("study", "tells"),
    [
        # 45 dissociated at some time, 40 at the first session: 5 only later.
        (crowd((40, [YES, NO], CALM), (5, [NO, YES], CALM), (60, [NO, NO], CALM)), 5),
        # 35 answered item 9 with more than none at some time, 30 at last.
        (crowd((30, [], [(0, 15, 0), (20, 15, 1)]), (5, [], [(0, 15, 0), (5, 15, 1), (20, 15, 0)]),
               (60, [], CALM)), 5),
        # 35 were worse at some time, 30 at last.
        (crowd((30, [], [(0, 12, 0), (20, 20, 0)]), (5, [], [(0, 12, 0), (5, 20, 0), (20, 12, 0)]),
               (60, [], CALM)), 5),
        # Of 100, 50 had none at baseline and 46 some: 4 were not asked.
        (crowd((50, [], CALM), (46, [], SOME), (4, [], [(0, 15, None), (20, 15, 0)])), 4),
        # Of 46 with some at baseline, 20 answered higher and 19 lower: 7 the same.
        (crowd((50, [], CALM), (20, [], [(0, 15, 1), (20, 15, 2)]), (19, [], [(0, 15, 2), (20, 15, 1)]),
               (7, [], [(0, 15, 2), (20, 15, 2)])), 7),
    ],
    ids=["ever", "item 9 ever", "worse ever", "not asked", "the same"],
)  # fmt: skip
def test_what_two_shown_numbers_would_tell_is_not_shown(study: Study, tells: int) -> None:
    raw = of_a_report(study)
    assert tells in told_apart(raw[-2:])
    *_, persons, by_session = protect(raw)
    found = told_apart([persons, by_session])
    assert len(found) > 5
    assert not [n for n in found if small(n)]


def test_good_time_beside_safety_does_not_tell_who_was_asked_only_later() -> None:
    # Good time shows who answered item 9 last; safety, who did of those asked at baseline: 6 fewer.
    never, later = [(0, 15, None)], [(0, 15, None), (20, 15, 1)]
    study = crowd((60, [], CALM), (40, [], SOME), (6, [], later), (20, [], never), (20, [], CALM[:1]))
    *_, good_time, persons, _ = protect(of_a_report(study))
    cells = good_time.points
    last = cells[(cells["kind"] == "safety_item") & (cells["point"] == "last")]
    asked = last.loc[last["state"].isin(["none", "some"]), "n"].sum(min_count=2)
    seen = [shown(persons)["course", "last", "phq9", f"safety_item_{name}"] for name in ("new", "higher")]
    assert [row["n"] for row in seen] == [60, 40]
    assert not small(asked - 100)


# The chart


def test_the_chart_draws_shares_intervals_and_who_is_on_record() -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    table = sample().safety()
    own = table[(table["measure"] == "dissociation") & (table["protocol"] == "iv6")]
    ax = figures.side_effects(table[table["protocol"] == "iv6"])
    assert ax.get_lines()[0].get_ydata().tolist() == own["value"].tolist()
    bars = ax.collections[0].get_segments()
    assert [bar[:, 1].tolist() for bar in bars] == own[["low", "high"]].to_numpy().tolist()
    words = [text.get_text() for text in ax.texts]
    assert [f"{n}" for n in own["n"]] == words[1:7]
    everyone = figures.side_effects(table)
    assert len(everyone.get_lines()) == 3
    assert len({(line.get_marker(), line.get_linestyle()) for line in everyone.get_lines()}) == 3
    (protected,) = protect([sample().tally(at="session", tables=("safety",))])
    hidden = figures.side_effects(safety_results.safety(protected))
    assert "hidden" in [text.get_text() for text in hidden.texts]
    with pytest.raises(ValueError, match="no rows"):
        figures.side_effects(table, "no_such_event")
    pyplot.close("all")


@pytest.mark.parametrize(("seed", "patients"), [(1, 150), (2, 400)])
def test_sites_and_everyone_together_tell_nothing_small(seed: int, patients: int) -> None:
    study = Study(Cohort.from_frames(*simulate.clinic(patients=patients, seed=seed).frames()))
    raw = [study.tally(by=by, at="end", tables=("safety",)) for by in (None, "site")]
    everyone, by_site = (safety_results.safety(tally) for tally in protect(raw))
    keys = ["measure", "point", "instrument"]
    for what in ("of", "n", "count"):
        sums = by_site.groupby(keys)[what].agg(["sum", "count"])
        rest = everyone.set_index(keys)[what] - sums["sum"]
        assert not [n for n in rest[sums["count"] > 0].dropna() if small(n)]
        assert not [n for n in by_site[what].dropna() if small(n)]
    assert by_site["of"].notna().any()


def test_safety_beside_a_report_changes_nothing_else_it_shows() -> None:
    raw = of_a_report(sample())
    raw[3:3] = [
        sample().tally(by="site", at="end", kind="current", tables=(name,))
        for name in ("points", "good_time")
    ]
    raw.append(sample().tally(by="site", at="end", tables=("safety",)))
    alone, beside = protect(raw[:5]), protect(raw)
    assert alone == beside[:5]
    assert len(alone[4].points) > 0
