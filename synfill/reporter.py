"""How a run tells what it does: the contract that the command line and notebooks fill."""

from __future__ import annotations

import logging
from typing import Protocol

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
    """Sends messages to the logger `synfill`; progress is left out. The Python API's default."""

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
