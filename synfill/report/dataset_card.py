"""What a run left on disk -> the dataset card. Pure text; its words are in a template."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData

from synfill.markdown import escape
from synfill.records import Cell, JsonObject
from synfill.report.shortfall import what_is_missing
from synfill.wording import counted

_TEMPLATE = Path(__file__).parent / "templates" / "dataset_card.md.jinja"
_MOST_ROWS = 60
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


def write_dataset_card(
    record: JsonObject,
    examples: Sequence[str],
    not_shared: Sequence[str],
    names_people: bool,
    has_samples: bool,
) -> str:
    """The text of README.md, with its YAML metadata.

    Args:
        record: The content of run.json.
        examples: A few finished prompts.
        not_shared: Names in the run's command of files and folders that nobody else has.
        names_people: Whether a prompt names people.
        has_samples: Whether there is a sample grid.
    """
    identity, source, model = record["identity"], record["source"], record["model"]
    groups = identity["by"].split("+")[1:]
    counts = [
        (_cell_name(one, identity), one["before"], one["kept"], one["earlier"] + one["synthetic"])
        for one in record["counts"]
    ]
    totals = [
        (name, kept + made, one["wanted"])
        for (name, _, kept, made), one in zip(counts, record["counts"], strict=True)
    ]
    tail, interval = identity["long-tail"], identity.get("guidance-interval")
    card = DatasetCard.from_template(
        _metadata(record),
        str(_TEMPLATE),
        counted=counted,
        record=record,
        identity=identity,
        title=escape(_title(record)),
        made=sum(made for *_, made in counts),
        earlier=sum(one["earlier"] for one in record["counts"]),
        subset=f"a long-tailed subset (imbalance factor {tail:g}) of " if tail else "",
        source=_source(source),
        what="cell of class and " + _and(groups) if groups else "class",
        rows=", ".join(f"{name} {split['rows']:,}" for name, split in record["splits"].items()),
        counts=_fold([_count_row(*one) for one in counts]),
        shortfall=escape(what_is_missing(totals, identity["limit"], "cell" if groups else "class")),
        model=f"`{model['id']}`" if model["is_local"] else _link(model["id"]),
        guidance=f"{identity['guidance-scale']:g}"
        + ("" if interval is None else ", from {:g} to {:g} of the steps".format(*interval)),
        examples="; ".join(f'"{escape(example)}"' for example in examples),
        null_groups=", ".join(f"`{name}`" for name in identity["groups"] if name not in groups),
        is_imagefolder=identity["format"] == "imagefolder",
        names_people=names_people,
        has_samples=has_samples,
        not_shared=_names_of_others(not_shared),
    )
    return f"{card}\n"


def _metadata(record: JsonObject) -> DatasetCardData:
    source, splits = record["source"], record["splits"]
    size = sum(split["bytes"] for split in splits.values())
    pattern = "{}/**" if record["identity"]["format"] == "imagefolder" else "data/{}-*"
    return DatasetCardData(
        pretty_name=_title(record),
        task_categories=["image-classification"],
        size_categories=[_size_category(sum(split["rows"] for split in splits.values()))],
        source_datasets=[source["id"] or f"extended|other-{source['name']}"],
        **_licence(source["licence"]),
        tags=["synthetic", "synfill", "class-imbalance", "image-classification"],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": s, "path": pattern.format(s)} for s in splits],
            }
        ],
        # Without sizes `datasets` takes every dataset with these columns in a folder of this name
        # for the same one, and gives what its cache has of another.
        dataset_info={
            "splits": [
                {"name": name, "num_bytes": split["bytes"], "num_examples": split["rows"]}
                for name, split in splits.items()
            ],
            "download_size": size,
            "dataset_size": size,
        },
    )


def _title(record: JsonObject) -> str:
    return f"{record['source']['name']}, balanced"


def _source(source: JsonObject) -> str:
    name = _link(f"datasets/{source['id']}") if source["id"] else f"`{source['name']}`"
    return name + (f" (revision `{source['revision']}`)" if source["revision"] else "")


def _link(path: str) -> str:
    return f"[{path.removeprefix('datasets/')}](https://huggingface.co/{path})"


def _and(names: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)


def _licence(named: str) -> dict[str, Any]:
    """The licence as the Hub takes it: a card with any other isn't let in."""
    licences = named.split(", ") if named else ["unknown"]
    if all(licence in _LICENCES for licence in licences):
        return {"license": licences[0] if len(licences) == 1 else licences}
    return {"license": "other", "license_name": named}


def _cell_name(count: JsonObject, identity: JsonObject) -> str:
    cell = Cell(count["class"], tuple(count["groups"].items()))
    return cell.shown(identity["class words"], identity["group words"])


def _count_row(name: str, before: int, kept: int, made: int) -> str:
    return f"| {escape(name)} | {before:,} | {kept:,} | {made:,} | {kept + made:,} |"


def _fold(rows: list[str]) -> list[str]:
    """The first and the last of many rows."""
    half, folded = _MOST_ROWS // 2, len(rows) - _MOST_ROWS
    if folded <= 0:
        return rows
    return [*rows[:half], f"| ... {folded} more | | | | |", *rows[-half:]]


def _names_of_others(names: Sequence[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(f"`{name.replace('`', '')}`" for name in names)
    return f"{shown} {'is a file or folder' if len(names) == 1 else 'are files or folders'}"


def _size_category(images: int) -> str:
    return next((name for limit, name in _SIZES if images < limit), "100M<n<1B")
