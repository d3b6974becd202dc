"""What charts show: the positions drawn and the words written, never pixels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import report_tables
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from ketaoutcomes import figures
from ketaoutcomes.figures.axes import STYLES


@pytest.fixture(autouse=True)
def _no_figure_stays_open() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def sessions(protocol: str, instrument: str = "phq9") -> pd.DataFrame:
    table = report_tables.by_session()
    return table[(table["protocol"] == protocol) & (table["instrument"] == instrument)].drop(
        columns="protocol"
    )


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def lines(ax: Axes) -> list[list[float]]:
    """The rates of each line that is drawn through, in the order drawn."""
    return [list(line.get_ydata()) for line in ax.get_lines() if line.get_linestyle() != "None"]


def test_lines_stand_at_the_rates_of_everyone_due_and_hollow_marks_at_those_of_the_scored() -> None:
    table = sessions("iv6")
    ax = figures.rates(table)
    halved = table[table["criterion"] == "phq9_response50"]
    assert lines(ax)[0] == list(halved.loc[halved["analysis"] == "nri", "rate"])
    hollow = [list(line.get_ydata()) for line in ax.get_lines() if line.get_linestyle() == "None"]
    assert hollow[0] == list(halved.loc[halved["analysis"] == "observed", "rate"])


def test_intervals_are_drawn_as_given() -> None:
    table = sessions("iv6")
    first = table[(table["criterion"] == "phq9_response50") & (table["analysis"] == "nri")].iloc[0]
    bars = figures.rates(table).collections[0].get_segments()
    assert [end[1] for end in bars[0]] == [first["low"], first["high"]]


def test_numbers_due_and_scored_stand_below_and_lines_carry_their_names() -> None:
    ax = figures.rates(
        sessions("iv6"), names={"phq9_response50": "halved", "phq9_remission_lt5": "remission"}
    )
    assert texts(ax) == [
        "session",
        *("due", "412", "412", "412", "412", "412", "412"),
        *("scored", "389", "371", "352", "340", "322", "309"),
        *("remission", "halved"),
    ]


def test_a_hidden_rate_is_a_gap_and_never_a_zero() -> None:
    table = sessions("im", "pcl5")
    ax = figures.rates(table)
    below33 = lines(ax)[1]
    assert np.isnan(below33[0])
    assert not np.isnan(below33[1:]).any()
    assert "hidden" not in texts(ax)  # the other line has a number there
    assert "0" not in texts(ax)


def test_a_point_where_every_rate_is_hidden_keeps_its_place() -> None:
    table = report_tables.hidden(sessions("iv6"), sessions("iv6")["point"] == "1")
    ax = figures.rates(table)
    assert "hidden" in texts(ax)
    low, high = ax.get_xlim()
    assert low < 1 < 6 < high


def test_names_from_data_are_text_and_never_mathematics() -> None:
    table = sessions("iv6").assign(site="$x^2$ \u202e<script>")
    table = pd.concat([table, table.assign(site="=cmd|' /C calc'!A0 {{7*7}}")])
    ax = figures.rates(table[table["criterion"] == "phq9_response50"])
    named = [text for text in ax.texts if text.get_text().startswith(("$", "="))]
    assert [text.get_text() for text in named] == ["$x^2$ <script>", "=cmd|' /C calc'!A0 {{7*7}}"]
    assert not any(text.get_parse_math() for text in ax.texts)
    assert not any(tick.get_parse_math() for tick in ax.get_xticklabels())


def test_too_many_lines_are_refused_with_what_to_choose() -> None:
    with pytest.raises(ValueError, match=r"12 lines \(protocol × instrument × criterion\).*choose criteria="):
        figures.rates(report_tables.by_session())


def test_panels_give_each_group_and_instrument_a_chart_of_its_own() -> None:
    drawn = figures.panels(report_tables.by_session(), names={"phq9": "PHQ-9", "pcl5": "PCL-5"})
    assert [ax.get_title(loc="left") for ax in drawn[:3]] == ["iv6, PHQ-9", "iv6, PCL-5", "im, PHQ-9"]
    assert len(drawn) == 6


@pytest.mark.parametrize(
    "draw", [figures.rates, figures.retention, figures.trajectory, figures.measured, figures.flow]
)
def test_an_empty_table_is_refused(draw: object) -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        draw(pd.DataFrame())  # type: ignore[operator]


def test_one_chart_shows_one_axis() -> None:
    table = pd.concat([sessions("iv6"), sessions("iv6").assign(axis="week")])
    with pytest.raises(ValueError, match="one chart shows one axis; this table holds session, week"):
        figures.rates(table)


def test_retention_names_each_protocol_at_its_end() -> None:
    table = report_tables.retention()
    ax = figures.retention(table)
    assert [t for t in texts(ax) if t in {"iv6", "im", "esketamine"}] == ["iv6", "im", "esketamine"]
    assert lines(ax)[1] == list(table.loc[table["protocol"] == "im", "rate"])


def test_a_mean_starts_at_the_baseline() -> None:
    table = report_tables.trajectory()
    ax = figures.trajectory(table[table["instrument"] == "pcl5"])
    assert lines(ax)[0][0] == 49.1
    assert ax.get_xticklabels()[0].get_text() == "0"


def test_bars_of_who_was_scored_say_their_counts() -> None:
    table = report_tables.measured()
    ax = figures.measured(table[table["instrument"] == "pcl5"])
    assert [text.replace("\u202f", " ") for text in texts(ax)] == [
        "902",
        "325 (36 %)",
        "310 (34 %)",
        "236 (26 %)",
    ]
    assert [bar.get_width() for bar in ax.patches] == [902, 325, 310, 236]


def test_the_flow_is_drawn_down_the_page() -> None:
    table = pd.DataFrame(
        {"step": ["series", "series", "due"], "reason": ["", "no_baseline", ""], "n": [90, float("nan"), 70]}
    )
    ax = figures.flow(table)
    assert texts(ax) == ["series\n90", "no baseline: hidden", "due\n70"]
    heights = [text.xy[1] for text in ax.texts]
    assert heights == sorted(heights, reverse=True)


def test_lines_and_the_text_in_their_colour_can_be_read_on_white() -> None:
    # WCAG 2.2, 1.4.3 and 1.4.11: 4.5 : 1 for text, 3 : 1 for lines. Relative luminance as defined there.
    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for style in STYLES:
        assert 1.05 / (luminance(style.colour) + 0.05) >= 4.5
    assert len({(style.marker, style.dash) for style in STYLES}) == len(STYLES)


def test_drawing_on_given_axes_leaves_global_style_alone() -> None:
    before = dict(plt.rcParams)
    _, ax = plt.subplots()
    assert figures.rates(sessions("iv6"), ax=ax) is ax
    assert dict(plt.rcParams) == before
