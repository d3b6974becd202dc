"""A headline rate beside what it becomes under other definitions, as a forest of intervals.

A finished table in, Axes out; nothing is estimated here. A variant without a rate, or for which nobody was
scored, keeps its line and says why; names from data are drawn as text. The headline is told by shape and
weight, not by colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import wrap
from types import MappingProxyType
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
    require_one,
    require_rows,
    write,
)
from ketaoutcomes.results.wording import count, is_number, label, share

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_HEADINGS: Mapping[str, str] = MappingProxyType({
    "headline": "headline",
    "analysis": "missing scores",
    "kind": "which scores",
    "baseline_days": "baseline",
    "criterion": "criterion",
    "gate": "baseline gate",
})  # fmt: skip
_WHY: Mapping[str, str] = MappingProxyType({
    "no_criterion": "none declared",
    "no_gate": "no gate published",
    "nobody_due": "nobody due",
    "nobody_scored": "nobody scored",
    "no_cut_day": "end of records not known",
})  # fmt: skip
_LINE, _MARGIN = 0.27, 1.25  # inches: a line of the forest, and what stands above and below all of them


def forest(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = NO_NAMES) -> Axes:
    """The headline rate and each change of one definition: rate, interval and n, one line each.

    `table` is a `study.sensitivity()` table of one headline, group and point; of one that holds combinations
    only the changes of a single definition are drawn. A dashed line marks the headline's rate. `names` gives
    readers' words for ids.

    Raises `ValueError` for an empty table, or several headlines, groups or points.

    >>> ax = forest(study.sensitivity("phq9_response50"))
    >>> print(ax.get_title(loc="left"), "|", ax.get_yticklabels()[0].get_text())
    phq9 response50, end | as the plan has it
    """
    require_rows(table)
    groups = list(table.columns[: list(table.columns).index("axis")])
    about = [require_one(table, column) for column in (*groups, "headline", "point")]
    rows = table[table["changes"] <= 1]
    lead = rows.iloc[0]
    ax = _sized(ax, _LINE * (len(rows) + 8) + _MARGIN)
    if lead["axis"] != "end" and about[-1]:
        about[-1] = f"{lead['axis']} {about[-1]}"
    told = ", ".join(names.get(part, readable(part)) for part in about if part)
    ax.set_title(label(told, longest=90), loc="left", fontsize=11, color=INK, pad=22, parse_math=False)
    if is_number(lead["rate"]):
        ax.axvline(lead["rate"], color=QUIET, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    ticks, words, place, before = [], [], 0.0, ""
    for row in rows.to_dict("records"):
        heading = str(row["variant"]).partition(" = ")[0]
        if heading != before:
            place += 0.0 if not before else 0.45
            if heading != "headline":
                _aside(ax, place, names.get(heading, _HEADINGS.get(heading, readable(heading))))
                place += 1.0
        before = heading
        _draw(ax, place, row, heading == "headline")
        ticks.append(place)
        words.append("\n".join(wrap(label(row["differs"] or "as the plan has it", longest=120), 44)))
        place += 1.0
    ax.set_yticks(ticks, words)
    as_text(ax.get_yticklabels())
    ax.set_ylim(place - 0.3, -0.8)
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25", "50", "75", "100 %"])
    write(ax, 1.0, -0.8, "rate of n", QUIET, va="bottom", pad=8)
    return ax


def _sized(ax: Axes | None, height: float) -> Axes:
    if ax is None:
        from matplotlib import pyplot as plt

        _, ax = plt.subplots(figsize=(8.2, height), layout="constrained")
    ax = blank_axes(ax)
    ax.grid(visible=False)
    ax.grid(axis="x", color=GRID, linewidth=0.8)
    return ax


def _aside(ax: Axes, place: float, words: str) -> None:
    ax.annotate(
        label(words), (0, place), xycoords=ax.get_yaxis_transform(), xytext=(-5, 0),
        textcoords="offset points", ha="right", va="center", fontsize=9, color=INK, weight="bold",
        parse_math=False, annotation_clip=False,
    )  # fmt: skip


def _draw(ax: Axes, place: float, row: Mapping[Any, Any], headline: bool) -> None:
    """One line of the forest: the interval, the rate on it, and both in words at its right."""
    unseen = is_number(row["assessed"]) and not row["assessed"]  # 0 % of nobody scored is no rate to look at
    if unseen or not is_number(row["rate"]):
        reason = str(row["reason"]) or "nobody_scored"
        why = _WHY.get(reason, readable(reason))
        write(ax, 1.0, place, why, QUIET, va="center", pad=8)
        return
    style = STYLES[0]
    ax.plot(
        [row["low"], row["high"]], [place, place], color=INK if headline else style.colour,
        linewidth=2.4 if headline else 1.5, solid_capstyle="butt", clip_on=False,
    )  # fmt: skip
    ax.plot(
        [row["rate"]], [place], linestyle="none", marker="D" if headline else style.marker,
        markersize=7 if headline else 5, color=INK if headline else style.colour, clip_on=False,
    )  # fmt: skip
    of = count(float(row["n"])) if is_number(row["n"]) else count(None)
    write(ax, 1.0, place, f"{share(row['rate'])} of {of}", INK, va="center", pad=8)
