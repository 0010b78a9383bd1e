import itertools
import os

import pytest
import yaml

from synfill.config.yaml import format_yaml, parse_yaml, read_yaml
from synfill.errors import UsageError


def test_yaml_as_people_write_it(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_text("lr: 3e-4\nno: yes\ncode: 007\non: 1.5\nflag: true\nday: 2020-01-01\nn: -3\n")
    assert read_yaml(path, "a file") == {
        "lr": 3e-4, "no": "yes", "code": "007", "on": 1.5, "flag": True, "day": "2020-01-01",
        "n": -3,
    }  # fmt: skip


@pytest.mark.parametrize("directive", ["%YAML 1.1", "%YAML 1.2", "%TAG !x! tag:here,2000:"])
def test_yaml_may_begin_with_a_directive(directive):
    document = parse_yaml(f"{directive}\n---\na: no\n", "here")
    assert (document.content, document.lines) == ({"a": "no"}, {("a",): 3})


def test_a_whole_number_may_be_tagged_as_a_float():
    value = parse_yaml("!!float 3", "here").content
    assert (value, type(value)) == (3.0, float)


def test_what_is_wrong_is_shown_with_its_line_once():
    with pytest.raises(UsageError) as error:
        parse_yaml("a: 1\nb: [1\n", "here")
    assert error.value.message.count("line 2") == 1
    assert "(line" not in error.value.message


@pytest.mark.parametrize("directive", ["%YAML 1.1", "%YAML 1.2", "%TAG ! tag:here:", "%OTHER"])
def test_directives_change_nothing(directive):
    assert parse_yaml(f"{directive}\n---\na: no\n", "here").content == {"a": "no"}


def test_tags_that_fit_are_taken():
    assert parse_yaml("a: !!float 1\nb: !!str 1\nc: !!int 1", "here").content == {
        "a": 1.0, "b": "1", "c": 1,
    }  # fmt: skip


def test_every_key_has_its_line():
    text = (
        "a: 1\nb:\n  - c: 2\n    d: 3\n  - 4\nbase: &base {x: 1, y: 2}\ne:\n  <<: *base\n  x: 5\n"
    )
    document = parse_yaml(text, "here")
    assert document.content["e"] == {"x": 5, "y": 2}
    lines = {".".join(path): line for path, line in document.lines.items()}
    assert lines == {
        "a": 1, "b": 2, "b.0": 3, "b.0.c": 3, "b.0.d": 4, "b.1": 5, "base": 6, "base.x": 6,
        "base.y": 6, "e": 7, "e.x": 9, "e.y": 6,
    }  # fmt: skip


def test_what_is_written_reads_back_in_yaml_of_both_versions():
    content = {
        "words": ["3e-4", "no", "007", "1.5", "null", "true", "2020-01-01", "a: b", "ü", ""],
        "numbers": [3e-4, 1e-05, 10, 1.0, True, None],
    }
    text = format_yaml(content)
    assert parse_yaml(text, "here").content == content == yaml.safe_load(text)


LAUGHS = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, after in itertools.pairwise("abcdefghij")
)


MERGES = "a: &a {k1: 1, k2: 2, k3: 3}\n" + "".join(
    f"{after}: &{after} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n"
    for before, after in itertools.pairwise("abcdefghi")
)


@pytest.mark.parametrize(
    "text",
    ["a: 1\na: 2", "a: [1", "!!python/object:os.system x", "a: *b", "a: &a [*a]", "[" * 2000,
     "a: !!int x", "a: !!bool x", "a: !!timestamp x", "a: " + "9" * 5000, LAUGHS, "? [a]\n: b",
     LAUGHS + "? *j\n: 1", "a: !!int ''",
     "[" * 5000, "{a: " * 5000, "- " * 5000, "? " * 5000, "%YAML 1.2\na: 1", "%TAG ! x:\n"],
)  # fmt: skip
def test_wrong_yaml_is_refused(tmp_path, text):
    path = tmp_path / "f.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"f\.yaml"):
        read_yaml(path, "a file")


def test_yaml_in_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "f.yaml")
    with pytest.raises(UsageError, match="it is a pipe"):
        read_yaml(tmp_path / "f.yaml", "a file")


def test_keys_are_taken_over_from_several_mappings_of_which_the_first_counts():
    text = "a: &a {x: 1}\nb: &b {x: 2, y: 3}\nc:\n  <<: [*a, *b]\n  z: 4\n"
    document = parse_yaml(text, "here")
    assert document.content["c"] == {"x": 1, "y": 3, "z": 4}
    assert [document.lines["c", key] for key in "xyz"] == [1, 2, 5]


def test_merges_of_merges_cost_nothing():
    assert parse_yaml(MERGES, "here").content["i"] == {"k1": 1, "k2": 2, "k3": 3}


def test_lines_of_what_an_alias_stands_for_are_its_own():
    lines = parse_yaml("a: &a\n  - {b: 1}\nc: *a\n", "here").lines
    assert lines["a", "0", "b"] == lines["c", "0", "b"] == 2 and lines[("c",)] == 3


@pytest.mark.parametrize("text, told", [("a: 1\na: 2", "'a' stands twice"), ("a: *b", "'&b'"),
    ("a: 1\n---\nb: 2", "one document"), ("a: 1\n<<: 3", "takes a mapping"),
    ("a: !!int x", "tag")])  # fmt: skip
def test_what_is_refused_is_told_with_its_place(text, told):
    with pytest.raises(UsageError, match=rf"(?s){told}.*in \"here\", line \d, column \d") as raised:
        parse_yaml(text, "here")
    assert "(line" not in str(raised.value), "the line is said once"
