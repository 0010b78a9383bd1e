import pytest

from synfill.data import hub
from synfill.data.source import open_source
from synfill.errors import RunError, UsageError


def test_offline():
    """For real: the tests run with HF_HUB_OFFLINE=1."""
    with pytest.raises(RunError, match="'owner/name' is no local folder, and the Hub can't be"):
        open_source("owner/name@main")


def errors():
    from datasets.exceptions import DatasetNotFoundError

    return [
        (DatasetNotFoundError("Dataset 'o/n' doesn't exist on the Hub"), RunError, "no dataset"),
        (DatasetNotFoundError("Dataset 'o/n' is a gated dataset"), RunError, "is gated"),
        (DatasetNotFoundError("Revision 'v9' doesn't exist"), RunError, "no revision 'v9'"),
        (RuntimeError("Dataset scripts are no longer supported"), RunError, "made by a script"),
        (ValueError("Config name is missing.\nPlease pick one: ['x', 'y']"), UsageError, "x, y"),
        (ValueError("BuilderConfig 'z' not found. Available: ['x']"), UsageError, ": x."),
        (ConnectionError("Couldn't reach 'o/n' on the Hub"), RunError, "can't be reached"),
        (OSError("something\nelse"), RunError, "can't be loaded: something$"),
    ]


@pytest.mark.parametrize("number", range(8))
def test_failures_are_explained(number, monkeypatch):
    import datasets

    error, kind, message = errors()[number]

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(datasets, "load_dataset_builder", fail)
    with pytest.raises(kind) as caught:
        hub.open_hub("o/n", revision="v9", config=None, image=None)
    import re

    assert re.search(message, caught.value.message)
    assert caught.value.hint


def test_a_dataset_as_the_hub_gives_it(tmp_path, monkeypatch):
    """The builder is the real one, only that it reads a local copy."""
    import datasets
    from datasets_fixtures import make_parquet

    make_parquet(tmp_path / "data", {"train": {"a": 2}, "test": {"a": 1}})
    real = datasets.load_dataset_builder
    monkeypatch.setattr(
        datasets,
        "load_dataset_builder",
        lambda id, name, revision: real(str(tmp_path), cache_dir=str(tmp_path / "cache")),
    )
    source = hub.open_hub("owner/pets", revision="v1", config=None, image=None)
    assert source.origin.name == "pets"
    assert (source.origin.location, source.origin.is_local) == ("owner/pets", False)
    assert source.origin.revision == "v1"
    assert source.splits == ("train", "test")
    ((_, batch),) = source.iter_rows("test")
    assert batch.column("image").field("bytes")[0].as_py().startswith(b"\x89PNG")
