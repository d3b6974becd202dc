"""Rates by session from one frame or file: this package, pandas, polars and DuckDB, outputs checked equal.

python benchmarks/rates_by_session.py --rows 1000000 --rounds 5
python benchmarks/rates_by_session.py --rows 10000000 --only ketaoutcomes --source parquet
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
from pathlib import Path

from fresh import interleaved, median, timed
from implementations import IMPLEMENTATIONS
from sessions import sessions

BARS = {"pandas": 3.5, "polars": 1.5, "duckdb": 2.0}


def one(name: str, path: Path, source: str) -> None:
    """Run one contender in this process and print what it found and took."""
    load, scan, rates, modules = IMPLEMENTATIONS[name]
    for module in modules:
        importlib.import_module(module)
    if source == "frame":
        frame = load(path)
        counts, cost = timed(lambda: rates(frame))
    else:
        counts, cost = timed(lambda: rates(scan(path)))
    print(json.dumps({"counts": counts, **cost}))


def write(rows: int, path: Path) -> int:
    """Write the visits without pandas' own metadata, so that pandas reads items with blanks as float64.

    (As Int8 the usual `items.sum(axis=1) * 9` wraps around in pandas, silently.)
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(sessions(rows), preserve_index=False).replace_schema_metadata(None)
    pq.write_table(table, path)
    return int(table.num_rows)


def compare(rows: int, rounds: int, source: str, names: list[str]) -> None:
    """Interleave the contenders, check their outputs equal, print medians and ratios."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sessions.parquet"
        rows = write(rows, path)
        commands = {
            name: [__file__, "--one", name, "--path", str(path), "--source", source] for name in names
        }
        found = interleaved(commands, rounds)
    outputs = {json.dumps(run["counts"]) for runs in found.values() for run in runs}
    if len(outputs) != 1:
        raise SystemExit("the contenders disagree: " + "; ".join(sorted(outputs)))
    ours = median(found[names[0]], "wall")
    print(f"{rows:,} rows, {source}, {rounds} rounds; outputs equal")
    print(f"{'':14}{'wall s':>9}{'CPU s':>9}{'ratio':>8}{'bar':>6}{'peak B/row':>12}")
    for name, runs in found.items():
        wall, cpu, memory = (median(runs, key) for key in ("wall", "cpu", "peak"))
        bar = str(BARS.get(name, ""))
        print(f"{name:14}{wall:9.3f}{cpu:9.3f}{wall / ours:8.2f}{bar:>6}{memory / rows:12.0f}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--source", choices=("frame", "parquet"), default="frame")
    parser.add_argument("--only", nargs="+", choices=list(IMPLEMENTATIONS), default=list(IMPLEMENTATIONS))
    parser.add_argument("--one", choices=list(IMPLEMENTATIONS), help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(given.one, given.path, given.source)
    else:
        compare(given.rows, given.rounds, given.source, given.only)


if __name__ == "__main__":
    main()
