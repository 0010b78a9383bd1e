"""Ids, branches and messages that can't be: refused before anything is asked or made."""

import pytest
from hub_server import Fault

from synfill.errors import UsageError
from synfill.hub.upload.kinds import DATASET
from synfill.hub.upload.names import check_branch, check_message, split_id

ID = "alice/pets-balanced"
BAD_BRANCHES = [
    "", " ", "a..b", "-x", "refs/pr/1", "refs/heads/x", "a b", "x.lock", "x.lock/y", ".x", "a/.x",
    "/x", "x/", "a//b", "x.", "@", "HEAD", "a@{b", "a~1", "a^", "a:b", "a?", "a*", "[a", "a\\b",
    "a\x7f", "a\nb", "0" * 40, "x" * 300,
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_BRANCHES)
def test_branches_that_cannot_be(name):
    with pytest.raises(UsageError, match="can't be the name of a branch"):
        check_branch(name)


@pytest.mark.parametrize("name", ["v2", "main", "a/b", "2026-01", "x.y", "ä", "a@b", "@x", "a-"])
def test_branches_that_can_be(name):
    check_branch(name)


@pytest.mark.parametrize(
    "id",
    ["a/b/c", "https://huggingface.co/alice/pets", "alice/pets ", "alice/pe\x1bts", "a" * 97, ""],
)
def test_ids_that_cannot_be(id):
    with pytest.raises(UsageError, match="can't be the id") as found:
        split_id(id, DATASET)
    assert "\x1b" not in str(found.value)


@pytest.mark.parametrize("id", ["hf_" + "aB3" * 11 + "x", "alice/hf_" + "aB3" * 11 + "x"])
def test_tokens_in_the_locate_stage_ids(id):
    with pytest.raises(UsageError, match="looks like an access token") as found:
        split_id(id, DATASET)
    assert "aB3" not in str(found.value) and "revoke" in str(found.value)
    assert split_id("alice/hf_datasets_of_pets_balanced", DATASET)[0] == "alice"


@pytest.mark.parametrize("check", [check_branch, check_message])
def test_tokens_in_a_branch_or_a_message(check, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "unusual-token")
    for text in ("hf_" + "aB3" * 11 + "x", "with-unusual-token-in-it"):
        with pytest.raises(UsageError, match="looks like an access token") as found:
            check(text)
        assert "aB3" not in str(found.value) and "unusual" not in str(found.value)


def test_they_are_refused_before_anything_is_asked(alice, hub, finished):
    for arguments in (
        (ID, "--revision", "a..b"),
        (ID, "--revision", ""),
        (ID, "--commit-message", "  "),
        ("hf_secretOfAlice",),
    ):
        ran = alice("push", finished, *arguments)
        assert ran.code == 2, ran.err
    assert hub.requests == []


def test_tags_and_branches_below_others(alice, hub, finished):
    assert alice("push", finished, "--revision", "v2/a").code == 0
    repo = hub.store.repos[ID]
    repo.refs["refs/tags/v1"] = repo.refs["refs/heads/main"]
    hub.requests.clear()
    ran = alice("push", finished, "--revision", "v1")
    assert ran.code == 2 and "'v1' is a tag in alice/pets-balanced" in ran.err
    ran = alice("push", finished, "--revision", "v2")
    assert ran.code == 2 and "can't hold the branches 'v2' and 'v2/a'" in ran.err
    assert not any(request.startswith("POST") for request in hub.requests)


def test_the_hubs_own_words_are_shown_without_tokens(alice, hub, finished):
    said = b'{"error": "No more datasets for you, hf_abcdefgh, see https://hf.co/x?token=secret."}'
    hub.faults.append(Fault("repos/create", "403", body=said))
    ran = alice("push", finished)
    assert ran.code == 1
    assert "No more datasets for you, ***, see https://hf.co/x)" in ran.err


def test_an_address_of_the_storage_that_expired(alice, hub, finished):
    hub.faults.append(Fault("PUT /lfs", "expired", times=2))
    ran = alice("push", finished)
    assert ran.code == 0, ran.err
    assert "the address that the Hub gave has expired" in ran.err
    hub.store.repos.clear()
    for content in hub.store.root.iterdir():
        content.unlink()
    hub.faults.append(Fault("PUT /lfs", "expired"))
    ran = alice("push", finished)
    assert ran.code == 1
    assert "has expired" in ran.err and "token" not in ran.err
