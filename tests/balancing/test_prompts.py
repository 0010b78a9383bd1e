import pytest

from synfill.balancing.prompts import (
    DEFAULT_MODIFIERS,
    PromptBook,
    PromptWriter,
    article,
    check_names,
    choose_modifiers,
    read_book,
    readable,
    says_nothing,
)
from synfill.errors import UsageError
from synfill.records import Cell


@pytest.mark.parametrize(
    ("words", "expected"),
    [("cat", "a"), ("apple", "an"), ("hour", "an"), ("honest man", "an"), ("unicorn", "a"),
     ("university", "a"), ("umbrella", "an"), ("unimportant thing", "an"), ("European car", "a"),
     ("one-eyed cat", "a"), ("orange", "an"), ("SUV", "an"), ("UFO", "a"), ("X-ray", "an"),
     ("used car", "a"), ("a pair of shoes", ""), ("the sun", ""), ("", "")],
)  # fmt: skip
def test_article(words, expected):
    assert article(words) == expected


@pytest.mark.parametrize(
    ("name", "words"),
    [("cat", "cat"), ("fire_truck", "fire truck"), ("great-white-shark", "great white shark"),
     ("FireTruck", "fire truck"), ("BMWCar", "BMW car"), ("iPhone", "iPhone"),
     ("001.Black_footed_Albatross", "Black footed Albatross"), ("7", "7"),
     ("tench, Tinca tinca", "tench, Tinca tinca"), ("東京", "東京")],
)  # fmt: skip
def test_readable(name, words):
    assert readable(name) == words


@pytest.mark.parametrize("name", ["n01440764", "0", "-1", "class_3", "label 12", "", "__"])
def test_names_that_say_nothing(name):
    assert says_nothing(name)


@pytest.mark.parametrize("name", ["cat", "n95 mask", "737", "classroom", "A", "四"])
def test_names_that_say_something(name):
    assert says_nothing(name) == (name == "737")


def test_the_default_prompt():
    writer = PromptWriter(PromptBook(), [], ["apple"])
    assert writer.write(Cell("apple"), 0) == "a photo of an apple"


def test_groups_read_well():
    cell = Cell("apple", (("color", "red"), ("place", "water"), ("weather", "rainy")))
    writer = PromptWriter(PromptBook(), ["color", "place", "weather"], ["apple"])
    assert writer.write(cell, 0) == "a photo of a red apple, water background, rainy weather"
    smiling = PromptWriter(PromptBook(), ["smiling"], ["woman"])
    assert smiling.write(Cell("woman", (("smiling", "True"),)), 0) == "a photo of a woman, smiling"


def test_prompts_and_modifiers_take_turns():
    book = PromptBook(
        templates=("{modifier} {label} one", "{modifier} {label} two"), modifiers=("red", "blue")
    )
    writer = PromptWriter(book, [], ["x"])
    prompts = [writer.write(Cell("x"), turn) for turn in range(5)]
    assert prompts == ["red x one", "red x two", "blue x one", "blue x two", "red x one"]


def test_the_default_modifiers_are_twenty_and_distinct():
    assert len(DEFAULT_MODIFIERS) == len(set(DEFAULT_MODIFIERS)) == 20
    assert choose_modifiers(["default", "at night"]) == (*DEFAULT_MODIFIERS, "at night")
    writer = PromptWriter(PromptBook(modifiers=DEFAULT_MODIFIERS), [], ["cat"])
    assert writer.write(Cell("cat"), 0) == "a photo of a cat, close-up"


def test_words_and_prompts_of_a_file():
    book = read_book(
        {
            "classes": {"n01440764": "tench", 3: "pair of scissors"},
            "groups": {"place": {0: "on land", 1: "on water"}},
            "class_prompts": {"3": ["{label} {place}"]},
            "negative_prompt": "blurry",
        },
        "f.yaml",
    )
    writer = PromptWriter(book, ["place"], ["n01440764", "3"])
    assert writer.write(Cell("n01440764", (("place", "1"),)), 0) == "a photo of a tench, on water"
    assert writer.write(Cell("3", (("place", "0"),)), 0) == "pair of scissors on land"
    assert writer.unclear([Cell("n01440764", (("place", "1"),))]) == {}


def test_unclear_names_are_found():
    writer = PromptWriter(PromptBook(), ["place"], ["7", "cat"])
    cells = [Cell("7", (("place", "1"),)), Cell("cat", (("place", "1"),))]
    assert writer.unclear(cells) == {"classes": ["7"], "place": ["1"]}


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("a photo", "never names the class"),
        ("{label} {animal}", "unknown field"),
        ("{label.__class__}", "unknown field"),
        ("{label!r}", "unknown field"),
        ("{label:>10}", "unknown field"),
        ("{0} {label}", "unknown field"),
        ("{} {label}", "single brace"),
        ("{label", "can't be read"),
        ("{label} {modifier}", "there are no modifiers"),
    ],
)
def test_wrong_templates_are_refused(template, message):
    with pytest.raises(UsageError, match=message):
        PromptWriter(PromptBook(templates=(template,)), [], ["cat", "dog"])


def test_a_prompt_that_leaves_out_a_balanced_group_is_refused():
    with pytest.raises(UsageError, match="never names the group 'place'"):
        PromptWriter(PromptBook(templates=("a {label}",)), ["place"], ["cat", "dog"])


def test_braces_in_names_are_text():
    writer = PromptWriter(PromptBook(), [], ["{x}"])
    assert writer.write(Cell("{x}"), 0) == "a photo of a {x}"


@pytest.mark.parametrize(
    "content",
    [[], {"clases": {}}, {"classes": ["x"]}, {"classes": {"a": 1}}, {"prompts": 3},
     {"negative_prompt": ["x"]}, {"groups": {"g": "x"}}, {"prompts": [1]}],
)  # fmt: skip
def test_wrong_files_are_refused(content):
    with pytest.raises(UsageError):
        read_book(content, "f.yaml")


@pytest.mark.parametrize(
    ("book", "name"),
    [
        (PromptBook(class_templates={"dgo": ("x",)}), "dgo"),
        (PromptBook(class_words={"dgo": "puppy"}), "dgo"),
        (PromptBook(group_words={"plcae": {}}), "plcae"),
        (PromptBook(group_words={"place": {"watre": "x"}}), "watre"),
    ],
)
def test_names_that_the_dataset_does_not_have_are_refused(book, name):
    with pytest.raises(UsageError, match=name):
        check_names(book, ["dog", "cat"], {"place": ["land", "water"]}, ["label", "place"])


def test_names_that_it_has_pass_even_if_they_are_not_balanced_now():
    book = PromptBook(class_words={"cat": "x"}, group_words={"place": {"1": "x"}})
    check_names(book, ["dog", "cat"], {}, ["label", "place"])


def test_columns_with_any_name_can_be_fields():
    for column in ("attr.male", "a[0]", "a:b", "a!r", "first name", "0"):
        writer = PromptWriter(PromptBook(), [column], ["dog"])
        assert "old" in writer.write(Cell("dog", ((column, "old"),)), 0)


@pytest.mark.parametrize("column", ["label", "article", "modifier", "a{b"])
def test_columns_that_would_hide_a_field_are_refused(column):
    with pytest.raises(UsageError, match="Rename"):
        PromptWriter(PromptBook(), [column], ["dog"])


def test_doubled_braces_are_braces():
    writer = PromptWriter(PromptBook(templates=("{{{label}}} of {{",)), [], ["dog"])
    assert writer.write(Cell("dog"), 0) == "{dog} of {"
