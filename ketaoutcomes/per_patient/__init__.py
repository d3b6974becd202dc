"""What is derived of each patient's own records: courses, windows, outcomes, standing and good time."""
