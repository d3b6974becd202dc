"""One's own rates beside published ones as a chart of dots and intervals.

A finished table in, Axes out; nothing is estimated here; a missing rate is a gap that says why.
The three sources differ in marker and filling, so the chart survives a greyscale printer; rows stand in the
table's order and are never ranked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ketaoutcomes.figures.axes import (
    GRID,
    INK,
    NO_NAMES,
    QUIET,
    STYLES,
    as_text,
    blank_axes,
    readable,
    require_rows,
    write,
)
from ketaoutcomes.results.wording import HIDDEN, count, is_number, label, share

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# By source: words, colour, marker, filled.
_SOURCES = {
    "published": ("published", INK, "s", False),
    "own": ("yours, their rule", STYLES[0].colour, "o", True),
    "own_all_started": ("yours, all who started", STYLES[1].colour, "^", False),
}


def benchmark(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = NO_NAMES) -> Axes:
    """Published rates and one's own by the same rule, as dots with intervals, one block per criterion.

    `table` is `benchmarks.Benchmark.table`. At the right stand the rate, n, and the share of charts that n
    is. A published rate without an n has no interval.

    >>> found = study.benchmark("mcinnes2022").table.iloc[:3]
    >>> [text.get_text().replace("\\u202f", " ") for text in benchmark(found).texts][2]
    '54 % of n = 537, 6 % of charts'
    """
    require_rows(table)
    blocks = list(table.groupby(["series", "criterion", "point"], sort=False))
    if ax is None:
        from matplotlib import pyplot as plt

        height = 1.0 + 0.32 * (len(table) + 1.6 * len(blocks))
        _, ax = plt.subplots(figsize=(8.2, height), layout="constrained")
    ax = blank_axes(ax)
    ax.grid(axis="y", visible=False)
    ax.grid(axis="x", color=GRID, linewidth=0.8)
    ticks: list[tuple[float, str]] = []
    row = 0.0
    write(ax, 1.02, row - 0.9, "rate, people, share of charts", QUIET, va="center", pad=0)
    for (series, criterion, point), rows in blocks:
        title = _title(str(series), str(criterion), str(rows["axis"].iloc[0]), str(point), names)
        write(ax, 0, row, title, INK, va="center", pad=0, weight="bold")
        for _, one in rows.iterrows():
            row += 1
            words = _dot(ax, row, one)
            ticks.append((row, names.get(str(one["source"]), words)))
        row += 1.6
    ax.set_ylim(row - 0.6, -1.4)
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25", "50", "75", "100 %"])
    ax.set_yticks([place for place, _ in ticks], [words for _, words in ticks])
    as_text(ax.get_yticklabels())
    return ax


def _title(series: str, criterion: str, axis: str, point: str, names: Mapping[str, str]) -> str:
    at = "end of induction" if axis == "end" else f"{axis} {point}"
    parts = (names.get(series, series), names.get(criterion, readable(criterion)), at)
    return label(", ".join(parts), longest=90)


def _dot(ax: Axes, row: float, one: pd.Series[Any]) -> str:
    """One rate: its dot, its interval, and what it is a rate of."""
    words, colour, marker, filled = _SOURCES.get(str(one["source"]), (str(one["source"]), INK, "D", False))
    if is_number(one["low"]):
        ax.hlines(row, one["low"], one["high"], color=colour, linewidth=1.6)
    if not is_number(one["rate"]):
        write(ax, 0, row, readable(str(one["reason"] or HIDDEN)), QUIET, va="center")
        return words
    ax.plot(
        [one["rate"]], [row], color=colour, marker=marker, markersize=7.5, linestyle="none",
        markerfacecolor=colour if filled else "white", markeredgewidth=1.6, clip_on=False,
    )  # fmt: skip
    people = f" of n = {count(one['n'])}" if is_number(one["n"]) else ", n not stated"
    kept = f", {share(one['share_kept'])} of charts" if is_number(one["share_kept"]) else ""
    write(ax, 1.02, row, f"{share(one['rate'])}{people}{kept}", colour, va="center", pad=0)
    return words
