"""Class and group names -> the words of a prompt. Pure text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synfill.errors import UsageError, suggest
from synfill.records import Cell

DEFAULT_MODIFIERS = (
    "close-up",
    "seen from a distance",
    "from the side",
    "from a low angle",
    "from above",
    "in bright daylight",
    "in soft morning light",
    "in warm evening light",
    "on an overcast day",
    "with strong shadows",
    "with soft, even light",
    "backlit",
    "with a blurred background",
    "with a plain background",
    "with a busy background",
    "sharp and detailed",
    "slightly out of focus",
    "taken with a phone",
    "with muted colors",
    "with vivid colors",
)
"""Twenty photographic styles and settings. None of them names a place, a person or an object, so
that they go with every class and never contradict a group."""

# Before the class word these read well as they are ("a photo of a red car"); of any other column
# the value and the column's name are added after it ("a photo of a dog, rainy weather").
_ADJECTIVE_COLUMNS = {
    "color", "colour", "gender", "sex", "race", "ethnicity", "age", "age_group", "breed",
    "material", "texture", "size",
}  # fmt: skip
_PLACE_COLUMNS = {"place", "background", "scene", "location", "environment", "habitat", "setting"}

_VOWEL_SOUND = re.compile(
    r"^(?:hour|honest|honou?r|heir|[fhlmnrsx]-|[AEFHILMNORSX](?=[A-Z]{1,4}\b)|8|11\b|18\b|"
    r"(?!uni(?!n|m)|us[abeu]|util|ura|eu|ewe|one\b|one-|once|ukulele|ufo|u-|ubi|uru)[aeiou])",
)
_OWN_FIELDS = ("label", "article", "modifier")
# A field, or a brace that is doubled to stand for itself. Column names may have dots and colons,
# which Python's own formatting would take for attributes and formats.
_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")
_SAYS_NOTHING = re.compile(
    r"^(?:n\d{8}|[-+]?\d+|(?:class|label|category|cat|cls|group|id|c|y)[_\- ]?\d+|[\W_]*)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class PromptBook:
    """The words and templates of a run.

    Attributes:
        templates: Prompts that take turns.
        class_templates: Prompts of single classes, in place of `templates`.
        class_words: Class name -> the words that stand for it.
        group_words: Column -> value -> the words that stand for it.
        negative_prompt: The negative prompt of every image; empty for none.
        modifiers: What `{modifier}` stands for, in turns.
    """

    templates: tuple[str, ...] = ()
    class_templates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    class_words: Mapping[str, str] = field(default_factory=dict)
    group_words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    negative_prompt: str = ""
    modifiers: tuple[str, ...] = ()

    def shown(self, cell: Cell) -> str:
        """A cell as tables show it: "landbird (0) / place=forest (1)", with the words for it."""
        return cell.shown(self.class_words, self.group_words)


_BOOK_KEYS = ("classes", "groups", "prompts", "class_prompts", "negative_prompt", "modifiers")


def read_book(content: Any, where: str) -> PromptBook:
    """Check the content of a prompts file.

    Args:
        content: What the file holds, with any of the keys classes, groups, prompts,
            class_prompts, negative_prompt, modifiers.
        where: The file's name, for messages.

    Raises:
        UsageError: A key is unknown, or a value isn't of its form.
    """
    if not isinstance(content, dict):
        raise UsageError(f"{where} must hold keys such as 'classes:' or 'prompts:'.")
    for key in content:
        if key not in _BOOK_KEYS:
            raise UsageError(
                f"{where} has an unknown key '{key}'.", suggest(key, _BOOK_KEYS, "keys")
            )
    negative = content.get("negative_prompt") or ""
    if not isinstance(negative, str):
        raise UsageError(f"{where}: 'negative_prompt' must be text.")
    return PromptBook(
        templates=_texts(content.get("prompts"), f"{where}: 'prompts'"),
        class_templates={
            name: _texts(value, f"{where}: 'class_prompts: {name}'")
            for name, value in _mapping(content, "class_prompts", where).items()
        },
        class_words=_words(_mapping(content, "classes", where), f"{where}: 'classes'"),
        group_words={
            column: _words(_as_mapping(value, f"{where}: 'groups: {column}'"), f"{where}: {column}")
            for column, value in _mapping(content, "groups", where).items()
        },
        negative_prompt=negative,
        modifiers=choose_modifiers(_texts(content.get("modifiers"), f"{where}: 'modifiers'")),
    )


def _mapping(content: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    return _as_mapping(content.get(key) or {}, f"{where}: '{key}'")


def _as_mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where} must map names to words.")
    return {str(name): entry for name, entry in value.items()}


def _words(mapping: Mapping[str, Any], where: str) -> dict[str, str]:
    for name, words in mapping.items():
        if not isinstance(words, str):
            raise UsageError(f"{where}: the words of '{name}' must be text, not {words!r}.")
    return dict(mapping)


def _texts(value: Any, where: str) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UsageError(f"{where} must be a text or a list of texts.")
    return tuple(texts)


def check_names(
    book: PromptBook,
    labels: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    columns: Sequence[str],
) -> None:
    """Check that a prompts file names only what the dataset has: a typo would go unnoticed.

    Args:
        book: The prompts file's content.
        labels: All class names.
        groups: The values of each column that cells are made of.
        columns: All columns of the dataset.

    Raises:
        UsageError: A class, column or value isn't there; the nearest right one is named.
    """
    for label in [*book.class_templates, *book.class_words]:
        if label not in labels:
            raise UsageError(
                f"The prompts name a class '{label}' that the dataset doesn't have.",
                suggest(label, labels, "classes"),
            )
    for column, words in book.group_words.items():
        if column not in columns:
            raise UsageError(
                f"The prompts name a group column '{column}' that the dataset doesn't have.",
                suggest(column, columns, "columns"),
            )
        for value in words:
            if value not in groups.get(column, words):
                raise UsageError(
                    f"The prompts name a value '{value}' of '{column}' that the dataset doesn't "
                    "have.",
                    suggest(value, groups[column], "values"),
                )


def choose_modifiers(given: Sequence[str]) -> tuple[str, ...]:
    """What `--modifiers` stands for: `default` is the project's own twenty."""
    chosen: list[str] = []
    for text in given:
        chosen.extend(DEFAULT_MODIFIERS if text == "default" else [text])
    return tuple(chosen)


def readable(name: str) -> str:
    """A class or column name as words: underscores, hyphens and CamelCase taken apart.

    "Black_footed_Albatross" -> "Black footed Albatross"; "FireTruck" -> "fire truck"; the numbers
    before names, as in "001.Laysan_Albatross", go.
    """
    text = re.sub(r"^\d+[._\- ]+(?=\D)", "", name)
    text = re.sub(r"[_\-]+", " ", text)
    camel = r"(?<=[a-z][a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})"
    if re.search(camel, text):
        text = re.sub(camel, " ", text)
        text = " ".join(w if len(w) > 1 and w.isupper() else w.lower() for w in text.split(" "))
    return " ".join(text.split())


def says_nothing(name: str) -> bool:
    """Whether a name is only a number or a code, which no text encoder knows."""
    return bool(_SAYS_NOTHING.match(name.strip()))


def article(words: str) -> str:
    """ "a" or "an" by the first sound; none before words that bring their own."""
    first = words.split(" ", 1)[0].lower() if words else ""
    if first in ("a", "an", "the", "some", "two", "three", "several", ""):
        return ""
    word = words.split(" ", 1)[0]
    # Acronyms are read letter by letter; of all other words only the letters count.
    spoken = word if word.isupper() and 1 < len(word) <= 4 else word.lower()
    return "an" if _VOWEL_SOUND.match(spoken) else "a"


class PromptWriter:
    """Writes the prompts of a run.

    Args:
        book: Words and templates. Without templates the default is used: "a photo of {article}
            {label}", with the groups' words where they read well and ", {modifier}" if there are
            modifiers.
        columns: The group columns that cells are made of; empty under `--by class`.
        labels: The names of the classes that will be asked for.

    Raises:
        UsageError: A template has an unknown field, or says nothing of the class or a group that
            its images would be labelled with.
    """

    def __init__(self, book: PromptBook, columns: Sequence[str], labels: Sequence[str]) -> None:
        self.book = book
        self.columns = tuple(columns)
        for column in self.columns:
            if column in _OWN_FIELDS or set(column) & set("{}"):
                raise UsageError(
                    f"A group column called '{column}' can't be told from the field {{label}}, "
                    "{article} or {modifier} of a prompt, or has a brace in its name.",
                    "Rename the column in the source, or balance --by class.",
                )
        shared = book.templates or (self._default_template(),)
        self._templates = {label: book.class_templates.get(label, shared) for label in labels}
        for label, templates in self._templates.items():
            for template in templates:
                own = label in book.class_templates or len(labels) == 1
                self.check(template, needs_label=not own)

    @property
    def templates(self) -> tuple[str, ...]:
        """All templates in use, each once."""
        used = [template for templates in self._templates.values() for template in templates]
        return tuple(dict.fromkeys(used))

    def _default_template(self) -> str:
        before, after = [], []
        for column in self.columns:
            if column.lower() in _ADJECTIVE_COLUMNS:
                before.append(f"{{{column}}}")
            else:
                after.append(f", {{{column}}}")
        modifier = ", {modifier}" if self.book.modifiers else ""
        return "".join(["a photo of {article} ", *(f"{b} " for b in before), "{label}", *after]) + (
            modifier
        )

    def check(self, template: str, needs_label: bool) -> None:
        """Refuse a template that says nothing, or not what its images would be labelled with.

        Args:
            template: The template.
            needs_label: Whether it must name the class.

        Raises:
            UsageError: It is blank, has a single brace, a field that isn't known or that there
                are no words for, or lacks a group or the class.
        """
        if not template.strip():
            raise UsageError("A prompt is empty.", "Write one such as 'a photo of {label}'.")
        known = [*_OWN_FIELDS, *self.columns]
        if set("{}") & set(_FIELD.sub("", template)):
            raise UsageError(
                f"The prompt '{template}' can't be read: it has a single brace.",
                "Write {{ or }} for a brace.",
            )
        fields = {found[1] for found in _FIELD.finditer(template)} - {None}
        for name in sorted(fields):
            if name not in known:
                raise UsageError(
                    f"The prompt '{template}' has an unknown field '{{{name}}}'.",
                    suggest(name, known, "fields")
                    + ("" if self.columns else " Group columns need --by class+GROUP."),
                )
        if needs_label and "label" not in fields:
            raise UsageError(
                f"The prompt '{template}' never names the class: its images would be labelled "
                "with a class they were not asked for.",
                "Add {label}, or give prompts per class in a --prompts file (class_prompts).",
            )
        for column in self.columns:
            if column not in fields:
                raise UsageError(
                    f"The prompt '{template}' never names the group '{column}': its images would "
                    "be labelled with a group they were not asked for.",
                    f"Add {{{column}}}, or balance --by class.",
                )
        if "modifier" in fields and not self.book.modifiers:
            raise UsageError(
                f"The prompt '{template}' has {{modifier}}, but there are no modifiers.",
                "Add --modifiers default, or a list of your own.",
            )

    def period(self, cell: Cell) -> int:
        """After how many images of a cell its prompts begin anew."""
        return len(self._templates[cell.label]) * max(1, len(self.book.modifiers))

    def write(self, cell: Cell, turn: int) -> str:
        """The prompt of a cell's image.

        Args:
            cell: What the image is to show.
            turn: The image's number among those of the cell, from 0: templates take turns, and
                after each round of them the modifiers do.
        """
        templates = self._templates[cell.label]
        template = templates[turn % len(templates)]
        modifiers = self.book.modifiers
        words = {"label": self.label_words(cell.label)}
        for column, value in cell.groups:
            words[column] = self.group_phrase(column, value)
        if modifiers:
            words["modifier"] = modifiers[turn // len(templates) % len(modifiers)]
        # The article depends on the word that comes after it, so that it is put in last.
        words["article"] = "\0"
        text = _FIELD.sub(lambda found: words[found[1]] if found[1] else found[0][0], template)
        while "\0" in text:
            head, _, tail = text.partition("\0")
            text = f"{head}{article(tail.lstrip())}{tail}"
        return re.sub(r" +([,.])", r"\1", " ".join(text.split()))

    def label_words(self, label: str) -> str:
        """The words that stand for a class."""
        return self.book.class_words.get(label) or readable(label)

    def group_phrase(self, column: str, value: str) -> str:
        """The words that stand for a group's value."""
        mapped = self.book.group_words.get(column, {}).get(value)
        if mapped is not None:
            return mapped
        words, name = readable(value), readable(column)
        if value in ("True", "False"):
            return name if value == "True" else f"not {name}"
        if column.lower() in _ADJECTIVE_COLUMNS:
            return words
        if column.lower() in _PLACE_COLUMNS:
            return f"{words} background"
        return f"{words} {name}"

    def unclear(self, cells: Sequence[Cell]) -> dict[str, list[str]]:
        """Class names and group values that say nothing and aren't mapped, by column.

        The classes stand under "classes". What is named in prompts of its own needs no words.
        """
        found: dict[str, list[str]] = {}
        for cell in cells:
            own_prompts = cell.label in self.book.class_templates
            if cell.label not in self.book.class_words and says_nothing(cell.label):
                fields = "".join(self._templates[cell.label])
                if not own_prompts or "{label}" in fields:
                    found.setdefault("classes", []).append(cell.label)
            for column, value in cell.groups:
                mapped = value in self.book.group_words.get(column, {})
                # A letter says as little of a person or place as a number.
                if not mapped and (says_nothing(value) or len(value) == 1):
                    found.setdefault(column, []).append(value)
        return {column: list(dict.fromkeys(names)) for column, names in found.items()}
