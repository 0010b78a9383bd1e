import datetime

import pyarrow as pa
import pytest

from synfill.data.features import (
    columns_of,
    feature_of,
    plain_schema,
    schema_features,
    with_one_image,
)
from synfill.errors import RunError, UsageError

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def kinds(*fields, features=None):
    columns = columns_of(pa.schema(list(fields)), features or {})
    return {column.name: column.kind for column in columns}


def test_kinds_from_types():
    assert kinds(
        ("picture", IMAGE),
        ("i", pa.uint8()),
        ("s", pa.large_string()),
        ("d", pa.dictionary(pa.int8(), pa.string())),
        ("b", pa.bool_()),
        ("f", pa.float32()),
        ("l", pa.list_(pa.int64())),
    ) == {
        "picture": "image", "i": "int", "s": "string", "d": "string", "b": "bool",
        "f": "other", "l": "other",
    }  # fmt: skip


def test_binaries_are_images_by_name_or_when_alone():
    assert kinds(("x", pa.large_binary()))["x"] == "image"
    two = kinds(("x", pa.binary()), ("img", pa.binary()))
    assert two == {"x": "other", "img": "image"}


def test_noted_features_are_believed_where_they_fit():
    label = {"names": ["a", "b"], "_type": "ClassLabel"}
    noted = {"y": label, "z": label}
    assert kinds(("y", pa.int64()), ("z", pa.string()), features=noted) == {
        "y": "class",
        "z": "string",
    }


@pytest.mark.parametrize("noted", [b"{", b"[]", b'{"info": null}', b'{"info": {"features": 3}}'])
def test_damaged_metadata_is_ignored(noted):
    assert schema_features(pa.schema([("a", pa.int64())], {"huggingface": noted})) == {}


def test_features_are_those_that_datasets_infers():
    from datasets import Features

    table = pa.table(
        {
            "i": pa.array([1], pa.int16()),
            "f": [1.5],
            "h": pa.array([1.5], pa.float32()),
            "t": [datetime.datetime(2020, 1, 1)],
            "d": [datetime.date(2020, 1, 1)],
            "l": [[1, 2]],
            "s": [{"x": 1, "y": ["a"]}],
            "k": pa.array(["a"]).dictionary_encode(),
            "b": pa.array([b"x"], pa.binary()),
            "p": pa.array([[1, 2]], pa.list_(pa.int8(), 2)),
        }
    )
    inferred = Features.from_arrow_schema(table.schema).to_dict()
    assert {field.name: feature_of(field.type) for field in table.schema} == inferred


def images(*names):
    return columns_of(pa.schema([(name, IMAGE) for name in names]), {})


def test_one_of_several_images():
    by_name = with_one_image(images("mask", "image"), None)
    assert [(c.name, c.kind) for c in by_name] == [("mask", "other"), ("image", "image")]
    told = with_one_image(images("mask", "image"), "mask")
    assert [c.kind for c in told] == ["image", "other"]


@pytest.mark.parametrize(
    ("names", "asked", "message"),
    [
        (("left", "right"), None, "Several columns hold images: left, right"),
        (("image", "img"), None, "Several columns hold images"),
        ((), None, "No column holds images"),
        (("image",), "imge", "'imge' holds no images"),
    ],
)
def test_the_image_must_be_clear(names, asked, message):
    with pytest.raises(UsageError, match=message):
        with_one_image(images(*names), asked)


LABEL = {"names": ["a", "b"], "_type": "ClassLabel"}


@pytest.mark.parametrize(
    ("stored", "noted"),
    [
        (pa.int64(), {"_type": "ClassLabel"}),
        (pa.int64(), {"_type": "ClassLabel", "names": None}),
        (pa.int64(), {"_type": "ClassLabel", "names_file": "/etc/passwd"}),
        (pa.int64(), {"_type": "Value", "dtype": "int8"}),
        (pa.int64(), {"_type": "Value", "dtype": ["int64"]}),
        (pa.int64(), {"_type": ["List"]}),
        (pa.int64(), {}),
        (pa.int64(), {"_type": "Array2D", "shape": [2, 2]}),
        (pa.list_(pa.int8()), {"_type": "List"}),
        (pa.list_(pa.int8()), {"_type": "List", "feature": {"_type": "List"}}),
        (pa.list_(pa.int8()), {"_type": "Sequence", "feature": LABEL["names"], "length": "x"}),
        (pa.struct([("x", pa.int8())]), {"y": {"_type": "Value", "dtype": "int8"}}),
        (pa.struct([("x", pa.int8())]), {"x": 3}),
    ],
)
def test_features_that_dont_fit_are_not_believed(stored, noted):
    (column,) = columns_of(pa.schema([("c", stored)]), {"c": noted})
    assert column.feature == feature_of(stored)


@pytest.mark.parametrize("names", [["a", "a"], [None], [["a"]], ["x" * 2000]])
def test_names_that_cant_be_classes_are_told(names):
    noted = {"_type": "ClassLabel", "names": names}
    with pytest.raises(RunError, match="The column 'y' of here"):
        columns_of(pa.schema([("y", pa.int64())]), {"y": noted}, "here")


def test_what_is_noted_beside_the_names_is_dropped():
    (column,) = columns_of(pa.schema([("y", pa.int8())]), {"y": LABEL | {"names_file": "/x"}})
    assert column.feature == LABEL


def test_images_that_are_stored_by_path_alone():
    stored = pa.struct([("bytes", pa.null()), ("path", pa.string())])
    assert kinds(("image", stored)) == {"image": "image"}
    odd = pa.struct([("bytes", pa.binary()), ("path", pa.list_(pa.int8()))])
    assert kinds(("image", odd)) == {"image": "other"}


def test_types_that_are_nested_too_deep():
    stored = pa.int8()
    for _ in range(2000):
        stored = pa.list_(stored)
    with pytest.raises(RunError, match="here has a column that is nested too deep"):
        plain_schema(pa.schema([("x", stored)]), "here")
