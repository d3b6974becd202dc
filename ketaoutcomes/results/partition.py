"""A Tally's good time as finished tables: the partition, time accounts, and one honest sentence.

Pure functions of counts, as `results`; hidden counts are NaN and stay NaN. Mature courses and younger ones
are never mixed, and in the younger no status is divided by anything: who is old enough to have finished is
not yet known there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.good_time_counts import PERIODS, SITUATIONS
from ketaoutcomes.per_patient.exposure import EXPOSURES
from ketaoutcomes.per_patient.good_time import AT_TRIAL, GROUP_OF, GROUPS, REASONS, STATUSES, VERDICTS
from ketaoutcomes.results.course_results import median
from ketaoutcomes.shown import Prose

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

CAUTION = (
    "Describes exposure, not cause. Not a reason to raise, prolong or stop a dose; worsening, side effects "
    "and safety come first. No study has validated these windows."
)
# The plan line, or the data, that would let a course be judged.
MEND = {
    "no_target": 'give people.target_dose and target_unit, or write: [good_time] basis = "fixed"',
    "target_not_preset": "give people.target_day, or write: [good_time] target_preset = true",
    "no_level": 'write: [good_time] level = { route = "...", unit = "...", dose = ... }',
    "dose_without_level": 'write: [good_time] level = [...] for every route and unit, or convert = "..."',
    "no_amount": "record the dose of every session",
    "no_weight": "give weight_kg",
    "no_carry": 'write: [protocol] with a protocol that has carry and trial, in place of "none"',
    "no_windows": "write: [good_time] windows = [30, 60]",
    "windows_unit": 'write: [good_time] windows = [...] in what the clock counts, or clock = "protocol"',
    "zero_baseline": "write: [good_time] criterion = one that is not a percentage of the baseline",
    "no_baseline_diagnosis": "write: [good_time] criterion = one that needs no diagnosis at baseline",
}
# What became of those without response at day 60, and the statuses it stands for.
SINCE = {
    "responded": ("responded_before", "responded_lapsed", "responded_1", "responded_2", "responded_later"),
    "full_trial": ("full_trial",),
    "stopped": ("stopped_before", "stopped_early"),
    "open": ("titrating", "accruing"),
    "unassessed": ("unassessed",),
}
STOOD = SITUATIONS[2:]


@dataclass(frozen=True, eq=False)
class GoodTimeSummary:
    """Good time of a cohort as finished tables, each led by the grouping's columns.

    Attributes
    ----------
    partition
        instrument, criterion, period (mature, younger), status, group, n, of, share. Every course is in
        exactly one status; `of` is all of the period. `share` is blank for the younger.
    groups
        The same in five groups: responded_before the level, responded_after it, trial_complete without
        response, stopped_short, not_evaluable.
    calendar
        instrument, criterion, day, verdict, n, of, share: the plain calendar's answer, `of` all that are due
        (not_due itself has no share).
    day60
        instrument, criterion, day, n, not_reached, some_good, trial_complete, responded, full_trial, stopped,
        open, unassessed, unjudged: mature courses with no response recorded by the last calendar day, where
        they stood then (three columns that add to n), what became of them (five that add to n), and how many
        more cannot be judged.
    at_full_trial
        instrument, criterion, period, state, n, of: of those who responded, whose response was present or
        absent at the first score after a whole trial, and who has no such score (no_score).
    levels
        instrument, period, n, not_evaluable, share_not_evaluable, judged, reached, median_days_to_level (of
        those who reached it).
    accounts
        instrument, period, account (titrating, adequate, dipped, lapsed), courses, days, share (of all days).
    unjudged
        instrument, criterion, reason, n, of, mend: why courses cannot be judged, and what would mend it.
    rules
        protocol, basis, levels, fraction, clock, unit, window_1, window_2, carry_induction,
        carry_maintenance, grace_days: what every number above stands on.

    >>> found = study.good_time_summary()
    >>> found.unjudged[["reason", "n", "of"]].head(1).to_numpy().tolist()
    [['no_target', 55, 1052]]
    """

    partition: pd.DataFrame
    groups: pd.DataFrame
    calendar: pd.DataFrame
    day60: pd.DataFrame
    at_full_trial: pd.DataFrame
    levels: pd.DataFrame
    accounts: pd.DataFrame
    unjudged: pd.DataFrame
    rules: pd.DataFrame
    by: tuple[str, ...]
    as_of: str
    caution: str = CAUTION

    def sentence(self, **group: str) -> Prose:
        """Where mature courses without response stood on the last calendar day, and what became of them.

        Name a group by its columns, as `sentence(site="North")`; raises ValueError where that is not one.

        >>> print(study.good_time_summary().sentence().split(", ")[0])
        Of 366 mature courses with no response recorded by day 60
        """
        table = self.day60
        if set(group) != set(self.by):
            raise ValueError(f"name one group by: {', '.join(self.by) or 'nothing'}")
        for column, value in group.items():
            table = table[table[column] == value]
        if table.empty:
            raise ValueError("no mature course in this group, so there is nothing to say yet")
        return Prose(_sentence(table.iloc[0].to_dict(), self.as_of))

    def __repr__(self) -> str:
        return f"Good time as of {self.as_of}\n{self.groups.to_string(index=False)}\n{self.caution}"

    def _repr_html_(self) -> str:
        import html

        told = f"Good time as of {self.as_of}"
        return f"<p>{html.escape(told)}</p>{self.groups.to_html(index=False)}<p>{self.caution}</p>"


def good_time_summary(tally: Tally) -> GoodTimeSummary:
    """Finished tables of the good time counted in a Tally. Raises ValueError where none was counted.

    >>> import ketaoutcomes as ko
    >>> from ketaoutcomes import simulate
    >>> trial = simulate.null(patients=200)
    >>> study = ko.Study(ko.Cohort.from_frames(trial.doses, trial.scores, trial.people))
    >>> summary = good_time_summary(study.tally(at="end", tables=("good_time",)))
    >>> int(summary.groups["n"].sum())
    200
    """
    if not tally.header.basis:
        raise ValueError('this Tally holds no good time; count it with tables=("good_time",)')
    plan = tally.header.settings
    by = list(tally.header.by)
    cells = tally.points[tally.points["criterion"].str.startswith("good_time:")]
    cells = cells.assign(criterion=cells["criterion"].str.removeprefix("good_time:"))
    groups = (
        cells[[*by, "instrument", "criterion"]].drop_duplicates().sort_values(by)
        if by
        else (cells[["instrument", "criterion"]].drop_duplicates())
    )
    partition = _partition(cells, groups, by)
    return GoodTimeSummary(
        partition=partition,
        groups=_five_groups(partition, by),
        calendar=_calendar(cells, groups, by, plan),
        day60=_day60(cells, by, plan),
        at_full_trial=_at_full_trial(cells, groups, by),
        levels=_levels(tally, partition, by),
        accounts=_accounts(tally, by),
        unjudged=_unjudged(tally, by),
        rules=rules_of(plan, tally.header.basis),
        by=tuple(by),
        as_of=tally.header.as_of,
    )


def _laid_out(
    cells: pd.DataFrame, groups: pd.DataFrame, by: Sequence[str], axes: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """One row per group and combination of keys; n is 0 where nobody is counted, NaN where hidden."""
    frame = groups
    for column, values in axes.items():
        frame = frame.merge(pd.DataFrame({column: list(values)}), how="cross")
    keys = [*by, "instrument", "criterion", *axes]
    counted = _summed(cells, keys)
    frame = frame.merge(counted, on=keys, how="left", indicator="_found")
    frame["n"] = frame["n"].where(frame.pop("_found") == "both", 0)
    return whole(frame, "n")


def _summed(table: pd.DataFrame, keys: Sequence[str], count: str = "n") -> pd.DataFrame:
    """Counts added over the keys; a hidden part hides its sum."""
    found = table.groupby(list(keys), sort=True, observed=True)[count].agg(lambda n: n.sum(skipna=False))
    return found.reset_index()


def whole(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Counts as whole numbers where none is hidden."""
    whole = {column: "int64" for column in columns if frame[column].notna().all()}
    return frame.astype(whole)


def _with_total(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """`of`, the sum over the keys, beside each row."""
    total = _summed(frame, keys).rename(columns={"n": "of"})
    return frame.merge(total, on=list(keys), how="left")


def _share(part: Any, whole: Any) -> Any:
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


def _partition(cells: pd.DataFrame, groups: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    own = cells[cells["kind"] == "status"].rename(columns={"point": "period", "state": "status"})
    frame = _laid_out(own, groups, by, {"period": PERIODS, "status": STATUSES})
    frame = _with_total(frame, [*by, "instrument", "criterion", "period"])
    frame["group"] = frame["status"].map(GROUP_OF)
    frame["share"] = np.where(frame["period"] == "mature", _share(frame["n"], frame["of"]), np.nan)
    return frame[[*by, "instrument", "criterion", "period", "status", "group", "n", "of", "share"]]


def _five_groups(partition: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    keys = [*by, "instrument", "criterion", "period"]
    frame = _summed(partition, [*keys, "group"])
    frame["_period"] = frame["period"].map(PERIODS.index)
    frame["_group"] = frame["group"].map(GROUPS.index)
    frame = frame.sort_values([*by, "instrument", "criterion", "_period", "_group"], ignore_index=True)
    frame = _with_total(frame, keys)
    frame["share"] = np.where(frame["period"] == "mature", _share(frame["n"], frame["of"]), np.nan)
    return frame[[*keys, "group", "n", "of", "share"]]


def _calendar(
    cells: pd.DataFrame, groups: pd.DataFrame, by: Sequence[str], plan: Mapping[str, Any]
) -> pd.DataFrame:
    own = cells[cells["kind"] == "calendar"].rename(columns={"point": "day", "state": "verdict"})
    days = [str(day) for day in plan["good_time"]["calendar_days"]]
    frame = _laid_out(own, groups, by, {"day": days, "verdict": VERDICTS})
    keys = [*by, "instrument", "criterion", "day"]
    due = _summed(frame[frame["verdict"] != "not_due"], keys).rename(columns={"n": "of"})
    frame = frame.merge(due, on=keys, how="left")
    frame["day"] = frame["day"].astype("int64")
    frame["share"] = np.where(frame["verdict"] == "not_due", np.nan, _share(frame["n"], frame["of"]))
    return frame


def _day60(cells: pd.DataFrame, by: Sequence[str], plan: Mapping[str, Any]) -> pd.DataFrame:
    """Where those without response stood on the last calendar day, and what became of them."""
    own = cells[cells["kind"] == "day60"]
    parts = own["state"].str.split("|", n=1, expand=True).reindex(columns=[0, 1])
    own = own.assign(stood=parts[0], status=parts[1])
    keys = [*by, "instrument", "criterion"]
    frame = own[keys].drop_duplicates().sort_values(keys, ignore_index=True)
    waiting = own["stood"].isin(STOOD)
    of_status = {status: what for what, statuses in SINCE.items() for status in statuses}
    since = own["status"].map(of_status)
    columns = {"n": waiting}
    columns |= {what: own["stood"] == what for what in STOOD}
    columns |= {what: waiting & (since == what) for what in SINCE}
    columns |= {"unjudged": own["stood"] == "unjudged"}
    for name, mask in columns.items():
        counted = _summed(own[mask], keys).rename(columns={"n": name})
        frame = frame.merge(counted, on=keys, how="left", indicator="_found")
        frame[name] = frame[name].where(frame.pop("_found") == "both", 0)
        frame = whole(frame, name)
    frame.insert(len(keys), "day", int(plan["good_time"]["calendar_days"][-1]))
    return frame


def _at_full_trial(cells: pd.DataFrame, groups: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    own = cells[cells["kind"] == "at_full_trial"].rename(columns={"point": "period"})
    frame = _laid_out(own, groups, by, {"period": PERIODS, "state": AT_TRIAL})
    return _with_total(frame, [*by, "instrument", "criterion", "period"])


def _levels(tally: Tally, partition: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """How long the level took, and how many courses tell nothing, so that slow titration cannot hide."""
    keys = [*by, "instrument", "period"]
    every = _summed(partition, keys)
    unknown = _summed(partition[partition["group"] == "not_evaluable"], keys)
    frame = every.merge(unknown.rename(columns={"n": "not_evaluable"}), on=keys)
    without = partition["status"].isin(["not_comparable", "no_level"])
    judged = _summed(partition[~without], keys).rename(columns={"n": "judged"})
    frame = frame.merge(judged, on=keys)
    share = _share(frame["not_evaluable"], frame["n"])
    frame["share_not_evaluable"] = np.where(frame["period"] == "mature", share, np.nan)
    days = median(tally, "days_to_level").rename(
        columns={"point": "period", "n": "reached", "median": "median_days_to_level"}
    )
    frame = frame.merge(
        days[[*keys, "reached", "median_days_to_level"]], on=keys, how="left", indicator="_found"
    )
    frame["reached"] = frame["reached"].where(frame.pop("_found") == "both", 0)
    columns = ["n", "not_evaluable", "share_not_evaluable", "judged", "reached", "median_days_to_level"]
    frame["_period"] = frame["period"].map(PERIODS.index)
    frame = frame.sort_values([*by, "instrument", "_period"], ignore_index=True)
    return whole(frame, "reached")[[*keys, *columns]]


def _accounts(tally: Tally, by: Sequence[str]) -> pd.DataFrame:
    """All days of judged courses by what covered them."""
    table = tally.values
    table = table[table["variable"].isin([f"{name}_days" for name in EXPOSURES])]
    table = table.assign(
        account=table["variable"].str.removesuffix("_days"),
        period=table["point"],
        days=table["n"] * table["value"],
    )
    keys = [*by, "instrument", "period"]
    frame = _summed(table, [*keys, "account"]).rename(columns={"n": "courses"})
    frame = frame.merge(_summed(table, [*keys, "account"], "days"), on=[*keys, "account"])
    total = _summed(frame, keys, "days").rename(columns={"days": "_all"})
    frame = frame.merge(total, on=keys)
    frame["share"] = _share(frame["days"], frame.pop("_all"))
    frame["_period"], frame["_account"] = (
        frame["period"].map(PERIODS.index),
        frame["account"].map(EXPOSURES.index),
    )
    frame = frame.sort_values([*by, "instrument", "_period", "_account"], ignore_index=True)
    return frame[[*keys, "account", "courses", "days", "share"]]


def _unjudged(tally: Tally, by: Sequence[str]) -> pd.DataFrame:
    table = tally.flow[tally.flow["step"].str.startswith("good_time:")]
    table = table.assign(criterion=table["step"].str.removeprefix("good_time:"))
    keys = [*by, "instrument", "criterion"]
    frame = _with_total(_summed(table, [*keys, "reason"]), keys)
    frame = frame[frame["reason"] != REASONS[0]].reset_index(drop=True)
    frame["mend"] = frame["reason"].map(MEND)
    return frame[[*keys, "reason", "n", "of", "mend"]]


def rules_of(plan: Mapping[str, Any], basis: str) -> pd.DataFrame:
    """Basis, level, fraction, clock, windows and carry of every protocol: they stand beside every number."""
    chosen = plan["good_time"]
    rows = []
    for name, protocol in sorted(plan["definitions"]["protocols"].items()):
        own = {(one["route"], one["unit"]): one["dose"] for one in protocol["levels"]}
        own |= {(one["route"], one["unit"]): one["dose"] for one in chosen["level"] or ()}
        levels = "; ".join(
            f"{route} {float(Fraction(str(dose))):g} {unit}" for (route, unit), dose in sorted(own.items())
        )
        clock = chosen["clock"]
        if clock == "protocol":
            clock = "doses" if protocol["trial_unit"] == "doses" else "cumulative"
        windows = chosen["windows"] or protocol["trial"] or (None, None)
        carry = protocol["carry"] or (None, None)
        rows.append(
            (name, basis, levels if basis == "fixed" else "each person's target", float(chosen["fraction"]),
             clock, "doses" if clock == "doses" else "days", *windows, *carry, chosen["grace_days"])
        )  # fmt: skip
    columns = [
        "protocol", "basis", "levels", "fraction", "clock", "unit", "window_1", "window_2", "carry_induction",
        "carry_maintenance", "grace_days",
    ]  # fmt: skip
    whole = ("window_1", "window_2", "carry_induction", "carry_maintenance")
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(whole, "Int64"))


def _sentence(row: Mapping[Any, Any], as_of: str) -> str:
    """Honesty rule 4 in words, from one row of `day60`."""

    def told(name: str) -> str:
        return "a number that is hidden" if row[name] != row[name] else f"{int(row[name]):,}"

    ends = {"complete": "the end of the records", "cut_day": "each person's last day on record"}
    text = (
        f"Of {told('n')} mature courses with no response recorded by day {row['day']}, "
        f"{told('not_reached')} had not reached the level, {told('some_good')} had some good time and "
        f"{told('trial_complete')} had the good time of a whole trial. By {ends.get(as_of, as_of)}, "
        f"{told('responded')} of them responded, {told('full_trial')} completed a trial without response, "
        f"{told('stopped')} stopped, {told('open')} remain open and {told('unassessed')} had the good time "
        "but no score to judge by. Some later responses are expected even if dose makes no difference."
    )
    if row["unjudged"] != 0:
        text += f" {told('unjudged')} more without response cannot be judged."
    return text
