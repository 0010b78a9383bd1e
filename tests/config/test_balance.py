import inspect
from fractions import Fraction

import pytest

import synfill
from synfill.balancing.settings import make_settings, read_settings
from synfill.config.balance import BalanceSettings
from synfill.errors import UsageError


def test_each_setting_stands_in_every_list_that_is_made_of_them(cli):
    fields = BalanceSettings.model_fields
    assert {*inspect.signature(synfill.balance).parameters} == {*fields, "progress", "reporter"}
    shown = cli("balance", "--help").out
    for name, field in fields.items():
        assert field.description
        in_files_only = name in ("check", "engine")
        option = f"--{name.replace('_', '-')} "
        assert (name == "source" or option in shown) is not in_files_only
        assert name == "source" or f"\n    {name}: " in inspect.getdoc(synfill.balance) + "\n"


def test_all_problems_are_told_at_once():
    with pytest.raises(UsageError) as error:
        make_settings({"targt": "x", "steps": 0, "seed": "y", "format": "zip"}, "s.yaml")
    for word in ("targt", "'target'", "steps", "seed", "format", "s.yaml"):
        assert word in str(error.value)
    with pytest.raises(UsageError) as error:
        make_settings({"by": "x", "size": "big", "replace": "2"}, "s.yaml")
    assert len(error.value.message.splitlines()) == 4


def test_settings_from_a_file(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("target: median\nguidance-scale: 3e-1\nreplace: 0.25\nbatch_size: auto\n")
    settings = make_settings(read_settings(str(path)), "s")
    assert settings.guidance_scale == 0.3
    assert settings.replaced_shares() == (Fraction(1, 4), {})
    assert settings.batch_size is None


def test_settings_of_a_training_recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "name: x\nmodel: resnet20\nstages: [{epochs: 1}]\n"
        "data:\n  train: photos\n  group: ink\n  seed: 3\n"
        "  long_tail: {imbalance_factor: 10, type: step}\n"
        "  synthetic: {balance: {target: mean, guidance-scale: 2}}\n"
    )
    assert read_settings(str(path)) == {
        "source": "photos", "group": ("ink",), "seed": 3, "on_bad_image": "error",
        "long_tail": 10, "long_tail_type": "step", "target": "mean", "guidance_scale": 2,
    }  # fmt: skip
    path.write_text(path.read_text().replace("target: mean", "target: mean, steps: 0"))
    with pytest.raises(UsageError, match=r"balance.steps \(line 9\): should be at least 1, not 0"):
        read_settings(str(path))


def test_a_recipe_that_makes_no_dataset_holds_no_settings(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: x\nmodel: resnet20\nstages: [{epochs: 1}]\ndata: {train: photos}\n")
    with pytest.raises(UsageError, match="makes no balanced dataset"):
        read_settings(str(path))


@pytest.mark.parametrize("name", ["demo", "cifar10-lt", "cifar10-lt-balance"])
def test_shipped_settings_are_right(name):
    assert make_settings(read_settings(name), name).target is not None


@pytest.mark.parametrize("text", ["", "- a", "a: [", "a: 1\na: 2", "\x00"])
def test_files_that_hold_no_settings(tmp_path, text):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(UsageError):
        read_settings(str(path))


def test_a_huge_or_missing_file(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("#" * (2 << 20))
    with pytest.raises(UsageError, match="too large"):
        read_settings(str(path))
    with pytest.raises(UsageError, match="no file"):
        read_settings(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize("by", ["group", "class+", "class+a+a", "", "place"])
def test_wrong_by(by):
    with pytest.raises(UsageError):
        _ = make_settings({"by": by}, "x").by_groups


def test_replaced_classes():
    settings = make_settings({"replace_class": ["cat", "dog=0.5", "a=b", "x=y=0.1"]}, "x")
    shares = {"cat": 1, "dog": Fraction(1, 2), "a=b": 1, "x=y": Fraction(1, 10)}
    assert settings.replaced_shares() == (0, shares)
    for wrong in ("2", "-1", "x"):
        with pytest.raises(UsageError):
            make_settings({"replace": wrong}, "x").replaced_shares()


def test_size():
    assert make_settings({"size": 512}, "x").pixels == (512, 512)
    assert make_settings({"size": "64x32"}, "x").pixels == (64, 32)
    for wrong in ("big", "100000", "0x"):
        with pytest.raises(UsageError):
            _ = make_settings({"size": wrong}, "x").pixels
