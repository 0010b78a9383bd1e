"""`synfill push` against a small Hub that breaks in the ways the real one does."""

import json
import signal
import time
from dataclasses import replace

import pytest
from finished import make_finished
from hub_server import Fault, User

ID = "alice/pets-balanced"


def holds(hub, folder, id=ID, revision="main"):
    """Whether a repository holds the dataset of a folder, and nothing else."""
    there = {k: v for k, v in hub.files(id, revision).items() if k != ".gitattributes"}
    names = [folder / entry for entry in ("README.md", "data", "synfill", "train")]
    files = [f for p in names for f in (p.rglob("*") if p.is_dir() else [p]) if f.is_file()]
    return there == {f.relative_to(folder).as_posix(): f.read_bytes() for f in files}


def test_a_dataset_is_pushed_whole(alice, hub, finished):
    ran = alice("push", finished)
    assert ran.code == 0, ran.err
    assert holds(hub, finished)
    assert "anyone can see it" in ran.out
    assert "all 5 files" in ran.out and "compared, 5 of them came with this push" in ran.out
    assert not hub.store.repos[ID].private
    assert len(hub.commits(ID)) == 2


def test_again_there_is_nothing_to_send(alice, hub, finished):
    assert alice("push", finished).code == 0
    commits, received = list(hub.commits(ID)), hub.received
    ran = alice("push", finished, ID)
    assert ran.code == 0, ran.err
    assert "nothing had to be sent" in ran.out
    assert (hub.commits(ID), hub.received) == (commits, received)
    assert hub.store.repos[ID].empty_commits == 0


def test_a_hundred_shards_make_few_commits(alice, hub):
    folder = make_finished(alice.folder / "many", shards=100)
    ran = alice("push", folder, "many")
    assert ran.code == 0, ran.err
    assert holds(hub, folder, "alice/many")
    assert len(hub.commits("alice/many")) <= 5


def test_private_and_organizations(alice, hub, finished):
    ran = alice("push", finished, "zoo/pets", "--private")
    assert ran.code == 0, ran.err
    assert hub.store.repos["zoo/pets"].private
    assert "private: only zoo" in ran.out
    other = alice("push", finished, "zoo/pets", "--public")
    assert other.code == 2
    assert "is private, but --public was asked for" in other.err


REQUESTS = (
    "whoami", "repos/create", "GET .*/tree/", "validate-yaml", "preupload", "objects/batch",
    "PUT /lfs", "/verify", "/commit/", f"GET /api/datasets/{ID}$",
)  # fmt: skip


@pytest.mark.parametrize("kind", ["503", "429", "cut", "lost"])
def test_every_kind_of_request_may_fail_twice(alice, hub, finished, kind):
    hub.faults += [Fault(request, kind, times=2, seconds=3) for request in REQUESTS]
    ran = alice("push", finished)
    assert ran.code == 0, ran.err
    assert {fault.pattern: fault.done for fault in hub.faults} == dict.fromkeys(REQUESTS, 2)
    assert holds(hub, finished)
    assert len(hub.commits(ID)) == 2
    assert hub.store.repos[ID].empty_commits == 0


@pytest.mark.parametrize("every", [2, 3])
def test_writes_that_keep_failing(alice, hub, finished, every):
    hub.faults.append(Fault("^(POST|PUT)", "503", every=every))
    ran = alice("push", finished)
    assert ran.code == 0, ran.err
    assert holds(hub, finished)


def test_retry_after_is_heeded(alice, hub, finished):
    hub.faults.append(Fault("/commit/", "429", times=1, seconds=77))
    ran = alice("push", finished)
    assert "status 429. Asking again in 77 s" in ran.err
    hub.faults.append(Fault("whoami", "429", times=1, seconds=66))
    ran = alice("push", finished)
    assert "status 429. Asking again in 66 s" in ran.err
    hub.faults.append(Fault("whoami", "429", times=1, seconds=5000))
    ran = alice("push", finished)
    assert ran.code == 1
    assert "too many requests" in ran.err


def test_a_failed_push_says_what_is_missing_and_goes_on(alice, hub, finished):
    hub.faults.append(Fault("/commit/", "503"))
    ran = alice("push", finished, "--private")
    assert ran.code == 1
    assert "answered with status 503" in ran.err
    assert "0 of 5 files are in alice/pets-balanced; 5 are missing" in ran.err
    assert f"synfill push {finished} {ID} --private" in ran.err
    hub.faults.clear()
    received = hub.received
    again = alice("push", finished, ID, "--private")
    assert again.code == 0, again.err
    assert hub.received == received > 0
    assert holds(hub, finished)


def test_only_what_is_missing_is_sent(alice, hub, finished):
    hub.faults.append(Fault("PUT /lfs", "503", every=2))
    hub.faults.append(Fault("PUT /lfs", "403", every=2))
    ran = alice("push", finished)
    assert ran.code == 1
    there = hub.received
    assert there > 0
    hub.faults.clear()
    assert alice("push", finished).code == 0
    assert holds(hub, finished)
    size = sum(path.stat().st_size for path in (finished / "data").iterdir())
    assert hub.received == size


@pytest.mark.parametrize(
    ("token", "words"),
    [(None, "not logged in"), ("hf_oldTokenOfAlice", "expired or was revoked")],
)
def test_bad_logins(hub, alice, finished, token, words):
    ran = replace(alice, token=token)("push", finished)
    assert ran.code == 1
    assert words in ran.err and "hf auth login" in ran.err
    assert sum("whoami" in request for request in hub.requests) <= 1


def test_a_token_that_only_reads(hub, alice, finished):
    hub.store.users["hf_secretOfAlice"] = User("alice", role="read")
    ran = alice("push", finished)
    assert ran.code == 1
    assert "may only read" in ran.err


@pytest.mark.parametrize("id", ["bob/pets", "ark/pets"])
def test_namespaces_of_others(alice, hub, finished, id):
    ran = alice("push", finished, id)
    assert ran.code == 2
    assert id not in hub.store.repos


@pytest.mark.parametrize("id", ["a/b/c", "alice/pets--x", "alice/.pets", "alice/", "p?ts", "x.git"])
def test_names_that_cannot_be(alice, hub, finished, id):
    ran = alice("push", finished, id)
    assert ran.code == 2
    assert "can't be the id" in ran.err
    assert hub.requests == []


def test_what_others_made_is_not_replaced_unasked(alice, hub, finished, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "data.csv").write_text("precious")
    hub.store.put_folder(ID, other)
    ran = alice("push", finished)
    assert ran.code == 2
    assert "holds something else (data.csv)" in ran.err and "--overwrite" in ran.err
    assert set(hub.files(ID)) == {"data.csv"}
    assert alice("push", finished, "--overwrite").code == 0
    assert set(hub.files(ID)) > {"data.csv", "README.md"}


def test_another_run_replaces_the_former_with_overwrite(alice, hub, finished):
    assert alice("push", finished).code == 0
    other = make_finished(alice.folder / "other", shards=2, seed=1)
    ran = alice("push", other, ID)
    assert ran.code == 2
    assert "the dataset of another run" in ran.err
    assert holds(hub, finished)
    ran = alice("push", other, ID, "--overwrite")
    assert ran.code == 0, ran.err
    # No shard of the former is left, which load_dataset would read too.
    assert holds(hub, other)


def test_a_full_quota_is_not_asked_again(hub, alice, finished):
    hub.store.users["hf_secretOfAlice"] = User("alice", quota=1000)
    ran = alice("push", finished)
    assert ran.code == 1
    assert "storage of the account is full" in ran.err
    assert sum("objects/batch" in request for request in hub.requests) == 1


def test_a_card_that_the_hub_refuses(hub, alice, finished):
    (finished / "README.md").write_text("---\nlicense: my own\n---\n")
    ran = alice("push", finished)
    assert ran.code == 1
    assert "refuses the dataset card" in ran.err and "license" in ran.err
    assert hub.received == 0


def test_a_branch_and_its_message(alice, hub, finished):
    ran = alice("push", finished, "--revision", "v2", "--commit-message", "Second")
    assert ran.code == 0, ran.err
    assert holds(hub, finished, revision="v2")
    assert set(hub.files(ID)) == {".gitattributes"}
    assert hub.commits(ID)[-1] == "Second"
    assert "revision='v2'" in ran.out


@pytest.mark.parametrize("kind", ["503", "lost"])
def test_a_pull_request_is_opened_once(alice, hub, finished, kind):
    assert alice("push", make_finished(alice.folder / "old", seed=3), ID).code == 0
    hub.faults.append(Fault("/commit/", kind, times=1))
    for words in ("4 of them came with this push", "nothing had to be sent"):
        ran = alice("push", finished, ID, "--create-pr")
        assert ran.code == 0, ran.err
        assert words in ran.out
        assert ("Sending" in ran.err) == ("came" in words)
    assert "discussions/1" in ran.out
    repo = hub.store.repos[ID]
    assert [ref for ref in repo.refs if ref.startswith("refs/pr/")] == ["refs/pr/1"]
    assert holds(hub, finished, revision="refs/pr/1")


def test_ctrl_c_says_how_to_go_on(alice, hub, finished):
    hub.faults.append(Fault("PUT /lfs", "slow", seconds=1))
    process = alice.start("push", finished)
    while not any("objects/batch" in request for request in hub.requests):
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "This sends the rest: synfill push" in err
    hub.faults.clear()
    assert alice("push", finished).code == 0
    assert holds(hub, finished)


def test_a_file_that_someone_changes_there_is_noticed(alice, hub, finished):
    changed = []

    def before(request):
        repo = hub.store.repos.get(ID)
        is_look = request == f"GET /api/datasets/{ID}/revision/main"
        if is_look and repo and len(repo.titles) == 2 and not changed:
            changed.append(request)
            files = dict(repo.commits[repo.resolve("main")])
            files["README.md"] = hub.store.add(b"other")
            repo.commit("refs/heads/main", files, "someone else")

    hub.before = before
    ran = alice("push", finished)
    assert ran.code == 1
    assert "1 files there are not as they are here: README.md" in ran.err


def test_folders_that_hold_no_finished_dataset(alice, hub, finished):
    (finished / "synfill/run.json").unlink()
    assert "holds no dataset made by synfill" in alice("push", finished).err
    (finished / ".synfill").mkdir()
    ran = alice("push", finished)
    assert ran.code == 2 and "isn't finished" in ran.err
    (finished / "synfill/run.json").write_text("{")
    assert alice("push", finished).code == 1
    assert alice("push", "nowhere").code == 2


def test_the_record_names_no_path_outside(alice, hub, finished):
    record = json.loads((finished / "synfill/run.json").read_text())
    record["entries"] += ["..", "../secret", "/etc", ".synfill"]
    (finished / "synfill/run.json").write_text(json.dumps(record))
    assert alice("push", finished).code == 0
    assert holds(hub, finished)


def test_odd_file_names(alice, hub, finished):
    odd = [f"train/{name}.png" for name in ("ä #1", "[x]*?", "50%20", "a&b=c")]
    one = make_finished(alice.folder / "one", files={name: name.encode() for name in odd})
    for _ in range(2):
        ran = alice("push", one, ID)
        assert ran.code == 0, ran.err
        assert holds(hub, one)
    other = make_finished(alice.folder / "other", files={odd[0]: b""})
    assert alice("push", other, ID).code == 0
    assert holds(hub, other)


def test_offline(alice, finished):
    ran = alice("push", finished, HF_HUB_OFFLINE="1")
    assert ran.code == 1
    assert "HF_HUB_OFFLINE is set" in ran.err


def test_debugging_shows_no_token(alice, hub, finished):
    hub.faults.append(Fault("whoami", "403"))
    process = alice.start("push", finished, SYNFILL_DEBUG="1", HF_DEBUG="1")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" in err
    assert "secretOfAlice" not in out + err
