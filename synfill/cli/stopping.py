"""Ctrl-C, a closed terminal and a polite kill: one line and an exit code, from first to last.

Installed before anything else is imported. Work in progress is safe at any moment (finished
shards and epochs stay), so that the process may end at once whenever unwinding isn't worth it.
Knows nothing of the project.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any, Literal

CTRL_C = 130
"""The exit code of Ctrl-C: 128 and the signal's number, as shells count."""

_STOPPED = "Stopped."
_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_SHOW_CURSOR = "\x1b[?25h"


class Stop(KeyboardInterrupt):
    """A signal asks the command to stop.

    A type of its own: where a plain KeyboardInterrupt passes through `exec` of a text (dataclasses
    are made so), Python remembers it and, whatever was caught since, ends by the signal.
    """


class Stopping:
    """What a signal does, by what the process is doing.

    While modules are imported: one line, and the end. While a command runs: KeyboardInterrupt,
    once, so that the command says what is kept; a second signal ends the process at once. When
    the work is done or the message said: the end, with the code that is settled by then.
    """

    def __init__(self) -> None:
        self._phase: Literal["starting", "running", "ending"] = "starting"
        self._signal: int | None = None
        self._code = 0
        self._was_reported = False
        self._process = 0

    def install(self) -> None:
        """Take the signals over, those that whoever started the process doesn't have ignored."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._process = os.getpid()
        # The first to be registered is the last to run; what comes after it is the interpreter's
        # own end, in which a signal would have its default effect.
        atexit.register(_ignore_signals)
        sys.unraisablehook = self._unraisable
        for number in _SIGNALS:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, self._take)

    def begin_command(self) -> None:
        """The command begins."""
        self._phase = "running"

    def end_with(self, code: int) -> None:
        """Nothing is left to do but to end with this exit code."""
        self._code = code
        self._phase = "ending"

    @property
    def is_asked(self) -> bool:
        """Whether a signal has interrupted the command."""
        return self._signal is not None

    @property
    def exit_code(self) -> int:
        """The exit code of a command that a signal has interrupted."""
        return 128 + (self._signal or signal.SIGINT)

    def mark_as_reported(self) -> None:
        """The user knows that the command was stopped: another message said so."""
        self._was_reported = True

    def say_stopped(self) -> None:
        """Say in one line that the command was stopped, where nothing has said so."""
        if not self.is_asked or self._was_reported:
            return
        self._was_reported = True
        _write(f"{_STOPPED}\n")

    def _take(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            _as_child(number)
        elif self._phase == "running" and self._signal is None:
            self._signal = number
            raise Stop
        elif self._phase == "ending":
            self._leave(self._code)
        else:
            self._signal = number
            self._leave(self.exit_code)

    def _unraisable(self, found: Any) -> None:
        """An interrupt that was raised where nothing can be: it would be lost, with a traceback."""
        if issubclass(found.exc_type, KeyboardInterrupt) and os.getpid() == self._process:
            self._leave(self.exit_code)
        sys.__unraisablehook__(found)

    def _leave(self, code: int) -> None:
        """End the process now."""
        if os.isatty(2):
            # A progress bar may have hidden it.
            _write(f"{_SHOW_CURSOR}\n")
        self.say_stopped()
        os._exit(code)


STOPPING = Stopping()


def code_of(end: SystemExit) -> int:
    """The exit code that a SystemExit stands for."""
    return end.code if isinstance(end.code, int) else int(end.code is not None)


def _write(text: str) -> None:
    """Write to stderr; not through sys.stderr, which may be in the midst of a write."""
    with contextlib.suppress(OSError):
        os.write(2, text.encode())


def _as_child(number: int) -> None:
    """In a worker process that was forked: as if nothing had been installed."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
