"""Random small cohorts whose scores fall into categories of change, and what an attacker knows of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
from attacked_tables import REMISSION, RESPONSE, Cell, Scenario, Shape
from scipy.sparse import csr_matrix, vstack

from ketaoutcomes.counts.tallies import Tally
from ketaoutcomes.definitions import load, met
from ketaoutcomes.definitions.change_rules import CATEGORIES, as_text, settle_rules

NAMES = (RESPONSE, REMISSION)
CHANGE = "phq9_change"
FOLDED = {"improved_from_functional": "improved", "unchanged_crossed": "unchanged"}
UNSCORED = ("missing", False, False)
Kind = tuple[str, bool, bool]  # a category of change, and which criteria are met


def kinds() -> list[Kind]:
    """Every way one score can count: what a reader of the definitions knows to be possible."""
    (rule,) = settle_rules(load(), ["phq9"])
    grid = np.meshgrid(np.arange(10, 28), np.arange(28), indexing="ij")
    before, after = (axis.ravel().astype(np.int32) * rule.ticks for axis in grid)
    category = rule.categories(before, after)
    yes = [met(load().criterion(name), before, after, rule.ticks) == 1 for name in NAMES]
    found = {(CATEGORIES[c], bool(a), bool(b)) for c, a, b in zip(category, *yes, strict=True)}
    return [UNSCORED, *sorted(found)]


@dataclass(frozen=True)
class Changes(Scenario):
    """A scenario whose Tallies also hold the categories of change."""

    def tallies(self, persons: np.ndarray) -> list[Tally]:
        """The raw Tallies, with the rules of change in their headers."""
        change = as_text(settle_rules(load(), ["phq9"]))
        return [
            replace(tally, header=replace(tally.header, change=change)) for tally in super().tallies(persons)
        ]

    def equations(self, protected: list[Tally]) -> tuple[csr_matrix, np.ndarray]:
        """What a reader knows of rates and of change."""
        others = [replace(t, points=t.points[t.points["criterion"] != CHANGE]) for t in protected]
        table, known = super().equations(others)
        rows, numbers = [], []
        for which, tally in enumerate(protected):
            own = tally.points[(tally.points["criterion"] == CHANGE) & tally.points["n"].notna()]
            for row in own.to_dict("records"):
                group = tuple(row[name] for name in tally.header.by)
                states = row["state"].split("+")
                members = [
                    i for i, (at, name, key) in enumerate(self.cells)
                    if (at, name) == (which, "points") and key[1] == CHANGE
                    and key[3:5] == (row["axis"], row["point"]) and key[7:] == group
                    and FOLDED.get(key[6], key[6]) in states
                ]  # fmt: skip
                rows.append(np.asarray(self.counted[members].sum(axis=0)).ravel())
                numbers.append(row["n"])
        more = csr_matrix(np.array(rows).reshape(len(rows), len(self.types)))
        return vstack([table, more] if len(known) else [more]), np.concatenate([known, numbers])


def _cells(
    shapes: tuple[Shape, ...], site: str, axis: str, point: str, kind: Kind | None, criteria: tuple[str, ...]
) -> list[Cell]:
    """The cells of one person at one point; no kind: not due there."""
    found: list[Cell] = []
    for which, shape in enumerate(shapes):
        group = (site,) if shape.by else ()
        states = {CHANGE: "not_due" if kind is None else kind[0]}
        for at, name in enumerate(NAMES):
            scored = kind is not None and kind != UNSCORED
            said = "met" if scored and kind[1 + at] else "not_met"
            if name in criteria:
                states[name] = said if scored else states[CHANGE]
        for name, state in states.items():
            found.append((which, "points", ("phq9", name, "current", axis, point, "no", state, *group)))
        if kind is not None and kind != UNSCORED:
            key = (axis, point, "3", *group)
            found += [(which, "values", ("phq9", name, *key)) for name in ("change", "baseline_scored")]
    return found


def _flow(shapes: tuple[Shape, ...], site: str, due: str) -> list[Cell]:
    reasons = (("patient", "", "patients", "with_course"), ("course", "phq9", "courses", "eligible"),
               ("course", "phq9", "due", due))  # fmt: skip
    return [
        (which, "flow", (*reason, *((site,) if shape.by else ())))
        for which, shape in enumerate(shapes)
        for reason in reasons
    ]


def change_with_flow() -> Changes:
    """Change at the end by site, and who is eligible and due."""
    shapes = (Shape(("site",), ("end",)),)
    types = [
        tuple(_cells(shapes, site, "end", "end", kind, ())
              + _flow(shapes, site, "not_due" if kind is None else "due"))
        for site, kind in itertools.product(("A", "B", "C"), [None, *kinds()])
    ]  # fmt: skip
    return Changes("change_with_flow", shapes, NAMES, ("current",), tuple(types))


def change_alone() -> Changes:
    """Change by site, nothing beside it."""
    shapes = (Shape(("site",), ("end",)),)
    types = [
        tuple(_cells(shapes, site, "end", "end", kind, ()))
        for site, kind in itertools.product(("A", "B", "C"), [None, *kinds()])
    ]
    return Changes("change_alone", shapes, NAMES, ("current",), tuple(types))


def change_by_week() -> Changes:
    """Change at two weeks, at the later of which fewer are due."""
    shapes = (Shape((), ("week",)),)
    every = [None, *kinds()]
    types = [
        tuple(_cells(shapes, "A", "week", "4", one, ())
              + _cells(shapes, "A", "week", "8", other, ()))
        for one, other in itertools.product(every, every)
        if one is not None or other is None
    ]  # fmt: skip
    return Changes("change_by_week", shapes, NAMES, ("current",), tuple(types))
