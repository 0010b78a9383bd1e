"""Which files in the output folder of `synfill train` are a run's own: what run.json lists.

A file of a known name may be a user's, or edited since: --overwrite takes only what is as a run
wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from synfill.errors import RunError, UsageError
from synfill.files import atomic_write
from synfill.reading import parse_json, read_regular
from synfill.records import JsonObject
from synfill.runs.written import Comparer, FileEntry, list_written

RUN, METHOD = "run.json", "method.json"
_SHOWN = 5


class _Record(BaseModel):
    """What run.json says besides the identity.

    Attributes:
        files: Path below OUT, with '/' -> what a run wrote there; None in the records of versions
            up to 0.1.
        is_open: Whether a run is at work, or was killed: it has not listed its files yet.
    """

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    files: dict[str, FileEntry] | None = None
    is_open: bool = False


_KEYS = frozenset(_Record.model_fields)


def own_files(out: Path, paths: Sequence[Path]) -> dict[str, JsonObject]:
    """The files in OUT that runs wrote: those that the record lists and that are as it says, and
    of a run that listed none yet those that are newer than it.

    Args:
        out: The folder.
        paths: Where runs leave their files in it, as far as there are such.
    """
    own = [path for path in paths if not path.is_symlink()]
    foreign = {path for path, _ in _foreign(out, own)}
    return list_written(out, [path for path in own if path not in foreign])


def _foreign(out: Path, paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Those of some files of known names that no run of ours wrote, or that were changed since."""
    try:
        record = _read_record(out)
    except RunError:
        # Of a damaged record the names must do.
        record = _Record()
    if record is None:
        return [(path, "") for path in paths]
    if record.files is None:
        # A version without hashes wrote it: it only wrote where it had left its records.
        return [(path, "") for path in paths if path.is_symlink() or not path.is_file()]
    since = (out / RUN).stat().st_mtime_ns if record.is_open else None
    comparer = Comparer()
    found = []
    for path in paths:
        entry = record.files.get(path.relative_to(out).as_posix())
        if path.name == METHOD and path.is_file() and not path.is_symlink():
            # A record, damaged maybe, but never a user's work.
            continue
        if since is not None and not path.is_symlink() and path.stat().st_mtime_ns >= since:
            continue
        if entry is None:
            found.append((path, ""))
        elif not comparer.is_same(path, entry):
            found.append((path, " (changed since)"))
    return found


def refuse_foreign(out: Path, paths: Sequence[Path]) -> None:
    """Stop before files that no run of ours wrote are replaced.

    Args:
        out: The output folder.
        paths: What is there and would be replaced.

    Raises:
        UsageError: Some of it isn't ours, or was changed since.
    """
    foreign = _foreign(out, paths)
    if foreign:
        shown = "\n".join(
            f"  {path.relative_to(out).as_posix()}{why}" for path, why in foreign[:_SHOWN]
        )
        more = len(foreign) - _SHOWN
        raise UsageError(
            f"In {out} stands what synfill train didn't write, where it would write:\n{shown}"
            + (f"\n  ... and {more:,} more" if more > 0 else ""),
            "Move it elsewhere, or choose another --out.",
        )


def write_record(path: Path, content: JsonObject) -> None:
    """Write an identity and what stands beside it, whole or not at all."""
    with atomic_write(path) as file:
        file.write((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def read_identity(path: Path, ignore_damage: bool = False) -> JsonObject | None:
    """An identity that was written down, without what stands beside it; None if there is none.

    Raises:
        RunError: It is damaged, and that isn't to be ignored.
    """
    try:
        content = parse_json(read_regular(path))
        if not isinstance(content, dict) or not content:
            raise ValueError("it holds no object")
        return {key: value for key, value in content.items() if key not in _KEYS}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        if ignore_damage:
            return None
        raise RunError(
            f"{path} is damaged ({error}).",
            "Restore it, choose another --out, or add --overwrite to begin anew.",
        ) from None


def _read_record(out: Path) -> _Record | None:
    """What run.json says of the run's files; None if there is none.

    Raises:
        RunError: It is damaged.
    """
    path = out / RUN
    if read_identity(path) is None:
        return None
    try:
        return _Record.model_validate(parse_json(read_regular(path)))
    except ValidationError as error:
        raise RunError(
            f"{path} is damaged ({error.errors()[0]['msg']}).",
            "Restore it, choose another --out, or add --overwrite to begin anew.",
        ) from None


def is_open(out: Path) -> bool:
    """Whether a run is at work here, or was killed, and hasn't listed its files."""
    record = _read_record(out)
    return record is not None and record.is_open
