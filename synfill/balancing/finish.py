"""From finished shards to the dataset in its folder: data, card, pictures, record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from synfill import __version__
from synfill.analysis.pictures import Bar, draw_bars, draw_samples
from synfill.balancing.people import names_people
from synfill.balancing.plan import write_plan
from synfill.balancing.prepare import Prepared
from synfill.balancing.write import (
    Samples,
    choose_sample_classes,
    verdict_table,
    write_data,
    write_skipped,
)
from synfill.data.images import decode
from synfill.data.writers import Written
from synfill.files import no_room
from synfill.generation.fill.store import ShardStore
from synfill.generation.models.resolve import ResolvedModel
from synfill.reading import parse_json, read_regular
from synfill.records import JsonObject, ModelInfo
from synfill.report.command import command_line
from synfill.report.dataset_card import CardContent, write_card
from synfill.reporter import Reporter
from synfill.runs.dataset_files import CARD, RUN
from synfill.runs.dataset_folder import DatasetFolder
from synfill.runs.dataset_record import RunRecord
from synfill.runs.record import LARGEST_RUN
from synfill.runs.versions import GENERATING, versions
from synfill.runs.written import list_written

_PROVENANCE = ("synthetic", "prompt", "seed", "generator")


def finish(
    prepared: Prepared,
    folder: DatasetFolder,
    store: ShardStore,
    model: ModelInfo,
    reporter: Reporter,
) -> RunRecord:
    """Write the balanced dataset and move it into place.

    Args:
        prepared: The run.
        folder: Its output folder, begun.
        store: All its shards, finished.
        model: The generator.
        reporter: Where progress goes.

    Returns:
        The content of run.json.

    Raises:
        RunError: The disk is full. The shards are kept.
    """
    with no_room(folder.path):
        final = folder.final
        info = final / "synfill"
        info.mkdir(parents=True)
        made = _count_made(prepared, store)
        samples = Samples(choose_sample_classes(prepared, made))
        written = write_data(prepared, final, store, model, samples, reporter)
        write_plan(prepared.plan, info / "plan.parquet")
        pq.write_table(verdict_table(prepared, store), info / "verdicts.parquet")
        write_skipped(prepared, info / "skipped.csv")
        (info / "histogram.png").write_bytes(_draw_histogram(prepared, made))
        has_samples = bool(samples.real or samples.synthetic)
        if has_samples:
            (info / "samples.png").write_bytes(_draw_samples(samples))
        history = _history(prepared, reporter)
        record = _record(prepared, store, model, made, written) | {"history": history}
        card = _card(prepared, record, model, has_samples)
        (final / CARD).write_text(card, encoding="utf-8")
        record["entries"] = sorted(child.name for child in final.iterdir())
        record["files"] = list_written(final)
        text = json.dumps(record, indent=1, ensure_ascii=False)
        (info / "run.json").write_text(text + "\n", encoding="utf-8")
        folder.commit(prepared.identity)
    return RunRecord.model_validate(record)


def _count_made(prepared: Prepared, store: ShardStore) -> list[int]:
    """Accepted images of each cell."""
    cell_of = prepared.plan.table["cell"].to_numpy()
    ids = [verdict.request for verdict in store.verdicts() if verdict.accepted]
    accepted = np.array(ids, dtype=np.int64)
    counts = np.bincount(cell_of[accepted], minlength=len(prepared.deficit.cells))
    return [int(count) for count in counts]


def _draw_histogram(prepared: Prepared, made: Sequence[int]) -> bytes:
    deficit = prepared.deficit
    before, after = [], []
    for k, cell in enumerate(deficit.cells):
        earlier = int(deficit.earlier[k])
        name = prepared.writer.book.shown(cell)
        before.append(Bar(name, int(deficit.before[k]), earlier))
        after.append(Bar(name, int(deficit.kept[k]), earlier + made[k]))
    what = "cell" if prepared.groups else "class"
    panels = [(f"Before: images per {what}", before), (f"After: images per {what}", after)]
    return draw_bars(panels, "png", beside=True)


def _draw_samples(samples: Samples) -> bytes:
    return draw_samples(
        [
            (
                name,
                [decode(data) for data in samples.real[name]],
                [decode(data) for data in samples.synthetic[name]],
            )
            for name in samples.classes
        ]
    )


def _record(
    prepared: Prepared,
    store: ShardStore,
    model: ModelInfo,
    made: Sequence[int],
    written: dict[str, Written],
) -> JsonObject:
    """run.json: what was asked for, with what, and what came of it."""
    deficit, origin = prepared.deficit, prepared.source.origin
    return {
        "synfill": __version__,
        "command": command_line(prepared.settings)[0],
        "identity": prepared.identity,
        "source": {
            "name": origin.name,
            "id": origin.hub_id,
            "revision": origin.revision,
            "licence": origin.licence,
        },
        "model": asdict(model),
        "split": prepared.split,
        "label": prepared.label.name,
        "groups": [group.name for group in prepared.groups],
        "columns": {name: prepared.provenance.name(name) for name in _PROVENANCE},
        "counts": [
            {
                "class": cell.label,
                "groups": dict(cell.groups),
                "before": int(deficit.before[k]),
                "kept": int(deficit.kept[k]),
                "earlier": int(deficit.earlier[k]),
                "wanted": int(deficit.wanted[k]),
                "synthetic": made[k],
            }
            for k, cell in enumerate(deficit.cells)
        ],
        "rejected": sum(not verdict.accepted for verdict in store.verdicts()),
        "unfilled": len(prepared.plan) - sum(made),
        "skipped": sum(len(rows) for rows in prepared.bad.values()),
        "splits": {split: asdict(part) for split, part in written.items()},
        "batch_sizes": sorted({n for i in store.finished() for n in store.batch_sizes(i)}),
        "versions": versions(GENERATING),
        "shard_versions": store.versions(),
    }


def _history(prepared: Prepared, reporter: Reporter) -> list[Any]:
    """The records of the runs that made the source, if it is one of our own datasets."""
    origin = prepared.source.origin
    path = Path(origin.location).expanduser() / RUN
    if not (prepared.provenance.existing and origin.is_local and path.is_file()):
        return []
    try:
        earlier = parse_json(read_regular(path, LARGEST_RUN))
        if not isinstance(earlier, dict):
            raise ValueError("it holds no JSON object")
    except (FileNotFoundError, NotADirectoryError):
        # The source may be anyone's, with columns that are called as ours are.
        return []
    except (OSError, ValueError) as error:
        reporter.warn(f"{path} can't be read ({error}): run.json won't say how its images came.")
        return []
    history = earlier.pop("history", [])
    # The list of its files is of no use without them.
    earlier.pop("files", None)
    return [*(history if isinstance(history, list) else []), earlier]


def _guidance(model: ResolvedModel) -> str:
    if model.guidance_interval is None:
        return f"{model.guidance_scale:g}"
    start, stop = model.guidance_interval
    return f"{model.guidance_scale:g}, from {start:g} to {stop:g} of the steps"


def _card(prepared: Prepared, record: JsonObject, model: ModelInfo, has_samples: bool) -> str:
    settings, origin = prepared.settings, prepared.source.origin
    book = prepared.writer.book
    earlier = zip(prepared.deficit.cells, prepared.deficit.earlier, strict=True)
    made_before = [prepared.writer.label_words(cell.label) for cell, count in earlier if count]
    resolved = prepared.model
    is_imagefolder = settings.format == "imagefolder"
    pattern = "{}/**" if is_imagefolder else "data/{}-*"
    shown = [
        ("steps", resolved.steps),
        ("guidance scale", _guidance(resolved)),
        ("scheduler", resolved.scheduler or "the model's own"),
        ("size", f"{resolved.size[0]}x{resolved.size[1]}, then resized as the real images"),
        ("number type", resolved.dtype),
        ("seed", settings.seed),
    ]
    if resolved.lora:
        shown.append(("LoRA", f"`{resolved.identity()['lora']}`"))
    if prepared.writer.book.modifiers:
        shown.append(("modifiers", ", ".join(prepared.writer.book.modifiers)))
    tail = settings.long_tail
    subset = f"a long-tailed subset (imbalance factor {tail:g}) of " if tail else ""
    null_groups = [c for c in settings.group_columns if c not in settings.by_groups]
    return write_card(
        CardContent(
            title=f"{origin.name}, balanced",
            source_name=origin.name,
            source_id=origin.hub_id,
            source_revision=origin.revision,
            source_licence=origin.licence,
            subset=subset,
            model=model,
            split=prepared.split,
            rows={split: part["rows"] for split, part in record["splits"].items()},
            bytes={split: part["bytes"] for split, part in record["splits"].items()},
            counts=[
                (
                    book.shown(cell),
                    count["before"],
                    count["kept"],
                    count["earlier"] + count["synthetic"],
                    count["wanted"],
                )
                for cell, count in zip(prepared.deficit.cells, record["counts"], strict=True)
            ],
            earlier=int(prepared.deficit.earlier.sum()),
            templates=prepared.writer.templates,
            examples=prepared.plan.prompts(4),
            negative_prompt=prepared.writer.book.negative_prompt,
            settings=shown,
            command=record["command"],
            not_shared=command_line(settings)[1],
            limit=settings.limit,
            names_people=any(map(names_people, [*prepared.plan.prompts(), *made_before])),
            version=__version__,
            balanced_groups=settings.by_groups,
            null_groups=null_groups,
            unfilled=record["unfilled"],
            configs=[(split, pattern.format(split)) for split in record["splits"]],
            has_samples=has_samples,
            provenance=[prepared.provenance.name(name) for name in _PROVENANCE],
            is_imagefolder=is_imagefolder,
        )
    )
