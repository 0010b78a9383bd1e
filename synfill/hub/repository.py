"""What a repository on the Hub holds: asked in one way, for reading and for pushing alike."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from synfill.hub.failures import BadAnswer
from synfill.hub.retry import ask

Result = TypeVar("Result")

_COMMIT = re.compile(r"[0-9a-f]{40}")


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

    @property
    def hash(self) -> str:
        """The hash of its content (not of a pointer to it): 64 digits of SHA-256, or git's 40."""
        return self.sha256 or self.blob


@dataclass(frozen=True)
class Contents:
    """A repository at one commit.

    Attributes:
        commit: The commit.
        private: Whether the repository is private now.
        files: Its files, by path.
    """

    commit: str
    private: bool
    files: Mapping[str, RemoteFile]


def look_at(id: str, repo_type: str, revision: str | None) -> Contents:
    """Look at a repository: its newest commit, who may see it, and its files at that commit.

    Args:
        id: owner/name.
        repo_type: "dataset" or "model".
        revision: Branch, tag, commit or ref; None for the main branch.

    Raises:
        Exception: What huggingface_hub raises (RepositoryNotFoundError, ...).
        BadAnswer: The Hub's answers can't be.
    """
    from huggingface_hub import HfApi

    def question() -> tuple[str, bool, bool]:
        info = HfApi().repo_info(id, repo_type=repo_type, revision=revision)
        holds_files = bool(vars(info).get("siblings"))
        return check_oid(info.sha), check_type(info.private, bool), holds_files

    commit, private, holds_files = ask(f"Looking at {id}", question)
    return Contents(commit, private, list_files(id, repo_type, commit, holds_files))


def list_files(
    id: str, repo_type: str, commit: str, holds_files: bool = False
) -> dict[str, RemoteFile]:
    """List the files of a repository, by path.

    Args:
        id: owner/name.
        repo_type: "dataset" or "model".
        commit: The commit.
        holds_files: Whether there are any, as the Hub said elsewhere: an empty answer (`{}` reads
            as no files) would pass for an empty repository.

    Raises:
        Exception: What huggingface_hub raises.
        BadAnswer: The Hub's answer can't be.
    """
    from huggingface_hub import HfApi, RepoFile

    def question() -> dict[str, RemoteFile]:
        tree = HfApi().list_repo_tree(id, repo_type=repo_type, revision=commit, recursive=True)
        files = {}
        for entry in tree:
            if isinstance(entry, RepoFile):
                sha256 = check_type(entry.lfs.sha256, str).lower() if entry.lfs is not None else ""
                size, blob = check_type(entry.size, int), check_oid(entry.blob_id)
                if size < 0 or len(sha256) not in (0, 64):
                    raise BadAnswer
                files[check_type(entry.path, str)] = RemoteFile(size, sha256, blob)
        if holds_files and not files:
            raise BadAnswer
        return files

    return ask(f"Listing the files of {id}", question)


def check_type(value: object, kind: type[Result]) -> Result:
    """A value of an answer that is what it should be.

    Raises:
        BadAnswer: It is of another type.
    """
    if type(value) is not kind:
        raise BadAnswer
    return value


def check_oid(value: object) -> str:
    """The id of a commit or a blob in an answer.

    Raises:
        BadAnswer: It isn't one.
    """
    if not isinstance(value, str) or not _COMMIT.fullmatch(value):
        raise BadAnswer
    return value


def hash_like(path: Path, like: str) -> str:
    """The hash of a file's content: SHA-256, or git's of a blob where `like` is one (40 digits)."""
    with path.open("rb") as file:
        if len(like) != 40:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()
