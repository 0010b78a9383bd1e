"""What the test server knows: users, repositories, commits, files; and what a Hub refuses.

Content lies on disk, by its SHA-256; histories are kept in memory. Speaks no HTTP.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

ATTRIBUTES = b"*.parquet filter=lfs diff=lfs merge=lfs -text\n*.png filter=lfs -text\n"
LFS_SUFFIXES = (".parquet", ".safetensors", ".png", ".jpg", ".jpeg", ".zip", ".tar")
LFS_ABOVE = 10_000_000
LICENCES = {
    "apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-4.0", "cc0-1.0", "creativeml-openrail-m",
    "openrail++", "openrail", "unknown", "other", "gpl-3.0", "bsd-3-clause", "odc-by",
}  # fmt: skip
SIZES = {"n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B"}
MODELS = "models/"
NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")


class Refused(Exception):
    """An error answer: status, message, and the Hub's error code."""

    def __init__(self, status: int, message: str, code: str = "", body: Any = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.body = {"error": message} if body is None else body


@dataclass(frozen=True)
class User:
    """Who a token stands for.

    Attributes:
        name: The account's name.
        role: What the token may do: "read" or "write".
        orgs: The organizations it is in, with its role there.
        quota: Bytes that it may store.
    """

    name: str
    role: str = "write"
    orgs: dict[str, str] = field(default_factory=dict)
    quota: int = 1 << 40

    def may_write(self, namespace: str) -> bool:
        if self.role != "write":
            return False
        return namespace == self.name or self.orgs.get(namespace) in ("admin", "write")


@dataclass(frozen=True)
class Entry:
    """A file of a commit."""

    sha256: str
    sha1: str
    size: int
    lfs: bool

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.sha1


Files = dict[str, Entry]


@dataclass
class Repo:
    """A repository: its commits, and the refs that point to them.

    Its id is that of a dataset; a model's has models/ before it, as the two don't clash.
    """

    id: str
    private: bool
    gated: bool = False
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Files] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)
    empty_commits: int = 0
    pull_requests: dict[int, dict[str, str]] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return self.id.removeprefix(MODELS).split("/")[0]

    @property
    def pages(self) -> str:
        """What its pages' addresses have after the server's."""
        is_model = self.id.startswith(MODELS)
        return self.id.removeprefix(MODELS) if is_model else f"datasets/{self.id}"

    def commit(self, ref: str, files: Files, title: str) -> str:
        oid = hashlib.sha1(f"{self.id} {len(self.titles)} {title}".encode()).hexdigest()
        before = self.commits.get(self.refs.get(ref, ""))
        self.empty_commits += before == files
        self.commits[oid] = files
        self.refs[ref] = oid
        self.titles.append(title)
        return oid

    def resolve(self, revision: str) -> str:
        for name in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if name in self.refs:
                return self.refs[name]
        if revision in self.commits:
            return revision
        raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")


class Store:
    """All repositories, and the content of their files below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.users: dict[str, User] = {}
        self.repos: dict[str, Repo] = {}

    def user(self, authorization: str | None) -> User | None:
        if authorization is None:
            return None
        token = authorization.removeprefix("Bearer ")
        if token.startswith("Basic "):
            # From an address with a name and a password; the password is the token here.
            token = base64.b64decode(token.removeprefix("Basic ")).decode().partition(":")[2]
        found = self.users.get(token)
        if found is None:
            raise Refused(401, "Invalid credentials in Authorization header")
        return found

    def repo(self, id: str, user: User | None, *, write: bool = False) -> Repo:
        repo = self.repos.get(id)
        inside = user is not None and repo is not None and self._is_member(user, repo.namespace)
        if repo is None or (repo.private and not inside):
            raise Refused(404 if user else 401, "Repository not found", "RepoNotFound")
        if write:
            if user is None:
                raise Refused(401, "Invalid username or password.")
            if not user.may_write(repo.namespace):
                raise Refused(403, f"You don't have the rights to write to {id}")
        return repo

    @staticmethod
    def _is_member(user: User, namespace: str) -> bool:
        return namespace == user.name or namespace in user.orgs

    def create(self, user: User | None, request: dict[str, Any]) -> Repo:
        if user is None:
            raise Refused(401, "Invalid username or password.")
        namespace = request.get("organization") or user.name
        name = request["name"]
        if not user.may_write(namespace):
            raise Refused(
                403,
                f'You don\'t have the rights to create a dataset under the namespace "{namespace}"',
            )
        if not NAME.fullmatch(name) or "--" in name or ".." in name or name.endswith(".git"):
            raise Refused(400, f"Invalid repository name: {name}")
        kind = request.get("type") or "model"
        id = f"{MODELS if kind == 'model' else ''}{namespace}/{name}"
        if id in self.repos:
            url = f"/{self.repos[id].pages}"
            body = {"error": f"You already created this {kind} repo", "url": url}
            raise Refused(409, body["error"], body=body)
        private = request.get("visibility") == "private" or bool(request.get("private"))
        repo = self.repos[id] = Repo(id, private)
        repo.commit("refs/heads/main", {".gitattributes": self.add(ATTRIBUTES)}, "initial commit")
        return repo

    def add(self, data: bytes, lfs: bool = False) -> Entry:
        digest = hashlib.sha256(data).hexdigest()
        (self.root / digest).write_bytes(data)
        sha1 = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
        return Entry(digest, sha1, len(data), lfs)

    def read(self, entry: Entry) -> bytes:
        return (self.root / entry.sha256).read_bytes()

    def is_ignored(self, files: Files, path: str) -> bool:
        """Whether the .gitignore of a commit keeps a file out; patterns without a slash only."""
        if ".gitignore" not in files:
            return False
        patterns = self.read(files[".gitignore"]).decode().split()
        return any(fnmatch(part, pattern) for pattern in patterns for part in path.split("/"))

    def stored(self) -> int:
        return sum(path.stat().st_size for path in self.root.iterdir())

    def put_folder(self, id: str, folder: Path, *, private: bool = False) -> Repo:
        """Make a repository of a local folder, as if someone had pushed it."""
        repo = self.repos[id] = Repo(id, private)
        files = {
            path.relative_to(folder).as_posix(): self.add(path.read_bytes(), uses_lfs(path.name, 0))
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        repo.commit("refs/heads/main", files, "upload")
        return repo

    def apply(self, repo: Repo, ref: str, lines: list[dict[str, Any]]) -> str:
        """Make a commit of the operations of a request's body."""
        header, *operations = lines
        parent = header["value"].get("parentCommit")
        if parent not in (None, repo.resolve(ref)):
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        files = dict(repo.commits[repo.resolve(ref)])
        title = header["value"]["summary"]
        if not title:
            raise Refused(400, "A commit needs a summary")
        for operation in operations:
            value = operation["value"]
            path = value["path"]
            if path.startswith("/") or ".." in path.split("/"):
                raise Refused(400, f"Invalid path: {path}")
            match operation["key"]:
                case "file":
                    data = base64.b64decode(value["content"])
                    if path == "README.md" and (problems := card_problems(data.decode())):
                        raise Refused(400, "Invalid metadata in README.md: " + "; ".join(problems))
                    files[path] = self.add(data)
                case "lfsFile":
                    stored = self.root / value["oid"]
                    if not stored.is_file():
                        raise Refused(400, f"LFS object {value['oid']} was never uploaded")
                    files[path] = self.add(stored.read_bytes(), lfs=True)
                case "deletedFile":
                    if path not in files:
                        raise Refused(400, "A file with this name doesn't exist", "EntryNotFound")
                    del files[path]
                case "deletedFolder":
                    inside = [name for name in files if name.startswith(f"{path.rstrip('/')}/")]
                    for name in inside:
                        del files[name]
                case other:
                    raise Refused(400, f"Unknown operation {other}")
        full = ref if ref.startswith("refs/") else f"refs/heads/{ref}"
        return repo.commit(full, files, title)


def uses_lfs(path: str, size: int) -> bool:
    return path.endswith(LFS_SUFFIXES) or size > LFS_ABOVE


def card_problems(text: str) -> list[str]:
    """What the Hub finds wrong with a card's metadata."""
    header, closed, _ = text.removeprefix("---\n").partition("\n---")
    if not text.startswith("---\n") or not closed:
        return []
    try:
        card = yaml.safe_load(header)
    except yaml.YAMLError as error:
        return [f"not YAML: {error}"]
    if not isinstance(card, dict):
        return ["the metadata is no mapping"]
    problems = []
    licences = card.get("license", [])
    for licence in licences if isinstance(licences, list) else [licences]:
        if licence not in LICENCES:
            problems.append(f'"license" must be one of {sorted(LICENCES)}: {licence}')
    for name in ("tags", "source_datasets", "task_categories", "size_categories"):
        listed = card.get(name, [])
        if not isinstance(listed, list) or not all(isinstance(entry, str) for entry in listed):
            problems.append(f'"{name}" must be a list of strings')
    if bad := set(card.get("size_categories") or []) - SIZES:
        problems.append(f'"size_categories" must not hold {sorted(bad)}')
    for source in card.get("source_datasets") or []:
        if not re.fullmatch(r"original|extended(\|[\w.|/-]+)?|[\w.-]+(/[\w.-]+)?", source):
            problems.append(f'"source_datasets" must not hold {source!r}')
    for config in card.get("configs") or []:
        if not isinstance(config, dict) or not isinstance(config.get("config_name"), str):
            problems.append('"configs" needs a config_name in each entry')
    if "pretty_name" in card and not isinstance(card["pretty_name"], str):
        problems.append('"pretty_name" must be a string')
    for model in card.get("model-index") or []:
        problems += model_problems(model)
    return problems


def model_problems(model: Any) -> list[str]:
    """What the Hub finds wrong with an entry of a model card's model-index."""
    problems = [] if isinstance(model.get("name"), str) else ['"model-index[0].name" is required']
    if not model.get("results"):
        problems.append('"model-index[0].results" is required')
    for result in model.get("results") or []:
        for path in ("task.type", "dataset.name", "dataset.type"):
            part, key = path.split(".")
            if not isinstance((result.get(part) or {}).get(key), str):
                problems.append(f'"model-index[0].results[0].{path}" is required')
        for metric in result.get("metrics") or [{}]:
            if not isinstance(metric.get("type"), str) or "value" not in metric:
                problems.append('"model-index[0].results[0].metrics[0]" needs type and value')
    return problems


def parse_lines(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in body.splitlines() if line]
