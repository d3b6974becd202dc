"""Draws the gallery's pictures: each heading's line of code, run on the sample, saved as `_gallery/NAME.png`.

They are made when the site is built and never committed, so they cannot fall behind the code. The page fences
its code as `py`, so that the test that runs the examples of all pages does not draw everything again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl

ENTRY = re.compile(r"^## (?P<name>\w+)$.*?^```py\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)


def entries(page: Path) -> Iterator[tuple[str, str]]:
    """Each figure of the page by its name, and the code that draws it."""
    for found in ENTRY.finditer(page.read_text(encoding="utf-8")):
        yield found["name"], found["code"]


def draw(docs: Path, out: Path | None = None) -> list[Path]:
    """Draw every entry of the page `gallery.md` of a folder; returns the pictures' paths."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    import ketaoutcomes as ko

    folder = out or docs / "_gallery"
    folder.mkdir(exist_ok=True)
    study = ko.Study(ko.load_sample())
    made = []
    for name, code in entries(docs / "gallery.md"):
        *before, last = code.strip().splitlines()
        names: dict[str, Any] = {"ko": ko, "study": study}
        exec("\n".join(before), names)  # noqa: S102  the page's own code
        drawn = eval(last, names)  # noqa: S307
        figure = (drawn[0] if isinstance(drawn, list) else drawn).figure
        made.append(folder / f"{name}.png")
        figure.savefig(made[-1], dpi=110, bbox_inches="tight")
        plt.close("all")
    return made
