"""Names of revisions on the Hub: branches, tags, commits."""

import re

_REVISION = re.compile(r"(?!.*(?:\.\.|//|@\{|\.lock(?:/|$)|/\.))[\w+][\w.+/@-]*(?<![/.])")


def is_revision(text: str) -> bool:
    """Whether a text can name a revision.

    huggingface_hub makes a path of it: of "/dev/zero" it would read without end.
    """
    return _REVISION.fullmatch(text) is not None and len(text) <= 200 and text.isprintable()
