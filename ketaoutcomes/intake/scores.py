"""Answers and totals of questionnaires, wide (one row per session) or long (one row per questionnaire)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.intake import texts
from ketaoutcomes.intake.cells import Typed, categories, small_integers, typed_texts
from ketaoutcomes.intake.findings import Stop, listed
from ketaoutcomes.intake.layout import instruments_in
from ketaoutcomes.intake.rows import Rows

if TYPE_CHECKING:
    from ketaoutcomes.definitions import Instrument

Array = Any


def read_wide(rows: Rows) -> pd.DataFrame:
    """Scores of rows that hold every instrument side by side.

    A faulty cell keeps out that row's score of that instrument, and nothing else of the row: a session must
    not vanish because a questionnaire is wrong.
    """
    timing, unplaced = _timing(rows)
    at = rows.living()
    columns: dict[str, Any] = {name: categories(typed, at) for name, typed in timing.items()}
    for name, (items, total) in instruments_in(rows.fields, rows.plan).items():
        instrument = rows.plan.definitions.instruments[name]
        _check_items(rows, instrument, items)
        answers = {item: _answers(rows, item, instrument.labels) for item in items}
        stated = rows.number(name) if total else None
        out = unplaced.copy()
        for typed in [*answers.values(), *([stated] if stated is not None else [])]:
            if any(typed.rules):
                out |= rows.note(typed, ~unplaced)
        lost = out if out.any() else None
        columns |= {item: small_integers(typed, at, lost) for item, typed in answers.items()}
        if stated is not None:
            values = stated.rows if lost is None else np.where(lost, np.nan, stated.rows)
            columns[name] = values if at is None else values[at]
    return rows.frame(at, columns)


def read_long(rows: Rows) -> pd.DataFrame:
    """Scores of rows that hold one questionnaire each: `instrument`, `score`, or `item_1` and so on."""
    timing, unplaced = _timing(rows)
    rows.alive &= ~unplaced
    instrument = _instruments(rows)
    labels = _shared_labels(rows, instrument)
    items = [f"item_{i}" for i in range(1, 100) if f"item_{i}" in rows.fields]
    columns = {name: _answers(rows, name, labels) for name in items}
    if "score" in rows.fields:
        columns["score"] = rows.number("score")
    for typed in columns.values():
        rows.out_where_broken(typed)
    at = rows.living()
    made: dict[str, Any] = {
        name: categories(typed, at) for name, typed in {**timing, "instrument": instrument}.items()
    }
    made |= {name: small_integers(columns[name], at, None) for name in items}
    if "score" in columns:
        made["score"] = columns["score"].rows if at is None else columns["score"].rows[at]
    return rows.frame(at, made)


def _timing(rows: Rows) -> tuple[dict[str, Typed], Array]:
    """When on the day each score was taken, and the rows whose scores cannot be placed."""
    if "timing" not in rows.fields:
        return {}, np.zeros(len(rows.grid), dtype=bool)
    known = texts.TIMINGS
    parsed = typed_texts(
        rows.cells("timing"),
        lambda text: (known[text.casefold()], "") if text.casefold() in known else ("", "D18"),
    )
    return {"timing": parsed}, rows.note(parsed, rows.alive)


def _check_items(rows: Rows, instrument: Instrument, items: list[str]) -> None:
    """Refuse a set of item columns that is not the instrument's: another form, or sessions side by side."""
    wanted = [f"{instrument.id}_{i}" for i in range(1, instrument.items + 1)]
    if not items or items == wanted:
        return
    beyond = [f'"{rows.fields[item].name}"' for item in items if item not in wanted]
    more = f"; if they are not items, write under [columns]: drop = [{listed(beyond, 60)}]" if beyond else ""
    message = (
        f"{instrument.title} has {instrument.items} items and the file has columns for {len(items)}{more}"
    )
    raise Stop("G13", message, column=rows.fields[items[0]].name)


def _answers(rows: Rows, name: str, labels: Mapping[str, int]) -> Typed:
    """Answers of one item, as numbers or as the instrument's own labels for them."""
    known = {label.casefold(): value for label, value in labels.items()}
    cells = rows.cells(name)
    parsed = [
        texts.answer(text, known, rows.decimal) if text else (float("nan"), rule, False)
        for text, rule in zip(cells.texts, cells.rules, strict=True)
    ]
    if any(labelled for _, _, labelled in parsed):
        labelled = cells.pick([by_label for _, _, by_label in parsed], bool)
        rows.found.normalised(rows.grid.file, cells.name, "D13", int((labelled & rows.alive).sum()))
    values = np.array([value for value, _, _ in parsed], dtype=np.float64)
    return Typed(cells, values, [rule for _, rule, _ in parsed])


def _instruments(rows: Rows) -> Typed:
    known = rows.plan.definitions.instruments

    def named(text: str) -> tuple[str, str]:
        lower = text.casefold()
        bare = re.sub("[^a-z0-9_]", "", lower)
        return (lower, "") if lower in known else (bare, "") if bare in known else ("", "D18")

    typed = typed_texts(rows.cells("instrument"), named)
    rows.out(~typed.cells.filled, typed.cells.name, "D18")
    rows.out_where_broken(typed)
    return typed


def _shared_labels(rows: Rows, instrument: Typed) -> dict[str, int]:
    """Answer labels of a long file's instruments, where a label means the same in all of them."""
    known = rows.plan.definitions.instruments
    meanings: dict[str, set[int]] = {}
    for name in sorted(set(instrument.values.tolist()) - {""}):
        for label, value in known[name].labels.items():
            meanings.setdefault(label, set()).add(value)
    return {label: values.pop() for label, values in meanings.items() if len(values) == 1}
