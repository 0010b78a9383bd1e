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
from typing import Any

from synfill.errors import RunError
from synfill.evaluation.metrics import SCALARS, Measured, TrainCounts
from synfill.files import atomic_write
from synfill.reading import parse_json, read_regular
from synfill.records import JsonObject

DEFINITIONS = {
    "accuracy": "share of images classified rightly",
    "balanced_accuracy": "mean of the classes' accuracies",
    "many": "the same over classes with more than 100 real training images",
    "medium": "the same over classes with 20 to 100 real training images",
    "few": "the same over classes with fewer than 20 real training images",
    "head": "the same over the third of the classes with the most real training images",
    "middle": "the same over the classes that are neither head nor tail",
    "tail": "the same over the third of the classes with the fewest real training images",
    "macro_f1": "mean of the classes' F1 scores",
    "expected_calibration_error": "mean gap of confidence and accuracy, 15 bins (Guo et al. 2017)",
    "worst_class": "accuracy of each seed's worst class",
    "worst_cell": "accuracy of each seed's worst cell (class within groups)",
    "group_weighted_accuracy": "mean of the cells' accuracies, by their shares of real training "
    "images",
    "confusion": "for each seed: images of a true class (row) taken for a class (column)",
    "mean": "over seeds",
    "std": "standard deviation over seeds (n - 1); null for one seed",
    "ci95": "half width of the 95 % interval (Student's t, over seeds); null for one seed",
}


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
        write_json(path, asdict(self))

    @staticmethod
    def read(path: Path) -> Result:
        """What `write` wrote.

        Raises:
            RunError: It is damaged.
        """
        try:
            content = parse_json(read_regular(path))
            validation = content["validation"]
            return Result(
                seed=_whole(content["seed"]),
                test=Measured.from_json(content["test"]),
                validation=Measured.from_json(validation) if validation is not None else None,
                steps=_whole(content["steps"]),
                images_seen=_whole(content["images_seen"]),
                seconds=_seconds(content["seconds"]),
                # Earlier versions wrote none.
                versions=tuple(
                    {str(name): str(text) for name, text in one.items()}
                    for one in content.get("versions", [])
                ),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"{path} is damaged ({type(error).__name__}: {error}).",
                f"Delete {path}: the same command trains this seed again.",
            ) from None


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise ValueError(f"{value!r} is no whole number")
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number of seconds")
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{value!r} is no number of seconds")
    return float(value)


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
    """One of `SCALARS` over seeds; None where it doesn't apply."""
    return spread([measured.scalar(name) for measured in results])


def write_metrics(
    path: Path, recipe: str, method: str, counts: TrainCounts, results: Mapping[int, Result]
) -> None:
    """Write metrics.json; docs/metrics.md says what its keys mean.

    Args:
        path: The file.
        recipe: The recipe's name.
        method: The method's name.
        counts: What it was trained on.
        results: The finished seeds' results, by seed.
    """
    write_json(path, metrics_json(recipe, method, counts, results))


def metrics_json(
    recipe: str, method: str, counts: TrainCounts, results: Mapping[int, Result]
) -> JsonObject:
    """The content of metrics.json."""
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
        "definitions": DEFINITIONS,
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
        **{name: spread_json(scalar(measured, name)) for name in SCALARS},
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


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole or not at all; a number that is none is an error."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as file:
        file.write(text.encode() + b"\n")
