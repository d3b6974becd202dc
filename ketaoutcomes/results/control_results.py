"""Control charts and funnels from Tallies: pure functions of counts, raw or protected.

Hidden counts are NaN and stay NaN: a hidden month keeps its place, gives no point and no limit of its own,
and interrupts a run. A centre line or a target rests on the periods or sites shown, and says how many.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.periods import Period, period
from ketaoutcomes.counts.tallies import Tally, TallyError, make
from ketaoutcomes.estimates import control as spc
from ketaoutcomes.estimates import funnel as funnels
from ketaoutcomes.per_patient.patients import BLANK_LABEL, NO_COURSE
from ketaoutcomes.results.course_results import rates, trajectory

Array = Any
PER = ("month", "quarter")
RULES = ("beyond_limits", "run_of_8")
PERIODS_SAID = {
    "too_few_periods": "too few periods for limits",
    "provisional": "provisional limits",
    "enough": "limits",
}
CHART_SAID = {
    "p": "p chart",
    "p_prime": "p′ chart (periods differ by more than chance)",
    "xmr": "XmR chart",
}
NO_CAUSE = (
    "A signal says that something changed, not what and not why; the absence of one proves no steadiness."
)
NO_VERDICT = "A point beyond a limit asks for a look at the data and at who was treated; it is no verdict."


def charts(
    tally: Tally,
    *,
    criteria: str | Sequence[str] | None = None,
    kind: str = "current",
    analysis: str = "nri",
    per: str = "month",
    baseline: tuple[str, str] | None = None,
    rules: Sequence[str] = RULES,
) -> pd.DataFrame:
    """A control chart of a rate by calendar month or quarter: one per group and criterion.

    A Tally whose months were added up to longer periods (`disclosure.coarsen`) is charted by those.

    Args:
        tally: counted with the axis month (and any grouping).
        criteria, kind, analysis: as for `course_results.rates`.
        per: month, or quarter: the sum of its months.
        baseline: first and last period the limits are frozen on, such as ("2025-01", "2025-12"); by default
            they rest on every period shown.
        rules: which signals are looked for; see `estimates.control.signals`.

    Returns:
        One row per group, criterion and period, empty ones included: the grouping, instrument, criterion,
        kind, analysis, period, n, met, rate, centre, low, high, chart (p, p_prime), dispersion (Laney's sigma
        z), in_baseline, frozen, periods (behind the limits), status (enough, provisional, too_few_periods),
        signal (rules that fire there), part_of (rules whose pattern it belongs to) and reason (nobody_due,
        hidden, period_not_over: it is shown, but no signal is looked for).

    Raises:
        ValueError: `per`, `baseline` or a rule is none that is known.
    """
    if per not in PER:
        raise ValueError(f"per must be one of {', '.join(PER)}")
    monthly = rates(tally, at="month", criteria=criteria, kind=kind, analysis=analysis)
    monthly = monthly[monthly["point"] != ""]
    if per == "month" and monthly["point"].str.contains("Q").any():
        raise ValueError('the months of this Tally were added up to quarters; write per="quarter"')
    keys = [*tally.header.by, "instrument", "criterion", "kind", "analysis"]
    counted = _periods(monthly, keys, per)
    counted["open"] = counted["period"].to_numpy() == _open_period(tally.header.as_of, per)
    parts = [
        _charted(part, _baseline(part["period"], baseline), baseline is not None, rules)
        for _, part in counted.groupby(keys, sort=False, dropna=False)
    ]
    return _finished(parts, keys, ["period", "n", "met", "rate"])


def quarterly(tally: Tally) -> Tally:
    """The Tally with its months added up to quarters, to be protected in their place.

    Where a month holds too few people to be published a quarter may not. Protect one of the two for a report,
    never both. Raises `TallyError` for a Tally that is protected: what is hidden cannot be added.

    >>> months = study.tally(at="month", criteria="phq9_response50", kind="current")
    >>> sorted(set(quarterly(months).points["point"]))[:2]
    ['2025-Q3', '2025-Q4']
    """
    if tally.protected:
        raise TallyError(
            "a protected Tally no longer adds; add its months up first, then protect the quarters"
        )
    own = (tally.points["axis"] == "month") & (tally.points["point"] != "")
    points = tally.points.assign(point=tally.points["point"].mask(own, _quarter(tally.points["point"])))
    return make(
        tally.header, {**{name: [table] for name, table in tally.tables().items()}, "points": [points]}
    )


def mean_charts(
    tally: Tally,
    *,
    variable: str = "change",
    baseline: tuple[str, str] | None = None,
    rules: Sequence[str] = RULES,
) -> pd.DataFrame:
    """An XmR chart of the mean change at the end of induction, by the quarter treatment began or by month.

    `tally` has values, and is grouped by `start_quarter` with the axis end; or it has the axis month: the
    month in which a course came due, or the period its months were added up to (`disclosure.coarsen`).
    Columns as `charts`, with mean and sd in place of met and rate; n is of those scored. Each period's mean
    counts as one value, whatever its n.
    """
    table = trajectory(tally, variable)
    quarters = "start_quarter" in tally.header.by
    if quarters:
        table = table[table["axis"] == "end"].rename(columns={"start_quarter": "period"})
        table = table[~table["period"].isin([BLANK_LABEL, NO_COURSE])]
    elif "month" in tally.header.axes:
        table = table[table["axis"] == "month"].rename(columns={"point": "period"})
    else:
        raise ValueError(
            'this Tally has neither; write study.tally(by="start_quarter") or study.tally(at="month")'
        )
    keys = [*(column for column in tally.header.by if column != "start_quarter"), "instrument"]
    parts = []
    for _, found in table.groupby(keys, sort=False, dropna=False):
        part = _every_period(found, keys)
        inside = _baseline(part["period"], baseline)
        limits = spc.xmr_chart(part["mean"].to_numpy(np.float64), inside)
        months_open = part["period"].to_numpy() == _open_period(tally.header.as_of, "month")
        part["open"] = _quarters_open(part["period"], tally) if quarters else months_open
        parts.append(_with_limits(part, "mean", limits, inside, baseline is not None, rules))
    return _finished(parts, keys, ["period", "n", "mean", "sd"])


def _periods(monthly: pd.DataFrame, keys: list[str], per: str) -> pd.DataFrame:
    """Months as they are, or summed to quarters; a hidden month makes its quarter hidden."""
    table = monthly[[*keys, "point", "n", "met", "reason"]].rename(columns={"point": "period"})
    if per == "quarter":
        table = table.assign(period=_quarter(table["period"]))
    groups = table.groupby([*keys, "period"], sort=False, dropna=False)
    place = groups.ngroup().to_numpy()
    frame = groups.size().reset_index()[[*keys, "period"]]
    for name in ("n", "met"):
        total = np.zeros(len(frame))
        np.add.at(total, place, table[name].to_numpy(np.float64))  # numpy keeps NaN, pandas skips it
        frame[name] = total
    return frame


def _quarter(months: pd.Series[str]) -> pd.Series[str]:
    """The quarter of each month; quarters stay as they are."""
    digits = months.str[5:7].str.extract(r"^(\d\d)$")[0]
    number = ((digits.fillna("01").astype("int64") - 1) // 3 + 1).astype(str)
    return months.where(digits.isna(), months.str[:4] + "-Q" + number)


def _open_period(as_of: str, per: str) -> str:
    """The period that the as-of day cuts short, if it does: its last courses are not counted yet."""
    if len(as_of) != len("2026-10-31") or not as_of[:4].isdigit():
        return ""
    after = np.datetime64(as_of, "D") + 1
    month = as_of[:7]
    if per == "month":
        return "" if str(after)[:7] != month else month
    quarter = (int(as_of[5:7]) - 1) // 3
    ends = str(after)[:7] != month and int(as_of[5:7]) % 3 == 0
    return "" if ends else f"{as_of[:4]}-Q{quarter + 1}"


def _baseline(periods: pd.Series[str], span: tuple[str, str] | None) -> Array:
    """Which periods the limits rest on."""
    if span is None:
        return np.ones(len(periods), dtype=bool)
    first, last = span
    inside = ((periods >= first) & (periods <= last)).to_numpy(dtype=bool)
    if first > last or not inside.any():
        raise ValueError(
            "baseline needs the first and the last period as the chart writes them: 2025-01, or 2025-Q1"
        )
    return inside


def _charted(part: pd.DataFrame, inside: Array, frozen: bool, rules: Sequence[str]) -> pd.DataFrame:
    n, met = part["n"].to_numpy(np.float64), part["met"].to_numpy(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(n > 0, met / n, np.nan)
    limits = spc.p_chart(met, np.where(np.isnan(met), np.nan, n), inside & ~part["open"].to_numpy(bool))
    return _with_limits(part.assign(rate=rate), "rate", limits, inside, frozen, rules)


def _with_limits(
    part: pd.DataFrame, value: str, limits: spc.Limits, inside: Array, frozen: bool, rules: Sequence[str]
) -> pd.DataFrame:
    shown = part[value].to_numpy(np.float64)
    over = ~part["open"].to_numpy(dtype=bool)
    fires = spc.signals(np.where(over, shown, np.nan), limits, rules)
    whole = {rule: spc.whole_pattern(flags, spc.LENGTHS[rule]) for rule, flags in fires.items()}
    n = part["n"].to_numpy(np.float64)
    reason = np.where(np.isnan(n) | (np.isnan(shown) & (n > 0)), "hidden", np.where(n == 0, "nobody_due", ""))
    return part.assign(
        centre=limits.centre,
        low=limits.low,
        high=limits.high,
        chart=limits.chart,
        dispersion=limits.dispersion,
        in_baseline=inside & over,
        frozen=frozen,
        periods=limits.periods,
        status=limits.status,
        signal=_named(fires, len(part)),
        part_of=_named(whole, len(part)),
        reason=np.where(over, reason, "period_not_over"),
    )


def _named(flags: dict[str, Array], size: int) -> Array:
    """The rules that hold at each period, joined by commas."""
    text = np.full(size, "", dtype=object)
    for rule, yes in flags.items():
        text = np.where(yes, np.where(text == "", rule, text + ", " + rule), text)
    return text


def _every_period(found: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Every quarter or month from the first to the last, those without anyone with n = 0."""
    spans = [period(str(name)) for name in found["period"]]
    known = sorted(span for span in spans if span is not None)
    if len(known) < len(spans) or not known:
        raise ValueError("a period is written as 2025-Q1, 2025-01 or 2025-01/2025-03")
    if any("/" in str(name) for name in found["period"]):
        every = [span.name for span in known]  # periods of a report follow one another as they are
    else:
        quarter = known[0].months > 1
        months = range(known[0].first, known[-1].last + 1, known[0].months)
        every = [_named_period(at, quarter) for at in months]
    frame = pd.DataFrame({"period": every}).merge(found, on="period", how="left", indicator="_found")
    for key in keys:
        frame[key] = found[key].iloc[0]
    frame["n"] = frame["n"].where(frame.pop("_found") == "both", 0)
    return frame


def _named_period(month: int, quarter: bool) -> str:
    year, at = divmod(month, 12)
    return f"{year}-Q{at // 3 + 1}" if quarter else Period(month).name


def _quarters_open(quarters: pd.Series[str], tally: Tally) -> Array:
    """Which quarters of first doses have courses not due yet: their mean is of the early ones only."""
    as_of, plan = tally.header.as_of, tally.header.settings
    if not as_of[:4].isdigit():
        return np.zeros(len(quarters), dtype=bool)
    used = [plan["definitions"]["protocols"][name]["maturity"] or 0 for name in plan["protocol"].values()]
    starts = np.array([f"{q[:4]}-{3 * int(q[-1]) - 2:02d}" for q in quarters], dtype="datetime64[M]")
    last = (starts + 3).astype("datetime64[D]") - 1 + max(used, default=0)
    return last > np.datetime64(as_of, "D")


def _finished(parts: list[pd.DataFrame], keys: list[str], own: list[str]) -> pd.DataFrame:
    more = [
        "centre", "low", "high", "chart", "dispersion", "in_baseline", "frozen", "periods", "status",
        "signal", "part_of", "reason",
    ]  # fmt: skip
    return _joined(parts, [*keys, *own, *more])


def chart_sentence(chart: pd.DataFrame) -> str:
    """One chart in words: what its limits rest on, and where which rule fired.

    `chart` is one group and criterion of `charts` or `mean_charts`.
    """
    if chart.empty:
        return "No calendar period to chart: nobody is due yet, or the records hold day offsets only."
    one = chart.iloc[0]
    inside = chart.loc[chart["in_baseline"], "period"]
    span = f"{inside.iloc[0]} to {inside.iloc[-1]}" if len(inside) else "no period"
    held = "frozen on" if one["frozen"] else "resting on all of"
    limits = (
        f"{CHART_SAID[one['chart']]}, {PERIODS_SAID[one['status']]} {held} {span} ({one['periods']} periods)"
    )
    hidden = int((chart["reason"] == "hidden").sum())
    gaps = f"; hidden periods: {hidden}" if hidden else ""
    fired = chart[chart["signal"] != ""]
    named = zip(fired["period"], fired["signal"], strict=True)
    where = "; ".join(f"{period}: {str(rules).replace('_', ' ')}" for period, rules in named)
    return f"{limits}{gaps}. Signals: {where or 'none'}. {NO_CAUSE}"


@dataclass(frozen=True, eq=False)
class Funnel:
    """Sites about one rate. Never a ranking: rows stand by name.

    `table`: the site's column, instrument, criterion, kind, analysis, axis, point, n, met, rate, target,
    low95, high95, low998, high998 (exact binomial, or wider where `limits` says over_dispersed), beyond
    ("", "95", "99.8"), detect_low, detect_high (true rates that such a site would show beyond 95 % with 80 %
    probability), limits, phi, tau, sites, reason. `curve`: criterion, n, low95, high95, low998, high998, for
    drawing. `left_out`: by criterion and point, how many people of no known site are in neither; NaN: hidden.

    >>> found = study.funnel("phq9_response50")
    >>> found.table["site"].tolist(), found.left_out
    (['Harbour', 'Lakeside', 'Northgate'], {})
    """

    table: pd.DataFrame
    curve: pd.DataFrame
    by: str
    as_of: str
    left_out: dict[tuple[str, str], float]

    @property
    def sentence(self) -> str:
        """What the limits are, and how little a small site can show.

        >>> print(study.funnel("phq9_response50").sentence.split("; ")[0])
        phq9_response50, end: 3 of 3 have a rate
        """
        said = []
        for (name, point), rows in self.table.groupby(["criterion", "point"], sort=False):
            one = rows.iloc[0]
            limits = "exact binomial limits"
            if one["limits"] == "over_dispersed":
                limits = f"limits widened, as they differ by more than chance (phi {one['phi']:.2f})"
            elif one["phi"] != one["phi"]:
                limits += ", too few of them to tell over-dispersion"
            said.append(
                f"{name}, {point}: {one['sites']} of {len(rows)} have a rate; {limits}; "
                f"{int((rows['beyond'] != '').sum())} beyond 95 %, where chance alone puts about "
                f"{0.05 * one['sites']:.1f}{self._without(str(name), str(point))}."
            )
        return " ".join([*said, NO_VERDICT])

    def _without(self, criterion: str, point: str) -> str:
        """How many are in the overall rate and not here, in words; nothing where there are none."""
        people = self.left_out.get((criterion, point), 0.0)
        many = "" if people != people else f"{people:.0f} "
        said = (
            f"1 person of no known {self.by} is" if people == 1 else f"{many}people of no known {self.by} are"
        )
        return f"; {said} left out" if people else ""

    def __repr__(self) -> str:
        return f"By {self.by}, as of {self.as_of}\n{self.table.to_string(index=False)}\n{self.sentence}"

    def _repr_html_(self) -> str:
        head = f"<p>By {html.escape(self.by)}, as of {html.escape(self.as_of)}</p>"
        return f"{head}{self.table.to_html(index=False, escape=True)}<p>{html.escape(self.sentence)}</p>"


def funnel(
    tally: Tally,
    *,
    by: str = "site",
    at: str = "end",
    criteria: str | Sequence[str] | None = None,
    kind: str = "current",
    analysis: str = "nri",
    target: float | None = None,
) -> Funnel:
    """Every site's rate against limits for its size, about the common rate of those shown or a target.

    People of no known site are left out, and the sentence says how many. A session needs one protocol's
    Tally: choose at="end" or a week.

    Raises ValueError where the Tally is not grouped by that column alone.
    """
    if not isinstance(by, str):
        raise ValueError("a funnel is of one column of sites; give by as one name")
    if at == "session" and tally.header.by != (by,):
        raise ValueError('a session is a session of its protocol; draw a funnel at="end" or "week"')
    if tally.header.by != (by,):
        raise ValueError(
            f"a funnel needs a Tally grouped by {by!r} alone; write study.tally(by={by!r}, at=...)"
        )
    table = rates(tally, at=at, criteria=criteria, kind=kind, analysis=analysis)
    unknown = table[by].isin([BLANK_LABEL, NO_COURSE])
    table, without = table[~unknown], table[unknown]
    rows, curves = [], []
    for (criterion, point), part in table.groupby(["criterion", "point"], sort=False):
        found, curve = _funnel_of(part.sort_values(by, kind="stable"), target)
        rows.append(found)
        curves.append(curve.assign(criterion=str(criterion), point=str(point)))
    first = [by, "instrument", "criterion", "kind", "analysis", "axis", "point", "n", "met", "rate"]
    more = [
        "target", "low95", "high95", "low998", "high998", "beyond", "detect_low", "detect_high", "limits",
        "phi", "tau", "sites", "reason",
    ]  # fmt: skip
    limits = ["criterion", "point", "n", "low95", "high95", "low998", "high998"]
    return Funnel(
        table=_joined(rows, [*first, *more]),
        curve=_joined(curves, limits),
        by=by,
        as_of=tally.header.as_of,
        left_out=_people_of(without),
    )


def _people_of(table: pd.DataFrame) -> dict[tuple[str, str], float]:
    """How many people are in the denominators, by criterion and point; NaN where that is hidden."""
    groups = table.groupby(["criterion", "point"], sort=False)["n"]
    return {
        (str(criterion), str(point)): float(n.to_numpy(np.float64).sum()) for (criterion, point), n in groups
    }


def _joined(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _funnel_of(part: pd.DataFrame, target: float | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    n, met = part["n"].to_numpy(np.float64), part["met"].to_numpy(np.float64)
    rate = part["rate"].to_numpy(np.float64)
    there = ~np.isnan(rate)
    people = np.where(there, n, np.nan)
    if target is None:
        target = float(met[there].sum() / n[there].sum()) if there.any() else np.nan
    if target != target:
        blank = dict.fromkeys(("target", *_LIMITS, "detect_low", "detect_high", "phi", "tau"), np.nan)
        return part.assign(**blank, beyond="", limits="none", sites=0), pd.DataFrame(columns=["n", *_LIMITS])
    spread = funnels.dispersion(np.where(there, met, np.nan), people, target)
    limits = _limits(people, target, spread)
    with np.errstate(invalid="ignore"):
        out95 = (rate < limits["low95"]) | (rate > limits["high95"])
        out998 = (rate < limits["low998"]) | (rate > limits["high998"])
    low, high = funnels.detectable(limits["low95"], limits["high95"], people)
    table = part.assign(
        **limits,
        target=target,
        beyond=np.where(out998, "99.8", np.where(out95, "95", "")),
        detect_low=low,
        detect_high=high,
        limits="over_dispersed" if spread.over else "exact",
        phi=spread.phi,
        tau=spread.tau,
        sites=spread.sites,
    )
    largest = int(np.nanmax(people))
    sizes = np.unique(np.geomspace(1, largest * 1.1 + 1, 90).round())  # where limits bend, every size
    return table, pd.DataFrame({"n": sizes, **_limits(sizes, target, spread)})


_LIMITS = ("low95", "high95", "low998", "high998")


def _limits(n: Array, target: float, spread: funnels.Dispersion) -> dict[str, Array]:
    found = {}
    for level, name in zip(funnels.LEVELS, ("95", "998"), strict=True):
        pair = (
            funnels.wide_limits(target, n, spread.tau, level)
            if spread.over
            else funnels.exact_limits(target, n, level)
        )
        found[f"low{name}"], found[f"high{name}"] = pair
    return found
