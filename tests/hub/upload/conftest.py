"""A finished dataset to push, and a user who pushes it; the Hub is in the common conftest."""

from pathlib import Path

import pytest
from finished import make_finished
from hub_client import HubClient
from hub_here import HereClient
from hub_server import HubServer


@pytest.fixture
def alice(
    hub: HubServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> HereClient:
    """The command line as a user runs it, in this process."""
    return HereClient(hub, tmp_path / "alice", monkeypatch=monkeypatch, capsys=capsys)


@pytest.fixture
def finished(alice: HubClient) -> Path:
    return make_finished(alice.folder / "pets-balanced")
