"""A finished dataset to push; the Hub and its user are in the common conftest."""

from pathlib import Path

import pytest
from finished import make_finished
from hub_client import HubClient


@pytest.fixture
def finished(alice: HubClient) -> Path:
    return make_finished(alice.folder / "pets-balanced")
