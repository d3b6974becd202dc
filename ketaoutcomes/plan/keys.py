"""How a key of the plan is declared, read and checked, and how its mistakes are told.

A key is declared once, beside its default: what it means, what it may hold, where its number comes from. The
checker, the commented default plan and the manual all read that declaration.
"""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

from ketaoutcomes.frozen import FrozenMap
from ketaoutcomes.shown import PlainError

Value = TypeVar("Value")
Step = str | int
Path = tuple[Step, ...]


class Fault(NamedTuple):
    """One mistake in a plan: the path of the key, how much of that path may be shown, and what is wrong."""

    path: Path
    shown: int
    message: str

    def text(self) -> str:
        """The mistake in words: the table, the key, what is wrong."""
        steps = [f"#{step + 1}" if isinstance(step, int) else step for step in self.path[: self.shown]]
        table, rest = ([f"[{steps[0]}]"], steps[1:]) if steps and steps[0] in TABLES else ([], steps)
        key = " ".join(rest)
        return " ".join([*table, *([key] if key else []), self.message])


TABLES: dict[str, type[Section] | None] = {"protocol": None}
"""The plan's tables by name, as they are declared; [protocol] holds routes, not declared keys."""


class PlanError(PlainError):
    """A plan that cannot be used. The message lists every mistake, one a line; `lines` holds them apart."""

    def __init__(self, faults: Sequence[Fault] = (), *, lines: Sequence[str] = ()) -> None:
        self.faults = tuple(faults)
        self.lines = tuple(lines) or tuple(fault.text() for fault in faults)
        super().__init__("\n".join(self.lines))

    def __reduce__(self) -> tuple[Callable[..., PlanError], tuple[object, ...]]:
        return _error_again, (self.faults, self.lines)


def _error_again(faults: Sequence[Fault], lines: Sequence[str]) -> PlanError:
    return PlanError(faults, lines=lines)


class Place:
    """Where in the plan a value stands, and the list that its mistakes go to."""

    def __init__(self, path: Path, faults: list[Fault], shown: int | None = None) -> None:
        self.path, self.faults = path, faults
        self.shown = len(path) if shown is None else shown
        self.private = shown is not None

    def at(self, step: Step) -> Place:
        """The place one step further in."""
        return Place((*self.path, step), self.faults, self.shown if self.private else None)

    def within(self) -> Place:
        """The same place, below which no key is shown: it may be a value taken from patients' records."""
        return Place(self.path, self.faults, self.shown)

    def refuse(self, message: str) -> Value | None:
        """Note a mistake here; None stands in for the value that could not be read."""
        self.faults.append(Fault(self.path, self.shown, message))
        return None


@dataclasses.dataclass(frozen=True)
class Reader:
    """What a key may hold, in words, and the function that reads it, noting mistakes at its place."""

    wanted: str
    read: Callable[[Any, Place], Any]


@dataclasses.dataclass(frozen=True)
class Key:
    """The declaration of one key. Without a default, `example` stands commented out in the default plan."""

    name: str
    default: Any
    reader: Reader
    meaning: str
    example: str


def key(default: Any, reader: Reader, meaning: str, example: str = "") -> Any:
    """Declare a key of a section: its default, what it may hold, what it means."""
    return dataclasses.field(
        default=default, metadata={"reader": reader, "meaning": meaning, "example": example}
    )


class Section:
    """A table of the plan: checks its own values when made, from TOML or from Python alike.

    A subclass is `open` if its table may hold more than the declared keys.
    """

    section: ClassVar[str]
    about: ClassVar[str]
    open: ClassVar[bool]

    def __init_subclass__(cls, section: str, about: str, *, open: bool = False) -> None:  # noqa: A002
        cls.section, cls.about, cls.open = section, about, open
        TABLES[section] = cls

    def __post_init__(self) -> None:
        faults: list[Fault] = []
        for name, declared in self.keys().items():
            place = Place((self.section, name), faults)
            object.__setattr__(self, name, read_value(declared, getattr(self, name), place))
        if not faults:
            self.contradictions(Place((self.section,), faults))
        if faults:
            raise PlanError(faults)

    def contradictions(self, place: Place) -> None:
        """Note values that are each allowed but cannot hold together."""

    @classmethod
    def keys(cls) -> dict[str, Key]:
        """The declared keys of this table, in order."""
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]
        return {
            f.name: Key(f.name, f.default, f.metadata["reader"], f.metadata["meaning"], f.metadata["example"])
            for f in fields
        }

    def as_table(self) -> dict[str, Any]:
        """The section as `read` takes it."""
        return {name: getattr(self, name) for name in self.keys()}

    @classmethod
    def read(cls, table: object, place: Place) -> Self:
        """The section written in `table`; with mistakes, which are noted, its defaults."""
        if not isinstance(table, Mapping):
            place.refuse(f"must be a table, [{cls.section}]; got {kind(table)}")
            return cls()
        known = cls.keys()
        for name in table:
            if name not in known and not cls.open:
                hint = elsewhere(name) or nearest(name, known, listing=True)
                place.at(name).refuse(f"is not a key of this table{hint}")
        values = {name: value for name, value in table.items() if cls.open or name in known}
        try:
            return cls.build(values)
        except PlanError as error:
            place.faults.extend(error.faults)
            wrong = {fault.path[1] for fault in error.faults}
        try:
            # What stands is kept, so that it can be checked against the definitions in the same go.
            return cls.build({name: value for name, value in values.items() if name not in wrong})
        except PlanError:
            return cls()

    @classmethod
    def build(cls, values: Mapping[str, Any]) -> Self:
        """The section with these values; PlanError where one cannot stand."""
        return cls(**values)


def read_value(declared: Key, value: Any, place: Place) -> Any:
    """The value of one key, checked; None stays None where that is the default."""
    return value if value is None and declared.default is None else declared.reader.read(value, place)


def kind(value: object) -> str:
    """What a value is, in words, without telling it."""
    words: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "true or false"),
        (str, "text"),
        ((Real, Decimal), "a number"),
        (Mapping, "a table"),
        ((list, tuple), "a list"),
        ((datetime.date, datetime.time), "a date or time"),
    )
    return next((word for types, word in words if isinstance(value, types)), "something else")


def echo(value: object) -> str:
    """A value of the plan as an error shows it: short, on one line, visible characters only."""
    if isinstance(value, str):
        shown = value if len(value) <= 40 else value[:37] + "..."
        return json.dumps(shown, ensure_ascii=not shown.isprintable())
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)[:40] if isinstance(value, Real | Decimal) else kind(value)


def nearest(
    word: object, known: Iterable[str], *, quote: str = "", listing: bool = False, alike: float = 0.6
) -> str:
    """The end of a message: the known word that was probably meant; else, on request, all of them.

    `alike` says how near a known word must be, from 0 to 1: every letter.

    >>> nearest("levle", ["interval", "level"])
    '; did you mean level?'
    """
    names = list(known)
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(str(word).casefold(), folded, n=1, cutoff=alike)
    if near:
        return f"; did you mean {quote}{folded[near[0]]}{quote}?"
    return f"; its keys are {', '.join(names)}" if listing and names else ""


def elsewhere(word: str) -> str:
    """The end of a message: the tables that do have a key of this name.

    >>> elsewhere("within_days")
    '; it belongs in [baseline]'
    """
    declared = {name: table.keys() for name, table in TABLES.items() if table is not None}
    homes = [f"[{name}]" for name, keys in declared.items() if word in keys]
    return f"; it belongs in {' or '.join(homes)}" if homes else ""


def as_number(value: object) -> int | float | None:
    """A plain int or float, or None where the value is no number."""
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        return None
    return int(value) if isinstance(value, Integral) else float(value)


def is_list(value: object) -> bool:
    """Whether a value is a list of things (text is not)."""
    return isinstance(value, list | tuple)


def number(low: float, high: float) -> Reader:
    """A number from `low` to `high`, both allowed."""
    wanted = f"between {low} and {high}"

    def read(value: Any, place: Place) -> float | None:
        found = as_number(value)
        if found is not None and low <= found <= high:
            return found
        return place.refuse(f"must be {wanted}; got {kind(value) if found is None else echo(value)}")

    return Reader(f"a number {wanted}", read)


def whole(low: int, high: int) -> Reader:
    """A whole number from `low` to `high`, both allowed."""
    wanted = f"a whole number between {low} and {high}"

    def read(value: Any, place: Place) -> int | None:
        if is_whole(value) and low <= value <= high:
            return int(value)
        return place.refuse(
            f"must be {wanted}; got {kind(value) if as_number(value) is None else echo(value)}"
        )

    return Reader(wanted, read)


def is_whole(value: object) -> bool:
    """Whether a value is a whole number (true and false are not)."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def wholes(low: int, high: int, *, count: int | None = None, ties: bool = False) -> Reader:
    """Whole numbers from `low` to `high` in rising order; with `ties`, neighbours may be equal."""
    many = "a list of" if count is None else f"{count}"
    order = "none smaller" if ties else "each larger"
    wanted = f"{many} whole numbers between {low} and {high}, {order} than the one before"

    def read(value: Any, place: Place) -> tuple[int, ...] | None:
        if not is_list(value):
            return place.refuse(f"must be {wanted}; got {kind(value)}")
        if not all(is_whole(item) for item in value):
            odd = next(item for item in value if not is_whole(item))
            return place.refuse(
                f"must be {wanted}; got {kind(odd) if as_number(odd) is None else echo(odd)} in it"
            )
        items = tuple(int(item) for item in value)
        rises = all(b > a or (ties and b == a) for a, b in pairwise(items))
        enough = len(items) == count if count is not None else bool(items)
        if enough and rises and low <= items[0] and items[-1] <= high:
            return items
        return place.refuse(f"must be {wanted}; got {list(items[:12])}")

    return Reader(wanted, read)


def choice(*options: str) -> Reader:
    """One of a few words."""
    quoted = [json.dumps(option) for option in options]
    wanted = quoted[0] if len(quoted) == 1 else f"one of {', '.join(quoted)}"

    def read(value: Any, place: Place) -> str | None:
        if isinstance(value, str) and value in options:
            return value
        hint = nearest(value, options, quote='"') if isinstance(value, str) else ""
        return place.refuse(f"must be {wanted}; got {echo(value)}{hint}")

    return Reader(wanted, read)


def switch() -> Reader:
    """true or false."""

    def read(value: Any, place: Place) -> bool | None:
        if isinstance(value, bool):
            return value
        return place.refuse(f"must be true or false; got {echo(value)}")

    return Reader("true or false", read)


def text() -> Reader:
    """Text that is not blank."""

    def read(value: Any, place: Place) -> str | None:
        if isinstance(value, str) and value.strip():
            return value
        return place.refuse(
            f"must be text in quotes; got {'blank text' if isinstance(value, str) else kind(value)}"
        )

    return Reader("text", read)


def texts(*, wanted: str = "a list of text", empty: bool = True) -> Reader:
    """A list of different pieces of text."""

    def read(value: Any, place: Place) -> tuple[str, ...] | None:
        if not is_list(value):
            return place.refuse(f"must be {wanted}; got {kind(value)}")
        for index, item in enumerate(value):
            if not (isinstance(item, str) and item.strip()):
                place.at(index).refuse(f"must be text in quotes; got {kind(item)}")
            elif item in value[:index]:
                place.at(index).refuse(f"is listed twice: {echo(item)}")
        if not value and not empty:
            place.refuse(f"must be {wanted}; got an empty list")
        return tuple(value)

    return Reader(wanted, read)


def cell_text(value: object) -> str | None:
    """A value as the text of a cell, numbers as they were written; None where it is no text or number."""
    if isinstance(value, bool):
        return None
    return value if isinstance(value, str) else str(value) if isinstance(value, Real | Decimal) else None


def cells(*, empty: bool = False) -> Reader:
    """Texts of cells to look for, never shown in an error: they may come from patients' records."""
    wanted = "text or a list of text"

    def read(value: Any, place: Place) -> tuple[str, ...] | None:
        items = value if is_list(value) else [value]
        found = [cell_text(item) for item in items]
        if any(item is None for item in found):
            odd = next(item for item, as_text in zip(items, found, strict=True) if as_text is None)
            return place.refuse(f"must be {wanted}; got {kind(odd)} in it (write it in quotes)")
        if not items and not empty:
            return place.refuse(f"must be {wanted}; got an empty list")
        return tuple(dict.fromkeys(item for item in found if item is not None))

    return Reader(wanted, read)


def folded_table(values: Reader, wanted: str) -> Reader:
    """A table from words to values that `values` reads."""

    def read(value: Any, place: Place) -> FrozenMap[Any] | None:
        if not isinstance(value, Mapping):
            return place.refuse(f"must be {wanted}; got {kind(value)}")
        return FrozenMap({str(name): values.read(item, place.at(str(name))) for name, item in value.items()})

    return Reader(wanted, read)
