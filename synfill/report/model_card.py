"""Recipe + results -> the card of a trained classifier, for its page on the Hub. Pure text.

The header names no licence: that of the training images is not the model's, and what the model's
is depends on those images, on pretrained weights, and on who trained it. The card says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from huggingface_hub import EvalResult, ModelCardData

from synfill.config.training import Recipe, StageSettings, SyntheticSettings, TestSettings
from synfill.evaluation.comparison import percent
from synfill.evaluation.metrics.base import TrainCounts, definitions, names_for_tables
from synfill.evaluation.results import Result, Spread, scalar, spread
from synfill.markdown import escape, table

MOST_ROWS = 60
# The Hub's name of a metric where it has one, and the name that is shown.
_INDEXED = {
    "accuracy": ("accuracy", "Accuracy"),
    "balanced_accuracy": ("balanced_accuracy", "Balanced accuracy"),
    "macro_f1": ("f1", "Macro F1"),
    "tail": ("tail_accuracy", "Tail accuracy"),
    "worst_cell": ("worst_group_accuracy", "Worst cell accuracy"),
    "expected_calibration_error": ("expected_calibration_error", "Expected calibration error"),
}


@dataclass(frozen=True)
class ModelCard:
    """All that a card says.

    Attributes:
        id: The repository, owner/name.
        recipe: The recipe, with nothing in it that only means something on one machine.
        counts: What the classifier was trained on.
        runs: The results of all seeds; the first one's weights are those in the repository.
        version: synfill's version.
        pictures: The files of pictures beside the card, by what they show.
    """

    id: str
    recipe: Recipe
    counts: TrainCounts
    runs: tuple[Result, ...]
    version: str
    pictures: Mapping[str, str] = field(default_factory=dict)


def hub_id(source: str) -> str:
    """The Hub id of a dataset of a card's recipe; "" for a local or built-in one.

    Args:
        source: As the recipe names it; local ones by their last folder only.
    """
    return source.partition("@")[0] if "/" in source else ""


def write_model_card(card: ModelCard) -> str:
    """The text of README.md, with its YAML metadata."""
    parts = [
        f"---\n{_metadata(card).to_yaml()}\n---",
        f"# {escape(card.id.partition('/')[2])}",
        _introduction(card),
        "## Use",
        "```python\nimport synfill\n\n"
        f"classifier = synfill.load_classifier({card.id!r})\n"
        'probabilities = classifier.predict(["image.jpg"])  '
        "# (images, classes); names in classifier.classes\n```",
        "## Results",
        _results(card),
        "## Classes",
        _counts_table(
            "class", card.counts.classes, card.counts.real, card.counts.synthetic,
            card.runs[0].test.class_images, [run.test.per_class for run in card.runs],
        ),
    ]  # fmt: skip
    if card.counts.cells:
        parts += [
            "## Groups",
            _counts_table(
                "cell", card.counts.cells, card.counts.cell_real, card.counts.cell_synthetic,
                card.runs[0].test.cell_images, [run.test.per_cell for run in card.runs],
            ),
        ]  # fmt: skip
    parts += [
        "## Training",
        _training(card),
        "## Cautions",
        _cautions(card),
        f"Made by synfill {card.version} with `recipe.yaml`, which stands beside this card.",
    ]
    return "\n\n".join(parts) + "\n"


def _metadata(card: ModelCard) -> ModelCardData:
    data = card.recipe.data
    sources = [data.train]
    if isinstance(data.synthetic, SyntheticSettings) and data.synthetic.source is not None:
        sources.append(data.synthetic.source)
    test, split = _test(card)
    # Of the weights that are here: the mean over seeds is no figure of theirs.
    measured = card.runs[0].test
    figures = {name: measured.figures[name] for name in _INDEXED}
    return ModelCardData(
        library_name="synfill",
        pipeline_tag="image-classification",
        tags=["image-classification", "synfill", "class-imbalance", "synthetic-data"],
        datasets=[id for id in dict.fromkeys(map(hub_id, sources)) if id] or None,
        metrics=["accuracy", "f1"],
        model_name=card.id.partition("/")[2],
        eval_results=[
            EvalResult(
                task_type="image-classification",
                task_name="Image classification",
                dataset_type=hub_id(test) or test,
                dataset_name=test,
                dataset_split=split,
                metric_type=_INDEXED[name][0],
                metric_name=_INDEXED[name][1],
                metric_value=round(value, 4),
            )
            for name, value in figures.items()
            if value is not None
        ],
    )


def _test(card: ModelCard) -> tuple[str, str | None]:
    """The dataset that was tested on, and its split, where the recipe names it."""
    test = card.recipe.data.test
    if isinstance(test, TestSettings):
        return test.source, test.split
    return card.recipe.data.train, test


def _introduction(card: ModelCard) -> str:
    recipe, counts = card.recipe, card.counts
    real, synthetic = sum(counts.real), sum(counts.synthetic)
    start = ", starting from ImageNet weights" if recipe.model.pretrained else ""
    made = (
        f" **{synthetic:,} of its {real + synthetic:,} training images are synthetic.**"
        if synthetic
        else ""
    )
    return (
        f"A classifier of images in {len(counts.classes):,} classes: "
        f"`{recipe.model.name}`{start}, trained on {real:,} real "
        f"{f'and {synthetic:,} synthetic ' if synthetic else ''}images of "
        f"{_linked(recipe.data.train)}.{made}"
    )


def _results(card: ModelCard) -> str:
    test, split = _test(card)
    seeds = ", ".join(str(run.seed) for run in card.runs)
    rows, meanings = [], definitions()
    for name in names_for_tables():
        found = scalar([run.test for run in card.runs], name)
        if found is not None:
            own = f"{100 * found.values[0]:.1f}"
            rows.append([name.replace("_", " "), own, percent(found), escape(meanings[name])])
    one = len(card.runs) == 1
    spread_told = (
        "It was trained with one seed only: how much of a figure is luck is not known."
        if one
        else f"The same was trained with the seeds {seeds}; the mean over them with its 95 % "
        "interval (Student's t) says what another training run would give."
    )
    of = f" of the split `{split}`" if split else ""
    return "\n\n".join(
        [
            f"In percent, on {card.runs[0].test.images:,} real images{of} of {_linked(test)}, "
            "which chose neither an epoch nor a setting. The weights here are those of seed "
            f"{card.runs[0].seed}. {spread_told}",
            _figures(rows, one),
            "The confusion matrix and every seed's figures are in `metrics.json`.",
            *(f"![{escape(shown)}]({file})" for shown, file in card.pictures.items()),
        ]
    )


def _figures(rows: Sequence[Sequence[str]], one: bool) -> str:
    columns = ["", "these weights", "all seeds", "definition"]
    kept = (0, 1, 3) if one else (0, 1, 2, 3)
    return table([columns[k] for k in kept], [[row[k] for k in kept] for row in rows])


def _counts_table(
    what: str,
    names: Sequence[str],
    real: Sequence[int],
    synthetic: Sequence[int],
    images: Sequence[int],
    accuracies: Sequence[Sequence[float | None]],
) -> str:
    """A class or cell a line: what it was trained on, before and after, and how well it does."""
    rows = []
    for position, name in enumerate(names):
        found: Spread | None = spread([one[position] for one in accuracies])
        rows.append(
            [
                escape(name),
                f"{real[position]:,}",
                f"{synthetic[position]:,}",
                f"{real[position] + synthetic[position]:,}",
                f"{images[position]:,}",
                percent(found),
            ]
        )
    columns = [what, "real", "synthetic", "in all", "test images", "accuracy (%)"]
    folded = len(rows) - MOST_ROWS
    if folded > 0:
        half = MOST_ROWS // 2
        rows = [*rows[:half], [f"... {folded:,} more", "", "", "", "", ""], *rows[-half:]]
    return table(columns, rows)


def _training(card: ModelCard) -> str:
    recipe = card.recipe
    tail = recipe.data.long_tail
    lines = []
    if tail is not None:
        lines.append(
            f"- Of the training images a long tail was kept: imbalance factor "
            f"{tail.imbalance_factor:g}, {tail.type}"
        )
    if sum(card.counts.synthetic):
        lines.append(f"- Synthetic images: {_synthetic(recipe)}")
    lines += [
        f"- Stage {number}{f' (`{stage.name}`)' if stage.name else ''}: {_stage(stage)}"
        for number, stage in enumerate(recipe.stages, 1)
    ]
    steps, seen = card.runs[0].steps, card.runs[0].images_seen
    lines.append(f"- In all {steps:,} optimizer steps, which saw {seen:,} images")
    return "\n".join(lines)


def _synthetic(recipe: Recipe) -> str:
    synthetic = recipe.data.synthetic
    if not isinstance(synthetic, SyntheticSettings):
        return f"those of {_linked(recipe.data.train)}"
    if synthetic.source is not None:
        return f"those of {_linked(synthetic.source)}"
    model = (synthetic.balance or {}).get("model")
    by = f" and the text-to-image model `{model}`" if isinstance(model, str) else ""
    return f"made with `synfill balance`{by}; its settings are in `recipe.yaml`"


def _stage(stage: StageSettings) -> str:
    trained = {"all": "the whole network", "classifier": "the last layer"}
    what = (
        trained[stage.trainable]
        if isinstance(stage.trainable, str)
        else ", ".join(f"`{pattern}`" for pattern in stage.trainable)
    )
    length = f"{stage.epochs:,} epochs" if stage.epochs is not None else f"{stage.steps:,} steps"
    mixed = f", {stage.mix} (alpha {stage.alpha:g})" if stage.mix != "none" else ""
    return (
        f"{what} on {stage.data.replace('+', ' and ')} images ({stage.sampling}), {length}, batch "
        f"{stage.batch_size:,}, {stage.optimizer} with learning rate {stage.lr:g} "
        f"({stage.schedule}), {stage.loss}, augmentation {stage.augment}{mixed}"
    )


def _cautions(card: ModelCard) -> str:
    lines = []
    if sum(card.counts.synthetic):
        lines.append(
            "- Many of the training images are what a text-to-image model takes the words for. "
            "The classifier may have learned its biases and its mistakes."
        )
    lines += [
        "- It knows no class but those above, and gives one of them to every image.",
        "- The figures hold for images like those that it was tested on. Few test images of a "
        "class or cell make its figure uncertain, whatever its interval over seeds.",
        "- It wasn't made to decide about people.",
        "- No licence is stated here: it depends on the terms of the training images"
        + (", of the pretrained weights" if card.recipe.model.pretrained else "")
        + (", of the model that made the synthetic ones" if sum(card.counts.synthetic) else "")
        + ", and on whoever trained it.",
    ]
    return "\n".join(lines)


def _linked(source: str) -> str:
    id = hub_id(source)
    return f"[{id}](https://huggingface.co/datasets/{id})" if id else f"`{source}`"
