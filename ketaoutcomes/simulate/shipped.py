"""The sample that ships with the package, read as any clinic's file is."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ketaoutcomes.simulate.clinics import COVARIATES
from ketaoutcomes.simulate.faults import with_faults

if TYPE_CHECKING:
    from ketaoutcomes.plan import Plan
    from ketaoutcomes.records.cohort import Cohort


def sample_path() -> Path:
    """Where the shipped sample is: in the installed package, or in the checkout it is run from.

    >>> sample_path().name
    'sessions.csv'
    """
    package = Path(__file__).parents[1]
    places = (package / "sample" / "sessions.csv", package.parent / "data" / "sample" / "sessions.csv")
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError("the sample is not part of this installation; simulate.clinic() makes it")


def load_sample(plan: Plan | None = None, *, dirty: bool = False) -> Cohort:
    """The sample cohort: three simulated clinics, 1,200 patients, 18 months.

    It reads without a finding. With `dirty=True` faults are planted first, as `simulate.with_faults` lists
    them, to see what intake does about them. Without a plan the default plan is used, with the sample's
    covariates kept: sex, age band, earlier ketamine, benzodiazepine, lamotrigine.

    >>> import ketaoutcomes as ko
    >>> len(ko.load_sample().people)
    1200
    """
    from ketaoutcomes.intake import read
    from ketaoutcomes.plan import Plan

    if plan is None:
        columns = replace(Plan().columns, covariates=COVARIATES)
        plan = replace(Plan(), columns=columns)
    if not dirty:
        return read(sample_path(), plan)
    text, _ = with_faults(sample_path().read_text("ascii"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sessions-dirty.csv"
        path.write_bytes(text.encode("ascii"))
        return read(path, plan)
