"""Runs a command in a real pseudo-terminal, and says what stands on its screen in the end."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass

from forking import ForkedProcess, Forker

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
    *arguments: object,
    columns: int = 80,
    code: str | None = None,
    forker: Forker | None = None,
    **environment: str,
) -> Screen:
    """Run `synfill` with these arguments; or Python code, where there is some.

    In a Python that is started for it, or a process that is forked.
    """
    # In the child's own hands before it starts: a width that comes later is too late.
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    whole = kept | {"TERM": "xterm"} | environment
    terminal = os.ttyname(side)
    process: subprocess.Popen[bytes] | ForkedProcess
    if forker is not None:
        process = forker.start(arguments, code=code, environment=whole, terminal=terminal)
    else:
        program = ["-m", "synfill"] if code is None else ["-c", code]

        def take_terminal() -> None:
            fcntl.ioctl(side, termios.TIOCSCTTY, 0)

        process = subprocess.Popen(
            [sys.executable, *program, *map(str, arguments)], env=whole, start_new_session=True,
            stdin=side, stdout=side, stderr=side, preexec_fn=take_terminal,
        )  # fmt: skip
    written = b""
    ended = False
    while not ended:
        # What it wrote before it was seen to have ended can be read after that.
        ended = process.poll() is not None
        while select.select([main], [], [], 0 if ended else 0.01)[0]:
            written += os.read(main, 1 << 16)
    os.close(side)
    os.close(main)
    assert process.returncode is not None
    return Screen(process.returncode, *_draw(written.decode()))


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
