"""The kinds of repositories that are pushed to, and all that differs between them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What a repository holds.

    Attributes:
        name: What it is, and what the Hub's API calls it.
        pages: What its pages' addresses have before the id.
        suffix: What a default name adds to the name of what it was made of.
        title: What is pushed, for the commit's message.
        loader: The Python function that loads it from its id.
        card_hint: What to do where the Hub refuses its card.
    """

    name: str
    pages: str
    suffix: str
    title: str
    loader: str
    card_hint: str = ""


DATASET = Kind(
    "dataset",
    pages="datasets/",
    suffix="-balanced",
    title="Balanced dataset",
    loader="datasets.load_dataset",
    card_hint="Correct the header of README.md in the output folder.",
)
MODEL = Kind(
    "model", pages="", suffix="", title="Image classifier", loader="synfill.load_classifier"
)
