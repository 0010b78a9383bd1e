import numpy as np

from synfill.config.components import METHODS
from synfill.config.recipes.read import check_recipe
from synfill.config.recipes.settings import StageSettings
from synfill.config.yaml import parse_yaml
from synfill.training.budget import budget_in_effect, epoch_steps, steps_per_epoch
from synfill.training.images.known import Known
from synfill.training.methods.base import stages_of
from synfill.training.stage.schedule import learning_rate, total_steps

TEXT = """\
name: x
data: {train: photos}
model: resnet20
stages:
  - {epochs: 6, batch_size: 10, warmup: 2, schedule: step, milestones: [4, 5]}
  - {epochs: 2, batch_size: 5, trainable: classifier}
methods:
  longer: [{epochs: 12}]
  third: [{}, {}, {epochs: 1, data: real}]
  fixed: [{steps: 7, schedule: cosine}]
"""
# 30 real images of three classes (20, 8, 2), 30 synthetic ones.
LABELS = np.array([0] * 20 + [1] * 8 + [2] * 2 + [1] * 12 + [2] * 18)
IMAGES = Known(LABELS, np.full(60, -1), np.arange(60) >= 30)


def own_steps(recipe, images=IMAGES):
    return [steps_per_epoch(stage, images, 1) for stage in recipe.stages]


def lengths(name):
    recipe = check_recipe(parse_yaml(TEXT, "here"), "here")
    stages = stages_of(recipe, name)
    units = epoch_steps(stages, IMAGES, recipe.stages, IMAGES, 1)
    return units, [total_steps(s, unit or 6) for s, unit in zip(stages, units, strict=True)]


def test_every_method_gets_the_steps_of_the_recipes_own_stages():
    assert own_steps(check_recipe(parse_yaml(TEXT, "h"), "h")) == [6, 12]
    for name in METHODS.names:
        units, steps = lengths(name)
        assert steps[0] == 36, name
        # What sees the recipe's images at its batch size is left as it is.
        expected = None if METHODS[name].needs_synthetic() else 6
        assert units[0] == expected, name
    assert lengths("synaug-mixup-retrain")[0] == (None, None)
    # Its second stage sees the real images alone: 6 steps a pass, and 12 count as an epoch.
    assert lengths("synaug-mixup-retrain-real")[0] == (None, 12)


def test_what_a_method_says_of_its_own_length_counts():
    assert lengths("longer")[1] == [72]
    assert lengths("fixed") == ((None,), [7])
    # Beyond the recipe's stages it is the last one that counts.
    assert lengths("third")[0] == (None, None, 12)


def test_schedules_go_by_the_same_steps():
    stage = StageSettings(epochs=6, warmup=2, schedule="step", milestones=(4, 5), lr=1.0)
    rates = [learning_rate(stage, step, 6) for step in range(36)]
    assert rates[11] == 1.0 and rates[10] < 1.0
    assert rates[23:25] == [1.0, 0.1] and rates[29:31] == [0.1, 0.1**2]
    cosine = StageSettings(epochs=6)
    assert learning_rate(cosine, 18, 6) == 0.05


def test_what_holds_where_nothing_counts_in_epochs():
    recipe = check_recipe(parse_yaml(TEXT, "here"), "here", ["budget=epochs"])
    assert budget_in_effect(recipe, [recipe.stages]) == "epochs"
    assert budget_in_effect(recipe, [recipe.methods["fixed"]]) == "steps"


def test_stages_without_images_keep_their_own_epochs():
    recipe = check_recipe(parse_yaml(TEXT, "here"), "here", ["stages.0.data=synthetic"])
    real = Known(LABELS, np.full(60, -1), np.zeros(60, dtype=bool))
    assert own_steps(recipe, real) == [0, 12]
    assert epoch_steps(stages_of(recipe, "ce"), real, recipe.stages, real, 1) == (None,)
