"""Tables some figures need beyond those a study's verbs give: each takes finished tables and returns one.

`band_shares`, `completeness`, `consort` and `mean_interval` are computed from counts and may be published as
far as the tables they are made of. `changes` and `lines` hold people's own scores: row-level, do not share.
`design` shows what a plan says, no data at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from ketaoutcomes.definitions import Criterion, Protocol
    from ketaoutcomes.plan import Plan

BEFORE = "before"
"""The point at which `band_shares` shows the bands at baseline."""

_SCORED = ("met", "not_met")
_LEFT_OUT = ("not_due", "not_scheduled")


def band_shares(bands: pd.DataFrame) -> pd.DataFrame:
    """The share of people in each severity band, before treatment and at each point, of all those due.

    `bands` is a `study.bands()` table. One row per group, axis, instrument, point and band, in their order;
    columns band (also `unscored`), people, n (all due at the point) and rate. The point `before` holds the
    bands at baseline of those due at the first point.

    >>> import pandas as pd
    >>> row = {"axis": "end", "instrument": "phq9", "point": "end", "n": 10}
    >>> table = band_shares(pd.DataFrame([
    ...     row | {"band_from": "severe", "band_to": "severe", "people": 4},
    ...     row | {"band_from": "severe", "band_to": "unscored", "people": 6},
    ... ]))
    >>> table[["point", "band", "people", "rate"]].values.tolist()
    [['before', 'severe', 10.0, 1.0], ['end', 'severe', 4.0, 0.4], ['end', 'unscored', 6.0, 0.6]]
    """
    keys = list(bands.columns[: list(bands.columns).index("point")])
    first = bands[bands["point"] == bands.groupby(keys, sort=False, dropna=False)["point"].transform("first")]
    parts = [
        first.assign(point=BEFORE).rename(columns={"band_from": "band"}),
        bands.rename(columns={"band_to": "band"}),
    ]
    rows = pd.concat([part[[*keys, "point", "band", "people"]] for part in parts], ignore_index=True)
    table = _added(rows, [*keys, "point", "band"], "people")
    whole = _added(table, [*keys, "point"], "people").rename(columns={"people": "n"})
    table = table.merge(whole, on=[*keys, "point"], how="left")
    order = table.groupby(keys, sort=False, dropna=False).ngroup()
    table = table.iloc[np.argsort(order.to_numpy(), kind="stable")].reset_index(drop=True)
    return table.assign(rate=_ratio(table["people"], table["n"]))


def completeness(rates: pd.DataFrame) -> pd.DataFrame:
    """How many of those due were scored, by instrument and point.

    `rates` is a `study.rates()` table of one axis. One row per group, instrument and point; columns due,
    assessed (scored there) and share. The criteria of an instrument share one window, so the first stands for
    all of them. A protocol without sessions has no rows by session.

    >>> import pandas as pd
    >>> table = completeness(pd.DataFrame({"axis": ["end"], "instrument": ["phq9"], "criterion": ["a"],
    ...     "kind": ["current"], "analysis": ["nri"], "point": ["end"], "due": [80], "assessed": [60]}))
    >>> table[["due", "assessed", "share"]].values.tolist()
    [[80.0, 60.0, 0.75]]
    """
    keys = [*rates.columns[: list(rates.columns).index("criterion")], "point"]
    asked = rates[rates["point"].astype(bool)]  # a protocol without sessions has no point to be scored at
    table = asked.drop_duplicates(keys)[[*keys, "due", "assessed"]].reset_index(drop=True)
    return table.assign(share=_ratio(table["assessed"], table["due"]))


def consort(flow: pd.DataFrame, rates: pd.DataFrame | None = None, *, instrument: str) -> pd.DataFrame:
    """The steps from all courses to those scored at the end, with who left between them and why.

    `flow` is a `study.flow()` table without grouping; `rates`, if given, one of `at="end"`, adds who was
    scored there. One row per step (reason blank) and per reason for leaving before it: step, reason, n.

    >>> table = consort(study.flow(), instrument="phq9")
    >>> table[table["reason"] == ""][["step", "n"]].values.tolist()
    [['courses', 1257.0], ['eligible', 1052.0], ['due', 930.0]]
    """
    own = flow[(flow["unit"] == "course") & (flow["instrument"] == instrument)]
    if own.empty:
        raise ValueError(f"this flow has no courses of {instrument}: name an instrument the plan judges")
    rows: list[tuple[str, str, Any]] = []
    for step, kept in (("courses", "eligible"), ("due", "due")):
        steps = own[own["step"] == step]
        if step == "courses":
            rows.append(("courses", "", np.sum(steps["n"].to_numpy(dtype=float))))
        left = steps[steps["reason"] != kept].sort_values("reason", kind="stable")
        rows += [(kept, str(reason), n) for reason, n in zip(left["reason"], left["n"], strict=True) if n]
        rows.append((kept, "", np.sum(steps.loc[steps["reason"] == kept, "n"].to_numpy(dtype=float))))
    if rates is not None:
        end = rates[(rates["axis"] == "end") & (rates["instrument"] == instrument)].iloc[0]
        rows += [("scored", "unscored", end["due"] - end["assessed"]), ("scored", "", end["assessed"])]
    return pd.DataFrame(rows, columns=["step", "reason", "n"]).astype({"n": float})


def mean_interval(trajectory: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """A `study.trajectory()` table with the confidence interval of each mean: columns low and high.

    Student's t with n - 1 degrees of freedom; NaN where fewer than two were scored or a number is hidden.

    >>> import pandas as pd
    >>> table = mean_interval(pd.DataFrame({"n": [25, 1], "mean": [10.0, 9.0], "sd": [5.0, float("nan")]}))
    >>> table.round(3)[["low", "high"]].values.tolist()
    [[7.936, 12.064], [nan, nan]]
    """
    from scipy.stats import t

    n, mean, sd = (trajectory[name].to_numpy(dtype=float) for name in ("n", "mean", "sd"))
    several = np.where(n > 1, n, np.nan)
    half = t.ppf(0.5 + level / 2, several - 1) * sd / np.sqrt(several)
    return trajectory.assign(low=mean - half, high=mean + half)


def changes(points: pd.DataFrame, baselines: pd.DataFrame, criterion: Criterion) -> pd.DataFrame:
    """Each course's change from baseline to one point, greatest fall last: row-level, do not share.

    `points` is a `study.points()` table of one point and `criterion`, `baselines` is `study.baselines`. One
    row per course due: patient, course, criterion, state, baseline, score, change (points, blank where
    unscored), percent (change in percent of the baseline), unit (what the criterion looks at: percent or
    points) and threshold (the change from which on it is met; blank where it judges something else).

    >>> response = study.plan.definitions.criterion("phq9_response50")
    >>> table = changes(study.points(at="end", criteria=response.name), study.baselines, response)
    >>> len(table), int(table["change"].notna().sum()), float(table["threshold"].iloc[0])
    (930, 716, -50.0)
    """
    own = points[(points["criterion"] == criterion.name) & ~points["state"].isin(_LEFT_OUT)]
    if own.duplicated(["patient", "course"]).any():
        raise ValueError('a change is of one point: give points(at="end"), or choose one point and one kind')
    keys = ["patient", "course", "instrument"]
    table = own.merge(baselines[[*keys, "baseline"]], on=keys, how="left")
    scored = table["state"].isin(_SCORED).to_numpy()
    baseline, score = (table[name].to_numpy(dtype=float) for name in ("baseline", "score"))
    change = np.where(scored, score - baseline, np.nan)
    percent = np.divide(100 * change, baseline, out=np.full(len(change), np.nan), where=baseline > 0)
    unit = "percent" if criterion.rule == "fall_percent" else "points"
    judged = criterion.rule in {"fall_percent", "fall_points"}
    found = table.assign(
        score=np.where(scored, score, np.nan),
        change=change,
        percent=percent,
        unit=unit,
        threshold=-float(criterion.value) if judged else np.nan,
    )
    order = np.lexsort((found["course"], found["patient"], -(percent if unit == "percent" else change)))
    columns = ["patient", "course", "criterion", "point", "state", "baseline", "score", "change", "percent"]
    return found[[*columns, "unit", "threshold"]].iloc[order].reset_index(drop=True)


def lines(points: pd.DataFrame, baselines: pd.DataFrame) -> pd.DataFrame:
    """Each course's baseline and its score at each point of one axis: row-level, do not share.

    `points` is a `study.points()` table of one criterion, `baselines` is `study.baselines`. One row per
    course and scored point: patient, course, instrument, axis (`baseline` for the first), point and score.

    >>> table = lines(study.points(at="end", criteria="phq9_response50"), study.baselines)
    >>> table["point"].value_counts().to_dict()
    {'0': 716, 'end': 716}
    """
    keys = ["patient", "course", "instrument"]
    at = points[points["state"].isin(_SCORED)]
    first = baselines.merge(at[keys].drop_duplicates(), on=keys).rename(columns={"baseline": "score"})
    columns = [*keys, "axis", "point", "score"]
    start = first.assign(axis="baseline", point="0")[columns]
    return pd.concat([start, at[columns]], ignore_index=True).sort_values(
        keys, kind="stable", ignore_index=True
    )


def design(plan: Plan, protocol: Protocol) -> pd.DataFrame:
    """When scores are looked for under a plan, in days from the first dose, if every session is on time.

    One row per window: axis (baseline, session, end, week, mature), point, from_day, to_day, and day (the
    planned session, the day aimed at). Windows of a real course move with its doses; `mature` is the day from
    which on a course is judged whatever happened in it.

    >>> import ketaoutcomes as ko
    >>> plan = ko.Plan()
    >>> table = design(plan, plan.definitions.protocols["iv6"])
    >>> table[table["axis"].isin(["baseline", "end", "mature"])].values.tolist()
    [['baseline', '', -14, 0, 0], ['end', 'end', 18, 48, 31], ['mature', '', 66, 66, 66]]
    """
    rows = [("baseline", "", -plan.baseline.within_days, 0, 0)]
    days = protocol.planned_days
    window = protocol.session_window or 0
    for number, day in enumerate(days, start=1):
        until = min([day + window, *days[number : number + 1]])
        rows.append(("session", str(number), day, until, day))
    margin = plan.points.week_margin_days
    if protocol.end_week:
        middle = 7 * protocol.end_week
        rows.append(("end", "end", middle - margin, middle + margin, middle))
    elif days:
        earliest, ideal, latest = (days[-1] + offset for offset in plan.points.end_days)
        rows.append(("end", "end", earliest, latest, ideal))
    rows += [
        ("week", str(week), 7 * week - margin, 7 * week + margin, 7 * week) for week in plan.points.weeks
    ]
    if protocol.maturity:
        rows.append(("mature", "", protocol.maturity, protocol.maturity, protocol.maturity))
    return pd.DataFrame(rows, columns=["axis", "point", "from_day", "to_day", "day"])


def _added(table: pd.DataFrame, keys: list[str], column: str) -> pd.DataFrame:
    """Sums of one column by keys, in their order; a hidden part makes its sum hidden."""
    code = table.groupby(keys, sort=False, dropna=False).ngroup().to_numpy()
    found = table.drop_duplicates(keys)[keys].reset_index(drop=True)
    # Not pandas' sum, which would skip what is hidden.
    return found.assign(**{column: np.bincount(code, table[column].to_numpy(dtype=float), len(found))})


def _ratio(part: pd.Series[Any], whole: pd.Series[Any]) -> Any:
    of = whole.to_numpy(dtype=float)
    return np.divide(part.to_numpy(dtype=float), of, out=np.full(len(of), np.nan), where=of > 0)
