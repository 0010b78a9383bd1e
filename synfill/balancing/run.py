"""`synfill.balance`, from top to bottom: prepare -> look at the images -> plan -> fill -> finish ->
push. What each of these does is in the module of its name.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synfill.balancing.dry_run import check_room, describe_run
from synfill.balancing.finish import finish
from synfill.balancing.look import ProfileChooser, look_at_images
from synfill.balancing.plan import write_plan
from synfill.balancing.prepare import Draft, Prepared, prepare
from synfill.balancing.result import BalanceResult, make_result
from synfill.balancing.settings import make_settings
from synfill.balancing.takeover import open_smaller, take_over
from synfill.balancing.warnings import warn_of_doubts
from synfill.config.arguments import takes_settings
from synfill.config.balance import BalanceSettings
from synfill.config.push import PushSettings
from synfill.errors import Interrupted, RunError, SynfillError
from synfill.generation.fill.fill import fill
from synfill.generation.fill.store import ShardStore
from synfill.generation.fill.task import FillTask, Progress
from synfill.generation.pipeline.batch_size import (
    BatchSizeMemory,
    expected_batch_size,
    find_batch_size,
)
from synfill.hub.upload.destination import Destination, check_destination
from synfill.hub.upload.listing import read_dataset
from synfill.hub.upload.push import push_dataset
from synfill.quality.check import Facts
from synfill.quality.judge import Checks
from synfill.records import JsonObject
from synfill.reporter import Reporter, reporting
from synfill.runs.dataset_files import CARD, RUN, Replacing
from synfill.runs.dataset_folder import DatasetFolder, State
from synfill.runs.dataset_record import RunRecord, RunState
from synfill.runs.identity import as_json, digest_identity
from synfill.runs.shard import shard_size
from synfill.runs.versions import GENERATING, changes, versions

if TYPE_CHECKING:
    from synfill.generation.pipeline.generator import Generator


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
    settings = make_settings({"source": str(source), **options}, "The call")
    with reporting(reporter, progress) as used:
        return run_balance(settings, used)


def run_balance(settings: BalanceSettings, reporter: Reporter) -> BalanceResult:
    """`balance` with checked settings."""
    try:
        draft = prepare(settings, reporter)
        folder = DatasetFolder(draft.out, reporter)
        if settings.dry_run:
            return _balance_dry(draft, folder, reporter)
        # What has changed is told before an image is read.
        folder.state(draft.identity, settings.overwrite, draft.unsure)
        prepared = look_at_images(draft, reporter)
        warn_of_doubts(prepared, reporter)
        state = folder.state(prepared.identity, settings.overwrite)
        # Before anything is made, so that no night is lost to a bad token.
        destination = _check_destination(prepared, state, prepared.identity, reporter)
        record = folder.read_finished() if state == "finished" else None
        was_finished = record is not None and not folder.is_cut_off()
        if record is None or not was_finished:
            # Before the model is loaded: another process at work here is told now.
            folder.take()
            try:
                record, was_finished = _make_dataset(prepared, folder, reporter)
            finally:
                folder.release()
        result = _read_result(prepared, record, was_finished)
        if destination is None:
            return result
        pushed = push_dataset(read_dataset(prepared.out), destination, reporter.note)
        return replace(result, pushed=pushed)
    except KeyboardInterrupt:
        raise Interrupted(
            "Stopped before another image was finished; nothing that was finished is lost.",
            "The same command goes on from there.",
        ) from None


def _balance_dry(draft: Draft, folder: DatasetFolder, reporter: Reporter) -> BalanceResult:
    """What a run would do, and what would stop it."""
    overwrite = draft.settings.overwrite
    warn_of_doubts(draft, reporter)
    state: State | None = None
    try:
        state = folder.state(draft.identity, overwrite, draft.unsure)
    except SynfillError as error:
        reporter.warn(f"The run itself would stop here: {error.message}")
    if state is not None:
        # Of a dataset that is there already its record knows the images.
        record = folder.read_finished() if state == "finished" else None
        identity = record.identity if record is not None else draft.identity
        _check_destination(draft, state, identity, reporter)
    return describe_run(draft, folder, state, reporter)


def _make_dataset(
    prepared: Prepared, folder: DatasetFolder, reporter: Reporter
) -> tuple[RunRecord, bool]:
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
    check_room(prepared, folder)
    _warn_of_upscaling(prepared, reporter)
    # Before anything is written: a model that can't be loaded leaves nothing behind.
    generator = _load(prepared, reporter) if len(prepared.plan) else None
    if smaller is not None:
        first = take_over(prepared, folder, smaller, reporter)
    else:
        first = _first_state(prepared, generator if state == "new" else None, reporter)
    remembered = folder.begin(state, first)
    store = ShardStore(
        folder.shards,
        len(prepared.plan),
        remembered.shard_size,
        reporter.warn,
        run=digest_identity(prepared.identity),
        versions=versions(GENERATING),
        first_versions=remembered.versions,
    )
    _warn_of_versions(store, reporter)
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
    return Replacing(prepared.out, (CARD, "synfill", *data), reads)


def _load(prepared: Prepared, reporter: Reporter) -> Generator:
    from synfill.generation.pipeline.generator import load_generator

    reporter.note(f"Loading {prepared.model.id} on {prepared.model.device}.")
    return load_generator(prepared.model)


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
    settings, model = prepared.settings, prepared.model
    task = FillTask(
        requests=prepared.plan,
        open_maker=lambda: generator,
        store=store,
        profile_of=ProfileChooser(prepared).choose,
        checks=Checks(Facts(model.size, prepared.label.names, model.device), settings.check),
        batch_size=settings.batch_size or store.last_batch_size() or first_batch_size,
        max_tries=settings.max_tries,
    )
    fill(task, settings.engine, on_progress=on_progress, on_note=reporter.warn)


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
        size = find_batch_size(generator, plan[0], len(plan), BatchSizeMemory(), reporter.note)
    elif size is None:
        size = expected_batch_size(prepared.model)
    return RunState(
        identity=as_json(prepared.identity),
        batch_size=size,
        shard_size=shard_size(size),
        versions=versions(GENERATING),
    )


def _warn_of_upscaling(prepared: Prepared, reporter: Reporter) -> None:
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


def _warn_of_versions(store: ShardStore, reporter: Reporter) -> None:
    """Warn where the images that are there were made with other versions."""
    now = versions(GENERATING)
    changed = dict.fromkeys(line for earlier in store.versions() for line in changes(earlier, now))
    if changed:
        reporter.warn(
            f"The images that are there were made with other versions ({', '.join(changed)}): "
            "those that are made now may differ in small ways from what an undisturbed run would "
            "have given. run.json lists all versions that were used (shard_versions). With another "
            "--out all of them are made anew."
        )


def _check_destination(
    draft: Draft, state: State, identity: JsonObject, reporter: Reporter
) -> Destination | None:
    """Where the dataset is to be pushed to; None if it isn't to be.

    Args:
        draft: The run.
        state: What it finds in its output folder.
        identity: What decides the dataset that is pushed.
        reporter: Told who will see it.
    """
    settings = draft.settings
    if not settings.push_to_hub:
        return None
    destination = check_destination(
        PushSettings(
            repo_id=settings.repo_id,
            private=settings.private,
            revision=settings.hub_revision,
            create_pr=settings.create_pr,
            commit_message=settings.commit_message,
            overwrite=settings.overwrite,
        ),
        draft.source.origin.name,
        identity,
        read_dataset(draft.out) if state == "finished" else None,
        reporter.note,
    )
    reporter.warn(f"To be pushed to the Hub: {destination.audience()}")
    return destination


def _read_result(prepared: Prepared, record: RunRecord, was_finished: bool) -> BalanceResult:
    """What the record of a finished dataset says."""
    if len(record.counts) != len(prepared.deficit.cells):
        raise RunError(
            f"{prepared.out / RUN} is damaged (it counts {len(record.counts):,} cells, not "
            f"{len(prepared.deficit.cells):,}).",
            "Restore it, choose another --out, or add --overwrite to begin anew.",
        )
    return make_result(
        prepared,
        [count.synthetic for count in record.counts],
        rejected=record.rejected,
        unfilled=record.unfilled,
        rows={split: part.rows for split, part in record.splits.items()},
        was_finished=was_finished,
    )
