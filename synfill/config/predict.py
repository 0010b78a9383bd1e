"""What may be said of how a trained classifier is asked: options of `synfill predict`."""

from __future__ import annotations

from synfill.config.dataset import CONFIG, IMAGE, LABEL
from synfill.config.settings import Settings, option


class PredictSettings(Settings):
    """What of a dataset is shown to a classifier, and how it computes."""

    split: str | None = option(
        None, "Of a dataset: the split. Default: test, else train, or the only one."
    )
    label: str | None = LABEL
    config: str | None = CONFIG
    image: str | None = IMAGE
    batch_size: int = option(64, "Images at a time.", ge=1, shows_default=True)
    device: str = option(
        "auto", "Where to compute: auto, cuda, cuda:1, mps, cpu.", shows_default=True
    )
