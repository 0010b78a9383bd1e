"""Run record + counts -> the dataset card. Pure text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import DatasetCardData

from synfill.records import ModelInfo
from synfill.report.shortfall import what_is_missing
from synfill.wording import counted

_SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"),
          (1e7, "1M<n<10M"), (1e8, "10M<n<100M"))  # fmt: skip
# fmt: off
_LICENCES = frozenset({
    "afl-3.0", "agpl-3.0", "apache-2.0", "apple-amlr", "apple-ascl", "artistic-2.0",
    "bigcode-openrail-m", "bigscience-bloom-rail-1.0", "bigscience-openrail-m", "bsd",
    "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "bsl-1.0", "c-uda", "cc", "cc-by-2.0",
    "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0",
    "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0",
    "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0",
    "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0", "creativeml-openrail-m",
    "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "eupl-1.2", "gfdl", "gpl",
    "gpl-2.0", "gpl-3.0", "isc", "lgpl", "lgpl-2.1", "lgpl-3.0", "lgpl-lr", "lppl-1.3c", "mit",
    "mpl-2.0", "ms-pl", "ncsa", "odbl", "odc-by", "ofl-1.1", "openrail", "openrail++", "osl-3.0",
    "other", "pddl", "postgresql", "unknown", "unlicense", "wtfpl", "zlib",
})
# fmt: on
"""The licences that the Hub takes in a dataset's card; any other goes by "other" and its name."""


@dataclass(frozen=True)
class CardContent:
    """All that a card says.

    Attributes:
        title: The dataset's name.
        source_name: The source's short name.
        source_id: Its Hub id; empty for local data.
        source_revision: The commit of it that was read.
        source_licence: The licence its card names; empty if none.
        subset: What part of the source it is, ending in "of "; empty for all of it.
        model: The generator.
        split: The balanced split.
        rows: Images a split.
        bytes: Of each split's files.
        counts: (cell or class, real before, real kept, synthetic, wanted) of each.
        earlier: How many of the synthetic images earlier runs had made.
        templates: The prompt templates.
        examples: A few finished prompts.
        negative_prompt: The negative prompt.
        settings: (name, value) pairs of the generation.
        command: The command that made it.
        not_shared: Names in the command of files and folders that nobody else has.
        limit: How many images were to be made at most; None for no limit.
        names_people: Whether a prompt names people.
        version: synfill's version.
        balanced_groups: Group columns that were balanced too.
        null_groups: Group columns that are null in synthetic images.
        unfilled: Images that were wanted but never accepted.
        configs: For the Hub's YAML: (split, path pattern) pairs.
        has_samples: Whether there is a sample grid.
        provenance: Names of the synthetic, prompt, seed and generator columns.
        is_imagefolder: Whether it was written as an ImageFolder.
    """

    title: str
    source_name: str
    source_id: str
    source_revision: str
    source_licence: str
    subset: str
    model: ModelInfo
    split: str
    rows: dict[str, int]
    bytes: dict[str, int]
    counts: Sequence[tuple[str, int, int, int, int]]
    earlier: int
    templates: Sequence[str]
    examples: Sequence[str]
    negative_prompt: str
    settings: Sequence[tuple[str, object]]
    command: str
    not_shared: Sequence[str]
    limit: int | None
    names_people: bool
    version: str
    balanced_groups: Sequence[str]
    null_groups: Sequence[str]
    unfilled: int
    configs: Sequence[tuple[str, str]]
    has_samples: bool
    provenance: Sequence[str]
    is_imagefolder: bool


def write_card(content: CardContent) -> str:
    """The text of README.md, with its YAML metadata."""
    made = sum(count[3] for count in content.counts)
    data = DatasetCardData(
        pretty_name=content.title,
        task_categories=["image-classification"],
        size_categories=[_size_category(sum(content.rows.values()))],
        source_datasets=[content.source_id or f"extended|other-{content.source_name}"],
        **_licence(content.source_licence),
        tags=["synthetic", "synfill", "class-imbalance", "image-classification"],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": s, "path": path} for s, path in content.configs],
            }
        ],
        # Without sizes `datasets` takes every dataset with these columns in a folder of this name
        # for the same one, and gives what its cache has of another.
        dataset_info={
            "splits": [
                {"name": split, "num_bytes": content.bytes[split], "num_examples": rows}
                for split, rows in content.rows.items()
            ],
            "download_size": sum(content.bytes.values()),
            "dataset_size": sum(content.bytes.values()),
        },
    )
    parts = [
        f"---\n{data.to_yaml()}\n---",
        f"# {_escape(content.title)}",
        _introduction(content, made),
        "![Images per class before and after](synfill/histogram.png)",
    ]
    if content.has_samples:
        parts.append("![Real and synthetic samples](synfill/samples.png)")
    parts += [
        "## Counts",
        _counts_table(content),
        "## How the images were made",
        _generation(content),
        "## Columns",
        _columns(content),
        "## Cautions",
        _cautions(content),
        _how_made(content),
    ]
    return "\n\n".join(parts) + "\n"


def _how_made(content: CardContent) -> str:
    text = f"Made by synfill {content.version} with\n\n```\n{content.command}\n```"
    if content.not_shared:
        names = ", ".join(f"`{name.replace('`', '')}`" for name in content.not_shared)
        what = "is a file or folder" if len(content.not_shared) == 1 else "are files or folders"
        text += f"\n\n{names} {what} of whoever ran it: put yours in place."
    return text


def _licence(named: str) -> dict[str, Any]:
    """The licence as the Hub takes it: a card with any other isn't let in."""
    licences = named.split(", ") if named else ["unknown"]
    if all(licence in _LICENCES for licence in licences):
        return {"license": licences[0] if len(licences) == 1 else licences}
    return {"license": "other", "license_name": named}


def _introduction(content: CardContent, made: int) -> str:
    source = (
        f"[{content.source_id}](https://huggingface.co/datasets/{content.source_id})"
        if content.source_id
        else f"`{content.source_name}`"
    )
    revision = f" (revision `{content.source_revision}`)" if content.source_revision else ""
    what = "class" if not content.balanced_groups else (
        "cell of class and " + " and ".join(f"`{name}`" for name in content.balanced_groups)
    )  # fmt: skip
    rows = ", ".join(f"{split} {count:,}" for split, count in content.rows.items())
    earlier = (
        f" {content.earlier:,} of them {'is' if content.earlier == 1 else 'are'} from earlier runs."
        if content.earlier
        else ""
    )
    short = content.limit is not None and any(
        kept + added < wanted for _, _, kept, added, wanted in content.counts
    )
    return (
        f"**{made:,} of these images {'is' if made == 1 else 'are'} synthetic.**{earlier} "
        f"This is {content.subset}{source}{revision} with the split `{content.split}` "
        f"{'partly ' if short else ''}filled up by {what} with images of a text-to-image model. "
        f"Real images keep their bytes; the other splits are as they were. Images: {rows}."
    )


def _counts_table(content: CardContent) -> str:
    shown = list(content.counts)
    folded = 0
    if len(shown) > 60:
        folded = len(shown) - 60
        shown = [*shown[:30], *shown[-30:]]
    lines = ["| | real before | real now | synthetic | in all |", "|---|---:|---:|---:|---:|"]
    for index, (name, before, kept, made, _) in enumerate(shown):
        if folded and index == 30:
            lines.append(f"| ... {folded} more | | | | |")
        lines.append(f"| {_escape(name)} | {before:,} | {kept:,} | {made:,} | {kept + made:,} |")
    if content.unfilled:
        missing = counted(
            content.unfilled, "image that was wanted is", "images that were wanted are"
        )
        lines += ["", f"{missing} missing: no try passed the checks (`synfill/verdicts.parquet`)."]
    totals = [(name, kept + made, wanted) for name, _, kept, made, wanted in content.counts]
    short = what_is_missing(totals, content.limit, "cell" if content.balanced_groups else "class")
    if short:
        lines += ["", _escape(short)]
    return "\n".join(lines)


def _generation(content: CardContent) -> str:
    model = content.model
    negative = f"`{content.negative_prompt}`" if content.negative_prompt else "none"
    name = f"`{model.id}`" if model.is_local else f"[{model.id}](https://huggingface.co/{model.id})"
    lines = [
        f"- Model: {name}, revision `{model.revision}`, {model.pipeline}",
        f"- Its licence: {model.licence or 'not stated; see where the model is from'}",
        f"- Licence of the source: {content.source_licence or 'not stated'}",
        *(f"- Prompt: `{template}`" for template in content.templates[:10]),
        f"- Negative prompt: {negative}",
        *(f"- {name.capitalize()}: {value}" for name, value in content.settings),
    ]
    if content.examples:
        examples = "; ".join(f'"{_escape(example)}"' for example in content.examples)
        lines.append(f"- For example {examples}")
    lines.append(
        "- Every request and every verdict: `synfill/plan.parquet`, `synfill/verdicts.parquet`; "
        "all settings: `synfill/run.json`"
    )
    return "\n".join(lines)


def _columns(content: CardContent) -> str:
    synthetic, prompt, seed, generator = content.provenance
    lines = [
        "The source's own columns, and:",
        "",
        f"- `{synthetic}`: true for images made by the model",
        f"- `{prompt}`, `{seed}`, `{generator}`: how such an image was made; null for real ones",
    ]
    if content.null_groups:
        columns = ", ".join(f"`{name}`" for name in content.null_groups)
        lines.append(
            f"- {columns}: null for synthetic images, which were balanced by class, without "
            "knowledge of the group"
        )
    if content.is_imagefolder:
        lines.append(
            "- Classes are text here: an ImageFolder has no class numbering of its own. Real "
            "images have the prompt and generator (none) and the seed -1, as a CSV has no null"
        )
    return "\n".join(lines)


def _cautions(content: CardContent) -> str:
    lines = [
        f"- Synthetic images show what the model takes the words for. Never test on them: "
        f"filter on `{content.provenance[0]}` first.",
        "- They carry the model's own biases and may repeat pictures that it was trained on.",
    ]
    if content.names_people:
        lines.append(
            "- The prompts name people. Generated people are not real, often stereotyped, and "
            "labels such as gender, age or ethnicity are what was asked for, not what anyone "
            "said of themselves. Don't use them to judge or identify real people."
        )
    return "\n".join(lines)


def _size_category(images: int) -> str:
    return next((name for limit, name in _SIZES if images < limit), "100M<n<1B")


def _escape(text: str) -> str:
    """Text from data, with nothing in it that Markdown or HTML would act on."""
    flat = " ".join(text.split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", flat)
