"""The files of a balanced dataset: its data, the verdicts on all images made, what was left out.

Everything is decided by the run's identity and its batch sizes: no times, no paths, no counters of
this machine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from synfill.balancing.assemble import Assembler, output_features
from synfill.balancing.prepare import Prepared, codes_by_row
from synfill.data.source import image_column
from synfill.data.writers import DatasetWriter, ImageFolderWriter, ParquetWriter, Written
from synfill.files import csv_text
from synfill.generation.fill.store import ShardStore
from synfill.records import ModelInfo, Request
from synfill.reporter import Reporter
from synfill.runs.shard import verdict_table

SAMPLE_CLASSES = 10
SAMPLES_A_CLASS = 6
ROWS_A_TABLE = 256


@dataclass
class Samples:
    """The first few real and synthetic images of the classes that got the most."""

    classes: Sequence[str]
    real: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    synthetic: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))

    def offer(self, images: dict[str, list[bytes]], name: str, data: bytes | None) -> None:
        """Keep an image if its class still needs some."""
        if name in self.classes and data is not None and len(images[name]) < SAMPLES_A_CLASS:
            images[name].append(data)


def choose_sample_classes(prepared: Prepared, made: Sequence[int]) -> list[str]:
    """The classes that got the most images, in the dataset's order.

    Args:
        prepared: The run.
        made: Accepted images of each cell.
    """
    by_class: dict[str, int] = defaultdict(int)
    for cell, count in zip(prepared.deficit.cells, made, strict=True):
        by_class[cell.label] += count
    chosen = sorted(by_class, key=lambda name: -by_class[name])[:SAMPLE_CLASSES]
    return [name for name in prepared.label.names if name in chosen and by_class[name]]


def write_data(
    prepared: Prepared,
    final: Path,
    store: ShardStore,
    model: ModelInfo,
    samples: Samples,
    reporter: Reporter,
) -> dict[str, Written]:
    """Write the rows of every split, real ones and then synthetic ones.

    Args:
        prepared: The run.
        final: The folder that they go to.
        store: The finished images.
        model: The generator.
        samples: Offered every image of the balanced split.
        reporter: Where progress goes.

    Returns:
        What was written, by split.
    """
    source, provenance = prepared.source, prepared.provenance
    schema = output_features(source.columns, provenance).arrow_schema
    assembler = Assembler(
        source, provenance, schema, prepared.label, prepared.groups, f"{model.id}@{model.revision}"
    )
    image = image_column(source.columns).name
    writer: DatasetWriter
    if prepared.settings.format == "parquet":
        writer = ParquetWriter(final, schema)
    else:
        writer = ImageFolderWriter(
            final,
            schema,
            image,
            prepared.label.name,
            provenance,
            {c.name: c.class_names for c in source.columns if c.kind == "class"},
        )
    class_of = codes_by_row(prepared.table)
    rows_of = {split: prepared.rows_of(split) for split in source.splits}
    total = sum(len(rows) for rows in rows_of.values()) + len(prepared.plan)
    done = 0
    for split, rows in rows_of.items():
        # A split without images is still a split.
        writer.add(split, schema.empty_table())
        for numbers, table in assembler.real_tables(split, rows):
            writer.add(split, table)
            if split == prepared.split:
                for row, value in zip(numbers.tolist(), table[image], strict=True):
                    if row in class_of and not prepared.earlier.synthetic[row]:
                        name = prepared.label.names[class_of[row]]
                        samples.offer(samples.real, name, value["bytes"].as_py())
            done += len(numbers)
            reporter.progress("writing", done, total)
        if split == prepared.split:
            for made in _batches(prepared, store):
                writer.add(split, assembler.synthetic_table(made))
                for request, _, data, _ in made:
                    samples.offer(samples.synthetic, request.cell.label, data)
                done += len(made)
                reporter.progress("writing", done, total)
    return writer.close()


def _batches(
    prepared: Prepared, store: ShardStore
) -> Iterator[list[tuple[Request, int, bytes, str]]]:
    batch: list[tuple[Request, int, bytes, str]] = []
    for outcome in store.accepted():
        request = prepared.plan[outcome.verdict.request]
        assert outcome.image is not None
        batch.append((request, outcome.verdict.seed, outcome.image, outcome.extension))
        if len(batch) == ROWS_A_TABLE:
            yield batch
            batch = []
    if batch:
        yield batch


def table_of_verdicts(prepared: Prepared, store: ShardStore) -> pa.Table:
    """Every image that was made, kept or not, with what it was to show."""
    table = verdict_table(store.verdicts())
    asked = prepared.plan.table.drop_columns(["id", "cell", "seed", "negative_prompt"])
    asked = asked.take(table["request"])
    columns = {"request": table["request"]}
    columns |= dict(zip(asked.column_names, asked.columns, strict=True))
    columns |= dict(zip(table.column_names, table.columns, strict=True))
    return pa.table(columns).combine_chunks()


def write_skipped(prepared: Prepared, path: Path) -> None:
    """List the images that were left out because they can't be read."""
    lines = [
        (split, bad.row, bad.where, bad.reason)
        for split, rows in prepared.bad.items()
        for bad in rows
    ]
    if not lines:
        return
    text = csv_text(("split", "row", "image", "reason"), lines)
    path.write_text(text, encoding="utf-8", newline="")
