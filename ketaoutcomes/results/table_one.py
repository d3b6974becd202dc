"""Table 1: who was treated. Counts of people by covariate and group, and what is finished from them."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.counting import tabulate, valued
from ketaoutcomes.definitions import MISSING
from ketaoutcomes.disclosure.covariates import (
    BASELINE,
    EVERYONE,
    MISSING_LEVEL,
    NUMBERS,
    OTHER_LEVELS,
    OTHER_OR_MISSING,
    RECORDED,
    SESSIONS,
    TABLE1,
    is_table_one,
    numbers,
)
from ketaoutcomes.estimates.balance import standardised_difference, standardised_distance
from ketaoutcomes.per_patient.patients import BLANK_LABEL, NO_COURSE, Patients, grouping
from ketaoutcomes.results.wording import label, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ketaoutcomes.counts.tallies import Counted, Tally
    from ketaoutcomes.plan import Plan

Array = Any
AXIS = TABLE1
NOT_COVARIATES = {
    "patient", "start_date", "protocol", "target_dose", "target_unit", "target_day", "cut_day",
    "observed_from",
}  # fmt: skip
COLUMNS = (
    "variable", "level", "group", "n", "of", "share", "mean", "sd", "median", "q1", "q3",
)  # fmt: skip


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
            "state": (known.astype(np.int64), (MISSING_LEVEL, RECORDED)),
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
    """Table 1 of the counts that `study.table1_tally` gives, as counted or protected.

    Of protected counts, rare levels are joined (`other levels`), hidden numbers are NaN and print as
    "hidden", and a difference of which a part is hidden is NaN; differences are of the levels shown.
    Raises ValueError for other counts.

    Method: means, sample standard deviations and quartiles (by linear interpolation) of whole counts;
    standardised differences as in Austin, Stat Med 2009;28:3083, for several categories the multinomial
    distance of Yang and Dalton, SAS Global Forum 2012, paper 335.
    """
    if not is_table_one(tally):
        raise ValueError("these are not the counts of a Table 1; write study.table1_tally(by=...)")
    points, values = _with_everyone(tally)
    groups = [EVERYONE, *sorted(set(points["group"]) - {EVERYONE})]
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


def _with_everyone(tally: Tally) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The counts of levels, and the statistics of numbers, each with its group's name, everyone's first."""
    by = list(tally.header.by)
    points, values = (table.assign(group=_group_names(table, by)) for table in (tally.points, tally.values))
    keys = ["instrument", "variable", "group"]
    if not tally.protected or values.empty:
        if by and not tally.protected:
            points, values = (pd.concat([table.assign(group=EVERYONE), table]) for table in (points, values))
        rows = [
            {**dict(zip(keys, key, strict=True)), **numbers(own["value"].to_numpy(), own["n"].to_numpy())}
            for key, own in values.groupby(keys, sort=False)
        ]
        return points, pd.DataFrame(rows, columns=[*keys, *NUMBERS])
    name, _, statistic = (values["variable"].str.rpartition(":")[i] for i in range(3))
    long = values.assign(variable=name, statistic=statistic)
    wide = long.pivot(index=keys, columns="statistic", values="n")
    return points, wide.reindex(columns=list(NUMBERS)).reset_index()


def _group_names(table: pd.DataFrame, by: list[str]) -> list[str]:
    """Each row's group as text; everyone where there is no grouping."""
    keys = zip(*(table[column] for column in by), strict=True) if by else [(EVERYONE,)] * len(table)
    return [EVERYONE if set(key) == {EVERYONE} else " · ".join(map(str, key)) for key in keys]


def _total(numbers: Array) -> float:
    """A sum that a hidden number makes unknown."""
    return float(np.sum(np.asarray(numbers, dtype=np.float64)))


def _patients(points: pd.DataFrame, instrument: str, groups: list[str], rows: list[dict[str, Any]]) -> None:
    """How many there are: everyone of the first instrument, whether or not a baseline is on record."""
    own = points[(points["criterion"] == BASELINE) & (points["instrument"] == instrument)]
    for group in groups:
        n = _total(own.loc[own["group"] == group, "n"])
        rows.append(_row("Patients", "", group, n=n, of=n, share=1.0 if n > 0 else np.nan))


def _counted(
    points: pd.DataFrame,
    variable: str,
    groups: list[str],
    rows: list[dict[str, Any]],
    found: dict[str, list[Any]],
) -> None:
    blank = points["state"].isin([BLANK_LABEL, NO_COURSE])
    joined = (OTHER_LEVELS, OTHER_OR_MISSING)
    levels = sorted(set(points.loc[~blank, "state"]), key=lambda level: (level in joined, level))
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
        told = dict.fromkeys(NUMBERS, np.nan) | {"n": 0.0}
        if len(own):
            told = {name: float(own[name].iloc[0]) for name in NUMBERS}
        n, total = told["n"], told["sum"]
        mean = total / n / per_point if n > 0 else np.nan
        spread = (n * told["squares"] - total * total) / (n * (n - 1)) if n > 1 else np.nan
        sd = float(np.sqrt(max(spread, 0.0))) / per_point if n > 1 else np.nan
        quartiles = {name: told[name] / per_point for name in ("median", "q1", "q3")}
        rows.append(_row(variable, "", group, n=n, mean=mean, sd=sd, **quartiles))
        moments.append((mean, sd))
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
        quartiles = "" if np.isnan(row.median) else f"; {row.median:g} [{row.q1:g}–{row.q3:g}]"
        return f"{row.mean:.1f}{spread}{quartiles}"
    return f"{int(row.n):,} ({percent(row.n, row.of)})" if row.of else "none"


LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--",
    "·": r"\textperiodcentered{}",
}  # fmt: skip


def _latex(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)
