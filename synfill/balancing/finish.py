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
from synfill.balancing.result import count_cells
from synfill.balancing.write import (
    Samples,
    choose_sample_classes,
    table_of_verdicts,
    write_data,
    write_skipped,
)
from synfill.data.images import decode
from synfill.data.provenance import PROVENANCE
from synfill.data.writers import Written
from synfill.files import no_room
from synfill.generation.fill.store import ShardStore
from synfill.reading import parse_json, read_regular
from synfill.records import JsonObject, ModelInfo
from synfill.report.command import make_command
from synfill.report.dataset_card import write_dataset_card
from synfill.reporter import Reporter
from synfill.runs.dataset_files import CARD, RUN
from synfill.runs.dataset_folder import DatasetFolder
from synfill.runs.dataset_record import RunRecord
from synfill.runs.record import LARGEST_RUN
from synfill.runs.versions import GENERATING, versions
from synfill.runs.written import list_written


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
        pq.write_table(table_of_verdicts(prepared, store), info / "verdicts.parquet")
        write_skipped(prepared, info / "skipped.csv")
        (info / "histogram.png").write_bytes(_draw_histogram(prepared, made))
        has_samples = bool(samples.real or samples.synthetic)
        if has_samples:
            (info / "samples.png").write_bytes(_draw_samples(samples))
        history = _history(prepared, reporter)
        record = _record(prepared, store, model, made, written) | {"history": history}
        card = _card(prepared, record, has_samples)
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
    counts = count_cells(prepared, made)
    before = [Bar(one.words, one.before, one.earlier) for one in counts]
    after = [Bar(one.words, one.kept, one.earlier + one.synthetic) for one in counts]
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
    origin = prepared.source.origin
    command = make_command(prepared.settings)
    return {
        "synfill": __version__,
        "command": command.line,
        **({"settings file": command.settings} if command.settings else {}),
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
        "columns": {name: prepared.provenance.name(name) for name in PROVENANCE},
        "counts": [
            {
                "class": cell.label,
                "groups": dict(cell.groups),
                "before": count.before,
                "kept": count.kept,
                "earlier": count.earlier,
                "wanted": count.wanted,
                "synthetic": count.synthetic,
            }
            for cell, count in zip(prepared.deficit.cells, count_cells(prepared, made), strict=True)
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


def _card(prepared: Prepared, record: JsonObject, has_samples: bool) -> str:
    cells = zip(prepared.deficit.cells, prepared.deficit.earlier, strict=True)
    made_before = [prepared.writer.label_words(cell.label) for cell, count in cells if count]
    return write_dataset_card(
        record,
        examples=prepared.plan.prompts(4),
        not_shared=make_command(prepared.settings).not_shared,
        names_people=any(map(names_people, [*prepared.plan.prompts(), *made_before])),
        has_samples=has_samples,
    )
