"""Results of a protected Tally: what is hidden stays hidden, and what is shown is what was counted."""

from __future__ import annotations

import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes.counts.tallies import KEYS, Header, Tally
from ketaoutcomes.disclosure import protect
from ketaoutcomes.plan import Plan
from ketaoutcomes.results import course_results
from ketaoutcomes.simulate import clinic

NAN = float("nan")
ALL = "no_baseline+baseline_only+some+end"


def cascade(cells: dict[str, float]) -> list[float | None]:
    """The counts of the measurement cascade from a protected flow with these reasons; None where hidden."""
    plan = Plan()
    header = Header(
        plan.canonical(), plan.hash, "2026-10-31", (), ("end",), plan.criteria.primary, ("current",)
    )
    rows = [("course", "phq9", "measured", reason, n, n) for reason, n in cells.items()]
    flow = pd.DataFrame(rows, columns=[*KEYS["flow"], "n", "people"])
    none = {name: pd.DataFrame(columns=[*KEYS[name], "n"]) for name in ("points", "values", "transitions")}
    table = course_results.measured(Tally(header, flow, protected="cms11", **none))
    return [None if pd.isna(n) else int(n) for n in table["n"]]


@pytest.mark.parametrize(
    ("cells", "counts"),
    [
        ({"no_baseline": 74, "baseline_only": 40, "some": 192, "end": 756}, [1062, 988, 948, 756]),
        # The line between two steps is hidden: the step between them is, and no other.
        ({"no_baseline+baseline_only": 114, "some": 192, "end": 756}, [1062, None, 948, 756]),
        ({"no_baseline": 74, "baseline_only+some": 232, "end": 756}, [1062, 988, None, 756]),
        ({"no_baseline": 74, "baseline_only": 40, "some+end": 948}, [1062, 988, 948, None]),
        # Even the number of those who started is hidden: a step is known where a cell begins with it.
        ({ALL: NAN, "baseline_only": 40, "some": 192, "end": 756}, [None, 988, 948, 756]),
        ({ALL: NAN, "some": 192, "end": 756}, [None, None, 948, 756]),
        ({ALL: NAN}, [None, None, None, None]),
    ],
)
def test_the_cascade_hides_a_step_whose_line_is_hidden(
    cells: dict[str, float], counts: list[float | None]
) -> None:
    assert cascade(cells) == counts


@pytest.fixture(scope="module")
def pairs() -> dict[str, tuple[Tally, Tally]]:
    """The Tallies of a report, each as it was counted and as it is published beside the others."""
    study = ko.Study(ko.Cohort.from_frames(*clinic().frames()))
    raw = {
        "everyone": study.tally(at=("week", "end"), kind="current"),
        "by_protocol": study.tally(by="protocol", at=("session", "end"), kind="current"),
    }
    return dict(zip(raw, zip(raw.values(), protect(list(raw.values())), strict=True), strict=True))


@pytest.mark.parametrize(
    ("verb", "of"),
    [
        ("timing", "by_protocol"),
        ("retention", "by_protocol"),
        ("trajectory", "everyone"),
        ("measured", "everyone"),
    ],
)
def test_what_is_shown_is_what_was_counted(pairs: dict[str, tuple[Tally, Tally]], verb: str, of: str) -> None:
    raw, shown = (getattr(course_results, verb)(tally) for tally in pairs[of])
    keys = [name for name in ("protocol", "instrument", "axis", "point", "session", "step") if name in raw]
    both = shown.merge(raw, on=keys, suffixes=("", "_raw"))
    assert len(both) == len(shown) > 0
    for name in set(raw) - set(keys):
        there = both[name].notna()
        assert there.any()
        assert both.loc[there, name].to_numpy() == pytest.approx(both.loc[there, f"{name}_raw"].to_numpy())
