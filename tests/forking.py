"""Commands of `synfill` in processes that begin with everything imported.

Importing torch and diffusers takes the better part of a short command. Here one process runs such
a command, and then forks for each that is asked for: what a signal, a kill or a full disk does to
it is the same, but it begins at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_READY = "ready\n"


class Forker:
    """The process that forks.

    Args:
        folder: An empty folder, for what the commands print.
        first: The arguments of the command that it runs itself, so that all is imported.
    """

    def __init__(self, folder: Path, first: Sequence[object]) -> None:
        self._folder = folder
        self._started = 0
        self._process = subprocess.Popen(
            [sys.executable, __file__, *map(str, first)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        # What its own command prints comes first.
        assert any(line == _READY for line in self._process.stdout), "its own command failed"

    def start(self, arguments: Sequence[object], largest_file: int | None = None) -> ForkedProcess:
        """Start `synfill` with these arguments.

        Args:
            arguments: Of the command line.
            largest_file: Bytes that a file may have, as on a disk that is full then.
        """
        self._started += 1
        printed = [self._folder / f"{self._started}.{stream}" for stream in ("out", "err")]
        pid = self._ask(
            arguments=[str(argument) for argument in arguments],
            printed=[str(path) for path in printed],
            largest_file=largest_file,
            folder=os.getcwd(),
        )
        return ForkedProcess(self, pid, printed)

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def look(self, pid: int) -> int | None:
        """The exit code of a process that it started, negative for a signal; None while it runs."""
        code: int | None = self._ask(look=pid)
        return code

    def _ask(self, **request: Any) -> Any:
        assert self._process.stdin is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


class ForkedProcess:
    """A command that was started; used as a `subprocess.Popen`."""

    def __init__(self, forker: Forker, pid: int, printed: Sequence[Path]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._forker = forker
        self._printed = printed

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        if self.returncode is None:
            self.returncode = self._forker.look(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        deadline = time.monotonic() + (timeout if timeout is not None else 300)
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("synfill", timeout or 300)
            time.sleep(0.003)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end; what it printed."""
        self.wait(timeout)
        out, err = (path.read_text() for path in self._printed)
        return out, err

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


def _serve() -> None:
    """Fork for each request, until nobody asks any more."""
    import resource

    from synfill.__main__ import main
    from synfill.cli import app
    from synfill.cli.stopping import STOPPING

    with contextlib.suppress(SystemExit):
        app.main()
    print(_READY, end="", flush=True)
    codes: dict[int, int] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "look" in request:
            pid = request["look"]
            if pid not in codes:
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    codes[pid] = os.waitstatus_to_exitcode(status)
            print(json.dumps(codes.get(pid)), flush=True)
        elif pid := os.fork():
            print(pid, flush=True)
        else:
            for stream, path in enumerate(request["printed"], start=1):
                os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY), stream)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.chdir(request["folder"])
            # What runs in the background of a shell starts with SIGINT ignored.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if request["largest_file"] is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"],) * 2)
            sys.argv = ["synfill", *request["arguments"]]
            STOPPING.__init__()  # type: ignore[misc]
            main()


if __name__ == "__main__":
    _serve()
