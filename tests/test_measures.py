"""Quality measures: the published deck, every boundary day by day, and one engine for all of them."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import measure_deck as deck
import numpy as np
import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes.counts.tallies import parse_tally
from ketaoutcomes.definitions import MEASURE_RULES, DefinitionError, load
from ketaoutcomes.definitions.measure_listing import measure_tables
from ketaoutcomes.plan import PlanError, Population, parse_plan

INDEX = "2024-02-25"
NO_DOSES = pd.DataFrame({"patient": [], "date": pd.Series([], dtype="datetime64[s]"), "dose": []}).astype(
    {"patient": str}
)


def later(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def cohort(scores, events=(), people=None, doses=None):
    """A cohort from (date, PHQ-9) and (date, kind, code) of one patient, or of several by their name."""

    def frame(rows, columns):
        rows = rows if isinstance(rows, dict) else {"a": rows}
        flat = [(who, *row) for who, own in rows.items() for row in own]
        table = pd.DataFrame(flat, columns=["patient", "date", *columns])
        return table.assign(patient=table["patient"].astype(str), date=pd.to_datetime(table["date"]))

    happened = frame(events, ["kind", "code"]) if len(events) else None
    given = NO_DOSES if doses is None else frame(doses, ["dose", "route"])
    persons = None if people is None else people.assign(birth_date=pd.to_datetime(people["birth_date"]))
    return ko.Cohort.from_frames(given, frame(scores, ["phq9"]), persons, happened)


def visit(day: str = INDEX):
    return [(day, "encounter", "99213"), (day, "diagnosis", "F32.9")]


def state(scores, events=None, *, name="cms159", period="2025", as_of="2025-12-31", people=None, judge=None):
    """The state of the one patient; None where they do not enter."""
    events = visit() if events is None else events
    study = ko.Study(cohort(scores, events, people), as_of=as_of)
    found = study.measure_states(name, period=period, judge=judge)
    return None if found.empty else ", ".join(found["state"])


# --- the published deck -----------------------------------------------------------------------------------


def deck_study(shuffle: int | None = None) -> ko.Study:
    deck.available()
    frames = [deck.scores(), deck.people(), deck.events()]
    if shuffle is not None:
        frames = [frame.sample(frac=1, random_state=shuffle) for frame in frames]
    return ko.Study(ko.Cohort.from_frames(NO_DOSES, *frames), as_of="2025-12-31")


def test_the_deck_comes_out_right_for_all_61_patients():
    # cqframework/ecqm-content-qicore-2024, DepressionRemissionatTwelveMonthsFHIR, measurement period 2025.
    expected = deck.expected()
    states = deck_study().measure_states("cms159", period="2025").set_index("patient")["state"]
    own = states.reindex(expected.index)
    found = pd.DataFrame(
        {
            "initial-population": own.notna(),
            "denominator-exclusion": own.str.startswith("excluded:", na=False),
            "numerator": own == "met",
        }
    ).astype(int)
    assert len(expected) == 61
    assert found[(found != expected).any(axis=1)].empty
    assert found.sum().tolist() == [54, 25, 10]


def test_the_deck_as_a_table():
    (row,) = deck_study().measure("cms159", period="2025").to_dict("records")
    assert [row[key] for key in ("population", "excluded", "not_due", "n", "met")] == [54, 25, 0, 29, 10]
    assert row["not_judged"] == ""


def test_the_order_of_rows_does_not_matter_to_the_deck():
    plain, shuffled = (deck_study(seed).measure_tally("cms159", period="2025") for seed in (None, 3))
    assert plain == shuffled


# --- twelve months, day by day ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2024-12-26", "missing"),  # a day before the window
        ("2024-12-27", "met"),  # 25 February 2025 less 60 days
        ("2025-02-25", "met"),
        ("2025-04-26", "met"),  # and 60 days more
        ("2025-04-27", "missing"),
    ],
)
def test_the_twelve_month_window_day_by_day(day, expected):
    assert state([(INDEX, 15), (day, 4)]) == expected


def test_twelve_months_after_a_leap_day_is_the_last_of_february():
    for days, expected in [(-61, "missing"), (-60, "met"), (60, "met"), (61, "missing")]:
        assert state([("2024-02-29", 15), (later("2025-02-28", days), 4)], visit("2024-02-29")) == expected


@pytest.mark.parametrize(("before", "enters"), [(-1, False), (0, True), (1, True), (7, True), (8, False)])
def test_the_score_is_of_the_day_of_the_visit_or_up_to_seven_days_before(before, enters):
    assert (state([(later(INDEX, -before), 15)]) is not None) == enters


@pytest.mark.parametrize(
    ("day", "enters"),
    [("2023-10-31", False), ("2023-11-01", True), ("2024-10-31", True), ("2024-11-01", False)],
)
def test_the_visit_falls_fourteen_to_two_months_before_the_measurement_period(day, enters):
    assert (state([(day, 15)], visit(day)) is not None) == enters


def test_only_a_score_above_nine_enters_and_the_first_of_them_sets_the_window():
    assert state([(INDEX, 9)]) is None
    assert state([(INDEX, 10)]) == "missing"
    two = [*visit(), *visit("2024-06-25")]
    # Remission in the second visit's window only: the first index is fixed, and never reset.
    assert state([(INDEX, 10), ("2024-06-25", 20), ("2025-07-01", 2)], two) == "missing"


def test_the_last_score_in_the_window_decides():
    assert state([(INDEX, 15), ("2025-02-01", 2), ("2025-03-01", 5)]) == "not_met"  # five is not below five
    assert state([(INDEX, 15), ("2025-02-01", 9), ("2025-03-01", 4)]) == "met"


@pytest.mark.parametrize(
    ("born", "enters"), [("2012-02-24", True), ("2012-02-25", True), ("2012-02-26", False)]
)
def test_twelve_years_old_on_the_day_of_the_index_score(born, enters):
    person = pd.DataFrame({"patient": ["a"], "birth_date": [born]})
    assert (state([(INDEX, 15)], people=person) is not None) == enters


def test_someone_of_unknown_age_is_left_out_and_counted():
    people = pd.DataFrame({"patient": ["a", "b"], "birth_date": ["1980-01-01", None]})
    known = cohort({"a": [(INDEX, 15)], "b": [(INDEX, 15)]}, {"a": visit(), "b": visit()}, people)
    (row,) = ko.Study(known, as_of="2025-12-31").measure("cms159", period=2025).to_dict("records")
    assert (row["population"], row["excluded_age_unknown"], row["n"]) == (2, 1, 1)


def test_an_age_in_years_on_day_0_serves_too():
    for age, enters in [("11", False), ("12", True), ("90+", True)]:
        people = pd.DataFrame({"patient": ["a"], "age": [age], "birth_date": [None]}).drop(
            columns="birth_date"
        )
        frames = cohort([(INDEX, 15)], visit())
        scores = pd.DataFrame({"patient": ["a"], "date": pd.to_datetime([INDEX]), "phq9": [15]})
        events = frames.events.assign(date=pd.Timestamp(INDEX)).drop(columns="day")
        made = ko.Cohort.from_frames(NO_DOSES, scores, people, events)
        found = ko.Study(made, as_of="2025-12-31").measure_states("cms159", period="2025")
        assert (len(found) == 1) == enters


# --- who is left out --------------------------------------------------------------------------------------

REMITTED = [(INDEX, 15), ("2025-02-25", 3)]
END = "2025-04-26"  # the last day of the window


@pytest.mark.parametrize(
    ("event", "first"),
    [
        (("death", ""), "death"),
        (("hospice", "G0182"), "hospice"),
        (("diagnosis", "hospice"), "hospice"),
        (("palliative", ""), "palliative"),
        (("diagnosis", "Z51.5"), "palliative"),
        (("diagnosis", "F31.81"), "bipolar"),
        (("diagnosis", "f3181"), "bipolar"),  # with or without the point, in either case
        (("diagnosis", "Bipolar disorder"), "bipolar"),
        (("diagnosis", "Personality disorder"), "personality_disorder"),
        (("diagnosis", "F60.3"), "personality_disorder"),
        (("diagnosis", "F20.0"), "psychosis"),
        (("diagnosis", "F84.0"), "pervasive_developmental"),
    ],
)
def test_each_exclusion_up_to_the_last_day_of_the_window(event, first):
    assert state(REMITTED, [*visit(), (END, *event)]) == f"excluded:{first}"
    assert state(REMITTED, [*visit(), (later(END, 1), *event)]) == "met"


def test_other_diagnoses_leave_nobody_out():
    for code in ("F41.1", "F60.5", "F3", "bipolarity", "F43.10"):
        assert state(REMITTED, [*visit(), ("2024-06-01", "diagnosis", code)]) == "met"


def test_hospice_counts_from_the_identification_period_and_death_from_ever():
    assert state(REMITTED, [*visit(), ("2023-10-31", "hospice", "")]) == "met"
    assert state(REMITTED, [*visit(), ("2023-11-01", "hospice", "")]) == "excluded:hospice"
    assert state(REMITTED, [*visit(), ("2010-01-01", "diagnosis", "bipolar")]) == "excluded:bipolar"


def test_a_person_is_left_out_once_for_the_first_reason():
    every = [("2024-05-01", "diagnosis", "F31"), ("2024-04-01", "hospice", ""), ("2025-04-01", "death", "")]
    assert state(REMITTED, [*visit(), *every]) == "excluded:death"
    assert state(REMITTED, [*visit(), *every[:2]]) == "excluded:hospice"


def test_the_diagnosis_must_have_begun_by_the_visit():
    seen = (INDEX, "encounter", "")
    assert state([(INDEX, 15)], [seen, (later(INDEX, -900), "diagnosis", "F33.1")]) == "missing"
    assert state([(INDEX, 15)], [seen, (INDEX, "diagnosis", "dysthymia")]) == "missing"
    assert state([(INDEX, 15)], [seen, (later(INDEX, 1), "diagnosis", "F33.1")]) is None
    assert state([(INDEX, 15)], [seen, (INDEX, "diagnosis", "F41.1")]) is None


def test_a_diagnosis_that_says_how_long_it_lasted_is_over_then():
    for days, enters in [(25, True), (24, False)]:  # from 1 February: day 25 is the 25th
        events = pd.DataFrame(
            {"patient": "a", "date": pd.to_datetime([INDEX, "2024-02-01"]),
             "kind": ["encounter", "diagnosis"], "code": ["", "F32.1"], "days": [None, days]}
        )  # fmt: skip
        scores = pd.DataFrame({"patient": ["a"], "date": pd.to_datetime([INDEX]), "phq9": [15]})
        study = ko.Study(ko.Cohort.from_frames(NO_DOSES, scores, None, events), as_of="2025-12-31")
        assert (len(study.measure_states("cms159", period="2025")) == 1) == enters


# --- not due, and the as-of day ---------------------------------------------------------------------------


def test_nobody_is_judged_before_the_window_is_over():
    assert state(REMITTED, as_of=later(END, -1)) == "not_due"
    assert state(REMITTED, as_of=END) == "met"
    assert (
        state(REMITTED, [*visit(), ("2024-05-01", "hospice", "")], as_of="2024-06-01") == "excluded:hospice"
    )


def test_records_after_the_as_of_day_do_not_exist():
    assert state(REMITTED, [*visit(), ("2024-05-01", "hospice", "")], as_of="2024-04-30") == "not_due"
    assert state([("2025-02-25", 15)], visit("2025-02-25"), as_of="2025-02-24", period=2026) is None


# --- the siblings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "score", "expected"),
    [("response_12m", 7, "met"), ("response_12m", 8, "not_met"), ("cms159", 5, "not_met")],
)
def test_response_is_half_of_the_index_score(name, score, expected):
    assert state([(INDEX, 14), ("2025-02-25", score)], name=name) == expected


@pytest.mark.parametrize("name", ["remission_6m", "response_6m"])
def test_the_six_month_window_day_by_day(name):
    day, target = "2025-01-31", "2025-07-31"
    for days, expected in [(-61, "missing"), (-60, "met"), (60, "met"), (61, "missing")]:
        assert state([(day, 15), (later(target, days), 4)], visit(day), name=name) == expected
    for day, enters in [
        ("2024-04-30", False),
        ("2024-05-01", True),
        ("2025-04-30", True),
        ("2025-05-01", False),
    ]:
        assert (state([(day, 15)], visit(day), name=name) is not None) == enters


@pytest.mark.parametrize(
    ("days", "expected"), [(119, "missing"), (120, "met"), (240, "met"), (241, "missing")]
)
def test_drr_e_looks_from_day_120_to_day_240(days, expected):
    found = state([(INDEX, 20), (later(INDEX, days), 4)], name="drr_e", period="2024")
    assert found == ", ".join([expected] * 3)


def test_drr_e_has_three_rates_of_one_last_score():
    scores = [(INDEX, 20), (later(INDEX, 130), 3), (later(INDEX, 200), 10)]
    study = ko.Study(cohort(scores, visit()), as_of="2025-12-31")
    found = study.measure_states("drr_e", period="2024").set_index("criterion")["state"]
    assert found.to_dict() == {
        "drr_e_follow_up": "met", "drr_e_remission": "not_met", "drr_e_response": "met",
    }  # fmt: skip


def test_drr_e_asks_for_a_diagnosis_within_fifteen_days():
    def once(days):
        events = pd.DataFrame(
            {"patient": ["a"], "date": pd.to_datetime([later(INDEX, days)]), "kind": "diagnosis",
             "code": "F32.1", "days": 1}
        )  # fmt: skip
        scores = pd.DataFrame({"patient": ["a"], "date": pd.to_datetime([INDEX]), "phq9": [15]})
        study = ko.Study(ko.Cohort.from_frames(NO_DOSES, scores, None, events), as_of="2025-12-31")
        return len(study.measure_states("drr_e", period="2024")) > 0

    assert [once(days) for days in (-16, -15, 0, 15, 16)] == [False, True, True, True, False]


def test_drr_e_leaves_out_hospice_of_the_measurement_period_only():
    scores = [(INDEX, 20), (later(INDEX, 130), 3)]
    for day, out in [
        ("2023-12-31", False),
        ("2024-01-01", True),
        ("2024-12-31", True),
        ("2025-01-01", False),
    ]:
        found = state(scores, [*visit(), (day, "hospice", "")], name="drr_e", period="2024")
        assert ("excluded:hospice" in found) == out


# NHS Talking Therapies: PHQ-9 10 and GAD-7 8 at caseness; reliable change 6 and 4 points (Gyani 2013).
THERAPY = [
    # first PHQ-9, GAD-7, last PHQ-9, GAD-7: recovery, reliable improvement, reliable recovery
    ((10, 8, 9, 7), "crosses both lines by one point", ("met", "not_met", "not_met")),
    ((15, 9, 9, 5), "better by 6 and by 4", ("met", "met", "met")),
    ((15, 9, 9, 8), "still at caseness by anxiety", ("not_met", "met", "not_met")),
    ((15, 3, 9, 7), "anxiety reliably worse", ("met", "not_met", "not_met")),
    ((9, 7, 3, 3), "not at caseness", ("excluded:below_caseness", "met", "excluded:below_caseness")),
    ((9, 8, 9, 4), "by anxiety alone", ("met", "met", "met")),
    ((15, 9, None, 3), "one last score lacks", ("missing", "missing", "missing")),
    ((None, None, 9, 3), "nothing to start from", ("excluded:no_first_score",) * 3),
    ((15, None, 9, 3), "judged by PHQ-9, which has a first score", ("met", "met", "met")),
    ((15, None, 9, 12), "at caseness at the end all the same", ("not_met", "met", "not_met")),
]


@pytest.mark.parametrize(("scores", "why", "expected"), THERAPY)
def test_talking_therapies_by_hand(scores, why, expected):
    first, last = scores[:2], scores[2:]
    doses = pd.DataFrame({"patient": ["a", "a"], "day": [0, 3], "dose": 0.5, "unit": "mg/kg", "route": "iv"})
    table = pd.DataFrame(
        {"patient": ["a", "a", "z"], "day": [0, 20, 0], "phq9": [first[0], last[0], 1.0],
         "gad7": [first[1], last[1], 1.0]}
    )  # fmt: skip
    study = ko.Study(ko.Cohort.from_frames(doses, table, plan=COMPLETE))
    assert tuple(study.measure_states("talking_therapies")["state"]) == expected, why


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ((9, 32), (9, 31), ("met", "not_met", "not_met")),
        ((9, 41), (9, 31), ("met", "met", "met")),
        ((15, 41), (9, 32), ("not_met", "met", "not_met")),
        ((9, 31), (3, 20), ("excluded:below_caseness", "met", "excluded:below_caseness")),
        ((15, 20), (3, 30), ("met", "not_met", "not_met")),  # PCL-5 reliably worse
    ],
)
def test_talking_therapies_by_pcl5(first, last, expected):
    doses = pd.DataFrame({"patient": ["a", "a"], "day": [0, 3], "dose": 0.5, "unit": "mg/kg", "route": "iv"})
    scores = pd.DataFrame(
        {"patient": "a", "day": [0, 20], "phq9": [first[0], last[0]], "pcl5": [first[1], last[1]]}
    )
    study = ko.Study(ko.Cohort.from_frames(doses, scores, plan=COMPLETE))
    assert tuple(study.measure_states("talking_therapies_ptsd")["state"]) == expected


COMPLETE = ko.Plan().replace(population=Population(complete=True))


def therapy(days=(0, 3), cut=400, last=20):
    doses = pd.DataFrame({"patient": "a", "day": list(days), "dose": 0.5, "unit": "mg/kg", "route": "iv"})
    scores = pd.DataFrame({"patient": "a", "day": [0, last], "phq9": [15, 3], "gad7": [15, 3]})
    people = pd.DataFrame({"patient": ["a"], "cut_day": [cut]})
    found = ko.Study(ko.Cohort.from_frames(doses, scores, people)).measure_states("talking_therapies")
    return found["state"].iloc[0]


def test_talking_therapies_wants_two_sessions_of_a_course_that_is_over():
    assert therapy(days=(0,)) == "excluded:few_sessions"
    # The course gap of iv6 is 91 days: after it nothing more belongs to this course.
    assert (therapy(cut=3 + 91), therapy(cut=3 + 92)) == ("not_due", "met")
    # The last score is taken up to 31 days after the last dose.
    assert (therapy(last=34), therapy(last=35)) == ("met", "missing")


# --- what the records cannot tell -------------------------------------------------------------------------


def test_without_events_the_result_says_what_is_missing():
    study = ko.Study(cohort([(INDEX, 15), ("2025-02-25", 3)]), as_of="2025-12-31")
    (row,) = study.measure("cms159", period="2025").to_dict("records")
    assert row["not_judged"] == (
        "age, encounter, depression, death, hospice, palliative, bipolar, personality_disorder, psychosis, "
        "pervasive_developmental"
    )
    assert (row["population"], row["excluded"], row["met"]) == (1, 0, 1)


def test_diagnoses_on_record_tell_of_every_diagnosis_and_visits_of_none():
    study = ko.Study(cohort([(INDEX, 15)], [(INDEX, "diagnosis", "F32.1")]), as_of="2025-12-31")
    assert study.measure("cms159", period="2025")["not_judged"].item() == "age, encounter, death"


def test_what_is_judged_can_be_fixed():
    scores = [(INDEX, 15), ("2025-02-25", 3)]
    assert state(scores, [], judge=["encounter"]) is None
    assert state(scores, [("2024-03-01", "death", "")], judge=[]) == "met"
    with pytest.raises(PlanError, match="asks for age, encounter, depression"):
        state(scores, [], judge=["weather"])


def test_what_cannot_be_judged_at_all_says_what_to_write():
    doses = pd.DataFrame({"patient": ["a"], "day": [0], "dose": 0.5, "unit": "mg/kg", "route": "iv"})
    offsets = ko.Study(ko.Cohort.from_frames(doses, doses.assign(phq9=15)))
    with pytest.raises(PlanError) as caught:
        offsets.measure("cms159", period="next year")
    text = str(caught.value)
    assert "a year such as 2025" in text
    assert "people.cut_day" in text
    assert "calendar months" in text
    other = ko.Study(ko.Cohort.from_frames(doses, doses.assign(pcl5=50), plan=COMPLETE))
    with pytest.raises(PlanError, match="judges phq9, and no such score was recorded"):
        other.measure("drr_e")
    with pytest.raises(ValueError, match="did you mean 'cms159'"):
        other.measure("cms195")


# --- properties over random cohorts -----------------------------------------------------------------------

PARTS = ["age", "encounter", "depression", "death", "hospice", "palliative", "bipolar"]


def random_frames(seed, n=120):
    """Patients with visits, diagnoses, scores and accidents near every boundary."""
    rng = np.random.default_rng(seed)
    names = np.array([f"p{i:03d}" for i in range(n)])
    first = np.datetime64("2023-10-20", "D") + rng.integers(0, 400, n)

    def rows(many, low, high):
        who = rng.integers(0, n, many)
        return names[who], (first[who] + rng.integers(low, high, many)).astype("datetime64[s]")

    who, day = rows(6 * n, -20, 500)
    score = pd.DataFrame({"patient": who, "date": day, "phq9": rng.integers(0, 20, len(who))})
    begin = pd.DataFrame({"patient": names, "date": first.astype("datetime64[s]"), "phq9": 14})
    score = pd.concat([begin, score]).drop_duplicates(["patient", "date"])
    kinds = np.array(["encounter", "diagnosis", "death", "hospice", "palliative"])
    codes = np.array(["F32.1", "F31.0", "Z51.5", "F41.1", "dysthymia"])
    who, day = rows(4 * n, -400, 500)
    at = rng.choice(len(kinds), len(who), p=[0.5, 0.35, 0.05, 0.05, 0.05])
    event = pd.DataFrame({"patient": who, "date": day, "kind": kinds[at]})
    event["code"] = np.where(at == 1, codes[rng.choice(5, len(who), p=[0.6, 0.05, 0.05, 0.2, 0.1])], "")
    event["days"] = np.where(rng.random(len(who)) < 0.2, rng.integers(1, 60, len(who)), np.nan)
    visits = pd.DataFrame({"patient": names, "date": first.astype("datetime64[s]"), "kind": "encounter"})
    event = pd.concat(
        [event, visits.assign(code="", days=np.nan), visits.assign(kind="diagnosis", code="F33.1")]
    )
    born = (np.datetime64("2012-01-01", "D") - rng.integers(0, 700, n)).astype("datetime64[s]")
    people = pd.DataFrame({"patient": names, "birth_date": born, "clinic": rng.choice(["n", "s"], n)})
    return score, people, event


def made(frames):
    return ko.Cohort.from_frames(NO_DOSES, *frames)


def months_on(day, months):
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    for last in (day.day, 30, 29, 28):
        try:
            return date(year, month + 1, min(day.day, last))
        except ValueError:
            continue
    raise AssertionError


def slowly(frames, as_of, months, since, until):
    """cms159 and its six-month sibling, patient by patient, with plain dates: obvious and slow."""
    score, people, event = (frame.copy() for frame in frames)
    score["date"], event["date"] = score["date"].dt.date, event["date"].dt.date
    event["last"] = [
        day
        if np.isnan(n) and kind != "diagnosis"
        else date.max
        if np.isnan(n)
        else day + timedelta(days=n - 1)
        for day, n, kind in zip(event["date"], event["days"], event["kind"], strict=True)
    ]
    event = event[event["date"] <= as_of]
    score = score[score["date"] <= as_of].sort_values("date")
    found = {}
    for who, birth in zip(people["patient"], people["birth_date"].dt.date, strict=True):
        mine = event[event["patient"] == who].to_dict("records")
        depressed = [
            e for e in mine if e["kind"] == "diagnosis" and e["code"] in ("F32.1", "F33.1", "dysthymia")
        ]
        visits = [
            e for e in mine
            if e["kind"] == "encounter" and since <= e["last"] <= until
            and any(d["date"] <= e["last"] and d["last"] >= e["date"] for d in depressed)
        ]  # fmt: skip
        own = score[score["patient"] == who].to_dict("records")
        index = [
            s for s in own
            if s["phq9"] > 9
            and any(v["date"] - timedelta(days=7) <= s["date"] <= v["last"] for v in visits)
        ]  # fmt: skip
        if not index or months_on(birth, 144) > index[0]["date"]:
            continue
        middle = months_on(index[0]["date"], months)
        low, high = middle - timedelta(days=60), middle + timedelta(days=60)
        found[who] = slow_state(mine, own, low, high, since, as_of)
    return found


def slow_state(mine, own, low, high, since, as_of):
    def any_of(start, kind, *codes):
        return any(
            e["date"] <= high and e["last"] >= start
            and (e["kind"] == kind or (e["kind"] == "diagnosis" and e["code"] in codes))
            for e in mine
        )  # fmt: skip

    reasons = {
        "death": any_of(date.min, "death"), "hospice": any_of(since, "hospice"),
        "palliative": any_of(since, "palliative", "Z51.5"), "bipolar": any_of(date.min, "none", "F31.0"),
    }  # fmt: skip
    for reason, yes in reasons.items():
        if yes:
            return f"excluded:{reason}"
    if high > as_of:
        return "not_due"
    inside = [s["phq9"] for s in own if low <= s["date"] <= high]
    return "missing" if not inside else "met" if inside[-1] < 5 else "not_met"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("name", "months", "since", "until"),
    [
        ("cms159", 12, date(2023, 11, 1), date(2024, 10, 31)),
        ("remission_6m", 6, date(2024, 5, 1), date(2025, 4, 30)),
    ],
)
def test_a_slow_and_obvious_count_agrees(seed, name, months, since, until):
    frames, as_of = random_frames(seed), date(2025, 9, 30)
    found = ko.Study(made(frames), as_of=str(as_of)).measure_states(name, period="2025")
    expected = slowly(frames, as_of, months, since, until)
    assert dict(zip(found["patient"], found["state"], strict=True)) == expected
    assert len(set(expected.values())) >= 5  # so many states that agreeing means something


@pytest.mark.parametrize("name", ["cms159", "drr_e"])
@pytest.mark.parametrize("by", [(), ("clinic",)])
def test_parts_add_up(name, by):
    frames = random_frames(11)
    asked = {"period": ["2024", "2025"], "by": by, "judge": [p for p in PARTS if (name, p) not in NOT_ASKED]}
    whole = ko.Study(made(frames), as_of="2025-09-30").measure_tally(name, **asked)
    names = np.random.default_rng(1).permutation(frames[1]["patient"].to_numpy())
    parts = [
        made([frame[frame["patient"].isin(part)].reset_index(drop=True) for frame in frames])
        for part in (names[:5], names[5:60], names[60:])
    ]
    tallies = [ko.Study(part, as_of="2025-09-30").measure_tally(name, **asked) for part in parts]
    assert sum(tallies) == whole
    assert parse_tally(whole.to_json()) == whole


NOT_ASKED = {("drr_e", part) for part in ("encounter", "death", "palliative")}


def test_measures_that_judged_something_else_do_not_add():
    frames = random_frames(2)
    study = ko.Study(made(frames), as_of="2025-09-30")
    one, other = (study.measure_tally("cms159", period="2025", judge=judge) for judge in (PARTS, PARTS[1:]))
    with pytest.raises(ValueError, match="measure"):
        _ = one + other


@pytest.mark.parametrize("name", ["cms159", "drr_e"])
def test_shuffled_rows_change_nothing(name):
    frames = random_frames(4)
    mixed = [frame.sample(frac=1, random_state=9) for frame in frames]
    plain, shuffled = (
        ko.Study(made(one), as_of="2025-09-30").measure_tally(name, period="2025") for one in (frames, mixed)
    )
    assert plain == shuffled


def test_days_shifted_with_their_start_change_nothing():
    score, people, event = random_frames(6)
    start = people.set_index("patient")["birth_date"].map(lambda _: pd.Timestamp("2024-01-01"))
    tables = []
    for shift in (0, 40):
        origin = start - pd.Timedelta(days=shift)

        def days(frame, origin=origin):
            return frame.assign(day=(frame["date"] - frame["patient"].map(origin)).dt.days).drop(
                columns="date"
            )

        who = people.assign(start_date=people["patient"].map(origin))
        none = pd.DataFrame(
            {"patient": pd.Series([], dtype=str), "day": pd.Series([], dtype=int), "dose": []}
        )
        cohort = ko.Cohort.from_frames(none, days(score), who, days(event))
        tables.append(ko.Study(cohort, as_of="2025-09-30").measure("cms159", period="2025"))
    pd.testing.assert_frame_equal(*tables)


def test_the_table_counts_the_states():
    study = ko.Study(made(random_frames(8)), as_of="2025-09-30")
    states = study.measure_states("drr_e", period=["2024", "2025"])
    for row in study.measure("drr_e", period=["2024", "2025"]).to_dict("records"):
        own = states[(states["criterion"] == row["criterion"]) & (states["period"] == row["period"])]["state"]
        assert row["population"] == len(own)
        assert row["population"] == row["excluded"] + row["not_due"] + row["n"]
        assert row["n"] == row["met"] + row["not_met"] + row["missing"]
        for label in ("met", "not_met", "missing", "not_due"):
            assert row[label] == (own == label).sum()
        for reason in ("hospice", "bipolar", "psychosis"):
            assert row[f"excluded_{reason}"] == (own == f"excluded:{reason}").sum()
        assert row["rate"] == pytest.approx(row["met"] / row["n"]) if row["n"] else np.isnan(row["rate"])


def test_groups_and_periods_are_laid_out_even_where_nobody_entered():
    table = ko.Study(made(random_frames(8)), as_of="2025-09-30").measure(
        "cms159", period=["2019", "2025"], by="clinic"
    )
    assert table[["clinic", "period"]].to_numpy().tolist() == [
        [site, period] for site in ("n", "s") for period in ("2019", "2025")
    ]
    assert table.loc[table["period"] == "2019", "reason"].tolist() == ["nobody_entered"] * 2


def test_where_all_who_entered_are_excluded_the_reason_says_so():
    events = [*visit(), (INDEX, "diagnosis", "F31.9")]
    (row,) = (
        ko.Study(cohort([(INDEX, 15)], events), as_of="2025-12-31")
        .measure("cms159", period="2025")
        .to_dict("records")
    )
    assert (row["population"], row["excluded"], row["n"], row["reason"]) == (1, 1, 0, "all_excluded")


# --- definitions ------------------------------------------------------------------------------------------


def test_every_number_of_every_measure_has_a_source():
    definitions = load()
    assert len(definitions.measures) >= 6
    for measure in definitions.measures.values():
        cited = [*measure.cites.values(), *(one.cite for one in (*measure.rates, *measure.exclusions))]
        assert all(len(cite) > 5 for cite in cited), measure.id
        assert {"entry", "follow_up"} <= set(measure.cites)
        for rate in measure.rates:
            assert rate.rule in MEASURE_RULES


def test_the_manual_is_printed_from_the_file():
    manual = (Path(__file__).parents[1] / "docs" / "measures.md").read_text(encoding="utf-8")
    assert manual.endswith(measure_tables(load())), (
        "print it again: definitions.measure_listing.measure_tables"
    )


OWN = """
[occurrences.our_visit]
title = "a visit to our clinic"
kinds = ["clinic_visit"]
cite = "house"

[measures.ours]
title = "Remission at three months"
like = "cms159"
encounter = "our_visit"
follow_up_months = 3
margin_days = 30
at_least = { phq9 = 15 }
exclusions = []
[measures.ours.cites]
entry = "house"
age = "house"
identification = "house"
follow_up = "house"
[[measures.ours.rates]]
title = "PHQ-9 5 or lower"
criterion = "phq9_remission_le5"
cite = "house"
"""


def test_a_measure_of_ones_own_is_one_more_table(tmp_path):
    (tmp_path / "ours.toml").write_text(OWN)
    own = load((str(tmp_path),)).measure("ours")
    assert (own.follow_up_months, own.age_at_least, own.exclusions) == (3, 12, ())
    made = cohort(
        [(INDEX, 15), ("2024-05-25", 5)], [(INDEX, "clinic_visit", ""), (INDEX, "diagnosis", "F33.2")]
    )
    plan = parse_plan(f'folders = ["{tmp_path.as_posix()}"]\n')
    study = ko.Study(made, as_of="2025-12-31", plan=plan)
    assert study.measure_states("ours", period="2025")["state"].tolist() == ["met"]


def test_mistakes_in_a_measure_are_all_told_at_once(tmp_path):
    wrong = OWN.replace('"phq9_remission_le5"', '"phq9_remission_le6"').replace(
        '"our_visit"\n', '"our_visits"\n'
    )
    wrong = wrong.replace("margin_days = 30", "margin_day = 30").replace('follow_up = "house"\n', "")
    (tmp_path / "ours.toml").write_text(wrong)
    with pytest.raises(DefinitionError) as caught:
        load((str(tmp_path),))
    told = str(caught.value)
    assert "measures.ours.encounter: unknown occurrence; did you mean 'our_visit'?" in told
    assert "criterion: unknown criterion; did you mean 'phq9_remission_le5'?" in told
    assert "margin_day: unknown key; did you mean 'margin_days'?" in told
    assert "cites.follow_up: a text is needed" in told
