"""Instruments, criteria and protocols: clinical numbers as data, each with its source.

The numbers live in the TOML files of this folder (and of the user's own); this module loads them and hands
out the rules that use them. `score_items` turns answers into exact totals, `met` judges them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

from ketaoutcomes.definitions.criteria import RULES, met
from ketaoutcomes.definitions.listing import document
from ketaoutcomes.definitions.measures import (
    DIAGNOSIS,
    MEASURE_RULES,
    Known,
    read_measure,
    read_occurrence,
)
from ketaoutcomes.definitions.model import (
    FAMILIES,
    MISSING,
    Band,
    Cluster,
    Criterion,
    DefinitionError,
    Definitions,
    Diagnosis,
    Instrument,
    Level,
    Loinc,
    Measure,
    MeasureRate,
    Norm,
    Occurrence,
    Omission,
    Protocol,
    Reliability,
    suggestion,
)
from ketaoutcomes.definitions.reading import read_criterion, read_instrument, read_protocol
from ketaoutcomes.definitions.scoring import Scored, band_of, score_items
from ketaoutcomes.definitions.section import Section, parse
from ketaoutcomes.definitions.series import Concomitant, Series, read_concomitant, read_series
from ketaoutcomes.frozen import FrozenMap

__all__ = [
    "DIAGNOSIS",
    "FAMILIES",
    "MEASURE_RULES",
    "MISSING",
    "RULES",
    "Band",
    "Cluster",
    "Concomitant",
    "Criterion",
    "DefinitionError",
    "Definitions",
    "Diagnosis",
    "FrozenMap",
    "Instrument",
    "Level",
    "Loinc",
    "Measure",
    "MeasureRate",
    "Norm",
    "Occurrence",
    "Omission",
    "Protocol",
    "Reliability",
    "Scored",
    "Series",
    "as_markdown",
    "band_of",
    "load",
    "met",
    "score_items",
    "suggestion",
]

Named = TypeVar("Named")


def load(folders: tuple[str, ...] = ()) -> Definitions:
    """The definitions that come with the package, and those of the user's folders on top.

    Every `*.toml` of a folder is read; it may hold an instrument, criteria for an instrument, and protocols.
    Nothing is replaced silently: a name that is taken is refused unless the new entry says
    `replaces = true`. Raises DefinitionError, which lists every mistake with file and key.

    >>> load().instrument("phq9").gate
    10
    >>> load().instrument("phq-9")
    Traceback (most recent call last):
    ketaoutcomes.definitions.model.DefinitionError: unknown instrument 'phq-9'; did you mean 'phq9'?
    """
    return _load_own(folders) if folders else _builtin()


def as_markdown(definitions: Definitions | None = None) -> str:
    """Every instrument, criterion and protocol with its sources, as a Markdown document.

    Without an argument, those that come with the package.

    >>> print(as_markdown().splitlines()[0])
    # Instruments, criteria and protocols
    """
    return document(_builtin() if definitions is None else definitions)


@lru_cache(maxsize=1)
def _builtin() -> Definitions:
    shelf = _Shelf()
    shelf.add(sorted(_toml_files(resources.files(__name__)), key=lambda file: file.name))
    return shelf.definitions()


def _load_own(folders: tuple[str, ...]) -> Definitions:
    shelf = _Shelf(_builtin())
    for folder in folders:
        path = Path(folder)
        if path.is_dir():
            shelf.add(sorted(_toml_files(path), key=lambda file: file.name))
        else:
            shelf.findings.append(f"{folder}: no such folder")
    return shelf.definitions()


def _toml_files(folder: Traversable) -> list[Traversable]:
    return [file for file in folder.iterdir() if file.name.endswith(".toml")]


class _Shelf:
    """Definitions being collected, file by file."""

    def __init__(self, start: Definitions | None = None) -> None:
        self.findings: list[str] = []
        self._instruments = dict(start.instruments) if start else {}
        self._criteria = dict(start.criteria) if start else {}
        self._protocols = dict(start.protocols) if start else {}
        self._occurrences = dict(start.occurrences) if start else {}
        self._measures = dict(start.measures) if start else {}
        self._series = dict(start.series) if start else {}
        self._concomitants = dict(start.concomitants) if start else {}

    def add(self, files: Iterable[Traversable]) -> None:
        """Read the files: instruments and protocols first, then criteria, then measures, which use them."""
        opened = []
        for file in files:
            try:
                section = parse(file.read_text(encoding="utf-8"), file.name, self.findings)
            except UnicodeDecodeError:
                self.findings.append(f"{file.name}: is not UTF-8 text")
                continue
            opened.append((section, self._add_instrument(section)))
            self._add_protocols(section)
        for section, own in opened:
            for entry in section.sections("criteria"):
                self._add_criterion(entry, own, alone=not section.has("instrument"))
        for section, _ in opened:
            self._add_measures(section)
            self._add_named(section, "series", self._series, read_series)
            self._add_named(section, "concomitant", self._concomitants, read_concomitant)
            section.close()

    def definitions(self) -> Definitions:
        """What was collected; DefinitionError with every mistake where there was one."""
        for series in self._series.values():
            for name in series.criteria:
                if name not in self._criteria:
                    near = suggestion(name, self._criteria)
                    self.findings.append(f"series.{series.id}: reported: no such criterion{near}")
        for it in self._instruments.values():
            for family, short in it.families.items():
                if f"{it.id}_{short}" not in self._criteria:
                    known = [c.short for c in self._criteria.values() if c.instrument == it.id]
                    self.findings.append(
                        f"{it.id}: families.{family}: no such criterion{suggestion(short, known)}"
                    )
        if self.findings:
            raise DefinitionError(*self.findings)
        instruments = {
            name: replace(it, criteria=tuple(c for c in self._criteria.values() if c.instrument == name))
            for name, it in sorted(self._instruments.items())
        }
        return Definitions(
            instruments=FrozenMap(instruments),
            criteria=FrozenMap({c.name: c for it in instruments.values() for c in it.criteria}),
            protocols=FrozenMap(sorted(self._protocols.items())),
            occurrences=FrozenMap(self._occurrences),
            measures=FrozenMap(self._measures),
            series=FrozenMap(self._series),
            concomitants=FrozenMap(self._concomitants),
        )

    def _add_instrument(self, file: Section) -> Instrument | None:
        replaces = file.yes("replaces")
        found = read_instrument(file)
        if found is None:
            return None
        if not self._free(file, "instrument.id", found.id, self._instruments, replaces):
            return None
        # What was said of the replaced instrument need not hold for the new one.
        self._criteria = {name: c for name, c in self._criteria.items() if c.instrument != found.id}
        self._instruments[found.id] = found
        return found

    def _add_protocols(self, file: Section) -> None:
        self._add_named(file, "protocols", self._protocols, read_protocol)

    def _add_measures(self, file: Section) -> None:
        self._add_named(file, "occurrences", self._occurrences, read_occurrence)
        known = Known(self._occurrences, self._criteria, self._instruments, self._measures)
        self._add_named(
            file, "measures", self._measures, lambda name, entry: read_measure(name, entry, known)
        )

    def _add_named(
        self, file: Section, key: str, into: dict[str, Named], read: Callable[[str, Section], Named | None]
    ) -> None:
        """Read the tables below a key, each of a definition's own name."""
        section = file.section(key)
        for name in section.given() if section is not None else ():
            entry = section.section(name) if section is not None else None
            if entry is None:
                continue
            replaces = entry.yes("replaces")
            found = read(name, entry)
            if found is not None and self._free(entry, "", name, into, replaces):
                into[name] = found

    def _add_criterion(self, entry: Section, own: Instrument | None, *, alone: bool) -> None:
        if alone:
            name = entry.text("instrument")
            own = self._instruments.get(name)
            if own is None and name:
                entry.note("instrument", f"unknown instrument{suggestion(name, self._instruments)}")
        replaces = entry.yes("replaces")
        found = read_criterion(entry, own)
        if found is not None and self._free(entry, "short", found.name, self._criteria, replaces):
            self._criteria[found.name] = found

    def _free(
        self, section: Section, key: str, name: str, taken: Mapping[str, object], replaces: bool
    ) -> bool:
        """Whether a name may be used: it is not taken, or says that it replaces."""
        if replaces and name not in taken:
            section.note(key, f"replaces = true, but there is no '{name}' to replace")
        if not replaces and name in taken:
            section.note(key, f"'{name}' exists already; say replaces = true to replace it")
        return replaces == (name in taken)
