"""What changed, how rates moved from month to month, and sites beside each other, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ketaoutcomes.figures import control_charts as drawn
from ketaoutcomes.report.charts import chart
from ketaoutcomes.results.control_results import CHART_SAID
from ketaoutcomes.results.wording import (
    HIDDEN,
    count,
    decimal,
    gap,
    is_number,
    listed,
    percent,
    period,
    share,
)

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from ketaoutcomes.report.finished import Described
    from ketaoutcomes.report.views import Words

WIDE = (10.4, 3.2)


@dataclass(frozen=True)
class Change:
    """One instrument, a period against the one before: what it says, and a row per criterion."""

    title: str
    says: str
    now: str
    before: str
    rows: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Shown:
    """A chart with its title and what it says; `svg` is None where too little can be shown to draw."""

    title: str
    says: str
    svg: Markup | None


@dataclass(frozen=True)
class Site:
    """One site's row: who was scored, and how severe baselines were, by instrument title."""

    name: str
    cells: tuple[tuple[str, ...], ...]


def changed(described: Described | None, words: Words) -> list[Change]:
    """What changed, per instrument, and whether it is more than chance usually gives."""
    found = []
    parts = dict(_by_instrument(described, words))
    for instrument in words.instruments if described is not None else ():
        if instrument not in parts:
            said = "In no two periods that follow each other is enough shown to tell a change."
            found.append(Change(words.titles[instrument], said, "", "", ()))
            continue
        rows = parts[instrument]
        one = rows.iloc[0]
        now, before = period(str(one["period"])), period(str(one["before"]))
        named = tuple((words.short.get(row.criterion, row.criterion), row) for row in _rows(rows))
        found.append(Change(words.titles[instrument], _changed(named, now, before), now, before, named))
    return found


def _changed(rows: tuple[tuple[str, Any], ...], now: str, before: str) -> str:
    moved = [(name, row) for name, row in rows if row.evidence in ("higher", "lower")]
    unknown = [name for name, row in rows if not row.evidence]
    if moved:
        told = [f"{name} {gap(row.difference, row.low, row.high)}" for name, row in moved]
        said = (
            f"{now} against {before}: {listed(told)} percentage points, more than chance usually gives. "
            "One in twenty such comparisons shows as much without any change."
        )
    else:
        said = f"{now} against {before}: no evidence of change."
    return said + (f" {listed(unknown).capitalize()}: {HIDDEN}." if unknown else "")


def _by_instrument(described: Described | None, words: Words) -> list[tuple[str, pd.DataFrame]]:
    if described is None:
        return []
    table = described.table
    parts = {str(name): rows for name, rows in table.groupby("instrument", sort=False)}
    return [(name, parts[name]) for name in words.instruments if name in parts]


def _rows(table: pd.DataFrame) -> list[Any]:
    return list(table.itertuples(index=False))


def control_charts(described: Described | None, words: Words) -> list[Shown]:
    """One control chart per instrument, with what its limits rest on and where a rule fires."""
    found = []
    for instrument, rows in _by_instrument(described, words):
        name = str(rows["criterion"].iloc[0])
        title = f"{words.titles[instrument]} {words.short.get(name, name)}, of all due"
        says = _moved(rows)
        svg = None
        if rows["rate"].notna().sum() > 1:
            draw = partial(_control, table=rows.reset_index(drop=True), names=words.short)
            told = f"Control chart, {title}. {says} The table below holds every number."
            svg = chart(draw, name=f"control-{instrument}", says=told, size=WIDE, right=1.0)
        found.append(Shown(title, says, svg))
    return found


def _control(ax: Any, *, table: pd.DataFrame, names: Mapping[str, str]) -> None:
    drawn.control(table, ax=ax, names=names)


def _moved(chart: pd.DataFrame) -> str:
    """What a control chart lets one conclude, which kind it is, and what its limits rest on."""
    fired = [(period(str(row.period)), str(row.signal)) for row in _rows(chart) if row.signal]
    if fired:
        said = "; ".join(f"{when}: {rules.replace('_', ' ')}" for when, rules in fired)
        said = f"Something changed ({said}); a chart does not say what, nor why."
    else:
        said = "No evidence of more than chance from period to period; that proves no steadiness."
    one = chart.iloc[0]
    inside = [period(str(name)) for name in chart.loc[chart["in_baseline"], "period"]]
    if not inside or one["status"] == "too_few_periods":
        return f"{said} Too few periods for limits."
    kind = CHART_SAID.get(str(one["chart"]), str(one["chart"]))
    held = "frozen on" if one["frozen"] else "resting on"
    hidden = int((chart["reason"] == "hidden").sum())
    gaps = f", {hidden} of them hidden" if hidden else ""
    sure = "Provisional limits" if one["status"] == "provisional" else "Limits"
    return f"{said} {kind[:1].upper() + kind[1:]}. {sure} {held} {inside[0]} to {inside[-1]}{gaps}."


def funnels(tables: Mapping[str, Described], words: Words) -> list[Shown]:
    """One funnel per instrument: sites by size about one rate, never ranked."""
    if "funnel" not in tables:
        return []
    limits = tables["funnel_limits"].table if "funnel_limits" in tables else None
    found = []
    for instrument, rows in _by_instrument(tables["funnel"], words):
        name = str(rows["criterion"].iloc[0])
        title = f"{words.titles[instrument]} {words.short.get(name, name)} at the end, of all due"
        says = _funnel_says(rows)
        svg = None
        if rows["rate"].notna().any() and limits is not None:
            curve = limits[limits["criterion"] == name].rename(columns={"size": "n"})
            draw = partial(_funnel, table=rows.reset_index(drop=True), curve=curve, names=words.short)
            told = f"Funnel of sites, {title}. {says} The table below holds every number."
            svg = chart(draw, name=f"funnel-{instrument}", says=told, size=(9.6, 3.9), right=1.3)
        found.append(Shown(title, says, svg))
    return found


def _funnel(ax: Any, *, table: pd.DataFrame, curve: pd.DataFrame, names: Mapping[str, str]) -> None:
    drawn.funnel(table, curve.reset_index(drop=True), ax=ax, names=names)


def _funnel_says(rows: pd.DataFrame) -> str:
    """What the funnel lets one conclude, and how little a small site can show."""
    there = rows[rows["rate"].notna()]
    if there.empty:
        return "Too few patients to show."
    beyond = int((there["beyond"] != "").sum())
    size = len(there)
    if beyond:
        said = f"{beyond} of {size} sites outside the 95 % limits, where chance puts {0.05 * size:.1f}."
    else:
        said = f"No evidence that the {size} sites differ by more than chance."
    kind = "Exact limits"
    if (there["limits"] == "over_dispersed").any():
        phi = float(there["phi"].iloc[0])
        kind = f"Limits widened, since sites differ by more than chance (over-dispersion {decimal(phi, 2)})"
    least = there.sort_values("n", kind="stable").iloc[0]
    reach = ""
    if is_number(least["detect_low"]) and is_number(least["detect_high"]):
        reach = (
            f" The smallest, with {count(least['n'])} due, would most likely stand out only with a true rate "
            f"below {share(float(least['detect_low']))} or above {share(float(least['detect_high']))}."
        )
    return f"{said} {kind}.{reach} A point beyond a limit asks for a look, and is no verdict."


def sites(tables: Mapping[str, Described], words: Words) -> tuple[Site, ...]:
    """Per site and instrument: mean baseline, and the shares with a baseline, any later and an end score."""
    measured, base = (tables.get(name) for name in ("measured_by_site", "baseline_by_site"))
    if measured is None:
        return ()
    steps = {(str(r.site), str(r.instrument), str(r.step)): r for r in _rows(measured.table)}
    means = {(str(r.site), str(r.instrument)): r for r in _rows(base.table)} if base is not None else {}
    names = sorted({site for site, _, _ in steps})
    return tuple(
        Site(
            name,
            tuple(
                (
                    _mean(means.get((name, instrument))),
                    *(_share(steps.get((name, instrument, step))) for step in ("any_score", "end_score")),
                )
                for instrument in words.instruments
            ),
        )
        for name in names
    )


def _mean(row: Any) -> str:
    return decimal(float(row.mean)) if row is not None and is_number(row.mean) else HIDDEN


def _share(row: Any) -> str:
    return percent(row.n, row.of) if row is not None and is_number(row.n) and is_number(row.of) else HIDDEN
