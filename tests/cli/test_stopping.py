import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from datasets_fixtures import make_imagefolder
from killing import digest_tree, heed_ctrl_c

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="looks at signals through /proc"
)


def start(*arguments, code=None, heed=heed_ctrl_c):
    """Start a command in a new Python."""
    what = ["-c", code] if code else ["-m", "synfill"]
    process = subprocess.Popen(
        [sys.executable, *what, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed,
    )  # fmt: skip
    return wait_for_handler(process)


def wait_for_handler(process):
    """Wait until a command has taken signals over: before that they are Python's."""
    while process.poll() is None and not catches(process.pid, signal.SIGTERM):
        time.sleep(0.002)
    return process


def catches(pid, number):
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)


def ended(process):
    out, err = process.communicate(timeout=300)
    assert "Traceback" not in err and "Exception ignored" not in err, err
    assert "mistake" not in err, err
    return process.returncode, out, err


def check(code, out, err, number=signal.SIGINT):
    """One line and the signal's code; or the work was complete, and nothing is said of it."""
    if code == 0:
        assert "Stopped" not in err and "Images per class" in out
    else:
        assert code == 128 + number, (code, err)
        assert err.count("Stopped") == 1, err


def duration(*arguments):
    began = time.monotonic()
    code, _, err = ended(start(*arguments))
    assert code == 0, err
    return time.monotonic() - began


def test_ctrl_c_at_any_moment_of_a_short_command(tmp_path):
    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 3, "dog": 1}})
    chance, whole = random.Random(), duration("analyze", photos)
    codes = []
    for number in range(10):
        process = start("analyze", photos)
        time.sleep(whole * chance.uniform(0, 1.1))
        process.send_signal(signal.SIGINT)
        if number % 3 == 0:
            time.sleep(chance.uniform(0, 0.02))
            process.send_signal(signal.SIGINT)
        found = ended(process)
        check(*found)
        codes.append(found[0])
    assert set(codes) <= {0, 130} and 130 in codes


def test_ctrl_c_after_the_last_word_is_a_clean_end(tmp_path):
    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 3, "dog": 1}})
    for number in range(6):
        process = start("analyze", photos, "--json")
        while process.stdout.readline() != "}\n":
            assert process.poll() is None
        time.sleep(0.02 * number)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        code, _, err = ended(process)
        # At the first moment the command may not know yet that all of it was taken.
        assert (code, err) in [(0, ""), (130, "Stopped.\n")][: 1 + (number == 0)]


def test_an_interrupt_in_an_import_or_a_finalizer_is_not_lost():
    for body in (
        "exec('os.kill(os.getpid(), 2)')",
        "try:\n        os.kill(os.getpid(), 2)\n    except BaseException as e:\n"
        "        raise ImportError('half a module') from e",
        "D = type('D', (), {'__del__': lambda self: os.kill(os.getpid(), 2)}); D(); os._exit(9)",
    ):
        code = (
            "import os\n"
            "import synfill.__main__ as m, synfill.analysis.run as a\n"
            f"def fail(*_, **__):\n    {body}\n"
            "a.open_source = fail\n"
            "import sys; sys.argv = ['synfill', 'analyze', '.']\n"
            "m.main()\n"
        )
        returned, _, err = ended(start(code=code))
        assert (returned, err) == (130, "Stopped.\n")


def test_a_stopped_balance_goes_on_to_the_same_bytes(tmp_path, sd_model, forker):
    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 60, "dog": 4}})
    command = ["balance", photos, "--model", sd_model, "--steps", "1", "--size", "32",
               "--batch-size", "4"]  # fmt: skip

    def begin(out):
        return forker.start([*command, "--out", out], takes_down=True)

    began = time.monotonic()
    assert ended(begin(tmp_path / "undisturbed"))[0] == 0
    whole = time.monotonic() - began
    out, chance = tmp_path / "out", random.Random()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process = wait_for_handler(begin(out))
        time.sleep(whole * chance.uniform(0.1, 1))
        process.send_signal(number)
        if number == signal.SIGINT:
            process.send_signal(number)
        check(*ended(process), number)
    assert ended(begin(out))[0] == 0
    assert digest_tree(out) == digest_tree(tmp_path / "undisturbed")


def test_what_nohup_ignores_stays_ignored(tmp_path):
    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 3, "dog": 1}})

    def nohup():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = start("analyze", photos, heed=nohup)
    process.send_signal(signal.SIGHUP)
    assert ended(process)[0] == 0


def test_output_that_cannot_be_written_is_told_once(tmp_path):
    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 3, "dog": 1}})
    run = [sys.executable, "-m", "synfill", "analyze", str(photos)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(run, stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 1
        assert done.stderr.count("The disk is full") == 1 and "ignored" not in done.stderr
        # Notes that can't be written change nothing.
        done = subprocess.run(run, stdout=subprocess.PIPE, stderr=full, text=True)
        assert done.returncode == 0 and "cat" in done.stdout
        done = subprocess.run([*run[:3], "analyze", "/nope"], stderr=full)
        assert done.returncode == 2


def test_closed_streams_are_no_mistake(tmp_path):
    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 3, "dog": 1}})
    for closed in (">&-", "2>&-", ">&- 2>&-", "| head -1"):
        line = f"{sys.executable} -m synfill analyze {photos} {closed}"
        done = subprocess.run(line, shell=True, capture_output=True, text=True)
        assert done.returncode == 0 and "Traceback" not in done.stderr
        assert "mistake" not in done.stderr and "error" not in done.stderr


@pytest.mark.parametrize("place", ["shard", "dataset"])
def test_a_full_disk_loses_nothing_that_was_finished(tmp_path, sd_model, place, forker):
    """The limit of a file's size stands in for the disk's end: what writes meets the same error."""
    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 40, "dog": 4}})
    command = ["balance", photos, "--model", sd_model, "--steps", "1", "--size", "32",
               "--batch-size", "4", "--out"]  # fmt: skip
    whole, out = tmp_path / "undisturbed", tmp_path / "out"
    assert ended(forker.start([*command, whole]))[0] == 0
    data = next((whole / "data").glob("*.parquet")).stat().st_size
    limit = data - 500 if place == "dataset" else 9_000
    code, _, err = ended(forker.start([*command, out], largest_file=limit))
    assert code == 1 and "The disk is full" in err and "same command" in err
    assert bool(list((out / ".synfill/shards").glob("*.parquet"))) == (place == "dataset")
    assert ended(forker.start([*command, out]))[0] == 0
    assert digest_tree(out) == digest_tree(whole)
