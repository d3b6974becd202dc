"""A study's verbs, by topic."""
