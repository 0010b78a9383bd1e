"""Pictures of a training run, drawn from what it left on disk: curves, confusion, class sizes.

Reads metrics.json, history.jsonl and comparison.json; knows neither networks nor images. The same
files give the same bytes: there are no times in a picture.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synfill.evaluation.metrics.base import metric_names, paired_names, title_of
from synfill.files import atomic_write
from synfill.reading import parse_json, read_regular
from synfill.records import JsonObject
from synfill.runs.training_folder import COMPARED, CONFUSION, CURVES, SIZES, MethodFolder
from synfill.training.stage.history import read_history

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_NAMED = 40
"""Classes above which a picture doesn't name them."""
_MOST_NUMBERS = 12
_MOST_CELLS = 100
"""Squares on a side of a confusion matrix whose classes are shown some at a time."""
_COLORS = ("#4C72B0", "#DD8452", "#55A868", "#C44E52", "#8172B3", "#937860", "#DA8BC3", "#8C8C8C")
_MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
_LINES = ("-", "--", ":", "-.")
"""Of methods that share a colour: it comes again after eight."""


def draw_method(folder: MethodFolder) -> None:
    """Draw a method's pictures into its folder.

    Args:
        folder: The method's, with a metrics.json of all its finished seeds.

    Raises:
        OSError, ValueError: A file isn't there or is damaged.
        RunError: The disk is full.
    """
    metrics = parse_json(read_regular(folder.path / "metrics.json", 1 << 30))
    histories = [_history(folder.seed(seed).history) for seed in metrics["seeds"]]
    title = f"{metrics['recipe']}, {metrics['method']}"
    for name, picture in (
        (CURVES, draw_curves(title, metrics["seeds"], histories)),
        (CONFUSION, draw_confusion(title, metrics)),
        (SIZES, draw_sizes(title, {metrics["method"]: metrics})),
    ):
        _write(folder.path / name, picture)


def _history(path: Path) -> list[JsonObject]:
    try:
        return read_history(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ValueError(f"{path} can't be used ({reason or error})") from None


def draw_comparison(out: Path) -> None:
    """Draw the pictures of a comparison into its output folder.

    Args:
        out: The folder, with comparison.json and the methods' own folders.

    Raises:
        OSError, ValueError: A file isn't there or is damaged.
        RunError: The disk is full.
    """
    entries = parse_json(read_regular(out / "comparison.json", 1 << 30))
    metrics = {
        entry["method"]: parse_json(
            read_regular(out / entry["method"] / "metrics.json", 1 << 30)
        )
        for entry in entries
    }  # fmt: skip
    recipe = next(iter(metrics.values()))["recipe"]
    _write(out / COMPARED, draw_figures(recipe, entries))
    _write(out / SIZES, draw_sizes(recipe, metrics))


def draw_curves(
    title: str, seeds: Sequence[int], histories: Sequence[Sequence[JsonObject]]
) -> bytes:
    """Loss, accuracy and learning rate over the optimizer steps, a line a seed.

    Args:
        title: What was trained.
        seeds: The seeds.
        histories: For each its history, as `read_history` gives it.

    Returns:
        A PNG's bytes.
    """
    figure, (losses, accuracies, rates) = _figure(8, 6.6, nrows=3, sharex=True)
    stages: list[tuple[list[int], list[JsonObject]]] = []
    for at, (seed, history) in enumerate(zip(seeds, histories, strict=True)):
        stages = _split_stages(history)
        # A line a stage: what follows is measured on other images, or otherwise.
        for number, (steps, entries) in enumerate(stages):
            # A stage of a single entry is a point.
            lone = {"marker": "o", "ms": 4, "markevery": [0] if len(steps) == 1 else []}
            look: dict[str, Any] = {"color": _COLORS[at % len(_COLORS)], "lw": 1.2, **lone}
            label = None if number else f"seed {seed}"
            for axes, key in ((losses, "loss"), (accuracies, "accuracy")):
                axes.plot(steps, [entry[key] for entry in entries], label=label, **look)
                held = [entry.get("validation", {}).get(key, np.nan) for entry in entries]
                axes.plot(steps, held, "--", **look)
            if at == 0:
                rates.plot(steps, [entry["lr"] for entry in entries], **look | {"color": "0.3"})
    for axes, label in ((losses, "loss"), (accuracies, "accuracy"), (rates, "learning rate")):
        axes.set_ylabel(label)
        for steps, _ in stages[:-1]:
            axes.axvline(steps[-1], color="0.6", lw=0.8, ls=":")
    accuracies.set_ylim(0, 1.03)
    names = " | ".join(entries[0]["stage_name"] for _, entries in stages)
    rates.set_xlabel("optimizer steps" + (f", {names}" if names else ""))
    validated = any(entry.get("validation") for history in histories for entry in history)
    lines = "training images as they are shown (augmented, mixed)"
    _title(losses, f"{title}: {lines}" + ("; dashed: validation" if validated else ""))
    if stages and len(seeds) <= len(_COLORS):
        losses.legend(frameon=False, fontsize=8, ncols=4)
    return _png(figure)


def _split_stages(history: Sequence[JsonObject]) -> list[tuple[list[int], list[JsonObject]]]:
    """The entries of each stage, and at each of them the steps over all stages so far."""
    found: list[tuple[list[int], list[JsonObject]]] = []
    before = 0
    for _, group in itertools.groupby(history, key=lambda entry: entry["stage"]):
        entries = list(group)
        found.append(([before + entry["step"] for entry in entries], entries))
        before += entries[-1]["step"]
    return found


def draw_confusion(title: str, metrics: JsonObject) -> bytes:
    """The confusion matrix over all seeds: the share of a true class that is taken for each class.

    Args:
        title: What was trained.
        metrics: The content of metrics.json.

    Returns:
        A PNG's bytes.
    """
    names, counts = metrics["classes"], np.sum(metrics["test"]["confusion"], axis=0, dtype=float)
    # A pixel a class is none to see: many classes are shown some at a time.
    block = -(-len(names) // _MOST_CELLS) if len(names) > 2 * _MOST_CELLS else 1
    firsts = range(0, len(names), block)
    counts = np.add.reduceat(np.add.reduceat(counts, firsts, axis=0), firsts, axis=1)
    with np.errstate(invalid="ignore"):
        shares = 100 * counts / counts.sum(axis=1, keepdims=True)
    is_named = len(names) <= _MOST_NAMED
    side = 3.2 + 0.24 * len(names) if is_named else 8.0
    figure, (axes,) = _figure(min(max(side, 5), 12), min(max(side - 0.6, 4.4), 11.4))
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
    axes.set_aspect("equal")
    if is_named:
        labels = [_shorten(name, 24) for name in names]
        axes.set_xticks(range(len(names)), labels, rotation=90)
        axes.set_yticks(range(len(names)), labels)
    if len(names) <= _MOST_NUMBERS:
        for row, column in np.ndindex(shares.shape):
            share = shares[row, column]
            if share >= 0.5:
                color = "white" if share > 60 else "black"
                axes.text(column, row, f"{share:.0f}", color=color, fontsize=8,
                          ha="center", va="center")  # fmt: skip
    each = f", {block} classes a square" if block > 1 else ""
    order = "" if is_named else f" ({len(names):,}, in the order of metrics.json{each})"
    if block > 1:
        ends = (-0.5, len(names) / block - 0.5)
        axes.set_xticks(ends, ["1", f"{len(names):,}"])
        axes.set_yticks(ends, ["1", f"{len(names):,}"])
    axes.set_xlabel(f"taken for{order}")
    axes.set_ylabel(f"true class{order}")
    _title(axes, f"{title}: % of each class's test images, over all seeds")
    figure.colorbar(shown, shrink=0.7).ax.tick_params(labelsize=8)
    return _png(figure)


def draw_sizes(title: str, metrics: dict[str, JsonObject]) -> bytes:
    """Accuracy over the class's real training images: a point a class, with its name and interval
    where there is room, and the mean over classes of about the same size as a line.

    Args:
        title: What was trained.
        metrics: For each method the content of metrics.json.

    Returns:
        A PNG's bytes.
    """
    figure, (axes,) = _figure(8 if len(metrics) == 1 else 9.6, 4.6)
    for at, (method, one) in enumerate(metrics.items()):
        classes = [entry for entry in one["test"]["per_class"] if entry["accuracy"] is not None]
        real = np.array([entry["real"] for entry in classes], dtype=float)
        mean = np.array([entry["accuracy"]["mean"] for entry in classes])
        half = np.array([entry["accuracy"]["ci95"] or 0.0 for entry in classes])
        color = _COLORS[at % len(_COLORS)]
        alone = len(metrics) == 1
        points: dict[str, Any] = {"color": color, "ms": 5 if len(classes) <= 100 else 3}
        if alone and len(classes) <= _MOST_NAMED:
            axes.errorbar(real, mean, half, fmt="o", capsize=2, elinewidth=1, **points)
            for entry, x, y in zip(classes, real, mean, strict=True):
                axes.annotate(_shorten(entry["class"], 16), (x, y), (4, 4), fontsize=7,
                              textcoords="offset points")  # fmt: skip
        else:
            alpha = 0.35 if len(classes) > _MOST_NAMED else 0.7
            axes.plot(real, mean, _mark(at), alpha=alpha, **points)
        style = _LINES[at // len(_COLORS) % len(_LINES)]
        axes.plot(*_by_size(real, mean), style, color=color, lw=1.8, label=method)
    if len(metrics) > 1:
        # Beside the curves: there is no corner that none of them may come to.
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    axes.set_xscale("symlog", linthresh=1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("real training images of the class")
    axes.set_ylabel("accuracy on its test images")
    _title(axes, f"{title}: accuracy by class size (the line: mean of classes of like size)")
    return _png(figure)


def _by_size(
    real: NDArray[np.float64], accuracy: NDArray[np.float64]
) -> tuple[list[float], list[float]]:
    """Mean accuracy of the classes in up to eight parts, from the smallest to the largest."""
    order = np.argsort(real, kind="stable")
    parts = [part for part in np.array_split(order, min(8, len(order))) if len(part)]
    return [float(real[p].mean()) for p in parts], [float(accuracy[p].mean()) for p in parts]


def draw_figures(title: str, entries: Sequence[JsonObject]) -> bytes:
    """A comparison's figures with their intervals, and the paired differences from the first.

    Args:
        title: What was compared.
        entries: The content of comparison.json.

    Returns:
        A PNG's bytes.
    """
    names = [n for n in metric_names("summary") if any(entry.get(n) for entry in entries)]
    others = [entry for entry in entries if entry["difference"]]
    paired = [n for n in paired_names() if any(entry["difference"].get(n) for entry in others)]
    rows = 2 if paired else 1
    wide = max(8.0, 0.14 * len(entries) * len(names) + 3)
    figure, panels = _figure(wide, 3.6 * rows, nrows=rows)
    methods = [entry["method"] for entry in entries]
    budget = entries[0].get("budget", "")
    _panel(panels[0], names, entries, methods)
    panels[0].set_ylabel("% of test images")
    has_interval = any(entry[name]["ci95"] is not None for entry in entries for name in names
                       if entry[name])  # fmt: skip
    around = "mean over seeds, bars: 95 % interval" if has_interval else "one seed, no interval"
    _title(panels[0], f"{title}: {around}" + (f"; budget: {budget}" if budget else ""))
    panels[0].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    if paired:
        differences = [entry["difference"] for entry in others]
        _panel(panels[1], paired, differences, methods, first=len(entries) - len(others))
        panels[1].axhline(0, color="0.4", lw=0.8)
        panels[1].set_ylabel("points")
        _title(panels[1], f"Differences from {methods[0]}, seed by seed")
    return _png(figure)


def _panel(
    axes: Axes,
    names: Sequence[str],
    entries: Sequence[JsonObject],
    methods: Sequence[str],
    first: int = 0,
) -> None:
    """Points with intervals: a group a figure, in it one a method."""
    width = 0.8 / max(len(entries), 1)
    for at, entry in enumerate(entries):
        known = [(place, entry[name]) for place, name in enumerate(names) if entry[name]]
        axes.errorbar(
            [place + (at - (len(entries) - 1) / 2) * width for place, _ in known],
            [100 * one["mean"] for _, one in known],
            [100 * (one["ci95"] or 0.0) for _, one in known],
            fmt=_mark(at + first), ms=5, capsize=2, elinewidth=1.2,
            color=_COLORS[(at + first) % len(_COLORS)], label=methods[at + first],
        )  # fmt: skip
    axes.set_xticks(range(len(names)), list(map(title_of, names)))
    axes.set_xlim(-0.5, len(names) - 0.5)
    for place in range(1, len(names)):
        axes.axvline(place - 0.5, color="0.9", lw=0.8)


def _mark(at: int) -> str:
    """The mark of the method of this number."""
    return _MARKS[at // len(_COLORS) % len(_MARKS)]


def _figure(width: float, height: float, **shape: Any) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    all_axes = list(figure.subplots(squeeze=False, **shape).flat)
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return figure, all_axes


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text.replace("$", r"\$"), loc="left", fontsize=9)


def _shorten(name: str, most: int) -> str:
    text = name if len(name) <= most else f"{name[: most - 3]}..."
    # Names are not TeX.
    return text.replace("$", r"\$")


def _png(figure: Figure) -> bytes:
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"font.size": 9}):
        figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)
