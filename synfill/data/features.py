"""What kind of column an Arrow field is, and its feature as `datasets` writes it in JSON.

`datasets` itself is not asked: its import takes longer than reading a dataset's labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from synfill.data.source import Column, ColumnKind
from synfill.errors import RunError, UsageError, suggest
from synfill.names import check_classes
from synfill.reading import parse_json
from synfill.records import JsonObject

_IMAGE_NAMES = frozenset({"image", "img", "picture", "photo"})
_PREFERRED_IMAGES = frozenset({"image", "img"})
_INTEGERS = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
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
        noted = parse_json((schema.metadata or {})[b"huggingface"])
        features = noted["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return features if isinstance(features, dict) else {}


def columns_of(
    schema: pa.Schema, features: Mapping[str, JsonObject], where: str = "the dataset"
) -> tuple[Column, ...]:
    """The columns of a schema; features that don't fit what is stored are not believed.

    Args:
        schema: What is stored.
        features: What is noted of its columns.
        where: What the schema is of, for messages.

    Raises:
        RunError: A ClassLabel's names can't be names of classes, or two are the same.
    """
    binaries = [field.name for field in schema if _is_binary(field.type)]
    columns = []
    for field in schema:
        is_image = _is_image_struct(field.type) or (
            _is_binary(field.type) and (field.name in _IMAGE_NAMES or len(binaries) == 1)
        )
        feature = {"_type": "Image"} if is_image else feature_of(field.type)
        noted = _sound(features.get(field.name), f"The column '{field.name}' of {where}")
        if noted is not None and _fits(noted, field.type):
            feature = noted
        columns.append(Column(field.name, kind_of(feature), feature))
    return tuple(columns)


def plain_schema(schema: pa.Schema, where: str) -> pa.Schema:
    """A schema with dictionaries decoded and views as what they show, without metadata.

    Args:
        schema: What is stored.
        where: What the schema is of, for messages.

    Raises:
        RunError: Two columns have the same name, one's isn't text, or types are nested too deep.
    """
    try:
        names = schema.names
        types = [_plain_type(field.type) for field in schema]
        for stored in types:
            feature_of(stored)
    except UnicodeDecodeError:
        raise RunError(
            f"{where} has a column whose name isn't text (UTF-8).", "Rename it."
        ) from None
    except RecursionError:
        raise RunError(f"{where} has a column that is nested too deep.", "Remove it.") from None
    if len(set(names)) < len(names):
        raise RunError(
            f"{where} has two columns of the same name: {', '.join(names)}.", "Rename one of them."
        )
    return pa.schema(list(zip(names, types, strict=True)))


def _plain_type(stored: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(stored):
        return _plain_type(stored.value_type)
    if pa.types.is_string_view(stored):
        return pa.string()
    return pa.binary() if pa.types.is_binary_view(stored) else stored


def _sound(noted: Any, where: str) -> Any:
    """A noted feature of an image, a class or a plain value, reduced to what is known of these.

    None where it is no feature; what is nested comes as it is.
    """
    if not isinstance(noted, dict):
        return noted if isinstance(noted, list) and noted else None
    match noted.get("_type"):
        case "ClassLabel":
            names = noted.get("names")
            if not isinstance(names, list) or not names:
                return None
            return {"names": [*check_classes(names, where)], "_type": "ClassLabel"}
        case "Image":
            mode, decode = noted.get("mode"), noted.get("decode", True)
            is_known = (mode is None or isinstance(mode, str)) and isinstance(decode, bool)
            return noted if is_known else {"_type": "Image"}
        case "Value":
            dtype = noted.get("dtype")
            return {"dtype": dtype, "_type": "Value"} if isinstance(dtype, str) else None
    return noted


def kind_of(feature: Any) -> ColumnKind:
    """The kind of a column with this feature."""
    if not isinstance(feature, dict):
        return "other"
    match feature.get("_type"):
        case "Image":
            return "image"
        case "ClassLabel":
            return "class"
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
    preferred = [image for image in images if image in _PREFERRED_IMAGES]
    if name is not None and name not in images:
        raise UsageError(
            f"The column '{name}' holds no images.", suggest(name, images, "image columns")
        )
    if not images:
        listed = ", ".join(f"{column.name} ({column.kind})" for column in columns)
        raise UsageError(
            f"No column holds images. The columns are: {listed or 'none'}.",
            "Images are a column of the Image type, of files' bytes, or of {bytes, path}.",
        )
    if name is None and len(images) > 1 and len(preferred) != 1:
        raise UsageError(
            f"Several columns hold images: {', '.join(images)}.",
            f"Name the one to use, e.g. --image {images[0]}.",
        )
    chosen = name or (preferred if len(preferred) == 1 else images)[0]
    return tuple(
        replace(column, kind="other") if column.name in images and column.name != chosen else column
        for column in columns
    )


def image_columns(columns: Sequence[Column]) -> frozenset[str]:
    """The columns that hold images, the chosen one and those that are only passed on."""
    return frozenset(
        c.name for c in columns if isinstance(c.feature, dict) and c.feature.get("_type") == "Image"
    )


def _kind_of_dtype(dtype: str) -> ColumnKind:
    if dtype in _INTEGERS:
        return "int"
    if dtype in ("string", "large_string", "string_view"):
        return "string"
    return "bool" if dtype == "bool" else "other"


def _fits(feature: Any, stored: pa.DataType) -> bool:
    """Whether a noted feature is what is stored, so that each row can be written as it says."""
    if isinstance(feature, list):
        # As older versions of `datasets` note a list.
        return len(feature) == 1 and _is_list(stored) and _fits(feature[0], stored.value_type)
    if not isinstance(feature, dict):
        return False
    match feature.get("_type"):
        case "Image":
            return _is_image_struct(stored) or _is_binary(stored)
        case "ClassLabel":
            return bool(pa.types.is_integer(stored))
        case "Value":
            inferred = feature_of(stored)
            return bool(
                inferred == feature
                or (kind_of(feature) == "string" and kind_of(inferred) == "string")
            )
        case "List" | "LargeList" | "Sequence":
            length = feature.get("length", -1)
            inner = feature.get("feature")
            return (
                _is_list(stored)
                and (length == -1 or length == getattr(stored, "list_size", None))
                and _fits(inner, stored.value_type)
            )
        case str():
            # Audio, Array2D and others: known to `datasets` alone.
            return not isinstance(feature_of(stored), dict) or "dtype" not in feature_of(stored)
        case _:
            if not pa.types.is_struct(stored):
                return False
            names = [field.name for field in stored]
            return sorted(feature) == sorted(names) and all(
                _fits(feature[field.name], field.type) for field in stored
            )


def _is_list(stored: pa.DataType) -> bool:
    return isinstance(stored, pa.ListType | pa.LargeListType | pa.FixedSizeListType)


def _is_binary(stored: pa.DataType) -> bool:
    return stored in (pa.binary(), pa.large_binary(), pa.binary_view())


def _is_image_struct(stored: pa.DataType) -> bool:
    if not pa.types.is_struct(stored):
        return False
    fields = {field.name: field.type for field in stored}
    data, path = fields.get("bytes"), fields.get("path", pa.null())
    if data is None or len(fields) != stored.num_fields or not set(fields) <= {"bytes", "path"}:
        return False
    # No bytes at all, where all images are files beside the table.
    is_path = pa.types.is_string(path) or pa.types.is_large_string(path)
    has_path = is_path or pa.types.is_null(path)
    return has_path and (_is_binary(data) or (pa.types.is_null(data) and is_path))
