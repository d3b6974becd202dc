"""Estimates from counts: arrays of counts in, arrays out. This folder knows no patient and no table."""

from ketaoutcomes.estimates.intervals import difference, interval, rate_with_limits

__all__ = ["difference", "interval", "rate_with_limits"]
