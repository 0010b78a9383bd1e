"""Finished datasets -> the Hub. Knows files, not what is in them, and nothing of balancing."""
