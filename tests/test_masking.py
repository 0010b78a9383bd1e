import base64
import subprocess
import sys

import pytest

from synfill.masking import mask, masked_streams

SIGNED = "https://bucket.s3.amazonaws.com/a/b?X-Amz-Expires=900&X-Amz-Signature=ab12%2F"


def test_what_looks_like_a_secret_anywhere():
    assert mask("Bearer hf_abcDEF123, api_org_abcdef.") == "Bearer ***, ***."
    assert mask(f"PUT {SIGNED} failed") == "PUT https://bucket.s3.amazonaws.com/a/b?*** failed"
    assert mask("https://cdn/x?Policy=a&Key-Pair-Id=b") == "https://cdn/x?***"
    assert mask("http://me:p@ss@host/x@y") == "http://***@host/x@y"


@pytest.mark.parametrize(
    "text",
    [
        "hf_ is a prefix; half_finished_things and my_hf_notes.txt stay",
        "https://huggingface.co/datasets/a/b/tree/main?recursive=true",
        "write to ada@example.org",
        "https://huggingface.co/a/b?expand=x mail@host",
    ],
)
def test_what_is_none_stays(text):
    assert mask(text) == text


@pytest.mark.parametrize("token", ["unusual-token", "tökën-with-ünusual", "two\nlines"])
def test_the_token_in_use_in_every_form_that_a_library_shows(monkeypatch, token):
    monkeypatch.setenv("HF_TOKEN", token)
    shown = f"{token} {token!r} {token!a} {token.encode()!r} ('Bearer {token}')"
    for part in (token, "unusual", "nusual", "lines"):
        assert part not in mask(shown)


def test_a_short_one_leaves_other_words_alone(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "pass")
    assert mask("pass: 3 were passed over") == "***: 3 were passed over"
    monkeypatch.setenv("HF_TOKEN", "a")
    assert mask("a cat") == "a cat"


def test_the_password_of_an_address_in_use(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://me:gehe%40im@hub.example.org/x")
    monkeypatch.setenv("https_proxy", "http://you:andersgeheim@proxy:3128")
    header = base64.b64encode(b"me:gehe@im").decode()
    text = f"gehe@im gehe%40im Basic {header} andersgeheim"
    assert mask(text) == "*** *** Basic *** ***"


def test_streams_mask_what_any_part_of_the_program_prints():
    code = (
        "import logging, sys, traceback, warnings\n"
        "from synfill.masking import masked_streams\n"
        "with masked_streams():\n"
        "    print('hf_abcdef', flush=True)\n"
        "    logging.getLogger('other').warning('hf_abcdef')\n"
        "    warnings.warn('hf_abcdef')\n"
        "    try: raise ValueError('hf_abcdef')\n"
        "    except ValueError: traceback.print_exc()\n"
        "    assert not sys.stdout.isatty() and sys.stdout.encoding\n"
        "print('after')\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "***\nafter\n"
    assert ran.stderr.count("***") == 3 and "ValueError: ***" in ran.stderr
    assert "abcdef" not in ran.stderr


def test_streams_are_given_back_but_not_taken_from_who_replaced_them():
    before = sys.stdout
    with masked_streams():
        assert sys.stdout is not before
    assert sys.stdout is before
    with masked_streams():
        sys.stdout = sys.__stdout__
    assert sys.stdout is sys.__stdout__
    sys.stdout = before
