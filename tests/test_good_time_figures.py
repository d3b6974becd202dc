"""What good-time charts show: the positions drawn and the words written, never pixels."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import ketaoutcomes as ko
from ketaoutcomes import figures, simulate
from ketaoutcomes.figures.good_time import BANDS, GROUPS, NAMES


@pytest.fixture(autouse=True)
def _no_figure_stays_open() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def study() -> ko.Study:
    trial = simulate.null(patients=300, weeks=13)
    return ko.Study(ko.Cohort.from_frames(trial.doses, trial.scores, trial.people))


@pytest.fixture(scope="module")
def occupied(study: ko.Study) -> pd.DataFrame:
    return study.state_occupation(days=range(85))


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def band(ax: Axes, name: str) -> np.ndarray:
    """The corners of one stacked band."""
    return next(one for one in ax.collections if one.get_label() == name).get_paths()[0].vertices


def heights(ax: Axes, name: str, day: float) -> float:
    """How thick a band is just after a day."""
    corners = band(ax, name)
    at = corners[np.isclose(corners[:, 0], day)][:, 1]
    return float(at.max() - at.min())


# State occupation


def test_bands_are_as_thick_as_their_shares_and_fill_the_chart(occupied: pd.DataFrame) -> None:
    ax = figures.state_occupation(occupied)
    shares = occupied[occupied["day"] == 10].set_index("state")["share"]
    for state in ("responded_before", "titrating", "lapsed"):
        assert heights(ax, state, 10) == pytest.approx(shares[state])
    assert band(ax, "lapsed")[:, 1].max() == pytest.approx(1)
    assert ax.get_ylim() == (0, 1)


def test_responded_bands_lie_at_the_foot_and_the_all_started_line_on_top_of_them(
    study: ko.Study, occupied: pd.DataFrame
) -> None:
    whole = study.all_started(days=range(85))
    ax = figures.state_occupation(occupied, all_started=whole, marks=(60,))
    line = next(one for one in ax.get_lines() if one.get_label() == "all_started")
    assert list(line.get_ydata()) == list(whole["share"])
    assert band(ax, "responded_before")[:, 1].min() == 0
    at = band(ax, "responded_after")
    top = at[np.isclose(at[:, 0], 84)][:, 1].max()
    assert top == pytest.approx(float(whole["share"].iloc[-1]))
    row = whole[whole["day"] == 60].iloc[0]
    assert f"{100 * row['share']:.0f} %" in texts(ax)
    bar = next(one for one in ax.collections if len(one.get_paths()[0].vertices) == 2)
    assert [corner[1] for corner in bar.get_segments()[0]] == [row["low"], row["high"]]


def test_bands_carry_their_names_and_the_chart_its_numbers(occupied: pd.DataFrame) -> None:
    written = texts(figures.state_occupation(occupied, names={"lapsed": "gone"}))
    assert {"responded before the level", "responded after it", "titrating", "gone"} <= set(written)
    assert "below it again" not in written  # nobody ever was
    assert "300 started" in written
    assert written.count("300") == 1  # followed on day 0
    followed = occupied[occupied["day"] == 28]["at_risk"].iloc[0]
    assert str(followed) in written


def test_names_of_thin_bands_are_moved_apart(occupied: pd.DataFrame) -> None:
    ax = figures.state_occupation(occupied[occupied["day"] < 3])
    names = set(NAMES.values())
    placed = sorted(text.xy[1] for text in ax.texts if text.get_text() in names)
    assert (np.diff(placed) > 0.05).all()
    assert max(placed) < 1


@pytest.mark.parametrize(
    ("reason", "words"), [("hidden", "hidden: small numbers"), ("not_followed", "too few")]
)
def test_missing_days_are_a_gap_that_says_why(occupied: pd.DataFrame, reason: str, words: str) -> None:
    late = occupied["day"] >= 50
    table = occupied.assign(share=occupied["share"].mask(late), reason=occupied["reason"].mask(late, reason))
    ax = figures.state_occupation(table)
    assert any(text.startswith(words) for text in texts(ax))
    assert np.isnan(band(ax, "lapsed")[:, 1]).sum() == 0
    assert band(ax, "lapsed")[:, 0].max() < 51


def test_a_chart_with_no_number_at_all_still_says_why(occupied: pd.DataFrame) -> None:
    table = occupied.assign(share=np.nan, n=np.nan, at_risk=np.nan, reason="hidden")
    written = texts(figures.state_occupation(table))
    assert "hidden: small numbers" in written
    assert "hidden started" in written


def test_several_groups_in_one_chart_are_refused(occupied: pd.DataFrame) -> None:
    two = pd.concat([occupied.assign(site="A"), occupied.assign(site="B")])
    with pytest.raises(ValueError, match="one chart shows one group"):
        figures.state_occupation(two)
    with pytest.raises(ValueError, match="no rows"):
        figures.state_occupation(occupied.iloc[:0])


def test_names_from_data_are_text_and_never_mathematics(occupied: pd.DataFrame) -> None:
    ax = figures.state_occupation(occupied, names={"lapsed": "$x^2$"})
    assert "$x^2$" in texts(ax)
    assert not any(text.get_parse_math() for text in ax.texts)
    ax.figure.savefig("/dev/null", format="png")


def test_neighbouring_bands_differ_in_brightness_or_hatching() -> None:
    def grey(colour: str) -> float:
        red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
        return 0.299 * red + 0.587 * green + 0.114 * blue

    for fills in (BANDS, GROUPS):
        listed = list(fills.values())
        for one, other in pairwise(listed):
            assert abs(grey(one.face) - grey(other.face)) > 20 or one.hatch != other.hatch


# From the reached day


def test_what_followed_the_level_is_titled_by_whom_it_describes(study: ko.Study) -> None:
    table = study.from_reached(days=range(61))
    ax = figures.from_reached(table)
    n = table["n"].iloc[0]
    assert ax.get_title(loc="left") == f"Among those who reached it unresponded (n = {n})"
    responded = table[table["event"] == "responded"]
    assert list(ax.get_lines()[0].get_ydata()) == list(responded["share"])
    assert {"responded", "lapsed first"} <= set(texts(ax))


def test_a_delayed_entry_curve_shows_where_it_may_start(study: ko.Study) -> None:
    table = study.delayed_entry(days=range(61))
    ax = figures.from_reached(table)
    drawn = np.array(ax.get_lines()[0].get_ydata(), dtype=float)
    assert np.isnan(drawn[:28]).all()
    assert drawn[29] == 0
    assert "too few at risk" in texts(ax)


# The partition


def groups(**changed: float) -> pd.DataFrame:
    mature = {"responded_before": 80, "responded_after": 120, "trial_complete": 3, "stopped_short": 90,
              "not_evaluable": 7}  # fmt: skip
    rows = [("mature", group, n) for group, n in (mature | changed).items()]
    rows += [("younger", group, n) for group, n in zip(mature, (10, 20, 0, 30, 60), strict=True)]
    table = pd.DataFrame(rows, columns=["period", "group", "n"])
    table["of"] = np.where(table["period"] == "mature", 300, 120)
    return table.assign(share=np.where(table["period"] == "mature", table["n"] / 300, np.nan))


def test_the_partition_is_one_bar_per_period_its_segments_as_long_as_their_numbers() -> None:
    ax = figures.partition(groups())
    bars = [(bar.get_y(), bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert [width for y, _, width in bars if y < 0.5] == [80, 120, 3, 90, 7]
    assert [x for y, x, _ in bars if y < 0.5] == [0, 80, 200, 203, 293]
    assert [width for y, _, width in bars if y > 0.5] == [10, 20, 30, 60]  # a group of nobody has no segment
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "mature courses\n300", "younger courses\n120",
    ]  # fmt: skip


def test_percentages_stand_in_the_mature_bar_only() -> None:
    written = texts(figures.partition(groups()))
    assert "120\n40 %" in written
    assert "trial complete, no response: 3 · 1 %" in written  # too narrow for its number
    assert "60" in written
    assert not any("%" in text and "60" in text for text in written)


def test_flags_of_the_partition_do_not_cover_one_another() -> None:
    ax = figures.partition(groups())
    poles = {line.get_xdata()[0]: line.get_ydata()[1] for line in ax.get_lines()}
    ordered = [height for _, height in sorted(poles.items())]
    names = [text for text in texts(ax) if text.startswith(("resp", "trial", "stopped", "not"))]
    assert len(names) == 5
    assert len(set(ordered)) >= 4


def test_hidden_groups_are_named_and_not_drawn() -> None:
    ax = figures.partition(groups(trial_complete=np.nan, not_evaluable=np.nan))
    assert "hidden: trial complete, no response, not evaluable" in texts(ax)
    assert [bar.get_width() for bar in ax.patches if bar.get_y() < 0.5] == [80, 120, 90]


# Single courses


def test_every_lane_shows_its_own_doses_scores_stretches_and_response(study: ko.Study) -> None:
    history, stretches = study.history(), study.stretches()
    table = study.good_time()
    chosen = table[table["status"] == "responded_1"].head(2).sort_values("patient", ascending=False)
    ax = figures.swimmer(history, stretches, chosen)
    assert ax.get_title(loc="left") == "Course by course (row-level: do not share)"
    first = chosen.iloc[0]
    own = history[history["patient"] == first["patient"]]
    doses = own[own["kind"] == "dose"]
    strokes = next(one for one in ax.collections if one.get_label() == "dose").get_segments()
    tall = {float(stroke[0][0]): abs(stroke[0][1] - stroke[1][1]) for stroke in strokes if stroke[0][1] < 1}
    assert set(tall) == set(doses["day"].astype(float))
    assert tall[28.0] == pytest.approx(5 * tall[0.0], rel=0.01)  # 100 and 20 of a level of 100
    stars = next(line for line in ax.get_lines() if line.get_label() == "first response")
    assert list(stars.get_xdata()) == chosen["response_day"].tolist()
    assert list(stars.get_ydata()) == [0, 1]
    shaded = [(bar.get_x(), bar.get_width()) for bar in ax.patches if bar.get_y() < 0.5]
    expected = stretches[(stretches["patient"] == first["patient"]) & (stretches["state"] != "lapsed")]
    assert shaded == [(row.from_day, row.to_day - row.from_day) for row in expected.itertuples()]


def test_lanes_carry_no_codes_and_too_many_are_refused(study: ko.Study) -> None:
    history, stretches, table = study.history(), study.stretches(), study.good_time()
    ax = figures.swimmer(history, stretches, table.head(5))
    codes = set(table["patient"])
    key = [text.get_text() for text in ax.get_legend().get_texts()]
    assert not any(code in text for text in [*texts(ax), *key] for code in codes)
    assert "at an adequate dose" in key
    with pytest.raises(ValueError, match="61 lanes"):
        figures.swimmer(history, stretches, table.head(61))


def test_a_timeline_stands_scores_over_doses_and_names_its_days(study: ko.Study) -> None:
    history, stretches, table = study.history(), study.stretches(), study.good_time()
    one = table[table["status"] == "responded_1"].head(1)
    ax = figures.dose_timeline(history, stretches, one)
    above, below = ax.child_axes
    own = history[history["patient"] == one["patient"].iloc[0]]
    scores, doses = own[own["kind"] == "score"], own[own["kind"] == "dose"]
    assert list(above.get_lines()[0].get_ydata()) == scores["value"].tolist()
    strokes = below.collections[0].get_segments()
    assert [stroke[1][1] for stroke in strokes] == doses["of_level"].tolist()
    day = int(one["response_day"].iloc[0])
    assert {"level reached, day 28", f"first response, day {day}"} <= set(texts(above))
    assert "row-level: do not share" in ax.get_title(loc="left")
    assert one["patient"].iloc[0] not in " ".join([*texts(above), *texts(below)])


def test_a_timeline_is_of_one_course(study: ko.Study) -> None:
    with pytest.raises(ValueError, match="holds 2"):
        figures.dose_timeline(study.history(), study.stretches(), study.good_time().head(2))


def test_a_course_without_a_level_shows_its_amounts(study: ko.Study) -> None:
    history = study.history().assign(of_level=np.nan)
    one = study.good_time().head(1)
    ax = figures.dose_timeline(history, study.stretches().iloc[:0], one)
    strokes = ax.child_axes[1].collections[0].get_segments()
    assert strokes[0][1][1] == 20
    assert "dose" in texts(ax.child_axes[1])


# The table they are drawn from


def test_history_counts_days_from_each_courses_first_dose() -> None:
    doses = pd.DataFrame({"patient": "a", "day": [3, 10, 200, 207], "dose": [150.0, 270, 100, 300],
                          "unit": "mg", "route": "sublingual"})  # fmt: skip
    scores = pd.DataFrame({"patient": "a", "day": [1, 10, 199, 207], "phq9": [20, 12, 18, 5]})
    people = pd.DataFrame({"patient": ["a"], "target_dose": [300.0], "target_unit": ["mg"],
                           "target_day": [0], "cut_day": [400]})  # fmt: skip
    study = ko.Study(ko.Cohort.from_frames(doses, scores, people))
    table = study.history()
    assert table[["course", "day", "kind", "value"]].to_numpy().tolist() == [
        [1, -2, "score", 20], [1, 0, "dose", 150], [1, 7, "score", 12], [1, 7, "dose", 270],
        [1, 196, "score", 18],
        [2, -1, "score", 18], [2, 0, "dose", 100], [2, 7, "score", 5], [2, 7, "dose", 300],
    ]  # fmt: skip
    given = table[table["kind"] == "dose"]
    assert given["of_level"].tolist() == pytest.approx([0.5, 0.9, 1 / 3, 1])
    assert len(study.history(patients="b")) == 0
