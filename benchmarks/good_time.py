"""Good time with state occupation against rates by session, on one cohort, at growing size.

python benchmarks/good_time.py --rows 100000 1000000 10000000 --rounds 3

The cohort is made before the clock starts; each job runs in a fresh process, in turn. The bar: good time
with its daily moves and the curves made of them within twice the time of rates by session, and linear. The
summary's tables are made of counts, so what they cost (the last column) does not grow with the rows.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from fresh import interleaved, median, timed
from sessions import AS_OF, sessions

JOBS = ("rates by session", "good time", "summary")
CRITERIA = ("phq9_response50", "phq9_remission_lt5")
LEVEL = 36.0  # of the 40 mg that every session of the benchmark's file gives: reached at once by all
PLAN = f'[good_time]\nbasis = "fixed"\nlevel = [{{ route = "iv", unit = "mg", dose = {LEVEL} }}]\n'


def one(job: str, path: Path) -> None:
    """Run one job in this process and print what it took."""
    import pandas as pd

    import ketaoutcomes as ko
    from ketaoutcomes.plan import parse_plan
    from ketaoutcomes.results.curve_results import state_occupation
    from ketaoutcomes.results.partition import good_time_summary

    study = ko.Study(ko.Cohort.from_frames(pd.read_parquet(path), plan=parse_plan(PLAN)), as_of=AS_OF)

    def rates() -> Any:
        return study.rates(at="session", criteria=list(CRITERIA))

    def good_time() -> Any:
        return state_occupation(study.tally(at="end", tables=("good_time",)))

    if job == "summary":
        counted = study.tally(at="end", tables=("good_time",))
        _, cost = timed(lambda: good_time_summary(counted))
    else:
        _, cost = timed(rates if job == JOBS[0] else good_time)
    print(json.dumps(cost))


def compare(rows: list[int], rounds: int) -> None:
    """Print both jobs' medians and their ratio at every size."""
    print(
        f"{'rows':>12}{'rates CPU s':>14}{'good time CPU s':>18}{'ratio':>8}{'bar':>6}"
        f"{'peak B/row':>12}{'its tables CPU s':>19}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for size in rows:
            path = Path(folder) / f"{size}.parquet"
            frame = sessions(size)
            made = len(frame)
            frame.to_parquet(path)
            del frame
            commands = {job: [__file__, "--one", job, "--path", str(path)] for job in JOBS}
            found = interleaved(commands, rounds)
            base, ours, tables = (median(found[job], "cpu") for job in JOBS)
            memory = median(found[JOBS[1]], "peak") / made
            times = f"{base:14.3f}{ours:18.3f}{ours / base:8.2f}{2:6.1f}"
            print(f"{made:12,}{times}{memory:12.0f}{tables:19.3f}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(given.one, given.path)
    else:
        compare(given.rows, given.rounds)


if __name__ == "__main__":
    main()
