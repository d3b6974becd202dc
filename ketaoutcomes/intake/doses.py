"""Which rows give a dose, and how much of what: amounts, units, routes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ketaoutcomes.intake import texts
from ketaoutcomes.intake.cells import Typed, categories
from ketaoutcomes.intake.findings import Stop
from ketaoutcomes.intake.rows import Rows

Array = Any
LIGHTEST_KG, HEAVIEST_KG = 25, 350


def read_doses(rows: Rows) -> pd.DataFrame:
    """The doses of a view: one row of the frame for each row of the file that gives one.

    A row gives a dose when its amount is above 0 (0 is "not given", blank is no dose); in a file without
    amounts, when its route is filled; in one without routes either, when its session number is 1 or more.
    `attrs["marks"]` says which of these told.
    """
    amount: Array | None = None
    beside: Array | None = None
    if "dose" in rows.fields:
        amount, beside, given = _amounts(rows)
    elif "route" in rows.fields:
        given = rows.alive & rows.cells("route").filled
    else:
        session = rows.number("session", texts.whole)
        rows.out_where_broken(session)
        given = rows.alive & (np.nan_to_num(session.rows) >= 1)
    route = _route(rows, given) if "route" in rows.fields else None
    days = lengths(rows, given)
    given = given & rows.alive
    unit = _units(rows, given, amount, beside)
    at = np.flatnonzero(given)
    columns: dict[str, Any] = {}
    if amount is not None:
        columns["dose"] = amount[at]
    if route is not None:
        columns["route"] = categories(route, at)
    if unit is not None:
        columns["unit"] = unit[at]
    if days is not None:
        columns["days"] = days[at]
    if "site" in rows.fields:
        columns["site"] = categories(rows.label("site", given), at)
    if "weight_kg" in rows.fields:
        columns["weight_kg"] = weights(rows, given)[at]
    frame = rows.frame(at, columns)
    frame.attrs["marks"] = "dose" if {"dose", "route"} & set(rows.fields) else "session"
    return frame


def lengths(rows: Rows, given: Array) -> Array | None:
    """How many days each record covers: stated, or counted up to the last one; NaN where blank."""
    stated = [name for name in ("days", "until_day", "until_date") if name in rows.fields]
    if not stated:
        return None
    name = stated[0]
    if len(stated) > 1 or name == f"until_{'day' if 'date' in rows.fields else 'date'}":
        line = "until_date with date, until_day with day, or days alone"
        raise Stop("B06", f"says in two ways how long a record lasts; give under [columns] {line}")
    if name == "days":
        days = rows.number(name, texts.whole)
        rows.out_where_broken(days, given)
        return days.rows
    until = rows.dates(name) if name == "until_date" else rows.number(name, texts.whole)
    rows.out_where_broken(until, given)
    if rows.when is None:
        return None
    lasts = until.rows - rows.when.rows
    if lasts.dtype.kind == "m":
        lasts = np.where(np.isnat(lasts), np.nan, lasts.astype("timedelta64[D]").astype(np.float64))
    rows.out(given & (lasts < 0), until.cells.name, "E15")
    return lasts + 1


def _amounts(rows: Rows) -> tuple[Array, Array, Array]:
    """Every row's amount, the unit written with it, and which rows give a dose.

    A cell without a usable number keeps its row out: nothing says whether a dose was given. A cell with a
    number but a unit that is not known is a dose of unknown amount, or later sessions would move up.
    """
    cells = rows.cells("dose")
    parsed = [
        texts.amount(text, rows.decimal) if text else (float("nan"), "", rule)
        for text, rule in zip(cells.texts, cells.rules, strict=True)
    ]
    values = np.array([value for value, _, _ in parsed], dtype=np.float64)
    typed = Typed(cells, values, ["D06" if value < 0 else rule for value, _, rule in parsed])
    unusable = np.zeros(len(rows.grid), dtype=bool)
    for rule, broken in typed.breaking().items():
        if rule == "D15":
            rows.found.rows(rows.grid.file, rows.grid.rows[broken & rows.alive], cells.name, rule)
            unusable |= broken
        else:
            rows.out(broken, cells.name, rule)
    amount = typed.rows
    return (
        amount,
        cells.pick([unit for _, unit, _ in parsed], object),
        rows.alive & ((np.nan_to_num(amount) > 0) | unusable),
    )


def _route(rows: Rows, given: Array) -> Typed:
    own = {**texts.ROUTES, **{name.casefold(): name for name in rows.plan.protocol if name != "all"}}
    route = rows.words("route", own, "route", "iv", given, free="all" in rows.plan.protocol)
    rows.out(
        given & (route.cells.pick([rule == "D18" for rule in route.rules], bool)), route.cells.name, "D18"
    )
    return route


def _units(rows: Rows, given: Array, amount: Array | None, beside: Array | None) -> Array | None:
    """Every row's unit. An amount whose unit is missing, unknown or stated twice differently is blanked."""
    stated = rows.cells("unit") if "unit" in rows.fields else None
    pairs = (
        [
            texts.unit(text) if text else ("", rule)
            for text, rule in zip(stated.texts, stated.rules, strict=True)
        ]
        if stated
        else []
    )
    column = (
        stated.pick([unit for unit, _ in pairs], object)
        if stated
        else np.full(len(rows.grid), "", dtype=object)
    )
    if amount is None or beside is None:
        return _blank_as_none(column) if stated else None
    unit = np.where(beside != "", beside, column)
    measured = given & ~np.isnan(amount)
    lacking = measured & (unit == "")
    clash = measured & (beside != "") & (column != "") & (beside != column)
    dose = rows.fields["dose"]
    if dose.position is not None:
        if lacking.any() and not (measured & ~lacking).any() and not any(rule for _, rule in pairs):
            message = (
                'doses have no unit; write under [columns]: unit = { value = "mg" }, or unit = "their header"'
            )
            raise Stop("D15", message, column=dose.name)
        rows.found.rows(rows.grid.file, rows.grid.rows[lacking | clash], dose.name, "D15")
        amount[lacking | clash] = np.nan
    return _blank_as_none(np.where(clash, "", unit))


def _blank_as_none(units: Array) -> Array:
    units = units.copy()
    units[units == ""] = None
    return units


def weights(rows: Rows, among: Array) -> Array:
    """Body weights; one outside 25 to 350 kg is blanked, never converted (rule D16)."""
    weight = rows.number("weight_kg")
    faulty: Array = rows.note(weight, among)
    with np.errstate(invalid="ignore"):
        odd = among & rows.alive & ((weight.rows < LIGHTEST_KG) | (weight.rows > HEAVIEST_KG))
    rows.found.rows(rows.grid.file, rows.grid.rows[odd], weight.cells.name, "D16")
    return np.where(faulty | odd, np.nan, weight.rows)
