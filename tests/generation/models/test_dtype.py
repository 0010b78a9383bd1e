from __future__ import annotations

import pytest

from synfill.generation.models.dtype import find_dtype


@pytest.mark.parametrize(
    ("wanted", "device", "dtype"),
    [
        (None, "cpu", "float32"),
        ("auto", "cuda:1", "bfloat16"),
        (None, "mps", "float16"),
        ("fp16", "cpu", "float16"),
        ("float32", "cuda", "float32"),
    ],
)
def test_the_number_type(wanted, device, dtype):
    assert find_dtype(wanted, device, "bfloat16") == dtype
