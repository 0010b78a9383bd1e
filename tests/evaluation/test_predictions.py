import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synfill.errors import RunError
from synfill.evaluation.predictions import (
    Predictions,
    merge_predictions,
    read_predictions,
    write_predictions,
)

GROUPS = ["place", "seed", "group_seed"]
VALUES = [["land", "water"], ["old"], ["new", "used"]]


def part(seed):
    probabilities = np.random.default_rng(seed).dirichlet([1, 1], 3).astype(np.float32)
    labels, groups = np.array([0, 1, 1]), np.array([[1, 0, 0], [0, -1, 1], [-1, 0, 0]])
    return Predictions(np.array([4, 7, 9]), labels, probabilities, groups)


def test_seeds_are_joined_by_name(tmp_path):
    expected = {}
    for seed in (0, 5):
        both = {"test": part(seed), "validation": part(seed)}
        expected[seed] = part(seed).probabilities
        path = tmp_path / f"seed-{seed}/predictions.parquet"
        write_predictions(path, seed, both, ["cat", "dog"], GROUPS, VALUES)
    parts = [tmp_path / f"seed-{seed}/predictions.parquet" for seed in (0, 5)]
    merge_predictions(tmp_path / "predictions.parquet", parts)
    found = pq.read_table(tmp_path / "predictions.parquet")
    assert found.column_names == [
        "split", "row", "seed", "label", "predicted", "probabilities", "place", "group_group_seed",
        "group_seed",
    ]  # fmt: skip
    assert str(found.schema.field("probabilities").type) == "list<element: float>"
    rows = [row for row in found.to_pylist() if row["split"] == "test"]
    assert len(found) == 12 and [row["seed"] for row in rows] == [0] * 3 + [5] * 3
    assert [row["row"] for row in rows] == [4, 7, 9] * 2
    assert [row["label"] for row in rows[:3]] == ["cat", "dog", "dog"]
    # What is known of an image is told, whatever else of it is missing.
    assert [row["place"] for row in rows[:3]] == ["water", "land", None]
    assert [row["group_group_seed"] for row in rows[:3]] == ["old", None, "old"]
    assert [row["group_seed"] for row in rows[:3]] == ["new", "used", "new"]
    for row, probabilities in zip(rows, np.concatenate(list(expected.values())), strict=True):
        assert row["probabilities"] == pytest.approx(probabilities.tolist())
        assert row["predicted"] == ["cat", "dog"][int(probabilities.argmax())]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["predictions.parquet", "seed-0", "seed-5"]


def test_a_damaged_part_is_named(tmp_path):
    path = tmp_path / "seed-3/predictions.parquet"
    with pytest.raises(RunError, match=r"seed-3/predictions.parquet can't be read"):
        merge_predictions(tmp_path / "predictions.parquet", [path])
    write_predictions(path, 3, {"test": part(3)}, ["cat", "dog"], GROUPS, VALUES)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match=r"seed-3/predictions.parquet can't be read") as caught:
        merge_predictions(tmp_path / "predictions.parquet", [path])
    assert f"delete {path.parent}/result.json" in caught.value.hint
    assert not (tmp_path / "predictions.parquet").exists()


def test_without_groups(tmp_path):
    probabilities = np.eye(2, dtype=np.float32)
    groups = np.empty((2, 0), np.int64)
    made = {"test": Predictions(np.arange(2), np.array([0, 1]), probabilities, groups)}
    write_predictions(tmp_path / "p.parquet", 0, made, ["a", "b"], [], [])
    assert pq.read_table(tmp_path / "p.parquet").to_pylist()[1] == {
        "split": "test", "row": 1, "seed": 0, "label": "b", "predicted": "b",
        "probabilities": [0.0, 1.0],
    }  # fmt: skip


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "seed-0/predictions.parquet"
    both = {"test": part(0), "validation": part(0)}
    write_predictions(path, 0, both, ["cat", "dog"], GROUPS, VALUES)
    return path


def test_what_was_written_is_read_back(written):
    found = read_predictions(written, 0, ["cat", "dog"], GROUPS, 6)
    assert [*found] == ["test", "validation"]
    assert found["test"].rows.tolist() == [4, 7, 9]
    assert found["test"].labels.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(found["validation"].probabilities, part(0).probabilities)


COLUMNS = ("split", "row", "seed", "label", "predicted", "probabilities", "place", "group_seed")
OTHERS = [
    pa.nulls(6, pa.string()), pa.nulls(6, pa.int64()), pa.nulls(6, pa.float32()),
    pa.array([{"a": 1}] * 6), pa.array([[{"a": 1}] * 2] * 6), pa.array([["x", "y"]] * 6),
    pa.array(["cat"] * 6).dictionary_encode(), pa.array(["cat"] * 6, pa.large_string()),
]  # fmt: skip


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_other_types_are_damage(written, name):
    held = pq.read_table(written)
    at = held.column_names.index(name)
    tables = [held.drop_columns([name]), held.append_column(name, held[name])]
    tables += [
        held.set_column(at, name, other) for other in OTHERS if other.type != held[name].type
    ]
    for table in tables:
        pq.write_table(table, written)
        with pytest.raises(ValueError, match="column"):
            read_predictions(written, 0, ["cat", "dog"], GROUPS, 6)


@pytest.mark.parametrize("name", ["split", "row", "seed", "label", "predicted", "probabilities"])
def test_missing_values_are_damage(written, name):
    held = pq.read_table(written)
    at = held.column_names.index(name)
    pq.write_table(held.set_column(at, name, pa.nulls(6, held[name].type)), written)
    with pytest.raises(ValueError, match="missing"):
        read_predictions(written, 0, ["cat", "dog"], GROUPS, 6)
