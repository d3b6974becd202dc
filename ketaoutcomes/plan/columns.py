"""The plan's [columns]: whose headers and values are whose. Not analysis, outside the plan's hash.

Only names of headers are ever shown in an error. What stands in `map`, `keep` and `missing` may be taken from
patients' records and is not.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from ketaoutcomes.frozen import FrozenMap
from ketaoutcomes.plan.keys import (
    Place,
    Reader,
    Section,
    cell_text,
    cells,
    choice,
    echo,
    is_list,
    key,
    kind,
    nearest,
    text,
    texts,
    whole,
)
from ketaoutcomes.tables import TABLES

NAMES = {
    "doses": (
        "patient", "day", "date", "session", "dose", "unit", "route", "days", "until_day", "until_date",
        "site",
    ),
    "scores": ("patient", "day", "date", "session", "timing", "instrument", "score"),
    "people": (
        "patient", "site", "protocol", "target_dose", "target_unit", "target_day", "target_date", "weight_kg",
        "start_date", "cut_day", "cut_date", "observed_from",
    ),
    "events": ("patient", "day", "date", "kind", "code", "days", "until_day", "until_date"),
    "monitoring": ("patient", "day", "date", *TABLES["monitoring"].names[2:]),
}  # fmt: skip
"""The columns each input table may have, beside instruments' totals and items, and covariates."""

COLUMN_NAMES = tuple(dict.fromkeys(name for names in NAMES.values() for name in names))


@dataclass(frozen=True)
class Field:
    """Where a column of ours comes from: a header, or one value for every row; with its values translated.

    A cell not in `map` is quarantined, unless there is no map.
    """

    source: str | None = None
    value: str | None = None
    map: Mapping[str, str] | None = None


@dataclass(frozen=True)
class TableMap:
    """One table read from a file: its columns, the rows kept, and (a glob) the files it applies to."""

    fields: Mapping[str, Field]
    keep: Mapping[str, tuple[str, ...]]
    file: str | None = None


PARTS = ("from", "map", "value")


def _field(name: str, value: Any, place: Place) -> Field | None:
    if isinstance(value, Field):
        value = {"from": value.source, "value": value.value, "map": value.map}
        value = {part: given for part, given in value.items() if given is not None}
    if isinstance(value, str):
        return Field(source=text().read(value, place))
    if not isinstance(value, Mapping):
        return place.refuse(
            f'must be a header in quotes, or {{ from = "...", map = {{ ... }} }}; got {kind(value)}'
        )
    for part in value:
        if part not in PARTS:
            # The key is not shown: someone may have written a value map without the word map.
            place.within().at(str(part)).refuse(
                f"has a key other than from, map and value{nearest(part, PARTS)}"
            )
    if "value" in value and len(value) > 1:
        return place.refuse("has a constant value; it can have neither from nor map")
    if "value" in value:
        return Field(value=_constant(value["value"], place.at("value")))
    if not {"from", "map"} & set(value):
        return place.refuse('lacks from: write { from = "a header" }')
    source = text().read(value.get("from", name), place.at("from"))
    return Field(source, None, _map(value["map"], place.at("map")) if "map" in value else None)


def _constant(value: Any, place: Place) -> str | None:
    found = cell_text(value)
    return place.refuse(f"must be text or a number; got {kind(value)}") if found is None else found


def _map(value: Any, place: Place) -> FrozenMap[str] | None:
    if not isinstance(value, Mapping):
        return place.refuse(f"must be a table, theirs = ours; got {kind(value)}")
    inside = place.within()
    out: dict[str, str] = {}
    for theirs, ours in value.items():
        found = cell_text(ours)
        if found is None:
            inside.at(str(theirs)).refuse(
                f"must hold text or numbers; got {kind(ours)} in it (write it in quotes)"
            )
        else:
            out[str(theirs)] = found
    return FrozenMap(out)


def _fields_reader() -> Reader:
    def read(value: Any, place: Place) -> FrozenMap[Field | None] | None:
        if not isinstance(value, Mapping):
            return place.refuse(f"must be a table, ours = theirs; got {kind(value)}")
        # In TOML the fields stand in [columns] itself, so a mistake is told and found there.
        above = Place(place.path[:-1], place.faults)
        return FrozenMap(
            {str(name): _field(str(name), item, above.at(str(name))) for name, item in value.items()}
        )

    return Reader("ours = theirs", read)


def _keep_reader() -> Reader:
    wanted = 'a table { header = ["text", ...] }'

    def read(value: Any, place: Place) -> FrozenMap[tuple[str, ...]] | None:
        if not isinstance(value, Mapping):
            return place.refuse(f"must be {wanted}; got {kind(value)}")
        inside = place.within()
        return FrozenMap(
            {str(name): cells().read(item, inside.at(str(name))) for name, item in value.items()}
        )

    return Reader(wanted, read)


def _tables_reader() -> Reader:
    wanted = "a list of tables, each headed [[columns.{name}]]"

    def one(value: Any, place: Place) -> TableMap | None:
        if isinstance(value, TableMap):
            value = {**value.fields, "keep": value.keep} | ({"file": value.file} if value.file else {})
        if not isinstance(value, Mapping):
            return place.refuse(f"must be a table; got {kind(value)}")
        rest = {name: item for name, item in value.items() if name not in {"keep", "file"}}
        fields = _fields_reader().read(rest, place.at("fields"))
        keep = _keep_reader().read(value.get("keep", {}), place.at("keep"))
        return TableMap(
            fields, keep, text().read(value["file"], place.at("file")) if "file" in value else None
        )

    def read(value: Any, place: Place) -> tuple[TableMap | None, ...] | None:
        if not is_list(value):
            return place.refuse(f"must be {wanted.format(name=place.path[-1])}; got {kind(value)}")
        return tuple(one(item, place.at(index)) for index, item in enumerate(value))

    return Reader("tables", read)


_TOKENS = re.compile("YYYY|MON|MM|DD|YY|hh|mm")


def _date_format() -> Reader:
    wanted = 'built from YYYY or YY, MM or MON, DD, and hh mm, such as "DD/MM/YYYY"'

    def read(value: Any, place: Place) -> str | None:
        if not isinstance(value, str):
            return place.refuse(f"must be {wanted}; got {kind(value)}")
        tokens = sorted(token.replace("YYYY", "YY").replace("MON", "MM") for token in _TOKENS.findall(value))
        rest = _TOKENS.sub("", value)
        whole_day = tokens in (["DD", "MM", "YY"], ["DD", "MM", "YY", "hh", "mm"])
        if whole_day and not re.search("[A-SU-Za-su-z0-9]", rest):
            return value
        return place.refuse(f"must be {wanted}; got {echo(value)}")

    return Reader(wanted, read)


def _encoding() -> Reader:
    def read(value: Any, place: Place) -> str | None:
        if not isinstance(value, str):
            return place.refuse(f'must be the name of an encoding, such as "latin-1"; got {kind(value)}')
        try:
            codecs.lookup(value)
            "A".encode(value)
        except (LookupError, ValueError):
            common = [
                "utf-8",
                "utf-16",
                "latin-1",
                "cp1252",
                "iso-8859-1",
                "iso-8859-15",
                "mac-roman",
                "cp437",
            ]
            return place.refuse(
                f"is not an encoding; got {echo(value)}{nearest(value, common, quote=chr(34))}"
            )
        return value

    return Reader('the name of an encoding, such as "latin-1"', read)


def _time_zone() -> Reader:
    wanted = 'the name of a time zone, such as "Europe/Berlin"'

    def read(value: Any, place: Place) -> str | None:
        import zoneinfo  # a plan must import fast

        if not isinstance(value, str):
            return place.refuse(f"must be {wanted}; got {kind(value)}")
        try:
            zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            near = nearest(value, zoneinfo.available_timezones(), quote='"')
            return place.refuse(f"must be {wanted}; got {echo(value)}{near}")
        return value

    return Reader(wanted, read)


@dataclass(frozen=True, kw_only=True)
class Columns(
    Section, section="columns", about='ours = "theirs"; not analysis, outside the plan\'s hash', open=True
):
    """Whose headers and values are whose."""

    fields: Mapping[str, Field] = key(FrozenMap(), _fields_reader(), "ours = theirs, at the top of the table")
    keep: Mapping[str, tuple[str, ...]] = key(
        FrozenMap(),
        _keep_reader(),
        "only rows with these values are read; others are counted",
        '{ Status = ["Completed"] }',
    )
    drop: tuple[str, ...] = key((), texts(wanted="a list of headers"), "headers ignored on purpose")
    covariates: tuple[str, ...] = key(
        (), texts(wanted="a list of headers"), "kept as columns of people, as text, under their own name"
    )
    date_format: str | None = key(None, _date_format(), "needed where dates are ambiguous", '"DD/MM/YYYY"')
    time_zone: str | None = key(
        None,
        _time_zone(),
        "the clinic's: times with an offset or in UTC become its calendar days",
        '"Europe/Berlin"',
    )
    delimiter: str | None = key(
        None, choice(",", ";", "\t", "|", ":", " "), "between cells, where not found", '";"'
    )
    decimal: str | None = key(None, choice(".", ","), "between units and tenths", '","')
    encoding: str | None = key(None, _encoding(), "of the file, where not UTF-8", '"latin-1"')
    skip_rows: int = key(0, whole(0, 1000), "lines above the header")
    missing: tuple[str, ...] = key((), cells(empty=True), "cells that mean blank", '["-9", "NA"]')
    doses: tuple[TableMap, ...] = key(
        (), _tables_reader(), "[[columns.doses]]: one file read as several tables"
    )
    scores: tuple[TableMap, ...] = key((), _tables_reader(), "[[columns.scores]]: the same")
    people: tuple[TableMap, ...] = key((), _tables_reader(), "[[columns.people]]: the same")
    events: tuple[TableMap, ...] = key((), _tables_reader(), "[[columns.events]]: the same")
    monitoring: tuple[TableMap, ...] = key((), _tables_reader(), "[[columns.monitoring]]: the same")

    @classmethod
    def build(cls, values: Mapping[str, Any]) -> Self:
        """The section with these values: whatever is no setting is a column of ours."""
        declared = cls.keys()
        settings = {name: value for name, value in values.items() if name in declared and name != "fields"}
        return cls(**settings, fields={name: value for name, value in values.items() if name not in settings})

    def as_table(self) -> dict[str, Any]:
        """The section as `read` takes it: columns of ours beside the settings."""
        table = super().as_table()
        return {**table.pop("fields"), **table}

    def __post_init__(self) -> None:
        super().__post_init__()
        patient = self.fields.get("patient")
        if patient is not None:
            for name in NAMES:
                tables: tuple[TableMap, ...] = getattr(self, name)
                inherited = tuple(
                    TableMap(FrozenMap({"patient": patient, **table.fields}), table.keep, table.file)
                    for table in tables
                )
                object.__setattr__(self, name, inherited)

    def contradictions(self, place: Place) -> None:
        """A header cannot be both read and dropped, nor a mark stand for two things."""
        for where, fields in self._every_table(place):
            for name, field in fields.items():
                if field.source is not None and field.source in self.drop:
                    where.at(name).refuse(f"reads {echo(field.source)}, which drop lists too")
            if where.path != place.path and {"day", "date"} <= set(fields):
                where.at("date").refuse("and day cannot both be given for one table")
        for index, name in enumerate(self.covariates):
            if name in self.drop:
                place.at("covariates").at(index).refuse(f"is dropped too: {echo(name)}")
            if name in COLUMN_NAMES:
                place.at("covariates").at(index).refuse(f"is a column of its own: {echo(name)}; leave it out")
        if self.delimiter is not None and self.delimiter == self.decimal:
            place.at("decimal").refuse("must differ from delimiter")

    def _every_table(self, place: Place) -> Iterable[tuple[Place, Mapping[str, Field]]]:
        """The columns at the top, and those of each table, with their places."""
        yield place, self.fields
        for name in NAMES:
            for index, table in enumerate(getattr(self, name)):
                yield place.at(name).at(index), table.fields

    def unknown(self, place: Place, instruments: Mapping[str, int], own: Iterable[str]) -> None:
        """Note columns that are none of ours: not a table's, an instrument's or an item's, nor in `own`.

        `instruments` gives the number of items of each instrument.
        """
        people = {*NAMES["people"], *own}
        allowed = {
            "columns": {*COLUMN_NAMES, *people},
            "doses": {*NAMES["doses"], *people},
            "scores": {*NAMES["scores"]},
            "people": people,
            "events": {*NAMES["events"]},
            "monitoring": {*NAMES["monitoring"]},
        }
        for where, fields in self._every_table(place):
            table = str(where.path[1]) if where.path[1:] else "columns"
            for name, field in fields.items():
                scored = table in {"columns", "scores"} and _is_scored(name, instruments)
                if name not in allowed[table] and not scored:
                    where.at(name).refuse(_not_ours(name, field, allowed[table], instruments))


def _is_scored(name: str, instruments: Mapping[str, int]) -> bool:
    """Whether a column is an instrument's total, one of its items, or an item of the long layout."""
    stem, _, item = name.rpartition("_")
    if name in instruments or re.fullmatch("[1-9][0-9]?", item) is None:
        return name in instruments
    return stem == "item" or int(item) <= instruments.get(stem, 0)


def _not_ours(name: str, field: Field, allowed: Iterable[str], instruments: Mapping[str, int]) -> str:
    """What to say about a column that is none of ours."""
    names = [*allowed, *instruments]
    if field.source in names:
        return f"is not a column of ours: ours stand on the left, so write {field.source} = {echo(name)}"
    stem, _, item = name.rpartition("_")
    if stem in instruments and item.isdecimal():
        return f"is no item of {stem}, which has {instruments[stem] or 'no items, only totals'}"
    near = nearest(name, names)
    return f"is not a column of ours{near}; list it under covariates or drop to keep or ignore it"
