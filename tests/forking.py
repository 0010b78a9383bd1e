"""Commands of `synfill` in processes that begin with everything imported.

Importing torch and diffusers takes the better part of a short command. Here one process runs a few
commands, and then forks for each that is asked for: what a signal, a kill or a full disk does to
it is the same, but it begins at once. What Python and the libraries do as they start is not seen
so: tests of that start a process of their own. Nor, but where it is asked for, how Python takes its
modules down in the end: after a fork that takes longer than most commands.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import termios
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

_READY = "ready\n"


class Forker:
    """The process that forks; it begins with the first command that is asked for.

    Args:
        folder: An empty folder, for what the commands print.
        first: Gives the arguments of the commands that it runs itself, so that all is imported.
    """

    def __init__(self, folder: Path, first: Callable[[], Sequence[Sequence[object]]]) -> None:
        self._folder = folder
        self._first = first
        self._started = 0
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def start(
        self,
        arguments: Sequence[object],
        *,
        code: str | None = None,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        terminal: str | None = None,
        largest_file: int | None = None,
        speed: int = 1,
        takes_down: bool = False,
    ) -> ForkedProcess:
        """Start `synfill` with these arguments; or Python code, where there is some.

        Args:
            arguments: Of the command line.
            code: What `python -c` would be given.
            folder: Where it runs; None for this process's.
            environment: All of it; None for this process's.
            terminal: The pseudo-terminal that it runs in; None for files.
            largest_file: Bytes that a file may have, as on a disk that is full then.
            speed: A wait takes so much less time.
            takes_down: Whether Python takes all of its modules down in the end.
        """
        with self._lock:
            self._started += 1
            printed = [self._folder / f"{self._started}.{stream}" for stream in ("out", "err")]
        pid = self._ask(
            arguments=[str(argument) for argument in arguments],
            code=code,
            folder=str(folder or os.getcwd()),
            environment=dict(os.environ if environment is None else environment),
            terminal=terminal,
            printed=[str(path) for path in printed],
            largest_file=largest_file,
            speed=speed,
            takes_down=takes_down,
        )
        return ForkedProcess(self, pid, printed)

    def run(self, arguments: Sequence[object], **options: Any) -> subprocess.CompletedProcess[str]:
        """Start it, and wait for its end."""
        process = self.start(arguments, **options)
        out, err = process.communicate()
        assert process.returncode is not None
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.communicate()

    def look(self, pid: int) -> int | None:
        """The exit code of a process that it started, negative for a signal; None while it runs."""
        code: int | None = self._ask(look=pid)
        return code

    def _ask(self, **request: Any) -> Any:
        with self._lock:
            if self._process is None:
                self._process = self._begin()
            assert self._process.stdin is not None and self._process.stdout is not None
            print(json.dumps(request), file=self._process.stdin, flush=True)
            return json.loads(self._process.stdout.readline())

    def _begin(self) -> subprocess.Popen[str]:
        first = [[str(argument) for argument in arguments] for arguments in self._first()]
        process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(first)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            cwd=self._folder,
        )  # fmt: skip
        assert process.stdout is not None
        # What its own commands print comes first.
        assert any(line == _READY for line in process.stdout), "its own command failed"
        return process


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
    from synfill.cli.stopping import code_of

    _warm_up(json.loads(sys.argv[1]))
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
            try:
                _become(request)
            except SystemExit as end:
                if request["takes_down"]:
                    raise
                _end(code_of(end))


def _warm_up(commands: Sequence[Sequence[str]]) -> None:
    """Run the first commands; nothing that they change is left but what they import."""
    from synfill.cli import app, output

    hide_bars, environment = output.hide_bars, dict(os.environ)
    output.hide_bars = lambda: None
    for arguments in commands:
        sys.argv = ["synfill", *arguments]
        try:
            app.main()
        except SystemExit as end:
            assert not end.code, (arguments, end.code)
    output.hide_bars = hide_bars
    output.VERBOSITY.__init__()  # type: ignore[misc]
    _replace_environment(environment)
    gc.collect()
    # What is there never goes: no collection has to look at it, or copies its pages.
    gc.freeze()


def _become(request: dict[str, Any]) -> None:
    """In a process that was forked: be the command that was asked for."""
    import resource

    from synfill.__main__ import main
    from synfill.cli.stopping import STOPPING

    if request["terminal"] is None:
        printed = [os.open(path, os.O_CREAT | os.O_WRONLY) for path in request["printed"]]
        streams = [os.open(os.devnull, os.O_RDONLY), *printed]
    else:
        os.setsid()
        side = os.open(request["terminal"], os.O_RDWR)
        fcntl.ioctl(side, termios.TIOCSCTTY, 0)
        streams = [side] * 3
        for path in request["printed"]:
            Path(path).touch()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in set(streams):
        os.close(stream)
    os.chdir(request["folder"])
    adopt_environment(request["environment"])
    _open_streams()
    # What runs in the background of a shell starts with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["largest_file"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"],) * 2)
    if request["speed"] != 1:
        sleep = time.sleep
        time.sleep = lambda seconds: sleep(seconds / request["speed"])
    if request["code"] is not None:
        sys.argv = ["-c", *request["arguments"]]
        _execute(request["code"])
    else:
        sys.argv = ["synfill", *request["arguments"]]
        STOPPING.__init__()  # type: ignore[misc]
        main()


def _execute(code: str) -> NoReturn:
    """Execute code as `python -c` does."""
    try:
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    sys.exit(0)


def _end(code: int) -> NoReturn:
    """End as Python does, but for its modules."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = 120
    os._exit(code)


def _replace_environment(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


def adopt_environment(environment: Mapping[str, str]) -> None:
    """Take an environment, also where a library has read its own variables as it was imported."""
    before = dict(os.environ)
    _replace_environment(environment)
    names = {name for name in before.keys() | environment.keys() if name.startswith("HF_")}
    if any(before.get(name) != environment.get(name) for name in names):
        import datasets.config
        from huggingface_hub import constants, hf_api

        importlib.reload(constants)
        importlib.reload(datasets.config)
        hf_api.api.endpoint = constants.ENDPOINT


def _open_streams() -> None:
    """The standard streams as Python opens them when it starts."""
    encoding = os.environ.get("PYTHONIOENCODING", "utf-8")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = open(  # noqa: SIM115
            number,
            "w" if number else "r",
            buffering=1 if number == 2 or os.isatty(number) else -1,
            encoding=encoding,
            errors="backslashreplace" if number == 2 else "strict",
            closefd=False,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


if __name__ == "__main__":
    _serve()
