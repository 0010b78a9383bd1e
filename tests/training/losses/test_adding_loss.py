"""A loss in a file of a user's own: with options, parameters, a state, a cosine classifier and sums
by cell; in a recipe, after a stop, and in two processes.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch

import synfill
from synfill.config.components import LOSSES
from synfill.config.recipes.keys import find_keys
from synfill.errors import Interrupted, UsageError

TEXT = '''
"""Cross-entropy with a learned temperature."""

from typing import Literal

from pydantic import Field

from synfill.training.losses.base import Loss

MADE, STOP_AT = [], None


class Tempered(Loss):
    """Cross-entropy with a learned temperature."""

    name: Literal["tempered"] = "tempered"
    start: float = Field(1.0, gt=0, description="The temperature at first.")
    scale: float | None = Field(None, description="Of a cosine classifier.")

    @property
    def cosine_scale(self):
        return self.scale

    def build(self, facts):
        import torch
        from torch.nn.functional import cross_entropy

        from synfill.training.losses.module import LossModule

        class Module(LossModule):
            sees_cell_sums = True

            def __init__(self, start):
                super().__init__()
                self.facts, self.epochs = facts, []
                self.temperature = torch.nn.Parameter(torch.tensor(start))
                self.register_buffer("seen", torch.zeros(2, len(facts.cell_counts)))

            def forward(self, logits, targets):
                assert (facts.cell_classes[targets.cells] == targets.labels.numpy()).all()
                return cross_entropy(logits * self.temperature, targets.labels, reduction="none")

            def on_epoch(self, epoch):
                if epoch == STOP_AT:
                    raise KeyboardInterrupt
                self.epochs.append(epoch)

            def on_step(self, sums, counts):
                self.seen += torch.stack([sums, counts])

        MADE.append(Module(self.start))
        return MADE[-1]
'''
STAGES = (
    "stages=[{{epochs: 3, batch_size: 16, lr: 0.05, mix: {mix}, loss: {{name: tempered, start: 2, "
    "scale: {scale}}}}}]"
)


@pytest.fixture
def module(load_module):
    module = load_module(TEXT)
    with LOSSES.added(module.Tempered):
        yield module


def train(recipe, out, *overrides, **options):
    return synfill.train(recipe, overrides=overrides, out=out, device="cpu", **options)


def weights(out):
    return (out / "seed-0" / "model" / "model.safetensors").read_bytes()


def test_from_a_recipe(module, recipe, tmp_path):
    train(recipe, tmp_path / "out", STAGES.format(mix="none", scale="null"))
    loss = module.MADE[-1]
    facts = loss.facts
    assert facts.class_counts.tolist() == [24, 24, 24] and facts.cell_counts.sum() == 72
    # Of a synthetic image no place is known: those of a class are a cell of their own.
    assert facts.cell_counts[-3:].tolist() == [0, 2, 20]
    assert facts.cell_classes[-3:].tolist() == [0, 1, 2]
    assert (facts.stage, facts.stages, facts.epochs) == (0, 1, 3)
    assert loss.epochs == [0, 1, 2] and loss.temperature.item() != 2
    np.testing.assert_allclose(loss.seen[1], 3 * facts.cell_counts)
    lines = (tmp_path / "out" / "seed-0" / "history.jsonl").read_text().splitlines()
    history = [json.loads(line) for line in lines]
    total = sum(entry["loss"] * entry["images"] for entry in history)
    assert loss.seen[0].sum().item() == pytest.approx(total, rel=1e-4)
    assert "name: tempered" in (tmp_path / "out/recipe.yaml").read_text()


@pytest.mark.parametrize("epoch", [1, 2])
def test_after_a_stop_it_is_as_if_there_had_been_none(module, recipe, tmp_path, epoch, monkeypatch):
    settings = STAGES.format(mix="mixup", scale=16)
    train(recipe, tmp_path / "whole", settings)
    whole = module.MADE[-1]
    # A mixed image counts in two cells, by its shares.
    np.testing.assert_allclose(whole.seen[1].sum(), 3 * 72, rtol=1e-5)
    monkeypatch.setattr(module, "STOP_AT", epoch)
    with pytest.raises(Interrupted):
        train(recipe, tmp_path / "again", settings)
    monkeypatch.setattr(module, "STOP_AT", None)
    train(recipe, tmp_path / "again", settings)
    assert module.MADE[-1].epochs[0] == epoch
    assert weights(tmp_path / "again") == weights(tmp_path / "whole")
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(module.MADE[-1].state_dict()[name], value, rtol=0, atol=0)


def test_a_cosine_classifier_is_kept_with_the_model(module, recipe, colours, tmp_path):
    import pyarrow.parquet as pq

    train(recipe, tmp_path / "out", STAGES.format(mix="none", scale=16))
    classifier = synfill.load_classifier(tmp_path / "out/seed-0/model", device="cpu")
    images = pq.read_table(colours / "data" / "test-00000-of-00001.parquet")["image"].to_pylist()
    found = classifier.predict([image["bytes"] for image in images])
    stored = pq.read_table(tmp_path / "out/predictions.parquet").to_pandas()
    stored = stored[stored.split == "test"].sort_values("row")
    np.testing.assert_allclose(found, np.stack(stored.probabilities), atol=1e-5)
    logits = classifier.network(torch.rand(8, 3, 12, 12))
    assert logits.abs().max() <= 16 and not torch.equal(logits, logits.round())


def test_two_processes_see_the_same_sums(module, recipe, tmp_path):
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "import of_a_user, synfill\n"
        "from accelerate import PartialState\n"
        "from synfill.config.components import LOSSES\n"
        "LOSSES.add(of_a_user.Tempered)\n"
        "recipe, out, stages = sys.argv[1:]\n"
        "synfill.train(recipe, overrides=[stages], out=out, device='cpu', progress=False)\n"
        "assert PartialState().num_processes == 2\n"
        "loss = of_a_user.MADE[-1]\n"
        "print(loss.temperature.item(), loss.seen.tolist(), flush=True)\n"
    )
    stages = STAGES.format(mix="none", scale="null")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    # As torchrun and accelerate start them; tests/cli/test_train.py has one of them do it. In fresh
    # processes: a forked one is taken for the only one.
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, recipe, tmp_path / "two", stages],
            env=os.environ | together | {"RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in ("0", "1")
    ]  # fmt: skip
    printed = [process.communicate(timeout=200) for process in processes]
    said = "\n".join(err for _, err in printed)
    assert [process.returncode for process in processes] == [0, 0], said
    first, second = [line for out, _ in printed for line in out.splitlines() if line[:1].isdigit()]
    assert first == second
    train(recipe, tmp_path / "one", stages)
    loss = module.MADE[-1]
    temperature, _, seen = first.partition(" ")
    np.testing.assert_allclose(json.loads(seen)[1], loss.seen[1])
    # BatchNorm sees half a batch in each: nearly the same.
    assert float(temperature) == pytest.approx(loss.temperature.item(), abs=0.2)


def test_it_is_listed_and_its_options_are_checked(module, recipe, tmp_path):
    loss = next(key for key in find_keys("stages.loss") if key.path == "stages.loss")
    assert loss.kind.startswith("one of cross-entropy, tempered or")
    assert "tempered: Cross-entropy with a learned temperature" in loss.meaning
    assert find_keys("stages.loss.start")[0].meaning == "Of tempered: The temperature at first."
    for wrong, message in (
        ("{name: temperd}", "stages.0.loss.name .*did you mean 'tempered'"),
        ("temperd", "stages.0.loss .*did you mean 'tempered'"),
        ("{name: tempered, start: 0}", "stages.0.loss.start .*should be more than 0"),
        ("{name: tempered, strt: 1}", "stages.0.loss.strt .*did you mean 'start'"),
    ):
        with pytest.raises(UsageError, match=message):
            train(recipe, tmp_path / "out", f"stages.0.loss={wrong}")
    with pytest.raises(UsageError, match="the loss tempered has no label smoothing"):
        train(recipe, tmp_path / "out", "stages.0.loss=tempered", "stages.0.label_smoothing=0.1")
