"""Random small cohorts with covariates: a Table 1 alone or beside rates, and what an attacker knows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from attacked_tables import HALVED, RESPONSE, SAME, UNSCORED, Scenario, Shape, _eligible, _Person
from scipy.sparse import csr_matrix, vstack

from ketaoutcomes.counts.tallies import KEYS, Header, Tally, typed
from ketaoutcomes.disclosure.covariates import EVERYONE, OTHER_LEVELS, OTHER_OR_MISSING
from ketaoutcomes.per_patient.patients import BLANK_LABEL

TABLE = ("table1", "table1", "", "")
PROTOCOL = {"iv": "iv6", "im": "im", "sublingual": "home", "oral": "home"}


@dataclass(frozen=True)
class Covariates(Scenario):
    """A scenario whose last Tally is a Table 1 by `table_by` of some `variables`."""

    table_by: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()

    def tallies(self, persons: np.ndarray) -> list[Tally]:
        """The raw Tallies, those of rates first."""
        return [*super().tallies(persons), self._table_one(self.counted @ persons)]

    def _table_one(self, count: np.ndarray) -> Tally:
        header = Header(
            plan=self.plan.canonical(), plan_hash=self.plan.hash, as_of="2026-10-31", by=self.table_by,
            axes=("table1",), criteria=self.variables, kinds=("table1",),
        )  # fmt: skip
        tables = {}
        for name in KEYS:
            own = [i for i, c in enumerate(self.cells) if c[:2] == (len(self.shapes), name) and count[i]]
            columns = [*KEYS[name], *self.table_by]
            table = pd.DataFrame([self.cells[i][2] for i in own], columns=columns)
            n = count[own].astype(np.int64)
            tables[name] = typed(name, table.assign(n=n, people=n), self.table_by)
        return Tally(header, **tables)

    def equations(self, protected: list[Tally]) -> tuple[csr_matrix, np.ndarray]:
        """What a reader knows of the rates and of Table 1."""
        last = len(self.shapes)
        rows, numbers = [], []
        shown = protected[last]
        named = shown.points.groupby("criterion")["state"].agg(set).to_dict()
        for name in ("points", "values"):
            for row in getattr(shown, name).to_dict("records"):
                told = name == "points" or row["variable"].endswith(":n")
                if told and not np.isnan(row["n"]):
                    members = [
                        i for i, cell in enumerate(self.cells)
                        if cell[:2] == (last, name) and self._inside(name, cell[2], row, named)
                    ]  # fmt: skip
                    rows.append(np.asarray(self.counted[members].sum(axis=0)).ravel())
                    numbers.append(row["n"])
        own = csr_matrix(np.array(rows).reshape(len(rows), len(self.types)))
        if not last:
            return own, np.array(numbers)
        others, more = super().equations(protected[:last])
        return vstack([others, own]), np.concatenate([more, numbers])

    def _inside(self, name: str, key: tuple[str, ...], row: Any, named: dict[str, set[str]]) -> bool:
        group = [str(row[column]) for column in self.table_by]
        if EVERYONE not in group and list(key[len(KEYS[name]) :]) != group:
            return False
        if name == "values":
            return (key[0], f"{key[1]}:n") == (row["instrument"], row["variable"])
        if key[:2] != (row["instrument"], row["criterion"]):
            return False
        rest = key[6] not in named[key[1]]
        joined = {OTHER_LEVELS: rest and key[6] != BLANK_LABEL, OTHER_OR_MISSING: rest}
        return joined.get(row["state"], key[6] == row["state"])


def people(
    name: str, shapes: tuple[Shape, ...], by: tuple[str, ...], variables: tuple[str, ...]
) -> Covariates:
    """Sites, sex, age band, route (and protocol, its coarser form), and what became of each."""
    types = []
    outcomes = ("not_due", UNSCORED, SAME, HALVED) if shapes else (UNSCORED,)
    for site, sex, age, route, what in itertools.product(
        ("A", "B", "C", "D"), ("f", "m", BLANK_LABEL), ("18-29", "30-59", "60-"), PROTOCOL, outcomes
    ):
        columns = {"site": site, "sex": sex, "age": age, "route": route, "protocol": PROTOCOL[route]}
        one = _Person(shapes, (RESPONSE,), ("current",), **columns)
        if shapes:
            one.flow("patient", "", "patients", "with_course")
            _eligible(one, due=what != "not_due")
            one.judged("end", "end", {"current": what} if what != "not_due" else {}, due=what != "not_due")
        group = tuple(columns[column] for column in by)
        last = len(shapes)
        for variable in variables:
            one.cells.append((last, "points", ("", variable, *TABLE, columns[variable], *group)))
        one.cells.append((last, "points", ("phq9", "baseline", *TABLE, "recorded", *group)))
        one.cells.append((last, "values", ("phq9", "baseline", "table1", "", "18", *group)))
        if route in ("iv", "im"):
            one.cells.append((last, "values", ("", "sessions", "table1", "", "4", *group)))
        types.append(one.done())
    return Covariates(name, shapes, (RESPONSE,), ("current",), tuple(types), by, variables)


EVERY = ("sex", "age", "route", "protocol")
END, OF_SITE = Shape((), ("end",)), Shape(("site",), ("end",))


def alone() -> Covariates:
    """A Table 1 by site, nothing beside it."""
    return people("alone", (), ("site",), EVERY)


def of_everyone() -> Covariates:
    """A Table 1 of everyone beside rates by protocol, which route and protocol would be tied to."""
    return people("of_everyone", (END, Shape(("protocol",), ("end",))), (), (*EVERY, "site"))


def beside_rates() -> Covariates:
    """A Table 1 by site beside the rates of everyone and by site."""
    return people("beside_rates", (END, OF_SITE), ("site",), EVERY)


def beside_another() -> Covariates:
    """A Table 1 by sex beside the rates by site."""
    return people("beside_another", (END, OF_SITE), ("sex",), ("site", "age", "route"))
