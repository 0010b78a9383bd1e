"""Two identities compared: which values changed, by the keys that lead to them."""

import pytest

from synfill.runs.identity import differences, digest_identity

STAGES = {"stages": [{"lr": 0.1, "milestones": [1, 2]}, {"lr": 0.2}]}


@pytest.mark.parametrize(
    ("before", "now", "lines"),
    [
        ({"size": [64, 64]}, {"size": (64, 64)}, []),
        ({"size": [64, 64]}, {"size": [64, 32]}, ["size: [64, 64] -> [64, 32]"]),
        ({"a": None}, {}, []),
        ({}, {"limit": 3}, ["limit: null -> 3"]),
        ({"t": {"cat": 5, "dog": 5}}, {"t": {"cat": 5, "dog": 9}}, ["t.dog: 5 -> 9"]),
        ({"target": {"cat": 5}}, {"target": "uniform"}, ['target: {"cat": 5} -> "uniform"']),
        (STAGES, {"stages": [{"lr": 0.1, "milestones": [1]}]},
         ["stages.0.milestones: [1, 2] -> [1]", 'stages.1: {"lr": 0.2} -> null']),
        ({"a": "x" * 99}, {"a": ""}, [f'a: "{"x" * 56}... -> ""']),
    ],
)  # fmt: skip
def test_each_changed_value_has_a_line(before, now, lines):
    assert differences(before, now) == lines
    assert (digest_identity(before) == digest_identity(now)) <= (not lines)


def test_what_is_not_known_yet_is_left_out():
    assert differences({"a": {"b": 1}, "c": 1}, {"c": 2}, unsure=["a"]) == ["c: 1 -> 2"]


def test_of_very_many_the_first_ten_are_shown():
    lines = differences({str(k): 0 for k in range(30)}, {str(k): 1 for k in range(30)})
    assert lines[0] == "0: 0 -> 1" and lines[10:] == ["... and 20 more"]
