"""What a classifier is, apart from its weights: its network, its classes, how it sees images."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from synfill.config.recipes.settings import ModelSettings

_Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ClassifierSpec(BaseModel):
    """A classifier's network, classes, and how images are shown to it.

    Attributes:
        model: The network's name; and whether it started from pretrained weights, which for some
            networks changes how they take images.
        classes: The class of each output.
        image_size: Side in pixels of what the network sees: the centre of an image whose
            shorter side is stored_size.
        stored_size: See image_size.
        mean: Of the training images' channels (red, green, blue), in 0..1.
        std: Likewise.
    """

    model_config = ConfigDict(frozen=True)

    model: ModelSettings
    classes: tuple[str, ...] = Field(min_length=1)
    image_size: int = Field(ge=8, le=4096)
    stored_size: int = Field(ge=8, le=8192)
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    std: tuple[_Deviation, _Deviation, _Deviation]
