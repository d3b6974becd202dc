"""A Tally's moves to finished tables: how soon people responded, by day since the first dose or by session.

Pure functions of a Tally counted with `tables=("curves",)`: they never see a patient. Everyone starts without
a response and leaves by a response, by stopping, or at the last day on record. A hidden count makes its day
and all later ones NaN, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.curve_counts import BETWEEN, ENTERED, SESSION_STATES, STATES
from ketaoutcomes.estimates import curves, rate_with_limits
from ketaoutcomes.results import wording
from ketaoutcomes.shown import WrongChoice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ketaoutcomes.counts.tallies import Tally
    from ketaoutcomes.estimates.curves import Curve

Array = Any
CLOCKS = ("first_dose", "session")
COMPETING = ("lapse", "end")

LEAST_AT_RISK = 10
"""A curve is cut where fewer are at risk, once anybody has been censored: from then on one person moves what
is left by a tenth or more. Pocock, Clayton and Altman 2002 (Lancet 359:1686) advise to stop where
some 10 to 20 % are still followed. While nobody has been censored the share is a plain proportion of all who
started, and nothing is cut."""

HIDDEN, NOT_FOLLOWED, TOO_FEW = "hidden", "not_followed", "too_few_at_risk"
NOT_REACHED, NOT_KNOWN, NOBODY = "not_reached", "not_followed_so_far", "nobody_at_risk"
COLUMNS = frozenset({
    "competing", "method", "why", "at_risk", "events", "stopped", "censored", "estimate", "se",
    "stopped_share", "straddling", "not_counted", "until", "class", "after", "share", "rule", "due", "judged",
    "gained", "relapse", "relapsed", "relapses", "recurrences", "retreated", "unscored", "never_scored",
    "retreated_share", "no_relapse", "trend", "booster", "given", "ended", "open", "returned", "still_off",
    "by_day", "boosters", "lost", "not_scored", "kept_at_least", "kept_at_most",
})  # fmt: skip
"""Columns of these tables that no grouping may be named like."""

AALEN_JOHANSEN, KAPLAN_MEIER = "aalen_johansen", "kaplan_meier"
WHY = {
    "lapse": "a lapse ended treatment before a response",
    "end": "the course ended before a response",
    "stopped": "the course stopped before a response",
    "retreated": "another course began before a relapse",
    "none": "nobody stopped before a response",
    "no_other": "nobody began another course before a relapse",
    "unlimited": "the protocol does not say how long a dose speaks for, so nobody can lapse",
    HIDDEN: HIDDEN,
}


def curve(
    tally: Tally,
    *,
    clock: str = "first_dose",
    competing: str = "lapse",
    days: Sequence[int] | None = None,
    level: float | None = None,
    least: int = LEAST_AT_RISK,
) -> pd.DataFrame:
    """The share of everyone who started that has met a criterion by each day, or by each session.

    One row per group, criterion and day (or session). Columns: the grouping, instrument, criterion, clock,
    competing, method, why, day (or session), n (who started), at_risk (on that day, without a response and on
    treatment), events, stopped and censored on that day, estimate, se, low, high, stopped_share (who stopped
    before a response, by that day), straddling, reason.

    Events are dated to the score. So many of the later responses are `straddling`: their last score without
    one lies no later than that day, so that they may have come by then. Days are read with that in mind.
    Sessions have no such column: a session is when a score was due.

    Where anybody stopped before a response the method is Aalen-Johansen with stopping as competing event,
    else Kaplan-Meier, and `why` says which; the two agree where nobody stopped. Log-log limits. `reason` says
    why an estimate is missing: hidden, not_followed, too_few_at_risk, or, by session, why nobody is judged.

    Args:
        tally: counts with `tables=("curves",)`; for sessions also by protocol.
        clock: first_dose (days since it) or session (doses given; courses that are due).
        competing: lapse (the first day without cover) or end (the gap grew too long for a course). Sessions
            know only one: the last induction dose was followed by no other.
        days: days, or sessions, to give; all by default.
        level: confidence level; the plan's by default.
        least: the curve is cut where fewer are at risk, as `LEAST_AT_RISK` says.

    Raises:
        ValueError: another clock, another competing event, or a day beyond the plan's curve.

    Example:
        >>> tally = study.tally(
        ...     at="end", criteria="phq9_response50", tables=("curves",)
        ... )
        >>> curve(tally, days=[28])[["n", "method", "estimate"]].round(2).to_numpy().tolist()
        [[1052, 'aalen_johansen', 0.34]]

    Sources: Aalen and Johansen 1978; Kaplan and Meier 1958; limits as `estimates.curves`.
    """
    found = _read(tally, clock, competing)
    return found.table(found.estimate(level, least), days)


def curve_summary(
    tally: Tally,
    *,
    clock: str = "first_dose",
    competing: str = "lapse",
    until: int | None = None,
    level: float | None = None,
    least: int = LEAST_AT_RISK,
) -> pd.DataFrame:
    """The median and the restricted mean of each curve, with what it was made of.

    One row per group and criterion. Columns: the grouping, instrument, criterion, clock, competing, method,
    why, n, events, stopped, censored, not_counted (not due, no schedule, or scores that cannot be judged),
    known_to (the last day of the curve), last_estimate, median, median_low, median_high, median_reason,
    until, restricted_mean, restricted_se, restricted_reason.

    The median is the day by which half of *all who started* had responded, and `not_reached` where they had
    not by `known_to`; its limits are where the curve's limits reach one half (Brookmeyer and Crowley 1982).
    The restricted mean is the mean number of days without a response among the first `until` (by default as
    far as each curve is known): whoever stops counts as without from then on. Compare groups only at one
    `until`. Arguments and errors as `curve`.
    """
    found = _read(tally, clock, competing)
    return found.summary(found.estimate(level, least), until)


def sentence(tally: Tally, *, level: float | None = None, **group: str) -> str:
    """The median of one curve from the first dose in one sentence, or that it was not reached.

    `group` picks the curve where there are several: criterion, and the grouping. Raises `ValueError` where it
    does not pick one.

    >>> tally = study.tally(at="end", criteria="phq9_response50", tables=("curves",))
    >>> print(sentence(tally).split(";")[0])
    Of 1,052 who started, half had not met phq9_response50 by day 198, when 43 % had
    """
    table = curve_summary(tally, level=level)
    keys = list(table.columns)[: list(table.columns).index("clock")]
    unknown = sorted(set(group) - set(keys))
    if unknown:
        raise ValueError(f"there is no {', '.join(unknown)} to choose by")
    for name, value in group.items():
        table = table[table[name] == value]
    if len(table) != 1:
        raise ValueError(f"give one value each of {', '.join(keys)}; {len(table)} rows fit")
    row = table.iloc[0].to_dict()
    began = f"Of {wording.count(row['n'])} who started, half had"
    if row["median_reason"] not in ("", NOT_REACHED):
        told = f"{began} met {row['criterion']} by a day that is not known"
        return f"{told}: {row['median_reason'].replace('_', ' ')}."
    if row["median_reason"]:
        at = wording.share(row["last_estimate"]).replace("\u202f", " ")
        told = f"{began} not met {row['criterion']} by day {row['known_to']}, when {at} had"
    else:
        told = f"{began} met {row['criterion']} by day {row['median']}"
    return f"{told}; {wording.count(row['stopped'])} stopped before they did."


def onset(tally: Tally, *, early: int = 2, level: float | None = None) -> pd.DataFrame:
    """After which session people first responded: after the first or second, later, or not.

    One row per group, criterion and class. Columns: the grouping, instrument, criterion, class (early, later,
    none_completed: every session received without a response, none_stopped), after (the sessions meant), n,
    of (courses due), share, low, high, reason. The classes are a partition of the courses that are due.

    Args:
        tally: counts with `tables=("curves",)` by protocol.
        early: the last session that counts as early; `[onset]` in the definitions says whose choice that is.
        level: confidence level of the plan's interval; the plan's by default.
    """
    found = _read(tally, "session", "lapse")
    return found.classes(early, level)


def sudden_gains(tally: Tally, *, level: float | None = None) -> pd.DataFrame:
    """How many courses had a sudden gain between two sessions, of those where it could be judged.

    One row per group (with protocol), instrument and rule. Columns: the grouping, instrument, rule, due,
    judged (at least one step with enough scores around it), gained, share (of those judged), low, high,
    median_session (the session before the first gain; 0: the baseline), reason. Large steps also come of
    noise and of gradual change: with ten scores and no sudden gain at all, 18 to 33 % of courses seem to have
    one (Vittengl 2015, 10.2174/1573400510666140929195441, for BDI).

    Args:
        tally: counts with `tables=("sudden_gains",)`, by protocol.
        level: confidence level of the plan's interval; the plan's by default.
    """
    rows = tally.transitions[tally.transitions["clock"].str.startswith("sudden_gain:")]
    rows = rows.assign(rule=rows["clock"].str.removeprefix("sudden_gain:"))
    keys = [*tally.header.by, "instrument", "rule"]
    groups = rows[keys].drop_duplicates().sort_values(keys, kind="stable", ignore_index=True)
    count = Counter(groups, keys, int(rows["day"].max()) + 1 if len(rows) else 1)
    gained, none, few = (count.daily(rows[rows["to"] == way]) for way in ("gain", "none", "too_few"))
    many, judged = gained.sum(axis=1), gained.sum(axis=1) + none.sum(axis=1)
    due = judged + few.sum(axis=1)
    why = np.full(len(groups), NOBODY, dtype=object)
    for kind in ("not_due", "not_scheduled", "not_visit_based"):
        why[count.total(rows[rows["to"] == kind]) > 0] = kind
    share, low, high = rate_with_limits(many, judged, *tally.header.limits(level=level))
    with np.errstate(invalid="ignore", divide="ignore"):
        half = np.cumsum(gained, axis=1) >= many[:, None] / 2
        before = np.where(many > 0, half.argmax(axis=1), np.nan)
    why = np.where(judged > 0, "", np.where(due > 0, "too_few_scores", why))
    return groups.assign(
        due=whole(due), judged=whole(judged), gained=whole(many), share=share, low=low, high=high,
        median_session=integers(before), reason=np.where(np.isnan(judged), HIDDEN, why).astype(object),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Moves:
    """Moves of one clock as arrays: groups first, then days; NaN where hidden.

    `competing` names what stops people before the event.
    """

    tally: Tally
    clock: str
    competing: str
    groups: pd.DataFrame
    started: Array
    unlimited: Array
    not_counted: dict[str, Array]
    events: Array
    stopped: Array
    censored: Array
    earliest: Array  # responses by the day of the last score without one
    length: Array  # how many days (sessions) each group's curve can have

    def __post_init__(self) -> None:
        """Of a family whose beginning is hidden nothing is known: its other counts are not zero."""
        hidden = np.isnan(self.started)
        for name in ("events", "stopped", "censored", "earliest"):
            daily: Array = getattr(self, name)
            daily[hidden] = np.nan

    @cached_property
    def risk(self) -> Array:
        """How many are at risk on each day: all who started, less those who left on an earlier day."""
        out = self.events + self.stopped + self.censored
        before = np.zeros_like(out)
        np.cumsum(out[:, :-1], axis=1, out=before[:, 1:])
        risk: Array = self.started[:, None] - before
        return risk

    @cached_property
    def method(self) -> list[str]:
        """Whether the competing event was ever seen, so that it has to be allowed for."""
        total = self.stopped.sum(axis=1)
        return [HIDDEN if n != n else KAPLAN_MEIER if n == 0 else AALEN_JOHANSEN for n in total]

    @cached_property
    def why(self) -> list[str]:
        """Why that method, in words."""
        total, found = self.stopped.sum(axis=1), list[str]()
        for n, limitless, all_started in zip(total, self.unlimited, self.started, strict=True):
            if np.isnan(n):
                found.append(WHY[HIDDEN])
            elif n > 0:
                found.append(WHY[self.competing])
            else:
                none = "none" if self.competing != "retreated" else "no_other"
                found.append(WHY["unlimited" if limitless and limitless == all_started else none])
        return found

    def estimate(self, level: float | None, least: int) -> tuple[Curve, Array]:
        """The share with a response and the share who stopped by each day, and why there is none."""
        events = np.stack([self.events, self.stopped], axis=-1)
        chosen = self.tally.header.limits(level=level)[1]
        found = curves.cumulative_incidence(self.risk, events, level=chosen)
        gone = np.zeros_like(self.censored)
        np.cumsum(self.censored[:, :-1], axis=1, out=gone[:, 1:])
        with np.errstate(invalid="ignore"):
            few = np.maximum.accumulate((self.risk < least) & (gone > 0), axis=1)
        reason = np.where(np.isnan(found.share[..., 0]), HIDDEN, "").astype(object)
        reason[few & (reason != HIDDEN)] = TOO_FEW
        reason[found.empty] = NOT_FOLLOWED
        reason[np.flatnonzero(self.started == 0)] = NOBODY
        for kind, n in self.not_counted.items():
            alone = (self.started == 0) & (n == sum(self.not_counted.values())) & (n > 0)
            reason[alone] = kind
        missing = (reason != "")[..., None]
        share, se, low, high = (np.where(missing, np.nan, part) for part in found[:4])
        return curves.Curve(share, se, low, high, found.empty), reason

    def table(self, estimated: tuple[Curve, Array], days: Sequence[int] | None) -> pd.DataFrame:
        """One row per group and day."""
        found, reason = estimated
        first = 1 if self.clock == "session" else 0
        every = self.risk.shape[1]
        wanted = np.arange(first, every) if days is None else np.asarray(list(days), dtype=np.int64)
        if ((wanted < first) | (wanted >= every)).any():
            name = "sessions" if first else "days"
            raise ValueError(f"days: {name} must lie between {first} and {every - 1}")
        group, at = (x.ravel() for x in np.meshgrid(np.arange(len(self.groups)), wanted, indexing="ij"))
        within = at < self.length[group]
        # Where there are no sessions at all, one row says why.
        none = np.flatnonzero(self.length == 1) if first else np.zeros(0, dtype=np.int64)
        group, at = np.append(group[within], none), np.append(at[within], 0 * none)
        order = np.argsort(group, kind="stable")
        group, at = group[order], at[order]
        table: pd.DataFrame = self.groups.loc[group].reset_index(drop=True)
        table = table.assign(**{name: np.array(v, dtype=object)[group] for name, v in self._told().items()})
        if first:
            table["session"] = integers(np.where(at > 0, at, np.nan))
        else:
            table["day"] = at
        table["n"] = whole(self.started[group])
        for name, values in (
            ("at_risk", self.risk), ("events", self.events), ("stopped", self.stopped),
            ("censored", self.censored),
        ):  # fmt: skip
            table[name] = whole(values[group, at])
        for name, values in zip(("estimate", "se", "low", "high"), found[:4], strict=True):
            table[name] = values[group, at, 0]
        table["stopped_share"] = found.share[group, at, 1]
        if not first:
            table["straddling"] = whole(self._straddling()[group, at])
        table["reason"] = reason[group, at]
        return table

    def _told(self) -> dict[str, list[str]]:
        many = len(self.groups)
        return {
            "clock": [self.clock] * many, "competing": [self.competing] * many, "method": self.method,
            "why": self.why,
        }  # fmt: skip

    def _straddling(self) -> Array:
        """Responses not yet dated by a day that may have come by then."""
        return np.cumsum(self.earliest - self.events, axis=1)

    def summary(self, estimated: tuple[Curve, Array], until: int | None) -> pd.DataFrame:
        """One row per group: the median, the restricted mean, and what they are made of."""
        found, reason = estimated
        table = self.groups.assign(**self._told())
        inside = np.arange(self.risk.shape[1]) < self.length[:, None]
        if self.clock == "session":
            inside[:, 0] = False
        known = (reason == "") & inside
        table["n"] = whole(self.started)
        for name, values in (("events", self.events), ("stopped", self.stopped), ("censored", self.censored)):
            table[name] = whole(values.sum(axis=1))
        table["not_counted"] = whole(sum(self.not_counted.values(), np.zeros(len(table))))
        last = known.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
        some = known.any(axis=1)
        table["known_to"] = integers(np.where(some, last, np.nan))
        table["last_estimate"] = np.where(some, found.share[np.arange(len(last)), last, 0], np.nan)
        shares = [np.where(known, part[..., 0], np.nan) for part in (found.share, found.high, found.low)]
        names = ("median", "median_low", "median_high")
        for name, values in zip(names, shares, strict=True):
            table[name] = integers(curves.first_day(values))
        why_not = np.where(some, NOT_REACHED, reason[:, -1])
        table["median_reason"] = np.where(table["median"].isna(), why_not, "").astype(object)
        return table.assign(**self._restricted(until, np.where(some, last, -1)))

    def _restricted(self, until: int | None, last: Array) -> dict[str, Any]:
        """The mean number of days (sessions) without a response up to a day."""
        first = 1 if self.clock == "session" else 0
        wanted = last + 1 - first if until is None else np.full(len(last), until)
        events = np.stack([self.events, self.stopped], axis=-1)[:, first:]
        mean, se = np.full(len(last), np.nan), np.full(len(last), np.nan)
        # Days up to `until` exclude that day itself, so a curve known on its eve is known far enough.
        fine = (wanted <= last + 1 - first) & (last >= 0)
        for upto in np.unique(wanted[fine]):
            own = np.flatnonzero(fine & (wanted == upto))
            mean[own], se[own] = curves.mean_without(self.risk[own, first:], events[own], int(upto))
        return {
            "until": integers(np.where(last >= 0, wanted, np.nan)),
            "restricted_mean": mean, "restricted_se": se,
            "restricted_reason": np.where(np.isnan(mean), NOT_KNOWN, "").astype(object),
        }  # fmt: skip

    def classes(self, early: int, level: float | None) -> pd.DataFrame:
        """One row per group and class of onset."""
        many = self.events.shape[1]
        at = np.arange(many)
        soon, later = self.events[:, at <= early].sum(axis=1), self.events[:, at > early].sum(axis=1)
        stopped = self.stopped.sum(axis=1)
        rest = self.started - soon - later - stopped
        numbers = {"early": soon, "later": later, "none_completed": rest, "none_stopped": stopped}
        rules = self.tally.header.limits(level=level)
        parts = []
        for name, n in numbers.items():
            share, low, high = rate_with_limits(n, self.started, *rules)
            after = f"1-{early}" if name == "early" else f"{early + 1} or later" if name == "later" else ""
            reason = np.where(np.isnan(n), HIDDEN, np.where(self.started == 0, self._nobody(), ""))
            part = self.groups.assign(**{"class": name, "after": after, "n": whole(n)})
            parts.append(part.assign(of=whole(self.started), share=share, low=low, high=high, reason=reason))
        return pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)

    def _nobody(self) -> Array:
        """Why nobody is counted."""
        found = np.full(len(self.groups), NOBODY, dtype=object)
        for kind, n in self.not_counted.items():
            found[n > 0] = kind
        return found


def _read(tally: Tally, clock: str, competing: str) -> Moves:
    """The rows of one clock as arrays; a hidden part makes its cell NaN."""
    for name, value, allowed in (("clock", clock, CLOCKS), ("competing", competing, COMPETING)):
        if value not in allowed:
            raise WrongChoice(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
    keys = [*tally.header.by, "instrument", "criterion"]
    states = STATES if clock == "first_dose" else SESSION_STATES
    stored = "onset" if clock == "first_dose" else "session"
    rows = tally.transitions[tally.transitions["clock"] == stored]
    between = tally.transitions[tally.transitions["clock"] == f"{stored}_interval"]
    if {*rows["from"], *rows["to"]} - {*states} or {*between["from"], *between["to"]} - {*BETWEEN}:
        raise ValueError(f"this Tally counts moves of {stored} that this version does not know")
    groups = rows[keys].drop_duplicates().sort_values(keys, kind="stable", ignore_index=True)
    plan = tally.header.settings
    visits = {name: one["visits"] or 0 for name, one in plan["definitions"]["protocols"].items()}
    if clock == "session":
        protocols = groups["protocol"] if len(groups) else pd.Series([], dtype=object)
        length = 1 + protocols.map(visits).fillna(0).to_numpy(dtype=np.int64)
    else:
        length = np.full(len(groups), int(plan["points"]["curve_days"]) + 1)
    # Where nobody started the table is empty, and the days asked for are no mistake.
    longest = max(visits.values(), default=0) if clock == "session" else int(plan["points"]["curve_days"])
    many = int(length.max()) if len(length) else 1 + longest
    count = Counter(groups, keys, many)
    began = rows[rows["from"] == ""]
    inside = ("treated", "unlimited") if clock == "first_dose" else ("at_risk",)
    entered = [count.total(began[began["to"] == state]) for state in inside]
    first = rows[rows["from"].isin(inside)]
    if clock == "first_dose" and competing == "end":
        # A lapse is no way out: those who lapsed stay at risk until they respond or their course ends.
        first = rows[rows["from"].isin([*ENTERED, "lapsed"]) & (rows["to"] != "lapsed")]
    answers = first["to"].isin(["responded", "responded_lapsed"])
    out = first["to"].isin(["lapsed", "ended", "stopped"])
    early = between[between["to"] == "between"]
    if competing == "end":
        early = between[between["from"] == ""]
    outside = sorted(set(began["to"]) - set(inside))
    competing = "stopped" if clock == "session" else competing
    return Moves(
        tally, clock, competing, groups, sum(entered, np.zeros(len(groups))),
        entered[1] if clock == "first_dose" else np.zeros(len(groups)),
        {state: count.total(began[began["to"] == state]) for state in outside},
        count.daily(first[answers]), count.daily(first[out]), count.daily(first[first["to"] == "censored"]),
        count.daily(early), length,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Counter:
    """Adds up rows of moves by group, and by group and day."""

    groups: pd.DataFrame
    keys: list[str]
    days: int

    def daily(self, rows: pd.DataFrame) -> Array:
        """One number per group and day."""
        found = np.zeros((len(self.groups), self.days))
        if len(rows):
            index = pd.MultiIndex.from_frame(self.groups)
            at = index.get_indexer(pd.MultiIndex.from_frame(rows[self.keys]))
            np.add.at(found, (at, rows["day"].to_numpy()), rows["n"].to_numpy(dtype=np.float64))
        return found

    def total(self, rows: pd.DataFrame) -> Array:
        """One number per group."""
        return self.daily(rows).sum(axis=1)


def integers(values: Any) -> Any:
    """Whole numbers, blank where not known."""
    return pd.array(values, dtype="Int64")


def whole(values: Array) -> Array:
    """Counts as integers where none is hidden."""
    return values if np.isnan(values).any() else values.astype(np.int64)
