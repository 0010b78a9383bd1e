"""What the tests of the command line share: processes that begin with everything imported."""

import os

import pytest
from forking import Forker


@pytest.fixture(scope="session")
def forker(tmp_path_factory):
    if not hasattr(os, "fork"):
        pytest.skip("processes can't be forked")
    forker = Forker(tmp_path_factory.mktemp("forked"))
    yield forker
    forker.close()
