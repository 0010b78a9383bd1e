"""All that is told from names and counts: settings -> source, deficit, prompts, model.

Together with `look` and `run` the composer: it knows the other rooms, they don't know each other.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synfill.balancing.assemble import output_features
from synfill.balancing.checks import read_prompts, read_target
from synfill.balancing.deficit import Deficit, Rules, find_deficit
from synfill.balancing.identity import CONTENT, LABELS, PROMPTS, digest_labels, run_identity
from synfill.balancing.plan import Plan, build_plan
from synfill.balancing.prompts import PromptBook, PromptWriter, check_names
from synfill.balancing.target import Target
from synfill.config.balance import BalanceSettings
from synfill.data.images import BadRow, Inspection
from synfill.data.labels import choose_label, choose_split, read_label_table
from synfill.data.longtail import keep_long_tail
from synfill.data.provenance import Provenance, find_provenance, read_synthetic
from synfill.data.source import Source, image_column, open_source
from synfill.data.writers import check_imagefolder, check_parquet
from synfill.errors import RunError, UsageError, suggest
from synfill.files import safe_name
from synfill.generation.models.resolve import ResolvedModel, resolve_model
from synfill.records import MISSING, Cell, Factor, JsonObject, LabelTable
from synfill.reporter import Reporter
from synfill.runs.dataset_folder import DatasetFolder
from synfill.wording import list_some


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
class Draft:
    """A run of which all is known but what its images are.

    Attributes:
        settings: What was asked for.
        source: The dataset.
        split: The split that is balanced.
        table: Its label table, long-tailed if wanted.
        groups: The group columns that cells are made of; empty for --by class.
        kept: Rows of the split that stay, int64, ascending.
        provenance: The names of the columns that say how an image was made.
        earlier: The split's images that earlier runs made.
        target: How full each class or cell is wanted.
        deficit: What is missing.
        writer: The prompts' writer.
        model: The generator, with every setting known.
        out: The output folder.
        identity: What decides the result, by setting.
        unsure: The keys of the identity that the images have a say in, and so may still change
            or be added.
    """

    settings: BalanceSettings
    source: Source
    split: str
    table: LabelTable
    groups: tuple[Factor, ...]
    kept: NDArray[np.int64]
    provenance: Provenance
    earlier: Earlier
    target: Target
    deficit: Deficit
    writer: PromptWriter
    model: ResolvedModel
    out: Path
    identity: JsonObject
    unsure: frozenset[str]

    @property
    def label(self) -> Factor:
        """The class column."""
        assert self.table.label is not None
        return self.table.label

    def make_plan(self) -> Plan:
        """A request for every image that is missing."""
        return build_plan(
            self.deficit,
            self.writer,
            self.settings.seed,
            self.earlier.seeds,
            self.settings.max_tries,
        )

    def rows_to_read(self, split: str) -> NDArray[np.int64]:
        """The rows of a split whose images may go into the result, int64, ascending."""
        if split == self.split:
            return self.table.rows
        return np.arange(self.source.count(split), dtype=np.int64)

    def without(self, bad: Sequence[int]) -> Draft:
        """The same run where some rows of the split can't be used."""
        keep = ~np.isin(self.table.rows, bad)
        if keep.all():
            return self
        table = self.table.take(np.flatnonzero(keep))
        by_name = {group.name: group for group in table.groups}
        groups = tuple(by_name[group.name] for group in self.groups)
        deficit, kept, writer = _find_missing(
            self.settings, table, groups, self.earlier, self.target, self.writer.book
        )
        changed = {LABELS: digest_labels(table), PROMPTS: list(writer.templates)}
        return dataclasses.replace(
            self,
            table=table,
            groups=groups,
            kept=kept,
            deficit=deficit,
            writer=writer,
            identity=self.identity | changed,
        )


@dataclass(frozen=True, eq=False)
class Prepared(Draft):
    """A run that is ready to start: a draft without the images that can't be read.

    Attributes:
        inspections: What was found in the images, by split.
        bad: The images that can't be read, by split; they are left out.
        plan: The requests.
    """

    inspections: Mapping[str, Inspection]
    bad: Mapping[str, tuple[BadRow, ...]]
    plan: Plan

    def rows_of(self, split: str) -> NDArray[np.int64]:
        """Which real rows of a split go into the balanced dataset, int64, ascending."""
        if split == self.split:
            return self.kept
        bad = [row.row for row in self.bad[split]]
        return np.setdiff1d(self.rows_to_read(split), bad).astype(np.int64)


def prepare(settings: BalanceSettings, reporter: Reporter) -> Draft:
    """Do everything that needs neither the images nor the generator.

    Raises:
        UsageError: A setting is wrong, or there is nothing to do.
        RunError: The source can't be read.
    """
    target = read_target(settings)
    by_groups = settings.by_groups
    book = read_prompts(settings)
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
    whole = read_label_table(source, split, label, settings.group_columns)
    table, notes = keep_long_tail(whole, settings.tail, settings.seed)
    for note in notes:
        reporter.note(note)
    if table.label is None or len(table) == 0 or not table.label.values:
        raise UsageError(f"The split '{split}' of {source.origin.location} has no images.")
    groups = tuple(g for g in table.groups if g.name in by_groups)
    groups = tuple(sorted(groups, key=lambda group: by_groups.index(group.name)))
    _check_names(settings, source, table.label, groups, book, provenance)
    model = resolve_model(settings)
    earlier = _find_earlier(source, split, provenance)
    deficit, kept, writer = _find_missing(settings, table, groups, earlier, target, book)
    leaves_out = settings.on_bad_image == "skip"
    draft = Draft(
        settings=settings,
        source=source,
        split=split,
        table=table,
        groups=groups,
        kept=kept,
        provenance=provenance,
        earlier=earlier,
        target=target,
        deficit=deficit,
        writer=writer,
        model=model,
        out=out,
        identity=run_identity(settings, split, label, target, digest_labels(table), writer, model),
        unsure=frozenset({CONTENT, LABELS, PROMPTS} if leaves_out else {CONTENT}),
    )
    if not leaves_out or settings.dry_run:
        check_something_to_do(draft)
    return draft


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


def _find_missing(
    settings: BalanceSettings,
    table: LabelTable,
    groups: Sequence[Factor],
    earlier: Earlier,
    target: Target,
    book: PromptBook,
) -> tuple[Deficit, NDArray[np.int64], PromptWriter]:
    """What is missing, the rows that stay, and who writes the prompts of what is missing."""
    every, single = settings.replaced_shares()
    rules = Rules(
        settings.cap, settings.limit, settings.observed_only, every, single, settings.seed
    )
    made = earlier.synthetic[table.rows]
    deficit, kept = find_deficit(table, groups, made, target, rules)
    labels = list(dict.fromkeys(cell.label for cell in wanted_cells(deficit)))
    return deficit, kept, PromptWriter(book, settings.by_groups, labels)


def wanted_cells(deficit: Deficit) -> list[Cell]:
    """The cells that images are to be made of."""
    return [cell for cell, n in zip(deficit.cells, deficit.to_make, strict=True) if n]


def _find_earlier(source: Source, split: str, provenance: Provenance) -> Earlier:
    if not provenance.existing:
        return Earlier(np.zeros(source.count(split), dtype=bool), frozenset())
    synthetic = read_synthetic(source, split, provenance)
    seeds = source.read_column(split, provenance.name("seed")).filter(pa.array(synthetic))
    return Earlier(synthetic, frozenset(seeds.to_pylist()))


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
        try:
            resolved = out.resolve()
        except (OSError, RuntimeError) as error:
            raise UsageError(f"{out} can't be an output folder: {error}.") from None
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
        DatasetFolder(out).check_place(settings.overwrite)
    return out


def check_something_to_do(draft: Draft) -> None:
    """Refuse a run that would neither make nor take away an image.

    Raises:
        UsageError: It would.
    """
    deficit, table, settings = draft.deficit, draft.table, draft.settings
    if deficit.total or len(draft.kept) < len(table):
        return
    what = "cell" if settings.by_groups else "class"
    counts = sorted(set((deficit.kept + deficit.earlier).tolist()))
    if not counts:
        raise UsageError(
            f"There is nothing to balance: no image of '{table.split}' has a value of "
            f"{' and '.join(settings.by_groups)}.",
            "Choose another --by.",
        )
    shown = list_some(f"{n:,}" for n in counts)
    asked = settings.target if isinstance(settings.target, str) else draft.target.kind
    raise UsageError(
        f"There is nothing to balance: every {what} of '{table.split}' already has what --target "
        f"{asked} asks for ({shown} image{'' if counts == [1] else 's'}).",
        "Choose another --target, for example uniform:N, or make it uneven with --long-tail.",
    )


def codes_by_row(table: LabelTable) -> dict[int, int]:
    """Row number -> class code, for the rows that have a class."""
    assert table.label is not None
    labelled = table.label.codes != MISSING
    pairs = zip(table.rows[labelled].tolist(), table.label.codes[labelled].tolist(), strict=True)
    return dict(pairs)
