"""How a run tells what it does: the contract that the command line and notebooks fill."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from synfill.wording import format_speed

_LOG = logging.getLogger("synfill")


class Reporter(Protocol):
    """Where a run's messages go."""

    def note(self, message: str) -> None:
        """Something worth knowing."""

    def warn(self, message: str) -> None:
        """Something that may make the result other than the user thinks."""

    def progress(
        self,
        stage: str,
        done: int,
        total: int,
        detail: str = "",
        rate: float | None = None,
        seconds_left: float | None = None,
    ) -> None:
        """How far a stage is.

        Args:
            stage: What is being done ("checking images", "generating").
            done: Images done.
            total: Images in all.
            detail: What it is at, e.g. the class.
            rate: Images a second; None where it isn't worth showing.
            seconds_left: Estimated time left, in seconds.
        """


class LogReporter:
    """Sends messages to the logger `synfill`; progress only for debugging."""

    def note(self, message: str) -> None:
        """Log as information."""
        _LOG.info(message)

    def warn(self, message: str) -> None:
        """Log as a warning."""
        _LOG.warning(message)

    def progress(
        self,
        stage: str,
        done: int,
        total: int,
        detail: str = "",
        rate: float | None = None,
        seconds_left: float | None = None,
    ) -> None:
        """Log for debugging."""
        _LOG.debug("%s: %d of %d %s", stage, done, total, detail)


class SilentReporter:
    """Says nothing: another process does."""

    def note(self, message: str) -> None:
        """Nothing."""

    def warn(self, message: str) -> None:
        """Nothing."""

    def progress(self, *given: object, **named: object) -> None:
        """Nothing."""


class BarReporter(LogReporter):
    """Sends messages to the logger `synfill`, and draws tqdm's bars in a notebook or terminal."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._stage = ""

    def progress(
        self,
        stage: str,
        done: int,
        total: int,
        detail: str = "",
        rate: float | None = None,
        seconds_left: float | None = None,
    ) -> None:
        """Move the stage's bar; a new stage has a bar of its own."""
        if stage != self._stage:
            from tqdm.auto import tqdm

            self.close()
            self._stage = stage
            self._bar = tqdm(
                desc=stage,
                initial=done,
                total=total,
                bar_format="{desc} {percentage:3.0f}% {bar} {n_fmt}/{total_fmt}{postfix}",
                dynamic_ncols=True,
            )
        self._bar.total = total
        shown = ", ".join(part for part in (*format_speed(rate, seconds_left), detail) if part)
        self._bar.set_postfix_str(shown, refresh=False)
        self._bar.update(done - self._bar.n)
        if done >= total:
            self._bar.refresh()

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar, self._stage = None, ""


@contextmanager
def reporting(reporter: Reporter | None, progress: bool) -> Iterator[Reporter]:
    """Where a call from Python tells what it does.

    Args:
        reporter: The caller's own; None for the logger, with bars where somebody looks.
        progress: False for no bars.
    """
    if reporter is not None or not progress or not _is_watched():
        yield reporter or LogReporter()
        return
    bars = BarReporter()
    try:
        yield bars
    finally:
        bars.close()


def _is_watched() -> bool:
    """Whether this is a notebook, or stderr a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    # As tqdm tells a notebook from IPython in a terminal.
    if shell is not None and "IPKernelApp" in shell.config:
        return True
    return sys.stderr is not None and sys.stderr.isatty()
