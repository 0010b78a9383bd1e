"""Models in a cache, as the Hub's client leaves them there."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import tiny_models


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a small model of a family."""

    @cache
    def get(name: str) -> Path:
        return tiny_models.FAMILIES[name](tmp_path_factory.mktemp("models") / name)

    return get
