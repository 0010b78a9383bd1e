"""Counts -> wanted counts. Pure: knows numbers and names, neither files nor prompts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from synfill.config.problems import shown
from synfill.config.settings import parse_number
from synfill.errors import UsageError, suggest
from synfill.records import Cell

Kind = Literal["uniform", "median", "mean", "ratio", "imbalance-factor", "counts", "present"]

MOST_IMAGES = 10_000_000
"""More than a class, or all of a run, can be asked to have: 4 days at 30 images a second."""

FORMS = (
    "uniform",
    "uniform:N",
    "median",
    "mean",
    "ratio:R",
    "imbalance-factor:F",
    "present",
    "FILE.yaml",
)


@dataclass(frozen=True)
class Target:
    """How full every class, or cell, is wanted.

    Attributes:
        kind: "uniform": all as full as the largest, or `number`; "median", "mean": at least that;
            "ratio": at least `number` x the largest; "imbalance-factor": at least the
            largest / `number`; "counts": as a file says; "present": as it is (with `--replace`).
        number: N, R or F, exact; None where the kind has none.
        counts: For "counts": class -> count, or class -> {group value -> count}.
    """

    kind: Kind
    number: Fraction | None = None
    counts: Mapping[str, Any] | None = None


def parse_target(text: str) -> Target:
    """Read a `--target` that isn't a file.

    Raises:
        UsageError: It is none of the forms, or its number makes no sense.
    """
    name, colon, rest = text.partition(":")
    if name not in ("uniform", "median", "mean", "ratio", "imbalance-factor", "present"):
        raise UsageError(f"Unknown --target '{text}'.", suggest(text, FORMS, "targets"))
    needs_number = name in ("ratio", "imbalance-factor")
    if not colon and not needs_number:
        return Target(name)  # type: ignore[arg-type]
    if colon and not needs_number and name != "uniform":
        raise UsageError(f"--target {name} takes no number.", f"Write --target {name}.")
    try:
        number = parse_number(rest)
    except ValueError:
        raise UsageError(
            f"--target {name} needs a number after the colon, not '{rest}'.",
            f"For example --target {name}:{'0.5' if name == 'ratio' else '100'}.",
        ) from None
    if name == "uniform" and (not 1 <= number <= MOST_IMAGES or number.denominator != 1):
        raise UsageError(f"--target uniform:N needs a whole number from 1 to {MOST_IMAGES:,}.")
    if name == "ratio" and not 0 < number <= 1:
        raise UsageError("--target ratio:R needs a number above 0 and at most 1.")
    if name == "imbalance-factor" and number < 1:
        raise UsageError("--target imbalance-factor:F needs a number of at least 1.")
    return Target(name, number)  # type: ignore[arg-type]


def target_from_counts(counts: Any, where: str) -> Target:
    """Check the content of a target file.

    Args:
        counts: What the file holds.
        where: The file's name, for messages.

    Raises:
        UsageError: It isn't a mapping of classes to whole numbers.
    """
    if not isinstance(counts, dict) or not counts:
        raise UsageError(
            f"{where} must map class names to counts.", "For example:\n  cat: 500\n  dog: 500"
        )
    for name, value in counts.items():
        nested = value.values() if isinstance(value, dict) else [value]
        if not all(type(n) is int and 0 <= n <= MOST_IMAGES for n in nested):
            raise UsageError(
                f"{where}: '{name}' must be a whole number from 0 to {MOST_IMAGES:,}, not "
                f"{shown(value)}."
            )
    return Target("counts", counts={str(name): value for name, value in counts.items()})


def wanted_counts(
    target: Target, cells: Sequence[Cell], present: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How many images each cell should have: never fewer than it has.

    Args:
        target: The target.
        cells: The cells, or classes.
        present: Images of each, int64, shape (cells,).

    Returns:
        int64, shape (cells,). A target below what is present wants no more and takes nothing away
        (that is what `--cap` is for).

    Raises:
        UsageError: A counts file names an unknown class or group value.
    """
    largest = int(present.max(initial=0))
    floor: int | NDArray[np.int64]
    match target.kind:
        case "uniform":
            floor = int(target.number) if target.number is not None else largest
        case "median":
            floor = math.ceil(np.median(present)) if len(present) else 0
        case "mean":
            floor = math.ceil(Fraction(int(present.sum()), max(1, len(present))))
        case "ratio":
            assert target.number is not None
            floor = math.ceil(target.number * largest)
        case "imbalance-factor":
            assert target.number is not None
            floor = math.ceil(largest / target.number)
        case "counts":
            floor = _listed_counts(target.counts or {}, cells, present)
        case "present":
            floor = 0
    return np.maximum(present, floor)


def _listed_counts(
    counts: Mapping[str, Any], cells: Sequence[Cell], present: NDArray[np.int64]
) -> NDArray[np.int64]:
    wanted = present.copy()
    used: set[tuple[str, str | None]] = set()
    for index, cell in enumerate(cells):
        value = counts.get(cell.label)
        if value is None:
            continue
        used.add((cell.label, None))
        if isinstance(value, dict):
            if len(cell.groups) != 1:
                raise UsageError(
                    f"The target of '{cell.label}' is given by group, but the run balances "
                    f"{'classes' if not cell.groups else 'several groups at once'}.",
                    "Give one number a class, or use --by class+GROUP with one group.",
                )
            group = cell.groups[0][1]
            used.add((cell.label, group))
            by_text = {str(name): number for name, number in value.items()}
            wanted[index] = by_text.get(group, present[index])
        else:
            wanted[index] = value
    for label, value in counts.items():
        if (label, None) not in used:
            raise UsageError(
                f"The target names a class '{label}' that the dataset doesn't have.",
                suggest(label, dict.fromkeys(cell.label for cell in cells), "classes"),
            )
        for group in value if isinstance(value, dict) else ():
            if (label, str(group)) not in used:
                known = [cell.groups[0][1] for cell in cells if cell.label == label]
                raise UsageError(
                    f"The target of '{label}' names an unknown group value '{group}'.",
                    suggest(str(group), known, "values"),
                )
    return wanted
