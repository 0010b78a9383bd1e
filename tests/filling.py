"""A store that is filled without a pipeline: a maker of noise, and one session of the engine."""

from __future__ import annotations

import hashlib

import numpy as np

from synfill.generation.fill.fill import fill
from synfill.generation.fill.local import LocalEngine
from synfill.generation.fill.store import ShardStore
from synfill.generation.fill.task import FillTask
from synfill.generation.pipeline.samples import OutOfMemory
from synfill.quality.check import Facts
from synfill.quality.judge import Checks
from synfill.records import Cell, ImageProfile, Request, Sample

SIZE = (64, 64)
PNG = ImageProfile("PNG", "RGB", (32, 32))


def request_(id):
    return Request(id, Cell("cat"), "a photo of a cat", "", seed=1000 * (id + 1))


class Noise:
    """Makes noise from the seed alone, and remembers its batches; runs out of memory above N."""

    def __init__(self, fits=1000, stop_after=None, bad=()):
        self.fits = fits
        self.stop_after = stop_after
        self.bad = set(bad)
        self.batches = []
        self.expected = None

    def expect(self, requests, batch_size):
        self.expected = [request.id for request in requests], batch_size

    def start(self, requests):
        seeds = [request.seed for request in requests]
        if len(seeds) > self.fits:
            raise OutOfMemory(len(seeds))
        if self.stop_after is not None and len(self.batches) == self.stop_after:
            raise KeyboardInterrupt
        self.batches.append(seeds)
        return lambda: [self._sample(seed) for seed in seeds]

    def _sample(self, seed):
        pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        return Sample(pixels * (seed not in self.bad), True, False)


def run(folder, maker, total=20, batch_size=4, shard=8, tries=3, checks=(), **changes):
    notes, progress = [], []
    store = ShardStore(folder, total, shard, notes.append)
    arguments = {
        "requests": [request_(i) for i in range(total)],
        "open_maker": lambda: maker,
        "store": store,
        "profile_of": lambda request: PNG,
        "checks": Checks(Facts(SIZE), checks),
        "batch_size": batch_size,
        "max_tries": tries,
    }
    task = FillTask(**arguments | changes)
    made = fill(task, LocalEngine(), on_progress=progress.append, on_note=notes.append)
    return store, Report(store, made), notes, progress


class Report:
    """What a store holds, and how many images a session made."""

    def __init__(self, store, made):
        accepted = {verdict.request for verdict in store.verdicts() if verdict.accepted}
        self.accepted = len(accepted)
        self.rejected = sum(not verdict.accepted for verdict in store.verdicts())
        self.unfilled = tuple(sorted(set(range(store.total)) - accepted))
        self.made = made
        self.batch_size = store.last_batch_size()


def digest(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
