"""What makes a run the run that it is: the settings and the data that decide its result.

Not among them: where the source and OUT are, the batch size, offloading, the number of the GPU,
progress, overwriting, pushing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from synfill.balancing.prompts import PromptWriter
from synfill.balancing.target import Target
from synfill.config.balance import BalanceSettings
from synfill.data.images import Inspection
from synfill.generation.models.resolve import ResolvedModel
from synfill.records import JsonObject, LabelTable

CONTENT, LABELS, PROMPTS = "source content", "source labels", "prompts"


def run_identity(
    settings: BalanceSettings,
    split: str,
    label: str,
    target: Target,
    labels_digest: str,
    writer: PromptWriter,
    model: ResolvedModel,
    checks: Sequence[JsonObject] = (),
) -> JsonObject:
    """What decides the result, by setting, but for the images: known before one is read.

    A change of any of these is another run.

    Args:
        settings: What was asked for.
        split: The split that is balanced.
        label: The class column.
        target: How full each class or cell is wanted.
        labels_digest: From `digest_labels`.
        writer: The prompts' writer.
        model: The generator.
        checks: The name, options and model of each check that was chosen, besides those that are
            always on. Without any, a run is the one that it was before there were such.
    """
    book = writer.book
    return {
        LABELS: labels_digest,
        "split": split,
        "label": label,
        "groups": list(settings.group_columns),
        "by": settings.by,
        "long-tail": settings.long_tail,
        "long-tail-type": settings.long_tail_type,
        "long-tail-max": settings.long_tail_max,
        "target": dict(target.counts) if target.counts else _target_text(target),
        "observed-only": settings.observed_only,
        "cap": settings.cap,
        "limit": settings.limit,
        "replace": settings.replace,
        "replace-class": list(settings.replace_class),
        PROMPTS: list(writer.templates),
        "class words": dict(book.class_words),
        "group words": {column: dict(words) for column, words in book.group_words.items()},
        "modifiers": list(book.modifiers),
        "negative-prompt": book.negative_prompt,
        **{key.replace("_", "-"): value for key, value in model.identity().items()},
        "device kind": model.device.partition(":")[0],
        "seed": settings.seed,
        "max-tries": settings.max_tries,
        "format": settings.format,
        "rename-columns": settings.rename_columns,
        **({"checks": list(checks)} if checks else {}),
    }


def with_content(identity: JsonObject, inspections: Mapping[str, Inspection]) -> JsonObject:
    """The whole identity: with the images' bytes."""
    return {CONTENT: {name: found.digest for name, found in inspections.items()}} | identity


def digest_labels(table: LabelTable) -> str:
    """Identifies the classes and groups of the images, as `Inspection.digest` does the bytes."""
    digest = hashlib.blake2b(digest_size=16)
    for factor in (table.label, *table.groups):
        assert factor is not None
        digest.update(repr((factor.name, factor.values)).encode())
        digest.update(factor.codes.astype("<i4").tobytes())
    return digest.hexdigest()


def _target_text(target: Target) -> str:
    return f"{target.kind}:{target.number}" if target.number is not None else target.kind
