"""What a dataset's own card (README.md) says of it. Knows nothing of images.

A card is a stranger's: it is read with limits, and where it says nonsense the data are read as if
it said nothing of the kind, with a note.
"""

from pathlib import Path
from typing import Any

from synfill.config.yaml import parse_yaml
from synfill.data.source import Origin
from synfill.data.sources.configs import config_fault
from synfill.errors import UsageError
from synfill.names import natural_key, origin_name
from synfill.reading import read_regular
from synfill.records import JsonObject

_LARGEST_CARD = 16 << 20
_LARGEST_HEADER = 2 << 20
"""Bytes; the class names of ImageNet-21k take a third of it."""

Notes = tuple[str, ...]


def read_card(folder: Path) -> tuple[JsonObject, Notes]:
    """The YAML header of a folder's README.md, without what is nonsense in it.

    Args:
        folder: The folder.

    Returns:
        The header, empty where there is none; and a note on each part that was passed over.
    """
    path = folder / "README.md"
    try:
        text = read_regular(path, _LARGEST_CARD).decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return {}, ()
    except (OSError, UnicodeDecodeError) as error:
        return {}, (f"{path} can't be read ({error}): the data are read as if there were none.",)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    header, closed, _ = text.removeprefix("---\n").partition("\n---")
    if not text.startswith("---\n") or not closed:
        return {}, ()
    try:
        if len(header) > _LARGEST_HEADER:
            raise UsageError(f"{path} has a header of {len(header):,} characters.")
        # With the line that was cut off, so that the lines in messages are the file's.
        card: Any = parse_yaml(f"---\n{header}", str(path)).content
    except UsageError as error:
        return {}, (f"{error.message}\nThe data are read as if there were no such header.",)
    return _without_nonsense(card if isinstance(card, dict) else {}, path)


def _without_nonsense(card: JsonObject, path: Path) -> tuple[JsonObject, Notes]:
    faults = {"configs": config_fault(card), "dataset_info": _info_fault(card)}
    notes = tuple(
        f"{path}: {fault}. The data are read as if '{key}' weren't there."
        for key, fault in faults.items()
        if fault
    )
    return {key: value for key, value in card.items() if not faults.get(key)}, notes


def licence_of(card: JsonObject) -> str:
    """The licence that a card names, "" where it names none."""
    named = card.get("license")
    licence = ", ".join(map(str, named)) if isinstance(named, list) else named
    return licence if isinstance(licence, str) and len(licence) <= 200 else ""


def card_features(card: JsonObject, config: str | None) -> dict[str, JsonObject]:
    """The image and class columns that a card's `dataset_info` names, as `datasets` notes them.

    Args:
        card: The card's header, as `read_card` gives it.
        config: Which configuration; None for the only one.
    """
    entries = _as_list(card.get("dataset_info"))
    fitting = [e for e in entries if e.get("config_name", "default") == (config or "default")]
    chosen = fitting or entries
    features: dict[str, JsonObject] = {}
    for entry in (chosen[0].get("features") or []) if len(chosen) == 1 else []:
        dtype = entry.get("dtype")
        label = dtype.get("class_label") if isinstance(dtype, dict) else None
        names = label.get("names") if isinstance(label, dict) else None
        if isinstance(names, dict):
            # The card's keys are the numbers, as text.
            names = [names[key] for key in sorted(names, key=lambda key: natural_key(str(key)))]
        if names:
            features[entry["name"]] = {"names": names, "_type": "ClassLabel"}
        elif dtype == "image":
            features[entry["name"]] = {"_type": "Image"}
    return features


def _info_fault(card: JsonObject) -> str:
    """What is wrong with a card's `dataset_info`; "" if nothing is."""
    for number, entry in enumerate(_as_list(card.get("dataset_info"))):
        where = f"dataset_info, entry {number}" if number else "dataset_info"
        if not isinstance(entry, dict):
            return f"{where} should be a mapping, not {entry!r:.60}"
        for column in _as_list(entry.get("features")):
            name = column.get("name") if isinstance(column, dict) else None
            if not isinstance(name, str):
                return f"{where}, features: {column!r:.60} is no column with a name"
            dtype = column.get("dtype")
            label = dtype.get("class_label") if isinstance(dtype, dict) else None
            if label is not None and not (
                isinstance(label, dict) and isinstance(label.get("names") or [], dict | list)
            ):
                return f"{where}, features, {name}: class_label has no list of names"
    return ""


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def card_folder(path: Path) -> Path:
    """Where the card of a local folder or file is."""
    resolved = path.resolve()
    return resolved if path.is_dir() else resolved.parent


def local_origin(spec: str, path: Path, card: JsonObject) -> Origin:
    """The origin of a local folder or file, with the licence that its card names."""
    name = path.resolve().name if path.is_dir() else path.resolve().stem
    return Origin(origin_name(name), spec, is_local=True, licence=licence_of(card))
