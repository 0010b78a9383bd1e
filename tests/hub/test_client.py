"""The Hub's client of this process, against a server that is silent, breaks off or goes away."""

import threading
import time
from dataclasses import replace

import pytest
from finished import make_finished
from hub_server import Fault

from synfill.errors import UsageError
from synfill.hub.client import check_endpoint

ASK = """
import time
from huggingface_hub import HfApi, get_session
from huggingface_hub.utils import close_session
from synfill.hub import client, retry
from synfill.hub.failures import failures, reason

client.TIMEOUT, retry.FIRST_WAIT, retry._NOTE_EVERY = 0.3, 0.01, 0
notes = []
api = HfApi()
with client.pushing(notes.append):
"""


@pytest.fixture
def ask(hub, alice, tmp_path, forker):
    """Runs lines of Python within `pushing`, in a process of their own."""

    def run(lines):
        indented = "".join(f"    {line}\n" for line in lines.splitlines())
        environment = hub.environment(tmp_path / "home", alice.token)
        ran = forker.run([], code=ASK + indented, environment=environment)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return run


def test_a_request_without_an_answer_is_given_up_and_made_anew(hub, ask):
    hub.faults.append(Fault("whoami", "slow", times=2, seconds=1))
    assert ask('print(api.whoami()["name"], len(notes))') == "alice 2\n"


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("whoami", "api.whoami()"),
        ("/api/datasets/", "api.dataset_info('alice/x')"),
        ("/tree/", "list(api.list_repo_tree('alice/x', repo_type='dataset'))"),
        ("/refs", "api.list_repo_refs('alice/x', repo_type='dataset')"),
        ("/preupload/", "api.preupload_lfs_files('alice/x', [], repo_type='dataset')"),
    ],
)
def test_silence_has_an_end(hub, ask, tmp_path, path, call):
    """A Hub that takes a request and never answers: also where the client says "no limit"."""
    (tmp_path / "x").mkdir()
    hub.store.put_folder("alice/x", tmp_path / "x")
    hub.faults.append(Fault(path, "slow", seconds=30))
    if "preupload" in path:
        call = (
            "from huggingface_hub import CommitOperationAdd as Add\n"
            "call = lambda: api.preupload_lfs_files('alice/x', [Add('a.png', b'x')],\n"
            "    repo_type='dataset')"
        )
    else:
        call = f"call = lambda: {call}"
    began = time.monotonic()
    out = ask(f"""{call}
from dataclasses import replace
time.sleep, sleep = lambda s: sleep(min(s, 0.05)), time.sleep
with retry.patience(replace(retry.PUSHING, longest_outage=2)):
    try: call()
    except failures() as error: print(reason(error), "|", notes[0])""")
    assert time.monotonic() - began < 25
    assert "has succeeded for" in out
    assert "there was no answer. Asking again in 0 s." in out


def test_a_client_that_is_made_anew_has_its_limits_and_patience_too(hub, ask):
    hub.faults.append(Fault("whoami", "slow", times=1, seconds=1))
    out = ask('close_session(); print(api.whoami()["name"], len(notes))')
    assert out == "alice 1\n"


def test_a_client_that_another_thread_closes_still_serves(hub, ask):
    out = ask(
        "session = get_session(); close_session()\n"
        'print(session.get(f"{api.endpoint}/api/whoami-v2", headers={}).status_code)'
    )
    assert out == "401\n"


def test_a_factory_that_the_user_has_set_still_makes_the_client(hub, ask):
    out = ask(
        "from huggingface_hub import set_client_factory\n"
        "from huggingface_hub.utils._http import default_client_factory\n"
        "def make():\n"
        "    made = default_client_factory(); made.headers['X-Own'] = 'yes'; return made\n"
        "client._is_prepared = False; set_client_factory(make); client.prepare_client()\n"
        'print(get_session().headers["X-Own"], api.whoami()["name"])'
    )
    assert out == "yes alice\n"


@pytest.mark.parametrize("route", ["whoami", "/tree/", "/preupload/", "/objects/batch", "PUT /lfs"])
def test_a_wait_that_nobody_would_wait_ends_the_command_and_is_told(alice, hub, route):
    folder = make_finished(alice.folder / "pets-balanced")
    hub.faults.append(Fault(route, "429", seconds=40_000))
    began = time.monotonic()
    ran = alice("push", folder, "pets")
    # In the client's time a second takes a hundredth: 40,000 would still be 400 s.
    assert time.monotonic() - began < 60
    assert ran.code == 1
    assert "to wait 11.1 h" in ran.err


def test_an_upload_outlives_short_outages(alice, hub):
    """The server goes away and comes back, several times, while many shards are sent."""
    folder = make_finished(alice.folder / "pets-balanced", shards=24)
    hub.faults.append(Fault("PUT /lfs", "slow", seconds=0.05))
    outages = iter([0.05, 0.2, 0.6])
    sent = 0
    lock = threading.Lock()

    def perhaps_die(request):
        nonlocal sent
        if not request.startswith("PUT /lfs"):
            return
        with lock:
            sent += 1
            pause = next(outages, None) if sent in (5, 12, 20) else None
        if pause is not None:
            threading.Thread(target=outage, args=(pause,)).start()

    def outage(seconds):
        hub.die()
        time.sleep(seconds)
        hub.come_back()

    hub.before = perhaps_die
    ran = alice("push", folder, "pets")
    assert ran.code == 0, ran.err
    assert next(outages, None) is None
    there = hub.files("alice/pets")
    for shard in (folder / "data").iterdir():
        assert there[f"data/{shard.name}"] == shard.read_bytes()


@pytest.mark.parametrize(
    "address",
    ["ftp://hub.org", "hub.org", "http://", "https:///x", "", "http://a b", "http://h:port"],
)
def test_an_address_that_can_be_none_is_refused_at_once(monkeypatch, address):
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(UsageError, match="HF_ENDPOINT is"):
        check_endpoint()


@pytest.mark.parametrize("address", ["https://hub.org", "http://[::1]:80/hf/", "https://u:p@h"])
def test_other_addresses_may_be(monkeypatch, address):
    monkeypatch.setenv("HF_ENDPOINT", address)
    check_endpoint()


def test_a_command_refuses_such_an_address(alice):
    ran = alice("analyze", "a/b", HF_ENDPOINT="http://me:geheim@host:port")
    assert ran.code == 2
    assert "HF_ENDPOINT" in ran.err and "geheim" not in ran.err


def test_a_token_that_no_header_can_hold_is_named(alice):
    ran = alice("analyze", "a/b", HF_TOKEN="hf_tökenOfAlice")
    assert ran.code == 2
    assert "HF_TOKEN" in ran.err and "character 5 of 15" in ran.err
    assert "kenOf" not in ran.err


@pytest.mark.parametrize("content", ["hf_two\nlines\u2028here", b"\xff\xfe", None])
def test_a_token_file_that_holds_none(alice, content):
    path = alice.folder / "home/token"
    path.parent.mkdir(parents=True)
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    ran = replace(alice, token=None)("analyze", "a/b")
    assert ran.code == 2
    assert "the token of hf auth login" in ran.err and "hf auth login --force" in ran.err
    assert "lines" not in ran.err
