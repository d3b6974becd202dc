"""Synthetic cohorts with planted truth: for trying things out, for teaching, for testing the package itself.

`clinic` is the sample shipped with the package and `load_sample` reads it. `null` and `dose_matters` are
titration trials for good time: one in which dose does nothing, one in which only an adequate dose works.
`large` makes sessions by the million, for benchmarks.

`python -m ketaoutcomes.simulate data/sample/sessions.csv` writes the shipped sample again, byte for byte.
"""

from __future__ import annotations

from ketaoutcomes.simulate.clinics import COVARIATES, Simulated, clinic
from ketaoutcomes.simulate.faults import with_faults
from ketaoutcomes.simulate.planting import ARMS, HABITS, Habits, HomeArm, Site, VisitArm
from ketaoutcomes.simulate.shipped import load_sample, sample_path
from ketaoutcomes.simulate.titration import Trial, dose_matters, null, planted_rates
from ketaoutcomes.simulate.volume import large

__all__ = [
    "ARMS",
    "COVARIATES",
    "HABITS",
    "Habits",
    "HomeArm",
    "Simulated",
    "Site",
    "Trial",
    "VisitArm",
    "clinic",
    "dose_matters",
    "large",
    "load_sample",
    "null",
    "planted_rates",
    "sample_path",
    "with_faults",
]
