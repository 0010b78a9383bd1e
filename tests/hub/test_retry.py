"""How often, and after which waits, the Hub is asked again."""

import json
from types import SimpleNamespace

import pytest
from hub_server import Fault

from synfill.hub import retry
from synfill.hub.failures import BadAnswer, GaveUp
from synfill.hub.retry import PUSHING, READING, Patience, ask, patience


@pytest.fixture
def waits(monkeypatch):
    """The waits, none of which takes any time."""
    found = []
    monkeypatch.setattr("synfill.hub.retry.time.sleep", found.append)
    monkeypatch.setattr(retry, "_STATE", retry._State(notify=lambda line: None))
    return found


def broken():
    raise ConnectionResetError


@pytest.mark.parametrize("part", [0.5, 1, 1.5])
def test_each_wait_is_twice_as_long_give_or_take_a_half(monkeypatch, waits, part):
    chosen = []

    def uniform(low, high):
        chosen.append((low, high))
        return part

    monkeypatch.setattr("synfill.hub.retry.random.uniform", uniform)
    notes = []
    with patience(Patience(9, 900, 600, True), notes.append), pytest.raises(ConnectionResetError):
        ask("It", broken)
    assert waits == [part * second for second in (1, 2, 4, 8, 16, 32, 60, 60)]
    assert set(chosen) == {(0.5, 1.5)}
    assert notes[1] == (
        f"It: the connection to the Hub failed. Trying again in {2 * part:.0f} s (2 of 8)."
    )


def test_waits_are_not_the_same_for_all(waits):
    for _ in range(2):
        with patience(READING), pytest.raises(ConnectionResetError):
            ask("It", broken)
    first, second = waits[: READING.tries - 1], waits[READING.tries - 1 :]
    assert first != second
    for wait, grown in zip(first, (1, 2, 4, 8, 16), strict=True):
        assert 0.5 * grown <= wait <= 1.5 * grown


def test_nonsense_is_asked_again_and_a_mistake_is_not(waits):
    answers = iter(["<html>", "<html>", '"said"'])
    assert ask("It", lambda: json.loads(next(answers))) == "said"
    assert len(waits) == 2
    with pytest.raises(BadAnswer):
        ask("It", lambda: json.loads("<html>"))
    assert len(waits) == 2 + READING.tries - 1
    with pytest.raises(TypeError):
        ask("It", lambda: None + 1)
    assert len(waits) == 2 + READING.tries - 1


def test_what_was_given_up_is_not_asked_again(waits):
    def question():
        raise RuntimeError("Error while uploading") from GaveUp(600)

    with pytest.raises(RuntimeError):
        ask("It", question)
    assert waits == []


class Body:
    """A file that is sent, of which it is noted where sending begins."""

    def __init__(self):
        self.position, self.begun = 7, []

    def tell(self):
        return self.position

    def seek(self, position):
        self.position = position


def request_of(body, method="POST", **params):
    return SimpleNamespace(
        method=method, url=SimpleNamespace(path="/x", params=params), extensions={},
        stream=SimpleNamespace(_stream=body),
    )  # fmt: skip


@pytest.mark.parametrize("body", [b"all of it", Body()])
def test_what_is_sent_is_sent_from_its_beginning(waits, body):
    answers = iter([503, 503, 200])

    def send_once(request):
        if isinstance(body, Body):
            body.begun.append(body.position)
            body.position = 1000
        return SimpleNamespace(
            status_code=next(answers), headers={}, history=[], close=lambda: None
        )

    assert retry.send(send_once, request_of(body), {}).status_code == 200
    assert len(waits) == 2
    assert isinstance(body, bytes) or body.begun == [7, 7, 7]


@pytest.mark.parametrize(
    "request_", [request_of(iter([b"once"])), request_of(b"a pull request", create_pr="1")]
)
def test_what_cannot_be_sent_twice_is_not(waits, request_):
    sent = []

    def send_once(request):
        sent.append(request)
        return SimpleNamespace(status_code=503, headers={}, history=[])

    assert retry.send(send_once, request_, {}).status_code == 503
    assert len(sent) == 1 and waits == []


COUNT = """
import time
time.sleep = lambda seconds: None
from huggingface_hub import CommitOperationAdd, HfApi
from synfill.hub.client import pushing
from synfill.hub.failures import failures, reason
from synfill.hub.retry import ask

api = HfApi()
add = [CommitOperationAdd("a.png", b"x" * 1000)]
with pushing(lambda line: None):
    for call in (
        lambda: api.whoami(),
        lambda: list(api.list_repo_tree("alice/x", repo_type="dataset")),
        lambda: api.preupload_lfs_files("alice/x", add, repo_type="dataset"),
    ):
        try:
            ask("It", call)
        except failures() as error:
            print(reason(error))
"""


@pytest.mark.parametrize("kind", ["503", "cut"])
def test_no_two_repeat_the_same_request(hub, alice, tmp_path, kind, forker):
    """Neither `ask` nor huggingface_hub repeats what `send` gave up on, nor an upload's body."""
    (tmp_path / "x").mkdir()
    hub.store.put_folder("alice/x", tmp_path / "x")
    hub.faults += [Fault("whoami", kind), Fault("/tree/", kind), Fault("PUT /lfs", kind)]
    environment = hub.environment(tmp_path / "home", alice.token)
    ran = forker.run([], code=COUNT, environment=environment)
    assert ran.returncode == 0, ran.stderr
    why = "the connection to the Hub failed"
    why = why if kind == "cut" else "the Hub answered with status 503"
    assert ran.stdout == f"{why}\n" * 3
    assert [fault.done for fault in hub.faults] == [PUSHING.tries] * 3
