"""How often something was seen after a dose, session by session, as a drawing.

A finished table in, Axes out; nothing is estimated here. Of those on record only: how many they
are stands below the chart, since a session without a record is in no share. Survives a greyscale printer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ketaoutcomes.figures.axes import (
    NO_NAMES,
    as_text,
    blank_axes,
    draw_line,
    last_known,
    lines_of,
    name_lines,
    percent_axis,
    readable,
    require_rows,
    say_hidden,
    title,
    write_below,
)
from ketaoutcomes.results.wording import capital, count, label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_COLUMNS = ("axis", "point", "n", "rate", "low", "high", "reason")


def side_effects(
    table: pd.DataFrame,
    measure: str = "dissociation",
    *,
    ax: Axes | None = None,
    names: Mapping[str, str] = NO_NAMES,
) -> Axes:
    """The share in whom an event was seen at each session, with intervals; one line per group.

    `table` is a `study.safety()` or `safety_results.safety` table. Below the chart stands, for each line, how
    many sessions are on record. `names` gives readers' words for ids.

    Raises `ValueError` where the table has no such event by session, or more than six lines.

    >>> import pandas as pd
    >>> row = {"protocol": "iv6", "axis": "session", "measure": "nausea", "statistic": "share", "reason": ""}
    >>> ax = side_effects(pd.DataFrame([
    ...     row | {"point": "1", "n": 80, "value": 0.25, "low": 0.17, "high": 0.35},
    ...     row | {"point": "2", "n": 75, "value": 0.20, "low": 0.13, "high": 0.30},
    ... ]), "nausea")
    >>> [float(y) for y in ax.get_lines()[0].get_ydata()]
    [0.25, 0.2]
    >>> [text.get_text() for text in ax.texts]
    ['iv6, n', '80', '75', 'session', 'iv6']
    """
    own = table[
        (table["axis"] == "session") & (table["measure"] == measure) & (table["statistic"] == "share")
    ]
    by = list(table.columns[: list(table.columns).index("axis")])
    shown = own.rename(columns={"value": "rate"})[[*by, *_COLUMNS]]
    require_rows(shown)
    points = sorted({str(point) for point in shown["point"]}, key=int)
    places = {point: float(point) for point in points}
    ax = blank_axes(ax)
    ends = []
    for row, (style, shift, name, rows) in enumerate(lines_of(shown, names, list(places.values())), start=1):
        at = [places[str(point)] + shift for point in rows["point"]]
        draw_line(ax, style, at, rows)
        ends.append((name, style.colour, last_known(rows["rate"])))
        write_below(ax, 0, f"{name}, n", row=row)
        for point, n in zip(rows["point"], rows["n"], strict=True):
            write_below(ax, places[str(point)], count(n), row=row, inside=True)
    say_hidden(ax, shown, places)
    percent_axis(ax)
    ax.set_xticks(list(places.values()), [label(point) for point in points])
    as_text(ax.get_xticklabels())
    room = 0.075 * (len(points) - 1) or 0.5
    ax.set_xlim(min(places.values()) - room, max(places.values()) + room)
    write_below(ax, 0, "session", row=0)
    name_lines(ax, ends, gap=0.085)
    what = names.get(measure, readable(measure))
    title(ax, f"{capital(what)} by session, of those on record", pad=8)
    return ax
