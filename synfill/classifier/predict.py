"""What a trained classifier says of images.

classifier = synfill.load_classifier("OUT/seed-0/model")
probabilities = classifier.predict(["a.jpg"])
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import nn

from synfill.data.images import decode
from synfill.data.pixels import flatten
from synfill.data.rows import LARGEST_IMAGE
from synfill.errors import RunError, UsageError
from synfill.reading import read_regular
from synfill.records import JsonObject
from synfill.training.augment.augmenter import plain
from synfill.training.images.decoding import Decoder
from synfill.training.network.spec import ClassifierSpec

ImageLike = str | os.PathLike[str] | bytes | Image.Image
"""A file's path, a file's bytes, or an image of Pillow."""


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained network and how images are shown to it.

    What the spec says are attributes, too: `classifier.image_size`, `classifier.mean`.

    Attributes:
        network: In evaluation mode, on the device; float images (b, 3, S, S), where S is
            image_size, to logits (b, C).
        spec: What it is.
        device: What it computes on.
        extra: What the training run wrote beside it.
    """

    network: nn.Module
    spec: ClassifierSpec
    device: str
    extra: JsonObject

    @property
    def classes(self) -> tuple[str, ...]:
        """The class of each output, C of them."""
        return self.spec.classes

    def __getattr__(self, name: str) -> Any:
        if name in ClassifierSpec.model_fields:
            return getattr(self.spec, name)
        raise AttributeError(f"a classifier has no attribute '{name}'")

    def predict(self, images: Sequence[ImageLike], batch_size: int = 64) -> NDArray[np.float32]:
        """The probabilities of the classes, computed as on the test images of the training run.

        Args:
            images: Paths, files' bytes, or images of Pillow.
            batch_size: Images at a time; it changes the results only by rounding.

        Returns:
            float32, shape (images, classes); each row sums to 1.

        Raises:
            RunError: An image can't be read; the message says which.
        """
        if isinstance(images, str | os.PathLike | bytes | Image.Image):
            raise UsageError("predict takes a list of images.", "For one: predict([image])")
        found = np.empty((len(images), len(self.classes)), dtype=np.float32)
        for position, result in enumerate(self.predict_each(images, batch_size)):
            if isinstance(result, str):
                image = images[position]
                name = f" ({image})" if isinstance(image, str | os.PathLike) else ""
                raise RunError(f"Image {position}{name} can't be used: {result}.")
            found[position] = result
        return found

    def predict_each(
        self, images: Iterable[ImageLike], batch_size: int = 64
    ) -> Iterator[NDArray[np.float32] | str]:
        """Like predict, image by image; a bad one doesn't end it.

        Yields:
            For each image, in order, the probabilities (float32, shape (classes,)), or why it
            can't be used, in a few words.
        """
        decoder = Decoder(self.spec.stored_size, decode)
        waiting = iter(images)
        with ThreadPoolExecutor() as pool:
            while batch := list(islice(waiting, batch_size)):
                pixels = list(pool.map(lambda image: _read(image, decoder), batch))
                good = [image for image in pixels if not isinstance(image, str)]
                rows = iter(self._predict_batch(torch.stack(good)) if good else ())
                for image in pixels:
                    yield image if isinstance(image, str) else next(rows)

    @torch.inference_mode()
    def _predict_batch(self, pixels: torch.Tensor) -> NDArray[np.float32]:
        """From uint8 (b, 3, stored_size, stored_size)."""
        shown = plain(pixels.to(self.device), self.spec)
        found: NDArray[np.float32] = self.network(shown).float().softmax(dim=1).cpu().numpy()
        return found


def _read(image: ImageLike, decoder: Decoder) -> torch.Tensor | str:
    """uint8 (3, side, side), or why it can't be had."""
    try:
        if isinstance(image, str | os.PathLike):
            return decoder(read_regular(Path(image), LARGEST_IMAGE))
        return decoder(image if isinstance(image, bytes) else _as_file(image))
    except OSError as error:
        return error.strerror or str(error) or "cannot be read"
    except ValueError as error:
        return str(error)


def _as_file(image: Image.Image) -> bytes:
    """The pixels as an image file's bytes, so that there is only one way for all images."""
    file = io.BytesIO()
    image.load()
    flatten(ImageOps.exif_transpose(image)).save(file, "PNG", compress_level=0)
    return file.getvalue()
