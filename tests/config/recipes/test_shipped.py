import re
from pathlib import Path

import pytest

from synfill.balancing.settings import balance_problems, make_settings, read_settings
from synfill.config.components import METHODS
from synfill.config.recipes.read import read_recipe, recipe_yaml
from synfill.config.recipes.settings import Recipe
from synfill.config.recipes.shipped import copy_recipe, find_recipe, list_recipes
from synfill.errors import UsageError
from synfill.files import recipes_folder
from synfill.training.methods.base import stages_of
from synfill.training.stage.sgd import Sgd

SHIPPED = list_recipes()
TRAINING = [recipe.name for recipe in SHIPPED if recipe.kind == "training"]


def test_what_ships():
    assert [recipe.name for recipe in SHIPPED] == [
        "cifar10-lt", "cifar100-lt", "demo", "imagenet100-lt", "cifar10-lt-balance",
    ]  # fmt: skip
    assert SHIPPED[-1].kind == "balance"
    for recipe in SHIPPED:
        assert recipe.description.endswith(".")
        assert "\n" not in recipe.description


@pytest.mark.parametrize("name", TRAINING)
def test_every_shipped_recipe_is_right(name, tmp_path):
    recipe = read_recipe(name, (), balance_problems)
    assert recipe.name == name
    make_settings(read_settings(name), name)
    for method in METHODS.names:
        for stage in stages_of(recipe, method):
            assert Sgd.model_validate(stage.model_dump()) == stage
    path = tmp_path / "resolved.yaml"
    path.write_text(recipe_yaml(recipe))
    assert read_recipe(str(path), (), balance_problems) == recipe


@pytest.mark.parametrize("name", TRAINING)
def test_the_commands_of_a_header_are_right(name):
    header = find_recipe(name).read_text().partition("\nname:")[0]
    commands = re.findall(rf"synfill train {name}(.*)", header)
    assert commands
    for options in commands:
        methods = re.search(r"--compare (\S+)", options)
        overrides = [f"compare=[{methods[1]}]"] if methods else []
        overrides += re.findall(r"[\w.]+=\S+", options)
        read_recipe(name, overrides, balance_problems)
    read_recipe(name, re.findall(r"stages[\w.]+=[^\s']+", header), balance_problems)


def test_the_literatures_protocol():
    for name, counts in (("cifar10-lt", "uoft-cs/cifar10"), ("cifar100-lt", "uoft-cs/cifar100")):
        recipe = read_recipe(name)
        (stage,) = stages_of(recipe, "ce")
        assert (recipe.data.train, recipe.model.name) == (counts, "resnet32")
        assert recipe.data.long_tail.imbalance_factor == 100
        assert (stage.epochs, stage.batch_size, stage.lr, stage.momentum) == (200, 128, 0.1, 0.9)
        assert (stage.weight_decay, stage.warmup, stage.milestones) == (2e-4, 0.025, (0.8, 0.9))
        assert (stage.gamma, str(stage.augment), str(stage.mix)) == (0.01, "crop-flip", "none")


def test_imagenet100_names_its_classes():
    classes = read_recipe("imagenet100-lt").data.synthetic.balance["prompts"]["classes"]
    assert len(classes) == len(set(classes.values())) == 100
    assert all(re.fullmatch(r"n\d{8}", wnid) for wnid in classes)
    assert list(classes) == sorted(classes)


def test_a_copy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, command = copy_recipe("demo")
    assert (path, command) == (Path("demo.yaml"), "synfill train demo.yaml")
    assert path.read_bytes() == (recipes_folder() / "demo.yaml").read_bytes()
    path.write_text("mine")
    with pytest.raises(UsageError, match="there already"):
        copy_recipe("demo")
    assert path.read_text() == "mine"
    assert copy_recipe("demo", Path("new/x.yaml"))[0].is_file()
    assert copy_recipe("demo", Path("new"))[0] == Path("new/demo.yaml")
    # Without a suffix the name would be taken for a shipped recipe's.
    assert copy_recipe("cifar10-lt", Path("mine"))[1] == "synfill train ./mine"
    assert copy_recipe("cifar10-lt-balance")[1].startswith("synfill balance SOURCE --settings")
    for inside in ("demo.yaml/x.yaml", "demo.yaml/new/x.yaml"):
        with pytest.raises(UsageError, match=r"demo\.yaml is a file, not a folder"):
            copy_recipe("demo", Path(inside))
    for name in ("../demo", "no", "/etc/passwd"):
        with pytest.raises(UsageError, match="no shipped recipe"):
            copy_recipe(name)


def _keys(model, seen):
    for name, field in model.model_fields.items():
        seen.add(name)
        for part in re.findall(r"\w+Settings", str(field.annotation)):
            from synfill.config.recipes import settings

            _keys(getattr(settings, part), seen)
    return seen


def test_the_docs_name_every_key():
    text = (Path(__file__).parents[3] / "docs" / "recipes.md").read_text()
    missing = {key for key in _keys(Recipe, set()) if f"`{key}`" not in text}
    assert not missing
    assert all(f"`{name}`" in text for name in METHODS.names)
