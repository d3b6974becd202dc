"""Table 1: who was treated. Counts of people by covariate and group, and what is finished from them."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.counting import tabulate, valued
from ketaoutcomes.definitions import MISSING
from ketaoutcomes.estimates.balance import standardised_difference, standardised_distance
from ketaoutcomes.per_patient.patients import BLANK_LABEL, NO_COURSE, Patients, grouping
from ketaoutcomes.results.wording import label, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ketaoutcomes.counts.tallies import Counted, Tally
    from ketaoutcomes.plan import Plan

Array = Any
AXIS = "table1"
BASELINE, SESSIONS = "baseline", "sessions"
MISSING_LEVEL = "missing"
NOT_COVARIATES = {
    "patient", "start_date", "protocol", "target_dose", "target_unit", "target_day", "cut_day",
    "observed_from",
}  # fmt: skip
COLUMNS = (
    "variable", "level", "group", "n", "of", "share", "mean", "sd", "median", "q1", "q3",
)  # fmt: skip
EVERYONE = "everyone"


# --- counts ----------------------------------------------------------------------------------------------


def covariates(people: pd.DataFrame, by: Sequence[str]) -> tuple[str, ...]:
    """The columns of people a Table 1 shows unless told otherwise, and the route of the course."""
    own = [column for column in people.columns if column not in NOT_COVARIATES | set(by)]
    return (*own, *(("route",) if "route" not in by else ()))


def count(p: Patients, by: Sequence[str], variables: Sequence[str]) -> dict[str, list[Counted]]:
    """What one block adds: headline courses of the plan's first instrument by covariate, and baselines.

    One person counts once. Covariates stand in `points` (criterion: the column, state: its label), baselines
    and sessions of induction in `values`, whether a baseline is on record in `points`.
    """
    groups = grouping(p, by)
    rows = p.headline(p.plan.instruments[0])
    group = groups.of_course[rows]
    points, values = [], []
    for variable in variables:
        own = grouping(p, (variable,))
        keys = {
            "criterion": variable,
            "kind": AXIS,
            "axis": AXIS,
            "state": (own.of_course[rows], own.labels[0]),
        }
        points.append(tabulate("points", groups, group, keys))
    for instrument in p.plan.instruments:
        ticks = p.baselines(instrument).ticks[rows]
        known = ticks != MISSING
        keys = {
            "instrument": instrument, "criterion": BASELINE, "kind": AXIS, "axis": AXIS,
            "state": (known.astype(np.int64), (MISSING_LEVEL, "recorded")),
        }  # fmt: skip
        points.append(tabulate("points", groups, group, keys))
        keys = {"instrument": instrument, "variable": BASELINE, "axis": AXIS}
        values.append(valued(groups, group[known], ticks[known].astype(np.int64), keys))
    by_visit = p.block.rule.numbers("visits", 0)[p.courses.protocol[rows]] > 0
    sessions = p.courses.inducted[rows[by_visit]].astype(np.int64)
    values.append(valued(groups, group[by_visit], sessions, {"variable": SESSIONS, "axis": AXIS}))
    return {"points": points, "values": values}


# --- the finished table ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Table1:
    """Who was treated: a tidy `table`, the `differences` between groups, and the same for a manuscript.

    `table` has one row per variable, level and group (`everyone` first): n, of, share for counts; mean, sd,
    median, q1, q3 for numbers, in points or sessions. Shares are of those on record; who is not stands in
    rows with the level `missing`, of everyone in the group. `differences` has one row per variable and pair
    of groups: `smd`, the standardised difference, which does not depend on how many people there are.

    >>> found = study.table1(by="site", variables="sex")
    >>> found.differences[["variable", "smd"]].head(1).round(2).to_numpy().tolist()
    [['sex', 0.15]]
    """

    table: pd.DataFrame
    differences: pd.DataFrame

    def __repr__(self) -> str:
        return self.wide().to_string(index=False)

    def _repr_html_(self) -> str:
        return self.to_html()

    def wide(self) -> pd.DataFrame:
        """Text by row and group, as printed, with the largest difference of any two groups.

        >>> study.table1(by="site", variables="sex").wide()["largest SMD"].tolist()[1:4]
        ['0.15', '', '0.06']
        """
        groups = list(dict.fromkeys(self.table["group"]))
        keys = list(dict.fromkeys(zip(self.table["variable"], self.table["level"], strict=True)))
        cells = {
            (row.variable, row.level, row.group): _cell(row) for row in self.table.itertuples(index=False)
        }
        rows: dict[str, list[str]] = {"": [_named(*key) for key in keys]}
        for group in groups:
            rows[group] = [cells.get((*key, group), "") for key in keys]
        if len(self.differences):
            worst = self.differences.assign(smd=self.differences["smd"].abs())
            largest = worst.groupby("variable")["smd"].max().to_dict()
            first = dict(reversed(keys))
            rows["largest SMD"] = [
                f"{largest[variable]:.2f}"
                if first[variable] == level and largest.get(variable, np.nan) >= 0
                else ""
                for variable, level in keys
            ]
        return pd.DataFrame(rows)

    def to_markdown(self) -> str:
        """The table in Markdown.

        >>> print(study.table1(variables="sex").to_markdown().splitlines()[2])
        | Patients | 1,052 (100 %) |
        """
        wide = self.wide()
        lines = [list(wide.columns), ["---"] + ["---:"] * (wide.shape[1] - 1), *wide.to_numpy().tolist()]
        escape = str.maketrans({"|": "\\|", "\n": " ", "<": "&lt;", "`": "\\`"})
        return "".join(f"| {' | '.join(str(cell).translate(escape) for cell in line)} |\n" for line in lines)

    def to_html(self) -> str:
        """The table in HTML, its labels as text.

        >>> study.table1(variables="sex").to_html()[:34]
        '<table><thead><tr><th scope="col">'
        """
        wide = self.wide()
        head = "".join(f'<th scope="col">{html.escape(str(name))}</th>' for name in wide.columns)
        body = "".join(
            f'<tr><th scope="row">{html.escape(str(line[0]))}</th>'
            + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in line[1:])
            + "</tr>"
            for line in wide.to_numpy().tolist()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def to_latex(self) -> str:
        """The table as a LaTeX `tabular`, its labels escaped.

        >>> print(study.table1(variables="sex").to_latex().splitlines()[4])
        Patients & 1,052 (100 \\%) \\\\
        """
        wide = self.wide()
        lines = [" & ".join(_latex(str(cell)) for cell in line) for line in [wide.columns, *wide.to_numpy()]]
        head, *body = (f"{line} \\\\" for line in lines)
        columns = "l" + "r" * (wide.shape[1] - 1)
        inside = "\n".join([f"\\begin{{tabular}}{{{columns}}}", "\\hline", head, "\\hline", *body, "\\hline"])
        return f"{inside}\n\\end{{tabular}}\n"


def table1(tally: Tally, plan: Plan) -> Table1:
    """Table 1 of a Tally counted with `tables=("table1",)`; hidden counts stay missing.

    Method: means, sample standard deviations and quartiles (by linear interpolation) of whole counts;
    standardised differences as in Austin, Stat Med 2009;28:3083, for several categories the multinomial
    distance of Yang and Dalton, SAS Global Forum 2012, paper 335.
    """
    by = list(tally.header.by)
    points = tally.points[tally.points["axis"] == AXIS]
    values = tally.values[tally.values["axis"] == AXIS]
    named = _group_names(points, by)
    groups = [EVERYONE, *dict.fromkeys(sorted(named.values()))] if by else [EVERYONE]
    points, values = (
        table.assign(group=[named[key] for key in _keys(table, by)]) if by else table.assign(group=EVERYONE)
        for table in (points, values)
    )
    if by:
        points, values = (pd.concat([table.assign(group=EVERYONE), table]) for table in (points, values))
    rows: list[dict[str, Any]] = []
    found: dict[str, list[Any]] = {}
    _patients(points, plan.instruments[0], groups, rows)
    for variable in dict.fromkeys(points.loc[points["criterion"] != BASELINE, "criterion"]):
        _counted(points[points["criterion"] == variable], str(variable), groups, rows, found)
    for instrument in plan.instruments:
        title = plan.definitions.instrument(instrument).title
        per_point = plan.definitions.instrument(instrument).ticks
        own = values[(values["variable"] == BASELINE) & (values["instrument"] == instrument)]
        if own.empty:  # an instrument the plan names and nobody has filled in
            continue
        _measured(own, f"{title} at baseline", per_point, groups, rows, found)
        missing = points[(points["criterion"] == BASELINE) & (points["instrument"] == instrument)]
        _missing(missing, missing["state"] == MISSING_LEVEL, f"{title} at baseline", groups, rows)
    _measured(values[values["variable"] == SESSIONS], "Sessions of the first series", 1, groups, rows, found)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return Table1(table, _differences(found, groups[1:]))


def _keys(table: pd.DataFrame, by: list[str]) -> list[tuple[Any, ...]]:
    return list(zip(*(table[column] for column in by), strict=True))


def _group_names(points: pd.DataFrame, by: list[str]) -> dict[tuple[Any, ...], str]:
    return {key: " · ".join(map(str, key)) for key in _keys(points, by)} if by else {}


def _total(numbers: Array) -> float:
    """A sum that a hidden number makes unknown."""
    return float(np.sum(np.asarray(numbers, dtype=np.float64)))


def _patients(points: pd.DataFrame, instrument: str, groups: list[str], rows: list[dict[str, Any]]) -> None:
    """How many there are: everyone of the first instrument, whether or not a baseline is on record."""
    own = points[(points["criterion"] == BASELINE) & (points["instrument"] == instrument)]
    for group in groups:
        n = _total(own.loc[own["group"] == group, "n"])
        rows.append(_row("Patients", "", group, n=n, of=n, share=1.0 if n else np.nan))


def _counted(
    points: pd.DataFrame,
    variable: str,
    groups: list[str],
    rows: list[dict[str, Any]],
    found: dict[str, list[Any]],
) -> None:
    blank = points["state"].isin([BLANK_LABEL, NO_COURSE])
    levels = sorted(dict.fromkeys(points.loc[~blank, "state"]))
    for level in levels:
        for group in groups:
            own = points[(points["group"] == group) & ~blank]
            n, of = _total(own.loc[own["state"] == level, "n"]), _total(own["n"])
            rows.append(_row(variable, level, group, n=n, of=of, share=n / of if of else np.nan))
    _missing(points, blank, variable, groups, rows)
    found[variable] = [
        np.array(
            [
                _total(points.loc[(points["group"] == group) & (points["state"] == level), "n"])
                for level in levels
            ]
        )
        for group in groups
    ]


def _missing(
    points: pd.DataFrame, blank: pd.Series[bool], variable: str, groups: list[str], rows: list[dict[str, Any]]
) -> None:
    """Who is not on record, of everyone in the group; nothing where everybody is."""
    if not blank.any():
        return
    for group in groups:
        own = points["group"] == group
        n, of = _total(points.loc[own & blank, "n"]), _total(points.loc[own, "n"])
        rows.append(_row(variable, MISSING_LEVEL, group, n=n, of=of, share=n / of if of else np.nan))


def _measured(
    values: pd.DataFrame,
    variable: str,
    per_point: int,
    groups: list[str],
    rows: list[dict[str, Any]],
    found: dict[str, list[Any]],
) -> None:
    moments = []
    for group in groups:
        own = values[values["group"] == group]
        n = own["n"].to_numpy(dtype=np.float64)
        told: dict[str, float] = dict.fromkeys(("mean", "sd", "median", "q1", "q3"), np.nan)
        if len(n) and not np.isnan(n).any():
            every = np.repeat(own["value"].to_numpy(dtype=np.int64), n.astype(np.int64)) / per_point
            q1, median, q3 = np.quantile(every, [0.25, 0.5, 0.75])
            sd = float(np.std(every, ddof=1)) if len(every) > 1 else np.nan
            told = {"mean": float(every.mean()), "sd": sd, "median": median, "q1": q1, "q3": q3}
        rows.append(_row(variable, "", group, n=_total(n), **told))
        moments.append((told["mean"], told["sd"]))
    found[variable] = moments


def _row(variable: str, level: str, group: str, **numbers: float) -> dict[str, Any]:
    return {"variable": variable, "level": level, "group": group} | numbers


def _differences(found: dict[str, list[Any]], groups: list[str]) -> pd.DataFrame:
    rows = []
    for variable, told in found.items():
        own = told[1:]  # without everyone
        measured = isinstance(told[0], tuple)
        for i, one in enumerate(groups):
            for k in range(i + 1, len(groups)):
                smd = (
                    standardised_difference(*own[i], *own[k])
                    if measured
                    else standardised_distance(own[i], own[k])
                )
                rows.append({"variable": variable, "group": one, "other": groups[k], "smd": smd})
    return pd.DataFrame(rows, columns=["variable", "group", "other", "smd"])


# --- as text ---------------------------------------------------------------------------------------------


def _named(variable: str, level: str) -> str:
    return f"{label(variable)}: {label(level)}" if level else label(variable)


def _cell(row: Any) -> str:
    if np.isnan(row.n):
        return "hidden"
    if np.isnan(row.of):
        if not row.n:
            return "none"
        if np.isnan(row.mean):
            return "hidden"
        spread = f" ({row.sd:.1f})" if not np.isnan(row.sd) else ""
        return f"{row.mean:.1f}{spread}; {row.median:g} [{row.q1:g}–{row.q3:g}]"
    return f"{int(row.n):,} ({percent(row.n, row.of)})" if row.of else "none"


LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--",
    "·": r"\textperiodcentered{}",
}  # fmt: skip


def _latex(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)
