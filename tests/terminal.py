"""Runs a command in a real pseudo-terminal, and says what stands on its screen in the end."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from dataclasses import dataclass

_TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)|\x1b")


@dataclass(frozen=True)
class Screen:
    """What a command left.

    Attributes:
        code: Its exit code; negative for a signal.
        lines: The lines of the screen, without blanks at their ends.
        widest: Columns of the longest line that was ever written, which the terminal would have
            broken anywhere if it is more than it has.
    """

    code: int
    lines: list[str]
    widest: int


def run_in_terminal(
    *arguments: object, columns: int = 80, code: str | None = None, **environment: str
) -> Screen:
    """Run `synfill` with these arguments; or Python code, where there is some."""
    program = ["-m", "synfill"] if code is None else ["-c", code]
    command = [sys.executable, *program, *map(str, arguments)]
    # In the child's own hands before it starts: a width that comes later is too late.
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    child = os.fork()
    if child == 0:
        os.setsid()
        fcntl.ioctl(side, termios.TIOCSCTTY, 0)
        for stream in (0, 1, 2):
            os.dup2(side, stream)
        os.execve(sys.executable, command, kept | {"TERM": "xterm"} | environment)
    os.close(side)
    written = b""
    while True:
        try:
            found = os.read(main, 1 << 16)
        except OSError:
            # Linux says so when the last one that held the other side is gone.
            break
        if not found:
            break
        written += found
    os.close(main)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return Screen(code, *_draw(written.decode()))


def _draw(text: str) -> tuple[list[str], int]:
    lines, row, column, widest = [""], 0, 0, 0
    for found in _TOKEN.finditer(text):
        count, action, control, plain = found.groups()
        if action == "A":
            row = max(0, row - int(count or 1))
        elif action == "K":
            lines[row] = ""
        elif control == "\r":
            column = 0
        elif control == "\n":
            row += 1
            lines += [""] * (row - len(lines) + 1)
        elif plain:
            lines[row] = (
                lines[row][:column].ljust(column) + plain + lines[row][column + len(plain) :]
            )
            column += len(plain)
            widest = max(widest, len(lines[row].rstrip()))
    return [line.rstrip() for line in lines], widest
