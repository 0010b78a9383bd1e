"""What the tests of training share: a small dataset, a recipe for it, and modules of components."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from training_fixtures import make_colours, write_recipe


@pytest.fixture
def with_pictures():
    """For a test that looks at a run's pictures."""


@pytest.fixture(autouse=True)
def without_pictures(request, monkeypatch):
    """Drawing takes as long as such a training run."""
    if "with_pictures" not in request.fixturenames:
        monkeypatch.setattr("synfill.training.run.draw_method", lambda folder: None)
        monkeypatch.setattr("synfill.training.run.draw_comparison", lambda out: None)


@pytest.fixture(scope="session")
def colours(tmp_path_factory):
    return make_colours(tmp_path_factory.mktemp("colours") / "colours")


@pytest.fixture
def recipe(colours, tmp_path):
    return write_recipe(tmp_path / "recipe.yaml", colours)


@pytest.fixture
def load_module(tmp_path, monkeypatch):
    """Writes a module of a user's own, and imports it."""

    def load(text: str, name: str = "of_a_user"):
        path = Path(tmp_path / f"{name}.py")
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load
