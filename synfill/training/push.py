"""A finished run's classifier -> the Hub. Composes the card, the files and the push.

What goes there is the same whenever and wherever it is put together: no times, no paths.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from synfill import __version__
from synfill.config.push import PushSettings
from synfill.config.recipes.read import recipe_yaml
from synfill.config.recipes.settings import Recipe
from synfill.evaluation.results import write_json
from synfill.files import no_room
from synfill.hub.upload.destination import Destination, check_destination
from synfill.hub.upload.kinds import MODEL
from synfill.hub.upload.listing import LocalFolder
from synfill.hub.upload.push import Pushed, push_folder
from synfill.reading import parse_json, read_regular
from synfill.records import JsonObject
from synfill.report.model_card import write_model_card
from synfill.reporter import Reporter
from synfill.runs.dataset_files import RUN
from synfill.runs.training_folder import (
    CONFIG,
    CONFUSION,
    CURVES,
    RECIPE,
    SIZES,
    WEIGHTS,
    RunFolder,
)
from synfill.runs.written import hash_file

METRICS = "metrics.json"
PICTURES = {
    "accuracy by class size": SIZES,
    "confusion matrix": CONFUSION,
    "learning curves": CURVES,
}
"""The pictures that go with a model: what they show, and their names."""
AGAIN = "The same command sends the rest. What was trained is kept, and not trained again."


def prepare_push(settings: PushSettings, recipe: Recipe, reporter: Reporter) -> Destination:
    """Find out whether the push can be done, before anything is trained. Changes nothing.

    Args:
        settings: What the user said; without an id the model goes by the recipe's name.
        recipe: The resolved recipe.
        reporter: Where notes go; who will see the model is told as a warning, under -q too.

    Raises:
        UsageError: The id can't be, or the repository isn't the user's or holds something else.
        RunError: Not logged in, or the Hub can't be asked.
    """
    identity = _identity(public_recipe(recipe))
    destination = check_destination(settings, recipe.name, identity, None, reporter.note, MODEL)
    reporter.warn(f"To be pushed to the Hub: {destination.audience()}")
    return destination


def push_model(
    out: Path,
    destination: Destination,
    recipe: Recipe,
    seeds: Sequence[int],
    reporter: Reporter,
) -> Pushed:
    """Push the first seed's classifier, with its card, its metrics and its recipe.

    Args:
        out: The output folder of a finished run of the recipe's own stages.
        destination: From `prepare_push`.
        recipe: The resolved recipe.
        seeds: The finished seeds; the first one's classifier is pushed.
        reporter: Where notes go.

    Raises:
        RunError: It could not be done; the message says how to go on.
        Interrupted: It was stopped with Ctrl-C.
    """
    shown = public_recipe(recipe)
    pictures = {
        what: name for what, name in PICTURES.items() if (RunFolder(out).path / name).is_file()
    }
    metrics = parse_json(read_regular(RunFolder(out).path / METRICS, 1 << 30))
    card = write_model_card(destination.id, shown, metrics, __version__, pictures)
    seed = seeds[0]
    record: JsonObject = {
        "synfill": __version__,
        "recipe": recipe.name,
        "identity": _identity(shown),
        "seeds": list(seeds),
        "pushed_seed": seed,
    }
    method = RunFolder(out).method(None)
    with _staging(RunFolder(out).work / "push") as folder:
        for name in (CONFIG, WEIGHTS):
            _link(method.seed(seed).model / name, folder / name)
        for name in (METRICS, *pictures.values()):
            _link(method.path / name, folder / name)
        (folder / RECIPE).write_text(recipe_yaml(shown), encoding="utf-8")
        (folder / "README.md").write_text(card, encoding="utf-8")
        sizes = {name: (folder / name).stat().st_size for name in sorted(os.listdir(folder))}
        hashes = {name: hash_file(folder / name) for name in sizes}
        # A later push replaces these, as long as nobody has changed them there.
        listed = {name: {"bytes": sizes[name], "sha256": hashes[name]} for name in sizes}
        write_json(folder / RUN, record | {"entries": list(sizes), "files": listed})
        sizes[RUN] = (folder / RUN).stat().st_size
        local = LocalFolder(folder, record, sizes, hashes)
        return push_folder(local, destination, AGAIN, reporter.note)


def public_recipe(recipe: Recipe) -> Recipe:
    """The recipe as others may read it: local files and folders by their last name only."""
    return Recipe.model_validate(_without_paths(recipe.model_dump(mode="json")))


def _without_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_paths(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_paths(inner) for inner in value]
    if isinstance(value, str) and _is_local(value):
        return Path(value).expanduser().absolute().name or "local"
    return value


def _is_local(text: str) -> bool:
    """Whether a text is a path of this machine; a path wins over a Hub id, as when it is read."""
    path = os.path.expanduser(text)
    return (os.sep in path or path in (".", "..")) and os.path.exists(path)


def _identity(recipe: Recipe) -> JsonObject:
    """What makes a pushed model the same one, newly trained, which may replace itself.

    Not among it: where it was computed, and with how many seeds.
    """
    content = recipe.model_dump(mode="json", include={"name", "data", "model", "stages"})
    for key in ("storage", "workers"):
        del content["data"][key]
    return content


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """An empty folder for the time of a push."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with no_room(folder.parent):
            folder.mkdir(parents=True)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()


def _link(file: Path, to: Path) -> None:
    """The file under another name: as a hard link where there are such, otherwise as a copy."""
    try:
        os.link(file, to)
    except OSError:
        shutil.copyfile(file, to)
