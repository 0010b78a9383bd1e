import email.utils
import json
import time
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import OfflineModeIsEnabled

from synfill.hub.retry import (
    BadAnswer,
    GaveUp,
    Patience,
    ask,
    may_pass,
    plain,
    reason,
    told_wait,
)
from synfill.wording import format_duration


def answer(status=429, **headers):
    return SimpleNamespace(
        status_code=status, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def test_how_long_the_hub_says_to_wait():
    assert told_wait(answer()) is None
    assert told_wait(answer(**{"Retry-After": "7"})) == 7
    soon = email.utils.formatdate(time.time() + 60, usegmt=True)
    assert 50 < told_wait(answer(**{"Retry-After": soon})) <= 60
    assert told_wait(answer(**{"Retry-After": "soon"})) is None
    assert told_wait(answer(ratelimit='"api";r=0;t=55')) == 55
    assert told_wait(answer(ratelimit='"api";r=3;t=55')) is None
    assert told_wait(answer(503, ratelimit='"api";r=0;t=55')) is None


def test_what_may_pass():
    assert may_pass(json.JSONDecodeError("an error page", "<html>", 0))
    assert may_pass(ConnectionResetError())
    assert not may_pass(OfflineModeIsEnabled())
    assert not may_pass(FileNotFoundError("a shard"))
    assert not may_pass(ValueError("Invalid metadata"))
    try:
        raise RuntimeError("Error while uploading") from TimeoutError()
    except RuntimeError as error:
        assert may_pass(error)


def test_waits_grow_and_end(monkeypatch):
    waits, told = [], []
    monkeypatch.setattr("synfill.hub.retry.time.sleep", waits.append)

    def fail():
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        ask("It", fail, told.append, Patience(tries=5, first_wait=1, longest_wait=4))
    assert waits >= [0.5, 1, 2, 2] and max(waits) <= 6 and len(waits) == 4
    assert told[0].startswith("It: the connection to the Hub failed. Trying again in")


def test_no_token_in_a_text(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "unusual-token")
    text = "Bearer hf_abcDEF123 of https://me:pass@host/x and unusual-token."
    assert plain(text) == "Bearer *** of https://***@host/x and ***."


def test_what_the_client_trips_over_is_an_answer_and_a_mistake_of_ours_is_one(monkeypatch):
    from huggingface_hub.hf_api import DatasetInfo
    from huggingface_hub.utils import parse_datetime

    monkeypatch.setattr("synfill.hub.retry.time.sleep", lambda seconds: None)
    told = []
    for question in (
        lambda: DatasetInfo(**{}),
        lambda: parse_datetime("yesterday"),
        lambda: json.loads("<html>"),
    ):
        with pytest.raises(BadAnswer, match="the Hub's answer"):
            ask("It", question, told.append, Patience(tries=2))
    assert len(told) == 3
    with pytest.raises(TypeError):
        ask("It", lambda: None + 1, told.append)
    with pytest.raises(ValueError, match="a value"):
        ask("It", lambda: int("a value"), told.append)
    assert len(told) == 3


def test_giving_up_is_final_and_says_after_how_long():
    try:
        raise RuntimeError("Error while uploading 'x'") from GaveUp(600)
    except RuntimeError as error:
        assert not may_pass(error)
        assert reason(error) == "nothing that the Hub was asked has succeeded for 10 min"
    assert [format_duration(s) for s in (45, 720, 40_000)] == ["45 s", "12 min", "11.1 h"]


def test_a_text_is_one_line_of_bearable_length():
    assert plain("two\n lines") == "two lines"
    assert len(plain("x" * 10_000)) < 500
