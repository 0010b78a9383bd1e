"""A finished folder -> a repository on the Hub, whole and checked, whatever breaks on the way.

Sent with huggingface_hub's own `upload_folder`, which leaves out what is there already: calling it
again after a failure, or after a commit whose answer was lost, sends only what is missing.
"""

from __future__ import annotations

import glob
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from synfill import __version__
from synfill.errors import Interrupted, RunError
from synfill.files import format_bytes
from synfill.patience import Patience, Tell, ask, failures, reason
from synfill.publish.client import patient_client
from synfill.publish.destination import Destination
from synfill.publish.explain import explain
from synfill.publish.kinds import Kind
from synfill.publish.listing import LocalFolder, RemoteFile, list_remote

_NEWEST_PULL_REQUESTS = 10
_ONCE_MORE = Patience(tries=2)


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
        sent: How many of the files were not there before.
    """

    kind: Kind
    id: str
    url: str
    revision: str
    files: int
    bytes: int
    sent: int

    def summary(self) -> list[str]:
        """The result in a few lines."""
        what = f"all {self.files:,} files ({format_bytes(self.bytes)})"
        told = f"{self.sent:,} were sent now" if self.sent else "nothing had to be sent"
        at = f", revision={self.revision!r}" if self.revision != "main" else ""
        return [
            f"{self.url} holds {what}; sizes and hashes were compared, {told}.",
            f"Load it with {self.kind.loader}({self.id!r}{at}).",
        ]


def push_dataset(local: LocalFolder, destination: Destination, tell: Tell) -> Pushed:
    """Push a finished dataset, and read back whether it is there.

    Args:
        local: The dataset.
        destination: Where to, checked.
        tell: Where notes go.

    Raises:
        RunError: It could not be done; the message says what is there and how to go on.
        Interrupted: It was stopped with Ctrl-C.
    """
    again = f"This sends the rest: {going_on(local, destination)}"
    return push_folder(local, destination, again, tell)


def push_folder(local: LocalFolder, destination: Destination, again: str, tell: Tell) -> Pushed:
    """Push what is in a folder, and read back whether it is there.

    Args:
        local: The folder.
        destination: Where to, checked, for the same kind.
        again: How a push that broke off goes on, as a sentence.
        tell: Where notes go.

    Raises:
        RunError: It could not be done; the message says what is there and how to go on.
        Interrupted: It was stopped with Ctrl-C.
    """
    with patient_client(tell):
        try:
            return _push(local, destination, again, tell)
        except KeyboardInterrupt:
            raise Interrupted(
                f"Stopped. What {destination.id} has received is kept.", again
            ) from None
        except failures() as error:
            explained = explain(error, f"The push to {destination.id}", destination.kind)
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


def _push(local: LocalFolder, destination: Destination, again: str, tell: Tell) -> Pushed:
    from huggingface_hub import HfApi

    api, id, settings = HfApi(), destination.id, destination.settings
    if not destination.exists:
        ask(
            "Making the repository",
            lambda: api.create_repo(
                id, repo_type=destination.kind.name, private=settings.private, exist_ok=True
            ),
            tell,
        )
    branch = settings.revision
    if branch is not None and not destination.has_branch:
        ask(
            f"Making the branch {branch}",
            lambda: api.create_branch(
                id, branch=branch, repo_type=destination.kind.name, exist_ok=True
            ),
            tell,
        )
    remote = list_remote(destination.kind, id, branch, tell)
    missing, surplus = local.missing_in(remote), local.surplus_in(remote)
    revision, url = branch or "main", destination.url
    if missing or surplus:
        if settings.create_pr:
            revision = _open_pull_request(local, destination, surplus, tell)
            url = f"{destination.url}/discussions/{revision.rpartition('/')[2]}"
        else:
            _tell_sending(local, missing, tell)
            ask("The upload", lambda: _upload(local, destination, surplus, False), tell)
        remote = list_remote(destination.kind, id, revision, tell)
        left = local.missing_in(remote) + local.surplus_in(remote)
        if left:
            raise RunError(
                f"{id} was pushed to, but {len(left):,} files there are not as they are here: "
                f"{', '.join(left[:5])}.",
                f"Someone else may write to it. {again}",
            )
    return Pushed(destination.kind, id, url, revision, len(local.files), local.bytes, len(missing))


def _tell_sending(local: LocalFolder, missing: list[str], tell: Tell) -> None:
    size = sum(local.files[name] for name in missing)
    there = len(local.files) - len(missing)
    known = f" ({there:,} are there already)" if there else ""
    tell(f"Sending {len(missing):,} files, {format_bytes(size)}{known}.")


def _upload(
    local: LocalFolder, destination: Destination, surplus: list[str], create_pr: bool
) -> None:
    from huggingface_hub import HfApi

    api, settings = HfApi(), destination.settings
    message = settings.commit_message or f"{destination.kind.title}, by synfill {__version__}"
    # The parent makes sure that a commit is made once, and on what was seen.
    parent = api.repo_info(
        destination.id, repo_type=destination.kind.name, revision=settings.revision
    ).sha
    entries = sorted({name.partition("/")[0] for name in local.files})
    api.upload_folder(
        repo_id=destination.id,
        repo_type=destination.kind.name,
        folder_path=local.path,
        # Folders by a pattern: as many patterns as files would make a large ImageFolder slow.
        allow_patterns=[
            glob.escape(entry) + ("" if entry in local.files else "/*") for entry in entries
        ],
        delete_patterns=[glob.escape(name) for name in surplus] or None,
        revision=settings.revision,
        commit_message=message,
        create_pr=create_pr,
        parent_commit=parent,
    )


def _open_pull_request(
    local: LocalFolder, destination: Destination, surplus: list[str], tell: Tell
) -> str:
    """Push as a pull request; its ref. One that was opened by a lost answer isn't opened twice."""

    def question() -> str:
        found = _find_pull_request(local, destination)
        if found is None:
            _upload(local, destination, surplus, True)
            found = _find_pull_request(local, destination)
        if found is None:
            raise RunError(f"The pull request on {destination.id} isn't there, or not complete.")
        return found

    return ask("The pull request", question, tell)


def _find_pull_request(local: LocalFolder, destination: Destination) -> str | None:
    """The newest pull request that holds exactly these files."""
    from huggingface_hub import HfApi

    refs = HfApi().list_repo_refs(
        destination.id, repo_type=destination.kind.name, include_pull_requests=True
    ).pull_requests or []  # fmt: skip
    newest = sorted(refs, key=lambda ref: int(ref.ref.rpartition("/")[2]), reverse=True)
    for ref in newest[:_NEWEST_PULL_REQUESTS]:
        remote = list_remote(destination.kind, destination.id, ref.ref, lambda line: None)
        if not local.missing_in(remote) and not local.surplus_in(remote):
            return str(ref.ref)
    return None


def _state(local: LocalFolder, destination: Destination) -> str:
    """What is up there and what is missing, as far as the Hub still answers."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    remote: Mapping[str, RemoteFile] = {}
    try:
        # Not all the patience of a push again.
        revision = destination.settings.revision
        remote = list_remote(
            destination.kind, destination.id, revision, lambda line: None, _ONCE_MORE
        )
    except (RepositoryNotFoundError, RevisionNotFoundError):
        return f"{destination.id} holds nothing of it yet."
    except failures() as error:
        return f"What {destination.id} holds couldn't be asked: {reason(error)}."
    missing = local.missing_in(remote)
    size = format_bytes(sum(local.files[name] for name in missing))
    names = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
    if not missing:
        return f"All {len(local.files):,} files are in {destination.id}."
    return (
        f"{len(local.files) - len(missing):,} of {len(local.files):,} files are in "
        f"{destination.id}; {len(missing):,} are missing ({size}): {names}. What was already "
        "transferred of these isn't sent again."
    )
