from __future__ import annotations

import pytest
import torch

from synfill.config.recipes.settings import StageSettings
from synfill.errors import RunError
from synfill.training.stage.base import derive_seed
from synfill.training.stage.descent import _enough_memory, cut_parts
from synfill.training.stage.meter import StagePlan


@pytest.mark.parametrize("count", [1, 2, 3, 7, 10, 16, 128])
@pytest.mark.parametrize("parts", [1, 2, 3, 5, 200])
def test_a_batch_is_cut_into_parts_of_at_least_two(count, parts):
    found = cut_parts(count, parts)
    assert [i for part in found for i in range(part.start, part.stop)] == list(range(count))
    sizes = [part.stop - part.start for part in found]
    assert len(found) <= parts and min(sizes) >= min(count, 2) and max(sizes) - min(sizes) <= 1


def test_derived_seeds_differ():
    seeds = {derive_seed(a, b, c) for a in range(6) for b in range(6) for c in range(6)}
    assert len(seeds) == 216 and derive_seed(1, 2) != derive_seed(2, 1)
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("ask", [lambda: torch.empty(1 << 60), lambda: bytearray(1 << 62)])
def test_memory_that_runs_out_says_what_to_lower(ask):
    stage = StageSettings(steps=1)
    plan = StagePlan("ce, seed 0", "stages.0", "network", stage, 1, 1, 1, 128)
    with (
        pytest.raises(RunError, match="128 images of 4,096 x 4,096 pixels at a time") as error,
        _enough_memory(plan, 128, 4096),
    ):
        ask()
    for words in ("hardware.gradient_accumulation=4", "stages.0.batch_size", "data.image_size"):
        assert words in error.value.hint
    with pytest.raises(RuntimeError, match="shape"), _enough_memory(plan, 128, 4096):
        torch.ones(2, 3) @ torch.ones(2, 3)
