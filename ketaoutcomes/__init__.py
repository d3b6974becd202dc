"""Response, remission and good time across a series of ketamine sessions.

The names below are imported when first used, so that `ketaoutcomes --help` need not load pandas.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Cohort": "records.cohort",
    "Plan": "plan",
    "Study": "study",
    "Tally": "counts.tallies",
    "combine": "counts.tallies",
    "load_sample": "simulate",
    "load_tally": "counts.tallies",
    "protect": "disclosure",
    "read": "intake",
    "read_plan": "plan",
    "show": "shown",
    "suggest_plan": "intake.suggest",
    "tally": "study",
}

_MODULES = ("models", "simulate")

__all__ = ["__version__", *_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"ketaoutcomes.{name}")
    if name in _HOME:
        module = importlib.import_module(f"ketaoutcomes.{_HOME[name]}")
        return getattr(module, name)
    raise AttributeError(f"module 'ketaoutcomes' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
