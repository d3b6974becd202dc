"""Single courses as charts: a lane per course, and one course's doses and scores. Row-level: not for reports.

Finished tables in, Axes out, names as text. These charts show people's own records; titles
say so, they carry no codes, and they belong in a notebook.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.figures.axes import (
    INK,
    LETTER,
    NO_NAMES,
    QUIET,
    SMALL,
    STYLES,
    as_text,
    blank_axes,
    readable,
    require_one,
    require_rows,
    sized,
    title,
    under,
    write,
)
from ketaoutcomes.figures.good_time import BANDS, NAMES
from ketaoutcomes.results.wording import count, is_number, label
from ketaoutcomes.shown import WrongChoice

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

ROW_LEVEL = "row-level: do not share"
MOST_LANES = 60
"""More lanes than this in one chart are too thin to read; `swimmer` refuses and says so."""

_FAINT = "#b9c0c6"
_PALE = "#b5cfdf"
_MANY = 100  # more bars than this stand without gaps
_FLOOR = 0.32  # of a lane's height, below its middle: where doses and scores stand


def swimmer(
    history: pd.DataFrame,
    stretches: pd.DataFrame,
    good_time: pd.DataFrame,
    *,
    ax: Axes | None = None,
) -> Axes:
    """A lane per course: dose size, adequate stretches shaded, scores, response. Row-level, notebooks only.

    `history` is `study.history()`, `stretches` is `study.stretches()`, and `good_time` the rows of
    `study.good_time()` to draw, from top to bottom in their order. Lanes carry no codes. Days count from the
    first dose. A dose is a stroke as tall as its share of the level.

    Raises `ValueError` for an empty table or more than 60 lanes.

    >>> chosen = study.good_time().head(3)
    >>> swimmer(study.history(), study.stretches(), chosen).get_title(loc="left")
    'Course by course (row-level: do not share)'
    """
    require_rows(good_time)
    if len(good_time) > MOST_LANES:
        raise ValueError(f"{len(good_time)} lanes are too thin to read; draw at most {MOST_LANES} courses")
    lanes = {key: at for at, key in enumerate(zip(good_time["patient"], good_time["course"], strict=True))}
    ax = sized(ax, 7.6, 1.3 + 0.2 * len(lanes))
    for *key, state, begin, end in _rows(stretches, ["patient", "course", "state", "from_day", "to_day"]):
        if tuple(key) in lanes:
            _stretch(ax, lanes[tuple(key)], state, begin, end)
    mine = history[[key in lanes for key in zip(history["patient"], history["course"], strict=True)]]
    at = np.array([lanes[key] for key in zip(mine["patient"], mine["course"], strict=True)], dtype=float)
    dose = (mine["kind"] == "dose").to_numpy()
    day = mine["day"].to_numpy(dtype=float)
    tall = 0.6 * np.clip(np.nan_to_num(mine["of_level"].to_numpy(dtype=float), nan=1.0), 0.08, 1.1)
    ax.vlines(
        day[dose], at[dose] + _FLOOR, at[dose] + _FLOOR - tall[dose], color=INK, linewidth=1.3, label="dose"
    )
    ax.plot(
        day[~dose], at[~dose] + _FLOOR, linestyle="none", marker="o", markersize=3.4, color="white",
        markeredgecolor=INK, markeredgewidth=0.7, label="score",
    )  # fmt: skip
    responded = good_time["response_day"].notna().to_numpy()
    ax.plot(
        good_time["response_day"].to_numpy(dtype=float, na_value=np.nan)[responded],
        np.flatnonzero(responded), linestyle="none", marker="*", markersize=10, color=STYLES[0].colour,
        markeredgecolor="white", markeredgewidth=0.7, label="first response",
    )  # fmt: skip
    ax.set_ylim(len(lanes) - 0.4, -0.6)
    ax.set_yticks([])
    ax.set_xlim(min(-7.0, float(day.min()) if len(day) else 0.0) - 2, None)
    under(ax, "days since the first dose", rows=1)
    _swimmer_key(ax, len(lanes))
    title(ax, f"Course by course ({ROW_LEVEL})")
    return ax


def dose_timeline(
    history: pd.DataFrame,
    stretches: pd.DataFrame,
    good_time: pd.DataFrame,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Doses and scores of one course on one clock, level and response marked. Row-level, notebooks only.

    `history` is `study.history()`, `stretches` is `study.stretches()` and `good_time` one row of
    `study.good_time()`. Scores stand above, doses below as a share of the level, where it is known.

    Raises `ValueError` unless `good_time` has exactly one row.

    >>> one = study.good_time().head(1)
    >>> ax = dose_timeline(study.history(), study.stretches(), one)
    >>> len(ax.child_axes)
    2
    """
    if len(good_time) != 1:
        hint = "" if len(good_time) else "; study.good_time() lists the courses that can be drawn"
        raise WrongChoice(f"a timeline shows one course; this good-time table holds {len(good_time)}{hint}")
    one = good_time.iloc[0]
    own = history[(history["patient"] == one["patient"]) & (history["course"] == one["course"])]
    spans = stretches[(stretches["patient"] == one["patient"]) & (stretches["course"] == one["course"])]
    require_rows(own)
    ax = sized(ax, 7.0, 4.6)
    ax.axis("off")
    above = blank_axes(ax.inset_axes((0.0, 0.42, 1.0, 0.58)))
    below = blank_axes(ax.inset_axes((0.0, 0.0, 1.0, 0.34), sharex=above))
    scores, doses = own[own["kind"] == "score"], own[own["kind"] == "dose"]
    above.plot(
        scores["day"], scores["value"], color=INK, linewidth=1.4, marker="o", markersize=5,
        markeredgecolor="white", clip_on=False,
    )  # fmt: skip
    above.set_ylim(0, 1.25 * max(float(scores["value"].max()), 1.0) if len(scores) else 1.0)
    above.locator_params(axis="y", integer=True)
    above.tick_params(labelbottom=False)
    known = doses["of_level"].notna().any()
    below.vlines(
        doses["day"], 0, doses["of_level" if known else "value"], color=INK, linewidth=3.0, clip_on=False
    )
    for state, begin, end in _rows(spans, ["state", "from_day", "to_day"]):
        for panel in (above, below):
            panel.axvspan(begin, end, facecolor=BANDS[state].face, alpha=0.55, linewidth=0, zorder=0)
    _dose_panel(below, doses, one, known=bool(known))
    _marks(above, one)
    below.set_xlim(float(own["day"].min()) - 2, float(max(own["day"].max(), spans["to_day"].max())) + 2)
    write(above, 0.0, 1.0, readable(str(one["instrument"])), QUIET, va="bottom", pad=0, drop=-3,
          xycoords="axes fraction")  # fmt: skip
    _stretch_names(above, spans)
    under(below, "days since the first dose", rows=1)
    title(ax, f"Doses and scores of one course ({ROW_LEVEL})", pad=22)
    return ax


def waterfall(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = NO_NAMES) -> Axes:
    """A bar per course from its baseline: how far the score fell or rose. Row-level, notebooks only.

    `table` is a `figure_tables.changes` table of one criterion. Bars stand in the table's order, filled where
    the criterion is met and pale where not; a dashed line marks the change from which on it is, where the
    criterion looks at change. Courses without a score have no bar: how many they are is written.

    Raises `ValueError` for an empty table, several criteria, or a table in which nobody was scored.

    >>> import pandas as pd
    >>> ax = waterfall(pd.DataFrame({"criterion": ["phq9_response50"] * 3, "unit": ["percent"] * 3,
    ...     "state": ["not_met", "met", "missing"], "change": [2.0, -10.0, None],
    ...     "percent": [10.0, -60.0, None], "threshold": [-50.0] * 3}))
    >>> [float(bar.get_height()) for bar in ax.patches]
    [10.0, -60.0]
    """
    require_rows(table)
    criterion, unit = require_one(table, "criterion"), require_one(table, "unit")
    value = "percent" if unit == "percent" else "change"
    scored = table[table[value].notna()]
    require_rows(scored)
    ax = blank_axes(ax)
    heights = scored[value].to_numpy(dtype=float)
    met = (scored["state"] == "met").to_numpy()
    colours = np.where(met, STYLES[0].colour, _PALE)
    wide = 1.0 if len(scored) > _MANY else 0.85
    ax.bar(np.arange(len(scored)), heights, width=wide, color=list(colours), linewidth=0)
    ax.axhline(0, color=INK, linewidth=1)
    threshold = float(table["threshold"].iloc[0])
    if is_number(threshold):
        sign = f"{threshold:g}".replace("-", "\N{MINUS SIGN}")
        told = f"{sign} %" if value == "percent" else sign
        ax.axhline(threshold, color=INK, linewidth=1, linestyle="--")
        write(ax, 1.0, threshold, told, INK, va="center", pad=4, xycoords=ax.get_yaxis_transform())
    ax.set_xlim(-0.6, len(scored) - 0.4)
    ax.set_xticks([])
    ax.spines["bottom"].set_visible(False)
    name = names.get(criterion, readable(criterion))
    fills = [
        (STYLES[0].colour, f"{name}: {count(met.sum())} of {count(len(scored))} scored"),
        (_PALE, f"not met: {count((~met).sum())}"),
        ("none", f"not scored, no bar: {count(len(table) - len(scored))} of {count(len(table))} due"),
    ]
    _fills_below(ax, fills)
    axis = "change from baseline, %" if value == "percent" else "change from baseline, points"
    write(ax, 0.0, 1.0, axis, QUIET, va="bottom", pad=0, drop=-3, xycoords="axes fraction")
    title(ax, f"Change, course by course ({ROW_LEVEL})", pad=20)
    return ax


def _fills_below(ax: Axes, named: list[tuple[str, str]]) -> None:
    """What the fills mean, and who has no bar, under the chart."""
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=colour, edgecolor="none", label=label(words)) for colour, words in named]
    key = ax.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, -0.02), frameon=False, fontsize=SMALL,
        labelcolor=QUIET, handlelength=1.0, borderaxespad=0,
    )  # fmt: skip
    as_text(key.get_texts())


def _stretch(ax: Axes, lane: int, state: str, begin: float, end: float) -> None:
    """A stretch of one lane: adequate and dipped as bands, titrating as a thinner one, lapse as a line."""
    fill = BANDS[state]
    if state == "lapsed":
        ax.plot(
            [begin, end], [lane + _FLOOR, lane + _FLOOR], color=_FAINT, linewidth=1, linestyle=":", zorder=1
        )
        return
    thick = 0.72 if state in ("adequate", "dipped") else 0.29
    ax.barh(
        lane + _FLOOR - thick / 2, end - begin, left=begin, height=thick, color=fill.face, hatch=fill.hatch,
        edgecolor=QUIET if fill.hatch else "none", linewidth=0, zorder=1,
    )  # fmt: skip


def _swimmer_key(ax: Axes, lanes: int) -> None:
    """What the marks and bands of the lanes mean, above them."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    bands = [
        Patch(facecolor=BANDS[s].face, hatch=BANDS[s].hatch, edgecolor=QUIET, linewidth=0, label=NAMES[s])
        for s in ("titrating", "adequate", "dipped")
    ]
    lapsed = Line2D([], [], color=_FAINT, linestyle=":", label=NAMES["lapsed"])
    stroke = Line2D([], [], linestyle="none", marker="|", color=INK, markersize=9, label="dose, by its size")
    marks = [line for line in ax.get_lines() if line.get_label() in ("score", "first response")]
    key = ax.legend(
        handles=[*bands, lapsed, stroke, *marks], loc="upper left", ncols=4,
        bbox_to_anchor=(0, -0.45 / (0.2 * lanes + 0.3)),
        frameon=False, fontsize=SMALL - 1, labelcolor=QUIET, handlelength=1.4, columnspacing=1.4,
        borderaxespad=0,
    )  # fmt: skip
    as_text(key.get_texts())


def _dose_panel(ax: Axes, doses: pd.DataFrame, one: pd.Series[Any], *, known: bool) -> None:
    """The scale of the lower panel: shares of the level where known, else amounts."""
    if not known:
        ax.set_ylim(bottom=0)
        write(ax, 0.0, 1.0, "dose", QUIET, va="bottom", pad=0, drop=-3, xycoords="axes fraction")
        return
    ax.set_ylim(0, max(1.1, float(doses["of_level"].max()) * 1.05))
    ax.set_yticks([0, 0.5, 1.0], ["0", "50", "100 %"])
    units = doses["unit"].dropna()
    unit = f" {units.iloc[0]}" if len(units) else ""
    level = f"dose, as a share of the level ({one['level']:g}{unit})"
    write(ax, 0.0, 1.0, level, QUIET, va="bottom", pad=0, drop=-3, xycoords="axes fraction")


def _marks(ax: Axes, one: pd.Series[Any]) -> None:
    """The day the level was reached and the day of the first response, where there are such days."""
    for height, column, words in (
        (0.97, "reached_day", "level reached"),
        (0.87, "response_day", "first response"),
    ):
        if is_number(one[column]):
            day = float(one[column])
            ax.axvline(day, color=QUIET, linewidth=1.0, linestyle="--", zorder=0.5)
            write(ax, day, height, f"{words}, day {day:.0f}", INK, va="top", pad=4,
                  xycoords=ax.get_xaxis_transform())  # fmt: skip


def _stretch_names(ax: Axes, spans: pd.DataFrame) -> None:
    """The name of each kind of stretch once, at the foot of its longest."""
    wide = float(ax.get_xlim()[1] - ax.get_xlim()[0])
    longest = spans.assign(days=spans["to_day"] - spans["from_day"]).sort_values("days", kind="stable")
    for state, begin, end in _rows(
        longest.drop_duplicates("state", keep="last"), ["state", "from_day", "to_day"]
    ):
        name = NAMES[state]
        if len(name) * LETTER * wide <= end - begin:
            write(ax, (begin + end) / 2, 0.0, name, INK, va="bottom", ha="center", pad=0,
                  drop=-3)  # fmt: skip


def _rows(table: pd.DataFrame, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    return zip(*(table[column].tolist() for column in columns), strict=True)
