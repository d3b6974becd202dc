"""A study's verb about safety: asks for counts, and hands them to a finished table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import pandas as pd

from ketaoutcomes.results.safety_results import safety

if TYPE_CHECKING:
    from ketaoutcomes.counts.tallies import Tally

Names = str | Sequence[str] | None


class Studied(Protocol):
    """What this verb needs of a study."""

    def tally(self, *, by: Names = ..., at: Names = ..., tables: Sequence[str] = ...) -> Tally:
        """The counts."""


class SafetyVerbs:
    """The verb of `Study` that counts side effects and worsening. Not a pharmacovigilance system."""

    def safety(self: Studied, *, by: Names = None, level: float | None = None) -> pd.DataFrame:
        """Side effects by session and per person, who got worse, and the safety item, of those on record.

        Rows of axis `session` come by protocol, as a session is a session of a protocol; those of axis
        `course` count each person once (`protocol` blank unless grouped by it). What was not recorded is in
        no denominator and stands under `not_recorded`. Columns as `safety_results.safety` has them.

        >>> table = study.safety()
        >>> first = table.query("protocol == 'iv6' and measure == 'dissociation' and point == '1'")
        >>> first[["of", "n", "not_recorded", "count"]].astype(int).values.tolist()
        [[530, 493, 37, 340]]
        """
        persons = safety(self.tally(by=by, at="end", tables=("safety",)), level=level)
        sessions = safety(self.tally(by=by, at="session", tables=("safety",)), level=level)
        if "protocol" not in persons:
            persons.insert(0, "protocol", "")
        return pd.concat([sessions, persons[sessions.columns]], ignore_index=True)
