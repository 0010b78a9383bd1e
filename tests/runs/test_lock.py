"""Processes that want one folder: never two in it at once, whatever the one before removes."""

import os
import subprocess
import sys
import time

import pytest

from synfill.errors import RunError
from synfill.runs.lock import FolderLock

WORK = """
import os, sys, time
from pathlib import Path
from synfill.errors import RunError
from synfill.runs.lock import FolderLock

folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
for number in range(rounds):
    go = folder / f"go-{number}"
    (folder / f"ready-{number}-{os.getpid()}").touch()
    while not go.exists():
        pass
    out = folder / f"out-{number}"
    for _ in range(2):
        lock = FolderLock(out / ".synfill")
        while True:
            try:
                lock.acquire()
                break
            except RunError:
                pass
        # Only one process can be in here.
        os.close(os.open(folder / f"inside-{number}", os.O_CREAT | os.O_EXCL))
        with open(folder / f"done-{number}", "a") as file:
            file.write("x")
        os.unlink(folder / f"inside-{number}")
        lock.release()
"""


def test_two_processes_at_the_same_moment_a_hundred_times(tmp_path):
    rounds = 100
    processes = [
        subprocess.Popen([sys.executable, "-c", WORK, str(tmp_path), str(rounds)],
                         stderr=subprocess.PIPE)
        for _ in range(2)
    ]  # fmt: skip
    deadline = time.monotonic() + 100
    for number in range(rounds):
        while len(list(tmp_path.glob(f"ready-{number}-*"))) < 2:
            assert time.monotonic() < deadline
            assert all(process.poll() is None for process in processes), processes[0].stderr.read()
            # The two wait without a pause, and need the processors.
            time.sleep(0.001)
        (tmp_path / f"go-{number}").touch()
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    for number in range(rounds):
        assert (tmp_path / f"done-{number}").read_text() == "xxxx"
        assert not (tmp_path / f"out-{number}/.synfill").exists()


def test_a_lock_file_that_was_removed_by_its_holder_is_not_enough(tmp_path):
    first, second, third = (FolderLock(tmp_path / "out/.synfill") for _ in range(3))
    first.acquire()
    with pytest.raises(RunError, match="Another synfill run"):
        second.acquire()
    first.release()
    second.acquire()
    with pytest.raises(RunError, match="Another synfill run"):
        third.acquire()
    second.release()
    assert os.listdir(tmp_path) == []


def test_a_killed_process_leaves_no_lock(tmp_path):
    code = (
        "import sys, os; from pathlib import Path; from synfill.runs.lock import FolderLock\n"
        "lock = FolderLock(Path(sys.argv[1])); lock.acquire()\n"
        # A worker that outlives it must not hold the lock.
        "if os.fork() == 0:\n    import time; time.sleep(20); os._exit(0)\n"
        "print('held', flush=True); os.kill(os.getpid(), 9)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / ".synfill")],
                               stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdout.readline() == b"held\n"
    process.wait()
    lock = FolderLock(tmp_path / ".synfill")
    # On a busy machine the worker may not have begun yet; it outlives this by far.
    for attempt in range(100):
        try:
            lock.acquire()
            break
        except RunError:
            assert attempt < 99
            time.sleep(0.1)
    lock.release()
    process.stdout.close()


def test_what_others_put_in_the_folder_stays(tmp_path):
    lock = FolderLock(tmp_path / "out/.synfill")
    lock.acquire()
    (tmp_path / "out/mine").write_text("x")
    lock.release()
    assert os.listdir(tmp_path / "out") == ["mine"]


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "dangling link", "work is a file"])
def test_what_cannot_be_locked_is_named(tmp_path, kind):
    work = tmp_path / "out/.synfill"
    (tmp_path / "victim").write_text("mine")
    if kind == "work is a file":
        work.parent.mkdir()
        work.write_text("mine")
    else:
        work.mkdir(parents=True)
        lock = work / "lock"
        if kind == "folder":
            lock.mkdir()
        elif kind == "pipe":
            os.mkfifo(lock)
        else:
            lock.symlink_to(tmp_path / ("victim" if kind == "link" else "nowhere"))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RunError, match=r"\.synfill") as told:
        FolderLock(work).acquire()
    assert "another --out" in told.value.hint
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "victim").read_text() == "mine"


def test_a_linked_work_folder_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.synfill").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="symbolic link"):
        FolderLock(tmp_path / "out/.synfill").acquire()
    assert os.listdir(tmp_path / "elsewhere") == []
