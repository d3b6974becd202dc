"""What changed, how rates moved from month to month, and sites beside each other, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ketaoutcomes.figures import control_charts as drawn
from ketaoutcomes.report.additions import Plain, each_row
from ketaoutcomes.report.charts import chart
from ketaoutcomes.results.control_results import CHART_SAID
from ketaoutcomes.results.wording import (
    HIDDEN,
    capital,
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

HALF = (5.6, 3.0)
"""A chart that stands beside another: response, and remission."""


@dataclass(frozen=True)
class Change:
    """One instrument, a period against the one before: what is found, and a row per criterion."""

    title: str
    found: str
    now: str
    before: str
    rows: tuple[tuple[str, Any], ...]

    @property
    def span(self) -> str:
        """The two periods; empty where none are compared."""
        return f"{self.now} against {self.before}" if self.now else ""

    @property
    def says(self) -> str:
        """The periods and what is found."""
        return f"{self.span}: {self.found}" if self.span else self.found


@dataclass(frozen=True)
class Shown:
    """A chart with its title and what it says, and its numbers where no other table holds them.

    `svg` is None where too little can be shown to draw.
    """

    title: str
    says: str
    svg: Markup | None
    table: Plain | None = None


@dataclass(frozen=True)
class Site:
    """One site by instrument: how severe baselines were and who was scored, each with how many people."""

    name: str
    cells: tuple[tuple[tuple[str, str], ...], ...]


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
        named = tuple((words.short.get(row.criterion, row.criterion), row) for row in each_row(rows))
        found.append(Change(words.titles[instrument], _changed(named), now, before, named))
    return found


def _changed(rows: tuple[tuple[str, Any], ...]) -> str:
    moved = [(name, row) for name, row in rows if row.evidence in ("higher", "lower")]
    unknown = [name for name, row in rows if not row.evidence]
    said = "no evidence of change."
    if moved:
        ways = dict.fromkeys(str(row.evidence) for _, row in moved)
        told = "; ".join(f"{name}: {gap(row.difference, row.low, row.high)}" for name, row in moved)
        said = f"{listed(list(ways))} rates, by more than chance usually gives. In percentage points, {told}."
    return said + (f" {capital(listed(unknown))}: {HIDDEN}." if unknown else "")


def _by_instrument(described: Described | None, words: Words) -> list[tuple[str, pd.DataFrame]]:
    if described is None:
        return []
    table = described.table
    parts = {str(name): rows for name, rows in table.groupby("instrument", sort=False)}
    return [(name, parts[name]) for name in words.instruments if name in parts]


def control_charts(described: Described | None, words: Words) -> list[tuple[Shown, ...]]:
    """Per instrument a control chart of each criterion: what its limits rest on and where a rule fires."""
    found = []
    for instrument, rows in _by_instrument(described, words):
        own = [part for _, part in rows.groupby("criterion", sort=False)]
        found.append(tuple(_charted(instrument, at, part, words) for at, part in enumerate(own)))
    return found


def _charted(instrument: str, at: int, rows: pd.DataFrame, words: Words) -> Shown:
    name = str(rows["criterion"].iloc[0])
    title = f"{words.titles[instrument]} {words.short.get(name, name)}, of all due"
    says = _moved(rows)
    if rows["centre"].isna().all() and rows["rate"].notna().any():
        low, high = (share(float(rows["rate"].agg(which))) for which in ("min", "max"))
        shown = int(rows["rate"].notna().sum())
        says = f"Between {low} and {high} in the {count(shown)} periods shown. {says}"
    if rows["rate"].notna().sum() < 2:
        return Shown(title, "Too few periods can be shown to draw a line.", None)
    draw = partial(_control, table=rows.reset_index(drop=True), names=words.short)
    told = f"Control chart, {title}. {says} The table below holds every number."
    svg = chart(draw, name=f"control-{instrument}-{at}", says=told, size=HALF, right=0.72, top=0.3)
    return Shown(title, says, svg)


def mean_charts(described: Described | None, words: Words) -> tuple[Shown, ...]:
    """A control chart of the mean change at the end of the series for each instrument, with its table."""
    return tuple(_mean_charted(name, rows, words) for name, rows in _by_instrument(described, words))


def _mean_charted(instrument: str, rows: pd.DataFrame, words: Words) -> Shown:
    title = f"{words.titles[instrument]} mean change from baseline at the end, of those scored"
    means = [float(mean) for mean in rows["mean"] if is_number(mean)]
    if len(means) < 2:
        return Shown(title, "Too few periods can be shown to draw a line.", None)
    low, high = (decimal(one) for one in (min(means), max(means)))
    says = f"Between {low} and {high} points in the {count(float(len(means)))} periods shown. {_moved(rows)}"
    draw = partial(_control, table=rows.reset_index(drop=True), names=words.short)
    told = f"Control chart, {title}. {says} The table below holds every number."
    svg = chart(draw, name=f"mean-change-{instrument}", says=told, size=HALF, right=0.72, top=0.3)
    heads = (("period", True), ("scored", False), ("mean change", False), ("SD", False))
    lines = tuple(
        (period(str(row.period)), count(row.n), decimal(row.mean), decimal(row.sd)) for row in each_row(rows)
    )
    return Shown(title, says, svg, Plain(f"{title}, in points", heads, lines))


def _control(ax: Any, *, table: pd.DataFrame, names: Mapping[str, str]) -> None:
    drawn.control(table, ax=ax, names=names)


def _moved(chart: pd.DataFrame) -> str:
    """What a control chart lets one conclude, which kind it is, and what its limits rest on."""
    fired = [(period(str(row.period)), str(row.signal)) for row in each_row(chart) if row.signal]
    if fired:
        said = "; ".join(f"{when}: {rules.replace('_', ' ')}" for when, rules in fired)
        said = f"Something changed ({said}); a chart does not say what, nor why."
    else:
        said = "No evidence of more than chance from period to period; that proves no steadiness."
    one = chart.iloc[0]
    inside = [period(str(name)) for name in chart.loc[chart["in_baseline"], "period"]]
    if not inside or one["status"] == "too_few_periods":
        return said if fired else "Too few periods yet for limits of chance."
    kind = CHART_SAID.get(str(one["chart"]), str(one["chart"])).replace(" (", ": ").removesuffix(")")
    held = "frozen on" if one["frozen"] else "resting on"
    hidden = int((chart["reason"] == "hidden").sum())
    gaps = f", {hidden} of them hidden" if hidden else ""
    sure = "Provisional limits" if one["status"] == "provisional" else "Limits"
    return f"{said} {sure} {held} {inside[0]} to {inside[-1]}{gaps} ({kind})."


def funnels(tables: Mapping[str, Described], words: Words) -> list[tuple[Shown, ...]]:
    """Per instrument a funnel of each criterion: sites by size about one rate, never ranked."""
    if "funnel" not in tables or "funnel_limits" not in tables:
        return []
    limits, found = tables["funnel_limits"].table, []
    for instrument, rows in _by_instrument(tables["funnel"], words):
        own = [part for _, part in rows.groupby("criterion", sort=False)]
        found.append(tuple(_funnel_of(instrument, at, part, limits, words) for at, part in enumerate(own)))
    return found


def _funnel_of(instrument: str, at: int, rows: pd.DataFrame, limits: pd.DataFrame, words: Words) -> Shown:
    name = str(rows["criterion"].iloc[0])
    title = f"{words.titles[instrument]} {words.short.get(name, name)} at the end, of all due"
    says = _funnel_says(rows)
    if not rows["rate"].notna().any():
        return Shown(title, says, None)
    curve = limits[limits["criterion"] == name].rename(columns={"size": "n"})
    draw = partial(_funnel, table=rows.reset_index(drop=True), curve=curve, names=words.short)
    told = f"Funnel of sites, {title}. {says} The table below holds every number."
    svg = chart(draw, name=f"funnel-{instrument}-{at}", says=told, size=(5.6, 3.6), right=1.05)
    return Shown(title, says, svg)


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
            f" The smallest, with {count(least['n'])} due, would stand out only with a true rate below "
            f"{share(float(least['detect_low']))} or above {share(float(least['detect_high']))}."
        )
    return f"{said} {kind}.{reach}"


def sites(tables: Mapping[str, Described], words: Words) -> tuple[Site, ...]:
    """Per site and instrument: mean baseline, and the shares with a baseline, any later and an end score."""
    measured, base = (tables.get(name) for name in ("measured_by_site", "baseline_by_site"))
    if measured is None:
        return ()
    steps = {(str(r.site), str(r.instrument), str(r.step)): r for r in each_row(measured.table)}
    means = {(str(r.site), str(r.instrument)): r for r in each_row(base.table)} if base is not None else {}
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


def _mean(row: Any) -> tuple[str, str]:
    if row is None or not is_number(row.mean):
        return HIDDEN, ""
    return decimal(float(row.mean)), f"n = {count(row.n)}"


def _share(row: Any) -> tuple[str, str]:
    if row is None or not (is_number(row.n) and is_number(row.of)):
        return HIDDEN, ""
    return percent(row.n, row.of), f"of {count(row.of)}"
