"""Memory level, time linear: a Parquet file read and counted one block of patients at a time, tallies added.

    python benchmarks/patient_blocks.py --rows 1000000 10000000

Every row group of the file holds whole patients. The rates must equal those of the whole file read at once.
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fresh import interleaved, median, timed
from implementations import CRITERIA
from sessions import AS_OF, sessions

BLOCK = 500_000  # rows of one row group, about


def write(rows: int, path: Path) -> int:
    """Write the visits, a row group per block of patients, in date order within each."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    frame = sessions(rows)
    codes, patients = pd.factorize(frame["patient"])
    block = codes * max(len(frame) // BLOCK, 1) // len(patients)
    with pq.ParquetWriter(path, pa.Schema.from_pandas(frame.head(), preserve_index=False)) as file:
        for _, part in frame.groupby(block):
            file.write_table(pa.Table.from_pandas(part, preserve_index=False))
    return len(frame)


def parts(path: Path) -> Iterator[Any]:
    """The row groups as frames that keep Arrow's own columns: nothing is copied."""
    import pandas as pd
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        yield file.read_row_group(group).to_pandas(types_mapper=pd.ArrowDtype)


def whole(path: Path) -> Iterator[Any]:
    """The whole file as one frame."""
    import pandas as pd

    yield pd.read_parquet(path, dtype_backend="pyarrow")


def tally(frame: Any) -> Any:
    """Counts of one frame, by session."""
    import ketaoutcomes as ko

    study = ko.Study(ko.Cohort.from_frames(frame), as_of=AS_OF)
    return study.tally(at="session", criteria=list(CRITERIA), kind="current", tables=("points",))


WAYS = {"blocks of patients": parts, "whole file": whole}


def one(way: str, path: Path) -> None:
    """Count in this process and print what was found and what it took."""
    for module in ("pandas", "pyarrow.parquet", "ketaoutcomes.study"):
        importlib.import_module(module)
    from ketaoutcomes.results import course_results

    total, cost = timed(lambda: sum(tally(frame) for frame in WAYS[way](path)))
    rates = course_results.rates(total, at="session")[["criterion", "analysis", "point", "met", "n"]]
    print(json.dumps({"rates": rates.to_numpy().tolist(), **cost}))


def main() -> None:
    """Read the command line; for every size, count in blocks and whole, in turn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(given.one, given.path)
        return
    print(f"{'rows':>12}  {'':20}{'wall s':>8}{'CPU s':>8}{'CPU us/row':>12}{'peak MB':>9}")
    for rows in given.rows:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "sessions.parquet"
            rows = write(rows, path)
            commands = {way: [__file__, "--one", way, "--path", str(path)] for way in WAYS}
            found = interleaved(commands, given.rounds)
        if len({json.dumps(run["rates"]) for runs in found.values() for run in runs}) != 1:
            raise SystemExit("the rates differ")
        for way, runs in found.items():
            wall, cpu, memory = (median(runs, key) for key in ("wall", "cpu", "peak"))
            print(f"{rows:>12,}  {way:20}{wall:8.2f}{cpu:8.2f}{1e6 * cpu / rows:12.2f}{memory / 1e6:9.0f}")


if __name__ == "__main__":
    main()
