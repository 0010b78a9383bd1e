"""The trainer of small pipelines makes one that loads, and goes on where it was stopped."""

import hashlib
import sys
from pathlib import Path

import pytest
from datasets_fixtures import make_imagefolder

sys.path.insert(0, str(Path(__file__).parents[2]))

SMALL = {
    "autoencoder_steps": 4, "autoencoder_batch": 4, "autoencoder_widths": (8, 8, 8),
    "decoder_steps": 2, "steps": 4, "batch": 4, "unet_widths": (8, 16), "text_width": 16,
    "text_layers": 1,
}  # fmt: skip


@pytest.fixture
def make(tmp_path):
    """Trains on a few images, with another name of the folder each time; the folder."""
    from benchmarks.text_to_image import __main__ as tool

    source = make_imagefolder(tmp_path / "photos", {"cat": 3, "dog": 2})

    def run(name):
        settings = tool.Settings(str(source), **SMALL)
        out = tmp_path / name
        session = tool.Session(settings, "cpu", tool.open_work(out, settings), save_every=2)
        tool.make_model(session, out, half=False)
        return out

    return run


def digests(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_stopped_run_ends_in_the_same_pipeline(make, monkeypatch):
    from diffusers import AutoPipelineForText2Image

    from benchmarks.text_to_image import __main__ as tool

    whole = make("whole")
    draw = tool.draw_grid

    def stop(*arguments):
        monkeypatch.setattr(tool, "draw_grid", draw)
        raise KeyboardInterrupt

    monkeypatch.setattr(tool, "draw_grid", stop)
    with pytest.raises(KeyboardInterrupt):
        make("stopped")
    assert not whole.with_name("stopped").exists()
    assert digests(make("stopped")) == digests(whole)

    pipeline = AutoPipelineForText2Image.from_pretrained(whole)
    image = pipeline("a photo of a cat", num_inference_steps=1, output_type="np").images[0]
    assert image.shape == (32, 32, 3)
    rows = whole.with_name("whole.losses.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["autoencoder", "decoder", "denoiser"]


def test_other_settings_do_not_go_on(make, tmp_path):
    from benchmarks.text_to_image import __main__ as tool

    settings = tool.Settings("photos")
    tool.open_work(tmp_path / "out", settings)
    with pytest.raises(SystemExit, match="other settings"):
        tool.open_work(tmp_path / "out", tool.Settings("photos", seed=1))
