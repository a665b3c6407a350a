"""The searches of dedup, against plain arithmetic."""

import faiss
import numpy as np
import pytest

from stages.dedup.arrays import normalized
from stages.dedup.similarity import (
    connected_components,
    greedy_independent_set,
    near_duplicate_pairs,
    nearest_hits,
    nearest_targets,
    range_hits,
)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Float32 ``[700, 8]``, unit length: some equal, some near, some alone."""
    random = np.random.default_rng(5)
    base = random.normal(size=(200, 8))
    noisy = base[random.integers(0, 200, 500)] + random.normal(scale=0.1, size=(500, 8))
    return normalized(np.concatenate([base, noisy]).astype(np.float32)).astype(np.float32)


def test_near_duplicate_pairs_are_all_pairs_above_the_threshold(vectors: np.ndarray) -> None:
    found = {
        pair
        for left, right in near_duplicate_pairs(vectors, 0.97)
        for pair in zip(left.tolist(), right.tolist(), strict=True)
    }
    values = np.round(normalized(vectors) @ normalized(vectors).T, 9)
    expected = {(int(a), int(b)) for a, b in np.argwhere(values >= 0.97) if a > b}
    assert found == expected
    assert len(found) > 500


def test_connected_components_are_closed_under_near_pairs(vectors: np.ndarray) -> None:
    members = np.arange(3, 700, 2)
    parts = list(connected_components(vectors, members, 0.97))
    assert sorted(np.concatenate(parts).tolist()) == members.tolist()
    values = normalized(vectors) @ normalized(vectors).T
    owner = {position: number for number, part in enumerate(parts) for position in part.tolist()}
    linked = [(a, b) for a in members for b in members if values[a, b] >= 0.97]
    assert all(owner[a] == owner[b] for a, b in linked)
    assert any(len(part) > 2 for part in parts)


def test_nearest_targets_leaves_out_the_clip_itself(vectors: np.ndarray) -> None:
    queries, targets = np.arange(700), np.arange(0, 700, 3)
    nearest, similarity = nearest_targets(vectors, queries, targets)
    values = normalized(vectors) @ normalized(vectors[targets]).T
    values[queries[:, None] == targets] = -np.inf
    assert similarity == pytest.approx(values.max(axis=1), abs=1e-8)
    assert (nearest != queries).all()


def test_nearest_targets_of_nothing_is_none(vectors: np.ndarray) -> None:
    nearest, similarity = nearest_targets(vectors, np.arange(2), np.array([1]))
    assert nearest.tolist() == [1, -1]
    assert np.isnan(similarity[1])


@pytest.mark.parametrize("max_hits", [1, 4, 1000])
def test_nearest_hits_finds_what_range_search_finds(vectors: np.ndarray, max_hits: int) -> None:
    """The way that a GPU takes, on an index in main memory."""
    index = faiss.IndexFlatIP(8)
    index.add(vectors)
    slow, fast = range_hits(index, vectors[:50], 0.95), nearest_hits(index, vectors[:50], 0.95, max_hits)
    assert set(zip(*(side.tolist() for side in fast[:2]), strict=True)) == set(
        zip(*(side.tolist() for side in slow[:2]), strict=True)
    )


def test_greedy_independent_set_goes_by_preference_across_blocks() -> None:
    random = np.random.default_rng(1)
    many = normalized(random.normal(size=(3000, 3)).astype(np.float32)).astype(np.float32)
    order = random.permutation(3000)
    taken = greedy_independent_set(many, order, 0.98)
    assert taken[0] == order[0]
    values = np.round(normalized(many[taken]) @ normalized(many).T, 9)
    assert (np.sort(values[:, taken], axis=1)[:, -2] < 0.98).all()
    assert (values.max(axis=0) >= 0.98).all()
