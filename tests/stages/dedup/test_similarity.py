"""The searches of dedup, against plain arithmetic; whole, and in parts as workers do them."""

import numpy as np
import pytest

from stages.dedup.arrays import normalized
from stages.dedup.components import ComponentSearch, Forest
from stages.dedup.independent_set import greedy_independent_set
from stages.dedup.nearest import NearestSearch, nearest_targets
from stages.dedup.searches import Search


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Float32 ``[700, 8]``, unit length: some equal, some near, some alone."""
    random = np.random.default_rng(5)
    base = random.normal(size=(200, 8))
    noisy = base[random.integers(0, 200, 500)] + random.normal(scale=0.1, size=(500, 8))
    return normalized(np.concatenate([base, noisy]).astype(np.float32)).astype(np.float32)


def similarities(vectors: np.ndarray) -> np.ndarray:
    return np.round(normalized(vectors) @ normalized(vectors).T, 9)


def components(near: np.ndarray) -> np.ndarray:
    """The lowest number that each is connected with, by following all edges until nothing changes."""
    lowest = np.arange(len(near))
    while True:
        following = np.where(near, lowest[None, :], len(near)).min(axis=1)
        if np.array_equal(following, lowest):
            return lowest
        lowest = following


@pytest.mark.parametrize("num_parts", [1, 5])
@pytest.mark.parametrize("step", [1, 2])
def test_components_are_those_of_all_near_pairs(vectors: np.ndarray, step: int, num_parts: int) -> None:
    members = np.arange(3, 700, step)
    search = ComponentSearch(members, 0.97)
    parts = search.parts(num_parts)
    assert len(parts) == num_parts
    edges = search.combine([part.run(vectors) for part in parts])
    forest = Forest(len(members))
    forest.connect(edges["left"].to_numpy(), edges["right"].to_numpy())
    expected = components(similarities(vectors[members]) >= 0.97)
    assert forest.roots().tolist() == expected.tolist()
    assert (np.bincount(expected) > 2).sum() > 20
    assert len(edges) == len(members) - len(set(expected.tolist()))


def test_forest_unites_a_long_chain_whatever_the_order() -> None:
    order = np.random.default_rng(3).permutation(9_999)
    forest = Forest(10_001)
    for part in np.array_split(order, 7):
        forest.connect(part, part + 1)
    assert forest.roots().tolist() == [0] * 10_000 + [10_000]


@pytest.mark.parametrize("num_parts", [1, 3])
def test_nearest_search_leaves_out_the_clip_itself(vectors: np.ndarray, num_parts: int) -> None:
    queries, targets = np.arange(700), np.arange(0, 700, 3)
    search: Search = NearestSearch(queries, targets)
    found = search.combine([part.run(vectors) for part in search.parts(num_parts)])
    nearest, similarity = found["nearest"].to_numpy(), found["similarity"].to_numpy()
    values = similarities(vectors)[:, targets]
    values[queries[:, None] == targets] = -np.inf
    assert similarity == pytest.approx(values.max(axis=1), abs=2e-9)
    assert (nearest != queries).all()
    assert values[queries, nearest // 3] == pytest.approx(similarity, abs=2e-9)


def test_nearest_targets_of_nothing_is_none(vectors: np.ndarray) -> None:
    nearest, similarity = nearest_targets(vectors, np.arange(2), np.array([1]))
    assert nearest.tolist() == [1, -1]
    assert np.isnan(similarity[1])


def test_nearest_of_many_equal_targets_is_the_oldest() -> None:
    """More equal ones than candidates are looked at, and more targets than one product takes."""
    vectors = np.zeros((9000, 2), np.float32)
    vectors[:, 0] = 1
    vectors[:40] = [0, 1]
    nearest, similarity = nearest_targets(vectors, np.array([3, 8999, 5000]), np.arange(2, 9000))
    assert nearest.tolist() == [2, 40, 40]
    assert similarity.tolist() == [1, 1, 1]


def test_greedy_independent_set_goes_by_preference_across_blocks() -> None:
    random = np.random.default_rng(1)
    many = normalized(random.normal(size=(3000, 3)).astype(np.float32)).astype(np.float32)
    order = random.permutation(3000)
    taken = greedy_independent_set(many, order, 0.98)
    assert taken[0] == order[0]
    values = np.round(normalized(many[taken]) @ normalized(many).T, 9)
    assert (np.sort(values[:, taken], axis=1)[:, -2] < 0.98).all()
    assert (values.max(axis=0) >= 0.98).all()
