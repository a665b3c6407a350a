"""The nearest vectors against brute force in float64."""

import numpy as np
import pyarrow as pa
import pytest

from stages.dedup.vector_store import CHECKED_ROWS, Segment, VectorStore, checksum
from stages.search import exact_search
from stages.search.exact_search import candidates, nearest_vectors

SIZE = 12


def store_of(*parts: np.ndarray) -> VectorStore:
    """A store whose vectors are spread over segments, in an order of their own."""
    segments = [
        Segment(
            f"s{number}",
            pa.array([f"{number}-{row}" for row in range(len(part))]),
            part,
            [checksum(part[start : start + CHECKED_ROWS]) for start in range(0, len(part), CHECKED_ROWS)],
        )
        for number, part in enumerate(parts)
    ]
    segment = np.repeat(np.arange(len(parts), dtype=np.int16), [len(part) for part in parts])
    row = np.concatenate([np.arange(len(part), dtype=np.int32) for part in parts])
    mixed = np.random.default_rng(1).permutation(len(row))
    return VectorStore(segments, segment[mixed], row[mixed])


def unit(seed: int, count: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(count, SIZE)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.mark.parametrize("block_bytes", [1, 4 * SIZE * 7, 1 << 20])
@pytest.mark.parametrize("count", [1, 5, 100])
def test_nearest_vectors_are_those_of_brute_force(
    block_bytes: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact_search, "BLOCK_BYTES", block_bytes)
    store, query = store_of(unit(1, 40), unit(2, 17)), unit(3, 1)[0]
    targets = np.arange(0, len(store), 2)
    similarity = store[targets].astype(np.float64) @ query.astype(np.float64)
    order = np.argsort(-similarity)[:count]
    found = nearest_vectors(store, targets, query, count)
    np.testing.assert_array_equal(found.positions, targets[order])
    np.testing.assert_allclose(found.similarity, similarity[order], atol=1e-7)


def test_of_very_many_equal_vectors_the_first_are_found() -> None:
    """More than the spare candidates are equal up to a rounding, so that float32 cannot tell which come first."""
    same = np.repeat(unit(4, 1), 300, axis=0)
    same[150] = unit(4, 1) + np.float32(1e-8)
    found = nearest_vectors(store_of(same), np.arange(300), unit(4, 1)[0], 5)
    np.testing.assert_array_equal(found.positions, np.arange(5))
    np.testing.assert_allclose(found.similarity, 1)


def test_candidates_of_many_queries_are_those_of_one_after_another() -> None:
    store, queries = store_of(unit(5, 30), unit(6, 30)), unit(7, 9)
    targets = np.arange(len(store))
    similarity, found = candidates(store, targets, queries, 4)
    for number, query in enumerate(queries):
        one = nearest_vectors(store, targets, query, 4)
        np.testing.assert_array_equal(found[number], one.positions)
        np.testing.assert_allclose(similarity[number], one.similarity, atol=1e-6)
