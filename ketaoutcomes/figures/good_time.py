"""Good time as charts: state occupation, the partition, what followed the level.

Finished tables in, Axes out; nothing is estimated here; a missing number is a gap that says why,
and names from data are drawn as text. Bands differ in brightness and hatching and carry their names, so they
survive a greyscale printer. Charts of single courses are in `courses`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ketaoutcomes.counts.good_time_cells import JOIN
from ketaoutcomes.figures.axes import (
    INK,
    LETTER,
    NO_NAMES,
    QUIET,
    STYLES,
    as_text,
    blank_axes,
    name_lines,
    percent_axis,
    readable,
    require_one,
    require_rows,
    sized,
    title,
    under,
    write,
    write_below,
)
from ketaoutcomes.results.wording import count, is_number, percent, share

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_APART = 0.062  # of the chart's height: the least distance between two names
_ROOM_FOR_TEXT = 0.1  # of the chart's height
_MOST_TICKS = 7
_TICK_STEPS = (7, 14, 30, 60, 90, 180, 365)


class Fill(NamedTuple):
    """How one band is told from its neighbours: by colour, brightness and hatching together."""

    face: str
    hatch: str
    ink: str


BANDS: Mapping[str, Fill] = MappingProxyType({
    "responded_before": Fill("#003a5c", "", "white"),
    "responded_after": Fill("#2b78ad", "", "white"),
    "responded_unjudged": Fill("#c5dff0", "", INK),
    "adequate": Fill("#8fcbb4", "", INK),
    "dipped": Fill("#cfe9df", "////", INK),
    "titrating": Fill("#ecbd7c", "", INK),
    "lapsed": Fill("#e4e7ea", "", INK),
    "unjudged": Fill("#ffffff", "....", INK),
    "next_course": Fill("#c9ced3", "\\\\\\\\", INK),
})  # fmt: skip
"""The states of `curve_results.state_occupation`, in the order they are stacked."""

GROUPS: Mapping[str, Fill] = MappingProxyType({
    "responded_before": BANDS["responded_before"],
    "responded_after": BANDS["responded_after"],
    "trial_complete": Fill("#dd8546", "", INK),
    "stopped_short": Fill("#f2cf9d", "////", INK),
    "not_evaluable": Fill("#eceff1", "....", INK),
})  # fmt: skip
"""The five groups of the partition, in the order they are stacked."""

NAMES: Mapping[str, str] = MappingProxyType({
    "responded_before": "responded before the level",
    "responded_after": "responded after it",
    "responded_unjudged": "responded, level not known",
    "adequate": "at an adequate dose",
    "dipped": "below it again",
    "titrating": "titrating",
    "lapsed": "lapsed",
    "unjudged": "level not known",
    "next_course": "began another course",
    "trial_complete": "trial complete, no response",
    "stopped_short": "stopped short",
    "not_evaluable": "not evaluable",
    "mature": "mature courses",
    "younger": "younger courses",
    "responded": "responded",
    "hidden": "hidden: small numbers",
    "not_followed": "too few followed",
    "too_few_at_risk": "too few at risk",
})  # fmt: skip
"""Readers' words for the ids in these tables; `names=` of each function replaces them."""


def state_occupation(
    table: pd.DataFrame,
    *,
    all_started: pd.DataFrame | None = None,
    marks: Sequence[int] = (30, 60, 180),
    ax: Axes | None = None,
    names: Mapping[str, str] = NO_NAMES,
) -> Axes:
    """Where everyone who started stands, day by day: one band per state, responses at the foot.

    `table` is a `curve_results.state_occupation` table of one group, by day. With `all_started`, the table of
    that name, the top of the responded bands is drawn as a line, with its share and interval on the days in
    `marks`. Below the chart stands how many are still followed without response.

    Raises `ValueError` for an empty table or several groups.

    >>> import pandas as pd
    >>> day = {"criterion": "phq9_response50", "n": 40, "at_risk": 40, "reason": ""}
    >>> ax = state_occupation(pd.DataFrame([
    ...     day | {"day": 0, "state": "responded_before", "share": 0.0},
    ...     day | {"day": 0, "state": "titrating", "share": 1.0},
    ...     day | {"day": 60, "state": "responded_before", "share": 0.25},
    ...     day | {"day": 60, "state": "titrating", "share": 0.75},
    ... ]))
    >>> [band.get_label() for band in ax.collections]
    ['responded_before', 'titrating']
    """
    require_rows(table)
    _one_row_each(table, ["day", "state"])
    words = {**NAMES, **names}
    ax = sized(ax, 7.6, 4.4)
    wide = table.pivot(index="day", columns="state", values="share")
    shown = sorted((str(state) for state in wide), key=_place)
    days, shares = wide.index.to_numpy(), wide[shown].to_numpy().T
    from matplotlib.pyplot import rc_context

    with rc_context({"hatch.linewidth": 0.6, "hatch.color": QUIET}):
        bands = ax.stackplot(days, shares, step="post", edgecolor="white", linewidth=0.6)
        for band, state in zip(bands, shown, strict=True):
            band.set_facecolor(fill_of(state).face)
            band.set_hatch(fill_of(state).hatch)
            band.set_label(state)
    if all_started is not None:
        _response_line(ax, all_started, marks)
    ax.set_xlim(days[0], days[-1])
    percent_axis(ax)
    _name_bands(ax, shares, [(_band(state, words), fill_of(state)) for state in shown])
    _say_missing(ax, table, words)
    _day_axis(ax, table, "days since the first dose", "followed, no response")
    write(ax, days[0], 1.0, f"{count(table['n'].iloc[0])} started", QUIET, va="bottom", pad=0, drop=-4)
    return ax


def from_reached(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = NO_NAMES) -> Axes:
    """Response since the level was reached and, as a thinner line, first lapse; its title says among whom.

    `table` is a `curve_results.from_reached` table of one group, by day. Never draw it on the axes of an
    all-started curve: whoever responded low or dropped out is not in it.

    >>> import pandas as pd
    >>> row = {"among": "those who reached it unresponded", "event": "responded", "n": 30, "reason": ""}
    >>> ax = from_reached(pd.DataFrame([
    ...     row | {"day": 0, "at_risk": 30, "share": 0.0, "low": None, "high": None},
    ...     row | {"day": 30, "at_risk": 20, "share": 0.3, "low": 0.2, "high": 0.45},
    ... ]))
    >>> ax.get_title(loc="left")
    'Among those who reached it unresponded (n = 30)'
    """
    require_rows(table)
    _one_row_each(table, ["day", "event"])
    words = {**NAMES, "lapsed": "lapsed first", **names}
    ax = blank_axes(ax)
    ends: list[tuple[str, str, float | None]] = []
    for at, (event, rows) in enumerate(table.groupby("event", sort=False)):
        style = STYLES[at]
        day = rows["day"].to_numpy(dtype=float)
        low, high = (rows[side].to_numpy(dtype=float) for side in ("low", "high"))
        if event == "responded":
            ax.fill_between(day, low, high, step="post", color=style.colour, alpha=0.15, linewidth=0)
        ax.step(
            day, rows["share"].to_numpy(dtype=float), where="post", color=style.colour,
            linestyle=style.dash, linewidth=2.0 if event == "responded" else 1.2,
        )  # fmt: skip
        known = rows["share"].dropna()
        ends.append(
            (
                words.get(str(event), readable(str(event))),
                style.colour,
                None if known.empty else known.iloc[-1],
            )
        )
    ax.set_xlim(table["day"].min(), table["day"].max())
    percent_axis(ax)
    name_lines(ax, ends, gap=0.075)
    _say_missing(ax, table, words)
    _day_axis(ax, table, "days since the level was reached", "at risk")
    among = require_one(table, "among")
    title(ax, f"Among {among} (n = {count(table['n'].iloc[0])})")
    return ax


def partition(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = NO_NAMES) -> Axes:
    """The five groups of every course as one stacked bar: the mature ones, and apart from them the younger.

    `table` is `groups` of `partition.good_time_summary`, of one group. Lengths are numbers of courses. Only
    the mature bar carries percentages: among younger courses nobody knows yet who is old enough to have
    finished. Hidden numbers are named, not drawn.

    >>> import pandas as pd
    >>> ax = partition(pd.DataFrame({"period": ["mature"] * 2, "group": ["responded_after", "stopped_short"],
    ...     "n": [30, 10], "of": [40, 40], "share": [0.75, 0.25]}))
    >>> [int(bar.get_width()) for bar in ax.patches]
    [30, 10]
    """
    require_rows(table)
    _one_row_each(table, ["period", "group"])
    words = {**NAMES, **names}
    periods = [period for period in ("mature", "younger") if period in set(table["period"])]
    ax = sized(ax, 7.6, 1.6 + 0.8 * len(periods))
    longest = float(table.groupby("period")["n"].sum().max()) or 1.0
    from matplotlib.pyplot import rc_context

    with rc_context({"hatch.linewidth": 0.6, "hatch.color": QUIET}):
        for place, period in enumerate(periods):
            rows = table[table["period"] == period].set_index("group")
            _stacked_bar(ax, place, rows, longest, words, first=place == 0, shares=period == "mature")
    ax.set_yticks(range(len(periods)), [_bar_name(table, period, words) for period in periods])
    as_text(ax.get_yticklabels())
    ax.set_xlim(0, longest)
    ax.set_ylim(len(periods) - 0.65, -1.25)
    ax.xaxis.set_visible(False)
    ax.spines["bottom"].set_visible(False)
    return ax


def _one_row_each(table: pd.DataFrame, keys: list[str]) -> None:
    if table.duplicated(keys).any():
        raise ValueError(
            f"one chart shows one group; this table has several rows for one {' and '.join(keys)}"
        )


def _place(state: str) -> int:
    """Where a state's band is stacked; of states told together, the first."""
    return list(BANDS).index(state.split(JOIN)[0])


def fill_of(state: str) -> Fill:
    """A state's fill; states without response that are told together look like the lapsed."""
    first, *others = state.split(JOIN)
    return BANDS["lapsed" if len(others) > 2 and not first.startswith("responded") else first]


def _band(state: str, words: Mapping[str, str]) -> str:
    """A band's name; of states told together, what they have in common."""
    first, *others = state.split(JOIN)
    if not others:
        return words.get(state, readable(state))
    if first == "responded_after":
        return "responded after it, or not known"
    return "responded" if first.startswith("responded") else "no response yet"


def _response_line(ax: Axes, all_started: pd.DataFrame, marks: Sequence[int]) -> None:
    """The top of the responded bands, with its share and interval on some days."""
    _one_row_each(all_started, ["day"])
    known = all_started[all_started["share"].notna()]
    ax.step(known["day"], known["share"], where="post", color=INK, linewidth=1.8, label="all_started")
    named = known[known["day"].isin(list(marks))]
    for day, height, low, high in named[["day", "share", "low", "high"]].to_numpy(dtype=float):
        if is_number(low) and is_number(high):
            ax.vlines(day, low, high, color=INK, linewidth=1.4)
        ax.plot(day, height, marker="o", markersize=5, color=INK, markeredgecolor="white")
        # The curve only rises, so to the right of a point and below it there is room in the dark bands.
        inside = height >= _ROOM_FOR_TEXT
        write(
            ax, day, height, share(height), "white" if inside else INK, va="top" if inside else "bottom",
            pad=5, drop=7 if inside else -4, fontweight="bold",
        )  # fmt: skip


def _name_bands(ax: Axes, shares: Any, named: Sequence[tuple[str, Fill]]) -> None:
    """Each band's name beside the chart, in the bands' order, with a sample of it."""
    from matplotlib.patches import Rectangle

    known = shares[:, ~np.isnan(shares).any(axis=0)]
    if not known.shape[1]:
        return
    top = np.cumsum(known[:, -1])
    height = top - known[:, -1] / 2
    there = [at for at in range(len(named)) if known[at].max() > 0]
    apart = np.arange(len(there)) * _APART
    # Each at least so far above the one below, and the whole column inside the chart.
    placed = np.maximum.accumulate(height[there] - apart) + apart
    placed = np.minimum(placed, 1 - 0.02 - apart[::-1])
    for at, y in zip(there, placed, strict=True):
        name, fill = named[at]
        ax.add_patch(
            Rectangle(
                (1.015, y - 0.019), 0.026, 0.038, transform=ax.transAxes, clip_on=False, facecolor=fill.face,
                hatch=fill.hatch, edgecolor=QUIET, linewidth=0.6,
            )
        )  # fmt: skip
        write(ax, 1.05, float(y), name, INK, va="center", pad=0, xycoords="axes fraction")


def _say_missing(ax: Axes, table: pd.DataFrame, words: Mapping[str, str]) -> None:
    """A pale stretch over days without numbers, with the reason written in it."""
    missing = table[table["share"].isna()]
    for reason, rows in missing.groupby("reason", sort=False):
        first, last = rows["day"].min(), rows["day"].max()
        ax.axvspan(first, last, facecolor="#f3f5f6", linewidth=0, zorder=0)
        write(ax, (first + last) / 2, 0.5, words.get(str(reason), readable(str(reason))), QUIET, va="center",
              ha="center", pad=0, rotation=90)  # fmt: skip


def _day_axis(ax: Axes, table: pd.DataFrame, days: str, followed: str) -> None:
    """Days, and below them how many are still followed."""
    first, last = int(table["day"].min()), int(table["day"].max())
    step = next((step for step in _TICK_STEPS if last - first <= _MOST_TICKS * step), _TICK_STEPS[-1])
    ticks = [day for day in range(first, last + 1) if day % step == 0]
    ax.set_xticks(ticks)
    at_risk = table.drop_duplicates("day").set_index("day")["at_risk"]
    write(ax, 0, 0, followed, QUIET, va="top", ha="right", pad=-26, drop=19, xycoords="axes fraction")
    for day in ticks:
        if day in at_risk.index:
            write_below(ax, day, count(at_risk[day]), row=1, inside=True)
    under(ax, days, rows=2)


def _stacked_bar(
    ax: Axes,
    place: int,
    rows: pd.DataFrame,
    longest: float,
    words: Mapping[str, str],
    *,
    first: bool,
    shares: bool,
) -> None:
    """One bar of the partition, its numbers in the segments and, above the first, the groups' names."""
    left, hidden = 0.0, list[str]()
    flags: list[tuple[float, str]] = []
    for group, fill in GROUPS.items():
        if group not in rows.index:
            continue
        n, of = (float(rows[column][group]) for column in ("n", "of"))
        name = words.get(group, readable(group))
        if not is_number(n):
            hidden.append(name)
            continue
        if not n:
            continue
        ax.barh(place, n, left=left, height=0.56, color=fill.face, hatch=fill.hatch, edgecolor="white")
        told = [count(n), percent(n, of)] if shares else [count(n)]
        roomy = (max(map(len, told)) + 2) * LETTER * longest <= n
        if roomy:
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5} if fill.hatch else None
            write(
                ax, left + n / 2, place, "\n".join(told), fill.ink, va="center", ha="center", pad=0, bbox=box
            )
        above = ([name] if first else []) + ([] if roomy else [" · ".join(told)])
        if above:
            flags.append((left + n / 2, ": ".join(above)))
        left += n
    if hidden:
        write(ax, left, place, f"hidden: {', '.join(hidden)}", QUIET, va="center", pad=5)
    _fly(ax, flags, place - 0.28, longest)


def _fly(ax: Axes, flags: Sequence[tuple[float, str]], foot: float, longest: float) -> None:
    """Words over segments as flags on poles, each pole tall enough to clear the flags to its right."""
    rows: list[tuple[float, int]] = []
    for x, words in reversed(flags):
        end = x + (len(words) + 2) * LETTER * longest
        row = 1 + max((other for place, other in rows if place < end), default=-1)
        rows.append((x, row))
        height = foot - 0.08 - 0.19 * row
        ax.plot([x, x], [foot, height - 0.12], color=QUIET, linewidth=0.8, clip_on=False)
        write(ax, x, height, words, INK, va="bottom", pad=4, drop=0)


def _bar_name(table: pd.DataFrame, period: str, words: Mapping[str, str]) -> str:
    rows = table[table["period"] == period]
    return f"{words.get(period, readable(period))}\n{count(rows['of'].iloc[0])}"
