"""Which Parquet files make up which split: by the card's configurations, or by their names."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from synfill.data.names import canonical_split, natural_key, sort_splits, split_of_file
from synfill.errors import UsageError, suggest
from synfill.records import JsonObject


class NamesNoParquet(UsageError):
    """The chosen configuration's data is something else than Parquet."""


SplitFiles = dict[str, list[str]]
"""For every split, train first, the paths of its files below the root, in natural order."""


def split_files(
    spec: str, files: Sequence[str], card: JsonObject, config: str | None
) -> tuple[SplitFiles, tuple[str, ...]]:
    """Divide files among splits.

    Args:
        spec: What the user gave, for messages.
        files: Paths below the root, with '/'.
        card: The dataset card's header; its `configs` decide where it has any.
        config: The configuration that the user asked for.

    Returns:
        The files of every split, and notes on files that were passed over.

    Raises:
        UsageError: Several configurations and none asked for, or an unknown one; or the
            configuration's patterns match no Parquet file.
    """
    chosen = choose_config(spec, card, config)
    if chosen is None:
        files = [name for name in files if name.startswith("data/")] or files
        return _by_name(files)
    patterns = _patterns(chosen.get("data_files"))
    folder = str(chosen.get("data_dir") or "").strip("/")
    if folder:
        files = [name for name in files if name.startswith(f"{folder}/")]
    if not patterns:
        return _by_name(files)
    prefix = f"{folder}/" if folder else ""
    found = {
        split: _sorted({name for glob in globs for name in _matching(prefix + glob, files)})
        for split, globs in patterns.items()
    }
    splits = {split: found[split] for split in sort_splits(found) if found[split]}
    if not splits:
        raise NamesNoParquet(
            f"The configuration '{chosen['config_name']}' in {spec}/README.md names no Parquet "
            f"file that is there.",
            "Correct its data_files, or choose another with --config.",
        )
    return splits, ()


def choose_config(spec: str, card: JsonObject, name: str | None) -> JsonObject | None:
    """The entry of a card's `configs` that is asked for, or the default one; None without any.

    Raises:
        UsageError: Several and none asked for, or an unknown one.
    """
    listed = card.get("configs")
    configs = {
        str(entry["config_name"]): entry
        for entry in (listed if isinstance(listed, list) else [])
        if isinstance(entry, dict) and "config_name" in entry
    }
    if name is not None:
        if name not in configs:
            raise UsageError(
                f"'{spec}' has no configuration '{name}'.",
                suggest(name, configs, "configurations"),
            )
        return configs[name]
    if not configs:
        return None
    marked = [entry for entry in configs.values() if entry.get("default") is True]
    if len(configs) == 1 or len(marked) == 1:
        return (marked or list(configs.values()))[0]
    if "default" in configs:
        return configs["default"]
    raise UsageError(
        f"'{spec}' has several configurations: {', '.join(configs)}.",
        f"Choose one, e.g. --config {next(iter(configs))}.",
    )


def _patterns(data_files: Any) -> dict[str, list[str]]:
    """The globs of every split, from any of the forms that a card may write them in."""
    if isinstance(data_files, dict):
        data_files = [{"split": split, "path": path} for split, path in data_files.items()]
    if isinstance(data_files, str):
        data_files = [data_files]
    patterns: dict[str, list[str]] = {}
    for entry in data_files or []:
        if isinstance(entry, str):
            patterns.setdefault("train", []).append(entry)
        elif isinstance(entry, dict) and "path" in entry:
            paths = entry["path"] if isinstance(entry["path"], list) else [entry["path"]]
            patterns.setdefault(str(entry.get("split", "train")), []).extend(map(str, paths))
    return patterns


def _matching(glob: str, files: Sequence[str]) -> list[str]:
    pattern = re.compile(_glob_regex(glob.removeprefix("./")))
    return [name for name in files if pattern.fullmatch(name)]


def _glob_regex(glob: str) -> str:
    """A glob as a regular expression; `**` crosses folders, a folder's own name means all in it."""
    out = ""
    for token in re.findall(r"\*\*/?|\*|\?|\[[^\]/]+\]|[^*?\[]+|\[", glob.rstrip("/")):
        match token[0]:
            case "*" if token == "**/":
                out += "(?:.*/)?"
            case "*" if token == "**":
                out += ".*"
            case "*":
                out += "[^/]*"
            case "?":
                out += "[^/]"
            case "[" if len(token) > 1:
                inside = token[1:-1].replace("\\", r"\\")
                out += f"[^{inside[1:]}]" if inside[0] == "!" else f"[{inside}]"
            case _:
                out += re.escape(token)
    return f"{out}(?:/.*)?"


def _by_name(files: Sequence[str]) -> tuple[SplitFiles, tuple[str, ...]]:
    told: dict[str, list[str]] = {}
    untold = []
    for name in files:
        split = _split_of_path(name)
        if split is None:
            untold.append(name)
        else:
            told.setdefault(split, []).append(name)
    if not told:
        return {"train": _sorted(untold)}, ()
    notes = [f"{name} tells no split by its name: passed over." for name in _sorted(untold)]
    return {split: _sorted(told[split]) for split in sort_splits(told)}, tuple(notes)


def _split_of_path(name: str) -> str | None:
    path = PurePosixPath(name)
    for folder in reversed(path.parts[:-1]):
        if split := canonical_split(folder):
            return split
    return split_of_file(path.stem)


def _sorted(files: Sequence[str] | set[str]) -> list[str]:
    return sorted(files, key=natural_key)
