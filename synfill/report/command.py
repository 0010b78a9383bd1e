"""The command that does a run again, as a card shows it to strangers. Pure text."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from synfill.config.balance import PUSHING, BalanceSettings
from synfill.config.settings import appearance
from synfill.config.yaml import format_yaml

# What only matters on one machine.
_OWN_MATTERS = {
    "source", "out", "overwrite", "dry_run", "batch_size", "device", "engine", "offload", *PUSHING,
}  # fmt: skip
_SETTINGS_FILE = "settings.yaml"
_MAY_BE_PATHS = {"source", "model", "lora", "target", "prompts"}


@dataclass(frozen=True)
class RunCommand:
    """How a run is done again.

    Attributes:
        line: The command, in the user's own words: a relative path stands as it was given, of an
            absolute one only the last part, as the rest is nobody's business.
        settings: The content of the settings file that it names: what is no option of the command;
            "" where it names none.
        not_shared: The names in it of files and folders that only whoever ran it has.
    """

    line: str
    settings: str
    not_shared: tuple[str, ...]


def make_command(settings: BalanceSettings) -> RunCommand:
    """The command that does a run again."""
    words = ["synfill", "balance", _shared(settings.source)]
    own = [_shared(settings.source)] if _is_path(settings.source) else []
    for name, info in BalanceSettings.model_fields.items():
        value = getattr(settings, name)
        in_files_only = appearance(info)["in_files_only"]
        if name in _OWN_MATTERS or in_files_only or value == info.default:
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
    if in_file := _settings_of_files(settings):
        words += ["--settings", _SETTINGS_FILE]
    return RunCommand(shlex.join(words), in_file, tuple(dict.fromkeys(own)))


def _settings_of_files(settings: BalanceSettings) -> str:
    """What was chosen that only a settings file takes, as such a file; "" for nothing."""
    chosen = {
        name: value
        for name, value in settings.model_dump(mode="json").items()
        if appearance(BalanceSettings.model_fields[name])["in_files_only"]
        and name not in _OWN_MATTERS
        and value
    }
    return format_yaml(chosen) if chosen else ""


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
