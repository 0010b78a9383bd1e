"""What kind of column an Arrow field is, and its feature as `datasets` writes it in JSON.

`datasets` itself is not asked: its import takes longer than reading a dataset's labels.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from synfill.data.source import Column, ColumnKind
from synfill.errors import UsageError, suggest
from synfill.records import JsonObject

_IMAGE_NAMES = frozenset({"image", "img", "picture", "photo"})
_PREFERRED_IMAGES = frozenset({"image", "img"})
_DTYPES = {
    "double": "float64",
    "float": "float32",
    "halffloat": "float16",
    "date32[day]": "date32",
    "date64[ms]": "date64",
}


def schema_features(schema: pa.Schema) -> dict[str, JsonObject]:
    """The features that `datasets` noted in a schema's metadata; empty where it noted none."""
    try:
        noted = json.loads((schema.metadata or {})[b"huggingface"])
        features = noted["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return features if isinstance(features, dict) else {}


def columns_of(schema: pa.Schema, features: Mapping[str, JsonObject]) -> tuple[Column, ...]:
    """The columns of a schema; features that don't fit what is stored are not believed."""
    binaries = [field.name for field in schema if _is_binary(field.type)]
    columns = []
    for field in schema:
        is_image = _is_image_struct(field.type) or (
            _is_binary(field.type) and (field.name in _IMAGE_NAMES or len(binaries) == 1)
        )
        feature = {"_type": "Image"} if is_image else feature_of(field.type)
        noted = features.get(field.name)
        if noted is not None and _fits(noted, field.type):
            feature = noted
        columns.append(Column(field.name, kind_of(feature), feature))
    return tuple(columns)


def kind_of(feature: Any) -> ColumnKind:
    """The kind of a column with this feature."""
    if not isinstance(feature, dict):
        return "other"
    match feature.get("_type"):
        case "Image":
            return "image"
        case "ClassLabel" if feature.get("names"):
            return "class"
        case "ClassLabel":
            return "int"
        case "Value":
            return _kind_of_dtype(str(feature.get("dtype")))
        case _:
            return "other"


def feature_of(stored: pa.DataType) -> Any:
    """The feature that `datasets` infers for a type: a dict, for a struct one of features."""
    if pa.types.is_dictionary(stored):
        return feature_of(stored.value_type)
    if pa.types.is_struct(stored):
        return {field.name: feature_of(field.type) for field in stored}
    if pa.types.is_fixed_size_list(stored):
        inner = feature_of(stored.value_type)
        return {"feature": inner, "length": stored.list_size, "_type": "List"}
    if pa.types.is_list(stored):
        return {"feature": feature_of(stored.value_type), "_type": "List"}
    if pa.types.is_large_list(stored):
        return {"feature": feature_of(stored.value_type), "_type": "LargeList"}
    return {"dtype": _DTYPES.get(str(stored), str(stored)), "_type": "Value"}


def with_one_image(columns: tuple[Column, ...], name: str | None) -> tuple[Column, ...]:
    """The columns with one of them as the image; other images are passed on as kind "other".

    Args:
        columns: The columns of a source.
        name: The image column that the user named (`--image`); None to find it.

    Raises:
        UsageError: No column holds images, several do, or the named one doesn't.
    """
    images = [column.name for column in columns if column.kind == "image"]
    if name is not None:
        if name not in images:
            raise UsageError(
                f"The column '{name}' holds no images.", suggest(name, images, "image columns")
            )
        chosen = name
    elif not images:
        listed = ", ".join(f"{column.name} ({column.kind})" for column in columns)
        raise UsageError(
            f"No column holds images. The columns are: {listed or 'none'}.",
            "Images are a column of the Image type, of files' bytes, or of {bytes, path}.",
        )
    else:
        preferred = [image for image in images if image in _PREFERRED_IMAGES]
        found = preferred if len(preferred) == 1 else images
        if len(found) > 1:
            raise UsageError(
                f"Several columns hold images: {', '.join(images)}.",
                f"Name the one to use, e.g. --image {images[0]}.",
            )
        chosen = found[0]
    return tuple(
        replace(column, kind="other") if column.name in images and column.name != chosen else column
        for column in columns
    )


def _kind_of_dtype(dtype: str) -> ColumnKind:
    if dtype.startswith(("int", "uint")):
        return "int"
    if dtype in ("string", "large_string", "string_view"):
        return "string"
    return "bool" if dtype == "bool" else "other"


def _fits(feature: Any, stored: pa.DataType) -> bool:
    match kind_of(feature):
        case "image":
            return _is_image_struct(stored) or _is_binary(stored)
        case "class" | "int":
            return bool(pa.types.is_integer(stored))
        case "other":
            return kind_of(feature_of(stored)) == "other"
        case kind:
            return kind_of(feature_of(stored)) == kind


def _is_binary(stored: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(stored)
        or pa.types.is_large_binary(stored)
        or pa.types.is_binary_view(stored)
    )


def _is_image_struct(stored: pa.DataType) -> bool:
    if not pa.types.is_struct(stored):
        return False
    fields = {field.name: field.type for field in stored}
    return set(fields) <= {"bytes", "path"} and "bytes" in fields and _is_binary(fields["bytes"])
