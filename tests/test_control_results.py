"""Control charts and funnels from Tallies: months and quarters, gaps, frozen limits, and the drawings."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from small_cohorts import Rows, dose_frame, people_frame, wide_scores

import ketaoutcomes as ko
from ketaoutcomes.counts.tallies import Header, Tally, make
from ketaoutcomes.disclosure import protect
from ketaoutcomes.estimates import interval
from ketaoutcomes.figures import control, funnel
from ketaoutcomes.results import control_results
from ketaoutcomes.results.control_results import chart_sentence, charts

mpl.use("Agg")
PLAN = ko.Plan(criteria={"primary": ("phq9_response50",), "also": ()})
MONTHS = [str(month) for month in np.arange(np.datetime64("2025-01"), np.datetime64("2026-07"))]


def counted(cells, *, by=(), axis="month", as_of="2026-06-30") -> Tally:
    """A Tally of one criterion: (point, met, n) and the group's labels."""
    rows = []
    for point, met, n, *group in cells:
        key = ("phq9", "phq9_response50", "current", axis, point, "yes")
        rows += [(*key, "met", *group, met), (*key, "not_met", *group, n - met)]
    columns = ["instrument", "criterion", "kind", "axis", "point", "given", "state", *by, "n"]
    header = Header(
        plan=PLAN.canonical(), plan_hash=PLAN.hash, as_of=as_of, by=tuple(by), axes=(axis,),
        criteria=("phq9_response50",), kinds=("current",), dates="dates",
    )  # fmt: skip
    return make(header, {"points": [pd.DataFrame([row for row in rows if row[-1]], columns=columns)]})


def steady(*, odd=None, skip=(), as_of="2026-06-30", met=20, n=50, wobble=0):
    """The same rate every month, a little above and below in turn; all respond in the odd month."""
    counts = [met + (wobble if i % 2 else -wobble) if i != odd else n for i in range(len(MONTHS))]
    cells = [(MONTHS[i], count, n) for i, count in enumerate(counts) if i not in skip]
    return counted(cells, as_of=as_of)


def at(table: pd.DataFrame, period: str) -> pd.Series:
    found = table[table["period"] == period]
    assert len(found) == 1
    return found.iloc[0]


def test_an_odd_month_signals_and_the_sentence_names_it():
    table = charts(steady(odd=7, wobble=4), baseline=("2025-01", "2025-12"))
    fired = table[table["signal"] != ""]
    assert list(fired["period"]) == ["2025-08"]
    assert fired["signal"].iloc[0] == "beyond_limits"
    said = chart_sentence(table)
    assert "frozen on 2025-01 to 2025-12 (12 periods)" in said
    assert "2025-08: beyond limits" in said
    assert "not why" in said


def test_an_empty_month_keeps_its_place():
    table = charts(steady(skip=(4,)))
    assert list(table["period"]) == MONTHS
    empty = at(table, "2025-05")
    assert (empty["n"], empty["reason"]) == (0, "nobody_due")
    assert np.isnan(empty["rate"])
    assert table["periods"].iloc[0] == len(MONTHS) - 1


def test_quarters_are_sums_of_months():
    months, quarters = charts(steady(odd=7, skip=(4,))), charts(steady(odd=7, skip=(4,)), per="quarter")
    assert list(quarters["period"]) == ["2025-Q1", "2025-Q2", "2025-Q3", "2025-Q4", "2026-Q1", "2026-Q2"]
    assert (at(quarters, "2025-Q2")["n"], at(quarters, "2025-Q3")["met"]) == (100, 90)
    assert quarters["n"].sum() == months["n"].sum()
    assert set(quarters["status"]) == {"too_few_periods"}


def test_a_month_not_over_is_shown_and_neither_judged_nor_a_basis():
    table = charts(steady(odd=17, as_of="2026-06-12"))
    last = at(table, "2026-06")
    assert (last["rate"], last["signal"], last["reason"]) == (1, "", "period_not_over")
    assert table["centre"].iloc[0] == pytest.approx(0.4)
    assert at(charts(steady(odd=17)), "2026-06")["signal"] == "beyond_limits"


def test_a_shift_of_eight_months_is_a_run():
    cells = [(month, 18 if i < 10 else 26, 50) for i, month in enumerate(MONTHS)]
    table = charts(counted(cells), baseline=("2025-01", "2025-10"))
    assert list(table.loc[table["signal"] == "run_of_8", "period"]) == ["2026-06"]
    assert list(table.loc[table["part_of"] == "run_of_8", "period"]) == MONTHS[10:]


def test_groups_have_charts_of_their_own():
    cells = [(m, 10, 40, "A") for m in MONTHS] + [(m, 30, 40, "B") for m in MONTHS]
    table = charts(counted(cells, by=("site",)))
    assert table.groupby("site")["centre"].first().to_dict() == {"A": 0.25, "B": 0.75}
    assert (table["signal"] == "").all()


def test_hidden_months_stay_hidden_and_end_runs():
    cells = [(month, 2 if i == 3 else 30, 60) for i, month in enumerate(MONTHS)]
    (shown,) = protect([counted(cells)])
    table = charts(shown)
    hidden = at(table, "2025-04")
    assert hidden["reason"] == "hidden"
    assert np.isnan(hidden["rate"])
    assert np.isnan(hidden["low"])
    known = table["rate"].notna()
    assert table["centre"].iloc[0] == pytest.approx(
        table.loc[known, "met"].sum() / table.loc[known, "n"].sum()
    )
    assert at(charts(shown, per="quarter"), "2025-Q2")["reason"] == "hidden"


def test_quarters_can_be_published_where_months_are_too_small():
    cells = [(month, 5, 12) for month in MONTHS]
    raw = counted(cells)
    (months,) = protect([raw])
    assert charts(months)["rate"].isna().all()
    quarters = control_results.quarterly(raw)
    (shown,) = protect([quarters])
    table = charts(shown, per="quarter")
    assert table["met"].tolist() == [15] * 6
    assert table["n"].tolist() == [36] * 6
    pd.testing.assert_frame_equal(charts(quarters, per="quarter"), charts(raw, per="quarter"))
    assert control_results.quarterly(quarters) == quarters
    assert control_results.quarterly(raw + raw) == quarters + quarters
    with pytest.raises(ValueError, match="no longer adds"):
        control_results.quarterly(months)
    with pytest.raises(ValueError, match="months and quarters"):
        charts(raw + quarters)
    with pytest.raises(ValueError, match="added up to quarters"):
        charts(quarters)


def test_what_is_asked_for_is_checked():
    with pytest.raises(ValueError, match="per must be"):
        charts(steady(), per="week")
    for span in [("2026-01", "2025-01"), ("1999-01", "1999-12")]:
        with pytest.raises(ValueError, match="2025-Q1"):
            charts(steady(), baseline=span)
    with pytest.raises(ValueError, match="unknown rule"):
        charts(steady(), rules=("nine_in_a_row",))


def test_undated_records_have_no_chart():
    rows = Rows().add("a", "0 3", {}, phq9="0:20 10:5")
    plan = ko.Plan(population={"complete": True})
    cohort = ko.Cohort.from_frames(dose_frame(rows), wide_scores(rows), people_frame(rows), plan=plan)
    table = ko.Study(cohort).control_chart("phq9_response50")
    assert table.empty
    assert "day offsets" in chart_sentence(table)


def test_the_sample_by_month_is_the_rates_by_month():
    study = ko.Study(ko.load_sample())
    chart = study.control_chart("phq9_response50")
    by_month = study.rates(at="month", criteria="phq9_response50", analysis="nri")
    assert chart["met"].tolist() == by_month["met"].tolist()
    assert chart["centre"].iloc[0] == pytest.approx(by_month["met"].sum() / by_month["n"].sum())
    assert (chart["part_of"] == "").all()  # planted steady


def test_mean_change_by_quarter_and_the_youngest_is_not_over():
    table = ko.Study(ko.load_sample()).mean_chart()
    own = table[table["instrument"] == "phq9"].set_index("period")
    assert own.loc["2026-Q3", "reason"] == "period_not_over"
    assert own.loc["2026-Q2", "reason"] == ""
    assert set(table["chart"]) == {"xmr"}
    outcomes = ko.Study(ko.load_sample()).tally(by="start_quarter", at="end", tables=("values",)).values
    one = outcomes[(outcomes["variable"] == "change") & (outcomes["axis"] == "end")]
    one = one[(one["start_quarter"] == "2025-Q3") & (one["instrument"] == "phq9")]
    assert own.loc["2025-Q3", "mean"] == pytest.approx((one["value"] * one["n"]).sum() / one["n"].sum() / 56)
    with pytest.raises(ValueError, match="start_quarter"):
        control_results.mean_charts(ko.Study(ko.load_sample()).tally(at="end", tables=("values",)))


def test_mean_change_by_month_is_of_those_scored_in_the_month_of_coming_due():
    study = ko.Study(ko.load_sample(), as_of="2026-10-15")
    table = study.mean_chart(per="month")
    scored = study.rates(at="month", criteria="phq9_response50", analysis="observed")
    own = table[table["instrument"] == "phq9"].set_index("period")
    assert own["n"].to_dict() == scored.set_index("point")["n"].to_dict()
    assert own.loc["2026-10", "reason"] == "period_not_over"
    assert (own["reason"].iloc[:-1] == "").all()
    total = study.trajectory(at="end", variable="change")
    end = total[(total["instrument"] == "phq9") & (total["axis"] == "end")].iloc[0]
    assert (own["mean"] * own["n"]).sum() == pytest.approx(end["mean"] * end["n"])
    with pytest.raises(ValueError, match="per must be one of month, quarter"):
        study.mean_chart(per="week")


SITES = [
    ("end", int(0.4 * n), n, f"S{i:02d}")
    for i, n in enumerate((15, 30, 45, 60, 80, 100, 120, 150, 200, 250, 300))
]


def test_a_funnel_stands_by_name_about_the_common_rate():
    tally = counted(
        [*SITES, ("end", 90, 120, "A first"), ("end", 5, 5, "(missing)")], by=("site",), axis="end"
    )
    found = control_results.funnel(tally)
    assert list(found.table["site"]) == sorted(found.table["site"])
    assert "(missing)" not in set(found.table["site"])
    shown = found.table
    assert shown["target"].iloc[0] == pytest.approx(shown["met"].sum() / shown["n"].sum())
    assert dict(zip(shown["site"], shown["beyond"], strict=True))["A first"] == "99.8"
    assert set(shown["limits"]) == {"exact"}  # one outlier is drawn in, and is no over-dispersion
    assert "no verdict" in found.sentence
    assert "12 of 12" in found.sentence
    assert "5 people of no known site are left out" in found.sentence
    lone = counted([*SITES, ("end", 1, 1, "(missing)")], by=("site",), axis="end")
    assert "1 person of no known site is left out" in control_results.funnel(lone).sentence
    assert "left out" not in control_results.funnel(counted(SITES, by=("site",), axis="end")).sentence


def test_sites_that_differ_beyond_chance_get_wider_limits():
    cells = [("end", met, 200, f"S{i:02d}") for i, met in enumerate([50, 110] * 6)]
    table = control_results.funnel(counted(cells, by=("site",), axis="end")).table
    assert set(table["limits"]) == {"over_dispersed"}
    assert (table["phi"] > 1).all()
    assert (table["beyond"] == "").all()


def test_a_site_that_is_hidden_gives_no_point_and_no_part_of_the_target():
    cells = [("end", 40, 100, "A"), ("end", 3, 80, "B"), ("end", 45, 90, "C"), ("end", 50, 110, "D")]
    (shown,) = protect([counted(cells, by=("site",), axis="end")])
    found = control_results.funnel(shown)
    hidden = found.table.set_index("site").loc["B"]
    assert hidden["reason"] == "hidden"
    assert np.isnan(hidden[["rate", "low95", "detect_low"]].astype(float)).all()
    known = found.table["rate"].notna()
    target = found.table.loc[known, "met"].sum() / found.table.loc[known, "n"].sum()
    assert found.table["target"].iloc[0] == pytest.approx(target)
    assert known.sum() == found.table["sites"].iloc[0]


def test_nobody_and_other_groupings():
    empty = control_results.funnel(counted([], by=("site",), axis="end"))
    assert empty.table.empty
    with pytest.raises(ValueError, match="grouped by 'site' alone"):
        control_results.funnel(steady())
    with pytest.raises(ValueError, match="session of its protocol"):
        control_results.funnel(steady(), at="session")
    with pytest.raises(ValueError, match="one name"):
        control_results.funnel(steady(), by=["site", "route"])


def test_splitting_people_and_adding_gives_the_same_chart():
    half = steady(met=10, n=25)
    pd.testing.assert_frame_equal(charts(half + half), charts(steady(met=20, n=50)))


def test_the_control_chart_as_drawn():
    table = charts(steady(odd=7, skip=(4,), as_of="2026-06-12", wobble=4), baseline=("2025-01", "2025-12"))
    ax = control(table)
    line = ax.get_lines()[0]
    assert np.allclose(np.asarray(line.get_ydata(), float), table["rate"], equal_nan=True)
    words = [text.get_text() for text in ax.texts]
    assert "beyond limits" in words
    assert "none due" in words
    rings = [one for one in ax.get_lines() if one.get_markersize() == 13]
    assert [tuple(map(float, ring.get_xydata()[0])) for ring in rings] == [(7.0, 1.0)]
    plt.close("all")
    few = control(charts(steady(), per="quarter"))
    assert any("too few for limits" in text.get_text() for text in few.texts)
    plt.close("all")
    with pytest.raises(ValueError, match="nothing to draw"):
        control(table.iloc[:0])
    with pytest.raises(ValueError, match="several"):
        control(pd.concat([table, table]))
    plt.close("all")


def test_the_funnel_as_drawn():
    tally = counted([*SITES, ("end", 90, 120, "$x^2$ site")], by=("site",), axis="end")
    found = control_results.funnel(tally)
    ax = funnel(found.table, found.curve)
    dots = {tuple(map(float, one.get_xydata()[0])) for one in ax.get_lines() if one.get_markersize() == 7}
    assert dots == set(zip(found.table["n"].astype(float), found.table["rate"], strict=True))
    names = {text.get_text() for text in ax.texts}
    assert set(found.table["site"]) <= names  # as text, never as mathematics
    assert {"95 %", "99.8 %"} <= names
    ax.figure.draw_without_rendering()
    plt.close("all")


def test_limits_hold_about_as_much_as_the_interval_of_a_site_of_its_size():
    # Not the same question, but nearly the same width: a gross slip in either would show.
    low, high = interval([40], [100])
    table = control_results.funnel(
        counted([("end", 40, 100, "A"), ("end", 40, 100, "B")], by=("site",), axis="end")
    ).table
    assert table["low95"].iloc[0] == pytest.approx(low[0], abs=0.02)
    assert table["high95"].iloc[0] == pytest.approx(high[0], abs=0.02)
