"""What is wrong with settings is told when they are read, all of it at once."""

import itertools
import os
import subprocess
import sys

import diffusers
import pytest

from synfill.balancing.settings import balance_problems, make_settings
from synfill.config.generator import SCHEDULERS
from synfill.config.recipes.read import read_recipe
from synfill.errors import UsageError

WRONG = {
    "target": ["unifrom", "uniform:0", "uniform:1e12", "uniform:1e999999999", "ratio:2",
               "ratio:nan", "ratio:1/0", "mean:3", "none.yaml", "ratio:", ":", "uniform:²", {},
               {"cat": -1}, {"cat": 10**30}, {"cat": {"x": 1.5}}, {"cat": [1]}, {"cat": "many"}],
    "by": ["place", "class+", "class+a+a", "", "class+label"],
    "replace": ["2", "nan", "1e999999999", "x", "-0.1", "1/0"],
    "replace_class": [["cat=7"]],
    "prompt": ["\udcff", "", " ", "a {lable}", "a {", "a {modifier}", "a {place}"],
    "prompts": ["none.yaml", {"clases": {}}, {"classes": {"cat": 3}}, {"prompts": [3]},
                {"prompts": "a {x}"}, {"class_prompts": {"cat": "a {x}"}}, {"negative_prompt": 3},
                {"classes": {"cat": "\udcff"}}, "a" * 300],
    "model": ["sdx1", "a/b/c", "http://x", ""],
    "size": ["big", "0", "0x5", "512x", "99999", "9" * 5000, "513", "-1", "5.5"],
    "scheduler": ["nope", "Euler", ""],
    "guidance_interval": ["nonsense", "0.2", "0.8,0.2", "0,2", "nan,nan", "0.1,0.2,0.3", "inf,1"],
    "guidance_scale": [float("nan"), float("inf"), -1, 1e6],
    "device": ["gpu", "cuda:", "cuda:x", "cuda:²", "mps:1", "", "cuda:" + "9" * 30],
    "dtype": ["int8", ["float32"], {"a": 1}],
    "revision": ["/dev/zero", "/", "a/../../x", "-x", "\udcff", "a b", "", "x\n"],
    "negative_prompt": ["\udcff"],
    "modifiers": ["\udcff"],
    "long_tail": [0.5, float("nan"), float("inf")],
    "cap": [0, 10**30, 1.5],
    "limit": [0, 10**30, True],
    "batch_size": [0, 10**9, "many"],
    "steps": [0, 10**6],
    "seed": [-1, 2**48, "x"],
    "max_tries": [0, 1000],
    "source": ["", "a\0b"],
    "out": ["a\0b"],
    "group": [["", "x"], "a\0b"],
    "label": [""],
    "lora": [""],
}  # fmt: skip
CASES = [(key, value) for key, values in WRONG.items() for value in values]


@pytest.mark.parametrize(("key", "value"), CASES, ids=lambda value: str(value)[:20])
def test_what_can_be_told_from_the_text_is(key, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    needed = {"long_tail_max": {"long_tail": 2}}.get(key, {})
    problems = balance_problems({key: value} | needed)
    assert [problem[0].partition(".")[0] for problem in problems] == [key]
    assert all(message and "\n" not in message for _, message in problems)
    with pytest.raises(UsageError):
        make_settings({key: value}, "x")


RIGHT = {
    "target": ["uniform", "uniform:300", "ratio:0.30000000000000004", "ratio:1/3", "ratio:1e-05",
               "imbalance-factor:10", {"cat": 3, "dog": {"land": 0}}],
    "by": ["class", "class+place"],
    "replace": ["0.5", 0.30000000000000004, 1, "1/3"],
    "prompt": ["a {{brace}} of {label}", "no label at all"],
    "negative_prompt": ["", "blur"],
    "model": ["sdxl", "owner/name", "Stabilityai/sdxl-turbo"],
    "size": [512, "768x512"],
    "revision": ["main", "refs/pr/1", "v1.0", "fp16", "0" * 40, "a-b_c/d"],
    "scheduler": list(SCHEDULERS),
    "guidance_interval": ["0,1", [0.2, 0.8]],
    "device": ["auto", "cpu", "cuda:3", "mps"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in RIGHT.items() for value in values]
)
def test_what_is_right_passes(key, value):
    assert balance_problems({key: value}) == []


def test_all_problems_are_told_at_once_whatever_their_kind():
    values = {"target": "unifrom", "steps": 0, "scheduler": "nope", "prompt": "{x}", "seed": "y",
              "targt": 3, "size": "big"}  # fmt: skip
    told = [key for key, _ in balance_problems(values)]
    assert sorted(told) == ["prompt", "scheduler", "seed", "size", "steps", "target", "targt"]


def test_schedulers_of_flow_models_and_sizes_of_presets():
    assert balance_problems({"model": "flux-dev", "scheduler": "ddim"})[0][0] == "scheduler"
    assert balance_problems({"model": "sana", "size": 528})[0][0] == "size"
    assert balance_problems({"model": "demo", "size": 32}) == []
    assert balance_problems({"steps": 2, "guidance_interval": "0.9,0.95"})[0][0] == (
        "guidance_interval"
    )


def test_the_schedulers_are_those_of_diffusers():
    for name, (class_name, _) in SCHEDULERS.items():
        assert hasattr(diffusers, class_name), name


def test_a_recipe_tells_them_with_their_lines(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "name: x\nmodel: resnet20\nstages: [{epochs: 1}]\ndata:\n  train: photos\n  group: place\n"
        "  synthetic:\n    balance:\n      target: unifrom\n      guidance_interval: nonsense\n"
        "      scheduler: nope\n      size: big\n      prompt: a {lable}\n      by: class+place\n"
    )
    with pytest.raises(UsageError) as error:
        read_recipe(str(path), check_balance=balance_problems)
    for words in ("target (line 9)", "'uniform'", "guidance_interval (line 10)",
                  "scheduler (line 11)", "size (line 12)", "prompt (line 13)"):  # fmt: skip
        assert words in error.value.message


def test_checking_imports_nothing_heavy():
    code = (
        "import sys; from synfill.balancing.settings import balance_problems as check;"
        "check({'scheduler': 'ddim', 'target': 'mean', 'size': 512});"
        "print([m for m in ('torch', 'diffusers', 'datasets', 'transformers') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("option", ["--prompts", "--target", "--settings"])
@pytest.mark.parametrize("kind", ["pipe", "/dev/zero", "folder", "bomb.yaml", "deep.yaml"])
def test_files_that_are_none_are_refused_at_once(cli, tmp_path, option, kind):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    names = "abcdefghi"
    levels = [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in itertools.pairwise(names)]
    (tmp_path / "bomb.yaml").write_text("\n".join(["a: &a [x]", *levels]))
    (tmp_path / "deep.yaml").write_text("[" * 100_000)
    given = f"{kind}.yaml" if kind in ("pipe", "folder") else kind
    if given != kind:
        (tmp_path / kind).rename(tmp_path / given)
    if option == "--target" and kind == "/dev/zero":
        (tmp_path / "zero.yaml").symlink_to("/dev/zero")
        given = "zero.yaml"
    ran = cli("balance", "photos", option, given)
    assert ran.code == 2, ran.err
    assert given.partition(".")[0] in ran.err


def test_a_revision_is_never_taken_for_a_path(cli, tmp_path):
    ran = cli("analyze", "owner/name@/dev/zero")
    assert ran.code == 2 and "'/dev/zero' can be no revision" in ran.err
    assert cli("analyze", "owner/name@../../x").code == 2


def test_a_settings_file_has_lines_the_command_line_none(cli, tmp_path):
    (tmp_path / "s.yaml").write_text("steps: 0\n\nguidance-interval: x\ntarget: unifrom\n")
    ran = cli("balance", "photos", "--settings", "s.yaml", "--steps", 0)
    assert ran.code == 2
    assert "  steps: should be at least 1" in ran.err
    assert "  guidance_interval (line 3): " in ran.err
    assert "  target (line 4): Unknown --target 'unifrom'. Did you mean 'uniform'?" in ran.err
