"""What is asked of a training run beside its recipe, and what the run gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synfill.config.training import Recipe
from synfill.evaluation.comparison import FIGURES, Comparison, Subject
from synfill.evaluation.results import Result
from synfill.runs.training_folder import RunFolder
from synfill.tables import text_table

if TYPE_CHECKING:
    from pandas import DataFrame

    from synfill.hub.upload.push import Pushed


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
        shown = [name for name in FIGURES if frame[name].notna().any()]
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
                **{name: run.test.scalar(name) for name in FIGURES},
                "steps": run.steps,
                "images_seen": run.images_seen,
                "seconds": run.seconds,
            }
            for method, runs in self.results.items()
            for seed, run in runs.items()
        ]
        # None in a column of numbers would leave them objects.
        return DataFrame(rows).astype({name: float for name in FIGURES})

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
