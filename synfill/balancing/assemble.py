"""Real rows + accepted images -> tables of the balanced dataset.

Real images' bytes pass through as they are. Where the tables are written to is `writers`' part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synfill.data.provenance import NO_SEED, NO_VALUE, Provenance
from synfill.data.source import Column, Source, image_column
from synfill.errors import RunError, UsageError
from synfill.records import Factor, Request, Value

if TYPE_CHECKING:
    from datasets import Features


def output_features(columns: Sequence[Column], provenance: Provenance) -> Features:
    """The balanced dataset's features: the source's own, then the provenance columns."""
    from datasets import Features

    features = {column.name: column.feature for column in columns}
    features |= {n: f for n, f in provenance.columns.items() if n not in features}
    for name, feature in features.items():
        try:
            Features.from_dict({name: feature}).arrow_schema  # noqa: B018
        except Exception as error:
            # Features come from strangers, and `datasets` raises anything at odd ones.
            raise UsageError(
                f"The column '{name}' is of a type that `datasets` can't write "
                f"({feature!r:.100}): {str(error).partition('. ')[0]:.200}.",
                "Remove the column from the source, or correct its type there.",
            ) from error
    return Features.from_dict(features)


@dataclass(frozen=True, eq=False)
class Assembler:
    """Makes tables of one schema from real rows and synthetic images.

    Attributes:
        source: Where the real rows are.
        provenance: The names of the provenance columns.
        schema: The Arrow schema of the balanced dataset, with its features.
        label: The class column of the balanced split.
        groups: The group columns that synthetic images have a value of; empty for --by class.
        generator: What stands in the `generator` column.
    """

    source: Source
    provenance: Provenance
    schema: pa.Schema
    label: Factor
    groups: tuple[Factor, ...]
    generator: str

    def real_tables(
        self, split: str, rows: NDArray[np.int64] | None
    ) -> Iterator[tuple[NDArray[np.int64], pa.Table]]:
        """Real rows as (row numbers, table) pairs, in the source's order.

        Args:
            split: The split.
            rows: int64, ascending; None for all.
        """
        for numbers, batch in self.source.iter_rows(split, rows):
            table = pa.Table.from_batches([batch])
            if self.provenance.existing:
                table = self._with_nulls(table)
            else:
                name = self.provenance.name("synthetic")
                table = table.append_column(name, pa.array(np.zeros(len(numbers), dtype=bool)))
            for field in self.schema:
                if field.name not in table.column_names:
                    table = table.append_column(field, pa.nulls(len(numbers), field.type))
            yield numbers, self._conform(split, numbers, table)

    def _conform(self, split: str, numbers: NDArray[np.int64], table: pa.Table) -> pa.Table:
        columns = []
        for field in self.schema:
            try:
                columns.append(table.column(field.name).cast(field.type))
            except pa.ArrowException as error:
                raise RunError(
                    f"The column '{field.name}' of {self.source.origin.location} can't be written "
                    f"as {field.type} (rows {numbers[0]} to {numbers[-1]} of '{split}'): {error}",
                    "Correct it in the source.",
                ) from error
        return pa.Table.from_arrays(columns, schema=self.schema)

    def _with_nulls(self, table: pa.Table) -> pa.Table:
        """What stands for null in the metadata.csv of one of our ImageFolders, as null again."""
        for column, stand_in in (("prompt", NO_VALUE), ("generator", NO_VALUE), ("seed", NO_SEED)):
            index = table.column_names.index(self.provenance.name(column))
            values = table.column(index)
            null = pa.scalar(None, values.type)
            cleared = pc.if_else(pc.fill_null(pc.equal(values, stand_in), False), null, values)
            table = table.set_column(index, table.schema.field(index), cleared)
        return table

    def synthetic_table(self, made: Sequence[tuple[Request, int, bytes, str]]) -> pa.Table:
        """Accepted images as a table.

        Args:
            made: (request, seed of the accepted attempt, file bytes, file suffix) of each.
        """
        requests = [request for request, *_ in made]
        # By the seed, which no two images of a dataset share however often it is balanced.
        images = [
            {"bytes": data, "path": f"synthetic-{seed}{suffix}"} for _, seed, data, suffix in made
        ]
        columns: dict[str, Sequence[Any]] = {
            image_column(self.source.columns).name: images,
            self.label.name: self._values(self.label, [r.cell.label for r in requests]),
            self.provenance.name("synthetic"): [True] * len(made),
            self.provenance.name("prompt"): [request.prompt for request in requests],
            self.provenance.name("seed"): [seed for _, seed, _, _ in made],
            self.provenance.name("generator"): [self.generator] * len(made),
        }
        for group in self.groups:
            names = [dict(request.cell.groups)[group.name] for request in requests]
            columns[group.name] = self._values(group, names)
        arrays = [
            pa.array(columns[field.name], field.type)
            if field.name in columns
            else pa.nulls(len(made), field.type)
            for field in self.schema
        ]
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def _values(self, factor: Factor, names: Sequence[str]) -> list[Value]:
        """Names back to what the column stores: a ClassLabel's number, or the value itself."""
        kind = next(c.kind for c in self.source.columns if c.name == factor.name)
        stored = range(len(factor.values)) if kind == "class" else factor.values
        by_name: dict[str, Value] = dict(zip(factor.names, stored, strict=True))
        return [by_name[name] for name in names]
