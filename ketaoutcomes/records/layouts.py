"""Scores of which some rows hold questionnaires side by side and others one each, brought to one layout."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ketaoutcomes.records.coding import text_codes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ketaoutcomes.definitions import Instrument
    from ketaoutcomes.records.assembly import Findings

_LONG = re.compile(r"score|item_[0-9]+")


def one_layout(frame: pd.DataFrame, instruments: Mapping[str, Instrument], found: Findings) -> pd.DataFrame:
    """Score rows all wide, in their order, where some came wide and others long; else the frame as it is.

    Two files of one cohort may differ so. A long row of no instrument known here is set aside (D13), as it is
    where every row is long; a wide row without a questionnaire is none of that.
    """
    own = {one.id: [f"{one.id}_{item}" for item in range(1, one.items + 1)] for one in instruments.values()}
    wide = [name for total, items in own.items() for name in (total, *items) if name in frame]
    if "instrument" not in frame or not wide:
        return frame
    long = [name for name in frame.columns if _LONG.fullmatch(str(name))]
    codes, labels = text_codes(frame["instrument"], lower=True)
    answered = frame[long].notna().any(axis=1).to_numpy()
    known = np.array([label in own for label in labels] + [False])[codes]
    is_long = (codes >= 0) | answered
    stray = ~known & is_long
    found.rows(frame, "scores", stray, "instrument", "D13", "quarantined")
    result = frame.drop(columns=["instrument", *long])
    for name in wide:  # a long row speaks of its own instrument only
        result[name] = result[name].mask(is_long)
    for code, label in enumerate(labels):
        mine = codes == code
        given = [name for name in long if label in own and frame.loc[mine, name].notna().any()]
        items = [name for name in given if name != "score"]
        if items and not {f"item_{item}" for item in range(1, len(own[label]) + 1)} <= set(long):
            message = f"scores: {instruments[label].title} has {len(own[label])} items; some have no column"
            found.refuse("scores", "item_1", "G13", message)
            continue
        ours = {"score": label} | {f"item_{at}": name for at, name in enumerate(own.get(label, ()), 1)}
        for theirs, name in ours.items():
            if theirs in given or (items and theirs != "score"):
                before = result[name] if name in result else pd.Series(np.nan, index=result.index)
                result[name] = before.mask(mine, frame[theirs])
    return result
