"""Settings that are texts with a form of their own, and files that they name: all that can be
told of them before a dataset, a model or a device is looked for.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from synfill.balancing.prompts import PromptBook, PromptWriter, choose_modifiers, read_book
from synfill.balancing.target import Target, parse_target, target_from_counts
from synfill.config.generator import MODELS
from synfill.config.layouts import check_layout
from synfill.config.yaml import read_yaml
from synfill.devices import check_device_name
from synfill.errors import UsageError, suggest
from synfill.generation.models.families.family import find_family
from synfill.generation.models.guidance import check_shares, guided_steps
from synfill.generation.models.presets import find_preset
from synfill.generation.models.resolve import check_size
from synfill.generation.models.schedulers import check_scheduler
from synfill.hub.revisions import is_revision
from synfill.hub.snapshot import REPO_ID

if TYPE_CHECKING:
    from synfill.config.balance import BalanceSettings

_MAY_BE_EMPTY = ("negative_prompt", "modifiers", "commit_message")
# Names of files may hold bytes that aren't UTF-8.
_PATHS = ("source", "out", "prompts", "target", "model", "lora", "image_root")
_FILES = (".yaml", ".yml", ".json")


def read_target(settings: BalanceSettings) -> Target:
    """The target that a run asks for.

    Raises:
        UsageError: It is none, or its file isn't there or holds none.
    """
    target = settings.target
    if target is None:
        # A study of replaced images changes what they are, not how many there are.
        return Target("present" if settings.replace or settings.replace_class else "uniform")
    if isinstance(target, dict):
        return target_from_counts(target, "target")
    if target.lower().endswith(_FILES) or os.path.isfile(target):
        return target_from_counts(read_yaml(Path(target), "a target file"), target)
    return parse_target(target)


def read_prompts(settings: BalanceSettings) -> PromptBook:
    """The words and templates that a run asks for.

    Raises:
        UsageError: The prompts file isn't there or isn't one.
    """
    book = PromptBook()
    if isinstance(settings.prompts, dict):
        book = read_book(settings.prompts, "prompts")
    elif settings.prompts is not None:
        content = read_yaml(settings.prompts, "a prompts file")
        book = read_book(content, str(settings.prompts))
    _check_encoding(book)
    modifiers = [part.strip() for text in settings.modifiers for part in text.split(",")]
    return dataclasses.replace(
        book,
        templates=settings.prompt or book.templates,
        modifiers=choose_modifiers([text for text in modifiers if text]) or book.modifiers,
        negative_prompt=(
            book.negative_prompt if settings.negative_prompt is None else settings.negative_prompt
        ),
    )


def _check_encoding(book: PromptBook) -> None:
    texts = [
        *book.templates, *book.modifiers, book.negative_prompt, *book.class_words.values(),
        *(text for texts in book.class_templates.values() for text in texts),
        *(text for words in book.group_words.values() for text in words.values()),
    ]  # fmt: skip
    for text in texts:
        if not _is_encodable(text):
            raise UsageError(f"The prompts hold {text!r}, which is not valid text (UTF-8).")


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def text_problems(settings: BalanceSettings) -> Iterator[tuple[str, str]]:
    """What is wrong with settings of the right kinds: a key and a message for each problem."""
    checks: tuple[tuple[str, Callable[[BalanceSettings], object]], ...] = (
        ("layout", lambda given: check_layout(given.layout)),
        ("target", read_target),
        ("by", lambda given: given.by_groups),
        ("replace", lambda given: given.model_copy(update={"replace_class": ()}).replaced_shares()),
        (
            "replace_class",
            lambda given: given.model_copy(update={"replace": None}).replaced_shares(),
        ),
        ("prompts", read_prompts),
        ("model", _check_model),
        ("revision", _check_revision),
        ("size", _check_size),
        ("scheduler", _check_scheduler),
        ("guidance_interval", _check_interval),
        ("device", lambda given: check_device_name(given.device)),
    )
    broken = set()
    for key, value in settings:
        texts = [str(one) for one in (value if isinstance(value, tuple) else [value])]
        if any("\0" in text for text in texts):
            problem = "holds a NUL, which no name has"
        elif "" in texts and key not in _MAY_BE_EMPTY:
            problem = "is empty"
        elif (
            key not in _PATHS and not isinstance(value, dict) and not all(map(_is_encodable, texts))
        ):
            problem = "is not valid text (UTF-8)"
        else:
            continue
        broken.add(key)
        yield key, problem
    for key, check in checks:
        if key in broken:
            continue
        try:
            check(settings)
        except UsageError as error:
            broken.add(key)
            yield key, _in_one_line(error)
    # A template names groups and modifiers, which must be known for it to be looked at.
    if broken.isdisjoint({"by", "prompts", "prompt", "modifiers"}):
        yield from _prompt_problems(settings)


def _in_one_line(error: UsageError) -> str:
    return " ".join(f"{error.message} {error.hint}".split())


def _prompt_problems(settings: BalanceSettings) -> Iterator[tuple[str, str]]:
    try:
        writer = PromptWriter(read_prompts(settings), settings.by_groups, [])
        templates = [*writer.book.templates]
        templates += [text for texts in writer.book.class_templates.values() for text in texts]
    except UsageError as error:
        yield "by", _in_one_line(error)
        return
    for template in dict.fromkeys(templates):
        try:
            # Whether it must name the class depends on how many classes get images.
            writer.check(template, needs_label=False)
        except UsageError as error:
            key = "prompt" if template in settings.prompt else "prompts"
            yield key, _in_one_line(error)


def _check_model(settings: BalanceSettings) -> None:
    """The same words as `resolve_model`'s, which also looks whether it is there."""
    model = settings.model
    if find_preset(model) or REPO_ID.fullmatch(model) or os.path.isdir(os.path.expanduser(model)):
        return
    raise UsageError(
        f"There is no model '{model}': it is no short name, no folder, and no Hub id (owner/name).",
        suggest(model, MODELS, "short names"),
    )


def _check_revision(settings: BalanceSettings) -> None:
    if settings.revision is not None and not is_revision(settings.revision):
        raise UsageError(f"'{settings.revision}' can be no revision: a branch, a tag or a commit.")


def _check_size(settings: BalanceSettings) -> None:
    preset = find_preset(settings.model)
    if (size := settings.pixels) is not None:
        # Of any other model it isn't known before its files are read.
        multiple = find_family(preset.family).size_multiple({}) if preset else 1
        is_known = preset is not None and preset.folder is None
        check_size(size, multiple if is_known else 1, settings.model)


def _check_scheduler(settings: BalanceSettings) -> None:
    if settings.scheduler is not None:
        preset = find_preset(settings.model)
        flow = preset is not None and find_family(preset.family).flow
        check_scheduler(settings.scheduler, settings.model, {}, flow=flow)


def _check_interval(settings: BalanceSettings) -> None:
    interval = settings.guided_shares
    if interval is None:
        return
    check_shares(interval)
    if settings.steps is not None and not guided_steps(interval, settings.steps):
        raise UsageError(f"No step of {settings.steps} lies in it.", "Give a wider one.")
