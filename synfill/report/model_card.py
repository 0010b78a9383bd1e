"""What a run left on disk -> the card of a classifier, for its page on the Hub. Pure text.

Its words are in a template. The header names no licence: that of the training images is not the
model's, and what the model's is depends on those images, on pretrained weights, and on who trained
it. The card says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from synfill.config.recipes.settings import (
    Recipe,
    Stage,
    StageSettings,
    SyntheticSettings,
    TestSettings,
)
from synfill.config.registry import describe, name_of
from synfill.evaluation.comparison import percent
from synfill.evaluation.metrics.base import names_for_tables
from synfill.evaluation.results import read_spread
from synfill.markdown import escape, table
from synfill.records import JsonObject

_TEMPLATE = Path(__file__).parent / "templates" / "model_card.md.jinja"
_MOST_ROWS = 60
# The Hub's name of a metric where it has one, and the name that is shown.
_INDEXED = {
    "accuracy": ("accuracy", "Accuracy"),
    "balanced_accuracy": ("balanced_accuracy", "Balanced accuracy"),
    "macro_f1": ("f1", "Macro F1"),
    "tail": ("tail_accuracy", "Tail accuracy"),
    "worst_cell": ("worst_group_accuracy", "Worst cell accuracy"),
    "expected_calibration_error": ("expected_calibration_error", "Expected calibration error"),
}


def write_model_card(
    id: str,
    recipe: Recipe,
    metrics: JsonObject,
    version: str,
    pictures: Mapping[str, str],
) -> str:
    """The text of README.md, with its YAML metadata.

    Args:
        id: The repository, owner/name.
        recipe: The recipe, with nothing in it that only means something on one machine.
        metrics: The content of metrics.json; the first seed's weights are those in the repository.
        version: synfill's version.
        pictures: The files of pictures beside the card, by what they show.
    """
    test, per_class, tail = metrics["test"], metrics["test"]["per_class"], recipe.data.long_tail
    test_source, test_split = _test(recipe)
    card = ModelCard.from_template(
        _metadata(id, recipe, metrics),
        str(_TEMPLATE),
        id=repr(id),
        name=escape(id.partition("/")[2]),
        recipe=recipe,
        version=version,
        classes=f"{len(metrics['classes']):,}",
        real=sum(entry["real"] for entry in per_class),
        synthetic=sum(entry["synthetic"] for entry in per_class),
        source=_linked(recipe.data.train),
        test_images=f"{test['images']:,}",
        test_source=_linked(test_source),
        test_split=test_split,
        seeds=metrics["seeds"],
        figures=_figures(metrics),
        pictures=[(escape(shown), file) for shown, file in pictures.items()],
        per_class=_counts_table("class", per_class),
        per_cell=_counts_table("cell", test["per_cell"]) if test["per_cell"] else "",
        long_tail=f"{tail.imbalance_factor:g}, {tail.type}" if tail is not None else "",
        synthetic_source=_synthetic(recipe),
        stages=[
            f"{f' (`{stage.name}`)' if stage.name else ''}: {_stage(stage)}"
            for stage in recipe.stages
        ],
        steps=f"{metrics['steps'][0]:,}",
        images_seen=f"{metrics['images_seen'][0]:,}",
    )
    return f"{card}\n"


def hub_id(source: str) -> str:
    """The Hub id of a dataset of a card's recipe; "" for a local or built-in one.

    Args:
        source: As the recipe names it; local ones by their last folder only.
    """
    return source.partition("@")[0] if "/" in source else ""


def _metadata(id: str, recipe: Recipe, metrics: JsonObject) -> ModelCardData:
    sources = [recipe.data.train]
    synthetic = recipe.data.synthetic
    if isinstance(synthetic, SyntheticSettings) and synthetic.source is not None:
        sources.append(synthetic.source)
    test, split = _test(recipe)
    return ModelCardData(
        library_name="synfill",
        pipeline_tag="image-classification",
        tags=["image-classification", "synfill", "class-imbalance", "synthetic-data"],
        datasets=[id for id in dict.fromkeys(map(hub_id, sources)) if id] or None,
        metrics=["accuracy", "f1"],
        model_name=id.partition("/")[2],
        eval_results=[
            EvalResult(
                task_type="image-classification",
                task_name="Image classification",
                dataset_type=hub_id(test) or test,
                dataset_name=test,
                dataset_split=split,
                metric_type=type,
                metric_name=shown,
                # Of the weights that are here: the mean over seeds is no figure of theirs.
                metric_value=round(metrics["test"][name]["values"][0], 4),
            )
            for name, (type, shown) in _INDEXED.items()
            if metrics["test"][name] is not None
        ],
    )


def _test(recipe: Recipe) -> tuple[str, str | None]:
    """The dataset that was tested on, and its split, where the recipe names it."""
    test = recipe.data.test
    if isinstance(test, TestSettings):
        return test.source, test.split
    return recipe.data.train, test


def _figures(metrics: JsonObject) -> str:
    """A figure a line: of the weights that are here, over all seeds if there are several, what it
    is.
    """
    rows = []
    for name in names_for_tables():
        found = read_spread(metrics["test"].get(name))
        if found is not None:
            own = f"{100 * found.values[0]:.1f}"
            meaning = escape(metrics["definitions"][name])
            rows.append([name.replace("_", " "), own, percent(found), meaning])
    columns = ["", "these weights", "all seeds", "definition"]
    kept = (0, 1, 3) if len(metrics["seeds"]) == 1 else (0, 1, 2, 3)
    return table([columns[k] for k in kept], [[row[k] for k in kept] for row in rows])


def _counts_table(what: str, entries: Sequence[JsonObject]) -> str:
    """A class or cell a line: what it was trained on, before and after, and how well it does."""
    rows = [
        [
            escape(entry[what]),
            f"{entry['real']:,}",
            f"{entry['synthetic']:,}",
            f"{entry['real'] + entry['synthetic']:,}",
            f"{entry['images']:,}",
            percent(read_spread(entry["accuracy"])),
        ]
        for entry in entries
    ]
    columns = [what, "real", "synthetic", "in all", "test images", "accuracy (%)"]
    folded = len(rows) - _MOST_ROWS
    if folded > 0:
        half = _MOST_ROWS // 2
        rows = [*rows[:half], [f"... {folded:,} more", "", "", "", "", ""], *rows[-half:]]
    return table(columns, rows)


def _synthetic(recipe: Recipe) -> str:
    synthetic = recipe.data.synthetic
    if not isinstance(synthetic, SyntheticSettings):
        return f"those of {_linked(recipe.data.train)}"
    if synthetic.source is not None:
        return f"those of {_linked(synthetic.source)}"
    model = (synthetic.balance or {}).get("model")
    by = f" and the text-to-image model `{model}`" if isinstance(model, str) else ""
    return f"made with `synfill balance`{by}; its settings are in `recipe.yaml`"


def _stage(stage: Stage) -> str:
    if not isinstance(stage, StageSettings):
        return f"{describe(stage)} on {stage.data.replace('+', ' and ')} images"
    trained = {"all": "the whole network", "classifier": "the last layer"}
    what = (
        trained[stage.trainable]
        if isinstance(stage.trainable, str)
        else ", ".join(f"`{pattern}`" for pattern in stage.trainable)
    )
    length = f"{stage.epochs:,} epochs" if stage.epochs is not None else f"{stage.steps:,} steps"
    mix = stage.complete(stage.mix)
    mixed = f", {name_of(mix)}" if name_of(mix) != "none" else ""
    if (alpha := getattr(mix, "alpha", None)) is not None:
        mixed += f" (alpha {alpha:g})"
    return (
        f"{what} on {stage.data.replace('+', ' and ')} images ({stage.sampling}), {length}, batch "
        f"{stage.batch_size:,}, {stage.optimizer} with learning rate {stage.lr:g} "
        f"({stage.schedule}), {stage.loss}, augmentation {stage.augment}{mixed}"
    )


def _linked(source: str) -> str:
    id = hub_id(source)
    return f"[{id}](https://huggingface.co/datasets/{id})" if id else f"`{source}`"
