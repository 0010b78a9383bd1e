"""A trained model -> a small Hub. In a process each: the client reads its environment once."""

import json

import pytest
from classifier_fixtures import make_spec
from hub_server import Fault
from results_fixtures import COUNTS, make_result

from synfill.classifier.save import save_classifier
from synfill.config.recipes.read import read_recipe
from synfill.evaluation.results import metrics_json, write_json
from synfill.training.network.model import build_model
from synfill.training.push import public_recipe

ID = "alice/pets"
PUSH = """
import json, sys
from pathlib import Path
from synfill.errors import SynfillError
from synfill.config.push import PushSettings
from synfill.reporter import LogReporter
from synfill.training.push import prepare_push, push_model
from synfill.config.recipes.read import read_recipe

out, pushes = Path(sys.argv[1]), json.loads(sys.argv[2])
for settings, overrides in pushes:
    recipe = read_recipe("demo", overrides)
    try:
        destination = prepare_push(PushSettings(**settings), recipe, LogReporter())
        pushed = push_model(out, destination, recipe, [0, 1], LogReporter())
        print(" ".join(pushed.summary()))
    except SynfillError as error:
        print(error.exit_code, *str(error).splitlines())
"""
LOAD = """
import sys
import numpy as np
from PIL import Image
from synfill.classifier.load import load_classifier

image = Image.fromarray(np.arange(3072, dtype=np.uint8).reshape(32, 32, 3))
for source in sys.argv[1:]:
    classifier = load_classifier(source)
    print(*classifier.classes, *classifier.predict([image])[0], sep="|")
"""


@pytest.fixture
def out(tmp_path):
    """What `synfill train` leaves, with random weights."""
    return make_run(tmp_path / "out")


def make_run(out, first_seed=0):
    spec = make_spec(COUNTS.classes, 32, std=(0.2, 0.2, 0.2))
    results = {seed: make_result(seed, (9, 5, seed)) for seed in (0, 1)}
    for seed, result in results.items():
        save_classifier(
            out / f"seed-{seed}/model", build_model(spec.model, 3, 32, first_seed + seed), spec,
            {"seed": seed},
        )  # fmt: skip
        result.write(out / f"seed-{seed}/result.json")
    write_json(out / "metrics.json", metrics_json("demo", "recipe", COUNTS, results))
    return out


@pytest.fixture
def push(hub, out, tmp_path, forker):
    """Pushes, one after the other: (PushSettings, overrides) of each; what each of them says."""

    def run(*pushes):
        (tmp_path / "home").mkdir(exist_ok=True)
        environment = hub.environment(tmp_path / "home", "hf_secretOfAlice")
        ran = forker.run(
            [out, json.dumps(pushes)], code=PUSH, environment=environment, folder=tmp_path
        )
        assert ran.returncode == 0, ran.stderr
        assert "secretOfAlice" not in ran.stdout + ran.stderr
        return ran.stdout.splitlines()

    return run


def to(id=ID, *overrides, **settings):
    return {"repo_id": id, **settings}, overrides


def test_a_model_is_pushed_whole_and_loaded_from_there(hub, push, out, tmp_path, forker):
    (said,) = push(to(private=True))
    assert f"{hub.url}/{ID} holds all 6 files" in said
    assert f"synfill.load_classifier('{ID}')" in said
    repo = hub.store.repos[f"models/{ID}"]
    assert repo.private and len(repo.titles) == 2 and ID not in hub.store.repos
    files = hub.files(f"models/{ID}")
    assert set(files) - {".gitattributes"} == {
        "README.md", "config.json", "metrics.json", "model.safetensors", "recipe.yaml",
        "synfill/run.json",
    }  # fmt: skip
    assert files["model.safetensors"] == (out / "seed-0/model/model.safetensors").read_bytes()
    assert b"model-index:" in files["README.md"]
    assert json.loads(files["synfill/run.json"])["pushed_seed"] == 0
    assert not any(str(tmp_path).encode() in content for content in files.values())
    assert {path.name for path in out.iterdir()} == {"metrics.json", "seed-0", "seed-1"}
    ran = forker.run(
        [ID, out / "seed-0/model"], code=LOAD,
        environment=hub.environment(tmp_path / "fresh", "hf_secretOfAlice"),
    )  # fmt: skip
    loaded = ran.stdout.splitlines()
    assert ran.returncode == 0, ran.stderr
    assert loaded[0] == loaded[1] and loaded[0].startswith("cat|sea <otter>|yak|")


def test_a_failed_push_goes_on_and_then_there_is_nothing_to_send(hub, push):
    hub.faults.append(Fault("/commit/", "403", times=1))
    failed, sent, again = push(to(), to(), to())
    assert failed.startswith("1 ") and "0 of 6 files are in alice/pets" in failed
    assert "The same command sends the rest" in failed
    assert "6 of them came with this push" in sent and "nothing had to be sent" in again
    assert len(hub.commits(f"models/{ID}")) == 2
    assert sum(request.startswith("PUT /lfs") for request in hub.requests) == 1


def test_a_recipe_replaces_its_own_model_and_no_other(push):
    elsewhere, another, overwritten = push(
        to(),
        to(ID, "seeds=[0, 1]", "hardware.precision=float32", "data.storage=stream"),
        to(ID, "stages.0.lr=0.2"),
        to(ID, "stages.0.lr=0.2", overwrite=True),
    )[1:]
    assert "README.md" not in elsewhere and "came with this push" in elsewhere
    assert another.startswith("2 alice/pets is there already and holds the model of another run")
    assert "came with this push" in overwritten


def change(hub, files, record=None):
    """Commit to the repository, as someone else does; `record` alters its run.json."""
    repo = hub.store.repos[f"models/{ID}"]
    there = dict(repo.commits[repo.resolve("main")])
    if record is not None:
        content = json.loads(hub.store.read(there["synfill/run.json"]))
        record(content)
        files = files | {"synfill/run.json": json.dumps(content).encode()}
    for name, content in files.items():
        there[name] = hub.store.add(content, name.endswith(".safetensors"))
    repo.commit("refs/heads/main", there, "someone else")


def test_only_the_classifier_is_pushed(hub, push, out, tmp_path):
    (out / "seed-0/model/.env").write_text("TOKEN=x")
    (tmp_path / "secret").write_text("secret")
    (out / "seed-0/model/notes.txt").symlink_to(tmp_path / "secret")
    (said,) = push(to())
    assert "holds all 6 files" in said
    assert not {".env", "notes.txt"} & set(hub.files(f"models/{ID}"))


@pytest.mark.parametrize("listed", [True, False])
def test_a_newly_trained_model_replaces_itself_and_nothing_of_others(hub, push, out, listed):
    push(to())
    theirs = {"README.md": b"# Mine", "notes.md": b"notes", "synfill/notes.md": b"notes"}
    change(hub, theirs, None if listed else lambda record: record.pop("files"))
    make_run(out, first_seed=7)
    (said,) = push(to())
    assert "holds all 5 files" in said and "an edited README.md" in said
    files = hub.files(f"models/{ID}")
    assert files["model.safetensors"] == (out / "seed-0/model/model.safetensors").read_bytes()
    assert files.items() >= theirs.items()
    push(to(overwrite=True))
    files = hub.files(f"models/{ID}")
    assert b"model-index:" in files["README.md"] and files["notes.md"] == b"notes"


def test_weights_that_someone_changed_there_are_not_replaced_unasked(hub, push, out):
    push(to())
    change(hub, {"model.safetensors": b"better"})
    (said,) = push(to())
    assert said.startswith("1 ") and "not as the earlier push left it: model.safetensors" in said
    assert hub.files(f"models/{ID}")["model.safetensors"] == b"better"


def test_what_can_be_told_before_the_training(hub, push):
    assert "can't be the id of a model" in push(to("a/b/c"))[0] and hub.requests == []
    others, own = push(to("bob/pets"), to(None))
    assert "who can't write to bob/pets" in others
    assert "alice/demo holds all 6 files" in own


def test_no_path_of_this_machine_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos/train").mkdir(parents=True)
    source = f"data.synthetic={{source: {tmp_path}/photos}}"
    overrides = ["data.train=./photos/train", source, "data.test={source: zoo/pets}"]
    data = public_recipe(read_recipe("demo", overrides)).data
    assert data.train == "train" and data.synthetic.source == "photos"
    assert data.test.source == "zoo/pets"
