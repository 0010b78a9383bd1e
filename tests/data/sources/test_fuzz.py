"""Odd and hostile datasets; `benchmarks/fuzz.py` goes on for as long as one likes."""

import resource

import pytest
from datasets_fixtures import make_imagefolder, make_parquet
from fuzzing.checking import check
from fuzzing.odd import HOSTILE_CARDS
from fuzzing.strategies import folder_sources, parquet_sources, saved_sources
from hypothesis import HealthCheck, given, settings

FUZZ = settings(
    max_examples=120,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
MEMORY = 1_500_000
"""Kilobytes by which a test may grow this process; the least of the hostile datasets would take
many times as much if it were read as it wants to be."""


@pytest.fixture
def around(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield tmp_path / "around"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY


@pytest.mark.parametrize("strategy", [parquet_sources, folder_sources, saved_sources])
def test_sources(strategy, around):
    @FUZZ
    @given(build=strategy())
    def run(build):
        check(build, around)

    run()


@pytest.mark.parametrize("card", HOSTILE_CARDS, ids=range(len(HOSTILE_CARDS)))
@pytest.mark.parametrize("make", [make_imagefolder, make_parquet])
def test_cards(make, card, around):
    """With a hostile card the data themselves are read; or the card is named, with the field."""

    def build(root):
        make(root, {"train": {"a": 2, "b": 1}, "test": {"a": 1, "b": 1}})
        (root / "README.md").write_bytes(card.replace(b"ABOVE", bytes(root.parent)))

    message = check(build, around)
    assert not message or "README.md" in message or "names" in message
