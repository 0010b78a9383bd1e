"""A check is added in one file, and chosen by its name in a settings file, a recipe or Python."""

import json
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from datasets_fixtures import make_imagefolder
from temporary_modules import temporary_module

import synfill
from synfill.config.components import CHECKS
from synfill.errors import UsageError

DARK = '''
from typing import ClassVar, Literal

from pydantic import Field

from synfill.quality.check import Check, Finding, Inspector


class Dark(Check):
    """Rejects bright images."""

    name: Literal["dark"] = "dark"
    at_most: float = Field(255.0, description="The largest mean in grey levels.")
    looks_across: ClassVar = True

    def build(self, facts):
        return Looks(self.at_most)

    def fingerprint(self):
        return "weights of today"


class Looks(Inspector):
    def __init__(self, at_most):
        self.at_most = at_most

    def look(self, requests, samples):
        means = [float(sample.pixels.mean()) for sample in samples]
        return [
            Finding(mean <= self.at_most, "" if mean <= self.at_most else "bright", {"mean": mean})
            for mean in means
        ]
'''


@pytest.fixture
def photos(tmp_path):
    return make_imagefolder(tmp_path / "photos", {"train": {"cat": 12, "dog": 4}})


def test_a_new_check_is_used_in_a_settings_file_and_a_recipe(
    cli, photos, sd_model, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    options = {"source": photos, "model": str(sd_model), "steps": 1, "size": 32, "max_tries": 2}
    settings = tmp_path / "settings.yaml"
    text = "".join(f"{key}: {value}\n" for key, value in options.items())
    with temporary_module(tmp_path, "dark", DARK) as module, CHECKS.added(module.Dark):
        every = synfill.balance(**options, out=tmp_path / "all", check="dark", progress=False)
        verdicts = pq.read_table(tmp_path / "all/synfill/verdicts.parquet").to_pylist()
        means = sorted(dict(verdict["scores"])["mean"] for verdict in verdicts)
        assert (every.synthetic, every.rejected, len(means)) == (8, 0, 8)
        settings.write_text(f"{text}check: {{name: dark, at_most: {means[3]}}}\n")
        ran = cli("balance", "--settings", settings, "--out", tmp_path / "some")
        assert ran.code == 0, ran.err
        verdicts = pq.read_table(tmp_path / "some/synfill/verdicts.parquet").to_pylist()
        rejected = [one for one in verdicts if not one["accepted"]]
        assert {one["reason"] for one in rejected} == {"bright"} and len(rejected) >= 4
        record = json.loads((tmp_path / "some/synfill/run.json").read_text())
        assert record["identity"]["check"] == [
            {"name": "dark", "at_most": means[3], "model": "weights of today"}
        ]
        # The card's command with the settings file beside it is this very run.
        shown = Path("settings.yaml")
        shown.write_text(record["settings file"])
        assert f"holds\n\n```\n{shown.read_text()}```" in (tmp_path / "some/README.md").read_text()
        command = shlex.split(record["command"])[1:]
        paths = {photos.name: photos, sd_model.name: sd_model}
        again = cli(*(paths.get(word, word) for word in command), "--out", "some")
        assert again.code == 0, again.err
        # Another option is another run; a check that isn't there is named.
        settings.write_text(f"{text}check: dark\n")
        ran = cli("balance", "--settings", settings, "--out", tmp_path / "some")
        assert ran.code == 2 and "other settings" in ran.err, ran.err
        settings.write_text(f"{text}check: [drak]\n")
        ran = cli("balance", "--settings", settings)
        assert ran.code == 2 and "did you mean 'dark'?" in " ".join(ran.err.split()), ran.err
    with pytest.raises(UsageError, match=r"check.*should be one of size, finite, flagged, blank"):
        synfill.balance(**options, check="dark")
