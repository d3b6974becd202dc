"""What every test and every example leaves behind is cleared away."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _close_charts() -> Iterator[None]:
    """Close charts an example has drawn: matplotlib keeps them, and warns at the twentieth."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
