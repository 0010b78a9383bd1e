"""A finished folder -> a repository on the Hub, whole and checked, whatever breaks on the way.

What is there already isn't sent: the same push again, after a failure or a lost answer, sends only
what is missing.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from synfill import __version__
from synfill.errors import Interrupted, RunError, UsageError
from synfill.files import format_bytes
from synfill.hub.client import pushing
from synfill.hub.errors import explain_push
from synfill.hub.failures import BadAnswer, failures, reason, understand
from synfill.hub.repository import Contents
from synfill.hub.retry import ONCE_MORE, Notify, ask, patience
from synfill.hub.upload.changes import Changes, EarlierPush, plan_changes
from synfill.hub.upload.commits import Sender
from synfill.hub.upload.destination import Destination, check_again
from synfill.hub.upload.kinds import Kind
from synfill.hub.upload.listing import LocalFolder
from synfill.runs.dataset_files import CARD
from synfill.wording import counted, list_some


@dataclass(frozen=True)
class Pushed:
    """What was pushed.

    Attributes:
        kind: What it is.
        id: The repository.
        url: Its page, or the pull request's.
        revision: The branch or ref that holds it.
        files: How many files, all of which are there and were compared.
        bytes: Bytes of all of them.
        sent: How many of the files this push added or replaced there.
        kept_card: Whether a card that was edited there was kept.
    """

    kind: Kind
    id: str
    url: str
    revision: str
    files: int
    bytes: int
    sent: int
    kept_card: bool = False

    def summary(self) -> list[str]:
        """The result in a few lines."""
        what = f"all {self.files:,} files ({format_bytes(self.bytes)})"
        if self.kept_card:
            what += f" and an edited {CARD}"
        sent = (
            f"{self.sent:,} of them came with this push" if self.sent else "nothing had to be sent"
        )
        at = f", revision={self.revision!r}" if self.revision != "main" else ""
        return [
            f"{self.url} holds {what}; sizes and hashes were compared, {sent}.",
            f"Load it with {self.kind.loader}({self.id!r}{at}).",
        ]


def push_dataset(local: LocalFolder, destination: Destination, notify: Notify) -> Pushed:
    """Push a finished dataset, and read back whether it is there.

    Args:
        local: The dataset.
        destination: Where to, checked.
        notify: Takes notes.

    Raises:
        RunError: It could not be done; the message says what is there and how to go on.
        Interrupted: It was stopped with Ctrl-C.
    """
    again = f"This sends the rest: {going_on(local, destination)}"
    return push_folder(local, destination, again, notify)


def push_folder(local: LocalFolder, destination: Destination, again: str, notify: Notify) -> Pushed:
    """Push what is in a folder, and read back whether it is there.

    Args:
        local: The folder.
        destination: Where to, checked, for the same kind.
        again: How a push that broke off goes on, as a sentence.
        notify: Takes notes.

    Raises:
        RunError: It could not be done; the message says what is there and how to go on.
        Interrupted: It was stopped with Ctrl-C.
    """
    try:
        local.check()
    except KeyboardInterrupt:
        raise Interrupted("Stopped before anything was sent.", again) from None
    with pushing(notify):
        try:
            return _push(local, destination, notify)
        except KeyboardInterrupt:
            raise Interrupted(
                f"Stopped. What {destination.id} has received is kept.", again
            ) from None
        except RunError as error:
            raise RunError(error.message, f"{error.hint}\n{again}".lstrip()) from error
        except failures() as error:
            kind = destination.kind
            what = f"The push to {destination.id}"
            explained = explain_push(error, what, kind.name, kind.card_hint)
            raise RunError(
                f"{explained.message}\n{_state(local, destination)}",
                f"{explained.hint}\n{again}".lstrip(),
            ) from error


def going_on(local: LocalFolder, destination: Destination) -> str:
    """The command that goes on with the push of a dataset."""
    settings = destination.settings
    words = ["synfill", "push", str(local.path), destination.id]
    if settings.private is not None:
        words.append("--private" if settings.private else "--public")
    if settings.revision is not None:
        words += ["--revision", settings.revision]
    if settings.commit_message is not None:
        words += ["--commit-message", settings.commit_message]
    words += ["--create-pr"] * settings.create_pr + ["--overwrite"] * settings.overwrite
    return shlex.join(words)


def _push(local: LocalFolder, destination: Destination, notify: Notify) -> Pushed:
    if local.left_out:
        notify(f"Not pushed, as the run didn't write it: {list_some(local.left_out)}.")
    destination = check_again(destination, local, notify)
    id, branch = destination.id, destination.settings.revision
    _make(destination)
    seen = destination.look(branch)
    if destination.private and not seen.private:
        raise RunError(
            f"{id} is public, though it was to be private. Nothing was sent.",
            "Make it private in its settings on the Hub, or push to it with --public.",
        )
    changes = _plan(local, destination, seen)
    for note in changes.notes:
        notify(note)
    revision, url, sent = branch or "main", destination.url, 0
    if changes.add or changes.remove:
        message = destination.settings.commit_message
        message = message or f"{destination.kind.title}, by synfill {__version__}"
        sender = Sender(local, destination, message)
        rest = changes
        if destination.settings.create_pr:
            revision, sent = sender.open_pull_request(
                seen, changes, lambda: _announce(local, changes, notify)
            )
            url = f"{destination.url}/discussions/{revision.rpartition('/')[2]}"
            seen = destination.look(revision)
            rest = _plan(local, destination, seen)
        if rest.add or rest.remove:
            if not sent:
                _announce(local, rest, notify)
            sender.send(revision, seen, rest)
        sent += len(rest.add)
        now = destination.look(revision)
        _compare(local, id, now, changes)
        if destination.private and not now.private:
            raise RunError(
                f"{id} was made public while this was sent. It is all there, and anyone can see "
                "it.",
                "Make it private again in its settings on the Hub, or leave it.",
            )
    count, size = len(local.files), local.bytes
    if changes.keep:
        count, size = count - 1, size - local.files[CARD]
    return Pushed(destination.kind, id, url, revision, count, size, sent, bool(changes.keep))


def _compare(local: LocalFolder, id: str, seen: Contents, changes: Changes) -> None:
    """Hold what is there now against what should be.

    Raises:
        RunError: It isn't the same.
    """
    left = [name for name in local.missing_in(seen.files) if name not in changes.keep]
    left += [name for name in changes.remove if name in seen.files]
    if left:
        raise RunError(
            f"{id} was pushed to, but {len(left):,} files there are not as they are here: "
            f"{', '.join(left[:5])}.",
            "Someone else may write to it.",
        )


def _make(destination: Destination) -> None:
    """Make the repository and the branch, where they aren't there."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    api, id, kind = HfApi(), destination.id, destination.kind

    def make_repository() -> None:
        try:
            understand(
                lambda: api.create_repo(
                    id, repo_type=kind.name, private=destination.private, exist_ok=True
                )
            )
        except BadAnswer as error:
            # It may have been made all the same.
            try:
                with patience(ONCE_MORE):
                    destination.look()
            except RepositoryNotFoundError:
                raise error from None

    if not destination.exists:
        ask("Making the repository", make_repository)
    branch = destination.settings.revision
    if branch is not None and not destination.has_branch:
        ask(
            f"Making the branch {branch}",
            lambda: api.create_branch(id, branch=branch, repo_type=kind.name, exist_ok=True),
        )


def _plan(local: LocalFolder, destination: Destination, seen: Contents) -> Changes:
    # Where only files of this folder are, no record is needed to tell whose they are.
    record = None if local.is_all_of(seen.files) else destination.read_record(seen)
    earlier = EarlierPush(record, destination.kind, lambda name: destination.fetch(seen, name))
    try:
        return plan_changes(local, destination.id, seen.files, earlier, destination.may_replace)
    except UsageError as error:
        raise RunError(error.message, error.hint) from error


def _announce(local: LocalFolder, changes: Changes, notify: Notify) -> None:
    if not changes.add:
        return
    size = sum(local.files[name] for name in changes.add)
    there = len(local.files) - len(changes.add) - len(changes.keep)
    known = f" ({there:,} {'is' if there == 1 else 'are'} there already)" if there else ""
    notify(f"Sending {counted(len(changes.add), 'file')}, {format_bytes(size)}{known}.")


def _state(local: LocalFolder, destination: Destination) -> str:
    """What is up there and what is missing, as far as the Hub still answers."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        # Not all the patience of a push again.
        with patience(ONCE_MORE, lambda line: None):
            remote = destination.look(destination.settings.revision).files
    except (RepositoryNotFoundError, RevisionNotFoundError):
        return f"{destination.id} holds nothing of it yet."
    except failures() as error:
        return f"What {destination.id} holds couldn't be asked: {reason(error)}."
    missing = local.missing_in(remote)
    size = format_bytes(sum(local.files[name] for name in missing))
    if not missing:
        return f"All {len(local.files):,} files are in {destination.id}."
    return (
        f"{len(local.files) - len(missing):,} of {len(local.files):,} files are in "
        f"{destination.id}; {len(missing):,} are missing ({size}): {list_some(missing, 3)}. What "
        "was already transferred of these isn't sent again."
    )
