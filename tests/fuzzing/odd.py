"""Single odd things that datasets are made of: names, values, cards, images."""

from __future__ import annotations

import io
import zlib

import numpy as np
from datasets_fixtures import image_bytes
from PIL import Image

NAMES = [
    "train", "test", "cat", "dog", "image", "label", "file_name", "1.png", "default",
    "../secret/secret.png", "../../x", "ABOVE/secret/secret.png", "ABOVE/escaped", "..", ".", "/",
    "a/../../x", "pipe", "/dev/zero", "~/x", "C:\\x", "a\0b", "", " ", "a\nb", "con", "synfill",
    "README.md", ".hidden", "x" * 300, "ü" * 150, "[/bold]", "[bold]", "{}", "%s", "=1+1", "-1",
    "NaN", "**", "[z-a]", "*a" * 40, "file:///etc/passwd", "none", "日本語", "\u202egpj", "\ufeff",
]  # fmt: skip
"""ABOVE stands for the folder that the dataset lies in."""

ODD_VALUES = [
    None, True, 0, -1, 3, 1 << 70, 1.5, 1e300, "", "3", [], {}, [None], {"_type": "ClassLabel"},
    {"_type": "ClassLabel", "names": None}, {"_type": "ClassLabel", "names": ["a", "a"]},
    {"_type": "ClassLabel", "names_file": "/etc/passwd"}, {"_type": "Foo"}, {"_type": []},
    {"_type": "Value", "dtype": "int8"}, {"_type": "Value", "dtype": {}}, {"_type": "Image"},
    {"_type": "List", "feature": {"_type": "List"}}, {"_type": "Array2D", "shape": "x"},
    {"_type": "Sequence", "feature": {"dtype": "int8", "_type": "Value"}, "length": "x"},
]  # fmt: skip

DEEP_JSON = '{"a":' * 50_000 + "1" + "}" * 50_000


def _bomb() -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]"
        for before, after in zip("abcdefghi", "bcdefghij", strict=True)
    ]
    return "\n".join(lines)


_MERGES = "a: &a {k1: 1, k2: 2, k3: 3}\n" + "".join(
    f"{after}: &{after} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE_HEADERS = [
    _bomb(),
    _bomb() + "\nlicense: *j",
    _bomb() + "\n? *j\n: 1",
    _MERGES,
    "license: " + "[" * 5000,
    "a: &a [*a]",
    "configs: &a\n- config_name: x\n  data_files: *a",
    "license: !!timestamp 2001-99-99\n",
    "license: !!int ''\n",
    "n: 1" + "0" * 5000,
    "license: !!python/object/apply:os.system ['true']",
    "? [a, b]\n: 1",
    "license: 2020-13-45\nconfigs: 3",
    "configs: [{config_name: default, data_files: 3}]",
    "configs: [{config_name: default, data_files: '[z-a]'}]",
    "configs: [{config_name: default, data_files: {'../../x': '**'}}]",
    "configs: [{config_name: default, data_files: {ABOVE/escaped: '**'}}]",
    "configs: [{config_name: default, data_files: '../secret/*'}]",
    "configs: [{config_name: default, data_files: 'ABOVE/secret/*'}]",
    "configs: [{config_name: default, data_dir: '../secret'}]",
    "dataset_info: [[]]",
    "dataset_info: {features: [{name: label, dtype: {class_label: 3}}]}",
    "dataset_info: {features: [{name: label, dtype: {class_label: {names: [a, a]}}}]}",
    "dataset_info: {features: 3}",
]
HOSTILE_CARDS = [
    *(f"---\n{header}\n---\n".encode() for header in HOSTILE_HEADERS),
    b"---\n\xff\n---\n",
    b"---\r\nlicense: mit\r\n---\r\n",
    b"\xef\xbb\xbf---\nlicense: mit\n---\n",
]


def _encode(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _palette_with_odd_transparency() -> bytes:
    """A palette PNG whose transparency has more entries than its palette."""
    image = Image.fromarray(np.zeros((4, 4), np.uint8)).convert("P")
    return _encode(image, "PNG", transparency=bytes(256))


def _png_of_odd_pixels() -> bytes:
    """A PNG that ends as it should, but whose compressed pixels are those of another width."""
    content = bytearray(image_bytes(0))
    content[16:20] = (64).to_bytes(4, "big")
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


def _interlaced_png_of_nothing() -> bytes:
    """A PNG that says it is interlaced, and isn't."""
    content = bytearray(image_bytes(0))
    content[28] = 1
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


BROKEN_IMAGES = [
    _png_of_odd_pixels(),
    _interlaced_png_of_nothing(),
    b"",
    b"not an image",
    image_bytes(0)[:60],
    image_bytes(0, format="JPEG")[:200],
    _encode(Image.new("LAB", (4, 4)), "TIFF"),
    _encode(Image.new("CMYK", (4, 4)), "TIFF"),
    _encode(Image.new("I;16", (4, 4)), "PNG"),
    _encode(Image.new("F", (4, 4)), "TIFF"),
    _palette_with_odd_transparency(),
]
