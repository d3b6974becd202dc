"""The tables a report is made of, finished from protected Tallies: one set for page, workbook and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ketaoutcomes.report.periods import changes, period_rates
from ketaoutcomes.results import control_results, course_results

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.counts.tallies import Tally

ANALYSES = ("nri", "observed")
MEAN_CHANGE = "mean_change"
"""Name of a report's Tally of scores by the month of coming due, and of its finished table."""
RATE_COLUMNS = (
    "axis", "instrument", "criterion", "kind", "analysis", "point", "due", "given", "assessed", "met", "n",
    "rate", "low", "high", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Described:
    """A finished table with the words that belong to it: a title and what one row says."""

    name: str
    title: str
    says: str
    table: pd.DataFrame


_AXES = {
    "session": ("by session", "the last score after each session, before the next one"),
    "week": ("by week", "the score nearest to each week after the first dose"),
    "end": (
        "at the end of the series",
        "the score nearest to the plan's day after the last induction dose",
    ),
    "month": ("by month or longer period", "the end score, in the period in which the series came due"),
}


def finish(tallies: Mapping[str, Tally], folders: Sequence[str] = ()) -> dict[str, Described]:
    """Every table of the report by name, from its protected Tallies.

    Rates come once per Tally and axis; the flow, what was measured and the mean scores from the Tally of
    everyone together; retention and the days from dose to score from those grouped by protocol; good
    time from Tallies that count nothing else; durability, onset and safety from Tallies named so, measures
    from those that count one. `folders` are the plan's own folders of definitions.

    Raises `ValueError` for a report without a Tally of everyone (one grouped by nothing).
    """
    from ketaoutcomes.report.good_time import good_time_tables
    from ketaoutcomes.report.lasting import NAME, durability_tables
    from ketaoutcomes.report.quality import measure_tables
    from ketaoutcomes.report.responses import ONSET
    from ketaoutcomes.report.side_effects import BY_SESSION, ONCE, safety_tables

    apart = (NAME, ONSET, ONCE, BY_SESSION)
    plain = [
        tally
        for name, tally in tallies.items()
        if not tally.header.basis and not tally.header.measure and name not in apart
    ]
    everyone = next((tally for tally in plain if not tally.header.by), None)
    if everyone is None:
        raise ValueError("a report needs a Tally of everyone together (by=())")
    tables: list[Described] = []
    for tally in plain:
        tables += [_rates(tally, axis) for axis in tally.header.axes]
        if tally.header.by == ("protocol",):
            tables.append(_retention(tally))
            tables.append(_timing(tally))
        elif tally.header.by == ("site",):
            tables += _sites(tally)
    tables += _over_time(everyone)
    tables += [_measured(everyone), _trajectory(everyone), _flow(everyone), *good_time_tables(tallies)]
    tables += [*durability_tables(tallies, folders), *safety_tables(tallies), *measure_tables(tallies)]
    return {one.name: one for one in tables if len(one.table) or one.name == "changes"}


def grouping(table: pd.DataFrame) -> list[str]:
    """The grouping columns of a table of rates.

    >>> import pandas as pd
    >>> grouping(pd.DataFrame(columns=["site", *RATE_COLUMNS]))
    ['site']
    """
    return [str(column) for column in table.columns if column not in RATE_COLUMNS]


def _rates(tally: Tally, axis: str) -> Described:
    # Sessions are always by protocol, so that grouping is not worth naming there.
    by = [column for column in tally.header.by if (axis, column) != ("session", "protocol")]
    suffix = "".join(f"_by_{column}" for column in by)
    title, says = _AXES[axis]
    of = f", by {' and '.join(by)}" if by else ""
    table = course_results.rates(tally, at=axis, analysis=ANALYSES)
    row = f"One row per criterion, analysis and point: {says}."
    return Described(f"rates_{axis}{suffix}", f"Rates {title}{of}", row, table)


def _over_time(tally: Tally) -> list[Described]:
    """Closed periods, what changed, and control charts by month; none where the records hold no dates."""
    if "month" not in tally.header.axes:
        return []
    method, level = tally.header.limits()
    monthly = course_results.rates(tally, at="month", analysis=ANALYSES)
    rates = period_rates(monthly, tally.header.as_of, method=method, level=level)
    found = [
        Described("rates_period", "Rates by closed period", _PERIODS, rates),
        Described("changes", "What changed", _CHANGES, changes(rates, level=level)),
        Described(
            "control",
            "Control charts by period",
            _CONTROL,
            control_results.charts(tally, criteria=_first_two(tally)),
        ),
        Described(MEAN_CHANGE, "Mean change by period", _MEANS, control_results.mean_charts(tally)),
    ]
    return [one for one in found if len(one.table) or (one.name == "changes" and len(rates))]


def _first_two(tally: Tally) -> list[str]:
    """The first two criteria of every instrument, response and remission: those that are charted."""
    of = tally.header.settings["definitions"]["criteria"]
    own: dict[str, list[str]] = {}
    for name in tally.header.criteria:
        own.setdefault(of[name]["instrument"], []).append(name)
    return [name for names in own.values() for name in names[:2]]


_PERIODS = "Periods that are over: months and sums of them; a sum with a hidden month is hidden."
_CHANGES = "The last closed period against the one before, of everyone due, with Newcombe's interval."
_MEANS = "Of those scored at the end of the series, by the period in which it came due: change in points."
_CONTROL = "Of everyone due, by the period in which series came due, with the limits of chance."


def _sites(tally: Tally) -> list[Described]:
    """Who was scored, how severe baselines were, and the funnel of the end score, by site."""
    base = course_results.trajectory(tally)
    base = base[base["axis"] == "baseline"].reset_index(drop=True)
    scored = _measured(tally)
    funnel = control_results.funnel(tally, criteria=_first_two(tally))
    curve = funnel.curve.rename(columns={"n": "size"})  # no count of people: sizes a site might have
    return [
        Described("measured_by_site", "Who was scored, by site", scored.says, scored.table),
        Described("baseline_by_site", "Baseline severity by site", "Mean score before the first dose.", base),
        Described("funnel", "Sites about one rate", "The limits of chance; no ranking.", funnel.table),
        Described("funnel_limits", "Limits by size", "For drawing the funnel.", curve),
    ]


def _retention(tally: Tally) -> Described:
    says = "Of the patients due, how many received each session, and on which day, against the plan."
    return Described("retention", "Who stayed", says, course_results.retention(tally))


def _timing(tally: Tally) -> Described:
    says = "After each session: patients scored, and the median days from dose to score."
    return Described("timing", "When scores were taken", says, course_results.timing(tally))


def _measured(tally: Tally) -> Described:
    says = "Of the patients due: who had a baseline score, any later score, an end score."
    return Described("measured", "Who was scored", says, course_results.measured(tally))


def _trajectory(tally: Tally) -> Described:
    says = (
        "Mean and standard deviation of the scores taken, in points; patients without a score are not in it."
    )
    return Described("trajectory", "Mean scores", says, course_results.trajectory(tally))


def _flow(tally: Tally) -> Described:
    says = "Every input row, patient and series, and where each was left out."
    return Described("flow", "Everyone accounted for", says, course_results.flow(tally))
