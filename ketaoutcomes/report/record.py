"""What machines read: results.json holds the counts and the tables, manifest.json vouches for everything."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import numbers
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ketaoutcomes.results.wording import label

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.counts.tallies import Tally
    from ketaoutcomes.plan import Plan
    from ketaoutcomes.report.finished import Described
    from ketaoutcomes.report.meta import Meta

RESULTS_SCHEMA = 1
MANIFEST_SCHEMA = 1
DIGITS = 10  # decimals of a share or a mean: far beyond what any count of people tells


def results_json(
    tables: Mapping[str, Described],
    tallies: Mapping[str, Tally],
    meta: Meta,
    *,
    audience: str,
    profile: str | None,
    history: pd.DataFrame | None = None,
    steps: pd.DataFrame | None = None,
) -> bytes:
    """The bytes of results.json: the protected Tallies, and every table finished from them.

    `series` holds what the next report needs to be protected beside this one: `steps` and `history`, rows in
    the columns of `disclosure.Protection`; of `history`, every word once in `words`, its place in
    the rows. It is absent where there is no history.

    A hidden or absent number is `null`; in tables with a `reason` column that column says which.
    """
    content: dict[str, Any] = {
        "schema": RESULTS_SCHEMA, "title": meta.title, "as_of": meta.as_of, "dates": meta.dates,
        "audience": audience, "profile": profile,
        "tallies": {name: json.loads(tally.to_json()) for name, tally in tallies.items()},
        "tables": {name: _table(described) for name, described in tables.items()},
    }  # fmt: skip
    if history is not None:
        content["series"] = {"steps": _rows(steps), "history": _coded(history)}
    return _bytes(content)


def rows_of(coded: Mapping[str, Any]) -> list[list[Any]]:
    """The rows of a history as `results_json` writes it.

    >>> rows_of({"words": ["", "due"], "rows": [[0, 0, 1, 12.0], [1, 1, 0, None]]})
    [[0, '', 'due', 12.0], [1, 'due', '', None]]
    """
    words = coded["words"]
    return [[report, *(words[place] for place in places), n] for report, *places, n in coded["rows"]]


def _coded(history: pd.DataFrame) -> dict[str, Any]:
    """A history in a fourth of the room: every word once, rows of their places between report and number."""
    rows = _rows(history)
    words = sorted({word for _, *inner, _ in rows for word in inner})
    place = {word: at for at, word in enumerate(words)}
    found = [[report, *(place[word] for word in inner), _value(n)] for report, *inner, n in rows]
    return {"words": words, "rows": found}


def manifest_json(
    outputs: Mapping[str, bytes],
    *,
    plan: Plan,
    tallies: Mapping[str, Tally],
    meta: Meta,
    audience: str,
    profile: str | None,
    follows: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of manifest.json: inputs and outputs by hash, the plan, the versions.

    In a series `follows` names the report before: its as-of day, and the hash of its own manifest.

    `created` is there only where the environment variable SOURCE_DATE_EPOCH gives it, so that the same input
    gives the same bytes on any day.
    """
    headers = [tally.header for tally in tallies.values()]
    content = {
        "schema": MANIFEST_SCHEMA, "package": "ketaoutcomes", "as_of": meta.as_of, "dates": meta.dates,
        "audience": audience, "profile": profile, "numbers": headers[0].numbers,
        "inputs": [{"name": label(s.name), "rows": s.rows, "sha256": s.sha256} for s in meta.sources],
        "plan": {"sha256": plan.hash, "text": plan.canonical()}, "versions": dict(meta.versions),
        "outputs": {name: _vouched(data) for name, data in outputs.items()},
    }  # fmt: skip
    if meta.left_out:
        content["left_out"] = [label(name) for name in meta.left_out]
    if follows is not None:
        content["follows"] = dict(follows)
    created = _created()
    return _bytes(content | ({"created": created} if created else {}), indent=1)


def _rows(table: pd.DataFrame | None) -> list[list[Any]]:
    if table is None:
        return []
    rows: list[list[Any]] = table.astype(object).where(table.notna(), None).to_numpy().tolist()
    return rows


def _vouched(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _created() -> str | None:
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not epoch.isascii() or not epoch.isdigit() or int(epoch) > 253402300799:
        return None
    return datetime.datetime.fromtimestamp(int(epoch), datetime.UTC).isoformat()


def _table(described: Described) -> dict[str, Any]:
    table = described.table
    columns = [[_value(value) for value in table[name]] for name in table.columns]
    return {
        "title": described.title, "says": described.says, "columns": [str(name) for name in table.columns],
        "rows": [list(row) for row in zip(*columns, strict=True)],
    }  # fmt: skip


def _value(value: Any) -> Any:
    if isinstance(value, numbers.Real):
        number = round(float(value), DIGITS)
        if not math.isfinite(number):
            return None
        return int(number) if number.is_integer() else number
    return None if value is None else label(value) if str(value) else ""


def _bytes(content: Any, indent: int | None = None) -> bytes:
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, allow_nan=False, indent=indent)
    return (text + "\n").encode()
