"""A trained classifier -> a folder with all that is needed to use it.

config.json says what network it is and how images are shown to it, model.safetensors holds its
weights.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel
from safetensors.torch import save
from torch import nn

from synfill import __version__
from synfill.files import atomic_write
from synfill.records import JsonObject
from synfill.runs.training_folder import CONFIG, WEIGHTS
from synfill.training.network.model import copy_tensors
from synfill.training.network.spec import ClassifierSpec

FORMAT: Final = "synfill-classifier"
FORMAT_VERSION: Final = 1


class _Header(BaseModel):
    """How config.json begins.

    Attributes:
        format: That it is one of ours.
        format_version: Of this file's keys; a release reads its own and older ones.
        synfill_version: What wrote it.
    """

    format: Literal["synfill-classifier"] = FORMAT
    format_version: int = FORMAT_VERSION
    synfill_version: str = __version__


class ClassifierConfig(ClassifierSpec, _Header):
    """What config.json says; its keys come in the order of the bases, the last one's first.

    Attributes:
        weights_sha256: Of model.safetensors.
        extra: What the training run wants to be known; not used here.
    """

    weights_sha256: str
    extra: JsonObject = {}


def save_classifier(
    folder: Path, network: nn.Module, spec: ClassifierSpec, extra: JsonObject
) -> None:
    """Write config.json and model.safetensors; both are whole, and config.json comes last.

    Args:
        folder: Where; it is made if need be, and an older classifier in it is replaced.
        network: The bare network (neither compiled nor distributed), on any device.
        spec: What it is.
        extra: What else should be known of it; anything that JSON can hold.

    Raises:
        RunError: The disk is full.
    """
    data = save(copy_tensors(network.state_dict()))
    digest = hashlib.sha256(data).hexdigest()
    config = ClassifierConfig(**dict(spec), weights_sha256=digest, extra=extra)
    with atomic_write(folder / WEIGHTS) as file:
        file.write(data)
    with atomic_write(folder / CONFIG) as file:
        file.write(config.model_dump_json(indent=2).encode())
