"""From a CSV of visits to the finished report, against what pandas needs merely to read the same file.

    python benchmarks/csv_to_report.py --rows 1000000 --rounds 5

The yardstick reads every column as text and then parses the numbers and the dates: no rule is checked.
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
from pathlib import Path

from fresh import interleaved, median, timed
from sessions import ITEMS, sessions

BAR = 3.0


def pandas_reads(path: Path) -> int:
    """Text in, numbers and dates out."""
    import pandas as pd

    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    for column in ["dose", *ITEMS]:
        frame[column] = pd.to_numeric(frame[column])
    frame["date"] = pd.to_datetime(frame["date"], format="%Y-%m-%d")
    return len(frame)


def package_reports(path: Path) -> int:
    """The whole way: checked, judged, counted, protected, drawn, written."""
    import ketaoutcomes as ko

    cohort = ko.read(path)
    ko.Study(cohort).report(path.parent / "report", force=True)
    return len(cohort.doses)


CONTENDERS = {
    "pandas reads": (pandas_reads, ("pandas",)),
    "package reports": (package_reports, ("pandas", "ketaoutcomes.study")),
}


def main() -> None:
    """Read the command line; run one contender, or all of them in turn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        work, modules = CONTENDERS[given.one]
        for module in modules:
            importlib.import_module(module)
        _, cost = timed(lambda: work(given.path))
        print(json.dumps(cost))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sessions.csv"
        frame = sessions(given.rows)
        frame.to_csv(path, index=False)
        rows, size = len(frame), path.stat().st_size
        del frame
        commands = {name: [__file__, "--one", name, "--path", str(path)] for name in CONTENDERS}
        found = interleaved(commands, given.rounds)
    print(f"{rows:,} rows, {size / 1e6:.0f} MB of CSV, {given.rounds} rounds")
    yardstick = median(found["pandas reads"], "wall")
    for name, runs in found.items():
        wall, cpu, memory = (median(runs, key) for key in ("wall", "cpu", "peak"))
        print(f"{name:16}{wall:9.2f} s{cpu:9.2f} s CPU{wall / yardstick:8.2f} x{memory / rows:8.0f} B/row")
    print(f"bar: the report in at most {BAR:g} times the reading")


if __name__ == "__main__":
    main()
