"""Small classifiers for tests."""

from synfill.config.recipes.settings import ModelSettings
from synfill.training.images.decoding import stored_side
from synfill.training.network.spec import ClassifierSpec

HALF = (0.5, 0.5, 0.5)


def make_spec(classes=("a", "b"), image_size=16, mean=HALF, std=HALF, name="resnet8"):
    return ClassifierSpec(
        model=ModelSettings(name=name),
        classes=classes,
        image_size=image_size,
        stored_size=stored_side(image_size),
        mean=mean,
        std=std,
    )
