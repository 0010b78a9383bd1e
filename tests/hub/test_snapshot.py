"""Models of the Hub, against a cache on disk and a server on this machine that refuses."""

from __future__ import annotations

import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from asking import ask
from huggingface_hub import constants

from synfill.config.generator import GeneratorSettings
from synfill.errors import RunError, UsageError
from synfill.generation.models.resolve import resolve_model
from synfill.generation.pipeline.generator import load_generator
from synfill.hub.errors import Unreachable

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Refusing(BaseHTTPRequestHandler):
    """Answers every request with the error that the repository's name asks for."""

    def _refuse(self):
        status, code = next(
            (answer for name, answer in ANSWERS.items() if name in self.path), (500, "")
        )
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = _refuse

    def log_message(self, *arguments):
        pass


ANSWERS = {
    "is-missing": (404, "RepoNotFound"),
    "is-gated": (403, "GatedRepo"),
    "is-old": (404, "RevisionNotFound"),
    "is-private": (401, "RepoNotFound"),
    "is-forbidden": (403, ""),
}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub that answers with errors, and an empty cache."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    server.shutdown()
    server.server_close()


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def resolve(model, **settings):
    return resolve_model(GeneratorSettings(model=model, device="cpu", **settings))


@pytest.mark.parametrize(
    ("model", "message", "hint"),
    [
        ("owner/is-missing", "no model owner/is-missing on the Hub", "spelling"),
        ("owner/is-private", "or it is private", "hf auth login"),
        ("owner/is-gated", "is gated", "/owner/is-gated"),
        ("owner/is-old", "no revision 'v9'", "commits/main"),
    ],
)
def test_each_refusal_is_told_apart(hub, model, message, hint):
    with pytest.raises(RunError, match=message) as caught:
        resolve(model, revision="v9")
    assert hint in caught.value.hint
    if hint.startswith("/"):
        assert f"{constants.ENDPOINT}{hint}" in caught.value.hint
    assert not isinstance(caught.value, Unreachable)


def test_a_refusal_of_another_kind(hub):
    with pytest.raises(Unreachable, match="status 403"):
        resolve("owner/is-forbidden")


def test_a_server_that_is_not_there(hub, monkeypatch):
    # It is asked again, as another test's server has answered in this process.
    monkeypatch.setattr("synfill.hub.retry.time.sleep", lambda seconds: None)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(Unreachable, match="can't be reached") as caught:
        resolve("owner/name")
    assert "local folder" in caught.value.hint


def test_offline_and_not_cached(offline):
    with pytest.raises(Unreachable, match="HF_HUB_OFFLINE is set"):
        resolve("owner/name")
    with pytest.raises(Unreachable, match="LoRA"):
        resolve("sd15", lora="owner/name")


def test_a_preset_is_resolved_without_the_hub(offline):
    found = resolve("sdxl-turbo")
    assert (found.id, found.revision) == ("stabilityai/sdxl-turbo", "")
    assert (found.steps, found.guidance_scale, found.size) == (4, 0.0, (512, 512))
    assert found.preset == "sdxl-turbo" and found.licence
    with pytest.raises(UsageError, match="flow-matching"):
        resolve("flux-dev", scheduler="ddim")
    with pytest.raises(Unreachable):
        resolve("sdxl-turbo", revision="v9")
    with pytest.raises(Unreachable, match="not in the local cache"):
        load_generator(found)


def cached(cache, repo, folder):
    """Lay a model into the cache as a download leaves it."""
    storage = cache / f"models--{repo.replace('/', '--')}"
    shutil.copytree(folder, storage / "snapshots" / COMMIT)
    (storage / "refs").mkdir()
    (storage / "refs" / "main").write_text(COMMIT)


def test_a_cached_model_is_loaded_offline_and_its_commit_is_known(offline, model):
    cached(offline, "owner/Name-Turbo", model("sd"))
    found = resolve("owner/Name-Turbo", steps=1)
    assert (found.revision, found.is_local, found.family) == (COMMIT, False, "sd")
    assert found.guidance_scale == 0
    loaded = load_generator(found)
    assert (loaded.info.id, loaded.info.revision) == ("owner/Name-Turbo", COMMIT)
    (sample,) = loaded.make(ask(["a cat"], [""], [1]))
    assert sample.pixels.shape == (64, 64, 3)


def test_a_cached_preset_keeps_its_settings(offline, model):
    cached(offline, "stable-diffusion-v1-5/stable-diffusion-v1-5", model("sd"))
    found = resolve("sd15")
    assert (found.revision, found.scheduler, found.steps) == (COMMIT, "dpm++", 25)
    assert found.licence == "creativeml-openrail-m"


def test_a_cached_lora_is_identified_by_its_commit(offline, model, tmp_path):
    import tiny_models

    cached(offline, "owner/lora", tiny_models.make_lora(tmp_path / "lora", model("sd")))
    found = resolve(str(model("sd")), lora="owner/lora", steps=1)
    assert (found.lora, found.lora_revision) == ("owner/lora", COMMIT)
    assert load_generator(found).make(ask(["a cat"], [""], [1]))[0].finite
