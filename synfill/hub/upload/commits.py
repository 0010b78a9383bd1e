"""Files -> commits on the Hub, each on the one before it, so that nobody's work is replaced unseen.

Sent with huggingface_hub's `create_commit`, which transfers only what the Hub hasn't got. Its
`upload_folder` pins the first of several commits only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from synfill.errors import RunError
from synfill.hub.failures import failures, understand
from synfill.hub.repository import Contents, RemoteFile, check_oid, check_type
from synfill.hub.retry import ONCE_MORE, ask, patience
from synfill.hub.upload.changes import Changes
from synfill.hub.upload.destination import Destination
from synfill.hub.upload.listing import LocalFolder
from synfill.runs.dataset_files import CARD, RUN

FILES_A_COMMIT = 1000
"""As many as huggingface_hub puts into one at most when it uploads a folder."""
BYTES_A_COMMIT = 100_000_000
"""Of files that may go into git itself, whose content is a part of the commit's request."""
_IN_GIT = 10_000_000
_NEWEST_PULL_REQUESTS = 50
_IGNORE = ".gitignore"


@dataclass(frozen=True)
class Batch:
    """What one commit does."""

    add: list[str]
    remove: list[str]


def make_batches(local: LocalFolder, changes: Changes) -> list[Batch]:
    """Divide a push into commits; mostly it is one.

    The last one has the card, the record and what is removed: until it is made, the record there
    says truly what the earlier push wrote.
    """
    last = [name for name in (CARD, RUN) if name in changes.add]
    batches: list[Batch] = [Batch([], [])]
    size = 0
    for name in changes.add:
        if name in last:
            continue
        more = local.files[name] if local.files[name] < _IN_GIT else 0
        if len(batches[-1].add) >= FILES_A_COMMIT or size + more > BYTES_A_COMMIT:
            batches.append(Batch([], []))
            size = 0
        batches[-1].add.append(name)
        size += more
    batches[-1].add.extend(last)
    batches[-1].remove.extend(changes.remove)
    return batches


class Sender:
    """Makes the commits of one push.

    Args:
        local: What is pushed.
        destination: Where to, checked.
        message: Of the commits.
    """

    def __init__(self, local: LocalFolder, destination: Destination, message: str) -> None:
        self._local, self._to, self._message = local, destination, message

    def send(self, revision: str | None, seen: Contents, changes: Changes) -> None:
        """Commit to a branch or to a pull request's ref that holds what was seen.

        Raises:
            RunError: Someone else committed meanwhile, or a .gitignore there keeps files out.
            Exception: What huggingface_hub raises.
        """
        *batches, last = make_batches(self._local, changes)
        for batch in batches:
            oid = self._commit(revision, seen, batch)
            now = self._to.look(oid)
            if not self._is_made(now.files, seen.files, batch):
                raise self._changed()
            if seen.private and not now.private:
                raise RunError(
                    f"{self._to.id} was made public while this was sent. What was sent until then "
                    "is there, and anyone can see it; nothing more was sent.",
                    "Make it private again in its settings on the Hub.",
                )
            seen = now
        self._commit(revision, seen, last)

    def _commit(self, revision: str | None, seen: Contents, batch: Batch) -> str:
        """Make a commit on what was seen; its id."""

        def question() -> str:
            try:
                return self._create(revision, seen.commit, batch, False, _IGNORE in seen.files)
            except failures() as error:
                # The commit may have been made, and only its answer lost.
                try:
                    with patience(ONCE_MORE, _say_nothing):
                        now = self._to.look(revision)
                except failures():
                    # A second commit on the same parent is refused: trying does no harm.
                    raise error from None
                if now.commit == seen.commit:
                    raise error
                if self._is_made(now.files, seen.files, batch):
                    return now.commit
                raise self._changed() from error

        return ask("The upload", question)

    def _changed(self) -> RunError:
        return RunError(
            f"Someone else changed {self._to.id} while this was sent, and nothing of theirs was "
            "replaced.",
            "Look at what they did.",
        )

    def open_pull_request(
        self, seen: Contents, changes: Changes, announce: Callable[[], None]
    ) -> tuple[str, int]:
        """Open a pull request with the first of the commits, or find the one that is open.

        One that was opened by a lost answer isn't opened twice, nor by the same push again.

        Args:
            seen: What main holds.
            changes: What the push does to it.
            announce: Called before the first file is sent, if any is.

        Returns:
            Its ref, and how many files were sent.
        """
        batch = make_batches(self._local, changes)[0]
        sent = 0

        def question() -> str:
            nonlocal sent
            found = self._find_pull_request(seen.files, changes)
            if found is not None:
                return found
            if not sent:
                announce()
            sent = len(batch.add)
            try:
                return self._create(None, seen.commit, batch, True, _IGNORE in seen.files)
            except failures() as error:
                found = self._find_pull_request(seen.files, changes)
                if found is None:
                    raise error
                return found

        return ask("The pull request", question), sent

    def _find_pull_request(self, before: Mapping[str, RemoteFile], changes: Changes) -> str | None:
        """The user's newest open pull request of this title that holds nothing but this push."""
        from huggingface_hub import HfApi

        kind, id = self._to.kind, self._to.id

        def question() -> list[str]:
            found = HfApi().get_repo_discussions(
                id, repo_type=kind.name, author=self._to.user, discussion_type="pull_request"
            )
            return [
                f"refs/pr/{check_type(one.num, int)}"
                for one in islice(found, _NEWEST_PULL_REQUESTS)
                if one.is_pull_request
                and one.status in ("open", "draft")
                and one.author == self._to.user
                and one.title == self._message
            ]

        for ref in sorted(understand(question), key=_number, reverse=True):
            with patience(ONCE_MORE, _say_nothing):
                files = self._to.look(ref).files
            if any(self._is_there(name, files) for name in changes.add) and all(
                self._is_there(name, files) or before.get(name) == file
                for name, file in files.items()
            ):
                return ref
        return None

    def _create(
        self, revision: str | None, parent: str, batch: Batch, create_pr: bool, is_filtered: bool
    ) -> str:
        """Make one commit; the pull request's ref, or the commit's id."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

        api, kind, id = HfApi(), self._to.kind, self._to.id
        # New ones for each try: the client keeps the state of a transfer in them.
        additions = [
            CommitOperationAdd(name, str(self._local.path.absolute() / name)) for name in batch.add
        ]
        removals = [CommitOperationDelete(name, is_folder=False) for name in batch.remove]

        def question() -> str:
            if is_filtered:
                api.preupload_lfs_files(
                    id, additions, repo_type=kind.name, revision=revision, create_pr=create_pr,
                    free_memory=False,
                )  # fmt: skip
                self._refuse_ignored(additions)
            made = api.create_commit(
                id,
                [*removals, *additions],
                commit_message=self._message,
                repo_type=kind.name,
                revision=revision,
                create_pr=create_pr,
                parent_commit=parent,
            )
            return check_type(made.pr_revision, str) if create_pr else check_oid(made.oid)

        return understand(question)

    def _refuse_ignored(self, additions: Sequence[object]) -> None:
        # The client would leave such files out in silence.
        ignored = [
            str(vars(one)["path_in_repo"]) for one in additions if vars(one).get("_should_ignore")
        ]
        if ignored:
            raise RunError(
                f"The {_IGNORE} in {self._to.id} keeps {len(ignored):,} of the files out: "
                f"{', '.join(ignored[:5])}. Nothing was committed.",
                f"Change or remove that {_IGNORE}, or choose another id.",
            )

    def _is_there(self, name: str, files: Mapping[str, RemoteFile]) -> bool:
        return name in files and self._local.is_same(name, files[name])

    def _is_made(
        self, files: Mapping[str, RemoteFile], before: Mapping[str, RemoteFile], batch: Batch
    ) -> bool:
        """Whether files are those before a commit with what it does, and nothing else."""
        names = set(before).difference(batch.remove).union(batch.add)
        return set(files) == names and all(
            self._is_there(name, files) if name in batch.add else files[name] == before[name]
            for name in names
        )


def _number(ref: str) -> int:
    return int(ref.rpartition("/")[2])


def _say_nothing(line: str) -> None:
    """For questions that are asked beside another."""
