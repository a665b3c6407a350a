"""Searches by lists, as they are done where there are very many clips: against brute force, whole and in parts."""

from pathlib import Path

import numpy as np
import pytest

from stages.dedup import components, nearest, scan
from stages.dedup.components import ComponentSearch, Forest
from stages.dedup.lists import ListedVectors, Lists, nearest_centre, num_lists, train_centres
from stages.dedup.nearest import NearestSearch
from stages.dedup.vector_store import CHECKED_ROWS, Segment, VectorStore, checksum

COUNT, SIZE = 3000, 32


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Random directions; every tenth lies at a cosine of 0.95 from the one before."""
    random = np.random.default_rng(11)
    made = random.normal(size=(COUNT, SIZE))
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    noise = random.normal(size=(COUNT // 10, SIZE))
    originals = made[8::10]
    noise -= (noise * originals).sum(axis=1, keepdims=True) * originals
    made[9::10] = 0.95 * originals + np.sqrt(1 - 0.95**2) * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return made.astype(np.float32)


@pytest.fixture
def listed(vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> ListedVectors:
    """As many lists as for so many clips, of which a quarter is gone through; searches of any size go by them."""
    monkeypatch.setattr(scan, "EXACT_PAIRS", 0)
    for module in (scan, components, nearest):
        monkeypatch.setattr(module, "PROBES", num_lists(COUNT) // 4)
    return with_lists(vectors, np.arange(COUNT))


def with_lists(vectors: np.ndarray, order: np.ndarray) -> ListedVectors:
    sums = [checksum(vectors[start : start + CHECKED_ROWS]) for start in range(0, COUNT, CHECKED_ROWS)]
    segment = Segment("whole", None, vectors, sums)
    store = VectorStore([segment], np.zeros(COUNT, np.int16), order.astype(np.int32))
    centres = train_centres(vectors, num_lists(COUNT))
    return ListedVectors(store, Lists(centres, nearest_centre(vectors, centres)[order]))


def roots(search: ComponentSearch, vectors: ListedVectors, num_parts: int) -> np.ndarray:
    edges = search.combine([part.run(vectors) for part in search.parts(num_parts)])
    forest = Forest(len(search.members))
    forest.connect(edges["left"].to_numpy(), edges["right"].to_numpy())
    return forest.roots()


def test_nearly_all_near_duplicates_are_found_and_no_others(listed: ListedVectors, vectors: np.ndarray) -> None:
    found = roots(ComponentSearch(np.arange(COUNT), 0.93), listed, 1)
    planted = np.arange(9, COUNT, 10)
    assert (found[planted] == planted - 1).mean() > 0.98
    others = np.delete(np.arange(COUNT), planted)
    assert (found[others] == others).all()


def test_what_is_found_does_not_depend_on_parts_or_order(listed: ListedVectors, vectors: np.ndarray) -> None:
    search = ComponentSearch(np.arange(COUNT), 0.93)
    whole = roots(search, listed, 1)
    assert roots(search, listed, 7).tolist() == whole.tolist()
    order = np.random.default_rng(2).permutation(COUNT)
    shuffled = roots(search, with_lists(vectors, order), 3)
    for left, right in zip(np.flatnonzero(whole != np.arange(COUNT)), whole[whole != np.arange(COUNT)], strict=True):
        places = np.flatnonzero(np.isin(order, [left, right]))
        assert shuffled[places[0]] == shuffled[places[1]]


@pytest.mark.parametrize(("num_queries", "num_targets"), [(COUNT, COUNT), (200, COUNT), (COUNT, 100)])
def test_nearest_are_those_of_brute_force_where_they_lie_near(
    listed: ListedVectors, vectors: np.ndarray, num_queries: int, num_targets: int
) -> None:
    """Whichever of the two are few, they go through the lists of the others; in parts as in the whole."""
    queries = np.arange(COUNT - num_queries, COUNT)
    targets = np.sort(np.random.default_rng(4).choice(COUNT, num_targets, replace=False))
    search = NearestSearch(queries, targets)
    found = search.combine([part.run(listed) for part in search.parts(1)])
    assert search.combine([part.run(listed) for part in search.parts(5)]).equals(found.combine_chunks())
    values = vectors[queries].astype(np.float64) @ vectors[targets].T
    values[queries[:, None] == targets] = -1
    near = values.max(axis=1) > 0.93
    similarity = found["similarity"].to_numpy()
    assert near.sum() >= 10
    assert (np.abs(similarity[near] - values.max(axis=1)[near]) < 1e-6).mean() > 0.98
    assert not (similarity > values.max(axis=1) + 1e-6).any()


def test_lists_hold_each_clip_once(listed: ListedVectors) -> None:
    members = [listed.lists.members(number) for number in range(listed.lists.num_lists)]
    assert sorted(np.concatenate(members).tolist()) == list(range(COUNT))
    assert all((np.diff(part) > 0).all() for part in members)


def test_number_of_lists_stays_while_a_library_grows(tmp_path: Path) -> None:
    counts = [num_lists(size) for size in range(200_000, 1_000_001, 50_000)]
    assert set(counts) == {2048, 4096}
    assert counts == sorted(counts)
