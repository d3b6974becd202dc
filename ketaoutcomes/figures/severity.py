"""Severity bands as charts: who stands in which band at each point, and who moved from which band to which.

Finished tables in, Axes out; nothing is estimated here. Bands grow darker with severity, the unscored are
dotted; shares and names stand in and beside them, so the charts survive a greyscale printer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ketaoutcomes.figures.axes import (
    INK,
    NO_NAMES,
    QUIET,
    as_text,
    name_column,
    readable,
    require_one,
    require_rows,
    sized,
    write,
    write_below,
)
from ketaoutcomes.figures.good_time import Fill
from ketaoutcomes.results.wording import HIDDEN, count, is_number, label, plural, share

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

UNSCORED = "unscored"
_SHADES = ("#eef4f8", "#c3dbea", "#82b4d4", "#3a83b4", "#0f4c75", "#062c47")
_DARK = 3  # from this shade on, words in a band are white
_WIDE = 0.62  # of the distance between two points: the width of a bar
_ROOM = 0.045  # of the chart's height: a share is written in a band at least as tall


def bands(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = NO_NAMES) -> Axes:
    """The share in each severity band before treatment and at each point, of all who are due there.

    `table` is a `figure_tables.band_shares` table of one group, instrument and axis. The mildest band lies at
    the foot; the unscored lie on top, so that nobody leaves the picture. Lines join a band's edges from point
    to point; they show shares, not people: who moved is told by `band_flow`.

    Raises `ValueError` for an empty table, or several groups, instruments or axes.

    >>> import pandas as pd
    >>> row = {"axis": "end", "instrument": "phq9", "n": 10}
    >>> ax = bands(pd.DataFrame([
    ...     row | {"point": "before", "band": "severe", "people": 10, "rate": 1.0},
    ...     row | {"point": "end", "band": "severe", "people": 4, "rate": 0.4},
    ...     row | {"point": "end", "band": "unscored", "people": 6, "rate": 0.6},
    ... ]))
    >>> [round(float(bar.get_height()), 2) for bar in ax.patches[:3]]
    [1.0, 0.4, 0.6]
    """
    _one_group(table)
    points = list(dict.fromkeys(table["point"].astype(str)))
    fills = _fills(table["band"])
    ax = sized(ax, 2.2 + 0.75 * len(points), 4.0)
    tops: list[dict[str, float]] = []
    for at, point in enumerate(points):
        own = table[table["point"].astype(str) == point].set_index("band")["rate"]
        tops.append(_bar(ax, at, own, fills))
        n = table.loc[table["point"].astype(str) == point, "n"].iloc[0]
        write_below(ax, at, count(n), row=1, inside=True)
    for at, (left, right) in enumerate(pairwise(tops)):
        for band in left.keys() & right.keys():
            edges = [at + _WIDE / 2, at + 1 - _WIDE / 2]
            ax.plot(edges, [left[band], right[band]], color=QUIET, linewidth=0.6)
    _frame(ax, [names.get(point, label(point)) for point in points])
    write_below(ax, 0, require_one(table, "axis"), row=0)
    write_below(ax, 0, "due", row=1)
    last = table[table["point"].astype(str) == points[-1]].set_index("band")["rate"]
    _name(ax, last, fills, names)
    return ax


def band_flow(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = NO_NAMES) -> Axes:
    """From which severity band to which: ribbons as wide as the people who went that way.

    `table` is a `study.bands()` table of one group, instrument and point; bands at baseline stand at the
    left, those at the point at the right, mildest at the foot, the unscored on top. A hidden number has
    no ribbon.

    Raises `ValueError` for an empty table, or several groups, instruments or points.

    >>> import pandas as pd
    >>> row = {"axis": "end", "instrument": "phq9", "point": "end", "band_from": "severe", "n": 10}
    >>> ax = band_flow(pd.DataFrame([row | {"band_to": "mild", "people": 4},
    ...                              row | {"band_to": "unscored", "people": 6}]))
    >>> [text.get_text() for text in ax.texts]
    ['10', 'severe', '4', 'mild', '6', 'unscored']
    """
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    _one_group(table)
    point = require_one(table, "point")
    fills = _fills([*table["band_from"], *table["band_to"]])
    moved = table.assign(people=table["people"].astype(float))
    moved = moved.iloc[np.lexsort([_places(moved["band_to"], fills), _places(moved["band_from"], fills)])]
    ax = sized(ax, 6.4, 4.6)
    whole = float(moved["people"].sum()) or 1.0
    left = _stack(moved, "band_from", fills)
    right = _stack(moved, "band_to", fills)
    for one in moved[moved["people"] > 0].to_dict("records"):
        start, end, wide = str(one["band_from"]), str(one["band_to"]), float(one["people"])
        low, high = left[start][0], right[end][0]
        left[start] = (low + wide, *left[start][1:])
        right[end] = (high + wide, *right[end][1:])
        corners = [(0.12, low), (0.5, low), (0.5, high), (0.88, high)]
        back = [(0.88, high + wide), (0.5, high + wide), (0.5, low + wide), (0.12, low + wide)]
        codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3]
        fill = fills[end]
        ribbon = PathPatch(
            Path([*corners, *back], codes), facecolor=fill.face, hatch=fill.hatch, alpha=0.75,
            edgecolor=QUIET, linewidth=0.4,
        )  # fmt: skip
        ax.add_patch(ribbon)
    for place, stack, side in ((0.0, left, "right"), (0.88, right, "left")):
        _column(ax, place, stack, fills, side, names)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, whole)
    ax.set_yticks([])
    ax.set_xticks([0.06, 0.94], ["before", names.get(point, label(point))])
    as_text(ax.get_xticklabels())
    ax.spines["bottom"].set_visible(False)
    hidden = int(table["people"].isna().sum())
    told = f"{count(whole)} people due"
    if hidden:
        told = f"{count(whole)} people shown; {hidden} {plural(hidden, 'way', 'ways')} hidden"
    ax.set_title(told, loc="left", fontsize=10, color=QUIET, parse_math=False)
    return ax


def _one_group(table: pd.DataFrame) -> None:
    require_rows(table)
    for column in table.columns[: list(table.columns).index("point")]:
        require_one(table, str(column))


def _fills(named: Any) -> dict[str, Fill]:
    """How each band looks, in the table's order: paler is milder; the unscored last."""
    found = [band for band in dict.fromkeys(map(str, named)) if band != UNSCORED]
    steps = [round(at * (len(_SHADES) - 2) / max(len(found) - 1, 1)) for at in range(len(found))]
    fills = {
        band: Fill(_SHADES[at], "", "white" if at >= _DARK else INK)
        for band, at in zip(found, steps, strict=True)
    }
    return fills | {UNSCORED: Fill("#ffffff", "....", INK)}


def _places(values: pd.Series[str], fills: Mapping[str, Fill]) -> Any:
    order = {band: at for at, band in enumerate(fills)}
    return values.map(order).to_numpy()


def _bar(ax: Axes, at: int, shares: pd.Series[float], fills: Mapping[str, Fill]) -> dict[str, float]:
    """One stacked bar, its shares written in it; returns the top of each band."""
    foot, tops = 0.0, dict[str, float]()
    if not is_number(shares.sum(skipna=False)):
        write(ax, at, 0.02, HIDDEN, QUIET, va="bottom", ha="center", pad=0, rotation=90)
        return tops
    for band, fill in fills.items():
        if band not in shares.index:
            continue
        tall = float(shares[band])
        ax.bar(
            at, tall, bottom=foot, width=_WIDE, color=fill.face, hatch=fill.hatch, edgecolor=QUIET,
            linewidth=0.6,
        )  # fmt: skip
        if tall >= _ROOM:
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0} if fill.hatch else None
            write(ax, at, foot + tall / 2, share(tall), fill.ink, va="center", ha="center", pad=0, bbox=box)
        foot += tall
        tops[band] = foot
    return tops


def _frame(ax: Axes, points: Sequence[str]) -> None:
    ax.set_xticks(range(len(points)), list(points))
    as_text(ax.get_xticklabels())
    ax.set_xlim(-0.5, len(points) - 0.5)
    ax.set_ylim(0, 1)
    ax.set_yticks([])
    ax.spines["bottom"].set_visible(False)


def _name(ax: Axes, shares: pd.Series[float], fills: Mapping[str, Fill], names: Mapping[str, str]) -> None:
    """Each band's name beside the last bar."""
    foot, ends = 0.0, []
    for band in fills:
        if band in shares.index and is_number(shares[band]):
            tall = float(shares[band])
            if tall:
                ends.append((names.get(band, readable(band)), foot + tall / 2))
            foot += tall
    name_column(ax, ends)


def _stack(
    moved: pd.DataFrame, column: str, fills: Mapping[str, Fill]
) -> dict[str, tuple[float, float, float]]:
    """Each band's next free height, its foot and its height in one column."""
    foot, found = 0.0, dict[str, tuple[float, float, float]]()
    for band in fills:
        tall = float(moved.loc[moved[column] == band, "people"].sum())
        found[band] = (foot, foot, tall)
        foot += tall
    return found


def _column(
    ax: Axes, place: float, stack: Mapping[str, tuple[float, float, float]], fills: Mapping[str, Fill],
    side: str, names: Mapping[str, str],
) -> None:  # fmt: skip
    """One column of bands, the number in each and its name outside."""
    whole = sum(tall for _, _, tall in stack.values()) or 1.0
    for band, (_, foot, tall) in stack.items():
        if not tall:
            continue
        fill = fills[band]
        ax.bar(
            place, tall, bottom=foot, width=0.12, align="edge", color=fill.face, hatch=fill.hatch,
            edgecolor=QUIET, linewidth=0.6,
        )  # fmt: skip
        middle = foot + tall / 2
        if tall >= _ROOM * whole:
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0} if fill.hatch else None
            write(ax, place + 0.06, middle, count(tall), fill.ink, va="center", ha="center", pad=0, bbox=box)
        outside, pad = (0.0, -6) if side == "right" else (1.0, 6)
        name = names.get(band, readable(band))
        told = name if tall >= _ROOM * whole else f"{name}, {count(tall)}"
        write(ax, outside, middle, told, INK, va="center", ha=side, pad=pad)
