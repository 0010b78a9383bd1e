import contextlib

import pytest

from synfill.data.configs import split_files
from synfill.errors import UsageError

CARD = {
    "configs": [
        {
            "config_name": "small",
            "data_files": [
                {"split": "test", "path": "small/test-*"},
                {"split": "train", "path": ["small/a.parquet", "small/deep/**/*.parquet"]},
            ],
        },
        {"config_name": "big", "data_dir": "big"},
        {"config_name": "one", "data_files": "small/a.parquet"},
    ]
}
FILES = [
    "small/a.parquet",
    "small/deep/x/b.parquet",
    "small/deep/c.parquet",
    "small/test-10.parquet",
    "small/test-9.parquet",
    "big/train-00000-of-00001.parquet",
]


def split(files, card=None, config=None):
    return split_files("spec", files, card or {}, config)[0]


def test_by_name():
    files = ["train-00001-of-00002.parquet", "train-00000-of-00002.parquet", "val.parquet"]
    assert split(files) == {"train": [files[1], files[0]], "validation": [files[2]]}


def test_by_folder():
    files = ["test/a.parquet", "train/x/10.parquet", "train/x/9.parquet"]
    assert split(files) == {"train": [files[2], files[1]], "test": [files[0]]}


def test_untold_files_are_train_or_noted():
    assert split(["b.parquet", "a.parquet"]) == {"train": ["a.parquet", "b.parquet"]}
    splits, notes = split_files("spec", ["test.parquet", "extra.parquet"], {}, None)
    assert list(splits) == ["test"]
    assert "extra.parquet" in notes[0]


def test_data_folder_wins():
    files = ["data/train-00000-of-00001.parquet", "other/test.parquet"]
    assert split(files) == {"train": [files[0]]}


def test_a_configuration_by_patterns():
    assert split(FILES, CARD, "small") == {
        "train": ["small/a.parquet", "small/deep/c.parquet", "small/deep/x/b.parquet"],
        "test": ["small/test-9.parquet", "small/test-10.parquet"],
    }
    assert split(FILES, CARD, "one") == {"train": ["small/a.parquet"]}


def test_a_configuration_by_folder():
    assert split(FILES, CARD, "big") == {"train": [FILES[-1]]}


def test_default_configurations():
    entries = [{"config_name": n, "data_files": f"{n}.parquet"} for n in ("a", "default")]
    files = ["a.parquet", "default.parquet"]
    assert split(files, {"configs": entries}) == {"train": ["default.parquet"]}
    entries = [{**entries[0], "default": True}, {**entries[1], "config_name": "b"}]
    assert split(files, {"configs": entries}) == {"train": ["a.parquet"]}
    assert split(files, {"configs": entries[:1]}) == {"train": ["a.parquet"]}


@pytest.mark.parametrize("glob", ["[", "[!a]*.parquet", "x[a-", "*[", "**", "?.parquet", "\\d+"])
def test_odd_patterns_match_or_not_but_never_fail(glob):
    card = {"configs": [{"config_name": "c", "data_files": glob}]}
    with contextlib.suppress(UsageError):
        assert split(["b.parquet"], card) == {"train": ["b.parquet"]}


@pytest.mark.parametrize(
    ("config", "message"),
    [(None, "several configurations: small, big, one"), ("smal", "Did you mean 'small'")],
)
def test_the_configuration_must_be_clear(config, message):
    with pytest.raises(UsageError, match=message):
        split(FILES, CARD, config)


def test_a_configuration_without_files():
    with pytest.raises(UsageError, match="names no Parquet"):
        split(FILES, {"configs": [{"config_name": "c", "data_files": "gone/*"}]})
