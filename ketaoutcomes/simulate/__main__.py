"""`python -m ketaoutcomes.simulate FILE`: write the shipped sample again, byte for byte."""

from __future__ import annotations

import sys
from pathlib import Path

from ketaoutcomes.simulate import clinic

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m ketaoutcomes.simulate FILE")
    clinic().write(Path(sys.argv[1]))
