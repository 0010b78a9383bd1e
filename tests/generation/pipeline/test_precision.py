from __future__ import annotations

import pytest

from synfill.generation.pipeline.precision import auto_batch_size, find_dtype

GIB = 1 << 30


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


@pytest.mark.parametrize(
    ("device", "size", "family", "memory", "batch"),
    [
        ("cpu", (64, 64), "sd", None, 32),
        ("cpu", (256, 256), "sd", None, 4),
        ("cpu", (512, 512), "sd", None, 1),
        ("cuda", (512, 512), "sd", 80 * GIB, 32),
        ("cuda", (1024, 1024), "sdxl", 80 * GIB, 16),
        ("cuda", (1024, 1024), "sdxl", 12 * GIB, 1),
        ("cuda", (1024, 1024), "flux", 24 * GIB, 1),
        ("mps", (512, 512), "sd", 48 * GIB, 4),
    ],
)
def test_the_batch_size_is_from_a_table(device, size, family, memory, batch):
    assert auto_batch_size(device, size, family, memory) == batch
