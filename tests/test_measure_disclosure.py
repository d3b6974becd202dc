"""What is published of a quality measure: no small cell, and none to be had by subtraction."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from test_measures import NO_DOSES, random_frames

import ketaoutcomes as ko
from ketaoutcomes.disclosure import DisclosureError
from ketaoutcomes.results import measure_results

LIMIT = 10


def clinic(counts, group="a"):
    """Frames of a clinic from how many people are how: hospice, due later, unscored, not met, met."""
    hospice, later, missing, not_met, _ = counts
    n = sum(counts)
    names = [f"{group}{i:04d}" for i in range(n)]
    start = np.full(n, np.datetime64("2024-02-01", "s"))
    late = slice(hospice, hospice + later)
    start[late] = np.datetime64("2024-04-20", "s")
    day = start + np.timedelta64(150, "D")
    scores = pd.DataFrame({"patient": names, "date": start, "phq9": 20})
    last = pd.DataFrame({"patient": names, "date": day, "phq9": [3] * n})
    first_missing = hospice + later
    last.loc[first_missing + missing : first_missing + missing + not_met - 1, "phq9"] = 18
    last = last.drop(index=range(hospice, first_missing + missing))
    events = pd.DataFrame({"patient": names[:hospice], "date": start[:hospice], "kind": "hospice"})
    events = pd.concat([events, pd.DataFrame({"patient": names, "date": start, "kind": "diagnosis"})])
    events["code"] = np.where(events["kind"] == "diagnosis", "F32.1", "")
    people = pd.DataFrame({"patient": names, "clinic": group})
    return pd.concat([scores, last]), people, events


def study(*parts, as_of="2024-12-10"):
    """A study of some clinics; those who began on 20 April 2024 are due on 16 December."""
    return ko.Study(
        ko.Cohort.from_frames(NO_DOSES, *(pd.concat(frames) for frames in zip(*parts, strict=True))),
        as_of=as_of,
    )


def published(*tallies, profile="cms11"):
    return [measure_results.measure(tally) for tally in ko.protect(list(tallies), profile)]


def remission(table):
    (row,) = table[table["criterion"] == "drr_e_remission"].to_dict("records")
    return row


def test_large_counts_are_published_as_they_are():
    counted = study(clinic((20, 30, 40, 50, 60))).measure_tally("drr_e", period="2024")
    (shown,) = published(counted)
    exact = measure_results.measure(counted)
    pd.testing.assert_frame_equal(shown, exact, check_dtype=False)
    assert (remission(shown)["n"], remission(shown)["met"], remission(shown)["excluded_hospice"]) == (
        150,
        60,
        20,
    )


@pytest.mark.parametrize(
    ("counts", "known", "hidden"),
    [
        # few left out and few not due yet: told together
        ((4, 15, 40, 50, 60), {"population": 169, "n": 150, "met": 60}, {"excluded", "not_due"}),
        # few unscored: told with those who did not meet it
        ((20, 30, 3, 50, 60), {"n": 113, "met": 60, "excluded": 20}, {"missing", "not_met"}),
        # few met: only how many are due
        ((20, 30, 40, 50, 6), {"n": 96, "population": 146}, {"met", "not_met", "rate"}),
        # few due: only how many entered
        ((20, 30, 2, 3, 4), {"population": 59}, {"n", "met", "excluded", "rate"}),
        ((1, 1, 1, 1, 1), {}, {"population", "n", "met", "rate"}),
        ((0, 0, 0, 0, 12), {"population": 12, "met": 12, "missing": 0, "excluded_hospice": 0}, set()),
    ],
)
def test_states_are_joined_until_none_is_small(counts, known, hidden):
    counted = study(clinic(counts)).measure_tally("drr_e", period="2024")
    row = remission(published(counted)[0])
    assert {key: row[key] for key in known} == known
    assert {key for key in row if isinstance(row[key], float) and np.isnan(row[key])} >= hidden
    assert (row["reason"] == "hidden") == ("rate" in hidden)


def test_hidden_groups_are_known_together_and_so_not_by_one_alone():
    parts = [clinic(counts, name) for name, counts in
             {"a": (0, 0, 30, 30, 30), "b": (0, 0, 20, 20, 20), "c": (0, 0, 2, 15, 15)}.items()]  # fmt: skip
    made = study(*parts)
    everyone, by_clinic = (made.measure_tally("drr_e", period="2024", by=by) for by in ((), "clinic"))
    whole, split = published(everyone, by_clinic)
    assert remission(whole)["met"] == 65
    split = split[split["criterion"] == "drr_e_remission"].set_index("clinic")
    # c has 2 unscored; all three are told at a level where its cells are large.
    assert split["met"].to_dict() == {"a": 30, "b": 20, "c": 15}
    assert split["missing"].isna().all()


def test_a_group_too_small_for_anything_takes_the_next_smallest_with_it():
    parts = [clinic((0, 0, 20, n, n), name) for name, n in {"a": 60, "b": 30, "c": 20}.items()]
    made = study(*parts, clinic((0, 0, 1, 1, 1), "d"))
    split = published(made.measure_tally("drr_e", period="2024", by="clinic"))[0]
    split = split[split["criterion"] == "drr_e_remission"].set_index("clinic")
    assert split["population"].dropna().to_dict() == {"a": 140, "b": 80}


def test_beside_a_report_the_few_who_did_not_enter_are_not_told():
    scores, people, events = clinic((20, 30, 40, 50, 60))
    few = pd.DataFrame(
        {"patient": [f"z{i}" for i in range(3)], "date": pd.Timestamp("2024-02-01"), "phq9": 4}
    )
    made = ko.Study(
        ko.Cohort.from_frames(NO_DOSES, pd.concat([scores, few]), people, events), as_of="2024-12-10"
    )
    counted = made.measure_tally("drr_e", period="2024")
    report = made.tally(at="end", criteria="phq9_response50")
    alone, beside = published(counted), ko.protect([report, counted])
    assert remission(alone[0])["population"] == 200
    assert remission(measure_results.measure(beside[1]))["reason"] == "hidden"
    assert beside[0].protected == beside[1].protected == "cms11"


def test_rates_whose_difference_is_small_are_not_told_side_by_side():
    scores, people, events = clinic((0, 0, 40, 50, 65))
    last = scores["phq9"].eq(3) & scores["patient"].isin(people["patient"][-5:])
    scores.loc[last, "phq9"] = 8  # five who responded without remission
    made = ko.Study(ko.Cohort.from_frames(NO_DOSES, scores, people, events), as_of="2024-12-10")
    table = published(made.measure_tally("drr_e", period="2024"))[0].set_index("criterion")
    assert table["met"].dropna().to_dict() == {"drr_e_follow_up": 115, "drr_e_remission": 60}
    assert table["n"].tolist() == [155, 155, 155]


def therapy(kinds, mild=0, going_on=0):
    """Courses by how they ended: first PHQ-9 and GAD-7 are 12 and 9; the last ones are given.

    The first `mild` of them begin below caseness, the last `going_on` have not ended.
    """
    rows = [last for last, many in kinds.items() for _ in range(many)]
    names = [f"p{i:04d}" for i in range(len(rows))]
    doses = pd.DataFrame({"patient": np.repeat(names, 2), "day": [0, 3] * len(names), "dose": 0.5})
    first = pd.DataFrame({"patient": names, "day": 0, "phq9": 12.0, "gad7": 9.0})
    first.loc[: mild - 1, ["phq9", "gad7"]] = [9.0, 7.0]
    end = pd.DataFrame(rows, columns=["phq9", "gad7"], dtype=float).assign(patient=names, day=20)
    people = pd.DataFrame({"patient": names, "cut_day": 400})
    people.loc[len(names) - going_on :, "cut_day"] = 30
    return ko.Study(
        ko.Cohort.from_frames(doses.assign(unit="mg/kg", route="iv"), pd.concat([first, end]), people)
    )


def test_who_met_neither_of_two_rates_is_not_told_by_a_third():
    recovered, improved, both, neither, unscored = (9, 7), (12, 4), (6, 5), (12, 9), (np.nan, np.nan)
    told = {}
    for few in (5, 15):
        made = therapy({recovered: 30, (10, 5): 30, both: 30, neither: few, unscored: 20})
        table = published(made.measure_tally("talking_therapies"))[0]
        told[few] = table["met"].tolist()
    # 95 or 105 were scored; 60 recovered, 60 improved, 30 did both: 5 or 15 neither.
    assert told[15] == [60, 60, 30]
    assert np.isnan(told[5]).sum() == 1
    assert improved != recovered


def test_the_few_whom_one_rate_leaves_out_are_not_told_by_the_others_denominator():
    for mild, shared in [(5, False), (15, True)]:
        made = therapy({(6, 5): 60, (12, 9): 60, (10, 5): 60}, mild=mild, going_on=20)
        table = published(made.measure_tally("talking_therapies"))[0].set_index("criterion")["n"]
        recovery, improvement = (
            table["talking_therapies_recovery"],
            table["talking_therapies_reliable_improvement"],
        )
        assert bool(improvement - recovery == mild) == shared  # NaN where either is hidden
        assert recovery == 180 - mild - 20


def test_two_groupings_of_one_measure_are_refused():
    scores, people, events = clinic((20, 30, 40, 50, 60))
    people = people.assign(sex=["f", "m"] * 100)
    made = ko.Study(ko.Cohort.from_frames(NO_DOSES, scores, people, events), as_of="2024-12-10")
    with pytest.raises(DisclosureError, match="measure drr_e is grouped in 2 ways"):
        ko.protect([made.measure_tally("drr_e", by="clinic"), made.measure_tally("drr_e", by="sex")])


def test_opensafely_rounds_what_is_left_to_fives():
    counted = study(clinic((21, 33, 42, 51, 62))).measure_tally("drr_e", period="2024")
    row = remission(published(counted, profile="opensafely")[0])
    assert [row[key] for key in ("excluded", "not_due", "missing", "not_met", "met")] == [20, 35, 40, 50, 60]
    assert row["population"] == 205


# --- an attacker with a pencil -----------------------------------------------------------------------------


def persons(states, cells, criterion, group):
    """Who stands in each published cell of a rate and group, that is not hidden."""
    own = states[(states["criterion"] == criterion) & ((states["clinic"] == group) | (group == ""))]
    shown = cells[(cells["criterion"] == criterion) & cells["n"].notna()]
    if group:
        shown = shown[shown["clinic"] == group]
    return [frozenset(own.loc[own["state"].isin(label.split("+")), "patient"]) for label in shown["state"]]


def attack(states, tables, rates):
    """Every nested pair of unions of up to three published cells whose difference is a small number.

    Only cells that share nobody: the count of a union of others is not known to who reads the report.
    """
    found = []
    for group in sorted({"", *states["clinic"]}):
        cells = [one for table in tables if ("clinic" in table) == bool(group)
                 for rate in rates for one in persons(states, table, rate, group)]  # fmt: skip
        distinct = sorted({cell for cell in cells if cell}, key=lambda cell: (len(cell), sorted(cell)))
        unions = {
            frozenset().union(*some) for k in (1, 2, 3) for some in combinations(distinct, k)
            if len(frozenset().union(*some)) == sum(map(len, some))
        }  # fmt: skip
        found += [(group, len(cell)) for cell in unions if len(cell) <= LIMIT]
        for a, b in combinations(sorted(unions, key=len), 2):
            if a < b and len(b - a) <= LIMIT:
                found.append((group, len(b - a)))
    return found


def withheld(made, states, name, period=None):
    """What an attacker gets from a measure told for everyone and by clinic."""
    tallies = [made.measure_tally(name, period=period, by=by) for by in ((), "clinic")]
    whole, split = (tally.points for tally in ko.protect(tallies))
    rates = tuple(states["criterion"].unique())
    found = attack(states, [whole, split], rates)
    for rate in rates:  # the clinics that are hidden, known by subtraction
        total = whole[whole["criterion"] == rate].set_index("state")["n"].dropna()
        own = split[split["criterion"] == rate]
        for label in set(total.index) & set(own["state"]):
            rest = total[label] - own.loc[own["state"] == label, "n"].sum()
            found += [(rate, rest)] if 0 < rest <= LIMIT else []
    return found


def depression(seed):
    """A random clinic under drr_e."""
    scores, people, events = random_frames(seed, n=int(np.random.default_rng(seed).integers(60, 300)))
    made = ko.Study(ko.Cohort.from_frames(NO_DOSES, scores, people, events), as_of="2024-11-20")
    return made, made.measure_states("drr_e", period="2024").merge(people[["patient", "clinic"]])


def courses(seed):
    """A random clinic under talking_therapies: rates that leave out different people."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(40, 260))
    names = [f"p{i:04d}" for i in range(n)]
    doses = pd.DataFrame({"patient": np.repeat(names, 2), "day": [0, 3] * n, "dose": 0.5, "route": "iv"})
    doses = doses[(doses["day"] == 0) | (rng.random(2 * n) > (seed % 2) * 0.1)].assign(unit="mg/kg")
    first = pd.DataFrame({"patient": names, "day": 0, "phq9": rng.integers(6, 20, n)})
    first["gad7"] = rng.integers(4, 15, n)
    end = first.assign(day=20, phq9=(first["phq9"] - rng.integers(-8, 14, n)).clip(0, 27))
    end = end.assign(gad7=(first["gad7"] - rng.integers(-5, 9, n)).clip(0, 21))[rng.random(n) < 0.8]
    people = pd.DataFrame({"patient": names, "cut_day": np.where(rng.random(n) < 0.15, 30, 400)})
    people["clinic"] = rng.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1])
    made = ko.Study(ko.Cohort.from_frames(doses, pd.concat([first, end]), people))
    return made, made.measure_states("talking_therapies").merge(people[["patient", "clinic"]])


@pytest.mark.parametrize("seed", range(6))
def test_no_small_number_can_be_had_from_the_rates_of_a_measure(seed):
    assert withheld(*depression(seed), "drr_e", "2024") == []


@pytest.mark.parametrize("seed", range(16))
def test_nor_from_rates_that_leave_out_different_people(seed):
    assert withheld(*courses(seed), "talking_therapies") == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 400))
def test_many_clinics_tell_no_small_number(seed):
    assert withheld(*courses(seed), "talking_therapies") == []
    if seed < 160:
        assert withheld(*depression(seed), "drr_e", "2024") == []


def test_something_is_published_of_clinics_of_some_size():
    told = 0
    for seed in range(8):
        scores, people, events = random_frames(seed, n=300)
        made = ko.Study(ko.Cohort.from_frames(NO_DOSES, scores, people, events), as_of="2024-11-20")
        told += int(published(made.measure_tally("drr_e", period="2024"))[0]["n"].notna().sum())
    assert told >= 12
