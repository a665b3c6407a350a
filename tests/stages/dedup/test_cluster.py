"""The pairwise rule inside clusters, against NeMo Curator's own pairs of input and output."""

import numpy as np
import pytest

from stages.dedup.arrays import Clips, Decisions, Vectors, normalized
from stages.dedup.cluster import decide, is_duplicate, most_similar_before
from stages.dedup.kmeans import kmeans
from stages.dedup.ranking import order_by_preference
from stages.params import DedupParams
from tests.stages.dedup.test_neighbors import make_clips


def blobs() -> Clips:
    """scikit-learn's make_blobs(n_samples=[100, 200, 300, 400, 500], n_features=3, random_state=42), unshuffled."""
    random = np.random.RandomState(42)
    centres = random.uniform(-10.0, 10.0, size=(5, 3))
    parts = [
        random.normal(loc=centre, scale=1.0, size=(count, 3))
        for centre, count in zip(centres, (100, 200, 300, 400, 500), strict=True)
    ]
    return make_clips(np.concatenate(parts).tolist())


def blob_vectors() -> Vectors:
    return blobs().vectors[np.arange(1500)]


def test_most_similar_before_gives_the_published_scores() -> None:
    rows = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12], [1, 2, 3], [1, 2, 3]], np.float32)
    scores, before = most_similar_before(normalized(rows).astype(np.float32))
    assert scores == pytest.approx([0, 0.974631, 0.998190, 0.999618, 1.0, 1.0], abs=1e-6)
    assert before.tolist() == [0, 0, 1, 2, 0, 0]


def test_most_similar_before_is_the_same_across_blocks() -> None:
    vectors = blob_vectors()
    scores, before = most_similar_before(vectors)
    values = np.round(normalized(vectors) @ normalized(vectors).T, 9)
    values[np.triu_indices(len(vectors))] = -np.inf
    assert scores[1:] == pytest.approx(values.max(axis=1)[1:], abs=2e-9)
    assert values[np.arange(1, 1500), before[1:]] == pytest.approx(scores[1:], abs=2e-9)


def test_most_similar_before_of_one_row_is_zero_and_itself() -> None:
    scores, before = most_similar_before(np.ones((1, 3), np.float32))
    assert (scores.tolist(), before.tolist()) == ([0.0], [0])


@pytest.mark.parametrize(("eps", "removed"), [(0.01, 0), (0.2, 4)])
def test_is_duplicate_counts_from_one_minus_eps(eps: float, removed: int) -> None:
    assert is_duplicate(np.array([0, 0.98, 0.98, 0.85, 0.85]), eps).sum() == removed


@pytest.mark.parametrize(("keep", "expected"), [("farthest", [1, 3, 2, 0]), ("nearest", [0, 2, 3, 1])])
def test_order_by_preference_goes_by_distance(keep: str, expected: list[int]) -> None:
    clips = make_clips([[1.0, 0.0]] * 4)
    params = DedupParams(keep=keep)  # pyrefly: ignore[bad-argument-type]
    assert order_by_preference(clips, np.arange(4), np.array([0.1, 0.8, 0.3, 0.6]), params).tolist() == expected


def test_order_by_preference_goes_by_columns_in_turn() -> None:
    ranking = [[2, -0.9], [1, -0.3], [3, -0.7], [1, -0.5]]  # priority ascending, score descending
    params = DedupParams(keep="rank", rank_by=["-priority", "score"])
    ordered = order_by_preference(make_clips([[1.0, 0.0]] * 4, ranking), np.arange(4), np.zeros(4), params)
    assert ordered.tolist() == [3, 1, 0, 2]


@pytest.mark.parametrize(("keep", "removed"), [("farthest", 1471), ("nearest", 1495), ("random", None)])
def test_decide_removes_the_published_number_of_blob_points(keep: str, removed: int | None) -> None:
    params = DedupParams(mode="cluster", eps=0.01, num_clusters=5, keep=keep)  # pyrefly: ignore[bad-argument-type]
    num_removed = int((~decide(blobs(), Decisions.undecided(1500), params).kept).sum())
    assert num_removed == removed if removed else 1471 <= num_removed <= 1495


def test_decide_keeps_earlier_decisions() -> None:
    clips = make_clips([[1.0, 0.0], [1.0, 0.01], [1.0, 0.02], [0.0, 1.0]])
    earlier = Decisions.undecided(4)
    earlier.group[1] = 1
    decided = decide(clips, earlier, DedupParams(mode="cluster", num_clusters=1))
    assert decided.group.tolist() == [1, 1, 1, 3]


def test_kmeans_finds_the_blobs_again() -> None:
    vectors = blob_vectors()
    labels, centres = kmeans(vectors, 5, seed=42)
    assert centres.shape == (5, 3)
    assert sorted(np.bincount(labels).tolist()) == pytest.approx([100, 200, 300, 400, 500], abs=15)
    assert (kmeans(vectors, 5, seed=42)[0] == labels).all()


def test_kmeans_takes_more_clusters_than_directions() -> None:
    labels, _ = kmeans(np.ones((4, 2), np.float32), 3, seed=0)
    assert set(labels.tolist()) == {0}
