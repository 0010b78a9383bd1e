from __future__ import annotations

import pytest
import torch

from synfill.devices import device_name, find_device, is_out_of_memory, memory_bytes
from synfill.errors import UsageError


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
    assert device_name("cpu") == "cpu"


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:-1", "cpu:0", "mps:1", ""])
def test_unknown_devices(name):
    with pytest.raises(UsageError, match="There is no device"):
        find_device(name)


def test_out_of_memory_is_told_by_its_type_or_text():
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes don't match"))
    assert not is_out_of_memory(ValueError("out of memory"))
