"""What others put on the Hub, or changed there, stays as it is unless `--overwrite` is given."""

import json

import pytest
from finished import make_finished
from hub_server import Fault

ID = "alice/pets-balanced"


def put(hub, files, remove=()):
    """Commit to the repository, as someone else does on its pages."""
    repo = hub.store.repos[ID]
    there = dict(repo.commits[repo.resolve("main")])
    for name in remove:
        del there[name]
    for name, content in files.items():
        there[name] = hub.store.add(content, name.endswith(".parquet"))
    repo.commit("refs/heads/main", there, "someone else")


def names(hub):
    return set(hub.files(ID)) - {".gitattributes"}


def test_what_others_added_stays(alice, hub, finished):
    assert alice("push", finished).code == 0
    theirs = {
        "data/mine.txt": b"mine",
        "data/validation-00000-of-00001.parquet": b"PAR1 theirs",
        "synfill/notes.md": b"notes",
        "paper.pdf": b"paper",
    }
    put(hub, theirs)
    for more in ((), ("--overwrite",)):
        ran = alice("push", finished, *more)
        assert ran.code == 0, ran.err
        assert "nothing had to be sent" in ran.out
        assert "Left as they are" in ran.err and "data/mine.txt" in ran.err
        assert hub.files(ID).items() >= theirs.items()


def test_an_edited_card_is_kept_and_told(alice, hub, finished):
    assert alice("push", finished).code == 0
    put(hub, {"README.md": b"# Mine"}, ["data/train-00001-of-00003.parquet"])
    ran = alice("push", finished)
    assert ran.code == 0, ran.err
    assert (
        "README.md in alice/pets-balanced was edited since the run wrote it, and is kept" in ran.err
    )
    assert "all 4 files" in ran.out and "and an edited README.md" in ran.out
    assert "1 of them came with this push" in ran.out
    assert hub.files(ID)["README.md"] == b"# Mine"
    ran = alice("push", finished, "--overwrite")
    assert ran.code == 0, ran.err
    assert hub.files(ID)["README.md"] == (finished / "README.md").read_bytes()


def test_a_card_that_was_edited_here_is_sent(alice, hub, finished):
    assert alice("push", finished).code == 0
    (finished / "README.md").write_text("# Better")
    ran = alice("push", finished)
    assert ran.code == 0, ran.err
    assert hub.files(ID)["README.md"] == b"# Better"


@pytest.mark.parametrize("listed", [True, False])
def test_only_files_of_the_earlier_push_are_removed(alice, hub, listed):
    """The same run, made anew with fewer shards, as after a change of their size."""
    first = make_finished(alice.folder / "first", shards=4, listed=listed)
    again = make_finished(alice.folder / "again", shards=2, listed=listed)
    path = again / "synfill/run.json"
    record = json.loads(path.read_text())
    record["identity"] = json.loads((first / "synfill/run.json").read_text())["identity"]
    path.write_text(json.dumps(record))
    assert alice("push", first, ID).code == 0
    changed, strange = "data/train-00003-of-00004.parquet", "data/train-00000-of-00009.parquet"
    put(hub, {"data/mine.txt": b"mine", strange: b"PAR1 strange"})
    if listed:
        put(hub, {changed: b"PAR1 changed"})
    ran = alice("push", again, ID)
    assert ran.code == 0, ran.err
    stays = {strange, "data/mine.txt"} | ({changed} if listed else set())
    own = {"README.md", "synfill/run.json"}
    own |= {f"data/train-0000{number}-of-00002.parquet" for number in range(2)}
    assert names(hub) == own | stays
    assert "will be read with it: data/train-00000-of-00009.parquet" in ran.err
    ran = alice("push", again, ID, "--overwrite")
    assert ran.code == 0, ran.err
    assert "Removing" in ran.err
    assert names(hub) == own | {"data/mine.txt"}


def test_a_changed_file_in_the_way_is_not_replaced_unasked(alice, hub, finished):
    assert alice("push", finished).code == 0
    shard = "data/train-00000-of-00003.parquet"
    put(hub, {shard: b"PAR1 better"})
    ran = alice("push", finished)
    assert ran.code == 1
    assert f"not as the earlier push left it: {shard}" in ran.err and "--overwrite" in ran.err
    assert hub.files(ID)[shard] == b"PAR1 better"
    assert alice("push", finished, "--overwrite").code == 0
    assert hub.files(ID)[shard] == (finished / shard).read_bytes()


def test_a_gitignore_there_is_told_for_what_it_is(alice, hub, finished):
    assert alice("push", finished).code == 0
    put(hub, {".gitignore": b"*.parquet"}, ["data/train-00001-of-00003.parquet"])
    before = list(hub.commits(ID))
    ran = alice("push", finished)
    assert ran.code == 1
    assert ".gitignore in alice/pets-balanced keeps 1 of the files out" in ran.err
    assert hub.commits(ID) == before


def test_a_record_there_that_lies_takes_nothing_along(alice, hub, finished):
    """Paths out of the repository, hashes that aren't, files of others with their true hashes."""
    assert alice("push", finished).code == 0
    record = json.loads(hub.files(ID)["synfill/run.json"])
    record["files"] |= {"../x": {"bytes": 1, "sha256": "0" * 64}, "data/mine.txt": 7, "a\\b": None}
    put(hub, {"data/mine.txt": b"mine", "synfill/run.json": json.dumps(record).encode()})
    ran = alice("push", finished)
    assert ran.code == 0, ran.err
    assert "data/mine.txt" in names(hub)


def test_a_pull_request_of_another_title_is_left_alone(alice, hub, finished):
    assert alice("push", make_finished(alice.folder / "old", seed=3), ID).code == 0
    for message in ("First", "Second", "First"):
        ran = alice("push", finished, ID, "--create-pr", "--commit-message", message)
        assert ran.code == 0, ran.err
    repo = hub.store.repos[ID]
    assert [one["title"] for one in repo.pull_requests.values()] == ["First", "Second"]
    repo.pull_requests[1]["status"] = "closed"
    ran = alice("push", finished, ID, "--create-pr", "--commit-message", "First")
    assert "discussions/3" in ran.out
    # Lost on a gateway: done, but answered with 504.
    hub.faults.append(Fault("/commit/", "504", times=1))
    ran = alice("push", finished, ID, "--create-pr", "--commit-message", "Third")
    assert ran.code == 0, ran.err
    assert "discussions/4" in ran.out and len(repo.pull_requests) == 4
