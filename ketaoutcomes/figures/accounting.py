"""Everyone accounted for, as charts: who was scored, and who left where and why.

A finished table in, Axes out, nothing computed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from ketaoutcomes.figures.axes import (
    INK,
    NO_NAMES,
    QUIET,
    STYLES,
    as_text,
    blank_axes,
    readable,
    require_one,
    require_rows,
    sized,
    title,
    write,
    write_below,
)
from ketaoutcomes.results.wording import HIDDEN, NONE, count, is_number, label, percent, share

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


REASONS: Mapping[str, str] = MappingProxyType({
    "courses": "courses on record",
    "eligible": "eligible: first course judged",
    "due": "due by the last day on record",
    "scored": "scored at the end of induction",
    "below_gate": "baseline below the gate",
    "later_course": "later course of the same person",
    "no_baseline": "no baseline score",
    "not_due": "not due yet",
    "unscored": "not scored",
})  # fmt: skip
"""Readers' words for the steps and reasons of `figure_tables.consort`, as `names=` of `flow`."""

_PALE, _FULL = (247, 250, 252), (107, 166, 204)  # nobody scored, everybody: words stay readable on both
_BOX = {"boxstyle": "round,pad=0.5", "facecolor": "white", "linewidth": 1}


def measured(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = NO_NAMES) -> Axes:
    """How many started, had a baseline, any score and an end score: one bar per step, its count written out.

    `table` is a `course_results.measured` table of one instrument and group.

    >>> import pandas as pd
    >>> steps = pd.DataFrame({"step": ["started", "baseline"], "n": [90, 80], "of": [90, 90]})
    >>> print(*(text.get_text().replace("\\u202f", " ") for text in measured(steps).texts), sep=" | ")
    90 | 80 (89 %)
    """
    require_rows(table)
    ax = blank_axes(ax)
    steps = [names.get(str(step), readable(str(step))) for step in table["step"]]
    for place, (n, of) in enumerate(zip(table["n"], table["of"], strict=True)):
        if is_number(n):
            ax.barh(place, n, color=STYLES[0].colour, height=0.55)
        told = place > 0 and is_number(n) and is_number(of)
        written = f"{count(n)} ({percent(n, of)})" if told else count(n)
        write(ax, n if is_number(n) else 0, place, written, INK, va="center", pad=5)
    ax.set_yticks(range(len(steps)), steps)
    as_text(ax.get_yticklabels())
    ax.invert_yaxis()
    ax.xaxis.set_visible(False)
    ax.grid(visible=False)
    ax.spines["bottom"].set_visible(False)
    return ax


def flow(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = NO_NAMES) -> Axes:
    """Everyone accounted for: a column of boxes, and beside each what left there and why.

    `table` has one row per line, drawn in order down the page: `step` (the box), `reason` (blank for the
    number in the box, else why people left after the previous one) and `n`.

    >>> import pandas as pd
    >>> ax = flow(pd.DataFrame({"step": ["started", "eligible", "eligible"],
    ...     "reason": ["", "no_baseline", ""], "n": [90, 10, 80]}))
    >>> [text.get_text() for text in ax.texts]
    ['started\\n90', 'no baseline: 10', 'eligible\\n80']
    """
    require_rows(table)
    ax = sized(ax, 6.4, 0.9 * (table["reason"] == "").sum() + 0.2 * len(table))
    ax.axis("off")
    box = _BOX | {"edgecolor": INK}
    height, above = 0.0, None
    left: list[str] = []
    for step, reason, n in zip(table["step"], table["reason"], table["n"], strict=True):
        if reason:
            left.append(f"{names.get(str(reason), readable(str(reason)))}: {count(n)}")
            continue
        told = f"{names.get(str(step), readable(str(step)))}\n{count(n)}"
        foot = height - (0.0 if above is None else 1.3 + 0.32 * len(left))
        if above is not None:
            _arrow(ax, (0.0, above - 0.33), (0.0, foot + 0.33))
            _beside(ax, (above + foot) / 2, left)
        write(ax, 0.0, foot, told, INK, va="center", ha="center", pad=0, bbox=box)
        height, above, left = foot, foot, []
    if left:  # reasons after the last box, or without any
        height -= 0.8 + 0.16 * len(left)
        _beside(ax, height, left)
    ax.set_xlim(-0.25, 0.75)
    ax.set_ylim(height - 0.5, 0.5)
    return ax


def completeness(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = NO_NAMES) -> Axes:
    """How many of those due were scored: a cell per instrument and point, darker where more were.

    `table` is a `figure_tables.completeness` table of one axis; its groups have rows of their own. Every cell
    says its share and how many were due; a hidden share says so, and a point nobody was due at has a dash.

    >>> import pandas as pd
    >>> ax = completeness(pd.DataFrame({"axis": ["week"] * 2, "instrument": ["phq9"] * 2, "point": ["1", "2"],
    ...     "due": [80, 80], "assessed": [60, 40], "share": [0.75, 0.5]}))
    >>> [text.get_text().replace("\\u202f", " ") for text in ax.texts[:2]]
    ['75 %\\nof 80', '50 %\\nof 80']
    """
    from matplotlib.patches import Rectangle

    require_rows(table)
    axis = require_one(table, "axis")
    keys = [str(column) for column in table.columns[: list(table.columns).index("point")] if column != "axis"]
    varying = [key for key in keys if table[key].nunique(dropna=False) > 1] or keys[-1:]
    points = sorted(
        set(table["point"].astype(str)), key=lambda point: (not point.isdigit(), len(point), point)
    )
    groups = list(table.groupby(varying, sort=False, dropna=False))
    ax = sized(ax, 2.4 + 0.72 * len(points), 0.9 + 0.55 * len(groups))
    rows = []
    for place, (key, own) in enumerate(groups):
        rows.append(", ".join(names.get(str(part), readable(str(part))) for part in key))
        for point, due, scored in zip(own["point"].astype(str), own["due"], own["share"], strict=True):
            at = points.index(point)
            square = Rectangle((at - 0.5, place - 0.5), 1, 1, facecolor=_shade(scored), edgecolor="white")
            ax.add_patch(square)
            told = f"{share(scored)}\nof {count(due)}" if is_number(scored) else NONE if due == 0 else HIDDEN
            write(ax, at, place, told, INK, va="center", ha="center", pad=0)
    ax.set_yticks(range(len(rows)), rows)
    ax.set_xticks(range(len(points)), [label(point) for point in points])
    as_text([*ax.get_yticklabels(), *ax.get_xticklabels()])
    ax.set_xlim(-0.5, len(points) - 0.5)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.spines["bottom"].set_visible(False)
    write_below(ax, 0, axis, row=0)
    title(ax, "Scored, of those due", pad=8)
    return ax


def _shade(scored: float) -> str | tuple[float, ...]:
    """The colour of a cell: from pale where nobody was scored to full where everybody was."""
    if not is_number(scored):
        return "white"
    return tuple((pale + scored * (full - pale)) / 255 for pale, full in zip(_PALE, _FULL, strict=True))


def _beside(ax: Axes, height: float, left: list[str]) -> None:
    """Who left between two boxes and why, with an arrow to it."""
    if left:
        _arrow(ax, (0.0, height), (0.2, height))
        box = _BOX | {"edgecolor": QUIET}
        write(ax, 0.2, height, "\n".join(left), QUIET, va="center", pad=9, bbox=box)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    from matplotlib.patches import FancyArrowPatch

    ax.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=10, color=QUIET, linewidth=1, shrinkA=0, shrinkB=2,
            clip_on=False,
        )
    )  # fmt: skip
