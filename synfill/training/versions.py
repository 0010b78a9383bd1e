"""The versions of what decides a training run's weights."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping

from synfill import __version__

_LIBRARIES = ("torch", "torchvision", "numpy", "accelerate")


def versions() -> dict[str, str]:
    """Of Python, synfill and the libraries, as they are now."""
    found = {"python": platform.python_version(), "synfill": __version__}
    return found | {name: importlib.metadata.version(name) for name in _LIBRARIES}


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """What is another version now: "torch 2.8.0 -> 2.9.1"; "" if nothing is."""
    names = [name for name in now if before.get(name) not in (None, now[name])]
    return ", ".join(f"{name} {before[name]} -> {now[name]}" for name in names)
