"""A mapping for values that are compared, hashed and kept: plans and definitions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

Value_co = TypeVar("Value_co", covariant=True)


class FrozenMap(Mapping[str, Value_co]):
    """A mapping that cannot be changed, keeps its order, can be hashed, and survives pickling.

    >>> FrozenMap({"iv": "iv6"})["iv"], hash(FrozenMap({"a": 1, "b": 2})) == hash(FrozenMap({"b": 2, "a": 1}))
    ('iv6', True)
    """

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Value_co] | Iterable[tuple[str, Value_co]] = ()) -> None:
        self._items: dict[str, Value_co] = dict(items)

    def __getitem__(self, key: str) -> Value_co:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)
