from __future__ import annotations

import json
from dataclasses import replace

import pytest
from asking import ask

from synfill.generation.pipeline import batch_size
from synfill.generation.pipeline.batch_size import (
    LARGEST,
    WORTH_TIMING,
    BatchSizeMemory,
    auto_batch_size,
    expected_batch_size,
    find_batch_size,
    largest_that_pays,
)
from synfill.generation.pipeline.generator import Generator
from synfill.generation.pipeline.rates import measure_rate
from synfill.generation.pipeline.samples import OutOfMemory

GIB = 1 << 30
MANY = 32 * WORTH_TIMING
REQUEST = ask(["a cat"])[0]


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
def test_the_batch_size_is_from_a_table(
    generator, monkeypatch, device, size, family, memory, batch
):
    monkeypatch.setattr(batch_size, "memory_bytes", {device: memory}.get)
    model = replace(generator("sd").model, device=device, size=size, family=family)
    assert auto_batch_size(model) == batch


def timed(rates, fits=1000):
    """Seconds an image by batch size, from images a second; runs out of memory above `fits`."""

    def seconds(size):
        if size > fits:
            raise OutOfMemory(size)
        return 1 / rates[size]

    return seconds


def test_it_doubles_as_long_as_that_pays():
    rates = {1: 10, 2: 19, 4: 30, 8: 31, 16: 31.5, 32: 60}
    assert largest_that_pays(timed(rates)) == (8, pytest.approx(31))
    assert largest_that_pays(timed({1: 10, 2: 10.2})) == (1, pytest.approx(10))
    growing = {2**k: 2.0**k for k in range(10)}
    assert largest_that_pays(timed(growing))[0] == LARGEST
    assert largest_that_pays(timed(growing, fits=5))[0] == 4
    with pytest.raises(OutOfMemory):
        largest_that_pays(timed(growing, fits=0))


def never(generator, request, size):
    raise AssertionError("nothing was to be timed")


def test_a_real_pipeline_is_timed_once_and_remembered(tmp_path, generator):
    memory, notes = BatchSizeMemory(tmp_path / "new" / "sizes.json"), []
    loaded = generator("sd")
    # Three steps of a tiny model: the real time, of one size that pays and one that doesn't.
    slower = {1: 1.0, 2: 0.1, 4: 1.0}
    sizes = []

    def timer(generator, request, size):
        sizes.append(size)
        return slower[size] + measure_rate(generator, request, size) / 1000

    found = find_batch_size(loaded, REQUEST, MANY, memory, notes.append, timer)
    assert (found, sizes) == (2, [1, 2, 4])
    assert "Batch size 2" in notes[0]
    again = BatchSizeMemory(tmp_path / "new" / "sizes.json")
    assert find_batch_size(loaded, REQUEST, MANY, again, notes.append, never) == 2
    # Another size, number type or model is another question.
    other = replace(loaded.model, size=(32, 32))
    assert again.recall(other) is None and again.recall(loaded.model) == 2
    # On the CPU the table is all there is.
    assert expected_batch_size(loaded.model, again) == 32


def test_a_small_run_is_not_worth_timing(tmp_path, generator):
    memory = BatchSizeMemory(tmp_path / "sizes.json")
    assert find_batch_size(generator("sd"), REQUEST, MANY - 1, memory, print, never) == 32
    assert not (tmp_path / "sizes.json").exists()


def test_a_model_that_does_not_fit_is_left_to_the_engine(tmp_path, generator):
    def full(generator, request, size):
        raise OutOfMemory(size)

    memory = BatchSizeMemory(tmp_path / "sizes.json")
    assert find_batch_size(generator("sd"), REQUEST, MANY, memory, print, full) == 1
    assert memory.recall(generator("sd").model) is None


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"x": 2}', "\0", "[" * 100_000])
def test_a_broken_memory_is_an_empty_one(tmp_path, generator, content):
    model = generator("sd").model
    (tmp_path / "sizes.json").write_text(content)
    memory = BatchSizeMemory(tmp_path / "sizes.json")
    assert memory.recall(model) is None
    memory.keep(model, 8)
    assert memory.recall(model) == 8


@pytest.mark.parametrize("value", [0, -1, "8", 2.5, True, None, 10**9])
def test_a_wrong_value_in_it_is_none(tmp_path, generator, value):
    model = generator("sd").model
    file = tmp_path / "sizes.json"
    BatchSizeMemory(file).keep(model, 4)
    (key,) = json.loads(file.read_text())
    file.write_text(json.dumps({key: value}))
    assert BatchSizeMemory(file).recall(model) is None


def test_a_memory_that_cannot_be_written_fails_nothing(tmp_path, generator):
    (tmp_path / "file").touch()
    memory = BatchSizeMemory(tmp_path / "file" / "sizes.json")
    memory.keep(generator("sd").model, 4)
    assert memory.recall(generator("sd").model) is None


def test_without_a_home_nothing_is_remembered(generator, monkeypatch):
    model = generator("sd").model
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    # What it is for a user whom the system doesn't know.
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    memory = BatchSizeMemory()
    memory.keep(model, 4)
    assert memory.recall(model) is None


def test_a_compiled_model_is_timed_uncompiled(tmp_path, generator):
    """Or every size that is tried would be compiled, and the largest kept as the static one."""
    loaded = generator("sd")
    compiled = Generator(loaded._pipe, replace(loaded.model, compile=True))
    loaded._pipe.unet.compile(dynamic=False, backend=_fail)
    try:
        memory = BatchSizeMemory(tmp_path / "sizes.json")
        found = find_batch_size(compiled, REQUEST, MANY, memory, print)
        assert found >= 1 and compiled._static_batch == 0
    finally:
        loaded._pipe.unet._compiled_call_impl = None


def _fail(graph, inputs):
    raise AssertionError("compiled")
