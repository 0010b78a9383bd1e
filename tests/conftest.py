"""What all tests share: no network, one thread a process, small models, and the command line."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from forking import Forker
    from hub_client import HubClient
    from hub_here import HereClient
    from hub_server import HubServer

sys.path.insert(0, str(Path(__file__).parent))

# Before torch is imported, here and in the processes that tests start. Tests run side by side.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.pop("HF_TOKEN", None)
# What is printed would be broken to its width.
os.environ.pop("COLUMNS", None)


@pytest.fixture(scope="session", autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing is read from or written to the caches of whoever runs the tests."""
    home = tmp_path_factory.mktemp("hf-home")
    for name, value in {
        "HF_HOME": home,
        "HF_HUB_CACHE": home / "hub",
        "HF_DATASETS_CACHE": home / "datasets",
        "XDG_CACHE_HOME": home / "cache",
    }.items():
        os.environ[name] = str(value)


@pytest.fixture(scope="module", autouse=True)
def _cheap_collections() -> None:
    """Training and generating end with garbage collections, which would go through all imports."""
    gc.freeze()


@dataclass(frozen=True)
class Ran:
    """What a command printed and ended with."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ran]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Runs the command line in this process, from an empty folder: cli("analyze", path)."""
    from synfill.cli import output
    from synfill.cli.app import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(output.VERBOSITY, "verbose", False)
        monkeypatch.setattr(output.VERBOSITY, "quiet", False)
        monkeypatch.setattr(sys, "argv", ["synfill", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return Ran(code, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def sd_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small, real Stable Diffusion pipeline with random weights."""
    from tiny_models import make_sd

    return make_sd(tmp_path_factory.mktemp("models") / "sd")


@pytest.fixture(scope="session")
def forker(tmp_path_factory: pytest.TempPathFactory, sd_model: Path) -> Iterator[Forker]:
    """Starts commands in processes that begin with everything imported."""
    if not hasattr(os, "fork"):
        pytest.skip("processes can't be forked")
    from datasets_fixtures import make_imagefolder
    from forking import Forker
    from training_fixtures import make_colours, write_recipe

    folder = tmp_path_factory.mktemp("forked")

    def first() -> list[list[object]]:
        photos = make_imagefolder(folder / "photos", {"train": {"cat": 2, "dog": 1}})
        recipe = write_recipe(folder / "recipe.yaml", make_colours(folder / "colours"))
        short = ["stages=[{steps: 1, batch_size: 16}]", "--device", "cpu"]
        return [
            ["balance", photos, "--model", sd_model, "--steps", 1, "--out", folder / "made"],
            ["analyze", folder / "made"],
            ["train", recipe, *short, "--out", folder / "trained"],
        ]

    forker = Forker(folder, first)
    yield forker
    forker.close()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """A small Hub with two users."""
    from hub_server import HubServer, User

    with HubServer(tmp_path / "hub") as server:
        server.store.users["hf_secretOfAlice"] = User("alice", orgs={"zoo": "write", "ark": "read"})
        server.store.users["hf_secretOfBob"] = User("bob")
        yield server


@pytest.fixture
def alice(hub: HubServer, tmp_path: Path, forker: Forker) -> HubClient:
    """The command line as one of them runs it, in a process of its own."""
    from hub_client import HubClient

    return HubClient(hub, tmp_path / "alice", forker)


@pytest.fixture
def alice_here(
    hub: HubServer,
    tmp_path: Path,
    forker: Forker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> HereClient:
    """The same in this process, which takes a tenth of the time."""
    from hub_here import HereClient

    return HereClient(hub, tmp_path / "alice", forker, monkeypatch=monkeypatch, capsys=capsys)
