"""Requests in, images out: the generator, the engine around it, and what becomes of a sample."""
