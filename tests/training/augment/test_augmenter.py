import numpy as np
import pytest
import torch
from classifier_fixtures import make_spec

from synfill.config.components import AUGMENTATIONS
from synfill.training.augment.augmenter import Augmenter, plain
from synfill.training.augment.cropping import draw_boxes

RAW = ((0.0,) * 3, (1 / 255,) * 3)
"""Mean and deviation under which normalized values are the levels themselves."""


def make(kind, *shown):
    return Augmenter(AUGMENTATIONS.parse(kind), make_spec(("a", "b"), *shown))


def coordinates(count, side):
    """Images whose first channel is the row + 1 and whose second is the column + 1."""
    rows = torch.arange(1, side + 1, dtype=torch.uint8)
    image = torch.zeros(3, side, side, dtype=torch.uint8)
    image[0], image[1] = rows[:, None], rows[None, :]
    return image.repeat(count, 1, 1, 1)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_crops_of_small_images_reach_every_offset_and_flip_half():
    count = 20_000
    shown = make("crop-flip", 16, *RAW)(coordinates(count, 16), seeded())
    centre = shown[:, :, 8, 7:9].round().int().numpy()
    flipped = centre[:, 1, 0] > centre[:, 1, 1]
    down = centre[:, 0, 0] - 9
    across = np.where(flipped, centre[:, 1, 1], centre[:, 1, 0]) - 8
    offsets, counts = np.unique(np.stack([down, across]), axis=1, return_counts=True)
    assert set(map(tuple, offsets.T)) == {(y, x) for y in range(-2, 3) for x in range(-2, 3)}
    assert counts.min() > 0.8 * count / 25 and counts.max() < 1.2 * count / 25
    assert abs(flipped.mean() - 0.5) < 0.02


def test_what_lies_beyond_a_small_image_is_black():
    shown = make("crop", 16, *RAW)(torch.full((200, 3, 16, 16), 255, dtype=torch.uint8), seeded())
    black = (shown == 0).all(dim=1)
    assert black.any() and set(shown.unique().tolist()) == {0, 255}
    assert not black[:, 2:14, 2:14].any()


def test_crop_does_not_flip():
    shown = make("crop", 16, *RAW)(coordinates(500, 16), seeded())
    assert (shown[:, 1, 8, 8] > shown[:, 1, 8, 7]).all()


def test_boxes_are_as_inception_draws_them():
    top, left, height, width = draw_boxes(5000, 256, seeded())
    for first, size in ((top, height), (left, width)):
        assert (first >= 0).all() and (first + size <= 256).all() and (size >= 1).all()
        assert torch.equal(first, first.round()) and torch.equal(size, size.round())
    share = height * width / 256**2
    assert 0.07 < share.min() < 0.1 and 0.9 < share.max() <= 1
    ratio = width / height
    assert 0.73 < ratio.min() < 0.77 and 1.3 < ratio.max() < 1.37


def test_large_images_are_cropped_and_resized():
    side, size, count = 96, 84, 400
    shown = make("crop-flip", size, *RAW)(coordinates(count, side), seeded(3))
    assert shown.shape == (count, 3, size, size) and shown.dtype == torch.float32
    top, left, height, width = draw_boxes(count, side, seeded(3))
    across = shown[:, 1, 0, :]
    flipped = across[:, 0] > across[:, -1]
    assert abs(flipped.float().mean().item() - 0.5) < 0.1
    across = torch.where(flipped[:, None], across.flip(1), across)
    # A gradient stays one: the pixel centres of the box, from which levels are read.
    steps = (torch.arange(size) + 0.5) / size
    wanted = (left[:, None] + steps * width[:, None] + 0.5).clamp(1, side)
    torch.testing.assert_close(across, wanted, atol=0.02, rtol=0)
    wanted = (top[:, None] + steps * height[:, None] + 0.5).clamp(1, side)
    torch.testing.assert_close(shown[:, 0, :, 0], wanted, atol=0.02, rtol=0)


def test_plain_is_the_centre_normalized():
    images = torch.randint(0, 256, (2, 3, 20, 20), dtype=torch.uint8, generator=seeded())
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 0.125)
    wanted = images[:, :, 2:18, 2:18] / 255
    wanted = (wanted - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(plain(images, make_spec(("a", "b"), 16, mean, std)), wanted)
    torch.testing.assert_close(make("none", 16, mean, std)(images, seeded()), wanted)


@pytest.mark.parametrize("side", [16, 20])
@pytest.mark.parametrize("kind", ["crop", "crop-flip", "randaugment", "trivialaugment"])
def test_the_generator_decides_and_no_other(kind, side):
    images = torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8, generator=seeded())
    images = images.repeat(16, 1, 1, 1)
    augment = make(kind, 16, *RAW)
    before = torch.get_rng_state()
    shown = augment(images, seeded(1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(7)
    assert torch.equal(augment(images, seeded(1)), shown)
    assert not torch.equal(augment(images, seeded(2)), shown)
    assert len(shown.flatten(1).unique(dim=0)) > 8  # each image is augmented on its own
    assert shown.shape == (16, 3, 16, 16) and shown.min() >= 0 and shown.max() <= 255.001
