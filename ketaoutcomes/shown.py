"""How values and errors look where people read them: prose, tables of facts, errors without a traceback.

A notebook asks an object for `_repr_html_`, and an error for `_render_traceback_`. Both are given here once.
`show` writes a finished table as people read it.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


class Prose(str):
    """Text to be read: a plain string, which a notebook shows as paragraphs.

    >>> text = Prose("One < two.\\n\\nReferences\\n1. A paper")
    >>> text._repr_html_()
    '<p>One &lt; two.</p><p>References<br>1. A paper</p>'
    >>> text == "One < two.\\n\\nReferences\\n1. A paper"
    True
    """

    __slots__ = ()

    def _repr_html_(self) -> str:
        paragraphs = [html.escape(part).replace("\n", "<br>") for part in self.strip().split("\n\n")]
        return "".join(f"<p>{part}</p>" for part in paragraphs)


class PlainError(ValueError):
    """An error about what was given, not about the program: a notebook shows its message and no traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class WrongChoice(PlainError):
    """An argument that is none of those allowed; the message lists them."""


def expect(value: object, kind: type, name: str, write: str) -> None:
    """Refuse an argument that is of another kind, with what to write for it; None passes.

    >>> expect("plan.toml", dict, "plan", 'ko.read_plan("plan.toml")')
    Traceback (most recent call last):
    ketaoutcomes.shown.WrongChoice: plan must be a dict, not str; write ko.read_plan("plan.toml")
    """
    if value is not None and not isinstance(value, kind):
        raise WrongChoice(f"{name} must be a {kind.__name__}, not {type(value).__name__}; write {write}")


def facts(rows: Iterable[tuple[str, str]], title: str = "") -> str:
    """Facts as a small HTML table, a name and what it is in each row; every text is escaped.

    >>> facts([("a < b", "1,200")], "Cohort").startswith("<p><b>Cohort</b></p><table><tr><th")
    True
    """
    style = ' style="text-align: left; vertical-align: top"'
    body = "".join(
        f'<tr><th scope="row"{style}>{html.escape(name)}</th>'
        f"<td{style}>{html.escape(text).replace(chr(10), '<br>')}</td></tr>"
        for name, text in rows
    )
    head = f"<p><b>{html.escape(title)}</b></p>" if title else ""
    return f"{head}<table>{body}</table>"


SHARES = ("rate", "share", "estimate", "no_relapse", "stopped_share")
BOUNDS = ("low", "high")
DIFFERENCES = ("difference", "diff_low", "diff_high")


class Readable:
    """A table as it is read: percentages, whole counts, blanks for what is not known. Not for computing."""

    def __init__(self, names: Sequence[str], cells: Sequence[Sequence[str]], text: Sequence[bool]) -> None:
        self.names, self.cells, self.text = tuple(names), tuple(map(tuple, cells)), tuple(text)

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.names, *self.cells, strict=True)]
        lines = []
        for row in (self.names, *self.cells):
            parts = zip(row, widths, self.text, strict=True)
            lines.append("  ".join(c.ljust(w) if left else c.rjust(w) for c, w, left in parts).rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        sides = ["left" if left else "right" for left in self.text]
        head = "".join(
            f'<th style="text-align: {side}">{html.escape(name)}</th>'
            for name, side in zip(self.names, sides, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(
                f'<td style="text-align: {side}; vertical-align: top">{html.escape(cell)}</td>'
                for cell, side in zip(row, sides, strict=True)
            )
            + "</tr>"
            for row in self.cells
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def show(
    table: pd.DataFrame, *columns: str, decimals: int = 0, percent: bool | Sequence[str] = ()
) -> Readable:
    """A table to be read, in a notebook or a terminal: shares as percentages, counts whole, unknown blank.

    `columns` are those to show, in their order (default: all); an index that says something leads them.
    Rates, shares and their intervals become percentages with `decimals` places, and so does what `percent`
    names (True: every number); differences become percentage points; other numbers have three significant
    digits. The table is not changed: compute with it, not with this.

    >>> import pandas as pd
    >>> rates = pd.DataFrame({"site": ["a", "b"], "n": [930.0, 12], "rate": [0.381, None]})
    >>> show(rates, "site", "n", "rate")
    site    n  rate
    a     930  38 %
    b      12

    Raises `WrongChoice` where a column is none of the table's.
    """
    index: list[str] = []
    if table.index.names != [None] or table.index.dtype.kind not in "iu":
        index = ["" if name is None else str(name) for name in table.index.names]
        table = table.rename_axis(index).reset_index()
    names = [*index, *(columns or table.columns[len(index) :])]
    absent = [name for name in names if name not in table.columns]
    if absent:
        have = ", ".join(map(str, table.columns))
        raise WrongChoice(f"no column {', '.join(map(repr, absent))}; the table has {have}")
    told = set(names) - set(index) if percent is True else set(percent or ())
    shares = {*SHARES, *told}
    if shares & set(table.columns):
        shares |= set(BOUNDS)
    written = {name: _written(table[name], str(name), shares, decimals) for name in names}
    text = [not _is_number(table[name]) for name in names]
    return Readable([str(name) for name in names], list(zip(*written.values(), strict=True)), text)


def _is_number(column: pd.Series[Any]) -> bool:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return is_numeric_dtype(column.dtype) and not is_bool_dtype(column.dtype)


def _written(column: pd.Series[Any], name: str, shares: set[str], decimals: int) -> list[str]:
    known = column.notna().to_numpy()
    if not _is_number(column):
        return [str(cell) if yes else "" for cell, yes in zip(column, known, strict=True)]
    numbers = column.to_numpy(dtype="float64", na_value=float("nan"))
    if name in DIFFERENCES:
        written = [f"{round(100 * x, decimals) + 0:+.{decimals}f} pp" for x in numbers]
    elif name in shares:
        written = [_percentage(x, decimals) for x in numbers]
    else:
        written = [_plain(x) for x in numbers]
    return [cell if yes else "" for cell, yes in zip(written, known, strict=True)]


def _percentage(share: float, decimals: int) -> str:
    """A share in percent; what only rounding would call none or all is told as less or more.

    >>> _percentage(0.381, 0), _percentage(0.0, 0), _percentage(0.002, 0), _percentage(0.9996, 1)
    ('38 %', '0 %', '<1 %', '>99.9 %')
    """
    step = 10.0**-decimals
    rounded = round(100 * share, decimals)
    if rounded == 0 < share:
        return f"<{step:.{decimals}f} %"
    if rounded == 100 and share < 1:
        return f">{100 - step:.{decimals}f} %"
    return f"{rounded:.{decimals}f} %"


def _plain(number: float) -> str:
    """A count with thousands apart; any other number with three significant digits."""
    if number != number:
        return ""
    return f"{number:,.0f}" if number == int(number) or abs(number) >= 100 else f"{number:#.3g}"
