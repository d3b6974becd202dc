"""Who to look at, row by row: internal, and not an alert.

A worklist names patients. It shows what is on record on the as-of day and nothing later; it is for those who
treat them, and neither a diagnosis nor advice on dose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ketaoutcomes.definitions import MISSING, met
from ketaoutcomes.per_patient.courses import NEVER
from ketaoutcomes.per_patient.standing import ended, own_records
from ketaoutcomes.rows import row_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ketaoutcomes.per_patient.patients import Patients

Array = Any
COLUMNS = ("patient", "course", "site", "protocol", "instrument", "reason", "sessions", "days", "criterion")
REASONS = {
    "safety_item": "the last answer to the safety item was above 0, and no score has followed",
    "worse": "the last score is reliably worse than the baseline",
    "not_improved": "after session 4 or later, the last score is not reliably better than the baseline",
    "unscored": "no score since the last session, for longer than the protocol's window",
    "lapsed": "the planned series is not complete, and the last dose no longer covers the as-of day",
}
"""Why a course stands on the list, gravest first; `days` counts from the record the reason speaks of."""
ENOUGH_SESSIONS = 4
NEVER_ASKED = -NEVER  # below any day on record
NOTE = "Internal, row by row: do not pass it on. Not an alert: it shows only what is on record."


def worklist(p: Patients) -> pd.DataFrame:
    """The rows of one block: each patient's latest course, once for every reason that holds.

    Columns: patient, course, site, protocol, instrument, reason (a key of `REASONS`), sessions (doses so
    far), days (from the record the reason speaks of to the as-of day), criterion (the rule that was or was
    not met, where there is one). Courses that have ended, by the protocol's gap, are listed for the safety
    item alone. Row-level: do not share.
    """
    c = p.courses
    latest = np.flatnonzero(np.append(c.patient[1:] != c.patient[:-1], True)) if len(c) else np.arange(0)
    courses = row_tables.courses(p)
    parts = [
        _rows(courses, instrument, reason, rows, days, criterion)
        for instrument in p.plan.instruments
        for reason, rows, days, criterion in _found(p, instrument, latest)
    ]
    parts.append(_rows(courses, "", "lapsed", *_lapsed(p, latest), ""))
    return pd.concat(parts, ignore_index=True)


def in_order(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all blocks: gravest reason first, what is most recent first, then by patient."""
    table = pd.concat(parts, ignore_index=True)
    rank = table["reason"].map({name: place for place, name in enumerate(REASONS)})
    order = (
        table.assign(rank=rank).sort_values(["rank", "days", "patient", "instrument"], kind="stable").index
    )
    return table.loc[order].reset_index(drop=True)


def _found(p: Patients, instrument: str, rows: Array) -> Iterator[tuple[str, Array, Array, str]]:
    """What one instrument's scores say of these courses: reason, courses, days since, criterion."""
    c, j, base = p.courses, p.judged(instrument, "score"), p.baselines(instrument)
    cut = p.block.cut[c.patient]
    yield "safety_item", *_safety(p, instrument, rows), ""
    rows = rows[~ended(p, rows) & (base.ticks[rows] != MISSING)]
    low, at = own_records(p, rows, j.moments)
    scored = at >= low
    window = p.block.rule.numbers("session_window", 7)[c.protocol[rows]]
    since = cut[rows] - c.last_end[rows]
    after_last = np.zeros(len(rows), dtype=bool)
    after_last[scored] = j.time[at[scored]] > 2 * p.block.days.day[c.stop[rows[scored]] - 1]
    late = rows[~after_last & (since > window)]
    yield "unscored", late, cut[late] - c.last_end[late], ""
    rows, at = rows[scored], at[scored]
    days, enough = cut[rows] - (j.time[at] >> 1), (c.stop - c.start)[rows] >= ENOUGH_SESSIONS
    definitions = p.plan.definitions
    worsening = next(iter(definitions.worsening(instrument)), None)
    reliable = definitions.of_family(instrument, "reliable")
    judged = (("worse", worsening, 1, True), ("not_improved", reliable, 0, enough))
    for reason, criterion, wanted, own in judged:
        if criterion is not None:
            ticks = definitions.instrument(instrument).ticks
            hit = (met(criterion, base.ticks[rows], j.value[at], ticks) == wanted) & own
            yield reason, rows[hit], days[hit], criterion.name


def _safety(p: Patients, instrument: str, rows: Array) -> tuple[Array, Array]:
    """Latest courses whose patient's last record on the instrument answers its safety item above 0."""
    s, c = p.scores(instrument), p.courses
    own = np.flatnonzero((s.time >> 1) <= p.block.cut[s.patient])
    last = own[np.append(s.patient[own][1:] != s.patient[own][:-1], True)] if len(own) else own
    flagged = np.full(len(p), NEVER_ASKED, dtype=np.int64)
    yes = last[s.flag[last] > 0]
    flagged[s.patient[yes]] = s.time[yes] >> 1
    hit = rows[flagged[c.patient[rows]] > NEVER_ASKED]
    return hit, p.block.cut[c.patient[hit]] - flagged[c.patient[hit]]


def _lapsed(p: Patients, rows: Array) -> tuple[Array, Array]:
    """Unfinished series whose last dose no longer covers the as-of day, and how long ago its cover began."""
    c, rule = p.courses, p.block.rule
    carry = np.array([(one.carry or (NEVER, NEVER))[0] for one in rule.protocols] + [NEVER], dtype=np.int64)
    visits = rule.numbers("visits", 0)
    since = p.block.cut[c.patient[rows]] - c.last_end[rows]
    unfinished = c.inducted[rows] < visits[c.protocol[rows]]
    hit = rows[unfinished & (since > carry[c.protocol[rows]]) & ~ended(p, rows)]
    return hit, p.block.cut[c.patient[hit]] - c.last_end[hit]


def _rows(
    courses: pd.DataFrame, instrument: str, reason: str, rows: Array, days: Array, criterion: str
) -> pd.DataFrame:
    table = courses.take(rows)
    table = table.assign(instrument=instrument, reason=reason, days=np.asarray(days, dtype=np.int64))
    return table.assign(criterion=criterion)[list(COLUMNS)]
