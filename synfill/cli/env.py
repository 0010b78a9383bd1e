"""`synfill env`: what a bug report needs."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
from pathlib import Path

from rich.table import Table

from synfill import __version__
from synfill.cli.output import stdout
from synfill.files import format_bytes

_LIBRARIES = (
    "torch", "torchvision", "diffusers", "transformers", "accelerate", "datasets",
    "huggingface-hub", "pillow", "pyarrow", "numpy", "pydantic", "typer", "peft",
)  # fmt: skip


def env() -> None:
    """Print what a bug report needs: versions, devices, disk, Hub login (never the token).

    Example: [bold]synfill env[/bold]
    """
    table = Table(box=None, show_header=False, pad_edge=False)
    rows = [
        ("synfill", __version__),
        ("python", f"{platform.python_version()} ({platform.python_implementation()})"),
        ("system", platform.platform()),
        *((name, _version(name)) for name in _LIBRARIES),
        *_devices(),
        ("disk", f"{format_bytes(shutil.disk_usage(Path.cwd()).free)} free here"),
        ("Hub login", _login()),
    ]
    for name, value in rows:
        table.add_row(name, value)
    stdout().print(table, markup=False)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _devices() -> list[tuple[str, str]]:
    import os

    try:
        import torch
    except ImportError as error:
        # A report on a broken installation is what this command is for.
        return [("devices", f"torch can't be imported: {error}")]
    rows = [("cpu", f"{os.cpu_count()} cores, {_memory()}, {torch.get_num_threads()} threads")]
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        memory = format_bytes(found.total_memory)
        rows.append((f"cuda:{index}", f"{found.name}, {memory}, CUDA {torch.version.cuda}"))
    if torch.backends.mps.is_available():
        rows.append(("mps", "available"))
    return rows


def _memory() -> str:
    import psutil

    return f"{format_bytes(psutil.virtual_memory().total)} memory"


def _login() -> str:
    from huggingface_hub import get_token

    return "yes (a token is set)" if get_token() else "no (hf auth login)"
