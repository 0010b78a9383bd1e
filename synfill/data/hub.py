"""Datasets on the Hugging Face Hub as a source, through `datasets`."""

from __future__ import annotations

import re
from pathlib import Path

from synfill.data.card import licence_of, read_card
from synfill.data.names import origin_name
from synfill.data.saved import ArrowSource
from synfill.data.source import Origin
from synfill.errors import RunError, SynfillError, UsageError

_COMMIT = re.compile(r"[0-9a-f]{40}")


def open_hub(
    id: str, *, revision: str | None, config: str | None, image: str | None
) -> ArrowSource:
    """Download a dataset from the Hub, or take it from the cache, and open it.

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
    import datasets

    _check_reachable(id, revision, Path(datasets.config.HF_DATASETS_CACHE))
    try:
        builder = datasets.load_dataset_builder(id, name=config, revision=revision)
        builder.download_and_prepare()
        held = builder.as_dataset()
    except (
        datasets.exceptions.DatasetsError,
        _http_error(),
        OSError,
        ValueError,
        RuntimeError,
    ) as error:
        raise _explain(id, revision, error) from error
    commit = builder.hash if builder.hash and _COMMIT.fullmatch(builder.hash) else ""
    origin = Origin(
        origin_name(id.split("/")[1]),
        id,
        is_local=False,
        revision=commit or revision or "",
        licence=_licence(id, commit),
    )
    # What `datasets` stores by path alone are files that it has put into its caches itself.
    caches = [Path(datasets.config.HF_CACHE_HOME), Path(datasets.config.HF_DATASETS_CACHE)]
    return ArrowSource(origin, held, image=image, folders=caches)


def _check_reachable(id: str, revision: str | None, cache: Path) -> None:
    """Fail at once without a connection: `datasets` itself tries for half a minute first."""
    from huggingface_hub import HfApi

    if (cache / id.replace("/", "___")).is_dir():
        return
    try:
        HfApi().repo_info(id, repo_type="dataset", revision=revision, timeout=10)
    except (_http_error(), OSError) as error:
        # Every other answer of the Hub is left to `datasets`, which knows more ways.
        if _is_offline(error):
            raise _explain(id, revision, error) from error


def _licence(id: str, commit: str) -> str:
    """The licence of the card, which `datasets` has left in the cache."""
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(id, "README.md", revision=commit or None, repo_type="dataset")
    return licence_of(read_card(Path(cached).parent)) if isinstance(cached, str) else ""


def _explain(id: str, revision: str | None, error: Exception) -> SynfillError:
    """What went wrong, for the user: `datasets` tells most of it only in its messages."""
    from datasets.exceptions import DatasetNotFoundError

    text = str(error)
    first_line = text.splitlines()[0] if text else type(error).__name__
    if "Config name is missing" in text or "BuilderConfig" in text:
        listed = re.search(r"\[(.*?)\]", text)
        named = (listed[1] if listed else "").replace("'", "")
        return UsageError(
            f"The dataset '{id}' needs one of its configurations: {named or 'see its page'}.",
            f"Choose one, e.g. --config {named.split(',')[0] or 'NAME'}.",
        )
    if "scripts are no longer supported" in text:
        return RunError(
            f"The dataset '{id}' is made by a script, which is never run.",
            f"Look for a Parquet version of it, e.g. its revision: {id}@refs/convert/parquet",
        )
    if "gated" in text:
        return RunError(
            f"The dataset '{id}' is gated.",
            f"Accept its terms at https://huggingface.co/datasets/{id}, then run: hf auth login",
        )
    if isinstance(error, DatasetNotFoundError) and "Revision" in text:
        return RunError(f"The dataset '{id}' has no revision '{revision}'.", "Check its name.")
    if isinstance(error, DatasetNotFoundError):
        return RunError(
            f"There is no dataset '{id}' on the Hub, or it is private (and no folder '{id}').",
            "Check its name. For a private dataset run: hf auth login",
        )
    if _is_offline(error):
        return RunError(
            f"The dataset '{id}' is no local folder, and the Hub can't be reached to look for it.",
            "Check the connection (and that HF_HUB_OFFLINE isn't set), or give a local folder.",
        )
    return RunError(f"The dataset '{id}' can't be loaded: {first_line}", "See its page on the Hub.")


def _is_offline(error: BaseException) -> bool:
    from huggingface_hub.errors import HfHubHTTPError

    # An HTTP error without an answer from the Hub is one of the way there.
    unanswered = isinstance(error, _http_error()) and not isinstance(error, HfHubHTTPError)
    if unanswered or isinstance(error, ConnectionError):
        return True
    return error.__cause__ is not None and _is_offline(error.__cause__)


def _http_error() -> type[Exception]:
    """The base of all errors of the HTTP library that huggingface_hub uses (it has changed)."""
    from huggingface_hub import errors

    base: type[Exception] = vars(errors)["HTTPError"]
    return base
