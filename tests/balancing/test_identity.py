"""What makes a balance run this run: with checks that were chosen, and as before without."""

from typing import Literal

from datasets_fixtures import make_imagefolder

from synfill.balancing.prepare import prepare
from synfill.balancing.settings import make_settings
from synfill.config.components import CHECKS
from synfill.quality.check import Check
from synfill.reporter import LogReporter
from synfill.runs.identity import differences, is_more_of


class Blur(Check):
    """Not blurred."""

    name: Literal["blur"] = "blur"
    sharpness: float = 0.5

    def build(self, facts):
        raise NotImplementedError("nothing is made here")

    def fingerprint(self):
        return "m@1"


def test_chosen_checks_belong_to_it(tmp_path, sd_model):
    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 3, "dog": 1}})
    values = {"source": str(photos), "model": str(sd_model), "out": tmp_path / "o"}
    with CHECKS.added(Blur):
        old, none, one, other = (
            prepare(make_settings(values | more, "The call"), LogReporter()).identity
            for more in (
                {},
                {"check": []},
                {"check": "blur"},
                {"check": [{"name": "blur", "sharpness": 0.6}]},
            )
        )
    assert old == none and "check" not in old
    assert one["check"] == [{"name": "blur", "sharpness": 0.5, "model": "m@1"}]
    assert {key: value for key, value in one.items() if key != "check"} == old
    assert differences(one, other) == ["check.0.sharpness: 0.5 -> 0.6"]
    assert differences(old, one) and not is_more_of(old, one) and not is_more_of(one, other)
