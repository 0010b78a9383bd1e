"""Datasets on the Hugging Face Hub as a source.

Parquet files, the dataset's own or the Hub's conversion of it, are read over the net column by
column, and downloaded only when rows are wanted; all else is loaded whole, through `datasets`.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from synfill.data.card import licence_of, read_card
from synfill.data.source import Given, Origin, Source, SourceKind
from synfill.data.sources.configs import NamesNoParquet, check_configs, split_files
from synfill.data.sources.hub_files import (
    HubFiles,
    Listing,
    download_card,
    list_dataset,
    remembered_files,
)
from synfill.data.sources.parquet import ParquetSource, parquet_names
from synfill.errors import UsageError
from synfill.files import format_bytes
from synfill.hub.client import prepare_client
from synfill.hub.downloads import DamagedDownload, fetch_checked
from synfill.hub.errors import explain_read
from synfill.hub.failures import is_offline, transport_error
from synfill.hub.retry import ask
from synfill.hub.revisions import is_revision
from synfill.names import origin_name
from synfill.records import JsonObject

if TYPE_CHECKING:
    import datasets

    from synfill.data.sources.saved import ArrowSource

CONVERTED = "refs/convert/parquet"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_ID = re.compile(r"(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)(?:@(?P<revision>[\w./-]+))?")
_LOG = logging.getLogger("synfill")


class HubDataset(SourceKind):
    """A dataset on the Hub (owner/name)."""

    name: Literal["hub"] = "hub"

    def is_meant(self, given: Given) -> bool:
        """By its form; below a folder that is there, a missing one is a typo, not an id."""
        is_id = given.path is None and _HUB_ID.fullmatch(given.spec) is not None
        return is_id and not Path(given.spec).parent.is_dir()

    def open(self, given: Given) -> Source:
        """Ask the Hub what is there.

        Raises:
            UsageError: Several configurations and none named, an unknown one, or the image column
                isn't clear.
            RunError: There is no such dataset, no access to it, no connection, or it can't be read.
        """
        found = _HUB_ID.fullmatch(given.spec)
        assert found is not None
        id, revision = found["id"], found["revision"]
        if revision is not None and not is_revision(revision):
            raise UsageError(
                f"'{revision}' can be no revision of {id}.",
                "Name a branch, a tag or a commit after the @.",
            )
        prepare_client()
        try:
            listing = _list(id, revision)
            if listing is None:
                return _load(id, revision, given, {})
            card = _card(listing)
            if names := parquet_names(listing.sizes):
                with suppress(NamesNoParquet):
                    return _open_parquet(listing, names, card, card, given)
            if revision is None and (converted := _converted(id)) is not None:
                names = parquet_names(converted.sizes)
                layout = _converted_layout(names)
                return _open_parquet(converted, names, layout, card, given)
        except (transport_error(), OSError) as error:
            raise explain_read(id, revision, error) from error
        size = format_bytes(sum(listing.sizes.values()))
        # `datasets` follows patterns to files of this machine, too.
        check_configs(id, card)
        _LOG.warning("%s isn't stored as Parquet: all of it is downloaded (%s).", id, size)
        return _load(id, revision, given, listing.hashes)


def _list(id: str, revision: str | None) -> Listing | None:
    """What is in the repository; None if that is only known to the caches of `datasets`."""
    try:
        return list_dataset(id, revision)
    except (transport_error(), OSError) as error:
        if not is_offline(error):
            raise
        # Without a connection, what an earlier run has downloaded does.
        listing = remembered_files(id, revision)
        converted = remembered_files(id, CONVERTED) if revision is None else None
        if listing is not None and any(
            parquet_names(one.sizes) for one in (listing, converted) if one is not None
        ):
            return listing
        from datasets import config

        if (Path(config.HF_DATASETS_CACHE) / id.replace("/", "___")).is_dir():
            return None
        raise


def _card(listing: Listing) -> JsonObject:
    """The header of the dataset's card; empty where it has none."""
    if "README.md" not in listing.sizes:
        return {}
    card, notes = read_card(download_card(listing))
    for note in notes:
        _LOG.warning("%s", note)
    return card


def _open_parquet(
    listing: Listing, names: list[str], layout: JsonObject, card: JsonObject, given: Given
) -> Source:
    """Open Parquet files; `layout` has the configurations, `card` the licence."""
    divided, _ = split_files(listing.id, names, layout, given.config)
    wanted = [name for part in divided.values() for name in part]
    origin = Origin(
        origin_name(listing.id.split("/")[1]),
        listing.id,
        is_local=False,
        revision=listing.commit,
        licence=licence_of(card),
    )
    files = HubFiles(listing, wanted)
    return ParquetSource(origin, files, names, layout, given)


def _converted(id: str) -> Listing | None:
    """The Hub's own conversion to Parquet; None where there is none, or not all of it."""
    from huggingface_hub import HfApi

    def find() -> bool:
        refs = HfApi().list_repo_refs(id, repo_type="dataset")
        return any(ref.ref == CONVERTED for ref in refs.converts)

    listing: Listing | None
    try:
        if not ask("Looking for a conversion", find):
            return None
        listing = list_dataset(id, CONVERTED)
    except (transport_error(), OSError) as error:
        listing = remembered_files(id, CONVERTED) if is_offline(error) else None
        if listing is None:
            raise
    # Of large datasets only the beginning is converted.
    is_partial = any("/partial-" in f"/{name}" for name in listing.sizes)
    return None if is_partial or not parquet_names(listing.sizes) else listing


def _converted_layout(names: list[str]) -> JsonObject:
    """The configurations of a conversion: its files are CONFIG/SPLIT/0000.parquet."""
    configs: dict[str, set[str]] = {}
    for name in names:
        folder, _, rest = name.partition("/")
        configs.setdefault(folder, set()).add(rest.partition("/")[0])
    return {
        "configs": [
            {
                "config_name": name,
                "data_files": [
                    {"split": split, "path": f"{name}/{split}/*"} for split in sorted(splits)
                ],
            }
            for name, splits in configs.items()
        ]
    }


def _load(id: str, revision: str | None, given: Given, hashes: Mapping[str, str]) -> ArrowSource:
    """Download a dataset through `datasets`, or take it from its cache; `hashes` as listed."""
    import datasets

    from synfill.data.sources.saved import ArrowSource

    try:
        builder = ask(
            "Loading the dataset",
            lambda: datasets.load_dataset_builder(id, name=given.config, revision=revision),
        )
        _prepare(id, builder, hashes)
        held = builder.as_dataset()
    except (
        datasets.exceptions.DatasetsError,
        transport_error(),
        OSError,
        ValueError,
        RuntimeError,
    ) as error:
        raise explain_read(id, revision, error) from error
    commit = builder.hash if builder.hash and _COMMIT.fullmatch(builder.hash) else ""
    origin = Origin(
        origin_name(id.split("/")[1]),
        id,
        is_local=False,
        revision=commit or revision or "",
        licence=_cached_licence(id, commit),
    )
    # What `datasets` stores by path alone are files that it has put into its caches itself.
    caches = [Path(datasets.config.HF_CACHE_HOME), Path(datasets.config.HF_DATASETS_CACHE)]
    tables = {str(split): part.data.table for split, part in held.items()}
    features = next(iter(held.values())).features.to_dict()
    return ArrowSource(origin, tables, features, image=given.image, folders=caches)


def _prepare(id: str, builder: datasets.DatasetBuilder, hashes: Mapping[str, str]) -> None:
    """Let `datasets` download and convert, and compare what it has downloaded.

    Raises:
        RunError: A file arrives damaged again and again.
        Exception: What `datasets` raises.
    """
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE).resolve()
    folder = folder / repo_folder_name(repo_id=id, repo_type="dataset") / "snapshots"
    # What was converted from damaged files isn't used either.
    modes = iter(("reuse_dataset_if_exists", "reuse_cache_if_exists"))

    def fetch() -> Path:
        mode = next(modes)
        ask("The download", lambda: builder.download_and_prepare(download_mode=mode))
        return folder / str(builder.hash)

    try:
        fetch_checked(id, "dataset", fetch, lambda folder: hashes)
    except DamagedDownload:
        shutil.rmtree(builder.cache_dir, ignore_errors=True)
        raise


def _cached_licence(id: str, commit: str) -> str:
    """The licence of the card, which `datasets` has left in the cache."""
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(id, "README.md", revision=commit or None, repo_type="dataset")
    return licence_of(read_card(Path(cached).parent)[0]) if isinstance(cached, str) else ""
