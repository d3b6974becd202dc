"""What a protected Table 1 says of few people: nothing, not even by subtraction."""

from __future__ import annotations

from itertools import product

import attacked_covariates
import attacked_tables as attacked
import attacker
import numpy as np
import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes.counts.tallies import typed
from ketaoutcomes.disclosure import LARGEST_SMALL, DisclosureError, protect, protection
from ketaoutcomes.disclosure.transport import small
from ketaoutcomes.results.table_one import EVERYONE, Table1, table1

SCENARIOS = {
    make.__name__: make
    for make in (
        attacked_covariates.alone, attacked_covariates.of_everyone, attacked_covariates.beside_rates,
        attacked_covariates.beside_another,
    )
}  # fmt: skip
TINY = {("A", "f"): 40, ("A", "m"): 30, ("B", "f"): 35, ("B", "m"): 25, ("C", "f"): 20, ("C", "m"): 4}


def study(counts: dict[tuple[str, ...], int], columns: tuple[str, ...]) -> ko.Study:
    """So many people of each kind; one dose on day 0, by route where given, and a baseline of 18."""
    keys = [key for key, n in counts.items() for _ in range(n)]
    people = pd.DataFrame(keys, columns=list(columns))
    people.insert(0, "patient", [f"P{i:04}" for i in range(len(people))])
    route = people.pop("route") if "route" in people else "iv"
    doses = pd.DataFrame({"patient": people["patient"], "day": 0, "dose": 40.0, "unit": "mg", "route": route})
    scores = pd.DataFrame({"patient": people["patient"], "day": 0, "phq9": 18})
    return ko.Study(ko.Cohort.from_frames(doses, scores, people))


def told(counts: dict[tuple[str, ...], int], columns: tuple[str, ...], variables: list[str]) -> Table1:
    of = study(counts, columns)
    (shown,) = protect([of.table1_tally(by="site", variables=variables)])
    return table1(shown, of.plan)


def cells(found: Table1, variable: str) -> dict[tuple[str, str], int | None]:
    own = found.table[found.table["variable"] == variable]
    return {(r.level, r.group): None if np.isnan(r.n) else int(r.n) for r in own.itertuples(index=False)}


def test_a_small_level_is_hidden_with_the_next_smallest_group_and_everyone_is_told() -> None:
    found = told(TINY, ("site", "sex"), ["sex"])
    assert cells(found, "sex") == {
        ("f", EVERYONE): 95, ("f", "A"): 40, ("f", "B"): None, ("f", "C"): None,
        ("m", EVERYONE): 59, ("m", "A"): 30, ("m", "B"): None, ("m", "C"): None,
    }  # fmt: skip
    assert cells(found, "Patients") == {("", EVERYONE): 154, ("", "A"): 70, ("", "B"): 60, ("", "C"): 24}
    wide = found.wide().set_index("")
    assert wide.loc["sex: m", ["B", "C", "largest SMD"]].tolist() == ["hidden", "hidden", ""]
    assert found.table.loc[found.table["n"].isna(), ["of", "share"]].isna().all(axis=None)


def test_differences_of_which_a_part_is_hidden_are_missing() -> None:
    found = told(TINY, ("site", "sex"), ["sex"]).differences
    assert found.loc[found["variable"] == "sex", "smd"].isna().all()
    assert (found.loc[found["variable"] == "PHQ-9 at baseline", "smd"] == 0).all()


def test_a_small_group_is_hidden_with_another() -> None:
    found = told({("A",): 70, ("B",): 60, ("C",): 4}, ("site",), ["route"])
    assert cells(found, "Patients") == {("", EVERYONE): 134, ("", "A"): 70, ("", "B"): None, ("", "C"): None}
    baseline = found.table[found.table["variable"] == "PHQ-9 at baseline"].set_index("group")
    assert baseline["mean"].isna().to_dict() == {EVERYONE: False, "A": False, "B": True, "C": True}


def test_rare_levels_are_joined_alike_in_every_group() -> None:
    counts = {("A", "x"): 40, ("A", "y"): 20, ("A", "z"): 3, ("B", "x"): 50, ("B", "y"): 4, ("B", "z"): 12}
    assert cells(told(counts, ("site", "kind"), ["kind"]), "kind") == {
        ("x", EVERYONE): 90, ("x", "A"): 40, ("x", "B"): 50,
        ("other levels", EVERYONE): 39, ("other levels", "A"): 23, ("other levels", "B"): 16,
    }  # fmt: skip


def test_who_is_not_on_record_is_a_level() -> None:
    counts = {("A", "f"): 40, ("A", "m"): 40, ("A", None): 3, ("B", "f"): 50, ("B", "m"): 50, ("B", None): 0}
    found = cells(told(counts, ("site", "sex"), ["sex"]), "sex")
    assert set(found.values()) == {None}  # else of everyone 180 have a sex on record, of 183


def test_of_two_forms_of_a_covariate_the_one_asked_for_first_is_told() -> None:
    """Routes: im and oral joined, 24. Protocols: im 20, home 64. Together: 24 less 20, four by mouth."""
    counts = {("A", "iv"): 80, ("A", "im"): 20, ("A", "oral"): 4, ("A", "sublingual"): 60}
    of = study(counts, ("site", "route"))

    def told_of(variables: list[str]) -> dict[str, dict[str, float]]:
        (shown,) = protect([of.table1_tally(variables=variables)])
        table = table1(shown, of.plan).table
        return {v: table[table["variable"] == v].set_index("level")["n"].to_dict() for v in variables}

    routes = {"iv": 80, "sublingual": 60, "other levels": 24}
    protocols = {"home": 64, "im": 20, "iv6": 80}
    hidden = pytest.approx({"other levels": np.nan}, nan_ok=True)
    assert told_of(["route"])["route"] == routes
    assert told_of(["protocol"])["protocol"] == protocols
    assert told_of(["route", "protocol"]) == {"route": routes, "protocol": hidden}
    assert told_of(["protocol", "route"]) == {"protocol": protocols, "route": hidden}


def test_sample_is_told_nearly_whole_and_as_it_was_counted() -> None:
    of = ko.Study(ko.load_sample())
    raw = of.table1(by="site")
    (shown,) = protect([of.table1_tally(by="site")])
    found = table1(shown, of.plan)
    both = found.table.merge(raw.table, on=["variable", "level", "group"], suffixes=("", "_raw"))
    assert len(both) == len(found.table) == len(raw.table)
    there = both["n"].notna()
    assert there.mean() > 0.8
    for name in ("n", "of", "share", "mean", "sd", "median", "q1", "q3"):
        assert both.loc[there, name].to_numpy() == pytest.approx(
            both.loc[there, f"{name}_raw"].to_numpy(), nan_ok=True
        )
    assert "hidden" in found.to_markdown()
    assert "nan" not in found.to_html() + found.to_latex() + found.to_markdown()


@pytest.mark.parametrize(("profile", "small"), LARGEST_SMALL.items())
def test_no_count_of_the_sample_is_small(profile: str, small: int) -> None:
    of = ko.Study(ko.load_sample())
    for by in (None, "site", ("site", "sex"), "start_quarter", "phq9_baseline_band"):
        (shown,) = protect([of.table1_tally(by=by)], profile)
        numbers = shown.values[shown.values["variable"].str.endswith(":n")]["n"]
        for n in (shown.points["n"], numbers):
            assert not ((n > 0) & (n <= small)).any()
        if profile == "opensafely":
            assert (shown.points["n"].dropna() % 5 == 0).all()


def test_quartiles_do_not_count_people_within_a_severity_band() -> None:
    of = ko.Study(ko.load_sample())
    (shown,) = protect([of.table1_tally(variables=["phq9_baseline_band"])])
    row = table1(shown, of.plan).table.set_index("variable").loc["PHQ-9 at baseline"]
    assert np.isnan([row["median"], row["q1"], row["q3"]]).all()
    assert row["mean"] > 0


def test_what_another_table_of_the_release_is_grouped_by_is_left_out() -> None:
    of = ko.Study(ko.load_sample())
    rates = [of.tally(at="end", kind="current"), of.tally(by="protocol", at="end", kind="current")]
    *others, shown = protect([*rates, of.table1_tally(variables=["route", "sex"])])
    table = table1(shown, of.plan).table
    assert table.loc[table["variable"] == "route", "n"].isna().all()
    assert table.loc[table["variable"] == "PCL-5 at baseline", "n"].isna().all()
    assert table.loc[table["variable"] == "sex", "n"].notna().all()
    assert others == protect(rates)  # everyone eligible is told there, too


def test_groups_are_told_where_rates_beside_them_leave_no_few() -> None:
    """Who is eligible and not due, by site, is nobody or more than ten where both are told."""
    of = ko.Study(ko.load_sample())
    by_site, one = of.tally(by="site", at="end", kind="current"), of.table1_tally(by="site")
    rates, shown = protect([by_site, one])
    of_each = rates.points[rates.points["criterion"] == "phq9_response50"].groupby("site")["n"]
    table = table1(shown, of.plan).table
    eligible = table[table["variable"] == "Patients"].set_index("group")["n"]
    not_due = (eligible - of_each.sum(min_count=1)).dropna()
    assert len(not_due) > 1
    assert not small(not_due.to_numpy(), 10).any()


def test_what_cannot_be_protected_is_refused() -> None:
    of = study(TINY, ("site", "sex"))
    one = of.table1_tally(by="site", variables=["sex"])
    with pytest.raises(DisclosureError, match="one Table 1 to a release"):
        protect([one, of.table1_tally(variables=["sex"])])
    named = study({("A", "other levels"): 20}, ("site", "kind"))
    with pytest.raises(DisclosureError, match="another name"):
        protect([named.table1_tally(variables=["kind"])])
    with pytest.raises(DisclosureError, match="series"):
        protection([one])
    with pytest.raises(ValueError, match="not the counts of a Table 1"):
        table1(of.tally(at="end"), of.plan)


def test_nobody_gives_an_empty_table_and_order_changes_nothing() -> None:
    of = study(TINY, ("site", "sex"))
    raw = of.table1_tally(by="site", variables=["sex"])
    mixed = {name: t.sample(frac=1, random_state=1) for name, t in raw.tables().items()}
    assert protect([type(raw)(raw.header, **mixed)]) == protect([raw])
    empty = {name: typed(name, t.iloc[:0], raw.header.by) for name, t in raw.tables().items()}
    (shown,) = protect([type(raw)(raw.header, **empty)])
    assert (table1(shown, of.plan).table["n"] == 0).all()


@pytest.mark.parametrize(("name", "profile"), list(product(SCENARIOS, LARGEST_SMALL)))
def test_an_attacker_with_linear_programming_learns_no_small_number(name: str, profile: str) -> None:
    assert attacked.attack(SCENARIOS[name](), range(2), 100, profile) == []


def test_the_attack_finds_what_is_not_protected() -> None:
    """The counts themselves, only the small ones left out: subtraction tells them."""
    scenario = SCENARIOS["alone"]()
    rng = np.random.default_rng(1)
    persons = attacked.cohort(scenario, rng)
    (raw,) = scenario.tallies(persons)
    points = raw.points.assign(n=raw.points["n"].where(raw.points["n"] > 10))
    everyone = raw.points.groupby([name for name in raw.points if name not in ("site", "n")])["n"].sum()
    both = pd.concat([points, everyone.reset_index().assign(site=EVERYONE)])
    shown = type(raw)(raw.header, raw.flow, both, raw.values.iloc[:0], raw.transitions, protected="cms11")
    sets = attacked.questions(scenario.asked, persons, 10, rng, 30)
    assert attacker.learned(*scenario.equations([shown]), persons, sets, 10) != []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "profile"), list(product(SCENARIOS, LARGEST_SMALL)))
def test_an_attacker_learns_nothing_from_many_tables(name: str, profile: str) -> None:
    assert attacked.attack(SCENARIOS[name](), range(1000, 1150), 6, profile) == []
