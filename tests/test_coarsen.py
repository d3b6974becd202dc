"""Tables made coarser before anything in them is hidden: periods and sites."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes.counts.tallies import KEYS, Tally, typed
from ketaoutcomes.disclosure import DisclosureError, coarsen, protect
from ketaoutcomes.disclosure.coarser import OTHER_SITES

PLAN = ko.Plan(criteria={"primary": ("phq9_response50",)})
NAMES = ["axis", "point", "state", "n"]


def tally(rows: list[tuple[object, ...]], by: tuple[str, ...] = ()) -> Tally:
    """A Tally of points: axis, point, state, n and the group."""
    table = pd.DataFrame(rows, columns=[*NAMES, *by])
    table = table.assign(instrument="phq9", criterion="phq9_response50", kind="current", given="no")
    empty = ko.Study(ko.load_sample(), plan=PLAN).tally(at="end", kind="current", tables=())
    header = replace(empty.header, by=by)
    tables = {name: typed(name, pd.DataFrame(columns=[*KEYS[name], *by]), by) for name in KEYS}
    return Tally(header, **(tables | {"points": typed("points", table, by)}))


def months(counts: dict[str, tuple[int, int]]) -> Tally:
    """Met and not met by month."""
    rows = [
        ("month", m, state, n) for m, pair in counts.items() for state, n in zip(STATES, pair, strict=True)
    ]
    return tally(rows)


STATES = ("met", "not_met")
QUARTER = ("2026-01", "2026-02", "2026-03")


@pytest.mark.parametrize(
    ("each", "step", "points"),
    [
        ((12, 20), "months", list(QUARTER)),
        ((4, 20), "quarters", ["2026-Q1"]),  # twelve had met in the quarter
        ((4, 0), "quarters", ["2026-Q1"]),  # nobody is not few
        ((2, 20), "half-years", ["2026-H1"]),
    ],
)
def test_periods_grow_until_their_rates_can_be_told(each, step, points):
    counts = dict.fromkeys(
        (*QUARTER, "2026-04", "2026-05", "2026-06") if step == "half-years" else QUARTER, each
    )
    (coarse,), steps = coarsen([months(counts)], 10)
    assert steps.to_numpy().tolist() == [["month", step]]
    assert sorted(set(coarse.points["point"])) == points
    assert coarse.points["n"].sum() == sum(map(sum, counts.values()))


def test_a_series_keeps_its_periods():
    last = protect([coarsen([months(dict.fromkeys(QUARTER, (4, 20)))], 10)[0][0]])
    (coarse,), _ = coarsen([months(dict.fromkeys(QUARTER, (12, 20)))], 10, last)
    assert set(coarse.points["point"]) == {"2026-Q1"}


def sites(counts: dict[str, tuple[int, int]]) -> Tally:
    rows = [
        ("end", "end", state, n, s) for s, own in counts.items() for state, n in zip(STATES, own, strict=True)
    ]
    return tally(rows, by=("site",))


def by_site(one: Tally) -> dict[str, int]:
    return {str(k): int(n) for k, n in one.points.groupby("site")["n"].sum().items()}


def test_small_sites_become_one_and_one_alone_takes_another_along():
    two_small = {"A": (40, 60), "B": (30, 45), "C": (3, 50), "D": (9, 8)}
    (coarse,), steps = coarsen([sites(two_small)], 10)
    assert by_site(coarse) == {"A": 100, "B": 75, OTHER_SITES: 70}
    assert steps.to_numpy().tolist() == [["site", "2 joined"]]
    (coarse,), _ = coarsen([sites({"A": (40, 60), "B": (30, 45), "C": (20, 18), "D": (3, 30)})], 10)
    assert by_site(coarse) == {"A": 100, "B": 75, OTHER_SITES: 71}


def test_sites_large_enough_stay_and_few_are_left_to_be_hidden():
    large = {"A": (40, 60), "B": (30, 45)}
    assert by_site(coarsen([sites(large)], 10)[0][0]) == {"A": 100, "B": 75}
    assert by_site(coarsen([sites(large | {"C": (3, 4)})], 10)[0][0]) == {"A": 100, OTHER_SITES: 82}
    assert by_site(coarsen([sites({"A": (40, 60), "C": (3, 4)})], 10)[0][0]) == {"A": 100, "C": 7}


def test_a_series_keeps_its_sites_and_new_ones_join_the_others():
    last = protect(coarsen([sites({"A": (40, 60), "B": (30, 45), "C": (3, 50), "D": (9, 8)})], 10)[0])
    now = sites({"A": (40, 60), "B": (30, 45), "C": (33, 50), "D": (19, 18), "E": (50, 50)})
    assert by_site(coarsen([now], 10, last)[0][0]) == {"A": 100, "B": 75, OTHER_SITES: 220}


def test_what_cannot_be_made_coarser_is_refused():
    with pytest.raises(DisclosureError, match="raw Tallies"):
        coarsen(protect([sites({"A": (40, 60)})]), 10)
    with pytest.raises(DisclosureError, match="another name"):
        coarsen([sites({OTHER_SITES: (40, 60), "B": (30, 45)})], 10)
