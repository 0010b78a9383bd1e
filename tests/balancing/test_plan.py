import numpy as np
import pyarrow.parquet as pq
import pytest

from synfill.balancing.deficit import Deficit, emptiest_first, undersample
from synfill.balancing.plan import build_plan, write_plan
from synfill.balancing.prompts import PromptBook, PromptWriter
from synfill.records import Cell


def fill_one_by_one(kept, deficit, limit):
    """The rule, word by word: each image goes to the cell that is emptiest then."""
    level, left, order = list(kept), list(deficit), []
    while any(left) and len(order) < limit:
        open_cells = [c for c in range(len(level)) if left[c]]
        cell = min(open_cells, key=lambda c: (level[c], c))
        level[cell] += 1
        left[cell] -= 1
        order.append(cell)
    return order


@pytest.mark.parametrize("seed", range(5))
def test_the_emptiest_cell_is_filled_first(seed):
    generator = np.random.default_rng(seed)
    kept = generator.integers(0, 12, 6)
    deficit = generator.integers(0, 9, 6)
    for limit in (0, 3, 17, 10**6):
        found = emptiest_first(kept, deficit, limit).tolist()
        assert found == fill_one_by_one(kept, deficit, limit)


def deficit_of(counts, wanted):
    kept, wanted = np.array(counts), np.array(wanted)
    cells = tuple(Cell(name) for name in "abc"[: len(counts)])
    return Deficit(cells, kept, kept, np.zeros_like(kept), wanted, wanted - kept)


def test_a_plan_is_a_sequence_of_requests(tmp_path):
    deficit = deficit_of([3, 1], [3, 4])
    plan = build_plan(deficit, PromptWriter(PromptBook(negative_prompt="bad"), [], ["b"]), seed=5)
    assert len(plan) == 3
    assert [request.id for request in plan] == [0, 1, 2]
    assert {request.prompt for request in plan[0:2]} == {"a photo of a b"}
    assert plan[-1].negative_prompt == "bad"
    assert len({request.seed for request in plan}) == 3
    with pytest.raises(IndexError):
        plan[3]
    write_plan(plan, tmp_path / "plan.parquet")
    assert pq.read_table(tmp_path / "plan.parquet").column("class").to_pylist() == ["b"] * 3


def test_seeds_depend_on_the_cell_and_turn_alone():
    writer = PromptWriter(PromptBook(), [], ["a", "b", "c"])
    alone = build_plan(deficit_of([3, 1], [3, 4]), writer, seed=5)
    among = build_plan(deficit_of([3, 1, 0], [9, 4, 4]), writer, seed=5)
    of_b = [request.seed for request in among if request.cell.label == "b"]
    assert [request.seed for request in alone] == of_b
    other = build_plan(deficit_of([3, 1], [3, 4]), writer, seed=6)
    assert not {r.seed for r in other} & set(of_b)


def test_seeds_that_are_taken_are_passed_over():
    writer = PromptWriter(PromptBook(), [], ["b"])
    first = build_plan(deficit_of([3, 1], [3, 4]), writer, seed=5)
    # The second of them was accepted at its second attempt.
    taken = frozenset([first[0].seed, first[1].seed + 1])
    again = build_plan(deficit_of([3, 1], [3, 4]), writer, seed=5, taken=taken, max_tries=3)
    assert again[0].seed == first[2].seed
    assert not taken & {r.seed + k for r in again for k in range(3)}


def test_seeds_fit_every_reader_of_numbers():
    plan = build_plan(deficit_of([0], [1000]), PromptWriter(PromptBook(), [], ["a"]), seed=0)
    seeds = [request.seed for request in plan]
    assert len(set(seeds)) == 1000
    assert min(seeds) >= 0 and max(seeds) < 2**48


def test_undersampling_is_seeded_and_keeps_what_has_no_cell():
    codes = np.array([0] * 50 + [1] * 5 + [-1] * 3)
    stays = undersample(codes, np.array([10, 10]), seed=1)
    assert (stays & (codes == 0)).sum() == 10
    assert stays[50:].all()
    assert (undersample(codes, np.array([10, 10]), seed=1) == stays).all()
    assert (undersample(codes, np.array([10, 10]), seed=2) != stays).any()
