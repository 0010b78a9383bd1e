"""huggingface_hub's HTTP client for the time of a push: more patient, and quiet.

The client asks again by itself when files are sent or trees listed. The other requests of an
upload end at the first 503: asked again one by one here, as repeating a whole upload for each of
them would never end where every n-th request fails.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from synfill.patience import PASSING, Tell, told_wait, transport_error

TRIES = 4
FIRST_WAIT = 1.0
LONGEST_TOLD = 300.0
TIMEOUT = 600.0
"""Seconds without a byte after which a connection counts as broken; the client's own is none."""
_IMPATIENT = re.compile(
    r"/api/(?:whoami-v2|repos/create|validate-yaml)$"
    r"|/api/(?:datasets|models)/[^/]+/[^/]+(?:$|/(?:revision|refs|branch|paths-info|commit)(?:/|$))"
)


@contextmanager
def patient_client(tell: Tell) -> Iterator[None]:
    """Ask again for single requests, hide the client's own messages and, off a terminal, bars.

    Args:
        tell: Where a note goes before each wait.
    """
    from huggingface_hub import get_session
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    session = get_session()
    send = session.send

    def send_patiently(request: Any, **options: Any) -> Any:
        wait = FIRST_WAIT
        for _ in range(TRIES - 1):
            # A pull request whose answer was lost would be opened a second time.
            if not _IMPATIENT.search(request.url.path) or "create_pr" in request.url.params:
                break
            told = None
            try:
                response = send(request, **options)
            except transport_error():
                # A commit whose answer was lost is refused the second time, as its parent isn't
                # the newest any more.
                what = "the connection failed"
            else:
                if response.status_code not in PASSING:
                    return response
                told = told_wait(response)
                if told is not None and told > LONGEST_TOLD:
                    return response
                what = f"the Hub answered with status {response.status_code}"
            tell(f"{request.url.path}: {what}. Asking again in {told or wait:.0f} s.")
            time.sleep(told or wait)
            wait *= 2
        return send(request, **options)

    # The client logs addresses of storage that anyone who reads them may write to.
    logger = logging.getLogger("huggingface_hub")
    level, timeout = logger.level, session.timeout
    hide = not sys.stderr.isatty() and not are_progress_bars_disabled()
    # On this object alone: the class belongs to one of two libraries, depending on the release.
    vars(session)["send"] = send_patiently
    session.timeout = TIMEOUT
    logger.setLevel(logging.CRITICAL)
    if hide:
        disable_progress_bars()
    try:
        yield
    finally:
        vars(session).pop("send", None)
        session.timeout = timeout
        logger.setLevel(level)
        if hide:
            enable_progress_bars()
