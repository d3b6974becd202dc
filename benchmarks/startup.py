"""What it costs to start: `ketaoutcomes --help` against bare Python, `import ketaoutcomes` against pandas.

python benchmarks/startup.py --rounds 15
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

TASKS = {
    "python": ["-c", "pass"],
    "ketaoutcomes --help": [
        "-c",
        "import sys; from ketaoutcomes.cli import main; sys.exit(main())",
        "--help",
    ],
    "import pandas": ["-c", "import pandas"],
    "import ketaoutcomes": ["-c", "import ketaoutcomes"],
    "ko.Study, ko.read": ["-c", "import ketaoutcomes as ko; ko.Study, ko.read"],
}
BARS = (
    ("ketaoutcomes --help", "python", 4.0),
    ("import ketaoutcomes", "import pandas", 1.2),
    ("ko.Study, ko.read", "import pandas", 1.2),
)
HEAVY = ("numpy", "pandas", "scipy", "matplotlib", "jinja2", "xlsxwriter")


def seconds(arguments: list[str]) -> float:
    """Wall time of one fresh process."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - begun


def loaded(code: str) -> list[str]:
    """Which of the heavy libraries a piece of code loads."""
    listing = f"import sys\n{code}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", listing], check=True, capture_output=True, text=True)
    return done.stdout.split()


def main() -> None:
    """Time every task in turn, print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in TASKS}
    for _ in range(rounds):
        for name, arguments in TASKS.items():
            times[name].append(seconds(arguments))
    medians = {name: statistics.median(found) for name, found in times.items()}
    for name, found in medians.items():
        print(f"{name:22}{1000 * found:8.0f} ms")
    for name, yardstick, bar in BARS:
        print(f"{name}: {medians[name] / medians[yardstick]:.2f} times {yardstick} (bar {bar:g})")
    print("the command line loads:", *(loaded("import ketaoutcomes.cli") or ["none of the heavy libraries"]))
    print("the public names load: ", *loaded("import ketaoutcomes as ko; ko.Study, ko.read"))


if __name__ == "__main__":
    main()
