"""A Tally to finished tables of change beyond error: categories, bands, joint response, effect sizes.

Pure functions of counts, as `results`: they never see a patient. What is not published about an instrument
(a reliable change, a cutoff, a norm) is a row without numbers and a reason, never a number of our own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.definitions.change_rules import CATEGORIES, ChangeError, ChangeRule, parse_rules
from ketaoutcomes.disclosure import moments
from ketaoutcomes.estimates import rate_with_limits
from ketaoutcomes.estimates.change import (
    mean_interval,
    regression_at_gate,
    regression_of_baseline,
    standardized_change,
)
from ketaoutcomes.results.course_results import NO_END, points_of_group
from ketaoutcomes.results.whole import COUNTS, whole_counts
from ketaoutcomes.tables import TABLES

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Header, Tally
    from ketaoutcomes.definitions import Definitions

Array = Any
ANALYSES = ("nri", "observed")
AXES = ("session", "week", "end")
COARSE = {"improved_from_functional": "improved", "unchanged_crossed": "unchanged"}
OWN_TABLES = ("change", "bands", "joint", "effect_sizes", "regression_to_mean")
OWN_COLUMNS = {column for name in OWN_TABLES for column in TABLES[name].names}
UNSCORED = "unscored"
ASIDE = ("not_due", "not_scheduled")
NO_CHANGE = "no_published_reliable_change"
NO_CUTOFF = "no_published_cutoff"
NO_NORM = "no_published_norm"
NO_RETEST = "no_published_retest"


def change_table(
    tally: Tally,
    *,
    analysis: Sequence[str] = ANALYSES,
    detail: bool = False,
    method: str | None = None,
    level: float | None = None,
) -> pd.DataFrame:
    """How many recovered, improved, did not change or got worse, beyond error, at each point.

    One row per group, instrument, point, analysis and category; the people of the categories add up to `n`.
    Columns: the grouping, axis, instrument, point, analysis, category, people, n, rate, low, high,
    reliable_points (the smallest change that counts), cutoff, best_at_baseline, reason.

    Categories: recovered (reliably better, and from the dysfunctional to the functional side of the cutoff),
    improved, unchanged, deteriorated; analysis `nri` is of all due and adds `unscored`, `observed` is of
    those scored. With `detail`, improved_from_functional (who began on the functional side and cannot
    recover) and unchanged_crossed (across the cutoff, within error) stand apart. `best_at_baseline` counts
    those scored whose baseline was the best score there is (zero on most scales): they cannot improve.
    """
    _check_analyses(analysis)
    plan = tally.header.settings
    wanted = [name for name in CATEGORIES if detail or name not in COARSE]
    rows: list[dict[str, Any]] = []
    for rule in parse_rules(tally.header.change).values():
        best = _best_at_baseline(tally, plan, rule)
        for axis in tally.header.axes:
            for group, point, found, reason in _points(tally, plan, f"{rule.instrument}_change", axis):
                for name in analysis:
                    common = {
                        **group, "axis": axis, "instrument": rule.instrument, "point": point,
                        "analysis": name, "reliable_points": _float(rule.reliable),
                        "cutoff": _float(rule.cutoff),
                        "best_at_baseline": np.nan if tally.protected
                        else best.get((*group.values(), axis, point), 0),
                    }  # fmt: skip
                    why = NO_CHANGE if rule.reliable is None else reason or _no_end(tally, name)
                    if tally.protected and not why:
                        rows += _told_categories(common, rule, found, name)
                    else:
                        rows += _categories(common, rule, found, wanted, name, why)
    columns = [
        *tally.header.by, "axis", "instrument", "point", "analysis", "category", "people", "n",
        "reliable_points", "cutoff", "best_at_baseline", "reason",
    ]  # fmt: skip
    return _rated(pd.DataFrame(rows, columns=columns), tally.header, method, level, before="reliable_points")


def _categories(
    common: dict[str, Any],
    rule: ChangeRule,
    found: dict[str, float],
    wanted: Sequence[str],
    analysis: str,
    reason: str,
) -> Iterator[dict[str, Any]]:
    """The rows of one group at one point: a partition of those due, or of those scored."""
    folded = dict.fromkeys((*wanted, UNSCORED), 0.0)
    for state, n in found.items():
        name = UNSCORED if state == "missing" else state if state in wanted else COARSE.get(state, "")
        if name:
            folded[name] += n
    names = [*wanted, UNSCORED] if analysis == "nri" else list(wanted)
    n = sum(folded[name] for name in names)
    for name in names:
        without = name in ("recovered", "improved_from_functional", "unchanged_crossed")
        why = reason or (NO_CUTOFF if rule.cutoff is None and without else "") or ("" if n else "nobody")
        yield {
            **common, "category": name, "people": folded[name] if why in ("", "nobody") else np.nan,
            "n": np.nan if reason else n, "reason": why,
        }  # fmt: skip


def _told_categories(
    common: dict[str, Any], rule: ChangeRule, found: dict[str, float], analysis: str
) -> Iterator[dict[str, Any]]:
    """The rows of a protected Tally: the categories told apart, others joined by `+`; hidden ones NaN."""
    cells = {state.replace("missing", UNSCORED): n for state, n in found.items() if state not in ASIDE}
    if analysis == "observed" and UNSCORED in cells:
        del cells[UNSCORED]
    elif analysis == "observed":
        # Who was scored is not told: the unscored are counted with others.
        cells = {"+".join(name for name in CATEGORIES if name not in COARSE): np.nan}
    total = sum(cells.values())
    order = [*CATEGORIES, UNSCORED]
    if rule.cutoff is None:
        yield {**common, "category": "recovered", "people": np.nan, "n": total, "reason": NO_CUTOFF}
    for name in sorted(cells, key=lambda name: order.index(name.split("+")[0])):
        why = "hidden" if np.isnan(cells[name]) else "" if total else "nobody"
        yield {**common, "category": name, "people": cells[name], "n": total, "reason": why}


def bands_table(tally: Tally) -> pd.DataFrame:
    """From which severity band at baseline to which band, of those due at each point.

    One row per group, instrument, point, band before (`band_from`) and after (`band_to`, also `unscored`);
    columns also axis, people, n (of that band at baseline) and rate. Instruments without published bands
    (PCL-5) have no rows.
    """
    plan = tally.header.settings
    rows: list[dict[str, Any]] = []
    for name in parse_rules(tally.header.change):
        bands = [band["name"] for band in plan["definitions"]["instruments"][name]["bands"]]
        for axis in tally.header.axes if bands else ():
            for group, point, found, _ in _points(tally, plan, f"{name}_bands", axis):
                for one in bands:
                    # Without a last day on record nobody can be called due, so nobody unscored either.
                    others = bands if tally.header.as_of == NO_END else [*bands, "missing"]
                    counts = [found.get(f"{one}>{other}", 0) for other in others]
                    for other, people in zip([*bands, UNSCORED], counts, strict=False):
                        # Moves are not told of protected counts.
                        hidden = np.nan if tally.protected else 0
                        rows.append(
                            {**group, "axis": axis, "instrument": name, "point": point, "band_from": one,
                             "band_to": other, "people": people + hidden, "n": sum(counts) + hidden}
                        )  # fmt: skip
    columns = [*tally.header.by, "axis", "instrument", "point", "band_from", "band_to", "people", "n"]
    table = pd.DataFrame(rows, columns=columns)
    of = table["n"].to_numpy(dtype=float)
    rate = np.divide(table["people"].to_numpy(dtype=float), of, out=np.full(len(of), np.nan), where=of > 0)
    return whole_counts(table.assign(rate=rate))


def joint_table(
    tally: Tally,
    *,
    analysis: Sequence[str] = ANALYSES,
    method: str | None = None,
    level: float | None = None,
) -> pd.DataFrame:
    """Two criteria together: who met both, only the first, only the second, neither.

    One row per group, pair of criteria, point, analysis and cell; the people of the four cells add up to `n`.
    Columns: the grouping, axis, first, second (the criteria), point, analysis, met, people, n, rate, low,
    high, reason. Of people's first course eligible for both instruments: `nri` of all due, the unscored
    counting as not met; `observed` of those scored on both. Left out of both: courses that one of the
    criteria cannot judge (a baseline of zero, no diagnosis at baseline).
    """
    _check_analyses(analysis)
    plan = tally.header.settings
    rows: list[dict[str, Any]] = []
    for pair in _pairs(tally, plan):
        for axis in tally.header.axes:
            for group, point, found, reason in _points(tally, plan, "+".join(pair), axis):
                for name in analysis:
                    cells = _cells(found, name)
                    total, why = sum(cells.values()), reason or _no_end(tally, name)
                    rows += [
                        {**group, "axis": axis, "first": pair[0], "second": pair[1], "point": point,
                         "analysis": name, "met": cell, "people": np.nan if why else people,
                         "n": np.nan if why else total, "reason": why or ("" if total else "nobody")}
                        for cell, people in cells.items()
                    ]  # fmt: skip
    columns = [
        *tally.header.by, "axis", "first", "second", "point", "analysis", "met", "people", "n", "reason",
    ]  # fmt: skip
    return _rated(pd.DataFrame(rows, columns=columns), tally.header, method, level, before="reason")


def _check_analyses(analysis: Sequence[str]) -> None:
    if set(analysis) - set(ANALYSES):
        raise ValueError(f"analysis must be one or both of {', '.join(ANALYSES)}")


def _no_end(tally: Tally, analysis: str) -> str:
    """Why an analysis cannot be given of records that do not say when they end: nobody can be called due."""
    return "no_cut_day" if tally.header.as_of == NO_END and analysis == "nri" else ""


def check_pair(definitions: Definitions, names: Sequence[str]) -> None:
    """Raise `ChangeError` where two criteria cannot be judged together: they must be of two instruments."""
    instruments = {definitions.criterion(name).instrument for name in names}
    if len(names) != 2 or len(instruments) != 2:
        raise ChangeError("a joint table is of one criterion each of two instruments; give two full names")


def _pairs(tally: Tally, plan: dict[str, Any]) -> list[tuple[str, str]]:
    names = tally.header.criteria
    of = plan["definitions"]["criteria"]
    return [
        (one, other)
        for i, one in enumerate(names)
        for other in names[i + 1 :]
        if of[one]["instrument"] != of[other]["instrument"]
    ]


def _cells(found: dict[str, float], analysis: str) -> dict[str, float]:
    """The joint states as four cells; unscored counts as not met, or is left out."""
    cells = dict.fromkeys(("both", "first_only", "second_only", "neither"), 0.0)
    counted = ("met", "not_met", "missing") if analysis == "nri" else ("met", "not_met")
    for state, n in found.items():
        one, _, other = state.partition("+")
        if one in counted and other in counted:
            first, second = one == "met", other == "met"
            cell = ("neither", "second_only", "first_only", "both")[2 * first + second]
            cells[cell] += n
    return cells


def effect_sizes(tally: Tally, *, level: float | None = None) -> pd.DataFrame:
    """How large the mean change was, in published and in baseline standard deviations, with its interval.

    One row per group, instrument, point and standardizer; of those scored, so of people who stayed. Columns:
    the grouping, axis, instrument, point, standardizer, n, mean_change, sd_change, correlation (of baseline
    and score), sd (the standardizer), d, low, high, reason. `mean_change` is score minus baseline, in points;
    `d` is above 0 where people got better, whichever way the scale runs.

    `published`: the standard deviation of the rule's population, taken as known; Student's interval of the
    mean change divided by it. `baseline`: that of these people's own baselines, corrected for small samples,
    with a large-sample interval (`estimates.change.standardized_change`). A baseline spread narrowed by the
    gate makes the second larger than the first.
    """
    plan = tally.header.settings
    confidence = tally.header.limits(level=level)[1]
    rules = parse_rules(tally.header.change)
    keys = [*tally.header.by, "instrument", "axis", "point"]
    table = _paired(tally, keys)
    table = table[table["instrument"].isin(list(rules))].reset_index(drop=True)
    side = np.array([1 if rules[name].worse == "higher" else -1 for name in table["instrument"]], dtype=float)
    published = np.array([_float(rules[name].sd) for name in table["instrument"]], dtype=float)
    n, change = table["n"].to_numpy(), table["mean_change"].to_numpy()
    low, high = mean_interval(n, -side * change, table["sd_change"], confidence)
    own = standardized_change(
        n, -side * change, table["sd_baseline"].to_numpy(), table["correlation"], confidence
    )
    unknown = np.where(np.isnan(n), "hidden", "")
    by_norm = table.assign(
        standardizer="published", sd=published, d=-side * change / published, low=low / published,
        high=high / published, reason=np.where(np.isnan(published), NO_NORM, unknown),
    )  # fmt: skip
    by_own = table.assign(
        standardizer="baseline", sd=table["sd_baseline"], d=own[0], low=own[1], high=own[2],
        reason=np.where(unknown != "", unknown, np.where(np.isnan(own[0]), "too_few_or_all_alike", "")),
    )  # fmt: skip
    both = pd.concat([by_norm, by_own], ignore_index=True)
    first = [*tally.header.by, "axis", "instrument", "point", "standardizer"]
    columns = [*first, "n", "mean_change", "sd_change", "correlation", "sd", "d", "low", "high", "reason"]
    return _in_order(both[columns], tally, plan)


def _paired(tally: Tally, keys: list[str]) -> pd.DataFrame:
    """Baseline and score of the same people: number, mean change, spreads and correlation, in points."""
    table = moments(tally, "change")[[*keys, "n", "sum", "squares"]]
    for name in ("baseline_scored", "score"):
        own = moments(tally, name)[[*keys, "sum", "squares"]]
        table = table.merge(own, on=keys, how="left", suffixes=("", f"_{name}"))
    ticks = _ticks(tally, table)
    n = table["n"].to_numpy(dtype=float)
    spread = {
        name: _sd(n, table[f"sum{end}"], table[f"squares{end}"]) / ticks
        for name, end in (("change", ""), ("baseline", "_baseline_scored"), ("score", "_score"))
    }
    with np.errstate(divide="ignore", invalid="ignore"):
        both = spread["baseline"] * spread["score"]
        shared = (spread["baseline"] ** 2 + spread["score"] ** 2 - spread["change"] ** 2) / 2
        correlation = np.where(both > 0, np.clip(shared / both, -1, 1), np.nan)
        mean = table["sum"].to_numpy(dtype=float) / n / ticks
    return table[[*keys, "n"]].assign(
        mean_change=mean, sd_change=spread["change"], sd_baseline=spread["baseline"], correlation=correlation,
        mean_baseline=table["sum_baseline_scored"].to_numpy(dtype=float) / n / ticks,
    )  # fmt: skip


def _sd(n: Array, total: Any, squares: Any) -> Array:
    """The sample standard deviation from whole sums, which have no order; NaN below two values."""
    total, squares = np.asarray(total, dtype=float), np.asarray(squares, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(np.where(n > 1, (n * squares - total * total) / (n * (n - 1)), np.nan))


def regression_table(tally: Tally) -> pd.DataFrame:
    """The mean change beside the one that regression to the mean alone would bring, by baseline severity.

    One row per group, instrument, point and stratum: a severity band at baseline, or `all`. Columns: the
    grouping, axis, instrument, point, stratum, n (of those scored), mean_baseline, mean_change, expected
    (the mean change to expect of these baselines with no treatment effect), expected_at_gate (`all` only: the
    same, of a normal population selected by the gate), gate, population_mean, population_sd, retest, reason.

    Expected under no treatment effect at all, if baselines come from the named population; it says nothing of
    natural recovery or of placebo. Where no norm or test-retest correlation is published it is not given.
    """
    plan = tally.header.settings
    rules = parse_rules(tally.header.change)
    keys = [*tally.header.by, "instrument", "axis", "point"]
    strata = [("all", "change", "baseline_scored")] + [
        (name, f"change_from:{name}", f"baseline_in:{name}") for name in _band_names(plan, rules)
    ]
    parts = []
    for stratum, change, baseline in strata:
        own = moments(tally, change)[[*keys, "n", "sum"]]
        own = own.merge(moments(tally, baseline)[[*keys, "sum"]], on=keys, suffixes=("", "_baseline"))
        parts.append(own[own["instrument"].isin(list(rules))].assign(stratum=stratum))
    table = pd.concat(parts, ignore_index=True)
    ticks, n = _ticks(tally, table), table["n"].to_numpy(dtype=float)
    table["mean_baseline"] = table["sum_baseline"].to_numpy(dtype=float) / n / ticks
    table["mean_change"] = table["sum"].to_numpy(dtype=float) / n / ticks
    for column, name in (("population_mean", "mean"), ("population_sd", "sd"), ("retest", "retest")):
        table[column] = [_float(getattr(rules[it], name)) for it in table["instrument"]]
    gates = {name: float(gate) or np.nan for name, gate in plan["baseline"]["gate"].items()}
    table["gate"] = [gates.get(name, np.nan) for name in table["instrument"]]
    mean, sd, r = (table[name].to_numpy() for name in ("population_mean", "population_sd", "retest"))
    table["expected"] = regression_of_baseline(table["mean_baseline"], mean, r)
    above = np.array([rules[name].worse == "higher" for name in table["instrument"]], dtype=bool)
    at_gate = [regression_at_gate(mean, sd, r, table["gate"], above=side) for side in (True, False)]
    everyone = (table["stratum"] == "all").to_numpy()
    table["expected_at_gate"] = np.where(everyone, np.where(above, *at_gate), np.nan)
    unknown = np.where(np.isnan(n), "hidden", "")
    table["reason"] = np.where(np.isnan(mean), NO_NORM, np.where(np.isnan(r), NO_RETEST, unknown))
    order = {name: place for place, (name, _, _) in enumerate(strata)}
    first = [*tally.header.by, "axis", "instrument", "point", "stratum"]
    columns = [
        *first, "n", "mean_baseline", "mean_change", "expected", "expected_at_gate", "gate",
        "population_mean", "population_sd", "retest", "reason",
    ]  # fmt: skip
    return _in_order(table[columns], tally, plan, order)


def _band_names(plan: dict[str, Any], rules: dict[str, ChangeRule]) -> list[str]:
    """The severity bands of all the instruments, mildest first, each name once."""
    instruments = plan["definitions"]["instruments"]
    lists = [[band["name"] for band in instruments[name]["bands"]] for name in rules]
    return list(dict.fromkeys(name for bands in sorted(lists, key=len, reverse=True) for name in bands))


def _in_order(
    table: pd.DataFrame, tally: Tally, plan: dict[str, Any], strata: dict[str, int] | None = None
) -> pd.DataFrame:
    """Rows by group, instrument, axis and point, points and strata in their own order."""
    place = [int(point) if str(point).isdigit() else 0 for point in table["point"]]
    axis = [tally.header.axes.index(name) for name in table["axis"]]
    last = [strata[name] for name in table["stratum"]] if strata else [0] * len(table)
    ordered = table.assign(_axis=axis, _place=place, _last=last)
    keys = [*tally.header.by, "instrument", "_axis", "_place", "_last"]
    return whole_counts(ordered.sort_values(keys, kind="stable", ignore_index=True)[list(table.columns)])


def _points(
    tally: Tally, plan: dict[str, Any], criterion: str, axis: str
) -> Iterator[tuple[dict[Any, Any], str, dict[str, float], str]]:
    """Every group and point of the plan with its counts by state, and why there is no point."""
    by = list(tally.header.by)
    on_axis = tally.points[tally.points["axis"] == axis]
    cells = on_axis[on_axis["criterion"] == criterion]
    groups = on_axis[by].drop_duplicates().sort_values(by).to_dict("records") if by else [{}]
    counts: dict[tuple[Any, ...], dict[str, float]] = {}
    for *key, state, n in cells[[*by, "point", "state", "n"]].itertuples(index=False):
        states = counts.setdefault(tuple(key), {})
        states[state] = states.get(state, 0) + n  # the point's rows differ in `given`, too
    for group in groups:
        points, reason = points_of_group(tally, plan, axis, group, (), cells)
        for point in points:
            yield group, point, counts.get((*group.values(), point), {}), reason


def _best_at_baseline(tally: Tally, plan: dict[str, Any], rule: ChangeRule) -> dict[tuple[Any, ...], int]:
    """How many of those scored began at the best score there is, by group, axis and point."""
    it = plan["definitions"]["instruments"][rule.instrument]
    best = (it["low"] if rule.worse == "higher" else it["high"]) * rule.ticks
    values = tally.values
    own = values[
        (values["variable"] == "baseline_scored")
        & (values["instrument"] == rule.instrument)
        & (values["value"] == best)
    ]
    keys = [*tally.header.by, "axis", "point"]
    return {tuple(row[:-1]): int(row[-1]) for row in own[[*keys, "n"]].itertuples(index=False)}


def _rated(
    table: pd.DataFrame, header: Header, method: str | None, level: float | None, *, before: str
) -> pd.DataFrame:
    """The table with rate, low and high in front of a column."""
    columns = rate_with_limits(table["people"], table["n"], *header.limits(method, level))
    at = list(table.columns).index(before)
    for offset, (name, column) in enumerate(zip(("rate", "low", "high"), columns, strict=True)):
        table.insert(at + offset, name, column)
    return whole_counts(table, (*COUNTS, "best_at_baseline"))


def _ticks(tally: Tally, table: pd.DataFrame) -> Array:
    instruments = tally.header.settings["definitions"]["instruments"]
    return np.array([instruments[name]["ticks"] for name in table["instrument"]], dtype=float)


def _float(value: Any) -> float:
    return float("nan") if value is None else float(value)
