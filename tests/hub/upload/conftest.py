"""A finished dataset to push, and a user who pushes it; the Hub is in the common conftest."""

from pathlib import Path

import pytest
from finished import make_finished
from hub_here import HereClient


@pytest.fixture
def alice(alice_here: HereClient) -> HereClient:
    return alice_here


@pytest.fixture
def finished(alice: HereClient) -> Path:
    return make_finished(alice.folder / "pets-balanced")
