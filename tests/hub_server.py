"""A small Hub on 127.0.0.1 that the unmodified huggingface_hub and datasets clients talk to.

    with HubServer(folder) as hub:
        hub.store.users["hf_secret"] = User("alice")
        hub.faults.append(Fault("POST .*/commit/", "lost", times=1))
        subprocess.run([...], env=hub.environment(home, token="hf_secret"))
        hub.commits("alice/pets"), hub.served["resolve"]

It has what a push and a read of a dataset or a model need, over plain LFS: clients run with
HF_HUB_DISABLE_XET=1, as Xet has a server of its own. A model goes by models/OWNER/NAME here.
Content is checked as the real one does (see hub_store); faults break single answers.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hub_store import (
    MODELS,
    Entry,
    Files,
    Refused,
    Repo,
    Store,
    User,
    card_problems,
    parse_lines,
    uses_lfs,
)

ID = r"(?P<id>[^/]+/[^/]+)"
API = rf"/api/(?P<kind>datasets|models)/{ID}"
PAGES = rf"/(?P<kind>datasets/)?{ID}"
_EXPIRED = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
_PAGE = b"<html><body><h1>Service Temporarily Unavailable</h1></body></html>"


@dataclass
class Fault:
    """What goes wrong with some requests.

    Attributes:
        pattern: A regular expression, searched for in "METHOD /path".
        kind: "503"; "429" (with Retry-After); "403" (out of quota); "cut" (the connection ends
            before anything is done); "lost" (all is done, but the answer is lost); "slow";
            "504" (all is done, and the answer is lost on a gateway); "body" (all is done, and
            the answer is another one); "expired" (as the storage refuses an old address);
            "damage" (its headers are right, its content is made of the right one by `body`).
        every: Only every so many-th matching request.
        times: How often at most.
        seconds: For "429": what Retry-After says; for "slow": how slow.
        body: For "body": the answer, or what makes it of the right one; for "403": the answer.
    """

    pattern: str
    kind: str
    every: int = 1
    times: int = 1 << 30
    seconds: float = 0
    body: bytes | Callable[[bytes], bytes] = b""
    seen: int = 0
    done: int = 0

    def strikes(self, request: str) -> bool:
        if not re.search(self.pattern, request) or self.done >= self.times:
            return False
        self.seen += 1
        if self.seen % self.every:
            return False
        self.done += 1
        return True


@dataclass(frozen=True)
class Answer:
    """What is sent back."""

    body: bytes
    kind: str = "application/json"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


class HubServer:
    """The server; a context manager.

    Attributes:
        store: Its users and repositories.
        faults: What goes wrong; the first that strikes counts.
        served: Bytes of answers, by route ("resolve", "tree", ...).
        received: Bytes of file content that were uploaded over LFS.
        requests: "METHOD /path -> status" of every request; the status "cut" for none.
        has_storage: Whether files over LFS are behind signed addresses, as they are on the Hub.
        before: Called with "METHOD /path" before each request is done.
    """

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self.faults: list[Fault] = []
        self.served: Counter[str] = Counter()
        self.received = 0
        self.requests: list[str] = []
        self.before: Callable[[str], None] = lambda request: None
        self.has_storage = False
        self.lock = threading.RLock()
        handler = type("Handler", (_Handler,), {"hub": self})
        self._handler = handler
        self.connections: set[socket.socket] = set()
        self._listen(0)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _listen(self, port: int) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler)
        self._server.daemon_threads = True
        # Connections that broke are what some tests are about.
        vars(self._server)["handle_error"] = lambda *_: None

    def die(self) -> None:
        """End as a killed server does: no new connection is taken, and all there are break."""
        self.__exit__()
        with self.lock:
            open_ones = list(self.connections)
        for connection in open_ones:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def come_back(self) -> None:
        """Listen again, at the same address."""
        self._listen(int(self.url.rpartition(":")[2]))
        self.__enter__()

    def environment(self, home: Path, token: str | None = None) -> dict[str, str]:
        """The environment of a client: this server, its own caches, its own login."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("HF_")
        }
        environment |= {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        return environment | ({"HF_TOKEN": token} if token else {})

    def commits(self, id: str) -> list[str]:
        """The titles of a repository's commits."""
        return self.store.repos[id].titles

    def files(self, id: str, revision: str = "main") -> dict[str, bytes]:
        """The content of a repository's files."""
        repo = self.store.repos[id]
        return {
            path: self.store.read(entry)
            for path, entry in repo.commits[repo.resolve(revision)].items()
        }


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.hub.connections.add(self.connection)

    def finish(self) -> None:
        self.hub.connections.discard(self.connection)
        with suppress(OSError):
            super().finish()

    # Headers and body leave in one packet: with Nagle's algorithm each answer would take 40 ms.
    wbufsize = -1

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self._read_body()
        url = urlsplit(self.path)
        request = f"{self.command} {unquote(url.path)}"
        hub = self.hub
        hub.before(request)
        with hub.lock:
            fault = next((f for f in hub.faults if f.strikes(request)), None)
        kind = fault.kind if fault else ""
        if kind == "slow" and fault:
            sleep(fault.seconds)
        if kind == "cut":
            self._cut(request)
            return
        if kind in ("503", "429", "403") and fault:
            after = (("Retry-After", f"{fault.seconds:g}"),) if kind == "429" else ()
            answer = Answer(_PAGE, "text/html", int(kind), after)
            if kind == "403":
                text = json.dumps({"error": "Private repository storage limit reached"})
                said = fault.body if isinstance(fault.body, bytes) else b""
                answer = Answer(said or text.encode(), status=403)
            route = "fault"
        elif kind == "expired":
            route, answer = "fault", Answer(_EXPIRED, "application/xml", 403)
        else:
            route, answer = self._route(url.path, parse_qs(url.query), body)
        if kind == "lost":
            self._cut(request)
            return
        if kind == "504":
            answer = Answer(_PAGE, "text/html", 504)
        if kind == "body" and fault:
            answer = Answer(fault.body(answer.body) if callable(fault.body) else fault.body)
        if kind == "damage" and fault and callable(fault.body) and self.command != "HEAD":
            # Under the right one's headers, but for its length.
            told = tuple(h for h in answer.headers if h[0] != "Content-Length")
            answer = replace(answer, body=fault.body(answer.body), headers=told)
        hub.requests.append(f"{request} -> {answer.status}")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        names = {name for name, _ in answer.headers}
        if "Content-Length" not in names:
            self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with hub.lock:
                hub.served[route] += len(answer.body)
            try:
                self.wfile.write(answer.body)
                self.wfile.flush()
            except ConnectionError:
                self.close_connection = True

    def _cut(self, request: str) -> None:
        self.hub.requests.append(f"{request} -> cut")
        self.close_connection = True

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _route(self, path: str, query: dict[str, list[str]], body: bytes) -> tuple[str, Answer]:
        for name, (method, pattern, handle) in _ROUTES.items():
            found = re.fullmatch(pattern, path)
            if found and self.command in method.split("|"):
                parts = {key: unquote(value or "") for key, value in found.groupdict().items()}
                if "kind" in parts and not parts["kind"].startswith("datasets"):
                    parts["id"] = f"{MODELS}{parts['id']}"
                try:
                    with self.hub.lock:
                        user = self.hub.store.user(self.headers.get("Authorization"))
                        answer = handle(self, user, parts, query, body)
                except Refused as error:
                    headers = [("X-Error-Message", error.message.replace("\n", " "))]
                    if error.code:
                        headers.append(("X-Error-Code", error.code))
                    text = json.dumps(error.body).encode()
                    answer = Answer(text, status=error.status, headers=tuple(headers))
                return name, answer
        return "unknown", Answer(b'{"error": "Not found"}', status=404)

    def _whoami(self, user: User | None, *_: object) -> Answer:
        if user is None:
            raise Refused(401, "Invalid username or password.")
        orgs = [{"name": name, "roleInOrg": role} for name, role in user.orgs.items()]
        auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": user.role}}
        return _json({"type": "user", "name": user.name, "orgs": orgs, "auth": auth})

    def _create(self, user: User | None, parts: object, query: object, body: bytes) -> Answer:
        repo = self.hub.store.create(user, json.loads(body))
        return _json({"url": f"{self.hub.url}/{repo.pages}"})

    def _info(self, user: User | None, parts: dict[str, str], query: object, body: bytes) -> Answer:
        repo = self.hub.store.repo(parts["id"], user)
        oid = repo.resolve(parts.get("rev") or "main")
        return _json(
            {
                "_id": "0", "id": repo.id.removeprefix(MODELS), "author": repo.namespace,
                "sha": oid,
                "private": repo.private, "gated": "auto" if repo.gated else False,
                "disabled": False, "downloads": 0, "likes": 0, "tags": [],
                "lastModified": "2026-01-01T00:00:00.000Z",
                "createdAt": "2026-01-01T00:00:00.000Z",
                "siblings": [{"rfilename": path} for path in repo.commits[oid]],
            }
        )  # fmt: skip

    def _tree(
        self, user: User | None, parts: dict[str, str], query: dict[str, list[str]], body: bytes
    ) -> Answer:
        repo = self.hub.store.repo(parts["id"], user)
        files = repo.commits[repo.resolve(parts["rev"])]
        folder = parts["path"].strip("/")
        prefix = f"{folder}/" if folder else ""
        recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
        entries = _entries(files)
        inside = [
            entry
            for path, entry in entries.items()
            if path.startswith(prefix) and (recursive or "/" not in path.removeprefix(prefix))
        ]
        if folder and not inside:
            raise Refused(404, f"{folder} does not exist", "EntryNotFound")
        return _json(inside)

    def _paths_info(
        self, user: User | None, parts: dict[str, str], query: object, body: bytes
    ) -> Answer:
        repo = self.hub.store.repo(parts["id"], user)
        entries = _entries(repo.commits[repo.resolve(parts["rev"])])
        if self.headers.get("Content-Type", "").startswith("application/json"):
            paths = json.loads(body)["paths"]
        else:
            paths = parse_qs(body.decode()).get("paths", [])
        return _json([entries[path] for path in paths if path in entries])

    def _preupload(
        self, user: User | None, parts: dict[str, str], query: dict[str, list[str]], body: bytes
    ) -> Answer:
        repo = self.hub.store.repo(parts["id"], user, write="create_pr" not in query)
        files = repo.commits[repo.resolve(parts["rev"])]
        answers = []
        for file in json.loads(body)["files"]:
            there = files.get(file["path"])
            answers.append(
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if uses_lfs(file["path"], file["size"]) else "regular",
                    "shouldIgnore": self.hub.store.is_ignored(files, file["path"]),
                    "oid": there.etag if there else None,
                }
            )
        return _json({"files": answers})

    def _batch(
        self, user: User | None, parts: dict[str, str], query: object, body: bytes
    ) -> Answer:
        repo = self.hub.store.repo(parts["id"], user, write=True)
        assert user is not None
        objects = []
        for wanted in json.loads(body)["objects"]:
            entry = dict(wanted)
            if self.hub.store.stored() + wanted["size"] > user.quota:
                entry["error"] = {"code": 403, "message": "Your storage quota is full"}
            elif not (self.hub.store.root / wanted["oid"]).is_file():
                href = f"{self.hub.url}/lfs/{repo.id.replace('/', '--')}/{wanted['oid']}"
                entry["actions"] = {
                    "upload": {"href": f"{href}?X-Amz-Signature=sig", "header": {}},
                    "verify": {"href": f"{href}/verify", "header": {}},
                }
            objects.append(entry)
        return _json({"transfer": "basic", "objects": objects})

    def _upload(
        self, user: User | None, parts: dict[str, str], query: dict[str, list[str]], body: bytes
    ) -> Answer:
        if query.get("X-Amz-Signature") != ["sig"]:
            raise Refused(403, "SignatureDoesNotMatch")
        self.hub.received += len(body)
        if self.hub.store.add(body).sha256 != parts["oid"]:
            (self.hub.store.root / parts["oid"]).unlink(missing_ok=True)
            raise Refused(400, "The content doesn't have that SHA-256")
        return Answer(b"")

    def _verify(
        self, user: User | None, parts: dict[str, str], query: object, body: bytes
    ) -> Answer:
        if not (self.hub.store.root / parts["oid"]).is_file():
            raise Refused(404, "No such object")
        return _json({})

    def _commit(
        self, user: User | None, parts: dict[str, str], query: dict[str, list[str]], body: bytes
    ) -> Answer:
        is_pull_request = "create_pr" in query
        repo = self.hub.store.repo(parts["id"], user, write=not is_pull_request)
        ref, pull_request = parts["rev"], None
        repo.resolve(ref)
        if is_pull_request:
            number = 1 + sum(name.startswith("refs/pr/") for name in repo.refs)
            ref = f"refs/pr/{number}"
            repo.refs[ref] = repo.refs["refs/heads/main"]
            assert user is not None
            title = parse_lines(body)[0]["value"]["summary"]
            repo.pull_requests[number] = {"title": title, "author": user.name, "status": "open"}
            pull_request = f"{self.hub.url}/{repo.pages}/discussions/{number}"
        oid = self.hub.store.apply(repo, ref, parse_lines(body))
        return _json(
            {
                "success": True,
                "commitOid": oid,
                "commitUrl": f"{self.hub.url}/{repo.pages}/commit/{oid}",
                "hookOutput": "",
                "pullRequestUrl": pull_request,
            }
        )

    def _resolve(
        self, user: User | None, parts: dict[str, str], query: object, body: bytes
    ) -> Answer:
        repo = self.hub.store.repo(parts["id"], user)
        oid = repo.resolve(parts["rev"])
        if repo.gated and not (user and user.may_write(repo.namespace)):
            raise Refused(403, f"Access to {repo.pages} is restricted", "GatedRepo")
        entry = repo.commits[oid].get(parts["path"])
        if entry is None:
            raise Refused(404, "Entry not found", "EntryNotFound")
        if self.hub.has_storage and entry.lfs:
            headers = [
                ("X-Repo-Commit", oid),
                ("X-Linked-Size", str(entry.size)),
                ("X-Linked-Etag", f'"{entry.etag}"'),
                # Another host, as there: the client doesn't take its login to it.
                (
                    "Location",
                    f"{self.hub.url.replace('127.0.0.1', 'localhost')}/storage/{entry.sha256}"
                    "?X-Amz-Signature=geheim",
                ),
            ]
            return Answer(b"", status=302, headers=tuple(headers))
        data = self.hub.store.read(entry)
        headers = [
            ("X-Repo-Commit", oid),
            ("ETag", f'"{entry.etag}"'),
            ("Accept-Ranges", "bytes"),
        ]
        if entry.lfs:
            headers += [("X-Linked-Size", str(entry.size)), ("X-Linked-Etag", f'"{entry.etag}"')]
        return self._part(data, headers)

    def _storage(
        self, user: User | None, parts: dict[str, str], query: dict[str, list[str]], body: bytes
    ) -> Answer:
        if query.get("X-Amz-Signature") != ["geheim"]:
            raise Refused(403, "SignatureDoesNotMatch")
        data = (self.hub.store.root / parts["oid"]).read_bytes()
        return self._part(data, [("ETag", '"of-the-storage"'), ("Accept-Ranges", "bytes")])

    def _part(self, data: bytes, headers: list[tuple[str, str]]) -> Answer:
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            headers.append(("Content-Length", str(len(data))))
            return Answer(data, "application/octet-stream", headers=tuple(headers))
        first = int(wanted[1]) if wanted[1] else len(data) - int(wanted[2])
        last = int(wanted[2]) if wanted[1] and wanted[2] else len(data) - 1
        if first >= len(data):
            raise Refused(416, "Range not satisfiable")
        part = data[first : last + 1]
        headers.append(("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(data)}"))
        return Answer(part, "application/octet-stream", 206, tuple(headers))

    def _refs(self, user: User | None, parts: dict[str, str], *_: object) -> Answer:
        repo = self.hub.store.repo(parts["id"], user)

        def listed(prefix: str) -> list[dict[str, str]]:
            return [
                {"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": oid}
                for ref, oid in repo.refs.items()
                if ref.startswith(prefix)
            ]

        return _json(
            {
                "branches": listed("refs/heads/"),
                "converts": listed("refs/convert/"),
                "tags": listed("refs/tags/"),
                "pullRequests": listed("refs/pr/"),
            }
        )

    def _branch(
        self, user: User | None, parts: dict[str, str], query: object, body: bytes
    ) -> Answer:
        repo = self.hub.store.repo(parts["id"], user, write=True)
        name = f"refs/heads/{parts['name']}"
        if name in repo.refs:
            raise Refused(409, "Reference already exists")
        repo.refs[name] = repo.resolve(json.loads(body or b"{}").get("startingPoint", "main"))
        return _json({})

    def _discussions(
        self, user: User | None, parts: dict[str, str], query: dict[str, list[str]], body: bytes
    ) -> Answer:
        repo = self.hub.store.repo(parts["id"], user)
        author = query.get("author", [None])[0]
        listed = [
            {
                "num": number, "title": one["title"], "status": one["status"],
                "author": {"name": one["author"]}, "createdAt": "2026-01-01T00:00:00.000Z",
                "repo": {"name": repo.id.removeprefix(MODELS), "type": parts["kind"][:-1]},
                "isPullRequest": True,
            }
            for number, one in sorted(repo.pull_requests.items(), reverse=True)
            if author in (None, one["author"])
        ]  # fmt: skip
        return _json({"discussions": listed, "count": len(listed), "start": 0})

    def _validate(self, user: object, parts: object, query: object, body: bytes) -> Answer:
        problems = card_problems(json.loads(body)["content"])
        errors = {"errors": [{"message": problem} for problem in problems], "warnings": []}
        return Answer(json.dumps(errors).encode(), status=400 if problems else 200)


def _json(content: object) -> Answer:
    return Answer(json.dumps(content).encode())


def _entries(files: Files) -> dict[str, dict[str, Any]]:
    """The files of a commit and the folders that they are in, as tree listings show them."""
    entries: dict[str, dict[str, Any]] = {}
    for path, entry in sorted(files.items()):
        parents = path.split("/")[:-1]
        for depth in range(1, len(parents) + 1):
            folder = "/".join(parents[:depth])
            entries.setdefault(folder, {"type": "directory", "oid": "0" * 40, "path": folder,
                                        "size": 0})  # fmt: skip
        entries[path] = _file(path, entry)
    return entries


def _file(path: str, entry: Entry) -> dict[str, Any]:
    listed: dict[str, Any] = {"type": "file", "oid": entry.sha1, "size": entry.size, "path": path}
    if entry.lfs:
        listed["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": 130}
    return listed


_ROUTES: dict[str, tuple[str, str, Callable[..., Answer]]] = {
    "whoami": ("GET", r"/api/whoami-v2", _Handler._whoami),
    "create": ("POST", r"/api/repos/create", _Handler._create),
    "info": ("GET", rf"{API}(?:/revision/(?P<rev>.+))?", _Handler._info),
    "tree": ("GET", rf"{API}/tree/(?P<rev>[^/]+)(?P<path>/.*)?", _Handler._tree),
    "paths-info": ("POST", rf"{API}/paths-info/(?P<rev>.+)", _Handler._paths_info),
    "preupload": ("POST", rf"{API}/preupload/(?P<rev>.+)", _Handler._preupload),
    "commit": ("POST", rf"{API}/commit/(?P<rev>.+)", _Handler._commit),
    "refs": ("GET", rf"{API}/refs", _Handler._refs),
    "discussions": ("GET", rf"{API}/discussions", _Handler._discussions),
    "branch": ("POST", rf"{API}/branch/(?P<name>.+)", _Handler._branch),
    "batch": ("POST", rf"{PAGES}\.git/info/lfs/objects/batch", _Handler._batch),
    "upload": ("PUT", r"/lfs/[^/]+/(?P<oid>[0-9a-f]+)", _Handler._upload),
    "verify": ("POST", r"/lfs/[^/]+/(?P<oid>[0-9a-f]+)/verify", _Handler._verify),
    "resolve": (
        "GET|HEAD", rf"{PAGES}/resolve/(?P<rev>[^/]+|refs/[^/]+/[^/]+)/(?P<path>.+)",
        _Handler._resolve,
    ),
    "validate": ("POST", r"/api/validate-yaml", _Handler._validate),
    "storage": ("GET|HEAD", r"/storage/(?P<oid>[0-9a-f]+)", _Handler._storage),
}  # fmt: skip

__all__ = ["Fault", "HubServer", "Repo", "User"]
