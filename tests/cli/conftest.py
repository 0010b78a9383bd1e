"""What the tests of the command line share: processes that begin with everything imported."""

import os

import pytest
from datasets_fixtures import make_imagefolder
from forking import Forker


@pytest.fixture(scope="session")
def forker(tmp_path_factory, sd_model):
    if not hasattr(os, "fork"):
        pytest.skip("processes can't be forked")
    folder = tmp_path_factory.mktemp("forked")
    photos = make_imagefolder(folder / "photos", {"train": {"cat": 2, "dog": 1}})
    first = ("balance", photos, "--model", sd_model, "--steps", 1, "--out", folder / "out")
    forker = Forker(folder, first)
    yield forker
    forker.close()
