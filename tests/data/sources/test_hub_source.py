"""Messages for what `datasets` raises; tests/cli/test_hub.py has the rest, against a server."""

import re

import pytest
from datasets.exceptions import DatasetNotFoundError

from synfill.data.source import open_source
from synfill.errors import RunError, UsageError
from synfill.hub.errors import explain_read


def test_offline():
    """For real: the tests run with HF_HUB_OFFLINE=1."""
    with pytest.raises(RunError, match="'owner/name' is no local folder, and the Hub can't be"):
        open_source("owner/name@main")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (DatasetNotFoundError("Dataset 'o/n' doesn't exist on the Hub"), RunError, "no dataset"),
        (DatasetNotFoundError("Dataset 'o/n' is a gated dataset"), RunError, "is gated"),
        (DatasetNotFoundError("Revision 'v9' doesn't exist"), RunError, "no revision 'v9'"),
        (RuntimeError("Dataset scripts are no longer supported"), RunError, "made by a script"),
        (ValueError("Config name is missing.\nPlease pick one: ['x', 'y']"), UsageError, "x, y"),
        (ValueError("BuilderConfig 'z' not found. Available: ['x']"), UsageError, ": x."),
        (ConnectionError("Couldn't reach 'o/n' on the Hub"), RunError, "can't be reached"),
        (OSError("something\nelse"), RunError, "can't be loaded: something$"),
    ],
)
def test_failures_are_explained(error, kind, message):
    explained = explain_read("o/n", "v9", error)
    assert isinstance(explained, kind)
    assert re.search(message, explained.message)
    assert explained.hint
