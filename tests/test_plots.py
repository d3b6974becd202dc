"""`study.plot` and the tables its figures are made of: what is drawn is what was counted."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

import ketaoutcomes as ko
from ketaoutcomes import figures
from ketaoutcomes.figures import severity
from ketaoutcomes.results import figure_tables

mpl.use("agg")


@pytest.fixture(scope="module")
def study() -> ko.Study:
    return ko.Study(ko.load_sample())


def texts(ax: Any) -> list[str]:
    return [text.get_text().replace("\u202f", " ") for text in ax.texts]


def bands_of_four() -> pd.DataFrame:
    """Four people, all severe or moderate before; at week 1 one is unscored."""
    row = {"axis": "week", "instrument": "phq9", "point": "1"}
    of = {"mild": 0, "moderate": 1, "severe": 3}
    ways = [
        ("mild", "mild", 0), ("moderate", "mild", 1), ("severe", "mild", 1), ("severe", "severe", 1),
        ("severe", "unscored", 1),
    ]  # fmt: skip
    return pd.DataFrame(
        [row | {"band_from": one, "band_to": other, "people": n, "n": of[one]} for one, other, n in ways]
    )


# Severity bands


def test_band_shares_are_of_all_due_before_and_after() -> None:
    table = figure_tables.band_shares(bands_of_four())
    found = {(row.point, row.band): (row.people, row.n, row.rate) for row in table.itertuples()}
    assert found == {
        ("before", "moderate"): (1, 4, 0.25), ("before", "severe"): (3, 4, 0.75),
        ("before", "mild"): (0, 4, 0),
        ("1", "mild"): (2, 4, 0.5), ("1", "severe"): (1, 4, 0.25), ("1", "unscored"): (1, 4, 0.25),
    }  # fmt: skip


def test_a_hidden_way_hides_the_share_and_its_whole() -> None:
    hidden = bands_of_four().astype({"people": float})
    hidden.loc[1, "people"] = np.nan
    table = figure_tables.band_shares(hidden)
    assert table.loc[table["point"] == "1", "rate"].isna().all()
    assert "hidden" in texts(figures.bands(table))


def test_shares_of_bands_agree_with_the_rates_of_the_scored(study: ko.Study) -> None:
    table = figure_tables.band_shares(study.bands(at="end", instruments="phq9"))
    rates = study.rates(at="end", criteria="phq9_response50", analysis="nri").iloc[0]
    end = table[table["point"] == "end"].set_index("band")
    assert end["people"].sum() == rates["due"]
    assert end["people"].drop("unscored").sum() == rates["assessed"]
    assert table.groupby("point")["rate"].sum().tolist() == pytest.approx([1, 1])


def test_bars_stack_from_mild_to_unscored_and_carry_their_shares() -> None:
    table = figure_tables.band_shares(bands_of_four())
    ax = figures.bands(table)
    at_one = [(bar.get_y(), bar.get_height()) for bar in ax.patches if round(bar.get_x() + 0.31) == 1]
    assert at_one == [(0, 0.5), (0.5, 0.25), (0.75, 0.25)]
    assert {"50 %", "25 %", "75 %", "mild", "severe", "unscored", "4"} <= set(texts(ax))
    with pytest.raises(ValueError, match="one chart shows one instrument"):
        figures.bands(pd.concat([table, table.assign(instrument="gad7")]))


def test_severer_bands_are_darker_for_any_number_of_bands() -> None:
    for bands in (["a", "b"], list("abcd"), list("abcde")):
        light = [sum(to_rgb(fill.face)) for fill in severity._fills([*bands, "unscored"]).values()][:-1]
        assert light == sorted(light, reverse=True)
        assert len(set(light)) == len(bands)


def test_ribbons_are_as_wide_as_the_people_who_went_that_way() -> None:
    ax = figures.band_flow(bands_of_four())
    ribbons = [
        patch for patch in ax.patches if hasattr(patch, "get_path") and len(patch.get_path().vertices) == 8
    ]
    heights = sorted(float(np.ptp(r.get_path().vertices[[0, 7], 1])) for r in ribbons)
    assert heights == [1, 1, 1, 1]
    assert ax.get_title(loc="left") == "4 people due"
    gone = bands_of_four().astype({"people": float})
    gone.loc[4, "people"] = np.nan
    assert figures.band_flow(gone).get_title(loc="left") == "3 people shown; 1 way hidden"


# Completeness


def test_a_cell_says_how_many_of_those_due_were_scored(study: ko.Study) -> None:
    rates = study.rates(at="session")
    table = figure_tables.completeness(rates)
    assert set(table["protocol"]) == {"esketamine", "im", "iv6"}  # at home there are no sessions
    one = table[
        (table["protocol"] == "iv6") & (table["instrument"] == "phq9") & (table["point"] == "3")
    ].iloc[0]
    states = study.points(at="session", criteria="phq9_response50").merge(
        study.courses[["patient", "course", "protocol"]], on=["patient", "course"]
    )
    own = states[(states["protocol"] == "iv6") & (states["point"] == "3") & (states["state"] != "not_due")]
    scored = own["state"].isin(["met", "not_met"])
    assert (one["due"], one["assessed"]) == (len(own), scored.sum())
    ax = figures.completeness(table, names={"phq9": "PHQ-9"})
    assert len(ax.patches) == len(table)
    assert f"{100 * one['share']:.0f} %\nof {len(own)}" in texts(ax)


def test_hidden_and_empty_cells_say_which_they_are() -> None:
    row = {"axis": "week", "instrument": "phq9", "analysis": "nri"}
    table = pd.DataFrame([
        row | {"point": "1", "due": np.nan, "assessed": np.nan, "share": np.nan},
        row | {"point": "2", "due": 0, "assessed": 0, "share": np.nan},
    ])[["axis", "instrument", "point", "due", "assessed", "share"]]  # fmt: skip
    assert texts(figures.completeness(table))[:2] == ["hidden", "–"]


# Means and single courses


def test_the_interval_of_a_mean_is_students() -> None:
    # R 4.3: x <- c(1,2,3,4,5); t.test(x)$conf.int gives 1.036757 4.963243
    table = figure_tables.mean_interval(pd.DataFrame({"n": [5], "mean": [3.0], "sd": [np.sqrt(2.5)]}))
    assert table[["low", "high"]].iloc[0].tolist() == pytest.approx([1.036757, 4.963243], abs=1e-6)
    ax = figures.trajectory(table.assign(axis="week", point="1", instrument="phq9"))
    assert ax.collections[0].get_segments()[0][:, 1].tolist() == pytest.approx([1.036757, 4.963243], abs=1e-6)


def test_lines_join_each_courses_own_scores(study: ko.Study) -> None:
    points = study.points(at="week", criteria="phq9_response50")
    lines = figure_tables.lines(points, study.baselines)
    assert len(lines) == points["state"].isin(["met", "not_met"]).sum() + lines["patient"].nunique()
    one = lines[lines["patient"] == lines["patient"].iloc[0]]
    table = figure_tables.mean_interval(study.trajectory(at="week").query("instrument == 'phq9'"))
    ax = figures.trajectory(table, lines=one.sample(frac=1, random_state=1))
    thin = min(ax.get_lines(), key=lambda line: line.get_linewidth())
    assert list(thin.get_ydata()) == one.sort_values("point", key=lambda p: p.astype(int))["score"].tolist()
    assert "do not share" in ax.get_title(loc="left")


@pytest.mark.parametrize(
    ("name", "unit", "threshold"),
    [
        ("phq9_response50", "percent", -50.0),
        ("pcl5_reliable15", "points", -15.0),
        ("phq9_remission_lt5", "points", np.nan),
    ],
)
def test_changes_are_those_of_the_courses_scored(
    study: ko.Study, name: str, unit: str, threshold: float
) -> None:
    criterion = study.plan.definitions.criterion(name)
    table = figure_tables.changes(study.points(at="end", criteria=name), study.baselines, criterion)
    rates = study.rates(at="end", criteria=name, analysis="observed").iloc[0]
    met = table["state"] == "met"
    assert (len(table), table["change"].notna().sum(), met.sum()) == (rates["due"], rates["n"], rates["met"])
    assert set(table["unit"]) == {unit}
    assert table["threshold"].iloc[0] == pytest.approx(threshold, nan_ok=True)
    shown = table["percent" if unit == "percent" else "change"].dropna()
    assert shown.is_monotonic_decreasing
    if not np.isnan(threshold):
        scored = table[table["change"].notna()]
        assert (shown <= threshold).tolist() == (scored["state"] == "met").tolist()
        ax = figures.waterfall(table)
        assert [bar.get_height() for bar in ax.patches] == shown.tolist()
        told = [text.get_text() for text in ax.get_legend().get_texts()]
        assert told[-1] == f"not scored, no bar: {len(table) - len(scored):,} of {len(table):,} due"


def test_a_change_is_of_one_point(study: ko.Study) -> None:
    criterion = study.plan.definitions.criterion("phq9_response50")
    with pytest.raises(ValueError, match="one point"):
        figure_tables.changes(study.points(at="week", criteria=criterion.name), study.baselines, criterion)


# The flow and the design


def test_the_flow_adds_up_step_by_step(study: ko.Study) -> None:
    table = figure_tables.consort(
        study.flow(), study.rates(at="end", criteria="phq9_response50"), instrument="phq9"
    )
    boxes = table[table["reason"] == ""].set_index("step")["n"]
    left = table[table["reason"] != ""].groupby("step")["n"].sum()
    assert (boxes["courses"] - left["eligible"], boxes["eligible"] - left["due"]) == (
        boxes["eligible"],
        boxes["due"],
    )
    assert boxes["due"] - left["scored"] == boxes["scored"]
    assert boxes["courses"] == len(study.courses)
    with pytest.raises(ValueError, match="no courses of madrs"):
        figure_tables.consort(study.flow(), instrument="madrs")


def test_reasons_after_the_last_box_are_drawn_too() -> None:
    table = pd.DataFrame({"step": ["started", "x"], "reason": ["", "left"], "n": [3, 1]})
    assert texts(figures.flow(table)) == ["started\n3", "left: 1"]


def test_the_design_shows_the_plans_windows() -> None:
    plan = ko.Plan()
    iv6 = plan.definitions.protocols["iv6"]
    table = figure_tables.design(plan, iv6)
    sessions = table[table["axis"] == "session"]
    assert sessions["day"].tolist() == list(iv6.planned_days)
    # The window of a session ends with the next dose; the last one's after the protocol's session window.
    assert sessions["to_day"].tolist() == [*iv6.planned_days[1:], iv6.planned_days[-1] + iv6.session_window]
    home = figure_tables.design(plan, plan.definitions.protocols["home"])
    assert home[home["axis"] == "end"][["from_day", "to_day", "day"]].values.tolist() == [[53, 59, 56]]
    ax = figures.design(table)
    assert len(ax.patches) == len(table) - 1
    assert {"day −14 to 0", "day 18 to 48, best 31", "due from day 66"} <= set(texts(ax))


# study.plot


def test_each_plot_draws_its_verbs_table(study: ko.Study) -> None:
    plot = study.plot
    single = [
        plot.retention(), plot.flow(), plot.completeness(), plot.design(), plot.curve("phq9_response50"),
        plot.durability("phq9_response50"), plot.control(), plot.funnel(), plot.benchmark("mcinnes2022"),
        plot.state_occupation(days=[0, 30, 60]), plot.from_reached(days=[0, 30, 60]), plot.partition(),
        plot.side_effects(), plot.waterfall(), plot.swimmer(most=5),
        plot.timeline(str(study.good_time()["patient"].iloc[0])), plot.sensitivity(imputations=2),
    ]  # fmt: skip
    assert all(isinstance(ax, mpl.axes.Axes) for ax in single)
    assert study.plot is plot
    assert "waterfall" in repr(plot)


def test_several_groups_have_a_chart_each(study: ko.Study) -> None:
    charts = study.plot.rates(at="end", by="site", criteria=["phq9_response50", "pcl5_reliable15"])
    assert len(charts) == 2 * study.courses["site"].nunique()
    names = [ax.get_title(loc="left") for ax in study.plot.bands(at="session", instruments="phq9")]
    assert names == ["esketamine", "im", "iv6"]
    means = study.plot.trajectory(at="session", lines=True)
    titles = [ax.get_title(loc="left") for ax in means]
    assert [title.partition(":")[0] for title in titles][:2] == ["esketamine, PCL-5", "esketamine, PHQ-9"]
    assert all("row-level: do not share" in title for title in titles)
    with pytest.raises(ValueError, match="do not fit one ax="):
        study.plot.measured(ax=mpl.pyplot.subplots()[1])
    with pytest.raises(ValueError, match="leave out by="):
        study.plot.trajectory(by="site", lines=True)


def test_names_replace_words(study: ko.Study) -> None:
    own = ko.Study(study.cohort)
    own.plot.names["iv6"] = "six infusions"
    assert "six infusions" in texts(own.plot.retention())


# What holds for all


def test_tables_of_courses_do_not_depend_on_the_order_of_rows(study: ko.Study) -> None:
    criterion = study.plan.definitions.criterion("phq9_response50")
    points, baselines = study.points(at="end", criteria=criterion.name), study.baselines
    mixed = [table.sample(frac=1, random_state=3) for table in (points, baselines)]
    pd.testing.assert_frame_equal(
        figure_tables.changes(points, baselines, criterion), figure_tables.changes(*mixed, criterion)
    )
    pd.testing.assert_frame_equal(figure_tables.lines(points, baselines), figure_tables.lines(*mixed))


def test_importing_the_figures_does_not_load_matplotlib() -> None:
    code = "import sys, ketaoutcomes.figures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
