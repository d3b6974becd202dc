"""What all figures share: colours and styles, bare Axes, lines with their intervals, and words as text.

Colours are Okabe and Ito's (2008, Color Universal Design), darkened until text in them has a contrast
of 4.5 : 1 on white.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from ketaoutcomes.results.wording import HIDDEN, count, label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.text import Text

INK = "#1c2733"
QUIET = "#56626e"
GRID = "#dde2e6"

MOST_SERIES = 6
"""More lines than this in one chart cannot be told apart; the functions refuse and say what to choose."""

NO_NAMES: Mapping[str, str] = MappingProxyType({})
SMALL = 10.0
LETTER = 0.0135  # of the chart's width: about one letter
_ROOM = 0.11  # of the chart's width: less, and the numbers below two points would touch
_NOT_KEYS = frozenset({
    "axis", "point", "due", "given", "assessed", "met", "n", "of", "rate", "low", "high", "reason", "session",
    "planned_day", "median_day", "reached", "median_days", "mean", "sd", "step", "unit", "people",
})  # fmt: skip


Size = tuple[float, float]


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


def require_rows(table: pd.DataFrame) -> None:
    """Refuse a table without rows with a `ValueError`: an empty chart would look like a finding."""
    if table.empty:
        raise ValueError("this table has no rows, so there is nothing to draw")


def require_one(table: pd.DataFrame, column: str) -> str:
    """The one value a column holds, as text; raises `ValueError` that names them where there are several.

    >>> require_one(pd.DataFrame({"axis": ["week", "week"]}), "axis")
    'week'
    """
    found = sorted(set(table[column].astype(str)))
    if len(found) > 1:
        raise ValueError(f"one chart shows one {column}; this table holds {', '.join(found)}: choose one")
    return found[0]


def keys_of(table: pd.DataFrame) -> list[str]:
    """The columns that tell lines apart: what was judged, and the grouping."""
    return [str(column) for column in table.columns if column not in _NOT_KEYS]


def lines_of(
    table: pd.DataFrame, names: Mapping[str, str], places: Sequence[float]
) -> Iterator[tuple[Style, float, str, pd.DataFrame]]:
    """Each line of a chart: style, sideways shift (so that bars do not cover each other), name and rows."""
    keys = keys_of(table)
    varying = [key for key in keys if table[key].nunique(dropna=False) > 1]
    if not varying:
        named = [key for key in ("criterion", "protocol", "instrument") if key in keys]
        only = str(table[named[0]].iloc[0]) if named else ""
        yield STYLES[0], 0.0, names.get(only, readable(only)), table
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
        name = ", ".join(names.get(part, readable(part)) for part in parts)
        yield STYLES[index], step * (index - (len(groups) - 1) / 2), name, rows


def draw_line(ax: Axes, style: Style, at: Sequence[float], rows: pd.DataFrame) -> None:
    """A line through rates and a bar for each interval; a missing rate leaves a gap."""
    ax.vlines(at, rows["low"], rows["high"], color=style.colour, linewidth=1.1, clip_on=False)
    draw_curve(ax, style, at, rows["rate"])


def say_hidden(ax: Axes, shown: pd.DataFrame, places: Mapping[str, float]) -> None:
    """The word `hidden` at the foot of a point where every number is withheld; elsewhere a gap says it."""
    for point, rows in shown.groupby(shown["point"].astype(str), sort=False):
        if (rows["reason"] == HIDDEN).all():
            write(ax, places[str(point)], 0.015, HIDDEN, QUIET, va="bottom", ha="center", pad=0, rotation=90)


def draw_curve(ax: Axes, style: Style, at: Sequence[float], values: pd.Series[float]) -> None:
    """A line with its marks through values at the places given; a missing value leaves a gap."""
    ax.plot(
        at, values, color=style.colour, linestyle=style.dash, linewidth=1.8,
        marker=style.marker, markersize=5.5, markeredgecolor="white", markeredgewidth=0.8, clip_on=False,
    )  # fmt: skip


def last_known(values: pd.Series[float]) -> float | None:
    """The last value that is not missing, where a line's name stands; None where all are.

    >>> last_known(pd.Series([0.2, 0.4, None]))
    0.4
    """
    there = values.dropna()
    return None if there.empty else float(there.iloc[-1])


def places_of(axis: str, points: Sequence[str]) -> list[float]:
    """Where points stand: sessions and weeks to scale where there is room for it, else side by side."""
    if axis in {"session", "week"} and all(point.isdigit() for point in points):
        scaled = [float(point) for point in points]
        steps = [after - before for before, after in pairwise(scaled)]
        if not steps or min(steps) >= _ROOM * (max(scaled) - min(scaled)):
            return scaled
    return [float(index) for index in range(len(points))]


def blank_axes(ax: Axes | None) -> Axes:
    """The Axes given, or new ones, with pale lines across and no frame but the foot."""
    if ax is None:
        from matplotlib import pyplot as plt

        _, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(QUIET)
    ax.tick_params(length=0, pad=5, labelsize=SMALL, labelcolor=QUIET)
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


def percent_axis(ax: Axes) -> None:
    """An upright axis from 0 to 100 %, for shares of 1."""
    ax.set_ylim(0, 1)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25", "50", "75", "100 %"])


def point_axis(
    ax: Axes, axis: str, places: Mapping[str, float], table: pd.DataFrame, counts: Mapping[str, str]
) -> None:
    """Rows below the chart: the points, and how many people each speaks of where all lines share that."""
    ax.set_xticks(list(places.values()), [label(point) for point in places])
    as_text(ax.get_xticklabels())
    first, last = min(places.values()), max(places.values())
    room = 0.05 * (last - first) or 0.5
    ax.set_xlim(first - room, last + room)
    write_below(ax, 0, axis, row=0)
    row = 0
    for column, words in counts.items():
        if column not in table:
            continue
        numbers = table.assign(point=table["point"].astype(str)).groupby("point", sort=False)[column]
        told = {
            str(point): [n for n in dict.fromkeys(count(n) for n in values) if n != HIDDEN]
            for point, values in numbers
        }
        if any(len(values) > 1 for values in told.values()) or not any(told.values()):
            continue
        row += 1
        write_below(ax, 0, words, row=row)
        for point, values in told.items():
            if values:
                write_below(ax, places[point], values[0], row=row, inside=True)


def write_below(ax: Axes, x: float, words: str, *, row: int, inside: bool = False) -> None:
    """Words in a row under the chart: at the left edge, or `inside` it under a place of the x axis."""
    ax.annotate(
        words, (x, 0), xycoords=ax.get_xaxis_transform() if inside else "axes fraction",
        xytext=(0 if inside else -6, -6 - 13 * row), textcoords="offset points", annotation_clip=False,
        ha="center" if inside else "right", va="top", fontsize=SMALL, color=QUIET, parse_math=False,
    )  # fmt: skip


def name_lines(ax: Axes, ends: Sequence[tuple[str, str, float | None]], gap: float) -> None:
    """Write each line's name at its right end, moved apart where two ends are close."""
    right = ax.get_xlim()[1]
    taken: float | None = None
    for name, colour, height in sorted(
        ((n, c, h) for n, c, h in ends if h is not None), key=lambda end: end[2]
    ):
        taken = height if taken is None else max(height, taken + gap)
        write(ax, right, taken, name, colour, va="center", pad=2)


def write(
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
    """Words beside a point, as text and never as mathematics; `pad` and `drop` move them, in points."""
    ax.annotate(
        "\n".join(label(line) for line in words.split("\n")),
        (x, y), xytext=(pad, -drop), textcoords="offset points", color=colour, va=va, ha=ha, fontsize=SMALL,
        parse_math=False, annotation_clip=False, **more,
    )  # fmt: skip


def as_text(texts: Sequence[Text]) -> None:
    """Let labels that may come from data be drawn as text, never as mathematics."""
    for text in texts:
        text.set_parse_math(False)


def readable(name: str) -> str:
    """An id as words, for the eye: underscores and colons become blanks.

    >>> readable("stopped_short"), readable("excluded:zero_baseline")
    ('stopped short', 'excluded: zero baseline')
    """
    return label(name.replace("_", " ").replace(":", ": "))


def sized(ax: Axes | None, width: float, height: float) -> Axes:
    """The Axes given, or new ones of this size in inches, without frame and grid."""
    if ax is None:
        from matplotlib import pyplot as plt

        _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    ax = blank_axes(ax)
    ax.grid(visible=False)
    return ax


def title(ax: Axes, words: str, pad: float = 12) -> None:
    """A chart's title, as text, over its left edge."""
    ax.set_title(label(words, longest=90), loc="left", fontsize=11, color=INK, pad=pad, parse_math=False)


def under(ax: Axes, words: str, *, rows: int) -> None:
    """What the axis counts, below the rows of numbers under it."""
    ax.annotate(
        words, (0.5, 0), xycoords="axes fraction", xytext=(0, -8 - 13 * rows), textcoords="offset points",
        ha="center", va="top", fontsize=SMALL, color=QUIET, parse_math=False,
    )  # fmt: skip


def name_column(ax: Axes, ends: Sequence[tuple[str, float]], *, apart: float = 0.055) -> None:
    """Names beside a chart whose height is 1, each at its height, moved apart where two are close."""
    taken = -1.0
    for name, height in sorted(ends, key=lambda end: end[1]):
        taken = max(height, taken + apart)
        write(ax, 1.0, taken, name, INK, va="center", pad=4, xycoords=ax.get_yaxis_transform())


def multiples(groups: Sequence[tuple[str, Any]], draw: Callable[[Any, Axes], Any], size: Size) -> list[Axes]:
    """A chart for each named group, two in a row, each with its name as title; `size` in inches of one."""
    from matplotlib import pyplot as plt

    down, across = -(-len(groups) // 2), min(len(groups), 2)
    whole = (size[0] * across, size[1] * down)
    figure, grid = plt.subplots(down, across, figsize=whole, layout="constrained", squeeze=False)
    found = []
    for ax, (name, rows) in zip(grid.flat, groups, strict=False):
        draw(rows, ax)
        if name:  # before what the chart says of itself, such as that it must not be shared
            told = ": ".join(part for part in (name, ax.get_title(loc="left")) if part)
            ax.set_title(told, loc="left", fontsize=SMALL + 1, color=INK, parse_math=False)
        found.append(ax)
    for ax in grid.flat[len(groups) :]:
        figure.delaxes(ax)
    return found
