"""Requests as a plan has them, of prompts and seeds alone."""

from synfill.records import Cell, Request


def ask(prompts, negatives=None, seeds=None):
    """A request for each prompt; unless given without negative prompts, and with seed 1."""
    return [
        Request(i, Cell("cat"), prompt, negatives[i] if negatives else "", seeds[i] if seeds else 1)
        for i, prompt in enumerate(prompts)
    ]
