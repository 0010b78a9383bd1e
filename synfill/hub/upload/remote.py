"""What a repository on the Hub holds, and what the record of an earlier push there says."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from synfill.hub.retry import PATIENCE, BadAnswer, Patience, Tell, ask, bad_answer
from synfill.hub.upload.answers import check_oid, check_type
from synfill.hub.upload.kinds import Kind
from synfill.reading import LARGEST_RECORD, parse_json, read_regular
from synfill.records import JsonObject
from synfill.runs.written import hash_file

RUN = "synfill/run.json"
CARD = "README.md"
_HUBS_OWN = ".gitattributes"


@dataclass(frozen=True)
class RemoteFile:
    """A file in a repository.

    Attributes:
        size: Its bytes.
        sha256: Of its content, where it is stored apart from git; else "".
        blob: Git's own SHA-1 of it.
    """

    size: int
    sha256: str
    blob: str

    def has_content_of(self, path: Path) -> bool:
        """Whether a local file is the same, byte by byte as far as hashes tell."""
        if path.stat().st_size != self.size:
            return False
        return hash_file(path) == self.sha256 if self.sha256 else git_blob(path) == self.blob


@dataclass(frozen=True)
class Seen:
    """A repository at one commit.

    Attributes:
        sha: The commit.
        private: Whether the repository is private now.
        files: Its files, without the one that the Hub puts there itself.
    """

    sha: str
    private: bool
    files: Mapping[str, RemoteFile]


def git_blob(path: Path) -> str:
    """What git calls a file of that content, as hexadecimal digits."""
    digest = hashlib.sha1(usedforsecurity=False)
    digest.update(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def see(
    kind: Kind, id: str, revision: str | None, tell: Tell, patience: Patience = PATIENCE
) -> Seen:
    """Look at a repository: its newest commit, who may see it, and its files at that commit.

    Raises:
        Exception: What huggingface_hub raises (RepositoryNotFoundError, ...).
        BadAnswer: The Hub's answers can't be.
    """
    from huggingface_hub import HfApi

    def question() -> tuple[str, bool, bool]:
        info = HfApi().repo_info(id, repo_type=kind.name, revision=revision)
        holds_files = bool(vars(info).get("siblings"))
        return check_oid(info.sha), check_type(info.private, bool), holds_files

    sha, private, holds_files = ask("Looking at the repository", question, tell, patience)

    def listing() -> dict[str, RemoteFile]:
        files = _list(kind, id, sha)
        # An empty answer (`{}` reads as no files) would pass for an empty repository.
        if holds_files and not files:
            raise bad_answer()
        return files

    files = ask("Listing the repository", listing, tell, patience)
    files.pop(_HUBS_OWN, None)
    return Seen(sha, private, files)


def _list(kind: Kind, id: str, revision: str) -> dict[str, RemoteFile]:
    from huggingface_hub import HfApi, RepoFile

    tree = HfApi().list_repo_tree(id, repo_type=kind.name, revision=revision, recursive=True)
    files = {}
    for entry in tree:
        if isinstance(entry, RepoFile):
            sha256 = check_type(entry.lfs.sha256, str) if entry.lfs is not None else ""
            files[check_type(entry.path, str)] = RemoteFile(
                check_type(entry.size, int), sha256, check_oid(entry.blob_id)
            )
    return files


def fetch(kind: Kind, id: str, seen: Seen, name: str, tell: Tell) -> bytes:
    """The content of a file of a repository, checked against the Hub's own hash of it.

    Raises:
        Exception: What huggingface_hub raises.
        BadAnswer: What came isn't that file.
        OSError: It is larger than any of our records or cards.
    """
    from huggingface_hub import hf_hub_download

    def question() -> bytes:
        # Not in the cache, where what is broken would stay.
        with tempfile.TemporaryDirectory() as folder:
            path = hf_hub_download(
                id, name, repo_type=kind.name, revision=seen.sha, local_dir=folder
            )
            if not seen.files[name].has_content_of(Path(path)):
                raise BadAnswer(f"what the Hub sent isn't the {name} that it lists")
            return read_regular(Path(path))

    if seen.files[name].size > LARGEST_RECORD:
        raise OSError(f"{name} there is larger than {LARGEST_RECORD:,} bytes")
    return ask(f"Reading {name} there", question, tell)


def read_record(kind: Kind, id: str, seen: Seen, tell: Tell) -> JsonObject | None:
    """The run.json of a repository; None where there is none, or it is no record of a run.

    Raises:
        Exception: What huggingface_hub raises.
    """
    if RUN not in seen.files or seen.files[RUN].size > LARGEST_RECORD:
        return None
    content = fetch(kind, id, seen, RUN, tell)
    try:
        record = parse_json(content)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
