"""Deficit -> an ordered table of requests, one an image to make. Pure and deterministic; written
to disk before anything is generated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from synfill.balancing.deficit import Deficit, emptiest_first
from synfill.balancing.prompts import PromptWriter
from synfill.files import atomic_write
from synfill.records import Cell, Request


def request_seed(seed: int, cell: Cell, turn: int) -> int:
    """The seed of one image: of the run's seed, the cell's names and the image's turn alone.

    It depends neither on the other cells nor on a limit. 0 to 2^48 - 1, so that later attempts
    (seed + k) and every reader of JSON can hold it.
    """
    text = "\0".join([str(seed), cell.label, *(f"{c}\1{v}" for c, v in cell.groups), str(turn)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big")


class Plan(Sequence[Request]):
    """The requests of a run, in the order in which they are made."""

    def __init__(self, cells: Sequence[Cell], table: pa.Table) -> None:
        self.cells = tuple(cells)
        self._cell = table["cell"].to_numpy()
        self._seed = table["seed"].to_numpy()
        self._prompt = table["prompt"]
        self._negative = table["negative_prompt"]
        self.table = table

    def __len__(self) -> int:
        return len(self._seed)

    @overload
    def __getitem__(self, index: int) -> Request: ...
    @overload
    def __getitem__(self, index: slice) -> list[Request]: ...
    def __getitem__(self, index: int | slice) -> Request | list[Request]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        return Request(
            id=index,
            cell=self.cells[int(self._cell[index])],
            prompt=self._prompt[index].as_py(),
            negative_prompt=self._negative[index].as_py(),
            seed=int(self._seed[index]),
        )

    def __iter__(self) -> Iterator[Request]:
        return (self[index] for index in range(len(self)))

    def prompts(self, first: int) -> list[str]:
        """The first distinct prompts, in order."""
        found: dict[str, None] = {}
        for prompt in self._prompt:
            found.setdefault(prompt.as_py())
            if len(found) == first:
                break
        return list(found)


def build_plan(
    deficit: Deficit,
    writer: PromptWriter,
    seed: int,
    taken: frozenset[int] = frozenset(),
    max_tries: int = 1,
) -> Plan:
    """Write a request for every image to make.

    Args:
        deficit: What is missing; `to_make` is filled emptiest cell first.
        writer: Writes the prompts.
        seed: The run's seed.
        taken: Seeds of images that are there already, which would come out the same again.
        max_tries: Attempts an image: it may take the seeds up to seed + max_tries - 1.
    """
    order = emptiest_first(deficit.kept + deficit.earlier, deficit.to_make, None)
    turns = np.zeros(len(deficit.cells), dtype=np.int64)
    prompts, seeds = [], []
    for cell in order.tolist():
        turn = int(turns[cell])
        first = request_seed(seed, deficit.cells[cell], turn)
        while taken and not taken.isdisjoint(range(first, first + max_tries)):
            turn += 1
            first = request_seed(seed, deficit.cells[cell], turn)
        prompts.append(writer.write(deficit.cells[cell], turn))
        seeds.append(first)
        turns[cell] = turn + 1
    columns = [column for column, _ in deficit.cells[0].groups] if deficit.cells else []
    named = [deficit.cells[cell] for cell in order.tolist()]
    table = pa.table(
        {
            "id": pa.array(np.arange(len(order)), pa.int64()),
            "cell": pa.array(order, pa.int64()),
            "class": pa.array([cell.label for cell in named], pa.string()),
            **{
                f"group_{column}": pa.array([cell.groups[k][1] for cell in named], pa.string())
                for k, column in enumerate(columns)
            },
            "prompt": pa.array(prompts, pa.string()),
            "negative_prompt": pa.array([writer.book.negative_prompt] * len(order), pa.string()),
            "seed": pa.array(seeds, pa.int64()),
        }
    )
    return Plan(deficit.cells, table)


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan as Parquet."""
    with atomic_write(path) as file:
        pq.write_table(plan.table, file)
