"""Finished tables made by hand, with the columns of `results`, so that pages and charts are tested alone."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

CRITERIA = (
    ("phq9", "phq9_response50"), ("phq9", "phq9_remission_lt5"),
    ("pcl5", "pcl5_reliable15"), ("pcl5", "pcl5_below33"),
)  # fmt: skip
NAN = math.nan


def rate_row(
    axis: str,
    instrument: str,
    criterion: str,
    analysis: str,
    point: str,
    counts: tuple[float, float, float, float],
    **by: str,
) -> dict[str, Any]:
    """One row of `results.rates`; counts are due, given, assessed and met. NaN counts make a hidden row."""
    due, given, assessed, met = counts
    n = due if analysis == "nri" else assessed
    rate = met / n if n else NAN
    reason = "hidden" if math.isnan(met) or math.isnan(n) else "" if n else "nobody_due"
    half = NAN if reason else 1.96 * math.sqrt(rate * (1 - rate) / n)
    return {
        **by, "axis": axis, "instrument": instrument, "criterion": criterion, "kind": "current",
        "analysis": analysis, "point": point, "due": due, "given": given, "assessed": assessed,
        "met": met, "n": n, "rate": rate,
        "low": max(rate - half, 0.0), "high": min(rate + half, 1.0), "reason": reason,
    }  # fmt: skip


def rates(
    axis: str, points: dict[str, tuple[int, float]], due: int, criteria: Any = CRITERIA, **by: str
) -> pd.DataFrame:
    """Rates at each point, given how many are scored there and the share of those that responds."""
    rows = []
    for index, (instrument, criterion) in enumerate(criteria):
        everyone = due if instrument == "phq9" else due * 2 // 5
        for point, (scored, share) in points.items():
            assessed = scored * everyone // max(due, 1)
            met = int(assessed * share * (1.0, 0.52, 0.9, 0.71)[index])
            counts = (everyone, everyone, assessed, met)
            rows += [
                rate_row(axis, instrument, criterion, a, point, counts, **by) for a in ("nri", "observed")
            ]
    return pd.DataFrame(rows)


def hidden(table: pd.DataFrame, where: pd.Series) -> pd.DataFrame:
    """The same table with some rows hidden, as a protected Tally would give them."""
    numbers = ["due", "given", "assessed", "met", "n", "rate", "low", "high"]
    table = table.astype(dict.fromkeys(numbers, "float64") | {"reason": object})
    table.loc[where, numbers] = NAN
    table.loc[where, "reason"] = "hidden"
    return table


SESSIONS = {
    "iv6": (412, {
        "1": (389, 0.18), "2": (371, 0.31), "3": (352, 0.40),
        "4": (340, 0.47), "5": (322, 0.53), "6": (309, 0.57),
    }),
    "im": (148, {"1": (139, 0.15), "2": (127, 0.29), "3": (118, 0.38), "4": (106, 0.45)}),
    "esketamine": (131, {str(k): (128 - 5 * k, 0.08 + 0.055 * k) for k in range(1, 9)}),
}  # fmt: skip
WEEKS = {
    "1": (655, 0.24),
    "2": (640, 0.36),
    "4": (612, 0.45),
    "6": (580, 0.49),
    "8": (541, 0.50),
    "12": (422, 0.48),
}


def by_session() -> pd.DataFrame:
    """Three schedules with sessions; one point of the smallest is hidden."""
    table = pd.concat(
        [rates("session", points, due, protocol=name) for name, (due, points) in SESSIONS.items()]
    )
    table = table.reset_index(drop=True)
    small = (table["protocol"] == "im") & (table["criterion"] == "pcl5_below33") & (table["point"] == "1")
    return hidden(table, small)


def by_site() -> pd.DataFrame:
    """Three sites, one of them too small to show."""
    parts = [
        rates("end", {"end": (scored, share)}, due, site=site)
        for site, due, scored, share in (
            ("North", 401, 322, 0.54),
            ("River", 330, 241, 0.49),
            ("South", 81, 44, 0.4),
        )
    ]
    table = pd.concat(parts, ignore_index=True)
    return hidden(table, (table["site"] == "South") & (table["instrument"] == "pcl5"))


def by_month() -> pd.DataFrame:
    """Six months, the first of them too small to show."""
    months = {f"2026-{month:02d}": (60 + month, 0.45 + month / 100) for month in range(4, 10)}
    table = rates("month", months, 90)
    return hidden(table, table["point"] == "2026-04")


def retention() -> pd.DataFrame:
    """Who received each session, by protocol."""
    rows = []
    planned = {
        "iv6": (0, 3, 7, 10, 14, 17),
        "im": (0, 7, 14, 21),
        "esketamine": (0, 3, 7, 10, 14, 17, 21, 24),
    }
    for name, days in planned.items():
        due = SESSIONS[name][0]
        for session, day in enumerate(days, start=1):
            reached = due - int(due * 0.035 * (session - 1))
            rate, half = reached / due, 0.03 if session > 1 else 0.0
            rows.append({
                "protocol": name, "session": session, "planned_day": day,
                "median_day": float(day + session // 3), "due": due, "reached": reached,
                "rate": rate, "low": rate - half, "high": min(rate + half, 1.0),
            })  # fmt: skip
    return pd.DataFrame(rows)


def measured() -> pd.DataFrame:
    """Who was scored, by instrument."""
    steps = ("started", "baseline", "any_score", "end_score")
    numbers = {"phq9": (902, 812, 780, 607), "pcl5": (902, 325, 310, 236)}
    rows = [
        (i, step, n, ns[0], n / ns[0]) for i, ns in numbers.items() for step, n in zip(steps, ns, strict=True)
    ]
    return pd.DataFrame(rows, columns=["instrument", "step", "n", "of", "rate"]).assign(low=NAN, high=NAN)


def timing() -> pd.DataFrame:
    """Days from dose to score, by protocol and session."""
    return pd.DataFrame([
        {"protocol": name, "instrument": "phq9", "session": int(point), "n": scored, "median_days": 3.0}
        for name, (_, points) in SESSIONS.items() for point, (scored, _) in points.items()
    ])  # fmt: skip


def trajectory() -> pd.DataFrame:
    """Mean scores at baseline and by week."""
    falls = {"0": 0.0, "1": 0.2, "2": 0.3, "4": 0.42, "6": 0.46, "8": 0.47, "12": 0.45}
    rows = [
        (
            instrument,
            "week" if int(point) else "baseline",
            point,
            812 - 20 * int(point),
            start * (1 - fall),
            sd,
        )
        for instrument, start, sd in (("phq9", 17.2, 4.8), ("pcl5", 49.1, 11.0))
        for point, fall in falls.items()
    ]
    return pd.DataFrame(rows, columns=["instrument", "axis", "point", "n", "mean", "sd"])


def flow() -> pd.DataFrame:
    """Rows, patients and courses, in the columns of a Tally's flow."""
    rows: list[tuple[str, str, str, str, float]] = [
        ("row", "", "input", "kept", 9120), ("row", "", "input", "duplicate", 31),
        ("patient", "", "patients", "with_course", 1196), ("patient", "", "patients", "no_dose", NAN),
        ("course", "phq9", "courses", "eligible", 902), ("course", "phq9", "courses", "no_baseline", 121),
        ("course", "phq9", "courses", "below_gate", 142), ("course", "phq9", "courses", "later_course", 88),
        ("course", "phq9", "due", "due", 812), ("course", "phq9", "due", "not_due", 90),
        ("course", "pcl5", "courses", "eligible", 361), ("course", "pcl5", "courses", "no_baseline", 704),
        ("course", "pcl5", "courses", "below_gate", 100), ("course", "pcl5", "courses", "later_course", 88),
        ("course", "pcl5", "due", "due", 325), ("course", "pcl5", "due", "not_due", 36),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["unit", "instrument", "step", "reason", "n"])
    return table.assign(people=table["n"])


def everything() -> dict[str, pd.DataFrame]:
    """Every table of a report, by name."""
    end = rates("end", {"end": (607, 0.52)}, 812)
    protocols = [
        rates("end", {"end": (due * 3 // 4, 0.5)}, due, protocol=name) for name, (due, _) in SESSIONS.items()
    ]
    return {
        "rates_session": by_session(), "rates_week": rates("week", WEEKS, 812), "rates_end": end,
        "rates_end_by_protocol": pd.concat(protocols, ignore_index=True), "rates_end_by_site": by_site(),
        "rates_month": by_month(), "retention": retention(), "timing": timing(), "measured": measured(),
        "trajectory": trajectory(), "flow": flow(),
    }  # fmt: skip
