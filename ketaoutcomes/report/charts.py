"""A chart as a piece of the page: SVG with real text, no style of its own, and nothing but what is drawn.

matplotlib draws; this module makes its output small, byte for byte repeatable, free of clashing ids, and free
of `style` attributes, so that the page may forbid every style but its own sheet.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BOTTOM = 0.66
_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_LONG_NUMBER = re.compile(r"-?\d+\.\d{2,}")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
# Properties that only repeat what SVG or the page's sheet says anyway.
_REPEATED = frozenset(
    {"font-family", "stroke-miterlimit", "font-style", "font-variant", "font-stretch", "font"}
)
_DEFAULTS = {"stroke-linejoin": "miter", "stroke-linecap": "butt", "opacity": "1", "stroke-opacity": "1"}


def chart(
    draw: Callable[[Axes], object],
    *,
    name: str,
    says: str,
    size: tuple[float, float] = (5.6, 3.1),
    left: float = 0.72,
    right: float = 1.38,
    top: float = 0.12,
) -> Markup:
    """Inline SVG of what `draw` puts on the axes it is given; `says` is its text alternative.

    `name` must be unique on the page: it keeps the ids of one chart from meaning another's. `size` and
    the room for names at the `left`, `right` and `top` are in units of 72 pixels.
    """
    svg = _cleaned(_drawn(draw, size, (left, right, top)), name, says)
    return Markup(svg)  # noqa: S704 - built here; ElementTree has escaped every text


def picture(
    draw: Callable[[Axes], object],
    *,
    size: tuple[float, float] = (6.2, 3.1),
    room: tuple[float, float, float] = (0.72, 1.38, 0.12),
) -> bytes:
    """A PNG of what `draw` puts on the axes it is given, for where no SVG may go."""
    return _saved(draw, size, room, {"format": "png", "dpi": 150, "metadata": {"Software": None}})


def _drawn(
    draw: Callable[[Axes], object], size: tuple[float, float], room: tuple[float, float, float]
) -> str:
    metadata = {"Date": None, "Creator": None}
    return _saved(draw, size, room, {"format": "svg", "transparent": True, "metadata": metadata}).decode()


def _saved(
    draw: Callable[[Axes], object],
    size: tuple[float, float],
    room: tuple[float, float, float],
    how: dict[str, Any],
) -> bytes:
    # A scheduled run may have no home folder; where matplotlib keeps its fonts is not the reader's concern.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        # The user's own style must not change the report; matplotlib's own font lays it out everywhere.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {"svg.fonttype": "none", "svg.hashsalt": "ketaoutcomes", "font.family": ["DejaVu Sans"]}
        )
        figure = Figure(figsize=size)
        # Margins in inches, the same in every chart, so that charts of one column line up; matplotlib would
        # find them by drawing everything twice.
        (wide, high), (left, right, top) = size, room
        place = (left / wide, _BOTTOM / high, 1 - (left + right) / wide, 1 - (_BOTTOM + top) / high)
        draw(figure.add_axes(place))
        out = io.BytesIO()
        figure.savefig(out, **how)
    return out.getvalue()


def _cleaned(drawn: str, name: str, says: str) -> str:
    tree = ElementTree.fromstring(drawn)  # noqa: S314 - our own output of a moment ago
    kept = _referenced(tree)
    for element in list(tree.iter()):
        for child in list(element):
            if child.tag.endswith("}metadata"):
                element.remove(child)
        _tidy(element, kept, name)
    _unwrap(tree)
    tree.attrib = {"viewBox": tree.attrib["viewBox"], "role": "img", "aria-label": says}
    ElementTree.register_namespace("", _SVG)
    return ElementTree.tostring(tree, encoding="unicode")


def _referenced(tree: ElementTree.Element) -> set[str]:
    ids = set()
    for element in tree.iter():
        if _LINK in element.attrib:
            ids.add(element.attrib[_LINK].lstrip("#"))
        ids.update(match for value in element.attrib.values() for match in _REFERENCE.findall(value))
    return ids


def _tidy(element: ElementTree.Element, kept: set[str], name: str) -> None:
    old = dict(element.attrib)
    new: dict[str, str] = {}
    for rule in old.pop("style", "").split(";"):
        key, _, value = rule.strip().partition(":")
        if value and key not in _REPEATED and _DEFAULTS.get(key) != value.strip():
            new[key] = _REFERENCE.sub(rf"url(#{name}-\1)", value.strip())
    if element.tag.endswith("}text"):
        new.update(_font_of(element.attrib.get("style", "")))
    for key, value in old.items():
        if key == "id":
            if value in kept:
                new["id"] = f"{name}-{value}"
        elif key == _LINK:
            new["href"] = f"#{name}-{value.lstrip('#')}"
        else:
            new[key] = _REFERENCE.sub(rf"url(#{name}-\1)", value)
    element.attrib = {
        key: _LONG_NUMBER.sub(_rounded, value) if key not in {"id", "href", "clip-path"} else value
        for key, value in new.items()
    }
    if not element.tag.endswith("}text"):
        element.text = None
    element.tail = None


def _font_of(style: str) -> dict[str, str]:
    """Size and weight of a text, which matplotlib writes in CSS shorthand."""
    size = re.search(r"([\d.]+)px", style)
    weight = re.search(r"\b(bold|[6-9]00)\b", style)
    return ({"font-size": size.group(1)} if size else {}) | ({"font-weight": "bold"} if weight else {})


def _unwrap(element: ElementTree.Element) -> None:
    """Drop groups that say nothing: no attributes, or no children."""
    children: list[ElementTree.Element] = []
    for child in list(element):
        _unwrap(child)
        if child.tag.endswith("}g") and not child.attrib:
            children.extend(child)
        elif len(child) or child.text or child.tag.rsplit("}", 1)[-1] not in {"g", "defs", "style"}:
            children.append(child)
    element[:] = children


def _rounded(match: re.Match[str]) -> str:
    return f"{float(match.group()):.1f}".removesuffix(".0")
