"""The section on good time: harm and failures first, then where everyone stands, then the five groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ketaoutcomes.counts.good_time_cells import JOIN
from ketaoutcomes.figures import good_time as figures
from ketaoutcomes.report.additions import each_row
from ketaoutcomes.report.bars import Segment, stacked, swatch
from ketaoutcomes.report.charts import chart
from ketaoutcomes.report.views import Words
from ketaoutcomes.results.partition import CAUTION
from ketaoutcomes.results.wording import HIDDEN, count, is_number, label, listed, percent

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from ketaoutcomes.plan import Plan
    from ketaoutcomes.report.finished import Described

BASES = {
    "target": "target; the level is each person’s own target dose, set beforehand",
    "fixed": "fixed; the level is a dose per route and unit",
}
CLOCKS = {
    "cumulative": "days covered by an adequate dose",
    "doses": "adequate doses given",
    "first_reach": "covered days since the level was reached",
    "contiguous": "days covered by adequate doses without a break",
}


@dataclass(frozen=True)
class Exposed:
    """What the section shows; texts are finished, `standing` has a row per state and a cell per day."""

    first: tuple[str, ...]
    sentence: str
    calendar: tuple[Any, ...]
    calendar_days: tuple[int, ...]
    accounts: str
    delay: str
    unjudged: tuple[tuple[str, Any], ...]
    days: tuple[int, ...]
    standing: tuple[tuple[Markup | None, str, tuple[Any, ...]], ...]
    mature: float
    followed: float
    stands: Markup | None
    by_day: Markup | None
    groups: Markup | None
    group_rows: tuple[tuple[Markup, str, Any, Any], ...]
    kept: str
    sites: tuple[Any, ...]
    rules: tuple[Any, ...]
    basis: str
    by_target: bool
    caution: str = CAUTION


def exposed(tables: Mapping[str, Described], plan: Plan, words: Words) -> Exposed | None:
    """The section's content; None where nobody's good time was counted."""
    if "good_time_groups" not in tables:
        return None
    standing = tables["good_time_standing"].table if "good_time_standing" in tables else None
    rules = tables["good_time_rules"].table
    basis = str(rules["basis"].iloc[0]) if len(rules) else ""
    groups = tables["good_time_groups"].table
    days = tuple(sorted({int(day) for day in standing["day"]})) if standing is not None else ()
    return Exposed(
        first=tuple(_first(tables, plan, words)),
        sentence=_sentence(tables["good_time_day60"].table.iloc[0].to_dict()),
        calendar=_calendar(tables.get("good_time_calendar")),
        calendar_days=plan.good_time.calendar_days,
        accounts=_accounts(tables.get("good_time_accounts")),
        delay=_delay(tables.get("good_time_overdue"), plan),
        unjudged=_unjudged(tables.get("good_time_unjudged")),
        days=days,
        standing=_standing(standing, days) if standing is not None else (),
        mature=float(groups.loc[groups["period"] == "mature", "of"].iloc[0]),
        followed=float(standing["of"].iloc[0]) if standing is not None else float("nan"),
        stands=_stands(standing) if standing is not None else None,
        by_day=_by_day(tables.get("good_time_by_day"), days),
        groups=_partition(groups),
        group_rows=_group_rows(groups),
        kept=_kept(tables.get("good_time_kept")),
        sites=tuple(each_row(tables["good_time_sites"].table)) if "good_time_sites" in tables else (),
        rules=_in_order(rules, words),
        basis=BASES.get(basis, basis),
        by_target=basis == "target",
    )


# --- what comes first ------------------------------------------------------------------------------------


def _first(tables: Mapping[str, Described], plan: Plan, words: Words) -> list[str]:
    criterion = plan.definitions.criterion(plan.good_time.criterion)
    found = [_failures(tables, criterion.name, words)]
    if "good_time_harm" not in tables:  # nobody is due yet: there is no last score to speak of
        return found
    harm = tables["good_time_harm"].table
    title = label(plan.definitions.instrument(criterion.instrument).title)
    worse = next(iter(plan.definitions.worsening(criterion.instrument)), None)
    if worse is not None:
        n, of, none = _answer(harm, "worse", "last", "worse", "no_score")
        rule = label(worse.title, 160)
        found.append(
            f"{_of(n, of)} got worse: {rule} at the last score of the series than at baseline. "
            f"{_people(none)} no score after the first dose."
        )
    item = plan.definitions.instrument(criterion.instrument).flag_item
    if item is not None:
        start, of, _ = _answer(harm, "safety_item", "baseline", "some", "not_asked")
        end, _, none = _answer(harm, "safety_item", "last", "some", "not_asked")
        found.append(
            f"Item {item} of the {title} (thoughts of self-harm) was answered with more than “not at all” by "
            f"{_of(start, of)} at baseline, and by {_of(end, of)} at their last answer in the series. "
            f"{_people(none)} no answer after the first dose."
        )
    return found


def _failures(tables: Mapping[str, Described], criterion: str, words: Words) -> str:
    for name, when in (("rates_end", "at the end of the series"), ("rates_week", "in the last week shown")):
        if name in tables:
            table = tables[name].table
            rows = table[(table["criterion"] == criterion) & (table["analysis"] == "nri")]
            rows = rows[rows["rate"].notna()]
            if len(rows):
                row = rows.iloc[-1]
                said = words.known_to.get(criterion, "to meet the criterion")
                unscored = row["due"] - row["assessed"]
                text = f"{_of(row['n'] - row['met'], row['n'])} are not known {said} {when}"
                return text + (
                    f"; {count(unscored)} of them have no score there." if is_number(unscored) else "."
                )
    return "How many of all who started have not responded is hidden or not known."


def _answer(harm: pd.DataFrame, question: str, point: str, *answers: str) -> tuple[float, ...]:
    rows = harm[(harm["question"] == question) & (harm["point"] == point)].set_index("answer")
    if rows.empty:
        return (float("nan"),) * 3
    some, none = (float(rows["n"][answer]) for answer in answers)
    return some, float(rows["of"].iloc[0]), none


def _number(n: float) -> str:
    return ("none" if n == 0 else count(n)) if is_number(n) else f"a {HIDDEN} number"


def _people(n: float) -> str:
    """How many had something, as the start of a sentence."""
    return f"{count(n)} had" if is_number(n) else f"A {HIDDEN} number had"


def _of(n: float, of: float) -> str:
    if is_number(n) and is_number(of) and of:
        return f"{count(n)} of {count(of)} patients due ({percent(n, of)})"
    return (
        f"a {HIDDEN} number of {count(of)} patients due"
        if is_number(of)
        else f"a {HIDDEN} number of patients"
    )


def _sentence(row: Mapping[Any, Any]) -> str:
    """Where mature courses without response stood on the last calendar day, and what became of them."""
    if row["n"] == 0:
        return f"No mature course is without a response recorded by day {int(row['day'])}."
    told = {name: _number(float(n)) for name, n in row.items()}
    text = (
        f"Of {told['n']} mature courses with no response recorded by day {int(row['day'])}, "
        f"{told['not_reached']} had not reached the level, {told['some_good']} had some good time and "
        f"{told['trial_complete']} had the good time of a whole trial. "
        f"Since then {told['responded']} responded, "
        f"{told['full_trial']} completed a trial without response, {told['stopped']} stopped, "
        f"{_still(row)}. Some later responses are expected even if dose makes no difference."
    )
    if row["unjudged"] != 0:
        text += f" {told['unjudged'].capitalize()} more without response cannot be judged."
    return text


def _still(row: Mapping[Any, Any]) -> str:
    """Those still open and those without a score to judge by, apart where both numbers are shown."""
    open_, unscored = float(row["open"]), float(row["unassessed"])
    if is_number(open_) and is_number(unscored):
        had = "has" if unscored == 1 else "have"
        remains = "remains" if open_ == 1 else "remain"
        return f"{_number(open_)} {remains} open and {count(unscored)} {had} no score to judge by"
    either = "either remain open or have no score to judge by (which of the two is hidden)"
    return f"and {_number(float(row['not_evaluable']))} {either}"


# --- beside the calendar -----------------------------------------------------------------------------------


CALENDAR = {
    "responded": "responded by then",
    "not_responded": "scored near it, not responded",
    "not_assessed": "no score near it",
}


def _calendar(described: Described | None) -> tuple[Any, ...]:
    """A row per verdict: its words, and the finished rows of each day."""
    if described is None:
        return ()
    rows = each_row(described.table)
    return tuple(
        (words, tuple(row for row in rows if row.verdict == verdict)) for verdict, words in CALENDAR.items()
    )


def _accounts(described: Described | None) -> str:
    if described is None or not described.table["share"].notna().any():
        return ""
    shares = dict(zip(described.table["account"], described.table["days"], strict=True))
    total = sum(shares.values())
    parts = [f"{percent(days, total)} {ACCOUNTS[name]}" for name, days in shares.items() if days]
    none = [ACCOUNTS[name] for name, days in shares.items() if not days]
    said = f"Of all {count(total)} days of mature courses that can be judged, {listed(parts)}."
    return said + (f" None {listed(none)}." if none else "")


ACCOUNTS = {
    "titrating": "were spent below the level on the way to it",
    "adequate": "at an adequate dose",
    "dipped": "below it again",
    "lapsed": "after cover by any dose had lapsed",
}


def _delay(described: Described | None, plan: Plan) -> str:
    """Who was late in reaching the level; a number of hidden people is hidden."""
    if described is None:
        return ""
    n = {row.state: float(row.n) for row in each_row(described.table)}
    of = float(described.table["of"].iloc[0])
    if not is_number(of):
        return "How many were overdue in reaching the level is hidden."
    late = f"had not reached the level {plan.good_time.overdue_days} days after the first dose, nor since"
    if not is_number(n["overdue"]):
        return f"Of {count(of)} mature courses that can be judged, a {HIDDEN} number {late}."
    return (
        f"Of {count(of)} mature courses that can be judged, {count(n['overdue'])} "
        f"({percent(n['overdue'], of)}) {late}, and have not responded; "
        f"{_number(n['overdue_responded'])} more responded without reaching it."
    )


def _unjudged(described: Described | None) -> tuple[tuple[str, Any], ...]:
    """Why mature courses cannot be judged: reasons in words, joined as they are shown."""
    if described is None:
        return ()
    rows = each_row(described.table)
    every = len(REASONS)
    return tuple(
        ("for whatever reason", row)
        if row.reason.count(JOIN) >= every - 2
        else ("with " + " or ".join(REASONS.get(part, part) for part in row.reason.split(JOIN)), row)
        for row in rows
    )


REASONS = {
    "no_target": "no target dose on record",
    "target_not_preset": "target dose set after the first dose",
    "no_level": "no level for the route and unit",
    "no_amount": "a session without a dose amount",
    "dose_without_level": "a dose in another route or unit than the level",
    "no_weight": "no weight to convert the dose by",
    "zero_baseline": "baseline score of zero, which cannot fall by a percentage",
    "no_baseline_diagnosis": "no diagnosis at baseline to lose",
    "no_carry": "a schedule without a length of cover",
    "no_windows": "a schedule without windows",
    "windows_unit": "windows in another unit than the clock",
}


# --- where they stand ------------------------------------------------------------------------------------


def _name(state: str) -> str:
    if state == "all_started":
        return "responded by then"
    parts = [figures.NAMES.get(part, label(part)) for part in state.split(JOIN)]
    if len(parts) > 1 and all(part.startswith("responded") for part in parts):
        return "responded" if len(parts) == 3 else "responded after it, or level not known"
    return "no response yet" if len(parts) > 3 else " or ".join(parts)


def _standing(
    table: pd.DataFrame, days: Sequence[int]
) -> tuple[tuple[Markup | None, str, tuple[Any, ...]], ...]:
    states = list(dict.fromkeys(table["state"]))
    states = sorted(states, key=_place)
    of = {(int(row.day), str(row.state)): row for row in each_row(table)}
    if any(_name(state) == "responded" for state in states):
        states.remove("all_started")
    return tuple(
        (_sample(state), _name(state), tuple(of.get((day, state)) for day in days)) for state in states
    )


def _sample(state: str) -> Markup | None:
    return None if state == "all_started" else swatch(_fill(state), f"state-{state.split(JOIN)[0]}")


def _place(state: str) -> int:
    order = ["all_started", *figures.BANDS]
    return order.index(state.split(JOIN)[0])


def _stands(table: pd.DataFrame) -> Markup | None:
    """One bar per day, its segments the bands of state occupation."""
    parts = table[table["state"] != "all_started"]
    bars = []
    for day, rows in parts.groupby(parts["day"].astype(str), sort=False):
        own = sorted(each_row(rows), key=lambda row: _place(str(row.state)))
        segments = [Segment(row.rate, _fill(str(row.state)), percent(row.n, row.of)) for row in own]
        bars.append((f"day {day}", segments))
    if not bars:
        return None
    says = "Chart of where mature courses stand on named days. The table below holds every number."
    return stacked(bars, name="standing", says=says)


def _fill(state: str) -> figures.Fill:
    return figures.fill_of(state)


def _by_day(described: Described | None, days: Sequence[int]) -> Markup | None:
    """The bands of state occupation, from daily moves: internal reports only."""
    if described is None or not described.table["share"].notna().any():
        return None
    table = described.table
    says = "Chart of the share of everyone who started in each state, day by day."
    if table["day"].nunique() > MANY_DAYS:
        table = table[table["day"] % 6 == 0]  # a sixth of the days draws the same bands
    draw = partial(_bands, table=table)
    return chart(draw, name="occupation", says=says, size=(9.2, 4.2), left=1.7, right=2.1, top=0.3)


MANY_DAYS = 120


def _bands(ax: Any, *, table: pd.DataFrame) -> None:
    figures.state_occupation(table, ax=ax)
    for artist in (*ax.collections, *ax.patches):
        artist.set_hatch(None)  # in SVG each hatch takes more room than the rest of the page


# --- the five groups -------------------------------------------------------------------------------------


def _partition(groups: pd.DataFrame) -> Markup | None:
    mature = groups[groups["period"] == "mature"]
    if not mature["share"].notna().all() or not (mature["of"] > 0).any():
        return None
    segments = [
        Segment(row.share, figures.GROUPS[row.group], percent(row.n, row.of)) for row in each_row(mature)
    ]
    says = "Chart of mature courses in five groups. The table below holds every number."
    return stacked([("mature", segments)], name="groups", says=says)


def _in_order(rules: pd.DataFrame, words: Words) -> tuple[Any, ...]:
    """The rules of each schedule, in the plan's order."""
    rows = {str(row.protocol): row for row in each_row(rules)}
    return tuple(rows[name] for name in words.by_plan(rows))


def _kept(described: Described | None) -> str:
    """Responses that were absent again once the trial was complete."""
    if described is None:
        return ""
    n = dict(zip(described.table["state"], described.table["n"], strict=True))
    of = float(described.table["of"].iloc[0])
    if not is_number(of):
        return "How many responses were absent again at the first score after a whole trial is hidden."
    absent = "was" if n["absent"] == 1 else "were"
    return (
        f"Of {count(of)} mature courses that responded, {_number(n['absent'])} {absent} without response "
        f"again at the first score after the whole trial, {_number(n['present'])} still responded there, and "
        f"{_number(n['no_score'])} have no such score."
    )


def _group_rows(groups: pd.DataFrame) -> tuple[tuple[Markup, str, Any, Any], ...]:
    rows = {(str(row.period), str(row.group)): row for row in each_row(groups)}
    return tuple(
        (
            swatch(figures.GROUPS[group], f"group-{group}"),
            figures.NAMES[group],
            rows["mature", group],
            rows["younger", group],
        )
        for group in dict.fromkeys(groups["group"])
    )
