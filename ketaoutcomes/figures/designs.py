"""A study's design as a chart: when scores are looked for, on a clock of days from the first dose.

A finished table in, Axes out. The chart shows the plan, no data.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from ketaoutcomes.figures.axes import (
    GRID,
    INK,
    NO_NAMES,
    QUIET,
    STYLES,
    as_text,
    readable,
    require_rows,
    sized,
    title,
    under,
    write,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

ROWS: Mapping[str, str] = MappingProxyType({
    "baseline": "baseline",
    "session": "after each session",
    "end": "end of induction",
    "week": "weeks",
    "mature": "due",
})  # fmt: skip
"""Readers' words for the rows of a design; `names=` replaces them."""

_STEP = 14  # days between two ticks
_BOX = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}


def design(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = NO_NAMES) -> Axes:
    """Which days a plan looks at: the baseline's window, each session's, the end's, the weeks', and when due.

    `table` is a `figure_tables.design` table. Bars are windows, strokes the planned dose or the day aimed at;
    the dashed line is the day from which on a course is judged whatever happened in it.

    >>> import pandas as pd
    >>> ax = design(pd.DataFrame([("baseline", "", -14, 0, 0), ("end", "end", 18, 48, 31)],
    ...                          columns=["axis", "point", "from_day", "to_day", "day"]))
    >>> [(float(bar.get_x()), float(bar.get_width())) for bar in ax.patches]
    [(-14.0, 14.0), (18.0, 30.0)]
    """
    require_rows(table)
    words = {**ROWS, **names}
    shown = [axis for axis in ROWS if axis in set(table["axis"]) and axis != "mature"]
    ax = sized(ax, 8.0, 1.1 + 0.6 * len(shown))
    ax.grid(axis="x", visible=True, color=GRID, linewidth=0.8)
    for place, axis in enumerate(shown):
        style = STYLES[0] if axis in ("baseline", "end") else STYLES[2]
        own = table[table["axis"] == axis]
        for point, begin, end, day in own[["point", "from_day", "to_day", "day"]].itertuples(index=False):
            ax.barh(
                place, float(end - begin), left=float(begin), height=0.5, color=style.colour, alpha=0.3,
                edgecolor="white", linewidth=1.2,
            )  # fmt: skip
            ax.vlines(day, place - 0.25, place + 0.25, color=INK, linewidth=1.8)
            if axis in ("session", "week"):
                told, at = str(point), day
            else:
                told, at = _span(begin, end, day if axis == "end" else None), (begin + end) / 2
            write(ax, at, place + 0.25, told, INK, va="top", ha="center", pad=0, drop=3, bbox=_BOX)
    for day in table.loc[table["axis"] == "mature", "day"]:
        ax.axvline(day, color=QUIET, linewidth=1.2, linestyle="--", zorder=0.5)
        write(ax, day, -0.5, f"{words['mature']} from day {day}", QUIET, va="top", pad=4)
    ax.axvline(0, color=INK, linewidth=1.0, zorder=0.5)
    ax.set_yticks(range(len(shown)), [words.get(axis, readable(axis)) for axis in shown])
    as_text(ax.get_yticklabels())
    first, last = int(table["from_day"].min()), int(table["to_day"].max())
    ax.set_xticks(range(first // _STEP * _STEP, last + 1, _STEP))
    ax.set_xlim(first - 2, last + 4)
    ax.set_ylim(len(shown) - 0.3, -0.55)
    under(ax, "days from the first dose, every session on time", rows=1)
    title(ax, "When scores are looked for", pad=8)
    return ax


def _span(begin: int, end: int, best: int | None) -> str:
    told = f"day {begin} to {end}".replace("-", "\N{MINUS SIGN}")
    return told if best is None else f"{told}, best {best}"
