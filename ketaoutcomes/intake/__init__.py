"""Files to a cohort: text is read as text and typed by one written rule set; nothing is dropped silently."""

from __future__ import annotations

import operator
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.intake.findings import Findings, Stop, listed
from ketaoutcomes.intake.grid import Grid, read_grid
from ketaoutcomes.intake.guard import check_names, check_values
from ketaoutcomes.intake.header import Header
from ketaoutcomes.intake.layout import Layout, lay_out, near_names
from ketaoutcomes.intake.rows import Rows, kept_rows
from ketaoutcomes.intake.sources import SourceFile, names_of, open_files
from ketaoutcomes.intake.texts import cleaned
from ketaoutcomes.intake.views import read_view
from ketaoutcomes.notices import notice
from ketaoutcomes.plan import Plan
from ketaoutcomes.plan.columns import NAMES
from ketaoutcomes.records.cohort import Cohort, InputRefused, Source, assemble
from ketaoutcomes.shown import expect

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["THRESHOLD", "Intake", "quarantined_share", "read", "take_in"]

Array = Any
Paths = str | os.PathLike[str] | list[str | os.PathLike[str]]
THRESHOLD = 0.05
"""The share of rows with a quarantined finding past which a run ends with exit code 4."""


def read(
    paths: Paths, plan: Plan | None = None, *, allow_empty: bool = False, keep_going: bool = False
) -> Cohort:
    """A cohort from one or several CSV or SAS transport files: wide, long, or doses, scores, people apart.

    Headers and values are ours, or translated by the plan's `[columns]`. `cohort.problems` lists what was
    normalised and quarantined; `cohort.ledger` accounts for every row. Raises `InputRefused`, which lists
    everything that forbids reading on and the line to write for it; no cell's value is in it. With
    `keep_going`, a file that is refused is left out instead, as long as others remain: `cohort.left_out`
    names it, and its findings stay in `cohort.problems`. Nothing is left out where doses and
    scores come in files apart.

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> text = "patient,day,dose,unit,route,phq9\\n007,0,0.5,mg/kg,iv,18\\n7,0,,,,9\\n"
    >>> _ = (folder / "two.csv").write_text(text)
    >>> read(folder / "two.csv").scores[["patient", "score"]].values.tolist()
    [['007', 18.0], ['7', 9.0]]
    """
    cohort = take_in(paths, plan, allow_empty=allow_empty, keep_going=keep_going).cohort
    for code, text in noticed(cohort):
        notice(code, text)
    return cohort


def noticed(cohort: Cohort) -> list[tuple[str, str]]:
    """What is remarkable of how a cohort was read: codes of warnings (W04), and their texts.

    >>> noticed(cohort)
    []
    """
    share = quarantined_share(cohort)
    if share <= THRESHOLD:
        return []
    return [("W04", f"{share:.1%} of the rows have something set aside: more than {THRESHOLD:.0%}")]


@dataclass
class Intake:
    """A reading: the cohort, what was said about columns on the way, and how each file was laid out."""

    cohort: Cohort
    notes: tuple[str, ...]
    columns: Mapping[str, Mapping[str, tuple[str, ...]]]


@dataclass
class _Run:
    """One reading over all its files."""

    plan: Plan
    found: Findings = field(default_factory=Findings)
    frames: dict[str, list[pd.DataFrame]] = field(default_factory=lambda: {table: [] for table in NAMES})
    sources: list[Source] = field(default_factory=list)
    seen: dict[tuple[str, ...], Array] = field(default_factory=dict)
    headers: dict[str, Header] = field(default_factory=dict)
    layouts: dict[str, Layout] = field(default_factory=dict)


def take_in(
    paths: Paths, plan: Plan | None = None, *, allow_empty: bool = False, keep_going: bool = False
) -> Intake:
    """As `read`, with what was said about columns on the way; `ketaoutcomes check` prints it."""
    expect(plan, Plan, "plan", 'ko.read_plan("plan.toml")')
    files = open_files(paths)
    named = dict(zip(names_of(files), files, strict=True))
    plan = plan or Plan()
    try:
        return _take_in(named, plan, allow_empty)
    except InputRefused as refused:
        faults = refused.problems[refused.problems["action"] == "refused"]
        left_out = {name for name in named if name in set(faults["file"])}
        if not keep_going or not left_out or len(left_out) == len(named):
            raise
        intake = _take_in({name: named[name] for name in named if name not in left_out}, plan, allow_empty)
        # Where doses and scores come apart, a file left out would take them from other files' patients.
        if not all({"doses", "scores"} <= set(use["tables"]) for use in intake.columns.values()):
            raise
    problems = pd.concat([intake.cohort.problems, faults[faults["file"].isin(left_out)]], ignore_index=True)
    return replace(intake, cohort=replace(intake.cohort, problems=problems, left_out=tuple(sorted(left_out))))


def _take_in(named: Mapping[str, Path], plan: Plan, allow_empty: bool) -> Intake:
    run = _Run(plan)
    for name, path in named.items():
        source = SourceFile(path, name, run.plan.columns.encoding, run.plan.columns.decimal)
        try:
            _read_file(source, run, allow_empty)
        except Stop as stop:
            run.found.refuse(name, stop)
    _check_plan_columns(run)
    frames = {table: _joined(parts) for table, parts in run.frames.items()}
    _check_tables(run, frames)
    run.found.stop_if_refused()
    people, events, monitoring = (
        frames[name] if run.frames[name] else None for name in ("people", "events", "monitoring")
    )
    cohort = assemble(
        frames["doses"], frames["scores"], people, events, monitoring,
        plan=run.plan, problems=run.found.problems(), ledger=run.found.ledger(), sources=tuple(run.sources),
        headers={name: one.headers(plan.definitions.instruments) for name, one in run.layouts.items()},
    )  # fmt: skip
    return Intake(cohort, tuple(run.found.notes), {name: _column_use(run, name) for name in run.layouts})


def quarantined_share(cohort: Cohort) -> float:
    """The share of input rows with at least one quarantined finding.

    >>> from ketaoutcomes.records.cohort import Cohort
    >>> doses = pd.DataFrame({"patient": ["a"], "day": [0], "dose": 1.0, "route": "iv", "phq9": [18.0]})
    >>> quarantined_share(Cohort.from_frames(doses))
    0.0
    """
    rows = sum(source.rows for source in cohort.sources)
    problems = cohort.problems
    set_aside = problems[(problems["action"] == "quarantined") & (problems["row"] > 0)]
    return len(set_aside[["file", "row"]].drop_duplicates()) / rows if rows else 0.0


def _read_file(source: SourceFile, run: _Run, allow_empty: bool) -> None:
    found, plan = run.found, run.plan

    def choose(header: Header) -> set[int]:
        check_names(header, plan.columns.drop, source.name, found)
        run.headers[source.name] = header
        run.layouts[source.name] = lay_out(header, source.name, plan, found)
        return run.layouts[source.name].positions()

    before = len(found.refusals)
    grid = read_grid(source, plan.columns, choose, found)
    if grid.read == 0 and not allow_empty:
        raise Stop("A07", "has a header and no rows below it")
    layout = run.layouts[source.name]
    _note_left_out(source.name, grid.header, layout, found)
    run.sources.append(Source(source.name, source.sha256, grid.read))
    if len(found.refusals) > before:
        return
    alive = _file_rows(grid, layout, run)
    _check_identifiers(grid, layout, run)
    _read_views(grid, layout, alive, run)


def _file_rows(grid: Grid, layout: Layout, run: _Run) -> Array:
    """Which rows go on to the views: those that pass the row filter, repeated rows once."""
    alive = np.ones(len(grid), dtype=bool)
    for position, wanted in layout.keep.items():
        passing = kept_rows(grid, position, wanted)
        run.found.count(
            grid.file, "input", "filtered", grid.header.show(position), int((alive & ~passing).sum())
        )
        alive &= passing
    first = np.zeros(len(grid), dtype=bool)
    first[np.unique(grid.prints, return_index=True)[1]] = True
    earlier = run.seen.get(grid.header.names)
    if earlier is not None:
        first &= ~np.isin(grid.prints, earlier)
    run.seen[grid.header.names] = grid.prints if earlier is None else np.concatenate([earlier, grid.prints])
    repeated = alive & ~first
    run.found.rows(grid.file, grid.rows[repeated], "", "C07", "normalised")
    run.found.count(grid.file, "input", "duplicate", "C07", int(repeated.sum()))
    return alive & first


def _check_identifiers(grid: Grid, layout: Layout, run: _Run) -> None:
    """Codes that become one when spaces and full-width letters are read as plain; and codes that are none."""
    positions = {view.fields["patient"].position for view in layout.views if "patient" in view.fields}
    for position in sorted(p for p in positions if p is not None):
        coded, name = grid.columns[position], grid.header.show(position)
        plain = [cleaned(text) for text in coded.texts]
        changed = sum(map(operator.ne, plain, coded.texts))
        if changed:
            run.found.normalised(grid.file, name, "C05", changed)
            times = Counter(plain)
            merged = np.array([bool(text) and times[text] > 1 for text in plain])[coded.codes]
            run.found.rows(grid.file, grid.rows[merged], name, "C05", "normalised")
        check_values(grid.file, name, plain, run.found, labels=False)


def _read_views(grid: Grid, layout: Layout, alive: Array, run: _Run) -> None:
    kept = np.zeros(len(grid), dtype=bool)
    read: list[Rows] = []
    for view in layout.views:
        try:
            rows = Rows(grid, view, alive, run.plan, run.found)
            for table, frame in read_view(rows).items():
                run.frames[table].append(frame)
        except Stop as stop:
            run.found.refuse(grid.file, stop)
            continue
        read.append(rows)
        kept |= rows.alive
    _account(grid, alive & ~kept, read, run)
    run.found.count(grid.file, "input", "kept", "", int(kept.sum()))


def _account(grid: Grid, lost: Array, read: list[Rows], run: _Run) -> None:
    """Count the rows no view kept, each once, by the first rule that kept it out."""
    for rows in read:
        for index, rule in enumerate(rows.reasons[1:], start=1):
            by_rule = lost & (rows.reason == index)
            run.found.count(grid.file, "input", "quarantined", rule, int(by_rule.sum()))
            lost = lost & ~by_rule
    run.found.count(grid.file, "input", "filtered", "keep", int(lost.sum()))


def _note_left_out(file: str, header: Header, layout: Layout, found: Findings) -> None:
    if layout.left_out:
        names = listed((header.show(i) for i in layout.left_out), 40)
        found.note(f"{file}: columns left out: {names}")


def _check_plan_columns(run: _Run) -> None:
    """Refuse names the plan gives that no file has; a table may be in one file and not in another."""
    headers = list(run.headers.values())
    if not headers:
        return
    columns = run.plan.columns
    wanted = [f.source for f in columns.fields.values() if f.source is not None]
    told = {*columns.fields, *(name for entry in columns.people for name in entry.fields)}
    wanted += [*(name for name in columns.covariates if name not in told), *columns.keep]
    for table in NAMES:
        for entry in getattr(columns, table):
            if not entry.file and not any(
                all(h.find(f.source or "") is not None for f in entry.fields.values() if f.source)
                for h in headers
            ):
                wanted += [f.source for f in entry.fields.values() if f.source]
    absent = [name for name in dict.fromkeys(wanted) if all(h.find(name) is None for h in headers)]
    if absent:
        near = near_names(absent, headers[0])
        run.found.refuse("plan", Stop("B06", f"[columns] names columns no file has{near}"))


def _check_tables(run: _Run, frames: dict[str, pd.DataFrame]) -> None:
    """A cohort needs doses and scores; say which line makes them where a file gives none."""
    if run.found.refusals:
        return
    if not run.frames["doses"]:
        line = 'dose = "..." (above 0: a dose was given), route = "..." or session = "..."'
        near = [near_names(["dose", "route", "session"], header) for header in run.headers.values()]
        message = (
            f"no column says when a dose was given{near[0] if near else ''}; write under [columns]: {line}"
        )
        once = "[[columns.doses]] with day = { value = 0 } and dose = { value = 1 }"
        run.found.refuse("input", Stop("B06", f"{message}; where each patient had one dose: {once}"))
    if not run.frames["scores"]:
        known = ", ".join(run.plan.definitions.instruments)
        line = 'phq9 = "their total", or phq9_1 = "their first item" and so on'
        run.found.refuse(
            "input", Stop("B06", f"no column holds a score ({known}); write under [columns]: {line}")
        )
    for table in ("doses", "scores"):
        dated = {"date" if "date" in part else "day" for part in run.frames[table]}
        if len(dated) > 1:
            run.found.refuse(
                "input",
                Stop("B06", f"some {table} have a day and others a date; give one of the two throughout"),
            )


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """One frame from several.

    Where some files' rows name a dose or a route, rows of others that only number a session are no doses.
    """
    if any(part.attrs.get("marks") == "dose" for part in parts):
        parts = [part for part in parts if part.attrs.get("marks") != "session"]
    if len(parts) < 2:
        return parts[0] if parts else pd.DataFrame()
    parts = [part.copy(deep=False) for part in parts]
    for name in dict.fromkeys(c for part in parts for c in part.columns):
        having = [part for part in parts if name in part]
        if all(isinstance(part[name].dtype, pd.CategoricalDtype) for part in having):
            every = pd.Index(
                list(dict.fromkeys(label for part in having for label in part[name].cat.categories)),
                dtype=object,
            )
            for part in parts:
                part[name] = (
                    part[name].cat.set_categories(every)
                    if name in part
                    else pd.Categorical([None] * len(part), categories=every)
                )
    return pd.concat(parts, ignore_index=True)


def _column_use(run: _Run, file: str) -> dict[str, tuple[str, ...]]:
    """How each of a file's columns was used, by name."""
    header, layout = run.headers[file], run.layouts[file]
    mapped = {
        f"{header.show(given.position)} -> {ours}": None
        for view in layout.views
        for ours, given in view.fields.items()
        if given.position is not None
    }
    tables = {table: None for view in layout.views for table in view.tables}
    return {
        "tables": tuple(tables),
        "mapped": tuple(mapped),
        "left_out": tuple(header.show(i) for i in layout.left_out),
    }
