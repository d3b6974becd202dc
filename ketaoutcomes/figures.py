"""Finished tables as charts: each function draws one table on matplotlib Axes and returns them.

Nothing is computed here: rates, intervals and counts arrive finished, a missing number is drawn as a gap that
says `hidden`, and names from data are drawn as text, never as mathematics. Lines differ by colour, marker and
dash, and carry their name at their end instead of a legend, so a chart survives a greyscale printer.

Colours are Okabe and Ito's (2008, Color Universal Design), darkened until text in them has a contrast
of 4.5 : 1 on white.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from ketaoutcomes.wording import HIDDEN, count, is_number, label, percent

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.text import Text

INK = "#1c2733"
QUIET = "#56626e"
GRID = "#dde2e6"

MOST_SERIES = 6
"""More lines than this in one chart cannot be told apart; the functions refuse and say what to choose."""

_NOTHING: Mapping[str, str] = MappingProxyType({})
_SMALL = 10.0
_ROOM = 0.11  # of the chart's width: less, and the numbers below two points would touch
_NOT_KEYS = frozenset({
    "axis", "point", "due", "given", "assessed", "met", "n", "of", "rate", "low", "high", "reason", "session",
    "planned_day", "median_day", "reached", "median_days", "mean", "sd", "step", "unit", "people",
})  # fmt: skip


class Style(NamedTuple):
    """How one line is told from the others: by colour, marker and dash together."""

    colour: str
    marker: str
    dash: str


STYLES = (
    Style("#00639e", "o", "-"),
    Style("#b34700", "s", "--"),
    Style("#00735a", "^", "-."),
    Style("#8f4575", "D", ":"),
    Style(INK, "v", "-"),
    Style("#6b6100", "P", "--"),
)


def rates(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = _NOTHING) -> Axes:
    """Rates with their intervals at each point of one axis, one line per combination of what varies.

    `table` is a `results.rates` table of one axis. Where it holds both, the line is the rate of everyone due
    (nri) and hollow marks are that of those scored. `names` gives readers' words for ids. Below the chart
    stand the numbers due and scored, where all lines share them.

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
    _filled(table)
    axis = _one_of(table, "axis")
    shown, beside = _analyses(table)
    points = list(dict.fromkeys(shown["point"].astype(str)))
    places = dict(zip(points, _places(axis, points), strict=True))
    ax = _blank(ax)
    ends = []
    for style, shift, name, rows in _series(shown, names, list(places.values())):
        for other in _alike(beside, rows):
            at = [places[str(point)] + shift for point in other["point"]]
            ax.plot(
                at, other["rate"], color=style.colour, linestyle="none", marker=style.marker, markersize=4.5,
                markerfacecolor="white", markeredgewidth=1, clip_on=False,
            )  # fmt: skip
        at = [places[str(point)] + shift for point in rows["point"]]
        _line(ax, style, at, rows)
        ends.append((name, style.colour, _last(rows["rate"])))
    _say_hidden(ax, shown, places)
    _percent_axis(ax)
    _point_axis(ax, axis, places, shown, {"due": "due", "assessed": "scored"})
    _name_lines(ax, ends, gap=0.085)
    return ax


def panels(table: pd.DataFrame, *, names: Mapping[str, str] = _NOTHING) -> list[Axes]:
    """A chart of rates for each group and instrument of a table that is too much for one, two in a row.

    `table` and `names` are as for `rates`; each chart carries the name of its group and instrument.

    >>> import pandas as pd
    >>> row = {"axis": "end", "criterion": "a", "analysis": "nri", "point": "end", "reason": "", "due": 80}
    >>> row |= {"rate": 0.25, "low": 0.17, "high": 0.35}
    >>> [ax.get_title(loc="left") for ax in panels(pd.DataFrame([row | {"site": "B"}, row | {"site": "A"}]))]
    ['B', 'A']
    """
    from matplotlib import pyplot as plt

    _filled(table)
    keys = [key for key in _keys(table) if key not in {"criterion", "kind", "analysis"}]
    groups = list(table.groupby(keys, sort=False, dropna=False)) if keys else [((), table)]
    down = -(-len(groups) // 2)
    across = min(len(groups), 2)
    size = (5.6 * across, 3.4 * down)
    figure, grid = plt.subplots(down, across, figsize=size, layout="constrained", squeeze=False)
    found = []
    for ax, (key, rows) in zip(grid.flat, groups, strict=False):
        rates(rows, ax=ax, names=names)
        title = ", ".join(names.get(str(part), _words(str(part))) for part in key)
        ax.set_title(title, loc="left", fontsize=_SMALL + 1, color=INK, parse_math=False)
        found.append(ax)
    for ax in grid.flat[len(groups) :]:
        figure.delaxes(ax)
    return found


def retention(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = _NOTHING) -> Axes:
    """The share of series that reached each session, with intervals; one line per protocol.

    `table` is a `results.retention` table.

    >>> import pandas as pd
    >>> ax = retention(pd.DataFrame({"protocol": ["iv6"] * 2, "session": [1, 2], "due": [80, 80],
    ...     "reached": [80, 72], "rate": [1.0, 0.9], "low": [0.95, 0.81], "high": [1.0, 0.95]}))
    >>> [float(y) for y in ax.get_lines()[0].get_ydata()]
    [1.0, 0.9]
    """
    _filled(table)
    ax = _blank(ax)
    sessions = sorted({int(session) for session in table["session"]})
    ends = []
    for style, shift, name, rows in _series(table, names, [float(session) for session in sessions]):
        at = [int(session) + shift for session in rows["session"]]
        _line(ax, style, at, rows)
        ends.append((name, style.colour, _last(rows["low"]), at[-1]))
    reasons = table["rate"].isna().map({True: HIDDEN, False: ""})
    _say_hidden(
        ax, table.assign(point=table["session"], reason=reasons), {str(k): float(k) for k in sessions}
    )
    _percent_axis(ax)
    ax.set_xticks(sessions)
    _below(ax, 0, "session", row=0)
    for name, colour, under, at_end in ends:
        if under is not None:
            _text(ax, at_end, under, name, colour, va="top", ha="center", pad=0, drop=3)
    ax.set_xlim(sessions[0] - 0.4, sessions[-1] + 0.4)
    return ax


def trajectory(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = _NOTHING) -> Axes:
    """Mean score at each point among those scored, with a bar of one standard deviation either side.

    `table` is a `results.trajectory` table of one axis; rows of the axis `baseline` stand at its beginning.

    >>> import pandas as pd
    >>> ax = trajectory(pd.DataFrame({"instrument": ["phq9"] * 2, "axis": ["baseline", "week"],
    ...     "point": ["0", "4"], "n": [80, 61], "mean": [17.5, 9.0], "sd": [4.0, 5.0]}))
    >>> [float(y) for y in ax.get_lines()[0].get_ydata()]
    [17.5, 9.0]
    """
    _filled(table)
    over = table[table["axis"] != "baseline"]
    axis = _one_of(over if len(over) else table, "axis")
    points = list(dict.fromkeys(table["point"].astype(str)))
    places = dict(zip(points, _places(axis, points), strict=True))
    ax = _blank(ax)
    ends = []
    for style, shift, name, rows in _series(table, names, list(places.values())):
        at = [places[str(point)] + shift for point in rows["point"]]
        ax.errorbar(
            at, rows["mean"], yerr=rows["sd"], fmt="none", ecolor=style.colour, elinewidth=1.1, clip_on=False
        )
        _curve(ax, style, at, rows["mean"])
        ends.append((name, style.colour, _last(rows["mean"])))
    ax.set_ylim(bottom=0)
    _point_axis(ax, axis, places, table, {"n": "scored"})
    _name_lines(ax, ends, gap=1.5)
    return ax


def measured(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = _NOTHING) -> Axes:
    """How many started, had a baseline, any score and an end score: one bar per step, its count written out.

    `table` is a `results.measured` table of one instrument and group.

    >>> import pandas as pd
    >>> steps = pd.DataFrame({"step": ["started", "baseline"], "n": [90, 80], "of": [90, 90]})
    >>> print(*(text.get_text().replace("\\u202f", " ") for text in measured(steps).texts), sep=" | ")
    90 | 80 (89 %)
    """
    _filled(table)
    ax = _blank(ax)
    steps = [names.get(str(step), _words(str(step))) for step in table["step"]]
    for place, (n, of) in enumerate(zip(table["n"], table["of"], strict=True)):
        if is_number(n):
            ax.barh(place, n, color=STYLES[0].colour, height=0.55)
        told = place > 0 and is_number(n) and is_number(of)
        written = f"{count(n)} ({percent(n, of)})" if told else count(n)
        _text(ax, n if is_number(n) else 0, place, written, INK, va="center", pad=5)
    ax.set_yticks(range(len(steps)), steps)
    _plain(ax.get_yticklabels())
    ax.invert_yaxis()
    ax.xaxis.set_visible(False)
    ax.grid(visible=False)
    ax.spines["bottom"].set_visible(False)
    return ax


def flow(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = _NOTHING) -> Axes:
    """Everyone accounted for: a column of boxes, and beside each what left there and why.

    `table` has one row per line, drawn in order down the page: `step` (the box), `reason` (blank for the
    number in the box, else why people left after the previous one) and `n`.

    >>> import pandas as pd
    >>> ax = flow(pd.DataFrame({"step": ["started", "eligible", "eligible"],
    ...     "reason": ["", "no_baseline", ""], "n": [90, 10, 80]}))
    >>> [text.get_text() for text in ax.texts]
    ['started\\n90', 'no baseline: 10', 'eligible\\n80']
    """
    _filled(table)
    ax = _blank(ax)
    ax.axis("off")
    box = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": INK, "linewidth": 1}
    height, last_box = 0.0, None
    for step, reason, n in zip(table["step"], table["reason"], table["n"], strict=True):
        if reason:
            height -= 0.5
            ax.plot([0.0, 0.16], [height, height], color=QUIET, linewidth=1)
            written = f"{names.get(str(reason), _words(str(reason)))}: {count(n)}"
            _text(ax, 0.17, height, written, QUIET, va="center")
            continue
        height -= 1.0
        if last_box is not None:
            ax.plot([0.0, 0.0], [last_box, height], color=QUIET, linewidth=1, zorder=0)
        written = f"{names.get(str(step), _words(str(step)))}\n{count(n)}"
        _text(ax, 0.0, height, written, INK, va="center", ha="center", pad=0, bbox=box)
        last_box = height
    ax.set_xlim(-0.25, 0.75)
    ax.set_ylim(height - 0.6, -0.4)
    return ax


def _analyses(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the lines show, and what hollow marks show beside them: nri and observed where both are there."""
    if "analysis" not in table or "nri" not in set(table["analysis"]):
        return table, table.iloc[:0]
    return table[table["analysis"] == "nri"], table[table["analysis"] == "observed"]


def _alike(beside: pd.DataFrame, rows: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of `beside` that belong to the same line, if there are any."""
    for column in _keys(rows):
        if column != "analysis":
            beside = beside[beside[column] == rows[column].iloc[0]]
    return [beside] if len(beside) else []


def _filled(table: pd.DataFrame) -> None:
    if table.empty:
        raise ValueError("this table has no rows, so there is nothing to draw")


def _one_of(table: pd.DataFrame, column: str) -> str:
    found = sorted(set(table[column].astype(str)))
    if len(found) > 1:
        raise ValueError(f"one chart shows one {column}; this table holds {', '.join(found)}: choose one")
    return found[0]


def _keys(table: pd.DataFrame) -> list[str]:
    """The columns that tell lines apart: what was judged, and the grouping."""
    return [str(column) for column in table.columns if column not in _NOT_KEYS]


def _series(
    table: pd.DataFrame, names: Mapping[str, str], places: Sequence[float]
) -> Iterator[tuple[Style, float, str, pd.DataFrame]]:
    """Each line of a chart: style, sideways shift (so that bars do not cover each other), name and rows."""
    keys = _keys(table)
    varying = [key for key in keys if table[key].nunique(dropna=False) > 1]
    if not varying:
        named = [key for key in ("criterion", "protocol", "instrument") if key in keys]
        only = str(table[named[0]].iloc[0]) if named else ""
        yield STYLES[0], 0.0, names.get(only, _words(only)), table
        return
    groups = list(table.groupby(varying, sort=False, dropna=False))
    if len(groups) > MOST_SERIES:
        raise ValueError(
            f"{len(groups)} lines ({' × '.join(varying)}) cannot be told apart in one chart; the most is "
            f"{MOST_SERIES}: choose criteria=, analysis= or one group"
        )
    step = 0.09 * (max(places) - min(places) or 1.0) / max(len(places) - 1, 1)
    for index, (key, rows) in enumerate(groups):
        parts = [str(part) for part in (key if isinstance(key, tuple) else (key,))]
        name = ", ".join(names.get(part, _words(part)) for part in parts)
        yield STYLES[index], step * (index - (len(groups) - 1) / 2), name, rows


def _line(ax: Axes, style: Style, at: Sequence[float], rows: pd.DataFrame) -> None:
    """A line through rates and a bar for each interval; a missing rate leaves a gap."""
    ax.vlines(at, rows["low"], rows["high"], color=style.colour, linewidth=1.1, clip_on=False)
    _curve(ax, style, at, rows["rate"])


def _say_hidden(ax: Axes, shown: pd.DataFrame, places: Mapping[str, float]) -> None:
    """The word `hidden` at the foot of a point where every number is withheld; elsewhere a gap says it."""
    for point, rows in shown.groupby(shown["point"].astype(str), sort=False):
        if (rows["reason"] == HIDDEN).all():
            _text(ax, places[str(point)], 0.015, HIDDEN, QUIET, va="bottom", ha="center", pad=0, rotation=90)


def _curve(ax: Axes, style: Style, at: Sequence[float], values: pd.Series[float]) -> None:
    ax.plot(
        at, values, color=style.colour, linestyle=style.dash, linewidth=1.8,
        marker=style.marker, markersize=5.5, markeredgecolor="white", markeredgewidth=0.8, clip_on=False,
    )  # fmt: skip


def _last(values: pd.Series[float]) -> float | None:
    there = values.dropna()
    return None if there.empty else float(there.iloc[-1])


def _places(axis: str, points: Sequence[str]) -> list[float]:
    """Where points stand: sessions and weeks to scale where there is room for it, else side by side."""
    if axis in {"session", "week"} and all(point.isdigit() for point in points):
        scaled = [float(point) for point in points]
        steps = [after - before for before, after in pairwise(scaled)]
        if not steps or min(steps) >= _ROOM * (max(scaled) - min(scaled)):
            return scaled
    return [float(index) for index in range(len(points))]


def _blank(ax: Axes | None) -> Axes:
    if ax is None:
        from matplotlib import pyplot as plt

        _, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(QUIET)
    ax.tick_params(length=0, pad=5, labelsize=_SMALL, labelcolor=QUIET)
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


def _percent_axis(ax: Axes) -> None:
    ax.set_ylim(0, 1)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25", "50", "75", "100 %"])


def _point_axis(
    ax: Axes, axis: str, places: Mapping[str, float], table: pd.DataFrame, counts: Mapping[str, str]
) -> None:
    """Rows below the chart: the points, and how many people each speaks of where all lines share that."""
    ax.set_xticks(list(places.values()), [label(point) for point in places])
    _plain(ax.get_xticklabels())
    first, last = min(places.values()), max(places.values())
    room = 0.05 * (last - first) or 0.5
    ax.set_xlim(first - room, last + room)
    _below(ax, 0, axis, row=0)
    row = 0
    for column, words in counts.items():
        if column not in table:
            continue
        numbers = table.assign(point=table["point"].astype(str)).groupby("point", sort=False)[column]
        told = {str(point): list(dict.fromkeys(count(n) for n in values)) for point, values in numbers}
        if any(len(values) > 1 or HIDDEN in values for values in told.values()):
            continue
        row += 1
        _below(ax, 0, words, row=row)
        for point, values in told.items():
            _below(ax, places[point], values[0], row=row, inside=True)


def _below(ax: Axes, x: float, words: str, *, row: int, inside: bool = False) -> None:
    ax.annotate(
        words, (x, 0), xycoords=ax.get_xaxis_transform() if inside else "axes fraction",
        xytext=(0 if inside else -6, -6 - 13 * row), textcoords="offset points", annotation_clip=False,
        ha="center" if inside else "right", va="top", fontsize=_SMALL, color=QUIET, parse_math=False,
    )  # fmt: skip


def _name_lines(ax: Axes, ends: Sequence[tuple[str, str, float | None]], gap: float) -> None:
    """Write each line's name at its right end, moved apart where two ends are close."""
    right = ax.get_xlim()[1]
    taken: float | None = None
    for name, colour, height in sorted(
        ((n, c, h) for n, c, h in ends if h is not None), key=lambda end: end[2]
    ):
        taken = height if taken is None else max(height, taken + gap)
        _text(ax, right, taken, name, colour, va="center", pad=2)


def _text(
    ax: Axes,
    x: float,
    y: float,
    words: str,
    colour: str,
    *,
    va: str,
    ha: str = "left",
    pad: float = 3,
    drop: float = 0,
    **more: Any,
) -> None:
    ax.annotate(
        "\n".join(label(line) for line in words.split("\n")),
        (x, y), xytext=(pad, -drop), textcoords="offset points", color=colour, va=va, ha=ha, fontsize=_SMALL,
        parse_math=False, annotation_clip=False, **more,
    )  # fmt: skip


def _plain(texts: Sequence[Text]) -> None:
    for text in texts:
        text.set_parse_math(False)


def _words(name: str) -> str:
    return label(name.replace("_", " ").replace(":", ": "))
