"""What a repository that is pushed to holds, and what the record of an earlier push there says."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from synfill.hub.failures import BadAnswer
from synfill.hub.repository import Contents, hash_like, look_at
from synfill.hub.retry import ask
from synfill.hub.upload.kinds import Kind
from synfill.reading import LARGEST_RECORD, parse_json, read_regular
from synfill.records import JsonObject
from synfill.runs.dataset_files import RUN

_FROM_THE_HUB = ".gitattributes"


@dataclass(frozen=True)
class Repository:
    """A repository on the Hub, whether or not it is there.

    Attributes:
        id: `owner/name`.
        kind: What it holds.
    """

    id: str
    kind: Kind

    def look(self, revision: str | None = None) -> Contents:
        """Look at it, without the file that the Hub puts there itself.

        Args:
            revision: Branch, tag, commit or ref; None for main.

        Raises:
            Exception: What `look_at` raises.
        """
        seen = look_at(self.id, self.kind.name, revision)
        files = {name: file for name, file in seen.files.items() if name != _FROM_THE_HUB}
        return replace(seen, files=files)

    def fetch(self, seen: Contents, name: str) -> bytes:
        """The content of a file, checked against the Hub's own hash of it.

        Raises:
            Exception: What huggingface_hub raises.
            BadAnswer: What came isn't that file.
            OSError: It is larger than any of our records or cards.
        """
        from huggingface_hub import hf_hub_download

        file, kind, commit = seen.files[name], self.kind.name, seen.commit

        def question() -> bytes:
            # Not in the cache, where what is broken would stay.
            with tempfile.TemporaryDirectory() as folder:
                path = Path(
                    hf_hub_download(
                        self.id, name, repo_type=kind, revision=commit, local_dir=folder
                    )
                )
                if path.stat().st_size != file.size or hash_like(path, file.hash) != file.hash:
                    raise BadAnswer(f"what the Hub sent isn't the {name} that it lists")
                return read_regular(path)

        if file.size > LARGEST_RECORD:
            raise OSError(f"{name} there is larger than {LARGEST_RECORD:,} bytes")
        return ask(f"Reading {name} there", question)

    def read_record(self, seen: Contents) -> JsonObject | None:
        """Its run.json; None where there is none, or it is no record of a run.

        Raises:
            Exception: What huggingface_hub raises.
        """
        if RUN not in seen.files or seen.files[RUN].size > LARGEST_RECORD:
            return None
        content = self.fetch(seen, RUN)
        try:
            record = parse_json(content)
        except ValueError:
            return None
        return record if isinstance(record, dict) else None
