"""The keys' own descriptions, and docs/recipes.md beside them."""

import re
from pathlib import Path

import pytest

from synfill.config.recipes.keys import SECTIONS, all_keys, find_keys
from synfill.errors import UsageError

DOCS = (Path(__file__).parents[3] / "docs/recipes.md").read_text()
TABLES = {"## Keys": "", **{f"### `{name}`": name for name in ("data", "model", "stages",
                                                               "hardware")}}  # fmt: skip


def documented():
    """Path -> (default, meaning) of every key in a table of docs/recipes.md."""
    found = {}
    for heading, section in TABLES.items():
        text = DOCS.split(f"\n{heading}\n", 1)[1]
        text = re.split(r"^##", text, maxsplit=1, flags=re.MULTILINE)[0]
        for line in text.splitlines():
            # What a value may be has tables of two columns.
            if line.startswith("| `") and line.count("|") == 4:
                names, default, meaning = (part.strip() for part in line[1:-1].split("|"))
                defaults = [part.strip() for part in default.split(", ")]
                keys = re.findall(r"`(\w+)`", names)
                for at, key in enumerate(keys):
                    path = f"{section}.{key}" if section else key
                    found[path] = (defaults[min(at, len(defaults) - 1)].strip("`"), meaning)
    return found


def is_number(text, expected):
    return text[:1].isdigit() and float(text) == float(expected)


def test_every_key_is_described_and_documented():
    keys = {key.path: key for key in all_keys()}
    assert all(key.meaning and key.kind for key in keys.values())
    below = {"data.long_tail", "data.synthetic", "data.test"}
    components = {f"stages.{name}" for name in ("sampling", "augment", "mix", "loss")}
    tables = {path for path in keys if path.rpartition(".")[0] not in below | components}
    assert tables == set(documented())
    for path in set(keys) - tables:
        assert f"`{path.rpartition('.')[2]}`" in DOCS, path
    assert set(SECTIONS) == {"", *TABLES.values(), *below}


def test_defaults_and_choices_are_those_of_the_docs():
    keys = {key.path: key for key in all_keys()}
    for path, (default, meaning) in documented().items():
        key = keys[path]
        if key.default not in ("null", "[]", "{}", "as its keys say"):
            assert default == key.default or is_number(default, key.default), path
        if key.kind.startswith("one of "):
            for choice in key.kind.removeprefix("one of ").split(" or ")[0].split(", "):
                assert choice in meaning + default or path == "data.synthetic", (path, choice)


def test_finding_a_key():
    mix, alpha = find_keys("stages.mix")
    assert mix.kind == (
        "one of none, mixup, cutmix, mixup-or-cutmix, domain-mixup or a mapping (name and options)"
    )
    assert alpha.path == "stages.mix.alpha" and "null for the stage's alpha" in alpha.meaning
    assert alpha.meaning.startswith("Of mixup, cutmix, mixup-or-cutmix, domain-mixup: ")
    assert mix.default == "none" and "batch by batch" in mix.meaning
    (rate,) = find_keys("stages.0.lr")
    assert (rate.kind, rate.default) == ("a number, more than 0", "0.1")
    assert find_keys("methods.mine.0.lr") == find_keys("lr") == [rate]
    (epochs,) = find_keys("epochs")
    assert epochs.kind == "a whole number, at least 1 and at most 1,000,000"
    paths = [key.path for key in find_keys("data.synthetic")]
    assert paths[0] == "data.synthetic" and "data.synthetic.balance" in paths
    assert [key.path for key in find_keys("split")] == [
        "data.split", "data.synthetic.split", "data.test.split",
    ]  # fmt: skip
    assert find_keys("data.synthetic.balance.target")[0].path == "data.synthetic.balance"
    assert find_keys("model")[0].kind.endswith("or its name alone")
    for wrong, near in (("stages.mixx", "stages.mix"), ("bach_size", "batch_size")):
        with pytest.raises(UsageError, match=f"no key '{wrong}'") as error:
            find_keys(wrong)
        assert f"Did you mean '{near}'" in error.value.hint
    with pytest.raises(UsageError, match="no key ''"):
        find_keys("")
