"""The tables a report is made of, finished from protected Tallies: one set for page, workbook and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ketaoutcomes import results

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.tallies import Tally

ANALYSES = ("nri", "observed")
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
    "month": ("by month", "the end score, in the month in which the series came due"),
}


def finish(tallies: Mapping[str, Tally]) -> dict[str, Described]:
    """Every table of the report by name, from its protected Tallies.

    Rates come once per Tally and axis; the flow, what was measured and the mean scores from the Tally of
    everyone together; retention and the days from dose to score from those grouped by protocol; good
    time from Tallies that count nothing else.

    Raises `ValueError` for a report without a Tally of everyone (one grouped by nothing).
    """
    from ketaoutcomes.report.good_time import good_time_tables

    plain = [tally for tally in tallies.values() if not tally.header.basis]
    everyone = next((tally for tally in plain if not tally.header.by), None)
    if everyone is None:
        raise ValueError("a report needs a Tally of everyone together (by=())")
    tables: list[Described] = []
    for tally in plain:
        tables += [_rates(tally, axis) for axis in tally.header.axes]
        if tally.header.by == ("protocol",):
            tables.append(_retention(tally))
            tables.append(_timing(tally))
    tables += [_measured(everyone), _trajectory(everyone), _flow(everyone), *good_time_tables(tallies)]
    return {described.name: described for described in tables if len(described.table)}


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
    table = results.rates(tally, at=axis, analysis=ANALYSES)
    row = f"One row per criterion, analysis and point: {says}."
    return Described(f"rates_{axis}{suffix}", f"Rates {title}{of}", row, table)


def _retention(tally: Tally) -> Described:
    says = "Of the patients due, how many received each session, and on which day, against the plan."
    return Described("retention", "Who stayed", says, results.retention(tally))


def _timing(tally: Tally) -> Described:
    says = "After each session: patients scored, and the median days from dose to score."
    return Described("timing", "When scores were taken", says, results.timing(tally))


def _measured(tally: Tally) -> Described:
    says = "Of the patients due: who had a baseline score, any later score, an end score."
    return Described("measured", "Who was scored", says, results.measured(tally))


def _trajectory(tally: Tally) -> Described:
    says = (
        "Mean and standard deviation of the scores taken, in points; patients without a score are not in it."
    )
    return Described("trajectory", "Mean scores", says, results.trajectory(tally))


def _flow(tally: Tally) -> Described:
    says = "Every input row, patient and series, and where each was left out."
    return Described("flow", "Everyone accounted for", says, results.flow(tally))
