"""Estimates from counts: arrays of counts in, arrays out. This folder knows no patient and no table."""

from ketaoutcomes.estimates.intervals import difference, interval

__all__ = ["difference", "interval"]
