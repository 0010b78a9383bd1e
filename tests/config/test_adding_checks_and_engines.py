"""What a user chooses by name in the balance settings: a new one is a file, and a line."""

import importlib.util
import inspect

import pytest

import synfill
from synfill.balancing.settings import make_settings, read_settings
from synfill.config.components import CHECKS, ENGINES
from synfill.errors import UsageError

CODE = """
from typing import Literal
from pydantic import Field
from synfill.config.registry import Component

class Sharpness(Component):
    \"\"\"Rejects images that are blurred.\"\"\"
    name: Literal["sharpness"] = "sharpness"
    least: float = Field(0.5, ge=0, description="The least variance of the Laplacian.")

class Cluster(Component):
    \"\"\"Makes images on many machines.\"\"\"
    name: Literal["cluster"] = "cluster"
    workers: int = Field(1, ge=1, description="How many.")
"""


@pytest.fixture
def added(tmp_path):
    (tmp_path / "mine.py").write_text(CODE)
    spec = importlib.util.spec_from_file_location("mine", tmp_path / "mine.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with CHECKS.added(module.Sharpness), ENGINES.added(module.Cluster):
        yield module


def test_a_new_check_and_engine_are_chosen_in_a_settings_file(added, tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("check: [sharpness]\nengine: {name: cluster, workers: 3}\n")
    settings = make_settings(read_settings(str(path)), "s.yaml")
    assert settings.check == (added.Sharpness(),)
    assert settings.engine == added.Cluster(workers=3)
    path.write_text("check: {name: sharpness, least: 0.7}\n")
    assert make_settings(read_settings(str(path)), "s.yaml").check[0].least == 0.7


def test_they_are_chosen_in_a_recipe(added, tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        "name: x\nmodel: resnet20\nstages: [{epochs: 1}]\ndata:\n  train: photos\n"
        "  synthetic: {balance: {check: sharpness}}\n"
    )
    assert make_settings(read_settings(str(path)), "r").check == (added.Sharpness(),)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"check": "sharpnes"}, "did you mean 'sharpness'"),
        ({"check": {"name": "sharpness", "least": -1}}, "should be at least 0"),
        ({"engine": "clustr"}, "one of local, cluster, not 'clustr'; did you mean 'cluster'"),
    ],
)
def test_a_wrong_one_is_told_with_those_there_are(added, values, told):
    with pytest.raises(UsageError, match=told):
        make_settings(values, "The call")


def test_neither_is_an_option_of_the_command(cli):
    assert "--check" not in cli("balance", "--help").out
    assert cli("balance", "--engine", "local").code == 2
    for name in ("check", "engine"):
        assert name in inspect.signature(synfill.balance).parameters
        assert f"{name}: " in cli("recipes", "help", "data.synthetic.balance").out
