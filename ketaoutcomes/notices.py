"""Warnings with a code and a page: what to look at before a number is used, though nothing is refused.

`ketaoutcomes explain W01`, or `plan.explain("W01")`, says what a code means and what to do. They are few: a
table that shows its own denominators needs no warning for a small one.
"""

from __future__ import annotations

import os
import sys
import tomllib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType

HOME = str(Path(__file__).parent) + os.sep
_silent: ContextVar[bool] = ContextVar("silent", default=False)


class Notice(UserWarning):
    """A warning of this package. `code` is what `ketaoutcomes explain` knows; no cell's value is in it.

    >>> print(Notice("W02", "as of 2016-10-31: the first record is of 2026-01-05"))
    as of 2016-10-31: the first record is of 2026-01-05 [W02; see: ketaoutcomes explain W02]
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{text} [{code}; see: ketaoutcomes explain {code}]")
        self.code = code


@lru_cache(maxsize=1)
def pages() -> MappingProxyType[str, MappingProxyType[str, str]]:
    """What each code means: its title, why it matters, what to do.

    >>> pages()["W02"]["title"]
    'The as-of day lies before the first record'
    """
    text = resources.files(__package__).joinpath("notices.toml").read_text(encoding="utf-8")
    return MappingProxyType({code: MappingProxyType(page) for code, page in tomllib.loads(text).items()})


def notice(code: str, text: str) -> None:
    """Warn, at the line outside this package that led here; say nothing under `silent`."""
    if not _silent.get():
        warnings.warn(Notice(code, text), stacklevel=_depth())


@contextmanager
def silent() -> Iterator[None]:
    """No notice is given inside: for work on a part of the records, or again on all of them.

    >>> with silent():
    ...     notice("W02", "as of 2016-10-31: the first record is of 2026-01-05")
    """
    before = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(before)


def _depth() -> int:
    """How many calls up from `notice` the first one outside this package stands."""
    depth = 1
    while (frame := sys._getframe(depth)).f_back is not None and frame.f_code.co_filename.startswith(HOME):
        depth += 1
    return depth
