from __future__ import annotations

import pytest
import torch
from torch import nn

from synfill.errors import UsageError
from synfill.training.network.cosine import fit_classifier, use_cosine_classifier


def test_the_last_layer_gives_scaled_cosines():
    network = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    weight = network[2].weight.detach().clone()
    use_cosine_classifier(network, 16.0)
    images = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    features = network[:2](images)
    expected = nn.functional.cosine_similarity(features[:, None], weight[None], dim=2)
    torch.testing.assert_close(network(images), 16 * expected)
    # Twice is once, and a network of the same weights is made alike.
    use_cosine_classifier(network, 16.0)
    other = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    fit_classifier(other, network.state_dict())
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(images), network(images))
    network[2].reset_parameters()
    assert not torch.equal(network[2].weight, weight)
    plain = nn.Sequential(nn.Linear(5, 4))
    fit_classifier(plain, plain.state_dict())
    assert type(plain[0]) is nn.Linear


def test_a_network_that_ends_in_a_convolution_has_none():
    with pytest.raises(UsageError, match="needs a linear last layer"):
        use_cosine_classifier(nn.Sequential(nn.Conv2d(3, 4, 1)), 16.0)
