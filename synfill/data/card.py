"""What a dataset's own card (README.md) says of it. Knows nothing of images."""

from pathlib import Path
from typing import Any

from synfill.data.names import origin_name
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


def local_origin(spec: str, path: Path) -> Origin:
    """The origin of a local folder or file, with the licence that the card beside it names."""
    resolved = path.resolve()
    folder, name = (resolved, resolved.name) if path.is_dir() else (resolved.parent, resolved.stem)
    return Origin(origin_name(name), spec, is_local=True, licence=licence_of(read_card(folder)))
