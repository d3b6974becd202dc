"""Response and remission by session: this package, vectorised pandas (twice), polars lazy and DuckDB SQL.

The numbers: PHQ-9 from its items (one or two missing: prorated); courses of dose days with no gap above 91
days; baseline: the last score in the 14 days up to the first dose; first course with a baseline of 10 or
more; due: 66 days since the first dose by the as-of day; session k of 6 exists if given within 35 days; its
score is the last one after dose k, up to the next dose day, within 7 days. Response: at least halved;
remission: below 5.

The others are written for this one question and trust their input: no ranges checked, no duplicates or
conflicts looked for, no state but met, assessed, given and due. Each is given the frame it likes best.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sessions import AS_OF, ITEMS

GAP, LIMIT, WINDOW, MATURITY, LOOKBACK, GATE, SESSIONS = 91, 35, 7, 66, 14, 10, 6
CRITERIA = ("phq9_response50", "phq9_remission_lt5")

Counts = list[list[Any]]  # criterion, session, due, given, assessed, met


# --- this package ----------------------------------------------------------------------------------------


def package_load(path: Path) -> Any:
    """A default pandas frame, items as float64."""
    import pandas as pd

    return pd.read_parquet(path)


def package_rates(frame: Any) -> Counts:
    """Cohort, courses, states, Tally, rates."""
    import ketaoutcomes as ko

    study = ko.Study(ko.Cohort.from_frames(frame), as_of=AS_OF)
    table = study.rates(at="session", criteria=list(CRITERIA), analysis=["nri", "observed"])
    nri = table[table["analysis"] == "nri"]
    return sorted(
        [row.criterion, int(row.point), int(row.n), int(row.given), int(row.assessed), int(row.met)]
        for row in nri.itertuples()
    )


# --- pandas ----------------------------------------------------------------------------------------------


def tuned_pandas_rates(frame: Any) -> Counts:
    """As `pandas_rates`, with patients numbered first, so that no sort or group touches text."""
    import pandas as pd

    return pandas_rates(frame, pd.factorize(frame["patient"])[0])


def pandas_rates(frame: Any, patients: Any = None) -> Counts:
    """Vectorised pandas: sorted once, grouped shifts and forward fills; no apply, no row loops."""
    import numpy as np
    import pandas as pd

    answered = frame[ITEMS].notna().sum(axis=1)
    total = (frame[ITEMS].sum(axis=1) * 9 / answered).where(answered >= 7)
    d = pd.DataFrame({
        "patient": frame["patient"] if patients is None else patients,
        "day": frame["date"].to_numpy().astype("datetime64[D]").astype(np.int64),
        "dosed": frame["dose"].to_numpy() > 0,
        "total": total.to_numpy(),
    })  # fmt: skip
    as_of = int(np.datetime64(AS_OF, "D").astype(np.int64))
    d = d[d["day"] <= as_of].sort_values(["patient", "day"], ignore_index=True)
    by = d["patient"]
    dose_day = d["day"].where(d["dosed"])
    previous_dose = dose_day.groupby(by).ffill().groupby(by).shift()
    starts = d["dosed"] & ~(d["day"] - previous_dose <= GAP)
    d["course"] = starts.cumsum()
    d["first"] = d["day"].where(starts).groupby(by).ffill()
    d["k"] = d["dosed"].groupby(d["course"]).cumsum()
    d["previous_dose"] = previous_dose
    score_day = d["day"].where(d["total"].notna()).groupby(by).ffill()
    last_score = d["total"].groupby(by).ffill()
    courses = pd.DataFrame({
        "patient": by, "course": d["course"], "first": d["first"],
        "baseline": last_score.where(d["day"] - score_day <= LOOKBACK),
    })[starts]  # fmt: skip
    counted = courses[courses["baseline"] >= GATE].drop_duplicates("patient")
    counted = counted[counted["first"] + MATURITY <= as_of]
    induction = d[d["dosed"] & (d["k"] <= SESSIONS) & (d["day"] - d["first"] <= LIMIT)]
    given = induction.loc[induction["course"].isin(counted["course"]), "k"].value_counts()
    # A score belongs to the last dose before its day: on a dose day, that is the dose before.
    after = d["dosed"].to_numpy()
    belongs = d.assign(k=d["k"] - after, course=d["course"] - starts)
    previous_first = d["first"].groupby(by).shift()
    belongs["first"] = previous_first.where(starts, d["first"])
    belongs["k"] = d["k"].groupby(by).shift().where(after, d["k"])
    scores = belongs[
        belongs["total"].notna()
        & (belongs["k"] >= 1) & (belongs["k"] <= SESSIONS)
        & (belongs["day"] - belongs["previous_dose"] <= WINDOW)
        & (belongs["day"] - belongs["first"] <= MATURITY)
        & (belongs["previous_dose"] - belongs["first"] <= LIMIT)
    ].drop_duplicates(["course", "k"], keep="last")  # fmt: skip
    judged = scores[["course", "k", "total"]].merge(counted[["course", "baseline"]], on="course")
    judged["phq9_response50"] = 2 * judged["total"] <= judged["baseline"]
    judged["phq9_remission_lt5"] = judged["total"] < 5
    table = judged.groupby("k")[list(CRITERIA)].agg(["size", "sum"])
    return sorted(
        [
            name,
            k,
            len(counted),
            int(given[k]),
            int(table.loc[k, (name, "size")]),
            int(table.loc[k, (name, "sum")]),
        ]
        for name in CRITERIA
        for k in range(1, SESSIONS + 1)
    )


# --- polars ----------------------------------------------------------------------------------------------


def polars_load(path: Path) -> Any:
    """A polars frame, items as Int8."""
    import polars as pl

    return pl.read_parquet(path)


def polars_scan(path: Path) -> Any:
    """A lazy scan: columns and rows not needed are not read."""
    import polars as pl

    return pl.scan_parquet(path)


def polars_rates(frame: Any) -> Counts:
    """Polars, one lazy query up to the two small tables."""
    import polars as pl

    as_of = pl.lit(AS_OF).str.to_date()
    answered = pl.sum_horizontal(pl.col(c).is_not_null().cast(pl.Int8) for c in ITEMS)
    summed = pl.sum_horizontal(pl.col(c).cast(pl.Int32) for c in ITEMS)
    base = (
        frame.lazy()
        .filter(pl.col("date").cast(pl.Date) <= as_of)
        .select(
            pl.col("patient").cast(pl.Categorical).to_physical(),
            pl.col("date").cast(pl.Date).to_physical().alias("day"),
            (pl.col("dose") > 0).alias("dosed"),
            pl.when(answered >= 7).then(summed * 9 / answered).alias("total"),
        )
        .sort("patient", "day")
    )
    dose_day = pl.when("dosed").then("day")
    known_day = pl.when(pl.col("total").is_not_null()).then("day")
    d = (
        base.with_columns(
            dose_day.forward_fill().shift().over("patient").alias("previous"),
            known_day.forward_fill().over("patient").alias("score_day"),
            pl.col("total").forward_fill().over("patient").alias("last_score"),
        )
        .with_columns(
            (
                pl.col("dosed") & (pl.col("day") - pl.col("previous") <= GAP).not_().fill_null(value=True)
            ).alias("starts")
        )
        .with_columns(
            pl.col("starts").cum_sum().alias("course"),
            pl.when("starts").then("day").forward_fill().over("patient").alias("first"),
        )
        .with_columns(pl.col("dosed").cum_sum().over("course").alias("k"))
        .with_columns(
            pl.when("dosed").then(pl.col(c).shift().over("patient")).otherwise(c).alias(f"own_{c}")
            for c in ("course", "first", "k")
        )
    )
    counted = (
        d.filter(
            pl.col("starts")
            & (pl.col("day") - pl.col("score_day") <= LOOKBACK)
            & (pl.col("last_score") >= GATE)
        )
        .unique("patient", keep="first", maintain_order=True)
        .filter(pl.col("first") + MATURITY <= as_of.to_physical())
        .select("course", baseline="last_score")
    )
    given = (
        d.filter(pl.col("dosed"), pl.col("k") <= SESSIONS, pl.col("day") - pl.col("first") <= LIMIT)
        .join(counted, on="course", how="semi")
        .group_by("k")
        .agg(pl.len().alias("given"))
    )
    scores = (
        d.filter(
            pl.col("total").is_not_null(),
            pl.col("own_k").is_between(1, SESSIONS),
            pl.col("day") - pl.col("previous") <= WINDOW,
            pl.col("day") - pl.col("own_first") <= MATURITY,
            pl.col("previous") - pl.col("own_first") <= LIMIT,
        )
        .select(course="own_course", k="own_k", total="total")
        .group_by("course", "k")
        .agg(pl.col("total").last())
    )
    table = (
        scores.join(counted, on="course")
        .group_by("k")
        .agg(
            pl.len().alias("assessed"),
            (2 * pl.col("total") <= pl.col("baseline")).sum().alias(CRITERIA[0]),
            (pl.col("total") < 5).sum().alias(CRITERIA[1]),
        )
        .join(given, on="k")
    )
    due, found = pl.collect_all([counted.select(pl.len()), table])
    return sorted(
        [name, int(row["k"]), int(due.item()), row["given"], row["assessed"], row[name]]
        for row in found.iter_rows(named=True)
        for name in CRITERIA
    )


# --- DuckDB ----------------------------------------------------------------------------------------------

SQL = f"""
WITH base AS (
  SELECT patient, CAST(date AS DATE) - DATE '1970-01-01' AS day, dose > 0 AS dosed,
         CASE WHEN {" + ".join(f"({c} IS NOT NULL)::INT" for c in ITEMS)} >= 7
              THEN ({" + ".join(f"coalesce({c}, 0)" for c in ITEMS)}) * 9.0::DOUBLE
                   / ({" + ".join(f"({c} IS NOT NULL)::INT" for c in ITEMS)}) END AS total
  FROM visits WHERE CAST(date AS DATE) <= DATE '{AS_OF}'
), gaps AS (
  SELECT *,
    max(CASE WHEN dosed THEN day END) OVER earlier AS previous,
    max(CASE WHEN total IS NOT NULL THEN day END) OVER so_far AS score_day,
    last_value(total IGNORE NULLS) OVER so_far AS last_score
  FROM base
  WINDOW so_far AS (PARTITION BY patient ORDER BY day ROWS UNBOUNDED PRECEDING),
         earlier AS (PARTITION BY patient ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), marked AS (
  SELECT *, dosed AND coalesce(day - previous > {GAP}, TRUE) AS starts FROM gaps
), numbered AS (
  SELECT *, count(*) FILTER (starts) OVER so_far AS course,
            max(CASE WHEN starts THEN day END) OVER so_far AS first
  FROM marked WINDOW so_far AS (PARTITION BY patient ORDER BY day ROWS UNBOUNDED PRECEDING)
), counted_doses AS (
  SELECT *, count(*) FILTER (dosed) OVER (PARTITION BY patient, course ORDER BY day
                                          ROWS UNBOUNDED PRECEDING) AS k
  FROM numbered
), owned AS (
  SELECT *, CASE WHEN dosed THEN lag(course) OVER w ELSE course END AS own_course,
            CASE WHEN dosed THEN lag(first) OVER w ELSE first END AS own_first,
            CASE WHEN dosed THEN lag(k) OVER w ELSE k END AS own_k
  FROM counted_doses WINDOW w AS (PARTITION BY patient ORDER BY day)
), counted AS (
  SELECT patient, min_by(course, day) AS course, min(day) AS first, min_by(last_score, day) AS baseline
  FROM owned WHERE starts AND day - score_day <= {LOOKBACK} AND last_score >= {GATE}
  GROUP BY patient HAVING min(day) + {MATURITY} <= DATE '{AS_OF}' - DATE '1970-01-01'
), given AS (
  SELECT k, count(*) AS given FROM owned SEMI JOIN counted USING (patient, course)
  WHERE dosed AND k <= {SESSIONS} AND day - first <= {LIMIT} GROUP BY k
), scores AS (
  SELECT patient, own_course AS course, own_k AS k, max_by(total, day) AS total
  FROM owned
  WHERE total IS NOT NULL AND own_k BETWEEN 1 AND {SESSIONS} AND day - previous <= {WINDOW}
    AND day - own_first <= {MATURITY} AND previous - own_first <= {LIMIT}
  GROUP BY ALL
)
SELECT k, (SELECT count(*) FROM counted) AS due, any_value(given) AS given, count(*) AS assessed,
       count(*) FILTER (2 * total <= baseline) AS response, count(*) FILTER (total < 5) AS remission
FROM scores JOIN counted USING (patient, course) JOIN given USING (k) GROUP BY k ORDER BY k
"""


def duckdb_load(path: Path) -> Any:
    """A DuckDB table in memory."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("CREATE TABLE visits AS SELECT * FROM read_parquet(?)", [str(path)])
    return connection


def duckdb_scan(path: Path) -> Any:
    """A view of the file: columns not needed are not read."""
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"CREATE VIEW visits AS SELECT * FROM read_parquet('{path}')")
    return connection


def duckdb_rates(connection: Any) -> Counts:
    """One SQL statement of window functions."""
    found = connection.execute(SQL).fetchall()
    return sorted(
        [name, int(k), due, given, assessed, met]
        for k, due, given, assessed, *both in found
        for name, met in zip(CRITERIA, both, strict=True)
    )


Load = Callable[[Path], Any]
IMPLEMENTATIONS: dict[str, tuple[Load, Load, Callable[[Any], Counts], tuple[str, ...]]] = {
    # name: loading an in-memory frame, opening the file, the rates, what to import beforehand
    "ketaoutcomes": (
        package_load,
        package_load,
        package_rates,
        ("pandas", "pyarrow.parquet", "ketaoutcomes.study"),
    ),
    "pandas": (package_load, package_load, pandas_rates, ("pandas", "pyarrow.parquet")),
    "pandas tuned": (package_load, package_load, tuned_pandas_rates, ("pandas", "pyarrow.parquet")),
    "polars": (polars_load, polars_scan, polars_rates, ("polars",)),
    "duckdb": (duckdb_load, duckdb_scan, duckdb_rates, ("duckdb",)),
}
