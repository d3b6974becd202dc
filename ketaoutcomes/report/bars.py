"""Stacked bars as plain SVG: a bar per row, a segment per part, real text, hatching for greyscale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from ketaoutcomes.figures.good_time import Fill

_WIDTH, _LEFT, _HIGH, _GAP, _LETTER = 640, 84, 30, 10, 7.2
_HATCHES = {
    "////": "M-2 2l4-4M0 8l8-8M6 10l4-4",
    "\\\\\\\\": "M-2 6l4 4M0 0l8 8M6-2l4 4",
    "....": "M3 3h2v2h-2z",
}


class Segment(NamedTuple):
    """One part of a bar: its share of the whole length, how it is filled, and what is written in it."""

    share: float
    fill: Fill
    text: str


def stacked(bars: Sequence[tuple[str, Sequence[Segment]]], *, name: str, says: str) -> Markup:
    """Bars one below the other, each as long as its shares add to; `says` is the text alternative.

    `name` must be unique on the page. A text that does not fit its segment is left out: a table beside the
    chart holds every number.
    """
    high = len(bars) * (_HIGH + _GAP)
    body: list[str] = []
    used: dict[str, None] = {}
    for place, (label, segments) in enumerate(bars):
        top, left = place * (_HIGH + _GAP) + _GAP / 2, float(_LEFT)
        body.append(_text(_LEFT - 8, top, str(escape(label)), "currentColor", "end"))
        for share, fill, text in segments:
            width = share * (_WIDTH - _LEFT)
            box = f'x="{left:.1f}" y="{top:g}" width="{width:.1f}" height="{_HIGH}"'
            body.append(f'<rect {box} fill="{fill.face}" stroke="#fff"/>')
            if fill.hatch in _HATCHES:
                used[fill.hatch] = None
                body.append(f'<rect {box} fill="url(#{_hatch_id(name, fill.hatch)})"/>')
            wide = _LETTER * len(text) + 6
            if text and wide <= width:
                if fill.hatch:
                    middle = left + (width - wide) / 2
                    body.append(
                        f'<rect x="{middle:.1f}" y="{top + 6:g}" width="{wide:.1f}" height="18" fill="#fff"/>'
                    )
                body.append(_text(left + width / 2, top, str(escape(text)), fill.ink, "middle"))
            left += width
    patterns = "".join(_pattern(name, hatch) for hatch in used)
    defs = f"<defs>{patterns}</defs>" if patterns else ""
    head = f'<svg viewBox="0 0 {_WIDTH} {high}" role="img" aria-label="{escape(says)}" class="bars">'
    return Markup(head + defs + "".join(body) + "</svg>")  # noqa: S704 - every text in it is escaped


def swatch(fill: Fill, name: str) -> Markup:
    """A sample of a fill, to stand before the words that name it."""
    hatched = fill.hatch in _HATCHES
    defs = f"<defs>{_pattern(name, fill.hatch)}</defs>" if hatched else ""
    box = 'x="0.5" y="0.5" width="13" height="13"'
    over = f'<rect {box} fill="url(#{_hatch_id(name, fill.hatch)})"/>' if hatched else ""
    return Markup(  # noqa: S704 - built from constants
        f'<svg viewBox="0 0 14 14" aria-hidden="true" class="swatch">{defs}'
        f'<rect {box} fill="{fill.face}" stroke="#56626e"/>{over}</svg>'
    )


def _text(x: float, top: float, words: str, ink: str, anchor: str) -> str:
    place = f'x="{x:.1f}" y="{top + 20:g}" text-anchor="{anchor}"'
    return f'<text {place} font-size="13" fill="{ink}">{words}</text>'


def _hatch_id(name: str, hatch: str) -> str:
    return f"{name}-hatch{list(_HATCHES).index(hatch)}"


def _pattern(name: str, hatch: str) -> str:
    return (
        f'<pattern id="{_hatch_id(name, hatch)}" width="8" height="8" patternUnits="userSpaceOnUse">'
        f'<path d="{_HATCHES[hatch]}" stroke="#56626e" stroke-width="0.8" fill="none"/></pattern>'
    )
