"""Rates, retention and mean scores at each point of one axis, as charts.

Nothing is computed here: rates, intervals and counts arrive finished, and a missing number is drawn as a gap
that says `hidden`. Lines differ by colour, marker and dash and carry their name at their end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ketaoutcomes.figures.axes import (
    NO_NAMES,
    QUIET,
    blank_axes,
    draw_curve,
    draw_line,
    keys_of,
    last_known,
    lines_of,
    multiples,
    name_lines,
    percent_axis,
    places_of,
    point_axis,
    readable,
    require_one,
    require_rows,
    say_hidden,
    title,
    write,
    write_below,
)
from ketaoutcomes.results.wording import HIDDEN

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def rates(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = NO_NAMES) -> Axes:
    """Rates with their intervals at each point of one axis, one line per combination of what varies.

    `table` is a `course_results.rates` table of one axis. Where it holds both, the line is the rate of
    everyone due (nri) and hollow marks are that of those scored. `names` gives readers' words for ids. Below
    the chart stand the numbers due and scored, where all lines share them.

    Raises `ValueError` for an empty table, several axes, or more than six lines; see `panels`.

    >>> import pandas as pd
    >>> row = {"axis": "session", "criterion": "phq9_response50", "analysis": "nri", "reason": ""}
    >>> ax = rates(pd.DataFrame([
    ...     row | {"point": "1", "due": 80, "rate": 0.25, "low": 0.17, "high": 0.35},
    ...     row | {"point": "2", "due": 80, "rate": 0.40, "low": 0.30, "high": 0.51},
    ... ]))
    >>> [float(y) for y in ax.get_lines()[0].get_ydata()], [text.get_text() for text in ax.texts]
    ([0.25, 0.4], ['session', 'due', '80', '80', 'phq9 response50'])
    """
    require_rows(table)
    axis = require_one(table, "axis")
    shown, beside = _analyses(table)
    points = list(dict.fromkeys(shown["point"].astype(str)))
    places = dict(zip(points, places_of(axis, points), strict=True))
    ax = blank_axes(ax)
    ends = []
    for style, shift, name, rows in lines_of(shown, names, list(places.values())):
        for other in _alike(beside, rows):
            at = [places[str(point)] + shift for point in other["point"]]
            ax.plot(
                at, other["rate"], color=style.colour, linestyle="none", marker=style.marker, markersize=4.5,
                markerfacecolor="white", markeredgewidth=1, clip_on=False,
            )  # fmt: skip
        at = [places[str(point)] + shift for point in rows["point"]]
        draw_line(ax, style, at, rows)
        ends.append((name, style.colour, last_known(rows["rate"])))
    say_hidden(ax, shown, places)
    percent_axis(ax)
    point_axis(ax, axis, places, shown, {"due": "due", "assessed": "scored"})
    name_lines(ax, ends, gap=0.085)
    return ax


def panels(table: pd.DataFrame, *, names: Mapping[str, str] = NO_NAMES) -> list[Axes]:
    """A chart of rates for each group and instrument of a table that is too much for one, two in a row.

    `table` and `names` are as for `rates`; each chart carries the name of its group and instrument.

    >>> import pandas as pd
    >>> row = {"axis": "end", "criterion": "a", "analysis": "nri", "point": "end", "reason": "", "due": 80}
    >>> row |= {"rate": 0.25, "low": 0.17, "high": 0.35}
    >>> [ax.get_title(loc="left") for ax in panels(pd.DataFrame([row | {"site": "B"}, row | {"site": "A"}]))]
    ['B', 'A']
    """

    require_rows(table)
    keys = [key for key in keys_of(table) if key not in {"criterion", "kind", "analysis"}]
    groups = list(table.groupby(keys, sort=False, dropna=False)) if keys else [((), table)]
    named = [
        (", ".join(names.get(str(part), readable(str(part))) for part in key), rows) for key, rows in groups
    ]
    return multiples(named, lambda rows, ax: rates(rows, ax=ax, names=names), (5.6, 3.4))


def retention(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = NO_NAMES) -> Axes:
    """The share of series that reached each session, with intervals; one line per protocol.

    `table` is a `course_results.retention` table.

    >>> import pandas as pd
    >>> ax = retention(pd.DataFrame({"protocol": ["iv6"] * 2, "session": [1, 2], "due": [80, 80],
    ...     "reached": [80, 72], "rate": [1.0, 0.9], "low": [0.95, 0.81], "high": [1.0, 0.95]}))
    >>> [float(y) for y in ax.get_lines()[0].get_ydata()]
    [1.0, 0.9]
    """
    require_rows(table)
    ax = blank_axes(ax)
    sessions = sorted({int(session) for session in table["session"]})
    ends = []
    for style, shift, name, rows in lines_of(table, names, [float(session) for session in sessions]):
        at = [int(session) + shift for session in rows["session"]]
        draw_line(ax, style, at, rows)
        ends.append((name, style.colour, last_known(rows["low"]), at[-1]))
    reasons = table["rate"].isna().map({True: HIDDEN, False: ""})
    say_hidden(ax, table.assign(point=table["session"], reason=reasons), {str(k): float(k) for k in sessions})
    percent_axis(ax)
    ax.set_xticks(sessions)
    write_below(ax, 0, "session", row=0)
    for name, colour, under, at_end in ends:
        if under is not None:
            write(ax, at_end, under, name, colour, va="top", ha="center", pad=0, drop=3)
    ax.set_xlim(sessions[0] - 0.4, sessions[-1] + 0.4)
    return ax


def trajectory(
    table: pd.DataFrame,
    *,
    lines: pd.DataFrame | None = None,
    ax: Axes | None = None,
    names: Mapping[str, str] = NO_NAMES,
) -> Axes:
    """Mean score at each point among those scored, with a bar either side: the interval, or one SD.

    `table` is a `course_results.trajectory` table of one axis; rows of the axis `baseline` stand at its
    beginning. The bars are its `low` and `high` where it has them (`figure_tables.mean_interval`), else one
    standard deviation either side of the mean. `lines`, a `figure_tables.lines` table of the same axis, adds
    each course as a thin line, and makes the chart row-level: not to be shared.

    >>> import pandas as pd
    >>> ax = trajectory(pd.DataFrame({"instrument": ["phq9"] * 2, "axis": ["baseline", "week"],
    ...     "point": ["0", "4"], "n": [80, 61], "mean": [17.5, 9.0], "sd": [4.0, 5.0]}))
    >>> [float(y) for y in ax.get_lines()[0].get_ydata()]
    [17.5, 9.0]
    """
    require_rows(table)
    over = table[table["axis"] != "baseline"]
    axis = require_one(over if len(over) else table, "axis")
    points = list(dict.fromkeys(table["point"].astype(str)))
    places = dict(zip(points, places_of(axis, points), strict=True))
    ax = blank_axes(ax)
    ends = []
    drawn = table.assign(low=table["mean"] - table["sd"], high=table["mean"] + table["sd"])
    drawn = table if {"low", "high"} <= set(table) else drawn
    for style, shift, name, rows in lines_of(drawn, names, list(places.values())):
        at = [places[str(point)] + shift for point in rows["point"]]
        ax.vlines(at, rows["low"], rows["high"], color=style.colour, linewidth=1.6, clip_on=False, zorder=4)
        draw_curve(ax, style, at, rows["mean"])
        ends.append((name, style.colour, last_known(rows["mean"])))
    if lines is not None:
        _draw_each(ax, lines, places)
        title(ax, "row-level: do not share", pad=10)
    ax.set_ylim(bottom=0)
    ax.locator_params(axis="y", integer=True)
    point_axis(ax, axis, places, table, {"n": "scored"})
    name_lines(ax, ends, gap=0.06 * (ax.get_ylim()[1] - ax.get_ylim()[0]))
    return ax


def _draw_each(ax: Axes, lines: pd.DataFrame, places: Mapping[str, float]) -> None:
    """A thin line per course, under the mean: one path, broken between two courses."""
    import numpy as np

    own = lines[lines["point"].astype(str).isin(places)]
    own = own.assign(at=own["point"].astype(str).map(dict(places)))
    own = own.sort_values(["patient", "course", "at"], kind="stable")
    code = own.groupby(["patient", "course"], sort=False).ngroup().to_numpy()
    breaks = np.flatnonzero(np.diff(code)) + 1
    at, score = (np.insert(own[name].to_numpy(dtype=float), breaks, np.nan) for name in ("at", "score"))
    thin = min(1.0, 30 / max(len(breaks) + 1, 1))
    ax.plot(at, score, color=QUIET, linewidth=0.6, alpha=max(0.13, 0.7 * thin), zorder=1)


def _analyses(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the lines show, and what hollow marks show beside them: nri and observed where both are there."""
    if "analysis" not in table or "nri" not in set(table["analysis"]):
        return table, table.iloc[:0]
    return table[table["analysis"] == "nri"], table[table["analysis"] == "observed"]


def _alike(beside: pd.DataFrame, rows: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of `beside` that belong to the same line, if there are any."""
    for column in keys_of(rows):
        if column != "analysis":
            beside = beside[beside[column] == rows[column].iloc[0]]
    return [beside] if len(beside) else []
