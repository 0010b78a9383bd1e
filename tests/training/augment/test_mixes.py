import numpy as np
import pytest
import torch

from synfill.config.components import MIXES
from synfill.training.images.known import Known


def mix(images, synthetic, kind, alpha, generator):
    chosen = MIXES.parse(kind if kind == "none" else {"name": kind, "alpha": alpha})
    nothing = np.zeros(len(images), dtype=np.int64)
    return chosen.build()(images, Known(nothing, nothing, synthetic.numpy()), generator)


def numbered(count, size=16):
    """Image i is i everywhere."""
    return torch.arange(count, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, size, size)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


REAL = torch.zeros(8, dtype=torch.bool)
HALF = torch.tensor([False, True] * 4)


def test_none():
    images = numbered(8)
    mixed = mix(images, REAL, "none", 1.0, seeded())
    assert mixed.images is images and mixed.weight == 1
    assert mixed.partners.tolist() == list(range(8))


def test_mixup_is_a_weighted_mean_with_a_partner():
    weights = []
    for seed in range(300):
        mixed = mix(numbered(8), REAL, "mixup", 1.0, seeded(seed))
        assert sorted(mixed.partners.tolist()) == list(range(8))
        wanted = mixed.weight * torch.arange(8) + (1 - mixed.weight) * mixed.partners
        torch.testing.assert_close(mixed.images[:, 1, 3, 5], wanted)
        weights.append(mixed.weight)
    weights = torch.tensor(weights)
    assert abs(weights.mean() - 0.5) < 0.05 and abs(weights.std() - 12**-0.5) < 0.03


def test_alpha_is_betas():
    near_an_end = [
        min(w, 1 - w) < 0.05
        for w in (mix(numbered(2), REAL[:2], "mixup", 0.1, seeded(s)).weight for s in range(200))
    ]
    assert 0.6 < sum(near_an_end) / 200 < 0.9  # Beta(0.1, 0.1) has 0.75 there


def test_cutmix_weighs_by_the_area_that_is_left():
    clipped = 0
    for seed in range(100):
        images = numbered(8, 15)
        mixed = mix(images, REAL, "cutmix", 1.0, seeded(seed))
        own, others = torch.arange(8.0), mixed.partners.float()
        left = (mixed.images == own.view(-1, 1, 1, 1)).float().mean(dim=(1, 2, 3))
        taken = (mixed.images == others.view(-1, 1, 1, 1)).float().mean(dim=(1, 2, 3))
        alone = mixed.partners == torch.arange(8)
        torch.testing.assert_close(left[~alone], torch.full_like(left[~alone], mixed.weight))
        torch.testing.assert_close(taken[~alone], torch.full_like(left[~alone], 1 - mixed.weight))
        assert torch.equal(images, numbered(8, 15))
        clipped += mixed.weight > 0.5
    assert clipped > 50  # a box at the edge is cut off


def test_mixup_or_cutmix_takes_turns():
    kinds = []
    for seed in range(100):
        mixed = mix(numbered(8), REAL, "mixup-or-cutmix", 1.0, seeded(seed))
        kinds.append(bool((mixed.images == mixed.images[:, :1, :1, :1]).all()))
    assert 30 < sum(kinds) < 70


def test_domain_mixup_pairs_real_with_synthetic():
    for seed in range(20):
        mixed = mix(numbered(8), HALF, "domain-mixup", 1.0, seeded(seed))
        assert (HALF[mixed.partners] != HALF).all()
    uneven = torch.tensor([True] + [False] * 7)
    mixed = mix(numbered(8), uneven, "domain-mixup", 1.0, seeded())
    assert mixed.partners[1:].tolist() == [0] * 7 and mixed.partners[0] > 0


@pytest.mark.parametrize("kind", [REAL, ~REAL])
def test_domain_mixup_of_one_kind_is_mixup(kind):
    mixed = mix(numbered(8), kind, "domain-mixup", 1.0, seeded())
    assert sorted(mixed.partners.tolist()) == list(range(8)) and 0 < mixed.weight < 1


@pytest.mark.parametrize("kind", ["mixup", "cutmix", "mixup-or-cutmix", "domain-mixup"])
def test_the_generator_decides(kind):
    first, again, other = (mix(numbered(8), HALF, kind, 1.0, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.images, again.images) and first.weight == again.weight
    assert first.weight != other.weight
