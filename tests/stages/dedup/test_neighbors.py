"""Mode `neighbors`: kept clips are no near-duplicates of one another, and each removed clip is one of a kept clip."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages.dedup.arrays import Clips, Decisions
from stages.dedup.neighbors import decide
from stages.dedup.ranking import ranks
from stages.params import DedupParams
from tests.stages.dedup.tables import angles

GRID = st.tuples(*[st.integers(-3, 3)] * 3).filter(any)
"""Directions on a small grid: equal vectors and equal similarities are frequent."""
LIBRARIES = st.lists(GRID, min_size=1, max_size=25)
PARAMS = st.builds(
    DedupParams,
    eps=st.sampled_from([0.0, 0.01, 0.05, 0.2, 0.7, 1.3]),
    keep=st.sampled_from(["farthest", "nearest", "random"]),
)


def make_clips(vectors: list[tuple[int, ...]] | list[list[float]], ranking: list[list[float]] | None = None) -> Clips:
    matrix = np.array(vectors, np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    values = np.array(ranking if ranking is not None else [[]] * len(matrix), np.float64)
    return Clips([f"clip-{position:03d}" for position in range(len(matrix))], matrix, values)


def similarities(clips: Clips) -> NDArray[np.float64]:
    wide = clips.vectors[np.arange(len(clips))].astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return np.round(wide @ wide.T, 9)


def check(clips: Clips, decided: Decisions, params: DedupParams) -> None:
    """No kept clip near another; every removed one near its kept clip, which is the nearest there is."""
    values, min_similarity = similarities(clips), round(1 - params.eps, 9)
    kept = decided.kept
    among = values[np.ix_(kept, kept)]
    assert (among[~np.eye(len(among), dtype=bool)] < min_similarity).all()
    for position in np.flatnonzero(~kept):
        assert kept[decided.group[position]]
        assert decided.similarity[position] >= min_similarity
        assert decided.similarity[position] == pytest.approx(values[position, kept].max(), abs=2e-9)
        assert decided.nearest[position] == decided.group[position]
    rank = ranks(clips, decided.group, params)
    assert ((rank == 0) == kept).all()
    assert all(
        sorted(rank[decided.group == position]) == list(range((decided.group == position).sum()))
        for position in range(3)
    )


@given(LIBRARIES, PARAMS)
@settings(max_examples=60)
def test_decide_keeps_an_independent_dominating_set(vectors: list[tuple[int, ...]], params: DedupParams) -> None:
    clips = make_clips(vectors)
    check(clips, decide(clips, Decisions.undecided(len(clips)), params), params)


@given(LIBRARIES, LIBRARIES, PARAMS)
@settings(max_examples=60)
def test_decide_never_removes_an_older_kept_clip(
    old: list[tuple[int, ...]], new: list[tuple[int, ...]], params: DedupParams
) -> None:
    of_old = decide(make_clips(old), Decisions.undecided(len(old)), params)
    undecided = Decisions.undecided(len(new))
    earlier = Decisions(
        *(
            np.concatenate([getattr(of_old, name), getattr(undecided, name)])
            for name in ("group", "nearest", "similarity")
        )
    )
    clips = make_clips([*old, *new])
    decided = decide(clips, earlier, params)
    check(clips, decided, params)
    assert (decided.kept[: len(old)] == of_old.kept).all()


@pytest.mark.parametrize(
    ("keep", "expected"),
    [("farthest", [0, 2]), ("nearest", [1]), ("rank", [2, 0])],
)
def test_decide_follows_the_keep_rule(keep: str, expected: list[int]) -> None:
    """Three directions 4 degrees apart: the ends are not near each other, the middle is near both."""
    clips = make_clips(list(angles(a=0, b=4, c=8.5).values()), [[3.0], [2.0], [1.0]])
    params = DedupParams(eps=0.005, keep=keep, rank_by=["-x"])  # pyrefly: ignore[bad-argument-type]
    kept = np.flatnonzero(decide(clips, Decisions.undecided(3), params).kept)
    assert sorted(expected) == kept.tolist()


def test_decide_draws_by_seed_and_id() -> None:
    clips = make_clips([[1.0, 0.0]] * 40)
    kept = {
        int(np.flatnonzero(decide(clips, Decisions.undecided(40), DedupParams(keep="random", seed=seed)).kept)[0])
        for seed in range(8)
    }
    assert len(kept) > 1


def test_decide_prefers_the_older_between_equals() -> None:
    clips = make_clips([[1.0, 0.0]] * 5, [[np.nan], [1.0], [1.0], [np.nan], [2.0]])
    params = DedupParams(keep="rank", rank_by=["-x"])
    decided = decide(clips, Decisions.undecided(5), params)
    assert decided.group.tolist() == [1] * 5
    assert ranks(clips, decided.group, params).tolist() == [3, 0, 1, 4, 2]
