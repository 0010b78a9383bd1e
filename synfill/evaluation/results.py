"""Results of several seeds -> mean, standard deviation, 95 % interval; result.json, metrics.json.

The interval is Student's, over seeds: it says how much of a figure is the luck of a training run,
not what other test images, or other synthetic images, would have given.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, FiniteFloat

from synfill.errors import RunError
from synfill.evaluation.measure import Measured
from synfill.evaluation.metrics.base import TrainCounts, definitions
from synfill.files import atomic_write
from synfill.reading import parse_json, read_regular
from synfill.records import JsonObject
from synfill.runs.record import Record

_DEFINITIONS = {
    "confusion": "for each seed: images of a true class (row) taken for a class (column)",
    "mean": "over seeds",
    "std": "standard deviation over seeds (n - 1); null for one seed",
    "ci95": "half width of the 95 % interval (Student's t, over seeds); null for one seed",
}
_Count = Annotated[int, Field(ge=0, lt=2**53)]


class _Training(Record):
    """What result.json says of the training; its figures are for people to read."""

    seed: _Count
    steps: _Count
    images_seen: _Count
    seconds: Annotated[FiniteFloat, Field(ge=0)]
    # Earlier versions wrote none.
    versions: list[dict[str, str]] = Field([])


@dataclass(frozen=True)
class Result:
    """What one seed of one method gave.

    Attributes:
        seed: The seed.
        test: Measured on the test images, once, at the end.
        validation: Measured on the validation images; None where there are none.
        steps: Optimizer steps, over all stages.
        images_seen: Images that went through training, over all stages, each time counted.
        seconds: Seconds of training, over all stages, without what an earlier, stopped process
            lost.
        versions: Of Python, synfill and the libraries with which it was trained; several where it
            went on after an upgrade, none where that isn't known.
    """

    seed: int
    test: Measured
    validation: Measured | None
    steps: int
    images_seen: int
    seconds: float
    versions: tuple[Mapping[str, str], ...] = ()

    def write(self, path: Path) -> None:
        """Write result.json. Its existence says that the seed is finished."""
        measured = {"test": self.test, "validation": self.validation}
        shown = {name: one.to_json() if one is not None else None for name, one in measured.items()}
        cost = {"steps": self.steps, "images_seen": self.images_seen, "seconds": self.seconds}
        write_json(path, {"seed": self.seed, **shown, **cost, "versions": list(self.versions)})

    @staticmethod
    def read(path: Path, test: Measured, validation: Measured | None) -> Result:
        """What `write` wrote of the training, with figures that are measured anew.

        What other versions wrote down of the figures, or didn't, is no damage.

        Args:
            path: The file.
            test: Measured on the stored predictions of the test images.
            validation: Likewise.

        Raises:
            RunError: It is damaged.
        """
        try:
            found = _Training.model_validate(parse_json(read_regular(path)))
        except (OSError, ValueError) as error:
            raise RunError(
                f"{path} is damaged ({type(error).__name__}: {error}).",
                f"Delete {path}: the same command trains this seed again.",
            ) from None
        return Result(
            found.seed, test, validation, found.steps, found.images_seen, found.seconds,
            tuple(found.versions),
        )  # fmt: skip


@dataclass(frozen=True)
class Spread:
    """One figure over several seeds.

    Attributes:
        mean: Its mean.
        std: Its standard deviation (n - 1 in the denominator); None for one seed.
        ci95: Half the width of the two-sided 95 % interval of the mean, by Student's t: the mean
            lies in mean +- ci95; None for one seed.
        values: Of each seed.
    """

    mean: float
    std: float | None
    ci95: float | None
    values: tuple[float, ...]

    @property
    def is_clear(self) -> bool:
        """Whether, as a difference, it is larger than its interval."""
        return self.ci95 is not None and abs(self.mean) > self.ci95


def spread(values: Sequence[float | None]) -> Spread | None:
    """Mean, standard deviation and interval of a figure's values, one a seed.

    Returns:
        None where the figure doesn't apply (some value is None).
    """
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    mean = statistics.fmean(known)
    if len(known) == 1:
        return Spread(mean, None, None, tuple(known))
    from scipy.stats import t

    std = statistics.stdev(known)
    quantile = float(t.ppf(0.975, len(known) - 1))
    return Spread(mean, std, quantile * std / math.sqrt(len(known)), tuple(known))


def scalar(results: Sequence[Measured], name: str) -> Spread | None:
    """One metric's figure over seeds; None where it doesn't apply."""
    return spread([measured.figures[name] for measured in results])


def metrics_json(
    recipe: str, method: str, counts: TrainCounts, results: Mapping[int, Result]
) -> JsonObject:
    """The content of metrics.json; docs/metrics.md says what its keys mean.

    Args:
        recipe: The recipe's name.
        method: The method's name.
        counts: What it was trained on.
        results: The finished seeds' results, by seed.
    """
    runs = list(results.values())
    validation = [run.validation for run in runs if run.validation is not None]
    return {
        "recipe": recipe,
        "method": method,
        "seeds": list(results),
        "classes": list(counts.classes),
        "groups": list(counts.groups),
        "test": _measured_json(counts, [run.test for run in runs]),
        "validation": _measured_json(counts, validation) if validation else None,
        **cost_json(runs),
        "versions": [list(run.versions) for run in runs],
        "definitions": definitions() | _DEFINITIONS,
    }


def cost_json(runs: Sequence[Result]) -> JsonObject:
    """What each seed took: a method that trained longer may be better for that alone."""
    return {
        "steps": [run.steps for run in runs],
        "images_seen": [run.images_seen for run in runs],
        "seconds": [run.seconds for run in runs],
    }


def _measured_json(counts: TrainCounts, measured: Sequence[Measured]) -> JsonObject:
    first = measured[0]
    return {
        "images": first.images,
        **{name: spread_json(scalar(measured, name)) for name in first.figures},
        "worst_class_name": [one.worst_class_name for one in measured],
        "worst_cell_name": [one.worst_cell_name for one in measured],
        "per_class": [
            {
                "class": name,
                "real": counts.real[position],
                "synthetic": counts.synthetic[position],
                "images": first.class_images[position],
                "accuracy": spread_json(spread([one.per_class[position] for one in measured])),
            }
            for position, name in enumerate(counts.classes)
        ],
        "per_cell": [
            {
                "cell": name,
                "real": counts.cell_real[position],
                "synthetic": counts.cell_synthetic[position],
                "images": first.cell_images[position],
                "accuracy": spread_json(spread([one.per_cell[position] for one in measured])),
            }
            for position, name in enumerate(counts.cells)
        ],
        "confusion": [one.confusion for one in measured],
    }


def spread_json(value: Spread | None) -> JsonObject | None:
    """A spread as {mean, std, ci95, values}."""
    return asdict(value) if value is not None else None


def read_spread(content: JsonObject | None) -> Spread | None:
    """A spread from what `spread_json` gave."""
    return Spread(**content) if content is not None else None


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole or not at all; a number that is none is an error."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as file:
        file.write(text.encode() + b"\n")
