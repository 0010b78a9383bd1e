"""How often a classifier is right, over all images and over classes."""

from __future__ import annotations

from typing import ClassVar, Literal

from synfill.evaluation.metrics.base import Answers, Metric, Shown, mean_accuracy, worst


class Accuracy(Metric):
    """Share of images classified rightly."""

    name: Literal["accuracy"] = "accuracy"
    shown: ClassVar[Shown] = "summary"
    is_paired: ClassVar[bool] = True

    def measure(self, answers: Answers) -> float:
        """The figure."""
        return float(answers.right.mean())


class BalancedAccuracy(Metric):
    """Mean of the classes' accuracies.

    Over classes that have images here.
    """

    name: Literal["balanced_accuracy"] = "balanced_accuracy"
    title: ClassVar[str] = "balanced"

    def measure(self, answers: Answers) -> float | None:
        """The figure."""
        return mean_accuracy(answers.class_accuracy, answers.present)


class MacroF1(Metric):
    """Mean of the classes' F1 scores.

    Over classes that have images here.
    """

    name: Literal["macro_f1"] = "macro_f1"
    shown: ClassVar[Shown] = "metrics"

    def measure(self, answers: Answers) -> float:
        """The figure."""
        from sklearn.metrics import f1_score

        return float(
            f1_score(
                answers.labels,
                answers.predicted,
                labels=answers.present,
                average="macro",
                zero_division=0,
            )
        )


class WorstClass(Metric):
    """Accuracy of each seed's worst class."""

    name: Literal["worst_class"] = "worst_class"
    shown: ClassVar[Shown] = "metrics"

    def measure(self, answers: Answers) -> float | None:
        """The figure."""
        position = worst(answers.class_accuracy)
        return None if position is None else float(answers.class_accuracy[position])
