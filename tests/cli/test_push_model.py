"""`synfill train --push-to-hub` against a small Hub, and `synfill predict` with what it holds."""

import json

import numpy as np
from huggingface_hub import ModelCard
from PIL import Image

ID = "alice/digits"
SHORT = (
    "train", "demo", "data.synthetic=none", "data.validation=null", "stages.0.data=real",
    "stages.1.data=real", "stages.0.steps=3", "stages.0.warmup=0", "stages.1.steps=2",
    "--device", "cpu", "--out", "out",
)  # fmt: skip


def test_a_model_is_trained_pushed_and_used(alice, hub):
    ran = alice(*SHORT, "--push-to-hub", "--repo-id", ID, "--private")
    assert ran.code == 0, ran.err
    assert f"{ID} will be private" in ran.err
    assert f"{hub.url}/{ID} holds all 9 files" in " ".join(ran.out.split())
    files = hub.files(f"models/{ID}")
    metrics = json.loads(files["metrics.json"])
    found = {r.metric_type: r for r in ModelCard(files["README.md"].decode()).data.eval_results}
    accuracy = metrics["test"]["accuracy"]["values"][0]
    assert found["accuracy"].metric_value == round(accuracy, 4)

    # The trained model is there: the same command only pushes what is missing, and nothing is.
    before = hub.received
    again = alice(*SHORT, "--push-to-hub", "--repo-id", ID)
    assert again.code == 0, again.err
    assert "nothing had to be sent" in " ".join(again.out.split()) and hub.received == before

    image = Image.fromarray(np.zeros((32, 32, 3), np.uint8))
    image.save(alice.folder / "image.png")
    ran = alice("predict", ID, "image.png", "--json", "--device", "cpu")
    assert ran.code == 0, ran.err
    assert "image.png" in ran.out


def test_a_push_that_cannot_be_is_told_before_anything_is_made(alice):
    ran = alice(*SHORT, "--push-to-hub", "--repo-id", "bob/digits")
    assert ran.code == 2 and "who can't write to bob/digits" in ran.err
    assert not (alice.folder / "out").exists()
