"""Warnings of labels that are missing, and of words that a model won't understand or hear."""

from __future__ import annotations

import re
from collections.abc import Sequence

from synfill.balancing.prepare import Draft, wanted_cells
from synfill.generation.models.presets import find_preset
from synfill.records import Cell
from synfill.reporter import Reporter
from synfill.wording import counted, list_some


def warn_of_doubts(draft: Draft, reporter: Reporter) -> None:
    """Warn of all that is likely not what the user meant, before it takes a night."""
    _report_missing(draft, reporter)
    cells = wanted_cells(draft.deficit)
    for column, names in draft.writer.unclear(cells).items():
        reporter.warn(_unclear(column, names))
    _warn_of_vocabulary(draft, cells, reporter)
    model = draft.model
    if draft.writer.book.negative_prompt and not model.negative_prompts:
        reporter.warn(
            f"{model.id} runs without classifier-free guidance here (guidance scale "
            f"{model.guidance_scale:g}), so that the negative prompt has no effect."
        )


def _report_missing(draft: Draft, reporter: Reporter) -> None:
    for factor in (draft.label, *draft.groups):
        if factor.missing:
            some = factor.missing == 1
            reporter.warn(
                f"{factor.missing:,} of {counted(len(draft.table), 'image')} "
                f"{'has' if some else 'have'} no '{factor.name}' (null or -1): "
                f"{'it stays' if some else 'they stay'} in the dataset, but "
                f"{'counts' if some else 'count'} for no class or cell."
            )


def _unclear(column: str, names: Sequence[str]) -> str:
    shown = list_some(f"'{name}'" for name in names)
    one, many = ("class name says", "class names say")
    if column != "classes":
        one, many = f"value of '{column}' says", f"values of '{column}' say"
    its, them = ("its", "it") if len(names) == 1 else ("their", "them")
    example = "classes:" if column == "classes" else f"groups:\n  {column}:"
    indent = "  " if column == "classes" else "    "
    return (
        f"{counted(len(names), one, many)} nothing to a text encoder ({shown}), so that {its} "
        f"images will show anything. Map {them} to words with --prompts FILE.yaml:\n"
        f"{example}\n{indent}{_yaml_key(names[0])}: the words for it"
    )


def _yaml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z][\w ]*", name) else f'"{name}"'


def _warn_of_vocabulary(draft: Draft, cells: Sequence[Cell], reporter: Reporter) -> None:
    """Warn if a model of a small world, such as the demo's, is asked for what it can't know."""
    preset = find_preset(draft.model.preset)
    if preset is None or preset.vocabulary is None:
        return
    words = dict.fromkeys(
        word
        for cell in cells
        for word in [
            draft.writer.label_words(cell.label),
            *(draft.writer.group_phrase(column, value) for column, value in cell.groups),
        ]
    )
    unknown = [word for word in words if word not in preset.vocabulary]
    if unknown:
        shown = ", ".join(f"'{word}'" for word in unknown[:5])
        reporter.warn(
            f"The model '{preset.name}' only knows {', '.join(sorted(preset.vocabulary))}. What "
            f"it makes for {shown} will show none of it. Choose another --model."
        )
