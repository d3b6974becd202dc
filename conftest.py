"""What examples have at hand, and that nothing they leave behind stays."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ketaoutcomes import Study


@cache
def _sample() -> Study:
    """The shipped sample as a study, read once for every example."""
    import ketaoutcomes as ko

    return ko.Study(ko.load_sample())


@pytest.fixture(autouse=True)
def _names_of_examples(request: pytest.FixtureRequest, doctest_namespace: dict[str, Any]) -> None:
    """`ko`, `pd`, and `study` and `cohort` of the sample where an example speaks of them."""
    told = getattr(getattr(request.node, "dtest", None), "docstring", None) or ""
    if ">>>" not in told:
        return
    import pandas as pd

    import ketaoutcomes as ko

    doctest_namespace.update(ko=ko, pd=pd)
    if "study" in told or "cohort" in told:
        doctest_namespace.update(study=_sample(), cohort=_sample().cohort)


@pytest.fixture(autouse=True)
def _close_charts() -> Iterator[None]:
    """Close charts an example has drawn: matplotlib keeps them, and warns at the twentieth."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
