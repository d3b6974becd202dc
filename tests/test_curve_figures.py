"""Curves as charts: what is drawn is what the tables hold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import ketaoutcomes as ko
from ketaoutcomes import figures
from ketaoutcomes.results import response_curves

CRITERION = "phq9_response50"


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def study() -> ko.Study:
    return ko.Study(ko.load_sample())


def said(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_the_line_is_the_estimate_and_stops_where_the_table_does(study):
    table = study.curve(CRITERION)
    ax = figures.curve(table)
    line, stopped = ax.get_lines()
    assert np.array_equal(line.get_ydata(), table["estimate"], equal_nan=True)
    assert np.array_equal(stopped.get_ydata(), table["stopped_share"], equal_nan=True)
    words = said(ax)
    assert "too few at risk" in words
    assert "phq9 response50 (n = 1,052)" in words
    at = table.set_index("day")["at_risk"]
    assert [f"{at[day]:,}" for day in (0, 56, 112)] == words[1:4]
    ax.figure.canvas.draw()


def test_lines_differ_without_colour_and_number_their_rows(study):
    table = study.curve(CRITERION, by="site", days=range(0, 183, 7))
    ax = figures.curve(table)
    assert len({line.get_linestyle() for line in ax.get_lines()}) == 3
    words = said(ax)
    assert {"1", "2", "3"} <= set(words)
    assert sum("(n = " in text for text in words) == 3
    assert not any(text == "lapsed first" for text in words)


def test_sessions_are_points_and_a_protocol_without_them_draws_nothing(study):
    table = study.curve(CRITERION, clock="session")
    ax = figures.curve(table)
    home = table["protocol"] == "home"
    assert table.loc[home, "reason"].tolist() == ["not_visit_based"]
    drawn = [line for line in ax.get_lines() if len(line.get_xdata())]
    assert [len(line.get_xdata()) for line in drawn] == [8, 1, 4, 6]
    ax.figure.canvas.draw()


def test_durability_falls_from_everyone(study):
    found = study.durability(CRITERION, relapse="lost")
    ax = figures.durability(found.curve)
    (line,) = ax.get_lines()
    assert line.get_ydata()[0] == 1
    assert np.array_equal(line.get_ydata(), found.curve["no_relapse"], equal_nan=True)
    assert "lost (n = 467)" in said(ax)


def test_early_responses_are_drawn_on_the_days_that_are_told(study):
    table = study.kept()
    table.loc[table["day"] == 28, ["no_relapse", "low", "high", "reason"]] = [
        np.nan,
        np.nan,
        np.nan,
        "hidden",
    ]
    ax = figures.kept(table)
    (line,) = [line for line in ax.get_lines() if len(line.get_xdata())]
    assert line.get_xdata().tolist() == [0, 56, 84]
    assert np.array_equal(line.get_ydata(), table["no_relapse"].dropna())
    assert "hidden: small numbers" not in said(ax)
    with pytest.raises(ValueError, match="2 groups"):
        figures.kept(pd.concat([table, table.assign(criterion="another")]))


def test_axes_given_are_the_axes_returned(study):
    _, ax = plt.subplots()
    assert figures.curve(study.curve(CRITERION, days=[0, 7, 14]), ax=ax) is ax


def test_what_cannot_be_drawn_is_refused(study):
    with pytest.raises(ValueError, match="no rows"):
        figures.curve(study.curve(CRITERION).iloc[:0])
    many = pd.concat([study.curve(CRITERION, days=[0]).assign(criterion=name) for name in "abcdefg"])
    with pytest.raises(ValueError, match="7 lines"):
        figures.curve(many)


def test_hidden_counts_are_named(study):
    tally = study.tally(at="end", criteria=CRITERION, tables=("curves",))
    (shown,) = ko.protect([tally])
    ax = figures.curve(response_curves.curve(shown))
    assert "hidden: small numbers" in said(ax)
    assert not any(text == "0" for text in said(ax))
