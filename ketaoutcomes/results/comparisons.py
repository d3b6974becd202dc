"""A Tally grouped by one column as differences between its groups, with what such differences cannot say.

Pure functions of counts, as `results`: hidden counts are NaN and stay NaN. A comparison carries its own
warning about how many were made and why groups that nobody drew by lot may differ.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.definitions import Concomitant, load
from ketaoutcomes.estimates import difference
from ketaoutcomes.per_patient.derived import BAND
from ketaoutcomes.per_patient.patients import BLANK_LABEL, NO_COURSE
from ketaoutcomes.results.course_results import as_tuple, rates

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

Array = Any
UNKNOWN = (BLANK_LABEL, NO_COURSE)
CONFOUNDED = (
    "Nobody was put into these groups by lot: they may differ in severity, dose, route, earlier treatment "
    "and in who was scored. A difference between them is no effect, and no reason to change a treatment."
)


@dataclass(frozen=True, eq=False)
class Comparison:
    """The rates of groups and their differences from one of them, with a plain warning.

    `table` has one row per stratum, criterion, kind, analysis, point and group: the strata's columns, the
    compared column, axis, instrument, criterion, kind, analysis, point, n, assessed (of those due, how many
    have the score: who is not scored counts as not met in `nri`), met, rate, low, high, reference (the group
    the others are set against), difference, diff_low, diff_high (of 1, Newcombe's method 10) and
    reason. The reference itself, and people of whom the column says nothing, have no difference.
    `comparisons` is how many differences were made; `warning` says what follows from that.

    >>> found = study.compare(by="benzodiazepine", criterion="phq9_response50")
    >>> found.reference, found.comparisons
    ('no', 1)
    """

    table: pd.DataFrame
    warning: str
    by: str
    reference: str
    comparisons: int
    as_of: str

    def __repr__(self) -> str:
        return f"{self._head}\n{self.table.to_string(index=False)}\n{self.warning}"

    def _repr_html_(self) -> str:
        head, warning = html.escape(self._head), html.escape(self.warning)
        return f"<p>{head}</p>{self.table.to_html(index=False, escape=True)}<p>{warning}</p>"

    @property
    def _head(self) -> str:
        return f"By {self.by}, as of {self.as_of}; differences from {self.reference!r}"


def compare(
    tally: Tally,
    *,
    by: str,
    at: str = "end",
    criteria: str | Sequence[str] | None = None,
    kind: str | Sequence[str] = "current",
    analysis: str | Sequence[str] = "nri",
    reference: str | None = None,
    level: float | None = None,
    concomitant: Concomitant | None = None,
) -> Comparison:
    """Each group's rate and its difference from a reference group, within strata of the other columns.

    Args:
        tally: grouped by the column compared, and by any strata; raw or protected.
        by: the column compared.
        at, criteria, kind, analysis: as for `course_results.rates`.
        reference: the group the others are set against; by default the one the definition of a concomitant
            treatment names (taking none), else the group with the most people, ties by name.
        level: of all intervals; the plan's by default.
        concomitant: the treatment that the column stands for; by default one the package knows by that name.

    Raises:
        ValueError: the tally is not grouped by that column, sessions of different protocols would be
            compared, or no group is the reference named.

    Source: Newcombe 1998, Statistics in Medicine 17:873, method 10 (square-and-add Wilson limits).
    """
    if by not in tally.header.by:
        raise ValueError(f"this Tally is not grouped by {by!r}; write study.tally(by={by!r})")
    if by == "protocol" and at == "session":
        raise ValueError('a session is a session of its protocol; compare protocols with at="end" or "week"')
    confidence = tally.header.limits(level=level)[1]
    table = rates(
        tally, at=at, criteria=criteria, kind=kind, analysis=as_tuple(analysis), interval_method="wilson",
        level=confidence,
    )  # fmt: skip
    usual = concomitant or load().concomitant_of(by)
    chosen = _reference(table, by, reference, usual)
    table = _in_order(_with_differences(table, by, chosen, confidence), tally, by, usual)
    made = int(table["difference"].notna().sum())
    strata = [column for column in tally.header.by if column != by]
    own = ["axis", "instrument", "criterion", "kind", "analysis", "point", "n"]
    own += ["assessed", "met", "rate", "low", "high"]
    columns = [*strata, by, *own, "reference", "difference", "diff_low", "diff_high", "reason"]
    return Comparison(
        table=table[columns], warning=_warning(usual, made, confidence), by=by, reference=chosen,
        comparisons=made, as_of=tally.header.as_of,
    )  # fmt: skip


def compared_column(by: str, instruments: Sequence[str]) -> str:
    """The column of the Tally that `by` asks for: `baseline_band` is that of the one instrument judged.

    Raises ValueError for more than one column.

    >>> compared_column("baseline_band", ["phq9"]), compared_column("site", ["phq9", "pcl5"])
    ('phq9_baseline_band', 'site')
    """
    if not isinstance(by, str):
        raise ValueError("by is the one column compared; write other columns as within=[...]")
    if f"_{by}" != BAND:
        return by
    if len(set(instruments)) != 1:
        raise ValueError("baseline_band is one instrument's; name one criterion, or write phq9_baseline_band")
    return f"{instruments[0]}{BAND}"


def _reference(table: pd.DataFrame, by: str, wanted: str | None, usual: Concomitant | None) -> str:
    """The group that the others are set against."""
    known = sorted({str(group) for group in table[by]} - set(UNKNOWN))
    if wanted is not None:
        if wanted not in known:
            raise ValueError(f"reference must name one of the {len(known)} groups that {by!r} has here")
        return wanted
    for name in usual.reference if usual is not None else ():
        for group in known:
            if group.lower() == name:
                return group
    people = {group: np.nansum(table.loc[table[by] == group, "n"].to_numpy(np.float64)) for group in known}
    return min(known, key=lambda group: (-people[group], group), default="")


def _with_differences(table: pd.DataFrame, by: str, reference: str, level: float) -> pd.DataFrame:
    keys = [column for column in table.columns if column not in {by, *_NUMBERS}]
    base = table.loc[table[by] == reference, [*keys, "met", "n"]]
    base = base.rename(columns={"met": "_met", "n": "_n"})
    table = table.merge(base, on=keys, how="left", validate="many_to_one", indicator="_found")
    other = (table[by] != reference).to_numpy()
    unknown = table[by].isin(UNKNOWN).to_numpy()
    usable = other & ~unknown & (table["_found"] == "both").to_numpy()
    met, n, base_met, base_n = (
        np.where(usable, table[name].to_numpy(np.float64), np.nan) for name in ("met", "n", "_met", "_n")
    )
    gap, low, high = difference(met, n, base_met, base_n, level)
    reason = table["reason"].to_numpy(dtype=object).copy()
    blank = other & (reason == "")
    reason[blank & (table["_found"] != "both").to_numpy()] = "no_reference"
    reason[blank & unknown] = "unknown_group"
    reason[blank & usable & np.isnan(gap)] = "reference_has_no_rate"
    return table.assign(reference=reference, difference=gap, diff_low=low, diff_high=high, reason=reason)


_NUMBERS = ("due", "given", "assessed", "met", "n", "rate", "low", "high", "reason")


def _in_order(table: pd.DataFrame, tally: Tally, by: str, usual: Concomitant | None) -> pd.DataFrame:
    """Rows by what was judged, then by group: bands from the lowest up, unknown groups last."""
    bands: Iterable[str] = usual.bands if usual is not None else ()
    if by.endswith(BAND):
        known = tally.header.settings["definitions"]["instruments"]
        bands = [band["name"] for band in known.get(by.removesuffix(BAND), {}).get("bands", ())]
    ranks = {name: place for place, name in enumerate(bands)}
    place = np.array([ranks.get(str(group), len(ranks)) for group in table[by]])
    last = table[by].isin(UNKNOWN).to_numpy()
    rows = table.assign(_last=last, _rank=place)
    strata = [column for column in tally.header.by if column != by]
    judged = [column for column in ("criterion", "kind", "analysis", "point") if column in rows]
    for column in judged:
        rows[f"_{column}"] = pd.factorize(rows[column])[0]
    keys = [*strata, *(f"_{column}" for column in judged), "_last", "_rank", by]
    return rows.sort_values(keys, kind="stable", ignore_index=True)


def _warning(usual: Concomitant | None, made: int, level: float) -> str:
    """What the table cannot say: chance among many comparisons, groups that differ anyway, what is known."""
    chance = made * (1 - level)
    if made == 0:
        many = "No difference could be made."
    elif made == 1:
        many = f"One difference, its interval at {100 * level:.6g} %."
    else:
        each = f"{100 * level:.6g} %"
        many = (
            f"{made} differences, each interval at {each}: if no group differed, about {chance:.2g} of them "
            f"would leave out 0 by chance. For {each} over all of them together, ask for "
            f"level={1 - (1 - level) / made:.6g} (Bonferroni)."
        )
    about = [] if usual is None else [usual.words, "A blank is an unknown group, not a no."]
    return " ".join([many, CONFOUNDED, *about])
