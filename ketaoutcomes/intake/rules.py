"""The catalogue of rules: for every code a finding can carry, what it means and what to do about it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from types import MappingProxyType


@dataclass(frozen=True)
class Rule:
    """One rule: its code, what is the matter, why it matters, and what to do."""

    code: str
    title: str
    why: str
    do: str


@lru_cache(maxsize=1)
def rules() -> MappingProxyType[str, Rule]:
    """Every rule by its code.

    >>> rules()["C02"].title
    "The patient's code is blank"
    """
    text = resources.files(__package__).joinpath("problems.toml").read_text(encoding="utf-8")
    return MappingProxyType({code: Rule(code, **entry) for code, entry in tomllib.loads(text).items()})
