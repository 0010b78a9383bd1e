"""A folder with a diffusers pipeline in it: what its files say, and what is wrong with them.

Works on a local folder and on a snapshot of the Hub alike. Knows neither torch nor diffusers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter, ValidationError

from synfill.config.yaml import parse_yaml
from synfill.errors import RunError, SynfillError, UsageError
from synfill.reading import parse_json, read_regular
from synfill.records import JsonObject

_SMALL: Final = 1 << 20
_LARGEST_CONFIG: Final = 4 << 20
_Size = Annotated[int, Field(gt=0, le=1 << 16)]
_Blocks = Annotated[list[_Size], Field(min_length=1, max_length=16)]
_SIZES: Final[Mapping[str, TypeAdapter[Any]]] = {
    "sample_size": TypeAdapter(
        _Size | Annotated[list[_Size], Field(min_length=2, max_length=2)] | None
    ),
    "block_out_channels": TypeAdapter(_Blocks | None),
    "encoder_block_out_channels": TypeAdapter(_Blocks | None),
}

_WEIGHTS: Final = ("model.safetensors", "diffusion_pytorch_model.safetensors")
_PICKLED: Final = (".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".h5")
_FETCH_AGAIN: Final = "The model is damaged or incomplete: fetch it again."
_LIBRARIES: Final = ("diffusers", "transformers")


@dataclass(frozen=True)
class ModelFolder:
    """The configuration files of a pipeline.

    Attributes:
        path: The folder.
        pipeline: Class name in model_index.json.
        index: model_index.json.
        denoiser: config.json of its UNet or transformer; empty if it has none.
        vae: config.json of its VAE; empty if it has none.
        scheduler: scheduler_config.json; empty if it has none.
        licence: `license` of its README.md, or its `license_name` where that is "other"; "" if
            it says nothing.
    """

    path: Path
    pipeline: str
    index: JsonObject
    denoiser: JsonObject
    vae: JsonObject
    scheduler: JsonObject
    licence: str


def read_model_folder(path: Path, name: str) -> ModelFolder:
    """Read the configuration of a pipeline; no weights.

    Args:
        path: The folder.
        name: What the user wrote, for the messages.

    Raises:
        UsageError: No pipeline in it, or one that needs code of its own.
        RunError: A configuration file is broken.
    """
    index_file = path / "model_index.json"
    if not index_file.exists():
        raise UsageError(
            f"{name} is not a diffusers model: it has no model_index.json.", _what_it_is(path)
        )
    index = _read_json(index_file)
    pipeline = index.get("_class_name")
    if not isinstance(pipeline, str):
        if isinstance(pipeline, list):
            raise _custom_code(name, str(pipeline))
        raise RunError(f"{index_file} names no pipeline class.", _FETCH_AGAIN)
    _check_parts(path, index, name)
    denoiser = next((part for part in ("unet", "transformer") if (path / part).is_dir()), "")
    return ModelFolder(
        path=path,
        pipeline=pipeline,
        index=index,
        denoiser=_read_sizes(path / denoiser / "config.json") if denoiser else {},
        vae=_read_sizes(path / "vae" / "config.json"),
        scheduler=_read_json(path / "scheduler" / "scheduler_config.json"),
        licence=_licence(path / "README.md"),
    )


def check_weights(folder: ModelFolder, name: str) -> str | None:
    """See that every part of a fetched model is there, with its weights as safetensors.

    Args:
        folder: The model.
        name: What the user wrote, for the messages.

    Returns:
        The variant ("fp16") if the weights exist only in files of that variant, else None.

    Raises:
        UsageError: Weights only as pickle, which can run code.
        RunError: A part is missing.
    """
    for part, value in folder.index.items():
        # Without its files, transformers makes up a tokenizer that knows no word.
        is_wanted = isinstance(value, list) and value[:1] not in ([], [None])
        if part.startswith("tokenizer") and is_wanted and not (folder.path / part).is_dir():
            raise RunError(f"{name} has no {part}/.", _FETCH_AGAIN)
    variants: set[str] = set()
    for config in sorted(folder.path.glob("*/config.json")):
        files = [file.name for file in config.parent.iterdir()]
        safe = [file for file in files if file.endswith(".safetensors")]
        if not safe:
            _no_safetensors(config.parent, files, name)
        plain = any(file in _WEIGHTS or "-of-" in file for file in safe if not _variant(file))
        if not plain:
            variants |= {found for file in safe if (found := _variant(file))}
    return min(variants) if variants else None


def fingerprint_model(path: Path) -> str:
    """Tell whether a local model is the same as before, without reading all of its gigabytes.

    BLAKE2b over the sorted relative names, the sizes, and the content: all of it for files below
    1 MiB, the first and last MiB of the others. Hidden files (.git, .cache) don't count.

    Args:
        path: A folder, or a single file.

    Returns:
        32 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=16)
    root = path.parent if path.is_file() else path
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        parts = file.relative_to(root).parts
        if not file.is_file() or (file != path and any(part.startswith(".") for part in parts)):
            continue
        name, size = "/".join(parts), file.stat().st_size
        digest.update(f"{name}\0{size}\0".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(_SMALL))
            if size > _SMALL:
                stream.seek(max(size - _SMALL, _SMALL))
                digest.update(stream.read())
    return digest.hexdigest()


def _read_json(path: Path) -> JsonObject:
    """A JSON object; empty if there is no such file."""
    try:
        content = parse_json(read_regular(path, _LARGEST_CONFIG))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is broken: {error}.", _FETCH_AGAIN) from error
    if not isinstance(content, dict):
        raise RunError(f"{path} is not a JSON object.", _FETCH_AGAIN)
    return content


def _read_sizes(path: Path) -> JsonObject:
    """A part's config.json, whose sizes are used here and must be sizes."""
    config = _read_json(path)
    for key, form in _SIZES.items():
        try:
            form.validate_python(config.get(key), strict=True)
        except ValidationError:
            raise RunError(
                f"{path} is broken: '{key}' can't be {config[key]!r:.60}.", _FETCH_AGAIN
            ) from None
    return config


def _licence(readme: Path) -> str:
    """The licence that a model card's front matter states."""
    try:
        text = read_regular(readme, _LARGEST_CONFIG).decode(errors="replace")
        card = parse_yaml(text[3:].partition("\n---")[0], str(readme)).content
    except (OSError, SynfillError):
        # Whatever is wrong with a card, the model can be used.
        return ""
    if not text.startswith("---") or not isinstance(card, dict):
        return ""
    licence = card.get("license") or ""
    if licence == "other":
        licence = card.get("license_name") or licence
    return str(licence)


def _what_it_is(path: Path) -> str:
    """A hint on what the folder seems to hold instead of a pipeline."""
    if any(path.glob("*.safetensors")) or any(path.glob("*.ckpt")):
        return (
            "Single-file checkpoints are not read: convert it with diffusers' "
            "from_single_file(...).save_pretrained(FOLDER) and name that folder."
        )
    return "Name the folder that save_pretrained() wrote, the one with model_index.json in it."


def _check_parts(path: Path, index: JsonObject, name: str) -> None:
    """See that each part that has a folder names a library and a class, or two nulls.

    Raises:
        RunError: One doesn't.
        UsageError: One brings code of its own.
    """
    for part, value in index.items():
        if part.startswith("_") or not (path / part).is_dir():
            continue
        is_pair = isinstance(value, list) and len(value) == 2
        if not (is_pair and all(one is None or isinstance(one, str) for one in value)):
            raise RunError(
                f"{path / 'model_index.json'} is broken: '{part}' should be a library and a "
                f"class, not {value!r:.60}.",
                _FETCH_AGAIN,
            )
        library = value[0]
        if library not in (None, *_LIBRARIES) and (path / part / f"{library}.py").is_file():
            raise _custom_code(name, f"{part}/{library}.py")


def _custom_code(name: str, what: str) -> UsageError:
    return UsageError(
        f"{name} brings code of its own ({what}), which is never run.",
        "Use a model that diffusers itself has the pipeline for.",
    )


def _no_safetensors(part: Path, files: list[str], name: str) -> None:
    if any(file.endswith(_PICKLED) for file in files):
        raise UsageError(
            f"{name} has its {part.name} only as pickled weights, which can run code when they "
            "are read. Only safetensors are read.",
            "Choose a revision with safetensors, or convert it once where you trust it: load it "
            "with diffusers and save_pretrained(FOLDER, safe_serialization=True).",
        )
    if part.name in ("unet", "transformer", "vae") or part.name.startswith("text_encoder"):
        raise RunError(f"{name} has no weights in {part.name}/.", _FETCH_AGAIN)


def _variant(file: str) -> str:
    """The variant in a weight file's name: model.fp16.safetensors -> fp16; "" for none."""
    parts = file.removesuffix(".safetensors").split(".")
    return parts[1].split("-")[0] if len(parts) > 1 else ""
