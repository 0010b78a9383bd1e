"""A training run's state on disk: whole or not there, the newest one and the one before.

A checkpoint is a folder that is made under a temporary name and renamed when all of it is synced.
Weights are safetensors; the optimizer's state is read with weights_only, so nothing that is loaded
can run code. What is damaged, or doesn't fit, is passed over for the one before.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from synfill.config.recipes.stages import Stage, StageSettings
from synfill.files import no_room, sync_folder
from synfill.reading import parse_json, read_regular
from synfill.records import JsonObject
from synfill.runs.record import Record, describe_invalid
from synfill.runs.training_folder import CHECKPOINT
from synfill.runs.versions import TRAINING, changes, versions
from synfill.training.network.model import (
    choose_trainable,
    copy_tensors,
    trainable_parameters,
)
from synfill.training.stage.history import check_history

_STATE, _WEIGHTS, _OPTIMIZER = "state.json", "model.safetensors", "optimizer.pt"
_LOSS = "loss.safetensors"
"""Only where the loss has parameters or buffers."""
_KEPT = 2
_MOST_VERSIONS = 1000


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Where a run is.

    Attributes:
        stage: The stage it is in, from 0.
        epoch: Epochs of that stage that are done.
        step: Optimizer steps of that stage that are done.
        weights: The network's, by name.
        optimizer: The optimizer's state_dict.
        history: One entry for each epoch so far, of all stages.
        loss: The loss's parameters and buffers, by name; empty where it has none.
    """

    stage: int
    epoch: int
    step: int
    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    history: list[JsonObject]
    loss: dict[str, Tensor] = field(default_factory=dict)


class CheckpointFolder:
    """The checkpoints of one run.

    Args:
        path: The folder; it need not exist.

    Attributes:
        versions: Of the libraries with which the run was made: those of now, and before them those
            of earlier sessions where they were others.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.versions: list[dict[str, str]] = [versions(TRAINING)]

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then remove all older ones but the last.

        Raises:
            RunError: The disk is full. The older checkpoints stay.
        """
        name = f"stage-{checkpoint.stage}-epoch-{checkpoint.epoch}"
        temporary = self.path / f".{name}.tmp"
        with no_room(self.path):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            # Written here and not by the libraries, which hide that a disk is full.
            optimizer = io.BytesIO()
            torch.save(checkpoint.optimizer, optimizer)
            files = {
                _WEIGHTS: save(copy_tensors(checkpoint.weights)),
                _OPTIMIZER: optimizer.getvalue(),
            }
            if checkpoint.loss:
                files[_LOSS] = save(copy_tensors(checkpoint.loss))
            for file, content in files.items():
                _write(temporary / file, content)
            state = {
                "step": checkpoint.step,
                "history": checkpoint.history,
                "versions": self.versions,
                "sha256": {file: _digest(content) for file, content in files.items()},
            }
            _write(temporary / _STATE, json.dumps(state).encode())
            sync_folder(temporary)
            # One of that name can only be one that couldn't be read.
            shutil.rmtree(self.path / name, ignore_errors=True)
            os.replace(temporary, self.path / name)
            sync_folder(self.path)
        here = (checkpoint.stage, checkpoint.epoch)
        older = [folder for position, folder in self._found() if position < here]
        for folder in older[: len(older) - (_KEPT - 1)]:
            shutil.rmtree(folder, ignore_errors=True)

    def load(
        self,
        check: Callable[[Checkpoint], None] = lambda checkpoint: None,
        warn: Callable[[str], None] = lambda message: None,
        largest: int = 1 << 40,
    ) -> Checkpoint | None:
        """The newest checkpoint that is whole and fits; None if there is none.

        Args:
            check: Raises ValueError where a checkpoint doesn't fit the run.
            warn: Told of checkpoints that are passed over, and of libraries whose version is
                another now.
            largest: Bytes above which a file is none of a checkpoint's.
        """
        found = self._found()[::-1]
        for number, ((stage, epoch), folder) in enumerate(found, start=1):
            try:
                state = _read_state(folder)
                checkpoint = _read(folder, stage, epoch, state, largest)
                check(checkpoint)
            except (
                OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RuntimeError,
                pickle.UnpicklingError, SafetensorError,
            ) as error:  # fmt: skip
                reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
                on = "the one before it" if number < len(found) else "the start"
                warn(f"The checkpoint {folder} is damaged ({reason}): going on from {on}.")
                continue
            self._note_versions(state.versions, warn)
            return checkpoint
        return None

    def _note_versions(self, earlier: list[dict[str, str]], warn: Callable[[str], None]) -> None:
        now = versions(TRAINING)
        changed = ", ".join(changes(earlier[-1], now)) if earlier else ""
        if changed:
            warn(
                f"Going on with other versions than before ({changed}): the result may not be that "
                "of an undisturbed run. It is recorded in result.json."
            )
        self.versions = earlier if earlier and not changed else [*earlier, now]

    def _found(self) -> list[tuple[tuple[int, int], Path]]:
        if not self.path.is_dir():
            return []
        matches = ((CHECKPOINT.fullmatch(child.name), child) for child in self.path.iterdir())
        return sorted(((int(m[1]), int(m[2])), child) for m, child in matches if m)


def check_checkpoint(
    checkpoint: Checkpoint,
    model: nn.Module,
    stages: Sequence[Stage],
    build_loss: Callable[[int], nn.Module | None] = lambda stage: None,
) -> None:
    """Whether a checkpoint is one of a network and its stages.

    Args:
        checkpoint: As it was read.
        model: The network; which of it is trainable is as in the checkpoint's stage afterwards.
        stages: The stages of the run.
        build_loss: The loss of a stage (from 0), if it has one.

    Raises:
        ValueError: It is of another network, other stages, or nonsense.
    """
    if checkpoint.stage >= len(stages):
        raise ValueError("it is of a stage that there isn't")
    stage, loss = stages[checkpoint.stage], build_loss(checkpoint.stage)
    _check_tensors(checkpoint.weights, model.state_dict(), "weights", "network")
    _check_tensors(checkpoint.loss, loss.state_dict() if loss else {}, "loss's state", "loss")
    trained = [*loss.parameters()] if loss else []
    if isinstance(stage, StageSettings):
        choose_trainable(model, stage.trainable)
        trained = [*trainable_parameters(model), *trained]
    shapes = [parameter.shape for parameter in trained]
    optimizer = checkpoint.optimizer
    state = optimizer.get("state") if isinstance(optimizer, dict) else None
    if not isinstance(state, dict) or not state.keys() <= set(range(len(shapes))):
        raise ValueError("its optimizer is that of another stage")
    for number, held in state.items():
        for name, value in held.items():
            fits = isinstance(value, Tensor) and value.shape in (shapes[number], torch.Size([]))
            if not fits and value is not None:
                raise ValueError(f"its optimizer's {name} is that of another stage")


def _check_tensors(
    found: dict[str, Tensor], wanted: dict[str, Tensor], what: str, owner: str
) -> None:
    if found.keys() != wanted.keys():
        raise ValueError(f"its {what} are those of another {owner}")
    for name, tensor in wanted.items():
        if (found[name].shape, found[name].dtype) != (tensor.shape, tensor.dtype):
            raise ValueError(f"its {what} {name} have another shape or type")
        if found[name].is_floating_point() and not found[name].isfinite().all():
            raise ValueError(f"its {what} {name} aren't finite")


class _State(Record):
    """What state.json says; earlier versions wrote neither versions nor digests."""

    step: int = Field(ge=1)
    history: list[JsonObject]
    versions: list[dict[str, str]] = Field([], max_length=_MOST_VERSIONS)
    sha256: dict[str, str] = Field({})


def _read_state(folder: Path) -> _State:
    """state.json, checked by itself."""
    try:
        state = _State.model_validate(parse_json(read_regular(folder / _STATE)))
    except ValidationError as error:
        raise ValueError(f"{_STATE}: {describe_invalid(error)}") from None
    check_history(state.history)
    return state


def _read(folder: Path, stage: int, epoch: int, state: _State, largest: int) -> Checkpoint:
    last = state.history[-1] if state.history else {}
    here = (last.get("stage"), last.get("epoch"), last.get("step"))
    if here != (stage + 1, epoch, state.step):
        raise ValueError(f"{_STATE} is of another epoch")
    names = [_WEIGHTS, _OPTIMIZER, *([_LOSS] if _LOSS in state.sha256 else [])]
    content = {name: read_regular(folder / name, largest) for name in names}
    for name, digest in state.sha256.items():
        if name in content and _digest(content[name]) != digest:
            raise ValueError(f"{name} isn't what was written")
    optimizer = torch.load(io.BytesIO(content[_OPTIMIZER]), map_location="cpu", weights_only=True)
    loss = load(content[_LOSS]) if _LOSS in content else {}
    weights = load(content[_WEIGHTS])
    return Checkpoint(stage, epoch, state.step, weights, optimizer, state.history, loss)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, content: bytes | memoryview) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
