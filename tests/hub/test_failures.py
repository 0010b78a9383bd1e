import email.utils
import json
import time
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import OfflineModeIsEnabled

from synfill.hub.failures import (
    BadAnswer,
    GaveUp,
    is_offline,
    is_passing,
    may_pass,
    plain,
    reason,
    requested_wait,
    understand,
)
from synfill.wording import format_duration


def answer(status=429, **headers):
    return SimpleNamespace(
        status_code=status, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def test_how_long_the_hub_says_to_wait():
    assert requested_wait(answer()) is None
    assert requested_wait(answer(**{"Retry-After": "7"})) == 7
    soon = email.utils.formatdate(time.time() + 60, usegmt=True)
    assert 50 < requested_wait(answer(**{"Retry-After": soon})) <= 60
    assert requested_wait(answer(**{"Retry-After": "soon"})) is None
    assert requested_wait(answer(ratelimit='"api";r=0;t=55')) == 55
    assert requested_wait(answer(ratelimit='"api";r=3;t=55')) is None
    assert requested_wait(answer(503, ratelimit='"api";r=0;t=55')) is None


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


def test_no_token_in_a_text(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "unusual-token")
    text = "Bearer hf_abcDEF123 of https://me:pass@host/x and unusual-token."
    assert plain(text) == "Bearer *** of https://***@host/x and ***."


def test_what_the_client_trips_over_is_an_answer_and_a_mistake_of_ours_is_one():
    from huggingface_hub.hf_api import DatasetInfo
    from huggingface_hub.utils import parse_datetime

    for question in (
        lambda: DatasetInfo(**{}),
        lambda: parse_datetime("yesterday"),
        lambda: json.loads("<html>"),
    ):
        with pytest.raises(BadAnswer, match="the Hub's answer") as caught:
            understand(question)
        assert may_pass(caught.value)
    with pytest.raises(TypeError):
        understand(lambda: None + 1)
    with pytest.raises(ValueError, match="a value"):
        understand(lambda: int("a value"))


def test_giving_up_is_final_and_says_after_how_long():
    try:
        raise RuntimeError("Error while uploading 'x'") from GaveUp(600)
    except RuntimeError as error:
        assert not may_pass(error) and is_passing(error) and is_offline(error)
        assert reason(error) == "nothing that the Hub was asked has succeeded for 10 min"
    assert [format_duration(s) for s in (45, 720, 40_000)] == ["45 s", "12 min", "11.1 h"]


def test_a_text_is_one_line_of_bearable_length():
    assert plain("two\n lines") == "two lines"
    assert len(plain("x" * 10_000)) < 500
