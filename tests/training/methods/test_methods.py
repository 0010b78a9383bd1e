import pytest

from synfill.config.components import METHODS
from synfill.config.recipes.methods import OWN, compare_problems, locate_stage, merge_stage
from synfill.config.recipes.read import check_recipe
from synfill.config.registry import describe
from synfill.config.yaml import parse_yaml
from synfill.errors import UsageError
from synfill.training.methods.base import stages_of
from synfill.training.stage.sgd import Sgd

TEXT = """\
name: x
data: {train: photos}
model: resnet20
stages:
  - {epochs: 30, warmup: 3, schedule: step, milestones: [20], mix: cutmix, alpha: 0.4, lr: 0.3}
  - {epochs: 4, trainable: [layer3.*], lr: 0.01, data: real, mix: mixup}
methods:
  short: [{steps: 7, schedule: cosine}]
  more: [{}, {alpha: 0.5}, {steps: 3}]
"""


@pytest.fixture
def recipe():
    return check_recipe(parse_yaml(TEXT, "here"), "here")


def test_the_built_in_methods(recipe):
    def described(name):
        return [(s.data, str(s.sampling), str(s.mix), s.trainable) for s in stages_of(recipe, name)]

    retrained = ("real+synthetic", "as-is", "mixup", "all")
    assert {name: described(name) for name in METHODS.names} == {
        "ce": [("real", "as-is", "none", "all")],
        "mixup": [("real", "as-is", "mixup", "all")],
        "oversample": [("real", "class-balanced", "none", "all")],
        "undersample": [("real", "undersample", "none", "all")],
        "synaug": [("real+synthetic", "as-is", "none", "all")],
        "synaug-mixup": [("real+synthetic", "as-is", "mixup", "all")],
        "synaug-mixup-retrain": [retrained, ("real+synthetic", "as-is", "none", "classifier")],
        "synaug-mixup-retrain-real": [retrained, ("real", "class-balanced", "none", "classifier")],
    }
    for name in METHODS.names:
        first, *second = stages_of(recipe, name)
        assert (first.epochs, first.lr, first.alpha, first.milestones) == (30, 0.3, 0.4, (20,))
        assert all((stage.epochs, stage.lr) == (4, 0.01) for stage in second)
        assert describe(METHODS[name])


def test_places(recipe):
    assert locate_stage(recipe, OWN, 1).title == "stages.1"
    assert locate_stage(recipe, "more", 2).key == "methods.more.2"
    second = locate_stage(recipe, "synaug-mixup-retrain", 1)
    assert (second.title, second.key) == ("synaug-mixup-retrain, stage 2", "stages.1")
    alone = recipe.model_copy(update={"stages": recipe.stages[:1]})
    assert locate_stage(alone, "synaug-mixup-retrain", 1).key == "stages.0"


@pytest.mark.parametrize(("length", "tenth"), [("epochs: 30", (3, None)), ("steps: 5", (None, 1))])
def test_a_second_stage_is_made_where_the_recipe_has_none(length, tenth):
    text = TEXT[: TEXT.index("stages")] + f"stages: [{{{length}, warmup: 2, lr: 0.3}}]\n"
    recipe = check_recipe(parse_yaml(text, "here"), "here")
    second = stages_of(recipe, "synaug-mixup-retrain")[1]
    assert (second.epochs, second.steps) == tenth
    assert (second.lr, second.schedule, second.warmup) == (0.3, "cosine", 0)
    assert second.reinit_classifier
    assert Sgd.model_validate(second.model_dump()) == second


def test_methods_of_the_recipe_take_what_they_leave_out_from_its_stages(recipe):
    (short,) = stages_of(recipe, "short")
    assert (short.steps, short.epochs, short.warmup, short.milestones) == (7, None, 0, ())
    assert (short.lr, str(short.mix)) == (0.3, "cutmix")
    first, second, third = stages_of(recipe, "more")
    assert first == recipe.stages[0]
    assert second == recipe.stages[1].model_copy(update={"alpha": 0.5})
    assert third == Sgd.model_validate({"steps": 3})
    assert stages_of(recipe, OWN) == recipe.stages


def test_merging_keeps_what_is_not_in_the_way():
    base = {"epochs": 30, "warmup": 3, "schedule": "step", "milestones": [20], "lr": 0.3}
    assert merge_stage(base, {"epochs": 40}) == base | {"epochs": 40}
    assert merge_stage(base, {"steps": None}) == base | {"steps": None}
    assert merge_stage(base, {"steps": 9, "schedule": "constant"}) == {
        "steps": 9, "schedule": "constant", "lr": 0.3,
    }  # fmt: skip


def test_a_problem_of_a_stage_is_not_told_again_for_each_method():
    text = TEXT.replace("warmup: 3", "warmup: 30").replace("lr: 0.01", "lr: x")
    with pytest.raises(UsageError) as error:
        check_recipe(parse_yaml(text, "here"), "here")
    told = [line.split()[0] for line in error.value.message.splitlines()[1:]]
    assert told == ["stages.0.warmup", "stages.1.lr"]


def test_a_method_that_clashes_with_what_it_inherits_is_told():
    text = TEXT.replace("steps: 7, schedule: cosine", "epochs: 10")
    with pytest.raises(UsageError, match=r"methods.short.0.milestones \(line 8\): milestones must"):
        check_recipe(parse_yaml(text, "here"), "here")


def test_names_of_a_comparison(recipe):
    assert compare_problems(["ce", "short", OWN], recipe.methods, True) == []
    names = ["ce", "", "synaug-mixup-retrian", "ce", "xyz", "SHORT", 3, "zyx"]
    told = dict(compare_problems(names, recipe.methods, True))
    listed = told.pop(4)
    assert listed.startswith("unknown method 'xyz'; known: short, more, ce, mixup,")
    assert told == {
        1: "a method's name is empty",
        2: "unknown method 'synaug-mixup-retrian'; did you mean 'synaug-mixup-retrain'?",
        3: "'ce' stands twice",
        5: "unknown method 'SHORT'; did you mean 'short'?",
        7: "unknown method 'zyx'",
    }


def test_an_unknown_name(recipe):
    with pytest.raises(UsageError, match="Did you mean 'short'"):
        stages_of(recipe, "shrt")
