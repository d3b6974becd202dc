"""How values and errors look where people read them: prose, tables of facts, errors without a traceback.

A notebook asks an object for `_repr_html_`, and an error for `_render_traceback_`. Both are given here once.
"""

from __future__ import annotations

import html
from collections.abc import Iterable


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
