"""Small real pipelines, written once a session and loaded once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import tiny_models

from synfill.config.generator import GeneratorSettings
from synfill.generation.pipeline.generator import Generator, load_generator


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a model: a family, "sd-safe" (flags half of its images) or "sdxl-turbo"."""

    @cache
    def get(name: str) -> Path:
        path = tmp_path_factory.mktemp("models") / name
        if name == "sd-safe":
            return tiny_models.make_sd(path, safety_checker=True)
        if name == "sdxl-turbo":
            return tiny_models.make_sdxl(path, turbo=True)
        return tiny_models.FAMILIES[name](path)

    return get


@pytest.fixture(scope="session")
def generator(model: Callable[[str], Path]) -> Callable[[str], Generator]:
    """The same, loaded, with three steps on the CPU."""

    @cache
    def get(name: str) -> Generator:
        return load_generator(GeneratorSettings(model=str(model(name)), steps=3, device="cpu"))

    return get
