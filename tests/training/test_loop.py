from __future__ import annotations

import pytest

from synfill.training.loop import cut_parts, derive_seed


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
