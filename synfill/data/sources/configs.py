"""Which Parquet files make up which split: by the card's configurations, or by their names."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synfill.errors import RunError, UsageError, suggest
from synfill.names import (
    canonical_split,
    check_path,
    check_split,
    natural_key,
    sort_splits,
    split_of_file,
)
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
        RunError: A split's name can't be one, or a pattern leads out of the dataset or is none.
    """
    for name in files:
        check_path(name, spec)
    chosen = choose_config(spec, card, config)
    if chosen is None:
        files = [name for name in files if name.startswith("data/")] or files
        return _by_name(files)
    where = f"{spec}/README.md, configs, {chosen['config_name']}"
    patterns = _checked_patterns(chosen, where)
    folder = str(chosen.get("data_dir") or "").removeprefix("./").strip("/")
    if folder:
        files = [name for name in files if name.startswith(f"{folder}/")]
    if not patterns:
        return _by_name(files)
    prefix = f"{folder}/" if folder else ""
    found = {
        split: _sorted({n for glob in globs for n in _matching(prefix + glob, files, where)})
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


def check_configs(spec: str, card: JsonObject) -> None:
    """Check all configurations of a card, before another reader follows their patterns.

    Raises:
        RunError: As `split_files` raises it.
    """
    for name, entry in _configs(card).items():
        _checked_patterns(entry, f"{spec}/README.md, configs, {name}")


def config_fault(card: JsonObject) -> str:
    """What makes a card's `configs` nonsense, for a message; "" if nothing does."""
    listed = card.get("configs")
    if listed is None:
        return ""
    if not isinstance(listed, list):
        return f"'configs' should be a list, not {listed!r:.60}"
    for number, entry in enumerate(listed, start=1):
        where = f"configs, entry {number}"
        if not isinstance(entry, dict):
            return f"{where} should be a mapping, not {entry!r:.60}"
        if not isinstance(entry.get("config_name", ""), str | int | float):
            return f"{where}: config_name should be text"
        if not isinstance(entry.get("data_dir") or "", str):
            return f"{where}: data_dir should be a path, not {entry['data_dir']!r:.60}"
        for split, path in _pairs(entry.get("data_files")):
            if not isinstance(path, str):
                shown = f"the path of {split!r:.60}" if path is not None else f"{split!r:.60}"
                return f"{where}: data_files should hold patterns of paths, not {shown}"
    return ""


def choose_config(spec: str, card: JsonObject, name: str | None) -> JsonObject | None:
    """The entry of a card's `configs` that is asked for, or the default one; None without any.

    Raises:
        UsageError: Several and none asked for, or an unknown one.
    """
    configs = _configs(card)
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


def _configs(card: JsonObject) -> dict[str, JsonObject]:
    return {
        str(entry["config_name"]): {**entry, "config_name": str(entry["config_name"])}
        for entry in card.get("configs") or []
        if "config_name" in entry
    }


def _pairs(data_files: Any) -> list[tuple[Any, Any]]:
    """(split, pattern) pairs from any of the forms that a card may write them in.

    What is no pattern comes as it is: (split, it) where a split is named, else (it, None).
    """
    if isinstance(data_files, dict):
        data_files = [{"split": split, "path": path} for split, path in data_files.items()]
    pairs: list[tuple[Any, Any]] = []
    listed = data_files if isinstance(data_files, list) else [data_files]
    for entry in listed if data_files is not None else []:
        if isinstance(entry, str):
            pairs.append(("train", entry))
        elif isinstance(entry, dict) and entry.get("path"):
            paths = entry["path"] if isinstance(entry["path"], list) else [entry["path"]]
            pairs += [(entry.get("split", "train"), path) for path in paths]
        else:
            pairs.append((entry, None))
    return pairs


def _checked_patterns(config: JsonObject, where: str) -> dict[str, list[str]]:
    """The globs of every split; none of them may lead out of the dataset."""
    if folder := str(config.get("data_dir") or "").removeprefix("./"):
        check_path(folder, f"{where}, data_dir")
    patterns: dict[str, list[str]] = {}
    for split, glob in _pairs(config.get("data_files")):
        name = check_split(str(split), f"{where}, data_files")
        for part in glob.split("::"):
            # Another reader follows addresses, and knows whose home `~` is.
            if not _ADDRESS.match(part):
                is_elsewhere = part.startswith("~") or "://" in part
                check_path(f"/{part}" if is_elsewhere else part, f"{where}, data_files")
        patterns.setdefault(name, []).append(glob)
    return patterns


_ADDRESS = re.compile(r"(https?|hf|zip|gzip|bz2|lz4|xz|zstd)://(?!.*\.\.)")


def _matching(glob: str, files: Sequence[str], where: str) -> list[str]:
    pattern = f"(?s)^(?:{_glob_regex(glob.removeprefix('./'))})$"
    try:
        # Not Python's `re`: a pattern of many stars would take it hours.
        found = pc.match_substring_regex(pa.array(files, pa.string()), pattern).to_pylist()
    except pa.ArrowException as error:
        raise RunError(
            f"{where}, data_files: the pattern {glob!r:.80} can't be read: {error}",
            "Correct it there.",
        ) from None
    return [name for name, matches in zip(files, found, strict=True) if matches]


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
    found: dict[str, list[str]] = {}
    others = []
    for name in files:
        split = _split_of_path(name)
        if split is None:
            others.append(name)
        else:
            found.setdefault(split, []).append(name)
    if not found:
        return {"train": _sorted(others)}, ()
    notes = [f"{name} tells no split by its name: passed over." for name in _sorted(others)]
    return {split: _sorted(found[split]) for split in sort_splits(found)}, tuple(notes)


def _split_of_path(name: str) -> str | None:
    path = PurePosixPath(name)
    for folder in reversed(path.parts[:-1]):
        if split := canonical_split(folder):
            return split
    return split_of_file(path.stem)


def _sorted(files: Sequence[str] | set[str]) -> list[str]:
    return sorted(files, key=natural_key)
