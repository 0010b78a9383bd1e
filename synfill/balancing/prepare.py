"""Everything before an image is made: settings -> source, counts, target, plan, identity.

Together with `run` the composer: it knows the other rooms, they don't know each other.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synfill.balancing.analyze import TailSettings, cut_tail
from synfill.balancing.assemble import Provenance, find_provenance, output_features
from synfill.balancing.deficit import Deficit, Rules, find_deficit
from synfill.balancing.identity import digest_labels, run_identity
from synfill.balancing.output import OutputFolder
from synfill.balancing.plan import Plan, build_plan
from synfill.balancing.prompts import (
    PromptBook,
    PromptWriter,
    check_names,
    choose_modifiers,
    read_book,
)
from synfill.balancing.settings import BalanceSettings
from synfill.balancing.target import Target, parse_target, target_from_counts
from synfill.balancing.writers import check_imagefolder, check_parquet
from synfill.data.images import BadRow, Inspection, inspect_split
from synfill.data.labels import choose_label, choose_split, read_label_table
from synfill.data.source import Source, image_column, open_source
from synfill.errors import RunError, UsageError, suggest
from synfill.files import read_yaml, safe_name
from synfill.generate.presets import find_preset
from synfill.generate.resolve import GeneratorSettings, ResolvedModel, resolve_model
from synfill.records import MISSING, Cell, Factor, JsonObject, LabelTable
from synfill.reporter import Reporter

BAD_ROWS_SHOWN = 10


@dataclass(frozen=True, eq=False)
class Earlier:
    """The images of a split that earlier runs made, if the source is one of our own datasets.

    Attributes:
        synthetic: Of every row of the split whether it is one; bool, shape (rows,).
        seeds: Their seeds, which no new image may have: it would be the same image.
    """

    synthetic: NDArray[np.bool_]
    seeds: frozenset[int]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A run that is ready to start.

    Attributes:
        settings: What was asked for.
        source: The dataset.
        split: The split that is balanced.
        table: Its label table, long-tailed if wanted, without the bad images.
        groups: The group columns that cells are made of; empty for --by class.
        kept: Rows of the split that stay, int64, ascending.
        inspections: What was found in the images, by split.
        bad: The images that can't be read, by split; they are left out.
        provenance: The names of the columns that say how an image was made.
        earlier: The split's images that earlier runs made.
        deficit: What is missing.
        writer: The prompts' writer.
        plan: The requests.
        model: The generator, with every setting known.
        out: The output folder.
        identity: What decides the result, by setting.
    """

    settings: BalanceSettings
    source: Source
    split: str
    table: LabelTable
    groups: tuple[Factor, ...]
    kept: NDArray[np.int64]
    inspections: Mapping[str, Inspection]
    bad: Mapping[str, tuple[BadRow, ...]]
    provenance: Provenance
    earlier: Earlier
    deficit: Deficit
    writer: PromptWriter
    plan: Plan
    model: ResolvedModel
    out: Path
    identity: JsonObject

    @property
    def label(self) -> Factor:
        """The class column."""
        assert self.table.label is not None
        return self.table.label

    def rows_of(self, split: str) -> NDArray[np.int64]:
        """Which real rows of a split go into the balanced dataset, int64, ascending."""
        if split == self.split:
            return self.kept
        rows = np.arange(self.source.count(split))
        return np.setdiff1d(rows, [bad.row for bad in self.bad[split]]).astype(np.int64)


def prepare(settings: BalanceSettings, reporter: Reporter) -> Prepared:
    """Do everything that needs no generator.

    What can be told from names and counts is told before any image is read.

    Raises:
        UsageError: A setting is wrong, or there is nothing to do.
        RunError: The source can't be read, or holds bad images and they aren't to be skipped.
    """
    target = _read_target(settings)
    by_groups = settings.by_groups
    book = _read_book(settings)
    source = open_source(
        settings.source,
        config=settings.config,
        image=settings.image,
        folder=settings.folder_options,
    )
    out = _choose_out(settings, source)
    for note in source.notes:
        reporter.note(note)
    split = choose_split(source, settings.split)
    provenance = find_provenance(source.columns, settings.rename_columns)
    _check_groups(provenance, settings)
    label = choose_label(source, settings.label, settings.group_columns)
    if label is None:
        raise UsageError(
            f"The images of {source.origin.location} have no classes, so there is nothing to "
            "balance.",
            "Put them in one folder a class, put a table of their files and labels (labels.csv) "
            "beside them, or name the class column with --label.",
        )
    tail = None
    if settings.long_tail is not None:
        tail = TailSettings(
            settings.long_tail, settings.long_tail_type, settings.long_tail_max, settings.seed
        )
    whole = read_label_table(source, split, label, settings.group_columns)
    table, notes = cut_tail(whole, tail)
    for note in notes:
        reporter.note(note)
    if table.label is None or len(table) == 0 or not table.label.values:
        raise UsageError(f"The split '{split}' of {source.origin.location} has no images.")
    groups = tuple(g for g in table.groups if g.name in by_groups)
    groups = tuple(sorted(groups, key=lambda group: by_groups.index(group.name)))
    _check_names(settings, source, table.label, groups, book, provenance)
    model = resolve_model(_generator_settings(settings))
    earlier = _find_earlier(source, split, provenance)
    rules = _rules(settings)
    deficit, kept = find_deficit(table, groups, earlier.synthetic[table.rows], target, rules)
    writer = _make_writer(book, by_groups, deficit)
    if settings.on_bad_image == "error":
        _check_something_to_do(deficit, kept, table, settings)
    inspections, bad = _inspect(source, table, settings, reporter)
    if bad[split]:
        table = _without(table, bad[split])
        groups = tuple(g for name in by_groups for g in table.groups if g.name == name)
        deficit, kept = find_deficit(table, groups, earlier.synthetic[table.rows], target, rules)
        writer = _make_writer(book, by_groups, deficit)
    _check_something_to_do(deficit, kept, table, settings)
    _tell_missing(table, groups, reporter)
    _tell_words(writer, deficit, model, reporter)
    plan = build_plan(deficit, writer, settings.seed, earlier.seeds, settings.max_tries)
    return Prepared(
        settings=settings,
        source=source,
        split=split,
        table=table,
        groups=groups,
        kept=kept,
        inspections=inspections,
        bad=bad,
        provenance=provenance,
        earlier=earlier,
        deficit=deficit,
        writer=writer,
        plan=plan,
        model=model,
        out=out,
        identity=run_identity(
            settings, split, label, target, inspections, digest_labels(table), writer, model
        ),
    )


def _check_groups(provenance: Provenance, settings: BalanceSettings) -> None:
    for column in (*settings.group_columns, settings.label):
        if provenance.existing and column in provenance.columns:
            raise UsageError(
                f"'{column}' says how an image was made; it is neither a class nor a group.",
                "Choose other columns for --label, --group and --by.",
            )


def _check_names(
    settings: BalanceSettings,
    source: Source,
    label: Factor,
    groups: Sequence[Factor],
    book: PromptBook,
    provenance: Provenance,
) -> None:
    """Check names that the user or the data brought, before they cost anything."""
    for name in settings.replaced_shares()[1]:
        if name not in label.names:
            raise UsageError(
                f"--replace-class names a class '{name}' that the dataset doesn't have.",
                suggest(name, label.names, "classes"),
            )
    values = {group.name: group.names for group in groups}
    check_names(book, label.names, values, [column.name for column in source.columns])
    for name in (*label.names, *(name for names in values.values() for name in names)):
        try:
            name.encode()
        except UnicodeEncodeError:
            raise RunError(
                f"The name {name!r} is not valid text (UTF-8), so that no prompt can have it.",
                "Rename that folder or value.",
            ) from None
    schema = output_features(source.columns, provenance).arrow_schema
    if settings.format == "imagefolder":
        check_imagefolder(schema, image_column(source.columns).name, label.names, source.splits)
    else:
        check_parquet(schema)


def _rules(settings: BalanceSettings) -> Rules:
    every, single = settings.replaced_shares()
    return Rules(settings.cap, settings.limit, settings.observed_only, every, single, settings.seed)


def _make_writer(book: PromptBook, by_groups: tuple[str, ...], deficit: Deficit) -> PromptWriter:
    return PromptWriter(
        book, by_groups, list(dict.fromkeys(cell.label for cell in _wanted_cells(deficit)))
    )


def _wanted_cells(deficit: Deficit) -> list[Cell]:
    return [cell for cell, n in zip(deficit.cells, deficit.to_make, strict=True) if n]


def _tell_words(
    writer: PromptWriter, deficit: Deficit, model: ResolvedModel, reporter: Reporter
) -> None:
    """Warn of words that the model won't understand, or won't hear."""
    cells = _wanted_cells(deficit)
    for column, names in writer.unclear(cells).items():
        reporter.warn(_unclear(column, names))
    _tell_vocabulary(model, writer, cells, reporter)
    if writer.book.negative_prompt and not model.negative_prompts:
        reporter.warn(
            f"{model.id} runs without classifier-free guidance here (guidance scale "
            f"{model.guidance_scale:g}), so that the negative prompt has no effect."
        )


def _find_earlier(source: Source, split: str, provenance: Provenance) -> Earlier:
    if not provenance.existing:
        return Earlier(np.zeros(source.count(split), dtype=bool), frozenset())
    marks = source.read_column(split, provenance.name("synthetic"))
    synthetic = np.array([bool(mark) for mark in marks.to_pylist()])
    seeds = source.read_column(split, provenance.name("seed")).to_pylist()
    return Earlier(
        synthetic, frozenset(seed for seed, mark in zip(seeds, synthetic, strict=True) if mark)
    )


def _read_target(settings: BalanceSettings) -> Target:
    target = settings.target
    if target is None:
        # A study of replaced images changes what they are, not how many there are.
        return Target("present" if settings.replace or settings.replace_class else "uniform")
    if isinstance(target, dict):
        return target_from_counts(target, "target")
    if Path(target).suffix.lower() in (".yaml", ".yml", ".json") or Path(target).is_file():
        return target_from_counts(read_yaml(Path(target), "a target file"), target)
    return parse_target(target)


def _read_book(settings: BalanceSettings) -> PromptBook:
    book = PromptBook()
    if isinstance(settings.prompts, dict):
        book = read_book(settings.prompts, "prompts")
    elif settings.prompts is not None:
        content = read_yaml(settings.prompts, "a prompts file")
        book = read_book(content, str(settings.prompts))
    modifiers = [part.strip() for text in settings.modifiers for part in text.split(",")]
    return dataclasses.replace(
        book,
        templates=settings.prompt or book.templates,
        modifiers=choose_modifiers([text for text in modifiers if text]) or book.modifiers,
        negative_prompt=(
            book.negative_prompt if settings.negative_prompt is None else settings.negative_prompt
        ),
    )


def _choose_out(settings: BalanceSettings, source: Source) -> Path:
    origin = source.origin
    local = Path(origin.location).expanduser().resolve() if origin.is_local else None
    if settings.out is not None:
        out = settings.out.expanduser()
    elif local is not None and local.exists():
        # Beside the name that was given, not beside what a link of that name leads to.
        given = Path(os.path.abspath(os.path.expanduser(origin.location)))
        out = given.with_name(f"{given.stem if given.is_file() else given.name}-balanced")
    else:
        out = Path(f"{safe_name(origin.name)}-balanced")
    if local is not None and local.exists():
        resolved = out.resolve()
        folder = local if local.is_dir() else None
        if resolved == local or (folder and resolved.is_relative_to(folder)):
            raise UsageError(
                f"The output folder {out} is inside the source {origin.location}: the next run "
                "would take it for data.",
                "Choose an --out elsewhere.",
            )
        if local.is_relative_to(resolved):
            raise UsageError(
                f"The source {origin.location} is inside the output folder {out}.",
                "Choose an --out elsewhere.",
            )
    if not settings.dry_run:
        OutputFolder(out).check_place(settings.overwrite)
    return out


def _inspect(
    source: Source, table: LabelTable, settings: BalanceSettings, reporter: Reporter
) -> tuple[dict[str, Inspection], dict[str, tuple[BadRow, ...]]]:
    """Decode every image that goes into the result, before a night is spent on it."""
    inspections: dict[str, Inspection] = {}
    done_before = 0
    sizes = {s: len(table) if s == table.split else source.count(s) for s in source.splits}
    total = sum(sizes.values())
    for split in source.splits:
        rows = table.rows if split == table.split else None
        inspections[split] = inspect_split(
            source, split, rows, _counting(reporter, done_before, total, split)
        )
        done_before += sizes[split]
    bad = {split: inspection.bad for split, inspection in inspections.items()}
    found = [row for rows in bad.values() for row in rows]
    if found and settings.on_bad_image == "error":
        shown = "\n".join(f"  {row.where}: {row.reason}" for row in found[:BAD_ROWS_SHOWN])
        more = f"\n  ... and {len(found) - BAD_ROWS_SHOWN:,} more" * (len(found) > BAD_ROWS_SHOWN)
        raise RunError(
            f"{len(found):,} of {total:,} images can't be read:\n{shown}{more}",
            "Repair or remove them, or add --on-bad-image skip to leave them out.",
        )
    if found:
        reporter.warn(
            f"{len(found):,} images can't be read and are left out, "
            f"{found[0].where} ({found[0].reason}) among them; synfill/skipped.csv lists them."
        )
    return inspections, bad


def _counting(reporter: Reporter, before: int, total: int, split: str) -> Callable[[int], None]:
    def on_progress(done: int) -> None:
        reporter.progress("checking images", before + done, total, split)

    return on_progress


def _without(table: LabelTable, bad: Sequence[BadRow]) -> LabelTable:
    keep = ~np.isin(table.rows, [row.row for row in bad])
    return table.take(np.flatnonzero(keep)) if not keep.all() else table


def _tell_missing(table: LabelTable, groups: Sequence[Factor], reporter: Reporter) -> None:
    assert table.label is not None
    for factor in (table.label, *groups):
        if factor.missing:
            reporter.warn(
                f"{factor.missing:,} of {len(table):,} images have no '{factor.name}' (null or "
                "-1): they stay in the dataset, but count for no class or cell."
            )


def _check_something_to_do(
    deficit: Deficit, kept: NDArray[np.int64], table: LabelTable, settings: BalanceSettings
) -> None:
    if deficit.total or len(kept) < len(table):
        return
    what = "cell" if settings.by_groups else "class"
    counts = sorted(set((deficit.kept + deficit.earlier).tolist()))
    if not counts:
        raise UsageError(
            f"There is nothing to balance: no image of '{table.split}' has a value of "
            f"{' and '.join(settings.by_groups)}.",
            "Choose another --by.",
        )
    shown = ", ".join(f"{n:,}" for n in counts[:5]) + (", ..." if len(counts) > 5 else "")
    asked = settings.target or ("present" if settings.replace or settings.replace_class else None)
    raise UsageError(
        f"There is nothing to balance: every {what} of '{table.split}' already has what --target "
        f"{asked or 'uniform'} asks for ({shown} images).",
        "Choose another --target, for example uniform:N, or make it uneven with --long-tail.",
    )


def _unclear(column: str, names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:5]) + (", ..." if len(names) > 5 else "")
    what = "class names" if column == "classes" else f"values of '{column}'"
    example = "classes:" if column == "classes" else f"groups:\n  {column}:"
    indent = "  " if column == "classes" else "    "
    return (
        f"{len(names):,} {what} say nothing to a text encoder ({shown}), so that their images "
        "will show anything. Map them to words with --prompts FILE.yaml:\n"
        f"{example}\n{indent}{_yaml_key(names[0])}: the words for it"
    )


def _yaml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z][\w ]*", name) else f'"{name}"'


def _tell_vocabulary(
    model: ResolvedModel, writer: PromptWriter, cells: Sequence[Cell], reporter: Reporter
) -> None:
    """Warn if a model of a small world, such as the demo's, is asked for what it can't know."""
    preset = find_preset(model.preset)
    if preset is None or preset.vocabulary is None:
        return
    words = dict.fromkeys(
        word
        for cell in cells
        for word in [
            writer.label_words(cell.label),
            *(writer.group_phrase(column, value) for column, value in cell.groups),
        ]
    )
    unknown = [word for word in words if word not in preset.vocabulary]
    if unknown:
        shown = ", ".join(f"'{word}'" for word in unknown[:5])
        reporter.warn(
            f"The model '{preset.name}' only knows {', '.join(sorted(preset.vocabulary))}. What "
            f"it makes for {shown} will show none of it. Choose another --model."
        )


def _generator_settings(settings: BalanceSettings) -> GeneratorSettings:
    return GeneratorSettings(
        model=settings.model,
        revision=settings.revision,
        lora=settings.lora,
        steps=settings.steps,
        guidance_scale=settings.guidance_scale,
        size=settings.pixels,
        scheduler=settings.scheduler,
        dtype=settings.dtype,
        device=settings.device,
        compile=settings.compile,
        offload=settings.offload,
        guidance_interval=settings.guided_shares,
    )


def codes_by_row(table: LabelTable) -> dict[int, int]:
    """Row number -> class code, for the rows that have a class."""
    assert table.label is not None
    labelled = table.label.codes != MISSING
    pairs = zip(table.rows[labelled].tolist(), table.label.codes[labelled].tolist(), strict=True)
    return dict(pairs)
