import re

import pytest
from datasets_fixtures import make_cells, make_imagefolder

import synfill

BALANCE = """
import sys, synfill
result = synfill.balance(
    sys.argv[1], model=sys.argv[2], steps=1, size=32, batch_size=4, out=sys.argv[3], device="cpu",
    progress=len(sys.argv) < 5,
)
print(repr(result))
"""


def test_an_analysis_reads_well_and_becomes_a_frame(tmp_path):
    cells = {("cat", "land"): 5, ("cat", "water"): 1, ("dog", "water"): 1}
    found = synfill.analyze(make_cells(tmp_path / "a.parquet", cells), group="place")
    shown = repr(found)
    assert "train: 7 images, 2 classes of 1 to 6, imbalance factor 6" in shown
    assert re.search(r"cat +6\n", shown) and "Cram\u00e9r" in shown
    frame = found.to_pandas()
    assert list(frame.columns) == ["split", "level", "name", "images"]
    assert set(frame.level) == {"class", "place", "cell"}
    assert frame[frame.level == "class"].images.tolist() == [6, 1]
    many = make_imagefolder(tmp_path / "many", {f"c{k:02}": 1 for k in range(30)})
    assert "... 18 more" in repr(synfill.analyze(many)) and "1 each" in repr(synfill.analyze(many))


def test_images_without_classes_are_shown_too(tmp_path):
    found = synfill.analyze(make_imagefolder(tmp_path / "a", {".": 3}))
    assert "3 images" in repr(found) and len(found.to_pandas()) == 0


@pytest.mark.parametrize("silenced", [False, True])
def test_progress_is_drawn_where_somebody_looks(tmp_path, sd_model, silenced, forker):
    pytest.importorskip("pty")
    from terminal import run_in_terminal

    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 12, "dog": 2}})
    arguments = [photos, sd_model, tmp_path / "out", *["silent"] * silenced]
    shown = run_in_terminal(*arguments, code=BALANCE, forker=forker)
    assert shown.code == 0, shown.lines
    screen = "\n".join(shown.lines)
    assert re.search(r"dog +2 +12 +10\n", screen) and "10 synthetic images" in screen
    assert ("generating 100%" in screen) == ("10/10" in screen) == (not silenced)
    # Not where nobody does: the same again, into a pipe.
    done = forker.run([*arguments[:2], tmp_path / "piped"], code=BALANCE)
    assert done.returncode == 0, done.stderr
    assert "generating" not in done.stderr + done.stdout


def test_a_balance_becomes_a_frame(tmp_path, sd_model):
    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 3, "dog": 1}})
    found = synfill.balance(photos, model=str(sd_model), dry_run=True, out=tmp_path / "out")
    frame = found.to_pandas().set_index("name")
    assert frame.loc["dog"].to_dict() == {
        "before": 1, "kept": 1, "wanted": 3, "synthetic": 2, "earlier": 0, "words": "dog",
        "total": 3,
    }  # fmt: skip
    assert "to make" in repr(found)


def test_a_wrong_argument_is_told_with_the_nearest_right_one(tmp_path):
    for call, named in (
        (lambda: synfill.analyze(".", groups="x"), "'group'"),
        (lambda: synfill.balance(".", modle="x"), "'model'"),
        (lambda: synfill.train("demo", seed=1), "'seeds'"),
    ):
        with pytest.raises(synfill.UsageError, match=r"[Dd]id you mean") as caught:
            call()
        assert named in str(caught.value)


def test_names_may_come_from_a_generator():
    with pytest.raises(synfill.UsageError, match=r"compare\.0 .*did you mean 'synaug'"):
        synfill.train("demo", compare=(name for name in ["synau"]))
