"""Probabilities -> metrics, comparisons, and the files they are kept in."""
