import signal
import time

from datasets_fixtures import make_imagefolder
from killing import run_with_kills


def test_five_kills_leave_no_trace(tmp_path, sd_model, forker):
    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 100, "dog": 4}})
    (tmp_path / "runs").mkdir()
    arguments = [str(photos), "--model", str(sd_model), "--steps", "1", "--size", "32",
                 "--batch-size", "4"]  # fmt: skip
    found = run_with_kills(arguments, tmp_path / "runs", kills=5, start=forker.start, earliest=0.05)
    assert len(found.moments) == 5
    assert found.same == [True] * found.runs, found.moments


def test_ctrl_c_says_how_to_go_on(tmp_path, sd_model, forker):
    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 400, "dog": 4}})
    out = tmp_path / "out"
    process = forker.start(
        ["balance", photos, "--model", sd_model, "--steps", "1", "--size", "32",
         "--batch-size", "4", "--out", out]
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list((out / ".synfill" / "shards").glob("*.parquet")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "The same command goes on" in errors
    assert list((out / ".synfill" / "shards").glob("*.parquet"))


def test_two_runs_do_not_write_to_one_folder(tmp_path, sd_model, cli, forker):
    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 400, "dog": 4}})
    out = tmp_path / "out"
    command = ["balance", str(photos), "--model", str(sd_model), "--steps", "2", "--out", str(out)]
    process = forker.start(command)
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
