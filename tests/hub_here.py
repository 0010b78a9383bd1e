"""The command line against a HubServer in this process, which takes a tenth of a process's time.

What huggingface_hub reads of its environment when it is imported is set as `HubClient` has it.
Commands that `datasets` serves, or that are to be stopped, need a process of their own: see
`HubClient`, which this one is for whoever calls `apart` or `start`.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from dataclasses import dataclass

import pytest
from hub_client import SPEED, HubClient, Ran


@dataclass(frozen=True)
class HereClient(HubClient):
    """A user whose commands run in this process.

    Attributes:
        monkeypatch: The test's.
        capsys: The test's.
    """

    monkeypatch: pytest.MonkeyPatch | None = None
    capsys: pytest.CaptureFixture[str] | None = None

    def apart(self, *arguments: object, **environment: str) -> Ran:
        """Run `synfill ARGUMENTS` in a process of its own."""
        return super().__call__(*arguments, **environment)

    def __call__(self, *arguments: object, **environment: str) -> Ran:
        """Run `synfill ARGUMENTS`."""
        assert self.monkeypatch is not None and self.capsys is not None
        self.capsys.readouterr()
        with self.monkeypatch.context() as patch:
            self._prepare(patch, environment)
            patch.setattr(sys, "argv", ["synfill", *map(str, arguments)])
            # As in a process where nobody handles them; pytest does.
            logger, handler = logging.getLogger("synfill"), logging.lastResort
            assert handler is not None
            logger.addHandler(handler)
            try:
                code = _call_main()
            finally:
                logger.removeHandler(handler)
        out, err = self.capsys.readouterr()
        assert self.token is None or self.token not in out + err
        assert "Traceback" not in out + err, err
        return Ran(code, out, err)

    def _prepare(self, patch: pytest.MonkeyPatch, more: dict[str, str]) -> None:
        """Make this process one that was started for this user."""
        from huggingface_hub import constants, hf_api

        from synfill.cli import output
        from synfill.hub import retry

        home = self.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        patch.chdir(self.folder)
        environment = self.hub.environment(home, self.token) | more
        page = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
        for name, value in {
            "ENDPOINT": environment["HF_ENDPOINT"],
            "HUGGINGFACE_CO_URL_TEMPLATE": f"{environment['HF_ENDPOINT']}{page}",
            "HF_HUB_OFFLINE": environment["HF_HUB_OFFLINE"] == "1",
            "HF_HUB_DISABLE_XET": True,
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_TOKEN_PATH": str(home / "token"),
        }.items():
            patch.setattr(constants, name, value)
        patch.setattr(hf_api.api, "endpoint", environment["HF_ENDPOINT"])
        for name in [name for name in os.environ if name.startswith("HF_")]:
            patch.delenv(name)
        for name, text in environment.items():
            if name.startswith("HF_"):
                patch.setenv(name, text)
        sleep = time.sleep
        patch.setattr(time, "sleep", lambda seconds: sleep(seconds / SPEED))
        patch.setattr(retry, "_STATE", retry._State())
        patch.setattr(output.VERBOSITY, "verbose", False)
        patch.setattr(output.VERBOSITY, "quiet", False)


def _call_main() -> int:
    from synfill.cli.app import main

    try:
        main()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return 0
