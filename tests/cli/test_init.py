import re
import shlex

import pyarrow.parquet as pq
import pytest
import yaml
from datasets_fixtures import make_imagefolder, make_parquet

from synfill.balancing.settings import balance_problems
from synfill.config.recipes.read import read_recipe
from synfill.starter.texts import recipe_name, scalar

SHORT = ["stages.0.steps=2", "stages.1.steps=2", "stages.0.batch_size=4", "stages.1.batch_size=4",
         "data.image_size=16", "model=resnet8"]  # fmt: skip


def check_files(cli, tmp_path, name, *, dry_run=True):
    """Both files are taken as they are; the commands that they and the screen name work."""
    recipe = read_recipe(str(tmp_path / f"{name}.yaml"), (), balance_problems)
    text = (tmp_path / f"{name}.yaml").read_text(encoding="utf-8")
    found = re.findall(r"# +synfill (balance .*--dry-run)$", text, re.M)
    commands = [shlex.split(command) for command in found]
    assert bool(commands) == dry_run
    for command in commands:
        ran = cli(*command)
        assert ran.code == 0 and "To make" in ran.out, ran.err
    return recipe


def test_init_on_a_folder_with_splits(cli, tmp_path, sd_model):
    splits = {"train": {"cat": 6, "n01440764": 2}, "val": {"cat": 1, "n01440764": 1},
              "test": {"cat": 2, "n01440764": 2}}  # fmt: skip
    make_imagefolder(tmp_path / "My photos", splits, size=(20, 24))
    ran = cli("init", "My photos")
    assert ran.code == 0, ran.err
    assert "n01440764" in ran.err and "my-photos-prompts.yaml" in ran.out
    recipe = check_files(cli, tmp_path, "my-photos")
    assert (recipe.data.test, recipe.data.image_size) == ("test", 32)
    assert recipe.data.validation in ("validation", "val")
    assert recipe.model.name == "resnet32"
    plain = cli("balance", "My photos", "--prompts", "my-photos-prompts.yaml", "--dry-run")
    assert plain.code == 0 and "n01440764" in plain.err
    # The words for it go where the file says.
    prompts = tmp_path / "my-photos-prompts.yaml"
    text = prompts.read_text()
    prompts.write_text(text.replace("# n01440764: words for it", "n01440764: tench"))
    plain = cli("balance", "My photos", "--prompts", prompts, "--dry-run")
    assert "a photo of a tench" in plain.out and "warning" not in plain.err
    # And the whole of it: images are made, a network is trained.
    made = [f"data.synthetic.balance.model={sd_model}", "data.synthetic.balance.steps=1",
            "data.synthetic.balance.size=32"]  # fmt: skip
    ran = cli("train", "my-photos.yaml", *SHORT, *made, "--device", "cpu")
    assert ran.code == 0, ran.err
    assert "accuracy" in ran.out


def test_what_is_there_is_never_overwritten_unasked(cli, tmp_path):
    make_imagefolder(tmp_path / "photos", {"train": {"cat": 3, "dog": 1}})
    (tmp_path / "photos.yaml").write_text("mine")
    ran = cli("init", "photos")
    assert ran.code == 2 and "photos.yaml is there already" in ran.err
    assert [p.name for p in tmp_path.glob("*.yaml")] == ["photos.yaml"]
    assert (tmp_path / "photos.yaml").read_text() == "mine"
    assert cli("init", "photos", "--out", "new/folder").code == 0
    assert (tmp_path / "new/folder/photos-prompts.yaml").is_file()
    assert cli("init", "photos", "--overwrite").code == 0
    assert (tmp_path / "photos.yaml").read_text() != "mine"
    (tmp_path / "a-file").write_text("")
    assert cli("init", "photos", "--out", "a-file").code == 2


def test_init_with_groups_and_without_a_test_split(cli, tmp_path):
    name = 'köln: "no" #1'
    table = {name: 4, "0": 2, "yes": 1}
    path = make_parquet(
        tmp_path / "данные.parquet", table, groups={"on": ["0", "1"]}, size=(80, 60)
    )
    ran = cli("init", path.name, "--group", "on")
    assert ran.code == 0, ran.err
    assert "no split to test on" in ran.err
    recipe = check_files(cli, tmp_path, "dataset")
    assert recipe.data.group == ("on",) and recipe.data.train == path.name
    assert recipe.data.synthetic.balance["by"] == "class+on"
    assert (recipe.data.image_size, recipe.model.name) == (64, "resnet18")
    text = (tmp_path / "dataset-prompts.yaml").read_text(encoding="utf-8")
    # All that the comments hold is YAML once their marks are gone.
    text = re.sub(r"^( +)# ", r"\1", text.replace("  # To", "# To"), flags=re.M)
    words = yaml.safe_load(text)
    assert words["classes"] == {"0": "words for it"}
    assert words["groups"] == {"on": {"0": "words for it", "1": "words for it"}}
    assert words["prompts"] == ["a photo of {article} {label}, {on}"]
    pq.write_table(pq.read_table(path), tmp_path / "other.parquet")
    small = ["data.synthetic=none", "data.test.source=other.parquet", "model.pretrained=false",
             "stages.0.data=real", "stages.1.data=real"]  # fmt: skip
    ran = cli("train", "dataset.yaml", *small, *SHORT[:-1], "model=resnet8", "--device", "cpu")
    assert ran.code == 0, ran.err


def test_init_on_an_even_dataset_makes_nothing(cli, tmp_path):
    make_imagefolder(tmp_path / "even", {"train": {"cat": 2, "dog": 2}, "validation": {"cat": 1}})
    assert cli("init", "even").code == 0
    recipe = check_files(cli, tmp_path, "even", dry_run=False)
    assert recipe.data.synthetic == "none"
    assert (recipe.data.test, recipe.data.validation) == ("validation", None)
    ran = cli("train", "even.yaml", *SHORT, "--device", "cpu")
    assert ran.code == 0, ran.err


def test_init_on_the_demo_uses_its_model(cli, tmp_path):
    assert cli("init", "demo", "--group", "ink").code == 0
    recipe = check_files(cli, tmp_path, "demo")
    assert recipe.data.synthetic.balance["model"] == "demo"
    assert (recipe.data.validation, recipe.data.test) == ("validation", "test")


@pytest.mark.parametrize(
    "text", ["cat", "no", "Null", "1e3", "a: b", "x #y", "{label}", "-", "é è", "a\nb", "\x85",
             " a", "'", '"', "on", "~", "2024-01-01", "0x1f", "*a", "&b", "a/b", "猫", "\u2028x"]
)  # fmt: skip
def test_every_name_stands_in_yaml_as_itself(text):
    for line in (f"- {scalar(text)}", f"- {{k: [{scalar(text)}]}}"):
        found = yaml.safe_load(line)[0]
        assert (found["k"][0] if isinstance(found, dict) else found) == text
    assert re.fullmatch(r"[a-z0-9][a-z0-9._+-]{0,63}", recipe_name(text))


def test_init_is_told_how_a_folder_is_read(cli, tmp_path):
    make_imagefolder(tmp_path / "far" / "pics", {"a": 6, "b": 2})
    rows = ["id,other,label"] + [f"{c}/{n},{n}.png,cl-{c}" for c, k in [("a", 6), ("b", 2)]
                                 for n in range(k)]  # fmt: skip
    (tmp_path / "far" / "named.csv").write_text("\n".join(rows))
    told = ["--image-root", "far/pics", "--file-column", "id", "--label", "label"]
    assert cli("init", "far/named.csv", *told).code == 0
    recipe = check_files(cli, tmp_path, "named")
    assert (recipe.data.image_root, recipe.data.file_column) == ("far/pics", "id")

    layers = {"2019/cat": 2, "2020/cat": 2, "2019/dog": 1, "2020/dog": 2}
    make_imagefolder(tmp_path / "years", layers)
    assert cli("init", "years", "--layout", "*/class").code == 0
    recipe = check_files(cli, tmp_path, "years")
    assert recipe.data.layout == "*/class"
    make_imagefolder(tmp_path / "later", layers)
    small = ["data.test.source=later", "data.test.layout=*/class", "data.synthetic=none",
             "stages.0.data=real", "stages.1.data=real"]  # fmt: skip
    ran = cli("train", "years.yaml", *small, *SHORT, "--device", "cpu")
    assert ran.code == 0 and "of 2 classes" in ran.out, ran.err
