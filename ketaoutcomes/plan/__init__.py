"""The statistical analysis plan: what is analysed, how, and by whose definitions; fixed before the numbers.

`Plan()` holds the defaults, `read_plan` reads a TOML file, and `Plan.methods()` says it all in words.
"""

from __future__ import annotations

from ketaoutcomes.plan.columns import COLUMN_NAMES, Columns, Field, TableMap
from ketaoutcomes.plan.keys import PlanError
from ketaoutcomes.plan.model import ROUTES, Plan
from ketaoutcomes.plan.reader import parse_plan, read_plan
from ketaoutcomes.plan.sections import (
    Assessments,
    Baseline,
    Criteria,
    DoseLevel,
    EntryRule,
    GoodTime,
    Points,
    Population,
    Rates,
    Report,
    Scores,
)
from ketaoutcomes.plan.text import default_plan_text

__all__ = [
    "COLUMN_NAMES",
    "ROUTES",
    "Assessments",
    "Baseline",
    "Columns",
    "Criteria",
    "DoseLevel",
    "EntryRule",
    "Field",
    "GoodTime",
    "Plan",
    "PlanError",
    "Points",
    "Population",
    "Rates",
    "Report",
    "Scores",
    "TableMap",
    "default_plan_text",
    "parse_plan",
    "read_plan",
]
