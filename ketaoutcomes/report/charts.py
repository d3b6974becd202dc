"""A chart as a piece of the page: SVG with real text, no style of its own, and nothing but what is drawn.

matplotlib draws; this module makes its output small, byte for byte repeatable, free of clashing ids, and free
of `style` attributes, so that the page may forbid every style but its own sheet.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BOTTOM = 0.66
Room = tuple[float, float, float, float]
"""Space for names at the left, right, top and bottom of a chart, in units of 72 pixels."""
_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_LONG_NUMBER = re.compile(r"-?\d+\.\d{2,}")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_UPRIGHT = re.compile(r"rotate\(-?0 [^)]*\)")
_COMMAND = re.compile(r"\s*([A-Za-z])\s*")
# Properties that only repeat what SVG or the page's sheet says anyway.
_REPEATED = frozenset(
    {"font-family", "stroke-miterlimit", "font-style", "font-variant", "font-stretch", "font"}
)
_OF_TEXT = {"font-size": "10", "text-anchor": "middle"}  # of most texts: said once, of the whole chart
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
    bottom: float = _BOTTOM,
) -> Markup:
    """Inline SVG of what `draw` puts on the axes it is given; `says` is its text alternative.

    `name` must be unique on the page: it keeps the ids of one chart from meaning another's. `size` and
    the room for names at the `left`, `right`, `top` and `bottom` are in units of 72 pixels.
    """
    svg = _cleaned(_drawn(draw, size, (left, right, top, bottom)), name, says)
    return Markup(svg)  # noqa: S704 - built here; ElementTree has escaped every text


def picture(
    draw: Callable[[Axes], object],
    *,
    size: tuple[float, float] = (6.2, 3.1),
    room: Room = (0.72, 1.38, 0.12, _BOTTOM),
) -> bytes:
    """A PNG of what `draw` puts on the axes it is given, for where no SVG may go."""
    return _saved(draw, size, room, {"format": "png", "dpi": 150, "metadata": {"Software": None}})


def _drawn(draw: Callable[[Axes], object], size: tuple[float, float], room: Room) -> str:
    metadata = {"Date": None, "Creator": None}
    return _saved(draw, size, room, {"format": "svg", "transparent": True, "metadata": metadata}).decode()


def _saved(
    draw: Callable[[Axes], object],
    size: tuple[float, float],
    room: Room,
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
        (wide, high), (left, right, top, bottom) = size, room
        place = (left / wide, bottom / high, 1 - (left + right) / wide, 1 - (bottom + top) / high)
        draw(figure.add_axes(place))
        out = io.BytesIO()
        figure.savefig(out, **how)
    return out.getvalue()


def _cleaned(drawn: str, name: str, says: str) -> str:
    tree = ElementTree.fromstring(drawn)  # noqa: S314 - our own output of a moment ago
    ids = _referenced(tree, name)
    for element in list(tree.iter()):
        for child in list(element):
            if child.tag.endswith("}metadata"):
                element.remove(child)
        _tidy(element, ids)
    _unwrap(tree)
    tree.attrib = {"viewBox": tree.attrib["viewBox"], "role": "img", "aria-label": says, **_OF_TEXT}
    ElementTree.register_namespace("", _SVG)
    return ElementTree.tostring(tree, encoding="unicode")


def _referenced(tree: ElementTree.Element, name: str) -> dict[str, str]:
    """Each id that something refers to, with the short one that stands for it, unique on the page."""
    found: dict[str, None] = {}
    for element in tree.iter():
        if _LINK in element.attrib:
            found[element.attrib[_LINK].lstrip("#")] = None
        found |= dict.fromkeys(
            match for value in element.attrib.values() for match in _REFERENCE.findall(value)
        )
    return {old: f"{name}-{at}" for at, old in enumerate(found)}


def _tidy(element: ElementTree.Element, ids: Mapping[str, str]) -> None:
    def renamed(value: str) -> str:
        return _REFERENCE.sub(lambda match: f"url(#{ids[match.group(1)]})", value)

    old = dict(element.attrib)
    new: dict[str, str] = {}
    for rule in old.pop("style", "").split(";"):
        key, _, value = rule.strip().partition(":")
        if value and key not in _REPEATED and _DEFAULTS.get(key) != value.strip():
            new[key] = renamed(value.strip())
    if element.tag.endswith("}text"):
        new = {"text-anchor": "start"} | new | _font_of(element.attrib.get("style", ""))
        new = {key: value for key, value in new.items() if _OF_TEXT.get(key) != value}
    for key, value in old.items():
        if key == "id":
            if value in ids:
                new["id"] = ids[value]
        elif key == _LINK:
            new["href"] = f"#{ids[value.lstrip('#')]}"
        elif key != "transform" or not _UPRIGHT.fullmatch(value):
            new[key] = renamed(value)
    kept = {"id", "href", "clip-path"}
    new |= {key: _LONG_NUMBER.sub(_rounded, value) for key, value in new.items() if key not in kept}
    if "d" in new:
        new["d"] = _COMMAND.sub(r"\1", new["d"]).strip()
    element.attrib = new
    if not element.tag.endswith("}text"):
        element.text = None
    element.tail = None


def _font_of(style: str) -> dict[str, str]:
    """Size and weight of a text, which matplotlib writes in CSS shorthand."""
    size = re.search(r"([\d.]+)px", style)
    weight = re.search(r"\b(bold|[6-9]00)\b", style)
    return ({"font-size": size.group(1)} if size else {}) | ({"font-weight": "bold"} if weight else {})


def _unwrap(element: ElementTree.Element) -> None:
    """Drop groups that say nothing (no attributes, or no children) and shapes that cannot be seen."""
    children: list[ElementTree.Element] = []
    for child in list(element):
        _unwrap(child)
        if child.tag.endswith("}g") and not child.attrib:
            children.extend(child)
        elif child.tag.endswith("}path") and child.get("fill") == "none" and not child.get("stroke"):
            continue
        elif len(child) or child.text or child.tag.rsplit("}", 1)[-1] not in {"g", "defs", "style"}:
            children.append(child)
    element[:] = children


def _rounded(match: re.Match[str]) -> str:
    return f"{float(match.group()):.1f}".removesuffix(".0")
