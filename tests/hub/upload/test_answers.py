"""Answers that can't be, with status 200, to every request of a push: an error, or a look."""

import json

from finished import make_finished

# In a process of its own, with the server in it: the client reads its environment once, and some
# hundred pushes take a second or two each as commands.
DRIVER = """
import json, os, shutil, sys, time
from pathlib import Path

from forking import adopt_environment
from hub_server import Fault, HubServer, User

folder, home = Path(sys.argv[1]), Path(sys.argv[2])
time.sleep = lambda seconds: None
ENDPOINTS = {
    "whoami": "whoami",
    "create": "repos/create",
    "info": "GET /api/datasets/alice/pets($|/revision)",
    "tree": "GET .*/tree/",
    "refs": "GET .*/refs$",
    "branch": "POST .*/branch/",
    "validate": "validate-yaml",
    "preupload": "preupload",
    "batch": "objects/batch",
    "put": "PUT /lfs",
    "verify": "/verify",
    "commit": "/commit/",
    "record": "GET .*/resolve/",
    "discussions": "/discussions",
}
BODIES = [b"null", b"{}", b"[]", b"<html>busy</html>", b"", bytes([255]), b'"x"', b"[null]", b"7"]


def altered(value):
    '''A JSON value, each time with one part that is null or of another type.'''
    if isinstance(value, dict):
        for key, one in value.items():
            rest = {k: v for k, v in value.items() if k != key}
            yield rest | {key: None}
            yield rest | {key: 7 if isinstance(one, str) else "x"}
            for inner in altered(one):
                yield rest | {key: inner}
    elif isinstance(value, list) and value:
        for inner in altered(value[0]):
            yield [inner, *value[1:]]


class Nth:
    '''Makes one of the altered answers; `most` is how many there are.'''

    def __init__(self, number):
        self.number, self.most = number, 0

    def __call__(self, body):
        try:
            found = list(altered(json.loads(body)))
        except ValueError:
            found = []
        self.most = max(self.most, len(found))
        return json.dumps(found[self.number]).encode() if self.number < len(found) else body


with HubServer(folder / "hub") as hub:
    adopt_environment(hub.environment(home, "hf_secretOfAlice"))
    hub.store.users["hf_secretOfAlice"] = User("alice")

    from synfill.errors import SynfillError
    from synfill.config.push import PushSettings
    from synfill.hub.upload.destination import check_destination
    from synfill.hub.upload.listing import read_dataset
    from synfill.hub.upload.push import push_dataset

    finished, other = read_dataset(folder / "new"), read_dataset(folder / "old")

    def push(local, **settings):
        local._digests.clear()
        settings = PushSettings(repo_id="alice/pets", **settings)
        where = check_destination(settings, "", local.record["identity"], local, lambda line: None)
        return push_dataset(local, where, lambda line: None)

    def trial(name, body, times):
        hub.store.repos.clear()
        for content in hub.store.root.iterdir():
            content.unlink()
        hub.faults.clear()
        hub.requests.clear()
        settings = {}
        if name in ("record", "discussions"):
            push(other)
        if name == "record":
            settings = {"overwrite": True}
        if name == "discussions":
            settings = {"create_pr": True}
        if name in ("refs", "branch"):
            push(other)
            settings = {"revision": "v2", "overwrite": True}
        fault = Fault(ENDPOINTS[name], "body", times=times, body=body)
        hub.faults.append(fault)
        try:
            push(finished, **settings)
            said = ""
        except SynfillError as error:
            said = str(error)
        except BaseException as error:
            said = f"MISTAKE {type(error).__name__}: {error}"
        repo = hub.store.repos.get("alice/pets")
        revision = settings.get("revision") or ("refs/pr/1" if "create_pr" in settings else "main")
        whole = False
        if repo is not None:
            try:
                there = hub.files("alice/pets", revision)
            except Exception:
                there = {}
            whole = all(there.get(n) == (finished.path / n).read_bytes() for n in finished.files)
        pulls = len(repo.pull_requests) if repo is not None else 0
        return {"said": said, "whole": whole, "struck": fault.done, "pulls": pulls}

    found = []
    for name in ENDPOINTS:
        for body in BODIES:
            # Asked again, all of them are alike: some do.
            for times in (1, 10**6) if body in BODIES[:4] else (10**6,):
                found.append([name, repr(body), times, trial(name, body, times)])
        alter = Nth(-1)
        while alter.number < alter.most:
            alter = Nth(alter.number + 1)
            result = trial(name, alter, 10**6)
            found.append([name, f"altered {alter.number}", 10**6, result])
    json.dump(found, sys.stdout)
"""


def test_answers_that_cannot_be(tmp_path, hub, forker):
    make_finished(tmp_path / "new", shards=2)
    make_finished(tmp_path / "old", shards=1, seed=1)
    (tmp_path / "home").mkdir()
    ran = forker.run([tmp_path, tmp_path / "home"], code=DRIVER)
    assert ran.returncode == 0, ran.stderr
    for endpoint, body, times, result in json.loads(ran.stdout):
        what = (endpoint, body, times, result)
        assert result["struck"] and result["pulls"] <= 1, what
        if times == 1 or endpoint in ("create", "branch", "put", "verify", "commit"):
            # Asked again, or looked at: the answer says less than what is there.
            assert result["whole"] and not result["said"], what
        else:
            assert result["whole"] or result["said"].count("\n") >= 1, what
        assert "MISTAKE" not in result["said"], what
