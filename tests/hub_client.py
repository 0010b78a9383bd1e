"""The command line against a HubServer: `python hub_client.py ARGUMENTS`, as `synfill ARGUMENTS`.

Runs in a process of its own, as the client reads its environment when it is imported; a forked
one, but where a library reads a variable only then. Nothing of it is replaced; only waiting takes a
hundredth of its time.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from forking import ForkedProcess, Forker
from hub_server import HubServer
from killing import heed_ctrl_c

SPEED = 100
_READ_ONCE = {"HF_DEBUG", "HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS"}


@dataclass(frozen=True)
class Ran:
    """What a command printed and ended with."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class HubClient:
    """A user with a login, caches and a folder of their own.

    Attributes:
        hub: The server.
        folder: Where commands run.
        forker: Starts them.
        token: The login; None for none.
    """

    hub: HubServer
    folder: Path
    forker: Forker
    token: str | None = "hf_secretOfAlice"

    def start(
        self, *arguments: object, **environment: str
    ) -> subprocess.Popen[str] | ForkedProcess:
        """Start `synfill ARGUMENTS`."""
        (self.folder / "home").mkdir(parents=True, exist_ok=True)
        whole = self.hub.environment(self.folder / "home", self.token) | environment
        if not _READ_ONCE & environment.keys():
            return self.forker.start(arguments, folder=self.folder, environment=whole, speed=SPEED)
        return subprocess.Popen(
            [sys.executable, __file__, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=whole,
            preexec_fn=heed_ctrl_c,
        )

    def __call__(self, *arguments: object, **environment: str) -> Ran:
        """Run `synfill ARGUMENTS` to its end. No token is ever printed."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=120)
        assert self.token is None or self.token not in out + err
        assert "Traceback" not in out + err, err
        assert process.returncode is not None
        return Ran(process.returncode, out, err)


if __name__ == "__main__":
    sleep = time.sleep
    time.sleep = lambda seconds: sleep(seconds / SPEED)
    from synfill.cli.app import main

    sys.argv[0] = "synfill"
    main()
