"""A training run's state on disk: whole or not there, the newest one only.

A checkpoint is a folder that is made under a temporary name and renamed when all of it is synced.
Weights are safetensors; the optimizer's state is read with weights_only, so nothing that is loaded
can run code.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from synfill.errors import RunError
from synfill.files import no_room, sync_folder
from synfill.records import JsonObject
from synfill.training.folder import CHECKPOINT


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
    """

    stage: int
    epoch: int
    step: int
    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    history: list[JsonObject]


class CheckpointFolder:
    """The checkpoints of one run.

    Args:
        path: The folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then remove the older ones.

        Raises:
            RunError: The disk is full. The older checkpoint stays.
        """
        name = f"stage-{checkpoint.stage}-epoch-{checkpoint.epoch}"
        temporary = self.path / f".{name}.tmp"
        with no_room(self.path):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            # Written here and not by the libraries, which hide that a disk is full.
            _write(temporary / "model.safetensors", save(_apart(checkpoint.weights)))
            optimizer = io.BytesIO()
            torch.save(checkpoint.optimizer, optimizer)
            _write(temporary / "optimizer.pt", optimizer.getbuffer())
            state = {"step": checkpoint.step, "history": checkpoint.history}
            _write(temporary / "state.json", json.dumps(state).encode())
            sync_folder(temporary)
            # One of that name can only be one that couldn't be read.
            shutil.rmtree(self.path / name, ignore_errors=True)
            os.replace(temporary, self.path / name)
            sync_folder(self.path)
        for position, folder in self._found():
            if position < (checkpoint.stage, checkpoint.epoch):
                shutil.rmtree(folder, ignore_errors=True)

    def load(self) -> Checkpoint | None:
        """The newest checkpoint; None if there is none.

        Raises:
            RunError: It can't be read.
        """
        found = self._found()
        if not found:
            return None
        (stage, epoch), folder = found[-1]
        try:
            state = json.loads((folder / "state.json").read_bytes())
            return Checkpoint(
                stage=stage,
                epoch=epoch,
                step=int(state["step"]),
                weights=load_file(folder / "model.safetensors"),
                optimizer=torch.load(
                    folder / "optimizer.pt", map_location="cpu", weights_only=True
                ),
                history=list(state["history"]),
            )
        except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError) as error:
            raise self._damaged(folder, error) from error
        except Exception as error:
            # Both libraries raise kinds of their own on damaged files.
            if isinstance(error, SafetensorError) or type(error).__name__ == "UnpicklingError":
                raise self._damaged(folder, error) from error
            raise

    def _found(self) -> list[tuple[tuple[int, int], Path]]:
        if not self.path.is_dir():
            return []
        matches = ((CHECKPOINT.fullmatch(child.name), child) for child in self.path.iterdir())
        return sorted(((int(m[1]), int(m[2])), child) for m, child in matches if m)

    @staticmethod
    def _damaged(folder: Path, error: Exception) -> RunError:
        return RunError(
            f"The checkpoint {folder} can't be read: {error}",
            "Remove that folder: the run then begins this seed anew. Or restore it.",
        )


def _apart(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor of its own, on the CPU: safetensors holds none twice."""
    return {
        name: value.detach().to("cpu", copy=True).contiguous() for name, value in weights.items()
    }


def _write(path: Path, content: bytes | memoryview) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
