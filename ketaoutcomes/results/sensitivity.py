"""How much a headline rate depends on its definitions: one table, one row per variant.

A `Design` says which plans to count by: the headline's, and one for every other baseline window and gate.
Each is one Tally (`tables=("points", "strata")`), so parts of a cohort are counted apart and added; the
table, its figure and its sentences are made of those counts alone. Its numbers are exact: share them as you
would share the counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.strata import KIND as IMPUTATION
from ketaoutcomes.counts.strata import OUTCOMES
from ketaoutcomes.counts.tallies import TallyError
from ketaoutcomes.definitions import FAMILIES, Instrument
from ketaoutcomes.estimates import rate_with_limits
from ketaoutcomes.estimates.imputation import Path, impute, pooled_rate
from ketaoutcomes.per_patient.outcomes import KINDS
from ketaoutcomes.results import course_results
from ketaoutcomes.results.wording import share
from ketaoutcomes.tables import TABLES

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally
    from ketaoutcomes.plan import Plan

Row = dict[str, Any]
ANALYSES = ("nri", "observed", "locf", "missing_met", "missing_not_met", "imputed")
BASELINE_DAYS = (7, 14, 28)  # days before the first dose within which a baseline is taken (house)
IMPUTATIONS = 100  # at least as many as the percentage of missing scores: White 2011, Stat Med 30:377
DIMENSIONS = ("analysis", "kind", "baseline_days", "criterion", "gate")
SAME = 1e-12  # rates nearer to each other are one rate: counts differ by far more
KEPT = "plan"  # the plan's own gate, where it is kept
OTHER = "other"  # without the plan's gate; where it has none, the instrument's published one


@dataclass(frozen=True)
class Design:
    """What is varied: the headline's plan and criteria, the baseline windows, one change at a time or all.

    `criteria` are the headline criteria, one table each. With `combined`, every combination is a row.
    """

    plan: Plan
    criteria: tuple[str, ...]
    baseline_days: tuple[int, ...] = BASELINE_DAYS
    combined: bool = False

    @property
    def windows(self) -> tuple[int, ...]:
        """The baseline windows in days, the headline's first."""
        own = self.plan.baseline.within_days
        return (own, *(days for days in self.baseline_days if days != own))

    @property
    def settings(self) -> tuple[tuple[int, str], ...]:
        """Baseline window and gate of every plan to count by, the headline's first."""
        if self.combined:
            return tuple(product(self.windows, (KEPT, OTHER)))
        own = self.windows[0]
        return (*((days, KEPT) for days in self.windows), (own, OTHER))

    @property
    def counted(self) -> tuple[str, ...]:
        """Every criterion to count: the headline's, and those that stand for a family on its instrument."""
        names = list(self.criteria)
        for name in self.criteria:
            names += [found.name for _, found in _families(self.plan, name) if found is not None]
        return tuple(dict.fromkeys(names))

    def plans(self) -> tuple[Plan, ...]:
        """The plan of every setting, in their order."""
        return tuple(self._plan(days, gate) for days, gate in self.settings)

    def _plan(self, days: int, gate: str) -> Plan:
        gates = dict(self.plan.baseline.gate)
        for name in self.plan.definitions.instruments if gate == OTHER else ():
            other = other_gate(self.plan, name)
            gates[name] = _open_gate(self.plan.definitions.instrument(name)) if other is None else other
        return self.plan.replace(baseline={"within_days": days, "gate": gates})


def gate_of(plan: Plan, instrument: str) -> int | None:
    """The plan's gate for an instrument; None where every baseline passes it."""
    gate = plan.gate(instrument)
    return None if gate == _open_gate(plan.definitions.instrument(instrument)) else gate


def other_gate(plan: Plan, instrument: str) -> int | None:
    """The gate of the variant: none where the plan has one, the instrument's published one where not."""
    return None if gate_of(plan, instrument) is not None else plan.definitions.instrument(instrument).gate


def _open_gate(instrument: Instrument) -> int:
    return instrument.low if instrument.worse == "higher" else instrument.high


def _families(plan: Plan, headline: str) -> list[tuple[str, Any]]:
    """Each family with the criterion that stands for it on the headline's instrument; None: none does."""
    own = plan.definitions.criterion(headline).instrument
    return [(family, plan.definitions.of_family(own, family)) for family in FAMILIES]


# The table


def sensitivity_table(
    design: Design, tallies: Sequence[Tally], *, imputations: int = IMPUTATIONS
) -> pd.DataFrame:
    """A headline rate and what becomes of it under other definitions; columns as declared for `sensitivity`.

    `tallies` are one for each of `design.plans()`, in that order, counted on one axis with
    `criteria=design.counted` and `tables=("points", "strata")`. One row per group, headline criterion, point
    and variant. A variant that cannot be computed has its row, without a rate, and `reason` says why.

    Raises `TallyError` where tallies are missing, were counted differently or without strata.
    """
    _check(design, tallies)
    by, axis = tallies[0].header.by, tallies[0].header.axes[0]
    wanted = pd.DataFrame(
        [row for place, name in enumerate(design.criteria) for row in _variants(design, name, place)]
    )
    filled = wanted[(wanted["analysis"] == "imputed") & (wanted["kind"] == "current")]
    parts = []
    for (days, gate), tally in zip(design.settings, tallies, strict=True):
        here = set(filled.loc[(filled["_days"] == days) & (filled["_gate"] == gate), "criterion"])
        parts.append(_every_rate(tally, axis, here, imputations).assign(_days=days, _gate=gate))
    found = pd.concat(parts, ignore_index=True)
    keys = [*by, "axis", "point"]
    places = found[keys].drop_duplicates(ignore_index=True)
    frame = wanted.merge(places.assign(_place=range(len(places))), how="cross")
    joined = [*keys, "criterion", "kind", "analysis", "_days", "_gate"]
    frame = frame.merge(found.drop(columns="instrument"), on=joined, how="left")
    return _finished(frame, by)


def _check(design: Design, tallies: Sequence[Tally]) -> None:
    if len(tallies) != len(design.settings):
        raise TallyError(f"give one tally for each of the design's {len(design.settings)} plans")
    first = tallies[0].header
    for tally, (days, _) in zip(tallies, design.settings, strict=True):
        h = tally.header
        if IMPUTATION not in h.kinds or len(h.axes) != 1 or set(KINDS) - set(h.kinds):
            raise TallyError('count one axis and every kind, with tables=("points", "strata")')
        if (h.by, h.axes, h.as_of, h.courses) != (first.by, first.axes, first.as_of, first.courses):
            raise TallyError("these tallies were counted differently: grouping, axis, as-of day or courses")
        if tally.header.settings["baseline"]["within_days"] != days or set(design.counted) - set(h.criteria):
            raise TallyError("these tallies are not in the order of the design's plans, or lack criteria")


def _variants(design: Design, headline: str, place: int) -> Iterator[Row]:
    """Every variant of one headline: what it is made of, what differs, in what words."""
    plan = design.plan
    instrument = plan.definitions.criterion(headline).instrument
    named = {family: None if c is None else c.name for family, c in _families(plan, headline)}
    mine = next((family for family, name in named.items() if name == headline), headline)
    others = [family for family in FAMILIES if family != mine]
    choices: Mapping[str, tuple[Any, ...]] = {
        "analysis": ANALYSES, "kind": KINDS, "baseline_days": design.windows, "criterion": (mine, *others),
        "gate": (KEPT, OTHER),
    }  # fmt: skip
    firsts = {dimension: values[0] for dimension, values in choices.items()}
    if design.combined:
        chosen = [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]
    else:
        chosen = [firsts]
        chosen += [firsts | {name: value} for name in DIMENSIONS for value in choices[name][1:]]
    for order, choice in enumerate(chosen):
        family = choice["criterion"]
        criterion = headline if family == mine else named[family]
        gates = (gate_of(plan, instrument), other_gate(plan, instrument))
        shown = choice | {
            "criterion": criterion or family,
            "gate": gates[choice["gate"] == OTHER],
        }
        differ = [name for name in DIMENSIONS if choice[name] != firsts[name]]
        no_gate = choice["gate"] == OTHER and gates == (None, None)
        yield {
            "headline": headline, "instrument": instrument, "_headline": place, "_order": order,
            "variant": "; ".join(f"{name} = {_id(shown[name])}" for name in differ) or "headline",
            "changes": len(differ), "differs": ", ".join(_words(plan, name, shown, gates) for name in differ),
            "family": family if family in FAMILIES else "",
            **shown, "_days": choice["baseline_days"], "_gate": choice["gate"],
            "_without": "no_criterion" if criterion is None else "no_gate" if no_gate else "",
        }  # fmt: skip


def _id(value: Any) -> str:
    return "none" if value is None else str(value)


_IN_WORDS = {
    "observed": "only those scored",
    "locf": "last score carried forward",
    "missing_met": "every missing score taken as met",
    "missing_not_met": "every missing score taken as not met",
    "imputed": "missing scores imputed",
    "ever": "met at any time so far",
    "sustained": "still met four weeks later",
    "percent": "fall by a share of the baseline",
    "reliable": "reliable change",
    "mcid": "smallest change that matters",
    "clinically_significant": "clinically significant change",
}


def _words(plan: Plan, dimension: str, shown: Mapping[str, Any], gates: tuple[int | None, int | None]) -> str:
    """What differs from the headline in one respect, as a reader is told."""
    value = shown[dimension]
    if dimension == "baseline_days":
        return f"baseline within {value} days"
    if dimension == "gate":
        if gates == (None, None):
            return "with a gate"
        return f"without the gate of {gates[0]}" if value is None else f"with a gate of {value}"
    if dimension == "criterion" and value in plan.definitions.criteria:
        return plan.definitions.criterion(value).title
    return _IN_WORDS[value]


# Rates of one tally under every analysis


def _every_rate(tally: Tally, axis: str, imputed: Set[str], imputations: int) -> pd.DataFrame:
    """The rates of one tally under every analysis; criteria not in `imputed` are not imputed."""
    table = course_results.rates(tally, at=axis, kind=KINDS, analysis=("nri", "observed", "locf"))
    table = table.assign(no_donor=np.nan)
    nri = table[table["analysis"] == "nri"]
    missing = nri["n"] - nri["assessed"]
    rules = tally.header.limits()
    parts = [table]
    for analysis, extra in (("missing_met", missing), ("missing_not_met", 0 * missing)):
        met, n = (nri["met"] + extra).to_numpy(float), nri["n"].to_numpy(float)
        rate, low, high = rate_with_limits(met, n, *rules)
        parts.append(nri.assign(analysis=analysis, met=met, rate=rate, low=low, high=high))
    wanted = nri["criterion"].isin(imputed) | (nri["kind"] != "current")
    parts.append(_imputed(tally, nri[wanted], imputations, rules[1]))
    counts = dict.fromkeys(("due", "given", "assessed", "met", "n", "no_donor"), "float64")
    return pd.concat([part.astype(counts) for part in parts if len(part)], ignore_index=True)


def _imputed(tally: Tally, nri: pd.DataFrame, imputations: int, level: float) -> pd.DataFrame:
    """The rows with their missing imputed from strata, many times, and pooled."""
    keys = [*tally.header.by, "criterion", "point"]
    strata = _strata(tally, keys)
    rows = []
    records: list[Row] = nri.assign(analysis="imputed").to_dict("records")  # type: ignore[assignment]
    for row in records:
        seed = tuple(str(row[key]) for key in keys)
        if row["reason"] == "" and row["kind"] != "current":
            row |= _blank("imputation_not_defined")
        elif row["reason"] == "" and row["assessed"] == 0:
            row |= _blank("nobody_scored")
        elif row["reason"] == "":
            row |= _filled_in(row, strata.get(seed, {}), [*seed, str(row["axis"])], imputations, level)
        rows.append(row)
    return pd.DataFrame(rows, columns=nri.columns)


def _blank(reason: str) -> Row:
    return {"met": np.nan, "rate": np.nan, "low": np.nan, "high": np.nan, "reason": reason}


def _strata(tally: Tally, keys: Sequence[str]) -> dict[Path, dict[Path, list[int]]]:
    """By group, criterion and point: of each stratum how many met, did not, and are missing.

    A stratum's labels run from the broadest: the last score before the window, treatment on, baseline band.
    """
    cells = tally.points[tally.points["kind"] == IMPUTATION]
    found: dict[Path, dict[Path, list[int]]] = {}
    columns = zip(*(cells[key] for key in keys), cells["given"], cells["state"], cells["n"], strict=True)
    for *key, given, state, n in columns:
        band, last, outcome = str(state).split(":")
        own = found.setdefault(tuple(map(str, key)), {}).setdefault((last, str(given), band), [0, 0, 0])
        own[OUTCOMES.index(outcome)] += int(n)
    return found


def _filled_in(
    row: Row, strata: Mapping[Path, list[int]], seed: Sequence[str], imputations: int, level: float
) -> Row:
    """One rate with its missing imputed. With nobody missing it is the rate of those scored, as it stands."""
    paths = sorted(strata)
    met, not_met, missing = np.array([strata[path] for path in paths], dtype=np.int64).reshape(-1, 3).T
    if met.sum() != row["met"] or met.sum() + not_met.sum() + missing.sum() != row["n"]:
        raise TallyError("the strata do not add up to the points they were counted from")
    no_donor = int(missing[met + not_met == 0].sum())
    if not missing.sum():
        return {"no_donor": no_donor}
    drawn = met.sum() + impute(paths, met, not_met, missing, seed=seed, imputations=imputations)
    rate, low, high = pooled_rate(drawn, int(row["n"]), level)
    return {"met": float(drawn.mean()), "rate": rate, "low": low, "high": high, "no_donor": no_donor}


def _finished(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Reasons said, differences taken, rows in order, columns as declared."""
    frame["reason"] = np.where(
        frame["_without"] != "", frame["_without"], frame["reason"].fillna("nobody_due")
    )
    barred = (frame["_without"] != "").to_numpy()
    absent = frame["n"].isna().to_numpy() & (frame["reason"] == "nobody_due").to_numpy() & ~barred
    counts = ["due", "assessed", "met", "n"]
    for name in [*counts, "rate", "low", "high", "no_donor"]:
        frame.loc[barred, name] = np.nan
    frame.loc[absent, counts] = 0.0
    frame = frame.sort_values(["_headline", "_place", "_order"], kind="stable", ignore_index=True)
    leads = frame["changes"] == 0
    first = frame.loc[leads].set_index(["_headline", "_place"])["rate"]
    own = pd.MultiIndex.from_frame(frame[["_headline", "_place"]])
    difference = frame["rate"] - first.reindex(own).to_numpy()
    # The same rate by another sum, as after imputation, may differ in its last digit: that is no difference.
    frame["difference"] = difference.mask(difference.abs() < SAME, 0.0)
    whole = dict.fromkeys(("due", "assessed", "n", "no_donor", "gate"), "Int64")
    return frame.astype({"gate": "float64"}).astype(whole)[[*by, *TABLES["sensitivity"].names]]


# The spread in one sentence


def sentences(table: pd.DataFrame, names: Mapping[str, str] | None = None) -> list[str]:
    """The spread of each headline over its variants, one sentence per group, headline and point.

    `names` gives readers' words for criteria and points.

    >>> table = study.sensitivity("pcl5_reliable15")
    >>> text = sentences(table, {"end": "after induction"})[0]
    >>> print(text.partition(" by ")[0].replace("\\u202f", " "))
    pcl5_reliable15, after induction: 36 % of 488
    """
    own = list(table.columns[: list(table.columns).index("axis")])
    words = dict(names or {})
    grouped = table.groupby([*own, "headline", "point"], sort=False, dropna=False)
    return [_sentence(rows, [str(cell) for cell in rows[own].iloc[0]], words) for _, rows in grouped]


def _sentence(rows: pd.DataFrame, group: Sequence[str], names: Mapping[str, str]) -> str:
    lead, rest = rows.iloc[0], rows.iloc[1:]
    point = str(lead["point"])
    where = names.get(point, point if point in ("end", "") else f"{lead['axis']} {point}")
    subject = ", ".join(
        part for part in (*group, names.get(lead["headline"], lead["headline"]), where) if part
    )
    if not np.isfinite(lead["rate"]):
        return f"{subject}: no headline rate ({lead['reason'].replace('_', ' ')})."
    if lead["assessed"] == 0:
        return f"{subject}: none of the {int(lead['n'])} due was scored, so there is no rate to compare."
    known = rest[rest["rate"].notna() & (rest["assessed"].fillna(0) > 0)]  # 0 of nobody scored says nothing
    text = (
        f"{subject}: {share(lead['rate'])} of {int(lead['n'])} by the headline's definition "
        f"(interval {share(lead['low'])} to {share(lead['high'])})"
    )
    if known.empty:
        return f"{text}; by no other could it be computed."
    low, high = (known.iloc[int(at)] for at in (known["rate"].argmin(), known["rate"].argmax()))
    how = "each changed in one respect" if rest["changes"].max() == 1 else "changed in one respect or several"
    text += (
        f"; over {len(known)} others, {how}, it runs from {share(low['rate'])} ({low['differs']}) to "
        f"{share(high['rate'])} ({high['differs']})"
    )
    failed = len(rest) - len(known)
    return f"{text}; {failed} more could not be computed." if failed else f"{text}."
