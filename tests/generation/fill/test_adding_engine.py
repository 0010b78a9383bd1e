"""An engine is added in one file, and chosen by its name."""

from datasets_fixtures import make_imagefolder
from temporary_modules import temporary_module

import synfill
from synfill.config.components import ENGINES

BACKWARDS = '''
from typing import Literal

from synfill.runs.shard import Outcome
from synfill.generation.fill.encode import encode, extension
from synfill.generation.fill.task import Engine


class Backwards(Engine):
    """Makes the last shard first, one image at a time."""

    name: Literal["backwards"] = "backwards"
    made: int = 0

    def make_missing(self, task, on_progress, on_note):
        maker, made = task.open_maker(), 0
        for index in reversed(task.store.missing()):
            outcomes = task.store.taken(index)
            for request in task.to_make(index):
                verdict = None
                while verdict is None or not (verdict.accepted or request.attempt == 3):
                    (sample,) = maker.start([request])()
                    (verdict,) = task.checks.judge([request], [sample])
                    profile = task.profile_of(request)
                    image = (encode(sample.pixels, profile), extension(profile))
                    outcomes.append(Outcome(verdict, *(image if verdict.accepted else ())))
                    request = request.again(request.attempt + 1)
                    made += 1
            task.store.write(index, outcomes, [1])
        return made
'''


def test_a_new_engine_makes_the_same_dataset(sd_model, tmp_path):
    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 50, "dog": 4}})
    options = {"source": photos, "model": str(sd_model), "steps": 1, "size": 32, "batch_size": 1}
    synfill.balance(**options, out=tmp_path / "local", progress=False)
    with (
        temporary_module(tmp_path, "backwards", BACKWARDS) as module,
        ENGINES.added(module.Backwards),
    ):
        synfill.balance(**options, engine="backwards", out=tmp_path / "other", progress=False)
    local, other = (
        {path.relative_to(tmp_path / out): path.read_bytes() for path in (tmp_path / out).rglob("*")
         if path.is_file()} for out in ("local", "other")
    )  # fmt: skip
    assert local == other
