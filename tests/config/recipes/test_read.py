import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from synfill.balancing.settings import balance_problems
from synfill.config.recipes.read import read_recipe, recipe_yaml
from synfill.errors import UsageError
from synfill.training.network.names import model_problem

SMALL = """\
name: small
data:
  train: photos
model: resnet20
stages:
  - epochs: 10
    lr: 3e-4
    warmup: 2
  - steps: 5
    trainable: classifier
"""

BALANCE = "data.synthetic.balance."


@pytest.fixture
def read(tmp_path):
    def read(text=SMALL, *overrides):
        path = tmp_path / "r.yaml"
        path.write_text(text)
        return read_recipe(str(path), overrides, balance_problems, model_problem)

    return read


@pytest.fixture
def problems(read):
    """The lines of the message, without the file's name and the hint."""

    def problems(text=SMALL, *overrides):
        with pytest.raises(UsageError) as error:
            read(text, *overrides)
        first, *rest = error.value.message.splitlines()
        assert "r.yaml can't be used" in first
        return [line.strip() for line in rest]

    return problems


def test_a_small_recipe(read):
    recipe = read()
    assert recipe.stages[0].lr == 3e-4
    assert recipe.model.name == "resnet20"
    assert recipe.stages[1].trainable == "classifier"
    assert recipe.seeds == (0,)


def test_every_problem_is_told_at_once_with_its_line(problems):
    found = problems(
        """\
name: My recipe
seeds: [0, 0]
data:
  trian: demo
  long_tail: 0.5
  synthetic:
    balance:
      targt: uniform
      seed: 3
      format: parquet
      by: class+ink
      guidance-scale: -1
  validation: 2
model: resnet32
batch_size: 3
stages:
  - epochs: 10.5
    schedul: cosine
  - steps: 10
    epochs: 3
    warmup: 20
    mix: mixpu
    sampling: group-balanced
  - lr: -1
    epochs: 5
    milestones: [2, 9]
methods:
  ce: [{}]
  seed-0: [{}]
  mine: [{warmup: 12}]
compare: [ce, synaugg, ce]
hardware:
  precision: half
"""
    )
    assert [re.sub(r":.*", "", line) for line in found] == [
        "name (line 1)", "seeds (line 2)", "data.trian (line 4)", "data.long_tail (line 5)",
        "data.synthetic.balance.targt (line 8)", "data.synthetic.balance.seed (line 9)",
        "data.synthetic.balance.format (line 10)", "data.synthetic.balance.by (line 11)",
        "data.synthetic.balance.guidance_scale (line 12)", "data.validation (line 13)",
        "batch_size (line 15)", "stages.0.epochs (line 17)", "stages.0.schedul (line 18)",
        "stages.1.epochs (line 20)", "stages.1.warmup (line 21)", "stages.1.mix (line 22)",
        "stages.1.sampling (line 23)", "stages.2.lr (line 24)", "stages.2.milestones (line 26)",
        "stages.2.milestones (line 26)", "methods.ce (line 28)", "methods.seed-0 (line 29)",
        "compare.1 (line 31)", "compare.2 (line 31)", "hardware.precision (line 33)",
    ]  # fmt: skip
    text = "\n".join(found)
    for message in (
        "did you mean 'train'?",
        "should be at least 1, not 0.5",
        "in a recipe this stands elsewhere: data.seed",
        "'ink' isn't in data.group",
        "it belongs to stages.0",
        "should be a whole number, not 10.5",
        "should be one of none, mixup, cutmix, mixup-or-cutmix, domain-mixup, not 'mixpu'; did you "
        "mean 'mixup'?",
        "unknown method 'synaugg'; did you mean 'synaug'?",
    ):
        assert message in text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("seeds: [true]", "seeds.0 (line 1): should be a whole number, not true"),
        ("seeds: 3", "seeds (line 1): should be a list, not 3; did you mean 'seeds: [3]'?"),
        ("seeds: x", "seeds (line 1): should be a list, not 'x'"),
        ("seeds: []", "seeds (line 1): is empty"),
        ("stages: [{epochs: 3, sampling: [a]}]", "stages.0.sampling (line 1): should be one of as"),
        (
            "stages: [{epochs: 3, mix: {name: mixpu}}]",
            "stages.0.mix.name (line 1): should be one of none, mixup, cutmix, mixup-or-cutmix, "
            "domain-mixup, not 'mixpu'; did you mean 'mixup'?",
        ),
        (
            "stages: [{epochs: 3, mix: {name: mixup, alpha: 0}}]",
            "stages.0.mix.alpha (line 1): should be at least 0.001, not 0",
        ),
        (
            "stages: [{epochs: 3, mix: {alpha: 1}}]",
            "stages.0.mix.name (line 1): should be one of none",
        ),
        (
            "stages: [{epochs: 3, loss: {name: cross-entropy, alpha: 1}}]",
            "stages.0.loss.alpha (line 1): unknown key",
        ),
        ("stages: [{kind: sdg, epochs: 3}]", "stages.0.kind (line 1): should be sgd, not 'sdg'"),
        ("stages: [{kind: 3, epochs: 3}]", "stages.0.kind (line 1): should be sgd, not 3"),
        ("hardware: {compile: 3}", "hardware.compile (line 1): should be true or false, not 3"),
        ("model: [a]", "model (line 1): should be a mapping (key: value), not a list"),
        ("model: ''", "model (line 1): is empty"),
        ("stages: {}", "stages (line 1): should be a list, not a mapping"),
        ("stages: [3]", "stages.0 (line 1): should be a mapping (key: value), not 3"),
        ("methods: {x: []}", "methods.x (line 1): is empty"),
        ("methods: {x y: [{}]}", "methods.x y (line 1): should be at most 64 small letters"),
        ("methods: {4: [3]}", "methods.4"),
        ("4: x", "4 (line 1): unknown key"),
        ("null: x", "null (line 1): unknown key"),
        ("data: {train: a, group: [a, b, a]}", "data.group (line 1): each column once"),
        ("data: {train: a, group: b, label: b}", "data.group (line 1): 'b' is the class column"),
        (
            "model: resnet33",
            "model (line 1): there is no network 'resnet33'; did you mean 'resnet3",
        ),
        ("model: {name: ViT_b16}", "model.name (line 1): there is no network 'ViT_b16'; did you "),
        ("model: {name: resnet32, pretrained: true}", "model.pretrained (line 1): there are no"),
        ("stages: [{epochs: 3, nesterov: true, momentum: 0}]", "stages.0.nesterov (line 1): "),
        ("data: {train: a, test: test, validation: test}", "data.validation (line 1): 'test' is"),
        ("data: {train: a, test: train}", "data.test (line 1): 'train' is the training split"),
        ("data: {train: a, test: {split: x}}", "data.test.source (line 1): is missing"),
        ("data: {train: a, synthetic: {split: x}}", "data.synthetic.source (line 1): give either"),
        ("data: {train: a, synthetic: {balance: 3}}", "data.synthetic.balance (line 1): should be"),
        ("data: {train: a, synthetic: {balance: {}, config: x}}", "data.synthetic.config (line 1)"),
        ("data: {train: a, long_tail: x}", "data.long_tail (line 1): should be a number, not 'x'"),
        ("data: {train: a, group: [[a]]}", "data.group.0 (line 1): should be text, not a list"),
    ],
)
def test_wrong_values_in_plain_words(problems, line, message):
    key = line.partition(":")[0]
    parts = re.split(r"^(?=\w)", SMALL, flags=re.MULTILINE)
    rest = "".join(part for part in parts if not part.startswith(f"{key}:"))
    found = problems(f"{line}\n{rest}")
    assert len(found) == 1
    assert found[0].startswith(message)


def test_a_broken_entry_does_not_hide_what_is_wrong_beside_it(problems):
    assert problems(SMALL + "seeds: [0, 0, -1, -2]\n") == [
        "seeds.2 (line 11): should be at least 0, not -1",
        "seeds.3 (line 11): should be at least 0, not -2",
        "seeds (line 11): each seed once",
    ]
    assert problems(SMALL.replace("steps: 5", "steps: 5\n    epochs: 0")) == [
        "stages.1.epochs (line 10): should be at least 1, not 0",
        "stages.1.epochs (line 10): give either epochs or steps",
    ]
    assert problems(SMALL.replace("lr: 3e-4", "schedule: step\n    milestones: [x]")) == [
        "stages.0.milestones.0 (line 8): should be a number, not 'x'"
    ]


def test_a_misspelt_key_is_told_once(problems):
    assert len(problems(SMALL.replace("epochs", "epoch"))) == 1
    assert len(problems(SMALL.replace("train: photos", "trian: photos"))) == 1
    assert problems(SMALL.replace("warmup: 2", "quux: 2"))[0].startswith(
        "stages.0.quux (line 8): unknown key; known here: name, data, sampling"
    )


def test_overrides(read):
    recipe = read(
        SMALL, "stages.0.epochs=20", "data.long_tail=50", "data.long_tail.type=step",
        "seeds=[1, 2]", "model.pretrained=false", "hardware.compile=true", "stages.1.lr=3e-4",
        "data.synthetic.source=made", "data.test.source=other", "name=other",
        "methods={x: [{epochs: 3}]}", "methods.x.0.lr=1", "name=last",
    )  # fmt: skip
    assert recipe.stages[0].epochs == 20
    assert (recipe.data.long_tail.imbalance_factor, recipe.data.long_tail.type) == (50, "step")
    assert recipe.seeds == (1, 2)
    assert (recipe.model.name, recipe.model.pretrained) == ("resnet20", False)
    assert recipe.hardware.compile
    assert recipe.stages[1].lr == 3e-4
    assert recipe.data.synthetic.source == "made"
    assert recipe.data.test.source == "other"
    assert recipe.methods["x"][0].lr == 1
    assert recipe.name == "last"
    assert read(SMALL, "data.synthetic=none").data.synthetic == "none"
    assert read(SMALL, "data.synthetic={balance: {}}", "data.synthetic.source=a").data.synthetic


def test_an_override_of_the_length_takes_the_other_ones_place(read):
    stage = read(SMALL, "stages.0.steps=50").stages[0]
    assert (stage.steps, stage.epochs, stage.warmup) == (50, None, 0)
    stage = read(SMALL, "stages.0.warmup=7", "stages.0.epochs=30").stages[0]
    assert (stage.epochs, stage.warmup) == (30, 7)


def test_an_override_changes_one_of_two_stages_that_yaml_makes_the_same(read):
    text = SMALL[: SMALL.index("stages")] + "stages: [&a {epochs: 3}, *a]\n"
    assert [stage.epochs for stage in read(text, "stages.1.epochs=4").stages] == [3, 4]


def test_an_override_reaches_into_a_component_that_the_recipe_leaves_out(problems):
    (line,) = problems(SMALL, "stages.0.sampling.share=1")
    assert line == "stages.0.sampling.share (on the command line): unknown key; known here: name"


def test_an_override_of_a_stage_that_is_none(problems):
    for value, named in (("step", "'step'"), ("0.5", "0.5"), ("null", "nothing")):
        found = problems(SMALL, f"stages.0={value}", "stages.0.lr=1")
        assert any(line.endswith(f"): stages.0 is {named} and has no keys") for line in found)


def test_wrong_overrides(problems):
    found = problems(
        SMALL, "stages.5.lr=1", "foo", "=3", "stages.x=1", "name.x=2", "data.trian=a",
        "model.pretrained=maybe", "seeds=[1", "stages.1.epochs=0", "warmup.x=3",
    )  # fmt: skip
    assert all(" (on the command line): " in line for line in found)
    told = {line.partition(" ")[0]: line.partition("): ")[2] for line in found}
    assert told["stages.5.lr"] == "stages has no entry 5; it has 0 to 1"
    assert told["stages.x"].startswith("stages is a list: name an entry by its number (0 to 1)")
    assert told["name.x"] == "name is 'small' and has no keys"
    assert told["data.trian"] == "unknown key; did you mean 'train'?"
    assert told["model.pretrained"] == "should be true or false, not 'maybe'"
    assert told["stages.1.epochs"] == "should be at least 1, not 0"
    assert "not valid YAML" in told["seeds"]
    assert told["foo"] == told["=3"]
    assert told["warmup"] == "unknown key; it belongs to stages.0"


def test_none_stands_for_nothing(read):
    text = SMALL.replace(
        "train: photos", "{train: photos, group: none, validation: none, long_tail: none}"
    ).replace("data:\n  {", "data: {")
    data = read(text).data
    assert (data.group, data.validation, data.long_tail) == ((), None, None)
    assert read(SMALL, "data.group=null").data.group == ()


def test_values_that_mean_nothing(problems):
    place = "(on the command line)"
    assert problems(SMALL, "stages.0.trainable=[]", "data.validation=10%") == [
        f"data.validation {place}: a share is written as a number between 0 and 1, not as 10%",
        f"stages.0.trainable {place}: is empty: nothing would be trained",
    ]
    assert problems(SMALL, "stages.0.trainable=classifer") == [
        f"stages.0.trainable {place}: should be one of all, classifier or a list, "
        "not 'classifer'; did you mean 'classifier'?"
    ]


def test_what_an_override_holds_is_told_as_on_the_command_line(problems):
    place = "(on the command line)"
    assert problems(SMALL, "stages.0={}") == [
        f"stages.0.epochs {place}: give either epochs or steps"
    ]
    assert problems(SMALL, "stages=[{epochs: 0}]")[0].startswith(f"stages.0.epochs {place}")
    assert problems(SMALL, "model=resnet33")[0].startswith(f"model {place}: there is no network")
    assert problems(SMALL, "model.name=a")[0].startswith(f"model.name {place}: there is no network")
    assert problems(
        SMALL, "data.synthetic={balance: {by: class}}", "seeds=1", "compare=ce,synaug"
    ) == [
        f"seeds {place}: should be a list, not 1; did you mean 'seeds=[1]'?",
        f"compare {place}: should be a list, not 'ce,synaug'; did you mean 'compare=[ce,synaug]'?",
    ]
    dashed = problems(
        SMALL + "# end", "data.synthetic={balance: {}}", BALANCE + "guidance-scale=-1"
    )
    assert dashed[0].startswith(f"{BALANCE}guidance_scale {place}: should be")
    assert problems(SMALL + "compare: [quux]\n", 'compare=["CE", "", "ce", "ce", 3]') == [
        f"compare.4 {place}: should be text, not 3",
        f"compare.0 {place}: unknown method 'CE'; did you mean 'ce'?",
        f"compare.1 {place}: a method's name is empty",
        f"compare.3 {place}: 'ce' stands twice",
    ]


def test_synthetic_images_that_there_are_none_of(problems, read):
    text = SMALL + "compare: [ce, synaug]\nmethods: {only: [{data: synthetic}]}\n"
    found = problems(text, "data.synthetic=none")
    assert len(found) == 2
    assert "'synaug' needs synthetic images, and data.synthetic is none" in found[0]
    assert found[1].startswith("methods.only.0.data (line 12)")
    read(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# only this\n", "is empty"),
        ("- a\n", "is not a recipe"),
        ("a: [\n", "not valid YAML"),
        ("stages: 1\nstages: 2\n", "stands twice"),
        ("target: uniform\nmodel: sd15\n", "holds no training recipe"),
        ("\x00", "not valid YAML"),
        ("a: 1\n" * 2_000_000, "too large"),
    ],
)
def test_files_that_are_no_recipe(read, text, message):
    with pytest.raises(UsageError, match=message):
        read(text)


def test_files_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for name, message in (
        ("missing.yaml", "There is no file missing.yaml"),
        ("folder", "folder is a folder"),
        ("folder/x.yaml", "There is no file"),
        ("binary.yaml", "can't be read"),
        ("", "."),
        ("dmeo", "Did you mean 'demo'"),
    ):
        with pytest.raises(UsageError, match=re.escape(message)):
            read_recipe(name)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "r.yaml")
    with pytest.raises(UsageError, match="it is a pipe"):
        read_recipe(str(tmp_path / "r.yaml"))


def test_what_methods_share_with_the_stages_is_told_once(problems):
    text = SMALL + "methods: {mine: [{epochs: 3}]}\n"
    place = "(on the command line)"
    assert problems(text, "stages.0.trainable=[1, [2]]") == [
        f"stages.0.trainable.0 {place}: should be text, not 1",
        f"stages.0.trainable.1 {place}: should be text, not a list",
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stages.0.epochs=" + "9" * 400, "should be at most 1000000"),
        ("stages.0.batch_size=99999999999999999999", "should be at most 1048576"),
        ("stages.1.steps=99999999999999999999", "should be at most 2147483647"),
        ("data.long_tail={imbalance_factor: 2, largest: 99999999999999}", "should be at most"),
        ("stages.0.alpha=5e-324", "should be at least 0.001"),
        ("stages.0.alpha=1e400", "should be at most 1000"),
        ("stages.0.lr=nan", "should be"),
        ("stages.0.lr=1e400", "should be a finite number"),
        ("stages.0.warmup=-1e400", "should be"),
        ("stages.0.momentum='nan'", "should be"),
        ("hardware.gradient_accumulation=1e400", "should be"),
        ("budget=epoch", "did you mean 'epochs'?"),
    ],
)
def test_numbers_that_mean_nothing(problems, override, message):
    assert message in problems(SMALL, override)[0]


def test_a_message_stays_readable_whatever_is_in_the_recipe(problems):
    (long,) = problems(SMALL, "model=" + "x" * 100_000)
    assert len(long) <= 400
    many = problems(SMALL, f"data.group=[{'1,' * 3000}1]")
    assert len(many) == 51 and many[-1] == "and 2,951 more"


def test_a_file_wins_over_a_shipped_recipe_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_recipe("demo").name == "demo"
    Path("demo").write_text(SMALL)
    assert read_recipe("demo").name == "small"


def test_the_resolved_recipe_reads_back(read, tmp_path):
    text = SMALL + (
        "methods:\n  short: [{steps: 3}]\n  longer: [{}, {lr: 0.5}, {epochs: 1}]\n"
        "compare: [short, ce, recipe]\n"
    )
    recipe = read(
        text, "name='3e4'", "data.label='3e-4'", "data.group=[no, 'true']", "data.long_tail=10",
        "data.synthetic={balance: {by: class+no, prompts: {classes: {a: 'b: c'}}}}",
        "data.validation=0.1", "stages.1.trainable=[layer4.*, '007']",
    )  # fmt: skip
    written = recipe_yaml(recipe)
    path = tmp_path / "resolved.yaml"
    path.write_text(written)
    again = read_recipe(str(path), (), balance_problems)
    assert again == recipe
    assert recipe_yaml(again) == written
    for key in ("gamma", "channels_last", "on_bad_image", "pretrained"):
        assert f"{key}:" in written


def test_a_recipe_is_checked_without_torch():
    code = (
        "import sys\n"
        "from synfill.config.recipes.read import read_recipe\n"
        "from synfill.balancing.settings import balance_problems\n"
        "from synfill.training.network.names import model_problem\n"
        "read_recipe('demo', ['seeds=[1]', 'model=vit_b_16'], balance_problems, model_problem)\n"
        "heavy = {'torch', 'torchvision', 'timm', 'diffusers', 'datasets', 'sklearn', 'accelerate'"
        "} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
