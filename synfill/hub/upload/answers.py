"""Parts of answers of the Hub that must be what they are read as."""

from __future__ import annotations

import re
from typing import TypeVar

from synfill.hub.retry import bad_answer

Result = TypeVar("Result")

_OID = re.compile(r"[0-9a-f]{40}")


def check_type(value: object, kind: type[Result]) -> Result:
    """A value of an answer that is what it should be.

    Raises:
        BadAnswer: It is of another type.
    """
    if not isinstance(value, kind):
        raise bad_answer()
    return value


def check_oid(value: object) -> str:
    """The id of a commit or a blob in an answer.

    Raises:
        BadAnswer: It isn't one.
    """
    if not isinstance(value, str) or not _OID.fullmatch(value):
        raise bad_answer()
    return value
