"""What a report says about itself: where its numbers come from, beside the counts."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Protocol

import ketaoutcomes

if TYPE_CHECKING:
    import pandas as pd

TITLE = "Response and remission across the ketamine series"


class Source(Protocol):
    """One input file: its name, the SHA-256 of its bytes, and its number of rows."""

    @property
    def name(self) -> str:
        """What it is called, without its folder."""

    @property
    def sha256(self) -> str:
        """The SHA-256 of its bytes, in hexadecimal."""

    @property
    def rows(self) -> int:
        """How many rows of data it held."""


def versions() -> dict[str, str]:
    """The versions of this package, Python and the libraries that numbers and files pass through.

    >>> sorted(versions())[:3]
    ['XlsxWriter', 'jinja2', 'ketaoutcomes']
    """
    names = ("numpy", "pandas", "scipy", "matplotlib", "jinja2", "XlsxWriter")
    found = {name: metadata.version(name) for name in names}
    return {"ketaoutcomes": ketaoutcomes.__version__, "python": platform.python_version(), **found}


TESTED = {"numpy": 2, "pandas": 3, "scipy": 1, "matplotlib": 3, "jinja2": 3, "XlsxWriter": 3}
"""The newest major version of each library that the tests have run with."""


def untested(found: Mapping[str, str]) -> list[str]:
    """The libraries among `versions` that are newer than any the tests have run with.

    >>> untested({"pandas": "4.0.1", "numpy": "2.9.0", "python": "3.14.0"})
    ['pandas 4.0.1 (tested up to 3)']
    """
    return [
        f"{name} {version} (tested up to {TESTED[name]})"
        for name, version in sorted(found.items())
        if name in TESTED and int(version.partition(".")[0]) > TESTED[name]
    ]


@dataclass(frozen=True)
class Meta:
    """The report's title and sources, and what became of the input's rows.

    `ledger` has one row per file, table, outcome and reason with `n` rows of input; `problems` one row per
    rule and action with `n` findings, and `people` where they are counted. Both arrive protected: a missing
    number is a hidden one. `rules` says a rule's code in words; `left_out` names files that were refused.
    `notices` are warnings that apply (`ketaoutcomes.notices`): code, and text (empty if not to be told).
    """

    as_of: str
    dates: str = "offsets"
    title: str = TITLE
    sources: Sequence[Source] = ()
    ledger: pd.DataFrame | None = None
    problems: pd.DataFrame | None = None
    rules: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=versions)
    left_out: Sequence[str] = ()
    notices: Sequence[tuple[str, str]] = ()
