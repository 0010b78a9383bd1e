import signal
import subprocess
import sys
import time

from datasets_fixtures import make_imagefolder
from killing import heed_ctrl_c, run_with_kills


def test_five_kills_leave_no_trace(tmp_path, sd_model):
    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 100, "dog": 4}})
    (tmp_path / "runs").mkdir()
    arguments = [str(photos), "--model", str(sd_model), "--steps", "1", "--size", "32",
                 "--batch-size", "4"]  # fmt: skip
    found = run_with_kills(arguments, tmp_path / "runs", kills=5)
    assert len(found.moments) == 5
    assert found.same == [True] * found.runs, found.moments


def test_ctrl_c_says_how_to_go_on(tmp_path, sd_model):
    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 400, "dog": 4}})
    out = tmp_path / "out"
    command = [sys.executable, "-m", "synfill", "balance", str(photos), "--model", str(sd_model),
               "--steps", "1", "--size", "32", "--batch-size", "4", "--out", str(out)]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c
    )
    deadline = time.monotonic() + 120
    while not list((out / ".synfill" / "shards").glob("*.parquet")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "The same command goes on" in errors
    assert list((out / ".synfill" / "shards").glob("*.parquet"))


def test_two_runs_do_not_write_to_one_folder(tmp_path, sd_model, cli):
    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 400, "dog": 4}})
    out = tmp_path / "out"
    command = ["balance", str(photos), "--model", str(sd_model), "--steps", "2", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "synfill", *command],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not (out / ".synfill" / "state.json").exists():
            assert process.poll() is None
            time.sleep(0.05)
        second = cli(*command)
        assert second.code == 1
        assert "Another synfill run" in second.err
        # Before the model is loaded.
        assert "Loading" not in second.err
    finally:
        process.kill()
        process.wait()
