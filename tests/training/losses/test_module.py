from __future__ import annotations

import numpy as np
import pytest
import torch

from synfill.training.losses.base import Facts, Targets, whole_cells
from synfill.training.losses.cross_entropy import CrossEntropy
from synfill.training.losses.module import PerImage, mixed_hits, mixed_loss
from synfill.training.stage.sgd import Sgd

FACTS = Facts(*(np.ones(4, dtype=np.int64),) * 3)


def targets(labels):
    labels = torch.tensor(labels)
    return Targets(labels, torch.full_like(labels, -1))


def test_the_mixed_loss_is_that_of_mixed_one_hot_labels():
    """For cross-entropy lambda L(a) + (1 - lambda) L(b) is the loss of the mixed label."""
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    own, partners = targets([0, 1, 2, 3, 0, 1]), targets([1, 1, 0, 2, 3, 0])
    one_hot = torch.nn.functional.one_hot
    soft = 0.3 * one_hot(own.labels, 4).float() + 0.7 * one_hot(partners.labels, 4).float()
    expected = torch.nn.functional.cross_entropy(logits, soft)
    found = mixed_loss(CrossEntropy().build(FACTS), logits, own, partners, 0.3)
    torch.testing.assert_close(found, expected)


def test_label_smoothing_comes_from_the_stage():
    logits = torch.tensor([[5.0, 0.0]])
    sharp = Sgd(epochs=1).build_loss(FACTS)(logits, targets([0]))
    smooth = Sgd(epochs=1, label_smoothing=0.2).build_loss(FACTS)(logits, targets([0]))
    given = {"name": "cross-entropy", "label_smoothing": 0.2}
    own = Sgd(epochs=1, label_smoothing=0.7, loss=given).build_loss(FACTS)(logits, targets([0]))
    assert torch.equal(own, smooth) and smooth.shape == (1,)
    torch.testing.assert_close(smooth, 0.9 * sharp + 0.1 * (sharp + 5.0))


def test_a_mixed_image_counts_for_each_label_by_its_share():
    logits = torch.eye(3)[[0, 1, 2, 0]]
    own, partners = targets([0, 1, 0, 1]), targets([0, 2, 2, 1])
    assert mixed_hits(logits, own, partners, 1.0) == 2
    torch.testing.assert_close(
        mixed_hits(logits, own, partners, 0.75), torch.tensor(0.75 * 2 + 0.25 * 2)
    )


def test_every_image_has_a_cell():
    """Those without a group are their class's own."""
    labels, cells = np.array([0, 0, 1, 1, 2]), np.array([0, -1, 1, 2, -1])
    found, classes = whole_cells(labels, cells, 3)
    assert found.tolist() == [0, 3, 1, 2, 5] and classes.tolist() == [0, 1, 1, 0, 1, 2]
    found, classes = whole_cells(labels, np.full(5, -1), 3)
    assert found.tolist() == labels.tolist() and classes.tolist() == [0, 1, 2]


def test_a_loss_that_gives_one_number_for_the_batch_is_refused():
    loss = PerImage(lambda logits, targets: logits.sum())
    with pytest.raises(ValueError, match="one value an image"):
        mixed_loss(loss, torch.zeros(2, 3), targets([0, 1]), targets([1, 0]), 0.5)
