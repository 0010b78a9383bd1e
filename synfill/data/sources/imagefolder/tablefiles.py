"""Tables in files (CSV, TSV, JSON lines, Parquet): read whole, with limits, and typed."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from synfill.data.features import plain_schema
from synfill.errors import RunError
from synfill.reading import check_json_lines, read_regular

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
LARGEST_TABLE = 1 << 30
"""Bytes above which a file isn't read as a table of labels."""

_INTEGER = r"^-?(0|[1-9][0-9]{0,14})(\.0)?$"
_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$"
_BOOLEAN = r"^(True|False|true|false|TRUE|FALSE)$"
_SEPARATORS = ",;\t|"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_HEADER_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class Labels:
    """What the metadata files of an ImageFolder, or other tables of its files, say of the images.

    Attributes:
        table: Their columns without the one that names the files; one row a file.
        rows: Path below the root -> row of the table.
        splits: The split of each image whose table's name says one: train.csv.
        is_whole: Whether images that no table names are left out.
        notes: What was taken, and what was left out, as sentences.
    """

    table: pa.Table
    rows: Mapping[str, int]
    splits: Mapping[str, str] = field(default_factory=dict)
    is_whole: bool = False
    notes: tuple[str, ...] = ()


def read_table(path: Path, names: list[str] | None = None) -> pa.Table:
    """A file as a table; a CSV's columns are all strings, its empty fields null.

    Args:
        path: The file; its ending says what it is.
        names: The columns of a CSV whose first line is no header.

    Raises:
        RunError: It is too large, damaged, not a regular file, or names a column twice.
    """
    suffix = path.suffix.lower()
    try:
        content = read_regular(path, LARGEST_TABLE)
        if content.startswith(_UTF16) and suffix != ".parquet":
            raise ValueError("it is UTF-16 text; save it as UTF-8")
        if suffix in (".csv", ".tsv"):
            table = _read_csv(content, names)
        elif suffix == ".jsonl":
            from pyarrow import json

            # Arrow's own parser has no limit of depth: it ends the process.
            check_json_lines(content)
            # One block: a row that crosses the border of two can't be read.
            block = json.ReadOptions(block_size=max(len(content), 1))
            table = json.read_json(pa.BufferReader(content), read_options=block)
        else:
            import pyarrow.parquet as pq

            table = pq.read_table(pa.BufferReader(content))
        table.validate(full=True)
        noted = table.schema.metadata
        return table.cast(plain_schema(table.schema, str(path))).replace_schema_metadata(noted)
    except (pa.ArrowException, OSError, ValueError, csv.Error) as error:
        raise RunError(f"{path} can't be read: {error}", "Repair or remove it.") from error


def _read_csv(content: bytes, names: list[str] | None) -> pa.Table:
    from pyarrow import csv as arrow_csv

    first = content[:_HEADER_BYTES].decode("utf-8-sig", errors="ignore").partition("\n")[0]
    separator = _separator(first)
    # The first record, which may hold quoted ends of lines.
    start = io.StringIO(content[:_HEADER_BYTES].decode("utf-8-sig", errors="replace"), newline="")
    header = next(csv.reader(start, delimiter=separator), [])
    columns = names if names is not None else header
    options = arrow_csv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
    )
    parse = arrow_csv.ParseOptions(newlines_in_values=True, delimiter=separator)
    reading = arrow_csv.ReadOptions(column_names=names)
    return arrow_csv.read_csv(pa.BufferReader(content), reading, parse, options)


def _separator(header: str) -> str:
    """What stands between the fields of a header; a comma where it isn't clear."""
    bare = "".join(header.split('"')[::2])
    return max(_SEPARATORS, key=bare.count)


def join_tables(tables: Sequence[pa.Table], what: str, where: str) -> pa.Table:
    """Several tables as one, its columns typed.

    Args:
        tables: At least one.
        what: What they are, for the message.
        where: What a column needs the same type in, for the message.

    Raises:
        RunError: A column has different types.
    """
    try:
        return _typed(pa.concat_tables(tables, promote_options="default"))
    except pa.ArrowException as error:
        raise RunError(
            f"{what} don't fit together: {error}", f"A column needs the same type in {where}."
        ) from error


def _typed(table: pa.Table) -> pa.Table:
    """The table with integers, numbers and booleans that were written as text as such."""
    for number, column_field in enumerate(table.schema):
        if pa.types.is_string(column_field.type):
            column = table.column(number)
            if _all_match(column, _INTEGER):
                column = column.cast(pa.float64()).cast(pa.int64())
            elif _all_match(column, _NUMBER):
                column = column.cast(pa.float64())
            elif _all_match(column, _BOOLEAN):
                column = pc.equal(pc.utf8_lower(column), "true")
            table = table.set_column(number, column_field.name, column)
    return table


def _all_match(column: pa.ChunkedArray, pattern: str) -> bool:
    # `all` of nothing but nulls is null: such a column stays as it is.
    return bool(pc.all(pc.match_substring_regex(column, pattern)).as_py())
