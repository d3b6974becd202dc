"""Tables made coarser before anything in them is hidden: periods and sites."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes.counts.periods import Period, closed_until, last_day, period
from ketaoutcomes.counts.tallies import KEYS, Tally, typed
from ketaoutcomes.disclosure import DisclosureError, coarsen, protect, tellings
from ketaoutcomes.disclosure.coarser import LENGTHS, OTHER_SITES, counted_back

PLAN = ko.Plan(criteria={"primary": ("phq9_response50",)})
NAMES = ["axis", "point", "state", "n"]
EMPTY = ko.Study(ko.load_sample(), plan=PLAN).tally(at="end", kind="current", tables=())
STATES = ("met", "not_met")
Pair = tuple[int, int]


def tally(rows: list[tuple[object, ...]], by: tuple[str, ...] = (), as_of: str = "2026-10-31") -> Tally:
    """A Tally of points: axis, point, state, n and the group."""
    table = pd.DataFrame(rows, columns=[*NAMES, *by])
    table = table.assign(instrument="phq9", criterion="phq9_response50", kind="current", given="no")
    header = replace(EMPTY.header, by=by, as_of=as_of)
    tables = {name: typed(name, pd.DataFrame(columns=[*KEYS[name], *by]), by) for name in KEYS}
    return Tally(header, **(tables | {"points": typed("points", table[table["n"] > 0], by)}))


def months(counts: Mapping[str, Pair], as_of: str | None = None) -> Tally:
    """Met and not met by month, and at the end; as of the end of the last month unless another is given."""
    rows = [
        ("month", m, state, n) for m, pair in counts.items() for state, n in zip(STATES, pair, strict=True)
    ]
    rows += [("end", "end", state, n) for _, _, state, n in rows]
    last = period(max(counts))
    assert last is not None
    return tally(rows, as_of=as_of or last_day(last.last))


def year(each: Pair, many: int = 12, first: str = "2026-01") -> dict[str, Pair]:
    begin = period(first)
    assert begin is not None
    return {Period(begin.first + i).name: each for i in range(many)}


@pytest.mark.parametrize(
    ("each", "step", "last"),
    [
        ((12, 20), "months", "2026-12"),
        ((4, 20), "quarters", "2026-10/2026-12"),  # twelve had met in the quarter
        ((4, 0), "quarters", "2026-10/2026-12"),  # nobody is not few
        ((2, 20), "half-years", "2026-07/2026-12"),
        ((1, 20), "years", "2026-01/2026-12"),
    ],
)
def test_periods_grow_until_their_rates_can_be_told(each: Pair, step: str, last: str) -> None:
    (coarse,), steps = coarsen([months(year(each))], 10)
    assert steps[["table", "instrument", "step", "reason"]].to_numpy().tolist() == [
        ["period", "phq9", step, "finest"]
    ]
    told = coarse.points[coarse.points["axis"] == "month"]
    assert max(told["point"]) == last
    assert told["n"].sum() == 12 * sum(each)


def test_three_quarters_of_the_rates_of_the_last_year_are_enough() -> None:
    small, large = (4, 20), (12, 20)
    # Of twelve months three are small, but with a quarter of those due: 3 * 24 of 3 * 24 + 9 * 32.
    counts = year(large) | dict.fromkeys(("2026-02", "2026-05", "2026-08"), small)
    (one,) = tellings(months(counts), 10)
    assert one.step == "months"
    assert one.shares["months"] == pytest.approx(9 * 32 / (9 * 32 + 3 * 24))
    (one,) = tellings(months(counts | {"2026-10": small, "2026-11": small}), 10)
    assert (one.step, one.reason) == ("quarters", "finest")
    earlier = year(small, 24, "2024-01")  # what was long ago says nothing of how many are treated now
    assert tellings(months(earlier | year(large)), 10)[0].step == "months"


def test_where_no_length_is_enough_the_one_that_shows_most_is_taken() -> None:
    (one,) = tellings(months(year((1, 20), 4)), 10)
    assert (one.step, one.reason, one.shares) == ("months", "most", {"months": 0.0, "quarters": 0.0})


def test_periods_are_counted_back_from_the_last_month_that_is_over() -> None:
    counts = year((4, 20), 10) | {"2026-11": (9, 1)}
    (one,) = tellings(months(counts, as_of="2026-11-20"), 10)
    assert [p.name for p in one.periods] == ["2026-01/2026-04", "2026-05/2026-07", "2026-08/2026-10"]
    assert one.until == closed_until("2026-11-20")


def test_two_instruments_may_be_told_by_periods_of_their_own() -> None:
    one = ko.Study(ko.load_sample()).tally(at="month", kind="current", tables=("points",))
    many = one.points.assign(n=one.points["n"].mask(one.points["instrument"] == "pcl5", 10 * one.points["n"]))
    found = {t.instrument: t.step for t in tellings(replace(one, points=many), 10)}
    assert found == {"phq9": "quarters", "pcl5": "months"}


# --- in a series: a step once taken holds, a coarser one starts at the first period not yet told ---------


def series(counts: Mapping[str, Pair], first: int) -> list[tuple[tuple[str, ...], str]]:
    """Report after report, month by month from the `first` one on: the periods told, and why."""
    names, found, last = sorted(counts), [], []
    for many in range(first, len(names) + 1):
        raw = months({name: counts[name] for name in names[:many]})
        (one,) = tellings(raw, 10, last)
        covered = {
            name: counts[name] for name in names[:many] if closed_until(last_day(one.until)) >= _at(name)
        }
        (coarse,), _ = coarsen([months(covered)], 10, last, [one])
        last = protect([coarse])
        found.append((tuple(p.name for p in one.periods), one.reason))
    return found


def _at(name: str) -> int:
    one = period(name)
    assert one is not None
    return one.first


def test_a_step_once_taken_holds_however_many_come_later() -> None:
    """A quarter is told, then three months in a row with many more: never July, August or September alone."""
    counts = year((4, 20), 6) | year((60, 60), 6, "2026-07")
    found = series(counts, 6)
    told = ("2026-01/2026-03", "2026-04/2026-06")
    assert [periods for periods, _ in found[:4]] == [told, told, told, (*told, "2026-07/2026-09")]
    assert {reason for _, reason in found[1:]} == {"held"}
    assert found[-1][0] == (*told, "2026-07/2026-09", "2026-10/2026-12")


def test_a_coarser_step_starts_at_the_first_month_not_told() -> None:
    """Months are told to August; a quarter then begins in September, not in July."""
    counts = year((12, 20), 8) | year((4, 15), 12, "2026-09")
    found = series(counts, 8)
    assert found[0] == (tuple(year((0, 0), 8)), "finest")
    changed = next(i for i, (_, reason) in enumerate(found) if reason == "coarser")
    before, after = found[changed - 1][0], found[changed + 3][0]
    assert after[: len(before)] == before
    new = [one for name in after[len(before) :] if (one := period(name)) is not None]
    assert new[0].months == 3
    assert new[0].first == _at(before[-1]) + 1
    assert all("/" not in name for name in before)


def test_a_finer_step_never_follows_a_coarser_one() -> None:
    """Half-years stay half-years in thirteen reports, though months could be told from the second on."""
    counts = year((2, 20), 12) | year((80, 80), 13, "2027-01")
    found = series(counts, 12)
    assert {len(periods) for periods, _ in found} == {2, 3, 4}
    assert found[-1][0][2:] == ("2027-01/2027-06", "2027-07/2027-12")


@pytest.mark.parametrize("seed", range(6))
def test_periods_of_a_series_are_closed_disjoint_and_never_told_again_otherwise(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = rng.choice([1, 4, 12, 40], size=5).repeat(6)
    counts = {
        name: (int(rng.poisson(n)), int(rng.poisson(2 * n)))
        for name, n in zip(year((0, 0), 30, "2025-01"), size, strict=True)
    }
    before: tuple[str, ...] = ()
    for i, (names, _) in enumerate(series(counts, 5)):
        told = [one for name in names if (one := period(name)) is not None]
        assert names[: len(before)] == before
        assert all(one.last + 1 == after.first for one, after in itertools.pairwise(told))
        assert told[-1].last <= _at("2025-05") + i
        lengths = [max(n for n in LENGTHS.values() if n <= one.months) for one in told]
        assert lengths == sorted(lengths)
        before = names


def test_months_without_anybody_were_told_too() -> None:
    """Nobody came due in June, the last month told: what follows begins in July all the same."""
    raw = months(year((12, 20), 5), as_of="2026-06-30")
    coarse, steps = coarsen([raw], 10)
    assert steps["until"].tolist() == ["2026-06-30"]
    last = protect(coarse)
    now = months(year((12, 20), 5) | {"2026-07": (12, 20)})
    (one,) = tellings(now, 10, last, steps)
    assert [p.name for p in one.periods[-2:]] == ["2026-06", "2026-07"]
    few = months(year((12, 20), 5) | dict.fromkeys(("2026-07", "2026-08"), (12, 20)))
    (held,) = tellings(few, 10, last, steps.assign(step="quarters"))  # taken, and not yet used
    assert (held.step, held.reason, held.periods[-1].name) == ("quarters", "held", "2026-06")


def test_counting_back_leaves_no_month_out() -> None:
    for start, last, length in ((0, 10, 3), (0, 11, 3), (5, 5, 1), (0, 4, 6)):
        found = counted_back(start, last, length)
        assert found[-1].last == last
        assert min(found[0].first, start) == found[0].first
        assert sum(one.months for one in found) == last - found[0].first + 1


# --- sites ----------------------------------------------------------------------------------------------


def sites(counts: Mapping[str, Pair]) -> Tally:
    rows = [
        ("end", "end", state, n, s) for s, own in counts.items() for state, n in zip(STATES, own, strict=True)
    ]
    return tally(rows, by=("site",))


def by_site(one: Tally) -> dict[str, int]:
    return {str(k): int(n) for k, n in one.points.groupby("site")["n"].sum().items()}


def test_small_sites_become_one_and_one_alone_takes_another_along() -> None:
    two_small = {"A": (40, 60), "B": (30, 45), "C": (3, 50), "D": (9, 8)}
    (coarse,), steps = coarsen([sites(two_small)], 10)
    assert by_site(coarse) == {"A": 100, "B": 75, OTHER_SITES: 70}
    assert steps[["table", "step", "joined"]].to_numpy().tolist() == [["site", "joined", "C\nD"]]
    (coarse,), _ = coarsen([sites({"A": (40, 60), "B": (30, 45), "C": (20, 18), "D": (3, 30)})], 10)
    assert by_site(coarse) == {"A": 100, "B": 75, OTHER_SITES: 71}


def test_sites_large_enough_stay_and_few_are_left_to_be_hidden() -> None:
    large = {"A": (40, 60), "B": (30, 45)}
    assert by_site(coarsen([sites(large)], 10)[0][0]) == {"A": 100, "B": 75}
    assert by_site(coarsen([sites(large | {"C": (3, 4)})], 10)[0][0]) == {"A": 100, OTHER_SITES: 82}
    assert by_site(coarsen([sites({"A": (40, 60), "C": (3, 4)})], 10)[0][0]) == {"A": 100, "C": 7}
    all_small = {"A": (40, 6), "B": (30, 8)}
    assert by_site(coarsen([sites(all_small)], 10)[0][0]) == {"A": 46, "B": 38}


def test_a_series_keeps_its_sites_and_new_ones_join_the_others() -> None:
    last = protect(coarsen([sites({"A": (40, 60), "B": (30, 45), "C": (3, 50), "D": (9, 8)})], 10)[0])
    now = sites({"A": (40, 60), "B": (30, 45), "C": (33, 50), "D": (19, 18), "E": (50, 50)})
    assert by_site(coarsen([now], 10, last)[0][0]) == {"A": 100, "B": 75, OTHER_SITES: 220}
    third = sites({"A": (40, 60), "B": (3, 4), "C": (53, 50), "D": (39, 18), "F": (90, 50)})
    told = protect(coarsen([now], 10, last)[0])
    assert set(by_site(coarsen([third], 10, told)[0][0])) == {"A", "B", OTHER_SITES}


def test_what_cannot_be_made_coarser_is_refused() -> None:
    with pytest.raises(DisclosureError, match="raw Tallies"):
        coarsen(protect([sites({"A": (40, 60)})]), 10)
    with pytest.raises(DisclosureError, match="raw Tallies"):
        tellings(protect([months(year((12, 20), 3))])[0], 10)
    with pytest.raises(DisclosureError, match="another name"):
        coarsen([sites({OTHER_SITES: (40, 60), "B": (30, 45)})], 10)
