"""Deficit -> an ordered table of requests, one an image to make. Pure and deterministic; written
to disk before anything is generated.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synfill.balancing.deficit import Deficit, emptiest_first
from synfill.balancing.prompts import PromptWriter
from synfill.files import atomic_write
from synfill.records import Cell, Request


def _seed_of_cell(seed: int, cell: Cell) -> hashlib.blake2b:
    text = "\0".join([str(seed), cell.label, *(f"{c}\1{v}" for c, v in cell.groups), ""])
    return hashlib.blake2b(text.encode(), digest_size=6)


def _seed_of_turn(of_cell: hashlib.blake2b, turn: int) -> int:
    """The seed of one image: of the run's seed, the cell's names and the image's turn alone.

    It depends neither on the other cells nor on a limit. 0 to 2^48 - 1, so that later attempts
    (seed + k) and every reader of JSON can hold it.
    """
    digest = of_cell.copy()
    digest.update(b"%d" % turn)
    return int.from_bytes(digest.digest(), "big")


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

    def prompts(self, first: int | None = None) -> list[str]:
        """The first distinct prompts, in order; all of them by default."""
        found: list[str] = pc.unique(self._prompt)[:first].to_pylist()
        return found


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
    cells = np.flatnonzero(deficit.to_make > 0)
    # Cell by cell, of which there are few, and not request by request, of which there are many.
    turns = np.zeros(len(order), dtype=np.int64)
    seeds = np.zeros(len(order), dtype=np.int64)
    prompt = np.zeros(len(order), dtype=np.int64)
    texts: list[str] = []
    by_cell = np.argsort(order, kind="stable")
    ends = np.cumsum(deficit.to_make[cells])
    for cell, end in zip(cells.tolist(), ends.tolist(), strict=True):
        positions = by_cell[end - int(deficit.to_make[cell]) : end]
        turns[positions], seeds[positions] = _turns_and_seeds(
            deficit.cells[cell], len(positions), seed, taken, max_tries
        )
        period = writer.period(deficit.cells[cell])
        prompt[positions] = len(texts) + turns[positions] % period
        texts += [writer.write(deficit.cells[cell], turn) for turn in range(period)]
    columns = [column for column, _ in deficit.cells[0].groups] if deficit.cells else []
    codes = pa.array(order)
    table = pa.table(
        {
            "id": pa.array(np.arange(len(order)), pa.int64()),
            "cell": codes,
            "class": _names([cell.label for cell in deficit.cells]).take(codes),
            **{
                f"group_{column}": _names([cell.groups[k][1] for cell in deficit.cells]).take(codes)
                for k, column in enumerate(columns)
            },
            "prompt": _names(texts).take(pa.array(prompt)),
            "negative_prompt": pa.repeat(writer.book.negative_prompt, len(order)),
            "seed": pa.array(seeds, pa.int64()),
        }
    )
    return Plan(deficit.cells, table)


def _names(names: Sequence[str]) -> pa.Array:
    return pa.array(names, pa.string())


def _turns_and_seeds(
    cell: Cell, images: int, seed: int, taken: frozenset[int], max_tries: int
) -> tuple[list[int], list[int]]:
    """The turns of a cell whose seeds aren't taken, and these seeds."""
    of_cell = _seed_of_cell(seed, cell)
    if not taken:
        return list(range(images)), [_seed_of_turn(of_cell, turn) for turn in range(images)]
    turns: list[int] = []
    seeds: list[int] = []
    for turn in itertools.count():
        if len(turns) == images:
            break
        first = _seed_of_turn(of_cell, turn)
        if taken.isdisjoint(range(first, first + max_tries)):
            turns.append(turn)
            seeds.append(first)
    return turns, seeds


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan as Parquet."""
    with atomic_write(path) as file:
        pq.write_table(plan.table, file)
