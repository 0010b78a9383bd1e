"""`synfill.balance`: the composer. Prepared run -> images -> balanced dataset in its folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synfill.balancing.estimate import time_lines
from synfill.balancing.finish import finish, versions
from synfill.balancing.look import look_at_images
from synfill.balancing.plan import Plan, write_plan
from synfill.balancing.prepare import Draft, Prepared, prepare
from synfill.balancing.settings import make_settings
from synfill.balancing.takeover import open_smaller, take_over
from synfill.balancing.warnings import tell_doubts
from synfill.config.arguments import takes_settings
from synfill.config.balance import BalanceSettings
from synfill.errors import Interrupted, RunError, SynfillError
from synfill.files import format_bytes, free_bytes
from synfill.generation.fill.engine import Progress, fill
from synfill.generation.fill.shard import shard_size
from synfill.generation.fill.store import ShardStore
from synfill.generation.pipeline.batch_size import (
    BatchSizeMemory,
    expected_batch_size,
    find_batch_size,
)
from synfill.hub.upload.destination import Destination, PushSettings, check_destination
from synfill.hub.upload.listing import read_dataset
from synfill.hub.upload.push import Pushed, push_dataset
from synfill.quality.checks import default_checks
from synfill.records import ImageProfile, JsonObject, Request
from synfill.report.shortfall import what_is_missing
from synfill.reporter import Reporter, reporting
from synfill.runs.dataset_folder import OutputFolder, State
from synfill.runs.dataset_record import RunRecord, RunState, as_json, digest_identity
from synfill.runs.replacing import PLAN, RUN, Replacing
from synfill.tables import text_table
from synfill.wording import counted

if TYPE_CHECKING:
    from pandas import DataFrame

    from synfill.generation.pipeline.generator import Generator

ROOM_TO_SPARE = 50_000_000
EXAMPLES = 5


@dataclass(frozen=True)
class CellCount:
    """One class or cell of the balanced split.

    Attributes:
        name: Its name.
        before: Real images in the source.
        kept: Real images that stay.
        wanted: Images that it should have in all.
        synthetic: Images that were made, or in a dry run would be.
        earlier: Synthetic images that the source had already.
        words: Its name with the words that a prompts file has for it.
    """

    name: str
    before: int
    kept: int
    wanted: int
    synthetic: int
    earlier: int = 0
    words: str = ""

    @property
    def total(self) -> int:
        """Images in all."""
        return self.kept + self.earlier + self.synthetic


@dataclass(frozen=True)
class BalanceResult:
    """What a run did, or in a dry run would do.

    Attributes:
        out: The output folder.
        split: The balanced split.
        by_groups: The group columns that cells are made of; empty for --by class.
        counts: One entry a class or cell, in the dataset's order.
        rejected: Images that were made and not accepted.
        unfilled: Images that were wanted and never accepted.
        rows: Images of each split of the balanced dataset; empty in a dry run.
        pushed: What was pushed to the Hub; None if nothing was.
        dry_run: Whether nothing was made.
        was_finished: Whether an earlier run had done it all.
        estimate: What a dry run expects, in lines of text.
        limit: How many images were to be made at most; None for no limit.
    """

    out: Path
    split: str
    by_groups: tuple[str, ...]
    counts: tuple[CellCount, ...]
    rejected: int = 0
    unfilled: int = 0
    rows: dict[str, int] | None = None
    dry_run: bool = False
    was_finished: bool = False
    estimate: tuple[str, ...] = ()
    pushed: Pushed | None = None
    limit: int | None = None

    def __repr__(self) -> str:
        made = "to make" if self.dry_run else "synthetic"
        rows = [
            (one.words or one.name, one.before, one.total, one.synthetic) for one in self.counts
        ]
        return "\n".join([text_table(["", "before", "after", made], rows), "", *self.summary()])

    def to_pandas(self) -> DataFrame:
        """One row a class or cell: name, before, kept, wanted, synthetic, earlier, words, total."""
        from pandas import DataFrame

        rows = [{**asdict(count), "total": count.total} for count in self.counts]
        return DataFrame(rows, columns=[*(each.name for each in fields(CellCount)), "total"])

    @property
    def synthetic(self) -> int:
        """Synthetic images in all."""
        return sum(count.synthetic for count in self.counts)

    def summary(self) -> list[str]:
        """The result in a few lines."""
        if self.dry_run:
            to_make = f"To make: {counted(self.synthetic, 'image')}."
            return [to_make, *self._below(), *self.estimate]
        lines = [
            f"{counted(self.synthetic, 'synthetic image')}, {self.rejected:,} rejected on the way"
            + (f", {self.unfilled:,} never filled (see verdicts.parquet)" * bool(self.unfilled))
            + ".",
            *self._below(),
            f"The balanced dataset is in {self.out}. "
            f"Load it with datasets.load_dataset({str(self.out)!r}).",
        ]
        if self.was_finished:
            lines.insert(0, "Nothing to do: an earlier run with these settings is complete.")
        return lines + (self.pushed.summary() if self.pushed is not None else [])

    def _below(self) -> list[str]:
        """What a limit leaves unfilled, in a line."""
        counts = [(c.words or c.name, c.total, c.wanted) for c in self.counts]
        told = what_is_missing(counts, self.limit, "cell" if self.by_groups else "class")
        return [told] if told else []


@takes_settings(BalanceSettings)
def balance(
    source: str | Path = ".",
    *,
    progress: bool = True,
    reporter: Reporter | None = None,
    **options: Any,
) -> BalanceResult:
    """Make the missing images of a dataset and write the balanced dataset.

    A run that was stopped goes on when called again with the same arguments.

    Args:
        source: A folder, a Parquet file, a saved dataset, a Hub id (owner/name), or "demo".
        progress: Show progress in a notebook or terminal.
        reporter: Where messages and progress go instead; the logger `synfill` by default.
        **options

    Raises:
        UsageError: An argument is wrong, or there is nothing to balance.
        RunError: The run failed; finished images are kept.
        Interrupted: It was stopped with Ctrl-C; finished images are kept.
    """
    values = {"source": str(source), **options}
    settings = make_settings(values, "The call")
    with reporting(reporter, progress) as told:
        return run_balance(settings, told)


def run_balance(settings: BalanceSettings, reporter: Reporter) -> BalanceResult:
    """`balance` with checked settings."""
    try:
        return _run(settings, reporter)
    except KeyboardInterrupt:
        raise Interrupted(
            "Stopped before another image was finished; nothing that was finished is lost.",
            "The same command goes on from there.",
        ) from None


def _run(settings: BalanceSettings, reporter: Reporter) -> BalanceResult:
    draft = prepare(settings, reporter)
    folder = OutputFolder(draft.out, reporter)
    if settings.dry_run:
        return _dry_run(draft, folder, reporter)
    # What has changed is told before an image is read.
    folder.state(draft.identity, settings.overwrite, draft.unsure)
    prepared = look_at_images(draft, reporter)
    tell_doubts(prepared, reporter)
    state = folder.state(prepared.identity, settings.overwrite)
    # Before anything is made, so that no night is lost to a bad token.
    destination = _check_destination(prepared, state, reporter) if settings.push_to_hub else None
    record = folder.read_finished() if state == "finished" else None
    was_finished = record is not None and not folder.is_cut_off()
    if record is None or not was_finished:
        # Before the model is loaded: another process at work here is told now.
        folder.take()
        try:
            record, was_finished = _make(prepared, folder, reporter)
        finally:
            folder.release()
    return _finished(prepared, record, destination, reporter, was_finished)


def _make(prepared: Prepared, folder: OutputFolder, reporter: Reporter) -> tuple[RunRecord, bool]:
    """Make the dataset in a folder that is taken.

    Returns:
        Its record, and whether an earlier process had done it all.
    """
    # Again: until now another process may have been at work here.
    state = folder.state(prepared.identity, prepared.settings.overwrite)
    if state == "finished":
        record = folder.read_finished()
        assert record is not None
        return record, True
    folder.check_replaced(_replacing(prepared))
    smaller = open_smaller(prepared, folder, reporter) if state == "extend" else None
    _check_room(prepared, folder)
    _tell_upscaling(prepared, reporter)
    # Before anything is written: a model that can't be loaded leaves nothing behind.
    generator = _load(prepared, reporter) if len(prepared.plan) else None
    if smaller is not None:
        first = take_over(prepared, folder, smaller, versions(), reporter)
    else:
        first = _first_state(prepared, generator if state == "new" else None, reporter)
    remembered = folder.begin(state, first)
    store = ShardStore(
        folder.shards,
        len(prepared.plan),
        remembered.shard_size,
        reporter.warn,
        run=digest_identity(prepared.identity),
        versions=versions(),
        first_versions=remembered.versions,
    )
    _tell_versions(store, reporter)
    try:
        write_plan(prepared.plan, folder.plan)
        if generator is not None:
            _generate(prepared, generator, store, remembered.batch_size, reporter)
        info = generator.info if generator is not None else prepared.model.info()
        return finish(prepared, folder, store, info, reporter), False
    except KeyboardInterrupt:
        if folder.is_committed():
            raise Interrupted(
                f"Stopped in the last step: the balanced dataset is complete in {prepared.out}.",
                "The same command tidies up.",
            ) from None
        raise Interrupted(
            f"Stopped. {store.decided():,} of {len(prepared.plan):,} images are finished and kept "
            f"in {prepared.out}.",
            "The same command goes on from there.",
        ) from None


def _replacing(prepared: Prepared) -> Replacing:
    """What the run writes in its folder, and what it reads."""
    settings = prepared.settings
    data = ["data"] if settings.format == "parquet" else prepared.source.splits
    named = (
        settings.source, settings.model, settings.lora, settings.target, settings.prompts,
    )  # fmt: skip
    paths = [Path(name).expanduser() for name in named if isinstance(name, str | Path)]
    reads = [path for path in paths if path.exists()]
    return Replacing(prepared.out, ("README.md", "synfill", *data), reads)


def _tell_versions(store: ShardStore, reporter: Reporter) -> None:
    """Warn where the images that are there were made with other versions."""
    now = versions()
    changed = dict.fromkeys(
        f"{name} {earlier[name]} -> {version}"
        for earlier in store.versions()
        for name, version in now.items()
        if earlier.get(name, version) != version
    )
    if changed:
        reporter.warn(
            f"The images that are there were made with other versions ({', '.join(changed)}): "
            "those that are made now may differ in small ways from what an undisturbed run would "
            "have given. run.json lists all versions that were used (shard_versions). With another "
            "--out all of them are made anew."
        )


def _check_destination(
    prepared: Draft, state: State, reporter: Reporter, identity: JsonObject | None = None
) -> Destination:
    settings = prepared.settings
    destination = check_destination(
        PushSettings(
            repo_id=settings.repo_id,
            private=settings.private,
            revision=settings.hub_revision,
            create_pr=settings.create_pr,
            commit_message=settings.commit_message,
            overwrite=settings.overwrite,
        ),
        prepared.source.origin.name,
        identity or prepared.identity,
        read_dataset(prepared.out) if state == "finished" else None,
        reporter.note,
    )
    reporter.warn(f"To be pushed to the Hub: {destination.audience()}")
    return destination


def _finished(
    prepared: Prepared,
    record: RunRecord,
    destination: Destination | None,
    reporter: Reporter,
    was_finished: bool = False,
) -> BalanceResult:
    """Push the finished dataset, if it is to be, and say what there is."""
    result = _result(prepared, record, was_finished)
    if destination is None:
        return result
    pushed = push_dataset(read_dataset(prepared.out), destination, reporter.note)
    return replace(result, pushed=pushed)


def _dry_run(draft: Draft, folder: OutputFolder, reporter: Reporter) -> BalanceResult:
    """Say what would be done; write the plan, if there is a folder that is free for it.

    No image is read: there may be millions.
    """
    settings = draft.settings
    tell_doubts(draft, reporter)
    state: State | None = None
    try:
        state = folder.state(draft.identity, settings.overwrite, draft.unsure)
    except SynfillError as error:
        reporter.warn(f"The run itself would stop here: {error.message}")
    if settings.push_to_hub and state is not None:
        # Of a dataset that is there already its record knows the images.
        record = folder.read_finished() if state == "finished" else None
        known = dict(record.identity) if record is not None else None
        _check_destination(draft, state, reporter, known)
    plan = draft.make_plan()
    estimate = [*_examples(draft, plan), _disk_line(draft, len(plan))]
    if len(plan):
        estimate += time_lines(draft.model, plan, settings.batch_size, reporter)
    estimate.append("The images themselves are checked when the run starts.")
    if state == "new" and not folder.holds_dataset():
        write_plan(plan, folder.path / PLAN)
        estimate.append(f"Every request stands in {folder.path / PLAN}.")
    deficit, book = draft.deficit, draft.writer.book
    return BalanceResult(
        out=draft.out,
        split=draft.split,
        by_groups=settings.by_groups,
        counts=tuple(
            CellCount(
                str(cell),
                int(deficit.before[k]),
                int(deficit.kept[k]),
                int(deficit.wanted[k]),
                int(deficit.to_make[k]),
                int(deficit.earlier[k]),
                book.shown(cell),
            )
            for k, cell in enumerate(deficit.cells)
        ),
        limit=settings.limit,
        dry_run=True,
        estimate=tuple(estimate),
    )


def _examples(draft: Draft, plan: Plan) -> list[str]:
    prompts = plan.prompts(EXAMPLES)
    negative = draft.writer.book.negative_prompt
    lines = ["First prompts:", *(f"  {prompt}" for prompt in prompts)] if prompts else []
    return lines + ([f"Negative prompt: {negative}"] if negative else [])


def _disk_line(draft: Draft, requests: int) -> str:
    source = draft.source
    real = images = 0
    for split in source.splits:
        rows = len(draft.rows_to_read(split))
        real += source.image_bytes(split) * rows // max(1, source.count(split))
        images += rows
    synthetic = round(real / max(1, images) * requests)
    return (
        f"Disk: about {format_bytes(real + synthetic)} for the dataset, and "
        f"{format_bytes(synthetic)} more while it is made; "
        f"{format_bytes(free_bytes(draft.out.absolute()))} are free."
    )


def _bytes(prepared: Prepared) -> tuple[int, int]:
    """Bytes of the real images, and estimated bytes of the synthetic ones, which are like them."""
    found = prepared.inspections.values()
    real = sum(inspection.bytes for inspection in found)
    images = sum(len(inspection.codes) for inspection in found)
    return real, round(real / max(1, images) * len(prepared.plan))


def _check_room(prepared: Prepared, folder: OutputFolder) -> None:
    real, synthetic = _bytes(prepared)
    there = sum(path.stat().st_size for path in folder.shards.glob("*.parquet"))
    needed = real + 2 * synthetic - there + ROOM_TO_SPARE
    free = free_bytes(prepared.out.absolute())
    if needed > free:
        raise RunError(
            f"There is not enough room in {prepared.out}: the run needs about "
            f"{format_bytes(needed)}, {format_bytes(free)} are free.",
            "Make room, choose an --out on another disk, or make fewer images with --limit.",
        )


def _tell_upscaling(prepared: Prepared, reporter: Reporter) -> None:
    """Warn where images will be enlarged: blur is something a classifier can learn."""
    profiles = prepared.inspections[prepared.split].profiles
    width, height = prepared.model.size
    larger = [profile.size for profile in profiles if min(profile.size) > min(width, height)]
    if larger and len(prepared.plan):
        biggest = max(larger)
        reporter.note(
            f"Some real images (up to {biggest[0]}x{biggest[1]}) are larger than what "
            f"{prepared.model.id} makes ({width}x{height}): synthetic ones of their size are "
            "enlarged, and softer. A larger --size may help, if the model can make it."
        )


def _load(prepared: Prepared, reporter: Reporter) -> Generator:
    from synfill.generation.pipeline.generator import load_generator

    reporter.note(f"Loading {prepared.model.id} on {prepared.model.device}.")
    return load_generator(prepared.model)


def _first_state(prepared: Prepared, generator: Generator | None, reporter: Reporter) -> RunState:
    """What a run must remember to go on as it began.

    Args:
        prepared: The run.
        generator: To find its batch size with; None where there is nothing to find.
        reporter: Told of the batch size that was found.
    """
    size = prepared.settings.batch_size
    if size is None and generator is not None and prepared.model.device.startswith("cuda"):
        plan = prepared.plan
        size = find_batch_size(
            generator, plan[0].prompt, plan[0].negative_prompt, len(plan), BatchSizeMemory(),
            reporter.note,
        )  # fmt: skip
    elif size is None:
        size = expected_batch_size(prepared.model)
    return RunState(
        identity=as_json(prepared.identity),
        batch_size=size,
        shard_size=shard_size(size),
        versions=versions(),
    )


def _generate(
    prepared: Prepared,
    generator: Generator,
    store: ShardStore,
    first_batch_size: int,
    reporter: Reporter,
) -> None:
    def on_progress(progress: Progress) -> None:
        reporter.progress(
            "generating",
            progress.done,
            progress.total,
            progress.label,
            progress.images_per_second,
            progress.seconds_left,
        )

    if store.decided() and store.missing():
        done = store.decided()
        reporter.note(f"Going on: {done:,} of {len(prepared.plan):,} images are done.")
    left = (prepared.plan[i] for index in store.missing() for i in store.to_make(index))
    generator.encode_ahead((request.prompt, request.negative_prompt) for request in left)
    batch_size = prepared.settings.batch_size or store.last_batch_size() or first_batch_size
    generator.expect_batches_of(min(batch_size, len(prepared.plan)))
    fill(
        prepared.plan,
        generator,
        store,
        ProfileChooser(prepared).choose,
        default_checks(prepared.model.size),
        batch_size=batch_size,
        max_tries=prepared.settings.max_tries,
        on_progress=on_progress,
        on_note=reporter.warn,
    )


class ProfileChooser:
    """Chooses for each request how its file is made: as a real image of its class, by its seed.

    Args:
        prepared: The run.

    Raises:
        RunError: There is no real image to take after.
    """

    def __init__(self, prepared: Prepared) -> None:
        inspection = prepared.inspections[prepared.split]
        codes = inspection.codes[inspection.codes >= 0]
        real = ~prepared.earlier.synthetic[prepared.table.rows]
        if not real.any():
            raise RunError(f"The split '{prepared.split}' has no real image that can be read.")
        self._profiles: tuple[ImageProfile, ...] = inspection.profiles
        self._all = codes[real]
        label = prepared.label
        self._of_class = {
            name: codes[real & (label.codes == code)] for code, name in enumerate(label.names)
        }

    def choose(self, request: Request) -> ImageProfile:
        """The profile of a request's image."""
        of_class = self._of_class[request.cell.label]
        choices = of_class if len(of_class) else self._all
        return self._profiles[int(choices[request.seed % len(choices)])]


def _result(prepared: Prepared, record: RunRecord, was_finished: bool = False) -> BalanceResult:
    if len(record.counts) != len(prepared.deficit.cells):
        raise RunError(
            f"{prepared.out / RUN} is damaged (it counts {len(record.counts):,} cells, not "
            f"{len(prepared.deficit.cells):,}).",
            "Restore it, choose another --out, or add --overwrite to begin anew.",
        )
    counts = [
        CellCount(
            str(cell),
            one.before,
            one.kept,
            one.wanted,
            one.synthetic,
            one.earlier,
            prepared.writer.book.shown(cell),
        )
        for cell, one in zip(prepared.deficit.cells, record.counts, strict=True)
    ]
    return BalanceResult(
        out=prepared.out,
        split=record.split,
        by_groups=prepared.settings.by_groups,
        counts=tuple(counts),
        rejected=record.rejected,
        unfilled=record.unfilled,
        rows={split: part.rows for split, part in record.splits.items()},
        was_finished=was_finished,
        limit=prepared.settings.limit,
    )
