"""What protected change beyond error says of few people: nothing, not even by subtraction."""

from __future__ import annotations

import dataclasses
from itertools import product

import attacked_change
import attacked_tables as attacked
import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes.counts.tallies import KEYS, Header, Tally, typed
from ketaoutcomes.definitions import load
from ketaoutcomes.definitions.change_rules import as_text, settle_rules
from ketaoutcomes.disclosure import LARGEST_SMALL, DisclosureError, protect, protection
from ketaoutcomes.plan import Plan
from ketaoutcomes.results.change_results import bands_table, change_table, effect_sizes, regression_table

SCENARIOS = {
    make.__name__: make
    for make in (
        attacked_change.change_alone, attacked_change.change_with_flow, attacked_change.change_by_week,
    )
}  # fmt: skip


def at_end(counts: dict[str, int], instrument: str = "phq9") -> Tally:
    """A Tally of one point with so many people in each category."""
    plan = Plan()
    header = Header(
        plan=plan.canonical(), plan_hash=plan.hash, as_of="2026-10-31", by=(), axes=("end",),
        criteria=("phq9_response50",), kinds=("current",), change=as_text(settle_rules(load(), [instrument])),
    )  # fmt: skip
    start = (instrument, f"{instrument}_change", "current", "end", "end", "yes")
    table = pd.DataFrame([(*start, state, n) for state, n in counts.items()], columns=[*KEYS["points"], "n"])
    empty = {name: typed(name, pd.DataFrame(columns=list(KEYS[name])), ()) for name in KEYS}
    return Tally(header, **(empty | {"points": typed("points", table, ())}))


def told(tally: Tally, analysis: str = "nri") -> dict[str, int | None]:
    """The categories of a Tally's table, None where hidden."""
    table = change_table(tally, analysis=[analysis])
    people = [None if pd.isna(n) else int(n) for n in table["people"]]
    return dict(zip(table["category"], people, strict=True))


EVERY = {"recovered": 40, "improved": 30, "unchanged": 50, "deteriorated": 12, "missing": 20}
ALL = "recovered+improved+unchanged+deteriorated"


@pytest.mark.parametrize(
    ("change", "joined", "gone"),
    [
        ({}, {}, ()),
        ({"deteriorated": 0}, {"deteriorated": 0}, ()),  # none may be said
        ({"improved": 3}, {"recovered+improved": 43}, ("recovered", "improved")),
        ({"deteriorated": 4}, {"unchanged+deteriorated": 54}, ("unchanged", "deteriorated")),
        ({"missing": 2}, {"unchanged+unscored": 52}, ("unchanged", "unscored")),
        ({"unchanged": 0, "unchanged_crossed": 50}, {}, ()),
        ({"improved": 20, "improved_from_functional": 10}, {}, ()),
    ],
)
def test_categories_are_joined_until_none_is_small(
    change: dict[str, int], joined: dict[str, int], gone: tuple[str, ...]
) -> None:
    (shown,) = protect([at_end({name: n for name, n in (EVERY | change).items() if n})])
    every = {"unscored" if name == "missing" else name: n for name, n in EVERY.items()} | joined
    nri = {name: n for name, n in every.items() if name not in gone}
    assert told(shown) == nri
    scored = {name: n for name, n in nri.items() if name != "unscored"}
    assert told(shown, "observed") == (scored if "unscored" in nri else {ALL: None})


def test_nobody_but_a_few_is_hidden_and_never_zero() -> None:
    (shown,) = protect([at_end({"improved": 3, "missing": 4})])
    table = change_table(shown)
    assert table["category"].tolist() == [f"{ALL}+unscored", ALL]
    assert table[["people", "n", "rate", "low", "high", "best_at_baseline"]].isna().all(axis=None)
    assert set(table["reason"]) == {"hidden"}


def test_rates_are_those_of_the_people_told() -> None:
    (shown,) = protect([at_end(EVERY)])
    raw = change_table(at_end(EVERY))
    table = change_table(shown)
    columns = ["analysis", "category", "people", "n", "rate", "low", "high", "reason"]
    pd.testing.assert_frame_equal(table[columns], raw[columns])


@pytest.fixture(scope="module")
def sample() -> tuple[Tally, Tally]:
    """Change in the sample by site, as counted and as it may be published."""
    counted = ko.Study(ko.load_sample()).tally(
        by="site", at="end", kind="current", tables=("flow", "values", "change")
    )
    return counted, protect([counted])[0]


def test_the_sample_says_what_was_counted_or_nothing(sample: tuple[Tally, Tally]) -> None:
    raw, shown = (change_table(tally) for tally in sample)
    keys = ["site", "instrument", "point", "analysis", "category"]
    both = shown.merge(raw, on=keys, suffixes=("", "_raw"))
    assert len(both) > 20
    assert (both["people"] == both["people_raw"]).all()
    assert both["rate"].to_numpy() == pytest.approx(both["rate_raw"].to_numpy())
    assert not ((shown["people"] > 0) & (shown["people"] <= 10)).any()
    whole = shown[shown["analysis"] == "nri"].groupby(["site", "instrument"])
    assert (whole["people"].sum() == whole["n"].max()).all()


def test_effect_sizes_are_those_counted_where_they_are_told(sample: tuple[Tally, Tally]) -> None:
    raw, shown = (effect_sizes(tally) for tally in sample)
    there = shown["n"].notna()
    assert there.any()
    pd.testing.assert_frame_equal(shown[there], raw[there], check_dtype=False)
    assert (shown.loc[~there, "reason"] == "hidden").all()
    told_of = regression_table(sample[1])
    assert set(told_of["stratum"]) == {"all"}


def test_moves_between_bands_are_hidden(sample: tuple[Tally, Tally]) -> None:
    assert bands_table(sample[1])[["people", "n", "rate"]].isna().all(axis=None)


def test_opensafely_rounds_to_five(sample: tuple[Tally, Tally]) -> None:
    (shown,) = protect([sample[0]], "opensafely")
    assert (shown.points["n"].dropna() % 5 == 0).all()


def test_what_change_was_not_worked_out_with_is_refused(sample: tuple[Tally, Tally]) -> None:
    raw = sample[0]
    study = ko.Study(ko.load_sample())
    with pytest.raises(DisclosureError, match="protected alone"):
        protect([raw, study.tally(at="end", kind="current")])
    with pytest.raises(DisclosureError, match="protected alone"):
        protect([study.tally(at="end", kind="current", tables=("points", "change"))])
    with pytest.raises(DisclosureError, match="strata for imputation"):
        protect([study.tally(at="end", tables=("points", "strata"))])
    with pytest.raises(DisclosureError, match="joint response"):
        protect([study.tally(at="end", kind="current", tables=("joint",))])
    with pytest.raises(DisclosureError, match="no part of a series"):
        protection([raw])


def test_the_order_of_rows_changes_nothing(sample: tuple[Tally, Tally]) -> None:
    raw, shown = sample
    mixed = {name: table.sample(frac=1, random_state=1) for name, table in raw.tables().items()}
    assert protect([dataclasses.replace(raw, **mixed)]) == [shown]


@pytest.mark.parametrize(("name", "profile"), list(product(SCENARIOS, LARGEST_SMALL)))
def test_an_attacker_with_linear_programming_learns_no_small_number(name: str, profile: str) -> None:
    assert attacked.attack(SCENARIOS[name](), range(2), 4, profile) == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "profile"), list(product(SCENARIOS, LARGEST_SMALL)))
def test_an_attacker_learns_nothing_from_many_tables(name: str, profile: str) -> None:
    assert attacked.attack(SCENARIOS[name](), range(1000, 1150), 6, profile) == []
