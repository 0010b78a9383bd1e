import pytest
from datasets_fixtures import make_parquet

from synfill.cli import output
from synfill.cli.bars import fit
from synfill.cli.output import Row, counts_table

pytest.importorskip("pty", reason="a pseudo-terminal is needed")
from terminal import run_in_terminal

LONG = "a class whose name is a good deal longer than any column should be"


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_a_line_of_progress_fits_and_keeps_its_counts(width):
    parts = ("22,080/22,080", "1923.92 images/s", "3 min left", "epoch 3 of 80, loss 0.1")
    for stage in ("writing", "synaug-mixup-retrain-real, seed 0, classifier"):
        line = fit(stage, *parts, width)
        length = len(line.stage) + (2 + line.bar if line.bar else 0)
        length += sum(2 + len(part) for part in line.rest)
        assert length <= max(width, 12 + 2 + 13)
        assert line.rest[0] == "22,080/22,080"
        if width >= 80:
            assert line.bar >= 6 and "3 min left" in line.rest
    assert fit("writing", *parts, 120).rest == parts


@pytest.mark.parametrize("width", [40, 60, 80])
def test_tables_of_counts_break_no_number_and_no_word(monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", str(width))
    rows = [Row(LONG, [1234567, 1, 2, 3]), Row("deer", [7, 1, None, 3])]
    columns = ["now", "real before", "real now", "synthetic"][: 2 if width < 80 else 4]
    output.stdout().print(counts_table("Images per class", columns, rows, True))
    shown = capsys.readouterr().out
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= width
    for word in ("1,234,567", *columns, *LONG.split(), "deer"):
        assert word in shown


def test_what_a_command_shows_fits_eighty_columns(tmp_path, sd_model, forker):
    counts = {LONG: 20, "tench": 3, "n01440764": 1}
    photos = make_parquet(tmp_path / "photos.parquet", counts)
    out = tmp_path / "a-folder-with-a-long-name-so-that-lines-are-full"
    made = run_in_terminal(
        "balance", photos, "--model", sd_model, "--steps", 1, "--size", 32, "--out", out,
        "--batch-size", 4, "--dtype", "float32",
    )  # fmt: skip
    assert made.code == 0, made.lines
    shown = "\n".join(made.lines)
    generated = next(line for line in made.lines if line.startswith("generating"))
    # 17 + 19 of 36: the bar ends full.
    assert "36/36" in generated
    for word in ("warning:", "encoder", "real before", "synthetic images"):
        assert word in shown
    assert all(len(line) <= 80 for line in made.lines if str(tmp_path) not in line)
    # A path is longer than a line, and stays whole.
    assert str(out) in shown.replace("\n", " ")
    for number in (40, 80):
        shown = run_in_terminal(
            "analyze", out, "--split", "all", "-v", columns=number, forker=forker
        )
        assert shown.code == 0 and len(max(shown.lines[1:], key=len)) <= number


@pytest.mark.parametrize(
    "environment",
    [{"TERM": "dumb"}, {"NO_COLOR": "1"}, {"PYTHONIOENCODING": "ascii"}, {"TERM": ""}],
)
def test_poor_terminals(tmp_path, environment, forker):
    def run(*arguments):
        return run_in_terminal(*arguments, forker=forker, **environment)

    photos = make_parquet(tmp_path / "photos.parquet", {"Bär": 3, "猫": 1})
    shown = run("analyze", photos)
    assert shown.code == 0
    text = "\n".join(shown.lines)
    assert "Images per class" in text and "Traceback" not in text
    wrong = run("analyze", "/nope")
    assert wrong.code == 2 and "error:" in "\n".join(wrong.lines)
    assert run("balance", "--help").code == 0
