"""Everyone accounted for, as charts: who was scored, and who left where and why.

A finished table in, Axes out, nothing computed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ketaoutcomes.figures.axes import (
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
from ketaoutcomes.wording import count, is_number, percent

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def measured(table: pd.DataFrame, *, ax: Axes | None = None, names: Mapping[str, str] = NO_NAMES) -> Axes:
    """How many started, had a baseline, any score and an end score: one bar per step, its count written out.

    `table` is a `results.measured` table of one instrument and group.

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
    ax = blank_axes(ax)
    ax.axis("off")
    box = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": INK, "linewidth": 1}
    height, last_box = 0.0, None
    for step, reason, n in zip(table["step"], table["reason"], table["n"], strict=True):
        if reason:
            height -= 0.5
            ax.plot([0.0, 0.16], [height, height], color=QUIET, linewidth=1)
            written = f"{names.get(str(reason), readable(str(reason)))}: {count(n)}"
            write(ax, 0.17, height, written, QUIET, va="center")
            continue
        height -= 1.0
        if last_box is not None:
            ax.plot([0.0, 0.0], [last_box, height], color=QUIET, linewidth=1, zorder=0)
        written = f"{names.get(str(step), readable(str(step)))}\n{count(n)}"
        write(ax, 0.0, height, written, INK, va="center", ha="center", pad=0, bbox=box)
        last_box = height
    ax.set_xlim(-0.25, 0.75)
    ax.set_ylim(height - 0.6, -0.4)
    return ax
