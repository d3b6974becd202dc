"""A cohort: doses, scores, people and events on record, checked and coded."""
