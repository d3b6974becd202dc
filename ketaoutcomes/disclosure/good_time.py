"""Small numbers in good time: partitions of the same people, joined until nothing in them is small.

Good time counts everyone eligible several times over: in the partition, by where mature courses stood, by
state on named days, by harm. Each of these is shown whole, at the finest level at which every cell is 0 or
more than the threshold, or not at all; nothing is hidden cell by cell. Two partitions of the same people also
tell how many stand in one set and not in another that holds it (nobody leaves a response, nobody reaches a
level twice), and three of them tell more than their pairs. So a level is taken only where each such
difference, with every partition taken before, with each two of them (`ketaoutcomes.disclosure.layers`) and
with what the rest of the report shows, is 0 or more than the threshold. Daily moves are one more partition
of the same people (`ketaoutcomes.disclosure.moves`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.counts.good_time_cells import (
    APART,
    JOIN,
    KINDS,
    LAST_KNOWN,
    SITUATION,
    TOGETHER,
    UNSCORED,
    WHOLE_TRIAL,
    cells,
    last_known,
)
from ketaoutcomes.counts.lasting_counts import AFTER_RESPONSE, BOOSTERS, NO_VISITS, NUMBERS
from ketaoutcomes.counts.tallies import typed
from ketaoutcomes.disclosure.facts import DisclosureError
from ketaoutcomes.disclosure.good_time_sites import medians, of_sites
from ketaoutcomes.disclosure.ladders import (
    DIVIDES,
    FINE,
    LEVELS,
    NOT_DUE,
    NOT_EVALUABLE,
    OF_DUE,
    OTHERS,
    SCORED,
    WHO_MAY_RESPOND,
    Key,
)
from ketaoutcomes.disclosure.last_scores import Scored, scored_elsewhere
from ketaoutcomes.disclosure.layers import Layer, beside_moves, tells_few
from ketaoutcomes.disclosure.moves import Family, Known, Row, Told, hidden_rows, move_rows, tell_all
from ketaoutcomes.disclosure.rest import NOWHERE, Elsewhere, Rest, beside
from ketaoutcomes.disclosure.rewrite import blur, rounded
from ketaoutcomes.disclosure.transport import small
from ketaoutcomes.per_patient.exposure import EXPOSURES

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

Array = Any


def protect_good_time(
    tallies: Sequence[Tally],
    others: Sequence[Tally],
    profile: str,
    largest_small: int,
    counted: Sequence[Tally] = (),
) -> tuple[list[Tally], list[Told]]:
    """Tallies of good time as they may be published beside `others`, which are protected already.

    Of everyone (grouped by nothing): the cells of `good_time_cells`, and daily moves out of all states
    without response. By site: who is not evaluable, and the median days to the level. Other groupings hold
    nothing. `counted` are the others as they were before: what is known of those without an end score is
    taken from them. Also returns the daily moves that are told.
    """
    if any(not tally.points["criterion"].str.startswith("good_time:").all() for tally in tallies):
        raise DisclosureError("count good time in a Tally of its own, or it cannot be protected")
    # Beside rounded numbers a difference is only known as closely as they are.
    limit = largest_small + blur(profile)
    everyone = next((tally for tally in tallies if not tally.header.by), None)
    rest = beside(others)
    chosen, rates = _of_everyone(everyone, others, counted, limit) if everyone is not None else ([], [])
    told = _moves(everyone, rest, chosen, rates, limit) if everyone is not None else ([], [])
    result = []
    for tally in tallies:
        if tally is everyone:
            points = _rows(tally, chosen)
            values = pd.concat([medians(tally, bool(chosen), limit), _accounts(tally, chosen, limit)])
        elif tally.header.by == ("site",) and _told_apart(chosen, NOT_EVALUABLE):
            points, values = of_sites(tally, others, limit)
        else:
            points, values = tally.points.iloc[:0], tally.values.iloc[:0]
        tables = {"flow": tally.flow.iloc[:0], "points": points, "values": values}
        tables["transitions"] = (
            move_rows(tally, told, profile) if tally is everyone else tally.transitions[:0]
        )
        done: dict[str, Any] = {name: typed(name, table, tally.header.by) for name, table in tables.items()}
        result.append(rounded(replace(tally, **done, protected=profile), profile))
    return result, told[0]


def _moves(
    tally: Tally, rest: Rest, chosen: Sequence[Layer], rates: Sequence[Layer], limit: int
) -> tuple[list[Told], list[Row]]:
    """The daily moves that may be told beside the partitions chosen; without these nothing is told."""
    plan = tally.header.settings
    days = int(plan["points"]["curve_days"]) + 1
    last, mature = _last_day(tally), int(plan["good_time"]["mature_days"])
    named = {int(layer.point) for layer in chosen if layer.point.isdigit()}
    # On each of these days, and on the day after, it changes which cells someone can be in who leaves.
    since = sorted({0, mature, last, last + 1, *named, *(day + 1 for day in named)} & set(range(days)))

    def known(family: Family) -> Known:
        return beside_moves(family, [*chosen, *rates], since, last, mature, limit)

    if not chosen:
        return [], hidden_rows(tally.transitions)
    return tell_all(tally.transitions, days, known, rest, (), limit)


# --- everyone --------------------------------------------------------------------------------------------


def _of_everyone(
    tally: Tally, others: Sequence[Tally], raw: Sequence[Tally], limit: int
) -> tuple[list[Layer], list[Layer]]:
    """The layers that may be shown, each at its finest safe level; and what the rates tell beside them."""
    table = cells(tally)
    fine: dict[Key, int] = {
        (str(kind), str(point), str(state)): int(n)
        for kind, point, state, n in zip(
            *(table[name] for name in ("kind", "point", "state", "n")), strict=True
        )
    }
    if not fine:
        return [], []
    elsewhere = beside(others)(str(tally.points["instrument"].iloc[0])) or NOWHERE
    name = str(tally.points["criterion"].iloc[0]).partition(":")[2]
    scored = scored_elsewhere(others, str(tally.points["instrument"].iloc[0]), name)
    known = next((last_known(t.points, name) for t in raw if not t.header.by), {})
    if known and sum(known.values()) == elsewhere.due and known["scored"] == scored.at_end:
        fine |= {(LAST_KNOWN, "end", state): n for state, n in known.items()}
    total = sum(n for (kind, _, _), n in fine.items() if kind == TOGETHER)
    if elsewhere is not NOWHERE and np.isnan(elsewhere.eligible):
        return [], []  # the total itself is hidden elsewhere
    last = _last_day(tally)
    rates = _at_the_end(scored, elsewhere, total)
    chosen: list[Layer] = []
    for kind in KINDS:
        points = sorted({point for at, point, _ in fine if at == kind}, key=_days_first(last))
        if kind == TOGETHER:
            points = [""]
        for level in LEVELS[kind]:
            found: list[Layer] = []
            for point in points:
                layer = _layer(fine, kind, point, level, total, elsewhere)
                before = [*chosen, *found]
                if (
                    layer is not None
                    and _safe(layer, before, elsewhere, scored, limit)
                    and not tells_few(layer, [*before, *rates], limit, last)
                ):
                    found.append(layer)
            # All points at one level: the first that suits two of them, or at last one.
            if len(found) >= min(2, len(points)) or (found and level is LEVELS[kind][-1]):
                chosen += found
                break
        if not chosen:
            return [], []  # without the whole nothing is shown of its parts
    return chosen, rates


def _at_the_end(scored: Scored, elsewhere: Elsewhere, total: int) -> list[Layer]:
    """The partition of everyone eligible that the rates at the end tell, if it adds up: no layer of ours."""
    due, seen, met = elsewhere.due, scored.at_end, scored.met_at_end
    if elsewhere.eligible != total or np.isnan(due):
        return []
    cells: list[tuple[float, tuple[str, ...]]] = [(total - due, (NOT_DUE,))]
    if np.isnan(met):
        cells += [(seen, SCORED), (due - seen, UNSCORED)]
    elif np.isnan(seen):
        cells += [(met, SCORED[:1]), (due - met, (*SCORED[1:], *UNSCORED))]
    else:
        cells += [(met, SCORED[:1]), (seen - met, SCORED[1:]), (due - seen, UNSCORED)]
    n = np.array([n for n, _ in cells])
    if np.isnan(n).any() or n.min() < 0:
        return []
    parts = tuple(tuple((LAST_KNOWN, "end", state) for state in states) for _, states in cells)
    names = tuple(JOIN.join(states) for _, states in cells)
    return [Layer(LAST_KNOWN, "rates", names, parts, n.astype(np.int64))]


def _last_day(tally: Tally) -> int:
    return int(tally.header.settings["good_time"]["calendar_days"][-1])


def _days_first(last: int) -> Callable[[str], tuple[bool, int, str]]:
    """The last calendar day first, then later days, then earlier ones."""
    return lambda point: (point != str(last), -int(point) if point.isdigit() else 0, point)


def _layer(
    fine: dict[Key, int], kind: str, point: str, level: Any, total: int, elsewhere: Elsewhere
) -> Layer | None:
    """A partition of everyone eligible at one level; None where its number of people is hidden elsewhere."""
    own = {key: n for key, n in fine.items() if key[0] == kind and (not point or key[1] == point)}
    rest = 0.0
    if kind != TOGETHER:
        of_due = kind in OF_DUE
        rest = total - sum(own.values())
        if of_due and np.isnan(elsewhere.due):
            return None
        own[kind, point, NOT_DUE if of_due else OTHERS] = int(rest)
    joined: dict[tuple[str, str], list[Key]] = {}
    for key in _possible(kind, point, own):
        name = key[2] if key[2] in (NOT_DUE, OTHERS) else level(key[2])
        joined.setdefault((key[1], name), []).append(key)
    names = tuple(name for _, name in joined)
    parts = tuple(tuple(keys) for keys in joined.values())
    n = np.array([sum(own.get(key, 0) for key in keys) for keys in joined.values()], dtype=np.int64)
    return Layer(kind, point, names, parts, n)


def _possible(kind: str, point: str, own: dict[Key, int]) -> list[Key]:
    """Every fine cell there may be; a cell that nobody is in is published as 0, and is a part of others."""
    places = [(at, state) for at, states in FINE[kind].items() for state in states]
    keys = [(kind, at or point, state) for at, state in places]
    return [*keys, *(key for key in own if key not in set(keys))]


def _safe(layer: Layer, chosen: Sequence[Layer], elsewhere: Elsewhere, scored: Scored, limit: int) -> bool:
    """Whether a layer's cells, and what they tell beside other tables, are all 0 or over the limit."""
    if small(layer.n, limit).any():
        return False
    if layer.kind in DIVIDES and not _told_apart(chosen, DIVIDES[layer.kind]):
        return False
    return not any(small(found, limit).any() for found in _outside(layer, chosen, elsewhere, scored))


def _outside(layer: Layer, chosen: Sequence[Layer], elsewhere: Elsewhere, told: Scored) -> Iterator[Array]:
    """Differences between a layer's cells and the numbers in the rest of the report."""
    if layer.kind == TOGETHER:
        mature = layer.n[[bool(parts[0][2].split(APART)[0]) for parts in layer.parts]].sum()
        yield elsewhere.dues - mature
        yield layer.held(lambda key: key[2] in WHO_MAY_RESPOND) - elsewhere.met
    elif layer.kind in (SITUATION, "occupation", "mature_calendar"):
        # Whoever has met by an early week has responded by the day, or is in a younger course.
        young = chosen[0].held(lambda key: key[2].startswith(APART) and key[2] in WHO_MAY_RESPOND)
        responded = layer.held(lambda key: key[2].startswith("responded"))
        yield responded + young - elsewhere.met
        if layer.kind == "mature_calendar":
            seen = layer.held(lambda key: key[2] in ("responded", "not_responded"))
            yield seen + chosen[0].held(lambda key: key[2].startswith(APART)) - told.by(float(layer.point))
    elif layer.kind == LAST_KNOWN:
        yield from _unscored(layer, chosen, told)
    elif layer.kind == BOOSTERS:
        yield elsewhere.no_visits - layer.within(lambda key: key[2] == NO_VISITS)
        yield elsewhere.visits - layer.within(lambda key: key[2] in NUMBERS)
    elif layer.kind == "worse":
        scored = layer.held(lambda key: key[2] in ("worse", "not_worse"))
        yield scored - elsewhere.scored
    elif layer.kind == "safety_item" and layer.point == "last":
        yield layer.held(lambda key: key[2] in ("none", "some")) - elsewhere.asked
        yield layer.held(lambda key: key[2] == "some") - elsewhere.some


def _unscored(layer: Layer, chosen: Sequence[Layer], told: Scored) -> Iterator[Array]:
    """What the last scores of those without an end score tell, beside everyone who may have responded."""
    met = layer.held(lambda key: key[2] == "carried_met") + np.array([0.0, told.met_at_end])
    yield chosen[0].held(lambda key: key[2] in WHO_MAY_RESPOND) - met
    for other in chosen:
        if other.kind in (SITUATION, "occupation", "mature_calendar"):
            young = chosen[0].held(lambda key: key[2].startswith(APART) and key[2] in WHO_MAY_RESPOND)
            yield other.held(lambda key: key[2].startswith("responded")) + young - met
    scored = layer.held(lambda key: key[2] not in ("missing", NOT_DUE))
    yield np.array([told.ever - scored])
    yield scored + layer.held(lambda key: key[2] == NOT_DUE) - told.by()


def _rows(tally: Tally, chosen: Sequence[Layer]) -> pd.DataFrame:
    """Rows of a protected Tally's points: the cells shown; a partition that is not shown as one NaN."""
    first = tally.points.iloc[:1]
    rows = []
    shown = {(layer.kind, layer.point) for layer in chosen}
    axes = dict.fromkeys((TOGETHER, WHOLE_TRIAL, "judged", "overdue", AFTER_RESPONSE, BOOSTERS), "good_time")
    axes |= dict.fromkeys((SITUATION, "occupation", "mature_calendar"), "day")
    for layer in chosen:
        for name, parts, n in zip(layer.names, layer.parts, layer.n, strict=True):
            if n and name not in (NOT_DUE, OTHERS):
                rows.append((layer.kind, axes.get(layer.kind, "due"), parts[0][1], name, float(n)))
    for kind, point in sorted({(str(k), str(p)) for k, p in cells(tally)[["kind", "point"]].to_numpy()}):
        hidden = (kind, "") not in shown if kind == TOGETHER else (kind, point) not in shown
        if hidden:
            every = {
                TOGETHER: _everything(point),
            }.get(kind, JOIN.join(_states(kind)))
            rows.append((kind, axes.get(kind, "due"), point, every, np.nan))
    table = pd.DataFrame(rows, columns=["kind", "axis", "point", "state", "n"])
    return table.assign(
        instrument=str(first["instrument"].iloc[0]) if len(first) else "",
        criterion=str(first["criterion"].iloc[0]) if len(first) else "",
        given="",
    )


def _states(kind: str) -> list[str]:
    return [state for states in FINE[kind].values() for state in states]


def _everything(period: str) -> str:
    """The name of the cell that holds a whole period."""
    coarsest = LEVELS[TOGETHER][-1]
    return str(coarsest("responded|responded_before" if period == "mature" else "|responded_before"))


def _told_apart(chosen: Sequence[Layer], wanted: Collection[str]) -> bool:
    """Whether the whole shows how many are in these cells of mature courses: none is joined with another."""
    found = [{key[2] in wanted for key in parts} for parts in chosen[0].parts] if chosen else [{True, False}]
    return all(len(inside) == 1 for inside in found)


def _accounts(tally: Tally, chosen: Sequence[Layer], limit: int) -> pd.DataFrame:
    """Days of mature courses by what covered them, added up over all that could be judged."""
    names = [f"{name}_days" for name in EXPOSURES]
    values = tally.values[tally.values["variable"].isin(names) & (tally.values["point"] == "mature")]
    judged = next((layer for layer in chosen if layer.kind == "judged"), None)
    if judged is None or judged.held(lambda key: key[2] == "judged") <= limit or values.empty:
        return tally.values.iloc[:0]
    days = values.assign(n=values["n"] * values["value"], value=0)
    keys = [name for name in days.columns if name != "n"]
    total = days.groupby(keys, sort=True)["n"].sum().reset_index()
    return total.assign(variable=total["variable"] + ":sum", n=total["n"].astype("float64"))
