"""Answers of the Hub that can't be: a page instead of JSON, null, other fields, another type."""

from __future__ import annotations

import re
from collections.abc import Callable
from json import JSONDecodeError
from typing import TypeVar

from synfill.patience import PATIENCE, BadAnswer, Patience, Tell, ask

Result = TypeVar("Result")

# Of a download that has another size than the Hub said, too.
_OF_THE_CLIENT = re.compile(
    r"improperly formatted|malformed response|invalid server response|consistency check failed",
    re.IGNORECASE,
)
_OID = re.compile(r"[0-9a-f]{40}")


def ask_hub(
    what: str, question: Callable[[], Result], tell: Tell, patience: Patience = PATIENCE
) -> Result:
    """`ask`, for which an answer that can't be is one that may pass.

    Args:
        what: What is asked, for the message.
        question: The call, with whatever reads its answer; calling it again must do no harm.
        tell: Where a note goes before each wait.
        patience: How long to go on.

    Raises:
        BadAnswer: The last answer could not be.
        Exception: What the last call raised.
    """
    return ask(what, lambda: understood(question), tell, patience)


def understood(question: Callable[[], Result]) -> Result:
    """Call the Hub once.

    Raises:
        BadAnswer: huggingface_hub tripped over the answer.
        Exception: What the call raised.
    """
    try:
        return question()
    except (TypeError, LookupError, AttributeError) as error:
        raise bad_answer() from error
    except (JSONDecodeError, UnicodeDecodeError) as error:
        raise BadAnswer("what answered in the Hub's place sent no JSON") from error
    except (ValueError, OSError) as error:
        if _OF_THE_CLIENT.search(str(error)):
            raise bad_answer() from error
        raise


def bad_answer() -> BadAnswer:
    """The error for an answer that has another form than it should have."""
    return BadAnswer("the Hub's answer has not the form that it should have")


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
