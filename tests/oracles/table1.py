"""Writes table1.json: what the package tableone says of a small made-up cohort (pip install tableone).

python tests/oracles/table1.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd


def people() -> pd.DataFrame:
    """Forty-one made-up people of three groups."""
    rng = np.random.default_rng(20)
    n = 41
    group = np.array(["a", "b", "c"])[rng.integers(0, 3, n)]
    return pd.DataFrame(
        {
            "group": group,
            "sex": np.array(["female", "male"])[rng.integers(0, 2, n)],
            "band": np.array(["1", "2", "3", "4"])[rng.integers(0, 4, n)],
            "phq9": rng.integers(10, 27, n) + (group == "c"),
        }
    )


def main() -> None:
    """Ask tableone and write down what it says."""
    import tableone

    frame = people()
    table = tableone.TableOne(
        frame, columns=["sex", "band", "phq9"], categorical=["sex", "band"], groupby="group", smd=True,
        pval=False, decimals=6,
    )  # fmt: skip
    numbers = frame.groupby("group")["phq9"]
    said = table.tableone["Grouped by group"]
    smd = {
        str(name): [float(v) for v in said[name] if v != ""] for name in said.columns if "SMD" in str(name)
    }
    content = {
        "made_by": f"tableone {tableone.__version__}",
        "people": frame.to_dict(orient="list"),
        "smd": smd,
        "mean": numbers.mean().to_dict(),
        "sd": numbers.std().to_dict(),
        "q1": numbers.quantile(0.25).to_dict(),
        "q3": numbers.quantile(0.75).to_dict(),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
