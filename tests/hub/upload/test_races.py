"""What others do between the questions and the push, and while it is sent."""

import re
import threading
from dataclasses import replace

import pytest
from finished import make_finished
from hub_server import Fault

ID = "alice/pets-balanced"


def commit(hub, files, message="someone else"):
    repo = hub.store.repos[ID]
    there = dict(repo.commits[repo.resolve("main")])
    there |= {name: hub.store.add(content) for name, content in files.items()}
    repo.commit("refs/heads/main", there, message)


def at(hub, pattern, number, action):
    """Do something right before the so many-th matching request."""
    seen = []

    def before(request):
        if re.search(pattern, request):
            seen.append(request)
            if len(seen) == number:
                action()

    hub.before = before


def no_writes(hub):
    return not any(re.match("(POST|PUT) ", request) for request in hub.requests)


def make_public(hub):
    hub.store.repos[ID].private = False


def replace_all(hub):
    repo = hub.store.repos[ID]
    repo.commit("refs/heads/main", {"thesis.txt": hub.store.add(b"mine")}, "another use")


def may_only_read(hub):
    user = hub.store.users["hf_secretOfAlice"]
    hub.store.users["hf_secretOfAlice"] = replace(user, role="read")


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (make_public, "was private when it was asked about, and is public now. Nothing was sent"),
        (replace_all, "holds something else (thesis.txt)"),
        (may_only_read, "may only read"),
    ],
)
def test_what_changed_since_it_was_asked_is_asked_again(alice, hub, finished, action, words):
    assert alice("push", finished, "--private").code == 0
    hub.requests.clear()
    before = list(hub.commits(ID))
    # The first question is the one that comes before the images are made.
    at(hub, "whoami", 2, lambda: action(hub))
    ran = alice("push", finished, ID)
    assert ran.code == 1
    assert words in ran.err and "synfill push" in ran.err
    assert no_writes(hub)
    assert hub.commits(ID)[: len(before)] == before and len(hub.commits(ID)) <= len(before) + 1


@pytest.mark.parametrize("commits", [1, 2])
def test_what_is_made_public_while_it_is_sent_is_told(alice, hub, finished, commits):
    if commits == 2:
        # More than goes into one commit.
        finished = make_finished(
            alice.folder / "many-balanced", 1, files={f"train/{n}.txt": b"" for n in range(1000)}
        )
    hub.store.create(
        hub.store.users["hf_secretOfAlice"],
        {"name": "pets-balanced", "type": "dataset", "private": True},
    )
    at(hub, "preupload", 1, lambda: make_public(hub))
    ran = alice("push", finished, ID)
    assert ran.code == 1
    assert "was made public while this was sent" in ran.err and "anyone can see it" in ran.err
    assert ("synfill/run.json" in hub.files(ID)) == (commits == 1)


def test_a_public_repository_that_was_made_meanwhile(alice, hub, finished):
    at(hub, "whoami", 2, lambda: hub.store.create(
        hub.store.users["hf_secretOfAlice"], {"name": "pets-balanced", "type": "dataset"}
    ))  # fmt: skip
    ran = alice("push", finished, "--private")
    assert ran.code == 1
    assert "is public, but --private was asked for" in ran.err
    assert hub.received == 0 and len(hub.commits(ID)) == 1


def test_a_commit_of_someone_else_during_the_push_is_not_replaced(alice, hub, finished):
    assert alice("push", finished).code == 0
    other = make_finished(alice.folder / "other", seed=1)
    at(hub, "POST .*/commit/", 1, lambda: commit(hub, {"README.md": b"# theirs"}))
    ran = alice("push", other, ID, "--overwrite")
    assert ran.code == 1
    assert "Someone else changed alice/pets-balanced while this was sent" in ran.err
    assert hub.files(ID)["README.md"] == b"# theirs"
    assert len(hub.commits(ID)) == 3
    hub.before = lambda request: None
    assert alice("push", other, ID, "--overwrite").code == 0


def test_of_two_pushes_at_once_the_second_is_told(alice, hub, finished):
    assert alice("push", finished).code == 0
    others = [make_finished(alice.folder / f"other-{n}", seed=n) for n in (1, 2)]
    # Both have looked at the repository when the first of them goes on.
    barrier = threading.Barrier(2)
    waited = []

    def before(request):
        if "preupload" in request and len(waited) < 2:
            waited.append(request)
            barrier.wait(60)

    hub.before = before
    started = [alice.start("push", other, ID, "--overwrite") for other in others]
    said = [process.communicate(timeout=120)[1] for process in started]
    codes = [process.returncode for process in started]
    assert sorted(codes) == [0, 1], said
    assert "Someone else changed" in said[codes.index(1)]
    assert len(hub.commits(ID)) == 3
    there = {n: c for n, c in hub.files(ID).items() if n.startswith("data/")}
    winner = others[codes.index(0)] / "data"
    assert there == {f"data/{path.name}": path.read_bytes() for path in winner.iterdir()}


def test_each_of_several_commits_is_pinned(alice, hub):
    names = [f"train/a/real-{number:07d}.txt" for number in range(2100)]
    many = make_finished(alice.folder / "many", files={name: name.encode() for name in names})
    at(hub, "POST .*/commit/", 2, lambda: commit(hub, {"theirs.txt": b"theirs"}))
    ran = alice("push", many, ID)
    assert ran.code == 1
    assert "Someone else changed" in ran.err
    assert len(hub.commits(ID)) == 3
    assert "synfill/run.json" not in hub.files(ID)
    # What came with the first commit isn't sent again; theirs has to be told of.
    hub.store.repos[ID].commit("refs/heads/main", {
        name: entry for name, entry in
        hub.store.repos[ID].commits[hub.store.repos[ID].resolve("main")].items()
        if name != "theirs.txt"
    }, "taken back")  # fmt: skip
    hub.before = lambda request: None
    hub.faults.append(Fault("/commit/", "lost", times=1))
    ran = alice("push", many, ID)
    assert ran.code == 0, ran.err
    assert "(1,000 are there already)" in ran.err
    assert "all 2,105 files" in ran.out and "1,105 of them came with this push" in ran.out
    there = hub.files(ID)
    assert all(there[name] == name.encode() for name in names)
    assert len(hub.commits(ID)) == 6 and hub.store.repos[ID].empty_commits == 0
