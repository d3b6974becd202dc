"""Control charts and funnels as drawings.

Finished tables in, Axes out; nothing is estimated here. A period without a number is a gap that
says why. Signals are marked by shape, not by good or bad colours; sites stand where their size puts them and
are never ranked. Both survive a greyscale printer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ketaoutcomes.figures.axes import (
    INK,
    NO_NAMES,
    QUIET,
    SMALL,
    STYLES,
    blank_axes,
    name_lines,
    percent_axis,
    readable,
    require_one,
    require_rows,
    write,
    write_below,
)
from ketaoutcomes.results.wording import HIDDEN, count, is_number, label, share

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_MOST_LABELS = 12  # more periods than this, and only every second or third is named
_GAPS = {"hidden": HIDDEN, "nobody_due": "none due"}
_BAND = "#dfe6ea"
_FEW, _MOST_NAMES = 6, 20  # up to so many sites, names carry n; up to so many, every site has its name
_LETTER = 0.075  # inches: about one letter
_LINE = 0.05  # of the chart's height: the least distance between two names
_NEAR = 0.07  # a name farther from its dot than this has a line to it
_STEPS = (0.055, -0.055, 0.11, -0.11, 0.165, -0.165, 0.22, -0.22)


def control(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = NO_NAMES) -> Axes:
    """A control chart of one group and criterion: points, centre line, limits, and what breaks the pattern.

    `table` is one chart of `control_results.charts` (a rate) or `mean_charts`. A ring marks a period at which
    a rule fires, with the rule's name; filled dots belong to a pattern. The limits are drawn heavier where
    they were found, and dashed where they are only applied; a period not yet over is a hollow dot.

    Raises `ValueError` for an empty table or more than one chart.

    >>> import pandas as pd
    >>> row = {"criterion": "phq9_response50", "chart": "p", "status": "enough", "periods": 20, "reason": "",
    ...     "centre": 0.4, "low": 0.2, "high": 0.6, "n": 50, "in_baseline": True, "signal": "", "part_of": ""}
    >>> ax = control(pd.DataFrame([row | {"period": "2026-01", "rate": 0.3}, row | {"period": "2026-02",
    ...     "rate": 0.7, "signal": "beyond_limits", "part_of": "beyond_limits"}]))
    >>> [text.get_text() for text in ax.texts if "limits" in text.get_text()]
    ['limits', 'beyond limits']
    """
    require_rows(table)
    for column in ("criterion", "instrument"):
        if column in table:
            require_one(table, column)
    if table["period"].duplicated().any():
        raise ValueError("one chart shows one group; this table holds several: choose one")
    value = "rate" if "rate" in table else "mean"
    ax = blank_axes(ax)
    at = range(len(table))
    _lines(ax, table, names)
    ax.plot(at, table[value], color=STYLES[0].colour, linewidth=1.4, zorder=3)
    for place, (_, one) in zip(at, table.iterrows(), strict=True):
        _point(ax, place, one, value)
    if value == "rate":
        percent_axis(ax)
    else:
        # No change is in view, or a step of a point would fill the picture.
        low, high = min(ax.get_ylim()[0], 0.0), max(ax.get_ylim()[1], 0.0)
        room = (high - low) / 20
        ax.set_ylim(low - room * (low < 0), high + room * (high > 0))
    _periods_below(ax, table)
    return ax


def _lines(ax: Axes, table: pd.DataFrame, names: Mapping[str, str]) -> None:
    """Centre line and limits as steps, and their names at the right end."""
    edges = [place - 0.5 for place in range(len(table) + 1)]
    found = table["in_baseline"].to_numpy(dtype=bool)
    ends: list[tuple[str, str, float | None]] = []
    for column, words in (("high", "limits"), ("centre", "centre"), ("low", "")):
        width = 1.6 if column == "centre" else 1.2
        for part, dash in ((found, "-"), (~found, (0, (4, 3)))):
            levels = table[column].where(part).to_numpy(dtype=float)
            if is_number(max(levels, key=is_number)):
                ax.stairs(levels, edges, baseline=None, color=QUIET, linewidth=width, linestyle=dash)
        shown = [level for level in table[column] if is_number(level)]
        if shown and words:
            ends.append((names.get(words, words), QUIET, shown[-1]))
    ax.set_xlim(-0.6, len(table) - 0.4)
    name_lines(ax, ends, gap=0.05)
    if table["centre"].isna().all():
        few = f"{table['periods'].iloc[0]} periods: too few for limits"
        ax.annotate(
            few, (0.01, 1.02), xycoords="axes fraction", va="bottom", fontsize=SMALL, color=QUIET,
            parse_math=False,
        )  # fmt: skip


def _point(ax: Axes, place: int, one: pd.Series[Any], value: str) -> None:
    """One period's dot, ringed and named where a rule fires, or the reason why there is none."""
    level, reason = one[value], str(one["reason"])
    if not is_number(level):
        bottom = (place, 0.02)
        ax.annotate(
            _GAPS.get(reason, readable(reason)), bottom, xycoords=ax.get_xaxis_transform(), rotation=90,
            ha="center", va="bottom", fontsize=9, color=QUIET, parse_math=False,
        )  # fmt: skip
        return
    colour = STYLES[0].colour
    filled = str(one["part_of"]) != ""
    ax.plot(
        [place], [level], marker="o", markersize=6, color=colour, linestyle="none", zorder=4,
        markerfacecolor=INK if filled else "white" if reason else colour, clip_on=False,
    )  # fmt: skip
    if str(one["signal"]):
        ax.plot(
            [place], [level], marker="o", markersize=13, color=INK, linestyle="none", zorder=4,
            markerfacecolor="none", markeredgewidth=1.4, clip_on=False,
        )  # fmt: skip
        write(ax, place, level, readable(str(one["signal"])), INK, va="bottom", ha="center", pad=0, drop=-9)


def _periods_below(ax: Axes, table: pd.DataFrame) -> None:
    """The periods and how many people each speaks of, as many as can be read."""
    step = -(-len(table) // _MOST_LABELS)
    ax.set_xticks(range(0, len(table), step), [""] * len(range(0, len(table), step)))
    write_below(ax, 0, "n", row=2)
    for place in range(0, len(table), step):
        one = table.iloc[place]
        first, _, last = str(one["period"]).partition("/")
        year, _, rest = first.partition("-")
        months = f"{rest}\N{EN DASH}{last[5:]}" if last else rest or year
        write_below(ax, place, label(months), row=0, inside=True)
        if place == 0 or str(table["period"].iloc[place - step])[:4] != year:
            write_below(ax, place, label(year), row=1, inside=True)
        write_below(ax, place, count(one["n"]), row=2, inside=True)


def funnel(
    table: pd.DataFrame,
    curve: pd.DataFrame,
    *,
    ax: Axes | None = None,
    names: Mapping[str, str] = NO_NAMES,
) -> Axes:
    """Sites by size about one rate, with the limits that chance alone would give.

    `table` and `curve` are those of `control_results.Funnel`, of one criterion and point. Every site carries
    its name and n; those beyond the outer limit have a ring, like any other point in colour.

    Raises `ValueError` for an empty table or several criteria.

    >>> found = study.funnel("phq9_response50")
    >>> ax = funnel(found.table, found.curve)
    >>> sum("n = " in text.get_text() for text in ax.texts)
    3
    """
    require_rows(table)
    require_one(table, "criterion")
    require_one(table, "point")
    by = str(table.columns[0])
    ax = blank_axes(ax)
    if len(curve):
        ax.fill_between(curve["n"], curve["low95"], curve["high95"], color=_BAND, linewidth=0, zorder=0)
        for low, high, dash in (("low95", "high95", "-"), ("low998", "high998", "--")):
            for column in (low, high):
                ax.plot(curve["n"], curve[column], color=QUIET, linewidth=1.2, linestyle=dash)
        right, last = float(curve["n"].iloc[-1]), curve.iloc[-1]
        target = table["target"].dropna()
        ax.hlines(target.iloc[0], 0, right, color=QUIET, linewidth=1.4)
        ax.set_xlim(0, right)
        words = f"all shown {share(float(target.iloc[0]))}"
        ends = [(words, target.iloc[0]), ("95 %", last["high95"]), ("99.8 %", last["high998"])]
        name_lines(ax, [(name, QUIET, float(height)) for name, height in ends], gap=0.065)
    there = [one for _, one in table.iterrows() if is_number(one["rate"])]
    _sites(ax, there, by, names, float(curve["n"].iloc[-1]) if len(curve) else 1.0)
    if len(there) < len(table):
        without = f"{len(table) - len(there)} without a rate (hidden, or nobody due)"
        write(ax, 0, 0.02, without, QUIET, va="bottom")
    percent_axis(ax)
    ax.set_xlabel("people due", fontsize=SMALL, color=QUIET)
    return ax


def _sites(
    ax: Axes, sites: Sequence[pd.Series[Any]], by: str, names: Mapping[str, str], width: float
) -> None:
    """Each site's dot and, where there is room, its name: with few sites all, with many those outside."""
    for one in sites:
        ax.plot(
            [one["n"]], [one["rate"]], marker="o", markersize=7, color=STYLES[0].colour, linestyle="none",
            zorder=4, clip_on=False,
        )  # fmt: skip
        if str(one["beyond"]) == "99.8":
            ax.plot(
                [one["n"]], [one["rate"]], marker="o", markersize=14, color=INK, linestyle="none", zorder=4,
                markerfacecolor="none", markeredgewidth=1.4, clip_on=False,
            )  # fmt: skip
    taken = [(float(one["n"]), float(one["rate"]), 0.03 * width) for one in sites]
    letter = _LETTER * ax.figure.dpi / ax.get_window_extent().width
    told = [one for one in sites if str(one["beyond"]) or len(sites) <= _MOST_NAMES]
    for one in sorted(told, key=lambda one: (str(one["beyond"]) == "", float(one["n"]))):
        name = names.get(str(one[by]), label(one[by]))
        words = f"{name}, n = {count(one['n'])}" if len(sites) <= _FEW else name
        half = 0.5 * letter * width * len(words)
        x = min(max(float(one["n"]), half), width - half)
        place = _free(taken, x, float(one["rate"]), half)
        if abs(place - float(one["rate"])) > _NEAR:
            ax.plot([one["n"], x], [one["rate"], place], color=QUIET, linewidth=0.7, zorder=3)
        taken.append((x, place, half))
        ground = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}  # over the limits
        write(ax, x, place, words, INK, va="center", ha="center", pad=0, bbox=ground)


def _free(taken: Sequence[tuple[float, float, float]], x: float, y: float, half: float) -> float:
    """A height near a dot at which a name of that width covers neither a dot nor another name."""
    for step in _STEPS:
        near = [abs(at - x) < half + wide and abs(level - y - step) < _LINE for at, level, wide in taken]
        if not any(near) and 0.02 < y + step < 0.98:
            return y + step
    return y + _STEPS[0]
