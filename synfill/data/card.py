"""What a dataset's own card (README.md) says of it. Knows nothing of images."""

from pathlib import Path
from typing import Any

from synfill.data.names import natural_key, origin_name
from synfill.data.source import Origin
from synfill.errors import RunError
from synfill.records import JsonObject


def read_card(folder: Path) -> JsonObject:
    """The YAML header of a folder's README.md; empty where there is none.

    Raises:
        RunError: There is a header, but it isn't YAML or can't be read.
    """
    path = folder / "README.md"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} can't be read: {error}.", "Repair or remove it.") from error
    header, closed, _ = text.removeprefix("---\n").partition("\n---")
    if not text.startswith("---\n") or not closed:
        return {}
    import yaml

    try:
        card: Any = yaml.safe_load(header)
    except yaml.YAMLError as error:
        raise RunError(
            f"The YAML header of {path} can't be read: {error}", "Repair it, or remove the header."
        ) from error
    return card if isinstance(card, dict) else {}


def licence_of(card: JsonObject) -> str:
    """The licence that a card names, "" where it names none."""
    named = card.get("license")
    if isinstance(named, list):
        return ", ".join(map(str, named))
    return named if isinstance(named, str) else ""


def card_features(card: JsonObject, config: str | None) -> dict[str, JsonObject]:
    """The image and class columns that a card's `dataset_info` tells, as `datasets` notes them.

    Args:
        card: The card's header.
        config: Which configuration; None for the only one.
    """
    told = card.get("dataset_info")
    entries = [e for e in (told if isinstance(told, list) else [told]) if isinstance(e, dict)]
    fitting = [e for e in entries if e.get("config_name", "default") == (config or "default")]
    chosen = fitting or entries
    listed = chosen[0].get("features") if len(chosen) == 1 else None
    features: dict[str, JsonObject] = {}
    for entry in listed if isinstance(listed, list) else []:
        dtype = entry.get("dtype") if isinstance(entry, dict) else None
        label = dtype.get("class_label") if isinstance(dtype, dict) else None
        names = label.get("names") if isinstance(label, dict) else None
        if isinstance(names, dict):
            # The card's keys are the numbers, as text.
            names = [names[key] for key in sorted(names, key=lambda key: natural_key(str(key)))]
        if names:
            features[entry["name"]] = {"names": [*map(str, names)], "_type": "ClassLabel"}
        elif dtype == "image":
            features[entry["name"]] = {"_type": "Image"}
    return features


def local_origin(spec: str, path: Path) -> Origin:
    """The origin of a local folder or file, with the licence that the card beside it names."""
    resolved = path.resolve()
    folder, name = (resolved, resolved.name) if path.is_dir() else (resolved.parent, resolved.stem)
    return Origin(origin_name(name), spec, is_local=True, licence=licence_of(read_card(folder)))
