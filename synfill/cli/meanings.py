"""What the figures of an analysis mean, in a few words each."""

from __future__ import annotations

MEANINGS = {
    "imbalance factor": "largest / smallest class; even: 1",
    "Gini": "even: 0; all in one class: near 1",
    "normalized entropy": "even: 1; all in one class: 0",
    "effective classes": "as varied as so many even classes",
    "many / medium / few": "classes > 100, 20-100, < 20 images",
    "Cramér's V": "even: 0; group tells the class: 1",
    "smallest cell": "emptiest class within a group",
}
"""Each fits beside two columns of figures on 80 columns."""
TAIL = "Tail is the third of the classes that have the fewest real images."


def meaning(figure: str) -> str:
    """What a figure means; "" for one that speaks for itself ("images").

    Args:
        figure: Its name as a table shows it; "Cramér's V with ink" is found too.
    """
    return next((text for name, text in MEANINGS.items() if figure.startswith(name)), "")
