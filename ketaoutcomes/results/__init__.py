"""Finished tables: pure functions of a Tally."""
