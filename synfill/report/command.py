"""The command that does a run again, as a card shows it to strangers. Pure text."""

from __future__ import annotations

import shlex
from pathlib import Path, PurePosixPath, PureWindowsPath

from synfill.config.balance import PUSHING, BalanceSettings

# What only matters on one machine.
_OWN_MATTERS = {
    "source",
    "out",
    "overwrite",
    "dry_run",
    "batch_size",
    "device",
    "engine",
    "offload",
    *PUSHING,
    # No options of the command.
    "check",
}
_MAY_BE_PATHS = {"source", "model", "lora", "target", "prompts"}


def command_line(settings: BalanceSettings) -> tuple[str, tuple[str, ...]]:
    """The command that does this run, and what in it nobody else has.

    Args:
        settings: The run's settings.

    Returns:
        The command, in the user's own words: a relative path stands as it was given, of an
        absolute one only the last part, as the rest is nobody's business. And the names in it of
        files and folders of whoever ran it.
    """
    words = ["synfill", "balance", _shared(settings.source)]
    own = [_shared(settings.source)] if _is_path(settings.source) else []
    for name, info in BalanceSettings.model_fields.items():
        value = getattr(settings, name)
        if name in _OWN_MATTERS or value == info.default:
            continue
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif isinstance(value, dict):
            words += [option, f"{name}.yaml"]
            own.append(f"{name}.yaml")
        else:
            for one in value if isinstance(value, tuple) else (value,):
                text = f"{one:g}" if isinstance(one, float) else str(one)
                if name in _MAY_BE_PATHS and _is_path(text):
                    text = _shared(text)
                    own.append(text)
                words += [option, text]
    return shlex.join(words), tuple(dict.fromkeys(own))


def _is_path(text: str) -> bool:
    return Path(text).expanduser().exists()


def _shared(text: str) -> str:
    """A path as strangers may see it; anything else as it is."""
    is_absolute = text.startswith("~") or any(
        kind(text).is_absolute() for kind in (PurePosixPath, PureWindowsPath)
    )
    if not _is_path(text) or not (is_absolute or ".." in Path(text).parts or text == "."):
        return text
    return Path(text).expanduser().resolve().name or text
