"""The last report of a series, read from its folder: what it told, and what names it for an auditor."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ketaoutcomes.disclosure import DisclosureError, Protection
from ketaoutcomes.report.audit import NotAReport, is_as_written
from ketaoutcomes.report.folder import MANIFEST
from ketaoutcomes.report.record import RESULTS_SCHEMA, rows_of
from ketaoutcomes.report.told_by import NAME

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

BEGIN = (
    "To begin a new series, leave out --previous; what two series tell of the same patients is not protected "
    "beside each other, so withdraw the old one or keep it in the house"
)
TABLES = {
    "by_site": "rates by site",
    "good_time_by_site": "good time by site",
    "good_time": "good time",
    "safety_by_session": "side effects by session",
    "durability": "durability",
}
"""What a report's Tallies are of, where a report may be without them."""


class NoPreviousReport(ValueError):
    """There is no report where the last one of the series was said to be."""


@dataclass(frozen=True, eq=False)
class Last:
    """A shared report that another may follow.

    `tallies` are those it told, by name; `sha256` is the hash of its manifest, which vouches for the rest.
    `coarsened` says by which periods and sites it told them (`disclosure.coarsen`).
    """

    tallies: Mapping[str, Tally]
    steps: pd.DataFrame
    history: pd.DataFrame
    as_of: str
    sha256: str
    coarsened: pd.DataFrame | None = None

    @property
    def follows(self) -> dict[str, str]:
        """What the next report's manifest says of it."""
        return {"as_of": self.as_of, "manifest_sha256": self.sha256}

    def protection(self, names: Sequence[str]) -> Protection:
        """What it told, as the next report of these tables is protected beside it.

        Raises `DisclosureError` where the next report has other tables.
        """
        _check_tables(self.tallies, names)
        return Protection([self.tallies[name] for name in names], self.steps, self.history)


def last_report(folder: str | Path) -> Last:
    """A shared report as it was written to a folder.

    Raises `NoPreviousReport` where the folder holds none, and `DisclosureError` where nothing can follow what
    it holds: an internal report, one of another version's schema, or one that is not as it was written.
    """
    path = Path(folder) / "results.json"
    try:
        text = path.read_bytes()
    except OSError:
        raise NoPreviousReport(
            f"{folder} holds no report: --previous names the folder of the last shared report. The first "
            "report of a series follows none: leave --previous out"
        ) from None
    content = _content(text, path)
    try:
        if is_as_written(folder, path.name):
            return _read(content, hashlib.sha256((Path(folder) / MANIFEST).read_bytes()).hexdigest())
    except NotAReport as error:
        raise DisclosureError(f"{error}. {BEGIN}") from None
    except OSError:
        raise DisclosureError(f"{Path(folder) / MANIFEST} cannot be read. {BEGIN}") from None
    except (KeyError, TypeError, ValueError):
        raise DisclosureError(_not_shared(path)) from None
    raise DisclosureError(
        f"{path} is not as the report's manifest has it: give the report as it was written. {BEGIN}"
    )


def _content(text: bytes, path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(text)
        schema = content["schema"]
    except (KeyError, TypeError, ValueError):
        raise DisclosureError(_not_shared(path)) from None
    if isinstance(schema, int) and schema != RESULTS_SCHEMA:
        raise DisclosureError(
            f"{path} is of schema {schema}; this version reads and writes schema {RESULTS_SCHEMA}. {BEGIN}"
        )
    if "series" not in content or "tallies" not in content:
        raise DisclosureError(_not_shared(path))
    return content


def _not_shared(path: Path) -> str:
    return f"{path} is not of a shared report of this version: a report can follow only such a one. {BEGIN}"


def _read(content: dict[str, Any], sha256: str) -> Last:
    names = tuple(content["tallies"])
    series = content["series"]
    own = {
        "tallies": [content["tallies"][name] for name in names],
        "steps": series["steps"], "history": rows_of(series["history"]),
    }  # fmt: skip
    told = Protection.from_json(json.dumps(own))
    tallies = dict(zip(names, told.tallies, strict=True))
    by = content["tables"].get(NAME)
    coarsened = None if by is None else pd.DataFrame(by["rows"], columns=by["columns"], dtype=object)
    return Last(tallies, told.steps, told.history, str(content["as_of"]), sha256, coarsened)


def _check_tables(before: Iterable[str], names: Sequence[str]) -> None:
    before = set(before)
    new = [TABLES.get(name, name) for name in names if name not in before]
    gone = [TABLES.get(name, name) for name in sorted(before) if name not in names]
    if not new and not gone:
        return
    said = []
    if new:
        said.append(f"this one has {', '.join(new)} and it had not")
    if gone:
        said.append(f"it had {', '.join(gone)} and this one has not")
    sites = any("by_site" in name for name in before ^ set(names))
    why = " Sites are told apart once the records name more than one." * sites
    raise DisclosureError(
        f"the last report was made of other tables: {'; '.join(said)}.{why} Beside it these could give away "
        f"a few people. {BEGIN}"
    )
