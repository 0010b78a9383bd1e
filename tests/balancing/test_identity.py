"""What makes a balance run this run: with checks that were chosen, and as before without."""

from datasets_fixtures import make_imagefolder

from synfill.balancing.identity import run_identity
from synfill.balancing.prepare import prepare
from synfill.config.balance import make_settings
from synfill.reporter import LogReporter
from synfill.runs.identity import differences, is_more_of

CHECK = {"name": "blur", "sharpness": 0.5, "model": "m@1"}


def test_chosen_checks_belong_to_it(tmp_path, sd_model):
    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 3, "dog": 1}})
    values = {"source": str(photos), "model": str(sd_model), "out": tmp_path / "o"}
    draft = prepare(make_settings(values, "The call"), LogReporter())
    known = (draft.settings, draft.split, draft.label.name, draft.target, "", draft.writer)
    old, none, one, other = (
        run_identity(*known, draft.model, *checks)
        for checks in ((), ([],), ([CHECK],), ([CHECK | {"sharpness": 0.6}],))
    )
    assert old == none and "checks" not in old
    assert list(one)[:-1] == list(old)
    assert differences(one, other) == ["checks.0.sharpness: 0.5 -> 0.6"]
    assert differences(old, one) and not is_more_of(old, one) and not is_more_of(one, other)
