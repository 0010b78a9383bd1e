"""What is asked of a training run beside its recipe, and what the run gives back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synfill.balancing.settings import balance_problems
from synfill.config.recipes.read import read_recipe
from synfill.config.recipes.settings import Recipe
from synfill.config.train import TrainSettings
from synfill.errors import UsageError
from synfill.evaluation.comparison import Comparison, Subject
from synfill.evaluation.metrics.base import metric_names
from synfill.evaluation.results import Result
from synfill.runs.training_folder import RunFolder
from synfill.tables import text_table
from synfill.training.network.names import model_problem

if TYPE_CHECKING:
    from pandas import DataFrame

    from synfill.hub.upload.push import Pushed


def resolve_recipe(settings: TrainSettings) -> Recipe:
    """The recipe, with what is asked beside it in place of its own.

    Raises:
        UsageError: Something is wrong with it, or with what is asked.
    """
    overrides = list(settings.overrides)
    if settings.seeds is not None:
        overrides.append(f"seeds=[{', '.join(map(str, settings.seeds))}]")
    if settings.compare:
        # So that what is wrong with them is said with all the rest. JSON is YAML.
        overrides.append(f"compare={json.dumps(settings.compare)}")
    recipe = read_recipe(settings.recipe, overrides, balance_problems, model_problem)
    if not settings.push_to_hub and (settings.repo_id or settings.private is not None):
        raise UsageError(
            "--repo-id and --private say where a model is pushed, and --push-to-hub isn't there.",
            "Add --push-to-hub, or leave them out.",
        )
    if settings.push_to_hub and recipe.compare:
        raise UsageError(
            "--push-to-hub pushes the model of the recipe's own stages, and a comparison trains "
            "several.",
            "Leave --compare out (and compare: in the recipe) to train and push one.",
        )
    return recipe


@dataclass(frozen=True)
class TrainResult:
    """What a run gave.

    Attributes:
        out: The output folder.
        recipe: The resolved recipe.
        results: Each method's seeds' results; the recipe's own stages are called "recipe".
        subject: What all of it was trained and tested on.
        comparison: The methods side by side; None where only the recipe's own stages ran.
        pushed: What was pushed to the Hub; None if nothing was.
    """

    out: Path
    recipe: Recipe
    results: Mapping[str, Mapping[int, Result]]
    subject: Subject
    comparison: Comparison | None = None
    pushed: Pushed | None = None

    def __repr__(self) -> str:
        frame = self.to_pandas()
        shown = [name for name in metric_names("comparison") if frame[name].notna().any()]
        rows = [
            (f"{row.method}, seed {row.seed}", *(f"{100 * getattr(row, n):.1f}" for n in shown))
            for row in frame.itertuples()
        ]
        titles = ["% of the test images", *(name.replace("_", " ") for name in shown)]
        return "\n".join([text_table(titles, rows), "", *self.summary()])

    def to_pandas(self) -> DataFrame:
        """One row a method and seed: method, seed, the figures (fractions), steps, seconds."""
        from pandas import DataFrame

        rows = [
            {
                "method": method,
                "seed": seed,
                **{name: run.test.figures[name] for name in metric_names("comparison")},
                "steps": run.steps,
                "images_seen": run.images_seen,
                "seconds": run.seconds,
            }
            for method, runs in self.results.items()
            for seed, run in runs.items()
        ]
        # None in a column of numbers would leave them objects.
        return DataFrame(rows).astype(dict.fromkeys(metric_names("comparison"), float))

    def summary(self) -> list[str]:
        """The result in a few lines."""
        if self.comparison is not None:
            return [
                *self.comparison.verdicts(),
                f"The whole table: {self.out / 'comparison.md'}, its picture: comparison.png.",
            ]
        model = RunFolder(self.out).method(None).seed(self.recipe.seeds[0]).model
        counts = self.subject.counts
        return [
            f"Trained on {sum(counts.real):,} real and {sum(counts.synthetic):,} synthetic images "
            f"of {len(counts.classes)} classes, tested on {self.subject.test_images:,} real ones.",
            f"The figures are in {self.out / 'metrics.json'}, what was said of every test image "
            "in predictions.parquet, pictures beside them.",
            *([f"Use the model: synfill predict {model} IMAGES"] if model.is_dir() else []),
            *(self.pushed.summary() if self.pushed is not None else []),
        ]
