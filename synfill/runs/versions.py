"""The versions of what decides a result's bytes, and which of them changed."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable, Mapping

from synfill import __version__

GENERATING = ("torch", "diffusers", "transformers", "datasets", "pillow", "pyarrow", "numpy")
"""The libraries that decide the bytes of a balanced dataset."""
TRAINING = ("torch", "torchvision", "numpy", "accelerate")
"""The libraries that decide a classifier's weights."""


def versions(libraries: Iterable[str]) -> dict[str, str]:
    """Of synfill, Python and some libraries, as they are now."""
    found = {"synfill": __version__, "python": platform.python_version()}
    return found | {name: importlib.metadata.version(name) for name in libraries}


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What is another version now, one text each: "torch 2.8.0 -> 2.9.1"."""
    return [
        f"{name} {before[name]} -> {version}"
        for name, version in now.items()
        if before.get(name, version) != version
    ]
