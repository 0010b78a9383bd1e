"""A folder that `synfill train` has written, or its copy on the Hub -> a classifier.

The network is built from its name: nothing in the folder is ever run as code.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from synfill.classifier.predict import Classifier
from synfill.classifier.save import FORMAT, FORMAT_VERSION, ClassifierConfig
from synfill.devices import find_device
from synfill.errors import RunError, UsageError
from synfill.hub.snapshot import REPO_ID, snapshot
from synfill.reading import LARGEST_RECORD, NotRegular, parse_json, read_regular, regular
from synfill.runs.record import describe_invalid
from synfill.runs.training_folder import CONFIG, WEIGHTS
from synfill.training.network.cosine import fit_classifier
from synfill.training.network.model import rebuild_model

_AGAIN = "Train or download the classifier again."


def load_classifier(
    source: str | os.PathLike[str], revision: str | None = None, device: str = "auto"
) -> Classifier:
    """Read a classifier that `synfill train` has written.

    Args:
        source: A folder (OUT/seed-0/model), or a name on the Hub (owner/name or
            owner/name@revision).
        revision: A branch, tag or commit on the Hub.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        UsageError: There is no such folder, it isn't such a classifier, or the device isn't there.
        RunError: It can't be fetched, is damaged, or was written by a newer synfill.
    """
    device = find_device(device)
    folder = _find_folder(os.fspath(source), revision)
    config = _read_config(folder)
    network = rebuild_model(config.model, len(config.classes), config.image_size)
    weights = _read_weights(folder, config)
    fit_classifier(network, weights)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise RunError(
            f"The weights in {folder} don't fit {config.model.name} with {len(config.classes)} "
            f"classes, which {CONFIG} names.",
            "Was the file changed by hand? Train or download the classifier again.",
        ) from error
    return Classifier(network.to(device).eval(), config, device, config.extra)


def check_classifier(folder: Path) -> None:
    """Whether a folder holds a whole classifier; its weights are read, and not loaded.

    Raises:
        UsageError, RunError: It doesn't, or is damaged.
    """
    _check_weights(folder, _read_config(folder))


def _find_folder(source: str, revision: str | None) -> Path:
    folder = Path(source).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise UsageError(f"{source} is a folder: it has no revisions.", "Leave revision out.")
        return folder
    id, _, after = source.partition("@")
    if folder.exists() or not REPO_ID.fullmatch(id):
        kind = "is no folder" if folder.exists() else "is neither a folder nor owner/name"
        raise UsageError(
            f"The classifier '{source}' {kind}.",
            "Give the folder of a classifier (OUT/seed-0/model), or its name on the Hub.",
        )
    try:
        return snapshot(id, revision or after or None, (CONFIG, WEIGHTS), "classifier")
    except RunError as error:
        raise RunError(f"There is no folder '{source}'. {error.message}", error.hint) from error


def _read_config(folder: Path) -> ClassifierConfig:
    path = folder / CONFIG
    foreign = f"{folder} holds no classifier of synfill"
    try:
        if path.stat().st_size > LARGEST_RECORD:
            raise UsageError(f"{foreign}: its {CONFIG} is too large for one.")
        found = parse_json(read_regular(path))
    except FileNotFoundError:
        patterns = ("model", "seed-*/model", "*/seed-*/model")
        within = [found for p in patterns for found in sorted(folder.glob(f"{p}/{CONFIG}"))]
        hint = f"Did you mean {within[0].parent}?" if within else "Give OUT/seed-0/model."
        raise UsageError(f"{foreign}: there is no {CONFIG}.", hint) from None
    except NotRegular as error:
        raise UsageError(f"{foreign}: {CONFIG} can't be read, {error}.") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged: {error}.", "Train or download it again.") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise UsageError(
            f"{foreign}: its {CONFIG} is of something else.",
            "Give the folder that `synfill train` wrote (OUT/seed-0/model).",
        )
    version = found.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise RunError(
            f"{folder} was written by a newer synfill ({found.get('synfill_version')}): its format "
            f"is {version}, this one reads up to {FORMAT_VERSION}.",
            "Run: pip install --upgrade synfill",
        )
    try:
        return ClassifierConfig.model_validate(found)
    except ValidationError as error:
        reason = describe_invalid(error)
        raise RunError(f"{path} is damaged: {reason}.", "Train or download it again.") from error


def _read_weights(folder: Path, config: ClassifierConfig) -> dict[str, torch.Tensor]:
    _check_weights(folder, config)
    path = folder / WEIGHTS
    try:
        return load_file(path)
    except SafetensorError as error:
        raise RunError(f"{path} is damaged: {error}.", _AGAIN) from error


def _check_weights(folder: Path, config: ClassifierConfig) -> None:
    path = folder / WEIGHTS
    try:
        with regular(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise RunError(f"{folder} holds no weights: there is no {WEIGHTS}.", _AGAIN) from None
    except OSError as error:
        raise RunError(f"{path} is damaged: {error}.", _AGAIN) from error
    if digest != config.weights_sha256:
        raise RunError(f"{path} is damaged, or belongs to another {CONFIG}.", _AGAIN)
