"""One process at a time in an output folder. Knows nothing of what is done there.

The lock is a file that the system holds for a process, and lets go when the process ends however
it ends. It is removed while it is still held, so that a finished folder has none; a process that
had opened it by then sees that the file it holds isn't the one at the path any more, and begins
again. By hand, as `filelock` leaves its file where it was.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import weakref
from pathlib import Path

from synfill.errors import RunError

_NAME = "lock"
_TRIES = 1000


class FolderLock:
    """The lock of an output folder: OUT/.synfill/lock.

    Args:
        work: OUT/.synfill; made when the lock is taken, with what is missing above it.

    Attributes:
        path: The file that is locked.
    """

    def __init__(self, work: Path) -> None:
        self._work = work
        self.path = work / _NAME
        self._handle: int | None = None
        self._made: list[Path] = []

    @property
    def is_held(self) -> bool:
        """Whether this object holds it."""
        return self._handle is not None

    def acquire(self) -> None:
        """Take it, without waiting.

        Raises:
            RunError: Another process has it, or what is at its place can't be locked.
        """
        for _ in range(_TRIES):
            handle = self._open()
            if handle is None:
                continue
            try:
                _lock(handle)
                if self._is_at_path(handle):
                    self._handle = handle
                    _HELD.add(self)
                    return
            except BlockingIOError:
                os.close(handle)
                self._remove_made()
                raise RunError(
                    f"Another synfill run is writing to {self._work.parent}.",
                    "Wait for it to end, or choose another --out.",
                ) from None
            except OSError as error:
                os.close(handle)
                raise RunError(
                    f"{self.path} can't be locked ({error.strerror}).",
                    "Choose an --out on a disk that can lock files.",
                ) from None
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
        raise RunError(
            f"{self.path} is made and removed by others all the time.", "Try again later."
        )

    def _open(self) -> int | None:
        """The file's handle; None where the one before removed the folder in this moment."""
        if self._work.is_symlink():
            raise _not_lockable(self._work, "a symbolic link")
        folder = self._work
        while not folder.exists():
            if folder not in self._made:
                self._made.append(folder)
            folder = folder.parent
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        # A pipe isn't waited for.
        flags |= getattr(os, "O_NONBLOCK", 0)
        try:
            self._work.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, flags, 0o644)
        except FileNotFoundError:
            return None
        except FileExistsError:
            # A folder that is gone again by now was there a moment ago.
            if self._work.is_dir() or not os.path.lexists(self._work):
                return None
            raise _not_lockable(self._work, "a file") from None
        except NotADirectoryError:
            raise _not_lockable(self._work.parent, "a file") from None
        except IsADirectoryError:
            raise _not_lockable(self.path, "a folder") from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _not_lockable(self.path, "a symbolic link") from None
            raise _not_lockable(self.path, f"not to be opened ({error.strerror})") from None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise _not_lockable(self.path, "not a regular file")
        return handle

    def _is_at_path(self, handle: int) -> bool:
        with contextlib.suppress(OSError):
            return os.path.samestat(os.fstat(handle), os.lstat(self.path))
        return False

    def release(self) -> None:
        """Let others take it; what only it needed is removed, the folders that it made too.

        Folders that hold anything stay.
        """
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        _HELD.discard(self)
        # While it is held: whoever takes the lock at this path next made a file of their own.
        if sys.platform != "win32" and self._is_at_path(handle):
            self.path.unlink(missing_ok=True)
            self._remove_made()
        os.close(handle)
        if sys.platform == "win32":
            with contextlib.suppress(OSError):
                self.path.unlink()
            self._remove_made()

    def _remove_made(self) -> None:
        made = self._made or [self._work]
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()
        self._made = []

    def _forget(self) -> None:
        """In a forked child: the lock is the parent's, and must not outlive it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _not_lockable(path: Path, what: str) -> RunError:
    return RunError(
        f"{path}, where synfill keeps its lock, is {what}.",
        "Remove it, or choose another --out.",
    )


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(error.errno, error.strerror) from None
else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


_HELD: weakref.WeakSet[FolderLock] = weakref.WeakSet()


def _forget_all() -> None:
    for lock in list(_HELD):
        lock._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
