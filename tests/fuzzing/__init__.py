"""Odd and hostile datasets, made by hypothesis, and what must hold for each of them."""
