"""What a push changes on the Hub, and what there it leaves as it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from synfill.errors import UsageError
from synfill.hub.repository import RemoteFile
from synfill.hub.upload.kinds import Kind
from synfill.hub.upload.listing import LocalFolder
from synfill.hub.upload.ours import is_read_with, listed_files, wrote
from synfill.records import JsonObject
from synfill.runs.dataset_files import CARD, RUN
from synfill.wording import counted, list_some


@dataclass(frozen=True)
class Changes:
    """What a push does.

    Attributes:
        add: Files that are sent: they aren't there, or are other ones.
        remove: Files that are removed there.
        keep: Files of ours that someone edited there, which stay as they are.
        notes: What the user should know of it.
    """

    add: list[str]
    remove: list[str]
    keep: list[str]
    notes: list[str]


class EarlierPush:
    """What the record of an earlier push, in the repository, says of a file there.

    Args:
        record: The run.json there; None where there is none.
        kind: What the repository holds.
        read: Gives the content of a file there.
    """

    def __init__(self, record: JsonObject | None, kind: Kind, read: Callable[[str], bytes]) -> None:
        self._listed = listed_files(record) if record is not None else {}
        self._wrote = wrote(record, kind) if record is not None else (lambda name: False)
        self._read = read

    def names(self, remote: Mapping[str, RemoteFile]) -> list[str]:
        """The files there that it wrote, changed since or not."""
        if self._listed is None:
            return [name for name in remote if self._wrote(name)]
        return [name for name in remote if name in self._listed or name == RUN]

    def is_untouched(self, name: str, file: RemoteFile) -> bool:
        """Whether a file there is what that push made it, so that it may be replaced."""
        if name == RUN:
            return True
        if self._listed is None:
            # Without hashes nobody can tell; what people edit is taken for edited.
            return name != CARD and self._wrote(name)
        entry = self._listed.get(name)
        if entry is None or file.size != entry.bytes:
            return False
        # Of a file in git itself the Hub lists git's hash only.
        return (file.sha256 or hashlib.sha256(self._read(name)).hexdigest()) == entry.sha256


def plan_changes(
    local: LocalFolder,
    id: str,
    remote: Mapping[str, RemoteFile],
    earlier: EarlierPush,
    replace: bool,
) -> Changes:
    """Decide what is sent, replaced, removed and kept. Asks for contents, changes nothing.

    What others put or changed there stays, unless it stands where our files go: then nothing is
    done, or, with `replace`, it is replaced.

    Args:
        local: What is to be there.
        id: The repository.
        remote: What is there.
        earlier: What an earlier push wrote of it.
        replace: Whether what others put there may be replaced where it stands in the way.

    Raises:
        UsageError: Someone else's file stands where one of ours goes.
    """
    add, keep, in_the_way = [], [], []
    for name in local.missing_in(remote):
        if name not in remote or replace or earlier.is_untouched(name, remote[name]):
            add.append(name)
        elif name == CARD:
            keep.append(name)
        else:
            in_the_way.append(name)
    if in_the_way:
        them, are = ("them", "are") if len(in_the_way) > 1 else ("it", "is")
        raise UsageError(
            f"{counted(len(in_the_way), 'file')} in {id} {are} not as the earlier push left "
            f"{them}: {list_some(sorted(in_the_way))}.",
            "Choose another id, or add --overwrite to replace what was changed there.",
        )
    remove: list[str] = []
    changed: list[str] = []
    for name in earlier.names(remote):
        if name not in local.files:
            (remove if earlier.is_untouched(name, remote[name]) else changed).append(name)
    others = [name for name in remote if name not in local.files and name not in remove]
    strangers = list(filter(is_read_with(local.files), others))
    listed = list_some(sorted(strangers))
    notes = []
    if keep:
        notes.append(
            f"{CARD} in {id} was edited since the run wrote it, and is kept. --overwrite replaces "
            "it by the one here."
        )
    if strangers and replace:
        remove += strangers
        notes.append(f"Removing from {id} what would be read as part of the dataset: {listed}.")
    elif strangers:
        notes.append(
            f"{counted(len(strangers), 'file')} in {id} {'are' if len(strangers) > 1 else 'is'} "
            f"not of this dataset, but will be read with it: {listed}. --overwrite removes such "
            "files."
        )
    folders = {name.partition("/")[0] for name in local.files if "/" in name}
    left = sorted(
        name
        for name in others
        if name not in strangers and (name in changed or name.partition("/")[0] in folders)
    )
    if left:
        what = "they are" if len(left) > 1 else "it is"
        notes.append(f"Left as {what} in {id}: {list_some(left)}.")
    return Changes(add, remove, keep, notes)
