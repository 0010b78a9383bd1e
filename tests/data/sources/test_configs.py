import contextlib

import pytest

from synfill.data.sources.configs import check_configs, config_fault, split_files
from synfill.errors import RunError, SynfillError, UsageError

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
    with contextlib.suppress(SynfillError):
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


def config(**entry):
    return {"configs": [{"config_name": "c", **entry}]}


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b", "a b", "a-b", "", ".x", "a\0", "a\n",
                                  "x" * 201, "..", "\ud800"])  # fmt: skip
def test_a_split_that_datasets_itself_refuses_is_refused_where_it_stands(name):
    with pytest.raises(
        RunError, match=r"spec/README\.md, configs, c, data_files: '.*name of a split"
    ):
        split(["b.parquet"], config(data_files={name: "*"}))


@pytest.mark.parametrize("path", ["../*", "/etc/*", "a/../../*", "~/x", "C:/x", "file:///etc/*",
                                  "zip://*::/etc/x", "hf://datasets/../x", "a\0"])  # fmt: skip
def test_patterns_stay_in_the_dataset(path):
    card = config(data_files=[{"split": "train", "path": path}])
    for check in (lambda: split(["b.parquet"], card), lambda: check_configs("spec", card)):
        with pytest.raises(RunError, match="no path of a file below"):
            check()
    with pytest.raises(RunError, match="data_dir"):
        split(["b.parquet"], config(data_dir="../x"))


def test_addresses_are_left_to_others():
    check_configs("spec", config(data_files="https://host/x.zip"))
    check_configs("spec", config(data_files="zip://*.jpg::data/train.zip"))


def test_a_pattern_that_is_none_is_named():
    with pytest.raises(RunError, match=r"the pattern '\[z-a\]' can't be read"):
        split(["b.parquet"], config(data_files="[z-a]"))


def test_a_pattern_of_many_stars_takes_no_time():
    """Python's own regular expressions would take longer than anyone lives."""
    names = ["a" * 200 + ".parquet", "x/" * 40 + "a.parquet"]
    with pytest.raises(UsageError, match="names no Parquet"):
        split(names, config(data_files=["*a" * 60 + "b", "**/" * 60 + "b"]))


@pytest.mark.parametrize(
    ("configs", "fault"),
    [
        (3, "'configs' should be a list, not 3"),
        ([3], "entry 1 should be a mapping, not 3"),
        ([{"config_name": ["a"]}], "config_name should be text"),
        ([{"config_name": "a", "data_dir": 3}], "data_dir should be a path, not 3"),
        ([{"config_name": "a", "data_files": 3}], "should hold patterns of paths, not 3"),
        ([{"config_name": "a", "data_files": [None]}], "should hold patterns of paths, not None"),
        ([{"config_name": "a", "data_files": {"test": [3]}}], "not the path of 'test'"),
        ([{"config_name": "a", "data_files": [{"split": "test"}]}], "not {'split': 'test'}"),
        ([], ""),
        (None, ""),
        (CARD["configs"], ""),
    ],
)
def test_configurations_that_are_nonsense_are_told(configs, fault):
    found = config_fault({"configs": configs})
    assert fault in found and bool(fault) == bool(found)
