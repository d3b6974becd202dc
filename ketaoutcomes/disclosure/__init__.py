"""Small numbers of people do not leave in a report: Tallies in, protected Tallies out, all of them at once.

A count from 1 to 10 persons (profile `cms11`; 1 to 7 in `opensafely`) is not published, nor any numbers whose
difference or sum is one; 0 may be shown. `docs/disclosure.md` says how, and what it does not cover.

**What a protected Tally holds.** The same tables and columns, in coarser cells; `n` is NaN where hidden.

- `points`: only courses that are due, in the finest cells that may be shown. States, from fine to coarse:

  | given | states | what can be computed |
  |---|---|---|
  | yes, no | met, not_met, unassessed | due, given, assessed, met |
  | empty | met, not_met, unassessed | due, assessed, met |
  | empty | met, unmet_or_missing | due, met |
  | empty | due | due |
  | empty | due, with n NaN | nothing |

  `not_scheduled` stands beside them. Reasons without a point (`not_visit_based`) keep their row, without n.
  `given` is shown for sessions, kinds current and sustained. Carried scores are joined with the missing.
- `flow`: the same reasons, NaN where hidden. In step `measured` neighbouring reasons are joined by `+` where
  the line between them is hidden. Who reached a session is kept only where protocol is a grouping. In step
  `courses`, `people` is given only for those eligible, one course each.
- `values`: instead of a row per value, `variable:n`, `variable:sum`, `variable:squares` and
  `variable:median`, the number standing in `n` (see `moments`). Where the people behind it are hidden, all
  four are NaN.
- `transitions`, of everyone only (no grouping): exits from the states without response, which are joined into
  one, each on the first day on which enough have gathered (`ketaoutcomes.disclosure.moves`). On the day from
  which on nothing is told a NaN stands. Empty in Tallies with a grouping.

A Tally of a quality measure (`study.measure_tally`) holds everyone who entered, states joined by `+` until
none is small (`ketaoutcomes.disclosure.measures`).

Side effects and worsening (`tables=("safety",)`) are further facts of `points` and `values`, placed last, so
that a report shows what it showed without them.

A Tally of good time (`tables=("good_time",)`) holds the cells of `ketaoutcomes.counts.good_time_cells`,
joined until none is small, and the median days to the level (`ketaoutcomes.disclosure.good_time`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from ketaoutcomes.counts.strata import KIND as IMPUTATION
from ketaoutcomes.counts.tallies import Tally, typed
from ketaoutcomes.disclosure.change import categories, check_change, stand_in
from ketaoutcomes.disclosure.choose import choose
from ketaoutcomes.disclosure.coarser import Telling, coarsen, tellings
from ketaoutcomes.disclosure.covariates import check_one, eligible_only, is_table_one, protect_table_one
from ketaoutcomes.disclosure.facts import DisclosureError, Margin, margins
from ketaoutcomes.disclosure.good_time import protect_good_time
from ketaoutcomes.disclosure.linked import (
    Protection,
    check_series,
    counts_courses,
    follow,
    restatements,
    told_numbers,
    whole_steps,
    without_rows,
)
from ketaoutcomes.disclosure.links import Logic, logic
from ketaoutcomes.disclosure.measures import protect_measures
from ketaoutcomes.disclosure.moves import NOTHING, Told, move_rows, tell_all
from ketaoutcomes.disclosure.rest import beside
from ketaoutcomes.disclosure.rewrite import PERMITS, STATISTICS, blur, moments, rewrite, rounded

__all__ = [
    "LARGEST_SMALL",
    "PERMITS",
    "STATISTICS",
    "DisclosureError",
    "Protection",
    "Telling",
    "coarsen",
    "moments",
    "protect",
    "protection",
    "restatements",
    "tellings",
]

LARGEST_SMALL = {"cms11": 10, "opensafely": 7}
"""By profile, the largest number of persons that is not published.

`cms11`: the cell size policy of the US Centers for Medicare & Medicaid Services (no cell of 1 to 10, none
derivable). `opensafely`: counts of 7 or fewer redacted, the others rounded to the nearest 5, totals being
sums of rounded parts (docs.opensafely.org, disclosure control).
"""


def protect(tallies: Sequence[Tally], profile: str = "cms11") -> list[Tally]:
    """Return the Tallies of one report, each as it may be published beside the others.

    The whole list is protected together, because what one table hides another may give away. What is shown
    does not depend on the order of rows. Tallies that are already protected by the same profile are returned
    unchanged.

    Args:
        tallies: every Tally the report is made of, of one plan and one cohort.
        profile: `"cms11"` or `"opensafely"`.

    Returns:
        One protected Tally for each, in the same order; `protected` names the profile.

    Raises:
        DisclosureError: the profile is unknown, some Tallies are protected and others not, they were counted
            under different plans or as-of days, or one holds what cannot be protected yet.

    Example:
        >>> everyone = study.tally(at="end", criteria="phq9_response50", kind="current")
        >>> (shown,) = protect([everyone])
        >>> shown.protected, sorted(shown.points["state"])
        ('cms11', ['met', 'not_met', 'unassessed'])
    """
    _check(tallies, profile)
    if any(tally.protected for tally in tallies) or not tallies:
        return list(tallies)
    if any(tally.header.measure for tally in tallies):
        return _with_measures(tallies, profile)
    plain = [tally for tally in tallies if _plain(tally)]
    shown = _protected(tallies, profile)
    of_good_time = [tally for tally in tallies if tally.header.basis]
    beside_them = [tally for tally in shown if _plain(tally)]
    done_last, told = protect_good_time(of_good_time, beside_them, profile, LARGEST_SMALL[profile], plain)
    last = iter(done_last)
    shown = [next(last) if tally.header.basis else tally for tally in shown]
    return _with_moves(tallies, shown, told, profile)


def _plain(tally: Tally) -> bool:
    """Whether a Tally holds rates and the flow: neither good time nor a Table 1."""
    return not tally.header.basis and not is_table_one(tally)


def _with_measures(tallies: Sequence[Tally], profile: str) -> list[Tally]:
    """Quality measures, beside the other Tallies of the release."""
    others = [tally for tally in tallies if not tally.header.measure]
    own = [tally for tally in tallies if tally.header.measure]
    plain = iter(protect(others, profile))
    counted = [*others, *(one for tally in others if is_table_one(tally) for one in eligible_only(tally))]
    shown = protect_measures(own, counted, profile, LARGEST_SMALL[profile])
    done = (rounded(tally, profile) for tally in shown)
    return [next(done) if tally.header.measure else next(plain) for tally in tallies]


def _check(tallies: Sequence[Tally], profile: str) -> None:
    """Raises `DisclosureError` for Tallies that cannot be protected together."""
    if isinstance(tallies, Tally):
        raise DisclosureError("give every Tally of the report together, in a list: protect([tally])")
    if profile not in LARGEST_SMALL:
        raise DisclosureError(
            f"unknown disclosure profile {profile!r}; use one of {', '.join(LARGEST_SMALL)}"
        )
    if any(tally.protected for tally in tallies):
        if all(tally.protected == profile for tally in tallies):
            return
        raise DisclosureError(
            "protect the raw Tallies of a report together: some of these are protected already"
        )
    if len({(tally.header.plan, tally.header.as_of) for tally in tallies}) > 1:
        raise DisclosureError("the Tallies of one report must share their plan and their as-of day")
    if any(tally.points["kind"].eq(IMPUTATION).any() for tally in tallies):
        raise DisclosureError(
            "strata for imputation are nearly rows and cannot be protected; count without them, and publish "
            "rates by nri and observed, which bound what is missing"
        )
    # A quality measure of two instruments is judged with the others of its kind.
    plain = [tally for tally in tallies if not tally.header.measure]
    if any(tally.points["instrument"].str.contains("+", regex=False).any() for tally in plain):
        raise DisclosureError(
            "joint response of two criteria cannot be protected yet; publish the rate of each criterion"
        )
    check_one(tallies)
    check_change(tallies)


def protection(
    tallies: Sequence[Tally], profile: str = "cms11", previous: Protection | None = None
) -> Protection:
    """Protect one report of a series: nothing small in it, nor between it and the reports before it.

    Each part of a table is told as it stands now only where every count in it, and every difference that it
    completes with another published number of this report or of one before, changed by 0 or by more than the
    threshold; otherwise it is repeated as it stood. What was hidden once stays hidden. Good time, daily
    moves, quality measures and tables by session are repeated as the first report of the series had them,
    since people pass from one of their cells to another. Rows of months appear when they close. How many
    input rows were set aside is hidden: many may be one person's.

    Args:
        tallies: every Tally of this report, as counted; the same list in every report of the series.
        profile: as in `protect`.
        previous: what this function gave for the last report; None for the first.

    Raises:
        DisclosureError: as in `protect`, or where the plan, the tables or the profile are not those of the
            last report, or it is of a later day.

    Example:
        >>> import ketaoutcomes as ko
        >>> def counted(month):
        ...     study = ko.Study(ko.load_sample(), as_of=month)
        ...     return [study.tally(at="end", criteria="phq9_response50", kind="current", tables=("points",))]
        >>> first = protection(counted("2026-09"))
        >>> then = protection(counted("2026-10"), previous=first)
        >>> then.steps[["axis", "step", "as_of"]].to_numpy().tolist()
        [['end', 'restated', '2026-10-31']]
    """
    if any(is_table_one(tally) or tally.header.change for tally in tallies):
        raise DisclosureError(
            "Table 1 and change beyond error are no part of a series of reports: protect them in one release"
        )
    if previous is None or not tallies:
        shown = [without_rows(tally) for tally in protect(tallies, profile)]
        return Protection(shown, history=told_numbers(shown, 0, None))
    _check(tallies, profile)
    check_series(tallies, previous, profile)
    plain = [at for at, tally in enumerate(tallies) if counts_courses(tally)]
    last = replace(previous, tallies=[previous.tallies[at] for at in plain])
    result = [replace(old, header=new.header) for old, new in zip(previous.tallies, tallies, strict=True)]
    steps, history = whole_steps(tallies, previous), previous.history
    if plain:
        own = [tallies[at] for at in plain]
        found, rules, criteria = _chosen(own, profile)
        done = follow(own, found, rules, criteria, last, profile, LARGEST_SMALL[profile])
        for at, tally in zip(plain, done.tallies, strict=True):
            result[at] = tally
        steps = pd.concat([done.steps, steps], ignore_index=True)
        history = done.history
    return Protection(result, steps, history)


def _with_moves(
    raw: Sequence[Tally], shown: Sequence[Tally], told: Sequence[Told], profile: str
) -> list[Tally]:
    """Daily moves counted beside anything but good time; `told` are those of good time."""
    found, done = list(shown), list(told)
    rest = beside([tally for tally in shown if _plain(tally)])
    for i, tally in enumerate(raw):
        if tally.header.by or tally.header.basis or tally.transitions.empty:
            continue
        days = int(tally.header.settings["points"]["curve_days"]) + 1
        limit = LARGEST_SMALL[profile] + blur(profile)
        own = tell_all(tally.transitions, days, lambda _: NOTHING, rest, done, limit)
        done += own[0]
        found[i] = replace(found[i], transitions=typed("transitions", move_rows(tally, own, profile), ()))
    return found


def _protected(tallies: Sequence[Tally], profile: str) -> list[Tally]:
    """Every Tally but those of good time, protected together; those of good time as they are."""
    plain = [tally for tally in tallies if _plain(tally)]
    ones = [tally for tally in tallies if is_table_one(tally)]
    stood = {id(tally): stand_in(tally) if tally.header.change else tally for tally in plain}
    counted = [*stood.values(), *(own for tally in ones for own in eligible_only(tally))]
    if not counted:
        return list(tallies)
    change = next((tally.header.change for tally in plain if tally.header.change), "")
    found, _, _ = _chosen(counted, profile, change)
    result = []
    for tally in tallies:
        if is_table_one(tally):
            others = [other for other in tallies if other is not tally]
            result.append(protect_table_one(tally, others, found, profile, LARGEST_SMALL[profile]))
        elif tally.header.basis:
            result.append(tally)
        else:
            done = rewrite(stood[id(tally)], found, profile)
            done = categories(done, tally) if tally.header.change else done
            result.append(rounded(done, profile))
    return result


def _chosen(
    tallies: Sequence[Tally], profile: str, change: str = ""
) -> tuple[list[Margin], Logic, list[str]]:
    """Every grouping with what may be shown of it, which criteria nest, and the criteria."""
    found = margins(tallies)
    criteria = list(dict.fromkeys(name for tally in tallies for name in tally.header.criteria))
    rules = logic(tallies[0].header.plan, criteria, change)
    choose(found, rules, criteria, LARGEST_SMALL[profile])
    return found, rules, criteria
