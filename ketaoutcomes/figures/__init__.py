"""Finished tables as charts: each function draws one table on matplotlib Axes and returns them.

Nothing is computed here: rates, intervals and counts arrive finished, a missing number is drawn as a gap that
says why, and names from data are drawn as text, never as mathematics. Lines differ by colour, marker and
dash, bands by brightness and hatching, and they carry their names instead of a legend, so a chart survives a
greyscale printer. matplotlib is loaded when the first chart is drawn.
"""

from __future__ import annotations

from ketaoutcomes.figures.accounting import completeness, flow, measured
from ketaoutcomes.figures.benchmarks import benchmark
from ketaoutcomes.figures.control_charts import control, funnel
from ketaoutcomes.figures.courses import dose_timeline, swimmer, waterfall
from ketaoutcomes.figures.curves import curve, durability, kept
from ketaoutcomes.figures.designs import design
from ketaoutcomes.figures.good_time import from_reached, partition, state_occupation
from ketaoutcomes.figures.safety import side_effects
from ketaoutcomes.figures.sensitivity import forest
from ketaoutcomes.figures.sessions import panels, rates, retention, trajectory
from ketaoutcomes.figures.severity import band_flow, bands

__all__ = [
    "band_flow",
    "bands",
    "benchmark",
    "completeness",
    "control",
    "curve",
    "design",
    "dose_timeline",
    "durability",
    "flow",
    "forest",
    "from_reached",
    "funnel",
    "kept",
    "measured",
    "panels",
    "partition",
    "rates",
    "retention",
    "side_effects",
    "state_occupation",
    "swimmer",
    "trajectory",
    "waterfall",
]
