"""A LoRA: where its one file is, and which version of it. Knows neither torch nor diffusers."""

from __future__ import annotations

import os
from pathlib import Path

from synfill.errors import UsageError
from synfill.generation.models.folder import fingerprint_model
from synfill.hub.snapshot import REPO_ID, snapshot


def find_lora(lora: str | None) -> tuple[str, str]:
    """What a LoRA is loaded from and its revision; nothing is fetched but its commit.

    Args:
        lora: What the user wrote: a file, a folder, or a Hub id.

    Returns:
        An absolute path or Hub id, and a fingerprint or commit; two empty texts for none.

    Raises:
        UsageError: There is no such LoRA.
    """
    if not lora:
        return "", ""
    path = Path(os.path.expanduser(lora))
    if os.path.exists(path):
        return str(path.resolve()), fingerprint_model(lora_file(path.resolve()))
    if not REPO_ID.fullmatch(lora):
        raise UsageError(
            f"There is no LoRA '{lora}': it is no file, no folder, and no Hub id (owner/name).",
            "Check the spelling.",
        )
    return lora, snapshot(lora, None, ["README.md"], "LoRA").name


def lora_file(path: Path) -> Path:
    """The one safetensors file of a LoRA.

    Args:
        path: The file, or a folder with it.

    Raises:
        UsageError: None in the folder, several, or a file of another kind.
    """
    if path.is_file():
        if path.suffix != ".safetensors":
            raise UsageError(
                f"The LoRA {path} is no .safetensors file; other files can run code when read.",
                "Convert it once where you trust it.",
            )
        return path
    files = sorted(path.glob("*.safetensors"))
    usual = path / "pytorch_lora_weights.safetensors"
    if usual in files:
        return usual
    if len(files) != 1:
        listed = ", ".join(file.name for file in files[:10]) or "none"
        raise UsageError(
            f"A LoRA folder must have one .safetensors file; in {path} there is: {listed}.",
            "Name the file itself.",
        )
    return files[0]
