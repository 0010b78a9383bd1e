"""huggingface_hub's HTTP client for the time of a push: more patient, and quiet."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from synfill.hub.client import bearing, prepare_client
from synfill.hub.retry import Tell

LONGEST_OUTAGE = 600.0
"""Seconds without a single success after which a push ends: hours of work are at stake."""


@contextmanager
def patient_client(tell: Tell) -> Iterator[None]:
    """Bear long outages, and hide the client's own messages.

    Args:
        tell: Where a note goes before each wait.

    Raises:
        UsageError: HF_ENDPOINT or the token can't be what it should be.
    """
    prepare_client()
    # The client logs addresses of storage that anyone who reads them may write to.
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with bearing(LONGEST_OUTAGE, tell):
            yield
    finally:
        logger.setLevel(level)
