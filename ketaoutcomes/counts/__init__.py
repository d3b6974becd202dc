"""Counts of patients, which add: the Tally and everything that is counted into it."""
