"""What the images are said to show: texts, tokens, and which of them a batch gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor
from transformers import CLIPTokenizer

from benchmarks.text_to_image.settings import Settings
from synfill.balancing.prompts import DEFAULT_MODIFIERS, PromptBook, PromptWriter
from synfill.records import Cell

WORD_END = "</w>"
"""What CLIP marks the last letter of a word with."""


@dataclass(frozen=True, eq=False)
class Captions:
    """The captions of a cell, by token; captions are drawn with equal chance.

    Attributes:
        full: For each cell, captions with the groups' words: int64, shape (captions, length).
        class_only: Likewise without them.
        empty: The empty caption: int64, shape (length,).
    """

    full: tuple[Tensor, ...]
    class_only: tuple[Tensor, ...]
    empty: Tensor


def write_captions(settings: Settings, cells: tuple[Cell, ...]) -> tuple[list[list[str]], ...]:
    """The captions of every cell: (with the groups' words, without them).

    The default prompt stands as often as all other templates together.
    """
    labels = list(dict.fromkeys(cell.label for cell in cells))

    def write(columns: tuple[str, ...], templates: tuple[str, ...]) -> list[list[str]]:
        found: list[list[str]] = []
        default = PromptWriter(PromptBook(), columns, labels)
        others = PromptWriter(PromptBook(templates=templates), columns, labels)
        for cell in cells:
            own = Cell(cell.label, tuple(pair for pair in cell.groups if pair[0] in columns))
            found.append([default.write(own, 0)] * max(len(templates), 1))
            found[-1] += [others.write(own, turn) for turn in range(len(templates))]
        return found

    bare = tuple(dict.fromkeys(template.split(",")[0] for template in settings.templates))
    if not settings.groups:
        return write((), bare), write((), bare)
    return write(settings.groups, settings.templates), write((), bare)


def with_modifiers(texts: list[str], share: float) -> list[str]:
    """The texts, repeated so that a share of them ends in a modifier, every modifier once."""
    if not share:
        return texts
    extra = len(DEFAULT_MODIFIERS)
    times = max(1, round(extra * (1 - share) / share / len(texts)))
    endings = [
        f"{texts[number % len(texts)]}, {modifier}"
        for number, modifier in enumerate(DEFAULT_MODIFIERS)
    ]
    return texts * times + endings


def build_tokenizer(texts: Iterable[str], length: int) -> CLIPTokenizer:
    """A CLIP tokenizer in which every word of the texts is one token; others are spelt out."""
    backend = CLIPTokenizer().backend_tokenizer
    words = Counter(
        word
        for text in texts
        for word, _ in backend.pre_tokenizer.pre_tokenize_str(
            backend.normalizer.normalize_str(text)
        )
    )
    merges = learn_merges(words)
    letters = sorted(ByteLevel.alphabet())
    # In CLIP's order: bytes, bytes that end a word, merges, begin and end.
    tokens = letters + [letter + WORD_END for letter in letters]
    tokens += dict.fromkeys(first + second for first, second in merges)
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={token: number for number, token in enumerate(tokens)},
        merges=merges,
        model_max_length=length,
    )


def learn_merges(words: Mapping[str, int]) -> list[tuple[str, str]]:
    """Byte-pair merges (Sennrich et al. 2016) until every word is one token, the commonest first.

    By hand, since tokenizers' own trainer breaks ties by chance: the same texts gave another
    tokenizer each time. Ties go to the pair that sorts first.
    """
    spelt = {word: [*word[:-1], word[-1] + WORD_END] for word in sorted(words)}
    merges = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in spelt.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for parts in spelt.values():
            position = 0
            while position < len(parts) - 1:
                if (parts[position], parts[position + 1]) == best:
                    parts[position : position + 2] = ["".join(best)]
                position += 1


def tokenize(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """int64, shape (texts, length)."""
    return tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids


def draw_captions(
    captions: Captions, cells: Tensor, settings: Settings, generator: torch.Generator
) -> Tensor:
    """One caption an image: int64, shape (images, length)."""
    kind = torch.rand(len(cells), generator=generator).tolist()
    which = torch.rand(len(cells), generator=generator).tolist()
    class_only = settings.empty_share + (1 - settings.empty_share) * settings.class_only_share
    drawn = []
    for cell, share, turn in zip(cells.tolist(), kind, which, strict=True):
        if share < settings.empty_share:
            drawn.append(captions.empty)
            continue
        options = captions.class_only[cell] if share < class_only else captions.full[cell]
        drawn.append(options[int(turn * len(options))])
    return torch.stack(drawn)


def make_captions(settings: Settings, cells: tuple[Cell, ...]) -> tuple[CLIPTokenizer, Captions]:
    """The captions of every cell, and the tokenizer that was made for their words."""
    full, class_only = (
        [with_modifiers(texts, settings.modifier_share) for texts in part]
        for part in write_captions(settings, cells)
    )
    texts = [text for part in full + class_only for text in part]
    tokenizer = build_tokenizer(texts, settings.text_length)
    captions = Captions(
        tuple(tokenize(tokenizer, texts) for texts in full),
        tuple(tokenize(tokenizer, texts) for texts in class_only),
        tokenize(tokenizer, [""])[0],
    )
    return tokenizer, captions
