"""Datasets on the Hugging Face Hub as a source.

Parquet files, the dataset's own or the Hub's conversion of it, are read over the net column by
column, and downloaded only when rows are wanted; all else is loaded whole, through `datasets`.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from synfill.data.card import licence_of, read_card
from synfill.data.configs import NamesNoParquet, split_files
from synfill.data.hub_errors import explain_hub, is_offline
from synfill.data.hub_files import HubFiles, Listing, ask_hub, list_files, remembered_files
from synfill.data.names import origin_name
from synfill.data.parquet import make_source, parquet_names
from synfill.data.source import Origin, Source
from synfill.files import format_bytes
from synfill.patience import transport_error
from synfill.records import JsonObject
from synfill.transport import prepare_client

if TYPE_CHECKING:
    from synfill.data.saved import ArrowSource

CONVERTED = "refs/convert/parquet"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LOG = logging.getLogger("synfill")


def open_hub(id: str, *, revision: str | None, config: str | None, image: str | None) -> Source:
    """Open a dataset on the Hub.

    Args:
        id: `owner/name`.
        revision: A branch, tag or commit; None for main.
        config: Which configuration, where it has several.
        image: The image column; None to find it.

    Raises:
        UsageError: Several configurations and none named, an unknown one, or the image column
            isn't clear.
        RunError: There is no such dataset, no access to it, no connection, or it can't be read.
    """
    prepare_client()
    try:
        listing = _list(id, revision)
        if listing is None:
            return _load(id, revision, config, image)
        card = _card(listing)
        if names := parquet_names(listing.sizes):
            with suppress(NamesNoParquet):
                return _open_parquet(listing, names, card, card, config, image)
        if revision is None and (converted := _converted(id)) is not None:
            names = parquet_names(converted.sizes)
            layout = _converted_layout(names)
            return _open_parquet(converted, names, layout, card, config, image)
    except (transport_error(), OSError) as error:
        raise explain_hub(id, revision, error) from error
    size = format_bytes(sum(listing.sizes.values()))
    _LOG.warning("%s isn't stored as Parquet: all of it is downloaded (%s).", id, size)
    return _load(id, revision, config, image)


def _list(id: str, revision: str | None) -> Listing | None:
    """What is in the repository; None if that is only known to the caches of `datasets`."""
    try:
        return list_files(id, revision)
    except (transport_error(), OSError) as error:
        if not is_offline(error):
            raise
        # Without a connection, what an earlier run has downloaded does.
        listing = remembered_files(id, revision)
        if listing is not None and parquet_names(listing.sizes):
            return listing
        from datasets import config

        if (Path(config.HF_DATASETS_CACHE) / id.replace("/", "___")).is_dir():
            return None
        raise


def _card(listing: Listing) -> JsonObject:
    """The header of the dataset's card; empty where it has none."""
    from huggingface_hub import hf_hub_download

    if "README.md" not in listing.sizes:
        return {}
    path = ask_hub(
        "Reading the dataset's card",
        lambda: hf_hub_download(
            listing.id, "README.md", repo_type="dataset", revision=listing.commit
        ),
    )
    return read_card(Path(path).parent)


def _open_parquet(
    listing: Listing,
    names: list[str],
    layout: JsonObject,
    card: JsonObject,
    config: str | None,
    image: str | None,
) -> Source:
    """Open Parquet files; `layout` has the configurations, `card` the licence."""
    divided, _ = split_files(listing.id, names, layout, config)
    wanted = [name for part in divided.values() for name in part]
    origin = Origin(
        origin_name(listing.id.split("/")[1]),
        listing.id,
        is_local=False,
        revision=listing.commit,
        licence=licence_of(card),
    )
    files = HubFiles(listing, wanted)
    return make_source(origin, files, names, layout, config=config, image=image)


def _converted(id: str) -> Listing | None:
    """The Hub's own conversion to Parquet; None where there is none, or not all of it."""
    from huggingface_hub import HfApi

    refs = ask_hub(
        "Looking for a conversion", lambda: HfApi().list_repo_refs(id, repo_type="dataset")
    )
    if all(ref.ref != CONVERTED for ref in refs.converts):
        return None
    listing = list_files(id, CONVERTED)
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


def _load(id: str, revision: str | None, config: str | None, image: str | None) -> ArrowSource:
    """Download a dataset through `datasets`, or take it from its cache."""
    import datasets

    from synfill.data.saved import ArrowSource

    try:
        builder = datasets.load_dataset_builder(id, name=config, revision=revision)
        builder.download_and_prepare()
        held = builder.as_dataset()
    except (
        datasets.exceptions.DatasetsError,
        transport_error(),
        OSError,
        ValueError,
        RuntimeError,
    ) as error:
        raise explain_hub(id, revision, error) from error
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
    return ArrowSource(origin, held, image=image, folders=caches)


def _cached_licence(id: str, commit: str) -> str:
    """The licence of the card, which `datasets` has left in the cache."""
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(id, "README.md", revision=commit or None, repo_type="dataset")
    return licence_of(read_card(Path(cached).parent)) if isinstance(cached, str) else ""
