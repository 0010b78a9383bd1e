"""A trained classifier -> a folder with all that is needed to use it.

config.json says what network it is and how images are shown to it, model.safetensors holds its
weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat
from safetensors.torch import save
from torch import nn

from synfill import __version__
from synfill.config.training import ModelSettings
from synfill.files import atomic_write
from synfill.records import Channels, JsonObject
from synfill.runs.training_folder import CONFIG, WEIGHTS
from synfill.training.images.decoding import stored_side

FORMAT: Final = "synfill-classifier"
FORMAT_VERSION: Final = 1
_Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ClassifierConfig(BaseModel):
    """What config.json says.

    Attributes:
        format: That it is one of ours.
        format_version: Of this file's keys; a release reads its own and older ones.
        synfill_version: What wrote it.
        model: The network's name; and whether it started from pretrained weights, which for some
            networks changes how they take images.
        classes: The class of each output.
        image_size: Side in pixels of what the network sees: the centre of an image whose
            shorter side is stored_size.
        stored_size: See image_size.
        mean: Of the training images' channels (red, green, blue), in 0..1.
        std: Likewise.
        weights_sha256: Of model.safetensors.
        extra: What the training run wants to be known; not used here.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal["synfill-classifier"] = FORMAT
    format_version: int = FORMAT_VERSION
    synfill_version: str = __version__
    model: ModelSettings
    classes: tuple[str, ...] = Field(min_length=1)
    image_size: int = Field(ge=8, le=4096)
    stored_size: int = Field(ge=8, le=8192)
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    std: tuple[_Deviation, _Deviation, _Deviation]
    weights_sha256: str
    extra: JsonObject = {}


def save_classifier(
    folder: Path,
    model: nn.Module,
    settings: ModelSettings,
    classes: Sequence[str],
    image_size: int,
    mean: Channels,
    std: Channels,
    extra: JsonObject,
) -> None:
    """Write config.json and model.safetensors; both are whole, and config.json comes last.

    Args:
        folder: Where; it is made if need be, and an older classifier in it is replaced.
        model: The bare network (neither compiled nor distributed), on any device.
        settings: Its name, as it was built.
        classes: The class of each output.
        image_size: Side in pixels of what the network sees.
        mean: Of each channel of the training images, in 0..1.
        std: Of each channel, in 0..1.
        extra: What else should be known of it; anything that JSON can hold.

    Raises:
        RunError: The disk is full.
    """
    # Each tensor of its own: safetensors holds none twice, and networks may tie theirs.
    tensors = {
        name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in model.state_dict().items()
    }
    data = save(tensors)
    config = ClassifierConfig(
        model=settings,
        classes=tuple(classes),
        image_size=image_size,
        stored_size=stored_side(image_size),
        mean=mean,
        std=std,
        weights_sha256=hashlib.sha256(data).hexdigest(),
        extra=extra,
    )
    with atomic_write(folder / WEIGHTS) as file:
        file.write(data)
    with atomic_write(folder / CONFIG) as file:
        file.write(config.model_dump_json(indent=2).encode())
