"""Closed periods: what counts as over, quarters as sums of months, whether a change is more than chance."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import report_tables
from scipy.stats import binomtest

import ketaoutcomes as ko
from ketaoutcomes import report
from ketaoutcomes.plan import Plan
from ketaoutcomes.report.finished import Described
from ketaoutcomes.report.overview import changed
from ketaoutcomes.report.periods import changes, closed_until, period, period_rates
from ketaoutcomes.report.views import Words, latest

NAN = math.nan
Counts = dict[str, tuple[float, float]]
ONE = (("phq9", "phq9_response50"),)


def monthly(counts: Counts, criteria: tuple[tuple[str, str], ...] = ONE) -> pd.DataFrame:
    """Rates by month, given how many were due and how many met; everyone due is scored."""
    rows = [
        report_tables.rate_row("month", instrument, criterion, analysis, month, (n, n, n, met))
        for instrument, criterion in criteria
        for month, (n, met) in counts.items()
        for analysis in ("nri", "observed")
    ]
    return pd.DataFrame(rows)


def rates(counts: Counts, as_of: str = "2026-10-31") -> pd.DataFrame:
    return period_rates(monthly(counts), as_of, method="wilson", level=0.95)


YEAR = {f"2026-{month:02d}": (50, 20) for month in range(1, 11)}


@pytest.mark.parametrize(
    ("as_of", "last"),
    [
        ("2026-10-31", "2026-10"),
        ("2026-10-30", "2026-09"),
        ("2026-01-15", "2025-12"),
        ("2024-02-29", "2024-02"),
    ],
)
def test_a_month_is_over_with_its_last_day(as_of: str, last: str) -> None:
    one = period(last)
    assert one is not None
    assert closed_until(as_of) == one.first


def test_quarters_and_half_years_are_sums_of_whole_closed_periods() -> None:
    table = rates(YEAR).query("analysis == 'nri'").set_index("period")
    assert list(table.index) == [*YEAR, "2026-Q1", "2026-Q2", "2026-Q3", "2026-H1"]
    assert table.loc["2026-Q1", ["due", "met", "n"]].tolist() == [150, 60, 150]
    assert table.loc["2026-H1", ["due", "met"]].tolist() == [300, 120]
    wilson = binomtest(60, 150).proportion_ci(method="wilson")  # scipy's own
    assert table.loc["2026-Q1", ["low", "high"]].tolist() == pytest.approx([wilson.low, wilson.high])
    assert "2026-10" not in set(rates(YEAR, "2026-10-30")["period"])


def test_a_hidden_month_hides_its_quarter_and_its_half_year_alone() -> None:
    table = rates(YEAR | {"2026-05": (50, NAN)}).query("analysis == 'nri'").set_index("period")
    hidden = table.index[table["reason"] == "hidden"]
    assert list(hidden) == ["2026-05", "2026-Q2", "2026-H1"]
    assert table.loc[hidden, ["met", "rate", "low", "high"]].isna().all().all()
    assert table.loc["2026-Q2", "due"] == 150


def test_a_month_without_anybody_is_none_and_not_hidden() -> None:
    table = rates(YEAR | {"2026-05": (0, 0)}).query("analysis == 'nri'").set_index("period")
    assert (table.loc["2026-05", "reason"], table.loc["2026-Q2", "met"]) == ("nobody_due", 40)


def test_quarters_that_came_as_quarters_are_added_to_half_years() -> None:
    table = rates({"2026-Q1": (90, 30), "2026-Q2": (60, 30), "2026-Q3": (80, 20)})
    assert set(table["grain"]) == {"quarter", "half_year"}
    half = table.query("grain == 'half_year' and analysis == 'nri'").iloc[0]
    assert (half["period"], half["met"], half["n"]) == ("2026-H1", 60, 150)


# Newcombe 1998, Statistics in Medicine 17:873, table II, 56/70 against 48/80 by method 10.
def test_a_change_is_newcombes_difference() -> None:
    found = changes(rates({"2026-09": (80, 48), "2026-10": (70, 56)}), level=0.95).iloc[0]
    assert (found["period"], found["before"], found["grain"]) == ("2026-10", "2026-09", "month")
    assert found[["difference", "low", "high"]].tolist() == pytest.approx([0.2, 0.0524, 0.3339], abs=5e-5)
    assert found["evidence"] == "higher"


@pytest.mark.parametrize(("met", "evidence"), [(20, "none"), (45, "higher"), (2, "lower")])
def test_evidence_is_an_interval_without_zero(met: int, evidence: str) -> None:
    found = changes(rates(YEAR | {"2026-10": (50, met)}), level=0.95).iloc[0]
    assert found["evidence"] == evidence


def test_the_shortest_grain_that_shows_both_periods_is_compared() -> None:
    found = changes(rates(YEAR | {"2026-10": (50, NAN)}), level=0.95).iloc[0]
    assert (found["grain"], found["period"], found["before"]) == ("quarter", "2026-Q3", "2026-Q2")
    everything = dict.fromkeys(YEAR, (50, NAN))
    assert changes(rates(everything), level=0.95).empty


def test_what_changed_is_told_without_praise_or_blame() -> None:
    def said(met: int) -> str:
        table = changes(rates(YEAR | {"2026-10": (50, met)}), level=0.95)
        one, other = changed(Described("changes", "", "", table), Words(Plan()))
        assert (other.title, other.rows) == ("PCL-5", ())
        assert other.says == "In no two periods that follow each other is enough shown to tell a change."
        return one.says

    assert said(20) == "October 2026 against September 2026: no evidence of change."
    change = "by more than chance usually gives. In percentage points, halved: +50 (+32 to +64)."
    assert said(45) == f"October 2026 against September 2026: higher rates, {change}"


def test_the_headline_is_the_last_closed_period_that_can_be_shown() -> None:
    def during(counts: Counts, as_of: str = "2026-10-31") -> list[str]:
        table = rates(counts, as_of)
        return [
            one.during for one in latest(Described("rates_period", "", "", table), Words(Plan())).values()
        ]

    assert during(YEAR) == ["in October 2026"]
    assert during(YEAR, "2026-10-30") == ["in September 2026"]
    assert during(YEAR | {"2026-10": (50, NAN)}) == ["from July to September 2026"]
    assert during(dict.fromkeys(YEAR, (50, NAN))) == []


def test_the_order_of_rows_changes_nothing() -> None:
    table = monthly(YEAR, report_tables.CRITERIA)
    shuffled = table.sample(frac=1, random_state=3)
    parts = []
    for given in (table, shuffled):
        found = period_rates(given, "2026-10-31", method="wilson", level=0.95)
        parts.append(found.sort_values(["period", "criterion", "analysis"], ignore_index=True))
    pd.testing.assert_frame_equal(*parts)


def test_records_without_an_end_have_no_closed_period() -> None:
    assert rates(YEAR, "complete").empty
    assert changes(rates(YEAR, "complete"), level=0.95).empty
    assert report.Meta(as_of="complete").as_of == "complete"


def test_more_than_one_axis_of_rates_is_refused_with_what_to_write() -> None:
    with pytest.raises(ValueError, match='one axis at a time: write at="session"'):
        ko.Study(ko.load_sample()).rates(at=["week", "end"])  # type: ignore[arg-type]
