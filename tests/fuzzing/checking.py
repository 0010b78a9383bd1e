"""What must hold for every dataset, however odd: it is read and written, or refused with one of
our own errors; in a few seconds; nothing is read outside of it and nothing written outside OUT.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets_fixtures import IMAGE_TYPE, image_bytes
from rich.console import Console

from synfill.analysis.run import analyze
from synfill.balancing.assemble import Assembler, output_features
from synfill.cli.analyze import _sections
from synfill.cli.output import counts_table
from synfill.data.images import inspect_split
from synfill.data.labels import choose_label, read_label_tables
from synfill.data.provenance import find_provenance
from synfill.data.source import Source, image_column, open_source
from synfill.data.writers import (
    DatasetWriter,
    ImageFolderWriter,
    ParquetWriter,
    check_imagefolder,
    check_parquet,
)
from synfill.errors import SynfillError

SECRET_IMAGE = image_bytes(4242)
SECRET = "SECRET"
SECONDS = 20
"""More than any of these small datasets may take, on a busy machine."""


class Hang(BaseException):
    """Nothing catches it by chance."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises Hang after so many seconds, also from a system call that waits."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang(f"longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def snapshot(folder: Path) -> dict[str, object]:
    """Everything below a folder: what it is, and a regular file's content."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        is_file = stat.S_ISREG(status.st_mode)
        key = os.fsdecode(path.relative_to(folder))
        found[key] = path.read_bytes() if is_file else (stat.S_IFMT(status.st_mode))
    return found


def check(build: Callable[[Path], None], around: Path) -> str:
    """Make a dataset in a folder of its own, use it, and see that all holds.

    Args:
        build: Makes it.
        around: A folder that is emptied first.

    Returns:
        "" if it was read and written, else the error's message.
    """
    shutil.rmtree(around, ignore_errors=True)
    source = around / "place" / "source"
    source.parent.mkdir(parents=True)
    _make_secret(source.parent / "secret")
    (source.parent / "linked").mkdir()
    (source.parent / "linked" / "1.png").write_bytes(image_bytes(7))
    build(source)
    before = snapshot(around)
    out = around / "place" / "out"
    message = ""
    with time_limit(SECONDS):
        try:
            _use(str(source), out)
        except SynfillError as error:
            message = str(error)
    message.encode(errors="surrogateescape")
    after = snapshot(around)
    written = {name for name in after if before.get(name) != after[name]}
    outside = [n for n in written if n != "place/out" and not n.startswith("place/out/")]
    assert not outside, f"written outside of OUT: {outside}"
    assert before.keys() <= after.keys(), "something was deleted"
    for name in written:
        content = after[name]
        if isinstance(content, bytes):
            assert SECRET.encode() not in content, f"{name} has what stands outside SOURCE"
            assert SECRET_IMAGE not in content, f"{name} has an image from outside SOURCE"
    assert SECRET not in message
    return message


def _make_secret(folder: Path) -> None:
    folder.mkdir()
    (folder / "secret.png").write_bytes(SECRET_IMAGE)
    table = pa.table(
        {"image": pa.array([{"bytes": SECRET_IMAGE, "path": None}], IMAGE_TYPE), "label": [SECRET]}
    )
    pq.write_table(table, folder / "secret.parquet", compression="none")
    (folder / "metadata.csv").write_text(f"file_name,label\nsecret.png,{SECRET}\n")
    os.mkfifo(folder / "pipe")


def _use(spec: str, out: Path) -> None:
    source = open_source(spec)
    failed = None
    try:
        _analyze(spec)
    except SynfillError as error:
        failed = error
    label = choose_label(source, None)
    tables = read_label_tables(source, source.splits, label)
    good = {}
    for split in source.splits:
        found = inspect_split(source, split)
        assert len(found.codes) == source.count(split)
        for bad in found.bad:
            bad.where.encode()
        good[split] = np.flatnonzero(found.codes >= 0)
    if label is not None:
        for writer_of in (_parquet_writer, _imagefolder_writer):
            try:
                _write(source, label, good, writer_of, out / writer_of.__name__, tables)
            except SynfillError as error:
                failed = failed or error
    if failed is not None:
        raise failed


def _analyze(spec: str) -> None:
    analysis = analyze(spec, split=["all"])
    json.dumps(analysis.to_json())
    console = Console(file=io.StringIO(), width=80)
    splits = [histogram.split for histogram in analysis.splits]
    for note in analysis.notes:
        console.print(note, markup=False)
    for title, rows in _sections(analysis):
        console.print(counts_table(title, splits, rows, False))


def _write(source, label, good, writer_of, out, tables) -> None:  # type: ignore[no-untyped-def]
    provenance = find_provenance(source.columns, rename=True)
    schema = output_features(source.columns, provenance).arrow_schema
    factor = tables[source.splits[0]].label
    assembler = Assembler(source, provenance, schema, factor, (), "none")
    writer = writer_of(source, schema, label, factor, provenance, out)
    for split in source.splits:
        writer.add(split, schema.empty_table())
        for _, table in assembler.real_tables(split, good[split]):
            writer.add(split, table)
    writer.close()


def _parquet_writer(source: Source, schema, label, factor, provenance, out) -> DatasetWriter:  # type: ignore[no-untyped-def]
    check_parquet(schema)
    return ParquetWriter(out, schema)


def _imagefolder_writer(source: Source, schema, label, factor, provenance, out) -> DatasetWriter:  # type: ignore[no-untyped-def]
    image = image_column(source.columns).name
    check_imagefolder(schema, image, factor.names, source.splits)
    classes = {c.name: c.class_names for c in source.columns if c.kind == "class"}
    return ImageFolderWriter(out, schema, image, label, provenance, classes)
