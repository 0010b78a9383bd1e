"""Finished datasets and models -> the Hub. Knows files, not how what is in them was made."""
