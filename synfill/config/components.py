"""Everything that a user chooses by name: one registry a kind, one line a component.

A line is the component's name and where it is; its file holds its options and its code. Help
texts, `synfill recipes`, the docs' tables and the suggestions in error messages list these.
"""

from __future__ import annotations

from synfill.config.registry import Registry

# The last is asked first whether a SOURCE is of its kind: the special ones before the general.
SOURCES = Registry(
    "kind of source",
    "kinds of source",
    {
        "hub": "synfill.data.sources.hub:HubDataset",
        "imagefolder": "synfill.data.sources.imagefolder.folder:ImageFolder",
        "parquet": "synfill.data.sources.parquet:ParquetFiles",
        "saved": "synfill.data.sources.saved:SavedDataset",
        "demo": "synfill.data.sources.demo:Demo",
    },
)
