"""Results of several methods on the same data and seeds -> which is better, and how surely.

Pure: takes results, gives JSON, Markdown and the rows of a table. Differences are paired: those
of the same seed are taken first, then their mean and interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synfill.config.recipes.settings import Budget
from synfill.config.registry import name_of
from synfill.evaluation.metrics.base import (
    TrainCounts,
    metric_names,
    metrics,
    paired_names,
    title_of,
)
from synfill.evaluation.results import Result, Spread, cost_json, scalar, spread, spread_json
from synfill.markdown import escape, table
from synfill.records import JsonObject
from synfill.tables import text_table

if TYPE_CHECKING:
    from pandas import DataFrame

_BUDGETS: Mapping[Budget, str] = {
    "steps": "an epoch of every method has as many optimizer steps as one of the recipe's own "
    "stages (budget: steps)",
    "epochs": "each method makes its epochs over its own images (budget: epochs)",
}


@dataclass(frozen=True)
class Subject:
    """What the methods were compared on.

    Attributes:
        recipe: The recipe's name.
        data: The training dataset, as the user named it.
        counts: What there was to train on; a method may leave out some of it.
        test_images: Images that the methods were tested on.
        budget: How long they trained: "steps", as many optimizer steps as the recipe's own
            stages; "epochs", each its epochs over its own images.
    """

    recipe: str
    data: str
    counts: TrainCounts
    test_images: int
    budget: Budget = "steps"


@dataclass(frozen=True)
class Compared:
    """One method.

    Attributes:
        method: Its name.
        runs: The results of its seeds.
        figures: Each metric of comparisons over the seeds; None where it doesn't apply.
        paired: The seeds that the first method has too; empty for the first method itself.
        differences: This method less the first, for each metric that is compared in pairs, over
            `paired`; empty for the first method, None where the figure doesn't apply.
    """

    method: str
    runs: tuple[Result, ...]
    figures: Mapping[str, Spread | None]
    paired: tuple[int, ...]
    differences: Mapping[str, Spread | None]


@dataclass(frozen=True)
class Comparison:
    """Methods side by side.

    Attributes:
        subject: What they were compared on.
        methods: The methods, in the order asked for; the first is what the others must beat.
    """

    subject: Subject
    methods: tuple[Compared, ...]

    def __repr__(self) -> str:
        return "\n".join([text_table(["%", *self.columns()], self.rows()), "", *self.verdicts()])

    def to_pandas(self) -> DataFrame:
        """One row a method: each figure's mean and ci95 (fractions), and those of its difference
        from the first method where it has one.
        """
        from pandas import DataFrame

        rows = []
        for one in self.methods:
            row: dict[str, Any] = {"method": one.method, "seeds": len(one.runs)}
            differences = {
                f"difference_{name}": one.differences.get(name) for name in paired_names()
            }
            for name, found in {**one.figures, **differences}.items():
                row[name] = found.mean if found is not None else None
                row[f"{name}_ci95"] = found.ci95 if found is not None else None
            rows.append(row)
        frame = DataFrame(rows)
        # None in a column of numbers would leave them objects.
        return frame.astype({name: float for name in frame.columns[2:]})

    def to_json(self) -> list[JsonObject]:
        """The content of comparison.json; docs/metrics.md says what its keys mean."""
        first = self.methods[0].method
        return [
            {
                "method": one.method,
                "budget": self.subject.budget,
                "seeds": [run.seed for run in one.runs],
                **{name: spread_json(value) for name, value in one.figures.items()},
                "difference": {
                    "from": first,
                    "seeds": list(one.paired),
                    **{name: spread_json(value) for name, value in one.differences.items()},
                }
                if one.differences
                else None,
                **cost_json(one.runs),
            }
            for one in self.methods
        ]

    def to_markdown(self) -> str:
        """The content of comparison.md."""
        first = self.methods[0]
        columns = [
            "",
            *map(title_of, first.figures),
            *(f"{title_of(name)} less {escape(first.method)}'s" for name in paired_names()),
        ]
        rows = [
            [
                escape(one.method),
                *map(percent, one.figures.values()),
                *(difference(one.differences.get(name)) for name in paired_names()),
                *(_mean(values) for values in cost_json(one.runs).values()),
            ]
            for one in self.methods
        ]
        parts = [
            f"# {escape(self.subject.recipe)}: methods compared",
            f"Percent on {self.subject.test_images:,} real test images; {self.describe_budget()}.",
            table([*columns, "steps", "images seen", "seconds"], rows),
            *(f"- {line}" for line in self.verdicts()),
            "## What was compared",
            *(f"- {line}" for line in self._notes()),
        ]
        return "\n\n".join(parts) + "\n"

    def describe_budget(self) -> str:
        """What the methods' lengths go by, in words; and whether they came out alike."""
        alike = len({run.steps for one in self.methods for run in one.runs}) == 1
        if self.subject.budget == "steps" and alike:
            return "every method took the same optimizer steps (budget: steps)"
        return _BUDGETS[self.subject.budget]

    def columns(self) -> list[str]:
        """The titles of the columns of `rows`, without that of the name."""
        first = self.methods[0].method
        return [
            "steps",
            *map(title_of, self._shown()),
            *(f"{title_of(name)} - {first}" for name in self._shown_differences()),
        ]

    def first_difference(self) -> int:
        """The position in `columns` from which on they are differences."""
        return len(self.columns()) - len(self._shown_differences())

    def rows(self) -> list[tuple[str, ...]]:
        """The table for a terminal: a name, then `columns`. What applies to no method is left out.

        Figures in percent; some without their intervals, for room. Steps are a seed's, over all
        stages.
        """
        plain = {name_of(metric) for metric in metrics() if metric.is_plain}
        return [
            (
                one.method,
                _mean([run.steps for run in one.runs]),
                *(percent(one.figures[name], interval=name not in plain) for name in self._shown()),
                *(difference(one.differences.get(name)) for name in self._shown_differences()),
            )
            for one in self.methods
        ]

    def verdicts(self) -> list[str]:
        """Which differences are larger than their interval, and which aren't; one line a method."""
        first = self.methods[0]
        lines = []
        for one in self.methods[1:]:
            known = {name: found for name, found in one.differences.items() if found is not None}
            if not known:
                lines.append(f"{one.method} and {first.method} have no seed in common.")
                continue
            parts = [_verdict(name, found) for name, found in known.items()]
            lines.append(f"{one.method} against {first.method}: {'; '.join(parts)}.")
        if any(len(one.runs) == 1 for one in self.methods):
            lines.append(
                "One seed gives no interval: a difference may be luck. Run more, e.g. "
                "--seeds 0,1,2."
            )
        return lines

    def _shown(self) -> list[str]:
        """The figures of the short table that apply to any method."""
        names = metric_names("summary")
        return [n for n in names if any(one.figures[n] is not None for one in self.methods)]

    def _shown_differences(self) -> list[str]:
        others = self.methods[1:]
        return [n for n in paired_names() if any(one.differences[n] is not None for one in others)]

    def _notes(self) -> list[str]:
        subject, counts = self.subject, self.subject.counts
        seeds = sorted({run.seed for one in self.methods for run in one.runs})
        real = [count for count in counts.real if count]
        groups = f", groups {', '.join(map(escape, counts.groups))}" if counts.groups else ""
        smallest = f", {min(real):,} to {max(real):,} a class" if real else ""
        return [
            f"Data: {escape(subject.data)}: {len(counts.classes):,} classes{groups}; to train on, "
            f"{sum(counts.real):,} real images{smallest}, and {sum(counts.synthetic):,} synthetic "
            f"ones, of which each method takes what its stages say; {subject.test_images:,} real "
            "test images. Every method has the same.",
            f"Seeds: {', '.join(map(str, seeds))}. Figures are percent: the mean over the seeds, "
            "± half the width of its 95 % interval (Student's t). The interval covers the luck of "
            "a training run, not other test images or other synthetic ones; and with several "
            "comparisons some will be larger than theirs by luck alone.",
            "Many, medium and few are the classes with more than 100, 20 to 100, and fewer than 20 "
            "real training images; head, middle and tail are thirds of the classes by that count.",
            "The test images chose nothing: no epoch, no setting, no seed. Each was classified "
            "once by each finished classifier.",
            "Differences are paired: of the same seed first, then their mean and interval. "
            "Steps, images seen and seconds are a seed's, on average.",
            f"Lengths: {_BUDGETS[subject.budget]}. Steps are those of all stages together: a "
            "method that re-trains its classifier takes its second stage's on top of the first "
            "one's, which are as many as a method of one stage takes"
            + ("." if subject.budget == "steps" else ", if both see the same images."),
        ]


def compare(subject: Subject, results: Mapping[str, Mapping[int, Result]]) -> Comparison:
    """Put methods side by side.

    Args:
        subject: What they were run on.
        results: For each method, in order, the result of each seed; at least one method and one
            seed of each.
    """
    first = next(iter(results.values()))
    return Comparison(
        subject,
        tuple(
            _compared(method, runs, first if position else {})
            for position, (method, runs) in enumerate(results.items())
        ),
    )


def _compared(method: str, runs: Mapping[int, Result], first: Mapping[int, Result]) -> Compared:
    tests = [run.test for run in runs.values()]
    paired = tuple(seed for seed in runs if seed in first)
    return Compared(
        method,
        tuple(runs.values()),
        {name: scalar(tests, name) for name in metric_names("comparison")},
        paired,
        {name: _difference(runs, first, paired, name) for name in paired_names()} if first else {},
    )


def _difference(
    runs: Mapping[int, Result], first: Mapping[int, Result], paired: Sequence[int], name: str
) -> Spread | None:
    pairs = [(runs[seed].test.figures[name], first[seed].test.figures[name]) for seed in paired]
    return spread([a - b if a is not None and b is not None else None for a, b in pairs])


def percent(value: Spread | None, interval: bool = True) -> str:
    """A figure for a person: 87.3 ± 1.2; a dash where it doesn't apply.

    Args:
        value: The figure, as a fraction.
        interval: Whether its interval is shown.
    """
    if value is None:
        return "-"
    around = f" ± {100 * value.ci95:.1f}" if interval and value.ci95 is not None else ""
    return f"{100 * value.mean:.1f}{around}"


def difference(value: Spread | None) -> str:
    """A difference for a person: with its sign."""
    if value is None:
        return "-"
    return f"{'+' if value.mean >= 0 else ''}{percent(value)}"


def _verdict(name: str, found: Spread) -> str:
    text = f"{title_of(name)} {difference(found)} points"
    if found.ci95 is None:
        return f"{text} (one seed, no interval)"
    return f"{text}, {'more' if found.is_clear else 'not more'} than the interval"


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):,.0f}"
