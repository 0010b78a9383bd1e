"""Datasets as strangers may make them: strategies of functions that write one to a folder."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from datasets_fixtures import IMAGE_TYPE, image_bytes, make_saved, make_table
from hypothesis import strategies as st

from fuzzing.odd import BROKEN_IMAGES, DEEP_JSON, HOSTILE_CARDS, NAMES, ODD_VALUES

Build = Callable[[Path], None]

names = st.sampled_from(NAMES) | st.text(max_size=12)
json_values = st.recursive(
    st.sampled_from(ODD_VALUES) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
images = st.sampled_from([image_bytes(n) for n in range(3)]) | st.sampled_from(BROKEN_IMAGES)


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value with up to three of its parts replaced, removed or renamed."""
    value = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(0, 3))):
        value = _mutate(draw, value)
    return value


def _mutate(draw: st.DrawFn, value: Any) -> Any:
    if not isinstance(value, dict | list) or not value:
        return copy.deepcopy(draw(json_values))
    entries = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = draw(st.sampled_from(entries))
    if isinstance(value[key], dict | list) and value[key] and draw(st.integers(0, 3)):
        value[key] = _mutate(draw, value[key])
        return value
    match draw(st.sampled_from(["replace", "replace", "remove", "rename"])):
        case "replace":
            value[key] = copy.deepcopy(draw(json_values))
        case "remove":
            del value[key]
        case "rename" if isinstance(value, dict):
            value[draw(names)] = value.pop(key)
        case _:
            value.append(copy.deepcopy(value[key]))
    return value


_CARD = {
    "license": "mit",
    "configs": [
        {
            "config_name": "default",
            "data_files": [
                {"split": "train", "path": "data/train-*"},
                {"split": "test", "path": ["*.parquet"]},
            ],
        }
    ],
    "dataset_info": {
        "config_name": "default",
        "features": [
            {"name": "image", "dtype": "image"},
            {"name": "label", "dtype": {"class_label": {"names": {"0": "cat", "1": "dog"}}}},
        ],
        "splits": [{"name": "train", "num_examples": 4}],
    },
}


@st.composite
def cards(draw: st.DrawFn) -> bytes | None:
    """README.md, or None for none."""
    kind = draw(st.sampled_from(["none", "none", "mutated", "mutated", "mutated", "hostile"]))
    if kind == "none":
        return None
    if kind == "hostile":
        return draw(st.sampled_from(HOSTILE_CARDS))
    header = yaml.dump(draw(mutated(_CARD)), allow_unicode=True)
    return f"---\n{header}---\n# x\n".encode(errors="surrogatepass")


_LABEL_COLUMNS: list[Callable[[int], pa.Array]] = [
    lambda n: pa.array([k % 2 for k in range(n)], pa.int64()),
    lambda n: pa.array([k % 3 - 1 for k in range(n)], pa.int8()),
    lambda n: pa.array([(1 << 64) - 1 - k % 2 for k in range(n)], pa.uint64()),
    lambda n: pa.array([None, 1.0, 0.0, float("nan")] * n, pa.float16())[:n],
    lambda n: pa.array([float("inf"), 1e300] * n)[:n],
    lambda n: pa.array([2.0**60, 1.0] * n)[:n],
    lambda n: pa.array([True, None] * n)[:n],
    lambda n: pa.nulls(n),
    lambda n: pa.array([b"cat", b"\xff\xfe"] * n, pa.binary())[:n].view(pa.string()),
    lambda n: pa.array(["x" * 5000, "y"] * n)[:n],
    lambda n: pa.array(["cat", "dog"] * n)[:n].dictionary_encode(),
    lambda n: pa.array(["cat", "dog"] * n, pa.string_view())[:n],
    lambda n: pa.array(["cat", "dog"] * n, pa.large_string())[:n],
    lambda n: pa.array([[1], None] * n, pa.list_(pa.int8()))[:n],
    lambda n: pa.array([1 << 50, -5] * n, pa.timestamp("s"))[:n],
    lambda n: pa.array([1 << 30, -(1 << 30)] * n, pa.date32())[:n],
    lambda n: pa.array([b"0123456789abcdef"] * n, pa.binary(16)),
    lambda n: pa.array([[("a", 1)]] * n, pa.map_(pa.string(), pa.int8())),
]


@st.composite
def tables(draw: st.DrawFn, rows: int) -> pa.Table:
    """A table with an image column, mostly, and odd others."""
    columns: dict[str, pa.Array] = {}
    for name in draw(st.sampled_from([("image",), ("image",), ("image", "img2"), ("a", "b"), ()])):
        columns[name] = draw(_image_columns(rows))
    for name in draw(st.sampled_from([("label",), ("label", "group"), ("label", "odd"), ()])):
        columns[name] = draw(st.sampled_from(_LABEL_COLUMNS))(rows)
    if draw(st.booleans()):
        words = draw(st.lists(names, min_size=1, max_size=3))
        text = [word.encode(errors="replace").decode() for word in words] * rows
        columns[draw(st.sampled_from(["label", "place"]))] = pa.array(text[:rows], pa.string())
    if draw(st.integers(0, 4)) == 0:
        name = draw(names).encode(errors="replace").decode()
        columns[name] = pa.array(range(rows))
    features = {"image": {"_type": "Image"}, "label": {"names": ["a", "b"], "_type": "ClassLabel"}}
    noted = json.dumps(draw(mutated({"info": {"features": features}})))
    if draw(st.integers(0, 9)) == 0:
        noted = DEEP_JSON
    return pa.table(columns).replace_schema_metadata({"huggingface": noted})


@st.composite
def _image_columns(draw: st.DrawFn, rows: int) -> pa.Array:
    kind = draw(st.sampled_from(["struct", "struct", "struct", "binary", "path", "null"]))
    if kind == "null":
        return draw(st.sampled_from([pa.nulls(rows), pa.nulls(rows, IMAGE_TYPE)]))
    data = draw(st.lists(images | st.none(), min_size=rows, max_size=rows))
    if kind == "binary":
        return pa.array(data, pa.binary())
    paths = draw(st.lists(names | st.none(), min_size=rows, max_size=rows))
    texts = [path and path.encode(errors="replace").decode() for path in paths]
    if kind == "path":
        return pa.array([{"bytes": None, "path": path} for path in texts])
    pairs = zip(data, texts, strict=True)
    return pa.array([{"bytes": one, "path": path} for one, path in pairs], IMAGE_TYPE)


@st.composite
def parquet_sources(draw: st.DrawFn) -> Build:
    card = draw(cards())
    files = draw(
        st.lists(
            st.sampled_from(
                ["data/train-00000-of-00001.parquet", "data/..x-00000-of-00001.parquet",
                 "data/test.parquet", "a.parquet", "train.parquet", "x.y-00000-of-00001.parquet",
                 "data/\udcff.parquet", "x\n.parquet"]
            ),
            min_size=1, max_size=2, unique=True,
        )
    )  # fmt: skip
    table = draw(tables(draw(st.sampled_from([0, 1, 2, 3, 3, 4, 4, 4]))))
    pipe = draw(st.integers(0, 29)) == 29

    def build(root: Path) -> None:
        _write_card(root, card)
        for name in files:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            with open(root / name, "wb") as file:
                pq.write_table(_written(table, root), file)
        if pipe:
            os.mkfifo(root / "data.parquet")

    return build


def _written(table: pa.Table, root: Path) -> pa.Table:
    """The table, with what stands for an absolute path replaced by one."""
    for number, field in enumerate(table.schema):
        if pa.types.is_string(field.type) and field.name != "label":
            continue
        if pa.types.is_struct(field.type) and table.num_rows:
            rows = table.column(number).to_pylist()
            for row in rows:
                if row and isinstance(row.get("path"), str):
                    row["path"] = row["path"].replace("ABOVE", str(root.parent))
            table = table.set_column(number, field, [pa.array(rows, field.type)])
    return table


@st.composite
def saved_sources(draw: st.DrawFn) -> Build:
    is_dict = draw(st.booleans())
    card = draw(cards())
    changes = {
        name: draw(st.integers(0, 1 << 30))
        for name in draw(
            st.lists(
                st.sampled_from(["dataset_info.json", "state.json", "dataset_dict.json"]),
                max_size=2,
                unique=True,
            )
        )
    }
    values = draw(st.lists(json_values, min_size=2, max_size=2))
    deep = draw(st.integers(0, 9)) == 0

    def build(root: Path) -> None:
        counts = {"a": 2, "b": 1}
        make_saved(root, {"train": counts, "test": counts} if is_dict else counts)
        _write_card(root, card)
        for (name, choice), value in zip(changes.items(), values, strict=False):
            for path in sorted(root.rglob(name)):
                content = json.loads(path.read_text())
                text = DEEP_JSON if deep else json.dumps(_replaced(content, choice, value))
                path.write_text(text.replace("ABOVE", str(root.parent)))

    return build


def _replaced(content: Any, choice: int, value: Any) -> Any:
    """JSON with one of its parts, chosen by a number, replaced."""
    places: list[tuple[Any, Any]] = []
    waiting = [content]
    while waiting:
        inner = waiting.pop()
        keys = list(inner) if isinstance(inner, dict) else range(len(inner))
        for key in keys:
            places.append((inner, key))
            if isinstance(inner[key], dict | list):
                waiting.append(inner[key])
    if not places:
        return value
    inner, key = places[choice % len(places)]
    inner[key] = value
    return content


# Links in a folder are its owner's, who may well keep images elsewhere.
_LINKS = ["/dev/zero", "../linked/1.png", "../linked", "pipe", ".", "gone"]


@st.composite
def folder_sources(draw: st.DrawFn) -> Build:
    card = draw(cards())
    parts = st.sampled_from(
        ["cat", "dog", "train", "test", "a b", "\udcff", "x" * 200, "...", "synfill"]
    )
    files = draw(
        st.lists(
            st.tuples(
                st.lists(parts, max_size=3),
                st.sampled_from(["1.png", "2.jpg", "\udcfe.png", "t.txt", ".png", "PIPE", "LINK"]),
                images,
                st.sampled_from(_LINKS),
            ),
            max_size=6,
        )
    )
    metadata = draw(_metadata())

    def build(root: Path) -> None:
        _write_card(root, card)
        for folders, name, data, target in files:
            folder = root.joinpath(*folders)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                if name == "PIPE":
                    os.mkfifo(folder / "pipe.png")
                elif name == "LINK":
                    (folder / "link.png").symlink_to(target)
                else:
                    (folder / name).write_bytes(data)
            except FileExistsError:
                continue
        if metadata is not None:
            (root / metadata[0]).write_bytes(metadata[1].replace(b"ABOVE", bytes(root.parent)))

    return build


@st.composite
def _metadata(draw: st.DrawFn) -> tuple[str, bytes] | None:
    kind = draw(st.sampled_from(["none", "none", "csv", "jsonl", "parquet"]))
    if kind == "none":
        return None
    stem = draw(st.sampled_from(["metadata", "metadata", "labels", "train", "a b"]))
    values = st.sampled_from(["cat/1.png", "1.png", "dog/2.jpg"]) | names
    rows = draw(st.lists(st.tuples(values, json_values), max_size=4))
    if kind == "csv":
        lines = [f"{name},{value}" for name, value in rows]
        text = "\n".join(["file_name,label", *lines])
        return f"{stem}.csv", text.encode(errors="replace")
    if kind == "jsonl":
        lines = [json.dumps({"file_name": name, "label": value}) for name, value in rows]
        if draw(st.integers(0, 4)) == 0:
            lines.append(DEEP_JSON)
        return f"{stem}.jsonl", "\n".join(lines).encode(errors="replace")
    texts = [name.encode(errors="replace").decode() for name, _ in rows]
    table = pa.table({"file_name": pa.array(texts, pa.string())})
    column = draw(st.sampled_from(_LABEL_COLUMNS))(len(rows))
    sink = pa.BufferOutputStream()
    pq.write_table(table.append_column("label", column), sink)
    return f"{stem}.parquet", sink.getvalue().to_pybytes()


def _write_card(root: Path, card: bytes | None) -> None:
    root.mkdir(parents=True, exist_ok=True)
    if card is not None:
        (root / "README.md").write_bytes(card.replace(b"ABOVE", bytes(root.parent)))


sources = parquet_sources() | folder_sources() | saved_sources()


@st.composite
def damaged_sources(draw: st.DrawFn) -> Build:
    """A sound Parquet file or saved dataset with some of its bytes changed."""
    is_saved = draw(st.booleans())
    flips = draw(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), max_size=8))
    cut = draw(st.none() | st.integers(0, 4000))

    def build(root: Path) -> None:
        if is_saved:
            make_saved(root, {"a": 3, "b": 2}, size=(4, 4))
            (file,) = root.glob("*.arrow")
        else:
            root.mkdir()
            file = root / "train.parquet"
            pq.write_table(make_table({"a": 3, "b": 2}, size=(4, 4)), file)
        content = bytearray(file.read_bytes())
        for place, value in flips:
            content[-1 - place % len(content)] ^= value
        file.write_bytes(content[:cut] if cut else content)

    return build
