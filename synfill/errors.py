"""The errors that a user can meet. Each carries one message (what, where, what to do next)
and the exit code that the command line ends with. This module knows nothing of the project.
"""

import difflib
from collections.abc import Iterable


class SynfillError(Exception):
    """A failure with a message for the user.

    Args:
        message: What failed and where, in one or a few lines.
        hint: What to do next; shown on a line of its own.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(SynfillError):
    """The command was used wrongly: nothing was started. Exit code 2."""

    exit_code = 2


class RunError(SynfillError):
    """The run failed: bad data, no room, a model that can't be loaded. Exit code 1."""


class Interrupted(SynfillError):
    """The user stopped the run (Ctrl-C). Exit code 130."""

    exit_code = 130


def suggest(name: str, known: Iterable[str], what: str) -> str:
    """A hint for an unknown name: the nearest known one, then all of them (20 at most).

    Args:
        name: What the user wrote.
        known: What would have been right.
        what: What the names are, in the plural ("splits", "columns").
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    # An abbreviation ("val") is far from the whole word.
    near = near or [one for one in names if len(name) > 1 and one.startswith(name)][:1]
    listed = ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
    meant = f"Did you mean '{near[0]}'? " if near else ""
    return f"{meant}Known {what}: {listed or 'none'}."
