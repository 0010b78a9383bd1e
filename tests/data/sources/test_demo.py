import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import synfill
from synfill.data.source import open_source
from synfill.data.sources.demo import DIGITS, INKS, PAPER, SIZE, DemoSource, own_ink
from synfill.errors import UsageError

MODEL = Path(synfill.__file__).parent / "generation" / "models" / "demo"


@pytest.fixture(scope="module")
def demo():
    return DemoSource()


def codes(source, split, name):
    return source.read_column(split, name).to_numpy()


def cells(source, split):
    table = np.zeros((10, 4), dtype=int)
    np.add.at(table, (codes(source, split, "label"), codes(source, split, "ink")), 1)
    return table


def test_opens_by_name():
    assert isinstance(open_source("demo"), DemoSource)


def test_says_what_it_is(demo):
    assert demo.origin.name == "demo"
    assert demo.splits == ("train", "validation", "test")
    assert [(column.name, column.kind) for column in demo.columns] == [
        ("image", "image"),
        ("label", "class"),
        ("ink", "class"),
    ]
    assert demo.columns[1].class_names == DIGITS
    assert demo.columns[2].class_names == tuple(INKS)
    assert demo.notes == ()


def test_no_scan_is_in_two_splits(demo):
    pool = set(demo.pool().scans("pool"))
    train, validation, test = (set(demo.scans(split)) for split in demo.splits)
    assert not pool & validation
    assert not pool & test
    assert not validation & test
    assert train < pool
    assert len(pool | validation | test) == 1797


def test_held_out_splits_hold_every_scan_in_every_ink(demo):
    assert (cells(demo, "test") == 50).all()
    assert (cells(demo, "validation") == 20).all()
    pool = cells(demo.pool(), "pool")
    assert pool.sum() == 4 * (1797 - 700)
    assert (pool == pool[:, :1]).all()


def test_train_is_long_tailed_and_tied_to_one_ink(demo):
    table = cells(demo, "train")
    counts = table.sum(1)
    assert counts.tolist() == [100, 64, 41, 27, 17, 11, 7, 4, 3, 2]
    assert counts[0] / counts[-1] == 50
    own = np.array([table[digit, own_ink(digit)] for digit in range(10)])
    assert own.sum() / counts.sum() == pytest.approx(0.85, abs=0.005)
    assert (np.abs(own - 0.85 * counts) <= 0.5).all()
    # No other ink gets more than one image more than another, of any digit.
    others = np.array([np.delete(table[digit], own_ink(digit)) for digit in range(10)])
    assert (others.max(1) - others.min(1) <= 1).all()
    assert len(set(demo.scans("train"))) == demo.count("train") == 276


def test_rows_are_the_columns_with_an_image(demo):
    rows = np.array([0, 3, 4, 275])
    batches = list(demo.iter_rows("train", rows, batch_rows=3))
    assert [numbers.tolist() for numbers, _ in batches] == [[0, 3, 4], [275]]
    table = pa.Table.from_batches([batch for _, batch in batches])
    assert table.column_names == ["image", "label", "ink"]
    assert table.schema.field("image").type == pa.struct(
        [("bytes", pa.binary()), ("path", pa.string())]
    )
    for name in ("label", "ink"):
        assert table[name].to_pylist() == codes(demo, "train", name)[rows].tolist()
        assert table.schema.field(name).type == demo.read_column("train", name).type
    for entry, row in zip(table["image"].to_pylist(), rows, strict=True):
        assert entry["path"] in demo.describe_row("train", row)
        assert f"row {row} " in demo.describe_row("train", row)
    assert sum(len(numbers) for numbers, _ in demo.iter_rows("train")) == 276


def test_an_image_is_a_digit_in_its_ink_on_paper(demo):
    for _, batch in demo.iter_rows("test", np.arange(40)):
        for row in batch.to_pylist():
            image = Image.open(io.BytesIO(row["image"]["bytes"]))
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (SIZE, SIZE))
            pixels = np.asarray(image).astype(int)
            lacking = (np.array(PAPER) - pixels).sum((0, 1))
            inks = np.array(PAPER) - np.array(list(INKS.values()))
            likeness = inks @ lacking / np.linalg.norm(inks, axis=1)
            assert likeness.argmax() == row["ink"]
            assert np.abs(pixels - PAPER).max(2).min() == 0
            ink = list(INKS.values())[row["ink"]]
            assert np.abs(pixels - ink).max(2).min() < 60


def test_bytes_are_the_same_everywhere(demo):
    def digest(source, split):
        seen = hashlib.sha256()
        for _, batch in source.iter_rows(split):
            for row in batch.to_pylist():
                seen.update(row["image"]["bytes"])
                seen.update(bytes([row["label"], row["ink"]]))
        return seen.hexdigest()[:16]

    assert digest(demo, "train") == "7aa66d99e676bf5d"
    assert digest(demo, "test") == "69567e72c0fe09d6"
    assert digest(demo, "validation") == "da70a3128e3f736a"
    assert digest(DemoSource.pool(), "pool") == "1d474fc0d3bbebdc"


@pytest.mark.parametrize(
    ("split", "column", "hint"),
    [("trian", "label", "train"), ("train", "inc", "ink"), ("train", "image", "label")],
)
def test_unknown_names_are_answered(demo, split, column, hint):
    with pytest.raises(UsageError, match=hint):
        demo.read_column(split, column)


def test_the_shipped_model_is_small():
    files = [path for path in MODEL.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 6_000_000
    assert not [path.name for path in files if path.suffix in (".bin", ".pt", ".ckpt", ".pkl")]


def test_the_shipped_model_draws_a_digit():
    import torch
    from diffusers import AutoPipelineForText2Image

    pipeline = AutoPipelineForText2Image.from_pretrained(MODEL)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        ["a photo of a seven, red ink", "a photo of an eight, blue ink", "a photo of a zero"],
        num_inference_steps=10,
        guidance_scale=1.5,
        generator=[torch.Generator().manual_seed(seed) for seed in range(3)],
        output_type="np",
    ).images
    assert images.shape == (3, SIZE, SIZE, 3)
    assert images.std((1, 2, 3)).min() > 0.1
    red, _, blue = range(3)
    assert images[0, :, :, red].mean() > images[0, :, :, blue].mean() + 0.05
    assert images[1, :, :, blue].mean() > images[1, :, :, red].mean() + 0.05


def test_the_shipped_model_makes_the_same_image_in_any_batch():
    import torch
    from diffusers import AutoPipelineForText2Image

    pipeline = AutoPipelineForText2Image.from_pretrained(MODEL)
    pipeline.set_progress_bar_config(disable=True)

    def make(prompts, seeds):
        return pipeline(
            prompts,
            num_inference_steps=4,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="np",
        ).images

    alone = make(["a photo of a two, green ink"], [5])
    beside = make(["a photo of a one", "a photo of a two, green ink"], [4, 5])
    assert np.abs(alone[0] - beside[1]).max() < 0.02
