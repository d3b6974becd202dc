"""Curves as charts: how soon people responded, and whether it lasted, with who was still at risk beneath.

Finished tables in, Axes out; nothing is estimated here. A curve stops where its table stops, and
says why; lines differ by colour, dash and brightness and carry their names, with how many started.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from ketaoutcomes.figures.axes import (
    MOST_SERIES,
    NO_NAMES,
    QUIET,
    STYLES,
    Style,
    last_known,
    name_lines,
    percent_axis,
    readable,
    require_rows,
    sized,
    under,
    write,
)
from ketaoutcomes.results.wording import count

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_KEYS_END = "clock"  # the columns before it tell lines apart
_TICK_STEPS = (1, 2, 7, 14, 28, 56, 91, 182, 365)
_MOST_TICKS = 8
_APART = 0.075  # of the chart's height: the least distance between two names
_ROOM_FOR_WORDS = 0.06  # of the chart's width: less, and words on their side would leave it
NAMES: Mapping[str, str] = MappingProxyType({
    "hidden": "hidden: small numbers",
    "not_followed": "nobody followed",
    "too_few_at_risk": "too few at risk",
    "nobody_at_risk": "nobody",
    "not_visit_based": "no sessions in this protocol",
    "not_due": "not due yet",
    "not_scheduled": "no scores planned at sessions",
    "lapse": "lapsed first",
    "end": "course ended first",
    "stopped": "stopped first",
    "retreated": "treated again first",
    "others": "whatever became of the others",
})  # fmt: skip
"""Readers' words for the ids in these tables; `names=` of each function replaces them."""


def curve(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = NO_NAMES) -> Axes:
    """The share of all who started that has met a criterion, by day or by session, with intervals.

    `table` is a `response_curves.curve` table; one line per combination of what varies in it. A single line
    is joined by a thin one: the share who stopped before a response. Below the chart stands how many were
    still at risk.

    Raises `ValueError` for an empty table, or more than six lines.

    >>> import pandas as pd
    >>> row = {"criterion": "phq9_response50", "clock": "first_dose", "competing": "lapse", "n": 40,
    ...        "low": None, "high": None, "reason": ""}
    >>> ax = curve(pd.DataFrame([
    ...     row | {"day": 0, "at_risk": 40, "estimate": 0.0, "stopped_share": 0.0},
    ...     row | {"day": 14, "at_risk": 25, "estimate": 0.3, "stopped_share": 0.1},
    ... ]))
    >>> [text.get_text() for text in ax.texts][-2:]
    ['lapsed first', 'phq9 response50 (n = 40)']
    """
    require_rows(table)
    words = {**NAMES, **names}
    axis = "session" if "session" in table else "day"
    lines = _lines(table, words)
    ends = []
    ax = sized(ax, 7.2, 3.6 + 0.22 * len(lines))
    for style, name, rows in lines:
        _step(ax, style, axis, rows, "estimate")
        ends.append((name, style.colour, last_known(rows["estimate"])))
    if len(lines) == 1:
        rows = lines[0][2]
        ax.step(
            rows[axis].to_numpy(dtype=float), rows["stopped_share"].to_numpy(dtype=float), where="post",
            color=QUIET, linewidth=1.1, linestyle=":",
        )  # fmt: skip
        stopped = str(rows["competing"].iloc[0])
        ends.append((words.get(stopped, readable(stopped)), QUIET, last_known(rows["stopped_share"])))
    told = "sessions received" if axis == "session" else "days since the first dose"
    _finish(ax, axis, told, "estimate", lines, ends, words)
    return ax


def durability(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = NO_NAMES) -> Axes:
    """The share of responses without a relapse, by day since the response, with intervals.

    `table` is `durability.Durability.curve` or a `durability.relapse_curve`; one line per combination of what
    varies in it. Below the chart stands how many were still followed without a relapse.

    Raises `ValueError` for an empty table, or more than six lines.

    >>> import pandas as pd
    >>> row = {"criterion": "phq9_response50", "relapse": "lost", "clock": "response", "n": 40, "reason": ""}
    >>> ax = durability(pd.DataFrame([
    ...     row | {"day": 0, "at_risk": 40, "no_relapse": 1.0, "low": None, "high": None},
    ...     row | {"day": 28, "at_risk": 25, "no_relapse": 0.8, "low": 0.6, "high": 0.9},
    ... ]))
    >>> [text.get_text() for text in ax.texts][-1]
    'lost (n = 40)'
    """
    require_rows(table)
    words = {**NAMES, **names}
    lines = _lines(table, words, one="relapse")
    ax = sized(ax, 7.2, 3.6 + 0.22 * len(lines))
    ends = []
    for style, name, rows in lines:
        _step(ax, style, "day", rows, "no_relapse")
        ends.append((name, style.colour, last_known(rows["no_relapse"])))
    _finish(ax, "day", "days since the response", "no_relapse", lines, ends, words)
    return ax


def kept(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = NO_NAMES) -> Axes:
    """The share of early responses that had not been lost by named days, with intervals and bounds.

    `table` is one group of `lasting_results.kept`; days that are hidden are passed over. The pale band
    reaches from what it would be had everyone not scored any more lost it to what it would be had none.

    Raises `ValueError` for an empty table, or more than one group.

    >>> import pandas as pd
    >>> row = {"criterion": "phq9_response50", "relapse": "lost", "clock": "response", "n": 40, "reason": ""}
    >>> ax = kept(pd.DataFrame([
    ...     row | {"day": 0, "at_risk": 40, "no_relapse": 1.0, "low": None, "high": None,
    ...            "kept_at_least": 1.0, "kept_at_most": 1.0},
    ...     row | {"day": 28, "at_risk": 25, "no_relapse": 0.8, "low": 0.6, "high": 0.9,
    ...            "kept_at_least": 0.6, "kept_at_most": 0.85},
    ... ]))
    >>> [text.get_text() for text in ax.texts][-2:]
    ['whatever became of the others', 'phq9 response50 (n = 40)']
    """
    require_rows(table)
    known = table[table["no_relapse"].notna()]
    words = {**NAMES, **names}
    lines = _lines(known, words)
    if len(lines) > 1:
        raise ValueError(f"{len(lines)} groups cannot be drawn in one chart; choose one")
    ax = sized(ax, 7.2, 3.8)
    ((style, name, rows),) = lines
    day, share, low, high, least, most = (
        rows[column].to_numpy(dtype=float)
        for column in ("day", "no_relapse", "low", "high", "kept_at_least", "kept_at_most")
    )
    ax.fill_between(day, least, most, color=QUIET, alpha=0.16, linewidth=0)
    ax.vlines(day, low, high, color=style.colour, linewidth=1.4)
    ax.plot(day, share, color=style.colour, linewidth=1.8, marker=style.marker, markersize=5.5,
            markeredgecolor="white", clip_on=False)  # fmt: skip
    ends = [(name, style.colour, float(share[-1])), (words["others"], QUIET, float(least[-1]))]
    _finish(ax, "day", "days since the response", "no_relapse", lines, ends, words)
    return ax


Lines = Sequence[tuple[Style, str, "pd.DataFrame"]]


def _lines(table: pd.DataFrame, words: Mapping[str, str], one: str = "criterion") -> Lines:
    """Each line of the chart: how it looks, its name with how many started, and its rows."""
    keys = list(table.columns)[: list(table.columns).index(_KEYS_END)]
    varying = [key for key in keys if table[key].nunique(dropna=False) > 1]
    groups = list(table.groupby(varying, sort=False, dropna=False)) if varying else [((), table)]
    if len(groups) > MOST_SERIES:
        raise ValueError(
            f"{len(groups)} lines ({' × '.join(varying)}) cannot be told apart in one chart; the most is "
            f"{MOST_SERIES}: choose criteria=, relapse= or one group"
        )
    found = []
    for number, (style, (key, rows)) in enumerate(zip(STYLES, groups, strict=False), start=1):
        parts = [str(part) for part in (key if isinstance(key, tuple) else (key,))]
        name = ", ".join(words.get(part, readable(part)) for part in parts or [str(table[one].iloc[0])])
        # The number tells a line's row of people at risk where colours do not print.
        place = f"{number}  " if varying else ""
        found.append((style, f"{place}{name} (n = {count(rows['n'].iloc[0])})", rows))
    return found


def _step(ax: Axes, style: Style, axis: str, rows: pd.DataFrame, value: str) -> None:
    """A line of steps with its interval; by session, points with bars."""
    at, low, high, share = (rows[name].to_numpy(dtype=float) for name in (axis, "low", "high", value))
    if axis == "session":
        ax.vlines(at, low, high, color=style.colour, linewidth=1.1)
        ax.plot(at, share, color=style.colour, linestyle=style.dash, linewidth=1.6, marker=style.marker,
                markersize=5.5, markeredgecolor="white", clip_on=False)  # fmt: skip
        return
    ax.fill_between(at, low, high, step="post", color=style.colour, alpha=0.13, linewidth=0)
    ax.step(at, share, where="post", color=style.colour, linestyle=style.dash, linewidth=1.8)


def _finish(
    ax: Axes, axis: str, told: str, value: str, lines: Lines, ends: Sequence[tuple[str, str, float | None]],
    words: Mapping[str, str],
) -> None:  # fmt: skip
    """Axes, the numbers at risk beneath, why lines stop, and the lines' names."""
    every = sorted({float(at) for _, _, rows in lines for at in rows[axis].dropna()}) or [0.0, 1.0]
    first, last = int(every[0]), int(every[-1])
    step = next((one for one in _TICK_STEPS if last - first <= _MOST_TICKS * one), _TICK_STEPS[-1])
    ticks = [at for at in range(first, last + 1) if at % step == 0]
    ax.set_xticks(ticks)
    ax.set_xlim(
        first - (0.3 if axis == "session" else 0), max(last + (0.3 if axis == "session" else 0), first + 1)
    )
    ax.grid(axis="y", visible=True)
    percent_axis(ax)
    write(ax, 0, 0, "at risk", QUIET, va="top", ha="right", pad=-34, drop=19, xycoords="axes fraction")
    for place, (style, _, rows) in enumerate(lines):
        if len(lines) > 1:
            _left_of(ax, str(1 + place), 1 + place, style.colour)
        known = rows.dropna(subset=[axis]).assign(at=lambda own: own[axis].astype(float)).sort_values("at")
        for at in ticks:
            exact = known[known["at"] <= at].tail(1)
            if len(exact) and float(exact["at"].iloc[0]) == at:
                _coloured(ax, at, count(exact["at_risk"].iloc[0]), 1 + place, style.colour)
                if len(lines) > 1 and axis == "day":  # a mark on the line, for those who see no colours
                    ax.plot(at, exact[value].iloc[0], marker=style.marker, markersize=5, color=style.colour,
                            markeredgecolor="white", clip_on=False)  # fmt: skip
    under(ax, told, rows=1 + len(lines))
    _say_why(ax, axis, lines, words, last)
    name_lines(ax, ends, gap=_APART)


def _left_of(ax: Axes, words: str, row: int, colour: str) -> None:
    """The number of a line before its row below the axis."""
    ax.annotate(
        words, (0, 0), xycoords="axes fraction", xytext=(-24, -6 - 13 * row), textcoords="offset points",
        annotation_clip=False, ha="right", va="top", fontsize=9.5, color=colour, parse_math=False,
    )  # fmt: skip


def _coloured(ax: Axes, x: float, words: str, row: int, colour: str) -> None:
    """A number below the axis in the colour of its line."""
    ax.annotate(
        words, (x, 0), xycoords=ax.get_xaxis_transform(), xytext=(0, -6 - 13 * row),
        textcoords="offset points", annotation_clip=False, ha="center", va="top", fontsize=9.5, color=colour,
        parse_math=False,
    )  # fmt: skip


def _say_why(ax: Axes, axis: str, lines: Lines, words: Mapping[str, str], last: int) -> None:
    """Where every line has stopped, a pale stretch with the reason; a line that stops earlier just ends."""
    stops = []
    for _, _, rows in lines:
        missing = rows[rows["reason"].astype(bool)]
        if missing.empty:
            return
        known = missing[axis].dropna()
        stops.append((float(known.min()) if len(known) else 0.0, str(missing["reason"].iloc[0])))
    begin, reason = max(stops)
    ax.axvspan(begin, max(last, begin + 1), facecolor="#f3f5f6", linewidth=0, zorder=0)
    if last - begin < _ROOM_FOR_WORDS * last:
        return
    write(ax, (begin + last) / 2, 0.5, words.get(reason, readable(reason)), QUIET, va="center", ha="center",
          pad=0, rotation=90)  # fmt: skip
