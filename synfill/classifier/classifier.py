"""A trained classifier on disk, and what it says of images.

    classifier = synfill.load_classifier("OUT/seed-0/model")
    probabilities = classifier.predict(["a.jpg"])

The folder holds config.json, with all that is needed to use the network, and model.safetensors,
its weights. The network is built from its name: nothing in the folder is ever run as code.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from synfill import __version__
from synfill.config.training import ModelSettings
from synfill.data.images import decode
from synfill.data.pixels import flatten
from synfill.data.rows import LARGEST_IMAGE
from synfill.devices import find_device
from synfill.errors import RunError, UsageError
from synfill.files import atomic_write
from synfill.hub.snapshot import REPO_ID, snapshot
from synfill.reading import NotRegular, parse_json, read_regular, regular
from synfill.records import Channels, JsonObject
from synfill.runs.training_folder import CONFIG, WEIGHTS
from synfill.training.augment.augmenter import plain
from synfill.training.images.decoding import Decoder, stored_side
from synfill.training.network.model import rebuild_model

ImageLike = str | os.PathLike[str] | bytes | Image.Image
"""A file's path, a file's bytes, or an image of Pillow."""

FORMAT: Final = "synfill-classifier"
FORMAT_VERSION: Final = 1
_LARGEST_CONFIG = 64 << 20
_AGAIN = "Train or download the classifier again."
_Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Config(BaseModel):
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


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained network and how images are shown to it.

    Attributes:
        network: In evaluation mode, on the device; float images (b, 3, S, S) to logits (b, C).
        model: Its name.
        classes: The class of each output, C of them.
        image_size: S, in pixels.
        stored_size: The shorter side to which an image is resized before the centre is cut out.
        mean: Of each channel, in 0..1.
        std: Of each channel, in 0..1.
        device: What it computes on.
        extra: What the training run wrote beside it.
    """

    network: nn.Module
    model: ModelSettings
    classes: tuple[str, ...]
    image_size: int
    stored_size: int
    mean: Channels
    std: Channels
    device: str
    extra: JsonObject

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
        decoder = Decoder(self.stored_size, decode)
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
        shown = plain(pixels.to(self.device), self.image_size, self.mean, self.std)
        found: NDArray[np.float32] = self.network(shown).float().softmax(dim=1).cpu().numpy()
        return found


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
    config = _Config(
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
    try:
        network.load_state_dict(_read_weights(folder, config))
    except RuntimeError as error:
        raise RunError(
            f"The weights in {folder} don't fit {config.model.name} with {len(config.classes)} "
            f"classes, which {CONFIG} names.",
            "Was the file changed by hand? Train or download the classifier again.",
        ) from error
    return Classifier(
        network=network.to(device).eval(),
        model=config.model,
        classes=config.classes,
        image_size=config.image_size,
        stored_size=config.stored_size,
        mean=config.mean,
        std=config.std,
        device=device,
        extra=config.extra,
    )


def check_classifier(folder: Path) -> None:
    """Whether a folder holds a whole classifier; its weights are read, and not loaded.

    Raises:
        UsageError, RunError: It doesn't, or is damaged.
    """
    _check_weights(folder, _read_config(folder))


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


def _read_config(folder: Path) -> _Config:
    path = folder / CONFIG
    foreign = f"{folder} holds no classifier of synfill"
    try:
        if path.stat().st_size > _LARGEST_CONFIG:
            raise UsageError(f"{foreign}: its {CONFIG} is too large for one.")
        found = parse_json(read_regular(path, _LARGEST_CONFIG))
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
        return _Config.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RunError(
            f"{path} is damaged: {place}: {first['msg']}.", "Train or download it again."
        ) from error


def _read_weights(folder: Path, config: _Config) -> dict[str, torch.Tensor]:
    _check_weights(folder, config)
    path = folder / WEIGHTS
    try:
        return load_file(path)
    except SafetensorError as error:
        raise RunError(f"{path} is damaged: {error}.", _AGAIN) from error


def _check_weights(folder: Path, config: _Config) -> None:
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
