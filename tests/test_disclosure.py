"""What a shared report may say of few people: nothing, not even by subtraction."""

from __future__ import annotations

import dataclasses

import attacked_tables as attacked
import numpy as np
import pandas as pd
import pytest
from attacked_tables import PARTIAL, REMISSION, RESPONSE

import ketaoutcomes as ko
from ketaoutcomes.counts.tallies import KEYS, Header, Tally, TallyError, typed
from ketaoutcomes.disclosure import PERMITS, DisclosureError, moments, protect
from ketaoutcomes.disclosure.links import logic
from ketaoutcomes.plan import Baseline, Criteria, Plan

SCENARIOS = {
    make.__name__: make
    for make in (attacked.sessions, attacked.margins, attacked.weeks, attacked.criteria, attacked.nested)
}


def tally(
    points: list[tuple[object, ...]], *, by: tuple[str, ...] = (), criteria: tuple[str, ...] = (RESPONSE,)
) -> Tally:
    """A Tally of the `end` point. A row: criterion, state, the groups, n."""
    plan = Plan(criteria=Criteria(primary=criteria))
    header = Header(
        plan=plan.canonical(), plan_hash=plan.hash, as_of="2026-10-31", by=by, axes=("end",),
        criteria=criteria, kinds=("current",),
    )  # fmt: skip
    start = ("phq9", "current", "end", "end", "yes")
    columns = ["instrument", "kind", "axis", "point", "given", "criterion", "state", *by, "n"]
    table = pd.DataFrame([(*start, *row) for row in points], columns=columns)
    empty = {name: typed(name, pd.DataFrame(columns=[*KEYS[name], *by]), by) for name in KEYS}
    return Tally(header, **(empty | {"points": typed("points", table, by)}))


def shown(protected: Tally, criterion: str = RESPONSE) -> dict[object, float | None]:
    """State (and group) to number; None where hidden."""
    table = protected.points[protected.points["criterion"] == criterion]
    by = list(protected.header.by)
    keys = table[[*by, "state"]].apply(tuple, axis=1) if by else table["state"]
    return {
        key: None if np.isnan(n) else n
        for key, n in zip(keys, table["n"], strict=True)
        if key != "not_scheduled"
    }


def one_point(met: int, not_met: int, missing: int) -> Tally:
    return tally([(RESPONSE, "met", met), (RESPONSE, "not_met", not_met), (RESPONSE, "missing", missing)])


@pytest.mark.parametrize(
    ("counts", "cells"),
    [
        ((40, 30, 20), {"met": 40, "not_met": 30, "unassessed": 20}),
        ((40, 30, 0), {"met": 40, "not_met": 30, "unassessed": 0}),  # none may be said
        ((0, 30, 20), {"met": 0, "not_met": 30, "unassessed": 20}),
        ((11, 11, 11), {"met": 11, "not_met": 11, "unassessed": 11}),
        ((40, 30, 10), {"met": 40, "unmet_or_missing": 40}),  # ten unscored: nri alone
        ((40, 3, 20), {"met": 40, "unmet_or_missing": 23}),
        ((40, 3, 0), {"due": 43}),  # either complement is three people
        ((10, 30, 20), {"due": 60}),
        ((1, 30, 1), {"due": 32}),
        ((4, 3, 2), {"due": None}),
    ],
)
def test_a_point_is_coarsened_before_it_is_hidden(counts, cells):
    (protected,) = protect([one_point(*counts)])
    assert shown(protected) == cells


def test_nested_criteria_do_not_tell_the_few_between_them():
    """Of 30 responders 25 are in remission: five responded without remission."""
    rows = [
        (RESPONSE, "met", 30),
        (RESPONSE, "not_met", 70),
        (REMISSION, "met", 25),
        (REMISSION, "not_met", 75),
    ]
    (protected,) = protect([tally(rows, criteria=(RESPONSE, REMISSION))])
    assert shown(protected, RESPONSE) == {"met": 30, "not_met": 70, "unassessed": 0}
    assert shown(protected, REMISSION) == {"due": 100}


def test_criteria_that_exclude_each_other_do_not_tell_the_few_left_over():
    """30 responded, 45 were better by less: of 80 scored, five were neither."""
    rows = [(RESPONSE, "met", 30), (RESPONSE, "not_met", 50), (PARTIAL, "met", 45), (PARTIAL, "not_met", 35)]
    (protected,) = protect([tally(rows, criteria=(RESPONSE, PARTIAL))])
    assert shown(protected, PARTIAL) == {"due": 80}


def test_a_small_site_is_hidden_with_another_when_the_total_is_told():
    met, not_met = {"A": 40, "B": 30, "C": 3}, {"A": 60, "B": 45, "C": 50}
    rows = [(RESPONSE, "met", site, n) for site, n in met.items()]
    rows += [(RESPONSE, "not_met", site, n) for site, n in not_met.items()]
    by_site = tally(rows, by=("site",))
    everyone = tally([(RESPONSE, "met", 73), (RESPONSE, "not_met", 155)])
    alone = shown(protect([by_site])[0])
    assert alone["C", "due"] == 53
    assert alone["B", "met"] == 30
    _, together = protect([everyone, by_site])
    assert shown(together) == {
        ("A", "met"): 40, ("A", "not_met"): 60, ("A", "unassessed"): 0, ("B", "due"): 75, ("C", "due"): 53,
    }  # fmt: skip


def test_two_groupings_share_their_total_even_where_it_is_not_printed():
    by_site = tally(
        [(RESPONSE, "met", "A", 40), (RESPONSE, "not_met", "A", 60), (RESPONSE, "met", "B", 5)], by=("site",)
    )
    by_sex = tally(
        [(RESPONSE, "met", "f", 30), (RESPONSE, "met", "m", 15), (RESPONSE, "not_met", "f", 60)], by=("sex",)
    )
    protected = protect([by_site, by_sex])
    assert shown(protected[0])["A", "due"] is None  # else 105 - 100 = 5 are at B


def test_who_stopped_between_sessions_is_not_told_by_who_was_given_them():
    scenario = attacked.sessions()
    for seed in range(5):
        raw = scenario.tallies(attacked.cohort(scenario, np.random.default_rng(seed)))
        by_protocol = protect(raw)[0].flow
        given = by_protocol[by_protocol["reason"] == "given"].pivot(
            index="step", columns="protocol", values="n"
        )
        for counts in given.to_numpy().T:
            steps = np.abs(counts[:, None] - counts).ravel()
            assert not ((steps > 0) & (steps <= 10)).any()


@pytest.fixture(scope="module")
def sample() -> list[Tally]:
    study = ko.Study(ko.load_sample())
    return [
        study.tally(at=("week", "end", "month")), study.tally(by="protocol", at=("session", "end")),
        study.tally(by="site", at="end"),
    ]  # fmt: skip


def test_the_sample_still_says_something_useful(sample):
    everyone, by_protocol, by_site = protect(sample)
    current = by_protocol.points[by_protocol.points["kind"] == "current"]
    told = current[(current["state"] == "met") & (current["criterion"] == RESPONSE) & current["n"].notna()]
    told = told[told["axis"] == "session"].groupby("protocol").size()
    assert told["iv6"] == 6
    assert told["esketamine"] >= 6
    assert told["im"] >= 3
    ends = pd.concat([everyone.points.assign(site=""), by_site.points])
    ends = ends[(ends["axis"] == "end") & (ends["kind"] == "current") & (ends["criterion"] == RESPONSE)]
    assert set(ends["state"]) == {"met", "not_met", "unassessed"}
    assert ends["n"].notna().all()


def test_no_published_count_is_small(sample):
    for protected in protect(sample):
        for table in (protected.flow, protected.points):
            small = (table["n"] > 0) & (table["n"] <= 10) & (table.get("unit", "") != "row")
            assert not small.any()
        numbers = protected.values[protected.values["variable"].str.endswith(":n")]["n"]
        assert not ((numbers > 0) & (numbers <= 10)).any()


def test_states_permit_what_can_be_summed_from_them(sample):
    """Whatever states stand at a point, the counts they permit are those of the raw Tally."""
    for raw, protected in zip(sample, protect(sample), strict=True):
        keys = [*raw.header.by, "criterion", "kind", "axis", "point"]
        for name, states in {"due": None, "assessed": ["met", "not_met"], "met": ["met"]}.items():
            table = protected.points[protected.points["state"].isin(PERMITS) & protected.points["n"].notna()]
            allowed = table.groupby(keys)["state"].agg(lambda s, n=name: all(n in PERMITS[x] for x in s))
            found = table[table["state"].isin(states)] if states else table
            truth = raw.points[~raw.points["state"].isin(["not_due", "not_scheduled"])]
            truth = truth[truth["state"].isin(states)] if states else truth
            both = pd.concat(
                [found.groupby(keys)["n"].sum(), truth.groupby(keys)["n"].sum()], axis=1, join="inner"
            )
            both.columns = pd.Index(["found", "truth"])
            both = both[allowed.reindex(both.index, fill_value=False)]
            assert len(both)
            assert (both["found"] == both["truth"]).all()


def test_means_and_medians_are_those_of_the_raw_tally_where_shown(sample):
    for raw, protected in zip(sample, protect(sample), strict=True):
        before, after = moments(raw, "score"), moments(protected, "score")
        hidden = after["n"].isna()
        pd.testing.assert_frame_equal(after[~hidden], before[~hidden].astype(after.dtypes))
        assert after.loc[hidden, ["sum", "squares", "median"]].isna().all(axis=None)


def test_a_median_that_ends_in_a_half_keeps_it():
    """Eleven scored 3 and eleven 4, nothing hidden."""
    raw = one_point(11, 11, 11)
    rows = [("phq9", "score", "end", "end", value, 11) for value in (3, 4)]
    values = typed("values", pd.DataFrame(rows, columns=[*KEYS["values"], "n"]), ())
    (protected,) = protect([dataclasses.replace(raw, values=values)])
    assert moments(protected, "score")["median"].tolist() == [3.5]


def test_a_protected_tally_is_protected_once_adds_no_more_and_survives_saving(sample, tmp_path):
    protected = protect(sample)
    assert protect(protected) == protected
    with pytest.raises(TallyError, match="no longer adds"):
        protected[0] + protected[0]
    protected[0].save(tmp_path / "tally.json")
    assert ko.load_tally(tmp_path / "tally.json") == protected[0]


def test_the_order_of_rows_and_of_tallies_changes_nothing(sample):
    protected = protect(sample)
    mixed = [
        dataclasses.replace(
            t, **{name: table.sample(frac=1, random_state=1) for name, table in t.tables().items()}
        )
        for t in sample
    ]
    assert protect(mixed) == protected
    assert protect(sample[::-1]) == protected[::-1]


def test_opensafely_rounds_to_five_and_totals_are_sums_of_rounded_parts(sample):
    for protected in protect(sample, "opensafely"):
        for table in (protected.flow, protected.points):
            known = table["n"].dropna()
            assert (known % 5 == 0).all()
            assert not ((known > 0) & (known < 10)).any()
    (point,) = protect([one_point(42, 33, 28)], "opensafely")
    assert shown(point) == {"met": 40, "not_met": 35, "unassessed": 30}  # due 105, of 103
    (point,) = protect([one_point(42, 33, 7)], "opensafely")
    assert shown(point) == {"met": 40, "unmet_or_missing": 40}


def test_what_cannot_be_protected_is_refused(sample):
    raw = one_point(40, 30, 20)
    with pytest.raises(DisclosureError, match="unknown disclosure profile"):
        protect([raw], "none")
    with pytest.raises(DisclosureError, match="in a list"):
        protect(raw)
    with pytest.raises(DisclosureError, match="protected already"):
        protect([*protect([raw]), raw])
    with pytest.raises(DisclosureError, match="share their plan"):
        protect([raw, dataclasses.replace(raw, header=dataclasses.replace(raw.header, as_of="2026-09-30"))])
    banded = raw.points.assign(state="band")
    with pytest.raises(DisclosureError, match="cannot be protected yet") as caught:
        protect([dataclasses.replace(raw, points=banded)])
    assert "band" not in str(caught.value)
    assert protect([]) == []


def test_definitions_say_which_criteria_nest():
    names = ("phq9_response50", "phq9_remission_lt5", "phq9_mcid5", "pcl5_reliable15", "pcl5_reliable18")
    implied = logic(Plan(criteria=Criteria(primary=names)).canonical(), names).implies
    assert ("phq9_remission_lt5", "phq9_response50") in implied  # from 10 or more to below 5
    assert ("phq9_response50", "phq9_mcid5") in implied
    assert ("pcl5_reliable18", "pcl5_reliable15") in implied
    assert ("phq9_response50", "phq9_remission_lt5") not in implied
    open_gate = Plan(criteria=Criteria(primary=names), baseline=Baseline(gate={"phq9": 0}))
    assert ("phq9_remission_lt5", "phq9_response50") not in logic(open_gate.canonical(), names).implies


def test_a_group_of_nobody_is_hidden_where_that_is_not_to_be_told():
    """At C nobody of eight was scored. Who was scored is hidden there, so the mean must not be absent."""
    scenario = attacked.margins()
    persons = attacked.cohort(scenario, np.random.default_rng(5003))
    for one in protect(scenario.tallies(persons), "opensafely"):
        if one.header.by == ("site",):
            points = one.points[(one.points["site"] == "C") & (one.points["criterion"] == RESPONSE)]
            assert set(points["state"]) == {"met", "unmet_or_missing"}  # who was scored is hidden
            means = one.values[one.values["site"] == "C"]
            assert len(means)
            assert means["n"].isna().all()


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_attacker_with_linear_programming_learns_no_small_number(name):
    assert attacked.attack(SCENARIOS[name](), range(4), most=200) == []


@pytest.mark.parametrize(
    "seed",
    [
        500565,  # 38 had met at session 1, 34 at session 2, and 63 by then: nine at both
        700134,  # 22 remitted at session 1 and 52 by session 2, where 40 responded: ten of these not anew
    ],
)
def test_who_met_at_each_of_the_first_two_sessions_is_not_told_by_who_met_at_either(seed):
    assert attacked.attack(attacked.sessions(), range(seed, seed + 1), most=300) == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_attacker_learns_no_small_number_from_rounded_tables(name):
    assert attacked.attack(SCENARIOS[name](), range(5002, 5004), most=200, profile="opensafely") == []


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("start", range(0, 2500, 250))
def test_an_attacker_learns_nothing_from_ten_thousand_tables(name, start):
    assert attacked.attack(SCENARIOS[name](), range(start, start + 250), most=200) == []
