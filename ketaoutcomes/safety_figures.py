"""How often something was seen after a dose, session by session, as a drawing.

As `figures`: a finished table in, Axes out, nothing estimated here. Of those on record only: how many they
are stands below the chart, since a session without a record is in no share. Survives a greyscale printer.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from ketaoutcomes.figures import (
    _below,
    _blank,
    _filled,
    _last,
    _line,
    _name_lines,
    _percent_axis,
    _plain,
    _say_hidden,
    _series,
    _words,
)
from ketaoutcomes.good_time_figures import title
from ketaoutcomes.wording import count, label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_NOTHING: Mapping[str, str] = MappingProxyType({})
_COLUMNS = ("axis", "point", "n", "rate", "low", "high", "reason")


def by_session(
    table: pd.DataFrame,
    measure: str = "dissociation",
    *,
    ax: Axes | None = None,
    names: Mapping[str, str] = _NOTHING,
) -> Axes:
    """The share in whom an event was seen at each session, with intervals; one line per group.

    `table` is a `study.safety()` or `safety_results.safety` table. Below the chart stands, for each line, how
    many sessions are on record. `names` gives readers' words for ids.

    Raises `ValueError` where the table has no such event by session, or more than six lines.

    >>> import pandas as pd
    >>> row = {"protocol": "iv6", "axis": "session", "measure": "nausea", "statistic": "share", "reason": ""}
    >>> ax = by_session(pd.DataFrame([
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
    _filled(shown)
    points = sorted({str(point) for point in shown["point"]}, key=int)
    places = {point: float(point) for point in points}
    ax = _blank(ax)
    ends = []
    for row, (style, shift, name, rows) in enumerate(_series(shown, names, list(places.values())), start=1):
        at = [places[str(point)] + shift for point in rows["point"]]
        _line(ax, style, at, rows)
        ends.append((name, style.colour, _last(rows["rate"])))
        _below(ax, 0, f"{name}, n", row=row)
        for point, n in zip(rows["point"], rows["n"], strict=True):
            _below(ax, places[str(point)], count(n), row=row, inside=True)
    _say_hidden(ax, shown, places)
    _percent_axis(ax)
    ax.set_xticks(list(places.values()), [label(point) for point in points])
    _plain(ax.get_xticklabels())
    room = 0.075 * (len(points) - 1) or 0.5
    ax.set_xlim(min(places.values()) - room, max(places.values()) + room)
    _below(ax, 0, "session", row=0)
    _name_lines(ax, ends, gap=0.085)
    what = names.get(measure, _words(measure))
    title(ax, f"{what[:1].upper()}{what[1:]} by session, of those on record", pad=8)
    return ax
