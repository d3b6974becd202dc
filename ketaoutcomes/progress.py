"""One line on how far long work has come: on a terminal or in a notebook, and only once it takes a while."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO, TypeVar

T = TypeVar("T")
PATIENCE = 2.0  # seconds of silence first
EVERY = 0.2  # seconds between two lines
_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


@contextmanager
def quiet(silent: bool = True) -> Iterator[None]:
    """No line is shown inside, however long it takes.

    >>> with quiet():
    ...     list(told([1, 2], str))
    [1, 2]
    """
    before = _quiet.set(silent)
    try:
        yield
    finally:
        _quiet.reset(before)


def told(parts: Iterable[T], words: Callable[[int], str]) -> Iterator[T]:
    """The same parts; while they are worked through, a line says how many are done: `words(done)`.

    The line replaces itself and is gone at the end. Nothing is written where nobody looks on: to a file, a
    pipe or a log, under `quiet`, or within two seconds.
    """
    out = None if _quiet.get() else _looked_on()
    if out is None:
        yield from parts
        return
    next_time, width = time.monotonic() + PATIENCE, 0
    try:
        for done, part in enumerate(parts):
            if done and time.monotonic() >= next_time:
                line = words(done)
                out.write(f"\r{line:<{width}}")
                out.flush()
                next_time, width = time.monotonic() + EVERY, max(width, len(line))
            yield part
    finally:
        if width:
            out.write(f"\r{'':<{width}}\r")
            out.flush()


def _looked_on() -> TextIO | None:
    """Where somebody watches: a terminal's standard error, or the output of a notebook's cell."""
    if type(sys.stdout).__module__ == "ipykernel.iostream":
        return sys.stdout
    return sys.stderr if sys.stderr is not None and sys.stderr.isatty() else None
