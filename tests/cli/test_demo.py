import json
import re

import pyarrow.parquet as pq

from synfill.cli import demo
from synfill.files import recipes_folder


def test_the_demo_shows_the_whole_of_it(cli, tmp_path, monkeypatch):
    # As many images as it makes for a user would take half a minute.
    monkeypatch.setitem(demo.BALANCE, "target", "uniform:2")
    recipe = tmp_path / "short.yaml"
    shipped = (recipes_folder() / "demo.yaml").read_text()
    recipe.write_text(re.sub(r"steps: \d+", "steps: 8", shipped))
    monkeypatch.setattr(demo, "RECIPE", str(recipe))
    ran = cli("demo")
    assert ran.code == 0, ran.err
    for line in (
        "$ synfill analyze demo --group ink",
        "$ synfill balance demo --model demo --by class+ink --target uniform:2",
        "$ synfill analyze synfill-demo --group ink -v",
        "stands in here for a public model",
        "data.synthetic=synfill-demo",
        "synaug-mixup-retrain against ce",
        "largest / smallest class",
        "samples.png",
        "synfill init FOLDER",
    ):
        assert line in ran.out
    assert len(ran.out.splitlines()) <= 60
    # The command it names works as it stands.
    model = re.search(r"synfill predict (\S+) IMAGES", ran.out)[1]
    assert (tmp_path / model).is_dir()
    table = pq.read_table(next((tmp_path / "synfill-demo/data").glob("train-*")))
    cells = table.to_pandas().groupby(["label", "ink"]).size()
    assert len(cells) == 40
    assert min(cells) == 2
    assert "warning" not in ran.err
    compared = json.loads((tmp_path / "synfill-demo-trained/comparison.json").read_text())
    assert [entry["method"] for entry in compared] == ["ce", "synaug-mixup-retrain"]
    assert cli("demo").code == 0


def test_a_folder_named_demo_is_reached_by_its_path(cli, tmp_path):
    (tmp_path / "demo").mkdir()
    assert cli("analyze", "./demo").code == 2
    assert "zero" in cli("analyze", "demo").out


def test_the_demo_model_says_that_it_knows_only_digits(cli, tmp_path):
    from datasets_fixtures import make_imagefolder

    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 3, "dog": 1}})
    ran = cli("balance", photos, "--model", "demo", "--dry-run")
    assert ran.code == 0
    assert "only knows" in ran.err and "'dog'" in ran.err
