from __future__ import annotations

import pytest
import torch

from synfill.errors import UsageError
from synfill.generate.device import (
    auto_batch_size,
    find_device,
    find_dtype,
    is_out_of_memory,
    memory_bytes,
)

GIB = 1 << 30


def test_the_device_that_is_there():
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("here is a GPU")
    assert find_device(None) == find_device("auto") == find_device("cpu") == "cpu"
    with pytest.raises(UsageError, match=r"'cuda' isn't there: torch .* sees 0 CUDA GPUs"):
        find_device("cuda")
    with pytest.raises(UsageError, match="'cuda:1' isn't there"):
        find_device("cuda:1")
    with pytest.raises(UsageError, match="'mps' isn't there"):
        find_device("mps")
    assert memory_bytes("cpu") is None


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:-1", "cpu:0", "mps:1", ""])
def test_unknown_devices(name):
    with pytest.raises(UsageError, match="There is no device"):
        find_device(name)


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


def test_out_of_memory_is_told_by_its_type_or_text():
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes don't match"))
    assert not is_out_of_memory(ValueError("out of memory"))


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
